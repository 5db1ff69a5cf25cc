//! The edges of every tool: command line, stream of documents, files, exit codes, terminal.

pub mod answer;
pub mod args;
pub mod context;
mod documents;
pub mod env;
pub mod exit;
pub mod failure;
pub mod file;
pub mod filter;
mod input;
mod output;
mod schema;
pub mod stream;
pub mod table;
pub mod text;
mod usage;

pub use answer::{Answer, answer, answer_alone};
pub use args::{Common, Format, parse};
pub use context::Context;
pub use env::{Captured, Env, main};
pub use exit::Exit;
pub use failure::{Failure, Note};
pub use filter::{Body, Diff, Outcome, Written, filter};
pub use stream::{Loaded, Source, Stream};
