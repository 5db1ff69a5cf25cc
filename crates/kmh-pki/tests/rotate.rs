//! Rotations in a real store: each stage, what it refuses and what it says. Kills are in `crash.rs`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{Place, Ran, SMALL, certificate};
use serde_json::Value;

const ALL: [&str; 6] = ["cluster", "encryption", "etcd", "front-proxy", "ipsec", "service-account"];
const AUTHORITIES: [&str; 4] = ["cluster", "etcd", "front-proxy", "ipsec"];

/// One stage on, because we say so.
#[track_caller]
fn on(place: &Place, name: &str) -> Value {
    said(&rotate(place, &step(place, name)).exits(0))
}

/// The arguments of a next step: nothing can be deployed of what has not begun.
fn step<'a>(place: &Place, name: &'a str) -> Vec<&'a str> {
    let generation =
        |file: &String| ["next", "old"].iter().any(|one| file.contains(&format!("/{name}.{one}.")));
    if place.files().keys().any(generation) { vec![name, "--deployed"] } else { vec![name] }
}

fn rotate(place: &Place, args: &[&str]) -> Ran {
    place.pki(&[&["rotate"], args, &["--store", "store", "-o", "json"]].concat(), SMALL)
}

#[track_caller]
fn said(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}", ran = ran.stdout))
}

/// `ensure`: name and reason of everything that is made.
#[track_caller]
fn ensure(place: &Place) -> Vec<(String, String)> {
    let ran = place.pki(&["--store", "store", "-o", "ansible"], SMALL).exits(0);
    let result: Value = serde_json::from_str(&ran.stdout).unwrap();
    let why = |one: &Value| {
        let lines = one["after"].as_str().unwrap().lines().map(ToOwned::to_owned).collect::<Vec<_>>();
        lines.iter().find_map(|line| line.strip_prefix("why: ").map(ToOwned::to_owned)).unwrap()
    };
    let diff = result["diff"].as_array().unwrap().iter();
    diff.map(|one| (one["after_header"].as_str().unwrap().to_owned(), why(one))).collect()
}

fn generations(place: &Place, subject: &str) -> BTreeSet<String> {
    let files = place.files().into_keys();
    files.filter(|file| file.starts_with(subject)).collect()
}

/// The stage that the document and the overview say.
#[track_caller]
fn stages(place: &Place) -> Vec<(String, String)> {
    let pair =
        |one: &Value, name: &str| Some((one[name].as_str()?.to_owned(), one["stage"].as_str()?.to_owned()));
    let list = |value: &Value, name: &str| -> Vec<_> {
        value.as_array().into_iter().flatten().filter_map(|one| pair(one, name)).collect()
    };
    let document = list(&place.document(SMALL)["spec"]["rotations"], "name");
    let overview = list(&said(&rotate(place, &[]).exits(0))["rotations"], "rotation");
    assert_eq!(document, overview);
    document
}

