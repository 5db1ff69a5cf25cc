//! Speakers tell each other until nobody has anything new to say.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::attrs::{Attrs, Memo, Refusal, Rule, Source, link};
use super::classes::{Class, Classes, Origins, announces};
use super::decide::{Candidate, best, rank};
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
    best: Vec<Option<(Choice, Attrs)>>,
    /// The same of nodes in transit, by speaker; most of them never hear of most prefixes.
    nodes: BTreeMap<usize, (Choice, Attrs)>,
    /// By router: whether it heard of a MED. Where it did not, the decision is a plain order of all paths.
    meds: Vec<bool>,
    /// Whether it never came to rest.
    pub(crate) restless: bool,
}

impl Settled {
    pub(crate) fn best(&self, speaker: usize) -> Option<&(Choice, Attrs)> {
        self.best.get(speaker).map_or_else(|| self.nodes.get(&speaker), Option::as_ref)
    }

    fn set(&mut self, speaker: usize, best: Option<(Choice, Attrs)>) {
        if let Some(slot) = self.best.get_mut(speaker) {
            *slot = best;
        } else if let Some(best) = best {
            self.nodes.insert(speaker, best);
        } else {
            self.nodes.remove(&speaker);
        }
    }

    fn has_meds(&self, speaker: usize) -> bool {
        self.meds.get(speaker).copied().unwrap_or(true)
    }

