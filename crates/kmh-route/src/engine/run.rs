//! Speakers tell each other until nobody has anything new to say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::classes::{Class, Classes, Origins, announces};
use super::decide::{Candidate, Rank};
use super::speak::{Attrs, Refusal, Rule, Source, announce, export, import, link};
use crate::network::{Daemon, Link, Machine, Network, Side, Speaker};

/// What is up in a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Ups {
    pub(crate) routers: Vec<bool>,
    pub(crate) nodes: Vec<bool>,
    pub(crate) tunnels: Vec<bool>,
    pub(crate) sessions: Vec<bool>,
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
enum Lane {
    /// Its best.
    Best,
    /// What it has from one place (RFC 7911: calico-node sends all paths, FRR takes them): its own, or that session.
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
    lane: Lane,
}

/// All edges of one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) speakers: Vec<Machine>,
    pub(crate) edges: Vec<Edge>,
    out: Vec<Vec<u32>>,
    inn: Vec<Vec<u32>>,
}

impl Graph {
    /// Routers, then nodes that hand on what they learned.
    pub(crate) fn new(network: &Network<'_>, v6: bool) -> Self {
        let routers = (0..network.routers.len()).map(Machine::Router);
        let speakers: Vec<Machine> = routers.chain(network.transit_nodes()).collect();
        let count = speakers.len();
        let mut graph = Self { speakers, edges: Vec::new(), out: vec![Vec::new(); count], inn: vec![Vec::new(); count] };
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
                for lane in lanes(network, own, peer, number, v6) {
                    graph.add(Edge { session: number, from, to, end, lane });
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
    let takes_all = network.speaker(peer).is_some_and(|peer| peer.daemon == Daemon::Frr);
    if !matches!(own, Machine::Node(_)) || !takes_all {
        return vec![Lane::Best];
    }
    let others = network.sessions_of(own).iter().filter(|other| {
        **other != number && network.session(**other).is_some_and(|(session, _)| session.v6 == v6)
    });
    std::iter::once(Lane::Only(None)).chain(others.map(|other| Lane::Only(Some(*other)))).collect()
}

/// A route as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) attrs: Attrs,
    pub(crate) outcome: Result<Rule, Refusal>,
}

impl Heard {
    pub(crate) fn new(result: Result<(Attrs, Rule), (Attrs, Refusal)>) -> Self {
        match result {
            Ok((attrs, rule)) => Self { attrs, outcome: Ok(rule) },
            Err((attrs, refusal)) => Self { attrs, outcome: Err(refusal) },
        }
    }
}

/// What a node that hands nothing on announced to a router.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) session: u32,
    pub(crate) heard: Heard,
}

/// Where a speaker's route is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Own,
    /// Of the speaker's injections, by place.
    Injected(u32),
    /// By number.
    Edge(u32),
}

/// A class at rest.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// The node for which it was computed, when it stands for others as well.
    pub(crate) stand_in: Option<usize>,
    /// By router.
    pub(crate) injected: Arc<[Vec<Injection>]>,
    /// By edge.
    heard: Vec<Option<Heard>>,
    /// By speaker: where from, and what.
    best: Vec<Option<(Choice, Attrs)>>,
    /// Whether it never came to rest.
    pub(crate) restless: bool,
}

impl Settled {
    pub(crate) fn heard(&self, edge: u32) -> Option<&Heard> {
        self.heard.get(edge as usize)?.as_ref()
    }

    pub(crate) fn best(&self, speaker: usize) -> Option<&(Choice, Attrs)> {
        self.best.get(speaker)?.as_ref()
    }

    pub(crate) fn injected(&self, router: usize) -> &[Injection] {
        self.injected.get(router).map_or(&[], Vec::as_slice)
    }
}

/// What a class is settled with.
#[derive(Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) network: &'a Network<'a>,
    pub(crate) graph: &'a Graph,
    pub(crate) classes: &'a Classes,
    pub(crate) ups: &'a Ups,
}

/// Attributes of what a speaker originates. FRR sends a MED of 0 with what a `network` statement says.
pub(crate) fn own_attrs(speaker: &Speaker) -> Attrs {
    Attrs {
        path: Arc::from([]),
        next_hop: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        local_pref: None,
        med: (speaker.daemon == Daemon::Frr).then_some(0),
        originator: None,
        clusters: Arc::from([]),
    }
}

impl<'a> Stage<'a> {
    /// Where a machine has a route from that arrived over a session.
    pub(crate) fn source(self, number: u32, own: usize) -> Option<Source> {
        let (session, sides) = self.network.session(number)?;
        let peer = session.ends.get(1 - own)?;
        let (external, client, keep) = match sides.get(own)? {
            Side::Router(side) => (side.external, side.client, side.keep),
            Side::Node(side) => (side.external, false, false),
            Side::Missing => return None,
        };
        let id = self.network.speaker(peer.machine)?.id;
        Some(Source { session: Some(number), external, client, keep, id, link: link(session) })
    }

