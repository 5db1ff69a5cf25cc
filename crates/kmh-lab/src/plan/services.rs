//! Services as a rehearsal has them: where they answer, and the rules by which nodes send on, as kube-proxy does.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_cli::failure::Note;
use kmh_doc::network::NetworkSpec;
use kmh_route::ground;
use kmh_route::services::Listed;
use kmh_store::wanted::note;

use super::{Pod, after, before_end, calico};

/// The port on which Services and pods answer.
pub const PORT: u16 = 80;

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Whether its policy is `Local`: only nodes with a pod announce the address, and each sends to its own pods only.
    pub local: bool,
    /// Whether it is an address for clients outside the cluster, of a load balancer or external; a cluster address
    /// reaches all pods whatever the policy.
    pub external: bool,
    /// Its pods.
    pub pods: Vec<Pod>,
}

impl Service {
    /// Nodes that announce its address by itself.
    pub fn announcers(&self) -> BTreeSet<&str> {
        let nodes = self.pods.iter().map(|pod| pod.node.as_str());
        if self.local { nodes.collect() } else { BTreeSet::new() }
    }

    /// As predictions take those that single nodes announce.
    pub fn announced(&self) -> Option<ground::Service> {
        let nodes: Vec<String> = self.announcers().into_iter().map(str::to_owned).collect();
        let (name, address) = (self.name.clone(), self.address);
        self.local.then_some(ground::Service { name, address, nodes })
    }
}

