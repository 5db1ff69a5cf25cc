//! A second run that finds everything as it was gives the last one's answer; and whatever changed is seen.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration as Wait;

use common::Place;
use common::clock::START;
use kmh_cli::{Env, Exit};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

/// What stands in an answer that was remembered, and in no other.
const MARK: &str = "REMEMBERED";

/// Enough certificates to be remembered.
fn inventory() -> String {
    let mut out = "kind: kmh.inventory/v1\nspec:\n  cluster: {name: large, pod_cidrs: 10.200.0.0/16, \
         service_cidrs: 10.201.0.0/16, api: {host: k8s.example.net}}\n  sites:\n    - name: here\n      \
         network: 10.10.0.0/24\n      pod_cidrs: 10.200.0.0/17\n      \
         routers: [{name: gw, id: 1, kind: linux, asn: 65010, address: 10.10.0.1}]\n  nodes:\n    \
         - {name: cp, site: here, address: 10.10.0.11, roles: [control-plane, etcd]}\n"
        .to_owned();
    for node in 0..70 {
        let _ = writeln!(out, "    - {{name: n-{node}, site: here, address: 10.10.0.{}}}", 100 + node);
    }
    out
}

struct World {
    place: Place,
    inventory: String,
}

impl World {
    fn run(&self, now: OffsetDateTime, args: &[&str]) -> (Exit, String, String) {
        let store = self.place.store();
        let args = [&["kmh-pki", "--store", store.to_str().unwrap(), "--only"], args].concat();
        let (mut env, captured) = Env::fake(args, self.inventory.as_str());
        env.now = now;
        env.vars.insert("XDG_CACHE_HOME".into(), self.place.path().join("caches").into());
        let exit = kmh_pki::run(&mut env);
        (exit, captured.stdout_text(), captured.stderr_text())
    }

    fn file(&self) -> Option<PathBuf> {
        let found = std::fs::read_dir(self.place.path().join("caches/kmh")).ok()?.next()?;
        Some(found.unwrap().path())
    }

    /// A store whose answer is remembered, as it was told, with a mark in it.
    fn marked() -> (Self, String) {
        let world = Self { place: Place::new(), inventory: inventory() };
        let (exit, first, stderr) = world.run(START, &["--init"]);
        assert_eq!((exit, stderr.as_str()), (Exit::Done, ""));
        world.mark(START);
        (world, first)
    }

    /// Lets a run remember its answer, and changes that.
    fn mark(&self, now: OffsetDateTime) {
        // Files that are younger than the clock's step are not trusted to be as they were.
        std::thread::sleep(Wait::from_millis(50));
        if let Some(file) = self.file() {
            std::fs::remove_file(file).unwrap();
        }
        let (exit, stdout, stderr) = self.run(now, &[]);
        assert_eq!((exit, stderr.as_str()), (Exit::Done, ""));
        assert!(!stdout.contains(MARK), "a lost answer is told");
        let path = self.file().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, document) = text.split_once('\n').unwrap();
        let document = document.replacen("kube-proxy", MARK, 1);
        let mut head: Value = serde_json::from_str(head).unwrap();
        head["octets"] = Sha256::digest(&document)
            .iter()
            .fold(String::new(), |mut text, octet| {
                let _ = write!(text, "{octet:02x}");
                text
            })
            .into();
        std::fs::write(path, format!("{head}\n{document}")).unwrap();
        assert!(self.recalls(now), "the mark is told");
    }

    fn recalls(&self, now: OffsetDateTime) -> bool {
        let (exit, stdout, stderr) = self.run(now, &[]);
        assert_eq!((exit, stderr.as_str()), (Exit::Done, ""));
        stdout.contains(MARK)
    }

    fn key(&self) -> PathBuf {
        self.place.store().join("nodes/n-3/kubelet-client.key")
    }
}

