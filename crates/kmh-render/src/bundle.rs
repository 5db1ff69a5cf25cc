//! The whole: a pure function from the model, the PKI and the network to the bundle.

use std::collections::BTreeSet;

use kmh_doc::bundle::{Artifact, BundleSpec, File, Machine, MachineKind, Unit};
use kmh_doc::inventory::{Role, RouterKind};
use kmh_doc::network::NetworkSpec;
use kmh_doc::pki::PkiSpec;
use kmh_model::{Model, Node, Router};
use rayon::prelude::*;

use crate::engine::{Engine, cut, plain};
use crate::fault::Fault;
use crate::files::{Content, FILES, NODE_UNITS, PfsenseView, READY, ROUTER_UNITS, Row, is_static};
use crate::pki::on_change;
use crate::shared::{ClusterTarget, NodeTarget, RouterTarget, Shared};
use crate::versions;
use crate::view::{View, frr, pfsense};

/// Something that is rendered for.
enum Target<'a> {
    Node(&'a Node),
    Router(&'a Router),
    Cluster(&'a Node),
}

/// The machines that there are: name, site and roles, as `--limit` chooses by them.
pub fn machines(model: &Model) -> Vec<(&str, Option<&str>, Vec<&'static str>)> {
    let nodes = model.nodes.values().map(|node| {
        (
            node.name.as_str(),
            Some(node.site.as_str()),
            node.roles.iter().map(|role| role_name(*role)).collect(),
        )
    });
    let routers =
        model.routers.iter().map(|router| (router.name.as_str(), Some(router.site.as_str()), Vec::new()));
    nodes.chain(routers).chain([(CLUSTER, None, Vec::new())]).collect()
}

/// Renders the machines of these names, or all. They are independent of each other, and rendered side by side.
pub fn bundle(
    model: &Model,
    pki: &PkiSpec,
    network: &NetworkSpec,
    only: Option<&BTreeSet<String>>,
) -> Result<BundleSpec, Vec<Fault>> {
    let shared = Shared::new(model, pki, network)?;
    let engine = Engine::new().map_err(|fault| vec![fault])?;
    let chosen = |name: &str| only.is_none_or(|only| only.contains(name));
    let nodes = model.nodes.values().filter(|node| chosen(node.name.as_str())).map(Target::Node);
    let routers = model.routers.iter().filter(|router| chosen(router.name.as_str())).map(Target::Router);
    let host = model.nodes_with(Role::ControlPlane).next().filter(|_| chosen(CLUSTER));
    let targets: Vec<Target<'_>> = nodes.chain(routers).chain(host.map(Target::Cluster)).collect();

    let results: Vec<Result<Machine, Vec<Fault>>> = targets
        .par_iter()
        .map(|target| match target {
            Target::Node(node) => {
                shared.node(node).map_err(|fault| vec![fault]).and_then(|t| node_machine(&engine, &t))
            }
            Target::Router(router) => {
                shared.router(router).map_err(|fault| vec![fault]).and_then(|t| router_machine(&engine, &t))
            }
            Target::Cluster(host) => cluster_machine(&engine, &ClusterTarget { shared: &shared, host }),
        })
        .collect();
    let mut machines = Vec::with_capacity(results.len());
    let mut faults = Vec::new();
    for result in results {
        match result {
            Ok(machine) => machines.push(machine),
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(BundleSpec { store: pki.store.clone(), planned: pki.planned, machines })
}

/// The name of the target for manifests.
const CLUSTER: &str = "cluster";

fn role_name(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => "control-plane",
        Role::Etcd => "etcd",
        Role::Worker => "worker",
    }
}

/// Files and faults of a machine in the making.
struct Making<'a> {
    engine: &'a Engine,
    netns: &'a str,
    files: Vec<File>,
    faults: Vec<Fault>,
}

impl<'a> Making<'a> {
    fn new(engine: &'a Engine, netns: &'a str) -> Self {
        Self { engine, netns, files: Vec::with_capacity(48), faults: Vec::new() }
    }

    fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn add(&mut self, row: &Row, view: Result<View, Fault>) {
        let content = view.and_then(|view| {
            let text = self.engine.fill(row.template, view.value)?;
            if row.secret { cut(&text, &view.slots) } else { Ok(plain(text)) }
        });
        if let Some(content) = self.take(content) {
            self.files.push(File {
                path: row.path(self.netns),
                owner: row.owner.to_owned(),
                mode: row.mode.to_owned(),
                content,
                origin: format!("template:{}", row.template),
                on_change: row.changes(self.netns),
            });
        }
    }

    fn finish(
        mut self,
        pki: Result<Vec<File>, Fault>,
        machine: impl FnOnce(Vec<File>) -> Machine,
    ) -> Result<Machine, Vec<Fault>> {
        let placed = self.take(pki).unwrap_or_default();
        self.files.extend(placed);
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        for pair in self.files.windows(2) {
            if let [first, second] = pair
                && first.path == second.path
            {
                self.faults.push(Fault::new(format!(
                    "`{}` comes from `{}` and from `{}`",
                    first.path, first.origin, second.origin
                )));
            }
        }
        if self.faults.is_empty() { Ok(machine(self.files)) } else { Err(self.faults) }
    }
}

fn units(names: Vec<String>) -> Vec<Unit> {
    names.into_iter().map(|name| Unit { enable: !is_static(&name), name, ready: Vec::new() }).collect()
}

/// The units of a node: those that the cluster needs most of can be asked whether they serve.
fn node_units(t: &NodeTarget<'_>, names: &[&str]) -> Result<Vec<Unit>, Fault> {
    let mut units = units(names.iter().map(ToString::to_string).collect());
    for unit in &mut units {
        let ready = READY.iter().find(|(name, _)| *name == unit.name);
        unit.ready = ready.map_or(Ok(Vec::new()), |(_, command)| command(t))?;
    }
    Ok(units)
}

fn node_machine(engine: &Engine, t: &NodeTarget<'_>) -> Result<Machine, Vec<Fault>> {
    let node = t.node;
    let name = node.name.as_str();
    let mut making = Making::new(engine, "");
    for row in FILES {
        if let Content::Node(when, view) = row.content
            && when(t)
        {
            making.add(row, view(t));
        }
    }
    let names: Vec<&str> = NODE_UNITS.iter().filter(|(_, when)| when(t)).map(|(unit, _)| *unit).collect();
    let minor = t.shared.versions.minor;
    let pki = t.shared.pki.files(name, |subject| on_change(subject, &names, minor));
    let units = making.take(node_units(t, &names)).unwrap_or_default();
    making.finish(pki, |files| Machine {
        name: name.to_owned(),
        kind: MachineKind::Node,
        site: Some(node.site.to_string()),
        roles: node.roles.iter().copied().collect(),
        arch: Some(node.arch),
        address: node.addresses.first().map(ToString::to_string),
        ssh: node.ssh.clone(),
        files,
        units,
        artifacts: versions::node_artifacts(t.shared, node),
    })
}

fn router_machine(engine: &Engine, t: &RouterTarget<'_>) -> Result<Machine, Vec<Fault>> {
    let router = t.router;
    let name = router.name.as_str();
    let netns = router.netns.as_ref().map_or("", |netns| netns.as_str());
    let mut making = Making::new(engine, netns);
    let linux = router.kind == RouterKind::Linux;
    for row in FILES {
        match row.content {
            Content::Linux(when, view) if linux && when(t) => making.add(row, view(t)),
            Content::Pfsense(PfsenseView::Frr) if !linux => making.add(row, frr::pfsense(t)),
            Content::Pfsense(PfsenseView::Settings) if !linux => {
                let text = frr::pfsense(t).and_then(|view| engine.fill("frr/frr.conf.j2", view.value));
                making.add(row, text.and_then(|text| pfsense::settings(t, &text)));
            }
            _ => {}
        }
    }
    let started = ROUTER_UNITS.iter().filter(|(_, when)| linux && when(t));
    let names: Vec<String> = started.map(|(unit, _)| unit.replace("{netns}", netns)).collect();
    let told: Vec<&str> = names.iter().map(String::as_str).collect();
    let pki = t.shared.pki.files(name, |subject| on_change(subject, &told, t.shared.versions.minor));
    making.finish(pki, |files| Machine {
        name: name.to_owned(),
        kind: router.kind.into(),
        site: Some(router.site.to_string()),
        roles: Vec::new(),
        arch: None,
        address: router.addresses.first().map(ToString::to_string),
        ssh: router.ssh.clone(),
        files,
        units: units(names.clone()),
        artifacts: Vec::new(),
    })
}

fn cluster_machine(engine: &Engine, t: &ClusterTarget<'_>) -> Result<Machine, Vec<Fault>> {
    let host = t.host;
    let mut making = Making::new(engine, "");
    for row in FILES {
        if let Content::Cluster(when, view) = row.content
            && when(t)
        {
            making.add(row, view(t));
        }
    }
    let v = &t.shared.versions;
    let crds: Artifact = versions::calico_crds(&v.calico, v.calico_minor, host.arch);
    making.finish(Ok(Vec::new()), |files| Machine {
        name: CLUSTER.to_owned(),
        kind: MachineKind::Cluster,
        site: None,
        roles: Vec::new(),
        arch: None,
        address: host.addresses.first().map(ToString::to_string),
        ssh: host.ssh.clone(),
        files,
        units: units(vec!["kmh-cluster.service".to_owned()]),
        artifacts: vec![crds],
    })
}
