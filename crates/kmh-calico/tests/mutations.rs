//! Resources that are right, and what is said when one thing of them is changed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use kmh_calico::{NEWEST, OLDEST, Release, validate};
use serde_json::{Value, json};

const CRD: &str = "crd.projectcalico.org/v1";

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": CRD, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Everything that a cluster like kmh's has, and what people add.
fn good() -> Vec<Value> {
    vec![
        resource("IPAMConfig", "default", &json!({"strictAffinity": false, "autoAllocateBlocks": true})),
        resource(
            "BGPFilter",
            "guard",
            &json!({"exportV4": [
                {"source": "RemotePeers", "action": "Reject"},
                {"cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": {"min": 26, "max": 32}, "action": "Accept"},
            ], "exportV6": [{"source": "RemotePeers", "action": "Reject"}]}),
        ),
        resource(
            "IPPool",
            "pods.v4",
            &json!({"cidr": "10.200.0.0/18", "blockSize": 26, "ipipMode": "Never", "vxlanMode": "Never",
                "natOutgoing": true, "nodeSelector": "zone == 'a'", "allowedUses": ["Workload"]}),
        ),
        resource(
            "IPPool",
            "pods.v6",
            &json!({"cidr": "fd00:200::/56", "blockSize": 122, "nodeSelector": "zone == 'a'"}),
        ),
        resource("IPPool", "apart", &json!({"cidr": "10.10.0.0/28", "disabled": true, "blockSize": 26})),
        resource(
            "BGPPeer",
            "ra",
            &json!({"peerIP": "10.10.0.1", "asNumber": 65010, "nodeSelector": "zone == 'a'", "filters": ["guard"],
                "maxRestartTime": "30s", "password": {"secretKeyRef": {"name": "s", "key": "a"}}}),
        ),
        resource(
            "BGPConfiguration",
            "default",
            &json!({"asNumber": 64512, "nodeToNodeMeshEnabled": false, "serviceClusterIPs": [{"cidr": "10.201.0.0/16"}]}),
        ),
        // Of other kinds nothing is known.
        resource("FelixConfiguration", "default", &json!({"bpfEnabled": true})),
    ]
}

fn said(resources: &[Value], release: Option<Release>) -> Vec<String> {
    validate(resources, release).iter().map(ToString::to_string).collect()
}

/// The resource whose name ends so, changed at a JSON pointer: taken away with null, else put there.
fn changed(name: &str, place: &str, value: Value) -> Vec<Value> {
    let mut all = good();
    let one = all
        .iter_mut()
        .find(|one| format!("{}/{}", one["kind"], one["metadata"]["name"]).replace('"', "") == name);
    let one = one.unwrap_or_else(|| panic!("no {name}"));
    let (parent, field) = place.rsplit_once('/').unwrap();
    let parent = one.pointer_mut(parent).unwrap_or_else(|| panic!("no {place} in {name}"));
    match (parent, value) {
        (Value::Object(fields), Value::Null) => assert!(fields.remove(field).is_some(), "no {place}"),
        (Value::Object(fields), value) => drop(fields.insert(field.to_owned(), value)),
        (Value::Array(items), value) => items[field.parse::<usize>().unwrap()] = value,
        _ => panic!("{place} is neither object nor list"),
    }
    all
}

#[test]
fn what_is_right_in_every_release() {
    for release in [None, Some(OLDEST), Some(Release(3, 30)), Some(NEWEST)] {
        assert_eq!(said(&good(), release), [] as [&str; 0], "{release:?}");
    }
    assert_eq!(said(&[], None), [] as [&str; 0]);
}

const PEER: &str = "BGPPeer/ra";
const POOL: &str = "IPPool/pods.v4";
const POOL6: &str = "IPPool/pods.v6";
const CONFIGURATION: &str = "BGPConfiguration/default";
const FILTER: &str = "BGPFilter/guard";
const IPAM: &str = "IPAMConfig/default";

