//! What a certificate must be on its own: one row for each rule, with the place where it stands.
//!
//! Go takes much that OpenSSL's `-x509_strict`, Python from 3.13 and rustls refuse; these rules are theirs.

use crate::facts::{CRL_SIGN, DIGITAL_SIGNATURE, Facts, KEY_CERT_SIGN, KEY_ENCIPHERMENT};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It signs others.
    Authority,
    /// A client or server has it.
    Leaf,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The structure.
    Form,
    /// Start and end.
    Dates,
    /// The serial number.
    Serial,
    /// Subject and alternative names.
    Names,
    /// What it may be used for.
    Usages,
    /// Who may sign, and what a key may do.
    Constraints,
    /// The key and the signature.
    Algorithm,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Strict programs refuse the certificate, or it does harm.
    Must,
    /// It works, and is not as it should be.
    Should,
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Stable name.
    pub id: &'static str,
    /// What it is about.
    pub topic: Topic,
    /// How much it matters.
    pub weight: Weight,
    /// What is wrong when it is broken, in words.
    pub says: &'static str,
    /// Where it stands.
    pub source: &'static str,
    who: Who,
    broken: fn(&Facts) -> bool,
    more: Option<fn(&Facts) -> String>,
}

/// Whom a rule binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Any,
    Authority,
    Leaf,
}

/// A rule that a certificate breaks.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The rule.
    pub rule: &'static Rule,
    /// What is wrong, with what the certificate says.
    pub message: String,
}

/// Key algorithms that every program of a cluster takes, Ed25519 in TLS included.
pub const ALGORITHMS: [&str; 6] = ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"];

/// Signatures that are sound, by OID: ECDSA with SHA-2 (RFC 5758, 3.2), RSA with SHA-2 (RFC 4055, 5), Ed25519 (RFC 8410, 3).
const SIGNATURES: [&str; 7] = [
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
    "1.2.840.10045.4.3.4",
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.3.101.112",
];

/// A name without a field, DER.
const NO_NAME: [u8; 2] = [0x30, 0x00];
/// Octets that a serial number has at most.
const SERIAL: usize = 20;
/// Octets below which a serial number was not drawn: of 63 random bits, the first two octets are zero once in 2^15 times.
const SHORT: usize = 7;
/// Characters that a common name has at most (RFC 5280, appendix A.1).
const COMMON_NAME: usize = 64;

const fn rule(
    id: &'static str,
    topic: Topic,
    who: Who,
    weight: Weight,
    says: &'static str,
    source: &'static str,
    broken: fn(&Facts) -> bool,
) -> Rule {
    Rule { id, topic, weight, says, source, who, broken, more: None }
}

const fn more(rule: Rule, more: fn(&Facts) -> String) -> Rule {
    Rule { more: Some(more), ..rule }
}

use Topic::{Algorithm, Constraints, Dates, Form, Names, Serial, Usages};
use Weight::{Must, Should};
use Who::{Any, Authority, Leaf};