    /// A route over a session, for the decision.
    pub(crate) fn candidate<'h>(self, number: u32, own: usize, attrs: &'h Attrs) -> Option<Candidate<'h>> {
        let source = self.source(number, own)?;
        let peer = self.network.session(number)?.0.ends.get(1 - own)?;
        Some(Candidate {
            own: false,
            attrs,
            external: source.external,
            id: source.id,
            peer_asn: peer.asn,
            peer_address: Some(peer.address),
        })
    }

    /// Everything usable that a speaker has.
    pub(crate) fn candidates<'h>(
        self,
        class: &Class,
        settled: &'h Settled,
        speaker: usize,
        own: &'h Attrs,
    ) -> Vec<(Choice, Candidate<'h>)> {
        let mut all = Vec::new();
        let Some(machine) = self.graph.speakers.get(speaker).copied() else { return all };
        if self.originates(class, machine) {
            let own = Candidate { own: true, attrs: own, external: false, id: 0, peer_asn: 0, peer_address: None };
            all.push((Choice::Own, own));
        }
        for (place, one) in (0..).zip(settled.injected(speaker)) {
            if one.heard.outcome.is_ok()
                && self.ups.session(one.session)
                && let Some(candidate) = self.candidate(one.session, 0, &one.heard.attrs)
            {
                all.push((Choice::Injected(place), candidate));
            }
        }
        for number in self.graph.into(speaker) {
            if let (Some(edge), Some(heard)) = (self.graph.edges.get(*number as usize), settled.heard(*number))
                && heard.outcome.is_ok()
                && self.ups.session(edge.session)
                && let Some(candidate) = self.candidate(edge.session, 1 - edge.end, &heard.attrs)
            {
                all.push((Choice::Edge(*number), candidate));
            }
        }
        all
    }

    fn originates(self, class: &Class, machine: Machine) -> bool {
        self.ups.machine(machine)
            && match (&class.origins, machine) {
                (Origins::Same(machines), _) => machines.binary_search(&machine).is_ok(),
                (Origins::Nodes, Machine::Router(_)) => false,
                // Such nodes have classes of their own.
                (Origins::Nodes, Machine::Node(_)) => {
                    class.members.iter().any(|member| {
                        self.classes.prefix(*member).is_some_and(|prefix| prefix.origin == Some(machine))
                    })
                }
            }
    }

    fn choose(self, class: &Class, settled: &Settled, speaker: usize) -> Option<(Choice, Attrs)> {
        let own = own_attrs(self.network.speaker(*self.graph.speakers.get(speaker)?)?);
        let (choices, candidates): (Vec<_>, Vec<_>) =
            self.candidates(class, settled, speaker, &own).into_iter().unzip();
        let best = Rank::best(&candidates)?;
        Some((*choices.get(best)?, candidates.get(best)?.attrs.clone()))
    }

    /// Where a speaker's route is from.
    pub(crate) fn source_of(self, settled: &Settled, speaker: usize, choice: Choice) -> Option<Source> {
        match choice {
            Choice::Own => Some(Source {
                session: None,
                external: false,
                client: false,
                keep: false,
                id: 0,
                link: Link::Segment,
            }),
            Choice::Injected(place) => {
                self.source(settled.injected(speaker).get(place as usize)?.session, 0)
            }
            Choice::Edge(number) => {
                let edge = self.graph.edges.get(number as usize)?;
                self.source(edge.session, 1 - edge.end)
            }
        }
    }

    /// What arrives over an edge now.
    fn tell(self, class: &Class, settled: &Settled, edge: &Edge) -> Option<Heard> {
        if !self.ups.session(edge.session) {
            return None;
        }
        let machine = *self.graph.speakers.get(edge.from)?;
        let (source, attrs) = match edge.lane {
            Lane::Best => {
                let (choice, attrs) = settled.best(edge.from)?;
                (self.source_of(settled, edge.from, *choice)?, attrs.clone())
            }
            Lane::Only(None) => {
                if !self.originates(class, machine) {
                    return None;
                }
                (self.source_of(settled, edge.from, Choice::Own)?, own_attrs(self.network.speaker(machine)?))
            }
            Lane::Only(Some(session)) => {
                let number = self.graph.into(edge.from).iter().find(|number| {
                    self.graph.edges.get(**number as usize).is_some_and(|edge| edge.session == session)
                })?;
                let heard = settled.heard(*number).filter(|heard| heard.outcome.is_ok())?;
                if !self.ups.session(session) {
                    return None;
                }
                let into = self.graph.edges.get(*number as usize)?;
                (self.source(session, 1 - into.end)?, heard.attrs.clone())
            }
        };
        let over = link(self.network.session(edge.session)?.0);
        let alone = self.ups.is_alone(machine, over, class.v6);
        let prefix = (class.net, &class.rules[..]);
        let blocks = self.classes.blocks_of(machine);
        let sent = export(self.network, (edge.session, edge.end), &source, &attrs, prefix, (alone, blocks))?;
        Some(Heard::new(import(self.network, (edge.session, 1 - edge.end), sent, prefix)))
    }

    /// What nodes that hand nothing on announce, by router.
    fn inject(self, class: &Class) -> (Option<usize>, Arc<[Vec<Injection>]>) {
        let mut all = vec![Vec::new(); self.network.routers.len()];
        let alive = |machine: &Machine| self.ups.machine(*machine);
        let mut stand_in = None;
        let origins: Vec<Machine> = match &class.origins {
            Origins::Same(machines) => machines.iter().copied().filter(alive).collect(),
            Origins::Nodes => {
                let members = class.members.iter().filter_map(|member| self.classes.prefix(*member)?.origin);
                let first: Option<Machine> = members.into_iter().find(alive);
                stand_in = first.and_then(|machine| match machine {
                    Machine::Node(node) => Some(node),
                    Machine::Router(_) => None,
                });
                first.into_iter().collect()
            }
        };
        for machine in origins {
            let Machine::Node(node) = machine else { continue };
            if self.network.transit.binary_search(&node).is_ok() {
                continue;
            }
            for number in self.network.sessions_of(machine) {
                let Some((session, [_, Side::Node(side)])) = self.network.session(*number) else { continue };
                let [Machine::Router(router), _] = session.ends.map(|end| end.machine) else { continue };
                let blocks = self.classes.blocks_of(machine);
                if !self.ups.session(*number) || !announces(self.network, *number, blocks, class.net) {
                    continue;
                }
                let sent = announce(*side, &session.ends[1]);
                let heard = Heard::new(import(self.network, (*number, 0), sent, (class.net, &class.rules)));
                if let Some(own) = all.get_mut(router) {
                    own.push(Injection { session: *number, heard });
                }
            }
        }
        (stand_in, all.into())
    }
}

