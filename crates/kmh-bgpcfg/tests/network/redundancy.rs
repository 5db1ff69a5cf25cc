//! More than one of something: routers of a site, lines of a router. Who stands in for whom, the same from both ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{
    announced, article, cluster, laid_out, net, passes, plan, router, settle, two_lines, two_routers,
};
use kmh_doc::network::{NetworkSpec, PeerKind, RouteSet};

#[test]
fn the_routers_of_a_site_tell_each_other_everything() {
    for layout in ["A", "B", "D"] {
        let spec = plan(&laid_out(&two_routers(), layout));
        for (name, other, address) in [("gw-vps", "gw-vps2", "10.30.0.2"), ("gw-vps2", "gw-vps", "10.30.0.1")]
        {
            let here = router(&spec, name);
            let siblings: Vec<_> = here.sessions.iter().filter(|s| s.with == PeerKind::Sibling).collect();
            assert_eq!(siblings.len(), 1, "one family");
            let session = siblings[0];
            assert_eq!(
                (session.peer.as_str(), session.peer_address.to_string()),
                (other, address.to_owned())
            );
            assert_eq!((session.peer_asn, &session.tunnel, session.bfd_ms), (here.asn, &None, Some(1000)));
            assert!(session.next_hop_self && !session.as_override && !session.route_reflector_client);
            for (prefix, passed) in [
                ("10.200.128.64/26", true), // a node that only the other one reaches
                ("10.200.128.70/32", true),
                ("10.201.0.0/16", true),
                ("10.202.0.7/32", true),
                ("10.20.0.0/24", true), // a site that only the other one reaches
                ("10.200.64.64/26", true),
                ("192.168.10.0/24", true),
                ("10.200.128.0/18", false),
                ("10.255.0.4/30", false),
                ("0.0.0.0/0", false),
            ] {
                for map in [&session.import, &session.export] {
                    assert_eq!(passes(here, map, net(prefix), &[64512]), passed, "{layout} {map} {prefix}");
                }
            }
        }
        assert!(router(&spec, "fw-flat").route_maps.iter().all(|map| !map.name.starts_with("siblings")));
    }
    let both = cluster(true, true)
        .replace("    - name: west\n", "    - name: west\n      gateway: [10.2.0.254, \"fd00:2::ff\"]\n")
        .replace(
            "uplinks: [{name: eth0, address: 198.51.100.9}]}]",
            "uplinks: [{name: eth0, address: 198.51.100.9}]}, {name: r-west2, id: 3, kind: linux, bgp: bird, asn: 65002, \
             address: [10.2.0.2, \"fd00:2::2\"], interface: eth1, uplinks: [{name: eth0, address: 198.51.100.10}]}]",
        );
    let spec = plan(&both);
    let maps: Vec<&str> = router(&spec, "r-west")
        .sessions
        .iter()
        .filter(|session| session.with == PeerKind::Sibling)
        .flat_map(|session| [session.import.as_str(), session.export.as_str()])
        .collect();
    assert_eq!(maps, ["siblings-in-v4", "siblings-out-v4", "siblings-in-v6", "siblings-out-v6"]);
    assert!(router(&spec, "r-west").multipath && !router(&spec, "r-west2").multipath);
}

/// Each tunnel's rank, by name.
fn ranks(spec: &NetworkSpec) -> BTreeMap<&str, u8> {
    spec.tunnels.iter().map(|tunnel| (tunnel.name.as_str(), tunnel.rank)).collect()
}

