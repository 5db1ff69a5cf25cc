//! Ranges: one of a family, nothing reserved, none inside another where they must be apart, large enough.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use kmh_doc::inventory::Inventory;
use kmh_doc::{Cidr, Code, Label, OneOrMany, Problem};

use crate::address::{family, is_v6};
use crate::calico;
use crate::report::Report;

/// What the cluster routes. An address in front of a router may lie in a segment of people, but not in these.
pub(crate) const ROUTED: &[Use] = &[Use::Nodes, Use::Pods, Use::Services, Use::LoadBalancers, Use::Tunnels];

/// What a range is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Pods,
    /// A site's part of the pods.
    Pool,
    Services,
    LoadBalancers,
    Tunnels,
    Nodes,
    /// A segment of people, and the site beyond which nobody knows it: it may reach nothing.
    Lan {
        closed_at: Option<usize>,
    },
}

/// A range of the inventory.
pub(crate) struct Range {
    pub(crate) net: IpNet,
    pub(crate) purpose: Use,
    /// What it is, for messages: `node network of attic`.
    pub(crate) what: String,
    pub(crate) path: String,
}

/// Ranges that no cluster can use: what their addresses are, and who says so.
const RESERVED: &[(&str, &str, &str)] = &[
    ("0.0.0.0/8", "unspecified", "RFC 791"),
    ("127.0.0.0/8", "loopback", "RFC 1122"),
    ("169.254.0.0/16", "link-local", "RFC 3927"),
    ("224.0.0.0/4", "multicast", "RFC 5771"),
    ("240.0.0.0/4", "reserved", "RFC 1112"),
    ("::/128", "unspecified", "RFC 4291"),
    ("::1/128", "loopback", "RFC 4291"),
    ("::ffff:0:0/96", "IPv4-mapped", "RFC 4291"),
    ("fe80::/10", "link-local", "RFC 4291"),
    ("ff00::/8", "multicast", "RFC 4291"),
];

/// Which reserved addresses the network holds: what they are, and who says so.
pub(crate) fn reserved(net: IpNet) -> Option<(&'static str, &'static str)> {
    RESERVED
        .iter()
        .find(|(range, _, _)| range.parse::<IpNet>().is_ok_and(|range| meet(range, net)))
        .map(|(_, what, source)| (*what, *source))
}

/// The range of one of these uses that holds the address: what it is, and its path.
pub(crate) fn holding(ranges: &[Range], address: std::net::IpAddr, uses: &[Use]) -> Option<(String, String)> {
    let range = ranges.iter().find(|range| uses.contains(&range.purpose) && range.net.contains(&address))?;
    Some((range.what.clone(), range.path.clone()))
}

/// Two networks share addresses exactly when one holds the other.
fn meet(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let ranges = all(inventory, report);
    twice(&ranges, report);
    for range in &ranges {
        if let Some((what, source)) = reserved(range.net) {
            report.error(
                Code::ReservedRange,
                &range.path,
                format!("`{}`, the {}, holds {what} addresses ({source})", range.net, range.what),
            );
        }
    }
    let (pools, others): (Vec<&Range>, Vec<&Range>) =
        ranges.iter().partition(|range| range.purpose == Use::Pool);
    apart(&pools, report);
    apart(&others, report);
    pools_in_pods(inventory, &pools, report);
    pool_sizes(inventory, report);
    services(inventory, report);
    families(inventory, report);
    without_services(inventory, &ranges, report);
}

