//! Deciding: what is wanted, what is there and the time give what has to be done, and why. Pure.
//!
//! Nothing is ever guessed about a damaged store. A half that is missing or does not fit is a sign of an
//! interrupted run only where that run's journal names it; everywhere else it is refused, because a key that is made
//! again in place of a lost one locks everybody out.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::pki::{Generation, Usage};
use time::{Duration, OffsetDateTime};

use crate::cert::{Certificate, date};
use crate::issue;
use crate::many;
use crate::observed::{Half, Observed};
use crate::reason::Reason;
use crate::table::Life;
use crate::want::{Wanted, Wants};

mod authority;
mod away;
mod keys;
mod root;

use authority::Authority;

pub use away::standing;
pub use root::{forbids, is_next_asked, unfit};

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Make {
    /// A key and its certificate, in place of whatever is there.
    Pair,
    /// A certificate for the key that is there: a CA whose first run was interrupted.
    Certificate,
    /// A certificate for a key that is on its machine, from the request beside it.
    Again,
    /// A key without certificate.
    Key,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is done to.
    pub name: String,
    /// What is made.
    pub make: Make,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl Step {
    /// All reasons in one line.
    pub fn why(&self) -> String {
        self.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// Something that is wrong with the store and that only a person can put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file or name that it is about.
    pub name: String,
    /// What is wrong.
    pub what: String,
    /// How to go on.
    pub hint: String,
}

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// CAs first, then by name.
    pub steps: Vec<Step>,
    /// With any of these, nothing is done.
    pub refusals: Vec<Refusal>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What would be done if `--limit` did not leave its machine out.
    pub held: Vec<Step>,
    /// What only a CA can sign whose key the store does not hold.
    pub asked: Vec<Step>,
    /// What can be made when a CA has come that is asked for.
    pub behind: Vec<Step>,
    /// Next generations of CAs that wait for the root: nothing lacks them.
    pub next: Vec<Step>,
}

const RESTORE: &str = "restore it from a backup";

/// Decides. `chosen` says which machines may be touched; what the cluster shares always may.
pub fn plan(wants: &Wants, observed: &Observed, now: OffsetDateTime, chosen: &dyn Fn(&str) -> bool) -> Plan {
    let mut plan = Plan::default();
    let (mut authorities, leaves): (Vec<_>, Vec<_>) =
        wants.certificates.values().map(Box::as_ref).partition(|wanted| wanted.life == Life::Authority);
    // The root first: what it signs is made after it.
    authorities.sort_by_key(|wanted| wanted.issuer.is_some());
    let mut states: BTreeMap<&str, Authority<'_>> = authorities
        .iter()
        .map(|wanted| (wanted.name.as_str(), authority::judge(wanted, wants, observed, now, &mut plan)))
        .collect();
    root::judge(&authorities, &mut states, observed, &mut plan);
    // To verify a thousand signatures is most of what a run without anything to do costs.
    let judged = many::map(leaves, |wanted| {
        let mut own = Plan::default();
        let authority =
            wanted.issuer.as_deref().and_then(|name| states.get(name)).unwrap_or(&Authority::Refused);
        (wanted, authority, judge_leaf(wanted, authority, observed, now, &mut own), own)
    });
    for (wanted, authority, step, own) in judged {
        plan.refusals.extend(own.refusals);
        plan.warnings.extend(own.warnings);
        let Some(mut step) = step else { continue };
        say_retired(&mut step, wanted, observed);
        if !wanted.machine.as_deref().is_none_or(chosen) {
            plan.held.push(step);
            continue;
        }
        if let Authority::Away(_) = authority {
            plan.asked.push(step);
            continue;
        }
        if let Authority::Asked = authority {
            plan.behind.push(step);
            continue;
        }
        if let Authority::Cannot(why) = authority {
            let name = wanted.issuer.clone().unwrap_or_default();
            plan.refusals.push(Refusal {
                name: wanted.name.clone(),
                what: format!("`{name}` cannot sign `{}`: {why}", wanted.name),
                hint: format!("`{}` is needed because: {}", wanted.name, step.why()),
            });
            continue;
        }
        plan.steps.push(step);
    }
    for wanted in wants.keys.values() {
        keys::judge(wanted, observed, &states, &mut plan);
    }
    plan
}

/// The certificate of a CA that can sign now, or why it cannot and how to go on; and what a person should know of it.
pub fn signer<'a>(
    name: &str,
    wants: &Wants,
    observed: &'a Observed,
    now: OffsetDateTime,
) -> (Result<&'a Certificate, (String, String)>, Vec<String>) {
    let mut plan = Plan::default();
    let ensure = "`kmh-pki ensure` says more";
    let found =
        wants.certificates.get(name).map(|wanted| authority::judge(wanted, wants, observed, now, &mut plan));
    let found = match found {
        Some(Authority::Can(certificate)) => Ok(certificate),
        Some(Authority::Planned | Authority::Asked) => {
            Err(("it is not made yet".to_owned(), "run `kmh-pki ensure` first".to_owned()))
        }
        Some(Authority::Cannot(why)) => Err((why, ensure.to_owned())),
        Some(Authority::Away(_)) => Err((
            "the store does not hold its key".to_owned(),
            "name the store that does, or ask it: `kmh-pki ensure --requests FILE`".to_owned(),
        )),
        Some(Authority::Refused) | None => {
            let refusal = plan.refusals.pop();
            Err(refusal
                .map_or_else(|| ("there is no such CA".to_owned(), ensure.to_owned()), |r| (r.what, r.hint)))
        }
    };
    (found, plan.warnings)
}

