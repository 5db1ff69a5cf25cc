//! Checks of what a push reported: `push.*`.

use std::collections::BTreeSet;

use kmh_doc::push::{Outcome, PushSpec};

use crate::bundle::view::Bundle;
use crate::findings::Findings;

/// `push.outcome`: it was not refused, and failed nowhere.
pub(crate) fn outcome(push: &PushSpec, out: &mut Findings<'_>) {
    out.look();
    if let Some(why) = &push.refused {
        out.critical(
            "kmh.push/v1",
            format!("the push was refused: {why}"),
            "put right what it says, and push again",
        );
    }
    let mut named = push.refused.is_some();
    for machine in &push.machines {
        if !out.look_at(&machine.name) {
            continue;
        }
        let why = machine.error.as_deref().unwrap_or("no reason was given");
        match machine.outcome {
            Outcome::Failed => out.critical(
                &machine.name,
                format!("the push failed: {why}"),
                "put right what it says, and push again",
            ),
            Outcome::Unreachable => {
                out.critical(
                    &machine.name,
                    format!("it could not be reached: {why}"),
                    "look at its address, host key and login, and push again",
                );
            }
            Outcome::Untouched => out.critical(
                &machine.name,
                why,
                "put the machine right whose turn came before, and push again",
            ),
            Outcome::Unchanged | Outcome::Changed | Outcome::WouldChange => {
                for unit in machine.units.iter().filter(|u| u.ok == Some(false)) {
                    let hint = format!("look at `systemctl status {}` there", unit.name);
                    out.critical(&machine.name, format!("`{}` did not start", unit.name), hint);
                }
                continue;
            }
        }
        named = true;
    }
    // The report's own word counts, whatever its machines say.
    if push.failed && !named {
        out.critical("kmh.push/v1", "the push says that it failed", "read its report, and push again");
    }
}

/// `push.dry-run`: something was deployed at all.
pub(crate) fn dry_run(push: &PushSpec, out: &mut Findings<'_>) {
    out.look();
    if push.dry_run {
        out.warning(
            "kmh.push/v1",
            "the push was a dry run: nothing was deployed",
            "push again without `--dry-run`",
        );
    }
}

/// `push.machines`: it reached every machine of the bundle.
pub(crate) fn machines(bundle: &Bundle<'_>, push: &PushSpec, out: &mut Findings<'_>) {
    if push.refused.is_some() {
        return;
    }
    let reported: BTreeSet<&str> = push.machines.iter().map(|m| m.name.as_str()).collect();
    for view in &bundle.machines {
        if out.look_at(view.name()) && !reported.contains(view.name()) {
            out.warning(
                view.name(),
                "the push left this machine out",
                "push again without `--limit`, or with this machine",
            );
        }
    }
}
