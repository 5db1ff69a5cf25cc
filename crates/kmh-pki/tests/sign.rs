//! `sign`: the keys of these certificates never come to the store. The requests are openssl's, and so is the verdict.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::requests::{fresh, key, openssl, request};
use common::{Place, Ran, SMALL, certificate};
use serde_json::Value;

const KUBELET: &str = "/O=system:nodes/CN=system:node:w-1";
const SERVING: &str = "subjectAltName=DNS:w-1,IP:10.10.0.21";

fn sign(place: &Place, args: &[&str]) -> Ran {
    place.pki(&[&["sign", "--store", "store"], args].concat(), SMALL)
}

/// Nothing of the store may change.
#[track_caller]
fn refused(place: &Place, args: &[&str], code: i32, says: &[&str]) {
    let before = place.files();
    let ran = sign(place, args).exits(code);
    assert_eq!(ran.stdout, "");
    for text in says {
        assert!(ran.stderr.contains(text), "stderr lacks {text:?}:\n{}", ran.stderr);
    }
    assert_eq!(place.files(), before, "something was touched");
}

#[track_caller]
fn verifies(place: &Place, file: &str, purpose: &str) {
    openssl(place, &["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "store/ca/cluster.crt", file])
        .exits(0);
}

#[test]
fn a_kubelet_keeps_its_keys_and_gets_both_its_certificates() {
    let place = Place::with_store(SMALL);
    let old = place.files();
    fresh(&place, "client", KUBELET, &["extendedKeyUsage=clientAuth", "keyUsage=critical,digitalSignature"]);
    let ran = sign(&place, &["--csr", "client.csr", "--to", "client.crt", "-o", "text"]).exits(0);
    assert!(ran.stdout.starts_with("`nodes/w-1/kubelet-client` is signed, until "), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("the key that the store held for `nodes/w-1/kubelet-client` goes to the archive")
    );
    verifies(&place, "client.crt", "sslclient");
    openssl(&place, &["verify", "-purpose", "sslserver", "-CAfile", "store/ca/cluster.crt", "client.crt"])
        .exits(2);
    // Its key is the one of the request, and openssl says so.
    let public = |args: &[&str]| openssl(&place, args).exits(0).stdout;
    assert_eq!(
        public(&["x509", "-in", "client.crt", "-noout", "-pubkey"]),
        public(&["pkey", "-in", "client.key", "-pubout"])
    );
    // Fewer names than the inventory gives: the certificate has them all.
    fresh(&place, "serving", KUBELET, &[SERVING]);
    sign(&place, &["--csr", "serving.csr", "--to", "serving.crt"]).exits(0);
    verifies(&place, "serving.crt", "sslserver");
    openssl(&place, &["x509", "-in", "serving.crt", "-noout", "-checkip", "fd00:10::21"])
        .exits(0)
        .stdout
        .contains("does match")
        .then_some(())
        .unwrap();

    // In the store: certificate and request, no key; what was there is in the archive.
    let files = place.everything();
    for stem in ["client", "serving"] {
        let name = format!("nodes/w-1/kubelet-{stem}");
        let signed = std::fs::read(place.path().join(format!("{stem}.crt"))).unwrap();
        assert_eq!(files[&format!("{name}.crt")], signed);
        assert!(files.contains_key(&format!("{name}.csr")));
        assert!(!files.contains_key(&format!("{name}.key")));
        let kept: Vec<_> =
            files.iter().filter(|(path, _)| path.starts_with(&format!("archive/{name}."))).collect();
        assert!(kept.iter().any(|(_, bytes)| **bytes == old[&format!("{name}.key")]), "{kept:?}");
    }
    // The document says so, a second run finds nothing to do, and the same request is not signed twice.
    let document = place.document(SMALL);
    let entry = certificate(&document, "nodes/w-1/kubelet-client");
    assert_eq!(entry.get("key"), None);
    assert_eq!(entry["deploy"][0]["key"], "/var/lib/kubelet/pki/kubelet-client.key");
    let before = place.snapshot();
    place.pki(&["--store", "store"], SMALL).exits(0);
    let again = sign(&place, &["--csr", "client.csr", "-o", "text"]).exits(0).stdout;
    assert_eq!(again, std::fs::read_to_string(place.path().join("client.crt")).unwrap());
    assert_eq!(place.snapshot(), before);
}

#[test]
fn every_leaf_of_the_table_can_be_signed_by_its_name() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    let leaves: Vec<Value> = document["spec"]["certificates"].as_array().unwrap().clone();
    let leaves: Vec<_> = leaves.iter().filter(|one| one.get("issuer").is_some()).collect();
    assert_eq!(leaves.len(), 23);
    for (number, leaf) in leaves.iter().enumerate() {
        let file = format!("leaf-{number}");
        let organizations = common::texts(&leaf["organizations"]).into_iter().map(|o| ["/O=", &o].concat());
        let subject = organizations.collect::<String>() + "/CN=" + leaf["common_name"].as_str().unwrap();
        let names: Vec<String> = common::texts(&leaf["dns_names"])
            .iter()
            .map(|name| format!("DNS:{name}"))
            .chain(common::texts(&leaf["addresses"]).iter().map(|address| format!("IP:{address}")))
            .collect();
        let names = format!("subjectAltName={}", names.join(","));
        let extensions: &[&str] = if names.ends_with('=') { &[] } else { &[&names] };
        fresh(&place, &file, &subject, extensions);
        let name = leaf["name"].as_str().unwrap();
        let (csr, crt) = (format!("{file}.csr"), format!("{file}.crt"));
        sign(&place, &["--csr", &csr, "--as", name, "--to", &crt]).exits(0);
        let ca = format!("store/{}.crt", leaf["issuer"].as_str().unwrap());
        openssl(&place, &["verify", "-x509_strict", "-CAfile", &ca, &crt]).exits(0);
    }
    let ran = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
}

#[test]
fn what_the_inventory_does_not_give_is_refused_all_at_once() {
    let place = Place::with_store(SMALL);
    let evil = "subjectAltName=DNS:w-2,DNS:w-1,IP:10.10.0.22,email:root@w-1,URI:spiffe://w-1";
    fresh(
        &place,
        "evil",
        "/C=DE/O=system:masters/CN=system:node:w-1",
        &[
            evil,
            "extendedKeyUsage=clientAuth,codeSigning",
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=keyCertSign",
        ],
    );
    refused(
        &place,
        &["--csr", "evil.csr", "--as", "nodes/w-1/kubelet-serving"],
        2,
        &[
            "its subject is `O=system:masters, CN=system:node:w-1`, and that of `nodes/w-1/kubelet-serving` is `O=system:nodes, CN=system:node:w-1`",
            "its subject has fields besides O and CN",
            "it asks for `10.10.0.22`, `w-2`, which the inventory does not give `nodes/w-1/kubelet-serving`",
            "a name that is neither a DNS name nor an address",
            "usages other than client and server",
            "it asks for the usage client, and that of `nodes/w-1/kubelet-serving` is server",
            "it asks to become a CA",
            "key usages other than digitalSignature and keyEncipherment",
            "9 errors",
        ],
    );
    refused(
        &place,
        &["--csr", "evil.csr"],
        2,
        &["no certificate with the subject `O=system:masters, CN=system:node:w-1`"],
    );
}

#[test]
fn the_rules_of_kubernetes_signers_hold() {
    let place = Place::with_store(SMALL);
    fresh(&place, "named", KUBELET, &[SERVING]);
    refused(
        &place,
        &["--csr", "named.csr", "--as", "nodes/w-1/kubelet-client"],
        2,
        &["it asks for `10.10.0.21`, `w-1`, and `nodes/w-1/kubelet-client` has no names at all"],
    );
    fresh(&place, "nameless", KUBELET, &["extendedKeyUsage=serverAuth"]);
    refused(
        &place,
        &["--csr", "nameless.csr", "--as", "nodes/w-1/kubelet-serving"],
        2,
        &["asks for no name"],
    );
    for (file, subject) in [
        ("two", "/O=system:nodes/O=system:masters/CN=system:node:w-1"),
        ("none", "/CN=system:node:w-1"),
        ("other", "/O=system:nodes/CN=system:node:w-9"),
        ("bare", "/O=system:nodes/CN=w-1"),
        ("twice", "/O=system:nodes/CN=system:node:w-1/CN=system:node:cp-1"),
    ] {
        fresh(&place, file, subject, &[]);
        let csr = format!("{file}.csr");
        refused(&place, &["--csr", &csr, "--as", "nodes/w-1/kubelet-client"], 2, &["its subject"]);
    }
    // RSA keys could encipher, and a kubelet of old asks for it; it is allowed to ask.
    fresh(&place, "encipher", KUBELET, &["keyUsage=critical,digitalSignature,keyEncipherment"]);
    sign(&place, &["--csr", "encipher.csr"]).exits(0);
}

#[test]
fn a_request_for_another_node_is_refused_whatever_it_is_called() {
    let place = Place::with_store(SMALL);
    fresh(&place, "w-2", "/O=system:nodes/CN=system:node:w-2", &["subjectAltName=IP:10.10.0.22"]);
    refused(
        &place,
        &["--csr", "w-2.csr", "--as", "nodes/w-1/kubelet-serving"],
        2,
        &["its subject is", "it asks for `10.10.0.22`, which the inventory does not give"],
    );
    // Found by itself, a name too many is told of the certificate that it comes nearest to.
    fresh(&place, "more", KUBELET, &["subjectAltName=DNS:w-1,DNS:kubernetes"]);
    refused(
        &place,
        &["--csr", "more.csr"],
        2,
        &["it asks for `kubernetes`, which the inventory does not give `nodes/w-1/kubelet-serving`"],
    );
}

#[test]
fn a_request_that_is_right_for_several_must_be_named() {
    let place = Place::with_store(SMALL);
    fresh(&place, "etcd", "/CN=cp-1", &["subjectAltName=DNS:cp-1"]);
    refused(
        &place,
        &["--csr", "etcd.csr"],
        2,
        &["the request is right for nodes/cp-1/etcd-peer, nodes/cp-1/etcd-server", "--as NAME"],
    );
    sign(&place, &["--csr", "etcd.csr", "--as", "nodes/cp-1/etcd-peer"]).exits(0);
    // And then it is taken.
    refused(
        &place,
        &["--csr", "etcd.csr", "--as", "nodes/cp-1/etcd-server"],
        2,
        &["the key of the request is that of `nodes/cp-1/etcd-peer`"],
    );
    refused(&place, &["--csr", "etcd.csr", "--as", "ca/etcd"], 2, &["`ca/etcd` is a CA"]);
    refused(
        &place,
        &["--csr", "etcd.csr", "--as", "nodes/w-1/etcd-peer"],
        2,
        &["the inventory has no certificate `nodes/w-1/etcd-peer`", "it has nodes/cp-1/etcd-peer"],
    );
}

#[test]
fn keys_of_another_kind_than_the_inventory_says_are_refused() {
    let place = Place::with_store(SMALL);
    for kind in ["rsa-1024", "rsa-2048", "ecdsa-p384", "ecdsa-p521", "ed25519"] {
        key(&place, kind, kind);
        request(&place, kind, KUBELET, &[]);
        let csr = format!("{kind}.csr");
        let says =
            format!("its key is {kind}, and the inventory wants ecdsa-p256 for `nodes/w-1/kubelet-client`");
        refused(&place, &["--csr", &csr], 2, &[&says]);
    }
}

#[test]
fn a_request_without_its_key_is_refused() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[]);
    let der = |file: &str| {
        let (csr, out) = (format!("{file}.csr"), format!("{file}.der"));
        openssl(&place, &["req", "-in", &csr, "-outform", "DER", "-out", &out]).exits(0);
        std::fs::read(place.path().join(out)).unwrap()
    };
    // The last octet belongs to the signature.
    let mut bytes = der("one");
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(place.path().join("forged.der"), &bytes).unwrap();
    refused(&place, &["--csr", "forged.der"], 2, &["its signature is not that of its own key"]);
    // Somebody else's public key under one's own signature.
    fresh(&place, "two", KUBELET, &[]);
    let (one, two) = (der("one"), der("two"));
    let public = |bytes: &[u8]| bytes.windows(2).position(|w| w == [0x42, 0x00]).unwrap() + 2;
    let (from, to) = (public(&one), public(&two));
    let mut stolen = two.clone();
    stolen[to..to + 65].copy_from_slice(&one[from..from + 65]);
    std::fs::write(place.path().join("stolen.der"), &stolen).unwrap();
    refused(&place, &["--csr", "stolen.der"], 2, &["its signature is not that of its own key"]);
    // As it is, DER is as good as PEM.
    sign(&place, &["--csr", "one.der"]).exits(0);
}

