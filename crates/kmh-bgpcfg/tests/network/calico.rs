//! Calico's resources: valid in every release and either group, and what each choice changes.

use std::collections::BTreeMap;

use crate::support::{MINIMAL, article, cluster, laid_out, plan, two_lines, two_routers};
use kmh_calico::Release;
use serde_json::{Value, json};

/// The resources by `KIND/NAME`.
fn resources(yaml: &str) -> BTreeMap<String, Value> {
    let name =
        |r: &Value| format!("{}/{}", r["kind"].as_str().unwrap(), r["metadata"]["name"].as_str().unwrap());
    plan(yaml).calico.iter().map(|one| (name(one), one["spec"].clone())).collect()
}

/// The inventory with more about Calico.
fn calico(yaml: &str, settings: &str) -> String {
    yaml.replacen("  sites:\n", &format!("  calico: {{{settings}}}\n  sites:\n"), 1)
}

/// Another release; none when it is not said.
fn of_release(yaml: &str, release: Option<&str>) -> String {
    match release {
        Some(version) if yaml.contains("calico: 3.31.2") => {
            yaml.replace("calico: 3.31.2", &format!("calico: {version}"))
        }
        Some(version) => {
            yaml.replacen("pod_cidrs:", &format!("versions: {{calico: {version}}}\n    pod_cidrs:"), 1)
        }
        None => yaml.replace(", calico: 3.31.2", ""),
    }
}

#[test]
fn valid_in_every_release_and_either_group() {
    let settings = [
        "",
        "nat_outgoing: false",
        "strict_affinity: true, max_blocks_per_node: 4",
        "block_size_v4: 28, block_size_v6: 124",
    ];
    for yaml in [
        article(),
        cluster(true, false),
        cluster(false, true),
        cluster(true, true),
        two_routers(),
        two_lines(),
        laid_out(&article(), "B"),
        laid_out(&article(), "D"),
    ] {
        for (version, release) in [
            (None, Some(kmh_calico::OLDEST)),
            (Some("3.28.0"), Some(Release(3, 28))),
            (Some("3.29.3"), Some(Release(3, 29))),
            (Some("3.30.0"), Some(Release(3, 30))),
            (Some("3.31.2"), Some(Release(3, 31))),
            (Some("3.32.1"), Some(kmh_calico::NEWEST)),
        ] {
            for api in ["crd.projectcalico.org/v1", "projectcalico.org/v3"] {
                for settings in settings {
                    let settings = format!("api: {api}, {settings}");
                    let settings = settings.trim_end_matches([',', ' ']);
                    let yaml = calico(&of_release(&yaml, version), settings)
                        .replace("{layout: A}", "{layout: A, timers: {nodes: {keepalive: 2}}}");
                    let spec = plan(&yaml);
                    let complaints: Vec<String> =
                        kmh_calico::validate(&spec.calico, release).iter().map(ToString::to_string).collect();
                    assert_eq!(complaints, [] as [&str; 0], "{version:?} {settings}");
                    assert!(spec.calico.iter().all(|resource| resource["apiVersion"] == api));
                }
            }
        }
    }
}

