//! Passwords of BGP sessions and pre-shared keys of tunnels: made when something new needs them, in stores of any age,
//! and made again when they are lost, because both ends get the new one.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Place, SMALL, article};
use serde_json::Value;

const ARGS: &[&str] = &["--store", "store"];
const TEXT: &[&str] = &["--store", "store", "-o", "text"];

/// Names of the keys in a document, and where they are said to be.
fn keys(document: &Value) -> Vec<(String, String)> {
    let keys = document["spec"]["keys"].as_array().unwrap().iter();
    keys.map(|key| (key["name"].as_str().unwrap().to_owned(), key["class"].as_str().unwrap().to_owned()))
        .collect()
}

fn names(document: &Value, class: &str) -> Vec<String> {
    keys(document).into_iter().filter(|(_, is)| is == class).map(|(name, _)| name).collect()
}

/// The article's inventory with tunnels by pre-shared keys.
fn psk() -> String {
    let inventory = article();
    assert_eq!(inventory.matches("tunnels:").count(), 1);
    let line = inventory.lines().find(|line| line.trim_start().starts_with("tunnels:")).unwrap();
    if let Some(rest) = line.split_once('{') {
        inventory.replace(line, &format!("{}{{auth: psk, {}", rest.0, rest.1))
    } else {
        inventory.replace(line, &format!("{line}\n    auth: psk"))
    }
}

#[test]
fn every_site_has_a_password_that_every_configuration_takes() {
    let place = Place::with_store(&article());
    let document = place.document(&article());
    let passwords = names(&document, "bgp-password");
    assert_eq!(
        passwords,
        ["keys/bgp-tunnel/fw-attic--fw-flat", "keys/bgp/attic", "keys/bgp/flat", "keys/bgp/vps"],
        "one a site, and one for the tunnel between two pfSense routers"
    );
    assert_eq!(names(&document, "tunnel-psk"), [""; 0]);
    let texts: std::collections::BTreeSet<String> = passwords
        .iter()
        .map(|name| std::fs::read_to_string(place.store().join(format!("{name}.key"))).unwrap())
        .collect();
    assert_eq!(texts.len(), 4, "two sites share a password");
    for text in texts {
        // 62^22 > 2^128; Linux takes 80 octets. No line break: it would be part of the password.
        assert!((22..=80).contains(&text.len()), "{} characters", text.len());
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric()), "neither letter nor digit");
        assert!(text.starts_with(|c: char| c.is_ascii_alphabetic()), "what begins with 0s or 0x is decoded");
    }
    for key in document["spec"]["keys"].as_array().unwrap() {
        if key["class"] == "bgp-password" {
            assert_eq!(key["algorithm"], "text-256");
            assert_eq!(key["secret"], format!("{}.key", key["name"].as_str().unwrap()));
            assert!(key.get("public").is_none() && key.get("deploy").is_none());
        }
    }
}

#[test]
fn every_tunnel_has_a_key_when_tunnels_go_by_keys() {
    let place = Place::with_store(&psk());
    let document = place.document(&psk());
    assert_eq!(
        names(&document, "tunnel-psk"),
        ["keys/psk/fw-attic--fw-flat", "keys/psk/fw-attic--gw-vps", "keys/psk/fw-flat--gw-vps"]
    );
    let sorted: Vec<_> = keys(&document).into_iter().map(|(name, _)| name).collect();
    assert!(sorted.is_sorted(), "{sorted:?}");
}

#[test]
fn an_old_store_gains_what_it_lacks_and_nothing_else_changes() {
    let without = SMALL.replace("  sites:", "  bgp: {passwords: false}\n  sites:");
    let place = Place::with_store(&without);
    assert_eq!(names(&place.document(&without), "bgp-password"), [""; 0]);
    assert!(!place.store().join("keys/bgp").exists());
    let before = place.files();
    let ran = place.pki(TEXT, SMALL).exits(0);
    assert!(ran.stdout.contains("keys/bgp/here  missing"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("made 1 key of 27 certificates and 3 keys\n"), "{}", ran.stdout);
    let after = place.files();
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|(name, bytes)| after[name] == *bytes), "something else changed");
    // Twice changes nothing.
    let snapshot = place.snapshot();
    let ran = place.pki(TEXT, SMALL).exits(0);
    assert!(ran.stdout.ends_with("nothing to do: 27 certificates and 3 keys\n"), "{}", ran.stdout);
    assert_eq!(place.snapshot(), snapshot);
    // Switched off, the password stays where it is, and nobody is told of it but by number.
    let ran = place.pki(TEXT, &without).exits(0);
    assert!(
        ran.stdout.ends_with(
            "nothing to do: 27 certificates and 2 keys; 1 key that nothing uses any more stays in the store\n"
        ),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("keys/bgp"), "{}", ran.stdout);
    assert_eq!(place.snapshot(), snapshot);
}

#[test]
fn a_lost_password_is_made_again_and_a_damaged_one_is_named() {
    let place = Place::with_store(&psk());
    let lost = ["keys/bgp/attic.key", "keys/psk/fw-attic--gw-vps.key"];
    let old: Vec<Vec<u8>> =
        lost.iter().map(|name| std::fs::read(place.store().join(name)).unwrap()).collect();
    for name in lost {
        std::fs::remove_file(place.store().join(name)).unwrap();
    }
    let ran = place.pki(TEXT, &psk()).exits(0);
    assert!(ran.stdout.contains("made 2 keys of"), "{}", ran.stdout);
    for (name, old) in lost.iter().zip(old) {
        assert_ne!(std::fs::read(place.store().join(name)).unwrap(), old, "{name} is the old one");
    }
    let path = place.store().join(lost[0]);
    for (bytes, says) in [
        (&b""[..], "is damaged: it is empty"),
        (b"Abc123", "is damaged: it is not 22 to 80 letters and digits"),
        (b"with-a-line-break-at-its-end-as-editors-do\n", "it is not 22 to 80 letters and digits"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        place
            .pki(ARGS, &psk())
            .exits(3)
            .says(says)
            .says("restore it from a backup, or remove `keys/bgp/attic.key` to have a new one made");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "it was written over");
    }
}
