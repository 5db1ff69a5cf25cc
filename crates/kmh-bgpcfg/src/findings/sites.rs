//! Sites: lines that nothing stands in for, name servers that are out of reach.

use std::collections::BTreeSet;

use kmh_doc::network::Finding;

use crate::firewall::{itself, on_lan};
use crate::ground::Index;

pub(crate) fn find(index: &Index<'_>, all: &mut Vec<Finding>) {
    let model = index.model;
    for site in model.sites.values() {
        let name = site.name.as_str();
        let routers = index.routers_of(name);
        let lines: usize = routers.iter().map(|router| router.uplinks.len()).sum();
        if model.sites.len() > 1 && lines == 1 {
            all.push(Finding::note(
                "single-homed-site",
                name,
                "one line joins the site to the others; while it is down the site is alone".to_owned(),
                "nothing to do for a home; a second line in `uplinks`, or a second router, is the way out",
            ));
        }
        for address in &site.resolvers {
            let others = || model.sites.values().filter(|other| other.name != site.name);
            let on_segment = !on_lan(site, *address) && others().any(|other| on_lan(other, *address));
            let is_router = others().any(|other| itself(model, other).any(|ip| ip.addr() == *address));
            for why in [
                on_segment.then_some("on a segment of another site, where nodes may not go"),
                is_router.then_some("a router of another site, which answers the nodes of its own"),
            ] {
                all.extend(why.map(|why| {
                    let hint = "name a resolver of this site, such as its router";
                    Finding::warning("far-resolver", name, format!("the resolver `{address}` is {why}"), hint)
                }));
            }
        }
        for router in routers {
            let own = index.tunnels_of(router.name.as_str());
            let used: BTreeSet<usize> = own.iter().map(|own| own.tunnel.ends[own.end].uplink).collect();
            let spare = router.uplinks.iter().enumerate().filter(|(place, _)| !used.contains(place));
            let spare: Vec<&str> = spare.map(|(_, line)| line.name.as_str()).collect();
            if !used.is_empty() && !spare.is_empty() {
                all.push(Finding::note(
                    "spare-line",
                    router.name.as_str(),
                    format!(
                        "no tunnel can use `{}`: by it and their own lines, the other ends cannot meet it",
                        spare.join("`, `")
                    ),
                    "it needs an address that others can call, or others need one of its family",
                ));
            }
        }
    }
}
