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

#[cfg(test)]
mod tests {
    use kmh_doc::Asn;

    use super::*;

    fn rule(prefix: &str, ge: Option<u8>, le: Option<u8>) -> PrefixRule {
        PrefixRule { prefix: prefix.parse().expect(prefix), ge, le }
    }

    #[test]
    fn prefix_rules() {
        let cases = [
            (rule("10.0.0.0/16", None, None), "10.0.0.0/16", true),
            (rule("10.0.0.0/16", None, None), "10.0.1.0/24", false),
            (rule("10.0.0.0/16", None, Some(24)), "10.0.0.0/16", true),
            (rule("10.0.0.0/16", None, Some(24)), "10.0.1.0/25", false),
            (rule("10.0.0.0/16", Some(26), None), "10.0.1.1/32", true),
            (rule("10.0.0.0/16", Some(26), None), "10.0.1.0/25", false),
            (rule("10.0.0.0/16", Some(26), Some(28)), "10.0.1.0/26", true),
            (rule("10.0.0.0/16", Some(26), Some(28)), "10.1.1.0/26", false),
            (rule("10.0.0.0/16", None, Some(32)), "10.0.0.0/8", false),
            (rule("::/0", None, Some(128)), "10.0.0.0/8", false),
            (rule("fd00::/48", Some(122), Some(128)), "fd00::40/122", true),
        ];
        for (rule, net, expected) in cases {
            assert_eq!(matches_prefix(&rule, net.parse().expect(net)), expected, "{rule:?} {net}");
        }
    }

    #[test]
    fn path_rules() {
        let only = PathRule::Only(Asn::new(64512));
        let cases: [(PathRule, &[u32], bool); 8] = [
            (only, &[64512], true),
            (only, &[64512, 64512], true),
            (only, &[], false),
            (only, &[64512, 65001], false),
            (PathRule::Empty, &[], true),
            (PathRule::Empty, &[1], false),
            (PathRule::Single, &[1], true),
            (PathRule::Single, &[1, 1], false),
        ];
        for (rule, path, expected) in cases {
            assert_eq!(matches_path(rule, path), expected, "{rule} {path:?}");
        }
    }
}
