//! Keys that stay on their machines, and CAs below a root, from the store to the bundle and what is checked of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use kmh_tests::sandbox::Sandbox;

const RENDER: &str = "kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json";

#[test]
fn a_key_on_its_machine_is_in_no_bundle_and_all_else_fits_it() {
    let sandbox = Sandbox::new();
    sandbox.sh("kmh-pki --init --store pki <cluster.yaml >first.json").exits(0);
    let node = sandbox.read("first.json").lines().last().and_then(|line| {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        let all = document["spec"]["certificates"].as_array().unwrap().clone();
        let one = all.iter().find(|one| one["class"] == "kubelet-client").unwrap().clone();
        one["machine"].as_str().map(ToOwned::to_owned)
    });
    let node = node.unwrap();
    for (stem, extension) in
        [("kubelet-client", String::new()), ("kubelet-serving", format!("-addext subjectAltName=DNS:{node}"))]
    {
        sandbox
            .sh(&format!(
                "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out {stem}.csr \
                   -subj /O=system:nodes/CN=system:node:{node} {extension} && \
                 kmh-pki sign --csr {stem}.csr --store pki <cluster.yaml"
            ))
            .exits(0);
    }
    sandbox.sh(RENDER).exits(0);
    let stream = sandbox.read("stream.json");
    let path = "/var/lib/kubelet/pki/kubelet-client.key";
    let bundle = kmh_tests::sandbox::documents(&stream)["kmh.bundle/v1"].clone();
    let machines = bundle["spec"]["machines"].as_array().unwrap();
    let of = |name: &str| machines.iter().find(|machine| machine["name"] == name).unwrap().to_string();
    // Neither the file nor a reference to it; the kubelet's settings name its place all the same.
    assert!(!of(&node).contains(&format!("nodes/{node}/kubelet-client.key")));
    assert!(!of(&node).contains(&format!("\"path\":\"{path}\"")));
    assert!(of(&node).contains(path) && of(&node).contains("/var/lib/kubelet/pki/kubelet-serving.key"));
    let other = machines
        .iter()
        .map(|machine| machine["name"].as_str().unwrap())
        .find(|name| *name != node && of(name).contains("kubelet-client.crt"));
    assert!(of(other.unwrap()).contains(&format!("\"path\":\"{path}\"")));

    let ran = sandbox
        .sh("kmh-check --strict <stream.json | kmh-push --store pki --to dir:out | kmh-check -o json")
        .exits(0);
    assert_eq!(ran.documents()["kmh.check/v1"]["spec"]["ok"], true);
    assert!(sandbox.has(&format!("out/{node}/var/lib/kubelet/pki/kubelet-client.crt")));
    assert!(!sandbox.has(&format!("out/{node}{path}")));
}

#[test]
fn below_a_root_the_whole_pipe_says_yes_and_the_root_goes_to_haproxy_alone() {
    let sandbox = Sandbox::new();
    let inventory = sandbox.read("cluster.yaml");
    sandbox.write("cluster.yaml", &format!("{inventory}\n  pki: {{root: true}}\n"));
    sandbox.sh("kmh-pki --init --store pki <cluster.yaml >/dev/null && mv pki/ca/root.key away.key").exits(0);
    sandbox.sh(RENDER).exits(0);
    let root = sandbox.read("pki/ca/root.crt");
    let line = root.lines().nth(3).unwrap();
    let stream = sandbox.read("stream.json");
    let documents = kmh_tests::sandbox::documents(&stream);
    assert!(documents["kmh.pki/v1"].to_string().contains(line));
    let machines = documents["kmh.bundle/v1"]["spec"]["machines"].as_array().unwrap();
    let files = machines.iter().flat_map(|machine| machine["files"].as_array().unwrap());
    let holding = files.filter(|file| file["content"].to_string().contains(line));
    let paths: std::collections::BTreeSet<_> = holding.map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(Vec::from_iter(paths), ["/etc/haproxy/kmh-ca.crt"]);
    let ran = sandbox
        .sh("kmh-check --strict <stream.json | kmh-push --store pki --to dir:out | kmh-check -o json")
        .exits(0);
    assert_eq!(ran.documents()["kmh.check/v1"]["spec"]["ok"], true);
}
