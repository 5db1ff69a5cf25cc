//! Slow lines: delay, loss and rate by netem where the kernel has it, the rate alone by tbf everywhere.

use std::sync::OnceLock;

use kmh_cli::Failure;
use kmh_cli::text::printable;

use super::names::{How, Slowness};
use crate::machine::{ended, output};
use crate::memory::on_wires;
use crate::plan::wires::{End, Line};
use crate::state::{LabName, State};

/// Octets that a shaped line holds back at most, as a router's queue does: a tenth of a second at 10 Mbit/s.
const BURST: &str = "128kb";
/// How long a packet waits in a shaped line at most.
const LATENCY: &str = "200ms";

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

/// What an interface does with what it sends: half of the round trip, the loss and the rate of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Queue {
    /// Round trip in milliseconds.
    rtt: u32,
    /// Lost packets, percent.
    loss: u32,
    /// Rate, and its bits a second.
    rate: Option<(u64, String)>,
}

impl Queue {
    /// That of a line: as the inventory has it, changed by that.
    pub(super) fn of(line: &Line, slowness: &Slowness) -> Self {
        let rate = slowness.rate.as_ref().or(line.rate.as_ref());
        Self {
            rtt: slowness.rtt.or(line.rtt_ms).unwrap_or(0).into(),
            loss: slowness.loss.unwrap_or(0).into(),
            rate: rate.and_then(|rate| Some((bits(rate)?, rate.clone()))),
        }
    }

    /// That of one line behind the other.
    pub(super) fn then(self, other: Self) -> Self {
        let arrive = (100 - self.loss.min(100)) * (100 - other.loss.min(100));
        Self {
            rtt: self.rtt + other.rtt,
            loss: 100 - arrive / 100,
            rate: match (self.rate, other.rate) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    /// Whether it is as the kernel has it.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether only netem can do it.
    pub(super) fn needs_netem(&self) -> bool {
        self.rtt > 0 || self.loss > 0
    }

    /// What `tc` is told; without netem the rate alone.
    fn words(&self, interface: &str, netem: bool) -> Vec<String> {
        let mut words = ["tc", "qdisc", "replace", "dev", interface, "root"].map(str::to_owned).to_vec();
        match &self.rate {
            rate if self.needs_netem() && netem => {
                words.push("netem".to_owned());
                if self.rtt > 0 {
                    words.extend(["delay".to_owned(), format!("{}us", self.rtt * 500)]);
                }
                if self.loss > 0 {
                    words.extend(["loss".to_owned(), format!("{}%", self.loss)]);
                }
                if let Some((_, rate)) = rate {
                    words.extend(["rate".to_owned(), rate.clone()]);
                }
            }
            Some((_, rate)) => {
                words.extend(["tbf", "rate", rate, "burst", BURST, "latency", LATENCY].map(str::to_owned));
            }
            None => return ["tc", "qdisc", "del", "dev", interface, "root"].map(str::to_owned).into(),
        }
        words
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

/// Whether the kernel has netem: asked once, by putting it on an interface that nobody shapes.
fn has_netem(lab: &LabName, state: &State, space: &str) -> Result<bool, Failure> {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    if let Some(answer) = ANSWER.get() {
        return Ok(*answer);
    }
    let set = |words: &[&str]| -> Result<bool, Failure> {
        Ok(ended(&mut on_wires(lab, state, space, words)?, &[])?.status.success())
    };
    let has = set(&["tc", "qdisc", "add", "dev", "lo", "root", "netem"])?
        && set(&["tc", "qdisc", "del", "dev", "lo", "root"])?;
    Ok(*ANSWER.get_or_init(|| has))
}

/// Refuses what this kernel cannot do: delay and loss need netem.
pub(super) fn possible(lab: &LabName, state: &State, name: &str, how: &How) -> Result<(), Failure> {
    let How::Slow(slowness) = how else { return Ok(()) };
    let Some(line) = state.wires.lines.get(name) else {
        return Err(Failure::wrong(format!("line `{name}` is not in the part of the lab that is up")));
    };
    let wants = slowness.rtt.is_some_and(|rtt| rtt > 0) || slowness.loss.is_some_and(|loss| loss > 0);
    if wants && !has_netem(lab, state, &line.far.space)? {
        return Err(Failure::world("this kernel can neither delay packets nor lose some of them")
            .because("it has no netem (CONFIG_NET_SCH_NETEM)")
            .hint("kmh-lab up --vm builds the lab on a kernel that has it; `--rate` alone works here"));
    }
    Ok(())
}

/// Shapes what an interface sends; says whether the kernel can do all of it.
pub(super) fn shape(lab: &LabName, state: &State, end: &End, queue: &Queue) -> Result<bool, Failure> {
    let netem = queue.needs_netem() && has_netem(lab, state, &end.space)?;
    let words = queue.words(&end.interface, netem);
    let mut command = on_wires(lab, state, &end.space, &words)?;
    if words.iter().any(|word| word == "del") {
        // To take away what is not there is no fault.
        ended(&mut command, &[])?;
    } else {
        output(command, &[])?;
    }
    Ok(netem || !queue.needs_netem())
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
        }
    }

    fn slowness(rtt: Option<u16>, loss: Option<u8>, rate: Option<&str>) -> Slowness {
        Slowness { rtt, loss, rate: rate.map(str::to_owned) }
    }

    /// With netem, and without.
    fn said(queue: &Queue) -> [String; 2] {
        [true, false].map(|netem| queue.words("wan", netem).join(" "))
    }

    const NONE: &str = "tc qdisc del dev wan root";
    const TBF: &str = "tc qdisc replace dev wan root tbf rate 40mbit burst 128kb latency 200ms";

    #[test]
    fn a_line_is_as_slow_as_said_and_else_as_the_inventory_has_it() {
        let all = slowness(None, None, None);
        let of = |rtt, rate, slowness: &Slowness| said(&Queue::of(&line(rtt, rate), slowness));
        assert_eq!(of(None, None, &all), [NONE, NONE]);
        assert_eq!(of(None, None, &slowness(None, None, Some("40mbit"))), [TBF, TBF]);
        let netem = "tc qdisc replace dev wan root netem delay 7500us loss 2% rate 40mbit";
        assert_eq!(of(Some(15), Some("40mbit"), &slowness(None, Some(2), None)), [netem, TBF]);
        let netem = "tc qdisc replace dev wan root netem delay 7500us";
        assert_eq!(of(Some(15), None, &slowness(None, Some(0), None)), [netem, NONE]);
        assert_eq!(
            of(Some(15), None, &slowness(Some(0), None, None)),
            [NONE, NONE],
            "no delay is a wish too"
        );
    }

    #[test]
    fn one_line_behind_the_other() {
        let a = Queue::of(&line(Some(15), Some("40mbit")), &slowness(None, Some(10), None));
        let b = Queue::of(&line(Some(20), Some("512kbit")), &slowness(None, Some(50), None));
        let netem = "tc qdisc replace dev wan root netem delay 17500us loss 55% rate 512kbit";
        assert_eq!(said(&a.clone().then(b))[0], netem);
        assert_eq!(a.clone().then(Queue::default()), a);
        assert!(Queue::default().then(Queue::default()).is_plain());
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
