//! `kmh-check`: is it right, on paper? A pure function over whatever is in the stream.
//!
//! Every check is a row of [`TABLE`]. What the checks compare with is derived from the inventory in this
//! crate, not asked of the tools that made the documents, so that a mistake there is found here.

mod bundle;
mod check;
mod cli;
mod documents;
mod findings;
mod inventory;
mod network;
mod parse;
mod pki;
mod push;
mod report;
mod table;
#[cfg(test)]
mod testing;

pub use check::Check;
pub use cli::{command, run};
pub use table::TABLE;