/// Every rule.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    more(rule("version", Form, Any, Must, "it is not X.509 v3", "RFC 5280, 4.1.2.1", |f| f.version != 3), |f| format!(", but v{}", f.version)),
    more(rule("unknown-critical", Form, Any, Must, "programs refuse its critical extension", "RFC 5280, 4.2", |f| !f.unknown_critical.is_empty()), |f| format!(" {}", f.unknown_critical.join(", "))),
    rule("signature-declared", Form, Any, Must, "it was not signed with the algorithm that it declares", "RFC 5280, 4.1.1.2", |f| !f.signature_is_declared),
    rule("issuer-empty", Form, Any, Must, "it names no issuer", "RFC 5280, 4.1.2.4", |f| f.issuer == NO_NAME),

    rule("dates-order", Dates, Any, Must, "it ends before it begins", "RFC 5280, 4.1.2.5", |f| f.not_after <= f.not_before),
    rule("dates-form", Dates, Any, Must, "a date of it is not UTCTime through 2049 and GeneralizedTime after", "RFC 5280, 4.1.2.5", |f| !f.dates_in_form),

    rule("serial-positive", Serial, Any, Must, "its serial number is not positive", "RFC 5280, 4.1.2.2", |f| !is_positive(&f.serial)),
    more(rule("serial-length", Serial, Any, Must, "its serial number has more than 20 octets", "RFC 5280, 4.1.2.2", |f| f.serial.len() > SERIAL), |f| format!(": {}", f.serial.len())),
    rule("serial-random", Serial, Any, Should, "its serial number is short: it was counted and not drawn", "CA/Browser Forum baseline requirements, 7.1", |f| is_positive(&f.serial) && f.serial.len() < SHORT),

    rule("subject-empty", Names, Authority, Must, "its subject is empty", "RFC 5280, 4.1.2.6", |f| f.subject == NO_NAME),
    rule("common-name-length", Names, Any, Must, "its common name has more than 64 characters", "RFC 5280, appendix A.1", |f| f.common_names.iter().any(|name| name.chars().count() > COMMON_NAME)),
    rule("subject-fields", Names, Leaf, Should, "its subject has fields that nobody asked for", "least privilege", |f| f.subject_fields != f.common_names.len() + f.organizations.len() || f.common_names.len() > 1),
    rule("names-empty", Names, Any, Must, "it has an empty list of alternative names", "RFC 5280, 4.2.1.6", |f| f.alternative_names.is_some() && f.dns_names.is_empty() && f.addresses.is_empty() && f.other_names == 0),
    rule("names-critical", Names, Any, Should, "its alternative names are critical beside a subject", "RFC 5280, 4.2.1.6", |f| f.alternative_names == Some(true) && f.subject != NO_NAME),
    rule("names-other", Names, Leaf, Must, "it has alternative names that are neither DNS names nor addresses", "least privilege", |f| f.other_names > 0),

    rule("usages-other", Usages, Leaf, Must, "it has extended key usages besides client and server", "least privilege", |f| f.other_usages),

    rule("ca-flag", Constraints, Authority, Must, "it is no CA, but its class is one", "RFC 5280, 4.2.1.9", |f| !f.is_ca()),
    // OpenSSL's strict mode and Python from 3.13 refuse such a CA.
    rule("ca-flag-critical", Constraints, Authority, Must, "its basic constraints are not marked critical", "RFC 5280, 4.2.1.9", |f| matches!(f.constraints, Some((false, true, _)))),
    rule("path-length", Constraints, Authority, Should, "it sets no path length: what it signs could be a CA, too", "RFC 5280, 4.2.1.9", |f| matches!(f.constraints, Some((_, true, None)))),
    rule("path-length-of-no-ca", Constraints, Any, Must, "it is no CA, and has a path length", "RFC 5280, 4.2.1.9", |f| matches!(f.constraints, Some((_, false, Some(_))))),
    rule("ca-key-usage", Constraints, Authority, Must, "it has no key usage, so strict programs do not take it for a CA", "RFC 5280, 4.2.1.3", |f| f.key_usage.is_none()),
    rule("ca-cert-sign", Constraints, Authority, Must, "its key usage does not permit signing certificates", "RFC 5280, 4.2.1.3", |f| lacks(f, KEY_CERT_SIGN)),
    rule("ca-key-usage-critical", Constraints, Authority, Should, "its key usage is not marked critical", "RFC 5280, 4.2.1.3", |f| matches!(f.key_usage, Some((false, _)))),
    // kubeadm's CAs have keyEncipherment, and no program minds.
    rule("ca-key-usage-more", Constraints, Authority, Should, "its key usage permits more than signing", "least privilege", |f| has(f, !(KEY_CERT_SIGN | CRL_SIGN | DIGITAL_SIGNATURE))),
    rule("ca-subject-key-id", Constraints, Authority, Must, "it has no subject key identifier", "RFC 5280, 4.2.1.2", |f| f.subject_key_id.is_none()),

    rule("leaf-ca", Constraints, Leaf, Must, "it is a CA, and could sign certificates for anybody", "RFC 5280, 4.2.1.9", Facts::is_ca),
    rule("leaf-constraints", Constraints, Leaf, Should, "its basic constraints are absent or not critical", "RFC 5280, 4.2.1.9", |f| !matches!(f.constraints, Some((true, _, _)))),
    rule("leaf-key-usage", Constraints, Leaf, Must, "it has no key usage", "RFC 5280, 4.2.1.3", |f| f.key_usage.is_none()),
    rule("leaf-key-usage-critical", Constraints, Leaf, Should, "its key usage is not marked critical", "RFC 5280, 4.2.1.3", |f| matches!(f.key_usage, Some((false, _)))),
    rule("leaf-signature", Constraints, Leaf, Must, "its key usage does not permit digital signatures, which TLS needs", "RFC 8446, 4.4.2.2", |f| lacks(f, DIGITAL_SIGNATURE)),
    rule("leaf-cert-sign", Constraints, Leaf, Must, "its key usage permits signing certificates", "RFC 5280, 4.2.1.3", |f| has(f, KEY_CERT_SIGN)),
    // keyEncipherment has no meaning for a key of an elliptic curve; RSA may have it.
    rule("leaf-key-usage-more", Constraints, Leaf, Must, "its key usage permits more than its key can be used for", "RFC 8813, 3; RFC 9295, 3", |f| !has(f, KEY_CERT_SIGN) && has(f, !allowed(f))),
    rule("leaf-subject-key-id", Constraints, Leaf, Should, "it has no subject key identifier", "RFC 5280, 4.2.1.2", |f| f.subject_key_id.is_none()),

    more(rule("key-algorithm", Algorithm, Any, Must, "not every program takes its key", "kubeadm 1.36", |f| !ALGORITHMS.contains(&f.algorithm.as_str())), |f| format!(", `{}`: all take {}", f.algorithm, ALGORITHMS.join(", "))),
    more(rule("signature-algorithm", Algorithm, Any, Must, "it is signed with a weak or unknown algorithm", "RFC 5280, 4.1.1.2; RFC 9155", |f| !SIGNATURES.contains(&f.signature.as_str())), |f| format!(", {}", f.signature)),
];

