//! `frr.conf`: neighbours, filters and what refers to what. `vtysh -C` does not look for undefined names.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{Line, lines};

/// What an `frr.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrrConf<'a> {
    /// The AS number of `router bgp`.
    pub(crate) asn: Option<&'a str>,
    /// Neighbours by address.
    pub(crate) neighbors: BTreeMap<&'a str, Neighbor<'a>>,
    /// What is defined, kind and name.
    pub(crate) defined: BTreeSet<(Filter, &'a str)>,
    /// What is referred to, kind and name, with the line.
    pub(crate) used: BTreeMap<(Filter, &'a str), usize>,
    /// Lines that say by themselves what they mean, without their sequence numbers, as words with single blanks.
    pub(crate) statements: BTreeSet<String>,
    /// Groups of whoever calls out of a range, by the range.
    pub(crate) listen: BTreeMap<&'a str, &'a str>,
    /// BFD profiles: their lines.
    pub(crate) profiles: BTreeMap<&'a str, BTreeSet<String>>,
    /// Rules of route maps, by name and sequence number.
    pub(crate) rules: BTreeMap<(&'a str, u32), Rule>,
    /// The rule that the next line belongs to.
    inside: Option<(&'a str, u32)>,
    /// The BFD profile that the next line belongs to.
    profile: Option<&'a str>,
}

/// A rule of a route map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Whether it permits.
    pub(crate) permit: bool,
    /// What it matches and does, but for descriptions.
    pub(crate) lines: BTreeSet<String>,
}

/// A neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Neighbor<'a> {
    /// Its AS number.
    pub(crate) remote_as: Option<&'a str>,
    /// Names of route maps, in and out, of all families.
    pub(crate) import: BTreeSet<&'a str>,
    /// What is sent.
    pub(crate) export: BTreeSet<&'a str>,
    /// Whether an address family activates it.
    pub(crate) active: bool,
    /// Its BFD profile.
    pub(crate) bfd: Option<&'a str>,
}

/// A kind of filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filter {
    /// `route-map`.
    RouteMap,
    /// `ip prefix-list`.
    PrefixList4,
    /// `ipv6 prefix-list`.
    PrefixList6,
    /// `bgp as-path access-list`.
    AsPath,
}

impl Filter {
    /// As `frr.conf` calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::RouteMap => "route-map",
            Self::PrefixList4 => "ip prefix-list",
            Self::PrefixList6 => "ipv6 prefix-list",
            Self::AsPath => "as-path access-list",
        }
    }
}

impl<'a> FrrConf<'a> {
    /// Reads it.
    pub(crate) fn read(text: &'a str) -> Self {
        let mut conf = Self::default();
        for line in lines(text, &['!', '#']) {
            conf.line(&line);
        }
        conf
    }

    fn line(&mut self, line: &Line<'a>) {
        self.meaning(line);
        match line.words.as_slice() {
            ["router", "bgp", asn, ..] => self.asn = Some(asn),
            ["neighbor", peer, "remote-as", asn] => self.neighbor(peer).remote_as = Some(asn),
            ["neighbor", peer, "bfd", "profile", profile] => self.neighbor(peer).bfd = Some(profile),
            ["neighbor", peer, "activate"] => self.neighbor(peer).active = true,
            ["neighbor", peer, "route-map", name, way] => {
                let neighbor = self.neighbor(peer);
                if *way == "in" {
                    neighbor.import.insert(name)
                } else {
                    neighbor.export.insert(name)
                };
                self.uses(Filter::RouteMap, name, line);
            }
            ["neighbor", _, "prefix-list", name, _] => {
                // Either family's: the address family around it decides; both are looked for.
                self.uses(Filter::PrefixList4, name, line);
            }
            ["route-map", name, "permit" | "deny", ..] => self.defines(Filter::RouteMap, name),
            ["ip", "prefix-list", name, rest @ ..] if rest.first() != Some(&"description") => {
                self.defines(Filter::PrefixList4, name);
            }
            ["ipv6", "prefix-list", name, rest @ ..] if rest.first() != Some(&"description") => {
                self.defines(Filter::PrefixList6, name);
            }
            ["bgp", "as-path", "access-list", name, ..] => self.defines(Filter::AsPath, name),
            ["match", "ip", "address", "prefix-list", name] => self.uses(Filter::PrefixList4, name, line),
            ["match", "ipv6", "address", "prefix-list", name] => self.uses(Filter::PrefixList6, name, line),
            ["match", "as-path", name] | ["neighbor", _, "filter-list", name, _] => {
                self.uses(Filter::AsPath, name, line);
            }
            ["no", ..] => {}
            words => {
                // `redistribute connected route-map X`, `ip protocol bgp route-map X`, `table-map X` and the like.
                if let Some([_, name]) =
                    words.windows(2).find(|pair| matches!(pair[0], "route-map" | "table-map"))
                {
                    self.uses(Filter::RouteMap, name, line);
                }
            }
        }
    }

