//! A plan for the small cluster.

use kmh_doc::inventory::{BgpDaemon, Cipher};
use kmh_doc::network::{
    AsPathList, Finding, FindingLevel, FirewallRule, Masquerade, NetworkSpec, NodePeer, NodePlan, Outage,
    PathRule, PeerKind, PrefixList, PrefixRule, RouteMap, RouteRule, RouteSet, RouterPlan, Session, Tunnel,
    TunnelEnd, Zone,
};
use kmh_doc::{Asn, Cidr};
use kmh_model::Model;
use serde_json::json;

const ZONE: &str = "topology.kubernetes.io/zone";
const CRD: &str = "crd.projectcalico.org/v1";
/// Pods, services, load balancers, tunnels.
const INSIDE: [&str; 4] = ["10.200.0.0/16", "10.201.0.0/16", "10.202.0.0/24", "10.255.0.0/22"];
/// Nodes and pods of the two sites.
const AT_A: [&str; 2] = ["10.10.0.0/24", "10.200.0.0/18"];
const AT_B: [&str; 2] = ["10.20.0.0/24", "10.200.64.0/18"];

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a network")
}

/// A route map that permits these lists.
fn map(name: &str, lists: &[&str]) -> RouteMap {
    let rules = lists.iter().map(|list| RouteRule {
        permit: true,
        prefix_list: Some((*list).to_owned()),
        as_path: (name == "nodes-in").then(|| "nodes".to_owned()),
        set: RouteSet { local_pref: None, med: (name == "routers-in").then_some(0) },
        description: "blocks".to_owned(),
    });
    RouteMap { name: name.to_owned(), rules: rules.collect() }
}

/// A prefix list of networks with their bounds.
fn list(name: &str, entries: &[(&str, Option<u8>)]) -> PrefixList {
    let permit =
        entries.iter().map(|(net, ge)| PrefixRule { prefix: cidr(net), ge: *ge, le: ge.map(|_| 32) });
    PrefixList { name: name.to_owned(), v6: false, permit: permit.collect() }
}

fn session(with: PeerKind, site: &str, peer: &str, [local, remote]: [&str; 2], asn: u32) -> Session {
    let (import, export) =
        if with == PeerKind::Node { ("nodes-in", "nodes-out") } else { ("routers-in", "routers-out") };
    Session {
        with,
        peer: peer.to_owned(),
        dynamic: false,
        tunnel: (with == PeerKind::Router).then(|| "ra--rb".to_owned()),
        local_address: local.parse().expect("an address"),
        peer_address: remote.parse().expect("an address"),
        peer_asn: Asn::new(asn),
        as_override: with == PeerKind::Node,
        keep_next_hop: false,
        next_hop_self: false,
        route_reflector_client: false,
        password: (with == PeerKind::Node).then(|| format!("keys/bgp/{site}")),
        keepalive: 3,
        hold: 9,
        bfd_ms: (with == PeerKind::Router).then_some(1000),
        restart: if with == PeerKind::Node { 30 } else { 0 },
        outage: Outage { silent_ms: [2000, 3000], closed_ms: [0, 30_000] },
        import: import.to_owned(),
        export: export.to_owned(),
        maximum_prefix: 1000,
    }
}

/// What the packet filter of a router lets pass: the least that does.
fn firewall(router: &kmh_model::Router, own: [&str; 2], remote: [&str; 2]) -> Vec<FirewallRule> {
    let nets = |nets: &[&str]| nets.iter().copied().map(cidr).collect::<Vec<_>>();
    let rule = |zone: &Zone, protocol: &str, from: &[&str], ports: &[u16]| FirewallRule {
        zone: zone.clone(),
        protocol: protocol.to_owned(),
        from: nets(from),
        to: Vec::new(),
        except: Vec::new(),
        stateless: false,
        ports: ports.to_vec(),
        description: "test".to_owned(),
    };
    let itself: Vec<Cidr> = router.addresses.iter().map(|ip| Cidr::new((*ip).into())).collect();
    let cluster = nets(&[AT_A[0], AT_B[0], INSIDE[0], INSIDE[1], INSIDE[2]]);
    let alone = |zone: &Zone, protocol: &str, from: &[&str]| FirewallRule {
        to: cluster.clone(),
        except: itself.clone(),
        stateless: true,
        ..rule(zone, protocol, from, &[])
    };
    let (wan, nodes, tunnel) = (Zone::Wan, Zone::Nodes, Zone::Tunnel);
    let peer = if router.name.as_str() == "ra" { "198.51.100.7/32" } else { "203.0.113.7/32" };
    vec![
        rule(&wan, "udp", &[peer], &[500, 4500]),
        rule(&wan, "esp", &[peer], &[]),
        rule(&nodes, "tcp", &[own[0]], &[179]),
        rule(&nodes, "icmp", &[], &[]),
        alone(&nodes, "any", &[own[0], own[1], INSIDE[1], INSIDE[2]]),
        FirewallRule {
            to: nets(&["0.0.0.0/0"]),
            except: cluster.iter().chain(&itself).copied().chain([cidr(INSIDE[3])]).collect(),
            ..rule(&nodes, "any", &[own[0]], &[])
        },
        rule(&tunnel, "tcp", &["10.255.0.8/30"], &[179]),
        rule(&tunnel, "udp", &["10.255.0.8/30"], &[3784]),
        rule(&tunnel, "icmp", &[], &[]),
        alone(&tunnel, "icmp", &[INSIDE[3]]),
        alone(&tunnel, "any", &[remote[0], remote[1], INSIDE[1], INSIDE[2]]),
    ]
}

