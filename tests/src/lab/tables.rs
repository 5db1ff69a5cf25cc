//! Routing tables in one normal form, whoever tells them: a prediction, FRR, BIRD, a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_route::table::{Installed, Table, Verdict};

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
    /// Paths that it heard and refused: from whom, with which AS path.
    pub refused: BTreeSet<(IpAddr, Vec<u32>)>,
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

impl Seen {
    /// The entry of a prefix.
    pub fn at(&mut self, net: IpNet) -> &mut Prefix {
        self.prefixes.entry(net).or_default()
    }

    /// A prediction in this form.
    pub fn predicted(table: &Table) -> Self {
        let mut seen = Self::default();
        for route in &table.routes {
            let prefix = seen.at(route.prefix.net());
            for path in &route.paths {
                let rank = match path.verdict {
                    Verdict::Best => Rank::Best,
                    Verdict::Equal => Rank::Equal,
                    Verdict::Lost(_) => Rank::Lost,
                    Verdict::Refused => {
                        let peer = path.peer_address.expect("nobody refuses what is his own");
                        prefix.refused.insert((peer, path.as_path.clone()));
                        continue;
                    }
                };
                let way = if path.from.is_none() {
                    Way::own()
                } else {
                    Way {
                        peer: path.peer_address,
                        as_path: path.as_path.clone(),
                        next_hop: path.next_hop,
                        local_pref: path.local_pref.unwrap_or(LOCAL_PREF),
                        med: path.med.unwrap_or_default(),
                    }
                };
                prefix.paths.insert(way, rank);
            }
            if let Some(Installed::Via(hops)) = &route.installed {
                prefix.kernel = Some(hops.iter().copied().collect());
            }
        }
        seen
    }

    /// Leaves only what can be told apart where a daemon says less than a prediction.
    pub fn without(mut self, blind: Blind) -> Self {
        for prefix in self.prefixes.values_mut() {
            if blind.refused {
                prefix.refused.clear();
            }
            if blind.equal {
                for rank in prefix.paths.values_mut().filter(|rank| **rank == Rank::Equal) {
                    *rank = Rank::Lost;
                }
            }
        }
        self.prefixes.retain(|_, prefix| *prefix != Prefix::default());
        self
    }
}

/// What a daemon does not show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind {
    /// What it heard and refused.
    pub refused: bool,
    /// What it uses beside the best.
    pub equal: bool,
}

/// Every difference, a line each, with the machine and the prefix.
pub fn differences(machine: &str, predicted: &Seen, seen: &Seen) -> Vec<String> {
    let nothing = Prefix::default();
    let nets: BTreeSet<&IpNet> = predicted.prefixes.keys().chain(seen.prefixes.keys()).collect();
    let mut lines = Vec::new();
    for net in nets {
        let (ours, theirs) = (
            predicted.prefixes.get(net).unwrap_or(&nothing),
            seen.prefixes.get(net).unwrap_or(&nothing),
        );
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
