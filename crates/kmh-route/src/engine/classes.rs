//! Prefixes that share their fate: announced by nodes of one site that are treated alike, matched by the same rules.
//! Their routes among routers differ only in whose they are, so that they are computed once, for one of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::PathRule;

use crate::ground::Ground;
use crate::network::{Machine, Network, RouterSide, Side};
use crate::prefixes::NetMap;

/// A prefix.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    pub(crate) net: IpNet,
    pub(crate) class: u32,
    /// Who announces it, when that is one.
    pub(crate) origin: Option<Machine>,
}

/// A class.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) v6: bool,
    /// One of its prefixes.
    pub(crate) net: IpNet,
    /// Numbers of the rules that match all of them.
    pub(crate) rules: Box<[u32]>,
    /// Its prefixes by place, sorted.
    pub(crate) members: Vec<u32>,
    pub(crate) origins: Origins,
}

/// Who announces the prefixes of a class.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    /// Each another node, see [`Prefix::origin`].
    Nodes,
    /// All the same.
    Same(Vec<Machine>),
}

/// All prefixes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    pub(crate) list: Vec<Class>,
    pub(crate) prefixes: Vec<Prefix>,
    by_net: NetMap<u32>,
    /// Prefixes that each node announces, sorted.
    pub(crate) of_node: Vec<Vec<u32>>,
    /// Each node's blocks.
    pub(crate) blocks: Vec<Vec<IpNet>>,
    /// Borrowed addresses and their nodes.
    borrowed: HashSet<(IpNet, usize)>,
}

/// A node's sessions, as far as they matter for its routes.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Profile {
    asn: Option<u32>,
    id: usize,
    sessions: Vec<(usize, Option<RouterSide>, u32, usize, bool)>,
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Nodes(Box<[u32]>, usize, u64, Option<IpNet>),
    Same(Box<[u32]>, Vec<(Machine, u64)>, Option<IpNet>),
}

impl Classes {
    /// Sorts every prefix of the ground into classes. Nodes in `odd` share nothing with others.
    pub(crate) fn new(network: &Network<'_>, ground: &Ground, odd: &BTreeSet<usize>) -> Self {
        let blocks = blocks_of(network, ground);
        let origins = origins(network, ground);
        let profiles = profiles(network);
        // Calico's export rules, which nodes in transit ask, look at more than rules of prefix lists.
        let each = !network.transit.is_empty();
        let borrowed = ground.borrowed.iter().filter_map(|(address, node)| match network.machine(node)? {
            Machine::Node(node) => Some((IpNet::from(*address), node)),
            Machine::Router(_) => None,
        });
        let mut all = Self {
            of_node: vec![Vec::new(); network.nodes.len()],
            blocks,
            borrowed: borrowed.collect(),
            ..Self::default()
        };
        let mut places: HashMap<Key, u32> = HashMap::new();
        for (net, machines) in origins {
            let v6 = matches!(net, IpNet::V6(_));
            let rules = network.rules.matching(net);
            let number = u32::try_from(all.prefixes.len()).unwrap_or(u32::MAX);
            let mask = |machine: Machine| announced(network, &all.blocks, machine, net);
            let one = match machines[..] {
                [Machine::Node(node)] => Some(node),
                _ => None,
            };
            let key = if let Some(node) = one {
                let alone = each || odd.contains(&node);
                let profile = profiles.get(node).map_or(0, |both| both[usize::from(v6)]);
                Key::Nodes(rules.clone(), profile, mask(Machine::Node(node)), alone.then_some(net))
            } else {
                let masks = machines.iter().map(|machine| (*machine, mask(*machine)));
                Key::Same(rules.clone(), masks.collect(), each.then_some(net))
            };
            for machine in &machines {
                if let Machine::Node(node) = machine
                    && let Some(own) = all.of_node.get_mut(*node)
                {
                    own.push(number);
                }
            }
            let class = *places.entry(key).or_insert_with(|| {
                let origins = if one.is_some() { Origins::Nodes } else { Origins::Same(machines.clone()) };
                all.list.push(Class { v6, net, rules, members: Vec::new(), origins });
                u32::try_from(all.list.len() - 1).unwrap_or(u32::MAX)
            });
            if let Some(class) = all.list.get_mut(class as usize) {
                class.members.push(number);
            }
            *all.by_net.entry(net) = number;
            all.prefixes.push(Prefix { net, class, origin: one.map(Machine::Node) });
        }
        all
    }

    /// Every known prefix around a network, the longest first.
    pub(crate) fn around(&self, net: IpNet) -> impl Iterator<Item = u32> {
        self.by_net.around(net).map(|(_, number)| *number)
    }

    pub(crate) fn prefix(&self, number: u32) -> Option<&Prefix> {
        self.prefixes.get(number as usize)
    }

    /// The prefix and its class.
    pub(crate) fn with_class(&self, number: u32) -> Option<(&Prefix, &Class)> {
        let prefix = self.prefix(number)?;
        Some((prefix, self.list.get(prefix.class as usize)?))
    }

    /// Whether a machine has a prefix of its own from its kernel alone: the route to a pod with a borrowed address. BIRD
    /// learns it with preference 10, so that whatever BGP brings, with preference 100, is the better one.
    pub(crate) fn is_borrowed(&self, machine: Machine, net: IpNet) -> bool {
        matches!(machine, Machine::Node(node) if self.borrowed.contains(&(net, node)))
    }

    pub(crate) fn blocks_of(&self, machine: Machine) -> &[IpNet] {
        match machine {
            Machine::Node(node) => self.blocks.get(node).map_or(&[], Vec::as_slice),
            Machine::Router(_) => &[],
        }
    }
}

