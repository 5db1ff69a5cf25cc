//! The engine against what daemons were seen to do. The proof with the daemons themselves is
//! `tests/tests/truth.rs` of the workspace.

use kmh_doc::inventory::BgpDaemon;
use kmh_doc::network::{NetworkSpec, RouteRule, RouteSet};

use super::*;
use crate::ground::Service;
use crate::lookup::Origin;
use crate::table::{Installed, Route, Step, Verdict};
use crate::testing::{Plan, map, rule};

mod itself;

/// Every layout, one router and two.
const PLANS: &[Plan] = &[
    Plan::new('A', 3, 1, 3),
    Plan::new('B', 3, 1, 3),
    Plan::new('D', 3, 1, 3),
    Plan::new('A', 2, 2, 2),
    Plan::new('B', 3, 2, 2),
    Plan::new('D', 2, 2, 3),
    Plan { daemon: BgpDaemon::Bird, ..Plan::new('A', 3, 2, 2) },
    Plan { daemon: BgpDaemon::Bird, ..Plan::new('B', 2, 2, 2) },
    Plan { guarded: false, ..Plan::new('A', 2, 2, 2) },
    Plan { guarded: false, ..Plan::new('D', 2, 2, 2) },
];

fn ground(network: &Network<'_>) -> Ground {
    let mut ground = Ground::assume(network);
    if network.machine("n01").is_none() {
        return ground;
    }
    // One node has a borrowed address out of the other's block, and a service of its own.
    let (block, _) = ground.blocks.iter().find(|(_, node)| node == "n00").expect("a block").clone();
    let address = block.hosts().nth(8).expect("an address");
    ground.borrowed.push((address, "n01".to_owned()));
    let local = Service {
        name: "x/local".to_owned(),
        address: ip("10.201.3.4"),
        nodes: vec!["n01".to_owned(), "n10".to_owned()],
    };
    ground.add_services(vec![local], network).expect("a service");
    ground
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn down(text: &str) -> Down {
    let mut down = Down::default();
    for part in text.split_whitespace() {
        down.add(part).expect(text);
    }
    down
}

/// Asks about a network.
fn with<T>(spec: &NetworkSpec, scenario: &str, ask: impl FnOnce(&Prediction<'_>) -> T) -> T {
    let network = Network::new(spec).expect("a network");
    let ground = ground(&network);
    ask(&predict(&network, &ground, &down(scenario)))
}

fn route(prediction: &Prediction<'_>, machine: &str, prefix: &str) -> Route {
    prediction
        .route(machine, prefix.parse().expect(prefix))
        .unwrap_or_else(|| panic!("{machine} lacks {prefix}"))
}

fn from<'r>(route: &'r Route, peer: &str) -> &'r crate::table::Path {
    route
        .paths
        .iter()
        .find(|path| path.from.as_deref() == Some(peer))
        .unwrap_or_else(|| panic!("{peer}: {route:?}"))
}

fn names(spec: &NetworkSpec) -> Vec<String> {
    Down::everything(spec).names()
}

#[test]
fn layout_a() {
    with(&Plan::new('A', 3, 1, 2).spec(), "", |prediction| {
        let remote = route(prediction, "r0a", "10.200.16.192/26");
        assert_eq!(remote.installed, Some(Installed::Via(vec![ip("10.255.0.2")])));
        assert_eq!(from(&remote, "r1a").as_path, [65002, 64512]);
        assert_eq!(from(&remote, "r1a").rule.as_deref(), Some("routers-in-0 10"));
        assert_eq!(from(&remote, "r2a").verdict, Verdict::Lost(Step::AsPath));
        // FRR sends back what it chose.
        let own = route(prediction, "r0a", "10.200.0.192/26");
        assert_eq!(from(&own, "r1a").rule.as_deref(), Some("loop: own AS in the path"));
        // Direct routes inside the site, the path rewritten.
        let beside = route(prediction, "n01", "10.200.0.192/26");
        assert_eq!(beside.installed, Some(Installed::Via(vec![ip("10.10.0.11")])));
        assert_eq!(from(&beside, "r0a").as_path, [65001, 65001]);
        // This site's nodes before others', and side by side.
        let services = route(prediction, "r0a", "10.201.0.0/16");
        assert_eq!(services.installed, Some(Installed::Via(vec![ip("10.10.0.11"), ip("10.10.0.12")])));
        assert_eq!(
            prediction.route("n00", "10.11.0.0/24".parse().expect("a net")),
            None,
            "nodes learn no segments"
        );
    });
}

