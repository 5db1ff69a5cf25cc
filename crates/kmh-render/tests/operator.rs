//! What somebody who runs such machines would look for before the first start: small clusters, one family, machines
//! without IPv6, the order at boot, and the one command that a person must give.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use common::{Rendered, article, feed, other, program, render};
use serde_json::{Value, json};

const APPLY: &str = "/usr/local/lib/kmh/apply-cluster.sh";
const CLUSTER: &str = "/etc/kubernetes/cluster/";

/// One site, one Linux router that is a machine, one node that is everything.
fn solo() -> Value {
    json!({"kind": "kmh.inventory/v1", "spec": {
        "cluster": {
            "name": "solo", "domain": "cluster.local",
            "versions": {"kubernetes": "1.30.14", "etcd": "3.5.26", "containerd": "2.0.5", "calico": "3.28.4"},
            "pod_cidrs": ["10.200.0.0/16"], "service_cidrs": ["10.201.0.0/16"],
            "api": {"host": "k8s.example.net", "port": 6443, "local_port": 7443}, "node_asn": 64512,
        },
        "sites": [{"name": "a", "network": "10.1.0.0/24", "pod_cidrs": ["10.200.0.0/18"], "routers": [{
            "name": "ra", "id": 1, "kind": "linux", "interface": "eth1", "asn": 65010, "address": "10.1.0.1",
            "uplinks": [{"name": "eth0", "address": "203.0.113.7"}],
        }]}],
        "nodes": [{"name": "n1", "site": "a", "address": "10.1.0.11", "arch": "amd64",
            "roles": ["control-plane", "etcd", "worker"], "ssh": {"user": "pi", "port": 2222}}],
    }})
}

/// The same with IPv6 only.
fn six() -> Value {
    let mut inventory = solo();
    let spec = &mut inventory["spec"];
    spec["cluster"]["pod_cidrs"] = json!(["fd00:200::/48"]);
    spec["cluster"]["service_cidrs"] = json!(["fd00:201::/112"]);
    let site = &mut spec["sites"][0];
    site["network"] = json!("fd00:1::/64");
    site["pod_cidrs"] = json!(["fd00:200:0:1::/64"]);
    site["routers"][0]["address"] = json!("fd00:1::1");
    site["routers"][0]["uplinks"][0]["address"] = json!("2001:db8::1");
    spec["nodes"][0]["address"] = json!("fd00:1::11");
    inventory
}

fn manifest(rendered: &Rendered, name: &str) -> String {
    rendered.file("cluster", &format!("{CLUSTER}{name}"))
}

#[test]
fn a_lone_machine_waits_for_no_other() {
    let rendered = render(&solo());
    // Two that may not share a node would leave one pending for ever.
    assert!(manifest(&rendered, "30-coredns.yaml").contains("  replicas: 1\n"));
    assert!(manifest(&render(&article()), "30-coredns.yaml").contains("  replicas: 2\n"));
    // `--goaway-chance` is not for a single server, says its own help.
    let unit =
        |rendered: &Rendered, node: &str| rendered.file(node, "/etc/systemd/system/kube-apiserver.service");
    assert!(!unit(&rendered, "n1").contains("goaway"));
    assert!(unit(&render(&article()), "attic-1").contains("--goaway-chance=0.001 "));
    let etcd = rendered.file("n1", "/etc/etcd/etcd.yaml");
    assert!(etcd.contains("initial-cluster: \"n1=https://10.1.0.11:2380\"\n"), "{etcd}");
}

#[test]
fn a_taint_of_somebodys_own_keeps_coredns_away() {
    let mut inventory = solo();
    let mut second = inventory["spec"]["nodes"][0].clone();
    second["name"] = json!("n2");
    second["address"] = json!("10.1.0.12");
    second["roles"] = json!(["worker"]);
    second["taints"] = json!([{"key": "example.org/gpu", "effect": "NoSchedule"}]);
    inventory["spec"]["nodes"].as_array_mut().unwrap().push(second);
    let replicas = |inventory: &Value| {
        let text = manifest(&render(inventory), "30-coredns.yaml");
        text.lines().find(|line| line.contains("replicas:")).unwrap().trim().to_owned()
    };
    assert_eq!(replicas(&inventory), "replicas: 1");
    inventory["spec"]["nodes"][1]["taints"][0]["effect"] = json!("PreferNoSchedule");
    assert_eq!(replicas(&inventory), "replicas: 2");
}

