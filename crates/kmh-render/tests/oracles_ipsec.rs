//! Two routers with two lines each negotiate by real charons, in namespaces of the test's own: four tunnels, each by its
//! own lines, with every cipher, by certificates and by pre-shared keys.
//!
//! What is shown is IKE: that both ends have a proposal in common, believe each other, and mean the same tunnel. Kernels
//! without ESP cannot do the rest, and charon keeps the IKE SA then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{article, prepare_charon, program, render};
use serde_json::{Value, json};

/// Two sites with a Linux router each, of two lines: `ra` at 198.51.100.1 and .2, `rb` at 203.0.113.1 and .2.
fn two_lines(auth: &str, cipher: &str) -> Value {
    let mut inventory = article();
    let spec = &mut inventory["spec"];
    spec.as_object_mut().unwrap().remove("operator");
    spec["tunnels"] = json!({"network": "10.240.0.0/12", "auth": auth, "cipher": cipher});
    let node = spec["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "vps-1").unwrap().clone();
    let site = |name: &str, router: &str, id: u8, lines: &str| {
        let line = |n: u8| json!({"name": format!("w{n}"), "address": format!("{lines}.{n}")});
        json!({
            "name": name,
            "network": format!("10.{id}0.0.0/24"),
            "pod_cidrs": format!("10.200.{}.0/18", (id - 1) * 64),
            "routers": [{"name": router, "id": id, "kind": "linux", "bgp": "frr", "interface": "eth1",
                "asn": 65000 + 10 * u32::from(id), "address": format!("10.{id}0.0.1"), "uplinks": [line(1), line(2)]}],
        })
    };
    spec["sites"] = json!([site("a", "ra", 1, "198.51.100"), site("b", "rb", 2, "203.0.113")]);
    let mut node = node;
    node["site"] = json!("a");
    node["address"] = json!("10.10.0.11");
    node["roles"] = json!(["control-plane", "etcd", "worker"]);
    node.as_object_mut().unwrap().remove("ssh");
    spec["nodes"] = json!([node]);
    inventory
}

/// Two namespaces, joined by one link a line; a charon in each; then what each has established.
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs none /run
mkdir /run/netns
ip netns add ra
ip netns add rb
for line in 1 2; do
    ip link add w$line netns ra type veth peer name w$line netns rb
    ip -n ra addr add 198.51.100.$line/32 dev w$line
    ip -n rb addr add 203.0.113.$line/32 dev w$line
done
for router in ra rb; do
    for link in lo w1 w2; do ip -n $router link set $link up; done
done
for line in 1 2; do
    ip -n ra route add 203.0.113.$line/32 dev w$line
    ip -n rb route add 198.51.100.$line/32 dev w$line
done
for router in ra rb; do
    STRONGSWAN_CONF=$dir/$router/strongswan.conf ip netns exec $router "$charon" >"$dir/$router/out" 2>&1 &
done
ask() {
    SWANCTL_DIR=$dir/$1/etc/swanctl STRONGSWAN_CONF=$dir/$1/strongswan.conf "$swanctl" $2 --uri unix://$dir/$1/vici 2>&1
}
for router in rb ra; do
    tries=0
    while [ ! -S $dir/$router/vici ]; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
    ask $router '--load-all --noprompt' >"$dir/$router/load"
done
tries=0
while [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    for router in ra rb; do ask $router --list-sas >"$dir/$router/sas"; done
    [ "$(cat $dir/ra/sas $dir/rb/sas | grep -c ESTABLISHED)" -lt 8 ] || break
    sleep 0.1
done
"#;

/// The established connections of a router: name, its address and the other's, and the suite.
fn established(sas: &str) -> Vec<[String; 4]> {
    let address =
        |line: &str| line.split("@ ").nth(1).and_then(|rest| rest.split('[').next()).unwrap().to_owned();
    let mut found: Vec<[String; 4]> = Vec::new();
    let lines: Vec<&str> = sas.lines().collect();
    for four in lines.windows(4).filter(|four| four[0].contains("ESTABLISHED")) {
        let name = four[0].split(':').next().unwrap().to_owned();
        found.push([name, address(four[1]), address(four[2]), four[3].trim().to_owned()]);
    }
    found.sort();
    found
}

fn negotiate(auth: &str, cipher: &str, suite: &str) {
    negotiate_with(auth, cipher, suite, &json!({}));
}

fn negotiate_with(auth: &str, cipher: &str, suite: &str, pki: &Value) {
    let mut inventory = two_lines(auth, cipher);
    inventory["spec"]["pki"] = pki.clone();
    let rendered = render(&inventory);
    let root = tempfile::tempdir().unwrap();
    for router in ["ra", "rb"] {
        let folder = root.path().join(router);
        rendered.deploy(router, &folder);
        let moved = prepare_charon(&folder, "vici", "");
        assert_eq!(moved.contains("secret = 0s"), auth == "psk", "{moved}");
        assert_eq!(moved.matches("mobike = no").count(), 4, "each keeps to its line\n{moved}");
    }
    run(root.path());
    for (router, own, other) in [("ra", "198.51.100", "203.0.113"), ("rb", "203.0.113", "198.51.100")] {
        let read =
            |name: &str| std::fs::read_to_string(root.path().join(router).join(name)).unwrap_or_default();
        let wanted: Vec<[String; 4]> =
            [("ra--rb", 1, 1), ("ra--rb--1-2", 1, 2), ("ra--rb--2-1", 2, 1), ("ra--rb--2-2", 2, 2)]
                .into_iter()
                .map(|(name, a, b)| {
                    let (mine, theirs) = if router == "ra" { (a, b) } else { (b, a) };
                    [name.to_owned(), format!("{own}.{mine}"), format!("{other}.{theirs}"), suite.to_owned()]
                })
                .collect();
        assert_eq!(
            established(&read("sas")),
            wanted,
            "{auth} {cipher} {router}:\n{}\n{}",
            read("sas"),
            read("load")
        );
    }
}

/// The charons end with the namespace of processes.
fn run(root: &Path) {
    program("ip", "iproute2");
    let output = Command::new(program("unshare", "util-linux"))
        .args(["-r", "-n", "-m", "-p", "-f", "--kill-child", "sh", "-c", SCRIPT])
        .env("dir", root)
        .env("charon", program("charon-systemd", "charon-systemd"))
        .env("swanctl", program("swanctl", "strongswan-swanctl"))
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_routers_with_two_lines_have_four_tunnels_by_certificates() {
    negotiate("certificates", "aes256gcm", "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384");
    negotiate("certificates", "aes128gcm", "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256");
}

#[test]
fn two_routers_with_two_lines_have_four_tunnels_by_pre_shared_keys() {
    negotiate("psk", "chacha20poly1305", "CHACHA20_POLY1305/PRF_HMAC_SHA2_256/CURVE_25519");
    negotiate("psk", "aes256cbc", "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048");
}

#[test]
fn two_routers_believe_each_other_by_keys_of_every_kind() {
    const SUITE: &str = "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384";
    for pki in [
        json!({"algorithms": {"ipsec-ca": "ed25519", "ipsec-router": "ed25519"}}),
        json!({"algorithms": {"ipsec-ca": "ecdsa-p384", "ipsec-router": "rsa-3072"}}),
    ] {
        negotiate_with("certificates", "aes256gcm", SUITE, &pki);
    }
}
