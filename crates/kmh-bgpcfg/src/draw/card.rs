//! A site's card: where its texts, routers, nodes and sessions are inside it. Routers stand at the side that looks to the
//! middle of the picture, so that tunnels leave without crossing anything; sessions run in lanes beside the nodes, like
//! the lines of a family tree, so that they cross no text.

use super::canvas::{Anchor, Face};
use super::curve::{APART, USED};
use super::geometry::{Point, Rect, Side, length};
use super::measure::fit;
use super::scene::{Machine, Scene, Site, asns, count, kind};

/// Space between a card's border and what is in it.
const PAD: f64 = 12.0;
/// Height of a line of text.
const LINE: f64 = 15.0;
/// Height of the line with the site's name.
const HEAD: f64 = 20.0;
/// A node's box, and the space below it.
const PILL: f64 = 20.0;
const PILL_GAP: f64 = 6.0;
/// Between the lanes of two routers' sessions.
const LANE: f64 = 6.0;
/// Nodes in a column before there is a second one.
const ROWS: usize = 6;
/// Widest name that is not cut.
const ROOM: f64 = 190.0;
/// Between routers one below the other.
const STACKED: f64 = 24.0;
/// Up to so many tunnels of a router are kept so far apart that there can be something written on each.
const WRITTEN: usize = 6;
/// A router without text.
const SQUARE: f64 = 11.0;

/// How much there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Names and numbers of sites; routers without names.
    Small,
    /// Routers with names.
    Medium,
    /// Networks and pools, too.
    Full,
}

impl Detail {
    pub(super) fn of(scene: &Scene<'_>) -> Self {
        match scene.sites.len() {
            0..=12 => Self::Full,
            13..=24 => Self::Medium,
            _ if scene.each => Self::Medium,
            _ => Self::Small,
        }
    }
}

/// What a node's box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Node(usize),
    /// That many.
    Many(usize),
}

/// A node's box.
#[derive(Clone, Debug)]
pub(super) struct Pill {
    pub stands: Stands,
    pub rect: Rect,
    pub text: String,
    column: usize,
}

/// A router's box.
#[derive(Clone, Debug)]
pub(super) struct Plate {
    pub router: usize,
    pub rect: Rect,
    /// Its texts, the first one its name.
    pub lines: Vec<String>,
}

/// A text of the card itself.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub at: Point,
    pub face: Face,
    pub anchor: Anchor,
    pub text: String,
}

/// A site with all its places.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub site: usize,
    /// Where in the picture it stands.
    pub side: Side,
    pub rect: Rect,
    pub words: Vec<Words>,
    pub plates: Vec<Plate>,
    pub pills: Vec<Pill>,
    /// Left edge of each column of nodes.
    columns: Vec<f64>,
    /// Where sessions run across, and which way further routers' lanes lie.
    bus: f64,
    step: f64,
}

impl Card {
    /// A card at (0, 0) for that side of the picture.
    pub(super) fn new(scene: &Scene<'_>, number: usize, side: Side, detail: Detail, middle: bool) -> Self {
        let site = &scene.sites[number];
        let mut card = Self {
            site: number,
            side,
            rect: Rect::default(),
            words: Vec::new(),
            plates: Vec::new(),
            pills: Vec::new(),
            columns: Vec::new(),
            bus: 0.0,
            step: LANE,
        };
        if detail == Detail::Small {
            card.small(scene, site, middle);
        } else {
            // In the middle, numbers at the borders tell whose tunnels arrive there.
            card.large(scene, site, detail, middle && site.routers.len() > 1);
        }
        card
    }

    pub(super) fn move_by(&mut self, by: Point) {
        self.rect = self.rect.moved(by);
        self.words.iter_mut().for_each(|words| words.at = words.at.along(by, 1.0));
        self.plates.iter_mut().for_each(|plate| plate.rect = plate.rect.moved(by));
        self.pills.iter_mut().for_each(|pill| pill.rect = pill.rect.moved(by));
        self.columns.iter_mut().for_each(|x| *x += by.x);
        self.bus += by.y;
    }

    /// Wider, when it is narrower than the others of its kind.
    pub(super) fn widen(&mut self, width: f64) {
        let more = (width - self.rect.w).max(0.0);
        self.rect.w += more;
        for plate in &mut self.plates {
            plate.rect.x += match self.side {
                Side::Left => more,
                Side::Right => 0.0,
                Side::Top | Side::Bottom => more / 2.0,
            };
        }
    }

