//! The prediction: the routes of one scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use kmh_doc::Cidr;

use crate::down::Down;
use crate::engine::{Class, Classes, Graph, Memo, Origins, Prefix, Settled, Stage, Ups, resettle, settle};
use crate::ground::Ground;
use crate::network::{Machine, Network, Side, Why};
use crate::table::Table;

mod expand;
#[cfg(test)]
mod tests;

/// The routes of one scenario. Tables are expanded when asked for.
#[derive(Clone, Debug)]
pub struct Prediction<'n> {
    pub(crate) network: &'n Network<'n>,
    pub(crate) ground: &'n Ground,
    down: Down,
    pub(crate) graphs: Arc<[Graph; 2]>,
    pub(crate) classes: Arc<Classes>,
    ups: Ups,
    pub(crate) settled: Vec<Arc<Settled>>,
    /// Sessions and their ends that could be sent more than they take.
    watched: Arc<[(u32, usize)]>,
    /// Sessions that ended because they brought too much.
    ended: Arc<BTreeMap<u32, Why>>,
    restless: Vec<Cidr>,
    whys: OnceLock<BTreeMap<usize, Why>>,
}

/// Computes the routes.
pub fn predict<'n>(network: &'n Network<'n>, ground: &'n Ground, down: &Down) -> Prediction<'n> {
    predict_with(network, ground, down, &BTreeSet::new())
}

