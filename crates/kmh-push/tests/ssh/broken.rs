//! What a broken connection, shell or disk is called, and what it leaves. Each sshd here is one that breaks: its commands
//! are wrapped, cut off after some octets, or write on a disk that is full.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Machine as _;
use crate::support::sshd::{Options, Sshd};
use crate::support::{Ran, World, bundle, is_root, no_leftovers, text, tree};
use crate::{error, expected, files, push, trust};

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
    let cut = "did not prove its end";
    for (name, wrapper, config, says) in [
        // libssh2 gives exit status 0 in each of these cases.
        (
            "closed by sshd after a second of silence",
            "sleep 5; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"",
            "ChannelTimeout session:*=1s\n",
            cut,
        ),
        ("the shell is killed", "head -c 100 >/dev/null; kill -9 $$", "", cut),
        ("sshd's session is killed", "head -c 100 >/dev/null; kill -9 $PPID", "", cut),
        ("it ends well and says nothing", "cat >/dev/null; exit 0", "", cut),
        ("it says something else", "cat >/dev/null; echo 'not available'; exit 0", "", "not available"),
        // The shell itself sees that half of the script is no script.
        ("the script is cut off", "head -c 2000 | /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"", "", "code 2"),
    ] {
        let (_world, sshd, ran) = wrapped(wrapper, config);
        assert_eq!(
            (ran.code, &ran.machine("n1")["outcome"]),
            (Some(3), &json!("failed")),
            "{name}: {}",
            ran.stdout
        );
        assert_eq!(ran.report()["failed"], true, "{name}");
        assert!(error(&ran, "n1").contains(says), "{name}: {}", error(&ran, "n1"));
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
        let mut child = World::start(world.command(&args), target);
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
    let sshd = Sshd::start(&world, 1, &Options { wrapper, prepare, ..Options::default() });
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
