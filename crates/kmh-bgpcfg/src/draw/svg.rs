//! The picture painted: cards, then lines, then what stands on them, so that no line crosses a text.

use std::fmt::Write as _;

use kmh_doc::network::{PeerKind, Session};

use super::canvas::{Anchor, Canvas, Face, curve as curve_data, number, polyline};
use super::card::{Card, Detail, Stands};
use super::curve::{Port, curves};
use super::escape::xml;
use super::geometry::{Curve, Point, Rect, length};
use super::labels::{Label, labels, unwritten};
use super::layout::Layout;
use super::measure::{fit, wrap};
use super::scene::{Link, Machine, Over, Peering, Scene, Step, asns, count};
use super::style::sheet;

/// Around everything.
const MARGIN: f64 = 24.0;
/// A picture is at least that wide, for its title.
const WIDTH: f64 = 700.0;
/// More tunnels than this are thin and translucent.
const MANY: usize = 150;
/// Of more tunnels than this, standby ones are.
const DENSE: usize = 40;
/// More sites than this are not told one by one in the description.
const TOLD: usize = 12;

/// The whole file.
pub(super) fn svg(scene: &Scene<'_>) -> String {
    paint(scene).out
}

pub(super) fn paint(scene: &Scene<'_>) -> Canvas {
    let mut layout = Layout::new(scene);
    let width = (layout.bounds.w + 2.0 * MARGIN).max(WIDTH);
    let room = width - 2.0 * MARGIN;
    let lines = lead(scene, room);
    let top = MARGIN + 26.0 + 19.0 * length(lines.len()) + 12.0;
    let by = Point::new((width - layout.bounds.w) / 2.0 - layout.bounds.x, top - layout.bounds.y);
    layout.cards.iter_mut().for_each(|card| card.move_by(by));
    layout.arena = layout.arena.moved(by);
    let (curves, ports) = curves(scene, &layout);
    let (crosses, mut taken) = crosses(scene, &curves);
    let arrows = arrows(scene, &layout, &curves);
    taken.extend(arrows.iter().map(|(tip, _)| Rect::new(tip.x, tip.y, 0.0, 0.0).grown(9.0)));
    let labels = labels(scene, &layout, &curves, &taken);
    let legend = legend(scene, &layout, &labels, room);
    let below = top + layout.bounds.h + 18.0;
    let height = below + 20.0 * length(legend.len()) + MARGIN - 4.0;

    let mut canvas = Canvas::default();
    begin(&mut canvas, scene, width, height);
    let (_, size, bold) = Face::Heading.look();
    let title = fit(&scene.title, size, bold, room);
    canvas.text(Point::new(MARGIN, MARGIN + 10.0), Face::Heading, Anchor::Start, "", &title);
    for (i, (class, line)) in lines.iter().enumerate() {
        let y = MARGIN + 36.0 + 19.0 * length(i);
        canvas.text(Point::new(MARGIN, y), Face::Lead, Anchor::Start, class, line);
    }
    for card in &layout.cards {
        let site = &scene.sites[card.site];
        let on_path = site.on_path && layout.detail == Detail::Small;
        canvas.rect(&state("card", site.down, on_path), &card.rect, 8.0);
    }
    bands(&mut canvas, scene, false, |step| way(&layout, step.from, step.to).map(|way| polyline(&way)));
    for card in &layout.cards {
        sessions(&mut canvas, scene, card);
    }
    tunnels(&mut canvas, scene, &curves);
    for card in &layout.cards {
        on_card(&mut canvas, scene, card, layout.detail);
    }
    let radius = radius(scene);
    for at in &crosses {
        canvas.cross(*at, radius);
    }
    for (tip, from) in &arrows {
        canvas.arrow(*tip, *from);
    }
    on_tunnels(&mut canvas, scene, &labels, &ports);
    for (i, row) in legend.iter().enumerate() {
        let mut x = MARGIN;
        for (sample, text) in row {
            let at = Point::new(x, below + 10.0 + 20.0 * length(i));
            sample.paint(&mut canvas, at);
            canvas.text(at.along(Point::new(1.0, 0.0), SAMPLE + 8.0), Face::Small, Anchor::Start, "", text);
            x += entry_width(text);
        }
    }
    canvas.line("</svg>");
    canvas
}

