//! Path vectors: what speakers tell each other, what they make of it, and where it comes to rest.

mod classes;
mod decide;
mod run;
mod speak;

pub(crate) use classes::{Class, Classes, Origins, Prefix};
pub(crate) use decide::{Candidate, best, merges, rank};
pub(crate) use run::{Choice, Graph, Heard, Settled, Stage, Ups, own_attrs, resettle, settle};
pub(crate) use speak::{Attrs, Memo, Reflected, Refusal, Source, export, import, link};
