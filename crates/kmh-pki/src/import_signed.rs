//! `kmh-pki import --signed`: what a CA elsewhere signed comes to the keys that wait for it.
//!
//! Nothing of the file is believed: each certificate must be for a key that waits here, signed by the CA of that name,
//! and what the inventory wants. All of them come in one step, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_doc::pki::{Class, Generation};
use serde::Serialize;
use time::OffsetDateTime;

use crate::access::At;
use crate::cert::{Certificate, date};
use crate::csr::Request;
use crate::look::other_generation;
use crate::observed::Observed;
use crate::plan;
use crate::reason::Reason;
use crate::requests::{LIMIT, SignedSet};
use crate::sign::refuse_pending;
use crate::store::{Change, Made, Public, Store};
use crate::table::Life;
use crate::want::{Wanted, Wants};
use crate::{ask, look, outside};

/// What follows a CA.
const AFTER: &str =
    "`kmh-pki ensure` makes what a CA of these signs; `kmh-pki rotate` shows what a next generation is for";

/// Whose key waits.
#[derive(Clone, Debug)]
enum Waits {
    /// It lies below `requests/`.
    Here(Vec<u8>),
    /// It is on its machine; the request lies beside the certificate.
    Away(Box<Request>),
}

/// What came in, as JSON.
#[derive(Serialize)]
struct Imported<'a> {
    imported: Vec<&'a str>,
    /// What was there already.
    kept: Vec<&'a str>,
}

/// The certificates of a file: a signed set, or PEM from a CA that knows nothing of sets.
fn read(
    path: &Path,
    bytes: &[u8],
    store: &Store,
    cluster: &str,
) -> Result<Vec<(Option<String>, Certificate)>, Failure> {
    let shown = outside::shown(path);
    let wrong = |why: String| Failure::wrong(format!("`{shown}` is no signed set")).because(why);
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return pem(bytes).map_err(|why| wrong(why.to_owned()));
    }
    let set = SignedSet::from_json(bytes).map_err(wrong)?;
    if set.cluster != cluster || set.store != store.id() {
        return Err(Failure::wrong(format!("`{shown}` was asked for by another store"))
            .hint("name the store that `ensure --requests` wrote for"));
    }
    let mut failures = Vec::new();
    let mut found = Vec::new();
    for one in set.certificates {
        match Certificate::from_pem(one.pem.as_bytes()) {
            Ok(certificate) => found.push((Some(one.name), certificate)),
            Err(why) => failures.push(
                Failure::wrong("the certificate cannot be read")
                    .at(format!("{shown}, {}", one.name.escape_debug()))
                    .because(why),
            ),
        }
    }
    Failure::all(failures).map_or(Ok(found), Err)
}

/// Certificates one after another; each is for the request that has its key.
pub fn pem(file: &[u8]) -> Result<Vec<(Option<String>, Certificate)>, &'static str> {
    if file.len() > LIMIT {
        return Err("it is larger than any signed set");
    }
    let mut found = Vec::new();
    for one in x509_parser::pem::Pem::iter_from_buffer(file) {
        let one = one.map_err(|_| "it is no whole PEM file")?;
        if one.label != "CERTIFICATE" {
            return Err(match &one.label[..] {
                label if label.ends_with("CERTIFICATE REQUEST") => {
                    "it holds a request: what is taken in is the certificate that a CA made of it"
                }
                label if label.ends_with("PRIVATE KEY") => {
                    "it holds a private key, and only certificates are taken in"
                }
                _ => "it holds something besides certificates",
            });
        }
        found.push((None, Certificate::from_der(&one.contents)?));
    }
    Ok(found)
}

