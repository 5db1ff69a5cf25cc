//! What stands in for pfSense's IPsec, asked by real charons: two pfSense and a Linux router of the article's cluster find
//! each other, in namespaces of the test's own.
//!
//! What is shown here is IKE: that proposals, identities, certificates and keys of both kinds of router meet. Kernels
//! without ESP cannot do the rest, and charon keeps the IKE SA then; the rest is shown in a guest (`lab_vm.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod standin;

use std::process::{Command, Stdio};

use standin::routers;

/// A bridge that all lines end at, a charon in each namespace, names for the dynamic ones; then what each has established.
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs none /run
mkdir /run/netns
mount --bind "$dir/hosts" /etc/hosts
ip netns add internet
ip -n internet link add wires type bridge
ip -n internet link set wires up
while read -r router line address; do
    ip netns add $router
    ip link add $line netns $router type veth peer name $router netns internet
    ip -n internet link set $router master wires up
    ip -n $router addr add $address/32 dev $line
    ip -n $router link set lo up
    ip -n $router link set $line up
    ip -n $router route add default dev $line
    STRONGSWAN_CONF=$dir/$router/strongswan.conf ip netns exec $router charon-systemd >"$dir/$router/out" 2>&1 &
done <"$dir/routers"
ask() {
    SWANCTL_DIR=$dir/$1/etc/swanctl STRONGSWAN_CONF=$dir/$1/strongswan.conf swanctl $2 --uri unix://$dir/$1/vici 2>&1
}
# Whoever waits first: a pfSense whose first call is refused does not call again.
for router in gw-vps fw-flat fw-attic; do
    tries=0
    while [ ! -S $dir/$router/vici ]; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
    ask $router '--load-all --noprompt' >"$dir/$router/load" || { cat "$dir/$router/load" >&2; exit 1; }
done
tries=0
while [ $tries -lt 200 ]; do
    tries=$((tries + 1))
    for router in fw-attic fw-flat gw-vps; do ask $router --list-sas >"$dir/$router/sas"; done
    [ "$(cat $dir/*/sas | grep -c ESTABLISHED)" -lt 6 ] || break
    sleep 0.1
done
"#;

/// What a router has established: connection and suite.
fn established(sas: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = sas.lines().collect();
    let mut found: Vec<(String, String)> = lines
        .windows(4)
        .filter(|four| four[0].contains("ESTABLISHED"))
        .map(|four| (four[0].split(':').next().unwrap().to_owned(), four[3].trim().to_owned()))
        .collect();
    found.sort();
    found
}

fn meet(auth: &str, suite: &str) {
    let sandbox = routers(auth);
    let ran = Command::new("unshare")
        .args(["-n", "-m", "-p", "-f", "--kill-child", "sh", "-c", SCRIPT])
        .env("dir", sandbox.path())
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let wanted = [
        ("fw-attic", ["con1", "con2"]),
        ("fw-flat", ["con1", "con3"]),
        ("gw-vps", ["fw-attic--gw-vps", "fw-flat--gw-vps"]),
    ];
    for (router, connections) in wanted {
        let wanted: Vec<(String, String)> =
            connections.iter().map(|name| ((*name).to_owned(), suite.to_owned())).collect();
        let read = |name: &str| sandbox.read(&format!("{router}/{name}"));
        assert_eq!(established(&read("sas")), wanted, "{auth} {router}:\n{}\n{}", read("sas"), read("load"));
    }
}

#[test]
fn stand_ins_of_pfsense_meet_each_other_and_a_linux_router_by_certificates() {
    meet("certificates", "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384");
}

#[test]
fn stand_ins_of_pfsense_meet_each_other_and_a_linux_router_by_pre_shared_keys() {
    meet("psk", "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384");
}