#[test]
fn files_that_are_no_requests_are_named_and_not_quoted() {
    let place = Place::with_store(SMALL);
    fresh(&place, "good", KUBELET, &[]);
    let good = std::fs::read_to_string(place.path().join("good.csr")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("set", b"{\"kmh_requests\":1}".to_vec(), "a request set is signed by `kmh-pki sign --requests`"),
        ("empty", b" \n".to_vec(), "it is empty"),
        ("cut", good.as_bytes()[..200].to_vec(), "no whole PEM file"),
        ("twice", [good.as_bytes(), good.as_bytes()].concat(), "something follows the request"),
        (
            "key",
            std::fs::read(place.path().join("good.key")).unwrap(),
            "it is a private key, which must not leave its machine",
        ),
        (
            "crt",
            std::fs::read(place.store().join("ca/cluster.crt")).unwrap(),
            "it is no PEM file of a request",
        ),
        ("large", vec![b'x'; 70_000], "larger than any request"),
    ];
    for (file, bytes, why) in cases {
        std::fs::write(place.path().join(file), bytes).unwrap();
        refused(&place, &["--csr", file], 2, &[&format!("`{file}` is no request that can be signed"), why]);
    }
    refused(&place, &["--csr", "absent"], 2, &["cannot read `absent`"]);
    refused(&place, &[], 2, &["--csr <FILE>"]);
}

