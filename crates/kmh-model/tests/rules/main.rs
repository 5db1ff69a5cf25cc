//! Every rule of the model: one change to an inventory that works, and what is said about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod families;
mod layouts;
mod lines;
mod node_names;
mod pki;
mod settings;
mod traps;

use kmh_doc::{Level, tree};
use kmh_model::{Need, load};

pub(crate) const BASE: &str = "\
kind: kmh.inventory/v1
spec:
  cluster:
    name: attic
    versions: {kubernetes: 1.36.2, etcd: 3.6.8, containerd: 2.1.4, calico: 3.31.2}
    pod_cidrs: 10.200.0.0/16
    service_cidrs: 10.201.0.0/16
    load_balancer_cidrs: 10.202.0.0/24
    api: {host: k8s.example.net}
  tunnels: {network: 10.255.0.0/22}
  sites:
    - name: attic
      network: 10.10.0.0/24
      pod_cidrs: 10.200.0.0/18
      lans: [{name: home, network: 192.168.10.0/24}]
      routers: [{name: fw-attic, id: 1, kind: pfsense, asn: 65010, address: 10.10.0.1, uplinks: [{name: dsl, address: attic.example.net, dynamic: true}]}]
    - name: vps
      network: 10.30.0.0/24
      pod_cidrs: 10.200.128.0/18
      routers: [{name: gw-vps, id: 3, kind: linux, asn: 65030, address: 10.30.0.1, uplinks: [{name: eth0, address: 203.0.113.7}]}]
  nodes:
    - {name: attic-1, site: attic, address: 10.10.0.11, roles: [control-plane, etcd, worker]}
    - {name: vps-1, site: vps, address: 10.30.0.11, roles: [worker]}
";

fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

/// Code and path of everything that is said; warnings with a `?`.
fn said(text: &str, needs: &[Need]) -> Vec<String> {
    let problems = match load(&tree::parse_yaml(text).unwrap(), needs) {
        Ok((_, problems)) | Err(problems) => problems,
    };
    problems
        .iter()
        .map(|p| format!("{}{} {}", p.code, if p.level == Level::Warning { "?" } else { "" }, p.path))
        .collect()
}

const ALL: &[Need] = &Need::ALL;

/// The model of a changed inventory that works.
#[track_caller]
fn model(changes: &[(&str, &str)]) -> kmh_model::Model {
    let text = changed(changes);
    match load(&tree::parse_yaml(&text).unwrap(), ALL) {
        Ok((model, _)) => model,
        Err(problems) => panic!("{problems:#?}\n{text}"),
    }
}

/// Message, cause and hint of the first problem.
fn words(changes: &[(&str, &str)]) -> String {
    let problems = match load(&tree::parse_yaml(&changed(changes)).unwrap(), ALL) {
        Ok((_, problems)) | Err(problems) => problems,
    };
    let first = problems.iter().next().unwrap();
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    format!("{} / {} / {}", first.message, or(&first.cause), or(&first.hint))
}

#[track_caller]
fn check(changes: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(said(&changed(changes), ALL), expected, "{changes:?}");
}

#[test]
fn the_base_is_right() {
    check(&[], &[]);
}

#[test]
fn a_tool_asks_only_for_what_it_uses() {
    let text = "kind: kmh.inventory/v1\nspec:\n  cluster: {name: a, pod_cidrs: 10.0.0.0/16, service_cidrs: 10.1.0.0/16}\n  \
                sites: [{name: s, network: 10.2.0.0/24, pod_cidrs: 10.0.0.0/18}, {name: t, network: 10.3.0.0/24, pod_cidrs: 10.0.64.0/18}]\n  \
                nodes: [{name: n, site: s, address: 10.2.0.9}]\n";
    assert_eq!(said(text, &[]), [] as [&str; 0]);
    assert_eq!(
        said(text, &[Need::Kubernetes, Need::Api]),
        ["needed spec.cluster", "needed spec.cluster.versions"]
    );
    assert_eq!(said(text, &[Need::Roles]), ["no-control-plane spec.nodes", "no-etcd spec.nodes"]);
    assert_eq!(said(text, &[Need::Asn]), ["no-router spec.sites[0]", "no-router spec.sites[1]"]);
}

