//! Namespaces, links and addresses of a lab: a switch for each site, a line to the Internet for each uplink, and a
//! plain link where there would be a tunnel, under the tunnel interface's name.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::Router;
use kmh_doc::network::{NodePlan, RouterPlan};

use super::Lab;
use crate::netns::Netns;

/// Where every default route ends. Nothing of the cluster's may arrive here.
pub const INTERNET: &str = "internet";
/// Addresses of the Internet.
pub const OUTSIDE: [&str; 2] = ["192.0.2.1", "2001:db8:ffff::1"];
/// The site segments' switches.
const SWITCH: &str = "switch";
/// Names inside a namespace that kmh makes.
const UPLINK: &str = "uplink";
const NODES: &str = "nodes";

/// The namespace of a node's pods.
pub fn pod_space(node: &str) -> String {
    format!("pod-{node}")
}

/// `-4` or `-6`, as `ip` wants it.
pub fn family(address: IpAddr) -> &'static str {
    if address.is_ipv6() { "-6" } else { "-4" }
}

/// An interface's address as the documents write it: `10.10.0.1/24`.
fn interface_address(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| panic!("no address with a length: {text}"))
}

/// The router's interface on the node segment.
pub fn node_interface(router: &Router) -> &str {
    match (&router.interface, &router.netns) {
        (Some(interface), _) => interface.as_str(),
        (None, Some(_)) => NODES,
        (None, None) => panic!("{} has no interface", router.name),
    }
}

/// The router's interfaces to the Internet.
pub fn lines(router: &Router) -> Vec<&str> {
    if router.netns.is_some() {
        return vec![UPLINK];
    }
    let mut names: Vec<&str> = Vec::new();
    for line in &router.uplinks {
        let name = line.interface.as_ref().map_or(line.name.as_str(), |name| name.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Everything but the daemons.
pub(super) fn lay(lab: &mut Lab) {
    for space in [INTERNET, SWITCH] {
        lab.net.add(space);
    }
    for address in OUTSIDE {
        lab.net.ip(INTERNET, &["addr", "add", address, "dev", "lo"]);
    }
    for (number, site) in lab.documents.inventory.sites.iter().enumerate() {
        let bridge = format!("s{number}");
        lab.net.ip(SWITCH, &["link", "add", &bridge, "type", "bridge"]);
        lab.net.ip(SWITCH, &["link", "set", &bridge, "up"]);
        lab.segments.insert(site.name.to_string(), bridge);
    }
    for router in lab.documents.network.routers.clone() {
        let own = lab.router(&router.name).clone();
        self::router(lab, &router, &own);
    }
    for node in lab.documents.network.nodes.clone() {
        self::node(lab, &node);
    }
    for tunnel in &lab.documents.network.tunnels {
        let [a, b] = &tunnel.ends;
        lab.net.link((&a.router, &a.interface), (&b.router, &b.interface));
        for end in &tunnel.ends {
            lab.net.ip(&end.router, &["link", "set", &end.interface, "mtu", &tunnel.mtu.to_string()]);
            for (address, prefix) in end.addresses.iter().zip(&tunnel.networks) {
                let address = format!("{address}/{}", prefix.net().prefix_len());
                lab.net.ip(&end.router, &["addr", "add", &address, "dev", &end.interface]);
            }
        }
    }
}

/// A port of a site's switch for somebody's interface.
fn plug(lab: &mut Lab, space: &str, interface: &str, site: &str) {
    lab.ports += 1;
    let port = format!("p{}", lab.ports);
    lab.net.link((space, interface), (SWITCH, &port));
    lab.net.ip(SWITCH, &["link", "set", &port, "master", &lab.segments[site]]);
}

fn addresses(net: &Netns, space: &str, interface: &str, list: &[String]) {
    for address in list {
        net.ip(space, &["addr", "add", address, "dev", interface]);
    }
}

fn router(lab: &mut Lab, plan: &RouterPlan, own: &Router) {
    let name = &plan.name;
    lab.net.add(name);
    plug(lab, name, node_interface(own), &plan.site);
    addresses(&lab.net, name, node_interface(own), &plan.addresses);
    // Its lines, with the default route over the first.
    for (place, line) in lines(own).into_iter().enumerate() {
        lab.lines += 1;
        let number = lab.lines;
        let far = format!("w{number}");
        lab.net.link((name, line), (INTERNET, &far));
        for (ours, theirs, length) in [
            (format!("198.18.{number}.2"), format!("198.18.{number}.1"), 30),
            (format!("2001:db8:ffff:{number}::2"), format!("2001:db8:ffff:{number}::1"), 64),
        ] {
            lab.net.ip(name, &["addr", "add", &format!("{ours}/{length}"), "dev", line]);
            lab.net.ip(INTERNET, &["addr", "add", &format!("{theirs}/{length}"), "dev", &far]);
            if place == 0 {
                let family = family(theirs.parse().expect("an address"));
                lab.net.ip(name, &[family, "route", "add", "default", "via", &theirs]);
            }
        }
    }
    // Its other segments: what it originates and does not have on the node segment.
    let segments: Vec<IpNet> =
        plan.addresses.iter().map(|address| interface_address(address).trunc()).collect();
    let others = plan.originate.iter().map(|net| net.net()).filter(|net| !segments.contains(net));
    for (number, lan) in others.enumerate() {
        // The last address, from the end for the second router: both are there.
        lab.ports += 1;
        let (interface, port) = (format!("lan{number}"), format!("p{}", lab.ports));
        lab.net.link((name, &interface), (SWITCH, &port));
        let address = super::ground::after(lan.addr(), 1);
        lab.net.ip(name, &["addr", "add", &format!("{address}/{}", lan.prefix_len()), "dev", &interface]);
    }
}

fn node(lab: &mut Lab, plan: &NodePlan) {
    let (name, pod) = (&plan.name, pod_space(&plan.name));
    lab.net.add(name);
    lab.net.add(&pod);
    plug(lab, name, "eth0", &plan.site);
    lab.net.link((name, "cali0"), (&pod, "eth0"));
    addresses(&lab.net, name, "eth0", &plan.addresses);
    for gateway in &plan.gateways {
        lab.net.ip(name, &[family(*gateway), "route", "add", "default", "via", &gateway.to_string()]);
    }
    // As Calico's CNI plugin does: a /32, an address that only the node's proxy ARP answers for, or a link-local one.
    lab.net
        .sh(name, "sysctl -q -w net.ipv4.conf.cali0.proxy_arp=1 net.ipv4.neigh.cali0.proxy_delay=0")
        .exits(0);
    lab.net.ip(name, &["addr", "add", "fe80::1/64", "dev", "cali0"]);
    let own = lab.ground.pods.iter().filter(|own| own.node == *name).map(|own| own.address);
    let borrowed = lab.ground.borrowed.iter().filter(|(_, node)| node == name).map(|(address, _)| *address);
    let (mut v4, mut v6) = (false, false);
    for address in own.chain(borrowed) {
        lab.net.ip(&pod, &["addr", "add", &address.to_string(), "dev", "eth0"]);
        lab.net.ip(name, &[family(address), "route", "add", &address.to_string(), "dev", "cali0"]);
        match address {
            IpAddr::V6(_) => v6 = true,
            IpAddr::V4(_) => v4 = true,
        }
    }
    if v4 {
        lab.net.ip(&pod, &["route", "add", "169.254.1.1", "dev", "eth0", "scope", "link"]);
        lab.net.ip(&pod, &["route", "add", "default", "via", "169.254.1.1", "dev", "eth0"]);
    }
    if v6 {
        lab.net.ip(&pod, &["-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0"]);
    }
}
