//! The first process of a machine: gives it files, devices and a name of its own, then buries its dead.
//!
//! It runs in new namespaces of processes, mounts, names and IPC, and in the machine's network namespace. All mounts are
//! in its own namespace, so they are gone with its last process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kmh_cli::{Env, Failure, file};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::WaitOptions;

use crate::args::Init;

/// Folders that a machine has for itself, empty: where daemons keep what is of one machine, where people keep what is
/// theirs, and configuration that the bundle brings whole.
const EMPTY: [(&str, &str); 13] = [
    ("run", "mode=0755"),
    ("tmp", "mode=1777"),
    ("var/tmp", "mode=1777"),
    ("root", "mode=0700"),
    ("home", "mode=0755"),
    ("etc/frr", "mode=0755"),
    ("etc/bird", "mode=0755"),
    ("etc/nftables.d", "mode=0755"),
    ("etc/swanctl/conf.d", "mode=0755"),
    ("etc/swanctl/private", "mode=0700"),
    ("etc/swanctl/x509", "mode=0755"),
    ("etc/swanctl/x509ca", "mode=0755"),
    ("var/lib/kubelet", "mode=0700"),
];

/// Devices, where this machine has them; no disk among them.
const DEVICES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "net/tun"];

/// In a machine: the program itself, sshd's files, numbers of processes.
pub(crate) const OWN: &str = "run/kmh-lab";

fn failed(what: &str, at: &Path) -> impl FnOnce(Errno) -> Failure {
    let message = format!("cannot {what} `{}`", at.display());
    move |error| Failure::world(message).because(error)
}

fn mount(source: &str, at: &Path, kind: &str, flags: MountFlags, data: &str) -> Result<(), Failure> {
    let data = std::ffi::CString::new(data).unwrap_or_default();
    rustix::mount::mount(source, at, kind, flags, data.as_c_str()).map_err(failed("mount", at))
}

fn bind(from: &Path, at: &Path) -> Result<(), Failure> {
    rustix::mount::mount_bind(from, at).map_err(failed("mount", at))
}

/// Becomes the machine, says so on standard output, and stays.
pub(crate) fn run(init: &Init, env: &mut Env) -> Result<(), Failure> {
    let everything = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", everything).map_err(failed("keep to itself", Path::new("/")))?;
    rustix::system::sethostname(init.name.as_bytes()).map_err(failed("name", Path::new(&init.name)))?;
    let folder = init.state.join("machines").join(&init.name);
    if init.shared {
        mount("proc", Path::new("/proc"), "proc", MountFlags::empty(), "")?;
        mount("sysfs", Path::new("/sys"), "sysfs", MountFlags::RDONLY, "")?;
        bind(&folder.join("resolv.conf"), Path::new("/etc/resolv.conf"))?;
        laptop(&init.state.join(&init.name))?;
    } else {
        own_root(init, &folder)?;
    }
    let _ = env.stdout.write_all(b"ready\n");
    let _ = env.stdout.flush();
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            // No child now; others become its children when their parents end.
            Err(_) => std::thread::sleep(Duration::from_millis(300)),
        }
    }
}

/// Over this machine's own names, and root's keys; what it does not have needs no cover.
fn laptop(home: &Path) -> Result<(), Failure> {
    for (own, at) in [
        ("hosts", "/etc/hosts"),
        ("nsswitch.conf", "/etc/nsswitch.conf"),
        ("ssh_config", "/etc/ssh/ssh_config"),
        (".ssh", "/root/.ssh"),
    ] {
        if Path::new(at).exists() {
            bind(&home.join(own), Path::new(at))?;
        }
    }
    Ok(())
}

/// A copy-on-write `/`, and the folders that no machine shares.
fn own_root(init: &Init, folder: &Path) -> Result<(), Failure> {
    let tool = std::env::current_exe()
        .map_err(|error| Failure::world("cannot find the program itself").because(file::plain(&error)))?;
    let layers = folder.join("layers");
    mount("tmpfs", &layers, "tmpfs", MountFlags::empty(), "mode=0700")?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| layers.join(name));
    for dir in [&upper, &work, &root] {
        file::make_dir(dir, 0o755)?;
    }
    let data = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    mount("overlay", &root, "overlay", MountFlags::empty(), &data)?;
    for (name, mode) in EMPTY {
        let at = root.join(name);
        file::make_dir(&at, 0o755)?;
        mount("tmpfs", &at, "tmpfs", MountFlags::empty(), mode)?;
    }
    for hidden in &init.hide {
        let at = inside(&root, hidden);
        if at.is_dir() {
            mount("tmpfs", &at, "tmpfs", MountFlags::RDONLY, "mode=0700")?;
        }
    }
    mount("proc", &root.join("proc"), "proc", MountFlags::empty(), "")?;
    mount("sysfs", &root.join("sys"), "sysfs", MountFlags::RDONLY, "")?;
    devices(&root.join("dev"))?;
    let own = root.join(OWN);
    file::make_dir(&own, 0o755)?;
    let keys = own.join("ssh");
    file::make_dir(&keys, 0o755)?;
    bind(&init.state.join("sshd"), &keys)?;
    let at = own.join("kmh-lab");
    file::create(&at, b"", 0o755)?;
    bind(&tool, &at)?;
    let log = root.join("var/log/kmh-lab");
    file::make_dir(&log, 0o755)?;
    bind(&folder.join("log"), &log)?;
    rustix::process::chdir(&root).map_err(failed("enter", &root))?;
    // Both are the same folder: the old root then lies over the new one, and is taken away (pivot_root(2)).
    rustix::process::pivot_root(".", ".").map_err(failed("turn to", &root))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(failed("leave", Path::new("/")))?;
    rustix::process::chdir("/").map_err(failed("enter", Path::new("/")))
}

/// Where a path of this machine lies below another root.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A `/dev` with what every program expects, and no disk.
fn devices(dev: &Path) -> Result<(), Failure> {
    mount("tmpfs", dev, "tmpfs", MountFlags::empty(), "mode=0755")?;
    for name in DEVICES {
        let from = Path::new("/dev").join(name);
        if !from.exists() {
            continue;
        }
        let at = dev.join(name);
        if let Some(above) = at.parent() {
            file::make_dir(above, 0o755)?;
        }
        file::create(&at, b"", 0o666)?;
        bind(&from, &at)?;
    }
    for (name, kind, data) in
        [("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"), ("shm", "tmpfs", "mode=1777")]
    {
        let at = dev.join(name);
        file::make_dir(&at, 0o755)?;
        mount(kind, &at, kind, MountFlags::empty(), data)?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    for (name, to) in links {
        let at = dev.join(name);
        rustix::fs::symlink(to, &at).map_err(failed("make", &at))?;
    }
    Ok(())
}
