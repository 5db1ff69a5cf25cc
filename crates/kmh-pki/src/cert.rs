//! Reading a certificate: what it says of itself, and whether it is as the table of certificates wants it.

use std::collections::BTreeSet;
use std::net::IpAddr;

pub use kmh_cert::facts::{address, algorithm, algorithm_of, day as date, rfc3339};
use kmh_cert::facts::{hex, is_signed};
use kmh_cert::rules::{Topic, broken};
use kmh_cert::{Facts, Role};
use kmh_doc::pki::Usage;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::sorted::Sorted;
use crate::want::Wanted;

/// Rules of which kubeadm's certificates break some and that no program minds: no reason to make anything anew.
const HARMLESS: [&str; 3] = ["leaf-subject-key-id", "ca-key-usage-more", "path-length"];

/// A certificate that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As it is written, PEM, with one line feed at its end. A store of a thousand nodes is held in memory: its DER form
    /// is made of it where it is asked for.
    pub pem: String,
    /// SHA-256 of its DER form.
    pub digest: [u8; 32],
    /// Common name.
    pub common_name: String,
    /// How many parts its subject has.
    pub attributes: usize,
    /// Organizations, in their order.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns_names: Sorted<String>,
    /// IP addresses.
    pub addresses: Sorted<IpAddr>,
    /// Client and server usage.
    pub usages: Sorted<Usage>,
    /// Key algorithm.
    pub algorithm: String,
    /// Start.
    pub not_before: OffsetDateTime,
    /// End.
    pub not_after: OffsetDateTime,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// `SubjectPublicKeyInfo` in DER.
    pub public: Vec<u8>,
    /// Subject key identifier (RFC 5280, 4.2.1.2).
    pub key_id: Option<Vec<u8>>,
    /// Authority key identifier (RFC 5280, 4.2.1.1).
    pub issuer_key_id: Option<Vec<u8>>,
    /// Issuer, DER.
    pub issuer: Vec<u8>,
    /// Subject, DER.
    pub subject: Vec<u8>,
    /// Whether it may sign certificates.
    pub is_ca: bool,
    /// Where it leaves the strict profile of RFC 5280, in words.
    pub deviations: Vec<&'static str>,
}

impl Certificate {
    /// From a PEM file.
    pub fn from_pem(file: &[u8]) -> Result<Self, &'static str> {
        Facts::from_pem(file).map(Self::of).map_err(|why| why.short())
    }

    /// From DER.
    pub fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        Facts::from_der(der.to_vec()).map(Self::of).map_err(|why| why.short())
    }

    /// From what was read of it.
    pub fn of(facts: Facts) -> Self {
        let own = facts.subject == facts.issuer;
        // Before version 3 nothing said what a certificate may do, and everybody takes its own issuer for a CA.
        let is_ca = facts.is_ca() || (facts.version < 3 && own);
        let role = if is_ca { Role::Authority } else { Role::Leaf };
        // Of keys and signatures the settings speak, not the profile.
        let broken = broken(&facts, role)
            .filter(|one| one.rule.topic != Topic::Algorithm && !HARMLESS.contains(&one.rule.id));
        let mut deviations: Vec<&'static str> = broken.map(|one| one.rule.says).collect();
        // RFC 5280, 4.2.1.1: what signed itself may leave it out.
        if !own && facts.authority_key_id.is_none() {
            deviations.push("it has no authority key identifier");
        }
        Self {
            pem: pem_of("CERTIFICATE", &facts.der),
            attributes: facts.subject_fields,
            is_ca,
            common_name: facts.common_names.into_iter().next().unwrap_or_default(),
            organizations: facts.organizations,
            dns_names: facts.dns_names.into_iter().collect(),
            addresses: facts.addresses.into_iter().collect(),
            usages: facts.usages.into_iter().collect(),
            algorithm: facts.algorithm,
            not_before: facts.not_before,
            not_after: facts.not_after,
            serial: hex(&facts.serial),
            public: facts.public_key,
            key_id: facts.subject_key_id,
            issuer_key_id: facts.authority_key_id,
            issuer: facts.issuer,
            subject: facts.subject,
            digest: Sha256::digest(&facts.der).into(),
            deviations,
        }
    }

    /// Whether that CA signed it: by name and identifier, and by signature.
    pub fn is_signed_by(&self, authority: &Self) -> bool {
        // An identifier is compared where both have one: a CA of version 1 has none. What it says costs nothing to know.
        let keys = self.issuer_key_id.as_ref().zip(authority.key_id.as_ref());
        self.issuer == authority.subject
            && keys.is_none_or(|(own, other)| own == other)
            && is_signed(&self.der(), &authority.der()).is_ok()
    }

    /// Whether it is the same CA as another certificate: of that name and of that key.
    pub fn is_renewal_of(&self, other: &Self) -> bool {
        self.subject == other.subject && self.public == other.public
    }

    /// SHA-256 of the DER form, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex(&self.digest)
    }

    /// Its DER form.
    pub fn der(&self) -> Vec<u8> {
        x509_parser::pem::parse_x509_pem(self.pem.as_bytes()).map(|(_, pem)| pem.contents).unwrap_or_default()
    }

    /// Its names: DNS names, then addresses.
    pub fn names(&self) -> BTreeSet<String> {
        names(self.dns_names.iter(), self.addresses.iter())
    }
}

/// DNS names and addresses as one set of texts.
pub fn names<'a>(
    dns: impl IntoIterator<Item = &'a String>,
    addresses: impl IntoIterator<Item = &'a IpAddr>,
) -> BTreeSet<String> {
    dns.into_iter().cloned().chain(addresses.into_iter().map(ToString::to_string)).collect()
}

impl Wanted {
    /// Its names: DNS names, then addresses.
    pub fn names(&self) -> BTreeSet<String> {
        names(self.dns_names.iter(), self.addresses.iter())
    }
}

/// DER as a PEM file (RFC 7468).
pub fn pem_of(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::with_capacity(body.len() + 96);
    out.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.extend(["-----END ", label, "-----\n"]);
    out
}
