//! Routers of the article's cluster with their IPsec, each in a folder: the Linux one with its rendered files, the pfSense
//! ones with what stands in for theirs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use kmh_lab::esp::pfsense::{Interface, stand_in};
use kmh_tests::sandbox::{Sandbox, is_root};

/// Routers, their line's interface and its address.
const ROUTERS: [(&str, &str, &str); 3] = [
    ("fw-attic", "wan", "198.51.100.1"),
    ("fw-flat", "wan", "198.51.100.2"),
    ("gw-vps", "eth0", "203.0.113.7"),
];

/// A folder with the routers' files, and a table `routers` of them; those at home are of that kind.
pub(crate) fn routers(auth: &str, kind: &str) -> Sandbox {
    assert!(is_root(), "this test makes network namespaces: run it as root (`make test` says so)");
    let sandbox = Sandbox::new();
    let inventory = sandbox.read("cluster.yaml");
    let one = format!("  tunnels: {{auth: {auth}, ");
    let changed = inventory.replace("  tunnels: {", &one);
    assert_ne!(changed, inventory, "the inventory says how tunnels are numbered");
    sandbox.write("cluster.yaml", &changed.replace("kind: pfsense", &format!("kind: {kind}")));
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
        fs::create_dir_all(root.join(router)).unwrap();
        let calls = place(root, router, line, address);
        let calls: Vec<String> =
            calls.iter().flat_map(Interface::calls).map(|call| call.join(" ") + "\n").collect();
        sandbox.write(&format!("{router}/interfaces"), &calls.concat());
        table.push(format!("{router} {line} {address}\n"));
    }
    sandbox.write("routers", &table.concat());
    sandbox
}

/// Puts a router's files below `root`, in the layout of Debian's strongSwan.
fn place(root: &Path, router: &str, line: &str, address: &str) -> Vec<Interface> {
    let mut interfaces = Vec::new();
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
        interfaces = made.interfaces;
    } else {
        let copied =
            Command::new("cp").arg("-a").arg(out.join("etc")).arg(root.join(router)).status().unwrap();
        assert!(copied.success());
        let conf = folder.join("conf.d/kmh.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, text.replace("/etc/swanctl/", &format!("{}/", folder.display()))).unwrap();
        fs::write(folder.join("swanctl.conf"), "include conf.d/*.conf\n").unwrap();
    }
    let own = root.join(router).join("etc/strongswan.d/kmh.conf");
    let own = if own.exists() { format!("include {}\n", own.display()) } else { String::new() };
    let settings = format!(
        "{own}charon-systemd {{\n  install_routes = no\n  plugins {{\n    include /etc/strongswan.d/charon/*.conf\n    \
         vici {{\n      socket = unix://{}\n    }}\n  }}\n}}\n",
        root.join(router).join("vici").display()
    );
    fs::write(root.join(router).join("strongswan.conf"), settings).unwrap();
    interfaces
}