    fn small(&mut self, scene: &Scene<'_>, site: &Site<'_>, middle: bool) {
        let dead = site.nodes.iter().filter(|node| scene.nodes[**node].down).count();
        let mut second = [asns(&site.asns), count(site.nodes.len(), "node")].join(" · ");
        if dead > 0 && !site.down {
            second = format!("{second}, × {dead}");
        }
        let name = fit(&dead_mark(site.down, site.name), 12.0, true, ROOM * 0.75);
        let second = fit(&second, 11.0, false, ROOM);
        let all = length(site.routers.len());
        let squares = if middle { 16.0 * all } else { 0.0 };
        let width = (Face::Name.width(&name) + squares).max(Face::Small.width(&second)) + 22.0;
        // In the middle, there are numbers on all borders; else the routers' squares take a few pixels of one side.
        let room = if middle && site.routers.len() > 1 { 8.0 } else { 0.0 };
        self.rect = Rect::new(0.0, 0.0, width + 2.0 * room, 40.0 + 2.0 * room);
        let (x, y) = match self.side {
            Side::Top | Side::Left => (9.0 + room, room),
            Side::Right => (13.0, 0.0),
            Side::Bottom => (9.0, 2.0),
        };
        self.word(Point::new(x, y + 12.5), Face::Name, Anchor::Start, name);
        self.word(Point::new(x, y + 27.0), Face::Small, Anchor::Start, second);
        for (i, &router) in site.routers.iter().enumerate() {
            let part = (length(i) + 1.0) / (all + 1.0);
            let at = if middle {
                Point::new(self.rect.w - 10.0 - room - 16.0 * (all - 1.0 - length(i)), y + 12.5)
            } else {
                self.side.opposite().point(&self.rect, 1.0 - part)
            };
            let rect = Rect::new(at.x, at.y, 0.0, 0.0).grown(SQUARE / 2.0);
            self.plates.push(Plate { router, rect, lines: Vec::new() });
        }
    }

    fn large(&mut self, scene: &Scene<'_>, site: &Site<'_>, detail: Detail, numbered: bool) {
        let (head, head_width) = head(site, detail);
        let mut plates = plates(scene, site, numbered);
        if !self.side.is_row() {
            // Of one width, and high enough for what is written on tunnels that leave side by side.
            let widest = plates.iter().map(|(_, size)| size.x).fold(0.0, f64::max);
            for (&router, (_, size)) in site.routers.iter().zip(&mut plates) {
                let tunnels = scene.tunnels.iter().filter(|link| link.ends.contains(&router)).count();
                size.x = widest;
                if tunnels <= WRITTEN {
                    size.y = size.y.max(length(tunnels) * APART / USED);
                }
            }
        }
        let pills = pills(scene, site);
        let lanes = length(site.routers.len()) + 1.0;
        let gutter = 10.0 + LANE * lanes;
        let pill_width = pills.iter().map(|(_, text)| Face::Small.width(text)).fold(30.0, f64::max) + 18.0;
        let rows = rows(pills.len());
        let columns = pills.len().div_ceil(rows);
        let pills_height = (PILL + PILL_GAP) * length(pills.len().min(rows));
        let pills_width = (pill_width + gutter) * length(columns);

        // Routers side by side above or below the nodes, or one below the other at the left or right border.
        let row = self.side.is_row();
        let (between, widths) = (30.0, plates.iter().map(|(_, size)| size.x));
        let tallest = plates.iter().map(|(_, size)| size.y).fold(0.0, f64::max);
        let (plates_width, plates_height) = if row {
            (widths.sum::<f64>() + between * (length(plates.len()) - 1.0).max(0.0), tallest)
        } else {
            let height = plates.iter().map(|(_, size)| size.y + STACKED).sum::<f64>() - STACKED;
            (widths.fold(0.0, f64::max) + gutter, height.max(0.0))
        };
        let inner = head_width.max(pills_width).max(plates_width);
        let width = inner + 2.0 * PAD;
        let across = if pills.is_empty() { 0.0 } else { 8.0 + LANE * lanes };

        let mut y = PAD;
        let head_height = HEAD + LINE * length(head.len() - 1) + 8.0;
        let (head_y, plates_y, pills_y);
        match self.side {
            Side::Top => {
                head_y = y;
                y += head_height;
                pills_y = y;
                y += pills_height + across;
                plates_y = y;
                y += plates_height;
                self.bus = plates_y - 8.0;
                self.step = -LANE;
            }
            Side::Bottom => {
                plates_y = y;
                y += plates_height;
                self.bus = y + 8.0;
                y += across + PILL_GAP;
                pills_y = y;
                y += pills_height + 4.0;
                head_y = y;
                y += head_height - 12.0;
            }
            Side::Left | Side::Right => {
                head_y = y;
                y += head_height;
                plates_y = y;
                y += plates_height;
                self.bus = y + 8.0;
                y += across + if pills.is_empty() { 0.0 } else { PILL_GAP };
                pills_y = y;
                y += pills_height - if pills.is_empty() { 0.0 } else { PILL_GAP };
            }
        }
        self.rect = Rect::new(0.0, 0.0, width, y + PAD);

        for (i, (face, text)) in head.into_iter().enumerate() {
            let line = if i == 0 { HEAD / 2.0 } else { HEAD + LINE * (length(i) - 0.5) };
            self.word(Point::new(PAD, head_y + line), face, Anchor::Start, text);
        }
        let asns = asns(&site.asns);
        if !asns.is_empty() {
            self.word(Point::new(width - PAD, head_y + HEAD / 2.0), Face::Sub, Anchor::End, asns);
        }
        let left = PAD + ((inner - pills_width) / 2.0).max(0.0);
        self.columns = (0..columns).map(|c| left + gutter + (pill_width + gutter) * length(c)).collect();
        for (i, (stands, text)) in pills.into_iter().enumerate() {
            let (column, place) = (i / rows, i % rows);
            let y = pills_y + (PILL + PILL_GAP) * length(place);
            let rect = Rect::new(self.columns[column], y, pill_width, PILL);
            self.pills.push(Pill { stands, rect, text, column });
        }
        let mut at = Point::new((width - plates_width) / 2.0, plates_y);
        for (i, (lines, size)) in plates.into_iter().enumerate() {
            let (x, y) = match self.side {
                Side::Top => (at.x, at.y + tallest - size.y),
                Side::Bottom => (at.x, at.y),
                Side::Left => (width - PAD - size.x, at.y),
                Side::Right => (PAD, at.y),
            };
            at = if row {
                Point::new(at.x + size.x + between, at.y)
            } else {
                Point::new(at.x, at.y + size.y + STACKED)
            };
            self.plates.push(Plate { router: site.routers[i], rect: Rect::new(x, y, size.x, size.y), lines });
        }
    }

