//! Slow lines: delay, loss and rate by netem where the kernel has it, the rate alone by tbf everywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use kmh_cli::Failure;
use kmh_cli::text::printable;

use super::names::{How, Slowness};
use crate::machine::{ended, said, shown};
use crate::memory::on_wires;
use crate::plan::wires::{End, Line};
use crate::shape::{self, Shape};
use crate::state::{LabName, State};

/// Units of rates that `tc` takes (`tc(8)`), in bits a second.
const UNITS: [(&str, u64); 10] = [
    ("bit", 1),
    ("kbit", 1000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
    ("bps", 8),
    ("kbps", 8000),
    ("mbps", 8_000_000),
    ("gbps", 8_000_000_000),
    ("tbps", 8_000_000_000_000),
];

/// Refuses what no line can be.
pub(super) fn check(slowness: &Slowness) -> Result<(), Failure> {
    let mut failures = Vec::new();
    if *slowness == Slowness::default() {
        failures.push(
            Failure::wrong("nothing says how slow the line is")
                .hint("name `--rtt MS`, `--loss PERCENT` or `--rate RATE`"),
        );
    }
    if let Some(loss) = slowness.loss.filter(|loss| *loss > 100) {
        failures.push(Failure::wrong(format!("`--loss {loss}` is more than everything")).hint("at most 100"));
    }
    if let Some(rate) = slowness.rate.as_ref().filter(|rate| bits(rate).is_none()) {
        failures.push(
            Failure::wrong(format!("`--rate {}` is no rate", printable(rate)))
                .hint("write a number and a unit, such as 10mbit or 512kbit"),
        );
    }
    Failure::all(failures).map_or(Ok(()), Err)
}

/// That of a line: as the inventory has it, changed by that.
pub(super) fn of(line: &Line, slowness: &Slowness) -> Shape {
    let own = Shape::of(line);
    Shape {
        rtt_ms: slowness.rtt.or(own.rtt_ms),
        loss: slowness.loss.or(own.loss),
        rate: slowness.rate.clone().or(own.rate),
    }
}

/// That of one line behind the other.
pub(super) fn behind(a: Shape, b: Shape) -> Shape {
    let sum = a.rtt_ms.unwrap_or(0).saturating_add(b.rtt_ms.unwrap_or(0));
    let [arrive, also] = [a.loss, b.loss].map(|loss| 100 - loss.unwrap_or(0).min(100));
    let lost = 100 - u16::from(arrive) * u16::from(also) / 100;
    Shape {
        rtt_ms: Some(sum).filter(|sum| *sum > 0),
        loss: u8::try_from(lost).ok().filter(|lost| *lost > 0),
        rate: [a.rate, b.rate].into_iter().flatten().min_by_key(|rate| bits(rate)),
    }
}

/// Bits a second (`tc(8)`).
fn bits(rate: &str) -> Option<u64> {
    let digits = rate.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rate.len());
    let (number, unit) = rate.split_at(digits);
    let unit = unit.to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(known, _)| *known == unit)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    // Three digits behind the point are more than anybody means.
    let part: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    let thousandths = whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part)?;
    thousandths.checked_mul(*factor).map(|bits| bits / 1000).filter(|bits| *bits > 0)
}

/// Whether the kernel has netem: asked once.
fn has_netem() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(shape::has_netem)
}

/// Refuses what this kernel cannot do: delay and loss need netem.
pub(super) fn possible(state: &State, name: &str, how: &How) -> Result<(), Failure> {
    let How::Slow(slowness) = how else { return Ok(()) };
    if !state.wires.lines.contains_key(name) {
        return Err(Failure::wrong(format!("line `{name}` is not in the part of the lab that is up")));
    }
    let wanted = Shape { rtt_ms: slowness.rtt, loss: slowness.loss, rate: None };
    if wanted.needs_netem() && !has_netem() {
        return Err(Failure::world("this kernel can neither delay packets nor lose some of them")
            .because("it has no netem (CONFIG_NET_SCH_NETEM)")
            .hint("kmh-lab up --vm builds the lab on a kernel that has it; `--rate` alone works here"));
    }
    Ok(())
}

/// Shapes what interfaces send; without netem by the rate alone.
pub(super) fn shape<'q>(
    lab: &LabName,
    state: &State,
    queues: impl Iterator<Item = (&'q End, &'q Shape)>,
) -> Result<(), Failure> {
    for (space, [made, gone]) in lines(queues, has_netem) {
        let tc = |words: &[&str], lines: &str| {
            let mut command = on_wires(lab, state, space, words)?;
            ended(&mut command, lines.as_bytes()).map(|ran| (shown(&command), ran))
        };
        if !made.is_empty() {
            let (line, ran) = tc(&["tc", "-batch", "-"], &made)?;
            if !ran.status.success() {
                return Err(said(&line, &ran).at(format!("namespace {space}")));
            }
        }
        if !gone.is_empty() {
            // To take away what is not there is no fault.
            tc(&["tc", "-force", "-batch", "-"], &gone)?;
        }
    }
    Ok(())
}

