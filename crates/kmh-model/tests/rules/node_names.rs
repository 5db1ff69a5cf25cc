//! Further names and addresses of nodes.

use super::{check, model, words};

const NODE: &str = "{name: vps-1, site: vps, address: 10.30.0.11,";

/// The VPS's node with those names.
fn named(names: &str) -> String {
    format!("{NODE} names: {names},")
}

#[track_caller]
fn with(names: &str, expected: &[&str]) {
    check(&[(NODE, &named(names))], expected);
}

#[test]
fn a_node_has_names_and_addresses_of_other_networks() {
    let model = model(&[(NODE, &named("[vps-1.vpn.example.net, 100.64.0.11, \"2001:db8::11\"]"))]);
    let node = model.nodes.values().find(|node| node.name.as_str() == "vps-1").unwrap();
    assert_eq!(node.dns_names().collect::<Vec<_>>(), ["vps-1", "vps-1.vpn.example.net"]);
    let addresses: Vec<String> = node.all_addresses().map(|address| address.to_string()).collect();
    assert_eq!(addresses, ["10.30.0.11", "100.64.0.11", "2001:db8::11"]);
    with("vps-1.example.net", &[]);
    // A public address may be that of a router on the same machine.
    with("203.0.113.7", &[]);
}

#[test]
fn a_name_leads_to_one_machine() {
    let twice = "duplicate-name spec.nodes[1].names";
    with("attic-1", &[twice]);
    with("vps-1", &[twice]);
    with("gw-vps", &[twice]);
    with("k8s.example.net", &[twice]);
    with("[a.example.net, b.example.net, a.example.net]", &["duplicate-name spec.nodes[1].names[2]"]);
    let twice = "duplicate-address spec.nodes[1].names";
    with("10.10.0.11", &[twice]);
    with("10.30.0.11", &[twice]);
    with("10.30.0.1", &[twice]);
    assert_eq!(
        words(&[(NODE, &named("k8s.example.net"))]),
        "`k8s.example.net`, a name of node `vps-1`, is used twice / it is the API server's already (spec.cluster.api.host, line 9) \
         / a certificate with it would pass for the other's: name it once"
    );
}

#[test]
fn a_name_is_not_the_clusters_own() {
    for name in
        ["localhost", "kubernetes", "kubernetes.default.svc", "x.default.svc.cluster.local", "cluster.local"]
    {
        with(name, &["contradiction spec.nodes[1].names"]);
    }
    with("notcluster.local", &[]);
    for address in ["10.200.0.9", "10.201.0.9", "10.202.0.9", "10.255.0.9", "10.30.0.77"] {
        with(address, &["overlap spec.nodes[1].names"]);
    }
    for address in ["127.0.0.1", "169.254.1.1"] {
        with(address, &["reserved-range spec.nodes[1].names"]);
    }
    with("192.168.10.9", &[]);
}
