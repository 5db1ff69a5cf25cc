//! The routers' `bird.conf` against the network document: what BIRD is told means what the plan says.
//!
//! Names are not compared but followed: a session leads to its two filters, a filter to its prefix sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kmh_doc::Cidr;
use kmh_doc::inventory::BgpDaemon;
use kmh_doc::network::{NetworkSpec, PathRule, PrefixRule, RouteMap, RouteRule, RouterPlan, Session};

use crate::bundle::RENDER;
use crate::bundle::files::place;
use crate::bundle::view::Bundle;
use crate::findings::Findings;
use crate::parse::bird::{Statement, read, words};

/// `network.bird`: the router's `bird.conf` has every session, filter and unreachable route of the plan, and no other.
pub(crate) fn bird(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for plan in network.routers.iter().filter(|plan| plan.daemon == BgpDaemon::Bird) {
        if !out.look_at(&plan.name) {
            continue;
        }
        let Some(view) = bundle.machine(&plan.name) else {
            out.critical(&plan.name, "the bundle does not have this router", RENDER);
            continue;
        };
        let confs: Vec<_> = view.files.iter().filter(|(path, _)| path.ends_with("/bird.conf")).collect();
        let [(path, text)] = confs.as_slice() else {
            let message = format!("it has {} files named bird.conf instead of one", confs.len());
            out.critical(&plan.name, message, RENDER);
            continue;
        };
        let subject = place(&plan.name, path);
        let Some(statements) = read(&text.text) else {
            out.critical(&subject, "it is not well formed", RENDER);
            continue;
        };
        let conf = BirdConf::of(&statements);
        tables(&subject, plan, &conf, out);
        sessions(&subject, plan, &conf, out);
    }
}

/// What a `bird.conf` says.
#[derive(Default)]
struct BirdConf<'a> {
    /// Statements without a block.
    plain: BTreeSet<String>,
    /// Prefix sets: the words of each element.
    sets: BTreeMap<&'a str, BTreeSet<String>>,
    /// Filters: what each says, in order.
    filters: BTreeMap<&'a str, Vec<String>>,
    /// Protocols: kind, and what each says.
    protocols: Vec<(&'a str, &'a [Statement<'a>])>,
}

impl<'a> BirdConf<'a> {
    fn of(statements: &'a [Statement<'a>]) -> Self {
        let mut conf = Self::default();
        for statement in statements {
            match (statement.words.as_slice(), statement.block.as_deref()) {
                (["protocol", kind, ..], Some(block)) => conf.protocols.push((kind, block)),
                (["filter", name], Some(block)) => {
                    let lines = block.iter().map(Statement::whole).collect();
                    conf.filters.insert(Statement::name(name), lines);
                }
                (["define", name, "=", "[", elements @ .., "]"], None) => {
                    let elements = elements.split(|word| *word == ",").map(|words| words.join(" "));
                    conf.sets.insert(Statement::name(name), elements.collect());
                }
                _ => {
                    conf.plain.insert(statement.whole());
                }
            }
        }
        conf
    }

    fn of_kind<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'a [Statement<'a>]> + 's {
        self.protocols.iter().filter(move |(is, _)| *is == kind).map(|(_, block)| *block)
    }
}

/// A family's channel.
fn channel(v6: bool) -> &'static str {
    if v6 { "ipv6" } else { "ipv4" }
}

/// All statements of a block, those in its blocks as `outer: inner`.
fn lines(block: &[Statement<'_>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for statement in block {
        match &statement.block {
            None => {
                found.insert(statement.text());
            }
            Some(inside) => {
                let outer = statement.text();
                found.extend(
                    inside.iter().map(|inner| format!("{outer}: {}", inner.whole().trim_end_matches(';'))),
                );
            }
        }
    }
    found
}

