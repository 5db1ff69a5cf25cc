//! Path vectors: what speakers tell each other, what they make of it, and where it comes to rest.

mod attrs;
mod classes;
mod decide;
mod graph;
mod run;
mod send;
mod stage;
mod take;

pub(crate) use attrs::{Attrs, Memo, Reflected, Refusal, Source, link};
pub(crate) use classes::{Class, Classes, Origins, Prefix};
pub(crate) use decide::{Candidate, best, may_merge, merges, rank};
pub(crate) use graph::{Graph, Ups};
pub(crate) use run::{resettle, settle};
pub(crate) use send::{Sending, export};
pub(crate) use stage::{Choice, Heard, Settled, Stage, own_attrs};
pub(crate) use take::import;
