//! What breaks in a lab and is mended: `cut`, `heal`, `slow`, `redial`, `kill`. What is broken is remembered in `lab.json`; what
//! follows from it is [`plan::Weather`], and the way from one to another a list of steps.

mod daemons;
pub(crate) mod names;
pub(crate) mod plan;
pub(crate) mod redial;
mod slow;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kmh_cli::{Answer, Context, Exit, Failure, Format, file};
use kmh_route::Down;
use rustix::process::Signal;
use serde::Serialize;

use crate::args;
use crate::machine::output;
use crate::memory::{Memory, on_wires};
use crate::plan::wires::End;
use crate::state::{LabName, State, chosen};
use names::{Broken, How, Kind, Slowness};
use plan::{Step, Weather};

/// A lab that is up, held so that nobody else changes its weather meanwhile.
pub(crate) struct Lab {
    /// Its name.
    pub(crate) name: LabName,
    /// What it remembers of itself.
    pub(crate) state: State,
    /// What it knows of its cluster.
    pub(crate) memory: Memory,
    /// Held until this goes.
    lock: Option<file::Lock>,
}

impl Lab {
    /// The lab that is meant, to look at.
    pub(crate) fn open(named: Option<&str>) -> Result<Self, Failure> {
        let (name, state) = chosen(named)?;
        let memory = Memory::read(&name)?;
        Ok(Self { name, state, memory, lock: None })
    }

    /// The same, to change it.
    pub(crate) fn hold(named: Option<&str>) -> Result<Self, Failure> {
        let (name, _) = chosen(named)?;
        let lock = file::lock(&name.folder().join("lock"))?;
        let mut lab = Self::open(Some(name.as_str()))?;
        lab.lock = Some(lock);
        Ok(lab)
    }

    /// What is broken.
    pub(crate) fn broken(&self) -> Vec<Broken> {
        names::remembered(&self.state.cut)
    }

    /// What is down for a prediction: what is broken, and what is not up.
    pub(crate) fn down(&self) -> Down {
        self.down_with(&[])
    }

    /// The same with more broken.
    pub(crate) fn down_with(&self, more: &[Broken]) -> Down {
        let broken: Vec<Broken> = self.broken().iter().chain(more).cloned().collect();
        let mut down = names::down(&broken);
        let absent = self.memory.absent(&self.state);
        down.routers.extend(absent.routers);
        down.nodes.extend(absent.nodes);
        down
    }

    /// Names of all that can break.
    pub(crate) fn known(&self) -> Vec<String> {
        names::known(&self.memory.everything(&self.state), &plan::daemons(&self.state))
    }

    /// Brings about that this is broken and nothing else, and remembers it. Remembered first: whoever is stopped in the
    /// middle heals by `heal`.
    pub(crate) fn become_broken(
        &mut self,
        broken: &[Broken],
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let before = Weather::of(&self.memory, &self.state, &self.broken());
        let then = Weather::of(&self.memory, &self.state, broken);
        let texts: BTreeSet<String> = broken.iter().map(ToString::to_string).collect();
        let both = self.state.cut.union(&texts).cloned().collect();
        self.state.cut = both;
        self.state.write(&self.name)?;
        // What never was cannot be taken away: addresses of gateways are laid by `up`.
        let steps = before.steps_to(&then, &self.memory, &self.state);
        for step in &steps {
            context.detail(&format!("{step:?}"));
        }
        do_all(&self.name, &self.state, &steps)?;
        self.state.cut = texts;
        self.state.write(&self.name)
    }
}

/// Breaks again what is remembered, after `up` has loaded packet filters or started machines anew, and makes the links of
/// tunnels as slow as their lines, which `up` sees to itself.
pub(crate) fn restore(lab: &LabName, state: &State, memory: &Memory) -> Result<(), Failure> {
    let mut well = Weather::of(memory, state, &[]);
    let lines: Vec<&End> = state.wires.lines.values().flat_map(|line| [&line.near, &line.far]).collect();
    well.queues.retain(|end, _| lines.contains(&end));
    let now = Weather::of(memory, state, &names::remembered(&state.cut));
    do_all(lab, state, &well.steps_to(&now, memory, state))
}

