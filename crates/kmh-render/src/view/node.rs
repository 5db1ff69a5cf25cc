//! Views of every node: kernel, resolver, containerd, haproxy, kubelet, kube-proxy.

use std::net::IpAddr;

use kmh_doc::inventory::{Component, TaintEffect};
use kmh_doc::network::NodePlan;
use kmh_doc::pki::Class;
use kmh_model::Node;
use serde::Serialize;
use serde_json::json;

use crate::fault::Fault;
use crate::settings::{flags, merge};
use crate::shared::{NodeTarget, Shared, commas, host};
use crate::versions;
use crate::view::control::{Flags, Lines};
use crate::view::{Nothing, View};

/// For templates without variables.
pub(crate) fn nothing(_: &NodeTarget<'_>) -> Result<View, Fault> {
    Ok(View::of(Nothing {}))
}

/// The annotation in which Calico looks for a node's AS number; without it, it has the cluster's.
pub(crate) const AS_NUMBER: &str = "projectcalico.org/ASNumber";

/// Whether the plan gives a node an AS number of its own: in layouts B and D.
pub(crate) fn has_as_number(plan: &NodePlan) -> bool {
    plan.annotations.iter().any(|(key, _)| key == AS_NUMBER)
}

#[derive(Serialize)]
struct AsNumber<'a> {
    annotation: &'static str,
    asn: u32,
    name: &'a str,
    port: u16,
    ca: &'a str,
    certificate: &'a str,
    key: &'a str,
}

/// `as-number.sh`.
pub(crate) fn as_number(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let (pki, name) = (&t.shared.pki, t.node.name.as_str());
    let pair = pki.pair(Class::KubeletClient, name)?;
    Ok(View::of(AsNumber {
        annotation: AS_NUMBER,
        asn: t.plan.asn.get(),
        name,
        port: t.shared.api.local_port,
        ca: pki.authority(Class::ClusterCa, name)?,
        certificate: pair.certificate,
        key: pair.key,
    }))
}

#[derive(Serialize)]
struct Sysctl {
    v6: bool,
}

/// `90-kmh.conf`.
pub(crate) fn sysctl(t: &NodeTarget<'_>) -> Result<View, Fault> {
    Ok(View::of(Sysctl { v6: t.shared.has_v6() }))
}

#[derive(Serialize)]
struct Resolv<'a> {
    site: &'a str,
    resolvers: &'a [IpAddr],
}

/// `resolv.conf`, for sites that name their resolvers.
pub(crate) fn resolv(t: &NodeTarget<'_>) -> Result<View, Fault> {
    Ok(View::of(Resolv { site: t.site.name.as_str(), resolvers: &t.site.resolvers }))
}

#[derive(Serialize)]
struct Containerd {
    /// The format of the file: 3 from containerd 2.0, 2 before, whose keys 2.x would read and 1.x needs.
    version: u8,
    /// From 2.1 on CNI's programs may lie in several folders, and the word for one is on its way out.
    many_dirs: bool,
    sandbox: String,
}

/// containerd's `config.toml`.
pub(crate) fn containerd(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let v = &t.shared.versions;
    let version = if v.containerd_minor >= (2, 0) { 3 } else { 2 };
    Ok(View::of(Containerd {
        version,
        many_dirs: v.containerd_minor >= (2, 1),
        sandbox: versions::pause(v.minor),
    }))
}

#[derive(Serialize)]
struct Haproxy<'a> {
    port: u16,
    /// Whether there is a `::1`: with IPv6 switched off, haproxy would not start for it.
    v6: bool,
    ca: &'a str,
    servers: Vec<Server<'a>>,
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    address: String,
    backup: bool,
}

/// `haproxy.cfg`: the API servers of the own site first; the others when none of these is healthy, or when there is
/// none, all of them alike.
pub(crate) fn haproxy(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let near = |site: &str| site == t.node.site.as_str();
    let any_near = s.apiservers.iter().any(|place| near(place.site.as_str()));
    let mut servers: Vec<Server<'_>> = s
        .apiservers
        .iter()
        .map(|place| Server {
            name: place.name.as_str(),
            address: format!("{}:{}", host(place.address), s.api.port),
            backup: any_near && !near(place.site.as_str()),
        })
        .collect();
    servers.sort_by_key(|server| server.backup);
    let ca = match s.pki.root() {
        Some(_) => HAPROXY_CA,
        None => s.pki.authority(Class::ClusterCa, t.node.name.as_str())?,
    };
    Ok(View::of(Haproxy { port: s.api.local_port, v6: s.has_v6(), ca, servers }))
}

/// What haproxy believes where a root signs the CAs. It asks servers only: that the root is among it lets nobody in.
pub(crate) const HAPROXY_CA: &str = "/etc/haproxy/kmh-ca.crt";

