//! Who reads which certificate or key, and whether it reads it again by itself when the file changes.
//!
//! One row for each setting of a program that leads to a file of the PKI. What a push restarts, what a rotation says must
//! be restarted before its next stage, and which unit `kmh-pki ensure` names for what it has made: all follow from here.
//! Rows of Kubernetes hold from 1.30 on.

use kmh_doc::bundle::UnitAction;
use kmh_doc::inventory::{Role, RouterKind};
use kmh_doc::pki::{Class, KeyClass};

use crate::Model;

use Class as C;
use Rereads::{Always, Never, Since};
use UnitAction::{Reload, Restart};

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// A certificate and its key; of a CA the file of all that are trusted.
    Certificate(Class),
    /// The file of public keys.
    Public(KeyClass),
    /// A private key, or the configuration that holds it.
    Private(KeyClass),
}

/// When a program reads a file again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rereads {
    /// By itself.
    Always,
    /// By itself from this minor version of Kubernetes on.
    Since(u16),
    /// When it is told to.
    Never,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// What it reads.
    pub held: Held,
    /// The program.
    pub component: &'static str,
    /// Its setting that names the file.
    pub setting: &'static str,
    /// Whether it reads it again.
    pub rereads: Rereads,
    /// Its unit.
    pub unit: &'static str,
    /// What makes it read it again.
    pub action: UnitAction,
    /// Where it runs.
    pub on: On,
}

/// Where a unit runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On every node.
    Nodes,
    /// On every node with that role.
    Role(Role),
    /// On every Linux router.
    LinuxRouters,
}

const fn row(
    held: Held,
    component: &'static str,
    setting: &'static str,
    rereads: Rereads,
    (unit, action, on): Unit,
) -> Consumer {
    Consumer { held, component, setting, rereads, unit, action, on }
}

