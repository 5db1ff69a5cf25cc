//! What each router lets in and out: prefix lists, AS paths and route maps, one map for each kind of peer, direction
//! and family, and for the rank of the tunnel where a choice is expressed. What no rule permits is denied, so a default
//! route or a private segment never travels.

use std::collections::BTreeSet;

use ipnet::IpNet;
use kmh_doc::inventory::Layout;
use kmh_doc::network::{
    AsPathList, PathRule, PeerKind, PrefixList, PrefixRule, RouteMap, RouteRule, RouteSet,
};
use kmh_model::{Model, Site};

use crate::ranges::{Family, aggregate, block_length, exactly, of_family, pool, reaching_lans};

/// Name of the AS-path list that permits what nodes announced themselves.
const NODES_PATH: &str = "nodes";

/// Blocks of the router's own site.
const OWN_PODS: &str = "own-pods";
/// The node segment, and segments that may reach the cluster.
const OWN_SEGMENTS: &str = "own-segments";
/// Service and load-balancer ranges, and single addresses inside them.
const SERVICES: &str = "services";
/// Segments and blocks of every other site.
const REMOTE: &str = "remote";

/// More blocks than this Calico gives to no node (its IPAM's `maxBlocksPerHost`), when nothing is said.
const BLOCKS_A_NODE: u16 = 20;
/// Room for segments, borrowed addresses and single service addresses.
const SINGLE_ADDRESSES: u64 = 1000;
/// No domestic router needs room for more blocks, however large an IPv6 pool is.
const BLOCKS_AT_MOST: u64 = 16_384;

/// What everybody else's routes have. Calico from v3.32 on sends 2147482623 to a peer in its own AS, which would win
/// against everything, the same service at a nearer site included.
const LOCAL_PREF: u32 = 100;
/// Between two ranks of tunnels.
const MED_STEP: u32 = 10;

/// The policy of one router.
pub(crate) struct Policy {
    pub(crate) prefix_lists: Vec<PrefixList>,
    pub(crate) route_maps: Vec<RouteMap>,
    pub(crate) as_paths: Vec<AsPathList>,
}

/// Name of the route map for a session; `rank` is the tunnel's.
pub(crate) fn map_name(with: PeerKind, direction: Direction, family: Family, rank: u8) -> String {
    let peers = match with {
        PeerKind::Node => "nodes",
        PeerKind::Router => "routers",
        PeerKind::Sibling => "siblings",
    };
    let stem = format!("{peers}-{}-{}", direction.word(), family.suffix());
    if rank == 0 { stem } else { format!("{stem}-{rank}") }
}

/// Which way routes travel, seen from the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Every rule there is: with whom, which way, what, and why. A rule whose list is empty is left out.
const RULES: &[(PeerKind, Direction, &str, &str)] = {
    use Direction::{In, Out};
    use PeerKind::{Node, Router, Sibling};
    &[
        (Node, In, OWN_PODS, "blocks of this site's pool, from their node"),
        (Node, In, SERVICES, "service ranges and addresses"),
        (Node, Out, OWN_PODS, "direct routes inside the site; the rest goes by the default route"),
        (Sibling, In, OWN_PODS, "this site's blocks, should their nodes reach the other router only"),
        (Sibling, In, OWN_SEGMENTS, "segments that only the other router is on"),
        (Sibling, In, REMOTE, "other sites, by the other router's tunnels"),
        (Sibling, In, SERVICES, "services by the other router, second to this one's own nodes"),
        (Sibling, Out, OWN_PODS, "this site's blocks"),
        (Sibling, Out, OWN_SEGMENTS, "this site's segments"),
        (Sibling, Out, REMOTE, "other sites, by this router's tunnels"),
        (Sibling, Out, SERVICES, "services"),
        (Router, In, REMOTE, "other sites, from any router: transit survives a cut"),
        (Router, In, SERVICES, "services on other sites, second to this site's own"),
        (Router, Out, OWN_SEGMENTS, "this site's segments"),
        (Router, Out, OWN_PODS, "this site's blocks"),
        (Router, Out, SERVICES, "services"),
        (Router, Out, REMOTE, "transit between other sites"),
    ]
};

/// A route map that a router needs: for these peers, this family, over tunnels of this rank.
pub(crate) type Need = (PeerKind, Family, u8);

