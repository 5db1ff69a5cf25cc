//! View of `frr.conf`, the same on Linux and inside pfSense's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kmh_doc::Cidr;
use kmh_doc::network::{PrefixList, RouteMap, Session};
use serde::Serialize;

use crate::fault::Fault;
use crate::safe::{name, remark};
use crate::shared::RouterTarget;
use crate::view::View;

#[derive(Serialize)]
struct Frr<'a> {
    name: &'a str,
    asn: u32,
    router_id: String,
    bfd: BTreeSet<u16>,
    sessions: Vec<Peer<'a>>,
    families: Vec<Family<'a>>,
    unreachable: Vec<Unreachable>,
    prefix_lists: Vec<List<'a>>,
    as_paths: Vec<AsPath<'a>>,
    route_maps: Vec<Map<'a>>,
}

#[derive(Serialize)]
struct Peer<'a> {
    address: IpAddr,
    description: String,
    local_address: IpAddr,
    asn: u32,
    keepalive: u16,
    hold: u16,
    bfd: Option<u16>,
    import: &'a str,
    export: &'a str,
    as_override: bool,
    keep_next_hop: bool,
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
}

fn ip(v6: bool) -> &'static str {
    if v6 { "ipv6" } else { "ip" }
}

/// `frr.conf`.
pub(crate) fn frr(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let plan = t.plan;
    let lists: BTreeMap<&str, &PrefixList> =
        plan.prefix_lists.iter().map(|list| (list.name.as_str(), list)).collect();
    let family = |title, v6| -> Result<Family<'_>, Fault> {
        Ok(Family {
            name: title,
            originate: plan.originate.iter().copied().filter(|net| net.is_v6() == v6).collect(),
            peers: peers(plan.sessions.iter().filter(|session| session.peer_address.is_ipv6() == v6))?,
        })
    };
    let mut families = vec![family("ipv4", false)?, family("ipv6", true)?];
    families.retain(|family| !family.originate.is_empty() || !family.peers.is_empty());
    Ok(View::of(Frr {
        name: t.router.name.as_str(),
        asn: plan.asn.get(),
        router_id: plan.router_id.to_string(),
        bfd: plan.sessions.iter().filter_map(|session| session.bfd_ms).collect(),
        sessions: peers(plan.sessions.iter())?,
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
    }))
}

fn peers<'a>(sessions: impl Iterator<Item = &'a Session>) -> Result<Vec<Peer<'a>>, Fault> {
    sessions
        .map(|session| {
            Ok(Peer {
                address: session.peer_address,
                description: remark(&session.peer),
                local_address: session.local_address,
                asn: session.peer_asn.get(),
                keepalive: session.keepalive,
                hold: session.hold,
                bfd: session.bfd_ms,
                import: name(&session.import)?,
                export: name(&session.export)?,
                as_override: session.as_override,
                keep_next_hop: session.keep_next_hop,
                maximum_prefix: session.maximum_prefix,
            })
        })
        .collect()
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
        })
    });
    Ok(Map { name: name(&map.name)?, rules: rules.collect::<Result<_, Fault>>()? })
}
