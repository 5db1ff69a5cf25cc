//! What holds between the fields of a resource, and between resources: Calico's own validation rules from v3.32 on, what
//! its Go validator asks before, and what its BIRD makes of the rest.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde_json::Value;

use crate::fields;
use crate::formats::{Format, cidr, duration_ms, peer, plain};
use crate::selector::Selector;
use crate::validate::{Complaint, Tell, subject};

/// How Calico stores its resources, and plain kubectl writes them.
pub const GROUP_CRD: &str = "crd.projectcalico.org/v1";
/// For calicoctl, Calico's API server, and from v3.32 on for plain kubectl.
pub const GROUP_V3: &str = "projectcalico.org/v3";

/// The restart time has 12 bits (RFC 4724, 3).
const LONGEST_RESTART_MS: u64 = 4_095_000;
/// BIRD knows no hold time beyond 16 bits of seconds, and keepalives are a third of one (RFC 4271, 4.2 and 4.4).
const LONGEST_KEEPALIVE_MS: u64 = 21_845_000;

/// Group, kind and name.
pub(crate) fn head(resource: &Value, tell: &mut Tell<'_>) {
    let group = resource["apiVersion"].as_str().unwrap_or_default();
    if ![GROUP_CRD, GROUP_V3].contains(&group) {
        tell("apiVersion", format!("`{}` is neither `{GROUP_CRD}` nor `{GROUP_V3}`", plain(group)));
    }
    match resource["kind"].as_str() {
        None => tell("kind", "it is missing".to_owned()),
        Some(name) => {
            if let Some(only) = fields::kind(name).and_then(|kind| kind.group).filter(|only| *only != group) {
                tell("kind", format!("only `{only}` has a {name}"));
            }
        }
    }
    match resource["metadata"]["name"].as_str() {
        None => tell("metadata.name", "it is missing".to_owned()),
        Some(name) => {
            if let Err(why) = Format::Name.check(name) {
                tell("metadata.name", why);
            }
        }
    }
}

/// The rules of one kind.
pub(crate) fn of_kind(kind: &str, resource: &Value, tell: &mut Tell<'_>) {
    let spec = &resource["spec"];
    match kind {
        "BGPConfiguration" => configuration(resource, spec, tell),
        "BGPFilter" => filter(spec, tell),
        "BGPPeer" => bgp_peer(spec, tell),
        "IPAMConfig" | "IPAMConfiguration" => ipam(resource, spec, tell),
        "IPPool" => pool(spec, tell),
        _ => {}
    }
}

/// Whether a field says something: an empty text says as much as none.
fn says(spec: &Value, field: &str) -> bool {
    match &spec[field] {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

fn list<'v>(spec: &'v Value, field: &str) -> &'v [Value] {
    spec[field].as_array().map_or(&[], Vec::as_slice)
}

/// Pairs of fields that exclude each other.
const EXCLUSIVE: &[(&str, &str)] = &[
    ("node", "nodeSelector"),
    ("peerIP", "peerSelector"),
    ("asNumber", "peerSelector"),
    ("peerIP", "localWorkloadSelector"),
    ("peerSelector", "localWorkloadSelector"),
];

/// Fields that Calico ignores where it makes peers out of nodes (`confd`'s branch for `peerSelector`).
const BY_ADDRESS_ONLY: &[&str] = &["localASNumber", "numAllowedLocalASNumbers", "reachableBy"];

fn bgp_peer(spec: &Value, tell: &mut Tell<'_>) {
    for (one, other) in EXCLUSIVE {
        if says(spec, one) && says(spec, other) {
            tell(&format!("spec.{one}"), format!("it excludes `{other}`"));
        }
    }
    if !["peerIP", "peerSelector", "localWorkloadSelector"].iter().any(|field| says(spec, field)) {
        tell("spec", "it names no peer: `peerIP`, or `peerSelector`".to_owned());
    }
    if !says(spec, "asNumber") && !says(spec, "peerSelector") {
        tell("spec.asNumber", "the field is missing".to_owned());
    }
    for field in BY_ADDRESS_ONLY.iter().filter(|field| says(spec, field) && !says(spec, "peerIP")) {
        tell(&format!("spec.{field}"), "Calico ignores it without `peerIP`".to_owned());
    }
    if spec["keepOriginalNextHop"] == true && says(spec, "nextHopMode") {
        tell("spec.keepOriginalNextHop", "it excludes `nextHopMode`, which replaces it".to_owned());
    }
    let address = |field: &str| spec[field].as_str().and_then(peer);
    if let (Some(gateway), Some(peer)) = (address("reachableBy"), address("peerIP"))
        && gateway.is_ipv4() != peer.is_ipv4()
    {
        tell("spec.reachableBy", "it is of another family than `peerIP`".to_owned());
    }
    for (field, least, most) in
        [("maxRestartTime", 0, LONGEST_RESTART_MS), ("keepaliveTime", 1000, LONGEST_KEEPALIVE_MS)]
    {
        let Some(ms) = spec[field].as_str().and_then(duration_ms) else { continue };
        if !(least..=most).contains(&ms) || ms % 1000 != 0 {
            let (least, most) = (least / 1000, most / 1000);
            tell(
                &format!("spec.{field}"),
                format!("it is no number of whole seconds from {least} to {most}"),
            );
        }
    }
}

