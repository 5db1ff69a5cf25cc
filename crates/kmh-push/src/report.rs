//! The report: a document, a table, lines of progress.

use std::fmt::Write as _;

use kmh_cli::table::Table;
use kmh_cli::{Context, Exit, Outcome};
use kmh_doc::Kind;
use kmh_doc::check::CheckSpec;
use kmh_doc::push::{self, MachineReport, PushSpec, UnitStep};

use crate::apply::failed;
use crate::deploy::Done;
use crate::diff::unified;

/// Nothing was tried: a check said no.
pub(crate) fn refused(check: &CheckSpec, dry_run: bool) -> Outcome<PushSpec> {
    let summary = check.summary;
    let why = format!(
        "the check in the stream says no: {} critical, {} unknown, {} warning",
        summary.critical, summary.unknown, summary.warning
    );
    Outcome {
        text: format!("refused: {why}\n"),
        message: why.clone(),
        spec: PushSpec {
            changed: false,
            failed: true,
            refused: Some(why),
            dry_run,
            live: false,
            machines: vec![],
        }
        .into(),
        from: vec![Kind::Bundle],
        changed: false,
        exit: Exit::No,
        diff: vec![],
        steps: None,
    }
}

/// What became of all machines, which are sorted by name; `live` says whether it went to the machines themselves.
pub(crate) fn outcome(done: Vec<Done>, dry_run: bool, live: bool) -> Outcome<PushSpec> {
    let text = text(&done, dry_run);
    let mut machines = Vec::with_capacity(done.len());
    let mut diff = Vec::new();
    for one in done {
        diff.extend(one.diff);
        machines.push(one.report);
    }
    let any = |wanted: &[push::Outcome]| machines.iter().filter(|m| wanted.contains(&m.outcome)).count();
    let (bad, unreachable) = (any(&[push::Outcome::Failed]), any(&[push::Outcome::Unreachable]));
    let untouched = any(&[push::Outcome::Untouched]);
    let files: usize = machines.iter().map(|machine| machine.written.len()).sum();
    let touched = |machine: &MachineReport| {
        !machine.written.is_empty()
            || matches!(machine.outcome, push::Outcome::Changed | push::Outcome::WouldChange)
            || machine.units.iter().any(|unit| unit.ok == Some(true))
    };
    let changed = machines.iter().any(touched);
    let number = machines.len();
    let verb = if dry_run { "would be written" } else { "written" };
    let mut message =
        format!("{number} {}, {files} {} {verb}", plural(number, "machine"), plural(files, "file"));
    for (count, what) in [(bad, "failed"), (unreachable, "unreachable"), (untouched, "untouched")] {
        if count > 0 {
            let _ = write!(message, ", {count} {what}");
        }
    }
    let spec = PushSpec {
        changed,
        failed: bad + unreachable + untouched > 0,
        refused: None,
        dry_run,
        live,
        machines,
    };
    let exit = if spec.failed { Exit::World } else { Exit::Done };
    Outcome {
        from: vec![Kind::Bundle],
        changed,
        exit,
        text: format!("{text}{message}\n"),
        message,
        diff,
        steps: None,
        spec: spec.into(),
    }
}

fn plural(number: usize, word: &str) -> String {
    if number == 1 { word.to_owned() } else { format!("{word}s") }
}

fn text(done: &[Done], dry_run: bool) -> String {
    let mut table =
        Table::new(["MACHINE", "OUTCOME", if dry_run { "TO WRITE" } else { "WRITTEN" }, "UNCHANGED"]);
    for one in done {
        let report = &one.report;
        let (written, unchanged) = (report.written.len().to_string(), report.unchanged.to_string());
        table.row([&report.name, name(report.outcome), &written, &unchanged]);
    }
    let mut text = table.to_string();
    let units: Vec<String> = done.iter().filter_map(units).collect();
    if !units.is_empty() {
        let _ = write!(text, "\nUNITS\n{}", units.concat());
    }
    if done.iter().any(|one| one.report.error.is_some()) {
        text.push('\n');
    }
    for one in done {
        if let Some(error) = &one.report.error {
            let _ = writeln!(text, "{}: {error}", one.report.name);
            if let Some(hint) = &one.hint {
                let _ = writeln!(text, "  hint: {hint}");
            }
        }
    }
    if dry_run {
        for diff in done.iter().flat_map(|one| &one.diff) {
            let _ = write!(text, "\n{}", kmh_cli::text::printable(&unified(diff)));
        }
    }
    text.push('\n');
    text
}

/// Width of what is broken into lines.
const WIDTH: usize = 80;

/// Units of a machine in few words, on lines of their own: `  pi-1: restart etcd.service, kubelet.service (not touched)`.
fn units(done: &Done) -> Option<String> {
    let report = &done.report;
    let mut words = Vec::new();
    let mut last = None;
    for unit in &report.units {
        let verb = match unit.action {
            UnitStep::DaemonReload => "daemon-reload",
            UnitStep::Enable => "enable",
            UnitStep::Reload => "reload",
            UnitStep::Restart => "restart",
        };
        let failed = if unit.ok == Some(false) { " (failed)" } else { "" };
        let name = if unit.action == UnitStep::DaemonReload { "" } else { unit.name.as_str() };
        let word =
            if last == Some(verb) { format!("{name}{failed}") } else { format!("{verb} {name}{failed}") };
        words.push(word.trim_end().to_owned());
        last = Some(verb);
    }
    let untouched = report.units.iter().all(|unit| unit.ok.is_none());
    let mut end = "";
    if untouched && (done.units_left || !matches!(report.outcome, push::Outcome::WouldChange)) {
        end = " (not touched)";
    }
    let last = words.pop()?;
    let mut lines = format!("  {}{}:", report.name, if report.in_turn { ", in its turn" } else { "" });
    let mut width = lines.chars().count();
    for word in words.into_iter().map(|word| word + ",").chain([last + end]) {
        let more = word.chars().count() + 1;
        if width + more > WIDTH {
            lines.push_str("\n   ");
            width = 3;
        }
        let _ = write!(lines, " {word}");
        width += more;
    }
    lines.push('\n');
    Some(lines)
}

fn name(outcome: push::Outcome) -> &'static str {
    match outcome {
        push::Outcome::Unchanged => "unchanged",
        push::Outcome::Changed => "changed",
        push::Outcome::WouldChange => "would-change",
        push::Outcome::Failed => "failed",
        push::Outcome::Unreachable => "unreachable",
        push::Outcome::Untouched => "untouched",
    }
}

/// Says what became of a machine as soon as it is known: failures unless the text at the end does, the rest with `-v`.
pub(crate) fn progress(done: &Done, ctx: &mut Context<'_>) {
    let report = &done.report;
    let line = format!("{}: {}", report.name, name(report.outcome));
    if !failed(report.outcome) {
        ctx.detail(&format!("{line}, {} written, {} unchanged", report.written.len(), report.unchanged));
        for file in &report.written {
            ctx.detail(&format!("  {}", file.path));
        }
        return;
    }
    if ctx.ends_in_text() {
        // The text at the end says why; here only that somebody may already want to know.
        ctx.progress(&line);
        return;
    }
    let error = report.error.as_deref().unwrap_or("");
    ctx.say(&format!("{line}: {error}"));
    if let Some(hint) = &done.hint {
        ctx.say(&format!("  hint: {hint}"));
    }
}
