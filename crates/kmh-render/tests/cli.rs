//! The program as it is called: a bundle from a stream, the same bytes for the same cluster, refusals that say why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Rendered, article, bundle_of, render, tool, try_tool};
use serde_json::{Value, json};

/// The stream before kmh-render, with one of its documents changed.
fn stream_with(rendered: &Rendered, kind: &str, change: impl Fn(&mut Value)) -> String {
    let documents =
        serde_json::Deserializer::from_str(&rendered.stream).into_iter::<Value>().map(Result::unwrap);
    documents
        .filter(|document| document["kind"] != "kmh.bundle/v1")
        .map(|mut document| {
            // A hand-made document says nothing of where it comes from.
            document.as_object_mut().unwrap().remove("from");
            if document["kind"] == kind {
                change(&mut document["spec"]);
            }
            document.to_string() + "\n"
        })
        .collect()
}

#[test]
fn every_machine_has_its_files() {
    let rendered = render(&article());
    let names: Vec<&str> = rendered.machines().map(|machine| machine["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["attic-1", "cluster", "flat-1", "fw-attic", "fw-flat", "gw-vps", "pi-1", "vps-1"]);
    assert!(rendered.files("pi-1").keys().all(|path| !path.contains("etcd") && !path.contains("apiserver")));
    assert_eq!(rendered.machine("pi-1")["artifacts"][0]["arch"], "arm64");
    assert!(rendered.machine("pi-1")["artifacts"].to_string().contains("/bin/linux/arm64/kubelet"));
    assert_eq!(rendered.machine("cluster")["address"], rendered.machine("attic-1")["address"]);
    for machine in rendered.machines() {
        let units = machine["units"].to_string();
        let files = machine["files"].as_array().unwrap();
        let mut paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
        let sorted = paths.clone();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths, sorted);
        for file in files {
            if file["content"].to_string().contains("\"secret\"") {
                let who = (file["mode"].as_str().unwrap(), file["owner"].as_str().unwrap());
                // FRR and BIRD read theirs as users of their own.
                let closed = [("0600", "root:root"), ("0640", "frr:frr"), ("0640", "bird:bird")];
                assert!(closed.contains(&who), "{}: {who:?}", file["path"]);
            }
            for change in file["on_change"].as_array().into_iter().flatten() {
                let unit = change["unit"].as_str().unwrap();
                assert!(
                    units.contains(unit),
                    "{} tells {unit}, which {} does not start",
                    file["path"],
                    machine["name"]
                );
            }
        }
    }
    let text = tool("kmh-render", &["-o", "text"], rendered.stream.as_bytes());
    assert!(text.contains("gw-vps") && text.contains("linux router"), "{text}");
}

#[test]
fn every_path_that_is_referred_to_is_there() {
    for inventory in [article(), common::other()] {
        let rendered = render(&inventory);
        for machine in rendered.machines() {
            let files = common::files_of(machine);
            for (path, text) in &files {
                let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
                let places = [
                    "/etc/kubernetes/",
                    "/etc/swanctl/x509",
                    "/etc/swanctl/private",
                    "/var/lib/kubelet/",
                    "/var/lib/kube-proxy/",
                    "/usr/local/lib/kmh/",
                ];
                for word in words.filter(|word| places.iter().any(|place| word.starts_with(place))) {
                    // The admin's kubeconfig is on the node that carries the target `cluster`; the artifact is no file.
                    let elsewhere = machine["kind"] == "cluster" && !word.ends_with("rbac.yaml");
                    assert!(
                        files.contains_key(word) || elsewhere || word.ends_with('/'),
                        "{}: {path} refers to {word}",
                        machine["name"]
                    );
                }
            }
        }
    }
}

#[test]
fn the_order_of_the_inventory_changes_no_byte() {
    let written = article();
    let rendered = render(&written);
    let mut turned = written;
    for list in ["sites", "nodes"] {
        turned["spec"][list].as_array_mut().unwrap().reverse();
    }
    // The same store, or the certificates are others.
    let store = rendered.dir.path().join("pki");
    let pki = tool("kmh-pki", &["--store", store.to_str().unwrap()], turned.to_string().as_bytes());
    let stream = tool("kmh-render", &[], tool("kmh-bgpcfg", &[], pki.as_bytes()).as_bytes());
    let found = bundle_of(&stream);
    assert!(found == rendered.bundle, "another bundle");
}

#[test]
fn a_deliberate_setting_is_in_the_file_and_says_where_it_was_decided() {
    let mut inventory = article();
    inventory["spec"]["settings"]["kube_apiserver"] = json!({"event-ttl": "2h", "goaway-chance": 0});
    inventory["spec"]["nodes"][3]["settings"] =
        json!({"kubelet": {"maxPods": 30, "evictionHard": {"memory.available": "100Mi"}}});
    let rendered = render(&inventory);
    let unit = rendered.file("attic-1", "/etc/systemd/system/kube-apiserver.service");
    assert!(unit.contains("  --event-ttl=2h"), "{unit}");
    assert!(unit.contains("--goaway-chance=0 ") && !unit.contains("--goaway-chance=0.001"), "{unit}");
    assert!(unit.contains("# deliberate: --event-ttl=2h (spec.settings.kube_apiserver.event-ttl)"), "{unit}");
    let pi = rendered.file("pi-1", "/var/lib/kubelet/config.yaml");
    assert!(
        pi.contains("maxPods: 30  # deliberate: spec.nodes") && pi.contains("  memory.available: \"100Mi\""),
        "{pi}"
    );
    let file = |path: &str| {
        let files = rendered.machine("pi-1")["files"].as_array().unwrap().iter();
        files.clone().find(|file| file["path"] == path).unwrap().clone()
    };
    assert_eq!(file("/var/lib/kubelet/config.yaml")["origin"], "template:kubelet/config.yaml.j2");
    assert_eq!(file("/var/lib/kubelet/pki/kubelet-client.key")["origin"], "pki:nodes/pi-1/kubelet-client");
}

#[test]
fn what_changes_tells_who_must_know() {
    let rendered = render(&article());
    let told = |machine: &str, path: &str| {
        let files = rendered.machine(machine)["files"].as_array().unwrap().iter();
        let file = files.clone().find(|file| file["path"] == path).unwrap().clone();
        file["on_change"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|on| format!("{} {}", on["action"], on["unit"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(told("pi-1", "/etc/haproxy/haproxy.cfg"), ["reload haproxy.service"]);
    // From 1.36 on kubelet and kube-proxy read a CA that a kubeconfig names again by themselves.
    assert_eq!(told("pi-1", "/etc/kubernetes/pki/ca.crt"), ["reload haproxy.service"]);
    assert_eq!(
        told("attic-1", "/etc/kubernetes/pki/etcd/ca.crt"),
        ["restart etcd.service", "restart kube-apiserver.service"]
    );
    // Who verifies tokens is not who signs them.
    assert_eq!(told("attic-1", "/etc/kubernetes/pki/sa.pub"), ["restart kube-apiserver.service"]);
    // client-go and the API server read renewed certificates by themselves.
    assert_eq!(told("pi-1", "/var/lib/kubelet/pki/kubelet-client.crt"), none);
    assert_eq!(told("attic-1", "/etc/kubernetes/pki/apiserver.crt"), none);
    assert_eq!(told("attic-1", "/etc/kubernetes/encryption.yaml"), none);
    // It does not read anew who is anonymous.
    assert_eq!(told("attic-1", "/etc/kubernetes/authentication.yaml"), ["restart kube-apiserver.service"]);
    assert_eq!(
        told("attic-1", "/etc/kubernetes/pki/sa.key"),
        ["restart kube-apiserver.service", "restart kube-controller-manager.service"]
    );
    assert_eq!(told("gw-vps", "/etc/frr/k8s/frr.conf"), ["reload frr@k8s.service"]);
    assert_eq!(told("gw-vps", "/etc/swanctl/x509/gw-vps.crt"), ["reload strongswan.service"]);
}

#[test]
fn pfsense_gets_one_document_with_everything_inside() {
    let rendered = render(&article());
    let settings: Value =
        serde_json::from_str(&rendered.file("fw-attic", "/usr/local/etc/kmh/settings.json")).unwrap();
    let frr = rendered.file("fw-attic", "/usr/local/etc/kmh/frr.conf");
    let decode = |text: &Value| {
        use base64::Engine as _;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap())
            .unwrap()
    };
    assert_eq!(decode(&settings["installedpackages"]["frrglobalraw"]["config"][0]["frr"]), frr);
    assert!(decode(&settings["cert"][0]["crt"]).starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(settings["cert"][0]["prv"], common::STUB);
    let first = settings["ipsec"]["phase1"].as_array().unwrap();
    let second = settings["ipsec"]["phase2"].as_array().unwrap();
    assert_eq!((first.len(), second.len()), (2, 2));
    for (first, second) in first.iter().zip(second) {
        assert_eq!((&first["ikeid"], &second["mode"]), (&second["ikeid"], &json!("vti")));
        // pfSense takes 1 to 15999, and calls the interface after it.
        assert!((1..16000).contains(&second["reqid"].as_u64().unwrap()));
        assert_ne!(first["remote-gateway"], "0.0.0.0");
    }
    let rules = settings["filter"]["rule"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["descr"].as_str().unwrap().starts_with("kmh: ")));
    // Of what a connection is kept for, what stays closed stands before what is open but for that.
    let rules: Vec<&Value> = rules.iter().filter(|rule| rule.get("floating").is_none()).collect();
    let block = rules.iter().position(|rule| rule["type"] == "block").expect("an exception");
    let open = rules
        .iter()
        .position(|rule| rule["destination"].get("any").is_some())
        .expect("the way to the Internet");
    assert!(block < open);
    // Nodes and pods may go to the Internet, but not to the firewall's own web pages and sshd by its other addresses.
    let own = rules
        .iter()
        .position(|rule| rule["type"] == "block" && rule["destination"]["network"] == "(self)")
        .expect("the firewall itself is closed");
    assert!(own < open);
    assert_eq!(rules[own]["source"], rules[open]["source"]);
}

#[test]
fn only_the_chosen_machines_are_rendered() {
    let rendered = render(&article());
    let limited =
        bundle_of(&tool("kmh-render", &["--limit", "gw-vps,role=etcd"], rendered.stream.as_bytes()));
    let names: Vec<&str> =
        limited["machines"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["attic-1", "flat-1", "gw-vps", "vps-1"]);
    let (code, _, stderr) = try_tool("kmh-render", &["--limit", "gw-vsp"], rendered.stream.as_bytes());
    assert!(code == 2 && stderr.contains("`--limit gw-vsp` selects no machine"), "{stderr}");
}

#[test]
fn what_is_missing_is_named_all_at_once() {
    let rendered = render(&article());
    let stream = stream_with(&rendered, "kmh.pki/v1", |pki| {
        let certificates = pki["certificates"].as_array_mut().unwrap();
        certificates
            .retain(|c| c["name"] != "nodes/pi-1/kube-proxy" && c["name"] != "nodes/attic-1/etcd-peer");
    });
    let (code, stdout, stderr) = try_tool("kmh-render", &[], stream.as_bytes());
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(stderr.contains("the PKI has no `kube-proxy` for `pi-1`"), "{stderr}");
    assert!(stderr.contains("the PKI has no `etcd-peer` for `attic-1`"), "{stderr}");
    assert!(stderr.contains("hint: run `kmh-pki ensure --store DIR`"), "{stderr}");

    let (code, stdout, stderr) = try_tool("kmh-render", &[], article().to_string().as_bytes());
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("kmh.pki/v1") && stderr.contains("kmh-pki ensure"), "{stderr}");
}

#[test]
fn a_document_from_elsewhere_cannot_break_out_of_a_file() {
    let rendered = render(&article());
    let refused = |kind: &str, needle: &str, change: &dyn Fn(&mut Value)| {
        let (code, stdout, stderr) =
            try_tool("kmh-render", &[], stream_with(&rendered, kind, change).as_bytes());
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(needle), "{stderr}");
    };
    refused("kmh.network/v1", "is not a name", &|network| {
        network["routers"][0]["sessions"][0]["import"] = json!("x in\n no router bgp");
    });
    refused("kmh.network/v1", "is none of the words that may stand here", &|network| {
        network["routers"][0]["as_paths"][0]["permit"] = json!(".*\nend");
    });
    refused("kmh.network/v1", "is not the name of an interface", &|network| {
        network["tunnels"][1]["ends"][1]["uplink_interface"] = json!("eth0'; reboot #");
    });
    refused("kmh.network/v1", "is not a word", &|network| {
        network["routers"][2]["addresses"][0] = json!("10.30.0.1/24' dev x");
    });
    refused("kmh.network/v1", "which there is not", &|network| {
        network["routers"][0]["route_maps"][0]["rules"][0]["prefix_list"] = json!("nowhere");
    });
    refused("kmh.pki/v1", "absolute, normalised path", &|pki| {
        pki["certificates"][0]["deploy"][0]["certificate"] = json!("/etc/../root/.ssh/authorized_keys");
    });
}
