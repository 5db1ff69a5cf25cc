//! Checks of the network document, and of the bundle's files against it: `network.*`.

mod bird;
pub(crate) mod calico;
pub(crate) mod filters;
pub(crate) mod firewall;
mod frr;
pub(crate) mod ike;
pub(crate) mod machines;
pub(crate) mod peering;
pub(crate) mod pfsense;
pub(crate) mod policy;
pub(crate) mod pools;
pub(crate) mod sessions;
pub(crate) mod tunnels;

use kmh_doc::inventory::BgpDaemon;
use kmh_doc::network::{NetworkSpec, RouterPlan};

use crate::bundle::RENDER;
use crate::bundle::files::place;
use crate::bundle::view::Bundle;
use crate::findings::Findings;

/// `network.bgp-files`: what FRR and BIRD are told is what the plan says.
pub(crate) fn bgp_files(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    type Judge = fn(&str, &RouterPlan, &str, &mut Findings<'_>);
    for plan in &network.routers {
        if !out.look_at(&plan.name) {
            continue;
        }
        let Some(view) = bundle.machine(&plan.name) else {
            out.critical(&plan.name, "the bundle does not have this router", RENDER);
            continue;
        };
        let (name, judge): (_, Judge) = match plan.daemon {
            BgpDaemon::Frr => ("frr.conf", frr::frr),
            BgpDaemon::Bird => ("bird.conf", bird::bird),
        };
        let is_it = |path: &str| path.rsplit('/').next() == Some(name);
        let confs: Vec<_> = view.files.iter().filter(|(path, _)| is_it(path)).collect();
        let [(path, text)] = confs.as_slice() else {
            let message = format!("it has {} files named {name} instead of one", confs.len());
            out.critical(&plan.name, message, RENDER);
            continue;
        };
        judge(&place(&plan.name, path), plan, &text.text, out);
    }
}

/// What to do about a plan that does not fit together.
pub(crate) const REPLAN: &str = "make the document again with `kmh-bgpcfg plan`";
