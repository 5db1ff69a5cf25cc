//! A CA that a company made by its own tools, in place of one of ours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::requests::{ask, import, openssl, sign};
use common::{Place, SMALL};

const STORE: &[&str] = &["--store", "store"];

/// A CA as a company has one: made by openssl, with a name of several parts, an intermediate or not.
fn company(place: &Place, folder: &str) {
    let line = format!(
        "mkdir -p {folder}/ca && cd {folder}
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout ../company.key -out ca/cluster.crt \
           -days 3650 -subj '/C=DE/DC=net/DC=example/O=Example AG/OU=IT/OU=PKI/CN=Example Issuing CA 3' \
           -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign"
    );
    place.sh(&line, "").exits(0);
}

#[test]
fn a_ca_that_is_somebody_elses_signs_with_its_own_tools() {
    let place = Place::new();
    company(&place, "store");
    let ran = place.pki(&["--store", "store", "--init"], SMALL).exits(3);
    assert!(ran.stderr.contains("`ca/cluster` cannot sign `nodes/w-1/kube-proxy`"), "{}", ran.stderr);
    let set = ask(&place, SMALL);
    let requests = set["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 17);
    // The other CAs are ours, and what they sign is there already.
    assert!(place.files().contains_key("nodes/cp-1/etcd-server.key"));
    assert!(place.files().contains_key("keys/service-account.key"));
    // The CA's own tool: openssl, which copies what the request asks for and adds what a company adds.
    std::fs::write(
        place.path().join("ext.cnf"),
        "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n\
         crlDistributionPoints=URI:http://pki.example.net/3.crl\ncertificatePolicies=2.23.140.1.2.1\n",
    )
    .unwrap();
    let mut all = String::new();
    for (number, one) in requests.iter().enumerate() {
        std::fs::write(place.path().join("one.csr"), one["csr"].as_str().unwrap()).unwrap();
        let out = format!("{number}.pem");
        openssl(
            &place,
            &[
                "x509",
                "-req",
                "-in",
                "one.csr",
                "-CA",
                "store/ca/cluster.crt",
                "-CAkey",
                "company.key",
                "-days",
                "365",
                "-copy_extensions",
                "copy",
                "-extfile",
                "ext.cnf",
                "-out",
                &out,
            ],
        )
        .exits(0);
        all += &std::fs::read_to_string(place.path().join(out)).unwrap();
    }
    std::fs::write(place.path().join("signed.json"), &all).unwrap();
    let ran = import(&place, SMALL).exits(0);
    assert!(ran.stdout.starts_with("imported 17 certificates"), "{}", ran.stdout);
    let ran = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0);
    assert!(ran.stdout.contains("nothing to do: 27 certificates"), "{}", ran.stdout);
    // Its key is of P-384, as the company wanted it: that is no reason to replace it.
    assert!(!ran.stderr.contains("rotate"), "{}", ran.stderr);
    let crt = "store/nodes/w-1/kubelet-serving.crt";
    openssl(
        &place,
        &["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "store/ca/cluster.crt", crt],
    )
    .exits(0);
    // Once more the same file: nothing to import; and something that nobody asked for.
    import(&place, SMALL).exits(2).says("no request of this store waits for a certificate of that key");
}

#[test]
fn a_ca_that_is_somebody_elses_signs_with_ours() {
    let place = Place::new();
    company(&place, "store");
    place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], SMALL).exits(0);
    place.sh("cp -a store offline && cp company.key offline/ca/cluster.key", "").exits(0);
    // The key of openssl is PKCS #8, as ours are.
    sign(&place, SMALL).exits(0);
    import(&place, SMALL).exits(0);
    place.pki(STORE, SMALL).exits(0);
    for name in ["nodes/w-1/kubelet-serving", "nodes/cp-1/apiserver", "nodes/w-2/kube-proxy"] {
        let crt = format!("store/{name}.crt");
        openssl(&place, &["verify", "-x509_strict", "-CAfile", "store/ca/cluster.crt", &crt]).exits(0);
    }
}

/// A store with these CAs of somebody else in it, and everything signed: their keys are in `keys`, not in the store.
fn signed_elsewhere(place: &Place) {
    place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], SMALL).exits(0);
    place.sh("cp -a store offline && cp keys/* offline/ca/", "").exits(0);
    sign(place, SMALL).exits(0);
    import(place, SMALL).exits(0);
    place.pki(STORE, SMALL).exits(0);
}

/// What `verify --strict` finds, as `state id subject`; the answer is yes.
fn notices(place: &Place) -> Vec<String> {
    let ran = place.pki(&["verify", "--strict", "--store", "store"], SMALL).exits(0);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |one: &serde_json::Value, field: &str| one[field].as_str().unwrap().to_owned();
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|one| ["state", "id", "subject"].map(|field| text(one, field)).join(" ")).collect()
}

