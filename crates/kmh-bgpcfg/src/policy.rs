//! What each router lets in and out: prefix lists, AS paths and route maps, one map for each kind of peer, direction
//! and family. What no rule permits is denied, so a default route or a private segment never travels.

use ipnet::IpNet;
use kmh_doc::network::{AsPathList, PeerKind, PrefixList, PathRule, PrefixRule, RouteMap, RouteSet, RouteRule};
use kmh_model::{Model, Site};

use crate::ranges::{Family, aggregate, exactly, of_family, pool, reaching_lans};

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

/// More blocks than this Calico gives to no node (its IPAM's `maxBlocksPerHost`, 20 when nothing is said).
const BLOCKS_A_NODE: u64 = 20;
/// Room for segments, borrowed addresses and single service addresses.
const SINGLE_ADDRESSES: u64 = 1000;
/// No domestic router needs room for more blocks, however large an IPv6 pool is.
const BLOCKS_AT_MOST: u64 = 16_384;

/// The policy of one router.
pub(crate) struct Policy {
    pub(crate) prefix_lists: Vec<PrefixList>,
    pub(crate) route_maps: Vec<RouteMap>,
    pub(crate) as_paths: Vec<AsPathList>,
}

/// Name of the route map for a session.
pub(crate) fn map_name(with: PeerKind, direction: Direction, family: Family) -> String {
    let peers = match with {
        PeerKind::Node => "nodes",
        PeerKind::Router => "routers",
        PeerKind::Sibling => "siblings",
    };
    format!("{peers}-{}-{}", direction.word(), family.suffix())
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

/// One rule of the table below.
struct Rule {
    with: PeerKind,
    direction: Direction,
    list: &'static str,
    own_nodes_only: bool,
    why: &'static str,
}

/// Every rule there is. A rule whose list is empty is left out.
const RULES: &[Rule] = &[
    Rule {
        with: PeerKind::Node,
        direction: Direction::In,
        list: OWN_PODS,
        own_nodes_only: true,
        why: "blocks of this site's pool, from their node",
    },
    Rule {
        with: PeerKind::Node,
        direction: Direction::In,
        list: SERVICES,
        own_nodes_only: true,
        why: "service ranges and addresses",
    },
    Rule {
        with: PeerKind::Node,
        direction: Direction::Out,
        list: OWN_PODS,
        own_nodes_only: false,
        why: "direct routes inside the site; the rest goes by the default route",
    },
    Rule {
        with: PeerKind::Router,
        direction: Direction::In,
        list: REMOTE,
        own_nodes_only: false,
        why: "other sites, from any router: transit survives a cut",
    },
    Rule {
        with: PeerKind::Router,
        direction: Direction::In,
        list: SERVICES,
        own_nodes_only: false,
        why: "services on other sites, second to this site's own",
    },
    Rule {
        with: PeerKind::Router,
        direction: Direction::Out,
        list: OWN_SEGMENTS,
        own_nodes_only: false,
        why: "this site's segments",
    },
    Rule {
        with: PeerKind::Router,
        direction: Direction::Out,
        list: OWN_PODS,
        own_nodes_only: false,
        why: "this site's blocks",
    },
    Rule {
        with: PeerKind::Router,
        direction: Direction::Out,
        list: SERVICES,
        own_nodes_only: false,
        why: "services",
    },
    Rule {
        with: PeerKind::Router,
        direction: Direction::Out,
        list: REMOTE,
        own_nodes_only: false,
        why: "transit between other sites",
    },
];

/// The policy of a router of `site`, which has peers of these kinds and families.
pub(crate) fn policy(model: &Model, site: &Site, peers: &[(PeerKind, Family)]) -> Policy {
    let mut prefix_lists: Vec<PrefixList> = Family::ALL
        .into_iter()
        .flat_map(|family| [OWN_PODS, OWN_SEGMENTS, SERVICES, REMOTE].map(|list| (list, family)))
        .filter(|(list, family)| {
            RULES.iter().any(|rule| rule.list == *list && peers.contains(&(rule.with, *family)))
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
    for (with, family) in peers {
        for direction in [Direction::In, Direction::Out] {
            let mut rules: Vec<RouteRule> = RULES
                .iter()
                .filter(|rule| rule.with == *with && rule.direction == direction)
                .map(|rule| RouteRule {
                    permit: true,
                    prefix_list: Some(format!("{}-{}", rule.list, family.suffix())),
                    as_path: rule.own_nodes_only.then(|| NODES_PATH.to_owned()),
                    set: RouteSet::default(),
                    description: rule.why.to_owned(),
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
                    description: "nothing of this family".to_owned(),
                });
            }
            route_maps.push(RouteMap { name: map_name(*with, direction, *family), rules });
        }
    }
    route_maps.sort_by(|a, b| a.name.cmp(&b.name));

    let has_nodes = peers.iter().any(|(with, _)| *with == PeerKind::Node);
    let as_paths = if has_nodes { vec![nodes_path(model)] } else { Vec::new() };
    Policy { prefix_lists, route_maps, as_paths }
}

/// Paths of nothing but the nodes' AS: what a node hands on from elsewhere has another AS in it.
fn nodes_path(model: &Model) -> AsPathList {
    AsPathList { name: NODES_PATH.to_owned(), permit: PathRule::Only(model.node_asn) }
}

/// What a prefix list permits on the routers of `site`.
fn members(model: &Model, site: &Site, list: &str, family: Family) -> Vec<PrefixRule> {
    let others = || model.sites.values().filter(|other| other.name != site.name);
    let segments =
        |site: &Site| -> Vec<IpNet> { site.networks.iter().copied().chain(reaching_lans(site)).collect() };
    let of = |nets: Vec<IpNet>| of_family(&nets, family).collect::<Vec<_>>();
    let mut rules: Vec<PrefixRule> = match list {
        OWN_PODS => of_family(&site.pods, family).map(pool).collect(),
        OWN_SEGMENTS => of(segments(site)).into_iter().map(exactly).collect(),
        SERVICES => of_family(&model.services, family)
            .chain(of_family(&model.load_balancers, family))
            .flat_map(aggregate)
            .collect(),
        _ => others()
            .flat_map(|other| {
                let segments = of(segments(other)).into_iter().map(exactly);
                segments.chain(of_family(&other.pods, family).map(pool)).collect::<Vec<_>>()
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
                let spare = u32::from(family.block().saturating_sub(net.prefix_len()));
                1_u64.checked_shl(spare).filter(|_| spare < 32).unwrap_or(BLOCKS_AT_MOST).min(BLOCKS_AT_MOST)
            })
            .sum()
    };
    let blocks = match with {
        PeerKind::Node => blocks(&site.pods).min(BLOCKS_A_NODE),
        PeerKind::Router | PeerKind::Sibling => blocks(&model.pods),
    };
    let wanted = 2 * (blocks + SINGLE_ADDRESSES);
    u32::try_from(wanted.div_ceil(1000) * 1000).unwrap_or(u32::MAX)
}
