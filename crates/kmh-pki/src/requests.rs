//! Request sets: what a CA is asked whose key is elsewhere, and what it answered. JSON files that people carry.
//!
//! Both hold public things only. Neither is trusted: who signs judges each request by the inventory, and who imports
//! judges each certificate by the inventory, by the CA and by the key that waits for it.

use std::collections::BTreeMap;
use std::path::Path;

use kmh_cli::{Failure, file};
use serde::{Deserialize, Serialize};

use crate::{outside, store};

/// The format that this program writes and reads.
const FORMAT: u32 = 1;
/// No set is larger: a thousand nodes ask for ten megabytes.
pub const LIMIT: usize = 256 << 20;

/// Requests for certificates, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestSet {
    /// What it is, and its format.
    pub kmh_requests: u32,
    /// The cluster.
    pub cluster: String,
    /// Identity of the store whose keys wait.
    pub store: String,
    /// The CAs that are asked: SHA-256 of their certificates, so that no other one of that name answers.
    pub authorities: BTreeMap<String, String>,
    /// The requests.
    pub requests: Vec<Asked>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Name of the certificate in the store.
    pub name: String,
    /// Name of the CA that is to sign it.
    pub issuer: String,
    /// Why it is needed.
    pub reason: String,
    /// PKCS #10, PEM.
    pub csr: String,
}

/// Certificates that answer a request set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedSet {
    /// What it is, and its format.
    pub kmh_signed: u32,
    /// The cluster.
    pub cluster: String,
    /// Identity of the store whose keys wait.
    pub store: String,
    /// The certificates.
    pub certificates: Vec<Answered>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Its name in the store.
    pub name: String,
    /// PEM.
    pub pem: String,
}

impl RequestSet {
    /// An empty one of a store.
    pub fn of(cluster: &str, store: &str) -> Self {
        Self {
            kmh_requests: FORMAT,
            cluster: cluster.to_owned(),
            store: store.to_owned(),
            authorities: BTreeMap::new(),
            requests: Vec::new(),
        }
    }

    /// From a file.
    pub fn from_json(file: &[u8]) -> Result<Self, String> {
        read(file, "kmh_requests", "request set")
    }

    /// As a file.
    pub fn to_json(&self) -> Result<String, Failure> {
        write(self)
    }
}

impl SignedSet {
    /// An empty one that answers a request set.
    pub fn to(asked: &RequestSet) -> Self {
        Self {
            kmh_signed: FORMAT,
            cluster: asked.cluster.clone(),
            store: asked.store.clone(),
            certificates: Vec::new(),
        }
    }

    /// From a file.
    pub fn from_json(file: &[u8]) -> Result<Self, String> {
        read(file, "kmh_signed", "signed set")
    }

    /// As a file.
    pub fn to_json(&self) -> Result<String, Failure> {
        write(self)
    }
}

/// Refuses a file into which the request set of the store at `at` cannot be written, before that store is touched.
pub(crate) fn refuse_target(path: &Path, force: bool, at: &Path) -> Result<(), Failure> {
    if outside::is_stream(path) {
        return Err(Failure::wrong("`--requests -` names no file")
            .because("stdout carries the documents")
            .hint("name a file; one of that name is `./-`"));
    }
    outside::refuse_other(path, force, "request set of this store", |there| {
        let earlier = RequestSet::from_json(&file::up_to(there, LIMIT)?);
        Ok(earlier.is_ok_and(|earlier| Some(earlier.store) == store::id_of(at)))
    })
}

/// What a file is that was taken for another.
const OTHERS: [(&str, &str); 2] = [
    ("kmh_requests", "it is a request set, which `kmh-pki sign --requests` signs"),
    ("kmh_signed", "it is a signed set, which `kmh-pki import --signed` takes in"),
];

/// The format is looked at first: what a later one holds is not for this program to judge.
fn read<T: for<'de> Deserialize<'de>>(file: &[u8], mark: &str, what: &str) -> Result<T, String> {
    if file.len() > LIMIT {
        return Err(format!("it is larger than any {what}"));
    }
    if file.trim_ascii().is_empty() {
        return Err("it is empty".to_owned());
    }
    if file.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err(
            "it is a PEM file; the request of one machine is signed by `kmh-pki sign --csr`".to_owned()
        );
    }
    let value: serde_json::Value =
        serde_json::from_slice(file).map_err(|error| format!("it is no JSON: {error}"))?;
    match value.get(mark).and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return Err(format!("it has format {format}, and this kmh-pki knows format {FORMAT}"));
        }
        None => {
            let other = OTHERS.iter().find(|(other, _)| *other != mark && value.get(other).is_some());
            return Err(match other {
                Some((_, is)) => (*is).to_owned(),
                None => format!("it is no {what}: it has no `{mark}`"),
            });
        }
    }
    // From the text again, which knows lines: a value does not.
    serde_json::from_slice(file).map_err(|error| error.to_string())
}

fn write(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Failure::world("cannot write JSON").because(error))
}
