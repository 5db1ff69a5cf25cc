//! Units: a real sshd, a login as root, and a systemctl that writes down what it is asked, and fails or is slow when it
//! should; what systemd makes of the same is in kmh-lab's `full.rs`. The machine is a mount namespace, so these tests need
//! root.

use crate::support::Machine as _;
use crate::support::sshd::{Options, Sshd};
use crate::support::{Ran, World, bundle, is_root, text};
use serde_json::{Value, json};

/// A machine whose files go to the real root, below a folder that is the test's own.
struct Machine {
    world: World,
    sshd: Sshd,
}

impl Machine {
    fn start() -> Self {
        assert!(is_root(), "this test needs root: run it as root or with sudo");
        let world = World::new();
        let sshd = Sshd::start(&world, 1, &Options { root: true, ..Options::default() });
        std::fs::write(world.at("known"), sshd.known()).unwrap();
        Self { world, sshd }
    }

    fn file(&self, name: &str, content: &str, changes: &[(&str, &str)]) -> Value {
        let mut file = text(&format!("{}/{name}", self.sshd.root.display()), "0644", content);
        file["on_change"] =
            changes.iter().map(|(unit, action)| json!({"unit": unit, "action": action})).collect();
        file
    }

    fn push(&self, more: &[&str], files: &[Value], units: &[&str]) -> Ran {
        let mut node = self.sshd.node("n1", files);
        node["units"] = units.iter().map(|name| json!({"name": name, "enable": true})).collect();
        let args = ["--to", "ssh", "--known-hosts", "known", "--identity", "id"];
        self.world.push(&[&args[..], more].concat(), &bundle(&[node]))
    }

    /// What systemctl was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let log = self.sshd.file("systemctl.log");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(log);
        text.lines().map(|line| line.replace("--no-ask-password ", "").replace("-- ", "")).collect()
    }
}

#[test]
fn changed_files_restart_their_units_in_order_and_once() {
    let machine = Machine::start();
    let files = |a: &str| {
        [
            machine.file("a", a, &[("z.service", "restart"), ("a.service", "reload")]),
            machine.file("b", "b", &[("z.service", "restart"), ("systemd-sysctl.service", "restart")]),
        ]
    };
    let units = ["z.service", "a.service", "unrelated.service"];
    let planned = machine.push(&["--dry-run"], &files("1"), &units).exits(0);
    assert_eq!(machine.asked(), Vec::<String>::new());
    let ran = machine.push(&[], &files("1"), &units).exits(0);
    let steps = [
        "enable z.service",
        "enable a.service",
        "enable unrelated.service",
        "restart systemd-sysctl.service",
        "restart z.service",
        "reload-or-restart a.service",
    ];
    assert_eq!(machine.asked(), steps);
    let names = |ran: &Ran| -> Vec<Value> {
        ran.machine("n1")["units"].as_array().unwrap().iter().map(|unit| unit["name"].clone()).collect()
    };
    assert_eq!(names(&planned), names(&ran));
    assert!(ran.machine("n1")["units"].as_array().unwrap().iter().all(|unit| unit["ok"] == true));
    // Nothing changed: nothing is asked.
    let again = machine.push(&[], &files("1"), &units).exits(0);
    assert_eq!((machine.asked(), &again.report()["changed"]), (vec![], &json!(false)));
    // One file: only what follows from it.
    machine.push(&[], &files("2"), &units).exits(0);
    assert_eq!(machine.asked(), ["restart z.service", "reload-or-restart a.service"]);
    // A unit that somebody disabled is enabled again.
    std::fs::write(machine.sshd.file("enabled"), "z.service\na.service\n").unwrap();
    let ran = machine.push(&[], &files("2"), &units).exits(0);
    assert_eq!(
        (machine.asked(), &ran.machine("n1")["outcome"]),
        (vec!["enable unrelated.service".to_owned()], &json!("changed"))
    );
}

#[test]
fn a_unit_that_fails_is_tried_again_by_the_next_push() {
    let machine = Machine::start();
    let files = [machine.file(
        "a",
        "1",
        &[("a.service", "restart"), ("bad.service", "restart"), ("c.service", "restart")],
    )];
    let units = ["a.service", "bad.service", "c.service"];
    let ran = machine.push(&[], &files, &units).exits(3);
    let report = ran.machine("n1");
    assert_eq!((&report["outcome"], report["written"].as_array().unwrap().len()), (&json!("failed"), 1));
    let error = report["error"].as_str().unwrap();
    assert!(
        error.contains("systemctl restart bad.service failed")
            && error.contains("Job for bad.service failed."),
        "{error}"
    );
    let journal = "; its journal ends: first | \\u{1b}[2Jcannot open /etc/bad: no such file | last";
    assert!(error.ends_with(journal), "{error}");
    let oks: Vec<Value> = report["units"].as_array().unwrap().iter().map(|unit| unit["ok"].clone()).collect();
    assert_eq!(oks, [json!(true), json!(true), json!(true), json!(true), json!(false), Value::Null]);
    machine.asked();
    // The files are right already; what was not done is remembered on the machine.
    let planned = machine.push(&["--dry-run"], &files, &units).exits(0);
    assert_eq!((planned.written("n1"), &planned.machine("n1")["outcome"]), (0, &json!("would-change")));
    machine.push(&[], &files, &units).exits(3);
    assert_eq!(machine.asked(), ["restart bad.service"]);
    std::fs::write(machine.sshd.file("healed"), "").unwrap();
    machine.push(&[], &files, &units).exits(0);
    assert_eq!(machine.asked(), ["restart bad.service", "restart c.service"]);
    machine.push(&[], &files, &units).exits(0);
    assert_eq!(machine.asked(), Vec::<String>::new());
}

