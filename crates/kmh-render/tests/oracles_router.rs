//! What routers are given is taken by the programs that read it: FRR, nftables, strongSwan, the shell, systemd.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Rendered, article, feed, other, prepare_charon, program, render, silent};

/// Every file of that name, with the machine's.
fn named(rendered: &Rendered, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for machine in rendered.machines() {
        let files = common::files_of(machine).into_iter().filter(|(path, _)| path.ends_with(ending));
        found.extend(files.map(|(path, text)| (format!("{}:{path}", machine["name"]), text)));
    }
    found
}

#[test]
fn frr_takes_its_configuration_and_every_name_in_it_is_defined() {
    let vtysh = program("vtysh", "frr");
    for (inventory, count) in [(article(), 3), (other(), 3)] {
        let rendered = render(&inventory);
        let texts = named(&rendered, "/frr.conf");
        assert_eq!(texts.len(), count);
        for (name, text) in texts {
            let file = rendered.dir.path().join("frr.conf");
            std::fs::write(&file, &text).unwrap();
            let output = Command::new(&vtysh).args(["-C", "-f"]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains('%'), "{name}: {said}\n{text}");

            // FRR takes a reference to nothing, and lets everything or nothing pass.
            let defined = |keyword: &str, column: usize| -> BTreeSet<&str> {
                let lines = text.lines().filter(|line| line.starts_with(keyword));
                lines.filter_map(|line| line.split_whitespace().nth(column)).collect()
            };
            let used = |keyword: &str| -> BTreeSet<&str> {
                text.lines()
                    .filter_map(|line| line.trim_start().strip_prefix(keyword)?.split_whitespace().next())
                    .collect()
            };
            let maps = defined("route-map ", 1);
            let lists = &defined("ip prefix-list ", 2) | &defined("ipv6 prefix-list ", 2);
            let matched = &used("match ip address prefix-list ") | &used("match ipv6 address prefix-list ");
            assert!(!matched.is_empty() && matched.is_subset(&lists), "{name}: {matched:?} of {lists:?}");
            assert!(used("match as-path ").is_subset(&defined("bgp as-path access-list ", 3)), "{name}");
            let applied: BTreeSet<&str> =
                text.lines().filter_map(|line| line.split_once(" route-map ")?.1.split(' ').next()).collect();
            assert!(!applied.is_empty() && applied.is_subset(&maps), "{name}: {applied:?} of {maps:?}");

            // RFC 8212: nothing is let in or out without being asked for; and nothing static is announced.
            let neighbors = text.lines().filter(|line| line.ends_with(" activate")).count();
            for way in [" in", " out"] {
                assert_eq!(
                    text.lines().filter(|line| line.contains(" route-map ") && line.ends_with(way)).count(),
                    neighbors
                );
            }
            assert!(!text.lines().any(|line| line.trim_start().starts_with("redistribute")), "{name}");
            assert!(text.contains("\n bgp bestpath compare-routerid\n"), "{name}");
            assert!(text.contains("ip route 10.200.0.0/16 reject 254"), "{name}");
        }
    }
}

#[test]
fn nftables_takes_every_rule() {
    let (unshare, nft) = (program("unshare", "util-linux"), program("nft", "nftables"));
    for inventory in [article(), other()] {
        let rendered = render(&inventory);
        for (name, text) in named(&rendered, ".nft") {
            let file = rendered.dir.path().join("rules.nft");
            std::fs::write(&file, &text).unwrap();
            // Loaded twice, for the file replaces its own table, and listed, for it to be there.
            let script = "\"$0\" -c -f \"$1\" && \"$0\" -f \"$1\" && \"$0\" -f \"$1\" && \"$0\" list ruleset";
            let mut command = Command::new(&unshare);
            command.args(["-r", "-n", "sh", "-c", script]).arg(&nft).arg(&file);
            let listed = silent(&mut command);
            assert!(
                listed.matches("table inet").count() == 1 && listed.contains("hook forward"),
                "{name}: {listed}\n{text}"
            );
            assert!(
                !listed.contains("masquerade") || listed.contains("daddr !="),
                "{name}: inner traffic is translated\n{listed}"
            );
        }
        // The namespace's packets are translated once, by its host.
        let translated = named(&rendered, ".nft")
            .iter()
            .filter(|(_, text)| text.contains("masquerade"))
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>();
        assert!(translated.iter().any(|name| name.ends_with("kmh-host.nft")), "{translated:?}");
        assert!(!translated.contains(&"\"gw-vps\":/etc/nftables.d/kmh.nft".to_owned()), "{translated:?}");
    }
}

