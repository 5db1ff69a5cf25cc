//! What each speaker holds of a class, and what it tells whom: everything that arrives anywhere follows from it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::attrs::{Attrs, Memo, Refusal, Rule, Source, link};
use super::classes::{Class, Classes, Origins, announces};
use super::decide::{Candidate, best};
use super::graph::{Edge, Graph, Lane, Ups};
use super::send::{Sending, announce, export};
use super::take::import;
use crate::network::{Daemon, Machine, Network, Side, Speaker};

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
    /// Seen from the router.
    pub(crate) source: Source,
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

/// A class at rest. What each speaker holds for the best says all: what arrives anywhere follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// The node for which it was computed, when it stands for others as well. It need not live itself.
    pub(crate) stand_in: Option<usize>,
    /// By router.
    pub(crate) injected: Arc<[Vec<Injection>]>,
    /// By router: where from, and what.
    pub(super) best: Vec<Option<(Choice, Attrs)>>,
    /// The same of nodes in transit, by speaker; most of them never hear of most prefixes.
    pub(super) nodes: BTreeMap<usize, (Choice, Attrs)>,
    /// By router: whether it heard of a MED. Where it did not, the decision is a plain order of all paths.
    pub(super) meds: Vec<bool>,
    /// Whether it never came to rest.
    pub(crate) restless: bool,
}

impl Settled {
    pub(crate) fn best(&self, speaker: usize) -> Option<&(Choice, Attrs)> {
        self.best.get(speaker).map_or_else(|| self.nodes.get(&speaker), Option::as_ref)
    }

    pub(super) fn set(&mut self, speaker: usize, best: Option<(Choice, Attrs)>) {
        if let Some(slot) = self.best.get_mut(speaker) {
            *slot = best;
        } else if let Some(best) = best {
            self.nodes.insert(speaker, best);
        } else {
            self.nodes.remove(&speaker);
        }
    }

    pub(super) fn has_meds(&self, speaker: usize) -> bool {
        self.meds.get(speaker).copied().unwrap_or(true)
    }

    pub(super) fn add_meds(&mut self, speaker: usize, meds: bool) {
        if let Some(slot) = self.meds.get_mut(speaker) {
            *slot |= meds;
        }
    }

    pub(crate) fn injected(&self, router: usize) -> &[Injection] {
        self.injected.get(router).map_or(&[], Vec::as_slice)
    }
}

/// Something usable that a speaker has.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) choice: Choice,
    pub(crate) source: Source,
    pub(crate) attrs: Attrs,
}

impl Offer {
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        Candidate { source: &self.source, attrs: &self.attrs }
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
        reflected: None,
    }
}

