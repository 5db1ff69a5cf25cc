//! sshd on every machine: one host key and one admin's key a lab, and the users that the inventory names.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kmh_cli::{Failure, file};
use kmh_doc::bundle::Segment;
use kmh_doc::inventory::{Arch, Become, Ssh};
use kmh_store::wanted::WantedFile;

use crate::init::OWN;
use crate::machine::output;
use crate::plan::{LabPlan, MachinePlan, OPERATOR};
use crate::state::{LabName, Role};
use crate::systemctl;

/// sshd's configuration; the key of the admin is the only way in.
const CONFIG: &str = "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
                      KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\nMaxStartups 100\n\
                      Subsystem sftp internal-sftp\nLogLevel VERBOSE\n";

/// The user number of people who log in and are not root; no system has it.
const UID: u32 = 54_322;

/// Makes the lab's keys when they are missing: `ssh/` is the admin's, `sshd/` what machines see.
pub(crate) fn keys(lab: &LabName) -> Result<(), Failure> {
    let (admin, host) = (lab.folder().join("ssh"), lab.folder().join("sshd"));
    // Whoever logs in reads the list of keys as that user.
    for (folder, name, mode) in [(&admin, "id", 0o700), (&host, "host", 0o755)] {
        file::make_dir(folder, mode)?;
        let key = folder.join(name);
        if !folder.join(format!("{name}.pub")).exists() {
            file::remove(&key)?;
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-C", "kmh-lab", "-f"]).arg(&key);
            output(command, &[])?;
        }
    }
    let own = format!("/{OWN}/ssh");
    let config = format!("HostKey {own}/host\nAuthorizedKeysFile {own}/authorized\n{CONFIG}");
    file::write(&host.join("sshd_config"), config.as_bytes(), 0o644)?;
    file::write(&host.join("authorized"), &file::read(&admin.join("id.pub"))?, 0o644)?;
    let public = String::from_utf8_lossy(&file::read(&host.join("host.pub"))?).into_owned();
    let public: Vec<&str> = public.split_whitespace().take(2).collect();
    file::write(&admin.join("known_hosts"), format!("* {}\n", public.join(" ")).as_bytes(), 0o644)?;
    Ok(())
}

/// The operator's home, which its commands have as `HOME`.
pub(crate) fn home(lab: &LabName) -> PathBuf {
    lab.folder().join(OPERATOR)
}

