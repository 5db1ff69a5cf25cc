//! Keys and serial numbers: each its own, and strong enough.

use std::collections::BTreeMap;

use kmh_cert::Facts;
use kmh_cert::among::{same_keys, same_serials};
use kmh_cert::facts::{algorithm_of, public_key};
use kmh_cert::rules::Topic;
use kmh_doc::pki::{Class, KeyClass};

use super::usages::broken_rules;
use super::{REISSUE, class_name, expect};
use crate::documents::Pki;
use crate::findings::Findings;

/// `pki.serials`: positive, at most 20 octets (RFC 5280, 4.1.2.2), no two of one CA alike.
pub(crate) fn serials(pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        out.look();
        for complaint in broken_rules(entry, facts, Topic::Serial) {
            out.critical(&entry.name, complaint, REISSUE);
        }
    }
    for (name, other) in same_serials(named(pki)) {
        out.critical(name, format!("`{other}` has the same issuer and serial number"), REISSUE);
    }
}

fn named<'p>(pki: &'p Pki<'_>) -> impl Iterator<Item = (&'p str, &'p Facts)> {
    pki.certificates().map(|(entry, facts)| (entry.name.as_str(), facts))
}

/// `pki.keys`: no key is used twice, every algorithm is one that all programs take.
pub(crate) fn keys(pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (name, other) in same_keys(named(pki)) {
        out.critical(name, format!("it has the same key as `{other}`"), REISSUE);
    }
    let seen: BTreeMap<&[u8], &str> =
        named(pki).map(|(name, facts)| (facts.public_key.as_slice(), name)).collect();
    for (entry, facts) in pki.certificates() {
        out.look();
        for complaint in broken_rules(entry, facts, Topic::Algorithm) {
            out.critical(&entry.name, complaint, REISSUE);
        }
        // Without a reference the key was made on its machine; the path where it lies must be known all the same.
        let has_place = entry.deploy.iter().any(|place| place.key.is_some());
        if entry.key.is_none() && expect::row(entry.class).deployed && !has_place {
            let hint = "put its key into the store, or issue it again";
            out.critical(&entry.name, "the store does not hold its key, so no machine can use it", hint);
        }
    }
    let mut references: BTreeMap<&str, &str> = BTreeMap::new();
    let of_certificates =
        pki.spec.certificates.iter().filter_map(|c| Some((c.key.as_deref()?, c.name.as_str())));
    for (reference, name) in
        of_certificates.chain(pki.spec.keys.iter().map(|k| (k.secret.as_str(), k.name.as_str())))
    {
        out.look();
        if let Some(other) = references.insert(reference, name) {
            out.critical(name, format!("its secret `{reference}` is also that of `{other}`"), REISSUE);
        }
    }
    let mut signers: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for key in pki.spec.keys.iter().filter(|k| k.class == KeyClass::ServiceAccount) {
        out.look();
        match key.public.as_deref().map(public_key) {
            Some(Ok(der)) => {
                let algorithm = algorithm_of(&der);
                let other = seen.get(der.as_slice()).copied();
                if let Some(other) = other.or(signers.insert(der.clone(), &key.name)) {
                    out.critical(&key.name, format!("it is the same key as that of `{other}`"), REISSUE);
                }
                if algorithm == "ed25519" {
                    const WHY: &str =
                        "take RSA or ECDSA: the API server signs and verifies tokens by no other";
                    out.critical(&key.name, "its key is `ed25519`, which no token can be signed with", WHY);
                }
            }
            Some(Err(why)) => out.critical(&key.name, why, REISSUE),
            None if pki.spec.planned => {}
            None => out.critical(&key.name, "it has no public half, so no token can be verified", REISSUE),
        }
    }
}

/// `pki.separate-cas`: the CAs do not vouch for each other's clients.
pub(crate) fn separate_cas(pki: &Pki<'_>, out: &mut Findings<'_>) {
    const WHY: &str =
        "a certificate of the one would pass for one of the other: give each a key and name of its own";
    let cas: Vec<_> = pki.certificates().filter(|(entry, _)| expect::row(entry.class).is_ca()).collect();
    for (index, (entry, facts)) in cas.iter().enumerate() {
        out.look();
        for (other, others) in &cas[..index] {
            // Generations of one CA have one name, and must not have one key.
            let one_ca = entry.class == other.class;
            if facts.public_key == others.public_key || (!one_ca && facts.subject == others.subject) {
                let (what, who) = (class_name(other.class), &other.name);
                let headers = [entry.class, other.class];
                // kube-apiserver believes the names in headers of whoever the requestheader CA vouches for.
                let more = if headers.contains(&Class::FrontProxyCa) && headers.contains(&Class::ClusterCa) {
                    "; with it, every client could act as any user (X-Remote-User)"
                } else {
                    ""
                };
                out.critical(
                    &entry.name,
                    format!("it shares its key or its name with `{who}`, the `{what}`{more}"),
                    WHY,
                );
            }
        }
    }
}
