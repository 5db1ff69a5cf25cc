//! Where other tools keep a PKI: one table of names for each layout. `import` reads by it, `export` writes by it.

use kmh_doc::pki::Class;

/// A layout of folders that other tools know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Layout {
    /// Below `/etc/kubernetes`, as kubeadm 1.36 has it
    Kubeadm,
    /// The flat folder of the guides that set a cluster up the hard way
    HardWay,
}

/// Where a certificate and its key are, relative to a machine's root; `{}` is the machine's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Two files: this with `.crt`, and with `.key`.
    Pair(&'static str),
    /// Both in one PEM file.
    One(&'static str),
    /// Embedded in a kubeconfig file.
    Config(&'static str),
    /// Where kmh itself deploys it: no other tool has a place for it.
    Deployed,
}

/// A row: the place of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The class.
    pub class: Class,
    /// Where it is.
    pub spot: Spot,
    /// Where it may be too; `import` looks there, in this order.
    pub also: &'static [Spot],
}

/// The key pair of service accounts: paths of the private keys, the first is written. The public half ends in `.pub`.
type KeyFiles = &'static [&'static str];

use Spot::{Config, Deployed, One, Pair};

const fn row(class: Class, spot: Spot) -> Row {
    Row { class, spot, also: &[] }
}

/// kubeadm 1.36. What it has no file for lies where kmh deploys it.
const KUBEADM: &[Row] = &[
    row(Class::ClusterCa, Pair("etc/kubernetes/pki/ca")),
    row(Class::EtcdCa, Pair("etc/kubernetes/pki/etcd/ca")),
    row(Class::FrontProxyCa, Pair("etc/kubernetes/pki/front-proxy-ca")),
    row(Class::IpsecCa, Deployed),
    row(Class::Apiserver, Pair("etc/kubernetes/pki/apiserver")),
    row(Class::ApiserverKubeletClient, Pair("etc/kubernetes/pki/apiserver-kubelet-client")),
    row(Class::ApiserverEtcdClient, Pair("etc/kubernetes/pki/apiserver-etcd-client")),
    row(Class::FrontProxyClient, Pair("etc/kubernetes/pki/front-proxy-client")),
    Row {
        class: Class::ControllerManager,
        spot: Config("etc/kubernetes/controller-manager.conf"),
        also: &[Deployed],
    },
    row(Class::ControllerManagerServing, Deployed),
    Row { class: Class::Scheduler, spot: Config("etc/kubernetes/scheduler.conf"), also: &[Deployed] },
    row(Class::SchedulerServing, Deployed),
    Row { class: Class::Admin, spot: Config("etc/kubernetes/admin.conf"), also: &[Deployed] },
    row(Class::BreakGlassAdmin, Config("etc/kubernetes/super-admin.conf")),
    row(Class::EtcdServer, Pair("etc/kubernetes/pki/etcd/server")),
    row(Class::EtcdPeer, Pair("etc/kubernetes/pki/etcd/peer")),
    row(Class::EtcdHealthcheckClient, Pair("etc/kubernetes/pki/etcd/healthcheck-client")),
    Row {
        class: Class::KubeletClient,
        spot: Config("etc/kubernetes/kubelet.conf"),
        // The kubelet renews its client certificate itself, and kubelet.conf then names this file.
        also: &[One("var/lib/kubelet/pki/kubelet-client-current.pem"), Deployed],
    },
    Row {
        class: Class::KubeletServing,
        // kubeadm leaves these two files to the kubelet, which signs them itself.
        spot: Pair("var/lib/kubelet/pki/kubelet"),
        also: &[One("var/lib/kubelet/pki/kubelet-server-current.pem"), Deployed],
    },
    row(Class::KubeProxy, Deployed),
    row(Class::IpsecRouter, Deployed),
];

/// The flat names of the guides, their newer and older spellings, and for what the guides do not have the same style.
const HARD_WAY: &[Row] = &[
    row(Class::ClusterCa, Pair("ca")),
    row(Class::EtcdCa, Pair("etcd-ca")),
    row(Class::FrontProxyCa, Pair("front-proxy-ca")),
    row(Class::IpsecCa, Pair("ipsec-ca")),
    Row { class: Class::Apiserver, spot: Pair("kube-apiserver"), also: &[Pair("kube-api-server")] },
    row(Class::ApiserverKubeletClient, Pair("apiserver-kubelet-client")),
    row(Class::ApiserverEtcdClient, Pair("apiserver-etcd-client")),
    row(Class::FrontProxyClient, Pair("front-proxy-client")),
    Row {
        class: Class::ControllerManager,
        spot: Pair("kube-controller-manager"),
        also: &[Config("kube-controller-manager.kubeconfig")],
    },
    row(Class::ControllerManagerServing, Pair("kube-controller-manager-serving")),
    Row {
        class: Class::Scheduler,
        spot: Pair("kube-scheduler"),
        also: &[Config("kube-scheduler.kubeconfig")],
    },
    row(Class::SchedulerServing, Pair("kube-scheduler-serving")),
    Row { class: Class::Admin, spot: Pair("admin"), also: &[Config("admin.kubeconfig")] },
    row(Class::BreakGlassAdmin, Pair("super-admin")),
    row(Class::EtcdServer, Pair("etcd-server")),
    row(Class::EtcdPeer, Pair("etcd-peer")),
    row(Class::EtcdHealthcheckClient, Pair("etcd-healthcheck-client")),
    Row { class: Class::KubeletClient, spot: Pair("{}"), also: &[Pair("kubelet"), Config("{}.kubeconfig")] },
    // The guides have one certificate of a node for both uses.
    Row { class: Class::KubeletServing, spot: Pair("{}-serving"), also: &[Pair("{}"), Pair("kubelet")] },
    Row { class: Class::KubeProxy, spot: Pair("kube-proxy"), also: &[Config("kube-proxy.kubeconfig")] },
    row(Class::IpsecRouter, Pair("ipsec")),
];

