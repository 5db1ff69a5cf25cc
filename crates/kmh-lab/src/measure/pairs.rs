//! Which streams show what happens to all traffic of which `kmh-bgpcfg what-if` speaks: between nodes that stand for
//! their sites, between pods on them, and from each site's router to Services.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use kmh_doc::network::NetworkSpec;
use kmh_route::Prediction;
use kmh_route::what_if::{Impact, Traffic, What};

use crate::memory::{Memory, space};
use crate::probe::stream::Target;
use crate::state::State;

/// More streams than this disturb what they measure.
const STREAMS: usize = 240;
/// A port on which Services answer, and one on which nodes refuse for them.
const OPEN: u16 = 80;
const REFUSED: u16 = 81;

/// A stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    /// The traffic that it shows, as `what-if` names it. The site that gets what goes to a Service is not known before.
    pub traffic: Traffic,
    /// Where it begins: a namespace.
    pub space: String,
    /// Its source address.
    pub source: IpAddr,
    /// Whom it asks.
    pub target: Target,
}

/// A node that stands for its site.
struct Stand<'m> {
    name: &'m str,
    nodes: Vec<IpAddr>,
    pods: Vec<IpAddr>,
}

fn bare(addresses: &[String]) -> Vec<IpAddr> {
    addresses.iter().filter_map(|text| text.split_once('/')?.0.parse().ok()).collect()
}

/// The first two nodes of each site that live before and after.
fn stands<'m>(memory: &'m Memory, lives: &dyn Fn(&str) -> bool) -> BTreeMap<&'m str, Vec<Stand<'m>>> {
    let mut found: BTreeMap<&str, Vec<Stand<'_>>> = BTreeMap::new();
    for node in memory.network.nodes.iter().filter(|node| lives(&node.name)) {
        let list = found.entry(&node.site).or_default();
        if list.len() < 2 {
            let pods = memory.pods.get(&node.name).cloned().unwrap_or_default();
            list.push(Stand { name: &node.name, nodes: bare(&node.addresses), pods });
        }
    }
    found
}

/// All streams that are wanted. Those of which something is said come first when there are too many.
pub(crate) fn pairs(
    memory: &Memory,
    state: &State,
    before: &Prediction<'_>,
    after: &Prediction<'_>,
    impact: &Impact,
) -> Vec<Pair> {
    let network = before.network();
    let lives = |name: &str| {
        let machine = network.machine(name);
        machine.is_some_and(|machine| before.is_alive(machine) && after.is_alive(machine))
    };
    let stands = stands(memory, &lives);
    let mut found = Vec::new();
    for (to_site, to_list) in &stands {
        let Some(to) = to_list.first() else { continue };
        for (from_site, from_list) in &stands {
            let Some(from) = from_list.iter().find(|from| from.name != to.name) else { continue };
            let pod = format!("pod-{}", from.name);
            let kinds = [
                (What::Pods, pod.as_str(), &from.pods, &to.pods),
                (What::Nodes, from.name, &from.nodes, &to.nodes),
            ];
            for (what, own, sources, targets) in kinds {
                for target in targets {
                    let fits = |ip: &&IpAddr| ip.is_ipv6() == target.is_ipv6();
                    let Some(source) = sources.iter().find(fits) else { continue };
                    found.push(Pair {
                        traffic: traffic(from_site, to_site, what.clone(), *target),
                        space: space(state, own),
                        source: *source,
                        target: Target::Echo(*target),
                    });
                }
            }
        }
    }
    let mut sites: Vec<&str> = Vec::new();
    for router in memory.network.routers.iter().filter(|router| lives(&router.name)) {
        if sites.contains(&router.site.as_str()) {
            continue;
        }
        sites.push(&router.site);
        for (name, target) in services(memory, &memory.network) {
            let fits = |ip: &IpAddr| ip.is_ipv6() == target.is_ipv6();
            let Some(source) = bare(&router.addresses).into_iter().find(fits) else { continue };
            found.push(Pair {
                traffic: traffic(&router.site, "", What::Service(name), target.ip()),
                space: space(state, &router.name),
                source,
                target: Target::Connect(target),
            });
        }
    }
    if found.len() > STREAMS {
        found.sort_by_key(|pair| said(impact, &pair.traffic) == Predicted::AsBefore);
        found.truncate(STREAMS);
    }
    found
}

fn traffic(from: &str, to: &str, what: What, target: IpAddr) -> Traffic {
    let family = if target.is_ipv6() { 6 } else { 4 };
    Traffic { from: from.to_owned(), to: to.to_owned(), what, family }
}

