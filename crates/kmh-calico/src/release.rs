//! Versions of Calico, and what came with which.

use std::fmt;

use crate::fields;

/// Major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u16, pub u16);

/// The oldest that the tables speak of.
pub const OLDEST: Release = Release(3, 28);
/// The newest.
pub const NEWEST: Release = Release(3, 32);

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Whether a release knows that field of a kind's `spec`. Where the release is not known, only what all have counts.
pub fn knows(kind: &str, field: &str, release: Option<Release>) -> bool {
    fields::kind(kind)
        .and_then(|kind| kind.spec.iter().find(|one| one.name == field))
        .is_some_and(|field| field.since <= release.unwrap_or(OLDEST))
}
