//! What the cluster needs most of is restarted on one machine after another: three members with real sshds, and a systemctl
//! that writes down what it is asked. Each member's program says only at the second question that it serves.

use crate::support::Machine as _;
use crate::support::sshd::{Options, Sshd};
use crate::support::{Ran, World, bundle, chmod, is_root, text};
use serde_json::{Value, json};

const MEMBERS: [&str; 3] = ["m-1", "m-2", "m-3"];

struct Members {
    world: World,
    sshds: Vec<Sshd>,
}

impl Members {
    fn start() -> Self {
        assert!(is_root(), "this test needs root: run it as root or with sudo");
        let world = World::new();
        let start = |last| Sshd::start(&world, last, &Options { root: true, ..Options::default() });
        let sshds: Vec<Sshd> = (1..=4).map(start).collect();
        std::fs::write(world.at("known"), sshds.iter().map(Sshd::known).collect::<String>()).unwrap();
        for (name, sshd) in MEMBERS.iter().zip(&sshds) {
            // It writes down how many members have been restarted by then, of all pushes since the last look. One that is
            // broken shows it when it was restarted; one that hangs does so until then, and one that lacks another until
            // that was restarted.
            let script = format!(
                "#!/bin/sh\ncd {}\necho \"{name} $(cat sshd-*/systemctl.log 2>/dev/null | grep -c 'restart -- etcd.service')\" >>order\n\
                 restarted() {{ grep -qs 'restart -- etcd.service' {log}; }}\n\
                 if [ -e {name}.broken ] && restarted; then echo 'it has no leader'; exit 1; fi\n\
                 if [ -e {name}.hangs ] && ! restarted; then echo 'it waits'; exit 1; fi\n\
                 if [ -e {name}.lacks ] && ! grep -qs 'restart -- etcd.service' \"$(cat {name}.lacks)\"; then echo 'no leader'; exit 1; fi\n\
                 [ -e {name}.asked ] || {{ touch {name}.asked; exit 1; }}\nrm {name}.asked\n",
                world.path().display(),
                log = sshd.file("systemctl.log").display()
            );
            std::fs::write(sshd.file("ready"), script).unwrap();
            chmod(&sshd.file("ready"), 0o755);
        }
        Self { world, sshds }
    }

    /// Nobody knows that member.
    fn loses(&self, place: usize) {
        let known = self.sshds[place].known();
        let gone = std::fs::read_to_string(self.world.at("known")).unwrap().replace(&known, "");
        std::fs::write(self.world.at("known"), gone).unwrap();
    }

    /// The three members and a worker, each with a file of that content.
    fn push(&self, content: &str, more: &[&str]) -> Ran {
        let file = |sshd: &Sshd, unit: &str| {
            let mut file = text(&format!("{}/conf", sshd.root.display()), "0644", content);
            file["on_change"] = json!([{"unit": unit, "action": "restart"}]);
            file
        };
        let member = |(name, sshd): (&&str, &Sshd)| {
            let mut node = sshd.node(name, &[file(sshd, "etcd.service")]);
            let ready = [sshd.file("ready").display().to_string(), "--member".into()];
            node["units"] = json!([{"name": "etcd.service", "enable": true, "ready": ready}]);
            node
        };
        let mut nodes: Vec<Value> = MEMBERS.iter().zip(&self.sshds).map(member).collect();
        nodes.push(self.sshds[3].node("a-worker", &[file(&self.sshds[3], "kubelet.service")]));
        let args = ["--to", "ssh", "--known-hosts", "known", "--identity", "id"];
        self.world.push(&[&args[..], more].concat(), &bundle(&nodes))
    }

    /// Who was asked after somebody was restarted, and how many had been by then.
    fn turns(&self) -> Vec<String> {
        self.order().into_iter().filter(|line| !line.ends_with(" 0")).collect()
    }

