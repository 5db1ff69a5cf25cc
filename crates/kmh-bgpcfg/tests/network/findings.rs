//! What is said about a network: each finding where it belongs, and nowhere else.

use std::collections::BTreeSet;

use crate::support::{MINIMAL, article, cluster, laid_out, plan, two_lines, two_routers};
use kmh_doc::network::{Finding, FindingLevel};

/// Identifiers and levels of all findings.
fn found(yaml: &str) -> BTreeSet<(String, FindingLevel)> {
    plan(yaml).findings.into_iter().map(|finding| (finding.id, finding.level)).collect()
}

fn one(yaml: &str, id: &str) -> Finding {
    let mut all: Vec<Finding> = plan(yaml).findings.into_iter().filter(|finding| finding.id == id).collect();
    assert_eq!(all.len(), 1, "{id}: {all:?}");
    all.remove(0)
}

#[test]
fn each_in_its_case_and_nowhere_else() {
    let article = article();
    let notes = [
        "host-filter",
        "outer-family-unknown",
        "pod-mtu",
        "single-homed-site",
        "stale-routes",
        "tunnel-through-nat",
        "two-dynamic-ends",
    ];
    assert_eq!(found(&article), notes.iter().map(|id| ((*id).to_owned(), FindingLevel::Note)).collect());
    let bgp = |settings: &str| article.replace("{layout: A}", &format!("{{layout: A, {settings}}}"));

    let table: &[(&str, String, FindingLevel)] = &[
        ("single-transit-site", article.replace("shape: mesh", "shape: hub, hub: vps"), FindingLevel::Note),
        ("tunnel-one-way", two_lines(), FindingLevel::Note),
        (
            "spare-line",
            article
                .replace(
                    "rate: 40mbit}\n",
                    "rate: 40mbit}\n            - {name: v6, interface: opt9, address: \"2001:db8::1\"}\n",
                )
                .replace("flat.dyn.example.net, dynamic: true", "198.51.100.7"),
            FindingLevel::Note,
        ),
        (
            "tunnel-mtu-ipv6",
            cluster(true, true).replace("dynamic: true}", "dynamic: true, mtu: 1280}"),
            FindingLevel::Error,
        ),
        ("asn-too-large", article.replace("asn: 65030", "asn: 4200000001"), FindingLevel::Error),
        ("hairpin", bgp("direct_routes: false"), FindingLevel::Warning),
        ("password-off", bgp("passwords: false"), FindingLevel::Warning),
        (
            "nat-outgoing-off",
            article.replace("  operator:", "  calico: {nat_outgoing: false}\n  operator:"),
            FindingLevel::Note,
        ),
        (
            "calico-api",
            article.replace("  operator:", "  calico: {api: projectcalico.org/v3}\n  operator:"),
            FindingLevel::Warning,
        ),
        ("short-hold", bgp("timers: {nodes: {keepalive: 1, hold: 3}}"), FindingLevel::Warning),
        ("private-line", article.replace("203.0.113.7", "192.168.1.7"), FindingLevel::Warning),
        ("private-line", article.replace("203.0.113.7", "100.64.3.7"), FindingLevel::Warning),
        ("private-line", article.replace("203.0.113.7", "\"fd00:9::7\""), FindingLevel::Warning),
        ("node-keepalive", bgp("timers: {nodes: {keepalive: 2}}"), FindingLevel::Note),
        ("load-balancer-addresses", article.replace("calico: 3.31.2", "calico: 3.29.0"), FindingLevel::Note),
        ("single-ingress", laid_out(&article, "D"), FindingLevel::Note),
        ("single-ingress", cluster(true, false).replace("bgp: frr", "bgp: bird"), FindingLevel::Note),
        (
            "through-hub",
            article
                .replace(
                    "attic.dyn.example.net, dynamic: true",
                    "attic.dyn.example.net, dynamic: true, nat: carrier",
                )
                .replace("nat: forwarded", "nat: carrier")
                .replace("shape: mesh", "shape: mesh, hub: vps"),
            FindingLevel::Note,
        ),
    ];
    for (id, yaml, level) in table {
        assert!(!found(&article).contains(&((*id).to_owned(), *level)), "{id} is found anyway");
        assert!(found(yaml).contains(&((*id).to_owned(), *level)), "{id} is not found: {:?}", found(yaml));
    }
    for finding in table.iter().flat_map(|(_, yaml, _)| plan(yaml).findings) {
        let hint = finding.hint.unwrap_or_else(|| panic!("{} has no hint", finding.id));
        for text in [&finding.message, &hint, &finding.subject] {
            assert!(!text.ends_with('.') && !text.is_empty(), "{text}");
        }
    }
}

#[test]
fn a_host_lets_in_who_calls_and_nobody_else() {
    let finding = one(&article(), "host-filter");
    assert_eq!(finding.subject, "gw-vps");
    assert!(finding.message.contains("`vps-host`"), "{}", finding.message);
    // Nobody calls a line behind carrier NAT.
    let hidden =
        article().replace("kind: pfsense", "kind: linux").replace("address: 203.0.113.7", "nat: carrier");
    assert!(!found(&hidden).iter().any(|(id, _)| id == "host-filter"));
}

#[test]
fn what_is_the_same_is_said_once() {
    let finding = one(&article(), "single-homed-site");
    assert_eq!(finding.subject, "attic, flat and vps");
    assert_eq!(one(&two_lines(), "single-homed-site").subject, "flat and vps");
    assert_eq!(one(&two_routers(), "single-homed-site").subject, "attic and flat");
    assert_eq!(one(&article(), "stale-routes").subject, "attic, flat and vps");
    assert_eq!(one(MINIMAL, "stale-routes").subject, "home");
    let hub = article().replace("shape: mesh", "shape: hub, hub: vps");
    assert_eq!(one(&hub, "single-transit-site").subject, "vps");
    let birds = cluster(true, false).replace("bgp: frr", "bgp: bird");
    assert_eq!(one(&birds, "single-ingress").subject, "r-east", "the other has one node");
    assert_eq!(one(&laid_out(&article(), "D"), "single-ingress").subject, "flat");
    let hidden = article().replace("nat: forwarded", "nat: carrier").replace("kind: pfsense", "kind: linux");
    assert_eq!(one(&hidden, "tunnel-one-way").subject, "fw-attic--fw-flat and fw-flat--gw-vps");
}

#[test]
fn times_are_named_as_they_are() {
    let timed = |timers: &str| {
        MINIMAL.replacen(
            "  sites:\n",
            &format!("  bgp: {{layout: A, timers: {{nodes: {{{timers}}}}}}}\n  sites:\n"),
            1,
        )
    };
    assert!(one(&timed("restart: 45"), "stale-routes").message.contains("for 45 s"));
    assert!(!found(&timed("restart: 0")).iter().any(|(id, _)| id == "stale-routes"));
}
