//! What pfSense's settings say: its packet filter by a small model of pf, its tunnels, its signed sessions, and what it
//! translates. There is no pfSense here: the model is pf.conf(5) and the order in which pfSense writes rules (floating
//! ones, then those of interfaces, which are all quick).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Rendered, article, other, render, tool, try_tool};
use ipnet::IpNet;
use serde_json::{Value, json};

const SETTINGS: &str = "/usr/local/etc/kmh/settings.json";

fn settings(rendered: &Rendered, router: &str) -> Value {
    serde_json::from_str(&rendered.file(router, SETTINGS)).unwrap()
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Closed,
    /// It passes, and its answer is expected.
    State,
    /// It passes, and nothing is remembered.
    NoState,
}

struct Pf {
    rules: Vec<Value>,
    aliases: BTreeMap<String, Vec<IpNet>>,
    own: Vec<IpAddr>,
}

struct Packet<'a> {
    on: &'a str,
    direction: &'a str,
    protocol: &'a str,
    from: &'a str,
    to: &'a str,
    port: Option<&'a str>,
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().unwrap()))
}

impl Pf {
    fn new(settings: &Value, own: &[&str]) -> Self {
        let aliases = settings["aliases"]["alias"].as_array().unwrap().iter();
        Self {
            rules: settings["filter"]["rule"].as_array().unwrap().clone(),
            aliases: aliases
                .map(|alias| {
                    let nets = alias["address"].as_str().unwrap().split(' ').map(net).collect();
                    (alias["name"].as_str().unwrap().to_owned(), nets)
                })
                .collect(),
            own: own.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    fn side(&self, side: &Value, address: IpAddr) -> bool {
        if side.get("any").is_some() {
            return true;
        }
        if let Some(network) = side.get("network") {
            assert_eq!(network, "(self)");
            return self.own.contains(&address);
        }
        let name = side["address"].as_str().unwrap();
        self.aliases.get(name).map_or_else(
            || net(name).contains(&address),
            |nets| nets.iter().any(|net| net.contains(&address)),
        )
    }

    fn matches(&self, rule: &Value, packet: &Packet<'_>) -> bool {
        let floating = rule.get("floating").is_some();
        let (from, to): (IpAddr, IpAddr) = (packet.from.parse().unwrap(), packet.to.parse().unwrap());
        let family = match rule["ipprotocol"].as_str().unwrap() {
            "inet46" => true,
            "inet" => from.is_ipv4(),
            "inet6" => from.is_ipv6(),
            other => panic!("{other}"),
        };
        let on = match rule["interface"].as_str() {
            None => floating,
            Some(names) => names.split(',').any(|name| name == packet.on),
        };
        let direction = if floating { rule["direction"].as_str().unwrap() } else { "in" };
        family
            && on
            && (direction == "any" || direction == packet.direction)
            && rule.get("protocol").is_none_or(|protocol| protocol == packet.protocol)
            && self.side(&rule["source"], from)
            && self.side(&rule["destination"], to)
            && rule["destination"].get("port").is_none_or(|port| port.as_str() == packet.port)
    }

    fn fate(&self, packet: &Packet<'_>) -> Fate {
        // pfSense blocks what comes in, and lets out whatever it forwards, with a state.
        let mut fate = if packet.direction == "out" { Fate::State } else { Fate::Closed };
        let floating = |rule: &&Value| rule.get("floating").is_some();
        let inner = self.rules.iter().filter(|rule| !floating(rule));
        for rule in self.rules.iter().filter(floating).chain(inner).filter(|rule| self.matches(rule, packet))
        {
            fate = match (rule["type"].as_str().unwrap(), rule.get("statetype")) {
                ("block", _) => Fate::Closed,
                ("pass", None) => Fate::State,
                ("pass", Some(none)) if none == "none" => Fate::NoState,
                other => panic!("{other:?}"),
            };
            if !floating(&rule) || rule.get("quick").is_some() {
                break;
            }
        }
        fate
    }
}

#[test]
fn packets_of_the_cluster_pass_one_by_one_and_the_firewall_itself_stays_closed() {
    let rendered = render(&article());
    let settings = settings(&rendered, "fw-attic");
    let segment = settings["interfaces"].as_object().unwrap().keys().next().unwrap().clone();
    // Its addresses: the node segment, a tunnel, people's segment.
    let pf = Pf::new(&settings, &["10.10.0.1", "10.255.0.5", "192.168.10.1"]);
    let tunnel = "enc0";
    let (node, pod, service) = ("10.10.0.11", "10.200.0.70", "10.201.0.10");
    let (far_node, far_pod) = ("10.20.0.11", "10.200.64.70");
    let own = "10.10.0.1";
    let nodes = segment.as_str();
    for (on, direction, protocol, from, to, port, fate) in [
        // Between sites, both ways, in by one interface and out by the other; TCP as anything else.
        (nodes, "in", "tcp", pod, far_pod, Some("80"), Fate::NoState),
        (tunnel, "out", "tcp", pod, far_pod, Some("80"), Fate::NoState),
        (tunnel, "in", "tcp", far_pod, pod, Some("40000"), Fate::NoState),
        (nodes, "out", "tcp", far_pod, pod, Some("40000"), Fate::NoState),
        (nodes, "in", "udp", node, far_node, Some("8472"), Fate::NoState),
        (tunnel, "in", "tcp", far_node, node, Some("10250"), Fate::NoState),
        (nodes, "out", "tcp", far_node, node, Some("10250"), Fate::NoState),
        (tunnel, "in", "tcp", far_pod, service, Some("53"), Fate::NoState),
        (nodes, "in", "tcp", service, far_pod, Some("40000"), Fate::NoState),
        // The firewall is called by its nodes for BGP and names, by its peers for BGP and BFD, by nobody for more.
        (nodes, "in", "tcp", node, own, Some("179"), Fate::State),
        (nodes, "in", "udp", node, own, Some("53"), Fate::State),
        (nodes, "in", "icmp", node, own, None, Fate::State),
        (nodes, "in", "tcp", node, own, Some("443"), Fate::Closed),
        (nodes, "in", "tcp", pod, own, Some("443"), Fate::Closed),
        (nodes, "in", "tcp", node, "192.168.10.1", Some("443"), Fate::Closed),
        (nodes, "in", "tcp", node, "10.255.0.5", Some("443"), Fate::Closed),
        (tunnel, "in", "tcp", far_pod, own, Some("443"), Fate::Closed),
        (tunnel, "in", "tcp", far_node, own, Some("22"), Fate::Closed),
        (tunnel, "in", "tcp", far_node, own, Some("179"), Fate::Closed),
        (tunnel, "in", "tcp", "10.255.0.6", "10.255.0.5", Some("179"), Fate::State),
        (tunnel, "in", "udp", "10.255.0.6", "10.255.0.5", Some("3784"), Fate::State),
        // What it says itself keeps its state, or it would not hear the answer.
        (nodes, "out", "tcp", own, node, Some("179"), Fate::State),
        (tunnel, "out", "tcp", "10.255.0.5", "10.255.0.6", Some("179"), Fate::State),
        (tunnel, "out", "icmp", own, far_node, None, Fate::State),
        // A router further on says that a packet was too big.
        (tunnel, "in", "icmp", "10.255.0.6", node, None, Fate::NoState),
        // The Internet and people's segments keep connections, or stay closed.
        (nodes, "in", "tcp", node, "192.0.2.80", Some("443"), Fate::State),
        (nodes, "in", "tcp", node, "192.168.10.20", Some("445"), Fate::Closed),
        ("lan", "in", "tcp", "192.168.10.20", service, Some("80"), Fate::State),
        (nodes, "out", "tcp", "192.168.10.20", service, Some("80"), Fate::State),
        ("wan", "in", "tcp", far_pod, pod, Some("80"), Fate::Closed),
        ("wan", "in", "tcp", "192.0.2.80", node, Some("443"), Fate::Closed),
    ] {
        let packet = Packet { on, direction, protocol, from, to, port };
        assert_eq!(pf.fate(&packet), fate, "{on} {direction} {protocol} {from} -> {to} {port:?}");
    }
}

/// The article's inventory with a second line at `fw-attic`, and these tunnels.
fn with_two_lines(auth: &str, cipher: &str) -> Value {
    let mut inventory = article();
    let spec = &mut inventory["spec"];
    spec["tunnels"] = json!({"network": "10.240.0.0/12", "auth": auth, "cipher": cipher});
    let lines = spec["sites"][0]["routers"][0]["uplinks"].as_array_mut().unwrap();
    lines.push(
        json!({"name": "lte", "interface": "opt7", "address": "attic-lte.dyn.example.net", "dynamic": true}),
    );
    inventory
}

#[test]
fn a_tunnel_a_line_with_an_identity_of_its_own() {
    let rendered = render(&with_two_lines("certificates", "aes256gcm"));
    let settings = settings(&rendered, "fw-attic");
    let first = settings["ipsec"]["phase1"].as_array().unwrap();
    let seen: Vec<[&str; 6]> = first
        .iter()
        .map(|p| {
            ["descr", "interface", "myid_data", "peerid_data", "mobike", "authentication_method"]
                .map(|field| p[field].as_str().unwrap())
        })
        .collect();
    let (base, line2) = ("fw-attic.attic.ipsec.internal", "line2.fw-attic.attic.ipsec.internal");
    let (flat, vps) = ("fw-flat.attic.ipsec.internal", "gw-vps.attic.ipsec.internal");
    assert_eq!(
        seen,
        [
            ["kmh:fw-attic--fw-flat", "wan", base, flat, "off", "cert"],
            ["kmh:fw-attic--gw-vps", "wan", base, vps, "off", "cert"],
            ["kmh:fw-attic--fw-flat--2-1", "opt7", line2, flat, "off", "cert"],
            ["kmh:fw-attic--gw-vps--2-1", "opt7", line2, vps, "off", "cert"],
        ]
    );
    // Two lines to one address: pfSense takes the second only when it is told that this is meant.
    assert!(first.iter().all(|p| p["gw_duplicates"] == ""));
    // Both identities stand in the certificate.
    let pki = common_document(&rendered, "kmh.pki/v1");
    let certificates = pki["spec"]["certificates"].as_array().unwrap();
    let own = certificates.iter().find(|c| c["name"] == "routers/fw-attic/ipsec").unwrap();
    assert_eq!(own["dns_names"], json!([base, line2]));
    let second = settings["ipsec"]["phase2"].as_array().unwrap();
    let reqids: Vec<u64> = second.iter().map(|p| p["reqid"].as_u64().unwrap()).collect();
    assert_eq!(reqids, [1, 2, 4001, 4002]);
    // Alone between two routers, a tunnel may follow an address that changes.
    let settings = self::settings(&rendered, "fw-flat");
    let mobike = |peer: &str| {
        let first = settings["ipsec"]["phase1"].as_array().unwrap().iter();
        first.filter(|p| p["descr"] == peer).map(|p| p["mobike"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (mobike("kmh:fw-flat--gw-vps"), mobike("kmh:fw-attic--fw-flat")),
        (vec![json!("on")], vec![json!("off")])
    );
}

fn common_document(rendered: &Rendered, kind: &str) -> Value {
    let documents = serde_json::Deserializer::from_str(&rendered.stream).into_iter::<Value>();
    documents.map(Result::unwrap).find(|document| document["kind"] == kind).unwrap()
}

#[test]
fn pre_shared_keys_are_per_tunnel_and_told_apart_by_the_peers_identity() {
    let rendered = render(&with_two_lines("psk", "aes256cbc"));
    let machine = rendered.machine("fw-attic");
    let file = machine["files"].as_array().unwrap().iter().find(|file| file["path"] == SETTINGS).unwrap();
    assert_eq!(file["mode"], "0600");
    let secrets: Vec<(&str, &str)> = file["content"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|s| Some((s["secret"].as_str()?, s["encoding"].as_str().unwrap_or("raw"))))
        .collect();
    // No router's key: no tunnel needs a certificate.
    let mut sorted = secrets.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ("keys/bgp-tunnel/fw-attic--fw-flat--2-1.key", "raw"),
            ("keys/bgp-tunnel/fw-attic--fw-flat.key", "raw"),
            ("keys/bgp/attic.key", "raw"),
            ("keys/psk/fw-attic--fw-flat--2-1.key", "raw"),
            ("keys/psk/fw-attic--fw-flat.key", "raw"),
            ("keys/psk/fw-attic--gw-vps--2-1.key", "raw"),
            ("keys/psk/fw-attic--gw-vps.key", "raw"),
        ]
    );
    let settings = settings(&rendered, "fw-attic");
    assert_eq!((&settings["ca"], &settings["cert"]), (&json!([]), &json!([])));
    let first = settings["ipsec"]["phase1"].as_array().unwrap();
    let mut peers: Vec<&str> = first.iter().map(|p| p["peerid_data"].as_str().unwrap()).collect();
    peers.sort_unstable();
    // pfSense writes `%any` for its own end of a key: two tunnels to one identity would share the first key.
    assert_eq!(
        peers,
        [
            "fw-flat.attic.ipsec.internal",
            "gw-vps.attic.ipsec.internal",
            "line1-2.fw-flat.attic.ipsec.internal",
            "line1-2.gw-vps.attic.ipsec.internal",
        ]
    );
    for one in first {
        assert_eq!(one["authentication_method"], "pre_shared_key");
        assert_eq!(one["pre-shared-key"], common::STUB);
        assert!(one.get("certref").is_none() && one.get("caref").is_none());
    }
}

/// The CAs of settings by reference, name and what `caref` leads to; then `caref` of the certificate and of the phases.
fn trust(settings: &Value) -> (Vec<[String; 3]>, String, Vec<Option<String>>) {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let field = |one: &Value, name: &str| text(&one[name]).unwrap_or_default();
    let ca = settings["ca"].as_array().unwrap().iter().map(|ca| {
        let pem = STANDARD.decode(ca["crt"].as_str().unwrap()).unwrap();
        let mut openssl = Command::new("openssl");
        let printed = common::feed(openssl.args(["x509", "-noout", "-subject"]), &pem).stdout;
        let subject = String::from_utf8(printed).unwrap().trim().replace("subject=CN = ", "");
        [field(ca, "refid"), subject, field(ca, "caref")]
    });
    let phases = settings["ipsec"]["phase1"].as_array().unwrap().iter().map(|one| text(&one["caref"]));
    (ca.collect(), field(&settings["cert"][0], "caref"), phases.collect())
}

#[test]
fn while_a_ca_is_rotated_a_chain_has_both_and_phases_name_none() {
    let inventory = article();
    let text = inventory.to_string();
    let first = render(&inventory);
    let store = first.dir.path().join("pki");
    let pki = |args: &[&str]| {
        tool("kmh-pki", &[args, &["--store", store.to_str().unwrap()]].concat(), text.as_bytes())
    };
    let stream = |pki: &str| tool("kmh-render", &[], tool("kmh-bgpcfg", &[], pki.as_bytes()).as_bytes());
    let at = |router: &str| {
        let stream = stream(&pki(&["--limit", "fw-flat,gw-vps"]));
        let bundle = common::bundle_of(&stream);
        trust(&settings(&Rendered { stream, bundle, dir: tempfile::tempdir().unwrap() }, router))
    };
    let ca = |refid: &str, name: &str, caref: &str| [refid, name, caref].map(ToOwned::to_owned);
    let (current, name, second) = ("kmhipsecca", "kmh-ipsec-ca", "kmh-ipsec-ca 2");
    let named = vec![Some(current.to_owned()); 2];
    let none = vec![None; 2];
    assert_eq!(at("fw-attic"), (vec![ca(current, name, "")], current.to_owned(), named.clone()));

    pki(&["rotate", "ipsec"]);
    let both = vec![ca(current, name, "kmhipsecnextca"), ca("kmhipsecnextca", second, "")];
    assert_eq!(at("fw-attic"), (both, current.to_owned(), none.clone()));
    // Two of one name would be one file.
    let same = pki(&[]).replace("\"common_name\":\"kmh-ipsec-ca 2\"", "\"common_name\":\"kmh-ipsec-ca\"");
    let (code, _, stderr) = try_tool("kmh-render", &[], tool("kmh-bgpcfg", &[], same.as_bytes()).as_bytes());
    assert_eq!(code, 2, "{stderr}");
    let why =
        "cannot hold two CAs of one name: `ca/ipsec` and `ca/ipsec.next` are both called `kmh-ipsec-ca`";
    assert!(stderr.contains(why) && stderr.contains("kmh-pki rotate ipsec --abort"), "{stderr}");

    pki(&["rotate", "ipsec", "--deployed"]);
    let old = "kmhipsecoldca";
    let both = vec![ca(current, second, old), ca(old, name, "")];
    assert_eq!(at("fw-flat"), (both.clone(), current.to_owned(), none.clone()));
    // Whose certificate is the old one's still, has that first.
    let turned = vec![ca(old, name, current), ca(current, second, "")];
    assert_eq!(at("fw-attic"), (turned, old.to_owned(), none.clone()));
    pki(&[]);
    assert_eq!(at("fw-attic"), (both, current.to_owned(), none));

    pki(&["rotate", "ipsec", "--deployed"]);
    assert_eq!(at("fw-attic"), (vec![ca(current, second, "")], current.to_owned(), named));
}

#[test]
fn a_pfsense_without_tunnels_believes_nobody_and_holds_one_ca() {
    let text = "kind: kmh.inventory/v1
spec:
  cluster: {name: small, versions: {kubernetes: 1.36.2, etcd: 3.6.8, containerd: 2.1.4, calico: 3.31.2}, pod_cidrs: 10.200.0.0/16, service_cidrs: 10.201.0.0/16, api: {host: k8s.example.net}}
  sites:
    - name: b
      network: 10.20.0.0/24
      pod_cidrs: 10.200.64.0/18
      routers: [{name: rb, id: 3, kind: pfsense, asn: 65020, address: 10.20.0.1, interface: opt1}]
  nodes:
    - {name: cp-1, site: b, address: 10.20.0.11, roles: [control-plane, etcd]}
";
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("pki");
    let pki = |args: &[&str]| {
        tool("kmh-pki", &[args, &["--store", store.to_str().unwrap()]].concat(), text.as_bytes())
    };
    let held = |pki: &str| {
        let stream = tool("kmh-render", &[], tool("kmh-bgpcfg", &[], pki.as_bytes()).as_bytes());
        let bundle = common::bundle_of(&stream);
        trust(&settings(&Rendered { stream, bundle, dir: tempfile::tempdir().unwrap() }, "rb"))
    };
    let one = |refid: &str, name: &str| {
        (vec![[refid, name, ""].map(ToOwned::to_owned)], refid.to_owned(), Vec::new())
    };
    assert_eq!(held(&pki(&["--init"])), one("kmhipsecca", "kmh-ipsec-ca"));
    pki(&["rotate", "ipsec"]);
    // Two of one name, too, as a rotation has them that was begun before they had numbers.
    let same = pki(&[]).replace("\"common_name\":\"kmh-ipsec-ca 2\"", "\"common_name\":\"kmh-ipsec-ca\"");
    assert_eq!(held(&same), one("kmhipsecca", "kmh-ipsec-ca"));
    pki(&["rotate", "ipsec", "--deployed"]);
    pki(&[]);
    assert_eq!(held(&pki(&[])), one("kmhipsecca", "kmh-ipsec-ca 2"));
}

#[test]
fn every_cipher_in_pfsenses_words() {
    for (cipher, phase1, phase2) in [
        (
            "aes256gcm",
            json!({"encryption-algorithm": {"name": "aes256gcm", "keylen": "128"}, "hash-algorithm": "sha384", "dhgroup": "20"}),
            json!([[{"name": "aes256gcm", "keylen": "128"}], null, "20"]),
        ),
        (
            "aes128gcm",
            json!({"encryption-algorithm": {"name": "aes128gcm", "keylen": "128"}, "hash-algorithm": "sha256", "dhgroup": "19"}),
            json!([[{"name": "aes128gcm", "keylen": "128"}], null, "19"]),
        ),
        (
            "chacha20poly1305",
            json!({"encryption-algorithm": {"name": "chacha20poly1305"}, "hash-algorithm": "sha256", "dhgroup": "31"}),
            json!([[{"name": "chacha20poly1305"}], null, "31"]),
        ),
        (
            "aes256cbc",
            json!({"encryption-algorithm": {"name": "aes", "keylen": "256"}, "hash-algorithm": "sha256", "dhgroup": "14"}),
            json!([[{"name": "aes", "keylen": "256"}], ["hmac_sha256"], "14"]),
        ),
    ] {
        let mut inventory = article();
        inventory["spec"]["tunnels"]["cipher"] = json!(cipher);
        let settings = settings(&render(&inventory), "fw-attic");
        let network = settings["ipsec"].clone();
        assert_eq!(network["phase1"][0]["encryption"]["item"], json!([phase1]), "{cipher}");
        let second = &network["phase2"][0];
        let seen = json!([
            second["encryption-algorithm-option"],
            second["hash-algorithm-option"],
            second["pfsgroup"]
        ]);
        assert_eq!(seen, phase2, "{cipher}");
    }
}

#[test]
fn sessions_with_nodes_are_signed_by_the_kernel() {
    let rendered = render(&article());
    let raw = &settings(&rendered, "fw-attic")["installedpackages"]["frrglobalraw"]["config"][0];
    let rows = raw["row"].as_array().unwrap();
    let nodes =
        article()["spec"]["nodes"].as_array().unwrap().iter().filter(|node| node["site"] == "attic").count();
    let of = |source: &str| rows.iter().filter(|row| row["tcpsigsrc"] == source).count();
    assert_eq!(
        (of("10.10.0.1"), of("10.255.0.5"), rows.len()),
        (nodes, 1, nodes + 1),
        "the nodes, and fw-flat"
    );
    for row in rows {
        assert_eq!(row["tcpsigbidir"], "on");
        assert_eq!(row["tcpsigpw"], common::STUB);
    }
    // frr.conf only switches signatures on, and can be read by everybody on the box.
    let frr = rendered.file("fw-attic", "/usr/local/etc/kmh/frr.conf");
    assert_eq!(frr.matches(" password ").count(), nodes + 1, "the nodes, and fw-flat");
    assert!(!frr.contains(common::STUB), "{frr}");

    let mut without = article();
    without["spec"]["bgp"]["passwords"] = json!(false);
    let rendered = render(&without);
    let raw = &settings(&rendered, "fw-attic")["installedpackages"]["frrglobalraw"]["config"][0];
    assert_eq!(raw["row"], json!([]));
}

#[test]
fn pods_are_translated_where_calico_does_not() {
    let rendered = render(&article());
    assert!(settings(&rendered, "fw-attic").get("nat").is_none(), "its own mode stays");
    let mut inventory = article();
    inventory["spec"]["calico"] = json!({"nat_outgoing": false});
    let settings = settings(&render(&inventory), "fw-attic");
    assert_eq!(settings["nat"]["outbound"]["mode"], "hybrid");
    let rules = settings["nat"]["outbound"]["rule"].as_array().unwrap();
    let pf = Pf::new(&settings, &[]);
    assert_eq!(rules.len(), 1);
    let rule = &rules[0];
    assert_eq!(
        (&rule["interface"], &rule["target"], &rule["destination"]["not"]),
        (&json!("wan"), &json!(""), &json!(""))
    );
    let source = json!({"address": rule["source"]["network"]});
    let holds = |side: &Value, address: &str| pf.side(side, address.parse().unwrap());
    assert!(
        holds(&source, "10.200.0.70") && holds(&source, "10.10.0.11") && !holds(&source, "192.168.10.20")
    );
    for inside in ["10.200.64.70", "10.20.0.11", "10.201.0.1", "10.255.0.6", "192.168.10.20"] {
        assert!(holds(&rule["destination"], inside), "{inside} is translated");
    }
    assert!(!holds(&rule["destination"], "192.0.2.80"));
}

#[test]
fn tcp_of_the_node_segment_fits_through_the_tunnels() {
    for inventory in [article(), other()] {
        let rendered = render(&inventory);
        let network = common_document(&rendered, "kmh.network/v1");
        for router in ["fw-attic", "fw-flat"] {
            if rendered.machine(router)["kind"] == "pfsense" {
                let interfaces = settings(&rendered, router)["interfaces"].clone();
                let segment = interfaces.as_object().unwrap().values().next().unwrap();
                assert_eq!(segment["mss"], network["spec"]["pod_mtu"].to_string());
            }
        }
    }
}

#[test]
fn a_line_is_for_an_interface_that_pfsense_knows() {
    let mut inventory = article();
    let line = &mut inventory["spec"]["sites"][0]["routers"][0]["uplinks"][0];
    assert_eq!(line["name"], "dsl");
    line.as_object_mut().unwrap().remove("interface");
    let pki = tempfile::tempdir().unwrap();
    let store = pki.path().join("pki");
    let made = common::tool(
        "kmh-pki",
        &["--init", "--store", store.to_str().unwrap()],
        inventory.to_string().as_bytes(),
    );
    let network = common::tool("kmh-bgpcfg", &[], made.as_bytes());
    let (code, _, stderr) = try_tool("kmh-render", &[], network.as_bytes());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`fw-attic` does not say the interface of its line `dsl`"), "{stderr}");
}

#[test]
fn a_range_cannot_be_signed() {
    let mut inventory = article();
    inventory["spec"]["bgp"]["node_peers"] = json!("listen");
    let (code, _, stderr) = try_tool("kmh-bgpcfg", &[], inventory.to_string().as_bytes());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`fw-attic` cannot check the password of whoever calls"), "{stderr}");
    assert!(stderr.contains("remove `node_peers: listen`"), "{stderr}");
}
