//! Programs on their way to machines: killed, shortened, too large for a disk. That they run on a node of another
//! architecture is in kmh-lab's `full.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Machine as _;
use crate::support::sshd::{Options, Sshd};
use crate::support::{World, architectures, artifact, bundle, is_root, no_leftovers, program, text, tree};
use crate::{error, push, trust};

/// A world whose folder has these programs for this machine.
fn world(programs: &[(&str, &[u8])]) -> World {
    let world = World::new();
    for (name, bytes) in programs {
        put(&world, name, bytes);
    }
    world
}

fn put(world: &World, name: &str, bytes: &[u8]) {
    let folder = world.at("programs").join(architectures().0);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// A program of this machine that is as long as that, and ends like no other.
fn long(size: usize, end: u8) -> Vec<u8> {
    let mut bytes = program(architectures().0);
    bytes.resize(size, end);
    bytes
}

fn document(sshd: &Sshd, files: &[Value], paths: &[&str]) -> String {
    let arch = architectures().0;
    let mut node = sshd.node("n1", files);
    let artifacts = paths.iter().map(|path| artifact(path, arch, "https://example.net/x.tar.gz"));
    node["artifacts"] = artifacts.collect();
    bundle(&[node])
}

const WITH: [&str; 2] = ["--artifacts", "programs"];

#[test]
fn a_program_is_sent_once_runs_there_and_its_unit_is_restarted() {
    assert!(is_root(), "this test needs root: run it as root or with sudo");
    let [echo, sleep] = ["/bin/echo", "/bin/sleep"].map(|path| std::fs::read(path).unwrap());
    let world = world(&[("tool", &echo), ("other", &sleep)]);
    let prepare = "mount -t tmpfs none /etc/systemd/system\n".to_owned();
    let sshd = Sshd::start(&world, 1, &Options { root: true, prepare, ..Options::default() });
    trust(&world, &[&sshd]);
    let bin = format!("{}/bin", sshd.root.display());
    let (tool, other) = (format!("{bin}/tool"), format!("{bin}/other"));
    let unit =
        text("/etc/systemd/system/tool.service", "0644", &format!("[Service]\nExecStart={tool} -n x\n"));
    let mut document: Value = serde_json::from_str(&document(&sshd, &[unit], &[&tool, &other])).unwrap();
    document["spec"]["machines"][0]["units"] = json!([{"name": "tool.service", "enable": true}]);
    let document = document.to_string();
    let asked = || {
        let log = sshd.file("systemctl.log");
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(log);
        said.lines().map(|line| line.replace("--no-ask-password ", "").replace("-- ", "")).collect::<Vec<_>>()
    };
    let args = ["--to", "ssh", "--known-hosts", "known", "--identity", "id", "--artifacts", "programs"];
    let dry = world.push(&[&args[..], &["--dry-run"]].concat(), &document).exits(0);
    assert_eq!((dry.written("n1"), tree(&sshd.root)), (3, BTreeMap::new()));
    assert_eq!(dry.machine("n1")["written"][2], json!({"path": tool, "reason": "missing"}));
    let ran = world.push(&args, &document).exits(0);
    assert_eq!(ran.written("n1"), 3);
    assert_eq!(asked(), ["daemon-reload", "enable tool.service", "restart tool.service"]);
    let said = std::process::Command::new(&tool).arg("it runs").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "it runs\n");
    let again = world.push(&args, &document).exits(0);
    assert_eq!((&again.report()["changed"], &again.machine("n1")["unchanged"]), (&json!(false), &json!(3)));
    assert_eq!(asked(), Vec::<String>::new());
    // Only its own unit is restarted, and a program that runs can be replaced.
    put(&world, "tool", &[&echo[..], b"2"].concat());
    assert_eq!(world.push(&args, &document).exits(0).written("n1"), 1);
    assert_eq!(asked(), ["restart tool.service"]);
    let mut running = std::process::Command::new(&other).arg("60").spawn().unwrap();
    put(&world, "other", &[&sleep[..], b"2"].concat());
    let ran = world.push(&args, &document);
    assert!(running.try_wait().unwrap().is_none());
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!((ran.exits(0).written("n1"), asked()), (1, vec![]));
}

#[test]
fn one_of_another_architecture_is_refused_before_anybody_is_asked() {
    let (own, other) = architectures();
    let world = world(&[("tool", &program(other))]);
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let document = document(&sshd, &[text("/etc/a", "0644", "a\n")], &["/usr/local/bin/tool"]);
    for more in [&WITH[..], &["--artifacts", "programs", "--dry-run"]] {
        let ran = push(&world, &sshd, more, &document).exits(2);
        ran.says(&format!("`programs/{own}/tool` is a program for {other}, and must be a program for {own}"));
    }
    assert!(!sshd.log().contains("Accepted publickey"), "{}", sshd.log());
    assert_eq!(tree(&sshd.root), BTreeMap::new());
    put(&world, "tool", &program(own));
    push(&world, &sshd, &WITH, &document).exits(0);
    assert!(sshd.log().contains("Accepted publickey"), "{}", sshd.log());
}