#[test]
fn documents() {
    check(&[("kind: kmh.inventory/v1\n", "")], &["missing-key "]);
    check(&[("kind: kmh.inventory/v1\n", "kind: kmh.inventory/v2\n")], &["unknown-word kind"]);
    check(&[("kind: kmh.inventory/v1\n", "kind: kmh.inventory/v1\nmeta: {}\n")], &["unknown-key meta"]);
    check(&[("kind: kmh.inventory/v1\n", "kind: kmh.inventory/v1\nkind: x\n")], &["duplicate-key kind"]);
    assert_eq!(said("cluster: {}\nsites: []\n", ALL), ["missing-key ", "missing-key "]);
    assert_eq!(said("[]", ALL), ["wrong-type "]);
}

#[test]
fn service_ranges_follow_the_version() {
    let range = |cidr: &str, version: &str| {
        said(
            &changed(&[
                ("service_cidrs: 10.201.0.0/16", &format!("service_cidrs: {cidr}")),
                ("1.36.2", version),
            ]),
            ALL,
        )
    };
    assert_eq!(range("10.201.0.0/28", "1.36.2"), [] as [&str; 0]);
    assert_eq!(range("10.201.0.0/29", "1.36.2"), ["service-range spec.cluster.service_cidrs"]);
    // 2^21 addresses: refused by kube-apiserver until 1.33.
    assert_eq!(range("11.0.0.0/11", "1.33.5"), ["service-range spec.cluster.service_cidrs"]);
    assert_eq!(range("11.0.0.0/11", "1.34.0"), [] as [&str; 0]);
    let v6 = |cidr: &str, version: &str| {
        let all = range(&format!("[10.201.0.0/16, \"{cidr}\"]"), version);
        all.into_iter().filter(|one| !one.starts_with("family-missing")).collect::<Vec<_>>()
    };
    assert_eq!(v6("fd00::/108", "1.33.5"), [] as [&str; 0]);
    assert_eq!(v6("fd00::/107", "1.33.5"), ["service-range spec.cluster.service_cidrs[1]"]);
    assert_eq!(v6("fd00::/64", "1.34.0"), [] as [&str; 0]);
    assert_eq!(v6("fd00::/63", "1.34.0"), ["service-range spec.cluster.service_cidrs[1]"]);
    assert_eq!(v6("fd00::/125", "1.34.0"), ["service-range spec.cluster.service_cidrs[1]"]);
}

#[test]
fn ranges_are_apart_each_from_each() {
    let ranges = [
        ("load_balancer_cidrs: 10.202.0.0/24", "load_balancer_cidrs: ", "/24"),
        ("network: 10.255.0.0/22}", "network: ", "/22}"),
        ("network: 192.168.10.0/24}", "network: ", "/24}"),
        ("service_cidrs: 10.201.0.0/16", "service_cidrs: ", "/16"),
    ];
    for (from, key, end) in ranges {
        // Inside of the pod range, or around a node network.
        for base in ["10.200.0.0", "10.30.0.0"] {
            let text = changed(&[(from, &format!("{key}{base}{end}"))]);
            let found = said(&text, ALL);
            assert!(found.iter().any(|one| one.starts_with("overlap ")), "{from} at {base}: {found:?}");
        }
    }
    check(
        &[
            ("network: 192.168.10.0/24", "network: 192.168.0.0/16"),
            ("network: 10.255.0.0/22", "network: 192.168.4.0/22"),
        ],
        &["overlap spec.sites[0].lans[0].network"],
    );
    // A pool lies in the pod range, and that is no overlap; two pools are one.
    check(
        &[("pod_cidrs: 10.200.128.0/18", "pod_cidrs: 10.200.0.0/20")],
        &["overlap spec.sites[1].pod_cidrs"],
    );
}

