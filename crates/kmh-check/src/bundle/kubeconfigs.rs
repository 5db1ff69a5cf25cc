//! How components reach the API: kubeconfigs, and the haproxy on every node's loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kmh_doc::inventory::Role;
use kmh_doc::pki::Class;
use kmh_model::Model;
use serde_json::Value;

use super::RENDER;
use super::etcd::host_and_port;
use super::files::place;
use super::view::{Bundle, View, ending, is_yaml};
use crate::certificate::{Facts, blocks};
use crate::documents::Pki;
use crate::findings::Findings;
use crate::parse::lines::lines;

/// The kubeconfigs of a machine.
fn kubeconfigs<'v>(view: &'v View<'_>) -> impl Iterator<Item = (&'v str, Value)> {
    let named = |path: &str| {
        ["conf", "kubeconfig"].contains(&ending(path)) || path.ends_with("/kubeconfig") || is_yaml(path)
    };
    let files = view.files.iter().filter(move |(path, text)| named(path) && text.text.contains("clusters"));
    files.filter_map(|(path, _)| {
        let config = view.yaml(path)?;
        (config["kind"] == "Config" && config["clusters"].is_array()).then_some((*path, config))
    })
}

/// `host:port` pairs that the haproxy of a machine listens on.
fn binds(view: &View<'_>) -> BTreeSet<(String, u16)> {
    statements(view, "bind").filter_map(|words| split(words.first()?)).collect()
}

/// The servers of the haproxy of a machine.
fn servers(view: &View<'_>) -> BTreeSet<(String, u16)> {
    statements(view, "server").filter_map(|words| split(words.get(1)?)).collect()
}

fn statements<'v>(view: &'v View<'_>, keyword: &'static str) -> impl Iterator<Item = Vec<&'v str>> {
    let files = view.files.iter().filter(|(path, _)| path.ends_with("haproxy.cfg"));
    let all = files.flat_map(|(_, text)| lines(&text.text, &['#']));
    all.filter(move |l| l.words.first() == Some(&keyword)).map(|l| l.words[1..].to_vec())
}

fn split(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port.parse().ok()?))
}

/// `bundle.kubeconfigs`: each leads to an API server that has a certificate for the name it is called by, with a
/// certificate and key that belong together, signed by the CA that the API server asks.
pub(crate) fn kubeconfigs_check(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let apis: BTreeMap<&str, &Facts> = pki
        .certificates()
        .filter(|(entry, _)| entry.class == Class::Apiserver)
        .filter_map(|(entry, facts)| Some((entry.machine.as_deref()?, facts)))
        .collect();
    let keys: BTreeMap<&str, &str> =
        pki.spec.certificates.iter().filter_map(|c| Some((c.pem.trim(), c.key.as_deref()?))).collect();
    let ports = api_ports(bundle);
    for view in &bundle.machines {
        let binds = binds(view);
        for (path, config) in kubeconfigs(view) {
            if !out.look_at(view.name()) {
                continue;
            }
            let subject = place(view.name(), path);
            server(&subject, view, &config, &apis, &ports, &binds, out);
            user(&subject, view, &config, &keys, out);
        }
    }
}

/// The port of each control plane's API server.
fn api_ports<'b>(bundle: &'b Bundle<'_>) -> BTreeMap<&'b str, u16> {
    let port = |v: &View<'_>| {
        v.setting("kube-apiserver", "secure-port").and_then(|p| p.parse().ok()).unwrap_or(6443)
    };
    bundle.with(Role::ControlPlane).map(|v| (v.name(), port(v))).collect()
}