#[test]
fn without_the_key_of_its_ca_nothing_is_signed() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[]);
    std::fs::rename(place.store().join("ca/cluster.key"), place.path().join("away.key")).unwrap();
    refused(
        &place,
        &["--csr", "one.csr"],
        3,
        &["`ca/cluster` cannot sign `nodes/w-1/kubelet-client`", "the store does not hold its key"],
    );
    let other = SMALL.replace("name: small", "name: other");
    place
        .pki(&["sign", "--store", "store", "--csr", "one.csr"], &other)
        .exits(2)
        .says("belongs to cluster `small`");
    place.pki(&["sign", "--csr", "one.csr"], SMALL).exits(2).says("no store is named");
}

#[test]
fn a_changed_inventory_signs_the_same_request_again() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[SERVING]);
    sign(&place, &["--csr", "one.csr"]).exits(0);
    let before = place.files();
    let moved = SMALL.replace("10.10.0.21", "10.10.0.31");
    let ran = place.pki(&["--store", "store", "--dry-run", "-o", "text"], &moved).exits(0);
    assert!(ran.stdout.contains("names differ: + 10.10.0.31, - 10.10.0.21"), "{}", ran.stdout);
    assert_eq!(place.files(), before);
    let ran = place.pki(&["--store", "store"], &moved).exits(0);
    let document: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(certificate(&document, "nodes/w-1/kubelet-serving").get("key"), None);
    let after = place.files();
    assert!(!after.contains_key("nodes/w-1/kubelet-serving.key"));
    assert_eq!(after["nodes/w-1/kubelet-serving.csr"], before["nodes/w-1/kubelet-serving.csr"]);
    let crt = "store/nodes/w-1/kubelet-serving.crt";
    openssl(&place, &["x509", "-in", crt, "-noout", "-checkip", "10.10.0.31"]).exits(0);
    let public = openssl(&place, &["x509", "-in", crt, "-noout", "-pubkey"]).exits(0).stdout;
    assert_eq!(public, openssl(&place, &["pkey", "-in", "one.key", "-pubout"]).exits(0).stdout);
}

