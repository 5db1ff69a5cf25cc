//! What the tools make of an inventory, and what they predict.

use std::collections::BTreeMap;

use kmh_doc::inventory::Inventory;
use kmh_doc::network::NetworkSpec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ground::Ground;
use crate::sandbox::{Sandbox, documents};

/// The documents of one inventory, and the store that belongs to them.
pub struct Documents {
    /// Its folder: `cluster.yaml`, the store `pki`, and the documents.
    pub sandbox: Sandbox,
    /// `kmh.inventory/v1`.
    pub inventory: Inventory,
    /// `kmh.network/v1`.
    pub network: NetworkSpec,
}

fn spec<T: DeserializeOwned>(documents: &mut BTreeMap<String, Value>, kind: &str) -> T {
    let mut document = documents.remove(kind).unwrap_or_else(|| panic!("no {kind}"));
    serde_json::from_value(document["spec"].take()).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

impl Documents {
    /// Runs the pipe up to the bundle.
    pub fn of(inventory: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("cluster.yaml", inventory);
        for line in [
            "kmh-pki --init --store pki <cluster.yaml >pki.json",
            "kmh-bgpcfg <pki.json >network.json",
            "kmh-render <network.json >bundle.json",
        ] {
            let ran = sandbox.sh(line);
            assert_eq!(ran.code, 0, "{line}\n{}\n{inventory}", ran.stderr);
        }
        let mut found = documents(&sandbox.read("network.json"));
        let (inventory, network) = (spec(&mut found, "kmh.inventory/v1"), spec(&mut found, "kmh.network/v1"));
        Self { sandbox, inventory, network }
    }

    /// Puts `kmh.blocks/v1` beside the other documents.
    pub fn give_blocks(&self, ground: &Ground) {
        self.sandbox.write("blocks.json", &ground.document().to_string());
    }

    /// The tables that the tools predict, by machine, with those things down: `tunnel/a--b`, `router/a`.
    pub fn predict(&self, ground: &Ground, down: &[String]) -> BTreeMap<String, Value> {
        let down: String = down.iter().flat_map(|name| [" --down ", name.as_str()]).collect();
        let services = ground.service_options();
        let line = format!("cat network.json blocks.json | kmh-bgpcfg predict -o json{down}{services}");
        let ran = self.sandbox.sh(&line);
        // 1 where something was found that a person should mend, as with a router down.
        assert!(matches!(ran.code, 0 | 1), "{line}\n{}", ran.stderr);
        let mut answer: Value = serde_json::from_str(&ran.stdout).expect("a prediction");
        assert_eq!(answer["assumed"], false, "the blocks were given");
        let Value::Array(tables) = answer["tables"].take() else { panic!("no tables") };
        tables
            .into_iter()
            .map(|table| (table["machine"].as_str().expect("a name").to_owned(), table))
            .collect()
    }
}
