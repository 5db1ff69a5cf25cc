//! What the tests of the whole share: a folder with the tools on its PATH, namespaces, generated inventories.
//! Pipelines, oracles, architecture and generated files are in `tests/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "a test that cannot go on stops, and writes files as it likes"
)]

pub mod ask;
pub mod console;
pub mod etcd;
pub mod generate;
pub mod lab;
pub mod netns;
pub mod sandbox;
pub mod sshd;
pub mod topologies;
