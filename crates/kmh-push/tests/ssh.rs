//! Pushes to real sshds on loopback ports: what arrives, whom is trusted, and what a broken connection is called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::sshd::{Options, Sshd, keygen};
use support::{CANARY, Ran, World, bundle, chmod, is_root, mode, no_leftovers, secret, text, tree};

fn files() -> Vec<Value> {
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
fn push(world: &World, sshd: &Sshd, more: &[&str], stdin: &str) -> Ran {
    let root = sshd.root.display().to_string();
    let args =
        ["--to", "ssh", "--store", "store", "--known-hosts", "known", "--identity", "id", "--root", &root];
    world.push(&[&args[..], more].concat(), stdin)
}

fn trust(world: &World, sshds: &[&Sshd]) {
    std::fs::write(world.at("known"), sshds.iter().map(|sshd| sshd.known()).collect::<String>()).unwrap();
}

#[track_caller]
fn error(ran: &Ran, machine: &str) -> String {
    ran.machine(machine)["error"].as_str().unwrap_or_else(|| panic!("no error: {}", ran.stdout)).to_owned()
}

/// What was pushed, as the folder target writes it: both targets must give the same.
fn expected(world: &World, files: &[Value]) -> BTreeMap<String, (u32, Vec<u8>)> {
    world.push(&["--to", "dir:expected", "--store", "store"], &bundle(&[support::node("n", files)])).exits(0);
    tree(&world.at("expected/n"))
}

#[test]
fn three_machines_get_their_files_and_a_second_push_sends_none() {
    let world = World::new();
    let sshds = [1, 2, 3].map(|last| Sshd::start(&world, last, &Options::default()));
    trust(&world, &sshds.each_ref());
    // One remote root for all, as the option is one: each sshd has its own folder, so a common name below /tmp.
    let nodes: Vec<Value> =
        sshds.iter().enumerate().map(|(i, sshd)| sshd.node(&format!("n{i}"), &files())).collect();
    let expected = expected(&world, &files());
    for (i, sshd) in sshds.iter().enumerate() {
        let name = format!("n{i}");
        let ran = push(&world, sshd, &["--limit", &name], &bundle(&nodes)).exits(0);
        assert_eq!((ran.written(&name), &ran.machine(&name)["outcome"]), (17, &json!("changed")));
        assert_eq!(tree(&sshd.root), expected);
        let again = push(&world, sshd, &["--limit", &name], &bundle(&nodes)).exits(0);
        assert_eq!((again.written(&name), &again.report()["changed"]), (0, &json!(false)));
        assert_eq!(again.machine(&name)["unchanged"], 17);
    }
}

#[test]
fn machines_are_worked_on_at_once_and_a_dead_one_stops_nobody() {
    let world = World::new();
    let slow = Options {
        wrapper: Some("sleep 1; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"".into()),
        ..Options::default()
    };
    let sshds = [1, 2].map(|last| Sshd::start(&world, last, &slow));
    let shared = world.at("shared");
    trust(&world, &sshds.each_ref());
    let mut nodes: Vec<Value> = sshds
        .iter()
        .enumerate()
        .map(|(i, sshd)| sshd.node(&format!("n{i}"), &[text(&format!("/f{i}"), "0644", "x")]))
        .collect();
    let mut dead = support::node("dead", &files());
    dead["ssh"] = json!({"host": "127.0.0.9", "port": 1, "user": "nobody"});
    nodes.push(dead);
    std::fs::create_dir(&shared).unwrap();
    chmod(&shared, 0o777);
    let root = shared.display().to_string();
    let begin = Instant::now();
    let ran = world
        .push(
            &[
                "--to",
                "ssh",
                "--store",
                "store",
                "--known-hosts",
                "known",
                "--identity",
                "id",
                "--root",
                &root,
            ],
            &bundle(&nodes),
        )
        .exits(3);
    let took = begin.elapsed();
    let outcomes: Vec<(Value, Value)> = ran.report()["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["name"].clone(), m["outcome"].clone()))
        .collect();
    let expected = [("dead", "unreachable"), ("n0", "changed"), ("n1", "changed")];
    assert_eq!(outcomes, expected.map(|(name, outcome)| (json!(name), json!(outcome))));
    assert!(error(&ran, "dead").contains("refused"), "{}", error(&ran, "dead"));
    assert_eq!((&ran.report()["failed"], &ran.report()["changed"]), (&json!(true), &json!(true)));
    // Two commands of a second each, on two machines.
    assert!(took < Duration::from_millis(3500), "{took:?}");
    let text = world
        .push(
            &[
                "-o",
                "text",
                "--to",
                "ssh",
                "--store",
                "store",
                "--known-hosts",
                "known",
                "--identity",
                "id",
                "--root",
                &root,
            ],
            &bundle(&nodes),
        )
        .exits(3);
    assert!(
        text.stdout.contains("unreachable")
            && text.stdout.contains("n0")
            && text.stdout.contains("unchanged"),
        "{}",
        text.stdout
    );
}

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
    for (file, why) in [
        ("stranger", "does not let"),
        ("locked", "is encrypted"),
        ("open", "others may use it"),
        ("nowhere", "cannot be read"),
    ] {
        let ran = with(&["--identity", file]);
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
        world.run(command, &bundle(&[sshd.node("n1", &files())]))
    };
    let (first, second) = (run(&[]), run(&["--identity", "id"]));
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(added.success() && locked.status.success());
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{}{}", first.stderr, second.stderr);
}

/// A push to a machine whose commands are wrapped.
fn wrapped(wrapper: &str, config: &str) -> (World, Sshd, Ran) {
    let world = World::new();
    let options = Options { wrapper: Some(wrapper.into()), config: config.into(), ..Options::default() };
    let sshd = Sshd::start(&world, 1, &options);
    trust(&world, &[&sshd]);
    let ran = push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &files())]));
    (world, sshd, ran)
}

