//! A plan for the small cluster.

use kmh_doc::network::{
    AsPathList, Finding, FindingLevel, NetworkSpec, NodePeer, NodePlan, PeerKind, PrefixList, PrefixRule,
    RouteMap, RouteRule, RouterPlan, Session, Tunnel, TunnelEnd,
};
use kmh_doc::{Asn, Cidr};
use kmh_model::Model;
use serde_json::json;

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a network")
}

fn rule(list: &str, as_path: Option<&str>) -> RouteRule {
    RouteRule {
        permit: true,
        prefix_list: Some(list.to_owned()),
        as_path: as_path.map(str::to_owned),
        description: "blocks".to_owned(),
    }
}

fn session(with: PeerKind, peer: &str, local: &str, remote: &str, asn: u32) -> Session {
    let (import, export) =
        if with == PeerKind::Node { ("nodes-in", "nodes-out") } else { ("routers-in", "routers-out") };
    Session {
        with,
        peer: peer.to_owned(),
        tunnel: (with == PeerKind::Router).then(|| "ra--rb".to_owned()),
        local_address: local.parse().expect("an address"),
        peer_address: remote.parse().expect("an address"),
        peer_asn: Asn::new(asn),
        as_override: with == PeerKind::Node,
        keep_next_hop: false,
        keepalive: 3,
        hold: 9,
        bfd_ms: (with == PeerKind::Router).then_some(1000),
        import: import.to_owned(),
        export: export.to_owned(),
        maximum_prefix: 1000,
    }
}

/// The plan.
pub(crate) fn network(model: &Model) -> NetworkSpec {
    let (ra, rb) = (model.router("ra").expect("ra"), model.router("rb").expect("rb"));
    let plan =
        |router: &kmh_model::Router, site: &str, asn: u32, sessions: Vec<Session>, remote: &str| RouterPlan {
            name: router.name.to_string(),
            site: site.to_owned(),
            kind: router.kind,
            asn: Asn::new(asn),
            router_id: "10.0.0.1".parse().expect("an id"),
            addresses: router.addresses.iter().map(|a| format!("{a}/24")).collect(),
            originate: vec![cidr("10.10.0.0/24")],
            unreachable: ["10.200.0.0/16", "10.201.0.0/16", "10.202.0.0/24", "10.255.0.0/22", remote]
                .map(cidr)
                .to_vec(),
            sessions,
            prefix_lists: vec![PrefixList {
                name: "pods".to_owned(),
                v6: false,
                permit: vec![PrefixRule { prefix: cidr("10.200.0.0/16"), ge: Some(26), le: Some(32) }],
            }],
            route_maps: ["nodes-in", "nodes-out", "routers-in", "routers-out"]
                .map(|name| RouteMap {
                    name: name.to_owned(),
                    rules: vec![rule("pods", (name == "nodes-in").then_some("nodes"))],
                })
                .to_vec(),
            as_paths: vec![AsPathList { name: "nodes".to_owned(), permit: "^(64512)$".to_owned() }],
            firewall: Vec::new(),
        };
    let node = |name: &str, site: &str, address: &str, router: &str, gateway: &str, asn: u32| NodePlan {
        name: name.to_owned(),
        site: site.to_owned(),
        asn: Asn::new(64512),
        addresses: vec![format!("{address}/24")],
        gateways: vec![gateway.parse().expect("an address")],
        peers: vec![NodePeer {
            router: router.to_owned(),
            address: gateway.parse().expect("an address"),
            asn: Asn::new(asn),
        }],
        labels: Vec::new(),
        annotations: Vec::new(),
    };
    let end = |router: &str, interface: &str, address: &str, public: &str| TunnelEnd {
        router: router.to_owned(),
        uplink: "wan".to_owned(),
        uplink_interface: "wan".to_owned(),
        remote_address: Some(public.to_owned()),
        interface: interface.to_owned(),
        addresses: vec![address.parse().expect("an address")],
        identity: format!("{router}.lab.ipsec.internal"),
        initiates: true,
    };
    let pool = |name: &str, net: &str, site: &str| {
        json!({"kind": "IPPool", "metadata": {"name": name}, "spec": {
            "cidr": net, "blockSize": 26, "ipipMode": "Never", "vxlanMode": "Never", "natOutgoing": true,
            "nodeSelector": format!("zone == '{site}'")}})
    };
    let peer = |name: &str, address: &str, asn: u32, site: &str| {
        json!({"kind": "BGPPeer", "metadata": {"name": name}, "spec": {
            "peerIP": address, "asNumber": asn, "nodeSelector": format!("zone == '{site}'")}})
    };
    NetworkSpec {
        routers: vec![
            plan(
                ra,
                "a",
                65010,
                vec![
                    session(PeerKind::Node, "cp", "10.10.0.1", "10.10.0.11", 64512),
                    session(PeerKind::Router, "rb", "10.255.0.9", "10.255.0.10", 65020),
                ],
                "10.20.0.0/24",
            ),
            plan(
                rb,
                "b",
                65020,
                vec![
                    session(PeerKind::Node, "pi", "10.20.0.1", "10.20.0.21", 64512),
                    session(PeerKind::Router, "ra", "10.255.0.10", "10.255.0.9", 65010),
                ],
                "10.10.0.0/24",
            ),
        ],
        nodes: vec![
            node("cp", "a", "10.10.0.11", "ra", "10.10.0.1", 65010),
            node("pi", "b", "10.20.0.21", "rb", "10.20.0.1", 65020),
        ],
        tunnels: vec![Tunnel {
            name: "ra--rb".to_owned(),
            // Ids 1 and 3: (3-1)(3-2)/2+1.
            index: 2,
            networks: vec![cidr("10.255.0.8/30")],
            ends: [
                end("ra", "xfrm2", "10.255.0.9", "203.0.113.7"),
                end("rb", "ipsec2", "10.255.0.10", "198.51.100.7"),
            ],
            mtu: 1420,
        }],
        calico: vec![
            pool("pods.a", "10.200.0.0/18", "a"),
            pool("pods.b", "10.200.64.0/18", "b"),
            json!({"kind": "IPPool", "metadata": {"name": "nodes.a"}, "spec": {"cidr": "10.10.0.0/24", "disabled": true}}),
            peer("ra", "10.10.0.1", 65010, "a"),
            peer("rb", "10.20.0.1", 65020, "b"),
            json!({"kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": {
                "asNumber": 64512, "nodeToNodeMeshEnabled": false, "serviceClusterIPs": [{"cidr": "10.201.0.0/16"}],
                "serviceLoadBalancerIPs": [{"cidr": "10.202.0.0/24"}]}}),
        ],
        pod_mtu: 1420,
        findings: vec![Finding {
            id: "pod-mtu".to_owned(),
            level: FindingLevel::Note,
            subject: "ra--rb".to_owned(),
            message: "as it is".to_owned(),
            hint: None,
        }],
    }
}