    fn word(&mut self, at: Point, face: Face, anchor: Anchor, text: String) {
        self.words.push(Words { at, face, anchor, text });
    }

    /// The way of a session, or of a packet, between two machines of the site; none when one is not drawn.
    pub(super) fn way(&self, from: Machine, to: Machine) -> Option<Vec<Point>> {
        match (from, to) {
            (Machine::Router(a), Machine::Router(b)) => self.between(self.plate(a)?, self.plate(b)?),
            (Machine::Router(router), Machine::Node(_)) => {
                let lane = self.plate(router)?;
                let mut way = self.down_from(lane);
                way.extend(self.up_to(self.pill(to)?, lane));
                Some(way)
            }
            (Machine::Node(_), Machine::Router(_)) => {
                let mut way = self.way(to, from)?;
                way.reverse();
                Some(way)
            }
            (Machine::Node(_), Machine::Node(_)) => {
                // In a lane of its own, beside those of the routers.
                let lane = self.plates.len();
                let (a, b) = (self.pill(from)?, self.pill(to)?);
                let (mut way, mut back) = (self.up_to(a, lane), self.up_to(b, lane));
                if a.column == b.column {
                    (way, back) = (way.split_off(1), back.split_off(1));
                }
                way.reverse();
                way.extend(back);
                Some(way)
            }
        }
    }

    /// The way to the box that stands for the nodes without one of their own.
    pub(super) fn way_to_many(&self, router: usize) -> Option<Vec<Point>> {
        let lane = self.plate(router)?;
        let pill = self.pills.iter().find(|pill| matches!(pill.stands, Stands::Many(_)))?;
        let mut way = self.down_from(lane);
        way.extend(self.up_to(pill, lane));
        Some(way)
    }

    fn plate(&self, router: usize) -> Option<usize> {
        self.plates.iter().position(|plate| plate.router == router)
    }

    fn pill(&self, machine: Machine) -> Option<&Pill> {
        self.pills
            .iter()
            .find(|pill| matches!((pill.stands, machine), (Stands::Node(a), Machine::Node(b)) if a == b))
    }

    /// Two routers of the site: straight from border to border.
    fn between(&self, a: usize, b: usize) -> Option<Vec<Point>> {
        let (a, b) = (self.plates.get(a)?.rect, self.plates.get(b)?.rect);
        let (from, to) = if self.side.is_row() {
            let y = a.y.max(b.y).midpoint(a.bottom().min(b.bottom()));
            let xs = if a.x < b.x { (a.right(), b.x) } else { (a.x, b.right()) };
            (Point::new(xs.0, y), Point::new(xs.1, y))
        } else {
            let x = a.x.max(b.x).midpoint(a.right().min(b.right()));
            let ys = if a.y < b.y { (a.bottom(), b.y) } else { (a.y, b.bottom()) };
            (Point::new(x, ys.0), Point::new(x, ys.1))
        };
        Some(vec![from, to])
    }