#[test]
fn a_ca_goes_through_its_stages_and_ensure_keeps_each() {
    for name in AUTHORITIES {
        let place = Place::with_store(SMALL);
        let subject = format!("ca/{name}");
        let file =
            |ending: &str| std::fs::read_to_string(place.store().join(format!("{subject}{ending}"))).unwrap();
        let (old, old_key) = (file(".crt"), file(".key"));
        let before = place.document(SMALL);
        let leaves: BTreeSet<String> = before["spec"]["certificates"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["issuer"] == subject)
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        assert!(!leaves.is_empty());

        on(&place, name);
        assert_eq!(stages(&place), [(name.to_owned(), "trust".to_owned())]);
        assert_eq!(ensure(&place), []);
        let next = file(".next.crt");
        assert_eq!(file(".crt"), old);
        let document = place.document(SMALL);
        assert_eq!(certificate(&document, &format!("{subject}.next"))["pem"], next);
        let called = |name: &str| certificate(&document, name)["common_name"].as_str().unwrap().to_owned();
        // pfSense tells the tunnels' CAs apart by their names.
        let number = if name == "ipsec" { " 2" } else { "" };
        assert_eq!(called(&format!("{subject}.next")), called(&subject) + number);

        on(&place, name);
        assert_eq!(
            (file(".crt"), file(".old.crt"), file(".old.key")),
            (next.clone(), old.clone(), old_key.clone())
        );
        // Leaves are due, and until they are made nothing goes on.
        let ran = rotate(&place, &[name, "--deployed"]).exits(1);
        assert!(
            said(&ran)["refused"][0]["what"].as_str().unwrap().contains("to be made first"),
            "{}",
            ran.stdout
        );
        let made = ensure(&place);
        assert_eq!(made.iter().map(|(leaf, _)| leaf.clone()).collect::<BTreeSet<_>>(), leaves);
        assert!(made.iter().all(|(_, why)| why == "issued by a retired CA"), "{made:?}");
        assert_eq!(ensure(&place), []);
        assert_eq!(stages(&place), [(name.to_owned(), "issue".to_owned())]);

        on(&place, name);
        assert_eq!(stages(&place), []);
        assert_eq!(ensure(&place), []);
        let both = [format!("{subject}.crt"), format!("{subject}.key")];
        assert_eq!(generations(&place, &subject), BTreeSet::from(both));
        assert_eq!(file(".crt"), next);
        // Nothing is lost: the old pair and the old leaves are in the archive.
        let archive: Vec<_> =
            place.everything().into_iter().filter(|(path, _)| path.starts_with("archive/")).collect();
        for bytes in [old.as_bytes(), old_key.as_bytes()] {
            assert!(archive.iter().any(|(_, held)| held == bytes), "{name}");
        }
        assert_eq!(place.document(SMALL)["spec"].get("rotations"), None);
    }
}

#[test]
fn the_generations_of_the_tunnels_ca_have_names_of_their_own() {
    let place = Place::with_store(SMALL);
    let called = |name: &str| {
        let document = place.document(SMALL);
        certificate(&document, name)["common_name"].as_str().unwrap().to_owned()
    };
    let mut current = "kmh-ipsec-ca".to_owned();
    for number in 2..4 {
        let next = format!("kmh-ipsec-ca {number}");
        on(&place, "ipsec");
        assert_eq!([called("ca/ipsec"), called("ca/ipsec.next")], [current.as_str(), &next]);
        on(&place, "ipsec");
        assert_eq!([called("ca/ipsec"), called("ca/ipsec.old")], [next.as_str(), &current]);
        ensure(&place);
        // A number is no other CA's name: nobody has anything to say of it.
        let said = place.pki(&["verify", "--store", "store", "-o", "json"], SMALL).exits(0).stdout;
        for id in ["wanted.subject", "chain.anchor", "among."] {
            assert!(!said.contains(id), "{said}");
        }
        on(&place, "ipsec");
        let ran = place.pki(&["verify", "--strict", "--store", "store", "-o", "json"], SMALL).exits(0);
        assert!(!ran.stdout.contains("wanted.subject"), "{}", ran.stdout);
        place.pki(&["--strict", "--store", "store"], SMALL).exits(0);
        place.pki(&["status", "--store", "store"], SMALL).exits(0);
        current = next;
    }
    // What was taken back leaves its number.
    on(&place, "ipsec");
    assert_eq!(called("ca/ipsec.next"), "kmh-ipsec-ca 4");
    rotate(&place, &["ipsec", "--abort"]).exits(0);
    on(&place, "ipsec");
    assert_eq!(called("ca/ipsec.next"), "kmh-ipsec-ca 4");
}