/// The operator's files: keys as kmh-push and ssh look for them, and the users and ports of the inventory.
pub(crate) fn operator(lab: &LabName, planned: &LabPlan) -> Result<(), Failure> {
    let (admin, home) = (lab.folder().join("ssh"), home(lab));
    let own = home.join(".ssh");
    file::make_dir(&home, 0o700)?;
    file::make_dir(&own, 0o700)?;
    for (from, to, mode) in [
        ("id", "id_ed25519", 0o600),
        ("id.pub", "id_ed25519.pub", 0o644),
        ("known_hosts", "known_hosts", 0o644),
    ] {
        let bytes = zeroize::Zeroizing::new(file::read(&admin.join(from))?);
        file::write(&own.join(to), &bytes, mode)?;
    }
    let mut config = "# Written by kmh-lab.\n".to_owned();
    for (name, machine) in planned.machines.iter().filter(|(_, machine)| machine.role != Role::Operator) {
        let Ssh { host, user, port, .. } = &machine.ssh;
        let addresses = planned.hosts.get(name).into_iter().flatten().map(ToString::to_string);
        let names: BTreeSet<String> =
            addresses.chain([name.clone()]).chain(host.iter().map(ToString::to_string)).collect();
        let _ = writeln!(config, "Host {}", names.into_iter().collect::<Vec<_>>().join(" "));
        if let Some(user) = user {
            let _ = writeln!(config, "    User {user}");
        }
        if let Some(port) = port {
            let _ = writeln!(config, "    Port {port}");
        }
    }
    let at = own.display();
    let _ = write!(
        config,
        "Host *\n    User root\n    IdentityFile {at}/id_ed25519\n    IdentitiesOnly yes\n    UserKnownHostsFile \
         {at}/known_hosts\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n    UpdateHostKeys no\n    \
         LogLevel ERROR\n"
    );
    file::write(&own.join("config"), config.as_bytes(), 0o600)?;
    for (name, text) in laptop(lab) {
        file::write(&home.join(name), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// What lies over files of this machine in the operator's: this machine's own names and ways to find them would lead
/// out of the lab. None of them ever changes, for they are mounted.
fn laptop(lab: &LabName) -> [(&'static str, String); 3] {
    [
        ("hosts", format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {OPERATOR}\n")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n".to_owned()),
        ("ssh_config", format!("Include {}/.ssh/config\n", home(lab).display())),
    ]
}

fn text_file(path: &str, mode: u32, text: String) -> WantedFile {
    WantedFile {
        path: path.to_owned(),
        owner: "root:root".to_owned(),
        mode,
        content: vec![Segment::Text { text }],
        on_change: Vec::new(),
    }
}

/// Files that every machine has of the lab: names, and who may log in.
pub(crate) fn files(
    planned: &MachinePlan,
    resolv_conf: &str,
    name: &str,
) -> Result<Vec<WantedFile>, Failure> {
    let hosts = format!("# Written by kmh-lab.\n127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n");
    let mut files = vec![
        text_file("/etc/resolv.conf", 0o644, resolv_conf.to_owned()),
        text_file("/etc/hosts", 0o644, hosts),
        text_file("/etc/hostname", 0o644, format!("{name}\n")),
        text_file(systemctl::PATH, 0o755, systemctl::stand_in()),
        text_file(&format!("/{OWN}/{}", systemctl::UNITS), 0o644, systemctl::units(planned)),
        // systemd is taken to run where this folder is (sd_booted(3)).
        text_file("/run/systemd/system/kmh-lab", 0o644, String::new()),
    ];
    files.extend(processor(planned).map(|text| text_file("/usr/local/bin/uname", 0o755, text)));
    if let Some(port) = planned.ssh.port {
        files.push(text_file(&format!("/{OWN}/sshd-options"), 0o644, format!("-p {port}\n")));
    }
    let lacking = planned.ssh.r#become.map(word).filter(|word| !has(word));
    if let Some(word) = lacking {
        files.push(text_file(&format!("/usr/local/bin/{word}"), 0o755, PASS_ON.to_owned()));
    }
    let user = planned.ssh.user.as_ref().map_or("root", |user| user.as_str());
    let passwd = String::from_utf8_lossy(&file::read(Path::new("/etc/passwd"))?).into_owned();
    let known = passwd.lines().any(|line| line.split(':').next() == Some(user));
    if !known {
        // pfSense's admin is root by another name; so is who could not become root here.
        let uid = if user == "admin" || lacking.is_some() { 0 } else { UID };
        let line = format!("{user}:*:{uid}:{uid}::/home/{user}:/bin/sh\n");
        files.push(text_file("/etc/passwd", 0o644, format!("{}\n{line}", passwd.trim_end())));
        files.push(text_file(&format!("/home/{user}/.hushlogin"), 0o644, String::new()));
        if uid != 0 && Path::new("/etc/sudoers.d").is_dir() {
            let rule = format!("{user} ALL=(ALL) NOPASSWD: ALL\n");
            files.push(text_file("/etc/sudoers.d/kmh-lab", 0o440, rule));
        }
    }
    Ok(files)
}

/// In place of uname(1) on a light machine of another architecture than this one: a push is to find the one that the
/// inventory says. Nothing of that architecture runs there; on a complete machine it does.
fn processor(planned: &MachinePlan) -> Option<String> {
    let arch = planned.arch.filter(|arch| Arch::of_kernel(std::env::consts::ARCH) != Some(*arch))?;
    let name = match arch {
        Arch::Amd64 => "x86_64",
        Arch::Arm64 => "aarch64",
    };
    (!planned.full).then(|| {
        format!("#!/bin/sh\n[ \"$*\" != -m ] || {{ echo {name}; exit; }}\nexec /usr/bin/uname \"$@\"\n")
    })
}

/// In place of sudo or doas where this machine has none: the user is root already.
const PASS_ON: &str = "#!/bin/sh\nwhile [ \"${1#-}\" != \"$1\" ]; do shift; done\nexec \"$@\"\n";

fn word(r#become: Become) -> &'static str {
    match r#become {
        Become::Sudo => "sudo",
        Become::Doas => "doas",
    }
}

/// Whether this machine has such a program.
fn has(program: &str) -> bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}
