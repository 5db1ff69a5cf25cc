//! What Calico is told: choices that need one another.

use kmh_doc::inventory::{Calico, Component, Inventory, Node};
use kmh_doc::{Code, Problem};

use crate::report::Report;

/// Calico's block sizes when nothing is said: 64 addresses in either family.
const BLOCKS: [u8; 2] = [26, 122];
/// Blocks of a node at most, when nothing is said (`MaxBlocksPerHost` in libcalico-go's IPAM).
const MOST_BLOCKS: u16 = 20;
/// kubelet's own default of `maxPods`.
const MAX_PODS: u64 = 110;

/// Length of a node's blocks of one family.
pub(crate) fn block(calico: &Calico, v6: bool) -> u8 {
    if v6 { calico.block_size_v6.unwrap_or(BLOCKS[1]) } else { calico.block_size_v4.unwrap_or(BLOCKS[0]) }
}

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let calico = &inventory.calico;
    if let Some(most) = calico.max_blocks_per_node.filter(|_| !calico.strict_affinity) {
        report.add(
            Problem::error(
                Code::Contradiction,
                "spec.calico.max_blocks_per_node",
                format!("`max_blocks_per_node: {most}` needs `strict_affinity: true`"),
            )
            .because("a node that may have no further block would take addresses out of another's, and Calico refuses that combination")
            .hint("write `strict_affinity: true` beside it, or remove it"),
        );
    }
    pods(inventory, report);
}

/// With strict affinity, a node has no more pods than its blocks have addresses.
fn pods(inventory: &Inventory, report: &mut Report<'_>) {
    let calico = &inventory.calico;
    if !calico.strict_affinity {
        return;
    }
    let blocks = calico.max_blocks_per_node.unwrap_or(MOST_BLOCKS);
    for v6 in [false, true] {
        if !inventory.cluster.pod_cidrs.iter().any(|cidr| cidr.is_v6() == v6) {
            continue;
        }
        let block = block(calico, v6);
        let bits = if v6 { 128 } else { 32_u32 }.saturating_sub(u32::from(block));
        let room = u64::from(blocks) * 1_u64.checked_shl(bits).unwrap_or(u64::MAX >> 16);
        let Some((n, node, most)) = inventory
            .nodes
            .iter()
            .enumerate()
            .map(|(n, node)| (n, node, max_pods(inventory, node)))
            .find(|(_, _, most)| *most > room)
        else {
            continue;
        };
        let path = if calico.max_blocks_per_node.is_some() {
            "spec.calico.max_blocks_per_node"
        } else {
            "spec.calico.strict_affinity"
        };
        report.add(
            Problem::warning(
                Code::PoolTooSmall,
                path,
                format!("node `{}` may run {most} pods, and has addresses for {room}", node.name),
            )
            .because(format!(
                "with strict affinity it has {blocks} block{} of /{block} and no other addresses ({})",
                if blocks == 1 { "" } else { "s" },
                report.place(&format!("spec.nodes[{n}]"))
            ))
            .hint("raise `max_blocks_per_node`, take larger blocks, or set kubelet's `maxPods`"),
        );
    }
}

/// `maxPods` of a node: the nearest setting, or kubelet's default.
fn max_pods(inventory: &Inventory, node: &Node) -> u64 {
    let site = inventory.sites.iter().find(|site| site.name == node.site).map(|site| &site.settings);
    [Some(&node.settings), site, Some(&inventory.settings)]
        .into_iter()
        .flatten()
        .find_map(|settings| settings.get(&Component::Kubelet)?.get("maxPods")?.as_u64())
        .unwrap_or(MAX_PODS)
}
