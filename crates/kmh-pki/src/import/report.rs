//! What is told of an import: a table for people, JSON for programs. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use kmh_cli::Failure;
use kmh_cli::table::Table;
use serde::Serialize;

use super::Import;
use super::finding::{Finding, Level};
use super::gather::subject;
use crate::cert::{date, rfc3339};
use crate::store::Public;

/// Something that is imported.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// Its name in the store.
    name: String,
    /// The file that it was in; empty when it was made.
    file: String,
    /// The subject of its certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    /// Its end, RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    not_after: String,
    /// Its last day.
    #[serde(skip)]
    until: String,
    /// Whether its key was there.
    key: bool,
}

/// Everything that is told.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    /// The store's identity; empty when it is only planned.
    pub(super) store: &'a str,
    /// The layout of the files.
    pub(super) layout: &'a str,
    /// Whether nothing was written.
    pub(super) dry_run: bool,
    /// What was imported, by name.
    pub(super) imported: Vec<Row>,
    /// What is to be said of the files.
    pub(super) findings: Vec<Finding>,
    /// Names of what the next `ensure` makes.
    pub(super) next: Vec<String>,
}

/// The rows of what is imported.
pub(super) fn rows(imports: &BTreeMap<String, Import>) -> Vec<Row> {
    let row = |(name, one): (&String, &Import)| {
        let certificate = match &one.made.public {
            Public::Certificate(pair) => pair.certificate.there(),
            Public::Bare(_) => None,
        };
        Row {
            name: name.clone(),
            file: one.file.clone(),
            subject: certificate.map(subject).unwrap_or_default(),
            not_after: certificate.map(|one| rfc3339(one.not_after)).unwrap_or_default(),
            until: certificate.map_or_else(|| "-".to_owned(), |one| date(one.not_after)),
            key: one.made.key.is_some(),
        }
    };
    imports.iter().map(row).collect()
}

impl Told<'_> {
    /// As JSON.
    pub(super) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::world("cannot write JSON").because(error))
    }

    /// For people.
    pub(super) fn text(&self, store: &Path) -> String {
        let mut out = String::new();
        if !self.imported.is_empty() {
            let mut table =
                Table::new([if self.dry_run { "WOULD IMPORT" } else { "IMPORTED" }, "UNTIL", "FROM"]);
            for row in &self.imported {
                let file = match (row.file.is_empty(), row.key) {
                    (true, _) => "made: there was none",
                    (false, true) => &row.file,
                    (false, false) => &format!("{} (without its key)", row.file),
                };
                table.row([&row.name, &row.until, file]);
            }
            out = table.to_string() + "\n";
        }
        for (level, heading) in [(Level::Warning, "NOT SOUND"), (Level::Note, "TO KNOW")] {
            let of: Vec<&Finding> = self.findings.iter().filter(|one| one.level == level).collect();
            if of.is_empty() {
                continue;
            }
            out.push_str(heading);
            out.push('\n');
            for (index, one) in of.iter().enumerate() {
                let before = index.checked_sub(1).and_then(|at| of.get(at));
                if before.is_none_or(|before| before.file != one.file) && !one.file.is_empty() {
                    let subject = if one.subject.is_empty() { "" } else { "  " };
                    out.extend([&one.file, subject, &one.subject, "\n"]);
                }
                out.extend(["  ", &one.text, "\n"]);
                // What holds for several findings of a file is said once, after the last.
                let after = of.get(index + 1);
                if after.is_none_or(|after| after.file != one.file || after.hint != one.hint) {
                    out.extend(["    hint: ", &one.hint, "\n"]);
                }
            }
            out.push('\n');
        }
        out + &self.message(store)
    }

    fn message(&self, store: &Path) -> String {
        let count =
            |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let certificates = self.imported.iter().filter(|row| !row.not_after.is_empty()).count();
        let keys = self.imported.len() - certificates;
        let what = format!("{} and {}", count(certificates, "certificate"), count(keys, "key"));
        let did = match (self.imported.is_empty(), self.dry_run) {
            (true, _) => format!("nothing to do: store `{}` holds it all", store.display()),
            (false, true) => format!("would import {what} into store `{}`", store.display()),
            (false, false) => format!("imported {what} into store `{}`", store.display()),
        };
        match self.next.len() {
            0 => did + "; the next `ensure` has nothing to make",
            number => did + &format!("; the next `ensure` makes {number} more"),
        }
    }
}
