//! What Calico is told beyond what follows from the ranges.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// Choices about Calico.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Calico {
    /// Group and version of its resources.
    #[serde(skip_serializing_if = "is_default")]
    pub api: ApiGroup,
    /// Whether nodes hide pods behind their own address on the way to the Internet. When not, the site's router does it.
    #[serde(skip_serializing_if = "is_yes")]
    pub nat_outgoing: bool,
    /// Length of a node's IPv4 blocks, 26 when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 20, max = 32))]
    pub block_size_v4: Option<u8>,
    /// Length of a node's IPv6 blocks, 122 when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 116, max = 128))]
    pub block_size_v6: Option<u8>,
    /// Whether a node takes addresses out of its own blocks only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict_affinity: bool,
    /// Blocks that a node may have at most; Calico's own 20 when nothing is said. Needs `strict_affinity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_blocks_per_node: Option<u16>,
}

impl Default for Calico {
    fn default() -> Self {
        Self {
            api: ApiGroup::default(),
            nat_outgoing: true,
            block_size_v4: None,
            block_size_v6: None,
            strict_affinity: false,
            max_blocks_per_node: None,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// Group and version of Calico's resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiGroup {
    /// How Calico stores them; plain kubectl writes them without an API server of Calico's.
    #[default]
    #[serde(rename = "crd.projectcalico.org/v1")]
    Crd,
    /// For calicoctl, for Calico's API server, and for the native resources that there are from v3.32.
    #[serde(rename = "projectcalico.org/v3")]
    V3,
}