#[test]
fn the_answer_is_the_same_and_is_remembered() {
    let (world, first) = World::marked();
    let mode = world.file().unwrap().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(world.file().unwrap()).unwrap();
    let (_, read, _) = world.run(START, &[]);
    assert_eq!(first, read);
    let (_, recalled, _) = world.run(START, &[]);
    assert_eq!(read, recalled);
    let is_key = |path: &String| path.rsplit_once('.').is_some_and(|(_, ending)| ending == "key");
    let keys: Vec<_> = world.place.files().into_iter().filter(|(path, _)| is_key(path)).collect();
    let kept = std::fs::read_to_string(world.file().unwrap()).unwrap();
    assert!(keys.iter().all(|(_, key)| !kept.contains(&*String::from_utf8_lossy(key))));
}

#[test]
fn what_changed_is_seen() {
    let (world, _) = World::marked();
    // Content, at the same size, with its old time of modification.
    let whole = std::fs::read(world.key()).unwrap();
    let time = world.key().metadata().unwrap().modified().unwrap();
    let other = std::fs::read(world.place.store().join("nodes/n-4/kubelet-client.key")).unwrap();
    assert_eq!(whole.len(), other.len());
    let file = std::fs::File::options().write(true).open(world.key()).unwrap();
    std::io::Write::write_all(&mut &file, &other).unwrap();
    file.set_modified(time).unwrap();
    let (exit, _, stderr) = world.run(START, &[]);
    assert_eq!(exit, Exit::World);
    assert!(stderr.contains("does not belong to it"), "{stderr}");
    std::fs::write(world.key(), &whole).unwrap();
    world.mark(START);

    // A mode.
    let mode = |mode| std::fs::set_permissions(world.key(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let (_, stdout, stderr) = world.run(START, &[]);
    assert!(!stdout.contains(MARK) && stderr.contains("can be read by others"), "{stderr}");
    mode(0o600);
    world.mark(START);

    // A file more, and a file less.
    let odd = world.place.store().join("nodes/n-3/odd.crt");
    std::fs::copy(world.place.store().join("ca/etcd.crt"), &odd).unwrap();
    assert!(!world.recalls(START));
    std::fs::remove_file(&odd).unwrap();
    world.mark(START);
    std::fs::remove_file(world.key()).unwrap();
    let (exit, _, stderr) = world.run(START, &[]);
    assert_eq!(exit, Exit::World);
    assert!(stderr.contains("has no key"), "{stderr}");
    std::fs::write(world.key(), &whole).unwrap();
    mode(0o600);
    world.mark(START);

    // The day, in both directions.
    assert!(world.recalls(START + Duration::hours(23)));
    assert!(!world.recalls(START + Duration::days(1)));
    world.mark(START);
    assert!(!world.recalls(START - Duration::minutes(1)));
    world.mark(START);

    // The inventory.
    let before = world.inventory.clone();
    let changed = World { place: world.place, inventory: before.replace("10.10.0.103}", "10.10.0.253}") };
    let (exit, stdout, _) = changed.run(START, &[]);
    assert!(exit == Exit::Done && !stdout.contains(MARK) && stdout.contains("10.10.0.253"));
}

#[test]
fn who_asks_for_more_is_not_told_from_memory() {
    let (world, _) = World::marked();
    for args in [&["--dry-run"][..], &["--limit", "n-3"], &["-o", "text"], &["-o", "ansible"], &["--repair"]]
    {
        let (exit, stdout, stderr) = world.run(START, args);
        assert_eq!(exit, Exit::Done, "{stderr}");
        assert!(!stdout.contains(MARK), "{args:?}");
        world.mark(START);
    }
    // Cut off, rotten, or of another kind: read anew, without a word.
    let file = world.file().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    for bad in [&text[..text.len() / 2], &text.replacen("MII", "MIJ", 1), "", "{}\n", "\0\0"] {
        std::fs::write(&file, bad).unwrap();
        assert!(!world.recalls(START));
    }
    world.mark(START);
    // A renewal is not slept through: a third of a year and the hour by which certificates are set back.
    let due = START + Duration::days(365) - (Duration::days(365) + Duration::hours(1)) / 3;
    world.mark(due - Duration::hours(2));
    assert!(world.recalls(due - Duration::minutes(1)));
    let (exit, stdout, _) = world.run(due + Duration::minutes(1), &[]);
    assert!(exit == Exit::Done && !stdout.contains(MARK));
    assert!(stdout.contains("\"not_before\":\"2027-07-"), "made again");
}
