//! The table of certificates: one row for each [`Class`], and everything that sets one apart from another.
//!
//! The model is kubeadm 1.36; each difference is meant, and stands with its reason in `docs/pki.md`.

use kmh_doc::inventory::{KeyOf, Pki, Role};
use kmh_doc::pki::{Class, Deploy, KeyClass, Usage};
use time::Duration;

/// What a certificate is issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Once, for the whole cluster.
    Cluster,
    /// For each node.
    Node,
    /// For each node with that role.
    Role(Role),
    /// For each router.
    Router,
}

/// Where the common name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommonName {
    /// The same everywhere.
    Fixed(&'static str),
    /// The node's name.
    Node,
    /// `system:node:` and the node's name, as the node authorizer wants it.
    SystemNode,
    /// The IKE identity of the router's first line.
    Router,
}

/// Where the subject alternative names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// There are none: clients are known by their subject.
    None,
    /// The API server by every name and address that it is called by, the local haproxy's included.
    Apiserver,
    /// All names and addresses of the machine.
    Machine,
    /// All names and addresses of the machine, `localhost` and both loopback addresses.
    MachineAndLoopback,
    /// The router's IKE identities, one for each line.
    Router,
}

/// How long a certificate lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// That of a CA: ten years, when the inventory says nothing else. Nothing renews it by itself.
    Authority,
    /// One year, when the inventory says nothing else, and never longer than the CA.
    Leaf,
}

impl Life {
    /// The time from issue to end.
    pub fn duration(self, pki: &Pki) -> Duration {
        let days = match self {
            Self::Authority => pki.ca_days,
            Self::Leaf => pki.days,
        };
        Duration::days(i64::from(days))
    }
}

/// Where a certificate goes. The first column is the machine, then certificate and key (none: it is not deployed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The machines.
    pub on: On,
    /// Path of the certificate; `{}` is the machine's name.
    pub certificate: &'static str,
    /// Path of the key.
    pub key: Option<&'static str>,
}

/// A set of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The one that the certificate is for.
    Own,
    /// Every node.
    Nodes,
    /// Every node with that role.
    Role(Role),
    /// Every Linux router, or the own one when the certificate is for a router.
    LinuxRouters,
    /// Every pfSense, or the own one when the certificate is for a router.
    Pfsenses,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The class.
    pub class: Class,
    /// Last part of its name in the store.
    pub stem: &'static str,
    /// What it is issued for.
    pub per: Per,
    /// Common name.
    pub common_name: CommonName,
    /// Organizations.
    pub organizations: &'static [&'static str],
    /// Subject alternative names.
    pub names: Names,
    /// Extended key usages, sorted; none for a CA.
    pub usages: &'static [Usage],
    /// The CA that signs it; none for a CA, which signs itself.
    pub issuer: Option<Class>,
    /// How long it lives.
    pub life: Life,
    /// Where it goes.
    pub places: &'static [Place],
}

const CLIENT: &[Usage] = &[Usage::Client];
const SERVER: &[Usage] = &[Usage::Server];
const BOTH: &[Usage] = &[Usage::Client, Usage::Server];

/// The certificate and key of a component on the machine that it is for.
macro_rules! own {
    ($stem:literal) => {
        &[Place { on: On::Own, certificate: concat!($stem, ".crt"), key: Some(concat!($stem, ".key")) }]
    };
}

const fn authority(class: Class, stem: &'static str, name: &'static str, places: &'static [Place]) -> Row {
    Row {
        class,
        stem,
        per: Per::Cluster,
        common_name: CommonName::Fixed(name),
        organizations: &[],
        names: Names::None,
        usages: &[],
        issuer: None,
        life: Life::Authority,
        places,
    }
}

/// A client certificate of a control-plane component, signed by the cluster CA.
const fn client(class: Class, stem: &'static str, name: &'static str, places: &'static [Place]) -> Row {
    Row {
        class,
        stem,
        per: Per::Role(Role::ControlPlane),
        common_name: CommonName::Fixed(name),
        organizations: &[],
        names: Names::None,
        usages: CLIENT,
        issuer: Some(Class::ClusterCa),
        life: Life::Leaf,
        places,
    }
}

/// A serving certificate of a control-plane component, signed by the cluster CA.
const fn server(class: Class, stem: &'static str, name: &'static str, places: &'static [Place]) -> Row {
    Row { usages: SERVER, names: Names::MachineAndLoopback, ..client(class, stem, name, places) }
}

/// The CAs that a root signs. That of the tunnels signs itself all the same: strongSwan takes only such ones for anchors.
pub const BELOW_ROOT: &[Class] = &[Class::ClusterCa, Class::EtcdCa, Class::FrontProxyCa];

/// The common name of the tunnels' CA.
pub const IPSEC_CA: &str = "kmh-ipsec-ca";

/// The name of a CA whose generations have a number in theirs: [`crate::numbered`].
pub fn numbered(class: Class) -> Option<&'static str> {
    (class == Class::IpsecCa).then_some(IPSEC_CA)
}

