//! Files and daemons of every machine: those of the bundle, and what a lab adds where a machine is something that Debian
//! is not, or runs what a rehearsal does without.

use std::collections::BTreeMap;

use kmh_doc::bundle::{MachineKind, OnChange, UnitAction};
use kmh_doc::inventory::{RouterKind, Ssh};
use kmh_store::wanted::{Wanted, WantedFile};

use super::calico::{self, Told};
use super::segments::{content, flatten, marked};
use super::{Draft, MachinePlan, OPERATOR, machine_of, pfsense, services};
use crate::services::{BIRD_OF_NODE, IPSEC, RULES, SSHD, is_known};
use crate::state::Role;

/// A file that the lab adds.
pub(super) fn file(
    path: &str,
    owner: &str,
    mode: u32,
    text: &str,
    unit: &str,
    action: UnitAction,
) -> WantedFile {
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
        // The cluster's own manifests lie on a node, and so does the unit that applies them.
        for wanted in bundle.iter().filter(|wanted| wanted.kind == MachineKind::Cluster) {
            let host = wanted.host().unwrap_or_default();
            let mut nodes = self.inventory.nodes.iter();
            let node = nodes.find(|node| {
                let ssh = node.ssh.as_ref().and_then(|ssh| ssh.host.as_ref());
                ssh.is_some_and(|name| name.as_str() == host)
                    || node.address.iter().any(|address| address.to_string() == host)
            });
            if let Some(machine) = node.and_then(|node| self.plan.machines.get_mut(node.name.as_str())) {
                machine.idle.extend(wanted.units.iter().map(|unit| unit.name.clone()));
            }
        }
        if self.plan.wires.spaces.contains(OPERATOR) {
            let operator = MachinePlan {
                role: Role::Operator,
                site: None,
                roles: Vec::new(),
                arch: None,
                ssh: Ssh::default(),
                files: Vec::new(),
                services: Vec::new(),
                idle: Vec::new(),
                artifacts: Vec::new(),
                full: false,
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
        let esp = self.tunnels.encrypts();
        let own = wanted.units.iter().map(|unit| unit.name.as_str());
        let (run, idle): (Vec<&str>, Vec<&str>) = own.partition(|unit| is_known(unit, esp));
        let all = [SSHD].into_iter().chain(run).chain(units.iter().copied());
        let node = self.inventory.nodes.iter().find(|node| node.name.as_str() == name);
        let machine = self.plan.machines.entry(name.to_owned()).or_insert_with(|| MachinePlan {
            role,
            site: wanted.site.clone(),
            roles: wanted.roles.clone(),
            arch: node.map(|node| node.arch),
            ssh: wanted.ssh.clone(),
            files: Vec::new(),
            services: Vec::new(),
            idle: Vec::new(),
            artifacts: wanted.artifacts.clone(),
            full: false,
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
        let ranges: Vec<_> = self.inventory.cluster.pod_cidrs.iter().map(|net| net.net()).collect();
        let rules = services::rules(&self.plan.services, &node.name, &ranges);
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
            let more = self.tunnels_file(&machine, "strongswan.service").into_iter().collect();
            return self.machine(&machine, Role::Router, wanted, more, &[]);
        }
        let (mut files, units) = match pfsense::stand_in(wanted, own, plan, self.tunnels) {
            Ok(stand_in) => stand_in,
            Err(why) => {
                let message = format!("pfSense `{}` cannot be stood in for: {why}", wanted.name);
                return self.fault(message, "render the bundle again");
            }
        };
        files.extend(self.tunnels_file(&machine, IPSEC));
        self.machine(&machine, Role::Router, wanted, files, units);
        if !self.tunnels.encrypts() {
            return;
        }
        // strongSwan is told anew what pfSense would tell its own.
        let files = self.plan.machines.get_mut(&machine).into_iter().flat_map(|machine| &mut machine.files);
        for file in files.filter(|file| file.path.ends_with("/settings.json")) {
            file.on_change.push(OnChange { unit: IPSEC.to_owned(), action: UnitAction::Reload });
        }
    }
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
