//! Views of the cluster's manifests.

use std::collections::BTreeMap;

use kmh_doc::bundle::Encoding;
use kmh_doc::inventory::TaintEffect;
use kmh_doc::network::{PeerKind, RouterPlan};
use kmh_doc::pki::Class;
use kmh_model::{CONTROL_PLANE_TAINT, Node};
use serde::Serialize;

use crate::fault::Fault;
use crate::safe;
use crate::shared::ClusterTarget;
use crate::versions;
use crate::view::node::{AS_NUMBER, has_as_number, proxy_mode};
use crate::view::{Slots, View};
use crate::yaml;

/// Where `00-rbac.yaml` is put.
pub(crate) const RBAC: &str = "/etc/kubernetes/cluster/00-rbac.yaml";

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

/// Where the passwords of BGP sessions are put: applied before the resources that name them.
pub(crate) const PASSWORDS: &str = "/etc/kubernetes/cluster/12-bgp-passwords.yaml";
/// The Secret that Calico's peers name.
const SECRET: &str = "kmh-bgp-passwords";

#[derive(Serialize)]
struct Passwords<'a> {
    name: &'static str,
    passwords: Vec<Password<'a>>,
}

#[derive(Serialize)]
struct Password<'a> {
    site: &'a str,
    mark: String,
}

/// The key of each site whose nodes sign their sessions, by site.
fn signed<'a>(t: &ClusterTarget<'a>) -> BTreeMap<&'a str, &'a str> {
    let sessions = |router: &'a RouterPlan| {
        let listened = router.listen.iter().map(|listen| &listen.like);
        router.sessions.iter().filter(|session| session.with == PeerKind::Node).chain(listened)
    };
    let routers = t.shared.network.routers.iter();
    routers
        .flat_map(|router| {
            sessions(router).filter_map(|one| Some((router.site.as_str(), one.password.as_deref()?)))
        })
        .collect()
}

/// Whether any session with a node has a password.
pub(crate) fn has_passwords(t: &ClusterTarget<'_>) -> bool {
    !signed(t).is_empty()
}

/// `12-bgp-passwords.yaml`.
pub(crate) fn passwords(t: &ClusterTarget<'_>) -> Result<View, Fault> {
    let mut slots = Slots::default();
    let passwords = signed(t).into_iter().map(|(site, key)| {
        let mark = slots.put(t.shared.pki.secret(key)?, Encoding::Base64);
        Ok(Password { site: safe::name(site)?, mark })
    });
    let passwords = passwords.collect::<Result<_, Fault>>()?;
    Ok(View::with(Passwords { name: SECRET, passwords }, slots))
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
    /// Two, for they may not share a node; one where there is but one node that takes them.
    replicas: usize,
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
    // They tolerate the control plane's taint, but not that of etcd's own machines, nor any of somebody's choice.
    let takes = |node: &&Node| {
        node.taints.iter().all(|taint| {
            taint.key.as_str() == CONTROL_PLANE_TAINT || taint.effect == TaintEffect::PreferNoSchedule
        })
    };
    Ok(View::of(CoreDns {
        replicas: s.model.nodes.values().filter(takes).take(2).count().max(1),
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
    /// The manifest that gives the admins their rights.
    rbac: &'static str,
    /// The manifest of passwords, and the name of what it makes, when an earlier one has to be taken back.
    no_passwords: Option<(&'static str, &'static str)>,
    /// The annotation that nodes must not have, when their AS number is everybody's.
    no_as_numbers: Option<&'static str>,
    /// haproxy's port on every loopback.
    port: u16,
    /// How `ssh` is to be called to get to the machine.
    login: String,
    authority: String,
    certificate: String,
    key: String,
}

/// `apply-cluster.sh`, and the unit that runs it.
///
/// The first start needs somebody: of the built-in roles only `system:masters` may give rights, and a key of that group
/// is never put on a machine. Whoever has the store has its break-glass key, and gets to the API as `kmh-push` gets to
/// the machine.
///
/// While the CA of the cluster is rotated, too, the current one is named alone: it signed what the push puts there with this
/// script, and whatever `kmh-pki` has made anew since waits for a push in any case.
pub(crate) fn apply(t: &ClusterTarget<'_>) -> Result<View, Fault> {
    let pki = &t.shared.pki;
    let admin = pki.only(Class::BreakGlassAdmin)?;
    let key = admin.key.clone().unwrap_or_else(|| format!("{}.key", admin.name));
    Ok(View::of(Apply {
        crds: versions::CRDS,
        rbac: RBAC,
        no_passwords: (!has_passwords(t)).then_some((PASSWORDS, SECRET)),
        no_as_numbers: (!t.shared.network.nodes.iter().any(has_as_number)).then_some(AS_NUMBER),
        port: t.shared.api.local_port,
        login: login(t.host)?,
        authority: format!("{}.crt", safe::word(&pki.only(Class::ClusterCa)?.name)?),
        certificate: format!("{}.crt", safe::word(&admin.name)?),
        key: safe::word(&key)?.to_owned(),
    }))
}

/// The words after `ssh` that lead to a node.
fn login(node: &Node) -> Result<String, Fault> {
    let host = match (&node.ssh.host, node.addresses.first()) {
        (Some(host), _) => host.to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => return Err(Fault::new(format!("node `{}` has no address", node.name))),
    };
    let port = node.ssh.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let user = node.ssh.user.as_ref().map_or_else(|| "root".to_owned(), ToString::to_string);
    Ok(format!("{port}{}@{}", safe::word(&user)?, safe::word(&host)?))
}
