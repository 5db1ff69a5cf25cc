//! What arrives: of bundles that kmh-render never makes, at systems that a lab does not have (FreeBSD's programs, another
//! shell, links that lead out of a root), from machines that wait for each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::Machine as _;
use crate::support::sshd::{Options, Sshd};
use crate::support::{CANARY, World, bundle, chmod, is_root, mode, node, secret, text, tree};
use crate::{error, expected, files, push, trust};

#[test]
fn machines_are_worked_on_at_once_and_a_dead_one_stops_nobody() {
    let world = World::new();
    // Each waits for the other: one after the other, they would not end.
    let meet = |last: u8| {
        let (mine, other) = (world.at(&format!("remote/{last}")), world.at(&format!("remote/{}", 3 - last)));
        let (mine, other) = (mine.display(), other.display());
        let wrapper = format!(
            ": >{mine}; n=0; while [ ! -e {other} ] && [ $n -lt 200 ]; do n=$((n + 1)); sleep 0.1; done\n\
             [ -e {other} ] && exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\""
        );
        Options { wrapper: Some(wrapper), ..Options::default() }
    };
    std::fs::create_dir(world.at("remote")).unwrap();
    chmod(&world.at("remote"), 0o777);
    let sshds = [1, 2].map(|last| Sshd::start(&world, last, &meet(last)));
    let shared = world.at("shared");
    trust(&world, &sshds.each_ref());
    let mut nodes: Vec<Value> = sshds
        .iter()
        .enumerate()
        .map(|(i, sshd)| sshd.node(&format!("n{i}"), &[text(&format!("/f{i}"), "0644", "x")]))
        .collect();
    let mut dead = node("dead", &files());
    dead["ssh"] = json!({"host": "127.0.0.9", "port": 1, "user": "nobody"});
    nodes.push(dead);
    std::fs::create_dir(&shared).unwrap();
    chmod(&shared, 0o777);
    let root = format!("{}/{{machine}}", shared.display());
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

#[test]
fn the_remote_script_means_the_same_to_another_shell() {
    let world = World::new();
    let wrapper = "eval \"set -- ${SSH_ORIGINAL_COMMAND#exec /bin/sh}\"; exec bash --posix \"$@\"".to_owned();
    let sshd = Sshd::start(&world, 1, &Options { wrapper: Some(wrapper), ..Options::default() });
    trust(&world, &[&sshd]);
    let document = bundle(&[sshd.node("n1", &files())]);
    push(&world, &sshd, &[], &document).exits(0);
    assert_eq!(tree(&sshd.root), expected(&world, &files()));
    assert_eq!(push(&world, &sshd, &["-v"], &document).exits(0).written("n1"), 0);
}

/// FreeBSD's own programs, stood in for: `sha256 -r`, `stat -f`, and a `head -c` that takes more than it prints.
const FREEBSD: &str = r#"
mount -t tmpfs -o mode=0755 none /usr/local/sbin
cd /usr/local/sbin
echo '#!/bin/sh
echo FreeBSD' >uname
echo '#!/bin/sh
[ "$1" = -r ] && [ "$2" = -- ] && shift 2 && sha256sum -- "$@" | while read -r sum name; do echo "$sum $name"; done' >sha256
echo '#!/bin/sh
[ "$1" = -f ] && [ "$3" = -- ] && shift 3 && for f; do printf "%o " "0x$(/usr/bin/stat -c %f "$f")"; /usr/bin/stat -c "%U:%G %n" "$f"; done' >stat
echo '#!/bin/sh
[ -z "$3" ] || exec /usr/bin/head "$@"
dd bs=65536 count=1 2>/dev/null | /usr/bin/head "$@"' >head
chmod 755 *
cd /
"#;

#[test]
fn a_freebsd_is_spoken_to_in_its_own_words() {
    assert!(is_root(), "this test needs root: run it as root or with sudo");
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options { prepare: FREEBSD.into(), ..Options::default() });
    trust(&world, &[&sshd]);
    let document = bundle(&[sshd.node("n1", &files())]);
    push(&world, &sshd, &[], &document).exits(0);
    assert_eq!(tree(&sshd.root), expected(&world, &files()));
    assert_eq!(push(&world, &sshd, &[], &document).exits(0).written("n1"), 0);
    std::fs::write(sshd.root.join("etc/a.conf"), "old\n").unwrap();
    let shown = push(&world, &sshd, &["--dry-run", "-o", "text"], &document).exits(0);
    assert!(shown.stdout.contains("-old\n+a\n"), "{}", shown.stdout);
}

#[test]
fn below_a_root_units_are_left_and_a_dry_run_says_so_of_what_would_be() {
    let world = World::new();
    let sshd = Sshd::start(&world, 1, &Options::default());
    std::fs::write(world.at("known"), sshd.known()).unwrap();
    let mut file = text("/etc/a", "0644", "a\n");
    file["on_change"] = json!([{"unit": "a.service", "action": "restart"}]);
    let document = bundle(&[sshd.node("n1", &[file])]);
    let dry = push(&world, &sshd, &["--dry-run", "-o", "text"], &document).exits(0);
    assert!(dry.stdout.contains("  n1: restart a.service (not touched)\n"), "{}", dry.stdout);
    dry.says("files would go below").says("no unit would be touched on n1");
    push(&world, &sshd, &[], &document).exits(0).says("files went below").says("no unit was touched on n1");
}
