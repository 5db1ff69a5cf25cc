//! A network document, compiled once: speakers, sessions with both sides matched up, policies, tunnels.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::BgpDaemon;
use kmh_doc::network::{NetworkSpec, NodePlan, RouterPlan};

use crate::fault::Fault;
use crate::policy::{MapRef, Policies};
use crate::prefixes::Rules;

pub(crate) mod calico;
mod sessions;
mod sound;

pub(crate) use calico::Calico;
pub use sessions::{End, Session, Why};
pub(crate) use sessions::{NodeSide, RouterSide, Side};

/// A router or a node, by its place in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// `routers[n]`.
    Router(usize),
    /// `nodes[n]`.
    Node(usize),
}

/// What speaks BGP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Frr,
    Bird,
    /// The BIRD of calico-node.
    Calico,
}

/// One speaker.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    pub(crate) daemon: Daemon,
    pub(crate) multipath: bool,
    pub(crate) asn: u32,
    /// BGP identifier.
    pub(crate) id: u32,
    /// Its own addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// Networks that it is connected to: its segment first, then tunnels.
    pub(crate) connected: Vec<(IpNet, Link)>,
    /// Its sessions.
    pub(crate) sessions: Vec<u32>,
}

impl Speaker {
    /// Whether an address is on a network of the speaker's.
    pub(crate) fn is_near(&self, address: IpAddr) -> bool {
        self.connected.iter().any(|(net, _)| net.contains(&address))
    }
}

/// What a connected network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// The node segment.
    Segment,
    /// A tunnel, by its place.
    Tunnel(u32),
}

/// A network that predictions are made of.
#[derive(Debug)]
pub struct Network<'s> {
    /// The document.
    pub spec: &'s NetworkSpec,
    pub(crate) routers: Vec<Speaker>,
    pub(crate) nodes: Vec<Speaker>,
    pub(crate) calico: Calico,
    pub(crate) policies: Policies,
    pub(crate) rules: Rules,
    pub(crate) sides: Vec<[Side; 2]>,
    /// Routers of both ends of each tunnel.
    pub(crate) tunnel_ends: Vec<[Option<usize>; 2]>,
    /// Nodes that may hand on what they learned, by place.
    pub(crate) transit: Vec<usize>,
    sessions: Vec<Session>,
    /// Sessions over each tunnel.
    pub(crate) over_tunnel: Vec<Vec<u32>>,
    /// Machines of each site.
    pub(crate) at_site: BTreeMap<&'s str, Vec<Machine>>,
    /// Tunnels of each line, `ROUTER/LINE`.
    pub(crate) of_line: BTreeMap<String, Vec<usize>>,
    /// Tunnels of each router.
    pub(crate) of_router: Vec<Vec<usize>>,
    machines: HashMap<&'s str, Machine>,
    tunnels: HashMap<&'s str, usize>,
    owners: HashMap<IpAddr, Machine>,
}

impl<'s> Network<'s> {
    /// Compiles a document.
    pub fn new(spec: &'s NetworkSpec) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut machines = HashMap::new();
        let routers = spec.routers.iter().enumerate().map(|(n, router)| (&router.name, Machine::Router(n)));
        let nodes = spec.nodes.iter().enumerate().map(|(n, node)| (&node.name, Machine::Node(n)));
        for (name, machine) in routers.chain(nodes) {
            if machines.insert(name.as_str(), machine).is_some() {
                let place = match machine {
                    Machine::Router(n) => format!("routers[{n}].name"),
                    Machine::Node(n) => format!("nodes[{n}].name"),
                };
                let message = format!("two machines have the name `{name}`");
                faults.push(Fault::new(place, message).hint("rename one, or leave it out"));
            }
        }
        sound::sound(spec, &machines, &mut faults);
        let calico = Calico::read(&spec.calico, &spec.nodes).unwrap_or_else(|more| {
            faults.extend(more);
            Calico::default()
        });
        let mut rules = Rules::default();
        let mut policies = Policies::default();
        for (number, router) in spec.routers.iter().enumerate() {
            policies.add(number, router, &mut rules);
        }
        let tunnel_ends = tunnel_ends(spec, &machines, &mut faults);
        let mut network = Self {
            spec,
            routers: spec.routers.iter().map(|router| router_speaker(router, &mut faults)).collect(),
            nodes: spec
                .nodes
                .iter()
                .enumerate()
                .map(|(n, node)| node_speaker(node, calico.asns.get(n).copied().unwrap_or(0), &mut faults))
                .collect(),
            calico,
            policies,
            rules,
            sides: Vec::new(),
            tunnel_ends,
            transit: Vec::new(),
            sessions: Vec::new(),
            over_tunnel: vec![Vec::new(); spec.tunnels.len()],
            at_site: BTreeMap::new(),
            of_line: BTreeMap::new(),
            of_router: vec![Vec::new(); spec.routers.len()],
            machines,
            tunnels: spec.tunnels.iter().enumerate().map(|(n, tunnel)| (tunnel.name.as_str(), n)).collect(),
            owners: HashMap::new(),
        };
        network.connect();
        if !faults.is_empty() {
            return Err(faults);
        }
        sessions::join(&mut network);
        Ok(network)
    }