#[test]
fn layout_b_reflects() {
    with(&Plan::new('B', 2, 2, 2).spec(), "", |prediction| {
        let beside = route(prediction, "n01", "10.200.0.192/26");
        assert_eq!(beside.installed, Some(Installed::Via(vec![ip("10.10.0.11")])));
        assert_eq!(
            beside.paths.iter().map(|path| path.verdict).collect::<Vec<_>>(),
            [Verdict::Best, Verdict::Equal]
        );
        assert!(from(&beside, "r0a").as_path.is_empty());
        let own = route(prediction, "n00", "10.200.0.192/26");
        assert_eq!(from(&own, "r0a").rule.as_deref(), Some("loop: it began here"));
        // Calico's LOCAL_PREF is gone where it came in.
        assert_eq!(from(&route(prediction, "r0a", "10.200.0.192/26"), "n00").local_pref, Some(100));
    });
}

/// A router that a node does not speak to hears of it by the other one, which reflects its client's routes.
#[test]
fn a_client_is_reflected_to_everybody() {
    let mut spec = Plan::new('B', 2, 2, 2).spec();
    spec.routers[1].sessions.retain(|session| session.peer != "n00");
    with(&spec, "", |prediction| {
        let block = route(prediction, "r0b", "10.200.0.192/26");
        assert_eq!(from(&block, "r0a").verdict, Verdict::Best);
        assert_eq!(block.installed, Some(Installed::Via(vec![ip("10.10.0.11")])), "the node's own next hop");
    });
}

/// Without next-hop-self FRR believes its sibling, whose next hop it finds by some route, and can use none of it.
#[test]
fn a_sibling_with_next_hops_elsewhere() {
    let mut spec = Plan::new('A', 2, 2, 1).spec();
    for session in spec.routers.iter_mut().flat_map(|router| &mut router.sessions) {
        session.next_hop_self = false;
    }
    with(&spec, "", |prediction| {
        let far = route(prediction, "r0b", "10.200.16.192/26");
        assert_eq!(
            (from(&far, "r0a").verdict, from(&far, "r0a").next_hop),
            (Verdict::Best, Some(ip("10.255.0.2")))
        );
        assert_eq!(far.installed, None);
        let machine = prediction.network().machine("r0b").expect("r0b");
        let found = prediction.lookup(machine, ip("10.200.16.193")).expect("a route");
        assert_eq!(found.origin, Origin::Unreachable);
    });
}

/// MED goes one AS far (RFC 4271, 5.1.4); FRR sends 0 with what it originates.
#[test]
fn meds_stay() {
    let mut spec = Plan::new('A', 3, 1, 1).spec();
    for rule in
        spec.routers.iter_mut().flat_map(|router| &mut router.route_maps).flat_map(|map| &mut map.rules)
    {
        rule.set = RouteSet::default();
    }
    with(&spec, "", |prediction| {
        let segment = route(prediction, "r0a", "10.11.0.0/24");
        assert_eq!((from(&segment, "r1a").med, from(&segment, "r2a").med), (Some(0), None));
        assert_eq!(from(&route(prediction, "r0a", "10.200.16.192/26"), "r1a").med, None);
    });
}

/// FRR keeps the next hop of a third party for others on the segment. Of what it sends back it counts the others only.
#[test]
fn what_comes_back() {
    let spec = Plan::new('A', 2, 1, 2).spec();
    let back = |scenario: &str| {
        with(&spec, scenario, |prediction| from(&route(prediction, "n00", "10.200.0.192/26"), "r0a").next_hop)
    };
    assert_eq!(back(""), Some(ip("10.10.0.11")));
    assert_eq!(back("node/n01"), Some(ip("10.10.0.1")));
}

