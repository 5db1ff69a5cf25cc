//! Deciding: what is wanted, what is there and the time give what has to be done, and why. Pure.
//!
//! Nothing is ever guessed about a damaged store. A half that is missing or does not fit is a sign of an
//! interrupted run only where that run's journal names it; everywhere else it is refused, because a key that is made
//! again in place of a lost one locks everybody out.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::pki::KeyClass;
use rayon::prelude::*;
use time::{Duration, OffsetDateTime};

use crate::cert::{Certificate, date};
use crate::issue;
use crate::observed::{Half, Observed, Pair};
use crate::reason::Reason;
use crate::table::{Life, TABLE};
use crate::want::{Wanted, WantedKey, Wants};

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Make {
    /// A key and its certificate, in place of whatever is there.
    Pair,
    /// A certificate for the key that is there: a CA whose first run was interrupted.
    Certificate,
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
}

const RESTORE: &str = "restore it from a backup";

/// Decides. `chosen` says which machines may be touched; what the cluster shares always may.
pub fn plan(wants: &Wants, observed: &Observed, now: OffsetDateTime, chosen: &dyn Fn(&str) -> bool) -> Plan {
    let mut plan = Plan::default();
    let (authorities, leaves): (Vec<_>, Vec<_>) =
        wants.certificates.values().partition(|wanted| wanted.life == Life::Authority);
    let states: BTreeMap<&str, Authority<'_>> = authorities
        .iter()
        .map(|wanted| (wanted.name.as_str(), judge_authority(wanted, wants, observed, now, &mut plan)))
        .collect();
    // To verify a thousand signatures is most of what a run without anything to do costs.
    let judged: Vec<_> = leaves
        .into_par_iter()
        .map(|wanted| {
            let mut own = Plan::default();
            let authority =
                wanted.issuer.as_deref().and_then(|name| states.get(name)).unwrap_or(&Authority::Refused);
            (wanted, authority, judge_leaf(wanted, authority, observed, now, &mut own), own)
        })
        .collect();
    for (wanted, authority, step, own) in judged {
        plan.refusals.extend(own.refusals);
        plan.warnings.extend(own.warnings);
        let Some(step) = step else { continue };
        if !wanted.machine.as_deref().is_none_or(chosen) {
            plan.held.push(step);
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
        judge_key(wanted, observed, &states, &mut plan);
    }
    plan
}

/// Whether a CA can sign.
enum Authority<'a> {
    /// It will be made.
    Planned,
    /// It can.
    Can(&'a Certificate),
    /// It cannot; what it signed may be good.
    Cannot(String),
    /// It is damaged, and said so.
    Refused,
}

fn judge_authority<'a>(
    wanted: &Wanted,
    wants: &Wants,
    observed: &'a Observed,
    now: OffsetDateTime,
    plan: &mut Plan,
) -> Authority<'a> {
    static NONE: Pair = Pair { certificate: Half::Absent, key: Half::Absent };
    let name = &wanted.name;
    let pair = observed.pairs.get(name).unwrap_or(&NONE);
    let pending = observed.pending.contains(name);
    let mut refuse = |file: String, what: String, hint: &str| {
        plan.refusals.push(Refusal { name: file, what, hint: hint.to_owned() });
        Authority::Refused
    };
    match (&pair.certificate, &pair.key) {
        (Half::Damaged(why), _) => refuse(
            format!("{name}.crt"),
            format!("the certificate of CA `{name}` is damaged: {why}"),
            RESTORE,
        ),
        (_, Half::Damaged(why)) => {
            refuse(format!("{name}.key"), format!("the key of CA `{name}` is damaged: {why}"), RESTORE)
        }
        (Half::Absent, Half::There(_)) if pending => {
            plan.steps.push(step(wanted, Make::Certificate, Reason::Interrupted));
            Authority::Planned
        }
        (Half::Absent, Half::There(_)) => {
            refuse(format!("{name}.crt"), format!("CA `{name}` has a key and no certificate"), RESTORE)
        }
        (Half::Absent, Half::Absent) => {
            let count = if pending { 0 } else { signed(name, wants, observed) };
            if count > 0 {
                return refuse(
                    format!("{name}.crt"),
                    format!(
                        "CA `{name}` is missing, and the store holds {count} certificates that it signed"
                    ),
                    "restore it from a backup: with a new CA in its place no machine would trust another",
                );
            }
            plan.steps.push(step(
                wanted,
                Make::Pair,
                if pending { Reason::Interrupted } else { Reason::Missing },
            ));
            Authority::Planned
        }
        (Half::There(certificate), key) => {
            if let Half::There(public) = key
                && *public != certificate.public
            {
                return refuse(
                    format!("{name}.key"),
                    format!("the key of CA `{name}` does not belong to its certificate"),
                    RESTORE,
                );
            }
            if !certificate.is_ca {
                return refuse(format!("{name}.crt"), format!("`{name}` is no certificate of a CA"), RESTORE);
            }
            if certificate.algorithm != wanted.algorithm.as_str() {
                plan.warnings.push(other_algorithm(
                    "CA",
                    name,
                    &certificate.algorithm,
                    wanted.algorithm.as_str(),
                ));
            }
            judge_time(name, certificate, key, (now, wants.leaf), plan)
        }
    }
}