#[test]
fn both_ends_prefer_the_same_tunnel() {
    let four = article()
        .replace("10.255.0.0/22", "10.255.0.0/16")
        .replace(
            "rate: 40mbit}\n",
            "rate: 40mbit}\n            - {name: lte, interface: opt9, address: a.example.net}\n",
        )
        .replace("203.0.113.7}]", "203.0.113.7}, {name: eth9, address: 203.0.113.8}]");
    for yaml in [article(), two_lines(), two_routers(), four.clone()] {
        let spec = plan(&yaml);
        let ranks = ranks(&spec);
        for here in &spec.routers {
            for session in here.sessions.iter().filter(|session| session.with == PeerKind::Router) {
                let rank = ranks[session.tunnel.as_deref().unwrap()];
                let map = here.route_maps.iter().find(|map| map.name == session.import).unwrap();
                let wanted = RouteSet { local_pref: None, med: Some(10 * u32::from(rank)) };
                assert!(map.rules.iter().all(|rule| rule.set == wanted), "{} {map:?}", here.name);
                let there = router(&spec, &session.peer);
                let back = there.sessions.iter().find(|s| s.peer_address == session.local_address).unwrap();
                assert_eq!(back.import, session.import);
                assert_eq!(session.export, "routers-out-v4");
            }
        }
    }
    let spec = plan(&four);
    let between: Vec<_> =
        ranks(&spec).into_iter().filter(|(name, _)| name.starts_with("fw-attic--gw-vps")).collect();
    assert_eq!(
        between,
        [
            ("fw-attic--gw-vps", 0),
            ("fw-attic--gw-vps--1-2", 1),
            ("fw-attic--gw-vps--2-1", 2),
            ("fw-attic--gw-vps--2-2", 3)
        ]
    );
    let maps: Vec<&str> = router(&spec, "fw-attic").route_maps.iter().map(|map| map.name.as_str()).collect();
    assert_eq!(
        maps,
        [
            "nodes-in-v4",
            "nodes-out-v4",
            "routers-in-v4",
            "routers-in-v4-1",
            "routers-in-v4-2",
            "routers-in-v4-3",
            "routers-out-v4"
        ]
    );
}

#[test]
fn every_tunnel_has_its_lines_own_numbers() {
    let spec = plan(&two_lines());
    let spare = spec.tunnels.iter().find(|tunnel| tunnel.name == "fw-attic--gw-vps--2-1").unwrap();
    assert_eq!((spare.index, spare.rank), (4002, 1));
    assert_eq!((spare.ends[0].uplink.as_str(), spare.ends[0].uplink_interface.as_str()), ("lte", "opt9"));
    assert_eq!(
        (spare.ends[0].interface.as_str(), spare.ends[1].interface.as_str()),
        ("ipsec4002", "xfrm4002")
    );
    // Behind carrier NAT: nobody calls it, ESP in UDP, and its own address is not known.
    assert!(spare.nat_t && spare.ends[0].remote_address.is_none() && spare.ends[0].initiates);
    assert_eq!(spare.ends[0].local_address, None);
    assert_eq!(spare.ends[1].local_address.map(|ip| ip.to_string()).as_deref(), Some("203.0.113.7"));
    // An address of the NAT in front is not the router's.
    let forwarded = article().replace("address: 203.0.113.7}", "address: 203.0.113.7, nat: forwarded}");
    assert!(plan(&forwarded).tunnels.iter().all(|tunnel| tunnel.ends[1].local_address.is_none()));
    let known = two_lines().replace("nat: carrier", "nat: carrier, local_address: 192.168.8.2");
    let spec = plan(&known);
    let spare = spec.tunnels.iter().find(|tunnel| tunnel.name == "fw-attic--gw-vps--2-1").unwrap();
    assert_eq!(spare.ends[0].local_address.map(|ip| ip.to_string()).as_deref(), Some("192.168.8.2"));
}

#[test]
fn ciphers_and_keys() {
    let tunnels =
        |settings: &str| plan(&article().replace("shape: mesh", &format!("shape: mesh, {settings}"))).tunnels;
    assert!(tunnels("auth: certificates").iter().all(|tunnel| tunnel.psk.is_none()));
    for tunnel in tunnels("auth: psk") {
        assert_eq!(tunnel.psk, Some(format!("keys/psk/{}", tunnel.name)));
    }
    let sizes =
        |settings: &str| tunnels(settings).iter().map(|tunnel| (tunnel.mtu, tunnel.mss)).collect::<Vec<_>>();
    assert_eq!(
        sizes("cipher: chacha20poly1305"),
        [(1410, [1370, 1350]), (1438, [1398, 1378]), (1438, [1398, 1378])]
    );
    assert_eq!(
        sizes("cipher: aes256cbc"),
        [(1390, [1350, 1330]), (1422, [1382, 1362]), (1422, [1382, 1362])]
    );
    assert!(tunnels("cipher: aes256cbc")[0].nat_t && !tunnels("cipher: aes256cbc")[1].nat_t);
}