/// Calico announces nothing longer out of a node's own block.
#[test]
fn own_blocks_are_whole() {
    let spec = Plan::new('A', 2, 1, 2).spec();
    let network = Network::new(&spec).expect("a network");
    let mut ground = Ground::assume(&network);
    ground.borrowed = vec![(ip("10.200.0.201"), "n00".to_owned())];
    let prediction = predict(&network, &ground, &Down::default());
    assert_eq!(prediction.route("r0a", "10.200.0.201/32".parse().expect("a net")), None);
}

#[test]
fn layout_d_has_one_entrance() {
    with(&Plan::new('D', 2, 1, 2).spec(), "", |prediction| {
        let services = route(prediction, "r0a", "10.201.0.0/16");
        assert_eq!(services.installed, Some(Installed::Via(vec![ip("10.10.0.11")])));
        assert_eq!(from(&services, "n01").verdict, Verdict::Lost(Step::RouterId));
        assert_eq!(from(&route(prediction, "r1a", "10.200.1.128/26"), "r0a").as_path, [65001, 65101]);
    });
}

/// Four tunnels between two sites with two routers each: one is preferred from both sides, the next when it is cut.
#[test]
fn standby_tunnels() {
    let spec = Plan::new('A', 2, 2, 1).spec();
    let gates =
        |prediction: &Prediction<'_>, machine: &str| route(prediction, machine, "10.200.16.192/26").installed;
    let via = |text: &str| Some(Installed::Via(vec![ip(text)]));
    with(&spec, "", |prediction| {
        assert_eq!(gates(prediction, "r0a"), via("10.255.0.2"));
        assert_eq!(gates(prediction, "r0b"), via("10.10.0.1"), "by its sibling: MED");
        let lost = route(prediction, "r0b", "10.200.16.192/26");
        assert_eq!(from(&lost, "r1a").verdict, Verdict::Lost(Step::Med));
    });
    with(&spec, "tunnel/r0a--r1a", |prediction| {
        let chosen = (gates(prediction, "r0a"), gates(prediction, "r0b"));
        assert_eq!(chosen.0, via("10.255.2.2"), "rank 1 from r0a: to r1b");
        assert_eq!(chosen.1, via("10.255.1.2"), "rank 1 from r0b: to r1a");
    });
}

#[test]
fn bird_sends_nothing_back() {
    with(&Plan { daemon: BgpDaemon::Bird, ..Plan::new('A', 3, 1, 2) }.spec(), "", |prediction| {
        let own = route(prediction, "r0a", "10.200.0.192/26");
        assert_eq!(own.paths.len(), 1, "{own:?}");
        assert_eq!(route(prediction, "n00", "10.200.0.192/26").paths.len(), 1, "its own");
        let remote = route(prediction, "r0a", "10.11.0.0/24");
        assert_eq!(from(&remote, "r1a").med, Some(0));
        assert_eq!(from(&remote, "r1a").local_pref, Some(100));
        let services = route(prediction, "r0a", "10.201.0.0/16");
        assert_eq!(services.installed, Some(Installed::Via(vec![ip("10.10.0.11")])), "no multipath");
    });
}

/// The borrowed address is announced by its node, beside the other's block; its own node hears of it as well, and its
/// BIRD prefers that, while the kernel keeps the way to the pod.
#[test]
fn borrowed_addresses() {
    with(&Plan::new('A', 2, 1, 2).spec(), "", |prediction| {
        let away = "10.200.0.201/32";
        assert_eq!(route(prediction, "r1a", away).installed, Some(Installed::Via(vec![ip("10.255.0.1")])));
        assert_eq!(route(prediction, "n00", away).installed, Some(Installed::Via(vec![ip("10.10.0.12")])));
        let own = route(prediction, "n01", away);
        assert_eq!(own.installed, Some(Installed::Own));
        assert_eq!(from(&own, "r0a").verdict, Verdict::Best);
        assert_eq!(own.paths[1].verdict, Verdict::Lost(Step::Own));
    });
}

