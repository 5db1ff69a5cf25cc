//! `kmh-push apply`: everything is checked, then all machines at once, those that carry the admins last; but what the
//! cluster needs most of is restarted on one machine after another.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;

use kmh_cli::args::Format;
use kmh_cli::failure::Note;
use kmh_cli::{Answer, Context, Exit, Failure, Outcome, Stream};
use kmh_doc::Kind;
use kmh_doc::bundle::{BundleSpec, MachineKind, Unit};
use kmh_doc::check::CheckSpec;
use kmh_doc::inventory::Inventory;
use kmh_doc::push::{self, PushSpec};

use crate::args::{Apply, To};
use crate::body::Sources;
use crate::deploy::{Deployed, Done, Mode, deploy};
use crate::dir::{self, DirTarget};
use crate::generation::of_another_generation;
use crate::programs::{self, Programs};
use crate::report;
use crate::ssh::{KnownHosts, Setup, SshTarget};
use crate::target::{Target, Trouble};
use crate::turns::{self, Down, Job, Turns};
use kmh_store::store::{self, Secrets};
use kmh_store::wanted::{self, Wanted, note};

/// Where all files go, made ready.
enum Place {
    Dir(PathBuf),
    Ssh { setup: Setup, root: String, patience: u16 },
}

/// Runs the verb.
pub(crate) fn apply(
    options: &Apply,
    stream: &Stream,
    ctx: &mut Context<'_>,
) -> Result<Outcome<PushSpec>, Failure> {
    let Some(to) = &options.to else {
        return Err(Failure::wrong("where to push is not said")
            .hint("say `--to dir:out` for a folder, or `--to ssh` for the machines"));
    };
    if let Some(check) = stream.find::<CheckSpec>()?
        && !check.spec.ok
    {
        return Ok(report::refused(&check.spec, ctx.common.dry_run));
    }
    let bundle = stream.need::<BundleSpec>()?;
    let at = format!("{} ({}, document {})", Kind::Bundle, bundle.source.name, bundle.source.index);
    if bundle.spec.planned && !ctx.common.dry_run {
        return Err(Failure::wrong(
            "the bundle was rendered from planned certificates, which nobody has made yet",
        )
        .at(at)
        .hint("run kmh-pki without --dry-run and render again, or look at the plan with --dry-run"));
    }
    let mut notes: Vec<Note> = Vec::new();
    let (store_id, planned) = (bundle.spec.store.clone(), bundle.spec.planned);
    let mut machines = wanted::machines(bundle.spec, &mut notes);
    for note in &mut notes {
        note.at.push(at.clone());
    }
    let all = machines.iter().map(|one| (one.name.as_str(), one.site.as_deref(), one.roles.clone()));
    if let Err(failure) = ctx.check_limit(all) {
        notes.extend(failure.notes);
    }
    let members = turns::members(&machines);
    machines.retain(|machine| ctx.chosen(&machine.name, machine.site.as_deref(), &machine.roles));
    if machines.is_empty() && ctx.common.limit.is_empty() {
        notes.push(note("the bundle has no machine".to_owned(), &at, None));
    }
    if *to == To::Ssh {
        for machine in machines.iter().filter(|machine| machine.host().is_none()) {
            let hint = "give it `ssh: {host: …}` in the inventory";
            notes.push(note(
                format!("machine `{}` has no address to log in at", machine.name),
                &at,
                Some(hint),
            ));
        }
    }
    let root = root(options, to, &mut notes);
    let programs = match &options.artifacts {
        Some(folder) => programs::take(folder, &mut machines, &mut notes, &mut |what| ctx.progress(what)),
        None => Programs::default(),
    };
    let secrets = if planned {
        Secrets::default()
    } else {
        let identity = ctx.env.identity(options.store_identity.clone());
        secrets(ctx.env.store(options.store.clone()), identity, &store_id, &machines, &mut notes)
    };
    if !notes.is_empty() {
        return Err(Failure { exit: Exit::Wrong, notes });
    }
    let place = match to {
        To::Dir(path) => {
            dir::prepare(path, ctx.common.dry_run)?;
            Place::Dir(path.clone())
        }
        To::Ssh => Place::Ssh { setup: setup(options, ctx)?, root, patience: options.patience },
    };
    let operator = match stream.find::<Inventory>()? {
        Some(inventory) => inventory.spec.operator.map(|operator| operator.site.to_string()),
        None => None,
    };
    let mode = Mode {
        dry_run: ctx.common.dry_run,
        diff: ctx.common.dry_run || ctx.common.verbose > 0 || ctx.common.output == Some(Format::Ansible),
    };
    say_of_programs(options.artifacts.is_some(), &machines, &programs, ctx);
    let from = Sources { secrets: &secrets, programs: &programs };
    let mut done = Vec::new();
    for wave in waves(&machines, operator.as_deref()) {
        let turns = Turns::new(&wave, &members);
        let workers = usize::from(options.jobs).min(wave.len());
        done.extend(run_wave(&turns, workers, from, &place, mode, ctx));
    }
    done.sort_by(|a, b| a.report.name.cmp(&b.report.name));
    say_what_was_left(&done, &machines, &place, mode.dry_run, ctx);
    let live = matches!(&place, Place::Ssh { root, .. } if root.is_empty());
    Ok(report::outcome(done, mode.dry_run, live))
}

