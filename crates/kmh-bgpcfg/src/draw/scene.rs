//! What is to be seen, without places: the document's parts joined by number instead of by name, what is down, and the
//! path. An end that the document names and does not have is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ipnet::IpNet;
use kmh_doc::Asn;
use kmh_doc::inventory::{BgpDaemon, RouterKind};
use kmh_doc::network::{NetworkSpec, NodePlan, RouterPlan, Session, Tunnel};
use kmh_route::down::Down;

use super::{NODES_A_SITE, Nodes, Options};

mod parts;

use parts::{fold, hub, sessions, sites, steps, tunnels};

/// More sites than this are drawn without nodes.
const SITES_WITH_NODES: usize = 24;

/// The picture's content.
pub(super) struct Scene<'a> {
    pub title: String,
    /// What the cluster consists of.
    pub summary: Vec<String>,
    /// The path, as one line; none without.
    pub path: Option<String>,
    /// What is down, as one line; none when nothing is.
    pub down: Option<String>,
    pub sites: Vec<Site<'a>>,
    pub routers: Vec<Router<'a>>,
    pub nodes: Vec<Node<'a>>,
    pub tunnels: Vec<Link<'a>>,
    pub sessions: Vec<Peering<'a>>,
    pub steps: Vec<Step>,
    /// The site at one end of every tunnel, when there is just one.
    pub hub: Option<usize>,
    /// Whether nodes were asked for one by one.
    pub each: bool,
    /// Whether not all nodes have the same AS number, nor that of their site.
    pub node_asns: bool,
}

/// A site.
pub(super) struct Site<'a> {
    pub name: &'a str,
    pub asns: Vec<Asn>,
    pub networks: Vec<IpNet>,
    pub pods: Vec<IpNet>,
    pub routers: Vec<usize>,
    pub nodes: Vec<usize>,
    /// Those of `nodes` that are drawn.
    pub shown: Vec<usize>,
    pub down: bool,
    pub on_path: bool,
}

/// A router.
pub(super) struct Router<'a> {
    pub plan: &'a RouterPlan,
    pub site: usize,
    /// Its lines, and whether each is down.
    pub lines: Vec<(&'a str, bool)>,
    pub down: bool,
    pub on_path: bool,
}

/// A node.
pub(super) struct Node<'a> {
    pub plan: &'a NodePlan,
    pub site: usize,
    pub down: bool,
    pub on_path: bool,
}

/// A tunnel.
pub(super) struct Link<'a> {
    pub plan: &'a Tunnel,
    /// Routers.
    pub ends: [usize; 2],
    pub down: bool,
    /// Whether there is another tunnel between the same two routers.
    pub parallel: bool,
    /// What its BGP sessions are like.
    pub session: Option<&'a Session>,
    /// Whether a picture with too many tunnels shows it.
    pub shown: bool,
    /// Tunnels between the same sites that it stands for, because they are not shown.
    pub others: usize,
}

/// The sessions of all families between two machines of a site.
pub(super) struct Peering<'a> {
    pub router: usize,
    pub peer: Machine,
    pub session: &'a Session,
    pub families: [bool; 2],
    pub down: bool,
}

/// A router or a node, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Machine {
    Router(usize),
    Node(usize),
}

/// One step of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub from: Machine,
    pub to: Machine,
    pub over: Over,
}

/// What a step goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Tunnel(usize),
    Segment,
}