#[test]
fn a_command_that_does_not_prove_its_end_has_failed() {
    for (name, wrapper, config) in [
        // libssh2 gives exit status 0 in each of these cases.
        (
            "closed by sshd after a second of silence",
            "sleep 5; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"",
            "ChannelTimeout session:*=1s\n",
        ),
        ("the shell is killed", "head -c 100 >/dev/null; kill -9 $$", ""),
        ("sshd's session is killed", "head -c 100 >/dev/null; kill -9 $PPID", ""),
        ("it ends well and says nothing", "cat >/dev/null; exit 0", ""),
        ("it says something else", "cat >/dev/null; echo 'This account is not available'; exit 0", ""),
        ("the script is cut off", "head -c 2000 | /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"", ""),
    ] {
        let (_world, sshd, ran) = wrapped(wrapper, config);
        assert_eq!(
            (ran.code, &ran.machine("n1")["outcome"]),
            (Some(3), &json!("failed")),
            "{name}: {}",
            ran.stdout
        );
        assert_eq!(ran.report()["failed"], true, "{name}");
        assert_eq!(tree(&sshd.root), BTreeMap::new(), "{name}");
    }
}

#[test]
fn cut_off_while_writing_nothing_is_half_done() {
    // The second command of a push writes; whatever the moment, files are absent or whole. The number of octets that get
    // through goes from the script alone to nearly all.
    for octets in [9000, 11_000, 14_000, 40_000, 110_000] {
        let wrapper = format!(
            "n=$(cat DIR/count 2>/dev/null || echo 0); echo $((n + 1)) >DIR/count\n\
             if [ $n = 1 ]; then head -c {octets} | /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"; else exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"; fi"
        );
        let world = World::new();
        let dir = world.at("sshd-1").display().to_string();
        let sshd = Sshd::start(
            &world,
            1,
            &Options { wrapper: Some(wrapper.replace("DIR", &dir)), ..Options::default() },
        );
        trust(&world, &[&sshd]);
        let mut many = files();
        many.push(text("/etc/big", "0644", &"0123456789".repeat(12_000)));
        let document = bundle(&[sshd.node("n1", &many)]);
        let ran = push(&world, &sshd, &[], &document).exits(3);
        assert_eq!(ran.written("n1"), 0, "{octets}");
        assert_eq!(tree(&sshd.root), BTreeMap::new(), "{octets}: {}", error(&ran, "n1"));
        push(&world, &sshd, &[], &document).exits(0);
        assert_eq!(tree(&sshd.root), expected(&world, &many));
    }
}

#[test]
fn noise_from_a_login_shell_does_no_harm() {
    let flood = "echo 'Welcome! 0 end'; head -c 3000000 /dev/zero | tr '\\0' x >&2; echo; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let (world, sshd, ran) = wrapped(flood, "");
    ran.exits(0);
    assert_eq!(tree(&sshd.root), expected(&world, &files()));
    // Without an end it is not waited for.
    let (_world, _sshd, ran) = wrapped("cat /dev/zero", "");
    assert!(error(&ran.exits(3), "n1").contains("it said more than"));
}

#[test]
fn killed_here_at_any_moment_files_there_are_old_or_new() {
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let version = |v: &str| {
        let files: Vec<Value> =
            (0..40).map(|i| text(&format!("/etc/{}/f{i}", i % 3), "0644", &v.repeat(9000))).collect();
        bundle(&[sshd.node("n1", &files)])
    };
    let (old, new) = (version("o"), version("n"));
    let root = sshd.root.display().to_string();
    let args = ["--to", "ssh", "--known-hosts", "known", "--identity", "id", "--root", &root];
    let begin = Instant::now();
    push(&world, &sshd, &[], &old).exits(0);
    let whole = begin.elapsed();
    for round in 0..12_u32 {
        let target = if round % 2 == 0 { &new } else { &old };
        let mut child = world.start(world.command(&args), target);
        std::thread::sleep(whole * (round + 1) / 13);
        child.kill().unwrap();
        child.wait().unwrap();
        // The other side notices, and cleans up after itself or goes on to the end of what it has whole.
        std::thread::sleep(Duration::from_millis(150));
        for (path, (mode, bytes)) in tree(&sshd.root) {
            let uniform = bytes.len() == 9000 && bytes.iter().all(|b| *b == bytes[0]);
            assert!(
                path.contains(".kmh-push.") || (uniform && mode == 0o644),
                "{path} is neither old nor new"
            );
        }
        push(&world, &sshd, &[], target).exits(0);
        no_leftovers(&sshd.root);
    }
}

#[test]
fn a_full_disk_there_leaves_what_was_there() {
    let world = World::new();
    let (prepare, wrapper) = if is_root() {
        ("mount -t tmpfs -o size=256k,mode=0777 none DIR/root\n".to_owned(), None)
    } else {
        (String::new(), Some("ulimit -f 200; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"".to_owned()))
    };
    let sshd = Sshd::start(&world, 1, &Options { prepare, wrapper, ..Options::default() });
    trust(&world, &[&sshd]);
    let small = vec![text("/etc/a", "0644", "old\n"), text("/etc/b", "0644", "old\n")];
    push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &small)])).exits(0);
    // Far more than the connection's windows hold: nobody may wait for somebody who waits.
    let big = vec![text("/etc/a", "0644", "new\n"), text("/etc/b", "0644", &"x".repeat(9_000_000))];
    let begin = Instant::now();
    let ran = push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &big)])).exits(3);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert!(
        error(&ran, "n1").contains("`/etc/b`") || error(&ran, "n1").contains("/etc/b"),
        "{}",
        error(&ran, "n1")
    );
    if is_root() {
        assert!(error(&ran, "n1").contains("No space left"), "{}", error(&ran, "n1"));
    }
    assert_eq!(ran.written("n1"), 0);
    let again = push(&world, &sshd, &["--dry-run"], &bundle(&[sshd.node("n1", &small)])).exits(0);
    assert_eq!(again.machine("n1")["outcome"], "unchanged");
}