/// The remote root, without its final slash.
fn root(options: &Apply, to: &To, notes: &mut Vec<Note>) -> String {
    let only_ssh = [
        ("--root", options.root.is_some()),
        ("--known-hosts", options.known_hosts.is_some()),
        ("--identity", options.identity.is_some()),
    ];
    if *to != To::Ssh {
        for (name, _) in only_ssh.iter().filter(|(_, given)| *given) {
            notes.push(note(format!("`{name}` goes with `--to ssh` only"), "", None));
        }
    }
    let root = options.root.as_deref().map_or("", |root| root.trim_end_matches('/'));
    if !root.is_empty()
        && let Some(why) = wanted::bad_path(&for_machine(root, "machine"))
    {
        notes.push(note(format!("--root `{}` {why}", kmh_cli::text::printable(root)), "", None));
    }
    root.to_owned()
}

/// The remote root of one machine.
fn for_machine(root: &str, machine: &str) -> String {
    root.replace("{machine}", machine)
}

fn secrets(
    store: Option<PathBuf>,
    identity: Option<PathBuf>,
    id: &str,
    machines: &[Wanted],
    notes: &mut Vec<Note>,
) -> Secrets {
    let references: BTreeSet<&str> =
        machines.iter().flat_map(|machine| &machine.files).flat_map(wanted::WantedFile::references).collect();
    match (store, references.is_empty()) {
        (_, true) => Secrets::default(),
        (Some(dir), false) => {
            let secrets = store::read(&dir, id, &references, identity, notes);
            of_another_generation(&secrets, machines, notes);
            secrets
        }
        (None, false) => {
            let hint = "name the store with --store DIR or KMH_STORE";
            notes.push(note(
                format!("the bundle refers to {} secrets, and no store is named", references.len()),
                "",
                Some(hint),
            ));
            Secrets::default()
        }
    }
}

fn setup(options: &Apply, ctx: &Context<'_>) -> Result<Setup, Failure> {
    let var = |name: &str| {
        ctx.env.vars.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let home = var("HOME");
    let mut known = KnownHosts::default();
    let file =
        options.known_hosts.clone().or_else(|| home.as_ref().map(|home| home.join(".ssh/known_hosts")));
    let known_name =
        file.as_ref().map_or_else(|| "a known-hosts file".to_owned(), |file| file.display().to_string());
    if let Some(file) = &file {
        match std::fs::read(file) {
            Ok(bytes) => known.read(&String::from_utf8_lossy(&bytes), &known_name),
            // Without one of their own, machines can still be pinned in the inventory.
            Err(error) if options.known_hosts.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(
                    Failure::wrong(format!("known-hosts file `{known_name}` cannot be read")).because(error)
                );
            }
        }
    }
    Ok(Setup { known, known_name, identity: options.identity.clone(), agent: var("SSH_AUTH_SOCK"), home })
}

