//! The certificates of a store: each alone, against its CA, against the inventory, against its key, among the others.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use kmh_cert::facts::{public_key, rfc3339};
use kmh_cert::rules::Weight;
use kmh_cert::{Facts, Limits, Role, among, chain, rules};
use kmh_doc::pki::{Class, Generation};
use rayon::prelude::*;
use time::OffsetDateTime;

use super::hints::{self, FOREIGN, RESTORE};
use super::{Note, State};
use crate::cert::Certificate;
use crate::look::other_generation;
use crate::observed::{Half, Observed};
use crate::plan::differences;
use crate::reason::Reason;
use crate::store::USERS;
use crate::table::Life;
use crate::want::{Wanted, Wants};

/// All that is judged.
pub(super) struct Subject<'a> {
    pub(super) wants: &'a Wants,
    pub(super) observed: &'a Observed,
    /// Every certificate of the store.
    pub(super) found: &'a BTreeMap<String, Result<Facts, String>>,
    /// The paths of all files.
    pub(super) paths: &'a BTreeSet<&'a str>,
    pub(super) now: OffsetDateTime,
}

/// A certificate and what it should be.
struct One<'a> {
    name: &'a str,
    facts: &'a Facts,
    wanted: Option<&'a Wanted>,
}

/// What is wrong.
pub(super) fn judge(all: &Subject<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut ones = Vec::new();
    for (name, facts) in all.found {
        let wanted = wanted(name, all.wants);
        let person = name.split('/').next() == Some(USERS);
        match facts {
            Err(why) => notes.push(Note::new("certificate.damaged", name, State::Critical, why, RESTORE)),
            // What a person was given and has ended is history.
            Ok(facts) if person && facts.not_after <= all.now => {}
            Ok(facts) if person || wanted.is_some() => ones.push(One { name, facts, wanted }),
            Ok(_) => {}
        }
    }
    notes.par_extend(ones.par_iter().flat_map_iter(|one| one.judge(all)));
    among_each_other(all, &ones, &mut notes);
    keys(all, &mut notes);
    presence(all, &mut notes);
    notes
}

/// What a name is wanted as; another generation of a CA as that CA.
fn wanted<'a>(name: &str, wants: &'a Wants) -> Option<&'a Wanted> {
    let wanted = wants.certificates.get(name).or_else(|| {
        let base = wants.certificates.get(other_generation(name)?.0)?;
        (base.life == Life::Authority).then_some(base)
    });
    wanted.map(Box::as_ref)
}

