//! What a person should know about the network. Notes say what the choice means; errors will not work.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::inventory::Nat;
use kmh_doc::network::{Finding, FindingLevel, Tunnel};
use kmh_model::{Model, Router};

use crate::PlanError;
use crate::firewall::on_lan;
use crate::tunnels::{ETHERNET, is_translated, line, outer_is_v4, outer_is_v6};

/// The smallest MTU of a link that carries IPv6 (RFC 8200, 5).
const SMALLEST_IPV6: u16 = 1280;
/// Calico's definitions say int32 where an AS number stands, and the API server holds them to it.
const LARGEST_CALICO_ASN: u32 = i32::MAX as u32;

/// All findings, the worst first, then by name and subject.
pub(crate) fn findings(model: &Model, tunnels: &[Tunnel], pod_mtu: u16) -> Result<Vec<Finding>, PlanError> {
    let mut all = Vec::new();
    sites(model, &mut all);
    for (tunnel, plan) in model.tunnels.iter().zip(tunnels) {
        of_tunnel(model, tunnel, plan, &mut all)?;
    }
    if let Some(smallest) = tunnels.iter().min_by_key(|tunnel| tunnel.mtu).filter(|_| pod_mtu < ETHERNET) {
        all.push(note(
            "pod-mtu",
            &smallest.name,
            format!("pods get an MTU of {pod_mtu}, which is what fits through this tunnel"),
            "nodes keep theirs: clamp the MSS on the routers, and let ICMP `packet too big` pass",
        ));
    }
    cut_sites(model, &mut all);
    asns(model, &mut all);
    all.sort_by(|a, b| (b.level, &a.id, &a.subject).cmp(&(a.level, &b.id, &b.subject)));
    Ok(all)
}

fn finding(level: FindingLevel, id: &str, subject: &str, message: String, hint: &str) -> Finding {
    Finding { id: id.to_owned(), level, subject: subject.to_owned(), message, hint: Some(hint.to_owned()) }
}

fn note(id: &str, subject: &str, message: String, hint: &str) -> Finding {
    finding(FindingLevel::Note, id, subject, message, hint)
}

fn error(id: &str, subject: &str, message: String, hint: &str) -> Finding {
    finding(FindingLevel::Error, id, subject, message, hint)
}

fn sites(model: &Model, all: &mut Vec<Finding>) {
    for site in model.sites.values() {
        let name = site.name.as_str();
        let routers: Vec<&Router> = model.routers_of(name).collect();
        let lines: usize = routers.iter().map(|router| router.uplinks.len()).sum();
        if model.sites.len() > 1 && lines == 1 {
            all.push(note(
                "single-homed-site",
                name,
                "one line joins this site to the others; while it is down the site is alone".to_owned(),
                "nothing to do for a home; a second router with a line of its own is the way out",
            ));
        }
        if routers.len() > 1 {
            all.push(note(
                "two-routers",
                name,
                "its routers do not speak BGP with each other: one that loses all its tunnels reaches other sites no more".to_owned(),
                "let the gateway address (CARP, VRRP) follow a router whose tunnels are up",
            ));
        }
        for address in &site.resolvers {
            let far = model.sites.values().filter(|other| other.name != site.name);
            if far.into_iter().any(|other| on_lan(other, *address)) {
                all.push(finding(
                    FindingLevel::Warning,
                    "far-resolver",
                    name,
                    format!(
                        "the resolver `{address}` is on a segment of another site, where nodes may not go"
                    ),
                    "name a resolver of this site, such as its router",
                ));
            }
        }
        for router in routers {
            let ends =
                model.tunnels.iter().flat_map(|tunnel| &tunnel.ends).filter(|end| end.router == router.name);
            let used: BTreeSet<usize> = ends.map(|end| end.uplink).collect();
            let lines = router.uplinks.iter().enumerate().filter(|(index, _)| !used.contains(index));
            let spare: Vec<&str> = lines.map(|(_, line)| line.name.as_str()).collect();
            if !used.is_empty() && !spare.is_empty() {
                all.push(note(
                    "spare-line",
                    router.name.as_str(),
                    format!(
                        "no tunnel uses `{}`: each takes the first line by which both ends can meet",
                        spare.join("`, `")
                    ),
                    "the order of `uplinks` chooses; a line's failure is not yet answered by another line",
                ));
            }
        }
    }
}

