//! The CA of the tunnels is rotated while real charons of three Linux routers, in namespaces, keep each other's word: at every
//! stage, and while only some of the routers have what the stage asks for, each believes each.
//!
//! What is shown is IKE, which certificates are for. Kernels without ESP cannot do the rest, and charon keeps the IKE SA
//! then. crates/kmh-lab/tests/userspace.rs has packets flow through the same stages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::time::Duration;

use kmh_tests::netns::{Netns, until};
use kmh_tests::sandbox::{Ran, Sandbox};

/// Routers and the addresses of their lines.
const ROUTERS: [(&str, &str, &str); 3] = [
    ("fw-attic", "wan", "198.51.100.1"),
    ("fw-flat", "wan", "198.51.100.2"),
    ("gw-vps", "eth0", "203.0.113.7"),
];

/// Who has a tunnel with whom, by the number of its place above.
const PAIRS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

struct Routers {
    sandbox: Sandbox,
    net: Netns,
}

impl Routers {
    fn start() -> Self {
        let sandbox = Sandbox::new();
        let text = sandbox.read("cluster.yaml").replace("kind: pfsense", "kind: linux");
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
        for (router, _, _) in ROUTERS {
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
                if there { Ok(()) } else { Err(routers.net.log(&format!("charon-{router}"))) }
            });
            routers.deploy(router);
        }
        routers
    }

    /// Makes the documents of what the store gives now.
    fn documents(&self) {
        self.sandbox
            .sh("kmh-pki --store pki -i cluster.yaml | kmh-bgpcfg | kmh-render >stream.json")
            .exits(0);
    }

    /// Pushes to one router, and does what the push has its unit do.
    fn deploy(&self, router: &str) {
        let push = format!("kmh-push -i stream.json --store pki --to dir:out --limit {router} >/dev/null");
        self.sandbox.sh(&push).exits(0);
        self.take(router, "out");
    }

    /// A router has the files that lie below that folder, and loads them.
    fn take(&self, router: &str, from: &str) {
        let root = self.sandbox.path().join(router);
        self.sandbox.sh(&format!("rm -rf {router}/etc && cp -a {from}/{router}/etc {router}/etc")).exits(0);
        // Paths are those of the router; here they lie below its folder.
        let conf = format!("{router}/etc/swanctl/conf.d/kmh.conf");
        let text = self.sandbox.read(&conf);
        self.sandbox
            .write(&conf, &text.replace("/etc/swanctl/", &format!("{}/etc/swanctl/", root.display())));
        self.sandbox.write(&format!("{router}/etc/swanctl/swanctl.conf"), "include conf.d/*.conf\n");
        let ran = self.ask(router, "--load-all --noprompt").exits(0);
        assert!(ran.stdout.contains("loaded certificate"), "{ran:?}");
    }

    fn ask(&self, router: &str, what: &str) -> Ran {
        let root = self.sandbox.path().join(router);
        let root = root.display();
        let swanctl = format!(
            "SWANCTL_DIR={root}/etc/swanctl STRONGSWAN_CONF={root}/strongswan.conf swanctl {what} --uri unix://{root}/vici"
        );
        self.net.sh(router, &swanctl)
    }

    /// The end that calls does so from nothing; whether the two believed each other.
    fn calls(&self, one: usize, other: usize) -> Ran {
        let name = format!("{}--{}", ROUTERS[one].0, ROUTERS[other].0);
        for end in [one, other] {
            // There may be none.
            self.ask(ROUTERS[end].0, &format!("--terminate --ike {name} --force --timeout 5"));
        }
        let conf = self.sandbox.read(&format!("{}/etc/swanctl/conf.d/kmh.conf", ROUTERS[one].0));
        let own = conf.split(&format!("    {name} {{\n")).nth(1).expect("its connection");
        let is_called = own.lines().take(6).any(|line| line.trim() == "remote_addrs = %any");
        let from = if is_called { other } else { one };
        self.ask(ROUTERS[from].0, &format!("--initiate --ike {name} --timeout 20"))
    }

    /// Every two of them are connected by themselves, and whoever calls anew is believed.
    #[track_caller]
    fn everybody_meets(&self, at: &str) {
        until(Duration::from_secs(60), at, || {
            let lists = ROUTERS.map(|(router, _, _)| self.ask(router, "--list-sas").stdout);
            let met = |(one, other): &(usize, usize)| {
                let name = format!("{}--{}: ", ROUTERS[*one].0, ROUTERS[*other].0);
                let up = |list: &String| {
                    list.lines().any(|line| line.starts_with(&name) && line.contains("ESTABLISHED"))
                };
                up(&lists[*one]) && up(&lists[*other])
            };
            if PAIRS.iter().all(met) { Ok(()) } else { Err(lists.concat()) }
        });
        // Each of the two shows itself to the other, whoever calls.
        for (one, other) in PAIRS {
            let ran = self.calls(one, other);
            let log = || self.net.log(&format!("charon-{}", ROUTERS[other].0));
            assert_eq!(ran.code, 0, "{at}, {} and {}: {ran:?}\n{}", ROUTERS[one].0, ROUTERS[other].0, log());
        }
    }
}

#[test]
fn tunnels_meet_at_every_stage_whoever_has_it_first() {
    let routers = Routers::start();
    routers.everybody_meets("before");
    routers.sandbox.sh("cp -a out before").exits(0);
    let certificate = |folder: &str, router: &str| {
        let found = routers.sandbox.sh(&format!("cat {folder}/{router}/etc/swanctl/x509/*.crt")).exits(0);
        found.stdout
    };
    // In another order each time: nobody has to be first.
    for (stage, deployed, order) in
        [("trust", "", [0, 1, 2]), ("issue", "--deployed", [2, 0, 1]), ("after", "--deployed", [1, 2, 0])]
    {
        let call = format!("kmh-pki rotate ipsec {deployed} --store pki -i cluster.yaml");
        routers.sandbox.sh(&call).exits(0);
        routers.documents();
        for (number, place) in order.into_iter().enumerate() {
            let router = ROUTERS[place].0;
            let before = certificate("out", router);
            routers.deploy(router);
            // Only the second stage gives routers other certificates.
            assert_eq!(certificate("out", router) != before, stage == "issue", "{stage} {router}");
            routers.everybody_meets(&format!("{stage}, {} of 3 have it, {router} the last", number + 1));
        }
    }
    // The old CA is worth nothing: who comes with a certificate of it, and who trusts it alone, meets nobody.
    routers.take("fw-attic", "before");
    for (one, other) in [(0, 1), (0, 2)] {
        let ran = routers.calls(one, other);
        assert!(ran.code != 0 && ran.stdout.contains("AUTH"), "{ran:?}");
    }
    routers.take("fw-attic", "out");
    routers.everybody_meets("again");
}
