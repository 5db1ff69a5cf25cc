//! Tables as people and harnesses read them, out of classes.

use std::net::IpAddr;
use std::sync::Arc;

use kmh_doc::Cidr;

use super::Prediction;
use crate::engine::{
    Attrs, Candidate, Choice, Class, Heard, Prefix, Rank, Refusal, Settled, Source, export, import, link, merges,
    own_attrs, rank,
};
use crate::network::{Daemon, Machine, Network, Side, Speaker};
use crate::table::{Installed, Path, Route, Step, Table, Verdict};

/// A route as it arrived at a machine.
struct Arrival {
    session: u32,
    /// The machine's end.
    end: usize,
    heard: Heard,
}

/// The sender of a class's routes, when it stands for another node.
struct Swap<'a> {
    network: &'a Network<'a>,
    from: usize,
    to: usize,
}

impl Swap<'_> {
    fn attrs(&self, attrs: &Attrs) -> Attrs {
        let (Some(from), Some(to)) = (self.network.nodes.get(self.from), self.network.nodes.get(self.to)) else {
            return attrs.clone();
        };
        let mut attrs = attrs.clone();
        if let Some(place) = from.addresses.iter().position(|address| *address == attrs.next_hop)
            && let Some(next_hop) = same_family(from, to, place)
        {
            attrs.next_hop = next_hop;
        }
        if from.asn != to.asn && attrs.path.contains(&from.asn) {
            attrs.path = attrs.path.iter().map(|asn| if *asn == from.asn { to.asn } else { *asn }).collect();
        }
        if attrs.originator == Some(from.id) {
            attrs.originator = Some(to.id);
        }
        attrs
    }

    /// The other node's session with the same router.
    fn session(&self, number: u32) -> u32 {
        let Some((session, _)) = self.network.session(number) else { return number };
        let router = session.ends[0];
        let others = self.network.sessions_of(Machine::Node(self.to)).iter().copied();
        let mut others = others.filter(|other| {
            self.network.session(*other).is_some_and(|(other, _)| {
                other.ends[0].machine == router.machine && other.ends[0].address == router.address
            })
        });
        others.next().unwrap_or(number)
    }
}

fn same_family(from: &Speaker, to: &Speaker, place: usize) -> Option<IpAddr> {
    let v4 = from.addresses.get(place)?.is_ipv4();
    to.addresses.iter().find(|address| address.is_ipv4() == v4).copied()
}