    fn add_meds(&mut self, speaker: usize, meds: bool) {
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

    fn originates(self, class: &Class, machine: Machine) -> bool {
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
    fn is_announced(self, class: &Class) -> bool {
        match &class.origins {
            Origins::Same(machines) => machines.iter().any(|machine| self.ups.machine(*machine)),
            Origins::Nodes => class.members.iter().any(|member| {
                let origin = self.classes.prefix(*member).and_then(|prefix| prefix.origin);
                origin.is_some_and(|origin| self.ups.machine(origin))
            }),
        }
    }

    /// The best that a speaker has, and whether MEDs are about.
    fn choose(self, class: &Class, settled: &Settled, speaker: usize) -> (Option<(Choice, Attrs)>, bool) {
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
    fn inject(self, class: &Class) -> (Option<usize>, Arc<[Vec<Injection>]>) {
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

/// Lets a class come to rest from nothing.
pub(crate) fn settle(stage: Stage<'_>, class: &Class) -> Arc<Settled> {
    let count = stage.graph.speakers.len();
    let routers = stage.network.routers.len();
    let (stand_in, injected) = stage.inject(class);
    let mut settled = Settled {
        stand_in,
        injected,
        best: vec![None; routers],
        nodes: BTreeMap::new(),
        meds: vec![false; routers],
        restless: false,
    };
    if stage.is_announced(class) {
        let begins = |speaker: &usize| {
            let machine = stage.graph.speakers.get(*speaker);
            !settled.injected(*speaker).is_empty() || machine.is_some_and(|one| stage.originates(class, *one))
        };
        let beginners: Vec<usize> = (0..count).filter(begins).collect();
        Run::new(stage, class, &mut settled).go(&beginners);
    }
    Arc::new(settled)
}

/// Lets a class come to rest again after some sessions ended: those of the speakers in `lost`.
pub(crate) fn resettle(
    stage: Stage<'_>,
    class: &Class,
    before: &Arc<Settled>,
    lost: &[usize],
) -> Arc<Settled> {
    let lives =
        |speaker: &usize| stage.graph.speakers.get(*speaker).is_some_and(|one| stage.ups.machine(*one));
    let changed =
        lost.iter().copied().filter(lives).filter(|speaker| has_lost(stage, class, before, *speaker));
    let mut changed: Vec<usize> = changed.collect();
    if changed.is_empty() || !stage.is_announced(class) {
        return Arc::clone(before);
    }
    // Whoever has its route from one that lost its own has lost it as well. Without that, they would offer each other
    // what is gone already: BGP's hunt for paths, which ends at the same place, later.
    let mut settled = Settled::clone(before);
    let mut place = 0;
    while let Some(speaker) = changed.get(place).copied() {
        place += 1;
        settled.set(speaker, None);
        for number in stage.graph.out.get(speaker).into_iter().flatten() {
            let Some(edge) = stage.graph.edges.get(*number as usize) else { continue };
            let is_node = matches!(stage.graph.speakers.get(edge.to), Some(Machine::Node(_)));
            let relies =
                matches!(settled.best(edge.to), Some((Choice::Edge(on), _)) if on == number) || is_node;
            if relies && !changed.contains(&edge.to) {
                changed.push(edge.to);
            }
        }
    }
    Run::new(stage, class, &mut settled).go(&changed);
    Arc::new(settled)
}

/// Whether a speaker's best route went with the sessions that it lost.
fn has_lost(stage: Stage<'_>, class: &Class, before: &Settled, speaker: usize) -> bool {
    let Some(machine) = stage.graph.speakers.get(speaker) else { return false };
    if matches!(machine, Machine::Node(_)) {
        return true;
    }
    if before.has_meds(speaker) {
        return stage.choose(class, before, speaker).0.as_ref() != before.best(speaker);
    }
    match before.best(speaker) {
        None => false,
        Some((Choice::Own, _)) => !stage.ups.machine(*machine),
        Some((Choice::Injected(place), _)) => before
            .injected(speaker)
            .get(*place as usize)
            .is_none_or(|one| !stage.is_injected(class, speaker, one)),
        Some((Choice::Edge(number), _)) => {
            stage.graph.edges.get(*number as usize).is_none_or(|edge| !stage.ups.session(edge.session))
        }
    }
}

fn has_med(attrs: &Attrs) -> bool {
    attrs.med.unwrap_or(0) != 0
}

/// What a speaker has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Todo {
    Nothing,
    /// Tell the others of its best.
    Tell,
    /// Decide anew, and tell the others when that changes anything.
    Choose,
    /// Decide anew, and tell the others.
    Both,
}

struct Run<'a, 's> {
    stage: Stage<'a>,
    class: &'a Class,
    settled: &'s mut Settled,
    todo: Vec<Todo>,
    queue: VecDeque<usize>,
}

impl<'a, 's> Run<'a, 's> {
    fn new(stage: Stage<'a>, class: &'a Class, settled: &'s mut Settled) -> Self {
        let todo = vec![Todo::Nothing; stage.graph.speakers.len()];
        Self { stage, class, settled, todo, queue: VecDeque::new() }
    }

    fn add(&mut self, speaker: usize, what: Todo) {
        let Some(todo) = self.todo.get_mut(speaker) else { return };
        if *todo == Todo::Nothing {
            self.queue.push_back(speaker);
        }
        *todo = match (*todo, what) {
            (Todo::Tell, Todo::Choose) | (Todo::Choose, Todo::Tell) => Todo::Both,
            (now, then) => now.max(then),
        };
    }

    fn go(&mut self, first: &[usize]) {
        for speaker in first {
            self.add(*speaker, Todo::Choose);
        }
        // Far more than any network that comes to rest needs.
        let mut left = 64 * self.stage.graph.speakers.len() + 1024;
        while let Some(speaker) = self.queue.pop_front() {
            let todo = std::mem::replace(&mut self.todo[speaker], Todo::Nothing);
            let is_node = matches!(self.stage.graph.speakers.get(speaker), Some(Machine::Node(_)));
            if todo >= Todo::Choose {
                let (best, meds) = self.stage.choose(self.class, self.settled, speaker);
                self.settled.add_meds(speaker, meds);
                if todo == Todo::Choose && self.settled.best(speaker) == best.as_ref() && !is_node {
                    continue;
                }
                self.settled.set(speaker, best);
            }
            if left == 0 {
                self.settled.restless = true;
                return;
            }
            left -= 1;
            self.tell_all(speaker);
        }
    }

    fn tell_all(&mut self, speaker: usize) {
        let mut memo = Memo::default();
        let graph = self.stage.graph;
        for number in graph.out.get(speaker).into_iter().flatten() {
            let Some(edge) = graph.edges.get(*number as usize) else { continue };
            if matches!(graph.speakers.get(edge.to), Some(Machine::Node(_))) {
                self.add(edge.to, Todo::Choose);
                continue;
            }
            let now = self.stage.tell(self.class, self.settled, edge, &mut memo);
            let now = now.filter(|heard| heard.outcome.is_ok()).map(|heard| heard.attrs);
            self.settled.add_meds(edge.to, now.as_ref().is_some_and(has_med));
            let meds = self.settled.has_meds(edge.to);
            match (self.settled.best(edge.to), now) {
                (Some((Choice::Edge(on), attrs)), now) if on == number => {
                    if meds || now.as_ref() != Some(attrs) {
                        self.add(edge.to, Todo::Choose);
                    }
                }
                (None, None) => {}
                _ if meds => self.add(edge.to, Todo::Choose),
                (None, Some(now)) => self.take(edge.to, *number, now),
                (Some(_), None) => {}
                (Some((choice, attrs)), Some(now)) => {
                    let Some(source) = self.stage.source_of(self.settled, edge.to, *choice) else { continue };
                    let best = Candidate { source: &source, attrs };
                    if rank(&Candidate { source: &edge.source, attrs: &now }, &best).0.is_lt() {
                        self.take(edge.to, *number, now);
                    }
                }
            }
        }
    }

    fn take(&mut self, speaker: usize, edge: u32, attrs: Attrs) {
        self.settled.set(speaker, Some((Choice::Edge(edge), attrs)));
        self.add(speaker, Todo::Tell);
    }
}
