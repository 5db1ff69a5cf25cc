//! The table of document kinds: name, writer, and how to get one.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// A kind of document that kmh knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What a person decided: sites, routers, nodes, ranges, settings.
    Inventory,
    /// State of every certificate and key; never key material.
    Pki,
    /// Sessions, filters, tunnels, Calico resources, findings.
    Network,
    /// Every file of every machine and of the cluster.
    Bundle,
    /// Observed on a machine.
    Facts,
    /// Calico block affinities as the cluster has them.
    Blocks,
    /// What a push did.
    Push,
    /// What a check found.
    Check,
}

/// One row of the table of kinds.
struct Row {
    kind: Kind,
    name: &'static str,
    writer: &'static str,
    how: &'static str,
}

const TABLE: &[Row] = &[
    Row {
        kind: Kind::Inventory,
        name: "kmh.inventory/v1",
        writer: "a person",
        how: "write it by hand; kmh-inventory(5) describes it",
    },
    Row {
        kind: Kind::Pki,
        name: "kmh.pki/v1",
        writer: "kmh-pki",
        how: "make it with `kmh-pki ensure --store DIR`",
    },
    Row {
        kind: Kind::Network,
        name: "kmh.network/v1",
        writer: "kmh-bgpcfg",
        how: "make it with `kmh-bgpcfg plan`",
    },
    Row {
        kind: Kind::Bundle,
        name: "kmh.bundle/v1",
        writer: "kmh-render",
        how: "make it with `kmh-render bundle`",
    },
    Row { kind: Kind::Facts, name: "kmh.facts/v1", writer: "kmh-push", how: "observed by kmh-push" },
    Row { kind: Kind::Blocks, name: "kmh.blocks/v1", writer: "kmh-check", how: "observed by kmh-check" },
    Row { kind: Kind::Push, name: "kmh.push/v1", writer: "kmh-push", how: "make it with `kmh-push apply`" },
    Row {
        kind: Kind::Check,
        name: "kmh.check/v1",
        writer: "kmh-check",
        how: "make it with `kmh-check static`",
    },
];

impl Kind {
    /// Every kind, in the order of the pipe.
    pub const ALL: [Self; 8] = [
        Self::Inventory,
        Self::Pki,
        Self::Network,
        Self::Bundle,
        Self::Facts,
        Self::Blocks,
        Self::Push,
        Self::Check,
    ];

    fn row(self) -> &'static Row {
        // The table is in the order of the enum; `table_is_in_order` holds it.
        &TABLE[self as usize]
    }

    /// Name and version as the document carries it, such as `kmh.pki/v1`.
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The program that writes this kind, or "a person".
    pub fn writer(self) -> &'static str {
        self.row().writer
    }

    /// How to get such a document, for hints.
    pub fn how(self) -> &'static str {
        self.row().how
    }

    /// The kind of that name; `None` for foreign and unknown ones.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// The known kind that a misspelt name is nearest to.
    pub fn nearest(name: &str) -> Option<Self> {
        let (kind, likeness) = Self::ALL
            .into_iter()
            .map(|kind| (kind, strsim::jaro_winkler(kind.as_str(), name)))
            .max_by(|one, other| one.1.total_cmp(&other.1))?;
        (likeness > 0.85).then_some(kind)
    }

    /// Whether it reports or observes the world, rather than follows from other documents.
    pub fn is_report(self) -> bool {
        matches!(self, Self::Facts | Self::Blocks | Self::Push | Self::Check)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `spec` of one kind of document.
pub trait Spec: Serialize + DeserializeOwned + JsonSchema + 'static {
    /// Its kind.
    const KIND: Kind;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_kind() {
        assert_eq!(Kind::nearest("kmh.netwrok/v1"), Some(Kind::Network));
        assert_eq!(Kind::nearest("kmh.inventory/v2"), Some(Kind::Inventory));
        assert_eq!(Kind::nearest("kmh.zzzzzzzzzzzzzzz"), None);
    }

    #[test]
    fn table_is_in_order() {
        for kind in Kind::ALL {
            assert_eq!(TABLE[kind as usize].kind, kind);
            assert_eq!(Kind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(TABLE.len(), Kind::ALL.len());
    }
}
