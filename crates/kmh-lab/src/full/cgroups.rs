//! A control group for each complete machine: systemd keeps its services in groups of its own, and two machines in one
//! group would take each other's.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kmh_cli::{Failure, file};

use crate::machine::output;
use crate::state::LabName;

/// The folder of all labs in each hierarchy.
const FOLDER: &str = "kmh-lab";

/// Where the hierarchies are that systemd uses: the unified one, and the named one beside version 1's controllers; out
/// of the text of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    let of = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let mut source = source.split(' ');
        let ours = match source.next()? {
            "cgroup2" => true,
            "cgroup" => source.nth(1)?.split(',').any(|option| option == "name=systemd"),
            _ => false,
        };
        ours.then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    };
    mountinfo.lines().filter_map(of).collect()
}

/// The groups of one machine, in each hierarchy.
pub(super) fn of_machine(lab: &LabName, name: &str) -> Result<Vec<PathBuf>, Failure> {
    let text = file::read("/proc/self/mountinfo".as_ref())?;
    let found = hierarchies(&String::from_utf8_lossy(&text));
    if found.is_empty() {
        return Err(Failure::world("no control groups are mounted, and systemd needs them")
            .hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup"));
    }
    Ok(found.into_iter().map(|root| root.join(FOLDER).join(lab.space(name))).collect())
}

/// Removes the groups of a lab, whose processes are gone, or on their way.
pub(super) fn remove(lab: &LabName) -> Result<(), Failure> {
    let text = file::read("/proc/self/mountinfo".as_ref())?;
    for root in hierarchies(&String::from_utf8_lossy(&text)) {
        let folder = root.join(FOLDER);
        if !folder.is_dir() {
            continue;
        }
        let path = format!("{}/{}.*", folder.display(), lab);
        let mut tried = 0;
        loop {
            let mut find = Command::new("find");
            find.arg(&folder).args(["-depth", "-type", "d", "-path", &path, "-delete"]);
            match output(find, b"") {
                Err(_) if tried < 50 => tried += 1,
                other => break other.map(drop)?,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // It stays as long as another lab uses it.
        let _ = rustix::fs::rmdir(&folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_in_every_layout() {
        let hybrid = "\
            31 28 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            37 28 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:1 - cgroup cgroup rw,xattr,name=systemd\n\
            38 28 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let both = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        assert_eq!(hierarchies(hybrid), both);
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(hierarchies(unified), [PathBuf::from("/sys/fs/cgroup")]);
        assert!(hierarchies("22 1 254:0 / / rw - ext4 /dev/vda rw\n").is_empty());
    }
}
