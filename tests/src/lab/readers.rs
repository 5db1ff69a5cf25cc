//! What FRR, BIRD and the kernel say, in the normal form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::Lab;
use super::tables::{Rank, Seen, Way};

/// Address families, as FRR names them.
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

fn numbers(path: &str) -> Vec<u32> {
    path.split_whitespace().map(|word| word.parse().expect("an AS number")).collect()
}

fn number(value: &Value, otherwise: u32) -> u32 {
    value.as_u64().map_or(otherwise, |number| u32::try_from(number).expect("32 bits"))
}

/// Every peer of FRR that is established, by address.
pub fn frr_sessions(lab: &Lab, space: &str) -> BTreeSet<IpAddr> {
    let summary = json(&lab.frr(space, "bgpd", "show bgp summary json"));
    let families =
        ["ipv4Unicast", "ipv6Unicast"].into_iter().filter_map(|name| summary[name]["peers"].as_object());
    families
        .flatten()
        .filter(|(_, peer)| peer["state"] == "Established")
        .map(|(address, _)| address.parse().expect("an address"))
        .collect()
}

/// FRR's BGP tables, with what its neighbours said in vain.
pub fn frr(lab: &Lab, space: &str) -> Seen {
    let mut seen = Seen::default();
    for family in FAMILIES {
        let table = json(&lab.frr(space, "bgpd", &format!("show bgp {family} unicast json")));
        for (prefix, paths) in table["routes"].as_object().into_iter().flatten() {
            let prefix: IpNet = prefix.parse().expect("a prefix");
            for path in paths.as_array().expect("paths") {
                let peer: Option<IpAddr> = path["peerId"].as_str().and_then(|peer| peer.parse().ok());
                let own = peer.is_none_or(|peer| peer.is_unspecified());
                let way = if own { Way::own() } else { frr_way(path, peer) };
                let rank = if path["bestpath"] == true {
                    Rank::Best
                } else if path["multipath"] == true {
                    Rank::Equal
                } else {
                    Rank::Lost
                };
                seen.at(prefix).paths.insert(way, rank);
            }
        }
    }
    for peer in frr_sessions(lab, space) {
        frr_refused(lab, space, peer, &mut seen);
    }
    seen
}

fn frr_way(path: &Value, peer: Option<IpAddr>) -> Way {
    let hops = path["nexthops"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hop = hops.iter().find(|hop| hop["scope"] != "link-local").or(hops.first());
    Way {
        peer,
        as_path: numbers(path["path"].as_str().unwrap_or_default()),
        next_hop: hop.and_then(|hop| hop["ip"].as_str()?.parse().ok()),
        local_pref: number(&path["locPrf"], 100),
        med: number(&path["metric"], 0),
    }
}

/// What a neighbour said, less what was accepted from it.
fn frr_refused(lab: &Lab, space: &str, peer: IpAddr, seen: &mut Seen) {
    let family = if peer.is_ipv6() { "ipv6" } else { "ipv4" };
    let command = format!("show bgp {family} unicast neighbors {peer} received-routes json");
    let received = json(&lab.frr(space, "bgpd", &command));
    for (prefix, path) in received["receivedRoutes"].as_object().into_iter().flatten() {
        let prefix = seen.at(prefix.parse().expect("a prefix"));
        if !prefix.paths.keys().any(|way| way.peer == Some(peer)) {
            prefix.refused.insert((peer, numbers(path["path"].as_str().unwrap_or_default())));
        }
    }
}

/// BIRD's BGP protocols: name, and the neighbour's address when it is established.
fn bird_protocols(lab: &Lab, space: &str) -> BTreeMap<String, (IpAddr, bool)> {
    let text = lab.birdc(space, "show protocols all");
    let mut found = BTreeMap::new();
    let (mut current, mut up) = ("", false);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') && words.get(1).is_some_and(|kind| *kind == "BGP") {
            (current, up) = (words[0], words.last() == Some(&"Established"));
        } else if let ["Neighbor", "address:", address] = words[..] {
            let address = address.split('%').next().expect("an address");
            if let Ok(address) = address.parse() {
                found.insert(current.to_owned(), (address, up));
            }
        }
    }
    found
}

/// Every peer of BIRD that is established, by address.
pub fn bird_sessions(lab: &Lab, space: &str) -> BTreeSet<IpAddr> {
    bird_protocols(lab, space).into_values().filter(|(_, up)| *up).map(|(address, _)| address).collect()
}