#[test]
fn keys_go_through_their_stages() {
    let place = Place::with_store(SMALL);
    let held = |name: &str| std::fs::read(place.store().join(format!("keys/{name}.key"))).unwrap();
    let entry = |document: &Value, name: &str| {
        let keys = document["spec"]["keys"].as_array().unwrap();
        keys.iter().find(|key| key["name"] == name).unwrap().clone()
    };
    for (name, [first, second]) in
        [("encryption", ["add", "promote"]), ("service-account", ["trust", "sign"])]
    {
        let subject = format!("keys/{name}");
        let old = held(name);
        let id = entry(&place.document(SMALL), &subject)["id"].clone();
        on(&place, name);
        assert_eq!(stages(&place), [(name.to_owned(), first.to_owned())]);
        assert_eq!(ensure(&place), []);
        let next = held(&format!("{name}.next"));
        let next_id = entry(&place.document(SMALL), &format!("{subject}.next"))["id"].clone();
        assert_ne!(old, next);
        on(&place, name);
        assert_eq!((held(name), held(&format!("{name}.old"))), (next, old.clone()));
        assert_eq!(stages(&place), [(name.to_owned(), second.to_owned())]);
        assert_eq!(ensure(&place), []);
        // A key is called what it was called.
        let document = place.document(SMALL);
        assert_eq!(entry(&document, &subject)["id"], next_id);
        assert_eq!(entry(&document, &format!("{subject}.old"))["id"], id);
        assert_eq!(id.is_string(), name == "encryption");
        on(&place, name);
        assert_eq!(stages(&place), []);
        assert_eq!(ensure(&place), []);
        assert!(place.everything().iter().any(|(path, bytes)| path.starts_with("archive/") && *bytes == old));
    }
}

#[test]
fn a_rotation_is_taken_back_while_nobody_uses_what_is_new() {
    for name in ALL {
        let place = Place::with_store(SMALL);
        let before = place.document(SMALL);
        on(&place, name);
        let answer = said(&rotate(&place, &[name, "--abort"]).exits(0));
        assert_eq!((&answer["was"], &answer["stage"]), (&answer["was"], &Value::Null));
        assert_eq!(place.document(SMALL), before, "{name}");
        assert!(
            place.everything().keys().any(|path| path.starts_with("archive/") && path.contains(".next.")),
            "{name}"
        );
        // And begins again, with another key.
        on(&place, name);
        on(&place, name);
        let ran = rotate(&place, &[name, "--abort"]).exits(1);
        assert!(ran.stdout.contains("has gone too far"), "{}", ran.stdout);
    }
}

#[test]
fn a_dry_run_says_the_same_and_touches_nothing() {
    let place = Place::with_store(SMALL);
    for _ in 0..3 {
        let before = place.snapshot();
        let dry = said(&rotate(&place, &[&step(&place, "etcd")[..], &["--dry-run"]].concat()).exits(0));
        assert_eq!(place.snapshot(), before);
        let mut done = on(&place, "etcd");
        assert_eq!(done["dry_run"], false);
        done["dry_run"] = true.into();
        assert_eq!(dry, done);
        ensure(&place);
    }
}

#[test]
fn two_rotations_do_not_disturb_each_other() {
    let place = Place::with_store(SMALL);
    on(&place, "service-account");
    on(&place, "service-account");
    on(&place, "etcd");
    on(&place, "cluster");
    on(&place, "etcd");
    let made = ensure(&place);
    assert!(made.iter().all(|(name, _)| name.contains("etcd")), "{made:?}");
    let names = |stage: &str| {
        (stage.split('/').next().unwrap().to_owned(), stage.split('/').nth(1).unwrap().to_owned())
    };
    assert_eq!(stages(&place), ["cluster/trust", "etcd/issue", "service-account/sign"].map(names));
}

