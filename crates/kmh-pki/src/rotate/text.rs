//! What `rotate` says to people.

use std::fmt::Write as _;

use kmh_cli::table::Table;
use kmh_doc::bundle::UnitAction;
use kmh_doc::pki::{Rotating, Stage};

use super::guide::{Kind, Todo};
use super::plan::{Act, Decision, Objection};

/// Width of what is broken into lines.
const WIDTH: usize = 78;

/// What the next call would do.
pub(super) fn next(name: Rotating, stage: Option<Stage>) -> &'static str {
    match stage {
        None if name.authority().is_some() => "a next CA is made, and trusted beside this one",
        None if name == Rotating::Encryption => "a next key is made, which can be read with",
        None => "a next key is made, whose tokens are taken",
        Some(Stage::Trust) if name.authority().is_some() => "the next CA begins to sign",
        Some(Stage::Trust) => "the next key begins to sign",
        Some(Stage::Add) => "the next key is written with",
        Some(Stage::Issue) => "the old CA goes to the archive",
        Some(Stage::Sign | Stage::Promote) => "the old key goes to the archive",
    }
}

/// The stage in a word.
fn word(stage: Option<Stage>) -> &'static str {
    stage.map_or("-", Stage::as_str)
}

/// The table of rotations: name, stage, end and what comes next.
pub(super) fn overview<'a>(
    rows: impl Iterator<Item = (Rotating, Option<Stage>, Option<&'a str>, String)>,
) -> String {
    let mut table = Table::new(["ROTATION", "STAGE", "UNTIL", "NEXT"]);
    for (name, stage, until, next) in rows {
        let until = until.and_then(|until| until.get(..10)).unwrap_or("-");
        table.row([name.as_str(), word(stage), until, &next]);
    }
    table.to_string()
}

/// Why nothing was done.
pub(super) fn refused(name: Rotating, was: Option<Stage>, objections: &[Objection]) -> String {
    let at = was.map_or_else(String::new, |stage| format!(", which is in stage `{}`,", stage.as_str()));
    let mut out = format!("the rotation of `{}`{at} does not go on:\n", name.as_str());
    for objection in objections {
        wrapped(&mut out, "  ", &objection.what);
        wrapped(&mut out, "    ", &format!("hint: {}", objection.hint));
    }
    out
}

/// What was done, and what has to follow.
pub(super) fn done(decision: Decision, dry_run: bool, todo: &[Todo]) -> String {
    let name = decision.name.as_str();
    let [goes, begins] = if dry_run { ["would go", "would begin"] } else { ["goes", "begins"] };
    let mut out = match (decision.act, decision.was, decision.stage) {
        (Act::Begin, None, None) => {
            let is = if dry_run { "would be" } else { "is" };
            format!("the next CA of {name} {is} asked for: its rotation {begins} when that has come")
        }
        (Act::Abort, None, _) => {
            format!("the rotation of {name} {goes} back before it began: the request is in the archive")
        }
        (_, None, stage) => format!("the rotation of {name} {begins}: stage {}", word(stage)),
        (_, Some(was), Some(stage)) => {
            format!("the rotation of {name} {goes} on: from stage {} to {}", was.as_str(), stage.as_str())
        }
        (Act::Abort, ..) => format!("the rotation of {name} {goes} back: what was made is in the archive"),
        (_, _, None) => {
            format!("the rotation of {name} {goes} to its end: the old generation is in the archive")
        }
    };
    out.push_str("\n\nWHAT HAS TO FOLLOW, IN THIS ORDER\n");
    for (number, todo) in todo.iter().enumerate() {
        let head = format!("{:>2}. ", number + 1);
        let mut say = todo.say.clone();
        if matches!(todo.kind, Kind::DeployOne | Kind::Deploy | Kind::Apply) {
            let _ = write!(say, ": {}", todo.machines.join(", "));
        }
        let mut body = String::new();
        wrapped(&mut body, "    ", &say);
        out.push_str(&head);
        out.push_str(body.trim_start());
        for told in &todo.units {
            let verb = match told.action {
                UnitAction::Reload => "reload",
                UnitAction::Restart => "restart",
            };
            let line = format!("{verb} {} ({})", told.unit, told.because.join(", "));
            wrapped(&mut out, "      ", &line);
        }
        if !todo.by_themselves.is_empty() {
            let line = format!("read again by themselves: {}", todo.by_themselves.join(", "));
            wrapped(&mut out, "      ", &line);
        }
        if let Some(command) = &todo.command {
            let _ = writeln!(out, "      $ {command}");
        }
    }
    out
}

/// Text in lines that a terminal holds.
fn wrapped(out: &mut String, indent: &str, text: &str) {
    let mut width = 0;
    for word in text.split(' ') {
        let more = word.chars().count();
        if width > 0 && width + 1 + more <= WIDTH {
            out.push(' ');
            width += 1 + more;
        } else {
            if width > 0 {
                out.push('\n');
            }
            out.push_str(indent);
            width = indent.len() + more;
        }
        out.push_str(word);
    }
    out.push('\n');
}
