//! Asking: keys for certificates that only a CA elsewhere can sign, and the requests for them.
//!
//! A key waits below `requests/` in the store until its certificate comes, and nothing but the request leaves it. Asked
//! again, the same key waits and the same request is written, as long as it is what the inventory wants.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kmh_cli::Failure;
use kmh_doc::pki::Generation;
use rayon::prelude::*;

use crate::csr::Request;
use crate::issue;
use crate::look::other_generation;
use crate::observed::{Observed, Pair};
use crate::plan::{Make, Plan, Step};
use crate::reason::Reason;
use crate::requests::{Asked, RequestSet};
use crate::secret::{Key, Secret};
use crate::store::{Made, Public, REQUESTS};
use crate::table::Life;
use crate::want::{Wanted, Wants};

/// A request, and the key that was made for it with the name under which it waits.
type Entry = (Asked, Option<(String, Made)>);

/// The name under which a key waits.
pub fn waiting(name: &str) -> String {
    format!("{REQUESTS}/{name}")
}

/// What is asked for under a name: what the inventory wants, or the next generation of one of its CAs.
fn wanted<'a>(name: &str, wants: &'a Wants) -> Option<Cow<'a, Wanted>> {
    if let Some(wanted) = wants.certificates.get(name) {
        return Some(Cow::Borrowed(wanted));
    }
    let (base, generation) = other_generation(name)?;
    let base = wants.certificates.get(base).filter(|_| generation == Generation::Next)?;
    Some(Cow::Owned(Wanted { name: name.to_owned(), ..Wanted::clone(base) }))
}

/// Fills a set with what the plan asks for; returns the keys that have to be made for it.
pub fn ask(
    plan: &Plan,
    wants: &Wants,
    observed: &Observed,
    set: &mut RequestSet,
) -> Result<BTreeMap<String, Made>, Failure> {
    let asked: Vec<Result<Entry, Failure>> = plan
        .asked
        .par_iter()
        .filter_map(|step| Some((step, wanted(&step.name, wants)?)))
        .map(|(step, wanted)| one(step, &wanted, observed))
        .collect();
    let mut made = BTreeMap::new();
    for one in asked {
        let (asked, fresh) = one?;
        if let Some(ca) = observed.pairs.get(&asked.issuer).and_then(|pair| pair.certificate.there()) {
            set.authorities.insert(asked.issuer.clone(), ca.fingerprint());
        }
        set.requests.push(asked);
        made.extend(fresh);
    }
    Ok(made)
}

/// The request of one certificate, and its key where there is none yet.
fn one(step: &Step, wanted: &Wanted, observed: &Observed) -> Result<Entry, Failure> {
    let asked = |request: &Request| Asked {
        name: wanted.name.clone(),
        issuer: wanted.issuer.clone().unwrap_or_default(),
        reason: step.why(),
        csr: request.pem.clone(),
    };
    let there = match step.make {
        // Its key is on its machine: the request that it sent is asked again.
        Make::Again => {
            observed.pairs.get(&wanted.name).and_then(|pair| pair.request.there()).map(Box::as_ref)
        }
        _ => observed.waiting.get(&wanted.name).and_then(|pair| good(pair, wanted)),
    };
    if let Some(request) = there {
        return Ok((asked(request), None));
    }
    let fail = |why: String| Failure::world(format!("cannot ask for `{}`", wanted.name)).because(why);
    let key = Key::generate(wanted.algorithm).map_err(fail)?;
    let request = issue::request(wanted, &key).map_err(fail)?;
    let entry = asked(&request);
    let made = Made { key: Some(Secret::pem_of(key.pair())), public: Public::waiting(key.public(), request) };
    Ok((entry, Some((waiting(&wanted.name), made))))
}

/// The request of a key that waits, if it asks for what the inventory wants.
pub fn good<'a>(pair: &'a Pair, wanted: &Wanted) -> Option<&'a Request> {
    let (request, key) = (pair.request.there()?, pair.key.there()?);
    let right =
        request.public == *key && request.names() == wanted.names() && request.against(wanted).is_empty();
    right.then_some(request)
}

/// Keys that wait for nothing any more: their certificates came by another way, or are no longer wanted.
pub fn stale(plan: &Plan, observed: &Observed) -> Vec<String> {
    let waits = |name: &String| plan.asked.iter().chain(&plan.held).any(|step| step.name == *name);
    observed.waiting.keys().filter(|name| !waits(name)).map(|name| waiting(name)).collect()
}

/// With `--requests`: the next generations that wait are asked for once more, in the order of names.
pub fn ask_again(plan: &mut Plan) {
    plan.asked.append(&mut plan.next);
    plan.asked.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Without `--requests`: what is missing or wrong is refused; what only ends soon is told, once for all.
pub fn refuse(plan: &mut Plan, wants: &Wants) {
    for step in &plan.next {
        let base = other_generation(&step.name).map_or(step.name.as_str(), |(base, _)| base);
        let short = base.rsplit('/').next().unwrap_or(base);
        plan.warnings.push(format!(
            "the next generation of `{base}` is asked for: `kmh-pki import --signed FILE` takes in what was signed, `kmh-pki rotate {short} --abort` takes the request back"
        ));
    }
    let (ending, lacking): (Vec<Step>, Vec<Step>) = std::mem::take(&mut plan.asked)
        .into_iter()
        .partition(|step| step.reasons.iter().all(|reason| matches!(reason, Reason::Expires { .. })));
    for step in lacking {
        let wanted = wants.certificates.get(&step.name);
        let issuer = wanted.and_then(|wanted| wanted.issuer.clone());
        // Once in ten years a root's key may come to the store more easily than a request to it.
        let or = match wanted.map(|wanted| wanted.life) {
            Some(Life::Authority) => "; or bring its key back until the CA is made",
            _ => "",
        };
        plan.refusals.push(crate::plan::Refusal {
            what: format!(
                "`{}` cannot sign `{}`: the store does not hold its key",
                issuer.unwrap_or_default(),
                step.name
            ),
            hint: format!(
                "`{}` is needed because: {}; `kmh-pki ensure --requests FILE` writes what has to be signed where the key is{or}",
                step.name,
                step.why()
            ),
            name: step.name,
        });
    }
    if let [first, rest @ ..] = &ending[..] {
        let others = match rest.len() {
            0 => String::new(),
            1 => " and 1 other".to_owned(),
            more => format!(" and {more} others"),
        };
        plan.warnings.push(format!(
            "`{}`{others} cannot be made again, because the store does not hold the key of the CA: {}; `--requests FILE` writes what has to be signed where the key is",
            first.name,
            first.why()
        ));
    }
}
