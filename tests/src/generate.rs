//! Inventories of any size: a cluster of N nodes on S sites, with room for both to grow.

use std::fmt::Write as _;

/// How many sites there can be: each has a /16 of pods out of 10.128.0.0/9.
pub const MAX_SITES: usize = 120;

/// An inventory in YAML with that many nodes, spread evenly over that many sites. The first three nodes carry the
/// control plane and etcd; every fifth node is a Raspberry Pi; the first two sites are behind pfSense.
///
/// The n-th site and the n-th node are the same in every size, so that a larger inventory is a smaller one grown.
pub fn inventory(nodes: usize, sites: usize) -> String {
    assert!((1..=MAX_SITES).contains(&sites), "1 to {MAX_SITES} sites");
    assert!(nodes.div_ceil(sites) <= 900, "at most 900 nodes fit a site's /22");
    let mut out = String::from(
        "kind: kmh.inventory/v1\n\
         spec:\n\
         \x20 cluster:\n\
         \x20   name: grown\n\
         \x20   versions: {kubernetes: 1.36.2, etcd: 3.6.8, containerd: 2.1.4, calico: 3.31.2}\n\
         \x20   pod_cidrs: [10.128.0.0/9]\n\
         \x20   service_cidrs: [172.16.0.0/16]\n\
         \x20   load_balancer_cidrs: [172.17.0.0/24]\n\
         \x20   api: {host: k8s.example.net}\n\
         \x20 tunnels: {network: 172.20.0.0/14}\n\
         \x20 sites:\n",
    );
    for site in 0..sites {
        let (id, asn, pods, name) = (site + 1, 65001 + site, 128 + site, site_name(site));
        let router = if site < 2 {
            "kind: pfsense, interface: opt1"
        } else {
            "kind: linux, bgp: frr, interface: eth1"
        };
        let _ = write!(
            out,
            "    - name: {name}\n\
             \x20     network: 10.{id}.0.0/22\n\
             \x20     pod_cidrs: 10.{pods}.0.0/16\n\
             \x20     routers:\n\
             \x20       - {{name: gw-{name}, id: {id}, {router}, asn: {asn}, address: 10.{id}.0.1,\n\
             \x20          uplinks: [{{name: wan, interface: wan0, address: {name}.example.net, rtt_ms: 15}}]}}\n",
        );
    }
    out.push_str("  nodes:\n");
    for node in 0..nodes {
        let (site, host) = (node % sites, node / sites + 10);
        let arch = if node % 5 == 4 { "arm64" } else { "amd64" };
        let roles = if node < 3 { "control-plane, etcd, worker" } else { "worker" };
        let _ = writeln!(
            out,
            "    - {{name: n{node:04}, site: {}, address: 10.{}.{}.{}, arch: {arch}, roles: [{roles}]}}",
            site_name(site),
            site + 1,
            host / 256,
            host % 256,
        );
    }
    out
}

fn site_name(site: usize) -> String {
    format!("s{site:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_inventory_is_a_smaller_one_grown() {
        let (small, large) = (inventory(7, 3), inventory(9, 3));
        assert!(large.starts_with(&small), "{large}");
        assert_eq!(large.lines().filter(|line| line.contains("roles:")).count(), 9);
    }
}
