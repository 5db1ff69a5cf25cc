//! Who uses a certificate: the component, and the kubeconfigs that point to it.

use kmh_doc::inventory::Role;
use kmh_doc::pki::Class;

/// A kubeconfig on machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    /// Its path.
    pub path: &'static str,
    /// The role that a node has it for; none: every node.
    pub role: Option<Role>,
    /// The class whose certificate and key it points to. To the cluster's CA they all do.
    pub class: Class,
}

const fn kubeconfig(path: &'static str, role: Option<Role>, class: Class) -> Kubeconfig {
    Kubeconfig { path, role, class }
}

/// The kubeconfigs of the bundle. They refer to files, so a renewed certificate is used at once.
pub const KUBECONFIGS: &[Kubeconfig] = &[
    kubeconfig("/etc/kubernetes/admin.conf", Some(Role::ControlPlane), Class::Admin),
    kubeconfig("/etc/kubernetes/controller-manager.conf", Some(Role::ControlPlane), Class::ControllerManager),
    kubeconfig("/etc/kubernetes/kube-proxy.conf", None, Class::KubeProxy),
    kubeconfig("/etc/kubernetes/kubelet.conf", None, Class::KubeletClient),
    kubeconfig("/etc/kubernetes/scheduler.conf", Some(Role::ControlPlane), Class::Scheduler),
];

impl Kubeconfig {
    /// Whether it points to a certificate of that class.
    pub fn points_to(&self, class: Class) -> bool {
        self.class == class || class == Class::ClusterCa
    }
}

/// Who holds a certificate or, of a CA, verifies by it.
pub fn component(class: Class) -> &'static str {
    match class {
        Class::ClusterCa => "all of Kubernetes",
        Class::EtcdCa => "etcd and its clients",
        Class::FrontProxyCa => "aggregated APIs",
        Class::RootCa => "the CAs below it",
        Class::IpsecCa | Class::IpsecRouter => "tunnels",
        Class::Apiserver
        | Class::ApiserverKubeletClient
        | Class::ApiserverEtcdClient
        | Class::FrontProxyClient => "kube-apiserver",
        Class::ControllerManager | Class::ControllerManagerServing => "kube-controller-manager",
        Class::Scheduler | Class::SchedulerServing => "kube-scheduler",
        Class::Admin => "admins",
        Class::BreakGlassAdmin => "admins in an emergency",
        Class::EtcdServer | Class::EtcdPeer => "etcd",
        Class::EtcdHealthcheckClient => "health checks of etcd",
        Class::KubeletClient | Class::KubeletServing => "kubelet",
        Class::KubeProxy => "kube-proxy",
    }
}