impl Prediction<'_> {
    /// A machine's table.
    pub(super) fn table_of(&self, machine: Machine) -> Table {
        let mut routes = Vec::new();
        if self.is_alive(machine) {
            for (class, settled) in self.classes.list.iter().zip(&self.settled) {
                self.routes_of(machine, class, settled, &mut routes);
            }
            routes.sort_by_key(|route| route.prefix);
        }
        Table { machine: self.network.name(machine).to_owned(), routes }
    }

    fn routes_of(&self, machine: Machine, class: &Class, settled: &Arc<Settled>, routes: &mut Vec<Route>) {
        let told = Told::new(self, machine, class, settled);
        for member in &class.members {
            let Some(prefix) = self.classes.prefix(*member) else { continue };
            let own = self.is_own(machine, *member, class);
            if !own && (told.is_empty() || !self.is_announced(prefix, class)) {
                continue;
            }
            let arrivals = told.arrivals(prefix);
            if own || !arrivals.is_empty() {
                routes.push(self.one_route(machine, prefix, own, &arrivals));
            }
        }
    }

    /// Whether a machine has a prefix of its own.
    fn is_own(&self, machine: Machine, number: u32, class: &Class) -> bool {
        match machine {
            Machine::Node(node) => self.classes.of_node.get(node).is_some_and(|own| own.binary_search(&number).is_ok()),
            Machine::Router(_) => match &class.origins {
                crate::engine::Origins::Same(machines) => machines.binary_search(&machine).is_ok(),
                crate::engine::Origins::Nodes => false,
            },
        }
    }

    /// What a machine's kernel does with a prefix.
    pub(crate) fn installed(&self, machine: Machine, number: u32) -> Option<Installed> {
        let (_, class) = self.classes.with_class(number)?;
        if self.is_own(machine, number, class) {
            return Some(Installed::Own);
        }
        self.route_of(machine, number)?.installed
    }

    /// All that a machine knows about a prefix.
    pub(crate) fn route_of(&self, machine: Machine, number: u32) -> Option<Route> {
        let (prefix, class) = self.classes.with_class(number)?;
        let settled = self.settled.get(prefix.class as usize)?;
        let own = self.is_own(machine, number, class);
        if !self.is_alive(machine) || !(own || self.is_announced(prefix, class)) {
            return None;
        }
        let arrivals = Told::new(self, machine, class, settled).arrivals(prefix);
        (own || !arrivals.is_empty()).then(|| self.one_route(machine, prefix, own, &arrivals))
    }

    fn one_route(&self, machine: Machine, prefix: &Prefix, own: bool, arrivals: &[Arrival]) -> Route {
        let class = self.classes.list.get(prefix.class as usize);
        let speaker = self.network.speaker(machine);
        let (Some(class), Some(speaker)) = (class, speaker) else {
            return Route { prefix: Cidr::new(prefix.net), paths: Vec::new(), installed: None };
        };
        let stage = self.stage(class);
        let own_attrs = own_attrs(speaker);
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        let mut places: Vec<Option<usize>> = Vec::new();
        if own {
            let one =
                Candidate { own: true, attrs: &own_attrs, external: false, id: 0, peer_asn: 0, peer_address: None };
            candidates.push(one);
            places.push(None);
        }
        for (place, arrival) in arrivals.iter().enumerate().filter(|(_, arrival)| arrival.heard.outcome.is_ok()) {
            if let Some(candidate) = stage.candidate(arrival.session, arrival.end, &arrival.heard.attrs) {
                candidates.push(candidate);
                places.push(Some(place));
            }
        }
        let best = Rank::best(&candidates);
        let frr = speaker.daemon == Daemon::Frr;
        let verdict = |place: usize| match (best, candidates.get(place)) {
            (Some(best), _) if best == place => Verdict::Best,
            (Some(best), Some(other)) => match candidates.get(best) {
                Some(best) if speaker.multipath && merges(frr, best, other) => Verdict::Equal,
                Some(best) => match rank(best, other) {
                    (order, step) if order.is_le() => Verdict::Lost(step),
                    // Better than the winner, but not of its neighbouring AS.
                    _ => Verdict::Lost(Step::Med),
                },
                None => Verdict::Refused,
            },
            _ => Verdict::Refused,
        };
        let mut paths = Vec::new();
        let mut gates = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let verdict = verdict(number);
            let arrival = place.and_then(|place| arrivals.get(place));
            if let (Some(arrival), Verdict::Best | Verdict::Equal) = (arrival, verdict) {
                gates.extend(self.gate(machine, speaker, arrival));
            }
            paths.push(match arrival {
                Some(arrival) => self.path(arrival, verdict),
                None => own_path(&own_attrs),
            });
        }
        let refused = arrivals.iter().filter(|arrival| arrival.heard.outcome.is_err());
        paths.extend(refused.map(|arrival| self.path(arrival, Verdict::Refused)));
        paths.sort_by(|a, b| {
            let key = |path: &Path| (class_of(path.verdict), path.from.clone(), path.peer_address);
            key(a).cmp(&key(b))
        });
        gates.sort_unstable();
        gates.dedup();
        let connected = speaker.connected.iter().any(|(net, _)| *net == prefix.net);
        let installed = match best.and_then(|best| places.get(best)) {
            Some(None) => Some(Installed::Own),
            Some(Some(_)) if connected => Some(Installed::Own),
            Some(Some(_)) if speaker.daemon == Daemon::Calico && self.network.calico.is_service(prefix.net) => None,
            Some(Some(_)) if gates.is_empty() => None,
            Some(Some(_)) => Some(Installed::Via(gates)),
            None => None,
        };
        Route { prefix: Cidr::new(prefix.net), paths, installed }
    }

    /// Where the kernel sends packets for a route: its next hop, or what leads there.
    fn gate(&self, machine: Machine, speaker: &Speaker, arrival: &Arrival) -> Option<IpAddr> {
        let next_hop = arrival.heard.attrs.next_hop;
        let Machine::Node(node) = machine else { return Some(next_hop) };
        let (session, sides) = self.network.session(arrival.session)?;
        let router = session.ends.first()?;
        if let Side::Router(side) = &sides[0]
            && self.network.speaker(router.machine).is_some_and(|router| router.daemon == Daemon::Frr)
            && session.v6
            && side.external
            && !side.keep
        {
            // FRR adds its own link-local address, and BIRD takes that.
            return Some(router.address);
        }
        if speaker.connected.iter().any(|(net, _)| net.contains(&next_hop)) {
            return Some(next_hop).filter(|next_hop| !speaker.addresses.contains(next_hop));
        }
        // `gateway recursive`: by the default route.
        let spec = self.network.spec.nodes.get(node)?;
        spec.gateways.iter().find(|gateway| gateway.is_ipv4() == next_hop.is_ipv4()).copied()
    }

    fn path(&self, arrival: &Arrival, verdict: Verdict) -> Path {
        let peer = self.network.session(arrival.session).map(|(session, _)| session.ends[1 - arrival.end]);
        let attrs = &arrival.heard.attrs;
        Path {
            from: peer.map(|peer| self.network.name(peer.machine).to_owned()),
            peer_address: peer.map(|peer| peer.address),
            as_path: attrs.path.to_vec(),
            next_hop: Some(attrs.next_hop),
            local_pref: attrs.local_pref,
            med: attrs.med,
            rule: match arrival.heard.outcome {
                Ok(rule) => rule.map(|rule| self.network.policies.describe(rule)),
                Err(refusal) => Some(self.refusal(refusal)),
            },
            verdict,
        }
    }

    fn refusal(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Loop => "loop: own AS in the path".to_owned(),
            Refusal::Originator => "loop: it began here".to_owned(),
            Refusal::Cluster => "loop: it was reflected here".to_owned(),
            Refusal::NextHop => "next hop on no network of its own".to_owned(),
            Refusal::Policy(ruling) => self.network.policies.describe(ruling),
            Refusal::Filter => "a BGPFilter".to_owned(),
        }
    }
}