/// How many times as long as the CAs a root lives: they are rotated below it, and none outlives it.
pub const ROOT_LIVES: i32 = 2;

/// All rows, CAs first, the root last.
pub const TABLE: &[Row] = &[
    authority(
        Class::ClusterCa,
        "cluster",
        "kubernetes",
        &[Place { on: On::Nodes, certificate: "/etc/kubernetes/pki/ca.crt", key: None }],
    ),
    authority(
        Class::EtcdCa,
        "etcd",
        "etcd-ca",
        &[
            Place { on: On::Role(Role::Etcd), certificate: "/etc/kubernetes/pki/etcd/ca.crt", key: None },
            Place {
                on: On::Role(Role::ControlPlane),
                certificate: "/etc/kubernetes/pki/etcd/ca.crt",
                key: None,
            },
        ],
    ),
    authority(
        Class::FrontProxyCa,
        "front-proxy",
        "front-proxy-ca",
        &[Place {
            on: On::Role(Role::ControlPlane),
            certificate: "/etc/kubernetes/pki/front-proxy-ca.crt",
            key: None,
        }],
    ),
    authority(
        Class::IpsecCa,
        "ipsec",
        IPSEC_CA,
        &[
            Place { on: On::LinuxRouters, certificate: "/etc/swanctl/x509ca/kmh-ipsec-ca.crt", key: None },
            Place { on: On::Pfsenses, certificate: "/usr/local/etc/kmh/ipsec/ca.crt", key: None },
        ],
    ),
    Row {
        names: Names::Apiserver,
        ..server(Class::Apiserver, "apiserver", "kube-apiserver", own!("/etc/kubernetes/pki/apiserver"))
    },
    client(
        Class::ApiserverKubeletClient,
        "apiserver-kubelet-client",
        "kube-apiserver-kubelet-client",
        own!("/etc/kubernetes/pki/apiserver-kubelet-client"),
    ),
    Row {
        issuer: Some(Class::EtcdCa),
        ..client(
            Class::ApiserverEtcdClient,
            "apiserver-etcd-client",
            "kube-apiserver-etcd-client",
            own!("/etc/kubernetes/pki/apiserver-etcd-client"),
        )
    },
    Row {
        issuer: Some(Class::FrontProxyCa),
        ..client(
            Class::FrontProxyClient,
            "front-proxy-client",
            "front-proxy-client",
            own!("/etc/kubernetes/pki/front-proxy-client"),
        )
    },
    client(
        Class::ControllerManager,
        "controller-manager",
        "system:kube-controller-manager",
        own!("/etc/kubernetes/pki/controller-manager"),
    ),
    server(
        Class::ControllerManagerServing,
        "controller-manager-serving",
        "kube-controller-manager",
        own!("/etc/kubernetes/pki/controller-manager-serving"),
    ),
    client(Class::Scheduler, "scheduler", "system:kube-scheduler", own!("/etc/kubernetes/pki/scheduler")),
    server(
        Class::SchedulerServing,
        "scheduler-serving",
        "kube-scheduler",
        own!("/etc/kubernetes/pki/scheduler-serving"),
    ),
    Row {
        organizations: &["kubeadm:cluster-admins"],
        ..client(Class::Admin, "admin", "kubernetes-admin", own!("/etc/kubernetes/pki/admin"))
    },
    Row {
        per: Per::Cluster,
        // Bound inside the API server, not by RBAC: it cannot be revoked, so it stays in the store.
        organizations: &["system:masters"],
        ..client(Class::BreakGlassAdmin, "break-glass-admin", "kubernetes-super-admin", &[])
    },
    Row {
        per: Per::Role(Role::Etcd),
        common_name: CommonName::Node,
        names: Names::MachineAndLoopback,
        // etcd's gRPC gateway calls its own server with this certificate (etcd#9785).
        usages: BOTH,
        issuer: Some(Class::EtcdCa),
        ..client(Class::EtcdServer, "etcd-server", "", own!("/etc/kubernetes/pki/etcd/server"))
    },
    Row {
        per: Per::Role(Role::Etcd),
        common_name: CommonName::Node,
        names: Names::MachineAndLoopback,
        usages: BOTH,
        issuer: Some(Class::EtcdCa),
        ..client(Class::EtcdPeer, "etcd-peer", "", own!("/etc/kubernetes/pki/etcd/peer"))
    },
    Row {
        per: Per::Role(Role::Etcd),
        issuer: Some(Class::EtcdCa),
        ..client(
            Class::EtcdHealthcheckClient,
            "etcd-healthcheck-client",
            "kube-etcd-healthcheck-client",
            own!("/etc/kubernetes/pki/etcd/healthcheck-client"),
        )
    },
    Row {
        per: Per::Node,
        common_name: CommonName::SystemNode,
        organizations: &["system:nodes"],
        ..client(Class::KubeletClient, "kubelet-client", "", own!("/var/lib/kubelet/pki/kubelet-client"))
    },
    Row {
        per: Per::Node,
        common_name: CommonName::SystemNode,
        organizations: &["system:nodes"],
        names: Names::Machine,
        ..server(Class::KubeletServing, "kubelet-serving", "", own!("/var/lib/kubelet/pki/kubelet-serving"))
    },
    Row {
        per: Per::Node,
        organizations: &["system:node-proxier"],
        ..client(Class::KubeProxy, "kube-proxy", "system:kube-proxy", own!("/etc/kubernetes/pki/kube-proxy"))
    },
    Row {
        per: Per::Router,
        common_name: CommonName::Router,
        names: Names::Router,
        usages: BOTH,
        issuer: Some(Class::IpsecCa),
        ..client(
            Class::IpsecRouter,
            "ipsec",
            "",
            &[
                Place {
                    on: On::LinuxRouters,
                    certificate: "/etc/swanctl/x509/{}.crt",
                    key: Some("/etc/swanctl/private/{}.key"),
                },
                Place {
                    on: On::Pfsenses,
                    certificate: "/usr/local/etc/kmh/ipsec/router.crt",
                    key: Some("/usr/local/etc/kmh/ipsec/router.key"),
                },
            ],
        )
    },
    // No client is judged by it, so it goes nowhere as it is: see `docs/pki.md`.
    authority(Class::RootCa, "root", "kmh-root-ca", &[]),
];

