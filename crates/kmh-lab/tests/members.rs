//! The CA of etcd is rotated as an admin does it: by the commands that `kmh-pki rotate` prints, and nothing else, from the admin's
//! place of a lab in which the three control-plane nodes are complete machines. systemd, sshd, the units and etcd are real;
//! the API servers are as much of one as etcd and a push can see (`members/kube-apiserver`), and write all the while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use kmh_lab::full::{Use, binfmt};
use kmh_tests::sandbox::Ran;
use serde_json::Value;
use support::{World, command};

const MEMBERS: [&str; 3] = ["attic-1", "flat-1", "vps-1"];
const ETCD: &str = "etcd.service";
const API: &str = "kube-apiserver.service";

struct Cluster {
    world: World,
}

impl Cluster {
    /// Three machines to which nothing is deployed yet but what stands in for programs; then kmh-push does the rest.
    fn start() -> Self {
        let cache = support::roots(&[(binfmt::native().unwrap(), Use::Node)]);
        let world = World::new(None);
        let full = MEMBERS.map(|name| format!("--full {name} ")).concat();
        let up = world.lab(&format!(
            "up -i stream.json --store pki --tunnels plain {full} --cache {} -o json",
            cache.display()
        ));
        let up: Value = serde_json::from_str(&up.exits(0).stdout).unwrap();
        let cluster = Self { world };
        for name in MEMBERS {
            let pid = up["machines"][name]["pid"].as_u64().expect("a process");
            cluster.equip(pid);
            // As if nobody had pushed yet.
            cluster.world.inside(
                name,
                &format!(
                    "systemctl stop {ETCD} {API}; systemctl -q disable {ETCD} {API}; \
                     rm -r /etc/etcd /etc/kubernetes /etc/systemd/system/etcd.service /etc/systemd/system/{API}; systemctl daemon-reload"
                ),
            );
        }
        cluster
    }

