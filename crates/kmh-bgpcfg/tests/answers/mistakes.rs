//! What is wrong with a network: findings, and what is refused.

use kmh_cli::Exit;
use serde_json::{Value, json};

use super::{ARTICLE, answer, ask, calico, ids, network, router, without};

/// Every mistake that people make with such a network, each in a document that was sound before.
#[test]
fn each_mistake_is_found() {
    type Mistake = fn(&mut Value);
    let mistakes: &[(&str, &str, Mistake)] = &[
        ("no as-override", "warning refused-as-loop", |network| {
            for session in router(network, "fw-flat")["sessions"].as_array_mut().unwrap() {
                session["as_override"] = json!(false);
            }
        }),
        ("wrong AS", "error session-down", |network| {
            router(network, "gw-vps")["sessions"][0]["peer_asn"] = json!(64999);
        }),
        ("undefined route map", "error undefined-filter", |network| {
            router(network, "fw-flat")["sessions"][0]["import"] = json!("nodes-in");
        }),
        ("undefined prefix list", "error undefined-filter", |network| {
            router(network, "fw-flat")["route_maps"][0]["rules"][0]["prefix_list"] = json!("none");
        }),
        ("no filter at all", "error silent-session", |network| {
            router(network, "fw-flat")["sessions"][0]["export"] = json!("");
        }),
        ("no pass rule", "error filtered", |network| {
            let rules = router(network, "fw-flat")["firewall"].as_array_mut().unwrap();
            rules.retain(|rule| rule["protocol"] != "any");
        }),
        ("blocks and filters differ", "error unreachable-pair", |network| {
            for list in router(network, "fw-flat")["prefix_lists"].as_array_mut().unwrap() {
                for rule in list["permit"].as_array_mut().unwrap() {
                    if rule["ge"] == 26 {
                        rule["ge"] = json!(27);
                    }
                }
            }
        }),
        ("the default route travels", "error default-route-passes", |network| {
            let lists = router(network, "fw-flat")["prefix_lists"].as_array_mut().unwrap();
            lists[0]["permit"] = json!([{"prefix": "0.0.0.0/0", "le": 32}]);
        }),
        ("packets too large", "error mtu-mismatch", |network| network["spec"]["pod_mtu"] = json!(1500)),
        ("packets too large for any line", "note mtu-mismatch", |network| {
            network["spec"]["tunnels"][0]["mtu"] = json!(1480);
        }),
        ("segments too large", "error mss-mismatch", |network| {
            network["spec"]["tunnels"][0]["mss"] = json!([1460, 1440]);
        }),
        ("no guard on the nodes", "warning no-transit-guard", |network| {
            for resource in network["spec"]["calico"].as_array_mut().unwrap() {
                if resource["kind"] == "BGPPeer" {
                    resource["spec"]["filters"] = json!([]);
                }
            }
        }),
        ("an undefined BGPFilter", "error undefined-filter", |network| {
            network["spec"]["calico"].as_array_mut().unwrap().retain(|one| one["kind"] != "BGPFilter");
        }),
        ("an aggregate over pods", "error aggregate-blackhole", |network| {
            router(network, "fw-attic")["originate"].as_array_mut().unwrap().push(json!("10.200.0.0/18"));
        }),
        ("no unreachable routes and no tunnels", "error leak", |network| {
            for name in ["fw-attic", "fw-flat", "gw-vps"] {
                let router = router(network, name);
                router["unreachable"] = json!([]);
                router["sessions"].as_array_mut().unwrap().retain(|session| session["with"] == "node");
            }
        }),
        ("remote sites preferred", "warning remote-before-local", |network| {
            for map in router(network, "fw-flat")["route_maps"].as_array_mut().unwrap() {
                if map["name"] == "routers-in-v4" {
                    for rule in map["rules"].as_array_mut().unwrap() {
                        rule["set"] = json!({"local_pref": 200});
                    }
                }
            }
        }),
        ("a session on one side only", "error session-down", |network| {
            router(network, "fw-flat")["sessions"]
                .as_array_mut()
                .unwrap()
                .retain(|session| session["peer"] != "pi-1");
        }),
    ];
    let more: &[(&str, &str, Mistake)] = &[
        ("no unreachable routes", "error no-stop", |network| {
            router(network, "fw-flat")["unreachable"] = json!([]);
        }),
        ("nobody's gateway", "error no-gateway", |network| {
            network["spec"]["nodes"][0]["gateways"] = json!(["10.10.0.99"]);
        }),
        ("BFD at one end", "warning bfd-one-sided", |network| {
            router(network, "fw-flat")["sessions"][3]["bfd_ms"] = json!(null);
        }),
        ("no BFD let in", "warning bfd-filtered", |network| {
            without(network, "fw-flat", "BFD between routers");
        }),
        ("no BGP let in", "warning bgp-filtered", |network| {
            without(network, "fw-flat", "BGP between routers");
        }),
        ("no BGP let in anywhere", "error bgp-filtered", |network| {
            for name in ["fw-attic", "fw-flat", "gw-vps"] {
                without(network, name, "BGP between routers");
            }
        }),
        ("no IKE let in", "error ike-filtered", |network| {
            without(network, "gw-vps", "IKE, and ESP inside UDP");
        }),
        ("no ESP let in", "warning esp-filtered", |network| {
            without(network, "gw-vps", "tunnels without NAT between");
        }),
        ("the mesh is on", "error node-mesh", |network| {
            calico(network, "BGPConfiguration", |spec| spec["nodeToNodeMeshEnabled"] = json!(true));
        }),
        ("wrapped packets", "warning wrapped-pool", |network| {
            calico(network, "IPPool", |spec| spec["ipipMode"] = json!("CrossSubnet"));
        }),
        ("blocks of another size", "error refused-block", |network| {
            calico(network, "IPPool", |spec| spec["blockSize"] = json!(24));
        }),
        ("no direct routes", "warning hairpin", |network| {
            for map in router(network, "fw-flat")["route_maps"].as_array_mut().unwrap() {
                if map["name"] == "nodes-out-v4" {
                    map["rules"] = json!([]);
                }
            }
        }),
    ];
    let rare: &[(&str, &str, Mistake)] = &[
        ("nodes that send each other everything", "error loop", |network| {
            for node in network["spec"]["nodes"].as_array_mut().unwrap() {
                match node["name"].as_str().unwrap() {
                    "flat-1" => node["gateways"] = json!(["10.20.0.21"]),
                    "pi-1" => node["gateways"] = json!(["10.20.0.11"]),
                    _ => {}
                }
            }
        }),
        ("a detour one way, and connections kept", "warning asymmetric", |network| {
            for name in ["fw-attic", "fw-flat", "gw-vps"] {
                for rule in router(network, name)["firewall"].as_array_mut().unwrap() {
                    rule.as_object_mut().unwrap().remove("stateless");
                }
            }
            detour(network);
        }),
        ("a range of services among the pods", "error blackhole", |network| {
            calico(network, "BGPConfiguration", |spec| {
                spec["serviceExternalIPs"] = json!([{"cidr": "10.200.65.128/27"}]);
            });
        }),
        ("nodes ask for more than the plan says", "warning stale-routes", |network| {
            calico(network, "BGPPeer", |spec| spec["maxRestartTime"] = json!("1m30s"));
        }),
        ("nodes ask for what BIRD asks for", "warning stale-routes", |network| {
            calico(network, "BGPPeer", |spec| {
                spec.as_object_mut().unwrap().remove("maxRestartTime");
            });
        }),
    ];
    for (what, wanted, mistake) in mistakes.iter().chain(more).chain(rare) {
        let mut document = network();
        mistake(&mut document);
        let found = ids(&answer("predict", &document.to_string()));
        assert!(found.iter().any(|id| id == wanted), "{what}: {wanted} is not among {found:?}");
    }
}

