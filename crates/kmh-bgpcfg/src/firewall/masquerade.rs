//! What leaves to the Internet with the line's address: what the Internet would find no way back to.

use ipnet::IpNet;
use kmh_doc::network::Masquerade;
use kmh_model::{Model, Site};

use super::cluster;
use crate::ranges::{Family, cidrs, of_family, reaching_lans};

/// One rule a family: the site's nodes, and pods, anywhere but to the cluster and to segments that may reach it. Pods
/// have their node's address already unless `calico.nat_outgoing` is off; where the packet filter keeps them from the
/// Internet, nothing of theirs is left to translate.
pub(crate) fn masquerade(model: &Model, site: &Site) -> Vec<Masquerade> {
    let sources: Vec<IpNet> = site.networks.iter().chain(&site.pods).copied().collect();
    let lans = model.sites.values().flat_map(reaching_lans);
    let inside: Vec<IpNet> = cluster(model).chain(model.tunnel_ranges.iter().copied()).chain(lans).collect();
    Family::ALL
        .into_iter()
        .filter_map(|family| {
            let from = cidrs(of_family(&sources, family).filter(has_no_way_back));
            (!from.is_empty()).then(|| Masquerade { from, except: cidrs(of_family(&inside, family)) })
        })
        .collect()
}

/// All of IPv4, as every home has it. Of IPv6 only unique local addresses (RFC 4193), which the Internet does not route.
fn has_no_way_back(net: &IpNet) -> bool {
    match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => net.addr().octets()[0] & 0xfe == 0xfc,
    }
}
