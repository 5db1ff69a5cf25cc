//! `measure`: a steady stream of probes while something breaks and is mended, and for how long which traffic was lost,
//! beside what is predicted.
#![allow(clippy::disallowed_methods, reason = "it measures time, and waits")]

mod bfd;
pub(crate) mod pairs;
mod patience;
pub(crate) mod rows;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kmh_cli::{Answer, Context, Exit, Failure, Format};
use kmh_route::predict;
use kmh_route::what_if::{Before, Traffic};
use serde::Serialize;

use crate::args;
use crate::machine::output;
use crate::memory::on_wires;
use crate::probe::stream::{Heard, PACE_MS, Stream, lost};
use crate::weather::names::{self, Broken, How};
use crate::weather::{Lab, json};
use pairs::{Pair, Predicted, pairs, said, unasked};
use patience::{Life, Patience, longest_hold};
use rows::{Measured, Row, page};

/// How long everything must be answered before anything is broken, and after it was mended.
const QUIET: Duration = Duration::from_secs(2);
/// How long a lab may need for that: BGP calls again after 10 s in FRR, after 30 s in BIRD.
const PATIENCE: Duration = Duration::from_secs(90);
/// A stream lives whose last answer is not older.
const FRESH_MS: u64 = 5 * PACE_MS;

/// What is printed in JSON.
#[derive(Serialize)]
struct Said {
    /// What was broken.
    what: String,
    /// Whether in order.
    clean: bool,
    /// What else was broken all the time.
    broken: Vec<String>,
    /// Whether everything was as predicted.
    as_predicted: bool,
    /// Every stream.
    streams: Vec<Row>,
    /// What is said of and was not measured.
    not_measured: Vec<Traffic>,
}

/// The answer.
pub(crate) fn run(
    args: &args::Measure,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let mut lab = Lab::hold(lab)?;
    let how = if args.clean { How::Clean } else { How::Silent };
    let known: Vec<String> = lab.memory.everything(&lab.state).names();
    let wanted = names::wanted(std::slice::from_ref(&args.what), &how, &known)?;
    let base = lab.broken();
    if let Some(one) =
        base.iter().find(|one| wanted.iter().any(|new| new.what() == one.what() && !one.is_slow()))
    {
        return Err(Failure::wrong(format!("{} is broken already", one.what()))
            .hint(format!("kmh-lab heal {} mends it first", one.what())));
    }
    let memory = lab.memory.clone();
    let network = memory.open()?;
    let ground = memory.ground();
    let prediction = predict(&network, &ground, &lab.down());
    let down = lab.down_with(&wanted);
    let before = Before::new(predict(&network, &ground, &lab.down()), &ground);
    let impact = before.when(&down);
    let after = prediction.with(&down);
    let pairs = pairs(&memory, &lab.state, &prediction, &after, &impact);
    let said: Vec<Predicted> = pairs.iter().map(|pair| said(&impact, &pair.traffic)).collect();
    if pairs.is_empty() {
        return Err(Failure::wrong("nobody is left who could ask anybody"));
    }
    tell_every_refusal(&lab, &pairs)?;
    let not_measured = unasked(&impact, &pairs);
    let peers = bfd::peers(&prediction);
    let heard = watch(&mut lab, &pairs, &said, &peers, [&base, &wanted], context)?;
    let rows: Vec<Row> = pairs
        .into_iter()
        .zip(&said)
        .zip(&heard.streams)
        .map(|((pair, said), own)| Row::new(pair.traffic, said, heard.of(own), args.clean))
        .collect();
    let as_predicted = rows.iter().all(|row| row.as_predicted);
    let text = if format == Format::Json {
        let broken = base.iter().map(ToString::to_string).collect();
        json(&Said {
            what: args.what.clone(),
            clean: args.clean,
            broken,
            as_predicted,
            streams: rows,
            not_measured,
        })?
    } else {
        page(&rows, &not_measured, &args.what, args.clean)
    };
    Ok(Answer { text, exit: if as_predicted { Exit::Done } else { Exit::No } })
}

