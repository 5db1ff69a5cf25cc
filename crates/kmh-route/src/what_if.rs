//! What changes when something is down: what still reaches what, what moved where, and how long it took.
//!
//! Traffic is looked at between sites, as one living node of each sends it: to pods and nodes of every site, and from
//! every site's router to services. Nodes of one site differ in what they announce, not in what they reach.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::down::Down;
use crate::findings::service_ranges;
use crate::forward::{End, Hop, Way, way};
use crate::ground::Ground;
use crate::lookup::Gate;
use crate::network::{Machine, Network};
use crate::predict::Prediction;

mod scenarios;

use scenarios::{Gone, gone};
pub use scenarios::{implies, singles};

/// Milliseconds that a withdrawal needs to reach the last router, at most: measured 170 over two hops.
const SPREAD_MS: u32 = 500;

/// What a kind of traffic goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Pods.
    Pods,
    /// Nodes.
    Nodes,
    /// A range or an address of services.
    Service(String),
}

/// Traffic of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Traffic {
    /// From a node of this site; for services from its router.
    pub from: String,
    /// To this site; for services the site that gets it.
    pub to: String,
    /// To what.
    pub what: What,
    /// 4 or 6.
    pub family: u8,
}

/// Traffic that goes another way than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Which.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Its way before.
    pub before: Trail,
    /// And now.
    pub after: Trail,
    /// Whether only a part of its connections went there: those that equal routes gave to what is down.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
    /// How long it was lost, from and to in milliseconds.
    pub outage_ms: [u32; 2],
}

/// What a way crosses, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trail {
    /// Routers.
    pub routers: Vec<String>,
    /// Tunnels.
    pub tunnels: Vec<String>,
    /// The site where it ends: of services it matters which site gets them, not which of its nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// What a scenario does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Impact {
    /// What is down.
    pub down: Vec<String>,
    /// Other things whose loss does the same to everybody but themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub like: Vec<String>,
    /// Traffic between living machines that arrives no more.
    pub lost: Vec<Traffic>,
    /// Traffic that goes another way.
    pub moved: Vec<Moved>,
    /// Groups of sites that still reach each other, when there is more than one.
    pub partitions: Vec<Vec<String>>,
    /// The longest outage of what was moved; none when nothing was.
    pub outage_ms: Option<[u32; 2]>,
}

/// Traffic of one kind, by numbers: sites by their place in [`Before::sites`], pods, nodes, then services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    from: usize,
    /// For services the same as `from`.
    to: usize,
    what: usize,
    v6: bool,
}

const PODS: usize = 0;
const NODES: usize = 1;
const SERVICES: usize = 2;

/// The ways of all traffic in one scenario.
type Ways = BTreeMap<Key, Way>;

/// Everything as it is when nothing is down beyond what the prediction says.
pub struct Before<'n> {
    prediction: Prediction<'n>,
    sites: Vec<&'n str>,
    /// Addresses of pods by the node's place: one a family.
    pods: Vec<Vec<IpAddr>>,
    services: Vec<(String, IpAddr)>,
    /// Nodes that stand for their sites.
    stands: Stands,
    ways: Ways,
    /// Which ways cross a tunnel or a machine, or could by an equal route.
    by_tunnel: BTreeMap<String, BTreeSet<Key>>,
    by_machine: BTreeMap<Machine, BTreeSet<Key>>,
    /// Which ways lead to an address.
    by_target: BTreeMap<IpAddr, Vec<Key>>,
    /// Machines by site.
    members: Vec<Vec<Machine>>,
}

/// The first two living nodes of each site: two, so that ways inside a site are looked at too.
type Stands = Vec<Vec<Machine>>;

