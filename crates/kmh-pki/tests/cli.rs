//! The program as people call it: options, forms of the result, exit codes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Place, SMALL, certificate};
use serde_json::{Value, json};

#[test]
fn help_shows_examples_that_work() {
    let place = Place::new();
    let ran = place.pki(&["--help"], "").exits(0);
    for text in ["EXAMPLES", "--store", "KMH_STORE", "--init", "ensure"] {
        assert!(ran.stdout.contains(text), "{text}:\n{}", ran.stdout);
    }
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    let wide = |line: &&str| line.starts_with("    ") && line.contains("kmh-") && line.chars().count() >= 80;
    assert_eq!(ran.stdout.lines().find(wide), None);
    // A line that ends with a bar goes on in the next.
    let lines = ran.stdout.replace("|\n", "| ");
    let lines = lines.lines().map(str::trim);
    let examples: Vec<_> = lines.filter(|line| line.starts_with("kmh-pki ") && line.contains("-i")).collect();
    assert!(examples.len() >= 3, "{examples:?}");
    for line in examples {
        place.sh(&line.replacen("kmh-pki", "$PKI", 1), "").exits(0);
    }
}

#[test]
fn the_document_names_its_inventory_and_holds_references_only() {
    let place = Place::with_store(SMALL);
    let ran = place.pki(&["ensure", "--store", "store"], SMALL).exits(0);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["kind"], "kmh.inventory/v1");
    assert_eq!(lines[1]["kind"], "kmh.pki/v1");
    assert!(lines[1]["from"]["kmh.inventory/v1"].as_str().unwrap().starts_with("sha256:"));
    assert!(lines[1]["spec"].get("planned").is_none());
    let apiserver = certificate(&lines[1], "nodes/cp-1/apiserver");
    assert_eq!(apiserver["key"], "nodes/cp-1/apiserver.key");
    assert!(place.store().join("nodes/cp-1/apiserver.key").exists());
    assert_eq!(apiserver["issuer"], "ca/cluster");
    let service_account = &lines[1]["spec"]["keys"][2];
    assert_eq!(service_account["secret"], "keys/service-account.key");
    assert!(service_account["public"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(!ran.stdout.contains("PRIVATE KEY"));
}

#[test]
fn the_store_is_named_and_never_assumed() {
    let place = Place::new();
    place.pki(&[], SMALL).exits(2).says("no store is named").says("--store DIR");
    let mut command = place.command(&["--init"]);
    command.env("KMH_STORE", "by-variable");
    common::Ran::of(command, SMALL).exits(0);
    assert!(place.path().join("by-variable/store.json").exists());
    let mut command = place.command(&["--store", "by-option", "--init"]);
    command.env("KMH_STORE", "by-variable");
    common::Ran::of(command, SMALL).exits(0);
    assert!(place.path().join("by-option/store.json").exists());
}

#[test]
fn text_says_what_there_is_what_was_done_and_why() {
    let place = Place::new();
    let first = place.pki(&["--store", "store", "--init", "-o", "text"], SMALL).exits(0).stdout;
    assert!(first.contains("CERTIFICATE") && first.contains("  cp-1:/etc/kubernetes/pki/etcd/\n"), "{first}");
    assert_eq!(first.lines().filter(|line| line.chars().count() > 100).collect::<Vec<_>>(), [""; 0]);
    assert!(first.contains("ca/cluster … keys/service-account (30)"), "{first}");
    assert!(first.ends_with("made 27 certificates and 3 keys of 27 certificates and 3 keys\n"), "{first}");
    let again = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0).stdout;
    assert!(!again.contains("MADE"), "{again}");
    assert!(again.ends_with("nothing to do: 27 certificates and 3 keys\n"), "{again}");
}

