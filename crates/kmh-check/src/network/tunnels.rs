//! Whether tunnels follow the rule of their numbers, and their ends mirror each other.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::inventory::RouterKind;
use kmh_doc::network::{NetworkSpec, RouterPlan, Tunnel};
use kmh_model::Model;

use super::REPLAN;
use crate::findings::Findings;

/// An interface name of Linux or FreeBSD has at most 15 characters.
const LONGEST_INTERFACE: usize = 15;
/// pfSense takes reqid 1 to 15999.
const LARGEST_PFSENSE: u32 = 15_999;

/// `network.tunnels`: the pairs, numbers and networks that follow from the router ids of the inventory.
pub(crate) fn numbers(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let ids: BTreeMap<&str, u32> = model.routers.iter().map(|r| (r.name.as_str(), u32::from(r.id))).collect();
    for tunnel in &network.tunnels {
        out.look();
        let [a, b] = &tunnel.ends;
        let (Some(&i), Some(&j)) = (ids.get(a.router.as_str()), ids.get(b.router.as_str())) else {
            out.critical(&tunnel.name, "the inventory does not have both of its routers", REPLAN);
            continue;
        };
        if i >= j {
            out.critical(&tunnel.name, "the end with the lower router id is not the first", REPLAN);
            continue;
        }
        let index = (j - 1) * (j.saturating_sub(2)) / 2 + i;
        if tunnel.index != index {
            let message =
                format!("its number is {}, for the router ids {i} and {j} it must be {index}", tunnel.index);
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
    }
    let pair =
        |a: &str, b: &str| if a < b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) };
    let planned: BTreeSet<_> =
        network.tunnels.iter().map(|t| pair(&t.ends[0].router, &t.ends[1].router)).collect();
    for tunnel in &model.tunnels {
        out.look();
        let (a, b) = (tunnel.ends[0].router.as_str(), tunnel.ends[1].router.as_str());
        if !planned.contains(&pair(a, b)) {
            out.critical(&format!("{a}--{b}"), "the plan does not have this tunnel", REPLAN);
        }
    }
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
    if tunnel.name != format!("{}--{}", a.router, b.router) {
        found.push(format!("its name is not `{}--{}`", a.router, b.router));
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

/// `network.mtu`: a pod's packet fits through every tunnel.
pub(crate) fn mtu(network: &NetworkSpec, out: &mut Findings<'_>) {
    for tunnel in &network.tunnels {
        out.look();
        if network.pod_mtu > tunnel.mtu {
            out.critical(
                &tunnel.name,
                format!("pods send packets of {} octets, {} fit through it", network.pod_mtu, tunnel.mtu),
                "connections hang after the first large answer: make the document again with `kmh-bgpcfg plan`",
            );
        }
    }
}
