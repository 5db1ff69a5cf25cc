//! AS layouts, timers, and what Calico is told.

use super::{ALL, BASE, changed, check, model, said, words};

const A: (&str, &str) = ("  tunnels:", "  bgp: {layout: A}\n  tunnels:");
const B: (&str, &str) = ("  tunnels:", "  bgp: {layout: B}\n  tunnels:");
const D: (&str, &str) = ("  tunnels:", "  bgp: {layout: D}\n  tunnels:");
const FIRST: &str = "name: attic-1, ";
const SECOND: &str = "name: vps-1, ";

fn asns(changes: &[(&str, &str)]) -> Vec<u32> {
    model(changes).nodes.values().map(|node| node.asn.unwrap().get()).collect()
}

#[test]
fn nodes_have_the_numbers_of_their_layout() {
    assert_eq!(asns(&[A]), [64512, 64512]);
    assert_eq!(asns(&[B]), [65010, 65030]);
    let own = [(FIRST, "name: attic-1, asn: 65101, "), (SECOND, "name: vps-1, asn: 65102, ")];
    assert_eq!(asns(&[D, own[0], own[1]]), [65101, 65102]);
    let contradictions = ["contradiction spec.nodes[0].asn", "contradiction spec.nodes[1].asn"];
    check(&[A, own[0], own[1]], &contradictions);
    check(&own, &contradictions);
    check(&[B, own[0], own[1]], &contradictions);
    assert_eq!(
        words(&[B, own[0]]),
        "node `attic-1` has the AS number 65101 of its own, and the layout is B / \
         in layout B a node has the AS number of its site's routers; `asn` at a node is for layout D / remove it, or write `bgp: {layout: D}`"
    );
}

#[test]
fn every_node_of_layout_d_has_its_own() {
    check(&[D], &["no-asn spec.nodes[0]", "no-asn spec.nodes[1]"]);
    // A tool that does not look at numbers does not ask for them.
    assert_eq!(said(&changed(&[D]), &[]), [] as [&str; 0]);
    let with = |first: &str, second: &str| {
        let [first, second] =
            [(FIRST, first), (SECOND, second)].map(|(name, asn)| format!("{name}asn: {asn}, "));
        said(&changed(&[D, (FIRST, &first), (SECOND, &second)]), ALL)
    };
    assert_eq!(with("65101", "65102"), [] as [&str; 0]);
    assert_eq!(with("65101", "65101"), ["duplicate-asn spec.nodes[1].asn"]);
    assert_eq!(with("65030", "65101"), ["duplicate-asn spec.nodes[0].asn"]);
    assert_eq!(with("65101", "64512"), [] as [&str; 0]);
    assert_eq!(with("65101", "23456"), ["reserved-asn spec.nodes[1].asn"]);
    assert_eq!(with("65101", "65000.1"), ["bad-asn spec.nodes[1].asn"]);
    assert_eq!(with("65101", "4294967295"), ["out-of-range spec.nodes[1].asn"]);
    let free = (FIRST, "name: attic-1, asn: 4200000000, ");
    assert!(words(&[D, free]).ends_with("such as 4200000001"), "{}", words(&[D, free]));
    // Thousands are not named one by one.
    let more: Vec<String> =
        (0..200).map(|n| format!("    - {{name: n{n}, site: vps, address: 10.30.0.{}}}\n", n + 12)).collect();
    let found = said(&(changed(&[D]) + &more.concat()), ALL);
    assert_eq!(found.iter().filter(|one| one.starts_with("no-asn")).count(), 20);
}

/// Where nodes have other numbers, the nodes' common one is nobody's.
#[test]
fn a_site_may_have_the_number_that_nodes_do_not_use() {
    let asn = ("asn: 65030", "asn: 64512");
    check(&[A, asn], &["duplicate-asn spec.sites[1].routers[0].asn"]);
    check(&[B, asn], &[]);
    let own = [(FIRST, "name: attic-1, asn: 65101, "), (SECOND, "name: vps-1, asn: 65102, ")];
    check(&[D, asn, own[0], own[1]], &[]);
    check(&[B, ("name: attic\n    versions", "name: attic\n    node_asn: 65500\n    versions")], &[]);
}

