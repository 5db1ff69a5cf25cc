//! What holds for every inventory, tried on generated ones: the written order is of no account, growth changes no number,
//! allocations never overlap, and no input makes a parser panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use kmh_doc::tree::{self, Tree};
use kmh_model::{Model, Need, load};
use proptest::prelude::*;
use serde_json::{Value, json};

fn model(inventory: &Value) -> Model {
    let text = inventory.to_string();
    match load(&tree::parse_json(&text).unwrap(), &Need::ALL) {
        Ok((model, _)) => model,
        Err(problems) => panic!("{problems:#?}\n{text}"),
    }
}

/// What a generated cluster is made of.
#[derive(Clone, Debug)]
struct Plan {
    sites: Vec<SitePlan>,
    families: Families,
    layout: &'static str,
    shape: &'static str,
    /// Whether lines have numbers of their own.
    ids: bool,
    /// Words beneath `bgp` and `calico` that go with everything.
    words: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    Four,
    Six,
    Both,
}

/// What a generated site is made of; its position gives names and networks.
#[derive(Clone, Debug)]
struct SitePlan {
    routers: usize,
    lines: usize,
    lans: usize,
    nodes: usize,
    nat: &'static str,
    dynamic: bool,
    linux: bool,
}

fn site_plan() -> impl Strategy<Value = SitePlan> {
    let nat = prop_oneof![Just("none"), Just("forwarded")];
    (1..3_usize, 1..4_usize, 0..3_usize, 0..4_usize, nat, any::<bool>(), any::<bool>()).prop_map(
        |(routers, lines, lans, nodes, nat, dynamic, linux)| SitePlan {
            routers,
            lines,
            lans,
            nodes,
            nat,
            dynamic,
            linux,
        },
    )
}

fn plans() -> impl Strategy<Value = Plan> {
    let families = prop_oneof![Just(Families::Four), Just(Families::Six), Just(Families::Both)];
    let layout = prop_oneof![Just("A"), Just("B"), Just("D")];
    let shape = prop_oneof![Just("mesh"), Just("fallback"), Just("hub"), Just("list")];
    (prop::collection::vec(site_plan(), 1..6), families, layout, shape, any::<bool>(), 0..4_usize).prop_map(
        |(mut sites, families, layout, shape, ids, words)| {
            sites[0].nodes = sites[0].nodes.max(1);
            Plan { sites, families, layout, shape, ids, words }
        },
    )
}

/// One value or a list, by family.
fn both(families: Families, v4: impl Into<String>, v6: impl Into<String>) -> Value {
    let (v4, v6): (String, String) = (v4.into(), v6.into());
    match families {
        Families::Four => json!(v4),
        Families::Six => json!(v6),
        Families::Both => json!([v6, v4]),
    }
}

/// The u-th line of the r-th router of the n-th site. The first can be called; further ones call, or can be called too.
fn uplink(n: usize, r: usize, u: usize, plan: &Plan) -> Value {
    let site = &plan.sites[n];
    let six = plan.families == Families::Six;
    let mut line = json!({"name": format!("wan{u}"), "nat": site.nat});
    if plan.ids {
        line["id"] = json!(u + 1);
    }
    if u == 1 && site.dynamic {
        line["nat"] = json!("carrier");
    } else if site.dynamic {
        line["address"] = json!(format!("s{n}-{r}-{u}.example.net"));
        line["dynamic"] = json!(true);
    } else {
        let [v4, v6] = [format!("203.{u}.{n}.{}", r + 1), format!("2001:db8:{n}:{u}::{}", r + 1)];
        line["address"] = json!(if six { v6 } else { v4 });
    }
    if site.dynamic && line["nat"] == "none" {
        line["nat"] = json!("forwarded");
    }
    if line["nat"] != "none" {
        let [v4, v6] = [format!("192.0.2.{}", u + 10), format!("2001:db8:ffff::{}", u + 10)];
        line["local_address"] = json!(if six { v6 } else { v4 });
    }
    line
}

