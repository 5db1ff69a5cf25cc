//! What breaks in a lab, and is mended: silently, as lines and power do.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use kmh_doc::network::Tunnel;

use super::Lab;
use super::cables::{family, node_interface};

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
        let before = self.cut_tunnels();
        let tunnels = self.documents.network.tunnels.iter();
        for tunnel in tunnels.filter(|tunnel| failure.cuts(tunnel) && !before.contains(&tunnel.name)) {
            let end = &tunnel.ends[0];
            let interface = &end.interface;
            let rules = format!(
                "table inet cut_{interface} {{\n\
                 chain i {{ type filter hook prerouting priority -400; iifname {interface} drop; }}\n\
                 chain o {{ type filter hook postrouting priority 400; oifname {interface} drop; }}\n}}\n"
            );
            self.net.nft(&end.router, &rules);
        }
        if let Failure::Router(space) | Failure::Node(space) = failure {
            let rules = "table inet dark {\n\
                         chain i { type filter hook prerouting priority -400; iifname != lo drop; }\n\
                         chain o { type filter hook postrouting priority 400; oifname != lo drop; }\n}\n\
                         table arp dark {\n\
                         chain i { type filter hook input priority 0; policy drop; }\n\
                         chain o { type filter hook output priority 0; policy drop; }\n}\n";
            self.net.nft(space, rules);
        }
    }

    /// Breaks something.
    pub fn strike(&mut self, failure: &Failure) {
        self.silence(failure);
        self.down.insert(failure.clone());
        self.settle_gateways();
    }

    /// Mends something.
    pub fn mend(&mut self, failure: &Failure) {
        let before = self.cut_tunnels();
        self.down.remove(failure);
        for tunnel in before.difference(&self.cut_tunnels()) {
            let end = &self.tunnel(tunnel).ends[0];
            self.net.sh(&end.router, &format!("nft delete table inet cut_{}", end.interface)).exits(0);
        }
        if let Failure::Router(space) | Failure::Node(space) = failure {
            self.net.sh(space, "nft delete table inet dark && nft delete table arp dark").exits(0);
        }
        self.settle_gateways();
    }

    /// Gives each gateway address that belongs to no router to the first living router of its site, and takes it from
    /// the others, as VRRP and CARP do.
    pub(super) fn settle_gateways(&self) {
        let network = &self.documents.network;
        let gateways: BTreeSet<(&str, IpAddr)> = network
            .nodes
            .iter()
            .flat_map(|node| node.gateways.iter().map(|gateway| (node.site.as_str(), *gateway)))
            .collect();
        for (site, gateway) in gateways {
            let routers: Vec<_> = network.routers.iter().filter(|router| router.site == site).collect();
            let owned = routers.iter().any(|router| {
                router
                    .addresses
                    .iter()
                    .any(|own| own.split_once('/').is_some_and(|(ip, _)| ip == gateway.to_string()))
            });
            if owned {
                continue;
            }
            let living = routers.iter().find(|router| !self.is_down(&router.name));
            let address = format!("{gateway}/{}", if gateway.is_ipv6() { 128 } else { 32 });
            for router in &routers {
                let interface = node_interface(self.router(&router.name));
                let has = living.is_some_and(|living| living.name == router.name);
                let verb = if has { "replace" } else { "del" };
                // To take away what is not there is no fault.
                let _ = self.net.sh(&router.name, &format!("ip addr {verb} {address} dev {interface}"));
            }
            for node in network.nodes.iter().filter(|node| node.site == site) {
                self.net.ip(&node.name, &[family(gateway), "neigh", "flush", "dev", "eth0"]);
            }
        }
    }
}
