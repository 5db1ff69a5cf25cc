//! Collects what is wrong, each with its place in the document as it was written.

use kmh_doc::decode::Kept;
use kmh_doc::tree::Value;
use kmh_doc::{Code, Level, Problem, Problems, Tree};

/// What only says that something is not there. When parts of the document could not be read, that is no news.
const ABSENCES: &[Code] = &[
    Code::UnknownReference,
    Code::FamilyMissing,
    Code::NoRouter,
    Code::NoAsn,
    Code::MissingKey,
    Code::UnreachableTunnel,
    Code::Partitioned,
    Code::EvenEtcd,
    Code::NoControlPlane,
    Code::NoEtcd,
    Code::Needed,
];

pub(crate) struct Report<'a> {
    document: &'a Tree,
    kept: &'a Kept,
    partial: bool,
    problems: Problems,
}

impl<'a> Report<'a> {
    /// `found` is what is known to be wrong already.
    pub(crate) fn new(document: &'a Tree, kept: &'a Kept, found: Problems) -> Self {
        Self { document, kept, partial: found.has_errors(), problems: found }
    }

    pub(crate) fn add(&mut self, mut problem: Problem) {
        if self.partial && ABSENCES.contains(&problem.code) {
            return;
        }
        problem.path = self.kept.original(&problem.path);
        if problem.place.is_none() {
            problem.place = Some(self.document.nearest(&problem.path).place);
        }
        self.problems.push(problem);
    }

    pub(crate) fn error(&mut self, code: Code, path: &str, message: impl Into<String>) {
        self.add(Problem::error(code, path, message));
    }

    /// Path and line of another place, for the cause.
    pub(crate) fn place(&self, path: &str) -> String {
        let path = self.kept.original(path);
        let place = self.document.nearest(&path).place;
        format!("{path}, line {}", place.line)
    }

    /// The path of an item of `path`, or `path` itself when one value is written there instead of a list.
    pub(crate) fn item(&self, path: &str, index: usize) -> String {
        match self.document.nearest(&self.kept.original(path)).value {
            Value::List(_) => format!("{path}[{index}]"),
            _ => path.to_owned(),
        }
    }

    /// Whether something is written at the path.
    pub(crate) fn is_written(&self, path: &str) -> bool {
        let path = self.kept.original(path);
        let Some((parent, key)) = path.rsplit_once('.') else { return false };
        self.document.nearest(parent).get(key).is_some()
    }

    pub(crate) fn finish(self) -> (Problems, bool) {
        let refused = self.problems.iter().any(|problem| problem.level == Level::Error);
        (self.problems.sorted(), refused)
    }
}
