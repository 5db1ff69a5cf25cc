//! Every algorithm, alone and mixed: what is made is what was asked for, OpenSSL takes it at its strictest, and a changed
//! choice is a reason for leaves and a warning for what everything hangs on.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::clock::{START, at, document, made, reasons};
use common::{Place, SMALL, certificate, texts};
use kmh_cli::Exit;
use serde_json::Value;
use time::Duration;

/// With that block.
fn with(pki: &str) -> String {
    SMALL.replacen("spec:\n", &format!("spec:\n  pki: {pki}\n"), 1)
}

/// OpenSSL in the store: what it said.
#[track_caller]
fn openssl(place: &Place, args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).current_dir(place.store()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What OpenSSL calls a key of that algorithm.
fn called(algorithm: &str) -> &'static str {
    match algorithm {
        "ecdsa-p256" => "NIST CURVE: P-256",
        "ecdsa-p384" => "NIST CURVE: P-384",
        "rsa-2048" => "Public-Key: (2048 bit)",
        "rsa-3072" => "Public-Key: (3072 bit)",
        "rsa-4096" => "Public-Key: (4096 bit)",
        _ => "ED25519 Public-Key:",
    }
}

/// Every certificate of a document: its algorithm is its key's own, and the strict verifier takes it for its usages.
#[track_caller]
fn all_are_sound(place: &Place, document: &Value) {
    let moment = (START + Duration::days(1)).unix_timestamp().to_string();
    for one in document["spec"]["certificates"].as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        let algorithm = one["algorithm"].as_str().unwrap();
        let (file, key) = (format!("{name}.crt"), format!("{name}.key"));
        let text = openssl(place, &["x509", "-in", &file, "-noout", "-text"]);
        assert!(text.contains(called(algorithm)), "{name} is no {algorithm}:\n{text}");
        let leaf = one.get("issuer").is_some();
        assert_eq!(text.contains("Digital Signature"), leaf, "{name}");
        assert!(!text.contains("Key Encipherment"), "{name}:\n{text}");
        let public = openssl(place, &["pkey", "-in", &key, "-pubout"]);
        assert_eq!(openssl(place, &["x509", "-in", &file, "-noout", "-pubkey"]), public, "{name}");
        let ca = one["issuer"].as_str().unwrap_or(name);
        let ca = format!("{ca}.crt");
        let verify = ["verify", "-x509_strict", "-attime", &moment, "-CAfile", &ca];
        for usage in texts(&one["usages"]) {
            let purpose = format!("ssl{usage}");
            openssl(place, &[&verify[..], &["-purpose", &purpose, &file]].concat());
        }
        openssl(place, &[&verify[..], &[&file]].concat());
    }
}

/// How many certificates have each algorithm.
fn counts(document: &Value) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for one in document["spec"]["certificates"].as_array().unwrap() {
        *counts.entry(one["algorithm"].as_str().unwrap()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn one_algorithm_for_everything() {
    for (algorithm, tokens) in [("ecdsa-p384", ""), ("rsa-2048", ""), ("ed25519", "ecdsa-p384")] {
        let tokens_by = if tokens.is_empty() { algorithm } else { tokens };
        let inventory = with(&match tokens {
            "" => format!("{{algorithm: {algorithm}}}"),
            other => format!("{{algorithm: {algorithm}, algorithms: {{service-account: {other}}}}}"),
        });
        let place = made(START, &inventory);
        let document = document(&place, START, &inventory);
        assert_eq!(counts(&document), BTreeMap::from([(algorithm, 27)]));
        all_are_sound(&place, &document);
        let key =
            document["spec"]["keys"].as_array().unwrap().iter().find(|key| key["class"] == "service-account");
        assert_eq!(key.unwrap()["algorithm"], tokens_by);
        let text = openssl(&place, &["pkey", "-in", "keys/service-account.key", "-noout", "-text_pub"]);
        assert!(text.contains(called(tokens_by)), "{text}");
        let before = place.snapshot();
        assert_eq!(reasons(&place, START, &inventory), []);
        assert_eq!(place.snapshot(), before, "{algorithm}");
    }
}

#[test]
fn an_algorithm_for_each_class() {
    // CAs that sign for keys of other kinds than their own, and every size of RSA.
    let inventory = with(
        "{algorithms: {cluster-ca: rsa-4096, etcd-ca: ed25519, front-proxy-ca: ecdsa-p384, apiserver: rsa-3072, \
         etcd-server: rsa-2048, front-proxy-client: ed25519, kubelet-client: ecdsa-p384, service-account: rsa-2048}}",
    );
    let place = made(START, &inventory);
    let document = document(&place, START, &inventory);
    assert_eq!(
        counts(&document),
        BTreeMap::from([
            ("ecdsa-p256", 18),
            ("ecdsa-p384", 4),
            ("ed25519", 2),
            ("rsa-2048", 1),
            ("rsa-3072", 1),
            ("rsa-4096", 1),
        ]),
    );
    assert_eq!(certificate(&document, "ca/cluster")["algorithm"], "rsa-4096");
    assert_eq!(certificate(&document, "nodes/w-2/kubelet-client")["algorithm"], "ecdsa-p384");
    all_are_sound(&place, &document);
    assert_eq!(reasons(&place, START, &inventory), []);
}

#[test]
fn a_changed_algorithm_is_a_reason_for_leaves_and_a_warning_for_the_rest() {
    let place = made(START, SMALL);
    let before = place.files();
    let changed =
        with("{algorithms: {kubelet-serving: rsa-2048, etcd-ca: ecdsa-p384, service-account: rsa-2048}}");
    let (exit, _, stderr) = at(&place, START, &["--dry-run"], &changed);
    assert_eq!(exit, Exit::Done, "{stderr}");
    for warning in [
        "warning: CA `ca/etcd` has a key of ecdsa-p256, and the settings say ecdsa-p384: `kmh-pki rotate etcd` makes a new one",
        "warning: key `keys/service-account` has a key of ecdsa-p256, and the settings say rsa-2048: \
         `kmh-pki rotate service-account` makes a new one",
    ] {
        assert!(stderr.contains(warning), "{stderr}");
    }
    let why = "key algorithm changed by settings: ecdsa-p256 should be rsa-2048";
    let names = ["cp-1", "w-1", "w-2"].map(|node| format!("nodes/{node}/kubelet-serving"));
    assert_eq!(reasons(&place, START, &changed), names.clone().map(|name| (name, why.to_owned())));
    let after = place.files();
    for (path, bytes) in &before {
        let reissued = names.iter().any(|name| path.starts_with(name.as_str()));
        assert_eq!(after[path] != *bytes, reissued, "{path}");
    }
    let document = document(&place, START, &changed);
    assert_eq!(certificate(&document, "nodes/w-1/kubelet-serving")["algorithm"], "rsa-2048");
    // The document says what there is, not what was wished for.
    assert_eq!(certificate(&document, "ca/etcd")["algorithm"], "ecdsa-p256");
    assert_eq!(document["spec"]["keys"][2]["algorithm"], "ecdsa-p256");
    assert_eq!(reasons(&place, START, &changed), []);
    // And back.
    assert_eq!(reasons(&place, START, SMALL).len(), 3);
}
