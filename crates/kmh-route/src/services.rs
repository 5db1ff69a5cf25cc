//! Services, and those whose addresses single nodes announce, as people name them: by hand, or as kubectl prints them.
//!
//! With `externalTrafficPolicy: Local` a node announces the addresses of a service as long as it has a ready pod of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::ground::Service;

/// Services that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {cause}")]
pub struct Unread {
    /// What is wrong.
    pub message: String,
    /// Why.
    pub cause: String,
    /// What to do.
    pub hint: &'static str,
}

/// A service in a list, and its policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// One of its addresses, and the nodes with a ready pod.
    pub service: Service,
    /// Whether `externalTrafficPolicy` is `Local`: those nodes announce the address by itself.
    pub local: bool,
}

/// Reads `ADDRESS=NODE,NODE`, optionally with a name in front: `default/web@ADDRESS=NODE`.
pub fn by_hand(text: &str) -> Result<Service, Unread> {
    let wrong = |cause: String| Unread {
        message: format!("`--service {text}` says no service"),
        cause,
        hint: "write `--service 10.201.0.80=attic-1,pi-1`: an address and the nodes that have a ready pod",
    };
    let (name, rest) = match text.split_once('@') {
        Some((name, rest)) => (Some(name), rest),
        None => (None, text),
    };
    let (address, nodes) = rest.split_once('=').ok_or_else(|| wrong("there is no `=`".to_owned()))?;
    let address: IpAddr = address.parse().map_err(|_| wrong(format!("`{address}` is no address")))?;
    let mut nodes: Vec<String> =
        nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect();
    nodes.sort();
    nodes.dedup();
    if nodes.is_empty() {
        return Err(wrong("no node is named".to_owned()));
    }
    Ok(Service { name: name.map_or_else(|| address.to_string(), str::to_owned), address, nodes })
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
    #[serde(default, rename = "addressType")]
    address_type: String,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
    external_traffic_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    load_balancer: Balancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Balancer {
    ingress: Vec<Ingress>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ingress {
    ip: Option<String>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "nodeName", default)]
    node: Option<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

/// Reads what `kubectl get services,endpointslices -A -o json` prints. Of the addresses only those inside `announced`
/// count, because Calico announces no others.
pub fn from_kubectl(text: &str, announced: &[IpNet]) -> Result<Vec<Listed>, Unread> {
    let is_object = text.trim_start().starts_with('{');
    let list: Result<List, _> = serde_json::from_str(if is_object { text } else { "" });
    let list = list.map_err(|error| Unread {
        message: "the services cannot be read".to_owned(),
        cause: if is_object { error.to_string() } else { "it is no list as kubectl prints it".to_owned() },
        hint: "write them with `kubectl get services,endpointslices -A -o json`",
    })?;
    // Nodes with a ready endpoint, by service and family. Unknown readiness counts as ready (Kubernetes' API).
    let mut ready: BTreeMap<(String, String, bool), BTreeSet<String>> = BTreeMap::new();
    for slice in list.items.iter().filter(|item| item.kind == "EndpointSlice") {
        let Some(service) = slice.metadata.labels.get("kubernetes.io/service-name") else { continue };
        let key = (slice.metadata.namespace.clone(), service.clone(), slice.address_type == "IPv6");
        let nodes = slice.endpoints.iter().flatten();
        let nodes =
            nodes.filter(|one| one.conditions.ready != Some(false)).filter_map(|one| one.node.clone());
        ready.entry(key).or_default().extend(nodes);
    }
    let service = |item: &&Item| item.kind == "Service";
    let local = |item: &Item| item.spec.external_traffic_policy == "Local";
    // Without them every such service would seem to have no pod anywhere.
    if list.items.iter().filter(service).any(local)
        && list.items.iter().all(|item| item.kind != "EndpointSlice")
    {
        return Err(Unread {
            message: "the list has services and no EndpointSlices".to_owned(),
            cause: "only those say which nodes have a ready pod".to_owned(),
            hint: "write both with `kubectl get services,endpointslices -A -o json`",
        });
    }
    let mut services = Vec::new();
    for item in list.items.iter().filter(service) {
        let ingress = item.status.load_balancer.ingress.iter().filter_map(|one| one.ip.as_ref());
        let addresses = item.spec.cluster_ips.iter().chain(&item.spec.external_ips).chain(ingress);
        let addresses: BTreeSet<IpAddr> = addresses.filter_map(|text| text.parse().ok()).collect();
        for address in addresses.into_iter().filter(|ip| announced.iter().any(|net| net.contains(ip))) {
            let key = (item.metadata.namespace.clone(), item.metadata.name.clone(), address.is_ipv6());
            let Some(nodes) = ready.get(&key).filter(|nodes| !nodes.is_empty()) else { continue };
            let name = format!("{}/{}", key.0, key.1);
            let service = Service { name, address, nodes: nodes.iter().cloned().collect() };
            services.push(Listed { service, local: local(item) });
        }
    }
    services.sort();
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_by_hand() {
        let service = by_hand("web@10.201.0.80=pi-1,attic-1,pi-1").unwrap();
        assert_eq!((service.name.as_str(), service.address.to_string()), ("web", "10.201.0.80".to_owned()));
        assert_eq!(service.nodes, ["attic-1", "pi-1"]);
        assert_eq!(by_hand("fd00::1=a").unwrap().name, "fd00::1");
        for (text, cause) in [
            ("10.201.0.80", "there is no `=`"),
            ("10.201.0=a", "`10.201.0` is no address"),
            ("10.201.0.80=,", "no node is named"),
        ] {
            let failure = by_hand(text).unwrap_err().to_string();
            assert!(failure.contains(cause), "{failure}");
        }
    }

    #[test]
    fn services_of_kubectl() {
        let text = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
            {"kind": "Service", "metadata": {"name": "web", "namespace": "default"},
             "spec": {"clusterIPs": ["10.201.0.80"], "externalIPs": ["192.0.2.9"], "externalTrafficPolicy": "Local"},
             "status": {"loadBalancer": {"ingress": [{"ip": "10.202.0.5"}]}}},
            {"kind": "Service", "metadata": {"name": "dns", "namespace": "kube-system"}, "spec": {"clusterIPs": ["10.201.0.10"]}},
            {"kind": "EndpointSlice", "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
             "addressType": "IPv4", "endpoints": [
                {"nodeName": "pi-1", "conditions": {"ready": true}},
                {"nodeName": "flat-1", "conditions": {"ready": false}}]},
        ]}).to_string();
        let announced = ["10.201.0.0/16", "10.202.0.0/24"].map(|net| net.parse().unwrap());
        let services = from_kubectl(&text, &announced).unwrap();
        let said = |services: &[Listed]| {
            let told = services.iter().map(|listed| {
                let Service { name, address, nodes } = &listed.service;
                format!("{name} {address} {} {}", nodes.join(","), listed.local)
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(
            said(&services),
            ["default/web 10.201.0.80 pi-1 true", "default/web 10.202.0.5 pi-1 true"]
        );
        assert!(from_kubectl("{}", &announced).unwrap_err().to_string().contains("missing field `items`"));
        let mut alone: serde_json::Value = serde_json::from_str(&text).unwrap();
        alone["items"].as_array_mut().unwrap().retain(|item| item["kind"] == "Service");
        let failure = from_kubectl(&alone.to_string(), &announced).unwrap_err().to_string();
        assert!(failure.contains("has services and no EndpointSlices"), "{failure}");
        alone["items"][0]["spec"]["externalTrafficPolicy"] = "Cluster".into();
        assert_eq!(from_kubectl(&alone.to_string(), &announced).unwrap(), []);
        let mut cluster: serde_json::Value = serde_json::from_str(&text).unwrap();
        cluster["items"][0]["spec"]["externalTrafficPolicy"] = "Cluster".into();
        let services = from_kubectl(&cluster.to_string(), &announced).unwrap();
        assert_eq!(
            said(&services),
            ["default/web 10.201.0.80 pi-1 false", "default/web 10.202.0.5 pi-1 false"]
        );
    }
}
