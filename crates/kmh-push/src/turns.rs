//! Who is worked on when. All machines at once, but those that would take something away for a moment that the cluster needs
//! most of (a member of etcd, an API server) have turns: one after another, each serving again before the next.
//!
//! What these are is the bundle's to say ([`kmh_doc::bundle::Unit::ready`]). Whether a machine needs a turn shows when it has
//! been looked at: a unit that does not run yet takes nothing away, so a first deployment is of all at once. Turns begin
//! when all who may need one have been looked at, and what does not need one is done there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use kmh_store::wanted::Wanted;

use crate::plan::Turn;
use crate::target::Trouble;

/// How many machines have each unit that the cluster needs most of, chosen by `--limit` or not.
pub(crate) fn members(machines: &[Wanted]) -> BTreeMap<String, usize> {
    let mut members = BTreeMap::new();
    for unit in machines.iter().flat_map(serving) {
        *members.entry(unit.to_owned()).or_insert(0) += 1;
    }
    members
}

/// Units of a machine that the cluster needs most of.
pub(crate) fn serving(machine: &Wanted) -> impl Iterator<Item = &str> {
    machine.units.iter().filter(|unit| !unit.ready.is_empty()).map(|unit| unit.name.as_str())
}

/// What a worker does next.
pub(crate) enum Job<'a> {
    /// A machine is looked at, and done unless it needs a turn.
    Ask(&'a Wanted),
    /// It has its turn.
    Turn(&'a Wanted),
    /// It is left as it is.
    Leave(&'a Wanted, Trouble),
}

/// A machine that waits for its turn.
struct Waiting<'a> {
    machine: &'a Wanted,
    turn: Turn,
}

#[derive(Default)]
struct State<'a> {
    asks: VecDeque<&'a Wanted>,
    /// How many that may need a turn have not said yet.
    open: usize,
    waiting: Vec<Waiting<'a>>,
    /// Whether somebody has a turn.
    busy: bool,
    /// Whose turn failed.
    failed: Option<String>,
    /// Machines on which a unit is known not to serve.
    down: BTreeMap<String, BTreeSet<String>>,
}

/// The machines of a wave.
pub(crate) struct Turns<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
    members: &'a BTreeMap<String, usize>,
}

