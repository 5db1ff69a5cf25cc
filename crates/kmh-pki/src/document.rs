//! What is told of the result: the `kmh.pki/v1` document, the text for people, the differences. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kmh_cli::Diff;
use kmh_cli::table::Table;
use kmh_doc::pki::{Certificate, Generation, Key, PkiSpec};
use kmh_doc::step::{self, Action, Why};
use time::OffsetDateTime;

use crate::cert::{self, date, rfc3339};
use crate::many;
use crate::observed::{Bare, Half, Observed, Pair};
use crate::plan::{Make, Plan, Step};
use crate::reason::{Reason, usages};
use crate::store::Sealing;
use crate::want::{Wanted, WantedKey, Wants};

/// The document: what the store holds, and with a dry run's steps what it would hold.
///
/// A planned entry has neither dates nor serial number, because they follow from the moment at which it is made. What was
/// observed of leaves goes into the document, and is not held twice; CAs stay, because their leaves ask for them.
pub fn spec(store: &str, wants: &Wants, observed: &mut Observed, planned: &[Step]) -> PkiSpec {
    let told = self::steps(planned, observed);
    let steps: BTreeMap<&str, Make> = planned.iter().map(|step| (step.name.as_str(), step.make)).collect();
    let authorities = observed.only(wants.certificates.keys().map(String::as_str).filter(|name| is_ca(name)));
    let mut pairs: BTreeMap<&str, &mut Pair> =
        observed.pairs.iter_mut().map(|(name, pair)| (name.as_str(), &mut **pair)).collect();
    let rows = wants
        .certificates
        .values()
        .map(|wanted| (wanted, steps.get(wanted.name.as_str()), pairs.remove(wanted.name.as_str())));
    // On the threads that read or made the certificates: what these let go is then used again.
    let entries = many::map(rows, |(wanted, make, pair)| {
        if let Some(make) = make {
            let mut entry = planned_entry(wanted);
            entry.key = entry.key.filter(|_| *make != Make::Again);
            return Some(entry);
        }
        let pair = pair?;
        let pair = if is_ca(&wanted.name) { pair.clone() } else { std::mem::take(pair) };
        let Half::There(found) = pair.certificate else { return None };
        let issuer = issuer(wanted, &found, &authorities);
        let mut entry = entry(wanted, found, pair.key.there().is_some());
        // What signed itself has none.
        entry.issuer = entry.issuer.and(issuer);
        Some(entry)
    });
    let mut certificates = Vec::with_capacity(wants.certificates.len());
    certificates.extend(entries.flatten());
    observed.pairs.retain(|name, _| is_ca(name));
    let keys = wants
        .keys
        .values()
        .filter_map(|wanted| {
            let found = observed.keys.get(&wanted.name).and_then(|half| half.there());
            match found {
                None if !steps.contains_key(wanted.name.as_str()) => None,
                found => Some(key(wanted, found)),
            }
        })
        .collect();
    let rotations = wants.rotations();
    let planned = !planned.is_empty();
    PkiSpec { store: store.to_owned(), planned, certificates, keys, rotations, steps: told }
}

fn is_ca(name: &str) -> bool {
    name.starts_with("ca/")
}

/// The steps of a plan, for programs. `before` is what the store held.
pub fn steps(steps: &[Step], before: &Observed) -> Vec<step::Step> {
    let action = |one: &Step| match one.make {
        Make::Key => Action::Make,
        _ if before.pairs.get(&one.name).is_some_and(|pair| pair.certificate.there().is_some()) => {
            Action::Reissue
        }
        _ => Action::Issue,
    };
    let why = |reason: &Reason| Why { code: reason.code().to_owned(), message: reason.to_string() };
    let step = |one: &Step| step::Step {
        name: one.name.clone(),
        action: action(one),
        reasons: one.reasons.iter().map(why).collect(),
    };
    steps.iter().map(step).collect()
}

/// The reference of a secret: its path below the store.
fn reference(name: &str) -> String {
    format!("{name}.key")
}

