//! The quick way to a scenario gives what computing everything again gives: over the examples, and over grown clusters.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use kmh_model::Need;
use kmh_route::what_if::{Before, singles};
use kmh_route::{Down, Ground, Network};
use kmh_tests::generate::dual_stack;
use kmh_tests::sandbox::root;

/// How many pairs of things are tried in each network.
const PAIRS: usize = 60;

fn compare(name: &str, inventory: &str) {
    let tree = kmh_doc::tree::parse_yaml(inventory).unwrap();
    let (model, _) = kmh_model::load(&tree, &[Need::Asn, Need::Tunnels]).unwrap();
    let spec = kmh_bgpcfg::plan(&model).unwrap();
    let network = Network::new(&spec).unwrap();
    let mut ground = Ground::assume(&network);
    let single_service = kmh_route::ground::Service {
        name: "web".to_owned(),
        address: kmh_route::findings::service_ranges(&spec)[0].hosts().nth(80).unwrap(),
        nodes: vec![spec.nodes[0].name.clone(), spec.nodes[spec.nodes.len() - 1].name.clone()],
    };
    ground.add_services(vec![single_service], &network).unwrap();
    let single: Vec<Down> = singles(&network, &ground).into_iter().map(|(down, _)| down).collect();
    let mut scenarios = single.clone();
    // Some pairs, spread over all of them.
    for n in 0..PAIRS {
        let (a, b) = (&single[n * 7 % single.len()], &single[(n * 13 + 5) % single.len()]);
        scenarios.push(a.clone().and(b));
    }
    let cut = single.iter().find(|down| !down.tunnels.is_empty()).unwrap();
    for already in [&Down::default(), cut] {
        let before = Before::new(kmh_route::predict(&network, &ground, already), &ground);
        let mut moved = 0;
        for down in &scenarios {
            let quick = before.when(down);
            let slow = before.when_slowly(down);
            assert_eq!(quick, slow, "{name}: {:?} after {:?}", down.names(), already.names());
            moved += quick.moved.len();
        }
        assert!(moved > 0, "{name}: nothing ever moved, so nothing was compared");
    }
}

#[test]
fn a_scenario_costs_what_it_touches_and_says_the_same() {
    for example in ["article", "two-routers", "ipv6-only"] {
        let text =
            std::fs::read_to_string(root().join("examples").join(example).join("cluster.yaml")).unwrap();
        compare(example, &text);
    }
    compare("7 sites", &dual_stack(20, 7));
}