#[test]
fn no_more_routers_than_ranks() {
    let more: Vec<String> = (0..4)
        .map(|n| format!(", {{name: gw-{n}, id: {}, kind: linux, asn: 65030, address: 10.30.0.{}, uplinks: [{{name: e, address: 203.0.113.{}}}]}}", n + 5, n + 5, n + 50))
        .collect();
    let more = more.concat();
    let last = "uplinks: [{name: eth0, address: 203.0.113.7}]}]";
    let with = |more: &str| {
        format!("uplinks: [{{name: eth0, address: 203.0.113.7}}]}}{more}]\n      gateway: 10.30.0.3")
    };
    check(&[(last, &with(&more))], &["out-of-range spec.sites[1].routers[4]"]);
    let three = more.rsplit_once(", {name").unwrap().0;
    check(&[(last, &with(three))], &[]);
}

#[test]
fn timers() {
    let with = |timers: &str| {
        said(&changed(&[("  tunnels:", &format!("  bgp: {{timers: {timers}}}\n  tunnels:"))]), ALL)
    };
    let at = |code: &str, key: &str| vec![format!("{code} spec.bgp.timers.{key}")];
    assert_eq!(with("{nodes: {keepalive: 10, hold: 30, restart: 0}}"), [] as [&str; 0]);
    assert_eq!(with("{nodes: {keepalive: 4}}"), at("contradiction", "nodes.keepalive"));
    assert_eq!(with("{nodes: {hold: 8}}"), at("contradiction", "nodes.hold"));
    assert_eq!(with("{routers: {keepalive: 1, hold: 3}}"), [] as [&str; 0]);
    assert_eq!(with("{routers: {keepalive: 21845, hold: 65535}}"), [] as [&str; 0]);
    assert_eq!(with("{routers: {keepalive: 2, hold: 5}}"), at("contradiction", "routers.keepalive"));
    for hold in ["0", "1", "2", "65536"] {
        assert_eq!(with(&format!("{{routers: {{hold: {hold}}}}}")), at("out-of-range", "routers.hold"));
    }
    assert_eq!(with("{routers: {keepalive: 0}}"), at("out-of-range", "routers.keepalive"));
    assert_eq!(with("{routers: {bfd_ms: 0}}"), [] as [&str; 0]);
    assert_eq!(with("{routers: {bfd_ms: 10}}"), [] as [&str; 0]);
    assert_eq!(with("{routers: {bfd_ms: 9}}"), at("out-of-range", "routers.bfd_ms"));
    assert_eq!(with("{nodes: {restart: 4096}}"), at("out-of-range", "nodes.restart"));
}

#[test]
fn pfsense_speaks_by_frr_alone() {
    check(&[("kind: pfsense", "kind: pfsense, bgp: bird")], &["contradiction spec.sites[0].routers[0].bgp"]);
    check(&[("kind: linux", "kind: linux, bgp: bird")], &[]);
}

#[test]
fn every_choice_about_sessions_goes_with_every_layout() {
    for layout in ["A", "B"] {
        for words in ["node_peers: listen", "direct_routes: false", "passwords: false"] {
            let bgp = format!("  bgp: {{layout: {layout}, {words}}}\n  tunnels:");
            check(&[("  tunnels:", &bgp), ("kind: pfsense", "kind: linux")], &[]);
        }
    }
}

#[test]
fn pfsense_signs_for_no_range() {
    let with = |words: &str| {
        said(&changed(&[("  tunnels:", &format!("  bgp: {{node_peers: listen{words}}}\n  tunnels:"))]), ALL)
    };
    assert_eq!(with(""), ["contradiction spec.bgp.node_peers"]);
    assert_eq!(with(", passwords: false"), [] as [&str; 0]);
}

#[test]
fn pfsense_has_its_own_names_of_interfaces() {
    let node = |name: &str| {
        said(&changed(&[("address: 10.10.0.1,", &format!("address: 10.10.0.1, interface: {name},"))]), ALL)
    };
    for name in ["lan", "opt1", "opt12"] {
        assert_eq!(node(name), [] as [&str; 0], "{name}");
    }
    for name in ["OPT1", "opt", "opt0", "opt1.20", "igb1.20", "nodes", "lan2"] {
        assert_eq!(node(name), ["bad-text spec.sites[0].routers[0].interface"], "{name}");
    }
    let line =
        |name: &str| said(&changed(&[("{name: dsl,", &format!("{{name: dsl, interface: {name},"))]), ALL);
    assert_eq!(line("wan"), [] as [&str; 0]);
    assert_eq!(line("pppoe0"), ["bad-text spec.sites[0].routers[0].uplinks[0].interface"]);
    // Linux names them as it likes.
    check(&[("kind: pfsense", "kind: linux, interface: igb1.20")], &[]);
}

fn calico(words: &str) -> Vec<String> {
    said(&changed(&[("  tunnels:", &format!("  calico: {{{words}}}\n  tunnels:"))]), ALL)
}

