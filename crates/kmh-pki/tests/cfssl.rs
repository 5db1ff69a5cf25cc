//! The guides' own tool reads every certificate, and says of it what the document says.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use common::{Place, SMALL, texts};
use serde_json::{Value, json};

/// A number of any length, in tens.
fn decimal(hexadecimal: &str) -> String {
    let mut digits = vec![0_u32];
    for digit in hexadecimal.chars() {
        let mut carry = digit.to_digit(16).unwrap();
        for one in &mut digits {
            let sum = *one * 16 + carry;
            (*one, carry) = (sum % 10, sum / 10);
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    digits.iter().rev().map(ToString::to_string).collect()
}

#[test]
fn cfssl_reads_in_every_certificate_what_the_document_says() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    let mut key_ids = BTreeMap::new();
    // CAs come first.
    for one in document["spec"]["certificates"].as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        let output = Command::new("cfssl")
            .args(["certinfo", "-cert", &format!("{name}.crt")])
            .current_dir(place.store())
            .output()
            .unwrap();
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{name}: {error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        assert_eq!(seen["subject"]["common_name"], one["common_name"], "{name}");
        let organizations = texts(&one["organizations"]);
        let first = organizations.first().map_or(Value::Null, |first| json!(first));
        assert_eq!((organizations.len() < 2, &seen["subject"]["organization"]), (true, &first), "{name}");
        let serial = decimal(one["serial"].as_str().unwrap());
        assert_eq!(seen["serial_number"], serial, "{name}");
        for date in ["not_before", "not_after"] {
            assert_eq!(seen[date], one[date], "{name}");
        }
        let names: BTreeSet<String> = texts(&seen["sans"]).into_iter().collect();
        let wanted = [texts(&one["dns_names"]), texts(&one["addresses"])].concat();
        assert_eq!(names, wanted.into_iter().collect(), "{name}");
        assert_eq!(seen["sigalg"], "ECDSAWithSHA256", "{name}");
        key_ids.insert(name, seen["subject_key_id"].clone());
        let issuer = one["issuer"].as_str().unwrap_or(name);
        assert_eq!(seen["authority_key_id"], key_ids[issuer], "{name}");
        assert!(seen["authority_key_id"].as_str().is_some_and(|id| id.contains(':')), "{name}");
        assert_eq!(seen["pem"], one["pem"], "{name}");
    }
    assert_eq!(key_ids.len(), 27);
}