#[test]
fn every_family_is_asked_for_and_no_other() {
    for (inventory, node, v4, v6) in
        [(solo(), "n1", true, false), (six(), "n1", false, true), (other(), "attic-1", true, true)]
    {
        let rendered = render(&inventory);
        let calico = manifest(&rendered, "20-calico.yaml");
        for (words, wanted) in [
            ("-felix-live, -bird-live", v4),
            ("-felix-ready, -bird-ready", v4),
            ("-bird6-live]", v6),
            ("-bird6-ready]", v6),
        ] {
            assert_eq!(calico.contains(words), wanted, "{words}");
        }
        // Where IPv6 is switched off there is no `::1`, and haproxy would not start.
        let haproxy = rendered.file(node, "/etc/haproxy/haproxy.cfg");
        assert!(haproxy.contains("    bind 127.0.0.1:7443\n"), "{haproxy}");
        assert_eq!(haproxy.contains("    bind [::1]:7443\n"), v6, "{haproxy}");
    }
}

#[test]
fn felix_may_ask_whether_there_is_kubevirt() {
    // Calico 3.32 is never ready without (calico#11957).
    let calico = manifest(&render(&article()), "20-calico.yaml");
    let role = calico.split("---\n").find(|part| part.contains("kind: ClusterRole\n")).unwrap();
    assert!(
        role.contains("name: calico-node\n") && role.contains("virtualmachineinstancemigrations"),
        "{role}"
    );
    assert!(calico.contains("\n# Calico 3.31.2 in pure BGP mode"));
}

#[test]
fn the_folder_of_cni_has_the_name_that_its_containerd_knows() {
    let config = |containerd: &str| {
        let mut inventory = solo();
        inventory["spec"]["cluster"]["versions"]["containerd"] = json!(containerd);
        render(&inventory).file("n1", "/etc/containerd/config.toml")
    };
    for old in ["1.7.28", "2.0.5"] {
        assert!(config(old).contains("  bin_dir = '/opt/cni/bin'\n"), "{old}");
    }
    for new in ["2.1.4", "2.2.1"] {
        let text = config(new);
        assert!(text.contains("  bin_dirs = ['/opt/cni/bin']\n") && !text.contains("bin_dir ="), "{text}");
    }
}

#[test]
fn a_router_keeps_its_own_address_and_its_filter() {
    let rendered = render(&six());
    let sysctl = rendered.file("ra", "/etc/sysctl.d/90-kmh.conf");
    assert!(sysctl.contains("\n-net/ipv6/conf/eth0/accept_ra = 2\n"), "{sysctl}");
    assert!(!render(&solo()).file("ra", "/etc/sysctl.d/90-kmh.conf").contains("accept_ra"));
    for (rendered, router, early) in [(rendered, "ra", true), (render(&article()), "gw-vps", false)] {
        let unit = rendered.file(router, "/etc/systemd/system/kmh-nftables.service");
        assert!(
            unit.contains("\nPartOf=nftables.service\nReloadPropagatedFrom=nftables.service\n"),
            "{unit}"
        );
        assert_eq!(unit.contains("\nDefaultDependencies=no\n"), early, "{unit}");
        assert_eq!(unit.contains("\nBefore=network-pre.target shutdown.target\n"), early, "{unit}");
    }
}

