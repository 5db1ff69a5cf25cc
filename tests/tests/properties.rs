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

/// What a generated site is made of; its position gives names and networks.
#[derive(Clone, Debug)]
struct SitePlan {
    routers: usize,
    lans: usize,
    nodes: usize,
    dual: bool,
    nat: &'static str,
    dynamic: bool,
    arm: bool,
}

fn site_plan() -> impl Strategy<Value = SitePlan> {
    let nat = prop_oneof![Just("none"), Just("forwarded")];
    (1..3_usize, 0..3_usize, 0..4_usize, nat, any::<bool>(), any::<bool>()).prop_map(
        |(routers, lans, nodes, nat, dynamic, arm)| SitePlan {
            routers,
            lans,
            nodes,
            dual: false,
            nat,
            dynamic,
            arm,
        },
    )
}

fn plans() -> impl Strategy<Value = Vec<SitePlan>> {
    (prop::collection::vec(site_plan(), 1..6), any::<bool>()).prop_map(|(mut plans, dual)| {
        for plan in &mut plans {
            plan.dual = dual;
        }
        plans[0].nodes = plans[0].nodes.max(1);
        plans
    })
}

/// One value or a list, by family.
fn both(dual: bool, v4: impl Into<String>, v6: impl Into<String>) -> Value {
    let (v4, v6): (String, String) = (v4.into(), v6.into());
    if dual { json!([v6, v4]) } else { json!(v4) }
}

fn site(n: usize, plan: &SitePlan) -> Value {
    let router = |r: usize| {
        let uplink = if plan.dynamic {
            json!({"name": "wan", "address": format!("s{n}-{r}.example.net"), "dynamic": true, "nat": plan.nat})
        } else {
            json!({"name": "wan", "address": format!("203.0.{n}.{}", r + 1), "nat": plan.nat})
        };
        json!({
            "name": format!("gw-{n}-{r}"), "id": 2 * n + r + 1, "kind": if plan.arm { "linux" } else { "pfsense" }, "asn": 65000 + n,
            "address": both(plan.dual, format!("10.{n}.0.{}", r + 1), format!("fd00:{n}::{}", r + 1)), "uplinks": [uplink],
        })
    };
    let lan = |l: usize| json!({"name": format!("lan{l}"), "network": format!("192.168.{}.0/24", n * 4 + l), "reach": ["services", "pods"]});
    json!({
        "name": format!("site-{n}"),
        "network": both(plan.dual, format!("10.{n}.0.0/24"), format!("fd00:{n}::/64")),
        "pod_cidrs": both(plan.dual, format!("10.200.{}.0/21", n * 8), format!("fd00:200:{n}::/64")),
        "gateway": both(plan.dual, format!("10.{n}.0.254"), format!("fd00:{n}::fe")),
        "routers": (0..plan.routers).map(router).collect::<Vec<_>>(),
        "lans": (0..plan.lans).map(lan).collect::<Vec<_>>(),
        "settings": if plan.arm { json!({"kubelet": {"maxPods": 40}}) } else { json!({}) },
    })
}

fn node(n: usize, k: usize, plan: &SitePlan) -> Value {
    let roles = if k == 0 && n == 0 { json!(["etcd", "control-plane"]) } else { json!(["worker"]) };
    json!({
        "name": format!("node-{n}-{k}"), "site": format!("site-{n}"), "roles": roles, "arch": if plan.arm { "aarch64" } else { "amd64" },
        "address": both(plan.dual, format!("10.{n}.0.{}", 10 + k), format!("fd00:{n}::1{k}")),
    })
}

fn inventory(plans: &[SitePlan]) -> Value {
    let dual = plans[0].dual;
    let nodes = plans.iter().enumerate().flat_map(|(n, plan)| (0..plan.nodes).map(move |k| node(n, k, plan)));
    json!({"kind": "kmh.inventory/v1", "spec": {
        "cluster": {
            "name": "generated",
            "versions": {"kubernetes": "1.36.2", "etcd": "3.6.8", "containerd": "2.1.4", "calico": "3.31.2"},
            "pod_cidrs": both(dual, "10.200.0.0/16", "fd00:200::/32"),
            "service_cidrs": both(dual, "10.201.0.0/16", "fd00:201::/112"),
            "api": {"host": "k8s.example.net"},
        },
        "tunnels": {"network": both(dual, "10.255.0.0/16", "fd00:255::/32")},
        "sites": plans.iter().enumerate().map(|(n, plan)| site(n, plan)).collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
    }})
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
    fn the_written_order_is_of_no_account(plans in plans(), by in 0..7_usize, reverse: bool) {
        let written = inventory(&plans);
        let other = permute(&written, by, reverse);
        prop_assert_eq!(format!("{:?}", model(&written)), format!("{:?}", model(&other)));
    }

    #[test]
    fn growth_changes_no_number(plans in plans(), late in site_plan()) {
        let before = model(&inventory(&plans));
        let mut more = plans.clone();
        more.push(SitePlan { dual: plans[0].dual, ..late });
        let mut written = inventory(&more);
        // The newcomers stand first, and their names sort first.
        written["spec"]["sites"].as_array_mut().unwrap().rotate_right(1);
        written["spec"]["nodes"].as_array_mut().unwrap().insert(0, json!({"name": "aaa", "site": "site-0", "address": both(plans[0].dual, "10.0.0.99", "fd00:0::99")}));
        let after = model(&written);
        let tunnels = |model: &Model| -> BTreeMap<String, String> {
            model.tunnels.iter().map(|t| (format!("{}-{}", t.ends[0].router, t.ends[1].router), format!("{t:?}"))).collect()
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
    fn allocations_never_overlap(plans in plans()) {
        let model = model(&inventory(&plans));
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
    fn an_inventory_survives_either_form(plans in plans()) {
        let written = inventory(&plans);
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
    fn no_broken_inventory_makes_the_model_panic(plans in plans(), at in any::<prop::sample::Index>(), with in prop_oneof![Just("0"), Just("-"), Just("/"), Just("\""), Just("null"), Just("[]"), Just("::/0"), Just("4095"), Just("0.0.0.0/0")]) {
        let text = inventory(&plans).to_string();
        let boundaries: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let here = *at.get(&boundaries);
        let end = text[here..].find([',', '}', ']']).map_or(text.len(), |i| here + i);
        touch(&format!("{}{with}{}", &text[..here], &text[end..]));
        touch(&format!("{}{}", &text[..here], &text[end..]));
    }
}
