//! Names and numbers that must be unique, and names that must lead somewhere.

use std::collections::BTreeMap;

use kmh_doc::inventory::Inventory;
use kmh_doc::{Code, Label, Problem, decode};

use crate::report::Report;

/// Names that mean something else where machines are named: a bundle's target, a group of push, and oneself.
const TAKEN: &[(&str, &str)] = &[
    ("cluster", "kmh names something of its own so"),
    ("operator", "kmh names something of its own so"),
    ("localhost", "every machine calls itself so (RFC 6761)"),
];
/// The longest name in a certificate that ends in the cluster's domain; DNS takes 253 characters.
const LONGEST_SERVICE: &str = "kubernetes.default.svc.";
/// Longest node name: the certificate's common name is `system:node:NAME`, and X.509 takes 64 (RFC 5280, appendix A.1).
const NODE_NAME: usize = 64 - "system:node:".len();
/// What a router's certificate adds to its name and the cluster's.
const IDENTITY: usize = "..ipsec.internal".len();

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    if inventory.sites.is_empty() {
        report.error(Code::MissingKey, "spec.sites", "there is no site");
    }
    unique_names(inventory, report);
    unique_within(inventory, report);
    unique_ids(inventory, report);
    lengths(inventory, report);
    references(inventory, report);
}

fn unique_names(inventory: &Inventory, report: &mut Report<'_>) {
    let mut seen: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    let mut named: Vec<(&'static str, &Label, String)> = Vec::new();
    for (s, site) in inventory.sites.iter().enumerate() {
        named.push(("site", &site.name, format!("spec.sites[{s}].name")));
        for (r, router) in site.routers.iter().enumerate() {
            named.push(("router", &router.name, format!("spec.sites[{s}].routers[{r}].name")));
            if let Some(host) = &router.host {
                named.push(("host", host, format!("spec.sites[{s}].routers[{r}].host")));
            }
        }
    }
    for (n, node) in inventory.nodes.iter().enumerate() {
        named.push(("node", &node.name, format!("spec.nodes[{n}].name")));
    }
    for (what, name, path) in named {
        if let Some((_, why)) = TAKEN.iter().find(|(taken, _)| *taken == name.as_str()) {
            report.add(
                Problem::error(Code::DuplicateName, &path, format!("the name `{name}` is taken"))
                    .because(*why)
                    .hint("choose another name"),
            );
        }
        match seen.get(name.as_str()) {
            // A host may carry several routers.
            Some((other, _)) if *other == "host" && what == "host" => {}
            Some((other, place)) => {
                let cause = format!("a {other} has it already ({})", report.place(place));
                report.add(
                    Problem::error(Code::DuplicateName, &path, format!("the name `{name}` is used twice"))
                        .because(cause)
                        .hint("sites, routers, hosts and nodes each need a name of their own"),
                );
            }
            None => {
                seen.insert(name.as_str(), (what, path));
            }
        }
    }
}

/// LANs within a site, lines within a router.
fn unique_within(inventory: &Inventory, report: &mut Report<'_>) {
    let mut once = |what: &str, owner: &str, names: Vec<(&Label, String)>| {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (name, path) in names {
            if let Some(first) = seen.get(name.as_str()) {
                let cause = format!("it stands at {} already", report.place(first));
                report.add(
                    Problem::error(
                        Code::DuplicateName,
                        path,
                        format!("`{owner}` has two {what} of the name `{name}`"),
                    )
                    .because(cause),
                );
            } else {
                seen.insert(name.as_str(), path);
            }
        }
    };
    for (s, site) in inventory.sites.iter().enumerate() {
        let lans = site
            .lans
            .iter()
            .enumerate()
            .map(|(l, lan)| (&lan.name, format!("spec.sites[{s}].lans[{l}].name")));
        once("LANs", site.name.as_str(), lans.collect());
        for (r, router) in site.routers.iter().enumerate() {
            let lines = router
                .uplinks
                .iter()
                .enumerate()
                .map(|(u, line)| (&line.name, format!("spec.sites[{s}].routers[{r}].uplinks[{u}].name")));
            once("uplinks", router.name.as_str(), lines.collect());
        }
    }
}

fn unique_ids(inventory: &Inventory, report: &mut Report<'_>) {
    let mut seen: BTreeMap<u16, (&Label, String)> = BTreeMap::new();
    let highest =
        inventory.sites.iter().flat_map(|site| &site.routers).map(|router| router.id).max().unwrap_or(0);
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            let path = format!("spec.sites[{s}].routers[{r}].id");
            if let Some((other, place)) = seen.get(&router.id) {
                let cause = format!("`{other}` has it already ({})", report.place(place));
                report.add(
                    Problem::error(
                        Code::DuplicateId,
                        path,
                        format!("the id {} of `{}` is used twice", router.id, router.name),
                    )
                    .because(cause)
                    .hint(format!(
                        "the next id is {}; one that was used before is never used again",
                        highest + 1
                    )),
                );
            } else {
                seen.insert(router.id, (&router.name, path));
            }
        }
    }
}

