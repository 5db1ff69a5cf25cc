//! The bundle against the PKI document: the same store, the right certificates, the right keys, each in its place.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::bundle::{Encoding, MachineKind, Segment};
use kmh_doc::inventory::Role;
use kmh_doc::pki::KeyClass;

use super::RENDER;
use super::files::place;
use super::view::{Bundle, View};
use crate::documents::Pki;
use crate::findings::Findings;

/// `bundle.store`: the bundle refers to the store that the PKI document is of.
pub(crate) fn store(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    out.look();
    if pki.spec.store != bundle.spec.store {
        let message = format!(
            "it refers to the store `{}`, the certificates are of `{}`",
            bundle.spec.store, pki.spec.store
        );
        out.critical("kmh.bundle/v1", message, RENDER);
    }
    if pki.spec.planned && !bundle.spec.planned {
        out.critical(
            "kmh.bundle/v1",
            "the certificates are only planned, and the bundle does not say so",
            RENDER,
        );
    }
}

/// `bundle.secrets`: every reference is one of the PKI document, on a machine that the secret is for.
pub(crate) fn secrets(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let mut known: BTreeMap<&str, (BTreeSet<&str>, Option<KeyClass>)> = BTreeMap::new();
    for certificate in &pki.spec.certificates {
        if let Some(key) = &certificate.key {
            let machines = certificate.deploy.iter().filter(|d| d.key.is_some()).map(|d| d.machine.as_str());
            known.insert(key, (machines.collect(), None));
        }
    }
    for key in &pki.spec.keys {
        let machines = key.deploy.iter().filter(|d| d.key.is_some()).map(|d| d.machine.as_str());
        known.insert(&key.secret, (machines.collect(), Some(key.class)));
    }
    for view in &bundle.machines {
        if !out.look_at(view.name()) {
            continue;
        }
        for (path, text) in &view.files {
            for secret in &text.secrets {
                let subject = place(view.name(), path);
                match known.get(secret) {
                    None => out.critical(&subject, format!("the store has no secret `{secret}`"), RENDER),
                    Some((machines, class)) if !machines.contains(view.name()) && !may_have(view, *class) => {
                        out.critical(
                            &subject,
                            format!("the secret `{secret}` is not for this machine"),
                            RENDER,
                        );
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

/// Keys that are part of a configuration: API servers encrypt with one, routers sign TCP segments with others.
fn may_have(view: &View<'_>, class: Option<KeyClass>) -> bool {
    match class {
        Some(KeyClass::Encryption) => view.is(Role::ControlPlane),
        Some(KeyClass::BgpPassword | KeyClass::TunnelPsk) => {
            matches!(view.machine.kind, MachineKind::LinuxRouter | MachineKind::Pfsense)
        }
        Some(KeyClass::ServiceAccount) | None => false,
    }
}

/// `bundle.certificates`: each certificate and key is at the place that the PKI document names, and is that one.
pub(crate) fn certificates(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let machines: BTreeMap<&str, &View<'_>> = bundle.machines.iter().map(|m| (m.name(), m)).collect();
    let certificates =
        pki.spec.certificates.iter().map(|c| (&c.name, Some(c.pem.as_str()), c.key.as_deref(), &c.deploy));
    let keys =
        pki.spec.keys.iter().map(|k| (&k.name, k.public.as_deref(), Some(k.secret.as_str()), &k.deploy));
    let mut absent: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, public, secret, deploys) in certificates.chain(keys) {
        for deploy in deploys {
            if !out.look_at(&deploy.machine) {
                continue;
            }
            let Some(view) = machines.get(deploy.machine.as_str()) else {
                *absent.entry(&deploy.machine).or_default() += 1;
                continue;
            };
            if let Some(path) = &deploy.certificate {
                // What is only planned has no text yet; that its place is there can be seen.
                let planned = pki.spec.planned && public.unwrap_or_default().is_empty();
                certificate(name, public, planned, view, path, out);
            }
            if let Some(path) = &deploy.key {
                key(name, secret, view, path, out);
            }
        }
    }
    for (machine, count) in absent {
        let message = format!("{count} certificates and keys go to it, and the bundle does not have it");
        out.critical(machine, message, RENDER);
    }
}

fn certificate(
    name: &str,
    pem: Option<&str>,
    planned: bool,
    view: &View<'_>,
    path: &str,
    out: &mut Findings<'_>,
) {
    let subject = place(view.name(), path);
    match view.text(path) {
        // pfSense keeps certificates in its configuration, not in files.
        None if view.machine.kind == MachineKind::Pfsense => {}
        None => out.critical(&subject, format!("the certificate `{name}` is not there"), RENDER),
        Some(text) if !planned && Some(text.trim()) != pem.map(str::trim) => {
            out.critical(&subject, format!("it is not the certificate `{name}` of the PKI document"), RENDER);
        }
        Some(_) => {}
    }
}

fn key(name: &str, secret: Option<&str>, view: &View<'_>, path: &str, out: &mut Findings<'_>) {
    let subject = place(view.name(), path);
    let Some(text) = view.files.get(path) else {
        if view.machine.kind != MachineKind::Pfsense {
            out.critical(&subject, format!("the key of `{name}` is not there"), RENDER);
        }
        return;
    };
    match text.file.content.as_slice() {
        [Segment::Secret { secret: is, encoding: Encoding::Raw }] if Some(is.as_str()) == secret => {}
        _ => out.critical(
            &subject,
            format!("it is not the key of `{name}`, alone and as the store has it"),
            RENDER,
        ),
    }
    if text.file.mode != "0600" {
        out.critical(&subject, format!("its mode is {}, a key's must be 0600", text.file.mode), RENDER);
    }
}
