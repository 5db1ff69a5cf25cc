//! The table of kubeadm 1.36 ("PKI certificates and requirements", and its source) against what is made: names, paths,
//! groups, usages, alternative names and signers. Whatever differs is listed here, and each difference has its row, with
//! the reason, in `docs/pki.md`; no row is there without one.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{Place, SMALL, certificate, texts};
use serde_json::Value;

const KUBEADM: &str = include_str!("kubeadm-1.36.tsv");

/// What kubeadm keeps elsewhere: its file, and the name here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("admin.conf", "nodes/cp-1/admin"),
    ("super-admin.conf", "cluster/break-glass-admin"),
    ("kubelet.conf", "nodes/cp-1/kubelet-client"),
    ("controller-manager.conf", "nodes/cp-1/controller-manager"),
    ("scheduler.conf", "nodes/cp-1/scheduler"),
    ("/var/lib/kubelet/pki/kubelet.crt", "nodes/cp-1/kubelet-serving"),
];

const EVERY_ADDRESS: &str = "serving certificates: every name and address of the node";
const CA: &str = "CA: `keyCertSign`, `cRLSign`, path length 0, no alternative name";
const FILES: &str = "clients' certificates are files";
const KUBELET: &str = "kubelet serving certificate, signed, with every address";

/// Every difference: kubeadm's file or the name here, what differs, and the first cell of its row in the manual.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("/var/lib/kubelet/pki/kubelet.crt", "common name", KUBELET),
    ("/var/lib/kubelet/pki/kubelet.crt", "name + 10.10.0.11", KUBELET),
    ("/var/lib/kubelet/pki/kubelet.crt", "name + fd00:10::11", KUBELET),
    ("/var/lib/kubelet/pki/kubelet.crt", "organization", KUBELET),
    ("/var/lib/kubelet/pki/kubelet.crt", "path", KUBELET),
    ("/var/lib/kubelet/pki/kubelet.crt", "signer", KUBELET),
    ("admin.conf", "path", FILES),
    ("controller-manager.conf", "path", FILES),
    ("kubelet.conf", "path", FILES),
    ("pki/apiserver.crt", "name + fd00:201::1", "API server: first service address of each family"),
    ("pki/apiserver.crt", "name + 127.0.0.1", "API server: `localhost` and both loopback addresses"),
    ("pki/apiserver.crt", "name + ::1", "API server: `localhost` and both loopback addresses"),
    ("pki/apiserver.crt", "name + fd00:10::11", EVERY_ADDRESS),
    ("pki/apiserver.crt", "name + localhost", "API server: `localhost` and both loopback addresses"),
    ("pki/ca.crt", "name - kubernetes", CA),
    ("pki/etcd/ca.crt", "name - etcd-ca", CA),
    ("pki/etcd/peer.crt", "name + fd00:10::11", EVERY_ADDRESS),
    ("pki/etcd/server.crt", "name + fd00:10::11", EVERY_ADDRESS),
    ("pki/front-proxy-ca.crt", "name - front-proxy-ca", CA),
    ("scheduler.conf", "path", FILES),
    ("super-admin.conf", "path", "break-glass admin in the store only"),
    ("ca/ipsec", "not in kubeadm", "encryption key, IPsec CA and certificates"),
    ("keys/bgp/here", "not in kubeadm", "encryption key, IPsec CA and certificates"),
    ("keys/encryption", "not in kubeadm", "encryption key, IPsec CA and certificates"),
    ("nodes/*/kube-proxy", "not in kubeadm", "kube-proxy has a certificate on each node"),
    (
        "nodes/cp-1/controller-manager-serving",
        "not in kubeadm",
        "controller manager and scheduler have serving certificates",
    ),
    (
        "nodes/cp-1/scheduler-serving",
        "not in kubeadm",
        "controller manager and scheduler have serving certificates",
    ),
    ("routers/gw/ipsec", "not in kubeadm", "encryption key, IPsec CA and certificates"),
];

/// Rows of the manual that are about more than the table: what holds them.
const ELSEWHERE_HELD: &[(&str, &str)] = &[
    ("ECDSA P-256", "tests/openssl.rs"),
    ("no `keyEncipherment`", "tests/openssl.rs, tests/algorithms.rs"),
    ("a subject key identifier on every certificate", "tests/openssl.rs"),
    ("20 octets of serial number, 158 random bits", "tests/openssl.rs"),
    ("a leaf ends with its CA at the latest", "tests/reissue.rs"),
    ("one hour backdated", "tests/reissue.rs"),
    ("health-check client on etcd nodes", "the table: kubeadm's members of etcd are control planes"),
    ("admins, clients of each control-plane node have their own keys", "kmh-check `pki.keys`"),
];

fn set(words: &str) -> BTreeSet<String> {
    words.split_whitespace().filter(|word| *word != "-").map(ToOwned::to_owned).collect()
}