#[test]
fn services_of_single_nodes() {
    with(&Plan::new('A', 3, 1, 2).spec(), "", |prediction| {
        let address = "10.201.3.4/32";
        assert_eq!(route(prediction, "r0a", address).installed, Some(Installed::Via(vec![ip("10.10.0.12")])));
        assert_eq!(route(prediction, "r1a", address).installed, Some(Installed::Via(vec![ip("10.11.0.11")])));
        let far = route(prediction, "r2a", address);
        assert_eq!(from(&far, "r1a").verdict, Verdict::Lost(Step::RouterId));
        assert_eq!(far.installed, Some(Installed::Via(vec![ip("10.255.1.1")])));
    });
    let mut spec = Plan::new('A', 2, 1, 2).spec();
    spec.nodes[0]
        .labels
        .push(("node.kubernetes.io/exclude-from-external-load-balancers".to_owned(), "true".to_owned()));
    with(&spec, "", |prediction| {
        let range = route(prediction, "r0a", "10.201.0.0/16");
        assert_eq!(range.installed, Some(Installed::Via(vec![ip("10.10.0.12")])), "n00 is excluded");
    });
}

fn edit(layout: char, change: impl FnOnce(&mut NetworkSpec)) -> NetworkSpec {
    let mut spec = Plan::new(layout, 2, 1, 2).spec();
    change(&mut spec);
    spec
}

fn why(spec: &NetworkSpec, scenario: &str) -> Vec<String> {
    with(spec, scenario, |prediction| {
        let all = (0..prediction.network().sessions().len()).filter_map(|one| prediction.session_down(one));
        all.map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect()
    })
}

#[test]
fn why_sessions_are_down() {
    type Edit = fn(&mut NetworkSpec);
    let cases: &[(&str, &str, Edit)] = &[
        ("", "", |_| {}),
        ("`r0a` expects AS 64513, `n00` has AS 64512", "", |spec| {
            spec.routers[0].sessions[0].peer_asn = kmh_doc::Asn::new(64513);
        }),
        (
            "`n10` expects AS 65009, `r1a` has AS 65002|`n11` expects AS 65009, `r1a` has AS 65002",
            "",
            |spec| {
                spec.calico[6]["spec"]["asNumber"] = 65009.into();
            },
        ),
        ("`r0a` knows nothing of it", "", |spec| {
            spec.routers[0].sessions.remove(0);
        }),
        ("`n10` knows nothing of it|`n11` knows nothing of it", "", |spec| {
            spec.calico.remove(6);
        }),
        ("`r1a` knows nothing of it", "", |spec| {
            spec.routers[1].sessions.pop();
        }),
        ("its two ends have different passwords", "", |spec| {
            spec.routers[0].sessions[1].password = Some("keys/bgp/s0".to_owned());
        }),
        ("`r0a` and `r1a` have no network in common", "", |spec| {
            spec.routers[0].sessions[2].tunnel = None;
            spec.routers[1].sessions[2].tunnel = None;
        }),
        ("`n00` is down", "node/n00", |_| {}),
        ("tunnel `r0a--r1a` is down", "tunnel/r0a--r1a", |_| {}),
        ("tunnel `r0a--r1a` is down", "uplink/r0a/wan", |_| {}),
        ("`n00` sends `r0a` 2 prefixes, more than 1|`n01` sends `r0a` 4 prefixes, more than 1", "", |spec| {
            for session in &mut spec.routers[0].sessions[..2] {
                session.maximum_prefix = 1;
            }
        }),
        ("`r1a` sends `r0a` 5 prefixes, more than 4", "", |spec| {
            spec.routers[0].sessions[2].maximum_prefix = 4;
        }),
    ];
    for (expected, scenario, change) in cases {
        assert_eq!(why(&edit('A', change), scenario).join("|"), *expected);
    }
    let both = |spec: &mut NetworkSpec| {
        spec.routers[0].sessions[0].password = Some("keys/bgp/s0".to_owned());
        spec.routers[0].sessions[1].password = Some("keys/bgp/s0".to_owned());
        spec.calico[3]["spec"]["password"] =
            serde_json::json!({"secretKeyRef": {"name": "kmh-bgp-passwords", "key": "s0"}});
    };
    assert_eq!(why(&edit('A', both), ""), [""; 0]);
}

