//! The plan of a lab, from documents alone: nothing is built here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/plan.rs"]
mod by_tools;

use std::collections::{BTreeMap, BTreeSet};

use by_tools::{dialled, of_stream, planned};
use ipnet::IpNet;
use kmh_lab::Carrier;
use kmh_lab::plan::LabPlan;
use kmh_lab::plan::dial::{again, counts};
use kmh_lab::plan::segments::flatten;
use kmh_lab::plan::wires::End;
use kmh_tests::sandbox::Sandbox;
use kmh_tests::topologies;

fn kind(name: &str) -> LabPlan {
    let topology = topologies::named().into_iter().find(|one| one.name == name).expect("a topology");
    planned(Some(&topology.inventory()), Carrier::Plain)
}

fn addresses(plan: &LabPlan, space: &str, interface: &str) -> Vec<String> {
    let interface = plan.wires.interfaces.get(&End::new(space, interface));
    interface.unwrap_or_else(|| panic!("no such interface: {plan:#?}")).addresses.iter().cloned().collect()
}

fn linked(plan: &LabPlan, a: (&str, &str), b: (&str, &str)) -> bool {
    let (a, b) = (End::new(a.0, a.1), End::new(b.0, b.1));
    plan.wires.links.iter().any(|link| link.ends.contains(&a) && link.ends.contains(&b))
}

/// What holds of every plan.
fn holds(plan: &LabPlan) {
    let wires = &plan.wires;
    let known = |space: &str| {
        wires.spaces.contains(space)
            || plan.routers.values().any(|inner| space == format!("{}/{}", inner.machine, inner.netns))
    };
    let mut ends = BTreeSet::new();
    for end in wires.links.iter().flat_map(|link| &link.ends) {
        assert!(known(&end.space), "{end:?} is nowhere");
        assert!(end.interface.len() <= 15, "{end:?} is longer than the kernel takes");
        assert!(ends.insert(end), "{end:?} has two links");
    }
    for (space, routes) in &wires.routes {
        assert!(known(space), "{space}");
        for route in routes {
            let words: Vec<&str> = route.split(' ').collect();
            let via = words.iter().position(|word| *word == "via").map(|at| words[at + 1]);
            let own = wires.interfaces.iter().filter(|(end, _)| end.space == *space);
            let near = |address: &str| {
                let address: std::net::IpAddr = address.parse().unwrap();
                own.clone()
                    .flat_map(|(_, interface)| &interface.addresses)
                    .any(|net| net.parse::<IpNet>().unwrap().contains(&address))
            };
            if let Some(via) = via {
                let told = route.contains(" onlink") || route.contains(" dev ");
                assert!(told || near(via), "{space}: {route}: nobody is there");
            }
        }
    }
    // Nobody has an address twice on one segment, and nobody but gateways and boxes' insides is the same elsewhere.
    let mut owners: BTreeMap<&String, BTreeSet<&str>> = BTreeMap::new();
    for (end, interface) in &wires.interfaces {
        for address in &interface.addresses {
            owners.entry(address).or_default().insert(&end.space);
        }
    }
    for (address, spaces) in owners.iter().filter(|(address, _)| !address.starts_with("fe80::")) {
        assert_eq!(spaces.len(), 1, "{address} is on {spaces:?}");
    }
    for (name, machine) in &plan.machines {
        assert!(wires.spaces.contains(name), "{name} has no namespace");
        assert!(
            machine.files.iter().all(|file| !flatten(&file.content).contains("by-setkey")
                || file.path.starts_with("/usr/local/etc/kmh/")),
            "{name}: FRR would sign with a word that means nothing"
        );
    }
}

