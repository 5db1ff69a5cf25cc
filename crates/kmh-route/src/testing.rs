//! Small networks for tests, written as a plan would be.

use std::net::{IpAddr, Ipv4Addr};

use kmh_doc::inventory::{BgpDaemon, Cipher, RouterKind};
use kmh_doc::network::{
    AsPathList, NetworkSpec, NodePlan, Outage, PathRule, PeerKind, PrefixList, PrefixRule, RouteMap,
    RouteRule, RouteSet, RouterPlan, Session, Tunnel, TunnelEnd,
};
use kmh_doc::{Asn, Cidr};
use serde_json::{Value, json};

/// What kind of network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) layout: char,
    pub(crate) sites: u8,
    pub(crate) routers: u8,
    pub(crate) nodes: u8,
    pub(crate) daemon: BgpDaemon,
    pub(crate) guarded: bool,
}

impl Plan {
    pub(crate) const fn new(layout: char, sites: u8, routers: u8, nodes: u8) -> Self {
        Self { layout, sites, routers, nodes, daemon: BgpDaemon::Frr, guarded: true }
    }

    fn node_asn(self, site: u8, node: u8) -> u32 {
        match self.layout {
            'A' => 64512,
            'B' => site_asn(site),
            _ => 65100 + 20 * u32::from(site) + u32::from(node),
        }
    }

    /// The document. Sites are `s0`, …; routers `r0a`, `r0b`, …; nodes `n00`, ….
    pub(crate) fn spec(self) -> NetworkSpec {
        let tunnels = self.tunnels();
        let routers = (0..self.sites).flat_map(|site| (0..self.routers).map(move |router| (site, router)));
        let routers = routers.map(|(site, router)| self.router(site, router, &tunnels)).collect();
        let nodes = (0..self.sites).flat_map(|site| (0..self.nodes).map(move |node| (site, node)));
        NetworkSpec {
            routers,
            nodes: nodes.map(|(site, node)| self.node(site, node)).collect(),
            tunnels,
            calico: self.calico(),
            pod_mtu: 1400,
            findings: Vec::new(),
        }
    }

    fn tunnels(self) -> Vec<Tunnel> {
        let all: Vec<(u8, u8)> =
            (0..self.sites).flat_map(|site| (0..self.routers).map(move |router| (site, router))).collect();
        let mut tunnels = Vec::new();
        for (b, two) in all.iter().enumerate() {
            for one in all.iter().take(b).filter(|one| one.0 != two.0) {
                let number = u8::try_from(tunnels.len()).expect("few tunnels");
                let end = |(site, router): (u8, u8), last: u8| TunnelEnd {
                    router: router_name(site, router),
                    uplink: "wan".to_owned(),
                    uplink_interface: "wan".to_owned(),
                    local_address: None,
                    remote_address: None,
                    interface: format!("t{number}"),
                    addresses: vec![v4(10, 255, number, last)],
                    identity: String::new(),
                    initiates: true,
                };
                tunnels.push(Tunnel {
                    name: format!("{}--{}", router_name(one.0, one.1), router_name(two.0, two.1)),
                    index: u32::from(number) + 1,
                    rank: one.1 + two.1,
                    cipher: Cipher::default(),
                    nat_t: false,
                    psk: None,
                    networks: vec![cidr(&format!("10.255.{number}.0/30"))],
                    ends: [end(*one, 1), end(*two, 2)],
                    mtu: 1400,
                    mss: [1360, 1340],
                });
            }
        }
        tunnels
    }