#[test]
fn scripts_are_shell() {
    let shell = program("dash", "dash");
    for inventory in [article(), other()] {
        let rendered = render(&inventory);
        let scripts = named(&rendered, ".sh");
        assert!(scripts.len() >= 3);
        for (name, text) in scripts {
            let output = feed(Command::new(&shell).arg("-n"), text.as_bytes());
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{name}: {}\n{text}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

/// Makes the namespace and its links for real, twice, in a namespace of the test's own.
#[test]
fn links_are_made_and_stay_as_they_are() {
    let unshare = program("unshare", "util-linux");
    program("ip", "iproute2");
    let rendered = render(&article());
    let script = rendered.dir.path().join("netns.sh");
    std::fs::write(&script, rendered.file("gw-vps", "/usr/local/lib/kmh/netns.sh")).unwrap();
    // An own mount of /run/netns, an own /sys that shows the own interfaces.
    let run = "mount -t tmpfs none /run && mkdir /run/netns && mount -t sysfs none /sys && sh \"$0\" && sh \"$0\" && \
               ip -o address show dev kmhu3 && ip -o -n k8s address show && ip -n k8s route show && ip route show && \
               ip -o link show type bridge";
    let mut command = Command::new(unshare);
    command.args(["-r", "-n", "-m", "sh", "-c", run]).arg(&script);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "169.254.1.13/30",
        "169.254.1.14/30",
        "10.30.0.1/24",
        "default via 169.254.1.13 dev uplink",
        "10.30.0.0/24 via 169.254.1.14 dev kmhu3",
        "kmhbr3",
    ] {
        assert!(said.contains(expected), "no {expected}:\n{said}");
    }
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_charon_loads_every_connection_with_its_certificate_and_key() {
    let charon = program("charon-systemd", "charon-systemd");
    let swanctl = program("swanctl", "strongswan-swanctl");
    let unshare = program("unshare", "util-linux");
    for (inventory, routers) in
        [(article(), vec![("gw-vps", 2)]), (other(), vec![("fw-attic", 2), ("gw-vps", 2)])]
    {
        let rendered = render(&inventory);
        for (router, connections) in routers {
            let root = tempfile::tempdir().unwrap();
            rendered.deploy(router, root.path());
            let at = |path: &str| root.path().join(path);
            let socket = format!("unix://{}", at("charon.vici").display());
            prepare_charon(root.path(), "charon.vici", "port = 0\n  port_nat_t = 0\n  ");

            let daemon = Command::new(&unshare)
                .args(["-r", "-n"])
                .arg(&charon)
                .env("STRONGSWAN_CONF", at("strongswan.conf"))
                .env_remove("NOTIFY_SOCKET")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let _daemon = Running(daemon);
            wait_for(&at("charon.vici"));
            let load = Command::new(&swanctl)
                .args(["--load-all", "--noprompt", "--uri", &socket])
                .env("SWANCTL_DIR", at("etc/swanctl"))
                .env("STRONGSWAN_CONF", at("strongswan.conf"))
                .output()
                .unwrap();
            let said =
                String::from_utf8_lossy(&load.stdout).into_owned() + &String::from_utf8_lossy(&load.stderr);
            assert!(load.status.success(), "{router}: {said}");
            assert!(
                said.contains(&format!("successfully loaded {connections} connections")),
                "{router}: {said}"
            );
            assert!(said.contains("loaded private key"), "{router}: {said}");

            let ask = |what: &str| {
                silent(
                    Command::new(&swanctl)
                        .args([what, "--uri", &socket])
                        .env("STRONGSWAN_CONF", at("strongswan.conf")),
                )
            };
            let listed = ask("--list-conns");
            assert_eq!(listed.matches("IKEv2").count(), connections, "{listed}");
            assert_eq!(listed.matches("0.0.0.0/0 ::/0").count(), 2 * connections, "{listed}");
            assert!(listed.contains(&format!("id: {router}.attic.ipsec.internal")), "{listed}");
            let certificates = ask("--list-certs");
            assert!(
                certificates.contains("has private key"),
                "charon found no key to the certificate:\n{certificates}"
            );
        }
    }
}

#[track_caller]
fn wait_for(path: &Path) {
    for _ in 0..100 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{} does not appear", path.display());
}
