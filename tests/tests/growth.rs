//! What must not change: the order in which a person writes sites and nodes changes no byte that follows from them,
//! and who comes later changes nothing of those who were there, beyond what must know the new one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use kmh_tests::sandbox::Sandbox;
use serde_json::Value;

const PIPE: &str = "kmh-pki --init --store pki | kmh-bgpcfg | kmh-render";

/// The specs of the derived documents for an inventory that jq makes from the article's.
fn derived(sandbox: &Sandbox, change: &str) -> BTreeMap<String, Value> {
    let line =
        format!("kmh-bgpcfg <cluster.yaml | jq -c 'select(.kind==\"kmh.inventory/v1\") | {change}' | {PIPE}");
    let mut found = sandbox.sh(&line).exits(0).documents();
    found.remove("kmh.inventory/v1");
    found.into_iter().map(|(kind, mut document)| (kind, document["spec"].take())).collect()
}

/// Every file of a bundle: machine and path to the file.
fn files(bundle: &Value) -> BTreeMap<(String, String), Value> {
    let mut found = BTreeMap::new();
    for machine in bundle["machines"].as_array().unwrap() {
        for file in machine["files"].as_array().unwrap() {
            let key =
                (machine["name"].as_str().unwrap().to_owned(), file["path"].as_str().unwrap().to_owned());
            found.insert(key, file.clone());
        }
    }
    found
}

/// Machine and path of every file that is not the same in both, machines that only one has left out.
fn changed(before: &Value, after: &Value) -> BTreeSet<(String, String)> {
    let (before, after) = (files(before), files(after));
    let machines: BTreeSet<&String> = before.keys().map(|(machine, _)| machine).collect();
    after
        .keys()
        .chain(before.keys())
        .filter(|key| machines.contains(&key.0) && before.get(key) != after.get(key))
        .cloned()
        .collect()
}

#[test]
fn the_order_of_the_inventory_changes_no_byte() {
    let sandbox = Sandbox::new();
    let written = derived(&sandbox, ".");
    assert_eq!(written.len(), 3);
    for change in [
        ".spec.sites|=reverse",
        ".spec.nodes|=reverse",
        ".spec|=(.sites|=[.[1],.[2],.[0]] | .nodes|=[.[2],.[0],.[3],.[1]])",
        ".spec|=(to_entries|reverse|from_entries)",
    ] {
        let other = derived(&sandbox, change);
        for (kind, spec) in &written {
            assert!(
                serde_json::to_string(spec).unwrap() == serde_json::to_string(&other[kind]).unwrap(),
                "{change}: {kind}"
            );
        }
    }
}

#[test]
fn a_new_worker_is_known_to_its_router_alone() {
    let sandbox = Sandbox::new();
    let before = derived(&sandbox, ".");
    let after = derived(
        &sandbox,
        ".spec.nodes+=[{\"name\":\"aa-new\",\"site\":\"attic\",\"address\":\"10.10.0.99\",\"arch\":\"arm64\",\"roles\":[\"worker\"]}]",
    );
    let changed = changed(&before["kmh.bundle/v1"], &after["kmh.bundle/v1"]);
    // The router of its site peers with it; nobody else's file knows a worker.
    assert!(changed.iter().any(|(machine, _)| machine == "fw-attic"), "{changed:?}");
    let others: Vec<_> = changed.iter().filter(|(machine, _)| machine != "fw-attic").collect();
    assert_eq!(others, [] as [&(String, String); 0]);
    // And nobody's certificate was made again.
    let certificates = |spec: &Value| -> BTreeMap<String, Value> {
        let list = spec["certificates"].as_array().unwrap();
        list.iter().map(|c| (c["name"].as_str().unwrap().to_owned(), c.clone())).collect()
    };
    let (old, new) = (certificates(&before["kmh.pki/v1"]), certificates(&after["kmh.pki/v1"]));
    for (name, certificate) in &old {
        // A CA's certificate goes to the new machine as well; itself it is the same.
        assert_eq!(certificate["fingerprint"], new[name]["fingerprint"], "{name}");
    }
}

#[test]
fn a_new_site_keeps_every_number() {
    let sandbox = Sandbox::new();
    let before = derived(&sandbox, ".");
    let after = derived(
        &sandbox,
        ".spec.sites|=([{\"name\":\"aaa\",\"network\":\"10.40.0.0/24\",\"pod_cidrs\":\"10.200.192.0/18\",\"routers\":[{\"name\":\"aa-gw\",\
         \"id\":4,\"kind\":\"linux\",\"bgp\":\"frr\",\"asn\":65040,\"address\":\"10.40.0.1\",\"interface\":\"eth1\",\"uplinks\":[{\"name\":\"eth0\",\
         \"address\":\"203.0.113.40\"}]}]}]+.) | .spec.nodes|=([{\"name\":\"aa-1\",\"site\":\"aaa\",\"address\":\"10.40.0.11\"}]+.)",
    );
    let tunnels = |spec: &Value| -> BTreeMap<String, Value> {
        let list = spec["tunnels"].as_array().unwrap();
        list.iter().map(|t| (t["name"].as_str().unwrap().to_owned(), t.clone())).collect()
    };
    let (old, new) = (tunnels(&before["kmh.network/v1"]), tunnels(&after["kmh.network/v1"]));
    assert_eq!((old.len(), new.len()), (3, 6));
    for (name, tunnel) in &old {
        assert_eq!(tunnel, &new[name], "{name}");
    }
    // Routers learn the new site; of the nodes' own files nothing changes.
    let changed = changed(&before["kmh.bundle/v1"], &after["kmh.bundle/v1"]);
    let nodes: Vec<_> = changed
        .iter()
        .filter(|(machine, _)| !["fw-attic", "fw-flat", "gw-vps", "cluster"].contains(&machine.as_str()))
        .collect();
    assert_eq!(nodes, [] as [&(String, String); 0]);
}
