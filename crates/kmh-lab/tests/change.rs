//! A lab that is up gets another bundle: the difference is applied, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use serde_json::Value;
use support::World;

/// Machines that were touched, and how.
fn touched(up: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, machine) in up["machines"].as_object().expect("machines") {
        let acts: Vec<String> = machine["services"]
            .as_array()
            .expect("services")
            .iter()
            .map(|act| format!("{} {}", act["unit"].as_str().unwrap(), act["did"].as_str().unwrap()))
            .collect();
        if machine["booted"] == true {
            found.push(format!("{name}: booted"));
        } else if !acts.is_empty() || machine["files"] != Value::Array(Vec::new()) {
            found.push(format!("{name}: {}", acts.join(", ")));
        }
    }
    found
}

#[test]
fn a_second_up_applies_the_difference() {
    let world = World::new(None);
    let up = world.up();
    world.pods_reach_pods(&up);
    let pid = |up: &Value, name: &str| up["machines"][name]["pid"].clone();

    // A timer: FRR of every router and BIRD of every node read their files again, and nobody is booted.
    let sed = |expression: &str| {
        world.sh(&format!("sed -i '{expression}' cluster.yaml")).exits(0);
        world.render();
        world.up()
    };
    let timer = sed("s/bgp: {layout: A}/bgp: {layout: A, timers: {routers: {bfd_ms: 500}}}/");
    assert_eq!(
        touched(&timer),
        [
            "fw-attic: frr.service reloaded",
            "fw-flat: frr.service reloaded",
            "vps-host: frr@k8s.service reloaded",
        ]
    );
    assert_eq!(pid(&timer, "fw-attic"), pid(&up, "fw-attic"));
    assert!(world.inside("fw-attic", "cat /etc/frr/frr.conf").contains("profile kmh-500"));
    world.pods_reach_pods(&timer);

    // One node more, then one less: it and its router, which knows it.
    let more = sed(
        "/name: pi-1/a\\    - {name: pi-2, site: flat, address: 10.20.0.22, arch: arm64, roles: [worker]}",
    );
    let list = touched(&more);
    assert!(list.contains(&"pi-2: booted".to_owned()), "{list:?}");
    assert!(list.contains(&"fw-flat: frr.service reloaded".to_owned()), "{list:?}");
    assert!(
        !list.iter().any(|line| line.starts_with("fw-attic") || line.contains("pi-1: booted")),
        "{list:?}"
    );
    world.pods_reach_pods(&more);
    let less = sed("/name: pi-2/d");
    assert!(less["machines"].get("pi-2").is_none(), "{less}");
    world.lab("exec pod-pi-2 -- true").exits(2).says("no machine `pod-pi-2`");
    let spaces = world.sh("ip netns list").stdout;
    assert!(!spaces.contains("pi-2"), "{spaces}");
    world.pods_reach_pods(&less);

    // A file that the bundle has no more.
    let gone = "/etc/kubernetes/resolv.conf";
    world.inside("attic-1", &format!("test -e {gone}"));
    sed("/resolvers: /d");
    world.inside("attic-1", &format!("test ! -e {gone}"));

    // A line with another MTU: its interface, and what follows for tunnels.
    let line = sed("s/mtu: 1492/mtu: 1400/");
    assert_eq!(line["changed"], true);
    assert!(world.inside("fw-attic", "cat /sys/class/net/wan/mtu").contains("1400"));
    assert_eq!(pid(&line, "attic-1"), pid(&up, "attic-1"));

    let same = world.lab("up -i stream.json --store pki -o text").exits(0);
    assert!(same.stdout.contains("nothing changed"), "{same:?}");
}

#[test]
fn a_machine_that_died_is_built_again() {
    let world = World::new(None);
    let up = world.up();
    let pid = up["machines"]["vps-host"]["pid"].as_u64().expect("a number");
    world.sh(&format!("kill -9 {pid}")).exits(0);
    World::until("its end", 10, || {
        let ran = world.lab("exec gw-vps -- true");
        if ran.code == 3 { Ok(()) } else { Err(format!("{ran:?}")) }
    });
    let again = world.up();
    assert_eq!(touched(&again), ["vps-host: booted"]);
    world.pods_reach_pods(&again);
}

#[test]
fn a_part_comes_up_alone_and_grows() {
    let world = World::new(None);
    let ran = world.lab("up fw-attic attic-1 -i stream.json --store pki --tunnels plain -o json").exits(0);
    let part: Value = serde_json::from_str(&ran.stdout).expect("json");
    let names: Vec<&String> = part["machines"].as_object().expect("machines").keys().collect();
    assert_eq!(names, ["attic-1", "fw-attic"]);
    world.lab("up nobody -i stream.json --store pki").exits(2).says("no machine `nobody`");
    World::until("the gateway", 30, || {
        let ran = world.lab("exec attic-1 -- ping -n -c 1 -W 1 192.0.2.1");
        if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
    });
    world.lab("up --limit site=vps -i stream.json --store pki -o json").exits(0);
    world.inside("vps-1", "true");
    world.lab("up --limit site=nowhere -i stream.json --store pki").exits(2).says("selects no machine");
    world.inside("fw-attic", "ip link show ipsec2");
    let all = world.up();
    assert!(touched(&all).contains(&"pi-1: booted".to_owned()), "{:?}", touched(&all));
    world.pods_reach_pods(&all);
}
