//! What many files need, computed once for a run, and the targets that files are rendered for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kmh_doc::inventory::{Api, Role};
use kmh_doc::network::{NetworkSpec, NodePlan, RouterPlan, Tunnel, TunnelEnd};
use kmh_doc::pki::PkiSpec;
use kmh_doc::{Label, Version};
use kmh_model::{Model, Node, Router, Site};

use crate::fault::Fault;
use crate::pki::Pki;

/// A line without `rtt_ms` counts this much, in milliseconds.
const DEFAULT_RTT: u32 = 20;

/// What many files need.
pub(crate) struct Shared<'a> {
    /// The cluster.
    pub(crate) model: &'a Model,
    /// Where certificates and keys lie.
    pub(crate) pki: Pki<'a>,
    /// Pods' MTU and Calico's resources.
    pub(crate) network: &'a NetworkSpec,
    /// Versions of everything.
    pub(crate) versions: Versions,
    /// How the API server is reached.
    pub(crate) api: &'a Api,
    /// The API servers by name.
    pub(crate) apiservers: Vec<Place<'a>>,
    /// The members of etcd by name.
    pub(crate) etcd: Vec<Place<'a>>,
    /// etcd's timing.
    pub(crate) timing: Timing,
    routers: BTreeMap<&'a str, &'a RouterPlan>,
    nodes: BTreeMap<&'a str, &'a NodePlan>,
    tunnels: BTreeMap<&'a str, Vec<End<'a>>>,
}

/// Versions as text and as numbers.
pub(crate) struct Versions {
    /// Kubernetes.
    pub(crate) kubernetes: String,
    /// Kubernetes' minor version.
    pub(crate) minor: u16,
    /// etcd.
    pub(crate) etcd: String,
    /// etcd's major and minor version.
    pub(crate) etcd_minor: (u16, u16),
    /// containerd.
    pub(crate) containerd: String,
    /// containerd's major and minor version.
    pub(crate) containerd_minor: (u16, u16),
    /// Calico.
    pub(crate) calico: String,
    /// Calico's major and minor version.
    pub(crate) calico_minor: (u16, u16),
}

/// A machine that serves something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Its name.
    pub(crate) name: &'a Label,
    /// Its site.
    pub(crate) site: &'a Label,
    /// Its first address.
    pub(crate) address: IpAddr,
}

/// etcd's timing in milliseconds: the same on every member, or elections go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// About one round trip between the members that are farthest apart (etcd's tuning guide).
    pub(crate) heartbeat: u32,
    /// Ten heartbeats.
    pub(crate) election: u32,
}

/// A tunnel from one router's point of view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    /// The tunnel.
    pub(crate) tunnel: &'a Tunnel,
    /// This router's end.
    pub(crate) here: &'a TunnelEnd,
    /// The other router's end.
    pub(crate) there: &'a TunnelEnd,
}

/// A node to render for.
pub(crate) struct NodeTarget<'a> {
    /// What it shares.
    pub(crate) shared: &'a Shared<'a>,
    /// The node.
    pub(crate) node: &'a Node,
    /// Its site.
    pub(crate) site: &'a Site,
    /// Its part of the network.
    pub(crate) plan: &'a NodePlan,
}

/// A router to render for.
pub(crate) struct RouterTarget<'a> {
    /// What it shares.
    pub(crate) shared: &'a Shared<'a>,
    /// The router.
    pub(crate) router: &'a Router,
    /// Its site.
    pub(crate) site: &'a Site,
    /// Its part of the network.
    pub(crate) plan: &'a RouterPlan,
    /// Its tunnels by index.
    pub(crate) tunnels: &'a [End<'a>],
}

/// The cluster to render for.
pub(crate) struct ClusterTarget<'a> {
    /// What it shares.
    pub(crate) shared: &'a Shared<'a>,
    /// The control-plane node through which manifests are applied.
    pub(crate) host: &'a Node,
}

