//! Tunnels: what stands between their ends, who can begin them, what fits.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kmh_doc::inventory::Nat;
use kmh_doc::network::{Finding, Tunnel};

use crate::PlanError;
use crate::ground::Index;
use crate::tunnels::{ETHERNET, line_of, outer_is_v4, outer_is_v6};

/// The smallest MTU of a link that carries IPv6 (RFC 8200, 5).
const SMALLEST_IPV6: u16 = 1280;

pub(crate) fn find(
    index: &Index<'_>,
    tunnels: &[Tunnel],
    pod_mtu: u16,
    all: &mut Vec<Finding>,
) -> Result<(), PlanError> {
    for (tunnel, plan) in index.model.tunnels.iter().zip(tunnels) {
        one(index, tunnel, plan, all)?;
    }
    if let Some(smallest) = tunnels.iter().min_by_key(|tunnel| tunnel.mtu).filter(|_| pod_mtu < ETHERNET) {
        all.push(Finding::note(
            "pod-mtu",
            &smallest.name,
            format!("pods get an MTU of {pod_mtu}, which is what fits through this tunnel"),
            "nodes keep theirs: clamp the MSS on the routers, and let ICMP `packet too big` pass",
        ));
    }
    for router in &index.model.routers {
        if let Some(host) = router.host.as_ref().filter(|_| is_called(router)) {
            all.push(Finding::note(
                "host-filter",
                router.name.as_str(),
                format!("its tunnels end in the own namespace of `{host}`, whose packet filter is not the router's"),
                "let UDP 500 and 4500 and ESP in there, should it drop what it does not know",
            ));
        }
        let own = index.tunnels_of(router.name.as_str());
        let used: BTreeSet<usize> = own.iter().map(|own| own.tunnel.ends[own.end].uplink).collect();
        let lines = router.uplinks.iter().enumerate().filter(|(place, _)| used.contains(place));
        for line in lines.map(|(_, line)| line).filter(|line| line.nat != Nat::Carrier) {
            let address = line.address.as_ref().and_then(kmh_doc::HostName::ip);
            if let Some(address) = address.filter(is_private) {
                all.push(Finding::warning(
                    "private-line",
                    router.name.as_str(),
                    format!("others are to call `{address}`, to which no way leads through the Internet"),
                    "name the address that the Internet sees, with `nat: forwarded` or, where nobody can call, `nat: carrier`; where the sites share a private network it is right",
                ));
            }
        }
    }
    for [low, high] in &index.model.through_hub {
        all.push(Finding::note(
            "through-hub",
            &format!("{low}--{high}"),
            "neither can call the other: they reach each other through the hub".to_owned(),
            "an address that can be called at one end joins them directly",
        ));
    }
    Ok(())
}

/// Whether anybody calls one of a router's lines.
fn is_called(router: &kmh_model::Router) -> bool {
    router.uplinks.iter().any(|line| line.nat != Nat::Carrier && line.address.is_some())
}

/// Whether an address is for private networks only: RFC 1918, RFC 6598 (carrier NAT), RFC 4193.
fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

fn one(
    index: &Index<'_>,
    tunnel: &kmh_model::Tunnel,
    plan: &Tunnel,
    all: &mut Vec<Finding>,
) -> Result<(), PlanError> {
    let [low, high] = &tunnel.ends;
    let (first, second) = (index.router(low.router.as_str())?, index.router(high.router.as_str())?);
    let (first_line, second_line) = (line_of(first, low)?, line_of(second, high)?);
    let name = plan.name.as_str();
    for (router, line) in [(first, first_line), (second, second_line)] {
        if line.nat != Nat::None {
            all.push(Finding::note(
                "tunnel-through-nat",
                router.name.as_str(),
                "behind NAT: ESP of its tunnels travels inside UDP 4500".to_owned(),
                "forward UDP 500 and 4500 where the NAT is yours",
            ));
        }
    }
    for (end, router) in plan.ends.iter().zip([first, second]) {
        if end.remote_address.is_none() {
            all.push(Finding::note(
                "tunnel-one-way",
                name,
                format!("only `{}` can begin the tunnel: nobody can call it", router.name),
                "after an outage the tunnel is back when that router calls",
            ));
        }
    }
    if first_line.dynamic && second_line.dynamic {
        all.push(Finding::note(
            "two-dynamic-ends",
            name,
            "both addresses change; when both do at once, the tunnel waits for DNS".to_owned(),
            "keep the names' TTL at a minute; traffic goes by another way meanwhile, if there is one",
        ));
    }
    if !outer_is_v4(first_line, second_line) && !outer_is_v6(first_line, second_line) {
        all.push(Finding::note(
            "outer-family-unknown",
            name,
            "the ends are names, which may lead to IPv6: the MTU is counted for that, 20 octets less than for IPv4".to_owned(),
            "one end with an IPv4 address settles it",
        ));
    }
    if plan.mtu < SMALLEST_IPV6 && tunnel.networks.iter().any(|net| matches!(net, ipnet::IpNet::V6(_))) {
        all.push(Finding::error(
            "tunnel-mtu-ipv6",
            name,
            format!("{} octets fit, and IPv6 needs {SMALLEST_IPV6}", plan.mtu),
            "use a line with a larger MTU, or IPv4 only",
        ));
    }
    Ok(())
}
