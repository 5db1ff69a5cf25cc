//! What the store holds, without any key material: what the plan decides on.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::pki::Generation;

use crate::cert::{self, Certificate};
use crate::csr::Request;

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
    /// The same of something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Half<U> {
        match self {
            Self::Absent => Half::Absent,
            Self::Damaged(why) => Half::Damaged(why),
            Self::There(value) => Half::There(turn(value)),
        }
    }

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
    /// NAME.csr: the key is on its machine, and the certificate is signed for this request.
    pub request: Half<Box<Request>>,
}

impl Pair {
    /// What the request asks for whose key is on its machine; none when the store holds the key, as it does by default.
    pub fn away(&self) -> Option<&Request> {
        match &self.key {
            Half::Absent => self.request.there().map(Box::as_ref),
            _ => None,
        }
    }
}

/// A key without certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bare {
    /// Its public half as PEM, where it has one.
    pub public: Option<String>,
    /// What an encryption key is called for life.
    pub id: Option<String>,
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
    pub pairs: BTreeMap<String, Box<Pair>>,
    /// Wanted keys without certificate, by name.
    pub keys: BTreeMap<String, Half<Bare>>,
    /// Names that an interrupted run was writing.
    pub pending: BTreeSet<String>,
    /// Keys and requests that wait for the certificate of that name.
    pub waiting: BTreeMap<String, Pair>,
    /// Names of certificates that nothing wants any more.
    pub leftover: BTreeSet<String>,
    /// Names of keys of sites and tunnels that nothing wants any more.
    pub unused: BTreeSet<String>,
    /// Key files that others than their owner may read.
    pub readable: Vec<String>,
}

impl Observed {
    /// The file of a CA: every generation of it that is trusted, PEM, the oldest first, as in `PkiSpec::bundle`. Or which
    /// one is damaged, and how.
    pub fn bundle(&self, ca: &str) -> Result<String, (String, &'static str)> {
        let mut bundle = String::new();
        for generation in [Generation::Old, Generation::Current, Generation::Next] {
            let name = ca.to_owned() + generation.ending();
            match self.pairs.get(&name).map(|pair| &pair.certificate) {
                Some(Half::There(one)) => bundle.push_str(&one.pem),
                Some(Half::Damaged(why)) => return Err((name, why)),
                Some(Half::Absent) | None => {}
            }
        }
        Ok(bundle)
    }

    /// What the store holds after pairs and keys got other names, and others went to the archive. Names are those
    /// before it, as in a change of the store.
    pub fn rename(&mut self, moves: &[(String, String)], retired: &[String]) {
        let pairs: Vec<_> =
            moves.iter().filter_map(|(from, to)| Some((to, self.pairs.remove(from)?))).collect();
        let keys: Vec<_> =
            moves.iter().filter_map(|(from, to)| Some((to, self.keys.remove(from)?))).collect();
        for name in retired {
            self.pairs.remove(name);
            self.keys.remove(name);
        }
        self.pairs.extend(pairs.into_iter().map(|(name, pair)| (name.clone(), pair)));
        self.keys.extend(keys.into_iter().map(|(name, key)| (name.clone(), key)));
    }
}
