//! Scenarios: all single ones of a network, and what each takes away.

use std::collections::{BTreeMap, BTreeSet};

use crate::down::Down;
use crate::ground::Ground;
use crate::lookup::Gate;
use crate::network::{Machine, Network};

/// What a scenario takes away.
pub(super) struct Gone {
    pub(super) tunnels: BTreeSet<String>,
    pub(super) machines: BTreeSet<Machine>,
}

impl Gone {
    /// Whether a gate leads to it.
    pub(super) fn has(&self, network: &Network<'_>, gate: &Gate) -> bool {
        gate.tunnel.as_deref().is_some_and(|name| self.tunnels.contains(name))
            || network.owner(gate.next_hop).is_some_and(|next| self.machines.contains(&next))
    }
}

pub(super) fn gone(network: &Network<'_>, down: &Down) -> Gone {
    let spec = network.spec;
    let line =
        |end: &kmh_doc::network::TunnelEnd| down.uplinks.contains(&format!("{}/{}", end.router, end.uplink));
    let by_line = spec.tunnels.iter().filter(|tunnel| tunnel.ends.iter().any(line));
    let tunnels = by_line.map(|tunnel| tunnel.name.clone()).chain(down.tunnels.iter().cloned()).collect();
    let routers = spec
        .routers
        .iter()
        .enumerate()
        .filter(|(_, router)| down.routers.contains(&router.name) || down.sites.contains(&router.site));
    let nodes = spec
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| down.nodes.contains(&node.name) || down.sites.contains(&node.site));
    let machines =
        routers.map(|(n, _)| Machine::Router(n)).chain(nodes.map(|(n, _)| Machine::Node(n))).collect();
    Gone { tunnels, machines }
}

/// Whether all that one scenario takes away is gone in another one already: a router of a site that is down.
pub fn implies(network: &Network<'_>, wide: &Down, narrow: &Down) -> bool {
    let everything = |down: &Down| {
        let mut gone = gone(network, down);
        let is_gone = |end: &kmh_doc::network::TunnelEnd| {
            network.machine(&end.router).is_some_and(|router| gone.machines.contains(&router))
        };
        let tunnels = network.spec.tunnels.iter().filter(|tunnel| tunnel.ends.iter().any(is_gone));
        let tunnels: Vec<String> = tunnels.map(|tunnel| tunnel.name.clone()).collect();
        gone.tunnels.extend(tunnels);
        gone
    };
    let (wide, narrow) = (everything(wide), everything(narrow));
    wide.machines.is_superset(&narrow.machines) && wide.tunnels.is_superset(&narrow.tunnels)
}

/// Every single scenario of a network, things that are alike put together: nodes of one site that announce the same
/// services.
pub fn singles(network: &Network<'_>, ground: &Ground) -> Vec<(Down, Vec<String>)> {
    let all = Down::everything(network.spec);
    let mut scenarios: Vec<(Down, Vec<String>)> = Vec::new();
    let single = |kind: &str, name: &str| {
        let mut down = Down::default();
        // The name comes from the document: it cannot be misspelt.
        let _ = down.add(&format!("{kind}/{name}"));
        down
    };
    for (kind, names) in
        [("site", &all.sites), ("router", &all.routers), ("uplink", &all.uplinks), ("tunnel", &all.tunnels)]
    {
        scenarios.extend(names.iter().map(|name| (single(kind, name), Vec::new())));
    }
    let mut services: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, service) in ground.services.iter().enumerate() {
        for node in &service.nodes {
            services.entry(node).or_default().push(number);
        }
    }
    let mut alike: BTreeMap<(&str, Vec<usize>), Vec<&str>> = BTreeMap::new();
    for node in &network.spec.nodes {
        let own = services.get(node.name.as_str()).cloned().unwrap_or_default();
        alike.entry((&node.site, own)).or_default().push(&node.name);
    }
    for names in alike.into_values() {
        if let Some((first, others)) = names.split_first() {
            scenarios
                .push((single("node", first), others.iter().map(|name| format!("node/{name}")).collect()));
        }
    }
    scenarios
}
