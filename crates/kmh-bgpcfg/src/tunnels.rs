//! Tunnels as the routers see them: interface names, identities, keys, and the packet size that fits.

use std::net::IpAddr;

use kmh_doc::Cidr;
use kmh_doc::inventory::{Cipher, Nat, RouterKind, TunnelAuth, Uplink};
use kmh_doc::network::{Tunnel, TunnelEnd};
use kmh_model::{Model, Router};

use crate::PlanError;
use crate::ground::Index;

/// MTU of a line about which nothing is said, and of the nodes' segment.
pub(crate) const ETHERNET: u16 = 1500;

/// Every tunnel, by index.
pub(crate) fn tunnels(index: &Index<'_>) -> Result<Vec<Tunnel>, PlanError> {
    index.model.tunnels.iter().map(|tunnel| one(index, tunnel)).collect()
}

/// The pods' MTU: no larger than the smallest tunnel, so that also UDP fits without fragments, and no larger than
/// the nodes' segment.
pub(crate) fn pod_mtu(tunnels: &[Tunnel]) -> u16 {
    tunnels.iter().map(|tunnel| tunnel.mtu).min().unwrap_or(ETHERNET).min(ETHERNET)
}

/// The line that carries a router's end of a tunnel.
pub(crate) fn line_of<'a>(router: &'a Router, end: &kmh_model::TunnelEnd) -> Result<&'a Uplink, PlanError> {
    router.uplinks.get(end.uplink).ok_or_else(|| PlanError::NoUplink(end.router.to_string()))
}

fn one(index: &Index<'_>, tunnel: &kmh_model::Tunnel) -> Result<Tunnel, PlanError> {
    let model = index.model;
    let [first, second] =
        [index.router(tunnel.ends[0].router.as_str())?, index.router(tunnel.ends[1].router.as_str())?];
    let (first_line, second_line) = (line_of(first, &tunnel.ends[0])?, line_of(second, &tunnel.ends[1])?);
    let name = tunnel.name();
    let mtu = mtu(model.cipher, first_line, second_line);
    Ok(Tunnel {
        index: tunnel.index,
        rank: tunnel.rank,
        cipher: model.cipher,
        nat_t: is_translated(first_line, second_line),
        psk: (model.tunnel_auth == TunnelAuth::Psk).then(|| format!("keys/psk/{name}")),
        networks: tunnel.networks.iter().copied().map(Cidr::new).collect(),
        ends: [end(model, tunnel, 0, first, first_line), end(model, tunnel, 1, second, second_line)],
        mtu,
        // Without the headers of IP (20 and 40) and of TCP (20).
        mss: [mtu.saturating_sub(40), mtu.saturating_sub(60)],
        name,
    })
}

fn end(model: &Model, tunnel: &kmh_model::Tunnel, side: usize, router: &Router, line: &Uplink) -> TunnelEnd {
    let (index, end) = (tunnel.index, &tunnel.ends[side]);
    // Linux: an XFRM interface of that if_id. pfSense: the kernel names a VTI after its reqid.
    let prefix = match router.kind {
        RouterKind::Linux => "xfrm",
        RouterKind::Pfsense => "ipsec",
    };
    TunnelEnd {
        router: router.name.to_string(),
        uplink: line.name.to_string(),
        uplink_interface: line.interface.as_ref().map_or_else(|| line.name.to_string(), ToString::to_string),
        local_address: local_address(line),
        remote_address: line.address.as_ref().filter(|_| end.reachable).map(ToString::to_string),
        interface: format!("{prefix}{index}"),
        addresses: end.addresses.clone(),
        identity: tunnel.ike_identity(model, side),
        initiates: end.initiates,
    }
}

/// The router's own address on a line: what is written, or the public one where nothing translates it.
fn local_address(line: &Uplink) -> Option<IpAddr> {
    let public = line.address.as_ref().and_then(kmh_doc::HostName::ip);
    line.local_address.or_else(|| public.filter(|_| line.nat == Nat::None && !line.dynamic))
}

/// What fits through the tunnel between two lines.
fn mtu(cipher: Cipher, first: &Uplink, second: &Uplink) -> u16 {
    let outer = first.mtu.unwrap_or(ETHERNET).min(second.mtu.unwrap_or(ETHERNET));
    inner_mtu(cipher, outer, !outer_is_v4(first, second), is_translated(first, second))
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

/// Octets of an initialisation vector, of the check value, and to which the rest is filled up.
struct Overhead {
    iv: u16,
    check: u16,
    block: u16,
}

/// What ESP adds. RFC 4106 (GCM), RFC 7634 (ChaCha20-Poly1305), RFC 3602 and 4868 (CBC with HMAC-SHA-256-128).
const fn overhead(cipher: Cipher) -> Overhead {
    match cipher {
        Cipher::Aes256gcm | Cipher::Aes128gcm | Cipher::Chacha20poly1305 => {
            Overhead { iv: 8, check: 16, block: 4 }
        }
        Cipher::Aes256cbc => Overhead { iv: 16, check: 16, block: 16 },
    }
}

/// Octets of the inner packet that fit into one outer packet of `outer` octets: ESP in tunnel mode (RFC 4303).
pub(crate) fn inner_mtu(cipher: Cipher, outer: u16, outer_v6: bool, translated: bool) -> u16 {
    const ESP_HEADER: u16 = 8;
    const TRAILER: u16 = 2;
    const UDP: u16 = 8;
    let header = if outer_v6 { 40 } else { 20 };
    let udp = if translated { UDP } else { 0 };
    let Overhead { iv, check, block } = overhead(cipher);
    let room = outer.saturating_sub(header + udp + ESP_HEADER + iv + check);
    (room / block * block).saturating_sub(TRAILER)
}

#[cfg(test)]
mod tests {
    use kmh_doc::inventory::Cipher;

    use super::inner_mtu;

    #[test]
    fn packets_that_fit() {
        // Line MTU, IPv6 outside, NAT-T, what fits with a counter mode, what fits with CBC. The last rows are DS-Lite,
        // the smallest line, and none.
        let table = [
            (1500, false, false, 1446, 1438),
            (1500, false, true, 1438, 1422),
            (1492, false, false, 1438, 1422),
            (1492, false, true, 1430, 1422),
            (1500, true, false, 1426, 1406),
            (1492, true, true, 1410, 1390),
            (1460, false, true, 1398, 1390),
            (1280, true, true, 1198, 1182),
            (0, true, true, 0, 0),
        ];
        for (outer, v6, translated, counter, chained) in table {
            for (cipher, inner) in [
                (Cipher::Aes256gcm, counter),
                (Cipher::Aes128gcm, counter),
                (Cipher::Chacha20poly1305, counter),
                (Cipher::Aes256cbc, chained),
            ] {
                let found = inner_mtu(cipher, outer, v6, translated);
                assert_eq!(found, inner, "{cipher:?} {outer} v6={v6} nat={translated}");
            }
        }
    }
}
