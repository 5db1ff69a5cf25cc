//! Files and daemons of every machine: those of the bundle, and what a lab adds where a machine is something that Debian
//! is not, or runs what a rehearsal does without.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kmh_doc::bundle::{MachineKind, OnChange, UnitAction};
use kmh_doc::inventory::{RouterKind, Ssh};
use kmh_doc::network::RouterPlan;
use kmh_store::wanted::{Wanted, WantedFile};
use serde_json::Value;

use super::calico::{self, Told};
use super::segments::{content, flatten, marked};
use super::{Draft, MachinePlan, OPERATOR, machine_of, services};
use crate::args::Carrier;
use crate::services::{BIRD_OF_NODE, IPSEC, RULES, SSHD, is_known};
use crate::state::Role;

/// What FRR's start script reads; pfSense's package has settings of its own.
const DAEMONS: &str = "bgpd=yes\nbfdd=yes\nvtysh_enable=yes\nzebra_options=\"  -A 127.0.0.1 -s 90000000\"\n\
                       bgpd_options=\"   -A 127.0.0.1\"\nstaticd_options=\"-A 127.0.0.1\"\nbfdd_options=\"   -A 127.0.0.1\"\n";
const FRR: &str = "frr.service";

/// A file that the lab adds.
fn file(path: &str, owner: &str, mode: u32, text: &str, unit: &str, action: UnitAction) -> WantedFile {
    WantedFile {
        path: path.to_owned(),
        owner: owner.to_owned(),
        mode,
        content: content(text),
        on_change: vec![OnChange { unit: unit.to_owned(), action }],
    }
}

impl Draft<'_> {
    pub(super) fn machines(&mut self, bundle: &[Wanted]) {
        let passwords = passwords(bundle);
        for wanted in bundle.iter().filter(|wanted| wanted.kind != MachineKind::Cluster) {
            match wanted.kind {
                MachineKind::Node => self.node_machine(wanted, &passwords),
                MachineKind::LinuxRouter | MachineKind::Pfsense => self.router_machine(wanted),
                MachineKind::Cluster => {}
            }
        }
        if self.plan.wires.spaces.contains(OPERATOR) {
            let operator = MachinePlan {
                role: Role::Operator,
                site: None,
                arch: None,
                ssh: Ssh::default(),
                files: Vec::new(),
                services: Vec::new(),
                idle: Vec::new(),
            };
            self.plan.machines.insert(OPERATOR.to_owned(), operator);
        }
        let nodes = self.network.nodes.iter().map(|node| node.name.clone());
        let routers = self.routers().into_iter().map(|(own, _)| machine_of(own).to_owned());
        let missing: Vec<String> =
            nodes.chain(routers).filter(|name| !self.plan.machines.contains_key(name)).collect();
        for name in missing {
            self.fault(
                format!("machine `{name}` of the network is not in the bundle"),
                "render the whole bundle again, without --limit",
            );
        }
    }

    fn machine(&mut self, name: &str, role: Role, wanted: &Wanted, more: Vec<WantedFile>, units: &[&str]) {
        let esp = self.tunnels == Carrier::Esp;
        let own = wanted.units.iter().map(|unit| unit.name.as_str());
        let (run, idle): (Vec<&str>, Vec<&str>) = own.partition(|unit| is_known(unit, esp));
        let all = [SSHD].into_iter().chain(run).chain(units.iter().copied());
        let node = self.inventory.nodes.iter().find(|node| node.name.as_str() == name);
        let machine = self.plan.machines.entry(name.to_owned()).or_insert_with(|| MachinePlan {
            role,
            site: wanted.site.clone(),
            arch: node.map(|node| node.arch),
            ssh: wanted.ssh.clone(),
            files: Vec::new(),
            services: Vec::new(),
            idle: Vec::new(),
        });
        for unit in all.map(str::to_owned) {
            if !machine.services.contains(&unit) {
                machine.services.push(unit);
            }
        }
        machine.idle.extend(idle.into_iter().map(str::to_owned));
        machine.files.extend(wanted.files.iter().cloned().chain(more));
        machine.files.sort_by(|a, b| a.path.cmp(&b.path));
        machine.files.dedup_by(|a, b| a.path == b.path);
    }

    fn node_machine(&mut self, wanted: &Wanted, passwords: &BTreeMap<(String, String), String>) {
        let Some(node) = self.network.nodes.iter().find(|node| node.name == wanted.name) else { return };
        let told = Told {
            inventory: self.inventory,
            network: self.network,
            ground: self.ground,
            services: &self.plan.services,
            passwords,
        };
        let conf = match calico::conf(&told, node) {
            Ok(conf) => conf,
            Err(why) => {
                let message = format!("node `{}` would have {why}, which kmh-lab cannot imitate", node.name);
                return self
                    .fault(message, "a rehearsal without it would prove nothing; leave it out for now");
            }
        };
        let rules = services::rules(&self.plan.services, &node.name);
        let more = vec![
            file("/etc/bird/bird.conf", "root:root", 0o600, &conf, BIRD_OF_NODE, UnitAction::Reload),
            file(RULES, "root:root", 0o644, &rules, "kmh-lab-rules.service", UnitAction::Reload),
        ];
        let name = node.name.clone();
        self.machine(&name, Role::Node, wanted, more, &["kmh-lab-rules.service", BIRD_OF_NODE]);
    }

    fn router_machine(&mut self, wanted: &Wanted) {
        let found = self.routers().into_iter().find(|(own, _)| own.name.as_str() == wanted.name);
        let Some((own, plan)) = found else { return };
        let machine = machine_of(own).to_owned();
        if own.kind == RouterKind::Linux {
            return self.machine(&machine, Role::Router, wanted, Vec::new(), &[]);
        }
        let conf = match stand_in(wanted) {
            Ok(conf) => conf,
            Err(why) => {
                let message = format!("pfSense `{}` cannot be stood in for: {why}", wanted.name);
                return self.fault(message, "render the bundle again");
            }
        };
        let lines: Vec<String> = own
            .uplinks
            .iter()
            .map(|line| line.interface.as_ref().map_or(line.name.as_str(), |name| name.as_str()).to_owned())
            .collect();
        let more = vec![
            file("/etc/frr/daemons", "frr:frr", 0o640, DAEMONS, FRR, UnitAction::Restart),
            file("/etc/frr/frr.conf", "frr:frr", 0o640, &conf, FRR, UnitAction::Reload),
            file(
                "/etc/frr/vtysh.conf",
                "frr:frr",
                0o640,
                "service integrated-vtysh-config\n",
                FRR,
                UnitAction::Reload,
            ),
            file(
                RULES,
                "root:root",
                0o644,
                &masquerade(plan, &lines),
                "kmh-lab-rules.service",
                UnitAction::Reload,
            ),
        ];
        let rules = "kmh-lab-rules.service";
        if self.tunnels != Carrier::Esp {
            return self.machine(&machine, Role::Router, wanted, more, &[rules, FRR]);
        }
        self.machine(&machine, Role::Router, wanted, more, &[rules, IPSEC, FRR]);
        let files = self.plan.machines.get_mut(&machine).into_iter().flat_map(|machine| &mut machine.files);
        for file in files.filter(|file| file.path.ends_with("/settings.json")) {
            file.on_change.push(OnChange { unit: IPSEC.to_owned(), action: UnitAction::Reload });
        }
    }
}

