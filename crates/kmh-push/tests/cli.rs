//! kmh-push as a program: its command line, and pushes into a folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{CANARY, World, bundle, chmod, is_root, mode, no_leftovers, node, secret, text, tree};

const PUSH: [&str; 4] = ["--store", "store", "--to", "dir:out"];

fn simple() -> String {
    bundle(&[
        node("n1", &[text("/etc/a.conf", "0644", "a\n"), secret("/etc/pki/n1.key", "nodes/n1/kubelet.key")]),
        node("n2", &[text("/usr/local/sbin/run", "0755", "#!/bin/sh\n"), text("/etc/odd", "0404", "")]),
    ])
}

#[test]
fn help_ends_with_examples() {
    let world = World::new();
    let ran = world.push(&["--help"], "").exits(0);
    assert!(ran.stdout.contains("EXAMPLES") && ran.stdout.contains("--to dir:out"), "{}", ran.stdout);
    world.push(&["apply", "--help"], "").exits(0);
}

#[test]
fn files_are_there_with_their_modes_whatever_the_umask() {
    for umask in ["000", "077", "777"] {
        let world = World::new();
        let mut command = std::process::Command::new("/bin/sh");
        let line =
            format!("umask {umask}; exec {} --store store --to dir:out", env!("CARGO_BIN_EXE_kmh-push"));
        command.args(["-c", &line]).current_dir(world.path());
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let ran = World::run(command, &simple()).exits(0);
        assert_eq!(ran.report()["changed"], true);
        let modes: Vec<(String, u32)> =
            tree(&world.at("out")).into_iter().map(|(path, (mode, _))| (path, mode)).collect();
        let expected = [
            (".gitignore", 0o600),
            ("n1/etc/a.conf", 0o644),
            ("n1/etc/pki/n1.key", 0o600),
            ("n2/etc/odd", 0o404),
            ("n2/usr/local/sbin/run", 0o755),
        ];
        assert_eq!(modes, expected.map(|(path, mode)| (path.to_owned(), mode)), "umask {umask}");
        assert_eq!(
            (mode(&world.at("out")), mode(&world.at("out/n1")), mode(&world.at("out/n1/etc"))),
            (0o700, 0o700, 0o755)
        );
        let key = std::fs::read_to_string(world.at("out/n1/etc/pki/n1.key")).unwrap();
        assert_eq!(key, format!("# key\n{CANARY}\n# end\n"));
        assert_eq!(std::fs::read_to_string(world.at("out/.gitignore")).unwrap(), "*\n");
    }
}

#[test]
fn a_second_push_touches_nothing() {
    let world = World::new();
    world.push(&PUSH, &simple()).exits(0);
    let times = || {
        let meta = |path: &str| world.at("out").join(path).metadata().unwrap().modified().unwrap();
        ["", "n1", "n1/etc", "n1/etc/a.conf", "n1/etc/pki", "n1/etc/pki/n1.key", ".gitignore"].map(meta)
    };
    let before = times();
    let again = world.push(&PUSH, &simple()).exits(0);
    assert_eq!(times(), before);
    assert_eq!((&again.report()["changed"], again.written("n1")), (&json!(false), 0));
    assert_eq!(again.machine("n1")["unchanged"], 2);
    assert_eq!(again.machine("n1")["outcome"], "unchanged");
    // Content, mode, and a file that became a link: each is put right, and says why.
    std::fs::write(world.at("out/n1/etc/a.conf"), "b\n").unwrap();
    chmod(&world.at("out/n2/usr/local/sbin/run"), 0o700);
    std::fs::remove_file(world.at("out/n1/etc/pki/n1.key")).unwrap();
    symlink("/etc/passwd", world.at("out/n1/etc/pki/n1.key")).unwrap();
    let third = world.push(&PUSH, &simple()).exits(0);
    assert_eq!(
        (&third.machine("n1")["written"], &third.machine("n2")["written"]),
        (
            &json!([{"path": "/etc/a.conf", "reason": "content"}, {"path": "/etc/pki/n1.key", "reason": "content"}]),
            &json!([{"path": "/usr/local/sbin/run", "reason": "mode"}])
        )
    );
    assert!(!std::fs::read_to_string("/etc/passwd").unwrap().contains(CANARY));
    assert!(!world.at("out/n1/etc/pki/n1.key").is_symlink());
}