#[test]
fn reserved_ranges() {
    check(&[("10.202.0.0/24", "127.0.0.0/24")], &["reserved-range spec.cluster.load_balancer_cidrs"]);
    check(&[("10.202.0.0/24", "240.0.0.0/24")], &["reserved-range spec.cluster.load_balancer_cidrs"]);
    check(
        &[("10.202.0.0/24", "\"fe80::/64\"")],
        &["family-missing spec.cluster.service_cidrs", "reserved-range spec.cluster.load_balancer_cidrs"],
    );
    check(
        &[("address: 203.0.113.7", "address: 127.0.0.1")],
        &["reserved-range spec.sites[1].routers[0].uplinks[0].address"],
    );
}

#[test]
fn pools_hold_a_block_for_each_node() {
    let more = "    - {name: vps-2, site: vps, address: 10.30.0.12}\n    - {name: vps-3, site: vps, address: 10.30.0.13}\n";
    let with =
        |prefix: u8| said(&(changed(&[("10.200.128.0/18", &format!("10.200.128.0/{prefix}"))]) + more), ALL);
    assert_eq!(with(24), [] as [&str; 0]);
    assert_eq!(with(25), ["pool-too-small spec.sites[1].pod_cidrs"]);
    assert_eq!(with(27), ["pool-too-small spec.sites[1].pod_cidrs"]);
}

#[test]
fn names() {
    check(&[("name: home", "name: attic")], &[]); // a LAN is no machine
    check(&[("name: vps-1", "name: operator")], &["duplicate-name spec.nodes[1].name"]);
    check(&[("kind: linux", "kind: linux, host: vps-1, netns: k8s")], &["duplicate-name spec.nodes[1].name"]);
    check(
        &[("lans: [", "lans: [{name: home, network: 192.168.11.0/24}, ")],
        &["duplicate-name spec.sites[0].lans[1].name"],
    );
    check(
        &[
            ("/22}", "/16}"),
            ("uplinks: [{name: eth0", "uplinks: [{name: eth0, local_address: 192.0.2.7}, {name: eth0"),
        ],
        &["duplicate-name spec.sites[1].routers[0].uplinks[1].name"],
    );
    let long = "n".repeat(53);
    check(&[("name: vps-1", &format!("name: {long}"))], &["bad-label spec.nodes[1].name"]);
    check(
        &[("name: gw-vps", &format!("name: {}", &long[..44]))],
        &["bad-label spec.sites[1].routers[0].name"],
    );
    check(
        &[("name: attic\n    versions", "name: attic\n    domain: 10.0.0.1\n    versions")],
        &["bad-host spec.cluster.domain"],
    );
}

#[test]
fn as_numbers() {
    check(&[("asn: 65030", "asn: 65535")], &["reserved-asn spec.sites[1].routers[0].asn"]);
    check(&[("asn: 65030", "asn: 0")], &["out-of-range spec.sites[1].routers[0].asn"]);
    check(&[("asn: 65030", "asn: 4294967295")], &["out-of-range spec.sites[1].routers[0].asn"]);
    check(&[("asn: 65030", "asn: 4200000001")], &[]);
    let second = "uplinks: [{name: eth0, address: 203.0.113.7}]}, {name: gw-2, id: 4, kind: linux, asn: ASN, address: 10.30.0.2, uplinks: [{name: eth0, address: 203.0.113.8}]}]\n      gateway: 10.30.0.3";
    let last = "uplinks: [{name: eth0, address: 203.0.113.7}]}]";
    check(&[(last, &second.replace("ASN", "65030"))], &[]);
    check(&[(last, &second.replace("ASN", "65031"))], &["contradiction spec.sites[1].routers[1].asn"]);
    check(
        &[(last, &second.replace("ASN", "65030").replace("\n      gateway: 10.30.0.3", ""))],
        &["missing-key spec.sites[1]"],
    );
    check(
        &[(last, &second.replace("ASN", "65030").replace("gateway: 10.30.0.3", "gateway: 10.30.0.1"))],
        &["duplicate-address spec.sites[1].gateway"],
    );
}

