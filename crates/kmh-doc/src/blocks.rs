//! `kmh.blocks/v1`: which node has which block of pod addresses, as the cluster has it.
//!
//! Calico chooses blocks by a hash of the host's name: they can be observed, never computed.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::newtypes::Cidr;

/// Blocks and borrowed addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlocksSpec {
    /// Every block affinity, sorted.
    pub blocks: Vec<Block>,
    /// Addresses that a pod has out of another node's block: announced as single addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub borrowed: Vec<Borrowed>,
}

/// A block of addresses and its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The block.
    pub cidr: Cidr,
    /// The node that has it.
    pub node: String,
    /// How far it has it. Only a confirmed block is announced.
    #[serde(default, skip_serializing_if = "BlockState::is_confirmed")]
    pub state: BlockState,
}

/// State of a block affinity, by Calico's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BlockState {
    /// It is the node's.
    #[default]
    Confirmed,
    /// It is being claimed.
    Pending,
    /// It is being given back.
    PendingDeletion,
}

impl BlockState {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_confirmed(&self) -> bool {
        *self == Self::Confirmed
    }
}

/// A borrowed address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Borrowed {
    /// The address.
    pub address: IpAddr,
    /// The node on which its pod runs.
    pub node: String,
}

impl crate::Spec for BlocksSpec {
    const KIND: crate::Kind = crate::Kind::Blocks;
}
