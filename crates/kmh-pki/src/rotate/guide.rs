//! What has to follow a step of a rotation before the next one: which machines, in which order, and who is told. Pure;
//! who must be told is [`kmh_model::reload`]'s to say.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::bundle::UnitAction;
use kmh_doc::inventory::Role;
use kmh_doc::pki::{KeyClass, Rotating};
use kmh_model::Model;
use kmh_model::reload::{CONSUMERS, Held, IN_TURN, of};
use serde::Serialize;

use super::commands::Commands;
use super::plan::{Act, Decision, by_hand};
use crate::want::Wants;

/// One thing to do, after all before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Todo {
    /// What kind of thing.
    pub kind: Kind,
    /// What, and why.
    pub say: String,
    /// The command that does it, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The machines that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<String>,
    /// Units that are told on each of these, in order; a push tells them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Told>,
    /// Programs that pick it up by themselves, with the setting that names the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_themselves: Vec<String>,
}

/// Kinds of things to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Documents are made anew.
    Document,
    /// A push to all machines.
    Push,
    /// Of that push: machines of which each must serve again before the next is touched; the push sees to it.
    DeployOne,
    /// Of that push: machines in any order.
    Deploy,
    /// What a push has put on machines and does not apply.
    Apply,
    /// What runs in the cluster or people hold.
    Cluster,
    /// Time has to pass.
    Wait,
    /// The next call.
    Next,
    /// A CA elsewhere signs, and what it signed comes back.
    Sign,
}

/// A unit that is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Told {
    /// The unit.
    pub unit: String,
    /// How.
    pub action: UnitAction,
    /// Settings that name what changed and that it does not read again by itself.
    pub because: Vec<String>,
}

/// What changes on each machine.
pub fn changed(decision: Decision, model: &Model, wants: &Wants) -> BTreeMap<String, BTreeSet<Held>> {
    let subject = decision.name.subject();
    let mut found: BTreeMap<String, BTreeSet<Held>> = BTreeMap::new();
    let mut note = |machine: &str, held: Held| {
        found.entry(machine.to_owned()).or_default().insert(held);
    };
    if let Some(class) = decision.name.authority() {
        // The file of what is trusted is the same before and after the new CA begins to sign; where each CA has a file
        // of its own, the two change places.
        if decision.act != Act::Switch || decision.name == Rotating::Ipsec {
            for place in wants.certificates.get(&subject).into_iter().flat_map(|ca| &ca.deploy) {
                note(&place.machine, Held::Certificate(class));
            }
        }
        let leaves = wants.certificates.values().filter(|leaf| leaf.issuer.as_deref() == Some(&subject));
        for leaf in leaves.filter(|_| decision.act == Act::Switch) {
            for place in &leaf.deploy {
                note(&place.machine, Held::Certificate(leaf.class));
            }
        }
        return found;
    }
    let held = match (decision.name, decision.act) {
        (Rotating::Encryption, _) => Held::Private(KeyClass::Encryption),
        // All public halves were there before the new key began to sign.
        (_, Act::Switch) => Held::Private(KeyClass::ServiceAccount),
        _ => Held::Public(KeyClass::ServiceAccount),
    };
    for node in model.nodes_with(Role::ControlPlane) {
        note(node.name.as_str(), held);
    }
    found
}

/// Who is told on a machine, and who needs not be.
fn told(
    machine: &str,
    helds: &BTreeSet<Held>,
    model: &Model,
    kubernetes: u16,
) -> (Vec<Told>, BTreeSet<String>) {
    let mut units: Vec<Told> = Vec::new();
    let mut alone = BTreeSet::new();
    // In the order of the table, so that etcd comes before its clients.
    for row in CONSUMERS.iter().filter(|row| helds.contains(&row.held) && row.on.runs_on(model, machine)) {
        let setting = format!("{}: {}", row.component, row.setting);
        if !row.must_be_told(kubernetes) {
            alone.insert(setting);
            continue;
        }
        match units.iter_mut().find(|told| told.unit == row.unit) {
            Some(told) => told.because.push(setting),
            None => {
                units.push(Told { unit: row.unit.to_owned(), action: row.action, because: vec![setting] });
            }
        }
    }
    // Of a unit that is told anyway nothing else need be said.
    alone.retain(|setting| units.iter().all(|told| of_unit(setting).is_none_or(|unit| unit != told.unit)));
    (units, alone)
}

/// The unit of `COMPONENT: SETTING`.
fn of_unit(setting: &str) -> Option<&'static str> {
    let component = setting.split(':').next()?;
    CONSUMERS.iter().find(|row| row.component == component).map(|row| row.unit)
}