/// Every range that is written.
pub(crate) fn all(inventory: &Inventory, report: &Report<'_>) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut add = |cidrs: &OneOrMany<Cidr>, what: &str, path: &str, purpose: Use| {
        ranges.extend(cidrs.iter().enumerate().map(|(i, cidr)| Range {
            net: cidr.net(),
            purpose,
            what: what.to_owned(),
            path: report.item(path, i),
        }));
    };
    let cluster = &inventory.cluster;
    add(&cluster.pod_cidrs, "pod range", "spec.cluster.pod_cidrs", Use::Pods);
    add(&cluster.service_cidrs, "service range", "spec.cluster.service_cidrs", Use::Services);
    add(
        &cluster.load_balancer_cidrs,
        "load-balancer range",
        "spec.cluster.load_balancer_cidrs",
        Use::LoadBalancers,
    );
    if let Some(tunnels) = &inventory.tunnels {
        add(&tunnels.network, "tunnel range", "spec.tunnels.network", Use::Tunnels);
    }
    for (s, site) in inventory.sites.iter().enumerate() {
        add(
            &site.network,
            &format!("node network of `{}`", site.name),
            &format!("spec.sites[{s}].network"),
            Use::Nodes,
        );
        add(
            &site.pod_cidrs,
            &format!("pod pool of `{}`", site.name),
            &format!("spec.sites[{s}].pod_cidrs"),
            Use::Pool,
        );
        for (l, lan) in site.lans.iter().enumerate() {
            add(
                &lan.network,
                &format!("LAN `{}` of `{}`", lan.name, site.name),
                &format!("spec.sites[{s}].lans[{l}].network"),
                Use::Lan { closed_at: lan.reach.is_empty().then_some(s) },
            );
        }
    }
    ranges
}

/// Whether two ranges are known at different sites only: the people at two homes may well have the same network.
fn never_meet(a: &Range, b: &Range) -> bool {
    matches!((a.purpose, b.purpose), (Use::Lan { closed_at: Some(a) }, Use::Lan { closed_at: Some(b) }) if a != b)
}

/// The list that a range stands in, or its own place.
fn list(range: &Range) -> &str {
    range.path.strip_suffix(']').and_then(|path| path.rsplit_once('[')).map_or(&*range.path, |(list, _)| list)
}

fn twice(ranges: &[Range], report: &mut Report<'_>) {
    for (n, range) in ranges.iter().enumerate() {
        let v6 = is_v6(&range.net);
        let mut before = ranges.iter().take(n).rev().take_while(|other| list(other) == list(range));
        if before.any(|other| is_v6(&other.net) == v6) {
            let message = format!("the {} has two networks of {}", range.what, family(v6));
            report.add(
                Problem::error(Code::FamilyTwice, &range.path, message)
                    .hint("name at most one of each family"),
            );
        }
    }
}

/// Each against each. In the order of their first addresses, those that hold the next one lie on a stack.
fn apart(ranges: &[&Range], report: &mut Report<'_>) {
    let mut sorted: Vec<(usize, &Range)> = ranges.iter().copied().enumerate().collect();
    sorted.sort_by_key(|(n, range)| (is_v6(&range.net), range.net.network(), range.net.prefix_len(), *n));
    let mut open: Vec<(usize, &Range)> = Vec::new();
    for (n, range) in sorted {
        open.retain(|(_, outer)| outer.net.contains(&range.net));
        for (m, outer) in open.iter().filter(|(_, outer)| !never_meet(outer, range)) {
            // Said at the place that was written later.
            let (first, second) = if *m < n { (*outer, range) } else { (range, *outer) };
            let cause = format!("the {} is `{}` ({})", first.what, first.net, report.place(&first.path));
            let problem = Problem::error(
                Code::Overlap,
                &second.path,
                format!("`{}`, the {}, overlaps the {}", second.net, second.what, first.what),
            )
            .because(cause);
            let lans = matches!((first.purpose, second.purpose), (Use::Lan { .. }, Use::Lan { .. }));
            let site = |range: &Range| range.path.split(".lans").next().map(str::to_owned);
            report.add(if lans && site(first) != site(second) {
                problem.hint("every site must find the way back to a segment that may reach the cluster: renumber one, or leave out `reach`")
            } else {
                problem
            });
        }
        open.push((n, range));
    }
}

fn pools_in_pods(inventory: &Inventory, pools: &[&Range], report: &mut Report<'_>) {
    for pool in pools {
        let range = inventory.cluster.pod_cidrs.iter().find(|cidr| cidr.is_v6() == is_v6(&pool.net));
        let Some(range) = range else { continue };
        if !range.net().contains(&pool.net) {
            report.add(
                Problem::error(
                    Code::OutsidePods,
                    &pool.path,
                    format!("`{}`, the {}, lies outside the cluster's pod range", pool.net, pool.what),
                )
                .because(format!("the pod range is `{range}` ({})", report.place("spec.cluster.pod_cidrs"))),
            );
        }
    }
}

