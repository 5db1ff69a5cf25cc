//! The CA of the tunnels is rotated while real charons of two stood-in pfSense and a Linux router, in namespaces, keep each
//! other's word: at every stage, and while only some of the routers have what the stage asks for, each believes each.
//!
//! What pfSense makes of its settings is kmh-lab's word. What is shown is IKE, which certificates are for. Kernels without
//! ESP cannot do the rest, and charon keeps the IKE SA then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use kmh_lab::esp::pfsense::stand_in;
use kmh_tests::netns::{Netns, until};
use kmh_tests::sandbox::{Ran, Sandbox};

/// Routers and the addresses of their lines.
const ROUTERS: [(&str, &str, &str); 3] = [
    ("fw-attic", "wan", "198.51.100.1"),
    ("fw-flat", "wan", "198.51.100.2"),
    ("gw-vps", "eth0", "203.0.113.7"),
];

/// Who has a tunnel with whom, by the number of its place above, and the tunnel's own number.
const PAIRS: [(usize, usize, u32); 3] = [(0, 1, 1), (0, 2, 2), (1, 2, 3)];

/// Where a pfSense has its settings.
const SETTINGS: &str = "usr/local/etc/kmh/settings.json";

struct Routers {
    sandbox: Sandbox,
    net: Netns,
}

impl Routers {
    fn start() -> Self {
        let sandbox = Sandbox::new();
        let text = sandbox.read("cluster.yaml");
        let text = text.replace("address: attic.dyn.example.net, dynamic: true", "address: 198.51.100.1");
        let text = text.replace("address: flat.dyn.example.net, dynamic: true", "address: 198.51.100.2");
        // Each end can be called.
        let text = text.replace(", nat: forwarded", "");
        assert!(!text.contains(".dyn.") && !text.contains("nat:"), "{text}");
        sandbox.write("cluster.yaml", &text);
        sandbox.sh("kmh-pki --init --store pki <cluster.yaml >/dev/null").exits(0);
        let mut net = Netns::new();
        net.add("internet");
        net.ip("internet", &["link", "add", "wires", "type", "bridge"]);
        net.ip("internet", &["link", "set", "wires", "up"]);
        for (router, line, address) in ROUTERS {
            net.add(router);
            net.link((router, line), ("internet", router));
            net.ip("internet", &["link", "set", router, "master", "wires"]);
            net.ip(router, &["address", "add", &format!("{address}/32"), "dev", line]);
            net.ip(router, &["route", "add", "default", "dev", line]);
        }
        let mut routers = Self { sandbox, net };
        routers.documents();
        for (place, (router, _, _)) in ROUTERS.into_iter().enumerate() {
            let root = routers.sandbox.path().join(router);
            std::fs::create_dir_all(&root).unwrap();
            let settings = format!(
                "charon-systemd {{\n  install_routes = no\n  plugins {{\n    include /etc/strongswan.d/charon/*.conf\n    \
                 vici {{\n      socket = unix://{}/vici\n    }}\n  }}\n}}\n",
                root.display()
            );
            routers.sandbox.write(&format!("{router}/strongswan.conf"), &settings);
            let conf = format!("STRONGSWAN_CONF={}/strongswan.conf", root.display());
            let args = ["-u", "NOTIFY_SOCKET", conf.as_str(), "charon-systemd"];
            routers.net.start(router, "charon", "/usr/bin/env", &args);
            until(Duration::from_secs(60), "a socket", || {
                let there = routers.sandbox.has(&format!("{router}/vici"));
                if there { Ok(()) } else { Err(routers.log(place)) }
            });
            routers.deploy(place);
        }
        routers
    }

    fn log(&self, place: usize) -> String {
        self.net.log(&format!("charon-{}", ROUTERS[place].0))
    }

    /// Makes the documents of what the store gives now.
    fn documents(&self) {
        self.sandbox
            .sh("kmh-pki --store pki -i cluster.yaml | kmh-bgpcfg | kmh-render >stream.json")
            .exits(0);
    }

    /// Pushes to one router, which then uses what it got.
    fn deploy(&self, place: usize) {
        let router = ROUTERS[place].0;
        let push = format!("kmh-push -i stream.json --store pki --to dir:out --limit {router} >/dev/null");
        self.sandbox.sh(&push).exits(0);
        self.take(place, "out");
    }

    /// A router has the files that lie below that folder, or what pfSense makes of them, and nothing else.
    fn take(&self, place: usize, from: &str) {
        let (router, line, address) = ROUTERS[place];
        let folder = format!("{router}/etc/swanctl");
        let settings = self.sandbox.path().join(from).join(router).join(SETTINGS);
        self.sandbox.sh(&format!("rm -rf {router}/etc")).exits(0);
        if let Ok(settings) = std::fs::read(settings) {
            let addresses = BTreeMap::from([(line.to_owned(), vec![address.parse().unwrap()])]);
            let made = stand_in(&settings, &addresses).unwrap_or_else(|failure| panic!("{failure:?}"));
            for file in &made.files {
                let path = self.sandbox.path().join(&folder).join(&file.path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &*file.content).unwrap();
            }
            self.sandbox.write(&format!("{folder}/swanctl.conf"), &made.conf);
        } else {
            self.sandbox.sh(&format!("cp -a {from}/{router}/etc {router}/etc")).exits(0);
            // Paths are those of the router; here they lie below its folder.
            let conf = format!("{folder}/conf.d/kmh.conf");
            let root = self.sandbox.path().join(&folder);
            let text = self.sandbox.read(&conf).replace("/etc/swanctl/", &format!("{}/", root.display()));
            self.sandbox.write(&conf, &text);
            self.sandbox.write(&format!("{folder}/swanctl.conf"), "include conf.d/*.conf\n");
        }
        // As after a restart: what it had before would be believed still.
        let ran = self.ask(place, "--load-all --clear --noprompt").exits(0);
        assert!(ran.stdout.contains("loaded certificate"), "{ran:?}");
    }