#[test]
fn what_is_refused_leaves_the_store_as_it_was() {
    let place = Place::with_store(SMALL);
    on(&place, "etcd");
    let before = place.snapshot();
    let cases: [(&[&str], &str); 3] = [
        (
            &["etcd"],
            "stage `trust` of `etcd` is not known to be deployed: the stream has no report of a push",
        ),
        (&["cluster", "--abort"], "no rotation of `cluster` is under way"),
        (&["front-proxy", "--limit", "w-1"], ""),
    ];
    for (args, what) in cases {
        let ran = rotate(&place, args);
        if what.is_empty() {
            ran.exits(2).says("takes no `--limit`");
        } else {
            assert_eq!(said(&ran.exits(1))["refused"][0]["what"], what);
        }
        assert_eq!(place.snapshot(), before);
    }
    place.pki(&["rotate", "nothing", "--store", "store"], SMALL).exits(2).says("invalid value 'nothing'");
    place.pki(&["rotate", "--deployed", "--store", "store"], SMALL).exits(2).says("<NAME>");
    place.pki(&["rotate", "etcd", "--store", "other", "--init"], SMALL).exits(2).says("does not exist");
    // In text the reason and the hint stand on standard output, as every answer.
    let text = place.pki(&["rotate", "etcd", "--store", "store", "-o", "text"], SMALL).exits(1).stdout;
    assert!(text.contains("does not go on:") && text.contains("hint: push, and give this command"), "{text}");
}

#[test]
fn the_new_ca_needs_its_key_to_sign_and_a_lost_one_is_seen() {
    let place = Place::with_store(SMALL);
    on(&place, "etcd");
    std::fs::rename(place.store().join("ca/etcd.next.key"), place.path().join("away")).unwrap();
    let ran = rotate(&place, &["etcd", "--deployed"]).exits(1);
    assert_eq!(
        said(&ran)["refused"][0]["what"],
        "the store does not hold the key of `ca/etcd.next`, which is to sign from now on"
    );
    std::fs::rename(place.path().join("away"), place.store().join("ca/etcd.next.key")).unwrap();
    on(&place, "etcd");
    // Without the new key nothing can be issued, so what the old CA signed stays, and the old CA with it.
    std::fs::rename(place.store().join("ca/etcd.key"), place.path().join("away")).unwrap();
    let ran = rotate(&place, &["etcd", "--deployed"]).exits(1);
    let what = said(&ran)["refused"][0]["what"].as_str().unwrap().to_owned();
    assert!(what.contains("of what the store holds is of the old CA"), "{what}");
    // A generation that was lost is never made again by itself.
    std::fs::remove_file(place.store().join("ca/etcd.old.crt")).unwrap();
    place.pki(&["--store", "store"], SMALL).exits(3).says("CA `ca/etcd.old` has a key and no certificate");
}

