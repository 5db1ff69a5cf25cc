//! Calico's resources, in the order in which they are applied. Every field that Calico's own client would default on
//! writing is written out: where kubectl writes to the storage group, no API server of Calico's fills in anything.
//!
//! The order disturbs nothing where Calico runs already: how addresses are given out before the pools that they come
//! out of, the filter before the peers that name it, the mesh off last.
//!
//! Each field stands only where the release has it: `kmh_calico` knows which. Of these nothing is set, because the
//! default is right: `listenPort` (179), `serviceLoadBalancerAggregation` (one route for the range, and single addresses
//! for `externalTrafficPolicy: Local` beside it), `programClusterRoutes` (BIRD's routes stay BIRD's),
//! `numAllowedLocalASNumbers` (no node need accept its own AS number: routers override it), `sourceAddress` (the node's).

mod peers;
mod pools;

use ipnet::IpNet;
use kmh_calico::Release;
use kmh_doc::inventory::ApiGroup;
use kmh_model::Model;
use serde_json::{Map, Value, json};

use crate::PlanError;
use crate::plan::ZONE_LABEL;

/// The filter that keeps a node from handing on what it learned.
const GUARD: &str = "no-transit";

/// All resources.
pub(crate) fn calico(model: &Model) -> Result<Vec<Value>, PlanError> {
    let maker = Maker::new(model);
    let mut all = vec![ipam(&maker), guard(&maker)];
    pools::add(&maker, &mut all);
    peers::add(&maker, &mut all)?;
    all.push(configuration(&maker));
    Ok(all)
}

/// The inventory's Calico, when it says.
pub(crate) fn release(model: &Model) -> Option<Release> {
    let (major, minor) = model.versions.calico.as_ref()?.major_minor();
    Some(Release(major, minor))
}

/// What resources are made of.
struct Maker<'m> {
    model: &'m Model,
    release: Option<Release>,
}

impl<'m> Maker<'m> {
    fn new(model: &'m Model) -> Self {
        Self { model, release: release(model) }
    }

    /// A resource; fields that the release does not know are left out.
    fn make(&self, kind: &str, name: &str, spec: Value) -> Value {
        let api = match self.model.calico.api {
            ApiGroup::Crd => kmh_calico::GROUP_CRD,
            ApiGroup::V3 => kmh_calico::GROUP_V3,
        };
        let spec: Map<String, Value> = match spec {
            Value::Object(fields) => {
                fields.into_iter().filter(|(field, _)| self.knows(kind, field)).collect()
            }
            _ => Map::new(),
        };
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec})
    }

    fn knows(&self, kind: &str, field: &str) -> bool {
        kmh_calico::knows(kind, field, self.release)
    }
}

/// Blocks are a node's own. Where a node may have no more of them it takes single addresses out of others' blocks, unless
/// told not to; the pool keeps it on its own site's.
fn ipam(maker: &Maker<'_>) -> Value {
    let choice = &maker.model.calico;
    let kind = match choice.api {
        ApiGroup::Crd => "IPAMConfig",
        ApiGroup::V3 => "IPAMConfiguration",
    };
    let mut spec = json!({"autoAllocateBlocks": true, "strictAffinity": choice.strict_affinity});
    if let Some(most) = choice.max_blocks_per_node {
        spec["maxBlocksPerHost"] = most.into();
    }
    maker.make(kind, "default", spec)
}

fn configuration(maker: &Maker<'_>) -> Value {
    let model = maker.model;
    let list = |nets: &[IpNet]| nets.iter().map(|net| json!({"cidr": net})).collect::<Vec<_>>();
    let mut spec = json!({
        "asNumber": model.node_asn,
        "logSeverityScreen": "Info",
        "nodeToNodeMeshEnabled": false,
        "serviceClusterIPs": list(&model.services),
    });
    if !model.load_balancers.is_empty() {
        spec["serviceLoadBalancerIPs"] = list(&model.load_balancers).into();
    }
    maker.make("BGPConfiguration", "default", spec)
}

/// A node announces whatever it learned inside a pool or a service range (projectcalico/calico issue 5235): a foreign
/// service's address, and the way to another site, through itself.
fn guard(maker: &Maker<'_>) -> Value {
    let rule = json!([{"source": "RemotePeers", "action": "Reject"}]);
    maker.make("BGPFilter", GUARD, json!({"exportV4": rule, "exportV6": rule}))
}

/// Selects the nodes of a site.
fn at_site(site: &str) -> String {
    format!("{ZONE_LABEL} == '{site}'")
}