#[test]
fn addresses() {
    check(&[("address: 10.30.0.11", "address: 10.30.0.0")], &["unusable-address spec.nodes[1].address"]);
    check(
        &[("address: 10.30.0.11", "address: 10.10.0.11")],
        &["outside-network spec.nodes[1].address", "duplicate-address spec.nodes[1].address"],
    );
    check(&[("address: 10.30.0.11", "address: []")], &["family-missing spec.nodes[1].address"]);
    check(&[("address: 10.30.0.11", "address: [10.30.0.11, \"fd00::1\"]")], &[]);
    check(&[("lans: [", "gateway: 10.10.0.1\n      lans: [")], &[]);
    check(
        &[("lans: [", "resolvers: [10.10.0.1, 127.0.0.53]\n      lans: [")],
        &["reserved-range spec.sites[0].resolvers[1]"],
    );
}

#[test]
fn tunnels() {
    let reach = "203.0.113.7";
    // pfSense takes a routed tunnel only from an address that it knows.
    check(
        &[("address: 203.0.113.7", "nat: carrier")],
        &["unreachable-tunnel spec.sites[1].routers[0].uplinks[0]"],
    );
    check(&[("address: 203.0.113.7", "nat: carrier"), ("kind: pfsense", "kind: linux")], &[]);
    check(
        &[(reach, "\"2001:db8::7\""), ("attic.example.net, dynamic: true", "203.0.113.1")],
        &["unreachable-tunnel spec.sites[1].routers[0].uplinks[0]"],
    );
    check(&[("network: 10.255.0.0/22", "network: 10.255.0.0/29")], &["tunnel-range spec.tunnels.network"]);
    check(&[("network: 10.255.0.0/22", "network: 10.255.0.0/28")], &[]);
    check(&[("network: 10.255.0.0/22", "network: 10.255.0.0/31")], &["tunnel-range spec.tunnels.network"]);
    check(&[("id: 3", "id: 180"), ("10.255.0.0/22", "10.252.0.0/14")], &[]);
    check(
        &[("id: 3", "id: 181"), ("10.255.0.0/22", "10.252.0.0/14")],
        &["out-of-range spec.sites[1].routers[0].id"],
    );
    check(&[("id: 3", "id: 181"), ("10.255.0.0/22", "10.252.0.0/14"), ("kind: pfsense", "kind: linux")], &[]);
    check(&[("/22}", "/22, hub: vps}")], &[]);
    check(&[("/22}", "/22, hub: vpn}")], &["unknown-reference spec.tunnels.hub"]);
    check(&[("/22}", "/22, shape: hub}")], &["missing-key spec.tunnels"]);
    check(&[("/22}", "/22, shape: mesh, hub: vps}")], &[]);
    check(&[("  tunnels: {network: 10.255.0.0/22}\n", "")], &["needed spec"]);
}

#[test]
fn namespaces() {
    check(&[("kind: linux", "kind: linux, host: box, netns: k8s")], &[]);
    check(&[("kind: linux", "kind: linux, host: box")], &["missing-key spec.sites[1].routers[0]"]);
    check(&[("kind: linux", "kind: linux, netns: k8s")], &["missing-key spec.sites[1].routers[0]"]);
    check(&[("kind: pfsense", "kind: pfsense, bgp: frr")], &["contradiction spec.sites[0].routers[0].bgp"]);
}

