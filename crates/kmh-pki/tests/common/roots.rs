//! Roots whose key is elsewhere, a company's and ours, and what is asked of them.

use serde_json::Value;

use super::requests::{import, openssl};
use super::{Place, Ran, SMALL};

pub const STORE: &[&str] = &["--store", "store"];
pub const BELOW: [&str; 3] = ["ca/cluster", "ca/etcd", "ca/front-proxy"];
/// What a company's tool gives a CA, with what it adds to everything.
pub const GOOD: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n\
    crlDistributionPoints=URI:http://pki.example.net/1.crl\ncertificatePolicies=2.23.140.1.2.1\n";

/// What a request of a CA asks for.
pub const USAGE: &str = "keyUsage=critical,keyCertSign,cRLSign";
pub const CA: &str = "basicConstraints=critical,CA:TRUE,pathlen:0";

pub fn rooted() -> String {
    format!("{SMALL}  pki: {{root: true}}\n")
}

/// A store in which nothing is but the certificate of a company's root, made by openssl; its key is beside it.
pub fn company(constraints: &str) -> Place {
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
pub fn signs(place: &Place, csr: &Value, days: u32, extensions: &str) -> String {
    signs_with(place, csr, extensions, &["-CA", "company.crt", "-CAkey", "company.key"], days)
}

pub fn signs_with(place: &Place, csr: &Value, extensions: &str, signer: &[&str], days: u32) -> String {
    std::fs::write(place.path().join("one.csr"), csr.as_str().unwrap()).unwrap();
    std::fs::write(place.path().join("ext.cnf"), extensions).unwrap();
    let days = days.to_string();
    let args = ["x509", "-req", "-in", "one.csr", "-days", &days, "-extfile", "ext.cnf"];
    openssl(place, &[&args[..], signer].concat()).exits(0).stdout
}

/// The requests of a set.
pub fn requests(set: &Value) -> &Vec<Value> {
    set["requests"].as_array().unwrap()
}

pub fn names(set: &Value) -> Vec<&str> {
    requests(set).iter().map(|one| one["name"].as_str().unwrap()).collect()
}

/// Has the company's root sign everything that was asked for, and takes it in.
pub fn answer(place: &Place, set: &Value, inventory: &str) -> Ran {
    let pem: String = requests(set).iter().map(|one| signs(place, &one["csr"], 3650, GOOD)).collect();
    std::fs::write(place.path().join("signed.json"), pem).unwrap();
    import(place, inventory)
}

pub fn verify(place: &Place, inventory: &str) -> Value {
    let ran = place.pki(&["verify", "--store", "store"], inventory).exits(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

pub fn rotate(place: &Place, name: &str, more: &[&str]) -> Ran {
    place.pki(&[&["rotate", name, "-o", "text"], STORE, more].concat(), &rooted())
}

/// Whether openssl takes a certificate, with that CA and the root above it.
pub fn strictly(place: &Place, ca: &str, leaf: &str) -> Ran {
    let (ca, leaf) = (format!("store/{ca}.crt"), format!("store/{leaf}.crt"));
    openssl(place, &["verify", "-x509_strict", "-CAfile", "store/ca/root.crt", "-untrusted", &ca, &leaf])
}

/// A store of ours, and a copy of it that alone has the key of the root.
pub fn offline() -> Place {
    let place = Place::with_store(&rooted());
    place.sh("cp -a store offline && rm store/ca/root.key", "").exits(0);
    place
}

/// What `verify` finds, but for notices: of them a root that is somebody else's has some.
pub fn findings(place: &Place, inventory: &str) -> Vec<String> {
    let said = verify(place, inventory);
    let all = said["findings"].as_array().unwrap();
    all.iter().filter(|one| one["state"] != "notice").map(ToString::to_string).collect()
}

pub fn stage(place: &Place) -> Value {
    place.document(&rooted())["spec"]["rotations"].clone()
}
