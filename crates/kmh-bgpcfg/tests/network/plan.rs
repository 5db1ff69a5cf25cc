//! The plan as a whole: sessions, tunnels, Calico's resources, findings, and what growth changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::support::{MINIMAL, article, cluster, plan, router, two_lines, two_routers};
use kmh_doc::network::{NetworkSpec, PeerKind};
use serde_json::Value;

fn bytes(spec: &NetworkSpec) -> String {
    serde_json::to_string(spec).unwrap()
}

#[test]
fn sessions_are_the_same_from_both_sides() {
    for yaml in [
        article(),
        cluster(true, true),
        cluster(false, true),
        article().replace("shape: mesh", "shape: hub, hub: vps"),
        two_routers(),
        two_lines(),
    ] {
        let spec = plan(&yaml);
        let mut seen = BTreeSet::new();
        for here in &spec.routers {
            for session in &here.sessions {
                assert!(seen.insert((session.local_address, session.peer_address)), "twice: {session:?}");
                assert_eq!(session.local_address.is_ipv6(), session.peer_address.is_ipv6());
                assert!((session.keepalive, session.hold) == (3, 9));
                for map in [&session.import, &session.export] {
                    assert!(
                        here.route_maps.iter().any(|m| m.name == *map && !m.rules.is_empty()),
                        "{} lacks {map}",
                        here.name
                    );
                }
                if session.with == PeerKind::Node {
                    let node = spec.nodes.iter().find(|node| node.name == session.peer).unwrap();
                    assert_eq!((&node.site, node.asn), (&here.site, session.peer_asn));
                    assert!(node.peers.iter().any(|p| p.router == here.name
                        && p.address == session.local_address
                        && p.asn == here.asn));
                    assert_eq!(session.keep_next_hop, session.peer_address.is_ipv6());
                    assert!(session.as_override && session.bfd_ms.is_none() && session.tunnel.is_none());
                } else {
                    let there = router(&spec, &session.peer);
                    let back = there
                        .sessions
                        .iter()
                        .find(|back| {
                            (back.local_address, back.peer_address)
                                == (session.peer_address, session.local_address)
                        })
                        .unwrap();
                    assert_eq!(
                        (back.peer_address, &back.peer, back.peer_asn),
                        (session.local_address, &here.name, here.asn)
                    );
                    assert_eq!(
                        (session.peer_asn, &back.tunnel, back.bfd_ms),
                        (there.asn, &session.tunnel, session.bfd_ms)
                    );
                    assert!(!session.as_override && session.bfd_ms == Some(1000));
                }
            }
        }
        let peerings: usize = spec.nodes.iter().map(|node| node.peers.len()).sum();
        let siblings = if yaml.contains("gw-vps2") { 2 } else { 0 };
        assert_eq!(
            seen.len(),
            peerings + siblings + 2 * spec.tunnels.iter().map(|tunnel| tunnel.networks.len()).sum::<usize>()
        );
    }
}

#[test]
fn tunnels_are_mirrored_and_named_by_their_number() {
    let spec = plan(&article());
    let shown: Vec<_> =
        spec.tunnels.iter().map(|t| (t.name.as_str(), t.index, t.networks[0].to_string(), t.mtu)).collect();
    assert_eq!(
        shown,
        [
            ("fw-attic--fw-flat", 1, "10.255.0.4/30".to_owned(), 1410), // 1492, names, NAT: IPv6 outside is possible
            ("fw-attic--gw-vps", 2, "10.255.0.8/30".to_owned(), 1438),  // 1492, IPv4, no NAT
            ("fw-flat--gw-vps", 3, "10.255.0.12/30".to_owned(), 1438),  // 1500, IPv4, NAT
        ]
    );
    assert_eq!(spec.pod_mtu, 1410);
    for tunnel in &spec.tunnels {
        for (end, other) in [(0, 1), (1, 0)] {
            let (end, other) = (&tunnel.ends[end], &tunnel.ends[other]);
            let plan = router(&spec, &end.router);
            let prefix = if plan.kind == kmh_doc::inventory::RouterKind::Pfsense { "ipsec" } else { "xfrm" };
            assert_eq!(end.interface, format!("{prefix}{}", tunnel.index));
            assert_eq!(end.identity, format!("{}.attic.ipsec.internal", end.router));
            assert!(
                tunnel.networks.iter().zip(&end.addresses).all(|(net, address)| net.net().contains(address))
            );
            assert!(
                plan.sessions
                    .iter()
                    .any(|s| s.local_address == end.addresses[0] && s.peer_address == other.addresses[0])
            );
        }
        assert!(tunnel.ends.iter().any(|end| end.initiates));
        // Who calls needs to know where.
        for (caller, called) in [(0, 1), (1, 0)] {
            assert!(!tunnel.ends[caller].initiates || tunnel.ends[called].remote_address.is_some());
        }
    }
    assert_eq!(spec.tunnels[1].ends[0].uplink_interface, "wan");
    assert_eq!(spec.tunnels[1].ends[1].uplink_interface, "eth0");
}

