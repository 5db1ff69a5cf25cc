//! Tables as people and harnesses read them, out of classes.

use std::net::IpAddr;
use std::sync::Arc;

use kmh_doc::Cidr;

use super::Prediction;
use crate::engine::{
    Attrs, Candidate, Choice, Class, Heard, Memo, Origins, Prefix, Reflected, Refusal, Sending, Settled,
    Source, best, export, import, link, may_merge, merges, own_attrs, rank,
};
use crate::network::{Daemon, Machine, Network, Side, Speaker};
use crate::table::{Installed, Path, Route, Step, Table, Verdict};

/// A route as it arrived at a machine.
struct Arrival {
    source: Source,
    heard: Heard,
}

/// What was decided about a prefix.
struct Decided {
    /// Of the machine's own.
    own: Verdict,
    /// Of each arrival.
    verdicts: Vec<Verdict>,
    installed: Option<Installed>,
}

/// The next hop of a prefix, when another node was computed in its origin's place.
fn swapped(network: &Network<'_>, settled: &Settled, prefix: &Prefix, next_hop: IpAddr) -> IpAddr {
    let (Some(from), Some(Machine::Node(to))) = (settled.stand_in, prefix.origin) else { return next_hop };
    let (Some(from), Some(to)) = (network.nodes.get(from), network.nodes.get(to)) else { return next_hop };
    let place = from.addresses.iter().position(|address| *address == next_hop);
    place.and_then(|place| same_family(from, to, place)).unwrap_or(next_hop)
}

/// The sender of a class's routes, when it stands for another node.
struct Swap<'a> {
    network: &'a Network<'a>,
    from: usize,
    to: usize,
}