/// Does the steps in order. How fast interfaces send comes last, and for all of a namespace at once: a mesh has many.
fn do_all(lab: &LabName, state: &State, steps: &[Step]) -> Result<(), Failure> {
    steps.iter().try_for_each(|step| do_it(lab, state, step))?;
    let queues = steps.iter().filter_map(|step| match step {
        Step::Queue(end, queue) => Some((end, queue)),
        _ => None,
    });
    slow::shape(lab, state, queues)
}

fn do_it(lab: &LabName, state: &State, step: &Step) -> Result<(), Failure> {
    let wires = |space: &str, words: &[&str], input: &str| {
        output(on_wires(lab, state, space, words)?, input.as_bytes()).map(|_| ())
    };
    match step {
        Step::Stop((machine, unit)) => daemons::act(lab, state, machine, unit, false),
        Step::Start((machine, unit)) => daemons::act(lab, state, machine, unit, true),
        Step::Freeze((name, daemon), is_frozen) => {
            let signal = if *is_frozen { Signal::STOP } else { Signal::CONT };
            daemons::signal(&daemons::find(state, name, daemon)?, signal)
        }
        Step::Filter(space, text) => wires(space, &["nft", "-f", "-"], text),
        Step::Link(end, false, _) => {
            // IPv6 addresses would go with the interface (ip-sysctl, keep_addr_on_down).
            let keep = format!("net/ipv6/conf/{}/keep_addr_on_down=1", end.interface);
            wires(&end.space, &["sysctl", "-q", "-w", &keep], "")?;
            wires(&end.space, &["ip", "link", "set", "dev", &end.interface, "down"], "")
        }
        Step::Link(end, true, routes) => {
            wires(&end.space, &["ip", "link", "set", "dev", &end.interface, "up"], "")?;
            for route in routes {
                let family = if route.contains(':') { "-6" } else { "-4" };
                let words = ["ip", family, "route", "replace"].into_iter().chain(route.split(' '));
                wires(&end.space, &words.collect::<Vec<_>>(), "")?;
            }
            Ok(())
        }
        Step::Address(end, address, is_here) => {
            let verb = if *is_here { "replace" } else { "del" };
            let family = if address.contains(':') { "-6" } else { "-4" };
            let done = wires(&end.space, &["ip", family, "addr", verb, address, "dev", &end.interface], "");
            // To take away what is not there is no fault.
            if *is_here { done } else { Ok(()) }
        }
        Step::Forget(end) => {
            for family in ["-4", "-6"] {
                wires(&end.space, &["ip", family, "neigh", "flush", "dev", &end.interface], "")?;
            }
            Ok(())
        }
        Step::Queue(..) => Ok(()),
    }
}

/// What was done, for people and programs.
#[derive(Serialize)]
struct Said {
    /// What this call broke or mended.
    done: Vec<String>,
    /// What was so already.
    already: Vec<String>,
    /// What is broken now.
    broken: Vec<String>,
}

fn answer(
    verb: &str,
    done: &[Broken],
    already: &[Broken],
    lab: &Lab,
    format: Format,
) -> Result<Answer, Failure> {
    let texts = |list: &[Broken]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let said = Said { done: texts(done), already: texts(already), broken: texts(&lab.broken()) };
    let text = if format == Format::Json {
        json(&said)?
    } else {
        let mut out = String::new();
        for what in &said.done {
            let _ = writeln!(out, "{verb}: {what}");
        }
        for what in &said.already {
            let _ = writeln!(out, "{verb} already: {what}");
        }
        if said.done.is_empty() && said.already.is_empty() {
            out += "nothing is broken\n";
        }
        let rest: Vec<&str> =
            said.broken.iter().filter(|one| !said.done.contains(one)).map(String::as_str).collect();
        if !rest.is_empty() {
            let _ = writeln!(out, "still broken: {}", rest.join(", "));
        }
        out
    };
    Ok(Answer { text, exit: Exit::Done })
}

/// A value as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Failure::world("cannot write the answer").because(error))
}

/// `cut`.
pub(crate) fn cut(
    args: &args::Cut,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let mut lab = Lab::hold(lab)?;
    let how = if args.clean { How::Clean } else { How::Silent };
    let wanted = names::wanted(&args.what, &how, &lab.known())?;
    let (now, done, already) = with(lab.broken(), wanted);
    lab.become_broken(&now, context)?;
    answer("cut", &done, &already, &lab, format)
}