/// What differs between a row of kubeadm's and a certificate here.
fn differences(row: &[&str; 6], one: &Value, paths: &BTreeMap<&str, String>) -> Vec<String> {
    let [file, common_name, organization, usages, names, signer] = row;
    let mut found = Vec::new();
    let mut differs = |what: &str, is: bool| found.extend(is.then(|| what.to_owned()));
    differs("common name", one["common_name"] != *common_name);
    differs("organization", texts(&one["organizations"]).join(" ") != organization.trim_matches('-'));
    differs("usages", texts(&one["usages"]).into_iter().collect::<BTreeSet<_>>() != set(usages));
    let issuer = one["issuer"].as_str().map_or("itself", |name| paths[name].as_str());
    differs("signer", issuer != *signer);
    let path = paths.get(one["name"].as_str().unwrap());
    differs("path", path.is_none_or(|path| path != file));
    let have: BTreeSet<String> =
        texts(&one["dns_names"]).into_iter().chain(texts(&one["addresses"])).collect();
    let want = set(names);
    found.extend(have.difference(&want).map(|name| format!("name + {name}")));
    found.extend(want.difference(&have).map(|name| format!("name - {name}")));
    found
}

#[test]
fn what_is_made_is_what_kubeadm_makes_but_for_what_the_manual_says() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    let all = document["spec"]["certificates"].as_array().unwrap();
    // Where each goes on the control plane, below kubeadm's folder.
    let mut paths = BTreeMap::new();
    for one in all {
        for deploy in one["deploy"].as_array().unwrap_or(&Vec::new()) {
            if deploy["machine"] == "cp-1" {
                let path = deploy["certificate"].as_str().unwrap();
                let below = path.strip_prefix("/etc/kubernetes/").unwrap_or(path);
                paths.insert(one["name"].as_str().unwrap(), below.to_owned());
                if let Some(key) = deploy["key"].as_str() {
                    assert_eq!(key, path.replace(".crt", ".key"), "{one}");
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    let mut known = BTreeSet::new();
    for line in KUBEADM.lines().filter(|line| !line.starts_with('#')) {
        let line = line
            .replace("NODE", "cp-1")
            .replace("DOMAIN", "cluster.local")
            .replace("SERVICE", "10.201.0.1")
            .replace("ADVERTISE", "10.10.0.11")
            .replace("ENDPOINT", "k8s.example.net");
        let cells: Vec<&str> = line.split('\t').collect();
        let row: &[&str; 6] = cells.as_slice().try_into().unwrap();
        let elsewhere = ELSEWHERE.iter().find(|(file, _)| *file == row[0]).map(|(_, name)| *name);
        let here = paths.iter().find(|(_, path)| *path == row[0]).map(|(name, _)| *name);
        let name = elsewhere.or(here).unwrap_or_else(|| panic!("kubeadm has {}, and nothing here", row[0]));
        known.insert(name);
        let differ = differences(row, certificate(&document, name), &paths);
        found.extend(differ.into_iter().map(|what| (row[0].to_owned(), what)));
    }
    let keys = document["spec"]["keys"].as_array().unwrap();
    let more = all.iter().chain(keys).map(|one| one["name"].as_str().unwrap());
    // Those of workers are those of the control plane again; kubeadm has this key, at this place.
    let workers = ["w-1", "w-2"].map(|node| format!("nodes/{node}/"));
    for name in more.filter(|name| !known.contains(name) && *name != "keys/service-account") {
        let name = match workers.iter().find_map(|start| name.strip_prefix(start.as_str())) {
            Some("kubelet-client" | "kubelet-serving") => continue,
            Some(rest) => format!("nodes/*/{rest}"),
            None => name.replace("nodes/cp-1/kube-proxy", "nodes/*/kube-proxy"),
        };
        found.insert((name, "not in kubeadm".to_owned()));
    }
    let service_account = keys.iter().find(|key| key["name"] == "keys/service-account").unwrap();
    assert_eq!(service_account["deploy"][0]["certificate"], "/etc/kubernetes/pki/sa.pub");
    assert_eq!(service_account["deploy"][0]["key"], "/etc/kubernetes/pki/sa.key");

    let listed: BTreeSet<_> =
        DIFFERENCES.iter().map(|(file, what, _)| ((*file).to_owned(), (*what).to_owned())).collect();
    assert_eq!(found, listed);
}

#[test]
fn every_difference_has_its_row_in_the_manual_and_every_row_its_difference() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pki.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let section = manual.split("\n## ").find(|section| section.starts_with("Differences from kubeadm 1.36"));
    let rows: BTreeSet<&str> = section
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| here "))
        .map(|line| line.split(" | ").next().unwrap().trim_start_matches("| "))
        .collect();
    let reasoned: BTreeSet<&str> = DIFFERENCES
        .iter()
        .map(|(_, _, row)| *row)
        .chain(ELSEWHERE_HELD.iter().map(|(row, _)| *row))
        .collect();
    assert_eq!(rows, reasoned);
}

#[test]
fn keys_go_to_the_machine_that_they_are_for_and_those_of_cas_nowhere() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    for one in document["spec"]["certificates"].as_array().unwrap() {
        for deploy in one["deploy"].as_array().unwrap_or(&vec![]) {
            match one.get("issuer") {
                None => assert!(deploy.get("key").is_none(), "{}", one["name"]),
                Some(_) => assert_eq!(deploy["machine"], one["machine"], "{}", one["name"]),
            }
        }
    }
    assert!(certificate(&document, "cluster/break-glass-admin").get("deploy").is_none());
    // What stands inside configurations is no file anywhere.
    for (number, name) in [(0, "keys/bgp/here"), (1, "keys/encryption")] {
        assert_eq!(document["spec"]["keys"][number]["name"], name);
        assert!(document["spec"]["keys"][number].get("deploy").is_none(), "{name}");
    }
}
