//! View of `bird.conf`, BIRD 2.0.12 or newer: the same sessions and the same policy as `frr.conf`, in BIRD's words.
//!
//! What differs from FRR, and what the prediction of routes must know:
//! - no ECMP: of equal routes the one of the lowest router id alone is installed;
//! - no as-override: the export filter takes the peer's AS out of the path and puts the router's in, so a node sees
//!   `[router, router]`, as from FRR, whatever number of times its AS stood there;
//! - a route is never sent back to where it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::bundle::Encoding;
use kmh_doc::network::{
    Listen, PathRule, PeerKind, PrefixList, PrefixRule, RouteMap, RouteRule, RouteSet, Session,
};
use serde::Serialize;

use crate::fault::Fault;
use crate::safe::{name, remark, word};
use crate::shared::{RouterTarget, commas};
use crate::view::{Slots, View};

#[derive(Serialize)]
struct Bird<'a> {
    netns: &'a str,
    router_id: String,
    asn: u32,
    multipath: bool,
    bfd: bool,
    families: Vec<Family>,
    prefix_sets: Vec<Set<'a>>,
    filters: Vec<Filter>,
    sessions: Vec<Peer>,
}

#[derive(Serialize)]
struct Family {
    channel: &'static str,
    suffix: &'static str,
    /// A prefix set, or nothing.
    originate: String,
    unreachable: Vec<Cidr>,
}

#[derive(Serialize)]
struct Set<'a> {
    name: &'a str,
    rules: Vec<String>,
}

#[derive(Serialize)]
struct Filter {
    name: String,
    export: bool,
    /// The AS that is replaced by the router's own.
    r#override: Option<u32>,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    permit: bool,
    description: String,
    /// `if … then `, or nothing.
    condition: String,
    sets: Vec<String>,
}

/// A neighbour, or the template of those that call out of a range.
#[derive(Serialize)]
struct Peer {
    name: String,
    description: String,
    local_address: IpAddr,
    address: IpAddr,
    range: Option<Cidr>,
    remote: String,
    channel: &'static str,
    password: Option<String>,
    keepalive: u16,
    hold: u16,
    bfd: Option<u16>,
    restart: bool,
    import: String,
    export: String,
    keep_next_hop: bool,
    next_hop_self: bool,
    route_reflector_client: bool,
    all_paths: bool,
    maximum_prefix: u32,
}

/// A family's words: whether it is IPv6, its channel, the end of names.
const FAMILIES: [(bool, &str, &str); 2] = [(false, "ipv4", "v4"), (true, "ipv6", "v6")];

fn channel(v6: bool) -> &'static str {
    FAMILIES[usize::from(v6)].1
}

/// `bird.conf`.
pub(crate) fn bird(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let plan = t.plan;
    let mut slots = Slots::default();
    let mut password = |key: &str| Ok(slots.put(t.shared.pki.secret(key)?, Encoding::Raw));
    let mut sessions = Vec::new();
    for listen in &plan.listen {
        sessions.push(group(listen, &mut password)?);
    }
    for session in plan.sessions.iter().filter(|session| !session.dynamic) {
        sessions.push(peer(session, &mut password)?);
    }
    let of = |nets: &[Cidr], v6: bool| -> Vec<Cidr> {
        nets.iter().copied().filter(|net| net.is_v6() == v6).collect()
    };
    let families = FAMILIES.into_iter().map(|(v6, channel, suffix)| {
        let originate = of(&plan.originate, v6);
        let family = Family {
            channel,
            suffix,
            originate: if originate.is_empty() {
                String::new()
            } else {
                format!("[ {} ]", commas(originate))
            },
            unreachable: of(&plan.unreachable, v6),
        };
        (family, sessions.iter().any(|session| session.channel == channel))
    });
    let families = families
        .filter(|(family, peers)| *peers || !family.originate.is_empty() || !family.unreachable.is_empty())
        .map(|(family, _)| family)
        .collect();
    Ok(View::with(
        Bird {
            netns: t.router.netns.as_ref().map_or("", |netns| netns.as_str()),
            router_id: plan.router_id.to_string(),
            asn: plan.asn.get(),
            multipath: plan.multipath,
            bfd: sessions.iter().any(|session| session.bfd.is_some()),
            families,
            prefix_sets: plan.prefix_lists.iter().map(set).collect::<Result<_, _>>()?,
            filters: filters(t)?,
            sessions,
        },
        slots,
    ))
}

