//! What of the files is sound: what the next `ensure` would keep is imported, all else is told. Pure.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::finding::{Finding, Level};
use super::gather::{Candidate, Gathered, NO_KEY, subject};
use crate::cert::date;
use crate::observed::{Bare, Half, Observed, Pair};
use crate::pem::Form;
use crate::plan;
use crate::reason::Reason;
use crate::table::Life;
use crate::want::{Wanted, Wants};

pub(super) const SERVICE_ACCOUNT: &str = "keys/service-account";
pub(super) const ENCRYPTION: &str = "keys/encryption";

/// The provider in the configuration that kmh renders; the key's name follows from the key.
const PROVIDER: &str = "secretbox";

const ANEW: &str = "the next `ensure` makes it anew";

/// What was decided.
pub(super) struct Judged {
    /// What would be in the store, as a plan sees it.
    pub(super) observed: Observed,
    /// Why something was not taken, and what else is to be said.
    pub(super) findings: Vec<Finding>,
    /// What the next `ensure` makes.
    pub(super) next: Vec<String>,
}

/// Decides. What is not taken leaves `gathered`.
pub(super) fn judge(wants: &Wants, gathered: &mut Gathered, now: OffsetDateTime) -> Judged {
    let mut findings = std::mem::take(&mut gathered.findings);
    let mut say = |finding: Finding| {
        // The same of the same file once: it may have been looked at for two names.
        if !findings.iter().any(|one| one.file == finding.file && one.text == finding.text) {
            findings.push(finding);
        }
    };
    authorities(wants, gathered, now, &mut say);
    let mut refused = unusable(wants, gathered);
    drop_all(gathered, &refused, &mut say);

    let mut observed = observe(gathered);
    let plan = plan::plan(wants, &observed, now, &|_| true);
    refused.clear();
    for step in plan.steps.iter().chain(&plan.asked) {
        let reasons = step.reasons.iter().map(|reason| (reason.to_string(), way(reason)));
        refused.entry(step.name.clone()).or_default().extend(reasons);
    }
    for refusal in &plan.refusals {
        let name = refusal.name.trim_end_matches(".crt").trim_end_matches(".key").to_owned();
        refused.entry(name).or_default().push((refusal.what.clone(), refusal.hint.clone()));
    }
    // One file may be looked at for two names: where it is taken for one, nothing is said of the other.
    let taken: BTreeSet<String> = gathered
        .pairs
        .iter()
        .filter(|(name, _)| !refused.contains_key(*name))
        .map(|(_, one)| one.file.clone())
        .collect();
    let silent: Vec<String> = gathered
        .pairs
        .iter()
        .filter(|(name, one)| refused.contains_key(*name) && taken.contains(&one.file))
        .map(|(name, _)| name.clone())
        .collect();
    gathered.pairs.retain(|name, _| !silent.contains(name));
    drop_all(gathered, &refused, &mut say);
    observed.pairs.retain(|name, _| gathered.pairs.contains_key(name));
    keys(gathered, &mut say);
    forms(gathered, &mut say);

    let there = |name: &String| observed.pairs.contains_key(name) || observed.keys.contains_key(name);
    let next = wants.certificates.keys().chain(wants.keys.keys());
    let next: BTreeSet<_> = next.filter(|name| !there(name)).cloned().collect();
    Judged { observed, findings, next: next.into_iter().collect() }
}

/// How to go on where a plan has that reason.
fn way(reason: &Reason) -> String {
    match reason {
        Reason::Algorithm { is, .. } => {
            format!("to keep it, say `pki: {{algorithm: {is}}}` in the inventory")
        }
        _ => ANEW.to_owned(),
    }
}

type Refused = BTreeMap<String, Vec<(String, String)>>;

/// What is to be said of CAs, which are taken as they are.
fn authorities(wants: &Wants, gathered: &Gathered, now: OffsetDateTime, say: &mut dyn FnMut(Finding)) {
    for wanted in wants.certificates.values().filter(|wanted| wanted.life == Life::Authority) {
        let Some(one) = gathered.pairs.get(&wanted.name) else { continue };
        let mut of = |level, finding: &str, hint: &str| {
            let subject = subject(&one.certificate);
            say(Finding::new(level, &one.file, finding, hint).of(subject, &wanted.name));
        };
        for deviation in &one.certificate.deviations {
            of(Level::Warning, deviation, "strict programs refuse it; a rotation replaces it");
        }
        if now >= one.certificate.not_after {
            let text = format!("expired on {}", date(one.certificate.not_after));
            of(Level::Warning, &text, "nothing that it signed is good; a rotation replaces it");
        }
        match &one.key {
            Ok(_) => {}
            Err(NO_KEY) => of(Level::Note, NO_KEY, "it is needed when something must be signed"),
            Err(why) => {
                of(Level::Warning, why, "the CA is taken without a key: it cannot sign until it has one");
            }
        }
    }
}