impl<'a> Scene<'a> {
    pub(super) fn new(spec: &'a NetworkSpec, options: &Options<'_>) -> Self {
        let nothing = Down::default();
        let down = options.down.unwrap_or(&nothing);
        let path = options.path.as_deref().unwrap_or_default();
        let on_path = |name: &str| path.iter().any(|step| step == name);

        let mut sites = sites(spec, down);
        let number: BTreeMap<&str, usize> =
            sites.iter().enumerate().map(|(i, site)| (site.name, i)).collect();
        let mut routers: Vec<Router<'a>> = spec
            .routers
            .iter()
            .map(|plan| Router {
                plan,
                site: number[plan.site.as_str()],
                lines: Vec::new(),
                down: down.routers.contains(&plan.name) || down.sites.contains(&plan.site),
                on_path: on_path(&plan.name),
            })
            .collect();
        routers.sort_by_key(|router| (router.site, &router.plan.name));
        let mut nodes: Vec<Node<'a>> = spec
            .nodes
            .iter()
            .map(|plan| Node {
                plan,
                site: number[plan.site.as_str()],
                down: down.nodes.contains(&plan.name) || down.sites.contains(&plan.site),
                on_path: on_path(&plan.name),
            })
            .collect();
        nodes.sort_by_key(|node| (node.site, &node.plan.name));

        let mut machines: BTreeMap<&'a str, Machine> = BTreeMap::new();
        for (i, node) in nodes.iter().enumerate() {
            sites[node.site].nodes.push(i);
            sites[node.site].on_path |= node.on_path;
            machines.insert(&node.plan.name, Machine::Node(i));
        }
        for (i, router) in routers.iter().enumerate() {
            let site = &mut sites[router.site];
            site.routers.push(i);
            site.on_path |= router.on_path;
            if !site.asns.contains(&router.plan.asn) {
                site.asns.push(router.plan.asn);
            }
            machines.insert(&router.plan.name, Machine::Router(i));
        }
        let mut tunnels = tunnels(spec, down, &mut routers, &machines);
        let sessions = sessions(&routers, &nodes, &machines);
        let each = options.nodes == Nodes::Each;
        let all = |site: &Site<'_>| match options.nodes {
            Nodes::Each => true,
            Nodes::Count => false,
            Nodes::Auto => site.nodes.len() <= NODES_A_SITE,
        };
        for site in &mut sites {
            let all = all(site);
            let chosen = |i: &&usize| {
                let node = &nodes[**i];
                all || node.on_path || (node.down && !site.down)
            };
            site.shown = site.nodes.iter().filter(chosen).copied().collect();
        }
        if options.nodes == Nodes::Auto && sites.len() > SITES_WITH_NODES {
            for site in &mut sites {
                site.shown.clear();
            }
        }
        let steps = steps(path, &machines, &tunnels, &routers);
        fold(&mut tunnels, &routers, &steps);
        let hub = hub(sites.len(), &tunnels, &routers);
        let asns: BTreeSet<Asn> = spec.nodes.iter().map(|node| node.asn).collect();
        let node_asns =
            asns.len() > 1 && nodes.iter().any(|node| !sites[node.site].asns.contains(&node.plan.asn));
        Self {
            title: options.title.map_or_else(|| "Network".to_owned(), |name| format!("Cluster {name}")),
            summary: summary(spec, sites.len(), &asns),
            path: (!path.is_empty()).then(|| format!("Path: {}", path.join(" → "))),
            down: told(down),
            sites,
            routers,
            nodes,
            tunnels,
            sessions,
            steps,
            hub,
            each,
            node_asns,
        }
    }

    /// What a machine is called.
    pub(super) fn name(&self, machine: Machine) -> &'a str {
        match machine {
            Machine::Router(i) => &self.routers[i].plan.name,
            Machine::Node(i) => &self.nodes[i].plan.name,
        }
    }

    /// Whether the path goes over this tunnel.
    pub(super) fn on_path(&self, tunnel: usize) -> bool {
        self.steps.iter().any(|step| step.over == Over::Tunnel(tunnel))
    }

    /// Whether a node is drawn by itself.
    pub(super) fn shows(&self, node: usize) -> bool {
        self.sites[self.nodes[node].site].shown.binary_search(&node).is_ok()
    }

    /// The path's steps that no tunnel and no session stands for: between nodes of a site, and to a gateway that is no
    /// peer.
    pub(super) fn bare_steps(&self) -> impl Iterator<Item = &Step> {
        let along = |step: &Step| {
            self.sessions.iter().any(|peering| {
                let ends = (Machine::Router(peering.router), peering.peer);
                (step.from, step.to) == ends || (step.to, step.from) == ends
            })
        };
        let shown = |machine| match machine {
            Machine::Router(_) => true,
            Machine::Node(i) => self.shows(i),
        };
        let bare = move |step: &&Step| step.over == Over::Segment && !along(step);
        self.steps.iter().filter(bare).filter(move |step| shown(step.from) && shown(step.to))
    }

    /// Whether the path goes along this session.
    pub(super) fn along(&self, peering: &Peering<'_>) -> bool {
        let ends = (Machine::Router(peering.router), peering.peer);
        self.steps
            .iter()
            .any(|s| s.over == Over::Segment && ((s.from, s.to) == ends || (s.to, s.from) == ends))
    }
}

/// What a router is: `pfSense · FRR`.
pub(super) fn kind(plan: &RouterPlan) -> String {
    let machine = match plan.kind {
        RouterKind::Pfsense => "pfSense",
        RouterKind::Linux => "Linux",
    };
    let daemon = match plan.daemon {
        BgpDaemon::Frr => "FRR",
        BgpDaemon::Bird => "BIRD",
    };
    format!("{machine} · {daemon}")
}

/// `AS 65010`, several joined.
pub(super) fn asns(asns: &[Asn]) -> String {
    if asns.is_empty() {
        return String::new();
    }
    let numbers: Vec<String> = asns.iter().map(ToString::to_string).collect();
    format!("AS {}", numbers.join(", "))
}

/// `1 node`, `2 nodes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn summary(spec: &NetworkSpec, sites: usize, asns: &BTreeSet<Asn>) -> Vec<String> {
    let mut parts = vec![
        count(sites, "site"),
        count(spec.routers.len(), "router"),
        count(spec.nodes.len(), "node"),
        count(spec.tunnels.len(), "tunnel"),
    ];
    let standby = spec.tunnels.iter().filter(|tunnel| tunnel.rank > 0).count();
    if standby > 0 {
        let _ = write!(parts[3], " ({standby} standby)");
    }
    if let (Some(asn), 1) = (asns.first(), asns.len()) {
        parts.push(format!("nodes are AS {asn}"));
    }
    parts.push(format!("MTU of pods {}", spec.pod_mtu));
    parts
}

/// What is down, for people.
fn told(down: &Down) -> Option<String> {
    let kinds = [
        ("site", &down.sites),
        ("router", &down.routers),
        ("line", &down.uplinks),
        ("tunnel", &down.tunnels),
        ("node", &down.nodes),
    ];
    let all: Vec<String> = kinds
        .iter()
        .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")))
        .collect();
    (!all.is_empty()).then(|| format!("Down: {}", all.join(", ")))
}
