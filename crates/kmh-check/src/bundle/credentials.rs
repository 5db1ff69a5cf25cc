//! Whether each program is given the certificate and key that it is meant to have, and trusts the CA that it must.

use std::collections::BTreeMap;

use kmh_doc::pki::{Certificate, Class};

use super::RENDER;
use super::files::place;
use super::view::{Bundle, View};
use crate::documents::Pki;
use crate::findings::Findings;
use crate::pki::{class_name, expect};
use kmh_cert::facts::blocks;

use Class as C;

/// A certificate and key that a program is told. A setting `a.b` is key `b` of section `a` of its configuration file.
const PAIRS: &[(&str, &str, &str, Class)] = &[
    ("etcd", "client-transport-security.cert-file", "client-transport-security.key-file", C::EtcdServer),
    ("etcd", "peer-transport-security.cert-file", "peer-transport-security.key-file", C::EtcdPeer),
    ("kube-apiserver", "tls-cert-file", "tls-private-key-file", C::Apiserver),
    ("kube-apiserver", "etcd-certfile", "etcd-keyfile", C::ApiserverEtcdClient),
    ("kube-apiserver", "kubelet-client-certificate", "kubelet-client-key", C::ApiserverKubeletClient),
    ("kube-apiserver", "proxy-client-cert-file", "proxy-client-key-file", C::FrontProxyClient),
    ("kube-controller-manager", "tls-cert-file", "tls-private-key-file", C::ControllerManagerServing),
    ("kube-scheduler", "tls-cert-file", "tls-private-key-file", C::SchedulerServing),
    ("kubelet", "tlsCertFile", "tlsPrivateKeyFile", C::KubeletServing),
];

/// A CA that a program is told to trust.
const TRUSTED: &[(&str, &str, Class)] = &[
    ("etcd", "client-transport-security.trusted-ca-file", C::EtcdCa),
    ("etcd", "peer-transport-security.trusted-ca-file", C::EtcdCa),
    ("kube-apiserver", "client-ca-file", C::ClusterCa),
    ("kube-apiserver", "etcd-cafile", C::EtcdCa),
    ("kube-apiserver", "kubelet-certificate-authority", C::ClusterCa),
    ("kube-apiserver", "requestheader-client-ca-file", C::FrontProxyCa),
    ("kube-controller-manager", "root-ca-file", C::ClusterCa),
    ("kube-controller-manager", "client-ca-file", C::ClusterCa),
    ("kube-controller-manager", "requestheader-client-ca-file", C::FrontProxyCa),
    ("kube-scheduler", "client-ca-file", C::ClusterCa),
    ("kube-scheduler", "requestheader-client-ca-file", C::FrontProxyCa),
    ("kubelet", "authentication.x509.clientCAFile", C::ClusterCa),
];

/// What serves or asks without these takes whatever comes: an API server without `kubelet-certificate-authority`
/// believes any kubelet, one without `tls-cert-file` makes up a certificate.
const NEEDED: &[&str] = &[
    "tls-cert-file",
    "tlsCertFile",
    "kubelet-certificate-authority",
    "etcd-cafile",
    "etcd-certfile",
    "client-ca-file",
];

/// `bundle.credentials`: the right certificate, its own key, the right CA, for every program that is given one.
pub(crate) fn credentials(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let by_text: BTreeMap<&str, &Certificate> =
        pki.spec.certificates.iter().map(|c| (c.pem.trim(), c)).collect();
    for view in bundle.nodes() {
        if pki.spec.planned || !out.look_at(view.name()) {
            continue;
        }
        for (program, certificate, key, class) in PAIRS {
            let Some((unit, _)) = view.command(program) else { continue };
            let subject = place(view.name(), unit);
            let Some(entry) = held(view, &subject, (program, certificate), *class, &by_text, out) else {
                continue;
            };
            let secret = view
                .setting(program, key)
                .and_then(|path| view.files.get(path.as_str())?.secrets.first().copied());
            if secret != entry.key.as_deref() {
                out.critical(
                    &subject,
                    format!("{program}'s `{key}` is not the key of `{}`", entry.name),
                    RENDER,
                );
            }
            if entry.machine.as_deref().is_some_and(|machine| machine != view.name()) {
                out.critical(
                    &subject,
                    format!("{program}'s `{certificate}` is that of another machine, `{}`", entry.name),
                    RENDER,
                );
            }
        }
        for (program, setting, class) in TRUSTED {
            if let Some((unit, _)) = view.command(program) {
                held(view, &place(view.name(), unit), (program, setting), *class, &by_text, out);
            }
        }
    }
}

/// The certificate that a setting leads to, when it is of that class; complains otherwise.
fn held<'p>(
    view: &View<'_>,
    subject: &str,
    (program, setting): (&str, &str),
    class: Class,
    by_text: &BTreeMap<&str, &'p Certificate>,
    out: &mut Findings<'_>,
) -> Option<&'p Certificate> {
    let Some(path) = view.setting(program, setting) else {
        let needed =
            NEEDED.contains(&setting) && !(program != "kube-apiserver" && setting == "client-ca-file");
        let optional = matches!(program, "kube-controller-manager" | "kube-scheduler");
        if needed && !optional {
            out.critical(subject, format!("{program} is not told its `{setting}`"), RENDER);
        }
        return None;
    };
    // One certificate, or every generation of a CA: which of them there must be is `bundle.certificates`' to say.
    let found: Vec<_> = blocks(view.text(&path).unwrap_or_default())
        .into_iter()
        .map(|pem| by_text.get(pem).copied())
        .collect();
    if found.is_empty() || found.contains(&None) || (found.len() > 1 && !expect::row(class).is_ca()) {
        let message = format!("{program}'s `{setting}` `{path}` is no certificate of the PKI document");
        out.critical(subject, message, RENDER);
        return None;
    }
    if let Some(entry) = found.iter().flatten().find(|entry| entry.class != class) {
        let (is, must) = (class_name(entry.class), class_name(class));
        out.critical(
            subject,
            format!("{program}'s `{setting}` is `{}`, a `{is}`; it must be a `{must}`", entry.name),
            RENDER,
        );
        return None;
    }
    found.into_iter().flatten().next()
}
