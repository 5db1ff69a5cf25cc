//! Views of a Linux router's links: its namespace, its uplink and node segment, its XFRM interfaces.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use kmh_model::Router;
use serde::Serialize;

use crate::fault::Fault;
use crate::safe;
use crate::shared::RouterTarget;
use crate::view::View;

/// The uplink's name inside a namespace.
const UPLINK: &str = "uplink";
/// The node segment's name inside a namespace, when kmh makes it.
const NODES: &str = "nodes";

/// The interface of the node segment, as the router sees it.
pub(crate) fn node_interface(router: &Router) -> Result<&str, Fault> {
    match (&router.interface, &router.netns) {
        (Some(interface), _) => safe::interface(interface.as_str()),
        (None, Some(_)) => Ok(NODES),
        (None, None) => Err(Fault::new(format!(
            "router `{}` does not say its interface on the node segment",
            router.name
        ))
        .hint("add `interface: eth1`, or give the router a `netns`")),
    }
}

/// The interfaces to the Internet, as the router sees them.
pub(crate) fn wan_interfaces(router: &Router) -> Result<Vec<&str>, Fault> {
    if router.netns.is_some() { Ok(vec![UPLINK]) } else { line_interfaces(router) }
}

/// The interfaces to the Internet of the machine that carries the router.
pub(crate) fn line_interfaces(router: &Router) -> Result<Vec<&str>, Fault> {
    let names = router
        .uplinks
        .iter()
        .map(|line| line.interface.as_ref().map_or(line.name.as_str(), |name| name.as_str()));
    let mut found = names.map(safe::interface).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Both ends of the link between a namespace and its host: a /30 of 169.254.0.0/16 by the router's id, outside the
/// first and the last /24, which RFC 3927 (2.1) reserves.
pub(crate) fn uplink_addresses(id: u16) -> (Ipv4Addr, Ipv4Addr) {
    let base = u32::from(Ipv4Addr::new(169, 254, 1, 0)) + u32::from(id) * 4;
    (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2))
}

/// The host's end of that link.
pub(crate) fn host_uplink(router: &Router) -> String {
    format!("kmhu{}", router.id)
}

#[derive(Serialize)]
struct Space<'a> {
    netns: &'a str,
    host_uplink: String,
    uplink: &'static str,
    host_address: String,
    address: String,
    v6: bool,
    nodes: &'a str,
    /// Whether the host has the node segment's interface, rather than kmh making a bridge for it.
    given: bool,
    bridge: String,
    host_nodes: String,
    addresses: Vec<&'a str>,
    networks_v4: Vec<String>,
    networks_v6: Vec<String>,
}

/// `netns.sh`.
pub(crate) fn netns(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let (host, inside) = uplink_addresses(t.router.id);
    let networks = |v6: bool| -> Vec<String> {
        t.site.networks.iter().filter(|net| net.addr().is_ipv6() == v6).map(ToString::to_string).collect()
    };
    Ok(View::of(Space {
        netns: namespace(t),
        host_uplink: host_uplink(t.router),
        uplink: UPLINK,
        host_address: host.to_string(),
        address: inside.to_string(),
        v6: t.shared.has_v6(),
        nodes: node_interface(t.router)?,
        given: t.router.interface.is_some(),
        bridge: format!("kmhbr{}", t.router.id),
        host_nodes: format!("kmhn{}", t.router.id),
        addresses: t.plan.addresses.iter().map(|address| safe::word(address)).collect::<Result<_, _>>()?,
        networks_v4: networks(false),
        networks_v6: networks(true),
    }))
}

/// The router's namespace; empty without.
pub(crate) fn namespace<'a>(t: &RouterTarget<'a>) -> &'a str {
    t.router.netns.as_ref().map_or("", |netns| netns.as_str())
}

#[derive(Serialize)]
struct Script<'a> {
    netns: &'a str,
    tunnels: Vec<Tunnel<'a>>,
    lines: Vec<Line<'a>>,
    /// Numbers that lines of this router can have: of rules to take away before the present ones are written.
    numbers: Vec<u32>,
}

