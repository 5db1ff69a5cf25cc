//! Where the sites' cards stand: around an empty rectangle, clockwise, each looking inwards. Whatever joins two points
//! of its border stays inside it, so no tunnel crosses a card. A hub stands in the middle.

use super::card::{Card, Detail};
use super::geometry::{Point, Rect, Side, length};
use super::scene::Scene;

/// With more sites, an order is not searched for: the search grows with the fourth power.
const ORDERED: usize = 40;
/// Width to height of a pleasant picture.
const ASPECT: f64 = 1.5;

/// All places.
pub(super) struct Layout {
    pub cards: Vec<Card>,
    /// The empty rectangle.
    pub arena: Rect,
    /// The card in the middle, when there is one.
    pub hub: Option<usize>,
    pub detail: Detail,
    /// What all cards and the arena take.
    pub bounds: Rect,
}

impl Layout {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        let detail = Detail::of(scene);
        let ring: Vec<usize> = order(scene).into_iter().filter(|site| Some(*site) != scene.hub).collect();
        let make = |site: usize, side: Side, middle: bool| Card::new(scene, site, side, detail, middle);
        let samples: Vec<Card> = ring.iter().map(|&site| make(site, Side::Top, false)).collect();
        let average = |pick: fn(&Rect) -> f64| {
            samples.iter().map(|card| pick(&card.rect)).sum::<f64>() / length(samples.len().max(1))
        };
        let gap = if detail == Detail::Small { 10.0 } else { 26.0 };
        let counts = counts(ring.len(), average(|r| r.w) + gap, average(|r| r.h) + gap);

        let mut ring = ring;
        if counts[0] == 0 {
            ring.reverse(); // the first one on the left
        }
        let mut places = ring.iter();
        let mut sides: [Vec<Card>; 4] = Default::default();
        for ((side, count), row) in SIDES.into_iter().zip(counts).zip(&mut sides) {
            row.extend(places.by_ref().take(count).map(|&site| make(site, side, false)));
        }
        if detail == Detail::Small {
            let widest = sides.iter().flatten().map(|card| card.rect.w).fold(0.0, f64::max);
            for card in sides.iter_mut().flatten() {
                card.widen(widest);
            }
        } else {
            for row in &mut sides {
                let widest = row.iter().map(|card| card.rect.w).fold(0.0, f64::max);
                if row.first().is_some_and(|card| !card.side.is_row()) {
                    for card in row {
                        card.widen(widest);
                    }
                }
            }
        }
        let mut hub = scene.hub.map(|site| make(site, Side::Top, true));
        let arena = arena(&sides, gap, detail, hub.as_ref().map(|card| card.rect));
        // Cards to the left and right begin at the same heights.
        let [_, right, _, left] = &sides;
        let pairs = right.iter().zip(left.iter().rev());
        let slots: Vec<f64> = pairs.map(|(a, b)| a.rect.h.max(b.rect.h)).collect();
        for row in &mut sides {
            spread(row, &arena, &slots);
        }
        if let Some(hub) = &mut hub {
            hub.move_by(Point::new((arena.w - hub.rect.w) / 2.0, (arena.h - hub.rect.h) / 2.0));
        }
        let mut cards: Vec<Card> = sides.into_iter().flatten().collect();
        let middle = hub.is_some().then_some(cards.len());
        cards.extend(hub);
        let bounds = bounds(&cards, &arena);
        Self { cards, arena, hub: middle, detail, bounds }
    }
}

/// In clockwise order.
const SIDES: [Side; 4] = [Side::Top, Side::Right, Side::Bottom, Side::Left];

/// How many cards stand on each side, so that the picture is a little wider than high.
fn counts(sites: usize, width: f64, height: f64) -> [usize; 4] {
    match sites {
        0 | 1 => return [sites, 0, 0, 0],
        2 => return [0, 1, 0, 1],
        3 => return [1, 0, 2, 0],
        _ => {}
    }
    let shape = |column: usize| {
        let rest = sites - 2 * column;
        [rest / 2, column, rest - rest / 2, column]
    };
    let badness = |column: &usize| {
        let [_, _, bottom, _] = shape(*column);
        let sides = if *column > 0 { 2.0 * width } else { 0.0 };
        let wide = (length(bottom) * width).max(width) + sides;
        let high = (length(*column) * height).max(height) + 2.0 * height;
        (wide / high / ASPECT).max(ASPECT * high / wide)
    };
    let best = (0..=(sites - 2) / 2).min_by(|a, b| badness(a).total_cmp(&badness(b)));
    shape(best.unwrap_or_default())
}