    /// Tunnels as connected networks, and whose address is whose.
    fn connect(&mut self) {
        for machine in self.machines() {
            self.at_site.entry(self.site(machine)).or_default().push(machine);
        }
        for (number, (tunnel, ends)) in self.spec.tunnels.iter().zip(&self.tunnel_ends).enumerate() {
            let link = Link::Tunnel(u32::try_from(number).unwrap_or(u32::MAX));
            for (end, router) in tunnel.ends.iter().zip(ends) {
                self.of_line.entry(format!("{}/{}", end.router, end.uplink)).or_default().push(number);
                if let Some(own) = router.and_then(|router| self.of_router.get_mut(router)) {
                    own.push(number);
                }
                let Some(speaker) = router.and_then(|router| self.routers.get_mut(router)) else { continue };
                speaker.addresses.extend(&end.addresses);
                speaker.connected.extend(tunnel.networks.iter().map(|net| (net.net(), link)));
            }
        }
        let routers = self.routers.iter().enumerate().map(|(n, speaker)| (Machine::Router(n), speaker));
        let nodes = self.nodes.iter().enumerate().map(|(n, speaker)| (Machine::Node(n), speaker));
        for (machine, speaker) in routers.chain(nodes) {
            for address in &speaker.addresses {
                self.owners.entry(*address).or_insert(machine);
            }
        }
    }

    /// The machine of that name.
    pub fn machine(&self, name: &str) -> Option<Machine> {
        self.machines.get(name).copied()
    }

    /// The place of the tunnel of that name.
    pub fn tunnel(&self, name: &str) -> Option<usize> {
        self.tunnels.get(name).copied()
    }

    /// Every machine: routers, then nodes, as in the document.
    pub fn machines(&self) -> impl Iterator<Item = Machine> + use<> {
        let (routers, nodes) = (self.routers.len(), self.nodes.len());
        (0..routers).map(Machine::Router).chain((0..nodes).map(Machine::Node))
    }

    /// Its name.
    pub fn name(&self, machine: Machine) -> &'s str {
        match machine {
            Machine::Router(n) => self.spec.routers.get(n).map_or("", |router| &router.name),
            Machine::Node(n) => self.spec.nodes.get(n).map_or("", |node| &node.name),
        }
    }

    /// Its site.
    pub fn site(&self, machine: Machine) -> &'s str {
        match machine {
            Machine::Router(n) => self.spec.routers.get(n).map_or("", |router| &router.site),
            Machine::Node(n) => self.spec.nodes.get(n).map_or("", |node| &node.site),
        }
    }

    /// Whose address that is: of the node segment or inside a tunnel.
    pub fn owner(&self, address: IpAddr) -> Option<Machine> {
        self.owners.get(&address).copied()
    }

    /// All sessions, in a fixed order.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The places in [`Self::sessions`] of a machine's sessions.
    pub fn sessions_of(&self, machine: Machine) -> &[u32] {
        self.speaker(machine).map_or(&[], |speaker| &speaker.sessions)
    }

    /// The addresses of a machine, without lengths: of its segment, then of its tunnels.
    pub fn addresses(&self, machine: Machine) -> &[IpAddr] {
        self.speaker(machine).map_or(&[], |speaker| &speaker.addresses)
    }

    /// Nodes that may hand on what they learned: the filter that keeps them from it is missing on a session.
    pub(crate) fn transit_nodes(&self) -> impl Iterator<Item = Machine> + '_ {
        self.transit.iter().map(|node| Machine::Node(*node))
    }

    /// Whether Calico's nodes peer with each other as well, which predictions know nothing of.
    pub fn has_mesh(&self) -> bool {
        self.calico.mesh
    }

    pub(crate) fn speaker(&self, machine: Machine) -> Option<&Speaker> {
        match machine {
            Machine::Router(n) => self.routers.get(n),
            Machine::Node(n) => self.nodes.get(n),
        }
    }

    pub(crate) fn session(&self, number: u32) -> Option<(&Session, &[Side; 2])> {
        let place = number as usize;
        Some((self.sessions.get(place)?, self.sides.get(place)?))
    }

    pub(crate) fn push_session(&mut self, session: Session, sides: [Side; 2]) {
        let number = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        for end in &session.ends {
            let speaker = match end.machine {
                Machine::Router(n) => self.routers.get_mut(n),
                Machine::Node(n) => self.nodes.get_mut(n),
            };
            if let Some(speaker) = speaker {
                speaker.sessions.push(number);
            }
        }
        if let Some(own) = session.tunnel.and_then(|tunnel| self.over_tunnel.get_mut(tunnel)) {
            own.push(number);
        }
        self.sessions.push(session);
        self.sides.push(sides);
    }

    pub(crate) fn map(&self, router: usize, name: &str) -> MapRef {
        self.policies.find(router, name)
    }
}

