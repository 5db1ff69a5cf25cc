//! From results to the report: the document, and what people read.

use std::fmt::Write as _;

use kmh_doc::check::{CheckResult, CheckSpec, State, Summary};

use crate::documents::Documents;
use crate::table::TABLE;

/// Runs every check. With `strict`, warnings say no too.
pub(crate) fn report(documents: &Documents<'_>, strict: bool, chosen: &dyn Fn(&str) -> bool) -> CheckSpec {
    // The table is sorted by name, and each check sorts its own results.
    let results: Vec<CheckResult> = TABLE.iter().flat_map(|check| check.results(documents, chosen)).collect();
    let mut summary = Summary::default();
    for result in &results {
        *match result.state {
            State::Ok => &mut summary.ok,
            State::Warning => &mut summary.warning,
            State::Critical => &mut summary.critical,
            State::Unknown => &mut summary.unknown,
            State::Skipped => &mut summary.skipped,
        } += 1;
    }
    let ok = summary.critical == 0 && summary.unknown == 0 && !(strict && summary.warning > 0);
    CheckSpec { ok, summary, results }
}

/// One line: the answer and how many of each.
pub(crate) fn line(spec: &CheckSpec) -> String {
    let Summary { ok, warning, critical, unknown, skipped } = spec.summary;
    let answer = if spec.ok { "yes" } else { "no" };
    let parts = [
        (critical, "critical"),
        (unknown, "unknown"),
        (warning, "warning"),
        (ok, "ok"),
        (skipped, "skipped"),
    ];
    let counted: Vec<String> = parts
        .iter()
        .filter(|(n, word)| *n > 0 || *word == "ok")
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    format!("{answer}: {}", counted.join(", "))
}

/// What is wrong first, the worst of it at the top; then the line. With `all`, what is right too.
pub(crate) fn text(spec: &CheckSpec, all: bool) -> String {
    let mut out = String::new();
    let order = [State::Critical, State::Unknown, State::Warning];
    for state in order {
        for result in spec.results.iter().filter(|r| r.state == state) {
            let _ = writeln!(out, "{} {}: {}", word(state), result.id, result.subject);
            let _ = writeln!(out, "  {}", result.message);
            if let Some(hint) = &result.hint {
                let _ = writeln!(out, "  hint: {hint}");
            }
        }
    }
    if all {
        for result in spec.results.iter().filter(|r| !order.contains(&r.state)) {
            let _ = writeln!(out, "{} {}: {}", word(result.state), result.id, result.message);
        }
    } else {
        let mut reasons: Vec<(&str, usize)> = Vec::new();
        for result in spec.results.iter().filter(|r| r.state == State::Skipped) {
            match reasons.iter_mut().find(|(reason, _)| *reason == result.message) {
                Some((_, count)) => *count += 1,
                None => reasons.push((&result.message, 1)),
            }
        }
        for (reason, count) in reasons {
            let _ = writeln!(out, "skipped {count}: {reason}");
        }
    }
    let _ = writeln!(out, "{}", line(spec));
    out
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warning => "WARNING",
        State::Critical => "CRITICAL",
        State::Unknown => "UNKNOWN",
        State::Skipped => "skipped",
    }
}