fn server(
    subject: &str,
    view: &View<'_>,
    config: &Value,
    apis: &BTreeMap<&str, &Facts>,
    ports: &BTreeMap<&str, u16>,
    binds: &BTreeSet<(String, u16)>,
    out: &mut Findings<'_>,
) {
    let cluster = &config["clusters"][0]["cluster"];
    let url = cluster["server"].as_str().unwrap_or_default();
    let Some((host, port)) = host_and_port(url) else {
        out.critical(subject, format!("its server `{url}` is no https:// address with a port"), RENDER);
        return;
    };
    let address = host.parse::<IpAddr>().ok();
    let valid = |facts: &Facts| match address {
        Some(address) => facts.addresses.contains(&address),
        None => facts.dns_names.iter().any(|name| name.eq_ignore_ascii_case(host)),
    };
    let local = address.is_some_and(|a| a.is_loopback()) || host == "localhost";
    if local {
        // The loopback haproxy leads to any API server; one's own API server listens on loopback, too.
        let proxied =
            binds.iter().any(|(h, p)| *p == port && (h == host || (host == "localhost" && h == "127.0.0.1")));
        let own = ports.get(view.name()) == Some(&port);
        if !proxied && !own {
            out.critical(subject, format!("nothing on this machine listens on {host}:{port}"), RENDER);
        }
        for (machine, facts) in apis.iter().filter(|(machine, _)| proxied || **machine == view.name()) {
            if !valid(facts) {
                let message = format!(
                    "it calls the API server of `{machine}` {host}, for which that has no certificate"
                );
                out.critical(subject, message, "make certificates and bundle again, from one inventory");
            }
        }
    } else {
        if !ports.values().any(|p| *p == port) {
            out.critical(subject, format!("no API server listens on port {port}"), RENDER);
        }
        if !apis.values().any(|facts| valid(facts)) {
            let hint = "make certificates and bundle again, from one inventory";
            out.critical(subject, format!("no API server has a certificate for {host}"), hint);
        }
    }
    let ca = cluster["certificate-authority"].as_str();
    match ca.map(|path| (path, view.text(path))) {
        None if cluster["certificate-authority-data"].is_string() => {}
        None => out.critical(subject, "it names no CA to know the API server by", RENDER),
        Some((path, None)) => out.critical(subject, format!("its CA `{path}` is not in the bundle"), RENDER),
        Some((path, Some(pem))) => {
            let trusted: Vec<Facts> =
                blocks(pem).into_iter().filter_map(|block| Facts::from_pem(block).ok()).collect();
            let names = |facts: &Facts| trusted.iter().any(|ca| facts.issuer == ca.subject);
            if !apis.is_empty() && !apis.values().any(|facts| names(facts)) {
                out.critical(subject, format!("its CA `{path}` is not that of the API server"), RENDER);
            }
        }
    }
    if cluster["insecure-skip-tls-verify"] == true {
        out.critical(subject, "it takes anybody for the API server (`insecure-skip-tls-verify`)", RENDER);
    }
}

fn user(subject: &str, view: &View<'_>, config: &Value, keys: &BTreeMap<&str, &str>, out: &mut Findings<'_>) {
    let user = &config["users"][0]["user"];
    let (Some(certificate), Some(key)) = (user["client-certificate"].as_str(), user["client-key"].as_str())
    else {
        let embedded = user["client-key-data"].is_string() || user["token"].is_string();
        let message = if embedded {
            "its credentials stand in it; services read files, which can be renewed"
        } else {
            "it has no certificate and key"
        };
        out.critical(subject, message, RENDER);
        return;
    };
    let Some(pem) = view.text(certificate) else {
        out.critical(subject, format!("its certificate `{certificate}` is not in the bundle"), RENDER);
        return;
    };
    let Some(secret) = view.files.get(key).and_then(|t| t.secrets.first()) else {
        out.critical(subject, format!("its key `{key}` is not in the bundle"), RENDER);
        return;
    };
    if !pem.is_empty() && keys.get(pem.trim()).is_some_and(|must| must != secret) {
        out.critical(subject, format!("`{key}` is not the key of `{certificate}`"), RENDER);
    }
    let context = &config["contexts"][0]["context"];
    let current = config["current-context"] == config["contexts"][0]["name"];
    if !current
        || context["user"] != config["users"][0]["name"]
        || context["cluster"] != config["clusters"][0]["name"]
    {
        out.critical(subject, "its current context does not lead to its cluster and user", RENDER);
    }
}

/// `bundle.haproxy`: every node's loopback haproxy listens where the inventory says, and knows every API server.
pub(crate) fn haproxy(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let Some(api) = &model.api else { return };
    let wanted: BTreeMap<&str, BTreeSet<(String, u16)>> = model
        .nodes_with(Role::ControlPlane)
        .map(|n| (n.name.as_str(), n.addresses.iter().map(|a| (a.to_string(), api.port)).collect()))
        .collect();
    for view in bundle.nodes() {
        if !out.look_at(view.name()) {
            continue;
        }
        let binds = binds(view);
        let loopback =
            |host: &str| host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback()) || host == "localhost";
        if !binds.iter().any(|(host, port)| loopback(host) && *port == api.local_port) {
            out.critical(
                view.name(),
                format!("haproxy does not listen on loopback port {}", api.local_port),
                RENDER,
            );
        }
        for (host, port) in binds.iter().filter(|(host, port)| !loopback(host) && *port == api.local_port) {
            out.critical(
                view.name(),
                format!("haproxy listens on {host}:{port}, where others reach it"),
                RENDER,
            );
        }
        let servers = servers(view);
        for (name, places) in &wanted {
            if servers.is_disjoint(places) {
                out.critical(
                    view.name(),
                    format!("haproxy does not know the API server of `{name}`"),
                    RENDER,
                );
            }
        }
        for (host, port) in servers.iter().filter(|s| !wanted.values().any(|w| w.contains(*s))) {
            out.critical(
                view.name(),
                format!("haproxy sends to {host}:{port}, which is no API server of the inventory"),
                RENDER,
            );
        }
    }
    for view in bundle.with(Role::ControlPlane) {
        if let Some(port) = view.setting("kube-apiserver", "secure-port")
            && port != api.port.to_string()
            && out.look_at(view.name())
        {
            out.critical(
                view.name(),
                format!("the API server listens on port {port}, the inventory says {}", api.port),
                RENDER,
            );
        }
    }
}
