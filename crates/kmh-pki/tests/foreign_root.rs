//! A root whose key is elsewhere, ours or a company's: CAs below it are asked for, signed there and imported, the next
//! generations of rotations too.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::process::{Command, Stdio};

use common::requests::{ask, import, openssl, read, sign, write};
use common::{Place, Ran, SMALL, certificate};
use serde_json::{Value, json};

const STORE: &[&str] = &["--store", "store"];
const BELOW: [&str; 3] = ["ca/cluster", "ca/etcd", "ca/front-proxy"];
/// What a company's tool gives a CA, with what it adds to everything.
const GOOD: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n\
    crlDistributionPoints=URI:http://pki.example.net/1.crl\ncertificatePolicies=2.23.140.1.2.1\n";

/// What a request of a CA asks for.
const USAGE: &str = "keyUsage=critical,keyCertSign,cRLSign";
const CA: &str = "basicConstraints=critical,CA:TRUE,pathlen:0";

fn rooted() -> String {
    format!("{SMALL}  pki: {{root: true}}\n")
}

/// A store in which nothing is but the certificate of a company's root, made by openssl; its key is beside it.
fn company(constraints: &str) -> Place {
    let place = Place::new();
    let line = format!(
        "mkdir -pm 700 store/ca
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout company.key -out company.crt \
           -days 7300 -subj '/C=DE/DC=net/DC=example/O=Example AG/OU=IT/OU=PKI/CN=Example Root 1' \
           -addext basicConstraints={constraints} -addext keyUsage=critical,keyCertSign,cRLSign
         cp company.crt store/ca/root.crt"
    );
    place.sh(&line, "").exits(0);
    place
}

/// Has openssl sign a request with the key of the company's root, for so many days and with these extensions.
fn signs(place: &Place, csr: &Value, days: u32, extensions: &str) -> String {
    signs_with(place, csr, extensions, &["-CA", "company.crt", "-CAkey", "company.key"], days)
}

fn signs_with(place: &Place, csr: &Value, extensions: &str, signer: &[&str], days: u32) -> String {
    std::fs::write(place.path().join("one.csr"), csr.as_str().unwrap()).unwrap();
    std::fs::write(place.path().join("ext.cnf"), extensions).unwrap();
    let days = days.to_string();
    let args = ["x509", "-req", "-in", "one.csr", "-days", &days, "-extfile", "ext.cnf"];
    openssl(place, &[&args[..], signer].concat()).exits(0).stdout
}

/// The requests of a set.
fn requests(set: &Value) -> &Vec<Value> {
    set["requests"].as_array().unwrap()
}

fn names(set: &Value) -> Vec<&str> {
    requests(set).iter().map(|one| one["name"].as_str().unwrap()).collect()
}

/// Has the company's root sign everything that was asked for, and takes it in.
fn answer(place: &Place, set: &Value, inventory: &str) -> Ran {
    let pem: String = requests(set).iter().map(|one| signs(place, &one["csr"], 3650, GOOD)).collect();
    std::fs::write(place.path().join("signed.json"), pem).unwrap();
    import(place, inventory)
}