/// The rectangle between the cards, at (0, 0).
fn arena(sides: &[Vec<Card>; 4], gap: f64, detail: Detail, hub: Option<Rect>) -> Rect {
    let sum =
        |row: &[Card], pick: fn(&Rect) -> f64| row.iter().map(|card| pick(&card.rect) + gap).sum::<f64>();
    let [top, right, bottom, left] = sides;
    let mut width = sum(top, |r| r.w).max(sum(bottom, |r| r.w));
    let slots = left.iter().rev().zip(right).map(|(a, b)| a.rect.h.max(b.rect.h) + gap);
    let mut height: f64 = slots.sum();
    let cards: usize = sides.iter().map(Vec::len).sum();
    if cards < 2 && hub.is_none() {
        return Rect::new(0.0, 0.0, width, 0.0);
    }
    if let Some(hub) = hub {
        let around = if detail == Detail::Small { 160.0 } else { 110.0 };
        width = width.max(hub.w + 2.0 * around);
        height = height.max(hub.h + if top.is_empty() { 0.0 } else { 2.0 * 80.0 });
    }
    // Room for lines to be told apart, and for what is written on them.
    width = width.max(if top.is_empty() { 230.0 } else { 400.0 });
    let high = if top.is_empty() { 60.0 } else { (width * 0.36).clamp(150.0, 420.0) };
    Rect::new(0.0, 0.0, width, height.max(high))
}

/// Puts a side's cards at their places along the arena, evenly: in a column with the heights in `slots`.
fn spread(row: &mut [Card], arena: &Rect, slots: &[f64]) {
    let Some(side) = row.first().map(|card| card.side) else { return };
    // Clockwise is from right to left at the bottom, and upwards on the left.
    if matches!(side, Side::Bottom | Side::Left) {
        row.reverse();
    }
    let sizes: Vec<f64> =
        if side.is_row() { row.iter().map(|card| card.rect.w).collect() } else { slots.to_vec() };
    let room = if side.is_row() { arena.w } else { arena.h };
    let gap = (room - sizes.iter().sum::<f64>()) / length(row.len());
    let mut at = gap / 2.0;
    for (card, size) in row.iter_mut().zip(&sizes) {
        card.move_by(match side {
            Side::Top => Point::new(at, -card.rect.h),
            Side::Right => Point::new(arena.w, at),
            Side::Bottom => Point::new(at, arena.h),
            Side::Left => Point::new(-card.rect.w, at),
        });
        at += size + gap;
    }
    if matches!(side, Side::Bottom | Side::Left) {
        row.reverse();
    }
}

fn bounds(cards: &[Card], arena: &Rect) -> Rect {
    let all = || cards.iter().map(|card| card.rect).chain([*arena]);
    let (left, top) = (all().map(|r| r.x).fold(0.0, f64::min), all().map(|r| r.y).fold(0.0, f64::min));
    let right = all().map(|r| r.right()).fold(0.0, f64::max);
    let bottom = all().map(|r| r.bottom()).fold(0.0, f64::max);
    Rect::new(left, top, right - left, bottom - top)
}

/// The order around the picture: by name; where only some sites are joined, such that these are near each other.
fn order(scene: &Scene<'_>) -> Vec<usize> {
    let sites = scene.sites.len();
    let mut order: Vec<usize> = (0..sites).collect();
    let mut joined = vec![vec![false; sites]; sites];
    for link in &scene.tunnels {
        let [a, b] = link.ends.map(|router| scene.routers[router].site);
        (joined[a][b], joined[b][a]) = (true, true);
    }
    let pairs = joined.iter().flatten().filter(|joined| **joined).count();
    // In a mesh every order is as good as another.
    if scene.hub.is_some() || pairs * 2 > sites * sites || sites > ORDERED {
        return order;
    }
    let cost = |order: &[usize]| {
        let mut sum = 0;
        for (i, &a) in order.iter().enumerate() {
            for (j, &b) in order.iter().enumerate().skip(i + 1) {
                if joined[a][b] {
                    let apart = j - i;
                    sum += apart.min(sites - apart);
                }
            }
        }
        sum
    };
    let mut least = cost(&order);
    for _ in 0..8 {
        let before = least;
        for i in 0..sites {
            for j in i + 1..sites {
                order.swap(i, j);
                let now = cost(&order);
                if now < least {
                    least = now;
                } else {
                    order.swap(i, j);
                }
            }
        }
        if least == before {
            break;
        }
    }
    order
}
