//! What a router's packet filter must let through, by the zone in which a packet enters, and what it translates.
//!
//! Rules are of two kinds, which no packet can both match: pf takes the first that matches, and would remember, or
//! forget, what the other kind is about.
//! - *Stateless*, between addresses of the cluster: packets pass one by one, so that a router that took over after a
//!   failure lets the middle of a connection through as the one before it did, and that a packet and its answer may go
//!   by different routers. Both directions of each pair have a rule, because there is no connection for an answer to
//!   belong to. Services are a source as well: of answers that kube-proxy has translated back.
//! - *Stateful*, all else: answers belong to the connection that a rule let in and need no rule of their own. People's
//!   segments and the Internet stay closed to whoever was not asked.

mod inside;
mod masquerade;
mod wan;

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::inventory::{Lan, Reach};
use kmh_doc::network::{FirewallRule, Tunnel, Zone};
use kmh_model::{Model, Router, Site};

use crate::ground::Index;
use crate::ranges::cidrs;

pub(crate) use masquerade::masquerade;

/// All rules of a router, which is an end of the tunnels `own`; sorted.
pub(crate) fn firewall(
    index: &Index<'_>,
    site: &Site,
    router: &Router,
    own: &[&Tunnel],
) -> Vec<FirewallRule> {
    let model = index.model;
    let mut rules = Vec::new();
    wan::rules(index, router, &mut rules);
    inside::nodes(model, site, router, &mut rules);
    if !own.is_empty() {
        inside::tunnels(model, site, own, &mut rules);
    }
    for lan in &site.lans {
        rules.extend(reaching(model, lan, &Zone::Lan(lan.name.to_string())));
    }
    rules.sort();
    rules.dedup();
    rules
}

/// A rule to fill in: from anywhere to the router itself.
fn rule(zone: &Zone, protocol: &str, description: &str) -> FirewallRule {
    FirewallRule {
        zone: zone.clone(),
        protocol: protocol.to_owned(),
        from: Vec::new(),
        to: Vec::new(),
        except: Vec::new(),
        stateless: false,
        ports: Vec::new(),
        description: description.to_owned(),
    }
}

/// What a segment may reach, when its packets enter in `zone`.
fn reaching(model: &Model, lan: &Lan, zone: &Zone) -> Vec<FirewallRule> {
    let one = |reach: &Reach| FirewallRule {
        from: cidrs(lan.network.iter().map(|net| net.net())),
        to: reached(model, *reach),
        ..rule(zone, "any", reach_reason(*reach))
    };
    lan.reach.iter().map(one).collect()
}

fn reached(model: &Model, reach: Reach) -> Vec<Cidr> {
    match reach {
        Reach::Services => cidrs(services(model)),
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

/// Whether an address lies on a segment beside the nodes'.
pub(crate) fn on_lan(site: &Site, address: IpAddr) -> bool {
    site.lans.iter().flat_map(|lan| lan.network.iter()).any(|net| net.net().contains(&address))
}

/// The addresses of the site's routers on the node segment. A rule to the segment does not mean them: pf has one list
/// for what goes through a firewall and what goes to it, and would open its pages and its sshd.
pub(crate) fn itself<'a>(model: &'a Model, site: &'a Site) -> impl Iterator<Item = IpNet> + 'a {
    let routers = model.routers_of(site.name.as_str()).flat_map(|router| &router.addresses);
    routers.chain(&site.gateways).copied().map(IpNet::from)
}

/// Service and load-balancer ranges.
fn services(model: &Model) -> impl Iterator<Item = IpNet> {
    model.services.iter().chain(&model.load_balancers).copied()
}

/// Nodes, pods and services.
fn cluster(model: &Model) -> impl Iterator<Item = IpNet> {
    let nodes = model.sites.values().flat_map(|site| &site.networks);
    nodes.chain(&model.pods).copied().chain(services(model))
}