fn verify(place: &Place, inventory: &str) -> Value {
    let ran = place.pki(&["verify", "--store", "store"], inventory).exits(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn rotate(place: &Place, name: &str, more: &[&str]) -> Ran {
    place.pki(&[&["rotate", name, "-o", "text"], STORE, more].concat(), &rooted())
}

/// Whether openssl takes a certificate, with that CA and the root above it.
fn strictly(place: &Place, ca: &str, leaf: &str) -> Ran {
    let (ca, leaf) = (format!("store/{ca}.crt"), format!("store/{leaf}.crt"));
    openssl(place, &["verify", "-x509_strict", "-CAfile", "store/ca/root.crt", "-untrusted", &ca, &leaf])
}

/// A store of ours, and a copy of it that alone has the key of the root.
fn offline() -> Place {
    let place = Place::with_store(&rooted());
    place.sh("cp -a store offline && rm store/ca/root.key", "").exits(0);
    place
}

/// What `verify` finds, but for notices: of them a root that is somebody else's has some.
fn findings(place: &Place, inventory: &str) -> Vec<String> {
    let said = verify(place, inventory);
    let all = said["findings"].as_array().unwrap();
    all.iter().filter(|one| one["state"] != "notice").map(ToString::to_string).collect()
}

#[test]
fn a_companys_root_signs_the_cas_and_the_rest_is_made_here() {
    let inventory = rooted();
    let place = company("critical,CA:TRUE");
    let ran = place.pki(&["--store", "store", "--init"], &inventory).exits(3);
    for name in BELOW {
        let what = format!("`ca/root` cannot sign `{name}`: the store does not hold its key");
        let hint = format!(
            "hint: `{name}` is needed because: missing; `kmh-pki ensure --requests FILE` writes what has to be signed where the key is"
        );
        assert!(ran.stderr.contains(&what) && ran.stderr.contains(&hint), "{}", ran.stderr);
    }
    assert!(ran.stderr.contains("kmh-pki: 3 errors"), "{}", ran.stderr);
    assert_eq!(place.files().into_keys().collect::<Vec<_>>(), ["ca/root.crt", "store.json"]);

    let args = ["ensure", "--store", "store", "--requests", "ask.json", "-o", "text"];
    let ran = place.pki(&args, &inventory).exits(0);
    assert!(
        ran.stdout.contains(
            "3 certificates have to be signed by a CA whose key is elsewhere; 22 certificates can be made when their CA has come"
        ),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("WHEN ITS CA HAS COME"), "{}", ran.stdout);
    let set = read(&place, "ask.json");
    assert_eq!(names(&set), BELOW);
    assert!(requests(&set).iter().all(|one| one["issuer"] == "ca/root" && one["reason"] == "missing"));
    for (request, name) in requests(&set).iter().zip(["kubernetes", "etcd-ca", "front-proxy-ca"]) {
        std::fs::write(place.path().join("one.csr"), request["csr"].as_str().unwrap()).unwrap();
        let text = openssl(&place, &["req", "-in", "one.csr", "-noout", "-verify", "-text"]).exits(0).stdout;
        for part in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", &format!("Subject: CN = {name}\n")] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    // What needs no root is there, and asked again not a byte differs.
    let files = place.files();
    assert!(files.contains_key("routers/gw/ipsec.crt") && files.contains_key("keys/service-account.key"));
    assert!(files.contains_key("requests/ca/cluster.key") && !files.contains_key("ca/cluster.key"));
    let before = place.snapshot();
    assert_eq!(ask(&place, &inventory), set);
    assert_eq!(place.snapshot(), before);

    // PEM, one after another, the whole chain.
    let pem: String = requests(&set).iter().map(|one| signs(&place, &one["csr"], 3650, GOOD)).collect();
    let root = std::fs::read_to_string(place.path().join("company.crt")).unwrap();
    std::fs::write(place.path().join("signed.json"), pem + &root).unwrap();
    let ran = import(&place, &inventory).exits(0);
    assert_eq!(
        ran.stdout,
        "imported 3 certificates\n  ca/cluster\n  ca/etcd\n  ca/front-proxy\n\
         `kmh-pki ensure` makes what a CA of these signs; `kmh-pki rotate` shows what a next generation is for\n"
    );
    let after = place.files();
    for name in BELOW {
        assert_eq!(after[&format!("{name}.key")], files[&format!("requests/{name}.key")]);
        openssl(&place, &["verify", "-x509_strict", "-CAfile", "company.crt", &format!("store/{name}.crt")])
            .exits(0);
    }
    let ran = place.pki(&["--store", "store", "-o", "text"], &inventory).exits(0);
    assert!(ran.stdout.contains("made 22 certificates of 28 certificates and 3 keys"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
    let before = place.snapshot();
    let document = place.document(&inventory);
    assert_eq!(place.snapshot(), before);
    assert_eq!(certificate(&document, "ca/cluster")["issuer"], "ca/root");
    // Nothing is said of a root that is called otherwise and has another key: it is somebody else's.
    assert_eq!(findings(&place, &inventory), [""; 0]);
    for (ca, leaf) in [
        ("ca/cluster", "nodes/cp-1/apiserver"),
        ("ca/etcd", "nodes/cp-1/etcd-peer"),
        ("ca/front-proxy", "nodes/cp-1/front-proxy-client"),
    ] {
        strictly(&place, ca, leaf).exits(0);
    }
}

#[test]
fn a_root_of_ours_signs_in_the_copy_that_has_its_key() {
    let inventory = rooted();
    let place = offline();
    for file in ["ca/front-proxy", "nodes/cp-1/front-proxy-client"] {
        place.sh(&format!("rm store/{file}.*"), "").exits(0);
    }
    place.pki(STORE, &inventory).exits(3).says("or bring its key back until the CA is made");
    let set = ask(&place, &inventory);
    assert_eq!(names(&set), ["ca/front-proxy"]);
    let before = common::files(&place.path().join("offline"));
    let ran = sign(&place, &inventory).exits(0);
    assert!(ran.stdout.starts_with("signed 1 certificate, until 2036-"), "{}", ran.stdout);
    assert!(ran.stderr.contains("kmh-pki: `ca/root` signs a CA: `ca/front-proxy`\n"), "{}", ran.stderr);
    // That copy is older than the loss.
    assert!(
        ran.stderr.contains("warning: this store holds another `ca/front-proxy`: there would be two"),
        "{}",
        ran.stderr
    );
    assert_eq!(common::files(&place.path().join("offline")), before);
    import(&place, &inventory).exits(0);
    let ran = import(&place, &inventory).exits(0);
    assert_eq!(ran.stdout, "nothing to import; 1 certificate was there already\n");
    let ran = place.pki(&["--store", "store", "-o", "text"], &inventory).exits(0);
    assert!(ran.stdout.contains("made 1 certificate of 28 certificates"), "{}", ran.stdout);
    let text =
        openssl(&place, &["x509", "-in", "store/ca/front-proxy.crt", "-noout", "-text"]).exits(0).stdout;
    assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Issuer: CN = kmh-root-ca"), "{text}");
    assert!(!text.contains("Digital Signature"), "{text}");
    strictly(&place, "ca/front-proxy", "nodes/cp-1/front-proxy-client").exits(0);
    assert_eq!(findings(&place, &inventory), [""; 0]);
}

/// The stage that the document says.
fn stage(place: &Place) -> Value {
    place.document(&rooted())["spec"]["rotations"].clone()
}

#[test]
fn a_rotation_goes_through_all_stages_while_the_key_of_the_root_is_away() {
    let inventory = rooted();
    let place = offline();
    let file = |name: &str| std::fs::read(place.store().join(name)).unwrap();
    let (old, old_key) = (file("ca/cluster.crt"), file("ca/cluster.key"));
    let before = place.snapshot();
    let ran = rotate(&place, "cluster", &[]).exits(1);
    assert!(
        ran.stdout.contains("`ca/root` cannot sign `ca/cluster.next`: the store does not hold its key"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("`kmh-pki rotate cluster --requests FILE` writes"), "{}", ran.stdout);
    let asking = ["--requests", "ask.json"];
    let ran = rotate(&place, "cluster", &[&asking[..], &["--dry-run"]].concat()).exits(0);
    assert!(ran.stdout.starts_with("the next CA of cluster would be asked for"), "{}", ran.stdout);
    assert_eq!(place.snapshot(), before);

    let ran = rotate(&place, "cluster", &asking).exits(0);
    assert!(
        ran.stdout
            .starts_with("the next CA of cluster is asked for: its rotation begins when that has come\n"),
        "{}",
        ran.stdout
    );
    for command in [
        "$ kmh-pki sign --requests ask.json --to signed.json --store STORE-WITH-THE-KEY -i INVENTORY",
        "$ kmh-pki import --signed signed.json --store store -i INVENTORY",
        "kmh-push -i stream.json --store store",
    ] {
        assert!(ran.stdout.contains(command), "{command}: {}", ran.stdout);
    }
    let set = read(&place, "ask.json");
    assert_eq!(names(&set), ["ca/cluster.next"]);
    assert_eq!(requests(&set)[0]["reason"], "the next generation of a rotation");
    // Nothing is under way, and asked again, by whichever verb, the same key waits and the same file is written.
    assert_eq!(stage(&place), Value::Null);
    let waiting = place.snapshot();
    let ran =
        place.pki(&["rotate", "cluster", "--requests", "ask.json", "--store", "store"], &inventory).exits(0);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["was"], &said["stage"]), (&Value::Null, &Value::Null));
    assert_eq!(said["store"]["made"], json!(["requests/ca/cluster.next"]));
    assert_eq!(said["todo"][0]["kind"], "sign");
    assert_eq!(ask(&place, &inventory), set);
    assert_eq!(place.snapshot(), waiting);
    let ran = place.pki(STORE, &inventory).exits(0);
    assert!(
        ran.stderr.contains("warning: the next generation of `ca/cluster` is asked for: `kmh-pki import --signed FILE` takes in what was signed, `kmh-pki rotate cluster --abort` takes the request back"),
        "{}",
        ran.stderr
    );
    let ran = rotate(&place, "cluster", &["--deployed"]).exits(1);
    assert!(
        ran.stdout.contains("`ca/cluster.next` is asked for, and what was signed has not come"),
        "{}",
        ran.stdout
    );
    assert_eq!(place.snapshot(), waiting);

    // What is there can be exported.
    place.pki(&["export", "--layout", "kubeadm", "--to", "out", "--store", "store"], &inventory).exits(0);
    place.pki(&["export", "--layout", "tar", "--to", "out.tar", "--store", "store"], &inventory).exits(0);
    let held = place.sh("tar tf out.tar", "").exits(0).stdout;
    assert!(
        held.contains("requests/ca/cluster.next.csr") && !held.contains("requests/ca/cluster.next.key"),
        "{held}"
    );

    sign(&place, &inventory).exits(0);
    let waited = file("requests/ca/cluster.next.key");
    let ran = import(&place, &inventory).exits(0);
    assert!(ran.stdout.starts_with("imported 1 certificate\n  ca/cluster.next\n"), "{}", ran.stdout);
    assert_eq!(stage(&place), json!([{"name": "cluster", "stage": "trust"}]));
    assert_eq!((file("ca/cluster.crt"), file("ca/cluster.next.key")), (old.clone(), waited.clone()));
    let ran = import(&place, &inventory).exits(0);
    assert_eq!(ran.stdout, "nothing to import; 1 certificate was there already\n");
    let ran = rotate(&place, "cluster", &asking).exits(1);
    assert!(
        ran.stdout.contains("the rotation of `cluster` is in stage `trust`: its next CA is there"),
        "{}",
        ran.stdout
    );
    assert_eq!(findings(&place, &inventory), [""; 0]);
    strictly(&place, "ca/cluster", "nodes/cp-1/apiserver").exits(0);

    // From here on nothing is asked of the root.
    rotate(&place, "cluster", &["--deployed"]).exits(0);
    place.pki(STORE, &inventory).exits(0);
    assert_eq!(stage(&place), json!([{"name": "cluster", "stage": "issue"}]));
    strictly(&place, "ca/cluster", "nodes/cp-1/apiserver").exits(0);
    strictly(&place, "ca/cluster.old", "nodes/cp-1/apiserver").exits(2);
    // The answer once more, in the second stage: nobody waits for it.
    import(&place, &inventory).exits(2).says("the store holds `ca/cluster.old`: its rotation ends first");
    rotate(&place, "cluster", &["--deployed"]).exits(0);
    assert_eq!(stage(&place), Value::Null);
    assert_eq!(file("ca/cluster.key"), waited);
    let archive: Vec<_> =
        place.everything().into_iter().filter(|(path, _)| path.starts_with("archive/")).collect();
    assert!([old, old_key].iter().all(|bytes| archive.iter().any(|(_, held)| held == bytes)));
    assert_eq!(findings(&place, &inventory), [""; 0]);
    let before = place.snapshot();
    place.pki(STORE, &inventory).exits(0);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_companys_root_signs_the_next_generation_too_and_a_request_can_be_taken_back() {
    let inventory = rooted();
    let place = company("critical,CA:TRUE,pathlen:1");
    place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory).exits(0);
    answer(&place, &read(&place, "ask.json"), &inventory).exits(0);
    place.pki(STORE, &inventory).exits(0);
    rotate(&place, "etcd", &["--requests", "ask.json"]).exits(0);
    let first = read(&place, "ask.json");
    let late = signs(&place, &requests(&first)[0]["csr"], 3650, GOOD);
    let ran = rotate(&place, "etcd", &["--abort"]).exits(0);
    assert_eq!(
        ran.stdout,
        "the rotation of etcd goes back before it began: the request is in the archive\n\n\
         WHAT HAS TO FOLLOW, IN THIS ORDER\n 1. nothing: what was only asked for is nowhere deployed\n"
    );
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
    let kept = |place: &Place| {
        place.everything().keys().filter(|path| path.starts_with("archive/requests/ca/etcd.next.")).count()
    };
    assert_eq!(kept(&place), 2);
    rotate(&place, "etcd", &["--abort"]).exits(1);
    let before = place.files();
    // What comes after that is nobody's any more.
    std::fs::write(place.path().join("signed.json"), &late).unwrap();
    import(&place, &inventory).exits(2).says("no request of this store waits for a certificate of that key");
    let named = json!({"kmh_signed": 1, "cluster": "small", "store": first["store"],
        "certificates": [{"name": "ca/etcd.next", "pem": late}]});
    write(&place, "signed.json", &named);
    import(&place, &inventory).exits(2).says("no request of this store waits for it");
    assert_eq!(place.files(), before);

    // Two at once, and `ensure` writes both; what the settings no longer want is asked for anew.
    rotate(&place, "etcd", &["--requests", "ask.json"]).exits(0);
    assert_ne!(read(&place, "ask.json"), first);
    rotate(&place, "front-proxy", &["--requests", "more.json"]).exits(0);
    let set = ask(&place, &inventory);
    assert_eq!(names(&set), ["ca/etcd.next", "ca/front-proxy.next"]);
    let other = inventory.replace("root: true", "root: true, algorithms: {etcd-ca: ecdsa-p384}");
    let anew = ask(&place, &other);
    assert_ne!(requests(&anew)[0]["csr"], requests(&set)[0]["csr"]);
    assert_eq!(requests(&anew)[1]["csr"], requests(&set)[1]["csr"]);
    let ran = answer(&place, &anew, &other).exits(0);
    assert!(ran.stdout.contains("\n  ca/etcd.next\n  ca/front-proxy.next\n"), "{}", ran.stdout);
    for name in ["etcd", "front-proxy"] {
        for _ in 0..2 {
            place.pki(&["rotate", name, "--deployed", "--store", "store"], &other).exits(0);
            place.pki(STORE, &other).exits(0);
        }
    }
    assert_eq!(findings(&place, &other), [""; 0]);
    strictly(&place, "ca/etcd", "nodes/cp-1/etcd-peer").exits(0);
    strictly(&place, "ca/front-proxy", "nodes/cp-1/front-proxy-client").exits(0);
}

#[test]
fn a_wrong_answer_is_refused_and_says_why() {
    let inventory = rooted();
    let place = company("critical,CA:TRUE");
    place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory).exits(0);
    let set = read(&place, "ask.json");
    let csr = &requests(&set)[0]["csr"];
    let before = place.files();
    let refused = |pem: &str, says: &[&str]| {
        std::fs::write(place.path().join("signed.json"), pem).unwrap();
        let ran = import(&place, &inventory).exits(2);
        assert_eq!(place.files(), before, "something was touched");
        let said: Vec<&str> =
            ran.stderr.lines().filter_map(|line| line.strip_prefix("kmh-pki: error: ")).collect();
        assert_eq!(said, says, "{pem}");
    };
    let good = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replace(from, to)
    };
    let of = |extensions: &str| signs(&place, csr, 3650, extensions);
    // A leaf.
    let leaf = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
        extendedKeyUsage=clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    refused(
        &of(leaf),
        &[
            "it has extended key usages, which bind whatever it signs",
            "it is no CA, but its class is one",
            "its key usage does not permit signing certificates",
        ],
    );
    refused(&of(&good("CA:TRUE,pathlen:0", "CA:FALSE")), &["it is no CA, but its class is one"]);
    refused(&of(&good(",pathlen:0", "")), &["it has no path length, and that of a CA below a root is 0"]);
    refused(
        &of(&good("pathlen:0", "pathlen:1")),
        &["its path length is 1, and that of a CA below a root is 0"],
    );
    refused(&of(&good("critical,CA", "CA")), &["its basic constraints are not marked critical"]);
    refused(
        &of(&good("keyCertSign,cRLSign", "cRLSign")),
        &["its key usage does not permit signing certificates"],
    );
    refused(
        &of(&good("keyUsage=critical,keyCertSign,cRLSign\n", "")),
        &["it has no key usage, so strict programs do not take it for a CA"],
    );
    refused(
        &of(&format!("{GOOD}extendedKeyUsage=serverAuth,clientAuth\n")),
        &["it has extended key usages, which bind whatever it signs"],
    );
    refused(
        &of(&format!("{GOOD}extendedKeyUsage=codeSigning\n")),
        &["it has extended key usages, which bind whatever it signs"],
    );
    refused(&of(&format!("{GOOD}subjectAltName=DNS:kubernetes\n")), &["names differ: - kubernetes"]);
    refused(
        &of(&format!("{GOOD}subjectAltName=email:pki@example.net\n")),
        &["it has alternative names that nobody asked for"],
    );
    refused(
        &of(&format!("{GOOD}nameConstraints=critical,permitted;DNS:example.net\n")),
        &["it has name constraints, which bind whatever it signs"],
    );
    refused(
        &of(&good("authorityKeyIdentifier=keyid", "authorityKeyIdentifier=none")),
        &["it has no authority key identifier"],
    );
    // The subject: the root's own name for what is below it, and more than was asked for.
    let called = |subject: &str, serial: &str| {
        std::fs::write(place.path().join("ext.cnf"), GOOD).unwrap();
        let line = format!(
            "openssl x509 -req -in one.csr -days 365 -extfile ext.cnf -CA company.crt -CAkey company.key \
             -set_serial {serial} -subj '{subject}' -out renamed.pem"
        );
        std::fs::write(place.path().join("one.csr"), csr.as_str().unwrap()).unwrap();
        place.sh(&line, "").exits(0);
        std::fs::read_to_string(place.path().join("renamed.pem")).unwrap()
    };
    let long = "0x4142434445464748494a";
    refused(
        &called("/C=DE/DC=net/DC=example/O=Example AG/OU=IT/OU=PKI/CN=Example Root 1", long),
        &["subject differs: `O=Example AG, CN=Example Root 1` should be `CN=kubernetes`"],
    );
    refused(&called("/OU=IT/CN=kubernetes", long), &["its subject has fields that nobody asked for"]);
    refused(&called("/CN=kubernetes", "7"), &["its serial number is short: it was counted and not drawn"]);
    // Other signers: nobody, another root, another one that is called as ours.
    std::fs::write(place.path().join("key.pem"), &before["requests/ca/cluster.key"]).unwrap();
    let itself =
        signs_with(&place, csr, &good("authorityKeyIdentifier=keyid\n", ""), &["-key", "key.pem"], 365);
    refused(&itself, &["signed by another CA than ca/root", "it has no authority key identifier"]);
    let make = |name: &str, subject: &str| {
        let line = format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout {name}.key -out {name}.crt \
             -days 7300 -subj '{subject}' -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        );
        place.sh(&line, "").exits(0);
        signs_with(&place, csr, GOOD, &["-CA", &format!("{name}.crt"), "-CAkey", &format!("{name}.key")], 365)
    };
    refused(&make("other", "/CN=Example Root 2"), &["signed by another CA than ca/root"]);
    refused(
        &make("twin", "/C=DE/DC=net/DC=example/O=Example AG/OU=IT/OU=PKI/CN=Example Root 1"),
        &["signed by another CA than ca/root"],
    );
    // Dates.
    let dated = |from: &str, to: &str| {
        let line = format!(
            "rm -rf ca && mkdir ca && touch ca/index && openssl rand -hex 16 >ca/serial
             printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=ca/index\\nserial=ca/serial\\nnew_certs_dir=ca\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >ca/cnf
             openssl ca -batch -config ca/cnf -cert company.crt -keyfile company.key -in one.csr -extfile ext.cnf \
               -startdate {from} -enddate {to} -notext -out dated.pem"
        );
        std::fs::write(place.path().join("ext.cnf"), GOOD).unwrap();
        std::fs::write(place.path().join("one.csr"), csr.as_str().unwrap()).unwrap();
        place.sh(&line, "").exits(0);
        std::fs::read_to_string(place.path().join("dated.pem")).unwrap()
    };
    refused(&dated("20200101000000Z", "20210101000000Z"), &["expired on 2021-01-01"]);
    refused(&dated("20380101000000Z", "20400101000000Z"), &["begins on 2038-01-01, which is still to come"]);
    let ends = openssl(&place, &["x509", "-in", "company.crt", "-noout", "-enddate", "-dateopt", "iso_8601"])
        .exits(0);
    let ends = ends.stdout.trim().trim_start_matches("notAfter=")[..10].to_owned();
    refused(
        &dated("20260101000000Z", "20990101000000Z"),
        &[&format!("it ends after its CA, which ends on {ends}")],
    );
    // The right certificate under another name, and one of a key that nobody waits for.
    let named = |name: &str| {
        let pem = of(GOOD);
        json!({"kmh_signed": 1, "cluster": "small", "store": set["store"],
            "certificates": [{"name": name, "pem": pem}]})
        .to_string()
    };
    refused(
        &named("ca/etcd"),
        &[
            "it is for another key than the one that waits",
            "subject differs: `CN=kubernetes` should be `CN=etcd-ca`",
        ],
    );
    refused(&named("ca/root"), &["`ca/root` signs itself: none from elsewhere takes its place"]);
    refused(&named("ca/ipsec"), &["`ca/ipsec` signs itself: none from elsewhere takes its place"]);
    refused(
        &named("ca/etcd.next"),
        &["no request of this store waits for it", "subject differs: `CN=kubernetes` should be `CN=etcd-ca`"],
    );
    refused(&named("ca/etcd.old"), &["the inventory has no such certificate"]);
    common::requests::fresh(&place, "evil", "/CN=kubernetes", &[]);
    let evil = std::fs::read_to_string(place.path().join("evil.csr")).unwrap();
    refused(
        &signs(&place, &evil.into(), 365, GOOD),
        &["no request of this store waits for a certificate of that key"],
    );
    // One that ends soon is told of; and with it in, another of the same key has no place.
    std::fs::write(place.path().join("signed.json"), signs(&place, csr, 30, GOOD)).unwrap();
    let ran = import(&place, &inventory).exits(0);
    assert!(ran.stderr.contains("warning: `ca/cluster` is imported and ends on 20"), "{}", ran.stderr);
    assert!(ran.stderr.contains(": what it signs ends with it"), "{}", ran.stderr);
    std::fs::write(place.path().join("signed.json"), named("ca/cluster")).unwrap();
    import(&place, &inventory)
        .exits(2)
        .says("the store holds another `ca/cluster`, which only a rotation replaces");
}

#[test]
fn the_root_signs_no_other_ca_than_one_that_the_inventory_puts_below_it() {
    let inventory = rooted();
    let place = offline();
    rotate(&place, "cluster", &["--requests", "ask.json"]).exits(0);
    let set = read(&place, "ask.json");
    let refused = |change: &dyn Fn(&mut Value), says: &[&str]| {
        let mut changed = set.clone();
        change(&mut changed["requests"][0]);
        write(&place, "ask.json", &changed);
        let ran = sign(&place, &inventory).exits(2);
        assert!(!place.path().join("signed.json").exists());
        let said: Vec<&str> =
            ran.stderr.lines().filter_map(|line| line.strip_prefix("kmh-pki: error: ")).collect();
        assert_eq!(said, says);
    };
    let asks = |subject: &str, extensions: &[&str]| {
        common::requests::fresh(&place, "other", subject, extensions);
        Value::from(std::fs::read_to_string(place.path().join("other.csr")).unwrap())
    };
    let csr = |subject: &str, extensions: &[&str], says: &[&str]| {
        let csr = asks(subject, extensions);
        refused(&|one| one["csr"] = csr.clone(), says);
    };
    csr("/CN=kubernetes", &[], &["it does not ask to become a CA"]);
    csr("/CN=kubernetes", &["basicConstraints=CA:FALSE"], &["it does not ask to become a CA"]);
    csr(
        "/CN=kubernetes",
        &["basicConstraints=critical,CA:TRUE", USAGE],
        &["it asks for no path length, and that of a CA below a root is 0"],
    );
    csr(
        "/CN=kubernetes",
        &["basicConstraints=critical,CA:TRUE,pathlen:1", USAGE],
        &["it asks for the path length 1, and that of a CA below a root is 0"],
    );
    csr(
        "/CN=kubernetes",
        &[CA, "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"],
        &["it asks for other key usages than keyCertSign and cRLSign"],
    );
    csr(
        "/CN=kubernetes",
        &[CA, USAGE, "extendedKeyUsage=clientAuth", "subjectAltName=DNS:kubernetes"],
        &[
            "it asks for `kubernetes`, and `ca/cluster.next` has no names at all",
            "it asks for the usage client, and that of `ca/cluster.next` is none",
        ],
    );
    csr(
        "/CN=kmh-root-ca",
        &[CA, USAGE],
        &["its subject is `CN=kmh-root-ca`, and that of `ca/cluster.next` is `CN=kubernetes`"],
    );
    for name in ["ca/root", "ca/ipsec", "ca/ipsec.next", "ca/cluster.old", "ca/other"] {
        refused(&|one| one["name"] = name.into(), &["the inventory has no such certificate"]);
    }
    refused(
        &|one| one["issuer"] = "ca/cluster".into(),
        &["it is asked of `ca/cluster`, and `ca/root` signs it"],
    );
    // A leaf that wants to be more.
    let csr = asks("/O=system:nodes/CN=system:node:w-1", &[CA, USAGE]);
    refused(
        &|one| {
            let name = "nodes/w-1/kubelet-client";
            *one = json!({"name": name, "issuer": "ca/cluster", "reason": "", "csr": csr});
        },
        &["it asks to become a CA", "it asks for key usages other than digitalSignature and keyEncipherment"],
    );
    // The right request, and another root than the one that is asked.
    write(&place, "ask.json", &set);
    let other = Place::with_store(&inventory);
    for ending in ["crt", "key"] {
        let root = format!("ca/root.{ending}");
        std::fs::copy(other.store().join(&root), place.path().join("offline").join(&root)).unwrap();
    }
    sign(&place, &inventory).exits(2).says("`ca/root` of this store is not the one that is asked");
}

#[test]
fn what_cannot_be_asked_for_says_why() {
    let inventory = rooted();
    // A root that permits no CA below it.
    let place = company("critical,CA:TRUE,pathlen:0");
    let ran =
        place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory).exits(3);
    for name in BELOW {
        let what = format!("`ca/root` cannot sign `{name}`: its path length is 0, so no CA may be below it");
        assert!(ran.stderr.contains(&what), "{}", ran.stderr);
    }
    assert!(!place.path().join("ask.json").exists());

    // One that did not sign itself: it is told, and the auditor says no.
    let place = company("critical,CA:TRUE");
    let line = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout below.key -subj /CN=Example -out below.csr
        printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >below.cnf
        openssl x509 -req -in below.csr -CA company.crt -CAkey company.key -days 999 -extfile below.cnf -out store/ca/root.crt";
    place.sh(line, "").exits(0);
    place
        .pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory)
        .exits(0)
        .says("warning: `ca/root` did not sign itself, and haproxy takes nothing else for an anchor");
    let ran = place.pki(&["verify", "--store", "store", "-o", "text"], &inventory).exits(1);
    assert!(ran.stdout.contains("chain.issuer-name"), "{}", ran.stdout);

    let place = Place::with_store(&inventory);
    let no = |place: &Place, name: &str, says: &str| {
        let before = place.snapshot();
        let ran = rotate(place, name, &["--requests", "ask.json"]).exits(1);
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
        assert_eq!(place.snapshot(), before);
    };
    no(&place, "etcd", "the store holds the key of `ca/root`, so nobody need be asked");
    no(&place, "ipsec", "no other CA signs `ca/ipsec`, so nobody is asked");
    no(&place, "encryption", "no other CA signs `keys/encryption`, so nobody is asked");
    rotate(&place, "etcd", &["--requests", "store/ask.json"])
        .exits(2)
        .says("`store/ask.json` would be written into store `store`");
    // What signed itself before there was a root is followed by one that the root signs.
    let place = Place::with_store(SMALL);
    no(&place, "etcd", "`ca/root` cannot sign `ca/etcd.next`: it is not made yet");
    place.pki(STORE, &inventory).exits(0);
    std::fs::remove_file(place.store().join("ca/root.key")).unwrap();
    rotate(&place, "etcd", &["--requests", "ask.json"]).exits(0);
    // Without a root nothing waits for it any more.
    let set = ask(&place, SMALL);
    assert_eq!(names(&set), [""; 0]);
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
}