    /// Who was asked, and how many had been restarted then.
    fn order(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.world.at("order")).unwrap_or_default();
        let _ = std::fs::remove_file(self.world.at("order"));
        for sshd in &self.sshds {
            let _ = std::fs::remove_file(sshd.file("systemctl.log"));
        }
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Where the worker is, too.
    fn outcomes(ran: &Ran) -> Vec<String> {
        let machines = ran.report()["machines"].as_array().unwrap().clone();
        machines.iter().map(|one| one["outcome"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn members_are_restarted_one_after_another_each_when_the_last_serves() {
    let members = Members::start();
    // Nothing runs yet, and who starts takes nothing away: a first deployment needs all at once.
    let first = members.push("1", &[]).exits(0);
    assert_eq!(Members::outcomes(&first), ["changed"; 4]);
    assert_eq!(members.order(), Vec::<String>::new());
    assert!(first.machine("m-1").get("in_turn").is_none(), "{}", first.machine("m-1"));

    let planned = members.push("2", &["--dry-run"]).exits(0);
    assert_eq!(Members::outcomes(&planned), ["would-change"; 4]);
    let text = members.push("2", &["--dry-run", "-o", "text"]).exits(0).stdout;
    assert!(text.contains("\n  m-1, in its turn: restart etcd.service\n"), "{text}");
    assert!(text.contains("\n  a-worker: restart kubelet.service\n"), "{text}");
    assert_eq!(members.order(), Vec::<String>::new());

    for jobs in ["8", "1"] {
        let ran = members.push(jobs, &["--jobs", jobs]).exits(0);
        assert_eq!(Members::outcomes(&ran), ["changed"; 4]);
        // First everybody is asked.
        let mut order = members.order();
        let turns = order.split_off(6);
        order.sort();
        assert_eq!(order, ["m-1 0", "m-1 0", "m-2 0", "m-2 0", "m-3 0", "m-3 0"]);
        assert_eq!(turns, ["m-1 1", "m-1 1", "m-2 2", "m-2 2", "m-3 3", "m-3 3"]);
        for name in MEMBERS {
            assert_eq!(ran.machine(name)["in_turn"], true);
        }
        assert!(ran.machine("a-worker").get("in_turn").is_none());
    }
}

#[test]
fn who_comes_after_a_failure_is_not_touched() {
    let members = Members::start();
    members.push("1", &[]).exits(0);
    members.order();
    std::fs::write(members.world.at("m-2.broken"), "").unwrap();
    let ran = members.push("2", &["--patience", "1"]).exits(3);
    assert_eq!(Members::outcomes(&ran), ["changed", "changed", "failed", "untouched"]);
    let error = |ran: &Ran, name: &str| ran.machine(name)["error"].as_str().unwrap().to_owned();
    let why = error(&ran, "m-2");
    assert!(
        why.starts_with("etcd.service was restarted, and does not serve after 1 s (it has no leader"),
        "{why}"
    );
    assert_eq!(error(&ran, "m-3"), "not touched: `m-2`, whose turn came before, failed");
    assert_eq!(ran.written("m-3"), 0);
    let message = members.push("2", &["--patience", "1", "-o", "text"]).exits(3).stdout;
    assert!(message.contains("\nm-3: not touched: `m-2`, whose turn came before, failed\n"), "{message}");
    assert!(message.contains("  hint: put `m-2` right, and push again"), "{message}");
    assert!(message.ends_with("4 machines, 0 files written, 1 failed, 1 untouched\n"), "{message}");
    // It is not taken for done, and has its turn before everybody else.
    members.order();
    let again = members.push("3", &["--patience", "1"]).exits(3);
    assert_eq!(Members::outcomes(&again), ["changed", "untouched", "failed", "untouched"]);
    assert!(members.turns().iter().all(|line| line == "m-2 1"));
    std::fs::remove_file(members.world.at("m-2.broken")).unwrap();
    let healed = members.push("3", &[]).exits(0);
    assert_eq!(Members::outcomes(&healed), ["unchanged", "changed", "changed", "changed"]);
    assert_eq!(members.turns(), ["m-2 1", "m-2 1", "m-1 2", "m-1 2", "m-3 3", "m-3 3"]);
}

#[test]
fn nobody_stops_while_another_member_is_away() {
    let members = Members::start();
    members.push("1", &[]).exits(0);
    members.order();
    // Of three members two are needed: with one of which nobody knows, no other may stop.
    members.loses(0);
    let ran = members.push("2", &[]).exits(3);
    assert_eq!(Members::outcomes(&ran), ["changed", "failed", "untouched", "untouched"]);
    assert_eq!(
        ran.machine("m-2")["error"],
        "not touched: `etcd.service` is needed on most of 3 machines, and does not serve on `m-1`"
    );
    ran.says("hint: put that right first; `--limit m-2` pushes to this one all the same");
    assert_eq!(members.turns(), Vec::<String>::new());
    // Who chooses one knows what he does.
    let one = members.push("2", &["--limit", "m-2"]).exits(0);
    assert_eq!(Members::outcomes(&one), ["changed"]);
    assert_eq!(members.order(), ["m-2 1", "m-2 1"]);
}

#[test]
fn a_member_that_hangs_counts_as_one_that_is_away_and_is_restarted_first() {
    let members = Members::start();
    members.push("1", &[]).exits(0);
    members.order();
    // It runs, as far as systemd knows.
    std::fs::write(members.world.at("m-3.hangs"), "").unwrap();
    let others: &[&str] = &["--limit", "m-1,m-3", "--patience", "1"];
    let conf = members.sshds[2].root.join("conf");
    std::fs::write(&conf, "2").unwrap();
    let ran = members.push("2", others).exits(3);
    assert_eq!(Members::outcomes(&ran), ["untouched", "unchanged"]);
    assert_eq!(
        ran.machine("m-1")["error"],
        "not touched: `etcd.service` is needed on most of 3 machines, and does not serve on `m-3` (it waits)"
    );
    assert_eq!((members.turns(), ran.written("m-1")), (vec![], 0));
    let ran = members.push("3", &["--patience", "1"]).exits(0);
    assert_eq!(Members::outcomes(&ran), ["changed"; 4]);
    assert_eq!(members.turns(), ["m-3 1", "m-3 1", "m-1 2", "m-1 2", "m-2 3", "m-2 3"]);
}

#[test]
fn a_member_that_serves_again_after_the_turn_of_another_is_needed_then() {
    let members = Members::start();
    members.push("1", &[]).exits(0);
    members.order();
    members.loses(0);
    std::fs::write(members.world.at("m-2.hangs"), "").unwrap();
    let log = members.sshds[1].file("systemctl.log");
    std::fs::write(members.world.at("m-3.lacks"), log.to_str().unwrap()).unwrap();
    let ran = members.push("2", &["--patience", "10"]).exits(3);
    assert_eq!(Members::outcomes(&ran), ["changed", "failed", "changed", "untouched"]);
    assert_eq!(
        ran.machine("m-3")["error"],
        "not touched: `etcd.service` is needed on most of 3 machines, and does not serve on `m-1`"
    );
    assert_eq!(
        (members.turns(), ran.written("m-3")),
        (["m-2 1", "m-2 1", "m-3 1", "m-3 1"].map(str::to_owned).to_vec(), 0)
    );
}
