//! Where a tunnel's text can stand: on its line, near the middle, over no card, no other text and, where there is a
//! choice, no other line.

use std::collections::BTreeMap;

use super::canvas::Face;
use super::geometry::{Curve, Point, Rect};
use super::layout::Layout;
use super::scene::Scene;

/// With more tunnels than this, texts on them would hide more than they tell.
const TUNNELS: usize = 70;
/// Up to so many have theirs, even if all say the same.
const FEW: usize = 6;
/// Where on a line to try, best first.
const TRIES: [f64; 11] = [0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72, 0.22, 0.78, 0.17, 0.83];
/// Points of a curve that are looked at, less one.
const SAMPLES: u32 = 40;
/// How many other lines a text may cover at most, with few tunnels and with many.
const COVERED: [usize; 2] = [1, 0];
/// How many tunnels are few in that respect.
const CLEAR: usize = 12;

/// A text on a tunnel.
pub(super) struct Label {
    pub tunnel: usize,
    pub rect: Rect,
    pub text: String,
}

/// What most tunnels let through, when there are so many that it is not written on each.
fn usual(scene: &Scene<'_>) -> Option<u16> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for link in &scene.tunnels {
        *counts.entry(link.plan.mtu).or_default() += 1;
    }
    let (mtu, count) = counts.into_iter().max_by_key(|(mtu, count)| (*count, *mtu))?;
    (scene.tunnels.len() > FEW && count * 2 > scene.tunnels.len()).then_some(mtu)
}

/// What is to be known of the tunnels on which nothing is written.
pub(super) fn unwritten(scene: &Scene<'_>, labels: &[Label]) -> Option<String> {
    let written = |i: usize| labels.iter().any(|label| label.tunnel == i && label.text.contains("MTU"));
    // Nothing goes through those that are down.
    let up = || scene.tunnels.iter().enumerate().filter(|(_, link)| !link.down);
    let mtus = || up().map(|(_, link)| link.plan.mtu);
    let rest = up().filter(|(i, _)| !written(*i)).map(|(_, link)| link.plan.mtu);
    let (least, most) = rest.fold((u16::MAX, 0), |(least, most), mtu| (least.min(mtu), most.max(mtu)));
    match () {
        () if least > most => None,
        () if least < most => Some(format!("MTU {least} to {most}")),
        () if mtus().all(|mtu| mtu == most) => Some(format!("MTU {most}")),
        () => Some(format!("MTU {most} where nothing is written")),
    }
}

/// The texts that have a place. `taken` is where crosses are.
pub(super) fn labels(scene: &Scene<'_>, layout: &Layout, curves: &[Curve], taken: &[Rect]) -> Vec<Label> {
    if scene.tunnels.len() > TUNNELS {
        return Vec::new();
    }
    let paths: Vec<Vec<Point>> = curves.iter().map(points).collect();
    let mut fixed: Vec<Rect> = layout.cards.iter().map(|card| card.rect.grown(3.0)).collect();
    fixed.extend(taken.iter().map(|rect| rect.grown(2.0)));
    let mut found: Vec<Label> = Vec::new();
    // Preferred tunnels choose first.
    let mut turns: Vec<usize> = (0..scene.tunnels.len()).collect();
    turns.sort_by_key(|&i| (scene.tunnels[i].plan.rank, i));
    let usual = usual(scene);
    let most = COVERED[usize::from(scene.tunnels.len() > CLEAR)];
    for tunnel in turns {
        let Some(text) = words(scene, tunnel, usual).filter(|_| !scene.tunnels[tunnel].down) else {
            continue;
        };
        let (wide, high) = (Face::Small.width(&text) + 8.0, 16.0);
        let place = |t: f64| {
            let at = curves[tunnel].at(t);
            Rect::new(at.x - wide / 2.0, at.y - high / 2.0, wide, high)
        };
        let free = |rect: &Rect| {
            !fixed.iter().any(|other| rect.meets(other))
                && !found.iter().any(|label| rect.meets(&label.rect.grown(2.0)))
        };
        let covers = |rect: &Rect| {
            let others = paths.iter().enumerate().filter(|(i, _)| *i != tunnel);
            others.filter(|(_, path)| path.iter().any(|point| rect.grown(2.0).holds(*point))).count()
        };
        let best = TRIES
            .iter()
            .map(|t| place(*t))
            .filter(free)
            .map(|rect| (covers(&rect), rect))
            .min_by_key(|(covered, _)| *covered);
        match best.filter(|(covered, _)| *covered <= most) {
            Some((_, rect)) => found.push(Label { tunnel, rect, text }),
            // One text among many lines would only raise questions.
            None if scene.tunnels.len() > CLEAR => return Vec::new(),
            None => {}
        }
    }
    found.sort_by_key(|label| label.tunnel);
    found
}

/// What fits through, unless it is the usual; of parallel tunnels the lines.
fn words(scene: &Scene<'_>, tunnel: usize, usual: Option<u16>) -> Option<String> {
    let link = &scene.tunnels[tunnel];
    let [a, b] = &link.plan.ends;
    let mtu = (usual != Some(link.plan.mtu)).then(|| format!("MTU {}", link.plan.mtu));
    let lines = link.parallel.then(|| format!("{} – {}", a.uplink, b.uplink));
    match (lines, mtu) {
        (Some(lines), Some(mtu)) => Some(format!("{lines}, {mtu}")),
        (lines, mtu) => lines.or(mtu),
    }
}

fn points(curve: &Curve) -> Vec<Point> {
    (0..=SAMPLES).map(|i| curve.at(f64::from(i) / f64::from(SAMPLES))).collect()
}
