//! Speakers tell each other until nobody has anything new to say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::attrs::{Attrs, Memo};
use super::classes::Class;
use super::decide::{Candidate, rank};
use super::stage::{Choice, Settled, Stage, has_med};
use crate::network::Machine;

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
