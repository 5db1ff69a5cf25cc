//! The live proof: the article's routers and nodes in network namespaces, with the real FRR and BIRD.
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

use kmh_tests::netns::until;
use kmh_tests::sandbox::Sandbox;
use kmh_tests::wan::{INTERNET, OUTSIDE, Wan, pod_space};
use serde_json::Value;

/// BFD gives a silent tunnel up after 3 seconds; BGP then needs a moment. Far less than the hold time of 9.
const TRANSIT_WITHIN: Duration = Duration::from_secs(8);
const START_WITHIN: Duration = Duration::from_secs(30);

/// The pipe up to the bundle: the network, and each router's `frr.conf` as it would lie on the machine.
fn rendered(sandbox: &Sandbox) -> (Value, BTreeMap<String, String>) {
    let ran = sandbox.sh("kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render").exits(0);
    let mut documents = ran.documents();
    let network = documents.remove("kmh.network/v1").expect("a network")["spec"].take();
    let bundle = documents.remove("kmh.bundle/v1").expect("a bundle")["spec"].take();
    let mut confs = BTreeMap::new();
    for machine in bundle["machines"].as_array().expect("machines") {
        for file in machine["files"].as_array().expect("files") {
            if file["path"].as_str().expect("a path").ends_with("/frr.conf") {
                let content = file["content"].as_array().expect("segments");
                let text = content
                    .iter()
                    .map(|segment| segment["text"].as_str().expect("no secret in frr.conf"))
                    .collect();
                confs.insert(machine["name"].as_str().expect("a name").to_owned(), text);
            }
        }
    }
    (network, confs)
}

fn tunnels(wan: &Wan) -> Vec<Value> {
    wan.network["tunnels"].as_array().expect("tunnels").clone()
}

/// Destinations of the kernel's routes, and how they go.
fn routes(wan: &Wan, space: &str, family: &str) -> BTreeMap<String, Value> {
    let json = wan.net.ip(space, &[family, "-j", "route", "show"]);
    let list: Vec<Value> = serde_json::from_str(&json).expect("routes");
    list.into_iter().map(|route| (route["dst"].as_str().expect("a destination").to_owned(), route)).collect()
}

/// Packets to the cluster that reached the Internet, and packets to the Internet itself.
fn leaked(wan: &Wan) -> (u64, u64) {
    let json = wan.net.sh(INTERNET, "nft -j list counters").exits(0).stdout;
    let list: Value = serde_json::from_str(&json).expect("counters");
    let count = |name: &str| {
        let all = list["nftables"].as_array().expect("a list").iter().filter_map(|item| item.get("counter"));
        all.filter(|counter| counter["name"] == name).filter_map(|counter| counter["packets"].as_u64()).sum()
    };
    (count("inner"), count("outer"))
}

/// Everything that must never be seen outside a tunnel, counted where every default route ends.
fn watch_the_internet(wan: &Wan) {
    let mut rules = String::from(
        "table inet watch {\n counter inner { }\n counter outer { }\n chain c { type filter hook prerouting priority -300;\n",
    );
    let routers = wan.network["routers"].as_array().expect("routers");
    for key in ["unreachable", "originate"] {
        for net in routers.iter().flat_map(|router| router[key].as_array().expect("a list")) {
            let net = net.as_str().expect("a network");
            let family = if net.contains(':') { "ip6" } else { "ip" };
            let _ = writeln!(rules, "  {family} daddr {net} counter name inner");
        }
    }
    let _ = write!(rules, "  ip daddr {OUTSIDE} counter name outer\n }}\n}}\n");
    wan.net.nft(INTERNET, &rules);
}

#[test]
fn the_articles_cluster_routes_and_survives_a_cut() {
    let sandbox = Sandbox::new();
    let (network, confs) = rendered(&sandbox);
    let wan = Wan::up(network, &confs);
    watch_the_internet(&wan);

    let took = until(START_WITHIN, "every pod reaches every other", || wan.all_reach_all());
    eprintln!("every pod reaches every other {took:?} after the start");

    assert_eq!(direct_routes_inside_a_site(&wan, "-4"), 2, "flat-1 and pi-1");
    routers_know_every_block(&wan);
    nodes_learn_only_their_sites_blocks(&wan);
    nodes_hand_nothing_on(&wan);
    a_lying_node_is_not_believed(&wan);

    let tunnels = tunnels(&wan);
    wan.cut(&tunnels[0]);
    let took = until(TRANSIT_WITHIN, "transit after a cut", || wan.all_reach_all());
    eprintln!("transit {took:?} after the cut of {}", tunnels[0]["name"]);

    for tunnel in &tunnels[1..] {
        wan.cut(tunnel);
    }
    nothing_leaves_in_clear_text(&wan);
}