/// What a `BGPConfiguration` of one node may say.
const OF_A_NODE: &[&str] =
    &["communities", "ignoredInterfaces", "listenPort", "logSeverityScreen", "prefixAdvertisements"];

fn configuration(resource: &Value, spec: &Value, tell: &mut Tell<'_>) {
    let name = resource["metadata"]["name"].as_str().unwrap_or_default();
    if name.starts_with("node.") {
        for field in spec.as_object().into_iter().flat_map(|fields| fields.keys()) {
            if !OF_A_NODE.contains(&field.as_str()) {
                tell(
                    &format!("spec.{}", plain(field)),
                    "only `default` may say it, for all nodes".to_owned(),
                );
            }
        }
    } else if name != "default" {
        tell("metadata.name", "Calico reads `default` and `node.NAME`, and no other".to_owned());
    }
    if spec["nodeToNodeMeshEnabled"] == false {
        for field in ["nodeMeshPassword", "nodeMeshMaxRestartTime"] {
            if says(spec, field) {
                tell(
                    &format!("spec.{field}"),
                    "there is no mesh: `nodeToNodeMeshEnabled` is false".to_owned(),
                );
            }
        }
    }
    let advertised = list(spec, "prefixAdvertisements");
    if says(spec, "communities") && advertised.is_empty() {
        tell("spec.communities", "no `prefixAdvertisements` uses them".to_owned());
    }
    let names: BTreeSet<&str> =
        list(spec, "communities").iter().filter_map(|one| one["name"].as_str()).collect();
    for (n, one) in advertised.iter().enumerate() {
        for (m, community) in list(one, "communities").iter().enumerate() {
            let Some(text) = community.as_str() else { continue };
            if !names.contains(text) && Format::Community.check(text).is_err() {
                let place = format!("spec.prefixAdvertisements[{n}].communities[{m}]");
                tell(&place, format!("`{}` is neither a community nor the name of one", plain(text)));
            }
        }
    }
}

fn filter(spec: &Value, tell: &mut Tell<'_>) {
    for (direction, v6) in [("exportV4", false), ("exportV6", true), ("importV4", false), ("importV6", true)]
    {
        for (n, rule) in list(spec, direction).iter().enumerate() {
            let place = |field: &str| format!("spec.{direction}[{n}].{field}");
            if says(rule, "cidr") != says(rule, "matchOperator") {
                tell(&place("cidr"), "`cidr` and `matchOperator` go together".to_owned());
            }
            if says(rule, "prefixLength") && !says(rule, "cidr") {
                tell(&place("prefixLength"), "it means nothing without `cidr`".to_owned());
            }
            if let Some(net) = rule["cidr"].as_str().and_then(|text| cidr(text).ok())
                && is_v6(net) != v6
            {
                tell(&place("cidr"), format!("{net} is of another family than `{direction}`"));
            }
            let length = |end: &str| rule["prefixLength"][end].as_i64();
            if let (Some(min), Some(max)) = (length("min"), length("max"))
                && min > max
            {
                tell(&place("prefixLength"), format!("nothing is from {min} to {max}"));
            }
            if says(rule, "operations") && rule["action"] != "Accept" {
                tell(&place("operations"), "they go with `action: Accept` only".to_owned());
            }
        }
    }
}

fn ipam(resource: &Value, spec: &Value, tell: &mut Tell<'_>) {
    if resource["metadata"]["name"] != "default" {
        tell("metadata.name", "Calico reads `default`, and no other".to_owned());
    }
    if spec["strictAffinity"] == false && spec["autoAllocateBlocks"] == false {
        tell("spec.autoAllocateBlocks", "false needs `strictAffinity: true`".to_owned());
    }
    if spec["strictAffinity"] == false && spec["maxBlocksPerHost"].as_u64().is_some_and(|most| most > 0) {
        tell("spec.maxBlocksPerHost", "it needs `strictAffinity: true`".to_owned());
    }
}

