//! Changes that give names away, killed before each single step that they take on the disk: what is there afterwards is
//! the store before the change or the store after it, for those who only read as for those who write, and every key is
//! where somebody finds it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{Place, SMALL};
use kmh_pki::cert::Certificate;
use kmh_pki::secret::Secret;
use kmh_pki::store::{Change, Made, Opening, Public, Store};

/// The system calls by which a write takes its steps: files are begun and protected, named, renamed, removed, synced.
const STEPS: &str = "/^(mkdir|link|fchmod|rename|unlink|syncfs|fsync)";

/// Tells the program that this one starts of itself what to do, and where.
const TASK: &str = "KMH_TEST_TASK";

type Files = BTreeMap<String, Vec<u8>>;

/// A change of a store with these files.
type Make = fn(&Files) -> Change;

/// Changes as a rotation makes them, by name.
const CHANGES: [(&str, Make); 4] = [
    // `ca/cluster.old` is of an earlier rotation that nobody finished: it goes to the archive.
    ("issue", |files| Change {
        made: [("nodes/w-1/kube-proxy".to_owned(), made(files, "nodes/w-2/kube-proxy"))].into(),
        moves: pairs(&[("ca/cluster", "ca/cluster.old"), ("ca/cluster.next", "ca/cluster")]),
        retired: vec![],
    }),
    ("swap", |_| Change {
        moves: pairs(&[
            ("keys/encryption", "keys/encryption.old"),
            ("keys/encryption.old", "keys/encryption"),
        ]),
        ..Change::default()
    }),
    ("drop", |_| Change {
        retired: vec!["ca/cluster.old".to_owned(), "keys/encryption.old".to_owned()],
        ..Change::default()
    }),
    // The key of this CA is away: none of another may stand beside its certificate.
    ("half", |_| Change { moves: pairs(&[("ca/etcd", "ca/cluster.old")]), ..Change::default() }),
];

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

fn made(files: &Files, name: &str) -> Made {
    let certificate = Certificate::from_pem(&files[&format!("{name}.crt")]).unwrap();
    let key = Secret::new(files[&format!("{name}.key")].clone());
    let public = certificate.public.clone();
    Made { key: Some(key), public: Public::pair(certificate, public) }
}

fn open(store: &Path, dry_run: bool) -> Store {
    let how = Opening { cluster: "small", init: false, dry_run };
    Store::open(store, how, &mut |_| ()).unwrap().unwrap()
}

/// Every change; and of itself this program starts it, to be killed: a change, or the next run, which finishes it.
#[test]
fn task() {
    let Ok(task) = std::env::var(TASK) else {
        let before = store();
        for (name, change) in CHANGES {
            let place = Place::new();
            write(&place, &before);
            open(&place.store(), false).commit(&change(&before)).unwrap();
            let after = expected(&before, &change(&before));
            assert!(after != before && place.files() == after, "{name}: {:?}", place.files().keys());
        }
        return;
    };
    let (what, store) = task.split_once(' ').unwrap();
    let store = Path::new(store);
    let opened = open(store, false);
    if let Some((_, change)) = CHANGES.iter().find(|(name, _)| *name == what) {
        let files = common::files(store);
        opened.commit(&change(&files)).unwrap();
    } else {
        assert_eq!(what, "recover");
    }
}

/// Starts a task under strace.
fn run(place: &Place, task: &str, options: &[&str]) -> Output {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={STEPS}")]).args(options);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "task"]);
    command.env(TASK, format!("{task} {}", place.store().display()));
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).output().unwrap()
}

/// The steps of a task.
fn steps(place: &Place, task: &str) -> Vec<(String, usize)> {
    let trace = place.path().join("trace");
    let ran = run(place, task, &["-o", trace.to_str().unwrap()]);
    assert!(ran.status.success(), "{ran:?}");
    common::calls(&std::fs::read_to_string(trace).unwrap())
}

/// Starts a task, which dies before it takes that step; whether it did.
fn killed(place: &Place, task: &str, (call, count): (&str, usize)) -> bool {
    let inject = format!("inject={call}:signal=SIGKILL:when={count}");
    let output = run(place, task, &["-o", "/dev/null", "-e", &inject]);
    match (output.status.signal(), output.status.code()) {
        (Some(9), _) => true,
        (None, Some(0)) => false,
        _ => panic!("{task}: {output:?}"),
    }
}