/// What was heard, and when things happened, in milliseconds since 1970.
struct Record {
    streams: Vec<Heard>,
    broken_at: u64,
    mended_at: u64,
    ended_at: u64,
}

impl Record {
    fn of(&self, heard: &Heard) -> Measured {
        let (lost_ms, still) = lost(heard, self.broken_at, self.mended_at);
        let (healing_ms, never) = lost(heard, self.mended_at, self.ended_at);
        let was_there = heard.first_key_value().is_some_and(|(_, at)| *at < self.broken_at);
        Measured { lost_ms, still, healing_ms, came_back: !never, was_there }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Kernels say once a second that nobody is there, and a node that refuses for a Service says it so: here each one is
/// asked ten times a second.
fn tell_every_refusal(lab: &Lab, pairs: &[Pair]) -> Result<(), Failure> {
    if !pairs.iter().any(|pair| matches!(pair.target, crate::probe::stream::Target::Datagram(_))) {
        return Ok(());
    }
    for node in &lab.memory.network.nodes {
        if lab.state.wires.spaces.contains(&node.name) {
            let words = ["sysctl", "-q", "-w", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"];
            output(on_wires(&lab.name, &lab.state, &node.name, words)?, &[])?;
        }
    }
    Ok(())
}

/// Asks all the time while something is broken and mended.
fn watch(
    lab: &mut Lab,
    pairs: &[Pair],
    said: &[Predicted],
    peers: &bfd::Peers,
    [base, wanted]: [&[Broken]; 2],
    context: &mut Context<'_>,
) -> Result<Record, Failure> {
    let start = |pair: &Pair| Stream::start(&lab.name, &lab.state, &pair.space, pair.source, &pair.target);
    let streams: Vec<Stream> = pairs.iter().map(start).collect::<Result<_, _>>()?;
    let lives = |stream: &Stream| stream.last().is_some_and(|at| at + FRESH_MS >= now());
    context.progress("waiting until everybody answers");
    settle(QUIET * 5, &mut || streams.iter().all(lives));
    bfd::wait(lab, peers, context)?;
    let dead: Vec<bool> = streams.iter().map(|stream| stream.last().is_none()).collect();
    let life = |number: usize| match (dead.get(number), streams.get(number)) {
        (Some(false), Some(stream)) if lives(stream) => Life::Answers,
        (Some(false), Some(_)) => Life::Silent,
        _ => Life::Dead,
    };
    let broken: Vec<Broken> = base.iter().chain(wanted).cloned().collect();
    let broken_at = now();
    lab.become_broken(&broken, context)?;
    let mut patience = Patience::new(said, longest_hold(&lab.memory.network));
    context.progress(&format!("broken; looking for {} s at least", patience.least.as_secs()));
    let began = Instant::now();
    while !patience.is_over(began.elapsed(), life) {
        std::thread::sleep(Duration::from_millis(PACE_MS));
    }
    context.detail(&format!("broken for {:?}", began.elapsed()));
    let mended_at = now();
    lab.become_broken(base, context)?;
    context.progress("mended; waiting until everybody answers");
    settle(PATIENCE, &mut || (0..streams.len()).all(|number| life(number) != Life::Silent));
    let ended_at = now();
    // The answer after the end tells what was before it.
    std::thread::sleep(Duration::from_millis(3 * PACE_MS));
    Ok(Record { streams: streams.into_iter().map(Stream::end).collect(), broken_at, mended_at, ended_at })
}

/// Waits until something has been so for a while, and not for ever.
fn settle(patience: Duration, is_so: &mut dyn FnMut() -> bool) {
    let start = Instant::now();
    let mut since = None;
    while start.elapsed() < patience + QUIET {
        match (is_so(), since) {
            (true, None) => since = Some(Instant::now()),
            (true, Some(since)) if since.elapsed() >= QUIET => return,
            (true, Some(_)) => {}
            (false, _) => since = None,
        }
        std::thread::sleep(Duration::from_millis(PACE_MS));
    }
}
