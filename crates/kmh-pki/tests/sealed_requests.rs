//! Keys on machines and keys that wait, in a store whose keys are encrypted: a key that waits is never in the clear.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::requests::{fresh, openssl};
use common::{Place, SMALL, certificate};

/// A place with an encrypted store that `id` opens.
fn sealed() -> Place {
    let place = Place::new();
    let to = place.sh("age-keygen -o id 2>/dev/null && age-keygen -y id", "").exits(0).stdout;
    place.pki(&["--store", "store", "--init", "--recipient", to.trim()], SMALL).exits(0);
    place
}

fn none_is_plain(place: &Place) {
    let everything = place.everything();
    assert!(everything.values().all(|bytes| !String::from_utf8_lossy(bytes).contains("PRIVATE KEY")));
}

#[test]
fn a_machine_takes_its_key_over_and_the_encrypted_one_goes_to_the_archive() {
    let place = sealed();
    fresh(&place, "one", "/O=system:nodes/CN=system:node:w-1", &[]);
    let args = ["sign", "--store", "store", "--csr", "one.csr", "--to", "one.crt"];
    place.pki(&args, SMALL).exits(2).says("--identity");
    place.pki(&[&args[..], &["--identity", "id"]].concat(), SMALL).exits(0);
    let name = "nodes/w-1/kubelet-client";
    let files = place.files();
    for ending in ["key", "key.age", "pub"] {
        assert!(!files.contains_key(&format!("{name}.{ending}")), "{ending}");
    }
    let archived: Vec<_> =
        place.everything().into_keys().filter(|path| path.starts_with(&format!("archive/{name}."))).collect();
    assert!(archived.iter().any(|path| path.ends_with(".key.age")), "{archived:?}");
    // Without the identity nothing is left to do.
    let before = place.snapshot();
    assert_eq!(certificate(&place.document(SMALL), name).get("key"), None);
    assert_eq!(place.snapshot(), before);
    none_is_plain(&place);
}

#[test]
fn a_key_that_waits_is_encrypted_and_stays_so() {
    let place = sealed();
    place.sh("cp -a store offline && rm store/ca/cluster.key.age", "").exits(0);
    let grown = format!("{SMALL}    - {{name: w-3, site: here, address: [10.10.0.23, 'fd00:10::23']}}\n");
    let ask = ["ensure", "--store", "store", "--requests", "ask.json"];
    place.pki(&ask, &grown).exits(0);
    let waiting = "requests/nodes/w-3/kube-proxy";
    let files = place.files();
    assert!(
        files.contains_key(&format!("{waiting}.key.age")) && !files.contains_key(&format!("{waiting}.key"))
    );
    let set = std::fs::read(place.path().join("ask.json")).unwrap();
    place.pki(&ask, &grown).exits(0);
    assert_eq!(std::fs::read(place.path().join("ask.json")).unwrap(), set);
    assert_eq!(place.files(), files);

    let sign =
        ["sign", "--requests", "ask.json", "--to", "signed.json", "--store", "offline", "--identity", "id"];
    place.pki(&sign, &grown).exits(0);
    place.pki(&["import", "--signed", "signed.json", "--store", "store"], &grown).exits(0);
    let name = "nodes/w-3/kube-proxy";
    let after = place.files();
    assert_eq!(after[&format!("{name}.key.age")], files[&format!("{waiting}.key.age")]);
    assert!(
        after.contains_key(&format!("{name}.pub")) && after.keys().all(|path| !path.starts_with("requests/"))
    );
    let crt = format!("store/{name}.crt");
    let public = openssl(&place, &["x509", "-in", &crt, "-noout", "-pubkey"]).exits(0).stdout;
    place.sh(&format!("age -d -i id store/{name}.key.age | openssl pkey -pubout >own.pub"), "").exits(0);
    assert_eq!(std::fs::read_to_string(place.path().join("own.pub")).unwrap(), public);
    place.pki(&["--store", "store"], &grown).exits(0);
    none_is_plain(&place);
}