impl One<'_> {
    fn is_authority(&self) -> bool {
        self.wanted.is_some_and(|one| one.life == Life::Authority)
    }

    /// Whether it is a CA that another program made: it has a name that is not kmh-pki's, or alternative names, as
    /// kubeadm's have.
    fn is_foreign(&self) -> bool {
        self.wanted.filter(|wanted| wanted.life == Life::Authority).is_some_and(|wanted| {
            let is = Certificate::of(self.facts.clone());
            !wanted.is_subject_of(&is) || self.facts.alternative_names.is_some()
        })
    }

    fn is_root(&self) -> bool {
        self.wanted.is_some_and(|one| one.class == Class::RootCa)
    }

    /// How to put it right.
    fn hint(&self, all: &Subject<'_>) -> String {
        match self.wanted {
            Some(wanted) if wanted.life == Life::Authority => hints::rotate(&wanted.name),
            Some(wanted) => hints::again(wanted, all),
            None => hints::PERSON.to_owned(),
        }
    }

    fn judge(&self, all: &Subject<'_>) -> Vec<Note> {
        let foreign = self.is_foreign();
        let note = |id: &str, state, message: String| {
            let hint = if state == State::Notice { FOREIGN.to_owned() } else { self.hint(all) };
            Note::new(id, self.name, state, message, hint)
        };
        let mut notes = Vec::new();
        let role = if self.is_authority() { Role::Authority } else { Role::Leaf };
        // What a root signs is to be a CA.
        let told = |id: &str| !(self.is_root() && id == "path-length");
        for one in rules::broken(self.facts, role).filter(|one| told(one.rule.id)) {
            let state = match one.rule.weight {
                Weight::Must => State::Critical,
                Weight::Should if foreign => State::Notice,
                Weight::Should => State::Warning,
            };
            let message = format!("{} ({})", one.message, one.rule.source);
            notes.push(note(&format!("rule.{}", one.rule.id), state, message));
        }
        if self.facts.not_after <= all.now {
            let message = format!("it expired at {}", rfc3339(self.facts.not_after));
            notes.push(note("dates.expired", State::Critical, message));
        }
        if all.now < self.facts.not_before {
            let message = format!("it is not valid before {}", rfc3339(self.facts.not_before));
            let hint = if self.is_authority() { hints::CLOCK.to_owned() } else { self.hint(all) };
            notes.push(Note::new("dates.future", self.name, State::Critical, message, hint));
        }
        if let Some(wanted) = self.wanted {
            for reason in differences(wanted, &Certificate::of(self.facts.clone())) {
                let (id, state) = match reason {
                    Reason::Subject { .. } => ("wanted.subject", State::Critical),
                    Reason::Names { .. } => ("wanted.names", State::Critical),
                    Reason::Usages { .. } => ("wanted.usages", State::Critical),
                    // Another key does no harm until it is exchanged.
                    _ => ("wanted.algorithm", State::Warning),
                };
                let state = if foreign { State::Notice } else { state };
                notes.push(note(id, state, reason.to_string()));
            }
        }
        if self.is_authority()
            && let Some(limits) = Limits::of(self.facts).filter(|limits| limits.others)
        {
            // Tunnels are no program's in Go.
            let tunnels = self.wanted.is_some_and(|wanted| wanted.class == Class::IpsecCa);
            notes.push(if limits.unknown && !tunnels {
                let message = "it has critical name constraints of a kind that Go does not know: Kubernetes and etcd refuse what it signs";
                Note::new("chain.limits", self.name, State::Critical, message, hints::rotate(self.name))
            } else {
                let message = "it has name constraints of a kind that is not judged here, and programs hold them against what it signs";
                let hint = "ask `openssl verify` of what it signed";
                Note::new("chain.limits", self.name, State::Warning, message, hint)
            });
        }
        notes.extend(self.chain(all));
        notes
    }

    /// Who signed it: of the generations of its CA the one whose key did, else the current one is asked.
    fn chain(&self, all: &Subject<'_>) -> Vec<Note> {
        let note =
            |id: &str, state, message: String| Note::new(id, self.name, state, message, self.hint(all));
        if let Some(anchor) = self.anchor() {
            return vec![anchor];
        }
        let ca = match self.wanted {
            Some(wanted) => wanted.issuer.as_deref().unwrap_or(self.name),
            None => "ca/cluster",
        };
        let there = |name: String| match all.found.get(&name) {
            Some(Ok(facts)) => Some((name, facts)),
            _ => None,
        };
        let generations: Vec<(String, &Facts)> = match self.wanted {
            Some(wanted) if wanted.issuer.is_none() => there(ca.to_owned()).into_iter().collect(),
            _ => [Generation::Current, Generation::Next, Generation::Old]
                .into_iter()
                .filter_map(|one| there(ca.to_owned() + one.ending()))
                .collect(),
        };
        // A CA that is older than the wish for a root stays until it is rotated.
        let itself = (self.name.to_owned(), self.facts);
        let alone = self.is_authority() && ca != self.name && self.facts.is_signed_by(self.facts).is_ok();
        let generations = if alone { vec![itself] } else { generations };
        let signer = generations.iter().find(|(_, issuer)| self.facts.is_signed_by(issuer).is_ok());
        if self.wanted.is_none() && signer.is_none() {
            let message = format!("no `{ca}` of the store signed it: it lets nobody in any more");
            return vec![note("chain.gone", State::Warning, message)];
        }
        let Some((name, issuer)) = signer.or(generations.first()) else {
            return vec![note("chain.no-ca", State::Critical, format!("its CA `{ca}` is not in the store"))];
        };
        let complain = |one: chain::Complaint, of: &str| {
            let note = note(&format!("chain.{}", one.id), State::Critical, one.message);
            // The same CA would sign the same again.
            if one.id == chain::NAME_CONSTRAINTS { Note { hint: hints::rotate(of), ..note } } else { note }
        };
        let complaints = chain::complaints(self.facts, issuer, name).into_iter();
        let mut notes: Vec<Note> = complaints.map(|one| complain(one, name)).collect();
        // What a root limits it limits for all below.
        let above = all.wants.certificates.get(ca).and_then(|ca| there(ca.issuer.clone()?));
        if let Some((root, facts)) = above
            && let Some(one) = chain::forbidden(self.facts, facts, &root)
            && issuer.is_signed_by(facts).is_ok()
        {
            notes.push(complain(one, &root));
        }
        if alone && Generation::of(self.name) == Generation::Current {
            let message = format!("it signed itself, and the settings want `{ca}` above it");
            notes.push(note("chain.no-root", State::Warning, message));
        }
        match other_generation(name) {
            Some((_, Generation::Old)) if self.name != name => {
                let message = format!("`{name}` signed it, which is retired");
                notes.push(note("chain.retired", State::Warning, message));
            }
            Some((_, Generation::Next)) if self.name != name => {
                let message = format!("`{name}` signed it, which nobody need trust yet");
                notes.push(note("chain.early", State::Critical, message));
            }
            _ => {}
        }
        notes
    }
}