#[test]
fn one_more_line_changes_nothing_that_was_there() {
    let (before, after) = (plan(&article().replace("10.255.0.0/22", "10.255.0.0/18")), plan(&two_lines()));
    assert_eq!(after.nodes, before.nodes);
    assert_eq!(after.calico, before.calico);
    for tunnel in &before.tunnels {
        assert!(after.tunnels.contains(tunnel), "{} is another", tunnel.name);
    }
    for old in &before.routers {
        let new = router(&after, &old.name);
        assert_eq!(
            (&new.originate, &new.unreachable, &new.listen),
            (&old.originate, &old.unreachable, &old.listen)
        );
        for session in &old.sessions {
            assert!(new.sessions.contains(session), "{} {session:?}", old.name);
        }
        for map in &old.route_maps {
            assert!(new.route_maps.contains(map), "{} {map:?}", old.name);
        }
        assert_eq!((&new.prefix_lists, &new.as_paths), (&old.prefix_lists, &old.as_paths));
    }
    // The one that was added: a session on either side, with a map of its own.
    let more = |name: &str| router(&after, name).sessions.len() - router(&before, name).sessions.len();
    assert_eq!((more("fw-attic"), more("fw-flat"), more("gw-vps")), (1, 0, 1));
}

#[test]
fn one_more_router_changes_nothing_that_was_there() {
    let (before, after) = (plan(&article()), plan(&two_routers()));
    for tunnel in &before.tunnels {
        assert!(after.tunnels.contains(tunnel), "{} is another", tunnel.name);
    }
    for old in &before.routers {
        let new = router(&after, &old.name);
        for session in &old.sessions {
            assert!(new.sessions.contains(session), "{} {session:?}", old.name);
        }
    }
}

#[test]
fn whatever_fails_alone_is_made_up_for() {
    for layout in ["A", "B", "D"] {
        for yaml in [two_routers(), two_lines()] {
            let yaml = laid_out(&yaml, layout);
            let spec = plan(&yaml);
            let blocks = announced(&spec);
            let names = spec.tunnels.iter().map(|tunnel| &tunnel.name);
            for down in names.chain(spec.routers.iter().map(|router| &router.name)) {
                let tables = settle(&spec, &blocks, &BTreeSet::from([down.clone()]));
                let left = spec.routers.iter().filter(|router| router.name != *down);
                let sites: BTreeSet<&str> = left.clone().map(|router| router.site.as_str()).collect();
                for node in spec.nodes.iter().filter(|node| sites.contains(node.site.as_str())) {
                    for block in &blocks[&node.name] {
                        for router in left.clone() {
                            assert!(
                                tables[&router.name].contains_key(block),
                                "{layout}: {} has no {block} without {down}",
                                router.name
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_router_without_tunnels_reaches_other_sites_by_its_sibling() {
    let spec = plan(&two_routers());
    let blocks = announced(&spec);
    let own = spec.tunnels.iter().filter(|tunnel| tunnel.ends.iter().any(|end| end.router == "gw-vps"));
    let cut: BTreeSet<String> = own.map(|tunnel| tunnel.name.clone()).collect();
    assert_eq!(cut.len(), 2);
    let tables = settle(&spec, &blocks, &cut);
    for block in blocks["attic-1"].iter().chain(&blocks["pi-1"]) {
        assert!(tables["gw-vps"].contains_key(block), "{block}");
        assert!(tables["gw-vps2"].contains_key(block), "{block}");
    }
    // And others reach the nodes behind it.
    for block in &blocks["vps-1"] {
        assert!(tables["fw-attic"].contains_key(block), "{block}");
    }
}
