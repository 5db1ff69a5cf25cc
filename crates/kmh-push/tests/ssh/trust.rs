//! Who is trusted, and with which key: OpenSSH's own client is asked for its opinion. The sshds have several host keys, a
//! certificate, or let nobody become root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::Machine as _;
use crate::support::sshd::{Options, Sshd, keygen};
use crate::support::{World, bundle, chmod, text, tree};
use crate::{error, files, push, trust};

#[test]
fn whom_to_trust_is_decided_before_anything_is_sent() {
    let world = World::new();
    let sshd = Sshd::start(
        &world,
        1,
        &Options { config: "HostKey DIR/host\nHostKey DIR/host-rsa\n".into(), ..Options::default() },
    );
    let document = bundle(&[sshd.node("n1", &files())]);
    keygen(&world.at("other"), "ed25519", "");
    let other = std::fs::read_to_string(world.at("other.pub")).unwrap();
    let other = other.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let place = format!("[127.0.0.1]:{}", sshd.port);
    let print = |file: PathBuf| {
        let out = Command::new("ssh-keygen").args(["-l", "-f"]).arg(file).output().unwrap().stdout;
        String::from_utf8(out).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    let (real, wrong) = (print(sshd.file("host.pub")), print(world.at("other.pub")));
    let known = |text: &str| std::fs::write(world.at("known"), text).unwrap();
    let refused = |text: &str, says: &[&str]| {
        known(text);
        let ran = push(&world, &sshd, &[], &document).exits(3);
        assert_eq!(ran.machine("n1")["outcome"], "failed");
        for word in says {
            assert!(error(&ran, "n1").contains(word), "no {word:?} in {}", error(&ran, "n1"));
        }
        assert_eq!(tree(&sshd.root), BTreeMap::new());
        ssh(&world, &sshd)
    };
    // Another key: both fingerprints, and where the known one stands. OpenSSH's own client says no as well.
    assert!(!refused(&format!("{place} {other}\n"), &[&real, &wrong, "known:1"]));
    assert!(!refused("", &["is not known", &real]));
    assert!(!refused(&format!("[127.0.0.1]:1 {}\n", sshd.public("host.pub")), &["is not known"]));
    assert!(!refused(
        &format!("{place} {0}\n@revoked * {0}\n", sshd.public("host.pub")),
        &["is revoked", &real, "known:2"]
    ));
    assert!(!refused(
        &format!("@cert-authority {place} {}\n", sshd.public("host.pub")),
        &["is not known", "@cert-authority"]
    ));
    assert!(!refused(&format!("!{place},[127.0.0.*]:* {}\n", sshd.public("host.pub")), &["is not known"]));
    let accepted = |text: &str| {
        known(text);
        let ran = push(&world, &sshd, &["--dry-run"], &document).exits(0);
        assert_eq!(ran.machine("n1")["outcome"], "would-change");
        assert!(ssh(&world, &sshd), "ssh refuses what kmh-push takes: {text}");
    };
    accepted(&sshd.known());
    accepted(&format!("[127.0.0.?]:* {}\n", sshd.public("host.pub")));
    // Only the other type is known: that one is asked for, and is right.
    accepted(&format!("{place} {}\n", sshd.public("host-rsa.pub")));
    // No line for the port, one for the name.
    accepted(&format!("127.0.0.1 {}\n", sshd.public("host.pub")));
    // Hashed by ssh-keygen itself.
    known(&sshd.known());
    let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(world.at("known")).output().unwrap();
    assert!(hashed.status.success());
    let hashed = std::fs::read_to_string(world.at("known")).unwrap();
    assert!(hashed.starts_with("|1|"), "{hashed}");
    accepted(&hashed);
    // The inventory's pin holds, whatever the file says, and nothing but it.
    let mut pinned = sshd.node("n1", &files());
    pinned["ssh"]["host_keys"] = json!([sshd.public("host.pub")]);
    known(&format!("{place} {other}\n"));
    push(&world, &sshd, &["--dry-run"], &bundle(&[pinned.clone()])).exits(0);
    pinned["ssh"]["host_keys"] = json!([other]);
    known(&sshd.known());
    let ran = push(&world, &sshd, &[], &bundle(&[pinned])).exits(3);
    assert!(error(&ran, "n1").contains("ssh.host_keys in the inventory"), "{}", error(&ran, "n1"));
    assert_eq!(tree(&sshd.root), BTreeMap::new());
}

/// What OpenSSH's client says of the same known-hosts file.
fn ssh(world: &World, sshd: &Sshd) -> bool {
    let options = [
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=known",
        "GlobalKnownHostsFile=none",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
    ];
    let mut command = Command::new("ssh");
    for option in options {
        command.args(["-o", option]);
    }
    command.args([
        "-F",
        "none",
        "-i",
        "id",
        "-p",
        &sshd.port.to_string(),
        &format!("{}@{}", sshd.user, sshd.host),
        "exit 0",
    ]);
    command.current_dir(world.path()).output().unwrap().status.success()
}

#[test]
fn a_server_that_also_has_a_certificate_is_known_by_its_key() {
    let world = World::new();
    let plain = Sshd::start(&world, 1, &Options::default());
    keygen(&world.at("ca"), "ed25519", "");
    let certificate = plain.file("cert.pub");
    std::fs::copy(plain.file("host.pub"), &certificate).unwrap();
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(world.at("ca"))
        .args(["-I", "x", "-h"])
        .arg(&certificate)
        .status();
    assert!(signed.unwrap().success());
    drop(plain);
    let made = world.at("sshd-1/cert-cert.pub");
    std::fs::rename(&made, world.at("cert")).unwrap();
    std::fs::remove_dir_all(world.at("sshd-1").join("root")).unwrap();
    let old = std::fs::read(world.at("sshd-1/host")).unwrap();
    std::fs::remove_dir_all(world.at("sshd-1")).unwrap();
    // The same host key again, now with its certificate.
    std::fs::write(world.at("kept"), old).unwrap();
    let config = format!("HostKey DIR/host\nHostCertificate {}\n", world.at("cert").display());
    let sshd = Sshd::start(
        &world,
        1,
        &Options {
            config,
            prepare: format!("cp {} DIR/host\n", world.at("kept").display()),
            ..Options::default()
        },
    );
    let public =
        Command::new("ssh-keygen").args(["-y", "-f"]).arg(sshd.file("host")).output().unwrap().stdout;
    let public = String::from_utf8(public).unwrap();
    let public = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    std::fs::write(world.at("known"), format!("[127.0.0.1]:{} {public}\n", sshd.port)).unwrap();
    push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &files())])).exits(0);
}