#[test]
fn keys_of_cas_that_wait_are_encrypted_where_all_are() {
    let inventory = rooted();
    let place = Place::new();
    let to = place.sh("age-keygen -o id 2>/dev/null && age-keygen -y id", "").exits(0).stdout;
    place.pki(&["--store", "store", "--init", "--recipient", to.trim()], &inventory).exits(0);
    place.sh("cp -a store offline && rm store/ca/root.key.age store/ca/root.pub", "").exits(0);
    // Neither to ask nor to take in needs the identity.
    rotate(&place, "cluster", &["--requests", "ask.json"]).exits(0);
    let files = place.files();
    let set = read(&place, "ask.json");
    rotate(&place, "cluster", &["--requests", "ask.json"]).exits(0);
    assert_eq!((read(&place, "ask.json"), place.files()), (set, files.clone()));
    let waiting = "requests/ca/cluster.next";
    assert!(
        files.contains_key(&format!("{waiting}.key.age")) && !files.contains_key(&format!("{waiting}.key"))
    );
    let sign =
        ["sign", "--requests", "ask.json", "--to", "signed.json", "--store", "offline", "--identity", "id"];
    place.pki(&sign, &inventory).exits(0);
    import(&place, &inventory).exits(0);
    let after = place.files();
    assert_eq!(after["ca/cluster.next.key.age"], files[&format!("{waiting}.key.age")]);
    assert!(after.keys().all(|path| !path.starts_with("requests/")));
    let plain = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("PRIVATE KEY");
    assert!(!place.everything().values().any(plain));
    rotate(&place, "cluster", &["--deployed"]).exits(0);
    place.pki(&["--store", "store", "--identity", "id"], &inventory).exits(0);
    strictly(&place, "ca/cluster", "nodes/cp-1/apiserver").exits(0);
    assert_eq!(findings(&place, &inventory), [""; 0]);
}

