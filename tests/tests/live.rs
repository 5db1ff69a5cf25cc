//! The live proof: the article's routers and nodes in `kmh-lab`, with the real FRR and BIRD.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests, which say how long something took"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use kmh_lab::plan::OUTSIDE;
use kmh_tests::lab::weather::Failure;
use kmh_tests::lab::{Lab, pod_space};
use kmh_tests::netns::until;
use serde_json::Value;

/// BFD gives a silent tunnel up after 3 seconds; BGP then needs a moment. Far less than the hold time of 9.
const TRANSIT_WITHIN: Duration = Duration::from_secs(8);
/// FRR calls again after 10 s, BIRD after errors in a row after 30.
const START_WITHIN: Duration = Duration::from_secs(90);

/// The article's cluster.
fn article() -> Lab {
    Lab::up(&std::fs::read_to_string(kmh_tests::sandbox::article()).expect("the article's inventory"))
}

/// Waits until BFD watches every tunnel: a cut before would tell of itself by the hold time alone.
fn until_bfd_watches(lab: &Lab) {
    until(START_WITHIN, "BFD watches every tunnel", || {
        for router in &lab.documents.network.routers {
            let answer = lab.frr(&router.name, "bfdd", "show bfd peers json");
            let peers: Vec<Value> = serde_json::from_str(&answer).expect("peers");
            if peers.is_empty() || peers.iter().any(|peer| peer["status"] != "up") {
                return Err(answer);
            }
        }
        Ok(())
    });
}

fn cut(lab: &mut Lab, name: &str) {
    lab.strike(&Failure::Tunnel(name.to_owned()));
}

/// Destinations of the kernel's routes, and how they go.
fn routes(lab: &Lab, space: &str, family: &str) -> BTreeMap<String, Value> {
    let json = lab.ip(space, &[family, "-j", "route", "show"]);
    let list: Vec<Value> = serde_json::from_str(&json).expect("routes");
    list.into_iter().map(|route| (route["dst"].as_str().expect("a destination").to_owned(), route)).collect()
}

#[test]
fn the_articles_cluster_routes_and_survives_a_cut() {
    let mut lab = article();
    lab.watch_the_internet();

    let took = until(START_WITHIN, "every pod reaches every other", || lab.all_reach_all());
    eprintln!("every pod reaches every other {took:?} after the start");
    // They do so before every table is as it will be: over the router, or to a node's first block only.
    lab.agrees().unwrap();

    assert_eq!(direct_routes_inside_a_site(&lab, "-4"), 2, "flat-1 and pi-1");
    routers_know_every_block(&lab);
    nodes_learn_only_their_sites_blocks(&lab);
    nodes_hand_nothing_on(&lab);
    a_lying_node_is_not_believed(&lab);

    until_bfd_watches(&lab);
    let tunnels = lab.tunnels();
    cut(&mut lab, &tunnels[0]);
    let took = until(TRANSIT_WITHIN, "transit after a cut", || lab.all_reach_all());
    eprintln!("transit {took:?} after the cut of {}", tunnels[0]);

    for tunnel in &tunnels[1..] {
        cut(&mut lab, tunnel);
    }
    nothing_leaves_in_clear_text(&lab);
}

/// A node that falls silent is given up after the hold time. One whose BIRD dies keeps its routes, so that a restart
/// of calico-node loses no packet, but no longer than it asked for: 30 seconds instead of BIRD's own 120.
#[test]
fn a_dead_node_is_forgotten_in_time() {
    let lab = article();
    until(START_WITHIN, "every pod reaches every other", || lab.all_reach_all());
    lab.agrees().unwrap();
    let block =
        |node: &str| lab.ground.pods.iter().find(|pod| pod.node == node).expect("a pod").block.to_string();
    let (silent, dead) = (block("pi-1"), block("vps-1"));

    lab.ip("pi-1", &["link", "set", "eth0", "down"]);
    lab.kill("vps-1", "bird");
    let known = |block: &str| routes(&lab, "fw-attic", "-4").contains_key(block);
    let gone = |block: &str| if known(block) { Err(format!("{block} is still there")) } else { Ok(()) };
    let took = until(Duration::from_secs(14), "a silent node is given up", || gone(&silent));
    eprintln!("a silent node was given up after {took:?}");
    std::thread::sleep(Duration::from_secs(15).saturating_sub(took));
    assert!(known(&dead), "the routes of a node whose BIRD restarts are gone before it is back");
    let more = until(Duration::from_secs(25), "a dead BIRD is given up", || gone(&dead));
    eprintln!("a dead BIRD was given up after {:?}", Duration::from_secs(15) + more);
}

