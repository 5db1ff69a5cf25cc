//! A cluster's network on one machine: every router, node and pod a namespace, plain links for tunnels, FRR with the
//! `frr.conf` of the bundle, BIRD with what Calico would tell it. Built from documents alone.
//!
//! Calico's own BIRD is a fork of 1.6 that Debian does not have; its export rules are written here for BIRD 2, and
//! which pools, filters and peers there are is read from the Calico resources of the document.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use crate::netns::Netns;

/// Where every default route ends. Nothing of the cluster's may arrive here.
pub const INTERNET: &str = "internet";
/// An address of the Internet.
pub const OUTSIDE: &str = "192.0.2.1";
/// The site segments' switches.
const SWITCH: &str = "switch";

/// A node with a pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The node.
    pub node: String,
    /// The node's site.
    pub site: String,
    /// The block of the node.
    pub block: String,
    /// The pod's address, the second of the block.
    pub address: IpAddr,
}

/// The cluster's network, built.
pub struct Wan {
    /// The namespaces.
    pub net: Netns,
    /// `kmh.network/v1`, its spec.
    pub network: Value,
    /// One pod on each node and family.
    pub pods: Vec<Pod>,
}

/// The text items of a list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().map(|items| items.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_v6(prefix: &str) -> bool {
    prefix.contains(':')
}

/// The namespace of a node's pod.
pub fn pod_space(node: &str) -> String {
    format!("pod-{node}")
}

/// The address that lies `offset` behind another.
fn after(address: &str, offset: u32) -> IpAddr {
    match address.parse().expect("an address") {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) + offset).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) + u128::from(offset)).into()),
    }
}

impl Wan {
    /// Builds and starts it: `network` is the spec of `kmh.network/v1`, `confs` each router's `frr.conf`.
    pub fn up(network: Value, confs: &BTreeMap<String, String>) -> Self {
        let pods = pods(&network);
        let mut wan = Self { net: Netns::new(), network, pods };
        wan.lay_cables();
        for router in items(&wan.network["routers"].clone()) {
            let name = text(&router["name"]);
            wan.net.start_frr(name, confs.get(name).unwrap_or_else(|| panic!("no frr.conf for {name}")));
        }
        for node in items(&wan.network["nodes"].clone()) {
            wan.net.start_bird(text(&node["name"]), &wan.bird(text(&node["name"]), ""));
        }
        wan
    }

    fn lay_cables(&mut self) {
        let network = self.network.clone();
        for space in [INTERNET, SWITCH] {
            self.net.add(space);
        }
        self.net.ip(INTERNET, &["addr", "add", &format!("{OUTSIDE}/32"), "dev", "lo"]);
        for router in items(&network["routers"]) {
            self.router(router);
        }
        for node in items(&network["nodes"]) {
            self.node(node);
        }
        for tunnel in items(&network["tunnels"]) {
            let ends = items(&tunnel["ends"]);
            let end = |n: usize| (text(&ends[n]["router"]), text(&ends[n]["interface"]));
            self.net.link(end(0), end(1));
            for (space, interface, end) in
                ends.iter().enumerate().map(|(n, value)| (end(n).0, end(n).1, value))
            {
                for (address, prefix) in texts(&end["addresses"]).iter().zip(texts(&tunnel["networks"])) {
                    let length = prefix.split_once('/').expect("a network").1;
                    self.net.ip(space, &["addr", "add", &format!("{address}/{length}"), "dev", interface]);
                }
            }
        }
    }

    /// A port of a site's switch for somebody's interface.
    fn plug(&self, space: &str, interface: &str, site: &str) {
        let bridge = format!("s-{site}");
        if self.net.sh(SWITCH, &format!("ip link show {bridge}")).code != 0 {
            self.net.ip(SWITCH, &["link", "add", &bridge, "type", "bridge"]);
            self.net.ip(SWITCH, &["link", "set", &bridge, "up"]);
        }
        let port = format!("p-{space}");
        self.net.link((space, interface), (SWITCH, &port));
        self.net.ip(SWITCH, &["link", "set", &port, "master", &bridge]);
    }