impl<'a> Shared<'a> {
    /// Computes what is shared; says what the documents lack.
    pub(crate) fn new(
        model: &'a Model,
        pki: &'a PkiSpec,
        network: &'a NetworkSpec,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut version = |name: &str, value: &Option<Version>| {
            if let Some(version) = value {
                return (version.to_string(), version.major_minor());
            }
            faults.push(Fault::new(format!("the inventory does not say `cluster.versions.{name}`")));
            (String::new(), (0, 0))
        };
        let (kubernetes, kubernetes_minor) = version("kubernetes", &model.versions.kubernetes);
        let (etcd, etcd_minor) = version("etcd", &model.versions.etcd);
        let (containerd, containerd_minor) = version("containerd", &model.versions.containerd);
        let (calico, calico_minor) = version("calico", &model.versions.calico);
        let versions = Versions {
            kubernetes,
            minor: kubernetes_minor.1,
            etcd,
            etcd_minor,
            containerd,
            containerd_minor,
            calico,
            calico_minor,
        };
        let Some(api) = &model.api else {
            faults.push(Fault::new("the inventory does not say `cluster.api`"));
            return Err(faults);
        };
        let mut tunnels: BTreeMap<&str, Vec<End<'_>>> = BTreeMap::new();
        for tunnel in &network.tunnels {
            let [low, high] = &tunnel.ends;
            tunnels.entry(&low.router).or_default().push(End { tunnel, here: low, there: high });
            tunnels.entry(&high.router).or_default().push(End { tunnel, here: high, there: low });
        }
        for ends in tunnels.values_mut() {
            ends.sort_by_key(|end| end.tunnel.index);
        }
        let shared = Self {
            model,
            pki: Pki::new(pki),
            network,
            versions,
            api,
            apiservers: places(model, Role::ControlPlane),
            etcd: places(model, Role::Etcd),
            timing: timing(model),
            routers: network.routers.iter().map(|router| (router.name.as_str(), router)).collect(),
            nodes: network.nodes.iter().map(|node| (node.name.as_str(), node)).collect(),
            tunnels,
        };
        if faults.is_empty() { Ok(shared) } else { Err(faults) }
    }

    /// A node with its site and plan.
    pub(crate) fn node(&'a self, node: &'a Node) -> Result<NodeTarget<'a>, Fault> {
        let plan = self.nodes.get(node.name.as_str()).ok_or_else(|| unplanned(&node.name))?;
        Ok(NodeTarget { shared: self, node, site: self.site(&node.site)?, plan })
    }

    /// A router with its site, plan and tunnels.
    pub(crate) fn router(&'a self, router: &'a Router) -> Result<RouterTarget<'a>, Fault> {
        let plan = self.routers.get(router.name.as_str()).ok_or_else(|| unplanned(&router.name))?;
        let tunnels = self.tunnels.get(router.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        Ok(RouterTarget { shared: self, router, site: self.site(&router.site)?, plan, tunnels })
    }

    fn site(&self, name: &Label) -> Result<&'a Site, Fault> {
        self.model.sites.get(name).ok_or_else(|| Fault::new(format!("no site `{name}`")))
    }

    /// Whether the cluster uses IPv6 at all.
    pub(crate) fn has_v6(&self) -> bool {
        self.model.services.iter().any(|net| net.addr().is_ipv6())
    }
}

fn unplanned(name: &Label) -> Fault {
    Fault::new(format!("the network document does not know `{name}`"))
        .hint("run `kmh-bgpcfg plan` with this inventory again")
}

fn places(model: &Model, role: Role) -> Vec<Place<'_>> {
    model
        .nodes_with(role)
        .filter_map(|node| {
            Some(Place { name: &node.name, site: &node.site, address: *node.addresses.first()? })
        })
        .collect()
}

/// The round trip between two sites is what each adds to the Internet; a site's slowest line counts, for the day on
/// which the others are down. Only sites with a member count.
fn timing(model: &Model) -> Timing {
    let mut sites: Vec<&Label> = model.nodes_with(Role::Etcd).map(|node| &node.site).collect();
    sites.sort();
    sites.dedup();
    let mut lines: Vec<u32> = sites
        .into_iter()
        .map(|site| {
            let uplinks = model.routers_of(site.as_str()).flat_map(|router| &router.uplinks);
            uplinks.map(|uplink| uplink.rtt_ms.map_or(DEFAULT_RTT, u32::from)).max().unwrap_or(DEFAULT_RTT)
        })
        .collect();
    lines.sort_unstable_by(|a, b| b.cmp(a));
    // One site: everything is on one segment.
    let round_trip = if lines.len() < 2 { 0 } else { lines[0] + lines[1] };
    let heartbeat = round_trip.div_ceil(10).saturating_mul(10).clamp(100, 5000);
    Timing { heartbeat, election: heartbeat * 10 }
}

/// An address as it stands in a URL (RFC 3986, 3.2.2).
pub(crate) fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Several of anything, joined by commas.
pub(crate) fn commas<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}
