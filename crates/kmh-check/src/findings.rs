//! What a check writes down while it looks: how much it looked at, and what is not right.
//!
//! A check that looked at nothing never says ok: it is reported as skipped. So a document that lacks what a check
//! is about cannot pass it by accident.

use kmh_cli::text::printable;
use kmh_doc::check::{CheckResult, State};

/// The notes of one check.
pub(crate) struct Findings<'a> {
    id: &'static str,
    chosen: &'a dyn Fn(&str) -> bool,
    looked: usize,
    results: Vec<CheckResult>,
}

/// At most so many bytes of a message or hint reach the report: documents may be hostile.
const LONGEST: usize = 600;

impl<'a> Findings<'a> {
    /// For the check of that id; `chosen` says which machines are asked about.
    pub(crate) fn new(id: &'static str, chosen: &'a dyn Fn(&str) -> bool) -> Self {
        Self { id, chosen, looked: 0, results: Vec::new() }
    }

    /// Something that belongs to no machine is about to be looked at.
    pub(crate) fn look(&mut self) {
        self.looked += 1;
    }

    /// Something of a machine is about to be looked at; false when nobody asked about that machine.
    pub(crate) fn look_at(&mut self, machine: &str) -> bool {
        let chosen = (self.chosen)(machine);
        self.looked += usize::from(chosen);
        chosen
    }

    /// [`Self::look_at`] for what may belong to a machine or to all.
    pub(crate) fn look_at_any(&mut self, machine: Option<&str>) -> bool {
        if let Some(machine) = machine {
            return self.look_at(machine);
        }
        self.look();
        true
    }

    /// It is wrong.
    pub(crate) fn critical(&mut self, subject: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        self.add(State::Critical, subject, message.as_ref(), hint.as_ref());
    }

    /// It works, but somebody should look.
    pub(crate) fn warning(&mut self, subject: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        self.add(State::Warning, subject, message.as_ref(), hint.as_ref());
    }

    /// It could not be found out.
    pub(crate) fn unknown(&mut self, subject: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        self.add(State::Unknown, subject, message.as_ref(), hint.as_ref());
    }

    fn add(&mut self, state: State, subject: &str, message: &str, hint: &str) {
        let hint = (!hint.is_empty()).then(|| safe(hint));
        self.results.push(CheckResult {
            id: self.id.to_owned(),
            subject: safe(subject),
            state,
            message: safe(message),
            hint,
        });
    }

    /// The results: what is not right, or one line that says how much was looked at.
    pub(crate) fn finish(self, title: &str, over: &str) -> Vec<CheckResult> {
        if !self.results.is_empty() {
            let mut results = self.results;
            results.sort_by(|a, b| (&a.subject, a.state, &a.message).cmp(&(&b.subject, b.state, &b.message)));
            results.dedup();
            return results;
        }
        let (state, message) = if self.looked == 0 {
            (State::Skipped, "the documents have nothing that it is about".to_owned())
        } else {
            (State::Ok, format!("{title} ({} looked at)", self.looked))
        };
        vec![CheckResult { id: self.id.to_owned(), subject: over.to_owned(), state, message, hint: None }]
    }
}

/// Untrusted text, fit for one line of a terminal or a log.
fn safe(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let dots = if end < text.len() { "…" } else { "" };
    printable(&text[..end]).replace('\n', "\\n").replace('\t', "\\t") + dots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_looked_at_nothing_does_not_say_ok() {
        let results = Findings::new("x.y", &|_| true).finish("all is well", "doc");
        assert_eq!(results[0].state, State::Skipped);
        let mut findings = Findings::new("x.y", &|name| name == "mine");
        assert!(!findings.look_at("other"));
        assert_eq!(findings.finish("all is well", "doc")[0].state, State::Skipped);
    }

    #[test]
    fn results_are_sorted_single_and_fit_for_a_terminal() {
        let mut findings = Findings::new("x.y", &|_| true);
        findings.critical("b", "two\nlines \u{1b}[31m", "");
        findings.warning("a", "x".repeat(2000), "do it");
        findings.critical("b", "two\nlines \u{1b}[31m", "");
        let results = findings.finish("", "");
        assert_eq!(results.len(), 2);
        assert_eq!(results[0].subject, "a");
        assert!(results[0].message.len() <= LONGEST + 4);
        assert_eq!(results[1].message, "two\\nlines \\u{1b}[31m");
    }
}
