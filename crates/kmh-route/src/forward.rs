//! The way of one packet, hop by hop, by the predicted tables: what the kernels do with it, and what the routers'
//! packet filters say to it.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::{FirewallRule, RouterPlan, Zone};

use crate::lookup::{Found, Gate, Origin};
use crate::network::{Machine, Network};
use crate::predict::Prediction;

/// No packet that arrives crosses more machines: IP's own limit is 255, a loop shows itself much earlier.
const HOPS: usize = 32;

/// One machine on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who.
    pub machine: Machine,
    /// What it finds for the destination; none when it has no route.
    pub found: Option<Found>,
    /// By which gate the packet leaves; none at the end. The first of equal ones.
    pub gate: Option<Gate>,
    /// What the packet filter lets it through by; none on nodes, and where the packet ends.
    pub rule: Option<String>,
    /// Whether that rule keeps connections, so that an answer by another router is dropped here.
    pub keeps_connections: bool,
}

/// How the way of a packet ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At a machine that has the address: its own, its pod's, or a service's.
    Delivered(Machine),
    /// On a segment beside the nodes', at this router.
    Lan(Machine),
    /// By the default route of this router.
    Internet(Machine),
    /// The machine says that the destination is unreachable.
    Unreachable(Machine),
    /// The machine swallows it.
    Blackhole(Machine),
    /// The machine has no route at all.
    NoRoute(Machine),
    /// The router's packet filter drops it.
    Filtered(Machine),
    /// The machine hands it to nobody: the next one is down.
    NextIsDown(Machine),
    /// It comes back to this machine.
    Loop(Machine),
}

impl End {
    /// Whether the packet arrives where it was meant to.
    pub fn arrives(self) -> bool {
        matches!(self, Self::Delivered(_) | Self::Lan(_) | Self::Internet(_))
    }
}

/// The way of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Machines in order, the sender first.
    pub hops: Vec<Hop>,
    /// How it ends.
    pub end: End,
}

impl Way {
    /// The routers on it, in order.
    pub fn routers(&self) -> impl Iterator<Item = usize> {
        self.hops.iter().filter_map(|hop| match hop.machine {
            Machine::Router(n) => Some(n),
            Machine::Node(_) => None,
        })
    }

    /// The tunnels on it, by name, in order.
    pub fn tunnels(&self) -> impl Iterator<Item = &str> {
        self.hops.iter().filter_map(|hop| hop.gate.as_ref()?.tunnel.as_deref())
    }
}

/// The way of a packet that `start` sends, or that a pod on it does. With `source` the packet filters are asked too.
pub fn way(prediction: &Prediction<'_>, start: Machine, source: Option<IpAddr>, to: IpAddr) -> Way {
    let network = prediction.network();
    let mut hops: Vec<Hop> = Vec::new();
    let mut here = start;
    let mut zone: Option<Zone> = source.and_then(|source| segment(network, start, source));
    loop {
        if hops.len() >= HOPS || hops.iter().any(|hop| hop.machine == here) {
            return Way { hops, end: End::Loop(here) };
        }
        let found = prediction.lookup(here, to);
        let ends = match found.as_ref().map(|found| found.origin) {
            None => Some(End::NoRoute(here)),
            Some(Origin::Service) if !serves(prediction, here, here == start, to) => {
                Some(End::Blackhole(here))
            }
            Some(Origin::Own | Origin::Pod | Origin::Service) => Some(End::Delivered(here)),
            Some(Origin::Unreachable) => Some(End::Unreachable(here)),
            Some(Origin::Blackhole) => Some(End::Blackhole(here)),
            Some(Origin::Lan) => Some(End::Lan(here)),
            Some(Origin::Default) if matches!(here, Machine::Router(_)) => Some(End::Internet(here)),
            Some(Origin::Default | Origin::Bgp | Origin::Connected) => None,
        };
        let is_own = found.as_ref().is_some_and(|found| found.origin == Origin::Own);
        let mut rule: Option<&FirewallRule> = None;
        if let (Machine::Router(n), Some(source), Some(zone), false) = (here, source, &zone, is_own) {
            rule = network.spec.routers.get(n).and_then(|router| passes(router, zone, source, to));
            // What a segment sends to the Internet or to another one is nothing of the cluster's.
            let elsewhere = matches!((zone, ends), (Zone::Lan(_), Some(End::Internet(_) | End::Lan(_))));
            if rule.is_none() && !elsewhere && !matches!(ends, Some(End::Unreachable(_) | End::NoRoute(_))) {
                hops.push(Hop { machine: here, found, gate: None, rule: None, keeps_connections: false });
                return Way { hops, end: End::Filtered(here) };
            }
        }
        let gate = found.as_ref().and_then(|found| found.gates.first().cloned());
        hops.push(Hop {
            machine: here,
            found,
            gate: gate.clone().filter(|_| ends.is_none()),
            keeps_connections: rule.is_some_and(|rule| !rule.stateless),
            rule: rule.map(|rule| rule.description.clone()),
        });
        if let Some(end) = ends {
            return Way { hops, end };
        }
        let next = gate.as_ref().and_then(|gate| next(prediction, here, gate));
        let Some(next) = next else { return Way { hops, end: End::NextIsDown(here) } };
        zone = Some(if gate.is_some_and(|gate| gate.tunnel.is_some()) { Zone::Tunnel } else { Zone::Nodes });
        here = next;
    }
}

