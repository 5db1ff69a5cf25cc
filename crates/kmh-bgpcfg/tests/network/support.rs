//! What the tests share: inventories, and a small evaluator of prefix lists, route maps and packet filters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::{FirewallRule, NetworkSpec, PeerKind, RouterPlan, Session, Zone};
use kmh_model::{Model, Need};
use kmh_route::filter::{matches_path, matches_prefix};

/// The article's cluster.
pub(crate) fn article() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/article/cluster.yaml"))
        .unwrap()
}

pub(crate) fn model(yaml: &str) -> Model {
    let tree = kmh_doc::tree::parse_yaml(yaml).unwrap_or_else(|problems| panic!("{problems:#?}"));
    kmh_model::load(&tree, &[Need::Asn, Need::Tunnels]).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

pub(crate) fn plan(yaml: &str) -> NetworkSpec {
    kmh_bgpcfg::plan(&model(yaml)).unwrap()
}

pub(crate) fn router<'a>(spec: &'a NetworkSpec, name: &str) -> &'a RouterPlan {
    spec.routers.iter().find(|router| router.name == name).unwrap_or_else(|| panic!("no router {name}"))
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Whether a route map lets a route pass.
pub(crate) fn passes(router: &RouterPlan, map: &str, prefix: IpNet, path: &[u32]) -> bool {
    let map = router.route_maps.iter().find(|m| m.name == map).unwrap_or_else(|| panic!("no map {map}"));
    for rule in &map.rules {
        let by_list = rule.prefix_list.as_ref().is_none_or(|name| {
            let list = router
                .prefix_lists
                .iter()
                .find(|list| list.name == *name)
                .unwrap_or_else(|| panic!("no list {name}"));
            assert!(
                list.permit.iter().all(|rule| rule.prefix.is_v6() == list.v6),
                "families mixed in {name}"
            );
            list.permit.iter().any(|rule| matches_prefix(rule, prefix))
        });
        let by_path = rule.as_path.as_ref().is_none_or(|name| {
            let list = router
                .as_paths
                .iter()
                .find(|list| list.name == *name)
                .unwrap_or_else(|| panic!("no AS paths {name}"));
            matches_path(list.permit, path)
        });
        if by_list && by_path {
            return rule.permit;
        }
    }
    false
}

/// Whether a packet that enters in `zone` may go on; `to` is `None` for the router itself.
pub(crate) fn lets_in(
    router: &RouterPlan,
    zone: &Zone,
    protocol: &str,
    from: &str,
    to: Option<&str>,
    port: Option<u16>,
) -> bool {
    let (from, to): (IpAddr, Option<IpAddr>) = (from.parse().unwrap(), to.map(|to| to.parse().unwrap()));
    router.firewall.iter().any(|rule: &FirewallRule| {
        rule.zone == *zone
            && (rule.protocol == "any" || rule.protocol == protocol)
            && (rule.from.is_empty() || rule.from.iter().any(|net| net.net().contains(&from)))
            && match to {
                None => rule.to.is_empty(),
                Some(to) => {
                    rule.to.iter().any(|net| net.net().contains(&to))
                        && !rule.except.iter().any(|net| net.net().contains(&to))
                }
            }
            && (rule.ports.is_empty() || port.is_some_and(|port| rule.ports.contains(&port)))
    })
}

/// A route in a router's table: its AS path, and the neighbour that told it.
pub(crate) type Table = BTreeMap<IpNet, BTreeSet<Vec<u32>>>;

