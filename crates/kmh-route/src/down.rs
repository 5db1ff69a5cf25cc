//! What is down in a scenario.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What is down; each by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Down {
    /// Tunnels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tunnels: BTreeSet<String>,
    /// Lines: `ROUTER/UPLINK`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uplinks: BTreeSet<String>,
    /// Routers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub routers: BTreeSet<String>,
    /// Sites: their routers and nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sites: BTreeSet<String>,
    /// Nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<String>,
}
