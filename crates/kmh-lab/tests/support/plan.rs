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
    with_services(inventory, tunnels, &[])
}

/// The same, with services that single nodes announce.
pub(crate) fn with_services(inventory: Option<&str>, tunnels: Carrier, services: &[&str]) -> LabPlan {
    let sandbox = Sandbox::new();
    if let Some(inventory) = inventory {
        sandbox.write("cluster.yaml", inventory);
    }
    let line = "kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render";
    all(&sandbox.sh(line).exits(0).stdout, tunnels, services)
}

/// The plan for a stream of documents.
pub(crate) fn of_stream(stream: &str, tunnels: Carrier) -> LabPlan {
    all(stream, tunnels, &[])
}

fn all(stream: &str, tunnels: Carrier, services: &[&str]) -> LabPlan {
    let mut found = documents(stream);
    let mut spec = |kind: &str| found.remove(kind).expect("a document")["spec"].take();
    let inventory: Inventory = serde_json::from_value(spec("kmh.inventory/v1")).unwrap();
    let network: NetworkSpec = serde_json::from_value(spec("kmh.network/v1")).unwrap();
    let bundle: BundleSpec = serde_json::from_value(spec("kmh.bundle/v1")).unwrap();
    let mut notes = Vec::new();
    let bundle = wanted::machines(bundle, &mut notes);
    assert_eq!(notes, []);
    let known = Network::new(&network).unwrap();
    let mut ground = Ground::assume(&known);
    let services = services.iter().map(|text| text.parse().unwrap()).collect();
    ground.add_services(services, &known).unwrap();
    plan(&Sources { inventory: &inventory, network: &network, bundle, ground, tunnels }).unwrap()
}
