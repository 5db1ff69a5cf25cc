//! What lines are like: delay, loss and rate, by the kernel's queues (tc-netem(8), tc-tbf(8)).

use std::process::Command;

use kmh_cli::Failure;

use crate::build::Places;
use crate::machine::ended;
use crate::plan::wires::{End, Line, Wires};

/// What a line does to packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Round trip in milliseconds: half of it each way.
    pub(crate) rtt_ms: Option<u16>,
    /// Lost packets each way, percent.
    pub(crate) loss: Option<u8>,
    /// Rate each way, such as `40mbit`.
    pub(crate) rate: Option<String>,
}

impl Shape {
    /// As the inventory has it.
    pub(crate) fn of(line: &Line) -> Self {
        Self { rtt_ms: line.rtt_ms, loss: None, rate: line.rate.clone() }
    }

    /// What `tc qdisc` is told; none when packets pass as they come. Without netem only the rate remains.
    pub(crate) fn queue(&self, netem: bool) -> Option<String> {
        if !netem {
            // The bucket of a domestic line: a full-size packet at a time, and what waits for at most 100 ms.
            let rate = self.rate.as_ref()?;
            return Some(format!("tbf rate {rate} burst 32k latency 100ms"));
        }
        let delay = self.rtt_ms.filter(|rtt| *rtt > 0);
        let delay = delay.map(|rtt| format!(" delay {}.{}ms", rtt / 2, if rtt % 2 == 1 { 5 } else { 0 }));
        let loss = self.loss.filter(|loss| *loss > 0).map(|loss| format!(" loss {loss}%"));
        let rate = self.rate.as_ref().map(|rate| format!(" rate {rate}"));
        let words: String = [delay, loss, rate].into_iter().flatten().collect();
        (!words.is_empty()).then(|| format!("netem limit 10000{words}"))
    }

    /// Whether it needs netem to be what it says.
    pub(crate) fn needs_netem(&self) -> bool {
        self.rtt_ms.is_some_and(|rtt| rtt > 0) || self.loss.is_some_and(|loss| loss > 0)
    }
}

/// Whether the kernel has netem: asked in a namespace that goes at once.
pub(crate) fn has_netem() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]);
    ended(&mut command, &[]).is_ok_and(|ran| ran.status.success())
}

/// Makes a line so, at both its ends.
pub(crate) fn apply(places: &Places<'_>, line: &Line, shape: &Shape, netem: bool) -> Result<(), Failure> {
    for End { space, interface } in [&line.near, &line.far] {
        match shape.queue(netem) {
            Some(queue) => {
                let words = format!("tc qdisc replace dev {interface} root {queue}");
                places.run(space, &words.split(' ').collect::<Vec<_>>(), "")?;
            }
            // There may be none.
            None => _ = places.run(space, &["tc", "qdisc", "del", "dev", interface, "root"], ""),
        }
    }
    Ok(())
}

/// Makes all lines as the inventory has them that are new, or others than before.
pub(crate) fn lines(places: &Places<'_>, old: &Wires, new: &Wires) -> Result<(), Failure> {
    let changed: Vec<&Line> = new
        .lines
        .iter()
        .filter(|(name, line)| match old.lines.get(*name) {
            Some(before) => before != *line,
            None => Shape::of(line) != Shape::default(),
        })
        .map(|(_, line)| line)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let netem = has_netem();
    for line in changed {
        apply(places, line, &Shape::of(line), netem)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues() {
        let line = Shape { rtt_ms: Some(15), loss: Some(2), rate: Some("40mbit".to_owned()) };
        assert_eq!(line.queue(true).as_deref(), Some("netem limit 10000 delay 7.5ms loss 2% rate 40mbit"));
        assert_eq!(line.queue(false).as_deref(), Some("tbf rate 40mbit burst 32k latency 100ms"));
        assert_eq!(Shape { rtt_ms: Some(0), ..Shape::default() }.queue(true), None);
        assert!(line.needs_netem() && !Shape { rate: line.rate, ..Shape::default() }.needs_netem());
    }
}