#[test]
fn a_lost_certificate_is_signed_again_and_a_lost_request_is_refused() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[]);
    sign(&place, &["--csr", "one.csr"]).exits(0);
    let name = place.store().join("nodes/w-1/kubelet-client");
    std::fs::remove_file(name.with_extension("crt")).unwrap();
    let ran = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0);
    assert!(ran.stdout.contains("nodes/w-1/kubelet-client  missing"), "{}", ran.stdout);
    assert!(!name.with_extension("key").exists());

    let csr = std::fs::read(name.with_extension("csr")).unwrap();
    std::fs::remove_file(name.with_extension("csr")).unwrap();
    place
        .pki(&["--store", "store"], SMALL)
        .exits(3)
        .says("certificate `nodes/w-1/kubelet-client` has no key");
    std::fs::write(name.with_extension("csr"), &csr[..100]).unwrap();
    place
        .pki(&["--store", "store"], SMALL)
        .exits(3)
        .says("the request of `nodes/w-1/kubelet-client` is damaged")
        .says("kmh-pki sign --csr FILE --as nodes/w-1/kubelet-client");
    fresh(&place, "two", KUBELET, &[]);
    std::fs::copy(place.path().join("two.csr"), name.with_extension("csr")).unwrap();
    place.pki(&["--store", "store"], SMALL).exits(3).says("is of another key than its certificate");
    // Another node's request in its place is none.
    fresh(&place, "w-2", "/O=system:nodes/CN=system:node:w-2", &[]);
    std::fs::copy(place.path().join("w-2.csr"), name.with_extension("csr")).unwrap();
    place.pki(&["--store", "store"], SMALL).exits(3).says("is none for it");
    // The machine sends it again.
    std::fs::remove_file(name.with_extension("csr")).unwrap();
    sign(&place, &["--csr", "two.csr"]).exits(0);
    place.pki(&["--store", "store"], SMALL).exits(0);
}

