//! Predicted tables, as they are printed in JSON: for people, for jq, and for comparing with live daemons.

use std::net::IpAddr;

use kmh_doc::Cidr;
use serde::{Deserialize, Serialize};

/// The table of one router or node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The router or node.
    pub machine: String,
    /// Its routes, sorted by prefix.
    pub routes: Vec<Route>,
}

/// All that a machine knows about a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The prefix.
    pub prefix: Cidr,
    /// What it originates or heard, the best first, the refused last.
    pub paths: Vec<Path>,
    /// What its kernel does with a packet, as far as BGP decides it; none when no path is usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Installed>,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The peer's name; none for what the machine originates itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The peer's address on that session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_address: Option<IpAddr>,
    /// AS path, nearest first.
    pub as_path: Vec<u32>,
    /// Next hop; none for what the machine originates itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<IpAddr>,
    /// `LOCAL_PREF`, where it has one; 100 counts where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// MED, where it has one; 0 counts where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// The rule that let it in or kept it out: `routers-in-v4 20`, `loop: own AS in the path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Chosen.
    Best,
    /// Used beside the chosen one.
    Equal,
    /// Accepted, and lost against the chosen one at this step.
    Lost(Step),
    /// Refused by a filter or as a loop.
    Refused,
}

/// A step of the decision process (RFC 4271, 9.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The machine's own route.
    Own,
    /// Higher `LOCAL_PREF`.
    LocalPref,
    /// Shorter AS path.
    AsPath,
    /// Lower origin.
    Origin,
    /// Lower MED, from the same neighbouring AS.
    Med,
    /// eBGP before iBGP.
    External,
    /// Nearer next hop.
    Metric,
    /// Lower router id of the peer.
    RouterId,
    /// Shorter cluster list (RFC 4456).
    ClusterList,
    /// Lower address of the peer.
    PeerAddress,
}

/// What the kernel does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Installed {
    /// Sends on to one or more next hops, sorted.
    Via(Vec<IpAddr>),
    /// Its own segment, pod or block: no route of BGP's.
    Own,
}
