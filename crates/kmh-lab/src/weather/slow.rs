//! Slow lines: delay, loss and rate by netem where the kernel has it, the rate alone by tbf everywhere.

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

/// Units of rates that `tc` takes (`tc(8)`).
const UNITS: [&str; 10] = ["bit", "kbit", "mbit", "gbit", "tbit", "bps", "kbps", "mbps", "gbps", "tbps"];

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
    if let Some(rate) = slowness.rate.as_ref().filter(|rate| !is_rate(rate)) {
        failures.push(
            Failure::wrong(format!("`--rate {}` is no rate", printable(rate)))
                .hint("write a number and a unit, such as 10mbit or 512kbit"),
        );
    }
    Failure::all(failures).map_or(Ok(()), Err)
}

fn is_rate(rate: &str) -> bool {
    let digits = rate.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rate.len());
    let (number, unit) = rate.split_at(digits);
    let is_some = number.parse::<f64>().is_ok_and(|number| number > 0.0);
    is_some && UNITS.contains(&unit.to_ascii_lowercase().as_str())
}

/// What `tc` is told for one end of a line: half of the round trip, the loss and the rate of one direction.
#[derive(Debug, PartialEq)]
enum Queue {
    /// As the kernel has it.
    Plain,
    /// The rate alone.
    Rate(String),
    /// Delay and loss too.
    Netem(Vec<String>),
}

fn queue(line: &Line, slowness: &Slowness) -> Queue {
    let rtt = slowness.rtt.or(line.rtt_ms).filter(|rtt| *rtt > 0);
    let rate = slowness.rate.clone().or_else(|| line.rate.clone());
    let loss = slowness.loss.filter(|loss| *loss > 0);
    if rtt.is_none() && loss.is_none() {
        return rate.map_or(Queue::Plain, Queue::Rate);
    }
    let mut words = Vec::new();
    if let Some(rtt) = rtt {
        words.extend(["delay".to_owned(), format!("{}us", u32::from(rtt) * 500)]);
    }
    if let Some(loss) = loss {
        words.extend(["loss".to_owned(), format!("{loss}%")]);
    }
    if let Some(rate) = rate {
        words.extend(["rate".to_owned(), rate]);
    }
    Queue::Netem(words)
}

/// The same without delay and loss, for a kernel that has no netem.
fn poor(line: &Line, slowness: &Slowness) -> Queue {
    let rate = slowness.rate.clone().or_else(|| line.rate.clone());
    rate.map_or(Queue::Plain, Queue::Rate)
}

fn words(interface: &str, queue: &Queue) -> Vec<String> {
    let kind: Vec<String> = match queue {
        Queue::Plain => return ["tc", "qdisc", "del", "dev", interface, "root"].map(str::to_owned).into(),
        Queue::Rate(rate) => {
            ["tbf", "rate", rate, "burst", BURST, "latency", LATENCY].map(str::to_owned).into()
        }
        Queue::Netem(words) => std::iter::once("netem".to_owned()).chain(words.iter().cloned()).collect(),
    };
    let start = ["tc", "qdisc", "replace", "dev", interface, "root"].map(str::to_owned);
    start.into_iter().chain(kind).collect()
}

/// Whether the kernel has netem: asked by putting it on an interface that nobody uses yet.
fn has_netem(lab: &LabName, state: &State, end: &End) -> Result<bool, Failure> {
    let set = |verb: &str| -> Result<bool, Failure> {
        let all = ["tc", "qdisc", verb, "dev", "lo", "root", "netem"];
        let words = if verb == "del" { &all[..6] } else { &all[..] };
        Ok(ended(&mut on_wires(lab, state, &end.space, words)?, &[])?.status.success())
    };
    Ok(set("add")? && set("del")?)
}