#[test]
fn the_articles_cluster() {
    let plan = planned(None, Carrier::Plain);
    holds(&plan);
    let names: Vec<&str> = plan.machines.keys().map(String::as_str).collect();
    assert_eq!(names, ["attic-1", "flat-1", "fw-attic", "fw-flat", "operator", "pi-1", "vps-1", "vps-host"]);
    assert_eq!(addresses(&plan, "fw-attic", "opt2"), ["10.10.0.1/24"]);
    assert_eq!(addresses(&plan, "fw-attic", "lan0"), ["192.168.10.1/24"], "where admins log in");
    assert_eq!(addresses(&plan, "lan-attic-home", "eth0"), ["192.168.10.254/24"]);
    assert_eq!(addresses(&plan, "operator", "eth0"), ["10.10.0.254/24"]);
    // A literal address is used as it is, behind an address of its own network's none.
    assert_eq!(addresses(&plan, "vps-host", "eth0"), ["203.0.113.7/32"]);
    assert!(plan.wires.routes["vps-host"].iter().any(|route| route.ends_with("dev eth0 onlink")));
    // The namespace's bridge gets a plug, and its tunnels are inside it.
    let plug = &plan.wires.interfaces[&End::new("vps-host", "lab-nodes")];
    assert_eq!(plug.master.as_deref(), Some("kmhbr3"));
    assert!(linked(&plan, ("fw-attic", "ipsec2"), ("vps-host/k8s", "xfrm2")), "{:#?}", plan.wires.links);
    assert_eq!(plan.wires.interfaces[&End::new("fw-attic", "ipsec2")].mtu, Some(1438));
    assert_eq!(plan.routers["gw-vps"].machine, "vps-host");
    // Behind a box: the name leads to the box, whose ports for IKE are forwarded.
    let box_name = "nat-fw-flat-cable";
    assert!(linked(&plan, ("fw-flat", "wan"), (box_name, "in")));
    let rules = &plan.wires.rules[box_name];
    assert!(rules.contains("udp dport { 500, 4500 } dnat to 198.19.0.34"), "{rules}");
    let public: Vec<String> = plan.hosts["flat.dyn.example.net"].iter().map(ToString::to_string).collect();
    assert_eq!(public, ["198.18.0.34"]);
    assert_eq!(addresses(&plan, box_name, "out"), ["198.18.0.34/30"]);
    // pfSense's FRR signs with the keys of the settings, which stay references.
    let conf = plan.machines["fw-attic"].files.iter().find(|file| file.path == "/etc/frr/frr.conf").unwrap();
    assert!(conf.references().any(|key| key == "keys/bgp/attic.key"), "{conf:#?}");
    // What carries packets runs, the rest is left out and said.
    let node = &plan.machines["attic-1"];
    assert!(node.services.contains(&"kmh-lab-bird.service".to_owned()), "{node:?}");
    assert!(node.idle.contains(&"kubelet.service".to_owned()), "{node:?}");
    let bird = node.files.iter().find(|file| file.path == "/etc/bird/bird.conf").unwrap();
    assert!(bird.references().any(|key| key == "keys/bgp/attic.key") && bird.mode == 0o600, "{bird:#?}");
    let host = &plan.machines["vps-host"];
    assert!(!host.services.contains(&"strongswan.service".to_owned()), "nothing encrypts");
}

#[test]
fn tunnels_that_encrypt_are_the_bundles_own() {
    let plan = planned(None, Carrier::Esp);
    holds(&plan);
    assert!(!linked(&plan, ("fw-attic", "ipsec2"), ("vps-host/k8s", "xfrm2")));
    let host = &plan.machines["vps-host"].services;
    let at =
        |unit: &str| host.iter().position(|own| own == unit).unwrap_or_else(|| panic!("no {unit}: {host:?}"));
    assert!(at("kmh-netns-k8s.service") < at("kmh-tunnels.service"));
    assert!(at("kmh-tunnels.service") < at("strongswan.service"));
}

#[test]
fn two_routers_share_a_gateway() {
    let plan = kind("two-routers");
    holds(&plan);
    assert_eq!(addresses(&plan, "r1a", "eth1"), ["10.1.0.1/32", "10.1.0.2/24"], "the first has it");
    assert_eq!(addresses(&plan, "r1b", "eth1"), ["10.1.0.3/24"]);
    assert_eq!(plan.wires.routes["n11"][0], "default via 10.1.0.1");
}

