//! SVG.

use super::*;
use crate::draw::canvas::{Anchor, Canvas};
use crate::draw::curve::curves;
use crate::draw::geometry::Rect;
use crate::draw::layout::Layout;
use crate::draw::scene::{Machine, Scene};
use crate::draw::svg::paint;

fn painted(spec: &NetworkSpec, options: &Options<'_>) -> Canvas {
    paint(&Scene::new(spec, options))
}

/// The picture's size, from its `viewBox`.
fn page(svg: &str) -> Rect {
    let numbers = svg.split_once("viewBox=\"0 0 ").unwrap().1.split_once('"').unwrap().0;
    let (w, h) = numbers.split_once(' ').unwrap();
    Rect::new(0.0, 0.0, w.parse().unwrap(), h.parse().unwrap())
}

#[test]
fn everything_is_in_it_once() {
    for shape in shapes() {
        let spec = network(shape, "s");
        let text = svg(&spec, Options { nodes: Nodes::Each, ..Options::default() });
        for router in &spec.routers {
            assert_eq!(times(&text, &format!("<title>Site {}:", router.site)), 1);
            assert_eq!(times(&text, &format!("<title>Router {} (", router.name)), 1);
        }
        for node in &spec.nodes {
            assert_eq!(times(&text, &format!("<title>Node {}:", node.name)), 1);
            let at_site = spec.routers.iter().filter(|router| router.site == node.site).count();
            assert_eq!(
                times(&text, &format!(" – {}: IPv4", node.name)),
                at_site,
                "sessions of {}",
                node.name
            );
        }
        let paths: Vec<&str> = text.lines().filter(|line| line.starts_with("<path")).collect();
        if spec.tunnels.len() <= 1500 {
            for tunnel in &spec.tunnels {
                let own = format!("\"><title>Tunnel {}:", tunnel.name);
                assert_eq!(paths.iter().filter(|line| line.contains(&own)).count(), 1, "{}", tunnel.name);
            }
        }
    }
}

#[test]
fn nodes_are_shown_one_by_one_up_to_a_dozen_a_site() {
    let shown = |nodes: usize, which: Nodes| {
        let spec = network(Shape { nodes, ..ARTICLE }, "s");
        let text = svg(&spec, Options { nodes: which, ..Options::default() });
        (times(&text, "<title>Node "), times(&text, &format!(">{nodes} nodes</text>")))
    };
    assert_eq!(shown(12, Nodes::Auto), (36, 0));
    assert_eq!(shown(13, Nodes::Auto), (0, 3));
    assert_eq!(shown(13, Nodes::Each), (39, 0));
    assert_eq!(shown(2, Nodes::Count), (0, 3));
    // What the path or a failure is about is there nevertheless.
    let spec = network(Shape { nodes: 40, ..ARTICLE }, "s");
    let down = Down { nodes: set(&["s00-n7"]), ..Down::default() };
    let text =
        svg(&spec, Options { path: path(&["s01-n3", "s01-r0"]), down: Some(&down), ..Options::default() });
    for (name, number) in [("× s00-n7", 1), ("39 more", 2), ("s01-n3", 1), ("40 nodes", 1)] {
        assert_eq!(times(&text, &format!(">{name}</text>")), number, "{name}");
    }
}

#[test]
fn no_text_meets_another_or_leaves_the_page() {
    for shape in shapes() {
        for nodes in [Nodes::Auto, Nodes::Each] {
            let spec = network(shape, "a-longer-name-");
            let down = Down { routers: set(&["a-longer-name-01-r0"]), ..Down::default() };
            let title =
                Some("a cluster with a name that goes on for quite a while, longer than the picture may be");
            let canvas = painted(&spec, &Options { nodes, title, down: Some(&down), ..Options::default() });
            let page = page(&canvas.out);
            for (i, (rect, text)) in canvas.texts.iter().enumerate() {
                let inside =
                    rect.x >= 0.0 && rect.y >= 0.0 && rect.right() <= page.w && rect.bottom() <= page.h;
                assert!(inside, "{text:?} at {rect:?} leaves {page:?}, {} sites", shape.sites);
                for (other, words) in &canvas.texts[i + 1..] {
                    assert!(
                        !rect.meets(other),
                        "{text:?} at {rect:?} meets {words:?}, {} sites",
                        shape.sites
                    );
                }
            }
        }
    }
}