/// The certificate of a CA whose signatures are good now, wherever its key is; or why they are not.
pub fn issuer<'a>(
    name: &str,
    wants: &Wants,
    observed: &'a Observed,
    now: OffsetDateTime,
) -> Result<&'a Certificate, String> {
    let wanted = wants.certificates.get(name).ok_or("there is no such CA")?;
    let mut plan = Plan::default();
    match authority::judge(wanted, wants, observed, now, &mut plan) {
        Authority::Can(certificate) | Authority::Away(certificate) => Ok(certificate),
        Authority::Planned | Authority::Asked => Err("it is not made yet".to_owned()),
        Authority::Cannot(why) => Err(why),
        Authority::Refused => Err(plan.refusals.pop().map_or_else(|| "it is damaged".to_owned(), |r| r.what)),
    }
}

/// Another CA than the one that signs now may be the one that did so before its rotation.
fn say_retired(step: &mut Step, wanted: &Wanted, observed: &Observed) {
    let certificate = |name: &str| observed.pairs.get(name)?.certificate.there();
    let old = wanted.issuer.as_deref().and_then(|issuer| certificate(&former(issuer)));
    for reason in step.reasons.iter_mut().filter(|reason| matches!(reason, Reason::Issuer(_))) {
        if let (Some(old), Some(leaf)) = (old, certificate(&wanted.name))
            && leaf.is_signed_by(old)
        {
            *reason = Reason::Retired;
        }
    }
}

/// The name of a CA's last generation.
fn former(authority: &str) -> String {
    format!("{authority}{}", Generation::Old.ending())
}

/// `ensure` never replaces what everything else hangs on.
fn other_algorithm(what: &str, name: &str, is: &str, wanted: &str) -> String {
    let short = name.rsplit('/').next().unwrap_or(name);
    format!(
        "{what} `{name}` has a key of {is}, and the settings say {wanted}: `kmh-pki rotate {short}` makes a new one"
    )
}

fn judge_leaf(
    wanted: &Wanted,
    authority: &Authority<'_>,
    observed: &Observed,
    now: OffsetDateTime,
    plan: &mut Plan,
) -> Option<Step> {
    let name = &wanted.name;
    let pending = observed.pending.contains(name);
    let Some(pair) = observed.pairs.get(name) else {
        return Some(step(wanted, Make::Pair, if pending { Reason::Interrupted } else { Reason::Missing }));
    };
    if away::is(pair, pending) {
        return away::judge(wanted, pair, authority, pending, now, plan);
    }
    let (ending, what) = match (&pair.certificate, &pair.key) {
        (Half::There(certificate), Half::There(public)) if *public == certificate.public => {
            let reasons = reasons(wanted, certificate, authority, now);
            let step = Step { name: name.clone(), make: Make::Pair, reasons };
            return (!step.reasons.is_empty()).then_some(step);
        }
        (Half::Damaged(why), _) => ("crt", format!("certificate `{name}` is damaged: {why}")),
        (_, Half::Damaged(why)) => ("key", format!("the key of certificate `{name}` is damaged: {why}")),
        // A run that is killed leaves these behind, for the names in its journal. The key was never in use.
        _ if pending => return Some(step(wanted, Make::Pair, Reason::Interrupted)),
        (Half::There(_), Half::There(_)) => {
            ("key", format!("the key of certificate `{name}` does not belong to it"))
        }
        (Half::There(_), Half::Absent) => ("key", format!("certificate `{name}` has no key")),
        (Half::Absent, _) => ("crt", format!("key `{name}` has no certificate")),
    };
    plan.refusals.push(Refusal {
        name: format!("{name}.{ending}"),
        what,
        hint: format!("{RESTORE}, or remove `{name}.crt` and `{name}.key` to have both made again"),
    });
    None
}

