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

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use kmh_lab::esp::pfsense::stand_in;
use kmh_tests::sandbox::{Sandbox, is_root};

/// Routers, their line's interface and its address.
const ROUTERS: [(&str, &str, &str); 3] = [
    ("fw-attic", "wan", "198.51.100.1"),
    ("fw-flat", "wan", "198.51.100.2"),
    ("gw-vps", "eth0", "203.0.113.7"),
];

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
while read -r router line address; do
    tries=0
    while [ ! -S $dir/$router/vici ]; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
    ask $router '--load-all --noprompt' >"$dir/$router/load" || { cat "$dir/$router/load" >&2; exit 1; }
done <"$dir/routers"
tries=0
while [ $tries -lt 200 ]; do
    tries=$((tries + 1))
    for router in fw-attic fw-flat gw-vps; do ask $router --list-sas >"$dir/$router/sas"; done
    [ "$(cat $dir/*/sas | grep -c ESTABLISHED)" -lt 6 ] || break
    sleep 0.1
done
"#;

/// Puts a router's files below `root`, in the layout of Debian's strongSwan.
fn place(root: &Path, router: &str, line: &str, address: &str) {
    let folder = root.join(router).join("etc/swanctl");
    let out = root.join("out").join(router);
    if let Ok(settings) = fs::read(out.join("usr/local/etc/kmh/settings.json")) {
        let addresses = BTreeMap::from([(line.to_owned(), vec![address.parse().unwrap()])]);
        let made = stand_in(&settings, &addresses).unwrap_or_else(|failure| panic!("{failure:?}"));
        for file in &made.files {
            let path = folder.join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &*file.content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("swanctl.conf"), made.conf.as_bytes()).unwrap();
    } else {
        let copied =
            Command::new("cp").arg("-a").arg(out.join("etc")).arg(root.join(router)).status().unwrap();
        assert!(copied.success());
        let conf = folder.join("conf.d/kmh.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, text.replace("/etc/swanctl/", &format!("{}/", folder.display()))).unwrap();
        fs::write(folder.join("swanctl.conf"), "include conf.d/*.conf\n").unwrap();
    }
    let settings = format!(
        "charon-systemd {{\n  install_routes = no\n  plugins {{\n    include /etc/strongswan.d/charon/*.conf\n    \
         vici {{\n      socket = unix://{}\n    }}\n  }}\n}}\n",
        root.join(router).join("vici").display()
    );
    fs::write(root.join(router).join("strongswan.conf"), settings).unwrap();
}

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
    assert!(is_root(), "this test makes network namespaces: run it as root (`make test` says so)");
    let sandbox = Sandbox::new();
    let inventory = sandbox.read("cluster.yaml");
    let one = format!("  tunnels: {{auth: {auth}, ");
    let changed = inventory.replace("  tunnels: {", &one);
    assert_ne!(changed, inventory, "the inventory says how tunnels are numbered");
    sandbox.write("cluster.yaml", &changed);
    sandbox
        .sh("kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render | \
             kmh-push --store pki --to dir:out -o text")
        .exits(0);
    let root = sandbox.path();
    sandbox.write(
        "hosts",
        "127.0.0.1 localhost\n198.51.100.1 attic.dyn.example.net\n198.51.100.2 flat.dyn.example.net\n",
    );
    let mut routers = String::new();
    for (router, line, address) in ROUTERS {
        fs::create_dir_all(root.join(router)).unwrap();
        place(root, router, line, address);
        routers += &format!("{router} {line} {address}\n");
    }
    sandbox.write("routers", &routers);
    let ran = Command::new("unshare")
        .args(["-n", "-m", "-p", "-f", "--kill-child", "sh", "-c", SCRIPT])
        .env("dir", root)
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
