//! Why a run failed, in one shape: program name, what, where, cause, hint.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use kmh_doc::{Level, Problem, Problems};

use crate::exit::Exit;
use crate::stream::Source;
use crate::text::printable;

/// More notes than this are counted, not printed: nobody reads them, and the first ones cause the others.
const SHOWN: usize = 200;

/// A failed run: its exit code and what there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What to say, one note a problem.
    pub notes: Vec<Note>,
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether it is only a warning.
    pub warning: bool,
    /// What: lower case, no final stop.
    pub message: String,
    /// Where: `spec.sites[1] (cluster.yaml:33)`.
    pub at: Vec<String>,
    /// Causes, outermost first.
    pub causes: Vec<String>,
    /// How to go on.
    pub hints: Vec<String>,
}

impl Note {
    /// A problem of an input.
    pub fn of(source: &Source, problem: &Problem) -> Self {
        let place = match problem.place {
            Some(place) => source.line(place.line),
            None => source.to_string(),
        };
        let at = if problem.path.is_empty() { place } else { format!("{} ({place})", problem.path) };
        Self {
            warning: problem.level == Level::Warning,
            message: problem.message.clone(),
            at: vec![at],
            causes: problem.cause.iter().cloned().collect(),
            hints: problem.hint.iter().cloned().collect(),
        }
    }
}

impl Failure {
    /// One note, exit code of the caller's choice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            notes: vec![Note {
                warning: false,
                message: message.into(),
                at: vec![],
                causes: vec![],
                hints: vec![],
            }],
        }
    }

    /// The call or a document is wrong: 2.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self::new(Exit::Wrong, message)
    }

    /// The world failed: 3.
    pub fn world(message: impl Into<String>) -> Self {
        Self::new(Exit::World, message)
    }

    /// All problems of an input: 2.
    pub fn problems(source: &Source, problems: &Problems) -> Self {
        Self { exit: Exit::Wrong, notes: problems.iter().map(|problem| Note::of(source, problem)).collect() }
    }

    /// Where the last note's problem is.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        if let Some(note) = self.notes.last_mut() {
            note.at.push(place.into());
        }
        self
    }

    /// What caused the last note's problem.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "text and errors alike, without a borrow at every call")]
    pub fn because(mut self, cause: impl ToString) -> Self {
        if let Some(note) = self.notes.last_mut() {
            note.causes.push(cause.to_string());
        }
        self
    }

    /// How to go on.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(note) = self.notes.last_mut() {
            note.hints.push(hint.into());
        }
        self
    }

    /// This and another: all notes, the higher exit code.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.exit = self.exit.max(other.exit);
        self.notes.extend(other.notes);
        self
    }

    /// All of them as one; none when there is none.
    pub fn all(failures: impl IntoIterator<Item = Self>) -> Option<Self> {
        failures.into_iter().reduce(Self::and)
    }

    /// The messages alone, on one line: for reports.
    pub fn summary(&self) -> String {
        let lines: Vec<String> = self
            .notes
            .iter()
            .filter(|note| !note.warning)
            .map(|note| {
                let place = note.at.iter().map(|at| format!(", at {at}"));
                let cause = note.causes.iter().map(|cause| format!(": {cause}"));
                note.message.clone() + &place.chain(cause).collect::<String>()
            })
            .collect();
        lines.join("; ")
    }

    /// As it is printed: every note, and their number when there are several.
    pub fn render(&self, tool: &str, colored: bool) -> String {
        render(tool, colored, &self.notes)
    }
}

/// Notes as they are printed. What came from an input cannot steer the terminal, nor pass for a line of ours.
pub(crate) fn render(tool: &str, colored: bool, notes: &[Note]) -> String {
    let paint = |color: AnsiColor, word: &str| {
        let style = if colored { Style::new().bold().fg_color(Some(color.into())) } else { Style::new() };
        format!("{style}{word}{style:#}")
    };
    let safe = |text: &str| printable(text.trim_end()).replace('\n', "\n    ");
    let mut out = String::new();
    for note in notes.iter().take(SHOWN) {
        let level =
            if note.warning { paint(AnsiColor::Yellow, "warning:") } else { paint(AnsiColor::Red, "error:") };
        let _ = writeln!(out, "{tool}: {level} {}", safe(&note.message));
        for at in &note.at {
            let _ = writeln!(out, "  at {}", safe(at));
        }
        for cause in &note.causes {
            let _ = writeln!(out, "  caused by: {}", safe(cause));
        }
        for hint in &note.hints {
            let _ = writeln!(out, "  {} {}", paint(AnsiColor::Cyan, "hint:"), safe(hint));
        }
    }
    if notes.len() > 1 {
        let warnings = notes.iter().filter(|note| note.warning).count();
        let count = |number: usize, word: &str| match number {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{number} {word}s")),
        };
        let counts: Vec<String> = [count(notes.len() - warnings, "error"), count(warnings, "warning")]
            .into_iter()
            .flatten()
            .collect();
        let hidden = notes.len().saturating_sub(SHOWN);
        let more = if hidden > 0 { format!("; the last {hidden} are not shown") } else { String::new() };
        let _ = writeln!(out, "{tool}: {}{more}", counts.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use kmh_doc::{Code, Place};

    use super::*;

    #[test]
    fn one_note_in_the_shape_of_the_contract() {
        let failure = Failure::wrong("router `fw-flat` cannot accept a tunnel from `fw-attic`")
            .at("spec.sites[1].routers[0].uplinks[0] (cluster.yaml:33)")
            .because("both ends are behind carrier NAT")
            .hint("give one end a public address, or set `tunnels: {hub: vps}`");
        assert_eq!(
            failure.render("kmh-bgpcfg", false),
            "kmh-bgpcfg: error: router `fw-flat` cannot accept a tunnel from `fw-attic`\n  \
             at spec.sites[1].routers[0].uplinks[0] (cluster.yaml:33)\n  \
             caused by: both ends are behind carrier NAT\n  \
             hint: give one end a public address, or set `tunnels: {hub: vps}`\n"
        );
        assert!(failure.render("kmh-bgpcfg", true).contains("\u{1b}["));
    }

    #[test]
    fn several_are_counted_and_too_many_are_cut() {
        let source = Source { name: "cluster.yaml".into(), index: 1 };
        let mut problems = Problems::new();
        for line in 1..=200 {
            problems.push(Problem::error(Code::Overlap, "spec", "x").at(Place { line, column: 1 }));
        }
        problems.push(Problem::warning(Code::EvenEtcd, "", "even"));
        let text = Failure::problems(&source, &problems).render("t", false);
        assert!(text.starts_with("t: error: x\n  at spec (cluster.yaml:1)\n"), "{text}");
        assert!(text.ends_with("t: 200 errors, 1 warning; the last 1 are not shown\n"), "{text}");
    }

    #[test]
    fn an_input_cannot_forge_a_line() {
        let text = Failure::wrong("bad name `x\nkmh-push: error: y\u{1b}[1m`").render("t", false);
        assert_eq!(text, "t: error: bad name `x\n    kmh-push: error: y\\u{1b}[1m`\n");
    }
}