/// Lets `fw-attic` prefer the way by `gw-vps` to every other.
fn detour(network: &mut Value) {
    let attic = router(network, "fw-attic");
    let maps = attic["route_maps"].as_array_mut().unwrap();
    let mut preferred = maps.iter().find(|map| map["name"] == "routers-in-v4").unwrap().clone();
    preferred["name"] = json!("preferred");
    for rule in preferred["rules"].as_array_mut().unwrap() {
        rule["set"] = json!({"local_pref": 200});
    }
    maps.push(preferred);
    for session in attic["sessions"].as_array_mut().unwrap() {
        if session["peer"] == "gw-vps" {
            session["import"] = json!("preferred");
        }
    }
}

/// In layout B nodes are of the router's AS, and Calico sends a preference that beats every other.
#[test]
fn preferences_of_nodes_are_not_taken() {
    let planned = ask("--only -o json", &ARTICLE.replace("layout: A", "layout: B"));
    let mut document: Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!(ids(&answer("predict", &document.to_string())), ["note stale-routes"]);
    for map in router(&mut document, "fw-flat")["route_maps"].as_array_mut().unwrap() {
        for rule in map["rules"].as_array_mut().unwrap() {
            if let Some(set) = rule.get_mut("set") {
                set.as_object_mut().unwrap().remove("local_pref");
            }
        }
    }
    let found = ids(&answer("predict", &document.to_string()));
    assert!(found.contains(&"warning node-preference".to_owned()), "{found:?}");
}