/// What is broken when this is too; what of it is new, and what was so.
fn with(mut broken: Vec<Broken>, wanted: Vec<Broken>) -> (Vec<Broken>, Vec<Broken>, Vec<Broken>) {
    let (mut done, mut already) = (Vec::new(), Vec::new());
    for one in wanted {
        if broken.contains(&one) {
            if !done.contains(&one) && !already.contains(&one) {
                already.push(one);
            }
            continue;
        }
        // In one way at a time, but a slow line can be cut and stay slow.
        broken.retain(|old| old.what() != one.what() || old.is_slow() != one.is_slow());
        broken.push(one.clone());
        done.push(one);
    }
    (broken, done, already)
}

/// `heal`.
pub(crate) fn heal(
    args: &args::Heal,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let mut lab = Lab::hold(lab)?;
    let wanted = names::wanted(&args.what, &How::Silent, &lab.known())?;
    let is_meant = |one: &Broken| wanted.is_empty() || wanted.iter().any(|other| other.what() == one.what());
    let (mended, rest): (Vec<Broken>, Vec<Broken>) = lab.broken().into_iter().partition(is_meant);
    let already: Vec<Broken> =
        wanted.into_iter().filter(|one| !mended.iter().any(|other| other.what() == one.what())).collect();
    lab.become_broken(&rest, context)?;
    answer("healed", &mended, &already, &lab, format)
}

/// `slow`.
pub(crate) fn slow(
    args: &args::Slow,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let slowness = Slowness { rtt: args.rtt, loss: args.loss, rate: args.rate.clone() };
    slow::check(&slowness)?;
    let mut lab = Lab::hold(lab)?;
    let known = lab.known();
    let lines: Vec<String> = known.into_iter().filter(|name| name.starts_with("uplink/")).collect();
    let wanted = names::wanted(std::slice::from_ref(&args.what), &How::Slow(slowness), &lines)?;
    for one in &wanted {
        slow::possible(&lab.state, &one.name, &one.how)?;
    }
    let (now, done, already) = with(lab.broken(), wanted);
    lab.become_broken(&now, context)?;
    answer("slow", &done, &already, &lab, format)
}

/// `kill`.
pub(crate) fn kill(
    args: &args::Kill,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let mut lab = Lab::hold(lab)?;
    let word = format!("{}/{}", Kind::Daemon, args.what.trim_start_matches("daemon/"));
    let wanted = names::wanted(&[word], &How::Killed, &lab.known())?;
    for one in &wanted {
        let (name, daemon) = one.name.split_once(':').unwrap_or_default();
        let pids = daemons::find(&lab.state, name, daemon)?;
        if pids.is_empty() {
            return Err(Failure::new(Exit::No, format!("`{daemon}` does not run on `{name}`"))
                .hint(format!("kmh-lab heal daemon/{name}:{daemon} starts it")));
        }
        daemons::signal(&pids, Signal::KILL)?;
        context.detail(&format!("killed {pids:?}"));
    }
    // What is killed twice was started in between, by its own watchdog perhaps.
    let (now, ..) = with(lab.broken(), wanted.clone());
    lab.become_broken(&now, context)?;
    answer("killed", &wanted, &[], &lab, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(texts: &[&str]) -> Vec<Broken> {
        names::remembered(&texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn a_thing_is_broken_in_one_way_at_a_time_but_a_slow_line_can_be_cut() {
        let old = broken(&["tunnel/a--b", "uplink/gw/dsl --rtt 80"]);
        let wanted = broken(&["tunnel/a--b --clean", "uplink/gw/dsl", "uplink/gw/dsl --rtt 90"]);
        let (now, done, already) = with(old.clone(), wanted.clone());
        assert_eq!(now, broken(&["tunnel/a--b --clean", "uplink/gw/dsl", "uplink/gw/dsl --rtt 90"]));
        assert_eq!((done, already), (wanted, vec![]));
        let (now, done, already) = with(old.clone(), broken(&["tunnel/a--b"]));
        assert_eq!((now, done, already), (old, vec![], broken(&["tunnel/a--b"])));
    }
}
