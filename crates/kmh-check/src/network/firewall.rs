//! What the routers' packet filters do, asked by example: packets that must pass and packets that must not, made from the
//! inventory. A rule may be written in many ways; what it does is what counts.
//!
//! Between addresses of the cluster packets must pass one by one, and all others by the connection that they belong to:
//! a packet that both kinds of rules let pass is remembered by one firewall and forgotten by another.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{Nat, Reach};
use kmh_doc::network::{FirewallRule, NetworkSpec, RouterPlan, Zone};
use kmh_model::{Model, Router, Site};

use super::REPLAN;
use crate::findings::Findings;

/// What must become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It passes, whatever came before.
    Alone,
    /// It passes, and its answers with it.
    Connection,
    /// It does not pass.
    Stopped,
}

/// A packet by way of example.
struct Packet {
    what: &'static str,
    zone: Zone,
    protocol: &'static str,
    from: IpAddr,
    /// None for the router itself.
    to: Option<IpAddr>,
    port: Option<u16>,
    fate: Fate,
}

/// Somebody out in the Internet (RFC 5737, RFC 3849).
const OUTSIDE: [&str; 2] = ["192.0.2.77", "2001:db8:77::77"];

/// `network.firewall`: each packet filter lets pass what its site needs, and nothing else.
pub(crate) fn firewall(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    for plan in &network.routers {
        let (Some(router), Some(site)) = (model.router(&plan.name), model.sites.get(plan.site.as_str()))
        else {
            continue;
        };
        if !out.look_at(&plan.name) {
            continue;
        }
        for v6 in [false, true] {
            let mut packets = Vec::new();
            if let Some(here) = Place::of(model, site, v6) {
                from_nodes(model, router, &here, &mut packets);
                from_tunnels(model, network, plan, &here, &mut packets);
                from_lans(model, site, &here, &mut packets);
                from_outside(model, router, &here, &mut packets);
            }
            // One rule lets pass, or stops, the like of many: one example says it.
            let mut said = BTreeSet::new();
            for packet in packets {
                let is = fate(&plan.firewall, &packet);
                if is != Some(packet.fate) && said.insert((packet.what, packet.zone.clone(), packet.protocol))
                {
                    out.critical(&plan.name, complaint(&packet, is), REPLAN);
                }
            }
        }
    }
}

fn complaint(packet: &Packet, is: Option<Fate>) -> String {
    let to = packet.to.map_or_else(|| "the router itself".to_owned(), |to| to.to_string());
    let port = packet.port.map(|port| format!(" port {port}")).unwrap_or_default();
    let zone = match &packet.zone {
        Zone::Wan => "from the Internet".to_owned(),
        Zone::Nodes => "from the node segment".to_owned(),
        Zone::Tunnel => "out of a tunnel".to_owned(),
        Zone::Lan(name) => format!("from the LAN `{}`", name.escape_debug()),
    };
    let does = match is {
        None => "remembers and forgets at once",
        Some(Fate::Stopped) => "stops",
        Some(_) if packet.fate == Fate::Stopped => "lets pass",
        Some(Fate::Alone) => "keeps no connection of",
        Some(Fate::Connection) => "stops the middle of a connection of",
    };
    format!(
        "its packet filter {does} {}: {zone}, {} from {} to {to}{port}",
        packet.what, packet.protocol, packet.from
    )
}

/// What the rules do with a packet; none when they disagree.
fn fate(rules: &[FirewallRule], packet: &Packet) -> Option<Fate> {
    let lets_pass = |rule: &&FirewallRule| {
        rule.zone == packet.zone
            && (rule.protocol == "any" || rule.protocol == packet.protocol)
            && (rule.from.is_empty() || rule.from.iter().any(|net| net.net().contains(&packet.from)))
            && match packet.to {
                None => rule.to.is_empty(),
                Some(to) => {
                    rule.to.iter().any(|net| net.net().contains(&to))
                        && !rule.except.iter().any(|net| net.net().contains(&to))
                }
            }
            && (rule.ports.is_empty() || packet.port.is_some_and(|port| rule.ports.contains(&port)))
    };
    let mut kinds: Vec<bool> = rules.iter().filter(lets_pass).map(|rule| rule.stateless).collect();
    kinds.sort_unstable();
    kinds.dedup();
    match kinds[..] {
        [] => Some(Fate::Stopped),
        [true] => Some(Fate::Alone),
        [false] => Some(Fate::Connection),
        _ => None,
    }
}

