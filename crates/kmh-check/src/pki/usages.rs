//! What a certificate may be used for: no more and no less than its class needs (RFC 5280, 4.2.1.3, 4.2.1.9, 4.2.1.12).

use kmh_doc::pki::Usage;

use super::{REISSUE, expect};
use crate::certificate::{CRL_SIGN, DIGITAL_SIGNATURE, Facts, KEY_CERT_SIGN, KEY_ENCIPHERMENT};
use crate::documents::Pki;
use crate::findings::Findings;

/// `pki.usages`: extended key usage, exactly.
pub(crate) fn usages(pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        if !out.look_at_any(entry.machine.as_deref()) {
            continue;
        }
        let mut must = expect::row(entry.class).usages.to_vec();
        must.sort();
        if facts.usages != must {
            let message = format!("it may be used as {}, it must be {}", words(&facts.usages), words(&must));
            out.critical(&entry.name, message, REISSUE);
        }
        if facts.other_usages {
            out.critical(&entry.name, "it has extended key usages besides client and server", REISSUE);
        }
    }
}

fn words(usages: &[Usage]) -> &'static str {
    match usages {
        [] => "neither client nor server",
        [Usage::Client] => "client",
        [Usage::Server] => "server",
        _ => "client and server",
    }
}

/// `pki.constraints`: who may sign, and what a key may do.
pub(crate) fn constraints(pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        if !out.look_at_any(entry.machine.as_deref()) {
            continue;
        }
        let complaints = if expect::row(entry.class).is_ca() { of_ca(facts) } else { of_leaf(facts) };
        for complaint in complaints {
            out.critical(&entry.name, complaint, REISSUE);
        }
    }
}

fn of_ca(facts: &Facts) -> Vec<&'static str> {
    let mut found = Vec::new();
    match facts.constraints {
        Some((true, true, _)) => {}
        // OpenSSL's strict mode and Python from 3.13 refuse such a CA.
        Some((false, true, _)) => found.push("its basic constraints are not marked critical"),
        _ => found.push("it is no CA, but its class is one"),
    }
    match facts.key_usage {
        None => found.push("it has no key usage, so strict programs do not take it for a CA"),
        Some((critical, bits)) => {
            if bits & KEY_CERT_SIGN == 0 {
                found.push("its key usage does not permit signing certificates");
            }
            if !critical {
                found.push("its key usage is not marked critical");
            }
            if bits & !(KEY_CERT_SIGN | CRL_SIGN | DIGITAL_SIGNATURE) != 0 {
                found.push("its key usage permits more than signing");
            }
        }
    }
    if facts.subject_key_id.is_none() {
        found.push("it has no subject key identifier");
    }
    found
}

fn of_leaf(facts: &Facts) -> Vec<&'static str> {
    let mut found = Vec::new();
    if facts.is_ca() {
        found.push("it is a CA, and could sign certificates for anybody");
    }
    match facts.key_usage {
        None => found.push("it has no key usage"),
        Some((_, bits)) => {
            // RFC 8813, 3 and RFC 9295, 3: keyEncipherment has no meaning for an elliptic curve key; RSA may have it.
            let allowed =
                if facts.is_elliptic() { DIGITAL_SIGNATURE } else { DIGITAL_SIGNATURE | KEY_ENCIPHERMENT };
            if bits & DIGITAL_SIGNATURE == 0 {
                found.push("its key usage does not permit digital signatures, which TLS needs");
            }
            if bits & KEY_CERT_SIGN != 0 {
                found.push("its key usage permits signing certificates");
            } else if bits & !allowed != 0 {
                found.push("its key usage permits more than its key can be used for");
            }
        }
    }
    found
}