#[test]
fn after_each_step_of_a_killed_run_the_next_goes_on() {
    let place = Place::with_store(SMALL);
    let old = place.files();
    fresh(&place, "one", KUBELET, &[]);
    sign(&place, &["--csr", "one.csr"]).exits(0);
    let new = place.files();
    let name = "nodes/w-1/kubelet-client";
    let order = [format!("{name}.csr"), format!("{name}.crt")];
    for done in 0..=2 {
        for verb in ["ensure", "sign"] {
            let place = Place::new();
            for (path, bytes) in &old {
                let to = place.store().join(path);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::write(to, bytes).unwrap();
            }
            for path in &order[..done] {
                std::fs::write(place.store().join(path), &new[path]).unwrap();
            }
            let journal = serde_json::json!({ "names": [name] }).to_string();
            std::fs::write(place.store().join("pending.json"), journal).unwrap();
            std::fs::write(place.path().join("one.csr"), &new[&order[0]]).unwrap();
            match verb {
                "sign" => drop(sign(&place, &["--csr", "one.csr"]).exits(0)),
                _ => drop(place.pki(&["--store", "store"], SMALL).exits(0)),
            }
            let files = place.files();
            assert!(!files.contains_key("pending.json"), "{done}, {verb}");
            // Before the request had its name nothing had happened to the pair.
            let away = done > 0 || verb == "sign";
            assert_eq!(files.contains_key(&format!("{name}.csr")), away, "{done}, {verb}");
            assert_eq!(files.contains_key(&format!("{name}.key")), !away, "{done}, {verb}");
            place.pki(&["--store", "store"], SMALL).exits(0);
            assert_eq!(place.files(), files);
        }
    }
    // What another run left unfinished is its own to finish.
    let journal = serde_json::json!({ "names": ["nodes/w-2/kubelet-client"] }).to_string();
    std::fs::write(place.store().join("pending.json"), journal).unwrap();
    refused(&place, &["--csr", "one.csr"], 3, &["a run was interrupted", "kmh-pki ensure"]);
}

