//! A real etcd of three members, started from the rendered files with the issued certificates, each member in a
//! network namespace with its node's address, and asked over mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::path::PathBuf;
use std::time::Duration;

use kmh_tests::netns::{Netns, until};
use kmh_tests::sandbox::Sandbox;

const MEMBERS: [(&str, &str, &str); 3] = [
    ("attic-1", "10.10.0.11", "10.10.0.1"),
    ("flat-1", "10.20.0.11", "10.20.0.1"),
    ("vps-1", "10.30.0.11", "10.30.0.1"),
];

struct Cluster {
    sandbox: Sandbox,
    net: Netns,
}

impl Cluster {
    /// Three members behind one router, which stands for the tunnels.
    fn start() -> Self {
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
            let conf = cluster.conf(name);
            cluster.net.start(name, "etcd", "/usr/bin/etcd", &["--config-file", &conf]);
        }
        cluster
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
    fn ctl(&self, machine: &str, pair: &str, command: &str) -> kmh_tests::sandbox::Ran {
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
}

#[test]
fn three_members_serve_over_mutual_tls() {
    let cluster = Cluster::start();
    until(Duration::from_secs(60), "three healthy members", || {
        let ran = cluster.ctl("attic-1", "etcd/healthcheck-client", "endpoint health");
        let healthy = ran.stderr.matches("is healthy").count() + ran.stdout.matches("is healthy").count();
        if ran.code == 0 && healthy == 3 {
            Ok(())
        } else {
            Err(format!("{ran:?}\n{}", cluster.net.log("etcd-attic-1")))
        }
    });
    // An API server writes on one machine and another reads on a second, each with its own certificate.
    cluster.ctl("attic-1", "apiserver-etcd-client", "put /registry/kmh yes").exits(0);
    let read = cluster.ctl("vps-1", "apiserver-etcd-client", "get /registry/kmh --print-value-only").exits(0);
    assert_eq!(read.stdout.trim(), "yes");
    // The loopback address is in the serving certificate.
    let pki = cluster.sandbox.path().join("out/flat-1/etc/kubernetes/pki");
    cluster
        .net
        .sh(
            "flat-1",
            &format!(
                "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert {0}/etcd/ca.crt \
                 --cert {0}/etcd/healthcheck-client.crt --key {0}/etcd/healthcheck-client.key endpoint health",
                pki.display()
            ),
        )
        .exits(0);
    for (name, _, _) in MEMBERS {
        let log = cluster.net.log(&format!("etcd-{name}"));
        // A member that starts looks whether others are there, and hangs up: an EOF refuses nobody.
        for line in log.lines().filter(|line| !line.contains("(error \"EOF\"")) {
            for bad in ["rejected connection", "incompatible key usage", "certificate"] {
                assert!(!line.contains(bad), "{name}: {log}");
            }
        }
    }

    // Nobody without a certificate, or with one of another CA: the cluster CA's clients are not etcd's.
    for pair in ["", "apiserver-kubelet-client", "front-proxy-client", "admin"] {
        let ran = cluster.ctl("attic-1", pair, "get /registry/kmh");
        assert_ne!(ran.code, 0, "{pair:?} was let in");
        assert!(!ran.stdout.contains("yes"), "{pair:?} read a key");
    }
    // The third member is enough of a majority with the second when the first dies.
    let mut cluster = cluster;
    cluster.net.kill("attic-1", "etcd");
    until(Duration::from_secs(30), "a new leader", || {
        let ran = cluster.ctl("flat-1", "apiserver-etcd-client", "put /registry/kmh still");
        if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
    });
}
