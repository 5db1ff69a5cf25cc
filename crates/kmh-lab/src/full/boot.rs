//! The start of a complete machine.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kmh_cli::{Failure, file, file::plain};

use super::archive::{File, pack};
use super::root::last;
use crate::machine::{Place, clean, ended, inside, started};
use crate::state::LabName;

const SCRIPT: &str = include_str!("boot.sh");

/// How often a machine is asked whether it is up, and for how long.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 1800;

/// A machine to boot.
pub struct Order<'a> {
    /// The lab.
    pub lab: &'a LabName,
    /// The machine; its network namespace is there.
    pub name: &'a str,
    /// The root that its own lies above.
    pub root: &'a Path,
    /// Who logs in; made when the root does not know them.
    pub user: &'a str,
    /// Files that it has from the start.
    pub files: &'a [File],
    /// Units that start with it.
    pub units: Vec<&'a str>,
}

/// A machine that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booted {
    /// Its first process, as this machine counts.
    pub pid: u32,
    /// When that started.
    pub started: u64,
    /// Units that failed.
    pub failed: Vec<String>,
    /// What was left undone, for people.
    pub said: Vec<String>,
}

/// Boots a machine and waits until its systemd has nothing more to start.
pub fn boot(order: &Order<'_>) -> Result<Booted, Failure> {
    let folder = order.lab.folder().join("machines").join(order.name);
    file::make_dir(&folder, 0o700)?;
    let groups: Vec<String> = super::cgroups::of_machine(order.lab, order.name)?
        .iter()
        .map(|group| group.display().to_string())
        .collect();
    let mut command = Command::new("nsenter");
    clean(&mut command, order.lab);
    command
        .arg(format!("--net=/run/netns/{}", order.lab.space(order.name)))
        .args([
            "--",
            "setsid",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            SCRIPT,
            "boot.sh",
        ])
        .args([order.root, &folder])
        .args([order.name, &format!("{}-{}", order.lab, order.name), order.user])
        .args([order.units.join(" "), groups.join(" ")]);
    let files = pack(order.files)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error: &std::io::Error| {
        Failure::world(format!("machine `{}` cannot be booted", order.name)).because(plain(error))
    };
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // Both end when systemd-nspawn takes over.
    std::thread::scope(|scope| {
        // Whoever does not read to the end says why himself.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&files)));
        scope.spawn(|| stderr.map(|mut stderr| stderr.read_to_end(&mut err)));
        stdout.map(|mut stdout| stdout.read_to_end(&mut out))
    });
    let said = String::from_utf8_lossy(&out).lines().map(str::to_owned).collect();
    let (pid, state) = wait(order, &mut child).map_err(|cause| {
        let console = folder.join("log/console");
        let told = file::read_if_there(&console).ok().flatten().unwrap_or_default();
        let words = last(&[&err, &told]);
        Failure::world(format!("machine `{}` did not boot", order.name))
            .because(if words.is_empty() { cause } else { words })
            .hint(format!("all of it is in {}", console.display()))
    })?;
    let began = started(pid)
        .ok_or_else(|| Failure::world(format!("machine `{}` ended as soon as it was up", order.name)))?;
    let failed = if state == "running" { vec![] } else { failed_units(order.lab, pid)? };
    Ok(Booted { pid, started: began, failed, said })
}

/// Waits until systemd says `running` or `degraded`.
fn wait(order: &Order<'_>, child: &mut Child) -> Result<(u32, String), String> {
    let mut state = String::new();
    for _ in 0..PATIENCE {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("systemd-nspawn ended: {status}"));
        }
        if let Some(pid) = leader(child.id()) {
            let place = Place::Machine { pid, netns: None, shared: false };
            let mut ask = inside(order.lab, &place, ["systemctl", "is-system-running"]);
            let ran = ended(&mut ask, b"").map_err(|failure| failure.summary())?;
            String::from_utf8_lossy(&ran.stdout).trim().clone_into(&mut state);
            if matches!(state.as_str(), "running" | "degraded") {
                return Ok((pid, state));
            }
        }
        std::thread::sleep(PAUSE);
    }
    Err(format!("after {} s its systemd says `{state}`", PATIENCE / 10))
}

/// Units that failed in a machine.
pub fn failed_units(lab: &LabName, pid: u32) -> Result<Vec<String>, Failure> {
    let place = Place::Machine { pid, netns: None, shared: false };
    let list = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--full"];
    let ran = ended(&mut inside(lab, &place, list), b"")?;
    let text = String::from_utf8_lossy(&ran.stdout);
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The first process of the machine that a systemd-nspawn runs: a child of it that is number 1 in a namespace of its own
/// (`proc_pid_status(5)`, `NSpid`).
fn leader(nspawn: u32) -> Option<u32> {
    let child = |path: PathBuf| {
        let text = std::fs::read_to_string(path.join("status")).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let ours = field("PPid:")? == nspawn.to_string() && field("NSpid:")?.ends_with("\t1");
        ours.then(|| path.file_name()?.to_str()?.parse().ok())?
    };
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| child(entry.path()))
}