/// BIRD's BGP routes, and its own: what came from one of those protocols, and those addresses.
pub fn bird(lab: &Lab, space: &str, own: &[&str], addresses: &[IpAddr]) -> Seen {
    let protocols = bird_protocols(lab, space);
    let mut seen = Seen::default();
    for (prefix, entry) in bird_entries(&lab.birdc(space, "show route all")) {
        let rank = if entry.best { Rank::Best } else { Rank::Lost };
        let Some((peer, _)) = protocols.get(&entry.protocol) else {
            if own.contains(&entry.protocol.as_str()) || addresses.iter().any(|ip| IpNet::from(*ip) == prefix)
            {
                seen.at(prefix).paths.insert(Way::own(), rank);
            }
            continue;
        };
        let attribute = |name: &str| entry.attributes.get(name).map(String::as_str);
        let way = Way {
            peer: Some(*peer),
            as_path: entry.as_path(),
            next_hop: attribute("BGP.next_hop").and_then(|hops| hops.split_whitespace().next()?.parse().ok()),
            local_pref: attribute("BGP.local_pref").map_or(100, |text| text.parse().expect("a number")),
            med: attribute("BGP.med").map_or(0, |text| text.parse().expect("a number")),
        };
        seen.at(prefix).paths.insert(way, rank);
    }
    for (prefix, entry) in bird_entries(&lab.birdc(space, "show route filtered all")) {
        if let Some((peer, _)) = protocols.get(&entry.protocol) {
            seen.at(prefix).refused.insert((*peer, entry.as_path()));
        }
    }
    seen
}

/// One path as BIRD prints it.
struct Entry {
    protocol: String,
    best: bool,
    attributes: BTreeMap<String, String>,
}

impl Entry {
    fn as_path(&self) -> Vec<u32> {
        numbers(self.attributes.get("BGP.as_path").map(String::as_str).unwrap_or_default())
    }
}

/// `10.0.0.0/8  unicast [name 12:00:00.000 from …] * (100) [AS1i]`, more paths of the prefix without it, and
/// attributes behind a tab.
fn bird_entries(text: &str) -> Vec<(IpNet, Entry)> {
    let mut entries: Vec<(IpNet, Entry)> = Vec::new();
    let mut prefix: Option<IpNet> = None;
    for line in text.lines() {
        if line.starts_with('\t') {
            if let (Some((_, entry)), Some((key, value))) = (entries.last_mut(), line.trim().split_once(':'))
            {
                entry.attributes.insert(key.to_owned(), value.trim().to_owned());
            }
            continue;
        }
        if !line.starts_with(' ') {
            prefix = line.split_whitespace().next().and_then(|word| word.parse().ok());
        }
        let (Some(prefix), Some((_, rest))) = (prefix, line.split_once('[')) else { continue };
        let (inside, behind) = rest.split_once(']').expect("a closed bracket");
        let protocol = inside.split_whitespace().next().expect("a protocol").to_owned();
        let best = behind.trim_start().starts_with('*');
        entries.push((prefix, Entry { protocol, best, attributes: BTreeMap::new() }));
    }
    entries
}

/// Link-local addresses of a space's interfaces, and the global address that stands beside each.
pub fn link_locals(lab: &Lab, space: &str, found: &mut BTreeMap<IpAddr, IpAddr>) {
    let interfaces = json(&lab.ip(space, &["-6", "-j", "addr", "show"]));
    for interface in interfaces.as_array().into_iter().flatten() {
        let infos = interface["addr_info"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of = |scope: &str| {
            let info = infos.iter().find(|info| info["scope"] == scope && info["prefixlen"] != 128)?;
            info["local"].as_str()?.parse::<IpAddr>().ok()
        };
        if let (Some(local), Some(global)) = (of("link"), of("global")) {
            found.insert(local, global);
        }
    }
}

/// The kernel's routes that a BGP program put there and that lead to somebody, where no better route to the same
/// destination stands before them: their next hops. Link-local ones are told by the global address of the same
/// interface.
pub fn kernel(lab: &Lab, space: &str, link_locals: &BTreeMap<IpAddr, IpAddr>, seen: &mut Seen) {
    for family in ["-4", "-6"] {
        let Value::Array(mut routes) = json(&lab.ip(space, &[family, "-j", "route", "show"])) else {
            continue;
        };
        routes.sort_by_key(|route| route["metric"].as_u64().unwrap_or_default());
        let mut best = BTreeSet::new();
        for route in &routes {
            let dst = route["dst"].as_str().expect("a destination");
            let first = best.insert(dst);
            if !first || !matches!(route["protocol"].as_str(), Some("bgp" | "bird")) {
                continue;
            }
            let itself = std::slice::from_ref(route);
            let hops: BTreeSet<IpAddr> = route["nexthops"]
                .as_array()
                .map_or(itself, Vec::as_slice)
                .iter()
                .filter_map(|hop| hop["gateway"].as_str().or(hop["via"]["host"].as_str())?.parse().ok())
                .map(|hop: IpAddr| link_locals.get(&hop).copied().unwrap_or(hop))
                .collect();
            if !hops.is_empty() {
                let single = || dst.parse::<IpAddr>().expect("an address").into();
                seen.at(dst.parse().unwrap_or_else(|_| single())).kernel = Some(hops);
            }
        }
    }
}
