//! Whether tunnels follow the rule of their numbers, and their ends mirror each other.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::inventory::{Cipher, Nat, RouterKind};
use kmh_doc::network::{NetworkSpec, RouterPlan, Tunnel, TunnelEnd};
use kmh_model::Model;

use super::REPLAN;
use crate::findings::Findings;

/// An interface name of Linux or FreeBSD has at most 15 characters.
const LONGEST_INTERFACE: usize = 15;
/// pfSense takes reqid 1 to 15999.
const LARGEST_PFSENSE: u32 = 15_999;

/// `network.tunnels`: the pairs, numbers, networks and ranks that follow from the ids of routers and lines.
pub(crate) fn numbers(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let wanted: BTreeMap<String, &kmh_model::Tunnel> =
        model.tunnels.iter().map(|tunnel| (tunnel.name(), tunnel)).collect();
    for tunnel in &network.tunnels {
        out.look();
        let ends = tunnel.ends.each_ref().map(|end| Some((model.router(&end.router)?, end)));
        let [Some(first), Some(second)] = ends else {
            out.critical(&tunnel.name, "the inventory does not have both of its routers", REPLAN);
            continue;
        };
        let (i, j) = (u32::from(first.0.id), u32::from(second.0.id));
        if i >= j {
            out.critical(&tunnel.name, "the end with the lower router id is not the first", REPLAN);
            continue;
        }
        let (Some(u), Some(v)) = (line_number(first), line_number(second)) else {
            out.critical(&tunnel.name, "the inventory does not have both of its lines", REPLAN);
            continue;
        };
        let index = (j - 1) * (j.saturating_sub(2)) / 2 + i + 1000 * (4 * (u - 1) + (v - 1));
        if tunnel.index != index {
            let message = format!(
                "its number is {}, for the router ids {i} and {j} and the lines {u} and {v} it must be {index}",
                tunnel.index
            );
            out.critical(&tunnel.name, message, REPLAN);
        }
        let expected: BTreeSet<IpNet> =
            model.tunnel_ranges.iter().filter_map(|range| nth(*range, index)).collect();
        let is: BTreeSet<IpNet> = tunnel.networks.iter().map(|n| n.net()).collect();
        if is != expected {
            let (is, must) = (list(&is), list(&expected));
            out.critical(
                &tunnel.name,
                format!("its networks are {is}, by its number they must be {must}"),
                REPLAN,
            );
        }
        match wanted.get(&tunnel.name) {
            None => out.critical(&tunnel.name, "the inventory asks for no such tunnel", REPLAN),
            Some(must) if must.rank != tunnel.rank => {
                let message = format!(
                    "its rank is {}, by the order of the lines in the inventory it must be {}",
                    tunnel.rank, must.rank
                );
                out.critical(&tunnel.name, message, REPLAN);
            }
            Some(_) => {}
        }
    }
    let planned: BTreeSet<&str> = network.tunnels.iter().map(|tunnel| tunnel.name.as_str()).collect();
    for name in wanted.keys() {
        out.look();
        if !planned.contains(name.as_str()) {
            out.critical(name, "the plan does not have this tunnel", REPLAN);
        }
    }
}

/// The number of a tunnel's line on its router: its id, or its place.
fn line_number((router, end): (&kmh_model::Router, &TunnelEnd)) -> Option<u32> {
    let (place, line) =
        router.uplinks.iter().enumerate().find(|(_, line)| line.name.as_str() == end.uplink)?;
    let place = u32::try_from(place + 1).ok()?;
    Some(line.id.map_or(place, u32::from)).filter(|number| (1..=4).contains(number))
}

