//! Reading certificates and judging them by RFC 5280: what the tool that issues and the tool that checks have in common.
//!
//! A certificate is read once ([`Facts`]); then it is judged alone ([`rules`]), against the one that signed it
//! ([`chain`], [`limits`]), and among others ([`among`]). What the inventory asks for is no matter of this crate.

pub mod among;
pub mod chain;
pub mod facts;
pub mod limits;
pub mod rules;

pub use facts::{Facts, Unreadable};
pub use limits::Limits;
pub use rules::{Broken, Role};