type Unit = (&'static str, UnitAction, On);

const APISERVER: Unit = ("kube-apiserver.service", Restart, On::Role(Role::ControlPlane));
const CONTROLLER: Unit = ("kube-controller-manager.service", Restart, On::Role(Role::ControlPlane));
const ETCD: Unit = ("etcd.service", Restart, On::Role(Role::Etcd));
const HAPROXY: Unit = ("haproxy.service", Reload, On::Nodes);
const KUBELET: Unit = ("kubelet.service", Restart, On::Nodes);
const PROXY: Unit = ("kube-proxy.service", Restart, On::Nodes);
const SCHEDULER: Unit = ("kube-scheduler.service", Restart, On::Role(Role::ControlPlane));
const STRONGSWAN: Unit = ("strongswan.service", Reload, On::LinuxRouters);

/// Units that the cluster needs most of at any time: members of etcd for their majority, API servers for everybody. Machines
/// on which one is restarted have their turns in a push.
pub const IN_TURN: [&str; 2] = [ETCD.0, APISERVER.0];

/// CA files that a kubeconfig refers to: `ClientsAllowCARotation` of client-go is on by default from 1.36.
const KUBECONFIG: Rereads = Since(36);

/// Every row, by what is read.
#[rustfmt::skip]
pub const CONSUMERS: &[Consumer] = &[
    row(Held::Certificate(C::ClusterCa), "haproxy", "ca-file", Never, HAPROXY),
    row(Held::Certificate(C::ClusterCa), "kube-apiserver", "client-ca-file", Always, APISERVER),
    // A plain file of its client of kubelets, read when that client is made.
    row(Held::Certificate(C::ClusterCa), "kube-apiserver", "kubelet-certificate-authority", Never, APISERVER),
    row(Held::Certificate(C::ClusterCa), "kube-controller-manager", "client-ca-file", Always, CONTROLLER),
    // What it hands to every pod as `kube-root-ca.crt`.
    row(Held::Certificate(C::ClusterCa), "kube-controller-manager", "root-ca-file", Never, CONTROLLER),
    row(Held::Certificate(C::ClusterCa), "kube-controller-manager", "kubeconfig", KUBECONFIG, CONTROLLER),
    row(Held::Certificate(C::ClusterCa), "kube-scheduler", "client-ca-file", Always, SCHEDULER),
    row(Held::Certificate(C::ClusterCa), "kube-scheduler", "kubeconfig", KUBECONFIG, SCHEDULER),
    // It verifies by the new file at once, and names the CAs that it takes to its clients anew from 1.36 on.
    row(Held::Certificate(C::ClusterCa), "kubelet", "authentication.x509.clientCAFile", Since(36), KUBELET),
    row(Held::Certificate(C::ClusterCa), "kubelet", "kubeconfig", KUBECONFIG, KUBELET),
    row(Held::Certificate(C::ClusterCa), "kube-proxy", "kubeconfig", KUBECONFIG, PROXY),
    row(Held::Certificate(C::EtcdCa), "etcd", "client-transport-security.trusted-ca-file", Never, ETCD),
    row(Held::Certificate(C::EtcdCa), "etcd", "peer-transport-security.trusted-ca-file", Never, ETCD),
    row(Held::Certificate(C::EtcdCa), "kube-apiserver", "etcd-cafile", Never, APISERVER),
    row(Held::Certificate(C::FrontProxyCa), "kube-apiserver", "requestheader-client-ca-file", Always, APISERVER),
    row(Held::Certificate(C::FrontProxyCa), "kube-controller-manager", "requestheader-client-ca-file", Always, CONTROLLER),
    row(Held::Certificate(C::FrontProxyCa), "kube-scheduler", "requestheader-client-ca-file", Always, SCHEDULER),
    row(Held::Certificate(C::IpsecCa), "strongswan", "cacerts", Never, STRONGSWAN),
    row(Held::Certificate(C::Apiserver), "kube-apiserver", "tls-cert-file", Always, APISERVER),
    row(Held::Certificate(C::ApiserverKubeletClient), "kube-apiserver", "kubelet-client-certificate", Never, APISERVER),
    // etcd's client reads its pair at each handshake.
    row(Held::Certificate(C::ApiserverEtcdClient), "kube-apiserver", "etcd-certfile", Always, APISERVER),
    row(Held::Certificate(C::FrontProxyClient), "kube-apiserver", "proxy-client-cert-file", Always, APISERVER),
    // client-go reads a pair that a kubeconfig refers to again, once it has changed.
    row(Held::Certificate(C::ControllerManager), "kube-controller-manager", "kubeconfig", Always, CONTROLLER),
    row(Held::Certificate(C::ControllerManagerServing), "kube-controller-manager", "tls-cert-file", Always, CONTROLLER),
    row(Held::Certificate(C::Scheduler), "kube-scheduler", "kubeconfig", Always, SCHEDULER),
    row(Held::Certificate(C::SchedulerServing), "kube-scheduler", "tls-cert-file", Always, SCHEDULER),
    // etcd reads its pairs at each handshake.
    row(Held::Certificate(C::EtcdServer), "etcd", "client-transport-security.cert-file", Always, ETCD),
    row(Held::Certificate(C::EtcdPeer), "etcd", "peer-transport-security.cert-file", Always, ETCD),
    row(Held::Certificate(C::KubeletClient), "kubelet", "kubeconfig", Always, KUBELET),
    // `ReloadKubeletServerCertificateFile`: on by default from 1.31.
    row(Held::Certificate(C::KubeletServing), "kubelet", "tlsCertFile", Since(31), KUBELET),
    row(Held::Certificate(C::KubeProxy), "kube-proxy", "kubeconfig", Always, PROXY),
    row(Held::Certificate(C::IpsecRouter), "strongswan", "certs", Never, STRONGSWAN),
    row(Held::Public(KeyClass::ServiceAccount), "kube-apiserver", "service-account-key-file", Never, APISERVER),
    // With `encryption-provider-config-automatic-reload`, which is always set.
    row(Held::Private(KeyClass::Encryption), "kube-apiserver", "encryption-provider-config", Always, APISERVER),
    row(Held::Private(KeyClass::ServiceAccount), "kube-apiserver", "service-account-signing-key-file", Never, APISERVER),
    row(Held::Private(KeyClass::ServiceAccount), "kube-controller-manager", "service-account-private-key-file", Never, CONTROLLER),
];

impl Consumer {
    /// Whether it must be told, with that minor version of Kubernetes.
    pub fn must_be_told(&self, kubernetes: u16) -> bool {
        match self.rereads {
            Always => false,
            Since(minor) => kubernetes < minor,
            Never => true,
        }
    }
}

impl On {
    /// Whether such a unit runs on a machine.
    pub fn runs_on(self, model: &Model, machine: &str) -> bool {
        match self {
            Self::Nodes => model.nodes.contains_key(machine),
            Self::Role(role) => model.nodes.get(machine).is_some_and(|node| node.roles.contains(&role)),
            Self::LinuxRouters => {
                model.router(machine).is_some_and(|router| router.kind == RouterKind::Linux)
            }
        }
    }
}

/// The rows of what is read.
pub fn of(held: Held) -> impl Iterator<Item = &'static Consumer> {
    CONSUMERS.iter().filter(move |row| row.held == held)
}