impl<'n> Before<'n> {
    /// From a prediction and what it rests on.
    pub fn new(prediction: Prediction<'n>, ground: &Ground) -> Self {
        let network = prediction.network();
        let spec = network.spec;
        let sites: BTreeSet<&str> = spec.nodes.iter().map(|node| node.site.as_str()).collect();
        let sites = sites.into_iter().chain(spec.routers.iter().map(|router| router.site.as_str()));
        let sites: Vec<&str> = sites.collect::<BTreeSet<_>>().into_iter().collect();
        let mut pods: Vec<Vec<IpAddr>> = vec![Vec::new(); spec.nodes.len()];
        for (block, node) in &ground.blocks {
            let Some(Machine::Node(n)) = network.machine(node) else { continue };
            let Some(list) = pods.get_mut(n) else { continue };
            if !list.iter().any(|ip| ip.is_ipv4() == block.addr().is_ipv4()) {
                list.push(block.addr());
            }
        }
        let ranges = service_ranges(spec).into_iter().map(|net| (net.to_string(), net.addr()));
        let singles = ground.services.iter().map(|service| (service.address.to_string(), service.address));
        let services = ranges.chain(singles).collect();
        let mut members = vec![Vec::new(); sites.len()];
        let nodes = (0..spec.nodes.len()).map(Machine::Node);
        for machine in nodes.chain((0..spec.routers.len()).map(Machine::Router)) {
            let place = sites.binary_search(&network.site(machine)).ok();
            if let Some(list) = place.and_then(|place| members.get_mut(place)) {
                list.push(machine);
            }
        }
        let mut before = Self {
            prediction,
            sites,
            pods,
            services,
            stands: Stands::new(),
            ways: Ways::new(),
            by_tunnel: BTreeMap::new(),
            by_machine: BTreeMap::new(),
            by_target: BTreeMap::new(),
            members,
        };
        before.stands = before.members.iter().map(|list| before.stand(&before.prediction, list)).collect();
        before.ways = before.ways_of(&before.prediction, &before.stands, &|_| true);
        let targets: Vec<(IpAddr, Key)> =
            before.ways.keys().filter_map(|key| Some((before.target(*key)?, *key))).collect();
        for (target, key) in targets {
            before.by_target.entry(target).or_default().push(key);
        }
        for (key, way) in &before.ways {
            for hop in &way.hops {
                before.by_machine.entry(hop.machine).or_default().insert(*key);
            }
            for (_, gate) in gates(way) {
                if let Some(tunnel) = &gate.tunnel {
                    before.by_tunnel.entry(tunnel.clone()).or_default().insert(*key);
                }
                if let Some(next) = network.owner(gate.next_hop) {
                    before.by_machine.entry(next).or_default().insert(*key);
                }
            }
        }
        before
    }

    /// Ways that can be others than before. All others go through the same routes: no table of theirs changed, and nothing
    /// on them is gone. So the cost of a scenario is that of what it touches.
    fn touched(&self, after: &Prediction<'_>, gone: &Gone) -> BTreeSet<Key> {
        let network = self.prediction.network();
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        keys.extend(gone.tunnels.iter().filter_map(|tunnel| self.by_tunnel.get(tunnel)).flatten());
        keys.extend(gone.machines.iter().filter_map(|machine| self.by_machine.get(machine)).flatten());
        // Nodes of the site learned from it, and another one may stand for the site now.
        let sites: BTreeSet<usize> = gone
            .machines
            .iter()
            .filter_map(|machine| self.sites.binary_search(&network.site(*machine)).ok())
            .collect();
        let changed =
            self.by_target.iter().filter(|(target, _)| !after.routes_alike(&self.prediction, **target));
        for (target, list) in changed {
            let alike = |hop: &Hop| after.hop_alike(&self.prediction, hop.machine, *target);
            let other = |key: &&Key| self.ways.get(key).is_none_or(|way| !way.hops.iter().all(alike));
            keys.extend(list.iter().filter(other));
        }
        if !sites.is_empty() {
            keys.extend(self.ways.keys().filter(|key| sites.contains(&key.from) || sites.contains(&key.to)));
        }
        // How long traffic is lost depends on the answers' way as well.
        let answers: Vec<Key> = keys.iter().map(|key| Key { from: key.to, to: key.from, ..*key }).collect();
        keys.extend(answers);
        keys
    }

    /// The address by which a way was looked at.
    fn target(&self, key: Key) -> Option<IpAddr> {
        if let Some(service) = key.what.checked_sub(SERVICES) {
            return self.services.get(service).map(|(_, address)| *address);
        }
        let to = *self.stands.get(key.to)?.first()?;
        self.targets(to).find(|(what, ip)| *what == key.what && ip.is_ipv6() == key.v6).map(|(_, ip)| ip)
    }

    /// Addresses of a node and of its pods, one a family.
    fn targets(&self, to: Machine) -> impl Iterator<Item = (usize, IpAddr)> {
        let place = match to {
            Machine::Node(place) => self.pods.get(place),
            Machine::Router(_) => None,
        };
        let pods = place.into_iter().flatten().map(|ip| (PODS, *ip));
        pods.chain(crate::findings::own_addresses(self.prediction.network().spec, to).map(|ip| (NODES, ip)))
    }

    /// What happens when this goes down too.
    pub fn when(&self, down: &Down) -> Impact {
        let after = self.prediction.with(&self.prediction.down().clone().and(down));
        let gone = gone(self.prediction.network(), down);
        let touched = self.touched(&after, &gone);
        self.impact(down, &after, &gone, &touched)
    }

    /// The same, with every way looked at again, and every route computed again: what [`Before::when`] must be equal to.
    pub fn when_slowly(&self, down: &Down) -> Impact {
        let all = self.prediction.down().clone().and(down);
        let after = crate::predict(self.prediction.network(), self.prediction.ground(), &all);
        let gone = gone(self.prediction.network(), down);
        self.impact(down, &after, &gone, &self.ways.keys().copied().collect())
    }

