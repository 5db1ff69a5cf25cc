//! The routers' `frr.conf` against the network document.

use std::collections::BTreeSet;

use kmh_doc::network::{RouteRule, RouterPlan, Session};

use crate::bundle::RENDER;
use crate::findings::Findings;
use crate::parse::frr::{FrrConf, Rule};

/// Part of `network.bgp-files`: the router's `frr.conf` has every session with its AS number and filters, no other, and defines
/// whatever it refers to.
pub(super) fn frr(subject: &str, plan: &RouterPlan, text: &str, out: &mut Findings<'_>) {
    let conf = FrrConf::read(text);
    router(subject, plan, &conf, out);
    meaning(subject, plan, &conf, out);
}

/// A neighbour, or the group of those that call out of a range.
struct Peer<'a> {
    id: String,
    asn: String,
    session: &'a Session,
}

/// What `frr.conf` must have as neighbours; a range without a group is said.
fn peers<'a>(
    plan: &'a RouterPlan,
    conf: &FrrConf<'_>,
    subject: &str,
    out: &mut Findings<'_>,
) -> Vec<Peer<'a>> {
    let mut peers = Vec::new();
    for listen in &plan.listen {
        let range = listen.range.to_string();
        let Some(group) = conf.listen.get(range.as_str()) else {
            out.critical(subject, format!("it does not listen on {range}"), RENDER);
            continue;
        };
        let asn = listen.peer_asn.map_or_else(|| "external".to_owned(), |asn| asn.to_string());
        peers.push(Peer { id: (*group).to_owned(), asn, session: &listen.like });
    }
    let called = plan.sessions.iter().filter(|session| !session.dynamic);
    peers.extend(called.map(|session| Peer {
        id: session.peer_address.to_string(),
        asn: session.peer_asn.to_string(),
        session,
    }));
    peers
}

/// The lines of a BFD profile.
fn profile(interval: u16) -> BTreeSet<String> {
    let both = ["receive-interval", "transmit-interval"].map(|word| format!("{word} {interval}"));
    both.into_iter().chain(["detect-multiplier 3".to_owned()]).collect()
}

fn router(subject: &str, plan: &RouterPlan, conf: &FrrConf<'_>, out: &mut Findings<'_>) {
    if conf.asn != Some(plan.asn.to_string().as_str()) {
        let is = conf.asn.unwrap_or("none");
        out.critical(subject, format!("its AS number is {is}, the plan says {}", plan.asn), RENDER);
    }
    for Peer { id, asn, session } in peers(plan, conf, subject, out) {
        let Some(neighbor) = conf.neighbors.get(id.as_str()) else {
            out.critical(subject, format!("it has no neighbour {id} (`{}`)", session.peer), RENDER);
            continue;
        };
        if neighbor.remote_as != Some(asn.as_str()) {
            let is = neighbor.remote_as.unwrap_or("none");
            out.critical(subject, format!("its neighbour {id} has AS {is}, the plan says {asn}"), RENDER);
        }
        if !neighbor.active {
            out.critical(subject, format!("no address family activates its neighbour {id}"), RENDER);
        }
        for (way, is, must) in
            [("in", &neighbor.import, &session.import), ("out", &neighbor.export, &session.export)]
        {
            if !is.contains(must.as_str()) {
                // RFC 8212: without a policy an eBGP session exchanges nothing.
                out.critical(
                    subject,
                    format!("its neighbour {id} lacks the route map `{must}` ({way})"),
                    RENDER,
                );
            }
        }
        let is = neighbor.bfd.and_then(|name| conf.profiles.get(name));
        if is != session.bfd_ms.map(profile).as_ref() {
            let must = session.bfd_ms.map_or("none".to_owned(), |ms| format!("every {ms} ms, times 3"));
            out.critical(
                subject,
                format!("its neighbour {id} has another BFD than the plan: {must}"),
                RENDER,
            );
        }
    }
    for address in conf.neighbors.keys() {
        let planned = plan.sessions.iter().any(|s| !s.dynamic && s.peer_address.to_string() == *address);
        if !planned && address.parse::<std::net::IpAddr>().is_ok() {
            out.critical(subject, format!("its neighbour {address} is not in the plan"), RENDER);
        }
    }
    for range in conf.listen.keys() {
        if !plan.listen.iter().any(|listen| listen.range.to_string() == *range) {
            out.critical(subject, format!("it listens on {range}, and the plan does not"), RENDER);
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
    let must = statements(plan, conf);
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
fn statements(plan: &RouterPlan, conf: &FrrConf<'_>) -> BTreeSet<String> {
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
    // The winner must not depend on which route came first, nor the order of lines on what was learned between them.
    lines.extend(["bgp bestpath compare-routerid", "bgp deterministic-med"].map(str::to_owned));
    if !plan.multipath {
        lines.extend(["maximum-paths 1", "maximum-paths ibgp 1"].map(str::to_owned));
    }
    if plan.listen.iter().any(|listen| listen.like.restart == 0) {
        lines.insert("bgp graceful-restart-disable".to_owned());
    }
    for listen in &plan.listen {
        if let Some(group) = conf.listen.get(listen.range.to_string().as_str()) {
            lines.extend(session_lines(group, &listen.like));
        }
    }
    for session in plan.sessions.iter().filter(|session| !session.dynamic) {
        lines.extend(session_lines(&session.peer_address.to_string(), session));
    }
    lines
}

/// What decides about a session's routes.
fn session_lines(peer: &str, session: &Session) -> impl Iterator<Item = String> {
    let restart = if session.restart > 0 { "graceful-restart-helper" } else { "graceful-restart-disable" };
    let flags = [
        (true, restart),
        (session.as_override, "as-override"),
        (session.keep_next_hop, "route-server-client"),
        (session.next_hop_self, "next-hop-self"),
        (session.route_reflector_client, "route-reflector-client"),
        (session.password.is_some(), "password"),
    ];
    let flags = flags.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned());
    let numbers = [
        format!("timers {} {}", session.keepalive, session.hold),
        format!("maximum-prefix {}", session.maximum_prefix),
    ];
    flags.chain(numbers).map(move |words| format!("neighbor {peer} {words}"))
}

fn rule_of(plan: &RouterPlan, rule: &RouteRule) -> Rule {
    let mut lines = BTreeSet::new();
    if let Some(name) = &rule.prefix_list {
        let v6 = plan.prefix_lists.iter().any(|list| list.name == *name && list.v6);
        lines.insert(format!("match {} address prefix-list {name}", keyword(v6)));
    }
    lines.extend(rule.as_path.as_ref().map(|name| format!("match as-path {name}")));
    lines.extend(rule.set.local_pref.map(|value| format!("set local-preference {value}")));
    lines.extend(rule.set.med.map(|value| format!("set metric {value}")));
    Rule { permit: rule.permit, lines }
}
