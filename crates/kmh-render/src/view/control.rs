//! Views of the control plane: etcd, API server, controller manager, scheduler.

use kmh_doc::bundle::Encoding;
use kmh_doc::inventory::{Component, Role};
use kmh_doc::pki::{Class, KeyClass};
use serde::Serialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::safe;
use crate::settings::{Flag, flags, lines, merge};
use crate::shared::{NodeTarget, commas, host};
use crate::view::{Slots, View};

/// A configuration file that is a list of fields.
#[derive(Serialize)]
pub(crate) struct Lines {
    /// Its fields, as lines of YAML.
    pub(crate) lines: minijinja::Value,
}

impl Lines {
    /// Of these.
    pub(crate) fn of(fields: &[crate::settings::Field]) -> View {
        View::of(Self { lines: minijinja::Value::from_safe_string(lines(fields)) })
    }
}

/// A unit whose program takes flags.
#[derive(Serialize)]
pub(crate) struct Flags {
    /// The flags in order.
    pub(crate) flags: Vec<Flag>,
    /// Whether the node has a member of etcd.
    pub(crate) etcd: bool,
}

/// `etcd.yaml`. The configuration file rather than flags: etcd ignores all flags beside one, so there is one place.
pub(crate) fn etcd(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let name = t.node.name.as_str();
    let own = t.node.addresses.iter().map(|address| host(*address)).collect::<Vec<_>>();
    let urls = |port: u16| commas(own.iter().map(|host| format!("https://{host}:{port}")));
    let first = own.first().map_or("127.0.0.1", String::as_str);
    let server = s.pki.pair(Class::EtcdServer, name)?;
    let peer = s.pki.pair(Class::EtcdPeer, name)?;
    let ca = s.pki.authority(Class::EtcdCa, name)?;
    let transport = |pair: crate::pki::Pair<'_>| json!({"cert-file": pair.certificate, "key-file": pair.key, "client-cert-auth": true, "trusted-ca-file": ca});
    let members =
        commas(s.etcd.iter().map(|member| format!("{}=https://{}:2380", member.name, host(member.address))));
    let mut base = vec![
        ("name", json!(name)),
        ("data-dir", json!("/var/lib/etcd")),
        ("listen-peer-urls", json!(urls(2380))),
        ("listen-client-urls", json!(format!("{},https://127.0.0.1:2379", urls(2379)))),
        ("listen-metrics-urls", json!("http://127.0.0.1:2381")),
        ("initial-advertise-peer-urls", json!(format!("https://{first}:2380"))),
        ("advertise-client-urls", json!(format!("https://{first}:2379"))),
        ("initial-cluster", json!(members)),
        ("initial-cluster-token", json!(s.model.name)),
        ("initial-cluster-state", json!("new")),
        ("heartbeat-interval", json!(s.timing.heartbeat)),
        ("election-timeout", json!(s.timing.election)),
        ("client-transport-security", transport(server)),
        ("peer-transport-security", transport(peer)),
    ];
    // kubeadm's choices: check for corruption at the start, and tell watchers how far they are. etcd 3.6 took both
    // out of the experimental names. Durations are nanoseconds in this file.
    if s.versions.etcd_minor >= (3, 6) {
        base.push(("feature-gates", json!("InitialCorruptCheck=true")));
        base.push(("watch-progress-notify-interval", json!(5_000_000_000_u64)));
    } else {
        base.push(("experimental-initial-corrupt-check", json!(true)));
        base.push(("experimental-watch-progress-notify-interval", json!(5_000_000_000_u64)));
    }
    Ok(Lines::of(&merge(base, t.node, Component::Etcd)))
}

