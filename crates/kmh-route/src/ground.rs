//! What the nodes announce beyond what the network document says: blocks, borrowed addresses, services.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::blocks::{BlockState, BlocksSpec};
use kmh_doc::network::NodePlan;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::network::calico::Pool;
use crate::network::{Machine, Network};
use crate::selector::Labels;

/// What a prediction rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// Confirmed blocks and their nodes.
    pub blocks: Vec<(IpNet, String)>,
    /// Borrowed addresses and the nodes of their pods.
    pub borrowed: Vec<(IpAddr, String)>,
    /// Addresses of services that single nodes announce.
    pub services: Vec<Service>,
    /// Whether the blocks were made up, one a node and pool, because nobody observed them.
    pub assumed: bool,
}

/// An address of a service with `externalTrafficPolicy: Local`, and the nodes that have a ready pod of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Service {
    /// Its name, for messages: `default/web`.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The nodes.
    pub nodes: Vec<String>,
}

impl Ground {
    /// One block for each node out of each enabled pool that it may use, not one after the other.
    pub fn assume(network: &Network<'_>) -> Self {
        let mut blocks = Vec::new();
        let labels: Vec<Labels<'_>> = network.spec.nodes.iter().map(labels).collect();
        let mut index: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for (number, labels) in labels.iter().enumerate() {
            for (key, value) in labels {
                index.entry((key, value)).or_default().push(number);
            }
        }
        for pool in network.calico.pools.iter().filter(|pool| pool.for_pods) {
            let some = pool.selector.required().map(|key| index.get(&key).cloned().unwrap_or_default());
            let some = some.unwrap_or_else(|| (0..labels.len()).collect());
            let users: Vec<&NodePlan> = some
                .into_iter()
                .filter(|node| labels.get(*node).is_some_and(|labels| pool.selector.selects(labels)))
                .filter_map(|node| network.spec.nodes.get(node))
                .filter(|node| has_family(node, pool))
                .collect();
            let spare = u32::from(pool.block.saturating_sub(pool.net.prefix_len()));
            let capacity = 1_u128.checked_shl(spare).filter(|_| spare < 128).unwrap_or(u128::MAX);
            // Every third block, as blocks of a real cluster have gaps between them; closer where there is no room.
            let step = (1..=3).rev().find(|step| step * (users.len() as u128 + 1) <= capacity).unwrap_or(1);
            let first = if step * (users.len() as u128 + 1) <= capacity { step } else { 0 };
            for (number, node) in (0_u128..).zip(users) {
                if let Some(block) =
                    block(pool, first + number * step).filter(|_| first + number * step < capacity)
                {
                    blocks.push((block, node.name.clone()));
                }
            }
        }
        blocks.sort();
        Self { blocks, assumed: true, ..Self::default() }
    }