/// What a lab has: those that were given, and in every range of cluster addresses and of load balancers one of all pods.
/// When none was given also one with the Local policy in every range of load balancers, with a pod on the last node.
pub fn all(network: &NetworkSpec, pods: &[Pod], given: &[Listed]) -> Result<Vec<Service>, Vec<Note>> {
    let cluster = calico::ranges(network, "serviceClusterIPs");
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for Listed { service, local } in given {
        let v6 = service.address.is_ipv6();
        let on = |node: &String| pods.iter().find(|pod| pod.node == *node && pod.address.is_ipv6() == v6);
        for node in service.nodes.iter().filter(|node| on(node).is_none()) {
            let family = if v6 { "IPv6" } else { "IPv4" };
            let message = format!("service `{}` is to have a pod on `{node}`", service.name);
            let hint = format!("nodes with a pod in {family}: {}", names(pods, v6));
            faults.push(note(message + ", which has none", "", Some(&hint)));
        }
        found.push(Service {
            name: service.name.clone(),
            address: service.address,
            local: *local,
            external: !cluster.iter().any(|range| range.contains(&service.address)),
            pods: service.nodes.iter().filter_map(on).cloned().collect(),
        });
    }
    let more = assumed(network, pods).into_iter().filter(|service| given.is_empty() || !service.local);
    let more: Vec<Service> =
        more.filter(|service| found.iter().all(|own| own.address != service.address)).collect();
    found.extend(more);
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn names(pods: &[Pod], v6: bool) -> String {
    let all: BTreeSet<&str> =
        pods.iter().filter(|pod| pod.address.is_ipv6() == v6).map(|pod| pod.node.as_str()).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

/// Those that nobody asked for: in which ranges, what they are called, which address there they have, whether the policy
/// is Local.
const ASSUMED: [(&str, &str, u32, bool); 3] = [
    ("serviceClusterIPs", "all", 80, false),
    ("serviceLoadBalancerIPs", "any", 81, false),
    ("serviceLoadBalancerIPs", "local", 80, true),
];

pub(crate) fn assumed(network: &NetworkSpec, pods: &[Pod]) -> Vec<Service> {
    let mut found = Vec::new();
    for (kind, word, offset, local) in ASSUMED {
        for range in calico::ranges(network, kind) {
            let v6 = range.addr().is_ipv6();
            let mut own: Vec<Pod> = pods.iter().filter(|pod| pod.address.is_ipv6() == v6).cloned().collect();
            if local {
                let last = own.last().cloned();
                own = last.into_iter().collect();
            }
            // In a small range among its last ones; one that is a single address belongs to somebody.
            let places = [after(range.addr(), offset), before_end(range, offset - 79)];
            let address = places.into_iter().find(|address| range.contains(address));
            let Some(address) = address.filter(|_| !own.is_empty()) else { continue };
            found.push(Service {
                name: format!("{word}-v{}", if v6 { 6 } else { 4 }),
                address,
                local,
                external: kind != "serviceClusterIPs",
                pods: own,
            });
        }
    }
    found
}

/// What a packet to a Service is turned to.
fn target(family: &str, pods: &[&Pod]) -> Option<String> {
    match pods {
        [] => None,
        [only] => Some(format!("dnat {family} to {}", only.address)),
        many => {
            let map: Vec<String> =
                many.iter().enumerate().map(|(number, pod)| format!("{number} : {}", pod.address)).collect();
            Some(format!("dnat {family} to numgen random mod {} map {{ {} }}", many.len(), map.join(", ")))
        }
    }
}

/// The mark of what leaves with the node's address; kube-proxy has the same.
const MARKED: &str = "meta mark set meta mark | 0x4000";

/// A node's rules, by the policy as kube-proxy has it (proxier.go, `writeServiceToEndpointRules`).
///
/// A cluster address reaches all pods; who is no pod is masqueraded, for the answer to come back through this node. An
/// outer address of the Cluster policy is the same, masquerading all. With the Local policy packets from outside go to
/// the node's own pods, and keep the client's address; pods and the node itself reach all pods.
pub fn rules(services: &[Service], node: &str, pod_ranges: &[IpNet]) -> String {
    let (mut before, mut output, mut after, mut closed) =
        (String::new(), String::new(), String::new(), String::new());
    for service in services {
        let v6 = service.address.is_ipv6();
        let family = if v6 { "ip6" } else { "ip" };
        let ranges: Vec<String> =
            pod_ranges.iter().filter(|net| net.addr().is_ipv6() == v6).map(ToString::to_string).collect();
        let ranges = format!("{{ {} }}", ranges.join(", "));
        let to = format!("        {family} daddr {} tcp dport {PORT}", service.address);
        let all: Vec<&Pod> = service.pods.iter().collect();
        let own: Vec<&Pod> = service.pods.iter().filter(|pod| pod.node == node).collect();
        if let Some(any) = target(family, &all) {
            let _ = match (service.external, service.local) {
                (false, _) => writeln!(before, "{to} {family} saddr != {ranges} {MARKED}\n{to} {any}"),
                (true, false) => writeln!(before, "{to} {MARKED} {any}"),
                (true, true) => writeln!(before, "{to} {family} saddr {ranges} {any}"),
            };
            let _ = writeln!(output, "{to} {MARKED} {any}");
        }
        if let (true, true, Some(own)) = (service.external, service.local, target(family, &own)) {
            let _ = writeln!(before, "{to} {own}");
        }
        // A node with the Local policy and without a pod drops; any other port of a Service is refused.
        let verdict = if service.external && service.local { "drop" } else { "reject" };
        let _ = writeln!(closed, "        {family} daddr {} {verdict}", service.address);
    }
    // A pod that calls itself by a Service's address.
    let pods: BTreeSet<IpAddr> = services
        .iter()
        .flat_map(|service| &service.pods)
        .filter(|pod| pod.node == node)
        .map(|pod| pod.address)
        .collect();
    for pod in pods {
        let family = if pod.is_ipv6() { "ip6" } else { "ip" };
        let _ = writeln!(after, "        {family} saddr {pod} {family} daddr {pod} masquerade");
    }
    format!(
        "table inet kmh_lab_services\ndelete table inet kmh_lab_services\ntable inet kmh_lab_services {{\n    \
         chain prerouting {{\n        type nat hook prerouting priority dstnat;\n{before}    }}\n    chain output \
         {{\n        type nat hook output priority -100;\n{output}    }}\n    chain postrouting {{\n        type nat \
         hook postrouting priority srcnat;\n        meta mark & 0x4000 == 0x4000 masquerade\n{after}    }}\n    chain \
         closed {{\n        type filter hook forward priority filter; policy accept;\n{closed}    }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str, address: &str) -> Pod {
        Pod { node: node.to_owned(), address: address.parse().unwrap() }
    }

    fn listed(address: &str, nodes: &[&str], local: bool) -> Listed {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        Listed {
            service: ground::Service {
                name: "default/web".to_owned(),
                address: address.parse().unwrap(),
                nodes,
            },
            local,
        }
    }

    fn network() -> NetworkSpec {
        let calico = serde_json::json!([{"kind": "BGPConfiguration", "spec": {
            "serviceClusterIPs": [{"cidr": "10.201.0.0/16"}], "serviceLoadBalancerIPs": [{"cidr": "10.202.0.0/24"}]}}]);
        let rest =
            serde_json::json!({"routers": [], "nodes": [], "tunnels": [], "pod_mtu": 1400, "findings": []});
        let mut spec: NetworkSpec = serde_json::from_value(rest_with(rest, calico)).unwrap();
        spec.nodes.clear();
        spec
    }

    fn rest_with(mut rest: serde_json::Value, calico: serde_json::Value) -> serde_json::Value {
        rest["calico"] = calico;
        rest
    }

    fn lines(rules: &str, address: &str) -> Vec<String> {
        let own = rules.lines().filter(|line| line.contains(&format!(" {address} ")));
        own.map(|line| line.trim().replace(&format!("ip daddr {address} "), "")).collect()
    }

    const RANGES: &str = "10.200.0.0/16";

    #[test]
    fn every_policy_has_its_rules() {
        let pods = [pod("a", "10.200.0.2"), pod("b", "10.200.1.2")];
        let given = [
            listed("10.201.0.7", &["a", "b"], true),
            listed("10.202.0.7", &["a", "b"], true),
            listed("10.202.0.8", &["a", "b"], false),
        ];
        let services = all(&network(), &pods, &given).unwrap();
        assert_eq!(services.iter().filter(|one| one.local).count(), 2, "none is made up beside those");
        let announced: Vec<_> = services.iter().filter_map(Service::announced).collect();
        assert_eq!(announced.len(), 2, "only those of the Local policy");
        let rules = rules(&services, "b", &[RANGES.parse().unwrap()]);
        let (mark, any) = (MARKED, "dnat ip to numgen random mod 2 map { 0 : 10.200.0.2, 1 : 10.200.1.2 }");
        let to = "tcp dport 80";
        assert_eq!(
            lines(&rules, "10.201.0.7"),
            [
                format!("{to} ip saddr != {{ {RANGES} }} {mark}"),
                format!("{to} {any}"),
                format!("{to} {mark} {any}"),
                "reject".to_owned(),
            ],
            "a cluster address reaches all pods, whatever the policy"
        );
        assert_eq!(
            lines(&rules, "10.202.0.7"),
            [
                format!("{to} ip saddr {{ {RANGES} }} {any}"),
                format!("{to} dnat ip to 10.200.1.2"),
                format!("{to} {mark} {any}"),
                "drop".to_owned(),
            ],
            "Local: the node's own pods see the client"
        );
        assert_eq!(
            lines(&rules, "10.202.0.8"),
            [format!("{to} {mark} {any}"), format!("{to} {mark} {any}"), "reject".to_owned()]
        );
        let without = super::rules(&services, "c", &[RANGES.parse().unwrap()]);
        assert_eq!(lines(&without, "10.202.0.7").len(), 3, "a node without a pod sends nobody on: {without}");
    }

    #[test]
    fn a_service_needs_a_pod_on_its_nodes() {
        let faults = all(&network(), &[pod("a", "10.200.0.2")], &[listed("10.202.0.7", &["b"], true)]);
        let faults = faults.unwrap_err();
        assert!(faults[0].message.contains("is to have a pod on `b`, which has none"), "{faults:?}");
        assert_eq!(faults[0].hints, ["nodes with a pod in IPv4: a"]);
    }

    #[test]
    fn nothing_is_asked_for_and_both_policies_are_there() {
        let told = |spec: &NetworkSpec| {
            let services = all(spec, &[pod("a", "10.200.0.2")], &[]).unwrap();
            let one = |one: &Service| (one.address.to_string(), one.local, one.external);
            services.iter().map(one).collect::<Vec<_>>()
        };
        let expected =
            [("10.201.0.80", false, false), ("10.202.0.81", false, true), ("10.202.0.80", true, true)];
        let with = |expected: [(&str, bool, bool); 3]| expected.map(|(text, a, b)| (text.to_owned(), a, b));
        assert_eq!(told(&network()), with(expected));
        // As many as there is room for.
        let mut small = network();
        let range = |spec: &mut NetworkSpec, text: &str| {
            spec.calico[0]["spec"]["serviceLoadBalancerIPs"][0]["cidr"] = text.into();
        };
        range(&mut small, "10.202.0.64/29");
        assert_eq!(
            told(&small),
            with([("10.201.0.80", false, false), ("10.202.0.69", false, true), ("10.202.0.70", true, true)])
        );
        range(&mut small, "10.202.0.64/32");
        assert_eq!(told(&small), with(expected)[..1]);
    }
}