impl Layout {
    /// Its table, in the order of the classes.
    pub fn table(self) -> &'static [Row] {
        match self {
            Self::Kubeadm => KUBEADM,
            Self::HardWay => HARD_WAY,
        }
    }

    /// Its row of a class.
    pub fn row(self, class: Class) -> &'static Row {
        static NOWHERE: Row = row(Class::IpsecCa, Deployed);
        // In the order of the enum; `both_tables_have_every_class_in_order` holds it.
        self.table().get(class as usize).unwrap_or(&NOWHERE)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubeadm => "kubeadm",
            Self::HardWay => "hard-way",
        }
    }

    /// The private key of service accounts: the first is written, the others are older spellings. Its public half ends
    /// in `.pub`.
    pub fn service_account(self) -> KeyFiles {
        match self {
            Self::Kubeadm => &["etc/kubernetes/pki/sa.key"],
            Self::HardWay => &["service-account.key", "service-accounts.key"],
        }
    }

    /// The API server's encryption configuration. kubeadm has none; this is where kmh puts its own.
    pub fn encryption(self) -> &'static str {
        match self {
            Self::Kubeadm => "etc/kubernetes/encryption.yaml",
            Self::HardWay => "encryption-config.yaml",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TABLE;

    #[test]
    fn both_tables_have_every_class_in_order() {
        for layout in [Layout::Kubeadm, Layout::HardWay] {
            let classes: Vec<_> = layout.table().iter().map(|row| row.class).collect();
            let (these, others) = TABLE.split_at(classes.len());
            assert_eq!(classes, these.iter().map(|row| row.class).collect::<Vec<_>>(), "{layout:?}");
            // What goes to no machine needs no name there.
            assert!(others.iter().all(|row| row.places.is_empty()), "{others:?}");
        }
    }

    #[test]
    fn no_two_classes_share_a_place_of_their_own() {
        for layout in [Layout::Kubeadm, Layout::HardWay] {
            let mut seen = std::collections::BTreeSet::new();
            for row in layout.table() {
                if row.spot != Deployed {
                    assert!(seen.insert(format!("{:?}", row.spot)), "{layout:?}: {:?}", row.spot);
                }
            }
        }
    }

    /// kubeadm 1.36, "PKI certificates and requirements" and its source: every file, and what kubeconfig files embed.
    #[test]
    fn the_names_are_those_of_kubeadm() {
        let files = [
            (Class::ClusterCa, "ca"),
            (Class::Apiserver, "apiserver"),
            (Class::ApiserverKubeletClient, "apiserver-kubelet-client"),
            (Class::FrontProxyCa, "front-proxy-ca"),
            (Class::FrontProxyClient, "front-proxy-client"),
            (Class::EtcdCa, "etcd/ca"),
            (Class::EtcdServer, "etcd/server"),
            (Class::EtcdPeer, "etcd/peer"),
            (Class::EtcdHealthcheckClient, "etcd/healthcheck-client"),
            (Class::ApiserverEtcdClient, "apiserver-etcd-client"),
        ];
        for (class, name) in files {
            let Pair(path) = Layout::Kubeadm.row(class).spot else { panic!("{class:?}") };
            assert_eq!(path, format!("etc/kubernetes/pki/{name}"));
        }
        let configs = [
            (Class::Admin, "admin.conf"),
            (Class::BreakGlassAdmin, "super-admin.conf"),
            (Class::KubeletClient, "kubelet.conf"),
            (Class::ControllerManager, "controller-manager.conf"),
            (Class::Scheduler, "scheduler.conf"),
        ];
        for (class, name) in configs {
            let Config(path) = Layout::Kubeadm.row(class).spot else { panic!("{class:?}") };
            assert_eq!(path, format!("etc/kubernetes/{name}"));
        }
        // Whatever kubeadm keeps as two files lies where kmh deploys it.
        for row in KUBEADM {
            let (Pair(path), Some(place)) = (row.spot, crate::table::row(row.class).places.first()) else {
                continue;
            };
            if row.class != Class::KubeletServing {
                assert_eq!(format!("/{path}.crt"), place.certificate, "{:?}", row.class);
            }
        }
        assert_eq!(Layout::Kubeadm.service_account(), ["etc/kubernetes/pki/sa.key"]);
    }

    #[test]
    fn the_flat_names_are_those_of_the_guides() {
        let spots = |class| {
            let row = Layout::HardWay.row(class);
            [&[row.spot], row.also].concat()
        };
        for (class, names) in [
            (Class::ClusterCa, &["ca"][..]),
            (Class::Admin, &["admin"]),
            (Class::ControllerManager, &["kube-controller-manager"]),
            (Class::Scheduler, &["kube-scheduler"]),
            (Class::KubeProxy, &["kube-proxy"]),
            (Class::Apiserver, &["kube-apiserver", "kube-api-server"]),
            (Class::ApiserverKubeletClient, &["apiserver-kubelet-client"]),
            (Class::EtcdServer, &["etcd-server"]),
            (Class::KubeletClient, &["{}", "kubelet"]),
        ] {
            for name in names {
                assert!(spots(class).contains(&Pair(name)), "{class:?}: {name}");
            }
        }
        assert_eq!(Layout::HardWay.service_account(), ["service-account.key", "service-accounts.key"]);
    }
}