#[test]
fn a_text_without_room_on_its_tunnel_is_left_out() {
    let labels = |name: &str| {
        let mut spec = network(Shape { sites: 2, lines: 2, ..ARTICLE }, "s");
        spec.tunnels
            .iter_mut()
            .flat_map(|tunnel| &mut tunnel.ends)
            .for_each(|end| end.uplink = name.to_owned());
        let canvas = painted(&spec, &Options::default());
        for (i, (rect, text)) in canvas.texts.iter().enumerate() {
            let met = canvas.texts[i + 1..].iter().find(|(other, _)| rect.meets(other));
            assert!(met.is_none(), "{text:?} meets {met:?}");
        }
        times(&canvas.out, "class=\"tag\"")
    };
    assert_eq!(labels("dsl"), 4);
    assert_eq!(labels("a-line-with-a-name-of-many-characters-but-no-more-than-allowed"), 0);
}

#[test]
fn no_tunnel_crosses_a_card() {
    for shape in shapes() {
        let spec = network(shape, "s");
        let options = Options::default();
        let scene = Scene::new(&spec, &options);
        let layout = Layout::new(&scene);
        let (curves, _) = curves(&scene, &layout);
        for (i, card) in layout.cards.iter().enumerate() {
            for other in &layout.cards[i + 1..] {
                assert!(!card.rect.meets(&other.rect), "{} sites: two cards meet", shape.sites);
            }
            for (link, curve) in scene.tunnels.iter().zip(&curves) {
                let own = link.ends.iter().any(|router| scene.routers[*router].site == card.site);
                let crossed = (0..=20).any(|t| card.rect.holds(curve.at(f64::from(t) / 20.0)));
                assert!(own || !crossed, "{} crosses {}", link.plan.name, scene.sites[card.site].name);
                // It leaves its own card by the nearest border.
                let deep = own && card.rect.grown(-14.0).holds(curve.at(0.5));
                assert!(!deep, "{} stays in {}", link.plan.name, scene.sites[card.site].name);
            }
        }
    }
}

#[test]
fn no_session_crosses_a_box_or_a_text() {
    for shape in shapes().filter(|shape| shape.sites < 25) {
        let spec = network(Shape { nodes: 9, ..shape }, "s");
        let options = Options { path: path(&["s00-n0", "s00-n1"]), ..Options::default() };
        let scene = Scene::new(&spec, &options);
        for card in Layout::new(&scene).cards {
            let words = card.words.iter().map(|words| {
                let wide = words.face.width(&words.text);
                let left = if words.anchor == Anchor::End { words.at.x - wide } else { words.at.x };
                Rect::new(left, words.at.y - 6.0, wide, 12.0)
            });
            let boxes =
                card.pills.iter().map(|pill| pill.rect).chain(card.plates.iter().map(|plate| plate.rect));
            let all: Vec<Rect> = boxes.chain(words).collect();
            let own = scene.sessions.iter().map(|peering| (Machine::Router(peering.router), peering.peer));
            let ends =
                own.chain([(Machine::Node(0), Machine::Node(1)), (Machine::Node(0), Machine::Node(8))]);
            let ways: Vec<_> = ends.filter_map(|(from, to)| card.way(from, to)).collect();
            assert!(ways.len() >= 9 * shape.routers, "{} sites", shape.sites);
            for (a, b) in ways.iter().flat_map(|way| way.iter().zip(&way[1..])) {
                let part = Rect::new(a.x.min(b.x), a.y.min(b.y), (a.x - b.x).abs(), (a.y - b.y).abs());
                assert!(part.w.min(part.h) < 0.001, "{a:?} {b:?} is aslant");
                let met = all.iter().find(|rect| part.meets(rect));
                assert!(met.is_none(), "{part:?} meets {met:?}, {} sites, {:?}", shape.sites, card.side);
                assert!(
                    part.x > card.rect.x && part.right() < card.rect.right(),
                    "{part:?} leaves {:?}",
                    card.rect
                );
            }
        }
    }
}