fn own_path(attrs: &Attrs) -> Path {
    Path {
        from: None,
        peer_address: None,
        as_path: Vec::new(),
        next_hop: None,
        local_pref: attrs.local_pref,
        med: attrs.med,
        rule: None,
        verdict: Verdict::Best,
    }
}

fn class_of(verdict: Verdict) -> (u8, Option<Step>) {
    match verdict {
        Verdict::Best => (0, None),
        Verdict::Equal => (1, None),
        Verdict::Lost(step) => (2, Some(step)),
        Verdict::Refused => (3, None),
    }
}

/// What a machine is told of a class.
struct Told<'a> {
    prediction: &'a Prediction<'a>,
    machine: Machine,
    class: &'a Class,
    settled: &'a Settled,
    /// Of a node, by session: what its router sends of others' routes, and of the node's own.
    by_session: Vec<(u32, Option<Attrs>, Option<Attrs>)>,
    /// Of a router: whether there is anything.
    any: bool,
}

impl<'a> Told<'a> {
    fn new(prediction: &'a Prediction<'a>, machine: Machine, class: &'a Class, settled: &'a Settled) -> Self {
        let mut told = Self { prediction, machine, class, settled, by_session: Vec::new(), any: false };
        match machine {
            Machine::Router(router) => {
                let graph = prediction.stage(class).graph;
                told.any = !settled.injected(router).is_empty()
                    || graph.into(router).iter().any(|edge| settled.heard(*edge).is_some());
            }
            Machine::Node(_) => {
                for number in prediction.network.sessions_of(machine) {
                    let others = told.send(*number, false);
                    let back = told.send(*number, true);
                    if others.is_some() || back.is_some() {
                        told.by_session.push((*number, others, back));
                    }
                }
            }
        }
        told
    }

