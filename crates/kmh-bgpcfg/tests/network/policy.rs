//! What routers let in and out: route maps and packet filters, evaluated rule by rule, and settled over whole clusters.

use std::collections::BTreeSet;

use crate::support::{MINIMAL, announced, article, cluster, lets_in, net, passes, plan, router, settle};
use kmh_doc::network::{PeerKind, Zone};

const NODES: &[u32] = &[64512];

#[test]
fn what_a_node_may_announce() {
    let spec = plan(&article());
    let table: &[(&str, &[u32], bool)] = &[
        ("10.200.64.64/26", NODES, true),
        ("10.200.64.70/32", NODES, true),           // a borrowed address
        ("10.200.64.64/26", &[64512, 64512], true), // prepended
        ("10.201.0.0/16", NODES, true),
        ("10.201.0.10/32", NODES, true), // a service with a `Local` policy
        ("10.202.0.0/24", NODES, true),
        ("10.202.0.7/32", NODES, true),
        ("10.200.64.64/26", &[64512, 65020, 64512], false), // learned, and handed on
        ("10.200.64.64/26", &[65020], false),
        ("10.200.64.64/26", &[], false),
        ("10.200.64.0/18", NODES, false), // the pool itself would draw every block
        ("10.200.64.0/25", NODES, false),
        ("10.200.0.64/26", NODES, false), // another site's block
        ("10.201.128.0/17", NODES, false),
        ("0.0.0.0/0", NODES, false),
        ("0.0.0.0/1", NODES, false),
        ("10.20.0.0/24", NODES, false),
        ("10.10.0.0/24", NODES, false),
        ("192.168.10.0/24", NODES, false),
        ("10.255.0.4/30", NODES, false),
        ("8.8.8.0/24", NODES, false),
    ];
    for (prefix, path, passed) in table {
        assert_eq!(
            passes(router(&spec, "fw-flat"), "nodes-in-v4", net(prefix), path),
            *passed,
            "{prefix} {path:?}"
        );
    }
}

#[test]
fn what_a_node_is_told() {
    let spec = plan(&article());
    let table = [
        ("10.200.64.64/26", true),
        ("10.200.64.70/32", true),
        ("10.200.0.64/26", false),
        ("10.200.64.0/18", false),
        ("10.201.0.0/16", false),
        ("10.202.0.7/32", false),
        ("10.10.0.0/24", false),
        ("10.20.0.0/24", false),
        ("192.168.10.0/24", false),
        ("0.0.0.0/0", false),
    ];
    for (prefix, passed) in table {
        assert_eq!(passes(router(&spec, "fw-flat"), "nodes-out-v4", net(prefix), NODES), passed, "{prefix}");
    }
}

#[test]
fn what_routers_tell_each_other() {
    let spec = plan(&article());
    // Prefix, taken in by fw-flat, told by fw-flat.
    let table = [
        ("10.10.0.0/24", true, true),    // another site's segment, and transit to it
        ("10.200.0.64/26", true, true),  // its blocks
        ("10.200.0.65/32", true, true),  // and borrowed addresses
        ("192.168.10.0/24", true, true), // a segment that may reach services
        ("10.201.0.0/16", true, true),
        ("10.202.0.7/32", true, true),
        ("10.20.0.0/24", false, true), // the own segment is told, never taken
        ("10.200.64.64/26", false, true),
        ("10.200.0.0/18", false, false), // no aggregate: it would hide that a block is gone
        ("10.200.0.0/16", false, false),
        ("10.10.0.0/25", false, false),
        ("10.255.0.4/30", false, false),
        ("0.0.0.0/0", false, false),
        ("10.0.0.0/8", false, false),
    ];
    for (prefix, taken, told) in table {
        let flat = router(&spec, "fw-flat");
        assert_eq!(passes(flat, "routers-in-v4", net(prefix), &[65030, 65010, 64512]), taken, "{prefix} in");
        assert_eq!(passes(flat, "routers-out-v4", net(prefix), &[65030, 65010, 64512]), told, "{prefix} out");
    }
    // Nothing has come out of a segment that may reach nothing.
    let closed = plan(&article().replace("reach: [services]", "reach: []"));
    for router in &closed.routers {
        assert!(!passes(router, "routers-in-v4", net("192.168.10.0/24"), &[65010]), "{}", router.name);
        assert!(!passes(router, "routers-out-v4", net("192.168.10.0/24"), &[]), "{}", router.name);
        assert!(!router.originate.iter().any(|own| own.to_string() == "192.168.10.0/24"));
    }
}

