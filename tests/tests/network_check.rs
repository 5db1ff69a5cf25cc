//! `kmh-check` on the networks that `kmh-bgpcfg` plans: right in every layout and for every kind of site, and wrong as
//! soon as one thing of them is changed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;

use kmh_tests::sandbox::{Sandbox, documents, root};
use kmh_tests::topologies;
use serde_json::{Value, json};

/// Inventories by name: the examples, the topologies that the live tests build, and what those leave out.
fn inventories() -> BTreeMap<String, String> {
    let example = |name: &str| {
        std::fs::read_to_string(root().join(format!("examples/{name}/cluster.yaml"))).expect("an example")
    };
    let article = example("article");
    let mut all = BTreeMap::new();
    for name in ["article", "two-routers", "ipv6-only"] {
        all.insert(format!("example {name}"), example(name));
    }
    for topology in topologies::named().into_iter().chain((0..12).map(topologies::random)) {
        all.insert(format!("topology {}", topology.name), topology.inventory());
    }
    let settings = [
        ("listen", "{layout: A}", "{layout: A, node_peers: listen, passwords: false}"),
        ("hairpin", "{layout: A}", "{layout: A, direct_routes: false}"),
        (
            "timers",
            "{layout: A}",
            "{layout: A, passwords: false, timers: {nodes: {restart: 0}, routers: {bfd_ms: 0}}}",
        ),
        ("routed pods", "  operator:", "  calico: {nat_outgoing: false}\n  operator:"),
        (
            "blocks",
            "  operator:",
            "  calico: {block_size_v4: 28, strict_affinity: true, max_blocks_per_node: 8}\n  operator:",
        ),
        ("native", "  operator:", "  calico: {api: projectcalico.org/v3}\n  operator:"),
        ("old", "calico: 3.31.2", "calico: 3.28.1"),
        ("new", "calico: 3.31.2", "calico: 3.32.0"),
        ("hub", "shape: mesh", "shape: hub, hub: vps"),
        ("reach", "reach: [services]", "reach: [services, pods, nodes]"),
        ("cipher", "shape: mesh", "shape: mesh, cipher: aes256cbc, auth: psk"),
        (
            "lines",
            "rate: 40mbit}\n",
            "rate: 40mbit}\n            - {name: lte, interface: opt9, nat: carrier, mtu: 1400}\n",
        ),
    ];
    for (name, from, to) in settings {
        let mut yaml = article.replace(from, to);
        assert_ne!(yaml, article, "{name}");
        if name == "lines" {
            yaml = yaml.replace("10.255.0.0/22", "10.255.0.0/16");
        }
        all.insert(format!("article {name}"), yaml);
    }
    all
}

/// What the check says that is neither ok nor passed over.
fn said(sandbox: &Sandbox, code: i32) -> Vec<Value> {
    let ran = sandbox.sh("kmh-check --only <stream.json");
    assert_eq!(ran.code, code, "{}", ran.stderr);
    let spec = documents(&ran.stdout)["kmh.check/v1"]["spec"].clone();
    let results = spec["results"].as_array().unwrap();
    results
        .iter()
        .filter(|one| !["ok", "skipped"].contains(&one["state"].as_str().unwrap()))
        .cloned()
        .collect()
}

