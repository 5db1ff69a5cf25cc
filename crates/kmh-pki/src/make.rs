//! Doing: the keys and certificates of a plan, made in memory. CAs first, then everything else on all cores.

use std::collections::BTreeMap;

use kmh_cli::Failure;
use kmh_doc::inventory::Algorithm;
use time::OffsetDateTime;

use crate::cert::Certificate;
use crate::csr::Request;
use crate::issue::{self, Authority};
use crate::many;
use crate::observed::{Bare, Observed, Pair};
use crate::plan::{Make, Plan, Step};
use crate::secret::{Key, Secret};
use crate::store::{Made, Public, Store};
use crate::table::{Life, RANDOM, TEXT};
use crate::want::{Wanted, Wants};

/// Octets of the encryption key: what `secretbox` and `aescbc` with AES-256 take.
const ENCRYPTION_KEY: usize = 32;
/// Letters and digits of a password or pre-shared key: 267 bits.
const TEXT_LENGTH: usize = 45;

/// Makes everything that a plan names. Nothing is written.
pub fn make(
    store: &Store,
    wants: &Wants,
    plan: &Plan,
    observed: &Observed,
    now: OffsetDateTime,
) -> Result<BTreeMap<String, Made>, Failure> {
    let mut made = BTreeMap::new();
    let mut authorities = BTreeMap::new();
    let (first, rest): (Vec<_>, Vec<_>) = plan
        .steps
        .iter()
        .filter_map(|step| Some((step, wants.certificates.get(&step.name)?)))
        .partition(|(_, wanted)| wanted.life == Life::Authority);
    for (step, wanted) in first {
        let root = match wanted.issuer.as_deref().filter(|name| !authorities.contains_key(*name)) {
            Some(name) => authority(store, observed, name)?,
            None => None,
        };
        let root = root.as_ref().or_else(|| authorities.get(wanted.issuer.as_deref()?));
        let (one, authority) = make_authority(store, step, wanted, root, now)?;
        made.insert(wanted.name.clone(), one);
        authorities.insert(wanted.name.clone(), authority);
    }
    for (_, wanted) in &rest {
        let Some(name) = wanted.issuer.clone() else { continue };
        if !authorities.contains_key(&name)
            && let Some(authority) = authority(store, observed, &name)?
        {
            authorities.insert(name, authority);
        }
    }
    let leaves = many::map(rest, |(step, wanted)| match step.make {
        Make::Again => make_again(wanted, observed, &authorities, now),
        _ => make_leaf(wanted, &authorities, now),
    });
    for leaf in leaves {
        let (name, one) = leaf?;
        made.insert(name, one);
    }
    for step in plan.steps.iter().filter(|step| step.make == Make::Key) {
        if let Some(wanted) = wants.keys.get(&step.name) {
            made.insert(step.name.clone(), make_key(&wanted.name, wanted.algorithm)?);
        }
    }
    Ok(made)
}

/// Puts what was made into what was observed.
pub fn remember(observed: &mut Observed, made: BTreeMap<String, Made>) {
    let mut pairs = Vec::new();
    for (name, one) in made {
        if let (Some(name), Public::Certificate(pair)) = (name.strip_prefix("requests/"), &one.public) {
            observed.waiting.insert(name.to_owned(), Pair::clone(pair));
            continue;
        }
        match one.public {
            Public::Certificate(pair) => pairs.push((name, pair)),
            Public::Bare(bare) => drop(observed.keys.insert(name, crate::observed::Half::There(bare))),
        }
    }
    // Nodes of a tree that grows by one stay half empty; those of one that is built at once are full.
    observed.pairs.append(&mut pairs.into_iter().collect());
}

/// A CA that the store holds.
fn authority(store: &Store, observed: &Observed, name: &str) -> Result<Option<Authority>, Failure> {
    let certificate = observed.pairs.get(name).and_then(|pair| pair.certificate.there());
    certificate.map(|certificate| Ok(Authority::new(store.key(name)?, certificate.clone()))).transpose()
}

