//! `ensure`: what is missing, wrong or about to end is made, all else stays.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kmh_cli::{Context, Exit, Failure, Outcome, Stream, file};
use kmh_doc::Kind;
use kmh_doc::inventory::Role;
use kmh_doc::pki::{Certificate, PkiSpec};
use kmh_model::{Model, Need};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::access::Access;
use crate::observed::Observed;
use crate::plan::Plan;
use crate::requests::RequestSet;
use crate::store::{Change, Opening, Store};
use crate::want::Wants;
use crate::{ask, cert, document, make, plan, want};

/// What an inventory must have for its PKI: the name by which the API server is called, and somebody to serve it.
pub(crate) const NEEDS: &[Need] = &[Need::Api, Need::Roles];

/// No clock that was ever set shows an earlier time: this program is younger.
pub(crate) const EARLIEST: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// More keys than this that others may read are warned about together.
const FEW: usize = 3;

/// Options of `kmh-pki ensure`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Args {
    /// Write what a CA has to sign whose key is elsewhere to FILE, for `kmh-pki sign --requests`
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
}

/// Brings the store to what the inventory asks.
pub(crate) fn run(
    stream: &Stream,
    context: &mut Context<'_>,
    store: Option<PathBuf>,
    init: bool,
    args: &Args,
    access: &Access,
) -> Result<Outcome<PkiSpec>, Failure> {
    let (document, source) = stream.inventory()?;
    let (model, warnings) =
        kmh_model::load(&document, NEEDS).map_err(|problems| Failure::problems(&source, &problems))?;
    context.warn_all(&source, &warnings);
    let chosen = chosen(&model, context)?;
    let wants = want::wants(&model);
    let path = store.ok_or_else(|| {
        Failure::wrong("no store is named")
            .hint("name it with `--store DIR` or KMH_STORE; `--init` makes a new one")
    })?;

    let (now, dry_run) = (context.env.now, context.common.dry_run);
    if now < EARLIEST {
        let told = cert::date(now);
        return Err(Failure::world(format!("the clock of this machine says {told}"))
            .hint("set it: no certificate can be judged by it, and what it made would have ended long ago"));
    }
    let recipients = access.recipients()?;
    let opening = Opening { cluster: model.name.as_str(), init, dry_run };
    // Everything that can say no without the store has spoken; now, before anything is made, strictness too.
    context.refuse_if_strict()?;
    let store = Store::open_for(&path, opening, recipients.as_ref(), &mut |message| context.say(message))?;
    let mut store = store.map(|store| store.unlock(access.keyring(context.env)));
    let mut observed = match &store {
        Some(store) => store.observe(&wants)?,
        None => Observed::default(),
    };
    let mut plan = plan::plan(&wants, &observed, now, &|machine| chosen.contains(machine));
    if args.requests.is_none() {
        ask::refuse(&mut plan, &wants);
    }
    if !access.repair {
        warn_of_readable(context, &path, &observed.readable);
    }
    report(context, &path, &plan, &observed)?;
    let sealing = match &store {
        Some(store) => store.sealing(recipients.as_ref())?,
        None => None,
    };
    let mended = if access.repair { observed.readable.clone() } else { Vec::new() };

    let before = observed.clone();
    let (id, planned) = match &mut store {
        Some(store) if !dry_run => {
            store.protect(&mended)?;
            if let Some(sealing) = &sealing {
                store.tidy()?;
                store.seal(sealing)?;
            }
            let set = args.requests.as_ref().map(|_| RequestSet::of(model.name.as_str(), store.id()));
            let set = execute(store, &wants, &plan, &mut observed, now, set)?;
            if let (Some(path), Some(set)) = (&args.requests, set) {
                file::write_named(path, set.to_json()?.as_bytes())?;
            }
            (store.id(), &[][..])
        }
        Some(store) => (store.id(), &plan.steps[..]),
        None => ("", &plan.steps[..]),
    };
    let spec = document::spec(id, &wants, &observed, planned);
    let keys = document::Keys { sealing: sealing.as_ref(), mended: &mended, dry_run };
    let message = keys.message() + &document::message(&spec, &plan, &observed, dry_run);
    let all = context.common.limit.is_empty();
    let shown = |one: &Certificate| match &one.machine {
        _ if all => true,
        Some(machine) => chosen.contains(machine),
        None => one.deploy.iter().any(|place| chosen.contains(&place.machine)),
    };
    let text = document::text(&spec, &shown, &plan, &message, (now, dry_run));
    let mut diff = document::diff(&wants, &before, &spec, &plan);
    diff.extend(keys.diff());
    let changed = !plan.steps.is_empty() || sealing.is_some() || !mended.is_empty();
    let steps = Some(document::steps(&plan.steps, &before));
    Ok(Outcome { spec, from: vec![Kind::Inventory], changed, exit: Exit::Done, message, text, diff, steps })
}

/// Makes and writes what the plan names; leaves nothing of an interrupted run behind. Fills the set of requests.
fn execute(
    store: &Store,
    wants: &Wants,
    plan: &Plan,
    observed: &mut Observed,
    now: OffsetDateTime,
    mut set: Option<RequestSet>,
) -> Result<Option<RequestSet>, Failure> {
    store.tidy()?;
    let mut change = Change::from(make::make(store, wants, plan, observed, now)?);
    if let Some(set) = &mut set {
        change.made.extend(ask::ask(plan, wants, observed, set)?);
    }
    // Without `--requests` nobody said that what waits is wanted no more: a due certificate was only told of.
    if set.is_some() {
        change.retired = ask::stale(plan, observed);
    }
    if !change.made.is_empty() || !change.retired.is_empty() {
        store.commit(&change)?;
        make::remember(observed, change.made);
    } else if !observed.pending.is_empty() {
        store.forget_pending()?;
    }
    Ok(set)
}

/// Says what a person must know; with a refusal nothing is done.
fn report(
    context: &mut Context<'_>,
    path: &std::path::Path,
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

/// Git keeps no modes, so after a clone it is every key: one warning then, not one for each.
fn warn_of_readable(context: &mut Context<'_>, path: &std::path::Path, keys: &[String]) {
    if keys.len() > FEW {
        let (count, store) = (keys.len(), path.display());
        context.warn(&format!(
            "{count} keys in store `{store}` can be read by others: `find {store} -name '*.key' -exec chmod 600 {{}} +`"
        ));
        return;
    }
    for key in keys {
        let key = path.join(key);
        context.warn(&format!("key `{0}` can be read by others: `chmod 600 {0}`", key.display()));
    }
}

/// The machines that `--limit` chooses.
fn chosen(model: &Model, context: &Context<'_>) -> Result<BTreeSet<String>, Failure> {
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