    fn is_empty(&self) -> bool {
        !self.any && self.by_session.is_empty()
    }

    /// What a node's router sends it over a session: `back` when it is a route of the node's own.
    fn send(&self, number: u32, back: bool) -> Option<Attrs> {
        let (prediction, class) = (self.prediction, self.class);
        let (session, _) = prediction.network.session(number)?;
        let Machine::Router(router) = session.ends[0].machine else { return None };
        if session.v6 != class.v6 || !prediction.ups.session(number) {
            return None;
        }
        let stage = prediction.stage(class);
        let (choice, attrs) = self.settled.best(router)?;
        let mut source: Source = stage.source_of(self.settled, router, *choice)?;
        if matches!((choice, self.settled.stand_in), (Choice::Injected(_), Some(_))) {
            source.session = Some(if back { number } else { u32::MAX });
        }
        let alone = prediction.ups.is_alone(session.ends[0].machine, link(session), class.v6);
        export(prediction.network, (number, 0), &source, attrs, (class.net, &class.rules), (alone, &[]))
    }

    /// What arrives of one prefix.
    fn arrivals(&self, prefix: &Prefix) -> Vec<Arrival> {
        let swap = match (self.settled.stand_in, prefix.origin) {
            (Some(from), Some(Machine::Node(to))) if from != to => {
                Some(Swap { network: self.prediction.network, from, to })
            }
            _ => None,
        };
        let attrs = |attrs: &Attrs| swap.as_ref().map_or_else(|| attrs.clone(), |swap| swap.attrs(attrs));
        match self.machine {
            Machine::Router(router) => self.at_router(router, swap.as_ref()),
            Machine::Node(_) => {
                let back = prefix.origin == Some(self.machine);
                let prefix = (prefix.net, &self.class.rules[..]);
                let sent = self.by_session.iter().filter_map(|(session, others, own)| {
                    Some((*session, attrs((if back { own } else { others }).as_ref()?)))
                });
                let network = self.prediction.network;
                sent.map(|(session, sent)| Arrival {
                    session,
                    end: 1,
                    heard: Heard::new(import(network, (session, 1), sent, prefix)),
                })
                .collect()
            }
        }
    }

    fn at_router(&self, router: usize, swap: Option<&Swap<'_>>) -> Vec<Arrival> {
        let heard = |heard: &Heard| Heard {
            attrs: swap.map_or_else(|| heard.attrs.clone(), |swap| swap.attrs(&heard.attrs)),
            outcome: heard.outcome,
        };
        let ups = &self.prediction.ups;
        let injected = self.settled.injected(router).iter().filter(|one| ups.session(one.session));
        let mut all: Vec<Arrival> = injected
            .map(|one| Arrival {
                session: swap.map_or(one.session, |swap| swap.session(one.session)),
                end: 0,
                heard: heard(&one.heard),
            })
            .collect();
        let graph = self.prediction.stage(self.class).graph;
        for number in graph.into(router) {
            let (Some(edge), Some(one)) = (graph.edges.get(*number as usize), self.settled.heard(*number)) else {
                continue;
            };
            if ups.session(edge.session) {
                all.push(Arrival { session: edge.session, end: 1 - edge.end, heard: heard(one) });
            }
        }
        all
    }
}