/// Leaves that no plan need look at: without a key, without their CA, or with a key that several machines have.
fn unusable(wants: &Wants, gathered: &Gathered) -> Refused {
    let mut machines: BTreeMap<&[u8], BTreeSet<Option<&str>>> = BTreeMap::new();
    let leaf = |name: &String| wants.certificates.get(name).filter(|wanted| wanted.life == Life::Leaf);
    for (name, one) in &gathered.pairs {
        if let (Some(wanted), Ok(key)) = (leaf(name), &one.key) {
            machines.entry(&key.public).or_default().insert(wanted.machine.as_deref());
        }
    }
    let mut refused = Refused::new();
    for (name, one) in &gathered.pairs {
        let Some(wanted) = leaf(name) else { continue };
        let issuer = wanted.issuer.clone().unwrap_or_default();
        let why = match &one.key {
            Err(why) => (*why).to_owned(),
            Ok(key) => match machines.get(key.public.as_slice()).map_or(0, BTreeSet::len) {
                0 | 1 if gathered.pairs.contains_key(&issuer) => continue,
                0 | 1 => format!("its CA `{issuer}` is not among the files"),
                count => format!("{count} machines would share its key"),
            },
        };
        refused.entry(name.clone()).or_default().push((why, hint(wanted)));
    }
    refused
}

fn hint(wanted: &Wanted) -> String {
    match &wanted.machine {
        Some(machine) => format!("the next `ensure` makes one for `{machine}`"),
        None => ANEW.to_owned(),
    }
}

/// Takes out what is refused, and says why.
fn drop_all(gathered: &mut Gathered, refused: &Refused, say: &mut dyn FnMut(Finding)) {
    for (name, whys) in refused {
        let Some(one) = gathered.pairs.remove(name) else { continue };
        for (why, hint) in whys {
            say(Finding::new(Level::Warning, &one.file, why, hint).of(subject(&one.certificate), name));
        }
    }
}

/// What the store would hold.
fn observe(gathered: &Gathered) -> Observed {
    let pair = |one: &Candidate| Pair {
        certificate: Half::There(one.certificate.clone()),
        key: one.key.as_ref().map_or(Half::Absent, |key| Half::There(key.public.clone())),
        ..Pair::default()
    };
    let mut observed = Observed {
        pairs: gathered.pairs.iter().map(|(name, one)| (name.clone(), Box::new(pair(one)))).collect(),
        ..Observed::default()
    };
    if let Some(bare) = &gathered.service_account {
        let public = Some(bare.key.public_pem.clone());
        observed.keys.insert(SERVICE_ACCOUNT.to_owned(), Half::There(Bare { public, ..Bare::default() }));
    }
    // One is made where there is none: a plan would take its absence for a loss.
    observed.keys.insert(ENCRYPTION.to_owned(), Half::There(Bare::default()));
    observed
}

/// What is to be said of the encryption key.
fn keys(gathered: &Gathered, say: &mut dyn FnMut(Finding)) {
    let Some(one) = &gathered.encryption else {
        return say(Finding {
            name: Some(ENCRYPTION.to_owned()),
            ..Finding::new(
                Level::Note,
                "",
                "no encryption configuration is among the files: a new key is made",
                "if the cluster encrypts its Secrets, import into a new store, with that file in the folder",
            )
        });
    };
    let found = (one.found.provider.as_str(), one.found.name.as_str());
    let id = one.found.key.id();
    let ours = (PROVIDER, id.as_str());
    if found != ours || one.found.others {
        let text = format!(
            "Secrets are encrypted by `{}` with key `{}`{}; kmh's configuration reads `{}` with key `{}` alone",
            found.0,
            found.1,
            if one.found.others { " and others" } else { "" },
            ours.0,
            ours.1
        );
        let hint =
            "before the first push put `identity` first in the old configuration, and write all Secrets anew";
        say(Finding {
            name: Some(ENCRYPTION.to_owned()),
            ..Finding::new(Level::Warning, &one.file, text, hint)
        });
    }
}

/// One note for all keys of a form that the store does not have.
fn forms(gathered: &Gathered, say: &mut dyn FnMut(Finding)) {
    let pairs = gathered.pairs.values().filter_map(|one| Some((&one.file, one.key.as_ref().ok()?)));
    let bare = gathered.service_account.iter().map(|one| (&one.file, &one.key));
    let keys: Vec<_> = pairs.chain(bare).collect();
    for form in [Form::Pkcs1, Form::Sec1] {
        let mut of = keys.iter().filter(|(_, key)| key.form == form);
        let Some((file, _)) = of.next() else { continue };
        let more = match of.count() {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        let text = format!("its key has the form {}{more}", form.name());
        say(Finding::new(Level::Note, file, text, "the store has the same key as PKCS #8"));
    }
}
