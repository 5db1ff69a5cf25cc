//! What Calico would tell a node's BIRD, read from the Calico resources of the document alone.
//!
//! Calico's own BIRD is a fork of 1.6 that Debian does not have; its configuration is written here for BIRD 2. The
//! order of the export rules, the kernel's filter and the parameters of sessions are those of Calico's templates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::IpNet;
use kmh_calico::selector::{Labels, Selector};
use kmh_doc::inventory::Inventory;
use kmh_doc::network::{NetworkSpec, NodePlan};
use kmh_route::Ground;
use serde_json::Value;

use super::segments::mark;
use super::services::Service;

/// `LOCAL_PREF` of a normal route to an iBGP peer, from Calico 3.32: the largest number less the route's priority.
const LOCAL_PREF: u32 = 2_147_483_647 - 1024;

/// What a node's configuration is made of.
pub struct Told<'a> {
    /// For Calico's version.
    pub inventory: &'a Inventory,
    /// The resources.
    pub network: &'a NetworkSpec,
    /// Blocks.
    pub ground: &'a Ground,
    /// Services that single nodes announce.
    pub services: &'a [Service],
    /// References to the keys of TCP signatures, by Secret and key.
    pub passwords: &'a BTreeMap<(String, String), String>,
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(value: &'v Value, what: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("{what} is no text"))
}

fn net(value: &Value) -> Option<IpNet> {
    value.as_str()?.parse().ok()
}

fn resources<'a>(network: &'a NetworkSpec, kind: &str) -> impl Iterator<Item = &'a Value> {
    network.calico.iter().filter(move |resource| resource["kind"] == kind)
}

fn configuration(network: &NetworkSpec) -> &Value {
    static NOTHING: Value = Value::Null;
    resources(network, "BGPConfiguration").next().map_or(&NOTHING, |resource| &resource["spec"])
}

/// The ranges of that kind which nodes announce: `serviceClusterIPs`, `serviceExternalIPs`, `serviceLoadBalancerIPs`.
pub fn ranges(network: &NetworkSpec, kind: &str) -> Vec<IpNet> {
    items(&configuration(network)[kind]).iter().filter_map(|range| net(&range["cidr"])).collect()
}

/// All of them.
pub fn all_ranges(network: &NetworkSpec) -> Vec<IpNet> {
    let kinds = ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"];
    kinds.into_iter().flat_map(|kind| ranges(network, kind)).collect()
}

fn selects(selector: &Value, node: &NodePlan) -> Result<bool, String> {
    let Some(selector) = selector.as_str() else { return Ok(true) };
    let mut labels: Labels<'_> =
        node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    labels.insert("kubernetes.io/hostname", &node.name);
    Ok(Selector::parse(selector)?.selects(&labels))
}

/// The address of a machine in that family, without its length.
fn own_address(addresses: &[String], v6: bool) -> Option<&str> {
    let mut all = addresses.iter().filter_map(|address| Some(address.split_once('/')?.0));
    all.find(|address| address.contains(':') == v6)
}

/// IPv4 of the node, or its number in IPv6, as calico-node makes one up.
fn router_id(node: &NodePlan) -> String {
    if let Some(v4) = own_address(&node.addresses, false) {
        return v4.to_owned();
    }
    let v6 = own_address(&node.addresses, true).and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
    let low = v6.map(|v6| v6.octets()).unwrap_or_default();
    format!("1.{}.{}.{}", low[13], low[14], low[15])
}

/// `bird.conf` of a node, with a mark for every secret; why not, when there is a resource that is not understood.
pub fn conf(told: &Told<'_>, node: &NodePlan) -> Result<String, String> {
    let network = told.network;
    let services = all_ranges(network);
    let pools = |key: &'static str, value: bool| {
        resources(network, "IPPool")
            .filter(move |pool| pool["spec"][key].as_bool().unwrap_or_default() == value)
            .filter_map(|pool| net(&pool["spec"]["cidr"]))
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
        let own = told.ground.blocks.iter().filter(|(_, owner)| *owner == node.name);
        let blocks: Vec<IpNet> = own.map(|(block, _)| *block).collect();
        let single = told.services.iter().filter(|service| service.announcers().contains(node.name.as_str()));
        let single = single.map(|service| IpNet::from(service.address));
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
    for resource in resources(network, "BGPPeer") {
        if selects(&resource["spec"]["nodeSelector"], node)? {
            peer(&mut out, told, node, &resource["spec"])?;
        }
    }
    Ok(out)
}