/// The verb.
pub fn run(
    stream: &Stream,
    context: &mut Context<'_>,
    form: Format,
    path: &Path,
    at: &At,
) -> Result<Answer, Failure> {
    let (model, mut wants) = look::inventory(stream, context)?;
    let cluster = model.name.as_str();
    let now = context.env.now;
    look::refuse_unset_clock(now)?;
    context.refuse_if_strict()?;
    let store = at.open_there(cluster, context.common.dry_run, context)?;
    let observed = store.observe(&wants)?;
    refuse_pending(&observed, &[])?;
    wants.add_next_authorities();
    let mut keys: BTreeMap<&[u8], &str> = BTreeMap::new();
    for (name, wanted) in &wants.certificates {
        match waits(wanted, &observed) {
            Some(Waits::Here(_)) => {
                let key = observed.waiting.get(name).and_then(|pair| pair.key.there());
                keys.extend(key.map(|key| (key.as_slice(), name.as_str())));
            }
            Some(Waits::Away(_)) => {
                let request = observed.pairs.get(name).and_then(|pair| pair.request.there());
                keys.extend(request.map(|request| (request.public.as_slice(), name.as_str())));
            }
            None => {}
        }
    }
    let mut change = Change::default();
    let (mut kept, mut failures, mut seen) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let bytes = outside::read(path, LIMIT, context.env)?;
    for (name, certificate) in read(path, &bytes, &store, cluster)? {
        let place = format!(
            "{}, {}",
            outside::shown(path),
            name.as_deref().unwrap_or(&certificate.common_name).escape_debug()
        );
        let wrong = |message: String| Failure::wrong(message).at(place.clone());
        let name = name.or_else(|| keys.get(certificate.public.as_slice()).map(|name| (*name).to_owned()));
        let Some(wanted) = name.as_ref().and_then(|name| wants.certificates.get(name)) else {
            // A company's answer may bring the whole chain.
            if name.is_none() && is_root(&certificate, &observed, &wants) {
                continue;
            }
            failures.push(match name {
                Some(_) => wrong("the inventory has no such certificate".to_owned()),
                None => wrong("no request of this store waits for a certificate of that key".to_owned()),
            });
            continue;
        };
        if !seen.insert(wanted.name.clone()) {
            failures.push(wrong("it is there twice".to_owned()));
            continue;
        }
        if is_there(wanted, &certificate, &observed) {
            kept.insert(wanted.name.clone());
            continue;
        }
        match judge(wanted, &certificate, &observed, &wants, now) {
            Err(problems) => failures.extend(problems.into_iter().map(wrong)),
            Ok((waits, warning)) => {
                if let Some(warning) = warning {
                    context.warn(&warning);
                }
                add(&mut change, wanted, certificate, waits);
            }
        }
    }
    Failure::all(failures).map_or(Ok(()), Err)?;
    context.refuse_if_strict()?;
    let imported: Vec<String> = change.made.keys().cloned().collect();
    if !context.common.dry_run && !imported.is_empty() {
        store.tidy()?;
        store.commit(&change)?;
    }
    let text = match form {
        Format::Json => crate::json(&Imported {
            imported: imported.iter().map(String::as_str).collect(),
            kept: kept.iter().map(String::as_str).collect(),
        })?,
        _ => told(&imported, kept.len(), context.common.dry_run),
    };
    Ok(Answer { text, exit: Exit::Done })
}

fn told(imported: &[String], kept: usize, dry_run: bool) -> String {
    let count = |number: usize| match number {
        1 => "1 certificate".to_owned(),
        more => format!("{more} certificates"),
    };
    let mut text = match (imported.len(), dry_run) {
        (0, _) => "nothing to import".to_owned(),
        (number, true) => format!("would import {}", count(number)),
        (number, false) => format!("imported {}", count(number)),
    };
    if kept > 0 {
        let were = if kept == 1 { "was" } else { "were" };
        text = format!("{text}; {} {were} there already", count(kept));
    }
    let text = imported.iter().fold(text, |text, name| text + "\n  " + name);
    // What a CA is there for is not there yet.
    if imported.iter().any(|name| name.starts_with("ca/")) {
        return text + "\n" + AFTER;
    }
    text
}

fn add(change: &mut Change, wanted: &Wanted, certificate: Certificate, waits: Waits) {
    let public = match waits {
        Waits::Away(request) => Public::away(certificate, *request),
        Waits::Here(key) => {
            let from = ask::waiting(&wanted.name);
            change.moves.push((from, wanted.name.clone()));
            Public::pair(certificate, key)
        }
    };
    change.made.insert(wanted.name.clone(), Made { key: None, public });
}

