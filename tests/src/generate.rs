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
        let (router, line) = if site < 2 {
            ("kind: pfsense, interface: opt1", "wan")
        } else {
            ("kind: linux, bgp: frr, interface: eth1", "wan0")
        };
        let _ = write!(
            out,
            "    - name: {name}\n\
             \x20     network: 10.{id}.0.0/22\n\
             \x20     pod_cidrs: 10.{pods}.0.0/16\n\
             \x20     routers:\n\
             \x20       - {{name: gw-{name}, id: {id}, {router}, asn: {asn}, address: 10.{id}.0.1,\n\
             \x20          uplinks: [{{name: wan, interface: {line}, address: {name}.example.net, rtt_ms: 15}}]}}\n",
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

/// The same, with IPv6 beside IPv4 everywhere.
pub fn dual_stack(nodes: usize, sites: usize) -> String {
    let mut out = String::new();
    for line in inventory(nodes, sites).lines() {
        let both = |key: &str, six: &str| {
            let (head, four) = line.split_once(key).unwrap_or((line, ""));
            let (four, tail) = four.split_at(four.find([',', '}']).unwrap_or(four.len()));
            format!("{head}{key}[{}, \"{six}\"]{tail}", four.trim_matches(['[', ']']))
        };
        // The site's number stands in the second octet of its segment, and in the third part of its IPv6 networks.
        let octets = |key: &str| -> Vec<usize> {
            let rest = line.split_once(key).map_or("", |(_, rest)| rest);
            rest.split(['.', '/', ',', '}']).map_while(|part| part.parse().ok()).collect()
        };
        out += &match line.trim_start().split(' ').next() {
            Some("pod_cidrs:") if line.contains("10.128.0.0/9") => both("pod_cidrs: ", "fd80::/32"),
            Some("pod_cidrs:") => {
                both("pod_cidrs: ", &format!("fd80:0:{:x}::/48", octets("pod_cidrs: ")[1] - 127))
            }
            Some("service_cidrs:") => both("service_cidrs: ", "fd81::/112"),
            Some("load_balancer_cidrs:") => both("load_balancer_cidrs: ", "fd82::/112"),
            Some("tunnels:") => both("network: ", "fd83::/40"),
            Some("network:") => both("network: ", &format!("fd00:0:{:x}::/64", octets("network: ")[1])),
            Some("-") if line.contains(" address: 10.") => {
                let [_, site, high, low] = octets(" address: ")[..] else { unreachable!("four octets") };
                both(" address: ", &format!("fd00:0:{site:x}::{high:x}:{low:x}"))
            }
            _ => line.to_owned(),
        };
        out.push('\n');
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
    fn two_families() {
        let text = dual_stack(3, 2);
        for part in [
            "pod_cidrs: [10.128.0.0/9, \"fd80::/32\"]",
            "network: [10.2.0.0/22, \"fd00:0:2::/64\"]",
            "pod_cidrs: [10.129.0.0/16, \"fd80:0:2::/48\"]",
            "address: [10.1.0.1, \"fd00:0:1::0:1\"],",
            "{name: n0001, site: s001, address: [10.2.0.10, \"fd00:0:2::0:a\"], arch: amd64",
            "tunnels: {network: [172.20.0.0/14, \"fd83::/40\"]}",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_larger_inventory_is_a_smaller_one_grown() {
        let (small, large) = (inventory(7, 3), inventory(9, 3));
        assert!(large.starts_with(&small), "{large}");
        assert_eq!(large.lines().filter(|line| line.contains("roles:")).count(), 9);
    }
}
