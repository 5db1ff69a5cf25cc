//! The root above the CAs, where the inventory wants one.
//!
//! Its key is needed for nothing but making a CA, so it may be away from the first day on: what it has to sign is then
//! asked for, and comes in as from any CA whose key is elsewhere.

use std::collections::BTreeMap;

use kmh_cert::{Facts, Role, rules};
use kmh_doc::pki::{Class, Generation};
use time::OffsetDateTime;

use super::{Authority, Make, Plan, Refusal, Step, differences};
use crate::cert::{Certificate, date};
use crate::observed::{Observed, Pair};
use crate::reason::Reason;
use crate::want::Wanted;

/// The rules of CAs that are told in other words, or by the settings.
const TOLD: [&str; 2] = ["path-length", "key-algorithm"];

/// Has CAs that are to be made asked for where the root's key is away; refuses those that it cannot sign at all.
pub(super) fn judge<'a>(
    authorities: &[&'a Wanted],
    states: &mut BTreeMap<&'a str, Authority<'_>>,
    observed: &Observed,
    plan: &mut Plan,
) {
    for wanted in authorities {
        if let Some(ca) = states.get(wanted.name.as_str()).and_then(Authority::certificate)
            && wanted.class == Class::RootCa
            && ca.issuer != ca.subject
        {
            plan.warnings.push(format!(
                "`{}` did not sign itself, and haproxy takes nothing else for an anchor",
                wanted.name
            ));
        }
        let Some(root) = wanted.issuer.as_deref() else { continue };
        let planned = matches!(states.get(wanted.name.as_str()), Some(Authority::Planned));
        let next = is_next_asked(&wanted.name, observed);
        if !planned && !next {
            continue;
        }
        let (away, why) = match states.get(root) {
            Some(Authority::Can(ca)) => (false, forbids(ca)),
            Some(Authority::Away(ca)) => (true, forbids(ca)),
            Some(Authority::Cannot(why)) => (true, Some(why.clone())),
            _ => continue,
        };
        let mut refuse = |why: &str, hint: &str| {
            plan.refusals.push(Refusal {
                name: format!("{root}.key"),
                what: format!("`{root}` cannot sign `{}`: {why}", wanted.name),
                hint: hint.to_owned(),
            });
        };
        let hint = "bring its key back until the CA is made";
        match (why, planned) {
            (Some(why), true) => refuse(&why, "put a root in its place that can, or leave out `pki.root`"),
            // The next one can wait.
            (Some(_), false) => {}
            (None, false) => plan.next.push(Step {
                name: next_of(&wanted.name),
                make: Make::Pair,
                reasons: vec![Reason::Rotation],
            }),
            (None, true) if !away => {}
            (None, true) => {
                let at = plan.steps.iter().position(|step| step.name == wanted.name);
                match at.map(|at| plan.steps.remove(at)) {
                    Some(step) if step.make == Make::Pair => {
                        plan.asked.push(step);
                        states.insert(&wanted.name, Authority::Asked);
                    }
                    // A key that a killed run left, which did not wait for anybody.
                    _ => refuse("the store does not hold its key", hint),
                }
            }
        }
    }
}

/// The name of a CA's next generation.
fn next_of(authority: &str) -> String {
    format!("{authority}{}", Generation::Next.ending())
}

/// Whether the next generation of a CA is asked for: its key waits, and no rotation is under way.
pub fn is_next_asked(authority: &str, observed: &Observed) -> bool {
    let has = |one: Generation| observed.pairs.contains_key(&format!("{authority}{}", one.ending()));
    observed.waiting.contains_key(&next_of(authority)) && !has(Generation::Next) && !has(Generation::Old)
}

/// Why no CA may be below that one (RFC 5280, 4.2.1.9).
pub fn forbids(root: &Certificate) -> Option<String> {
    let facts = Facts::from_der(root.der()).ok()?;
    matches!(facts.constraints, Some((_, true, Some(0))))
        .then(|| "its path length is 0, so no CA may be below it".to_owned())
}

/// Everything that speaks against a certificate from elsewhere as that of a CA below that root.
pub fn unfit(wanted: &Wanted, is: &Certificate, root: &Certificate, now: OffsetDateTime) -> Vec<String> {
    let mut found = Vec::new();
    if !is.is_signed_by(root) {
        found.push(Reason::Issuer(wanted.issuer.clone().unwrap_or_default()).to_string());
    }
    found.extend(forbids(root).map(|why| format!("`{}` cannot sign it: {why}", root.common_name)));
    let differences = differences(wanted, is).into_iter();
    let (limits, others): (Vec<_>, Vec<_>) =
        differences.partition(|reason| matches!(reason, Reason::Usages { .. }));
    found.extend(others.iter().map(ToString::to_string));
    let Ok(facts) = Facts::from_der(is.der()) else {
        found.push("it holds no X.509 certificate".to_owned());
        return found;
    };
    if is.organizations == wanted.organizations && facts.subject_fields > 1 + is.organizations.len() {
        found.push("its subject has fields that nobody asked for".to_owned());
    }
    if facts.other_names > 0 {
        found.push("it has alternative names that nobody asked for".to_owned());
    }
    if !limits.is_empty() || facts.other_usages {
        found.push("it has extended key usages, which bind whatever it signs".to_owned());
    }
    if facts.name_constraints {
        found.push("it has name constraints, which bind whatever it signs".to_owned());
    }
    let broken = rules::broken(&facts, Role::Authority).filter(|one| !TOLD.contains(&one.rule.id));
    found.extend(broken.map(|one| one.message));
    match facts.constraints {
        Some((_, true, None)) => {
            found.push("it has no path length, and that of a CA below a root is 0".to_owned());
        }
        Some((_, true, Some(length))) if length > 0 => {
            found.push(format!("its path length is {length}, and that of a CA below a root is 0"));
        }
        _ => {}
    }
    if facts.authority_key_id.is_none() {
        found.push("it has no authority key identifier".to_owned());
    }
    if now >= is.not_after {
        found.push(Reason::Expired { on: date(is.not_after) }.to_string());
    }
    if now < is.not_before {
        found.push(Reason::Future { on: date(is.not_before) }.to_string());
    }
    found
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
