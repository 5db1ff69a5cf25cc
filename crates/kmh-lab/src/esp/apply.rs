//! What a stand-in of pfSense does with a settings document: the part of the program on the box that is the tunnels'.
//!
//! It runs inside the machine, because only there the document has its secrets and the interfaces their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use kmh_cli::{Failure, file};
use serde::Deserialize;

use super::pfsense::{File, Interface, stand_in};
use crate::machine;

/// Where kmh-push puts the document.
const SETTINGS: &str = "/usr/local/etc/kmh/settings.json";
/// swanctl's folder of Debian's.
const SWANCTL: &str = "/etc/swanctl";
/// Where pfSense's own way with routes is told: none by charon.
const CHARON: (&str, &str) = (
    "/etc/strongswan.d/kmh-lab.conf",
    "charon-systemd {\n    install_routes = no\n    install_virtual_ip = no\n}\n",
);
/// Names of children that are begun again, one a line.
pub const KEPT: &str = "/run/kmh-lab-kept";

/// Writes what strongSwan reads, and brings the interfaces about.
pub fn run() -> Result<(), Failure> {
    let settings = file::read(Path::new(SETTINGS))?;
    let links: Vec<Link> = asked(&["-j", "address", "show"])?;
    let addresses: BTreeMap<String, Vec<IpAddr>> = links
        .iter()
        .map(|link| (link.name.clone(), link.addresses.iter().filter_map(Address::global).collect()))
        .collect();
    let made = stand_in(&settings, &addresses)?;
    put(Path::new(SWANCTL), &made.files)?;
    file::make_dir(&Path::new(SWANCTL).join("conf.d"), 0o755)?;
    file::write(&Path::new(SWANCTL).join("conf.d/kmh.conf"), made.conf.as_bytes(), 0o600)?;
    file::write(Path::new(CHARON.0), CHARON.1.as_bytes(), 0o644)?;
    let kept: String = made.kept.iter().flat_map(|child| [child.as_str(), "\n"]).collect();
    file::write(Path::new(KEPT), kept.as_bytes(), 0o644)?;
    let there: BTreeSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
    // Devices of charons go with these, and what stands in the place of one is no tunnel.
    let keeps = Path::new(super::split::TUNNELS).exists();
    for call in calls(&made.interfaces, &there).into_iter().filter(|call| !keeps || call[1] != "delete") {
        machine::output(ip(&call), &[])?;
    }
    Ok(())
}

/// Puts certificates and keys below swanctl's folder. What pfSense wrote there before is gone then: a CA that is trusted no
/// more would be loaded again.
fn put(swanctl: &Path, files: &[File]) -> Result<(), Failure> {
    for folder in ["x509", "x509ca", "private"].map(|name| swanctl.join(name)) {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| unreadable(&folder, error))?,
        };
        for entry in entries {
            let path = entry.map_err(|error| unreadable(&folder, error))?.path();
            if files.iter().all(|one| swanctl.join(&one.path) != path) {
                file::remove(&path)?;
            }
        }
    }
    for one in files {
        let path = swanctl.join(&one.path);
        if let Some(folder) = path.parent() {
            file::make_dir(folder, 0o755)?;
        }
        file::write(&path, &one.content, one.mode)?;
    }
    Ok(())
}

fn unreadable(folder: &Path, error: std::io::Error) -> Failure {
    Failure::world(format!("cannot read `{}`", folder.display())).because(error)
}

/// What is there stays and is set anew; tunnels that are no more go.
fn calls(wanted: &[Interface], there: &BTreeSet<&str>) -> Vec<Vec<String>> {
    let names: BTreeSet<&str> = wanted.iter().map(|interface| interface.name.as_str()).collect();
    let ours = |name: &&&str| {
        name.strip_prefix("ipsec")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit()))
    };
    let gone = there.iter().filter(ours).filter(|name| !names.contains(*name));
    let mut out: Vec<Vec<String>> =
        gone.map(|name| ["link", "delete", "dev", name].map(str::to_owned).to_vec()).collect();
    for interface in wanted {
        let made = there.contains(interface.name.as_str());
        out.extend(interface.calls().into_iter().skip(usize::from(made)));
    }
    out
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "ifname")]
    name: String,
    #[serde(rename = "addr_info", default)]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    scope: Option<String>,
}

impl Address {
    fn global(&self) -> Option<IpAddr> {
        self.local.filter(|_| self.scope.as_deref() == Some("global"))
    }
}

fn ip(args: &[String]) -> Command {
    let mut command = Command::new("ip");
    command.args(args);
    command
}

fn asked<T: serde::de::DeserializeOwned>(args: &[&str]) -> Result<T, Failure> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let text = machine::output(ip(&args), &[])?;
    serde_json::from_str(&text).map_err(|error| Failure::world("cannot read what `ip` says").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_that_is_trusted_no_more_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let one = |path: &str| File { path: path.to_owned(), mode: 0o644, content: b"text".to_vec().into() };
        put(dir.path(), &[one("x509ca/a.0"), one("x509ca/b.0"), one("x509/cert-1.crt")]).unwrap();
        put(dir.path(), &[one("x509ca/b.0"), one("x509/cert-1.crt")]).unwrap();
        let there =
            ["x509ca/a.0", "x509ca/b.0", "x509/cert-1.crt"].map(|path| dir.path().join(path).exists());
        assert_eq!(there, [false, true, true]);
    }

    #[test]
    fn what_is_there_stays_and_what_is_no_more_goes() {
        let interface = |name: &str, if_id| Interface {
            name: name.into(),
            if_id,
            line: "wan".into(),
            mtu: None,
            addresses: vec![("10.255.0.1".parse().unwrap(), 30)],
        };
        let calls = calls(
            &[interface("ipsec1", 1), interface("ipsec2", 2)],
            &BTreeSet::from(["lo", "wan", "ipsec1", "ipsec7", "ipsecx"]),
        );
        assert_eq!(
            calls.iter().map(|call| call.join(" ")).collect::<Vec<_>>(),
            [
                "link delete dev ipsec7",
                "address replace 10.255.0.1/30 dev ipsec1",
                "link set ipsec1 up",
                "link add ipsec2 type xfrm dev wan if_id 2",
                "address replace 10.255.0.1/30 dev ipsec2",
                "link set ipsec2 up",
            ]
        );
    }
}
