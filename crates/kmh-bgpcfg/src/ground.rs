//! Small questions that every part of the plan asks of the model.

use std::net::{IpAddr, Ipv4Addr};

use kmh_doc::Asn;
use kmh_model::{Model, Router, Site};

use crate::PlanError;

/// The router's AS number.
pub(crate) fn asn(router: &Router) -> Result<Asn, PlanError> {
    router.asn.ok_or_else(|| PlanError::NoAsn(router.name.to_string()))
}

/// The router's site.
pub(crate) fn site_of<'a>(model: &'a Model, router: &Router) -> Result<&'a Site, PlanError> {
    model.sites.get(router.site.as_str()).ok_or_else(|| PlanError::NoSuchSite(router.site.to_string()))
}

/// BGP identifier: the IPv4 address on the node segment; without IPv4 the router's id, which RFC 6286 permits (any
/// number but 0, unique inside the AS).
pub(crate) fn router_id(router: &Router) -> Ipv4Addr {
    let address = router.addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    address.unwrap_or_else(|| Ipv4Addr::from(u32::from(router.id)))
}
