//! Services whose addresses single nodes announce, as people name them: by hand, or as kubectl prints them.
//!
//! With `externalTrafficPolicy: Local` a node announces the addresses of a service as long as it has a ready pod of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_cli::Failure;
use kmh_route::ground::Service;
use serde::Deserialize;

/// Reads what [`Service`] is written like.
pub(crate) fn by_hand(text: &str) -> Result<Service, Failure> {
    text.parse().map_err(|cause: String| {
        Failure::wrong(format!("`--service {text}` says no service")).because(cause).hint(
            "write `--service 10.201.0.80=attic-1,pi-1`: an address and the nodes that have a ready pod",
        )
    })
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
pub(crate) fn from_kubectl(text: &str, announced: &[IpNet]) -> Result<Vec<Service>, Failure> {
    let is_object = text.trim_start().starts_with('{');
    let list: Result<List, _> = serde_json::from_str(if is_object { text } else { "" });
    let list = list.map_err(|error| {
        Failure::wrong("the services cannot be read")
            .because(if is_object {
                error.to_string()
            } else {
                "it is no list as kubectl prints it".to_owned()
            })
            .hint("write them with `kubectl get services,endpointslices -A -o json`")
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
    let local = |item: &&Item| item.kind == "Service" && item.spec.external_traffic_policy == "Local";
    // Without them every such service would seem to have no pod anywhere.
    if list.items.iter().any(|item| local(&item))
        && list.items.iter().all(|item| item.kind != "EndpointSlice")
    {
        return Err(Failure::wrong("the list has services and no EndpointSlices")
            .because("only those say which nodes have a ready pod")
            .hint("write both with `kubectl get services,endpointslices -A -o json`"));
    }
    let mut services = Vec::new();
    for item in list.items.iter().filter(local) {
        let ingress = item.status.load_balancer.ingress.iter().filter_map(|one| one.ip.as_ref());
        let addresses = item.spec.cluster_ips.iter().chain(&item.spec.external_ips).chain(ingress);
        let addresses: BTreeSet<IpAddr> = addresses.filter_map(|text| text.parse().ok()).collect();
        for address in addresses.into_iter().filter(|ip| announced.iter().any(|net| net.contains(ip))) {
            let key = (item.metadata.namespace.clone(), item.metadata.name.clone(), address.is_ipv6());
            let Some(nodes) = ready.get(&key).filter(|nodes| !nodes.is_empty()) else { continue };
            services.push(Service {
                name: format!("{}/{}", key.0, key.1),
                address,
                nodes: nodes.iter().cloned().collect(),
            });
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
            let failure = by_hand(text).unwrap_err().render("t", false);
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
        let said: Vec<String> =
            services.iter().map(|s| format!("{} {} {}", s.name, s.address, s.nodes.join(","))).collect();
        assert_eq!(said, ["default/web 10.201.0.80 pi-1", "default/web 10.202.0.5 pi-1"]);
        assert!(
            from_kubectl("{}", &announced).unwrap_err().render("t", false).contains("missing field `items`")
        );
        let mut alone: serde_json::Value = serde_json::from_str(&text).unwrap();
        alone["items"].as_array_mut().unwrap().retain(|item| item["kind"] == "Service");
        let failure = from_kubectl(&alone.to_string(), &announced).unwrap_err().render("t", false);
        assert!(failure.contains("has services and no EndpointSlices"), "{failure}");
        alone["items"][0]["spec"]["externalTrafficPolicy"] = "Cluster".into();
        assert_eq!(from_kubectl(&alone.to_string(), &announced).unwrap(), []);
    }
}