fn site(n: usize, plan: &Plan) -> Value {
    let (site, families) = (&plan.sites[n], plan.families);
    let router = |r: usize| {
        let mut router = json!({
            "name": format!("gw-{n}-{r}"), "id": 2 * n + r + 1, "kind": if site.linux { "linux" } else { "pfsense" }, "asn": 65000 + n,
            "address": both(families, format!("10.{n}.0.{}", r + 1), format!("fd00:{n}::{}", r + 1)),
            "uplinks": (0..site.lines).map(|u| uplink(n, r, u, plan)).collect::<Vec<_>>(),
        });
        if site.linux {
            router["bgp"] = json!(if r == 0 { "bird" } else { "frr" });
        }
        router
    };
    let lan = |l: usize| {
        let net = both(families, format!("192.168.{}.0/24", n * 4 + l), format!("fd00:100:{n}:{l}::/64"));
        json!({"name": format!("lan{l}"), "network": net, "reach": ["services", "pods"]})
    };
    json!({
        "name": format!("site-{n}"),
        "network": both(families, format!("10.{n}.0.0/24"), format!("fd00:{n}::/64")),
        "pod_cidrs": both(families, format!("10.200.{}.0/21", n * 8), format!("fd00:200:{n}::/64")),
        "gateway": both(families, format!("10.{n}.0.254"), format!("fd00:{n}::fe")),
        "routers": (0..site.routers).map(router).collect::<Vec<_>>(),
        "lans": (0..site.lans).map(lan).collect::<Vec<_>>(),
        "settings": if site.linux { json!({"kubelet": {"maxPods": 40}}) } else { json!({}) },
    })
}

fn node(n: usize, k: usize, plan: &Plan) -> Value {
    let roles = if k == 0 && n == 0 { json!(["etcd", "control-plane"]) } else { json!(["worker"]) };
    let mut node = json!({
        "name": format!("node-{n}-{k}"), "site": format!("site-{n}"), "roles": roles, "arch": if plan.sites[n].linux { "aarch64" } else { "amd64" },
        "address": both(plan.families, format!("10.{n}.0.{}", 10 + k), format!("fd00:{n}::1{k}")),
    });
    if plan.layout == "D" {
        node["asn"] = json!(4_200_000_000_u32 + u32::try_from(100 * n + k).unwrap());
    }
    node
}

fn inventory(plan: &Plan) -> Value {
    let families = plan.families;
    let nodes = (0..plan.sites.len()).flat_map(|n| (0..plan.sites[n].nodes).map(move |k| node(n, k, plan)));
    let mut tunnels = json!({"network": both(families, "10.255.0.0/16", "fd00:255::/32")});
    match plan.shape {
        "fallback" => {
            tunnels["shape"] = json!("mesh");
            tunnels["hub"] = json!("site-0");
        }
        "hub" => tunnels["hub"] = json!("site-0"),
        "list" if plan.sites.len() > 1 => {
            let pair = |n: usize| json!([format!("site-{n}"), format!("site-{}", n / 2)]);
            tunnels["pairs"] = (1..plan.sites.len()).map(pair).collect();
        }
        _ => {}
    }
    let bgp = [
        json!({}),
        json!({"node_peers": "listen", "passwords": plan.sites.iter().all(|site| site.linux)}),
        json!({"direct_routes": false}),
        json!({"passwords": false}),
    ];
    let calico = [
        json!({}),
        json!({"api": "projectcalico.org/v3", "nat_outgoing": false}),
        json!({"block_size_v4": 25}),
        json!({"strict_affinity": true}),
    ];
    let mut bgp = bgp[plan.words].clone();
    bgp["layout"] = json!(plan.layout);
    json!({"kind": "kmh.inventory/v1", "spec": {
        "cluster": {
            "name": "generated",
            "versions": {"kubernetes": "1.36.2", "etcd": "3.6.8", "containerd": "2.1.4", "calico": "3.31.2"},
            "pod_cidrs": both(families, "10.200.0.0/16", "fd00:200::/32"),
            "service_cidrs": both(families, "10.201.0.0/16", "fd00:201::/112"),
            "api": {"host": "k8s.example.net"},
        },
        "bgp": bgp,
        "calico": calico[plan.words].clone(),
        "tunnels": tunnels,
        "sites": (0..plan.sites.len()).map(|n| site(n, plan)).collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
    }})
}

/// What is never to change about a tunnel, by its name. Preference may.
fn lasting(model: &Model) -> BTreeMap<String, String> {
    let text = |t: &kmh_model::Tunnel| {
        let ends = t.ends.iter().map(|end| (&end.router, &end.addresses, end.initiates, end.reachable));
        format!("{} {:?} {:?} {:?}", t.index, t.lines, t.networks, ends.collect::<Vec<_>>())
    };
    model.tunnels.iter().map(|tunnel| (tunnel.name(), text(tunnel))).collect()
}

/// Places of a tunnel's two lines, together.
fn places(tunnel: &kmh_model::Tunnel) -> usize {
    tunnel.ends.iter().map(|end| end.uplink).sum()
}

/// Turns every list in which order means nothing.
fn permute(inventory: &Value, by: usize, reverse: bool) -> Value {
    let turn = |list: &mut Value| {
        let list = list.as_array_mut().unwrap();
        if !list.is_empty() {
            let by = by % list.len();
            list.rotate_left(by);
        }
        if reverse {
            list.reverse();
        }
    };
    let mut inventory = inventory.clone();
    turn(&mut inventory["spec"]["sites"]);
    turn(&mut inventory["spec"]["nodes"]);
    for site in inventory["spec"]["sites"].as_array_mut().unwrap() {
        turn(&mut site["routers"]);
        turn(&mut site["lans"]);
    }
    inventory
}

