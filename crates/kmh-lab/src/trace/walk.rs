//! The way of a packet as kernels route it: from namespace to namespace, each asked for its route.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;

use crate::memory::{Memory, across, space};
use crate::plan::wires::End;
use crate::state::State;

/// No packet that arrives crosses more namespaces.
const HOPS: usize = 32;

/// What a kernel says of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// It is for this one.
    Local,
    /// It leaves here.
    Out {
        /// By this interface.
        interface: String,
        /// To this machine; the destination itself when there is none.
        gateway: Option<IpAddr>,
    },
    /// It goes nowhere, in the kernel's words.
    None(String),
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: Option<String>,
    dev: Option<String>,
    gateway: Option<IpAddr>,
    via: Option<Via>,
}

#[derive(Deserialize)]
struct Via {
    host: IpAddr,
}

/// What `ip -j route get` printed, understood.
pub(crate) fn understood(ok: bool, stdout: &str, stderr: &str) -> Route {
    let said: Vec<Said> = if ok { serde_json::from_str(stdout).unwrap_or_default() } else { Vec::new() };
    let Some(said) = said.into_iter().next() else {
        let text = stderr.lines().next().unwrap_or_default();
        let text = text.trim_start_matches("RTNETLINK answers: ").trim_start_matches("Error: ");
        let text = text.trim_end_matches('.').to_lowercase();
        return Route::None(if text.is_empty() { "no route".to_owned() } else { text });
    };
    match (said.kind.as_deref(), said.dev) {
        (Some("local"), _) => Route::Local,
        (None | Some("unicast"), Some(interface)) => {
            Route::Out { interface, gateway: said.gateway.or(said.via.map(|via| via.host)) }
        }
        (kind, _) => Route::None(kind.unwrap_or("no route").to_owned()),
    }
}

/// One namespace on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Which.
    pub space: String,
    /// How the packet came in; none where it begins.
    pub enters: Option<String>,
    /// What the kernel says.
    pub route: Route,
}

/// How a way ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// At who has the address.
    Delivered,
    /// At a node that has the Service's pods.
    Service,
    /// The last kernel has no route.
    NoRoute,
    /// Nobody is there beyond the interface.
    Nobody,
    /// The packet vanishes there: it is cut.
    Cut,
    /// It comes back.
    Loop,
}

/// What the walker knows of a lab.
pub(crate) struct Ground<'a> {
    /// What it was built as.
    pub state: &'a State,
    /// Its cluster.
    pub memory: &'a Memory,
    /// Who has which address now.
    pub owners: BTreeMap<IpAddr, Vec<End>>,
    /// What lets packets vanish, by namespace.
    pub filters: BTreeMap<String, String>,
}

/// The machine of a namespace that is inside one.
fn host(space: &str) -> &str {
    space.split_once('/').map_or(space, |(host, _)| host)
}

impl Ground<'_> {
    /// Everything that is joined to an interface without a router in between.
    fn beyond(&self, end: &End) -> BTreeSet<End> {
        let mut seen = BTreeSet::from([end.clone()]);
        let mut queue = vec![end.clone()];
        let mut found = BTreeSet::new();
        while let Some(one) = queue.pop() {
            let mut next: Vec<End> = across(self.state, &one).into_iter().cloned().collect();
            // Both ends of a tunnel that the kernel encrypts.
            for tunnel in &self.memory.network.tunnels {
                let ends = tunnel
                    .ends
                    .each_ref()
                    .map(|end| End::new(&space(self.state, &end.router), &end.interface));
                match &ends {
                    [a, b] if *a == one => next.push(b.clone()),
                    [a, b] if *b == one => next.push(a.clone()),
                    _ => {}
                }
            }
            // Interfaces of a namespace inside a machine are joined to the machine's by what is rendered.
            if one.space.contains('/') && next.is_empty() {
                let machine = host(&one.space);
                next.extend(self.state.wires.interfaces.keys().filter(|end| end.space == machine).cloned());
            }
            if let Some(bridge) = self.master(&one) {
                let ports = self.state.wires.interfaces.iter();
                let ports = ports
                    .filter(|(end, port)| end.space == one.space && port.master.as_deref() == Some(bridge));
                next.extend(ports.map(|(end, _)| end.clone()));
            }
            for end in next {
                if seen.insert(end.clone()) {
                    found.insert(end.clone());
                    // Only through bridges: whoever routes is an end.
                    if self.master(&end).is_some() || end.space == host(&one.space) && one.space.contains('/')
                    {
                        queue.push(end);
                    }
                }
            }
        }
        found
    }

    fn master(&self, end: &End) -> Option<&str> {
        self.state.wires.interfaces.get(end)?.master.as_deref()
    }

    /// Who takes a packet that leaves by an interface for an address.
    fn next(&self, end: &End, address: IpAddr) -> Option<End> {
        let beyond = self.beyond(end);
        let owners = self.owners.get(&address).map(Vec::as_slice).unwrap_or_default();
        let exact = owners.iter().find(|owner| beyond.contains(owner) && **owner != *end);
        let inside = || {
            owners.iter().find(|owner| {
                owner.space != end.space && beyond.iter().any(|one| one.space == host(&owner.space))
            })
        };
        // One who answers for others: a node for its pods' gateway.
        let only = || {
            let mut routing = beyond.iter().filter(|one| self.master(one).is_none());
            routing.next().filter(|_| routing.next().is_none() && beyond.len() == 1)
        };
        exact.or_else(inside).or_else(only).cloned()
    }

    /// Whether packets vanish at an interface.
    fn is_cut(&self, space: &str, interface: &str) -> bool {
        let Some(filter) = self.filters.get(space) else { return false };
        filter.contains(&format!("\"{interface}\"")) || filter.contains("!= \"lo\"")
    }

    /// Whether an address is a Service's, which nodes send on to pods.
    fn is_service(&self, to: IpAddr) -> bool {
        let ranges = kmh_route::findings::service_ranges(&self.memory.network);
        ranges.iter().any(|net| net.contains(&to))
    }

    /// The way of a packet. `ask` gets the namespace, and by which interface the packet came in.
    pub(crate) fn walk<E>(
        &self,
        from: &str,
        to: IpAddr,
        mut ask: impl FnMut(&str, Option<&str>) -> Result<Route, E>,
    ) -> Result<(Vec<Hop>, Fate), E> {
        let is_node = |space: &str| self.memory.network.nodes.iter().any(|node| node.name == space);
        let mut hops: Vec<Hop> = Vec::new();
        let (mut here, mut enters) = (from.to_owned(), None::<String>);
        loop {
            if hops.len() >= HOPS || hops.iter().any(|hop| hop.space == here) {
                return Ok((hops, Fate::Loop));
            }
            let route = ask(&here, enters.as_deref())?;
            hops.push(Hop { space: here.clone(), enters: enters.clone(), route: route.clone() });
            if enters.as_deref().is_some_and(|interface| self.is_cut(&here, interface)) {
                return Ok((hops, Fate::Cut));
            }
            if is_node(&here) && self.is_service(to) {
                return Ok((hops, Fate::Service));
            }
            let (interface, gateway) = match route {
                Route::Local => return Ok((hops, Fate::Delivered)),
                Route::None(_) => return Ok((hops, Fate::NoRoute)),
                Route::Out { interface, gateway } => (interface, gateway),
            };
            if self.is_cut(&here, &interface) {
                return Ok((hops, Fate::Cut));
            }
            let Some(next) = self.next(&End::new(&here, &interface), gateway.unwrap_or(to)) else {
                return Ok((hops, Fate::Nobody));
            };
            here = next.space;
            enters = Some(next.interface);
        }
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