#[test]
fn nodes() {
    check(&[("roles: [worker]", "roles: []")], &["missing-key spec.nodes[1].roles"]);
    check(&[("roles: [worker]", "roles: [etcd]")], &["even-etcd? spec.nodes"]);
    check(
        &[("roles: [worker]", "roles: [worker], labels: {topology.kubernetes.io/zone: x}")],
        &["derived-setting spec.nodes[1].labels"],
    );
    let taint = "{key: a, effect: NoSchedule}";
    check(
        &[("roles: [worker]", &format!("roles: [worker], taints: [{taint}, {taint}]"))],
        &["duplicate-key spec.nodes[1].taints[1]"],
    );
    check(
        &[("api: {host: k8s.example.net}", "api: {host: k8s.example.net, local_port: 6443}")],
        &["contradiction spec.cluster.api.local_port"],
    );
    check(
        &[("api: {host: k8s.example.net}", "api: {host: k8s.example.net, port: 10250}")],
        &["contradiction spec.cluster.api.port"],
    );
}

#[test]
fn primary_family_first() {
    let text = changed(&[
        ("pod_cidrs: 10.200.0.0/16", "pod_cidrs: [10.200.0.0/16, \"fd00:200::/48\"]"),
        ("service_cidrs: 10.201.0.0/16", "service_cidrs: [\"fd00:201::/112\", 10.201.0.0/16]"),
        ("network: 10.255.0.0/22", "network: [10.255.0.0/22, \"fd00:255::/48\"]"),
        ("network: 10.10.0.0/24", "network: [10.10.0.0/24, \"fd00:10::/64\"]"),
        ("network: 10.30.0.0/24", "network: [10.30.0.0/24, \"fd00:30::/64\"]"),
        ("pod_cidrs: 10.200.0.0/18", "pod_cidrs: [10.200.0.0/18, \"fd00:200::/64\"]"),
        ("pod_cidrs: 10.200.128.0/18", "pod_cidrs: [10.200.128.0/18, \"fd00:200:0:1::/64\"]"),
        ("address: 10.10.0.1,", "address: [10.10.0.1, \"fd00:10::1\"],"),
        ("address: 10.30.0.1,", "address: [10.30.0.1, \"fd00:30::1\"],"),
        ("address: 10.10.0.11", "address: [10.10.0.11, \"fd00:10::11\"]"),
        ("address: 10.30.0.11", "address: [10.30.0.11, \"fd00:30::11\"]"),
    ]);
    let (model, warnings) = load(&tree::parse_yaml(&text).unwrap(), ALL).unwrap();
    assert!(warnings.is_empty() && model.primary_is_v6());
    let text = |list: Vec<std::net::IpAddr>| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(model.api_service_addresses()), ["fd00:201::1", "10.201.0.1"]);
    assert_eq!(text(model.dns_service_addresses()), ["fd00:201::a", "10.201.0.10"]);
    assert_eq!(text(model.nodes["vps-1"].addresses.clone()), ["fd00:30::11", "10.30.0.11"]);
    let tunnel = &model.tunnels[0];
    assert_eq!(format!("{:?}", tunnel.networks), "[fd00:255:0:2::/64, 10.255.0.8/30]");
    assert_eq!(text(tunnel.ends[1].addresses.clone()), ["fd00:255:0:2::2", "10.255.0.10"]);
}

#[test]
fn what_stands_behind_a_broken_part_is_said_with_its_own_place() {
    let text = changed(&[("name: attic-1", "name: ATTIC"), ("address: 10.30.0.11", "address: 10.31.0.11")]);
    assert_eq!(said(&text, ALL), ["bad-label spec.nodes[0].name", "outside-network spec.nodes[1].address"]);
    let text = changed(&[
        ("name: attic\n      network", "name: ATTIC\n      network"),
        ("asn: 65030", "asn: 23456"),
    ]);
    // Its nodes lose their site, which is no news.
    assert_eq!(
        said(&text, ALL),
        ["bad-label spec.sites[0].name", "reserved-asn spec.sites[1].routers[0].asn"]
    );
}