#[test]
fn what_is_down_is_crossed_and_dashed() {
    let spec = network(Shape { sites: 4, routers: 2, lines: 2, nodes: 2, hub: false }, "s");
    let dead = |down: &Down, title: &str| {
        let text = svg(&spec, Options { down: Some(down), ..Options::default() });
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("<path") && line.contains(title)).collect();
        let marked = lines.iter().filter(|line| line.contains(" dead\"")).count();
        (marked, lines.len(), times(&text, "class=\"cross\""))
    };
    // The legend has a cross, too.
    let tunnel = Down { tunnels: set(&["s00-r0--s01-r0--0-0"]), ..Down::default() };
    assert_eq!(dead(&tunnel, "<title>Tunnel "), (1, 96, 2));
    let line = Down { uplinks: set(&["s00-r0/line1"]), ..Down::default() };
    assert_eq!(dead(&line, "<title>Tunnel s00-r0"), (12, 24, 13));
    let router = Down { routers: set(&["s00-r0"]), ..Down::default() };
    assert_eq!(dead(&router, "<title>Tunnel s00-r0"), (24, 24, 25));
    assert_eq!(dead(&router, "<title>Session s00-r"), (3, 5, 25));
    let site = Down { sites: set(&["s00"]), ..Down::default() };
    assert_eq!(dead(&site, "<title>Tunnel s00-"), (48, 48, 49));
    assert_eq!(dead(&site, "<title>Session s00-r"), (5, 5, 49));
    let node = Down { nodes: set(&["s00-n1"]), ..Down::default() };
    assert_eq!(dead(&node, "<title>Session s00-r"), (2, 5, 1));
    assert_eq!(dead(&Down::default(), "<title>"), (0, 116, 0));

    // Words say it, too.
    for (down, words) in [
        (&tunnel, "Down: tunnel s00-r0--s01-r0--0-0"),
        (&line, ">via line0, × line1</text>"),
        (&router, ">× s00-r0</text>"),
        (&site, ">× s00</text>"),
        (&node, ">× s00-n1</text>"),
    ] {
        assert!(svg(&spec, Options { down: Some(down), ..Options::default() }).contains(words), "{words}");
    }
}

#[test]
fn the_path_takes_the_best_tunnel_that_is_up() {
    let spec = network(Shape { sites: 3, routers: 1, lines: 2, nodes: 2, hub: false }, "s");
    let way = path(&["s00-n0", "s00-r0", "s01-r0", "s01-n1"]);
    let taken = |down: Option<&Down>| {
        let text = svg(&spec, Options { path: way.clone(), down, ..Options::default() });
        assert_eq!(times(&text, "<path class=\"band\""), 4, "three steps and the legend");
        assert_eq!(times(&text, "class=\"arrow\""), 4);
        let line =
            text.lines().find(|line| line.starts_with("<path class=\"t") && line.contains(" way\"")).unwrap();
        line.split_once("<title>Tunnel ").unwrap().1.split_once(':').unwrap().0.to_owned()
    };
    assert_eq!(taken(None), "s00-r0--s01-r0--0-0");
    let down = Down { uplinks: set(&["s01-r0/line0"]), ..Down::default() };
    assert_eq!(taken(Some(&down)), "s00-r0--s01-r0--0-1");
    // Between nodes of a site no router is visited.
    let text = svg(&spec, Options { path: path(&["s00-n0", "s00-n1"]), ..Options::default() });
    assert_eq!(times(&text, "<title>s00-n0 → s00-n1</title>"), 1);
}