/// A node that falls silent is given up after the hold time. One whose BIRD dies keeps its routes, so that a restart
/// of calico-node loses no packet, but no longer than it asked for: 30 seconds instead of BIRD's own 120.
#[test]
fn a_dead_node_is_forgotten_in_time() {
    let sandbox = Sandbox::new();
    let (network, confs) = rendered(&sandbox);
    let mut wan = Wan::up(network, &confs);
    until(START_WITHIN, "every pod reaches every other", || wan.all_reach_all());
    let block = |node: &str| wan.pods.iter().find(|pod| pod.node == node).expect("a pod").block.clone();
    let (silent, dead) = (block("pi-1"), block("vps-1"));

    wan.net.ip("pi-1", &["link", "set", "eth0", "down"]);
    wan.net.kill("vps-1", "bird");
    let known = |block: &str| routes(&wan, "fw-attic", "-4").contains_key(block);
    let gone = |block: &str| if known(block) { Err(format!("{block} is still there")) } else { Ok(()) };
    let took = until(Duration::from_secs(12), "a silent node is given up", || gone(&silent));
    eprintln!("a silent node was given up after {took:?}");
    std::thread::sleep(Duration::from_secs(15).saturating_sub(took));
    assert!(known(&dead), "the routes of a node whose BIRD restarts are gone before it is back");
    let more = until(Duration::from_secs(25), "a dead BIRD is given up", || gone(&dead));
    eprintln!("a dead BIRD was given up after {:?}", Duration::from_secs(15) + more);
}

/// IPv6 only: identifiers that are no addresses, next hops of the segment, the same answers when the tunnel is gone.
#[test]
fn an_ipv6_only_cluster_routes() {
    let sandbox = Sandbox::new();
    sandbox.write("cluster.yaml", IPV6_ONLY);
    let (network, confs) = rendered(&sandbox);
    let wan = Wan::up(network, &confs);
    watch_the_internet(&wan);
    until(START_WITHIN, "every pod reaches every other", || wan.all_reach_all());
    assert_eq!(direct_routes_inside_a_site(&wan, "-6"), 2, "e1 and e2");
    for node in ["e1", "e2", "w1"] {
        let learned = routes(&wan, node, "-6")
            .into_values()
            .filter(|route| route["protocol"] == "bird" && route["gateway"].is_string())
            .count();
        assert_eq!(
            learned,
            usize::from(node != "w1"),
            "{node} learned something else than its neighbour's block"
        );
    }
    wan.cut(&tunnels(&wan)[0]);
    let refused = |target: &str| {
        let ran = wan.net.sh(&pod_space("e1"), &format!("ping -n -c 1 -W 1 {target}"));
        if ran.code != 0 && ran.stdout.contains("From fd00:1::1 ") && ran.stdout.contains("unreachable") {
            Ok(())
        } else {
            Err(ran.stdout)
        }
    };
    let there = wan.pods.iter().find(|pod| pod.node == "w1").expect("a pod").address.to_string();
    for target in [there.as_str(), "fd00:2::11", "fd00:200:0:1ff::1"] {
        until(TRANSIT_WITHIN, &format!("the router answers `unreachable` for {target}"), || refused(target));
    }
    assert_eq!(leaked(&wan).0, 0, "packets for the cluster left by the default route");
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
fn direct_routes_inside_a_site(wan: &Wan, family: &str) -> usize {
    let mut pairs = 0;
    for from in &wan.pods {
        for to in wan.pods.iter().filter(|to| to.site == from.site && to.node != from.node) {
            let route = &routes(wan, &from.node, family)[&to.block];
            let nodes = wan.network["nodes"].as_array().expect("nodes");
            let node = nodes.iter().find(|node| node["name"] == to.node.as_str()).expect("the other node");
            let address =
                node["addresses"][0].as_str().expect("an address").split_once('/').expect("a length").0;
            assert_eq!(route["gateway"], address, "{} to {} goes by the router", from.node, to.node);
            pairs += 1;
        }
    }
    pairs
}

fn routers_know_every_block(wan: &Wan) {
    for router in wan.network["routers"].as_array().expect("routers") {
        let name = router["name"].as_str().expect("a name");
        let routes = routes(wan, name, "-4");
        for pod in &wan.pods {
            let route =
                routes.get(&pod.block).unwrap_or_else(|| panic!("{name} lacks {}: {routes:?}", pod.block));
            assert_eq!(route["protocol"], "bgp", "{route}");
        }
        for other in
            wan.network["routers"].as_array().expect("routers").iter().filter(|other| other["name"] != name)
        {
            for net in other["originate"].as_array().expect("networks") {
                assert_eq!(
                    routes[net.as_str().expect("a network")]["protocol"],
                    "bgp",
                    "{name} does not reach {net}"
                );
            }
        }
        assert!(routes["default"]["gateway"].as_str().expect("a gateway").starts_with("198.18."));
    }
}

fn nodes_learn_only_their_sites_blocks(wan: &Wan) {
    for node in wan.network["nodes"].as_array().expect("nodes") {
        let name = node["name"].as_str().expect("a name");
        let routes = routes(wan, name, "-4");
        let learned: Vec<&String> = routes
            .iter()
            .filter(|(_, route)| route["protocol"] == "bird" && route["type"] != "blackhole")
            .map(|(net, _)| net)
            .collect();
        let expected: Vec<&String> = wan
            .pods
            .iter()
            .filter(|pod| pod.site == node["site"].as_str().expect("a site") && pod.node != name)
            .map(|pod| &pod.block)
            .collect();
        assert_eq!(learned, expected, "{name} learned more or less than its site's blocks: {routes:?}");
    }
}

fn nodes_hand_nothing_on(wan: &Wan) {
    for pod in &wan.pods {
        let peers = wan.net.birdc(&pod.node, "show protocols");
        let peer = peers
            .lines()
            .find_map(|line| line.split_whitespace().next().filter(|name| name.starts_with("router_")))
            .expect("a peer");
        let exported = wan.net.birdc(&pod.node, &format!("show route export {peer}"));
        let prefixes: Vec<&str> = exported
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.contains('/'))
            .collect();
        let mut expected = vec![pod.block.as_str(), "10.201.0.0/16", "10.202.0.0/24"];
        expected.sort_unstable();
        let mut sorted = prefixes.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{}:\n{exported}", pod.node);
    }
}

