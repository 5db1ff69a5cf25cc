//! The findings for people: a table, in which what is said of many stands once.

use kmh_cli::table::Table;

use super::{Note, Report};

/// More neighbours than this of which the same is said share a row.
const ROWS: usize = 4;

pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    if !report.findings.is_empty() {
        let mut table = Table::new(["STATE", "CHECK", "OF", "FINDING"]);
        let key = |note: &Note| (note.state, note.id.clone(), note.message.clone(), note.hint.clone());
        let alike = |a: &Note, b: &Note| key(a) == key(b);
        for group in report.findings.chunk_by(alike) {
            let Some(first) = group.first() else { continue };
            let state = first.state.word();
            match group {
                [_, .., last] if group.len() > ROWS => {
                    let names = format!("{} … {} ({})", first.subject, last.subject, group.len());
                    table.row([state, &first.id, &names, &first.message]);
                }
                group => {
                    for one in group {
                        table.row([state, &one.id, &one.subject, &one.message]);
                    }
                }
            }
            table.row(["", "", "", &format!("hint: {}", first.hint)]);
        }
        out = table.to_string();
        out.push('\n');
    }
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    let looked = format!(
        "{}, {}, {}",
        count(report.certificates, "certificate"),
        count(report.keys, "key"),
        count(report.files, "file")
    );
    let notices = (report.notices > 0).then(|| count(report.notices, "notice"));
    let summary = match (report.critical, report.warnings) {
        (0, 0) => {
            let but = notices.map(|notices| format!("; {notices}")).unwrap_or_default();
            format!("all is well: {looked}{but}\n")
        }
        (critical, warnings) => {
            let critical = (critical > 0).then(|| format!("{critical} critical"));
            let warnings = (warnings > 0).then(|| count(warnings, "warning"));
            let found: Vec<String> = critical.into_iter().chain(warnings).chain(notices).collect();
            format!("{} in {looked}\n", found.join(" and "))
        }
    };
    out.push_str(&summary);
    out
}
