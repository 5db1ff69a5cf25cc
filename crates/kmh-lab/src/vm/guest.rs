//! The guest's first process: from the initramfs to the running root file system, copy-on-write; then it reaps.

use std::ffi::CStr;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Command;

use kmh_cli::{Failure, file};
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use rustix::process::{WaitOptions, chdir, chroot, wait};
use rustix::system::{RebootCommand, finit_module, reboot, sethostname};

use super::image::{ORDERS, Orders};

/// The tag of the root file system among the guest's devices.
pub const ROOT_TAG: &str = "kmhroot";
/// The tag of the same as it is now, for what changes while the guest runs: documents, a store.
pub const LIVE_TAG: &str = "kmhlive";
/// Where that is.
pub const LIVE: &str = "/run/machine";
/// The hidden verb of the process that takes commands.
pub const AGENT: &str = "vm-agent";
/// The search path of the guest's processes.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `MODULE_INIT_COMPRESSED_FILE` of `finit_module(2)`.
const COMPRESSED: i32 = 4;

/// How the 9p root is mounted: by the protocol of Linux, and with what was read kept, because nothing that a lab uses
/// changes below it.
const NINE: &CStr = c"trans=virtio,version=9p2000.L,msize=524288,cache=loose";
/// The same with nothing kept.
const NINE_LIVE: &CStr = c"trans=virtio,version=9p2000.L,msize=524288,cache=none";

/// Mounts of the new root: kind, where, flags, options.
const MOUNTS: [(&str, &str, MountFlags, Option<&CStr>); 8] = [
    ("proc", "proc", MountFlags::NOSUID, None),
    ("sysfs", "sys", MountFlags::NOSUID, None),
    ("cgroup2", "sys/fs/cgroup", MountFlags::NOSUID, None),
    ("devtmpfs", "dev", MountFlags::NOSUID, None),
    ("devpts", "dev/pts", MountFlags::NOSUID, Some(c"mode=620,gid=5,ptmxmode=666")),
    ("tmpfs", "dev/shm", MountFlags::NOSUID, Some(c"mode=1777")),
    ("tmpfs", "run", MountFlags::NOSUID, Some(c"mode=755")),
    ("tmpfs", "run/lock", MountFlags::NOSUID, Some(c"mode=1777")),
];

/// Whether this is a guest.
pub fn inside() -> bool {
    Path::new(LIVE).is_dir()
}

/// What the first process does. Why it cannot go on stands on the guest's console; then the guest ends.
pub fn init() -> Failure {
    let failure = match begin() {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let _ = io::Write::write_all(&mut io::stderr(), failure.render(crate::TOOL, false).as_bytes());
    // Without qemu's `-no-reboot` it would begin anew.
    let _ = reboot(RebootCommand::Restart);
    failure
}

fn begin() -> Result<std::convert::Infallible, Failure> {
    let text = file::read(Path::new(ORDERS))?;
    let orders: Orders = serde_json::from_slice(&text)
        .map_err(|error| Failure::world("the guest's orders cannot be read").because(error))?;
    for module in &orders.load {
        step(module, load(module))?;
    }
    step("the root file system", mount(ROOT_TAG, "/host", "9p", MountFlags::RDONLY, NINE))?;
    step("a file system in memory", mount("tmpfs", "/cow", "tmpfs", MountFlags::empty(), c"mode=755"))?;
    for folder in ["/cow/upper", "/cow/work"] {
        make(folder)?;
    }
    let layers = c"lowerdir=/host,upperdir=/cow/upper,workdir=/cow/work";
    step("the root, copy-on-write", mount("overlay", "/new", "overlay", MountFlags::empty(), layers))?;
    for (kind, place, flags, options) in MOUNTS {
        let place = format!("/new/{place}");
        make(&place)?;
        step(&place, mount(kind, place.as_str(), kind, flags, options))?;
    }
    let live = format!("/new{LIVE}");
    make(&live)?;
    step(&live, mount(LIVE_TAG, live.as_str(), "9p", MountFlags::RDONLY, NINE_LIVE))?;
    let modules = format!("/new/lib/modules/{}", orders.release);
    make(&modules)?;
    step(&modules, mount_bind(format!("/new{}", orders.modules).as_str(), modules.as_str()))?;
    step("chdir", chdir("/new"))?;
    step("the new root", mount_move(".", "/"))?;
    step("chroot", chroot("."))?;
    step("chdir", chdir("/"))?;
    step("the guest's name", sethostname(orders.hostname.as_bytes()))?;
    let mut agent = Command::new(&orders.program);
    agent.arg(AGENT).env_clear().env("PATH", PATH).env("HOME", "/root").env("LC_ALL", "C.UTF-8");
    let agent = agent.spawn().map_err(|error| {
        Failure::world(format!("cannot start {}", orders.program)).because(file::plain(&error))
    })?;
    let agent = i32::try_from(agent.id()).unwrap_or_default();
    // Whoever loses its parent becomes ours.
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == agent => {
                return Err(Failure::world(format!("the guest's agent ended: {status:?}")));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::world("wait").because(error)),
        }
    }
}

fn load(path: &str) -> rustix::io::Result<()> {
    let module = std::fs::File::open(path)
        .map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))?;
    let plain = Path::new(path).extension().is_some_and(|extension| extension == "ko");
    let flags = if plain { 0 } else { COMPRESSED };
    match finit_module(module, c"", flags) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn make(path: &str) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| Failure::world(format!("cannot make {path}")).because(file::plain(&error)))
}

fn step<T>(what: &str, done: rustix::io::Result<T>) -> Result<T, Failure> {
    done.map_err(|error| {
        Failure::world(format!("the guest cannot have {what}")).because(file::plain(&io::Error::from(error)))
    })
}