#[test]
fn a_minimal_inventory_has_a_network() {
    let spec = plan(MINIMAL);
    assert_eq!((spec.tunnels.len(), spec.pod_mtu), (0, 1500));
    let found: Vec<&str> = spec.findings.iter().map(|finding| finding.id.as_str()).collect();
    assert_eq!(found, ["stale-routes"], "{:?}", spec.findings);
    let gw = router(&spec, "gw");
    assert_eq!(gw.sessions.len(), 1);
    assert_eq!(
        gw.route_maps.iter().map(|map| map.name.as_str()).collect::<Vec<_>>(),
        ["nodes-in-v4", "nodes-out-v4"]
    );
    assert_eq!(
        gw.unreachable.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.200.0.0/16", "10.201.0.0/16"]
    );
    let used: BTreeSet<&String> = gw
        .route_maps
        .iter()
        .flat_map(|map| &map.rules)
        .filter_map(|rule| rule.prefix_list.as_ref())
        .collect();
    assert_eq!(
        gw.prefix_lists.iter().map(|list| &list.name).collect::<BTreeSet<_>>(),
        used,
        "lists that nothing uses"
    );
}

#[test]
fn ipv6_only_has_identifiers_that_are_no_addresses() {
    let spec = plan(&cluster(false, true));
    assert_eq!(
        spec.routers.iter().map(|r| r.router_id.to_string()).collect::<Vec<_>>(),
        ["0.0.0.1", "0.0.0.2"]
    );
    assert_eq!(
        spec.nodes[0].annotations,
        [("projectcalico.org/IPv6Address".to_owned(), "fd00:1::11/64".to_owned())]
    );
    let text = bytes(&spec).replace("198.51.100.9", "");
    assert!(!text.contains("10.") && !text.contains("v4\""), "something of IPv4 is left");
    let both = plan(&cluster(true, true));
    assert_eq!(router(&both, "r-east").sessions.len(), 6, "two nodes and a router, in two families");
    assert_eq!(both.nodes[0].peers.len(), 2);
    assert_eq!(router(&both, "r-east").router_id.to_string(), "10.1.0.1");
}

/// The article's inventory with its sites and nodes in another order.
fn permuted() -> String {
    let text = article();
    let (head, rest) = text.split_once("    - name: attic\n      network").unwrap();
    let (sites, rest) = rest.split_once("  nodes:\n").unwrap();
    let (attic, sites) = sites.split_once("    - name: flat\n").unwrap();
    let (flat, vps) = sites.split_once("    - name: vps\n").unwrap();
    let (nodes, tail) = rest.split_once("\n  settings:").unwrap();
    let mut nodes: Vec<&str> = nodes.lines().collect();
    nodes.reverse();
    format!(
        "{head}    - name: vps\n{vps}    - name: attic\n      network{attic}    - name: flat\n{flat}  nodes:\n{}\n  settings:{tail}",
        nodes.join("\n")
    )
}

#[test]
fn the_order_of_sites_and_nodes_changes_no_byte() {
    let (first, second) = (article(), permuted());
    assert_ne!(first, second);
    assert_eq!(bytes(&plan(&first)), bytes(&plan(&second)));
}

fn by_name<T: Clone>(items: &[T], name: impl Fn(&T) -> String) -> BTreeMap<String, T> {
    items.iter().map(|item| (name(item), item.clone())).collect()
}

#[test]
fn one_more_node_is_known_to_its_routers_only() {
    let before = plan(&article());
    let after = plan(&article().replace(
        "    - {name: pi-1,",
        "    - {name: attic-0, site: attic, address: 10.10.0.99}\n    - {name: pi-1,",
    ));
    let nodes = by_name(&after.nodes, |node| node.name.clone());
    for node in &before.nodes {
        assert_eq!(nodes[&node.name], *node);
    }
    assert_eq!(
        (&after.tunnels, &after.calico, after.pod_mtu, &after.findings),
        (&before.tunnels, &before.calico, before.pod_mtu, &before.findings)
    );
    for router in &before.routers {
        let mut grown = after.routers.iter().find(|r| r.name == router.name).unwrap().clone();
        if router.name == "fw-attic" {
            assert_eq!(grown.sessions.len(), router.sessions.len() + 1);
            grown.sessions.retain(|session| session.peer != "attic-0");
        }
        assert_eq!(grown, *router);
    }
}

