//! Checks of the network document, and of the bundle's files against it: `network.*`.

pub(crate) mod bird;
pub(crate) mod calico;
pub(crate) mod filters;
pub(crate) mod firewall;
pub(crate) mod frr;
pub(crate) mod ike;
pub(crate) mod machines;
pub(crate) mod peering;
pub(crate) mod pfsense;
pub(crate) mod policy;
pub(crate) mod pools;
pub(crate) mod sessions;
pub(crate) mod tunnels;

/// What to do about a plan that does not fit together.
pub(crate) const REPLAN: &str = "make the document again with `kmh-bgpcfg plan`";
