//! What looks right and cannot work.

use super::{ALL, BASE, changed, check, said};

const LINE: &str = "uplinks: [{name: eth0, address: 203.0.113.7}]}]";
const VPS: &str = "kind: linux, asn: 65030, address: 10.30.0.1, ";

/// The VPS with a second router.
fn second(words: &str, address: &str) -> String {
    format!(
        "uplinks: [{{name: eth0, address: 203.0.113.7}}]}}, {{name: gw-2, id: 4, {words}kind: linux, asn: 65030, address: 10.30.0.2, \
         uplinks: [{{name: eth0, address: {address}}}]}}]\n      gateway: 10.30.0.3"
    )
}

#[test]
fn a_line_has_no_address_of_the_cluster() {
    let path = "overlap spec.sites[1].routers[0].uplinks[0].address";
    for address in ["10.30.0.9", "10.10.0.1", "10.200.0.9", "10.201.0.9", "10.202.0.9", "10.255.0.9"] {
        check(&[("203.0.113.7", address)], &[path]);
    }
    // A home router behind another one has an address of a segment of people.
    check(&[("203.0.113.7", "192.168.10.7")], &[]);
}

#[test]
fn homes_may_have_the_same_segment_of_people() {
    let with = |reach: [&str; 2], more: &str| {
        let lan = |reach: &str| format!("{{name: home, network: 192.168.10.0/24, reach: [{reach}]}}");
        let second = format!("    - name: vps\n      lans: [{}{more}]\n", lan(reach[1]));
        let first = lan(reach[0]);
        said(
            &changed(&[("{name: home, network: 192.168.10.0/24}", &first), ("    - name: vps\n", &second)]),
            ALL,
        )
    };
    let at = |n: usize| vec![format!("overlap spec.sites[1].lans[{n}].network")];
    assert_eq!(with(["", ""], ""), [] as [&str; 0]);
    // Where one may reach the cluster every site must know which of them it is.
    assert_eq!(with(["services", ""], ""), at(0));
    assert_eq!(with(["", "pods"], ""), at(0));
    assert_eq!(with(["nodes", "nodes"], ""), at(0));
    assert_eq!(with(["", ""], ", {name: guests, network: 192.168.10.128/25}"), at(1));
}

#[test]
fn two_routers_are_not_called_at_one_address() {
    let twice = "duplicate-address spec.sites[1].routers[1].uplinks[0].address";
    check(&[(LINE, &second("", "203.0.113.7"))], &[twice]);
    check(&[(LINE, &second("", "attic.example.net"))], &[twice]);
    check(&[(LINE, &second("", "203.0.113.8"))], &[]);
    // Nobody calls a line behind carrier NAT.
    check(&[(LINE, &second("", "203.0.113.7, nat: carrier")), ("kind: pfsense", "kind: linux")], &[]);
}

#[test]
fn a_namespace_holds_one_router() {
    let first = (VPS, "kind: linux, host: box, netns: k8s, asn: 65030, address: 10.30.0.1, ");
    let with = |words: &str| said(&changed(&[first, (LINE, &second(words, "203.0.113.8"))]), ALL);
    assert_eq!(with("host: box, netns: k8s, "), ["duplicate-name spec.sites[1].routers[1].netns"]);
    assert_eq!(with("host: box, netns: k9s, "), [] as [&str; 0]);
    assert_eq!(with("host: bex, netns: k8s, "), [] as [&str; 0]);
}

#[test]
fn resolvers_that_no_node_reaches() {
    let with = |list: &str| {
        let text = changed(&[("      lans: [", &format!("      resolvers: [{list}]\n      lans: ["))]);
        said(&text, ALL)
    };
    let at = |code: &str, n: usize| vec![format!("{code} spec.sites[0].resolvers[{n}]")];
    assert_eq!(with("10.10.0.1, 192.168.10.5, 9.9.9.9, 10.202.0.53"), [] as [&str; 0]);
    assert_eq!(with("10.200.1.1"), at("overlap", 0));
    assert_eq!(with("9.9.9.9, 10.201.0.10"), at("overlap", 1));
    assert_eq!(with("10.255.0.5"), at("overlap", 0));
    assert_eq!(with("10.10.0.255"), at("unusable-address", 0));
    assert_eq!(with("9.9.9.9, 9.9.9.9"), at("duplicate-address", 1));
    assert_eq!(with("\"2620:fe::fe\""), at("family-missing", 0));
}

