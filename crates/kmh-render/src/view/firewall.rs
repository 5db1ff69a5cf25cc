//! Views of nftables on Linux routers: what the network document lets through, and nothing else.

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
    /// What passes without a connection.
    untracked: Vec<String>,
    /// Destinations that never leave by a line.
    inside: Vec<String>,
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
    let (mut input, mut forward, mut untracked) = (Vec::new(), Vec::new(), Vec::new());
    for rule in &t.plan.firewall {
        // In a namespace, the charon that answers from the Internet is the host's.
        if rule.zone == Zone::Wan && t.router.netns.is_some() {
            continue;
        }
        let Some(zone) = zone(&rule.zone) else { continue };
        let chain = if rule.to.is_empty() { &mut input } else { &mut forward };
        chain.extend(rules(rule, &zone, "accept")?);
        if rule.stateless {
            untracked.extend(rules(rule, &zone, "notrack")?);
        }
    }
    let clamps = t.tunnels.iter().map(|end| {
        let [v4, v6] = end.tunnel.mss;
        Ok(Clamp { interface: safe::interface(&end.here.interface)?, v4, v6 })
    });
    Ok(View::of(Nft {
        netns: namespace(t),
        ssh_port: t.router.ssh.port.unwrap_or(22),
        wan: interfaces(wan.iter().copied()),
        zones: all.clone(),
        inner: interfaces(inner),
        clamps: clamps.collect::<Result<_, Fault>>()?,
        untracked,
        inside: destinations(&t.plan.unreachable),
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

/// Sources and destinations of what is translated where it leaves to the Internet.
fn masquerade(t: &RouterTarget<'_>) -> Vec<String> {
    let rules = t.plan.masquerade.iter().flat_map(|rule| {
        FAMILIES.into_iter().filter_map(|family| {
            let (from, except) = (family.of(&rule.from), family.of(&rule.except));
            let mut line = (!from.is_empty()).then(|| family.side("saddr", "", &from))?;
            if !except.is_empty() {
                line += &family.side("daddr", "!= ", &except);
            }
            Some(line.trim_start().to_owned())
        })
    });
    rules.collect()
}

/// Destinations, one match a family.
fn destinations(nets: &[Cidr]) -> Vec<String> {
    let of = |family: Family| {
        let nets = family.of(nets);
        (!nets.is_empty()).then(|| family.side("daddr", "", &nets).trim_start().to_owned())
    };
    FAMILIES.into_iter().filter_map(of).collect()
}

/// A family's words.
#[derive(Clone, Copy)]
struct Family {
    keyword: &'static str,
    nfproto: &'static str,
    v6: bool,
}

const FAMILIES: [Family; 2] = [
    Family { keyword: "ip", nfproto: "ipv4", v6: false },
    Family { keyword: "ip6", nfproto: "ipv6", v6: true },
];

impl Family {
    /// The family's networks, joined where they touch: nftables takes no set whose elements overlap.
    fn of(self, nets: &[Cidr]) -> Vec<IpNet> {
        let nets: Vec<IpNet> =
            nets.iter().map(|net| net.net()).filter(|net| self.v6 == net.addr().is_ipv6()).collect();
        IpNet::aggregate(&nets)
    }

    fn side(self, side: &str, sign: &str, nets: &[IpNet]) -> String {
        format!(" {} {side} {sign}{}", self.keyword, set(nets))
    }
}

/// One rule of the document as lines of nftables, one a family where it names networks.
fn rules(rule: &FirewallRule, zone: &str, verdict: &str) -> Result<Vec<String>, Fault> {
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
    let end = format!("{protocol} {verdict} comment \"{}\"", remark(&rule.description));
    if rule.from.is_empty() && rule.to.is_empty() {
        return Ok(vec![format!("{zone}{end}")]);
    }
    let mut lines = Vec::new();
    for family in FAMILIES {
        let (from, to, except) = (family.of(&rule.from), family.of(&rule.to), family.of(&rule.except));
        // Named in one family only: nothing for the other.
        if (from.is_empty() && !rule.from.is_empty()) || (to.is_empty() && !rule.to.is_empty()) {
            continue;
        }
        let mut line = format!("{zone} meta nfproto {}", family.nfproto);
        for (side, nets) in [("saddr", &from), ("daddr", &to)] {
            // Everything is no restriction, and no element of a set beside others.
            if !nets.is_empty() && nets.iter().all(|net| net.prefix_len() > 0) {
                line += &family.side(side, "", nets);
            }
        }
        if !except.is_empty() {
            line += &family.side("daddr", "!= ", &except);
        }
        lines.push(line + &end);
    }
    Ok(lines)
}