fn is_v6(net: IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn link_local() -> [IpNet; 2] {
    let net = |address: std::net::IpAddr, length| IpNet::new(address, length).unwrap_or_default();
    let v6 = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    [net(std::net::Ipv4Addr::new(169, 254, 0, 0).into(), 16), net(v6.into(), 10)]
}

fn pool(spec: &Value, tell: &mut Tell<'_>) {
    let encapsulated =
        |field: &str| spec[field].as_str().is_some_and(|mode| mode != "Never" && !mode.is_empty());
    if encapsulated("ipipMode") && encapsulated("vxlanMode") {
        tell("spec.ipipMode", "it excludes `vxlanMode`".to_owned());
    }
    if let Some(net) = spec["cidr"].as_str().and_then(|text| cidr(text).ok()) {
        let (shortest, longest, default) = if is_v6(net) { (116, 128, 122) } else { (20, 32, 26) };
        let size = spec["blockSize"].as_i64().unwrap_or(default);
        if !(shortest..=longest).contains(&size) {
            tell("spec.blockSize", format!("{size} is not from {shortest} to {longest}"));
        } else if i64::from(net.prefix_len()) > size && spec["disabled"] != true {
            tell("spec.blockSize", format!("a block of /{size} does not fit into {net}"));
        }
        if is_v6(net) && encapsulated("ipipMode") {
            tell("spec.ipipMode", "there is no IPIP for IPv6".to_owned());
        }
        if link_local().iter().any(|local| overlap(*local, net)) {
            tell("spec.cidr", format!("{net} is for link-local addresses"));
        }
    }
    if let Some(Ok(selector)) = spec["nodeSelector"].as_str().map(Selector::parse)
        && selector.is_global()
    {
        tell("spec.nodeSelector", "`global()` selects no node".to_owned());
    }
    let uses: Vec<&str> = list(spec, "allowedUses").iter().filter_map(Value::as_str).collect();
    if uses.iter().collect::<BTreeSet<_>>().len() < uses.len() {
        tell("spec.allowedUses", "a use is named twice".to_owned());
    }
    if uses.contains(&"LoadBalancer") {
        if uses.len() > 1 {
            tell("spec.allowedUses", "`LoadBalancer` excludes other uses".to_owned());
        }
        if encapsulated("ipipMode") || encapsulated("vxlanMode") {
            tell("spec.ipipMode", "a pool for load balancers has no encapsulation".to_owned());
        }
        if spec["disableBGPExport"] == true {
            tell("spec.disableBGPExport", "nobody would learn of the services' addresses".to_owned());
        }
        if spec["nodeSelector"] != "all()" {
            tell("spec.nodeSelector", "a pool for load balancers has `all()`".to_owned());
        }
    }
}

/// What holds between resources.
pub(crate) fn across(resources: &[Value], found: &mut Vec<Complaint>) {
    let mut tell = |resource: &Value, place: &str, message: String| {
        found.push(Complaint { subject: subject(resource), place: place.to_owned(), message });
    };
    let of = |kind: &'static str| resources.iter().filter(move |one| one["kind"] == kind);
    let name = |one: &Value| one["metadata"]["name"].as_str().unwrap_or_default().to_owned();

    let mut names: BTreeSet<(String, String)> = BTreeSet::new();
    for one in resources {
        if !names.insert((one["kind"].as_str().unwrap_or_default().to_owned(), name(one))) {
            tell(one, "metadata.name", "there are two of that name".to_owned());
        }
    }
    let first = resources.first().map(|one| &one["apiVersion"]);
    if let Some(other) = resources.iter().find(|one| Some(&one["apiVersion"]) != first) {
        tell(other, "apiVersion", "others are of another group: a cluster is written to by one".to_owned());
    }

    let filters: BTreeSet<String> = of("BGPFilter").map(name).collect();
    let mut peers: BTreeMap<[String; 3], String> = BTreeMap::new();
    for one in of("BGPPeer") {
        for (n, filter) in list(&one["spec"], "filters").iter().enumerate() {
            if filter.as_str().is_some_and(|filter| !filters.contains(filter)) {
                let message =
                    format!("there is no BGPFilter `{}`", plain(filter.as_str().unwrap_or_default()));
                tell(one, &format!("spec.filters[{n}]"), message);
            }
        }
        let key = ["peerIP", "nodeSelector", "node"]
            .map(|field| one["spec"][field].as_str().unwrap_or_default().to_owned());
        if let Some(other) = peers.insert(key.clone(), name(one)).filter(|_| !key[0].is_empty()) {
            tell(one, "spec.peerIP", format!("`{}` is the same peer of the same nodes", plain(&other)));
        }
    }

    let mut pools: Vec<(IpNet, &Value)> =
        of("IPPool").filter_map(|one| Some((cidr(one["spec"]["cidr"].as_str()?).ok()?, one))).collect();
    pools.sort_by_key(|(net, one)| (*net, subject(one)));
    // Sorted by address and then by length, what overlaps a pool comes right behind the widest that began before it.
    let mut widest: Option<(IpNet, &Value)> = None;
    for (net, one) in pools {
        match widest {
            Some((wide, other)) if overlap(wide, net) => {
                tell(one, "spec.cidr", format!("{net} overlaps {wide} of `{}`", plain(&name(other))));
            }
            _ => widest = Some((net, one)),
        }
    }
}
