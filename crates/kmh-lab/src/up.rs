//! `up`: from documents to a running lab, or the difference to one that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream, file};
use kmh_doc::Kind as DocumentKind;
use kmh_doc::blocks::BlocksSpec;
use kmh_doc::bundle::BundleSpec;
use kmh_doc::inventory::Inventory;
use kmh_doc::network::NetworkSpec;
use kmh_route::services::{self, Listed, Unread};
use kmh_route::{Fault, Ground, Network};
use kmh_store::store::{self, Secrets};
use kmh_store::wanted::{self, WantedFile};

use crate::args::{Carrier, Up};
use crate::build::{self, Places};
use crate::memory::Memory;
use crate::plan::services::Service;
use crate::plan::{LabPlan, Sources, plan, rest};
use crate::run::{Change, Crew};
use crate::shape::{self, Shape};
use crate::state::{LabName, ROOT, State};
use crate::{answer, full, report, resolver, ssh, system, weather};

/// Brings a lab up.
pub(crate) fn run(
    up: &Up,
    named: Option<&str>,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let dry = context.common.dry_run;
    if !dry {
        system::need_root()?;
    }
    stream.require(&[DocumentKind::Inventory, DocumentKind::Network, DocumentKind::Bundle])?;
    let inventory = stream.need::<Inventory>()?.spec;
    let network = stream.need::<NetworkSpec>()?.spec;
    let bundle = stream.need::<BundleSpec>()?;
    let lab = match named {
        Some(named) => LabName::try_from(named.to_owned()).map_err(Failure::wrong)?,
        None => LabName::shortened(inventory.cluster.name.as_str())?,
    };
    if bundle.spec.planned && !dry {
        return Err(Failure::wrong("the bundle was rendered from planned certificates")
            .hint("run kmh-pki without --dry-run, and render again"));
    }
    let mut notes = Vec::new();
    let store_id = bundle.spec.store.clone();
    let wanted = wanted::machines(bundle.spec, &mut notes);
    refuse(&mut notes)?;
    let tunnels = carrier(up.tunnels)?;
    let known = Network::new(&network).map_err(wrong)?;
    let mut ground = ground(stream, &known)?;
    let services = services(up, &known)?;
    let sources = Sources {
        inventory: &inventory,
        network: &network,
        bundle: wanted,
        ground: ground.clone(),
        tunnels,
        services: &services,
    };
    let mut planned = plan(&sources).map_err(|notes| Failure { exit: Exit::Wrong, notes })?;
    let mut state = if dry { State::default() } else { State::read(&lab)?.unwrap_or_default() };
    full::complete(&mut planned, &up.full, &state)?;
    let names = named_machines(up, &planned, context)?;
    choose(&mut planned, &names, &state)?;
    let announced = planned.services.iter().filter_map(Service::announced).collect();
    ground.add_services(announced, &known).map_err(wrong)?;
    if dry {
        return Ok(report::planned(&lab, &planned, tunnels, format));
    }
    let store_folder = context.env.store(up.store.clone());
    let identity = context.env.identity(up.identity.clone());
    let secrets = secrets(&planned, store_folder.as_deref(), identity, &store_id, &mut notes);
    refuse(&mut notes)?;
    context.refuse_if_strict()?;
    if !state.whole {
        say(context, &planned, tunnels);
    }

    file::make_dir(Path::new(ROOT), 0o700)?;
    file::make_dir(&lab.folder(), 0o700)?;
    let lock = file::lock(&lab.folder().join("lock"))?;
    // Another run may have been here while the documents were read.
    state = State::read(&lab)?.unwrap_or_default();
    if state.half || state == State::default() {
        // What a killed run left is in no list.
        system::clear(&lab, true)?;
        state = State::default();
    }
    system::prepare_netns()?;
    let before = state.clone();
    let was_whole = std::mem::replace(&mut state.whole, false);
    for kind in DocumentKind::ALL {
        if let Some(digest) = stream.digest(kind)? {
            state.documents.insert(kind.as_str().to_owned(), digest.to_string());
        }
    }
    state.tunnels = Some(tunnels);
    state.routers.clone_from(&planned.routers);
    let hide: Vec<PathBuf> =
        store_folder.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect();
    let cache = full::Cache::new(up.cache.clone())?;
    let memory = Memory::of(&network, &ground, &planned);
    memory.write(&lab)?;
    let mut crew = Crew { lab: &lab, state, planned: &planned, secrets: &secrets, hide, cache };
    let changes = raise(&mut crew, context)?;
    let mut state = crew.state;
    state.whole = true;
    state.write(&lab)?;
    // Packet filters were loaded anew, and machines that did not live any more.
    weather::restore(&lab, &state, &memory)?;
    // Others may cut, and take away, what is waited for.
    drop(lock);
    if !up.no_wait {
        let down = rest::down(&inventory, &known, &planned, &state.cut);
        let expected = rest::expected(&inventory, &known, &ground, &down);
        crate::rest::wait(&lab, &state, &expected, context)?;
    }
    let wires = before.wires != state.wires;
    let changed = !was_whole || wires || changes.values().any(|change| *change != Change::default());
    Ok(report::up(
        &lab,
        &state,
        &planned,
        &report::Done { changed, fresh: !was_whole, wires, machines: changes },
        format,
    ))
}