/// The name of a session's filter: its route map's, and with what it does to paths.
fn export_name(session: &Session) -> Result<String, Fault> {
    let map = name(&session.export)?;
    Ok(if session.as_override { format!("{map}-not-{}", session.peer_asn) } else { map.to_owned() })
}

/// One filter for each route map and each way in which sessions use it.
fn filters(t: &RouterTarget<'_>) -> Result<Vec<Filter>, Fault> {
    let plan = t.plan;
    let maps: BTreeMap<&str, &RouteMap> =
        plan.route_maps.iter().map(|map| (map.name.as_str(), map)).collect();
    let mut wanted = BTreeSet::new();
    for session in plan.sessions.iter().chain(plan.listen.iter().map(|listen| &listen.like)) {
        wanted.insert((name(&session.import)?.to_owned(), session.import.as_str(), false, None));
        let replaced = session.as_override.then(|| session.peer_asn.get());
        wanted.insert((export_name(session)?, session.export.as_str(), true, replaced));
    }
    let mut filters: Vec<Filter> = Vec::new();
    for (name, map, export, replaced) in wanted {
        let map = maps.get(map).ok_or_else(|| {
            Fault::new(format!("a session refers to the route map `{map}`, which there is not"))
        })?;
        if filters.iter().any(|filter| filter.name == name) {
            return Err(Fault::new(format!("the route map `{name}` is used for what is received and sent")));
        }
        let rules = map.rules.iter().map(|one| rule(t, map, one)).collect::<Result<_, _>>()?;
        filters.push(Filter { name, export, r#override: replaced, rules });
    }
    Ok(filters)
}

fn rule(t: &RouterTarget<'_>, map: &RouteMap, rule: &RouteRule) -> Result<Rule, Fault> {
    let lacks = |kind: &str, wanted: &str| {
        Fault::new(format!("route map `{}` refers to the {kind} `{wanted}`, which there is not", map.name))
    };
    let mut conditions = Vec::new();
    if let Some(wanted) = &rule.prefix_list {
        if !t.plan.prefix_lists.iter().any(|list| list.name == *wanted) {
            return Err(lacks("prefix list", wanted));
        }
        conditions.push(format!("net ~ '{}'", name(wanted)?));
    }
    if let Some(wanted) = &rule.as_path {
        let list = t.plan.as_paths.iter().find(|list| list.name == *wanted);
        conditions.push(path(list.ok_or_else(|| lacks("AS-path list", wanted))?.permit));
    }
    let condition = match conditions.as_slice() {
        [] => String::new(),
        all => format!("if {} then ", all.join(" && ")),
    };
    Ok(Rule { permit: rule.permit, description: remark(&rule.description), condition, sets: sets(&rule.set) })
}

/// A rule about paths as BIRD's condition.
fn path(rule: PathRule) -> String {
    match rule {
        PathRule::Only(asn) => format!("bgp_path ~ [= {asn}+ =]"),
        PathRule::Empty => "bgp_path.len = 0".to_owned(),
        PathRule::Single => "bgp_path ~ [= ? =]".to_owned(),
    }
}

fn sets(set: &RouteSet) -> Vec<String> {
    let local_pref = set.local_pref.map(|value| format!("bgp_local_pref = {value}"));
    let med = set.med.map(|value| format!("bgp_med = {value}"));
    local_pref.into_iter().chain(med).collect()
}

fn set(list: &PrefixList) -> Result<Set<'_>, Fault> {
    Ok(Set { name: name(&list.name)?, rules: list.permit.iter().map(pattern).collect() })
}

/// A prefix as FRR's `ge` and `le` mean it: from, to; alone, to the longest; exactly, without either.
fn pattern(rule: &PrefixRule) -> String {
    let net = rule.prefix.net();
    match (rule.ge, rule.le) {
        (None, None) => rule.prefix.to_string(),
        (ge, le) => {
            let from = ge.unwrap_or_else(|| net.prefix_len());
            let to = le.unwrap_or_else(|| net.max_prefix_len());
            format!("{}{{{from},{to}}}", rule.prefix)
        }
    }
}

/// The name of a protocol, by its address: unique, short enough for BIRD's 64 characters, no reserved word.
fn protocol(with: PeerKind, address: IpAddr) -> String {
    let kind = match with {
        PeerKind::Node => "node",
        PeerKind::Router => "router",
        PeerKind::Sibling => "sibling",
    };
    format!("{kind}_{}", address.to_string().replace(['.', ':'], "_"))
}

fn group(listen: &Listen, password: &mut impl FnMut(&str) -> Result<String, Fault>) -> Result<Peer, Fault> {
    let suffix = match listen.range.net() {
        IpNet::V4(_) => "v4",
        IpNet::V6(_) => "v6",
    };
    Ok(Peer {
        name: format!("nodes_{suffix}"),
        description: "whoever calls from the node segment".to_owned(),
        range: Some(listen.range),
        remote: listen.peer_asn.map_or_else(|| "external".to_owned(), |asn| format!("as {asn}")),
        ..peer(&listen.like, password)?
    })
}

fn peer(session: &Session, password: &mut impl FnMut(&str) -> Result<String, Fault>) -> Result<Peer, Fault> {
    let described = match &session.tunnel {
        Some(tunnel) => format!("{} by {}", session.peer, word(tunnel)?),
        None => session.peer.clone(),
    };
    Ok(Peer {
        name: protocol(session.with, session.peer_address),
        description: remark(&described),
        local_address: session.local_address,
        address: session.peer_address,
        range: None,
        remote: format!("as {}", session.peer_asn),
        channel: channel(session.peer_address.is_ipv6()),
        password: session.password.as_deref().map(password).transpose()?,
        keepalive: session.keepalive,
        hold: session.hold,
        bfd: session.bfd_ms,
        restart: session.restart > 0,
        import: name(&session.import)?.to_owned(),
        export: export_name(session)?,
        keep_next_hop: session.keep_next_hop,
        next_hop_self: session.next_hop_self,
        route_reflector_client: session.route_reflector_client,
        all_paths: session.with == PeerKind::Node,
        maximum_prefix: session.maximum_prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_mean_what_they_mean_to_frr() {
        let rule = |prefix: &str, ge, le| pattern(&PrefixRule { prefix: prefix.parse().unwrap(), ge, le });
        assert_eq!(rule("10.0.0.0/8", None, None), "10.0.0.0/8");
        assert_eq!(rule("10.0.0.0/8", Some(26), Some(32)), "10.0.0.0/8{26,32}");
        assert_eq!(rule("10.0.0.0/8", Some(26), None), "10.0.0.0/8{26,32}");
        assert_eq!(rule("fd00::/48", None, Some(64)), "fd00::/48{48,64}");
        assert_eq!(rule("fd00::/48", Some(122), None), "fd00::/48{122,128}");
    }

    #[test]
    fn names_are_symbols_and_unique() {
        assert_eq!(protocol(PeerKind::Node, "10.0.0.11".parse().unwrap()), "node_10_0_0_11");
        assert_eq!(protocol(PeerKind::Router, "fd00:1::2".parse().unwrap()), "router_fd00_1__2");
    }
}
