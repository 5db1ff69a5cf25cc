//! Tunnels by strongSwan's own ESP: a charon with a TUN device for every tunnel, all on the router's ports for IKE.
//!
//! The plugin (kernel-libipsec) tells tunnels apart by traffic selectors alone, and those of a routed tunnel are everything;
//! so each tunnel has a charon to itself, on ports of its own. On the line there are none but 500 and 4500: packet rules put
//! the one in the place of the other, by the peer's addresses. Nothing is translated, so IKE and connection tracking see what
//! they see with one charon.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::bundle::UnitAction;
use kmh_doc::inventory::{Inventory, Router};
use kmh_doc::network::{NetworkSpec, Tunnel, TunnelEnd};
use kmh_store::wanted::WantedFile;

use super::machines::file;
use super::wires::Line;
use super::{Draft, machine_of};
use crate::args::Carrier;
use crate::esp::split::TUNNELS;

/// Octets of a packet that the plugin reads from its device: it never asks for the device's MTU again.
pub const MTU: u16 = 1400;
/// So many tunnels are tried unasked: each is two processes of some megabytes, and a handshake.
const UNASKED: usize = 64;

/// The port for IKE of a tunnel's charon; the next one is that for ESP in UDP. `userspace.sh` counts the same way.
fn port(index: u32) -> u32 {
    20_000 + 2 * index
}

/// What of a network userspace ESP cannot express, or would not be wise to without being asked.
pub fn cannot(inventory: &Inventory, network: &NetworkSpec, full: &[String], asked: bool) -> Option<String> {
    let routers = || inventory.sites.iter().flat_map(|site| &site.routers);
    let complete = |router: &Router| {
        full.iter().any(|name| name == "all" || name == machine_of(router) || name == router.name.as_str())
    };
    if let Some(router) = routers().find(|router| complete(router)) {
        return Some(format!("`{}` is a complete machine, whose systemd starts one charon", router.name));
    }
    let mut seen = BTreeSet::new();
    for tunnel in &network.tunnels {
        let [a, b] = &tunnel.ends;
        for (own, peer) in [(a, b), (b, a)] {
            if !seen.insert((&own.router, &own.uplink_interface, &peer.router, &peer.uplink)) {
                return Some(format!(
                    "two lines of `{}` are one interface, `{}`",
                    own.router, own.uplink_interface
                ));
            }
        }
    }
    let count = network.tunnels.len();
    (!asked && count > UNASKED).then(|| format!("{count} tunnels are {} processes of strongSwan", 2 * count))
}

impl<'a> Draft<'a> {
    /// Tunnels of a machine's routers: the router, the tunnel, its end here and there.
    fn ends(&self, machine: &str) -> Vec<(&'a Router, &'a Tunnel, [&'a TunnelEnd; 2])> {
        let mut found = Vec::new();
        for (own, plan) in self.routers().into_iter().filter(|(own, _)| machine_of(own) == machine) {
            for tunnel in &self.network.tunnels {
                let [a, b] = &tunnel.ends;
                let here = [[a, b], [b, a]].into_iter().find(|[here, _]| here.router == plan.name);
                found.extend(here.map(|ends| (own, tunnel, ends)));
            }
        }
        found
    }

    /// Puts the ports of tunnels in the place of those that are on the lines.
    pub(super) fn userspace(&mut self) {
        let machines: BTreeSet<&str> = self.routers().into_iter().map(|(own, _)| machine_of(own)).collect();
        for machine in machines {
            let (mut sent, mut taken) = (String::new(), String::new());
            for (_, tunnel, [here, there]) in self.ends(machine) {
                let line =
                    |end: &TunnelEnd| self.plan.wires.lines.get(&format!("{}/{}", end.router, end.uplink));
                let (Some(own), Some(peer)) = (line(here), line(there)) else { continue };
                let peers = self.addresses_of(peer);
                let port = port(tunnel.index);
                for (own_port, outer) in [(port, 500), (port + 1, 4500)] {
                    let _ = writeln!(sent, "        udp sport {own_port} udp sport set {outer}");
                    for (family, v6) in [("ip", false), ("ip6", true)] {
                        let list: Vec<String> = peers
                            .iter()
                            .filter(|peer| peer.is_ipv6() == v6)
                            .map(ToString::to_string)
                            .collect();
                        if !list.is_empty() {
                            // With spaces around addresses: `dial::again` puts others there.
                            let _ = writeln!(
                                taken,
                                "        iifname \"{}\" {family} saddr {{ {} }} udp dport {outer} udp dport set {own_port}",
                                own.near.interface,
                                list.join(" , ")
                            );
                        }
                    }
                }
            }
            // Before connection tracking on the way out, behind every packet filter on the way in.
            let rules = format!(
                "table inet kmh_userspace\ndelete table inet kmh_userspace\ntable inet kmh_userspace {{\n    chain out {{\n        \
                 type filter hook output priority -300;\n{sent}    }}\n    chain in {{\n        \
                 type filter hook input priority 300;\n{taken}    }}\n}}\n"
            );
            self.plan.wires.rules.insert(machine.to_owned(), rules);
        }
    }

    /// Addresses that packets of a line can come from: those of whoever translates it, and the router's own.
    fn addresses_of(&self, line: &Line) -> BTreeSet<IpAddr> {
        let own = self.plan.wires.interfaces.get(&line.near).into_iter().flat_map(|one| &one.addresses);
        let own = own.filter_map(|text| Some(text.parse::<IpNet>().ok()?.addr()));
        line.public.iter().copied().chain(own).collect()
    }

    /// What the machine's shell is told of its tunnels.
    pub(super) fn tunnels_file(&self, machine: &str, unit: &str) -> Option<WantedFile> {
        if self.tunnels != Carrier::Userspace {
            return None;
        }
        let mut text = String::new();
        for (own, tunnel, [here, _]) in self.ends(machine) {
            let netns = own.netns.as_ref().map_or("-", |name| name.as_str());
            let _ = writeln!(text, "{} {} {netns} {}", tunnel.index, here.interface, tunnel.mtu.min(MTU));
        }
        Some(file(TUNNELS, "root:root", 0o644, &text, unit, UnitAction::Reload))
    }
}