fn list(networks: &BTreeSet<IpNet>) -> String {
    if networks.is_empty() {
        "none".to_owned()
    } else {
        networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// The index-th /30 or /64 of a range.
fn nth(range: IpNet, index: u32) -> Option<IpNet> {
    match range {
        IpNet::V4(net) => net.subnets(30).ok()?.nth(index as usize).map(IpNet::V4),
        IpNet::V6(net) => {
            let base = u128::from(net.network()).checked_add(u128::from(index) << 64)?;
            let found = ipnet::Ipv6Net::new(base.into(), 64).ok()?;
            net.contains(&found).then_some(IpNet::V6(found))
        }
    }
}

/// `network.tunnel-ends`: both ends of a tunnel fit together, and no two tunnels share anything.
pub(crate) fn ends(network: &NetworkSpec, out: &mut Findings<'_>) {
    let routers: BTreeMap<&str, &RouterPlan> = network.routers.iter().map(|r| (r.name.as_str(), r)).collect();
    let mut indexes: BTreeMap<u32, &str> = BTreeMap::new();
    let mut interfaces: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for tunnel in &network.tunnels {
        let asked: Vec<bool> = tunnel.ends.iter().map(|e| out.look_at(&e.router)).collect();
        if !asked.contains(&true) {
            continue;
        }
        if let Some(other) = indexes.insert(tunnel.index, &tunnel.name) {
            out.critical(&tunnel.name, format!("it has the number of `{other}`"), REPLAN);
        }
        for end in &tunnel.ends {
            if let Some(other) = interfaces.insert((&end.router, &end.interface), &tunnel.name) {
                let message =
                    format!("its interface `{}` on `{}` is that of `{other}`", end.interface, end.router);
                out.critical(&tunnel.name, message, REPLAN);
            }
        }
        for complaint in complaints(tunnel, &routers) {
            out.critical(&tunnel.name, complaint, REPLAN);
        }
        sessions(tunnel, &routers, out);
    }
}

fn complaints(tunnel: &Tunnel, routers: &BTreeMap<&str, &RouterPlan>) -> Vec<String> {
    let mut found = Vec::new();
    let [a, b] = &tunnel.ends;
    if a.router == b.router {
        found.push("both its ends are the same router".to_owned());
    }
    let stem = format!("{}--{}", a.router, b.router);
    let lines = tunnel.name.strip_prefix(&stem);
    if !lines.is_some_and(|lines| lines.is_empty() || lines.starts_with("--")) {
        found.push(format!("its name does not begin with `{stem}`"));
    }
    if !a.initiates && !b.initiates {
        found.push("neither end initiates, so it never comes up".to_owned());
    }
    for (end, other) in [(a, b), (b, a)] {
        if end.initiates && other.remote_address.is_none() {
            found.push(format!(
                "`{}` initiates, but `{}` has no address to be found at",
                end.router, other.router
            ));
        }
        if end.identity == other.identity || end.identity.is_empty() {
            found.push(format!("`{}` has no IKE identity of its own", end.router));
        }
        if end.interface.len() > LONGEST_INTERFACE {
            found.push(format!(
                "the interface `{}` on `{}` has more than 15 characters",
                end.interface, end.router
            ));
        }
        match routers.get(end.router.as_str()) {
            None => found.push(format!("the plan does not have its router `{}`", end.router)),
            Some(router) => {
                let prefix = if router.kind == RouterKind::Linux { "xfrm" } else { "ipsec" };
                let must = format!("{prefix}{}", tunnel.index);
                if end.interface != must {
                    found.push(format!(
                        "its interface on `{}` is `{}`, it must be `{must}`",
                        end.router, end.interface
                    ));
                }
                if router.kind == RouterKind::Pfsense && tunnel.index > LARGEST_PFSENSE {
                    found.push(format!("its number {} is more than pfSense takes (15999)", tunnel.index));
                }
            }
        }
        if end.addresses.len() != tunnel.networks.len() {
            found.push(format!("`{}` does not have one address of each of its networks", end.router));
        }
        for (network, address) in tunnel.networks.iter().zip(&end.addresses) {
            if !network.net().contains(address) {
                found.push(format!("the address {address} of `{}` is outside {network}", end.router));
            }
        }
    }
    if a.addresses.iter().any(|address| b.addresses.contains(address)) {
        found.push("both its ends have the same inner address".to_owned());
    }
    // RFC 8200, 5: IPv6 needs 1280; IPv4 needs 576, but nobody wants that.
    if tunnel.mtu < 1280 {
        found.push(format!("only {} octets fit through it, less than 1280", tunnel.mtu));
    }
    found
}

/// Each end has a BGP session to the other, over this tunnel.
fn sessions(tunnel: &Tunnel, routers: &BTreeMap<&str, &RouterPlan>, out: &mut Findings<'_>) {
    let [a, b] = &tunnel.ends;
    for (end, other) in [(a, b), (b, a)] {
        let Some(router) = routers.get(end.router.as_str()) else { continue };
        for (local, peer) in end.addresses.iter().zip(&other.addresses) {
            let there = router.sessions.iter().any(|s| {
                s.peer == other.router
                    && s.local_address == *local
                    && s.peer_address == *peer
                    && s.tunnel.as_deref() == Some(tunnel.name.as_str())
            });
            if !there {
                let message = format!("`{}` has no BGP session over it to {peer}", end.router);
                out.critical(&tunnel.name, message, REPLAN);
            }
        }
    }
}

/// `network.mtu`: a pod's packet fits through every tunnel, and what is said to fit does.
pub(crate) fn mtu(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    const HINT: &str =
        "connections hang after the first large answer: make the document again with `kmh-bgpcfg plan`";
    for tunnel in &network.tunnels {
        out.look();
        if network.pod_mtu > tunnel.mtu {
            let message =
                format!("pods send packets of {} octets, {} fit through it", network.pod_mtu, tunnel.mtu);
            out.critical(&tunnel.name, message, HINT);
        }
        for (what, mss, headers) in [("IPv4", tunnel.mss[0], 40), ("IPv6", tunnel.mss[1], 60)] {
            if mss > tunnel.mtu.saturating_sub(headers) {
                let message = format!("TCP over {what} is told {mss} octets, with headers {}", mss + headers);
                out.critical(&tunnel.name, format!("{message}: {} fit through it", tunnel.mtu), HINT);
            }
        }
        if let Some(most) = fits(model, tunnel).filter(|most| tunnel.mtu > *most) {
            let message = format!("its MTU is {}, and no more than {most} octets fit", tunnel.mtu);
            out.critical(&tunnel.name, message, HINT);
        }
    }
}

/// The largest inner packet: ESP in tunnel mode (RFC 4303) over the narrower line, over IPv4 unless an end is known to
/// be of IPv6.
fn fits(model: &Model, tunnel: &Tunnel) -> Option<u16> {
    let mut outer = u16::MAX;
    let (mut v4, mut v6, mut translated) = (false, false, false);
    for end in &tunnel.ends {
        let line = model.router(&end.router)?.uplinks.iter().find(|line| line.name.as_str() == end.uplink)?;
        outer = outer.min(line.mtu.unwrap_or(1500));
        translated |= line.nat != Nat::None;
        let address = line.address.as_ref().and_then(kmh_doc::HostName::ip);
        v4 |= address.is_some_and(|one| one.is_ipv4());
        v6 |= address.is_some_and(|one| one.is_ipv6());
    }
    let header = if v6 && !v4 { 40 } else { 20 };
    // IV, tag, and what a packet is filled up to.
    let (iv, tag, block) = match tunnel.cipher {
        Cipher::Aes256gcm | Cipher::Aes128gcm | Cipher::Chacha20poly1305 => (8, 16, 4),
        Cipher::Aes256cbc => (16, 16, 16),
    };
    let udp = if translated { 8 } else { 0 };
    let room = outer.saturating_sub(header + udp + 8 + iv + tag);
    Some((room / block * block).saturating_sub(2))
}