#[test]
fn a_link_inside_the_remote_root_is_not_followed_out_of_it() {
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let outside = sshd.file("outside");
    std::fs::create_dir(&outside).unwrap();
    chmod(&outside, 0o777);
    std::os::unix::fs::symlink(&outside, sshd.root.join("etc")).unwrap();
    let ran = push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &files())])).exits(3);
    assert!(error(&ran, "n1").contains("leads out of"), "{}", error(&ran, "n1"));
    assert_eq!(tree(&outside), BTreeMap::new());
    // One that stays inside is the machine's own business.
    std::fs::remove_file(sshd.root.join("etc")).unwrap();
    std::fs::create_dir(sshd.root.join("real")).unwrap();
    chmod(&sshd.root.join("real"), 0o777);
    std::os::unix::fs::symlink("real", sshd.root.join("etc")).unwrap();
    push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &files())])).exits(0);
    assert!(sshd.root.join("real/a.conf").exists());
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

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let document = |text_: &str| {
        let files = [
            text("/etc/a.conf", "0644", text_),
            text("/etc/guarded", "0640", text_),
            secret("/etc/k", "nodes/n1/other.key"),
        ];
        bundle(&[sshd.node("n1", &files)])
    };
    push(&world, &sshd, &[], &document("one\ntwo  with spaces \n\nend")).exits(0);
    std::fs::write(sshd.root.join("etc/k"), "an older secret").unwrap();
    let before = tree(&sshd.root);
    let ran = push(&world, &sshd, &["--dry-run", "-o", "text"], &document("one\n2\n\nend")).exits(0);
    assert_eq!(tree(&sshd.root), before);
    for line in [
        "-two  with spaces \n",
        "+2\n",
        " one\n",
        "-<a line that is not shown>\n",
        "<secret nodes/n1/other.key>",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("older secret") && !ran.stdout.contains(CANARY));
}