/// Makes a CA, below the root where there is one.
fn make_authority(
    store: &Store,
    step: &Step,
    wanted: &Wanted,
    root: Option<&Authority>,
    now: OffsetDateTime,
) -> Result<(Made, Authority), Failure> {
    // The key of an interrupted first run stays: a CA's key is never replaced.
    let (key, secret) = match step.make {
        Make::Certificate => (store.key(&wanted.name)?, None),
        Make::Pair | Make::Again | Make::Key => {
            let key = Key::generate(wanted.algorithm).map_err(|why| cannot(&wanted.name, why))?;
            let secret = Secret::pem_of(key.pair());
            (key, Some(secret))
        }
    };
    let certificate = match root {
        Some(root) => root.below(wanted, key.pair(), now),
        None => issue::authority(wanted, &key, now),
    };
    let certificate = certificate.map_err(|why| cannot(&wanted.name, why))?;
    let made = Made { key: secret, public: Public::pair(certificate.clone(), key.public()) };
    Ok((made, Authority::new(key, certificate)))
}

fn make_leaf(
    wanted: &Wanted,
    authorities: &BTreeMap<String, Authority>,
    now: OffsetDateTime,
) -> Result<(String, Made), Failure> {
    let fail = |why| cannot(&wanted.name, why);
    let authority = wanted.issuer.as_ref().and_then(|name| authorities.get(name));
    let authority = authority.ok_or_else(|| fail("its CA is not at hand".to_owned()))?;
    let key = Key::generate(wanted.algorithm).map_err(fail)?;
    let certificate = authority.issue(wanted, key.pair(), now).map_err(fail)?;
    let secret = Secret::pem_of(key.pair());
    Ok((wanted.name.clone(), Made { key: Some(secret), public: Public::pair(certificate, key.public()) }))
}

/// Signs the request again that lies beside the certificate: its key is on its machine.
fn make_again(
    wanted: &Wanted,
    observed: &Observed,
    authorities: &BTreeMap<String, Authority>,
    now: OffsetDateTime,
) -> Result<(String, Made), Failure> {
    let fail = |why: &str| cannot(&wanted.name, why.to_owned());
    let authority = wanted.issuer.as_ref().and_then(|name| authorities.get(name));
    let authority = authority.ok_or_else(|| fail("its CA is not at hand"))?;
    let request = observed.pairs.get(&wanted.name).and_then(|pair| pair.request.there());
    let request = request.ok_or_else(|| fail("its request is not at hand"))?;
    let certificate = sign(authority, wanted, request, now)?;
    let public = Public::away(certificate, Request::clone(request));
    Ok((wanted.name.clone(), Made { key: None, public }))
}

/// A certificate for the key of a request.
pub fn sign(
    authority: &Authority,
    wanted: &Wanted,
    request: &Request,
    now: OffsetDateTime,
) -> Result<Certificate, Failure> {
    let key = issue::public_key(&request.public).map_err(|why| cannot(&wanted.name, why))?;
    let signed = match wanted.life {
        Life::Authority => authority.below(wanted, &key, now),
        Life::Leaf => authority.issue(wanted, &key, now),
    };
    signed.map_err(|why| cannot(&wanted.name, why))
}

fn make_key(name: &str, algorithm: &str) -> Result<Made, Failure> {
    let fail = |why| cannot(name, why);
    let secret = match algorithm {
        RANDOM => Some(Secret::random(ENCRYPTION_KEY).map_err(fail)?),
        TEXT => Some(Secret::text(TEXT_LENGTH).map_err(fail)?),
        _ => None,
    };
    if let Some(secret) = secret {
        let id = (algorithm == RANDOM).then(|| secret.id());
        return Ok(Made { key: Some(secret), public: Public::Bare(Bare { id, ..Bare::default() }) });
    }
    let algorithm =
        Algorithm::named(algorithm).ok_or_else(|| fail(format!("`{algorithm}` is no algorithm")))?;
    let key = Key::generate(algorithm).map_err(fail)?;
    let bare = Bare { public: Some(key.public_pem()), ..Bare::default() };
    Ok(Made { key: Some(Secret::pem_of(key.pair())), public: Public::Bare(bare) })
}

fn cannot(name: &str, why: String) -> Failure {
    Failure::world(format!("cannot make `{name}`")).because(why)
}