#[test]
fn an_expired_ca_can_still_be_replaced() {
    use kmh_cli::{Env, Exit};
    use time::macros::datetime;
    let place = Place::new();
    let at = |now, args: &[&str]| {
        let store = place.store();
        let args = [&["kmh-pki"], args, &["--store", store.to_str().unwrap()]].concat();
        let (mut env, captured) = Env::fake(args, SMALL);
        env.now = now;
        let exit = kmh_pki::run(&mut env);
        (exit, captured.stdout_text(), captured.stderr_text())
    };
    assert_eq!(at(datetime!(2027-01-01 0:00 UTC), &["--init"]).0, Exit::Done);
    let late = datetime!(2037-06-01 0:00 UTC);
    assert_eq!(at(late, &[]).0, Exit::World);
    // The CAs are all of one day. One after the other, and `ensure` works again.
    let (exit, _, stderr) = at(late, &["rotate", "etcd"]);
    assert_eq!(exit, Exit::World);
    assert!(stderr.contains("if it is ahead, set it; if it is right, `--expired`"), "{stderr}");
    for name in AUTHORITIES {
        for step in
            [&["rotate", name, "--expired", "-o", "text"][..], &["rotate", name, "--expired", "--deployed"]]
        {
            let (exit, stdout, stderr) = at(late, step);
            assert_eq!(exit, Exit::Done, "{stdout}{stderr}");
            // Until leaves are made, every call has to say it.
            assert!(stdout.contains(" --expired -i INVENTORY | kmh-bgpcfg"), "{stdout}");
        }
    }
    let (exit, stdout, stderr) = at(late, &["--expired", "--only"]);
    assert_eq!(exit, Exit::Done, "{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let all = document["spec"]["certificates"].as_array().unwrap();
    for one in all.iter().filter(|one| !one["name"].as_str().unwrap().contains(".old")) {
        assert!(one["not_after"].as_str().unwrap() > "2038", "{one}");
    }
    for name in AUTHORITIES {
        assert_eq!(at(late, &["rotate", name, "--deployed"]).0, Exit::Done);
    }
}

#[test]
fn what_must_follow_is_told_machine_by_machine() {
    let place = Place::with_store(SMALL);
    let answer = on(&place, "etcd");
    let todo = answer["todo"].as_array().unwrap();
    let kinds: Vec<_> = todo.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["document", "push", "deploy-one", "next"]);
    assert_eq!(todo[2]["machines"], serde_json::json!(["cp-1"]));
    let units: Vec<_> = todo[2]["units"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["unit"].as_str().unwrap(), one["action"].as_str().unwrap()))
        .collect();
    assert_eq!(units, [("etcd.service", "restart"), ("kube-apiserver.service", "restart")]);
    // When the new CA begins to sign, only pairs change, and etcd reads these at each handshake.
    let answer = on(&place, "etcd");
    let todo = answer["todo"].as_array().unwrap();
    assert_eq!(todo.iter().filter(|one| one.get("units").is_some()).count(), 0, "{answer}");
    let alone = todo[2]["by_themselves"].as_array().unwrap();
    assert!(alone.iter().any(|one| one == "etcd: peer-transport-security.cert-file"), "{alone:?}");
    let text = |args: &[&str]| {
        place.pki(&[&["rotate"], args, &["--store", "store", "-o", "text"]].concat(), SMALL).exits(0).stdout
    };
    let cluster = text(&["cluster"]);
    for line in [
        "kubectl rollout restart",
        "restart kube-controller-manager.service (kube-controller-manager:",
        "reload haproxy.service (haproxy: ca-file)",
    ] {
        assert!(cluster.contains(line), "{cluster}");
    }
    let added = text(&["encryption"]);
    assert!(added.contains("make the documents anew; nothing is issued for it. INVENTORY"), "{added}");
    assert!(added.contains(". wait until every API server has read the file again"), "{added}");
    let promoted = text(&["encryption", "--deployed"]);
    assert!(
        promoted.contains("$ kubectl get secrets --all-namespaces -o json | kubectl replace -f -"),
        "{promoted}"
    );
    let trusted = text(&["service-account"]);
    let signs = text(&["service-account", "--deployed"]);
    assert!(signs.contains("--service-account-extend-token-expiration"), "{signs}");
    // One push does it all, wherever it is.
    for answer in [&cluster, &promoted, &trusted, &signs] {
        let pushes = commands(answer).iter().filter(|line| line.ends_with("--to ssh")).count();
        assert_eq!(pushes, 1, "{answer}");
    }
    let overview = text(&[]);
    assert!(overview.contains("ROTATION"), "{overview}");
}

/// What it prints to copy.
fn commands(answer: &str) -> Vec<String> {
    answer.lines().filter_map(|line| line.trim().strip_prefix("$ ").map(ToOwned::to_owned)).collect()
}