#[test]
fn no_router_takes_its_own_sites_networks_from_outside() {
    for yaml in [article(), cluster(true, true), cluster(false, true)] {
        let spec = plan(&yaml);
        for router in &spec.routers {
            for session in router.sessions.iter().filter(|session| session.with == PeerKind::Router) {
                let own = router.originate.iter().map(|own| own.net());
                let pools = router
                    .prefix_lists
                    .iter()
                    .filter(|list| list.name.starts_with("own-pods"))
                    .flat_map(|list| &list.permit);
                for prefix in own.chain(pools.map(|rule| rule.prefix.net())) {
                    assert!(
                        !passes(router, &session.import, prefix, &[65999]),
                        "{} takes {prefix}",
                        router.name
                    );
                    let block = prefix.subnets(prefix.max_prefix_len() - 6).unwrap().next().unwrap();
                    assert!(
                        !passes(router, &session.import, block, &[65999]),
                        "{} takes {block}",
                        router.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_pool_of_one_block_is_announced_as_it_is() {
    let yaml = MINIMAL.replace("pod_cidrs: 10.200.0.0/18", "pod_cidrs: 10.200.0.0/26");
    let spec = plan(&yaml);
    let gw = router(&spec, "gw");
    // FRR refuses `ge` that is not longer than the prefix.
    for rule in gw.prefix_lists.iter().flat_map(|list| &list.permit) {
        assert!(rule.ge.is_none_or(|ge| ge > rule.prefix.net().prefix_len()), "{rule:?}");
        assert!(rule.le.is_none_or(|le| le >= rule.ge.unwrap_or(0)), "{rule:?}");
    }
    assert!(passes(gw, "nodes-in-v4", net("10.200.0.0/26"), NODES));
    assert!(passes(gw, "nodes-in-v4", net("10.200.0.9/32"), NODES));
}

#[test]
fn every_router_reaches_everything_after_any_single_cut() {
    let spec = plan(&article());
    let blocks = announced(&spec);
    let all: BTreeSet<ipnet::IpNet> = blocks
        .values()
        .flatten()
        .copied()
        .chain(spec.routers.iter().flat_map(|r| r.originate.iter().map(|n| n.net())))
        .collect();
    let names: Vec<String> = spec.tunnels.iter().map(|tunnel| tunnel.name.clone()).collect();
    for cut in [BTreeSet::new()].into_iter().chain(names.iter().map(|name| BTreeSet::from([name.clone()]))) {
        for (router, table) in settle(&spec, &blocks, &cut) {
            assert_eq!(table.keys().copied().collect::<BTreeSet<_>>(), all, "{router} with {cut:?} cut");
        }
    }
    // With all cut, each knows its own site and nothing else; the unreachable routes cover the rest.
    let cut: BTreeSet<String> = names.into_iter().collect();
    for (name, table) in settle(&spec, &blocks, &cut) {
        for prefix in all.iter().filter(|prefix| !table.contains_key(prefix)) {
            let covered = router(&spec, &name).unreachable.iter().any(|net| net.net().contains(prefix));
            assert!(covered, "{name} would send {prefix} by its default route");
        }
    }
}

#[test]
fn local_services_win_and_no_path_goes_through_a_node() {
    let spec = plan(&article());
    for (name, table) in settle(&spec, &announced(&spec), &BTreeSet::new()) {
        let services = &table[&net("10.201.0.0/16")];
        assert!(services.contains(&vec![64512]), "{name} does not hear its own nodes");
        assert!(services.iter().any(|path| path.len() == 2), "{name} has no second choice");
        for path in table.values().flatten() {
            let inner = path.iter().rev().skip_while(|asn| **asn == 64512);
            assert!(inner.copied().all(|asn| asn != 64512), "{name} has a path through a node: {path:?}");
        }
    }
}

#[test]
fn a_hub_carries_what_its_spokes_say() {
    let yaml = article().replace("shape: mesh", "shape: hub, hub: vps");
    let spec = plan(&yaml);
    assert_eq!(spec.tunnels.len(), 2);
    let blocks = announced(&spec);
    let tables = settle(&spec, &blocks, &BTreeSet::new());
    for block in blocks.values().flatten() {
        assert!(tables.values().all(|table| table.contains_key(block)), "{block}");
    }
    assert_eq!(
        spec.findings
            .iter()
            .filter(|finding| finding.id == "single-transit-site")
            .map(|f| f.subject.as_str())
            .collect::<Vec<_>>(),
        ["vps"]
    );
}

#[test]
fn both_families_are_settled_alike() {
    for yaml in [cluster(true, true), cluster(false, true)] {
        let spec = plan(&yaml);
        let blocks = announced(&spec);
        let all: BTreeSet<ipnet::IpNet> = blocks
            .values()
            .flatten()
            .copied()
            .chain(spec.routers.iter().flat_map(|r| r.originate.iter().map(|n| n.net())))
            .collect();
        for (router, table) in settle(&spec, &blocks, &BTreeSet::new()) {
            assert_eq!(table.keys().copied().collect::<BTreeSet<_>>(), all, "{router}");
        }
    }
}

/// Router, zone, protocol, from, to (none: the router itself), port, whether it passes.
type Case<'a> = (&'a str, &'a Zone, &'a str, &'a str, Option<&'a str>, Option<u16>, bool);

#[test]
fn the_packet_filter_lets_in_what_is_needed_and_no_more() {
    let spec = plan(&article());
    let (lan, guest) = (Zone::Lan("home".to_owned()), Zone::Lan("guest".to_owned()));
    #[rustfmt::skip]
    let table: &[Case<'_>] = &[
        ("fw-attic", &Zone::Wan, "udp", "203.0.113.7", None, Some(500), true),
        ("fw-attic", &Zone::Wan, "udp", "203.0.113.7", None, Some(4500), true),
        ("fw-attic", &Zone::Wan, "esp", "203.0.113.7", None, None, true),
        ("fw-flat", &Zone::Wan, "udp", "198.51.100.4", None, Some(4500), true),   // attic's address changes
        ("fw-flat", &Zone::Wan, "esp", "198.51.100.4", None, None, false),        // behind NAT: all ESP is in UDP
        ("fw-attic", &Zone::Wan, "tcp", "203.0.113.7", None, Some(179), false),
        ("fw-attic", &Zone::Wan, "tcp", "203.0.113.7", Some("10.10.0.11"), Some(6443), false),
        ("fw-attic", &Zone::Nodes, "tcp", "10.10.0.11", None, Some(179), true),
        ("fw-attic", &Zone::Nodes, "icmp", "fe80::1", None, None, true),
        ("fw-attic", &Zone::Nodes, "udp", "10.10.0.11", None, Some(53), true),    // the router is a resolver
        ("fw-flat", &Zone::Nodes, "udp", "10.20.0.11", None, Some(53), false),    // this one is not
        ("fw-attic", &Zone::Nodes, "tcp", "10.10.0.11", None, Some(22), false),
        ("fw-attic", &Zone::Nodes, "tcp", "10.200.0.70", None, Some(179), false), // a pod is no node
        ("fw-attic", &Zone::Nodes, "tcp", "10.10.0.11", Some("10.20.0.11"), Some(2380), true),
        ("fw-attic", &Zone::Nodes, "tcp", "10.200.0.70", Some("10.200.64.70"), Some(8080), true),
        ("fw-attic", &Zone::Nodes, "tcp", "10.200.0.70", Some("10.10.0.11"), Some(10250), true),
        ("fw-attic", &Zone::Nodes, "tcp", "10.10.0.11", Some("9.9.9.9"), Some(443), true),
        ("fw-attic", &Zone::Nodes, "tcp", "10.200.0.70", Some("9.9.9.9"), Some(443), false), // leaves masqueraded
        ("fw-attic", &Zone::Nodes, "tcp", "10.10.0.11", Some("192.168.10.5"), Some(445), false),
        ("fw-flat", &Zone::Nodes, "tcp", "10.20.0.11", Some("192.168.10.5"), Some(445), false),
        ("fw-attic", &Zone::Nodes, "tcp", "172.16.0.1", Some("9.9.9.9"), Some(443), false), // forged
        ("fw-attic", &Zone::Tunnel, "tcp", "10.255.0.6", None, Some(179), true),
        ("fw-attic", &Zone::Tunnel, "udp", "10.255.0.6", None, Some(3784), true),
        ("fw-attic", &Zone::Tunnel, "tcp", "10.255.0.14", None, Some(179), false), // not a tunnel of its own
        ("fw-attic", &Zone::Tunnel, "tcp", "10.20.0.11", None, Some(179), false),
        ("fw-attic", &Zone::Tunnel, "tcp", "10.20.0.11", Some("10.10.0.11"), Some(6443), true),
        ("fw-attic", &Zone::Tunnel, "tcp", "10.200.64.70", Some("10.200.128.70"), Some(80), true), // transit
        ("fw-attic", &Zone::Tunnel, "tcp", "10.10.0.11", Some("10.10.0.12"), Some(80), false), // own source from outside
        ("fw-attic", &Zone::Tunnel, "tcp", "10.20.0.11", Some("192.168.10.5"), Some(445), false),
        ("fw-attic", &Zone::Tunnel, "tcp", "10.20.0.11", Some("9.9.9.9"), Some(443), false),
        ("fw-attic", &lan, "tcp", "192.168.10.5", Some("10.202.0.7"), Some(443), true),
        ("fw-attic", &lan, "tcp", "192.168.10.5", Some("10.201.0.10"), Some(53), true),
        ("fw-attic", &lan, "tcp", "192.168.10.5", Some("10.200.0.70"), Some(80), false),
        ("fw-attic", &lan, "tcp", "192.168.10.5", Some("10.10.0.11"), Some(22), false),
        ("fw-attic", &guest, "tcp", "192.168.20.5", Some("10.202.0.7"), Some(443), false),
        ("fw-flat", &Zone::Tunnel, "tcp", "192.168.10.5", Some("10.202.0.7"), Some(443), true),
        ("fw-flat", &Zone::Tunnel, "tcp", "192.168.10.5", Some("10.20.0.11"), Some(22), false),
    ];
    for (name, zone, protocol, from, to, port, wanted) in table {
        assert_eq!(
            lets_in(router(&spec, name), zone, protocol, from, *to, *port),
            *wanted,
            "{name} {zone:?} {protocol} {from} to {to:?} port {port:?}"
        );
    }
}

#[test]
fn tunnels_from_fixed_addresses_only_when_all_are_fixed() {
    let fixed = article()
        .replace("address: attic.dyn.example.net, dynamic: true", "address: 198.51.100.1")
        .replace("address: flat.dyn.example.net, dynamic: true, nat: forwarded", "address: 198.51.100.2");
    let spec = plan(&fixed);
    for (from, wanted) in [("198.51.100.1", true), ("198.51.100.2", true), ("198.51.100.3", false)] {
        assert_eq!(
            lets_in(router(&spec, "gw-vps"), &Zone::Wan, "udp", from, None, Some(500)),
            wanted,
            "{from}"
        );
        assert_eq!(lets_in(router(&spec, "gw-vps"), &Zone::Wan, "esp", from, None, None), wanted, "{from}");
    }
    // Behind carrier NAT nothing comes in unasked.
    let hidden = article()
        .replace("address: flat.dyn.example.net, dynamic: true, nat: forwarded", "nat: carrier")
        .replace("shape: mesh", "shape: hub, hub: vps");
    assert!(
        !plan(&hidden)
            .routers
            .iter()
            .find(|r| r.name == "fw-flat")
            .unwrap()
            .firewall
            .iter()
            .any(|rule| rule.zone == Zone::Wan)
    );
}