fn pool_sizes(inventory: &Inventory, report: &mut Report<'_>) {
    let mut counts: BTreeMap<&Label, usize> = BTreeMap::new();
    for node in &inventory.nodes {
        *counts.entry(&node.site).or_default() += 1;
    }
    for (s, site) in inventory.sites.iter().enumerate() {
        let nodes = counts.get(&site.name).copied().unwrap_or(0);
        for (i, cidr) in site.pod_cidrs.iter().enumerate() {
            let (net, block) = (cidr.net(), calico::block(&inventory.calico, cidr.is_v6()));
            let blocks = block
                .checked_sub(net.prefix_len())
                .map_or(0, |bits| 1_usize.checked_shl(u32::from(bits)).unwrap_or(usize::MAX));
            if blocks < nodes.max(1) {
                let bits = usize::BITS - nodes.max(1).saturating_sub(1).leading_zeros();
                let prefix = u32::from(block).saturating_sub(bits);
                let path = report.item(&format!("spec.sites[{s}].pod_cidrs"), i);
                report.add(
                    Problem::error(Code::PoolTooSmall, path, format!("`{net}`, the pod pool of `{}`, is too small", site.name))
                        .because(format!("every node needs a block of /{block}: {blocks} fit in, and the site has {nodes} node{}", if nodes == 1 { "" } else { "s" }))
                        .hint(format!("give it a /{prefix} or a larger one")),
                );
            }
        }
    }
}

/// The rule of kube-apiserver: at most 2^20 addresses, because they were kept in one object of etcd. Since 1.34
/// (`DisableAllocatorDualWrite` on by default) each has its own, and only IPv6 has a limit: /64.
fn services(inventory: &Inventory, report: &mut Report<'_>) {
    let minor = inventory.cluster.versions.kubernetes.as_ref().map(kmh_doc::Version::major_minor);
    for (i, cidr) in inventory.cluster.service_cidrs.iter().enumerate() {
        let net = cidr.net();
        let shortest = match (cidr.is_v6(), minor.is_some_and(|version| version < (1, 34))) {
            (false, true) => 12,
            (false, false) => 0,
            (true, true) => 108,
            (true, false) => 64,
        };
        // The tenth address is the cluster's DNS.
        let longest = if cidr.is_v6() { 124 } else { 28 };
        let path = report.item("spec.cluster.service_cidrs", i);
        if net.prefix_len() < shortest {
            let version = inventory
                .cluster
                .versions
                .kubernetes
                .as_ref()
                .map_or_else(|| "Kubernetes".to_owned(), |version| format!("Kubernetes {version}"));
            report.add(
                Problem::error(
                    Code::ServiceRange,
                    path,
                    format!("the service range `{net}` is larger than Kubernetes takes"),
                )
                .because(format!(
                    "{version} takes a prefix of at least {shortest} in {}",
                    family(cidr.is_v6())
                ))
                .hint(format!("take a /{}", shortest.max(if cidr.is_v6() { 108 } else { 16 }))),
            );
        } else if net.prefix_len() > longest {
            report.add(
                Problem::error(Code::ServiceRange, path, format!("the service range `{net}` is too small"))
                    .because("its first address is the API server's, and its tenth the DNS service's")
                    .hint(format!("take a /{longest} or a larger one")),
            );
        }
    }
}