fn begin(canvas: &mut Canvas, scene: &Scene<'_>, width: f64, height: f64) {
    let (w, h) = (number(width), number(height));
    let _ = writeln!(
        canvas.out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"kmh\" role=\"img\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {w} {h}\" aria-labelledby=\"kmh-title kmh-desc\">"
    );
    let _ = writeln!(canvas.out, "<title id=\"kmh-title\">{}</title>", xml(&scene.title));
    let _ = writeln!(canvas.out, "<desc id=\"kmh-desc\">{}</desc>", xml(&description(scene)));
    let _ = writeln!(canvas.out, "<style>\n{}</style>", sheet());
    canvas.rect("page", &Rect::new(0.0, 0.0, width, height), 10.0);
}

/// The picture in words.
fn description(scene: &Scene<'_>) -> String {
    let mut out = format!("{}.", scene.summary.join(", "));
    if scene.sites.len() <= TOLD {
        for site in &scene.sites {
            let names: Vec<&str> =
                site.routers.iter().map(|r| scene.routers[*r].plan.name.as_str()).collect();
            let nodes = count(site.nodes.len(), "node");
            let _ = write!(out, " Site {} ({}): {}, {nodes}.", site.name, asns(&site.asns), names.join(", "));
        }
    }
    if let Some(hub) = scene.hub {
        let _ = write!(out, " All tunnels end at {}.", scene.sites[hub].name);
    }
    for line in scene.path.iter().chain(&scene.down) {
        let _ = write!(out, " {line}.");
    }
    out
}

/// Lines below the title, with their class.
fn lead(scene: &Scene<'_>, room: f64) -> Vec<(&'static str, String)> {
    let summary: Vec<&str> = scene.summary.iter().map(String::as_str).collect();
    let mut lines: Vec<_> = wrap(&summary, " · ", 13.0, room).into_iter().map(|line| ("", line)).collect();
    if let Some(path) = &scene.path {
        let steps: Vec<&str> = path.split(" → ").collect();
        lines.extend(wrap(&steps, " → ", 13.0, room).into_iter().map(|line| ("", line)));
    }
    if let Some(down) = &scene.down {
        let names: Vec<&str> = down.split(", ").collect();
        lines.extend(wrap(&names, ", ", 13.0, room - 14.0).into_iter().map(|line| ("dead", line)));
    }
    lines
}

/// A class with what a thing's state adds to it.
fn state(class: &str, dead: bool, on_path: bool) -> String {
    format!("{class}{}{}", if on_path { " way" } else { "" }, if dead { " dead" } else { "" })
}

/// Where the path goes: its steps over tunnels, or the others.
fn bands(canvas: &mut Canvas, scene: &Scene<'_>, tunnels: bool, data: impl Fn(&Step) -> Option<String>) {
    for step in scene.steps.iter().filter(|step| matches!(step.over, Over::Tunnel(_)) == tunnels) {
        if let Some(data) = data(step) {
            let title = format!("{} → {}", scene.name(step.from), scene.name(step.to));
            canvas.path("band", &data, Some(&title));
        }
    }
}

fn way(layout: &Layout, from: Machine, to: Machine) -> Option<Vec<Point>> {
    layout.cards.iter().find_map(|card| card.way(from, to))
}

fn sessions(canvas: &mut Canvas, scene: &Scene<'_>, card: &Card) {
    let own = |peering: &&Peering<'_>| scene.routers[peering.router].site == card.site;
    let mut many = vec![0_usize; scene.routers.len()];
    let mut turns: Vec<_> = scene.sessions.iter().filter(own).collect();
    // Where lines lie upon each other, what is up is seen.
    turns.sort_by_key(|peering| !peering.down);
    for peering in turns {
        let title = format!(
            "Session {} – {}: {}",
            scene.name(Machine::Router(peering.router)),
            scene.name(peering.peer),
            about(peering.session, peering.families)
        );
        if let Some(way) = card.way(Machine::Router(peering.router), peering.peer) {
            let class = if peering.session.with == PeerKind::Sibling { "sibling" } else { "n" };
            canvas.path(&state(class, peering.down, false), &polyline(&way), Some(&title));
        } else {
            many[peering.router] += 1;
        }
    }
    for &router in &scene.sites[card.site].routers {
        if let (1.., Some(way)) = (many[router], card.way_to_many(router)) {
            let sessions = count(many[router], "peer");
            let title = format!("Sessions of {} with {sessions} more", scene.name(Machine::Router(router)));
            canvas.path(&state("n", scene.routers[router].down, false), &polyline(&way), Some(&title));
        }
    }
}

