//! The pipe of the article's cluster onto three real sshds, each on a loopback address of its own, as an ordinary
//! user, below a remote folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;

use kmh_tests::sandbox::{Ran, Sandbox, chmod};
use kmh_tests::sshd::{Options, Sshd};
use serde_json::Value;

const NODES: [&str; 3] = ["attic-1", "flat-1", "vps-1"];

struct Lab {
    sandbox: Sandbox,
    sshds: [Sshd; 3],
}

impl Lab {
    fn start() -> Self {
        let sandbox = Sandbox::new();
        chmod(sandbox.path(), 0o711);
        sandbox.sh("mkdir remote && chmod 777 remote").exits(0);
        let sshds = [1, 2, 3].map(|last| Sshd::start(&sandbox, last, &Options::default()));
        let mut inventory = sandbox.read("cluster.yaml");
        for (node, sshd) in NODES.iter().zip(&sshds) {
            let login = format!("ssh: {{host: {}, port: {}, user: {}}}", sshd.host, sshd.port, sshd.user);
            let line =
                inventory.lines().find(|line| line.contains(&format!("name: {node},"))).unwrap().to_owned();
            inventory = inventory.replace(&line, &line.replace("roles:", &format!("{login}, roles:")));
        }
        sandbox.write("cluster.yaml", &inventory);
        sandbox.write("known", &sshds.iter().map(Sshd::known).collect::<String>());
        Self { sandbox, sshds }
    }

    fn pipe(&self) -> Ran {
        self.sandbox.sh("kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render \
             | kmh-push --store pki --to ssh --limit attic-1,flat-1,vps-1 --known-hosts known --identity id \
               --root $PWD/remote/{machine} | kmh-check -o json")
    }

    /// The report on each machine.
    fn machines(ran: &Ran) -> BTreeMap<String, Value> {
        let report = ran.documents()["kmh.push/v1"]["spec"].clone();
        let machines = report["machines"].as_array().unwrap().iter();
        machines.map(|machine| (machine["name"].as_str().unwrap().to_owned(), machine.clone())).collect()
    }
}

#[test]
fn the_pipe_deploys_to_three_sshds_and_a_second_push_sends_no_file() {
    let lab = Lab::start();
    let first = lab.pipe().exits(0);
    let reports = Lab::machines(&first);
    assert_eq!(reports.keys().collect::<Vec<_>>(), NODES);
    for node in NODES {
        assert_eq!(reports[node]["outcome"], "changed");
        assert!(reports[node]["written"].as_array().unwrap().len() > 50, "{}", reports[node]);
    }
    // What is there is what the folder target has: byte for byte, mode for mode.
    lab.sandbox
        .sh("kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render \
             | kmh-push --store pki --to dir:out --limit attic-1,flat-1,vps-1 >/dev/null")
        .exits(0);
    for node in NODES {
        let plain = |below: &str| -> BTreeMap<_, _> {
            let top = lab.sandbox.path().join(below);
            let found = lab.sandbox.snapshot(below).into_iter().filter(|(path, _)| path.is_file());
            found
                .map(|(path, (mode, _, bytes))| (path.strip_prefix(&top).unwrap().to_owned(), (mode, bytes)))
                .collect()
        };
        assert!(
            plain(&format!("remote/{node}")) == plain(&format!("out/{node}")),
            "{node} differs from the folder"
        );
    }

    let before = lab.sandbox.snapshot("remote");
    let second = lab.pipe().exits(0);
    assert_eq!(second.documents()["kmh.push/v1"]["spec"]["changed"], false);
    for (name, report) in Lab::machines(&second) {
        assert_eq!(
            (&report["outcome"], &report["written"]),
            (&"unchanged".into(), &serde_json::json!([])),
            "{name}"
        );
    }
    assert_eq!(lab.sandbox.snapshot("remote"), before);
}

#[test]
fn a_wrong_host_key_is_refused_and_the_check_at_the_end_says_so() {
    let lab = Lab::start();
    // The second machine shows another key than the one that is known for it.
    let wrong = lab.sshds[1].known().split_whitespace().next().unwrap().to_owned();
    let key = lab.sshds[0].public("host.pub");
    let known: String = [lab.sshds[0].known(), format!("{wrong} {key}\n"), lab.sshds[2].known()].concat();
    lab.sandbox.write("known", &known);
    let ran = lab.pipe().exits(1).says("host key");
    let reports = Lab::machines(&ran);
    assert_eq!(reports["attic-1"]["outcome"], "changed");
    assert_eq!(reports["vps-1"]["outcome"], "changed");
    assert_ne!(reports["flat-1"]["outcome"], "changed");
    assert!(!lab.sandbox.has("remote/flat-1"), "files were sent to a machine that could not prove who it is");
    assert_eq!(ran.documents()["kmh.check/v1"]["spec"]["ok"], false);
}