impl One<'_> {
    /// A CA that one outside of the store signed is an anchor all the same (RFC 5280, 6.1.1), to all but OpenSSL's users:
    /// strongSwan, and the haproxy of each node, which asks the API servers.
    fn anchor(&self) -> Option<Note> {
        let wanted = self.wanted.filter(|one| one.life == Life::Authority && one.issuer.is_none())?;
        if self.facts.issuer == self.facts.subject {
            return None;
        }
        let outside = "a CA outside of the store signed it";
        let (state, message, hint) = match wanted.class {
            Class::ClusterCa => (
                State::Warning,
                format!("{outside}: haproxy trusts only a CA that signed itself"),
                "put that CA into the store as `ca/root.crt`, and set `pki: {root: true}`",
            ),
            Class::EtcdCa | Class::FrontProxyCa => {
                (State::Notice, format!("{outside}: it is trusted as it is"), FOREIGN)
            }
            // Below neither stands another one: what signed them is a flaw of the chain.
            _ => return None,
        };
        Some(Note::new("chain.anchor", self.name, state, message, hint))
    }
}

/// What no two may have in common.
fn among_each_other(all: &Subject<'_>, ones: &[One<'_>], notes: &mut Vec<Note>) {
    // What a person was given of the store itself is the same certificate, and no twin.
    let wanted: BTreeSet<&[u8]> =
        ones.iter().filter(|one| one.wanted.is_some()).map(|one| one.facts.der.as_slice()).collect();
    let copy = |one: &&One<'_>| one.wanted.is_none() && wanted.contains(one.facts.der.as_slice());
    let named = || ones.iter().filter(|one| !copy(one)).map(|one| (one.name, one.facts));
    let hint =
        |name: &str| ones.iter().find(|one| one.name == name).map(|one| one.hint(all)).unwrap_or_default();
    for (name, other) in among::same_serials(named()) {
        let message = format!("`{other}` has the same issuer and serial number");
        notes.push(Note::new("among.serial", name, State::Critical, message, hint(name)));
    }
    for (name, other) in among::same_keys(named()) {
        let message = format!("it has the same key as `{other}`");
        notes.push(Note::new("among.key", name, State::Critical, message, hint(name)));
    }
    // Generations of one CA have one name. Two CAs must not: who trusts the one would take the other's clients.
    let current = ones.iter().filter(|one| one.is_authority() && other_generation(one.name).is_none());
    for (name, other) in among::same_subjects(current.map(|one| (one.name, one.facts))) {
        let message = format!("it has the same subject as `{other}`");
        notes.push(Note::new("among.subject", name, State::Critical, message, hint(name)));
    }
    let public = |name: &str| match all.observed.keys.get(name) {
        Some(Half::There(bare)) => bare.public.as_deref().and_then(|pem| public_key(pem).ok()),
        _ => None,
    };
    for name in all.wants.keys.keys() {
        let Some(key) = public(name) else { continue };
        if let Some(one) = ones.iter().find(|one| one.facts.public_key == key) {
            let message = format!("it is the key of `{}`", one.name);
            notes.push(Note::new("among.key", name, State::Critical, message, RESTORE));
        }
    }
}

