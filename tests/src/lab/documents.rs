//! What the tools make of an inventory: the documents, and every file as it would lie on its machine.

use std::collections::BTreeMap;

use base64::Engine as _;
use kmh_doc::inventory::Inventory;
use kmh_doc::network::NetworkSpec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ground::Ground;
use crate::sandbox::{Sandbox, documents};

/// The documents of one inventory, the store that belongs to them, and the files of all machines.
pub struct Documents {
    sandbox: Sandbox,
    /// `kmh.inventory/v1`.
    pub inventory: Inventory,
    /// `kmh.network/v1`.
    pub network: NetworkSpec,
}

fn spec<T: DeserializeOwned>(documents: &mut BTreeMap<String, Value>, kind: &str) -> T {
    let mut document = documents.remove(kind).unwrap_or_else(|| panic!("no {kind}"));
    serde_json::from_value(document["spec"].take()).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// Rows of pfSense's settings that name a peer and the key of its TCP signatures.
fn collect_passwords<'a>(value: &'a Value, found: &mut BTreeMap<&'a str, &'a str>) {
    if let (Some(peer), Some(key)) = (value["tcpsigdst"].as_str(), value["tcpsigpw"].as_str()) {
        found.insert(peer, key);
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| collect_passwords(member, found)),
        Value::Array(items) => items.iter().for_each(|item| collect_passwords(item, found)),
        _ => {}
    }
}

impl Documents {
    /// Runs the pipe up to the files, which `kmh-push` completes out of the store.
    pub fn of(inventory: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("cluster.yaml", inventory);
        for line in [
            "kmh-pki --init --store pki <cluster.yaml >pki.json",
            "kmh-bgpcfg <pki.json >network.json",
            "kmh-render <network.json >bundle.json",
            "kmh-push --store pki --to dir:out <bundle.json >push.json",
        ] {
            let ran = sandbox.sh(line);
            assert_eq!(ran.code, 0, "{line}\n{}\n{inventory}", ran.stderr);
        }
        let mut found = documents(&sandbox.read("network.json"));
        let (inventory, network) = (spec(&mut found, "kmh.inventory/v1"), spec(&mut found, "kmh.network/v1"));
        Self { sandbox, inventory, network }
    }

    /// The file of that name on a machine, whichever folder it lies in.
    pub fn file(&self, machine: &str, name: &str) -> Option<String> {
        let mut found = None;
        crate::sandbox::walk(&self.sandbox.path().join("out").join(machine), &mut |path| {
            if path.is_file() && path.file_name().is_some_and(|own| own == name) {
                found = Some(std::fs::read_to_string(path).expect("a file of text"));
            }
        });
        found
    }

    /// A router's `frr.conf`. On pfSense the kernel signs with what the settings say, and FRR's own password is only a
    /// word that makes it ask; here FRR's is what counts, so the settings' is put there.
    pub fn frr_conf(&self, router: &str) -> Option<String> {
        let conf = self.file(router, "frr.conf")?;
        let Some(settings) = self.file(router, "settings.json") else { return Some(conf) };
        let settings: Value = serde_json::from_str(&settings).expect("settings");
        let mut passwords = BTreeMap::new();
        collect_passwords(&settings, &mut passwords);
        let lines = conf.lines().map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["neighbor", peer, "password", _] => {
                let password = passwords.get(peer).unwrap_or_else(|| panic!("{router}: no key for {peer}"));
                format!(" neighbor {peer} password {password}\n")
            }
            _ => format!("{line}\n"),
        });
        Some(lines.collect())
    }

    /// A value of a Kubernetes Secret among the manifests of the cluster.
    pub fn secret(&self, name: &str, key: &str) -> String {
        let mut manifests = String::new();
        crate::sandbox::walk(&self.sandbox.path().join("out/cluster"), &mut |path| {
            if path.extension().is_some_and(|extension| extension == "yaml") {
                manifests.push_str(&std::fs::read_to_string(path).expect("a file of text"));
                manifests.push_str("\n---\n");
            }
        });
        let manifest = manifests
            .split("\n---")
            .map(|manifest| manifest.replace('"', ""))
            .find(|one| one.contains("kind: Secret") && one.contains(&format!("name: {name}\n")))
            .unwrap_or_else(|| panic!("no Secret {name}"));
        let value = manifest.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: ")));
        let value = value.unwrap_or_else(|| panic!("Secret {name} has no {key}"));
        let bytes = base64::engine::general_purpose::STANDARD.decode(value).expect("base64");
        String::from_utf8(bytes).expect("a password in letters")
    }

    /// The tables that the tools predict, by machine, with those things down: `tunnel/a--b`, `router/a`.
    pub fn predict(&self, ground: &Ground, down: &[String]) -> BTreeMap<String, Value> {
        self.sandbox.write("blocks.json", &ground.document().to_string());
        let down: String = down.iter().flat_map(|name| [" --down ", name.as_str()]).collect();
        let mut services = String::new();
        for (address, nodes) in &ground.services {
            services += &[" --service ", &address.to_string(), "=", &nodes.join(",")].concat();
        }
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
