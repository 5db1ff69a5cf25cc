//! The roots of complete machines: made once, kept in a cache, and below every copy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kmh_cli::{Failure, file};
use kmh_doc::inventory::Arch;
use kmh_store::content::hex;
use rustix::fs::{FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use sha2::{Digest as _, Sha256};

use crate::machine::{clean, ended, shown};
use crate::state::LabName;

/// Where roots are kept when nothing else is said.
pub const CACHE: &str = "/var/cache/kmh-lab";

/// What makes one.
const SCRIPT: &str = include_str!("root.sh");

/// What every machine has.
const EVERY: [&str; 12] = [
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    // Names of protocols, which nft looks up.
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tcpdump",
];
/// And a router.
const ROUTER: [&str; 6] = [
    "bird2",
    "charon-systemd",
    "frr",
    "libstrongswan-extra-plugins",
    "libstrongswan-standard-plugins",
    "strongswan-swanctl",
];
/// And a node.
const NODE: [&str; 2] = ["bird2", "haproxy"];

/// What a complete machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A router, or the host of one.
    Router,
    /// A node.
    Node,
}

/// What a root is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The release by its code name.
    pub release: String,
    /// The architecture.
    pub arch: Arch,
    /// Packages beside those that every Debian has.
    pub packages: BTreeSet<&'static str>,
}

impl Recipe {
    /// For a machine of that kind.
    pub fn new(release: &str, arch: Arch, of: Use) -> Self {
        let more: &[&str] = match of {
            Use::Router => &ROUTER,
            Use::Node => &NODE,
        };
        let packages = EVERY.iter().chain(more).copied().collect();
        Self { release: release.to_owned(), arch, packages }
    }

    /// Its name in the cache: two roots of one name are the same.
    pub fn name(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(SCRIPT);
        hash.update(self.list());
        let sum = hex(&hash.finalize().into());
        format!("{}-{}-{}", self.release, self.arch.as_str(), &sum[..12])
    }

    fn list(&self) -> String {
        self.packages.iter().copied().collect::<Vec<_>>().join(",")
    }
}

/// The code name of the release that this machine runs, out of `/etc/os-release` (`os-release(5)`).
fn release(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let name = value.trim().trim_matches(['"', '\'']);
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(good)).then(|| name.to_owned())
}

/// The code name of the release that this machine runs.
pub fn own_release() -> Result<String, Failure> {
    let text = file::read_if_there(Path::new("/etc/os-release"))?.unwrap_or_default();
    release(&String::from_utf8_lossy(&text)).ok_or_else(|| {
        Failure::world("a complete machine is a Debian of the release that runs here, and none does")
            .because("/etc/os-release has no VERSION_CODENAME")
    })
}

/// Where packages come from.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    mirror: String,
    components: String,
}

/// What apt is asked: base address, code name, component of every list of packages.
const TARGETS: [&str; 4] =
    ["indextargets", "--format", "$(BASE_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"];