/// Which of a machine's sessions announce a network of its own: a bit each.
fn announced(network: &Network<'_>, blocks: &[Vec<IpNet>], machine: Machine, net: IpNet) -> u64 {
    let Machine::Node(node) = machine else { return u64::MAX };
    let blocks = blocks.get(node).map_or(&[][..], Vec::as_slice);
    let mut mask = 0;
    for (bit, number) in network.sessions_of(machine).iter().enumerate().take(64) {
        if announces(network, *number, blocks, net) {
            mask |= 1 << bit;
        }
    }
    mask
}

/// Whether a node announces a network of its own over a session.
pub(crate) fn announces(network: &Network<'_>, number: u32, blocks: &[IpNet], net: IpNet) -> bool {
    let Some((session, [_, Side::Node(side)])) = network.session(number) else { return false };
    let peer = network.calico.peers.get(side.peer as usize);
    session.v6 == matches!(net, IpNet::V6(_))
        && peer.is_some_and(|peer| network.calico.exports(peer, blocks, net, false, side.external))
}

fn blocks_of(network: &Network<'_>, ground: &Ground) -> Vec<Vec<IpNet>> {
    let mut blocks = vec![Vec::new(); network.nodes.len()];
    for (net, node) in &ground.blocks {
        if let Some(Machine::Node(node)) = network.machine(node)
            && let Some(own) = blocks.get_mut(node)
        {
            own.push(*net);
        }
    }
    blocks
}

/// Every prefix and who has it of its own, sorted.
fn origins(network: &Network<'_>, ground: &Ground) -> BTreeMap<IpNet, Vec<Machine>> {
    let mut all: BTreeMap<IpNet, Vec<Machine>> = BTreeMap::new();
    for (router, plan) in network.spec.routers.iter().enumerate() {
        for net in &plan.originate {
            all.entry(net.net()).or_default().push(Machine::Router(router));
        }
    }
    let mut of_nodes: Vec<(IpNet, Machine)> = Vec::new();
    let named = |name: &str| network.machine(name).filter(|machine| matches!(machine, Machine::Node(_)));
    for (net, node) in &ground.blocks {
        of_nodes.extend(named(node).map(|node| (*net, node)));
    }
    for (address, node) in &ground.borrowed {
        of_nodes.extend(named(node).map(|node| (IpNet::from(*address), node)));
    }
    for service in &ground.services {
        of_nodes.extend(
            service.nodes.iter().filter_map(|node| Some((IpNet::from(service.address), named(node)?))),
        );
    }
    for net in &network.calico.services {
        let v6 = matches!(net, IpNet::V6(_));
        let nodes = network.nodes.iter().zip(&network.calico.excluded).enumerate();
        let nodes = nodes.filter(|(_, (node, excluded))| {
            !**excluded && node.addresses.iter().any(|address| address.is_ipv6() == v6)
        });
        of_nodes.extend(nodes.map(|(node, _)| (*net, Machine::Node(node))));
    }
    for (net, node) in of_nodes {
        all.entry(net).or_default().push(node);
    }
    for machines in all.values_mut() {
        machines.sort_unstable();
        machines.dedup();
    }
    all
}

/// Each node's profile by number, for IPv4 and IPv6.
fn profiles(network: &Network<'_>) -> Vec<[usize; 2]> {
    // An AS number that only one node has, and that no policy asks for, may stand for any other such number.
    let mut shared: BTreeSet<u32> = network.routers.iter().map(|router| router.asn).collect();
    for router in &network.spec.routers {
        shared.extend(router.as_paths.iter().filter_map(|list| match list.permit {
            PathRule::Only(asn) => Some(asn.get()),
            PathRule::Empty | PathRule::Single => None,
        }));
    }
    let mut seen = BTreeSet::new();
    for node in &network.nodes {
        if !seen.insert(node.asn) {
            shared.insert(node.asn);
        }
    }
    let mut ids: Vec<u32> = network.routers.iter().map(|router| router.id).collect();
    ids.sort_unstable();
    let mut addresses: Vec<IpAddr> =
        network.routers.iter().flat_map(|router| &router.addresses).copied().collect();
    addresses.sort_unstable();
    let mut numbers: HashMap<Profile, usize> = HashMap::new();
    let mut all = Vec::with_capacity(network.nodes.len());
    for (number, node) in network.nodes.iter().enumerate() {
        let own = Machine::Node(number);
        let mut both = [0, 0];
        for (v6, slot) in [false, true].into_iter().zip(&mut both) {
            let mut sessions = Vec::new();
            let mut own_asn = false;
            for place in &node.sessions {
                let Some((session, sides)) = network.session(*place) else { continue };
                let [router, end] = session.ends;
                let (Machine::Router(router), true) = (router.machine, session.v6 == v6) else { continue };
                own_asn |= end.machine == own && end.asn != node.asn;
                let [router_side, node_side] = sides;
                let router_side = match router_side {
                    Side::Router(side) => Some(*side),
                    _ => None,
                };
                let peer = match node_side {
                    Side::Node(side) => side.peer,
                    _ => u32::MAX,
                };
                let rank = addresses.partition_point(|address| *address < end.address);
                sessions.push((router, router_side, peer, rank, session.fault.is_some()));
            }
            let asn = (shared.contains(&node.asn) || own_asn).then_some(node.asn);
            let id = ids.partition_point(|id| *id < node.id);
            let next = numbers.len();
            *slot = *numbers.entry(Profile { asn, id, sessions }).or_insert(next);
        }
        all.push(both);
    }
    all
}
