//! Whether every certificate and key that the inventory asks for is there, once, and goes where it must.

use std::collections::BTreeMap;

use kmh_doc::inventory::{Role, TunnelAuth};
use kmh_doc::pki::{Certificate, Class, Deploy, Generation, Key, KeyClass};
use kmh_model::Model;

use super::class_name;
use super::expect::{self, Holder};
use crate::documents::Pki;
use crate::findings::Findings;

const ENSURE: &str = "run `kmh-pki ensure` with this inventory";

/// `pki.complete`: nothing is missing, nothing is there twice, nothing is for a machine that does not exist.
pub(crate) fn complete(model: &Model, pki: &Pki<'_>, out: &mut Findings<'_>) {
    let mut held: BTreeMap<(Class, Option<&str>), usize> = BTreeMap::new();
    // Other generations of a CA that is rotated are another check's.
    for entry in pki.spec.certificates.iter().filter(|one| one.generation() == Generation::Current) {
        *held.entry((entry.class, entry.machine.as_deref())).or_default() += 1;
    }
    for row in expect::TABLE {
        if row.class == Class::IpsecCa && model.tunnels.is_empty()
            || row.class == Class::RootCa && !model.pki.root
        {
            continue;
        }
        for machine in row.machines(model) {
            if !out.look_at_any(machine) {
                continue;
            }
            let subject = machine.unwrap_or("cluster");
            match held.get(&(row.class, machine)) {
                Some(1) => {}
                None => out.critical(
                    subject,
                    format!("no certificate of class `{}`", class_name(row.class)),
                    ENSURE,
                ),
                Some(n) => out.critical(
                    subject,
                    format!("{n} certificates of class `{}` instead of one", class_name(row.class)),
                    ENSURE,
                ),
            }
        }
    }
    for entry in &pki.spec.certificates {
        let known = match (expect::row(entry.class).holder, entry.machine.as_deref()) {
            (Holder::Cluster, None) => true,
            (Holder::Nodes(role), Some(name)) => {
                model.nodes.get(name).is_some_and(|n| n.roles.contains(&role))
            }
            (Holder::EveryNode, Some(name)) => model.nodes.contains_key(name),
            (Holder::TunnelRouters, Some(name)) => model.router(name).is_some(),
            (Holder::Cluster, Some(_)) | (_, None) => false,
        };
        if !known {
            out.warning(
                &entry.name,
                format!("the inventory asks for no such certificate of class `{}`", class_name(entry.class)),
                "a machine or role was removed: retire its certificates, or put it back into the inventory",
            );
        }
    }
    for class in [KeyClass::ServiceAccount, KeyClass::Encryption] {
        out.look();
        let current = |k: &&Key| k.class == class && k.generation() == Generation::Current;
        let count = pki.spec.keys.iter().filter(current).count();
        if count != 1 {
            out.critical(
                "cluster",
                format!("{count} keys of class `{}` instead of one", key_class_name(class)),
                ENSURE,
            );
        }
    }
    network_keys(model, pki, out);
}

/// `pki.complete`, for keys that follow from the network: one for each site whose sessions are signed, one for each
/// tunnel that has no certificates.
fn network_keys(model: &Model, pki: &Pki<'_>, out: &mut Findings<'_>) {
    let sites = model.sites.keys().filter(|_| model.bgp.passwords);
    let signed = model.tunnels.iter().filter(|tunnel| tunnel.signs_bgp(model));
    let tunnels = model.tunnels.iter().filter(|_| model.tunnel_auth == TunnelAuth::Psk);
    let wanted: BTreeMap<String, KeyClass> = sites
        .map(|site| (format!("keys/bgp/{site}"), KeyClass::BgpPassword))
        .chain(signed.map(|tunnel| (format!("keys/bgp-tunnel/{}", tunnel.name()), KeyClass::BgpPassword)))
        .chain(tunnels.map(|tunnel| (format!("keys/psk/{}", tunnel.name()), KeyClass::TunnelPsk)))
        .collect();
    let mut held: BTreeMap<(&str, KeyClass), usize> = BTreeMap::new();
    for key in &pki.spec.keys {
        *held.entry((&key.name, key.class)).or_default() += 1;
    }
    for (name, class) in &wanted {
        out.look();
        let count = held.get(&(name.as_str(), *class)).copied().unwrap_or_default();
        if count != 1 {
            let message = format!("{count} keys of class `{}` instead of one", key_class_name(*class));
            out.critical(name, message, ENSURE);
        }
    }
    let of_network = |key: &&Key| matches!(key.class, KeyClass::BgpPassword | KeyClass::TunnelPsk);
    for key in pki.spec.keys.iter().filter(of_network) {
        if wanted.get(&key.name) != Some(&key.class) {
            let class = key_class_name(key.class);
            out.warning(&key.name, format!("the inventory asks for no such key of class `{class}`"), ENSURE);
        }
    }
}

