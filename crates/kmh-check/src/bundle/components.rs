//! What has to be the same, or different, between the settings of one node's components.

use std::collections::BTreeSet;

use kmh_doc::inventory::Role;
use kmh_model::Model;
use serde_json::Value;

use super::RENDER;
use super::files::place;
use super::view::{Bundle, View};
use crate::documents::Pki;
use crate::findings::Findings;
use kmh_cert::facts::blocks;

/// `bundle.audit`: an audit log without a policy stays empty; a policy without a log goes nowhere.
pub(crate) fn audit(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.with(Role::ControlPlane) {
        let Some((path, _)) = view.command("kube-apiserver") else { continue };
        if !out.look_at(view.name()) {
            continue;
        }
        let log = view.setting("kube-apiserver", "audit-log-path");
        let webhook = view.setting("kube-apiserver", "audit-webhook-config-file");
        let policy = view.setting("kube-apiserver", "audit-policy-file");
        let subject = place(view.name(), path);
        match (&log, &policy) {
            (Some(_), None) => {
                let hint = "name a policy with `audit-policy-file`, or take the log away";
                out.critical(&subject, "an audit log is named, but no policy: nothing is ever logged", hint);
            }
            (None, Some(_)) if webhook.is_none() => {
                out.warning(
                    &subject,
                    "an audit policy is named, but no log: nothing is written",
                    "name a log with `audit-log-path`",
                );
            }
            _ => {}
        }
        if let Some(policy) = policy
            && view.yaml(&policy).is_none_or(|p| p["kind"] != "Policy")
        {
            out.critical(
                &subject,
                format!("the audit policy `{policy}` is not in the bundle, or is none"),
                RENDER,
            );
        }
    }
}

/// `bundle.request-header`: whoever may speak for others (X-Remote-User) is vouched for by a CA of their own.
pub(crate) fn request_header(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.with(Role::ControlPlane) {
        let Some((path, _)) = view.command("kube-apiserver") else { continue };
        if !out.look_at(view.name()) {
            continue;
        }
        let subject = place(view.name(), path);
        let setting = |name: &str| view.setting("kube-apiserver", name);
        let Some(client) = setting("client-ca-file") else {
            out.critical(&subject, "the API server knows no CA of its clients (`client-ca-file`)", RENDER);
            continue;
        };
        let Some(header) = setting("requestheader-client-ca-file") else {
            out.warning(
                &subject,
                "no aggregation layer: metrics-server and Calico's API server cannot work",
                RENDER,
            );
            continue;
        };
        let held = |path: &str| blocks(view.text(path).unwrap_or_default());
        let clients = held(&client);
        if client == header || held(&header).iter().any(|block| clients.contains(block)) {
            out.critical(
                &subject,
                "the CA of request headers is the CA of clients: every client could act as any user",
                "name the front proxy's own CA in `requestheader-client-ca-file`",
            );
        }
        if setting("requestheader-allowed-names").is_none_or(|names| names.trim().is_empty()) {
            let hint = "set `requestheader-allowed-names` to the front proxy's common name";
            out.critical(&subject, "any certificate of the front proxy's CA may set request headers", hint);
        }
    }
}

/// `bundle.service-accounts`: tokens are signed with the key that they are verified with, and by one issuer.
pub(crate) fn service_accounts(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let mut issuers = BTreeSet::new();
    for view in bundle.with(Role::ControlPlane) {
        let Some((path, _)) = view.command("kube-apiserver") else { continue };
        if !out.look_at(view.name()) {
            continue;
        }
        let subject = place(view.name(), path);
        let secret = |program: &str, name: &str| {
            let file = view.setting(program, name)?;
            view.files.get(file.as_str())?.secrets.first().copied()
        };
        let signs = secret("kube-apiserver", "service-account-signing-key-file");
        let issues = secret("kube-controller-manager", "service-account-private-key-file");
        if signs.is_none() {
            out.critical(&subject, "the API server has no key to sign service-account tokens with", RENDER);
        } else if issues.is_some() && issues != signs {
            out.critical(
                &subject,
                "API server and controller manager sign tokens with different keys",
                RENDER,
            );
        }
        match view.setting("kube-apiserver", "service-account-issuer") {
            None => out.critical(&subject, "service-account tokens have no issuer", RENDER),
            Some(issuer) => {
                issuers.insert(issuer);
            }
        }
    }
    if issuers.len() > 1 {
        out.critical("cluster", "API servers issue service-account tokens under different names", RENDER);
    }
}

