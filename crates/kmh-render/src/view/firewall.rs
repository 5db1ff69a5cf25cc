//! Views of nftables on Linux routers: what the network document lets through, and nothing else.

use std::fmt::Write as _;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::network::{FirewallRule, Zone};
use serde::Serialize;

use crate::fault::Fault;
use crate::safe::{self, remark};
use crate::shared::RouterTarget;
use crate::view::View;
use crate::view::links::{host_uplink, line_interfaces, namespace, node_interface, wan_interfaces};

#[derive(Serialize)]
struct Nft<'a> {
    netns: &'a str,
    ssh_port: u16,
    wan: String,
    zones: String,
    inner: String,
    clamps: Vec<Clamp<'a>>,
    input: Vec<String>,
    forward: Vec<String>,
    masquerade: Vec<String>,
}

#[derive(Serialize)]
struct Clamp<'a> {
    interface: &'a str,
    v4: u16,
    v6: u16,
}

#[derive(Serialize)]
struct HostNft {
    table: String,
    uplink: String,
    wan: String,
    masquerade: Vec<String>,
}

/// A set of interfaces in nftables' words.
fn set<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("{{ {} }}", items.join(", "))
}

fn interfaces<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    set(names.into_iter().map(|name| format!("\"{name}\"")))
}

/// The router's own rules.
pub(crate) fn router(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let nodes = node_interface(t.router)?;
    let wan = wan_interfaces(t.router)?;
    let tunnels =
        t.tunnels.iter().map(|end| safe::interface(&end.here.interface)).collect::<Result<Vec<_>, _>>()?;
    let inner: Vec<&str> = std::iter::once(nodes).chain(tunnels.iter().copied()).collect();
    let all = interfaces(wan.iter().chain(&inner).copied());
    let zone = |zone: &Zone| match zone {
        Zone::Wan => Some(format!("iifname {}", interfaces(wan.iter().copied()))),
        Zone::Nodes => Some(format!("iifname \"{nodes}\"")),
        Zone::Tunnel if tunnels.is_empty() => None,
        Zone::Tunnel => Some(format!("iifname {}", interfaces(tunnels.iter().copied()))),
        // Another segment's interface is not known: anything that is none of ours, told apart by its source.
        Zone::Lan(_) => Some(format!("iifname != {all}")),
    };
    let (mut input, mut forward) = (Vec::new(), Vec::new());
    for rule in &t.plan.firewall {
        // In a namespace, the charon that answers from the Internet is the host's.
        if rule.zone == Zone::Wan && t.router.netns.is_some() {
            continue;
        }
        let Some(zone) = zone(&rule.zone) else { continue };
        let chain = if rule.to.is_empty() { &mut input } else { &mut forward };
        chain.extend(rules(rule, &zone)?);
    }
    let clamps = t.tunnels.iter().map(|end| {
        let mtu = end.tunnel.mtu;
        Ok(Clamp {
            interface: safe::interface(&end.here.interface)?,
            v4: mtu.saturating_sub(40),
            v6: mtu.saturating_sub(60),
        })
    });
    Ok(View::of(Nft {
        netns: namespace(t),
        ssh_port: t.router.ssh.port.unwrap_or(22),
        wan: interfaces(wan.iter().copied()),
        zones: all.clone(),
        inner: interfaces(inner),
        clamps: clamps.collect::<Result<_, Fault>>()?,
        input,
        forward,
        // Once is enough: a namespace's packets are translated by its host.
        masquerade: if t.router.netns.is_some() { Vec::new() } else { masquerade(t) },
    }))
}

/// The rules of the host that carries a namespace.
pub(crate) fn host(t: &RouterTarget<'_>) -> Result<View, Fault> {
    Ok(View::of(HostNft {
        table: format!("kmh_router_{}", t.router.id),
        uplink: host_uplink(t.router),
        wan: interfaces(line_interfaces(t.router)?),
        masquerade: masquerade(t),
    }))
}

/// Sources and destinations of what is translated where it leaves to the Internet: the site's nodes and pods, to
/// anywhere but the cluster. IPv6 only for unique local addresses (RFC 4193), which the Internet does not route.
fn masquerade(t: &RouterTarget<'_>) -> Vec<String> {
    let model = t.shared.model;
    let sources: Vec<IpNet> = t.site.networks.iter().chain(&t.site.pods).copied().collect();
    let nodes = model.sites.values().flat_map(|site| &site.networks);
    let inside: Vec<IpNet> = [&model.pods, &model.services, &model.load_balancers, &model.tunnel_ranges]
        .into_iter()
        .flatten()
        .chain(nodes)
        .copied()
        .collect();
    let local = |net: &&IpNet| match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => net.addr().octets()[0] & 0xfe == 0xfc,
    };
    [("ip", false), ("ip6", true)]
        .into_iter()
        .filter_map(|(keyword, v6)| {
            let of_family = |net: &&IpNet| net.addr().is_ipv6() == v6;
            let mut from: Vec<_> = sources.iter().filter(of_family).filter(local).collect();
            let mut not_to: Vec<_> = inside.iter().filter(of_family).collect();
            from.sort();
            not_to.sort();
            let line = format!("{keyword} saddr {} {keyword} daddr != {}", set(&from), set(&not_to));
            (!from.is_empty()).then_some(line)
        })
        .collect()
}

/// One rule of the document as lines of nftables, one a family where it names networks.
fn rules(rule: &FirewallRule, zone: &str) -> Result<Vec<String>, Fault> {
    let ports = if rule.ports.is_empty() { String::new() } else { format!(" dport {}", set(&rule.ports)) };
    let protocol = match rule.protocol.as_str() {
        name @ ("tcp" | "udp") if !ports.is_empty() => format!(" {name}{ports}"),
        name @ ("tcp" | "udp" | "esp") => format!(" meta l4proto {name}"),
        "icmp" => " meta l4proto { icmp, ipv6-icmp }".to_owned(),
        "any" => String::new(),
        other => {
            return Err(Fault::new(format!(
                "`{}` is no protocol of a packet filter's rule",
                other.escape_debug()
            )));
        }
    };
    let end = format!("{protocol} accept comment \"{}\"", remark(&rule.description));
    if rule.from.is_empty() && rule.to.is_empty() {
        return Ok(vec![format!("{zone}{end}")]);
    }
    let mut lines = Vec::new();
    for (keyword, nfproto, v6) in [("ip", "ipv4", false), ("ip6", "ipv6", true)] {
        let of = |nets: &[Cidr]| nets.iter().copied().filter(|net| net.is_v6() == v6).collect::<Vec<_>>();
        let (from, to, except) = (of(&rule.from), of(&rule.to), of(&rule.except));
        // Named in one family only: nothing for the other.
        if (from.is_empty() && !rule.from.is_empty()) || (to.is_empty() && !rule.to.is_empty()) {
            continue;
        }
        let mut line = format!("{zone} meta nfproto {nfproto}");
        for (side, nets) in [("saddr", &from), ("daddr", &to)] {
            // Everything is no restriction, and no element of a set beside others.
            if !nets.is_empty() && nets.iter().all(|net| net.net().prefix_len() > 0) {
                let _ = write!(line, " {keyword} {side} {}", set(nets));
            }
        }
        if !except.is_empty() {
            let _ = write!(line, " {keyword} daddr != {}", set(&except));
        }
        lines.push(format!("{line}{end}"));
    }
    Ok(lines)
}
