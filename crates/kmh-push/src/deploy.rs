//! One machine from the first look to the last unit.

use kmh_cli::Diff;
use kmh_doc::bundle::Unit;
use kmh_doc::push::{FileReport, MachineReport, Outcome, UnitReport};

use crate::arch;
use crate::body::{Body, Sources};
use crate::diff::{Before, diff};
use crate::plan::{Found, Plan, Seen, Turn, plan};
use crate::programs::Program;
use crate::target::{Acted, Item, SHOWN, Set, Target, Trouble};
use crate::turns;
use kmh_store::content::{Sum, hex};
use kmh_store::wanted::{Wanted, WantedFile};

/// What is wanted of every machine.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) dry_run: bool,
    /// Whether changes are shown.
    pub(crate) diff: bool,
}

/// What became of a machine.
pub(crate) struct Done {
    pub(crate) report: MachineReport,
    pub(crate) diff: Vec<Diff>,
    /// How to go on when it failed.
    pub(crate) hint: Option<String>,
    /// Whether units were left alone that would have had to be acted on.
    pub(crate) units_left: bool,
    /// Its units that the cluster needs most of, and that do not serve.
    pub(crate) down: Vec<String>,
}

/// What came of work on a machine.
pub(crate) enum Deployed {
    /// It is done.
    Done(Done),
    /// Nothing was done: it needs a turn.
    Waits(Turn),
}

impl Done {
    /// Nothing became of it.
    pub(crate) fn failed(machine: &Wanted, trouble: Trouble) -> Self {
        let mut done = Self::new(machine);
        done.fail(machine, trouble);
        done
    }

    fn new(machine: &Wanted) -> Self {
        Self { report: blank(machine), diff: vec![], hint: None, units_left: false, down: vec![] }
    }

    fn fail(&mut self, machine: &Wanted, trouble: Trouble) {
        self.report.outcome = trouble.outcome;
        // Nobody knows; it is counted as the worst.
        self.down = turns::serving(machine).map(ToOwned::to_owned).collect();
        self.report.error = Some(kmh_cli::text::printable(&trouble.message).replace(['\n', '\t'], " "));
        self.hint = trouble.hint;
    }
}

fn blank(machine: &Wanted) -> MachineReport {
    MachineReport {
        name: machine.name.clone(),
        outcome: Outcome::Unchanged,
        in_turn: false,
        arch: None,
        error: None,
        written: vec![],
        unchanged: 0,
        units: vec![],
    }
}

/// Looks, plans, and, unless it is a dry run, does; what needs a turn only when it has it.
/// `tell` hears how much of what is sent is on its way.
pub(crate) fn deploy(
    machine: &Wanted,
    from: Sources<'_>,
    target: &mut dyn Target,
    mode: Mode,
    has_turn: bool,
    tell: &dyn Fn(u64, u64),
) -> Result<Deployed, Trouble> {
    let bodies = Body::all(machine, from);
    let sums: Vec<Option<Sum>> = bodies.iter().map(|body| body.as_ref().map(Body::sum)).collect();
    let seen = target.observe(machine)?;
    let arch = arch::found(&seen);
    if let Err(trouble) = arch::check(machine, &seen, target.rules()) {
        let mut done = Done::failed(machine, trouble);
        done.report.arch = arch;
        return Ok(Deployed::Done(done));
    }
    let plan = plan(machine, &sums, &seen, target.rules()).map_err(|message| refused(machine, message))?;
    if let Some(turn) = plan.turn.as_ref().filter(|_| !has_turn && !mode.dry_run) {
        return Ok(Deployed::Waits(turn.clone()));
    }
    let mut done = Done { down: plan.down.clone(), ..Done::new(machine) };
    done.report.in_turn = plan.turn.is_some();
    done.report.arch = arch;
    done.report.unchanged = plan.unchanged;
    done.units_left = !target.rules().units && !plan.steps.is_empty();
    if mode.diff && !plan.writes.is_empty() {
        match show(machine, &bodies, target, &plan, &seen) {
            Ok(diff) => done.diff = diff,
            Err(trouble) => {
                done.fail(machine, trouble);
                return Ok(Deployed::Done(done));
            }
        }
    }
    let changes = !plan.writes.is_empty() || (target.rules().units && !plan.steps.is_empty());
    if mode.dry_run {
        done.report.outcome = if changes { Outcome::WouldChange } else { Outcome::Unchanged };
        done.report.written = reports(machine, &plan, |_| true);
        done.report.units = plan.steps.iter().map(|step| unit(step, None)).collect();
        return Ok(Deployed::Done(done));
    }
    if let Err(trouble) = carry_out(machine, &bodies, &seen, &plan, target, tell, &mut done.report) {
        done.fail(machine, trouble);
    } else if changes {
        done.report.outcome = Outcome::Changed;
    }
    Ok(Deployed::Done(done))
}

fn refused(machine: &Wanted, message: String) -> Trouble {
    let login = message.contains("login is not root");
    let trouble = Trouble::failed(message);
    if login {
        return trouble
            .hint(format!("set `ssh: {{become: sudo}}` for `{}`, or log in as root", machine.name));
    }
    trouble
}