#[test]
fn a_server_without_a_key_of_the_known_type_is_not_the_known_one() {
    let world = World::new();
    let sshd =
        Sshd::start(&world, 1, &Options { config: "HostKey DIR/host-rsa\n".into(), ..Options::default() });
    trust(&world, &[&sshd]);
    let ran = push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &files())])).exits(3);
    assert!(
        error(&ran, "n1").contains("has no host key of a known type (ssh-ed25519)"),
        "{}",
        error(&ran, "n1")
    );
    assert_eq!(tree(&sshd.root), BTreeMap::new());
}

#[test]
fn keys_that_do_not_help_are_explained() {
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let document = bundle(&[sshd.node("n1", &files())]);
    keygen(&world.at("stranger"), "ed25519", "");
    keygen(&world.at("locked"), "ed25519", "a passphrase");
    keygen(&world.at("open"), "ed25519", "");
    chmod(&world.at("open"), 0o644);
    let root = sshd.root.display().to_string();
    let with = |identity: &[&str]| {
        let args = ["--to", "ssh", "--store", "store", "--known-hosts", "known", "--root", &root];
        world.push(&[&args[..], identity].concat(), &document).exits(3)
    };
    for (file, why, hint) in [
        ("stranger", "does not let", "authorized_keys"),
        ("locked", "is encrypted", "unlock it with `ssh-add`"),
        ("open", "others may use it", "give it mode 0600"),
        ("nowhere", "key file `nowhere` is not there", "name one that is, with --identity"),
    ] {
        let ran = with(&["--identity", file]).says(hint);
        assert!(error(&ran, "n1").contains(why), "{file}: {}", error(&ran, "n1"));
        assert_eq!(ran.machine("n1")["outcome"], "failed");
    }
    let ran = with(&[]).says("--identity FILE");
    assert!(error(&ran, "n1").contains("there is no key to try"), "{}", error(&ran, "n1"));
    // The usual file of the user's home, and the one that the inventory names.
    std::fs::create_dir(world.at(".ssh")).unwrap();
    std::fs::copy(world.at("id"), world.at(".ssh/id_ed25519")).unwrap();
    let args = ["--to", "ssh", "--store", "store", "--known-hosts", "known", "--root", &root];
    world.push(&args, &document).exits(0);
    std::fs::remove_dir_all(world.at(".ssh")).unwrap();
    let mut named = sshd.node("n1", &files());
    named["ssh"]["identity"] = json!("~/id");
    world.push(&args, &bundle(&[named])).exits(0);
}

#[test]
fn an_agent_opens_a_locked_key() {
    let world = World::new();
    keygen(&world.at("id"), "ed25519", "");
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let socket = world.at("agent");
    let mut agent = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let added =
        Command::new("ssh-add").arg("-q").arg(world.at("id")).env("SSH_AUTH_SOCK", &socket).status().unwrap();
    // From now on the file itself is locked.
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-N", "a passphrase", "-f"])
        .arg(world.at("id"))
        .output()
        .unwrap();
    let root = sshd.root.display().to_string();
    let run = |identity: &[&str]| {
        let args = ["--to", "ssh", "--store", "store", "--known-hosts", "known", "--root", &root];
        let mut command = world.command(&[&args[..], identity].concat());
        command.env("SSH_AUTH_SOCK", &socket);
        World::run(command, &bundle(&[sshd.node("n1", &files())]))
    };
    let (first, second) = (run(&[]), run(&["--identity", "id"]));
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(added.success() && locked.status.success());
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{}{}", first.stderr, second.stderr);
}

#[test]
fn an_ordinary_login_needs_a_way_to_become_root() {
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let args = ["--to", "ssh", "--store", "store", "--known-hosts", "known", "--identity", "id"];
    let ran =
        world.push(&args, &bundle(&[sshd.node("n1", &[text("/etc/kmh-push-test", "0644", "x")])])).exits(3);
    assert!(error(&ran, "n1").contains("not root"), "{}", error(&ran, "n1"));
    ran.says("become: sudo");
    assert!(!Path::new("/etc/kmh-push-test").exists());
    // sudo is named, and the machine has none, or asks for a password: said, not waited for.
    let mut node = sshd.node("n1", &[text("/etc/kmh-push-test", "0644", "x")]);
    node["ssh"]["become"] = json!("doas");
    let ran = world.push(&args, &bundle(&[node])).exits(3);
    assert!(error(&ran, "n1").contains("doas"), "{}", error(&ran, "n1"));
}
