use kmh_doc::Asn;
use kmh_doc::network::{AsPathList, NetworkSpec, PathRule, PeerKind, RouteSet};

use serde_json::json;

use super::findings;
use crate::ground::{Ground, Service};
use crate::network::Network;
use crate::testing::{Plan, map, rule};
use crate::{Down, predict};

/// Levels, names and subjects of what is found; a service runs on `n10`.
fn found(spec: &NetworkSpec) -> Vec<String> {
    let network = Network::new(spec).expect("a network");
    let mut ground = Ground::assume(&network);
    let address = "10.201.3.4".parse().expect("an address");
    let service = Service { name: "x/local".to_owned(), address, nodes: vec!["n10".to_owned()] };
    ground.add_services(vec![service], &network).expect("a service");
    let prediction = predict(&network, &ground, &Down::default());
    let all = findings(&network, &ground, &prediction);
    all.iter().map(|one| format!("{:?} {} {}", one.level, one.id, one.subject)).collect()
}

/// Two routers of one site in different ASes without a session between them: `r0a` knows the way to the second site,
/// `r0b` that to the third. Nodes that hand on what they learned join them.
fn two_entrances(guarded: bool) -> NetworkSpec {
    let mut spec = Plan { guarded, ..Plan::new('A', 3, 2, 1) }.spec();
    spec.routers[1].asn = Asn::new(65009);
    for router in &mut spec.routers {
        for zone in ["nodes", "tunnel"] {
            let all = json!({"zone": zone, "protocol": "any", "from": ["10.0.0.0/8"], "to": ["10.0.0.0/8"],
                "stateless": true, "description": "everything"});
            router.firewall.push(serde_json::from_value(all).expect("a rule"));
        }
        let keeps = |peer: &str| match router.name.as_str() {
            "r0a" => peer == "r1a",
            "r0b" => peer == "r2a",
            "r1a" => peer == "r0a",
            "r2a" => peer == "r0b",
            _ => false,
        };
        router.sessions.retain(|one| one.with != PeerKind::Router || keeps(&one.peer));
        if router.name.starts_with("r0") {
            router.sessions.retain(|one| one.with != PeerKind::Sibling);
            for one in router.route_maps.iter_mut().filter(|one| one.name.starts_with("nodes-")) {
                one.rules = vec![rule("", None, RouteSet::default())];
                one.rules[0].prefix_list = None;
            }
        }
        for one in router.sessions.iter_mut().filter(|one| one.peer == "r0b") {
            one.peer_asn = Asn::new(65009);
        }
    }
    for peer in spec.calico.iter_mut().filter(|one| one["metadata"]["name"] == "r0b") {
        peer["spec"]["asNumber"] = 65009.into();
    }
    spec
}

#[test]
fn nodes_that_hand_on_what_they_learned() {
    let open = found(&two_entrances(false));
    for wanted in ["Error foreign-service r0b", "Error transit-node s2 to s1", "Warning no-transit-guard r0b"]
    {
        assert!(open.iter().any(|one| one == wanted), "{wanted} is not among {open:#?}");
    }
    let guarded = found(&two_entrances(true));
    let of_nodes = |one: &&String| one.contains("foreign-service") || one.contains("transit");
    assert_eq!(guarded.iter().find(of_nodes), None);
}

/// Griffin and Wilfong's bad gadget, as in the tests of predictions.
#[test]
fn routers_that_never_agree() {
    let mut spec = Plan::new('A', 4, 1, 1).spec();
    for (router, favourite) in [(1, "r2a"), (2, "r3a"), (3, "r1a")] {
        let router = &mut spec.routers[router];
        for one in router.sessions.iter_mut().filter(|one| one.peer == favourite) {
            one.import = "favourite".to_owned();
        }
        let set = RouteSet { local_pref: Some(200), med: None };
        router.route_maps.push(map("favourite", vec![rule("remote", None, set)]));
        router.as_paths.push(AsPathList { name: "direct".to_owned(), permit: PathRule::Single });
        for one in router.route_maps.iter_mut().filter(|one| one.name == "routers-out") {
            one.rules[3].as_path = Some("direct".to_owned());
        }
    }
    assert!(found(&spec).contains(&"Error no-rest routers".to_owned()), "{:#?}", found(&spec));
}