/// The same, where nodes in `odd` share nothing with others.
fn predict_with<'n>(
    network: &'n Network<'n>,
    ground: &'n Ground,
    down: &Down,
    odd: &BTreeSet<usize>,
) -> Prediction<'n> {
    let graphs = Arc::new([Graph::new(network, false), Graph::new(network, true)]);
    let mut ended = BTreeMap::new();
    loop {
        let classes = Arc::new(Classes::new(network, ground, &(odd | &odd_nodes(network, &ended))));
        let mut ups = everything(network, ended.keys().copied().collect());
        take(network, &mut ups, &Down::default(), down);
        let settled = classes.list.iter();
        let settled =
            settled.map(|class| settle(stage(network, &graphs, &classes, &ups, class), class)).collect();
        let mut prediction = Prediction {
            network,
            ground,
            down: down.clone(),
            graphs: Arc::clone(&graphs),
            watched: watched(network, &classes),
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

fn stage<'a>(
    network: &'a Network<'a>,
    graphs: &'a [Graph; 2],
    classes: &'a Classes,
    ups: &'a Ups,
    class: &Class,
) -> Stage<'a> {
    Stage { network, graph: &graphs[usize::from(class.v6)], classes, ups }
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

/// All that can be up.
fn everything(network: &Network<'_>, ended: BTreeSet<u32>) -> Ups {
    let mut ups = Ups {
        routers: vec![true; network.routers.len()],
        nodes: vec![true; network.nodes.len()],
        tunnels: network.tunnel_ends.iter().map(|ends| ends.iter().all(Option::is_some)).collect(),
        sessions: vec![true; network.sessions().len()],
        ended: Arc::new(ended),
        callers: vec![[0, 0]; network.routers.len()],
    };
    for (number, session) in (0..).zip(network.sessions()) {
        let stands = session.tunnel.is_none_or(|tunnel| ups.tunnels.get(tunnel).copied().unwrap_or(false));
        let up = session.fault.is_none() && stands && !ups.ended.contains(&number);
        if let Some(slot) = ups.sessions.get_mut(number as usize) {
            *slot = up;
        }
        if let ([Machine::Router(router), Machine::Node(_)], true) = (session.ends.map(|end| end.machine), up)
            && let Some(callers) = ups.callers.get_mut(router)
        {
            callers[usize::from(session.v6)] += 1;
        }
    }
    ups
}

/// Takes down what is down now and was not before. Answers the sessions that went.
fn take(network: &Network<'_>, ups: &mut Ups, before: &Down, now: &Down) -> Vec<u32> {
    let named = |name: &String| network.machine(name);
    let mut machines: Vec<Machine> = now.routers.difference(&before.routers).filter_map(named).collect();
    machines.extend(now.nodes.difference(&before.nodes).filter_map(named));
    for site in now.sites.difference(&before.sites) {
        machines.extend(network.at_site.get(site.as_str()).into_iter().flatten());
    }
    let mut tunnels: Vec<usize> =
        now.tunnels.difference(&before.tunnels).filter_map(|name| network.tunnel(name)).collect();
    for line in now.uplinks.difference(&before.uplinks) {
        tunnels.extend(network.of_line.get(line).into_iter().flatten());
    }
    let mut sessions: Vec<u32> = Vec::new();
    for machine in machines {
        let slot = match machine {
            Machine::Router(n) => {
                tunnels.extend(network.of_router.get(n).into_iter().flatten());
                ups.routers.get_mut(n)
            }
            Machine::Node(n) => ups.nodes.get_mut(n),
        };
        if slot.is_some_and(|up| std::mem::replace(up, false)) {
            sessions.extend(network.sessions_of(machine));
        }
    }
    for tunnel in tunnels {
        if ups.tunnels.get_mut(tunnel).is_some_and(|up| std::mem::replace(up, false)) {
            sessions.extend(network.over_tunnel.get(tunnel).into_iter().flatten());
        }
    }
    sessions.retain(|number| {
        ups.sessions.get_mut(*number as usize).is_some_and(|up| std::mem::replace(up, false))
    });
    for number in &sessions {
        if let Some((session, _)) = network.session(*number)
            && let [Machine::Router(router), Machine::Node(_)] = session.ends.map(|end| end.machine)
            && let Some(callers) = ups.callers.get_mut(router)
        {
            callers[usize::from(session.v6)] -= 1;
        }
    }
    sessions
}

/// Sessions and their ends that could be sent more than they take. For nearly every network: none.
fn watched(network: &Network<'_>, classes: &Classes) -> Arc<[(u32, usize)]> {
    let total = |v6: bool| {
        classes.list.iter().filter(|class| class.v6 == v6).map(|class| class.members.len()).sum::<usize>()
    };
    let totals = [total(false), total(true)];
    let mut all = Vec::new();
    for (number, (session, sides)) in (0..).zip(network.sessions().iter().zip(&network.sides)) {
        for (end, side) in sides.iter().enumerate() {
            let Side::Router(side) = side else { continue };
            let most = match session.ends[1 - end].machine {
                Machine::Node(node) if network.transit.binary_search(&node).is_err() => {
                    classes.of_node.get(node).map_or(0, Vec::len)
                }
                _ => totals[usize::from(session.v6)],
            };
            if most > side.limit as usize {
                all.push((number, end));
            }
        }
    }
    all.into()
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
        let mut ups = self.ups.clone();
        let lost = self.losers(&take(self.network, &mut ups, &self.down, down));
        let settled = self.classes.list.iter().zip(&self.settled).map(|(class, before)| {
            let stage = stage(self.network, &self.graphs, &self.classes, &ups, class);
            resettle(stage, class, before, &lost[usize::from(class.v6)])
        });
        let settled = settled.collect();
        let mut after = Self {
            network: self.network,
            ground: self.ground,
            down: down.clone(),
            graphs: Arc::clone(&self.graphs),
            classes: Arc::clone(&self.classes),
            watched: Arc::clone(&self.watched),
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

    /// Speakers that lost a session, by family. Of those that lost themselves nothing is asked any more.
    fn losers(&self, sessions: &[u32]) -> [Vec<usize>; 2] {
        let mut both = [BTreeSet::new(), BTreeSet::new()];
        for number in sessions {
            let Some((session, _)) = self.network.session(*number) else { continue };
            let family = usize::from(session.v6);
            for end in &session.ends {
                both[family].extend(self.graphs[family].place(end.machine));
            }
        }
        both.map(|set| set.into_iter().collect())
    }

    /// Whether a machine runs.
    pub fn is_alive(&self, machine: Machine) -> bool {
        self.ups.machine(machine)
    }

    /// Whether a tunnel, by its place in the document, is up.
    pub(crate) fn is_tunnel_up(&self, tunnel: usize) -> bool {
        self.ups.tunnels.get(tunnel).copied().unwrap_or(false)
    }

    /// Whether a session, by its place in [`Network::sessions`], is up.
    pub(crate) fn is_session_up(&self, session: usize) -> bool {
        self.ups.sessions.get(session).copied().unwrap_or(false)
    }

    /// Why a session, by its place in [`Network::sessions`], is down; none when it is up.
    pub fn session_down(&self, session: usize) -> Option<&Why> {
        let all =
            || (0..self.ups.sessions.len()).filter_map(|session| Some((session, self.why_down(session)?)));
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
        stage(self.network, &self.graphs, &self.classes, &self.ups, class)
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
        for (number, end) in self.watched.iter().copied() {
            let Some((session, sides)) = self.network.session(number).filter(|_| self.ups.session(number))
            else {
                continue;
            };
            let Some(Side::Router(side)) = sides.get(end) else { continue };
            let count = self.accepted(number, end);
            if count > side.limit as usize {
                let name = |end: usize| self.network.name(session.ends[end].machine).to_owned();
                let why = Why::TooMany { from: name(1 - end), to: name(end), count, limit: side.limit };
                all.insert(number, why);
            }
        }
        all
    }

    /// How many prefixes of a session one end accepts.
    fn accepted(&self, number: u32, end: usize) -> usize {
        let Some((session, _)) = self.network.session(number) else { return 0 };
        let (own, peer) = (session.ends[end].machine, session.ends[1 - end].machine);
        let graph = &self.graphs[usize::from(session.v6)];
        let Some(place) = graph.place(own) else { return 0 };
        let mut count = 0;
        for (class, settled) in
            self.classes.list.iter().zip(&self.settled).filter(|(class, _)| class.v6 == session.v6)
        {
            let edges = graph.into(place).iter().filter_map(|edge| graph.edges.get(*edge as usize));
            let over_edge = edges.filter(|edge| edge.session == number).any(|edge| {
                let heard = self.stage(class).tell(class, settled, edge, &mut Memo::default());
                heard.is_some_and(|heard| heard.outcome.is_ok())
            });
            let injected = settled.injected(place).iter().filter(|one| one.heard.outcome.is_ok());
            let from_all = match class.origins {
                Origins::Same(_) => injected.clone().any(|one| one.session == number),
                Origins::Nodes => false,
            };
            let from_one = matches!(class.origins, Origins::Nodes) && injected.count() > 0;
            let members = class.members.iter().filter_map(|member| self.classes.prefix(*member));
            let members = members.filter(|prefix| {
                self.is_announced(prefix, class)
                    && (over_edge || from_all || (from_one && prefix.origin == Some(peer)))
            });
            count += members.count();
        }
        count
    }
}