    fn impact(&self, down: &Down, after: &Prediction<'_>, gone: &Gone, touched: &BTreeSet<Key>) -> Impact {
        let network = self.prediction.network();
        let hit: BTreeSet<&str> = gone.machines.iter().map(|machine| network.site(*machine)).collect();
        let sites = self.sites.iter().zip(&self.members).zip(&self.stands);
        let stands: Stands = sites
            .map(
                |((site, list), stand)| {
                    if hit.contains(site) { self.stand(after, list) } else { stand.clone() }
                },
            )
            .collect();
        let now = self.ways_of(after, &stands, &|key| touched.contains(&key));
        // Where another node stands for a site now, its own ways before are what counts: what its neighbour sent and got
        // before it went down did not move to it.
        let others = self.replaced(&stands);
        let mut impact = Impact {
            down: down.names(),
            like: Vec::new(),
            lost: Vec::new(),
            moved: Vec::new(),
            partitions: self.partitions(&stands, &now, touched),
            outage_ms: None,
        };
        for (key, way) in &now {
            let Some(old) = others.get(key).or_else(|| self.ways.get(key)).filter(|old| old.end.arrives())
            else {
                continue;
            };
            if !way.end.arrives() {
                impact.lost.push(self.traffic(*key, old));
                continue;
            }
            let (before, after) = (trail(network, old), trail(network, way));
            let answers = Key { from: key.to, to: key.from, ..*key };
            let answers = others.get(&answers).or_else(|| self.ways.get(&answers));
            let outage_ms = self.outage(std::iter::once(old).chain(answers), gone);
            if before != after || outage_ms != [0, 0] {
                let part = outage_ms != [0, 0] && self.is_part(old, gone);
                let traffic = self.traffic(*key, way);
                impact.moved.push(Moved { traffic, before, after, part, outage_ms });
            }
        }
        impact.outage_ms =
            impact.moved.iter().map(|moved| moved.outage_ms).reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        impact
    }

    fn traffic(&self, key: Key, way: &Way) -> Traffic {
        let site = |n: usize| self.sites.get(n).copied().unwrap_or_default().to_owned();
        let what = match key.what {
            PODS => What::Pods,
            NODES => What::Nodes,
            n => What::Service(self.services.get(n - SERVICES).map_or_else(String::new, |one| one.0.clone())),
        };
        let to = match (&what, way.end) {
            (What::Service(_), End::Delivered(at)) => self.prediction.network().site(at).to_owned(),
            _ => site(key.to),
        };
        Traffic { from: site(key.from), to, what, family: if key.v6 { 6 } else { 4 } }
    }

