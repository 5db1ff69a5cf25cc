//! Why something cannot be rendered. All faults of a run are gathered and said together.

use kmh_cli::failure::Note;
use kmh_cli::{Exit, Failure};

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// What: lower case, values in backticks, no final stop.
    pub message: String,
    /// How to go on.
    pub hint: Option<String>,
}

impl Fault {
    /// With this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All faults of a run as one failure: the documents are wrong.
pub fn failure(mut faults: Vec<Fault>) -> Failure {
    faults.sort();
    faults.dedup();
    let note = |fault: Fault| Note {
        warning: false,
        message: fault.message,
        at: Vec::new(),
        causes: Vec::new(),
        hints: fault.hint.into_iter().collect(),
    };
    Failure { exit: Exit::Wrong, notes: faults.into_iter().map(note).collect() }
}
