//! The prediction: the routes of one scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use kmh_doc::Cidr;

use crate::down::Down;
use crate::engine::{Class, Classes, Graph, Origins, Prefix, Settled, Stage, Ups, settle};
use crate::ground::Ground;
use crate::network::{Machine, Network, Side, Why};
use crate::table::Table;

mod expand;

/// The routes of one scenario. Tables are expanded when asked for.
#[derive(Clone, Debug)]
pub struct Prediction<'n> {
    pub(crate) network: &'n Network<'n>,
    pub(crate) ground: &'n Ground,
    down: Down,
    graphs: Arc<[Graph; 2]>,
    pub(crate) classes: Arc<Classes>,
    ups: Ups,
    settled: Vec<Arc<Settled>>,
    /// Sessions that ended because they brought too much.
    ended: Arc<BTreeMap<u32, Why>>,
    restless: Vec<Cidr>,
    whys: OnceLock<BTreeMap<usize, Why>>,
}

/// Computes the routes.
pub fn predict<'n>(network: &'n Network<'n>, ground: &'n Ground, down: &Down) -> Prediction<'n> {
    let graphs = Arc::new([Graph::new(network, false), Graph::new(network, true)]);
    let mut ended = BTreeMap::new();
    loop {
        let odd = odd_nodes(network, &ended);
        let classes = Arc::new(Classes::new(network, ground, &odd));
        let ups = ups(network, down, &ended);
        let settled = rest(network, &graphs, &classes, &ups, None);
        let mut prediction = Prediction {
            network,
            ground,
            down: down.clone(),
            graphs: Arc::clone(&graphs),
            classes,
            ups,
            settled,
            ended: Arc::default(),
            restless: Vec::new(),
            whys: OnceLock::new(),
        };
        // Each round ends at least one session more.
        let more = prediction.overfull();
        if more.is_empty() {
            prediction.ended = Arc::new(ended);
            prediction.restless = prediction.never_rests();
            return prediction;
        }
        ended.extend(more);
    }
}

/// Nodes of which one session ended share nothing with others.
fn odd_nodes(network: &Network<'_>, ended: &BTreeMap<u32, Why>) -> BTreeSet<usize> {
    let sessions = ended.keys().filter_map(|number| network.session(*number));
    sessions
        .flat_map(|(session, _)| session.ends.map(|end| end.machine))
        .filter_map(|machine| match machine {
            Machine::Node(node) => Some(node),
            Machine::Router(_) => None,
        })
        .collect()
}

/// What is up.
fn ups(network: &Network<'_>, down: &Down, ended: &BTreeMap<u32, Why>) -> Ups {
    let spec = network.spec;
    let routers: Vec<bool> = spec
        .routers
        .iter()
        .map(|router| !down.routers.contains(&router.name) && !down.sites.contains(&router.site))
        .collect();
    let nodes: Vec<bool> =
        spec.nodes.iter().map(|node| !down.nodes.contains(&node.name) && !down.sites.contains(&node.site)).collect();
    let tunnels: Vec<bool> = spec
        .tunnels
        .iter()
        .zip(&network.tunnel_ends)
        .map(|(tunnel, ends)| {
            let stands = |(end, router): (&kmh_doc::network::TunnelEnd, &Option<usize>)| {
                router.is_some_and(|router| routers.get(router).copied().unwrap_or(false))
                    && (down.uplinks.is_empty() || !down.uplinks.contains(&format!("{}/{}", end.router, end.uplink)))
            };
            !down.tunnels.contains(&tunnel.name) && tunnel.ends.iter().zip(ends).all(stands)
        })
        .collect();
    let mut ups = Ups { routers, nodes, tunnels, sessions: Vec::new(), callers: vec![[0, 0]; network.routers.len()] };
    let mut sessions = Vec::with_capacity(network.sessions().len());
    for (number, session) in (0..).zip(network.sessions()) {
        let up = session.fault.is_none()
            && session.ends.iter().all(|end| ups.machine(end.machine))
            && session.tunnel.is_none_or(|tunnel| ups.tunnels.get(tunnel).copied().unwrap_or(false))
            && !ended.contains_key(&number);
        sessions.push(up);
        if let ([Machine::Router(router), Machine::Node(_)], true) = (session.ends.map(|end| end.machine), up)
            && let Some(callers) = ups.callers.get_mut(router)
        {
            callers[usize::from(session.v6)] += 1;
        }
    }
    ups.sessions = sessions;
    ups
}

