//! What Calico would tell a node's BIRD, read from the Calico resources of the document alone.
//!
//! Calico's own BIRD is a fork of 1.6 that Debian does not have; its configuration is written here for BIRD 2. The
//! order of the export rules, the kernel's filter and the parameters of sessions are those of Calico's templates.

use std::fmt::Write as _;

use ipnet::IpNet;
use kmh_doc::network::{NetworkSpec, NodePlan};
use serde_json::Value;

use super::documents::Documents;
use super::ground::Ground;

/// `LOCAL_PREF` of a normal route to an iBGP peer, from Calico 3.32: the largest number less the route's priority.
const LOCAL_PREF: u32 = 2_147_483_647 - 1024;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn net(value: &Value) -> IpNet {
    text(value).parse().unwrap_or_else(|_| panic!("no network: {value}"))
}

fn resources<'a>(network: &'a NetworkSpec, kind: &str) -> impl Iterator<Item = &'a Value> {
    network.calico.iter().filter(move |resource| resource["kind"] == kind)
}

fn configuration(network: &NetworkSpec) -> &Value {
    &resources(network, "BGPConfiguration").next().expect("a BGPConfiguration")["spec"]
}

/// Whether a selector chooses a node. Only what a lab has met.
fn selects(selector: &Value, node: &NodePlan) -> bool {
    match selector.as_str() {
        None | Some("all()") => true,
        Some("!all()") => false,
        Some(selector) => {
            let (key, value) = selector.split_once(" == ").expect("a selector that this lab knows");
            let value = value.trim_matches('\'');
            node.labels.iter().any(|(own, has)| own == key && has == value)
                || (key == "kubernetes.io/hostname" && value == node.name)
        }
    }
}

/// The pools out of which a node takes blocks, and the length of a block.
pub fn pools_of(network: &NetworkSpec, node: &NodePlan) -> Vec<(IpNet, u8)> {
    resources(network, "IPPool")
        .filter(|pool| pool["spec"]["disabled"] != true && selects(&pool["spec"]["nodeSelector"], node))
        .filter(|pool| {
            let uses = items(&pool["spec"]["allowedUses"]);
            uses.is_empty() || uses.iter().any(|one| one == "Workload")
        })
        .map(|pool| {
            let size = pool["spec"]["blockSize"].as_u64().expect("a block size");
            (net(&pool["spec"]["cidr"]), u8::try_from(size).expect("a length"))
        })
        .collect()
}

/// The ranges of services that nodes announce.
pub fn services(network: &NetworkSpec) -> Vec<IpNet> {
    let settings = configuration(network);
    let ranges = ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"];
    ranges.into_iter().flat_map(|key| items(&settings[key])).map(|range| net(&range["cidr"])).collect()
}

/// The address of a machine in that family, without its length.
fn own_address(addresses: &[String], v6: bool) -> Option<&str> {
    addresses
        .iter()
        .filter_map(|address| Some(address.split_once('/')?.0))
        .find(|address| address.contains(':') == v6)
}

/// IPv4 of the node, or its number in IPv6, as calico-node makes one up.
fn router_id(node: &NodePlan) -> String {
    if let Some(v4) = own_address(&node.addresses, false) {
        return v4.to_owned();
    }
    let v6: std::net::Ipv6Addr =
        own_address(&node.addresses, true).expect("an address").parse().expect("an address");
    let low = v6.octets();
    format!("1.{}.{}.{}", low[13], low[14], low[15])
}

fn annotation<'a>(node: &'a NodePlan, key: &str) -> Option<&'a str> {
    node.annotations.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
}

/// `bird.conf` of a node, and `more`.
pub fn conf(documents: &Documents, ground: &Ground, name: &str, more: &str) -> String {
    let network = &documents.network;
    let node = network.nodes.iter().find(|node| node.name == name).expect("a node");
    let services = services(network);
    let pools = |key: &'static str, value: bool| {
        resources(network, "IPPool")
            .filter(move |pool| pool["spec"][key].as_bool().unwrap_or_default() == value)
            .map(|pool| net(&pool["spec"]["cidr"]))
            .collect::<Vec<_>>()
    };
    let (enabled, unexported) = (pools("disabled", false), pools("disableBGPExport", true));
    let mut out =
        format!("router id {};\nlog stderr {{ info, warning, error, fatal, bug }};\n", router_id(node));
    out.push_str(
        "protocol device { scan time 2; }\nprotocol direct { ipv4; ipv6; interface -\"cali*\", \"*\"; }\n",
    );
    for (family, v6) in [("ipv4", false), ("ipv6", true)] {
        let when = |nets: &[IpNet], action: &str| {
            let set: Vec<String> =
                nets.iter().filter(|net| net.addr().is_ipv6() == v6).map(|net| format!("{net}+")).collect();
            let set = set.join(", ");
            if set.is_empty() { set } else { format!("  if net ~ [ {set} ] then {action};\n") }
        };
        let blocks: Vec<IpNet> =
            ground.blocks.iter().filter(|(_, owner)| owner == name).map(|(block, _)| *block).collect();
        let single = ground.services.iter().filter(|(_, nodes)| nodes.iter().any(|own| own == name));
        let single = single.map(|(address, _)| IpNet::from(*address));
        let statics = blocks.iter().copied().chain(services.iter().copied()).chain(single);
        let _ = write!(out, "protocol static static_{family} {{\n  {family};\n");
        for prefix in statics.filter(|net| net.addr().is_ipv6() == v6) {
            let _ = writeln!(out, "  route {prefix} blackhole;");
        }
        let _ = write!(
            out,
            "}}\nfilter to_kernel_{family} {{\n  if source = RTS_DEVICE then reject;\n{}  accept;\n}}\n\
             protocol kernel kernel_{family} {{ learn; persist; scan time 2; merge paths on; graceful restart;\n  \
             {family} {{ import all; export filter to_kernel_{family}; }};\n}}\n",
            when(&services, "reject"),
        );
        // The first that decides ends it.
        let _ = write!(out, "function calico_{family}() {{\n{}", when(&unexported, "reject"));
        for block in blocks.iter().filter(|net| net.addr().is_ipv6() == v6) {
            let _ = write!(out, "  if net = {block} then accept;\n  if net ~ [ {block}+ ] then reject;\n");
        }
        let _ = write!(out, "{}{}  reject;\n}}\n", when(&services, "accept"), when(&enabled, "accept"));
    }
    for peer in resources(network, "BGPPeer").filter(|peer| selects(&peer["spec"]["nodeSelector"], node)) {
        self::peer(&mut out, documents, node, &peer["spec"]);
    }
    out + more
}

