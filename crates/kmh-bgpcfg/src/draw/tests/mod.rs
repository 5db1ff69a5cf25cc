//! Pictures of networks of every shape: what must be in them is, once; nothing lies on a text; real parsers read them.

mod graphs;
mod picture;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use kmh_doc::network::NetworkSpec;
use kmh_route::down::Down;
use serde_json::{Value, json};

use super::{Format, Nodes, Options, draw};

/// A network to draw.
#[derive(Clone, Copy)]
struct Shape {
    sites: usize,
    /// At each site.
    routers: usize,
    /// Of each router.
    lines: usize,
    /// At each site.
    nodes: usize,
    /// Whether all tunnels end at the first site.
    hub: bool,
}

const ARTICLE: Shape = Shape { sites: 3, routers: 1, lines: 1, nodes: 2, hub: false };

/// Names: of sites `SITE`, of routers `SITE-rN`, of nodes `SITE-nN`, where `SITE` is `name` and a number.
fn network(shape: Shape, name: &str) -> NetworkSpec {
    let site = |s: usize| format!("{name}{s:02}");
    let router = |s: usize, r: usize| format!("{}-r{r}", site(s));
    let (mut routers, mut nodes, mut tunnels, mut calico) = (vec![], vec![], vec![], vec![]);
    for s in 0..shape.sites {
        for n in 0..shape.nodes {
            nodes.push(
                json!({"name": format!("{}-n{n}", site(s)), "site": site(s), "asn": 64512, "addresses":
                [format!("10.{s}.{}.{}/16", n / 200 + 1, n % 200)], "gateways": [], "peers": [], "labels": [],
                "annotations": []}),
            );
        }
        calico.push(json!({"kind": "IPPool", "spec": {"cidr": format!("10.{}.0.0/16", 100 + s),
            "nodeSelector": format!("zone == '{}'", site(s))}}));
        for r in 0..shape.routers {
            let siblings = (0..shape.routers).filter(|o| *o != r).map(|o| session("sibling", &router(s, o)));
            let own = (0..shape.nodes).map(|n| session("node", &format!("{}-n{n}", site(s))));
            routers.push(json!({"name": router(s, r), "site": site(s), "kind": if s == 0 { "pfsense" } else { "linux" },
                "daemon": "frr", "asn": 65000 + s, "router_id": "10.0.0.1", "multipath": true,
                "addresses": [format!("10.{s}.0.{}/16", r + 1)], "originate": [], "unreachable": [],
                "sessions": siblings.chain(own).collect::<Vec<_>>(), "prefix_lists": [], "route_maps": [],
                "as_paths": [], "firewall": []}));
        }
        for far in (s + 1)..if shape.hub && s > 0 { 0 } else { shape.sites } {
            let mut rank = 0;
            for (u, v) in (0..shape.lines).flat_map(|u| (0..shape.lines).map(move |v| (u, v))) {
                for (r, q) in (0..shape.routers).flat_map(|r| (0..shape.routers).map(move |q| (r, q))) {
                    let end = |router: String, line: usize| {
                        json!({"router": router, "uplink": format!("line{line}"),
                        "uplink_interface": "eth0", "interface": "xfrm1", "addresses": [], "identity": "x",
                        "initiates": true})
                    };
                    let name = format!("{}--{}--{u}-{v}", router(s, r), router(far, q));
                    tunnels.push(json!({"name": name, "index": tunnels.len(), "rank": rank, "networks": [],
                        "ends": [end(router(s, r), u), end(router(far, q), v)], "mtu": 1400 + s, "mss": [1360, 1340]}));
                    rank += 1;
                }
            }
        }
    }
    serde_json::from_value(json!({"routers": routers, "nodes": nodes, "tunnels": tunnels, "calico": calico,
        "pod_mtu": 1400, "findings": []}))
    .unwrap()
}

fn session(with: &str, peer: &str) -> Value {
    json!({"with": with, "peer": peer, "local_address": "10.0.0.1", "peer_address": "10.0.0.2", "peer_asn": 64512,
        "as_override": false, "keepalive": 3, "hold": 9, "restart": 0, "import": "in", "export": "out",
        "outage": {"silent_ms": [0, 0], "closed_ms": [0, 0]}, "maximum_prefix": 10})
}

/// Networks from small to large, of every kind.
fn shapes() -> impl Iterator<Item = Shape> {
    let all = (1..=9).chain([12, 13, 14, 24, 25, 50]);
    all.flat_map(|sites| {
        let kinds = [(1, 1, false), (1, 1, true), (2, 1, true), (2, 1, false), (2, 2, true), (1, 3, false)];
        let shape = move |(routers, lines, hub)| Shape { sites, routers, lines, nodes: sites % 4 * 7, hub };
        // Larger ones of the last kinds are slow, and only more of the same.
        kinds.into_iter().take(if sites > 9 { 3 } else { 6 }).map(shape)
    })
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[allow(clippy::unnecessary_wraps, reason = "as `Options` has it")]
fn path(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(ToString::to_string).collect())
}

fn svg(spec: &NetworkSpec, options: Options<'_>) -> String {
    draw(spec, &Options { format: Format::Svg, ..options })
}

/// How often a text occurs.
fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// What a program prints when it reads this, and whether it was content.
fn ask(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}: run `make test`"));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input.as_bytes().to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let ran = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_same_network_is_the_same_picture_in_whatever_order_it_comes() {
    let spec = network(Shape { sites: 5, routers: 2, lines: 2, nodes: 3, hub: false }, "s");
    let mut turned = spec.clone();
    turned.routers.reverse();
    turned.nodes.reverse();
    turned.tunnels.reverse();
    turned.calico.reverse();
    let down = Down { tunnels: set(&["s00-r0--s01-r0--0-0"]), ..Down::default() };
    for format in [Format::Svg, Format::Dot, Format::Mermaid] {
        let path = path(&["s00-n1", "s00-r0", "s03-r1", "s03-n0"]);
        let options = Options { format, path, down: Some(&down), ..Options::default() };
        assert_eq!(draw(&spec, &options), draw(&spec, &options));
        assert_eq!(draw(&spec, &options), draw(&turned, &options), "{format:?}");
    }
}

#[test]
fn a_document_whose_names_lead_nowhere_is_drawn_without_them() {
    let mut spec = network(ARTICLE, "s");
    spec.tunnels[0].ends[0].router = "gone".to_owned();
    spec.routers[0].sessions[0].peer = "gone".to_owned();
    for format in [Format::Svg, Format::Dot, Format::Mermaid] {
        let options = Options { format, path: path(&["gone", "s01-r0"]), ..Options::default() };
        let text = draw(&spec, &options);
        assert!(text.contains("s02-r0") && !text.contains(&spec.tunnels[0].name), "{text}");
    }
    let nothing: NetworkSpec =
        serde_json::from_value(json!({"routers": [], "nodes": [], "tunnels": [], "calico": [],
        "pod_mtu": 1500, "findings": []}))
        .unwrap();
    for format in [Format::Svg, Format::Dot, Format::Mermaid] {
        assert!(draw(&nothing, &Options { format, ..Options::default() }).contains("0 sites"));
    }
}