/// Every router's routes when all has settled: originated, and told by nodes, by the site's other router, and by routers
/// over tunnels. What is in `cut` is down: tunnels and routers. Each node announces `blocks(node)`, with its own AS as
/// the whole path (none at all inside its router's AS). All paths are kept, not only the best: what is absent here is
/// absent in life.
pub(crate) fn settle(
    spec: &NetworkSpec,
    blocks: &BTreeMap<String, Vec<IpNet>>,
    cut: &BTreeSet<String>,
) -> BTreeMap<String, Table> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for router in spec.routers.iter().filter(|router| !cut.contains(&router.name)) {
        let table = tables.entry(router.name.clone()).or_default();
        for net in &router.originate {
            table.entry(net.net()).or_default().insert(Vec::new());
        }
        for session in router.sessions.iter().filter(|session| session.with == PeerKind::Node) {
            for block in
                blocks.get(&session.peer).into_iter().flatten().filter(|block| same_family(session, **block))
            {
                let path: Vec<u32> =
                    [session.peer_asn.get()].into_iter().filter(|asn| *asn != router.asn.get()).collect();
                if passes(router, &session.import, *block, &path) {
                    table.entry(*block).or_default().insert(path);
                }
            }
        }
    }
    loop {
        let mut news = Vec::new();
        for router in spec.routers.iter().filter(|router| !cut.contains(&router.name)) {
            let lives = |session: &&Session| {
                session.with != PeerKind::Node
                    && !cut.contains(&session.peer)
                    && !session.tunnel.as_ref().is_some_and(|tunnel| cut.contains(tunnel))
            };
            for session in router.sessions.iter().filter(lives) {
                let peer = spec.routers.iter().find(|peer| peer.name == session.peer).unwrap();
                let back = peer.sessions.iter().find(|s| s.peer_address == session.local_address).unwrap();
                for (prefix, paths) in &tables[&peer.name] {
                    for path in paths.iter().filter(|_| same_family(session, *prefix)) {
                        if !passes(peer, &back.export, *prefix, path) {
                            continue;
                        }
                        let told: Vec<u32> = [peer.asn.get()]
                            .into_iter()
                            .filter(|asn| *asn != router.asn.get())
                            .chain(path.iter().copied())
                            .collect();
                        // RFC 4271, 9.1.2: a path with the own AS in it is a loop.
                        if !told.contains(&router.asn.get())
                            && passes(router, &session.import, *prefix, &told)
                        {
                            news.push((router.name.clone(), *prefix, told));
                        }
                    }
                }
            }
        }
        let mut changed = false;
        for (router, prefix, path) in news {
            changed |= tables.get_mut(&router).unwrap().entry(prefix).or_default().insert(path);
        }
        if !changed {
            return tables;
        }
    }
}

/// A block for each node and family, the services from each.
pub(crate) fn announced(spec: &NetworkSpec) -> BTreeMap<String, Vec<IpNet>> {
    let services: Vec<IpNet> = spec.routers[0]
        .unreachable
        .iter()
        .map(|net| net.net())
        .filter(|net| net.to_string().contains("201"))
        .collect();
    let mut blocks: BTreeMap<String, Vec<IpNet>> = BTreeMap::new();
    for (number, node) in spec.nodes.iter().enumerate() {
        let pools = spec.calico.iter().filter(|r| {
            r["kind"] == "IPPool"
                && r["metadata"]["name"].as_str().unwrap().starts_with(&format!("pods.{}.", node.site))
        });
        for pool in pools {
            let pool: IpNet = pool["spec"]["cidr"].as_str().unwrap().parse().unwrap();
            let own = pool.subnets(pool.max_prefix_len() - 6).unwrap().nth(number * 2 + 1).unwrap();
            blocks.entry(node.name.clone()).or_default().push(own);
        }
        blocks.entry(node.name.clone()).or_default().extend(&services);
    }
    blocks
}

fn same_family(session: &Session, prefix: IpNet) -> bool {
    session.peer_address.is_ipv6() == matches!(prefix, IpNet::V6(_))
}

