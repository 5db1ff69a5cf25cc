//! A root above the CAs: what it signs, who trusts what, and that its key may be away.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::requests::openssl;
use common::{Place, SMALL, certificate};
use serde_json::Value;

const ARGS: &[&str] = &["--store", "store"];
const BELOW: [&str; 3] = ["cluster", "etcd", "front-proxy"];

fn rooted() -> String {
    format!("{SMALL}  pki: {{root: true}}\n")
}

#[test]
fn the_root_signs_the_cas_of_kubernetes_and_nobody_is_told_to_trust_it() {
    let inventory = rooted();
    let place = Place::with_store(&inventory);
    let verify = |args: &[&str]| openssl(&place, &[&["verify", "-x509_strict"], args].concat());
    let root = "store/ca/root.crt";
    for ca in BELOW {
        let ca = format!("store/ca/{ca}.crt");
        verify(&["-CAfile", root, &ca]).exits(0);
        let text = openssl(&place, &["x509", "-in", &ca, "-noout", "-text"]).exits(0).stdout;
        assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Issuer: CN = kmh-root-ca"), "{text}");
    }
    let text = openssl(&place, &["x509", "-in", root, "-noout", "-text"]).exits(0).stdout;
    assert!(text.contains("CA:TRUE, pathlen:1"), "{text}");
    // strongSwan takes only what signed itself for an anchor.
    verify(&["-CAfile", "store/ca/ipsec.crt", "store/ca/ipsec.crt"]).exits(0);

    let leaf = "store/nodes/cp-1/apiserver.crt";
    verify(&["-CAfile", root, "-untrusted", "store/ca/cluster.crt", leaf]).exits(0);
    verify(&["-partial_chain", "-CAfile", "store/ca/cluster.crt", leaf]).exits(0);
    // Without a word OpenSSL goes on to a root that it has not got.
    verify(&["-CAfile", "store/ca/cluster.crt", leaf]).exits(2);

    let document = place.document(&inventory);
    let of = |name: &str| certificate(&document, name).clone();
    assert_eq!(of("ca/root").get("issuer"), None);
    assert_eq!(of("ca/root").get("deploy"), None);
    assert_eq!(of("ca/ipsec").get("issuer"), None);
    assert_eq!(of("ca/cluster")["issuer"], "ca/root");
    assert_eq!(of("ca/cluster")["deploy"][0]["certificate"], "/etc/kubernetes/pki/ca.crt");
    // What is below it ends first.
    assert!(of("ca/root")["not_after"].as_str() > of("ca/cluster")["not_after"].as_str());
    let before = place.snapshot();
    place.pki(ARGS, &inventory).exits(0);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn whoever_trusted_the_root_would_take_every_ca_below_it() {
    let place = Place::with_store(&rooted());
    let kubelet = "store/nodes/w-1/kubelet-client.crt";
    let as_client = |args: &[&str]| {
        let args = [&["verify", "-x509_strict", "-partial_chain", "-purpose", "sslclient"], args, &[kubelet]]
            .concat();
        openssl(&place, &args)
    };
    // etcd with its own CA as anchor refuses a kubelet, even one that brings its CA along; with the root it would not.
    as_client(&["-CAfile", "store/ca/etcd.crt", "-untrusted", "store/ca/cluster.crt"]).exits(2);
    as_client(&["-CAfile", "store/ca/root.crt", "-untrusted", "store/ca/cluster.crt"]).exits(0);
}

#[test]
fn its_key_may_be_away_from_the_first_day_on() {
    let inventory = rooted();
    let place = Place::with_store(&inventory);
    std::fs::rename(place.store().join("ca/root.key"), place.path().join("root.key")).unwrap();
    let before = place.snapshot();
    place.pki(ARGS, &inventory).exits(0);
    assert_eq!(place.snapshot(), before);
    let grown = inventory
        .replace("  pki:", "    - {name: w-3, site: here, address: [10.10.0.23, 'fd00:10::23']}\n  pki:");
    place.pki(ARGS, &grown).exits(0);
    // Only a CA that has to be made needs it.
    for name in ["ca/front-proxy", "nodes/cp-1/front-proxy-client"] {
        for ending in ["crt", "key"] {
            std::fs::remove_file(place.store().join(format!("{name}.{ending}"))).unwrap();
        }
    }
    let before = place.snapshot();
    let ran = place.pki(ARGS, &grown).exits(3);
    assert!(
        ran.stderr.contains("`ca/root` cannot sign `ca/front-proxy`: the store does not hold its key"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("bring its key back"), "{}", ran.stderr);
    assert_eq!(place.snapshot(), before);
    std::fs::rename(place.path().join("root.key"), place.store().join("ca/root.key")).unwrap();
    place.pki(ARGS, &grown).exits(0);
    openssl(&place, &["verify", "-x509_strict", "-CAfile", "store/ca/root.crt", "store/ca/front-proxy.crt"])
        .exits(0);
}

#[test]
fn a_root_that_is_lost_or_another_is_refused() {
    let inventory = rooted();
    let place = Place::with_store(&inventory);
    let other = Place::with_store(&inventory);
    let crt = place.store().join("ca/root.crt");
    std::fs::copy(other.store().join("ca/root.crt"), &crt).unwrap();
    std::fs::copy(other.store().join("ca/root.key"), place.store().join("ca/root.key")).unwrap();
    let ran = place.pki(ARGS, &inventory).exits(3);
    for ca in BELOW {
        assert!(
            ran.stderr.contains(&format!("CA `ca/{ca}` is signed by another CA than `ca/root`")),
            "{}",
            ran.stderr
        );
    }
    std::fs::remove_file(&crt).unwrap();
    std::fs::remove_file(place.store().join("ca/root.key")).unwrap();
    place
        .pki(ARGS, &inventory)
        .exits(3)
        .says("CA `ca/root` is missing, and the store holds 3 certificates that it signed");
}

#[test]
fn a_store_without_root_gets_one_and_its_cas_stay_until_they_are_rotated() {
    let place = Place::with_store(SMALL);
    let before = place.files();
    let ran = place.pki(ARGS, &rooted()).exits(0);
    for ca in BELOW {
        let said = format!(
            "CA `ca/{ca}` signed itself, and the settings want a root above it: `kmh-pki rotate {ca}`"
        );
        assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    }
    let after = place.files();
    assert!(after.contains_key("ca/root.key"));
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
    let document: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(certificate(&document, "ca/cluster").get("issuer"), None);
    place.pki(ARGS, &rooted()).exits(0);
    assert_eq!(place.files(), after);
}

#[test]
fn a_rotation_makes_a_ca_that_the_root_signs_and_says_so_when_its_key_is_away() {
    let inventory = rooted();
    let place = Place::with_store(SMALL);
    let rotate =
        |more: &[&str]| place.pki(&[&["rotate", "etcd", "-o", "text"], ARGS, more].concat(), &inventory);
    let before = place.snapshot();
    let ran = rotate(&[]).exits(1);
    assert!(
        ran.stdout.contains("`ca/root` is to sign `ca/etcd.next`, and the store does not hold it"),
        "{}",
        ran.stdout
    );
    assert_eq!(place.snapshot(), before);
    place.pki(ARGS, &inventory).exits(0);

    // What signed itself before there was a root is told of, and no fault.
    let verify = || {
        let ran = place.pki(&[&["verify"], ARGS].concat(), &inventory).exits(0);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let note =
            |one: &Value| format!("{} {}", one["id"].as_str().unwrap(), one["subject"].as_str().unwrap());
        report["findings"].as_array().unwrap().iter().map(note).collect::<Vec<_>>()
    };
    assert_eq!(verify(), BELOW.map(|ca| format!("chain.no-root ca/{ca}")));

    let away = place.path().join("root.key");
    std::fs::rename(place.store().join("ca/root.key"), &away).unwrap();
    let before = place.snapshot();
    let ran = rotate(&[]).exits(1);
    assert!(
        ran.stdout.contains("`ca/root` cannot sign `ca/etcd.next`: the store does not hold its key"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("bring `ca/root.key` back for this step"), "{}", ran.stdout);
    assert_eq!(place.snapshot(), before);
    std::fs::rename(&away, place.store().join("ca/root.key")).unwrap();
    let ran = rotate(&[]).exits(0);
    assert!(!ran.stderr.contains("etcd.next"), "{}", ran.stderr);
    // From here on the root is not asked.
    std::fs::rename(place.store().join("ca/root.key"), &away).unwrap();
    rotate(&["--deployed"]).exits(0);
    let ran = place.pki(ARGS, &inventory).exits(0);
    assert!(!ran.stderr.contains("ca/etcd"), "{}", ran.stderr);
    rotate(&["--deployed"]).exits(0);
    openssl(&place, &["verify", "-x509_strict", "-CAfile", "store/ca/root.crt", "store/ca/etcd.crt"])
        .exits(0);
    assert_eq!(verify(), ["chain.no-root ca/cluster", "chain.no-root ca/front-proxy"]);
}