/// IPv6 only: identifiers that are no addresses, next hops of the segment, the same answers when the tunnel is gone.
#[test]
fn an_ipv6_only_cluster_routes() {
    let mut lab = Lab::up(IPV6_ONLY);
    lab.watch_the_internet();
    until(START_WITHIN, "every pod reaches every other", || lab.all_reach_all());
    lab.agrees().unwrap();
    assert_eq!(direct_routes_inside_a_site(&lab, "-6"), 2, "e1 and e2");
    for node in ["e1", "e2", "w1"] {
        let learned = routes(&lab, node, "-6")
            .into_values()
            .filter(|route| route["protocol"] == "bird" && route["gateway"].is_string())
            .count();
        let announced = ["e1", "e2"]
            .into_iter()
            .filter(|other| node != "w1" && *other != node)
            .map(|other| {
                let blocks = lab.ground.blocks.iter().filter(|(_, owner)| owner == other).count();
                blocks + lab.ground.borrowed.iter().filter(|(_, owner)| owner == other).count()
            })
            .sum::<usize>();
        assert_eq!(learned, announced, "{node} learned something else than its neighbour's blocks");
    }
    until_bfd_watches(&lab);
    let tunnel = lab.tunnels()[0].clone();
    cut(&mut lab, &tunnel);
    let refused = |target: &str| {
        let ran = lab.sh(&pod_space("e1"), &format!("ping -n -c 1 -W 1 {target}"));
        if ran.code != 0 && ran.stdout.contains("From fd00:1::1 ") && ran.stdout.contains("unreachable") {
            Ok(())
        } else {
            Err(ran.stdout)
        }
    };
    let there = lab.ground.pods.iter().find(|pod| pod.node == "w1").expect("a pod").address.to_string();
    for target in [there.as_str(), "fd00:2::11", "fd00:200:0:1ff::1"] {
        until(TRANSIT_WITHIN, &format!("the router answers `unreachable` for {target}"), || refused(target));
    }
    assert_eq!(lab.arrived().inner, 0, "packets for the cluster left by the default route");
}

const IPV6_ONLY: &str = r#"kind: kmh.inventory/v1
spec:
  cluster:
    name: six
    versions: {kubernetes: 1.36.2, etcd: 3.6.8, containerd: 2.1.4, calico: 3.31.2}
    pod_cidrs: "fd00:200::/48"
    service_cidrs: "fd00:201::/112"
    load_balancer_cidrs: "fd00:202::/112"
    api: {host: k8s.example.net}
  tunnels: {network: "fd00:255::/48"}
  sites:
    - name: east
      network: "fd00:1::/64"
      pod_cidrs: "fd00:200::/56"
      routers: [{name: r-east, id: 1, kind: linux, bgp: frr, asn: 65001, address: "fd00:1::1", interface: eth1,
                 uplinks: [{name: eth0, address: east.example.net, dynamic: true}]}]
    - name: west
      network: "fd00:2::/64"
      pod_cidrs: "fd00:200:0:100::/56"
      routers: [{name: r-west, id: 2, kind: linux, bgp: frr, asn: 65002, address: "fd00:2::1", interface: eth1,
                 uplinks: [{name: eth0, address: "2001:db8::9"}]}]
  nodes:
    - {name: e1, site: east, address: "fd00:1::11", roles: [control-plane, etcd, worker]}
    - {name: e2, site: east, address: "fd00:1::12"}
    - {name: w1, site: west, address: "fd00:2::11"}
"#;

