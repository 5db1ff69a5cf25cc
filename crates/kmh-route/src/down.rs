//! What is down in a scenario.

use std::collections::BTreeSet;

use kmh_doc::network::NetworkSpec;

use crate::fault::Fault;

/// What is down; each by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Down {
    /// Tunnels.
    pub tunnels: BTreeSet<String>,
    /// Lines: `ROUTER/UPLINK`.
    pub uplinks: BTreeSet<String>,
    /// Routers.
    pub routers: BTreeSet<String>,
    /// Sites: their routers and nodes.
    pub sites: BTreeSet<String>,
    /// Nodes.
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

    /// From what the command line names: all mistakes at once, things that do not exist among them.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        spec: &NetworkSpec,
    ) -> Result<Self, Vec<Fault>> {
        let mut down = Self::default();
        let mut faults: Vec<Fault> = texts.into_iter().filter_map(|text| down.add(text).err()).collect();
        faults.extend(down.unknown(spec));
        if faults.is_empty() { Ok(down) } else { Err(faults) }
    }

    /// What is named and does not exist.
    fn unknown(&self, spec: &NetworkSpec) -> Vec<Fault> {
        let all = Self::everything(spec);
        let both = self.kinds().into_iter().zip(all.kinds());
        let of_kind = |((kind, named), (_, known)): ((_, &BTreeSet<String>), (_, &BTreeSet<String>))| {
            let fault = |name| {
                let fault = Fault::new("", format!("there is no {kind} `{name}`"));
                if known.is_empty() { fault } else { fault.hint(format!("there are: {}", some_of(known))) }
            };
            named.difference(known).map(fault).collect::<Vec<_>>()
        };
        both.flat_map(of_kind).collect()
    }

    /// The kinds of things, by the names that the command line has for them.
    fn kinds(&self) -> [(&'static str, &BTreeSet<String>); 5] {
        [
            ("tunnel", &self.tunnels),
            ("uplink", &self.uplinks),
            ("router", &self.routers),
            ("site", &self.sites),
            ("node", &self.nodes),
        ]
    }

    /// As the command line names them, sorted.
    pub fn names(&self) -> Vec<String> {
        let name = |(kind, set): (_, &BTreeSet<String>)| {
            set.iter().map(|name| format!("{kind}/{name}")).collect::<Vec<_>>()
        };
        self.kinds().into_iter().flat_map(name).collect()
    }

    /// Whether everything of another scenario is down in this one as well.
    pub fn includes(&self, other: &Self) -> bool {
        self.kinds().into_iter().zip(other.kinds()).all(|((_, own), (_, other))| own.is_superset(other))
    }

    /// Both scenarios at once.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.tunnels.extend(other.tunnels.iter().cloned());
        self.uplinks.extend(other.uplinks.iter().cloned());
        self.routers.extend(other.routers.iter().cloned());
        self.sites.extend(other.sites.iter().cloned());
        self.nodes.extend(other.nodes.iter().cloned());
        self
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
        let spec = Plan::new('A', 2, 1, 1).spec();
        let down = Down::parse(written, &spec).expect("a scenario");
        assert_eq!(down.names(), written);
        let site = Down::parse(["site/s1"], &spec).expect("a site");
        assert!(down.includes(&site) && !site.includes(&down) && !Down::default().includes(&down));
        let others = Down::parse(["tunnel/r0a--r1a", "uplink/r0a/wan", "router/r1a", "node/n00"], &spec);
        assert_eq!(others.expect("a scenario").and(&site), down);
        for wrong in ["n00", "node/", "wire/x", ""] {
            let faults = Down::parse([wrong], &spec).expect_err(wrong);
            assert_eq!(faults[0].to_string(), format!("`{wrong}` names nothing that can be down"));
        }
    }

    #[test]
    fn what_is_not_there() {
        let named = ["node/x", "uplink/r0a/dsl", "tunnel/x", "wire/x"];
        let faults = Down::parse(named, &Plan::new('A', 2, 1, 2).spec()).expect_err("none of them is there");
        let said: Vec<_> =
            faults.iter().map(|fault| (fault.to_string(), fault.hint.clone().unwrap_or_default())).collect();
        let kinds = "write `tunnel/NAME`, `uplink/ROUTER/LINE`, `router/NAME`, `site/NAME` or `node/NAME`";
        let expected = [
            ("`wire/x` names nothing that can be down", kinds),
            ("there is no tunnel `x`", "there are: `r0a--r1a`"),
            ("there is no uplink `r0a/dsl`", "there are: `r0a/wan`, `r1a/wan`"),
            ("there is no node `x`", "there are: `n00`, `n01`, `n10`, `n11`"),
        ];
        assert_eq!(said, expected.map(|(what, hint)| (what.to_owned(), hint.to_owned())));
    }
}