#[derive(Serialize)]
struct Tunnel<'a> {
    name: &'a str,
    interface: &'a str,
    line: &'a str,
    index: u32,
    mtu: u16,
    addresses: Vec<String>,
}

/// One of several lines: what is sent from its address leaves by it.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    interface: &'a str,
    address: IpAddr,
    /// `-4` or `-6`.
    family: &'static str,
    number: u32,
}

/// The most lines that a router has.
const LINES: u32 = 4;
/// Below the numbers of the rules that the kernel begins with (32766, 32767), above those that people take.
const FIRST_TABLE: u32 = 1000;

/// Number of a line's routing table and of its rules: ids are below 4096, lines are numbered from 1.
fn line_number(router: u16, line: u32) -> u32 {
    FIRST_TABLE + u32::from(router) * LINES + line.saturating_sub(1)
}

/// `tunnels.sh`.
pub(crate) fn tunnels(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let tunnels = t.tunnels.iter().map(|end| {
        let networks = end.here.addresses.iter().zip(&end.tunnel.networks);
        Ok(Tunnel {
            name: safe::name(&end.tunnel.name)?,
            interface: safe::interface(&end.here.interface)?,
            line: safe::interface(&end.here.uplink_interface)?,
            index: end.tunnel.index,
            mtu: end.tunnel.mtu,
            addresses: networks
                .map(|(address, net)| format!("{address}/{}", net.net().prefix_len()))
                .collect(),
        })
    });
    Ok(View::of(Script {
        netns: namespace(t),
        tunnels: tunnels.collect::<Result<_, Fault>>()?,
        lines: lines(t)?,
        numbers: (1..=LINES).map(|line| line_number(t.router.id, line)).collect(),
    }))
}

/// The router's lines, when there are several: with one, the routes are those that the machine has.
fn lines<'a>(t: &RouterTarget<'a>) -> Result<Vec<Line<'a>>, Fault> {
    let mut lines = Vec::new();
    if t.router.uplinks.len() < 2 {
        return Ok(lines);
    }
    let mut seen = BTreeSet::new();
    for (place, uplink) in (1_u32..).zip(&t.router.uplinks) {
        let name = uplink.name.as_str();
        let Some(end) = t.tunnels.iter().find(|end| end.here.uplink == name) else { continue };
        let address = end.here.local_address.ok_or_else(|| {
            Fault::new(format!(
                "router `{}` does not say its address on the line `{name}`, by which that line's packets are known",
                t.router.name
            ))
            .hint("add `local_address`")
        })?;
        if seen.insert(address) {
            lines.push(Line {
                name: safe::name(name)?,
                interface: safe::interface(&end.here.uplink_interface)?,
                address,
                family: if address.is_ipv6() { "-6" } else { "-4" },
                number: line_number(t.router.id, uplink.id.map_or(place, u32::from)),
            });
        }
    }
    Ok(lines)
}

#[derive(Serialize)]
struct Host<'a> {
    netns: &'a str,
    v6: bool,
    lines: Vec<&'a str>,
}

/// For templates that differ by the namespace and the lines only.
pub(crate) fn place(t: &RouterTarget<'_>) -> Result<View, Fault> {
    Ok(View::of(Host { netns: namespace(t), v6: t.shared.has_v6(), lines: line_interfaces(t.router)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_number_of_its_own_below_the_kernels() {
        assert_eq!([line_number(1, 1), line_number(1, 4), line_number(2, 1)], [1004, 1007, 1008]);
        assert!(line_number(4095, LINES) < 32_766);
    }

    #[test]
    fn every_router_has_a_link_of_its_own() {
        assert_eq!(uplink_addresses(3), (Ipv4Addr::new(169, 254, 1, 13), Ipv4Addr::new(169, 254, 1, 14)));
        assert_eq!(uplink_addresses(4095).1, Ipv4Addr::new(169, 254, 64, 254));
    }
}