fn rest<'a>(
    network: &'a Network<'a>,
    graphs: &'a [Graph; 2],
    classes: &'a Classes,
    ups: &'a Ups,
    before: Option<&[Arc<Settled>]>,
) -> Vec<Arc<Settled>> {
    let one = |(number, class): (usize, &Class)| {
        let graph = &graphs[usize::from(class.v6)];
        let stage = Stage { network, graph, classes, ups };
        let before = before.and_then(|all| all.get(number)).filter(|before| {
            // Whoever it was computed for must still be there.
            before.stand_in.is_none_or(|node| ups.machine(Machine::Node(node)))
        });
        settle(stage, class, before)
    };
    classes.list.iter().enumerate().map(one).collect()
}

impl<'n> Prediction<'n> {
    /// The network.
    pub fn network(&self) -> &'n Network<'n> {
        self.network
    }

    /// The scenario.
    pub fn down(&self) -> &Down {
        &self.down
    }

    /// What it rests on.
    pub fn ground(&self) -> &'n Ground {
        self.ground
    }

    /// The same network and ground in another scenario. When that only takes more down, what it does not touch is not
    /// computed again.
    #[must_use]
    pub fn with(&self, down: &Down) -> Self {
        if !down.includes(&self.down) {
            return predict(self.network, self.ground, down);
        }
        let ups = ups(self.network, down, &self.ended);
        let settled = rest(self.network, &self.graphs, &self.classes, &ups, Some(&self.settled));
        let mut after = Self {
            network: self.network,
            ground: self.ground,
            down: down.clone(),
            graphs: Arc::clone(&self.graphs),
            classes: Arc::clone(&self.classes),
            ups,
            settled,
            ended: Arc::clone(&self.ended),
            restless: Vec::new(),
            whys: OnceLock::new(),
        };
        if !after.overfull().is_empty() {
            return predict(self.network, self.ground, down);
        }
        after.restless = after.never_rests();
        after
    }

    /// Whether a machine runs.
    pub fn is_alive(&self, machine: Machine) -> bool {
        self.ups.machine(machine)
    }

    /// Whether a tunnel, by its place in the document, is up.
    pub fn is_tunnel_up(&self, tunnel: usize) -> bool {
        self.ups.tunnels.get(tunnel).copied().unwrap_or(false)
    }

    /// Whether a session, by its place in [`Network::sessions`], is up.
    pub fn is_session_up(&self, session: usize) -> bool {
        self.ups.sessions.get(session).copied().unwrap_or(false)
    }

    /// Why a session, by its place in [`Network::sessions`], is down; none when it is up.
    pub fn session_down(&self, session: usize) -> Option<&Why> {
        let all = || (0..self.ups.sessions.len()).filter_map(|session| Some((session, self.why_down(session)?)));
        self.whys.get_or_init(|| all().collect()).get(&session)
    }

    fn why_down(&self, session: usize) -> Option<Why> {
        if self.is_session_up(session) {
            return None;
        }
        let number = u32::try_from(session).ok()?;
        let (session, _) = self.network.session(number)?;
        let dead = session.ends.iter().find(|end| !self.is_alive(end.machine));
        let dead = dead.map(|end| Why::MachineDown(self.network.name(end.machine).to_owned()));
        let cut = session.tunnel.filter(|tunnel| !self.is_tunnel_up(*tunnel));
        let cut = cut.and_then(|tunnel| self.network.spec.tunnels.get(tunnel));
        let cut = cut.map(|tunnel| Why::TunnelDown(tunnel.name.clone()));
        session.fault.clone().or(dead).or(cut).or_else(|| self.ended.get(&number).cloned())
    }

    /// Prefixes for which the routers never come to rest.
    pub fn restless(&self) -> &[Cidr] {
        &self.restless
    }

    fn never_rests(&self) -> Vec<Cidr> {
        let classes = self.classes.list.iter().zip(&self.settled).filter(|(_, settled)| settled.restless);
        let mut all: Vec<Cidr> = classes
            .flat_map(|(class, _)| &class.members)
            .filter_map(|member| self.classes.prefix(*member))
            .map(|prefix| Cidr::new(prefix.net))
            .collect();
        all.sort_unstable();
        all
    }

    /// A machine's table; none when there is no such machine. Empty when it is down.
    pub fn table(&self, machine: &str) -> Option<Table> {
        self.network.machine(machine).map(|machine| self.table_of(machine))
    }

    /// All tables: routers, then nodes, as in the document.
    pub fn tables(&self) -> Vec<Table> {
        self.network.machines().map(|machine| self.table_of(machine)).collect()
    }

    /// Who answers for a node's gateway: the router with that address; when none has it, it is a shared one (VRRP, CARP),
    /// and the first living router of the node's site holds it.
    pub fn gateway(&self, node: Machine, gateway: IpAddr) -> Option<Machine> {
        if let Some(owner) = self.network.owner(gateway) {
            return Some(owner).filter(|owner| self.is_alive(*owner));
        }
        let site = self.network.site(node);
        let routers = (0..self.network.routers.len()).map(Machine::Router);
        let mut routers: Vec<Machine> =
            routers.filter(|router| self.network.site(*router) == site && self.is_alive(*router)).collect();
        routers.sort_by_key(|router| self.network.name(*router));
        routers.first().copied()
    }

    fn stage<'a>(&'a self, class: &Class) -> Stage<'a> {
        let graph = &self.graphs[usize::from(class.v6)];
        Stage { network: self.network, graph, classes: &self.classes, ups: &self.ups }
    }

    /// Whether anybody living announces a prefix.
    fn is_announced(&self, prefix: &Prefix, class: &Class) -> bool {
        match (&class.origins, prefix.origin) {
            (_, Some(origin)) => self.is_alive(origin),
            (Origins::Same(machines), None) => machines.iter().any(|machine| self.is_alive(*machine)),
            (Origins::Nodes, None) => false,
        }
    }

    /// Sessions that bring more than is permitted.
    fn overfull(&self) -> BTreeMap<u32, Why> {
        let mut all = BTreeMap::new();
        let total = |v6: bool| {
            self.classes.list.iter().filter(|class| class.v6 == v6).map(|class| class.members.len()).sum::<usize>()
        };
        let totals = [total(false), total(true)];
        for (number, (session, sides)) in (0..).zip(self.network.sessions().iter().zip(&self.network.sides)) {
            if !self.ups.session(number) {
                continue;
            }
            for (end, side) in sides.iter().enumerate() {
                let Side::Router(side) = side else { continue };
                let most = match session.ends[1 - end].machine {
                    Machine::Node(node) if self.network.transit.binary_search(&node).is_err() => {
                        self.classes.of_node.get(node).map_or(0, Vec::len)
                    }
                    _ => totals[usize::from(session.v6)],
                };
                if most <= side.limit as usize {
                    continue;
                }
                let count = self.accepted(number, end);
                if count > side.limit as usize {
                    let name = |end: usize| self.network.name(session.ends[end].machine).to_owned();
                    let why = Why::TooMany { from: name(1 - end), to: name(end), count, limit: side.limit };
                    all.insert(number, why);
                }
            }
        }
        all
    }

    /// How many prefixes of a session one end accepts.
    fn accepted(&self, number: u32, end: usize) -> usize {
        let Some((session, _)) = self.network.session(number) else { return 0 };
        let (own, peer) = (session.ends[end].machine, session.ends[1 - end].machine);
        let mut count = 0;
        for (class, settled) in self.classes.list.iter().zip(&self.settled) {
            if class.v6 != session.v6 {
                continue;
            }
            let graph = &self.graphs[usize::from(class.v6)];
            let Some(place) = graph.place(own) else { continue };
            let edges = graph.into(place).iter().filter(|edge| {
                graph.edges.get(**edge as usize).is_some_and(|edge| edge.session == number)
                    && settled.heard(**edge).is_some_and(|heard| heard.outcome.is_ok())
            });
            let by_edge = edges.take(1).count() * class.members.len();
            let injected = settled.injected(place).iter().filter(|one| one.heard.outcome.is_ok());
            let by_node = match class.origins {
                Origins::Same(_) => injected.filter(|one| one.session == number).count() * class.members.len(),
                Origins::Nodes if injected.take(1).count() > 0 => {
                    let members = class.members.iter().filter_map(|member| self.classes.prefix(*member));
                    members.filter(|prefix| prefix.origin == Some(peer)).count()
                }
                Origins::Nodes => 0,
            };
            count += by_edge.max(by_node);
        }
        count
    }
}
