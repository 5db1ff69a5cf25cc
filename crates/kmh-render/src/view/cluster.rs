//! Views of the cluster's manifests.

use kmh_doc::pki::Class;
use serde::Serialize;

use crate::fault::Fault;
use crate::safe;
use crate::shared::{ClusterTarget, host};
use crate::versions;
use crate::view::View;
use crate::view::node::proxy_mode;
use crate::yaml;

#[derive(Serialize)]
struct Rbac<'a> {
    kubelet_client: &'a str,
    admins: &'a [String],
}

/// `00-rbac.yaml`: names and groups as the certificates have them.
pub(crate) fn rbac(t: &ClusterTarget<'_>) -> Result<View, Fault> {
    let pki = &t.shared.pki;
    let name = t.host.name.as_str();
    Ok(View::of(Rbac {
        kubelet_client: &pki.certificate(Class::ApiserverKubeletClient, name)?.common_name,
        admins: &pki.certificate(Class::Admin, name)?.organizations,
    }))
}

#[derive(Serialize)]
struct Calico<'a> {
    version: &'a str,
    mtu: String,
    port: String,
    v4: bool,
    v6: bool,
    /// Whether Calico's controller hands out addresses of services of type `LoadBalancer` (from 3.30).
    load_balancer: bool,
    /// Felix's own choice between nftables and iptables, which must be kube-proxy's; none where it has no such choice.
    nftables: Option<&'static str>,
}

/// `20-calico.yaml`.
pub(crate) fn calico(t: &ClusterTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    Ok(View::of(Calico {
        version: &s.versions.calico,
        mtu: s.network.pod_mtu.to_string(),
        port: s.api.local_port.to_string(),
        v4: s.model.pods.iter().any(|net| net.addr().is_ipv4()),
        v6: s.model.pods.iter().any(|net| net.addr().is_ipv6()),
        load_balancer: s.versions.calico_minor >= (3, 30),
        nftables: match s.versions.calico_minor {
            // It looks at each node's kube-proxy.
            minor if minor >= (3, 32) => Some("Auto"),
            minor if minor < (3, 29) => None,
            _ if proxy_mode(s, t.host) == "nftables" => Some("Enabled"),
            _ => Some("Disabled"),
        },
    }))
}

#[derive(Serialize)]
struct Resources {
    documents: Vec<minijinja::Value>,
}

/// `15-calico-resources.yaml`: the network document's resources as they are.
pub(crate) fn calico_resources(t: &ClusterTarget<'_>) -> Result<View, Fault> {
    let block = |resource| minijinja::Value::from_safe_string(yaml::block(resource, 0));
    Ok(View::of(Resources { documents: t.shared.network.calico.iter().map(block).collect() }))
}

#[derive(Serialize)]
struct CoreDns<'a> {
    image: String,
    domain: &'a str,
    cluster_ip: String,
    cluster_ips: Vec<String>,
    families: Vec<&'static str>,
}

/// `30-coredns.yaml`.
pub(crate) fn coredns(t: &ClusterTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let addresses = s.model.dns_service_addresses();
    let first =
        addresses.first().ok_or_else(|| Fault::new("the service range has no room for the DNS service"))?;
    Ok(View::of(CoreDns {
        image: versions::coredns(s.versions.minor),
        domain: s.model.domain.as_str(),
        cluster_ip: first.to_string(),
        cluster_ips: addresses.iter().map(ToString::to_string).collect(),
        families: addresses.iter().map(|address| if address.is_ipv6() { "IPv6" } else { "IPv4" }).collect(),
    }))
}

#[derive(Serialize)]
struct Apply {
    crds: &'static str,
    server: String,
    certificate: String,
    key: String,
}

/// `apply-cluster.sh`, and the unit that runs it.
pub(crate) fn apply(t: &ClusterTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let admin = s.pki.only(Class::BreakGlassAdmin)?;
    let key = admin.key.clone().unwrap_or_else(|| format!("{}.key", admin.name));
    let address = t.host.addresses.first().map_or_else(String::new, |address| host(*address));
    Ok(View::of(Apply {
        crds: versions::CRDS,
        server: format!("https://{address}:{}", s.api.port),
        certificate: format!("{}.crt", safe::word(&admin.name)?),
        key: safe::word(&key)?.to_owned(),
    }))
}