/// A node that announces what is not its own changes nothing on its router.
fn a_lying_node_is_not_believed(wan: &Wan) {
    let liar = &wan.pods.iter().find(|pod| pod.node == "attic-1").expect("attic-1").node;
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
    let conf = wan.bird(liar, &more).replace(
        "export filter { ",
        &format!("export filter {{ if net = {stolen} then {{ bgp_path.prepend(65020); accept; }} if proto = \"lies\" then accept; "),
    );
    wan.net.reconfigure_bird(liar, &conf);
    until(Duration::from_secs(10), "a second block of the liar", || {
        let routes = routes(wan, "fw-attic", "-4");
        if routes.contains_key(honest) { Ok(()) } else { Err(format!("{routes:?}")) }
    });
    let table = wan.net.vtysh("fw-attic", &["show bgp ipv4 unicast neighbors 10.10.0.11 routes json"]);
    let table: Value = serde_json::from_str(&table).expect("routes");
    let accepted: Vec<&String> = table["routes"].as_object().expect("routes").keys().collect();
    assert!(accepted.iter().any(|net| *net == honest), "{accepted:?}");
    for lie in lies.iter().chain([&stolen]) {
        assert!(!accepted.iter().any(|net| net == lie), "fw-attic believes {lie}");
    }
    let received =
        wan.net.vtysh("fw-attic", &["show bgp ipv4 unicast neighbors 10.10.0.11 received-routes json"]);
    for lie in lies.iter().chain([&stolen]) {
        assert!(received.contains(lie), "{lie} was not even told: {received}");
    }
    wan.net.reconfigure_bird(liar, &wan.bird(liar, ""));
}

fn nothing_leaves_in_clear_text(wan: &Wan) {
    let here = wan.pods.iter().find(|pod| pod.site == "attic").expect("a pod");
    let there = wan.pods.iter().find(|pod| pod.site == "flat").expect("a pod");
    let space = pod_space(&here.node);
    let refused = |target: &str| {
        let ran = wan.net.sh(&space, &format!("ping -n -c 1 -W 1 {target}"));
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
    assert_eq!(leaked(wan).0, 0, "packets for the cluster left by the default route");

    // The counter counts: a packet for the Internet arrives there, and without the unreachable route the pod's does too.
    wan.net.sh("fw-attic", &format!("ping -n -c 1 -W 1 {OUTSIDE}")).exits(0);
    assert!(leaked(wan).1 > 0);
    wan.net.vtysh("fw-attic", &["configure terminal", "no ip route 10.200.0.0/16 reject 254"]);
    until(Duration::from_secs(5), "the counter counts, else the proof proves nothing", || {
        let answer = wan.net.sh(&space, &format!("ping -n -c 1 -W 1 {}", there.address)).stdout;
        if leaked(wan).0 > 0 { Ok(()) } else { Err(answer) }
    });
}
