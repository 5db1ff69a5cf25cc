//! `ensure`: what is missing, wrong or about to end is made, all else stays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kmh_cli::{Body, Context, Exit, Failure, Outcome, Stream, Written, file};
use kmh_doc::Kind;
use kmh_doc::inventory::Role;
use kmh_doc::pki::{Certificate, PkiSpec};
use kmh_model::Model;
use kmh_model::reload::Held;
use time::OffsetDateTime;

use crate::access::At;
use crate::memo::{self, Memo};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::requests::RequestSet;
use crate::rotate::commands::word;
use crate::store::{Change, Sealing, Store};
use crate::want::Wants;
use crate::{ask, clock, document, look, make, plan, requests, want};

/// More keys than this that others may read are warned about together.
const FEW: usize = 3;

/// Options of `kmh-pki ensure`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Args {
    /// Write what a CA has to sign whose key is elsewhere to FILE, for `sign --requests`
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// Replace FILE whatever it is; an earlier request set of the same store is replaced without it
    #[arg(long, requires = "requests")]
    force: bool,
}

impl Args {
    /// The first option that was given.
    pub(crate) fn first(&self) -> Option<&'static str> {
        let given = [("--requests", self.requests.is_some()), ("--force", self.force)];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }
}

/// Brings the store to what the inventory asks.
pub(crate) fn run(
    stream: &Stream,
    context: &mut Context<'_>,
    at: &At,
    args: &Args,
) -> Result<Outcome<PkiSpec>, Failure> {
    let (document, source) = stream.inventory()?;
    let (model, warnings) =
        kmh_model::load(&document, look::NEEDS).map_err(|problems| Failure::problems(&source, &problems))?;
    context.warn_all(&source, &warnings);
    let chosen = chosen(&model, context)?;
    let path = at.named()?;
    if let Some(file) = &args.requests {
        requests::refuse_target(file, args.force, path)?;
    }

    let (now, dry_run) = (context.env.now, context.common.dry_run);
    look::refuse_unset_clock(now)?;
    let recipients = at.access.recipients()?;
    // Everything that can say no without the store has spoken; now, before anything is made, strictness too.
    context.refuse_if_strict()?;
    let mut store = at.open(model.name.as_str(), dry_run, recipients.as_ref(), context)?;
    let memo = match &store {
        Some(store)
            if is_plain(context, at, args) && recipients.is_none() && store.recipients().is_empty() =>
        {
            stream.digest(Kind::Inventory)?.and_then(|digest| Memo::of(context.env, store.id(), &digest))
        }
        _ => None,
    };
    if let (Some(memo), Some(store)) = (&memo, &store)
        && let Some((written, message)) = memo.recall(now, || store.state())
    {
        return Ok(outcome(Body::Written(written), message));
    }
    let mut wants = want::wants(&model);
    let mut observed = match &store {
        Some(store) => store.observe(&wants)?,
        None => Observed::default(),
    };
    if let Some(doubt) = clock::doubt(&wants, &observed, now).filter(|_| !at.access.expired) {
        return Err(doubt);
    }
    wants.add_generations(&observed);
    let mut plan = plan::plan(&wants, &observed, now, &|machine| chosen.contains(machine));
    if args.requests.is_none() {
        ask::refuse(&mut plan, &wants);
    } else {
        ask::ask_again(&mut plan);
    }
    let folders = store.as_ref().map_or(Ok(Vec::new()), Store::open_folders)?;
    let is_private = folders.is_empty();
    if !at.access.repair {
        warn_of_open(context, path, "key", "-name '*.key'", "600", &observed.readable);
        warn_of_open(context, path, "folder", "-type d", "700", &folders);
    }
    report(context, path, &plan, &observed)?;
    let sealing = match &store {
        Some(store) => store.sealing(recipients.as_ref())?,
        None => None,
    };
    let mended = if at.access.repair { (observed.readable.clone(), folders) } else { Default::default() };

    // A thousand nodes are not held twice for the sake of those that change.
    let before = observed.only(plan.steps.iter().map(|step| step.name.as_str()));
    let (id, planned) = match &mut store {
        Some(store) if !dry_run => {
            let set =
                args.requests.as_deref().map(|path| (RequestSet::of(model.name.as_str(), store.id()), path));
            let keys = (&mended, sealing.as_ref());
            execute(store, &wants, &plan, &mut observed, now, keys, set)?;
            (store.id(), &[][..])
        }
        Some(store) => (store.id(), &plan.steps[..]),
        None => ("", &plan.steps[..]),
    };
    let until = memo::until(&wants, &observed, now).filter(|_| is_private && is_settled(&plan, &observed));
    let spec = document::spec(id, &wants, &mut observed, planned);
    let keys = document::Keys { sealing: sealing.as_ref(), mended: &mended.0, folders: &mended.1, dry_run };
    let message = keys.message()
        + &document::message(&spec, &plan, &observed, dry_run)
        + &told(&plan, &wants, &before, &model);
    let all = context.common.limit.is_empty();
    let shown = |one: &Certificate| match &one.machine {
        _ if all => true,
        Some(machine) => chosen.contains(machine),
        None => one.deploy.iter().any(|place| chosen.contains(&place.machine)),
    };
    let text = if context.prints_text() {
        document::text(&spec, &shown, &plan, &message, (now, dry_run))
    } else {
        String::new()
    };
    let mut diff = Vec::new();
    if context.tells_changes() {
        diff.extend(document::diff(&wants, &before, &spec, &plan));
        diff.extend(keys.diff());
    }
    let changed = !plan.steps.is_empty() || sealing.is_some() || mended != Default::default();
    let steps = context.tells_changes().then(|| document::steps(&plan.steps, &before));
    let body = match (memo, until, &store) {
        (Some(memo), Some(until), Some(store)) => {
            let settled = document::message(&spec, &Plan::default(), &observed, false);
            // The one keeps a processor busy, the other the kernel.
            let (written, state) = rayon::join(|| Written::of(spec), || store.state());
            let written = written?;
            if let Some(state) = state {
                memo.keep(&state, [now, until], settled, &written);
            }
            Body::Written(written)
        }
        _ => spec.into(),
    };
    Ok(Outcome { changed, text, diff, steps, ..outcome(body, message) })
}