fn tunnel_ends(
    spec: &NetworkSpec,
    machines: &HashMap<&str, Machine>,
    faults: &mut Vec<Fault>,
) -> Vec<[Option<usize>; 2]> {
    let mut router = |tunnel: usize, end: usize, name: &str| {
        if let Some(Machine::Router(n)) = machines.get(name) {
            return Some(*n);
        }
        let place = format!("tunnels[{tunnel}].ends[{end}].router");
        faults.push(
            Fault::new(place, format!("there is no router `{name}`"))
                .hint("an end of a tunnel is one of the document's `routers`"),
        );
        None
    };
    let ends = spec.tunnels.iter().enumerate().map(|(number, tunnel)| {
        let [a, b] = &tunnel.ends;
        [router(number, 0, &a.router), router(number, 1, &b.router)]
    });
    ends.collect()
}

/// Addresses with the segment's length: addresses, and the segments.
fn interfaces(name: &str, written: &[String], faults: &mut Vec<Fault>) -> Vec<IpNet> {
    let parsed = written.iter().filter_map(|text| {
        let net = text.parse().ok();
        if net.is_none() {
            faults.push(
                Fault::new(
                    format!("`addresses` of `{name}`"),
                    format!("`{text}` is no address with a prefix length"),
                )
                .hint("write it as `10.10.0.1/24`"),
            );
        }
        net
    });
    parsed.collect()
}

fn router_speaker(router: &RouterPlan, faults: &mut Vec<Fault>) -> Speaker {
    let interfaces = interfaces(&router.name, &router.addresses, faults);
    Speaker {
        daemon: match router.daemon {
            BgpDaemon::Frr => Daemon::Frr,
            BgpDaemon::Bird => Daemon::Bird,
        },
        multipath: router.multipath,
        asn: router.asn.get(),
        id: router.router_id.into(),
        addresses: interfaces.iter().map(IpNet::addr).collect(),
        connected: interfaces.iter().map(|net| (net.trunc(), Link::Segment)).collect(),
        sessions: Vec::new(),
    }
}

fn node_speaker(node: &NodePlan, asn: u32, faults: &mut Vec<Fault>) -> Speaker {
    let interfaces = interfaces(&node.name, &node.addresses, faults);
    let addresses: Vec<IpAddr> = interfaces.iter().map(IpNet::addr).collect();
    Speaker {
        daemon: Daemon::Calico,
        multipath: true,
        asn,
        id: node_id(&addresses),
        addresses,
        connected: interfaces.iter().map(|net| (net.trunc(), Link::Segment)).collect(),
        sessions: Vec::new(),
    }
}

/// IPv4 of the node; without one a number out of its IPv6, which stands for the hash that calico-node makes of its name.
fn node_id(addresses: &[IpAddr]) -> u32 {
    let v4 = addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(u32::from(*v4)),
        IpAddr::V6(_) => None,
    });
    let v6 = addresses.iter().find_map(|address| match address {
        IpAddr::V6(v6) => Some(v6.octets()),
        IpAddr::V4(_) => None,
    });
    v4.or_else(|| v6.map(|o| u32::from_be_bytes([1, o[13], o[14], o[15]]))).unwrap_or(0)
}
