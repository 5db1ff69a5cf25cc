//! What breaks in a lab, and is mended: silently, as lines and power do.

use std::collections::BTreeSet;
use std::fmt;

use kmh_doc::network::Tunnel;

use super::Lab;

/// Something that fails; printed as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A tunnel carries nothing any more.
    Tunnel(String),
    /// A line of a router carries nothing any more: `ROUTER/LINE`.
    Uplink(String),
    /// A router is without power.
    Router(String),
    /// A node is without power.
    Node(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tunnel(name) => write!(f, "tunnel/{name}"),
            Self::Uplink(name) => write!(f, "uplink/{name}"),
            Self::Router(name) => write!(f, "router/{name}"),
            Self::Node(name) => write!(f, "node/{name}"),
        }
    }
}

impl Failure {
    /// Whether it takes a tunnel with it.
    fn cuts(&self, tunnel: &Tunnel) -> bool {
        match self {
            Self::Tunnel(name) => *name == tunnel.name,
            Self::Uplink(line) => {
                tunnel.ends.iter().any(|end| format!("{}/{}", end.router, end.uplink) == *line)
            }
            Self::Router(_) | Self::Node(_) => false,
        }
    }
}

impl Lab {
    /// Tunnels that carry nothing: cut themselves, or their line is.
    pub(super) fn cut_tunnels(&self) -> BTreeSet<String> {
        let tunnels = self.documents.network.tunnels.iter();
        let cut = tunnels.filter(|tunnel| self.down.iter().any(|failure| failure.cuts(tunnel)));
        cut.map(|tunnel| tunnel.name.clone()).collect()
    }

    /// Lets every packet vanish. Interfaces stay up: only silence tells.
    pub fn silence(&self, failure: &Failure) {
        self.lab(&format!("cut {failure}"));
    }

    /// Breaks something.
    pub fn strike(&mut self, failure: &Failure) {
        self.silence(failure);
        self.down.insert(failure.clone());
    }

    /// Mends something.
    pub fn mend(&mut self, failure: &Failure) {
        self.lab(&format!("heal {failure}"));
        self.down.remove(failure);
    }
}