/// Whether the member takes part in a majority: it reads through it.
pub(crate) fn etcd_ready(t: &NodeTarget<'_>) -> Result<Vec<String>, Fault> {
    let name = t.node.name.as_str();
    let pair = t.shared.pki.pair(Class::EtcdHealthcheckClient, name)?;
    let ca = t.shared.pki.authority(Class::EtcdCa, name)?;
    let words =
        ["etcdctl", "--endpoints", "https://127.0.0.1:2379", "--cacert", ca, "--cert", pair.certificate];
    Ok([&words[..], &["--key", pair.key, "endpoint", "health"]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect())
}

/// Whether this API server itself is ready, not any that haproxy knows.
pub(crate) fn apiserver_ready(t: &NodeTarget<'_>) -> Result<Vec<String>, Fault> {
    let server = format!("https://127.0.0.1:{}", t.shared.api.port);
    let words = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--server", server.as_str()];
    Ok([&words[..], &["get", "--raw", "/readyz"]].concat().into_iter().map(str::to_owned).collect())
}

/// `kube-apiserver.service`.
pub(crate) fn apiserver(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let name = t.node.name.as_str();
    let pair = |class| s.pki.pair(class, name);
    let (serving, kubelet, etcd, proxy) = (
        pair(Class::Apiserver)?,
        pair(Class::ApiserverKubeletClient)?,
        pair(Class::ApiserverEtcdClient)?,
        pair(Class::FrontProxyClient)?,
    );
    let ca = s.pki.authority(Class::ClusterCa, name)?;
    let accounts = s.pki.key_pair(KeyClass::ServiceAccount, name)?;
    let member = t.node.roles.contains(&Role::Etcd);
    // Beside a member of etcd: that one. Otherwise all of them, and the client chooses.
    let etcd_servers = if member {
        "https://127.0.0.1:2379".to_owned()
    } else {
        commas(s.etcd.iter().map(|member| format!("https://{}:2379", host(member.address))))
    };
    let address = t.node.addresses.first().map(ToString::to_string).unwrap_or_default();
    let mut base = vec![
        ("advertise-address", json!(address)),
        ("bind-address", json!(if s.has_v6() { "::" } else { "0.0.0.0" })),
        ("secure-port", json!(s.api.port)),
        ("allow-privileged", json!(true)),
        ("authorization-mode", json!("Node,RBAC")),
        ("enable-admission-plugins", json!("NodeRestriction")),
        ("audit-log-path", json!("/var/log/kubernetes/audit.log")),
        ("audit-log-maxage", json!(30)),
        ("audit-log-maxbackup", json!(10)),
        ("audit-log-maxsize", json!(100)),
        ("audit-policy-file", json!("/etc/kubernetes/audit-policy.yaml")),
        ("client-ca-file", json!(ca)),
        ("encryption-provider-config", json!("/etc/kubernetes/encryption.yaml")),
        ("encryption-provider-config-automatic-reload", json!(true)),
        ("etcd-cafile", json!(s.pki.authority(Class::EtcdCa, name)?)),
        ("etcd-certfile", json!(etcd.certificate)),
        ("etcd-keyfile", json!(etcd.key)),
        ("etcd-servers", json!(etcd_servers)),
        ("kubelet-certificate-authority", json!(ca)),
        ("kubelet-client-certificate", json!(kubelet.certificate)),
        ("kubelet-client-key", json!(kubelet.key)),
        ("kubelet-preferred-address-types", json!("InternalIP,ExternalIP,Hostname")),
        ("profiling", json!(false)),
        ("proxy-client-cert-file", json!(proxy.certificate)),
        ("proxy-client-key-file", json!(proxy.key)),
        ("requestheader-allowed-names", json!(s.pki.certificate(Class::FrontProxyClient, name)?.common_name)),
        ("requestheader-client-ca-file", json!(s.pki.authority(Class::FrontProxyCa, name)?)),
        ("requestheader-extra-headers-prefix", json!("X-Remote-Extra-")),
        ("requestheader-group-headers", json!("X-Remote-Group")),
        ("requestheader-username-headers", json!("X-Remote-User")),
        ("service-account-issuer", json!(format!("https://kubernetes.default.svc.{}", s.model.domain))),
        ("service-account-key-file", json!(accounts.certificate)),
        ("service-account-signing-key-file", json!(accounts.key)),
        ("service-cluster-ip-range", json!(commas(&s.model.services))),
        ("tls-cert-file", json!(serving.certificate)),
        ("tls-min-version", json!("VersionTLS12")),
        ("tls-private-key-file", json!(serving.key)),
    ];
    // Behind a balancer of connections: now and then a client is asked to connect anew. Not where there is one server.
    if s.apiservers.len() > 1 {
        base.push(("goaway-chance", json!(0.001)));
    }
    if restricts_anonymous(t) {
        base.push(("authentication-config", json!("/etc/kubernetes/authentication.yaml")));
    }
    base.sort_by_key(|(name, _)| *name);
    let flags = flags(merge(base, t.node, Component::KubeApiserver))?;
    Ok(View::of(Flags { flags, etcd: member }))
}

/// From 1.34 the file that restricts anonymous requests is stable; before, haproxy's health check needs the default.
pub(crate) fn restricts_anonymous(t: &NodeTarget<'_>) -> bool {
    t.shared.versions.minor >= 34
}

/// A key that encrypts Secrets in etcd.
#[derive(Serialize)]
struct EncryptionKey<'a> {
    name: &'a str,
    secret: String,
}

/// Those that can be read with. The first is written with.
#[derive(Serialize)]
struct Encryption<'a> {
    keys: Vec<EncryptionKey<'a>>,
}

/// What a key is called that is only planned.
const PLANNED: &str = "key-planned";

