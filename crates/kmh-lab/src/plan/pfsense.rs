//! What stands in for a pfSense: FRR with its `frr.conf`, address translation, and strongSwan with what pfSense's own
//! code makes of the settings document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kmh_doc::bundle::UnitAction;
use kmh_doc::inventory::Router;
use kmh_doc::network::{NetworkSpec, RouterPlan};
use kmh_store::wanted::{Wanted, WantedFile};
use serde_json::Value;

use super::machines::file;
use super::segments::flatten;
use crate::args::Carrier;
use crate::services::{RULES, STRONGSWAN, TUNNELS_OF_PFSENSE};

/// What FRR's start script reads; pfSense's package has settings of its own.
const DAEMONS: &str = "bgpd=yes\nbfdd=yes\nvtysh_enable=yes\nzebra_options=\"  -A 127.0.0.1 -s 90000000\"\n\
                       bgpd_options=\"   -A 127.0.0.1\"\nstaticd_options=\"-A 127.0.0.1\"\nbfdd_options=\"   -A 127.0.0.1\"\n";
const FRR: &str = "frr.service";

/// Packet rules of the lab's own.
const RULES_UNIT: &str = "kmh-lab-rules.service";

/// Files and daemons that stand in for a pfSense; why not, when its documents lack something.
pub(super) fn stand_in(
    wanted: &Wanted,
    own: &Router,
    plan: &RouterPlan,
    network: &NetworkSpec,
    tunnels: Carrier,
) -> Result<(Vec<WantedFile>, &'static [&'static str]), String> {
    let named = |name: &str| {
        let mut all = wanted.files.iter();
        all.find(|file| file.path.rsplit('/').next() == Some(name)).map(|file| flatten(&file.content))
    };
    let settings = named("settings.json").ok_or("it has no settings.json")?;
    let settings: Value = serde_json::from_str(&settings).map_err(|error| error.to_string())?;
    let conf = frr_conf(&named("frr.conf").ok_or("it has no frr.conf")?, &settings)?;
    let lines: Vec<String> = own
        .uplinks
        .iter()
        .map(|line| line.interface.as_ref().map_or(line.name.as_str(), |name| name.as_str()).to_owned())
        .collect();
    let vtysh = "service integrated-vtysh-config\n";
    let mut files = vec![
        file("/etc/frr/daemons", "frr:frr", 0o640, DAEMONS, FRR, UnitAction::Restart),
        file("/etc/frr/frr.conf", "frr:frr", 0o640, &conf, FRR, UnitAction::Reload),
        file("/etc/frr/vtysh.conf", "frr:frr", 0o640, vtysh, FRR, UnitAction::Reload),
        file(RULES, "root:root", 0o644, &masquerade(plan, &lines), RULES_UNIT, UnitAction::Reload),
    ];
    if tunnels == Carrier::Plain {
        return Ok((files, &[RULES_UNIT, FRR]));
    }
    let script = interfaces(own.name.as_str(), network);
    files.push(file(SCRIPT, "root:root", 0o755, &script, TUNNELS_OF_PFSENSE, UnitAction::Restart));
    let conf = swanctl_conf(&settings)?;
    let swanctl = |path: &str, mode: u32, text: &str| {
        file(&format!("/etc/swanctl/{path}"), "root:root", mode, text, STRONGSWAN, UnitAction::Reload)
    };
    files.push(swanctl("conf.d/kmh.conf", 0o600, &conf));
    files.push(file(
        "/etc/strongswan.d/kmh.conf",
        "root:root",
        0o644,
        CHARON,
        STRONGSWAN,
        UnitAction::Restart,
    ));
    // Only where tunnels have certificates.
    for (name, path, mode) in [
        ("ca.crt", "x509ca/ca.crt", 0o644),
        ("router.crt", "x509/router.crt", 0o644),
        ("router.key", "private/router.key", 0o600),
    ] {
        if let Some(text) = named(name) {
            files.push(swanctl(path, mode, &text));
        }
    }
    Ok((files, &[RULES_UNIT, TUNNELS_OF_PFSENSE, STRONGSWAN, FRR]))
}

/// Makes the tunnels' interfaces.
const SCRIPT: &str = "/usr/local/lib/kmh/lab-tunnels.sh";

