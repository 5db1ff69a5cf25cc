//! A whole folder of another tool: what would be imported of it. The input is files, each a NUL, an octet that chooses its
//! name, and its content.
#![no_main]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use kmh_model::Model;
use kmh_pki::observed::Half;

const INVENTORY: &str = "\
kind: kmh.inventory/v1
spec:
  cluster:
    name: small
    pod_cidrs: 10.200.0.0/16
    service_cidrs: 10.201.0.0/16
    api: {host: k8s.example.net}
  sites: [{name: here, network: 10.10.0.0/24, pod_cidrs: 10.200.0.0/18}]
  nodes: [{name: cp-1, site: here, address: 10.10.0.11, roles: [control-plane, etcd]}]
";

/// Names of both layouts.
const NAMES: &[&str] = &[
    "etc/kubernetes/pki/ca.crt",
    "etc/kubernetes/pki/ca.key",
    "etc/kubernetes/pki/sa.key",
    "etc/kubernetes/pki/sa.pub",
    "etc/kubernetes/pki/apiserver.crt",
    "etc/kubernetes/pki/apiserver.key",
    "etc/kubernetes/pki/etcd/ca.crt",
    "etc/kubernetes/pki/etcd/server.crt",
    "etc/kubernetes/pki/etcd/server.key",
    "etc/kubernetes/admin.conf",
    "etc/kubernetes/encryption.yaml",
    "var/lib/kubelet/pki/kubelet-client-current.pem",
    "kube-apiserver.crt",
    "kube-apiserver.key",
    "service-account.key",
    "encryption-config.yaml",
];

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let tree = kmh_doc::tree::parse_yaml(INVENTORY).expect("an inventory");
        kmh_model::load(&tree, &[]).expect("a cluster").0
    })
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let files: BTreeMap<String, Vec<u8>> = input
        .split(|octet| *octet == 0)
        .filter_map(|file| {
            let (name, content) = file.split_first()?;
            Some((NAMES[usize::from(*name) % NAMES.len()].to_owned(), content.to_vec()))
        })
        .collect();
    let Ok(now) = time::OffsetDateTime::from_unix_timestamp(1_795_000_000) else { return };
    if let Ok((pairs, _)) = kmh_pki::import::of_files(files, model(), now) {
        for pair in pairs.values() {
            // A key that is taken belongs to its certificate.
            let (Half::There(certificate), key) = (&pair.certificate, &pair.key) else { panic!("half a pair") };
            assert!(*key == Half::Absent || *key == Half::There(certificate.public.clone()));
        }
    }
});