#[test]
fn ranges_of_a_family_without_services() {
    let missing = ["family-missing spec.cluster.service_cidrs"];
    check(&[("load_balancer_cidrs: 10.202.0.0/24", "load_balancer_cidrs: \"fd00:202::/112\"")], &missing);
    check(&[("pod_cidrs: 10.200.0.0/16", "pod_cidrs: [10.200.0.0/16, \"fd00:200::/48\"]")], &missing);
    check(&[("pod_cidrs: 10.200.0.0/18", "pod_cidrs: [10.200.0.0/18, \"fd00:200::/64\"]")], &missing);
    // Nodes may speak to the Internet in a family that the cluster does not use.
    check(&[("network: 10.30.0.0/24", "network: [10.30.0.0/24, \"fd00:30::/64\"]")], &[]);
}

#[test]
fn ipv4_inside_ipv6_is_reserved() {
    let found = said(&changed(&[("10.202.0.0/24", "[10.202.0.0/24, \"::fffe:0:0/95\"]")]), ALL);
    assert!(found.contains(&"reserved-range spec.cluster.load_balancer_cidrs[1]".to_owned()), "{found:?}");
}

#[test]
fn tunnels_of_one_name() {
    let more = "    - {name: s1, network: 10.41.0.0/24, pod_cidrs: 10.200.192.0/20, routers: [{name: a, id: 5, kind: linux, asn: 65041, address: 10.41.0.1, uplinks: [{name: e, address: 203.0.113.41}]}]}
    - {name: s2, network: 10.42.0.0/24, pod_cidrs: 10.200.208.0/20, routers: [{name: b--c, id: 6, kind: linux, asn: 65042, address: 10.42.0.1, uplinks: [{name: e, address: 203.0.113.42}]}]}
    - {name: s3, network: 10.43.0.0/24, pod_cidrs: 10.200.224.0/20, routers: [{name: a--b, id: 7, kind: linux, asn: 65043, address: 10.43.0.1, uplinks: [{name: e, address: 203.0.113.43}]}]}
    - {name: s4, network: 10.44.0.0/24, pod_cidrs: 10.200.240.0/20, routers: [{name: c, id: 8, kind: linux, asn: 65044, address: 10.44.0.1, uplinks: [{name: e, address: 203.0.113.44}]}]}
";
    let text = BASE.replacen("  nodes:\n", &format!("{more}  nodes:\n"), 1);
    assert_eq!(said(&text, ALL), ["duplicate-name spec.sites[5].routers[0].name"]);
    // Only tunnels that there are.
    assert_eq!(said(&text.replacen("/22}", "/22, hub: vps}", 1), ALL), [] as [&str; 0]);
}

#[test]
fn labels_that_a_kubelet_may_not_give_itself() {
    let with = |key: &str| {
        said(&changed(&[("roles: [worker]", &format!("roles: [worker], labels: {{{key}: x}}"))]), ALL)
    };
    for key in [
        "node-role.kubernetes.io/worker",
        "kubernetes.io/x",
        "a.k8s.io/x",
        "node-restriction.kubernetes.io/x",
    ] {
        assert_eq!(with(key), ["contradiction spec.nodes[1].labels"], "{key}");
    }
    for key in ["disk", "example.net/disk", "topology.kubernetes.io/region", "node.kubernetes.io/x"] {
        assert_eq!(with(key), [] as [&str; 0], "{key}");
    }
}

#[test]
fn interfaces() {
    check(
        &[("{name: eth0, address", "{name: a-line-of-many-words, address")],
        &["bad-text spec.sites[1].routers[0].uplinks[0].name"],
    );
    check(&[("{name: eth0, address", "{name: a-line-of-many-words, interface: eth0, address")], &[]);
    let both = &["contradiction spec.sites[1].routers[0].interface"];
    check(&[(VPS, "kind: linux, asn: 65030, address: 10.30.0.1, interface: eth0, ")], both);
    // The one is in the namespace, the other on its host.
    check(
        &[(VPS, "kind: linux, asn: 65030, address: 10.30.0.1, interface: eth0, host: box, netns: k8s, ")],
        &[],
    );
    check(
        &[("{name: eth0, address", "{name: xfrm2, address")],
        &["contradiction spec.sites[1].routers[0].uplinks[0].name"],
    );
}

#[test]
fn names_that_mean_something_else() {
    check(&[("name: vps-1", "name: localhost")], &["duplicate-name spec.nodes[1].name"]);
    let domain = ["a".repeat(62), "b".repeat(62), "c".repeat(62), "d".repeat(50)].join(".");
    check(
        &[("name: attic\n    versions", &format!("name: attic\n    domain: {domain}\n    versions"))],
        &["bad-host spec.cluster.domain"],
    );
    check(
        &[("api: {host: k8s.example.net}", "api: {host: k8s.example.net, local_port: 9099}")],
        &["contradiction spec.cluster.api.local_port"],
    );
    assert_eq!(
        said(
            "kind: kmh.inventory/v1\nspec:\n  cluster: {name: a, pod_cidrs: 10.0.0.0/16, service_cidrs: 10.1.0.0/16}\n  sites: []\n",
            &[]
        ),
        ["missing-key spec.sites"]
    );
}
