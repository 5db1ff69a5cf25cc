//! Layouts of AS numbers and what else is chosen about sessions: direct routes, ranges of callers, passwords, timers.

use std::collections::BTreeSet;

use crate::support::{article, cluster, laid_out, net, passes, plan, router, two_routers};
use kmh_doc::inventory::RouterKind;
use kmh_doc::network::{PathRule, PeerKind, RouteSet, Session};

/// The sessions with nodes.
fn with_nodes(yaml: &str) -> Vec<Session> {
    let routers = plan(yaml).routers;
    routers.into_iter().flat_map(|r| r.sessions).filter(|s| s.with == PeerKind::Node).collect()
}

/// The article with more about BGP.
fn bgp(settings: &str) -> String {
    article().replace("{layout: A}", &format!("{{layout: A, {settings}}}"))
}

#[test]
fn a_all_nodes_have_one_as() {
    let spec = plan(&article());
    for session in with_nodes(&article()) {
        assert!(session.as_override && !session.next_hop_self && !session.route_reflector_client);
        assert_eq!(session.peer_asn.get(), 64512);
    }
    assert!(spec.nodes.iter().all(|node| node.annotations.iter().all(|(key, _)| !key.ends_with("ASNumber"))));
    assert_eq!(spec.routers[0].as_paths[0].permit, PathRule::Only(kmh_doc::Asn::new(64512)));
}

#[test]
fn b_nodes_are_in_their_routers_as() {
    let yaml = laid_out(&article(), "B");
    let spec = plan(&yaml);
    for router in &spec.routers {
        for session in router.sessions.iter().filter(|session| session.with == PeerKind::Node) {
            assert_eq!(session.peer_asn, router.asn);
            assert!(session.route_reflector_client && session.next_hop_self, "{session:?}");
            assert!(!session.as_override && !session.keep_next_hop, "{session:?}");
        }
        let map = router.route_maps.iter().find(|map| map.name == "nodes-in-v4").unwrap();
        assert!(map.rules.iter().all(|rule| rule.set == RouteSet { local_pref: Some(100), med: None }));
        assert!(
            router
                .route_maps
                .iter()
                .filter(|map| map.name != "nodes-in-v4")
                .all(|map| { map.rules.iter().all(|rule| rule.set.local_pref.is_none()) })
        );
    }
    for node in &spec.nodes {
        let asn = router(&spec, &node.peers[0].router).asn;
        assert_eq!(node.asn, asn);
        assert!(node.annotations.contains(&("projectcalico.org/ASNumber".to_owned(), asn.to_string())));
    }
    let flat = router(&spec, "fw-flat");
    for (path, passed) in [(&[] as &[u32], true), (&[65020], false), (&[65010], false), (&[64512], false)] {
        assert_eq!(passes(flat, "nodes-in-v4", net("10.200.64.64/26"), path), passed, "{path:?}");
    }
    assert!(with_nodes(&laid_out(&cluster(true, true), "B")).iter().all(|session| !session.keep_next_hop));
}

#[test]
fn d_every_node_has_its_own() {
    let yaml = laid_out(&article(), "D");
    let spec = plan(&yaml);
    let asns: BTreeSet<_> = spec.nodes.iter().map(|node| node.asn).collect();
    assert_eq!(asns.len(), spec.nodes.len());
    for session in with_nodes(&yaml) {
        let node = spec.nodes.iter().find(|node| node.name == session.peer).unwrap();
        assert_eq!(session.peer_asn, node.asn);
        assert!(!session.as_override && !session.route_reflector_client && !session.next_hop_self);
        assert!(node.annotations.contains(&("projectcalico.org/ASNumber".to_owned(), node.asn.to_string())));
    }
    let flat = router(&spec, "fw-flat");
    for (path, passed) in
        [(&[64702_u32] as &[u32], true), (&[64702, 64703], false), (&[64702, 65010], false), (&[], false)]
    {
        assert_eq!(passes(flat, "nodes-in-v4", net("10.200.64.64/26"), path), passed, "{path:?}");
    }
    assert!(with_nodes(&laid_out(&cluster(false, true), "D")).iter().all(|session| session.keep_next_hop));
}