/// Whether a node has somebody to answer for a service's address. With `externalTrafficPolicy: Local` kube-proxy drops what
/// comes from elsewhere to an external address where no pod of the service runs: the range that every node announces leads
/// there as soon as the service's own nodes are gone. What pods of the node itself send goes to any pod, as does what is sent
/// to a cluster address.
fn serves(prediction: &Prediction<'_>, here: Machine, is_start: bool, to: IpAddr) -> bool {
    let network = prediction.network();
    let Some(service) = prediction.ground().services.iter().find(|service| service.address == to) else {
        return true;
    };
    let is_alive = |name: &String| network.machine(name).is_some_and(|node| prediction.is_alive(node));
    if !service.nodes.iter().any(is_alive) {
        return false;
    }
    let everywhere = crate::findings::ranges(network.spec, &["serviceClusterIPs"]);
    is_start
        || service.nodes.iter().any(|name| name == network.name(here))
        || everywhere.iter().any(|net| net.contains(&to))
}

/// The segment beside the nodes' from which a packet comes that begins at this router; none when it is the router's own.
fn segment(network: &Network<'_>, start: Machine, source: IpAddr) -> Option<Zone> {
    let Machine::Router(n) = start else { return None };
    let rules = network.spec.routers.get(n)?.firewall.iter();
    let mut lans = rules.filter(|rule| matches!(rule.zone, Zone::Lan(_)));
    let inside = |rule: &&FirewallRule| rule.from.iter().any(|net| IpNet::contains(&net.net(), &source));
    lans.find(inside).map(|rule| rule.zone.clone())
}

/// Who takes the packet at a gate; none when nobody is there.
///
/// A gateway address that no router has as its own moves between the site's routers (CARP, VRRP): the first one in the
/// document that lives has it.
fn next(prediction: &Prediction<'_>, here: Machine, gate: &Gate) -> Option<Machine> {
    let network = prediction.network();
    let alive = |machine: &Machine| prediction.is_alive(*machine);
    if let Some(owner) = network.owner(gate.next_hop) {
        return Some(owner).filter(alive);
    }
    let Machine::Node(n) = here else { return None };
    let is_gateway = network.spec.nodes.get(n).is_some_and(|node| node.gateways.contains(&gate.next_hop));
    let site = network.site(here);
    let routers = (0..network.spec.routers.len()).map(Machine::Router);
    routers.filter(|router| is_gateway && network.site(*router) == site).find(alive)
}

/// The rule by which a router lets a packet through that enters in `zone`; none when it drops it. Protocols and ports
/// are not looked at: a rule for some of them is none for this packet.
fn passes<'r>(router: &'r RouterPlan, zone: &Zone, source: IpAddr, to: IpAddr) -> Option<&'r FirewallRule> {
    let fits = |rule: &&FirewallRule| {
        rule.protocol == "any" && !rule.to.is_empty() && &rule.zone == zone && admits(rule, source, to)
    };
    // One that keeps no connections decides before those that do: such packets are never tracked.
    let mut fitting = router.firewall.iter().filter(fits);
    let first = fitting.clone().next();
    fitting.find(|rule| rule.stateless).or(first)
}

fn admits(rule: &FirewallRule, source: IpAddr, to: IpAddr) -> bool {
    let inside = |nets: &[kmh_doc::Cidr], ip: IpAddr| nets.iter().any(|net| IpNet::contains(&net.net(), &ip));
    (rule.from.is_empty() || inside(&rule.from, source)) && inside(&rule.to, to) && !inside(&rule.except, to)
}