#[test]
fn the_articles_resources_in_their_order() {
    let spec = plan(&article());
    let names: Vec<String> = spec
        .calico
        .iter()
        .map(|r| format!("{}/{}", r["kind"].as_str().unwrap(), r["metadata"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        names,
        [
            "IPAMConfig/default",
            "BGPFilter/no-transit",
            "IPPool/pods.attic.v4",
            "IPPool/pods.flat.v4",
            "IPPool/pods.vps.v4",
            "IPPool/nodes.attic.v4",
            "IPPool/lan.attic.home.v4",
            "IPPool/nodes.flat.v4",
            "IPPool/nodes.vps.v4",
            "IPPool/services.v4",
            "BGPPeer/fw-attic.v4",
            "BGPPeer/fw-flat.v4",
            "BGPPeer/gw-vps.v4",
            "BGPConfiguration/default",
        ]
    );
    let get = resources(&article());
    assert_eq!(get["IPAMConfig/default"], json!({"autoAllocateBlocks": true, "strictAffinity": false}));
    let guard = json!([{"source": "RemotePeers", "action": "Reject"}]);
    assert_eq!(get["BGPFilter/no-transit"], json!({"exportV4": guard, "exportV6": guard}));
    assert_eq!(
        get["IPPool/pods.flat.v4"],
        json!({"cidr": "10.200.64.0/18", "blockSize": 26, "ipipMode": "Never", "vxlanMode": "Never", "natOutgoing": true,
               "nodeSelector": "topology.kubernetes.io/zone == 'flat'", "allowedUses": ["Workload"],
               "assignmentMode": "Automatic"})
    );
    // A disabled pool must not let a node announce its own segment.
    for name in ["IPPool/nodes.attic.v4", "IPPool/lan.attic.home.v4"] {
        let pool = &get[name];
        assert_eq!((&pool["disabled"], &pool["disableBGPExport"]), (&json!(true), &json!(true)), "{name}");
        assert_eq!(pool["nodeSelector"], "!all()");
    }
    assert_eq!(
        get["IPPool/services.v4"],
        json!({"cidr": "10.202.0.0/24", "blockSize": 26, "ipipMode": "Never", "vxlanMode": "Never", "natOutgoing": false,
               "nodeSelector": "all()", "allowedUses": ["LoadBalancer"], "assignmentMode": "Automatic"})
    );
    assert_eq!(
        get["BGPPeer/gw-vps.v4"],
        json!({"peerIP": "10.30.0.1", "asNumber": 65030, "nodeSelector": "topology.kubernetes.io/zone == 'vps'",
               "filters": ["no-transit"], "maxRestartTime": "30s",
               "password": {"secretKeyRef": {"name": "kmh-bgp-passwords", "key": "vps"}}})
    );
    assert_eq!(
        get["BGPConfiguration/default"],
        json!({"asNumber": 64512, "logSeverityScreen": "Info", "nodeToNodeMeshEnabled": false,
               "serviceClusterIPs": [{"cidr": "10.201.0.0/16"}], "serviceLoadBalancerIPs": [{"cidr": "10.202.0.0/24"}]})
    );
    for node in &spec.nodes {
        assert_eq!(node.labels, [("topology.kubernetes.io/zone".to_owned(), node.site.clone())]);
    }
}

#[test]
fn each_field_only_where_it_exists() {
    let odd = article().replace("{layout: A}", "{layout: A, timers: {nodes: {keepalive: 2}}}");
    for (version, assigned, balanced, kept) in [
        (None, false, false, false),
        (Some("3.28.0"), false, false, false),
        (Some("3.29.0"), false, false, false),
        (Some("3.30.1"), true, true, false),
        (Some("3.31.2"), true, true, false),
        (Some("3.32.0"), true, true, true),
    ] {
        let get = resources(&of_release(&odd, version));
        assert_eq!(get["IPPool/pods.flat.v4"].get("assignmentMode").is_some(), assigned, "{version:?}");
        assert_eq!(get.contains_key("IPPool/services.v4"), balanced, "{version:?}");
        let keepalive = get["BGPPeer/fw-flat.v4"].get("keepaliveTime");
        assert_eq!(keepalive, kept.then(|| json!("2s")).as_ref(), "{version:?}");
    }
    // BIRD's own third of the hold time need not be said.
    let usual = resources(&of_release(&article(), Some("3.32.0")));
    assert!(usual["BGPPeer/fw-flat.v4"].get("keepaliveTime").is_none());
}

#[test]
fn the_names_of_the_native_group() {
    let spec =
        plan(&calico(&article(), "api: projectcalico.org/v3, strict_affinity: true, max_blocks_per_node: 8"));
    let first = &spec.calico[0];
    assert_eq!(
        (&first["apiVersion"], &first["kind"]),
        (&json!("projectcalico.org/v3"), &json!("IPAMConfiguration"))
    );
    assert_eq!(
        first["spec"],
        json!({"autoAllocateBlocks": true, "strictAffinity": true, "maxBlocksPerHost": 8})
    );
}

#[test]
fn pods_that_routers_hide() {
    let get = resources(&calico(&article(), "nat_outgoing: false"));
    let pools: Vec<&str> = get.keys().filter_map(|name| name.strip_prefix("IPPool/")).collect();
    assert_eq!(pools, ["pods.attic.v4", "pods.flat.v4", "pods.vps.v4", "services.v4"]);
    assert!(
        get.iter()
            .filter(|(name, _)| name.starts_with("IPPool"))
            .all(|(_, pool)| pool["natOutgoing"] == false)
    );
}

#[test]
fn peers_of_both_families_with_what_their_routers_ask() {
    let get = resources(&cluster(true, true));
    let peers: Vec<(&str, &Value)> = get
        .iter()
        .filter_map(|(name, spec)| Some((name.strip_prefix("BGPPeer/")?, &spec["peerIP"])))
        .collect();
    assert_eq!(
        peers,
        [
            ("r-east.v4", &json!("10.1.0.1")),
            ("r-east.v6", &json!("fd00:1::1")),
            ("r-west.v4", &json!("10.2.0.1")),
            ("r-west.v6", &json!("fd00:2::1")),
        ]
    );
    let six = resources(&cluster(false, true));
    assert!(!six.keys().any(|name| name.contains(".v4")));
    assert_eq!(six["IPPool/pods.east.v6"]["blockSize"], 122);

    let get = resources(
        &article().replace("{layout: A}", "{layout: A, passwords: false, timers: {nodes: {restart: 0}}}"),
    );
    let peer = &get["BGPPeer/fw-flat.v4"];
    assert!(peer.get("password").is_none());
    assert_eq!(peer["maxRestartTime"], "0s");
    // Each node has its own AS number by annotation; the number of all is what is left.
    for layout in ["B", "D"] {
        let get = resources(&laid_out(&article(), layout));
        assert_eq!(get["BGPConfiguration/default"]["asNumber"], 64512);
        assert_eq!(get["BGPPeer/gw-vps.v4"]["asNumber"], 65030);
    }
    let two = resources(&two_routers());
    assert_eq!(two["BGPPeer/gw-vps.v4"]["nodeSelector"], two["BGPPeer/gw-vps2.v4"]["nodeSelector"]);
}

#[test]
fn a_block_is_no_larger_than_its_pool() {
    let tiny = plan(&MINIMAL.replace("10.10.0.0/24", "10.10.0.0/28"));
    let blocks: Vec<(&Value, &Value)> = tiny
        .calico
        .iter()
        .filter(|r| r["kind"] == "IPPool")
        .map(|r| (&r["spec"]["cidr"], &r["spec"]["blockSize"]))
        .collect();
    assert_eq!(blocks, [(&json!("10.200.0.0/18"), &json!(26)), (&json!("10.10.0.0/28"), &json!(28))]);
    let get = resources(&calico(&cluster(true, true), "block_size_v4: 24, block_size_v6: 120"));
    assert_eq!(get["IPPool/pods.east.v4"]["blockSize"], 24);
    assert_eq!(get["IPPool/pods.east.v6"]["blockSize"], 120);
    // Nobody gets addresses out of these.
    assert_eq!(get["IPPool/nodes.east.v4"]["blockSize"], 26);
}
