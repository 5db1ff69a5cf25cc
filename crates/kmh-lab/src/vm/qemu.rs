//! The guest itself: qemu's arguments, its start and its end.
#![allow(clippy::disallowed_methods, reason = "whoever waits for another machine waits by the clock")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kmh_cli::{Failure, file};
use rustix::process::{Pid, Signal, kill_process};

use super::agent;
use super::client::{self, PORTS, Streams};
use super::guest::{LIVE_TAG, ROOT_TAG};
use super::image::{self, INIT};
use super::kernel::Kernel;
use super::wire::Request;

/// What runs the guest.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// A guest that has not answered by then does not boot.
const PATIENCE: Duration = Duration::from_secs(180);
/// Lines of the guest's console that a failure shows.
const TAIL: usize = 12;

/// How the guest's processor is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The machine's own.
    Kvm,
    /// Software.
    Software,
}

impl Accel {
    /// The machine's own where it can carry a guest, else software.
    ///
    /// `/dev/kvm` alone does not tell: a machine that is a guest itself may have it, without the instructions that a stock
    /// kernel needs, and then the guest stands still without a word.
    pub fn here() -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let device = std::fs::File::options().read(true).write(true).open("/dev/kvm");
        if device.is_ok() && virtualizes(&cpus) { Self::Kvm } else { Self::Software }
    }
}

/// Whether processors can run a guest: the flags of `/proc/cpuinfo` for Intel's instructions and AMD's.
fn virtualizes(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")
}

/// A guest's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Processors.
    pub cpus: usize,
    /// Memory in MiB: the lab's files live in it.
    pub memory: u32,
}

/// qemu's arguments. No network card: the only way between guest and machine are the files that it reads and the serial
/// ports of its commands, so that a lab's packet has nowhere to go.
pub fn arguments(folder: &Path, kernel: &Kernel, accel: Accel, size: Size) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    let accel = match accel {
        Accel::Kvm => ["-accel", "kvm"],
        Accel::Software => ["-accel", "tcg"],
    };
    let mut out: Vec<String> =
        ["-nodefaults", "-no-user-config", "-no-reboot", "-daemonize", "-display", "none"]
            .iter()
            .chain(&["-nic", "none", "-machine", "q35", "-cpu", "max"])
            .chain(&accel)
            .map(|word| (*word).to_owned())
            .collect();
    let mut add = |option: &str, value: String| out.extend([option.to_owned(), value]);
    add("-smp", size.cpus.to_string());
    add("-m", format!("{}M", size.memory));
    add("-pidfile", at("pid"));
    add("-kernel", kernel.image.display().to_string());
    add("-initrd", at("initramfs"));
    // A panic ends the guest at once (`-no-reboot`) instead of leaving it there.
    add(
        "-append",
        format!("rdinit={INIT} console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off -- vm-init"),
    );
    add("-chardev", format!("file,id=console,path={}", at("console")));
    add("-serial", "chardev:console".to_owned());
    add("-device", format!("virtio-serial-pci,max_ports={}", PORTS + 1));
    for port in 0..PORTS {
        let socket = client::socket(folder, port);
        add("-chardev", format!("socket,id=port{port},path={},server=on,wait=off", socket.display()));
        add("-device", format!("virtserialport,chardev=port{port},name={}{port}", agent::PORTS));
    }
    // Other file systems below the root have inodes of their own: they are told apart.
    for (id, tag) in [("root", ROOT_TAG), ("live", LIVE_TAG)] {
        add("-fsdev", format!("local,id={id},path=/,security_model=none,readonly=on,multidevs=remap"));
        add("-device", format!("virtio-9p-pci,fsdev={id},mount_tag={tag}"));
    }
    add("-device", "virtio-rng-pci".to_owned());
    out
}

/// A guest to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its name.
    pub hostname: String,
    /// kmh-lab, as this machine finds it.
    pub program: PathBuf,
    /// Its kernel.
    pub kernel: Kernel,
    /// How its processor is made.
    pub accel: Accel,
    /// How large it is.
    pub size: Size,
}