/// The script in a folder of its own, with a kubectl that writes down how it is called.
fn run_apply(rendered: &Rendered, root: &Path, rights: bool) -> (bool, String, Vec<String>) {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    rendered.deploy("cluster", root);
    std::fs::write(at(&format!("{CLUSTER}10-calico-crds.yaml")), "").unwrap();
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let calls = root.join("calls");
    let kubectl = format!(
        "#!/bin/sh\necho \"$*\" >>'{}'\ncase $1 in auth) exit {} ;; esac\n",
        calls.display(),
        u8::from(!rights)
    );
    std::fs::write(bin.join("kubectl"), kubectl).unwrap();
    std::fs::set_permissions(bin.join("kubectl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = rendered
        .file("cluster", APPLY)
        .replace("PATH=/usr/local/bin:", &format!("PATH={}:", bin.display()))
        .replace(CLUSTER, &format!("{}/", at(CLUSTER).display()));
    let output = feed(&mut Command::new(program("dash", "dash")), script.as_bytes());
    let said = String::from_utf8(output.stderr).unwrap();
    let calls = std::fs::read_to_string(calls).unwrap();
    (output.status.success(), said, calls.lines().map(str::to_owned).collect())
}

#[test]
fn the_first_start_names_the_one_command_and_applies_nothing() {
    let rendered = render(&solo());
    let root = tempfile::tempdir().unwrap();
    let (done, said, calls) = run_apply(&rendered, root.path(), false);
    assert!(!done);
    assert_eq!(calls, ["get --raw /readyz", "auth can-i * * --all-namespaces"]);
    for line in [
        "  ssh -f -o ExitOnForwardFailure=yes -L 7443:127.0.0.1:7443 -p 2222 pi@10.1.0.11 sleep 60\n",
        "  ssh -p 2222 pi@10.1.0.11 cat ",
        "--server https://127.0.0.1:7443 --certificate-authority STORE/ca/cluster.crt \\\n",
        "--client-certificate STORE/cluster/break-glass-admin.crt --client-key STORE/cluster/break-glass-admin.key \\\n",
        "      apply --server-side --field-manager kmh -f -\n",
    ] {
        assert!(said.contains(line), "no {line}\n{said}");
    }
    // The files of the store that it names are there.
    for word in said.split_whitespace().filter_map(|word| word.strip_prefix("STORE/")) {
        assert!(rendered.dir.path().join("pki").join(word).is_file(), "{word}");
    }
    // What the page shows is what a machine says.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/files.md");
    let page = std::fs::read_to_string(page).unwrap();
    let script = render(&article()).file("cluster", APPLY);
    let commands = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    for line in commands.lines() {
        assert!(script.contains(line.trim_start()), "docs/files.md: {line}\n{script}");
    }

    let root = tempfile::tempdir().unwrap();
    let (done, said, calls) = run_apply(&rendered, root.path(), true);
    assert!(done, "{said}");
    let applied: Vec<&str> =
        calls.iter().filter_map(|call| Path::new(call.split(" -f ").nth(1)?).file_name()?.to_str()).collect();
    assert_eq!(
        applied,
        [
            "00-rbac.yaml",
            "10-calico-crds.yaml",
            "10-calico-crds.yaml",
            "12-bgp-passwords.yaml",
            "15-calico-resources.yaml",
            "20-calico.yaml",
            "30-coredns.yaml"
        ]
    );
    assert!(calls[4].starts_with("wait --for=condition=Established"), "{calls:?}");
    // It goes on by itself once somebody has done that.
    let unit = rendered.file("cluster", "/etc/systemd/system/kmh-cluster.service");
    assert!(unit.contains("\nRestart=on-failure\nRestartSec=30\n"), "{unit}");
}

#[test]
fn passwords_come_before_what_names_them_and_go_when_they_are_switched_off() {
    let rendered = render(&article());
    let machine = rendered.machine("cluster");
    let path = format!("{CLUSTER}12-bgp-passwords.yaml");
    let file =
        machine["files"].as_array().unwrap().iter().find(|file| file["path"] == path.as_str()).unwrap();
    assert_eq!((&file["mode"], &file["owner"]), (&json!("0600"), &json!("root:root")));
    // As the API server reads it, with what is in the store.
    let root = tempfile::tempdir().unwrap();
    rendered.deploy("cluster", root.path());
    let text = std::fs::read_to_string(root.path().join(path.trim_start_matches('/'))).unwrap();
    let value = |site: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("  \"{site}\": \"")));
        let encoded =
            line.and_then(|line| line.strip_suffix('"')).unwrap_or_else(|| panic!("no {site}: {text}"));
        base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()
    };
    for site in ["attic", "flat", "vps"] {
        let key = rendered.dir.path().join(format!("pki/keys/bgp/{site}.key"));
        assert_eq!(value(site), std::fs::read(key).unwrap(), "{site}");
    }
    // Every peer that has a password finds it, and calico-node may watch this Secret and no other.
    let resources = manifest(&rendered, "15-calico-resources.yaml");
    assert_eq!(resources.matches("secretKeyRef:").count(), 3, "{resources}");
    for site in ["attic", "flat", "vps"] {
        assert!(resources.lines().any(|line| line.trim() == format!("key: {site}")), "{resources}");
    }
    assert!(resources.contains("name: kmh-bgp-passwords"), "{resources}");
    assert!(text.contains("resources: [secrets]\n    resourceNames: [\"kmh-bgp-passwords\"]\n    verbs: [get, list, watch]\n"), "{text}");
    assert!(
        text.contains("  - kind: ServiceAccount\n    name: calico-node\n    namespace: kube-system\n"),
        "{text}"
    );

    let mut inventory = article();
    inventory["spec"]["bgp"]["passwords"] = json!(false);
    let without = render(&inventory);
    assert!(!without.files("cluster").contains_key(&path));
    assert!(!manifest(&without, "15-calico-resources.yaml").contains("secretKeyRef"));
    // The file of an earlier push is still there.
    let root = tempfile::tempdir().unwrap();
    let left = root.path().join(path.trim_start_matches('/'));
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "left").unwrap();
    let (done, said, calls) = run_apply(&without, root.path(), true);
    assert!(done, "{said}");
    assert!(!left.exists(), "it would bring the passwords back");
    assert!(!calls.iter().any(|call| call.contains("12-bgp-passwords")), "{calls:?}");
    assert_eq!(
        calls.last().unwrap(),
        "--namespace kube-system delete --ignore-not-found rolebinding/kmh-bgp-passwords role/kmh-bgp-passwords secret/kmh-bgp-passwords"
    );
    // With passwords nothing is deleted.
    let root = tempfile::tempdir().unwrap();
    let (_, _, calls) = run_apply(&rendered, root.path(), true);
    assert!(!calls.iter().any(|call| call.contains("delete")), "{calls:?}");
}

