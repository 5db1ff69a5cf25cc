//! Which sites are joined by tunnels, by what the inventory says about their shape.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::Label;
use kmh_doc::inventory::{Shape, Tunnels};

/// Which sites are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topology<'a> {
    /// Every site with every other. With a fallback, routers that cannot meet reach each other through that site.
    Mesh { fallback: Option<&'a Label> },
    /// Every site with the hub.
    Hub(&'a Label),
    /// These pairs, each with the name that sorts first in front.
    List(BTreeSet<(&'a Label, &'a Label)>),
}

impl<'a> Topology<'a> {
    /// What is asked for. Where two statements contradict each other, the checks say so.
    pub(crate) fn of(tunnels: &'a Tunnels) -> Self {
        let hub = tunnels.hub.as_ref();
        match (tunnels.shape, hub) {
            (Some(Shape::List), _) => Self::List(listed(tunnels)),
            (None, None) if !tunnels.pairs.is_empty() => Self::List(listed(tunnels)),
            (Some(Shape::Hub) | None, Some(hub)) => Self::Hub(hub),
            (Some(Shape::Mesh | Shape::Hub) | None, _) => Self::Mesh { fallback: hub },
        }
    }

    /// Whether routers of two sites are to be joined.
    pub(crate) fn joins(&self, one: &Label, other: &Label) -> bool {
        one != other
            && match self {
                Self::Mesh { .. } => true,
                Self::Hub(hub) => one == *hub || other == *hub,
                Self::List(pairs) => pairs.contains(&ordered(one, other)),
            }
    }

    /// The site that carries what cannot meet.
    pub(crate) fn fallback(&self) -> Option<&'a Label> {
        match self {
            Self::Mesh { fallback } => *fallback,
            Self::Hub(_) | Self::List(_) => None,
        }
    }
}

/// Two names, the one that sorts first in front.
pub(crate) fn ordered<'a>(one: &'a Label, other: &'a Label) -> (&'a Label, &'a Label) {
    if one <= other { (one, other) } else { (other, one) }
}

fn listed(tunnels: &Tunnels) -> BTreeSet<(&Label, &Label)> {
    tunnels.pairs.iter().map(|[one, other]| ordered(one, other)).collect()
}

/// The parts into which `sites` fall when only these pairs of them are joined, each sorted, the first name's part first.
pub(crate) fn parts<'a>(
    sites: &BTreeSet<&'a Label>,
    pairs: &BTreeSet<(&'a Label, &'a Label)>,
) -> Vec<Vec<&'a Label>> {
    let mut neighbours: BTreeMap<&Label, Vec<&Label>> = BTreeMap::new();
    for (one, other) in pairs {
        neighbours.entry(one).or_default().push(other);
        neighbours.entry(other).or_default().push(one);
    }
    let mut left = sites.clone();
    let mut parts = Vec::new();
    while let Some(first) = left.pop_first() {
        let (mut part, mut open) = (vec![first], vec![first]);
        while let Some(here) = open.pop() {
            for next in neighbours.get(here).into_iter().flatten() {
                if let Some(site) = left.take(next) {
                    part.push(site);
                    open.push(site);
                }
            }
        }
        part.sort();
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnels(words: &str) -> Tunnels {
        serde_json::from_str(&format!(r#"{{"network": "10.255.0.0/16"{words}}}"#)).unwrap()
    }

    #[test]
    fn shapes() {
        let names: Vec<Label> = ["a", "b", "c", "d"].iter().map(|name| name.parse().unwrap()).collect();
        let rows = [
            ("", "ab ac ad bc bd cd"),
            (r#", "shape": "mesh""#, "ab ac ad bc bd cd"),
            (r#", "shape": "mesh", "hub": "b""#, "ab ac ad bc bd cd"),
            (r#", "hub": "b""#, "ab bc bd"),
            (r#", "shape": "hub", "hub": "c""#, "ac bc cd"),
            (r#", "pairs": [["b", "a"], ["c", "d"]]"#, "ab cd"),
            (r#", "shape": "list", "pairs": [["d", "a"]]"#, "ad"),
        ];
        for (words, expected) in rows {
            let tunnels = tunnels(words);
            let topology = Topology::of(&tunnels);
            let mut joined = Vec::new();
            for (n, one) in names.iter().enumerate() {
                for other in &names[n + 1..] {
                    assert_eq!(topology.joins(one, other), topology.joins(other, one));
                    if topology.joins(one, other) {
                        joined.push(format!("{one}{other}"));
                    }
                }
                assert!(!topology.joins(one, one));
            }
            assert_eq!(joined.join(" "), expected, "{words}");
            let fallback = words.contains("mesh") && words.contains("hub");
            assert_eq!(topology.fallback().is_some(), fallback, "{words}");
        }
    }

    #[test]
    fn parts_of_a_list() {
        let names: Vec<Label> = ["a", "b", "c", "d", "e"].iter().map(|name| name.parse().unwrap()).collect();
        let sites: BTreeSet<&Label> = names.iter().collect();
        let pairs = BTreeSet::from([(&names[0], &names[3]), (&names[2], &names[4]), (&names[0], &names[2])]);
        let said: Vec<String> = parts(&sites, &pairs)
            .iter()
            .map(|part| part.iter().map(|site| site.as_str()).collect())
            .collect();
        assert_eq!(said, ["acde", "b"]);
    }
}
