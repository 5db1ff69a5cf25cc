//! CAs whose keys are elsewhere: requests go out, certificates come in, and keys stay where they were made.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::requests::{ask, fresh, import, openssl, read, sign, write};
use common::{Place, SMALL, certificate};
use kmh_cli::Env;
use serde_json::{Value, json};
use time::Duration;

const STORE: &[&str] = &["--store", "store"];

/// A store from which the key of the cluster's CA was moved to `offline`, a whole copy of it.
fn offline() -> Place {
    let place = Place::with_store(SMALL);
    place.sh("cp -a store offline && rm store/ca/cluster.key", "").exits(0);
    place
}

/// The small cluster, and one node more.
fn grown() -> String {
    format!("{SMALL}    - {{name: w-3, site: here, address: [10.10.0.23, 'fd00:10::23']}}\n")
}

const NEW: [&str; 3] = ["nodes/w-3/kube-proxy", "nodes/w-3/kubelet-client", "nodes/w-3/kubelet-serving"];

#[test]
fn what_is_valid_needs_no_key_of_a_ca() {
    let place = offline();
    let before = place.snapshot();
    place.pki(STORE, SMALL).exits(0);
    assert_eq!(place.snapshot(), before);
    let set = ask(&place, SMALL);
    assert_eq!(set["requests"], json!([]));
    assert_eq!(set["cluster"], "small");
    std::fs::remove_file(place.path().join("ask.json")).unwrap();
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
}

#[test]
fn a_new_node_is_asked_for_signed_elsewhere_and_imported() {
    let place = offline();
    let grown = grown();
    let before = place.files();
    let ran = place.pki(STORE, &grown).exits(3);
    assert_eq!(ran.stdout, "");
    for name in NEW {
        assert!(
            ran.stderr
                .contains(&format!("`ca/cluster` cannot sign `{name}`: the store does not hold its key")),
            "{}",
            ran.stderr
        );
    }
    assert!(ran.stderr.contains("`kmh-pki ensure --requests FILE`"), "{}", ran.stderr);
    assert_eq!(place.files(), before);

    let set = ask(&place, &grown);
    let names: Vec<_> =
        set["requests"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, NEW);
    assert!(
        set["requests"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["reason"] == "missing" && one["issuer"] == "ca/cluster")
    );
    let text = std::fs::read_to_string(place.path().join("ask.json")).unwrap();
    assert!(!text.contains("PRIVATE KEY"));
    // Asked again, the same keys wait, and not a byte differs.
    let waiting = place.snapshot();
    assert_eq!(ask(&place, &grown), set);
    assert_eq!(place.snapshot(), waiting);
    let foreign = || place.pki(&["verify", "--store", "store"], &grown).stdout.contains("file.foreign");
    assert!(!foreign());
    let files = place.files();
    for name in NEW {
        assert!(
            files.contains_key(&format!("requests/{name}.key"))
                && !files.contains_key(&format!("{name}.key"))
        );
        // openssl reads the request, and finds its signature good.
        let csr = format!("store/requests/{name}.csr");
        openssl(&place, &["req", "-in", &csr, "-noout", "-verify"]).exits(0);
    }

    // The other machine: its store is only looked at.
    let other = std::fs::read_to_string(place.path().join("offline/ca/cluster.key")).unwrap();
    let ran = sign(&place, &grown).exits(0);
    assert!(ran.stdout.starts_with("signed 3 certificates, until 20"), "{}", ran.stdout);
    assert_eq!(std::fs::read_to_string(place.path().join("offline/ca/cluster.key")).unwrap(), other);

    let ran = import(&place, &grown).exits(0);
    assert!(ran.stdout.starts_with("imported 3 certificates\n  nodes/w-3/kube-proxy\n"), "{}", ran.stdout);
    let after = place.files();
    assert!(!foreign());
    for name in NEW {
        assert_eq!(
            after[&format!("{name}.key")],
            files[&format!("requests/{name}.key")],
            "the key is another"
        );
        let crt = format!("store/{name}.crt");
        openssl(&place, &["verify", "-x509_strict", "-CAfile", "store/ca/cluster.crt", &crt]).exits(0);
        let public = |args: &[&str]| openssl(&place, args).exits(0).stdout;
        assert_eq!(
            public(&["x509", "-in", &crt, "-noout", "-pubkey"]),
            public(&["pkey", "-in", &format!("store/{name}.key"), "-pubout"])
        );
    }
    assert!(after.keys().all(|path| !path.starts_with("requests/") && path != "pending.json"));
    let before = place.snapshot();
    place.pki(STORE, &grown).exits(0);
    // A second time there is nothing to import.
    let ran = import(&place, &grown).exits(0);
    assert_eq!(ran.stdout, "nothing to import; 3 certificates were there already\n");
    assert_eq!(place.snapshot(), before);
}

