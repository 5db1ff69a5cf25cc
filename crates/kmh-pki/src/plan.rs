//! Deciding: what is wanted, what is there and the time give what has to be done, and why. Pure.
//!
//! Nothing is ever guessed about a damaged store. A half that is missing or does not fit is a sign of an
//! interrupted run only where that run's journal names it; everywhere else it is refused, because a key that is made
//! again in place of a lost one locks everybody out.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::pki::{Generation, KeyClass};
use rayon::prelude::*;
use time::{Duration, OffsetDateTime};

use crate::cert::{Certificate, date};
use crate::issue;
use crate::observed::{Half, Observed, Pair};
use crate::reason::Reason;
use crate::table::{Life, TABLE};
use crate::want::{Wanted, WantedKey, Wants};

mod away;
mod root;

pub use away::standing;

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
}

const RESTORE: &str = "restore it from a backup";

/// Decides. `chosen` says which machines may be touched; what the cluster shares always may.
pub fn plan(wants: &Wants, observed: &Observed, now: OffsetDateTime, chosen: &dyn Fn(&str) -> bool) -> Plan {
    let mut plan = Plan::default();
    let (mut authorities, leaves): (Vec<_>, Vec<_>) =
        wants.certificates.values().partition(|wanted| wanted.life == Life::Authority);
    // The root first: what it signs is made after it.
    authorities.sort_by_key(|wanted| wanted.issuer.is_some());
    let states: BTreeMap<&str, Authority<'_>> = authorities
        .iter()
        .map(|wanted| (wanted.name.as_str(), judge_authority(wanted, wants, observed, now, &mut plan)))
        .collect();
    root::judge(&authorities, &states, &mut plan);
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
        wants.certificates.get(name).map(|wanted| judge_authority(wanted, wants, observed, now, &mut plan));
    let found = match found {
        Some(Authority::Can(certificate)) => Ok(certificate),
        Some(Authority::Planned) => {
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
    match judge_authority(wanted, wants, observed, now, &mut plan) {
        Authority::Can(certificate) | Authority::Away(certificate) => Ok(certificate),
        Authority::Planned => Err("it is not made yet".to_owned()),
        Authority::Cannot(why) => Err(why),
        Authority::Refused => Err(plan.refusals.pop().map_or_else(|| "it is damaged".to_owned(), |r| r.what)),
    }
}

/// Whether a CA can sign.
enum Authority<'a> {
    /// It will be made.
    Planned,
    /// It can.
    Can(&'a Certificate),
    /// It could, if its key were here.
    Away(&'a Certificate),
    /// It cannot; what it signed may be good.
    Cannot(String),
    /// It is damaged, and said so.
    Refused,
}

impl Authority<'_> {
    /// Its certificate, if what it signs is good now.
    fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Can(certificate) | Self::Away(certificate) => Some(certificate),
            Self::Planned | Self::Cannot(_) | Self::Refused => None,
        }
    }
}

fn judge_authority<'a>(
    wanted: &Wanted,
    wants: &Wants,
    observed: &'a Observed,
    now: OffsetDateTime,
    plan: &mut Plan,
) -> Authority<'a> {
    static NONE: Pair = Pair { certificate: Half::Absent, key: Half::Absent, request: Half::Absent };
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
            // Other generations: what goes may be another, and what comes is not.
            let current = Generation::of(name) == Generation::Current;
            if current && !certificate.deviations.is_empty() {
                plan.warnings.push(format!(
                    "CA `{name}` is not as strict programs want it: {}; a rotation replaces it",
                    certificate.deviations.join("; ")
                ));
            }
            if current && certificate.algorithm != wanted.algorithm.as_str() {
                plan.warnings.push(other_algorithm(
                    "CA",
                    name,
                    &certificate.algorithm,
                    wanted.algorithm.as_str(),
                ));
            }
            if let Some(what) = root::stranger(wanted, certificate, observed, &mut plan.warnings) {
                return refuse(format!("{name}.crt"), what, RESTORE);
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
    // What is on its way out needs no warning.
    let retired = Generation::of(name) == Generation::Old;
    if now >= certificate.not_after {
        if !retired {
            plan.warnings.push(format!("CA `{name}` expired on {end}"));
        }
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
    if certificate.not_after - now < leaf && !retired {
        plan.warnings.push(format!("CA `{name}` expires on {end}: what it signs now ends with it"));
    }
    match key {
        Half::There(_) => Authority::Can(certificate),
        _ => Authority::Away(certificate),
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

/// How many certificates the store holds that a CA of that name must have signed.
fn signed(authority: &str, wants: &Wants, observed: &Observed) -> usize {
    let present =
        observed.pairs.iter().filter(|(_, pair)| pair.certificate != Half::Absent).map(|(name, _)| name);
    present
        .chain(&observed.leftover)
        .filter(|name| match wants.certificates.get(*name) {
            // What signed itself does so until it is rotated.
            Some(wanted) => {
                wanted.issuer.as_deref() == Some(authority)
                    && !observed.pairs.get(*name).is_some_and(root::is_self_signed)
            }
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
    if matches!(authority, Authority::Planned)
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
            let current = Generation::of(name) == Generation::Current;
            if let Some(is) = bare.algorithm().filter(|is| is != wanted.algorithm && current) {
                plan.warnings.push(other_algorithm("key", name, &is, wanted.algorithm));
            }
            return;
        }
        Some(Half::Damaged(why)) => format!("key `{name}` is damaged: {why}"),
        // These keys are made by the first run. Where a CA is in use, this one was there: a CA from elsewhere in a new
        // store has signed nothing yet.
        Some(Half::Absent) | None
            if loss.is_some()
                && !pending
                && states.values().any(|state| !matches!(state, Authority::Planned))
                && is_in_use(observed) =>
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

/// Whether the store holds more than CAs.
fn is_in_use(observed: &Observed) -> bool {
    observed.pairs.keys().chain(&observed.leftover).any(|name| !name.starts_with("ca/"))
        || observed.keys.values().any(|key| *key != Half::Absent)
        || observed.pairs.values().any(|pair| pair.key != Half::Absent)
}

fn step(wanted: &Wanted, make: Make, reason: Reason) -> Step {
    Step { name: wanted.name.clone(), make, reasons: vec![reason] }
}