#[test]
fn a_dry_run_says_it_and_touches_nothing() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[]);
    let before = place.snapshot();
    let ran = sign(&place, &["--csr", "one.csr", "--to", "one.crt", "--dry-run", "-o", "text"]).exits(0);
    assert!(ran.stdout.starts_with("`nodes/w-1/kubelet-client` would be signed, until "), "{}", ran.stdout);
    assert_eq!(place.snapshot(), before);
    // Nobody gets a certificate that the store does not know.
    for args in [&["-o", "text"][..], &["-o", "json"], &["--to", "-"]] {
        let ran = sign(&place, &[&["--csr", "one.csr", "--dry-run"], args].concat()).exits(0);
        assert!(!ran.stdout.contains("BEGIN") && !ran.stdout.contains("serial"), "{}", ran.stdout);
        let told = ran.stdout + &ran.stderr;
        assert!(
            told.contains("nodes/w-1/kubelet-client") && told.contains("would go to the archive"),
            "{told}"
        );
    }
    assert_eq!(place.snapshot(), before);
    let ran = sign(&place, &["--csr", "one.csr", "-o", "json"]).exits(0);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&told["name"], &told["issuer"]), (&"nodes/w-1/kubelet-client".into(), &"ca/cluster".into()));
    assert_eq!(told["kept"], false);
    assert!(told["pem"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
}

#[test]
fn an_output_replaces_only_what_this_store_made_under_that_name() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[]);
    fresh(&place, "serving", KUBELET, &[SERVING]);
    let read = |file: &str| std::fs::read(place.path().join(file)).unwrap();
    let says = "is there already, and is no certificate of `nodes/w-1/kubelet-client` that this store made";
    let to =
        |file: &str| refused(&place, &["--csr", "one.csr", "--to", file], 2, &[&format!("`{file}` {says}")]);
    std::fs::write(place.path().join("letter"), "text").unwrap();
    to("letter");
    // The key beside it, another certificate of this store, one of the same name of another store.
    let key = read("one.key");
    to("one.key");
    assert!(read("one.key") == key);
    sign(&place, &["--csr", "serving.csr", "--to", "serving.crt"]).exits(0);
    to("serving.crt");
    place.pki(&["--store", "other", "--init"], SMALL).exits(0);
    let other = ["sign", "--store", "other", "--csr", "one.csr", "--to", "one.crt"];
    place.pki(&other, SMALL).exits(0);
    to("one.crt");
    // Its own: what the store holds, and what it held before the last request.
    sign(&place, &["--csr", "one.csr", "--to", "one.crt", "--force"]).exits(0);
    sign(&place, &["--csr", "one.csr", "--to", "one.crt"]).exits(0);
    let first = read("one.crt");
    fresh(&place, "one", KUBELET, &[]);
    sign(&place, &["--csr", "one.csr", "--to", "one.crt"]).exits(0);
    let second = read("one.crt");
    assert!(
        second != first
            && second == std::fs::read(place.store().join("nodes/w-1/kubelet-client.crt")).unwrap()
    );
    std::fs::write(place.path().join("one.crt"), first).unwrap();
    sign(&place, &["--csr", "one.csr", "--to", "one.crt"]).exits(0);
    assert!(read("one.crt") == second);
}