    fn router(&mut self, router: &Value) {
        let (name, site) = (text(&router["name"]), text(&router["site"]));
        self.net.add(name);
        self.plug(name, "nodes", site);
        for address in texts(&router["addresses"]) {
            self.net.ip(name, &["addr", "add", address, "dev", "nodes"]);
        }
        // Its line, with the default route over it.
        let number = items(&self.network["routers"])
            .iter()
            .position(|other| other["name"] == router["name"])
            .expect("itself");
        self.net.link((name, "line"), (INTERNET, name));
        for (family, ours, theirs) in [
            ("-4", format!("198.18.{number}.2/30"), format!("198.18.{number}.1/30")),
            ("-6", format!("2001:db8:ffff:{number}::2/64"), format!("2001:db8:ffff:{number}::1/64")),
        ] {
            self.net.ip(name, &["addr", "add", &ours, "dev", "line"]);
            self.net.ip(INTERNET, &["addr", "add", &theirs, "dev", name]);
            let gateway = theirs.split_once('/').expect("an address").0;
            self.net.ip(name, &[family, "route", "add", "default", "via", gateway]);
        }
        // Its other segments: what it originates and does not have on the node segment.
        let segments: Vec<String> =
            texts(&router["addresses"]).into_iter().map(|address| self.connected(name, address)).collect();
        for (number, lan) in texts(&router["originate"])
            .into_iter()
            .filter(|net| !segments.iter().any(|own| own == net))
            .enumerate()
        {
            let (base, length) = lan.split_once('/').expect("a network");
            let interface = format!("lan{number}");
            self.net.link((name, &interface), (SWITCH, &format!("{interface}-{name}")));
            self.net.ip(name, &["addr", "add", &format!("{}/{length}", after(base, 1)), "dev", &interface]);
        }
    }

    /// The network of a connected address, as the kernel has it.
    fn connected(&self, space: &str, address: &str) -> String {
        let length = address.split_once('/').expect("an address with a length").1;
        let family = if is_v6(address) { "-6" } else { "-4" };
        let routes = self.net.ip(space, &[family, "-o", "route", "show", "dev", "nodes", "proto", "kernel"]);
        let networks = routes.lines().filter_map(|line| line.split_whitespace().next());
        networks
            .filter(|net| !net.starts_with("fe80"))
            .find(|net| net.ends_with(&format!("/{length}")))
            .expect("a connected network")
            .to_owned()
    }

    fn node(&mut self, node: &Value) {
        let (name, site) = (text(&node["name"]), text(&node["site"]));
        let pod = pod_space(name);
        self.net.add(name);
        self.net.add(&pod);
        self.plug(name, "eth0", site);
        self.net.link((name, "cali0"), (&pod, "eth0"));
        for address in texts(&node["addresses"]) {
            self.net.ip(name, &["addr", "add", address, "dev", "eth0"]);
        }
        for gateway in texts(&node["gateways"]) {
            let family = if is_v6(gateway) { "-6" } else { "-4" };
            self.net.ip(name, &[family, "route", "add", "default", "via", gateway]);
        }
        // As Calico's CNI plugin does: a /32, an address that only the node's proxy ARP answers for, or a link-local one.
        self.net
            .sh(name, "sysctl -q -w net.ipv4.conf.cali0.proxy_arp=1 net.ipv4.neigh.cali0.proxy_delay=0")
            .exits(0);
        self.net.ip(name, &["addr", "add", "fe80::1/64", "dev", "cali0"]);
        for own in self.pods.clone().iter().filter(|own| own.node == name) {
            let address = own.address.to_string();
            self.net.ip(&pod, &["addr", "add", &address, "dev", "eth0"]);
            if own.address.is_ipv6() {
                self.net.ip(&pod, &["-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0"]);
                self.net.ip(name, &["-6", "route", "add", &address, "dev", "cali0"]);
            } else {
                self.net.ip(&pod, &["route", "add", "169.254.1.1", "dev", "eth0", "scope", "link"]);
                self.net.ip(&pod, &["route", "add", "default", "via", "169.254.1.1", "dev", "eth0"]);
                self.net.ip(name, &["route", "add", &address, "dev", "cali0"]);
            }
        }
    }

