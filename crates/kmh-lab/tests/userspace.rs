//! Tunnels by strongSwan's own ESP, on a kernel that may have none: two pfSense, stood in for, and a router in a namespace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stderr,
    reason = "tests, which say what they measured"
)]

mod support;

use std::time::Instant;

use serde_json::Value;
use support::World;

const UP: &str = "up -i stream.json --store pki --tunnels userspace";
/// All that may be on a line: IKE and ESP in UDP, neighbours, questions for names.
const OUTER: &str = "udp port 500 or udp port 4500 or arp or icmp6 or port 53";

struct Lab {
    world: World,
    up: Value,
}

impl Lab {
    fn up() -> Self {
        let world = World::new(None);
        let ran = world.lab(&format!("{UP} -o json")).exits(0);
        let ran = ran.says("strongSwan's own ESP in UDP").says("packets of at most 1400 octets");
        let up = serde_json::from_str(&ran.stdout).unwrap();
        Self { world, up }
    }

    /// What pods do not reach, of the two that the prediction has something to say of.
    fn missed(&self) -> Result<(), String> {
        let ran = self.world.lab("ping pod-attic-1 pod-flat-1 pod-vps-1 -o text");
        if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
    }

    /// Packets of a kind on all lines while that is done.
    fn recorded(&self, name: &str, filters: &[&str], work: impl FnOnce()) -> Vec<Vec<String>> {
        let start = format!(
            "exec internet -- sh -c \"setsid tcpdump -n -i any --immediate-mode -U -w /run/{name} </dev/null >/run/{name}.log 2>&1 & \
             until grep -q listening /run/{name}.log; do sleep 0.1; done; echo \\$!\""
        );
        let pid = self.world.lab(&start).exits(0).stdout;
        work();
        self.world.sh(&format!("sleep 0.5; kill {}", pid.trim())).exits(0);
        let read = |filter: &&str| {
            let ran = self.world.sh(&format!("tcpdump -n -r /run/{name} \"{filter}\" 2>/dev/null")).exits(0);
            ran.stdout.lines().map(str::to_owned).collect()
        };
        filters.iter().map(read).collect()
    }
}

#[test]
fn pods_reach_pods_and_only_esp_is_on_the_lines() {
    let lab = Lab::up();
    let world = &lab.world;
    world.pods_reach_pods(&lab.up);
    let not_outer = format!("not ({OUTER})");
    let seen = lab.recorded("whole", &["udp port 4500", &not_outer], || {
        world.pods_reach_pods(&lab.up);
    });
    assert!(seen[0].iter().filter(|line| line.contains("UDP-encap: ESP")).count() >= 20, "{:?}", seen[0]);
    assert_eq!(seen[1], Vec::<String>::new());
    // One charon for each tunnel, all of them on the ports of IKE for whoever is outside.
    let sockets = world.inside("fw-attic", "ss -Hlun | grep -c \"0.0.0.0:2000[0-9]\"");
    assert_eq!(sockets.trim(), "4", "two tunnels, two ports each");
    // A packet that fits, and one that the plugin would not read whole.
    let ping = |size: u16| {
        world.lab(&format!("ping pod-attic-1 pod-vps-1 --size {size} -o text")).stdout.contains("all")
    };
    assert_eq!((ping(1400), ping(1401)), (true, false));
    // The same bundle again changes nothing; the way is the lab's once it is up.
    let again = world.lab("up -i stream.json --store pki -o json").exits(0);
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap()["changed"], false, "{again:?}");
    world.lab("up -i stream.json --store pki --tunnels plain").exits(2).says("carried in another way");

    // With every charon dead nothing inner is on a line.
    for router in ["fw-attic", "fw-flat", "gw-vps"] {
        world.lab(&format!("kill {router}:charon-systemd")).exits(0);
    }
    let seen = lab.recorded("dead", &["net 10.0.0.0/8", "udp port 4500"], || {
        assert!(lab.missed().is_err(), "sites reach each other without tunnels");
    });
    assert_eq!(seen, [Vec::<String>::new(), Vec::new()]);
    world.lab("heal").exits(0);
    World::until("tunnels are back", 60, || lab.missed());
}

#[test]
fn tunnels_of_a_redialled_line_heal_by_themselves_and_a_cut_one_moves_traffic_as_predicted() {
    let lab = Lab::up();
    let world = &lab.world;
    World::until("pods reach pods", 60, || lab.missed());
    let (line, old, new) = ("fw-attic/dsl", "198.18.0.18", "100.64.0.18");
    let begin = Instant::now();
    let ran = world.lab(&format!("redial uplink/{line} -o text")).exits(0);
    assert!(!ran.stderr.contains("do not notice"), "{ran:?}");
    // Both peers see it there. Whoever is left at the old address says goodbye to nobody for minutes: no tunnel any more.
    World::until("both of its tunnels carry again", 90, || {
        let line = "for at in /run/kmh-lab-esp/*.vici; do swanctl --list-sas --uri unix://$at; done";
        let sas = ["fw-flat", "vps-host"].map(|router| world.inside(router, line)).concat();
        if sas.matches(&format!("@ {new}[4500]")).count() >= 2 { lab.missed() } else { Err(sas) }
    });
    eprintln!("{line}: {:?} after the redial", begin.elapsed());
    let not_outer = format!("not ({OUTER})");
    let here = format!("udp port 4500 and host {new}");
    let gone = format!("src host {old} or (dst host {old} and udp[8:4] != 0)");
    let seen = lab.recorded("again", &[&here, &gone, &not_outer], || lab.missed().unwrap());
    assert!(seen[0].iter().any(|line| line.contains("UDP-encap: ESP")), "{line}: {:?}", seen[0]);
    assert_eq!((&seen[1], &seen[2]), (&Vec::new(), &Vec::new()), "{line}");
    World::until("all tunnels carry", 60, || lab.missed());
    let ran = world.lab("measure tunnel/fw-attic--gw-vps -o json").exits(0);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    eprintln!("{said}");
    assert_eq!(said["as_predicted"], true, "{said}");
    let streams = said["streams"].as_array().unwrap();
    let moved = streams.iter().filter(|row| row["predicted"] == "moved");
    assert!(moved.clone().count() > 0 && moved.clone().all(|row| row["lost_ms"] != 0), "{said}");
    world.lab("cut tunnel/fw-attic--fw-flat --clean").exits(0);
    World::until("the other way is used", 60, || lab.missed());
    world.lab("heal").exits(0);
    World::until("all tunnels carry again", 60, || lab.missed());
}