/// Finds a release among what apt uses. A base address is `MIRROR/dists/SUITE/`; a suite is named by its code name, or by
/// one such as `stable`, whose code name apt knows.
fn source(targets: &str, release: &str) -> Option<Source> {
    let mut found: Option<Source> = None;
    for line in targets.lines() {
        let mut words = line.split(' ');
        let (Some(base), Some(codename), Some(component)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Some((mirror, suite)) = base.split_once("/dists/") else { continue };
        // `bookworm-updates` and `bookworm-security` hold additions only.
        if suite.trim_end_matches('/') != release && codename != release {
            continue;
        }
        match &mut found {
            None => found = Some(Source { mirror: mirror.to_owned(), components: component.to_owned() }),
            Some(first)
                if first.mirror == mirror && !first.components.split(',').any(|one| one == component) =>
            {
                first.components.push(',');
                first.components.push_str(component);
            }
            Some(_) => {}
        }
    }
    found
}

/// Roots that are there.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// In that folder. It becomes part of an option of the overlay file system, which parts at commas and colons.
    pub fn new(folder: PathBuf) -> Result<Self, Failure> {
        if !folder.is_absolute() || folder.to_string_lossy().contains([',', ':', '\\']) {
            return Err(Failure::wrong(format!("`{}` cannot hold roots", folder.display()))
                .hint("--cache takes an absolute path without commas and colons"));
        }
        Ok(Self { folder })
    }

    /// The root of a recipe: that of the cache, or a new one, which takes a minute, emulated some more.
    pub fn root(
        &self,
        recipe: &Recipe,
        lab: &LabName,
        say: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, Failure> {
        let place = self.folder.join(recipe.name());
        if place.is_dir() {
            used(&place);
            return Ok(place);
        }
        file::make_dir(&self.folder, 0o755)?;
        let _lock = wait_for(&self.folder.join(format!(".{}.lock", recipe.name())))?;
        // Whoever held the lock may have made it.
        if place.is_dir() {
            return Ok(place);
        }
        let apt = run(&mut command("apt-get", lab, &TARGETS))?;
        let Some(source) = source(&apt, &recipe.release) else {
            return Err(Failure::world(format!("apt knows no mirror of {}", recipe.release))
                .because("no source of /etc/apt has that release")
                .hint("add one, then run apt-get update"));
        };
        say(&format!(
            "makes a root of {} for {}: once, then it is kept in {}",
            recipe.release,
            recipe.arch.as_str(),
            self.folder.display()
        ));
        // What a killed run left has neither processes nor mounts: they were in namespaces that ended with it.
        let making = self.folder.join(format!(".{}.making", recipe.name()));
        let making = making.to_string_lossy();
        let throw = ["-rf", "--one-file-system", "--", &making];
        run(&mut command("rm", lab, &throw))?;
        let emulated = if super::binfmt::emulated(recipe.arch) { "emulated" } else { "native" };
        let mut maker = command(
            "setpriv",
            lab,
            &[
                // Ends with this program, however that ends.
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child=KILL",
                "--mount-proc",
                "sh",
                "-c",
                SCRIPT,
                "root.sh",
                &making,
                &recipe.release,
                recipe.arch.as_str(),
                &source.mirror,
                &source.components,
                &recipe.list(),
                emulated,
            ],
        );
        proxies(&mut maker, lab)?;
        let ran = ended(&mut maker, b"")?;
        if !ran.status.success() {
            let log = Path::new(making.as_ref()).join("debootstrap/debootstrap.log");
            let log = file::read_if_there(&log)?.unwrap_or_default();
            let _ = run(&mut command("rm", lab, &throw));
            return Err(Failure::world(format!("no root of {} could be made", recipe.release))
                .because(if log.is_empty() { last(&[&ran.stdout, &ran.stderr]) } else { last(&[&log]) })
                .hint("kmh-lab doctor tells whether debootstrap is here; does apt-get update work?"));
        }
        let there = place.to_string_lossy();
        run(&mut command("mv", lab, &["--no-target-directory", "--", &making, &there]))?;
        used(&place);
        self.prune(&place, lab, say)?;
        Ok(place)
    }

    /// Takes away roots that no machine lies on, and none has for long.
    fn prune(&self, kept: &Path, lab: &LabName, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let roots = entries.map(|entry| entry.path()).filter(|path| path != kept && is_root(path));
        let old = roots.filter(|path| age(path).is_some_and(|age| age > OLD));
        let old: Vec<PathBuf> = old.filter(|path| !lies_below(path)).collect();
        for path in old {
            say(&format!("takes away {}, which no machine has lain on for a month", path.display()));
            let text = path.to_string_lossy();
            run(&mut command("rm", lab, &["-rf", "--one-file-system", "--", &text]))?;
        }
        Ok(())
    }
}

/// A root that nobody has used for so long goes.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whether a folder has a name such as [`Recipe::name`] gives.
fn is_root(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parts: Vec<&str> = name.rsplitn(3, '-').collect();
    let [sum, arch, release] = parts[..] else { return false };
    let known = [Arch::Amd64, Arch::Arm64].iter().any(|one| one.as_str() == arch);
    known && !release.is_empty() && !release.starts_with('.') && sum.len() == 12 && path.is_dir()
}

/// Remembers that a root is used now: by its folder's time.
fn used(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    // A cache on a file system that is read only has nothing to prune either.
    let _ = rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty());
}

fn age(path: &Path) -> Option<Duration> {
    std::fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

/// Whether it lies below a machine of any lab, whose mounts only its own processes see.
fn lies_below(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|entry| entry.path().join("mountinfo"))
        .any(|file| std::fs::read_to_string(file).is_ok_and(|mounts| mounts.contains(text.as_ref())))
}

