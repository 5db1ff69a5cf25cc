//! Processes of a lab's machines: found by the kernel's names for them, and signalled.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file::plain};
use rustix::process::{Pid, Signal, kill_process};

use crate::services::{self, Act};
use crate::state::{Kind, LabName, State};
use crate::{build, machine};

/// Letters of a program's name that the kernel keeps (`proc_pid_comm(5)`).
const COMM: usize = 15;

/// Which namespaces a process is in, as numbers of the kernel.
fn namespace(pid: u32, kind: &str) -> Option<(u64, u64)> {
    let meta = fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// Processes of that name on a machine; of a namespace router those that are in its namespace, if any are.
pub(super) fn find(state: &State, name: &str, program: &str) -> Result<Vec<u32>, Failure> {
    let inner = state.routers.get(name);
    let host = inner.map_or(name, |inner| inner.machine.as_str());
    let Some(own) = state.machines.get(host) else { return Ok(Vec::new()) };
    machine::Place::of_machine(host, own)?;
    let first = namespace(own.pid, "pid");
    let netns = inner.and_then(|inner| {
        // As the machine's first process sees it.
        let path = PathBuf::from(format!("/proc/{}/root/run/netns/{}", own.pid, inner.netns));
        let meta = fs::metadata(path).ok()?;
        Some((meta.dev(), meta.ino()))
    });
    let all: Vec<u32> = pids()
        .filter(|pid| namespace(*pid, "pid") == first && first.is_some())
        .filter(|pid| is_called(*pid, program) && machine::started(*pid).is_some())
        .collect();
    let inside: Vec<u32> =
        all.iter().copied().filter(|pid| netns.is_some() && namespace(*pid, "net") == netns).collect();
    Ok(if inside.is_empty() { all } else { inside })
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_called(pid: u32, program: &str) -> bool {
    let comm = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm")).unwrap_or_default();
    comm.trim_end() == program.get(..COMM).unwrap_or(program)
}

/// Sends a signal; a process that has ended meanwhile is no fault.
pub(super) fn signal(pids: &[u32], signal: Signal) -> Result<(), Failure> {
    for pid in pids {
        let Some(id) = i32::try_from(*pid).ok().and_then(Pid::from_raw) else { continue };
        match kill_process(id, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(
                    Failure::world(format!("cannot signal process {pid}")).because(plain(&error.into()))
                );
            }
        }
    }
    Ok(())
}

/// Stops a unit in order, or starts it.
pub(super) fn act(
    lab: &LabName,
    state: &State,
    machine: &str,
    unit: &str,
    is_start: bool,
) -> Result<(), Failure> {
    // Of FRR one daemon may be dead and the others alive; a BIRD that was killed left its socket.
    tell(lab, state, machine, unit, Act::Stop)?;
    if is_start { tell(lab, state, machine, unit, Act::Start) } else { Ok(()) }
}

/// Does that to a unit: by its script, or by the machine's own systemd.
pub(super) fn tell(lab: &LabName, state: &State, machine: &str, unit: &str, act: Act) -> Result<(), Failure> {
    let place = machine::Place::named(lab, state, machine)?;
    if state.machines.get(machine).is_some_and(|own| own.kind == Kind::Full) {
        let ask =
            |words: &[&str]| machine::inside(lab, &place, ["systemctl"].iter().chain(words).chain(&[unit]));
        // It stays enabled: what is broken is mended again, also by a machine that starts anew.
        let verb = match act {
            Act::Stop => "stop",
            Act::Start => "start",
            Act::Reload => "reload-or-restart",
            Act::Restart => "restart",
        };
        // Who was killed often has been started often, and systemd counts (systemd.unit(5), StartLimitBurst).
        machine::ended(&mut ask(&["--quiet", "reset-failed"]), b"")?;
        let hint = format!("kmh-lab exec {machine} -- journalctl -e -u {unit}");
        return machine::output(ask(&[verb]), b"").map(|_| ()).map_err(|failure| failure.hint(hint));
    }
    let Some(script) = services::script(unit, act) else { return Ok(()) };
    build::script(lab, &place, &script)
}
