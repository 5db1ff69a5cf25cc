//! The answer for people: certificates that differ in nothing but their machine share a row.

use std::fmt::Write as _;

use kmh_cli::table::Table;

use super::remedy::{Remedy, words};
use super::{Purpose, Report, Row, State};

/// A row has room for so many characters of who uses it; machines that do not fit are counted.
const ROOM: usize = 44;

pub(super) fn text(report: &Report) -> String {
    let mut table = Table::new(["CERTIFICATE", "ENDS", "DAYS", "USED BY"]);
    let past = |row: &&Row| row.purpose == Purpose::Person && row.state == State::Expired;
    for group in groups(report.certificates.iter().filter(|row| !past(row))) {
        let Some(first) = group.first() else { continue };
        let machines: Vec<&str> = match first.machine.as_deref() {
            Some(_) => group.iter().filter_map(|row| row.machine.as_deref()).collect(),
            None => first.used_by.iter().map(|one| one.machine.as_str()).collect(),
        };
        let by = match (first.purpose, machines.is_empty()) {
            (Purpose::Wanted | Purpose::Generation, false) => users(&first.component, &machines),
            _ => first.component.clone(),
        };
        let ends = first.not_after.split('T').next().unwrap_or_default();
        table.row([&name(&group), ends, &days(first), &by]);
        for line in kubeconfigs(&group) {
            table.row(["", "", "", &line]);
        }
    }
    let mut out = table.to_string();
    for (heading, rows) in [
        ("MISSING", report.missing.iter().map(|name| (name.clone(), "")).collect::<Vec<_>>()),
        ("DAMAGED", report.damaged.iter().map(|one| (one.name.clone(), one.why)).collect()),
    ] {
        if !rows.is_empty() {
            let mut table = Table::new([heading, ""]);
            for (name, why) in &rows {
                table.row([name, *why]);
            }
            out.push('\n');
            out.push_str(&table.to_string());
        }
    }
    out.push('\n');
    out.push_str(&message(report, report.certificates.iter().filter(past).count()));
    out.push('\n');
    out
}

/// Neighbours that end on one day, of one class, in one state: as a list of rows each.
fn groups<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Vec<&'a Row>> {
    let key = |row: &Row| {
        let day = row.not_after.split('T').next().unwrap_or_default().to_owned();
        // What has no machine of its own stands alone.
        let alone = if row.machine.is_none() { row.name.clone() } else { String::new() };
        (day, row.days_left, row.state, row.class, alone)
    };
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| key(first) == key(row))) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

fn name(group: &[&Row]) -> String {
    match group {
        [one] => one.name.clone(),
        [one, ..] => {
            let mut parts: Vec<&str> = one.name.split('/').collect();
            if let Some(machine) = parts.get_mut(1) {
                *machine = "*";
            }
            parts.join("/")
        }
        [] => String::new(),
    }
}

fn users(component: &str, machines: &[&str]) -> String {
    let all = format!("{component} on {}", machines.join(", "));
    if machines.len() > 1 && all.chars().count() > ROOM {
        return format!("{component} on {} machines", machines.len());
    }
    all
}

fn days(row: &Row) -> String {
    let word = match row.state {
        State::Ok => return row.days_left.to_string(),
        State::Due => "due",
        State::Expired => "expired",
        State::Future => "not yet",
        State::Gone => "its CA is gone",
    };
    format!("{} {word}", row.days_left)
}

/// The kubeconfigs of a group, two a line.
fn kubeconfigs(group: &[&Row]) -> Vec<String> {
    let mut paths: Vec<&str> =
        group.iter().flat_map(|row| &row.used_by).flat_map(|one| one.kubeconfigs.iter().copied()).collect();
    paths.sort_unstable();
    paths.dedup();
    match paths[..] {
        [] => vec![],
        [one] => vec![format!("in {one}")],
        // The cluster's CA. Their folder is the same, and they are too many for a row.
        _ => {
            let names: Vec<&str> = paths.iter().map(|path| path.rsplit('/').next().unwrap_or(path)).collect();
            let lines = names.chunks(2).map(|pair| format!("in {}", pair.join(", ")));
            lines.collect()
        }
    }
}

fn message(report: &Report, past: usize) -> String {
    let total = report.certificates.len() - past;
    let mut parts = Vec::new();
    let certificates = |number: usize| match number {
        1 => "1 certificate".to_owned(),
        _ => format!("{number} certificates"),
    };
    let mut is = |number: usize, what: &str| {
        if number > 0 {
            parts.push(format!("{} {} {what}", certificates(number), if number == 1 { "is" } else { "are" }));
        }
    };
    is(report.due, "due");
    is(report.missing.len(), "missing");
    is(report.damaged.len(), "damaged");
    let first = report.certificates.iter().find(|row| row.purpose == Purpose::Wanted);
    let mut text = match (parts.is_empty(), first) {
        (false, _) => format!("{}, of {total}", parts.join(", ")),
        (true, Some(first)) => {
            let day = first.not_after.split('T').next().unwrap_or_default();
            format!("nothing is due: the first of {} ends on {day}", certificates(total))
        }
        (true, None) => "nothing is due".to_owned(),
    };
    let due = report.certificates.iter().filter_map(|row| row.remedy.as_ref());
    let remedies: Vec<&Remedy> = due.chain(&report.remedies).collect();
    if report.damaged.is_empty() {
        text.push_str(&words(&remedies));
    } else {
        // With a damaged one `ensure` makes nothing.
        text.push_str("; `kmh-pki verify` says what to do");
    }
    if report.certificates.iter().any(|row| row.due && row.state == State::Gone) {
        text.push_str("; `kmh-pki kubeconfig` lets in again whose CA is gone");
    }
    if past > 0 {
        let (noun, verb) = if past == 1 { ("certificate", "has") } else { ("certificates", "have") };
        let _ = write!(text, "; {past} {noun} of people {verb} ended");
    }
    text
}