    fn router(self, site: u8, router: u8, tunnels: &[Tunnel]) -> RouterPlan {
        let name = router_name(site, router);
        let local = v4(10, 10 + site, 0, 1 + router);
        let mut sessions: Vec<Session> = (0..self.nodes)
            .map(|node| Session {
                as_override: self.layout == 'A',
                route_reflector_client: self.layout == 'B',
                next_hop_self: self.layout == 'B',
                ..session(
                    PeerKind::Node,
                    &node_name(site, node),
                    local,
                    v4(10, 10 + site, 0, 11 + node),
                    self.node_asn(site, node),
                    0,
                )
            })
            .collect();
        for other in (0..self.routers).filter(|other| *other != router) {
            sessions.push(Session {
                next_hop_self: true,
                ..session(
                    PeerKind::Sibling,
                    &router_name(site, other),
                    local,
                    v4(10, 10 + site, 0, 1 + other),
                    site_asn(site),
                    0,
                )
            });
        }
        for tunnel in tunnels {
            let Some(own) = tunnel.ends.iter().position(|end| end.router == name) else { continue };
            let (own, peer) = (&tunnel.ends[own], &tunnel.ends[1 - own]);
            let far: u8 = peer.router[1..2].parse().expect("a digit");
            sessions.push(Session {
                tunnel: Some(tunnel.name.clone()),
                ..session(
                    PeerKind::Router,
                    &peer.router,
                    own.addresses[0],
                    peer.addresses[0],
                    site_asn(far),
                    tunnel.rank,
                )
            });
        }
        let others = || (0..self.sites).filter(|other| *other != site);
        let remote = others().flat_map(|other| [exactly(&segment(other)), blocks(other)]).collect();
        let services = vec![
            exactly("10.201.0.0/16"),
            PrefixRule { prefix: cidr("10.201.0.0/16"), ge: Some(32), le: Some(32) },
        ];
        let list =
            |name: &str, permit: Vec<PrefixRule>| PrefixList { name: name.to_owned(), v6: false, permit };
        let mut maps = vec![
            map(
                "nodes-in",
                vec![
                    rule("own-pods", Some("nodes"), self.node_set()),
                    rule("services", Some("nodes"), self.node_set()),
                ],
            ),
            map("nodes-out", vec![rule("own-pods", None, RouteSet::default())]),
            map(
                "routers-out",
                ["own-segments", "own-pods", "services", "remote"]
                    .map(|one| rule(one, None, RouteSet::default()))
                    .to_vec(),
            ),
            map(
                "siblings-in",
                ["own-pods", "services", "remote"].map(|one| rule(one, None, RouteSet::default())).to_vec(),
            ),
            map(
                "siblings-out",
                ["own-pods", "services", "remote"].map(|one| rule(one, None, RouteSet::default())).to_vec(),
            ),
        ];
        for rank in 0..2 * self.routers {
            let set = RouteSet { local_pref: None, med: Some(10 * u32::from(rank)) };
            maps.push(map(
                &format!("routers-in-{rank}"),
                vec![rule("remote", None, set), rule("services", None, set)],
            ));
        }
        RouterPlan {
            name,
            site: site_name(site),
            kind: RouterKind::Linux,
            daemon: self.daemon,
            asn: Asn::new(site_asn(site)),
            router_id: match local {
                IpAddr::V4(v4) => v4,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            },
            multipath: self.daemon == BgpDaemon::Frr,
            addresses: vec![format!("{local}/24")],
            originate: vec![cidr(&segment(site))],
            unreachable: ["10.200.0.0/16", "10.201.0.0/16", "10.255.0.0/16"].map(cidr).to_vec(),
            sessions,
            listen: Vec::new(),
            prefix_lists: vec![
                list("own-pods", vec![blocks(site)]),
                list("own-segments", vec![exactly(&segment(site))]),
                list("services", services),
                list("remote", remote),
            ],
            route_maps: maps,
            as_paths: vec![AsPathList {
                name: "nodes".to_owned(),
                permit: match self.layout {
                    'A' => PathRule::Only(Asn::new(64512)),
                    'B' => PathRule::Empty,
                    _ => PathRule::Single,
                },
            }],
            firewall: Vec::new(),
            masquerade: Vec::new(),
        }
    }

    fn node_set(self) -> RouteSet {
        RouteSet { local_pref: (self.layout == 'B').then_some(100), med: None }
    }

    fn node(self, site: u8, node: u8) -> NodePlan {
        NodePlan {
            name: node_name(site, node),
            site: site_name(site),
            asn: Asn::new(self.node_asn(site, node)),
            addresses: vec![format!("10.{}.0.{}/24", 10 + site, 11 + node)],
            gateways: vec![v4(10, 10 + site, 0, if self.routers == 1 { 1 } else { 254 })],
            peers: Vec::new(),
            labels: vec![("zone".to_owned(), site_name(site))],
            annotations: vec![(
                "projectcalico.org/ASNumber".to_owned(),
                self.node_asn(site, node).to_string(),
            )],
        }
    }