/// The policy of a router of `site`, which has sessions of these kinds.
pub(crate) fn policy(model: &Model, site: &Site, needs: &BTreeSet<Need>) -> Policy {
    let wanted: Vec<_> = RULES
        .iter()
        .filter(|(with, direction, ..)| {
            model.bgp.direct_routes || (*with, *direction) != (PeerKind::Node, Direction::Out)
        })
        .collect();
    let mut prefix_lists: Vec<PrefixList> = Family::ALL
        .into_iter()
        .flat_map(|family| [OWN_PODS, OWN_SEGMENTS, SERVICES, REMOTE].map(|list| (list, family)))
        .filter(|(list, family)| {
            wanted.iter().any(|(with, _, used, _)| {
                used == list && needs.iter().any(|need| (need.0, need.1) == (*with, *family))
            })
        })
        .map(|(list, family)| PrefixList {
            name: format!("{list}-{}", family.suffix()),
            v6: family == Family::V6,
            permit: members(model, site, list, family),
        })
        .filter(|list| !list.permit.is_empty())
        .collect();
    prefix_lists.sort_by(|a, b| a.name.cmp(&b.name));

    let mut route_maps = Vec::new();
    for (with, family, rank) in needs {
        for direction in [Direction::In, Direction::Out] {
            let mut rules: Vec<RouteRule> = wanted
                .iter()
                .filter(|rule| (rule.0, rule.1) == (*with, direction))
                .map(|(_, _, list, why)| RouteRule {
                    permit: true,
                    prefix_list: Some(format!("{list}-{}", family.suffix())),
                    as_path: ((*with, direction) == (PeerKind::Node, Direction::In))
                        .then(|| NODES_PATH.to_owned()),
                    set: set(model.bgp.layout, *with, direction, *rank),
                    description: (*why).to_owned(),
                })
                .filter(|rule| prefix_lists.iter().any(|list| Some(&list.name) == rule.prefix_list.as_ref()))
                .collect();
            if rules.is_empty() {
                // A map without rules would not exist.
                rules.push(RouteRule {
                    permit: false,
                    prefix_list: None,
                    as_path: None,
                    set: RouteSet::default(),
                    description: match (*with, direction) {
                        (PeerKind::Node, Direction::Out) => "nothing: nodes send all to their gateway",
                        _ => "nothing of this family",
                    }
                    .to_owned(),
                });
            }
            let rank = if direction == Direction::In { *rank } else { 0 };
            route_maps.push(RouteMap { name: map_name(*with, direction, *family, rank), rules });
        }
    }
    route_maps.sort_by(|a, b| a.name.cmp(&b.name));
    route_maps.dedup_by(|a, b| a.name == b.name);

    let has_nodes = needs.iter().any(|(with, ..)| *with == PeerKind::Node);
    let as_paths = if has_nodes { vec![nodes_path(model)] } else { Vec::new() };
    Policy { prefix_lists, route_maps, as_paths }
}

/// What is changed on the way in. Both ends of a tunnel give it the same rank, so that a packet and its answer go the
/// same way; the MED is compared between tunnels to the same AS only, so a longer path stays the worse one. It is always
/// set: FRR sends an interface's metric as the MED of its segment.
fn set(layout: Layout, with: PeerKind, direction: Direction, rank: u8) -> RouteSet {
    match (with, direction) {
        (PeerKind::Node, Direction::In) if layout == Layout::B => {
            RouteSet { local_pref: Some(LOCAL_PREF), med: None }
        }
        (PeerKind::Router, Direction::In) => {
            RouteSet { local_pref: None, med: Some(MED_STEP * u32::from(rank)) }
        }
        _ => RouteSet::default(),
    }
}

/// Paths that begin at the node that sends them: what it hands on from elsewhere has another AS in it.
fn nodes_path(model: &Model) -> AsPathList {
    let permit = match model.bgp.layout {
        Layout::A => PathRule::Only(model.node_asn),
        Layout::B => PathRule::Empty,
        Layout::D => PathRule::Single,
    };
    AsPathList { name: NODES_PATH.to_owned(), permit }
}

/// What a prefix list permits on the routers of `site`.
fn members(model: &Model, site: &Site, list: &str, family: Family) -> Vec<PrefixRule> {
    let others = || model.sites.values().filter(|other| other.name != site.name);
    let segments =
        |site: &Site| -> Vec<IpNet> { site.networks.iter().copied().chain(reaching_lans(site)).collect() };
    let of = |nets: Vec<IpNet>| of_family(&nets, family).collect::<Vec<_>>();
    let mut rules: Vec<PrefixRule> = match list {
        OWN_PODS => of_family(&site.pods, family).map(|net| pool(model, net)).collect(),
        OWN_SEGMENTS => of(segments(site)).into_iter().map(exactly).collect(),
        SERVICES => of_family(&model.services, family)
            .chain(of_family(&model.load_balancers, family))
            .flat_map(aggregate)
            .collect(),
        _ => others()
            .flat_map(|other| {
                let segments = of(segments(other)).into_iter().map(exactly);
                segments.chain(of_family(&other.pods, family).map(|net| pool(model, net))).collect::<Vec<_>>()
            })
            .collect(),
    };
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// How many prefixes a session may bring: twice what the ranges can hold, in thousands. It depends on ranges, not on
/// how many nodes or sites there are, so that growth changes no session that exists.
pub(crate) fn maximum_prefix(model: &Model, site: &Site, with: PeerKind, family: Family) -> u32 {
    let blocks = |nets: &[IpNet]| -> u64 {
        of_family(nets, family)
            .map(|net| {
                let spare = u32::from(block_length(model, family).saturating_sub(net.prefix_len()));
                1_u64.checked_shl(spare).filter(|_| spare < 32).unwrap_or(BLOCKS_AT_MOST).min(BLOCKS_AT_MOST)
            })
            .sum()
    };
    let blocks = match with {
        PeerKind::Node => {
            let most = model.calico.max_blocks_per_node.unwrap_or(BLOCKS_A_NODE);
            blocks(&site.pods).min(u64::from(most))
        }
        PeerKind::Router | PeerKind::Sibling => blocks(&model.pods),
    };
    let wanted = 2 * (blocks + SINGLE_ADDRESSES);
    u32::try_from(wanted.div_ceil(1000) * 1000).unwrap_or(u32::MAX)
}
