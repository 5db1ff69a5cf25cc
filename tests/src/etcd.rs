//! A real etcd of three members, started from the rendered files with the issued certificates, each member in a
//! network namespace with its node's address, and asked over mutual TLS.

use std::path::PathBuf;
use std::time::Duration;

use crate::netns::{Netns, until};
use crate::sandbox::{Ran, Sandbox};

/// The members of the article's cluster: name, address, gateway.
pub const MEMBERS: [(&str, &str, &str); 3] = [
    ("attic-1", "10.10.0.11", "10.10.0.1"),
    ("flat-1", "10.20.0.11", "10.20.0.1"),
    ("vps-1", "10.30.0.11", "10.30.0.1"),
];

/// Three members behind one router, which stands for the tunnels.
pub struct Cluster {
    /// Where the store is, and in `out` every machine's root.
    pub sandbox: Sandbox,
    /// A namespace for each member.
    pub net: Netns,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::start()
    }
}

impl Cluster {
    /// With new certificates, nothing in it; its members are being started.
    pub fn start() -> Self {
        assert!(
            PathBuf::from("/usr/bin/etcd").exists(),
            "etcd is missing: apt-get install etcd-server etcd-client"
        );
        let sandbox = Sandbox::new();
        sandbox
            .sh("kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render | kmh-push --store pki --to dir:out >/dev/null")
            .exits(0);
        let mut net = Netns::new();
        net.add("router");
        for (name, address, gateway) in MEMBERS {
            net.add(name);
            net.link((name, "eth0"), ("router", name));
            net.ip(name, &["address", "add", &format!("{address}/24"), "dev", "eth0"]);
            net.ip("router", &["address", "add", &format!("{gateway}/24"), "dev", name]);
            net.ip(name, &["route", "add", "default", "via", gateway]);
        }
        let mut cluster = Self { sandbox, net };
        for (name, _, _) in MEMBERS {
            cluster.run(name);
        }
        cluster
    }

    /// Starts a member.
    pub fn run(&mut self, name: &str) {
        let conf = self.conf(name);
        self.net.start(name, "etcd", "/usr/bin/etcd", &["--config-file", &conf]);
    }

    /// The rendered settings, with the machine's root moved into the sandbox and nothing else changed. Keys that this
    /// release of etcd does not know are passed over by it.
    fn conf(&self, name: &str) -> String {
        let root = self.sandbox.path().join("out").join(name);
        let text = self.sandbox.read(&format!("out/{name}/etc/etcd/etcd.yaml"));
        let moved = text
            .replace("/etc/kubernetes/", &format!("{}/etc/kubernetes/", root.display()))
            .replace("/var/lib/etcd", &format!("{}/var/lib/etcd", root.display()));
        assert_eq!(moved.matches(&root.display().to_string()).count(), 7, "paths in {text}");
        let path = format!("{name}.yaml");
        self.sandbox.write(&path, &moved);
        self.sandbox.path().join(path).display().to_string()
    }

    /// `etcdctl` on a machine, with a certificate of that machine.
    pub fn ctl(&self, machine: &str, pair: &str, command: &str) -> Ran {
        let pki = self.sandbox.path().join("out").join(machine).join("etc/kubernetes/pki");
        let endpoints: Vec<_> =
            MEMBERS.iter().map(|(_, address, _)| format!("https://{address}:2379")).collect();
        let pair = if pair.is_empty() {
            String::new()
        } else {
            format!("--cert {0}/{pair}.crt --key {0}/{pair}.key", pki.display())
        };
        self.net.sh(
            machine,
            &format!(
                "ETCDCTL_API=3 etcdctl --dial-timeout=3s --command-timeout=5s --endpoints {} --cacert {}/etcd/ca.crt {pair} {command}",
                endpoints.join(","),
                pki.display()
            ),
        )
    }

    /// Waits until every member is healthy.
    pub fn healthy(&self) {
        until(Duration::from_secs(60), "three healthy members", || {
            let ran = self.ctl("attic-1", "etcd/healthcheck-client", "endpoint health");
            let healthy = ran.stderr.matches("is healthy").count() + ran.stdout.matches("is healthy").count();
            if ran.code == 0 && healthy == 3 {
                Ok(())
            } else {
                Err(format!("{ran:?}\n{}", self.net.log("etcd-attic-1")))
            }
        });
    }
}
