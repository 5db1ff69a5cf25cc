//! How tunnels run: from a router's border through the empty middle to another's, without crossing each other near
//! their ends, curved where both ends are on one side.

use super::geometry::{Curve, Point, Rect, Side, length};
use super::layout::Layout;
use super::scene::Scene;

/// Farthest that two tunnels' ends are apart on a router.
pub(super) const APART: f64 = 20.0;

/// The part of a router's border that tunnels use.
pub(super) const USED: f64 = 0.86;

/// Ends at the hub, where each router of it has one on each side: place and number.
pub(super) struct Port {
    pub at: Point,
    pub number: usize,
}

/// All tunnels' curves, in the order of `scene.tunnels`, from the first end to the second.
pub(super) fn curves(scene: &Scene<'_>, layout: &Layout) -> (Vec<Curve>, Vec<Port>) {
    // Every router's place around the picture, clockwise.
    let mut ring = vec![0; scene.routers.len()];
    let mut plates: Vec<Option<(Side, Rect)>> = vec![None; scene.routers.len()];
    let mut turn = 0;
    for (i, card) in layout.cards.iter().enumerate() {
        if layout.hub == Some(i) {
            continue;
        }
        let mut own: Vec<_> = card.plates.iter().collect();
        if matches!(card.side, Side::Bottom | Side::Left) {
            own.reverse();
        }
        for plate in own {
            ring[plate.router] = turn;
            plates[plate.router] = Some((card.side, plate.rect));
            turn += 1;
        }
    }
    let mut ends: Vec<Vec<(usize, usize)>> = vec![Vec::new(); scene.routers.len()];
    for (i, link) in scene.tunnels.iter().enumerate() {
        for (end, router) in link.ends.into_iter().enumerate() {
            ends[router].push((i, end));
        }
    }
    let mut at = vec![[(Point::default(), Point::default()); 2]; scene.tunnels.len()];
    let mut ports = Vec::new();
    for (router, own) in ends.iter_mut().enumerate() {
        let Some((side, rect)) = plates[router] else { continue };
        // The next router clockwise is reached from the last place, so that lines leave side by side. Of parallel
        // tunnels the first is the first at one end and the last at the other.
        own.sort_by_key(|&(tunnel, end)| {
            let far = scene.tunnels[tunnel].ends[1 - end];
            let ahead = (ring[far] + turn - ring[router]) % turn.max(1);
            let place = i64::try_from(tunnel).unwrap_or(i64::MAX);
            (std::cmp::Reverse(ahead), if end == 0 { place } else { -place })
        });
        let inner = side.opposite();
        let long = if side.is_row() { rect.w } else { rect.h };
        let apart = (USED * long / length(own.len().max(1))).min(APART);
        for (place, &(tunnel, end)) in own.iter().enumerate() {
            let offset = (length(place) - (length(own.len()) - 1.0) / 2.0) * apart;
            at[tunnel][end] = (inner.point(&rect, 0.5 - offset / long), side.inward());
        }
    }
    if let Some(hub) = layout.hub {
        ports = hub_ports(scene, layout, hub, &plates, &mut at);
    }
    let curves = at.iter().map(|[a, b]| bend(*a, *b, &layout.arena)).collect();
    (curves, ports)
}

/// Gives the tunnels their ends at the card in the middle: on the side that the other end is on.
fn hub_ports(
    scene: &Scene<'_>,
    layout: &Layout,
    hub: usize,
    plates: &[Option<(Side, Rect)>],
    at: &mut [[(Point, Point); 2]],
) -> Vec<Port> {
    let card = &layout.cards[hub];
    let routers = &scene.sites[card.site].routers;
    let mut ports: Vec<Port> = Vec::new();
    for (tunnel, link) in scene.tunnels.iter().enumerate() {
        for end in 0..2 {
            let Some(place) = routers.iter().position(|router| *router == link.ends[end]) else { continue };
            let Some((side, _)) = plates[link.ends[1 - end]] else { continue };
            let part = (length(place) + 1.0) / (length(routers.len()) + 1.0);
            // The same order from left to right, and from top to bottom, on opposite sides.
            let part = if matches!(side, Side::Bottom | Side::Left) { 1.0 - part } else { part };
            let point = side.point(&card.rect, part);
            at[tunnel][end] = (point, side.opposite().inward());
            if !ports.iter().any(|port| port.at == point) {
                ports.push(Port { at: point, number: place + 1 });
            }
        }
    }
    ports
}

/// A curve between two places that leaves each in its direction. Its control points are inside the arena, hence so is it.
fn bend(a: (Point, Point), b: (Point, Point), arena: &Rect) -> Curve {
    let distance = a.0.distance(b.0);
    // Straight across, but well away from the border when both are on one side.
    let same = a.1.x * b.1.x + a.1.y * b.1.y > 0.5;
    let (pull, depth) = if same { (0.42, 0.8) } else { (0.2, 0.6) };
    let room = if a.1.x == 0.0 { arena.h } else { arena.w };
    let pull = (pull * distance).max(26.0).min(depth * room);
    Curve([a.0, a.0.along(a.1, pull), b.0.along(b.1, pull), b.0])
}