/// What a run says that changed nothing.
fn outcome(spec: Body<PkiSpec>, message: String) -> Outcome<PkiSpec> {
    Outcome {
        spec,
        from: vec![Kind::Inventory],
        changed: false,
        exit: Exit::Done,
        message,
        text: String::new(),
        diff: Vec::new(),
        steps: None,
    }
}

/// Whether a run is asked for the document and nothing else: its answer may be that of the last one.
fn is_plain(context: &Context<'_>, at: &At, args: &Args) -> bool {
    let common = context.common;
    let asks = common.dry_run || args.requests.is_some() || at.access.repair || at.access.expired;
    !asks && common.limit.is_empty() && !context.prints_text() && !context.tells_changes()
}

/// Whether nothing is left to say or to do.
fn is_settled(plan: &Plan, observed: &Observed) -> bool {
    let is_silent = plan.warnings.is_empty() && observed.readable.is_empty();
    let waits = [&plan.asked, &plan.behind, &plan.held].into_iter().any(|steps| !steps.is_empty());
    is_silent && !waits && observed.waiting.is_empty()
}

/// Who has to be told of what was renewed, because its program reads it only once.
fn told(plan: &Plan, wants: &Wants, before: &Observed, model: &Model) -> String {
    let was_there =
        |name: &str| before.pairs.get(name).is_some_and(|pair| pair.certificate.there().is_some());
    let renewed = plan.steps.iter().filter_map(|step| wants.certificates.get(&step.name));
    let held: Vec<_> = renewed
        .filter(|wanted| was_there(&wanted.name))
        .flat_map(|wanted| {
            wanted.deploy.iter().map(|place| (place.machine.as_str(), Held::Certificate(wanted.class)))
        })
        .collect();
    match crate::rotate::guide::to_tell(&held, model) {
        units if units.is_empty() => units,
        units => format!("; who does not read it again by itself is told by the next push: {units}"),
    }
}