/// What a session is like.
fn about(session: &Session, families: [bool; 2]) -> String {
    let mut parts = Vec::new();
    let names = ["IPv4", "IPv6"].into_iter().zip(families).filter(|(_, has)| *has).map(|(name, _)| name);
    parts.push(names.collect::<Vec<_>>().join(" and "));
    parts.push(format!("hold time {} s", session.hold));
    if let Some(bfd) = session.bfd_ms {
        parts.push(format!("BFD {bfd} ms x 3"));
    }
    if session.password.is_some() {
        parts.push("TCP-MD5".to_owned());
    }
    if session.route_reflector_client {
        parts.push("route reflection".to_owned());
    }
    parts.join(", ")
}

/// What a tunnel is like.
fn about_tunnel(link: &Link<'_>) -> String {
    let [a, b] = &link.plan.ends;
    let mut parts = vec![
        format!("Tunnel {}: {} ({}) – {} ({})", link.plan.name, a.router, a.uplink, b.router, b.uplink),
        format!("MTU {}", link.plan.mtu),
    ];
    if link.plan.rank > 0 {
        parts.push(format!("standby {}", link.plan.rank));
    }
    if link.plan.nat_t {
        parts.push("inside UDP".to_owned());
    }
    parts.extend(link.plan.networks.iter().map(ToString::to_string));
    if let Some(bfd) = link.session.and_then(|session| session.bfd_ms) {
        parts.push(format!("BFD {bfd} ms x 3"));
    }
    if link.down {
        parts.push("down".to_owned());
    }
    if link.others > 0 {
        parts.push(format!("and {} that are not drawn", count(link.others, "tunnel")));
    }
    parts.join(", ")
}

fn tunnels(canvas: &mut Canvas, scene: &Scene<'_>, curves: &[Curve]) {
    let crowd = match scene.tunnels.len() {
        n if n > MANY => "<g class=\"many\">",
        n if n > DENSE => "<g class=\"dense\">",
        _ => "<g>",
    };
    canvas.line(crowd);
    // What is down or preferred is not hidden by what is standby.
    let mut turns: Vec<usize> = (0..scene.tunnels.len()).filter(|i| scene.tunnels[*i].shown).collect();
    turns.sort_by_key(|&i| {
        let link = &scene.tunnels[i];
        (link.down, std::cmp::Reverse(link.plan.rank), i)
    });
    let (own, others): (Vec<usize>, Vec<usize>) =
        turns.into_iter().partition(|tunnel| scene.on_path(*tunnel));
    for i in others {
        tunnel(canvas, &scene.tunnels[i], &curves[i], false);
    }
    bands(canvas, scene, true, |step| match step.over {
        Over::Tunnel(tunnel) => Some(curve_data(&curves[tunnel])),
        Over::Segment => None,
    });
    for i in own {
        tunnel(canvas, &scene.tunnels[i], &curves[i], true);
    }
    canvas.close();
}

fn tunnel(canvas: &mut Canvas, link: &Link<'_>, curve: &Curve, on_path: bool) {
    let class = if link.plan.rank > 0 { "t standby" } else { "t" };
    canvas.path(&state(class, link.down, on_path), &curve_data(curve), Some(&about_tunnel(link)));
}