/// How many routes between nodes of one site there are; each goes to the other node itself.
fn direct_routes_inside_a_site(lab: &Lab, family: &str) -> usize {
    let mut pairs = 0;
    let pods = &lab.ground.pods;
    for from in pods {
        for to in pods.iter().filter(|to| to.site == from.site && to.node != from.node) {
            let route = &routes(lab, &from.node, family)[&to.block.to_string()];
            let node = lab.documents.network.nodes.iter().find(|node| node.name == to.node).expect("a node");
            let address = node.addresses[0].split_once('/').expect("a length").0;
            assert_eq!(route["gateway"], address, "{} to {} goes by the router", from.node, to.node);
            pairs += 1;
        }
    }
    pairs
}

fn routers_know_every_block(lab: &Lab) {
    let routers = &lab.documents.network.routers;
    for router in routers {
        let name = &router.name;
        let routes = routes(lab, name, "-4");
        for (block, _) in &lab.ground.blocks {
            let route = routes.get(&block.to_string());
            assert_eq!(
                route.map(|route| &route["protocol"]),
                Some(&"bgp".into()),
                "{name}, {block}: {routes:?}"
            );
        }
        for net in routers.iter().filter(|other| other.name != *name).flat_map(|other| &other.originate) {
            assert_eq!(routes[&net.to_string()]["protocol"], "bgp", "{name} does not reach {net}");
        }
        // The provider, a box that translates addresses, or the host of a namespace.
        let gateway = routes["default"]["gateway"].as_str().expect("a gateway");
        assert!(["198.18.", "198.19.", "169.254."].iter().any(|net| gateway.starts_with(net)), "{gateway}");
    }
}

fn nodes_learn_only_their_sites_blocks(lab: &Lab) {
    let site_of = |name: &str| {
        lab.documents.network.nodes.iter().find(|node| node.name == name).map(|node| node.site.clone())
    };
    for node in &lab.documents.network.nodes {
        let routes = routes(lab, &node.name, "-4");
        let mut learned: Vec<&str> = routes
            .iter()
            // A borrowed address comes back from the router: the node's own route to its pod stands before it.
            .filter(|(_, route)| {
                route["protocol"] == "bird" && route["type"] != "blackhole" && route["type"] != "unreachable"
            })
            .map(|(net, _)| net.as_str())
            .collect();
        let others = |owner: &str| owner != node.name && site_of(owner).as_ref() == Some(&node.site);
        let blocks =
            lab.ground.blocks.iter().filter(|(_, owner)| others(owner)).map(|(net, _)| net.to_string());
        let borrowed =
            lab.ground.borrowed.iter().filter(|(_, owner)| others(owner)).map(|(ip, _)| ip.to_string());
        let mut expected: Vec<String> = blocks.chain(borrowed).collect();
        expected.sort_unstable();
        learned.sort_unstable();
        assert_eq!(
            learned, expected,
            "{} learned more or less than its site's blocks: {routes:?}",
            node.name
        );
    }
}

fn nodes_hand_nothing_on(lab: &Lab) {
    for pod in &lab.ground.pods {
        let peers = lab.birdc(&pod.node, "show protocols");
        let peer = peers
            .lines()
            .find_map(|line| line.split_whitespace().next().filter(|name| name.starts_with("router_")))
            .expect("a peer");
        let exported = lab.birdc(&pod.node, &format!("show route export {peer}"));
        let mut prefixes: Vec<&str> = exported
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.contains('/'))
            .collect();
        let ground = &lab.ground;
        let blocks =
            ground.blocks.iter().filter(|(_, node)| *node == pod.node).map(|(net, _)| net.to_string());
        let borrowed = ground.borrowed.iter().filter(|(_, node)| *node == pod.node);
        let services = ground.services.iter().filter(|(_, nodes)| nodes.contains(&pod.node));
        let single =
            borrowed.map(|(ip, _)| ip).chain(services.map(|(ip, _)| ip)).map(|ip| format!("{ip}/32"));
        let mut expected: Vec<String> = blocks.chain(single).collect();
        expected.extend(["10.201.0.0/16", "10.202.0.0/24"].map(str::to_owned));
        expected.sort_unstable();
        prefixes.sort_unstable();
        assert_eq!(prefixes, expected, "{}:\n{exported}", pod.node);
    }
}