/// Boots a guest whose state lies in `folder`, and waits until it takes commands.
pub fn boot(folder: &Path, guest: &Guest) -> Result<Duration, Failure> {
    let start = Instant::now();
    file::make_dir(folder, 0o700)?;
    file::write(
        &folder.join("initramfs"),
        &image::build(&guest.program, &guest.kernel, &guest.hostname)?,
        0o600,
    )?;
    for port in 0..PORTS {
        file::write(&folder.join(format!("port{port}.lock")), b"", 0o600)?;
    }
    let mut qemu = Command::new(PROGRAM);
    qemu.args(arguments(folder, &guest.kernel, guest.accel, guest.size)).stdin(Stdio::null());
    let ran = qemu.output().map_err(|error| {
        Failure::world(format!("cannot run {PROGRAM}"))
            .because(file::plain(&error))
            .hint("apt-get install --no-install-recommends qemu-system-x86")
    })?;
    if !ran.status.success() {
        return Err(
            Failure::world("qemu does not start a guest").because(String::from_utf8_lossy(&ran.stderr))
        );
    }
    let request = Request { argv: vec!["/bin/true".to_owned()], cwd: "/".to_owned() };
    let (mut output, mut error) = (Vec::new(), Vec::new());
    let streams = Streams { input: None, output: &mut output, error: &mut error };
    let alive = || match () {
        () if pid(folder).is_none() => Err(ended(folder, "the guest ended before it took a command")),
        () if start.elapsed() > PATIENCE => {
            Err(ended(folder, &format!("the guest takes no command after {} seconds", PATIENCE.as_secs())))
        }
        () => Ok(()),
    };
    client::run(folder, &request, streams, &alive)?;
    // It is as large as the program, and in memory.
    file::remove(&folder.join("initramfs"))?;
    Ok(start.elapsed())
}

/// Runs a command in the guest.
pub fn run(folder: &Path, request: &Request, streams: Streams<'_>) -> Result<u8, Failure> {
    client::run(folder, request, streams, &|| match pid(folder) {
        Some(_) => Ok(()),
        None => Err(ended(folder, "the guest has ended")),
    })
}

/// Ends the guest, if there is one.
pub fn kill(folder: &Path) -> Result<bool, Failure> {
    let Some(guest) = pid(folder) else { return Ok(false) };
    let failed =
        |error: rustix::io::Errno| Failure::world("cannot end the guest").because(file::plain(&error.into()));
    match kill_process(guest, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(failed(error)),
    }
    let start = Instant::now();
    while pid(folder).is_some() {
        if start.elapsed() > Duration::from_secs(10) {
            return Err(Failure::world("the guest does not end"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// Takes away the folder of a guest that has ended.
pub fn forget(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::world(format!("cannot remove {}", folder.display())).because(file::plain(&error)))
        }
        _ => Ok(()),
    }
}

/// The process of the guest; none when it has ended, also when another process has its number by now.
pub fn pid(folder: &Path) -> Option<Pid> {
    let text = file::read_if_there(&folder.join("pid")).ok()??;
    let number: i32 = String::from_utf8_lossy(&text).trim().parse().ok()?;
    // Empty for a process that has ended and is not yet buried.
    let command = std::fs::read(PathBuf::from(format!("/proc/{number}/cmdline"))).ok()?;
    let own = folder.join("pid").display().to_string();
    let ours = command.split(|octet| *octet == 0).any(|word| word == own.as_bytes());
    ours.then(|| Pid::from_raw(number)).flatten()
}

/// A failure with the last words of the guest.
fn ended(folder: &Path, message: &str) -> Failure {
    let console = file::read_if_there(&folder.join("console")).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&console).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    let failure = Failure::world(message);
    if tail.is_empty() { failure } else { failure.because(tail.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(accel: Accel) -> String {
        let kernel = Kernel {
            release: "6.1".into(),
            image: "/boot/vmlinuz-6.1".into(),
            modules: "/lib/modules/6.1".into(),
        };
        arguments(Path::new("/run/kmh-lab/x/vm"), &kernel, accel, Size { cpus: 2, memory: 1024 }).join(" ")
    }

    #[test]
    fn a_guest_has_no_network_and_cannot_write_its_root() {
        let words = words(Accel::Software);
        assert!(words.contains("-nic none") && !words.contains("-netdev"), "{words}");
        assert!(words.matches("path=/,security_model=none,readonly=on").count() == 2, "{words}");
        assert!(words.contains("-accel tcg") && !words.contains("kvm"), "{words}");
        assert!(self::words(Accel::Kvm).contains("-accel kvm"));
    }

    #[test]
    fn a_device_without_its_instructions_is_not_used() {
        assert!(virtualizes("model name\t: x\nflags\t\t: fpu vmx ssse3\n"));
        assert!(virtualizes("flags\t\t: fpu svm\n"));
        assert!(!virtualizes("vmx\nflags\t\t: fpu hypervisor svmx\n"));
        assert!(!virtualizes(""));
    }

    #[test]
    fn a_process_that_has_only_the_number_is_no_guest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pid"), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(pid(folder.path()), None);
        assert_eq!(kill(folder.path()), Ok(false));
    }
}