/// Makes and writes what the plan names; leaves nothing of an interrupted run behind. Fills the set of requests, and
/// writes it to its file. Keys are mended and encrypted when all else that could fail without the disk has not.
fn execute(
    store: &mut Store,
    wants: &Wants,
    plan: &Plan,
    observed: &mut Observed,
    now: OffsetDateTime,
    ((keys, folders), sealing): (&(Vec<String>, Vec<String>), Option<&Sealing>),
    mut set: Option<(RequestSet, &Path)>,
) -> Result<(), Failure> {
    let mut change = Change::from(make::make(store, wants, plan, observed, now)?);
    if let Some((set, _)) = &mut set {
        change.made.extend(ask::ask(plan, wants, observed, set)?);
    }
    // Without `--requests` nobody said that what waits is wanted no more: a due certificate was only told of.
    if set.is_some() {
        change.retired = ask::stale(plan, observed);
    }
    // The keys must wait before their requests are out, and must not where those cannot be written.
    let staged = match &set {
        Some((set, path)) => Some(file::stage_named(path, set.to_json()?.as_bytes())?),
        None => None,
    };
    store.tidy()?;
    store.protect(keys)?;
    store.protect_folders(folders)?;
    if let Some(sealing) = sealing {
        store.seal(sealing)?;
    }
    if !change.made.is_empty() || !change.retired.is_empty() {
        store.commit(&change)?;
        make::remember(observed, change.made);
    } else if !observed.pending.is_empty() {
        store.forget_pending()?;
    }
    staged.map_or(Ok(()), |staged| staged.put().map(|_| ()))
}

/// Says what a person must know; with a refusal nothing is done.
pub(crate) fn report(
    context: &mut Context<'_>,
    path: &Path,
    plan: &Plan,
    observed: &Observed,
) -> Result<(), Failure> {
    for warning in &plan.warnings {
        context.warn(warning);
    }
    let missing = plan.held.iter().filter(|step| !observed.pairs.contains_key(&step.name)).count();
    if missing > 0 {
        context.warn(&format!("{missing} certificates are missing, on machines that `--limit` leaves out"));
    }
    let refusals = plan.refusals.iter().map(|refusal| {
        Failure::world(&refusal.what).at(path.join(&refusal.name).display().to_string()).hint(&refusal.hint)
    });
    Failure::all(refusals).map_or(Ok(()), Err)?;
    context.refuse_if_strict()
}

/// What others may look into. Git and tar keep no modes, so after a clone it is everything: one warning then, not one for
/// each. `which` chooses it for find(1).
fn warn_of_open(
    context: &mut Context<'_>,
    store: &Path,
    what: &str,
    which: &str,
    mode: &str,
    names: &[String],
) {
    if names.len() > FEW {
        let (count, shown, word) = (names.len(), store.display(), word(store));
        context.warn(&format!(
            "{count} {what}s in store `{shown}` can be read by others: `find {word} {which} -exec chmod {mode} {{}} +`"
        ));
        return;
    }
    for name in names {
        // `join` of an empty path would end in a slash.
        let path = if name.is_empty() { store.to_owned() } else { store.join(name) };
        let (shown, word) = (path.display(), word(&path));
        context.warn(&format!("{what} `{shown}` can be read by others: `chmod {mode} {word}`"));
    }
}

/// The machines that `--limit` chooses.
pub(crate) fn chosen(model: &Model, context: &Context<'_>) -> Result<BTreeSet<String>, Failure> {
    let nodes = model.nodes.values().map(|node| {
        let roles: Vec<&str> = node.roles.iter().map(|role| role_name(*role)).collect();
        (node.name.as_str(), Some(node.site.as_str()), roles)
    });
    let routers =
        model.routers.iter().map(|router| (router.name.as_str(), Some(router.site.as_str()), vec!["router"]));
    let machines: Vec<_> = nodes.chain(routers).collect();
    context.check_limit(machines.iter().cloned())?;
    let chosen = machines.iter().filter(|(name, site, roles)| context.chosen(name, *site, roles));
    Ok(chosen.map(|(name, ..)| (*name).to_owned()).collect())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => "control-plane",
        Role::Etcd => "etcd",
        Role::Worker => "worker",
    }
}