#[test]
fn one_more_site_changes_what_must_know_it() {
    let shed = "    - name: aerie\n      network: 10.5.0.0/24\n      pod_cidrs: 10.200.192.0/18\n      routers:\n        \
                - {name: gw-aerie, id: 4, kind: linux, bgp: frr, asn: 65040, address: 10.5.0.1, interface: eth1, \
                uplinks: [{name: eth0, address: 192.0.2.4}]}\n";
    let before = plan(&article());
    let after = plan(
        &article()
            .replace("    - name: attic\n      network", &format!("{shed}    - name: attic\n      network")),
    );

    // Nothing of the nodes, no number, address or name; Calico and the tunnels have more, and nothing else.
    assert_eq!(after.nodes, before.nodes);
    let tunnels = by_name(&after.tunnels, |tunnel| tunnel.name.clone());
    assert!(before.tunnels.iter().all(|tunnel| tunnels[&tunnel.name] == *tunnel));
    let key = |r: &Value| format!("{}/{}", r["kind"], r["metadata"]["name"]);
    let calico = by_name(&after.calico, key);
    assert!(before.calico.iter().all(|resource| calico[&key(resource)] == *resource));

    // A router gains a session, the new site's prefixes, unreachable routes and packet filter rules.
    for old in &before.routers {
        let mut new = after.routers.iter().find(|r| r.name == old.name).unwrap().clone();
        let sessions: Vec<_> = new.sessions.iter().filter(|s| s.peer == "gw-aerie").collect();
        assert_eq!(sessions.len(), 1);
        new.sessions.retain(|session| session.peer != "gw-aerie");
        assert_eq!(new.sessions, old.sessions);
        assert_eq!(
            new.unreachable
                .iter()
                .filter(|net| !old.unreachable.contains(net))
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["10.5.0.0/24"]
        );
        for (new, old) in new.prefix_lists.iter().zip(&old.prefix_lists) {
            let more: Vec<String> = new
                .permit
                .iter()
                .filter(|rule| !old.permit.contains(rule))
                .map(|rule| rule.prefix.to_string())
                .collect();
            let expected: &[&str] =
                if new.name == "remote-v4" { &["10.5.0.0/24", "10.200.192.0/18"] } else { &[] };
            assert_eq!((&new.name, more), (&old.name, expected.iter().map(ToString::to_string).collect()));
        }
        for (new, old) in new.masquerade.iter_mut().zip(&old.masquerade) {
            assert_eq!(new.from, old.from);
            assert!(old.except.iter().all(|net| new.except.contains(net)), "only more is left alone");
            new.except.clone_from(&old.except);
        }
        (new.sessions, new.unreachable, new.prefix_lists, new.firewall) =
            (old.sessions.clone(), old.unreachable.clone(), old.prefix_lists.clone(), old.firewall.clone());
        assert_eq!(new, *old);
    }
}

#[test]
fn every_node_peers_with_each_router_of_its_site() {
    let spec = plan(&two_routers());
    let node = spec.nodes.iter().find(|node| node.name == "vps-1").unwrap();
    assert_eq!(node.peers.iter().map(|peer| peer.router.as_str()).collect::<Vec<_>>(), ["gw-vps", "gw-vps2"]);
    assert_eq!(node.gateways.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.30.0.254"]);
    assert_eq!(spec.tunnels.len(), 5, "no tunnel inside a site");
    let peers = spec
        .calico
        .iter()
        .filter(|r| r["kind"] == "BGPPeer" && r["spec"]["nodeSelector"].as_str().unwrap().contains("'vps'"));
    assert_eq!(peers.count(), 2);
}

#[test]
fn a_thousand_nodes_on_twenty_sites() {
    let mut yaml = String::from(
        "kind: kmh.inventory/v1\nspec:\n  cluster: {name: big, pod_cidrs: 10.128.0.0/9, service_cidrs: 172.16.0.0/16}\n  tunnels: {network: 172.20.0.0/14}\n  sites:\n",
    );
    for site in 1..=20 {
        let pool = 127 + site;
        let _ = writeln!(
            yaml,
            "    - {{name: s{site}, network: 10.{site}.0.0/22, pod_cidrs: 10.{pool}.0.0/16, routers: [{{name: r{site}, id: {site}, kind: linux, asn: {}, address: 10.{site}.0.1, uplinks: [{{name: eth0, address: r{site}.example.net}}]}}]}}",
            65000 + site
        );
    }
    yaml.push_str("  nodes:\n");
    for node in 0..1000 {
        let (site, host) = (node % 20 + 1, node / 20 + 10);
        let _ = writeln!(yaml, "    - {{name: n{node}, site: s{site}, address: 10.{site}.1.{host}}}");
    }
    let spec = plan(&yaml);
    assert_eq!((spec.nodes.len(), spec.tunnels.len()), (1000, 190));
    let sessions: usize = spec.routers.iter().map(|router| router.sessions.len()).sum();
    assert_eq!(sessions, 1000 + 2 * 190);
    // Growth is linear: what a router says does not depend on other sites' nodes.
    assert!(bytes(&spec).len() < 1000 * 1400, "{}", bytes(&spec).len());
}
