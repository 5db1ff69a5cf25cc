//! What kmh-pki says about other tools' files is what those files say.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use kmh_tests::sandbox::Sandbox;
use serde_json::Value;

/// The value of a key in a rendered kubeconfig, which is plain YAML.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "))?;
    Some(value.trim_matches('"'))
}

#[test]
fn status_knows_every_kubeconfig_of_the_bundle_and_what_it_points_to() {
    let sandbox = Sandbox::new();
    let made = sandbox.bash(
        "kmh-pki --store pki --init <cluster.yaml | kmh-bgpcfg | kmh-render --only >bundle.json &&
         kmh-pki status --store pki -i cluster.yaml -o json >status.json",
    );
    assert_eq!(made.code, 0, "{}", made.stderr);
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(sandbox.path().join(name)).unwrap()).unwrap()
    };
    let (bundle, status) = (read("bundle.json"), read("status.json"));
    // Machine, kubeconfig, certificate that it points to: the bundle's own words.
    let mut rendered = BTreeSet::new();
    for machine in bundle["spec"]["machines"].as_array().unwrap() {
        for file in machine["files"].as_array().unwrap() {
            let text: String = file["content"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|segment| segment["text"].as_str())
                .collect();
            if !text.contains("kind: Config\n") {
                continue;
            }
            for key in ["certificate-authority", "client-certificate"] {
                let path = value(&text, key).unwrap_or_else(|| panic!("{key} in {}", file["path"]));
                let three = [machine["name"].as_str().unwrap(), file["path"].as_str().unwrap(), path];
                rendered.insert(three.map(str::to_owned).to_vec());
            }
        }
    }
    let mut said = BTreeSet::new();
    for row in status["certificates"].as_array().unwrap() {
        for using in row["used_by"].as_array().unwrap() {
            for kubeconfig in using["kubeconfigs"].as_array().unwrap() {
                let three = [&using["machine"], kubeconfig, &using["path"]];
                said.insert(three.map(|v| v.as_str().unwrap().to_owned()).to_vec());
            }
        }
    }
    assert_eq!(said, rendered);
    assert_eq!(said.len(), 2 * (3 * 5 + 2), "three control planes with five each, one node with two");
}
