//! Who is worked on when. All machines at once, but those that would take something away for a moment that the cluster needs
//! most of (a member of etcd, an API server) have turns: one after another, each serving again before the next.
//!
//! What these are is the bundle's to say ([`kmh_doc::bundle::Unit::ready`]). Whether a machine needs a turn shows when it has
//! been looked at: a unit that does not run yet takes nothing away, so a first deployment is of all at once. Turns begin
//! when all who may need one have been looked at, what does not need one is done there, and everybody has been asked
//! whether it serves: what hangs runs, too. Who did not is asked again after each turn, which may have brought it back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use kmh_doc::bundle::Unit;
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
    /// It is asked whether these of its units serve.
    Serves(&'a Wanted, Vec<&'a Unit>),
    /// It has its turn.
    Turn(&'a Wanted),
    /// It is left as it is.
    Leave(&'a Wanted, Trouble),
}

/// Units that do not serve by a machine's answer, each with what was said of it, if anything.
pub(crate) type Down = BTreeMap<String, Option<String>>;

/// How it is known that a unit does not serve.
enum Why {
    /// It does not run, or nobody knows, because work on its machine failed: this holds for the whole push.
    Seen,
    /// Its machine was asked, and this was said, if anything: this holds until somebody has had a turn.
    Asked(Option<String>),
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
    /// Who is still to be asked whether it serves; none before that is known.
    questions: Option<VecDeque<Job<'a>>>,
    /// How many of them have not said yet.
    unanswered: usize,
    /// For which units somebody has a turn.
    busy: Option<Vec<String>>,
    /// Whose turn failed.
    failed: Option<String>,
    /// Machines on which a unit is known not to serve, by the unit.
    down: BTreeMap<String, BTreeMap<String, Why>>,
}

/// The machines of a wave.
pub(crate) struct Turns<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
    wave: Vec<&'a Wanted>,
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
        Self { state: Mutex::new(state), changed: Condvar::new(), wave: wave.to_vec(), members }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do next; waits while that is not known. None: nothing is left to do.
    pub(crate) fn next(&self) -> Option<Job<'a>> {
        let mut state = self.lock();
        loop {
            if state.open == 0 && !state.waiting.is_empty() {
                if let Some(question) = state.question(&self.wave) {
                    return Some(question);
                }
                if state.unanswered == 0 && state.busy.is_none() {
                    return Some(state.turn(self.members));
                }
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

    /// A machine was asked whether it serves; `down` are its units that do not.
    pub(crate) fn answered(&self, machine: &Wanted, down: Down) {
        let mut state = self.lock();
        state.note(machine, down.into_iter().map(|(unit, said)| (unit, Why::Asked(said))));
        state.unanswered -= 1;
        self.changed.notify_all();
    }

    /// A machine is done without a turn; `down` are its units that do not serve.
    pub(crate) fn done(&self, machine: &Wanted, down: &[String]) {
        let mut state = self.lock();
        state.note(machine, seen(down));
        state.open -= usize::from(serving(machine).next().is_some());
        self.changed.notify_all();
    }

    /// A machine has had its turn.
    pub(crate) fn had(&self, machine: &Wanted, failed: bool, down: &[String]) {
        let mut state = self.lock();
        // What was restarted was waited for until it served.
        for unit in state.busy.take().unwrap_or_default() {
            state.down.get_mut(&unit).map(|machines| machines.remove(&machine.name));
        }
        state.note(machine, seen(down));
        if failed {
            state.failed = Some(machine.name.clone());
        }
        state.ask_again(&self.wave);
        self.changed.notify_all();
    }
}

/// Units that need not be asked.
fn seen(units: &[String]) -> impl Iterator<Item = (String, Why)> {
    units.iter().map(|unit| (unit.clone(), Why::Seen))
}

impl<'a> State<'a> {
    fn note(&mut self, machine: &Wanted, down: impl Iterator<Item = (String, Why)>) {
        for (unit, why) in down {
            self.down.entry(unit).or_default().insert(machine.name.clone(), why);
        }
    }

    fn is_down(&self, unit: &str, machine: &str) -> bool {
        self.down.get(unit).is_some_and(|machines| machines.contains_key(machine))
    }

    /// Who is asked next whether it serves: at first everybody who has a unit that somebody waits to restart, and is not
    /// known to be down. Who is alone with them stops nobody else.
    fn question(&mut self, wave: &[&'a Wanted]) -> Option<Job<'a>> {
        if self.questions.is_none() {
            let turns: BTreeSet<&str> =
                self.waiting.iter().flat_map(|one| &one.turn.units).map(String::as_str).collect();
            let has = |machine: &&&Wanted| serving(machine).any(|unit| turns.contains(unit));
            let alone = wave.iter().filter(has).count() == 1;
            let all = questions(wave, |unit, machine| {
                !alone && turns.contains(unit) && !self.is_down(unit, machine)
            });
            self.ask(all);
        }
        self.questions.as_mut().and_then(VecDeque::pop_front)
    }

    /// Drops what was answered before a turn, and asks anew: the majority that somebody lacked may have come with it.
    fn ask_again(&mut self, wave: &[&'a Wanted]) {
        let asked = |why: &Why| matches!(why, Why::Asked(_));
        let all = questions(wave, |unit, machine| {
            self.down.get(unit).and_then(|machines| machines.get(machine)).is_some_and(asked)
        });
        self.down.values_mut().for_each(|machines| machines.retain(|_, why| !asked(why)));
        self.ask(all);
    }

    fn ask(&mut self, all: VecDeque<Job<'a>>) {
        self.unanswered = all.len();
        self.questions = Some(all);
    }

    /// Gives somebody who waits a turn, or a reason not to.
    fn turn(&mut self, members: &BTreeMap<String, usize>) -> Job<'a> {
        // Of those who may, first who does not serve: it takes nothing away, and the others may need it. Then what a push
        // before this one has left undone.
        let rank = |one: &Waiting<'_>| {
            let why_not = self.why_not(&one.machine.name, &one.turn, members);
            let down = one.turn.units.iter().any(|unit| self.is_down(unit, &one.machine.name));
            (why_not.is_some(), !down, !one.turn.pending)
        };
        let ranks: Vec<_> = self.waiting.iter().map(rank).collect();
        let place = (0..ranks.len()).min_by_key(|place| ranks[*place]).unwrap_or(0);
        let Waiting { machine, turn } = self.waiting.remove(place);
        if let Some(trouble) = self.why_not(&machine.name, &turn, members) {
            return Job::Leave(machine, trouble);
        }
        self.busy = Some(turn.units);
        Job::Turn(machine)
    }

    /// Why a machine may not have its turn now. Where nothing serves that is restarted, there is nothing to lose.
    fn why_not(&self, machine: &str, turn: &Turn, members: &BTreeMap<String, usize>) -> Option<Trouble> {
        let stops = |unit: &String| {
            let why = self.down.get(unit).and_then(|machines| machines.get(machine));
            !matches!(why, Some(Why::Seen))
        };
        // Who is silent may be so because the question is wrong, and what failed on one would then fail on all.
        if let Some(failed) = self.failed.as_ref().filter(|_| turn.units.iter().any(stops)) {
            let what = format!("not touched: `{failed}`, whose turn came before, failed");
            return Some(Trouble::untouched(what).hint(format!(
                "put `{failed}` right, and push again: what is done there is left alone; \
                 `--limit {machine}` pushes to this one all the same"
            )));
        }
        turn.units.iter().filter(|unit| !self.is_down(unit, machine)).find_map(|unit| {
            let down: Vec<String> = self.down.get(unit).into_iter().flatten().map(shown).collect();
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

/// Questions to the machines of a wave about those of their units that are chosen by their name and the machine's.
fn questions<'a>(wave: &[&'a Wanted], chosen: impl Fn(&str, &str) -> bool) -> VecDeque<Job<'a>> {
    let units = |machine: &'a Wanted| -> Vec<&'a Unit> {
        let units = machine.units.iter().filter(|unit| !unit.ready.is_empty());
        units.filter(|unit| chosen(&unit.name, &machine.name)).collect()
    };
    let all = wave.iter().map(|machine| (*machine, units(machine)));
    all.filter(|(_, units)| !units.is_empty()).map(|(machine, units)| Job::Serves(machine, units)).collect()
}

/// A machine that is down, and what was said of it.
fn shown((machine, why): (&String, &Why)) -> String {
    match why {
        Why::Asked(Some(said)) => format!("`{machine}` ({said})"),
        Why::Asked(None) | Why::Seen => format!("`{machine}`"),
    }
}

/// Whether one of so many may stop for a moment while so many do not serve: a majority must be left, or, where one is all it
/// takes to lose it, everybody else.
fn may_stop(all: usize, down: usize) -> bool {
    all.saturating_sub(down + 1) >= (all / 2 + 1).min(all.saturating_sub(1))
}

#[cfg(test)]
mod tests;