fn on_card(canvas: &mut Canvas, scene: &Scene<'_>, card: &Card, detail: Detail) {
    let site = &scene.sites[card.site];
    let networks: Vec<String> = site.networks.iter().map(ToString::to_string).collect();
    let pods: Vec<String> = site.pods.iter().map(ToString::to_string).collect();
    let title = format!(
        "Site {}: {}, {}, {}, nodes {}, pods {}",
        site.name,
        asns(&site.asns),
        count(site.routers.len(), "router"),
        count(site.nodes.len(), "node"),
        networks.join(", "),
        pods.join(", ")
    );
    canvas.open("s", &title);
    for words in &card.words {
        let class = if site.down { "dead" } else { "" };
        canvas.text(words.at, words.face, words.anchor, class, &words.text);
    }
    canvas.close();
    for plate in &card.plates {
        let router = &scene.routers[plate.router];
        canvas.open("r", &about_router(scene, plate.router));
        let class = if detail == Detail::Small { "square" } else { "plate" };
        let radius = if detail == Detail::Small { 2.5 } else { 6.0 };
        canvas.rect(&state(class, router.down, router.on_path), &plate.rect, radius);
        if router.down && detail == Detail::Small {
            canvas.cross(plate.rect.center(), 6.0);
        }
        for (i, line) in plate.lines.iter().enumerate() {
            let below = 15.0 * (length(i) - (length(plate.lines.len()) - 1.0) / 2.0);
            let at = plate.rect.center().along(Point::new(0.0, 1.0), below);
            let face = if i == 0 { Face::Name } else { Face::Small };
            let dead = router.down || (i == 2 && router.lines.iter().any(|(_, down)| *down));
            canvas.text(at, face, Anchor::Middle, if dead { "dead" } else { "" }, line);
        }
        canvas.close();
    }
    for pill in &card.pills {
        let (title, dead, on_path) = match pill.stands {
            Stands::Node(i) => {
                let (plan, node) = (scene.nodes[i].plan, &scene.nodes[i]);
                (
                    format!("Node {}: AS {}, {}", plan.name, plan.asn, plan.addresses.join(", ")),
                    node.down,
                    node.on_path,
                )
            }
            Stands::Many(hidden) => (format!("{} of {}", count(hidden, "node"), site.name), site.down, false),
        };
        canvas.open("d", &title);
        if matches!(pill.stands, Stands::Many(_)) {
            canvas.rect(&state("pill", dead, false), &pill.rect.moved(Point::new(3.0, 3.0)), 10.0);
        }
        canvas.rect(&state("pill", dead, on_path), &pill.rect, 10.0);
        canvas.text(
            pill.rect.center(),
            Face::Small,
            Anchor::Middle,
            if dead { "dead" } else { "" },
            &pill.text,
        );
        canvas.close();
    }
}

fn about_router(scene: &Scene<'_>, number: usize) -> String {
    let router = &scene.routers[number];
    let plan = router.plan;
    let lines: Vec<&str> = router.lines.iter().map(|(name, _)| *name).collect();
    format!(
        "Router {} ({}): AS {}, {}, {}{}{}",
        plan.name,
        super::scene::kind(plan),
        plan.asn,
        plan.addresses.join(", "),
        count(plan.sessions.len(), "session"),
        if lines.is_empty() { String::new() } else { format!(", lines {}", lines.join(", ")) },
        if router.down { ", down" } else { "" }
    )
}

/// Where crosses on tunnels are, not upon each other when there is room.
fn crosses(scene: &Scene<'_>, curves: &[Curve]) -> (Vec<Point>, Vec<Rect>) {
    let (mut places, mut taken): (Vec<Point>, Vec<Rect>) = (Vec::new(), Vec::new());
    for (_, curve) in scene.tunnels.iter().zip(curves).filter(|(link, _)| link.down && link.shown) {
        let around = |t: &f64| {
            let at = curve.at(*t);
            Rect::new(at.x, at.y, 0.0, 0.0).grown(radius(scene) + 2.0)
        };
        let free = |rect: &Rect| !taken.iter().any(|other| rect.meets(other));
        let rect = CROSS_AT.iter().map(around).find(free).unwrap_or_else(|| around(&CROSS_AT[0]));
        places.push(rect.center());
        taken.push(rect);
    }
    (places, taken)
}

/// Where on a tunnel to try to put its cross, best first.
const CROSS_AT: [f64; 5] = [0.5, 0.44, 0.56, 0.38, 0.62];

fn radius(scene: &Scene<'_>) -> f64 {
    if scene.tunnels.len() > MANY { 3.5 } else { 6.0 }
}

/// Arrows along the path: tip, and where it comes from.
fn arrows(scene: &Scene<'_>, layout: &Layout, curves: &[Curve]) -> Vec<(Point, Point)> {
    let arrow = |step: &Step| match step.over {
        Over::Tunnel(tunnel) => {
            let curve = &curves[tunnel];
            let ahead = Machine::Router(scene.tunnels[tunnel].ends[0]) == step.from;
            let (near, far) = if ahead { (0.3, 0.32) } else { (0.7, 0.68) };
            Some((curve.at(far), curve.at(near)))
        }
        Over::Segment => way(layout, step.from, step.to).map(|way| longest(&way)),
    };
    scene.steps.iter().filter_map(arrow).collect()
}

