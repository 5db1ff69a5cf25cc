//! Routing tables in one normal form, whoever tells them: a prediction, FRR, BIRD, a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use kmh_doc::inventory::BgpDaemon;
use serde_json::Value;

/// What counts where a path carries no `LOCAL_PREF`.
const LOCAL_PREF: u32 = 100;

/// The table of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Each prefix of which it knows.
    pub prefixes: BTreeMap<IpNet, Prefix>,
}

/// What a machine knows of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// Accepted paths, and how they ended.
    pub paths: BTreeMap<Way, Rank>,
    /// Paths that a filter refused: from whom, with which AS path.
    pub refused: BTreeSet<(IpAddr, Vec<u32>)>,
    /// Paths that it refused as loops (RFC 4271, 9; RFC 4456, 8).
    pub loops: BTreeSet<(IpAddr, Vec<u32>)>,
    /// Next hops of the route that its kernel has from BGP; none when it has no such route.
    pub kernel: Option<BTreeSet<IpAddr>>,
}

/// An accepted path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// The peer's address; none for the machine's own.
    pub peer: Option<IpAddr>,
    /// The AS path, nearest first.
    pub as_path: Vec<u32>,
    /// The next hop; none for the machine's own.
    pub next_hop: Option<IpAddr>,
    /// `LOCAL_PREF`.
    pub local_pref: u32,
    /// MED.
    pub med: u32,
}

/// How a path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The chosen one.
    Best,
    /// Used beside it.
    Equal,
    /// Neither.
    Lost,
}

impl Way {
    /// A path of the machine's own.
    pub fn own() -> Self {
        Self { peer: None, as_path: Vec::new(), next_hop: None, local_pref: LOCAL_PREF, med: 0 }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(peer) = self.peer else { return f.write_str("own") };
        write!(f, "from {peer} path [{}]", spaced(&self.as_path))?;
        if let Some(hop) = self.next_hop {
            write!(f, " next hop {hop}")?;
        }
        write!(f, " local_pref {} med {}", self.local_pref, self.med)
    }
}

fn spaced<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn parsed<T: FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

impl Seen {
    /// The entry of a prefix.
    pub fn at(&mut self, net: IpNet) -> &mut Prefix {
        self.prefixes.entry(net).or_default()
    }

    /// A predicted table in this form, read as anybody would who has only the JSON.
    pub fn predicted(table: &Value) -> Self {
        let mut seen = Self::default();
        for route in items(&table["routes"]) {
            let prefix = seen.at(parsed(&route["prefix"]).expect("a prefix"));
            for path in items(&route["paths"]) {
                let as_path = items(&path["as_path"]).iter().filter_map(number).collect();
                let rank = match &path["verdict"] {
                    Value::String(word) if word == "best" => Rank::Best,
                    Value::String(word) if word == "equal" => Rank::Equal,
                    Value::String(word) if word == "refused" => {
                        let peer = parsed(&path["peer_address"]).expect("nobody refuses what is his own");
                        let by_loop = path["rule"].as_str().is_some_and(|rule| rule.starts_with("loop"));
                        let refused = if by_loop { &mut prefix.loops } else { &mut prefix.refused };
                        refused.insert((peer, as_path));
                        continue;
                    }
                    other => {
                        assert!(other.get("lost").is_some(), "a verdict: {other}");
                        Rank::Lost
                    }
                };
                let way = Way {
                    peer: parsed(&path["peer_address"]),
                    as_path,
                    next_hop: parsed(&path["next_hop"]),
                    local_pref: number(&path["local_pref"]).unwrap_or(LOCAL_PREF),
                    med: number(&path["med"]).unwrap_or_default(),
                };
                prefix.paths.insert(if path["from"].is_null() { Way::own() } else { way }, rank);
            }
            if let Value::Array(hops) = &route["installed"]["via"] {
                prefix.kernel = Some(hops.iter().filter_map(parsed).collect());
            }
        }
        seen
    }

    /// Leaves out what depends on history: what FRR tells a node of the node's own routes has the node or the router for
    /// next hop, by whether its sessions with all nodes came up within its coalesce time. BIRD prefers the latter; the
    /// node's kernel delivers to its own pod in any case.
    pub fn without_history(mut self) -> Self {
        for prefix in self.prefixes.values_mut().filter(|prefix| prefix.paths.contains_key(&Way::own())) {
            let paths = std::mem::take(&mut prefix.paths).into_iter();
            let blurred = |(way, rank): (Way, Rank)| {
                if way.peer.is_none() { (way, rank) } else { (Way { next_hop: None, ..way }, Rank::Lost) }
            };
            prefix.paths = paths.map(blurred).collect();
        }
        self
    }

    /// Leaves only what a daemon shows.
    pub fn as_shown_by(mut self, daemon: BgpDaemon) -> Self {
        for prefix in self.prefixes.values_mut() {
            match daemon {
                // It shows what it refused, and not why.
                BgpDaemon::Frr => {
                    let loops = std::mem::take(&mut prefix.loops);
                    prefix.refused.extend(loops);
                }
                // Loops are gone before it stores anything, and what is used beside the best has no mark.
                BgpDaemon::Bird => {
                    prefix.loops.clear();
                    for rank in prefix.paths.values_mut().filter(|rank| **rank == Rank::Equal) {
                        *rank = Rank::Lost;
                    }
                }
            }
        }
        self.prefixes.retain(|_, prefix| *prefix != Prefix::default());
        self
    }
}

/// Every difference, a line each, with the machine and the prefix.
pub fn differences(machine: &str, predicted: &Seen, seen: &Seen) -> Vec<String> {
    let nothing = Prefix::default();
    let nets: BTreeSet<&IpNet> = predicted.prefixes.keys().chain(seen.prefixes.keys()).collect();
    let mut lines = Vec::new();
    for net in nets {
        let (ours, theirs) =
            (predicted.prefixes.get(net).unwrap_or(&nothing), seen.prefixes.get(net).unwrap_or(&nothing));
        let mut say = |text: String| lines.push(format!("{machine} {net}: {text}"));
        let ways: BTreeSet<&Way> = ours.paths.keys().chain(theirs.paths.keys()).collect();
        for way in ways {
            match (ours.paths.get(way), theirs.paths.get(way)) {
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) => say(format!("{way}: predicted {a:?}, is {b:?}")),
                (Some(a), None) => say(format!("{way}: predicted {a:?}, is not there")),
                (None, Some(b)) => say(format!("{way}: not predicted, is {b:?}")),
                (None, None) => {}
            }
        }
        for (peer, path) in ours.refused.difference(&theirs.refused) {
            say(format!("from {peer} path [{}]: predicted refused, was not heard", spaced(path)));
        }
        for (peer, path) in theirs.refused.difference(&ours.refused) {
            say(format!("from {peer} path [{}]: was refused, not predicted", spaced(path)));
        }
        if ours.kernel != theirs.kernel {
            let hops = |kernel: &Option<BTreeSet<IpAddr>>| {
                kernel.as_ref().map_or("none".to_owned(), |hops| format!("[{}]", spaced(hops)))
            };
            say(format!("kernel: predicted {}, has {}", hops(&ours.kernel), hops(&theirs.kernel)));
        }
    }
    lines
}