/// Addresses of a site in one family.
struct Place<'m> {
    site: &'m Site,
    node: IpAddr,
    pod: Option<IpAddr>,
    service: Option<IpAddr>,
    router: Option<IpAddr>,
    outside: IpAddr,
}

impl<'m> Place<'m> {
    /// None when the site has no nodes of that family.
    fn of(model: &'m Model, site: &'m Site, v6: bool) -> Option<Self> {
        let pick = |nets: &[IpNet]| nets.iter().copied().find(|net| matches!(net, IpNet::V6(_)) == v6);
        let routers: Vec<IpAddr> = model
            .routers_of(site.name.as_str())
            .flat_map(|router| &router.addresses)
            .chain(&site.gateways)
            .copied()
            .collect();
        Some(Self {
            site,
            node: host(pick(&site.networks)?, &routers)?,
            pod: pick(&site.pods).and_then(|net| host(net, &[])),
            service: pick(&model.services).and_then(|net| host(net, &[])),
            router: routers.into_iter().find(|address| address.is_ipv6() == v6),
            outside: OUTSIDE[usize::from(v6)].parse().ok()?,
        })
    }

    fn v6(&self) -> bool {
        self.node.is_ipv6()
    }
}

/// An address of a network that is nobody's of these.
fn host(net: IpNet, taken: &[IpAddr]) -> Option<IpAddr> {
    // The first of a network is likely a router's, or in IPv6 every router's (RFC 4291, 2.6.1).
    net.hosts().skip(1).find(|address| !taken.contains(address)).or_else(|| net.hosts().next())
}

fn packet(what: &'static str, zone: Zone, from: IpAddr, to: IpAddr, fate: Fate) -> Packet {
    Packet { what, zone, protocol: "tcp", from, to: Some(to), port: Some(443), fate }
}

