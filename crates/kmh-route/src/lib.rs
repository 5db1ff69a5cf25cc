//! Which routes follow from a network document: what each router and node hears, accepts, prefers and installs.
//!
//! Pure. The network is taken from `kmh.network/v1` as it stands, not from the inventory: what will be rendered is what
//! is predicted, mistakes included. Where a daemon and this crate differ, this crate is wrong.

pub mod down;
pub mod filter;
pub mod ground;
pub mod table;
