//! One address family or both: ranges and addresses are held against each other in each.

use super::{ALL, said};

/// The base in IPv6 alone.
pub(crate) const SIX: &str = "\
kind: kmh.inventory/v1
spec:
  cluster:
    name: attic
    versions: {kubernetes: 1.36.2, etcd: 3.6.8, containerd: 2.1.4, calico: 3.31.2}
    pod_cidrs: \"fd00:200::/48\"
    service_cidrs: \"fd00:201::/112\"
    load_balancer_cidrs: \"fd00:202::/112\"
    api: {host: k8s.example.net}
  tunnels: {network: \"fd00:255::/48\"}
  sites:
    - name: attic
      network: \"fd00:10::/64\"
      pod_cidrs: \"fd00:200::/64\"
      lans: [{name: home, network: \"fd00:1010::/64\"}]
      routers: [{name: fw-attic, id: 1, kind: pfsense, asn: 65010, address: \"fd00:10::1\", uplinks: [{name: dsl, address: attic.example.net, dynamic: true}]}]
    - name: vps
      network: \"fd00:30::/64\"
      pod_cidrs: \"fd00:200:0:1::/64\"
      routers: [{name: gw-vps, id: 3, kind: linux, asn: 65030, address: \"fd00:30::1\", uplinks: [{name: eth0, address: \"2001:db8::7\"}]}]
  nodes:
    - {name: attic-1, site: attic, address: \"fd00:10::11\", roles: [control-plane, etcd, worker]}
    - {name: vps-1, site: vps, address: \"fd00:30::11\", roles: [worker]}
";

/// What is said with another word in it.
fn six(from: &str, to: &str) -> Vec<String> {
    assert!(SIX.contains(from), "{from}");
    said(&SIX.replacen(from, to, 1), ALL)
}

#[test]
fn ranges_of_ipv6_alone() {
    assert_eq!(said(SIX, ALL), [] as [&str; 0]);
    assert_eq!(six("fd00:1010::/64", "fd00:10::/80"), ["overlap spec.sites[0].lans[0].network"]);
    assert_eq!(six("fd00:1010::/64", "fd00:200:0:9::/64"), ["overlap spec.sites[0].lans[0].network"]);
    assert_eq!(six("fd00:1010::/64", "192.168.10.0/24"), [] as [&str; 0]);
    assert_eq!(six("fd00:200:0:1::/64", "fd00:200::/80"), ["overlap spec.sites[1].pod_cidrs"]);
    assert_eq!(six("fd00:200:0:1::/64", "fd00:299::/64"), ["outside-pods spec.sites[1].pod_cidrs"]);
    assert_eq!(
        six("\"fd00:200:0:1::/64\"", "[\"fd00:200:0:1::/64\", 10.200.0.0/18]"),
        ["family-missing spec.cluster.service_cidrs"]
    );
    assert_eq!(six("fd00:255::/48", "fd00:255::/63"), ["tunnel-range spec.tunnels.network"]);
    assert_eq!(six("fd00:30::/64", "10.30.0.0/24").first().unwrap(), "family-missing spec.sites[1].network");
    assert_eq!(
        six("address: \"2001:db8::7\"", "address: 203.0.113.7, local_address: \"fd00:30::9\"").len(),
        2
    );
}

#[test]
fn ranges_of_both() {
    let both = SIX
        .replacen("pod_cidrs: \"fd00:200::/48\"", "pod_cidrs: [\"fd00:200::/48\", 10.200.0.0/16]", 1)
        .replacen(
            "service_cidrs: \"fd00:201::/112\"",
            "service_cidrs: [\"fd00:201::/112\", 10.201.0.0/16]",
            1,
        )
        .replacen(
            "tunnels: {network: \"fd00:255::/48\"",
            "tunnels: {network: [\"fd00:255::/48\", 10.255.0.0/22]",
            1,
        )
        .replacen("network: \"fd00:10::/64\"", "network: [\"fd00:10::/64\", 10.10.0.0/24]", 1)
        .replacen("network: \"fd00:30::/64\"", "network: [\"fd00:30::/64\", 10.30.0.0/24]", 1)
        .replacen("pod_cidrs: \"fd00:200::/64\"", "pod_cidrs: [\"fd00:200::/64\", 10.200.0.0/18]", 1)
        .replacen("pod_cidrs: \"fd00:200:0:1::/64\"", "pod_cidrs: [\"fd00:200:0:1::/64\", 10.200.64.0/18]", 1)
        .replacen("address: \"fd00:10::1\"", "address: [\"fd00:10::1\", 10.10.0.1]", 1)
        .replacen("address: \"fd00:30::1\"", "address: [\"fd00:30::1\", 10.30.0.1]", 1)
        .replacen("address: \"fd00:10::11\"", "address: [\"fd00:10::11\", 10.10.0.11]", 1)
        .replacen("address: \"fd00:30::11\"", "address: [\"fd00:30::11\", 10.30.0.11]", 1);
    assert_eq!(said(&both, ALL), [] as [&str; 0]);
    let with = |from: &str, to: &str| {
        assert!(both.contains(from), "{from}");
        said(&both.replacen(from, to, 1), ALL)
    };
    // Each family against itself, whatever the other one says.
    assert_eq!(with("10.200.64.0/18", "10.200.0.0/20"), ["overlap spec.sites[1].pod_cidrs[1]"]);
    assert_eq!(
        with("\"fd00:1010::/64\"", "[\"fd00:1010::/64\", 10.200.0.0/24]"),
        ["overlap spec.sites[0].lans[0].network[1]"]
    );
    assert_eq!(
        with("\"fd00:1010::/64\"", "[10.9.0.0/24, \"fd00:255::/64\"]"),
        ["overlap spec.sites[0].lans[0].network[1]"]
    );
    assert_eq!(with(", 10.200.64.0/18", ""), ["family-missing spec.sites[1].pod_cidrs"]);
    assert_eq!(with(", 10.30.0.11", ""), ["family-missing spec.nodes[1].address"]);
}

/// A session with oneself: whoever has a router's address is its peer and the router.
#[test]
fn nobody_is_its_own_peer() {
    let second = "\"2001:db8::7\"}]}, {name: gw-2, id: 4, kind: linux, asn: 65030, address: \"fd00:30::1\", uplinks: [{name: e, address: \"2001:db8::8\"}]}]\n      gateway: \"fd00:30::3\"";
    assert_eq!(
        six("address: \"fd00:30::11\"", "address: \"fd00:30::1\""),
        ["duplicate-address spec.nodes[1].address"]
    );
    assert_eq!(
        six("address: \"fd00:30::11\"", "address: \"fd00:30:0::0:1\""),
        ["duplicate-address spec.nodes[1].address"]
    );
    assert_eq!(six("\"2001:db8::7\"}]}]", second), ["duplicate-address spec.sites[1].routers[1].address"]);
    let twice =
        second.replacen("fd00:30::1\"", "fd00:30::2\"", 1).replacen("2001:db8::8", "2001:db8:0::7", 1);
    assert_eq!(
        six("\"2001:db8::7\"}]}]", &twice),
        ["duplicate-address spec.sites[1].routers[1].uplinks[0].address"]
    );
}