#[test]
fn a_dry_run_touches_nothing_and_its_document_has_no_dates() {
    let place = Place::new();
    let planned = place.pki(&["--store", "store", "--init", "--dry-run", "--only"], SMALL).exits(0);
    assert!(!place.store().exists());
    let document: Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(document["spec"]["planned"], true);
    assert_eq!(document["spec"]["store"], "");
    let steps = document["spec"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 30);
    let missing = json!([{"code": "missing", "message": "missing"}]);
    for (step, name, action) in [(0, "ca/cluster", "issue"), (29, "keys/service-account", "make")] {
        assert_eq!(steps[step], json!({"name": name, "action": action, "reasons": missing}));
    }
    let one = certificate(&document, "nodes/w-1/kubelet-serving");
    for field in ["pem", "fingerprint", "serial", "not_before", "not_after"] {
        assert_eq!(one[field], "", "{field}");
    }
    assert_eq!(one["deploy"][0]["key"], "/var/lib/kubelet/pki/kubelet-serving.key");
    // Same input, same bytes.
    let again = place.pki(&["--store", "store", "--init", "--dry-run", "--only"], SMALL).exits(0);
    assert_eq!(again.stdout, planned.stdout);

    // Where nothing is to be done it is the document of a real run, and no lock or other file is left.
    place.pki(&["--store", "store", "--init"], SMALL).exits(0);
    let before = place.snapshot();
    let real = place.pki(&["--store", "store"], SMALL).exits(0);
    let dry = place.pki(&["--store", "store", "--dry-run"], SMALL).exits(0);
    assert_eq!(dry.stdout, real.stdout);
    assert_eq!(place.snapshot(), before);

    // Where something is, only that is planned.
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    let dry = place.pki(&["--store", "store", "--dry-run", "--only"], &moved).exits(0);
    let document: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(document["spec"]["planned"], true);
    let all = document["spec"]["certificates"].as_array().unwrap();
    let planned: Vec<_> = all.iter().filter(|one| one["pem"] == "").map(|one| one["name"].clone()).collect();
    assert_eq!(planned, ["nodes/w-2/kubelet-serving"]);
    let why = json!([{
        "name": "nodes/w-2/kubelet-serving",
        "action": "reissue",
        "reasons": [{"code": "names-differ", "message": "names differ: + 10.10.0.33, - 10.10.0.22"}],
    }]);
    assert_eq!(document["spec"]["steps"], why);
    assert_eq!(place.snapshot(), before);
    // What was done is told, and is no state.
    let done = place.pki(&["--store", "store", "-o", "ansible"], &moved).exits(0);
    let result: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(result["steps"], why);
    assert_eq!(result["documents"][0]["spec"].get("steps"), None);
    let again = place.pki(&["--store", "store", "-o", "ansible"], &moved).exits(0);
    let result: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&result["changed"], &result["steps"]), (&json!(false), &json!([])));
}