/// A rule of a `BGPFilter` on export, as Calico writes it for BIRD.
fn filter_rule(rule: &Value, ibgp: bool) -> Result<String, String> {
    let mut conditions = Vec::new();
    for (key, value) in rule.as_object().ok_or("a rule of a BGPFilter is no mapping")? {
        match (key.as_str(), value.as_str()) {
            ("source", Some("RemotePeers")) => conditions.push("source = RTS_BGP"),
            ("peerType", Some("eBGP")) if ibgp => return Ok(String::new()),
            ("peerType", Some("iBGP")) if !ibgp => return Ok(String::new()),
            ("action", _) | ("peerType", Some("eBGP" | "iBGP")) => {}
            _ => return Err(format!("a rule of a BGPFilter with `{key}`")),
        }
    }
    let action = text(&rule["action"], "an action")?.to_lowercase();
    if conditions.is_empty() {
        Ok(format!("{action}; "))
    } else {
        Ok(format!("if {} then {action}; ", conditions.join(" && ")))
    }
}

/// Fields of a `BGPPeer` that are imitated; with another one a rehearsal would prove nothing.
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

fn peer(out: &mut String, told: &Told<'_>, node: &NodePlan, peer: &Value) -> Result<(), String> {
    for field in peer.as_object().ok_or("a BGPPeer is no mapping")?.keys() {
        if !PEER_FIELDS.contains(&field.as_str()) {
            return Err(format!("a BGPPeer with `{field}`"));
        }
    }
    let network = told.network;
    let address = text(&peer["peerIP"], "the address of a BGPPeer")?;
    let (v6, their_asn) = (address.contains(':'), peer["asNumber"].as_u64().unwrap_or_default());
    let (family, key) = if v6 { ("ipv6", "exportV6") } else { ("ipv4", "exportV4") };
    let own = own_address(&node.addresses, v6).ok_or("a BGPPeer of a family that its node does not have")?;
    let asn = u64::from(node.asn.get());
    let ibgp = asn == their_asn;
    let mut export = String::new();
    for name in items(&peer["filters"]) {
        let filter = resources(network, "BGPFilter").find(|filter| filter["metadata"]["name"] == *name);
        let filter = filter.ok_or_else(|| format!("a BGPPeer with the filter {name}, which is not there"))?;
        for rule in items(&filter["spec"][key]) {
            export.push_str(&filter_rule(rule, ibgp)?);
        }
    }
    let calico = told.inventory.cluster.versions.calico.as_ref().map(kmh_doc::Version::major_minor);
    if ibgp && calico.is_some_and(|version| version >= (3, 32)) {
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
        let part = |key: &str| secret.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = (part("name"), part("key"));
        let reference = told.passwords.get(&at);
        let reference = reference
            .ok_or_else(|| format!("a BGPPeer with the Secret `{}`, which is not in the bundle", at.0))?;
        let _ = write!(more, "password \"{}\"; ", mark(reference));
    }
    let name = address.replace(['.', ':'], "_");
    let _ = write!(
        out,
        "protocol bgp router_{name} {{\n  local {own} as {asn};\n  neighbor {address} as {their_asn};\n  \
         source address {own};\n  multihop;\n  graceful restart; {more}\n  {NO_LLGR}\n  \
         connect delay time 2; connect retry time 5; error wait time 5, 30;\n  {family} {{ import all; \
         export filter {{ {export}calico_{family}(); }}; gateway recursive; add paths on; }};\n}}\n",
    );
    Ok(())
}
