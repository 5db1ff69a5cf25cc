//! Calico's resources: which fields there are in which version, what each takes, and what of it fits together.
//!
//! The definitions that Calico brings to a cluster check next to nothing before v3.32: a field that a version does not
//! know is dropped without a word, and a value that means nothing is stored and then ignored, or stops a node's BIRD.
//! So [`validate`] checks here, before anything is applied: what kmh makes itself, and documents that people changed.
//!
//! Facts only, and pure: nothing here knows an inventory. What a resource ought to say is for the tools.

mod fields;
mod formats;
mod release;
mod rules;
pub mod selector;
mod validate;

pub use release::{NEWEST, OLDEST, Release, knows};
pub use rules::{GROUP_CRD, GROUP_V3};
pub use validate::{Complaint, validate};