fn lengths(inventory: &Inventory, report: &mut Report<'_>) {
    for (n, node) in inventory.nodes.iter().enumerate() {
        let length = node.name.as_str().len();
        if length > NODE_NAME {
            report.add(
                Problem::error(
                    Code::BadLabel,
                    format!("spec.nodes[{n}].name"),
                    format!("the node's name has {length} characters, more than {NODE_NAME}"),
                )
                .because("its certificate names it `system:node:NAME`, and a common name has at most 64"),
            );
        }
    }
    let cluster = inventory.cluster.name.as_str().len();
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            let length = router.name.as_str().len() + cluster + IDENTITY;
            if length > 64 {
                report.add(
                    Problem::error(Code::BadLabel, format!("spec.sites[{s}].routers[{r}].name"), format!("the names of `{}` and of the cluster are too long together", router.name))
                        .because(format!("its certificate names it `{}.{}.ipsec.internal`: {length} characters, and a common name has at most 64", router.name, inventory.cluster.name)),
                );
            }
        }
    }
    let domain = &inventory.cluster.domain;
    if LONGEST_SERVICE.len() + domain.as_str().len() > 253 {
        report.add(
            Problem::error(Code::BadHost, "spec.cluster.domain", "the cluster's domain is too long").because(
                format!("`{LONGEST_SERVICE}` stands in front of it, and DNS takes 253 characters (RFC 1035)"),
            ),
        );
    }
    if domain.ip().is_some() {
        report.error(
            Code::BadHost,
            "spec.cluster.domain",
            format!("`{domain}` is an address; the cluster's domain is a name"),
        );
    }
}

fn references(inventory: &Inventory, report: &mut Report<'_>) {
    let sites: Vec<&str> = inventory.sites.iter().map(|site| site.name.as_str()).collect();
    let mut refer = |path: String, name: &Label| {
        if !sites.contains(&name.as_str()) {
            let problem = Problem::error(Code::UnknownReference, path, format!("there is no site `{name}`"));
            report.add(match decode::nearest(name.as_str(), &sites) {
                Some(hint) => problem.hint(hint),
                None => problem.hint("name one of `spec.sites`"),
            });
        }
    };
    for (n, node) in inventory.nodes.iter().enumerate() {
        refer(format!("spec.nodes[{n}].site"), &node.site);
    }
    if let Some(operator) = &inventory.operator {
        refer("spec.operator.site".to_owned(), &operator.site);
    }
    if let Some(hub) = inventory.tunnels.as_ref().and_then(|tunnels| tunnels.hub.as_ref()) {
        refer("spec.tunnels.hub".to_owned(), hub);
    }
    let pairs = inventory.tunnels.iter().flat_map(|tunnels| tunnels.pairs.iter().enumerate());
    for (n, pair) in pairs {
        for (i, name) in pair.iter().enumerate() {
            refer(format!("spec.tunnels.pairs[{n}][{i}]"), name);
        }
    }
}