/// Documents that no network can be: refused with the place, not computed with.
#[test]
fn documents_that_make_no_sense() {
    type Mistake = fn(&mut Value);
    let mistakes: &[(&[&str], Mistake)] = &[
        (&["`fw-attic` is its own peer", "spec.routers[0].sessions[0].peer "], |network| {
            router(network, "fw-attic")["sessions"][0]["peer"] = json!("fw-attic");
        }),
        (
            &["`fw-attic` is its own peer: 10.10.0.1 is its own address", ".sessions[0].peer_address "],
            |network| {
                router(network, "fw-attic")["sessions"][0]["peer_address"] = json!("10.10.0.1");
            },
        ),
        (&["there is no router or node `ghost`", "spec.routers[0].sessions[0].peer "], |network| {
            router(network, "fw-attic")["sessions"][0]["peer"] = json!("ghost");
        }),
        (&["`attic-1` is its own peer", ".spec.peerIP"], |network| {
            calico(network, "BGPPeer", |spec| {
                if spec["peerIP"] == "10.10.0.1" {
                    spec["peerIP"] = json!("10.10.0.11");
                }
            });
        }),
        (&["the AS number 0 is reserved (RFC 7607)", "spec.routers[2].asn (stdin"], |network| {
            router(network, "gw-vps")["asn"] = json!(0);
        }),
        (&["the AS number 23456 is AS_TRANS", "].peer_asn (stdin", "].spec.asNumber (stdin"], |network| {
            router(network, "fw-attic")["sessions"][0]["peer_asn"] = json!(23456);
            calico(network, "BGPConfiguration", |spec| spec["asNumber"] = json!(23456));
        }),
        (&["the AS number 65535 is reserved (RFC 7300)", "].spec.asNumber (stdin"], |network| {
            calico(network, "BGPPeer", |spec| spec["asNumber"] = json!(65535));
        }),
        (&["no AS number", "spec.nodes[0].annotations `projectcalico.org/ASNumber`"], |network| {
            network["spec"]["nodes"][0]["annotations"] = json!([["projectcalico.org/ASNumber", "AS1"]]);
        }),
        (&["both ends of `fw-attic--fw-flat` are at `fw-flat`", "spec.tunnels[0].ends (stdin"], |network| {
            network["spec"]["tunnels"][0]["ends"][0]["router"] = json!("fw-flat");
        }),
        (&["there is no router `ghost`", "spec.tunnels[1].ends[0].router (stdin"], |network| {
            network["spec"]["tunnels"][1]["ends"][0]["router"] = json!("ghost");
        }),
        (&["two machines have the name `flat-1`", "spec.nodes[1].name (stdin"], |network| {
            network["spec"]["nodes"][0]["name"] = json!("flat-1");
        }),
        (&["two tunnels have the name `fw-attic--fw-flat`", "spec.tunnels[1].name (stdin"], |network| {
            network["spec"]["tunnels"][1]["name"] = json!("fw-attic--fw-flat");
        }),
        (&["no address in `spec.peerIP`", "spec.calico["], |network| {
            calico(network, "BGPPeer", |spec| spec["peerIP"] = json!("10.10.0.999"));
        }),
        (&["no network in `spec.cidr`", "spec.calico["], |network| {
            calico(network, "IPPool", |spec| spec["cidr"] = json!("10.200.0.0/99"));
        }),
        (&["`10.10.0.1` is no address with a prefix length", "`addresses` of `fw-attic`"], |network| {
            router(network, "fw-attic")["addresses"] = json!(["10.10.0.1"]);
        }),
    ];
    for (texts, mistake) in mistakes {
        let mut document = network();
        mistake(&mut document);
        let said = ask("predict", &document.to_string());
        assert_eq!((said.exit, said.out.as_str()), (Exit::Wrong, ""), "{texts:?}: {}", said.err);
        for text in texts.iter().chain(&["  hint: ", "  at spec."]) {
            assert!(said.err.contains(text), "{text} is missing in\n{}", said.err);
        }
        let (errors, hints) = (said.err.matches(": error: ").count(), said.err.matches("  hint: ").count());
        assert_eq!(errors, hints, "each mistake has a way out:\n{}", said.err);
    }
}
