//! Whether a CA can sign, and what has to be done for it.

use kmh_cert::Limits;
use kmh_doc::pki::{Class, Generation};
use time::{Duration, OffsetDateTime};

use super::{Make, Plan, RESTORE, Refusal, other_algorithm, root, step};
use crate::cert::{Certificate, date};
use crate::observed::{Half, Observed, Pair};
use crate::reason::Reason;
use crate::secret::conversion;
use crate::table::{Life, TABLE};
use crate::want::{Wanted, Wants};

/// Whether a CA can sign.
pub(super) enum Authority<'a> {
    /// It will be made.
    Planned,
    /// It is asked of the root, whose key is away.
    Asked,
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
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Can(certificate) | Self::Away(certificate) => Some(certificate),
            Self::Planned | Self::Asked | Self::Cannot(_) | Self::Refused => None,
        }
    }
}

pub(super) fn judge<'a>(
    wanted: &Wanted,
    wants: &Wants,
    observed: &'a Observed,
    now: OffsetDateTime,
    plan: &mut Plan,
) -> Authority<'a> {
    static NONE: Pair = Pair { certificate: Half::Absent, key: Half::Absent, request: Half::Absent };
    let name = &wanted.name;
    let pair = observed.pairs.get(name).map_or(&NONE, Box::as_ref);
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
            let file = format!("{name}.key");
            match conversion(why, &file) {
                Some(hint) => {
                    refuse(file, format!("the key of CA `{name}` cannot be used as it is: {why}"), &hint)
                }
                None => refuse(file, format!("the key of CA `{name}` is damaged: {why}"), RESTORE),
            }
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
            // Of somebody else's a rotation would be the end, and its algorithm was theirs to choose.
            let foreign = !wanted.is_subject_of(certificate);
            if current && !certificate.deviations.is_empty() {
                plan.warnings.push(format!(
                    "CA `{name}` is not as strict programs want it: {}{}",
                    certificate.deviations.join("; "),
                    if foreign { "" } else { "; a rotation replaces it" }
                ));
            }
            // No rotation makes a root.
            let root = wanted.class == Class::RootCa && *key == Half::Absent;
            if current && !root && !foreign && certificate.algorithm != wanted.algorithm.as_str() {
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
            if Generation::of(name) != Generation::Old {
                let rotates = !foreign && wanted.class != Class::RootCa;
                plan.warnings.extend(limits(wanted, certificate, wants, rotates));
            }
            judge_time(name, certificate, key, (now, wants.leaf), plan)
        }
    }
}

/// What the name constraints of a CA (RFC 5280, 4.2.1.10) do not permit of what it, or a CA below it, is to sign:
/// programs refuse that.
fn limits(wanted: &Wanted, is: &Certificate, wants: &Wants, rotates: bool) -> Option<String> {
    let limits = Limits::from_der(&is.der())?;
    let (name, generation) = (&wanted.name, Generation::of(&wanted.name));
    let base = name.strip_suffix(generation.ending()).unwrap_or(name);
    let issuer = |one: &Wanted| Some(wants.certificates.get(one.issuer.as_deref()?)?.as_ref());
    let is_below = |one: &Wanted| {
        let ca = issuer(one);
        let above = ca.and_then(issuer);
        ca.is_some_and(|ca| ca.name == base) || above.is_some_and(|root| root.name == base)
    };
    let leaves = wants.certificates.values().filter(|one| one.life == Life::Leaf && is_below(one));
    let mut refused = leaves.filter_map(|one| {
        let names = limits.forbidden(one.dns_names.iter(), one.addresses.iter());
        (!names.is_empty()).then(|| (&one.name, names.join(", ")))
    });
    let short = base.rsplit('/').next().unwrap_or(base);
    let hint = if rotates { format!("; `kmh-pki rotate {short}` makes one without") } else { String::new() };
    match refused.next() {
        Some((leaf, names)) => {
            let more = match refused.count() {
                0 => String::new(),
                count => format!(", nor names of {count} more"),
            };
            Some(format!(
                "the name constraints of CA `{name}` do not permit {names} of `{leaf}`{more}: programs refuse what it signs for them{hint}"
            ))
        }
        // Tunnels are no program's in Go.
        None if limits.unknown && wanted.class != Class::IpsecCa => Some(format!(
            "CA `{name}` has critical name constraints of a kind that Go does not know: Kubernetes and etcd refuse what it signs{hint}"
        )),
        None if limits.others => Some(format!(
            "CA `{name}` has name constraints of a kind that is not judged: ask `openssl verify` of what it signed"
        )),
        None => None,
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
                    && !observed.pairs.get(*name).is_some_and(|pair| root::is_self_signed(pair))
            }
            None => TABLE.iter().any(|row| {
                let issuer = row.issuer.map(|class| crate::want::name(crate::table::row(class), None));
                issuer.as_deref() == Some(authority) && name.rsplit('/').next() == Some(row.stem)
            }),
        })
        .count()
}
