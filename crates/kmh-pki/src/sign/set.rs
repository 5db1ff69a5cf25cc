//! `kmh-pki sign --requests`: on the machine that has the keys of the CAs, everything that a store asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream, file};
use rayon::prelude::*;
use serde::Serialize;

use crate::access::At;
use crate::cert::date;
use crate::csr::Request;
use crate::issue::Authority;
use crate::observed::Observed;
use crate::plan;
use crate::requests::{Answered, Asked, LIMIT, RequestSet, SignedSet};
use crate::table::Life;
use crate::want::{Wanted, Wants};
use crate::{look, make, outside};

/// What was signed, as JSON.
#[derive(Serialize)]
struct Signed<'a> {
    store: &'a str,
    names: Vec<&'a str>,
    not_after: String,
}

/// Signs a request set, all of it or nothing. The store is only looked at: it may be on a read-only disk.
pub(super) fn run(
    stream: &Stream,
    context: &mut Context<'_>,
    form: Format,
    (path, to, force): (&Path, Option<&Path>, bool),
    at: &At,
) -> Result<Answer, Failure> {
    let (model, mut wants) = look::inventory(stream, context)?;
    let cluster = model.name.as_str();
    let set = RequestSet::from_json(&outside::read(path, LIMIT, context.env)?).map_err(|why| {
        Failure::wrong(format!("`{}` is no request set", outside::shown(path))).because(why)
    })?;
    if set.cluster != cluster {
        return Err(Failure::wrong(format!(
            "`{}` is of cluster `{}`, and the inventory of cluster `{cluster}`",
            outside::shown(path),
            set.cluster
        )));
    }
    if let Some(to) = to {
        outside::refuse_other(to, force, "signed set for the same store", |there| {
            let earlier = SignedSet::from_json(&file::up_to(there, LIMIT)?);
            Ok(earlier.is_ok_and(|earlier| earlier.store == set.store))
        })?;
    }
    let now = context.env.now;
    look::refuse_unset_clock(now)?;
    context.refuse_if_strict()?;
    let store = at.open_there(cluster, true, context)?;
    let observed = store.observe(&wants)?;
    wants.add_next_authorities();
    let judged = judge(&set, &wants, path)?;

    let mut authorities = BTreeMap::new();
    let mut failures = Vec::new();
    for issuer in judged.iter().filter_map(|(wanted, _)| wanted.issuer.as_deref()).collect::<BTreeSet<_>>() {
        let (found, warnings) = plan::signer(issuer, &wants, &observed, now);
        for warning in &warnings {
            context.warn(warning);
        }
        match found {
            Ok(ca) if set.authorities.get(issuer) != Some(&ca.fingerprint()) => failures.push(
                Failure::wrong(format!("`{issuer}` of this store is not the one that is asked"))
                    .at(outside::shown(path))
                    .hint("use the store that the CA's key was moved away from, or a copy of it"),
            ),
            Ok(ca) => match below(issuer, &judged).then(|| plan::forbids(ca)).flatten() {
                Some(why) => {
                    failures.push(Failure::wrong(format!("`{issuer}` cannot sign a CA")).because(why));
                }
                None => drop(authorities.insert(issuer, Authority::new(store.key(issuer)?, ca.clone()))),
            },
            Err((why, hint)) => {
                failures.push(Failure::world(format!("`{issuer}` cannot sign")).because(why).hint(hint));
            }
        }
    }
    Failure::all(failures).map_or(Ok(()), Err)?;
    refuse_known_keys(&judged, &observed, path)?;
    say_authorities(&judged, &observed, context);
    context.refuse_if_strict()?;

    let signed: Result<Vec<_>, Failure> = judged
        .par_iter()
        .filter_map(|(wanted, request)| Some((wanted, request, authorities.get(wanted.issuer.as_deref()?)?)))
        .map(|(wanted, request, authority)| {
            let certificate = make::sign(authority, wanted, request, now)?;
            Ok((certificate.not_after, Answered { name: wanted.name.clone(), pem: certificate.pem }))
        })
        .collect();
    let signed = signed?;
    let first = signed.iter().map(|(end, _)| *end).min();
    let mut answer = SignedSet::to(&set);
    answer.certificates = signed.into_iter().map(|(_, one)| one).collect();
    if let Some(to) = to.filter(|_| !context.common.dry_run) {
        file::write_named(to, answer.to_json()?.as_bytes())?;
    }
    let until = first.map(date).unwrap_or_default();
    let shown = to.map_or_else(|| "stdout".to_owned(), |to| format!("`{}`", to.display()));
    let told = told(answer.certificates.len(), &until, &shown, context.common.dry_run);
    let text = if form == Format::Json {
        crate::json(&Signed {
            store: &answer.store,
            names: answer.certificates.iter().map(|one| one.name.as_str()).collect(),
            not_after: until,
        })?
    } else if to.is_some() {
        told
    } else {
        context.say(&told);
        if context.common.dry_run { String::new() } else { answer.to_json()? }
    };
    Ok(Answer { text, exit: Exit::Done })
}