/// The units that must be told when any of these changes: a restart is a reload, too. In the order of the rows, each
/// once.
pub fn told(helds: &[Held], kubernetes: u16) -> Vec<(&'static str, UnitAction)> {
    let mut found: Vec<(&'static str, UnitAction)> = Vec::new();
    let rows = CONSUMERS.iter().filter(|row| helds.contains(&row.held) && row.must_be_told(kubernetes));
    for row in rows {
        match found.iter_mut().find(|(unit, _)| *unit == row.unit) {
            Some((_, action)) if row.action == Restart => *action = Restart,
            Some(_) => {}
            None => found.push((row.unit, row.action)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_told_follows_from_the_version() {
        let units = |held, minor| told(&[held], minor).into_iter().map(|(unit, _)| unit).collect::<Vec<_>>();
        let all = [
            "haproxy.service",
            "kube-apiserver.service",
            "kube-controller-manager.service",
            "kube-scheduler.service",
            "kubelet.service",
            "kube-proxy.service",
        ];
        assert_eq!(units(Held::Certificate(C::ClusterCa), 35), all);
        assert_eq!(units(Held::Certificate(C::ClusterCa), 36), all[..3]);
        assert_eq!(units(Held::Certificate(C::KubeletServing), 30), ["kubelet.service"]);
        assert!(units(Held::Certificate(C::KubeletServing), 31).is_empty());
        assert!(units(Held::Certificate(C::EtcdPeer), 30).is_empty());
        assert_eq!(
            told(&[Held::Certificate(C::EtcdCa), Held::Public(KeyClass::ServiceAccount)], 36),
            [("etcd.service", Restart), ("kube-apiserver.service", Restart)]
        );
    }

    #[test]
    fn a_unit_is_acted_on_in_one_way_and_every_class_has_its_row() {
        for row in CONSUMERS {
            assert!(
                CONSUMERS.iter().all(|other| other.unit != row.unit || other.action == row.action),
                "{}",
                row.unit
            );
        }
        // People hold these two and etcd's health check; no program does.
        let people = [C::Admin, C::BreakGlassAdmin, C::EtcdHealthcheckClient];
        let classes: std::collections::BTreeSet<_> = CONSUMERS
            .iter()
            .filter_map(|row| match row.held {
                Held::Certificate(class) => Some(class),
                _ => None,
            })
            .chain(people)
            .collect();
        assert_eq!(classes.len(), C::IpsecRouter as usize + 1);
    }
}