/// Lets a class come to rest: from nothing, or from where it rested before some sessions ended.
pub(crate) fn settle(stage: Stage<'_>, class: &Class, before: Option<&Arc<Settled>>) -> Arc<Settled> {
    let count = stage.graph.speakers.len();
    let mut dirty = vec![false; count];
    let mut settled = match before {
        Some(before) => {
            let mut any = false;
            for (speaker, dirty) in dirty.iter_mut().enumerate() {
                *dirty = has_lost(stage, class, before, speaker);
                any |= *dirty;
            }
            if !any {
                return Arc::clone(before);
            }
            Settled::clone(before)
        }
        None => {
            let (stand_in, injected) = stage.inject(class);
            dirty.fill(true);
            let heard = vec![None; stage.graph.edges.len()];
            Settled { stand_in, injected, heard, best: vec![None; count], restless: false }
        }
    };
    if before.is_some() {
        // What ended sessions brought is gone.
        for (heard, edge) in settled.heard.iter_mut().zip(&stage.graph.edges) {
            if heard.is_some() && !stage.ups.session(edge.session) {
                *heard = None;
            }
        }
    }
    // Far more than any network that comes to rest needs.
    let mut left = 64 * count + 1024;
    let mut queue: std::collections::VecDeque<usize> = (0..count).filter(|speaker| dirty[*speaker]).collect();
    while let Some(speaker) = queue.pop_front() {
        dirty[speaker] = false;
        let best = stage.choose(class, &settled, speaker);
        let learned_all = matches!(stage.graph.speakers.get(speaker), Some(Machine::Node(_)));
        if settled.best[speaker] == best && !learned_all {
            continue;
        }
        settled.best[speaker] = best;
        if left == 0 {
            settled.restless = true;
            break;
        }
        left -= 1;
        for number in stage.graph.out.get(speaker).into_iter().flatten() {
            let Some(edge) = stage.graph.edges.get(*number as usize) else { continue };
            let now = stage.tell(class, &settled, edge);
            let Some(slot) = settled.heard.get_mut(*number as usize) else { continue };
            if *slot != now {
                *slot = now;
                if !std::mem::replace(&mut dirty[edge.to], true) {
                    queue.push_back(edge.to);
                }
            }
        }
    }
    Arc::new(settled)
}

/// Whether a speaker must decide anew because sessions ended.
fn has_lost(stage: Stage<'_>, class: &Class, before: &Settled, speaker: usize) -> bool {
    let Some(machine) = stage.graph.speakers.get(speaker) else { return false };
    let edges = stage.graph.into(speaker).iter().filter_map(|number| {
        Some((stage.graph.edges.get(*number as usize)?.session, before.heard(*number)?))
    });
    let injected = before.injected(speaker).iter().map(|one| (one.session, &one.heard));
    let mut lost = edges.chain(injected).filter(|(session, heard)| heard.outcome.is_ok() && !stage.ups.session(*session));
    if matches!(machine, Machine::Node(_)) {
        return lost.next().is_some() || !stage.ups.machine(*machine);
    }
    let has_own = matches!(before.best(speaker), Some((Choice::Own, _)));
    (lost.next().is_some() || (has_own && !stage.ups.machine(*machine)))
        && stage.choose(class, before, speaker).as_ref() != before.best(speaker)
}
