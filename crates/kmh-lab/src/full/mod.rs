//! Complete machines: a Debian of its own, booted with systemd in the machine's network namespace.
//!
//! A root is made once ([`root`]), kept in a cache, and lies below every copy; what a machine writes goes into the lab's
//! folder. Its processes are in control groups of its own (`cgroups`), its mounts in a namespace of its own ([`boot`]), so
//! that nothing of it is left when its first process ends. Roots of another architecture run by emulation ([`binfmt`]).

pub mod archive;
pub mod binfmt;
pub mod boot;
mod cgroups;
mod crew;
mod native;
pub mod root;

use std::collections::BTreeSet;
use std::path::Path;

use kmh_cli::Failure;
use kmh_doc::bundle::{Artifact, Unit};
use kmh_doc::inventory::{Arch, Become, Ssh};
use zeroize::Zeroizing;

use crate::args::Carrier;
use crate::machine::PATH;
use crate::services::{BIRD_OF_NODE, CLUSTER, RULES};
use crate::state::LabName;
use archive::File;
use boot::{Booted, Order};
pub(crate) use crew::{act, complete, machine, send};
pub use root::{Cache, Recipe, Use};

/// What a complete machine is to be.
pub struct Wish<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub of: Use,
    /// Its architecture; this machine's when the bundle does not say.
    pub arch: Option<Arch>,
    /// How the admin logs in.
    pub ssh: &'a Ssh,
    /// The private key of its sshd, and the public one as a line.
    pub host_key: (&'a [u8], &'a str),
    /// The admin's public key, as a line.
    pub admin: &'a str,
    /// Its resolver's settings.
    pub resolv: &'a str,
    /// Its files of the bundle.
    pub files: Vec<File>,
    /// Its units of the bundle.
    pub units: &'a [Unit],
    /// Programs of the bundle.
    pub artifacts: &'a [Artifact],
    /// How tunnels are carried.
    pub tunnels: Carrier,
}

/// Programs of this machine that complete machines need, and the Debian packages that have them; [`binfmt`] looks for
/// emulators.
pub const NEEDS: [(&str, &str); 2] =
    [("debootstrap", "debootstrap"), ("systemd-nspawn", "systemd-container")];

/// Refuses when one is missing, all at once.
fn need() -> Result<(), Failure> {
    let there = |program: &str| PATH.split(':').any(|folder| Path::new(folder).join(program).exists());
    let missing: Vec<&str> =
        NEEDS.iter().filter(|(program, _)| !there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::world("complete machines need programs that are not here")
        .hint(format!("apt-get install --no-install-recommends {}", missing.join(" "))))
}

/// Which of a lab's machines are complete, of those that `--full` names; `all` is every one.
pub fn chosen<'a>(named: &[String], machines: &BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>, Failure> {
    if named.iter().any(|name| name == "all") {
        return Ok(machines.clone());
    }
    let mut found = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in named {
        match machines.get(name.as_str()) {
            Some(machine) => drop(found.insert(*machine)),
            None => unknown.push(
                Failure::wrong(format!("--full: no router or node `{}`", kmh_cli::text::printable(name)))
                    .hint(format!("there are {}", machines.iter().copied().collect::<Vec<_>>().join(", "))),
            ),
        }
    }
    Failure::all(unknown).map_or(Ok(found), Err)
}

/// Boots a machine whose network namespace is there.
pub fn start(
    lab: &LabName,
    cache: &Cache,
    wish: Wish<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Booted, Failure> {
    let Some(arch) = wish.arch.or_else(binfmt::native) else {
        return Err(Failure::world(format!("`{}` has no architecture that kmh knows", wish.name)));
    };
    need()?;
    binfmt::provide(arch, say)?;
    let recipe = Recipe::new(&root::own_release()?, arch, wish.of);
    let root = cache.root(&recipe, lab, say)?;
    let user = wish.ssh.user.as_ref().map_or("root", AsRef::as_ref).to_owned();
    let units = wish.units.iter().filter(|unit| unit.enable).map(|unit| unit.name.as_str()).collect();
    let name = wish.name;
    let stand_ins = stand_ins(wish.artifacts, &root);
    if !stand_ins.is_empty() {
        let names: Vec<&str> = stand_ins.iter().filter_map(|file| file.path.rsplit('/').next()).collect();
        say(&format!("{name}: {} only stand in: they run and do nothing", names.join(", ")));
    }
    let natives = if binfmt::emulated(arch) { native::files(lab)? } else { vec![] };
    let own = own_files(&wish, &user).into_iter().chain(own_units(binfmt::emulated(arch)));
    let files: Vec<File> = own.chain(natives).chain(stand_ins).chain(wish.files).collect();
    let booted = boot::boot(&Order { lab, name, root: &root, user: &user, files: &files, units })?;
    for line in &booted.said {
        say(&format!("{name}: {line}"));
    }
    if !booted.failed.is_empty() {
        say(&format!("{name}: these units failed: {}", booted.failed.join(", ")));
    }
    Ok(booted)
}

/// Takes away what complete machines of a lab leave outside of it, when their processes are gone and its folder too.
pub fn remove(lab: &LabName) -> Result<(), Failure> {
    cgroups::remove(lab)?;
    binfmt::give_back()
}

/// What a machine has that is not of the bundle: keys, names, the way to root, and what the lab carries in its place.
fn own_files(wish: &Wish<'_>, user: &str) -> Vec<File> {
    let key = "/etc/ssh/ssh_host_ed25519_key";
    let home = if user == "root" { "/root".to_owned() } else { format!("/home/{user}") };
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {}\n", wish.name);
    let mut files = vec![
        File { bytes: Zeroizing::new(wish.host_key.0.to_vec()), ..File::plain(key, 0o600, "") },
        File::plain(&format!("{key}.pub"), 0o644, wish.host_key.1),
        File::plain("/etc/hostname", 0o644, &format!("{}\n", wish.name)),
        File::plain("/etc/hosts", 0o644, &hosts),
        File::plain("/etc/resolv.conf", 0o644, wish.resolv),
        // One key, and nobody waits for a resolver that knows no addresses of the lab's.
        File::plain(
            "/etc/ssh/sshd_config.d/kmh-lab.conf",
            0o644,
            &format!("HostKey {key}\nUseDNS no\nPasswordAuthentication no\nMaxStartups 100\n"),
        ),
        // sshd would rather have the folder 0700; it asks that nobody else can write in it (sshd(8), authorized_keys).
        File {
            owner: format!("{user}:{user}"),
            ..File::plain(&format!("{home}/.ssh/authorized_keys"), 0o600, wish.admin)
        },
    ];
    if wish.ssh.r#become == Some(Become::Sudo) {
        files.push(File::plain(
            "/etc/sudoers.d/kmh-lab",
            0o440,
            &format!("{user} ALL=(ALL) NOPASSWD: ALL\n"),
        ));
    }
    if wish.of == Use::Node {
        // It would wait for an API server, and fail.
        let text = "[Service]\nExecStart=\nExecStart=/bin/true\n";
        files.push(File::plain(&format!("/etc/systemd/system/{CLUSTER}.d/kmh-lab.conf"), 0o644, text));
    }
    if wish.tunnels == Carrier::Plain {
        // The lab has made the interfaces already, of a kind that this kernel has.
        let text = "[Service]\nExecStart=\nExecStart=/bin/true\nExecReload=\nExecReload=/bin/true\n";
        files.push(File::plain("/etc/systemd/system/kmh-tunnels.service.d/kmh-lab.conf", 0o644, text));
    }
    files
}