/// Starts a task in which that step fails, and with it the task.
fn fails(place: &Place, task: &str, (call, count): (&str, usize)) {
    let inject = format!("inject={call}:error=EIO:when={count}");
    let output = run(place, task, &["-o", "/dev/null", "-e", &inject]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(101) && said.contains("input/output error"), "{task}: {output:?}");
}

/// A store with two generations more of a CA and one of the encryption key, and a CA without its key.
fn store() -> Files {
    let mut files = Place::with_store(SMALL).files();
    let copies = [
        ("ca/front-proxy.crt", "ca/cluster.next.crt"),
        ("ca/front-proxy.key", "ca/cluster.next.key"),
        ("ca/ipsec.crt", "ca/cluster.old.crt"),
        ("ca/ipsec.key", "ca/cluster.old.key"),
    ];
    for (from, to) in copies {
        let bytes = files[from].clone();
        files.insert(to.to_owned(), bytes);
    }
    files.insert("keys/encryption.old.key".to_owned(), vec![7; 32]);
    files.remove("ca/etcd.key");
    files
}

fn write(place: &Place, files: &Files) {
    for (name, bytes) in files {
        let path = place.store().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// What a change makes of a store, said once more and plainly.
fn expected(before: &Files, change: &Change) -> Files {
    let mut after = before.clone();
    let of = |name: &str| ["crt", "key"].map(|ending| format!("{name}.{ending}"));
    for (from, _) in &change.moves {
        after.retain(|file, _| !of(from).contains(file));
    }
    for (from, to) in &change.moves {
        for (from, to) in of(from).iter().zip(of(to)) {
            after.remove(&to);
            after.extend(before.get(from).map(|bytes| (to, bytes.clone())));
        }
    }
    for name in &change.retired {
        after.retain(|file, _| !of(name).contains(file));
    }
    for (name, made) in &change.made {
        after.insert(format!("{name}.key"), made.key.as_ref().unwrap().octets().to_vec());
        let Public::Certificate(pair) = &made.public else { panic!("a bare key") };
        after.insert(format!("{name}.crt"), pair.certificate.there().unwrap().pem.clone().into_bytes());
    }
    after
}

/// Nothing that was ever in the store is nowhere now.
fn nothing_is_lost(before: &Files, now: &Files, when: &str) {
    let kept: BTreeSet<&Vec<u8>> = now.values().collect();
    for (name, bytes) in before {
        assert!(kept.contains(bytes), "{when}: {name} is lost; there are {:?}", now.keys());
    }
}

#[test]
fn a_change_that_is_killed_before_any_step_happened_or_did_not_and_loses_nothing() {
    let before = store();
    for (name, change) in CHANGES {
        let after = expected(&before, &change(&before));
        let place = Place::new();
        write(&place, &before);
        let steps = steps(&place, name);
        let (mut old, mut new) = (0, 0);
        for (index, (call, count)) in steps.iter().enumerate() {
            let when = format!("{name}, before {call} {count}");
            let place = Place::new();
            write(&place, &before);
            assert!(killed(&place, name, (call, *count)), "{when}: it lived");
            let now = settled(&place, &before, &when, index);
            assert!([&before, &after].contains(&&now), "{when}: {:?}", now.keys());
            *(if now == after { &mut new } else { &mut old }) += 1;
            // The same step fails: before it counts, everything is taken back at once.
            let when = format!("{name}, {call} {count} fails");
            let place = Place::new();
            write(&place, &before);
            fails(&place, name, (call, *count));
            let counts = steps.iter().position(|(call, _)| call.starts_with("rename")).unwrap();
            if index <= counts {
                assert!(place.everything() == before, "{when}: {:?}", place.everything().keys());
                assert!(!place.store().join("archive").exists(), "{when}");
            }
            let now = settled(&place, &before, &when, index);
            assert!(now == *if index <= counts { &before } else { &after }, "{when}: {:?}", now.keys());
        }
        assert!(
            old >= 5 && new >= 5,
            "{name}: of {} steps {old} before it counted, {new} after",
            steps.len()
        );
    }
}

/// The store after a kill and the runs that follow, some of which are killed too.
fn settled(place: &Place, before: &Files, when: &str, index: usize) -> Files {
    nothing_is_lost(before, &place.everything(), when);
    // What those see who only read.
    let seen = open(&place.store(), true).names().unwrap();
    for count in 1.. {
        let call = ["rename", "unlink", "syncfs", "fsync"][index % 4];
        if !killed(place, "recover", (call, count)) {
            break;
        }
        nothing_is_lost(before, &place.everything(), &format!("{when}, next run before {call} {count}"));
    }
    open(&place.store(), false).tidy().unwrap();
    nothing_is_lost(before, &place.everything(), when);
    let now = place.files();
    let names = now.keys().filter(|file| file.contains('/')).map(|file| file[..file.len() - 4].to_owned());
    assert_eq!(seen, names.collect(), "{when}: a reader saw another store than the next writer");
    now
}

#[test]
fn what_is_replaced_or_retired_is_in_the_archive_by_its_serial_number() {
    let before = store();
    let place = Place::new();
    write(&place, &before);
    let serial = |file: &str| Certificate::from_pem(&before[file]).unwrap().serial;
    for (name, change) in [CHANGES[0], CHANGES[2]] {
        let opened = open(&place.store(), false);
        opened.commit(&change(&before)).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    }
    let now = place.everything();
    let [proxy, old, replaced] = ["nodes/w-1/kube-proxy", "ca/cluster.old", "ca/cluster"];
    let archived = |name: &str, ending: &str, serial: &str| format!("archive/{name}.{serial}.{ending}");
    for ending in ["crt", "key"] {
        let file = |name: &str| format!("{name}.{ending}");
        assert_eq!(now[&archived(proxy, ending, &serial("nodes/w-1/kube-proxy.crt"))], before[&file(proxy)]);
        assert_eq!(now[&archived(old, ending, &serial("ca/cluster.old.crt"))], before[&file(old)]);
        // Was renamed to `.old` by the first change and retired by the second.
        assert_eq!(now[&archived(old, ending, &serial("ca/cluster.crt"))], before[&file(replaced)]);
    }
    // The encryption key has no certificate, and goes by a digest.
    let keys = now.iter().filter(|(file, _)| file.starts_with("archive/keys/encryption.old."));
    let keys: Vec<_> = keys.map(|(file, bytes)| (file.len(), bytes)).collect();
    assert_eq!(keys, [("archive/keys/encryption.old.12345678.key".len(), &vec![7; 32])]);
    assert_eq!(now.keys().filter(|file| file.starts_with("archive/")).count(), 7);
    let folders = ["archive", "archive/ca", "archive/nodes/w-1"].map(|folder| place.store().join(folder));
    let snapshot = place.snapshot();
    assert_eq!(folders.map(|folder| snapshot[&folder].0), [0o700; 3]);
}

#[test]
fn a_name_that_is_not_there_and_two_things_at_one_name_are_refused_and_nothing_changes() {
    let before = store();
    let place = Place::new();
    write(&place, &before);
    let opened = open(&place.store(), false);
    let changes = [
        (Change { moves: pairs(&[("ca/none", "ca/x")]), ..Change::default() }, "ca/none` is not there"),
        (Change { retired: vec!["ca/none".to_owned()], ..Change::default() }, "ca/none` is not there"),
        (
            Change { moves: pairs(&[("ca/etcd", "ca/x"), ("ca/ipsec", "ca/x")]), ..Change::default() },
            "`ca/x.crt` would be written twice at once",
        ),
    ];
    for (change, says) in changes {
        let failure = opened.commit(&change).unwrap_err();
        assert!(failure.notes[0].message.ends_with(says), "{failure:?}");
        assert!(place.everything() == before, "{says}");
    }
}

#[test]
fn other_generations_are_looked_at_and_are_no_leftovers() {
    let mut files = store();
    files.insert("keys/service-account.next.key".to_owned(), files["keys/service-account.key"].clone());
    let place = Place::new();
    write(&place, &files);
    place.sh("find store -name '*.key' -exec chmod 600 {} +", "").exits(0);
    let ran = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0);
    let last = ran.stdout.lines().last().unwrap();
    assert!(last.starts_with("nothing to do: ") && !last.contains(';'), "{last}");
    for key in ["ca/cluster.next", "ca/cluster.old", "keys/service-account.next"] {
        let line = format!("chmod 644 store/{key}.key");
        place.sh(&line, "").exits(0);
        let ran = place.pki(&["--store", "store"], SMALL).exits(0);
        ran.says(&format!("key `store/{key}.key` can be read by others"));
        place.sh(&line.replace("644", "600"), "").exits(0);
    }
    // Of the other classes there are no generations.
    for name in ["nodes/w-1/kube-proxy.next.crt", "keys/bgp/here.next.key"] {
        std::fs::write(place.store().join(name), "x").unwrap();
    }
    let ran = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0);
    let last = ran.stdout.lines().last().unwrap();
    assert!(
        last.contains("; 1 certificate of machines that left") && last.contains("; 1 key that"),
        "{last}"
    );
}