/// The plan.
pub(crate) fn network(model: &Model) -> NetworkSpec {
    let (ra, rb) = (model.router("ra").expect("ra"), model.router("rb").expect("rb"));
    let plan = |router: &kmh_model::Router,
                site: &str,
                asn: u32,
                sessions: Vec<Session>,
                own: [&str; 2],
                remote: [&str; 2]| RouterPlan {
        name: router.name.to_string(),
        site: site.to_owned(),
        kind: router.kind,
        daemon: BgpDaemon::Frr,
        asn: Asn::new(asn),
        router_id: router.addresses[0].to_string().parse().expect("an id"),
        multipath: true,
        addresses: router.addresses.iter().map(|a| format!("{a}/24")).collect(),
        originate: vec![cidr(own[0])],
        unreachable: ["10.200.0.0/16", "10.201.0.0/16", "10.202.0.0/24", "10.255.0.0/22", remote[0]]
            .map(cidr)
            .to_vec(),
        sessions,
        listen: Vec::new(),
        prefix_lists: vec![
            list("pods", &[(own[1], Some(26))]),
            list("remote", &[(remote[0], None), (remote[1], Some(26))]),
            list("segments", &[(own[0], None)]),
            list(
                "services",
                &[
                    ("10.201.0.0/16", None),
                    ("10.201.0.0/16", Some(32)),
                    ("10.202.0.0/24", None),
                    ("10.202.0.0/24", Some(32)),
                ],
            ),
        ],
        route_maps: vec![
            map("nodes-in", &["pods", "services"]),
            map("nodes-out", &["pods"]),
            map("routers-in", &["remote", "services"]),
            map("routers-out", &["segments", "pods", "services", "remote"]),
        ],
        as_paths: vec![AsPathList { name: "nodes".to_owned(), permit: PathRule::Only(Asn::new(64512)) }],
        firewall: firewall(router, own, remote),
        masquerade: vec![Masquerade {
            from: own.map(cidr).to_vec(),
            except: INSIDE.iter().chain(&[AT_A[0], AT_B[0]]).copied().map(cidr).collect(),
        }],
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
        labels: vec![(ZONE.to_owned(), site.to_owned())],
        annotations: vec![("projectcalico.org/IPv4Address".to_owned(), format!("{address}/24"))],
    };
    let end = |router: &str, interface: &str, address: &str, public: &str| TunnelEnd {
        router: router.to_owned(),
        uplink: if router == "ra" { "eth0" } else { "wan" }.to_owned(),
        uplink_interface: "wan".to_owned(),
        local_address: None,
        remote_address: Some(public.to_owned()),
        interface: interface.to_owned(),
        addresses: vec![address.parse().expect("an address")],
        identity: format!("{router}.lab.ipsec.internal"),
        initiates: true,
    };
    let pool = |name: &str, net: &str, site: &str| {
        json!({"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": name}, "spec": {
            "cidr": net, "blockSize": 26, "ipipMode": "Never", "vxlanMode": "Never", "natOutgoing": true,
            "nodeSelector": format!("{ZONE} == '{site}'")}})
    };
    let apart = |name: &str, net: &str| {
        json!({"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": name}, "spec": {
            "cidr": net, "disabled": true, "disableBGPExport": true}})
    };
    let peer = |name: &str, address: &str, asn: u32, site: &str| {
        json!({"apiVersion": CRD, "kind": "BGPPeer", "metadata": {"name": name}, "spec": {
            "peerIP": address, "asNumber": asn, "nodeSelector": format!("{ZONE} == '{site}'"),
            "filters": ["guard"], "maxRestartTime": "30s",
            "password": {"secretKeyRef": {"name": "kmh-bgp-passwords", "key": site}}}})
    };
    NetworkSpec {
        routers: vec![
            plan(
                ra,
                "a",
                65010,
                vec![
                    session(PeerKind::Node, "a", "cp", ["10.10.0.1", "10.10.0.11"], 64512),
                    session(PeerKind::Router, "a", "rb", ["10.255.0.9", "10.255.0.10"], 65020),
                ],
                AT_A,
                AT_B,
            ),
            plan(
                rb,
                "b",
                65020,
                vec![
                    session(PeerKind::Node, "b", "pi", ["10.20.0.1", "10.20.0.21"], 64512),
                    session(PeerKind::Router, "b", "ra", ["10.255.0.10", "10.255.0.9"], 65010),
                ],
                AT_B,
                AT_A,
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
            rank: 0,
            cipher: Cipher::Aes256gcm,
            nat_t: false,
            psk: None,
            mtu: 1420,
            mss: [1380, 1360],
        }],
        calico: vec![
            pool("pods.a", "10.200.0.0/18", "a"),
            pool("pods.b", "10.200.64.0/18", "b"),
            apart("nodes.a", "10.10.0.0/24"),
            peer("ra", "10.10.0.1", 65010, "a"),
            peer("rb", "10.20.0.1", 65020, "b"),
            json!({"apiVersion": CRD, "kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": {
                "asNumber": 64512, "nodeToNodeMeshEnabled": false, "serviceClusterIPs": [{"cidr": "10.201.0.0/16"}],
                "serviceLoadBalancerIPs": [{"cidr": "10.202.0.0/24"}]}}),
            apart("nodes.b", "10.20.0.0/24"),
            json!({"apiVersion": CRD, "kind": "BGPFilter", "metadata": {"name": "guard"}, "spec": {
                "exportV4": [{"source": "RemotePeers", "action": "Reject"}]}}),
            json!({"apiVersion": CRD, "kind": "IPAMConfig", "metadata": {"name": "default"}, "spec": {
                "strictAffinity": false, "autoAllocateBlocks": true}}),
            json!({"apiVersion": CRD, "kind": "IPPool", "metadata": {"name": "services"}, "spec": {
                "cidr": "10.202.0.0/24", "nodeSelector": "all()", "allowedUses": ["LoadBalancer"]}}),
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
