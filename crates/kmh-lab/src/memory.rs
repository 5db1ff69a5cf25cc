//! What a lab that is up knows of its cluster: the network document and what its nodes have. Written by `up`, so that the
//! other verbs need no documents.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::process::Command;

use ipnet::IpNet;
use kmh_cli::{Failure, file};
use kmh_doc::network::{NetworkSpec, Tunnel};
use kmh_route::ground::{Ground, Service};
use kmh_route::{Down, Network};
use serde::{Deserialize, Serialize};

use crate::machine::{Place, clean};
use crate::plan::LabPlan;
use crate::plan::wires::End;
use crate::state::{LabName, State};

/// The file's name in the lab's folder.
const NAME: &str = "memory.json";

/// What a lab knows of its cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The network that it was built from.
    pub network: NetworkSpec,
    /// Blocks of pod addresses, and their nodes.
    pub blocks: Vec<(IpNet, String)>,
    /// Addresses out of another node's block, and the nodes of their pods.
    #[serde(default)]
    pub borrowed: Vec<(IpAddr, String)>,
    /// Addresses of services that single nodes announce.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Addresses of services that answer, and whether by the Local policy.
    #[serde(default)]
    pub answering: Vec<(IpAddr, bool)>,
    /// The pods' addresses, by node: at most one a family.
    pub pods: BTreeMap<String, Vec<IpAddr>>,
}

impl Memory {
    /// Reads it.
    pub fn read(lab: &LabName) -> Result<Self, Failure> {
        let path = lab.folder().join(NAME);
        let again = || "kmh-lab up builds the rest of the lab".to_owned();
        let Some(bytes) = file::read_if_there(&path)? else {
            return Err(Failure::world(format!("lab `{lab}` is not whole")).hint(again()));
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::world(format!("`{}` cannot be understood", path.display())).because(error).hint(again())
        })
    }

    /// Writes it.
    pub fn write(&self, lab: &LabName) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Failure::world("cannot write what the lab knows").because(error))?;
        file::write(&lab.folder().join(NAME), &bytes, 0o600).map(|_| ())
    }

    /// From what a lab is built of.
    pub fn of(network: &NetworkSpec, ground: &Ground, planned: &LabPlan) -> Self {
        let mut pods: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for pod in &planned.pods {
            let own = pods.entry(pod.node.clone()).or_default();
            if !own.iter().any(|one| one.is_ipv6() == pod.address.is_ipv6()) {
                own.push(pod.address);
            }
        }
        let single = planned.services.iter().filter(|service| service.local);
        let single = single.map(|service| Service {
            name: service.name.clone(),
            address: service.address,
            nodes: service.announcers().into_iter().map(str::to_owned).collect(),
        });
        Self {
            network: network.clone(),
            blocks: ground.blocks.clone(),
            borrowed: ground.borrowed.clone(),
            services: single.collect(),
            answering: planned.services.iter().map(|service| (service.address, service.local)).collect(),
            pods,
        }
    }

    /// What a prediction rests on.
    pub fn ground(&self) -> Ground {
        let mut ground = Ground {
            blocks: self.blocks.clone(),
            borrowed: self.borrowed.clone(),
            services: self.services.clone(),
            assumed: false,
        };
        ground.blocks.sort();
        ground.borrowed.sort();
        ground.services.sort();
        ground
    }

    /// The network, ready to be asked.
    pub fn open(&self) -> Result<Network<'_>, Failure> {
        Network::new(&self.network).map_err(|faults| {
            let said = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            Failure::world("the lab's network cannot be understood").because(said)
        })
    }

    /// Everything of the part that is up that can be down.
    pub fn everything(&self, state: &State) -> Down {
        let mut all = Down::everything(&self.network);
        all.routers.retain(|name| is_up(state, name));
        all.nodes.retain(|name| is_up(state, name));
        all.sites.retain(|site| {
            all.routers.iter().chain(&all.nodes).any(|name| self.site(name) == Some(site.as_str()))
        });
        all.uplinks.retain(|name| state.wires.lines.contains_key(name));
        let whole = |tunnel: &&Tunnel| tunnel.ends.iter().all(|end| is_up(state, &end.router));
        all.tunnels = self.network.tunnels.iter().filter(whole).map(|tunnel| tunnel.name.clone()).collect();
        all
    }

    /// Routers and nodes that are not up: a lab may be a part of its cluster.
    pub fn absent(&self, state: &State) -> Down {
        let mut all = Down::everything(&self.network);
        all.routers.retain(|name| !is_up(state, name));
        all.nodes.retain(|name| !is_up(state, name));
        Down { routers: all.routers, nodes: all.nodes, ..Down::default() }
    }

    /// The site of a router or a node.
    pub fn site(&self, name: &str) -> Option<&str> {
        let routers = self.network.routers.iter().map(|router| (&router.name, &router.site));
        let nodes = self.network.nodes.iter().map(|node| (&node.name, &node.site));
        routers.chain(nodes).find(|(own, _)| *own == name).map(|(_, site)| site.as_str())
    }
}

/// Whether a router, or the machine that carries it, or a node is in the lab.
pub fn is_up(state: &State, name: &str) -> bool {
    let space = space(state, name);
    state.machines.contains_key(space.split_once('/').map_or(space.as_str(), |(host, _)| host))
}

/// The namespace of a router, node, pod or any other machine, as [`crate::plan::wires::Wires`] names it.
pub fn space(state: &State, name: &str) -> String {
    state
        .routers
        .get(name)
        .map_or_else(|| name.to_owned(), |inner| format!("{}/{}", inner.machine, inner.netns))
}

/// The file that a namespace is entered by. One inside a machine is reached through the machine's first process.
fn entrance(lab: &LabName, state: &State, space: &str) -> Result<String, Failure> {
    if let Some((machine, netns)) = space.split_once('/')
        && let Some(host) = state.machines.get(machine)
    {
        Place::of_machine(machine, host)?;
        return Ok(format!("/proc/{}/root/run/netns/{netns}", host.pid));
    }
    if state.wires.spaces.contains(space) {
        return Ok(format!("/run/netns/{}", lab.space(space)));
    }
    // It names what there is.
    Place::named(lab, state, space)?;
    Err(Failure::wrong(format!("lab `{lab}` has no network `{space}`")))
}

/// A command that uses the network of a namespace and nothing else of its machine: this machine's programs and files. It
/// is the process itself, so that signals reach it.
pub fn on_wires<S: AsRef<OsStr>>(
    lab: &LabName,
    state: &State,
    space: &str,
    words: impl IntoIterator<Item = S>,
) -> Result<Command, Failure> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", entrance(lab, state, space)?)).arg("--").args(words);
    clean(&mut command, lab);
    Ok(command)
}

/// The interface at the other end of a link.
pub fn across<'s>(state: &'s State, end: &End) -> Option<&'s End> {
    state.wires.links.iter().find_map(|link| match &link.ends {
        [a, b] if a == end => Some(b),
        [a, b] if b == end => Some(a),
        _ => None,
    })
}

#[cfg(test)]
pub(crate) mod testing;