#[test]
fn whatever_is_planned_is_right() {
    let sandbox = Sandbox::new();
    let mut wrong = Vec::new();
    for (name, yaml) in inventories() {
        sandbox.write("one.yaml", &yaml);
        let ran = sandbox.sh("kmh-bgpcfg <one.yaml >stream.json");
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let ran = sandbox.sh("kmh-check --only <stream.json");
        let spec = documents(&ran.stdout)["kmh.check/v1"]["spec"].clone();
        let ok = |id: &str| {
            spec["results"].as_array().unwrap().iter().any(|r| r["id"] == id && r["state"] == "ok")
        };
        for id in [
            "network.policy",
            "network.firewall",
            "network.calico",
            "network.calico-fields",
            "network.sessions",
        ] {
            assert!(
                ok(id) || wrong.iter().any(|one: &String| one.contains(id)),
                "{name}: {id} looked at nothing"
            );
        }
        for one in spec["results"].as_array().unwrap() {
            let known = ["network.findings", "inventory.warnings"].contains(&one["id"].as_str().unwrap());
            if one["state"] == "critical" || (one["state"] != "ok" && one["state"] != "skipped" && !known) {
                wrong.push(format!("{name}: {one}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} false alarms:\n{}", wrong.len(), wrong.join("\n"));
}

/// A change of the network document, the check that finds it, and part of what it says.
type Mutation = (&'static str, fn(&mut Value), &'static str, &'static str);

fn router<'n>(network: &'n mut Value, name: &str) -> &'n mut Value {
    network["routers"].as_array_mut().unwrap().iter_mut().find(|one| one["name"] == name).expect("the router")
}

fn calico<'n>(network: &'n mut Value, kind: &str) -> &'n mut Value {
    network["calico"].as_array_mut().unwrap().iter_mut().find(|one| one["kind"] == kind).expect("a resource")
}

fn with_node(network: &mut Value) -> &mut Value {
    let sessions = router(network, "fw-attic")["sessions"].as_array_mut().unwrap();
    sessions.iter_mut().find(|session| session["with"] == "node").expect("a session with a node")
}

/// The mistakes that people make, and a few that programs make.
#[rustfmt::skip]
const MUTATIONS: &[Mutation] = &[
    ("as-override missing", |n| with_node(n)["as_override"] = json!(false), "network.policy", "`as_override`"),
    ("wrong AS at the router", |n| with_node(n)["peer_asn"] = json!(64999), "network.sessions", "expects AS 64999"),
    ("wrong AS in Calico", |n| calico(n, "BGPPeer")["spec"]["asNumber"] = json!(65999), "network.calico", "no router of the plan is 10.10.0.1 AS 65999"),
    ("wrong AS of the nodes", |n| calico(n, "BGPConfiguration")["spec"]["asNumber"] = json!(64999), "network.calico", "AS number is 64999"),
    ("undefined route map", |n| with_node(n)["import"] = json!("nobody"), "network.filters", "`nobody` is used but not defined"),
    ("undefined prefix list", |n| router(n, "fw-attic")["route_maps"][0]["rules"][0]["prefix_list"] = json!("nobody"), "network.filters", "`nobody`"),
    ("undefined Calico filter", |n| calico(n, "BGPPeer")["spec"]["filters"] = json!(["nobody"]), "network.calico-fields", "there is no BGPFilter `nobody`"),
    ("guard missing", |n| { calico(n, "BGPPeer")["spec"].as_object_mut().unwrap().remove("filters"); }, "network.calico", "handing on what they learned"),
    ("guard without IPv4", |n| calico(n, "BGPFilter")["spec"] = json!({"exportV6": [{"action": "Reject", "source": "RemotePeers"}]}), "network.calico", "handing on what they learned"),
    ("guard after an open door", |n| calico(n, "BGPFilter")["spec"]["exportV4"] = json!([{"action": "Accept"}, {"action": "Reject", "source": "RemotePeers"}]), "network.calico", "handing on what they learned"),
    ("block size and prefix list disagree", |n| calico(n, "IPPool")["spec"]["blockSize"] = json!(24), "network.pools", "block size is /24, and routers let blocks of /26 pass"),
    ("prefix list and block size disagree", |n| list(n, "own-pods-v4")["ge"] = json!(27), "network.policy", "stops a block of `attic`"),
    ("pass rule for BGP missing", |n| drop_rules(n, |rule| rule["zone"] == "nodes" && rule["ports"] == json!([179])), "network.firewall", "stops a node's BGP"),
    ("pass rule for BFD missing", |n| drop_rules(n, |rule| rule["ports"] == json!([3784])), "network.firewall", "stops BFD of a router"),
    ("pass rule for the cluster missing", |n| drop_rules(n, |rule| rule["zone"] == "tunnel" && rule["stateless"] == true && rule["protocol"] == "any"), "network.firewall", "out of a tunnel"),
    ("pass rule for IKE missing", |n| drop_rules(n, |rule| rule["zone"] == "wan" && rule["protocol"] == "udp"), "network.firewall", "stops IKE"),
    ("pass rule of the wrong kind", |n| for rule in router(n, "fw-attic")["firewall"].as_array_mut().unwrap() { rule.as_object_mut().unwrap().remove("stateless"); }, "network.firewall", "stops the middle of a connection"),
    ("pass rule too wide", |n| router(n, "fw-attic")["firewall"].as_array_mut().unwrap().push(json!({"zone": "nodes", "protocol": "tcp", "ports": [22], "description": "x"})), "network.firewall", "lets pass a node's SSH"),
    ("default route leaks to nodes", |n| { let list = list(n, "own-pods-v4"); list["prefix"] = json!("0.0.0.0/0"); list.as_object_mut().unwrap().remove("ge"); }, "network.leaks", "the default route"),
    ("tunnel's MTU too large", |n| n["tunnels"][0]["mtu"] = json!(1480), "network.mtu", "and no more than"),
    ("pods' MTU too large", |n| n["pod_mtu"] = json!(1500), "network.mtu", "pods send packets of 1500 octets"),
    ("MSS too large", |n| n["tunnels"][0]["mss"] = json!([1460, 1440]), "network.mtu", "TCP over IPv4 is told 1460"),
    ("unreachable route missing", |n| router(n, "fw-attic")["unreachable"] = json!([]), "network.guard", "it has no unreachable route"),
    ("password on one side", |n| { with_node(n).as_object_mut().unwrap().remove("password"); }, "network.calico", "has a password, and `fw-attic` asks for none"),
    ("a pod network that hides pods twice", |n| router(n, "fw-attic")["masquerade"] = json!([]), "network.masquerade", "it is not masqueraded"),
    ("a field of another release", |n| calico(n, "BGPPeer")["spec"]["keepaliveTime"] = json!("3s"), "network.calico-fields", "from Calico 3.32 on"),
    ("mesh on", |n| calico(n, "BGPConfiguration")["spec"]["nodeToNodeMeshEnabled"] = json!(true), "network.calico", "mesh"),
    ("a session's other end missing", |n| { router(n, "fw-flat")["sessions"].as_array_mut().unwrap().retain(|one| one["with"] == "node"); }, "network.sessions", "the other end has no session"),
    ("the other tunnel preferred", |n| for map in router(n, "fw-attic")["route_maps"].as_array_mut().unwrap() { if map["name"] == "routers-in-v4" { for rule in map["rules"].as_array_mut().unwrap() { rule["set"]["med"] = json!(20); } } }, "network.policy", "have a MED of 20 to 20, it must be 0"),
];

/// The first entry of a prefix list of `fw-attic`.
fn list<'n>(network: &'n mut Value, name: &str) -> &'n mut Value {
    let lists = router(network, "fw-attic")["prefix_lists"].as_array_mut().unwrap();
    &mut lists.iter_mut().find(|list| list["name"] == name).expect("the list")["permit"][0]
}