/// A dual-stack or IPv6-only cluster of two sites.
pub(crate) fn cluster(v4: bool, v6: bool) -> String {
    let pick = |four: &str, six: &str| match (v4, v6) {
        (true, true) => format!("[{four}, \"{six}\"]"),
        (true, false) => four.to_owned(),
        _ => format!("\"{six}\""),
    };
    format!(
        "kind: kmh.inventory/v1
spec:
  cluster:
    name: two
    pod_cidrs: {}
    service_cidrs: {}
    load_balancer_cidrs: {}
  tunnels: {{network: {}}}
  sites:
    - name: east
      network: {}
      pod_cidrs: {}
      lans: [{{name: desk, network: {}, reach: [pods]}}]
      routers: [{{name: r-east, id: 1, kind: linux, bgp: frr, asn: 65001, address: {}, interface: eth1,
                 uplinks: [{{name: eth0, address: east.example.net, dynamic: true}}]}}]
    - name: west
      network: {}
      pod_cidrs: {}
      routers: [{{name: r-west, id: 2, kind: linux, bgp: frr, asn: 65002, address: {}, interface: eth1,
                 uplinks: [{{name: eth0, address: 198.51.100.9}}]}}]
  nodes:
    - {{name: e1, site: east, address: {}, roles: [control-plane, etcd]}}
    - {{name: e2, site: east, address: {}}}
    - {{name: w1, site: west, address: {}}}
",
        pick("10.200.0.0/16", "fd00:200::/48"),
        pick("10.201.0.0/16", "fd00:201::/112"),
        pick("10.202.0.0/24", "fd00:202::/112"),
        pick("10.255.0.0/24", "fd00:255::/48"),
        pick("10.1.0.0/24", "fd00:1::/64"),
        pick("10.200.0.0/18", "fd00:200::/56"),
        pick("192.168.1.0/24", "fd00:99::/64"),
        pick("10.1.0.1", "fd00:1::1"),
        pick("10.2.0.0/24", "fd00:2::/64"),
        pick("10.200.64.0/18", "fd00:200:0:100::/56"),
        pick("10.2.0.1", "fd00:2::1"),
        pick("10.1.0.11", "fd00:1::11"),
        pick("10.1.0.12", "fd00:1::12"),
        pick("10.2.0.11", "fd00:2::11"),
    )
}

/// The article's vps with two routers of one AS.
pub(crate) fn two_routers() -> String {
    article().replace("    - name: vps\n", "    - name: vps\n      gateway: 10.30.0.254\n").replace(
        "uplinks: [{name: eth0, address: 203.0.113.7}]\n",
        "uplinks: [{name: eth0, address: 203.0.113.7}]\n        \
         - {name: gw-vps2, id: 4, kind: linux, bgp: frr, asn: 65030, address: 10.30.0.2, interface: eth1, uplinks: [{name: eth0, address: 203.0.113.8}]}\n",
    )
}

/// The article's attic with a second line, which comes second.
pub(crate) fn two_lines() -> String {
    article().replace("10.255.0.0/22", "10.255.0.0/18").replace(
        "rtt_ms: 15, rate: 40mbit}\n",
        "rtt_ms: 15, rate: 40mbit}\n            - {name: lte, interface: opt9, nat: carrier}\n",
    )
}

/// In another layout, with what that needs.
pub(crate) fn laid_out(yaml: &str, layout: &str) -> String {
    let mut yaml = yaml.replace("{layout: A}", &format!("{{layout: {layout}}}"));
    if !yaml.contains("layout:") {
        yaml = yaml.replacen("  sites:\n", &format!("  bgp: {{layout: {layout}}}\n  sites:\n"), 1);
    }
    if layout == "D" {
        let mut asn = 64700;
        let lines = yaml.lines().map(|line| {
            if !line.starts_with("    - {name: ") || !line.contains("site: ") {
                return line.to_owned();
            }
            asn += 1;
            line.replacen("site: ", &format!("asn: {asn}, site: "), 1)
        });
        yaml = lines.map(|line| line + "\n").collect();
    }
    yaml
}

/// The smallest inventory that has a network.
pub(crate) const MINIMAL: &str = "kind: kmh.inventory/v1
spec:
  cluster: {name: one, pod_cidrs: 10.200.0.0/16, service_cidrs: 10.201.0.0/16}
  sites:
    - name: home
      network: 10.10.0.0/24
      pod_cidrs: 10.200.0.0/18
      routers: [{name: gw, id: 1, kind: linux, asn: 65010, address: 10.10.0.1}]
  nodes: [{name: n1, site: home, address: 10.10.0.11}]
";
