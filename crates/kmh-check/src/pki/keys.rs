//! Keys and serial numbers: each its own, and strong enough.

use std::collections::BTreeMap;

use kmh_doc::pki::{Class, KeyClass};
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo};

use super::{REISSUE, class_name, expect};
use crate::documents::Pki;
use crate::findings::Findings;

/// Algorithms that every program in the cluster takes in a certificate: those of kubeadm (1.36), and Ed25519, which
/// Go's TLS, etcd and strongSwan take too.
const ALGORITHMS: &[&str] = &["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"];

/// `pki.serials`: positive, at most 20 octets (RFC 5280, 4.1.2.2), no two of one CA alike.
pub(crate) fn serials(pki: &Pki<'_>, out: &mut Findings<'_>) {
    let mut seen: BTreeMap<(&[u8], &[u8]), &str> = BTreeMap::new();
    for (entry, facts) in pki.certificates() {
        out.look();
        let negative = facts.serial.first().is_none_or(|first| first & 0x80 != 0);
        if negative || facts.serial.iter().all(|&octet| octet == 0) {
            out.critical(&entry.name, "its serial number is not positive", REISSUE);
        }
        if facts.serial.len() > 20 {
            out.critical(
                &entry.name,
                format!("its serial number has {} octets, 20 are allowed", facts.serial.len()),
                REISSUE,
            );
        }
        if let Some(other) = seen.insert((&facts.issuer, &facts.serial), &entry.name) {
            out.critical(&entry.name, format!("`{other}` has the same issuer and serial number"), REISSUE);
        }
    }
}

/// `pki.keys`: no key is used twice, every algorithm is one that all programs take.
pub(crate) fn keys(pki: &Pki<'_>, out: &mut Findings<'_>) {
    let mut seen: BTreeMap<&[u8], &str> = BTreeMap::new();
    for (entry, facts) in pki.certificates() {
        out.look();
        if !ALGORITHMS.contains(&facts.algorithm.as_str()) {
            let message =
                format!("its key is `{}`; every program takes {}", facts.algorithm, ALGORITHMS.join(", "));
            out.critical(&entry.name, message, REISSUE);
        }
        if let Some(other) = seen.insert(&facts.public_key, &entry.name) {
            out.critical(&entry.name, format!("it has the same key as `{other}`"), REISSUE);
        }
        if entry.key.is_none() && expect::row(entry.class).deployed {
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
                let other = seen.get(der.as_slice()).copied();
                if let Some(other) = other.or(signers.insert(der.clone(), &key.name)) {
                    out.critical(&key.name, format!("it is the same key as that of `{other}`"), REISSUE);
                }
                if is_ed25519(&der) {
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

/// Whether that `SubjectPublicKeyInfo` is of id-Ed25519 (RFC 8410, section 3).
fn is_ed25519(der: &[u8]) -> bool {
    SubjectPublicKeyInfo::from_der(der)
        .is_ok_and(|(_, key)| key.algorithm.algorithm.to_id_string() == "1.3.101.112")
}

fn public_key(pem: &str) -> Result<Vec<u8>, String> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .map_err(|e| format!("its public half cannot be read: {e}"))?;
    if block.label != "PUBLIC KEY" {
        return Err(format!("its public half is a `{}`", block.label));
    }
    match SubjectPublicKeyInfo::from_der(&block.contents) {
        Ok(([], _)) => Ok(block.contents),
        Ok(_) => Err("something follows its public half".to_owned()),
        Err(e) => Err(format!("its public half cannot be read: {e}")),
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