    /// Keeps what decides where packets go.
    fn meaning(&mut self, line: &Line<'a>) {
        let without_sequence = || -> String {
            let mut words = line.words.clone();
            if let Some(at) = words.iter().position(|word| *word == "seq") {
                words.drain(at..words.len().min(at + 2));
            }
            words.join(" ")
        };
        match line.words.as_slice() {
            ["bgp", "listen", "range", range, "peer-group", group] => {
                self.listen.insert(range, group);
            }
            ["profile", name] => {
                self.profile = Some(name);
                self.profiles.entry(name).or_default();
            }
            ["exit"] => self.profile = None,
            ["detect-multiplier" | "receive-interval" | "transmit-interval", _] => {
                if let Some(profile) = self.profile.and_then(|name| self.profiles.get_mut(name)) {
                    profile.insert(line.words.join(" "));
                }
            }
            ["neighbor", peer, "password", ..] => {
                self.statements.insert(format!("neighbor {peer} password"));
            }
            ["route-map", name, verdict, sequence] => {
                let sequence = sequence.parse().unwrap_or(0);
                self.inside = Some((name, sequence));
                self.rules.entry((name, sequence)).or_default().permit = *verdict == "permit";
            }
            ["match" | "set" | "call" | "on-match" | "continue", ..] => {
                if let Some(rule) = self.inside.and_then(|key| self.rules.get_mut(&key)) {
                    rule.lines.insert(line.words.join(" "));
                }
            }
            ["ip" | "ipv6", "prefix-list" | "route", ..]
            | ["network" | "redistribute" | "aggregate-address" | "maximum-paths", ..]
            | [
                "neighbor",
                _,
                "as-override"
                | "route-server-client"
                | "route-reflector-client"
                | "next-hop-self"
                | "maximum-prefix"
                | "allowas-in"
                | "default-originate"
                | "weight"
                | "graceful-restart"
                | "graceful-restart-helper"
                | "graceful-restart-disable",
                ..,
            ]
            | [
                "bgp",
                "as-path"
                | "bestpath"
                | "deterministic-med"
                | "always-compare-med"
                | "graceful-restart-disable",
                ..,
            ]
            | ["no", "bgp", "ebgp-requires-policy"] => {
                self.statements.insert(without_sequence());
            }
            ["neighbor", _, "timers", first, _] if *first != "connect" => {
                self.statements.insert(without_sequence());
            }
            _ => {}
        }
    }

    fn neighbor(&mut self, peer: &'a str) -> &mut Neighbor<'a> {
        self.neighbors.entry(peer).or_default()
    }

    fn defines(&mut self, filter: Filter, name: &'a str) {
        self.defined.insert((filter, name));
    }

    fn uses(&mut self, filter: Filter, name: &'a str, line: &Line<'_>) {
        self.used.entry((filter, name)).or_insert(line.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_filters_and_references() {
        let conf = FrrConf::read(
            "frr defaults traditional\n!\nip prefix-list PODS seq 5 permit 10.0.0.0/8 ge 26\nbgp as-path access-list N seq 5 permit ^1$\n\
             route-map IN permit 10\n match ip address prefix-list PODS\n match as-path N\nexit\n\
             router bgp 65010\n neighbor 10.0.0.2 remote-as 64512\n address-family ipv4 unicast\n  neighbor 10.0.0.2 activate\n  \
             neighbor 10.0.0.2 route-map IN in\n  neighbor 10.0.0.2 route-map OUT out\n  redistribute connected route-map CON\n exit-address-family\n",
        );
        assert_eq!(conf.asn, Some("65010"));
        let neighbor = &conf.neighbors["10.0.0.2"];
        assert_eq!((neighbor.remote_as, neighbor.active), (Some("64512"), true));
        assert_eq!((neighbor.import.contains("IN"), neighbor.export.contains("OUT")), (true, true));
        let undefined: Vec<_> =
            conf.used.keys().filter(|k| !conf.defined.contains(k)).map(|(_, name)| *name).collect();
        assert_eq!(undefined, ["CON", "OUT"]);
        assert_eq!(conf.used[&(Filter::RouteMap, "OUT")], 14);
    }
}
