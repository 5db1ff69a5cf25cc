//! The bytes of every key, in every form, are nowhere in what the program says.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Place, SMALL};

/// The secret octets of a file: of a PKCS #8 file those that differ from key to key, the public half left out. None
/// when this test damaged it.
fn secret(file: &[u8]) -> Option<Vec<u8>> {
    match std::str::from_utf8(file) {
        Ok(text) if text.starts_with("-----BEGIN") => {
            let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
            let der = STANDARD.decode(body).ok()?;
            // Where private octets stand: the scalar of P-256, of P-384 (its first part), of Ed25519, and in the middle
            // of an RSA key a part of its private exponent or primes.
            let from = match (der.get(..2)?, der.len()) {
                ([0x30, 0x81], 80..200) => 36,
                ([0x30, 0x2e], 48) => 16,
                ([0x30, 0x82], length) => length / 2,
                _ => return None,
            };
            der.get(from..from + 32).map(<[u8]>::to_vec)
        }
        _ => Some(file.to_vec()),
    }
}

/// Raw, hexadecimal, base64 at each alignment, and the lines of the file.
fn forms(file: &[u8]) -> Vec<Vec<u8>> {
    let raw = secret(file).unwrap();
    let hex = kmh_pki::secret::hex(&raw);
    let mut forms = vec![raw.clone(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for skip in 0..3_usize {
        let encoded = STANDARD.encode([vec![0; skip], raw.clone()].concat());
        forms.push(encoded.as_bytes()[(skip * 8).div_ceil(6)..(skip + raw.len()) * 8 / 6].to_vec());
    }
    if let Ok(text) = std::str::from_utf8(file) {
        let lines = text.lines().filter(|line| line.len() > 20 && !line.starts_with('-'));
        forms.extend(lines.take(2).map(|line| line.as_bytes().to_vec()));
    }
    forms
}

fn is_key(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|ending| ending == "key")
}

fn holds(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn no_form_of_any_key_is_in_any_output() {
    let place = Place::new();
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    let mut said = Vec::new();
    let mut keys: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut run = |args: &[&str], inventory: &str| {
        let ran = place.pki(&[&["--store", "store", "-vv"], args].concat(), inventory);
        said.push(ran.stdout.into_bytes());
        said.push(ran.stderr.into_bytes());
        for (name, bytes) in place.files().into_iter().filter(|(name, _)| is_key(name)) {
            keys.insert(format!("{name} {}", keys.len()), bytes);
        }
    };
    // Every kind of key once, all of P-256 after that.
    let mixed =
        "spec:\n  pki: {algorithms: {apiserver: rsa-2048, kubelet-serving: ed25519, etcd-ca: ecdsa-p384}}\n";
    run(&["--init"], &SMALL.replacen("spec:\n", mixed, 1));
    for form in ["json", "text", "ansible"] {
        run(&["-o", form, "--dry-run"], &moved);
        run(&["-o", form], if form == "text" { SMALL } else { &moved });
    }
    // Damaged in every way that a file can be: the error text.
    let store = place.store();
    let key = std::fs::read(store.join("nodes/w-1/kube-proxy.key")).unwrap();
    let text = String::from_utf8(key.clone()).unwrap();
    for damage in [
        key[..150].to_vec(),
        text.replacen("MI", "M*", 1).into_bytes(),
        text.replace("PRIVATE", "EC PRIVATE").into_bytes(),
        text.replacen("MIG", "MIH", 1).into_bytes(),
        std::fs::read(store.join("nodes/w-2/kube-proxy.key")).unwrap(),
    ] {
        std::fs::write(store.join("nodes/w-1/kube-proxy.key"), damage).unwrap();
        run(&[], SMALL);
    }
    let password = store.join("keys/bgp/here.key");
    let text = std::fs::read_to_string(&password).unwrap();
    for damage in
        [text.clone() + "\n", text[..20].to_owned(), text.replace(|c: char| c.is_ascii_digit(), "-")]
    {
        std::fs::write(&password, damage).unwrap();
        run(&[], SMALL);
    }
    std::fs::write(&password, text).unwrap();
    // A key where a certificate belongs, and where the identity belongs.
    std::fs::write(store.join("nodes/w-1/kube-proxy.crt"), &key).unwrap();
    run(&[], SMALL);
    std::fs::write(store.join("store.json"), &key).unwrap();
    run(&[], SMALL);
    std::fs::write(store.join("store.json"), std::fs::read(store.join("keys/encryption.key")).unwrap())
        .unwrap();
    run(&[], SMALL);

    // Scalars and random octets; passwords.
    keys.retain(|_, bytes| secret(bytes).is_some_and(|octets| matches!(octets.len(), 32 | 45)));
    assert!(keys.keys().any(|name| name.starts_with("keys/bgp/here.key")), "no password among them");
    for (kind, length) in [("RSA", 1000..2000), ("Ed25519", 100..130), ("P-384", 290..330)] {
        assert!(keys.values().any(|bytes| length.contains(&bytes.len())), "no {kind} key among them");
    }
    let distinct: std::collections::BTreeSet<_> = keys.values().collect();
    assert!(distinct.len() > 29, "{}", distinct.len());
    let all = said.concat();
    assert!(all.len() > 100_000, "{}", all.len());
    for key in distinct {
        for form in forms(key) {
            assert!(!holds(&all, &form), "{}", String::from_utf8_lossy(&form));
        }
    }
    // The search finds what is there.
    let certificate = std::fs::read_to_string(place.store().join("nodes/w-2/kube-proxy.crt")).unwrap();
    let line = certificate.lines().nth(1).unwrap();
    assert!(holds(&all, line.as_bytes()));
}
