//! One change of the network a row, and what must be said about it: layouts, more than one of something, Calico, packet
//! filters. A part of [`super::cases`].

use kmh_doc::network::{Listen, RouteSet, Zone};
use serde_json::json;

use super::Fixture;
use super::cases::{Case, no, warn};

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    // Layouts: what is right in one is wrong in another.
    no("network.as-numbers", "pi", "annotation `projectcalico.org/ASNumber` is 64999, its AS number 64512", |f| f.network.nodes[1].annotations.push(("projectcalico.org/ASNumber".into(), "64999".into()))),
    no("network.as-numbers", "pi", "AS number is 64512, the inventory says 65020", |f| layout(f, "B")),
    no("network.policy", "ra -> cp", "`route_reflector_client`", |f| layout(f, "B")),
    no("network.policy", "ra -> cp", "`next_hop_self`", |f| layout(f, "B")),
    no("network.policy", "ra -> cp", "`as_override`", |f| layout(f, "B")),
    no("network.policy", "ra", "does not set the preference of nodes' routes to 100", |f| layout(f, "B")),
    no("network.policy", "ra", "`nodes-in`, from nodes, stops a block of `a`", |f| layout(f, "B")),
    no("network.policy", "ra", "sets a local preference", |f| f.network.routers[0].route_maps[0].rules[0].set.local_pref = Some(200)),
    no("network.policy", "ra", "sets a MED", |f| f.network.routers[0].route_maps[3].rules[0].set.med = Some(10)),
    no("network.policy", "ra", "have a MED of 30 to 30, it must be 0", |f| f.network.routers[0].route_maps[2].rules.iter_mut().for_each(|rule| rule.set = RouteSet { local_pref: None, med: Some(30) })),
    no("network.policy", "ra", "`nodes-out`, to nodes, lets pass a block of `a`", |f| bgp(f, "direct_routes: false")),
    no("network.policy", "ra -> cp", "`as_override`", |f| bgp(f, "direct_routes: false")),
    no("network.policy", "ra -> cp", "`next_hop_self`", |f| f.network.routers[0].sessions[0].next_hop_self = true),
    no("network.policy", "ra -> cp", "`keep_next_hop`", |f| f.network.routers[0].sessions[0].keep_next_hop = true),

    // Sessions: two routers at a site, passwords, callers.
    no("network.sessions", "ra -> rb", "different passwords", |f| f.network.routers[0].sessions[1].password = Some("keys/bgp/a".into())),
    no("network.sessions", "ra -> rb", "routers of a site speak with each other on their segment", |f| f.network.routers[1].site = "a".into()),
    no("network.sessions", "ra -> cp", "nobody waits for calls from 10.10.0.11", |f| f.network.routers[0].sessions[0].dynamic = true),
    no("network.sessions", "ra -> cp", "it is not what callers from 10.10.0.0/24 get", |f| { callers(f); f.network.routers[0].sessions[0].hold = 30; f.network.routers[0].sessions[0].keepalive = 10; }),
    no("network.sessions", "ra -> cp", "callers from 10.10.0.0/24 are AS 64999", |f| { callers(f); f.network.routers[0].listen[0].peer_asn = Some(kmh_doc::Asn::new(64999)); }),
    no("network.filters", "ra", "`NOWHERE` is used but not defined", |f| { callers(f); f.network.routers[0].listen[0].like.import = "NOWHERE".into(); }),
    no("network.leaks", "ra -> ", "sends to the node every prefix", |f| { callers(f); f.network.routers[0].listen[0].like.peer.clear(); f.network.routers[0].route_maps[1].rules[0].prefix_list = None; }),

    // Tunnels: several lines.
    no("network.tunnels", "ra--rb", "its rank is 1, by the order of the lines in the inventory it must be 0", |f| f.network.tunnels[0].rank = 1),
    no("network.tunnels", "ra--rb", "the lines 2 and 1 it must be 4002", |f| f.inventory = f.inventory.replace("{name: eth0, address: 203.0.113.7}", "{name: eth0, id: 2, address: 203.0.113.7}").replace("10.255.0.0/22", "10.255.0.0/16")),
    no("network.tunnels", "ra--rb", "does not have both of its lines", |f| f.network.tunnels[0].ends[0].uplink = "eth7".into()),
    no("network.tunnels", "ra--rb--9", "the inventory asks for no such tunnel", |f| f.network.tunnels[0].name += "--9"),
    no("network.tunnel-ends", "rb--ra", "does not begin with `ra--rb`", |f| f.network.tunnels[0].name = "rb--ra".into()),
    no("network.mtu", "ra--rb", "its MTU is 1480, and no more than 1446 octets fit", |f| { f.network.tunnels[0].mtu = 1480; f.network.pod_mtu = 1480; }),
    no("network.mtu", "ra--rb", "TCP over IPv6 is told 1380 octets, with headers 1440: 1420 fit", |f| f.network.tunnels[0].mss[1] = 1380),

    // Calico.
    no("network.calico-fields", "BGPPeer ra", "`spec.keepaliveTime`: the field is there from Calico 3.32 on, and this is 3.31", |f| f.network.calico[3]["spec"]["keepaliveTime"] = json!("3s")),
    no("network.calico-fields", "BGPPeer ra", "`spec.filters[0]`: there is no BGPFilter `gard`", |f| f.network.calico[3]["spec"]["filters"] = json!(["gard"])),
    no("network.calico-fields", "BGPPeer ra", "`spec.holdTime`: there is no such field", |f| f.network.calico[3]["spec"]["holdTime"] = json!("9s")),
    no("network.calico-fields", "IPPool pods.a", "`spec.blockSize`: 16 is not from 20 to 32", |f| f.network.calico[0]["spec"]["blockSize"] = json!(16)),
    no("network.calico-fields", "IPPool nodes.a", "others are of another group", |f| f.network.calico[2]["apiVersion"] = json!("projectcalico.org/v3")),
    no("network.pools", "pods.b", "its block size is /24, and routers let blocks of /26 pass", |f| f.network.calico[1]["spec"]["blockSize"] = json!(24)),
    no("network.pools", "pods.a", "its block size is /26, and routers let blocks of /28 pass", |f| f.inventory = f.inventory.replace("  tunnels:", "  calico: {block_size_v4: 28}\n  tunnels:")),
    no("network.policy", "ra", "`nodes-in`, from nodes, lets pass the whole pool of `a`", |f| { f.inventory = f.inventory.replace("  tunnels:", "  calico: {block_size_v4: 28}\n  tunnels:"); f.network.routers[0].prefix_lists[0].permit[0].ge = None; }),
    no("network.pools", "pods.a", "`natOutgoing` is on", routed),
    no("network.pools", "IPPool", "no pool gives out the services' addresses of 10.202.0.0/24", |f| { f.network.calico.pop(); }),
    no("network.pools", "IPPool", "a pool gives out addresses of 10.203.0.0/24", |f| f.network.calico[9]["spec"]["cidr"] = json!("10.203.0.0/24")),
    no("network.calico", "IPAMConfig default", "it is missing", |f| { f.network.calico.remove(8); }),
    no("network.calico", "IPAMConfig default", "`strictAffinity` is not false", |f| f.network.calico[8]["spec"]["strictAffinity"] = json!(true)),
    no("network.calico", "IPAMConfig default", "`autoAllocateBlocks` is not on", |f| f.network.calico[8]["spec"]["autoAllocateBlocks"] = json!(false)),
    no("network.calico", "IPAMConfig default", "`maxBlocksPerHost`", |f| f.network.calico[8]["spec"]["maxBlocksPerHost"] = json!(4)),
    no("network.calico", "ra", "`ra` asks for a password, and it has none", |f| { f.network.calico[3]["spec"].as_object_mut().unwrap().remove("password"); }),
    no("network.calico", "ra", "it has a password, and `ra` asks for none", |f| f.network.routers[0].sessions[0].password = None),
    no("network.calico", "ra", "is not that of its site `a`", |f| f.network.calico[3]["spec"]["password"]["secretKeyRef"]["key"] = json!("b")),
    no("network.calico", "ra", "its `maxRestartTime` is 120s, BIRD's own, the inventory says 30s", |f| { f.network.calico[3]["spec"].as_object_mut().unwrap().remove("maxRestartTime"); }),
    warn("network.calico", "ra", "`numAllowedLocalASNumbers`", |f| f.network.calico[3]["spec"]["numAllowedLocalASNumbers"] = json!(1)),

    // Packet filters: a rule missing, a rule too many, a rule of the wrong kind.
    no("network.firewall", "ra", "stops a node's BGP", |f| f.network.routers[0].firewall.retain(|rule| !(rule.zone == Zone::Nodes && rule.ports == [179]))),
    no("network.firewall", "ra", "stops BFD of a router", |f| f.network.routers[0].firewall.retain(|rule| rule.ports != [3784])),
    no("network.firewall", "ra", "stops IKE: from the Internet, udp from 198.51.100.7", |f| f.network.routers[0].firewall.retain(|rule| rule.protocol != "udp" || rule.zone != Zone::Wan)),
    no("network.firewall", "rb", "stops ESP", |f| f.network.routers[1].firewall.retain(|rule| rule.protocol != "esp")),
    no("network.firewall", "ra", "stops a router's word that a packet was too big", |f| f.network.routers[0].firewall.retain(|rule| rule.protocol != "icmp" || !rule.stateless)),
    no("network.firewall", "ra", "stops a pod's packet to a pod: out of a tunnel", |f| { f.network.routers[0].firewall.pop(); }),
    no("network.firewall", "ra", "stops the middle of a connection of a node's packet to a node", |f| f.network.routers[0].firewall.iter_mut().for_each(|rule| rule.stateless = false)),
    no("network.firewall", "ra", "keeps no connection of a node's packet to the Internet", |f| f.network.routers[0].firewall[5].stateless = true),
    no("network.firewall", "ra", "remembers and forgets at once a node's packet to a node", |f| f.network.routers[0].firewall[5].except.clear()),
    no("network.firewall", "ra", "lets pass a pod's BGP", |f| f.network.routers[0].firewall[2].from.push("10.200.0.0/18".parse().unwrap())),
    no("network.firewall", "ra", "lets pass a node's SSH", |f| f.network.routers[0].firewall[2].ports.push(22)),
    no("network.firewall", "ra", "lets pass a node's packet to the router's pages", |f| f.network.routers[0].firewall[4].except.clear()),
    no("network.firewall", "ra", "lets pass a pod's packet to the Internet", |f| f.network.routers[0].firewall[5].from.push("10.200.0.0/18".parse().unwrap())),
    no("network.firewall", "ra", "stops a pod's packet to the Internet", routed),
    no("network.firewall", "ra", "lets pass a stranger's packet to a node", |f| { let rule = &mut f.network.routers[0].firewall[4]; rule.zone = Zone::Wan; rule.from.clear(); }),
    no("network.firewall", "rb", "lets pass a forged packet to the Internet", |f| f.network.routers[1].firewall[5].from.clear()),
    no("network.firewall", "ra", "lets pass a packet of the cluster to a LAN", |f| lan(f, "[]")),
    no("network.firewall", "ra", "stops a person's packet to a service: from the LAN `desk`", |f| lan(f, "[services]")),
    no("network.masquerade", "ra", "it is not masqueraded", |f| f.network.routers[0].masquerade.clear()),
    no("network.masquerade", "rb", "packets to 10.201.0.0/16 would have the line's address", |f| { f.network.routers[1].masquerade[0].except.remove(1); }),
    no("network.masquerade", "rb", "packets to 10.10.0.0/24 would have the line's address", |f| f.network.routers[1].masquerade[0].except.retain(|net| net.to_string() != "10.10.0.0/24")),
    no("network.masquerade", "ra", "10.200.0.0/18: it is not masqueraded", |f| { routed(f); f.network.routers[0].masquerade[0].from.retain(|net| net.to_string() != "10.200.0.0/18"); }),
    no("network.masquerade", "ra", "it masquerades 10.99.0.0/24, which is not of its site", |f| f.network.routers[0].masquerade[0].from.push("10.99.0.0/24".parse().unwrap())),
];