/// Writes, reads back, acts on units; the report says how far it came.
fn carry_out(
    machine: &Wanted,
    bodies: &[Option<Body>],
    seen: &Seen,
    plan: &Plan,
    target: &mut dyn Target,
    tell: &dyn Fn(u64, u64),
    report: &mut MachineReport,
) -> Result<(), Trouble> {
    let act = target.rules().units;
    if !plan.writes.is_empty() || seen.leftovers > 0 {
        let mut items = Vec::with_capacity(plan.writes.len());
        for (index, _) in &plan.writes {
            let (Some(file), Some(Some(body))) = (machine.files.get(*index), bodies.get(*index)) else {
                return Err(Trouble::failed("a secret of it is only planned"));
            };
            items.push(Item { file, body });
        }
        let steps = if act { plan.steps.as_slice() } else { &[] };
        let set = Set { items, owners: plan.owners, steps, folders: machine.folders(), tell };
        let written = target.write(&set);
        report.written = reports(machine, plan, |path| written.paths.contains(path));
        if let Some(trouble) = written.trouble {
            return Err(trouble);
        }
        // Not what was sent counts, but what is there.
        for item in &set.items {
            let path = &item.file.path;
            let right = match written.after.get(path) {
                Some(Found::File { sum, mode, owner }) => {
                    *sum == item.body.sum()
                        && *mode == item.file.mode
                        && (!plan.owners || owner.as_ref().is_none_or(|owner| *owner == item.file.owner))
                }
                _ => false,
            };
            if !right || !written.paths.contains(path) {
                return Err(Trouble::failed(format!("`{path}` was written and is not what was written")));
            }
        }
    }
    if !act {
        report.units = plan.steps.iter().map(|step| unit(step, None)).collect();
        return Ok(());
    }
    if plan.steps.is_empty() {
        return Ok(());
    }
    let turn = plan.turn.as_ref();
    let in_turn = |unit: &&Unit| turn.is_some_and(|turn| turn.units.contains(&unit.name));
    let serving: Vec<&Unit> = machine.units.iter().filter(in_turn).collect();
    let Acted { results, trouble } = target.act(&plan.steps, &serving);
    let result = |index: usize| results.get(index).copied();
    report.units = plan.steps.iter().enumerate().map(|(index, step)| unit(step, result(index))).collect();
    match trouble {
        Some(trouble) => Err(trouble),
        None if results.len() == plan.steps.len() && results.iter().all(|good| *good) => Ok(()),
        None => Err(Trouble::failed("the machine did not say what became of its units")),
    }
}

fn reports(machine: &Wanted, plan: &Plan, which: impl Fn(&str) -> bool) -> Vec<FileReport> {
    let mut reports: Vec<FileReport> = plan
        .writes
        .iter()
        .filter_map(|(index, reason)| machine.files.get(*index).map(|file| (file, *reason)))
        .filter(|(file, _)| which(&file.path))
        .map(|(file, reason)| FileReport { path: file.path.clone(), reason })
        .collect();
    reports.sort_by(|a, b| a.path.cmp(&b.path));
    reports
}

fn unit(step: &crate::plan::Step, ok: Option<bool>) -> UnitReport {
    UnitReport { name: step.unit.clone(), action: step.action, ok }
}

/// The changes, for people: of files with secrets only the new text with their names, and what the machine has only
/// where it can hold none.
fn show(
    machine: &Wanted,
    bodies: &[Option<Body>],
    target: &mut dyn Target,
    plan: &Plan,
    seen: &Seen,
) -> Result<Vec<Diff>, Trouble> {
    let program = |index: usize| match bodies.get(index) {
        Some(Some(Body::Program(program))) => Some(program),
        _ => None,
    };
    let files: Vec<_> = plan
        .writes
        .iter()
        .filter_map(|(index, _)| Some((machine.files.get(*index)?, program(*index))))
        .collect();
    let there = |path: &str| match seen.files.get(path) {
        Some(Found::File { mode, .. }) => Some(*mode),
        _ => None,
    };
    let paths: Vec<&str> = files
        .iter()
        .filter(|(file, program)| program.is_none() && !file.is_secret() && there(&file.path).is_some())
        .map(|(file, _)| file.path.as_str())
        .collect();
    let fetched = if paths.is_empty() { std::collections::BTreeMap::new() } else { target.fetch(&paths)? };
    Ok(files
        .into_iter()
        .map(|(file, program)| {
            if let Some(program) = program {
                return programs(&machine.name, file, program, seen);
            }
            let before = match (there(&file.path), fetched.get(&file.path)) {
                (None, _) => Before::Missing,
                (Some(mode), Some(bytes)) if bytes.len() < SHOWN => {
                    Before::Text { bytes, guarded: mode & 0o004 == 0 }
                }
                (Some(_), _) => Before::Hidden,
            };
            diff(&machine.name, file, &before)
        })
        .collect())
}

/// Of programs it is said which they are; their octets are nothing for people.
fn programs(machine: &str, file: &WantedFile, program: &Program, seen: &Seen) -> Diff {
    let before = match seen.files.get(&file.path) {
        Some(Found::File { sum, .. }) if *sum == program.sum => program.line(),
        Some(Found::File { sum, .. }) => format!("<another one, sha256 {}>\n", hex(sum)),
        _ => String::new(),
    };
    let header = format!("{machine}:{}", file.path);
    Diff { before, after: program.line(), before_header: header.clone(), after_header: header }
}