fn to_router(
    what: &'static str,
    zone: Zone,
    from: IpAddr,
    (protocol, port): (&'static str, Option<u16>),
    fate: Fate,
) -> Packet {
    Packet { what, zone, protocol, from, to: None, port, fate }
}

const BGP: (&str, Option<u16>) = ("tcp", Some(179));
const SSH: (&str, Option<u16>) = ("tcp", Some(22));
const BFD: (&str, Option<u16>) = ("udp", Some(3784));
const PING: (&str, Option<u16>) = ("icmp", None);

fn elsewhere<'m>(model: &'m Model, here: &Place<'m>) -> impl Iterator<Item = Place<'m>> {
    let (own, v6) = (here.site.name.as_str().to_owned(), here.v6());
    let others = model.sites.values().filter(move |site| site.name.as_str() != own);
    others.filter_map(move |site| Place::of(model, site, v6))
}

/// Everybody of the cluster to everybody else, one by one.
fn inside(zone: &Zone, from: &Place<'_>, to: &Place<'_>, fate: Fate, packets: &mut Vec<Packet>) {
    for (what, from, to) in [
        ("a node's packet to a node", Some(from.node), Some(to.node)),
        ("a node's packet to a pod", Some(from.node), to.pod),
        ("a pod's packet to a pod", from.pod, to.pod),
        ("a pod's packet to a node", from.pod, Some(to.node)),
        ("a service's answer to a pod", from.service, to.pod),
        ("a pod's packet to a service", from.pod, to.service),
    ] {
        if let (Some(from), Some(to)) = (from, to) {
            // A service is everywhere: as a source it comes from any side.
            let fate = if what.starts_with("a service") { Fate::Alone } else { fate };
            packets.push(packet(what, zone.clone(), from, to, fate));
        }
    }
}

fn from_nodes(model: &Model, router: &Router, here: &Place<'_>, packets: &mut Vec<Packet>) {
    let zone = || Zone::Nodes;
    let siblings: Vec<IpAddr> = model
        .routers_of(here.site.name.as_str())
        .filter(|other| other.name != router.name)
        .flat_map(|other| other.addresses.iter().copied())
        .filter(|address| address.is_ipv6() == here.v6())
        .collect();
    packets.push(to_router("a node's BGP", zone(), here.node, BGP, Fate::Connection));
    packets.push(to_router("a node's ping", zone(), here.node, PING, Fate::Connection));
    packets.push(to_router("a node's SSH", zone(), here.node, SSH, Fate::Stopped));
    packets.push(to_router("a node's BFD", zone(), here.node, BFD, Fate::Stopped));
    if let Some(pod) = here.pod {
        packets.push(to_router("a pod's BGP", zone(), pod, BGP, Fate::Stopped));
        let fate = if model.calico.nat_outgoing { Fate::Stopped } else { Fate::Connection };
        packets.push(packet("a pod's packet to the Internet", zone(), pod, here.outside, fate));
    }
    if let Some(router) = here.router {
        let what = "a node's packet to the router's pages";
        packets.push(packet(what, zone(), here.node, router, Fate::Stopped));
    }
    packets.push(packet(
        "a node's packet to the Internet",
        zone(),
        here.node,
        here.outside,
        Fate::Connection,
    ));
    packets.push(packet(
        "a forged packet to the Internet",
        zone(),
        here.outside,
        here.outside,
        Fate::Stopped,
    ));
    packets.push(packet("a forged packet to a node", zone(), here.outside, here.node, Fate::Stopped));
    // Among themselves they need no router, but the routes between them may be away, or not wanted.
    inside(&zone(), here, here, Fate::Alone, packets);
    for other in elsewhere(model, here) {
        inside(&zone(), here, &other, Fate::Alone, packets);
        let fate = if siblings.is_empty() { Fate::Stopped } else { Fate::Alone };
        inside(&zone(), &other, here, fate, packets);
    }
    for sibling in siblings {
        packets.push(to_router("its sibling's BGP", zone(), sibling, BGP, Fate::Connection));
        if model.bgp.timers.routers.bfd_ms > 0 {
            packets.push(to_router("its sibling's BFD", zone(), sibling, BFD, Fate::Connection));
        }
    }
    if model.routers_of(here.site.name.as_str()).count() > 1 {
        for lan in model.sites.values().flat_map(|site| &site.lans) {
            reaching(model, lan, here, &zone(), packets);
        }
    }
    // Segments of people: all of this site's, and those of others that the cluster knows.
    for site in model.sites.values() {
        for lan in site.lans.iter().filter(|lan| site.name == here.site.name || !lan.reach.is_empty()) {
            let Some(person) = person(lan, here.v6()) else { continue };
            for from in [Some(here.node), here.pod].into_iter().flatten() {
                packets.push(packet("a packet of the cluster to a LAN", zone(), from, person, Fate::Stopped));
            }
        }
    }
}

/// Somebody on a segment.
fn person(lan: &kmh_doc::inventory::Lan, v6: bool) -> Option<IpAddr> {
    let net = lan.network.iter().map(|net| net.net()).find(|net| matches!(net, IpNet::V6(_)) == v6)?;
    host(net, &[])
}

fn from_tunnels(
    model: &Model,
    network: &NetworkSpec,
    plan: &RouterPlan,
    here: &Place<'_>,
    packets: &mut Vec<Packet>,
) {
    let zone = || Zone::Tunnel;
    let mut peers = Vec::new();
    for tunnel in &network.tunnels {
        let Some(ours) = tunnel.ends.iter().position(|end| end.router == plan.name) else { continue };
        peers.extend(tunnel.ends[1 - ours].addresses.iter().filter(|one| one.is_ipv6() == here.v6()));
    }
    for peer in &peers {
        packets.push(to_router("BGP of a router", zone(), *peer, BGP, Fate::Connection));
        packets.push(to_router("ping of a router", zone(), *peer, PING, Fate::Connection));
        packets.push(to_router("SSH of a router", zone(), *peer, SSH, Fate::Stopped));
        if model.bgp.timers.routers.bfd_ms > 0 {
            packets.push(to_router("BFD of a router", zone(), *peer, BFD, Fate::Connection));
        }
        packets.push(Packet {
            protocol: "icmp",
            port: None,
            ..packet("a router's word that a packet was too big", zone(), *peer, here.node, Fate::Alone)
        });
        packets.push(packet("a router's packet to a node", zone(), *peer, here.node, Fate::Stopped));
    }
    if peers.is_empty() {
        return;
    }
    // Whoever says to be of this site does not come out of a tunnel.
    inside(&zone(), here, here, Fate::Stopped, packets);
    let others: Vec<Place<'_>> = elsewhere(model, here).collect();
    for (n, other) in others.iter().enumerate() {
        inside(&zone(), other, here, Fate::Alone, packets);
        // The way between two others leads through here when their own tunnel is cut.
        if let Some(next) = others.get(n + 1) {
            inside(&zone(), other, next, Fate::Alone, packets);
        }
        packets.push(to_router("BGP of a far node", zone(), other.node, BGP, Fate::Stopped));
        packets.push(packet(
            "a far node's packet to the Internet",
            zone(),
            other.node,
            here.outside,
            Fate::Stopped,
        ));
        if let Some(router) = here.router {
            let what = "a far node's packet to the router's pages";
            packets.push(packet(what, zone(), other.node, router, Fate::Stopped));
        }
        for lan in &here.site.lans {
            if let Some(person) = person(lan, here.v6()) {
                let what = "a far node's packet to a LAN";
                packets.push(packet(what, zone(), other.node, person, Fate::Stopped));
            }
        }
        for lan in &other.site.lans {
            reaching(model, lan, here, &zone(), packets);
        }
    }
}

/// What a segment may reach and what it may not.
fn reaching(
    model: &Model,
    lan: &kmh_doc::inventory::Lan,
    here: &Place<'_>,
    zone: &Zone,
    packets: &mut Vec<Packet>,
) {
    let Some(person) = person(lan, here.v6()) else { return };
    let balanced = model.load_balancers.iter().find(|net| matches!(net, IpNet::V6(_)) == here.v6());
    for (reach, what, to) in [
        (Reach::Services, "a person's packet to a service", here.service),
        (Reach::Services, "a person's packet to a load balancer", balanced.and_then(|net| host(*net, &[]))),
        (Reach::Pods, "a person's packet to a pod", here.pod),
        (Reach::Nodes, "a person's packet to a node", Some(here.node)),
    ] {
        let Some(to) = to else { continue };
        let fate = if lan.reach.contains(&reach) { Fate::Connection } else { Fate::Stopped };
        packets.push(packet(what, zone.clone(), person, to, fate));
    }
}

fn from_lans(model: &Model, site: &Site, here: &Place<'_>, packets: &mut Vec<Packet>) {
    for lan in &site.lans {
        reaching(model, lan, here, &Zone::Lan(lan.name.to_string()), packets);
    }
}

fn from_outside(model: &Model, router: &Router, here: &Place<'_>, packets: &mut Vec<Packet>) {
    let zone = || Zone::Wan;
    packets.push(to_router("a stranger's BGP", zone(), here.outside, BGP, Fate::Stopped));
    packets.push(to_router("a stranger's SSH", zone(), here.outside, SSH, Fate::Stopped));
    packets.push(packet("a stranger's packet to a node", zone(), here.outside, here.node, Fate::Stopped));
    for tunnel in &model.tunnels {
        let Some(ours) = tunnel.ends.iter().position(|end| end.router == router.name) else { continue };
        let far = &tunnel.ends[1 - ours];
        let line =
            |router: Option<&'_ Router>, place: usize| router.and_then(|one| one.uplinks.get(place)).cloned();
        let (Some(own), Some(far)) = (
            line(Some(router), tunnel.ends[ours].uplink),
            line(model.router(far.router.as_str()), far.uplink),
        ) else {
            continue;
        };
        if own.nat == Nat::Carrier {
            continue; // nothing comes in unasked
        }
        let from = far.address.as_ref().and_then(kmh_doc::HostName::ip).unwrap_or(here.outside);
        for port in [500, 4500] {
            packets.push(to_router("IKE", zone(), from, ("udp", Some(port)), Fate::Connection));
        }
        if own.nat == Nat::None && far.nat == Nat::None {
            packets.push(to_router("ESP", zone(), from, ("esp", None), Fate::Connection));
        }
    }
}
