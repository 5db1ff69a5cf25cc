//! sshd on every machine: one host key and one admin's key a lab, and the users that the inventory names.

use std::path::Path;
use std::process::Command;

use kmh_cli::{Failure, file};
use kmh_doc::bundle::Segment;
use kmh_store::wanted::WantedFile;

use crate::init::OWN;
use crate::machine::output;
use crate::plan::MachinePlan;
use crate::state::LabName;

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
    _lab: &LabName,
    planned: &MachinePlan,
    resolv_conf: &str,
    name: &str,
) -> Result<Vec<WantedFile>, Failure> {
    let hosts = format!("# Written by kmh-lab.\n127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n");
    let mut files = vec![
        text_file("/etc/resolv.conf", 0o644, resolv_conf.to_owned()),
        text_file("/etc/hosts", 0o644, hosts),
        text_file("/etc/hostname", 0o644, format!("{name}\n")),
    ];
    let user = planned.ssh.user.as_ref().map_or("root", |user| user.as_str());
    let passwd = String::from_utf8_lossy(&file::read(Path::new("/etc/passwd"))?).into_owned();
    let known = passwd.lines().any(|line| line.split(':').next() == Some(user));
    if !known {
        // pfSense's admin is root by another name.
        let (uid, shell) = if user == "admin" { (0, "/bin/sh") } else { (UID, "/bin/sh") };
        let line = format!("{user}:*:{uid}:{uid}::/home/{user}:{shell}\n");
        files.push(text_file("/etc/passwd", 0o644, format!("{}\n{line}", passwd.trim_end())));
        files.push(text_file(&format!("/home/{user}/.hushlogin"), 0o644, String::new()));
        if uid != 0 && Path::new("/etc/sudoers.d").is_dir() {
            let rule = format!("{user} ALL=(ALL) NOPASSWD: ALL\n");
            files.push(text_file("/etc/sudoers.d/kmh-lab", 0o440, rule));
        }
    }
    Ok(files)
}
