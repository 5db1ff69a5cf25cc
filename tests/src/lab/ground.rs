//! What the lab's nodes have: blocks, pods, borrowed addresses, services that only some of them serve.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::NetworkSpec;
use kmh_lab::plan::calico;
use serde_json::{Value, json};

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
        let known = kmh_route::Network::new(network).expect("a network");
        let mut ground = Self::default();
        let mut pools: BTreeMap<(&str, bool), Vec<IpNet>> = BTreeMap::new();
        for (block, name) in kmh_route::Ground::assume(&known).blocks {
            let node = network.nodes.iter().find(|node| node.name == name).expect("a node");
            let others = pools.entry((&node.site, block.addr().is_ipv6())).or_default();
            others.push(block);
            match others[..] {
                [first] => {
                    let next = after(first.broadcast(), 1);
                    ground
                        .blocks
                        .push((IpNet::new(next, first.prefix_len()).expect("a block"), name.clone()));
                }
                [first, _] => ground.borrowed.push((after(first.addr(), 9), name.clone())),
                _ => {}
            }
            let (site, address) = (node.site.clone(), after(block.addr(), 2));
            ground.pods.push(Pod { node: name.clone(), site, block, address });
            ground.blocks.push((block, name));
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
        for range in calico::all_ranges(network) {
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

    /// Its services as options of the tools.
    pub fn service_options(&self) -> String {
        let one =
            |(address, nodes): &(IpAddr, Vec<String>)| format!(" --service {address}={}", nodes.join(","));
        self.services.iter().map(one).collect()
    }
}