#[test]
fn the_auditor_leaves_somebody_elses_ca_its_liberties() {
    let place = Place::new();
    // With extensions that companies and kubeadm have: names, constraints of names, no path length, other key usages.
    let ca = |name: &str, subject: &str, more: &str| {
        let line = format!(
            "mkdir -p -m 700 store/ca keys && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes \
               -keyout keys/{name}.key -out store/ca/{name}.crt -days 3650 -subj '{subject}' \
               -addext basicConstraints=critical,CA:TRUE {more}"
        );
        place.sh(&line, "").exits(0);
    };
    ca(
        "cluster",
        "/C=DE/O=Example AG/CN=Example CA 3",
        "-addext keyUsage=keyCertSign,cRLSign,digitalSignature -addext 'nameConstraints=critical,excluded;DNS:example.org'",
    );
    ca(
        "front-proxy",
        "/CN=front-proxy-ca",
        "-addext keyUsage=critical,keyCertSign,digitalSignature,keyEncipherment -addext subjectAltName=DNS:front-proxy-ca",
    );
    signed_elsewhere(&place);
    assert_eq!(
        notices(&place),
        [
            "notice rule.ca-key-usage-critical ca/cluster",
            "notice rule.ca-key-usage-more ca/front-proxy",
            "notice rule.path-length ca/cluster",
            "notice rule.path-length ca/front-proxy",
            "notice wanted.algorithm ca/cluster",
            "notice wanted.algorithm ca/front-proxy",
            "notice wanted.names ca/front-proxy",
            "notice wanted.subject ca/cluster",
        ]
    );
    let text = place.pki(&["verify", "-o", "text", "--store", "store"], SMALL).exits(0).stdout;
    assert!(text.contains("notice  wanted.subject"), "{text}");
    assert!(text.contains("hint: nothing need be done: it is as its maker wanted it"), "{text}");
    assert!(text.ends_with("all is well: 27 certificates, 3 keys, 74 files; 8 notices\n"), "{text}");
    // What openssl's strict mode refuses is critical, whoever made it.
    let line = "openssl req -x509 -key keys/cluster.key -out store/ca/cluster.crt -days 3650 \
        -subj '/C=DE/O=Example AG/CN=Example CA 3' -addext basicConstraints=CA:TRUE -addext keyUsage=keyCertSign";
    place.sh(line, "").exits(0);
    let ran = place.pki(&["verify", "--store", "store"], SMALL).exits(1);
    assert!(
        ran.stdout.contains("\"id\":\"rule.ca-flag-critical\",\"subject\":\"ca/cluster\""),
        "{}",
        ran.stdout
    );
}

#[test]
fn an_intermediate_is_an_anchor_where_programs_take_one() {
    let place = Place::new();
    let line = "mkdir -p -m 700 store/ca keys && cd store/ca
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ../../above.key -out ../../above.crt \
          -days 3650 -subj /CN=above -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        printf '%s\n' basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,keyCertSign,cRLSign \
          subjectKeyIdentifier=hash authorityKeyIdentifier=keyid >../../ext
        for ca in cluster etcd; do
          openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ../../keys/$ca.key -subj /CN=company-$ca |
            openssl x509 -req -CA ../../above.crt -CAkey ../../above.key -days 3000 -extfile ../../ext -out $ca.crt
        done";
    place.sh(line, "").exits(0);
    signed_elsewhere(&place);
    let ran = place.pki(&["verify", "-o", "text", "--store", "store"], SMALL).exits(0);
    for text in [
        "warning  chain.anchor    ca/cluster  a CA outside of the store signed it: haproxy trusts only a CA that signed itself",
        "hint: put that CA into the store as `ca/root.crt`, and set `pki: {root: true}`",
        "notice   chain.anchor    ca/etcd     a CA outside of the store signed it: it is trusted as it is",
    ] {
        assert!(ran.stdout.contains(text), "{text}\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("critical"), "{}", ran.stdout);
}

#[test]
fn only_cas_may_lie_in_a_store_before_it_is_one() {
    let place = Place::new();
    company(&place, "store");
    std::fs::write(place.store().join("ca/notes.txt"), "x").unwrap();
    place.pki(&["--store", "store", "--init"], SMALL).exits(2).says("it holds `ca/notes.txt`");
    std::fs::remove_file(place.store().join("ca/notes.txt")).unwrap();
    // A CA that is none.
    let line = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout x.key -out store/ca/cluster.crt \
        -subj /CN=leaf -addext basicConstraints=critical,CA:FALSE";
    place.sh(line, "").exits(0);
    place.pki(&["--store", "store", "--init"], SMALL).exits(3).says("`ca/cluster` is no certificate of a CA");
}

#[test]
fn a_key_in_another_form_is_named_and_the_command_converts_it() {
    let p256 = "openssl ecparam -name prime256v1 -genkey";
    for (make, says) in [
        // Parameters of the curve stand before the key.
        (p256, "it has the form SEC 1 (`EC PRIVATE KEY`), and a store has PKCS #8"),
        (
            "openssl genrsa -traditional 2048",
            "it has the form PKCS #1 (`RSA PRIVATE KEY`), and a store has PKCS #8",
        ),
        ("openssl genpkey -algorithm RSA -aes256 -pass pass:secret", "it is under a password"),
    ] {
        let place = Place::new();
        let line = format!(
            "mkdir -m 700 store store/ca; {make} >store/ca/cluster.key && chmod 600 store/ca/cluster.key &&
             openssl req -x509 -new -key store/ca/cluster.key -passin pass:secret -out store/ca/cluster.crt -days 3650 \
               -subj /CN=Example -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign"
        );
        place.sh(&line, "").exits(0);
        let ran = place.pki(&["--store", "store", "--init"], SMALL).exits(3);
        let ran = ran.says(&format!(
            "the key of CA `ca/cluster` cannot be used as it is: {says}\n  at store/ca/cluster.key"
        ));
        let (_, hint) = ran.stderr.split_once("hint: in the store: `").unwrap();
        let command = hint.split('`').next().unwrap().replace("-topk8", "-topk8 -passin pass:secret");
        place.sh(&format!("cd store && {command}"), "").exits(0);
        place.pki(&["--store", "store", "--init", "--strict"], &rsa(make)).exits(0);
    }
}

/// An inventory whose CA has a key as that command makes it.
fn rsa(make: &str) -> String {
    let algorithm = if make.contains("ecparam") { "ecdsa-p256" } else { "rsa-2048" };
    SMALL.replace("  sites:", &format!("  pki: {{algorithms: {{cluster-ca: {algorithm}}}}}\n  sites:"))
}