/// Holds a lock, however long another run needs to make the same root.
fn wait_for(path: &Path) -> Result<std::os::fd::OwnedFd, Failure> {
    let failed = |error: rustix::io::Errno| {
        Failure::world(format!("cannot lock `{}`", path.display())).because(file::plain(&error.into()))
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(failed)?;
    Ok(lock)
}

fn command(program: &str, lab: &LabName, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    clean(&mut command, lab);
    command.args(args);
    command
}

fn run(command: &mut Command) -> Result<String, Failure> {
    let ran = ended(command, b"")?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    Err(Failure::world(format!("`{}` failed", shown(command))).because(last(&[&ran.stdout, &ran.stderr])))
}

/// The last lines of what a command said.
pub(super) fn last(said: &[&[u8]]) -> String {
    let text: Vec<String> = said.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let lines: Vec<&str> =
        text.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(4);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// The way out that apt takes: its own setting, or the environment's, which it reads too.
fn proxies(maker: &mut Command, lab: &LabName) -> Result<(), Failure> {
    for (name, setting) in [("http_proxy", "Acquire::http::Proxy"), ("https_proxy", "Acquire::https::Proxy")]
    {
        let set = run(&mut command("apt-config", lab, &["dump", "--format", "%v%n", setting]))?;
        match set.trim() {
            "" => drop(std::env::var_os(name).map(|value| maker.env(name, value))),
            "DIRECT" => {}
            value => drop(maker.env(name, value)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_apts_own() {
        let targets = "http://mirror.example/debian/dists/bookworm/ bookworm main\n\
             http://mirror.example/debian/dists/bookworm/ bookworm contrib\n\
             http://mirror.example/debian/dists/bookworm-updates/ bookworm-updates main\n\
             http://other.example/debian/dists/bookworm/ bookworm non-free\n\
             http://other.example/debian/dists/stable/ trixie main\n\
             http://odd.example/flat/ \n";
        let found = |release: &str| source(targets, release).map(|one| (one.mirror, one.components));
        let own = ("http://mirror.example/debian".to_owned(), "main,contrib".to_owned());
        assert_eq!(found("bookworm"), Some(own));
        let named = ("http://other.example/debian".to_owned(), "main".to_owned());
        assert_eq!(found("trixie"), Some(named));
        assert_eq!(found("noble"), None);
    }

    #[test]
    fn the_release_is_this_machines() {
        assert_eq!(release("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(release("VERSION_CODENAME=\"noble\"\n").as_deref(), Some("noble"));
        for text in ["ID=alpine\n", "VERSION_CODENAME=\n", "VERSION_CODENAME=../x\n"] {
            assert_eq!(release(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_differs_has_another_name() {
        let recipe = Recipe::new("bookworm", Arch::Amd64, Use::Router);
        let names: BTreeSet<String> = [
            recipe.clone(),
            Recipe::new("trixie", Arch::Amd64, Use::Router),
            Recipe::new("bookworm", Arch::Arm64, Use::Router),
            Recipe::new("bookworm", Arch::Amd64, Use::Node),
        ]
        .iter()
        .map(Recipe::name)
        .collect();
        assert_eq!(names.len(), 4);
        assert!(names.contains(&recipe.name()) && recipe.name().starts_with("bookworm-amd64-"));
        assert!(recipe.packages.contains("frr") && recipe.packages.contains("systemd-sysv"));
    }

    #[test]
    fn a_root_that_nobody_has_used_for_a_month_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().to_owned()).unwrap();
        let make = |name: &str| {
            let path = dir.path().join(name);
            file::make_dir(&path, 0o755).unwrap();
            path
        };
        let roots =
            ["bookworm-amd64-0123456789ab", "bookworm-arm64-0123456789ab", "trixie-amd64-000000000000"];
        let [old, young, kept] = roots.map(make);
        let other = make("somebody-elses-0123456789ab");
        let then = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        for path in [&old, &kept, &other] {
            let times = Timestamps { last_access: then, last_modification: then };
            rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
        }
        let mut said = Vec::new();
        let lab = LabName::try_from("prune".to_owned()).unwrap();
        cache.prune(&kept, &lab, &mut |line| said.push(line.to_owned())).unwrap();
        assert_eq!([&old, &young, &kept, &other].map(|path| path.exists()), [false, true, true, true]);
        assert!(said.len() == 1 && said[0].contains("bookworm-amd64-0123456789ab"), "{said:?}");
        used(&kept);
        assert!(age(&kept).is_some_and(|age| age < OLD));
    }

    #[test]
    fn a_folder_that_the_overlay_would_take_apart_is_refused() {
        for bad in ["cache", "/var/a:b", "/var/a,b"] {
            let said = Cache::new(bad.into()).err().map(|failure| failure.summary()).unwrap_or_default();
            assert!(said.contains("cannot hold roots"), "{bad}: {said}");
        }
    }
}
