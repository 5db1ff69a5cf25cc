//! Whether filters mean something: every name is defined and used, and nothing passes that must not.
//!
//! FRR itself says nothing about a route map that does not exist; it then denies, or permits, everything.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::network::{NetworkSpec, PeerKind, PrefixList, PrefixRule, RouteMap, RouterPlan, Session};

use super::REPLAN;
use crate::findings::Findings;

/// `network.filters`: what is referred to is defined once, what is defined is used.
pub(crate) fn filters(network: &NetworkSpec, out: &mut Findings<'_>) {
    for router in &network.routers {
        if !out.look_at(&router.name) {
            continue;
        }
        let maps = router.route_maps.iter().map(|m| m.name.as_str());
        let map_uses = all_sessions(router).flat_map(|s| [s.import.as_str(), s.export.as_str()]);
        compare(router, "route map", maps, map_uses, out);

        let rules = || router.route_maps.iter().flat_map(|m| &m.rules);
        let lists = router.prefix_lists.iter().map(|l| l.name.as_str());
        compare(router, "prefix list", lists, rules().filter_map(|r| r.prefix_list.as_deref()), out);

        let paths = router.as_paths.iter().map(|p| p.name.as_str());
        compare(router, "AS-path list", paths, rules().filter_map(|r| r.as_path.as_deref()), out);
    }
}

/// A router's sessions, and those that it would have with callers.
pub(super) fn all_sessions(router: &RouterPlan) -> impl Iterator<Item = &Session> {
    router.sessions.iter().chain(router.listen.iter().map(|listen| &listen.like))
}

fn compare<'r>(
    router: &RouterPlan,
    what: &str,
    defined: impl Iterator<Item = &'r str>,
    used: impl Iterator<Item = &'r str>,
    out: &mut Findings<'_>,
) {
    let mut names = BTreeSet::new();
    for name in defined {
        if !names.insert(name) {
            out.critical(&router.name, format!("the {what} `{name}` is defined twice"), REPLAN);
        }
    }
    let used: BTreeSet<&str> = used.collect();
    for name in used.difference(&names) {
        let hint =
            "FRR does not complain about it, and denies or permits everything: define it, or name another";
        out.critical(&router.name, format!("the {what} `{name}` is used but not defined"), hint);
    }
    for name in names.difference(&used) {
        out.warning(
            &router.name,
            format!("the {what} `{name}` is defined but not used"),
            "remove it, or use it",
        );
    }
}

/// `network.leaks`: no session takes or gives the default route, or everything.
pub(crate) fn leaks(network: &NetworkSpec, out: &mut Findings<'_>) {
    for router in &network.routers {
        if !out.look_at(&router.name) {
            continue;
        }
        let lists: BTreeMap<&str, &PrefixList> =
            router.prefix_lists.iter().map(|l| (l.name.as_str(), l)).collect();
        let maps: BTreeMap<&str, &RouteMap> =
            router.route_maps.iter().map(|m| (m.name.as_str(), m)).collect();
        for session in all_sessions(router) {
            let subject = format!("{} -> {}", router.name, session.peer);
            for (way, name) in [("accepts from", &session.import), ("sends to", &session.export)] {
                let Some(map) = maps.get(name.as_str()) else { continue };
                let whom = if session.with == PeerKind::Node { "the node" } else { "the router" };
                if let Some(list) = map
                    .rules
                    .iter()
                    .take_while(|r| r.permit || !denies_all(r))
                    .find_map(|rule| opens(rule, &lists))
                {
                    out.critical(
                        &subject,
                        format!("route map `{name}` {way} {whom} {list}"),
                        "permit only the ranges of the inventory, by a prefix list",
                    );
                }
            }
        }
        for range in &router.originate {
            if range.net().prefix_len() == 0 {
                out.critical(&router.name, "it originates the default route", REPLAN);
            }
        }
    }
}

fn denies_all(rule: &kmh_doc::network::RouteRule) -> bool {
    !rule.permit && rule.prefix_list.is_none() && rule.as_path.is_none()
}

/// What a rule lets through that none should.
fn opens(rule: &kmh_doc::network::RouteRule, lists: &BTreeMap<&str, &PrefixList>) -> Option<String> {
    if !rule.permit {
        return None;
    }
    match rule.prefix_list.as_deref() {
        None => Some("every prefix: a rule without prefix list permits".to_owned()),
        Some(name) => {
            let list = lists.get(name)?;
            list.permit
                .iter()
                .find(|p| permits_default(p))
                .map(|_| format!("the default route, by prefix list `{name}`"))
        }
    }
}

/// Whether `0.0.0.0/0` or `::/0` itself is permitted: the covering prefix has length 0 and no longer one is asked for.
fn permits_default(rule: &PrefixRule) -> bool {
    rule.prefix.net().prefix_len() == 0 && rule.ge.is_none_or(|ge| ge == 0)
}

/// `network.prefix-lists`: lengths that can match, and rules of the list's own family.
pub(crate) fn prefix_lists(network: &NetworkSpec, out: &mut Findings<'_>) {
    for router in &network.routers {
        if !out.look_at(&router.name) {
            continue;
        }
        for list in &router.prefix_lists {
            if list.permit.is_empty() {
                let hint =
                    "FRR takes a prefix list without entries for one that permits everything: add an entry";
                out.critical(&router.name, format!("the prefix list `{}` is empty", list.name), hint);
            }
            for rule in &list.permit {
                let (net, longest) = (rule.prefix.net(), if rule.prefix.is_v6() { 128 } else { 32 });
                let (ge, le) = (rule.ge.unwrap_or(net.prefix_len()), rule.le.unwrap_or(longest));
                if matches!(net, IpNet::V6(_)) != list.v6 {
                    out.critical(
                        &router.name,
                        format!("the prefix list `{}` mixes families: {net}", list.name),
                        REPLAN,
                    );
                } else if ge < net.prefix_len() || le > longest || ge > le {
                    let message = format!(
                        "the prefix list `{}` has {net} ge {ge} le {le}, which matches nothing",
                        list.name
                    );
                    out.critical(&router.name, message, REPLAN);
                }
            }
        }
    }
}