#[test]
fn what_cannot_be_written_is_found_before_anything_is_signed() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[]);
    std::fs::create_dir(place.path().join("folder")).unwrap();
    for (to, says) in [
        ("gone/one.crt", "there is no directory `gone`"),
        ("folder", "it is a directory"),
        ("/dev/full", "it is no regular file"),
    ] {
        refused(&place, &["--csr", "one.csr", "--to", to], 2, &[&format!("cannot write `{to}`"), says]);
        refused(&place, &["--csr", "one.csr", "--to", to, "--dry-run"], 2, &[says]);
    }
    // A disk on which no file of that size has room.
    std::fs::write(place.path().join("inventory"), SMALL).unwrap();
    let before = place.files();
    let line = "trap '' XFSZ; ulimit -f 0; $PKI sign --csr one.csr --to one.crt --store store -i inventory";
    place.sh(line, "").exits(3).says("cannot write `one.crt`");
    assert_eq!(place.files(), before);
}

#[test]
fn a_request_comes_from_stdin_and_a_certificate_goes_to_stdout() {
    let place = Place::with_store(SMALL);
    fresh(&place, "one", KUBELET, &[]);
    std::fs::write(place.path().join("inventory"), SMALL).unwrap();
    let csr = std::fs::read_to_string(place.path().join("one.csr")).unwrap();
    let from = |args: &[&str], stdin: &str| {
        place.pki(&[&["sign", "--store", "store", "--csr", "-"], args].concat(), stdin)
    };
    for args in [&["--to", "-"][..], &["--to", "-", "-i", "-"], &["-i", "inventory", "-i", "-"]] {
        from(args, &csr)
            .exits(2)
            .says("`--csr -` reads stdin, and so does the inventory")
            .says("hint: name the inventory: `-i cluster.yaml`");
    }
    from(&["-i", "inventory"], "nothing").exits(2).says("`stdin` is no request that can be signed");
    let ran = from(&["--to", "-", "-i", "inventory"], &csr).exits(0);
    assert_eq!(
        ran.stdout,
        std::fs::read_to_string(place.store().join("nodes/w-1/kubelet-client.crt")).unwrap()
    );
    assert!(ran.stderr.contains("`nodes/w-1/kubelet-client` is signed, until "), "{}", ran.stderr);
    from(&["--to", "-", "-o", "json", "-i", "inventory"], &csr).exits(2).says("does not print `json`");
    assert!(!place.path().join("-").exists());
    let store = place.store().display().to_string();
    let inventory = place.path().join("inventory").display().to_string();
    let args = ["kmh-pki", "sign", "--store", &store, "--csr", "-", "-i", &inventory];
    let (mut env, captured) = kmh_cli::Env::fake(args, "");
    env.stdin_is_terminal = true;
    assert_eq!(kmh_pki::run(&mut env) as u8, 2);
    assert!(captured.stderr_text().contains("stdin is a terminal"), "{}", captured.stderr_text());
}

/// The commands of a help text, lines that go on joined.
fn examples(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("EXAMPLES").unwrap();
    let joined = examples.replace("\\\n", " ");
    joined.lines().filter(|line| line.starts_with("    ")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn help_shows_examples_that_work() {
    let place = Place::with_store(SMALL);
    std::fs::rename(place.store(), place.path().join("pki")).unwrap();
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    fresh(&place, "peer", "/CN=cp-1", &[]);
    place.sh("mkdir usb && cp -r pki usb/", "").exits(0);
    let help = place.pki(&["sign", "--help"], "").exits(0).stdout;
    let shown = help.split_once("EXAMPLES").unwrap().1;
    assert_eq!(shown.lines().find(|line| line.chars().count() > 80), None);
    let examples = examples(&help);
    assert!(examples.len() >= 4, "{examples:?}");
    for line in examples {
        place.sh(&line.replacen("kmh-pki", "$PKI", 1), "").exits(0);
    }
    assert!(place.path().join("kubelet-client.crt").exists());
}
