//! A root whose key is elsewhere, ours or a company's: CAs below it are asked for, signed there and imported, the next
//! generations of rotations too.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::requests::{ask, import, openssl, read, sign, write};
use common::roots::*;
use common::{Place, certificate};
use serde_json::{Value, json};

#[test]
fn a_companys_root_signs_the_cas_and_the_rest_is_made_here() {
    let inventory = rooted();
    let place = company("critical,CA:TRUE");
    let ran = place.pki(&["--store", "store", "--init"], &inventory).exits(3);
    for name in BELOW {
        let what = format!("`ca/root` cannot sign `{name}`: the store does not hold its key");
        let hint = format!(
            "hint: `{name}` is needed because: missing; `kmh-pki ensure --requests FILE` writes what has to be signed where the key is"
        );
        assert!(ran.stderr.contains(&what) && ran.stderr.contains(&hint), "{}", ran.stderr);
    }
    assert!(ran.stderr.contains("kmh-pki: 3 errors"), "{}", ran.stderr);
    assert_eq!(place.files().into_keys().collect::<Vec<_>>(), ["ca/root.crt", "store.json"]);

    let args = ["ensure", "--store", "store", "--requests", "ask.json", "-o", "text"];
    let ran = place.pki(&args, &inventory).exits(0);
    assert!(
        ran.stdout.contains(
            "3 certificates have to be signed by a CA whose key is elsewhere; 22 certificates can be made when their CA has come"
        ),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("WHEN ITS CA HAS COME"), "{}", ran.stdout);
    let set = read(&place, "ask.json");
    assert_eq!(names(&set), BELOW);
    assert!(requests(&set).iter().all(|one| one["issuer"] == "ca/root" && one["reason"] == "missing"));
    for (request, name) in requests(&set).iter().zip(["kubernetes", "etcd-ca", "front-proxy-ca"]) {
        std::fs::write(place.path().join("one.csr"), request["csr"].as_str().unwrap()).unwrap();
        let text = openssl(&place, &["req", "-in", "one.csr", "-noout", "-verify", "-text"]).exits(0).stdout;
        for part in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", &format!("Subject: CN = {name}\n")] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    // What needs no root is there, and asked again not a byte differs.
    let files = place.files();
    assert!(files.contains_key("routers/gw/ipsec.crt") && files.contains_key("keys/service-account.key"));
    assert!(files.contains_key("requests/ca/cluster.key") && !files.contains_key("ca/cluster.key"));
    let before = place.snapshot();
    assert_eq!(ask(&place, &inventory), set);
    assert_eq!(place.snapshot(), before);

    // PEM, one after another, the whole chain.
    let pem: String = requests(&set).iter().map(|one| signs(&place, &one["csr"], 3650, GOOD)).collect();
    let root = std::fs::read_to_string(place.path().join("company.crt")).unwrap();
    std::fs::write(place.path().join("signed.json"), pem + &root).unwrap();
    let ran = import(&place, &inventory).exits(0);
    assert_eq!(
        ran.stdout,
        "imported 3 certificates\n  ca/cluster\n  ca/etcd\n  ca/front-proxy\n\
         `kmh-pki ensure` makes what a CA of these signs; `kmh-pki rotate` shows what a next generation is for\n"
    );
    let after = place.files();
    for name in BELOW {
        assert_eq!(after[&format!("{name}.key")], files[&format!("requests/{name}.key")]);
        openssl(&place, &["verify", "-x509_strict", "-CAfile", "company.crt", &format!("store/{name}.crt")])
            .exits(0);
    }
    let ran = place.pki(&["--store", "store", "-o", "text"], &inventory).exits(0);
    assert!(ran.stdout.contains("made 22 certificates of 28 certificates and 3 keys"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
    let before = place.snapshot();
    let document = place.document(&inventory);
    assert_eq!(place.snapshot(), before);
    assert_eq!(certificate(&document, "ca/cluster")["issuer"], "ca/root");
    // Nothing is said of a root that is called otherwise and has another key: it is somebody else's.
    assert_eq!(findings(&place, &inventory), [""; 0]);
    for (ca, leaf) in [
        ("ca/cluster", "nodes/cp-1/apiserver"),
        ("ca/etcd", "nodes/cp-1/etcd-peer"),
        ("ca/front-proxy", "nodes/cp-1/front-proxy-client"),
    ] {
        strictly(&place, ca, leaf).exits(0);
    }
}

#[test]
fn a_root_of_ours_signs_in_the_copy_that_has_its_key() {
    let inventory = rooted();
    let place = offline();
    for file in ["ca/front-proxy", "nodes/cp-1/front-proxy-client"] {
        place.sh(&format!("rm store/{file}.*"), "").exits(0);
    }
    place.pki(STORE, &inventory).exits(3).says("or bring its key back until the CA is made");
    let set = ask(&place, &inventory);
    assert_eq!(names(&set), ["ca/front-proxy"]);
    let before = common::files(&place.path().join("offline"));
    let ran = sign(&place, &inventory).exits(0);
    assert!(ran.stdout.starts_with("signed 1 certificate, until 2036-"), "{}", ran.stdout);
    assert!(ran.stderr.contains("kmh-pki: `ca/root` signs a CA: `ca/front-proxy`\n"), "{}", ran.stderr);
    // That copy is older than the loss.
    assert!(
        ran.stderr.contains("warning: this store holds another `ca/front-proxy`: there would be two"),
        "{}",
        ran.stderr
    );
    assert_eq!(common::files(&place.path().join("offline")), before);
    import(&place, &inventory).exits(0);
    let ran = import(&place, &inventory).exits(0);
    assert_eq!(ran.stdout, "nothing to import; 1 certificate was there already\n");
    let ran = place.pki(&["--store", "store", "-o", "text"], &inventory).exits(0);
    assert!(ran.stdout.contains("made 1 certificate of 28 certificates"), "{}", ran.stdout);
    let text =
        openssl(&place, &["x509", "-in", "store/ca/front-proxy.crt", "-noout", "-text"]).exits(0).stdout;
    assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Issuer: CN = kmh-root-ca"), "{text}");
    assert!(!text.contains("Digital Signature"), "{text}");
    strictly(&place, "ca/front-proxy", "nodes/cp-1/front-proxy-client").exits(0);
    assert_eq!(findings(&place, &inventory), [""; 0]);
}

/// The stage that the document says.
#[test]
fn a_rotation_goes_through_all_stages_while_the_key_of_the_root_is_away() {
    let inventory = rooted();
    let place = offline();
    let file = |name: &str| std::fs::read(place.store().join(name)).unwrap();
    let (old, old_key) = (file("ca/cluster.crt"), file("ca/cluster.key"));
    let before = place.snapshot();
    let ran = rotate(&place, "cluster", &[]).exits(1);
    assert!(
        ran.stdout.contains("`ca/root` cannot sign `ca/cluster.next`: the store does not hold its key"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("`kmh-pki rotate cluster --requests FILE` writes"), "{}", ran.stdout);
    let asking = ["--requests", "ask.json"];
    let ran = rotate(&place, "cluster", &[&asking[..], &["--dry-run"]].concat()).exits(0);
    assert!(ran.stdout.starts_with("the next CA of cluster would be asked for"), "{}", ran.stdout);
    assert_eq!(place.snapshot(), before);

    let ran = rotate(&place, "cluster", &asking).exits(0);
    assert!(
        ran.stdout
            .starts_with("the next CA of cluster is asked for: its rotation begins when that has come\n"),
        "{}",
        ran.stdout
    );
    for command in [
        "$ kmh-pki sign --requests ask.json --to signed.json --store STORE-WITH-THE-KEY -i INVENTORY",
        "$ kmh-pki import --signed signed.json --store store -i INVENTORY",
        "kmh-push -i stream.json --store store",
    ] {
        assert!(ran.stdout.contains(command), "{command}: {}", ran.stdout);
    }
    let set = read(&place, "ask.json");
    assert_eq!(names(&set), ["ca/cluster.next"]);
    assert_eq!(requests(&set)[0]["reason"], "the next generation of a rotation");
    // Nothing is under way, and asked again, by whichever verb, the same key waits and the same file is written.
    assert_eq!(stage(&place), Value::Null);
    let waiting = place.snapshot();
    let ran =
        place.pki(&["rotate", "cluster", "--requests", "ask.json", "--store", "store"], &inventory).exits(0);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["was"], &said["stage"]), (&Value::Null, &Value::Null));
    assert_eq!(said["store"]["made"], json!(["requests/ca/cluster.next"]));
    assert_eq!(said["todo"][0]["kind"], "sign");
    assert_eq!(ask(&place, &inventory), set);
    assert_eq!(place.snapshot(), waiting);
    let ran = place.pki(STORE, &inventory).exits(0);
    assert!(
        ran.stderr.contains("warning: the next generation of `ca/cluster` is asked for: `kmh-pki import --signed FILE` takes in what was signed, `kmh-pki rotate cluster --abort` takes the request back"),
        "{}",
        ran.stderr
    );
    let ran = rotate(&place, "cluster", &["--deployed"]).exits(1);
    assert!(
        ran.stdout.contains("`ca/cluster.next` is asked for, and what was signed has not come"),
        "{}",
        ran.stdout
    );
    assert_eq!(place.snapshot(), waiting);

    // What is there can be exported.
    place.pki(&["export", "--layout", "kubeadm", "--to", "out", "--store", "store"], &inventory).exits(0);
    place.pki(&["export", "--layout", "tar", "--to", "out.tar", "--store", "store"], &inventory).exits(0);
    let held = place.sh("tar tf out.tar", "").exits(0).stdout;
    assert!(
        held.contains("requests/ca/cluster.next.csr") && !held.contains("requests/ca/cluster.next.key"),
        "{held}"
    );

    sign(&place, &inventory).exits(0);
    let waited = file("requests/ca/cluster.next.key");
    let ran = import(&place, &inventory).exits(0);
    assert!(ran.stdout.starts_with("imported 1 certificate\n  ca/cluster.next\n"), "{}", ran.stdout);
    assert_eq!(stage(&place), json!([{"name": "cluster", "stage": "trust"}]));
    assert_eq!((file("ca/cluster.crt"), file("ca/cluster.next.key")), (old.clone(), waited.clone()));
    let ran = import(&place, &inventory).exits(0);
    assert_eq!(ran.stdout, "nothing to import; 1 certificate was there already\n");
    let ran = rotate(&place, "cluster", &asking).exits(1);
    assert!(
        ran.stdout.contains("the rotation of `cluster` is in stage `trust`: its next CA is there"),
        "{}",
        ran.stdout
    );
    assert_eq!(findings(&place, &inventory), [""; 0]);
    strictly(&place, "ca/cluster", "nodes/cp-1/apiserver").exits(0);

    // From here on nothing is asked of the root.
    rotate(&place, "cluster", &["--deployed"]).exits(0);
    place.pki(STORE, &inventory).exits(0);
    assert_eq!(stage(&place), json!([{"name": "cluster", "stage": "issue"}]));
    strictly(&place, "ca/cluster", "nodes/cp-1/apiserver").exits(0);
    strictly(&place, "ca/cluster.old", "nodes/cp-1/apiserver").exits(2);
    // The answer once more, in the second stage: nobody waits for it.
    import(&place, &inventory).exits(2).says("the store holds `ca/cluster.old`: its rotation ends first");
    rotate(&place, "cluster", &["--deployed"]).exits(0);
    assert_eq!(stage(&place), Value::Null);
    assert_eq!(file("ca/cluster.key"), waited);
    let archive: Vec<_> =
        place.everything().into_iter().filter(|(path, _)| path.starts_with("archive/")).collect();
    assert!([old, old_key].iter().all(|bytes| archive.iter().any(|(_, held)| held == bytes)));
    assert_eq!(findings(&place, &inventory), [""; 0]);
    let before = place.snapshot();
    place.pki(STORE, &inventory).exits(0);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_companys_root_signs_the_next_generation_too_and_a_request_can_be_taken_back() {
    let inventory = rooted();
    let place = company("critical,CA:TRUE,pathlen:1");
    place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory).exits(0);
    answer(&place, &read(&place, "ask.json"), &inventory).exits(0);
    place.pki(STORE, &inventory).exits(0);
    rotate(&place, "etcd", &["--requests", "ask.json"]).exits(0);
    let first = read(&place, "ask.json");
    let late = signs(&place, &requests(&first)[0]["csr"], 3650, GOOD);
    let ran = rotate(&place, "etcd", &["--abort"]).exits(0);
    assert_eq!(
        ran.stdout,
        "the rotation of etcd goes back before it began: the request is in the archive\n\n\
         WHAT HAS TO FOLLOW, IN THIS ORDER\n 1. nothing: what was only asked for is nowhere deployed\n"
    );
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
    let kept = |place: &Place| {
        place.everything().keys().filter(|path| path.starts_with("archive/requests/ca/etcd.next.")).count()
    };
    assert_eq!(kept(&place), 2);
    rotate(&place, "etcd", &["--abort"]).exits(1);
    let before = place.files();
    // What comes after that is nobody's any more.
    std::fs::write(place.path().join("signed.json"), &late).unwrap();
    import(&place, &inventory).exits(2).says("no request of this store waits for a certificate of that key");
    let named = json!({"kmh_signed": 1, "cluster": "small", "store": first["store"],
        "certificates": [{"name": "ca/etcd.next", "pem": late}]});
    write(&place, "signed.json", &named);
    import(&place, &inventory).exits(2).says("no request of this store waits for it");
    assert_eq!(place.files(), before);

    // Two at once, and `ensure` writes both; what the settings no longer want is asked for anew.
    rotate(&place, "etcd", &["--requests", "ask.json"]).exits(0);
    assert_ne!(read(&place, "ask.json"), first);
    rotate(&place, "front-proxy", &["--requests", "more.json"]).exits(0);
    let set = ask(&place, &inventory);
    assert_eq!(names(&set), ["ca/etcd.next", "ca/front-proxy.next"]);
    let other = inventory.replace("root: true", "root: true, algorithms: {etcd-ca: ecdsa-p384}");
    let anew = ask(&place, &other);
    assert_ne!(requests(&anew)[0]["csr"], requests(&set)[0]["csr"]);
    assert_eq!(requests(&anew)[1]["csr"], requests(&set)[1]["csr"]);
    let ran = answer(&place, &anew, &other).exits(0);
    assert!(ran.stdout.contains("\n  ca/etcd.next\n  ca/front-proxy.next\n"), "{}", ran.stdout);
    for name in ["etcd", "front-proxy"] {
        for _ in 0..2 {
            place.pki(&["rotate", name, "--deployed", "--store", "store"], &other).exits(0);
            place.pki(STORE, &other).exits(0);
        }
    }
    assert_eq!(findings(&place, &other), [""; 0]);
    strictly(&place, "ca/etcd", "nodes/cp-1/etcd-peer").exits(0);
    strictly(&place, "ca/front-proxy", "nodes/cp-1/front-proxy-client").exits(0);
}