    fn ask(&self, place: usize, what: &str) -> Ran {
        let router = ROUTERS[place].0;
        let root = self.sandbox.path().join(router);
        let root = root.display();
        let swanctl = format!(
            "SWANCTL_DIR={root}/etc/swanctl STRONGSWAN_CONF={root}/strongswan.conf swanctl {what} --uri unix://{root}/vici"
        );
        self.net.sh(router, &swanctl)
    }

    /// What a router calls a tunnel.
    fn name(&self, place: usize, (one, other, number): (usize, usize, u32)) -> String {
        if self.sandbox.has(&format!("out/{}/{SETTINGS}", ROUTERS[place].0)) {
            format!("con{number}")
        } else {
            format!("{}--{}", ROUTERS[one].0, ROUTERS[other].0)
        }
    }

    /// One end calls the other from nothing; whether the two believed each other.
    fn calls(&self, from: usize, pair: (usize, usize, u32)) -> Ran {
        for end in [pair.0, pair.1] {
            // There may be none.
            self.ask(end, &format!("--terminate --ike {} --force --timeout 5", self.name(end, pair)));
        }
        self.ask(from, &format!("--initiate --ike {} --timeout 20", self.name(from, pair)))
    }

    /// Whether an end knows where the other is.
    fn can_call(&self, from: usize, pair: (usize, usize, u32)) -> bool {
        let name = self.name(from, pair);
        let conns = self.ask(from, "--list-conns").stdout;
        let own = conns.split(&format!("{name}: ")).nth(1).expect("its connection");
        !own.lines().take(4).any(|line| line.trim() == "remote: %any")
    }

    /// Whoever calls anew is believed, and believes who answers; `turn` says who calls where both can.
    #[track_caller]
    fn everybody_meets(&self, turn: usize, at: &str) {
        for pair in PAIRS {
            let ends = [pair.0, pair.1];
            let [one, other] = [ends[turn % 2], ends[(turn + 1) % 2]];
            let from = if self.can_call(one, pair) { one } else { other };
            // Both may call at once, and one of the calls is given up then.
            until(Duration::from_secs(60), &format!("{at}, {from} of {pair:?}"), || {
                let ran = self.calls(from, pair);
                if ran.code == 0 {
                    Ok(())
                } else {
                    Err(format!("{ran:?}\n{}", self.log(pair.0 + pair.1 - from)))
                }
            });
        }
    }

    /// A router with what lies in that folder meets nobody; where it can call, whoever it calls refuses it.
    #[track_caller]
    fn is_refused(&self, place: usize, from: &str) {
        self.take(place, from);
        for pair in PAIRS.into_iter().filter(|pair| [pair.0, pair.1].contains(&place)) {
            let other = pair.0 + pair.1 - place;
            let caller = if self.can_call(place, pair) { place } else { other };
            let ran = self.calls(caller, pair);
            assert!(ran.code != 0 && ran.stdout.contains("AUTH"), "{pair:?}: {ran:?}\n{}", self.log(other));
        }
        self.take(place, "out");
    }
}

#[test]
fn tunnels_with_a_pfsense_meet_at_every_stage_whoever_has_it_first() {
    let routers = Routers::start();
    routers.everybody_meets(0, "before");
    routers.everybody_meets(1, "before");
    let stages = [("trust", ""), ("issue", "--deployed"), ("after", "--deployed")];
    // Twice: the pfSense first, then the Linux router, whose CA has a number by then.
    for (round, order) in [[0, 1, 2], [2, 0, 1]].into_iter().enumerate() {
        routers.sandbox.sh("rm -rf before && cp -a out before").exits(0);
        for (stage, deployed) in stages {
            let call = format!("kmh-pki rotate ipsec {deployed} --store pki -i cluster.yaml");
            routers.sandbox.sh(&call).exits(0);
            routers.documents();
            for (turn, place) in order.into_iter().enumerate() {
                routers.deploy(place);
                let last = ROUTERS[place].0;
                let at = format!("round {round}, {stage}, {} of 3 have it, {last} the last", turn + 1);
                routers.everybody_meets(turn, &at);
            }
            let settings = routers.sandbox.read(&format!("out/fw-attic/{SETTINGS}"));
            assert_eq!(settings.matches("\"kmhipsecca\"").count() > 3, stage == "after", "{settings}");
        }
        // The old CA is worth nothing.
        for place in [0, 2] {
            routers.is_refused(place, "before");
        }
        routers.everybody_meets(round, "again");
    }
}
