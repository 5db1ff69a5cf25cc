//! Packet filters: both directions of every permitted pair, one by one; people's segments and the Internet by connection;
//! nothing else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::support::{article, cluster, laid_out, lets_in, plan, router, two_routers};
use kmh_doc::network::{Masquerade, NetworkSpec, RouterPlan, Zone};

/// How a packet of TCP to port 443 passes, for each rule that lets it pass: one by one, or by its connection.
fn kinds(router: &RouterPlan, zone: &Zone, from: IpAddr, to: IpAddr) -> BTreeSet<bool> {
    let passes = |one: &&kmh_doc::network::FirewallRule| {
        let alone = RouterPlan { firewall: vec![(*one).clone()], ..router.clone() };
        lets_in(&alone, zone, "tcp", &from.to_string(), Some(&to.to_string()), Some(443))
    };
    router.firewall.iter().filter(passes).map(|rule| rule.stateless).collect()
}

/// Addresses of the article's sites: a node, a pod; and services.
const INSIDE: [(&str, [&str; 2]); 3] = [
    ("attic", ["10.10.0.11", "10.200.0.70"]),
    ("flat", ["10.20.0.11", "10.200.64.70"]),
    ("vps", ["10.30.0.11", "10.200.128.70"]),
];
const SERVICES: [&str; 2] = ["10.201.0.80", "10.202.0.7"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The routers of a site, with the zone in which a packet from `from` comes to them.
fn at<'s>(spec: &'s NetworkSpec, from: &str, here: &str) -> Vec<(&'s RouterPlan, Zone)> {
    let zone = if from == here { Zone::Nodes } else { Zone::Tunnel };
    spec.routers.iter().filter(|router| router.site == here).map(|router| (router, zone.clone())).collect()
}

