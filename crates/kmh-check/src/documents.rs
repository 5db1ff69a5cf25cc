//! Everything that a run of the checks has at hand, each document read and indexed once.

use std::collections::BTreeMap;

use kmh_cert::Facts;
use kmh_doc::network::NetworkSpec;
use kmh_doc::pki::{Certificate, PkiSpec};
use kmh_doc::push::PushSpec;
use kmh_doc::{Kind, Problems};
use kmh_model::Model;
use rayon::prelude::*;
use time::OffsetDateTime;

use crate::bundle::view::Bundle;

/// The documents of a stream, as far as they are there.
pub(crate) struct Documents<'a> {
    /// The inventory's meaning.
    pub(crate) inventory: Option<Inventory<'a>>,
    /// The certificates.
    pub(crate) pki: Option<Pki<'a>>,
    /// The network.
    pub(crate) network: Option<&'a NetworkSpec>,
    /// The files.
    pub(crate) bundle: Option<Bundle<'a>>,
    /// The report of a push.
    pub(crate) push: Option<&'a PushSpec>,
    /// The time that certificates are judged by.
    pub(crate) now: OffsetDateTime,
}

impl Documents<'_> {
    /// Whether a document of that kind is there.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Inventory => self.inventory.is_some(),
            Kind::Pki => self.pki.is_some(),
            Kind::Network => self.network.is_some(),
            Kind::Bundle => self.bundle.is_some(),
            Kind::Push => self.push.is_some(),
            Kind::Facts | Kind::Blocks | Kind::Check => false,
        }
    }
}

/// The inventory.
pub(crate) struct Inventory<'a> {
    /// Its meaning.
    pub(crate) model: &'a Model,
    /// What is odd about it.
    pub(crate) warnings: &'a Problems,
}

/// The PKI document with every certificate read.
pub(crate) struct Pki<'a> {
    /// The document.
    pub(crate) spec: &'a PkiSpec,
    /// The certificates in the document's order, each with what its PEM says.
    pub(crate) read: Vec<Read<'a>>,
    by_name: BTreeMap<&'a str, usize>,
}

/// A certificate of the document and what its PEM says.
pub(crate) struct Read<'a> {
    /// The entry.
    pub(crate) entry: &'a Certificate,
    /// The facts, or why there are none.
    pub(crate) facts: Result<Facts, String>,
}

impl<'a> Pki<'a> {
    /// Reads every certificate, on all processors.
    pub(crate) fn new(spec: &'a PkiSpec) -> Self {
        let read = |entry: &'a Certificate| Read {
            entry,
            facts: Facts::from_pem(entry.pem.as_bytes()).map_err(|why| why.to_string()),
        };
        let by_name =
            spec.certificates.iter().enumerate().map(|(index, entry)| (entry.name.as_str(), index)).collect();
        Self { spec, read: spec.certificates.par_iter().map(read).collect(), by_name }
    }

    /// Entries whose PEM could be read.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = (&'a Certificate, &Facts)> {
        self.read.iter().filter_map(|r| r.facts.as_ref().ok().map(|facts| (r.entry, facts)))
    }

    /// The entry of that name, when its PEM could be read.
    pub(crate) fn named(&self, name: &str) -> Option<(&'a Certificate, &Facts)> {
        let read = self.read.get(*self.by_name.get(name)?)?;
        read.facts.as_ref().ok().map(|facts| (read.entry, facts))
    }
}