    /// What Calico would tell a node's BIRD, and `more`.
    pub fn bird(&self, name: &str, more: &str) -> String {
        let node = items(&self.network["nodes"]).iter().find(|node| node["name"] == name).expect("a node");
        let resources = |kind: &'static str| {
            items(&self.network["calico"]).iter().filter(move |resource| resource["kind"] == kind)
        };
        let zone = items(&node["labels"])
            .iter()
            .find(|label| label[0] == "topology.kubernetes.io/zone")
            .expect("a zone");
        let settings = &resources("BGPConfiguration").next().expect("a BGPConfiguration")["spec"];
        let ranges = ["serviceClusterIPs", "serviceLoadBalancerIPs"].map(|key| items(&settings[key]));
        let services: Vec<&str> = ranges.into_iter().flatten().map(|range| text(&range["cidr"])).collect();
        let pools = |key: &'static str| {
            resources("IPPool")
                .filter(move |pool| pool["spec"][key] == true)
                .map(|pool| text(&pool["spec"]["cidr"]))
        };
        let enabled: Vec<&str> = resources("IPPool")
            .filter(|pool| pool["spec"]["disabled"] != true)
            .map(|pool| text(&pool["spec"]["cidr"]))
            .collect();
        let unexported: Vec<&str> = pools("disableBGPExport").collect();

        let mut out =
            format!("router id {};\nlog stderr {{ info, warning, error, fatal, bug }};\n", router_id(node));
        out.push_str("protocol device { scan time 2; }\nprotocol direct { ipv4; ipv6; interface -\"cali*\", \"*\"; }\n");
        for (family, v6) in [("ipv4", false), ("ipv6", true)] {
            let of = |prefixes: &[&str]| {
                prefixes
                    .iter()
                    .filter(|net| is_v6(net) == v6)
                    .map(|net| format!("{net}+"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let when = |prefixes: &[&str], action: &str| match of(prefixes).as_str() {
                "" => String::new(),
                set => format!("  if net ~ [ {set} ] then {action};\n"),
            };
            let blocks: Vec<&str> = self
                .pods
                .iter()
                .filter(|pod| pod.node == name && is_v6(&pod.block) == v6)
                .map(|pod| pod.block.as_str())
                .collect();
            let _ = write!(out, "protocol static static_{family} {{\n  {family};\n");
            for prefix in blocks.iter().chain(services.iter().filter(|net| is_v6(net) == v6)) {
                let _ = writeln!(out, "  route {prefix} blackhole;");
            }
            let _ = write!(
                out,
                "}}\nfilter to_kernel_{family} {{\n  if source = RTS_DEVICE then reject;\n{}  accept;\n}}\n\
                 protocol kernel kernel_{family} {{ learn; persist; scan time 2; merge paths on; graceful restart;\n  \
                 {family} {{ import all; export filter to_kernel_{family}; }};\n}}\n",
                when(&services, "reject"),
            );
            // The order of Calico's export rules; the first that decides ends it.
            let _ = write!(out, "function calico_{family}() {{\n{}", when(&unexported, "reject"));
            for block in &blocks {
                let _ =
                    write!(out, "  if net = {block} then accept;\n  if net ~ [ {block}+ ] then reject;\n");
            }
            let _ = write!(out, "{}{}  reject;\n}}\n", when(&services, "accept"), when(&enabled, "accept"));
        }
        for peer in resources("BGPPeer").map(|peer| &peer["spec"]) {
            if text(&peer["nodeSelector"]) != format!("topology.kubernetes.io/zone == '{}'", text(&zone[1])) {
                continue;
            }
            self.peer(&mut out, node, peer);
        }
        out + more
    }

    fn peer(&self, out: &mut String, node: &Value, peer: &Value) {
        let address = text(&peer["peerIP"]);
        let v6 = is_v6(address);
        let (family, key) = if v6 { ("ipv6", "exportV6") } else { ("ipv4", "exportV4") };
        let own = texts(&node["addresses"])
            .into_iter()
            .find(|own| is_v6(own) == v6)
            .expect("an address of the peer's family");
        let own = own.split_once('/').expect("an address with a length").0;
        let mut guard = String::new();
        for name in texts(&peer["filters"]) {
            let filters = items(&self.network["calico"])
                .iter()
                .filter(|filter| filter["kind"] == "BGPFilter" && filter["metadata"]["name"] == name);
            for rule in filters.flat_map(|filter| items(&filter["spec"][key])) {
                assert_eq!(
                    *rule,
                    serde_json::json!({"source": "RemotePeers", "action": "Reject"}),
                    "a filter that this lab does not know"
                );
                guard.push_str("if source = RTS_BGP then reject; ");
            }
        }
        let restart = peer["maxRestartTime"]
            .as_str()
            .map_or(String::new(), |time| format!("graceful restart time {};", time.trim_end_matches('s')));
        let asn = &items(&self.network["calico"])
            .iter()
            .find(|r| r["kind"] == "BGPConfiguration")
            .expect("a BGPConfiguration")["spec"]["asNumber"];
        let _ = write!(
            out,
            "protocol bgp router_{} {{\n  local {own} as {asn};\n  neighbor {address} as {};\n  source address {own};\n  multihop;\n  \
             graceful restart; {restart}\n  connect delay time 2; connect retry time 5; error wait time 5, 30;\n  \
             {family} {{ import all; export filter {{ {guard}calico_{family}(); }}; gateway recursive; add paths on; }};\n}}\n",
            address.replace(['.', ':'], "_"),
            peer["asNumber"],
        );
    }

    /// Lets every packet of a tunnel vanish; both interfaces stay up.
    pub fn cut(&self, tunnel: &Value) {
        let end = &items(&tunnel["ends"])[0];
        let interface = text(&end["interface"]);
        let rules = format!(
            "table inet cut_{interface} {{\n\
             chain i {{ type filter hook prerouting priority -400; iifname {interface} drop; }}\n\
             chain o {{ type filter hook postrouting priority 400; oifname {interface} drop; }}\n}}\n"
        );
        self.net.nft(text(&end["router"]), &rules);
    }

    /// Pings a pod from another one, once.
    pub fn ping(&self, from: &Pod, to: &Pod) -> Result<(), String> {
        let ran = self
            .net
            .sh(&pod_space(&from.node), &format!("ping -n -c 1 -W 1 -I {} {}", from.address, to.address));
        if ran.code == 0 {
            Ok(())
        } else {
            Err(format!("{} to {} ({}):\n{}{}", from.node, to.node, to.address, ran.stdout, ran.stderr))
        }
    }

    /// Whether every pod reaches every other of its family.
    pub fn all_reach_all(&self) -> Result<(), String> {
        for from in &self.pods {
            for to in self
                .pods
                .iter()
                .filter(|to| to.node != from.node && to.address.is_ipv6() == from.address.is_ipv6())
            {
                self.ping(from, to)?;
            }
        }
        Ok(())
    }
}

/// IPv4 of the node, or its number in IPv6, as calico-node makes one up.
fn router_id(node: &Value) -> String {
    let addresses = texts(&node["addresses"]);
    let v4 = addresses
        .iter()
        .find(|address| !is_v6(address))
        .map(|address| address.split_once('/').expect("an address").0.to_owned());
    v4.unwrap_or_else(|| {
        let IpAddr::V6(v6) = addresses[0].split_once('/').expect("an address").0.parse().expect("an address")
        else {
            unreachable!()
        };
        let low = v6.octets();
        format!("1.{}.{}.{}", low[13], low[14], low[15])
    })
}

/// A block for each node out of its site's pools, not one after the other, with a pod in it.
fn pods(network: &Value) -> Vec<Pod> {
    let mut pods = Vec::new();
    let mut used: BTreeMap<&str, u32> = BTreeMap::new();
    for node in items(&network["nodes"]) {
        let site = text(&node["site"]);
        let number = used.entry(site).or_default();
        *number += 3;
        for pool in items(&network["calico"]).iter().filter(|pool| {
            pool["kind"] == "IPPool"
                && pool["metadata"]["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with(&format!("pods.{site}.")))
        }) {
            let base = text(&pool["spec"]["cidr"]).split_once('/').expect("a network").0;
            let first = after(base, *number * 64);
            pods.push(Pod {
                node: text(&node["name"]).to_owned(),
                site: site.to_owned(),
                block: format!("{first}/{}", pool["spec"]["blockSize"]),
                address: after(&first.to_string(), 2),
            });
        }
    }
    pods
}
