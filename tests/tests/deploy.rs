//! The pipe of the article's cluster onto the machines of a lab: from the operator's place, over the lab's network, by the
//! addresses, users and keys of real hosts. One lab for all of it, for a network takes longer to come up than a push.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kmh_doc::bundle::BundleSpec;
use kmh_tests::lab::Lab;
use kmh_tests::sandbox::{Ran, article, documents};
use serde_json::{Value, json};

const NODES: [&str; 3] = ["attic-1", "flat-1", "vps-1"];
const PIPE: &str = "kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json";

#[test]
fn the_pipe_deploys_to_a_lab_as_to_real_hosts() {
    let lab = Lab::up(&std::fs::read_to_string(article()).unwrap());
    lab.documents.sandbox.sh(PIPE).exits(0);
    // As soon as the network has found its routes, all is there: `up` has put it there.
    assert_eq!(report(&push_when_all_are_reached(&lab, ""))["changed"], false);

    empty_machines_get_everything_and_a_second_push_sends_no_file(&lab);
    drift_is_shown_and_mended_where_it_is(&lab);
    a_reload_ends_no_session(&lab);
    a_changed_inventory_changes_what_runs(&lab);
    who_cannot_be_reached_stops_nobody(&lab);
    who_cannot_prove_who_it_is_gets_nothing(&lab);
}

/// A push of the stream, as it is, and what the check at its end says.
fn push(lab: &Lab, more: &str) -> Ran {
    lab.operator(&format!("kmh-push -i stream.json --store pki --to ssh {more} | kmh-check -o json"))
}

