//! etcd's members agree on who they are, and API servers find them.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::inventory::Role;
use kmh_model::Model;

use super::RENDER;
use super::files::place;
use super::view::{Bundle, View};
use crate::findings::Findings;

/// Host and port of an `https://` URL; brackets of an IPv6 address taken off.
pub(crate) fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let rest = url.strip_prefix("https://")?.trim_end_matches('/');
    if rest.contains('/') {
        return None;
    }
    let (host, port) = rest.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

/// `bundle.etcd`: the same members everywhere, those of the inventory, an odd number; API servers ask only members.
pub(crate) fn etcd(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let members: BTreeMap<&str, BTreeSet<String>> = model
        .nodes_with(Role::Etcd)
        .map(|n| (n.name.as_str(), n.addresses.iter().map(ToString::to_string).collect()))
        .collect();
    if !members.is_empty() && members.len().is_multiple_of(2) {
        out.warning(
            "etcd",
            format!(
                "it has {} members: an even number tolerates no more failures than one less",
                members.len()
            ),
            "give the role `etcd` to one node more, or one less",
        );
    }
    let mut tokens: BTreeSet<String> = BTreeSet::new();
    for view in bundle.with(Role::Etcd) {
        if out.look_at(view.name()) {
            member(view, &members, out);
            tokens.extend(view.setting("etcd", "initial-cluster-token"));
        }
    }
    if tokens.len() > 1 {
        out.critical(
            "etcd",
            "its members have different cluster tokens, so they form different clusters",
            RENDER,
        );
    }
    let known: BTreeSet<&str> = members.values().flatten().map(String::as_str).collect();
    for view in bundle.with(Role::ControlPlane) {
        if !out.look_at(view.name()) {
            continue;
        }
        let Some((path, _)) = view.command("kube-apiserver") else { continue };
        let subject = place(view.name(), path);
        let Some(servers) = view.setting("kube-apiserver", "etcd-servers") else {
            out.critical(&subject, "the API server is not told where etcd is", RENDER);
            continue;
        };
        for server in servers.split(',') {
            match host_and_port(server) {
                None => out.critical(&subject, format!("`{server}` is no https:// address of etcd"), RENDER),
                Some(("127.0.0.1" | "::1" | "localhost", _)) if !view.is(Role::Etcd) => {
                    out.critical(&subject, "it asks etcd on its own machine, which is no member", RENDER);
                }
                Some(("127.0.0.1" | "::1" | "localhost", _)) => {}
                Some((host, _)) if !known.contains(host) && !members.contains_key(host) => {
                    out.critical(&subject, format!("it asks etcd at {host}, which is no member"), RENDER);
                }
                Some(_) => {}
            }
        }
    }
}

fn member(view: &View<'_>, members: &BTreeMap<&str, BTreeSet<String>>, out: &mut Findings<'_>) {
    let Some((path, _)) = view.command("etcd") else { return };
    let subject = place(view.name(), path);
    let setting = |name: &str| view.setting("etcd", name);
    if setting("name").as_deref() != Some(view.name()) {
        out.critical(&subject, "etcd's name is not that of the node", RENDER);
    }
    let Some(initial) = setting("initial-cluster") else {
        out.critical(&subject, "etcd is not told its initial members", RENDER);
        return;
    };
    let mut is: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for part in initial.split(',') {
        let (name, url) = part.trim().split_once('=').unwrap_or((part, ""));
        if let Some((host, _)) = host_and_port(url) {
            is.entry(name).or_default().insert(host);
        } else {
            out.critical(
                &subject,
                format!("`{part}` is no member of the form NAME=https://HOST:PORT"),
                RENDER,
            );
        }
    }
    for (name, addresses) in members {
        match is.remove(name) {
            None => out.critical(&subject, format!("etcd does not know the member `{name}`"), RENDER),
            Some(hosts) => {
                for host in hosts.into_iter().filter(|h| !addresses.contains(*h)) {
                    out.critical(
                        &subject,
                        format!("etcd looks for the member `{name}` at {host}, which is not its address"),
                        RENDER,
                    );
                }
            }
        }
    }
    for name in is.keys() {
        out.critical(
            &subject,
            format!("etcd expects the member `{name}`, which the inventory does not have"),
            RENDER,
        );
    }
    let config = view.configuration("etcd").unwrap_or(&serde_json::Value::Null);
    for (flag, section, what) in [
        ("client-cert-auth", "client-transport-security", "clients"),
        ("peer-client-cert-auth", "peer-transport-security", "other members"),
    ] {
        if setting(flag).as_deref() != Some("true") && config[section]["client-cert-auth"] != true {
            out.critical(&subject, format!("etcd does not ask {what} for a certificate (`{flag}`)"), RENDER);
        }
    }
}
