//! Pushes to real sshds on loopback ports: those that need an sshd, a shell, a disk or a systemctl that no host has, or a
//! bundle that kmh-render never makes. What hosts do is tested on hosts: `tests/tests/deploy.rs` pushes to the machines of
//! a lab from its operator's place, `crates/kmh-lab/tests/full.rs` to systems with systemd and of another architecture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod broken;
mod files;
mod programs;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod turns;
mod units;

use std::collections::BTreeMap;

use serde_json::Value;
use support::sshd::Sshd;
use support::{Ran, World, bundle, secret, text, tree};

pub(crate) fn files() -> Vec<Value> {
    let mut many: Vec<Value> =
        (0..12).map(|i| text(&format!("/etc/many/f{i}"), "0644", &format!("{i}\n"))).collect();
    many.extend([
        text("/etc/a.conf", "0644", "a\n"),
        text("/etc/empty", "0600", ""),
        text("/usr/local/sbin/run", "0755", "#!/bin/sh\nexit 0\n"),
        text(
            "/etc/binary",
            "0640",
            "no newline, umlaut \u{fc}, nul \u{0}, tab \t, quote ' \" $(id) `id` \\n",
        ),
        secret("/etc/pki/n1.key", "nodes/n1/kubelet.key"),
    ]);
    many
}

/// A push below each sshd's own folder.
pub(crate) fn push(world: &World, sshd: &Sshd, more: &[&str], stdin: &str) -> Ran {
    let root = sshd.root.display().to_string();
    let args =
        ["--to", "ssh", "--store", "store", "--known-hosts", "known", "--identity", "id", "--root", &root];
    world.push(&[&args[..], more].concat(), stdin)
}

pub(crate) fn trust(world: &World, sshds: &[&Sshd]) {
    std::fs::write(world.at("known"), sshds.iter().map(|sshd| sshd.known()).collect::<String>()).unwrap();
}

#[track_caller]
pub(crate) fn error(ran: &Ran, machine: &str) -> String {
    ran.machine(machine)["error"].as_str().unwrap_or_else(|| panic!("no error: {}", ran.stdout)).to_owned()
}

/// What was pushed, as the folder target writes it: both targets must give the same.
pub(crate) fn expected(world: &World, files: &[Value]) -> BTreeMap<String, (u32, Vec<u8>)> {
    world.push(&["--to", "dir:expected", "--store", "store"], &bundle(&[support::node("n", files)])).exits(0);
    tree(&world.at("expected/n"))
}
