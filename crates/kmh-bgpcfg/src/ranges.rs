//! Address families and the prefix rules of ranges: which lengths inside a range may be announced.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::network::PrefixRule;
use kmh_model::{Model, Site};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn of(net: IpNet) -> Self {
        if matches!(net, IpNet::V4(_)) { Self::V4 } else { Self::V6 }
    }

    pub(crate) fn of_address(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As it ends the names of lists, maps and resources.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }

    /// Length of an address.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// Length of the blocks that Calico's IPAM cuts out of a pool: its own default, 64 addresses.
    pub(crate) fn block(self) -> u8 {
        self.bits() - 6
    }

    /// Everything.
    pub(crate) fn anywhere(self) -> Cidr {
        let net = match self {
            Self::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Self::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
        };
        Cidr::new(net)
    }
}

/// The networks of one family.
pub(crate) fn of_family(nets: &[IpNet], family: Family) -> impl Iterator<Item = IpNet> {
    nets.iter().copied().filter(move |net| Family::of(*net) == family)
}

/// The address of one family.
pub(crate) fn address_of(addresses: &[IpAddr], family: Family) -> Option<IpAddr> {
    addresses.iter().copied().find(|address| Family::of_address(*address) == family)
}

/// Families that the cluster's node segments use.
pub(crate) fn families(model: &Model) -> Vec<Family> {
    let used = |family| model.sites.values().any(|site| of_family(&site.networks, family).next().is_some());
    Family::ALL.into_iter().filter(|family| used(*family)).collect()
}

/// Segments behind a site's routers that may reach something in the cluster, so that replies need a route.
pub(crate) fn reaching_lans(site: &Site) -> impl Iterator<Item = IpNet> {
    site.lans
        .iter()
        .filter(|lan| !lan.reach.is_empty())
        .flat_map(|lan| lan.network.iter().map(|net| net.net()))
}

/// Length of the blocks that Calico's IPAM cuts out of a pool of this family. Its own default holds 64 addresses.
pub(crate) fn block_length(model: &Model, family: Family) -> u8 {
    match family {
        Family::V4 => model.calico.block_size_v4.unwrap_or(26),
        Family::V6 => model.calico.block_size_v6.unwrap_or(122),
    }
}

/// Every prefix of `shortest` to `longest` inside `net`. FRR wants prefix length < ge <= le, so that a bound which
/// says nothing is left out.
pub(crate) fn within(net: IpNet, shortest: u8, longest: u8) -> PrefixRule {
    let own = net.prefix_len();
    PrefixRule {
        prefix: Cidr::new(net),
        ge: (shortest > own).then_some(shortest),
        le: (longest > own).then_some(longest),
    }
}

/// A pool's blocks, and single addresses that a node borrowed out of another's block.
pub(crate) fn pool(model: &Model, net: IpNet) -> PrefixRule {
    let family = Family::of(net);
    within(net, block_length(model, family), family.bits())
}

/// Exactly this prefix.
pub(crate) fn exactly(net: IpNet) -> PrefixRule {
    PrefixRule { prefix: Cidr::new(net), ge: None, le: None }
}

/// An aggregate and each single address inside it, as a Service with a `Local` traffic policy is announced.
pub(crate) fn aggregate(net: IpNet) -> Vec<PrefixRule> {
    let bits = Family::of(net).bits();
    if net.prefix_len() == bits { vec![exactly(net)] } else { vec![exactly(net), within(net, bits, bits)] }
}

/// The address with its segment's prefix length.
pub(crate) fn on_segment(address: IpAddr, networks: &[IpNet]) -> String {
    let family = Family::of_address(address);
    let length = networks.iter().find(|net| net.contains(&address)).map_or(family.bits(), IpNet::prefix_len);
    format!("{address}/{length}")
}

/// Sorted, without repetitions.
pub(crate) fn cidrs(nets: impl IntoIterator<Item = IpNet>) -> Vec<Cidr> {
    let mut out: Vec<Cidr> = nets.into_iter().map(Cidr::new).collect();
    out.sort_unstable();
    out.dedup();
    out
}