/// The `frr.conf` of a pfSense. There the kernel signs with what the settings say, and FRR's own password is only a word
/// that makes it ask; here FRR's is what counts, so the settings' is put there.
fn stand_in(wanted: &Wanted) -> Result<String, String> {
    let named = |name: &str| {
        let mut all = wanted.files.iter();
        all.find(|file| file.path.rsplit('/').next() == Some(name)).map(|file| flatten(&file.content))
    };
    let conf = named("frr.conf").ok_or("it has no frr.conf")?;
    let settings = named("settings.json").ok_or("it has no settings.json")?;
    let settings: Value = serde_json::from_str(&settings).map_err(|error| error.to_string())?;
    let mut passwords = BTreeMap::new();
    collect_passwords(&settings, &mut passwords);
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

/// Keys in the Secrets among the cluster's manifests: the reference of each, by the Secret's name and the key's.
fn passwords(bundle: &[Wanted]) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    let cluster = bundle.iter().filter(|wanted| wanted.kind == MachineKind::Cluster);
    for file in cluster.flat_map(|wanted| &wanted.files).filter(|file| file.is_secret()) {
        for manifest in flatten(&file.content).split("\n---") {
            let plain = manifest.replace('"', "");
            let name = plain.lines().find_map(|line| line.strip_prefix("  name: "));
            let Some(name) = name.filter(|_| plain.contains("kind: Secret\n")) else { continue };
            for (key, value) in plain.lines().filter_map(|line| line.trim().split_once(": ")) {
                if let Some(reference) = marked(value) {
                    found.insert((name.to_owned(), key.to_owned()), reference.to_owned());
                }
            }
        }
    }
    found
}
