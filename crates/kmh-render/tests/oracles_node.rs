//! What nodes are given is taken by the programs that read it: haproxy, containerd, systemd, kubectl; and by the tables
//! of flags and fields where a component has no check of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod common;
#[path = "common/sites.rs"]
mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{Rendered, article, feed, other, program, render, silent};
use serde_json::{Value, json};

const UNITS: &str = "/etc/systemd/system/";

/// The machines that run Kubernetes.
fn nodes(rendered: &Rendered) -> Vec<String> {
    let nodes = rendered.machines().filter(|machine| machine["kind"] == "node");
    nodes.map(|machine| machine["name"].as_str().unwrap().to_owned()).collect()
}

/// A YAML file as JSON, read by somebody else's parser.
fn yaml(text: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let output = feed(Command::new(program("python3", "python3")).args(["-c", script]), text.as_bytes());
    assert!(output.status.success(), "python3-yaml: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A TOML file as JSON, read by somebody else's parser.
fn toml(text: &str) -> Value {
    let script = "import json, sys, tomllib; json.dump(tomllib.loads(sys.stdin.read()), sys.stdout)";
    let output = feed(Command::new(program("python3", "python3")).args(["-c", script]), text.as_bytes());
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn haproxy_takes_its_configuration_without_a_warning() {
    let haproxy = program("haproxy", "haproxy");
    for inventory in [article(), other()] {
        let rendered = render(&inventory);
        for node in nodes(&rendered) {
            let root = tempfile::tempdir().unwrap();
            rendered.deploy(&node, root.path());
            let file = root.path().join("haproxy.cfg");
            let text = rendered.file(&node, "/etc/haproxy/haproxy.cfg");
            let ca = root.path().join("etc/kubernetes/pki/ca.crt");
            std::fs::write(&file, text.replace("/etc/kubernetes/pki/ca.crt", ca.to_str().unwrap())).unwrap();
            silent(Command::new(&haproxy).args(["-c", "-dW", "-f"]).arg(&file));
            assert_eq!(text.matches("\n    server ").count(), 3, "{text}");
        }
        // The own site's first; where there is none, all alike.
        let backups =
            |node: &str| rendered.file(node, "/etc/haproxy/haproxy.cfg").matches(" backup\n").count();
        assert_eq!((backups("attic-1"), backups("pi-1")), (2, 2));
    }
}

#[test]
fn containerd_means_what_was_meant() {
    let containerd = program("containerd", "containerd");
    let older = render(&other());
    let file = older.dir.path().join("config.toml");
    std::fs::write(&file, older.file("pi-1", "/etc/containerd/config.toml")).unwrap();
    // Debian's containerd knows format 2; it drops unknown keys in silence, so only what it prints counts.
    let dump = toml(&silent(Command::new(containerd).arg("-c").arg(&file).args(["config", "dump"])));
    let cri = &dump["plugins"]["io.containerd.grpc.v1.cri"];
    assert_eq!(dump["version"], 2);
    assert_eq!(cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"], true);
    assert_eq!(cri["containerd"]["runtimes"]["runc"]["runtime_type"], "io.containerd.runc.v2");
    assert_eq!(cri["sandbox_image"], "registry.k8s.io/pause:3.10");
    assert_eq!(cri["registry"]["config_path"], "/etc/containerd/certs.d");
    assert_eq!(
        (&cri["cni"]["bin_dir"], &cri["cni"]["conf_dir"]),
        (&json!("/opt/cni/bin"), &json!("/etc/cni/net.d"))
    );

    // Format 3 is of containerd 2, whose documentation (docs/cri/config.md) the keys are from.
    let newer = toml(&render(&article()).file("pi-1", "/etc/containerd/config.toml"));
    assert_eq!(
        newer,
        json!({"version": 3, "plugins": {
            "io.containerd.cri.v1.images": {
                "pinned_images": {"sandbox": "registry.k8s.io/pause:3.10.2"},
                "registry": {"config_path": "/etc/containerd/certs.d"},
            },
            "io.containerd.cri.v1.runtime": {
                "cni": {"bin_dirs": ["/opt/cni/bin"], "conf_dir": "/etc/cni/net.d"},
                "containerd": {"default_runtime_name": "runc", "runtimes": {"runc": {
                    "runtime_type": "io.containerd.runc.v2",
                    "options": {"SystemdCgroup": true},
                }}},
            },
        }})
    );
}

/// A root with the rendered units, the system's targets and stubs for every program.
fn root_for(rendered: &Rendered, machine: &Value, root: &Path) -> Vec<String> {
    let system = root.join("usr/lib/systemd/system");
    std::fs::create_dir_all(&system).unwrap();
    std::fs::create_dir_all(root.join("etc/systemd/system")).unwrap();
    // What the rendered units refer to, as the distribution has it.
    for entry in
        std::fs::read_dir("/lib/systemd/system").expect("systemd is missing: apt-get install systemd")
    {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let wanted =
            ["haproxy.service", "frr@.service", "frr.service", "strongswan.service", "nftables.service"];
        let base = path.extension().is_some_and(|ending| {
            ["target", "slice", "mount", "socket", "path"].iter().any(|e| ending == *e)
        });
        if path.is_file() && (base || wanted.contains(&name.as_str())) {
            std::fs::copy(&path, system.join(&name)).unwrap();
        }
    }
    rendered.deploy(machine["name"].as_str().unwrap(), root);
    let mut units = Vec::new();
    for (path, text) in common::files_of(machine) {
        let Some(unit) = path.strip_prefix(UNITS) else { continue };
        for line in text.lines().filter_map(|line| line.strip_prefix("Exec")) {
            let program = line.split_once('=').unwrap().1.split(' ').next().unwrap();
            if !program.is_empty() {
                stub(&root.join(program.trim_start_matches('/')));
            }
        }
        // A drop-in is read with its unit.
        units.push(unit.split_once(".d/").map_or(unit, |(unit, _)| unit).to_owned());
    }
    units
}

fn stub(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn systemd_takes_every_unit_and_says_nothing() {
    let analyze = program("systemd-analyze", "systemd");
    for inventory in [article(), other(), sites::sites(&sites::FORMS[0]), sites::sites(&sites::FORMS[4])] {
        let rendered = render(&inventory);
        let mut seen = 0;
        for machine in rendered.machines() {
            let root = tempfile::tempdir().unwrap();
            let units = root_for(&rendered, machine, root.path());
            if units.is_empty() {
                continue;
            }
            for program in
                ["usr/sbin/haproxy", "usr/sbin/charon-systemd", "usr/sbin/swanctl", "usr/lib/frr/frrinit.sh"]
            {
                stub(&root.path().join(program));
            }
            // It ends well on unknown keys: what counts is that it is silent.
            let mut command = Command::new(&analyze);
            command
                .arg("verify")
                .arg("--man=no")
                .arg(format!("--root={}", root.path().display()))
                .args(&units);
            silent(&mut command);
            seen += units.len();
        }
        assert!(seen > 20, "only {seen} units");
    }
}

#[test]
fn kubectl_reads_every_kubeconfig_and_it_leads_to_the_loopback() {
    let kubectl = program("kubectl", "kubernetes-client");
    let rendered = render(&article());
    let mut seen = 0;
    for node in nodes(&rendered) {
        for (path, text) in rendered.files(&node) {
            if !text.contains("kind: Config\n") {
                continue;
            }
            let file = rendered.dir.path().join("kubeconfig");
            std::fs::write(&file, &text).unwrap();
            let mut command = Command::new(&kubectl);
            command.args(["config", "view", "--minify", "-o", "json", "--kubeconfig"]).arg(&file);
            let view: Value = serde_json::from_str(&silent(&mut command)).unwrap();
            assert_eq!(view["clusters"][0]["cluster"]["server"], "https://127.0.0.1:7443", "{path}");
            let user = &view["users"][0]["user"];
            for field in [
                &user["client-certificate"],
                &user["client-key"],
                &view["clusters"][0]["cluster"]["certificate-authority"],
            ] {
                assert!(
                    rendered.files(&node).contains_key(field.as_str().unwrap()),
                    "{node}: {path} refers to {field}"
                );
            }
            if path.ends_with("/kubelet.conf") {
                assert_eq!(view["users"][0]["name"], format!("system:node:{node}"));
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 3 * 5 + 2);
}

/// The flags of every unit, by component.
fn flags(rendered: &Rendered) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in nodes(rendered) {
        for (path, text) in rendered.files(&node) {
            let Some(unit) = path.strip_prefix(UNITS).and_then(|name| name.strip_suffix(".service")) else {
                continue;
            };
            let words =
                text.split_whitespace().filter_map(|word| word.trim_start_matches('"').strip_prefix("--"));
            let names = words.map(|word| word.split_once('=').map_or(word, |(name, _)| name).to_owned());
            found.entry(unit.to_owned()).or_default().extend(names);
        }
    }
    found.remove("containerd");
    found.remove("etcd");
    found
}

#[test]
fn every_flag_exists_and_none_is_on_its_way_out() {
    let table = include_str!("data/flags-1.36.tsv");
    let known: BTreeMap<(&str, &str), bool> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            ((cells[0], cells[1]), cells[2] == "deprecated")
        })
        .collect();
    // The oracle can say no: flags of older guides.
    assert!(
        !known.contains_key(&("kubelet", "pod-infra-container-image"))
            && known[&("kubelet", "register-with-taints")]
    );
    for inventory in [article(), other()] {
        let found = flags(&render(&inventory));
        assert_eq!(found.len(), 5, "{found:?}");
        for (component, names) in found {
            assert!(!names.is_empty(), "{component} has no flag");
            for name in names {
                let deprecated = known.get(&(component.as_str(), name.as_str()));
                assert_eq!(deprecated, Some(&false), "{component} --{name}");
            }
        }
    }
}

/// Paths of all fields of a value, list items without their number.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Value::Object(map) = value {
        for (key, value) in map {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            found.insert(path.clone());
            fields(value, &path, found);
        }
    }
}

#[test]
fn configuration_files_have_no_field_that_their_component_lacks() {
    let table = |text: &'static str| -> BTreeMap<&'static str, &'static str> {
        let rows =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
        rows.map(|(name, kind)| (name, kind.split('\t').next().unwrap())).collect()
    };
    let tables = [
        ("/var/lib/kubelet/config.yaml", table(include_str!("../../kmh-model/data/kubelet.tsv"))),
        ("/var/lib/kube-proxy/config.yaml", table(include_str!("../../kmh-model/data/kube_proxy.tsv"))),
        ("/etc/etcd/etcd.yaml", table(include_str!("../../kmh-model/data/etcd.tsv"))),
    ];
    for inventory in [article(), other()] {
        let rendered = render(&inventory);
        for node in nodes(&rendered) {
            for (path, known) in &tables {
                let Some(text) = rendered.files(&node).remove(*path) else { continue };
                let document = yaml(&text).remove(0);
                let mut found = BTreeSet::new();
                fields(&document, "", &mut found);
                for name in found.iter().filter(|name| !["apiVersion", "kind"].contains(&name.as_str())) {
                    // Below a mapping of free keys, or of a type that the table does not open.
                    let parent = name.rsplit_once('.').map(|(parent, _)| parent);
                    let free =
                        parent.is_some_and(|parent| matches!(known.get(parent), Some(&("map" | "any"))));
                    assert!(known.contains_key(name.as_str()) || free, "{node}: {path}: {name}");
                }
            }
        }
    }
}

#[test]
fn one_value_in_many_files_is_the_same_in_all() {
    let inventory = article();
    let rendered = render(&inventory);
    for node in nodes(&rendered) {
        let kubelet = yaml(&rendered.file(&node, "/var/lib/kubelet/config.yaml")).remove(0);
        let proxy = yaml(&rendered.file(&node, "/var/lib/kube-proxy/config.yaml")).remove(0);
        assert_eq!(
            (&kubelet["clusterDNS"], &kubelet["clusterDomain"]),
            (&json!(["10.201.0.10"]), &json!("cluster.local"))
        );
        assert_eq!(
            (&proxy["hostnameOverride"], &proxy["clusterCIDR"]),
            (&json!(node), &json!("10.200.0.0/16"))
        );
        assert!(
            rendered
                .file(&node, "/etc/systemd/system/kubelet.service")
                .contains(&format!("--hostname-override={node}"))
        );
        // Format and driver go together.
        assert_eq!(kubelet["cgroupDriver"], "systemd");
        assert!(rendered.file(&node, "/etc/containerd/config.toml").contains("SystemdCgroup = true"));
    }
    for unit in ["kube-apiserver", "kube-controller-manager"] {
        let text = rendered.file("attic-1", &format!("{UNITS}{unit}.service"));
        assert!(text.contains("--service-cluster-ip-range=10.201.0.0/16"), "{text}");
    }
    // Calico filters with what kube-proxy directs with.
    let calico = |rendered: &Rendered| rendered.file("cluster", "/etc/kubernetes/cluster/20-calico.yaml");
    assert!(rendered.file("pi-1", "/var/lib/kube-proxy/config.yaml").contains("mode: nftables"));
    assert!(calico(&rendered).contains("name: FELIX_NFTABLESMODE\n              value: \"Enabled\""));
    let older = render(&other());
    assert!(older.file("pi-1", "/var/lib/kube-proxy/config.yaml").contains("mode: iptables"));
    assert!(calico(&older).contains("name: FELIX_NFTABLESMODE\n              value: \"Disabled\""));
    // Nobody there could sign: no CA key is on any machine.
    let manager = rendered.file("attic-1", &format!("{UNITS}kube-controller-manager.service"));
    assert!(
        !manager.contains("--cluster-signing") && manager.contains("--allocate-node-cidrs=false"),
        "{manager}"
    );
    assert!(
        rendered
            .machines()
            .all(|machine| common::files_of(machine).keys().all(|path| !path.ends_with("ca.key")))
    );
    // 1.33 has no stable way to restrict anonymous requests, and keeps its default.
    assert!(rendered.files("attic-1").contains_key("/etc/kubernetes/authentication.yaml"));
    assert!(!older.files("attic-1").contains_key("/etc/kubernetes/authentication.yaml"));
    assert!(
        !older.file("attic-1", &format!("{UNITS}kube-apiserver.service")).contains("--authentication-config")
    );
}

#[test]
fn manifests_are_what_kubernetes_calls_manifests() {
    for (inventory, dns) in
        [(article(), json!(["10.201.0.10"])), (other(), json!(["10.201.0.10", "fd00:201::a"]))]
    {
        let rendered = render(&inventory);
        let mut kinds = BTreeSet::new();
        for (path, text) in rendered.files("cluster") {
            if Path::new(&path).extension().is_none_or(|ending| ending != "yaml") {
                continue;
            }
            for document in yaml(&text).into_iter().filter(|document| !document.is_null()) {
                for field in ["apiVersion", "kind"] {
                    assert!(document[field].is_string(), "{path}: {document}");
                }
                let name = document["metadata"]["name"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{path}: {document}"))
                    .to_owned();
                let kind = document["kind"].as_str().unwrap().to_owned();
                if kind == "Service" {
                    assert_eq!(document["spec"]["clusterIPs"], dns);
                }
                if let Some(containers) = document["spec"]["template"]["spec"]["containers"].as_array() {
                    for container in containers {
                        let image = container["image"].as_str().unwrap();
                        assert!(image.contains(":v") && !image.ends_with("latest"), "{image}");
                    }
                }
                assert!(kinds.insert((kind, name)), "{path}: twice the same");
            }
        }
        for wanted in [
            ("DaemonSet", "calico-node"),
            ("Deployment", "coredns"),
            ("BGPConfiguration", "default"),
            ("ClusterRoleBinding", "kubeadm:cluster-admins"),
        ] {
            assert!(kinds.contains(&(wanted.0.to_owned(), wanted.1.to_owned())), "{wanted:?}");
        }
        let config = rendered.file("cluster", "/etc/kubernetes/cluster/20-calico.yaml");
        let pod_network =
            yaml(&config).into_iter().find(|d| d["metadata"]["name"] == "calico-config").unwrap();
        let cni = pod_network["data"]["cni_network_config"].as_str().unwrap().replace("__CNI_MTU__", "1400");
        assert!(serde_json::from_str::<Value>(&cni).is_ok(), "{cni}");
    }
}
