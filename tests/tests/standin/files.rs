//! The files of a router's charon, in a folder that stands for its root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use kmh_lab::esp::pfsense::{Interface, stand_in};

/// Where a pfSense has its settings.
pub(crate) const SETTINGS: &str = "usr/local/etc/kmh/settings.json";

/// Puts what was pushed to `from` below `to`, in the layout of Debian's strongSwan: a Linux router's files, or what stands in
/// for a pfSense's, and the interfaces of that.
pub(crate) fn lay(from: &Path, to: &Path, line: &str, address: &str) -> Vec<Interface> {
    let folder = to.join("etc/swanctl");
    if let Ok(settings) = fs::read(from.join(SETTINGS)) {
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
        return made.interfaces;
    }
    let copied = Command::new("cp").arg("-a").arg(from.join("etc")).arg(to).status().unwrap();
    assert!(copied.success());
    // Paths are those of the router; here they lie below its folder.
    let conf = folder.join("conf.d/kmh.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace("/etc/swanctl/", &format!("{}/", folder.display()))).unwrap();
    fs::write(folder.join("swanctl.conf"), "include conf.d/*.conf\n").unwrap();
    Vec::new()
}

/// What a charon of that folder is started with: the router's own settings, and a socket beside them.
pub(crate) fn charon_settings(root: &Path) -> String {
    let own = root.join("etc/strongswan.d/kmh.conf");
    let own = if own.exists() { format!("include {}\n", own.display()) } else { String::new() };
    format!(
        "{own}charon-systemd {{\n  install_routes = no\n  plugins {{\n    include /etc/strongswan.d/charon/*.conf\n    \
         vici {{\n      socket = unix://{}\n    }}\n  }}\n}}\n",
        root.join("vici").display()
    )
}