#[test]
fn no_program_with_a_known_way_out_of_its_container_is_listed() {
    for containerd in ["1.7.28", "2.2.1"] {
        let mut inventory = solo();
        inventory["spec"]["cluster"]["versions"]["containerd"] = json!(containerd);
        let rendered = render(&inventory);
        let artifacts = rendered.machine("n1")["artifacts"].as_array().unwrap();
        let runc = artifacts.iter().find(|artifact| artifact["name"] == "runc").unwrap();
        // CVE-2025-31133 and its like end with 1.3.3.
        let patch = runc["version"].as_str().unwrap().strip_prefix("1.3.").unwrap();
        assert!(patch.parse::<u8>().unwrap() >= 3, "{runc}");
        assert_eq!(runc["path"], "/usr/local/sbin/runc");
    }
}

#[test]
fn pfsense_gets_a_rule_for_what_is_allowed_and_not_for_each_pair_of_sites() {
    let settings = |inventory: &Value| -> Value {
        let text = render(inventory).file("fw-attic", "/usr/local/etc/kmh/settings.json");
        serde_json::from_str(&text).unwrap()
    };
    let mut inventory = article();
    let three = settings(&inventory);
    let mut site = inventory["spec"]["sites"][1].clone();
    site["name"] = json!("barn");
    site["network"] = json!("10.40.0.0/24");
    site["pod_cidrs"] = json!(["10.200.192.0/18"]);
    site["routers"][0]["name"] = json!("fw-barn");
    site["routers"][0]["id"] = json!(4);
    site["routers"][0]["asn"] = json!(65040);
    site["routers"][0]["address"] = json!("10.40.0.1");
    site["routers"][0]["uplinks"][0]["address"] = json!("barn.dyn.example.net");
    inventory["spec"]["sites"].as_array_mut().unwrap().push(site);
    let four = settings(&inventory);
    let rules = |settings: &Value| settings["filter"]["rule"].as_array().unwrap().clone();
    assert_eq!(rules(&three), rules(&four), "a site more is a network more in an alias, and no rule");
    assert!(rules(&three).len() < 30, "{}", rules(&three).len());

    let aliases = four["aliases"]["alias"].as_array().unwrap();
    let networks = |name: &str| {
        let alias = aliases.iter().find(|alias| alias["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        alias["address"].as_str().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    // Every side is a network or an alias that is there, and every alias is used.
    let mut used = std::collections::BTreeSet::new();
    for rule in rules(&four) {
        for side in ["source", "destination"] {
            let Some(address) = rule[side]["address"].as_str() else { continue };
            if !address.contains('/') {
                assert!(networks(address).len() > 1, "{address}");
                used.insert(address.to_owned());
            }
        }
    }
    assert_eq!(used.len(), aliases.len(), "{aliases:?}");
    assert!(used.iter().all(|name| name.len() <= 31), "{used:?}");
    let names = aliases.iter().filter_map(|alias| alias["name"].as_str());
    let from: Vec<String> =
        names.filter(|name| name.starts_with("kmh_tunnels_from_v4")).flat_map(networks).collect();
    assert!(
        from.contains(&"10.40.0.0/24".to_owned()) && from.contains(&"10.200.192.0/18".to_owned()),
        "{from:?}"
    );
    assert!(
        !from.contains(&"10.10.0.0/24".to_owned()),
        "the own site's nodes do not come out of a tunnel: {from:?}"
    );
}