/// Refuses what this kernel cannot do: delay and loss need netem.
pub(super) fn possible(lab: &LabName, state: &State, name: &str, how: &How) -> Result<(), Failure> {
    let How::Slow(slowness) = how else { return Ok(()) };
    let Some(line) = state.wires.lines.get(name) else {
        return Err(Failure::wrong(format!("line `{name}` is not in the part of the lab that is up")));
    };
    let wants = slowness.rtt.is_some_and(|rtt| rtt > 0) || slowness.loss.is_some_and(|loss| loss > 0);
    if wants && !has_netem(lab, state, &line.far)? {
        return Err(Failure::world("this kernel can neither delay packets nor lose some of them")
            .because("it has no netem (CONFIG_NET_SCH_NETEM)")
            .hint("kmh-lab up --vm builds the lab on a kernel that has it; `--rate` alone works here"));
    }
    Ok(())
}

/// Gives both ends of a line what the inventory says, changed by that.
pub(super) fn shape(lab: &LabName, state: &State, name: &str, slowness: &Slowness) -> Result<(), Failure> {
    let Some(line) = state.wires.lines.get(name) else { return Ok(()) };
    let mut wanted = queue(line, slowness);
    if matches!(wanted, Queue::Netem(_)) && !has_netem(lab, state, &line.far)? {
        wanted = poor(line, slowness);
    }
    for end in [&line.near, &line.far] {
        let words = words(&end.interface, &wanted);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = on_wires(lab, state, &end.space, &words)?;
        if wanted == Queue::Plain {
            // To take away what is not there is no fault.
            ended(&mut command, &[])?;
        } else {
            output(command, &[])?;
        }
    }
    Ok(())
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

    #[test]
    fn a_line_is_as_slow_as_said_and_else_as_the_inventory_has_it() {
        let said = |line: &Line, rtt, loss, rate: Option<&str>| {
            let slowness = Slowness { rtt, loss, rate: rate.map(str::to_owned) };
            (words("wan", &queue(line, &slowness)).join(" "), words("wan", &poor(line, &slowness)).join(" "))
        };
        let tbf = "tc qdisc replace dev wan root tbf rate 40mbit burst 128kb latency 200ms";
        let none = "tc qdisc del dev wan root";
        assert_eq!(said(&line(None, None), None, None, None), (none.into(), none.into()));
        assert_eq!(said(&line(None, None), None, None, Some("40mbit")), (tbf.into(), tbf.into()));
        assert_eq!(
            said(&line(Some(15), Some("40mbit")), None, Some(2), None),
            ("tc qdisc replace dev wan root netem delay 7500us loss 2% rate 40mbit".into(), tbf.into())
        );
        assert_eq!(
            said(&line(Some(15), None), None, Some(0), None),
            ("tc qdisc replace dev wan root netem delay 7500us".into(), none.into())
        );
    }

    #[test]
    fn no_delay_is_a_wish_too() {
        let line = line(Some(15), None);
        let none = Slowness { rtt: Some(0), ..Slowness::default() };
        assert_eq!(queue(&line, &none), Queue::Plain);
    }

    #[test]
    fn what_no_line_can_be() {
        let refused = |rtt, loss, rate: Option<&str>| {
            let failure = check(&Slowness { rtt, loss, rate: rate.map(str::to_owned) }).unwrap_err();
            failure.notes.into_iter().map(|note| note.message).collect::<Vec<_>>()
        };
        assert_eq!(refused(None, None, None), ["nothing says how slow the line is"]);
        assert_eq!(
            refused(Some(1), Some(101), Some("fast")),
            ["`--loss 101` is more than everything", "`--rate fast` is no rate"]
        );
        for rate in ["10mbit", "1.5Mbit", "512kbit"] {
            assert_eq!(
                check(&Slowness { rate: Some(rate.to_owned()), ..Slowness::default() }),
                Ok(()),
                "{rate}"
            );
        }
        for rate in ["0mbit", "mbit", "10", "10mbit; rm"] {
            assert_eq!(refused(None, None, Some(rate)), [format!("`--rate {rate}` is no rate")]);
        }
    }
}
