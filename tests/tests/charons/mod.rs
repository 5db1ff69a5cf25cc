//! Real charons of the article's three routers, in namespaces that one bridge joins: who believes whom while the CA of the
//! tunnels is rotated. A Linux router has its rendered files, a pfSense what stands in for its settings.

#[path = "../standin/files.rs"]
pub(crate) mod files;

use std::time::Duration;

use files::{charon_settings, lay};
use kmh_tests::netns::{Netns, until};
use kmh_tests::sandbox::{Ran, Sandbox};

/// Routers and the addresses of their lines.
pub(crate) const ROUTERS: [(&str, &str, &str); 3] = [
    ("fw-attic", "wan", "198.51.100.1"),
    ("fw-flat", "wan", "198.51.100.2"),
    ("gw-vps", "eth0", "203.0.113.7"),
];

pub(crate) struct Routers {
    pub(crate) sandbox: Sandbox,
    net: Netns,
    load: &'static str,
}

impl Routers {
    /// Everything is deployed; routers at home are of that kind, and take new files by that command of swanctl's.
    pub(crate) fn start(kind: &str, load: &'static str) -> Self {
        let sandbox = Sandbox::new();
        let text = sandbox.read("cluster.yaml").replace("kind: pfsense", &format!("kind: {kind}"));
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
        let mut routers = Self { sandbox, net, load };
        routers.documents();
        for (place, (router, _, _)) in ROUTERS.into_iter().enumerate() {
            let root = routers.sandbox.path().join(router);
            std::fs::create_dir_all(&root).unwrap();
            routers.sandbox.write(&format!("{router}/strongswan.conf"), &charon_settings(&root));
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

    /// What its charon said.
    pub(crate) fn log(&self, place: usize) -> String {
        self.net.log(&format!("charon-{}", ROUTERS[place].0))
    }

    /// Makes the documents of what the store gives now.
    pub(crate) fn documents(&self) {
        self.sandbox
            .sh("kmh-pki --store pki -i cluster.yaml | kmh-bgpcfg | kmh-render >stream.json")
            .exits(0);
    }

    /// Pushes to one router, which then uses what it got.
    pub(crate) fn deploy(&self, place: usize) {
        let router = ROUTERS[place].0;
        let push = format!("kmh-push -i stream.json --store pki --to dir:out --limit {router} >/dev/null");
        self.sandbox.sh(&push).exits(0);
        self.take(place, "out");
    }

    /// A router has the files that lie below that folder, or what pfSense makes of them, and nothing else; it loads them.
    pub(crate) fn take(&self, place: usize, from: &str) {
        let (router, line, address) = ROUTERS[place];
        let root = self.sandbox.path();
        self.sandbox.sh(&format!("rm -rf {router}/etc")).exits(0);
        lay(&root.join(from).join(router), &root.join(router), line, address);
        let ran = self.ask(place, self.load).exits(0);
        assert!(ran.stdout.contains("loaded certificate"), "{ran:?}");
    }

    /// A question to its charon, or an order.
    pub(crate) fn ask(&self, place: usize, what: &str) -> Ran {
        let router = ROUTERS[place].0;
        let root = self.sandbox.path().join(router);
        let root = root.display();
        let swanctl = format!(
            "SWANCTL_DIR={root}/etc/swanctl STRONGSWAN_CONF={root}/strongswan.conf swanctl {what} --uri unix://{root}/vici"
        );
        self.net.sh(router, &swanctl)
    }
}
