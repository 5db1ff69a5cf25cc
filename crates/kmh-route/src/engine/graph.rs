//! Who can tell whom: the sessions between speakers that hand on what they learned, and which of them are up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::attrs::Source;
use crate::network::{Daemon, Link, Machine, Network};

/// What is up in a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Ups {
    pub(crate) routers: Vec<bool>,
    pub(crate) nodes: Vec<bool>,
    pub(crate) tunnels: Vec<bool>,
    pub(crate) sessions: Vec<bool>,
    /// Sessions that ended because they brought too much.
    pub(crate) ended: Arc<BTreeSet<u32>>,
    /// How many sessions with nodes each router has, IPv4 and IPv6.
    pub(crate) callers: Vec<[u32; 2]>,
}

impl Ups {
    pub(crate) fn machine(&self, machine: Machine) -> bool {
        match machine {
            Machine::Router(n) => self.routers.get(n),
            Machine::Node(n) => self.nodes.get(n),
        }
        .copied()
        .unwrap_or(false)
    }

    pub(crate) fn session(&self, number: u32) -> bool {
        self.sessions.get(number as usize).copied().unwrap_or(false)
    }

    /// Whether nobody else is on the segment of a router's session with a node.
    pub(crate) fn is_alone(&self, router: Machine, over: Link, v6: bool) -> bool {
        let Machine::Router(router) = router else { return true };
        over != Link::Segment || self.callers.get(router).is_none_or(|both| both[usize::from(v6)] < 2)
    }
}

/// What a speaker sends over an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Its best.
    Best,
    /// What it has from one place (RFC 7911: calico-node sends all paths, routers take them): its own, or that session.
    Only(Option<u32>),
}

/// One direction of a session between two that hand on what they learned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) session: u32,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The sender's end.
    pub(crate) end: usize,
    /// What arrives, seen from the receiver.
    pub(crate) source: Source,
    pub(super) lane: Lane,
}

/// All edges of one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) speakers: Vec<Machine>,
    pub(crate) edges: Vec<Edge>,
    pub(super) out: Vec<Vec<u32>>,
    inn: Vec<Vec<u32>>,
}

impl Graph {
    /// Routers, then nodes that hand on what they learned.
    pub(crate) fn new(network: &Network<'_>, v6: bool) -> Self {
        let routers = (0..network.routers.len()).map(Machine::Router);
        let speakers: Vec<Machine> = routers.chain(network.transit_nodes()).collect();
        let count = speakers.len();
        let mut graph =
            Self { speakers, edges: Vec::new(), out: vec![Vec::new(); count], inn: vec![Vec::new(); count] };
        let place = |machine: Machine| match machine {
            Machine::Router(n) => Some(n),
            Machine::Node(n) => network.transit.binary_search(&n).ok().map(|at| at + network.routers.len()),
        };
        for (number, session) in (0..).zip(network.sessions()) {
            if session.v6 != v6 || session.fault.is_some() {
                continue;
            }
            for end in [0, 1] {
                let (own, peer) = (session.ends[end].machine, session.ends[1 - end].machine);
                let (Some(from), Some(to)) = (place(own), place(peer)) else { continue };
                let Some(source) = Source::of(network, number, 1 - end) else { continue };
                for lane in lanes(network, own, peer, number, v6) {
                    graph.add(Edge { session: number, from, to, end, source, lane });
                }
            }
        }
        graph
    }

    fn add(&mut self, edge: Edge) {
        let number = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
        self.edges.push(edge);
        self.out[edge.from].push(number);
        self.inn[edge.to].push(number);
    }

    /// The edges into a speaker.
    pub(crate) fn into(&self, speaker: usize) -> &[u32] {
        self.inn.get(speaker).map_or(&[], Vec::as_slice)
    }

    /// The place of a speaker; none for nodes that hand nothing on.
    pub(crate) fn place(&self, machine: Machine) -> Option<usize> {
        match machine {
            Machine::Router(n) => Some(n),
            Machine::Node(_) => self.speakers.iter().position(|one| *one == machine),
        }
    }
}

fn lanes(network: &Network<'_>, own: Machine, peer: Machine, number: u32, v6: bool) -> Vec<Lane> {
    let takes_all = network.speaker(peer).is_some_and(|peer| peer.daemon != Daemon::Calico);
    if !matches!(own, Machine::Node(_)) || !takes_all {
        return vec![Lane::Best];
    }
    let others = network.sessions_of(own).iter().filter(|other| {
        **other != number && network.session(**other).is_some_and(|(session, _)| session.v6 == v6)
    });
    std::iter::once(Lane::Only(None)).chain(others.map(|other| Lane::Only(Some(*other)))).collect()
}
