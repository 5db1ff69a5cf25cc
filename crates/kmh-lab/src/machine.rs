//! Running commands in a lab: in a machine, in a namespace inside one, in a bare namespace.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kmh_cli::{Failure, file::plain};

use crate::state::{Inner, Kind, LabName, MARK, Machine, State};

/// Where commands are looked for in a machine.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where commands run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A machine, with its own files.
    Machine {
        /// Its first process.
        pid: u32,
        /// A network namespace inside it.
        netns: Option<String>,
        /// Whether it has this machine's files, and so may keep the caller's folder and variables.
        shared: bool,
    },
    /// A network namespace alone, by the system's name.
    Space(String),
}

impl Place {
    /// The first process of a machine; refused when it does not live any more.
    pub fn of_machine(name: &str, machine: &Machine) -> Result<Self, Failure> {
        if started(machine.pid) != Some(machine.started) {
            return Err(Failure::world(format!("machine `{name}` does not run any more"))
                .hint("kmh-lab up starts it again"));
        }
        Ok(Self::Machine { pid: machine.pid, netns: None, shared: machine.kind == Kind::Shared })
    }

    /// The place of that name in a lab: a machine, a namespace router, a pod's namespace, another one.
    pub fn named(lab: &LabName, state: &State, name: &str) -> Result<Self, Failure> {
        if let Some(machine) = state.machines.get(name) {
            return Self::of_machine(name, machine);
        }
        if let Some(Inner { machine, netns }) = state.routers.get(name)
            && let Some(host) = state.machines.get(machine)
        {
            return Ok(Self::of_machine(machine, host)?.in_netns(netns));
        }
        if state.wires.spaces.contains(name) {
            return Ok(Self::Space(lab.space(name)));
        }
        let mut known: Vec<&str> = state.machines.keys().map(String::as_str).collect();
        known.extend(state.routers.keys().map(String::as_str));
        known.extend(state.wires.spaces.iter().map(String::as_str));
        known.sort_unstable();
        known.dedup();
        Err(Failure::wrong(format!("lab `{lab}` has no machine `{}`", kmh_cli::text::printable(name)))
            .hint(format!("it has {}", known.join(", "))))
    }

    /// The same, in a network namespace inside the machine.
    #[must_use]
    pub fn in_netns(self, name: &str) -> Self {
        match self {
            Self::Machine { pid, shared, .. } => Self::Machine { pid, netns: Some(name.to_owned()), shared },
            space @ Self::Space(_) => space,
        }
    }
}

/// A command that will run there. Its environment is clean unless the place has this machine's files.
pub fn inside<S: AsRef<OsStr>>(
    lab: &LabName,
    place: &Place,
    command: impl IntoIterator<Item = S>,
) -> Command {
    let mut outer = Command::new("nsenter");
    match place {
        Place::Machine { pid, netns, shared } => {
            let pid = pid.to_string();
            outer.args(["--target", &pid, "--mount", "--uts", "--ipc", "--net", "--pid"]);
            if *shared {
                // The caller's own keys open nothing in a lab, and are not shown to it.
                outer.env(MARK, lab.mark()).env("HOME", crate::ssh::home(lab)).env_remove("SSH_AUTH_SOCK");
                if let Ok(folder) = std::env::current_dir() {
                    let mut here = std::ffi::OsString::from("--wdns=");
                    here.push(folder);
                    outer.arg(here);
                }
            } else {
                outer.args(["--root", "--wd"]);
                clean(&mut outer, lab);
            }
            outer.arg("--");
            if let Some(netns) = netns {
                outer.args(["ip", "netns", "exec", netns]);
            }
        }
        Place::Space(name) => {
            outer.arg(format!("--net=/run/netns/{name}")).arg("--");
            outer.env(MARK, lab.mark());
        }
    }
    outer.args(command);
    outer
}

/// Nothing of the caller's environment but the terminal's kind.
pub fn clean(command: &mut Command, lab: &LabName) {
    let terminal = std::env::var_os("TERM");
    command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LC_ALL", "C.UTF-8");
    command.env("USER", "root").env("SHELL", "/bin/sh").env(MARK, lab.mark());
    if let Some(terminal) = terminal {
        command.env("TERM", terminal);
    }
}

/// Runs a command to its end with that on its standard input; what it printed, or why it failed.
pub fn output(mut command: Command, input: &[u8]) -> Result<String, Failure> {
    let ran = ended(&mut command, input)?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    Err(said(&shown(&command), &ran))
}

/// Runs a command to its end with that on its standard input.
pub fn ended(command: &mut Command, input: &[u8]) -> Result<Output, Failure> {
    let line = shown(command);
    let failed = |error: std::io::Error| {
        Failure::world(format!("cannot run `{line}`"))
            .because(plain(&error))
            .hint("kmh-lab doctor tells which package has it")
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn().map_err(failed)?;
    std::thread::scope(|scope| {
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever does not read to the end says why himself.
            scope.spawn(move || stdin.write_all(input));
        }
        child.wait_with_output().map_err(failed)
    })
}

/// Why a command failed.
pub fn said(line: &str, ran: &Output) -> Failure {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let words: Vec<String> =
        [text(&ran.stderr), text(&ran.stdout)].into_iter().filter(|text| !text.is_empty()).collect();
    let failure = Failure::world(format!("`{line}` failed"));
    if words.is_empty() { failure.because(ran.status) } else { failure.because(words.join("\n")) }
}

/// A command as people would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// When a process started, in the kernel's clock ticks; none when there is none (`proc_pid_stat(5)`, field 22).
pub fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // A zombie has ended.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