/// The CA of the cluster, all its generations, and the root.
pub(crate) fn haproxy_ca(t: &NodeTarget<'_>) -> Result<View, Fault> {
    #[derive(Serialize)]
    struct Ca {
        pem: String,
    }
    Ok(View::of(Ca { pem: t.shared.pki.chain(Class::ClusterCa) }))
}

/// kubelet's configuration.
pub(crate) fn kubelet(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let name = t.node.name.as_str();
    let serving = s.pki.pair(Class::KubeletServing, name)?;
    let taints: Vec<_> = t
        .node
        .taints
        .iter()
        .map(|taint| {
            let effect = match taint.effect {
                TaintEffect::NoSchedule => "NoSchedule",
                TaintEffect::PreferNoSchedule => "PreferNoSchedule",
                TaintEffect::NoExecute => "NoExecute",
            };
            let mut fields = json!({"key": taint.key, "effect": effect});
            if let Some(value) = &taint.value {
                fields["value"] = json!(value);
            }
            fields
        })
        .collect();
    let mut base = vec![
        (
            "authentication",
            json!({
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": s.pki.authority(Class::ClusterCa, name)?},
            }),
        ),
        ("authorization", json!({"mode": "Webhook"})),
        ("cgroupDriver", json!("systemd")),
        ("clusterDNS", json!(s.model.dns_service_addresses())),
        ("clusterDomain", json!(s.model.domain)),
        ("containerRuntimeEndpoint", json!("unix:///run/containerd/containerd.sock")),
        ("healthzBindAddress", json!("127.0.0.1")),
        ("readOnlyPort", json!(0)),
        // The PKI renews certificates; nobody in the cluster could sign a request.
        ("rotateCertificates", json!(false)),
        ("serverTLSBootstrap", json!(false)),
        ("tlsCertFile", json!(serving.certificate)),
        ("tlsPrivateKeyFile", json!(serving.key)),
        ("tlsMinVersion", json!("VersionTLS12")),
    ];
    if !t.site.resolvers.is_empty() {
        base.push(("resolvConf", json!("/etc/kubernetes/resolv.conf")));
    }
    if s.versions.minor >= 35 {
        base.push(("failCgroupV1", json!(true)));
    }
    if !taints.is_empty() {
        base.push(("registerWithTaints", json!(taints)));
    }
    base.sort_by_key(|(name, _)| *name);
    Ok(Lines::of(&merge(base, t.node, Component::Kubelet)))
}

/// `kubelet.service`. Labels are a flag: the configuration has no field for them.
pub(crate) fn kubelet_unit(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let mut labels: Vec<(String, String)> = t.plan.labels.clone();
    labels.extend(t.node.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    labels.sort();
    labels.dedup();
    if let Some((key, _)) = labels.iter().find(|(key, _)| !kmh_model::may_label(key)) {
        return Err(Fault::new(format!(
            "a kubelet may not give its node `{}` the label `{key}`",
            t.node.name
        ))
        .hint("set it with `kubectl label node`, or choose a key outside kubernetes.io and k8s.io"));
    }
    let mut base = vec![
        ("config", json!("/var/lib/kubelet/config.yaml")),
        ("hostname-override", json!(t.node.name)),
        ("kubeconfig", json!("/etc/kubernetes/kubelet.conf")),
        ("node-ip", json!(commas(&t.node.addresses))),
    ];
    if !labels.is_empty() {
        base.push(("node-labels", json!(commas(labels.iter().map(|(key, value)| format!("{key}={value}"))))));
    }
    let fields = base.into_iter().map(|(key, value)| crate::settings::Field {
        key: key.to_owned(),
        value,
        origin: None,
    });
    Ok(View::of(Flags { flags: flags(fields.collect())?, etcd: false }))
}

/// How kube-proxy of a node directs packets, unless somebody decided otherwise. Its nftables mode is stable from 1.33,
/// and Calico's packet filter, which must use the same, in 3.31.
pub(crate) fn proxy_mode(s: &Shared<'_>, node: &Node) -> String {
    let both = s.versions.minor >= 33 && s.versions.calico_minor >= (3, 31);
    let usual = if both { "nftables" } else { "iptables" };
    let decided = node.settings.get(&Component::KubeProxy).and_then(|settings| settings.get("mode"));
    decided.and_then(|setting| setting.value.as_str()).unwrap_or(usual).to_owned()
}

/// kube-proxy's configuration.
pub(crate) fn kube_proxy(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let base = vec![
        ("bindAddress", json!(if s.model.primary_is_v6() { "::" } else { "0.0.0.0" })),
        ("clientConnection", json!({"kubeconfig": "/etc/kubernetes/kube-proxy.conf"})),
        ("clusterCIDR", json!(commas(&s.model.pods))),
        ("healthzBindAddress", json!("127.0.0.1:10256")),
        ("hostnameOverride", json!(t.node.name)),
        ("metricsBindAddress", json!("127.0.0.1:10249")),
        ("mode", json!(proxy_mode(s, t.node))),
    ];
    Ok(Lines::of(&merge(base, t.node, Component::KubeProxy)))
}
