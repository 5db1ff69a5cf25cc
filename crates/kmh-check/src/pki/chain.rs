//! Whether each certificate was signed by the CA of its class, by the signature itself.

use kmh_doc::pki::{Certificate, Generation};
use rayon::prelude::*;

use super::{REISSUE, class_name, expect};
use crate::certificate::Facts;
use crate::documents::Pki;
use crate::findings::Findings;

/// `pki.chain`: issuer, key identifiers and signature.
pub(crate) fn chain(pki: &Pki<'_>, out: &mut Findings<'_>) {
    let asked: Vec<_> =
        pki.certificates().filter(|(entry, _)| out.look_at_any(entry.machine.as_deref())).collect();
    let complaints: Vec<Vec<String>> =
        asked.par_iter().map(|(entry, facts)| complaints(pki, entry, facts)).collect();
    for ((entry, _), complaints) in asked.iter().zip(complaints) {
        for complaint in complaints {
            out.critical(&entry.name, complaint, REISSUE);
        }
    }
}

fn complaints(pki: &Pki<'_>, entry: &Certificate, facts: &Facts) -> Vec<String> {
    let row = expect::row(entry.class);
    let issuer = match &entry.issuer {
        None if row.is_ca() => Some((entry, facts)),
        None => return vec!["it signed itself, but is no CA".to_owned()],
        Some(name) => pki.named(name),
    };
    let Some((issuer_entry, issuer)) = issuer else {
        if pki.spec.planned {
            return Vec::new(); // its CA is only planned
        }
        let name = entry.issuer.as_deref().unwrap_or_default();
        return vec![format!("its issuer `{name}` is not in the document, or cannot be read")];
    };
    let mut found = Vec::new();
    if issuer_entry.class != row.issuer {
        let (is, must) = (class_name(issuer_entry.class), class_name(row.issuer));
        found.push(format!("it was issued by `{}`, a `{is}`; it must be a `{must}`", issuer_entry.name));
    }
    if entry.issuer.is_some() && issuer_entry.generation() == Generation::Next {
        // Nobody need know it yet.
        found.push(format!("`{}` signed it, which is not yet the one that signs", issuer_entry.name));
    }
    if facts.issuer != issuer.subject {
        found.push(format!("the issuer that it names is not the subject of `{}`", issuer_entry.name));
    }
    // RFC 5280, 4.2.1.1: required on all but self-signed certificates, and equal to the issuer's identifier.
    match (&facts.authority_key_id, &issuer.subject_key_id) {
        (_, None) => found.push(format!("its issuer `{}` has no subject key identifier", issuer_entry.name)),
        (None, _) if entry.issuer.is_some() => found.push("it has no authority key identifier".to_owned()),
        (Some(authority), Some(subject)) if authority != subject => {
            found.push(format!("its authority key identifier is not the key of `{}`", issuer_entry.name));
        }
        _ => {}
    }
    if let Err(why) = facts.is_signed_by(issuer) {
        found.push(format!("the key of `{}` did not sign it: {why}", issuer_entry.name));
    }
    found
}
