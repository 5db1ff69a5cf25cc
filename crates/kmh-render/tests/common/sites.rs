//! Three sites on Linux routers, in any layout: two routers at one, two lines at two, a namespace at one.
#![allow(dead_code, reason = "shared by several tests, of which none uses all")]

use serde_json::{Value, json};

/// What is varied.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// `A`, `B` or `D`.
    pub(crate) layout: &'static str,
    /// Whether routers listen for whoever calls.
    pub(crate) listen: bool,
    /// Routers with BIRD.
    pub(crate) birds: &'static [&'static str],
    /// Seconds for which a node's routes are kept.
    pub(crate) restart: u16,
}

/// Every router.
pub(crate) const ROUTERS: &[&str] = &["gw-a1", "gw-a2", "gw-b", "gw-c"];
/// Of the site with two, one of each kind; the one in a namespace.
pub(crate) const SOME: &[&str] = &["gw-a2", "gw-b"];

/// Layouts, ways of peering and daemons.
pub(crate) const FORMS: &[Form] = &[
    Form { layout: "A", listen: false, birds: SOME, restart: 30 },
    Form { layout: "A", listen: true, birds: &["gw-a1", "gw-c"], restart: 0 },
    Form { layout: "B", listen: false, birds: &["gw-a1", "gw-c"], restart: 0 },
    Form { layout: "B", listen: true, birds: SOME, restart: 30 },
    Form { layout: "D", listen: false, birds: SOME, restart: 30 },
    Form { layout: "D", listen: true, birds: ROUTERS, restart: 0 },
];

/// The inventory of a form, of both families.
pub(crate) fn sites(form: &Form) -> Value {
    let (mut sites, mut nodes) = (Vec::new(), Vec::new());
    let mut id = 0;
    for (number, site) in (1..).zip(["a", "b", "c"]) {
        let asn = 65_000 + 10 * number;
        let mut routers = Vec::new();
        for (place, end) in (2..).zip(if site == "a" { &["1", "2"][..] } else { &[""][..] }) {
            id += 1;
            let name = format!("gw-{site}{end}");
            let mut router = json!({
                "name": name, "id": id, "kind": "linux", "asn": asn,
                "bgp": if form.birds.contains(&name.as_str()) { "bird" } else { "frr" },
                "address": [format!("10.{number}0.0.{place}"), format!("fd00:{number}::{place}")],
                "uplinks": [{"name": "eth0", "address": format!("203.0.113.{id}0")}],
            });
            if site == "b" {
                router["netns"] = json!("k8s");
                router["host"] = json!("machine");
            } else {
                router["interface"] = json!("eth1");
            }
            if name == "gw-a1" || name == "gw-c" {
                let second =
                    json!({"name": "lte", "interface": "eth5", "address": format!("198.51.100.{id}0")});
                router["uplinks"].as_array_mut().unwrap().push(second);
            }
            routers.push(router);
        }
        let mut one = json!({
            "name": site,
            "network": [format!("10.{number}0.0.0/24"), format!("fd00:{number}::/64")],
            "pod_cidrs": [format!("10.200.{}.0/18", 64 * (number - 1)), format!("fd00:200:0:{number}::/64")],
            "routers": routers,
        });
        if site == "a" {
            one["gateway"] = json!(["10.10.0.1", "fd00:1::1"]);
        }
        sites.push(one);
        for place in 1..=2 {
            let roles: &[&str] = if place == 1 { &["control-plane", "etcd", "worker"] } else { &["worker"] };
            let mut node = json!({
                "name": format!("{site}-{place}"), "site": site, "arch": "amd64", "roles": roles,
                "address": [format!("10.{number}0.0.1{place}"), format!("fd00:{number}::1{place}")],
            });
            if form.layout == "D" {
                node["asn"] = json!(4_200_000_000_u32 + 100 * number + place);
            }
            nodes.push(node);
        }
    }
    json!({"kind": "kmh.inventory/v1", "spec": {
        "cluster": {
            "name": "t", "domain": "cluster.local",
            "versions": {"kubernetes": "1.36.2", "etcd": "3.6.8", "containerd": "2.1.4", "calico": "3.31.2"},
            "pod_cidrs": ["10.200.0.0/16", "fd00:200::/48"],
            "service_cidrs": ["10.201.0.0/16", "fd00:201::/112"],
            "load_balancer_cidrs": ["10.202.0.0/24", "fd00:202::/112"],
            "api": {"host": "k8s.example.net", "port": 6443, "local_port": 7443},
            "node_asn": 64512,
        },
        "bgp": {
            "layout": form.layout,
            "node_peers": if form.listen { "listen" } else { "each" },
            "timers": {"nodes": {"restart": form.restart}},
        },
        "tunnels": {"network": ["10.255.0.0/16", "fd00:255::/48"], "shape": "mesh"},
        "operator": {"site": "a"},
        "sites": sites,
        "nodes": nodes,
    }})
}