#[test]
fn every_change_is_found() {
    #[rustfmt::skip]
    let table: Vec<(&str, &str, Value, &str)> = vec![
        // Heads.
        (PEER, "/apiVersion", json!("v1"), "`apiVersion`: `v1` is neither"),
        (PEER, "/apiVersion", json!("projectcalico.org/v3"), "others are of another group"),
        (PEER, "/metadata/name", json!("Upper_Case"), "is no name"),
        (PEER, "/metadata/name", Value::Null, "`metadata.name`: it is missing"),
        (PEER, "/kind", Value::Null, "`kind`: it is missing"),
        (PEER, "/spec", json!([]), "`spec`: it is missing, or no object"),
        (IPAM, "/kind", json!("IPAMConfiguration"), "only `projectcalico.org/v3` has a IPAMConfiguration"),
        (POOL6, "/metadata/name", json!("pods.v4"), "there are two of that name"),
        // Fields.
        (PEER, "/spec/peerIp", json!("10.10.0.1"), "`spec.peerIp`: there is no such field: it is called `peerIP`"),
        (PEER, "/spec/holdTime", json!("9s"), "`spec.holdTime`: there is no such field"),
        (PEER, "/spec/asNumber", json!("65010"), "it is no whole number from 1 to 2147483647"),
        (PEER, "/spec/asNumber", json!("1.10"), "it is no whole number"),
        (PEER, "/spec/asNumber", json!(4_200_000_001_u32), "4200000001 is not from 1 to 2147483647"),
        (PEER, "/spec/asNumber", json!(0), "0 is not from 1"),
        (PEER, "/spec/asNumber", Value::Null, "`spec.asNumber`: the field is missing"),
        (PEER, "/spec/peerIP", json!("10.10.0.300"), "is no address, with a port or without"),
        (PEER, "/spec/maxRestartTime", json!("30"), "is no duration"),
        (PEER, "/spec/maxRestartTime", json!("2h"), "no number of whole seconds from 0 to 4095"),
        (PEER, "/spec/maxRestartTime", json!("1500ms"), "no number of whole seconds"),
        (PEER, "/spec/filters", json!("guard"), "`spec.filters`: it is no list"),
        (PEER, "/spec/filters/0", json!("gard"), "`spec.filters[0]`: there is no BGPFilter `gard`"),
        (PEER, "/spec/nodeSelector", json!("zone = 'a'"), "`spec.nodeSelector`: the selector has a `=`"),
        (PEER, "/spec/node", json!("n1"), "`spec.node`: it excludes `nodeSelector`"),
        (PEER, "/spec/peerSelector", json!("all()"), "`spec.peerIP`: it excludes `peerSelector`"),
        (PEER, "/spec/peerIP", Value::Null, "it names no peer"),
        (PEER, "/spec/reachableBy", json!("fd00::1"), "of another family than `peerIP`"),
        (PEER, "/spec/password/secretKeyRef/key", Value::Null, "`spec.password.secretKeyRef.key`: the field is missing"),
        (PEER, "/spec/password/secretKeyRef", Value::Null, "`spec.password.secretKeyRef`: the field is missing"),
        (PEER, "/spec/password", json!("hunter2"), "`spec.password`: it is no object"),
        (PEER, "/spec/sourceAddress", json!("10.10.0.11"), "is none of `UseNodeIP`, `None`"),
        (CONFIGURATION, "/metadata/name", json!("cluster"), "Calico reads `default` and `node.NAME`"),
        (CONFIGURATION, "/metadata/name", json!("node.n1"), "`spec.asNumber`: only `default` may say it"),
        (CONFIGURATION, "/spec/nodeToNodeMeshEnabled", json!("false"), "it is neither true nor false"),
        (CONFIGURATION, "/spec/nodeMeshMaxRestartTime", json!("30s"), "there is no mesh"),
        (CONFIGURATION, "/spec/serviceClusterIPs/0", json!("10.201.0.0/16"), "`spec.serviceClusterIPs[0]`: it is no object"),
        (CONFIGURATION, "/spec/serviceClusterIPs/0/cidr", json!("10.201.0.1/16"), "has bits behind its length"),
        (CONFIGURATION, "/spec/communities", json!([{"name": "x", "value": "1:2"}]), "no `prefixAdvertisements` uses them"),
        (CONFIGURATION, "/spec/prefixAdvertisements", json!([{"cidr": "10.0.0.0/8", "communities": ["x"]}]), "neither a community nor the name of one"),
        (CONFIGURATION, "/spec/listenPort", json!(0), "0 is not from 1 to 65535"),
        (CONFIGURATION, "/spec/logSeverityScreen", json!("Loud"), "is none of Trace"),
        (FILTER, "/spec/exportV4/0/action", json!("Drop"), "`spec.exportV4[0].action`: `Drop` is none of `Accept`, `Reject`"),
        (FILTER, "/spec/exportV4/0/action", Value::Null, "`spec.exportV4[0].action`: the field is missing"),
        (FILTER, "/spec/exportV4/0/source", json!("Remote"), "is none of `RemotePeers`"),
        (FILTER, "/spec/exportV4/1/matchOperator", Value::Null, "`cidr` and `matchOperator` go together"),
        (FILTER, "/spec/exportV4/1/cidr", Value::Null, "it means nothing without `cidr`"),
        (FILTER, "/spec/exportV4/1/cidr", json!("fd00::/8"), "of another family than `exportV4`"),
        (FILTER, "/spec/exportV4/1/prefixLength/max", json!(33), "33 is not from 0 to 32"),
        (FILTER, "/spec/exportV4/1/prefixLength/max", json!(20), "nothing is from 26 to 20"),
        (FILTER, "/spec/exportV4/0/operations", json!([{"setPriority": {"value": 1}}]), "they go with `action: Accept` only"),
        (FILTER, "/spec/exportV4/1/operations", json!([{}]), "it has 0 fields instead of one"),
        (IPAM, "/metadata/name", json!("other"), "Calico reads `default`, and no other"),
        (IPAM, "/spec/strictAffinity", Value::Null, "`spec.strictAffinity`: the field is missing"),
        (IPAM, "/spec/autoAllocateBlocks", json!(false), "false needs `strictAffinity: true`"),
        (IPAM, "/spec/maxBlocksPerHost", json!(4), "it needs `strictAffinity: true`"),
        (POOL, "/spec/cidr", json!("10.200.0.1/18"), "has bits behind its length"),
        (POOL, "/spec/cidr", json!("169.254.0.0/20"), "is for link-local addresses"),
        (POOL, "/spec/cidr", json!("10.200.0.0/28"), "a block of /26 does not fit into 10.200.0.0/28"),
        (POOL, "/spec/cidr", json!("10.0.0.0/8"), "IPPool apart: `spec.cidr`: 10.10.0.0/28 overlaps 10.0.0.0/8 of `pods.v4`"),
        (POOL, "/spec/cidr", Value::Null, "`spec.cidr`: the field is missing"),
        (POOL, "/spec/blockSize", json!(33), "33 is not from 20 to 32"),
        (POOL, "/spec/blockSize", json!(16), "16 is not from 20"),
        (POOL6, "/spec/blockSize", json!(64), "64 is not from 116 to 128"),
        (POOL, "/spec/vxlanMode", json!("Sometimes"), "is none of `Never`, `Always`, `CrossSubnet`"),
        (POOL6, "/spec/ipipMode", json!("Always"), "there is no IPIP for IPv6"),
        (POOL, "/spec/nat-outgoing", json!(true), "`spec.nat-outgoing`: there is no such field"),
        (POOL, "/spec/nodeSelector", json!("global()"), "`global()` selects no node"),
        (POOL, "/spec/allowedUses", json!(["Workload", "Workload"]), "a use is named twice"),
        (POOL, "/spec/allowedUses", json!(["LoadBalancer"]), "a pool for load balancers has `all()`"),
        (POOL, "/spec/allowedUses", json!(["LoadBalancer", "Workload"]), "`LoadBalancer` excludes other uses"),
    ];
    for (name, place, value, wanted) in table {
        let complaints = said(&changed(name, place, value.clone()), Some(NEWEST));
        assert!(
            complaints.iter().any(|one| one.contains(wanted)),
            "{name} {place} = {value}: {wanted:?} is not in {complaints:#?}"
        );
    }
}