/// Where strongSwan looks for CAs: one certificate a file.
const ONE_EACH: &str = "/etc/swanctl/x509ca/";

/// Where another generation of what goes to `place` goes: into the same file, or, where a file holds one certificate, to
/// a second one.
pub fn beside(place: Deploy) -> Deploy {
    let second = |path: String| match path.strip_suffix(".crt") {
        Some(stem) if path.starts_with(ONE_EACH) => format!("{stem}-2.crt"),
        _ => path,
    };
    Deploy { certificate: place.certificate.map(second), ..place }
}

/// The row of a class.
pub fn row(class: Class) -> &'static Row {
    // The table is in the order of the enum; `the_table_is_in_order` holds it.
    &TABLE[class as usize]
}

/// What a key without a certificate is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// Once, for the whole cluster.
    Cluster,
    /// For each site, when sessions on node segments have passwords.
    Site,
    /// For each tunnel whose BGP session is signed: [`kmh_model::Tunnel::signs_bgp`].
    SignedTunnel,
    /// For each tunnel, when its ends know each other by a shared key.
    Tunnel,
}

/// A row of the table of keys without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The class.
    pub class: KeyClass,
    /// Its name in the store; `{}` is what it is made for.
    pub name: &'static str,
    /// What it is made for.
    pub each: Each,
    /// What it is.
    pub material: Material,
    /// Where it goes.
    pub places: &'static [Place],
}

/// What a key without a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Material {
    /// [`RANDOM`].
    Random,
    /// [`TEXT`].
    Text,
    /// A pair, of the algorithm that the inventory chooses.
    Pair(KeyOf),
}

impl Material {
    /// Its name in documents.
    pub fn algorithm(self, pki: &Pki) -> &'static str {
        match self {
            Self::Random => RANDOM,
            Self::Text => TEXT,
            Self::Pair(key) => pki.algorithm_of(key).as_str(),
        }
    }
}

/// 32 random octets.
pub const RANDOM: &str = "random-256";
/// Letters and digits, a letter first, that hold as much: 45 of 62 characters.
pub const TEXT: &str = "text-256";

/// How long a key of text may be: from 128 bits on, and at most what Linux takes as a key of TCP-MD5
/// (`TCP_MD5SIG_MAXKEYLEN` in `linux/tcp.h`).
pub const TEXT_LENGTHS: std::ops::RangeInclusive<usize> = 22..=80;

/// All keys without a certificate, by name.
pub const KEYS: &[KeyRow] = &[
    // These four are not deployed as they are: configurations hold them.
    KeyRow {
        class: KeyClass::BgpPassword,
        name: "keys/bgp/{}",
        each: Each::Site,
        material: Material::Text,
        places: &[],
    },
    KeyRow {
        class: KeyClass::BgpPassword,
        name: "keys/bgp-tunnel/{}",
        each: Each::SignedTunnel,
        material: Material::Text,
        places: &[],
    },
    KeyRow {
        class: KeyClass::Encryption,
        name: "keys/encryption",
        each: Each::Cluster,
        material: Material::Random,
        places: &[],
    },
    KeyRow {
        class: KeyClass::TunnelPsk,
        name: "keys/psk/{}",
        each: Each::Tunnel,
        material: Material::Text,
        places: &[],
    },
    KeyRow {
        class: KeyClass::ServiceAccount,
        name: "keys/service-account",
        each: Each::Cluster,
        // RSA or ECDSA: the model refuses what no token can be signed with.
        material: Material::Pair(KeyOf::SERVICE_ACCOUNT),
        places: &[Place {
            on: On::Role(Role::ControlPlane),
            certificate: "/etc/kubernetes/pki/sa.pub",
            key: Some("/etc/kubernetes/pki/sa.key"),
        }],
    },
];

#[cfg(test)]
mod tests;
