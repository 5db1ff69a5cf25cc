//! A real etcd of three members, started from the rendered files with the issued certificates, each member in a
//! network namespace with its node's address, and asked over mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::time::Duration;

use kmh_tests::etcd::{Cluster, MEMBERS};
use kmh_tests::netns::until;

#[test]
fn three_members_serve_over_mutual_tls() {
    let cluster = Cluster::start();
    cluster.healthy();
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
        // A member that starts looks whether others are there, and hangs up: that refuses nobody.
        let hung_up =
            |line: &&str| line.contains("(error \"EOF\"") || line.contains("connection reset by peer");
        for line in log.lines().filter(|line| !hung_up(line)) {
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