/// Routes are BGP's.
const CHARON: &str = "charon {\n    install_routes = no\n    install_virtual_ip = no\n}\ncharon-systemd {\n    install_routes = no\n    \
                      install_virtual_ip = no\n}\n";

/// Interfaces under the names that pfSense gives them, with the tunnel's number for `if_id`.
fn interfaces(router: &str, network: &NetworkSpec) -> String {
    let mut out = "#!/bin/sh\nset -eu\n".to_owned();
    for tunnel in &network.tunnels {
        for end in tunnel.ends.iter().filter(|end| end.router == router) {
            let name = &end.interface;
            let _ = writeln!(
                out,
                "[ -e '/sys/class/net/{name}' ] || ip link add '{name}' type xfrm dev '{}' if_id {}\nip link set '{name}' mtu {} up",
                end.uplink_interface, tunnel.index, tunnel.mtu
            );
            for (address, net) in end.addresses.iter().zip(&tunnel.networks) {
                let _ =
                    writeln!(out, "ip address replace '{address}/{}' dev '{name}'", net.net().prefix_len());
            }
        }
    }
    out
}

/// `swanctl.conf` as pfSense's code writes it from phases 1 and 2, but for the mode of its tunnels: FreeBSD's interfaces
/// are found by reqid, Linux' by `if_id`.
fn swanctl_conf(settings: &Value) -> Result<String, String> {
    let rows = |name: &str| settings["ipsec"][name].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut connections, mut secrets) = (String::new(), String::new());
    for one in rows("phase1") {
        let text = |key: &str| one[key].as_str().ok_or_else(|| format!("phase 1 has no `{key}`"));
        let id = one["ikeid"].as_u64().ok_or("phase 1 has no `ikeid`")?;
        let twos: Vec<&Value> = rows("phase2").iter().filter(|two| two["ikeid"] == one["ikeid"]).collect();
        let two = twos.first().ok_or_else(|| format!("phase 1 {id} has no phase 2"))?;
        let item = &one["encryption"]["item"][0];
        let (here, there) = (text("myid_data")?, text("peerid_data")?);
        let (auth, local, remote) = if text("authentication_method")? == "pre_shared_key" {
            let _ = writeln!(
                secrets,
                "    ike-{id} {{\n        id-0 = {here}\n        id-1 = {there}\n        secret = \"{}\"\n    }}",
                text("pre-shared-key")?
            );
            ("psk", "", "")
        } else {
            let certificate = "            certs = /etc/swanctl/x509/router.crt\n";
            ("pubkey", certificate, "            cacerts = /etc/swanctl/x509ca/ca.crt\n")
        };
        let yes = |condition: bool| if condition { "yes" } else { "no" };
        let start = if one["startaction"] == "start" { "start" } else { "none" };
        let _ = write!(
            connections,
            "    con{id} {{\n        version = 2\n        local_addrs = %any\n        remote_addrs = {}\n        proposals = {}\n        \
             mobike = {}\n        encap = {}\n        dpd_delay = {}s\n        rekey_time = {}s\n        keyingtries = 0\n        \
             unique = replace\n        local {{\n            auth = {auth}\n{local}            id = fqdn:{here}\n        }}\n        \
             remote {{\n            auth = {auth}\n{remote}            id = fqdn:{there}\n        }}\n        children {{\n            \
             con{id} {{\n                local_ts = 0.0.0.0/0,::/0\n                remote_ts = 0.0.0.0/0,::/0\n                \
             if_id_in = {id}\n                if_id_out = {id}\n                esp_proposals = {}\n                \
             rekey_time = {}s\n                start_action = {start}\n                close_action = {start}\n                \
             dpd_action = {}\n            }}\n        }}\n    }}\n",
            text("remote-gateway")?,
            ike(item)?,
            yes(one["mobike"] == "on"),
            yes(one["nat_traversal"] == "force"),
            text("dpd_delay")?,
            text("lifetime")?,
            esp(two)?,
            two["lifetime"].as_str().unwrap_or("3600"),
            if start == "start" { "restart" } else { "clear" },
        );
    }
    Ok(format!("connections {{\n{connections}}}\nsecrets {{\n{secrets}}}\n"))
}