#[test]
fn several_lines_have_a_default_route_each() {
    let plan = kind("two-lines");
    holds(&plan);
    let routes = &plan.wires.routes["r1a"];
    let default = |line: &str| routes.iter().find(|route| route.contains(&format!("dev {line} "))).unwrap();
    assert!(!default("wan1").contains("metric"), "{routes:?}");
    assert!(default("wan2").ends_with("metric 101"), "{routes:?}");
    assert_eq!(plan.wires.lines["r1a/l2"].public, ["198.51.100.18".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(plan.wires.interfaces[&End::new("r1a", "wan2")].mtu, Some(1492));
}

#[test]
fn both_families() {
    let plan = kind("dual");
    holds(&plan);
    assert_eq!(addresses(&plan, "n11", "eth0"), ["10.1.0.11/24", "fd00:0:0:1::11/64"]);
    assert_eq!(plan.wires.routes["pod-n11"].len(), 3, "{:?}", plan.wires.routes["pod-n11"]);
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["all-v4", "all-v6", "any-v4", "any-v6", "local-v4", "local-v6"]);
}

#[test]
fn ipv6_alone() {
    let plan = kind("six");
    holds(&plan);
    assert_eq!(addresses(&plan, "n11", "eth0"), ["fd00:0:0:1::11/64"]);
    assert!(plan.pods.iter().all(|pod| pod.address.is_ipv6()));
    assert_eq!(plan.wires.routes["pod-n11"], ["default via fe80::1 dev eth0"]);
    // Lines have both: the addresses of routers out there are IPv4 in this inventory.
    assert_eq!(addresses(&plan, "r1a", "wan1").len(), 2);
}

#[test]
fn numbers_survive_growth() {
    let (small, grown) = (planned(None, Carrier::Plain), {
        let article = std::fs::read_to_string(kmh_tests::sandbox::article()).unwrap();
        let site = "    - name: barn\n      network: 10.40.0.0/24\n      pod_cidrs: [10.200.192.0/18]\n      routers:\n        \
                    - {name: gw-barn, id: 4, kind: linux, bgp: frr, interface: eth1, asn: 65040, address: 10.40.0.1, \
                    uplinks: [{name: eth0, address: barn.example.net}]}\n\n  nodes:\n";
        planned(Some(&article.replace("  nodes:\n", site)), Carrier::Plain)
    });
    holds(&grown);
    assert!(small.wires.spaces.is_subset(&grown.wires.spaces));
    assert!(small.wires.links.is_subset(&grown.wires.links), "links that are up stay as they are");
    for (end, interface) in &small.wires.interfaces {
        let after = &grown.wires.interfaces[end];
        assert!(interface.addresses.is_subset(&after.addresses), "{end:?}: {interface:?}, {after:?}");
    }
}

#[test]
fn every_kind_of_cluster() {
    for topology in topologies::named() {
        holds(&planned(Some(&topology.inventory()), Carrier::Plain));
    }
}

#[test]
fn a_line_that_dialled_again_is_the_plan_of_one_that_has() {
    let sandbox = Sandbox::new();
    let line = "kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render";
    let stream = sandbox.sh(line).exits(0).stdout;
    let first = of_stream(&stream, Carrier::Plain);
    for (line, name, old, new) in [
        ("fw-attic/dsl", "attic.dyn.example.net", "198.18.0.18", "100.64.0.18"),
        ("fw-flat/cable", "flat.dyn.example.net", "198.18.0.34", "100.64.0.34"),
    ] {
        assert_eq!(first.hosts[name], BTreeSet::from([old.parse().unwrap()]));
        let (once, moved) = again(&first.wires, line).expect("a dynamic line");
        let planned = dialled(&stream, Carrier::Plain, &[(line, 1)]);
        assert_eq!(once, planned.wires);
        assert_eq!(moved[&old.parse().unwrap()].to_string(), new);
        assert_eq!(planned.hosts[name], BTreeSet::from([new.parse().unwrap()]));
        let (twice, _) = again(&once, line).expect("a dynamic line");
        assert_eq!(twice, dialled(&stream, Carrier::Plain, &[(line, 2)]).wires);
        assert_eq!(counts(&twice), BTreeMap::from([(line.to_owned(), 2)]));
        holds(&planned);
    }
    assert_eq!(again(&first.wires, "gw-vps/eth0"), None, "its address is the inventory's");
    assert_eq!(counts(&first.wires), BTreeMap::new());
}

#[test]
fn a_tunnel_by_strongswans_own_esp_is_on_the_ports_of_ike() {
    let plan = planned(None, Carrier::Userspace);
    holds(&plan);
    let tunnels = |machine: &str| {
        let mut files = plan.machines[machine].files.iter();
        flatten(&files.find(|file| file.path == "/etc/kmh-lab/tunnels").expect("a list").content)
    };
    assert_eq!(tunnels("fw-attic"), "1 ipsec1 - 1400\n2 ipsec2 - 1400\n");
    assert_eq!(tunnels("vps-host"), "2 xfrm2 k8s 1400\n3 xfrm3 k8s 1400\n");
    let rules = &plan.wires.rules["fw-attic"];
    for line in [
        "udp sport 20005 udp sport set 4500",
        "iifname \"wan\" ip saddr { 203.0.113.7 } udp dport 4500 udp dport set 20005",
        // What comes from behind a box has the box's address.
        "iifname \"wan\" ip saddr { 198.18.0.34 , 198.19.0.34 } udp dport 500 udp dport set 20002",
    ] {
        assert!(rules.contains(line), "{line}\n{rules}");
    }
    // They follow a line that dials again.
    let (then, _) = again(&plan.wires, "fw-flat/cable").expect("a dynamic line");
    assert!(then.rules["fw-attic"].contains("{ 100.64.0.34 , 198.19.0.34 }"), "{}", then.rules["fw-attic"]);
}