impl Swap<'_> {
    fn attrs(&self, attrs: &Attrs) -> Attrs {
        let (Some(from), Some(to)) = (self.network.nodes.get(self.from), self.network.nodes.get(self.to))
        else {
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
        if let Some(reflected) = &attrs.reflected
            && reflected.originator == from.id
        {
            attrs.reflected = Some(Arc::new(Reflected { originator: to.id, ..Reflected::clone(reflected) }));
        }
        attrs
    }

    /// The other node's session with the same router.
    fn source(&self, source: &Source) -> Source {
        let Some(number) = source.session else { return *source };
        let Some((session, _)) = self.network.session(number) else { return *source };
        let router = session.ends[0];
        let others = self.network.sessions_of(Machine::Node(self.to)).iter().copied();
        let mut others = others.filter(|other| {
            self.network.session(*other).is_some_and(|(other, _)| {
                other.ends[0].machine == router.machine && other.ends[0].address == router.address
            })
        });
        others.next().and_then(|other| Source::of(self.network, other, 0)).unwrap_or(*source)
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
            Machine::Node(node) => {
                self.classes.of_node.get(node).is_some_and(|own| own.binary_search(&number).is_ok())
            }
            Machine::Router(_) => match &class.origins {
                Origins::Same(machines) => machines.binary_search(&machine).is_ok(),
                Origins::Nodes => false,
            },
        }
    }

    /// What a machine's kernel does with a prefix.
    pub(crate) fn installed(&self, machine: Machine, number: u32) -> Option<Installed> {
        let (prefix, class) = self.classes.with_class(number)?;
        if !self.is_alive(machine) {
            return None;
        }
        if self.is_own(machine, number, class) {
            return Some(Installed::Own);
        }
        if !self.is_announced(prefix, class) {
            return None;
        }
        let settled = self.settled.get(prefix.class as usize)?;
        let speaker = self.network.speaker(machine)?;
        if let (Machine::Router(router), false) = (machine, speaker.multipath) {
            let (_, attrs) = settled.best(router)?;
            return self.kernel(
                speaker,
                prefix,
                vec![swapped(self.network, settled, prefix, attrs.next_hop)],
            );
        }
        if let Machine::Router(router) = machine {
            let (choice, attrs) = settled.best(router)?;
            let stage = self.stage(class);
            let source = stage.source_of(settled, router, *choice)?;
            let best = Candidate { source: &source, attrs };
            let frr = speaker.daemon == Daemon::Frr;
            // In a full mesh nearly all neighbours are of other ASes: what they offer needs no computing.
            let all = stage.offers_of(class, settled, router, |other| may_merge(frr, &source, other));
            let beside = all.iter().filter(|other| merges(frr, &best, &other.candidate()));
            let beside = beside.map(|other| other.attrs.next_hop);
            let gates = beside.chain([attrs.next_hop]);
            return self.kernel(
                speaker,
                prefix,
                gates.map(|gate| swapped(self.network, settled, prefix, gate)).collect(),
            );
        }
        let arrivals = Told::new(self, machine, class, settled).arrivals(prefix);
        self.decide(machine, speaker, prefix, false, &arrivals).installed
    }

    /// What the kernel gets, when a route of BGP's won. A next hop elsewhere than on a router's own networks is found to be
    /// `unreachable`, and the route stays out of the kernel.
    fn kernel(&self, speaker: &Speaker, prefix: &Prefix, mut gates: Vec<IpAddr>) -> Option<Installed> {
        gates.retain(|gate| speaker.is_near(*gate));
        gates.sort_unstable();
        gates.dedup();
        if speaker.connected.iter().any(|(net, _)| *net == prefix.net) {
            Some(Installed::Own)
        } else if gates.is_empty()
            || (speaker.daemon == Daemon::Calico && self.network.calico.is_service(prefix.net))
        {
            None
        } else {
            Some(Installed::Via(gates))
        }
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
        let nothing = || Route { prefix: Cidr::new(prefix.net), paths: Vec::new(), installed: None };
        let Some(speaker) = self.network.speaker(machine) else { return nothing() };
        let decided = self.decide(machine, speaker, prefix, own, arrivals);
        let mut paths: Vec<Path> = Vec::with_capacity(arrivals.len() + 1);
        if own {
            paths.push(own_path(&own_attrs(speaker), decided.own));
        }
        paths.extend(
            arrivals.iter().zip(decided.verdicts).map(|(arrival, verdict)| self.path(arrival, verdict)),
        );
        paths.sort_by(|a, b| {
            let key = |path: &'_ Path| (class_of(path.verdict), path.peer_address);
            key(a).cmp(&key(b)).then_with(|| a.from.cmp(&b.from)).then_with(|| a.as_path.cmp(&b.as_path))
        });
        Route { prefix: Cidr::new(prefix.net), paths, installed: decided.installed }
    }

    /// What becomes of each arrival, and of the packets.
    fn decide(
        &self,
        machine: Machine,
        speaker: &Speaker,
        prefix: &Prefix,
        own: bool,
        arrivals: &[Arrival],
    ) -> Decided {
        let own_attrs = own_attrs(speaker);
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        let mut places: Vec<Option<usize>> = Vec::new();
        let heard = arrivals.iter().any(|arrival| arrival.heard.outcome.is_ok());
        let weak = own && heard && self.classes.is_borrowed(machine, prefix.net);
        let own_verdict = if weak { Verdict::Lost(Step::Own) } else { Verdict::Best };
        if own && !weak {
            candidates.push(Candidate { source: &Source::OWN, attrs: &own_attrs });
            places.push(None);
        }
        for (place, arrival) in
            arrivals.iter().enumerate().filter(|(_, arrival)| arrival.heard.outcome.is_ok())
        {
            candidates.push(Candidate { source: &arrival.source, attrs: &arrival.heard.attrs });
            places.push(Some(place));
        }
        let mut verdicts = vec![Verdict::Refused; arrivals.len()];
        let winner = best(&candidates);
        let Some((place, best)) = winner.and_then(|place| Some((place, candidates.get(place)?))) else {
            return Decided { own: own_verdict, verdicts, installed: None };
        };
        let frr = speaker.daemon == Daemon::Frr;
        let mut gates = Vec::new();
        for ((number, other), at) in candidates.iter().enumerate().zip(&places) {
            let verdict = if number == place {
                Verdict::Best
            } else if speaker.multipath && merges(frr, best, other) {
                Verdict::Equal
            } else {
                match rank(best, other) {
                    (order, step) if order.is_le() => Verdict::Lost(step),
                    // Better than the winner, and worse than another one of its own neighbouring AS.
                    _ => Verdict::Lost(Step::Med),
                }
            };
            let Some(at) = *at else { continue };
            if let (Verdict::Best | Verdict::Equal, Some(arrival)) = (verdict, arrivals.get(at)) {
                gates.extend(self.gate(machine, speaker, arrival));
            }
            if let Some(slot) = verdicts.get_mut(at) {
                *slot = verdict;
            }
        }
        // The kernel's own route stays, whatever BIRD thinks of it.
        let installed = if own { Some(Installed::Own) } else { self.kernel(speaker, prefix, gates) };
        Decided { own: own_verdict, verdicts, installed }
    }

    /// Where the kernel sends packets for a route: its next hop, or what leads there.
    fn gate(&self, machine: Machine, speaker: &Speaker, arrival: &Arrival) -> Option<IpAddr> {
        let next_hop = arrival.heard.attrs.next_hop;
        let Machine::Node(node) = machine else { return Some(next_hop) };
        let (session, sides) = self.network.session(arrival.source.session?)?;
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
        let session = arrival.source.session.and_then(|number| self.network.session(number));
        let peer = session.and_then(|(session, _)| {
            session.ends.iter().find(|end| Some(end.address) == arrival.source.address)
        });
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

fn own_path(attrs: &Attrs, verdict: Verdict) -> Path {
    Path {
        from: None,
        peer_address: None,
        as_path: Vec::new(),
        next_hop: None,
        local_pref: attrs.local_pref,
        med: attrs.med,
        rule: None,
        verdict,
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
    /// Of a router: what came from those that hand on what they learned.
    by_edge: Vec<(Source, Heard)>,
    /// Of a router: whether there is anything.
    any: bool,
}

impl<'a> Told<'a> {
    fn new(prediction: &'a Prediction<'a>, machine: Machine, class: &'a Class, settled: &'a Settled) -> Self {
        let mut told = Self {
            prediction,
            machine,
            class,
            settled,
            by_session: Vec::new(),
            by_edge: Vec::new(),
            any: false,
        };
        match machine {
            Machine::Router(router) => {
                let stage = prediction.stage(class);
                for number in stage.graph.into(router) {
                    let edge = stage.graph.edges.get(*number as usize);
                    let heard = edge.and_then(|edge| stage.tell(class, settled, edge, &mut Memo::default()));
                    if let Some((edge, heard)) = edge.zip(heard) {
                        told.by_edge.push((edge.source, heard));
                    }
                }
                told.any = !settled.injected(router).is_empty() || !told.by_edge.is_empty();
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
        let sending = Sending {
            over: (number, 0),
            source: &source,
            attrs,
            net: class.net,
            rules: &class.rules,
            alone,
            blocks: &[],
        };
        export(prediction.network, &sending, &mut Memo::default())
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
                sent.filter_map(|(session, sent)| {
                    let source = Source::of(network, session, 1)?;
                    Some(Arrival { source, heard: Heard::new(import(network, (session, 1), sent, prefix)) })
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
        let stage = self.prediction.stage(self.class);
        let injected = self.settled.injected(router).iter();
        let injected = injected.filter(|one| stage.is_injected(self.class, router, one));
        let mut all: Vec<Arrival> = injected
            .map(|one| Arrival {
                source: swap.map_or(one.source, |swap| swap.source(&one.source)),
                heard: heard(&one.heard),
            })
            .collect();
        all.extend(self.by_edge.iter().map(|(source, one)| Arrival { source: *source, heard: heard(one) }));
        all
    }
}