    /// How long traffic is lost: until the router before what went down has noticed. The answer's way is the same one
    /// backwards, noticed by the other end, so the longest of all given ways counts.
    fn outage<'w>(&self, ways: impl Iterator<Item = &'w Way>, gone: &Gone) -> [u32; 2] {
        let network = self.prediction.network();
        let mut longest = [0, 0];
        for (hop, gate) in ways.flat_map(gates) {
            let Some(next) = network.owner(gate.next_hop).filter(|_| gone.has(network, gate)) else {
                continue;
            };
            let Some([from, to]) = silence(network, hop.machine, next, gate.tunnel.as_deref()) else {
                continue;
            };
            let to = to.saturating_add(SPREAD_MS);
            // Below a second the spreading outweighs the detection: what nobody promises to be faster than is half.
            longest = [longest[0].max(from.max(to.div_ceil(2))), longest[1].max(to)];
        }
        longest
    }

    /// Whether equal routes sent only some of a way's connections to what is gone.
    fn is_part(&self, way: &Way, gone: &Gone) -> bool {
        let network = self.prediction.network();
        let left = way.hops.iter().filter_map(|hop| hop.found.as_ref()).filter_map(|found| {
            let lost = found.gates.iter().filter(|gate| gone.has(network, gate)).count();
            (lost > 0).then(|| found.gates.len() - lost)
        });
        left.min().is_some_and(|left| left > 0)
    }

    /// The ways before, of those sites for which another node stands now.
    fn replaced(&self, stands: &Stands) -> Ways {
        let both = self.stands.iter().zip(stands);
        let changed: Vec<bool> = both.map(|(before, now)| before != now && !now.is_empty()).collect();
        if !changed.contains(&true) {
            return Ways::new();
        }
        let is_changed = |site: usize| changed.get(site).copied().unwrap_or(false);
        self.between(&self.prediction, stands, &|key| is_changed(key.from) || is_changed(key.to))
    }

    /// Groups of sites whose nodes reach each other in both directions; none when all do.
    fn partitions(&self, stands: &Stands, ways: &Ways, touched: &BTreeSet<Key>) -> Vec<Vec<String>> {
        let untouched = self.ways.iter().filter(|(key, _)| !touched.contains(key));
        let cut: BTreeSet<(usize, usize)> = ways
            .iter()
            .chain(untouched)
            .filter(|(key, way)| key.what == PODS && !way.end.arrives())
            .flat_map(|(key, _)| [(key.from, key.to), (key.to, key.from)])
            .collect();
        let nodes = stands.iter().enumerate();
        let living: Vec<usize> = nodes.filter(|(_, list)| !list.is_empty()).map(|(n, _)| n).collect();
        // Reaching each other is not transitive: a site in the middle may reach two that are apart, and is in both groups.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for first in &living {
            if groups.iter().any(|group| group.contains(first)) {
                continue;
            }
            let mut group = vec![*first];
            for other in &living {
                if other != first && group.iter().all(|one| !cut.contains(&(*one, *other))) {
                    group.push(*other);
                }
            }
            group.sort_unstable();
            groups.push(group);
        }
        if groups.len() < 2 {
            return Vec::new();
        }
        let name = |n: usize| self.sites.get(n).copied().unwrap_or_default().to_owned();
        groups.into_iter().map(|group| group.into_iter().map(name).collect()).collect()
    }

    /// The first two nodes of a site that live in this scenario and did before.
    fn stand(&self, prediction: &Prediction<'_>, members: &[Machine]) -> Vec<Machine> {
        let nodes = members.iter().filter(|machine| matches!(machine, Machine::Node(_)));
        nodes.filter(|node| self.lives(prediction, **node)).take(2).copied().collect()
    }

    fn lives(&self, prediction: &Prediction<'_>, machine: Machine) -> bool {
        prediction.is_alive(machine) && self.prediction.is_alive(machine)
    }

    /// The wanted ways of a scenario: between these nodes, and from each site's first living router to services.
    fn ways_of(&self, prediction: &Prediction<'_>, nodes: &Stands, wanted: &dyn Fn(Key) -> bool) -> Ways {
        let mut ways = self.between(prediction, nodes, wanted);
        for (site, members) in self.members.iter().enumerate() {
            let mut routers = members.iter().filter(|machine| matches!(machine, Machine::Router(_)));
            let Some(router) = routers.find(|router| self.lives(prediction, **router)) else { continue };
            for (number, (_, target)) in self.services.iter().enumerate() {
                let key = Key { from: site, to: site, what: SERVICES + number, v6: target.is_ipv6() };
                if wanted(key) {
                    ways.insert(key, way(prediction, *router, None, *target));
                }
            }
        }
        ways
    }

    /// The wanted ways between nodes that stand for their sites.
    fn between(&self, prediction: &Prediction<'_>, nodes: &Stands, wanted: &dyn Fn(Key) -> bool) -> Ways {
        let mut ways = Ways::new();
        for (to_site, to) in nodes.iter().enumerate().filter_map(|(n, to)| Some((n, *to.first()?))) {
            for (what, target) in self.targets(to) {
                for (from_site, from) in nodes.iter().enumerate() {
                    let key = Key { from: from_site, to: to_site, what, v6: target.is_ipv6() };
                    let from = from.iter().copied().find(|from| *from != to);
                    let Some(from) = from.filter(|_| wanted(key)) else { continue };
                    let mut found = way(prediction, from, None, target);
                    if found.end != End::Delivered(to) && found.end.arrives() {
                        // It arrived, but at somebody else.
                        found.end = End::Blackhole(to);
                    }
                    ways.insert(key, found);
                }
            }
        }
        ways
    }
}

/// Every gate of a way, the equal ones that this packet does not take among them.
fn gates(way: &Way) -> impl Iterator<Item = (&Hop, &Gate)> {
    way.hops.iter().flat_map(|hop| {
        hop.found.iter().flat_map(move |found| found.gates.iter().map(move |gate| (hop, gate)))
    })
}

/// After how long `here` notices that `there` is silent; none when nothing watches it (a node and its gateway).
fn silence(network: &Network<'_>, here: Machine, there: Machine, tunnel: Option<&str>) -> Option<[u32; 2]> {
    let Machine::Router(n) = here else { return None };
    let peer = network.name(there);
    let sessions = &network.spec.routers.get(n)?.sessions;
    let mine = sessions.iter().filter(|one| one.peer == peer && one.tunnel.as_deref() == tunnel);
    mine.map(|one| one.outage.silent_ms).reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])])
}

fn trail(network: &Network<'_>, way: &Way) -> Trail {
    Trail {
        routers: way.routers().map(|n| network.name(Machine::Router(n)).to_owned()).collect(),
        tunnels: way.tunnels().map(str::to_owned).collect(),
        site: match way.end {
            End::Delivered(at) => Some(network.site(at).to_owned()),
            _ => None,
        },
    }
}