#[test]
fn both_directions_of_every_pair_pass_one_by_one() {
    for yaml in [
        article(),
        two_routers(),
        laid_out(&article(), "B"),
        article().replace("{layout: A}", "{layout: A, direct_routes: false}"),
        article().replace("  operator:", "  calico: {nat_outgoing: false}\n  operator:"),
    ] {
        let spec = plan(&yaml);
        for (from_site, from) in INSIDE {
            for (to_site, to) in INSIDE {
                // A third site's router stands between when the tunnel of the two is cut.
                for (here, _) in INSIDE.iter().filter(|(here, _)| from_site != to_site || *here == from_site)
                {
                    for (router, zone) in at(&spec, from_site, here) {
                        for from in from.into_iter().chain(SERVICES) {
                            for to in to.into_iter().chain(SERVICES) {
                                assert_eq!(
                                    kinds(router, &zone, ip(from), ip(to)),
                                    BTreeSet::from([true]),
                                    "{} {zone:?} {from} to {to}",
                                    router.name
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn no_packet_is_both_remembered_and_forgotten() {
    let everything: Vec<&str> = INSIDE
        .iter()
        .flat_map(|(_, addresses)| addresses)
        .copied()
        .chain(SERVICES)
        .chain(["10.10.0.1", "10.30.0.254", "10.255.0.6", "192.168.10.5", "9.9.9.9", "172.16.0.1"])
        .collect();
    for yaml in [
        article(),
        two_routers(),
        article().replace("reach: [services]", "reach: [services, pods, nodes]"),
        article().replace("  operator:", "  calico: {nat_outgoing: false}\n  operator:"),
    ] {
        for router in &plan(&yaml).routers {
            for zone in [Zone::Wan, Zone::Nodes, Zone::Tunnel, Zone::Lan("home".to_owned())] {
                for from in &everything {
                    for to in &everything {
                        let found = kinds(router, &zone, ip(from), ip(to));
                        assert!(found.len() < 2, "{} {zone:?} {from} to {to}", router.name);
                        let outside = |text: &str| text.starts_with("192.168") || text.starts_with("9.9");
                        if outside(from) || outside(to) {
                            assert!(!found.contains(&true), "{} {zone:?} {from} to {to}", router.name);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn without_a_second_router_nobody_from_afar_is_on_the_segment() {
    let one = plan(&article());
    for (from, to) in
        [("10.10.0.11", "10.30.0.11"), ("10.200.64.70", "10.200.128.70"), ("192.168.10.5", "10.202.0.7")]
    {
        assert!(kinds(router(&one, "gw-vps"), &Zone::Nodes, ip(from), ip(to)).is_empty(), "{from}");
    }
    // The sibling hands over what came out of its tunnels, and what only this one can send on.
    let two = plan(&two_routers());
    for name in ["gw-vps", "gw-vps2"] {
        let gw = router(&two, name);
        for (from, to, kind) in [
            ("10.10.0.11", "10.30.0.11", Some(true)),
            ("10.200.64.70", "10.200.128.70", Some(true)),
            ("10.200.64.70", "10.200.0.70", Some(true)),
            ("192.168.10.5", "10.202.0.7", Some(false)),
            ("192.168.10.5", "10.30.0.11", None),
            ("192.168.10.5", "9.9.9.9", None),
            ("10.10.0.11", "9.9.9.9", None),
            ("10.10.0.11", "10.30.0.1", None),
            ("10.10.0.11", "10.30.0.254", None),
        ] {
            let wanted: BTreeSet<bool> = kind.into_iter().collect();
            assert_eq!(kinds(gw, &Zone::Nodes, ip(from), ip(to)), wanted, "{name} {from} to {to}");
        }
    }
    // BFD with the sibling, from its address only, and from nobody where there is none.
    for (spec, from, port, wanted) in [
        (&two, "10.30.0.2", 3784, true),
        (&two, "10.30.0.2", 4784, false),
        (&two, "10.30.0.2", 179, true),
        (&two, "10.30.0.2", 22, false),
        (&two, "10.30.0.11", 3784, false),
        (&one, "10.30.0.2", 3784, false),
    ] {
        let protocol = if port == 179 { "tcp" } else { "udp" };
        let found = lets_in(router(spec, "gw-vps"), &Zone::Nodes, protocol, from, None, Some(port));
        assert_eq!(found, wanted, "{from} {port}");
    }
    let silent = plan(&two_routers().replace("{layout: A}", "{layout: A, timers: {routers: {bfd_ms: 0}}}"));
    for (zone, from) in [(Zone::Nodes, "10.30.0.2"), (Zone::Tunnel, "10.255.0.9")] {
        assert!(!lets_in(router(&silent, "gw-vps"), &zone, "udp", from, None, Some(3784)), "{zone:?}");
    }
}

#[test]
fn routers_may_say_that_a_packet_was_too_big() {
    let spec = plan(&article());
    // flat's end of its tunnel with vps, about a packet of a pod in attic that went by vps.
    let says = |zone: &Zone, to: &str| {
        lets_in(router(&spec, "fw-attic"), zone, "icmp", "10.255.0.14", Some(to), None)
    };
    assert!(says(&Zone::Tunnel, "10.200.0.70") && says(&Zone::Tunnel, "10.10.0.11"));
    assert!(!says(&Zone::Tunnel, "10.10.0.1") && !says(&Zone::Tunnel, "192.168.10.5"));
    assert!(!says(&Zone::Nodes, "10.200.0.70"));
    let tcp = lets_in(
        router(&spec, "fw-attic"),
        &Zone::Tunnel,
        "tcp",
        "10.255.0.14",
        Some("10.10.0.11"),
        Some(443),
    );
    assert!(!tcp, "ICMP, and nothing else");
    let two = plan(&two_routers());
    assert!(lets_in(router(&two, "gw-vps"), &Zone::Nodes, "icmp", "10.255.0.6", Some("10.30.0.11"), None));
    assert!(!lets_in(router(&two, "fw-flat"), &Zone::Nodes, "icmp", "10.255.0.6", Some("10.20.0.11"), None));
}

#[test]
fn esp_only_from_whom_no_nat_stands_between() {
    let fixed =
        article().replace("address: attic.dyn.example.net, dynamic: true", "address: 198.51.100.1").replace(
            "address: flat.dyn.example.net, dynamic: true, nat: forwarded",
            "address: 198.51.100.2, nat: forwarded",
        );
    let spec = plan(&fixed);
    let gw = router(&spec, "gw-vps");
    let comes = |protocol: &str, from: &str, port| lets_in(gw, &Zone::Wan, protocol, from, None, port);
    assert!(comes("esp", "198.51.100.1", None));
    // flat is behind a NAT: its ESP is inside UDP, whatever address that has tomorrow.
    assert!(!comes("esp", "198.51.100.2", None) && !comes("esp", "192.0.2.1", None));
    assert!(comes("udp", "198.51.100.2", Some(4500)) && comes("udp", "192.0.2.1", Some(4500)));
    let flat = router(&spec, "fw-flat");
    assert!(!flat.firewall.iter().any(|rule| rule.protocol == "esp"));
}

#[test]
fn several_lines_behind_several_nats() {
    let two = article().replace("10.255.0.0/22", "10.255.0.0/16").replace(
        "rate: 40mbit}\n",
        "rate: 40mbit}\n            - {name: lte, interface: opt9, nat: carrier}\n",
    );
    let spec = plan(&two);
    // Whoever is behind the carrier's NAT calls from an address that nobody knows.
    assert!(lets_in(router(&spec, "gw-vps"), &Zone::Wan, "udp", "192.0.2.99", None, Some(4500)));
    assert!(
        lets_in(router(&spec, "fw-attic"), &Zone::Wan, "udp", "203.0.113.7", None, Some(500)),
        "by the first line"
    );
    let hidden = article()
        .replace("address: attic.dyn.example.net, dynamic: true", "nat: carrier")
        .replace("shape: mesh", "shape: hub, hub: vps");
    let spec = plan(&hidden);
    assert!(
        !router(&spec, "fw-attic").firewall.iter().any(|rule| rule.zone == Zone::Wan),
        "nothing comes in unasked"
    );
}

#[test]
fn who_hides_pods_on_the_way_to_the_internet() {
    let routed = article().replace("  operator:", "  calico: {nat_outgoing: false}\n  operator:");
    for (yaml, pods) in [(article(), false), (routed, true)] {
        let spec = plan(&yaml);
        let flat = router(&spec, "fw-flat");
        assert_eq!(!kinds(flat, &Zone::Nodes, ip("10.200.64.70"), ip("9.9.9.9")).is_empty(), pods);
        assert!(!kinds(flat, &Zone::Nodes, ip("10.20.0.11"), ip("9.9.9.9")).is_empty());
        for closed in ["192.168.10.5", "10.255.0.6"] {
            assert!(kinds(flat, &Zone::Nodes, ip("10.200.64.70"), ip(closed)).is_empty(), "{closed}");
        }
        let hides = |from: &str, to: &str| {
            flat.masquerade.iter().any(|rule: &Masquerade| {
                rule.from.iter().any(|net| net.net().contains(&ip(from)))
                    && !rule.except.iter().any(|net| net.net().contains(&ip(to)))
            })
        };
        assert!(hides("10.20.0.11", "9.9.9.9") && hides("10.200.64.70", "9.9.9.9"));
        for to in ["10.10.0.11", "10.200.0.70", "10.201.0.80", "10.202.0.7", "10.255.0.6", "192.168.10.5"] {
            assert!(!hides("10.20.0.11", to) && !hides("10.200.64.70", to), "{to}");
        }
        assert!(!hides("10.10.0.11", "9.9.9.9"), "another site's node");
    }
}

#[test]
fn ipv6_is_hidden_only_where_the_internet_knows_no_way_back() {
    let shown = |yaml: &str| -> Vec<Vec<String>> {
        let spec = plan(yaml);
        let nets = |rule: &Masquerade| rule.from.iter().map(ToString::to_string).collect();
        router(&spec, "r-west").masquerade.iter().map(nets).collect()
    };
    assert_eq!(
        shown(&cluster(true, true)),
        [vec!["10.2.0.0/24", "10.200.64.0/18"], vec!["fd00:2::/64", "fd00:200:0:100::/56"]]
    );
    assert_eq!(shown(&cluster(true, false)), [vec!["10.2.0.0/24", "10.200.64.0/18"]]);
    assert_eq!(shown(&cluster(false, true)), [vec!["fd00:2::/64", "fd00:200:0:100::/56"]]);
    // Native addresses of the line go out as they are; pods with local ones do not.
    let native = cluster(false, true).replace("fd00:2::", "2001:db8:2::");
    assert_eq!(shown(&native), [vec!["fd00:200:0:100::/56"]]);
    let all = native.replace("fd00:200:", "2001:db8:");
    assert_eq!(shown(&all), [] as [Vec<String>; 0]);
}
