//! Route maps, compiled: prefix lists as sets of rule numbers.
//!
//! FRR, `bgpd/bgp_routemap.c` and `bgpd/bgp_route.c`: the first rule whose matches all hold decides; what none matches is
//! denied; a prefix list or AS-path list that does not exist matches nothing; a map that does not exist denies
//! everything.

use std::collections::HashMap;

use kmh_doc::network::{PathRule, RouteMap, RouteSet, RouterPlan};

use crate::filter::matches_path;
use crate::prefixes::Rules;

/// What a session names as its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MapRef {
    /// Nothing: RFC 8212 denies everything over eBGP.
    None,
    /// A map that does not exist.
    Undefined,
    /// A map, by its number in [`Policies`].
    Map(u32),
}

/// A condition.
#[derive(Clone, Debug)]
enum Match<T> {
    Any,
    Never,
    Only(T),
}

#[derive(Clone, Debug)]
struct Rule {
    permit: bool,
    prefixes: Match<Box<[u32]>>,
    path: Match<PathRule>,
    set: RouteSet,
}

#[derive(Clone, Debug)]
struct Map {
    name: String,
    rules: Vec<Rule>,
}

/// What a map decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Permitted by this rule, with these changes.
    Permit(Ruling, RouteSet),
    /// Denied.
    Deny(Ruling),
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ruling {
    /// No policy, over iBGP: everything passes; over eBGP: nothing (RFC 8212).
    NoPolicy,
    /// The map does not exist.
    Undefined,
    /// That rule, by its place.
    Rule(u32, u16),
    /// None of the map's rules.
    NoRule(u32),
}

/// All route maps of all routers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    maps: Vec<Map>,
    by_name: HashMap<(usize, String), u32>,
}

impl Policies {
    /// Adds the maps of a router.
    pub(crate) fn add(&mut self, number: usize, router: &RouterPlan, rules: &mut Rules) {
        let lists: HashMap<&str, Box<[u32]>> = router
            .prefix_lists
            .iter()
            .map(|list| {
                let mut numbers: Vec<u32> = list
                    .permit
                    .iter()
                    .filter(|rule| rule.prefix.is_v6() == list.v6)
                    .map(|rule| rules.number(rule))
                    .collect();
                numbers.sort_unstable();
                (list.name.as_str(), numbers.into_boxed_slice())
            })
            .collect();
        let paths: HashMap<&str, PathRule> =
            router.as_paths.iter().map(|list| (list.name.as_str(), list.permit)).collect();
        for map in &router.route_maps {
            let compiled = compile(map, &lists, &paths);
            let place = u32::try_from(self.maps.len()).unwrap_or(u32::MAX);
            self.maps.push(compiled);
            self.by_name.insert((number, map.name.clone()), place);
        }
    }

    /// What a session's name of a map means.
    pub(crate) fn find(&self, router: usize, name: &str) -> MapRef {
        if name.is_empty() {
            return MapRef::None;
        }
        self.by_name.get(&(router, name.to_owned())).map_or(MapRef::Undefined, |place| MapRef::Map(*place))
    }

    /// Applies a map to a route.
    pub(crate) fn apply(&self, map: MapRef, external: bool, prefix: &[u32], path: &[u32]) -> Decision {
        let place = match map {
            MapRef::None if external => return Decision::Deny(Ruling::NoPolicy),
            MapRef::None => return Decision::Permit(Ruling::NoPolicy, RouteSet::default()),
            MapRef::Undefined => return Decision::Deny(Ruling::Undefined),
            MapRef::Map(place) => place,
        };
        let rules = self.maps.get(place as usize).map_or(&[][..], |map| &map.rules);
        for (number, rule) in rules.iter().enumerate() {
            let hit = match &rule.prefixes {
                Match::Any => true,
                Match::Never => false,
                Match::Only(list) => prefix.iter().any(|number| list.binary_search(number).is_ok()),
            } && match rule.path {
                Match::Any => true,
                Match::Never => false,
                Match::Only(rule) => matches_path(rule, path),
            };
            if hit {
                let ruling = Ruling::Rule(place, u16::try_from(number).unwrap_or(u16::MAX));
                return if rule.permit { Decision::Permit(ruling, rule.set) } else { Decision::Deny(ruling) };
            }
        }
        Decision::Deny(Ruling::NoRule(place))
    }

    /// A ruling as people read it: rules are numbered 10, 20, … as they are rendered.
    pub(crate) fn describe(&self, ruling: Ruling) -> String {
        let name = |place: u32| self.maps.get(place as usize).map_or("", |map| map.name.as_str());
        match ruling {
            Ruling::NoPolicy => "no policy".to_owned(),
            Ruling::Undefined => "a route map that does not exist".to_owned(),
            Ruling::Rule(map, rule) => format!("{} {}", name(map), (u32::from(rule) + 1) * 10),
            Ruling::NoRule(map) => format!("{}: no rule permits it", name(map)),
        }
    }
}

fn compile(map: &RouteMap, lists: &HashMap<&str, Box<[u32]>>, paths: &HashMap<&str, PathRule>) -> Map {
    let rules = map.rules.iter().map(|rule| Rule {
        permit: rule.permit,
        prefixes: match rule.prefix_list.as_deref().map(|name| lists.get(name)) {
            None => Match::Any,
            Some(None) => Match::Never,
            Some(Some(list)) => Match::Only(list.clone()),
        },
        path: match rule.as_path.as_deref().map(|name| paths.get(name)) {
            None => Match::Any,
            Some(None) => Match::Never,
            Some(Some(rule)) => Match::Only(*rule),
        },
        set: rule.set,
    });
    Map { name: map.name.clone(), rules: rules.collect() }
}
