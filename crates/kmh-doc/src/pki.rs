//! `kmh.pki/v1`: state of every certificate and key, and where each goes. Never key material.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::Step;

/// The PKI as the store has it, or, when `planned`, as `ensure` would make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PkiSpec {
    /// Identity of the store that the references point into: random, made with the store; empty when the store itself is
    /// only planned.
    pub store: String,
    /// Whether entries are only planned (`--dry-run`); such a document is accepted by a dry run only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
    /// Sorted by name. Certificates of CAs included.
    pub certificates: Vec<Certificate>,
    /// Keys without a certificate, sorted by name.
    pub keys: Vec<Key>,
    /// What `ensure` would do, and why; only when planned, because what was done is no state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Stable name and path in the store without ending: `ca/cluster`, `nodes/attic-1/kubelet-client`.
    pub name: String,
    /// The row of the table of certificates that it comes from: `cluster-ca`, `kubelet-client`, `ipsec-router` …
    pub class: Class,
    /// The machine that it is for; none for what the cluster shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Name of the certificate that signed it; none when it signed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Common name.
    pub common_name: String,
    /// Organizations (Kubernetes: groups).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// DNS names, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// IP addresses, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// What it may be used for, sorted; empty for a CA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usages: Vec<Usage>,
    /// Key algorithm, such as `ecdsa-p256`.
    pub algorithm: String,
    /// Start, RFC 3339 in UTC; empty when planned.
    pub not_before: String,
    /// End, RFC 3339 in UTC; empty when planned.
    pub not_after: String,
    /// Serial number, lower-case hexadecimal; empty when planned.
    pub serial: String,
    /// SHA-256 of the DER form, lower-case hexadecimal; empty when planned.
    pub fingerprint: String,
    /// The certificate itself, PEM; empty when planned.
    pub pem: String,
    /// Reference to its private key in the store; none when the store does not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where it goes, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deploy: Vec<Deploy>,
}

/// Which certificate it is: the rows of the table of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The CA of the API server and its clients.
    ClusterCa,
    /// The CA of etcd.
    EtcdCa,
    /// The CA of the aggregation layer.
    FrontProxyCa,
    /// The CA of the tunnels.
    IpsecCa,
    /// kube-apiserver, serving.
    Apiserver,
    /// kube-apiserver as a client of kubelets.
    ApiserverKubeletClient,
    /// kube-apiserver as a client of etcd.
    ApiserverEtcdClient,
    /// kube-apiserver as a front proxy.
    FrontProxyClient,
    /// kube-controller-manager, client.
    ControllerManager,
    /// kube-controller-manager, serving.
    ControllerManagerServing,
    /// kube-scheduler, client.
    Scheduler,
    /// kube-scheduler, serving.
    SchedulerServing,
    /// The admin.
    Admin,
    /// The break-glass admin, in `system:masters`.
    BreakGlassAdmin,
    /// etcd, serving.
    EtcdServer,
    /// etcd, between members.
    EtcdPeer,
    /// etcd's health check.
    EtcdHealthcheckClient,
    /// kubelet, client.
    KubeletClient,
    /// kubelet, serving.
    KubeletServing,
    /// kube-proxy, client.
    KubeProxy,
    /// An IPsec gateway.
    IpsecRouter,
    /// The root that signs the CAs of Kubernetes, where there is one.
    RootCa,
}

/// A use of a certificate (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// `clientAuth`.
    Client,
    /// `serverAuth`.
    Server,
}

/// A key without a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Stable name: `keys/service-account`, `keys/encryption`, `keys/bgp/SITE`, `keys/bgp-tunnel/TUNNEL`, `keys/psk/TUNNEL`.
    pub name: String,
    /// Which.
    pub class: KeyClass,
    /// Algorithm: `ecdsa-p256`, `random-256`; `text-256` is letters and digits.
    pub algorithm: String,
    /// Reference to the secret in the store.
    pub secret: String,
    /// The public half, PEM, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
    /// Where it goes, sorted; `certificate` is the path of the public half.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deploy: Vec<Deploy>,
}

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyClass {
    /// Signs service-account tokens.
    ServiceAccount,
    /// Encrypts secrets in etcd: 32 random octets. Not deployed as it is: the encryption configuration holds it.
    Encryption,
    /// A TCP-MD5 password of a BGP session (RFC 2385): printable text.
    BgpPassword,
    /// The pre-shared key of a tunnel (RFC 7296, 2.15): printable text.
    TunnelPsk,
}

/// A place on a machine. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The machine's name.
    pub machine: String,
    /// Path of the certificate or public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Path of the private key; none where only the certificate goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl PkiSpec {
    /// The certificates of a class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter().filter(move |c| c.class == class)
    }

    /// The certificate of a class for a machine.
    pub fn for_machine(&self, class: Class, machine: &str) -> Option<&Certificate> {
        self.of(class).find(|c| c.machine.as_deref() == Some(machine))
    }
}

impl crate::Spec for PkiSpec {
    const KIND: crate::Kind = crate::Kind::Pki;
}