/// The families of the service ranges are the cluster's: whatever carries traffic needs each of them.
fn families(inventory: &Inventory, report: &mut Report<'_>) {
    let mut wanted: Vec<bool> = inventory.cluster.service_cidrs.iter().map(|cidr| cidr.is_v6()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut needs = |have: &[bool], what: &str, path: &str| {
        for v6 in wanted.iter().filter(|v6| !have.contains(v6)) {
            report.add(
                Problem::error(Code::FamilyMissing, path, format!("{what} has nothing of {}", family(*v6)))
                    .because(format!(
                        "the cluster has a service range of {}, so everything needs addresses of it",
                        family(*v6)
                    )),
            );
        }
    };
    let nets = |cidrs: &OneOrMany<Cidr>| -> Vec<bool> { cidrs.iter().copied().map(Cidr::is_v6).collect() };
    let ips = |list: &OneOrMany<std::net::IpAddr>| -> Vec<bool> {
        list.iter().map(std::net::IpAddr::is_ipv6).collect()
    };
    needs(&nets(&inventory.cluster.pod_cidrs), "the pod range", "spec.cluster.pod_cidrs");
    needs(&nets(&inventory.cluster.service_cidrs), "the service range", "spec.cluster.service_cidrs");
    if let Some(tunnels) = &inventory.tunnels {
        needs(&nets(&tunnels.network), "the tunnel range", "spec.tunnels.network");
    }
    for (s, site) in inventory.sites.iter().enumerate() {
        needs(
            &nets(&site.network),
            &format!("the node network of `{}`", site.name),
            &format!("spec.sites[{s}].network"),
        );
        needs(
            &nets(&site.pod_cidrs),
            &format!("the pod pool of `{}`", site.name),
            &format!("spec.sites[{s}].pod_cidrs"),
        );
        if !site.gateway.is_empty() {
            needs(
                &ips(&site.gateway),
                &format!("the gateway of `{}`", site.name),
                &format!("spec.sites[{s}].gateway"),
            );
        }
        for (r, router) in site.routers.iter().enumerate() {
            needs(
                &ips(&router.address),
                &format!("router `{}`", router.name),
                &format!("spec.sites[{s}].routers[{r}].address"),
            );
        }
    }
    for (n, node) in inventory.nodes.iter().enumerate() {
        needs(&ips(&node.address), &format!("node `{}`", node.name), &format!("spec.nodes[{n}].address"));
    }
    for (cidrs, what, path) in [
        (&inventory.cluster.pod_cidrs, "pod range", "spec.cluster.pod_cidrs"),
        (&inventory.cluster.service_cidrs, "service range", "spec.cluster.service_cidrs"),
    ] {
        if cidrs.is_empty() {
            report.error(Code::MissingKey, path, format!("the {what} is an empty list"));
        }
    }
}

/// Pods and load balancers of a family of which there are no services serve nobody.
fn without_services(inventory: &Inventory, ranges: &[Range], report: &mut Report<'_>) {
    if inventory.cluster.service_cidrs.is_empty() {
        return;
    }
    for v6 in [false, true] {
        if inventory.cluster.service_cidrs.iter().any(|cidr| cidr.is_v6() == v6) {
            continue;
        }
        let served = [Use::Pods, Use::Pool, Use::LoadBalancers];
        if let Some(range) =
            ranges.iter().find(|range| is_v6(&range.net) == v6 && served.contains(&range.purpose))
        {
            let cause = format!("the {} is `{}` ({})", range.what, range.net, report.place(&range.path));
            report.add(
                Problem::error(
                    Code::FamilyMissing,
                    "spec.cluster.service_cidrs",
                    format!("the service range has nothing of {}", family(v6)),
                )
                .because(cause)
                .hint("name a service range of each family that pods and load balancers have"),
            );
        }
    }
}

/// First and last address that no machine may have: in IPv4 both, in IPv6 the first (RFC 4291, 2.6.1).
pub(crate) fn unusable(net: IpNet, address: std::net::IpAddr) -> Option<&'static str> {
    match net {
        IpNet::V4(net) => unusable_v4(net, address),
        IpNet::V6(net) => unusable_v6(net, address),
    }
}

fn unusable_v4(net: Ipv4Net, address: std::net::IpAddr) -> Option<&'static str> {
    if net.prefix_len() >= 31 {
        return None; // RFC 3021
    }
    if address == net.network() {
        Some("network address")
    } else if address == net.broadcast() {
        Some("broadcast address")
    } else {
        None
    }
}

fn unusable_v6(net: Ipv6Net, address: std::net::IpAddr) -> Option<&'static str> {
    (net.prefix_len() < 127 && address == net.network()).then_some("address of all routers")
}