/// Units for what the lab adds to a machine's daemons.
fn own_units(emulated: bool) -> Vec<File> {
    let sbin = if emulated { native::SBIN } else { "/usr/sbin" };
    let bird = format!(
        "[Unit]\nDescription=BIRD in place of calico-node's\nAfter=network.target\n\n[Service]\nRuntimeDirectory=bird\n\
         ExecStart={sbin}/bird -f -c /etc/bird/bird.conf -s /run/bird/bird.ctl\n\
         ExecReload=/usr/sbin/birdc -s /run/bird/bird.ctl configure\n\n[Install]\nWantedBy=multi-user.target\n"
    );
    let rules = format!(
        "[Unit]\nDescription=packet rules of the lab\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart={sbin}/nft -f {RULES}\nExecReload={sbin}/nft -f {RULES}\n\n[Install]\nWantedBy=multi-user.target\n"
    );
    vec![
        File::plain(&format!("/etc/systemd/system/{BIRD_OF_NODE}"), 0o644, &bird),
        File::plain("/etc/systemd/system/kmh-lab-rules.service", 0o644, &rules),
    ]
}

/// Programs that are neither in a root nor among Debian's packages, such as the kubelet: something that starts, says that
/// it is ready to those who wait for it (`systemd-notify(1)`), and runs.
fn stand_ins(artifacts: &[Artifact], root: &Path) -> Vec<File> {
    let script = "#!/bin/sh\n# Stands in for a program that this machine does not have.\n\
                  systemd-notify --ready 2>/dev/null\nexec sleep infinity\n";
    artifacts
        .iter()
        .filter(|artifact| artifact.path.contains("/bin/") || artifact.path.contains("/sbin/"))
        .filter(|artifact| !root.join(artifact.path.trim_start_matches('/')).exists())
        .map(|artifact| File::plain(&artifact.path, 0o755, script))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_takes_names_or_all() {
        let machines = BTreeSet::from(["fw-flat", "pi-1"]);
        let of = |named: &[&str]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            chosen(&named, &machines)
        };
        assert_eq!(of(&[]).unwrap(), BTreeSet::new());
        assert_eq!(of(&["pi-1"]).unwrap(), BTreeSet::from(["pi-1"]));
        assert_eq!(of(&["all"]).unwrap(), machines);
        let refused = of(&["pi-2", "pi-1", "x"]).unwrap_err();
        assert_eq!(refused.notes.len(), 2);
        assert!(refused.summary().contains("no router or node `pi-2`"), "{}", refused.summary());
    }

    #[test]
    fn what_debian_has_needs_no_stand_in() {
        let artifact = |path: &str| Artifact {
            name: "x".into(),
            version: "1".into(),
            arch: Arch::Amd64,
            url: String::new(),
            path: path.into(),
        };
        let root = tempfile::tempdir().unwrap();
        kmh_cli::file::make_dir(&root.path().join("usr/local/bin"), 0o755).unwrap();
        kmh_cli::file::create(&root.path().join("usr/local/bin/etcd"), b"", 0o755).unwrap();
        let all = ["/usr/local/bin/etcd", "/usr/local/sbin/runc", "/etc/kubernetes/crds.yaml"].map(artifact);
        let made: Vec<String> = stand_ins(&all, root.path()).into_iter().map(|file| file.path).collect();
        assert_eq!(made, ["/usr/local/sbin/runc"]);
    }
}
