//! What makes anew what is due or missing: which command works, in the store that is there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::{Question, threshold};
use crate::cert::{Certificate, date};
use crate::look::{ROOT_STAYS, away};
use crate::observed::Half;
use crate::plan::standing;
use crate::table::Life;
use crate::want::{Wanted, Wants};

const ROOT: &str = "ca/root";

/// What makes a certificate anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The next `ensure`.
    Ensure,
    /// `ensure` too, from then on.
    Later(OffsetDateTime),
    /// Whoever has the key of that CA.
    Away(String),
    /// A rotation of that CA.
    Rotate(String),
    /// None but a backup.
    Backup,
}

/// What it is decided on.
pub(super) struct Ground<'a> {
    pub(super) wants: &'a Wants,
    pub(super) found: &'a BTreeMap<String, Half<Certificate>>,
    pub(super) question: &'a Question<'a>,
}

impl Ground<'_> {
    fn there(&self, name: &str) -> Option<&Certificate> {
        self.found.get(name).and_then(Half::there)
    }

    /// Of a certificate that is due.
    pub(super) fn again(&self, name: &str) -> Option<Remedy> {
        let (wanted, is) = (self.wants.certificates.get(name)?, self.there(name)?);
        let (now, leaf) = (self.question.now, self.question.leaf);
        let begun = |one: &Certificate| one.not_before <= now;
        let Some(issuer) = wanted.issuer.as_ref().filter(|_| wanted.life == Life::Leaf) else {
            return begun(is).then(|| Remedy::Rotate(name.to_owned()));
        };
        let Some(ca) = self.there(issuer) else { return Some(Remedy::Backup) };
        if !begun(ca) {
            // The clock is behind, and only a person can set it.
            return None;
        }
        if ca.not_after <= now {
            return Some(Remedy::Rotate(issuer.clone()));
        }
        // As `ensure` asks.
        if !standing(wanted, is, ca, now).is_empty() {
            return Some(self.signed_by(issuer));
        }
        let from = is.not_after - threshold(wanted, is, leaf);
        // What ends with its CA is not made again by it.
        Some(if now < from { Remedy::Later(from) } else { Remedy::Rotate(issuer.clone()) })
    }

    /// Of one that is not there.
    pub(super) fn missing(&self, name: &str) -> Remedy {
        let Some(wanted) = self.wants.certificates.get(name) else { return Remedy::Ensure };
        if wanted.life == Life::Authority && self.has_signed(name) {
            return Remedy::Backup;
        }
        match &wanted.issuer {
            Some(issuer) if self.there(issuer).is_some() => self.signed_by(issuer),
            Some(issuer) if self.has_signed(issuer) => Remedy::Backup,
            _ => Remedy::Ensure,
        }
    }

    fn signed_by(&self, issuer: &str) -> Remedy {
        if self.question.keys.contains(issuer) { Remedy::Ensure } else { Remedy::Away(issuer.to_owned()) }
    }

    /// Whether the store holds something that a CA of that name must have signed.
    fn has_signed(&self, ca: &str) -> bool {
        let below = |wanted: &&Wanted| wanted.issuer.as_deref() == Some(ca);
        let there = |wanted: &Wanted| self.there(&wanted.name).is_some_and(|one| one.issuer != one.subject);
        self.wants.certificates.values().map(Box::as_ref).filter(below).any(there)
    }
}

/// What to do, in words, each with the semicolon before it.
pub(super) fn words(remedies: &[&Remedy]) -> String {
    let count = |which: &dyn Fn(&Remedy) -> bool| remedies.iter().filter(|one| which(one)).count();
    let many = |number: usize| match number {
        1 if remedies.len() == 1 => "it".to_owned(),
        number if number == remedies.len() => "them".to_owned(),
        number => format!("{number} of them"),
    };
    let mut parts = Vec::new();
    let now = count(&|one| *one == Remedy::Ensure);
    if now > 0 {
        parts.push(format!("`kmh-pki ensure` makes {} again", many(now)));
    }
    let away_from: BTreeSet<&str> = remedies
        .iter()
        .filter_map(|one| if let Remedy::Away(ca) = one { Some(ca.as_str()) } else { None })
        .collect();
    parts.extend(away_from.into_iter().map(away));
    let later = |one: &&Remedy| if let Remedy::Later(from) = one { Some(*from) } else { None };
    if let Some(first) = remedies.iter().filter_map(later).min() {
        let number = count(&|one| matches!(one, Remedy::Later(_)));
        let from = date(first);
        parts.push(format!("`kmh-pki ensure` makes {} again, from {from} on", many(number)));
    }
    if count(&|one| *one == Remedy::Backup) > 0 {
        parts.push("a CA is missing that signed the others: restore it from a backup".to_owned());
    }
    let cas: BTreeSet<&str> = remedies
        .iter()
        .filter_map(|one| if let Remedy::Rotate(ca) = one { Some(ca.as_str()) } else { None })
        .filter(|ca| *ca != ROOT)
        .map(|ca| ca.rsplit('/').next().unwrap_or(ca))
        .collect();
    if remedies.iter().any(|one| matches!(one, Remedy::Rotate(ca) if ca == ROOT)) {
        parts.push(ROOT_STAYS.to_owned());
    }
    if !cas.is_empty() {
        let names: Vec<String> = cas.iter().map(|name| format!("`kmh-pki rotate {name}`")).collect();
        parts.push(format!("a CA is renewed by {}", names.join(", ")));
    }
    parts.iter().flat_map(|part| ["; ", part]).collect()
}
