//! What may come in from the node segment and out of the tunnels.

use ipnet::IpNet;
use kmh_doc::network::{FirewallRule, Tunnel, Zone};
use kmh_model::{Model, Router, Site};

use super::{cluster, itself, on_lan, reaching, rule, services};
use crate::ranges::{Family, cidrs, families, reaching_lans};

/// BGP (RFC 4271); BFD over one hop (RFC 5881), which FRR and BIRD (with `direct`) use with a neighbour on the segment,
/// in their own AS too; DNS.
const BGP: u16 = 179;
const BFD: u16 = 3784;
const DNS: u16 = 53;

/// What lets a sender know that a packet of its was too big.
const ERRORS: &str =
    "what routers say about packets that passed without a connection, such as packet too big";

/// The node segment.
pub(super) fn nodes(model: &Model, site: &Site, router: &Router, rules: &mut Vec<FirewallRule>) {
    let here = |protocol: &str, description: &str| rule(&Zone::Nodes, protocol, description);
    let segment = cidrs(site.networks.iter().copied());
    let everyone = cidrs(site.networks.iter().chain(&site.pods).copied());
    // The other router of the site is one of them.
    rules.push(FirewallRule {
        from: segment.clone(),
        ports: vec![BGP],
        ..here("tcp", "BGP on the node segment")
    });
    // From anywhere, because IPv6 neighbour discovery comes from link-local addresses and from none (RFC 4861, 4862).
    rules.push(here("icmp", "ping, neighbour discovery, packet too big"));
    names(model, site, rules);

    let siblings: Vec<&Router> =
        model.routers_of(site.name.as_str()).filter(|other| other.name != router.name).collect();
    let mut sources: Vec<IpNet> =
        site.networks.iter().chain(&site.pods).copied().chain(services(model)).collect();
    if !siblings.is_empty() {
        if model.bgp.timers.routers.bfd_ms > 0 {
            rules.push(FirewallRule {
                from: cidrs(
                    siblings.iter().flat_map(|other| &other.addresses).map(|address| IpNet::from(*address)),
                ),
                ports: vec![BFD],
                ..here("udp", "BFD with the site's other router")
            });
        }
        // It hands over what came out of its tunnels, and segments' packets for sites that only this one reaches.
        sources = cluster(model).collect();
        rules.extend(errors(model, site, &Zone::Nodes));
        for lan in model.sites.values().flat_map(|site| &site.lans) {
            rules.extend(reaching(model, lan, &Zone::Nodes));
        }
    }
    rules.push(FirewallRule {
        from: cidrs(sources),
        to: cidrs(cluster(model)),
        except: cidrs(itself(model, site)),
        stateless: true,
        ..here("any", "nodes, pods and services to those of every site, this one's own among them")
    });
    // Segments of people are no part of the Internet.
    let lans = site.lans.iter().flat_map(|lan| lan.network.iter().map(|net| net.net()));
    let lans = lans.chain(model.sites.values().flat_map(reaching_lans));
    let inside = cluster(model).chain(model.tunnel_ranges.iter().copied()).chain(itself(model, site));
    let (from, description) = if model.calico.nat_outgoing {
        (segment, "nodes to the Internet, and pods with their node's address")
    } else {
        (everyone, "nodes and pods to the Internet")
    };
    rules.push(FirewallRule {
        from,
        to: families(model).into_iter().map(Family::anywhere).collect(),
        except: cidrs(lans.chain(inside)),
        ..here("any", description)
    });
}

/// The nodes' name servers, where it takes a rule to reach them. `CoreDNS` asks too, with a pod's address: pods keep it
/// on the node segment and on segments that may reach the cluster.
fn names(model: &Model, site: &Site, rules: &mut Vec<FirewallRule>) {
    let everyone = cidrs(site.networks.iter().chain(&site.pods).copied());
    let itself: Vec<IpNet> = itself(model, site).collect();
    let asked = |ip: &std::net::IpAddr| itself.contains(&IpNet::from(*ip));
    let aside = site.resolvers.iter().copied().filter(|ip| on_lan(site, *ip)).map(IpNet::from);
    let aside = cidrs(aside);
    for protocol in ["tcp", "udp"] {
        let one = |to: Vec<_>, description: &str| FirewallRule {
            from: everyone.clone(),
            to,
            ports: vec![DNS],
            ..rule(&Zone::Nodes, protocol, description)
        };
        if site.resolvers.iter().any(asked) {
            rules.push(one(Vec::new(), "the nodes' name server"));
        }
        if !aside.is_empty() {
            rules.push(one(aside.clone(), "the nodes' name server on another segment"));
        }
    }
}

/// The tunnels, `own` of which are this router's.
pub(super) fn tunnels(model: &Model, site: &Site, own: &[&Tunnel], rules: &mut Vec<FirewallRule>) {
    let here = |protocol: &str, description: &str| rule(&Zone::Tunnel, protocol, description);
    let ends = cidrs(own.iter().flat_map(|tunnel| tunnel.networks.iter().map(|net| net.net())));
    rules.push(FirewallRule { from: ends.clone(), ports: vec![BGP], ..here("tcp", "BGP between routers") });
    if model.bgp.timers.routers.bfd_ms > 0 {
        rules.push(FirewallRule { from: ends, ports: vec![BFD], ..here("udp", "BFD between routers") });
    }
    rules.push(here("icmp", "ping, neighbour discovery, packet too big"));
    rules.extend(errors(model, site, &Zone::Tunnel));
    let remote = || model.sites.values().filter(|other| other.name != site.name);
    let sources = remote().flat_map(|other| other.networks.iter().chain(&other.pods)).copied();
    rules.push(FirewallRule {
        from: cidrs(sources.chain(services(model))),
        to: cidrs(cluster(model)),
        except: cidrs(itself(model, site)),
        stateless: true,
        ..here("any", "nodes, pods and services of other sites to those of every site")
    });
    for lan in remote().flat_map(|other| &other.lans) {
        rules.extend(reaching(model, lan, &Zone::Tunnel));
    }
}

/// A router further on says with its tunnel's address that a packet was too big. Where packets pass without a
/// connection nothing else lets that through, and without it large packets vanish (RFC 4890, 4.3.1).
fn errors(model: &Model, site: &Site, zone: &Zone) -> Option<FirewallRule> {
    let from = cidrs(model.tunnel_ranges.iter().copied());
    (!from.is_empty()).then(|| FirewallRule {
        from,
        to: cidrs(cluster(model)),
        except: cidrs(itself(model, site)),
        stateless: true,
        ..rule(zone, "icmp", ERRORS)
    })
}