/// A run in this process so many days from now.
fn later(place: &Place, days: i64, args: &[&str]) -> (u8, String, String) {
    let store = place.store();
    let args = [&["kmh-pki", "--store", store.to_str().unwrap()], args].concat();
    let (mut env, captured) = Env::fake(args, SMALL);
    env.now = time::OffsetDateTime::now_utc() + Duration::days(days);
    let exit = kmh_pki::run(&mut env);
    let text = |bytes: &std::sync::Mutex<Vec<u8>>| String::from_utf8(bytes.lock().unwrap().clone()).unwrap();
    (exit as u8, text(&captured.stdout), text(&captured.stderr))
}

#[test]
fn what_only_ends_soon_is_told_and_what_has_ended_is_refused() {
    let place = offline();
    let before = place.files();
    // Of the other CAs the keys are here: what they signed is made again.
    let (code, _, told) = later(&place, 300, &["-o", "text", "--dry-run"]);
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains("warning: `cluster/break-glass-admin` and 16 others cannot be made again"),
        "{told}"
    );
    assert!(told.contains("expires in 65 days") || told.contains("expires in 64 days"), "{told}");
    assert!(told.contains("`--requests FILE`"), "{told}");
    let (code, out, told) = later(&place, 366, &["--expired"]);
    assert_eq!((code, out.as_str()), (3, ""), "{told}");
    assert!(told.contains("is needed because: expired on"), "{told}");
    assert_eq!(place.files(), before);
    let ask = place.path().join("ask.json");
    let (code, _, told) = later(&place, 366, &["ensure", "--expired", "--requests", ask.to_str().unwrap()]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(read(&place, "ask.json")["requests"].as_array().unwrap().len(), 17);
}

#[test]
fn a_changed_inventory_makes_another_request_and_a_withdrawn_one_none() {
    let place = offline();
    let first = ask(&place, &grown());
    let moved = grown().replace("10.10.0.23", "10.10.0.33");
    let second = ask(&place, &moved);
    let csr = |set: &Value, index: usize| set["requests"][index]["csr"].clone();
    // Only the one that holds the address is new; the key that waited for the old one is in the archive.
    assert_eq!(csr(&first, 0), csr(&second, 0));
    assert_eq!(csr(&first, 1), csr(&second, 1));
    assert_ne!(csr(&first, 2), csr(&second, 2));
    let kept = |place: &Place| {
        place.everything().keys().filter(|path| path.starts_with("archive/requests/")).count()
    };
    assert_eq!(kept(&place), 2);
    let third = ask(&place, SMALL);
    assert_eq!(third["requests"], json!([]));
    assert_eq!(kept(&place), 8);
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
}

#[test]
fn a_key_on_its_machine_is_asked_for_with_its_own_request() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", "/O=system:nodes/CN=system:node:w-1", &["subjectAltName=DNS:w-1"]);
    place.pki(&["sign", "--store", "store", "--csr", "one.csr"], SMALL).exits(0);
    place.sh("cp -a store offline && rm store/ca/cluster.key", "").exits(0);
    let moved = SMALL.replace("10.10.0.21", "10.10.0.31");
    let set = ask(&place, &moved);
    assert_eq!(set["requests"].as_array().unwrap().len(), 1);
    assert_eq!(set["requests"][0]["reason"], "names differ: + 10.10.0.31, - 10.10.0.21");
    let sent = std::fs::read_to_string(place.path().join("one.csr")).unwrap();
    assert_eq!(set["requests"][0]["csr"], sent.as_str());
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
    sign(&place, &moved).exits(0);
    import(&place, &moved).exits(0);
    let name = "nodes/w-1/kubelet-serving";
    assert!(!place.files().contains_key(&format!("{name}.key")));
    let document = place.document(&moved);
    assert_eq!(certificate(&document, name).get("key"), None);
    openssl(&place, &["x509", "-in", &format!("store/{name}.crt"), "-noout", "-checkip", "10.10.0.31"])
        .exits(0);
}

