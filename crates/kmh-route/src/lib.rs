//! Which routes follow from a network document: what each router and node hears, accepts, prefers and installs.
//!
//! Pure. The network is taken from `kmh.network/v1` as it stands, not from the inventory: what will be rendered is what
//! is predicted, mistakes included. Where a daemon and this crate differ, this crate is wrong.
//!
//! [`Network::new`] once, [`Ground::assume`] or [`Ground::from_blocks`] once, then [`predict()`] for each scenario.

pub mod down;
pub mod fault;
pub mod filter;
pub mod findings;
pub mod forward;
pub mod ground;
pub mod lookup;
pub mod network;
pub mod predict;
pub mod services;
pub mod table;
pub mod what_if;

mod engine;
mod policy;
mod prefixes;
mod route;
#[cfg(test)]
mod testing;

use kmh_calico::selector;

pub use down::Down;
pub use fault::Fault;
pub use findings::findings;
pub use forward::{Way, way};
pub use ground::Ground;
pub use lookup::{Found, Gate, Origin};
pub use network::{End, Machine, Network, Session, Why};
pub use predict::{Prediction, predict};
pub use table::Table;
