//! Whether each certificate was signed by the CA of its class, by the signature itself.

use kmh_cert::{Facts, chain};
use kmh_doc::pki::{Certificate, Class, Generation};
use rayon::prelude::*;

use super::{REISSUE, class_name, expect};
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
        // Somebody else's intermediate: an anchor is trusted as it is (RFC 5280, 6.1.1 d), and what signed it is not here.
        None if row.is_ca() && facts.issuer != facts.subject => return Vec::new(),
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
    // A CA signs itself, or the root signs it.
    let must = if row.is_ca() && entry.issuer.is_some() { Class::RootCa } else { row.issuer };
    if issuer_entry.class != must {
        let (is, must) = (class_name(issuer_entry.class), class_name(must));
        found.push(format!("it was issued by `{}`, a `{is}`; it must be a `{must}`", issuer_entry.name));
    }
    if entry.issuer.is_some() && issuer_entry.generation() == Generation::Next {
        // Nobody need know it yet.
        found.push(format!("`{}` signed it, which is not yet the one that signs", issuer_entry.name));
    }
    // That it ends after its CA is a matter of `pki.dates`, that it is a CA itself one of `pki.constraints`.
    let elsewhere = ["outlives-ca", "path-too-long"];
    let complaints = chain::complaints(facts, issuer, &issuer_entry.name).into_iter();
    found.extend(complaints.filter(|one| !elsewhere.contains(&one.id)).map(|one| one.message));
    found
}
