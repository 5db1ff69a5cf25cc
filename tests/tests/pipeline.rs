//! Command lines as users type them: in `sh`, without `pipefail`, with the mistakes that people make.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use kmh_tests::sandbox::{Sandbox, documents};

const PIPE: &str = "kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render \
                    | kmh-push --store pki --to dir:out | kmh-check -o json";

/// A stream with everything up to the bundle, in `stream.json`.
fn rendered() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.sh("kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json").exits(0);
    sandbox
}

#[test]
fn the_whole_pipe_says_yes_and_a_second_run_changes_nothing() {
    let sandbox = Sandbox::new();
    let first = sandbox.sh(PIPE).exits(0);
    let (pki, out) = (sandbox.snapshot("pki"), sandbox.snapshot("out"));
    let push = &first.documents()["kmh.push/v1"]["spec"];
    assert_eq!((&push["changed"], &push["failed"]), (&true.into(), &false.into()));
    assert_eq!(first.documents()["kmh.check/v1"]["spec"]["ok"], true);

    let second = sandbox.sh(PIPE).exits(0);
    assert_eq!(sandbox.snapshot("pki"), pki, "the store was touched");
    assert_eq!(sandbox.snapshot("out"), out, "the target was touched");
    let lines = |text: &str| {
        text.lines()
            .filter(|line| !line.contains(r#""kind":"kmh.push/v1""#))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&first.stdout), lines(&second.stdout));
    let push = &second.documents()["kmh.push/v1"]["spec"];
    assert_eq!((&push["changed"], &push["failed"]), (&false.into(), &false.into()));
}

#[test]
fn a_check_that_says_no_in_the_middle_stops_the_push() {
    let sandbox = rendered();
    // Somebody edits a certificate's end in the pki document, by hand, and keeps the digests out of it.
    sandbox.sh("jq -c 'if .kind==\"kmh.network/v1\" then .spec.routers[0].sessions[0].import=\"NOWHERE\" else . end \
                | if .kind==\"kmh.bundle/v1\" then del(.from) else . end' stream.json >edited.json").exits(0);
    let checked = sandbox.sh("kmh-check <edited.json").exits(1);
    assert_eq!(checked.documents()["kmh.check/v1"]["spec"]["ok"], false);

    let pushed = sandbox.sh("kmh-check <edited.json | kmh-push --store pki --to dir:out").exits(1);
    assert!(!sandbox.has("out"), "the push went on although the check said no");
    let push = &pushed.documents()["kmh.push/v1"]["spec"];
    assert_eq!(push["failed"], true);
    assert!(push["refused"].as_str().unwrap().contains("check"), "{push}");
    // And the check at the end of the same pipe says no too, whatever the exit codes in the middle were.
    sandbox.sh("kmh-check <edited.json | kmh-push --store pki --to dir:out | kmh-check").exits(1);
}

#[test]
fn mixed_generations_are_refused_with_both_places() {
    let sandbox = rendered();
    sandbox.sh("sed -i 's/maxPods: 60/maxPods: 61/' cluster.yaml").exits(0);
    sandbox.sh("grep -v '\"kmh.inventory/v1\",\"spec\"' stream.json | jq -c 'select(.kind!=\"kmh.inventory/v1\")' >rest.json").exits(0);
    let ran = sandbox.sh("kmh-push -i cluster.yaml -i rest.json --store pki --to dir:out").exits(2);
    let ran = ran.says("cluster.yaml").says("rest.json").says("kmh.inventory/v1");
    assert_eq!(ran.stdout, "");
    assert!(!sandbox.has("out"));
}

#[test]
fn a_saved_stream_can_be_pushed_twice() {
    let sandbox = rendered();
    let first =
        sandbox.sh("kmh-push --store pki --to dir:out <stream.json >pushed.json; cat pushed.json").exits(0);
    assert_eq!(first.documents()["kmh.push/v1"]["spec"]["changed"], true);
    let out = sandbox.snapshot("out");
    let again = sandbox.sh("kmh-push --store pki --to dir:out <stream.json").exits(0);
    assert_eq!(again.documents()["kmh.push/v1"]["spec"]["changed"], false);
    // The stream with the first report in it, too: the report is replaced, not refused and not doubled.
    let third = sandbox.sh("kmh-push --store pki --to dir:out <pushed.json").exits(0);
    assert_eq!(third.stdout.matches(r#""kind":"kmh.push/v1""#).count(), 1);
    assert_eq!(third.documents()["kmh.push/v1"]["spec"]["changed"], false);
    assert_eq!(sandbox.snapshot("out"), out);
}

#[test]
fn check_push_check_is_a_pipe() {
    let sandbox = rendered();
    let ran =
        sandbox.sh("kmh-check <stream.json | kmh-push --store pki --to dir:out | kmh-check -o json").exits(0);
    assert_eq!(ran.stdout.matches(r#""kind":"kmh.check/v1""#).count(), 1);
    let found = ran.documents();
    assert_eq!(found["kmh.check/v1"]["spec"]["ok"], true);
    assert_eq!(found["kmh.push/v1"]["spec"]["changed"], true);
    assert!(sandbox.has("out/attic-1/etc/kubernetes"));
}

#[test]
fn jq_in_the_middle_is_a_filter_like_any_other() {
    let sandbox = rendered();
    let plain = sandbox.sh("kmh-check <stream.json").exits(0);
    // Pretty-printed, re-ordered, re-escaped: the digests are of the meaning, so nothing is mixed.
    let pretty = sandbox.sh("jq . stream.json | kmh-check --only").exits(0);
    assert_eq!(pretty.documents()["kmh.check/v1"], plain.documents()["kmh.check/v1"]);
    sandbox.sh("jq -cS . stream.json | kmh-check --only").exits(0);

    let network = sandbox.sh("kmh-bgpcfg <cluster.yaml | jq -c 'select(.kind==\"kmh.network/v1\")'").exits(0);
    assert_eq!(network.documents().keys().collect::<Vec<_>>(), ["kmh.network/v1"]);
    // What was filtered away is missed by name, with the command that makes it.
    sandbox
        .sh("kmh-bgpcfg <cluster.yaml | jq -c 'select(.kind==\"kmh.network/v1\")' | kmh-render")
        .exits(2)
        .says("kmh.inventory/v1")
        .says("hint:");
    sandbox.sh("kmh-bgpcfg <cluster.yaml | kmh-render").exits(2).says("kmh.pki/v1").says("kmh-pki ensure");
}

#[test]
fn a_mistyped_store_mints_nothing() {
    let sandbox = rendered();
    let before = sandbox.snapshot(".");
    let ran = sandbox.sh("kmh-pki --store pkii <cluster.yaml").exits(2).says("pkii").says("--init");
    assert_eq!(ran.stdout, "");
    // In the pipe: every following tool says that the one before it failed, and nothing is deployed.
    let ran = sandbox.sh("kmh-pki --store pkii <cluster.yaml | kmh-bgpcfg | kmh-render | kmh-push --store pkii --to dir:out | kmh-check");
    let ran = ran.exits(2).says("kmh-check: error: stdin is empty");
    assert_eq!(ran.stdout, "");
    assert_eq!(sandbox.snapshot("."), before);
    // A store that is there, but is another's.
    sandbox.sh("mkdir other && kmh-pki --store other <cluster.yaml").exits(2).says("--init");
    sandbox.sh("kmh-push --store other --to dir:out <stream.json").exits(2).says("other");
    assert!(!sandbox.has("out"));
}

#[test]
fn a_make_target_keeps_its_file_when_the_tool_fails() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "Makefile",
        "network.json: cluster.yaml\n\tkmh-bgpcfg -i cluster.yaml --only --write network.json\n",
    );
    sandbox.sh("make -s network.json").exits(0);
    let good = sandbox.read("network.json");
    assert!(good.starts_with(r#"{"kind":"kmh.network/v1""#));
    let time = || std::fs::metadata(sandbox.path().join("network.json")).unwrap().modified().unwrap();
    let written = time();
    sandbox.sh("kmh-bgpcfg -i cluster.yaml --only --write network.json").exits(0);
    assert_eq!(time(), written, "the same bytes were written again");

    sandbox
        .sh("sed -i 's/10.20.0.11,/10.20.1.11,/' cluster.yaml && touch -d '+1 minute' cluster.yaml")
        .exits(0);
    let ran = sandbox.sh("make -s network.json").says("10.20.1.11").says("cluster.yaml:");
    assert_ne!(ran.code, 0);
    assert_eq!(sandbox.read("network.json"), good);
    assert_eq!(std::fs::read_dir(sandbox.path()).unwrap().count(), 3, "a temporary file was left");
}

#[test]
fn one_tool_alone_takes_a_small_inventory() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "small.yaml",
        "kind: kmh.inventory/v1\n\
         spec:\n\
         \x20 cluster: {name: lab, pod_cidrs: 10.200.0.0/16, service_cidrs: 10.201.0.0/16}\n\
         \x20 sites:\n\
         \x20   - name: here\n\
         \x20     network: 10.10.0.0/24\n\
         \x20     pod_cidrs: 10.200.0.0/18\n\
         \x20     routers: [{name: gw, id: 1, kind: linux, asn: 65010, address: 10.10.0.1}]\n\
         \x20 nodes:\n\
         \x20   - {name: n1, site: here, address: 10.10.0.11}\n",
    );
    let ran = sandbox.sh("kmh-bgpcfg <small.yaml").exits(0);
    let found = ran.documents();
    let sessions = found["kmh.network/v1"]["spec"]["routers"][0]["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0]["peer"], "n1");
    // The tool that needs more says what, and where it belongs.
    sandbox.sh("kmh-pki --store pki --init <small.yaml").exits(2).says("spec.cluster.api").says("hint:");
    assert!(!sandbox.has("pki"));
}

#[test]
fn two_inventories_by_mistake_are_named() {
    let sandbox = Sandbox::new();
    sandbox.sh("sed 's/name: attic$/name: other/' cluster.yaml >old.yaml").exits(0);
    sandbox.sh("kmh-bgpcfg -i cluster.yaml -i old.yaml").exits(2).says("cluster.yaml").says("old.yaml");
    // The same one twice is no mistake.
    let ran = sandbox.sh("cp cluster.yaml same.yaml; kmh-bgpcfg -i cluster.yaml -i same.yaml").exits(0);
    assert_eq!(ran.stdout.lines().count(), 2);
    // YAML and JSON in one input: how to name two.
    sandbox
        .sh("kmh-bgpcfg <cluster.yaml >net.json; cat cluster.yaml net.json | kmh-render")
        .exits(2)
        .says("-i cluster.yaml -i -");
}

#[test]
fn a_cron_job_without_stdin_is_told_so() {
    let sandbox = Sandbox::new();
    sandbox.sh("kmh-bgpcfg").exits(2).says("stdin is empty").says("hint:");
    let closed = sandbox.sh("kmh-bgpcfg <&-").exits(2);
    assert!(closed.stderr.contains("stdin"), "{}", closed.stderr);
    // A terminal is not waited for. `script` gives one.
    let ran = sandbox.sh("timeout 10 script -qec 'kmh-bgpcfg; echo code=$?' /dev/null </dev/null");
    assert!(ran.stdout.contains("terminal") && ran.stdout.contains("code=2"), "{}", ran.stdout);
}

#[test]
fn a_reader_that_left_is_no_error() {
    let sandbox = Sandbox::new();
    let ran =
        sandbox.bash("kmh-pki --init --store pki <cluster.yaml | true; echo \"${PIPESTATUS[0]}\"").exits(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.contains("error")), ("0\n", false), "{}", ran.stderr);
}

#[test]
fn passed_documents_keep_their_bytes_and_foreign_kinds_are_left_alone() {
    let sandbox = Sandbox::new();
    let foreign = r#"{ "spec": {"b":1.50, "a": "\u00e9"},  "kind":"example.com/note", "more": [1e2] }"#;
    sandbox.write("note.json", &format!("{foreign}\n"));
    let ran = sandbox.sh("kmh-bgpcfg -i note.json -i cluster.yaml").exits(0);
    assert_eq!(ran.stdout.lines().next(), Some(foreign));
    let kinds: Vec<_> = documents(&ran.stdout).into_keys().collect();
    assert_eq!(kinds, ["example.com/note", "kmh.inventory/v1", "kmh.network/v1"]);
    sandbox.write("note.json", r#"{"kind":"kmh.netwrok/v1","spec":{}}"#);
    sandbox
        .sh("kmh-bgpcfg -i note.json -i cluster.yaml")
        .exits(2)
        .says("kmh.netwrok/v1")
        .says("kmh.network/v1");
}

#[test]
fn a_dry_run_touches_nothing_and_its_documents_go_no_further() {
    let sandbox = Sandbox::new();
    let before = sandbox.snapshot(".");
    let planned = "kmh-pki --init --store pki --dry-run <cluster.yaml | kmh-bgpcfg | kmh-render";
    let ran = sandbox.sh(&format!("{planned} | kmh-push --store pki --to dir:out --dry-run")).exits(0);
    assert_eq!(ran.documents()["kmh.push/v1"]["spec"]["changed"], true);
    assert_eq!(sandbox.snapshot("."), before);
    sandbox.sh(&format!("{planned} | kmh-push --store pki --to dir:out")).exits(2).says("--dry-run");
    assert_eq!(sandbox.snapshot("."), before);
}

#[test]
fn ansible_output_is_one_object_on_every_tool() {
    let sandbox = Sandbox::new();
    let result = |line: &str| -> serde_json::Value {
        let ran = sandbox.sh(line).exits(0);
        let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect(line);
        for key in ["changed", "failed", "msg", "diff", "documents"] {
            assert!(value.get(key).is_some(), "{line}: no {key}");
        }
        value
    };
    assert_eq!(result("kmh-pki --init --store pki -o ansible --check <cluster.yaml")["changed"], true);
    assert!(!sandbox.has("pki"));
    assert_eq!(result("kmh-pki --init --store pki -o ansible <cluster.yaml")["changed"], true);
    assert_eq!(result("kmh-pki --store pki -o ansible <cluster.yaml")["changed"], false);
    assert_eq!(result("kmh-bgpcfg -o ansible <cluster.yaml")["changed"], false);
    let failed = sandbox.sh("kmh-bgpcfg -o ansible </dev/null").exits(2);
    let failed: serde_json::Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!((&failed["failed"], &failed["changed"]), (&true.into(), &false.into()));
}

#[test]
fn a_saved_stream_is_not_pushed_with_keys_that_were_renewed_since() {
    let sandbox = rendered();
    sandbox.sh("sed 's/10.20.0.21/10.20.0.22/' cluster.yaml | kmh-pki --store pki >/dev/null").exits(0);
    let ran = sandbox.sh("kmh-push --store pki --to dir:out <stream.json").exits(2);
    // The one certificate that holds the address is the one that is named.
    let ran = ran.says("`nodes/pi-1/kubelet-serving.key` for `pi-1`").says("run the whole pipe again");
    assert_eq!(ran.stderr.matches("is not the key of").count(), 1, "{}", ran.stderr);
    assert!(!sandbox.has("out"));
    // A machine that it does not concern may be pushed.
    sandbox.sh("kmh-push --store pki --to dir:out --limit attic-1 <stream.json").exits(0);
}

#[test]
fn no_bundle_gets_a_certificate_authority_out_of_the_store() {
    let sandbox = rendered();
    sandbox.sh(
        "jq -c 'if .kind==\"kmh.bundle/v1\" then (.spec.machines[]|select(.name==\"pi-1\")|.files[]\
         |select(.path|endswith(\"kube-proxy.key\"))).content[0].secret=\"ca/cluster.key\" else . end' stream.json >bad.json",
    )
    .exits(0);
    sandbox
        .sh("kmh-push --store pki --to dir:out <bad.json")
        .exits(2)
        .says("`ca/cluster.key`")
        .says("never leaves the store");
    assert!(!sandbox.has("out"));
}
