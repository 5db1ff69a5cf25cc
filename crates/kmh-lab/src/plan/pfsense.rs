//! What stands in for a pfSense: FRR with its `frr.conf`, and address translation. Its IPsec is [`crate::esp`]'s.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kmh_doc::bundle::UnitAction;
use kmh_doc::inventory::Router;
use kmh_doc::network::RouterPlan;
use kmh_store::wanted::{Wanted, WantedFile};
use serde_json::Value;

use super::machines::file;
use super::segments::flatten;
use crate::args::Carrier;
use crate::services::{IPSEC, RULES};

/// What FRR's start script reads; pfSense's package has settings of its own, and no watchfrr, which kills what loads the
/// configuration after 20 s unless told otherwise.
const DAEMONS: &str = "bgpd=yes\nbfdd=yes\nvtysh_enable=yes\nzebra_options=\"  -A 127.0.0.1 -s 90000000\"\n\
                       bgpd_options=\"   -A 127.0.0.1\"\nstaticd_options=\"-A 127.0.0.1\"\nbfdd_options=\"   -A 127.0.0.1\"\n\
                       watchfrr_options=\"-T 100\"\n";
const FRR: &str = "frr.service";

/// Packet rules of the lab's own.
const RULES_UNIT: &str = "kmh-lab-rules.service";

/// Files and daemons that stand in for a pfSense; why not, when its documents lack something.
pub(super) fn stand_in(
    wanted: &Wanted,
    own: &Router,
    plan: &RouterPlan,
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
    let files = vec![
        file("/etc/frr/daemons", "frr:frr", 0o640, DAEMONS, FRR, UnitAction::Restart),
        file("/etc/frr/frr.conf", "frr:frr", 0o640, &conf, FRR, UnitAction::Reload),
        file("/etc/frr/vtysh.conf", "frr:frr", 0o640, vtysh, FRR, UnitAction::Reload),
        file(RULES, "root:root", 0o644, &masquerade(plan, &lines), RULES_UNIT, UnitAction::Reload),
    ];
    if tunnels == Carrier::Plain {
        return Ok((files, &[RULES_UNIT, FRR]));
    }
    Ok((files, &[RULES_UNIT, IPSEC, FRR]))
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