/// Values as YAML in block style, with comments.
fn yaml(value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let lines: Vec<String> = match value {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .map(|(key, value)| format!("\n{pad}{key}: {} # said", yaml(value, indent + 2)))
            .collect(),
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| format!("\n{pad}- {}", yaml(item, indent + 2))).collect()
        }
        other => vec![other.to_string()],
    };
    lines.concat()
}

/// Any JSON that a document may hold.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        "\\PC{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("no"),
            Just("on"),
            Just("1.30"),
            Just("0x1f"),
            Just("~"),
            Just(""),
            Just("a: b"),
            Just("- a"),
            Just("# x"),
            Just("1:30"),
            Just("=")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn touch(text: &str) {
    // An error is as good as a tree; only a panic is not.
    for tree in [tree::parse_json(text), tree::parse_yaml(text)].into_iter().flatten() {
        let _ = load(&tree, &Need::ALL);
        let _ = tree.to_json();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_written_order_is_of_no_account(plan in plans(), by in 0..7_usize, reverse: bool) {
        let written = inventory(&plan);
        let other = permute(&written, by, reverse);
        prop_assert_eq!(format!("{:?}", model(&written)), format!("{:?}", model(&other)));
    }

    #[test]
    fn growth_changes_no_number(plan in plans(), late in site_plan()) {
        let before = model(&inventory(&plan));
        let mut more = plan.clone();
        more.sites.push(late);
        let mut written = inventory(&more);
        // The newcomers stand first, and their names sort first.
        written["spec"]["sites"].as_array_mut().unwrap().rotate_right(1);
        let mut newcomer = json!({"name": "aaa", "site": "site-0", "address": both(plan.families, "10.0.0.99", "fd00:0::99")});
        if plan.layout == "D" {
            newcomer["asn"] = json!(4_199_999_999_u32 + 1_000_000);
        }
        written["spec"]["nodes"].as_array_mut().unwrap().insert(0, newcomer);
        let after = model(&written);
        // Whole tunnels, ranks included: between two sites nothing has changed.
        let tunnels = |model: &Model| -> BTreeMap<String, String> {
            model.tunnels.iter().map(|t| (t.name(), format!("{t:?}"))).collect()
        };
        let grown = tunnels(&after);
        for (name, tunnel) in tunnels(&before) {
            prop_assert_eq!(Some(&tunnel), grown.get(&name));
        }
        for (name, node) in &before.nodes {
            prop_assert_eq!(format!("{node:?}"), format!("{:?}", after.nodes[name]));
        }
        for (name, site) in &before.sites {
            prop_assert_eq!(format!("{site:?}"), format!("{:?}", after.sites[name]));
        }
        for router in &before.routers {
            prop_assert_eq!(format!("{router:?}"), format!("{:?}", after.router(router.name.as_str()).unwrap()));
        }
    }

    #[test]
    fn a_further_line_changes_no_number(plan in plans(), at in any::<prop::sample::Index>(), place in any::<prop::sample::Index>()) {
        let before = lasting(&model(&inventory(&plan)));
        let mut written = inventory(&plan);
        let n = at.index(plan.sites.len());
        let mut more = plan.clone();
        more.sites[n].lines += 1;
        let line = uplink(n, 0, plan.sites[n].lines, &more);
        let callable = line["nat"] != "carrier";
        let lines = written["spec"]["sites"][n]["routers"][0]["uplinks"].as_array_mut().unwrap();
        // Where lines have numbers it may be preferred to the others.
        let place = if plan.ids { place.index(lines.len() + 1) } else { lines.len() };
        lines.insert(place, line);
        let after = lasting(&model(&written));
        for (name, tunnel) in &before {
            prop_assert_eq!(Some(tunnel), after.get(name));
        }
        let joined = before.keys().any(|name| name.split("--").any(|router| router == format!("gw-{n}-0")));
        prop_assert!(after.len() > before.len() || !joined || !callable);
    }

    #[test]
    fn both_ends_prefer_the_same_tunnel(plan in plans()) {
        let model = model(&inventory(&plan));
        let site = |name: &str| model.router(name).unwrap().site.to_string();
        let mut between: BTreeMap<Vec<String>, Vec<&kmh_model::Tunnel>> = BTreeMap::new();
        for tunnel in &model.tunnels {
            let mut sites: Vec<String> = tunnel.ends.iter().map(|end| site(end.router.as_str())).collect();
            sites.sort();
            between.entry(sites).or_default().push(tunnel);
        }
        for tunnels in between.values_mut() {
            tunnels.sort_by_key(|tunnel| tunnel.rank);
            let ranks: Vec<usize> = tunnels.iter().map(|tunnel| tunnel.rank.into()).collect();
            prop_assert_eq!(ranks, (0..tunnels.len()).collect::<Vec<_>>());
            // A line that stands further in front, at either end, is never used after one that stands behind it.
            for pair in tunnels.windows(2) {
                prop_assert!(places(pair[0]) <= places(pair[1]), "{:?}", pair);
            }
        }
    }

    #[test]
    fn numbers_follow_ids_alone(plan in plans()) {
        let model = model(&inventory(&plan));
        let mut seen = BTreeMap::new();
        for tunnel in &model.tunnels {
            let [i, j] = [0, 1].map(|n| u32::from(model.router(tunnel.ends[n].router.as_str()).unwrap().id));
            let [u, v] = tunnel.lines.map(u32::from);
            prop_assert!(i < j);
            prop_assert_eq!(tunnel.index, (j - 1) * (j - 2) / 2 + i + 1000 * (4 * (u - 1) + v - 1));
            prop_assert_eq!(seen.insert(tunnel.index, tunnel.name()), None);
        }
    }

    #[test]
    fn allocations_never_overlap(plan in plans()) {
        let model = model(&inventory(&plan));
        let mut networks: Vec<ipnet::IpNet> = model.tunnels.iter().flat_map(|t| t.networks.iter().copied()).collect();
        let families = model.tunnel_ranges.len();
        prop_assert_eq!(networks.len(), model.tunnels.len() * families);
        for net in &networks {
            prop_assert!(model.tunnel_ranges.iter().any(|range| range.contains(net)));
        }
        networks.sort();
        for pair in networks.windows(2) {
            prop_assert!(!pair[0].contains(&pair[1]) && !pair[1].contains(&pair[0]), "{:?}", pair);
        }
        let mut ends: Vec<IpAddr> = Vec::new();
        for tunnel in &model.tunnels {
            prop_assert!(tunnel.ends.iter().any(|end| end.initiates));
            for end in &tunnel.ends {
                // Whoever calls must be able to reach the other.
                let other = tunnel.ends.iter().find(|other| other.router != end.router).unwrap();
                prop_assert!(!end.initiates || other.reachable);
                for (net, address) in tunnel.networks.iter().zip(&end.addresses) {
                    prop_assert!(net.contains(address));
                }
                ends.extend(&end.addresses);
            }
        }
        let count = ends.len();
        ends.sort();
        ends.dedup();
        prop_assert_eq!(ends.len(), count);
    }

    #[test]
    fn yaml_and_json_are_the_same_tree(value in any_json()) {
        let json = tree::parse_json(&value.to_string()).unwrap();
        prop_assert_eq!(json.to_json(), value.clone());
        prop_assert_eq!(tree::parse_json(&serde_json::to_string_pretty(&value).unwrap()).unwrap().to_json(), value.clone());
        // JSON is YAML as well (YAML 1.2, 1.3), and so is block style around it.
        prop_assert_eq!(tree::parse_yaml(&value.to_string()).unwrap().to_json(), value.clone());
        prop_assert_eq!(tree::parse_yaml(&yaml(&value, 0)).unwrap().to_json(), value);
    }

    #[test]
    fn an_inventory_survives_either_form(plan in plans()) {
        let written = inventory(&plan);
        let from_yaml: Tree = tree::parse_yaml(&yaml(&written, 0)).unwrap();
        prop_assert_eq!(from_yaml.to_json(), written.clone());
        let (from_yaml, _) = load(&from_yaml, &Need::ALL).unwrap();
        prop_assert_eq!(format!("{from_yaml:?}"), format!("{:?}", model(&written)));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = tree::from_bytes(&bytes) {
            touch(text);
        }
    }

    #[test]
    fn no_text_of_yamls_own_signs_makes_a_parser_panic(text in "[-?:,\\[\\]{}#&*!|>'\"%@`~<= \n\ta0.]{0,60}") {
        touch(&text);
        touch(&format!("kind: kmh.inventory/v1\nspec:\n  {text}"));
    }

    #[test]
    fn no_broken_inventory_makes_the_model_panic(plan in plans(), at in any::<prop::sample::Index>(), with in prop_oneof![Just("0"), Just("-"), Just("/"), Just("\""), Just("null"), Just("[]"), Just("::/0"), Just("4095"), Just("0.0.0.0/0")]) {
        let text = inventory(&plan).to_string();
        let boundaries: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let here = *at.get(&boundaries);
        let end = text[here..].find([',', '}', ']']).map_or(text.len(), |i| here + i);
        touch(&format!("{}{with}{}", &text[..here], &text[end..]));
        touch(&format!("{}{}", &text[..here], &text[end..]));
    }
}