#[test]
fn killed_while_it_is_sent_a_program_is_the_old_or_the_new_one() {
    let world = world(&[]);
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let document = document(&sshd, &[], &["/usr/local/bin/tool"]);
    let versions = [long(6_000_000, b'o'), long(6_000_000, b'n')];
    let root = sshd.root.display().to_string();
    let args = [
        "--to",
        "ssh",
        "--known-hosts",
        "known",
        "--identity",
        "id",
        "--artifacts",
        "programs",
        "--root",
        &root,
    ];
    let at: PathBuf = sshd.root.join("usr/local/bin/tool");
    put(&world, "tool", &versions[0]);
    let begin = Instant::now();
    push(&world, &sshd, &WITH, &document).exits(0);
    let whole = begin.elapsed();
    let mut between = 0;
    for round in 0..10_u32 {
        let new = &versions[usize::from(round % 2 == 0)];
        put(&world, "tool", new);
        let mut child = World::start(world.command(&args), &document);
        std::thread::sleep(whole * (round + 2) / 12);
        let part = std::fs::read_dir(at.parent().unwrap()).unwrap().count() > 1;
        between += u32::from(part);
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(150));
        let found = std::fs::read(&at).unwrap();
        assert!(versions.contains(&found), "{} octets, {round}", found.len());
        push(&world, &sshd, &WITH, &document).exits(0);
        assert!(std::fs::read(&at).unwrap() == *new);
        no_leftovers(&sshd.root);
    }
    assert!(between > 0, "no kill came while the program was on its way");
}

#[test]
fn a_program_that_becomes_shorter_on_its_way_is_not_installed() {
    let world = world(&[("tool", &long(3_000_000, b'x'))]);
    let wrapper = "touch DIR/asked; while [ ! -e DIR/go ]; do sleep 0.05; done; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let wrapper = wrapper.replace("DIR", &world.at("sshd-1").display().to_string());
    let sshd = Sshd::start(&world, 1, &Options { wrapper: Some(wrapper), ..Options::default() });
    trust(&world, &[&sshd]);
    let document = document(&sshd, &[text("/etc/a", "0644", "a\n")], &["/usr/local/bin/tool"]);
    let root = sshd.root.display().to_string();
    let args = [
        "--to",
        "ssh",
        "--known-hosts",
        "known",
        "--identity",
        "id",
        "--artifacts",
        "programs",
        "--root",
        &root,
    ];
    let child = World::start(world.command(&args), &document);
    for _ in 0..200 {
        if sshd.file("asked").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // By now it has been read and judged.
    put(&world, "tool", &long(2_000_000, b'x'));
    std::fs::write(sshd.file("go"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("a program cannot be read here any more: it is shorter than it was"), "{said}");
    // Nothing is in its place, and what was staged goes as soon as the other side notices.
    let mut names: Vec<String> = Vec::new();
    for _ in 0..200 {
        names = tree(&sshd.root).into_keys().collect();
        assert!(names.iter().all(|name| name.contains(".kmh-push.")), "{names:?}");
        if names.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(names, Vec::<String>::new());
}

#[test]
fn a_full_disk_leaves_the_program_that_was_there() {
    assert!(is_root(), "this test needs root: run it as root or with sudo");
    let world = world(&[("tool", &long(200_000, b'o'))]);
    let prepare = "mount -t tmpfs -o size=3m,mode=0777 none DIR/root\n".to_owned();
    let sshd = Sshd::start(&world, 1, &Options { prepare, ..Options::default() });
    trust(&world, &[&sshd]);
    let document = document(&sshd, &[], &["/usr/local/bin/tool"]);
    push(&world, &sshd, &WITH, &document).exits(0);
    put(&world, "tool", &long(9_000_000, b'n'));
    let ran = push(&world, &sshd, &WITH, &document).exits(3);
    assert!(error(&ran, "n1").contains("No space left"), "{}", error(&ran, "n1"));
    assert_eq!(ran.written("n1"), 0);
    put(&world, "tool", &long(200_000, b'o'));
    assert_eq!(push(&world, &sshd, &WITH, &document).exits(0).machine("n1")["outcome"], "unchanged");
}

#[test]
fn a_large_program_is_not_held_in_memory_and_its_way_is_shown() {
    let world = world(&[("tool", &long(48_000_000, b'x'))]);
    let sshd = Sshd::start(&world, 1, &Options::default());
    trust(&world, &[&sshd]);
    let document = document(&sshd, &[], &["/usr/local/bin/tool"]);
    let root = sshd.root.display().to_string();
    let args = [
        "--to",
        "ssh",
        "--known-hosts",
        "known",
        "--identity",
        "id",
        "--artifacts",
        "programs",
        "--root",
        &root,
    ];
    let mut child = World::start(world.command(&args), &document);
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(sshd.root.join("usr/local/bin/tool").metadata().unwrap().len(), 48_000_000);
    assert!(most > 1000 && most < 30_000, "{most} kB");

    // And whoever sits before a terminal sees how far it is.
    put(&world, "tool", &long(48_000_000, b'y'));
    std::fs::write(world.at("bundle.json"), &document).unwrap();
    // A quick machine is done before anything is shown: it is held up for longer than that.
    let push = format!("{} -i bundle.json {} >report", env!("CARGO_BIN_EXE_kmh-push"), args.join(" "));
    let line = format!("{push} & p=$!; sleep 0.1; kill -STOP $p; sleep 1.3; kill -CONT $p; wait $p");
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(world.path()).stdin(std::process::Stdio::null());
    let shown = command.output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{text}");
    assert!(text.contains("kmh-push: n1: ") && text.contains(" of 48.0 MB sent\r"), "{text:?}");
}