#[test]
fn a_dry_run_says_what_and_does_nothing() {
    let world = World::new();
    let ran = world.push(&[&PUSH[..], &["--dry-run"]].concat(), &simple()).exits(0);
    assert!(!world.at("out").exists());
    assert_eq!((&ran.report()["changed"], &ran.report()["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(ran.machine("n1")["outcome"], "would-change");

    world.push(&PUSH, &simple()).exits(0);
    let before = tree(&world.at("out"));
    std::fs::write(world.at("out/n1/etc/a.conf"), "old\n").unwrap();
    std::fs::write(world.at("out/n1/etc/pki/n1.key"), "# key\nan older secret\n").unwrap();
    std::fs::write(world.at("out/n2/etc/odd"), "password\n").unwrap_or(());
    let changed = tree(&world.at("out"));
    assert_ne!(before, changed);
    let ran = world.push(&[&PUSH[..], &["--dry-run", "-o", "text", "-vv"]].concat(), &simple()).exits(0);
    assert_eq!(tree(&world.at("out")), changed);
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    for line in ["-old", "+a", "+<secret nodes/n1/kubelet.key>", "would-change", "n1:/etc/a.conf"] {
        assert!(shown.contains(line), "no {line:?} in\n{shown}");
    }
    for line in [CANARY, "an older secret"] {
        assert!(!shown.contains(line), "{line:?} in\n{shown}");
    }
}

#[test]
fn everything_wrong_is_said_at_once_and_nothing_touched() {
    let world = World::new();
    let mut wide = secret("/etc/wide.key", "nodes/n1/kubelet.key");
    wide["mode"] = json!("0644");
    let mut owner = text("/etc/owner", "0644", "");
    owner["owner"] = json!("root");
    let mut foreign = node("foreign", &[]);
    foreign["arch"] = json!("arm64");
    foreign["artifacts"] = json!([
        {"name": "kubelet", "version": "1.36.2", "arch": "arm64", "url": "https://u/k", "path": "/usr/local/bin/kubelet"},
        {"name": "runc", "version": "1.3.6", "arch": "amd64", "url": "https://u/r", "path": "/usr/local/sbin/runc"},
    ]);
    let machines = [
        node(
            "n1",
            &[
                text("/etc/../../x", "0644", ""),
                text("etc/x", "0644", ""),
                text("/etc/`id`", "0644", ""),
                text("/etc/mode", "644", ""),
                text("/etc/twice", "0644", ""),
                text("/etc/twice", "0644", ""),
                text("/etc/twice/below", "0644", ""),
                owner,
                wide,
                secret("/etc/a.key", "../outside"),
                secret("/etc/b.key", "nodes/n1/missing.key"),
            ],
        ),
        node("../n2", &[]),
        foreign,
    ];
    let ran = world.push(&PUSH, &bundle(&machines)).exits(2);
    for text in [
        "`/etc/../../x` on `n1` is not normalised",
        "`etc/x` on `n1` is not absolute",
        "holds a character",
        "mode `644`",
        "has `/etc/twice` twice",
        "program `runc` of `foreign` is built for amd64, the machine is arm64",
        "both as a file and as the folder of `/etc/twice/below`",
        "owner `root`",
        "lets everybody at the secret",
        "leads out of the store",
        "secret `nodes/n1/missing.key` is not in store `store`",
        "machine `../n2`",
        "spec.machines[0].files[0]",
    ] {
        assert!(ran.stderr.contains(text), "no {text:?} in\n{}", ran.stderr);
    }
    assert_eq!(ran.stdout, "");
    assert!(!world.at("out").exists());
}

#[test]
fn the_store_of_the_environment_is_that_of_the_run() {
    let world = World::new();
    world.store("named", "store-1");
    let (store, to) = (world.at("named"), format!("dir:{}", world.at("out").display()));
    let (mut env, captured) = kmh_cli::Env::fake(["kmh-push", "--to", &to], simple());
    env.vars.insert("KMH_STORE".into(), store.into());
    assert_eq!(kmh_push::run(&mut env), kmh_cli::Exit::Done, "{}", captured.stderr_text());
}

#[test]
fn the_store_must_be_the_right_one() {
    let world = World::new();
    world.store("other", "store-2");
    let refused = |args: &[&str], says: &[&str]| {
        let ran = world.push(&[args, &["--to", "dir:out"]].concat(), &simple()).exits(2);
        for text in says {
            assert!(ran.stderr.contains(text), "no {text:?} in\n{}", ran.stderr);
        }
        assert!(!world.at("out").exists());
    };
    refused(&["--store", "other"], &["store `other` is another one", "`store-2`", "`store-1`"]);
    refused(&["--store", "nowhere"], &["store `nowhere` cannot be opened"]);
    refused(&["--store", "/"], &["`/` is no store"]);
    refused(&[], &["no store is named", "KMH_STORE"]);
    // A secret that is a link out of the store, or lies in a folder that is one.
    let key = world.at("store/nodes/n1/kubelet.key");
    std::fs::rename(&key, world.at("moved")).unwrap();
    symlink(world.at("moved"), &key).unwrap();
    refused(&["--store", "store"], &["`nodes/n1/kubelet.key`", "symbolic link"]);
    std::fs::rename(world.at("store/nodes"), world.at("nodes")).unwrap();
    symlink(world.at("nodes"), world.at("store/nodes")).unwrap();
    refused(&["--store", "store"], &["symbolic link"]);
    // Without secrets, no store is asked for.
    world.push(&["--to", "dir:out"], &bundle(&[node("n1", &[text("/etc/a", "0644", "a")])])).exits(0);
}

#[test]
fn an_encrypted_store_opens_with_its_identity_alone() {
    let world = World::new();
    let shell = |line: &str| {
        let ran =
            std::process::Command::new("sh").args(["-ec", line]).current_dir(world.path()).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    // By the program itself: what age encrypts is what a store holds.
    shell(
        "for one in id other; do age-keygen -o $one 2>/dev/null; done; to=$(age-keygen -y id); \
         find store -name '*.key' | while read -r key; do age -r $to -o $key.age $key; rm $key; done",
    );
    let opened = |args: &[&str]| world.push(&[&PUSH[..], args].concat(), &simple());
    let refused =
        opened(&[]).exits(2).says("`store/nodes/n1/kubelet.key.age` is encrypted, and no identity was named");
    refused.says("hint: name its file with `--store-identity FILE` or KMH_IDENTITY");
    opened(&["--store-identity", "other"])
        .exits(2)
        .says("no identity in `other` opens `store/nodes/n1/kubelet.key.age`");
    assert!(!world.at("out").exists());
    let ran = opened(&["--store-identity", "id", "-vv"]).exits(0);
    assert!(!ran.stdout.contains(CANARY) && !ran.stderr.contains(CANARY));
    let key = std::fs::read_to_string(world.at("out/n1/etc/pki/n1.key")).unwrap();
    assert_eq!(key, format!("# key\n{CANARY}\n# end\n"));
}

#[test]
fn a_link_inside_the_target_is_not_followed() {
    let world = World::new();
    std::fs::create_dir_all(world.at("elsewhere")).unwrap();
    std::fs::create_dir_all(world.at("out/n1")).unwrap();
    std::fs::write(world.at("out/.gitignore"), "*\n").unwrap();
    symlink(world.at("elsewhere"), world.at("out/n1/etc")).unwrap();
    let ran = world.push(&PUSH, &simple()).exits(3);
    assert_eq!(
        (&ran.machine("n1")["outcome"], &ran.machine("n2")["outcome"]),
        (&json!("failed"), &json!("changed"))
    );
    let error = ran.machine("n1")["error"].as_str().unwrap().to_owned();
    assert!(error.contains("out/n1/etc") && error.contains("symbolic link"), "{error}");
    assert_eq!(std::fs::read_dir(world.at("elsewhere")).unwrap().count(), 0);
    // The machine's own folder, too.
    std::fs::remove_file(world.at("out/n1/etc")).unwrap();
    std::fs::remove_dir(world.at("out/n1")).unwrap();
    symlink(world.at("elsewhere"), world.at("out/n1")).unwrap();
    let ran = world.push(&PUSH, &simple()).exits(3);
    assert!(ran.machine("n1")["error"].as_str().unwrap().contains("symbolic link"));
    assert_eq!(std::fs::read_dir(world.at("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_folder_in_the_way_and_a_fifo_are_said_and_left() {
    let world = World::new();
    std::fs::create_dir_all(world.at("out/n1/etc/a.conf")).unwrap();
    std::fs::create_dir_all(world.at("out/n2/etc")).unwrap();
    std::fs::write(world.at("out/.gitignore"), "*\n").unwrap();
    let made = std::process::Command::new("mkfifo").arg(world.at("out/n2/etc/odd")).status().unwrap();
    assert!(made.success());
    let ran = world.push(&PUSH, &simple()).exits(3);
    assert_eq!(ran.machine("n1")["error"], "`/etc/a.conf` is a folder");
    assert_eq!(ran.machine("n2")["error"], "`/etc/odd` is neither a file nor a link");
}

#[test]
fn a_folder_of_somebody_else_is_not_taken_over() {
    let world = World::new();
    std::fs::create_dir(world.at("out")).unwrap();
    std::fs::write(world.at("out/thesis.txt"), "").unwrap();
    world.push(&PUSH, &simple()).exits(2).says("did not write").says("hint:");
    std::fs::remove_file(world.at("out/thesis.txt")).unwrap();
    world.push(&PUSH, &simple()).exits(0);
}

#[test]
fn what_the_call_lacks_is_said() {
    let world = World::new();
    world.push(&["--store", "store"], &simple()).exits(2).says("--to dir:out");
    for to in ["out", "dir:", "scp:x", "ssh:host"] {
        world.push(&["--to", to], &simple()).exits(2).says("`dir:PATH` or `ssh`");
    }
    world
        .push(&[&PUSH[..], &["--root", "/x"]].concat(), &simple())
        .exits(2)
        .says("`--root` goes with `--to ssh` only");
    world
        .push(&[&PUSH[..], &["--limit", "nobody"]].concat(), &simple())
        .exits(2)
        .says("`--limit nobody` selects no machine")
        .says("the machines are n1, n2");
    world
        .push(&["--to", "ssh", "--root", "../x", "--store", "store"], &simple())
        .exits(2)
        .says("--root `../x` is not absolute");
    assert!(!world.at("out").exists());
}

#[test]
fn limit_chooses_machines() {
    let world = World::new();
    let ran = world.push(&["--to", "dir:out", "--limit", "n2"], &simple()).exits(0);
    assert_eq!(ran.report()["machines"].as_array().unwrap().len(), 1);
    assert!(world.at("out/n2").exists() && !world.at("out/n1").exists());
}

#[test]
fn a_planned_bundle_is_for_dry_runs() {
    let world = World::new();
    let mut document: Value = serde_json::from_str(&simple()).unwrap();
    document["spec"]["planned"] = json!(true);
    let planned = document.to_string();
    world.push(&PUSH, &planned).exits(2).says("planned").says("--dry-run");
    // The store need not be there yet.
    let ran = world.push(&["--store", "later", "--to", "dir:out", "--dry-run"], &planned).exits(0);
    assert_eq!(ran.written("n1"), 2);
    assert!(!world.at("out").exists() && !world.at("later").exists());
}

#[test]
fn a_check_that_says_no_refuses_the_push() {
    let world = World::new();
    let check = json!({"kind": "kmh.check/v1", "spec": {"ok": false,
        "summary": {"ok": 3, "warning": 1, "critical": 2, "unknown": 0, "skipped": 0}, "results": []}});
    let ran = world.push(&PUSH, &format!("{}{check}\n", simple())).exits(1);
    let report = ran.report();
    assert_eq!((&report["failed"], &report["changed"]), (&json!(true), &json!(false)));
    assert!(
        report["refused"].as_str().unwrap().contains("the check in the stream says no: 2 critical"),
        "{report}"
    );
    assert!(!world.at("out").exists());
    let yes = format!("{}{}\n", simple(), check.to_string().replace("\"ok\":false", "\"ok\":true"));
    world.push(&PUSH, &yes).exits(0);
}

#[test]
fn units_are_reported_and_not_touched() {
    let world = World::new();
    let mut file = text("/etc/a.conf", "0644", "a\n");
    file["on_change"] = json!([{"unit": "a.service", "action": "restart"}]);
    let ran = world.push(&[&PUSH[..], &["-v"]].concat(), &bundle(&[node("n1", &[file])])).exits(0);
    assert_eq!(ran.machine("n1")["units"], json!([{"name": "a.service", "action": "restart"}]));
    ran.says("no unit was touched");
}

#[test]
fn the_text_is_narrow_and_says_what_units_were_left() {
    let world = World::new();
    let mut file = text("/etc/a.conf", "0644", "a\n");
    let names = (0..20).map(|i| json!({"unit": format!("unit-{i:02}.service"), "action": "restart"}));
    file["on_change"] = names.collect();
    let document = bundle(&[node("n1", &[file])]);
    let text = ["-o", "text"];
    for more in [&["--dry-run"][..], &[]] {
        let shown = world.push(&[&PUSH[..], &text, more].concat(), &document).exits(0).stdout;
        let lines: Vec<&str> = shown.lines().take_while(|line| !line.starts_with("---")).collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{shown}");
        let units =
            lines.iter().skip_while(|line| **line != "UNITS").skip(1).take_while(|line| !line.is_empty());
        let units: Vec<&str> = units.flat_map(|line| line.split_whitespace()).collect();
        assert_eq!(units[..3], ["n1:", "restart", "unit-00.service,"], "{shown}");
        assert_eq!(units[units.len() - 3..], ["unit-19.service", "(not", "touched)"], "{shown}");
    }
}

#[test]
fn a_failure_is_printed_once() {
    let world = World::new();
    for name in ["n1", "n2"] {
        std::fs::create_dir_all(world.at(&format!("out/{name}/etc/a.conf"))).unwrap();
    }
    std::fs::write(world.at("out/.gitignore"), "*\n").unwrap();
    let machines = ["n1", "n2"].map(|name| node(name, &[text("/etc/a.conf", "0644", "a\n")]));
    let args = ["--to", "dir:out"];
    let ran = world.push(&[&args[..], &["-o", "text"]].concat(), &bundle(&machines)).exits(3);
    assert_eq!(ran.stderr, "");
    let errors = "\n\nn1: `/etc/a.conf` is a folder\nn2: `/etc/a.conf` is a folder\n\n";
    assert!(ran.stdout.contains(errors), "{}", ran.stdout);
    // What goes to a program is also said to whoever looks on.
    world.push(&args, &bundle(&machines)).exits(3).says("n1: failed: `/etc/a.conf` is a folder");
}

#[test]
fn ansible_gets_its_object() {
    let world = World::new();
    let ran = world.push(&[&PUSH[..], &["-o", "ansible"]].concat(), &simple()).exits(0);
    let result: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&result["changed"], &result["failed"]), (&json!(true), &json!(false)));
    assert!(result["diff"].to_string().contains("n1:/etc/a.conf") && !ran.stdout.contains(CANARY));
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let world = World::new();
    std::fs::create_dir(world.at("small")).unwrap();
    let before = bundle(&[node("n1", &[text("/etc/a", "0644", "old\n"), text("/etc/b", "0644", "old\n")])]);
    let big = "x".repeat(300_000);
    let after = bundle(&[node("n1", &[text("/etc/a", "0644", "new\n"), text("/etc/b", "0644", &big)])]);
    std::fs::write(world.at("before"), before).unwrap();
    std::fs::write(world.at("after"), after).unwrap();
    let program = env!("CARGO_BIN_EXE_kmh-push");
    let line = format!(
        "mount -t tmpfs -o size=256k none small && {program} --to dir:small/out <before >/dev/null && \
         {program} --to dir:small/out <after; code=$?; cat small/out/n1/etc/a small/out/n1/etc/b >&2; \
         ls -A small/out/n1/etc >&2; exit $code"
    );
    let mut command = std::process::Command::new("unshare");
    command.args([if is_root() { "-m" } else { "-rm" }, "sh", "-c", &line]).current_dir(world.path());
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let ran = World::run(command, "").exits(3);
    assert_eq!(ran.machine("n1")["outcome"], "failed");
    assert_eq!(ran.written("n1"), 0, "a file was put in place before all had arrived");
    let error = ran.machine("n1")["error"].as_str().unwrap().to_owned();
    assert!(error.contains("/etc/b") && error.contains("No space left"), "{error}");
    assert!(ran.stderr.ends_with("old\nold\na\nb\n"), "{}", ran.stderr);
}

#[test]
fn killed_at_any_moment_files_are_old_or_new() {
    let world = World::new();
    let version = |v: char| {
        let files: Vec<Value> = (0..150)
            .map(|i| {
                text(
                    &format!("/etc/{}/f{i}", i % 7),
                    "0644",
                    &format!("{i} {}\n", v.to_string().repeat(4000)),
                )
            })
            .collect();
        bundle(&[node("n1", &files)])
    };
    let (old, new) = (version('o'), version('n'));
    let begin = Instant::now();
    world.push(&["--to", "dir:out"], &old).exits(0);
    let whole = begin.elapsed();
    let mut killed = 0;
    for round in 0..24_u32 {
        let (target, other) = if round % 2 == 0 { (&new, 'o') } else { (&old, 'n') };
        let mut child = World::start(world.command(&["--to", "dir:out"]), target);
        std::thread::sleep(whole * (round + 1) / 26);
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        for (path, (mode, bytes)) in tree(&world.at("out")) {
            if path.contains(".kmh-push.") || path == ".gitignore" {
                continue;
            }
            let text = String::from_utf8(bytes).unwrap();
            let (_, body) = text.split_once(' ').unwrap();
            let whole = ["o", "n"].iter().any(|v| body == format!("{}\n", v.repeat(4000)));
            assert!(whole && mode == 0o644, "{path} is neither old nor new ({other})");
        }
        world.push(&["--to", "dir:out"], target).exits(0);
        no_leftovers(&world.at("out"));
        assert_eq!(tree(&world.at("out")).len(), 151);
    }
    assert!(killed >= 6, "only {killed} of the pushes were still running when they were killed");
}

#[test]
fn leftovers_are_cleaned_also_when_nothing_changed() {
    let world = World::new();
    world.push(&PUSH, &simple()).exits(0);
    std::fs::write(world.at("out/n1/etc/.kmh-push.0123.4"), "half of a file").unwrap();
    let ran = world.push(&PUSH, &simple()).exits(0);
    assert_eq!(ran.report()["changed"], false);
    no_leftovers(&world.at("out"));
}

#[test]
fn two_pushes_into_one_folder_do_not_mix() {
    let world = World::new();
    world.push(&PUSH, &simple()).exits(0);
    std::fs::write(world.at("out/n1/etc/a.conf"), "b\n").unwrap();
    // Somebody holds the folder for a while, as another push would.
    let mut holder =
        std::process::Command::new("flock").arg(world.at("out/n1")).args(["sleep", "5"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let ran = world.push(&PUSH, &simple()).exits(3);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(ran.machine("n1")["error"].as_str().unwrap().contains("another push is writing there"));
    assert_eq!(ran.machine("n2")["outcome"], "unchanged");
}
