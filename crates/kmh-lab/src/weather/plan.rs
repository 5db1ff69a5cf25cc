//! What a lab is like with everything broken that is: a pure function of what it was built from and what is broken. Two
//! of them give the steps from one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use kmh_doc::network::{RouterPlan, Tunnel};

use super::names::{Broken, How, Kind, Slowness};
use super::slow;
use crate::args::Carrier;
use crate::memory::{Memory, is_up, space};
use crate::plan::wires::End;
use crate::services::IPSEC;
use crate::shape::Shape;
use crate::state::State;

/// Units whose programs speak to others, and these programs, by the names that the kernel shows.
pub(crate) const DAEMONS: [(&str, &[&str]); 7] = [
    ("frr.service", &FRR),
    ("frr@*.service", &FRR),
    ("bird.service", &["bird"]),
    ("kmh-lab-bird.service", &["bird"]),
    ("kmh-bird-*.service", &["bird"]),
    ("strongswan.service", &CHARON),
    (IPSEC, &CHARON),
];
const CHARON: [&str; 2] = ["charon", "charon-systemd"];
const FRR: [&str; 5] = ["bgpd", "bfdd", "zebra", "staticd", "watchfrr"];

/// The node interface inside a namespace that kmh makes.
const NODES: &str = "nodes";
/// The tables by which packets vanish.
const TABLE: &str = "kmh_cut";

/// A daemon or a unit of a machine: `vps-host`, `frr@k8s`.
pub(crate) type Of = (String, String);

/// What differs from a lab in which all is well.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    /// Packet filters that let packets vanish, by namespace.
    pub filters: BTreeMap<String, String>,
    /// Interfaces that are down.
    pub dead: BTreeSet<End>,
    /// Units that are stopped.
    pub stopped: BTreeSet<Of>,
    /// Daemons that hang.
    pub frozen: BTreeSet<Of>,
    /// Daemons that were killed: whoever mends starts their units.
    pub killed: BTreeSet<Of>,
    /// Addresses that move between the routers of a site, and whether they are there.
    pub gateways: BTreeMap<(End, String), bool>,
    /// How fast interfaces of lines send; those that nothing is said of send as the kernel has it.
    pub queues: BTreeMap<End, Shape>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Stop a unit, in order.
    Stop(Of),
    /// Start it.
    Start(Of),
    /// Let a daemon hang, or go on.
    Freeze(Of, bool),
    /// Load this instead of what lets packets vanish in a namespace.
    Filter(String, String),
    /// Take an interface down, or bring it up with these routes.
    Link(End, bool, Vec<String>),
    /// Put an address on an interface, or take it away.
    Address(End, String, bool),
    /// Nodes forget who has the gateway's address, as a gratuitous ARP makes them.
    Forget(End),
    /// An interface sends that fast.
    Queue(End, Shape),
}

/// The programs of a unit, and the namespace that it is for; none of units that speak to nobody.
fn known(unit: &str) -> Option<(&'static [&'static str], Option<&str>)> {
    DAEMONS.iter().find_map(|(pattern, programs)| match pattern.split_once('*') {
        None => (*pattern == unit).then_some((*programs, None)),
        Some((before, after)) => Some((*programs, Some(unit.strip_prefix(before)?.strip_suffix(after)?))),
    })
}

/// Units of a router or machine that speak to others, in the order in which they were started.
fn units(state: &State, name: &str) -> Vec<Of> {
    let inner = state.routers.get(name);
    let machine = inner.map_or(name, |inner| inner.machine.as_str());
    let Some(own) = state.machines.get(machine) else { return Vec::new() };
    // Of two namespace routers on one machine each has its own; what is for no namespace belongs to all.
    let is_its = |instance: Option<&str>| match (inner, instance) {
        (Some(inner), Some(instance)) => inner.netns == instance,
        _ => true,
    };
    let units = own.services.iter().filter(|unit| known(unit).is_some_and(|(_, instance)| is_its(instance)));
    units.map(|unit| (machine.to_owned(), unit.clone())).collect()
}

/// Daemons that can be named: `MACHINE:DAEMON`.
pub(crate) fn daemons(state: &State) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in state.machines.keys().chain(state.routers.keys()) {
        for (_, unit) in units(state, name) {
            let programs = known(&unit).map(|(programs, _)| programs).unwrap_or_default();
            found.extend(programs.iter().map(|program| format!("{name}:{program}")));
        }
    }
    found
}

