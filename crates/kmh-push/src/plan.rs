//! What is to be done on one machine: a pure function of what it should hold and what it was seen to hold.

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::bundle::UnitAction;
use kmh_doc::push::{FileReason, UnitStep};

use crate::turns;
use kmh_store::content::Sum;
use kmh_store::wanted::Wanted;

/// What stands at a path of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    /// A regular file; `owner` is none where it is not looked at.
    File {
        sum: Sum,
        mode: u32,
        owner: Option<String>,
    },
    Folder,
    Link,
    /// A device, a socket, a FIFO.
    Other,
}

/// What was seen on a machine before anything was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) files: BTreeMap<String, Found>,
    /// How many temporary files of pushes that were killed are there.
    pub(crate) leftovers: usize,
    /// The state of unit files, as systemd names it: `enabled`, `static`, nothing for an unknown one.
    pub(crate) units: BTreeMap<String, String>,
    /// Units that run.
    pub(crate) running: BTreeSet<String>,
    /// What a push that was cut off did not do any more.
    pub(crate) pending: Vec<Step>,
    /// Whether files can be given to others.
    pub(crate) root: bool,
    /// Whether systemd runs there.
    pub(crate) systemd: bool,
    /// The kernel's name for the processor; none where there is no machine yet, only its files.
    pub(crate) processor: Option<String>,
}

/// Something done to units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step {
    pub(crate) unit: String,
    pub(crate) action: UnitStep,
}

/// What may be done on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) owners: Owners,
    /// Whether units are acted on.
    pub(crate) units: bool,
}

/// What becomes of owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// They must be right.
    Needed,
    /// They are set when the login may.
    Possible,
    /// They stay as they come.
    Left,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Files to write, as indexes into the machine's files.
    pub(crate) writes: Vec<(usize, FileReason)>,
    /// How many files are right already.
    pub(crate) unchanged: usize,
    /// Whether owners are set and compared.
    pub(crate) owners: bool,
    /// Steps, in order; only reported where units are not acted on.
    pub(crate) steps: Vec<Step>,
    /// What the machine needs a turn for, when it does.
    pub(crate) turn: Option<Turn>,
    /// Units that the cluster needs most of, and that do not run here, nor are started.
    pub(crate) down: Vec<String>,
}

/// Why a machine needs a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Units that run, that the cluster needs most of, and that are to be restarted.
    pub(crate) units: Vec<String>,
    /// Whether a push before this one has left a restart of them undone.
    pub(crate) pending: bool,
}

/// Folders whose files are read by systemd itself.
pub(crate) const UNIT_FOLDERS: [&str; 4] =
    ["/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/", "/run/systemd/system/"];

