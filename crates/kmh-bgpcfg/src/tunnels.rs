//! Tunnels as the routers see them: interface names, identities, and the packet size that fits.

use kmh_doc::Cidr;
use kmh_doc::inventory::{Nat, RouterKind, Uplink};
use kmh_doc::network::{Tunnel, TunnelEnd};
use kmh_model::{Model, Router};

use crate::PlanError;

/// MTU of a line about which nothing is said, and of the nodes' segment.
pub(crate) const ETHERNET: u16 = 1500;

/// Every tunnel, by index.
pub(crate) fn tunnels(model: &Model) -> Result<Vec<Tunnel>, PlanError> {
    model.tunnels.iter().map(|tunnel| one(model, tunnel)).collect()
}

/// The pods' MTU: no larger than the smallest tunnel, so that also UDP fits without fragments, and no larger than
/// the nodes' segment.
pub(crate) fn pod_mtu(tunnels: &[Tunnel]) -> u16 {
    tunnels.iter().map(|tunnel| tunnel.mtu).min().unwrap_or(ETHERNET).min(ETHERNET)
}

/// A router of a tunnel, with the line that carries it.
pub(crate) fn line<'a>(
    model: &'a Model,
    end: &kmh_model::TunnelEnd,
) -> Result<(&'a Router, &'a Uplink), PlanError> {
    let router =
        model.router(end.router.as_str()).ok_or_else(|| PlanError::NoSuchRouter(end.router.to_string()))?;
    let uplink = router.uplinks.get(end.uplink).ok_or_else(|| PlanError::NoUplink(end.router.to_string()))?;
    Ok((router, uplink))
}

fn one(model: &Model, tunnel: &kmh_model::Tunnel) -> Result<Tunnel, PlanError> {
    let (first, first_line) = line(model, &tunnel.ends[0])?;
    let (second, second_line) = line(model, &tunnel.ends[1])?;
    Ok(Tunnel {
        name: tunnel.name(),
        index: tunnel.index,
        networks: tunnel.networks.iter().copied().map(Cidr::new).collect(),
        ends: [
            end(model, tunnel.index, &tunnel.ends[0], first, first_line),
            end(model, tunnel.index, &tunnel.ends[1], second, second_line),
        ],
        rank: tunnel.rank,
        cipher: model.cipher,
        nat_t: is_translated(first_line, second_line),
        psk: None,
        mtu: mtu(first_line, second_line),
        mss: [mtu(first_line, second_line).saturating_sub(40), mtu(first_line, second_line).saturating_sub(60)],
    })
}

fn end(model: &Model, index: u32, end: &kmh_model::TunnelEnd, router: &Router, line: &Uplink) -> TunnelEnd {
    // Linux: an XFRM interface of that if_id. pfSense: the kernel names a VTI after its reqid.
    let prefix = match router.kind {
        RouterKind::Linux => "xfrm",
        RouterKind::Pfsense => "ipsec",
    };
    TunnelEnd {
        router: router.name.to_string(),
        uplink: line.name.to_string(),
        uplink_interface: line.interface.as_ref().map_or_else(|| line.name.to_string(), ToString::to_string),
        local_address: line.local_address,
        remote_address: line.address.as_ref().filter(|_| end.reachable).map(ToString::to_string),
        interface: format!("{prefix}{index}"),
        addresses: end.addresses.clone(),
        identity: format!("{}.{}.ipsec.internal", router.name, model.name),
        initiates: end.initiates,
    }
}

/// What fits through the tunnel between two lines.
fn mtu(first: &Uplink, second: &Uplink) -> u16 {
    let outer = first.mtu.unwrap_or(ETHERNET).min(second.mtu.unwrap_or(ETHERNET));
    inner_mtu(outer, !outer_is_v4(first, second), is_translated(first, second))
}

/// Whether ESP travels inside UDP (RFC 3948).
pub(crate) fn is_translated(first: &Uplink, second: &Uplink) -> bool {
    first.nat != Nat::None || second.nat != Nat::None
}

/// Whether the outer packets are known to be IPv4: one end is named by an IPv4 address. A name may resolve to IPv6,
/// whose header takes 20 octets more, and nothing says which it will be tomorrow.
pub(crate) fn outer_is_v4(first: &Uplink, second: &Uplink) -> bool {
    [first, second].iter().filter_map(|line| line.address.as_ref()?.ip()).any(|ip| ip.is_ipv4())
}

/// Whether they are known to be IPv6.
pub(crate) fn outer_is_v6(first: &Uplink, second: &Uplink) -> bool {
    [first, second].iter().filter_map(|line| line.address.as_ref()?.ip()).any(|ip| ip.is_ipv6())
}

/// Octets of the inner packet that fit into one outer packet of `outer` octets: ESP in tunnel mode with AES-GCM and
/// a 16-octet tag (RFC 4303, RFC 4106).
pub(crate) fn inner_mtu(outer: u16, outer_v6: bool, translated: bool) -> u16 {
    const ESP_HEADER: u16 = 8;
    const IV: u16 = 8;
    const TAG: u16 = 16;
    const TRAILER: u16 = 2;
    const ALIGNMENT: u16 = 4;
    const UDP: u16 = 8;
    let header = if outer_v6 { 40 } else { 20 };
    let udp = if translated { UDP } else { 0 };
    let room = outer.saturating_sub(header + udp + ESP_HEADER + IV + TAG);
    (room / ALIGNMENT * ALIGNMENT).saturating_sub(TRAILER)
}

#[cfg(test)]
mod tests {
    use super::inner_mtu;

    #[test]
    fn packets_that_fit() {
        // Line MTU, IPv6 outside, NAT-T, what fits. The last three are DS-Lite and the smallest line.
        let table = [
            (1500, false, false, 1446),
            (1500, false, true, 1438),
            (1492, false, false, 1438),
            (1492, false, true, 1430),
            (1500, true, false, 1426),
            (1492, true, true, 1410),
            (1460, false, true, 1398),
            (1280, true, true, 1198),
            (0, true, true, 0),
        ];
        for (outer, v6, translated, inner) in table {
            assert_eq!(inner_mtu(outer, v6, translated), inner, "{outer} v6={v6} nat={translated}");
        }
    }
}
