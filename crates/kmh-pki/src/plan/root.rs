//! The root above the CAs, where the inventory wants one.
//!
//! Its key is needed for nothing but making a CA, so it may be away from the first day on.

use std::collections::BTreeMap;

use kmh_doc::pki::Generation;

use super::{Authority, Plan, Refusal};
use crate::cert::Certificate;
use crate::observed::{Observed, Pair};
use crate::want::Wanted;

/// Refuses CAs that are to be made and that the root cannot sign now.
pub(super) fn judge(authorities: &[&Wanted], states: &BTreeMap<&str, Authority<'_>>, plan: &mut Plan) {
    for wanted in authorities {
        let Some(root) = wanted.issuer.as_deref() else { continue };
        if !matches!(states.get(wanted.name.as_str()), Some(Authority::Planned)) {
            continue;
        }
        let why = match states.get(root) {
            Some(Authority::Away(_)) => "the store does not hold its key".to_owned(),
            Some(Authority::Cannot(why)) => why.clone(),
            _ => continue,
        };
        plan.refusals.push(Refusal {
            name: format!("{root}.key"),
            what: format!("`{root}` cannot sign `{}`: {why}", wanted.name),
            hint: "bring its key back until the CA is made".to_owned(),
        });
    }
}

/// What is wrong with a CA that the root did not sign; only told where it signed itself before there was a root.
pub(super) fn stranger(
    wanted: &Wanted,
    certificate: &Certificate,
    observed: &Observed,
    warnings: &mut Vec<String>,
) -> Option<String> {
    let root = wanted.issuer.as_deref()?;
    let name = &wanted.name;
    if certificate.is_signed_by(certificate) {
        // The next rotation is that of the current one, and replaces the others too.
        if Generation::of(name) != Generation::Current {
            return None;
        }
        let short = name.rsplit('/').next().unwrap_or(name);
        warnings.push(format!(
            "CA `{name}` signed itself, and the settings want a root above it: `kmh-pki rotate {short}` makes one that `{root}` signs"
        ));
        return None;
    }
    let known = observed.pairs.get(root).and_then(|pair| pair.certificate.there())?;
    (!certificate.is_signed_by(known)).then(|| format!("CA `{name}` is signed by another CA than `{root}`"))
}

/// Whether it holds a certificate that signed itself.
pub(super) fn is_self_signed(pair: &Pair) -> bool {
    pair.certificate.there().is_some_and(|certificate| certificate.is_signed_by(certificate))
}
