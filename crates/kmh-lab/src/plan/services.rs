//! Services as a rehearsal has them: where they answer, and the rules by which nodes send on, as kube-proxy does.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use kmh_doc::network::NetworkSpec;

use super::{Pod, after, calico};

/// The port on which Services and pods answer.
pub const PORT: u16 = 80;

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its address: a cluster address, or one of a load balancer.
    pub address: IpAddr,
    /// Whether each node uses its own pods only, and only nodes with one announce the address.
    pub local: bool,
    /// Its pods.
    pub pods: Vec<Pod>,
}

impl Service {
    /// Nodes that announce its address by itself.
    pub fn announcers(&self) -> BTreeSet<&str> {
        let nodes = self.pods.iter().map(|pod| pod.node.as_str());
        if self.local { nodes.collect() } else { BTreeSet::new() }
    }
}

/// What a lab has: in every range of cluster addresses a Service of all pods, in every range of load balancers one with
/// the Local policy and a pod on the last node; those that people name in place of the latter.
pub fn all(network: &NetworkSpec, pods: &[Pod], named: &[kmh_route::ground::Service]) -> Vec<Service> {
    let mut found: Vec<Service> = named.iter().map(|service| by_hand(service, pods)).collect();
    let kinds = [("serviceClusterIPs", false), ("serviceLoadBalancerIPs", true)];
    for (kind, local) in kinds.into_iter().filter(|(_, local)| !local || named.is_empty()) {
        for range in calico::ranges(network, kind) {
            let (v6, address) = (range.addr().is_ipv6(), after(range.addr(), 80));
            let mut own: Vec<Pod> = pods.iter().filter(|pod| pod.address.is_ipv6() == v6).cloned().collect();
            if local {
                let last = own.last().cloned();
                own = last.into_iter().collect();
            }
            if own.is_empty() || found.iter().any(|service| service.address == address) {
                continue;
            }
            let word = if local { "local" } else { "all" };
            found.push(Service {
                name: format!("{word}-v{}", if v6 { 6 } else { 4 }),
                address,
                local,
                pods: own,
            });
        }
    }
    found
}

/// A Service with a pod on each of its nodes.
fn by_hand(service: &kmh_route::ground::Service, pods: &[Pod]) -> Service {
    let own = service.nodes.iter().filter_map(|node| {
        let mut all = pods.iter().filter(|pod| pod.node == *node);
        all.find(|pod| pod.address.is_ipv6() == service.address.is_ipv6())
    });
    Service {
        name: service.name.clone(),
        address: service.address,
        local: true,
        pods: own.cloned().collect(),
    }
}

/// A node's rules. Traffic that comes from elsewhere to a Service of all pods leaves with the node's address, so that
/// the answer comes back through it; the Local policy keeps the client's.
pub fn rules(services: &[Service], node: &str) -> String {
    let mut nat = String::new();
    for service in services {
        let family = if service.address.is_ipv6() { "ip6" } else { "ip" };
        let own = service.pods.iter().filter(|pod| !service.local || pod.node == node);
        let pods: Vec<String> = own.map(|pod| pod.address.to_string()).collect();
        let to = format!("{family} daddr {} tcp dport {PORT}", service.address);
        match pods.as_slice() {
            [] => {}
            [only] => {
                let _ = writeln!(nat, "        {to} {}dnat {family} to {only}", masked(service));
            }
            many => {
                let map: Vec<String> =
                    many.iter().enumerate().map(|(number, pod)| format!("{number} : {pod}")).collect();
                let _ = writeln!(
                    nat,
                    "        {to} {}dnat {family} to numgen random mod {} map {{ {} }}",
                    masked(service),
                    many.len(),
                    map.join(", ")
                );
            }
        }
    }
    let mut closed = String::new();
    for service in services {
        let family = if service.address.is_ipv6() { "ip6" } else { "ip" };
        // Without a pod of its own a node with the Local policy drops; any other port of a Service is refused.
        let verdict = if service.local { "drop" } else { "reject" };
        let _ = writeln!(closed, "        {family} daddr {} {verdict}", service.address);
    }
    format!(
        "table inet kmh_lab_services\ndelete table inet kmh_lab_services\ntable inet kmh_lab_services {{\n    \
         chain services {{\n{nat}    }}\n    chain prerouting {{\n        type nat hook prerouting priority dstnat;\n        \
         jump services\n    }}\n    chain output {{\n        type nat hook output priority -100;\n        jump services\n    \
         }}\n    chain postrouting {{\n        type nat hook postrouting priority srcnat;\n        meta mark & 0x4000 == \
         0x4000 masquerade\n    }}\n    chain closed {{\n        type filter hook forward priority filter; policy \
         accept;\n{closed}    }}\n}}\n"
    )
}

/// The mark of what leaves with the node's address; kube-proxy has the same.
fn masked(service: &Service) -> &'static str {
    if service.local { "" } else { "meta mark set meta mark | 0x4000 " }
}
