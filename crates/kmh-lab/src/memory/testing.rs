//! A small cluster for tests: site `a` with two routers that share a gateway and two nodes, site `b` with a namespace
//! router and a node, a tunnel between each two of their routers.

use serde_json::{Value, json};

use super::Memory;
use crate::state::State;

fn router(name: &str, site: &str, address: &str) -> Value {
    json!({
        "name": name, "site": site, "kind": "linux", "daemon": "frr", "asn": 65010, "router_id": "10.1.0.1",
        "multipath": false, "addresses": [address], "originate": [], "unreachable": [], "sessions": [],
        "prefix_lists": [], "route_maps": [], "as_paths": [], "firewall": [],
    })
}

fn node(name: &str, site: &str, address: &str, gateway: &str) -> Value {
    json!({
        "name": name, "site": site, "asn": 64512, "addresses": [address], "gateways": [gateway], "peers": [],
        "labels": [], "annotations": [],
    })
}

fn tunnel(name: &str, index: u8, [a, b]: [(&str, &str, &str, &str); 2]) -> Value {
    let end = |(router, uplink, interface, address): (&str, &str, &str, &str)| {
        json!({"router": router, "uplink": uplink, "uplink_interface": "wan", "interface": interface,
            "addresses": [address], "identity": router, "initiates": true})
    };
    json!({"name": name, "index": index, "networks": ["10.255.0.0/30"], "ends": [end(a), end(b)], "mtu": 1400,
        "mss": [1360, 1340]})
}

/// What is known of it.
pub(crate) fn memory() -> Memory {
    let calico =
        json!([{"kind": "BGPConfiguration", "spec": {"serviceClusterIPs": [{"cidr": "10.201.0.0/16"}]}}]);
    let network = json!({
        "routers": [
            router("ra1", "a", "10.1.0.1/24"), router("ra2", "a", "10.1.0.2/24"), router("rb", "b", "10.2.0.1/24"),
        ],
        "nodes": [
            node("na1", "a", "10.1.0.11/24", "10.1.0.254"), node("na2", "a", "10.1.0.12/24", "10.1.0.254"),
            node("nb", "b", "10.2.0.11/24", "10.2.0.1"),
        ],
        "tunnels": [
            tunnel("ra1--rb", 4, [("ra1", "dsl", "ipsec4", "10.255.0.1"), ("rb", "eth0", "kmh4", "10.255.0.2")]),
            tunnel("ra2--rb", 5, [("ra2", "lte", "ipsec5", "10.255.0.5"), ("rb", "eth0", "kmh5", "10.255.0.6")]),
        ],
        "calico": calico, "pod_mtu": 1400, "findings": [],
    });
    serde_json::from_value(json!({
        "network": network,
        "blocks": [["10.200.0.0/26", "na1"], ["10.200.0.64/26", "na2"], ["10.200.1.0/26", "nb"]],
        "pods": {"na1": ["10.200.0.2"], "na2": ["10.200.0.66"], "nb": ["10.200.1.2"]},
    }))
    .unwrap()
}

/// What its lab remembers of itself.
pub(crate) fn state() -> State {
    let machine = |role: &str, services: &[&str]| json!({"role": role, "kind": "light", "pid": 1, "started": 1, "files": [], "services": services});
    let interface =
        |addresses: &[&str], master: Option<&str>| json!({"addresses": addresses, "master": master});
    let links = [
        ("ra1:opt1", "switch:p1"),
        ("ra2:opt1", "switch:p2"),
        ("na1:eth0", "switch:p3"),
        ("na2:eth0", "switch:p4"),
        ("hb:lab-nodes", "switch:p5"),
        ("nb:eth0", "switch:p6"),
        ("nb:cali0", "pod-nb:eth0"),
        ("ra1:ipsec4", "hb/k8s:kmh4"),
        ("ra2:ipsec5", "hb/k8s:kmh5"),
        ("ra1:wan", "internet:w1"),
    ];
    let links: Vec<Value> = links.iter().map(|(a, b)| json!({"ends": [a, b]})).collect();
    serde_json::from_value(json!({
        "tunnels": "plain",
        "machines": {
            "ra1": machine("router", &["strongswan.service", "frr.service"]), "ra2": machine("router", &["frr.service"]),
            "hb": machine("router", &["kmh-netns-k8s.service", "strongswan.service", "frr@k8s.service", "kmh-lab-ssh.service"]),
            "na1": machine("node", &["kmh-lab-bird.service"]), "na2": machine("node", &["kmh-lab-bird.service"]), "nb": machine("node", &["kmh-lab-bird.service"]),
        },
        "routers": {"rb": {"machine": "hb", "netns": "k8s"}},
        "wires": {
            "spaces": ["hb", "internet", "na1", "na2", "nb", "pod-nb", "ra1", "ra2", "switch"],
            "bridges": ["switch:s0", "switch:s1"],
            "links": links,
            "interfaces": {
                "ra1:opt1": interface(&["10.1.0.1/24", "10.1.0.254/32"], None),
                "ra2:opt1": interface(&["10.1.0.2/24"], None),
                "na1:eth0": interface(&["10.1.0.11/24"], None), "na2:eth0": interface(&["10.1.0.12/24"], None),
                "nb:eth0": interface(&["10.2.0.11/24"], None), "nb:cali0": interface(&["fe80::1/64"], None),
                "pod-nb:eth0": interface(&["10.200.1.2/32"], None),
                "hb:lab-nodes": interface(&[], Some("kmhbr3")),
                "ra1:ipsec4": interface(&["10.255.0.1/30"], None), "hb/k8s:kmh4": interface(&["10.255.0.2/30"], None),
                "switch:p1": interface(&[], Some("s0")), "switch:p2": interface(&[], Some("s0")),
                "switch:p3": interface(&[], Some("s0")), "switch:p4": interface(&[], Some("s0")),
                "switch:p5": interface(&[], Some("s1")), "switch:p6": interface(&[], Some("s1")),
            },
            "routes": {"internet": ["198.18.9.0/24 dev w1", "198.18.10.0/24 dev w2"]},
            "lines": {
                "ra1/dsl": {"near": "ra1:wan", "far": "internet:w1", "public": []},
                "rb/eth0": {"near": "hb:eth0", "far": "internet:w3", "public": []},
            },
        },
    }))
    .unwrap()
}
