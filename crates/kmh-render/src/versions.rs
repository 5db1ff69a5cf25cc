//! What goes with what: images and programs by version, and where upstream publishes them.

use kmh_doc::bundle::Artifact;
use kmh_doc::inventory::{Arch, Role};
use kmh_model::Node;

use crate::shared::Shared;

/// Images that kubeadm of that Kubernetes minor version deploys (`cmd/kubeadm/app/constants`).
struct Images {
    minor: u16,
    coredns: &'static str,
    pause: &'static str,
}

const IMAGES: [Images; 7] = [
    Images { minor: 30, coredns: "v1.11.1", pause: "3.9" },
    Images { minor: 31, coredns: "v1.11.3", pause: "3.10" },
    Images { minor: 32, coredns: "v1.11.3", pause: "3.10" },
    Images { minor: 33, coredns: "v1.12.0", pause: "3.10" },
    Images { minor: 34, coredns: "v1.12.1", pause: "3.10.1" },
    Images { minor: 35, coredns: "v1.13.1", pause: "3.10.1" },
    Images { minor: 36, coredns: "v1.14.2", pause: "3.10.2" },
];

fn images(minor: u16) -> &'static Images {
    // An older version than the table's takes its first row, a newer one its last.
    IMAGES.iter().rev().find(|row| row.minor <= minor).unwrap_or(&IMAGES[0])
}

/// `CoreDNS`'s image.
pub(crate) fn coredns(minor: u16) -> String {
    format!("registry.k8s.io/coredns/coredns:{}", images(minor).coredns)
}

/// The sandbox's image.
pub(crate) fn pause(minor: u16) -> String {
    format!("registry.k8s.io/pause:{}", images(minor).pause)
}

/// The runc that every known containerd is built and tested with (containerd#13606 and its picks for 1.7 to 2.1). Before
/// 1.3.3 a container could write to its host (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881).
const RUNC: &str = "1.3.6";

/// The programs of a node, sorted by name.
pub(crate) fn node_artifacts(shared: &Shared<'_>, node: &Node) -> Vec<Artifact> {
    let v = &shared.versions;
    let arch = node.arch.as_str();
    let (kubernetes, etcd, containerd) = (&v.kubernetes, &v.etcd, &v.containerd);
    let artifact = |name: &str, version: &str, url: String, dir: &str| Artifact {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: node.arch,
        url,
        path: format!("{dir}/{name}"),
    };
    let mut found = Vec::new();
    for name in components(&node.roles) {
        found.push(artifact(
            name,
            kubernetes,
            format!("https://dl.k8s.io/v{kubernetes}/bin/linux/{arch}/{name}"),
            "/usr/local/bin",
        ));
    }
    for name in ["containerd", "containerd-shim-runc-v2"] {
        let url = format!(
            "https://github.com/containerd/containerd/releases/download/v{containerd}/containerd-{containerd}-linux-{arch}.tar.gz"
        );
        found.push(artifact(name, containerd, url, "/usr/local/bin"));
    }
    let url = format!("https://github.com/opencontainers/runc/releases/download/v{RUNC}/runc.{arch}");
    found.push(artifact("runc", RUNC, url, "/usr/local/sbin"));
    if node.roles.contains(&Role::Etcd) {
        for name in ["etcd", "etcdctl"] {
            let url = format!(
                "https://github.com/etcd-io/etcd/releases/download/v{etcd}/etcd-v{etcd}-linux-{arch}.tar.gz"
            );
            found.push(artifact(name, etcd, url, "/usr/local/bin"));
        }
    }
    found.sort();
    found
}

fn components(roles: &std::collections::BTreeSet<Role>) -> &'static [&'static str] {
    if roles.contains(&Role::ControlPlane) {
        &["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"]
    } else {
        &["kube-proxy", "kubelet"]
    }
}

/// Where the custom resource definitions of Calico are put.
pub(crate) const CRDS: &str = "/etc/kubernetes/cluster/10-calico-crds.yaml";

/// Calico's custom resource definitions: a file of upstream's, too large to be anybody's own.
pub(crate) fn calico_crds(version: &str, minor: (u16, u16), arch: Arch) -> Artifact {
    // From 3.32 on there are two sets, and the one of the API group that kmh writes has a name of its own.
    let name = if minor >= (3, 32) { "v1_crd_projectcalico_org.yaml" } else { "crds.yaml" };
    Artifact {
        name: "calico-crds".to_owned(),
        version: version.to_owned(),
        arch,
        url: format!("https://raw.githubusercontent.com/projectcalico/calico/v{version}/manifests/{name}"),
        path: CRDS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_beyond_the_table_takes_the_nearest_row() {
        assert_eq!(coredns(36), "registry.k8s.io/coredns/coredns:v1.14.2");
        assert_eq!(pause(40), "registry.k8s.io/pause:3.10.2");
        assert_eq!(pause(29), "registry.k8s.io/pause:3.9");
    }

    #[test]
    fn definitions_follow_calicos_version() {
        let url = |version, minor| calico_crds(version, minor, Arch::Amd64).url;
        assert!(url("3.31.2", (3, 31)).ends_with("/v3.31.2/manifests/crds.yaml"));
        assert!(url("3.32.0", (3, 32)).ends_with("/v3.32.0/manifests/v1_crd_projectcalico_org.yaml"));
    }
}
