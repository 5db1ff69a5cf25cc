//! Further names and addresses of nodes: they go into serving certificates, so each leads to one machine, and to nothing
//! that others are called by.

use std::collections::BTreeMap;

use ipnet::IpNet;
use kmh_doc::inventory::{Inventory, Node};
use kmh_doc::newtypes::HostName;
use kmh_doc::{Code, Problem};

use crate::ranges;
use crate::report::Report;

/// What the API server is called inside the cluster, without the cluster's domain.
const SERVICES: &[&str] = &["kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// Names and addresses, each with who has it and where that is written.
type Known = BTreeMap<String, (String, String)>;

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    if inventory.nodes.iter().all(|node| node.names.is_empty()) {
        return;
    }
    let ranges = ranges::all(inventory, report);
    let mut known = known(inventory, report);
    for (n, node) in inventory.nodes.iter().enumerate() {
        for (i, name) in node.names.iter().enumerate() {
            let path = report.item(&format!("spec.nodes[{n}].names"), i);
            let whose = format!("`{name}`, a name of node `{}`,", node.name);
            if let Some((other, place)) = known.get(name.as_str()) {
                let code = if name.ip().is_some() { Code::DuplicateAddress } else { Code::DuplicateName };
                let cause = format!("it is {other} already ({})", report.place(place));
                report.add(
                    Problem::error(code, &path, format!("{whose} is used twice"))
                        .because(cause)
                        .hint("a certificate with it would pass for the other's: name it once"),
                );
                continue;
            }
            match name.ip() {
                Some(address) => of_address(address, &whose, &path, &ranges, report),
                None => of_name(inventory, node, name, &path, report),
            }
            known.insert(name.to_string(), (format!("a name of node `{}`", node.name), path));
        }
    }
}

/// What other machines are called.
fn known(inventory: &Inventory, report: &Report<'_>) -> Known {
    let mut known = Known::new();
    let mut add = |name: String, what: String, path: String| {
        known.entry(name).or_insert((what, path));
    };
    for (s, site) in inventory.sites.iter().enumerate() {
        for (i, address) in site.gateway.iter().enumerate() {
            let path = report.item(&format!("spec.sites[{s}].gateway"), i);
            add(address.to_string(), format!("the gateway of `{}`", site.name), path);
        }
        for (r, router) in site.routers.iter().enumerate() {
            let path = format!("spec.sites[{s}].routers[{r}]");
            let what = format!("router `{}`", router.name);
            add(router.name.to_string(), what.clone(), format!("{path}.name"));
            for (i, address) in router.address.iter().enumerate() {
                add(address.to_string(), what.clone(), report.item(&format!("{path}.address"), i));
            }
        }
    }
    for (n, node) in inventory.nodes.iter().enumerate() {
        let path = format!("spec.nodes[{n}]");
        let what = format!("node `{}`", node.name);
        add(node.name.to_string(), what.clone(), format!("{path}.name"));
        for (i, address) in node.address.iter().enumerate() {
            add(address.to_string(), what.clone(), report.item(&format!("{path}.address"), i));
        }
    }
    if let Some(api) = &inventory.cluster.api {
        add(api.host.to_string(), "the API server's".to_owned(), "spec.cluster.api.host".to_owned());
    }
    known
}

fn of_address(
    address: std::net::IpAddr,
    whose: &str,
    path: &str,
    ranges: &[ranges::Range],
    report: &mut Report<'_>,
) {
    if let Some((what, source)) = ranges::reserved(IpNet::from(address)) {
        report.error(Code::ReservedRange, path, format!("{whose} is a {what} address ({source})"));
    }
    if let Some((what, place)) = ranges::holding(ranges, address, ranges::ROUTED) {
        let cause = format!("what is called there is the cluster's own ({})", report.place(&place));
        report.add(
            Problem::error(Code::Overlap, path, format!("{whose} lies in the {what}"))
                .because(cause)
                .hint("name an address of another network; those on a node segment stand in `address`"),
        );
    }
}

fn of_name(inventory: &Inventory, node: &Node, name: &HostName, path: &str, report: &mut Report<'_>) {
    let domain = inventory.cluster.domain.as_str();
    let text = name.as_str();
    let inside = text.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let why = if text == "localhost" {
        "every machine calls itself so (RFC 6761)".to_owned()
    } else if inside || SERVICES.contains(&text) {
        format!("services of the cluster are called so: pods would take `{}` for one", node.name)
    } else {
        return;
    };
    report.add(
        Problem::error(Code::Contradiction, path, format!("`{name}` is no name of node `{}`", node.name))
            .because(why)
            .hint("name what leads to this machine alone"),
    );
}