/// The router id, its own segments, unreachable routes, and what the kernel gets.
fn tables(subject: &str, plan: &RouterPlan, conf: &BirdConf<'_>, out: &mut Findings<'_>) {
    let router_id = format!("router id {};", plan.router_id);
    if !conf.plain.contains(&router_id) {
        out.critical(subject, format!("it lacks `{router_id}`"), RENDER);
    }
    let (mut direct, mut fixed, mut kernel) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    conf.of_kind("direct").for_each(|block| direct.extend(lines(block)));
    conf.of_kind("static").for_each(|block| fixed.extend(lines(block)));
    conf.of_kind("kernel").for_each(|block| kernel.extend(lines(block)));
    for v6 in [false, true] {
        let (channel, of) = (channel(v6), |net: &&Cidr| net.is_v6() == v6);
        let own: Vec<String> = plan.originate.iter().filter(of).map(ToString::to_string).collect();
        if !own.is_empty() {
            let must = words(&format!("import where net ~ [ {} ]", own.join(", ")));
            if !direct.contains(&format!("{channel}: {must}")) {
                out.critical(subject, format!("it does not announce {}", own.join(", ")), RENDER);
            }
        }
        if plan.unreachable.iter().any(|net| net.is_v6() == v6)
            && !fixed.contains(&format!("{channel}: preference 1"))
        {
            let message =
                format!("its {channel} unreachable routes are not the last choice: they lack `preference 1`");
            out.critical(subject, message, RENDER);
        }
        let must = format!("{channel}: export where source = RTS_BGP || source = RTS_STATIC");
        let used = plan.originate.iter().chain(&plan.unreachable).any(|net| net.is_v6() == v6);
        if used && !kernel.contains(&must) {
            out.critical(subject, format!("its {channel} routes do not all go to the kernel"), RENDER);
        }
    }
    let must: BTreeSet<String> =
        plan.unreachable.iter().map(|net| format!("route {net} unreachable")).collect();
    let is: BTreeSet<String> = fixed.into_iter().filter(|line| line.starts_with("route ")).collect();
    for line in must.difference(&is) {
        out.critical(subject, format!("it lacks `{line}`"), RENDER);
    }
    for line in is.difference(&must) {
        out.critical(subject, format!("it says `{line}`, and the plan does not"), RENDER);
    }
}

/// What a session's block may say beside what the plan decides.
const INCIDENTAL: &[&str] =
    &["description ", "dynamic name ", "connect delay time ", "connect retry time ", "error wait time "];

