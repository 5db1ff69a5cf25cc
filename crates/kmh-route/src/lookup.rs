//! What a machine does with a packet: the longest prefix of all that it has, not of BGP's alone.

use std::net::IpAddr;

use ipnet::IpNet;

/// What a machine's longest prefix for an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The prefix.
    pub prefix: IpNet,
    /// Why it is there.
    pub origin: Origin,
    /// Where it leads: equal gates are used side by side; empty when the packet ends here, see `origin`.
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
    /// The node's own service range or address: kube-proxy chooses a pod.
    Service,
    /// The node segment, or a tunnel's network.
    Connected,
    /// Another segment of the router: what it originates and does not have on the node segment.
    Lan,
    /// BGP.
    Bgp,
    /// The router's `unreachable` routes: the sender is told so.
    Unreachable,
    /// The node's blackhole for a block of its own in which no pod has that address, and for tables that end in nothing.
    Blackhole,
    /// The default route: the gateway of a node, the Internet of a router.
    Default,
}
