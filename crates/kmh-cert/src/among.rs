//! What no two certificates may have in common.

use std::collections::BTreeMap;

use crate::facts::Facts;

/// A certificate, and an earlier one that it is too much like.
pub type Twins<'a> = Vec<(&'a str, &'a str)>;

/// Certificates of one issuer with one serial number (RFC 5280, 4.1.2.2).
pub fn same_serials<'a>(all: impl IntoIterator<Item = (&'a str, &'a Facts)>) -> Twins<'a> {
    twins(all.into_iter().map(|(name, facts)| (name, (&facts.issuer, &facts.serial))))
}

/// Certificates with one key: who steals one has both.
pub fn same_keys<'a>(all: impl IntoIterator<Item = (&'a str, &'a Facts)>) -> Twins<'a> {
    twins(all.into_iter().map(|(name, facts)| (name, &facts.public_key)))
}

/// Certificates with one subject: of two CAs, what the one signed passes for the other's wherever names are compared.
pub fn same_subjects<'a>(all: impl IntoIterator<Item = (&'a str, &'a Facts)>) -> Twins<'a> {
    twins(all.into_iter().map(|(name, facts)| (name, &facts.subject)))
}

fn twins<'a, K: Ord>(all: impl Iterator<Item = (&'a str, K)>) -> Twins<'a> {
    let mut seen = BTreeMap::new();
    all.filter_map(|(name, key)| Some((name, seen.insert(key, name)?))).collect()
}
