//! The bundle against the PKI document: the same store, the right certificates, the right keys, each in its place.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::bundle::{Encoding, MachineKind, Segment};
use kmh_doc::inventory::Role;
use kmh_doc::network::{NetworkSpec, PeerKind};
use kmh_doc::pki::{Key, KeyClass};

use super::RENDER;
use super::files::place;
use super::view::{Bundle, View};
use crate::documents::Pki;
use crate::findings::Findings;
use kmh_cert::facts::blocks;

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
    let mut known: BTreeMap<&str, (BTreeSet<&str>, Option<&Key>)> = BTreeMap::new();
    for certificate in &pki.spec.certificates {
        if let Some(key) = &certificate.key {
            let machines = certificate.deploy.iter().filter(|d| d.key.is_some()).map(|d| d.machine.as_str());
            known.insert(key, (machines.collect(), None));
        }
    }
    for key in &pki.spec.keys {
        let machines = key.deploy.iter().filter(|d| d.key.is_some()).map(|d| d.machine.as_str());
        known.insert(&key.secret, (machines.collect(), Some(key)));
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
                    Some((machines, key)) if !machines.contains(view.name()) && !may_have(view, *key) => {
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

/// Keys that are part of a configuration: API servers encrypt with one, routers sign TCP segments with their site's,
/// and so do the nodes, by a manifest; a tunnel's is for its two ends.
fn may_have(view: &View<'_>, key: Option<&Key>) -> bool {
    let Some(key) = key else { return false };
    let router = matches!(view.machine.kind, MachineKind::LinuxRouter | MachineKind::Pfsense);
    match key.class {
        KeyClass::Encryption => view.is(Role::ControlPlane),
        KeyClass::BgpPassword if key.name.starts_with("keys/bgp-tunnel/") => {
            let tunnel = key.name.strip_prefix("keys/bgp-tunnel/");
            router && tunnel.is_some_and(|tunnel| is_end(tunnel, view.name()))
        }
        KeyClass::BgpPassword => {
            let site = key.name.strip_prefix("keys/bgp/");
            view.machine.kind == MachineKind::Cluster || (router && site == view.machine.site.as_deref())
        }
        KeyClass::TunnelPsk => {
            router && key.name.strip_prefix("keys/psk/").is_some_and(|tunnel| is_end(tunnel, view.name()))
        }
        KeyClass::ServiceAccount => false,
    }
}

/// Whether a tunnel of that name, `LOWER--HIGHER` or `LOWER--HIGHER--U-V`, may end at a router.
fn is_end(tunnel: &str, router: &str) -> bool {
    let lines = |text: &str| matches!(text.as_bytes(), [b'1'..=b'4', b'-', b'1'..=b'4']);
    let ends = match tunnel.rsplit_once("--") {
        Some((ends, last)) if lines(last) && ends.contains("--") => ends,
        _ => tunnel,
    };
    ends.strip_prefix(router).is_some_and(|rest| rest.starts_with("--"))
        || ends.strip_suffix(router).is_some_and(|rest| rest.ends_with("--"))
}

/// `bundle.passwords`: both ends of a session or tunnel that the plan secures by a shared key have that key: routers
/// in a file of theirs, nodes by a manifest of the cluster.
pub(crate) fn passwords(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let held: BTreeMap<&str, BTreeSet<&str>> = bundle
        .machines
        .iter()
        .map(|view| {
            let secrets = view.files.values().flat_map(|text| text.secrets.iter().copied());
            (view.name(), secrets.filter_map(|secret| secret.strip_suffix(".key")).collect())
        })
        .collect();
    let cluster = bundle.machines.iter().find(|view| view.machine.kind == MachineKind::Cluster);
    let need = |machine: &str, key: &str, what: String, out: &mut Findings<'_>| {
        // A machine that the bundle does not have is another check's, or `--limit` left it out.
        if let Some(keys) = held.get(machine)
            && out.look_at(machine)
            && !keys.contains(key)
        {
            out.critical(machine, format!("no file of it holds `{key}`, with which {what}"), RENDER);
        }
    };
    for router in &network.routers {
        let listened = router.listen.iter().map(|listen| &listen.like);
        let signed = router.sessions.iter().chain(listened);
        let keys: BTreeSet<(&str, bool)> = signed
            .filter_map(|session| Some((session.password.as_deref()?, session.with == PeerKind::Node)))
            .collect();
        for (key, with_node) in keys {
            need(&router.name, key, "sessions of it are signed".to_owned(), out);
            if let Some(cluster) = cluster.filter(|_| with_node) {
                need(cluster.name(), key, format!("nodes of `{}` sign their sessions", router.site), out);
            }
        }
    }
    for tunnel in &network.tunnels {
        for end in &tunnel.ends {
            if let Some(key) = &tunnel.psk {
                need(&end.router, key, format!("the tunnel `{}` begins", tunnel.name), out);
            }
        }
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
    // What several generations share is one file, and must hold them all.
    let mut shared: BTreeMap<(&str, &str), Vec<(&str, &str)>> = BTreeMap::new();
    for (name, public, _, deploys) in certificates.clone().chain(keys.clone()) {
        for deploy in deploys {
            if let Some(path) = &deploy.certificate {
                let all = shared.entry((&deploy.machine, path)).or_default();
                all.push((name, public.unwrap_or_default().trim()));
            }
        }
    }
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
                let all =
                    shared.get(&(deploy.machine.as_str(), path.as_str())).map_or(&[][..], Vec::as_slice);
                certificate(name, all, planned, view, path, out);
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
    all: &[(&str, &str)],
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
        Some(_) if planned => {}
        Some(text) => {
            let held = blocks(text);
            let pem = all.iter().find(|(one, _)| *one == name).map_or("", |(_, pem)| *pem);
            if !held.contains(&pem) {
                let message = format!("it is not the certificate `{name}` of the PKI document");
                out.critical(&subject, message, RENDER);
            } else if held.iter().any(|block| all.iter().all(|(_, pem)| pem != block))
                || held.len() > all.len()
            {
                let message = format!("beside `{name}` it holds what the PKI document has not there");
                out.critical(&subject, message, RENDER);
            }
        }
    }
}

fn key(name: &str, secret: Option<&str>, view: &View<'_>, path: &str, out: &mut Findings<'_>) {
    let subject = place(view.name(), path);
    let Some(text) = view.files.get(path) else {
        // A key that was made on its machine is not deployed.
        if secret.is_some() && view.machine.kind != MachineKind::Pfsense {
            out.critical(&subject, format!("the key of `{name}` is not there"), RENDER);
        }
        return;
    };
    match text.file.content.as_slice() {
        [Segment::Secret { secret: is, encoding: Encoding::Raw }] if Some(is.as_str()) == secret => {}
        _ if secret.is_none() => {
            let message = format!("the key of `{name}` is on its machine, and the bundle would replace it");
            out.critical(&subject, message, RENDER);
        }
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

#[cfg(test)]
mod tests {
    use super::is_end;

    #[test]
    fn a_tunnel_ends_at_two_routers() {
        for (tunnel, router, is) in [
            ("ra--rb", "ra", true),
            ("ra--rb", "rb", true),
            ("ra--rb--2-1", "rb", true),
            ("ra--rb--2-1", "ra", true),
            ("ra--rb--2-1", "1", false),
            ("ra--rb", "r", false),
            ("ra--rb", "b", false),
            ("ra--2-1", "2-1", true),
        ] {
            assert_eq!(is_end(tunnel, router), is, "{tunnel} {router}");
        }
    }
}
