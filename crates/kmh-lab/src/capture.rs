//! `capture`: packets of a place into a file that tcpdump and wireshark read. The file is there whole or not at all, and
//! for nobody else's eyes.
#![allow(clippy::disallowed_methods, reason = "it waits")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kmh_cli::text::printable;
use kmh_cli::{Answer, Context, Exit, Failure, Format, file};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::args;
use crate::machine::shown;
use crate::memory::{Memory, on_wires, space};
use crate::plan::wires::End;
use crate::state::State;
use crate::weather::names::some_of;
use crate::weather::{Lab, json};

/// A capture ends when it is larger: it is kept in memory until it is whole.
const LARGEST: u64 = 256 << 20;
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Said {
    file: String,
    /// The interface, with its namespace.
    place: String,
    octets: usize,
    /// How many packets it holds.
    packets: usize,
    /// Whether it ended because it was too large.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    full: bool,
}

/// The interface that a place means: of a machine all of them.
fn place(memory: &Memory, state: &State, text: &str) -> Result<End, Failure> {
    let mut known: Vec<String> = state.machines.keys().chain(state.routers.keys()).cloned().collect();
    known.extend(state.wires.spaces.iter().cloned());
    let find = match text.split_once('/') {
        Some(("tunnel", name)) => {
            memory.network.tunnels.iter().find(|tunnel| tunnel.name == name).map(|tunnel| {
                let [end, _] = &tunnel.ends;
                End::new(&space(state, &end.router), &end.interface)
            })
        }
        Some(("uplink", name)) => state.wires.lines.get(name).map(|line| line.near.clone()),
        _ => known.iter().any(|name| name == text).then(|| End::new(&space(state, text), "any")),
    };
    find.ok_or_else(|| {
        known.extend(memory.network.tunnels.iter().map(|tunnel| format!("tunnel/{}", tunnel.name)));
        known.extend(state.wires.lines.keys().map(|line| format!("uplink/{line}")));
        known.sort_unstable();
        known.dedup();
        let failure = Failure::wrong(format!("the lab has no place `{}`", printable(text)));
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let near = kmh_doc::decode::nearest(text, &known);
        failure.hint(near.unwrap_or_else(|| format!("it has {}", some_of(&known))))
    })
}

/// How many whole packets a file of `pcap` holds, and where the last one ends (pcap-savefile(5)); none of what is no such
/// file.
fn packets(bytes: &[u8]) -> Option<(usize, usize)> {
    const HEADER: usize = 24;
    const RECORD: usize = 16;
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
    let read = match word(0)? {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => u32::from_le_bytes,
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => u32::from_be_bytes,
        _ => return None,
    };
    let (mut at, mut count) = (HEADER, 0);
    while let Some(length) = word(at + 8) {
        let next = at + RECORD + usize::try_from(read(length)).ok()?;
        if next > bytes.len() {
            break;
        }
        (at, count) = (next, count + 1);
    }
    (at <= bytes.len()).then_some((count, at))
}

/// The answer.
pub(crate) fn run(
    args: &args::Capture,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let lab = Lab::open(lab)?;
    let end = place(&lab.memory, &lab.state, &args.place)?;
    refuse_what_cannot_be_written(&args.to)?;
    let count = args.count.map(|count| count.to_string());
    let mut words = vec!["tcpdump", "-n", "-U", "-w", "-", "-i", &end.interface];
    if let Some(count) = &count {
        words.extend(["-c", count]);
    }
    let mut command = on_wires(&lab.name, &lab.state, &end.space, words)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let line = shown(&command);
    // From here on ^C ends the capture, not the program.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::world("cannot wait for ^C").because(file::plain(&error)))?;
    }
    let mut child = command.spawn().map_err(|error| {
        Failure::world(format!("cannot run `{line}`"))
            .because(file::plain(&error))
            .hint("kmh-lab doctor tells which package has it")
    })?;
    if args.seconds.is_none() && args.count.is_none() {
        context.say("recording until ^C");
    }
    let limit = args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let (mut bytes, words, full) = record(&mut child, limit, &stop);
    let status = child.wait();
    let Some((packets, end_of_last)) = packets(&bytes) else {
        let failure = Failure::world(format!("`{line}` recorded nothing"));
        let words = words.trim();
        let cause = if words.is_empty() { format!("{status:?}") } else { words.to_owned() };
        return Err(failure.because(cause));
    };
    // One that was ended in the middle of a packet holds those before it.
    bytes.truncate(end_of_last);
    file::write(&args.to, &bytes, 0o600)?;
    let said = Said {
        file: args.to.display().to_string(),
        place: String::from(end),
        octets: bytes.len(),
        packets,
        full,
    };
    let text = if format == Format::Json {
        json(&said)?
    } else {
        let full = if full { ", and was ended there: it was too large" } else { "" };
        format!("{}: {packets} packets of {}, {} octets{full}\n", said.file, said.place, said.octets)
    };
    Ok(Answer { text, exit: Exit::Done })
}

