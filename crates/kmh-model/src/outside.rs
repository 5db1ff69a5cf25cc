//! Addresses that the cluster only uses: name servers, and the routers' lines to the Internet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{Inventory, Nat, Router, Site, Uplink};
use kmh_doc::{Code, Problem};

use crate::address::family;
use crate::ranges::{self, Range, Use};
use crate::report::Report;

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let ranges = ranges::all(inventory, report);
    let mut called = BTreeMap::new();
    for (s, site) in inventory.sites.iter().enumerate() {
        for (i, address) in site.resolvers.iter().enumerate() {
            let path = format!("spec.sites[{s}].resolvers[{i}]");
            resolver(site, *address, &path, &ranges, report);
            if site.resolvers.iter().take(i).any(|other| other == address) {
                report.error(
                    Code::DuplicateAddress,
                    &path,
                    format!("`{address}` stands twice among the resolvers of `{}`", site.name),
                );
            }
        }
        for (r, router) in site.routers.iter().enumerate() {
            for (u, line) in router.uplinks.iter().enumerate() {
                let path = format!("spec.sites[{s}].routers[{r}].uplinks[{u}].address");
                uplink(router, line, &path, &ranges, report);
                once(router, line, &path, &mut called, report);
            }
        }
    }
}

/// Pods ask the nodes' name servers too, so a loopback address would lead each of them to itself. A node asks before
/// anything of the cluster runs.
fn resolver(site: &Site, address: IpAddr, path: &str, ranges: &[Range], report: &mut Report<'_>) {
    let whose = format!("`{address}`, a resolver of `{}`", site.name);
    if let Some((what, source)) = ranges::reserved(IpNet::from(address)) {
        report.add(
            Problem::error(Code::ReservedRange, path, format!("{whose}, is a {what} address ({source})"))
                .hint("name a server that pods reach too, such as the router"),
        );
        return;
    }
    if let Some((what, place)) = ranges::holding(ranges, address, &[Use::Pods, Use::Services, Use::Tunnels]) {
        let cause = format!("nodes ask it before there are pods and services ({})", report.place(&place));
        report.add(
            Problem::error(Code::Overlap, path, format!("{whose}, lies in the {what}"))
                .because(cause)
                .hint("name a server outside of the cluster, such as the router"),
        );
    }
    let nets = site.network.iter().map(|cidr| cidr.net());
    for net in nets.clone().filter(|net| net.contains(&address)) {
        if let Some(why) = ranges::unusable(net, address) {
            report.error(Code::UnusableAddress, path, format!("{whose}, is the {why} of `{net}`"));
        }
    }
    if nets.clone().count() > 0 && nets.clone().all(|net| net.addr().is_ipv6() != address.is_ipv6()) {
        report.add(
            Problem::error(
                Code::FamilyMissing,
                path,
                format!("{whose}, cannot be reached: nodes have nothing of {}", family(address.is_ipv6())),
            )
            .hint("name a server of the family that the site's `network` has"),
        );
    }
}

/// An address of a line is reserved for nothing, and no part of the cluster. `whose` begins with the address.
pub(crate) fn of_line(
    address: IpAddr,
    whose: &str,
    hint: &str,
    path: &str,
    ranges: &[Range],
    report: &mut Report<'_>,
) {
    if let Some((what, source)) = ranges::reserved(IpNet::from(address)) {
        report.error(Code::ReservedRange, path, format!("{whose}, is a {what} address ({source})"));
    }
    if let Some((what, place)) = ranges::holding(ranges, address, ranges::ROUTED) {
        let cause = format!("the routers take that for a part of the cluster ({})", report.place(&place));
        report.add(
            Problem::error(Code::Overlap, path, format!("{whose}, lies in the {what}"))
                .because(cause)
                .hint(hint),
        );
    }
}

fn uplink(router: &Router, line: &Uplink, path: &str, ranges: &[Range], report: &mut Report<'_>) {
    let Some(address) = line.address.as_ref().and_then(kmh_doc::HostName::ip) else { return };
    let whose = format!("uplink `{}` of `{}`", line.name, router.name);
    let hint = "name the address by which others reach the line from the Internet";
    of_line(address, &format!("`{address}`, {whose}"), hint, path, ranges, report);
    if line.dynamic {
        report.add(
            Problem::error(Code::Contradiction, path, format!("{whose} is dynamic, and has a fixed address"))
                .hint("name the host name that follows the address, or remove `dynamic`"),
        );
    }
}

/// Lines of one router may share a name that follows the better one; of two routers, only one would be called.
fn once<'a>(
    router: &'a Router,
    line: &'a Uplink,
    path: &str,
    called: &mut BTreeMap<String, (&'a Router, String)>,
    report: &mut Report<'_>,
) {
    let Some(address) = line.address.as_ref().filter(|_| line.nat != Nat::Carrier) else { return };
    let key = address.ip().map_or_else(|| address.to_string(), |ip| ip.to_string());
    match called.get(&key) {
        Some((other, place)) if other.name != router.name => {
            let cause = format!("`{}` is called there already ({})", other.name, report.place(place));
            report.add(
                Problem::error(
                    Code::DuplicateAddress,
                    path,
                    format!("`{address}`, uplink `{}` of `{}`, is used twice", line.name, router.name),
                )
                .because(cause)
                .hint("UDP 500 and 4500 of one address lead to one router; give the other `nat: carrier`"),
            );
        }
        Some(_) => {}
        None => {
            called.insert(key, (router, path.to_owned()));
        }
    }
}
