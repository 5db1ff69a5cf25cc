//! Name constraints of a CA (RFC 5280, 4.2.1.10): which DNS names and addresses what it signs may have. OpenSSL, Go and
//! rustls hold them against every certificate below it, also where the CA is itself the anchor.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use crate::facts::Facts;

/// Octets of an address and its mask, for both families.
const RANGES: [usize; 2] = [8, 32];

/// The names that a CA permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    permitted: Names,
    excluded: Names,
    /// Whether it limits names of kinds that are not judged here and that its leaves may have: directory names and rarer.
    pub others: bool,
    /// Whether that stands in a critical extension. Go then refuses all that it signs, because it does not know the kind
    /// (crypto/x509, `parseNameConstraintsExtension`; RFC 5280, 4.2.1.10, wants the extension critical).
    pub unknown: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    dns: Vec<String>,
    /// Address and mask, one after the other.
    ranges: Vec<Vec<u8>>,
}

impl Limits {
    /// Those of a CA; none when it has none.
    pub fn of(ca: &Facts) -> Option<Self> {
        ca.name_constraints.then(|| Self::from_der(&ca.der)).flatten()
    }

    /// The same from its DER form.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let (found, critical) =
            certificate.extensions().iter().find_map(|one| match one.parsed_extension() {
                ParsedExtension::NameConstraints(found) => Some((found, one.critical)),
                _ => None,
            })?;
        let mut limits = Self::default();
        let sides = [
            (&mut limits.permitted, &found.permitted_subtrees),
            (&mut limits.excluded, &found.excluded_subtrees),
        ];
        for (names, subtrees) in sides {
            for GeneralSubtree { base } in subtrees.iter().flatten() {
                match base {
                    GeneralName::DNSName(name) => names.dns.push(name.to_ascii_lowercase()),
                    GeneralName::IPAddress(range) if RANGES.contains(&range.len()) => {
                        names.ranges.push(range.to_vec());
                    }
                    // No certificate here has one.
                    GeneralName::RFC822Name(_) | GeneralName::URI(_) => {}
                    _ => limits.others = true,
                }
            }
        }
        limits.unknown = limits.others && critical;
        Some(limits)
    }

    /// The names among these that it does not permit.
    pub fn forbidden<'a>(
        &self,
        dns: impl IntoIterator<Item = &'a String>,
        addresses: impl IntoIterator<Item = &'a IpAddr>,
    ) -> Vec<String> {
        // Where nothing of a kind is permitted by name, all of it is.
        let fits = |is: &dyn Fn(&Names) -> Option<bool>| {
            is(&self.permitted) != Some(false) && is(&self.excluded) != Some(true)
        };
        let dns = dns
            .into_iter()
            .filter(|name| !fits(&|limits| any(limits.dns.iter().map(|base| is_below(name, base)))));
        let addresses = addresses.into_iter().filter(|address| {
            !fits(&|limits| any(limits.ranges.iter().map(|range| is_within(**address, range))))
        });
        dns.cloned().chain(addresses.map(ToString::to_string)).collect()
    }
}

/// Whether any is; none: there are none.
fn any(mut all: impl ExactSizeIterator<Item = bool>) -> Option<bool> {
    (all.len() > 0).then(|| all.any(|one| one))
}

/// Whether a DNS name is that of the constraint, or has further labels before it; where a dot is in front, it must.
fn is_below(name: &str, base: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.strip_suffix(base).is_some_and(|before| match (before, base) {
        (_, "") => true,
        ("", _) => !base.starts_with('.'),
        _ => base.starts_with('.') || before.ends_with('.'),
    })
}

fn is_within(address: IpAddr, range: &[u8]) -> bool {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (base, mask) = range.split_at(range.len() / 2);
    octets.len() == base.len()
        && octets.iter().zip(base).zip(mask).all(|((own, base), mask)| own & mask == base & mask)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CidrSubnet, GeneralSubtree as Tree, IsCa, KeyPair};

    use super::*;

    fn limits(permitted: Vec<Tree>, excluded: Vec<Tree>) -> Option<Limits> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let constraints =
            rcgen::NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded };
        params.name_constraints = Some(constraints);
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        Limits::of(&Facts::from_der(der).unwrap())
    }

    fn dns(name: &str) -> Tree {
        Tree::DnsName(name.to_owned())
    }

    fn range(text: &str) -> Tree {
        Tree::IpAddress(text.parse::<CidrSubnet>().unwrap())
    }

    fn forbidden(limits: &Limits, names: &[&str], addresses: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let addresses: Vec<IpAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        limits.forbidden(&names, &addresses)
    }

    #[test]
    fn names_are_held_against_their_kind_alone() {
        let limits = limits(vec![dns("example.net"), dns(".b.test")], vec![dns("x.example.net")]).unwrap();
        let names = ["example.net", "A.Example.NET", "a.b.test", "x.example.net", "y.x.example.net"];
        assert_eq!(forbidden(&limits, &names, &["10.0.0.1"]), ["x.example.net", "y.x.example.net"]);
        assert_eq!(forbidden(&limits, &["b.test", "ample.net", "net", "badexample.net"], &[]).len(), 4);
        assert!(!limits.others);
    }

    #[test]
    fn addresses_are_held_against_ranges_of_their_family() {
        let limits =
            limits(vec![range("10.0.0.0/8"), range("fd00::/16")], vec![range("10.1.0.0/16")]).unwrap();
        let addresses = ["10.2.0.1", "fd00:10::1", "10.1.2.3", "11.0.0.1", "fd01::1"];
        assert_eq!(forbidden(&limits, &["any.where"], &addresses), ["10.1.2.3", "11.0.0.1", "fd01::1"]);
    }

    #[test]
    fn an_exclusion_alone_permits_all_else() {
        let limits = limits(vec![], vec![dns(""), range("10.0.0.0/8")]).unwrap();
        assert_eq!(forbidden(&limits, &["a.test"], &["10.0.0.1", "::1"]), ["a.test", "10.0.0.1"]);
    }

    #[test]
    fn other_kinds_are_told_of() {
        let mail = limits(vec![Tree::Rfc822Name("example.net".to_owned())], vec![]).unwrap();
        assert!(!mail.others && !mail.unknown, "no certificate here has a mail address");
        let mut name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::OrganizationName, "a company");
        let found = limits(vec![Tree::DirectoryName(name)], vec![]).unwrap();
        // The library's extension is critical.
        assert!(found.others && found.unknown);
        assert_eq!(forbidden(&found, &["a.test"], &["10.0.0.1"]), [""; 0]);
        assert_eq!(limits(vec![], vec![]), None);
    }
}