/// The unit to which a daemon belongs.
fn unit_of(state: &State, name: &str, daemon: &str) -> Option<Of> {
    let mut units = units(state, name).into_iter();
    units.find(|(_, unit)| known(unit).is_some_and(|(programs, _)| programs.contains(&daemon)))
}

/// Whether a router or node has no power.
fn is_dark(memory: &Memory, broken: &[Broken], name: &str) -> bool {
    let site = memory.site(name);
    broken.iter().any(|one| match one.kind {
        Kind::Router | Kind::Node => one.name == name,
        Kind::Site => Some(one.name.as_str()) == site,
        _ => false,
    })
}

/// Whether what is broken takes a tunnel with it whose ends live. Lines take those along that are only links here: ESP
/// needs no help.
fn takes(one: &Broken, tunnel: &Tunnel, carrier: Option<Carrier>) -> bool {
    match one.kind {
        Kind::Tunnel => one.name == tunnel.name,
        Kind::Uplink => {
            !carrier.is_some_and(Carrier::encrypts)
                && !one.is_slow()
                && tunnel.ends.iter().any(|end| format!("{}/{}", end.router, end.uplink) == one.name)
        }
        _ => false,
    }
}

impl Weather {
    /// What the lab is like with these things broken.
    pub(crate) fn of(memory: &Memory, state: &State, broken: &[Broken]) -> Self {
        let mut weather = Self::default();
        // Interfaces through which nothing passes, by namespace; none for all of them.
        let mut silent: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
        let mut interface = |space: String, interface: &str| {
            if let Some(set) = silent.entry(space).or_insert_with(|| Some(BTreeSet::new())) {
                set.insert(interface.to_owned());
            }
        };
        let is_whole = |tunnel: &&Tunnel| tunnel.ends.iter().all(|end| is_up(state, &end.router));
        for tunnel in memory.network.tunnels.iter().filter(is_whole) {
            let cuts: Vec<&Broken> = broken.iter().filter(|one| takes(one, tunnel, state.tunnels)).collect();
            if cuts.iter().any(|one| one.kind == Kind::Tunnel && one.how == How::Clean) {
                let ends = tunnel.ends.iter().map(|end| End::new(&space(state, &end.router), &end.interface));
                weather.dead.extend(ends);
            } else if let (false, [end, _]) = (cuts.is_empty(), &tunnel.ends) {
                interface(space(state, &end.router), &end.interface);
            }
        }
        for one in broken.iter().filter(|one| one.kind == Kind::Uplink) {
            let Some(line) = state.wires.lines.get(&one.name) else { continue };
            match &one.how {
                How::Slow(_) => {}
                // As when the cable is pulled: the router sees that nothing is there.
                How::Clean => drop(weather.dead.insert(line.far.clone())),
                How::Silent | How::Killed => interface(line.near.space.clone(), &line.near.interface),
            }
        }
        let routers = memory.network.routers.iter().map(|router| &router.name);
        for name in routers.chain(memory.network.nodes.iter().map(|node| &node.name)) {
            if is_dark(memory, broken, name) && is_up(state, name) {
                silent.insert(space(state, name), None);
                if broken
                    .iter()
                    .any(|one| one.how == How::Clean && is_dark(memory, std::slice::from_ref(one), name))
                {
                    weather.stopped.extend(units(state, name));
                }
            }
        }
        for one in broken.iter().filter(|one| one.kind == Kind::Daemon) {
            let Some((name, daemon)) = one.name.split_once(':') else { continue };
            match &one.how {
                How::Clean => weather.stopped.extend(unit_of(state, name, daemon)),
                How::Killed => drop(weather.killed.insert((name.to_owned(), daemon.to_owned()))),
                _ => drop(weather.frozen.insert((name.to_owned(), daemon.to_owned()))),
            }
        }
        weather.filters = silent.into_iter().map(|(space, set)| (space, filter(set.as_ref()))).collect();
        weather.gateways = gateways(memory, state, broken);
        weather.queues = queues(memory, state, broken);
        weather
    }

