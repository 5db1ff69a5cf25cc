//! Who can ask and answer in a lab: routers, nodes, pods, hosts of other segments, the operator; and what is predicted of
//! two of them.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_route::forward::End as Fate;
use kmh_route::{Prediction, Way, way};

use crate::memory::{Memory, space};
use crate::state::{Role, State};

/// What an interface takes whose MTU nobody set.
const MTU: u16 = 1500;
/// Names of namespaces begin with this: pods of a node, hosts of another segment.
const POD: &str = "pod-";
const LAN: &str = "lan-";

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A router.
    Router,
    /// A node.
    Node,
    /// A pod.
    Pod,
    /// A host of another segment.
    Lan,
    /// The admin's laptop.
    Operator,
}

/// Somebody who can ask and answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// His name.
    pub name: String,
    /// His namespace.
    pub space: String,
    /// What he is.
    pub kind: Kind,
    /// His site.
    pub site: String,
    /// The router or node that he is, or behind which he is; none where the network document knows nobody.
    pub machine: Option<String>,
    /// His addresses, at most one a family.
    pub addresses: Vec<IpAddr>,
    /// Octets of a packet that his interface takes.
    pub mtu: u16,
}

/// What is predicted of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Whether packets arrive, and answers.
    pub arrives: bool,
    /// Octets of the largest packet that fits all the way and back.
    pub mtu: u16,
}

/// Everybody in the lab, routers first.
pub(crate) fn endpoints(memory: &Memory, state: &State) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let bare = |addresses: &[String]| -> Vec<IpAddr> {
        addresses.iter().filter_map(|text| text.split_once('/')?.0.parse().ok()).collect()
    };
    let mut add = |name: &str, kind, site: &str, machine: Option<&str>, addresses: Vec<IpAddr>| {
        let space = space(state, name);
        let host = space.split_once('/').map_or(space.as_str(), |(host, _)| host);
        if (state.wires.spaces.contains(host) || state.machines.contains_key(host)) && !addresses.is_empty() {
            found.push(Endpoint {
                name: name.to_owned(),
                mtu: mtu(state, &space, &addresses),
                space,
                kind,
                site: site.to_owned(),
                machine: machine.map(str::to_owned),
                addresses,
            });
        }
    };
    for router in &memory.network.routers {
        add(&router.name, Kind::Router, &router.site, Some(&router.name), bare(&router.addresses));
    }
    for node in &memory.network.nodes {
        add(&node.name, Kind::Node, &node.site, Some(&node.name), bare(&node.addresses));
    }
    for node in &memory.network.nodes {
        let pods = memory.pods.get(&node.name).cloned().unwrap_or_default();
        add(&format!("{POD}{}", node.name), Kind::Pod, &node.site, Some(&node.name), pods);
    }
    // The longest site's name of those that fit: `lan-a-b-c` may be of `a` and of `a-b`.
    let mut sites: Vec<&str> = memory.network.routers.iter().map(|router| router.site.as_str()).collect();
    sites.sort_by_key(|site| std::cmp::Reverse(site.len()));
    for name in state.wires.spaces.iter().filter(|name| name.starts_with(LAN)) {
        let rest = name.trim_start_matches(LAN);
        let fits = |site: &&&str| rest.strip_prefix(**site).is_some_and(|rest| rest.starts_with('-'));
        let Some(site) = sites.iter().find(fits) else { continue };
        let router = memory.network.routers.iter().find(|router| router.site == **site);
        add(name, Kind::Lan, site, router.map(|router| router.name.as_str()), laid(state, name));
    }
    let operators = state.machines.iter().filter(|(_, machine)| machine.role == Role::Operator);
    for (name, _) in operators {
        let addresses = laid(state, name);
        let site = site_around(memory, &addresses).unwrap_or_default();
        add(name, Kind::Operator, site, None, addresses);
    }
    found
}

/// The site on whose segment one of these addresses is.
fn site_around<'m>(memory: &'m Memory, addresses: &[IpAddr]) -> Option<&'m str> {
    let inside = |text: &String| {
        let net: Option<IpNet> = text.parse().ok();
        net.is_some_and(|net| addresses.iter().any(|ip| net.contains(ip)))
    };
    let mut routers = memory.network.routers.iter();
    routers.find(|router| router.addresses.iter().any(inside)).map(|router| router.site.as_str())
}

/// Addresses that a namespace was laid with, the first of each family.
fn laid(state: &State, space: &str) -> Vec<IpAddr> {
    let own = state.wires.interfaces.iter().filter(|(end, _)| end.space == space && end.interface != "lo");
    let mut found: Vec<IpAddr> = Vec::new();
    for text in own.flat_map(|(_, interface)| &interface.addresses) {
        let Some(address) = text.split_once('/').and_then(|(own, _)| own.parse::<IpAddr>().ok()) else {
            continue;
        };
        if !found.iter().any(|one| one.is_ipv6() == address.is_ipv6()) && !text.starts_with("fe80:") {
            found.push(address);
        }
    }
    found
}

fn mtu(state: &State, space: &str, addresses: &[IpAddr]) -> u16 {
    let mut own = state.wires.interfaces.iter().filter(|(end, interface)| {
        let has = |ip: &IpAddr| {
            interface.addresses.iter().any(|text| text.split('/').next() == Some(&ip.to_string()))
        };
        end.space == space && addresses.iter().any(has)
    });
    own.find_map(|(_, interface)| interface.mtu).unwrap_or(MTU)
}

/// What is predicted of a packet and its answer; none of those of whom the network document knows nothing.
pub(crate) fn expected(
    prediction: &Prediction<'_>,
    (from, source): (&Endpoint, IpAddr),
    (to, target): (&Endpoint, IpAddr),
) -> Option<Expected> {
    let network = prediction.network();
    let start = network.machine(from.machine.as_deref()?)?;
    let goal = network.machine(to.machine.as_deref()?)?;
    if from.kind == Kind::Lan || to.kind == Kind::Lan {
        // What a segment may reach is a matter of ports, which a ping does not have.
        return None;
    }
    let forth = way(prediction, start, Some(source), target);
    let back = way(prediction, goal, Some(target), source);
    let mtu = |way: &Way| {
        let tunnels =
            network.spec.tunnels.iter().filter(|tunnel| way.tunnels().any(|name| name == tunnel.name));
        tunnels.map(|tunnel| tunnel.mtu).min().unwrap_or(u16::MAX)
    };
    Some(Expected {
        arrives: forth.end == Fate::Delivered(goal) && back.end == Fate::Delivered(start),
        mtu: mtu(&forth).min(mtu(&back)).min(from.mtu).min(to.mtu),
    })
}