/// What the guide needs to know.
pub struct Guide<'a> {
    /// The cluster.
    pub model: &'a Model,
    /// What must exist, after the step.
    pub wants: &'a Wants,
    /// How commands name what this run was given.
    pub commands: &'a Commands,
}

/// Everything that follows a step, in order.
pub fn guide(g: &Guide<'_>, decision: Decision) -> Vec<Todo> {
    let mut todo = vec![document(g, decision)];
    todo.extend(deploy(g, decision));
    todo.extend(apply(g, decision));
    todo.extend(afterwards(decision));
    todo.push(next(g, decision));
    todo
}

fn plain(kind: Kind, say: impl Into<String>, command: Option<String>) -> Todo {
    Todo { kind, say: say.into(), command, machines: vec![], units: vec![], by_themselves: vec![] }
}

fn document(g: &Guide<'_>, decision: Decision) -> Todo {
    let subject = decision.name.subject();
    let issued = g.wants.certificates.values();
    let issued = issued.filter(|leaf| leaf.issuer.as_deref() == Some(&subject)).count();
    let say = if decision.act == Act::Switch && decision.name.authority().is_some() {
        let issued = match issued {
            1 => "1 certificate is".to_owned(),
            more => format!("{more} certificates are"),
        };
        format!("make the documents anew; {issued} issued again by the new CA")
    } else {
        "make the documents anew; nothing is issued for it".to_owned()
    };
    plain(Kind::Document, say + &g.commands.note(), Some(g.commands.documents()))
}

/// Machines to which the same happens.
struct Group {
    /// Whether they have turns.
    in_turn: bool,
    units: Vec<Told>,
    alone: BTreeSet<String>,
    machines: Vec<String>,
}

/// One push, and what it does where: those that have turns first.
fn deploy(g: &Guide<'_>, decision: Decision) -> Vec<Todo> {
    let minor = g.model.versions.kubernetes.as_ref().map_or(0, |version| version.major_minor().1);
    let mut groups: Vec<Group> = Vec::new();
    for (machine, helds) in changed(decision, g.model, g.wants) {
        let (units, alone) = told(&machine, &helds, g.model, minor);
        if let Some(group) = groups.iter_mut().find(|group| group.units == units && group.alone == alone) {
            group.machines.push(machine);
            continue;
        }
        let stops = |told: &Told| told.action == UnitAction::Restart && IN_TURN.contains(&told.unit.as_str());
        let in_turn = units.iter().any(stops);
        groups.push(Group { in_turn, units, alone, machines: vec![machine] });
    }
    if groups.is_empty() {
        return Vec::new();
    }
    groups.sort_by_key(|group| !group.in_turn);
    let push = plain(Kind::Push, "push to all machines: it does the following", Some(g.commands.push()));
    let parts = groups.into_iter().map(|group| {
        let (kind, say) = match (group.in_turn, group.machines.len()) {
            (true, 2..) => (Kind::DeployOne, "one after another, each when the one before serves again"),
            (true, _) => (Kind::DeployOne, "it waits until this one serves again"),
            (false, _) => (Kind::Deploy, "in any order"),
        };
        Todo {
            machines: group.machines,
            units: group.units,
            by_themselves: group.alone.into_iter().collect(),
            ..plain(kind, say, None)
        }
    });
    [push].into_iter().chain(parts).collect()
}

/// What pfSense has to take out of its settings document.
fn apply(g: &Guide<'_>, decision: Decision) -> Option<Todo> {
    let machines = by_hand(g.model, decision.name);
    let what = match decision.act {
        Act::Begin => {
            "a second CA, which `caref` of the first leads to, and phases 1 without `caref`, so that the peers of both \
             are believed; pfSense's pages ask for one, its configuration does not"
        }
        Act::Switch => "the CAs and the router's new certificate; phases 1 have no `caref` still",
        Act::End | Act::Abort => "one CA, and phases 1 with its `caref`",
    };
    (!machines.is_empty()).then(|| Todo {
        machines: machines.into_iter().map(ToOwned::to_owned).collect(),
        ..plain(
            Kind::Apply,
            format!("no push does this: bring the settings document into pfSense's configuration ({what})"),
            None,
        )
    })
}

