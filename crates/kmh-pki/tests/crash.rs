//! A run that is killed at any moment: the next one goes on, and no CA is ever another one.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, Ran, SMALL, article};

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many files have been begun.
    Begun(usize),
    /// So many files have got their names.
    Named(usize),
}

/// Ten moments while the files are written, ten while they get their names.
fn moments(files: usize) -> impl Iterator<Item = Moment> {
    let part = move |number: usize| files * number / 10;
    (0..10).map(move |n| Moment::Begun(part(n))).chain((0..10).map(move |n| Moment::Named(part(n) + 1)))
}

/// Starts a run, kills it at that moment, and says whether it was still running.
fn kill_at(place: &Place, inventory: &str, moment: Moment) -> bool {
    std::fs::write(place.path().join("cluster.yaml"), inventory).unwrap();
    let mut command = place.command(&["--store", "store", "--init", "-i", "cluster.yaml"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let running = loop {
        if child.try_wait().unwrap().is_some() {
            break false;
        }
        let reached = match moment {
            Moment::Begun(count) => place.count(|_| true) >= count,
            Moment::Named(count) => place.count(|name| !name.ends_with(".kmh-new")) >= count,
        };
        if reached {
            break true;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

fn is_key(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|ending| ending == "key")
}

fn no_remains(place: &Place) {
    for name in place.files().keys() {
        assert!(!name.contains("kmh-new") && name != "pending.json", "{name} was left");
    }
}

#[test]
fn a_first_run_that_is_killed_is_finished_by_the_next() {
    let inventory = article();
    let mut killed = 0;
    // 56 certificates with their keys, five keys, the identity.
    for moment in moments(118) {
        let place = Place::on_disk();
        killed += usize::from(kill_at(&place, &inventory, moment));
        let before = place.authorities();
        place.pki(&["--store", "store", "--init"], &inventory).exits(0);
        let after = place.authorities();
        for (name, bytes) in before.iter().filter(|(name, _)| is_key(name)) {
            assert_eq!(&after[name], bytes, "{name} was replaced");
        }
        assert_eq!(after.len(), 8);
        no_remains(&place);
        let document = place.pki(&["--store", "store"], &inventory).exits(0).stdout;
        assert_eq!(place.pki(&["--store", "store"], &inventory).exits(0).stdout, document);
    }
    assert!(killed >= 12, "only {killed} of 20 runs were killed");
}

#[test]
fn a_later_run_that_is_killed_is_finished_by_the_next_and_keeps_the_cas() {
    // The domain of services is in the certificate of every API server; a whole site gets another network.
    let inventory = article();
    let moved =
        inventory.replace("domain: cluster.local", "domain: cluster.test").replace("10.20.0.", "10.21.0.");
    let place = Place::on_disk();
    place.pki(&["--store", "store", "--init"], &inventory).exits(0);
    let authorities = place.authorities();
    let mut killed = 0;
    let turns = [&moved, &inventory].into_iter().cycle();
    for (next, unfinished) in turns.zip(0..20_usize) {
        // Of the three API servers' certificates and keys and the journal, so many are begun or not yet named.
        let moment = if unfinished < 10 {
            Moment::Begun(115 + unfinished % 8)
        } else {
            Moment::Named(115 + unfinished % 2)
        };
        killed += usize::from(kill_at(&place, next, moment));
        place.pki(&["--store", "store"], next).exits(0);
        assert_eq!(place.authorities(), authorities);
        no_remains(&place);
    }
    assert!(killed >= 12, "only {killed} of 20 runs were killed");
}

/// The files of a store between two renames, in the order in which they are made: keys, then certificates.
fn renames(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let of = |ending: &'static str| files.keys().filter(move |name| name.ends_with(ending)).cloned();
    of(".key").chain(of(".crt")).collect()
}

fn journal(names: &[String]) -> String {
    let mut names: Vec<_> = names.iter().map(|name| &name[..name.len() - 4]).collect();
    names.sort_unstable();
    names.dedup();
    serde_json::json!({ "names": names }).to_string()
}

fn put(place: &Place, name: &str, bytes: &[u8]) {
    let path = place.store().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn after_each_rename_of_a_first_run_the_next_goes_on_with_the_same_ca_keys() {
    let whole = Place::with_store(SMALL);
    let files = whole.files();
    let order = renames(&files);
    for done in 0..=order.len() {
        let place = Place::new();
        put(&place, "store.json", &files["store.json"]);
        put(&place, "pending.json", journal(&order).as_bytes());
        for name in &order[..done] {
            put(&place, name, &files[name]);
        }
        place.pki(&["--store", "store"], SMALL).exits(0);
        for name in order[..done].iter().filter(|name| name.starts_with("ca/")) {
            assert_eq!(place.files()[name], files[name], "{name} was replaced after {done} renames");
        }
        no_remains(&place);
    }
}

#[test]
fn after_each_rename_of_a_reissue_the_next_goes_on() {
    let place = Place::with_store(SMALL);
    let old = place.files();
    let moved = SMALL.replace("10.10.0.11", "10.10.0.12");
    place.pki(&["--store", "store"], &moved).exits(0);
    let new = place.files();
    let changed: BTreeMap<_, _> = new
        .iter()
        .filter(|(name, bytes)| old[*name] != **bytes)
        .map(|(name, bytes)| (name.clone(), bytes.clone()))
        .collect();
    let order = renames(&changed);
    assert_eq!(order.len(), 12, "{order:?}");
    for done in 0..=order.len() {
        let place = Place::new();
        for (name, bytes) in &old {
            put(&place, name, bytes);
        }
        for name in &order[..done] {
            put(&place, name, &new[name]);
        }
        // Without the journal the same state is somebody's mistake, and refused.
        if done > 0 && done < order.len() {
            place.pki(&["--store", "store"], &moved).exits(3).says("does not belong to it");
        }
        put(&place, "pending.json", journal(&order).as_bytes());
        place.pki(&["--store", "store"], &moved).exits(0);
        assert_eq!(
            place.authorities(),
            old.iter()
                .filter(|(name, _)| name.starts_with("ca/"))
                .map(|(a, b)| (a.clone(), b.clone()))
                .collect()
        );
        no_remains(&place);
    }
}

/// A command that is killed at random moments.
struct Act {
    name: &'static str,
    /// Its arguments after the store.
    args: &'static [&'static str],
    /// What it is given, by the number of the turn: so that there is something to do.
    inventory: fn(usize) -> String,
}

/// Every command that writes a store.
const ACTS: &[Act] = &[
    Act { name: "ensure, names", args: &[], inventory: moved },
    Act { name: "ensure, a node comes", args: &[], inventory: grown },
    Act {
        name: "ensure, other recipients",
        args: &["--recipients", "recipients", "--identity", "id"],
        inventory: moved,
    },
];

/// How often something is killed.
const KILLS: usize = 100;

/// The addresses of two machines, one of which holds most certificates, depend on the turn.
fn moved(turn: usize) -> String {
    let address = |of: u32| format!("10.10.0.{}", of + 20 + 40 * u32::try_from(turn % 4).unwrap());
    SMALL.replace("10.10.0.11", &address(11)).replace("10.10.0.22", &address(2))
}

/// So many nodes have come.
fn grown(turn: usize) -> String {
    let node = |number| {
        format!(
            "    - {{name: n-{number}, site: here, address: [10.10.0.{0}, 'fd00:10::{0}']}}\n",
            200 + number
        )
    };
    moved(turn) + &(0..=turn / 8).map(node).collect::<String>()
}

/// The same command on a disk whose syncs take as long as those of a card: the moments around them are those that matter.
/// The tracer is the child's child, so who kills the child kills the program.
fn slowly(command: &Command) -> Command {
    let mut slow = Command::new("strace");
    slow.args(["-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=syncfs,fsync"]);
    slow.args(["-e", "inject=syncfs,fsync:delay_enter=4000"])
        .arg(command.get_program())
        .args(command.get_args());
    slow.current_dir(command.get_current_dir().unwrap()).env_remove("KMH_STORE").env("KMH_IDENTITY", "id");
    slow.stdin(Stdio::null()).stdout(Stdio::null());
    slow
}

/// Numbers that look random and are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    /// Less than `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// What every private key of the store says of itself, wherever it is now: the keys as they are written, opened where they
/// are encrypted.
fn keys(place: &Place) -> std::collections::BTreeSet<Vec<u8>> {
    let open = |name: &str| {
        let mut age = Command::new("age");
        age.args(["-d", "-i", "id"]).arg(place.store().join(name)).current_dir(place.path());
        let ran = age.output().unwrap();
        assert!(ran.status.success(), "{name}: {ran:?}");
        ran.stdout
    };
    let all = place.everything();
    let plain = all.iter().filter(|(name, _)| is_key(name)).map(|(_, bytes)| bytes.clone());
    let of_cas = |name: &&String| {
        name.ends_with(".key.age") && (name.starts_with("ca/") || name.starts_with("archive/ca/"))
    };
    plain.chain(all.keys().filter(of_cas).map(|name| open(name))).collect()
}

/// What a kill met.
struct Kill {
    /// The command had not come to its end.
    running: bool,
    /// It had begun to write.
    writing: bool,
}

/// Starts a command that last took so long, and kills it at any moment from its start, a little longer than it took, so
/// that some are done; or at any moment after it has begun the first file.
fn killed_somewhere(place: &Place, command: &Command, took: Duration, chance: &mut Chance) -> Kill {
    let mut child = slowly(command).stderr(Stdio::null()).spawn().unwrap();
    // The program itself, not the tracer that is still getting ready.
    let exe = format!("/proc/{}/exe", child.id());
    while child.try_wait().unwrap().is_none()
        && !std::fs::read_link(&exe).is_ok_and(|path| path.ends_with("kmh-pki"))
    {}
    let whole = u64::try_from(took.as_micros()).unwrap() * 11 / 10;
    let begun = || place.count(|name| name.ends_with(".kmh-new")) > 0;
    if chance.below(2) == 0 {
        while child.try_wait().unwrap().is_none() && !begun() {}
        std::thread::sleep(Duration::from_micros(chance.below(whole / 4)));
    } else {
        std::thread::sleep(Duration::from_micros(chance.below(whole)));
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    let left = place.everything();
    let writing = left.keys().any(|name| name.contains("kmh-new") || name == "pending.json");
    Kill { running, writing }
}

/// Makes an age identity in a file, and gives its recipient.
fn identity(place: &Place, name: &str) -> String {
    let line = format!("age-keygen -o {name} 2>/dev/null; age-keygen -y {name}");
    place.sh(&line, "").exits(0).stdout
}

#[test]
fn a_hundred_kills_at_random_moments_cost_no_key_and_leave_no_half() {
    let place = Place::new();
    let recipients = [identity(&place, "id"), identity(&place, "other")];
    place.pki(&["--store", "store", "--init"], SMALL).exits(0);
    let authorities = keys(&place);
    assert_eq!(authorities.len(), 30);
    let first: std::collections::BTreeSet<_> =
        place.authorities().into_iter().filter(|(name, _)| is_key(name)).map(|(_, bytes)| bytes).collect();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut took = vec![Duration::from_millis(100); ACTS.len()];
    let (mut killed, mut writing) = (0, 0);
    for turn in 0..KILLS {
        // Encrypting takes the plain keys away for good, so it comes when the others have had their turns.
        let number = if turn < KILLS / 2 { turn % (ACTS.len() - 1) } else { turn % ACTS.len() };
        let act = &ACTS[number];
        let when = format!("turn {turn}, {}", act.name);
        let both = recipients[..=turn / ACTS.len() % 2].concat();
        std::fs::write(place.path().join("recipients"), both).unwrap();
        let inventory = (act.inventory)(turn);
        std::fs::write(place.path().join("cluster.yaml"), &inventory).unwrap();
        let command = |extra: &[&str]| {
            let args = [&["--store", "store", "-i", "cluster.yaml"], act.args, extra].concat();
            let mut command = place.command(&args);
            command.env("KMH_IDENTITY", "id");
            command
        };
        let before = keys(&place);
        let kill = killed_somewhere(&place, &command(&[]), took[number], &mut chance);
        killed += usize::from(kill.running);
        writing += usize::from(kill.writing);

        // Those who only look see a whole store; the next run finishes; the one after that has nothing to do.
        Ran::of(command(&["--dry-run"]), "").exits(0);
        let start = Instant::now();
        let next = slowly(&command(&[])).stderr(Stdio::inherit()).status().unwrap();
        assert!(next.success(), "{when}: {next}");
        took[number] = start.elapsed();
        no_remains(&place);
        let done = Ran::of(command(&["-o", "text"]), "").exits(0);
        assert!(done.stdout.contains("\nnothing to do"), "{when}: {}", done.stdout);
        let now = keys(&place);
        let sealed = !place.everything().keys().any(|name| is_key(name));
        assert!(now.is_superset(if sealed { &first } else { &before }), "{when}: a key is lost");
        let authorities = place.authorities().into_keys();
        assert_eq!(authorities.filter(|name| name.contains(".key")).count(), first.len(), "{when}");
    }
    assert!(killed >= 30 && writing >= 3, "{killed} of {KILLS} were killed, {writing} while they wrote");
}

/// Everything that is rotated, with its name in the store.
const ROTATIONS: [(&str, &str); 6] = [
    ("cluster", "ca/cluster"),
    ("encryption", "keys/encryption"),
    ("etcd", "ca/etcd"),
    ("front-proxy", "ca/front-proxy"),
    ("ipsec", "ca/ipsec"),
    ("service-account", "keys/service-account"),
];

/// The generations of a subject that the store holds, each with its key as it is written.
fn generations(place: &Place, subject: &str) -> BTreeMap<&'static str, Vec<u8>> {
    let files = place.files();
    let of = |one: &'static str| {
        let key = files.get(&format!("{subject}{one}.key"));
        key.or_else(|| files.get(&format!("{subject}{one}.key.age"))).map(|bytes| (one, bytes.clone()))
    };
    ["", ".next", ".old"].into_iter().filter_map(of).collect()
}

/// Where a rotation is, by what the store holds: current alone, with the next, or with the old one.
fn stage(generations: &BTreeMap<&'static str, Vec<u8>>) -> usize {
    match generations.keys().copied().collect::<Vec<_>>()[..] {
        [""] => 0,
        ["", ".next"] => 1,
        ["", ".old"] => 2,
        ref other => panic!("{other:?}"),
    }
}

/// Every one of them is killed at a hundred moments, in a store that is plain for the first half and then encrypted. The
/// rotation is in the stage before or the one after, whole; the next `ensure` and the next call go on.
#[test]
fn a_hundred_kills_at_random_moments_leave_a_rotation_in_a_stage() {
    let place = Place::new();
    let recipient = identity(&place, "id");
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    let command = |args: &[&str]| {
        let mut command = place.command(&[args, &["--store", "store", "-i", "cluster.yaml"]].concat());
        command.env("KMH_IDENTITY", "id");
        command
    };
    let run = |args: &[&str]| Ran::of(command(args), "");
    run(&["--init"]).exits(0);
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    // How long it takes is not known of this machine at this hour: later after what was killed too early, sooner after what
    // was done, so that about half of all take their step.
    let mut took = Duration::from_millis(100);
    let (mut killed, mut writing, mut steps) = (0, 0, 0);
    for turn in 0..KILLS {
        if turn == KILLS / 2 {
            run(&["--recipient", recipient.trim()]).exits(0);
        }
        let (name, _) = ROTATIONS[turn % ROTATIONS.len()];
        let when = format!("turn {turn}, {name}");
        let all = || ROTATIONS.map(|(_, subject)| generations(&place, subject));
        let (before, kept) = (all(), keys(&place));
        let mine = &before[turn % ROTATIONS.len()];
        let deployed = if stage(mine) == 0 { &[][..] } else { &["--deployed"] };
        let kill =
            killed_somewhere(&place, &command(&[&["rotate", name], deployed].concat()), took, &mut chance);
        killed += usize::from(kill.running);
        writing += usize::from(kill.writing);

        // Those who only look see a whole store. The next run finishes, and the one after that has nothing to do.
        run(&["--dry-run"]).exits(0);
        run(&["rotate"]).exits(0);
        run(&["--only"]).exits(0);
        no_remains(&place);
        let done = run(&["-o", "text"]).exits(0);
        assert!(done.stdout.contains("\nnothing to do"), "{when}: {}", done.stdout);
        run(&["verify", "-o", "text"]).exits(0);
        // It is where it was, or one stage on, and every key is the one that it was, in its old place or in its new one.
        let after = all();
        let longest = Duration::from_secs(5);
        took = if before == after { (took * 5 / 4).min(longest) } else { took * 4 / 5 };
        for (number, (was, is)) in before.iter().zip(&after).enumerate() {
            if number != turn % ROTATIONS.len() || stage(was) == stage(is) {
                assert_eq!(was, is, "{when}");
                continue;
            }
            steps += 1;
            assert_eq!(stage(is), (stage(was) + 1) % 3, "{when}");
            let moved = match stage(is) {
                2 => was[".next"] == is[""] && was[""] == is[".old"],
                _ => was[""] == is[""],
            };
            assert!(moved, "{when}: a key was replaced");
        }
        assert!(keys(&place).is_superset(&kept), "{when}: a key is lost");
        // What everybody is told of the stage is what the store holds.
        let list: serde_json::Value =
            serde_json::from_str(&run(&["rotate", "-o", "json"]).exits(0).stdout).unwrap();
        let said = |number: usize| {
            let stage = list["rotations"][number]["stage"].as_str().unwrap_or("none");
            match stage {
                "none" => 0,
                "trust" | "add" => 1,
                _ => 2,
            }
        };
        assert_eq!([0, 1, 2, 3, 4, 5].map(said), after.each_ref().map(stage), "{when}: {list}");
    }
    assert!(
        killed >= 30 && writing >= 3 && steps >= 10,
        "{killed} of {KILLS} were killed, {writing} while they wrote; {steps} steps were taken"
    );
    assert_eq!(place.authorities().keys().filter(|name| is_key(name)).count(), 0);
}