/// The first push that reaches every machine: the network may still be finding its routes.
fn push_when_all_are_reached(lab: &Lab, more: &str) -> Ran {
    let begin = Instant::now();
    loop {
        let ran = push(lab, more);
        let missed = machines(&ran).into_values().any(|report| report["outcome"] == "unreachable");
        if !missed || begin.elapsed() > Duration::from_secs(90) {
            return ran.exits(0);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn report(ran: &Ran) -> Value {
    ran.documents()["kmh.push/v1"]["spec"].clone()
}

/// The report on each machine.
fn machines(ran: &Ran) -> BTreeMap<String, Value> {
    let report = report(ran);
    let machines = report["machines"].as_array().unwrap().iter();
    machines.map(|machine| (machine["name"].as_str().unwrap().to_owned(), machine.clone())).collect()
}

/// Machines that were changed, with their files and units.
fn changed(ran: &Ran) -> BTreeMap<String, (Value, Value)> {
    let changed = machines(ran).into_iter().filter(|(_, report)| report["outcome"] != "unchanged");
    changed.map(|(name, report)| (name, (report["written"].clone(), report["units"].clone()))).collect()
}

/// What the bundle has for a machine, by path: owner and mode.
fn wanted(lab: &Lab, machine: &str) -> BTreeMap<String, (String, String)> {
    let found = documents(&lab.documents.sandbox.read("stream.json"));
    let bundle: BundleSpec = serde_json::from_value(found["kmh.bundle/v1"]["spec"].clone()).unwrap();
    let machine = bundle.machines.into_iter().find(|one| one.name == machine).unwrap();
    machine.files.into_iter().map(|file| (file.path, (file.owner, file.mode))).collect()
}

fn empty_machines_get_everything_and_a_second_push_sends_no_file(lab: &Lab) {
    for node in NODES {
        let paths: Vec<String> = wanted(lab, node).into_keys().collect();
        lab.sh(node, &format!("rm {}", paths.join(" "))).exits(0);
    }
    let first = push(lab, "--limit attic-1,flat-1,vps-1").exits(0);
    let reports = machines(&first);
    assert_eq!(reports.keys().collect::<Vec<_>>(), NODES);
    // What is there is what a folder gets: octet for octet, with the modes and owners of the bundle.
    lab.documents.sandbox.sh("kmh-push -i stream.json --store pki --to dir:out >folder.json").exits(0);
    for node in NODES {
        let wanted = wanted(lab, node);
        let written = reports[node]["written"].as_array().unwrap();
        assert!(written.len() > 50 && written.len() == wanted.len(), "{}", reports[node]);
        assert!(written.iter().all(|file| file["reason"] == "missing"), "{}", reports[node]);
        let list = wanted.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        let there = lab.sh(node, &format!("sha256sum {list}")).exits(0).stdout;
        let here = lab.documents.sandbox.sh(&format!(
            "cd out/{node} && for file in {list}; do sha256sum .$file; done | sed 's,  [.],  ,'"
        ));
        assert_eq!(there, here.exits(0).stdout, "{node}");
        let there = lab.sh(node, &format!("stat -c '%n %U:%G 0%a' {list}")).exits(0).stdout;
        let there: Vec<&str> = there.lines().collect();
        let bundle: Vec<String> =
            wanted.iter().map(|(path, (owner, mode))| format!("{path} {owner} {mode}")).collect();
        assert_eq!(there, bundle, "{node}");
    }
    let times = || {
        NODES.map(|node| {
            lab.sh(node, "find /etc /var/lib /usr/local -newer /etc/hostname -printf '%p %T@\\n'").stdout
        })
    };
    let before = times();
    let second = push(lab, "--limit attic-1,flat-1,vps-1").exits(0);
    assert_eq!(report(&second)["changed"], false);
    for (name, report) in machines(&second) {
        assert_eq!((&report["outcome"], &report["written"]), (&json!("unchanged"), &json!([])), "{name}");
    }
    assert_eq!(times(), before);
}

/// What FRR of the router in a namespace goes by.
fn running(lab: &Lab) -> String {
    lab.sh("gw-vps", "vtysh -N k8s -c 'show running-config'").exits(0).stdout
}

fn drift_is_shown_and_mended_where_it_is(lab: &Lab) {
    let path = "/etc/nftables.d/kmh.nft";
    let has_it = || lab.sh("gw-vps", "nft list table inet kmh").exits(0).stdout.contains("192.0.2.66");
    assert!(!has_it());
    let rule = "ip saddr 192.0.2.66 drop";
    lab.sh("vps-host", &format!("sed -i '/hook forward priority mangle/a {rule}' {path}")).exits(0);
    lab.sh("vps-host", "systemctl reload kmh-nftables").exits(0);
    assert!(has_it(), "what somebody wrote is what is loaded");
    let line = "kmh-push -i stream.json --store pki --to ssh --dry-run -o text";
    let shown = lab.operator(line).exits(0).stdout;
    assert!(shown.contains(&format!("-{rule}\n")), "{shown}");
    assert!(shown.contains("1 file would be written"), "{shown}");
    assert!(has_it(), "a dry run mended it");

    let mended = changed(&push(lab, "").exits(0));
    let written = json!([{"path": path, "reason": "content"}]);
    let units = json!([{"name": "kmh-nftables.service", "action": "reload", "ok": true}]);
    assert_eq!(mended, BTreeMap::from([("gw-vps".to_owned(), (written, units))]));
    assert!(!has_it(), "the file is mended, and what is loaded is not");
    assert_eq!(report(&push(lab, "").exits(0))["changed"], false);
}

/// By how often sessions of the router in a namespace were dropped.
fn drops(lab: &Lab) -> BTreeMap<String, Value> {
    let said = lab.sh("gw-vps", "vtysh -N k8s -c 'show bgp summary json'").exits(0).stdout;
    let summary: Value = serde_json::from_str(&said).unwrap();
    let peers = summary["ipv4Unicast"]["peers"].as_object().unwrap();
    peers.iter().map(|(peer, state)| (peer.clone(), state["connectionsDropped"].clone())).collect()
}

fn a_reload_ends_no_session(lab: &Lab) {
    let before = drops(lab);
    assert_eq!(before.len(), 3, "{before:?}");
    // Nothing that a session rests on.
    lab.sh("vps-host", "echo '! somebody was here' >>/etc/frr/k8s/frr.conf").exits(0);
    let mended = changed(&push(lab, "--limit gw-vps").exits(0));
    assert_eq!(mended["gw-vps"].1, json!([{"name": "frr@k8s.service", "action": "reload", "ok": true}]));
    assert_eq!(drops(lab), before);
}

fn a_changed_inventory_changes_what_runs(lab: &Lab) {
    let sandbox = &lab.documents.sandbox;
    let (old, new) = ("bgp: {layout: A}", "bgp: {layout: A, timers: {routers: {bfd_ms: 500}}}");
    let text = sandbox.read("cluster.yaml");
    assert!(text.contains(old));
    sandbox.write("cluster.yaml", &text.replace(old, new));
    sandbox.sh(PIPE).exits(0);
    let routers = ["fw-attic", "fw-flat", "gw-vps"];
    let planned = changed(&push(lab, "--dry-run").exits(0));
    assert_eq!(planned.keys().collect::<Vec<_>>(), routers, "only routers have it: {planned:?}");
    let changed = changed(&push(lab, "--limit fw-attic,fw-flat,gw-vps").exits(0));
    assert_eq!(changed.keys().collect::<Vec<_>>(), routers, "{changed:?}");
    let units = json!([{"name": "frr@k8s.service", "action": "reload", "ok": true}]);
    assert_eq!(changed["gw-vps"].1, units);
    assert!(running(lab).contains("profile kmh-500"), "{}", running(lab));
    assert_eq!(report(&push_when_all_are_reached(lab, ""))["changed"], false);
}

fn who_cannot_be_reached_stops_nobody(lab: &Lab) {
    lab.lab("cut node/flat-1 --clean");
    for node in NODES {
        lab.sh(node, "rm -f /etc/sysctl.d/*kmh*").exits(0);
    }
    let ran = push(lab, "--limit attic-1,flat-1,vps-1").exits(1);
    let outcomes: Vec<Value> = machines(&ran).values().map(|report| report["outcome"].clone()).collect();
    assert_eq!(outcomes, [json!("changed"), json!("unreachable"), json!("changed")]);
    assert_eq!(ran.documents()["kmh.check/v1"]["spec"]["ok"], false);
    lab.lab("heal node/flat-1");
    let ran = push_when_all_are_reached(lab, "--limit attic-1,flat-1,vps-1");
    assert_eq!(changed(&ran).keys().collect::<Vec<_>>(), ["flat-1"]);
}

fn who_cannot_prove_who_it_is_gets_nothing(lab: &Lab) {
    // Another key is known for the second machine than it shows.
    lab.operator(
        "ssh-keygen -q -t ed25519 -N '' -C other -f other; read -r star type key <$HOME/.ssh/known_hosts; \
         echo \"10.10.0.11 $type $key\" >known; echo \"10.30.0.11 $type $key\" >>known; echo \"10.20.0.11 $(cat other.pub)\" >>known",
    )
    .exits(0);
    for node in NODES {
        lab.sh(node, "rm -f /etc/sysctl.d/*kmh*").exits(0);
    }
    let ran = push(lab, "--limit attic-1,flat-1,vps-1 --known-hosts known").exits(1).says("host key");
    let outcomes: Vec<Value> = machines(&ran).values().map(|report| report["outcome"].clone()).collect();
    assert_eq!(outcomes, [json!("changed"), json!("failed"), json!("changed")]);
    assert_eq!(ran.documents()["kmh.check/v1"]["spec"]["ok"], false);
    let there = lab.sh("flat-1", "ls /etc/sysctl.d").stdout;
    assert!(!there.contains("kmh"), "files were sent to a machine that could not prove who it is: {there}");
}
