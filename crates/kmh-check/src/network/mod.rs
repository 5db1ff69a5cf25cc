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

use kmh_doc::network::NetworkSpec;

use crate::bundle::view::Bundle;
use crate::findings::Findings;

/// `network.bgp-files`: what FRR and BIRD are told is what the plan says.
pub(crate) fn bgp_files(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    frr::frr(network, bundle, out);
    bird::bird(network, bundle, out);
}

/// What to do about a plan that does not fit together.
pub(crate) const REPLAN: &str = "make the document again with `kmh-bgpcfg plan`";
