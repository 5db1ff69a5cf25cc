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
    /// Rotations that are under way, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<Rotation>,
    /// What `ensure` would do, and why; only when planned, because what was done is no state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// A rotation that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// What is rotated.
    pub name: Rotating,
    /// How far it is.
    pub stage: Stage,
}

/// What can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rotating {
    /// The CA of the API server and its clients.
    Cluster,
    /// The key that encrypts Secrets in etcd.
    Encryption,
    /// The CA of etcd.
    Etcd,
    /// The CA of the aggregation layer.
    FrontProxy,
    /// The CA of the tunnels.
    Ipsec,
    /// The key that signs service-account tokens.
    ServiceAccount,
}

/// How far a rotation is. What is to come is one more step in each: the old generation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The next CA, or key of tokens, is trusted and signs nothing yet.
    Trust,
    /// The new CA signs, the old one is still trusted.
    Issue,
    /// The new key signs tokens, those of the old one are still good.
    Sign,
    /// The next encryption key can be read with, and nothing is written with it.
    Add,
    /// The new encryption key is written with, and what the old one wrote can be read.
    Promote,
}

/// Which of the at most two generations of a CA or key an entry is: its name ends with `.next`, `.old` or neither.
/// In the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// Trusted, makes nothing any more.
    Old,
    /// In use.
    Current,
    /// Trusted, makes nothing yet.
    Next,
}

impl Generation {
    /// Of the entry of that name. No other name has a full stop: machines, sites and tunnels are made of labels.
    pub fn of(name: &str) -> Self {
        [Self::Old, Self::Next]
            .into_iter()
            .find(|one| {
                name.ends_with(one.ending()) && (name.starts_with("ca/") || name.starts_with("keys/"))
            })
            .unwrap_or(Self::Current)
    }

    /// What a name of this generation ends with.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Old => ".old",
            Self::Current => "",
            Self::Next => ".next",
        }
    }

    /// Current first, and of the others at most one is there.
    fn rank(self) -> u8 {
        match self {
            Self::Current => 0,
            Self::Next => 1,
            Self::Old => 2,
        }
    }
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
    /// What an encryption key is called in the encryption configuration: `key-` and eight hexadecimal digits that follow
    /// from the key. It stands in etcd before everything that the key encrypted, so it stays as long as the key does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
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

    /// The CAs of a class that are trusted, the one that signs first: more than one while it is rotated.
    pub fn trusted(&self, class: Class) -> Vec<&Certificate> {
        let mut found: Vec<_> = self.of(class).collect();
        found.sort_by_key(|one| one.generation().rank());
        found
    }

    /// The certificate of a class of which there is one; of a CA's generations the one that signs.
    pub fn current(&self, class: Class) -> Option<&Certificate> {
        self.of(class).find(|one| one.generation() == Generation::Current)
    }

    /// The file of a CA: every trusted certificate, the oldest first. So its bytes stay as they are when the next CA
    /// becomes the one that signs, and nobody has to be told.
    pub fn bundle(&self, class: Class) -> String {
        let mut found: Vec<_> = self.of(class).collect();
        found.sort_by_key(|one| one.generation());
        found.iter().map(|one| one.pem.as_str()).collect()
    }

    /// The keys of a class, the one that is in use first: more than one while it is rotated.
    pub fn keys_of(&self, class: KeyClass) -> Vec<&Key> {
        let mut found: Vec<_> = self.keys.iter().filter(|key| key.class == class).collect();
        found.sort_by_key(|key| key.generation().rank());
        found
    }

    /// The certificate of a class for a machine.
    pub fn for_machine(&self, class: Class, machine: &str) -> Option<&Certificate> {
        self.of(class).find(|c| c.machine.as_deref() == Some(machine))
    }
}

impl Certificate {
    /// Which generation it is.
    pub fn generation(&self) -> Generation {
        Generation::of(&self.name)
    }
}

impl Key {
    /// Which generation it is.
    pub fn generation(&self) -> Generation {
        Generation::of(&self.name)
    }
}

impl Rotating {
    /// Each, by name.
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Encryption, Self::Etcd, Self::FrontProxy, Self::Ipsec, Self::ServiceAccount];

    /// Its name, as the command line and the document have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Encryption => "encryption",
            Self::Etcd => "etcd",
            Self::FrontProxy => "front-proxy",
            Self::Ipsec => "ipsec",
            Self::ServiceAccount => "service-account",
        }
    }

    /// The name of what is rotated, in the store.
    pub fn subject(self) -> String {
        match self {
            Self::Encryption | Self::ServiceAccount => format!("keys/{}", self.as_str()),
            _ => format!("ca/{}", self.as_str()),
        }
    }

    /// The class of the CA; none of a key.
    pub fn authority(self) -> Option<Class> {
        match self {
            Self::Cluster => Some(Class::ClusterCa),
            Self::Etcd => Some(Class::EtcdCa),
            Self::FrontProxy => Some(Class::FrontProxyCa),
            Self::Ipsec => Some(Class::IpsecCa),
            Self::Encryption | Self::ServiceAccount => None,
        }
    }

    /// Its two stages: the next generation is there, the old one is still there.
    pub fn stages(self) -> [Stage; 2] {
        match self {
            Self::Encryption => [Stage::Add, Stage::Promote],
            Self::ServiceAccount => [Stage::Trust, Stage::Sign],
            _ => [Stage::Trust, Stage::Issue],
        }
    }
}

impl Stage {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Issue => "issue",
            Self::Sign => "sign",
            Self::Add => "add",
            Self::Promote => "promote",
        }
    }
}

impl crate::Spec for PkiSpec {
    const KIND: crate::Kind = crate::Kind::Pki;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_follow_from_names_of_cas_and_keys_alone() {
        for (name, generation) in [
            ("ca/etcd", Generation::Current),
            ("ca/etcd.next", Generation::Next),
            ("keys/encryption.old", Generation::Old),
            ("keys/bgp/next", Generation::Current),
            ("nodes/old/etcd-peer.old", Generation::Current),
        ] {
            assert_eq!(Generation::of(name), generation, "{name}");
        }
        let words = |one: Rotating| serde_json::to_value(one).unwrap();
        assert!(Rotating::ALL.iter().all(|one| words(*one) == one.as_str()));
        assert!(Rotating::ALL.is_sorted_by_key(|one| one.as_str()));
        let stages = Rotating::ALL.iter().flat_map(|one| one.stages());
        assert!(stages.clone().all(|one| serde_json::to_value(one).unwrap() == one.as_str()));
    }
}
