//! Machines: boots them, sends their files, starts and reloads their daemons. All machines at once, each in order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kmh_cli::{Context, Failure, file};
use kmh_doc::bundle::UnitAction;
use kmh_store::content::assemble;
use kmh_store::store::Secrets;
use kmh_store::wanted::WantedFile;

use crate::build::{Places, script, unlink};
use crate::init::OWN;
use crate::machine::{Place, clean, inside, output, started};
use crate::plan::{LabPlan, MachinePlan};
use crate::receive::{Parcel, packed};
use crate::services::{self, Act};
use crate::state::{Kind, LabName, Machine, Role, State};
use crate::{full, ssh, system};

/// What an `up` did to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whether it was booted.
    pub(crate) booted: bool,
    /// Paths of files that are new, different or gone.
    pub(crate) files: BTreeSet<String>,
    /// What was done to daemons, in order.
    pub(crate) acts: Vec<(String, Act)>,
}

/// Who does it.
pub(crate) struct Crew<'a> {
    pub(crate) lab: &'a LabName,
    pub(crate) state: State,
    pub(crate) planned: &'a LabPlan,
    pub(crate) secrets: &'a Secrets,
    /// Folders that no machine sees.
    pub(crate) hide: Vec<PathBuf>,
    /// Roots of complete machines.
    pub(crate) cache: full::Cache,
}

/// Units that make namespaces, which come before links into them.
fn is_early(unit: &str) -> bool {
    unit.starts_with("systemd-") || unit.starts_with("kmh-netns-")
}