/// A node that nobody told the router of, where the router listens.
#[test]
fn callers_out_of_a_range() {
    let spec = edit('A', |spec| {
        let like = spec.routers[0].sessions.remove(0);
        let range = crate::testing::cidr("10.10.0.0/24");
        spec.routers[0].listen =
            vec![kmh_doc::network::Listen { range, peer_asn: Some(like.peer_asn), like }];
    });
    assert_eq!(why(&spec, ""), [""; 0]);
    with(&spec, "", |prediction| {
        assert_eq!(
            route(prediction, "r0a", "10.200.0.192/26").installed,
            Some(Installed::Via(vec![ip("10.10.0.11")]))
        );
    });
}

#[test]
fn policies_that_are_not_there() {
    let rules = |change: fn(&mut NetworkSpec)| {
        with(&edit('A', change), "", |prediction| {
            from(&route(prediction, "r0a", "10.200.0.192/26"), "n00").rule.clone()
        })
    };
    assert_eq!(rules(|_| {}).as_deref(), Some("nodes-in 10"));
    let undefined = rules(|spec| spec.routers[0].route_maps.retain(|map| map.name != "nodes-in"));
    assert_eq!(undefined.as_deref(), Some("a route map that does not exist"));
    let nothing = rules(|spec| spec.routers[0].sessions[0].import.clear());
    assert_eq!(nothing.as_deref(), Some("no policy"));
    let no_list = rules(|spec| spec.routers[0].prefix_lists.retain(|list| list.name != "own-pods"));
    assert_eq!(no_list.as_deref(), Some("nodes-in: no rule permits it"));
    let no_paths = rules(|spec| spec.routers[0].as_paths.clear());
    assert_eq!(no_paths.as_deref(), Some("nodes-in: no rule permits it"));
    with(&edit('A', |spec| spec.routers[1].sessions[2].export = "gone".to_owned()), "", |prediction| {
        assert_eq!(
            prediction.route("r0a", "10.11.0.0/24".parse().expect("a net")),
            None,
            "denied on its way out"
        );
    });
}

/// network.md's hazard: two routers of one site in different ASes, and nodes that hand on what they learned.
#[test]
fn nodes_in_transit() {
    let spec = |guarded| {
        let mut spec = Plan { guarded, ..Plan::new('A', 2, 2, 1) }.spec();
        // r0b in an AS of its own, without its sibling, and told of everything.
        spec.routers[1].asn = kmh_doc::Asn::new(65009);
        for router in &mut spec.routers[..2] {
            router.sessions.retain(|one| one.with == kmh_doc::network::PeerKind::Node || one.peer == "r1a");
            for one in &mut router.route_maps {
                if one.name == "nodes-out" || one.name == "nodes-in" {
                    one.rules = vec![RouteRule { prefix_list: None, ..rule("", None, RouteSet::default()) }];
                }
            }
        }
        spec.routers[1].sessions.retain(|one| one.peer != "r1a");
        for peer in spec.calico.iter_mut().filter(|one| one["metadata"]["name"] == "r0b") {
            peer["spec"]["asNumber"] = 65009.into();
        }
        spec
    };
    let block = "10.200.16.192/26";
    with(&spec(true), "", |prediction| {
        assert_eq!(prediction.route("r0b", block.parse().expect("a net")), None, "guarded");
    });
    with(&spec(false), "", |prediction| {
        let through = route(prediction, "r0b", block);
        assert_eq!(from(&through, "n00").as_path, [64512, 65001, 65002, 65001]);
        assert_eq!(through.installed, Some(Installed::Via(vec![ip("10.10.0.11")])));
        assert_eq!(prediction.network().transit_nodes().count(), 2);
    });
}