/// Which programs are sent, or that none is.
fn say_of_programs(given: bool, machines: &[Wanted], programs: &Programs, ctx: &mut Context<'_>) {
    for (title, file, size) in programs.all() {
        ctx.detail(&format!("{title}: {file}, {}", programs::megabytes(size)));
    }
    for machine in machines.iter().filter(|machine| !given && !machine.artifacts.is_empty()) {
        ctx.detail(&format!(
            "{}: {} programs are listed in the bundle, and left alone without `--artifacts`",
            machine.name,
            machine.artifacts.len()
        ));
    }
}

/// The addresses of programs that the folder lacks.
pub(crate) fn fetch(options: &Apply, stream: &Stream, ctx: &mut Context<'_>) -> Result<Answer, Failure> {
    let bundle = stream.need::<BundleSpec>()?;
    let mut notes = Vec::new();
    let mut machines = wanted::machines(bundle.spec, &mut notes);
    let all = machines.iter().map(|one| (one.name.as_str(), one.site.as_deref(), one.roles.clone()));
    if let Err(failure) = ctx.check_limit(all) {
        notes.extend(failure.notes);
    }
    if !notes.is_empty() {
        return Err(Failure { exit: Exit::Wrong, notes });
    }
    machines.retain(|machine| ctx.chosen(&machine.name, machine.site.as_deref(), &machine.roles));
    let lacking = programs::lacking(options.artifacts.as_deref(), &machines);
    let text = lacking.iter().flat_map(|url| [url.as_str(), "\n"]).collect();
    Ok(Answer { text, exit: Exit::Done })
}

/// Machines in the order in which they are pushed: nodes and far routers together, then the cluster's manifests, which
/// need the API, then the routers that the admins' own way leads through. Who they are is in the inventory; when it is
/// not in the stream, every router comes last.
fn waves<'a>(machines: &'a [Wanted], operator: Option<&str>) -> [Vec<&'a Wanted>; 3] {
    let mut waves = [vec![], vec![], vec![]];
    for machine in machines {
        let near = operator.is_none_or(|site| machine.site.as_deref() == Some(site));
        let wave = match machine.kind {
            MachineKind::Node => 0,
            MachineKind::Cluster => 1,
            MachineKind::LinuxRouter | MachineKind::Pfsense => 2 * usize::from(near),
        };
        waves[wave].push(machine);
    }
    waves
}

/// What a thread tells of a machine.
enum Word {
    Sends(String, u64, u64),
    Done(Done),
}

