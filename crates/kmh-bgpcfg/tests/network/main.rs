//! The plan, judged from outside: what passes its filters, what follows over the whole cluster, what growth changes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod calico;
mod edges;
mod findings;
mod firewall;
mod layouts;
mod plan;
mod policy;
mod redundancy;
mod support;