#[test]
fn the_commands_name_the_store_the_identity_and_the_inventory_of_this_run() {
    let place = Place::new();
    let to = place.sh("age-keygen -o 'my id' 2>/dev/null && age-keygen -y 'my id'", "").exits(0).stdout;
    std::fs::write(place.path().join("the cluster.yaml"), SMALL).unwrap();
    let run = |args: &[&str], stdin: &str| {
        let given = ["--store", "its $store", "--identity", "my id", "-o", "text"];
        place.pki(&[args, &given].concat(), stdin).exits(0).stdout
    };
    run(&["--init", "--recipient", to.trim()], SMALL);
    let options = "--store 'its $store' --store-identity 'my id'";
    let documents = format!("kmh-pki {options} -i 'the cluster.yaml' | kmh-bgpcfg | kmh-render >stream.json");
    let push = format!("kmh-push -i stream.json {options} --to ssh");
    let next = format!("{push} | kmh-check | kmh-pki rotate etcd {options} -i 'the cluster.yaml' -i -");
    let begun = run(&["rotate", "etcd", "-i", "the cluster.yaml"], "");
    let printed = commands(&begun);
    assert_eq!(printed.first(), Some(&documents));
    assert_eq!(printed.last(), Some(&next));
    assert!(printed.contains(&push), "{begun}");
    // They work as they stand; of those of other tools, what reads this one's options.
    let first = documents.split(" | ").next().unwrap().replacen("kmh-pki", "$PKI", 1);
    let issued = run(&["rotate", "etcd", "--deployed", "-i", "the cluster.yaml"], "");
    let stream = place.sh(&first, "").exits(0).stdout;
    assert!(stream.contains("kmh.pki/v1"), "{stream}");
    // The same inventory in the stream and in the file is one.
    let last = next.rsplit(" | ").next().unwrap().replacen("kmh-pki", "$PKI", 1);
    let answer = place.sh(&format!("{last} -o text"), &stream).exits(1).stdout;
    assert!(answer.contains("the stream has no\n  report of a push"), "{answer}");
    // Nobody knows how the file of what comes in a stream is called.
    assert!(issued.contains(&documents), "{issued}");
    let piped = run(&["rotate", "service-account"], SMALL);
    let printed = commands(&piped);
    assert_eq!(
        printed.first().unwrap(),
        &format!("kmh-pki {options} -i INVENTORY | kmh-bgpcfg | kmh-render >stream.json")
    );
    assert_eq!(
        printed.last().unwrap(),
        &format!("{push} | kmh-check | kmh-pki rotate service-account {options}")
    );
    assert!(
        piped.contains("\n 1. make the documents anew; nothing is issued for it. INVENTORY stands for"),
        "{piped}"
    );
}

#[test]
fn what_is_not_heeded_is_refused() {
    let place = Place::with_store(SMALL);
    let before = place.snapshot();
    let cases: [(&[&str], &str, &str); 6] = [
        (
            &["etcd", "--deployed"],
            "no rotation of `etcd` is under way, so nothing of it is deployed",
            "without `--deployed`, `kmh-pki rotate etcd` begins one",
        ),
        (
            &["encryption", "--deployed", "--dry-run"],
            "no rotation of `encryption` is under way",
            "without `--deployed`, ",
        ),
        (&["etcd", "--repair"], "a rotation mends no modes", "`kmh-pki ensure --repair` mends those"),
        (&["etcd", "--recipient", "age1x"], "takes neither `--recipient` nor", "`kmh-pki ensure --recipient"),
        (
            &["etcd", "--limit", "w-1"],
            "takes no `--limit`",
            "leave it out; `kmh-push --limit` chooses machines",
        ),
        (&["--expired"], "`--expired` says nothing", "leave it out"),
    ];
    for (args, what, hint) in cases {
        let ran = rotate(&place, args).exits(2).says(what).says(&format!("hint: {hint}"));
        assert_eq!(ran.stdout, "");
        assert_eq!(place.snapshot(), before);
    }
    // A warning with `--strict` comes before anything is made.
    let odd = SMALL.replace("roles: [control-plane, etcd]}", "roles: [control-plane, etcd, worker]}");
    let two = odd.replace("{name: w-1, site: here,", "{name: w-1, site: here, roles: [etcd, worker],");
    let ran = place.pki(&["rotate", "cluster", "--strict", "--store", "store"], &two);
    assert_eq!((ran.code, place.snapshot() == before), (1, true), "{}", ran.stderr);
    ran.says("with --strict");
    // Quiet is what is said beside the answer.
    let ran = rotate(&place, &["etcd", "-q"]).exits(0);
    assert_eq!((ran.stderr.as_str(), said(&ran)["changed"].as_bool()), ("", Some(true)));
}