/// Whose key waits for that certificate, if one does.
fn waits(wanted: &Wanted, observed: &Observed) -> Option<Waits> {
    let here = observed.waiting.get(&wanted.name).and_then(|pair| pair.key.there());
    if let Some(key) = here {
        return Some(Waits::Here(key.clone()));
    }
    let away = observed.pairs.get(&wanted.name).and_then(|pair| pair.away());
    away.map(|request| Waits::Away(Box::new(request.clone())))
}

/// Whether it is the root that the store holds.
fn is_root(certificate: &Certificate, observed: &Observed, wants: &Wants) -> bool {
    let mut roots = wants.certificates.values().filter(|wanted| wanted.class == Class::RootCa);
    roots.any(|root| is_there(root, certificate, observed))
}

/// Why no CA of that name may come in: `ensure` never replaces one, and nobody else does.
fn taken(wanted: &Wanted, observed: &Observed) -> Option<String> {
    let name = &wanted.name;
    if wanted.issuer.is_none() {
        return Some(format!("`{name}` signs itself: none from elsewhere takes its place"));
    }
    let has = |name: &str| observed.pairs.contains_key(name);
    if has(name) {
        return Some(format!("the store holds another `{name}`, which only a rotation replaces"));
    }
    let old = other_generation(name).map(|(base, _)| format!("{base}{}", Generation::Old.ending()));
    old.filter(|old| has(old)).map(|old| format!("the store holds `{old}`: its rotation ends first"))
}

/// Whether it was imported before.
fn is_there(wanted: &Wanted, certificate: &Certificate, observed: &Observed) -> bool {
    let pair = observed.pairs.get(&wanted.name);
    pair.and_then(|pair| pair.certificate.there()).is_some_and(|there| there.digest == certificate.digest)
}

/// Whether it may come in; with what a person should know, or everything that speaks against it.
fn judge(
    wanted: &Wanted,
    is: &Certificate,
    observed: &Observed,
    wants: &Wants,
    now: OffsetDateTime,
) -> Result<(Waits, Option<String>), Vec<String>> {
    let mut problems = Vec::new();
    let waits = waits(wanted, observed);
    match &waits {
        None => problems.push("no request of this store waits for it".to_owned()),
        Some(Waits::Here(key)) if *key != is.public => {
            problems.push("it is for another key than the one that waits".to_owned());
        }
        Some(Waits::Away(request)) if request.public != is.public => {
            problems.push("it is for another key than the one on its machine".to_owned());
        }
        Some(_) => {}
    }
    if wanted.life == Life::Authority
        && let Some(why) = taken(wanted, observed)
    {
        // It is no matter what it is like.
        return Err(vec![why]);
    }
    let issuer = wanted.issuer.as_deref().unwrap_or_default();
    let mut warning = None;
    match plan::issuer(issuer, wants, observed, now) {
        Err(why) => problems.push(format!("nothing that `{issuer}` signed can come in: {why}")),
        Ok(ca) if wanted.life == Life::Authority => {
            problems.extend(plan::unfit(wanted, is, ca, now));
            if is.not_after - now < wants.leaf {
                warning = Some(format!(
                    "`{}` is imported and ends on {}: what it signs ends with it",
                    wanted.name,
                    date(is.not_after)
                ));
            }
            problems.extend(outlives(is, ca));
        }
        Ok(ca) => {
            for reason in plan::standing(wanted, is, ca, now) {
                match reason {
                    // A machine keeps its key until it makes another one.
                    Reason::Algorithm { .. } if matches!(waits, Some(Waits::Away(_))) => {}
                    Reason::Expires { .. } => {
                        warning = Some(format!("`{}` is imported and {reason}", wanted.name));
                    }
                    reason => problems.push(reason.to_string()),
                }
            }
            problems.extend(outlives(is, ca));
        }
    }
    match waits {
        Some(waits) if problems.is_empty() => Ok((waits, warning)),
        _ => Err(problems),
    }
}

fn outlives(is: &Certificate, ca: &Certificate) -> Option<String> {
    (is.not_after > ca.not_after)
        .then(|| format!("it ends after its CA, which ends on {}", date(ca.not_after)))
}
