//! View of `frr.conf`, the same on Linux and inside pfSense's settings, but for passwords.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::bundle::Encoding;
use kmh_doc::network::{Listen, PrefixList, RouteMap, RouteSet, Session};
use serde::Serialize;

use crate::fault::Fault;
use crate::safe::{name, remark};
use crate::shared::RouterTarget;
use crate::view::{Slots, View};

/// The most that FRR 8.4 takes for `bgp listen limit`.
const LISTEN_AT_MOST: u32 = 5000;

/// Stands for a password where FreeBSD runs FRR: there FRR only switches signatures on for the socket, and the kernel
/// takes the key from its own security associations (FRR, `sockopt_tcp_signature_ext`; tcp(4)).
const BY_SETKEY: &str = "by-setkey";

#[derive(Serialize)]
struct Frr<'a> {
    name: &'a str,
    asn: u32,
    router_id: String,
    multipath: bool,
    bfd: BTreeSet<u16>,
    /// Whether any range is listened on.
    listen: bool,
    listen_limit: u32,
    /// Whether graceful restart is off for everybody who is not named.
    restart_off: bool,
    peers: Vec<Peer<'a>>,
    families: Vec<Family<'a>>,
    unreachable: Vec<Unreachable>,
    prefix_lists: Vec<List<'a>>,
    as_paths: Vec<AsPath<'a>>,
    route_maps: Vec<Map<'a>>,
}

/// A neighbour, or the group of those that call out of a range.
#[derive(Clone, Serialize)]
struct Peer<'a> {
    id: String,
    range: Option<Cidr>,
    description: String,
    local_address: IpAddr,
    asn: String,
    password: Option<String>,
    keepalive: u16,
    hold: u16,
    bfd: Option<u16>,
    restart: bool,
    import: &'a str,
    export: &'a str,
    as_override: bool,
    keep_next_hop: bool,
    next_hop_self: bool,
    route_reflector_client: bool,
    maximum_prefix: u32,
}

#[derive(Serialize)]
struct Family<'a> {
    name: &'static str,
    originate: Vec<Cidr>,
    peers: Vec<Peer<'a>>,
}

#[derive(Serialize)]
struct Unreachable {
    keyword: &'static str,
    prefix: Cidr,
}

#[derive(Serialize)]
struct List<'a> {
    keyword: &'static str,
    name: &'a str,
    rules: Vec<String>,
}

#[derive(Serialize)]
struct AsPath<'a> {
    name: &'a str,
    permit: String,
}

#[derive(Serialize)]
struct Map<'a> {
    name: &'a str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    sequence: usize,
    action: &'static str,
    description: String,
    matches: Vec<String>,
    sets: Vec<String>,
}

fn ip(v6: bool) -> &'static str {
    if v6 { "ipv6" } else { "ip" }
}

/// `frr.conf` of a Linux router: the kernel is given passwords by FRR, so the file holds them.
pub(crate) fn linux(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let mut slots = Slots::default();
    let frr = frr(t, |key| Ok(slots.put(t.shared.pki.secret(key)?, Encoding::Raw)))?;
    Ok(View::with(frr, slots))
}

/// `frr.conf` of a pfSense router: its settings hold the passwords.
pub(crate) fn pfsense(t: &RouterTarget<'_>) -> Result<View, Fault> {
    Ok(View::of(frr(t, |_| Ok(BY_SETKEY.to_owned()))?))
}

/// `password` gives what stands for the key of that name.
fn frr<'a>(
    t: &RouterTarget<'a>,
    mut password: impl FnMut(&str) -> Result<String, Fault>,
) -> Result<Frr<'a>, Fault> {
    let plan = t.plan;
    let lists: BTreeMap<&str, &PrefixList> =
        plan.prefix_lists.iter().map(|list| (list.name.as_str(), list)).collect();
    let mut peers = Vec::new();
    for listen in &plan.listen {
        peers.push(group(listen, &mut password)?);
    }
    for session in plan.sessions.iter().filter(|session| !session.dynamic) {
        peers.push(neighbor(session, &mut password)?);
    }
    let family = |title, v6| Family {
        name: title,
        originate: plan.originate.iter().copied().filter(|net| net.is_v6() == v6).collect(),
        peers: peers.iter().filter(|peer| peer.local_address.is_ipv6() == v6).cloned().collect(),
    };
    let mut families = vec![family("ipv4", false), family("ipv6", true)];
    families.retain(|family| !family.originate.is_empty() || !family.peers.is_empty());
    Ok(Frr {
        name: t.router.name.as_str(),
        asn: plan.asn.get(),
        router_id: plan.router_id.to_string(),
        multipath: plan.multipath,
        bfd: plan.sessions.iter().filter_map(|session| session.bfd_ms).collect(),
        listen: !plan.listen.is_empty(),
        listen_limit: listen_limit(plan.listen.iter().map(|listen| listen.range.net())),
        restart_off: plan.listen.iter().any(|listen| listen.like.restart == 0),
        peers,
        families,
        unreachable: plan
            .unreachable
            .iter()
            .map(|net| Unreachable { keyword: ip(net.is_v6()), prefix: *net })
            .collect(),
        prefix_lists: plan.prefix_lists.iter().map(list).collect::<Result<_, _>>()?,
        as_paths: plan
            .as_paths
            .iter()
            .map(|path| Ok(AsPath { name: name(&path.name)?, permit: path.permit.to_string() }))
            .collect::<Result<_, Fault>>()?,
        route_maps: plan.route_maps.iter().map(|map| route_map(map, &lists)).collect::<Result<_, _>>()?,
    })
}