/// What `tc` is told in each namespace: queues that are made, and those that go.
fn lines<'q>(
    queues: impl Iterator<Item = (&'q End, &'q Shape)>,
    has_netem: impl Fn() -> bool,
) -> BTreeMap<&'q str, [String; 2]> {
    let mut found: BTreeMap<&str, [String; 2]> = BTreeMap::new();
    for (End { space, interface }, shape) in queues {
        let [made, gone] = found.entry(space).or_default();
        let _ = match shape.queue(has_netem()) {
            Some(queue) => writeln!(made, "qdisc replace dev {interface} root {queue}"),
            None => writeln!(gone, "qdisc del dev {interface} root"),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rtt_ms: Option<u16>, rate: Option<&str>) -> Line {
        let end = |space: &str| End::new(space, "wan");
        Line {
            near: end("gw"),
            far: end("internet"),
            public: vec![],
            name: None,
            rtt_ms,
            rate: rate.map(str::to_owned),
            dial: None,
        }
    }

    fn slowness(rtt: Option<u16>, loss: Option<u8>, rate: Option<&str>) -> Slowness {
        Slowness { rtt, loss, rate: rate.map(str::to_owned) }
    }

    #[test]
    fn a_line_is_as_slow_as_said_and_else_as_the_inventory_has_it() {
        let shape = |rtt_ms, loss, rate: Option<&str>| Shape { rtt_ms, loss, rate: rate.map(str::to_owned) };
        let attic = line(Some(15), Some("40mbit"));
        assert_eq!(of(&attic, &slowness(None, Some(2), None)), shape(Some(15), Some(2), Some("40mbit")));
        assert_eq!(of(&attic, &slowness(Some(0), None, Some("1mbit"))), shape(Some(0), None, Some("1mbit")));
        assert_eq!(of(&line(None, None), &Slowness::default()), Shape::default());
    }

    #[test]
    fn a_namespace_is_told_all_of_it_at_once() {
        let [ends, others] = ["gw", "hub"].map(|space| ["a", "b"].map(|name| End::new(space, name)));
        let (fast, slow) = (Shape::default(), of(&line(None, Some("1mbit")), &Slowness::default()));
        let queues = [(&ends[0], &slow), (&others[0], &slow), (&ends[1], &slow), (&others[1], &fast)];
        let queue = "root tbf rate 1mbit burst 32k latency 100ms\n";
        let expected = BTreeMap::from([
            ("gw", [format!("qdisc replace dev a {queue}qdisc replace dev b {queue}"), String::new()]),
            ("hub", [format!("qdisc replace dev a {queue}"), "qdisc del dev b root\n".to_owned()]),
        ]);
        assert_eq!(lines(queues.into_iter(), || false), expected);
    }

    #[test]
    fn one_line_behind_the_other() {
        let a = of(&line(Some(15), Some("40mbit")), &slowness(None, Some(10), None));
        let b = of(&line(Some(20), Some("512kbit")), &slowness(None, Some(50), None));
        let both = Shape { rtt_ms: Some(35), loss: Some(55), rate: Some("512kbit".to_owned()) };
        assert_eq!(behind(a.clone(), b), both);
        assert_eq!(behind(a.clone(), Shape::default()), a);
        assert_eq!(behind(Shape::default(), Shape::default()), Shape::default());
    }

    #[test]
    fn what_no_line_can_be() {
        let refused = |rtt, loss, rate| {
            let failure = check(&slowness(rtt, loss, rate)).unwrap_err();
            failure.notes.into_iter().map(|note| note.message).collect::<Vec<_>>()
        };
        assert_eq!(refused(None, None, None), ["nothing says how slow the line is"]);
        assert_eq!(
            refused(Some(1), Some(101), Some("fast")),
            ["`--loss 101` is more than everything", "`--rate fast` is no rate"]
        );
        for (rate, expected) in [("10mbit", 10_000_000), ("1.5Mbit", 1_500_000), ("512kbps", 4_096_000)] {
            assert_eq!(bits(rate), Some(expected), "{rate}");
        }
        for rate in ["0mbit", "mbit", "10", "10mbit; rm", "1.x5mbit", "99999999999999999999tbit"] {
            assert_eq!(refused(None, None, Some(rate)), [format!("`--rate {rate}` is no rate")]);
        }
    }
}
