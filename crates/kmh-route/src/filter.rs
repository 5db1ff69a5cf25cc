//! What prefix lists, AS-path lists and route maps decide, as FRR and BIRD do.

use ipnet::IpNet;
use kmh_doc::network::{PathRule, PrefixRule};

/// Whether a rule of a prefix list matches: FRR's `permit PREFIX [ge N] [le N]`.
pub fn matches_prefix(rule: &PrefixRule, net: IpNet) -> bool {
    let own = rule.prefix.net();
    let longest = match (rule.ge, rule.le) {
        (None, None) => own.prefix_len(),
        (Some(_), None) => own.max_prefix_len(),
        (_, Some(le)) => le,
    };
    let shortest = rule.ge.unwrap_or_else(|| own.prefix_len());
    own.contains(&net) && (shortest..=longest).contains(&net.prefix_len())
}

/// Whether an AS path, nearest AS first, is permitted.
pub fn matches_path(rule: PathRule, path: &[u32]) -> bool {
    match rule {
        PathRule::Only(asn) => !path.is_empty() && path.iter().all(|hop| *hop == asn.get()),
        PathRule::Empty => path.is_empty(),
        PathRule::Single => path.len() == 1,
    }
}