#[test]
fn blocks() {
    assert_eq!(calico("block_size_v4: 18"), ["out-of-range spec.calico.block_size_v4"]);
    assert_eq!(calico("block_size_v6: 115"), ["out-of-range spec.calico.block_size_v6"]);
    assert_eq!(calico("block_size_v4: 20"), [] as [&str; 0]);
    let pool = |prefix: u8, block: u8| {
        let pool = format!("10.200.128.0/{prefix}");
        said(
            &changed(&[
                ("10.200.128.0/18", &pool),
                ("  tunnels:", &format!("  calico: {{block_size_v4: {block}}}\n  tunnels:")),
            ]),
            ALL,
        )
    };
    assert_eq!(pool(26, 26), [] as [&str; 0]);
    assert_eq!(pool(26, 24), ["pool-too-small spec.sites[1].pod_cidrs"]);
    assert_eq!(pool(27, 28), [] as [&str; 0]);
    assert_eq!(pool(27, 26), ["pool-too-small spec.sites[1].pod_cidrs"]);
    // A site without nodes has a pool all the same, and a pool has a block.
    let empty =
        BASE.replacen("    - {name: vps-1, site: vps, address: 10.30.0.11, roles: [worker]}\n", "", 1);
    assert_eq!(
        said(&empty.replacen("10.200.128.0/18", "10.200.128.0/27", 1), ALL),
        ["pool-too-small spec.sites[1].pod_cidrs"]
    );
}

#[test]
fn blocks_of_ipv6() {
    let six = super::families::SIX;
    assert_eq!(said(six, ALL), [] as [&str; 0]);
    let with = |pool: &str, block: &str| {
        said(
            &six.replacen("fd00:200:0:1::/64", pool, 1).replacen(
                "  tunnels:",
                &format!("  calico: {{{block}}}\n  tunnels:"),
                1,
            ),
            ALL,
        )
    };
    assert_eq!(with("fd00:200:0:1::/122", "nat_outgoing: false"), [] as [&str; 0]);
    assert_eq!(with("fd00:200:0:1::/122", "block_size_v6: 120"), ["pool-too-small spec.sites[1].pod_cidrs"]);
    assert_eq!(with("fd00:200:0:1::/122", "block_size_v6: 128"), [] as [&str; 0]);
}

#[test]
fn strict_affinity() {
    let most = |code: &str| vec![format!("{code} spec.calico.max_blocks_per_node")];
    assert_eq!(calico("max_blocks_per_node: 4"), most("contradiction"));
    assert_eq!(calico("strict_affinity: false, max_blocks_per_node: 4"), most("contradiction"));
    assert_eq!(calico("strict_affinity: true, max_blocks_per_node: 4"), [] as [&str; 0]);
    assert_eq!(calico("strict_affinity: true"), [] as [&str; 0]);
    // 64 addresses for kubelet's 110 pods; 20 blocks of one address each.
    assert_eq!(calico("strict_affinity: true, max_blocks_per_node: 1"), most("pool-too-small?"));
    assert_eq!(
        calico("strict_affinity: true, block_size_v4: 32"),
        ["pool-too-small? spec.calico.strict_affinity"]
    );
    let fewer = BASE.replacen("  tunnels:", "  settings: {kubelet: {maxPods: 60}}\n  calico: {strict_affinity: true, max_blocks_per_node: 1}\n  tunnels:", 1);
    assert_eq!(said(&fewer, ALL), [] as [&str; 0]);
    let more =
        fewer.replacen("address: 10.30.0.11", "address: 10.30.0.11, settings: {kubelet: {maxPods: 65}}", 1);
    let found = said(&more, ALL);
    assert!(found.contains(&most("pool-too-small?")[0]), "{found:?}");
}

#[test]
fn versions_of_calico() {
    let with = |version: &str| said(&changed(&[("calico: 3.31.2", &format!("calico: {version}"))]), ALL);
    for known in ["3.28.0", "3.29.9", "3.32.0"] {
        assert_eq!(with(known), [] as [&str; 0]);
    }
    assert_eq!(with("3.27.9"), ["unknown-version spec.cluster.versions.calico"]);
    assert_eq!(with("2.40.0"), ["unknown-version spec.cluster.versions.calico"]);
    assert_eq!(with("3.33.0"), ["unknown-version? spec.cluster.versions.calico"]);
    assert_eq!(with("4.0.0"), ["unknown-version? spec.cluster.versions.calico"]);
    // Others may change what their files mean.
    check(&[("etcd: 3.6.8", "etcd: 3.7.0")], &["unknown-version spec.cluster.versions.etcd"]);
}