/// Before the long work.
fn refuse_what_cannot_be_written(path: &Path) -> Result<(), Failure> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cause = if path.is_dir() || path.as_os_str().is_empty() {
        "it names no file".to_owned()
    } else if path.is_symlink() {
        "it is a symbolic link, and is not written through".to_owned()
    } else if dir.is_dir() {
        return Ok(());
    } else {
        format!("there is no directory `{}`", dir.display())
    };
    Err(Failure::wrong(format!("cannot write `{}`", path.display())).because(cause))
}

/// What tcpdump writes until it ends, or is told to: packets, its own words, and whether there were too many.
fn record(child: &mut Child, limit: Option<Duration>, stop: &AtomicBool) -> (Vec<u8>, String, bool) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let full = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (bytes, words) = std::thread::scope(|scope| {
        let words = scope.spawn(|| {
            let mut text = Vec::new();
            // Whatever it said until then is what there is to tell.
            let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        let bytes = scope.spawn(|| {
            let mut bytes = Vec::new();
            let _ = stdout.map(|stdout| stdout.take(LARGEST).read_to_end(&mut bytes));
            full.store(bytes.len() as u64 >= LARGEST, Ordering::Relaxed);
            done.store(true, Ordering::Relaxed);
            bytes
        });
        let start = Instant::now();
        while !done.load(Ordering::Relaxed) {
            if stop.load(Ordering::Relaxed) || limit.is_some_and(|limit| start.elapsed() >= limit) {
                // It has ended by itself when it is not there.
                let _ = pid.map(|pid| kill_process(pid, Signal::INT));
            }
            std::thread::sleep(PAUSE);
        }
        (bytes.join().unwrap_or_default(), words.join().unwrap_or_default())
    });
    (bytes, words, full.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(lengths: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1];
        bytes.resize(24, 0);
        for length in lengths {
            bytes.extend([0; 8]);
            bytes.extend(length.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.resize(bytes.len() + *length as usize, 7);
        }
        bytes
    }

    #[test]
    fn packets_of_a_file_are_counted_and_half_ones_left_out() {
        assert_eq!(packets(&recorded(&[])), Some((0, 24)));
        assert_eq!(packets(&recorded(&[60, 1400])), Some((2, 24 + 76 + 1416)));
        assert_eq!(packets(b"tcpdump: no"), None);
        assert_eq!(packets(b""), None);
        let mut cut = recorded(&[60, 1400]);
        cut.truncate(cut.len() - 1);
        assert_eq!(packets(&cut), Some((1, 24 + 76)), "the last one is not whole");
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| refuse_what_cannot_be_written(path).unwrap_err().notes[0].causes[0].clone();
        assert_eq!(said(folder.path()), "it names no file");
        assert!(said(&folder.path().join("x/y")).starts_with("there is no directory"));
        std::os::unix::fs::symlink("/dev/null", folder.path().join("l")).unwrap();
        assert_eq!(said(&folder.path().join("l")), "it is a symbolic link, and is not written through");
        assert_eq!(refuse_what_cannot_be_written(&folder.path().join("new.pcap")), Ok(()));
    }
}
