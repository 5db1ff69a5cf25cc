//! Flags that no longer exist, by component and version. A component that meets one does not start.

use kmh_model::Model;

use super::files::place;
use super::view::{Bundle, View};
use crate::findings::Findings;

/// A flag that a component no longer has.
struct Dead {
    component: &'static str,
    flag: &'static str,
    /// Minor version of Kubernetes 1.x, or of etcd 3.x, that is the first without it.
    since: u16,
    instead: &'static str,
}

const fn dead(component: &'static str, flag: &'static str, since: u16, instead: &'static str) -> Dead {
    Dead { component, flag, since, instead }
}

const GONE: &str = "remove it";
const CONFIG: &str = "the container runtime's own configuration says it";

/// Sources: the change logs of Kubernetes (kubernetes#106907, #115840, #122082, #122363, #122384, #130161, #130162,
/// #133779) and etcd's upgrade guides.
#[rustfmt::skip]
const DEAD: &[Dead] = &[
    dead("kubelet", "network-plugin", 24, CONFIG),
    dead("kubelet", "cni-bin-dir", 24, CONFIG),
    dead("kubelet", "cni-conf-dir", 24, CONFIG),
    dead("kubelet", "cni-cache-dir", 24, CONFIG),
    dead("kubelet", "network-plugin-mtu", 24, CONFIG),
    dead("kubelet", "docker-endpoint", 24, GONE),
    dead("kubelet", "image-pull-progress-deadline", 24, GONE),
    dead("kubelet", "non-masquerade-cidr", 24, GONE),
    dead("kubelet", "container-runtime", 27, "only `--container-runtime-endpoint` is left"),
    dead("kubelet", "keep-terminated-pod-volumes", 31, GONE),
    dead("kubelet", "iptables-masquerade-bit", 31, GONE),
    dead("kubelet", "iptables-drop-bit", 31, GONE),
    dead("kubelet", "register-schedulable", 33, "use `--register-with-taints` or `registerWithTaints`"),
    dead("kubelet", "cloud-config", 34, GONE),
    dead("kubelet", "pod-infra-container-image", 35, "the container runtime's configuration names the sandbox image"),
    dead("kubelet", "allow-privileged", 15, GONE),
    dead("kubelet", "logtostderr", 26, GONE),
    dead("kubelet", "experimental-bootstrap-kubeconfig", 20, "use `--bootstrap-kubeconfig`"),
    dead("kubelet", "azure-container-registry-config", 30, GONE),
    dead("kube-apiserver", "insecure-port", 24, GONE),
    dead("kube-apiserver", "insecure-bind-address", 24, GONE),
    dead("kube-apiserver", "port", 24, "use `--secure-port`"),
    dead("kube-apiserver", "address", 24, "use `--bind-address`"),
    dead("kube-apiserver", "kubelet-https", 24, GONE),
    dead("kube-apiserver", "cloud-provider", 33, GONE),
    dead("kube-apiserver", "cloud-config", 33, GONE),
    dead("kube-controller-manager", "port", 24, "use `--secure-port`"),
    dead("kube-controller-manager", "address", 24, "use `--bind-address`"),
    dead("kube-controller-manager", "pod-eviction-timeout", 27, GONE),
    dead("kube-controller-manager", "enable-taint-manager", 27, GONE),
    dead("kube-controller-manager", "experimental-cluster-signing-duration", 25, "use `--cluster-signing-duration`"),
    dead("kube-scheduler", "port", 24, "use `--secure-port`"),
    dead("kube-scheduler", "address", 24, "use `--bind-address`"),
    dead("kube-scheduler", "policy-config-file", 23, "use a KubeSchedulerConfiguration"),
    dead("etcd", "enable-v2", 6, GONE),
    dead("etcd", "proxy", 6, GONE),
];

/// Flags that still work, and say so: each component with them.
#[rustfmt::skip]
const OLD: &[(&str, &str)] = &[
    ("kube-apiserver", "apiserver-count"), ("kube-apiserver", "kubelet-port"), ("kube-apiserver", "kubelet-read-only-port"),
    ("kube-apiserver", "admission-control"), ("kube-apiserver", "enable-logs-handler"), ("kube-apiserver", "default-watch-cache-size"),
];

/// `bundle.flags`: no component is started with a flag that its version does not have.
pub(crate) fn flags(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let minor = |v: &Option<kmh_doc::Version>| v.as_ref().map(|v| v.major_minor().1);
    // Without a version the newest is meant: a flag that is gone there is on its way out everywhere.
    let kubernetes = minor(&model.versions.kubernetes).unwrap_or(u16::MAX);
    let etcd = minor(&model.versions.etcd).unwrap_or(u16::MAX);
    for view in bundle.nodes() {
        for (path, command) in &view.commands {
            let component = command.name();
            if !DEAD.iter().any(|d| d.component == component) || !out.look_at(view.name()) {
                continue;
            }
            let version = if component == "etcd" { etcd } else { kubernetes };
            for (flag, value) in command.flags() {
                one(view, path, component, version, (flag, value), out);
            }
        }
        proxy_mode(view, kubernetes, out);
    }
}

fn one(
    view: &View<'_>,
    path: &str,
    component: &str,
    version: u16,
    (flag, value): (&str, &str),
    out: &mut Findings<'_>,
) {
    let subject = place(view.name(), path);
    if let Some(dead) = DEAD.iter().find(|d| d.component == component && d.flag == flag && d.since <= version)
    {
        let family = if component == "etcd" { 3 } else { 1 };
        let message = format!(
            "{component} has no flag `--{flag}` since {family}.{}, and does not start with it",
            dead.since
        );
        out.critical(&subject, message, dead.instead);
    } else if component == "etcd" && flag.starts_with("experimental-") && version >= 7 {
        out.critical(
            &subject,
            format!("etcd has no flag `--{flag}` since 3.7"),
            "use the name without `experimental-`",
        );
    } else if OLD.contains(&(component, flag)) {
        out.warning(&subject, format!("{component}'s flag `--{flag}` is deprecated"), GONE);
    } else if component == "kube-proxy" && flag == "proxy-mode" {
        mode(&subject, value, version, out);
    }
}

fn proxy_mode(view: &View<'_>, version: u16, out: &mut Findings<'_>) {
    if let Some(config) = view.configuration("kube-proxy")
        && let Some(value) = config["mode"].as_str()
    {
        mode(&place(view.name(), "kube-proxy"), value, version, out);
    }
}

fn mode(subject: &str, value: &str, version: u16, out: &mut Findings<'_>) {
    match value {
        "userspace" if version >= 26 => {
            out.critical(
                subject,
                "kube-proxy has no mode `userspace` since 1.26",
                "use `nftables` or `iptables`",
            );
        }
        "ipvs" if version >= 35 => {
            out.warning(
                subject,
                "kube-proxy's mode `ipvs` is deprecated since 1.35",
                "use `nftables` or `iptables`",
            );
        }
        _ => {}
    }
}