fn entry(wanted: &Wanted, found: cert::Certificate, has_key: bool) -> Certificate {
    let itself = found.is_ca && found.is_signed_by(&found);
    Certificate {
        name: wanted.name.clone(),
        class: wanted.class,
        machine: wanted.machine.clone(),
        issuer: wanted.issuer.clone().filter(|_| !itself),
        not_before: rfc3339(found.not_before),
        not_after: rfc3339(found.not_after),
        fingerprint: found.fingerprint(),
        common_name: found.common_name,
        organizations: found.organizations,
        dns_names: found.dns_names.into(),
        addresses: found.addresses.into(),
        usages: found.usages.into(),
        algorithm: found.algorithm,
        serial: found.serial,
        pem: found.pem,
        key: has_key.then(|| reference(&wanted.name)),
        deploy: wanted.deploy.clone(),
    }
}

fn planned_entry(wanted: &Wanted) -> Certificate {
    Certificate {
        name: wanted.name.clone(),
        class: wanted.class,
        machine: wanted.machine.clone(),
        issuer: wanted.issuer.clone(),
        common_name: wanted.common_name.clone(),
        organizations: wanted.organizations.clone(),
        dns_names: wanted.dns_names.to_vec(),
        addresses: wanted.addresses.to_vec(),
        usages: wanted.usages.to_vec(),
        algorithm: wanted.algorithm.as_str().to_owned(),
        not_before: String::new(),
        not_after: String::new(),
        serial: String::new(),
        fingerprint: String::new(),
        pem: String::new(),
        key: Some(reference(&wanted.name)),
        deploy: wanted.deploy.clone(),
    }
}

/// The CA that signed it: while one is rotated, what `--limit` left out is still of the old one.
fn issuer(wanted: &Wanted, found: &cert::Certificate, observed: &Observed) -> Option<String> {
    let name = wanted.issuer.as_deref()?;
    let is_of = |name: &str| {
        let ca = observed.pairs.get(name).and_then(|pair| pair.certificate.there());
        ca.is_some_and(|ca| ca.key_id.is_some() && ca.key_id == found.issuer_key_id)
    };
    let old = format!("{name}{}", Generation::Old.ending());
    Some(if !is_of(name) && is_of(&old) { old } else { name.to_owned() })
}

fn key(wanted: &WantedKey, found: Option<&Bare>) -> Key {
    Key {
        name: wanted.name.clone(),
        class: wanted.class,
        algorithm: found.and_then(Bare::algorithm).unwrap_or_else(|| wanted.algorithm.to_owned()),
        secret: reference(&wanted.name),
        public: found.and_then(|bare| bare.public.clone()),
        id: found.and_then(|bare| bare.id.clone()),
        deploy: wanted.deploy.clone(),
    }
}

/// What happened, in one line.
pub fn message(spec: &PkiSpec, plan: &Plan, observed: &Observed, dry_run: bool) -> String {
    let total =
        format!("{} and {}", count(spec.certificates.len(), "certificate"), count(spec.keys.len(), "key"));
    let certificates = plan.steps.iter().filter(|step| step.make != Make::Key).count();
    let mut parts = Vec::new();
    parts.extend((certificates > 0).then(|| count(certificates, "certificate")));
    parts.extend((plan.steps.len() > certificates).then(|| count(plan.steps.len() - certificates, "key")));
    let text = match (parts.is_empty(), dry_run) {
        (true, _) if !plan.asked.is_empty() => total,
        (true, _) => format!("nothing to do: {total}"),
        (false, true) => format!("would make {} of {total}", parts.join(" and ")),
        (false, false) => format!("made {} of {total}", parts.join(" and ")),
    };
    let asked = match plan.asked.len() {
        0 => String::new(),
        1 => "; 1 certificate has to be signed by a CA whose key is elsewhere".to_owned(),
        more => format!("; {more} certificates have to be signed by a CA whose key is elsewhere"),
    };
    let behind = match plan.behind.len() {
        0 => String::new(),
        1 => "; 1 certificate can be made when its CA has come".to_owned(),
        more => format!("; {more} certificates can be made when their CA has come"),
    };
    // Nothing of them is in the document; removing them is a person's decision.
    let left = [
        (observed.leftover.len(), "certificate", "of machines that left the inventory"),
        (observed.unused.len(), "key", "that nothing uses any more"),
    ];
    let left = left.into_iter().filter(|(number, ..)| *number > 0).map(|(number, word, whose)| {
        let stay = if number == 1 { "stays" } else { "stay" };
        format!("; {} {whose} {stay} in the store", count(number, word))
    });
    text + &asked + &behind + &left.collect::<String>()
}

