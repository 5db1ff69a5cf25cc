//! What a router's packet filter must let through, by the zone in which a packet enters. Replies belong to the
//! connection that a rule let in and need no rule of their own.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::inventory::{Nat, Reach};
use kmh_doc::network::{FirewallRule, Tunnel, Zone};
use kmh_model::{Model, Router, Site};

use crate::ranges::{Family, cidrs, families, reaching_lans};
use crate::tunnels::{is_translated, line};

/// IKE (RFC 7296) and its form behind NAT (RFC 3948); BGP (RFC 4271); BFD over one hop (RFC 5881); DNS.
const IKE: [u16; 2] = [500, 4500];
const BGP: u16 = 179;
const BFD: u16 = 3784;
const DNS: u16 = 53;

/// All rules of a router, sorted.
pub(crate) fn firewall(model: &Model, site: &Site, router: &Router, tunnels: &[Tunnel]) -> Vec<FirewallRule> {
    let mut rules = Vec::new();
    wan(model, router, &mut rules);
    nodes(model, site, &mut rules);
    let own: Vec<&Tunnel> = tunnels
        .iter()
        .filter(|tunnel| tunnel.ends.iter().any(|end| end.router == router.name.as_str()))
        .collect();
    if !own.is_empty() {
        tunnel(model, site, &own, &mut rules);
    }
    for lan in &site.lans {
        rules.extend(lan.reach.iter().map(|reach| FirewallRule {
            zone: Zone::Lan(lan.name.to_string()),
            from: cidrs(lan.network.iter().map(|net| net.net())),
            to: reached(model, *reach),
            ..rule("any", reach_reason(*reach))
        }));
    }
    rules.sort();
    rules.dedup();
    rules
}

/// A rule to fill in: from anywhere to the router itself.
fn rule(protocol: &str, description: &str) -> FirewallRule {
    FirewallRule {
        zone: Zone::Wan,
        protocol: protocol.to_owned(),
        from: Vec::new(),
        to: Vec::new(),
        except: Vec::new(),
        stateless: false,
        ports: Vec::new(),
        description: description.to_owned(),
    }
}

/// Tunnels: from the peers when all of them have fixed addresses, else from anywhere.
fn wan(model: &Model, router: &Router, rules: &mut Vec<FirewallRule>) {
    let (mut from, mut open, mut ike, mut esp) = (Vec::new(), false, false, false);
    for tunnel in &model.tunnels {
        let Some(ours) = tunnel.ends.iter().position(|end| end.router == router.name) else { continue };
        let (Ok((_, here)), Ok((_, there))) =
            (line(model, &tunnel.ends[ours]), line(model, &tunnel.ends[1 - ours]))
        else {
            continue;
        };
        if here.nat == Nat::Carrier {
            continue; // nothing comes in unasked
        }
        ike = true;
        esp |= !is_translated(here, there);
        match there.address.as_ref().and_then(kmh_doc::HostName::ip) {
            Some(ip) if !there.dynamic && there.nat == Nat::None => from.push(IpNet::from(ip)),
            _ => open = true,
        }
    }
    let from = if open { Vec::new() } else { cidrs(from) };
    if ike {
        rules.push(FirewallRule {
            from: from.clone(),
            ports: IKE.to_vec(),
            ..rule("udp", "IKE, and ESP inside UDP")
        });
    }
    if esp {
        rules.push(FirewallRule { from, ..rule("esp", "tunnels without NAT between") });
    }
}

