//! `kmh-check` on the documents of the real pipe: right as they come, and wrong as soon as one thing is changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;

use kmh_tests::sandbox::{Sandbox, documents};
use serde_json::{Value, json};

const PIPE: &str = "kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render";

/// The stream's documents without `from`, so that one can be changed without the others being refused.
fn loose(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let mut found = sandbox.sh(PIPE).exits(0).documents();
    for document in found.values_mut() {
        document.as_object_mut().unwrap().remove("from");
    }
    found
}

fn machine<'d>(documents: &'d mut BTreeMap<String, Value>, name: &str) -> &'d mut Value {
    let machines = documents.get_mut("kmh.bundle/v1").unwrap()["spec"]["machines"].as_array_mut().unwrap();
    machines.iter_mut().find(|m| m["name"] == name).unwrap_or_else(|| panic!("no machine {name}"))
}

fn file<'d>(documents: &'d mut BTreeMap<String, Value>, name: &str, path: &str) -> &'d mut Value {
    let files = machine(documents, name)["files"].as_array_mut().unwrap();
    files.iter_mut().find(|f| f["path"] == path).unwrap_or_else(|| panic!("no file {path}"))
}

/// Replaces text in a file of the bundle; it must be there.
fn edit(documents: &mut BTreeMap<String, Value>, name: &str, path: &str, from: &str, to: &str) {
    let mut found = false;
    for segment in file(documents, name, path)["content"].as_array_mut().unwrap() {
        if let Some(text) = segment["text"].as_str() {
            found |= text.contains(from);
            segment["text"] = text.replace(from, to).into();
        }
    }
    assert!(found, "{path} does not hold {from:?}");
}

fn remove(documents: &mut BTreeMap<String, Value>, name: &str, path: &str) {
    let files = machine(documents, name)["files"].as_array_mut().unwrap();
    let before = files.len();
    files.retain(|f| f["path"] != path);
    assert_ne!(files.len(), before, "no file {path}");
}

fn certificate<'d>(documents: &'d mut BTreeMap<String, Value>, name: &str) -> &'d mut Value {
    let list = documents.get_mut("kmh.pki/v1").unwrap()["spec"]["certificates"].as_array_mut().unwrap();
    list.iter_mut().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no certificate {name}"))
}

type Documents = BTreeMap<String, Value>;
/// Check, subject, and the change that it must find.
type Case = (&'static str, &'static str, fn(&mut Documents));