#[test]
fn a_secret_is_nowhere_but_in_its_file() {
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let stop = Arc::new(AtomicBool::new(false));
    let sampler = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut samples = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                for process in std::fs::read_dir("/proc").unwrap().flatten() {
                    for name in ["cmdline", "environ"] {
                        let Ok(bytes) = std::fs::read(process.path().join(name)) else { continue };
                        samples += 1;
                        let text = String::from_utf8_lossy(&bytes);
                        assert!(
                            !text.contains(CANARY),
                            "a secret is in {}/{name}: {text}",
                            process.path().display()
                        );
                    }
                }
            }
            samples
        })
    };
    let mut outputs = String::new();
    for more in [&["-vv", "--dry-run"][..], &["-vv"], &["-vv", "-o", "ansible"], &["-vv", "-o", "text"]] {
        let ran = push(&world, &sshd, more, &bundle(&[sshd.node("n1", &files())])).exits(0);
        outputs.push_str(&ran.stdout);
        outputs.push_str(&ran.stderr);
        if !more.contains(&"--dry-run") {
            let _ = std::fs::remove_file(sshd.root.join("etc/pki/n1.key"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(sampler.join().unwrap() > 1000);
    assert!(!outputs.contains(CANARY) && outputs.contains("/etc/pki/n1.key"));
    assert!(!sshd.log().contains(CANARY));
    push(&world, &sshd, &[], &bundle(&[sshd.node("n1", &files())])).exits(0);
    assert_eq!(mode(&sshd.root.join("etc/pki/n1.key")), 0o600);
    let holders: Vec<String> = tree(&sshd.root)
        .into_iter()
        .filter(|(_, (_, bytes))| String::from_utf8_lossy(bytes).contains(CANARY))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(holders, ["etc/pki/n1.key"]);
}