    /// The steps from this to another one. What sends goes before what receives: a daemon that is stopped in order says
    /// goodbye, and one that starts finds its interfaces.
    pub(crate) fn steps_to(&self, then: &Self, memory: &Memory, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        // In the reverse of the order in which they were started.
        let mut stops: Vec<&Of> = then.stopped.difference(&self.stopped).collect();
        stops.sort_by_key(|of| std::cmp::Reverse(place(state, of)));
        steps.extend(stops.into_iter().cloned().map(Step::Stop));
        steps.extend(then.frozen.difference(&self.frozen).map(|of| Step::Freeze(of.clone(), true)));
        let spaces: BTreeSet<&String> = self.filters.keys().chain(then.filters.keys()).collect();
        for space in spaces {
            if self.filters.get(space) != then.filters.get(space) {
                let text = then.filters.get(space).cloned().unwrap_or_else(clear);
                steps.push(Step::Filter(space.clone(), text));
            }
        }
        steps.extend(then.dead.difference(&self.dead).map(|end| Step::Link(end.clone(), false, Vec::new())));
        steps.extend(self.dead.difference(&then.dead).map(|end| {
            // Those of this interface went with it.
            let all = state.wires.routes.get(&end.space).into_iter().flatten();
            let is_its = |route: &&String| route.split(' ').any(|word| word == end.interface);
            let routes = all.filter(is_its).cloned().collect();
            Step::Link(end.clone(), true, routes)
        }));
        steps.extend(self.frozen.difference(&then.frozen).map(|of| Step::Freeze(of.clone(), false)));
        let mended =
            self.killed.difference(&then.killed).filter_map(|(name, daemon)| unit_of(state, name, daemon));
        let mut starts: BTreeSet<Of> =
            self.stopped.difference(&then.stopped).cloned().chain(mended).collect();
        starts.retain(|of| !then.stopped.contains(of));
        let mut starts: Vec<Of> = starts.into_iter().collect();
        starts.sort_by_key(|of| place(state, of));
        steps.extend(starts.into_iter().map(Step::Start));
        let before = |key: &(End, String)| self.gateways.get(key);
        let moved: Vec<_> = then.gateways.iter().filter(|(key, here)| before(key) != Some(here)).collect();
        // Away before it comes: the address is never at two.
        for wanted in [false, true] {
            let some = moved.iter().filter(|(_, here)| **here == wanted);
            steps.extend(
                some.map(|((end, address), here)| Step::Address(end.clone(), address.clone(), **here)),
            );
        }
        if moved.iter().any(|(_, here)| **here) {
            steps.extend(segment(memory, state, &moved).into_iter().map(Step::Forget));
        }
        let shaped: BTreeSet<&End> = self.queues.keys().chain(then.queues.keys()).collect();
        for end in shaped {
            if self.queues.get(end) != then.queues.get(end) {
                steps.push(Step::Queue(end.clone(), then.queues.get(end).cloned().unwrap_or_default()));
            }
        }
        steps
    }
}

/// When a unit was started.
fn place(state: &State, (machine, unit): &Of) -> Option<usize> {
    state.machines.get(machine)?.services.iter().position(|own| own == unit)
}

/// Interfaces of the nodes whose gateway moved.
fn segment(memory: &Memory, state: &State, moved: &[(&(End, String), &bool)]) -> Vec<End> {
    let hosts = |space: &str| {
        memory.network.routers.iter().find(|router| crate::memory::space(state, &router.name) == space)
    };
    let sites: BTreeSet<&str> =
        moved.iter().filter_map(|((end, _), _)| Some(hosts(&end.space)?.site.as_str())).collect();
    let nodes = memory.network.nodes.iter().filter(|node| sites.contains(node.site.as_str()));
    nodes.filter_map(|node| interface_with(state, &node.name, &node.addresses)).collect()
}

/// The interface that has one of these addresses.
pub(super) fn interface_with(state: &State, name: &str, addresses: &[String]) -> Option<End> {
    let space = space(state, name);
    let own = state.wires.interfaces.iter().filter(|(end, _)| end.space == space);
    let mut having =
        own.filter(|(_, interface)| addresses.iter().any(|one| interface.addresses.contains(one)));
    having.next().map(|(end, _)| end.clone())
}

/// Takes away what lets packets vanish.
fn clear() -> String {
    // A table that is named is there, so it can be deleted: nftables has no "delete if it is there" before 1.0.6.
    ["inet", "arp"]
        .map(|family| format!("table {family} {TABLE} {{}}\ndelete table {family} {TABLE}\n"))
        .concat()
}