/// What was done to keys without making any.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Those that were encrypted.
    pub sealing: Option<&'a Sealing>,
    /// Those whose mode was mended.
    pub mended: &'a [String],
    /// Folders whose mode was mended, the store itself as an empty path.
    pub folders: &'a [String],
    /// Whether it only would be done.
    pub dry_run: bool,
}

impl Keys<'_> {
    /// In words, before those on what was made; empty when nothing was done.
    pub fn message(&self) -> String {
        let mut parts = Vec::new();
        let word = |done: &str, would: &str| (if self.dry_run { would } else { done }).to_owned();
        if let Some(sealing) = self.sealing {
            parts.push(format!(
                "{} {} to {} ({})",
                word("encrypted", "would encrypt"),
                count(sealing.names.len(), "key"),
                count(sealing.wanted.len(), "recipient"),
                sealing.why()
            ));
        }
        let mended = [(self.mended.len(), "key"), (self.folders.len(), "folder")];
        let mended: Vec<String> = mended
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, of)| count(number, of))
            .collect();
        if !mended.is_empty() {
            let modes = mended.join(" and ");
            parts.push(format!("{} the mode of {modes}", word("mended", "would mend")));
        }
        parts.push(String::new());
        parts.join("; ")
    }

    /// One difference for the recipients, one for each mode.
    pub fn diff(&self) -> Vec<Diff> {
        let lines = |names: &[String]| names.iter().flat_map(|name| [name, "\n"]).collect::<String>();
        let recipients = self.sealing.map(|sealing| Diff {
            before: lines(&sealing.is),
            after: format!("{}why: {}\n", lines(&sealing.wanted), sealing.why()),
            before_header: "recipients".to_owned(),
            after_header: "recipients".to_owned(),
        });
        let mended = self.mended.iter().map(|key| Diff {
            before: "others may read it\n".to_owned(),
            after: "mode 0600\n".to_owned(),
            before_header: key.clone(),
            after_header: key.clone(),
        });
        let folders = self.folders.iter().map(|folder| {
            let path = if folder.is_empty() { "." } else { folder };
            Diff {
                before: "others may look into it\n".to_owned(),
                after: "mode 0700\n".to_owned(),
                before_header: path.to_owned(),
                after_header: path.to_owned(),
            }
        });
        recipients.into_iter().chain(mended).chain(folders).collect()
    }
}

fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// More neighbours than this that were made for the same reason share a row: a new store, a new node.
const ROWS: usize = 4;