/// A node that announces what is not its own changes nothing on its router.
fn a_lying_node_is_not_believed(lab: &Lab) {
    let liar = &lab.ground.pods.iter().find(|pod| pod.node == "attic-1").expect("attic-1").node;
    let lies = [
        "0.0.0.0/0",
        "10.20.0.0/24",
        "192.168.10.0/24",
        "10.200.64.0/26",
        "10.200.0.0/18",
        "10.200.5.0/24",
        "203.0.113.0/24",
    ];
    let stolen = "10.200.10.0/26";
    let honest = "10.200.9.0/26";
    let mut more = String::from("protocol static lies {\n ipv4;\n");
    for lie in lies.iter().chain([&stolen, &honest]) {
        let _ = writeln!(more, " route {lie} blackhole;");
    }
    more.push_str("}\n");
    let own = lab.sh(liar, &format!("cat {BIRD_CONF}")).exits(0).stdout;
    let conf = (own.clone() + &more).replace(
        "export filter { ",
        &format!("export filter {{ if net = {stolen} then {{ bgp_path.prepend(65020); accept; }} if proto = \"lies\" then accept; "),
    );
    reconfigure_bird(lab, liar, &conf);
    until(Duration::from_secs(10), "a second block of the liar", || {
        let routes = routes(lab, "fw-attic", "-4");
        if routes.contains_key(honest) { Ok(()) } else { Err(format!("{routes:?}")) }
    });
    let table = lab.vtysh("fw-attic", &["show bgp ipv4 unicast neighbors 10.10.0.11 routes json"]);
    let table: Value = serde_json::from_str(&table).expect("routes");
    let accepted: Vec<&String> = table["routes"].as_object().expect("routes").keys().collect();
    assert!(accepted.iter().any(|net| *net == honest), "{accepted:?}");
    for lie in lies.iter().chain([&stolen]) {
        assert!(!accepted.iter().any(|net| net == lie), "fw-attic believes {lie}");
    }
    let received =
        lab.vtysh("fw-attic", &["show bgp ipv4 unicast neighbors 10.10.0.11 received-routes json"]);
    for lie in lies.iter().chain([&stolen]) {
        assert!(received.contains(lie), "{lie} was not even told: {received}");
    }
    reconfigure_bird(lab, liar, &own);
}

/// The configuration of a node's BIRD.
const BIRD_CONF: &str = "/etc/bird/bird.conf";

/// Gives a node's BIRD another configuration.
fn reconfigure_bird(lab: &Lab, node: &str, conf: &str) {
    lab.sh(node, &format!("cat >{BIRD_CONF} <<'END'\n{conf}\nEND")).exits(0);
    lab.birdc(node, "configure");
}

fn nothing_leaves_in_clear_text(lab: &Lab) {
    let here = lab.ground.pods.iter().find(|pod| pod.site == "attic").expect("a pod");
    let there = lab.ground.pods.iter().find(|pod| pod.site == "flat").expect("a pod");
    let space = pod_space(&here.node);
    let refused = |target: &str| {
        let ran = lab.sh(&space, &format!("ping -n -c 1 -W 1 {target}"));
        if ran.code != 0 && ran.stdout.contains("From 10.10.0.1 ") && ran.stdout.contains("Unreachable") {
            Ok(())
        } else {
            Err(ran.stdout)
        }
    };
    until(Duration::from_secs(15), "the router answers `unreachable`", || {
        refused(&there.address.to_string())
    });
    for target in ["10.20.0.11", "10.30.0.11", "10.255.0.14", "10.200.255.1"] {
        until(Duration::from_secs(5), &format!("the router answers `unreachable` for {target}"), || {
            refused(target)
        });
    }
    assert_eq!(lab.arrived().inner, 0, "packets for the cluster left by the default route");

    // The counter counts: a packet for the Internet arrives there, and without the unreachable route the pod's does too.
    lab.sh("fw-attic", &format!("ping -n -c 1 -W 1 {}", OUTSIDE[0])).exits(0);
    assert!(lab.arrived().outer > 0);
    lab.vtysh("fw-attic", &["configure terminal", "no ip route 10.200.0.0/16 reject 254"]);
    until(Duration::from_secs(5), "the counter counts, else the proof proves nothing", || {
        let answer = lab.sh(&space, &format!("ping -n -c 1 -W 1 {}", there.address)).stdout;
        if lab.arrived().inner > 0 { Ok(()) } else { Err(answer) }
    });
}
