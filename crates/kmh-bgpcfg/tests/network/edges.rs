//! What an attacker on a node, and a segment with a name server, find at the routers.

use kmh_doc::network::{FindingLevel, Zone};

use super::support::{article, lets_in, plan, router};

#[test]
fn pods_ask_for_names_where_nodes_do() {
    // CoreDNS is a pod, and the node segment is a (disabled) pool: its questions keep their address.
    let spec = plan(&article());
    for protocol in ["tcp", "udp"] {
        let asks = |from: &str, port| {
            lets_in(router(&spec, "fw-attic"), &Zone::Nodes, protocol, from, None, Some(port))
        };
        assert!(asks("10.10.0.11", 53) && asks("10.200.0.70", 53));
        assert!(!asks("10.200.64.70", 53), "another site's pod does not come in here");
        assert!(!asks("10.200.0.70", 22));
    }
}

#[test]
fn a_name_server_on_another_segment() {
    let spec = plan(&article().replace("resolvers: [10.10.0.1]", "resolvers: [192.168.10.5]"));
    let asks = |from: &str, to: &str, port| {
        lets_in(router(&spec, "fw-attic"), &Zone::Nodes, "udp", from, Some(to), Some(port))
    };
    assert!(asks("10.10.0.11", "192.168.10.5", 53) && asks("10.200.0.70", "192.168.10.5", 53));
    assert!(!asks("10.10.0.11", "192.168.10.6", 53) && !asks("10.10.0.11", "192.168.10.5", 445));
    assert!(!asks("10.10.0.11", "192.168.10.5", 5353));
    // On a segment of another site nobody lets it in.
    let far = article().replace("    - name: flat\n", "    - name: flat\n      resolvers: [192.168.10.5]\n");
    let found = plan(&far).findings.into_iter().find(|finding| finding.id == "far-resolver").unwrap();
    assert_eq!((found.level, found.subject.as_str()), (FindingLevel::Warning, "flat"));
    assert!(!plan(&article()).findings.iter().any(|finding| finding.id == "far-resolver"));
    // A home with the same segment asks its own.
    let same = far.replace("reach: [services]", "reach: []").replace(
        "      resolvers: [192.168.10.5]\n",
        "      resolvers: [192.168.10.5]\n      lans: [{name: home, network: 192.168.10.0/24}]\n",
    );
    assert!(!plan(&same).findings.iter().any(|finding| finding.id == "far-resolver"));
    // Nor does another site's router answer: what comes out of a tunnel for itself is BGP, BFD and ping.
    let router = far.replace("resolvers: [192.168.10.5]", "resolvers: [10.10.0.1]");
    let spec = plan(&router);
    let found = spec.findings.iter().find(|finding| finding.id == "far-resolver").unwrap();
    assert_eq!((found.level, found.subject.as_str()), (FindingLevel::Warning, "flat"));
    let fw = self::router(&spec, "fw-attic");
    assert!(!lets_in(fw, &Zone::Tunnel, "udp", "10.20.0.11", None, Some(53)));
}

#[test]
fn a_router_is_no_part_of_the_segment_that_it_serves() {
    // pf has one list for packets to the firewall and through it: a pass rule to the segment would open its pages.
    let spec = plan(&article());
    for (zone, from) in
        [(Zone::Nodes, "10.10.0.11"), (Zone::Nodes, "10.200.0.70"), (Zone::Tunnel, "10.200.64.70")]
    {
        let opens = |to: &str| lets_in(router(&spec, "fw-attic"), &zone, "tcp", from, Some(to), Some(443));
        assert!(!opens("10.10.0.1"), "{zone:?} {from}");
        assert!(opens("10.10.0.12"), "{zone:?} {from}");
    }
    let gateway =
        plan(&article().replace("    - name: attic\n", "    - name: attic\n      gateway: 10.10.0.254\n"));
    assert!(!lets_in(
        router(&gateway, "fw-attic"),
        &Zone::Nodes,
        "tcp",
        "10.10.0.11",
        Some("10.10.0.254"),
        Some(443)
    ));
}

#[test]
fn tunnels_of_a_family_that_nothing_else_has() {
    let spec =
        plan(&article().replace("network: 10.255.0.0/22", "network: [10.255.0.0/22, \"fd00:255::/48\"]"));
    for router in &spec.routers {
        for session in &router.sessions {
            for map in [&session.import, &session.export] {
                assert!(router.route_maps.iter().any(|one| one.name == *map), "{} lacks {map}", router.name);
            }
        }
    }
}