#[test]
fn a_push_that_is_killed_before_the_restart_is_completed_by_the_next() {
    let machine = Machine::start();
    let files = [machine.file("a", "1", &[("slow.service", "restart"), ("z.service", "restart")])];
    let units = ["slow.service", "z.service"];
    let mut node = machine.sshd.node("n1", &files);
    node["units"] = units.iter().map(|name| json!({"name": name, "enable": false})).collect();
    let command = machine.world.command(&["--to", "ssh", "--known-hosts", "known", "--identity", "id"]);
    let mut child = World::start(command, &bundle(&[node]));
    let path = machine.sshd.root.join("a");
    for _ in 0..500 {
        if path.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(path.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    // And whatever runs there for it.
    std::thread::sleep(std::time::Duration::from_millis(200));
    machine.asked();
    let ran = machine.push(&[], &files, &units).exits(0);
    assert_eq!(ran.written("n1"), 0);
    let asked = machine.asked();
    assert!(asked.contains(&"restart z.service".to_owned()), "{asked:?}");
}

#[test]
fn owners_are_set_and_compared() {
    let machine = Machine::start();
    let mut file = machine.file("a", "1", &[]);
    file["owner"] = json!("daemon:mail");
    file["mode"] = json!("0440");
    machine.push(&[], std::slice::from_ref(&file), &[]).exits(0);
    let meta = || {
        use std::os::unix::fs::MetadataExt as _;
        let meta = machine.sshd.root.join("a").metadata().unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    assert_eq!(meta(), (1, 8, 0o440));
    assert_eq!(machine.push(&[], std::slice::from_ref(&file), &[]).exits(0).written("n1"), 0);
    std::os::unix::fs::chown(machine.sshd.root.join("a"), Some(0), Some(0)).unwrap();
    let ran = machine.push(&[], std::slice::from_ref(&file), &[]).exits(0);
    assert_eq!(ran.machine("n1")["written"][0]["reason"], "mode");
    assert_eq!(meta(), (1, 8, 0o440));
    // A user that the machine does not have: said before anything is put in place.
    file["owner"] = json!("nosuchuser:root");
    let ran = machine.push(&[], &[machine.file("b", "2", &[]), file], &[]).exits(3);
    let error = ran.machine("n1")["error"].as_str().unwrap().to_owned();
    assert!(error.contains("cannot be given to nosuchuser:root"), "{error}");
    assert!(!machine.sshd.root.join("b").exists());
}

#[test]
fn a_machine_without_systemd_is_not_begun() {
    let machine = Machine::start();
    let world = &machine.world;
    // The same login, in a namespace without the stand-in.
    let plain = Sshd::start(
        world,
        2,
        &Options {
            root: true,
            prepare: "umount /usr/bin/systemctl\nrm -r /run/systemd\n".into(),
            ..Options::default()
        },
    );
    std::fs::write(world.at("known"), plain.known()).unwrap();
    let mut file = text(&format!("{}/a", plain.root.display()), "0644", "1");
    file["on_change"] = json!([{"unit": "a.service", "action": "restart"}]);
    let ran = world
        .push(
            &["--to", "ssh", "--known-hosts", "known", "--identity", "id"],
            &bundle(&[plain.node("n1", &[file])]),
        )
        .exits(3);
    assert!(ran.machine("n1")["error"].as_str().unwrap().contains("systemd does not run there"));
    assert!(!plain.root.join("a").exists());
}

#[test]
fn a_machine_of_another_architecture_is_refused_before_anything_is_written() {
    let machine = Machine::start();
    let (mine, name, other) = match std::env::consts::ARCH {
        "aarch64" => ("aarch64", "arm64", "amd64"),
        _ => ("x86_64", "amd64", "arm64"),
    };
    let push = |arch: &str, args: &[&str]| {
        let mut node = machine.sshd.node("n1", &[machine.file("a", "a", &[("a.service", "restart")])]);
        node["arch"] = json!(arch);
        let to = ["--to", "ssh", "--known-hosts", "known", "--identity", "id"];
        machine.world.push(&[&to[..], args].concat(), &bundle(&[node]))
    };
    for args in [&[][..], &["--dry-run"]] {
        let ran = push(other, args).exits(3);
        let report = ran.machine("n1");
        assert_eq!((&report["outcome"], &report["arch"]), (&json!("failed"), &json!(name)));
        let host = &machine.sshd.host;
        let says = format!(
            "its files are for {other}, and the machine at {host} is {name}: its kernel says `{mine}`"
        );
        assert_eq!(report["error"], json!(says));
        ran.says("hint: see whether `n1` is the machine that answers there");
        assert!(!machine.sshd.root.join("a").exists());
        assert_eq!(machine.asked(), Vec::<String>::new());
    }
    assert_eq!(push(name, &[]).exits(0).machine("n1")["arch"], json!(name));
    assert!(machine.sshd.root.join("a").exists());
}