/// Step by step, each of which leaves a state that the next run, and `down`, can go on from.
fn raise(crew: &mut Crew<'_>, context: &mut Context<'_>) -> Result<BTreeMap<String, Change>, Failure> {
    context.progress("keys");
    ssh::keys(crew.lab)?;
    ssh::operator(crew.lab, crew.planned)?;
    crew.bury(context)?;
    let lab = crew.lab;
    context.progress("namespaces and links");
    let places = Places { lab, pids: BTreeMap::new() };
    // Written before anything is made: a run that is killed leaves a lab that the next one makes anew.
    let mut wires = std::mem::take(&mut crew.state.wires);
    crew.state.half = true;
    crew.state.write(lab)?;
    let pids = crew.pids();
    build::remove(&Places { lab, pids }, &mut wires, &crew.planned.wires)?;
    build::add(&places, &mut wires, &crew.planned.wires, false)?;
    resolver::run(lab, &crew.planned.hosts)?;
    context.progress("machines");
    let mut changes = crew.boot(context)?;
    context.progress("files");
    crew.send(&mut changes)?;
    context.progress("namespaces of routers");
    crew.start(&mut changes, true)?;
    let places = Places { lab, pids: crew.pids() };
    build::add(&places, &mut wires, &crew.planned.wires, true)?;
    crew.state.wires = crew.planned.wires.clone();
    crew.state.half = false;
    crew.state.write(lab)?;
    context.progress("daemons");
    crew.start(&mut changes, false)?;
    answer::everywhere(lab, crew.planned)?;
    Ok(changes)
}

/// How tunnels are carried: as asked, as the kernel can.
fn carrier(asked: Option<Carrier>) -> Result<Carrier, Failure> {
    let can = system::has_esp();
    match (asked, can) {
        (Some(Carrier::Esp), false) => {
            Err(Failure::wrong("this machine's kernel has no ESP or no XFRM interfaces")
                .hint("take `--tunnels plain`, or `--vm`, which brings a kernel that has both"))
        }
        (Some(asked), _) => Ok(asked),
        (None, true) => Ok(Carrier::Esp),
        (None, false) => Ok(Carrier::Plain),
    }
}

fn refuse(notes: &mut Vec<kmh_cli::Note>) -> Result<(), Failure> {
    if notes.is_empty() { Ok(()) } else { Err(Failure { exit: Exit::Wrong, notes: std::mem::take(notes) }) }
}

/// What cannot be predicted with.
fn wrong(faults: Vec<Fault>) -> Failure {
    let failures = faults.into_iter().map(|fault| {
        let failure = Failure::wrong(fault.message).at(fault.place);
        match fault.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    });
    Failure::all(failures).unwrap_or_else(|| Failure::wrong("the network cannot be understood"))
}

/// Blocks as observed, or made up.
fn ground(stream: &Stream, known: &Network<'_>) -> Result<Ground, Failure> {
    match stream.find::<BlocksSpec>()? {
        Some(blocks) => Ground::from_blocks(&blocks.spec, known).map_err(wrong),
        None => Ok(Ground::assume(known)),
    }
}

/// The machines that the command line names: as arguments, and by `--limit`.
fn named_machines(up: &Up, planned: &LabPlan, context: &Context<'_>) -> Result<Vec<String>, Failure> {
    let mut names = up.machines.clone();
    if !context.common.limit.is_empty() {
        let all = || {
            planned.machines.iter().map(|(name, one)| (name.as_str(), one.site.as_deref(), one.roles.clone()))
        };
        context.check_limit(all())?;
        let chosen = all().filter(|(name, site, roles)| context.chosen(name, *site, roles));
        names.extend(chosen.map(|(name, ..)| name.to_owned()));
    }
    Ok(names)
}

