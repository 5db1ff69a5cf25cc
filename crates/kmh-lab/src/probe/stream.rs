//! A steady stream of questions from one to another, and what of it was answered when.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use kmh_cli::{Failure, file::plain};
use rustix::process::{Pid, Signal, kill_process};

use crate::machine::shown;
use crate::memory::on_wires;
use crate::state::{LabName, State};

/// Milliseconds between two questions.
pub(crate) const PACE_MS: u64 = 100;

/// What is asked of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// An echo.
    Echo(IpAddr),
    /// A TCP connection: an answer is one that says yes or no.
    Connect(SocketAddr),
    /// A datagram: an answer is one that refuses it.
    Datagram(SocketAddr),
}

/// Answers by the question's number: milliseconds since 1970.
pub(crate) type Heard = BTreeMap<u64, u64>;

/// A running stream.
pub(crate) struct Stream {
    child: Child,
    /// What ends it.
    signal: Signal,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
}

/// Number and time of an answer in a line of `ping -D`, or of our own prober, which writes the same.
fn answered(line: &str) -> Option<(u64, u64)> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
    // `[1795867308.017010] no answer yet for icmp_seq=7` is none.
    if !rest.contains(" bytes from ") && !rest.starts_with("answer") {
        return None;
    }
    let seq = rest.split_once("icmp_seq=")?.1.split([' ', '\n']).next()?.parse().ok()?;
    let (seconds, parts) = stamp.split_once('.')?;
    let millis: u64 = parts.get(..3)?.parse().ok()?;
    Some((seq, seconds.parse::<u64>().ok()? * 1000 + millis))
}

impl Stream {
    /// Starts asking.
    pub(crate) fn start(
        lab: &LabName,
        state: &State,
        space: &str,
        source: IpAddr,
        target: &Target,
    ) -> Result<Self, Failure> {
        let words: Vec<String> = match target {
            Target::Echo(target) => {
                let (source, target) = (source.to_string(), target.to_string());
                ["ping", "-n", "-D", "-i", "0.1", "-W", "1", "-s", "16", "-I", &source, &target]
                    .map(str::to_owned)
                    .into()
            }
            Target::Connect(address) | Target::Datagram(address) => {
                let own = std::env::current_exe()
                    .map_err(|error| Failure::world("cannot find kmh-lab itself").because(plain(&error)))?;
                let own = own.to_string_lossy().into_owned();
                let mut words = vec![own, "probe".to_owned(), source.to_string(), address.to_string()];
                words.extend(matches!(target, Target::Datagram(_)).then(|| "--datagram".to_owned()));
                words
            }
        };
        let mut command = on_wires(lab, state, space, &words)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| {
            Failure::world(format!("cannot run `{}`", shown(&command))).because(plain(&error))
        })?;
        let heard = Arc::new(Mutex::new(Heard::new()));
        let ours = Arc::clone(&heard);
        let reader = child.stdout.take().map(|stdout| {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some((seq, at)) = answered(&line) {
                        ours.lock().unwrap_or_else(PoisonError::into_inner).insert(seq, at);
                    }
                }
            })
        });
        // `ping` tells what it still has when it is interrupted. Ours would not hear that: whoever is started in the background
        // of a script, which ignores it, hands that on (`signal(7)`).
        let signal = if matches!(target, Target::Echo(_)) { Signal::INT } else { Signal::TERM };
        Ok(Self { child, signal, heard, reader })
    }

    /// When the last answer came.
    pub(crate) fn last(&self) -> Option<u64> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.last_key_value().map(|(_, at)| *at)
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Heard {
        self.stop();
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }

    fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It has ended when it is not there.
            let _ = kill_process(pid, self.signal);
        }
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.reader.is_some() {
            self.stop();
        }
    }
}

/// For how long nothing was answered of what was asked between two times: in all, and whether it was still so at the end.
pub(crate) fn lost(heard: &Heard, start: u64, end: u64) -> (u64, bool) {
    let mut sum = 0;
    let mut still = false;
    let mut last: Option<(u64, u64)> = None;
    for (&seq, &at) in heard {
        if let Some((before, then)) = last.filter(|(before, _)| seq > before + 1) {
            // The questions after the last answered one were asked a pace later each.
            let from = (then + PACE_MS).max(start);
            let to = at.clamp(start, end);
            let asked = (seq - before - 1) * PACE_MS;
            sum += (to - from.min(to)).min(asked + PACE_MS);
            // Whoever is asked each tenth of a second has not answered for a while.
            still |= at > end && from + 5 * PACE_MS <= end;
        }
        last = Some((seq, at));
    }
    match last {
        Some((_, at)) if at + 5 * PACE_MS < end => (sum + end - (at + PACE_MS).max(start), true),
        Some(_) => (sum, still),
        None => (end - start, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ping() {
        let line = "[1795867308.226221] 64 bytes from 127.0.0.1: icmp_seq=3 ttl=64 time=0.035 ms";
        assert_eq!(answered(line), Some((3, 1_795_867_308_226)));
        assert_eq!(answered("[1795867308.226221] answer icmp_seq=4"), Some((4, 1_795_867_308_226)));
        for none in [
            "[1795867308.226221] no answer yet for icmp_seq=7",
            "[1795867308.226221] From 10.0.0.1 icmp_seq=7 Destination Net Unreachable",
            "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.",
        ] {
            assert_eq!(answered(none), None, "{none}");
        }
    }

    /// Answers to these questions, each a tenth of a second after the other.
    fn heard(numbers: impl IntoIterator<Item = u64>) -> Heard {
        numbers.into_iter().map(|seq| (seq, 1000 + seq * PACE_MS)).collect()
    }

    #[test]
    fn what_was_lost() {
        // Nothing; late ones are not lost.
        assert_eq!(lost(&heard(0..50), 2000, 5900), (0, false));
        let mut late = heard(0..50);
        late.insert(20, 3250);
        assert_eq!(lost(&late, 2000, 5900), (0, false));
        // Questions 10 to 29: two seconds.
        assert_eq!(lost(&heard((0..10).chain(30..50)), 1500, 5900), (2000, false));
        // Only what lies between the times counts.
        assert_eq!(lost(&heard((0..10).chain(30..50)), 3000, 5900), (1000, false));
        assert_eq!(lost(&heard((0..10).chain(30..50)), 4500, 5900), (0, false));
        // Until the end, and beyond it.
        assert_eq!(lost(&heard(0..10), 1500, 5000), (3000, true));
        assert_eq!(lost(&heard((0..10).chain(45..60)), 1500, 5000), (3000, true));
        assert_eq!(lost(&Heard::new(), 1500, 5000), (3500, true));
    }
}