fn told(count: usize, until: &str, to: &str, dry_run: bool) -> String {
    let certificates = if count == 1 { "1 certificate".to_owned() } else { format!("{count} certificates") };
    match (count, dry_run) {
        (0, _) => "nothing is asked for".to_owned(),
        (_, true) => format!("would sign {certificates}, until {until}"),
        (_, false) => format!("signed {certificates}, until {until}: {to}"),
    }
}

/// Every request with the certificate that it asks for; everything that speaks against any of them.
fn judge<'a>(set: &RequestSet, wants: &'a Wants, path: &Path) -> Result<Vec<(&'a Wanted, Request)>, Failure> {
    let mut seen = BTreeSet::new();
    let judged: Vec<_> = set.requests.iter().map(|asked| one(asked, wants, path)).collect();
    let mut failures = Vec::new();
    let mut good = Vec::new();
    for one in judged {
        match one {
            Ok((wanted, _)) if !seen.insert(&wanted.name) => failures.push(
                Failure::wrong(format!("`{}` is asked for twice", wanted.name)).at(outside::shown(path)),
            ),
            Ok(one) => good.push(one),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures).map_or(Ok(good), Err)
}

fn one<'a>(asked: &Asked, wants: &'a Wants, path: &Path) -> Result<(&'a Wanted, Request), Failure> {
    let place = format!("{}, {}", outside::shown(path), asked.name.escape_debug());
    let wrong = |message: String| Failure::wrong(message).at(place.clone());
    // A CA without a root above it signs itself.
    let wanted =
        wants.certificates.get(&asked.name).filter(|wanted| wanted.issuer.is_some()).ok_or_else(|| {
            wrong("the inventory has no such certificate".to_owned()).hint("is it the same inventory?")
        })?;
    if wanted.issuer.as_deref() != Some(&asked.issuer) {
        let own = wanted.issuer.clone().unwrap_or_default();
        return Err(wrong(format!("it is asked of `{}`, and `{own}` signs it", asked.issuer.escape_debug())));
    }
    let request = Request::from_file(asked.csr.as_bytes())
        .map_err(|why| wrong("its request cannot be signed".to_owned()).because(why))?;
    let problems = request.against(wanted).into_iter().map(wrong);
    Failure::all(problems).map_or(Ok((wanted, request)), Err)
}

/// Whether a CA is asked of that one.
fn below(issuer: &str, judged: &[(&Wanted, Request)]) -> bool {
    judged
        .iter()
        .any(|(wanted, _)| wanted.life == Life::Authority && wanted.issuer.as_deref() == Some(issuer))
}

/// A new CA is rare, and whoever brought the root's key should see it.
fn say_authorities(judged: &[(&Wanted, Request)], observed: &Observed, context: &mut Context<'_>) {
    for (wanted, request) in judged.iter().filter(|(wanted, _)| wanted.life == Life::Authority) {
        let name = &wanted.name;
        context.say(&format!("`{}` signs a CA: `{name}`", wanted.issuer.as_deref().unwrap_or_default()));
        let there = observed.pairs.get(name).and_then(|pair| pair.certificate.there());
        if there.is_some_and(|there| there.public != request.public) {
            context.warn(&format!("this store holds another `{name}`: there would be two"));
        }
    }
}

/// No two certificates share a key, neither among those that are asked for nor with those that are there.
fn refuse_known_keys(judged: &[(&Wanted, Request)], observed: &Observed, path: &Path) -> Result<(), Failure> {
    let mut keys: BTreeMap<&[u8], &str> = BTreeMap::new();
    for (name, pair) in &observed.pairs {
        if let Some(certificate) = pair.certificate.there() {
            keys.insert(&certificate.public, name);
        }
    }
    let mut failures = Vec::new();
    for (wanted, request) in judged {
        match keys.insert(&request.public, &wanted.name) {
            Some(other) if other != wanted.name => failures.push(
                Failure::wrong(format!("the key of the request is that of `{other}`"))
                    .at(format!("{}, {}", outside::shown(path), wanted.name))
                    .hint("make a new key for each certificate"),
            ),
            _ => {}
        }
    }
    Failure::all(failures).map_or(Ok(()), Err)
}
