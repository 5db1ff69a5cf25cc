//! One service range, one pod range, one DNS address: wherever they are written.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::bundle::MachineKind;
use kmh_doc::inventory::Role;
use kmh_doc::pki::Class;
use kmh_model::Model;
use serde_json::Value;

use super::RENDER;
use super::files::place;
use super::view::{Bundle, View};
use crate::documents::Pki;
use crate::findings::Findings;

fn networks(text: &str) -> Option<BTreeSet<IpNet>> {
    text.split(',').map(|part| part.trim().parse().ok()).collect()
}

/// The n-th address of a range, its base counted as 0: Kubernetes gives the API server 1, and `CoreDNS` by custom has 10.
pub(crate) fn nth(range: IpNet, n: u32) -> IpAddr {
    match range {
        IpNet::V4(net) => u32::from(net.network()).saturating_add(n).to_be_bytes().into(),
        IpNet::V6(net) => u128::from(net.network()).saturating_add(n.into()).to_be_bytes().into(),
    }
}

fn list(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A program says a range; it must be that of the inventory.
fn range(
    view: &View<'_>,
    program: &str,
    setting: &str,
    must: &[IpNet],
    needed: bool,
    out: &mut Findings<'_>,
) {
    let Some((path, _)) = view.command(program) else { return };
    let subject = place(view.name(), path);
    match view.setting(program, setting) {
        None if needed => {
            out.critical(&subject, format!("{program} is not told `{setting}` ({})", list(must)), RENDER);
        }
        Some(is) if networks(&is) != Some(must.iter().copied().collect()) => {
            out.critical(
                &subject,
                format!("{program}'s `{setting}` is {is}, the inventory says {}", list(must)),
                RENDER,
            );
        }
        None | Some(_) => {}
    }
}

/// `bundle.service-range`: one in the API server, the controller manager and the API server's certificate.
pub(crate) fn services(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.with(Role::ControlPlane) {
        if out.look_at(view.name()) {
            // Without it the API server takes 10.0.0.0/24, and its certificate does not fit the service's address.
            range(view, "kube-apiserver", "service-cluster-ip-range", &model.services, true, out);
            range(view, "kube-controller-manager", "service-cluster-ip-range", &model.services, false, out);
        }
    }
}

/// `bundle.service-certificate`: the API server's certificate holds the first address of the range that it is told.
pub(crate) fn service_certificate(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.with(Role::ControlPlane) {
        let Some(ranges) =
            view.setting("kube-apiserver", "service-cluster-ip-range").as_deref().and_then(networks)
        else {
            continue;
        };
        let certificate = pki
            .certificates()
            .find(|(e, _)| e.class == Class::Apiserver && e.machine.as_deref() == Some(view.name()));
        let Some((entry, facts)) = certificate else { continue };
        if !out.look_at(view.name()) {
            continue;
        }
        for first in ranges.iter().map(|range| nth(*range, 1)) {
            if !facts.addresses.contains(&first) {
                let message = format!("it is not valid for {first}, the API server's own service address");
                out.critical(&entry.name, message, "make certificates and bundle again, from one inventory");
            }
        }
    }
}

/// `bundle.pod-range`: what kube-proxy and the controller manager take for pods.
pub(crate) fn pods(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.nodes() {
        if out.look_at(view.name()) {
            range(view, "kube-proxy", "clusterCIDR", &model.pods, false, out);
            range(view, "kube-proxy", "cluster-cidr", &model.pods, false, out);
            if view.is(Role::ControlPlane) {
                range(view, "kube-controller-manager", "cluster-cidr", &model.pods, false, out);
            }
        }
    }
}

/// `bundle.dns`: kubelet hands pods the address and domain that the DNS service has.
pub(crate) fn dns(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let must: BTreeSet<String> = model.services.iter().map(|range| nth(*range, 10).to_string()).collect();
    let texts = |value: &Value| -> BTreeSet<String> {
        let list = value.as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let shown = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    for view in bundle.nodes() {
        if !out.look_at(view.name()) {
            continue;
        }
        let Some(config) = view.configuration("kubelet") else {
            out.critical(view.name(), "kubelet has no configuration file that could be read", RENDER);
            continue;
        };
        let is = texts(&config["clusterDNS"]);
        if is != must {
            let message =
                format!("kubelet's `clusterDNS` is {}, the DNS service is {}", shown(&is), shown(&must));
            out.critical(view.name(), message, RENDER);
        }
        if config["clusterDomain"].as_str() != Some(model.domain.as_str()) {
            let message = format!(
                "kubelet's `clusterDomain` is {}, the inventory says `{}`",
                config["clusterDomain"], model.domain
            );
            out.critical(view.name(), message, RENDER);
        }
    }
    let mut services = 0;
    for manifest in
        bundle.manifests().filter(|m| m["kind"] == "Service" && m["metadata"]["name"] == "kube-dns")
    {
        services += 1;
        out.look();
        let mut is = texts(&manifest["spec"]["clusterIPs"]);
        is.extend(manifest["spec"]["clusterIP"].as_str().map(str::to_owned));
        if is != must {
            let message = format!(
                "the DNS service has {}, by the service range it must be {}",
                shown(&is),
                shown(&must)
            );
            out.critical("cluster", message, RENDER);
        }
    }
    // Of a bundle without the cluster's machine, `bundle.machines` says so.
    let rendered = bundle.machines.iter().any(|m| m.machine.kind == MachineKind::Cluster);
    if rendered && services != 1 {
        out.critical(
            "cluster",
            format!("the manifests have {services} services named `kube-dns` instead of one"),
            RENDER,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_a_range_is_not_its_base() {
        let nth = |range: &str, n| nth(range.parse().unwrap(), n).to_string();
        assert_eq!(
            (nth("10.201.0.0/16", 1), nth("fd00:201::/112", 1)),
            ("10.201.0.1".into(), "fd00:201::1".into())
        );
        assert_eq!(
            (nth("10.201.0.0/16", 10), nth("fd00:201::/112", 10)),
            ("10.201.0.10".into(), "fd00:201::a".into())
        );
    }
}