impl Stage<'_> {
    /// Whether an injection is there. Of nodes that share their fate the sessions with one router do, too.
    pub(crate) fn is_injected(self, class: &Class, router: usize, one: &Injection) -> bool {
        match class.origins {
            Origins::Nodes => self.ups.machine(Machine::Router(router)),
            Origins::Same(_) => self.ups.session(one.session),
        }
    }

    /// Everything usable that a speaker has.
    pub(crate) fn offers(self, class: &Class, settled: &Settled, speaker: usize) -> Vec<Offer> {
        self.offers_of(class, settled, speaker, |_| true)
    }

    /// Everything usable that a speaker has of its own, from nodes, and from wanted neighbours.
    pub(crate) fn offers_of(
        self,
        class: &Class,
        settled: &Settled,
        speaker: usize,
        wanted: impl Fn(&Source) -> bool,
    ) -> Vec<Offer> {
        let into = self.graph.into(speaker);
        let injected = settled.injected(speaker);
        let mut offers = Vec::with_capacity(into.len() + injected.len() + 1);
        let Some(machine) = self.graph.speakers.get(speaker).copied() else { return offers };
        if self.originates(class, machine)
            && let Some(own) = self.network.speaker(machine)
        {
            offers.push(Offer { choice: Choice::Own, source: Source::OWN, attrs: own_attrs(own) });
        }
        for (place, one) in (0..).zip(injected) {
            if one.heard.outcome.is_ok() && self.is_injected(class, speaker, one) {
                let choice = Choice::Injected(place);
                offers.push(Offer { choice, source: one.source, attrs: one.heard.attrs.clone() });
            }
        }
        for number in into {
            if let Some(edge) = self.graph.edges.get(*number as usize).filter(|edge| wanted(&edge.source))
                && let Some(heard) = self.tell(class, settled, edge, &mut Memo::default())
                && heard.outcome.is_ok()
            {
                offers.push(Offer { choice: Choice::Edge(*number), source: edge.source, attrs: heard.attrs });
            }
        }
        offers
    }

    pub(super) fn originates(self, class: &Class, machine: Machine) -> bool {
        self.ups.machine(machine)
            && match (&class.origins, machine) {
                (Origins::Same(machines), _) => machines.binary_search(&machine).is_ok(),
                (Origins::Nodes, Machine::Router(_)) => false,
                // Such nodes have classes of their own.
                (Origins::Nodes, Machine::Node(_)) => class.members.iter().any(|member| {
                    self.classes.prefix(*member).is_some_and(|prefix| prefix.origin == Some(machine))
                }),
            }
    }

    /// Whether anybody living announces a class.
    pub(super) fn is_announced(self, class: &Class) -> bool {
        match &class.origins {
            Origins::Same(machines) => machines.iter().any(|machine| self.ups.machine(*machine)),
            Origins::Nodes => class.members.iter().any(|member| {
                let origin = self.classes.prefix(*member).and_then(|prefix| prefix.origin);
                origin.is_some_and(|origin| self.ups.machine(origin))
            }),
        }
    }

    /// The best that a speaker has, and whether MEDs are about.
    pub(super) fn choose(
        self,
        class: &Class,
        settled: &Settled,
        speaker: usize,
    ) -> (Option<(Choice, Attrs)>, bool) {
        let mut offers = self.offers(class, settled, speaker);
        let candidates: Vec<Candidate<'_>> = offers.iter().map(Offer::candidate).collect();
        let best = best(&candidates);
        let meds = offers.iter().any(|offer| has_med(&offer.attrs));
        (best.map(|best| offers.swap_remove(best)).map(|offer| (offer.choice, offer.attrs)), meds)
    }

    /// Where a speaker's route is from.
    pub(crate) fn source_of(self, settled: &Settled, speaker: usize, choice: Choice) -> Option<Source> {
        match choice {
            Choice::Own => Some(Source::OWN),
            Choice::Injected(place) => Some(settled.injected(speaker).get(place as usize)?.source),
            Choice::Edge(number) => Some(self.graph.edges.get(number as usize)?.source),
        }
    }

    /// What arrives over an edge.
    pub(crate) fn tell(
        self,
        class: &Class,
        settled: &Settled,
        edge: &Edge,
        memo: &mut Memo,
    ) -> Option<Heard> {
        if !self.ups.session(edge.session) {
            return None;
        }
        let machine = *self.graph.speakers.get(edge.from)?;
        let held;
        let (source, attrs) = match edge.lane {
            Lane::Best => {
                let (choice, attrs) = settled.best(edge.from)?;
                (self.source_of(settled, edge.from, *choice)?, attrs)
            }
            Lane::Only(None) => {
                if !self.originates(class, machine) {
                    return None;
                }
                held = own_attrs(self.network.speaker(machine)?);
                (Source::OWN, &held)
            }
            Lane::Only(Some(session)) => {
                let into = self.graph.into(edge.from).iter();
                let mut into = into.filter_map(|number| self.graph.edges.get(*number as usize));
                let into = into.find(|edge| edge.session == session && edge.lane == Lane::Best)?;
                let heard = self.tell(class, settled, into, &mut Memo::default())?;
                if heard.outcome.is_err() {
                    return None;
                }
                held = heard.attrs;
                (into.source, &held)
            }
        };
        let alone = self.ups.is_alone(machine, link(self.network.session(edge.session)?.0), class.v6);
        let sending = Sending {
            over: (edge.session, edge.end),
            source: &source,
            attrs,
            net: class.net,
            rules: &class.rules,
            alone,
            blocks: self.classes.blocks_of(machine),
        };
        let sent = export(self.network, &sending, memo)?;
        Some(Heard::new(import(self.network, (edge.session, 1 - edge.end), sent, (class.net, &class.rules))))
    }

    /// What nodes that hand nothing on announce, by router.
    pub(super) fn inject(self, class: &Class) -> (Option<usize>, Arc<[Vec<Injection>]>) {
        let mut all = vec![Vec::new(); self.network.routers.len()];
        let mut stand_in = None;
        let origins: Vec<Machine> = match &class.origins {
            Origins::Same(machines) => {
                machines.iter().copied().filter(|one| self.ups.machine(*one)).collect()
            }
            Origins::Nodes => {
                let first = class.members.first().and_then(|member| self.classes.prefix(*member)?.origin);
                if let Some(Machine::Node(node)) = first {
                    stand_in = Some(node);
                }
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
                if session.fault.is_some()
                    || self.ups.ended.contains(number)
                    || !announces(self.network, *number, blocks, class.net)
                {
                    continue;
                }
                let sent = announce(*side, &session.ends[1]);
                let heard = Heard::new(import(self.network, (*number, 0), sent, (class.net, &class.rules)));
                if let (Some(own), Some(source)) = (all.get_mut(router), Source::of(self.network, *number, 0))
                {
                    own.push(Injection { session: *number, source, heard });
                }
            }
        }
        (stand_in, all.into())
    }
}

/// Whether a MED came with it that says something.
pub(super) fn has_med(attrs: &Attrs) -> bool {
    attrs.med.unwrap_or(0) != 0
}
