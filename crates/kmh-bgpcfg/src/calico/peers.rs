//! Peers: each site's nodes with each of its routers, in each family.

use kmh_model::Router;
use serde_json::{Value, json};

use super::{GUARD, Maker, at_site};
use crate::PlanError;
use crate::ground::asn;
use crate::ranges::Family;

/// The Secret with the passwords, in the namespace of calico-node: one key a site, by its name.
const PASSWORDS: &str = "kmh-bgp-passwords";

pub(super) fn add(maker: &Maker<'_>, all: &mut Vec<Value>) -> Result<(), PlanError> {
    let mut routers: Vec<&Router> = maker.model.routers.iter().collect();
    routers.sort_by(|a, b| a.name.cmp(&b.name));
    let timers = maker.model.bgp.timers.nodes;
    for router in routers {
        let site = router.site.as_str();
        for address in &router.addresses {
            let mut spec = json!({
                "asNumber": asn(router)?,
                "filters": [GUARD],
                // BIRD asks each router to keep its routes for so long when it goes away without a word, 120 s when
                // nothing is said: so long would a node that reboots swallow its share of the services' packets. It
                // cannot be made not to ask, but 0 asks for nothing, and a router drops the routes at once (RFC 4724, 3).
                "maxRestartTime": format!("{}s", timers.restart),
                "nodeSelector": at_site(site),
                "peerIP": address,
            });
            if maker.model.bgp.passwords {
                spec["password"] = json!({"secretKeyRef": {"name": PASSWORDS, "key": site}});
            }
            // BIRD takes the smaller hold time of both, and a third of that between keepalives unless told.
            if timers.keepalive != timers.hold / 3 {
                spec["keepaliveTime"] = format!("{}s", timers.keepalive).into();
            }
            let name = format!("{}.{}", router.name, Family::of_address(*address).suffix());
            all.push(maker.make("BGPPeer", &name, spec));
        }
    }
    Ok(())
}