    fn calico(self) -> Vec<Value> {
        let guard = json!([{"source": "RemotePeers", "action": "Reject"}]);
        let mut all =
            vec![json!({"kind": "BGPFilter", "metadata": {"name": "guard"}, "spec": {"exportV4": guard}})];
        for site in 0..self.sites {
            let selector = format!("zone == '{}'", site_name(site));
            all.push(json!({"kind": "IPPool", "metadata": {"name": format!("pods-{site}")},
                "spec": {"cidr": pods(site), "blockSize": 26, "nodeSelector": selector}}));
            all.push(json!({"kind": "IPPool", "metadata": {"name": format!("nodes-{site}")},
                "spec": {"cidr": segment(site), "disabled": true, "disableBGPExport": true, "nodeSelector": "!all()"}}));
            for router in 0..self.routers {
                let filters: &[&str] = if self.guarded { &["guard"] } else { &[] };
                all.push(
                    json!({"kind": "BGPPeer", "metadata": {"name": router_name(site, router)}, "spec": {
                    "peerIP": format!("10.{}.0.{}", 10 + site, 1 + router), "asNumber": site_asn(site),
                    "nodeSelector": selector, "filters": filters}}),
                );
            }
        }
        all.push(json!({"kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": {
            "asNumber": 64512, "nodeToNodeMeshEnabled": false, "serviceClusterIPs": [{"cidr": "10.201.0.0/16"}]}}));
        all
    }
}

fn site_asn(site: u8) -> u32 {
    65001 + u32::from(site)
}

pub(crate) fn site_name(site: u8) -> String {
    format!("s{site}")
}

pub(crate) fn router_name(site: u8, router: u8) -> String {
    format!("r{site}{}", char::from(b'a' + router))
}

pub(crate) fn node_name(site: u8, node: u8) -> String {
    format!("n{site}{node}")
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

pub(crate) fn cidr(text: &str) -> Cidr {
    text.parse().expect(text)
}

fn segment(site: u8) -> String {
    format!("10.{}.0.0/24", 10 + site)
}

fn pods(site: u8) -> String {
    format!("10.200.{}.0/20", 16 * site)
}

fn exactly(net: &str) -> PrefixRule {
    PrefixRule { prefix: cidr(net), ge: None, le: None }
}

fn blocks(site: u8) -> PrefixRule {
    PrefixRule { prefix: cidr(&pods(site)), ge: Some(26), le: Some(32) }
}

pub(crate) fn map(name: &str, rules: Vec<RouteRule>) -> RouteMap {
    RouteMap { name: name.to_owned(), rules }
}

pub(crate) fn rule(list: &str, path: Option<&str>, set: RouteSet) -> RouteRule {
    RouteRule {
        permit: true,
        prefix_list: Some(list.to_owned()),
        as_path: path.map(str::to_owned),
        set,
        description: String::new(),
    }
}

fn session(with: PeerKind, peer: &str, local: IpAddr, address: IpAddr, asn: u32, rank: u8) -> Session {
    let (import, export) = match with {
        PeerKind::Node => ("nodes-in".to_owned(), "nodes-out"),
        PeerKind::Sibling => ("siblings-in".to_owned(), "siblings-out"),
        PeerKind::Router => (format!("routers-in-{rank}"), "routers-out"),
    };
    Session {
        with,
        peer: peer.to_owned(),
        dynamic: false,
        tunnel: None,
        local_address: local,
        peer_address: address,
        peer_asn: Asn::new(asn),
        as_override: false,
        keep_next_hop: false,
        next_hop_self: false,
        route_reflector_client: false,
        password: None,
        keepalive: 3,
        hold: 9,
        bfd_ms: None,
        restart: 0,
        outage: Outage { silent_ms: [6000, 9000], closed_ms: [0, 0] },
        import,
        export: export.to_owned(),
        maximum_prefix: 1000,
    }
}