/// `encryption.yaml`.
pub(crate) fn encryption(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let mut slots = Slots::default();
    let mut keys = Vec::new();
    let pki = &t.shared.pki;
    for key in pki.shared_keys(KeyClass::Encryption)? {
        // Under another name nothing that it encrypted could be read any more.
        let name = match key.id.as_deref() {
            Some(id) => safe::name(id)?,
            None if pki.spec.planned => PLANNED,
            None => {
                return Err(Fault::new(format!(
                    "the PKI does not say what `{}` is called in etcd",
                    key.name
                ))
                .hint("run `kmh-pki ensure --store DIR` with this inventory again"));
            }
        };
        keys.push(EncryptionKey { name, secret: slots.put(&key.secret, Encoding::Base64) });
    }
    Ok(View::with(Encryption { keys }, slots))
}

/// Flags that controller manager and scheduler share: who may ask them for metrics, and with what they serve.
fn serving(
    t: &NodeTarget<'_>,
    kubeconfig: &'static str,
    class: Class,
) -> Result<Vec<(&'static str, Value)>, Fault> {
    let s = t.shared;
    let name = t.node.name.as_str();
    let pair = s.pki.pair(class, name)?;
    Ok(vec![
        ("authentication-kubeconfig", json!(kubeconfig)),
        ("authorization-kubeconfig", json!(kubeconfig)),
        ("bind-address", json!("127.0.0.1")),
        ("client-ca-file", json!(s.pki.authority(Class::ClusterCa, name)?)),
        ("requestheader-allowed-names", json!(s.pki.certificate(Class::FrontProxyClient, name)?.common_name)),
        ("requestheader-client-ca-file", json!(s.pki.authority(Class::FrontProxyCa, name)?)),
        ("tls-cert-file", json!(pair.certificate)),
        ("tls-min-version", json!("VersionTLS12")),
        ("tls-private-key-file", json!(pair.key)),
    ])
}

/// `kube-controller-manager.service`.
pub(crate) fn controller_manager(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let s = t.shared;
    let name = t.node.name.as_str();
    let mut base = vec![
        // Calico hands out the blocks; the ranges here only say what is a pod's.
        ("allocate-node-cidrs", json!(false)),
        ("cluster-cidr", json!(commas(&s.model.pods))),
        ("cluster-name", json!(s.model.name)),
        // No CA key is on any machine, so nothing can be signed here.
        (
            "controllers",
            json!(
                "*,-certificatesigningrequest-signing-controller,-certificatesigningrequest-approving-controller"
            ),
        ),
        ("kubeconfig", json!("/etc/kubernetes/controller-manager.conf")),
        ("profiling", json!(false)),
        ("root-ca-file", json!(s.pki.authority(Class::ClusterCa, name)?)),
        ("service-account-private-key-file", json!(s.pki.key_pair(KeyClass::ServiceAccount, name)?.key)),
        ("service-cluster-ip-range", json!(commas(&s.model.services))),
        ("use-service-account-credentials", json!(true)),
    ];
    base.extend(serving(t, "/etc/kubernetes/controller-manager.conf", Class::ControllerManagerServing)?);
    base.sort_by_key(|(name, _)| *name);
    Ok(View::of(Flags { flags: flags(merge(base, t.node, Component::KubeControllerManager))?, etcd: false }))
}

/// `kube-scheduler.service`.
pub(crate) fn scheduler(t: &NodeTarget<'_>) -> Result<View, Fault> {
    let mut base = vec![("config", json!("/etc/kubernetes/scheduler.yaml"))];
    base.extend(serving(t, "/etc/kubernetes/scheduler.conf", Class::SchedulerServing)?);
    Ok(View::of(Flags { flags: flags(merge(base, t.node, Component::KubeScheduler))?, etcd: false }))
}

/// A kubeconfig that refers to certificate files, so that a renewed certificate is used without a restart.
#[derive(Serialize)]
struct Kubeconfig<'a> {
    cluster: &'a str,
    server: String,
    ca: &'a str,
    user: &'a str,
    certificate: &'a str,
    key: &'a str,
}

/// A component's kubeconfig: to its own loopback haproxy.
pub(crate) fn kubeconfig(t: &NodeTarget<'_>, class: Class) -> Result<View, Fault> {
    let s = t.shared;
    let name = t.node.name.as_str();
    let pair = s.pki.pair(class, name)?;
    Ok(View::of(Kubeconfig {
        cluster: s.model.name.as_str(),
        server: format!("https://127.0.0.1:{}", s.api.local_port),
        ca: s.pki.authority(Class::ClusterCa, name)?,
        user: &s.pki.certificate(class, name)?.common_name,
        certificate: pair.certificate,
        key: pair.key,
    }))
}
