//! What the inventory's release of Calico cannot do of what the inventory asks.

use kmh_calico::Release;
use kmh_doc::inventory::ApiGroup;
use kmh_doc::network::Finding;

use crate::calico::release;
use crate::ground::Index;

/// From here on plain kubectl writes the native group; before, it took an API server of Calico's.
const NATIVE: Release = Release(3, 32);

pub(crate) fn find(index: &Index<'_>, all: &mut Vec<Finding>) {
    let model = index.model;
    let cluster = model.name.as_str();
    let Some(release) = release(model) else { return };
    if model.calico.api == ApiGroup::V3 && release < NATIVE {
        all.push(Finding::warning(
            "calico-api",
            cluster,
            format!(
                "`{}` is there for kubectl from Calico {NATIVE} on, and this is {release}",
                kmh_calico::GROUP_V3
            ),
            "leave out `calico.api`, or run Calico's own API server",
        ));
    }
    let timers = model.bgp.timers.nodes;
    if timers.keepalive != timers.hold / 3 && !kmh_calico::knows("BGPPeer", "keepaliveTime", Some(release)) {
        all.push(Finding::note(
            "node-keepalive",
            cluster,
            format!(
                "nodes send a keepalive every {} s, a third of the hold time: Calico {release} cannot be told otherwise",
                timers.hold / 3
            ),
            "routers send theirs as `bgp.timers.nodes.keepalive` says; the hold time is what counts",
        ));
    }
    if !model.load_balancers.is_empty() && !kmh_calico::knows("IPPool", "assignmentMode", Some(release)) {
        all.push(Finding::note(
            "load-balancer-addresses",
            cluster,
            format!("Calico {release} announces addresses of load balancers and gives out none"),
            "take Calico 3.30 or later, or run something that gives services their addresses",
        ));
    }
}