/// Works on some machines at a time, and at most one in its turn. A machine that fails, or whose thread dies, is a line in
/// the report.
fn run_wave(
    turns: &Turns<'_>,
    workers: usize,
    from: Sources<'_>,
    place: &Place,
    mode: Mode,
    ctx: &mut Context<'_>,
) -> Vec<Done> {
    let (sender, receiver) = mpsc::channel();
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            scope.spawn(move || {
                let work = |machine: &Wanted, has_turn: bool| {
                    let tell = |sent, of| drop(sender.send(Word::Sends(machine.name.clone(), sent, of)));
                    let one = || {
                        with_target(machine, place, |target| {
                            deploy(machine, from, target, mode, has_turn, &tell)
                                .unwrap_or_else(|trouble| Deployed::Done(Done::failed(machine, trouble)))
                        })
                    };
                    catch_unwind(AssertUnwindSafe(one)).unwrap_or_else(|_| {
                        let trouble = Trouble::failed("kmh-push itself failed; this is a defect");
                        Deployed::Done(Done::failed(machine, trouble))
                    })
                };
                while let Some(job) = turns.next() {
                    let done = match job {
                        Job::Ask(machine) => match work(machine, false) {
                            Deployed::Waits(turn) => {
                                turns.waits(machine, turn);
                                continue;
                            }
                            Deployed::Done(done) => {
                                turns.done(machine, &done.down);
                                done
                            }
                        },
                        Job::Serves(machine, units) => {
                            turns.answered(machine, down(machine, &units, place));
                            continue;
                        }
                        Job::Turn(machine) => {
                            let done = match work(machine, true) {
                                Deployed::Done(done) => done,
                                Deployed::Waits(_) => {
                                    Done::failed(machine, Trouble::failed("it still waits"))
                                }
                            };
                            turns.had(machine, failed(done.report.outcome), &done.down);
                            done
                        }
                        Job::Leave(machine, trouble) => Done::failed(machine, trouble),
                    };
                    if sender.send(Word::Done(done)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for word in receiver {
            match word {
                Word::Done(done) => {
                    report::progress(&done, ctx);
                    all.push(done);
                }
                Word::Sends(machine, sent, of) => {
                    let (sent, of) = (programs::megabytes(sent), programs::megabytes(of));
                    ctx.progress(&format!("{machine}: {sent} of {of} sent"));
                }
            }
        }
    });
    all
}

/// Which of these units of a machine do not serve; of one that cannot be asked it is taken that none does.
fn down(machine: &Wanted, units: &[&Unit], place: &Place) -> Down {
    let ask = || with_target(machine, place, |target| target.silent(units));
    let asked = catch_unwind(AssertUnwindSafe(ask));
    asked.unwrap_or_else(|_| Err(Trouble::failed("kmh-push itself failed; this is a defect"))).unwrap_or_else(
        |trouble| units.iter().map(|unit| (unit.name.clone(), Some(trouble.message.clone()))).collect(),
    )
}

fn with_target<T>(machine: &Wanted, place: &Place, run: impl FnOnce(&mut dyn Target) -> T) -> T {
    match place {
        Place::Dir(path) => run(&mut DirTarget::new(path, &machine.name)),
        Place::Ssh { setup, root, patience } => {
            let root = for_machine(root, &machine.name);
            run(&mut SshTarget::new(setup, machine, root, *patience))
        }
    }
}

/// Units that were left alone are not left unsaid.
fn say_what_was_left(
    done: &[Done],
    machines: &[Wanted],
    place: &Place,
    dry_run: bool,
    ctx: &mut Context<'_>,
) {
    let left: Vec<&str> =
        done.iter().filter(|done| done.units_left).map(|done| done.report.name.as_str()).collect();
    if left.is_empty() {
        return;
    }
    let (went, was) = if dry_run { ("would go", "would be") } else { ("went", "was") };
    match place {
        Place::Dir(_) => ctx.detail(&format!("files {went} to a folder: no unit {was} touched")),
        Place::Ssh { root, .. } if !root.is_empty() => {
            ctx.say(&format!("files {went} below `{root}`: no unit {was} touched on {}", left.join(", ")));
        }
        Place::Ssh { .. } => {
            let pfsense =
                |name: &&&str| machines.iter().any(|m| m.name == **name && m.kind == MachineKind::Pfsense);
            let names: Vec<&str> = left.iter().filter(pfsense).copied().collect();
            if !names.is_empty() {
                ctx.say(&format!(
                    "kmh-push does not act on services of pfSense yet; restart them on {}",
                    names.join(", ")
                ));
            }
        }
    }
}

/// Whether anything in the report failed.
pub(crate) fn failed(outcome: push::Outcome) -> bool {
    matches!(outcome, push::Outcome::Failed | push::Outcome::Unreachable | push::Outcome::Untouched)
}
