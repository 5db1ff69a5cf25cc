//! The octets of a file that is to be written: in memory, or, of a program, in the operator's folder.

use std::sync::Arc;

use kmh_store::content::{Content, Sum, assemble};
use kmh_store::store::Secrets;
use kmh_store::wanted::Wanted;

use crate::programs::{Program, Programs};

/// A file's octets.
pub(crate) enum Body {
    /// Text, perhaps with secrets.
    Content(Content),
    /// A program.
    Program(Arc<Program>),
}

/// Where octets of files come from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) secrets: &'a Secrets,
    pub(crate) programs: &'a Programs,
}

impl Body {
    /// Those of all files of a machine, in order; none for one whose secrets are not known, as in a dry run of a planned
    /// bundle.
    pub(crate) fn all(machine: &Wanted, from: Sources<'_>) -> Vec<Option<Self>> {
        let body = |file: &kmh_store::wanted::WantedFile| match from.programs.get(&machine.name, &file.path) {
            Some(program) => Some(Self::Program(Arc::clone(program))),
            None => assemble(file, from.secrets).map(Self::Content),
        };
        machine.files.iter().map(body).collect()
    }

    pub(crate) fn sum(&self) -> Sum {
        match self {
            Self::Content(content) => content.sum,
            Self::Program(program) => program.sum,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Content(content) => content.bytes.len() as u64,
            Self::Program(program) => program.size,
        }
    }
}