#[test]
fn a_hub_stands_in_the_middle() {
    let spec = network(Shape { sites: 9, routers: 2, lines: 1, nodes: 1, hub: true }, "s");
    let options = Options::default();
    let scene = Scene::new(&spec, &options);
    let layout = Layout::new(&scene);
    let hub = &layout.cards[layout.hub.unwrap()];
    assert_eq!(scene.sites[hub.site].name, "s00");
    let middle = hub.rect.center();
    assert!(
        (middle.x - layout.arena.center().x).abs() < 1.0 && (middle.y - layout.arena.center().y).abs() < 1.0
    );
    let text = svg(&spec, options);
    assert!(text.contains(">1: s00-r0</text>") && text.contains(">2</text>"), "{text}");
    // A mesh has none, and neither have two sites.
    for shape in [Shape { sites: 9, ..ARTICLE }, Shape { sites: 2, hub: true, ..ARTICLE }] {
        assert_eq!(Scene::new(&network(shape, "s"), &Options::default()).hub, None);
    }
}

#[test]
fn fifty_sites_fit_into_a_megabyte() {
    for (routers, lines) in [(1, 1), (2, 2)] {
        let spec = network(Shape { sites: 50, routers, lines, nodes: 100, hub: false }, "s");
        let down = Down { routers: set(&["s07-r0"]), sites: set(&["s31"]), ..Down::default() };
        let text = svg(&spec, Options { down: Some(&down), ..Options::default() });
        assert!(text.len() < 1_000_000, "{} octets", text.len());
        assert_eq!(times(&text, ">AS 65012 · 100 nodes</text>"), 1);
        // Standby tunnels are not all drawn, and it says how many are not.
        let drawn = text.lines().filter(|line| line.contains("<title>Tunnel ")).count();
        assert!(drawn >= 50 * 49 / 2, "{drawn}");
        assert_eq!(text.contains(" that are not drawn"), routers == 2);
    }
}

#[test]
fn names_are_names_to_an_xml_parser() {
    let mut spec = network(ARTICLE, "s");
    let nasty = "a\"<b>&amp;'\u{1}]]>é-->";
    spec.nodes[0].name = nasty.to_owned();
    spec.routers[0].sessions[0].peer = nasty.to_owned();
    spec.tunnels[0].name = nasty.to_owned();
    spec.routers
        .iter_mut()
        .filter(|router| router.site == "s01")
        .for_each(|router| router.site = nasty.to_owned());
    spec.nodes.iter_mut().filter(|node| node.site == "s01").for_each(|node| node.site = nasty.to_owned());
    let text = svg(&spec, Options { title: Some(nasty), ..Options::default() });
    let program = "
import sys, xml.etree.ElementTree as E
root = E.fromstring(sys.stdin.buffer.read())
svg = '{http://www.w3.org/2000/svg}'
assert root.tag == svg + 'svg' and root.get('role') == 'img', root.attrib
assert [child.tag for child in root][:2] == [svg + 'title', svg + 'desc']
assert {root[0].get('id'), root[1].get('id')} == set(root.get('aria-labelledby').split())
assert not [e for e in root.iter() if e.tag in (svg + 'script', svg + 'image', svg + 'use', svg + 'a')]
for e in root.iter():
    assert not [k for k in e.attrib if 'href' in k or k.startswith('on')], e.attrib
    print(e.text or '')
";
    let (well, said) = ask("python3", &["-c", program], &text);
    assert!(well, "{said}");
    let clean = nasty.replace('\u{1}', "\u{fffd}");
    for line in [&clean, &format!("Tunnel {clean}:"), &format!("Node {clean}:"), &format!("Cluster {clean}")]
    {
        assert!(said.lines().any(|said| said.starts_with(line.as_str())), "no {line:?} in {said}");
    }
    assert!(!text.contains("url(") && !text.contains("@import") && times(&text, "http") == 1, "{text}");
}

#[test]
fn every_picture_is_well_formed() {
    let pictures: Vec<String> = shapes()
        .filter(|shape| shape.sites < 26)
        .map(|shape| svg(&network(shape, "s"), Options::default()))
        .collect();
    let program = "
import sys, xml.dom.minidom as m
for picture in sys.stdin.buffer.read().split(b'\\0'): m.parseString(picture)
";
    let (well, said) = ask("python3", &["-c", program], &pictures.join("\0"));
    assert!(well, "{said}");
}
