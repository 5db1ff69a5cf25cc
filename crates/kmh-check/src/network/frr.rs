//! The routers' files against the network document: `frr.conf`, `swanctl.conf`, tunnel interfaces.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::bundle::MachineKind;
use kmh_doc::network::{NetworkSpec, RouteRule, RouterPlan, Tunnel};

use crate::bundle::RENDER;
use crate::bundle::files::place;
use crate::bundle::view::{Bundle, View, ending};
use crate::findings::Findings;
use crate::parse::frr::{FrrConf, Rule};
use crate::parse::swanctl::Section;

/// `network.frr`: the router's `frr.conf` has every session with its AS number and filters, no other, and defines
/// whatever it refers to.
pub(crate) fn frr(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for plan in &network.routers {
        if !out.look_at(&plan.name) {
            continue;
        }
        let Some(view) = bundle.machine(&plan.name) else {
            out.critical(&plan.name, "the bundle does not have this router", RENDER);
            continue;
        };
        let confs: Vec<_> = view.files.iter().filter(|(path, _)| path.ends_with("/frr.conf")).collect();
        let [(path, text)] = confs.as_slice() else {
            out.critical(
                &plan.name,
                format!("it has {} files named frr.conf instead of one", confs.len()),
                RENDER,
            );
            continue;
        };
        let conf = FrrConf::read(&text.text);
        router(&place(&plan.name, path), plan, &conf, out);
        meaning(&place(&plan.name, path), plan, &conf, out);
    }
}

fn router(subject: &str, plan: &RouterPlan, conf: &FrrConf<'_>, out: &mut Findings<'_>) {
    if conf.asn != Some(plan.asn.to_string().as_str()) {
        let is = conf.asn.unwrap_or("none");
        out.critical(subject, format!("its AS number is {is}, the plan says {}", plan.asn), RENDER);
    }
    for session in &plan.sessions {
        let address = session.peer_address.to_string();
        let Some(neighbor) = conf.neighbors.get(address.as_str()) else {
            out.critical(subject, format!("it has no neighbour {address} (`{}`)", session.peer), RENDER);
            continue;
        };
        let asn = session.peer_asn.to_string();
        if neighbor.remote_as != Some(asn.as_str()) {
            let is = neighbor.remote_as.unwrap_or("none");
            out.critical(
                subject,
                format!("its neighbour {address} has AS {is}, the plan says {asn}"),
                RENDER,
            );
        }
        if !neighbor.active {
            out.critical(subject, format!("no address family activates its neighbour {address}"), RENDER);
        }
        for (way, is, must) in
            [("in", &neighbor.import, &session.import), ("out", &neighbor.export, &session.export)]
        {
            if !is.contains(must.as_str()) {
                // RFC 8212: without a policy an eBGP session exchanges nothing.
                out.critical(
                    subject,
                    format!("its neighbour {address} lacks the route map `{must}` ({way})"),
                    RENDER,
                );
            }
        }
    }
    for address in conf.neighbors.keys() {
        let planned = plan.sessions.iter().any(|s| s.peer_address.to_string() == *address);
        if !planned && address.parse::<std::net::IpAddr>().is_ok() {
            out.critical(subject, format!("its neighbour {address} is not in the plan"), RENDER);
        }
    }
    for ((filter, name), line) in &conf.used {
        if !conf.defined.contains(&(*filter, name)) {
            let message =
                format!("line {line} refers to the {} `{name}`, which is not defined", filter.word());
            out.critical(subject, message, "`vtysh -C` does not see this; define it, or correct the name");
        }
    }
    for (filter, name) in &conf.defined {
        if !conf.used.contains_key(&(*filter, name)) {
            out.warning(subject, format!("the {} `{name}` is defined but not used", filter.word()), RENDER);
        }
    }
}

/// Whatever decides about routes stands in the file as in the plan, and nothing else does.
fn meaning(subject: &str, plan: &RouterPlan, conf: &FrrConf<'_>, out: &mut Findings<'_>) {
    let must = statements(plan);
    for line in must.difference(&conf.statements) {
        out.critical(subject, format!("it lacks `{line}`"), RENDER);
    }
    for line in conf.statements.difference(&must) {
        out.critical(subject, format!("it says `{line}`, and the plan does not"), RENDER);
    }
    for map in &plan.route_maps {
        let is: Vec<&Rule> =
            conf.rules.iter().filter(|((name, _), _)| *name == map.name).map(|(_, rule)| rule).collect();
        let must: Vec<Rule> = map.rules.iter().map(|rule| rule_of(plan, rule)).collect();
        if is.iter().copied().ne(&must) {
            let message = format!("its route map `{}` has other rules than the plan", map.name);
            out.critical(subject, message, RENDER);
        }
    }
}

fn keyword(v6: bool) -> &'static str {
    if v6 { "ipv6" } else { "ip" }
}

/// The lines that follow from the plan.
fn statements(plan: &RouterPlan) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for list in &plan.prefix_lists {
        for rule in &list.permit {
            let bound =
                |word: &str, value: Option<u8>| value.map_or(String::new(), |n| format!(" {word} {n}"));
            let (ge, le) = (bound("ge", rule.ge), bound("le", rule.le));
            let family = keyword(list.v6);
            lines.insert(format!("{family} prefix-list {} permit {}{ge}{le}", list.name, rule.prefix));
        }
    }
    for list in &plan.as_paths {
        lines.insert(format!("bgp as-path access-list {} permit {}", list.name, list.permit));
    }
    for net in &plan.unreachable {
        lines.insert(format!("{} route {net} reject 254", keyword(net.is_v6())));
    }
    lines.extend(plan.originate.iter().map(|net| format!("network {net}")));
    for session in &plan.sessions {
        let peer = session.peer_address;
        lines.insert(format!("neighbor {peer} timers {} {}", session.keepalive, session.hold));
        lines.insert(format!("neighbor {peer} maximum-prefix {}", session.maximum_prefix));
        if session.as_override {
            lines.insert(format!("neighbor {peer} as-override"));
        }
        if session.keep_next_hop {
            lines.insert(format!("neighbor {peer} route-server-client"));
        }
    }
    lines
}

fn rule_of(plan: &RouterPlan, rule: &RouteRule) -> Rule {
    let mut lines = BTreeSet::new();
    if let Some(name) = &rule.prefix_list {
        let v6 = plan.prefix_lists.iter().any(|list| list.name == *name && list.v6);
        lines.insert(format!("match {} address prefix-list {name}", keyword(v6)));
    }
    lines.extend(rule.as_path.as_ref().map(|name| format!("match as-path {name}")));
    Rule { permit: rule.permit, lines }
}

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
            for (side, folder, key) in
                [("local", "/etc/swanctl/x509/", "certs"), ("remote", "/etc/swanctl/x509ca/", "cacerts")]
            {
                match connection.starting(side).find_map(|s| s.value(key)) {
                    None => out.critical(subject, format!("its `{side}` section names no `{key}`"), RENDER),
                    Some(name) => {
                        let file =
                            if name.starts_with('/') { name.to_owned() } else { format!("{folder}{name}") };
                        if view.text(&file).is_none() {
                            out.critical(
                                subject,
                                format!("its certificate `{file}` is not in the bundle"),
                                RENDER,
                            );
                        }
                    }
                }
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
