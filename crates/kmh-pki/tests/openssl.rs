//! The real openssl judges every certificate: the right purposes pass, the wrong ones and the wrong CAs fail.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{Place, SMALL, article, certificate, texts};
use serde_json::Value;

fn openssl(place: &Place, args: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(args).current_dir(place.store()).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[track_caller]
fn good(place: &Place, args: &[&str]) -> String {
    let (success, text) = openssl(place, args);
    assert!(success, "openssl {args:?}:\n{text}");
    text
}

fn leaves(document: &Value) -> Vec<&Value> {
    document["spec"]["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one.get("issuer").is_some())
        .collect()
}

const CAS: [&str; 4] = ["ca/cluster", "ca/etcd", "ca/front-proxy", "ca/ipsec"];

#[test]
fn every_leaf_passes_strictly_for_its_purposes_and_fails_for_all_else() {
    let place = Place::with_store(&article());
    let document = place.document(&article());
    let leaves = leaves(&document);
    assert_eq!(leaves.len(), 52);
    let files: Vec<String> =
        leaves.iter().map(|leaf| format!("{}.crt", leaf["name"].as_str().unwrap())).collect();
    for authority in CAS {
        for (purpose, usage) in [("sslserver", "server"), ("sslclient", "client"), ("smimesign", "mail")] {
            let ca = format!("{authority}.crt");
            let mut args =
                vec!["verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose, "-CAfile", &ca];
            args.extend(files.iter().map(String::as_str));
            let (_, text) = openssl(&place, &args);
            for (leaf, file) in leaves.iter().zip(&files) {
                let wanted =
                    leaf["issuer"] == authority && texts(&leaf["usages"]).iter().any(|one| one == usage);
                let ok = format!("{file}: OK");
                let passed = text.lines().any(|line| line == ok);
                assert_eq!(passed, wanted, "{file}, {purpose}, {authority}:\n{text}");
                assert!(
                    passed || text.contains(&format!("error {file}: verification failed")),
                    "{file}:\n{text}"
                );
            }
        }
    }
    // No leaf signs another certificate, nor passes for a CA itself.
    for file in &files {
        let (passed, _) = openssl(&place, &["verify", "-x509_strict", "-CAfile", file, file]);
        assert!(!passed, "{file} passes for a CA");
    }
}

#[test]
fn every_name_and_address_is_found_in_its_certificate() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    let mut checked = 0;
    for leaf in leaves(&document) {
        let file = format!("{}.crt", leaf["name"].as_str().unwrap());
        for (option, field) in [("-checkhost", "dns_names"), ("-checkip", "addresses")] {
            for name in texts(&leaf[field]) {
                let text = good(&place, &["x509", "-noout", "-in", &file, option, &name]);
                assert!(text.contains("does match"), "{file}: {text}");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
    // What the API server is called by: people, pods, kubelets through the local haproxy, both families.
    let apiserver = certificate(&document, "nodes/cp-1/apiserver");
    let dns = [
        "cp-1",
        "k8s.example.net",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ];
    assert_eq!(texts(&apiserver["dns_names"]), dns);
    let addresses = ["10.10.0.11", "10.201.0.1", "127.0.0.1", "::1", "fd00:10::11", "fd00:201::1"];
    assert_eq!(texts(&apiserver["addresses"]), addresses);
    let kubelet = certificate(&document, "nodes/w-1/kubelet-serving");
    assert_eq!(texts(&kubelet["addresses"]), ["10.10.0.21", "fd00:10::21"]);
    assert_eq!(certificate(&document, "routers/gw/ipsec")["dns_names"][0], "gw.small.ipsec.internal");
    // An address as the name by which people call the API is an address in the certificate too.
    let by_address = SMALL.replace("k8s.example.net", "192.0.2.7");
    let place = Place::with_store(&by_address);
    let document = place.document(&by_address);
    let apiserver = certificate(&document, "nodes/cp-1/apiserver");
    assert!(texts(&apiserver["addresses"]).contains(&"192.0.2.7".to_owned()));
    assert!(!texts(&apiserver["dns_names"]).contains(&"192.0.2.7".to_owned()));
}

#[test]
fn the_profile_is_that_of_rfc_5280() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    let mut serials = BTreeSet::new();
    for one in document["spec"]["certificates"].as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        let file = format!("{name}.crt");
        let text = good(&place, &["x509", "-noout", "-text", "-in", &file]);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let has = |part: &str| assert!(words.contains(part), "{name} lacks {part:?}:\n{text}");
        has("Version: 3 (0x2)");
        has("Signature Algorithm: ecdsa-with-SHA256");
        has("X509v3 Subject Key Identifier:");
        has("X509v3 Authority Key Identifier:");
        if one.get("issuer").is_none() {
            has("X509v3 Basic Constraints: critical CA:TRUE, pathlen:0");
            has("X509v3 Key Usage: critical Certificate Sign, CRL Sign X509v3");
            assert!(!words.contains("Extended Key Usage") && !words.contains("Alternative Name"), "{text}");
        } else {
            has("X509v3 Basic Constraints: critical CA:FALSE");
            has("X509v3 Key Usage: critical Digital Signature X509v3");
            let usages: Vec<_> = texts(&one["usages"]);
            let wanted = match usages.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["client"] => "TLS Web Client Authentication X509v3",
                ["server"] => "TLS Web Server Authentication X509v3",
                ["client", "server"] => "TLS Web Client Authentication, TLS Web Server Authentication X509v3",
                ref other => panic!("{name}: {other:?}"),
            };
            has(&format!("X509v3 Extended Key Usage: {wanted}"));
            // RFC 5280, 4.2.1.6: with a subject, alternative names are not critical; there is no empty list of them.
            assert_eq!(
                words.contains("X509v3 Subject Alternative Name: DNS:"),
                !texts(&one["dns_names"]).is_empty(),
                "{text}"
            );
        }
        let serial = one["serial"].as_str().unwrap();
        assert!(serial.len() == 40 && serial.as_bytes()[0] < b'8', "{name}: {serial}");
        assert!(serials.insert(serial.to_owned()), "{serial} twice");
        let shown = good(&place, &["x509", "-noout", "-serial", "-fingerprint", "-sha256", "-in", &file]);
        assert!(shown.contains(&serial.to_uppercase()), "{shown}");
        let fingerprint = one["fingerprint"].as_str().unwrap().to_uppercase();
        assert!(shown.replace(':', "").contains(&fingerprint), "{shown}");
        // The key in the store is the certificate's, and openssl reads it.
        let public = good(&place, &["x509", "-noout", "-pubkey", "-in", &file]);
        assert_eq!(good(&place, &["pkey", "-pubout", "-in", &format!("{name}.key")]), public);
        // The document holds the file as it is.
        assert_eq!(one["pem"], std::fs::read_to_string(place.store().join(&file)).unwrap().as_str());
    }
    let public = good(&place, &["pkey", "-pubout", "-in", "keys/service-account.key"]);
    assert_eq!(document["spec"]["keys"][2]["public"], public.as_str());
}

/// Python's flag is what Python 3.13 sets by default, and stricter than Go.
const HANDSHAKE: &str = r#"
import socket, ssl, sys, threading
server_name, client_name = sys.argv[1], sys.argv[2]
def context(side, name):
    c = ssl.SSLContext(side)
    c.load_cert_chain("nodes/%s.crt" % name, "nodes/%s.key" % name)
    c.load_verify_locations("ca/cluster.crt")
    c.verify_mode = ssl.CERT_REQUIRED
    c.verify_flags |= ssl.VERIFY_X509_STRICT
    return c
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    try:
        with context(ssl.PROTOCOL_TLS_SERVER, server_name).wrap_socket(listener.accept()[0], server_side=True) as s:
            s.sendall(dict(x[0] for x in s.getpeercert()["subject"])["commonName"].encode())
    except ssl.SSLError as e:
        print(e)
thread = threading.Thread(target=serve)
thread.start()
try:
    with socket.create_connection(listener.getsockname()) as raw:
        with context(ssl.PROTOCOL_TLS_CLIENT, client_name).wrap_socket(raw, server_hostname="127.0.0.1") as s:
            print(s.recv(100).decode())
except (ssl.SSLError, OSError) as e:
    print(e)
thread.join()
"#;

#[test]
fn a_strict_handshake_works_both_ways_and_not_with_the_wrong_certificate() {
    let place = Place::with_store(SMALL);
    let shake = |server: &str, client: &str| {
        let output = Command::new("python3")
            .args(["-c", HANDSHAKE, server, client])
            .current_dir(place.store())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    // A kubelet on the node itself, through the haproxy on its loopback.
    assert_eq!(shake("cp-1/apiserver", "w-1/kubelet-client"), "system:node:w-1\n");
    assert_eq!(shake("cp-1/apiserver", "cp-1/admin"), "kubernetes-admin\n");
    // A client that poses as a server, a server that poses as a client, and a member of another PKI.
    let posing = shake("cp-1/admin", "w-1/kubelet-client");
    assert!(posing.contains("CERTIFICATE_VERIFY_FAILED"), "{posing}");
    let serving = shake("cp-1/apiserver", "w-1/kubelet-serving");
    assert!(serving.contains("CERTIFICATE_VERIFY_FAILED"), "{serving}");
    let foreign = shake("cp-1/apiserver", "cp-1/front-proxy-client");
    assert!(foreign.contains("CERTIFICATE_VERIFY_FAILED"), "{foreign}");
}
