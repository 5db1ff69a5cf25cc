//! The table of kubeadm 1.36 ("PKI certificates and requirements", and its source) against what is issued: paths, names,
//! groups, usages and issuers. What differs on purpose is listed in `docs/pki.md`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Place, SMALL, certificate, texts};

/// Certificate here, kubeadm's path, common name, organization, usages, issuer.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], &'static str);

const KUBEADM: &[Row] = &[
    ("nodes/cp-1/apiserver", "pki/apiserver.crt", "kube-apiserver", "", &["server"], "ca/cluster"),
    (
        "nodes/cp-1/apiserver-kubelet-client",
        "pki/apiserver-kubelet-client.crt",
        "kube-apiserver-kubelet-client",
        "",
        &["client"],
        "ca/cluster",
    ),
    (
        "nodes/cp-1/front-proxy-client",
        "pki/front-proxy-client.crt",
        "front-proxy-client",
        "",
        &["client"],
        "ca/front-proxy",
    ),
    ("nodes/cp-1/etcd-server", "pki/etcd/server.crt", "cp-1", "", &["client", "server"], "ca/etcd"),
    ("nodes/cp-1/etcd-peer", "pki/etcd/peer.crt", "cp-1", "", &["client", "server"], "ca/etcd"),
    (
        "nodes/cp-1/etcd-healthcheck-client",
        "pki/etcd/healthcheck-client.crt",
        "kube-etcd-healthcheck-client",
        "",
        &["client"],
        "ca/etcd",
    ),
    (
        "nodes/cp-1/apiserver-etcd-client",
        "pki/apiserver-etcd-client.crt",
        "kube-apiserver-etcd-client",
        "",
        &["client"],
        "ca/etcd",
    ),
    // In kubeadm these are inside kubeconfig files.
    ("nodes/cp-1/admin", "", "kubernetes-admin", "kubeadm:cluster-admins", &["client"], "ca/cluster"),
    ("cluster/break-glass-admin", "", "kubernetes-super-admin", "system:masters", &["client"], "ca/cluster"),
    ("nodes/cp-1/kubelet-client", "", "system:node:cp-1", "system:nodes", &["client"], "ca/cluster"),
    ("nodes/cp-1/controller-manager", "", "system:kube-controller-manager", "", &["client"], "ca/cluster"),
    ("nodes/cp-1/scheduler", "", "system:kube-scheduler", "", &["client"], "ca/cluster"),
];

/// CA here, kubeadm's path, common name.
const AUTHORITIES: &[(&str, &str, &str)] = &[
    ("ca/cluster", "pki/ca.crt", "kubernetes"),
    ("ca/etcd", "pki/etcd/ca.crt", "etcd-ca"),
    ("ca/front-proxy", "pki/front-proxy-ca.crt", "front-proxy-ca"),
];

#[test]
fn names_groups_usages_and_paths_are_those_of_kubeadm() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    for (name, path, common_name, organization, usages, issuer) in KUBEADM {
        let one = certificate(&document, name);
        assert_eq!(one["common_name"], *common_name, "{name}");
        assert_eq!(texts(&one["organizations"]).join(","), *organization, "{name}");
        assert_eq!(texts(&one["usages"]), *usages, "{name}");
        assert_eq!(one["issuer"], *issuer, "{name}");
        if !path.is_empty() {
            let deploy = one["deploy"].as_array().unwrap();
            assert_eq!(deploy.len(), 1, "{name}");
            assert_eq!(deploy[0]["machine"], "cp-1", "{name}");
            assert_eq!(deploy[0]["certificate"], format!("/etc/kubernetes/{path}"), "{name}");
            assert_eq!(
                deploy[0]["key"],
                format!("/etc/kubernetes/{}", path.replace(".crt", ".key")),
                "{name}"
            );
        }
    }
    for (name, path, common_name) in AUTHORITIES {
        let one = certificate(&document, name);
        assert_eq!(one["common_name"], *common_name, "{name}");
        for deploy in one["deploy"].as_array().unwrap() {
            assert_eq!(deploy["certificate"], format!("/etc/kubernetes/{path}"), "{name}");
        }
    }
    let service_account = &document["spec"]["keys"][2]["deploy"][0];
    assert_eq!(service_account["certificate"], "/etc/kubernetes/pki/sa.pub");
    assert_eq!(service_account["key"], "/etc/kubernetes/pki/sa.key");
}

#[test]
fn keys_go_to_the_machine_that_they_are_for_and_those_of_cas_nowhere() {
    let place = Place::with_store(SMALL);
    let document = place.document(SMALL);
    for one in document["spec"]["certificates"].as_array().unwrap() {
        for deploy in one["deploy"].as_array().unwrap_or(&vec![]) {
            match one.get("issuer") {
                None => assert!(deploy.get("key").is_none(), "{}", one["name"]),
                Some(_) => assert_eq!(deploy["machine"], one["machine"], "{}", one["name"]),
            }
        }
    }
    assert!(certificate(&document, "cluster/break-glass-admin").get("deploy").is_none());
    // What stands inside configurations is no file anywhere.
    for (number, name) in [(0, "keys/bgp/here"), (1, "keys/encryption")] {
        assert_eq!(document["spec"]["keys"][number]["name"], name);
        assert!(document["spec"]["keys"][number].get("deploy").is_none(), "{name}");
    }
}