/// Services by the names that `what-if` gives them, and where they answer. Of a range the lab's own Service in it answers
/// by a port that the node itself refuses: what its pods are reached over is another matter. With the Local policy the
/// node has the pod.
fn services(memory: &Memory, spec: &NetworkSpec) -> Vec<(String, SocketAddr)> {
    let ranges = kmh_route::findings::service_ranges(spec);
    let mut found = Vec::new();
    for (address, is_local) in &memory.answering {
        let is_single = memory.services.iter().any(|service| service.address == *address);
        let around = ranges.iter().find(|net| IpNet::contains(net, address));
        match (is_single, around) {
            (true, _) => found.push((address.to_string(), SocketAddr::new(*address, OPEN))),
            (false, Some(range)) => {
                let port = if *is_local { OPEN } else { REFUSED };
                found.push((range.to_string(), SocketAddr::new(*address, port)));
            }
            (false, None) => {}
        }
    }
    found
}

/// What is predicted of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Predicted {
    /// Nothing is lost.
    AsBefore,
    /// It is lost as long as this is broken.
    Lost,
    /// It is lost for so many milliseconds, and comes back another way.
    Moved {
        /// From and to.
        outage_ms: [u32; 2],
        /// Whether only some connections are: those that equal routes gave to what is broken.
        part: bool,
        /// Whether the site's gateway moves meanwhile.
        gateway: bool,
    },
}

impl Predicted {
    /// This and what is predicted of the answers.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Lost, _) | (_, Self::Lost) => Self::Lost,
            (Self::AsBefore, one) | (one, Self::AsBefore) => one,
            (
                Self::Moved { outage_ms: [a, b], part, gateway },
                Self::Moved { outage_ms: [c, d], part: also, gateway: moves },
            ) => {
                Self::Moved { outage_ms: [a.max(c), b.max(d)], part: part && also, gateway: gateway || moves }
            }
        }
    }

    /// The longest that it may be lost and still come back, in milliseconds.
    pub(crate) fn longest(&self) -> u32 {
        match self {
            Self::Moved { outage_ms: [_, to], .. } => *to,
            Self::AsBefore | Self::Lost => 0,
        }
    }
}

/// What is said of one direction.
fn forth(impact: &Impact, traffic: &Traffic) -> (Predicted, Option<String>) {
    let same = |other: &Traffic| {
        let is_service = matches!(other.what, What::Service(_));
        other.from == traffic.from
            && other.what == traffic.what
            && other.family == traffic.family
            && (is_service || other.to == traffic.to)
    };
    if let Some(lost) = impact.lost.iter().find(|lost| same(lost)) {
        return (Predicted::Lost, Some(lost.to.clone()));
    }
    let moved = impact.moved.iter().find(|moved| same(&moved.traffic));
    moved.map_or((Predicted::AsBefore, None), |moved| {
        let gateway = moved.before.routers.first() != moved.after.routers.first();
        let predicted = Predicted::Moved { outage_ms: moved.outage_ms, part: moved.part, gateway };
        (predicted, moved.after.site.clone())
    })
}

/// What is said of a stream: of its questions and of the answers.
pub(crate) fn said(impact: &Impact, traffic: &Traffic) -> Predicted {
    let (there, site) = forth(impact, traffic);
    let answers = match traffic.what {
        // Who answers for a Service is a node of the site that gets it, and who asks has an address of his segment.
        What::Service(_) => {
            site.map(|site| Traffic { from: site, to: traffic.from.clone(), what: What::Nodes, ..*traffic })
        }
        _ => Some(Traffic { from: traffic.to.clone(), to: traffic.from.clone(), ..traffic.clone() }),
    };
    match answers {
        Some(answers) => there.and(forth(impact, &answers).0),
        None => there,
    }
}

/// What is said of and nobody asks about: addresses of a range of Services in which none answers.
pub(crate) fn unasked(impact: &Impact, pairs: &[Pair]) -> Vec<Traffic> {
    let all = impact.lost.iter().chain(impact.moved.iter().map(|moved| &moved.traffic));
    let covers = |pair: &Pair, one: &Traffic| {
        pair.traffic.from == one.from
            && pair.traffic.what == one.what
            && pair.traffic.family == one.family
            && (matches!(one.what, What::Service(_)) || pair.traffic.to == one.to)
    };
    all.filter(|one| !pairs.iter().any(|pair| covers(pair, one))).cloned().collect()
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