/// What the machine with the CA's key says to a set that was changed on the way.
#[test]
fn a_request_set_is_judged_by_the_inventory() {
    let place = offline();
    let grown = grown();
    let set = ask(&place, &grown);
    let refused = |change: &dyn Fn(&mut Value), code: i32, says: &[&str]| {
        let mut changed = set.clone();
        change(&mut changed);
        write(&place, "ask.json", &changed);
        let ran = sign(&place, &grown).exits(code);
        assert!(!place.path().join("signed.json").exists());
        for text in says {
            assert!(ran.stderr.contains(text), "stderr lacks {text:?}:\n{}", ran.stderr);
        }
    };
    fresh(&place, "evil", "/O=system:masters/CN=root", &[]);
    let evil = std::fs::read_to_string(place.path().join("evil.csr")).unwrap();
    refused(
        &|set| {
            set["requests"][0]["csr"] = evil.clone().into();
            set["requests"][1]["csr"] = "rubbish".into();
            set["requests"][2]["name"] = "nodes/w-9/kubelet-serving".into();
        },
        2,
        &[
            "its subject is `O=system:masters, CN=root`",
            "no whole PEM file",
            "the inventory has no such certificate",
            "3 errors",
        ],
    );
    refused(
        &|set| set["requests"][0]["name"] = "ca/cluster".into(),
        2,
        &["the inventory has no such certificate"],
    );
    refused(
        &|set| set["requests"][0]["issuer"] = "ca/etcd".into(),
        2,
        &["it is asked of `ca/etcd`, and `ca/cluster` signs it"],
    );
    refused(
        &|set| set["requests"][1] = set["requests"][0].clone(),
        2,
        &["`nodes/w-3/kube-proxy` is asked for twice"],
    );
    refused(
        &|set| set["authorities"]["ca/cluster"] = "00".into(),
        2,
        &["`ca/cluster` of this store is not the one that is asked"],
    );
    refused(&|set| set["cluster"] = "other".into(), 2, &["is of cluster `other`"]);
    refused(&|set| set["kmh_requests"] = 2.into(), 2, &["it has format 2"]);
    refused(&|set| set["more"] = 2.into(), 2, &["unknown field `more`"]);
    refused(&|set| *set = json!([]), 2, &["it has no `kmh_requests`"]);
    // One key for two certificates.
    fresh(&place, "client", "/O=system:nodes/CN=system:node:w-3", &[]);
    common::requests::request(&place, "client", "/O=system:nodes/CN=system:node:w-3", &[]);
    let client = std::fs::read_to_string(place.path().join("client.csr")).unwrap();
    std::fs::copy(place.path().join("client.key"), place.path().join("serving.key")).unwrap();
    common::requests::request(
        &place,
        "serving",
        "/O=system:nodes/CN=system:node:w-3",
        &["subjectAltName=DNS:w-3"],
    );
    let serving = std::fs::read_to_string(place.path().join("serving.csr")).unwrap();
    refused(
        &|set| {
            set["requests"][1]["csr"] = client.clone().into();
            set["requests"][2]["csr"] = serving.clone().into();
        },
        2,
        &["the key of the request is that of `nodes/w-3/kubelet-client`"],
    );
    // And the machine that has not got the key either.
    write(&place, "ask.json", &set);
    std::fs::remove_file(place.path().join("offline/ca/cluster.key")).unwrap();
    refused(&|_| {}, 3, &["`ca/cluster` cannot sign", "the store does not hold its key"]);
}

/// What the store says to a signed set that was changed on the way.
#[test]
fn a_signed_set_is_believed_in_nothing() {
    let place = offline();
    let grown = grown();
    ask(&place, &grown);
    sign(&place, &grown).exits(0);
    let set = read(&place, "signed.json");
    let before = place.files();
    let refused = |change: &dyn Fn(&mut Value), says: &[&str]| {
        let mut changed = set.clone();
        change(&mut changed);
        write(&place, "signed.json", &changed);
        let ran = import(&place, &grown).exits(2);
        assert_eq!(place.files(), before, "something was touched");
        for text in says {
            assert!(ran.stderr.contains(text), "stderr lacks {text:?}:\n{}", ran.stderr);
        }
    };
    let pem = |index: usize| set["certificates"][index]["pem"].clone();
    refused(
        &|set| {
            set["certificates"][1]["pem"] = pem(2);
            set["certificates"][2]["pem"] = pem(1);
        },
        &[
            "it is for another key than the one that waits",
            "names differ: - 10.10.0.23",
            "usage differs",
            "6 errors",
        ],
    );
    refused(&|set| set["certificates"][1] = set["certificates"][0].clone(), &["it is there twice"]);
    refused(
        &|set| set["certificates"][0]["name"] = "nodes/w-9/kube-proxy".into(),
        &["the inventory has no such certificate"],
    );
    refused(&|set| set["certificates"][0]["pem"] = "x".into(), &["the certificate cannot be read"]);
    refused(&|set| set["store"] = "00".into(), &["was asked for by another store"]);
    refused(&|set| set["kmh_signed"] = json!(null), &["it is no signed set"]);
    let own = String::from_utf8(before["ca/cluster.crt"].clone()).unwrap();
    refused(
        &|set| set["certificates"][0] = json!({"name": "nodes/w-1/kube-proxy", "pem": own}),
        &["no request of this store waits for it", "claims to be a CA"],
    );
    // Another CA of the same name.
    let other = Place::with_store(&grown);
    let theirs = String::from_utf8(other.files()["nodes/w-3/kube-proxy.crt"].clone()).unwrap();
    refused(
        &|set| set["certificates"][0]["pem"] = theirs.clone().into(),
        &["it is for another key than the one that waits", "signed by another CA than ca/cluster"],
    );
    write(&place, "signed.json", &set);
    import(&place, &grown).exits(0);
}