fn judge_time<'a>(
    name: &str,
    certificate: &'a Certificate,
    key: &Half<Vec<u8>>,
    (now, leaf): (OffsetDateTime, Duration),
    plan: &mut Plan,
) -> Authority<'a> {
    let end = date(certificate.not_after);
    if now >= certificate.not_after {
        plan.warnings.push(format!("CA `{name}` expired on {end}"));
        return Authority::Cannot(format!("it expired on {end}"));
    }
    if now < certificate.not_before {
        let start = date(certificate.not_before);
        plan.warnings
            .push(format!("the clock of this machine says {}, and CA `{name}` begins on {start}", date(now)));
        return Authority::Cannot(format!(
            "it begins on {start}, and the clock of this machine says {}",
            date(now)
        ));
    }
    if certificate.not_after - now < leaf {
        plan.warnings.push(format!("CA `{name}` expires on {end}: what it signs now ends with it"));
    }
    match key {
        Half::There(_) => Authority::Can(certificate),
        _ => Authority::Cannot("the store does not hold its key".to_owned()),
    }
}

/// `ensure` never replaces what everything else hangs on.
fn other_algorithm(what: &str, name: &str, is: &str, wanted: &str) -> String {
    let short = name.rsplit('/').next().unwrap_or(name);
    format!(
        "{what} `{name}` has a key of {is}, and the settings say {wanted}: `kmh-pki rotate {short}` makes a new one"
    )
}

/// How many certificates the store holds that a CA of that name must have signed.
fn signed(authority: &str, wants: &Wants, observed: &Observed) -> usize {
    let present =
        observed.pairs.iter().filter(|(_, pair)| pair.certificate != Half::Absent).map(|(name, _)| name);
    present
        .chain(&observed.leftover)
        .filter(|name| match wants.certificates.get(*name) {
            Some(wanted) => wanted.issuer.as_deref() == Some(authority),
            None => TABLE.iter().any(|row| {
                let issuer = row.issuer.map(|class| crate::want::name(crate::table::row(class), None));
                issuer.as_deref() == Some(authority) && name.rsplit('/').next() == Some(row.stem)
            }),
        })
        .count()
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
    match authority {
        Authority::Planned => reasons.push(Reason::Issuer(wanted.issuer.clone().unwrap_or_default())),
        Authority::Can(ca) if !is.is_signed_by(ca) => {
            reasons.push(Reason::Issuer(wanted.issuer.clone().unwrap_or_default()));
        }
        _ => {}
    }
    let subject = |name: &str, organizations: &[String]| {
        let parts = organizations.iter().map(|o| format!("O={o}")).chain([format!("CN={name}")]);
        parts.collect::<Vec<_>>().join(", ")
    };
    if is.common_name != wanted.common_name || is.organizations != wanted.organizations {
        reasons.push(Reason::Subject {
            is: subject(&is.common_name, &is.organizations),
            wanted: subject(&wanted.common_name, &wanted.organizations),
        });
    }
    if is.algorithm != wanted.algorithm.as_str() {
        reasons.push(Reason::Algorithm { is: is.algorithm.clone(), wanted: wanted.algorithm });
    }
    let (have, want) = (is.names(), wanted.names());
    if have != want {
        reasons.push(Reason::Names {
            added: want.difference(&have).cloned().collect(),
            removed: have.difference(&want).cloned().collect(),
        });
    }
    let usages: BTreeSet<_> = wanted.usages.iter().copied().collect();
    if is.usages != usages {
        reasons.push(Reason::Usages { is: is.usages.clone(), wanted: usages });
    }
    if is.is_ca {
        reasons.push(Reason::Profile("it claims to be a CA"));
    }
    reasons.extend(is.deviations.iter().copied().map(Reason::Profile));
    if now < is.not_before && matches!(authority, Authority::Can(_)) {
        // Made while the clock was ahead: until then every machine would refuse it. A CA that has begun says that the
        // clock is right now.
        reasons.push(Reason::Future { on: date(is.not_before) });
    }
    reasons.extend(ending(wanted, is, authority, now));
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
    if let Authority::Can(ca) = authority {
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

fn judge_key(
    wanted: &WantedKey,
    observed: &Observed,
    states: &BTreeMap<&str, Authority<'_>>,
    plan: &mut Plan,
) {
    let name = &wanted.name;
    let pending = observed.pending.contains(name);
    // What was signed or encrypted with a key is lost with it. A password is only compared with itself: a new one goes
    // to both ends with the next push, so a site or a tunnel gets one whenever there is none.
    let loss = match wanted.class {
        KeyClass::Encryption => Some("without it nobody can read the secrets in etcd"),
        KeyClass::ServiceAccount => Some("without it every service-account token is void"),
        KeyClass::BgpPassword | KeyClass::TunnelPsk => None,
    };
    let what = match observed.keys.get(name) {
        Some(Half::There(bare)) => {
            if let Some(is) = bare.algorithm().filter(|is| is != wanted.algorithm) {
                plan.warnings.push(other_algorithm("key", name, &is, wanted.algorithm));
            }
            return;
        }
        Some(Half::Damaged(why)) => format!("key `{name}` is damaged: {why}"),
        // These keys are made by the first run. Where a CA is in use, this one was there.
        Some(Half::Absent) | None
            if loss.is_some()
                && !pending
                && states.values().any(|state| !matches!(state, Authority::Planned)) =>
        {
            format!("key `{name}` is missing")
        }
        Some(Half::Absent) | None => {
            let reason = if pending { Reason::Interrupted } else { Reason::Missing };
            plan.steps.push(Step { name: name.clone(), make: Make::Key, reasons: vec![reason] });
            return;
        }
    };
    let hint = match loss {
        Some(loss) => format!("{RESTORE}: {loss}"),
        None => format!("{RESTORE}, or remove `{name}.key` to have a new one made"),
    };
    plan.refusals.push(Refusal { name: format!("{name}.key"), what, hint });
}

fn step(wanted: &Wanted, make: Make, reason: Reason) -> Step {
    Step { name: wanted.name.clone(), make, reasons: vec![reason] }
}
