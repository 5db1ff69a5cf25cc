//! This machine: its network namespaces, its processes, and `ip`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kmh_cli::{Failure, file};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::machine::output;
use crate::state::{LabName, MARK, ROOT};

/// Where named network namespaces lie.
const NETNS: &str = "/run/netns";
/// Says that this folder was no mount before the first lab.
const NETNS_IS_OURS: &str = "netns-is-ours";

/// Refuses everybody but root, at once.
pub(crate) fn need_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::wrong("kmh-lab needs root")
        .because("it makes network namespaces, mounts and processes of its own")
        .hint("run it with sudo; with -E when KMH_STORE names the store"))
}

/// `ip` with many commands at once, outside or in a namespace (a name, or a path).
pub(crate) fn ip(lab: &LabName, space: Option<&str>, lines: &[String]) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("ip");
    command.env(MARK, lab.mark());
    if let Some(space) = space {
        command.args(["-n", space]);
    }
    command.args(["-batch", "-"]);
    let text = lines.join("\n") + "\n";
    output(command, text.as_bytes()).map(|_| ()).map_err(|failure| failure.hint(nth_line(lines)))
}

/// All that was asked, for a message: `ip` tells the line by its number.
fn nth_line(lines: &[String]) -> String {
    let shown: Vec<String> =
        lines.iter().enumerate().map(|(number, line)| format!("{}: {line}", number + 1)).collect();
    format!("the lines were\n{}", shown.join("\n"))
}

/// Whether the kernel has ESP and XFRM interfaces: asked by making one, in a namespace that goes at once.
pub(crate) fn has_esp() -> bool {
    let stat = Path::new("/proc/net/xfrm_stat").exists();
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "ip", "link", "add", "x", "type", "xfrm", "dev", "lo", "if_id", "1"]);
    stat && crate::machine::ended(&mut command, &[]).is_ok_and(|ran| ran.status.success())
}

/// Before the first namespace: remembers whether `ip netns` will make its folder a mount.
pub(crate) fn prepare_netns() -> Result<(), Failure> {
    if !is_mount(Path::new(NETNS)) {
        file::write(&Path::new(ROOT).join(NETNS_IS_OURS), b"", 0o600)?;
    }
    Ok(())
}

/// After the last namespace of the last lab: takes that mount away again, unless somebody else uses it by now.
pub(crate) fn restore_netns() -> Result<(), Failure> {
    let mark = Path::new(ROOT).join(NETNS_IS_OURS);
    if !mark.exists() {
        return Ok(());
    }
    let empty = std::fs::read_dir(NETNS).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        while is_mount(Path::new(NETNS)) {
            // Busy when somebody else has just made a namespace.
            if rustix::mount::unmount(NETNS, rustix::mount::UnmountFlags::empty()).is_err() {
                break;
            }
        }
        let _ = rustix::fs::rmdir(NETNS);
    }
    file::remove(&mark).map(|_| ())
}

/// Whether something is mounted just there.
fn is_mount(path: &Path) -> bool {
    let flags = rustix::fs::AtFlags::empty();
    let found = rustix::fs::statx(rustix::fs::CWD, path, flags, rustix::fs::StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
}

/// Where something is mounted here (`proc_pid_mountinfo(5)`).
pub(crate) fn mounts() -> Result<Vec<PathBuf>, Failure> {
    let bytes = file::read(Path::new("/proc/self/mountinfo"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect())
}

/// The namespaces of a lab: the system's names.
pub(crate) fn spaces(lab: &LabName) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(NETNS) else { return BTreeSet::new() };
    let beginning = lab.space("");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&beginning))
        .collect()
}

/// Every process by its number.
fn processes() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The inode of a namespace's file.
fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Processes in those namespaces, and those that carry the lab's mark.
fn living(spaces: &BTreeSet<String>, mark: Option<&LabName>) -> Vec<u32> {
    let own: BTreeMap<(u64, u64), &String> =
        spaces.iter().filter_map(|space| Some((inode(&Path::new(NETNS).join(space))?, space))).collect();
    let here = inode(Path::new("/proc/self/ns/net"));
    let wanted = mark.map(|lab| format!("{MARK}={}", lab.mark()).into_bytes());
    let me = std::process::id();
    processes()
        .into_iter()
        .filter(|pid| *pid != me)
        .filter(|pid| {
            let folder = Path::new("/proc").join(pid.to_string());
            let net = inode(&folder.join("ns/net"));
            // A namespace whose file was made and not mounted yet is this machine's own.
            let inside = net.is_some() && net != here && net.is_some_and(|net| own.contains_key(&net));
            let marked = || {
                let environ = std::fs::read(folder.join("environ")).unwrap_or_default();
                wanted
                    .as_ref()
                    .is_some_and(|wanted| environ.split(|byte| *byte == 0).any(|one| one == wanted))
            };
            inside || marked()
        })
        .collect()
}

/// Kills a process without a word.
fn kill(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    if let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
    }
}

/// Ends every process in those namespaces (and, with `mark`, all of the lab), and removes them. What begins meanwhile, of
/// an `up` that was killed a moment ago, is found in the next round.
pub(crate) fn clear(lab: &LabName, all: bool) -> Result<(), Failure> {
    for _ in 0..200 {
        let spaces = spaces(lab);
        if !clear_once(lab, &spaces, all)? && self::spaces(lab).is_empty() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Failure::world(format!("lab `{lab}` does not go away"))
        .hint("look at its processes with `ip netns pids`, and try again"))
}

/// Removes these namespaces and the processes in them; says whether there were any.
pub(crate) fn clear_once(lab: &LabName, spaces: &BTreeSet<String>, all: bool) -> Result<bool, Failure> {
    let living = self::living(spaces, all.then_some(lab));
    for pid in &living {
        kill(*pid);
    }
    for _ in 0..250 {
        if living.iter().all(|pid| crate::machine::started(*pid).is_none()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    let lines: Vec<String> = spaces.iter().map(|space| format!("netns del {space}")).collect();
    if !lines.is_empty() {
        let mut command = Command::new("ip");
        // What is gone already is no fault.
        command.args(["-force", "-batch", "-"]);
        let text = lines.join("\n") + "\n";
        crate::machine::ended(&mut command, text.as_bytes())?;
    }
    Ok(!living.is_empty() || !spaces.is_empty())
}