impl Crew<'_> {
    /// First processes of machines.
    pub(crate) fn pids(&self) -> BTreeMap<String, u32> {
        self.state.machines.iter().map(|(name, machine)| (name.clone(), machine.pid)).collect()
    }

    /// Takes away machines that are not wanted any more, and what is left of those that died.
    pub(crate) fn bury(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let dead = |name: &str, machine: &Machine| {
            let lives = started(machine.pid) == Some(machine.started);
            let rebuilt = |planned: &MachinePlan| planned.full != (machine.kind == Kind::Full);
            !lives || self.planned.machines.get(name).is_none_or(rebuilt)
        };
        let gone: Vec<String> = self
            .state
            .machines
            .iter()
            .filter(|(name, machine)| dead(name, machine))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if self.planned.machines.contains_key(&name) {
                context.say(&format!("machine {name} does not run any more, and is built again"));
            }
            unlink(&Places { lab: self.lab, pids: self.pids() }, &self.state.wires, &name);
            system::clear_once(self.lab, &BTreeSet::from([self.lab.space(&name)]), false)?;
            self.state.machines.remove(&name);
            self.state.wires.forget(&name);
        }
        Ok(())
    }

    /// Starts the machines that do not run yet.
    pub(crate) fn boot(&mut self, context: &mut Context<'_>) -> Result<BTreeMap<String, Change>, Failure> {
        let mut changes: BTreeMap<String, Change> = BTreeMap::new();
        let mut booting = Vec::new();
        for (name, planned) in &self.planned.machines {
            let fresh = !self.state.machines.contains_key(name);
            changes.insert(name.clone(), Change { booted: fresh, ..Change::default() });
            if fresh && planned.full {
                context.progress(&format!("complete machine {name}"));
                let machine = full::machine(self, name, planned, &mut |line| context.say(line))?;
                self.state.machines.insert(name.clone(), machine);
            } else if fresh {
                booting.push((name, planned, self.spawn(name, planned)?));
            }
        }
        for (name, planned, child) in booting {
            let pid = ready(self.lab, name, child)?;
            let machine = Machine {
                role: planned.role,
                kind: kind(planned),
                site: planned.site.clone(),
                arch: planned.arch,
                pid,
                started: started(pid).unwrap_or_default(),
                files: BTreeSet::new(),
                services: Vec::new(),
                ssh: planned.ssh.clone(),
            };
            self.state.machines.insert(name.clone(), machine);
        }
        Ok(changes)
    }

    fn spawn(&self, name: &str, planned: &MachinePlan) -> Result<Child, Failure> {
        let folder = self.lab.folder().join("machines").join(name);
        for part in ["layers", "log"] {
            file::make_dir(&folder.join(part), 0o755)?;
        }
        file::write(&folder.join("resolv.conf"), crate::resolver::conf(self.planned).as_bytes(), 0o644)?;
        let tool = std::env::current_exe()
            .map_err(|error| Failure::world("cannot find the program itself").because(file::plain(&error)))?;
        let mut command = Command::new("setsid");
        clean(&mut command, self.lab);
        command.arg("nsenter").arg(format!("--net=/run/netns/{}", self.lab.space(name))).arg("--");
        command.args(["unshare", "--fork", "--pid", "--mount", "--uts", "--ipc", "--kill-child=KILL", "--"]);
        command.arg(tool).args(["init", name]).arg("--state").arg(self.lab.folder());
        if kind(planned) == Kind::Shared {
            command.arg("--shared");
        }
        for folder in &self.hide {
            command.arg("--hide").arg(folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|error| {
            Failure::world(format!("cannot start machine `{name}`")).because(file::plain(&error))
        })
    }

    /// Sends every machine its files.
    pub(crate) fn send(&mut self, changes: &mut BTreeMap<String, Change>) -> Result<(), Failure> {
        let all = self.each(changes, |crew, name, _| {
            let (Some(planned), Some(machine)) =
                (crew.planned.machines.get(name), crew.state.machines.get(name))
            else {
                return Ok(BTreeSet::new());
            };
            if machine.kind == Kind::Shared {
                return Ok(BTreeSet::new());
            }
            crew.send_one(name, planned, machine)
        })?;
        for (name, files) in all {
            if let Some(machine) = self.state.machines.get_mut(&name) {
                let planned = self.planned.machines.get(&name).map(|planned| planned.files.as_slice());
                machine.files = planned.unwrap_or_default().iter().map(|file| file.path.clone()).collect();
            }
            changes.entry(name).or_default().files = files;
        }
        Ok(())
    }

    fn send_one(
        &self,
        name: &str,
        planned: &MachinePlan,
        machine: &Machine,
    ) -> Result<BTreeSet<String>, Failure> {
        if machine.kind == Kind::Full {
            return full::send(self, name, planned, machine);
        }
        let place = Place::of_machine(name, machine)?;
        let more = ssh::files(planned, &crate::resolver::conf(self.planned), name)?;
        let files: Vec<_> = planned.files.iter().chain(&more).collect();
        let mut contents = Vec::with_capacity(files.len());
        for file in &files {
            contents.push(assemble(file, self.secrets).ok_or_else(|| {
                Failure::world(format!("`{}` of `{name}` cannot be put together", file.path))
            })?);
        }
        let parcels: Vec<Parcel<'_>> = files
            .iter()
            .zip(&contents)
            .map(|(file, content)| Parcel { path: &file.path, owner: &file.owner, mode: file.mode, content })
            .collect();
        let wanted: BTreeSet<&str> = planned.files.iter().map(|file| file.path.as_str()).collect();
        let gone: Vec<&str> =
            machine.files.iter().map(String::as_str).filter(|path| !wanted.contains(path)).collect();
        let command = inside(self.lab, &place, [format!("/{OWN}/kmh-lab").as_str(), "receive"]);
        let text = output(command, &packed(&parcels, &gone))
            .map_err(|failure| failure.at(format!("machine {name}")))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Starts daemons, and reloads those whose files changed.
    pub(crate) fn start(
        &mut self,
        changes: &mut BTreeMap<String, Change>,
        early: bool,
    ) -> Result<(), Failure> {
        let all = self.each(changes, |crew, name, change| {
            let (Some(planned), Some(machine)) =
                (crew.planned.machines.get(name), crew.state.machines.get(name))
            else {
                return Ok(Vec::new());
            };
            let acts = acts(planned, machine, &change.files, early);
            let place = Place::of_machine(name, machine)?;
            if machine.kind == Kind::Full {
                full::act(crew.lab, name, &place, &acts)?;
                return Ok(acts);
            }
            for (unit, act) in &acts {
                if let Some(text) = services::script(unit, *act) {
                    script(crew.lab, &place, &text).map_err(|failure| {
                        crew.masked(planned, failure).at(format!("machine {name}, {unit}")).hint(format!(
                            "its log is in {}",
                            crew.lab.folder().join("machines").join(name).join("log").display()
                        ))
                    })?;
                }
            }
            Ok(acts)
        })?;
        for (name, acts) in all {
            if let (Some(machine), Some(planned)) =
                (self.state.machines.get_mut(&name), self.planned.machines.get(&name))
                && !early
            {
                machine.services.clone_from(&planned.services);
            }
            changes.entry(name).or_default().acts.extend(acts);
        }
        Ok(())
    }

    /// A failure without the machine's secrets: a daemon that refuses its configuration may say the line.
    fn masked(&self, planned: &MachinePlan, mut failure: Failure) -> Failure {
        let references = planned.files.iter().flat_map(WantedFile::references);
        let secrets = references.filter_map(|reference| {
            let text = std::str::from_utf8(self.secrets.get(reference)?).ok()?.trim();
            (!text.is_empty()).then_some((reference, text))
        });
        for (reference, secret) in secrets {
            for text in failure.notes.iter_mut().flat_map(|note| &mut note.causes) {
                if text.contains(secret) {
                    *text = text.replace(secret, &format!("<secret {reference}>"));
                }
            }
        }
        failure
    }

    /// The same for every machine, side by side; all that failed at once.
    fn each<T: Send>(
        &self,
        changes: &BTreeMap<String, Change>,
        work: impl Fn(&Self, &str, &Change) -> Result<T, Failure> + Sync,
    ) -> Result<BTreeMap<String, T>, Failure> {
        let (mut done, mut failures) = (BTreeMap::new(), Vec::new());
        // A guest in software is slow: with all daemons starting at once, some were restarted while they were told what to do.
        let all: Vec<_> = changes.iter().collect();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let width = if crate::vm::guest::inside() { cpus } else { all.len().max(1) };
        for some in all.chunks(width) {
            std::thread::scope(|scope| {
                let running: Vec<_> = some
                    .iter()
                    .map(|(name, change)| (name, scope.spawn(|| work(self, name, change))))
                    .collect();
                for (name, thread) in running {
                    match thread.join() {
                        Ok(Ok(result)) => _ = done.insert((*name).clone(), result),
                        Ok(Err(failure)) => failures.push(failure),
                        Err(_) => failures.push(Failure::world(format!("the work on `{name}` broke off"))),
                    }
                }
            });
        }
        Failure::all(failures).map_or(Ok(done), Err)
    }
}

fn kind(planned: &MachinePlan) -> Kind {
    if planned.role == Role::Operator { Kind::Shared } else { Kind::Light }
}

/// What is to be done to a machine's daemons, in their order: stop those that go, start those that are new, and of what
/// the changed files ask the more.
fn acts(
    planned: &MachinePlan,
    machine: &Machine,
    files: &BTreeSet<String>,
    early: bool,
) -> Vec<(String, Act)> {
    let mut found = Vec::new();
    if !early {
        let gone = machine.services.iter().filter(|unit| !planned.services.contains(unit));
        found.extend(gone.map(|unit| (unit.clone(), Act::Stop)));
    }
    for unit in planned.services.iter().filter(|unit| is_early(unit) == early) {
        if !machine.services.contains(unit) {
            found.push((unit.clone(), Act::Start));
            continue;
        }
        let changes =
            planned.files.iter().filter(|file| files.contains(&file.path)).flat_map(|file| &file.on_change);
        let wanted = changes.filter(|change| change.unit == *unit).map(|change| match change.action {
            UnitAction::Reload => Act::Reload,
            UnitAction::Restart => Act::Restart,
        });
        if let Some(act) = wanted.max() {
            found.push((unit.clone(), act));
        }
    }
    found
}

/// Waits until a machine says that it is there; its first process, as this machine counts.
fn ready(lab: &LabName, name: &str, mut child: Child) -> Result<u32, Failure> {
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    if line.trim() != "ready" {
        let failure = Failure::world(format!("machine `{name}` of lab `{lab}` does not start"));
        return Err(match child.wait_with_output() {
            Ok(ran) => failure.because(String::from_utf8_lossy(&ran.stderr).trim()),
            Err(error) => failure.because(file::plain(&error)),
        });
    }
    child_of(child.id()).ok_or_else(|| Failure::world(format!("machine `{name}` ended at once")))
}

/// The one child of a process.
fn child_of(parent: u32) -> Option<u32> {
    let wanted = parent.to_string();
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(&wanted)
    })
}
