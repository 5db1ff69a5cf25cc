//! What the lab's nodes have: blocks, pods, borrowed addresses, services that only some of them serve.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::NetworkSpec;
use serde_json::{Value, json};

use super::calico;

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The node.
    pub node: String,
    /// The node's site.
    pub site: String,
    /// The block of its address.
    pub block: IpNet,
    /// Its address.
    pub address: IpAddr,
}

/// What `kmh.blocks/v1` would say of the cluster, and its services.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    /// Blocks and their nodes.
    pub blocks: Vec<(IpNet, String)>,
    /// Addresses out of another node's block, and the nodes of their pods.
    pub borrowed: Vec<(IpAddr, String)>,
    /// Addresses of services with `externalTrafficPolicy: Local`, and the nodes with a ready pod.
    pub services: Vec<(IpAddr, Vec<String>)>,
    /// One pod on each node and family.
    pub pods: Vec<Pod>,
}

/// The address that lies `offset` behind another.
pub fn after(address: IpAddr, offset: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) + offset).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) + u128::from(offset)).into()),
    }
}

impl Ground {
    /// A block for each node and pool, not one after the other; a second one for the first node of a site, an address
    /// borrowed from it by the second, and three services.
    pub fn of(network: &NetworkSpec) -> Self {
        let mut ground = Self::default();
        let mut used: BTreeMap<(&str, bool), u32> = BTreeMap::new();
        for node in &network.nodes {
            for (pool, size) in calico::pools_of(network, node) {
                let (v6, addresses) = (pool.addr().is_ipv6(), pool.max_prefix_len() - size);
                let number = used.entry((&node.site, v6)).or_default();
                *number += 3;
                let base = after(pool.addr(), *number << addresses);
                let block = IpNet::new(base, size).expect("a block");
                ground.blocks.push((block, node.name.clone()));
                let (name, site) = (node.name.clone(), node.site.clone());
                ground.pods.push(Pod { node: name, site, block, address: after(base, 2) });
                if *number == 3 {
                    let second = IpNet::new(after(base, 1 << addresses), size).expect("a block");
                    ground.blocks.push((second, node.name.clone()));
                }
                if *number == 6 {
                    let lender = after(pool.addr(), 3 << addresses);
                    ground.borrowed.push((after(lender, 9), node.name.clone()));
                }
            }
        }
        let mut firsts: Vec<&str> = Vec::new();
        let mut sites: Vec<&str> = Vec::new();
        for node in &network.nodes {
            if !sites.contains(&node.site.as_str()) {
                sites.push(&node.site);
                firsts.push(&node.name);
            }
        }
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let last = network.nodes.last().map(|node| node.name.as_str());
        for range in calico::services(network) {
            ground.services.push((after(range.addr(), 80), names(&firsts[..1])));
            ground.services.push((after(range.addr(), 81), names(&firsts)));
            ground.services.push((after(range.addr(), 82), names(last.as_slice())));
        }
        for (_, nodes) in &mut ground.services {
            nodes.sort();
        }
        ground
    }

    /// `kmh.blocks/v1`.
    pub fn document(&self) -> Value {
        let mut blocks: Vec<_> = self.blocks.clone();
        blocks.sort();
        let mut borrowed = self.borrowed.clone();
        borrowed.sort();
        json!({"kind": "kmh.blocks/v1", "spec": {
            "blocks": blocks.iter().map(|(net, node)| json!({"cidr": net, "node": node})).collect::<Vec<_>>(),
            "borrowed": borrowed.iter().map(|(ip, node)| json!({"address": ip, "node": node})).collect::<Vec<_>>(),
        }})
    }
}
