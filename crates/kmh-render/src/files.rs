//! The table of rendered files: template, path, mode, machines, view, and what is told when the file changes.

use kmh_doc::bundle::{OnChange, UnitAction};
use kmh_doc::inventory::{BgpDaemon, Role};
use kmh_doc::pki::Class;

use crate::fault::Fault;
use crate::shared::{ClusterTarget, NodeTarget, RouterTarget};
use crate::view::{View, bird, cluster, control, firewall, frr, ipsec, links, node};

/// A rendered file.
pub(crate) struct Row {
    /// Its template, below `templates/`.
    pub(crate) template: &'static str,
    /// Where it goes; `{netns}` stands for the router's namespace.
    pub(crate) path: &'static str,
    /// Its mode.
    pub(crate) mode: &'static str,
    /// Its owner and group.
    pub(crate) owner: &'static str,
    /// Whether it holds a secret.
    pub(crate) secret: bool,
    /// Which machines have it, and what the template sees.
    pub(crate) content: Content,
    /// What is told when it changes.
    pub(crate) on_change: &'static [(&'static str, UnitAction)],
}

/// Whether a node has something.
type IfNode = fn(&NodeTarget<'_>) -> bool;
/// Whether a router has something.
type IfRouter = fn(&RouterTarget<'_>) -> bool;

/// Whether the cluster has something.
type IfCluster = fn(&ClusterTarget<'_>) -> bool;

/// Which machines have a file, and its view.
pub(crate) enum Content {
    /// Nodes for which the condition holds.
    Node(IfNode, fn(&NodeTarget<'_>) -> Result<View, Fault>),
    /// Linux routers for which the condition holds.
    Linux(IfRouter, fn(&RouterTarget<'_>) -> Result<View, Fault>),
    /// pfSense routers; the view may need the text of an earlier row, see [`crate::bundle`].
    Pfsense(PfsenseView),
    /// The cluster, when the condition holds.
    Cluster(IfCluster, fn(&ClusterTarget<'_>) -> Result<View, Fault>),
}

/// The two files of a pfSense router.
#[derive(Clone, Copy)]
pub(crate) enum PfsenseView {
    /// `frr.conf` as a file of its own.
    Frr,
    /// The settings, with the same text inside.
    Settings,
}

impl Row {
    /// The path on a router with that namespace.
    pub(crate) fn path(&self, netns: &str) -> String {
        self.path.replace("{netns}", netns)
    }

    /// What is told when the file changes.
    pub(crate) fn changes(&self, netns: &str) -> Vec<OnChange> {
        self.on_change
            .iter()
            .map(|(unit, action)| OnChange { unit: unit.replace("{netns}", netns), action: *action })
            .collect()
    }
}

fn every(_: &NodeTarget<'_>) -> bool {
    true
}

fn control_plane(t: &NodeTarget<'_>) -> bool {
    t.node.roles.contains(&Role::ControlPlane)
}

fn authentication(t: &NodeTarget<'_>) -> bool {
    control_plane(t) && control::restricts_anonymous(t)
}

fn etcd(t: &NodeTarget<'_>) -> bool {
    t.node.roles.contains(&Role::Etcd)
}

fn below_a_root(t: &NodeTarget<'_>) -> bool {
    t.shared.pki.root().is_some()
}

fn with_resolvers(t: &NodeTarget<'_>) -> bool {
    !t.site.resolvers.is_empty()
}

fn every_cluster(_: &ClusterTarget<'_>) -> bool {
    true
}

fn every_linux(_: &RouterTarget<'_>) -> bool {
    true
}

fn runs(t: &RouterTarget<'_>, daemon: BgpDaemon) -> bool {
    t.plan.daemon == daemon
}

fn frr_in_namespace(t: &RouterTarget<'_>) -> bool {
    runs(t, BgpDaemon::Frr) && in_namespace(t)
}

fn frr_on_the_machine(t: &RouterTarget<'_>) -> bool {
    runs(t, BgpDaemon::Frr) && on_the_machine(t)
}

fn bird_in_namespace(t: &RouterTarget<'_>) -> bool {
    runs(t, BgpDaemon::Bird) && in_namespace(t)
}

fn bird_on_the_machine(t: &RouterTarget<'_>) -> bool {
    runs(t, BgpDaemon::Bird) && on_the_machine(t)
}

fn in_namespace(t: &RouterTarget<'_>) -> bool {
    t.router.netns.is_some()
}

fn on_the_machine(t: &RouterTarget<'_>) -> bool {
    t.router.netns.is_none()
}

fn with_as_number(t: &NodeTarget<'_>) -> bool {
    node::has_as_number(t.plan)
}

fn kubelet_conf(t: &NodeTarget<'_>) -> Result<View, Fault> {
    control::kubeconfig(t, Class::KubeletClient)
}

fn proxy_conf(t: &NodeTarget<'_>) -> Result<View, Fault> {
    control::kubeconfig(t, Class::KubeProxy)
}

fn manager_conf(t: &NodeTarget<'_>) -> Result<View, Fault> {
    control::kubeconfig(t, Class::ControllerManager)
}

fn scheduler_conf(t: &NodeTarget<'_>) -> Result<View, Fault> {
    control::kubeconfig(t, Class::Scheduler)
}

fn admin_conf(t: &NodeTarget<'_>) -> Result<View, Fault> {
    control::kubeconfig(t, Class::Admin)
}

const fn row(
    template: &'static str,
    path: &'static str,
    content: Content,
    on_change: &'static [(&'static str, UnitAction)],
) -> Row {
    Row { template, path, mode: "0644", owner: "root:root", secret: false, content, on_change }
}

/// For root alone.
const fn closed(row: Row) -> Row {
    Row { mode: "0600", ..row }
}

/// With a secret.
const fn secret(row: Row) -> Row {
    Row { mode: "0600", secret: true, ..row }
}

const fn program(row: Row) -> Row {
    Row { mode: "0755", ..row }
}

/// FRR's daemons run as a user of their own.
const fn of_frr(row: Row) -> Row {
    Row { mode: "0640", owner: "frr:frr", ..row }
}

/// FRR's file with passwords.
const fn secret_of_frr(row: Row) -> Row {
    of_frr(Row { secret: true, ..row })
}

/// BIRD's file with passwords: it reads it again as its own user.
const fn secret_of_bird(row: Row) -> Row {
    Row { mode: "0640", owner: "bird:bird", secret: true, ..row }
}

use Content::{Cluster, Linux, Node};
use UnitAction::{Reload, Restart};

const KUBECONFIG: &str = "kubeconfig/kubeconfig.yaml.j2";

macro_rules! unit {
    ($name:literal) => {
        concat!("/etc/systemd/system/", $name)
    };
}

/// Every rendered file.
#[rustfmt::skip] // one row a line
pub(crate) const FILES: &[Row] = &[
    // Every node.
    row("node/modules.conf.j2", "/etc/modules-load.d/kmh.conf", Node(every, node::nothing), &[("systemd-modules-load.service", Restart)]),
    row("node/sysctl.conf.j2", "/etc/sysctl.d/90-kmh.conf", Node(every, node::sysctl), &[("systemd-sysctl.service", Restart)]),
    row("node/resolv.conf.j2", "/etc/kubernetes/resolv.conf", Node(with_resolvers, node::resolv), &[("kubelet.service", Restart)]),
    row("containerd/config.toml.j2", "/etc/containerd/config.toml", Node(every, node::containerd), &[("containerd.service", Restart)]),
    row("containerd/containerd.service.j2", unit!("containerd.service"), Node(every, node::nothing), &[("containerd.service", Restart)]),
    row("haproxy/haproxy.cfg.j2", "/etc/haproxy/haproxy.cfg", Node(every, node::haproxy), &[("haproxy.service", Reload)]),
    // haproxy believes a CA that another signed only with that one beside it.
    row("haproxy/ca.crt.j2", node::HAPROXY_CA, Node(below_a_root, node::haproxy_ca), &[("haproxy.service", Reload)]),
    row("kubelet/config.yaml.j2", "/var/lib/kubelet/config.yaml", Node(every, node::kubelet), &[("kubelet.service", Restart)]),
    row("kubelet/kubelet.service.j2", unit!("kubelet.service"), Node(every, node::kubelet_unit), &[("kubelet.service", Restart)]),
    closed(row(KUBECONFIG, "/etc/kubernetes/kubelet.conf", Node(every, kubelet_conf), &[("kubelet.service", Restart)])),
    row("kube-proxy/config.yaml.j2", "/var/lib/kube-proxy/config.yaml", Node(every, node::kube_proxy), &[("kube-proxy.service", Restart)]),
    row("kube-proxy/kube-proxy.service.j2", unit!("kube-proxy.service"), Node(every, node::nothing), &[("kube-proxy.service", Restart)]),
    closed(row(KUBECONFIG, "/etc/kubernetes/kube-proxy.conf", Node(every, proxy_conf), &[("kube-proxy.service", Restart)])),
    // Nodes whose AS number is not everybody's.
    program(row("node/as-number.sh.j2", "/usr/local/lib/kmh/as-number.sh", Node(with_as_number, node::as_number), &[("kmh-as-number.service", Restart)])),
    row("node/kmh-as-number.service.j2", unit!("kmh-as-number.service"), Node(with_as_number, node::nothing), &[("kmh-as-number.service", Restart)]),
    // Members of etcd.
    row("etcd/etcd.yaml.j2", "/etc/etcd/etcd.yaml", Node(etcd, control::etcd), &[("etcd.service", Restart)]),
    row("etcd/etcd.service.j2", unit!("etcd.service"), Node(etcd, node::nothing), &[("etcd.service", Restart)]),
    // The control plane.
    row("apiserver/kube-apiserver.service.j2", unit!("kube-apiserver.service"), Node(control_plane, control::apiserver), &[("kube-apiserver.service", Restart)]),
    // The API server reads this file again, but for who is anonymous, and nothing else is in it (k/k, `originalFileAnonymousConfig`).
    row("apiserver/authentication.yaml.j2", "/etc/kubernetes/authentication.yaml", Node(authentication, node::nothing), &[("kube-apiserver.service", Restart)]),
    // This one it does read again, by itself.
    secret(row("apiserver/encryption.yaml.j2", "/etc/kubernetes/encryption.yaml", Node(control_plane, control::encryption), &[])),
    row("apiserver/audit-policy.yaml.j2", "/etc/kubernetes/audit-policy.yaml", Node(control_plane, node::nothing), &[("kube-apiserver.service", Restart)]),
    row("controller-manager/kube-controller-manager.service.j2", unit!("kube-controller-manager.service"), Node(control_plane, control::controller_manager), &[("kube-controller-manager.service", Restart)]),
    closed(row(KUBECONFIG, "/etc/kubernetes/controller-manager.conf", Node(control_plane, manager_conf), &[("kube-controller-manager.service", Restart)])),
    row("scheduler/kube-scheduler.service.j2", unit!("kube-scheduler.service"), Node(control_plane, control::scheduler), &[("kube-scheduler.service", Restart)]),
    row("scheduler/scheduler.yaml.j2", "/etc/kubernetes/scheduler.yaml", Node(control_plane, node::nothing), &[("kube-scheduler.service", Restart)]),
    closed(row(KUBECONFIG, "/etc/kubernetes/scheduler.conf", Node(control_plane, scheduler_conf), &[("kube-scheduler.service", Restart)])),
    closed(row(KUBECONFIG, "/etc/kubernetes/admin.conf", Node(control_plane, admin_conf), &[])),
    // Linux routers, the namespace and its links first.
    program(row("links/netns.sh.j2", "/usr/local/lib/kmh/netns.sh", Linux(in_namespace, links::netns), &[("kmh-netns-{netns}.service", Reload)])),
    row("links/kmh-netns.service.j2", unit!("kmh-netns-{netns}.service"), Linux(in_namespace, links::place), &[("kmh-netns-{netns}.service", Reload)]),
    program(row("links/tunnels.sh.j2", "/usr/local/lib/kmh/tunnels.sh", Linux(every_linux, links::tunnels), &[("kmh-tunnels.service", Reload)])),
    row("links/kmh-tunnels.service.j2", unit!("kmh-tunnels.service"), Linux(every_linux, links::place), &[("kmh-tunnels.service", Reload)]),
    row("links/sysctl.conf.j2", "/etc/sysctl.d/90-kmh.conf", Linux(every_linux, links::place), &[("systemd-sysctl.service", Restart)]),
    row("nftables/router.nft.j2", "/etc/nftables.d/kmh.nft", Linux(every_linux, firewall::router), &[("kmh-nftables.service", Reload)]),
    row("nftables/host.nft.j2", "/etc/nftables.d/kmh-host.nft", Linux(in_namespace, firewall::host), &[("kmh-nftables.service", Reload)]),
    row("nftables/kmh-nftables.service.j2", unit!("kmh-nftables.service"), Linux(every_linux, links::place), &[("kmh-nftables.service", Reload)]),
    row("strongswan/strongswan.conf.j2", "/etc/strongswan.d/kmh.conf", Linux(every_linux, links::place), &[("strongswan.service", Restart)]),
    secret(row("strongswan/swanctl.conf.j2", "/etc/swanctl/conf.d/kmh.conf", Linux(every_linux, ipsec::swanctl), &[("strongswan.service", Reload)])),
    secret_of_frr(row("frr/frr.conf.j2", "/etc/frr/{netns}/frr.conf", Linux(frr_in_namespace, frr::linux), &[("frr@{netns}.service", Reload)])),
    of_frr(row("frr/daemons.j2", "/etc/frr/{netns}/daemons", Linux(frr_in_namespace, links::place), &[("frr@{netns}.service", Restart)])),
    of_frr(row("frr/vtysh.conf.j2", "/etc/frr/{netns}/vtysh.conf", Linux(frr_in_namespace, links::place), &[])),
    row("links/frr.conf.j2", unit!("frr@{netns}.service.d/kmh.conf"), Linux(frr_in_namespace, links::place), &[]),
    secret_of_frr(row("frr/frr.conf.j2", "/etc/frr/frr.conf", Linux(frr_on_the_machine, frr::linux), &[("frr.service", Reload)])),
    of_frr(row("frr/daemons.j2", "/etc/frr/daemons", Linux(frr_on_the_machine, links::place), &[("frr.service", Restart)])),
    of_frr(row("frr/vtysh.conf.j2", "/etc/frr/vtysh.conf", Linux(frr_on_the_machine, links::place), &[])),
    row("links/frr.conf.j2", unit!("frr.service.d/kmh.conf"), Linux(frr_on_the_machine, links::place), &[]),
    secret_of_bird(row("bird/bird.conf.j2", "/etc/bird/{netns}/bird.conf", Linux(bird_in_namespace, bird::bird), &[("kmh-bird-{netns}.service", Reload)])),
    row("bird/kmh-bird.service.j2", unit!("kmh-bird-{netns}.service"), Linux(bird_in_namespace, links::place), &[("kmh-bird-{netns}.service", Restart)]),
    secret_of_bird(row("bird/bird.conf.j2", "/etc/bird/bird.conf", Linux(bird_on_the_machine, bird::bird), &[("bird.service", Reload)])),
    // pfSense.
    row("frr/frr.conf.j2", "/usr/local/etc/kmh/frr.conf", Content::Pfsense(PfsenseView::Frr), &[]),
    secret(row("pfsense/settings.json.j2", "/usr/local/etc/kmh/settings.json", Content::Pfsense(PfsenseView::Settings), &[])),
    // The cluster: applied in the order of the names, the custom resource definitions of Calico as number 10.
    row("cluster/rbac.yaml.j2", cluster::RBAC, Cluster(every_cluster, cluster::rbac), APPLY),
    secret(row("cluster/bgp-passwords.yaml.j2", cluster::PASSWORDS, Cluster(cluster::has_passwords, cluster::passwords), APPLY)),
    row("cluster/calico-resources.yaml.j2", "/etc/kubernetes/cluster/15-calico-resources.yaml", Cluster(every_cluster, cluster::calico_resources), APPLY),
    row("cluster/calico.yaml.j2", "/etc/kubernetes/cluster/20-calico.yaml", Cluster(every_cluster, cluster::calico), APPLY),
    row("cluster/coredns.yaml.j2", "/etc/kubernetes/cluster/30-coredns.yaml", Cluster(every_cluster, cluster::coredns), APPLY),
    program(row("cluster/apply.sh.j2", "/usr/local/lib/kmh/apply-cluster.sh", Cluster(every_cluster, cluster::apply), APPLY)),
    row("cluster/kmh-cluster.service.j2", unit!("kmh-cluster.service"), Cluster(every_cluster, cluster::apply), APPLY),
];

const APPLY: &[(&str, UnitAction)] = &[("kmh-cluster.service", Restart)];

/// The units of a node in the order in which they are started.
pub(crate) const NODE_UNITS: &[(&str, IfNode)] = &[
    ("systemd-modules-load.service", every),
    ("systemd-sysctl.service", every),
    ("containerd.service", every),
    ("etcd.service", etcd),
    ("kube-apiserver.service", control_plane),
    ("haproxy.service", every),
    ("kube-controller-manager.service", control_plane),
    ("kube-scheduler.service", control_plane),
    ("kubelet.service", every),
    ("kube-proxy.service", every),
    ("kmh-as-number.service", with_as_number),
];

/// A command, word by word.
type Ready = fn(&NodeTarget<'_>) -> Result<Vec<String>, Fault>;

/// How to ask whether a unit serves: those of which the cluster needs most at any time.
pub(crate) const READY: &[(&str, Ready)] =
    &[("etcd.service", control::etcd_ready), ("kube-apiserver.service", control::apiserver_ready)];

/// The units of a Linux router in the order in which they are started.
pub(crate) const ROUTER_UNITS: &[(&str, IfRouter)] = &[
    ("systemd-sysctl.service", every_linux),
    ("kmh-netns-{netns}.service", in_namespace),
    ("kmh-tunnels.service", every_linux),
    ("kmh-nftables.service", every_linux),
    ("strongswan.service", every_linux),
    ("frr@{netns}.service", frr_in_namespace),
    ("frr.service", frr_on_the_machine),
    ("kmh-bird-{netns}.service", bird_in_namespace),
    ("bird.service", bird_on_the_machine),
];

/// Units that belong to the system: started at boot in any case, and not to be enabled.
pub(crate) fn is_static(unit: &str) -> bool {
    unit.starts_with("systemd-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::engine::TEMPLATES;

    #[test]
    fn who_has_turns_can_be_asked() {
        assert_eq!(READY.iter().map(|(unit, _)| *unit).collect::<Vec<_>>(), kmh_model::reload::IN_TURN);
    }

    #[test]
    fn every_template_exists_and_is_used() {
        let there: BTreeSet<&str> = TEMPLATES.iter().map(|(name, _)| *name).collect();
        let used: BTreeSet<&str> = FILES.iter().map(|row| row.template).collect();
        assert_eq!(there, used);
        assert_eq!(there.len(), TEMPLATES.len(), "a template stands twice in the table");
        let mut on_disk = BTreeSet::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        for folder in std::fs::read_dir(&root).unwrap() {
            for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                on_disk
                    .insert(file.unwrap().path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
        assert_eq!(on_disk, there.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn no_two_rows_share_a_path_on_a_machine() {
        let kind = |row: &Row| match row.content {
            Content::Node(..) => "node",
            Content::Linux(..) => "linux",
            Content::Pfsense(_) => "pfsense",
            Content::Cluster(..) => "cluster",
        };
        let paths: BTreeSet<(&str, &str)> = FILES.iter().map(|row| (kind(row), row.path)).collect();
        assert_eq!(paths.len(), FILES.len());
        for row in FILES {
            crate::safe::path(&row.path("k8s")).unwrap();
        }
    }

    #[test]
    fn whoever_holds_a_secret_is_for_its_reader_alone() {
        for row in FILES {
            let closed =
                matches!((row.mode, row.owner), ("0600", "root:root") | ("0640", "frr:frr" | "bird:bird"));
            assert!(!row.secret || closed, "{}", row.path);
            assert!(matches!(row.mode, "0600" | "0640" | "0644" | "0755"), "{}", row.path);
        }
    }

    #[test]
    fn every_file_is_described() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/files.md");
        let text = std::fs::read_to_string(page).unwrap();
        for row in FILES {
            assert!(
                text.contains(&format!("`{}`", row.path("NETNS"))),
                "docs/files.md lacks {}",
                row.path("NETNS")
            );
        }
    }

    #[test]
    fn what_is_told_is_started_by_somebody() {
        let started: BTreeSet<&str> = NODE_UNITS
            .iter()
            .map(|(unit, _)| *unit)
            .chain(ROUTER_UNITS.iter().map(|(unit, _)| *unit))
            .chain(["kmh-cluster.service"])
            .collect();
        for row in FILES {
            for (unit, _) in row.on_change {
                assert!(started.contains(unit), "{} tells {unit}, which nobody starts", row.path);
            }
        }
    }
}
