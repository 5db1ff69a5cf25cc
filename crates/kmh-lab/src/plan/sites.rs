//! Segments and who is on them: routers, nodes with their pods, other segments, the admin's laptop.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{Router, RouterKind, Site};
use kmh_doc::network::NodePlan;

use super::wires::End;
use super::{Draft, FORWARDS, OPERATOR, Pod, SWITCH, after, before_end, machine_of, tag, traffic_space};
use crate::state::Inner;

/// The node interface inside a namespace that kmh makes, and its end outside when the lab has to bring one.
const NODES: &str = "nodes";
const PLUG: &str = "lab-nodes";

impl Draft<'_> {
    /// Every site's segment with its routers.
    pub(super) fn segments(&mut self) {
        for site in &self.inventory.sites {
            self.plan.wires.bridges.insert(End::new(SWITCH, &segment(site.name.as_str())));
        }
        for (own, plan) in self.routers() {
            let machine = machine_of(own).to_owned();
            self.plan.wires.spaces.insert(machine.clone());
            if own.kind == RouterKind::Pfsense {
                self.set(&machine, FORWARDS);
            }
            match (&own.netns, &own.interface) {
                // netns.sh takes the interface into the namespace and gives it its addresses.
                (Some(_), Some(interface)) => self.plug(&End::new(&machine, interface.as_str()), &plan.site),
                // netns.sh makes a bridge to plug nodes into.
                (Some(_), None) => {
                    let end = End::new(&machine, PLUG);
                    self.plug(&end, &plan.site);
                    self.at(&end).master = Some(format!("kmhbr{}", own.id));
                }
                (None, Some(interface)) => {
                    let end = End::new(&machine, interface.as_str());
                    self.plug(&end, &plan.site);
                    for address in &plan.addresses {
                        self.address(&end, address);
                    }
                }
                (None, None) => self.fault(
                    format!("router `{}` has no `interface`, so it cannot be joined to its nodes", own.name),
                    "name its interface on the node segment",
                ),
            }
            if let Some(netns) = &own.netns {
                let inner = Inner { machine, netns: netns.to_string() };
                self.plan.routers.insert(own.name.to_string(), inner);
            }
        }
        self.gateways();
    }

    /// A gateway address that belongs to no router (CARP, VRRP) is with the first one, as long as all live.
    fn gateways(&mut self) {
        let all = self
            .network
            .nodes
            .iter()
            .flat_map(|node| node.gateways.iter().map(|gateway| (&node.site, *gateway)));
        let gateways: std::collections::BTreeSet<(&String, IpAddr)> = all.collect();
        for (site, gateway) in gateways {
            let routers: Vec<_> = self.routers().into_iter().filter(|(_, plan)| plan.site == *site).collect();
            let owned = routers.iter().any(|(own, _)| own.address.contains(&gateway));
            if let (false, Some((own, _))) = (owned, routers.first()) {
                let interface = own.interface.as_ref().map_or(NODES, |name| name.as_str());
                let end = End::new(&traffic_space(own), interface);
                self.address(&end, IpNet::from(gateway));
            }
        }
    }

    /// Plugs an interface into a site's switch.
    fn plug(&mut self, end: &End, site: &str) {
        self.plug_into(end, &segment(site));
    }

    fn plug_into(&mut self, end: &End, bridge: &str) {
        let port = End::new(SWITCH, &tag('p', &String::from(end.clone())));
        self.link(end, &port);
        self.at(&port).master = Some(bridge.to_owned());
    }

    pub(super) fn nodes(&mut self) {
        for plan in &self.network.nodes {
            self.node(plan);
        }
    }

    fn node(&mut self, plan: &NodePlan) {
        let name = &plan.name;
        self.plan.wires.spaces.insert(name.clone());
        let eth0 = End::new(name, "eth0");
        self.plug(&eth0, &plan.site);
        for address in &plan.addresses {
            self.address(&eth0, address);
        }
        for gateway in &plan.gateways {
            self.default_route(name, *gateway);
        }
        // Pods as Calico's CNI plugin joins them: a /32, an address that only the node's proxy ARP answers for, or a
        // link-local one.
        let pod = format!("pod-{name}");
        self.bare(&pod);
        let (cali0, eth0) = (End::new(name, "cali0"), End::new(&pod, "eth0"));
        self.link(&cali0, &eth0);
        self.set(name, ["net.ipv4.conf.cali0.proxy_arp=1", "net.ipv4.neigh.cali0.proxy_delay=0"]);
        self.set(name, ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.cali0.rp_filter=0"]);
        self.address(&cali0, "fe80::1/64");
        for end in [&cali0, &eth0] {
            self.at(end).mtu = Some(self.network.pod_mtu);
        }
        let blocks = self.ground.blocks.iter().filter(|(_, owner)| owner == name);
        let own =
            blocks.map(
                |(block, _)| {
                    if block.addr() == block.broadcast() { block.addr() } else { after(block.addr(), 2) }
                },
            );
        let borrowed =
            self.ground.borrowed.iter().filter(|(_, node)| node == name).map(|(address, _)| *address);
        let addresses: Vec<IpAddr> = own.chain(borrowed).collect();
        for address in &addresses {
            self.address(&eth0, IpNet::from(*address));
            self.route(name, format!("{address} dev cali0"));
            self.plan.pods.push(Pod { node: name.clone(), address: *address });
        }
        if addresses.iter().any(IpAddr::is_ipv4) {
            self.route(&pod, "169.254.1.1 dev eth0 scope link".to_owned());
            self.route(&pod, "default via 169.254.1.1 dev eth0".to_owned());
        }
        if addresses.iter().any(IpAddr::is_ipv6) {
            self.route(&pod, "default via fe80::1 dev eth0".to_owned());
        }
    }

    /// Other segments: the routers' addresses there, and a host.
    pub(super) fn lans(&mut self) {
        for site in &self.inventory.sites {
            for (place, lan) in site.lans.iter().enumerate() {
                let bridge = tag('l', &format!("{}/{}", site.name, lan.name));
                self.plan.wires.bridges.insert(End::new(SWITCH, &bridge));
                let host = format!("lan-{}-{}", site.name, lan.name);
                self.bare(&host);
                let eth0 = End::new(&host, "eth0");
                self.plug_into(&eth0, &bridge);
                for (number, router) in site.routers.iter().enumerate() {
                    let end = End::new(&traffic_space(router), &format!("lan{place}"));
                    self.plug_into(&end, &bridge);
                    for net in &lan.network {
                        let net = net.net();
                        let address = lan_address(router, net, number);
                        self.address(&end, format!("{address}/{}", net.prefix_len()));
                        if number == 0 {
                            self.default_route(&host, address);
                        }
                    }
                }
                for net in &lan.network {
                    let net = net.net();
                    self.address(&eth0, format!("{}/{}", before_end(net, 1), net.prefix_len()));
                }
            }
        }
    }

    /// The admin's laptop, on the segment of the operator's site.
    pub(super) fn operator(&mut self) {
        let named = self.inventory.operator.as_ref().map(|operator| operator.site.as_str());
        let sites = &self.inventory.sites;
        let site = sites.iter().find(|site| Some(site.name.as_str()) == named).or_else(|| sites.first());
        let Some(site) = site else { return };
        self.plan.wires.spaces.insert(OPERATOR.to_owned());
        let eth0 = End::new(OPERATOR, "eth0");
        self.plug(&eth0, site.name.as_str());
        for net in &site.network {
            let net = net.net();
            let used = self.used(site, net);
            let Some(free) = (1..250).map(|offset| before_end(net, offset)).find(|one| !used.contains(one))
            else {
                continue;
            };
            self.address(&eth0, format!("{free}/{}", net.prefix_len()));
            let gateway = site.gateway.iter().chain(site.routers.iter().flat_map(|router| &router.address));
            if let Some(gateway) = gateway.copied().find(|gateway| net.contains(gateway)) {
                self.default_route(OPERATOR, gateway);
            }
        }
    }

    /// Addresses of a segment that somebody has.
    fn used(&self, site: &Site, net: IpNet) -> Vec<IpAddr> {
        let nodes = self.inventory.nodes.iter().flat_map(|node| &node.address);
        let routers = site.routers.iter().flat_map(|router| &router.address);
        nodes.chain(routers).chain(&site.gateway).copied().filter(|own| net.contains(own)).collect()
    }

    /// Names that the cluster's people use: of machines, of the API.
    pub(super) fn names(&mut self) {
        for node in &self.inventory.nodes {
            let names = [Some(node.name.to_string()), ssh_name(node.ssh.as_ref())];
            for name in names.into_iter().flatten() {
                self.plan.hosts.entry(name).or_default().extend(node.address.iter());
            }
        }
        for (router, _) in self.routers() {
            let names = [Some(router.name.to_string()), ssh_name(router.ssh.as_ref())];
            for name in names.into_iter().flatten() {
                self.plan.hosts.entry(name).or_default().extend(router.address.iter());
            }
            if let (Some(host), Some(uplink)) = (&router.host, router.uplinks.first()) {
                let line = self.plan.wires.lines.get(&format!("{}/{}", router.name, uplink.name));
                let public = line.map(|line| line.public.clone()).unwrap_or_default();
                self.plan.hosts.insert(host.to_string(), public.into_iter().collect());
            }
        }
        if let Some(api) = &self.inventory.cluster.api
            && api.host.ip().is_none()
        {
            let control = self
                .inventory
                .nodes
                .iter()
                .filter(|node| node.roles.contains(&kmh_doc::inventory::Role::ControlPlane));
            let addresses = control.flat_map(|node| node.address.iter().copied());
            self.plan.hosts.entry(api.host.to_string()).or_default().extend(addresses);
        }
    }
}

fn ssh_name(ssh: Option<&kmh_doc::inventory::Ssh>) -> Option<String> {
    ssh?.host.as_ref().filter(|host| host.ip().is_none()).map(ToString::to_string)
}

/// A router's address on another segment: the one by which admins log in when it lies there, else the first ones.
fn lan_address(router: &Router, net: IpNet, number: usize) -> IpAddr {
    let login = router.ssh.as_ref().and_then(|ssh| ssh.host.as_ref()?.ip());
    let number = u32::try_from(number).unwrap_or(0);
    login.filter(|own| net.contains(own)).unwrap_or_else(|| after(net.addr(), 1 + number))
}

/// The bridge of a site's segment.
fn segment(site: &str) -> String {
    tag('s', site)
}