/// A rule of a `BGPFilter` on export, as Calico writes it for BIRD. Only what a lab has met.
fn filter_rule(rule: &Value, ibgp: bool) -> String {
    let mut conditions = Vec::new();
    for (key, value) in rule.as_object().expect("a rule") {
        match (key.as_str(), value.as_str()) {
            ("source", Some("RemotePeers")) => conditions.push("source = RTS_BGP"),
            ("peerType", Some("eBGP")) if ibgp => return String::new(),
            ("peerType", Some("iBGP")) if !ibgp => return String::new(),
            ("action", _) | ("peerType", Some("eBGP" | "iBGP")) => {}
            _ => panic!("a filter that this lab does not know: {rule}"),
        }
    }
    let action = text(&rule["action"]).to_lowercase();
    if conditions.is_empty() {
        format!("{action}; ")
    } else {
        format!("if {} then {action}; ", conditions.join(" && "))
    }
}

/// Fields of a `BGPPeer` that this lab imitates; with another one it would prove nothing.
const PEER_FIELDS: &[&str] = &[
    "asNumber",
    "filters",
    "keepaliveTime",
    "maxRestartTime",
    "nodeSelector",
    "numAllowedLocalASNumbers",
    "password",
    "peerIP",
];

/// BIRD 1.6 does not know it; BIRD 2 would keep the routes of a silent router beyond the hold time (RFC 9494).
const NO_LLGR: &str = "long lived graceful restart off;";

fn peer(out: &mut String, documents: &Documents, node: &NodePlan, peer: &Value) {
    for field in peer.as_object().expect("a peer").keys() {
        assert!(
            PEER_FIELDS.contains(&field.as_str()),
            "a BGPPeer with `{field}`, which this lab does not know"
        );
    }
    let network = &documents.network;
    let address = text(&peer["peerIP"]);
    let (v6, their_asn) = (address.contains(':'), peer["asNumber"].as_u64().expect("an AS number"));
    let (family, key) = if v6 { ("ipv6", "exportV6") } else { ("ipv4", "exportV4") };
    let own = own_address(&node.addresses, v6).expect("an address of the peer's family");
    let asn = annotation(node, "projectcalico.org/ASNumber").map_or_else(
        || configuration(network)["asNumber"].as_u64().expect("an AS number"),
        |text| text.parse::<u64>().expect("an AS number"),
    );
    let ibgp = asn == their_asn;
    let mut export = String::new();
    for name in items(&peer["filters"]) {
        let filter = resources(network, "BGPFilter")
            .find(|filter| filter["metadata"]["name"] == *name)
            .unwrap_or_else(|| panic!("no BGPFilter {name}"));
        export.extend(items(&filter["spec"][key]).iter().map(|rule| filter_rule(rule, ibgp)));
    }
    let calico = documents.inventory.cluster.versions.calico.as_ref().expect("a version").major_minor();
    if ibgp && calico >= (3, 32) {
        let _ = write!(export, "bgp_local_pref = {LOCAL_PREF}; ");
    }
    let mut more = String::new();
    if let Some(time) = peer["maxRestartTime"].as_str() {
        let _ = write!(more, "graceful restart time {}; ", time.trim_end_matches('s'));
    }
    if let Some(time) = peer["keepaliveTime"].as_str() {
        let _ = write!(more, "keepalive time {}; ", time.trim_end_matches('s'));
    }
    if let Some(count) = peer["numAllowedLocalASNumbers"].as_u64() {
        let _ = write!(more, "allow local as {count}; ");
    }
    if let Some(secret) = peer["password"]["secretKeyRef"].as_object() {
        let password = documents.secret(text(&secret["name"]), text(&secret["key"]));
        let _ = write!(more, "password \"{password}\"; ");
    }
    let name = address.replace(['.', ':'], "_");
    let _ = write!(
        out,
        "protocol bgp router_{name} {{\n  local {own} as {asn};\n  neighbor {address} as {their_asn};\n  \
         source address {own};\n  multihop;\n  graceful restart; {more}\n  {NO_LLGR}\n  \
         connect delay time 2; connect retry time 5; error wait time 5, 30;\n  {family} {{ import all; \
         export filter {{ {export}calico_{family}(); }}; gateway recursive; add paths on; }};\n}}\n",
    );
}