/// Services that the call names: all mistakes at once.
fn services(up: &Up, known: &Network<'_>) -> Result<Vec<Listed>, Failure> {
    let unreadable = |unread: Unread| Failure::wrong(unread.message).because(unread.cause).hint(unread.hint);
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &up.service {
        match services::by_hand(text) {
            Ok(service) => found.push(Listed { service, local: true }),
            Err(unread) => failures.push(unreadable(unread)),
        }
    }
    if let Some(path) = &up.services {
        let ranges = kmh_route::findings::service_ranges(known.spec);
        let read = file::read(path).and_then(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            services::from_kubectl(&text, &ranges)
                .map_err(|unread| unreadable(unread).at(path.display().to_string()))
        });
        match read {
            Ok(more) => found.extend(more),
            Err(failure) => failures.push(failure),
        }
    }
    // Also those that no node announces by itself: an address that nobody sends to the cluster would never answer.
    let named = found.iter().map(|listed| listed.service.clone()).collect();
    failures.extend(Ground::default().add_services(named, known).err().map(wrong));
    Failure::all(failures).map_or(Ok(found), Err)
}

/// Leaves of a plan what was asked for, beside what is up already.
fn choose(planned: &mut LabPlan, names: &[String], state: &State) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeSet<String> = state.machines.keys().cloned().collect();
    let mut failures = Vec::new();
    for name in names {
        let machine = planned.routers.get(name).map_or(name, |inner| &inner.machine);
        if planned.machines.contains_key(machine) {
            wanted.insert(machine.clone());
        } else {
            let known: Vec<&str> = planned.machines.keys().map(String::as_str).collect();
            failures.push(
                Failure::wrong(format!("there is no machine `{name}`"))
                    .hint(format!("the machines are {}", known.join(", "))),
            );
        }
    }
    if let Some(failure) = Failure::all(failures) {
        return Err(failure);
    }
    let routers: BTreeSet<&str> = planned
        .routers
        .iter()
        .filter(|(_, inner)| wanted.contains(&inner.machine))
        .map(|(name, _)| name.as_str())
        .chain(wanted.iter().map(String::as_str))
        .collect();
    let all: BTreeSet<String> = planned.machines.keys().cloned().collect();
    planned.wires.keep(|space| {
        if all.contains(space) {
            return wanted.contains(space);
        }
        match space.split_once('-') {
            Some(("pod", node)) => wanted.contains(node),
            Some(("nat", line)) => routers
                .iter()
                .any(|router| line.strip_prefix(router).is_some_and(|rest| rest.starts_with('-'))),
            Some(("lan", _)) => false,
            _ => true,
        }
    });
    planned.machines.retain(|name, _| wanted.contains(name));
    planned.routers.retain(|_, inner| wanted.contains(&inner.machine));
    planned.pods.retain(|pod| wanted.contains(&pod.node));
    Ok(())
}

/// Secrets that the files of the chosen machines need.
fn secrets(
    planned: &LabPlan,
    folder: Option<&Path>,
    identity: Option<PathBuf>,
    id: &str,
    notes: &mut Vec<kmh_cli::Note>,
) -> Secrets {
    let files = planned.machines.values().flat_map(|machine| &machine.files);
    let references: BTreeSet<&str> = files.flat_map(WantedFile::references).collect();
    if references.is_empty() {
        return Secrets::default();
    }
    if let Some(folder) = folder {
        return store::read(folder, id, &references, identity, notes);
    }
    let message = "the bundle refers to secrets, and no store is named".to_owned();
    notes.push(wanted::note(message, "", Some("name the store: --store DIR, or KMH_STORE")));
    Secrets::default()
}

/// What a rehearsal does without, a line each.
fn say(context: &mut Context<'_>, planned: &LabPlan, tunnels: Carrier) {
    if tunnels == Carrier::Plain {
        context.say("tunnels are plain links: nothing encrypts here (kmh-lab doctor tells what would)");
    }
    let pinned: Vec<&str> = planned
        .machines
        .iter()
        .filter(|(_, machine)| !machine.ssh.host_keys.is_empty())
        .map(|(name, _)| name.as_str())
        .collect();
    if !pinned.is_empty() {
        let list = pinned.join(", ");
        context
            .say(&format!("the inventory pins host keys, which a lab cannot have: kmh-push refuses {list}"));
    }
    let idle: BTreeSet<&str> = planned
        .machines
        .values()
        .flat_map(|machine| &machine.idle)
        .map(|unit| unit.trim_end_matches(".service"))
        .filter(|unit| !matches!(*unit, "systemd-modules-load" | "kmh-tunnels" | "strongswan"))
        .collect();
    if !idle.is_empty() {
        let list: Vec<&str> = idle.into_iter().collect();
        context.say(&format!("light machines run the network alone, and not {}", list.join(", ")));
    }
    let late = planned.wires.lines.values().any(|line| Shape::of(line).needs_netem());
    if late && !shape::has_netem() {
        context
            .say("lines have their rate and no delay: this kernel has no netem (`--vm` brings one that has)");
    }
}