#[test]
fn without_direct_routes_nodes_are_told_nothing() {
    for layout in ["A", "B", "D"] {
        let yaml = laid_out(&article(), layout)
            .replace(&format!("layout: {layout}"), &format!("layout: {layout}, direct_routes: false"));
        let spec = plan(&yaml);
        for router in &spec.routers {
            for prefix in
                ["10.200.0.64/26", "10.200.64.64/26", "10.200.128.64/26", "10.201.0.0/16", "0.0.0.0/0"]
            {
                assert!(!passes(router, "nodes-out-v4", net(prefix), &[64512]), "{layout} {prefix}");
            }
            let map = router.route_maps.iter().find(|map| map.name == "nodes-out-v4").unwrap();
            assert!(map.rules.iter().all(|rule| !rule.permit) && map.rules.len() == 1);
        }
        for session in with_nodes(&yaml) {
            assert!(!session.as_override && !session.route_reflector_client && !session.keep_next_hop);
        }
        // The router itself hears as much as before.
        assert!(passes(router(&spec, "fw-flat"), "routers-out-v4", net("10.200.64.64/26"), &[64512]));
    }
    let both =
        cluster(true, true).replacen("  sites:\n", "  bgp: {layout: A, direct_routes: false}\n  sites:\n", 1);
    assert!(with_nodes(&both).iter().all(|session| !session.keep_next_hop), "there is nothing to keep");
    // The other router of the site must still hear of nodes that only this one reaches.
    let two = laid_out(&two_routers(), "B").replace("layout: B", "layout: B, direct_routes: false");
    for session in with_nodes(&two) {
        assert_eq!(session.route_reflector_client, session.peer.starts_with("vps"), "{session:?}");
    }
}

#[test]
fn ranges_of_callers() {
    for (layout, yaml) in ["A", "B", "D"].map(|layout| (layout, laid_out(&cluster(true, true), layout))) {
        let yaml =
            yaml.replace(&format!("layout: {layout}"), &format!("layout: {layout}, node_peers: listen"));
        let spec = plan(&yaml);
        for router in &spec.routers {
            let asn = match layout {
                "A" => Some(kmh_doc::Asn::new(64512)),
                "B" => Some(router.asn),
                _ => None,
            };
            let ranges: Vec<_> =
                router.listen.iter().map(|listen| (listen.range.net(), listen.peer_asn)).collect();
            let own: Vec<_> = router
                .originate
                .iter()
                .filter(|net| !net.to_string().contains("99") && !net.to_string().starts_with("192"))
                .map(|net| (net.net(), asn))
                .collect();
            assert_eq!(ranges, own, "{layout} {}", router.name);
            for session in router.sessions.iter().filter(|session| session.with == PeerKind::Node) {
                assert!(session.dynamic);
                let range =
                    router.listen.iter().find(|l| l.range.net().contains(&session.peer_address)).unwrap();
                let like = Session {
                    peer: session.peer.clone(),
                    peer_address: session.peer_address,
                    peer_asn: session.peer_asn,
                    ..range.like.clone()
                };
                assert_eq!(like, *session, "a caller gets what the plan says of it");
                for map in [&session.import, &session.export] {
                    assert!(router.route_maps.iter().any(|one| one.name == *map));
                }
            }
            assert!(router.sessions.iter().filter(|s| s.with != PeerKind::Node).all(|s| !s.dynamic));
        }
    }
    // A site without nodes waits for them.
    let empty =
        bgp("node_peers: listen, passwords: false").replace("    - {name: vps-1", "    # {name: vps-1");
    let gw = router(&plan(&empty), "gw-vps").clone();
    assert_eq!(gw.listen.len(), 1);
    assert!(gw.route_maps.iter().any(|map| map.name == gw.listen[0].like.import && !map.rules.is_empty()));
    assert!(plan(&article()).routers.iter().all(|router| router.listen.is_empty()));
}