/// A cipher as strongSwan calls it, and whether it brings its own integrity.
fn cipher(value: &Value) -> Result<(String, bool), String> {
    let name = value["name"].as_str().ok_or("a cipher without a name")?;
    let length = value["keylen"].as_str().unwrap_or_default();
    Ok((format!("{name}{length}"), name.ends_with("gcm") || name.contains("poly1305")))
}

fn group(value: &Value) -> Result<&'static str, String> {
    match value.as_str() {
        Some("14") => Ok("modp2048"),
        Some("19") => Ok("ecp256"),
        Some("20") => Ok("ecp384"),
        Some("21") => Ok("ecp521"),
        Some("31") => Ok("curve25519"),
        _ => Err(format!("a group that kmh-lab does not know: {value}")),
    }
}

fn ike(item: &Value) -> Result<String, String> {
    let (name, aead) = cipher(&item["encryption-algorithm"])?;
    let hash = item["hash-algorithm"].as_str().ok_or("a proposal without a hash")?;
    // With an AEAD cipher the hash is the PRF.
    let prf = if aead { "prf" } else { "" };
    Ok(format!("{name}-{prf}{hash}-{}", group(&item["dhgroup"])?))
}

fn esp(two: &Value) -> Result<String, String> {
    let (name, aead) = cipher(&two["encryption-algorithm-option"][0])?;
    let hmac = two["hash-algorithm-option"][0].as_str().filter(|_| !aead);
    let hmac = hmac.map(|hmac| format!("-{}", hmac.trim_start_matches("hmac_"))).unwrap_or_default();
    Ok(format!("{name}{hmac}-{}", group(&two["pfsgroup"])?))
}

/// The `frr.conf` of a pfSense. There the kernel signs with what the settings say, and FRR's own password is only a word
/// that makes it ask; here FRR's is what counts, so the settings' is put there.
fn frr_conf(conf: &str, settings: &Value) -> Result<String, String> {
    let mut passwords = BTreeMap::new();
    collect_passwords(settings, &mut passwords);
    let mut out = String::new();
    for line in conf.lines() {
        if let ["neighbor", peer, "password", _] = line.split_whitespace().collect::<Vec<_>>()[..] {
            let password =
                passwords.get(peer).ok_or_else(|| format!("its settings have no key for {peer}"))?;
            let _ = writeln!(out, " neighbor {peer} password {password}");
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    Ok(out)
}

/// Rows of pfSense's settings that name a peer and the key of its TCP signatures.
fn collect_passwords<'a>(value: &'a Value, found: &mut BTreeMap<&'a str, &'a str>) {
    if let (Some(peer), Some(key)) = (value["tcpsigdst"].as_str(), value["tcpsigpw"].as_str()) {
        found.insert(peer, key);
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| collect_passwords(member, found)),
        Value::Array(items) => items.iter().for_each(|item| collect_passwords(item, found)),
        _ => {}
    }
}

/// What leaves by a pfSense's lines with their address.
fn masquerade(plan: &RouterPlan, lines: &[String]) -> String {
    let quoted: Vec<String> = lines.iter().map(|line| format!("\"{line}\"")).collect();
    let mut rules = String::new();
    for rule in &plan.masquerade {
        let v6 = rule.from.iter().any(|net| net.net().addr().is_ipv6());
        let family = if v6 { "ip6" } else { "ip" };
        let list = |nets: &[kmh_doc::Cidr]| {
            nets.iter().map(|net| net.net().to_string()).collect::<Vec<_>>().join(", ")
        };
        let except = if rule.except.is_empty() {
            String::new()
        } else {
            format!(" {family} daddr != {{ {} }}", list(&rule.except))
        };
        let _ = writeln!(
            rules,
            "        oifname {{ {} }} {family} saddr {{ {} }}{except} masquerade",
            quoted.join(", "),
            list(&rule.from)
        );
    }
    format!(
        "table inet kmh_lab\ndelete table inet kmh_lab\ntable inet kmh_lab {{\n    chain translate {{\n        type nat hook \
         postrouting priority srcnat; policy accept;\n{rules}    }}\n}}\n"
    )
}