fn of_tunnel(
    model: &Model,
    tunnel: &kmh_model::Tunnel,
    plan: &Tunnel,
    all: &mut Vec<Finding>,
) -> Result<(), PlanError> {
    let (first, first_line) = line(model, &tunnel.ends[0])?;
    let (second, second_line) = line(model, &tunnel.ends[1])?;
    let name = plan.name.as_str();
    if is_translated(first_line, second_line) {
        let behind: Vec<&str> = [(first, first_line), (second, second_line)]
            .iter()
            .filter(|(_, l)| l.nat != Nat::None)
            .map(|(r, _)| r.name.as_str())
            .collect();
        all.push(note(
            "tunnel-through-nat",
            name,
            format!("ESP travels inside UDP 4500, because `{}` is behind NAT", behind.join("`, `")),
            "forward UDP 500 and 4500 where the NAT is yours",
        ));
    }
    for (end, router) in plan.ends.iter().zip([first, second]) {
        if end.remote_address.is_none() {
            all.push(note(
                "tunnel-one-way",
                name,
                format!("only `{}` can begin this tunnel: nobody can call it", router.name),
                "after an outage the tunnel is back when that router calls",
            ));
        }
    }
    if first_line.dynamic && second_line.dynamic {
        all.push(note(
            "two-dynamic-ends",
            name,
            "both addresses change; when both do at once, the tunnel waits for DNS".to_owned(),
            "keep the names' TTL at a minute; traffic goes by another site meanwhile, if there is one",
        ));
    }
    if !outer_is_v4(first_line, second_line) && !outer_is_v6(first_line, second_line) {
        all.push(note(
            "outer-family-unknown",
            name,
            "its ends are names, which may lead to IPv6: the MTU is counted for that, 20 octets less than for IPv4".to_owned(),
            "one end with an IPv4 address settles it",
        ));
    }
    if plan.mtu < SMALLEST_IPV6 && tunnel.networks.iter().any(|net| matches!(net, ipnet::IpNet::V6(_))) {
        all.push(error(
            "tunnel-mtu-ipv6",
            name,
            format!("{} octets fit, and IPv6 needs {SMALLEST_IPV6}", plan.mtu),
            "use a line with a larger MTU, or IPv4 only",
        ));
    }
    Ok(())
}

/// Sites whose loss parts the others: the hub, or the middle of a chain.
fn cut_sites(model: &Model, all: &mut Vec<Finding>) {
    let sites: BTreeMap<&str, &str> =
        model.routers.iter().map(|router| (router.name.as_str(), router.site.as_str())).collect();
    let mut beside: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for tunnel in &model.tunnels {
        let [a, b] = [0, 1].map(|end| sites.get(tunnel.ends[end].router.as_str()).copied());
        let (Some(a), Some(b)) = (a, b) else { continue };
        beside.entry(a).or_default().insert(b);
        beside.entry(b).or_default().insert(a);
    }
    // How many sites can be reached from `start`, itself among them.
    let reach = |start: &str, without: Option<&str>| -> usize {
        let mut found: BTreeSet<&str> = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(here) = open.pop() {
            let next = beside.get(here).into_iter().flatten().filter(|site| Some(**site) != without);
            open.extend(next.filter(|site| found.insert(site)));
        }
        found.len()
    };
    for (site, others) in &beside {
        let Some(start) = others.first() else { continue };
        if reach(start, Some(site)) + 1 < reach(start, None) {
            all.push(note(
                "single-transit-site",
                site,
                "other sites reach each other through this one only; without it they are apart".to_owned(),
                "`tunnels: {shape: mesh}` joins them directly, where they can be reached",
            ));
        }
    }
}

fn asns(model: &Model, all: &mut Vec<Finding>) {
    let routers = model.routers.iter().filter_map(|router| Some((router.name.as_str(), router.asn?)));
    for (subject, asn) in routers
        .chain([(model.name.as_str(), model.node_asn)])
        .filter(|(_, asn)| asn.get() > LARGEST_CALICO_ASN)
    {
        all.push(error(
            "asn-too-large",
            subject,
            format!("Calico's resources take AS numbers up to {LARGEST_CALICO_ASN}, and this is {asn}"),
            "take one of 64512 to 65534 (RFC 6996); projectcalico/calico issue 13494 has the reason",
        ));
    }
}