fn drop_rules(network: &mut Value, which: fn(&Value) -> bool) {
    let rules = router(network, "fw-attic")["firewall"].as_array_mut().unwrap();
    let before = rules.len();
    rules.retain(|rule| !which(rule));
    assert_ne!(rules.len(), before, "there is no such rule");
}

#[test]
fn every_mutation_is_found() {
    let sandbox = Sandbox::new();
    let mut good = sandbox.sh("kmh-bgpcfg <cluster.yaml").exits(0).documents();
    for document in good.values_mut() {
        document.as_object_mut().unwrap().remove("from");
    }
    let mut missed = Vec::new();
    for (name, change, id, says) in MUTATIONS {
        let mut documents = good.clone();
        change(&mut documents.get_mut("kmh.network/v1").unwrap()["spec"]);
        assert_ne!(documents, good, "{name} changes nothing");
        let lines: Vec<String> = documents.values().map(Value::to_string).collect();
        sandbox.write("stream.json", &lines.join("\n"));
        let said = said(&sandbox, 1);
        let found = |one: &Value| {
            one["id"] == *id && one["state"] == "critical" && one["message"].as_str().unwrap().contains(says)
        };
        if !said.iter().any(found) {
            let lines: Vec<String> = said.iter().map(Value::to_string).collect();
            missed.push(format!("{name}: no `{id}` that says `{says}`, but\n  {}", lines.join("\n  ")));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