/// What no push does.
fn afterwards(decision: Decision) -> Vec<Todo> {
    let cluster =
        |say: &str, command: Option<&str>| plain(Kind::Cluster, say, command.map(ToOwned::to_owned));
    match (decision.name, decision.act) {
        (Rotating::Cluster, Act::Begin) => vec![
            cluster(
                "start again whatever calls the API from inside a pod, Calico and CoreDNS first: the CAs that a pod \
                 gets (`kube-root-ca.crt`) are renewed by themselves, and read by most programs once, when they start",
                Some("kubectl rollout restart daemonset,deployment,statefulset --namespace NAMESPACE"),
            ),
            cluster(
                "give people kubeconfigs with both CAs: those that they have hold the old one only",
                None,
            ),
        ],
        (Rotating::Cluster, Act::Switch) => vec![cluster(
            "give people kubeconfigs with certificates of the new CA: those of the old one end with the next step",
            None,
        )],
        (Rotating::ServiceAccount, Act::Switch) => vec![
            plain(
                Kind::Wait,
                "wait until every token of the old key has ended. A pod gets a new token within its hour, as long as its \
                 kubelet runs; one that reads its token once may use it for a year, because the API server extends it \
                 (`--service-account-extend-token-expiration`, on by default). `serviceaccount_stale_tokens_total` in \
                 its metrics counts those; pods that were started anew since this step have none",
                None,
            ),
            cluster(
                "make Secrets of type `kubernetes.io/service-account-token` anew: their tokens never end by themselves",
                Some(
                    "kubectl get secrets --all-namespaces --field-selector type=kubernetes.io/service-account-token",
                ),
            ),
        ],
        // One that has not read it yet could not read what another writes as soon as it has the next file.
        (Rotating::Encryption, Act::Begin) => vec![plain(
            Kind::Wait,
            "wait until every API server has read the file again, a minute or two after the push: no report shows it, \
             and until then one cannot read what another writes with the new key",
            None,
        )],
        (Rotating::Encryption, Act::Switch) => vec![cluster(
            "once every API server has read the file, within a minute or two, write every Secret anew, so that it is \
             encrypted with the new key",
            Some("kubectl get secrets --all-namespaces -o json | kubectl replace -f -"),
        )],
        (Rotating::Encryption, Act::End) => vec![cluster(
            "keep the old key, which is in the archive, as long as any backup of etcd from before the rewriting. In etcd \
             itself old revisions stay until they are compacted, which the API server does every five minutes",
            None,
        )],
        _ => vec![],
    }
}

fn next(g: &Guide<'_>, decision: Decision) -> Todo {
    let name = decision.name.as_str();
    let (report, said) = (g.commands.shown(name), g.commands.said(name));
    // What no report shows has to be said.
    let report = if by_hand(g.model, decision.name).is_empty() { report } else { said.clone() };
    let (say, command) = match (decision.act, decision.name) {
        (Act::Begin, Rotating::Encryption) => ("then the new key is written with", report),
        (Act::Begin, Rotating::ServiceAccount) => ("then the new key signs", report),
        (Act::Begin, _) => ("then the new CA signs", report),
        (Act::Switch, Rotating::Encryption) => {
            ("then, with every Secret written anew, the old key goes", said)
        }
        (Act::Switch, Rotating::ServiceAccount) => {
            ("then, with every old token at its end, the old key goes", said)
        }
        (Act::Switch, _) => ("then the old CA goes", report),
        (Act::End, _) => {
            return plain(Kind::Next, "nothing: the rotation is at its end, once this is deployed", None);
        }
        (Act::Abort, _) => {
            return plain(Kind::Next, "nothing: the rotation is taken back, once this is deployed", None);
        }
    };
    plain(Kind::Next, say, Some(command))
}

/// More machines than this are counted.
const FEW: usize = 4;

/// In words, which units do not pick up by themselves what a run of `ensure` made in place of something; empty: none.
pub fn to_tell(made: &[(&str, Held)], model: &Model) -> String {
    let minor = model.versions.kubernetes.as_ref().map_or(0, |version| version.major_minor().1);
    let mut found: Vec<(&str, UnitAction, BTreeSet<&str>)> = Vec::new();
    for (machine, held) in made {
        for row in of(*held).filter(|row| row.must_be_told(minor) && row.on.runs_on(model, machine)) {
            match found.iter_mut().find(|(unit, ..)| *unit == row.unit) {
                Some((_, _, machines)) => {
                    machines.insert(machine);
                }
                None => found.push((row.unit, row.action, BTreeSet::from([*machine]))),
            }
        }
    }
    let units = found.iter().map(|(unit, action, machines)| {
        let verb = match action {
            UnitAction::Reload => "reload",
            UnitAction::Restart => "restart",
        };
        let names: Vec<&str> = machines.iter().copied().collect();
        let on = if names.len() > FEW { format!("{} machines", names.len()) } else { names.join(", ") };
        format!("{verb} {unit} on {on}")
    });
    units.collect::<Vec<_>>().join(", ")
}