/// States of a unit file that need no `systemctl enable`; systemctl(1), `is-enabled`.
const ENABLED: [&str; 7] =
    ["enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "transient"];

/// Makes the plan; `sums` are of the machine's files in order, none for one that cannot be known yet.
pub(crate) fn plan(
    machine: &Wanted,
    sums: &[Option<Sum>],
    seen: &Seen,
    rules: Rules,
) -> Result<Plan, String> {
    let owners = match (rules.owners, seen.root) {
        (Owners::Needed, false) => {
            return Err("the login is not root, so files cannot be given to their owners".to_owned());
        }
        (Owners::Needed | Owners::Possible, true) => true,
        (Owners::Possible, false) | (Owners::Left, _) => false,
    };
    let mut plan = Plan { owners, ..Plan::default() };
    for (index, (file, sum)) in machine.files.iter().zip(sums).enumerate() {
        let reason = match seen.files.get(&file.path) {
            None => return Err(format!("the machine did not say what `{}` is", file.path)),
            Some(Found::Folder) => return Err(format!("`{}` is a folder", file.path)),
            Some(Found::Other) => return Err(format!("`{}` is neither a file nor a link", file.path)),
            Some(Found::Missing) => Some(FileReason::Missing),
            Some(Found::Link) => Some(FileReason::Content),
            Some(Found::File { sum: found, .. }) if Some(*found) != *sum => Some(FileReason::Content),
            Some(Found::File { mode, owner, .. }) => {
                let foreign = owners && owner.as_ref().is_some_and(|owner| *owner != file.owner);
                (*mode != file.mode || foreign).then_some(FileReason::Mode)
            }
        };
        match reason {
            Some(reason) => plan.writes.push((index, reason)),
            None => plan.unchanged += 1,
        }
    }
    plan.steps = steps(machine, &plan.writes, seen, rules);
    if rules.units {
        plan.turn = turn(machine, &plan.steps, seen);
        let begun = |unit: &str| plan.steps.iter().any(|step| step.unit == unit && starts(step.action));
        let down = turns::serving(machine).filter(|unit| !seen.running.contains(*unit) && !begun(unit));
        plan.down = down.map(ToOwned::to_owned).collect();
    }
    if rules.units && !plan.steps.is_empty() && !seen.systemd {
        return Err("units are to be acted on, and systemd does not run there".to_owned());
    }
    Ok(plan)
}

/// Whether a unit runs after that step.
fn starts(action: UnitStep) -> bool {
    matches!(action, UnitStep::Reload | UnitStep::Restart)
}

/// Whether the steps take something away for a moment that the cluster needs most of.
fn turn(machine: &Wanted, steps: &[Step], seen: &Seen) -> Option<Turn> {
    let restart = |unit: &str| Step { unit: unit.to_owned(), action: UnitStep::Restart };
    let stops = |unit: &&str| seen.running.contains(*unit) && steps.contains(&restart(unit));
    let units: Vec<String> = turns::serving(machine).filter(stops).map(ToOwned::to_owned).collect();
    let pending = units.iter().any(|unit| seen.pending.contains(&restart(unit)));
    (!units.is_empty()).then_some(Turn { units, pending })
}

/// What follows for units: reload of systemd itself, then what must start at boot, then restarts in the order of the
/// bundle. Units that the bundle does not list (of the distribution, such as `systemd-sysctl.service`) come first.
fn steps(machine: &Wanted, writes: &[(usize, FileReason)], seen: &Seen, rules: Rules) -> Vec<Step> {
    let changed = || writes.iter().filter_map(|(index, _)| machine.files.get(*index));
    let mut wanted: BTreeSet<Step> = seen.pending.iter().cloned().collect();
    for change in changed().flat_map(|file| &file.on_change) {
        let action = match change.action {
            UnitAction::Reload => UnitStep::Reload,
            UnitAction::Restart => UnitStep::Restart,
        };
        wanted.insert(Step { unit: change.unit.clone(), action });
    }
    if changed().any(|file| UNIT_FOLDERS.iter().any(|folder| file.path.starts_with(folder))) {
        wanted.insert(Step { unit: "systemd".to_owned(), action: UnitStep::DaemonReload });
    }
    if rules.units {
        for unit in machine.units.iter().filter(|unit| unit.enable) {
            let state = seen.units.get(&unit.name).map_or("", String::as_str);
            if !ENABLED.contains(&state) {
                wanted.insert(Step { unit: unit.name.clone(), action: UnitStep::Enable });
            }
        }
    }
    let restarted: BTreeSet<String> =
        wanted.iter().filter(|step| step.action == UnitStep::Restart).map(|step| step.unit.clone()).collect();
    wanted.retain(|step| step.action != UnitStep::Reload || !restarted.contains(&step.unit));
    let place =
        |name: &str| machine.units.iter().position(|unit| unit.name == name).map_or(0, |place| place + 1);
    let class = |action| match action {
        UnitStep::DaemonReload => 0,
        UnitStep::Enable => 1,
        UnitStep::Reload | UnitStep::Restart => 2,
    };
    let mut ordered: Vec<Step> = wanted.into_iter().collect();
    ordered.sort_by_key(|step| (class(step.action), place(&step.unit)));
    ordered
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