impl<'a> Turns<'a> {
    /// Those who may need a turn come first: what they wait for is each other.
    pub(crate) fn new(wave: &[&'a Wanted], members: &'a BTreeMap<String, usize>) -> Self {
        let may = |machine: &&&Wanted| serving(machine).next().is_some();
        let first = wave.iter().filter(may);
        let open = first.clone().count();
        let asks = first.chain(wave.iter().filter(|machine| !may(machine))).copied().collect();
        let state = State { asks, open, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new(), members }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do next; waits while that is not known. None: nothing is left to do.
    pub(crate) fn next(&self) -> Option<Job<'a>> {
        let mut state = self.lock();
        loop {
            if state.open == 0 && !state.busy && !state.waiting.is_empty() {
                // What a push before this one has left undone comes first: it may be what does not serve.
                let place = state.waiting.iter().position(|one| one.turn.pending).unwrap_or(0);
                let Waiting { machine, turn } = state.waiting.remove(place);
                if let Some(trouble) = state.why_not(&machine.name, &turn, self.members) {
                    return Some(Job::Leave(machine, trouble));
                }
                state.busy = true;
                return Some(Job::Turn(machine));
            }
            if let Some(machine) = state.asks.pop_front() {
                return Some(Job::Ask(machine));
            }
            if state.open == 0 && state.waiting.is_empty() {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A machine was looked at and needs a turn.
    pub(crate) fn waits(&self, machine: &'a Wanted, turn: Turn) {
        let mut state = self.lock();
        state.waiting.push(Waiting { machine, turn });
        // As they stand in the bundle, whoever has answered first.
        state.waiting.sort_by(|one, other| one.machine.name.cmp(&other.machine.name));
        state.open -= 1;
        self.changed.notify_all();
    }

    /// A machine is done without a turn; `down` are its units that do not serve.
    pub(crate) fn done(&self, machine: &Wanted, down: &[String]) {
        let mut state = self.lock();
        state.note(machine, down);
        state.open -= usize::from(serving(machine).next().is_some());
        self.changed.notify_all();
    }

    /// A machine has had its turn.
    pub(crate) fn had(&self, machine: &Wanted, failed: bool, down: &[String]) {
        let mut state = self.lock();
        state.note(machine, down);
        state.busy = false;
        if failed {
            state.failed = Some(machine.name.clone());
        }
        self.changed.notify_all();
    }
}

impl State<'_> {
    fn note(&mut self, machine: &Wanted, down: &[String]) {
        for unit in down {
            self.down.entry(unit.clone()).or_default().insert(machine.name.clone());
        }
    }

    /// Why a machine may not have its turn now.
    fn why_not(&self, machine: &str, turn: &Turn, members: &BTreeMap<String, usize>) -> Option<Trouble> {
        if let Some(failed) = &self.failed {
            return Some(
                Trouble::untouched(format!("not touched: `{failed}`, whose turn came before, failed"))
                    .hint(format!("put `{failed}` right, and push again: what is done there is left alone")),
            );
        }
        turn.units.iter().find_map(|unit| {
            let others = self.down.get(unit).into_iter().flatten().filter(|other| *other != machine);
            let down: Vec<String> = others.map(|other| format!("`{other}`")).collect();
            let all = members.get(unit).copied().unwrap_or(0);
            (!may_stop(all, down.len())).then(|| {
                let what = format!(
                    "not touched: `{unit}` is needed on most of {all} machines, and does not serve on {}",
                    down.join(", ")
                );
                Trouble::untouched(what).hint(format!(
                    "put that right first; `--limit {machine}` pushes to this one all the same"
                ))
            })
        })
    }
}

/// Whether one of so many may stop for a moment while so many do not serve: a majority must be left, or, where one is all it
/// takes to lose it, everybody else.
fn may_stop(all: usize, down: usize) -> bool {
    all.saturating_sub(down + 1) >= (all / 2 + 1).min(all.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A machine whose units can be asked whether they serve.
    fn machine(name: &str, units: &[&str]) -> Wanted {
        let mut machine = testing::machine(name, vec![], units);
        machine.units.iter_mut().for_each(|unit| unit.ready = vec!["true".to_owned()]);
        machine
    }

    fn turn(pending: bool) -> Turn {
        Turn { units: vec!["etcd.service".into()], pending }
    }

    fn word(job: Option<Job<'_>>) -> String {
        match job {
            Some(Job::Ask(machine)) => format!("ask {}", machine.name),
            Some(Job::Turn(machine)) => format!("turn {}", machine.name),
            Some(Job::Leave(machine, trouble)) => format!("leave {}: {}", machine.name, trouble.message),
            None => "none".into(),
        }
    }

    #[test]
    fn a_majority_is_left() {
        // One or two members: there is no other way than to stop one.
        for (all, down, may) in [
            (1, 0, true),
            (2, 0, true),
            (2, 1, false),
            (3, 0, true),
            (3, 1, false),
            (4, 0, true),
            (4, 1, false),
            (5, 1, true),
            (5, 2, false),
            (7, 2, true),
            (7, 3, false),
        ] {
            assert_eq!(may_stop(all, down), may, "{down} of {all}");
        }
    }

    #[test]
    fn turns_come_one_after_another_when_all_have_been_asked() {
        let machines = ["w-1", "m-1", "m-2", "m-3"]
            .map(|name| machine(name, if name.starts_with('m') { &["etcd.service"] } else { &[] }));
        let members = members(&machines);
        assert_eq!(members["etcd.service"], 3);
        let wave: Vec<&Wanted> = machines.iter().collect();
        let turns = Turns::new(&wave, &members);
        for name in ["m-1", "m-2", "m-3"] {
            assert_eq!(word(turns.next()), format!("ask {name}"));
        }
        turns.waits(wave[3], turn(true));
        turns.waits(wave[1], turn(false));
        assert_eq!(word(turns.next()), "ask w-1");
        turns.waits(wave[2], turn(false));
        // What was left undone comes first.
        assert_eq!(word(turns.next()), "turn m-3");
        turns.had(wave[3], false, &[]);
        assert_eq!(word(turns.next()), "turn m-1");
        turns.done(wave[0], &[]);
        turns.had(wave[1], true, &["etcd.service".into()]);
        assert_eq!(word(turns.next()), "leave m-2: not touched: `m-1`, whose turn came before, failed");
        assert_eq!(word(turns.next()), "none");
    }

    #[test]
    fn who_does_not_serve_counts() {
        let machines = ["a", "b", "c"].map(|name| machine(name, &["etcd.service"]));
        let members = members(&machines);
        let wave: Vec<&Wanted> = machines.iter().collect();
        let turns = Turns::new(&wave, &members);
        for _ in 0..3 {
            turns.next();
        }
        turns.done(wave[1], &["etcd.service".into()]);
        turns.waits(wave[0], turn(false));
        turns.done(wave[2], &[]);
        assert_eq!(
            word(turns.next()),
            "leave a: not touched: `etcd.service` is needed on most of 3 machines, and does not serve on `b`"
        );
        assert_eq!(word(turns.next()), "none");
    }
}