#[test]
fn a_kill_at_any_moment_loses_no_key() {
    let grown = grown();
    let place = offline();
    std::fs::write(place.path().join("cluster.yaml"), &grown).unwrap();
    ask(&place, &grown);
    sign(&place, &grown).exits(0);
    place.sh("cp -a store asked", "").exits(0);
    let keys: Vec<Vec<u8>> =
        NEW.iter().map(|name| place.files()[&format!("requests/{name}.key")].clone()).collect();
    let mut killed = 0;
    for micros in (0..30).map(|step| step * 700) {
        place.sh("rm -rf store && cp -a asked store", "").exits(0);
        let mut child = place
            .command(&["import", "--signed", "signed.json", "--store", "store", "-i", "cluster.yaml"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(micros));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        import(&place, &grown).exits(0);
        let files = place.files();
        for (name, key) in NEW.iter().zip(&keys) {
            assert_eq!(&files[&format!("{name}.key")], key, "{name}, after {micros} µs");
        }
        assert!(files.keys().all(|path| !path.starts_with("requests/") && !path.contains("kmh-new")));
        place.pki(STORE, &grown).exits(0);
    }
    assert!(killed >= 5, "only {killed} of 30 runs were killed");
}

#[test]
fn a_dry_run_asks_signs_and_imports_nothing() {
    let place = offline();
    let grown = grown();
    let before = place.snapshot();
    let ran = place
        .pki(&["ensure", "--store", "store", "--requests", "ask.json", "--dry-run", "-o", "text"], &grown)
        .exits(0);
    assert!(ran.stdout.contains("ASKED OF ITS CA"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("3 certificates have to be signed by a CA whose key is elsewhere"),
        "{}",
        ran.stdout
    );
    assert_eq!(place.snapshot(), before);
    ask(&place, &grown);
    let args = [
        "sign",
        "--requests",
        "ask.json",
        "--to",
        "signed.json",
        "--store",
        "offline",
        "-o",
        "text",
        "--dry-run",
    ];
    let ran = place.pki(&args, &grown).exits(0);
    assert!(ran.stdout.starts_with("would sign 3 certificates"), "{}", ran.stdout);
    assert!(!place.path().join("signed.json").exists());
    sign(&place, &grown).exits(0);
    let before = place.snapshot();
    let ran = place
        .pki(&["import", "--signed", "signed.json", "--store", "store", "-o", "text", "--dry-run"], &grown)
        .exits(0);
    assert!(ran.stdout.starts_with("would import 3 certificates"), "{}", ran.stdout);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_set_replaces_an_earlier_one_of_its_store_alone() {
    let place = offline();
    let grown = grown();
    place.pki(&["--store", "other", "--init"], SMALL).exits(0);
    place.sh("mv other/ca/cluster.key other.key", "").exits(0);
    let set = ["ensure", "--requests", "ask.json", "--store"];
    let sign = ["sign", "--requests", "ask.json", "--store", "offline", "--to"];
    let read = |file: &str| std::fs::read(place.path().join(file)).unwrap();
    // Another store's, a signed set, something else: none is replaced, and no key is made for what is not written.
    place.pki(&[&set[..], &["other"]].concat(), &grown).exits(0);
    let before = place.files();
    let refuse = || {
        let was = read("ask.json");
        for more in [&["store"][..], &["store", "--dry-run"]] {
            let ran = place.pki(&[&set[..], more].concat(), &grown).exits(2);
            ran.says("`ask.json` is there already, and is no request set of this store")
                .says("hint: name another file; `--force` replaces this one");
        }
        assert!(read("ask.json") == was);
        assert_eq!(place.files(), before);
    };
    refuse();
    std::fs::write(place.path().join("ask.json"), "{\"kmh_signed\":1}").unwrap();
    refuse();
    // A store that the run would make has asked for nothing yet.
    let new = ["ensure", "--requests", "ask.json", "--init", "--store", "new"];
    place.pki(&new, &grown).exits(2).says("is no request set of this store");
    assert!(!place.path().join("new").exists());
    place.pki(&[&set[..], &["store", "--force"]].concat(), &grown).exits(0);
    place.pki(&[&set[..], &["store"]].concat(), &grown).exits(0);

    // The same of what was signed.
    let ask = read("ask.json");
    for file in ["ask.json", "inventory", "offline.key"] {
        std::fs::write(place.path().join("inventory"), &grown).unwrap();
        std::fs::write(place.path().join("offline.key"), "key").unwrap();
        let was = read(file);
        let ran = place.pki(&[&sign[..], &[file]].concat(), &grown).exits(2);
        ran.says(&format!("`{file}` is there already, and is no signed set for the same store"));
        assert!(read(file) == was);
    }
    place.pki(&[&sign[..], &["signed.json"]].concat(), &grown).exits(0);
    place.pki(&[&sign[..], &["signed.json"]].concat(), &grown).exits(0);
    place.pki(&[&sign[..], &["offline.key", "--force"]].concat(), &grown).exits(0);
    assert!(read("ask.json") == ask);
}

#[test]
fn a_set_that_cannot_be_written_leaves_no_keys_that_wait() {
    let place = offline();
    let grown = grown();
    std::fs::create_dir(place.path().join("folder")).unwrap();
    std::fs::write(place.path().join("inventory"), &grown).unwrap();
    let before = place.files();
    for (file, says) in [
        ("gone/ask.json", "there is no directory `gone`"),
        ("folder", "it is a directory"),
        ("-", "stdout carries the documents"),
    ] {
        let ran = place.pki(&["ensure", "--store", "store", "--requests", file], &grown).exits(2);
        assert_eq!(ran.stdout, "");
        ran.says(says);
        assert_eq!(place.files(), before, "{file}");
    }
    // Room for a key and for a request, not for all of them in one file.
    let line =
        "trap '' XFSZ; ulimit -f 1; $PKI ensure --requests ask.json --store store -i inventory -o text";
    place.sh(line, "").exits(3).says("cannot write `ask.json`");
    assert_eq!(place.files(), before);
    ask(&place, &grown);
}

#[test]
fn sets_go_through_pipes() {
    let place = offline();
    let grown = grown();
    ask(&place, &grown);
    std::fs::write(place.path().join("inventory"), &grown).unwrap();
    let line = "set -o pipefail; $PKI sign --requests - --to - --store offline -i inventory <ask.json |
        $PKI import --signed - --store store -i inventory -o text";
    let ran = place.sh(line, "").exits(0);
    assert!(ran.stdout.starts_with("imported 3 certificates\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("signed 3 certificates, until 20"), "{}", ran.stderr);
    for verb in [&["sign", "--requests", "-", "--to", "-"][..], &["import", "--signed", "-"]] {
        let ran = place.pki(&[verb, &["--store", "store"]].concat(), &grown).exits(2);
        ran.says(&format!("`{} -` reads stdin, and so does the inventory", verb[1]));
    }
    // Files that were swapped are called by what they are.
    place.sh("cp store/nodes/w-3/kube-proxy.key a.key && openssl req -new -key a.key -subj /CN=x -out a.csr && $PKI sign --requests ask.json --to signed.json --store offline -i inventory", "").exits(0);
    let sign =
        |file: &str| place.pki(&["sign", "--requests", file, "--to", "x", "--store", "offline"], &grown);
    let import = |file: &str| place.pki(&["import", "--signed", file, "--store", "store"], &grown);
    std::fs::write(place.path().join("empty"), "\n").unwrap();
    sign("signed.json").exits(2).says("it is a signed set, which `kmh-pki import --signed` takes in");
    sign("a.csr").exits(2).says("the request of one machine is signed by `kmh-pki sign --csr`");
    sign("empty").exits(2).says("caused by: it is empty");
    import("ask.json").exits(2).says("it is a request set, which `kmh-pki sign --requests` signs");
    import("a.csr").exits(2).says("it holds a request: what is taken in is the certificate");
    import("a.key").exits(2).says("it holds a private key, and only certificates are taken in");
    import("empty").exits(2).says("caused by: it is empty");
    place
        .pki(&["import", "--signed", "-", "--store", "store", "-i", "inventory"], "{}")
        .exits(2)
        .says("`stdin` is no signed set");
}