fn sessions(subject: &str, plan: &RouterPlan, conf: &BirdConf<'_>, out: &mut Findings<'_>) {
    let mut peers: BTreeMap<String, &[Statement<'_>]> = BTreeMap::new();
    for block in conf.of_kind("bgp") {
        let neighbor = block.iter().find(|statement| statement.words.first() == Some(&"neighbor"));
        let id = neighbor.map(|statement| match statement.words.as_slice() {
            ["neighbor", "range", id, ..] | ["neighbor", id, ..] => (*id).to_owned(),
            _ => String::new(),
        });
        peers.insert(id.unwrap_or_default(), block);
    }
    let ranges = plan.listen.iter().map(|listen| {
        let remote = listen.peer_asn.map_or_else(|| "external".to_owned(), |asn| format!("as {asn}"));
        (listen.range.to_string(), format!("neighbor range {} {remote}", listen.range), &listen.like)
    });
    let called = plan.sessions.iter().filter(|session| !session.dynamic).map(|session| {
        let (address, asn) = (session.peer_address, session.peer_asn);
        (address.to_string(), format!("neighbor {address} as {asn}"), session)
    });
    let mut used = BTreeSet::new();
    for (id, neighbor, session) in ranges.chain(called) {
        let Some(block) = peers.remove(&id) else {
            out.critical(subject, format!("it has no neighbour {id} (`{}`)", session.peer), RENDER);
            continue;
        };
        let mut is = lines(block);
        is.retain(|line| !INCIDENTAL.iter().any(|word| line.starts_with(word)));
        for (way, map) in [("import", &session.import), ("export", &session.export)] {
            let begin = format!("{}: {way} filter ", channel(session.peer_address.is_ipv6()));
            let line = is.iter().find(|line| line.starts_with(&begin)).cloned();
            let name = line.as_deref().map(|line| Statement::name(&line[begin.len()..]));
            let filter = name.and_then(|name| conf.filters.get_key_value(name));
            let map = plan.route_maps.iter().find(|one| one.name == *map);
            match (filter, map) {
                // RFC 8212: without a policy an eBGP session exchanges nothing, and BIRD takes in everything.
                (None, _) => out.critical(subject, format!("its neighbour {id} has no {way} filter"), RENDER),
                (_, None) => {} // the plan itself is wrong: `network.filters` says so
                (Some((name, is)), Some(map)) => {
                    used.insert(*name);
                    if *is != filter_of(plan, map, session, way == "export") {
                        let message =
                            format!("its filter `{name}` has other rules than the plan's `{}`", map.name);
                        out.critical(subject, message, RENDER);
                    }
                }
            }
            if let Some(line) = line {
                is.remove(&line);
            }
        }
        let must = session_lines(plan, session, neighbor);
        let is: BTreeSet<String> = is
            .into_iter()
            .map(|line| if line.starts_with("password ") { "password".to_owned() } else { line })
            .collect();
        for line in must.difference(&is) {
            out.critical(subject, format!("its neighbour {id} lacks `{line}`"), RENDER);
        }
        for line in is.difference(&must) {
            out.critical(subject, format!("its neighbour {id} says `{line}`, and the plan does not"), RENDER);
        }
    }
    for id in peers.keys() {
        out.critical(subject, format!("its neighbour {id} is not in the plan"), RENDER);
    }
    for name in conf.filters.keys().filter(|name| !used.contains(*name)) {
        out.warning(subject, format!("the filter `{name}` is defined but not used"), RENDER);
    }
    for list in &plan.prefix_lists {
        let must: BTreeSet<String> = list.permit.iter().map(pattern).collect();
        if conf.sets.get(list.name.as_str()) != Some(&must) {
            let message = format!("its prefix set `{}` is not the plan's prefix list", list.name);
            out.critical(subject, message, RENDER);
        }
    }
}

/// What decides about a session and its routes, filters aside.
fn session_lines(plan: &RouterPlan, session: &Session, neighbor: String) -> BTreeSet<String> {
    let mut lines = BTreeSet::from([
        format!("local {} as {}", session.local_address, plan.asn),
        neighbor,
        "direct".to_owned(),
        format!("hold time {}", session.hold),
        format!("keepalive time {}", session.keepalive),
        format!("graceful restart {}", if session.restart > 0 { "aware" } else { "off" }),
        // The order of lines must not depend on what was learned between them.
        "deterministic med on".to_owned(),
    ]);
    let flags = [
        (session.password.is_some(), "password"),
        (session.route_reflector_client, "rr client"),
        (session.keep_next_hop, "rs client"),
    ];
    lines.extend(flags.iter().filter(|(is, _)| *is).map(|(_, words)| (*words).to_owned()));
    if let Some(ms) = session.bfd_ms {
        lines.extend([format!("bfd: interval {ms} ms"), "bfd: multiplier 3".to_owned()]);
    }
    let channel = channel(session.peer_address.is_ipv6());
    let limit = format!("import limit {} action disable", session.maximum_prefix);
    let mut inside = vec!["import keep filtered on", &limit, "gateway direct"];
    if session.next_hop_self {
        inside.push("next hop self ebgp");
    }
    lines.extend(inside.iter().map(|words| format!("{channel}: {words}")));
    lines
}

/// A route map in BIRD's words: the first rule that fits decides, and what fits none is refused.
fn filter_of(plan: &RouterPlan, map: &RouteMap, session: &Session, export: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if export {
        lines.push("if source = RTS_STATIC then reject;".to_owned());
    }
    let replaced = (export && session.as_override).then_some(session.peer_asn);
    lines.extend(map.rules.iter().map(|rule| {
        let mut actions = String::new();
        if let Some(value) = rule.set.local_pref {
            let _ = write!(actions, " bgp_local_pref = {value};");
        }
        if let Some(value) = rule.set.med {
            let _ = write!(actions, " bgp_med = {value};");
        }
        if let Some(asn) = replaced {
            let _ = write!(
                actions,
                " if bgp_path ~ [ = * {asn} * = ] then {{ bgp_path.delete ( {asn} ); bgp_path.prepend ( {} ); }}",
                plan.asn
            );
        }
        let action = match (rule.permit, actions.as_str()) {
            (false, _) => "reject;".to_owned(),
            (true, "") => "accept;".to_owned(),
            (true, actions) => format!("{{{actions} accept; }}"),
        };
        format!("{}{action}", condition(plan, rule))
    }));
    lines.push("reject;".to_owned());
    lines
}

fn condition(plan: &RouterPlan, rule: &RouteRule) -> String {
    let list = rule.prefix_list.as_ref().map(|name| format!("net ~ '{name}'"));
    let path = rule.as_path.as_ref().map(|name| {
        let permit = plan.as_paths.iter().find(|list| list.name == *name).map(|list| list.permit);
        match permit {
            Some(PathRule::Only(asn)) => format!("bgp_path ~ [ = {asn}+ = ]"),
            Some(PathRule::Empty) => "bgp_path.len = 0".to_owned(),
            Some(PathRule::Single) => "bgp_path ~ [ = ? = ]".to_owned(),
            None => "false".to_owned(),
        }
    });
    let all: Vec<String> = list.into_iter().chain(path).collect();
    if all.is_empty() { String::new() } else { format!("if {} then ", all.join(" && ")) }
}

/// A prefix with FRR's `ge` and `le` as BIRD writes it.
fn pattern(rule: &PrefixRule) -> String {
    let net = rule.prefix.net();
    if rule.ge.is_none() && rule.le.is_none() {
        return rule.prefix.to_string();
    }
    let (from, to) = (rule.ge.unwrap_or(net.prefix_len()), rule.le.unwrap_or(net.max_prefix_len()));
    format!("{}{{{from},{to}}}", rule.prefix)
}