#[test]
fn the_list_says_what_would_be_refused_and_why() {
    let place = Place::new();
    let cluster = common::article();
    place.pki(&["--store", "store", "--init"], &cluster).exits(0);
    place.pki(&["rotate", "etcd", "--store", "store"], &cluster).exits(0);
    place.pki(&["rotate", "etcd", "--deployed", "--store", "store"], &cluster).exits(0);
    let list = |form: &str| place.pki(&["rotate", "--store", "store", "-o", form], &cluster).exits(0);
    let text = list("text").stdout;
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let why =
        "`nodes/attic-1/apiserver-etcd-client` to `nodes/vps-1/etcd-server` are to be made first, 12 in all";
    assert!(line("etcd").ends_with(&format!("refused: {why}")), "{text}");
    assert!(line("ipsec").ends_with("a next CA is made, and trusted beside this one"), "{text}");
    let rows = said(&list("json"))["rotations"].as_array().unwrap().clone();
    let refused: Vec<_> =
        rows.iter().filter_map(|row| Some((row["rotation"].as_str()?, row["refused"].as_str()?))).collect();
    assert_eq!(refused, [("etcd", why)]);
}

#[test]
fn ensure_names_the_units_of_what_it_renewed() {
    let place = Place::with_store(SMALL);
    on(&place, "cluster");
    on(&place, "cluster");
    let ran = place.pki(&["--store", "store", "-v"], SMALL).exits(0);
    let line = ran
        .stderr
        .lines()
        .find(|line| line.contains("told by the next push"))
        .unwrap_or_else(|| panic!("{}", ran.stderr));
    // Without a version of Kubernetes in the inventory, the oldest is meant.
    for unit in ["restart kube-apiserver.service on cp-1", "restart kubelet.service on cp-1, w-1, w-2"] {
        assert!(line.contains(unit), "{line}");
    }
    // What is new is in no process yet.
    let place = Place::new();
    let ran = place.pki(&["--store", "store", "--init", "-v"], SMALL).exits(0);
    assert!(!ran.stderr.contains("told by the next push"), "{}", ran.stderr);
}

#[test]
fn a_store_that_is_encrypted_is_rotated_and_its_keys_keep_their_names() {
    let place = Place::new();
    let to = place.sh("age-keygen -o id 2>/dev/null && age-keygen -y id", "").exits(0).stdout;
    place.pki(&["--store", "store", "--init", "--recipient", to.trim()], SMALL).exits(0);
    let id = |name: &str| {
        // Without an identity: what is needed of an encryption key is beside it.
        let document = place.document(SMALL);
        let keys = document["spec"]["keys"].as_array().unwrap().clone();
        keys.iter().find(|key| key["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let old = id("keys/encryption");
    on(&place, "encryption");
    let next = id("keys/encryption.next");
    on(&place, "encryption");
    assert_eq!((id("keys/encryption"), id("keys/encryption.old")), (next.clone(), old));
    on(&place, "encryption");
    assert_eq!(id("keys/encryption"), next);
    // What stands beside it is believed of this very file only.
    let beside = place.store().join("keys/encryption.pub");
    let text = std::fs::read_to_string(&beside).unwrap();
    std::fs::write(&beside, text.replace("SHA-256 ", "SHA-256 0")).unwrap();
    place.pki(&["--store", "store"], SMALL).exits(3).says("its public half is missing, or of another file");
    std::fs::write(&beside, text).unwrap();
    for _ in 0..2 {
        on(&place, "etcd");
    }
    // To issue needs the new CA's key.
    place.pki(&["--store", "store"], SMALL).exits(2).says("no identity was named that opens it");
    place.pki(&["--store", "store", "--identity", "id"], SMALL).exits(0);
    on(&place, "etcd");
    assert_eq!(stages(&place), []);
    let names: Vec<_> =
        place.everything().into_keys().filter(|path| path.split('.').next_back() == Some("key")).collect();
    assert!(names.is_empty(), "{names:?}");
}
