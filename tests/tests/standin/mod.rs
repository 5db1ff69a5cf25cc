//! Routers of the article's cluster with their IPsec, each in a folder: the Linux one with its rendered files, the pfSense
//! ones with what stands in for theirs.

mod files;

use std::fs;

use files::{charon_settings, lay};
use kmh_lab::esp::pfsense::Interface;
use kmh_tests::sandbox::{Sandbox, is_root};

/// Routers, their line's interface and its address.
const ROUTERS: [(&str, &str, &str); 3] = [
    ("fw-attic", "wan", "198.51.100.1"),
    ("fw-flat", "wan", "198.51.100.2"),
    ("gw-vps", "eth0", "203.0.113.7"),
];

/// A folder with the routers' files, and a table `routers` of them.
pub(crate) fn routers(auth: &str) -> Sandbox {
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
    let mut table = Vec::new();
    for (router, line, address) in ROUTERS {
        let own = root.join(router);
        fs::create_dir_all(&own).unwrap();
        let calls = lay(&root.join("out").join(router), &own, line, address);
        fs::write(own.join("strongswan.conf"), charon_settings(&own)).unwrap();
        let calls: Vec<String> =
            calls.iter().flat_map(Interface::calls).map(|call| call.join(" ") + "\n").collect();
        sandbox.write(&format!("{router}/interfaces"), &calls.concat());
        table.push(format!("{router} {line} {address}\n"));
    }
    sandbox.write("routers", &table.concat());
    sandbox
}
