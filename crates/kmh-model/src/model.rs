//! The types of a cluster that can work, and simple questions to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{
    Api, Arch, Bgp, BgpDaemon, Calico, Cipher, Component, Lan, Pki, Role, RouterKind, Ssh, Taint, TunnelAuth,
    Uplink, Versions,
};
use kmh_doc::newtypes::{HostName, Interface, LabelKey, LabelValue};
use kmh_doc::{Asn, Label};
use serde_json::Value;

use crate::{address, tunnels};

/// A cluster that can work.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: Label,
    /// The DNS domain of services.
    pub domain: HostName,
    /// Versions, as far as they are given.
    pub versions: Versions,
    /// Pod ranges, primary family first.
    pub pods: Vec<IpNet>,
    /// Service ranges, primary family first. The first decides the primary family.
    pub services: Vec<IpNet>,
    /// Load-balancer ranges, primary family first.
    pub load_balancers: Vec<IpNet>,
    /// How the API server is reached, when given.
    pub api: Option<Api>,
    /// The AS of all nodes in layout A, and what Calico takes for a node that it knows nothing about.
    pub node_asn: Asn,
    /// The AS layout, and how sessions are kept.
    pub bgp: Bgp,
    /// Choices about Calico.
    pub calico: Calico,
    /// Choices about certificates and keys.
    pub pki: Pki,
    /// How the ends of tunnels prove who they are.
    pub tunnel_auth: TunnelAuth,
    /// How tunnels are encrypted.
    pub cipher: Cipher,
    /// Where tunnel networks come from, primary family first; empty without tunnels.
    pub tunnel_ranges: Vec<IpNet>,
    /// Where the admins sit.
    pub operator_site: Option<Label>,
    /// Sites by name.
    pub sites: BTreeMap<Label, Site>,
    /// Routers in the order of their ids.
    pub routers: Vec<Router>,
    /// Nodes by name.
    pub nodes: BTreeMap<Label, Node>,
    /// Tunnels in the order of their indexes.
    pub tunnels: Vec<Tunnel>,
    /// Pairs of routers of two sites that cannot meet, and reach each other through the hub: names, the lower id's first.
    pub through_hub: Vec<[Label; 2]>,
    /// Free values for templates.
    pub vars: BTreeMap<String, Value>,
}

/// A site.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its name.
    pub name: Label,
    /// Its node segment, primary family first.
    pub networks: Vec<IpNet>,
    /// Its pod pools, primary family first.
    pub pods: Vec<IpNet>,
    /// Name servers of its nodes.
    pub resolvers: Vec<IpAddr>,
    /// Its other segments, by name.
    pub lans: Vec<Lan>,
    /// The nodes' gateways, one a family, primary family first.
    pub gateways: Vec<IpAddr>,
}

/// A router.
#[derive(Clone, Debug)]
pub struct Router {
    /// Its name.
    pub name: Label,
    /// Its id.
    pub id: u16,
    /// Its site.
    pub site: Label,
    /// What it is.
    pub kind: RouterKind,
    /// Its AS number, when given.
    pub asn: Option<Asn>,
    /// Its addresses on the node segment, primary family first.
    pub addresses: Vec<IpAddr>,
    /// Its interface on the node segment, when given.
    pub interface: Option<Interface>,
    /// How to log in.
    pub ssh: Ssh,
    /// Its lines, in the written order: the first is preferred.
    pub uplinks: Vec<Uplink>,
    /// The machine that carries it.
    pub host: Option<Label>,
    /// Its network namespace.
    pub netns: Option<Label>,
    /// Its BGP program, when given.
    pub bgp: Option<BgpDaemon>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: Label,
    /// Its site.
    pub site: Label,
    /// Its addresses, primary family first.
    pub addresses: Vec<IpAddr>,
    /// Further names and addresses by which others reach it, sorted.
    pub names: Vec<HostName>,
    /// Its AS number, by the layout; none when its site's router has none yet.
    pub asn: Option<Asn>,
    /// Its architecture.
    pub arch: Arch,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// How to log in.
    pub ssh: Ssh,
    /// Kubernetes labels, as written.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Kubernetes taints, sorted; with the control-plane's own taint when it is no worker.
    pub taints: Vec<Taint>,
    /// Deliberate settings that hold for it: node over site over cluster.
    pub settings: BTreeMap<Component, BTreeMap<String, Setting>>,
}

/// A deliberate setting and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Path in the inventory, such as `spec.settings.kubelet.maxPods`.
    pub origin: String,
}

/// A pair of lines of two routers that a tunnel joins.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// (j-1)(j-2)/2+i for the ids i<j, and a thousand more for each further pair of their lines; also reqid and `if_id`.
    pub index: u32,
    /// Numbers of its two lines, 1 to 4, the lower id's first.
    pub lines: [u8; 2],
    /// 0 for the preferred tunnel between its two sites, higher for standby.
    pub rank: u8,
    /// Point-to-point networks, primary family first: the index-th /30 or /64 of the tunnel range.
    pub networks: Vec<IpNet>,
    /// Both ends, the one with the lower id first.
    pub ends: [TunnelEnd; 2],
}

/// One end of a tunnel.
#[derive(Clone, Debug)]
pub struct TunnelEnd {
    /// The router.
    pub router: Label,
    /// Its line, an index into [`Router::uplinks`].
    pub uplink: usize,
    /// Inner addresses, in the order of [`Tunnel::networks`]: the lower id has the first usable one.
    pub addresses: Vec<IpAddr>,
    /// Whether it starts the negotiation.
    pub initiates: bool,
    /// Whether the other end can reach it without having been called first.
    pub reachable: bool,
}

impl Tunnel {
    /// Its name: `LOWER--HIGHER`, by the ids of its routers; of other lines than both first ones, `LOWER--HIGHER--U-V`.
    pub fn name(&self) -> String {
        tunnels::name(&self.ends[0].router, &self.ends[1].router, self.lines)
    }
}

impl Node {
    /// Every name by which others reach it: its own first.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        let more = self.names.iter().filter(|name| name.ip().is_none()).map(HostName::as_str);
        std::iter::once(self.name.as_str()).chain(more)
    }

    /// Every address by which others reach it: those on the node segment first.
    pub fn all_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied().chain(self.names.iter().filter_map(HostName::ip))
    }
}

impl Model {
    /// Whether the primary family is IPv6.
    pub fn primary_is_v6(&self) -> bool {
        matches!(self.services.first(), Some(IpNet::V6(_)))
    }

    /// The nodes of a site, by name.
    pub fn nodes_of<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Node> {
        self.nodes.values().filter(move |node| node.site.as_str() == site)
    }

    /// The nodes with a role, by name.
    pub fn nodes_with(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(move |node| node.roles.contains(&role))
    }

    /// The routers of a site, by id.
    pub fn routers_of<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Router> {
        self.routers.iter().filter(move |router| router.site.as_str() == site)
    }

    /// The router of that name.
    pub fn router(&self, name: &str) -> Option<&Router> {
        self.routers.iter().find(|router| router.name.as_str() == name)
    }

    /// The address of the API server's service: the first of each service range, primary family first.
    pub fn api_service_addresses(&self) -> Vec<IpAddr> {
        self.services.iter().filter_map(|net| address::nth(*net, 1)).collect()
    }

    /// The address of the cluster's DNS service: the tenth of each service range, primary family first.
    pub fn dns_service_addresses(&self) -> Vec<IpAddr> {
        self.services.iter().filter_map(|net| address::nth(*net, 10)).collect()
    }
}
