//! The words on the wire: what a kmh document is, the kinds there are, and the types of each kind's `spec`.
//!
//! No IO, no command line, no meaning: what an inventory *means* is `kmh-model`, how documents are read and
//! written is `kmh-cli`.

pub mod blocks;
pub mod bundle;
pub mod canonical;
pub mod check;
pub mod decode;
pub mod digest;
pub mod formats;
pub mod inventory;
mod json;
pub mod kind;
pub mod members;
pub mod network;
pub mod newtypes;
pub mod one_or_many;
pub mod pki;
pub mod problem;
pub mod push;
pub mod schema;
pub mod step;
pub mod tree;
mod yaml;

pub use digest::Digest;
pub use kind::{Kind, Spec};
pub use newtypes::{Asn, Cidr, HostName, Label, Version};
pub use one_or_many::OneOrMany;
pub use problem::{Code, Level, Problem, Problems};
pub use tree::{Place, Tree};
