//! Small questions that every part of the plan asks of the model, and an index of it: who is where is found once, not
//! once a router.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use kmh_doc::Asn;
use kmh_model::{Model, Node, Router, Site, Tunnel};

use crate::PlanError;

/// A model, with its machines and tunnels by where they are.
pub(crate) struct Index<'a> {
    pub(crate) model: &'a Model,
    routers: BTreeMap<&'a str, &'a Router>,
    routers_of: BTreeMap<&'a str, Vec<&'a Router>>,
    nodes_of: BTreeMap<&'a str, Vec<&'a Node>>,
    tunnels_of: BTreeMap<&'a str, Vec<OwnTunnel<'a>>>,
}

/// A tunnel, seen from one of its routers.
#[derive(Clone, Copy)]
pub(crate) struct OwnTunnel<'a> {
    pub(crate) tunnel: &'a Tunnel,
    /// Its place among the model's, and the plan's.
    pub(crate) place: usize,
    /// Which of its ends is the router's.
    pub(crate) end: usize,
}

impl<'a> Index<'a> {
    pub(crate) fn new(model: &'a Model) -> Self {
        let mut index = Self {
            model,
            routers: BTreeMap::new(),
            routers_of: BTreeMap::new(),
            nodes_of: BTreeMap::new(),
            tunnels_of: BTreeMap::new(),
        };
        for router in &model.routers {
            index.routers.insert(router.name.as_str(), router);
            index.routers_of.entry(router.site.as_str()).or_default().push(router);
        }
        for node in model.nodes.values() {
            index.nodes_of.entry(node.site.as_str()).or_default().push(node);
        }
        for (place, tunnel) in model.tunnels.iter().enumerate() {
            for (end, there) in tunnel.ends.iter().enumerate() {
                let own = OwnTunnel { tunnel, place, end };
                index.tunnels_of.entry(there.router.as_str()).or_default().push(own);
            }
        }
        index
    }

    pub(crate) fn router(&self, name: &str) -> Result<&'a Router, PlanError> {
        self.routers.get(name).copied().ok_or_else(|| PlanError::NoSuchRouter(name.to_owned()))
    }

    /// The routers of a site, by id.
    pub(crate) fn routers_of(&self, site: &str) -> &[&'a Router] {
        self.routers_of.get(site).map_or(&[], Vec::as_slice)
    }

    /// The other routers of a router's site, by id.
    pub(crate) fn siblings<'s>(&'s self, router: &'s Router) -> impl Iterator<Item = &'a Router> + 's {
        let all = self.routers_of(router.site.as_str()).iter().copied();
        all.filter(move |other| other.name != router.name)
    }

    /// The nodes of a site, by name.
    pub(crate) fn nodes_of(&self, site: &str) -> &[&'a Node] {
        self.nodes_of.get(site).map_or(&[], Vec::as_slice)
    }

    /// The tunnels of a router, by index.
    pub(crate) fn tunnels_of(&self, router: &str) -> &[OwnTunnel<'a>] {
        self.tunnels_of.get(router).map_or(&[], Vec::as_slice)
    }
}

/// The router's AS number.
pub(crate) fn asn(router: &Router) -> Result<Asn, PlanError> {
    router.asn.ok_or_else(|| PlanError::NoAsn(router.name.to_string()))
}

/// The node's AS number.
pub(crate) fn node_asn(node: &Node) -> Result<Asn, PlanError> {
    node.asn.ok_or_else(|| PlanError::NoNodeAsn(node.name.to_string()))
}

/// The router's site.
pub(crate) fn site_of<'a>(model: &'a Model, router: &Router) -> Result<&'a Site, PlanError> {
    model.sites.get(router.site.as_str()).ok_or_else(|| PlanError::NoSuchSite(router.site.to_string()))
}

/// BGP identifier: the IPv4 address on the node segment; without IPv4 the router's id, which RFC 6286 permits (any
/// number but 0, unique inside the AS).
pub(crate) fn router_id(router: &Router) -> Ipv4Addr {
    let address = router.addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    address.unwrap_or_else(|| Ipv4Addr::from(u32::from(router.id)))
}
