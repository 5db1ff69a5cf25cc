//! Whether one certificate signed another, by name, by identifier and by the signature itself.

use crate::facts::{Facts, rfc3339};
use crate::limits::Limits;

/// Something between a certificate and the one that should have signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Stable name.
    pub id: &'static str,
    /// What is wrong.
    pub message: String,
}

/// The names of all complaints.
pub const COMPLAINTS: [&str; 7] = [
    "issuer-name",
    "authority-key-id",
    "issuer-key-id",
    "signature",
    "path-too-long",
    NAME_CONSTRAINTS,
    "outlives-ca",
];

/// The name of [`forbidden`].
pub const NAME_CONSTRAINTS: &str = "name-constraints";

fn complaint(id: &'static str, message: impl Into<String>) -> Complaint {
    Complaint { id, message: message.into() }
}

/// What is wrong between a certificate and `issuer`, which is called `name`. One that signed itself is its own issuer.
pub fn complaints(facts: &Facts, issuer: &Facts, name: &str) -> Vec<Complaint> {
    let itself = facts.der == issuer.der;
    let mut found = Vec::new();
    if facts.issuer != issuer.subject {
        found.push(complaint(
            "issuer-name",
            format!("the issuer that it names is not the subject of `{name}`"),
        ));
    }
    // RFC 5280, 4.2.1.1: required on all but self-signed certificates, and equal to the issuer's identifier.
    match (&facts.authority_key_id, &issuer.subject_key_id) {
        (_, None) if itself => {}
        (_, None) => {
            found.push(complaint(
                "issuer-key-id",
                format!("its issuer `{name}` has no subject key identifier"),
            ));
        }
        (None, _) if !itself => {
            found.push(complaint("authority-key-id", "it has no authority key identifier"));
        }
        (Some(authority), Some(subject)) if authority != subject => {
            let message = format!("its authority key identifier is not the key of `{name}`");
            found.push(complaint("authority-key-id", message));
        }
        _ => {}
    }
    if let Err(why) = facts.is_signed_by(issuer) {
        found.push(complaint("signature", format!("the key of `{name}` did not sign it: {why}")));
    }
    // RFC 5280, 4.2.1.9: so many certificates may stand between it and a leaf.
    if let (Some((_, true, Some(0))), false, true) = (issuer.constraints, itself, facts.is_ca()) {
        found.push(complaint("path-too-long", format!("it is a CA, and `{name}` permits none below it")));
    }
    if !itself {
        found.extend(forbidden(facts, issuer, name));
    }
    found.extend(outlives(facts, issuer, name));
    found
}

/// Whether a CA above it, which is called `name`, does not permit its names (RFC 5280, 4.2.1.10).
pub fn forbidden(facts: &Facts, ca: &Facts, name: &str) -> Option<Complaint> {
    let names = Limits::of(ca)?.forbidden(&facts.dns_names, &facts.addresses);
    let told = || format!("the name constraints of `{name}` do not permit {}", names.join(", "));
    (!names.is_empty()).then(|| complaint(NAME_CONSTRAINTS, told()))
}

/// Whether it ends after the one that signed it: then programs refuse it before its end.
pub fn outlives(facts: &Facts, issuer: &Facts, name: &str) -> Option<Complaint> {
    (facts.not_after > issuer.not_after).then(|| {
        let (its, ends) = (rfc3339(facts.not_after), rfc3339(issuer.not_after));
        complaint("outlives-ca", format!("it ends at {its}, after its CA `{name}` at {ends}"))
    })
}
