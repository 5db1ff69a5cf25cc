//! What is down in a scenario.

use std::collections::BTreeSet;

use kmh_doc::network::NetworkSpec;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// What is down; each by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Down {
    /// Tunnels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tunnels: BTreeSet<String>,
    /// Lines: `ROUTER/UPLINK`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uplinks: BTreeSet<String>,
    /// Routers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub routers: BTreeSet<String>,
    /// Sites: their routers and nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sites: BTreeSet<String>,
    /// Nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<String>,
}

impl Down {
    /// Adds what `--down KIND/NAME` names: `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME`, `node/NAME`.
    pub fn add(&mut self, text: &str) -> Result<(), Fault> {
        let parts = text.split_once('/').filter(|(_, name)| !name.is_empty());
        let set = match parts.map(|(kind, _)| kind) {
            Some("tunnel") => &mut self.tunnels,
            Some("uplink") => &mut self.uplinks,
            Some("router") => &mut self.routers,
            Some("site") => &mut self.sites,
            Some("node") => &mut self.nodes,
            _ => {
                return Err(Fault::new("", format!("`{text}` names nothing that can be down")).hint(
                    "write `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME` or `node/NAME`",
                ));
            }
        };
        set.extend(parts.map(|(_, name)| name.to_owned()));
        Ok(())
    }

    /// From what the command line names.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Vec<Fault>> {
        let mut down = Self::default();
        let faults: Vec<Fault> = texts.into_iter().filter_map(|text| down.add(text).err()).collect();
        if faults.is_empty() { Ok(down) } else { Err(faults) }
    }

    /// As the command line names them, sorted.
    pub fn names(&self) -> Vec<String> {
        let sets = [
            ("tunnel", &self.tunnels),
            ("uplink", &self.uplinks),
            ("router", &self.routers),
            ("site", &self.sites),
            ("node", &self.nodes),
        ];
        sets.iter().flat_map(|(kind, set)| set.iter().map(move |name| format!("{kind}/{name}"))).collect()
    }

    /// Whether nothing is down.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether everything of another scenario is down in this one as well.
    pub fn includes(&self, other: &Self) -> bool {
        [
            (&self.tunnels, &other.tunnels),
            (&self.uplinks, &other.uplinks),
            (&self.routers, &other.routers),
            (&self.sites, &other.sites),
            (&self.nodes, &other.nodes),
        ]
        .into_iter()
        .all(|(own, other)| own.is_superset(other))
    }

    /// Whether everything named exists.
    pub fn check(&self, spec: &NetworkSpec) -> Result<(), Vec<Fault>> {
        let all = Self::everything(spec);
        let faults: Vec<Fault> = [
            ("tunnel", &self.tunnels, &all.tunnels),
            ("uplink", &self.uplinks, &all.uplinks),
            ("router", &self.routers, &all.routers),
            ("site", &self.sites, &all.sites),
            ("node", &self.nodes, &all.nodes),
        ]
        .into_iter()
        .flat_map(|(kind, named, known)| {
            named.difference(known).map(move |name| {
                let fault = Fault::new("", format!("there is no {kind} `{name}`"));
                if known.is_empty() { fault } else { fault.hint(format!("there are: {}", some_of(known))) }
            })
        })
        .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Every single thing that can be down.
    pub fn everything(spec: &NetworkSpec) -> Self {
        let ends = || spec.tunnels.iter().flat_map(|tunnel| &tunnel.ends);
        let sites =
            spec.routers.iter().map(|router| &router.site).chain(spec.nodes.iter().map(|node| &node.site));
        Self {
            tunnels: spec.tunnels.iter().map(|tunnel| tunnel.name.clone()).collect(),
            uplinks: ends().map(|end| format!("{}/{}", end.router, end.uplink)).collect(),
            routers: spec.routers.iter().map(|router| router.name.clone()).collect(),
            sites: sites.cloned().collect(),
            nodes: spec.nodes.iter().map(|node| node.name.clone()).collect(),
        }
    }
}

fn some_of(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Plan;

    #[test]
    fn what_the_command_line_names() {
        let written = ["tunnel/r0a--r1a", "uplink/r0a/wan", "router/r1a", "site/s1", "node/n00"];
        let down = Down::parse(written).expect("a scenario");
        assert_eq!(down.names(), written);
        assert_eq!(down.check(&Plan::new('A', 2, 1, 1).spec()), Ok(()));
        assert!(
            down.includes(&Down::parse(["site/s1"]).expect("a site")) && !Down::default().includes(&down)
        );
        for wrong in ["n00", "node/", "wire/x", ""] {
            let faults = Down::parse([wrong]).expect_err(wrong);
            assert_eq!(faults[0].to_string(), format!("`{wrong}` names nothing that can be down"));
        }
    }

    #[test]
    fn what_is_not_there() {
        let down = Down::parse(["node/x", "uplink/r0a/dsl", "tunnel/x"]).expect("a scenario");
        let faults = down.check(&Plan::new('A', 2, 1, 2).spec()).expect_err("none of them is there");
        let said: Vec<_> =
            faults.iter().map(|fault| (fault.to_string(), fault.hint.clone().unwrap_or_default())).collect();
        let expected = [
            ("there is no tunnel `x`", "there are: `r0a--r1a`"),
            ("there is no uplink `r0a/dsl`", "there are: `r0a/wan`, `r1a/wan`"),
            ("there is no node `x`", "there are: `n00`, `n01`, `n10`, `n11`"),
        ];
        assert_eq!(said, expected.map(|(what, hint)| (what.to_owned(), hint.to_owned())));
    }
}
