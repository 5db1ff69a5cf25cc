//! What the store holds, without any key material: what the plan decides on.

use std::collections::{BTreeMap, BTreeSet};

use crate::cert::{self, Certificate};

/// One file of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Half<T> {
    /// It does not exist.
    #[default]
    Absent,
    /// It exists, and is not what it should be; why, without a word of its content.
    Damaged(&'static str),
    /// It was read.
    There(T),
}

impl<T> Half<T> {
    /// What was read.
    pub fn there(&self) -> Option<&T> {
        match self {
            Self::There(value) => Some(value),
            _ => None,
        }
    }
}

/// `SubjectPublicKeyInfo` in DER: all that is kept of a private key.
pub type PublicKey = Vec<u8>;

/// A certificate and its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// NAME.crt
    pub certificate: Half<Certificate>,
    /// NAME.key
    pub key: Half<PublicKey>,
}

/// A key without certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bare {
    /// Its public half as PEM, where it has one.
    pub public: Option<String>,
}

impl Observed {
    /// What it holds of the pairs of these names.
    #[must_use]
    pub fn only<'a>(&self, names: impl Iterator<Item = &'a str>) -> Self {
        let found = names.filter_map(|name| self.pairs.get_key_value(name));
        Self { pairs: found.map(|(name, pair)| (name.clone(), pair.clone())).collect(), ..Self::default() }
    }
}

impl Bare {
    /// The algorithm of its public half, where it has one.
    pub fn algorithm(&self) -> Option<String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.public.as_ref()?.as_bytes()).ok()?;
        Some(cert::algorithm_of(&pem.contents))
    }
}

/// What the store holds of what is wanted, and the names of what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Wanted certificates that have at least one file, by name.
    pub pairs: BTreeMap<String, Pair>,
    /// Wanted keys without certificate, by name.
    pub keys: BTreeMap<String, Half<Bare>>,
    /// Names that an interrupted run was writing.
    pub pending: BTreeSet<String>,
    /// Names of certificates that nothing wants any more.
    pub leftover: BTreeSet<String>,
    /// Names of keys of sites and tunnels that nothing wants any more.
    pub unused: BTreeSet<String>,
    /// Key files that others than their owner may read.
    pub readable: Vec<String>,
}
