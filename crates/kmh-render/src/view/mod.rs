//! What templates see: structs made for them. No template ever sees a document.
#![allow(clippy::unnecessary_wraps, reason = "every view has the signature that the table of files asks for")]

use kmh_doc::bundle::Encoding;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use crate::engine::{Slot, mark};

pub(crate) mod bird;
pub(crate) mod cluster;
pub(crate) mod control;
pub(crate) mod firewall;
pub(crate) mod frr;
pub(crate) mod ipsec;
pub(crate) mod links;
pub(crate) mod node;
pub(crate) mod pfrules;
pub(crate) mod pfsense;

/// A filled view: the template's variables and the secrets that its marks refer to.
pub(crate) struct View {
    /// The variables.
    pub(crate) value: Value,
    /// The secrets.
    pub(crate) slots: Vec<Slot>,
}

impl View {
    /// Without secrets.
    pub(crate) fn of(view: impl Serialize) -> Self {
        Self { value: Value::from(Serde(view)), slots: Vec::new() }
    }

    /// With secrets.
    pub(crate) fn with(view: impl Serialize, slots: Slots) -> Self {
        Self { slots: slots.0, ..Self::of(view) }
    }
}

/// The secrets of a view in the making.
#[derive(Default)]
pub(crate) struct Slots(Vec<Slot>);

impl Slots {
    /// Takes up a secret and gives the mark to write in its place.
    pub(crate) fn put(&mut self, secret: &str, encoding: Encoding) -> String {
        self.0.push(Slot { secret: secret.to_owned(), encoding });
        mark(self.0.len() - 1)
    }
}

/// For templates without variables.
#[derive(Serialize)]
pub(crate) struct Nothing {}
