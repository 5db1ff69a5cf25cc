//! Plans by way of the tools.
#![allow(dead_code, reason = "each test file uses its part")]

use kmh_doc::bundle::BundleSpec;
use kmh_doc::inventory::Inventory;
use kmh_doc::network::NetworkSpec;
use kmh_lab::Carrier;
use kmh_lab::plan::{LabPlan, Sources, plan};
use kmh_route::{Ground, Network};
use kmh_store::wanted;
use kmh_tests::sandbox::{Sandbox, documents};

/// The plan for an inventory.
pub(crate) fn planned(inventory: Option<&str>, tunnels: Carrier) -> LabPlan {
    let sandbox = Sandbox::new();
    if let Some(inventory) = inventory {
        sandbox.write("cluster.yaml", inventory);
    }
    let line = "kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render";
    of_stream(&sandbox.sh(line).exits(0).stdout, tunnels)
}

/// The plan for a stream of documents.
pub(crate) fn of_stream(stream: &str, tunnels: Carrier) -> LabPlan {
    dialled(stream, tunnels, &[])
}

/// The same when these lines have dialled again.
pub(crate) fn dialled(stream: &str, tunnels: Carrier, dials: &[(&str, u16)]) -> LabPlan {
    let mut found = documents(stream);
    let mut spec = |kind: &str| found.remove(kind).expect("a document")["spec"].take();
    let inventory: Inventory = serde_json::from_value(spec("kmh.inventory/v1")).unwrap();
    let network: NetworkSpec = serde_json::from_value(spec("kmh.network/v1")).unwrap();
    let bundle: BundleSpec = serde_json::from_value(spec("kmh.bundle/v1")).unwrap();
    let mut notes = Vec::new();
    let bundle = wanted::machines(bundle, &mut notes);
    assert_eq!(notes, []);
    let ground = Ground::assume(&Network::new(&network).unwrap());
    let dials = dials.iter().map(|(line, count)| ((*line).to_owned(), *count)).collect();
    plan(&Sources { inventory: &inventory, network: &network, bundle, ground, tunnels, services: &[], dials })
        .unwrap()
}