/// As many as there are addresses, so that it changes with the segment only.
fn listen_limit(ranges: impl Iterator<Item = IpNet>) -> u32 {
    let addresses = |net: IpNet| {
        1_u32.checked_shl((net.max_prefix_len() - net.prefix_len()).into()).unwrap_or(LISTEN_AT_MOST)
    };
    ranges.map(addresses).fold(0, u32::saturating_add).clamp(1, LISTEN_AT_MOST)
}

/// Name of the group for a family.
pub(crate) fn group_name(range: IpNet) -> &'static str {
    match range {
        IpNet::V4(_) => "nodes-v4",
        IpNet::V6(_) => "nodes-v6",
    }
}

fn group<'a>(
    listen: &'a Listen,
    password: &mut impl FnMut(&str) -> Result<String, Fault>,
) -> Result<Peer<'a>, Fault> {
    Ok(Peer {
        id: group_name(listen.range.net()).to_owned(),
        range: Some(listen.range),
        description: "whoever calls from the node segment".to_owned(),
        asn: listen.peer_asn.map_or_else(|| "external".to_owned(), |asn| asn.to_string()),
        ..neighbor(&listen.like, password)?
    })
}

fn neighbor<'a>(
    session: &'a Session,
    password: &mut impl FnMut(&str) -> Result<String, Fault>,
) -> Result<Peer<'a>, Fault> {
    let described = match &session.tunnel {
        Some(tunnel) => format!("{} by {tunnel}", session.peer),
        None => session.peer.clone(),
    };
    Ok(Peer {
        id: session.peer_address.to_string(),
        range: None,
        description: remark(&described),
        local_address: session.local_address,
        asn: session.peer_asn.to_string(),
        password: session.password.as_deref().map(password).transpose()?,
        keepalive: session.keepalive,
        hold: session.hold,
        bfd: session.bfd_ms,
        restart: session.restart > 0,
        import: name(&session.import)?,
        export: name(&session.export)?,
        as_override: session.as_override,
        keep_next_hop: session.keep_next_hop,
        next_hop_self: session.next_hop_self,
        route_reflector_client: session.route_reflector_client,
        maximum_prefix: session.maximum_prefix,
    })
}

fn list(list: &PrefixList) -> Result<List<'_>, Fault> {
    let rules = list.permit.iter().map(|rule| {
        let ge = rule.ge.map(|ge| format!(" ge {ge}")).unwrap_or_default();
        let le = rule.le.map(|le| format!(" le {le}")).unwrap_or_default();
        format!("{}{ge}{le}", rule.prefix)
    });
    Ok(List { keyword: ip(list.v6), name: name(&list.name)?, rules: rules.collect() })
}

fn route_map<'a>(map: &'a RouteMap, lists: &BTreeMap<&str, &PrefixList>) -> Result<Map<'a>, Fault> {
    let rules = map.rules.iter().enumerate().map(|(number, rule)| {
        let mut matches = Vec::new();
        if let Some(wanted) = &rule.prefix_list {
            let list = lists.get(wanted.as_str()).ok_or_else(|| {
                Fault::new(format!(
                    "route map `{}` refers to the prefix list `{wanted}`, which there is not",
                    map.name
                ))
            })?;
            matches.push(format!("{} address prefix-list {}", ip(list.v6), name(wanted)?));
        }
        if let Some(wanted) = &rule.as_path {
            matches.push(format!("as-path {}", name(wanted)?));
        }
        Ok(Rule {
            sequence: (number + 1) * 10,
            action: if rule.permit { "permit" } else { "deny" },
            description: remark(&rule.description),
            matches,
            sets: sets(&rule.set),
        })
    });
    Ok(Map { name: name(&map.name)?, rules: rules.collect::<Result<_, Fault>>()? })
}

fn sets(set: &RouteSet) -> Vec<String> {
    let local_pref = set.local_pref.map(|value| format!("local-preference {value}"));
    let med = set.med.map(|value| format!("metric {value}"));
    local_pref.into_iter().chain(med).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lets_as_many_in_as_it_has_addresses() {
        let nets = |nets: &[&str]| listen_limit(nets.iter().map(|net| net.parse().unwrap()));
        assert_eq!(nets(&["10.0.0.0/24"]), 256);
        assert_eq!(nets(&["10.0.0.0/24", "fd00::/64"]), LISTEN_AT_MOST);
    }
}