/// Whether every key is there, whole, and its certificate's.
fn keys(all: &Subject<'_>, notes: &mut Vec<Note>) {
    for (name, wanted) in &all.wants.certificates {
        let Some(pair) = all.observed.pairs.get(name) else { continue };
        let mut note = |id: &str, message: String, hint: &str| {
            notes.push(Note::new(id, name, State::Critical, message, hint));
        };
        let authority = wanted.life == Life::Authority;
        // To have a leaf made again, both its files must go: `ensure` does not guess.
        let remove = format!("{RESTORE}, or remove `{name}.crt` and `{name}.key` to have both made again");
        let hint = if authority { RESTORE } else { &remove };
        match (&pair.certificate, &pair.key) {
            (_, Half::Damaged(why)) => note("key.damaged", format!("its key is damaged: {why}"), hint),
            (Half::Absent, Half::There(_)) => {
                note("key.alone", "it is a key without certificate".into(), hint);
            }
            (Half::There(certificate), Half::There(key)) if certificate.public != *key => {
                note("key.other", "its key does not belong to it".into(), hint);
            }
            // The key of a CA may be away, and one that never left its machine is known by its request.
            (Half::There(_), Half::Absent)
                if !authority && !all.paths.contains(format!("{name}.csr").as_str()) =>
            {
                note("key.missing", "the store does not hold its key".into(), hint);
            }
            _ => {}
        }
    }
    for (name, half) in &all.observed.keys {
        if let Half::Damaged(why) = half {
            let message = format!("it is damaged: {why}");
            notes.push(Note::new("key.damaged", name, State::Critical, message, RESTORE));
        }
    }
}

/// What is wanted and missing, and what is there and not wanted.
fn presence(all: &Subject<'_>, notes: &mut Vec<Note>) {
    const NOTHING: &str = "a machine, site or tunnel left the inventory: put it back, or take its files out";
    let mut missing = |name: &str| {
        let message = "the inventory asks for it, and the store does not hold it";
        notes.push(Note::new("wanted.missing", name, State::Critical, message, hints::missing(name, all)));
    };
    for name in all.wants.certificates.keys() {
        let half = all.observed.pairs.get(name).is_some_and(|pair| pair.key != Half::Absent);
        if !all.found.contains_key(name) && !half {
            missing(name);
        }
    }
    for name in all.wants.keys.keys() {
        if matches!(all.observed.keys.get(name), None | Some(Half::Absent)) {
            missing(name);
        }
    }
    for name in all.observed.leftover.iter().chain(&all.observed.unused) {
        let base = other_generation(name).map_or(name.as_str(), |(base, _)| base);
        if !all.wants.certificates.contains_key(base) && !all.wants.keys.contains_key(base) {
            notes.push(Note::new("wanted.nothing", name, State::Warning, "nothing asks for it", NOTHING));
        }
    }
    for name in &all.observed.pending {
        let message = "a run was interrupted while it wrote it";
        notes.push(Note::new(
            "store.pending",
            name,
            State::Warning,
            message,
            "the next `kmh-pki ensure` ends it",
        ));
    }
}