/// The inventory has another layout; the plan stays.
fn layout(f: &mut Fixture, layout: &str) {
    bgp(f, &format!("layout: {layout}"));
}

fn bgp(f: &mut Fixture, settings: &str) {
    f.inventory = f.inventory.replace("  tunnels:", &format!("  bgp: {{{settings}}}\n  tunnels:"));
}

/// Routers hide pods, and the plan does not know it.
fn routed(f: &mut Fixture) {
    f.inventory = f.inventory.replace("  tunnels:", "  calico: {nat_outgoing: false}\n  tunnels:");
}

/// Site `a` has a segment of people, and the plan does not know it.
fn lan(f: &mut Fixture, reach: &str) {
    let lan = format!(
        "      lans: [{{name: desk, network: 192.168.7.0/24, reach: {reach}}}]\n      pod_cidrs: 10.200.0.0/18\n"
    );
    f.inventory = f.inventory.replace("      pod_cidrs: 10.200.0.0/18\n", &lan);
}

/// Nodes of site `a` call.
fn callers(f: &mut Fixture) {
    let router = &mut f.network.routers[0];
    router.sessions[0].dynamic = true;
    router.listen = vec![Listen {
        range: "10.10.0.0/24".parse().unwrap(),
        peer_asn: Some(router.sessions[0].peer_asn),
        like: router.sessions[0].clone(),
    }];
}