/// What is there and what was done, for people.
///
/// Certificates are those that `shown` chooses. Of paths only the folders stand here, or no terminal could hold a row.
pub fn text(
    spec: &PkiSpec,
    shown: &dyn Fn(&Certificate) -> bool,
    plan: &Plan,
    message: &str,
    (now, dry_run): (OffsetDateTime, bool),
) -> String {
    let mut out = String::new();
    let mut table = Table::new(["CERTIFICATE", "UNTIL", "DAYS", "IN"]);
    for one in spec.certificates.iter().filter(|one| shown(one)) {
        let until =
            OffsetDateTime::parse(&one.not_after, &time::format_description::well_known::Rfc3339).ok();
        let days = until.map_or_else(|| "-".to_owned(), |until| (until - now).whole_days().to_string());
        let until = until.map_or_else(|| "planned".to_owned(), date);
        let mut places = places(&one.deploy, true).into_iter();
        table.row([&one.name, &until, &days, &places.next().unwrap_or_default()]);
        places.for_each(|place| table.row(["", "", "", &place]));
    }
    out.push_str(&table.to_string());
    let mut keys = Table::new(["KEY", "KIND", "IN"]);
    for one in &spec.keys {
        let mut places = places(&one.deploy, false).into_iter();
        keys.row([&one.name, &one.algorithm, &places.next().unwrap_or_default()]);
        places.for_each(|place| keys.row(["", "", &place]));
    }
    out.push('\n');
    out.push_str(&keys.to_string());
    let done = if dry_run { "WOULD MAKE" } else { "MADE" };
    let tables = [
        (done, &plan.steps),
        ("ASKED OF ITS CA", &plan.asked),
        ("WHEN ITS CA HAS COME", &plan.behind),
        ("LEFT ALONE (--limit)", &plan.held),
    ];
    for (heading, steps) in tables {
        if steps.is_empty() {
            continue;
        }
        let mut table = Table::new([heading, "WHY"]);
        for group in steps.chunk_by(|a, b| a.reasons == b.reasons) {
            match group {
                [first, .., last] if group.len() > ROWS => {
                    let names = format!("{} … {} ({})", first.name, last.name, group.len());
                    table.row([&names, &first.why()]);
                }
                group => group.iter().for_each(|step| table.row([&step.name, &step.why()])),
            }
        }
        out.push('\n');
        out.push_str(&table.to_string());
    }
    out.push('\n');
    out.push_str(message);
    out.push('\n');
    out
}

/// The folders that something goes to, one a line.
fn places(deploy: &[kmh_doc::pki::Deploy], own: bool) -> Vec<String> {
    let machines: BTreeSet<&str> = deploy.iter().map(|place| place.machine.as_str()).collect();
    let paths = deploy.iter().filter_map(|place| place.certificate.as_deref());
    let folders: BTreeSet<&str> = paths.map(|path| path.rfind('/').map_or(path, |at| &path[..=at])).collect();
    let on = match (machines.first(), machines.len()) {
        (None, _) if own => return vec!["the store only".to_owned()],
        (None, _) => return vec!["inside rendered files".to_owned()],
        (Some(machine), 1) if own => format!("{machine}:"),
        (_, number) => format!("{}: ", count(number, "machine")),
    };
    let lines = folders.into_iter().enumerate();
    lines
        .map(|(index, folder)| if index == 0 { format!("{on}{folder}") } else { format!("or {folder}") })
        .collect()
}

/// One difference for each step. `before` is what the store held, `after` what the document says.
pub fn diff(wants: &Wants, before: &Observed, after: &PkiSpec, plan: &Plan) -> Vec<Diff> {
    let new: BTreeMap<&str, &Certificate> =
        after.certificates.iter().map(|one| (one.name.as_str(), one)).collect();
    plan.steps
        .iter()
        .map(|step| {
            let old = wants.certificates.get(&step.name).and_then(|wanted| {
                Some(entry(wanted, before.pairs.get(&step.name)?.certificate.there()?.clone(), true))
            });
            let after = match new.get(step.name.as_str()) {
                Some(one) => describe(one),
                None => "a new key\n".to_owned(),
            };
            Diff {
                before: old.as_ref().map(describe).unwrap_or_default(),
                after: format!("{after}why: {}\n", step.why()),
                before_header: if old.is_some() { step.name.clone() } else { "none".to_owned() },
                after_header: step.name.clone(),
            }
        })
        .collect()
}

fn describe(one: &Certificate) -> String {
    let mut names: Vec<String> = one.dns_names.clone();
    names.extend(one.addresses.iter().map(ToString::to_string));
    let rows = [
        ("common name", one.common_name.clone()),
        ("organizations", one.organizations.join(", ")),
        ("names", names.join(", ")),
        ("usages", if one.usages.is_empty() { String::new() } else { usages(&one.usages) }),
        ("signed by", one.issuer.clone().unwrap_or_else(|| "itself".to_owned())),
        ("until", one.not_after.clone()),
        ("serial", one.serial.clone()),
    ];
    let lines = rows
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| [name, ": ", value, "\n"].concat());
    lines.collect()
}