fn nodes(model: &Model, site: &Site, rules: &mut Vec<FirewallRule>) {
    let segment = cidrs(site.networks.iter().copied());
    let everyone = cidrs(site.networks.iter().chain(&site.pods).copied());
    let here =
        |protocol: &str, description: &str| FirewallRule { zone: Zone::Nodes, ..rule(protocol, description) };
    rules.push(FirewallRule { from: segment.clone(), ports: vec![BGP], ..here("tcp", "BGP with the nodes") });
    // From anywhere, because IPv6 neighbour discovery comes from link-local addresses and from none (RFC 4861, 4862).
    rules.push(here("icmp", "ping, neighbour discovery, packet too big"));
    let is_resolver =
        |router: &Router| router.addresses.iter().any(|address| site.resolvers.contains(address));
    if model.routers_of(site.name.as_str()).any(is_resolver)
        || site.gateways.iter().any(|gateway| site.resolvers.contains(gateway))
    {
        // CoreDNS asks too, with a pod's address: the node segment is a pool of Calico's.
        for protocol in ["tcp", "udp"] {
            rules.push(FirewallRule {
                from: everyone.clone(),
                ports: vec![DNS],
                ..here(protocol, "the nodes' name server")
            });
        }
    }
    let aside: Vec<IpNet> =
        site.resolvers.iter().copied().filter(|ip| on_lan(site, *ip)).map(IpNet::from).collect();
    if !aside.is_empty() {
        for protocol in ["tcp", "udp"] {
            rules.push(FirewallRule {
                from: everyone.clone(),
                to: cidrs(aside.iter().copied()),
                ports: vec![DNS],
                ..here(protocol, "the nodes' name server on another segment")
            });
        }
    }
    rules.push(FirewallRule {
        from: everyone,
        to: cluster(model),
        except: cidrs(itself(model, site)),
        ..here("any", "nodes and pods to nodes, pods and services of every site")
    });
    // Pods leave the cluster with their node's address. Segments of people are no part of the Internet.
    let lans = site.lans.iter().flat_map(|lan| lan.network.iter().map(|net| net.net()));
    let lans = lans.chain(model.sites.values().flat_map(reaching_lans));
    rules.push(FirewallRule {
        from: segment,
        to: families(model).into_iter().map(Family::anywhere).collect(),
        except: cidrs(lans.chain(model.tunnel_ranges.iter().copied()).chain(itself(model, site))),
        ..here("any", "nodes to the Internet")
    });
}

fn tunnel(model: &Model, site: &Site, own: &[&Tunnel], rules: &mut Vec<FirewallRule>) {
    let here = |protocol: &str, description: &str| FirewallRule {
        zone: Zone::Tunnel,
        ..rule(protocol, description)
    };
    let ends = cidrs(own.iter().flat_map(|tunnel| tunnel.networks.iter().map(|net| net.net())));
    rules.push(FirewallRule { from: ends.clone(), ports: vec![BGP], ..here("tcp", "BGP between routers") });
    rules.push(FirewallRule { from: ends, ports: vec![BFD], ..here("udp", "BFD between routers") });
    rules.push(here("icmp", "ping, neighbour discovery, packet too big"));
    // Services are a source too: after a cut, a router in between meets connections that it did not see begin.
    let remote = model.sites.values().filter(|other| other.name != site.name);
    let sources = remote.clone().flat_map(|other| other.networks.iter().chain(&other.pods)).copied();
    rules.push(FirewallRule {
        from: cidrs(sources.chain(model.services.iter().chain(&model.load_balancers).copied())),
        to: cluster(model),
        except: cidrs(itself(model, site)),
        ..here("any", "nodes and pods of other sites to those of every site")
    });
    for other in remote {
        for lan in &other.lans {
            rules.extend(lan.reach.iter().map(|reach| FirewallRule {
                from: cidrs(lan.network.iter().map(|net| net.net())),
                to: reached(model, *reach),
                ..here("any", reach_reason(*reach))
            }));
        }
    }
}

/// Whether an address lies on a segment beside the nodes'.
pub(crate) fn on_lan(site: &Site, address: IpAddr) -> bool {
    site.lans.iter().flat_map(|lan| lan.network.iter()).any(|net| net.net().contains(&address))
}

/// The addresses of the site's routers on the node segment. A rule to the segment does not mean them: pf has one list
/// for what goes through a firewall and what goes to it, and would open its pages and its sshd.
fn itself<'a>(model: &'a Model, site: &'a Site) -> impl Iterator<Item = IpNet> + 'a {
    let routers = model.routers_of(site.name.as_str()).flat_map(|router| &router.addresses);
    routers.chain(&site.gateways).copied().map(IpNet::from)
}

/// Nodes, pods and services.
fn cluster(model: &Model) -> Vec<Cidr> {
    let nodes = model.sites.values().flat_map(|site| &site.networks);
    cidrs(nodes.chain(&model.pods).chain(&model.services).chain(&model.load_balancers).copied())
}

fn reached(model: &Model, reach: Reach) -> Vec<Cidr> {
    match reach {
        Reach::Services => cidrs(model.services.iter().chain(&model.load_balancers).copied()),
        Reach::Pods => cidrs(model.pods.iter().copied()),
        Reach::Nodes => cidrs(model.sites.values().flat_map(|site| &site.networks).copied()),
    }
}

fn reach_reason(reach: Reach) -> &'static str {
    match reach {
        Reach::Services => "a segment that may reach services",
        Reach::Pods => "a segment that may reach pods",
        Reach::Nodes => "a segment that may reach nodes",
    }
}