/// `bundle.node-name`: kubelet, its certificate and kube-proxy call the node the same.
pub(crate) fn node_name(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let known: BTreeSet<&[u8]> = pki.certificates().map(|(_, facts)| facts.der.as_slice()).collect();
    for view in bundle.nodes() {
        if !out.look_at(view.name()) {
            continue;
        }
        let name = view.name();
        // Without the flag kubelet takes the host name, which the inventory says is the node's name.
        let kubelet = view.setting("kubelet", "hostname-override").unwrap_or_else(|| name.to_owned());
        if kubelet != name {
            out.critical(name, format!("kubelet registers the node as `{kubelet}`"), RENDER);
        }
        let proxy = view
            .setting("kube-proxy", "hostnameOverride")
            .or_else(|| view.setting("kube-proxy", "hostname-override"));
        if let Some(proxy) = proxy
            && proxy != kubelet
        {
            let message = format!(
                "kube-proxy calls the node `{proxy}`, kubelet `{kubelet}`: its services would not be found"
            );
            out.critical(name, message, RENDER);
        }
        if pki.spec.planned {
            continue; // there is no certificate to compare with
        }
        let common_name = kubelet_user(view).and_then(|pem| kmh_cert::Facts::from_pem(pem.as_bytes()).ok());
        let must = format!("system:node:{kubelet}");
        match common_name {
            None => out.critical(name, "the certificate in kubelet's kubeconfig cannot be read", RENDER),
            Some(facts) if facts.common_names != [must.as_str()] => {
                let message = format!(
                    "kubelet's certificate is for `{}`, it must be for `{must}`",
                    facts.common_names.join(", ")
                );
                out.critical(name, message, "make certificates and bundle again, from one inventory");
            }
            Some(facts) => {
                if !known.contains(facts.der.as_slice()) {
                    out.critical(name, "kubelet's certificate is none of the PKI document", RENDER);
                }
            }
        }
    }
}

/// The certificate that kubelet presents, from its kubeconfig.
fn kubelet_user(view: &View<'_>) -> Option<String> {
    let config = view.yaml(&view.setting("kubelet", "kubeconfig")?)?;
    let path = config["users"][0]["user"]["client-certificate"].as_str()?;
    view.text(path).map(str::to_owned)
}

/// `bundle.resolv-conf`: the resolver file that kubelet hands to pods exists and leads to no loopback.
pub(crate) fn resolv_conf(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.nodes() {
        let Some(config) = view.configuration("kubelet") else { continue };
        if !out.look_at(view.name()) {
            continue;
        }
        // kubelet's default; every distribution has it, with systemd-resolved it names its stub on loopback.
        let path = config["resolvConf"].as_str().unwrap_or("/etc/resolv.conf");
        match (path, view.text(path)) {
            ("", _) => out.critical(view.name(), "kubelet hands no resolver to pods (`resolvConf` is empty)", RENDER),
            ("/run/systemd/resolve/resolv.conf", _) => out.warning(
                view.name(),
                "kubelet reads systemd-resolved's file, which does not exist on machines without it (Raspberry Pi OS)",
                "give the site `resolvers` in the inventory, so that a file is rendered",
            ),
            ("/etc/resolv.conf", None) => {}
            (_, None) => out.critical(view.name(), format!("kubelet's `resolvConf` `{path}` is not in the bundle"), RENDER),
            (_, Some(text)) => {
                let servers: Vec<&str> =
                    text.lines().filter_map(|l| l.trim().strip_prefix("nameserver")).map(str::trim).collect();
                if servers.is_empty() {
                    out.critical(view.name(), format!("`{path}` names no server"), RENDER);
                }
                let local = |s: &&&str| s.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback());
                if let Some(server) = servers.iter().find(local) {
                    // A pod's loopback is its own; CoreDNS would ask itself.
                    let message = format!("`{path}` names {server}, which for a pod is the pod itself");
                    out.critical(view.name(), message, "name a server that pods can reach");
                }
            }
        }
    }
}

/// `bundle.encryption`: secrets in etcd are encrypted, by the first provider, with a key of the store.
pub(crate) fn encryption(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.with(Role::ControlPlane) {
        let Some(file) = view.setting("kube-apiserver", "encryption-provider-config") else { continue };
        if !out.look_at(view.name()) {
            continue;
        }
        let subject = place(view.name(), &file);
        let Some(config) = view.yaml(&file) else {
            out.critical(
                &subject,
                "the encryption configuration is not in the bundle, or cannot be read",
                RENDER,
            );
            continue;
        };
        if config["kind"] != "EncryptionConfiguration" {
            out.critical(&subject, "it is no EncryptionConfiguration", RENDER);
        }
        let first = |r: &Value| r["providers"][0].as_object().and_then(|p| p.keys().next().cloned());
        let resources = config["resources"].as_array().map_or(&[][..], Vec::as_slice);
        let secrets = resources
            .iter()
            .find(|r| r["resources"].as_array().is_some_and(|n| n.iter().any(|n| n == "secrets")));
        match secrets.and_then(first).as_deref() {
            None => out.critical(&subject, "it does not say how Secrets are encrypted", RENDER),
            Some("identity") => out.critical(
                &subject,
                "Secrets are written as they are: `identity` is the first provider",
                RENDER,
            ),
            Some(_) => {}
        }
        if view.files.get(file.as_str()).is_some_and(|t| t.secrets.is_empty()) {
            out.critical(&subject, "it holds no key of the store", RENDER);
        }
    }
}

/// `bundle.versions`: what is said of kubelet's cgroups fits its version.
pub(crate) fn cgroups(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let minor = model.versions.kubernetes.as_ref().map_or(u16::MAX, |v| v.major_minor().1);
    for view in bundle.nodes() {
        let Some(config) = view.configuration("kubelet") else { continue };
        if !out.look_at(view.name()) {
            continue;
        }
        if config["cgroupDriver"].as_str() != Some("systemd") {
            // kubelet's own default is cgroupfs; two managers of one tree lose track of it.
            out.critical(view.name(), "kubelet's `cgroupDriver` is not `systemd`", RENDER);
        }
        if config["failCgroupV1"] == false && minor >= 35 {
            let hint = "boot the machine with cgroup v2, and take the setting away";
            out.warning(view.name(), "kubelet is allowed to run on cgroup v1, whose support ends", hint);
        }
    }
}