    /// What was observed. Blocks outside every pool, of no pool's block size, of unknown nodes, or that overlap are
    /// refused; blocks that are not confirmed are announced by nobody, and left out.
    pub fn from_blocks(written: &BlocksSpec, network: &Network<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut blocks: BTreeMap<IpNet, (usize, String)> = BTreeMap::new();
        for (number, block) in written.blocks.iter().enumerate() {
            let place = format!("blocks[{number}]");
            let net = block.cidr.net();
            known(network, &format!("{place}.node"), &block.node, &mut faults);
            let pool = network.calico.pools_around(net).max_by_key(|pool| pool.net.prefix_len());
            match pool {
                None => faults.push(
                    Fault::new(&place, format!("`{net}` is outside every pool"))
                        .hint(format!("the pools are {}", pools(network))),
                ),
                Some(pool) if pool.block != net.prefix_len() => faults.push(
                    Fault::new(&place, format!("`{net}` is no block of pool `{}`", pool.name))
                        .hint(format!("its blocks have the prefix length {}", pool.block)),
                ),
                Some(pool) if !pool.for_pods => faults.push(
                    Fault::new(
                        &place,
                        format!("`{net}` is in pool `{}`, which gives no addresses to pods", pool.name),
                    )
                    .hint("observe the cluster again, or leave the block out"),
                ),
                Some(_) => {}
            }
            if let Some((other, _)) = blocks.get(&net) {
                faults.push(
                    Fault::new(&place, format!("`{net}` is in `blocks[{other}]` already"))
                        .hint("a block has one node: keep the confirmed one"),
                );
                continue;
            }
            blocks.insert(net, (number, block.node.clone()));
        }
        overlaps(&blocks, &mut faults);
        let mut borrowed = Vec::new();
        for (number, one) in written.borrowed.iter().enumerate() {
            let place = format!("borrowed[{number}]");
            known(network, &format!("{place}.node"), &one.node, &mut faults);
            let around = blocks.iter().rev().find(|(net, _)| net.contains(&one.address));
            match around {
                None => faults.push(Fault::new(&place, format!("`{}` is in no block", one.address)).hint(
                    "an address is borrowed out of another node's block: that block must be there as well",
                )),
                Some((net, (_, node))) if *node == one.node => faults.push(
                    Fault::new(&place, format!("`{}` is in `{net}`, a block of `{node}`'s own", one.address))
                        .hint("only addresses out of other nodes' blocks are borrowed"),
                ),
                Some(_) => borrowed.push((one.address, one.node.clone())),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let states: BTreeMap<IpNet, BlockState> =
            written.blocks.iter().map(|block| (block.cidr.net(), block.state)).collect();
        let blocks = blocks.into_iter().filter(|(net, _)| states.get(net) == Some(&BlockState::Confirmed));
        let blocks = blocks.map(|(net, (_, node))| (net, node)).collect();
        borrowed.sort();
        Ok(Self { blocks, borrowed, services: Vec::new(), assumed: false })
    }

    /// Adds addresses of services.
    pub fn add_services(&mut self, services: Vec<Service>, network: &Network<'_>) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        for (number, service) in services.iter().enumerate() {
            let place = format!("services[{number}]");
            for node in &service.nodes {
                known(network, &place, node, &mut faults);
            }
            if !network.calico.is_service(IpNet::from(service.address)) {
                let ranges: Vec<String> = network.calico.services.iter().map(ToString::to_string).collect();
                faults.push(
                    Fault::new(
                        &place,
                        format!("`{}` of `{}` is in no service range", service.address, service.name),
                    )
                    .hint(format!("nodes announce addresses in {}", ranges.join(", "))),
                );
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.services.extend(services);
        self.services.sort();
        self.services.dedup();
        Ok(())
    }
}

fn known(network: &Network<'_>, place: &str, node: &str, faults: &mut Vec<Fault>) {
    if !matches!(network.machine(node), Some(Machine::Node(_))) {
        faults.push(
            Fault::new(place, format!("there is no node `{node}`"))
                .hint("the network document names all nodes: was it made of the same inventory?"),
        );
    }
}

fn pools(network: &Network<'_>) -> String {
    let all = network.calico.pools.iter().filter(|pool| pool.for_pods).map(|pool| pool.net.to_string());
    all.collect::<Vec<_>>().join(", ")
}

/// Sorted networks overlap when one contains the next.
fn overlaps(blocks: &BTreeMap<IpNet, (usize, String)>, faults: &mut Vec<Fault>) {
    let mut wide: Option<(&IpNet, usize)> = None;
    for (net, (number, _)) in blocks {
        if let Some((around, other)) = wide.filter(|(around, _)| around.contains(net)) {
            let message = format!("`{net}` overlaps `{around}` of `blocks[{other}]`");
            faults.push(Fault::new(format!("blocks[{number}]"), message).hint("observe the cluster again"));
        } else {
            wide = Some((net, *number));
        }
    }
}

fn labels(node: &NodePlan) -> Labels<'_> {
    node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn has_family(node: &NodePlan, pool: &Pool) -> bool {
    let v6 = matches!(pool.net, IpNet::V6(_));
    node.addresses.iter().any(|address| address.contains(':') == v6)
}

/// The block of that number in a pool.
fn block(pool: &Pool, number: u128) -> Option<IpNet> {
    let host_bits = u32::from(pool.net.max_prefix_len() - pool.block);
    let offset = number.checked_shl(host_bits).filter(|_| host_bits < 128)?;
    let address: IpAddr = match pool.net.network() {
        IpAddr::V4(base) => IpAddr::V4(u32::from(base).checked_add(u32::try_from(offset).ok()?)?.into()),
        IpAddr::V6(base) => IpAddr::V6(u128::from(base).checked_add(offset)?.into()),
    };
    IpNet::new(address, pool.block).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Plan;

    fn read(blocks: serde_json::Value) -> Result<Ground, Vec<String>> {
        let spec = Plan::new('A', 2, 1, 2).spec();
        let network = Network::new(&spec).expect("a network");
        let written: BlocksSpec = serde_json::from_value(blocks).expect("blocks");
        Ground::from_blocks(&written, &network)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn observed_blocks() {
        let ground = read(serde_json::json!({
            "blocks": [
                {"cidr": "10.200.0.64/26", "node": "n00"},
                {"cidr": "10.200.0.128/26", "node": "n01", "state": "pending"},
                {"cidr": "10.200.17.0/26", "node": "n00"},
            ],
            "borrowed": [{"address": "10.200.0.70", "node": "n11"}],
        }))
        .expect("blocks");
        let nets: Vec<String> = ground.blocks.iter().map(|(net, node)| format!("{net} {node}")).collect();
        assert_eq!(nets, ["10.200.0.64/26 n00", "10.200.17.0/26 n00"], "only confirmed ones");
        assert_eq!(ground.borrowed.len(), 1);
        assert!(!ground.assumed);
    }

    #[test]
    fn blocks_that_cannot_be() {
        let cases = [
            (
                serde_json::json!([{"cidr": "10.9.0.0/26", "node": "n00"}]),
                "blocks[0]: `10.9.0.0/26` is outside every pool",
            ),
            (
                serde_json::json!([{"cidr": "10.200.0.0/25", "node": "n00"}]),
                "blocks[0]: `10.200.0.0/25` is no block of pool `pods-0`",
            ),
            (
                serde_json::json!([{"cidr": "10.10.0.64/26", "node": "n00"}]),
                "blocks[0]: `10.10.0.64/26` is in pool `nodes-0`, which gives no addresses to pods",
            ),
            (
                serde_json::json!([{"cidr": "10.200.0.0/26", "node": "r0a"}]),
                "blocks[0].node: there is no node `r0a`",
            ),
            (
                serde_json::json!([{"cidr": "10.200.0.0/26", "node": "n00"}, {"cidr": "10.200.0.0/26", "node": "n01"}]),
                "blocks[1]: `10.200.0.0/26` is in `blocks[0]` already",
            ),
        ];
        for (blocks, expected) in cases {
            assert_eq!(read(serde_json::json!({"blocks": blocks})), Err(vec![expected.to_owned()]));
        }
        let overlapping = serde_json::json!([{"cidr": "10.200.0.0/26", "node": "n00"}, {"cidr": "10.200.0.32/27", "node": "n01"}]);
        let faults = read(serde_json::json!({"blocks": overlapping})).expect_err("they overlap");
        assert!(
            faults
                .contains(&"blocks[1]: `10.200.0.32/27` overlaps `10.200.0.0/26` of `blocks[0]`".to_owned()),
            "{faults:?}"
        );
        let lent = |address: &str, node: &str| {
            read(serde_json::json!({"blocks": [{"cidr": "10.200.0.0/26", "node": "n00"}],
                "borrowed": [{"address": address, "node": node}]}))
        };
        assert_eq!(
            lent("10.200.0.70", "n01"),
            Err(vec!["borrowed[0]: `10.200.0.70` is in no block".to_owned()])
        );
        let own = "borrowed[0]: `10.200.0.7` is in `10.200.0.0/26`, a block of `n00`'s own";
        assert_eq!(lent("10.200.0.7", "n00"), Err(vec![own.to_owned()]));
    }

    #[test]
    fn assumed_blocks() {
        let spec = Plan::new('A', 2, 1, 3).spec();
        let network = Network::new(&spec).expect("a network");
        let blocks = |network: &Network<'_>| {
            let ground = Ground::assume(network);
            ground.blocks.iter().map(|(net, node)| format!("{net} {node}")).collect::<Vec<_>>().join(", ")
        };
        let expected = "10.200.0.192/26 n00, 10.200.1.128/26 n01, 10.200.2.64/26 n02, \
            10.200.16.192/26 n10, 10.200.17.128/26 n11, 10.200.18.64/26 n12";
        assert_eq!(blocks(&network), expected);
        // A pool with room for two.
        let mut spec = spec;
        spec.calico[1]["spec"]["cidr"] = "10.200.0.0/25".into();
        let network = Network::new(&spec).expect("a network");
        assert!(blocks(&network).starts_with("10.200.0.0/26 n00, 10.200.0.64/26 n01, 10.200.16.192/26 n10"));
    }

    #[test]
    fn services_elsewhere() {
        let spec = Plan::new('A', 2, 1, 1).spec();
        let network = Network::new(&spec).expect("a network");
        let service = |address: &str, node: &str| Service {
            name: "default/web".to_owned(),
            address: address.parse().expect(address),
            nodes: vec![node.to_owned()],
        };
        let mut ground = Ground::assume(&network);
        assert_eq!(ground.add_services(vec![service("10.201.0.9", "n00")], &network), Ok(()));
        let faults =
            ground.add_services(vec![service("192.0.2.9", "n00"), service("10.201.0.9", "x")], &network);
        let said: Vec<String> = faults.expect_err("both are wrong").iter().map(ToString::to_string).collect();
        let expected = [
            "services[0]: `192.0.2.9` of `default/web` is in no service range",
            "services[1]: there is no node `x`",
        ];
        assert_eq!(said, expected);
        assert_eq!(ground.services.len(), 1);
    }
}