#[test]
fn what_ensure_can_be_asked_needs_no_verb() {
    let place = Place::with_store(SMALL);
    std::fs::remove_file(place.store().join("ca/cluster.key")).unwrap();
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    let asked = || {
        let text = std::fs::read_to_string(place.path().join("ask.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["requests"][0]["name"].clone()
    };
    place.pki(&["--store", "store", "--requests", "ask.json"], &moved).exits(0);
    assert_eq!(asked(), "nodes/w-2/kubelet-serving");
    // As any other option: before the verb, too.
    std::fs::write(place.path().join("ask.json"), "notes").unwrap();
    let before: &[&str] = &["--requests", "ask.json", "ensure", "--store", "store"];
    place
        .pki(before, &moved)
        .exits(2)
        .says("`ask.json` is there already, and is no request set of this store");
    place.pki(&[&["--force"], before].concat(), &moved).exits(0);
    assert_eq!(asked(), "nodes/w-2/kubelet-serving");
    for verb in [&["rotate", "etcd"][..], &["status"], &["ensure", "--requests", "b.json"]] {
        let args = [&["--requests", "ask.json"], verb, &["--store", "store"]].concat();
        place
            .pki(&args, &moved)
            .exits(2)
            .says("kmh-pki: error: `--requests` stands before the verb\n")
            .says("hint: write it after the verb: before it, or without one, it is `ensure`'s");
    }
    place.pki(&["--force", "--store", "store"], &moved).exits(2).says("--requests <FILE>");
}

#[test]
fn ansible_is_told_what_changed_and_why() {
    let place = Place::with_store(SMALL);
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    let result = |args: &[&str]| -> Value {
        let ran = place.pki(&[&["--store", "store", "-o", "ansible"], args].concat(), &moved).exits(0);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let check = result(&["--check"]);
    let done = result(&[]);
    for value in [&check, &done] {
        assert_eq!(value["changed"], true);
        let diff = value["diff"].as_array().unwrap();
        assert_eq!(diff.len(), 1);
        assert!(diff[0]["before"].as_str().unwrap().contains("10.10.0.22"));
        let after = diff[0]["after"].as_str().unwrap();
        assert!(after.contains("why: names differ: + 10.10.0.33, - 10.10.0.22"), "{after}");
    }
    let told =
        "who does not read it again by itself is told by the next push: restart kubelet.service on w-2";
    let total = "1 certificate of 27 certificates and 3 keys";
    assert_eq!(check["msg"], format!("would make {total}; {told}"));
    assert_eq!(done["msg"], format!("made {total}; {told}"));
    assert_eq!(result(&[])["changed"], false);
}

#[test]
fn quiet_verbs_say_nothing_but_errors() {
    let place = Place::with_store(SMALL);
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    let line = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.key -out k.csr \
        -subj /O=system:nodes/CN=system:node:w-1 2>/dev/null";
    place.sh(line, "").exits(0);
    let ask: &[&str] = &["--store", "store", "-i", "cluster.yaml"];
    let verbs: [&[&str]; 8] = [
        &["status"],
        &["verify"],
        &["sign", "--csr", "k.csr", "--as", "nodes/w-1/kubelet-client", "--to", "k.crt"],
        &["kubeconfig", "--user", "anna", "--to", "anna.conf"],
        &["kubeconfig", "--break-glass", "--to", "glass.conf"],
        &["export", "--layout", "kubeadm", "--to", "out"],
        &["export", "--layout", "tar", "--to", "store.tar"],
        &["import", "--from", "out/cp-1", "--dry-run", "--init", "--store", "other"],
    ];
    for verb in verbs {
        let own: &[&str] = if verb.contains(&"--store") { &["-i", "cluster.yaml"] } else { ask };
        let ran = place.pki(&[verb, own, &["-q"]].concat(), "").exits(0);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{verb:?}");
    }
    // The exit code is left.
    std::fs::remove_file(place.store().join("nodes/w-1/kube-proxy.key")).unwrap();
    let ran = place.pki(&[&["verify", "-q"], ask].concat(), "").exits(1);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    place
        .pki(&[&["status", "-q", "--nonsense"], ask].concat(), "")
        .exits(2)
        .says("unexpected argument '--nonsense'");
    // What was asked for is printed: a form, a stream, a kubeconfig, what has to follow a stage.
    std::fs::remove_file(place.store().join("nodes/w-1/kube-proxy.crt")).unwrap();
    for verb in [
        &["verify", "-o", "json"][..],
        &["ensure"],
        &["kubeconfig", "--user", "anna", "--to", "-"],
        &["rotate", "etcd", "--dry-run"],
    ] {
        let ran = place.pki(&[verb, &["-q"], ask].concat(), "");
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{verb:?}: {}", ran.stderr);
    }
}

#[test]
fn limit_leaves_other_machines_alone() {
    let place = Place::with_store(SMALL);
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33").replace("10.10.0.21", "10.10.0.32");
    let before = place.files();
    let ran = place.pki(&["--store", "store", "--limit", "w-2", "-o", "text"], &moved).exits(0);
    assert!(ran.stdout.contains("LEFT ALONE (--limit)"), "{}", ran.stdout);
    // The table is of that machine, and of the CAs that it knows.
    let table = ran.stdout.split("\n\n").next().unwrap();
    let names: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let of_w2 = ["kube-proxy", "kubelet-client", "kubelet-serving"].map(|stem| format!("nodes/w-2/{stem}"));
    assert_eq!(names, [&["ca/cluster".to_owned()][..], &of_w2].concat());
    let after = place.files();
    let changed: Vec<_> = after
        .iter()
        .filter(|(name, bytes)| before.get(*name) != Some(bytes))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(changed, ["nodes/w-2/kubelet-serving.crt", "nodes/w-2/kubelet-serving.key"]);
    place.pki(&["--store", "store", "--limit", "w-9"], &moved).exits(2).says("w-9");
}

#[test]
fn a_name_that_fits_in_no_certificate_is_refused_before_anything_is_made() {
    let place = Place::new();
    let long = "a".repeat(60);
    let inventory = SMALL.replace("name: gw", &format!("name: {long}"));
    place
        .pki(&["--store", "store", "--init"], &inventory)
        .exits(2)
        .says(&format!("`{long}.small.ipsec.internal`: 81 characters, and a common name has at most 64"));
    assert!(!place.store().exists());
}

#[test]
fn what_the_inventory_lacks_is_said_before_a_store_is_made() {
    let place = Place::new();
    let without = SMALL.replace("    api: {host: k8s.example.net}\n", "");
    place.pki(&["--store", "store", "--init"], &without).exits(2).says("spec.cluster.api");
    assert!(!place.store().exists());
}

#[test]
fn strictness_speaks_before_anything_is_made() {
    // Two members of etcd are a warning.
    let even = SMALL.replace("fd00:10::21']", "fd00:10::21'], roles: [etcd]");
    let place = Place::new();
    place.pki(&["--store", "store", "--init", "--strict"], &even).exits(1).says("even");
    assert!(!place.store().exists());
    place.pki(&["--store", "store", "--init"], &even).exits(0).says("warning:");
}