#[test]
fn fields_have_a_first_release() {
    #[rustfmt::skip]
    let table: Vec<(&str, &str, Value, Release)> = vec![
        (PEER, "/spec/keepaliveTime", json!("3s"), Release(3, 32)),
        (PEER, "/spec/nextHopMode", json!("Self"), Release(3, 31)),
        (PEER, "/spec/reversePeering", json!("Manual"), Release(3, 31)),
        (PEER, "/spec/localASNumber", json!(65001), Release(3, 31)),
        (POOL, "/spec/assignmentMode", json!("Automatic"), Release(3, 30)),
        (POOL, "/spec/namespaceSelector", json!("all()"), Release(3, 31)),
        (CONFIGURATION, "/spec/serviceLoadBalancerAggregation", json!("Enabled"), Release(3, 31)),
        (CONFIGURATION, "/spec/programClusterRoutes", json!("Enabled"), Release(3, 32)),
        (FILTER, "/spec/exportV4/0/peerType", json!("eBGP"), Release(3, 32)),
    ];
    for (name, place, value, first) in table {
        let before = Release(3, first.1 - 1);
        let resources = changed(name, place, value);
        assert_eq!(said(&resources, Some(first)), [] as [&str; 0], "{place}");
        assert_eq!(said(&resources, None), [] as [&str; 0], "{place}");
        let complaints = said(&resources, Some(before));
        let wanted = format!("the field is there from Calico {first} on, and this is {before}");
        assert!(complaints.len() == 1 && complaints[0].ends_with(&wanted), "{place}: {complaints:?}");
    }
    let pool = json!({"cidr": "10.202.0.0/24", "allowedUses": ["LoadBalancer"], "nodeSelector": "all()"});
    let pool = [resource("IPPool", "lb", &pool)];
    assert_eq!(said(&pool, Some(Release(3, 30))), [] as [&str; 0]);
    assert!(said(&pool, Some(Release(3, 29)))[0].contains("`LoadBalancer` is there from Calico 3.30 on"));
    assert!(!kmh_calico::knows("BGPPeer", "keepaliveTime", None));
    assert!(kmh_calico::knows("BGPPeer", "maxRestartTime", None));
    assert!(!kmh_calico::knows("BGPPeer", "holdTime", Some(NEWEST)));
}

#[test]
fn two_peers_that_are_one() {
    let mut all = good();
    let mut more = all[5].clone();
    more["metadata"]["name"] = json!("rb");
    all.push(more);
    assert_eq!(said(&all, None), ["BGPPeer rb: `spec.peerIP`: `ra` is the same peer of the same nodes"]);
}

#[test]
fn nothing_hostile_makes_it_panic() {
    let odd = [
        json!(null),
        json!("\u{1b}[2J"),
        json!({"a": [{}]}),
        json!([[[]]]),
        json!(-1),
        json!(1e300),
        json!("x".repeat(9999)),
    ];
    for resource in good() {
        for value in &odd {
            for place in ["/spec", "/metadata", "/kind", "/apiVersion"] {
                let mut one = resource.clone();
                *one.pointer_mut(place).unwrap() = value.clone();
                said(&[one], Some(NEWEST));
            }
            for field in resource["spec"].as_object().unwrap().keys() {
                let mut one = resource.clone();
                one["spec"][field] = value.clone();
                let complaints = said(&[one], Some(NEWEST)).join("");
                assert!(!complaints.contains('\u{1b}') && complaints.len() < 2000, "{field}");
            }
        }
    }
}