    /// Programs of this machine, in the place of those that stand in for them.
    fn equip(&self, pid: u64) {
        let put = |name: &str, bytes: &[u8]| {
            let place = format!("/proc/{pid}/root/usr/local/bin/{name}");
            // What stands in for it may run.
            let _ = std::fs::remove_file(&place);
            std::fs::write(&place, bytes).unwrap();
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        for name in ["etcd", "etcdctl", "kubectl", "openssl"] {
            let found = self.world.sh(&format!("command -v {name}")).stdout;
            assert!(!found.is_empty(), "{name} is missing: `make test` says how to get it");
            put(name, &std::fs::read(found.trim()).unwrap());
        }
        put("kube-apiserver", include_bytes!("members/kube-apiserver"));
    }

    /// A push of everything to everybody; machines with their outcomes, and who had a turn.
    fn push(&self, more: &str, code: i32) -> (BTreeMap<String, Value>, Vec<String>) {
        let ran =
            self.world.admin(&format!("kmh-push -i stream.json --store pki --to ssh {more}")).exits(code);
        let report = ran.documents()["kmh.push/v1"]["spec"]["machines"].clone();
        let machines: BTreeMap<String, Value> = report
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone()))
            .collect();
        let turns = machines.iter().filter(|(_, one)| one["in_turn"] == true).map(|(name, _)| name.clone());
        let turns = turns.collect();
        (machines, turns)
    }

    /// The command by which the bundle asks whether a unit serves, word by word as it stands there, run as a push runs it.
    fn ready(&self, machine: &str, unit: &str) -> Ran {
        let documents = kmh_tests::sandbox::documents(&self.world.sandbox.read("stream.json"));
        let machines = documents["kmh.bundle/v1"]["spec"]["machines"].as_array().unwrap().clone();
        let found = machines.iter().find(|one| one["name"] == machine).unwrap();
        let found = found["units"].as_array().unwrap().iter().find(|one| one["name"] == unit).unwrap();
        let words: Vec<&str> =
            found["ready"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        self.world.admin(&format!("ssh {machine} timeout 10 {} </dev/null", words.join(" ")))
    }

    fn inside(&self, machine: &str, line: &str) -> String {
        self.world.inside(machine, line)
    }

    /// Until both units of every machine say that they serve.
    fn serves(&self) {
        for (name, unit) in MEMBERS.iter().flat_map(|name| [(name, ETCD), (name, API)]) {
            World::until(&format!("{unit} of {name}"), 90, || {
                let ran = self.ready(name, unit);
                if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
            });
        }
    }

    /// What etcd has acknowledged to the API server of a machine: number and second.
    fn acks(&self, machine: &str) -> Vec<(u64, u64)> {
        let text = self.inside(machine, "cat /var/log/kubernetes/acks");
        let line = |line: &str| {
            let (number, second) = line.split_once(' ')?;
            Some((number.parse().ok()?, second.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }

    /// Waits until each API server has written so many times more.
    fn written(&self, more: usize) {
        let count = || MEMBERS.map(|name| self.acks(name).len());
        let before = count();
        World::until("writes", 60, || {
            let now = count();
            let enough = before.iter().zip(&now).all(|(before, now)| *now >= before + more);
            if enough { Ok(()) } else { Err(format!("{before:?} -> {now:?}")) }
        });
    }

    /// When a unit was stopped and served again, in every machine's own journal, by the time at which it was stopped:
    /// from, to (microseconds), machine. Their clocks are one.
    fn stops(&self, unit: &str, since: u64) -> Vec<(u64, u64, String)> {
        let mut found = Vec::new();
        for name in MEMBERS {
            let journal = self.inside(
                name,
                &format!("journalctl -u {unit} -o short-unix --no-pager | grep -E 'systemd.[0-9]+.: (Stopping|Started) '"),
            );
            let mut stopped = None;
            for line in journal.lines() {
                let (at, what) = line.split_once(' ').unwrap();
                let at = at.replace('.', "").parse::<u64>().unwrap();
                if what.contains(": Stopping ") {
                    stopped = Some(at);
                } else if let Some(from) = stopped.take().filter(|from| *from >= since) {
                    found.push((from, at, name.to_owned()));
                }
            }
            assert_eq!(stopped, None, "{name}: {unit} was stopped and not started");
        }
        found.sort();
        found
    }

    /// Which machines restarted a unit since then; never two at a time.
    fn restarted(&self, unit: &str, since: u64) -> Vec<String> {
        let stops = self.stops(unit, since);
        for pair in stops.windows(2) {
            assert!(pair[0].1 < pair[1].0, "two at a time: {pair:?}");
        }
        stops.into_iter().map(|(_, _, name)| name).collect()
    }
}

/// Microseconds, as the journal counts.
fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

#[test]
fn etcd_serves_through_a_rotation_by_the_commands_that_are_printed() {
    let cluster = Cluster::start();

    // The first push is to all at once, and brings them up.
    let (machines, turns) = cluster.push("", 0);
    assert!(MEMBERS.iter().all(|name| machines[*name]["outcome"] == "changed"), "{machines:?}");
    assert_eq!(turns, Vec::<String>::new());
    cluster.serves();
    cluster.written(3);
    what_ready_says(&cluster);
    a_member_that_hangs(&cluster);

    let mut next = "kmh-pki rotate etcd --store pki -i cluster.yaml".to_owned();
    let mut stages = Vec::new();
    let begin = now();
    for restarts in [true, false, true] {
        let since = now();
        let ran = cluster.world.admin(&format!("{next} -o json")).exits(0);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
        let todo = &answer["todo"];
        cluster.world.admin(&command(todo, "document")).exits(0);
        let ran = cluster.world.admin(&format!("{} -o text", command(todo, "push"))).exits(0);
        let all: &[&str] = if restarts { &MEMBERS } else { &[] };
        for name in MEMBERS {
            let told = format!("  {name}, in its turn: restart {ETCD}, {API}\n");
            assert_eq!(ran.stdout.contains(&told), restarts, "{ran:?}");
        }
        assert_eq!(cluster.restarted(ETCD, since), all, "{}", answer["stage"]);
        assert_eq!(cluster.restarted(API, since), all, "{}", answer["stage"]);
        cluster.written(3);
        next = command(todo, "next");
        stages.push(answer["stage"].clone());
    }
    assert_eq!(stages, [Value::from("trust"), Value::from("issue"), Value::Null]);
    assert_eq!(next, "", "and nothing is left to do");
    cluster.serves();
    nothing_is_lost(&cluster, begin / 1_000_000);
}

/// Who serves says so, and who is stopped, hangs or is without a majority says no: each by its own certificates.
fn what_ready_says(cluster: &Cluster) {
    let no = |machine: &str, unit: &str, why: &str| {
        World::until(&format!("{unit} of {machine} says no"), 30, || {
            let ran = cluster.ready(machine, unit);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            // 124: it was waited for long enough.
            if ran.code != 0 && (said.contains(why) || ran.code == 124) {
                Ok(())
            } else {
                Err(format!("{ran:?}"))
            }
        });
    };
    let yes =
        |machine: &str, unit: &str| assert_eq!(cluster.ready(machine, unit).code, 0, "{machine} {unit}");
    let main = |unit: &str, signal: &str| {
        format!("kill -{signal} $(systemctl show --property=MainPID --value {unit})")
    };

    // Stopped: itself, and the API server beside it, whose answer is 500 then; not the others.
    cluster.inside("vps-1", &format!("systemctl stop {ETCD}"));
    no("vps-1", ETCD, "is unhealthy");
    no("vps-1", API, "an error on the server (\"[-]etcd failed\")");
    yes("attic-1", ETCD);
    yes("attic-1", API);
    // Without a majority: it runs, and hears.
    cluster.inside("flat-1", &format!("systemctl stop {ETCD}"));
    assert_eq!(cluster.inside("attic-1", &format!("systemctl is-active {ETCD}")), "active\n");
    no("attic-1", ETCD, "is unhealthy");
    cluster.inside("flat-1", &format!("systemctl start --no-block {ETCD}"));
    cluster.inside("vps-1", &format!("systemctl start {ETCD}"));
    cluster.serves();

    // Hanging: the kernel goes on to accept connections for it.
    for unit in [ETCD, API] {
        let (stop, go) = if unit == ETCD {
            (main(unit, "STOP"), main(unit, "CONT"))
        } else {
            ("pkill -STOP openssl".to_owned(), "pkill -CONT openssl".to_owned())
        };
        cluster.inside("vps-1", &stop);
        assert_eq!(cluster.inside("vps-1", &format!("systemctl is-active {unit}")), "active\n");
        no("vps-1", unit, "is unhealthy");
        yes("flat-1", unit);
        cluster.inside("vps-1", &go);
        cluster.serves();
    }

    // Of another machine it is not the answer: each asks the loopback.
    cluster.inside(
        "vps-1",
        "nft 'add table inet deaf; add chain inet deaf i { type filter hook input priority -400; }; \
                             add rule inet deaf i iif != lo tcp dport 6443 drop'",
    );
    yes("vps-1", API);
    cluster.inside("vps-1", "nft delete table inet deaf");
}

/// A member that hangs runs, as far as its systemd knows: no other is restarted before it serves.
fn a_member_that_hangs(cluster: &Cluster) {
    let since = now();
    let pid = cluster.inside("vps-1", &format!("systemctl show --property=MainPID --value {ETCD}"));
    cluster.inside("vps-1", &format!("kill -STOP {}", pid.trim()));
    // Settings that somebody changed by hand, and a push that mends them; the others have a leader.
    for name in ["attic-1", "flat-1"] {
        cluster.inside(name, "echo '# mine' >>/etc/etcd/etcd.yaml");
        World::until("a leader", 60, || {
            let ran = cluster.ready(name, ETCD);
            if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
        });
    }
    let (machines, _) = cluster.push("", 3);
    for name in ["attic-1", "flat-1"] {
        assert_eq!(machines[name]["outcome"], "untouched", "{machines:?}");
        let why = machines[name]["error"].as_str().unwrap();
        let begin =
            "not touched: `etcd.service` is needed on most of 3 machines, and does not serve on `vps-1` (";
        assert!(why.starts_with(begin) && why.contains("unhealthy"), "{why}");
    }
    assert_eq!(cluster.restarted(ETCD, since), Vec::<String>::new());
    cluster.inside("vps-1", &format!("kill -CONT {}", pid.trim()));
    cluster.serves();
    let (_, turns) = cluster.push("", 0);
    assert_eq!(turns, ["attic-1", "flat-1"]);
    assert_eq!(cluster.restarted(ETCD, since), ["attic-1", "flat-1"]);
    cluster.written(3);
}

/// Every write that was acknowledged is on each member, and since that second somebody could write all the time.
fn nothing_is_lost(cluster: &Cluster, since: u64) {
    for name in MEMBERS {
        cluster.inside(name, &format!("systemctl stop {API}"));
    }
    let acknowledged = MEMBERS.map(|name| (name, cluster.acks(name)));
    for member in MEMBERS {
        let pki = "/etc/kubernetes/pki";
        let held = cluster.inside(
            member,
            &format!(
                "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert {pki}/etcd/ca.crt \
                 --cert {pki}/etcd/healthcheck-client.crt --key {pki}/etcd/healthcheck-client.key get --prefix /registry/"
            ),
        );
        let lines: Vec<&str> = held.lines().collect();
        let held: BTreeSet<(&str, &str)> = lines.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        for (writer, acks) in &acknowledged {
            assert!(acks.len() >= 20, "{writer} wrote {} times", acks.len());
            for (number, _) in acks {
                let (key, value) = (format!("/registry/{writer}/{number}"), number.to_string());
                assert!(held.contains(&(key.as_str(), value.as_str())), "{key} is not on {member}");
            }
        }
    }
    let all = acknowledged.iter().flat_map(|(_, acks)| acks).map(|(_, second)| *second);
    let seconds: BTreeSet<u64> = all.filter(|second| *second >= since).collect();
    let seconds: Vec<u64> = seconds.into_iter().collect();
    let longest = seconds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    // An election and a few attempts.
    assert!(longest <= 20, "nobody could write for {longest} s");
}