/// Texts, and the hub's numbers.
fn on_tunnels(canvas: &mut Canvas, scene: &Scene<'_>, labels: &[Label], ports: &[Port]) {
    for Label { tunnel, rect, text } in labels {
        canvas.open("l", &about_tunnel(&scene.tunnels[*tunnel]));
        canvas.rect("tag", rect, 3.0);
        canvas.text(rect.center(), Face::Small, Anchor::Middle, "", text);
        canvas.close();
    }
    let several = ports.iter().any(|port| port.number > 1);
    for port in ports {
        let radius = if several { 8.0 } else { 4.0 };
        let rect = Rect::new(port.at.x, port.at.y, 0.0, 0.0).grown(radius);
        canvas.rect(if several { "plate" } else { "square" }, &rect, radius);
        if several {
            canvas.text(port.at, Face::Small, Anchor::Middle, "", &port.number.to_string());
        }
    }
}

/// The middle of a way's longest part, and where that begins: a place for an arrow.
fn longest(way: &[Point]) -> (Point, Point) {
    let parts = way.iter().zip(way.iter().skip(1));
    let best = parts.max_by(|(a, b), (c, d)| a.distance(**b).total_cmp(&c.distance(**d)));
    best.map_or_else(Default::default, |(a, b)| (Point::new(a.x.midpoint(b.x), a.y.midpoint(b.y)), *a))
}

/// How wide a sample in the legend is.
const SAMPLE: f64 = 34.0;

/// A sample in the legend.
#[derive(Clone, Copy)]
enum Sample {
    Line(&'static str),
    Crossed(&'static str),
    Path,
    Square,
}

impl Sample {
    fn paint(self, canvas: &mut Canvas, at: Point) {
        let end = Point::new(at.x + SAMPLE, at.y);
        let middle = Point::new(at.x + SAMPLE / 2.0, at.y);
        let line = polyline(&[at, end]);
        match self {
            Self::Line(class) => canvas.path(class, &line, None),
            Self::Crossed(class) => {
                canvas.path(class, &line, None);
                canvas.cross(middle, 5.0);
            }
            Self::Path => {
                canvas.path("band", &line, None);
                canvas.arrow(middle, at);
            }
            Self::Square => {
                let rect = Rect::new(end.x - 11.0, at.y - 5.5, 11.0, 11.0);
                canvas.rect("square", &rect, 2.5);
            }
        }
    }
}

fn entry_width(text: &str) -> f64 {
    SAMPLE + 8.0 + Face::Small.width(text) + 24.0
}

/// Rows of samples and what they mean: only what is in the picture.
fn legend(scene: &Scene<'_>, layout: &Layout, labels: &[Label], room: f64) -> Vec<Vec<(Sample, String)>> {
    let standby = scene.tunnels.iter().any(|link| link.plan.rank > 0);
    let mut tunnel = if standby { "preferred tunnel, BGP over it" } else { "tunnel, BGP over it" }.to_owned();
    if let Some(mtu) = unwritten(scene, labels) {
        let _ = write!(tunnel, "; {mtu}");
    }
    let folded = scene.tunnels.iter().any(|link| !link.shown);
    let dashed = if folded { "standby tunnel, where it matters" } else { "standby tunnel" };
    let drawn = |kind: fn(PeerKind) -> bool| {
        layout.detail != Detail::Small && scene.sessions.iter().any(|peering| kind(peering.session.with))
    };
    let all = [
        (layout.detail == Detail::Small, Sample::Square, "router".to_owned()),
        (!scene.tunnels.is_empty(), Sample::Line("t"), tunnel),
        (standby, Sample::Line("t standby"), dashed.to_owned()),
        (drawn(|kind| kind == PeerKind::Node), Sample::Line("n"), "BGP session with a node".to_owned()),
        (
            drawn(|kind| kind == PeerKind::Sibling),
            Sample::Line("sibling"),
            "BGP session inside a site".to_owned(),
        ),
        (!scene.steps.is_empty(), Sample::Path, "predicted path".to_owned()),
        (scene.down.is_some(), Sample::Crossed("t dead"), "down".to_owned()),
    ];
    let mut rows: Vec<Vec<(Sample, String)>> = Vec::new();
    let mut left = 0.0;
    for (_, sample, text) in all.into_iter().filter(|(shown, ..)| *shown) {
        let wide = entry_width(&text);
        match rows.last_mut() {
            Some(row) if wide <= left => row.push((sample, text)),
            _ => {
                rows.push(vec![(sample, text)]);
                left = room;
            }
        }
        left -= wide;
    }
    rows
}
