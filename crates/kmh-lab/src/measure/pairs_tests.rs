use std::collections::BTreeSet;

use kmh_route::what_if::{Before, singles};
use kmh_route::{Ground, Network, predict};
use kmh_tests::sandbox::Sandbox;
use kmh_tests::topologies;

use super::*;
use crate::plan::{LabPlan, Pod, services};

fn network(inventory: Option<&str>) -> NetworkSpec {
    let sandbox = Sandbox::new();
    if let Some(inventory) = inventory {
        sandbox.write("cluster.yaml", inventory);
    }
    let document = sandbox.sh("kmh-bgpcfg --only <cluster.yaml").exits(0).stdout;
    let mut document: serde_json::Value = serde_json::from_str(&document).unwrap();
    serde_json::from_value(document["spec"].take()).unwrap()
}

/// With what nodes have in a lab.
fn memory(spec: &NetworkSpec) -> Memory {
    let network = Network::new(spec).unwrap();
    let ground = Ground::assume(&network);
    let pods = ground.blocks.iter().map(|(block, node)| Pod { node: node.clone(), address: block.addr() });
    let pods: Vec<Pod> = pods.collect();
    let services = services::assumed(spec, &pods);
    Memory::of(spec, &ground, &LabPlan { pods, services, ..LabPlan::default() })
}

/// Whatever is said of any single failure is asked about, but for ranges in which no Service answers.
#[test]
fn everything_that_is_said_of_is_asked_about() {
    let named = topologies::named();
    let wanted = ["two-routers", "two-lines", "dual"];
    let chosen = named.iter().filter(|one| wanted.contains(&one.name.as_str()));
    let inventories: Vec<Option<String>> =
        std::iter::once(None).chain(chosen.map(|one| Some(one.inventory()))).collect();
    assert_eq!(inventories.len(), 4);
    for inventory in inventories {
        let spec = network(inventory.as_deref());
        let memory = memory(&spec);
        let network = memory.open().unwrap();
        let ground = memory.ground();
        let prediction = predict(&network, &ground, &kmh_route::Down::default());
        let before = Before::new(predict(&network, &ground, &kmh_route::Down::default()), &ground);
        let mut said = 0;
        for (down, _) in singles(&network, &ground) {
            let impact = before.when(&down);
            let pairs = pairs(&memory, &State::default(), &prediction, &prediction.with(&down), &impact);
            said += impact.lost.len() + impact.moved.len();
            let rest = unasked(&impact, &pairs);
            let names: BTreeSet<String> = rest
                .iter()
                .map(|one| match &one.what {
                    What::Service(name) => name.clone(),
                    other => panic!("{down:?}: nobody asks about {other:?}: {one:?}"),
                })
                .collect();
            let is_range = |name: &String| name.contains('/') && !name.starts_with("10.201.");
            assert!(names.iter().all(is_range), "{down:?}: {names:?}");
        }
        assert!(said > 20, "a failure must do something: {said}");
    }
}

#[test]
fn what_is_said_of_answers_counts_too() {
    let moved = |outage_ms, part| Predicted::Moved { outage_ms, part, gateway: false };
    assert_eq!(moved([1, 5], true).and(moved([2, 4], false)), moved([2, 5], false));
    assert_eq!(moved([1, 5], true).and(Predicted::AsBefore), moved([1, 5], true));
    assert_eq!(moved([1, 5], true).and(Predicted::Lost), Predicted::Lost);
    assert_eq!((Predicted::Lost.longest(), moved([1, 5], true).longest()), (0, 5));
}