    /// From a router to where its sessions run across.
    fn down_from(&self, lane: usize) -> Vec<Point> {
        let plate = self.plates[lane].rect;
        let y = self.bus + self.step * length(lane);
        let aside = 10.0 + LANE * length(self.plates.len() - 1 - lane);
        let middle = plate.center();
        match self.side {
            Side::Top => vec![Point::new(middle.x, plate.y), Point::new(middle.x, y)],
            Side::Bottom => vec![Point::new(middle.x, plate.bottom()), Point::new(middle.x, y)],
            Side::Left => {
                let x = self.plates.iter().map(|plate| plate.rect.x).fold(plate.x, f64::min) - aside;
                vec![Point::new(plate.x, middle.y), Point::new(x, middle.y), Point::new(x, y)]
            }
            Side::Right => {
                let x =
                    self.plates.iter().map(|plate| plate.rect.right()).fold(plate.right(), f64::max) + aside;
                vec![Point::new(plate.right(), middle.y), Point::new(x, middle.y), Point::new(x, y)]
            }
        }
    }

    /// From where the sessions run across to a node.
    fn up_to(&self, pill: &Pill, lane: usize) -> Vec<Point> {
        let x = self.columns[pill.column] - 8.0 - LANE * length(lane);
        let y = pill.rect.center().y;
        vec![Point::new(x, self.bus + self.step * length(lane)), Point::new(x, y), Point::new(pill.rect.x, y)]
    }
}

/// A text with a cross before it, when what it names is down.
pub(super) fn dead_mark(down: bool, text: &str) -> String {
    if down { format!("× {text}") } else { text.to_owned() }
}

/// Name, networks, pools; and how wide they are, the AS number beside the name included.
fn head(site: &Site<'_>, detail: Detail) -> (Vec<(Face, String)>, f64) {
    let name = fit(&dead_mark(site.down, site.name), 15.0, true, ROOM);
    let mut wide = Face::Site.width(&name) + Face::Sub.width(&asns(&site.asns)) + 18.0;
    let mut lines = vec![(Face::Site, name)];
    if detail == Detail::Full {
        for (what, nets) in [("nodes", &site.networks), ("pods", &site.pods)] {
            lines.extend(nets.iter().map(|net| (Face::Sub, format!("{what} {net}"))));
        }
    }
    for (face, text) in &lines[1..] {
        wide = wide.max(face.width(text));
    }
    (lines, wide)
}

/// Texts and size of each router's box.
fn plates(scene: &Scene<'_>, site: &Site<'_>, numbered: bool) -> Vec<(Vec<String>, Point)> {
    let texts = site.routers.iter().enumerate().map(|(i, &router)| {
        let router = &scene.routers[router];
        let place = if numbered { format!("{}: ", i + 1) } else { String::new() };
        let name = format!("{place}{}", dead_mark(router.down, &router.plan.name));
        let mut lines = vec![fit(&name, 12.0, true, ROOM), kind(router.plan)];
        let uplinks: Vec<String> = router.lines.iter().map(|(name, down)| dead_mark(*down, name)).collect();
        if !uplinks.is_empty() {
            lines.push(fit(&format!("via {}", uplinks.join(", ")), 11.0, false, ROOM));
        }
        lines
    });
    texts
        .map(|lines| {
            let rest = lines[1..].iter().map(|line| Face::Small.width(line));
            let wide = rest.fold(Face::Name.width(&lines[0]), f64::max);
            let size = Point::new(wide + 22.0, 12.0 + LINE * length(lines.len()));
            (lines, size)
        })
        .collect()
}

/// What boxes of nodes there are.
fn pills(scene: &Scene<'_>, site: &Site<'_>) -> Vec<(Stands, String)> {
    let mut pills: Vec<(Stands, String)> = site
        .shown
        .iter()
        .map(|&i| {
            let node = &scene.nodes[i];
            let name = fit(&dead_mark(node.down, &node.plan.name), 11.0, false, ROOM);
            let asn = if scene.node_asns { format!(" · AS {}", node.plan.asn) } else { String::new() };
            (Stands::Node(i), format!("{name}{asn}"))
        })
        .collect();
    let hidden = site.nodes.len() - site.shown.len();
    if hidden > 0 {
        let text = match site.shown.len() {
            0 => count(hidden, "node"),
            _ => format!("{hidden} more"),
        };
        pills.push((Stands::Many(hidden), dead_mark(site.down, &text)));
    }
    pills
}

/// How many nodes stand in a column: two columns at once, more when there are many, to keep the card in proportion.
fn rows(pills: usize) -> usize {
    let mut rows = ROWS;
    while rows * rows < pills * 2 {
        rows += 1;
    }
    rows
}