/// Griffin and Wilfong's bad gadget: each prefers the way by its neighbour to its own, and says only its own.
#[test]
fn what_never_rests_is_said() {
    let mut spec = Plan::new('A', 4, 1, 1).spec();
    for (router, favourite) in [(1, "r2a"), (2, "r3a"), (3, "r1a")] {
        let router = &mut spec.routers[router];
        for one in router.sessions.iter_mut().filter(|one| one.peer == favourite) {
            one.import = "favourite".to_owned();
        }
        let set = RouteSet { local_pref: Some(200), med: None };
        router.route_maps.push(map("favourite", vec![rule("remote", None, set)]));
        let permit = kmh_doc::network::PathRule::Single;
        router.as_paths.push(kmh_doc::network::AsPathList { name: "direct".to_owned(), permit });
        for one in router.route_maps.iter_mut().filter(|one| one.name == "routers-out") {
            one.rules[3].as_path = Some("direct".to_owned());
        }
    }
    with(&spec, "", |prediction| {
        let restless: Vec<String> = prediction.restless().iter().map(ToString::to_string).collect();
        assert_eq!(restless, ["10.10.0.0/24"]);
    });
    with(&spec, "tunnel/r1a--r2a", |prediction| assert_eq!(prediction.restless(), []));
}

#[test]
fn what_kernels_do() {
    with(&Plan::new('A', 2, 1, 2).spec(), "", |prediction| {
        let network = prediction.network();
        let find = |name: &str, to: &str| {
            let found = prediction.lookup(network.machine(name).expect(name), ip(to)).expect("a route");
            let gate = found.gates.first().map(|gate| (gate.next_hop.to_string(), gate.tunnel.clone()));
            (found.prefix.to_string(), found.origin, gate)
        };
        let tunnel = Some("r0a--r1a".to_owned());
        for (name, to, prefix, origin, gate) in [
            ("r0a", "10.10.0.1", "10.10.0.1/32", Origin::Own, None),
            ("r0a", "10.10.0.77", "10.10.0.0/24", Origin::Connected, Some(("10.10.0.77", None))),
            ("r0a", "10.255.0.2", "10.255.0.0/30", Origin::Connected, Some(("10.255.0.2", tunnel.clone()))),
            ("r0a", "10.200.16.200", "10.200.16.192/26", Origin::Bgp, Some(("10.255.0.2", tunnel.clone()))),
            ("r0a", "10.11.0.11", "10.11.0.0/24", Origin::Bgp, Some(("10.255.0.2", tunnel))),
            ("r0a", "10.200.99.1", "10.200.0.0/16", Origin::Unreachable, None),
            ("r0a", "192.0.2.1", "0.0.0.0/0", Origin::Default, None),
            ("n00", "10.200.0.201", "10.200.0.201/32", Origin::Bgp, Some(("10.10.0.12", None))),
            ("n00", "10.200.0.202", "10.200.0.192/26", Origin::Pod, None),
            ("n01", "10.200.0.201", "10.200.0.201/32", Origin::Pod, None),
            ("n00", "10.201.0.1", "10.201.0.1/32", Origin::Service, None),
            ("n00", "10.200.16.200", "0.0.0.0/0", Origin::Default, Some(("10.10.0.1", None))),
        ] {
            let gate = gate.map(|(next_hop, tunnel)| (next_hop.to_owned(), tunnel));
            assert_eq!(find(name, to), (prefix.to_owned(), origin, gate), "{name} {to}");
        }
    });
    with(&Plan::new('A', 2, 2, 1).spec(), "router/r0a", |prediction| {
        let network = prediction.network();
        let node = network.machine("n00").expect("n00");
        assert_eq!(
            prediction.gateway(node, ip("10.10.0.254")),
            network.machine("r0b"),
            "a shared address moves"
        );
        assert_eq!(prediction.gateway(node, ip("10.10.0.1")), None, "its owner is down");
        assert_eq!(prediction.lookup(network.machine("r0a").expect("r0a"), ip("10.10.0.11")), None);
    });
}