fn key_class_name(class: KeyClass) -> String {
    serde_json::to_value(class).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// `pki.deploy`: private keys are on the machine that they are for and nowhere else, and no two share a path.
pub(crate) fn deploy(pki: &Pki<'_>, out: &mut Findings<'_>) {
    let mut places: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let certificates = pki.spec.certificates.iter().map(|c| (c.name.as_str(), Some(c), c.deploy.as_slice()));
    let keys = pki.spec.keys.iter().map(|k| (k.name.as_str(), None, k.deploy.as_slice()));
    for (name, certificate, deploys) in certificates.chain(keys) {
        for deploy in deploys {
            if !out.look_at(&deploy.machine) {
                continue;
            }
            for (path, shares) in paths(deploy) {
                match places.insert((&deploy.machine, path), name) {
                    // Generations of a CA or of public keys are one file.
                    Some(other) if other != name && !(shares && base(other) == base(name)) => out.critical(
                        name,
                        format!("`{path}` on `{}` is also the place of `{other}`", deploy.machine),
                        "report this: two files cannot have one path",
                    ),
                    _ => {}
                }
            }
            let (Some(certificate), Some(path)) = (certificate, &deploy.key) else { continue };
            let row = expect::row(certificate.class);
            if !row.deployed {
                out.critical(
                    name,
                    format!("its private key would be put on `{}` as `{path}`", deploy.machine),
                    "this key stays in the store: remove the place from the document and make the bundle again",
                );
            } else if certificate.machine.as_deref() != Some(deploy.machine.as_str()) {
                out.critical(
                    name,
                    format!("its private key would be put on `{}`, which it is not for", deploy.machine),
                    "every machine has a key of its own: make the document again with `kmh-pki ensure`",
                );
            }
        }
        if let Some(certificate) = certificate {
            let row = expect::row(certificate.class);
            if row.deployed && !deploys.iter().any(|d| d.certificate.is_some() && d.key.is_some()) {
                out.critical(
                    name,
                    "it goes to no machine together with its key",
                    "make the document again with `kmh-pki ensure`",
                );
            }
        }
    }
}

/// `pki.trust`: every machine has the CAs that its programs verify with.
pub(crate) fn trust(model: &Model, pki: &Pki<'_>, out: &mut Findings<'_>) {
    let every: Vec<&str> = model.nodes.keys().map(AsRef::as_ref).collect();
    let with = |role| model.nodes_with(role).map(|n| n.name.as_str()).collect::<Vec<_>>();
    let both = [with(Role::ControlPlane), with(Role::Etcd)].concat();
    let routers = expect::row(Class::IpsecRouter).machines(model).into_iter().flatten().collect();
    let needs = [
        (Class::ClusterCa, every),
        (Class::EtcdCa, both),
        (Class::FrontProxyCa, with(Role::ControlPlane)),
        (Class::IpsecCa, routers),
    ];
    for (class, machines) in needs {
        // While a CA is rotated, whoever lacks one of the two would refuse half of the others.
        let trusted = pki.spec.trusted(class);
        for machine in machines {
            if !out.look_at(machine) {
                continue;
            }
            let goes = |one: &&&Certificate| {
                one.deploy.iter().any(|d| d.machine == machine && d.certificate.is_some())
            };
            let there = trusted.iter().filter(goes).count();
            if there == 0 || there < trusted.len() {
                let lacking = trusted.iter().find(|one| !goes(one)).map_or("", |one| one.name.as_str());
                out.critical(
                    machine,
                    format!("the certificate of `{}` does not go there: `{lacking}`", class_name(class)),
                    ENSURE,
                );
            }
        }
    }
}

/// The paths of a place, and whether several generations may share it: public halves may.
fn paths(deploy: &Deploy) -> impl Iterator<Item = (&str, bool)> {
    let both = [(&deploy.certificate, true), (&deploy.key, false)];
    both.into_iter().filter_map(|(path, shares)| Some((path.as_deref()?, shares)))
}

/// A name without its generation.
fn base(name: &str) -> &str {
    name.strip_suffix(Generation::of(name).ending()).unwrap_or(name)
}
