//! The routers' tunnels in their files: interfaces, addresses, numbers, identities, and how each end proves its own.

use std::collections::BTreeMap;

use kmh_doc::bundle::MachineKind;
use kmh_doc::network::{NetworkSpec, Tunnel};

use crate::bundle::RENDER;
use crate::bundle::files::place;
use crate::bundle::view::{Bundle, View, ending};
use crate::findings::Findings;
use crate::parse::swanctl::Section;
use kmh_cert::facts::blocks;

/// `network.tunnel-files`: each end's files have the tunnel, with its number, interface and identities.
pub(crate) fn tunnel_files(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let kinds: BTreeMap<&str, &View<'_>> = bundle.machines.iter().map(|m| (m.name(), m)).collect();
    for tunnel in &network.tunnels {
        for (end, other) in [(0, 1), (1, 0)].map(|(a, b)| (&tunnel.ends[a], &tunnel.ends[b])) {
            if !out.look_at(&end.router) {
                continue;
            }
            let Some(view) = kinds.get(end.router.as_str()) else {
                out.critical(&end.router, "the bundle does not have this router", RENDER);
                continue;
            };
            let subject = format!("{} on {}", tunnel.name, end.router);
            let mentioned = |word: &str| view.files.values().any(|t| has_word(&t.text, word));
            for (what, word) in [
                ("interface", &end.interface),
                ("own identity", &end.identity),
                ("peer's identity", &other.identity),
            ] {
                if !mentioned(word) {
                    out.critical(&subject, format!("no file of the router has its {what} `{word}`"), RENDER);
                }
            }
            for address in &end.addresses {
                if !mentioned(&address.to_string()) {
                    out.critical(
                        &subject,
                        format!("no file of the router has its inner address {address}"),
                        RENDER,
                    );
                }
            }
            if view.machine.kind == MachineKind::LinuxRouter {
                swanctl(&subject, tunnel, (&end.identity, &other.identity), view, out);
            }
        }
    }
}

/// Whether a word stands in a text by itself: `xfrm1` does not stand in `xfrm12`.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(inside) && !after.is_some_and(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    })
}

fn swanctl(
    subject: &str,
    tunnel: &Tunnel,
    (own, peer): (&str, &str),
    view: &View<'_>,
    out: &mut Findings<'_>,
) {
    let mut found = false;
    for (path, text) in
        view.files.iter().filter(|(path, _)| path.starts_with("/etc/swanctl/") && ending(path) == "conf")
    {
        let Some(conf) = Section::read(&text.text) else {
            out.critical(&place(view.name(), path), "it is not well formed", RENDER);
            continue;
        };
        let Some(connections) = conf.section("connections") else { continue };
        for (_, connection) in &connections.sections {
            let id = |side: &str| {
                connection
                    .starting(side)
                    .find_map(|s| s.value("id"))
                    .map(|id| id.trim_start_matches('@').to_owned())
            };
            if id("local").as_deref() != Some(own) || id("remote").as_deref() != Some(peer) {
                continue;
            }
            found = true;
            let number = tunnel.index.to_string();
            if tunnel.psk.is_some() {
                shared_key(subject, (own, peer), connection, &conf, out);
            } else {
                certificates(subject, connection, view, out);
            }
            let children = connection.section("children").map_or(&[][..], |c| c.sections.as_slice());
            if children.is_empty() {
                out.critical(subject, "its connection has no child, so nothing passes", RENDER);
            }
            for (_, child) in children {
                for key in ["if_id_in", "if_id_out"] {
                    let value = child.value(key).or_else(|| connection.value(key));
                    if value != Some(number.as_str()) {
                        let is = value.unwrap_or("none");
                        out.critical(subject, format!("its `{key}` is {is}, it must be {number}"), RENDER);
                    }
                }
            }
        }
    }
    if !found {
        out.critical(subject, "no connection of swanctl.conf has its two identities", RENDER);
    }
}

/// Certificates on both sides, and in the bundle.
fn certificates(subject: &str, connection: &Section<'_>, view: &View<'_>, out: &mut Findings<'_>) {
    for (side, folder, key) in
        [("local", "/etc/swanctl/x509/", "certs"), ("remote", "/etc/swanctl/x509ca/", "cacerts")]
    {
        match connection.starting(side).find_map(|s| s.value(key)) {
            None => out.critical(subject, format!("its `{side}` section names no `{key}`"), RENDER),
            // Several CAs while theirs is rotated: strongSwan takes one certificate a file.
            Some(names) => {
                for name in names.split(',').map(str::trim) {
                    let file =
                        if name.starts_with('/') { name.to_owned() } else { format!("{folder}{name}") };
                    match view.text(&file) {
                        None => {
                            let message = format!("its certificate `{file}` is not in the bundle");
                            out.critical(subject, message, RENDER);
                        }
                        Some(text) if blocks(text).len() > 1 => {
                            let message =
                                format!("strongSwan reads one certificate of a file, `{file}` holds more");
                            out.critical(subject, message, RENDER);
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
}

/// A pre-shared key on both sides, and one for these two identities.
fn shared_key(
    subject: &str,
    (own, peer): (&str, &str),
    connection: &Section<'_>,
    conf: &Section<'_>,
    out: &mut Findings<'_>,
) {
    for side in ["local", "remote"] {
        let is = connection.starting(side).find_map(|s| s.value("auth")).unwrap_or("none");
        if is != "psk" {
            out.critical(
                subject,
                format!("its `{side}` section has `auth = {is}`, the plan says `psk`"),
                RENDER,
            );
        }
    }
    let mut secrets = conf.section("secrets").into_iter().flat_map(|secrets| secrets.starting("ike"));
    let found = secrets.any(|secret| {
        let ids: Vec<&str> =
            secret.values.iter().filter(|(key, _)| key.starts_with("id")).map(|(_, id)| *id).collect();
        secret.value("secret").is_some() && ids.contains(&own) && ids.contains(&peer)
    });
    if !found {
        out.critical(subject, "no pre-shared key of swanctl.conf is for its two identities", RENDER);
    }
}
