//! Address arithmetic that never wraps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The address `n` beyond the network address, when it lies inside. Kubernetes counts service addresses this way, in
/// both families.
pub(crate) fn nth(net: IpNet, n: u32) -> Option<IpAddr> {
    let address = match net.network() {
        IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits().checked_add(n)?)),
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits().checked_add(u128::from(n))?)),
    };
    net.contains(&address).then_some(address)
}

/// The `n`-th network of that prefix length inside `range`, when there is one.
pub(crate) fn nth_subnet(range: IpNet, prefix: u8, n: u32) -> Option<IpNet> {
    let net = match range {
        IpNet::V4(range) => {
            let size = 1_u32.checked_shl(u32::from(32_u8.checked_sub(prefix)?))?;
            let first = range.network().to_bits().checked_add(size.checked_mul(n)?)?;
            IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(first), prefix).ok()?)
        }
        IpNet::V6(range) => {
            let size = 1_u128.checked_shl(u32::from(128_u8.checked_sub(prefix)?))?;
            let first = range.network().to_bits().checked_add(size.checked_mul(u128::from(n))?)?;
            IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(first), prefix).ok()?)
        }
    };
    range.contains(&net).then_some(net)
}

/// Whether the network is of IPv6.
pub(crate) fn is_v6(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

/// A family's name.
pub(crate) fn family(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
}

/// One value a family, the primary family's first.
pub(crate) fn primary_first<T: Clone>(
    values: &[T],
    primary_is_v6: bool,
    is_v6: impl Fn(&T) -> bool,
) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort_by_key(|value| is_v6(value) != primary_is_v6);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_stops_at_the_end() {
        let v4: IpNet = "10.201.0.0/28".parse().unwrap();
        assert_eq!(nth(v4, 10), "10.201.0.10".parse().ok());
        assert_eq!(nth(v4, 16), None);
        assert_eq!(nth("255.255.255.252/30".parse().unwrap(), 4), None);
        let v6: IpNet = "fd00:1::/112".parse().unwrap();
        assert_eq!(nth(v6, 1), "fd00:1::1".parse().ok());
        let tunnels: IpNet = "10.255.0.0/22".parse().unwrap();
        assert_eq!(nth_subnet(tunnels, 30, 3), "10.255.0.12/30".parse().ok());
        assert_eq!(nth_subnet(tunnels, 30, 256), None);
        assert_eq!(nth_subnet("fd00:2::/48".parse().unwrap(), 64, 2), "fd00:2:0:2::/64".parse().ok());
        assert_eq!(nth_subnet("fd00:2::/48".parse().unwrap(), 64, 65536), None);
        assert_eq!(nth_subnet("10.0.0.0/31".parse().unwrap(), 30, 0), None);
    }
}