#[test]
fn one_password_a_site_and_one_a_tunnel_of_two_pfsense_routers() {
    let mut signed = BTreeSet::new();
    let plan_of = plan(&two_routers());
    let is_pfsense = |name: &str| {
        plan_of.routers.iter().any(|router| router.name == name && router.kind == RouterKind::Pfsense)
    };
    for router in &plan_of.routers {
        for session in &router.sessions {
            let key = match &session.tunnel {
                None => Some(format!("keys/bgp/{}", router.site)),
                Some(tunnel) => (is_pfsense(&router.name) && is_pfsense(&session.peer))
                    .then(|| format!("keys/bgp-tunnel/{tunnel}")),
            };
            assert_eq!(session.password, key, "{session:?}");
            signed.extend(session.tunnel.as_ref().map(|_| session.password.is_some()));
        }
    }
    assert_eq!(signed.len(), 2, "tunnels with a password, and tunnels without");
    let none = plan(&bgp("passwords: false"));
    assert!(
        none.routers.iter().flat_map(|router| &router.sessions).all(|session| session.password.is_none())
    );
}

/// What is written about timers; how long it takes, in milliseconds, when a node falls silent, when a node's BIRD dies,
/// and when a router falls silent.
type Times<'a> = (&'a str, [u32; 2], [u32; 2], [u32; 2]);

#[test]
fn how_long_it_takes_to_notice() {
    let table: &[Times<'_>] = &[
        ("", [6000, 9000], [0, 30_000], [2000, 3000]),
        ("timers: {routers: {bfd_ms: 300}}", [6000, 9000], [0, 30_000], [600, 900]),
        ("timers: {routers: {bfd_ms: 0}}", [6000, 9000], [0, 30_000], [6000, 9000]),
        ("timers: {routers: {bfd_ms: 0, keepalive: 1, hold: 9}}", [6000, 9000], [0, 30_000], [8000, 9000]),
        ("timers: {nodes: {keepalive: 10, hold: 30, restart: 0}}", [20_000, 30_000], [0, 0], [2000, 3000]),
        ("timers: {nodes: {restart: 120}}", [6000, 9000], [0, 120_000], [2000, 3000]),
        (
            "node_peers: listen, passwords: false, timers: {nodes: {restart: 0}}",
            [6000, 9000],
            [0, 0],
            [2000, 3000],
        ),
        ("timers: {nodes: {hold: 65535}}", [43_690_000, 65_535_000], [0, 30_000], [2000, 3000]),
    ];
    for (settings, silent, closed, router) in table {
        for session in plan(&bgp(settings)).routers.iter().flat_map(|router| &router.sessions) {
            let wanted = match session.with {
                PeerKind::Node => (*silent, *closed),
                _ => (*router, [0, 0]),
            };
            assert_eq!((session.outage.silent_ms, session.outage.closed_ms), wanted, "{settings}");
            // A range is worth something when it is narrow.
            let [from, to] = session.outage.silent_ms;
            assert!(from < to && to <= 2 * from, "{settings}");
        }
    }
}

#[test]
fn blocks_of_another_size() {
    let sized = |yaml: String| {
        yaml.replacen("  sites:\n", "  calico: {block_size_v4: 24, block_size_v6: 120}\n  sites:\n", 1)
    };
    let spec = plan(&sized(cluster(true, true)));
    let east = router(&spec, "r-east");
    for (map, prefix, passed) in [
        ("nodes-in-v4", "10.200.1.0/24", true),
        ("nodes-in-v4", "10.200.1.64/26", true),
        ("nodes-in-v4", "10.200.0.0/23", false),
        ("nodes-in-v6", "fd00:200::100/120", true),
        ("nodes-in-v6", "fd00:200::/119", false),
    ] {
        assert_eq!(passes(east, map, net(prefix), &[64512]), passed, "{prefix}");
    }
    assert!(passes(router(&spec, "r-west"), "routers-in-v4", net("10.200.1.0/24"), &[65001, 64512]));
}
