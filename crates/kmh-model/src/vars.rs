//! `vars` is free for templates; what no template could write anywhere is refused all the same.

use kmh_doc::inventory::Inventory;
use kmh_doc::{Code, Problem};
use serde_json::Value;

use crate::report::Report;

/// Octets of one text.
const LONGEST: usize = 64 << 10;

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    for (name, value) in &inventory.vars {
        let path = format!("spec.vars.{name}");
        text(name, &path, report);
        walk(value, &path, report);
    }
}

fn walk(value: &Value, path: &str, report: &mut Report<'_>) {
    match value {
        Value::String(string) => text(string, path, report),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{i}]"), report);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                text(key, path, report);
                walk(value, &format!("{path}.{key}"), report);
            }
        }
        _ => {}
    }
}

fn text(text: &str, path: &str, report: &mut Report<'_>) {
    if text.len() > LONGEST {
        report.error(
            Code::TooLarge,
            path,
            format!("the text has {} octets, more than the {LONGEST} that are taken", text.len()),
        );
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t') {
        report.add(
            Problem::error(
                Code::UnsafeText,
                path,
                format!("the text holds the control character U+{:04X}", u32::from(bad)),
            )
            .hint("leave it out; line ends and tabs may stand there"),
        );
    }
}