/// Lets everything vanish that enters or leaves by these interfaces; none for all but the machine's own.
fn filter(interfaces: Option<&BTreeSet<String>>) -> String {
    let mut out = clear();
    let set =
        interfaces.map(|set| set.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "));
    let set = set.map_or_else(|| "!= \"lo\"".to_owned(), |names| format!("{{ {names} }}"));
    // Before connection tracking and every other filter, and behind all of them.
    let _ = write!(
        out,
        "table inet {TABLE} {{\n  \
         chain in {{ type filter hook prerouting priority -400; iifname {set} drop; }}\n  \
         chain out {{ type filter hook postrouting priority 400; oifname {set} drop; }}\n}}\n"
    );
    if interfaces.is_none() {
        let _ = write!(
            out,
            "table arp {TABLE} {{\n  \
             chain in {{ type filter hook input priority 0; policy drop; }}\n  \
             chain out {{ type filter hook output priority 0; policy drop; }}\n}}\n"
        );
    }
    out
}

/// How fast interfaces send: both ends of a line, and of a tunnel that is only a link, which has both of its lines behind
/// each other.
fn queues(memory: &Memory, state: &State, broken: &[Broken]) -> BTreeMap<End, Shape> {
    let of = |name: &str| {
        let line = state.wires.lines.get(name)?;
        let slowness = broken.iter().find_map(|one| match &one.how {
            How::Slow(slowness) if one.kind == Kind::Uplink && one.name == name => Some(slowness),
            _ => None,
        });
        Some(slow::of(line, slowness.unwrap_or(&Slowness::default())))
    };
    let mut found = BTreeMap::new();
    for (name, line) in &state.wires.lines {
        let queue = of(name).unwrap_or_default();
        found.extend([&line.near, &line.far].map(|end| (end.clone(), queue.clone())));
    }
    for tunnel in memory.network.tunnels.iter().filter(|_| state.tunnels == Some(Carrier::Plain)) {
        let ends = tunnel.ends.each_ref();
        let [a, b] = ends.map(|end| of(&format!("{}/{}", end.router, end.uplink)).unwrap_or_default());
        let queue = slow::behind(a, b);
        let ends = ends.map(|end| End::new(&space(state, &end.router), &end.interface));
        let is_there = |end: &End| state.wires.interfaces.contains_key(end);
        found.extend(ends.into_iter().filter(is_there).map(|end| (end, queue.clone())));
    }
    found.retain(|_, shape| *shape != Shape::default());
    found
}

/// Gateway addresses that no router has as its own: the first living router of the site has them, as VRRP and CARP do.
fn gateways(memory: &Memory, state: &State, broken: &[Broken]) -> BTreeMap<(End, String), bool> {
    let mut found = BTreeMap::new();
    let wanted: BTreeSet<(&str, IpAddr)> = memory
        .network
        .nodes
        .iter()
        .flat_map(|node| node.gateways.iter().map(|gateway| (node.site.as_str(), *gateway)))
        .collect();
    for (site, gateway) in wanted {
        let routers: Vec<&RouterPlan> =
            memory.network.routers.iter().filter(|router| router.site == site).collect();
        if routers.iter().any(|router| router.addresses.iter().any(|own| is_address(own, gateway))) {
            continue;
        }
        let lives =
            |router: &RouterPlan| is_up(state, &router.name) && !is_dark(memory, broken, &router.name);
        let living = routers.iter().find(|router| lives(router));
        // The length that it was laid with, or its own.
        let laid = state.wires.interfaces.values().flat_map(|interface| &interface.addresses);
        let laid = laid.clone().find(|own| is_address(own, gateway)).cloned();
        let address =
            laid.unwrap_or_else(|| format!("{gateway}/{}", if gateway.is_ipv6() { 128 } else { 32 }));
        for router in &routers {
            // Inside a namespace that kmh makes the interface has its addresses from elsewhere, and this name.
            let own = interface_with(state, &router.name, &router.addresses);
            let made = || {
                let space = space(state, &router.name);
                space.contains('/').then(|| End::new(&space, NODES))
            };
            if let Some(end) = own.or_else(made).filter(|_| is_up(state, &router.name)) {
                let here = living.is_some_and(|living| living.name == router.name);
                found.insert((end, address.clone()), here);
            }
        }
    }
    found
}

fn is_address(with_length: &str, address: IpAddr) -> bool {
    with_length.split_once('/').is_some_and(|(own, _)| own.parse() == Ok(address))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
