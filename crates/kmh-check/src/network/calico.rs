//! Calico's resources: whether Calico takes them, and whether the cluster is told them as they are.

use std::collections::{BTreeMap, BTreeSet};

use kmh_calico::Release;
use kmh_calico::selector::{Labels, Selector};
use kmh_doc::bundle::MachineKind;
use kmh_doc::network::NetworkSpec;
use kmh_model::Model;
use serde_json::Value;

use crate::bundle::RENDER;
use crate::bundle::view::Bundle;
use crate::findings::Findings;

/// The resources of one kind, with their names.
pub(super) fn of<'n>(
    network: &'n NetworkSpec,
    kind: &'static str,
) -> impl Iterator<Item = (&'n str, &'n Value)> {
    network
        .calico
        .iter()
        .filter(move |r| r["kind"].as_str() == Some(kind))
        .map(|r| (r["metadata"]["name"].as_str().unwrap_or("(nameless)"), &r["spec"]))
}

/// The inventory's Calico.
pub(super) fn release(model: &Model) -> Option<Release> {
    let (major, minor) = model.versions.calico.as_ref()?.major_minor();
    Some(Release(major, minor))
}

/// `network.calico-fields`: fields and values that the inventory's Calico knows.
pub(crate) fn fields(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    const HINT: &str =
        "before v3.32 nothing on the cluster says so: the field is dropped, or stops a node's BIRD";
    for resource in &network.calico {
        if resource.is_object() {
            out.look();
        }
    }
    for complaint in kmh_calico::validate(&network.calico, release(model)) {
        let message = if complaint.place.is_empty() {
            complaint.message
        } else {
            format!("`{}`: {}", complaint.place, complaint.message)
        };
        out.critical(&complaint.subject, message, HINT);
    }
}

/// The plan's nodes by their labels: a selector that asks for one is answered without a look at all nodes.
pub(super) struct ByLabel<'n> {
    all: Vec<(&'n str, Labels<'n>)>,
    having: BTreeMap<(&'n str, &'n str), Vec<usize>>,
}

impl<'n> ByLabel<'n> {
    pub(super) fn new(network: &'n NetworkSpec) -> Self {
        let mut found = Self { all: Vec::new(), having: BTreeMap::new() };
        for node in &network.nodes {
            let labels: Labels<'n> =
                node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            for (key, value) in &labels {
                found.having.entry((*key, *value)).or_default().push(found.all.len());
            }
            found.all.push((node.name.as_str(), labels));
        }
        found
    }

    /// The nodes that a selector chooses; nothing when it cannot be read.
    pub(super) fn selected(&self, selector: &str) -> Option<BTreeSet<&'n str>> {
        let selector = Selector::parse(selector).ok()?;
        let chosen = |(name, labels): &(&'n str, Labels<'n>)| selector.selects(labels).then_some(*name);
        Some(match selector.required() {
            Some(label) => {
                let few = self.having.get(&label).map_or(&[][..], Vec::as_slice);
                few.iter().filter_map(|n| self.all.get(*n)).filter_map(chosen).collect()
            }
            None => self.all.iter().filter_map(chosen).collect(),
        })
    }
}

/// `network.manifests`: the cluster is told every resource of the plan, as it is there.
pub(crate) fn manifests(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    if !bundle.machines.iter().any(|view| view.machine.kind == MachineKind::Cluster) {
        return;
    }
    let manifests: Vec<Value> = bundle.manifests().collect();
    for resource in &network.calico {
        let (kind, name) = (&resource["kind"], &resource["metadata"]["name"]);
        let subject =
            format!("{} {}", kind.as_str().unwrap_or("(no kind)"), name.as_str().unwrap_or("(nameless)"));
        out.look();
        let told = manifests.iter().find(|one| one["kind"] == *kind && one["metadata"]["name"] == *name);
        match told {
            None => out.critical(&subject, "no manifest of the cluster has it", RENDER),
            Some(told)
                if told["spec"] != resource["spec"] || told["apiVersion"] != resource["apiVersion"] =>
            {
                out.critical(&subject, "the cluster's manifest has it otherwise than the plan", RENDER);
            }
            Some(_) => {}
        }
    }
}