/// The rules that a certificate breaks.
pub fn broken(facts: &Facts, role: Role) -> impl Iterator<Item = Broken> + '_ {
    RULES.iter().filter(move |rule| rule.binds(role) && (rule.broken)(facts)).map(|rule| Broken {
        rule,
        message: match rule.more {
            None => rule.says.to_owned(),
            Some(more) => rule.says.to_owned() + &more(facts),
        },
    })
}

impl Rule {
    fn binds(&self, role: Role) -> bool {
        match self.who {
            Who::Any => true,
            Who::Authority => role == Role::Authority,
            Who::Leaf => role == Role::Leaf,
        }
    }
}

fn is_positive(serial: &[u8]) -> bool {
    serial.first().is_some_and(|first| first & 0x80 == 0) && serial.iter().any(|octet| *octet != 0)
}

fn has(facts: &Facts, bits: u16) -> bool {
    facts.key_usage.is_some_and(|(_, all)| all & bits != 0)
}

fn lacks(facts: &Facts, bits: u16) -> bool {
    facts.key_usage.is_some_and(|(_, all)| all & bits == 0)
}

fn allowed(facts: &Facts) -> u16 {
    if facts.only_signs() { DIGITAL_SIGNATURE } else { DIGITAL_SIGNATURE | KEY_ENCIPHERMENT }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rcgen::{CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
    use time::macros::datetime;

    use super::*;

    #[test]
    fn names_are_stable_single_and_in_kebab_case() {
        let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        assert!(RULES.iter().all(|rule| !rule.source.is_empty() && !rule.says.is_empty()));
    }

    fn rules_of(change: impl FnOnce(&mut CertificateParams)) -> Vec<&'static str> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_before = datetime!(2026-01-01 00:00 UTC);
        params.not_after = datetime!(2027-01-01 00:00 UTC);
        change(&mut params);
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let facts = Facts::from_der(der).unwrap();
        broken(&facts, Role::Leaf).map(|one| one.rule.id).collect()
    }

    #[test]
    fn what_openssl_does_not_make_is_found_too() {
        assert_eq!(rules_of(|_| {}), [""; 0]);
        assert_eq!(rules_of(|p| p.not_after = datetime!(2025-01-01 00:00 UTC)), ["dates-order"]);
        assert_eq!(rules_of(|p| p.not_after = p.not_before), ["dates-order"]);
        let named = |length: usize| {
            move |p: &mut CertificateParams| p.distinguished_name.push(DnType::CommonName, "ä".repeat(length))
        };
        assert_eq!(rules_of(named(64)), [""; 0]);
        assert_eq!(rules_of(named(65)), ["common-name-length"]);
        // UTCTime through 2049, GeneralizedTime after: what the library writes is so on both sides.
        assert_eq!(rules_of(|p| p.not_after = datetime!(2049-12-31 23:59:59 UTC)), [""; 0]);
        assert_eq!(rules_of(|p| p.not_after = datetime!(2050-01-01 00:00 UTC)), [""; 0]);
    }
}