/// Starts kmh-pki under strace with these options.
fn traced(place: &Place, args: &[&str], options: &[&str]) -> std::process::Output {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=rename,renameat,renameat2,unlink,unlinkat,link,linkat"]);
    command.args(options).arg(env!("CARGO_BIN_EXE_kmh-pki")).args(args).args(["-i", "cluster.yaml"]);
    command.args(STORE).current_dir(place.path()).env_remove("KMH_STORE").env_remove("KMH_IDENTITY");
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_kill_before_any_step_loses_no_key_that_waits() {
    let inventory = rooted();
    let place = offline();
    std::fs::write(place.path().join("cluster.yaml"), &inventory).unwrap();
    place.sh("cp -a store first", "").exits(0);
    let asking = ["rotate", "cluster", "--requests", "ask.json"];
    let waiting = |place: &Place| place.files().get("requests/ca/cluster.next.key").cloned();
    // Each step of a run, from the same store: what follows a kill before it.
    let each = |from: &str, args: &[&str], after: &dyn Fn(&str)| {
        let again = || drop(place.sh(&format!("rm -rf store && cp -a {from} store"), "").exits(0));
        again();
        let ran = traced(&place, args, &["-o", "trace"]);
        assert!(ran.status.success(), "{ran:?}");
        let calls = common::calls(&std::fs::read_to_string(place.path().join("trace")).unwrap());
        assert!(calls.len() >= 4, "{calls:?}");
        for (call, count) in calls {
            again();
            let inject = format!("inject={call}:signal=SIGKILL:when={count}");
            traced(&place, args, &["-o", "/dev/null", "-e", &inject]);
            after(&format!("{call} {count}"));
        }
    };
    each("first", &asking, &|when| {
        let there = waiting(&place);
        place.pki(&[&asking[..], STORE].concat(), &inventory).exits(0);
        let key = waiting(&place).unwrap();
        assert!(there.is_none_or(|there| there == key), "{when}");
        let set = read(&place, "ask.json");
        let csr = String::from_utf8(place.files()["requests/ca/cluster.next.csr"].clone()).unwrap();
        assert_eq!(requests(&set)[0]["csr"], csr, "{when}");
    });
    place.sh("rm -rf asked && cp -a store asked", "").exits(0);
    sign(&place, &inventory).exits(0);
    let key = waiting(&place).unwrap();
    each("asked", &["import", "--signed", "signed.json"], &|when| {
        import(&place, &inventory).exits(0);
        let files = place.files();
        assert_eq!(files["ca/cluster.next.key"], key, "{when}");
        assert!(files.keys().all(|path| !path.starts_with("requests/") && path != "pending.json"), "{when}");
        assert_eq!(stage(&place), json!([{"name": "cluster", "stage": "trust"}]), "{when}");
    });
    each("asked", &["rotate", "cluster", "--abort"], &|when| {
        place.pki(STORE, &inventory).exits(0);
        let kept = place.everything().into_iter().any(|(path, bytes)| {
            bytes == key && (path.starts_with("archive/") || path.starts_with("requests/"))
        });
        assert!(kept, "{when}");
    });
}