fn reasons(wanted: &Wanted, is: &Certificate, authority: &Authority<'_>, now: OffsetDateTime) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if matches!(authority, Authority::Planned | Authority::Asked)
        || authority.certificate().is_some_and(|ca| !is.is_signed_by(ca))
    {
        reasons.push(Reason::Issuer(wanted.issuer.clone().unwrap_or_default()));
    }
    reasons.extend(differences(wanted, is));
    if is.is_ca {
        reasons.push(Reason::Profile("it claims to be a CA"));
    }
    reasons.extend(is.deviations.iter().copied().map(Reason::Profile));
    if now < is.not_before && authority.certificate().is_some() {
        // Made while the clock was ahead: until then every machine would refuse it. A CA that has begun says that the
        // clock is right now.
        reasons.push(Reason::Future { on: date(is.not_before) });
    }
    reasons.extend(ending(wanted, is, authority, now));
    reasons
}

/// Where a certificate is not what is wanted: subject, names, usages.
pub fn differences(wanted: &Wanted, is: &Certificate) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let subject = |name: &str, organizations: &[String]| {
        let parts = organizations.iter().map(|o| format!("O={o}")).chain([format!("CN={name}")]);
        parts.collect::<Vec<_>>().join(", ")
    };
    if !wanted.is_called(&is.common_name) || is.organizations != wanted.organizations {
        reasons.push(Reason::Subject {
            is: subject(&is.common_name, &is.organizations),
            wanted: subject(&wanted.common_name, &wanted.organizations),
        });
    }
    if is.algorithm != wanted.algorithm.as_str() {
        reasons.push(Reason::Algorithm { is: is.algorithm.clone(), wanted: wanted.algorithm });
    }
    if is.dns_names != wanted.dns_names || is.addresses != wanted.addresses {
        let (have, want) = (is.names(), wanted.names());
        reasons.push(Reason::Names {
            added: want.difference(&have).cloned().collect(),
            removed: have.difference(&want).cloned().collect(),
        });
    }
    if is.usages[..] != *wanted.usages {
        let set = |usages: &[Usage]| usages.iter().copied().collect::<BTreeSet<_>>();
        reasons.push(Reason::Usages { is: set(&is.usages), wanted: set(wanted.usages) });
    }
    reasons
}

/// Whether it ends soon, and a new one would end later: what a CA signs in its last months ends with the CA, and to
/// sign that again at every run would help nobody.
fn ending(
    wanted: &Wanted,
    is: &Certificate,
    authority: &Authority<'_>,
    now: OffsetDateTime,
) -> Option<Reason> {
    let left = is.not_after - now;
    let soon = match wanted.renew {
        Some(renew) => left < renew,
        None => left * 3 < is.not_after - is.not_before,
    };
    if !soon {
        return None;
    }
    if let Some(ca) = authority.certificate() {
        let end = issue::validity(wanted.lasts, now, Some(ca)).1;
        if end == ca.not_after && end < is.not_after + Duration::days(1) {
            return None;
        }
    }
    let on = date(is.not_after);
    Some(if left.is_positive() {
        Reason::Expires { days: left.whole_days(), on }
    } else {
        Reason::Expired { on }
    })
}

fn step(wanted: &Wanted, make: Make, reason: Reason) -> Step {
    Step { name: wanted.name.clone(), make, reasons: vec![reason] }
}
