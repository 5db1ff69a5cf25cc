//! What a machine does with a packet: the longest prefix of all that it has, not of BGP's alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::network::{Link, Machine, Speaker};
use crate::predict::Prediction;
use crate::table::Installed;

/// What a machine's longest prefix for an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The prefix.
    pub prefix: IpNet,
    /// Why it is there.
    pub origin: Origin,
    /// Where it leads: equal gates are used side by side; empty when the packet ends or leaves the cluster here, see
    /// `origin`.
    pub gates: Vec<Gate>,
}

/// Where a packet leaves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gate {
    /// The next machine's address: the destination itself on a connected network.
    pub next_hop: IpAddr,
    /// The tunnel by name; none for the node segment, or what is behind [`Origin::Lan`] and [`Origin::Default`].
    pub tunnel: Option<String>,
}

/// Why a machine has a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An address of the machine's own.
    Own,
    /// A pod of the node's own: out of its block, or borrowed.
    Pod,
    /// A service range, at a node: kube-proxy chooses a pod.
    Service,
    /// The node segment, or a tunnel's network.
    Connected,
    /// Another segment of the router: what it originates and does not have on the node segment.
    Lan,
    /// BGP.
    Bgp,
    /// The router's `unreachable` routes: the sender is told so.
    Unreachable,
    /// The node's blackhole for a block of its own in which no pod has that address: a block that was assumed or observed
    /// does not say which of its addresses are pods, so that no lookup ends here.
    Blackhole,
    /// The default route: the gateway of a node; of a router the Internet, without gates.
    Default,
}

impl Prediction<'_> {
    /// What a machine does with a packet for an address; none when it is down or has not even a default route.
    pub fn lookup(&self, machine: Machine, to: IpAddr) -> Option<Found> {
        let speaker = self.network.speaker(machine).filter(|_| self.is_alive(machine))?;
        if speaker.addresses.contains(&to) {
            return Some(ends(IpNet::from(to), Origin::Own));
        }
        match machine {
            Machine::Router(router) => Some(self.router_lookup(router, speaker, to)),
            Machine::Node(node) => self.node_lookup(node, speaker, to),
        }
    }

    fn router_lookup(&self, router: usize, speaker: &Speaker, to: IpAddr) -> Found {
        let plan = self.network.spec.routers.get(router);
        let lans = plan.into_iter().flat_map(|plan| &plan.originate).map(|net| net.net());
        let lans = lans.filter(|net| net.contains(&to)).map(|net| ends(net, Origin::Lan));
        let stops = plan.into_iter().flat_map(|plan| &plan.unreachable).map(|net| net.net());
        let stops = stops.filter(|net| net.contains(&to)).map(|net| ends(net, Origin::Unreachable));
        // Of equally long ones the first: connected, BGP, distance 254.
        let found = self
            .connected(speaker, to)
            .into_iter()
            .chain(lans)
            .chain(self.learned(Machine::Router(router), to));
        let found = found.chain(stops).chain([ends(everything(to), Origin::Default)]);
        found.reduce(longer).unwrap_or_else(|| ends(everything(to), Origin::Default))
    }

    fn node_lookup(&self, node: usize, speaker: &Speaker, to: IpAddr) -> Option<Found> {
        let machine = Machine::Node(node);
        let here = IpNet::from(to);
        let name = self.network.name(machine);
        if self.ground.borrowed.iter().any(|(address, at)| *address == to && at == name) {
            return Some(ends(here, Origin::Pod));
        }
        if self.network.calico.is_service(here) {
            return Some(ends(here, Origin::Service));
        }
        let blocks = self.classes.blocks_of(machine).iter().filter(|block| block.contains(&to));
        let blocks = blocks.map(|block| ends(*block, Origin::Pod));
        let spec = self.network.spec.nodes.get(node);
        let gateway =
            spec.and_then(|spec| spec.gateways.iter().find(|gateway| gateway.is_ipv4() == to.is_ipv4()));
        let default = gateway.map(|gateway| Found {
            prefix: everything(to),
            origin: Origin::Default,
            gates: vec![Gate { next_hop: *gateway, tunnel: None }],
        });
        let found = self.connected(speaker, to).into_iter().chain(blocks).chain(self.learned(machine, to));
        found.chain(default).reduce(longer)
    }

    fn connected(&self, speaker: &Speaker, to: IpAddr) -> Option<Found> {
        let near = speaker.connected.iter().filter(|(net, link)| net.contains(&to) && self.is_linked(*link));
        let (net, link) = near.max_by_key(|(net, _)| net.prefix_len())?;
        Some(Found {
            prefix: *net,
            origin: Origin::Connected,
            gates: vec![Gate { next_hop: to, tunnel: self.tunnel_name(*link) }],
        })
    }

    fn tunnel_name(&self, link: Link) -> Option<String> {
        self.network.spec.tunnels.get(tunnel(link)?).map(|tunnel| tunnel.name.clone())
    }

    fn is_linked(&self, link: Link) -> bool {
        tunnel(link).is_none_or(|tunnel| self.is_tunnel_up(tunnel))
    }

    /// The longest prefix of BGP's.
    fn learned(&self, machine: Machine, to: IpAddr) -> Option<Found> {
        let speaker = self.network.speaker(machine)?;
        self.classes.around(IpNet::from(to)).find_map(|number| {
            let prefix = self.classes.prefix(number)?;
            let Some(Installed::Via(next_hops)) = self.installed(machine, number) else { return None };
            let link = |next_hop: &IpAddr| {
                let near = speaker.connected.iter().find(|(net, _)| net.contains(next_hop));
                near.and_then(|(_, link)| self.tunnel_name(*link))
            };
            let gates = next_hops
                .iter()
                .map(|next_hop| Gate { next_hop: *next_hop, tunnel: link(next_hop) })
                .collect();
            Some(Found { prefix: prefix.net, origin: Origin::Bgp, gates })
        })
    }
}

fn tunnel(link: Link) -> Option<usize> {
    match link {
        Link::Segment => None,
        Link::Tunnel(number) => Some(number as usize),
    }
}

fn ends(prefix: IpNet, origin: Origin) -> Found {
    Found { prefix, origin, gates: Vec::new() }
}

fn longer(a: Found, b: Found) -> Found {
    if b.prefix.prefix_len() > a.prefix.prefix_len() { b } else { a }
}

/// Where the default route leads.
fn everything(to: IpAddr) -> IpNet {
    match to {
        IpAddr::V4(_) => IpNet::from(ipnet::Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => IpNet::from(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
    }
}