const APISERVER: &str = "/etc/systemd/system/kube-apiserver.service";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("pki.chain", "nodes/pi-1/kubelet-client", |d| { let pem = certificate(d, "nodes/flat-1/kubelet-client")["pem"].clone(); let own = certificate(d, "nodes/pi-1/kubelet-client"); own["pem"] = pem; own["issuer"] = json!("ca/etcd"); }),
    ("pki.names", "nodes/pi-1/kubelet-client", |d| { let pem = certificate(d, "nodes/flat-1/kubelet-client")["pem"].clone(); certificate(d, "nodes/pi-1/kubelet-client")["pem"] = pem; }),
    ("pki.keys", "nodes/pi-1/kubelet-client", |d| { let pem = certificate(d, "nodes/flat-1/kubelet-client")["pem"].clone(); certificate(d, "nodes/pi-1/kubelet-client")["pem"] = pem; }),
    ("pki.document", "nodes/attic-1/apiserver", |d| certificate(d, "nodes/attic-1/apiserver")["not_after"] = json!("2099-01-01T00:00:00Z")),
    ("pki.complete", "pi-1", |d| d.get_mut("kmh.pki/v1").unwrap()["spec"]["certificates"].as_array_mut().unwrap().retain(|c| c["name"] != "nodes/pi-1/kube-proxy")),
    ("pki.names", "nodes/attic-1/apiserver", |d| { let text = d["kmh.inventory/v1"].to_string().replace("k8s.example.net", "api.example.net"); *d.get_mut("kmh.inventory/v1").unwrap() = serde_json::from_str(&text).unwrap(); }),
    ("bundle.service-range", "attic-1:/etc/systemd/system/kube-apiserver.service", |d| edit(d, "attic-1", APISERVER, "--service-cluster-ip-range=10.201.0.0/16", "--service-cluster-ip-range=10.99.0.0/16")),
    ("bundle.service-certificate", "nodes/attic-1/apiserver", |d| edit(d, "attic-1", APISERVER, "--service-cluster-ip-range=10.201.0.0/16", "--service-cluster-ip-range=10.99.0.0/16")),
    ("bundle.audit", "vps-1:/etc/systemd/system/kube-apiserver.service", |d| edit(d, "vps-1", APISERVER, "--audit-policy-file=", "--x=")),
    ("bundle.credentials", "attic-1:/etc/systemd/system/kube-apiserver.service", |d| edit(d, "attic-1", APISERVER, "pki/apiserver.key", "pki/admin.key")),
    ("bundle.credentials", "flat-1:/etc/systemd/system/etcd.service", |d| edit(d, "flat-1", "/etc/etcd/etcd.yaml", "etcd/peer.crt", "etcd/server.crt")),
    ("bundle.etcd", "flat-1:/etc/systemd/system/etcd.service", |d| edit(d, "flat-1", "/etc/etcd/etcd.yaml", "vps-1=https://10.30.0.11", "vps-1=https://10.30.0.12")),
    ("bundle.dns", "pi-1", |d| edit(d, "pi-1", "/var/lib/kubelet/config.yaml", "10.201.0.10", "10.201.0.11")),
    ("bundle.node-name", "pi-1", |d| edit(d, "pi-1", "/var/lib/kube-proxy/config.yaml", "hostnameOverride: pi-1", "hostnameOverride: pi-2")),
    ("bundle.kubeconfigs", "pi-1:/etc/kubernetes/kubelet.conf", |d| edit(d, "pi-1", "/etc/kubernetes/kubelet.conf", ":7443", ":7444")),
    ("bundle.haproxy", "pi-1", |d| edit(d, "pi-1", "/etc/haproxy/haproxy.cfg", "10.30.0.11:6443", "10.30.0.12:6443")),
    ("bundle.references", "pi-1:/etc/systemd/system/kubelet.service", |d| remove(d, "pi-1", "/var/lib/kubelet/config.yaml")),
    ("bundle.certificates", "pi-1:/var/lib/kubelet/pki/kubelet-serving.key", |d| remove(d, "pi-1", "/var/lib/kubelet/pki/kubelet-serving.key")),
    ("bundle.references", "gw-vps:/etc/systemd/system/kmh-tunnels.service", |d| remove(d, "gw-vps", "/usr/local/lib/kmh/tunnels.sh")),
    ("bundle.resolv-conf", "attic-1", |d| edit(d, "attic-1", "/etc/kubernetes/resolv.conf", "10.10.0.1", "127.0.0.53")),
    ("bundle.flags", "pi-1:/etc/systemd/system/kubelet.service", |d| edit(d, "pi-1", "/etc/systemd/system/kubelet.service", "--config=", "--pod-infra-container-image=x --config=")),
    ("bundle.modes", "attic-1:/etc/kubernetes/encryption.yaml", |d| file(d, "attic-1", "/etc/kubernetes/encryption.yaml")["mode"] = json!("0644")),
    ("bundle.artifacts", "pi-1:/usr/local/bin/kubelet", |d| for artifact in machine(d, "pi-1")["artifacts"].as_array_mut().unwrap() { artifact["arch"] = json!("amd64"); }),
    ("bundle.certificates", "pi-1:/etc/kubernetes/pki/ca.crt", |d| edit(d, "pi-1", "/etc/kubernetes/pki/ca.crt", "MII", "MIJ")),
    ("bundle.store", "kmh.bundle/v1", |d| d.get_mut("kmh.bundle/v1").unwrap()["spec"]["store"] = json!("another")),
    ("network.filters", "fw-attic", |d| d.get_mut("kmh.network/v1").unwrap()["spec"]["routers"][0]["sessions"][0]["import"] = json!("NOWHERE")),
    ("network.sessions", "fw-attic -> attic-1", |d| d.get_mut("kmh.network/v1").unwrap()["spec"]["routers"][0]["sessions"][0]["peer_asn"] = json!(64999)),
    ("network.tunnels", "fw-attic--fw-flat", |d| d.get_mut("kmh.network/v1").unwrap()["spec"]["tunnels"][0]["index"] = json!(9)),
    ("network.bgp-files", "gw-vps:/etc/frr/k8s/frr.conf", |d| edit(d, "gw-vps", "/etc/frr/k8s/frr.conf", "neighbor 10.30.0.11 remote-as 64512", "neighbor 10.30.0.11 remote-as 64513")),
    ("network.tunnel-files", "fw-flat--gw-vps on gw-vps", |d| edit(d, "gw-vps", "/etc/swanctl/conf.d/kmh.conf", "if_id_out = 3", "if_id_out = 2")),
    ("network.pfsense", "fw-flat:/usr/local/etc/kmh/settings.json", |d| edit(d, "fw-flat", "/usr/local/etc/kmh/frr.conf", "remote-as 64512", "remote-as 64513")),
    ("network.pfsense", "fw-attic--fw-flat on fw-attic", |d| edit(d, "fw-attic", "/usr/local/etc/kmh/settings.json", "\"peerid_data\": \"fw-flat", "\"peerid_data\": \"fw-flut")),
];

#[test]
fn the_pipe_is_right_and_each_change_of_it_is_found() {
    let sandbox = Sandbox::new();
    let good = loose(&sandbox);
    let write = |documents: &Documents| {
        let lines: Vec<String> = documents.values().map(Value::to_string).collect();
        sandbox.write("stream.json", &lines.join("\n"));
    };
    write(&good);
    let spec =
        documents(&sandbox.sh("kmh-check --only <stream.json").exits(0).stdout)["kmh.check/v1"]["spec"]
            .clone();
    let odd: Vec<&Value> = spec["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["state"] != "ok" && !r["id"].as_str().unwrap().starts_with("push."))
        .collect();
    assert_eq!(odd, [] as [&Value; 0], "false alarms");

    let mut missed = Vec::new();
    for (id, subject, change) in CASES {
        let mut changed = good.clone();
        change(&mut changed);
        write(&changed);
        let ran = sandbox.sh("kmh-check --only <stream.json").exits(1);
        let spec = &documents(&ran.stdout)["kmh.check/v1"]["spec"];
        let found = |r: &&Value| r["id"] == **id && r["subject"] == **subject && r["state"] == "critical";
        if spec["ok"] != false || !spec["results"].as_array().unwrap().iter().any(|r| found(&r)) {
            let said: Vec<String> = spec["results"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|r| r["state"] == "critical")
                .map(Value::to_string)
                .collect();
            missed.push(format!("{id} {subject}: {}", said.join("\n  ")));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
