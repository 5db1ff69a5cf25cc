//! `rotate`: a CA, the key of service accounts or the encryption key is replaced in stages, none of which breaks what
//! runs. Each call goes one stage on and says what has to follow; the next is refused until that is known to be done.

mod asked;
pub mod commands;
pub mod guide;
pub mod plan;
pub mod proof;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_doc::pki::{Generation, Rotating, Stage};
use kmh_doc::{Digest, Kind};
use kmh_model::Model;
use serde::Serialize;

use crate::access::At;
use crate::observed::Observed;
use crate::plan::Plan;
use crate::store::{Change, Store};
use crate::want::Wants;
use crate::{clock, document, ensure, look, make, requests};
use commands::Commands;
use guide::{Guide, Todo};
use plan::{Act, Decision, Objection, Proof, Situation};

/// Options of `rotate`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Args {
    /// What goes one stage on: a CA or a key; without it, what is under way is shown
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(Rotating::ALL.map(Rotating::as_str)))]
    name: Option<String>,
    /// What the last stage asks for is done: deployed, and what no report shows, too
    #[arg(long, requires = "name")]
    deployed: bool,
    /// Take back a rotation whose next generation is only trusted yet
    #[arg(long, requires = "name", conflicts_with = "deployed")]
    abort: bool,
    /// The first stage where the root's key is elsewhere: write what it has to sign to FILE, for `kmh-pki sign --requests`
    #[arg(long, value_name = "FILE", requires = "name", conflicts_with_all = ["deployed", "abort"])]
    pub(crate) requests: Option<PathBuf>,
    /// Replace FILE whatever it is; an earlier request set of the same store is replaced without it
    #[arg(long, requires = "requests")]
    force: bool,
}

pub(crate) const EXAMPLES: &str = "\
EXAMPLES
  What can be rotated, and what is under way:
    kmh-pki rotate --store pki -i cluster.yaml

  What the first stage would do, and what has to follow it:
    kmh-pki rotate etcd --dry-run --store pki -i cluster.yaml

  One stage on, because a push shows that the last one is deployed:
    kmh-push -i stream.json --store pki --to ssh | kmh-check |
      kmh-pki rotate etcd --store pki

  One stage on, because you say so:
    kmh-pki rotate etcd --deployed --store pki -i cluster.yaml

  The first stage where the root's key is elsewhere:
    kmh-pki rotate etcd --requests ask.json --store pki -i cluster.yaml
    kmh-pki sign --requests ask.json --to signed.json --store usb/pki \\
      -i cluster.yaml
    kmh-pki import --signed signed.json --store pki -i cluster.yaml -o text

EXIT CODES
  0  it went one stage on, or would
  1  it did not, and why
  2  the call or a document is wrong
  3  the store or the world failed
";

/// What is printed in JSON of one rotation.
#[derive(Serialize)]
struct Said {
    /// What is rotated.
    rotation: Rotating,
    /// The stage before.
    was: Option<Stage>,
    /// The stage after.
    stage: Option<Stage>,
    /// Whether the store was changed, or with `--dry-run` would be.
    changed: bool,
    dry_run: bool,
    /// Why not.
    refused: Vec<Refused>,
    /// What the store makes, moves and retires.
    store: Changes,
    /// What has to follow, in order.
    todo: Vec<Todo>,
}

#[derive(Serialize)]
struct Refused {
    what: String,
    hint: String,
}

#[derive(Default, Serialize)]
struct Changes {
    made: Vec<String>,
    moved: Vec<[String; 2]>,
    archived: Vec<String>,
}

/// What is printed in JSON of all rotations.
#[derive(Serialize)]
struct Overview {
    rotations: Vec<Row>,
}

/// A rotation in the overview.
#[derive(Serialize)]
struct Row {
    rotation: Rotating,
    stage: Option<Stage>,
    /// Until when the current generation is good; none for a key.
    not_after: Option<String>,
    /// What the next call would do.
    next: &'static str,
    /// Why it would be refused, were the last stage deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// What was opened.
struct Opened {
    model: Model,
    store: Store,
    wants: Wants,
    observed: Observed,
}

/// The answer.
pub(crate) fn run(
    args: &Args,
    at: &At,
    stream: &Stream,
    context: &mut Context<'_>,
    form: Format,
) -> Result<Answer, Failure> {
    let name = args.name.as_deref();
    let name = name.and_then(|name| Rotating::ALL.into_iter().find(|one| one.as_str() == name));
    refuse_idle(args, at, context)?;
    let path = at.named()?;
    if let Some(file) = &args.requests {
        requests::refuse_target(file, args.force, path)?;
    }
    let mut opened = open(at, stream, context)?;
    let now = context.env.now;
    let mut found = crate::plan::plan(&opened.wants, &opened.observed, now, &|_| true);
    let refusals = plan::refusals(&found, &opened.wants, &opened.observed, now);
    let refusals: Vec<_> = refusals.into_iter().cloned().collect();
    found.refusals = refusals;
    ensure::report(context, path, &found, &opened.observed)?;

    let Some(name) = name else { return overview(&opened, &found, form) };
    if let Some(doubt) = clock::doubt(&opened.wants, &opened.observed, now).filter(|_| !at.access.expired) {
        return Err(doubt);
    }
    let is_idle =
        plan::stage(name, &opened.wants).is_none() && asked::waits(name, &opened.observed).is_none();
    if args.deployed && opened.wants.has(&name.subject()) && is_idle {
        let name = name.as_str();
        return Err(Failure::wrong(format!(
            "no rotation of `{name}` is under way, so nothing of it is deployed"
        ))
        .hint(format!("without `--deployed`, `kmh-pki rotate {name}` begins one")));
    }
    let proof = proof(args, name, stream, &opened)?;
    let Opened { model, wants, observed, .. } = &opened;
    let situation = Situation { model, wants, observed, plan: &found, proof: &proof };
    let decided = match &args.requests {
        Some(_) => asked::decide(&situation, name, now),
        None => plan::decide(&situation, name, args.abort),
    };
    let decision = match decided {
        Ok(decision) => decision,
        Err(objections) => return refuse(name, &opened.wants, objections, context.common.dry_run, form),
    };
    let dry_run = context.common.dry_run;
    let is_asked = asked::concerns(decision);
    if is_asked {
        asked::carry_out(decision, &opened, args.requests.as_deref(), dry_run)?;
    } else {
        carry_out(decision, &mut opened, now, dry_run)?;
    }
    let identity = at.access.identity(context.env);
    let commands = Commands::new(path, stream.inventory_file(), identity.as_deref(), at.access.expired);
    let guide = Guide { model: &opened.model, wants: &opened.wants, commands: &commands };
    let todo = guide::guide(&guide, decision);
    let todo = if is_asked { asked::todo(args.requests.as_deref(), &commands, todo) } else { todo };
    let said = Said {
        rotation: name,
        was: decision.was,
        stage: decision.stage,
        changed: true,
        dry_run,
        refused: vec![],
        store: if is_asked { asked::changes(decision) } else { changes(decision) },
        todo,
    };
    let text =
        if form == Format::Json { crate::json(&said)? } else { text::done(decision, dry_run, &said.todo) };
    Ok(Answer { text, exit: Exit::Done })
}

/// Refuses what the command line says and a rotation does not heed.
fn refuse_idle(args: &Args, at: &At, context: &Context<'_>) -> Result<(), Failure> {
    let access = &at.access;
    let refusals = [
        (
            !context.common.limit.is_empty(),
            "a rotation concerns the whole cluster, and takes no `--limit`",
            "leave it out; `kmh-push --limit` chooses machines",
        ),
        (
            access.repair,
            "a rotation mends no modes, and takes no `--repair`",
            "`kmh-pki ensure --repair` mends those of keys that others may read",
        ),
        (
            access.names_recipients(),
            "a rotation encrypts what it makes as the store is, and takes neither `--recipient` nor `--recipients`",
            "`kmh-pki ensure --recipient …` says to whom the keys of a store are encrypted",
        ),
        (
            access.expired && args.name.is_none(),
            "without a name nothing is made, so `--expired` says nothing",
            "leave it out",
        ),
    ];
    let refusals = refusals.into_iter().filter(|(given, ..)| *given);
    Failure::all(refusals.map(|(_, what, hint)| Failure::wrong(what).hint(hint))).map_or(Ok(()), Err)
}

/// Opens the store and looks at it.
fn open(at: &At, stream: &Stream, context: &mut Context<'_>) -> Result<Opened, Failure> {
    let (model, mut wants) = look::inventory(stream, context)?;
    look::refuse_unset_clock(context.env.now)?;
    context.refuse_if_strict()?;
    let store = at.open_there(model.name.as_str(), context.common.dry_run, context)?;
    let observed = store.observe(&wants)?;
    wants.add_generations(&observed);
    Ok(Opened { model, store, wants, observed })
}

/// Whether what the store gives now is deployed.
fn proof(args: &Args, name: Rotating, stream: &Stream, opened: &Opened) -> Result<Proof, Failure> {
    if args.deployed {
        return Ok(Proof::Said);
    }
    if args.abort || plan::stage(name, &opened.wants).is_none() {
        return Ok(Proof::None("nothing need be".to_owned()));
    }
    let spec = document::spec(opened.store.id(), &opened.wants, &mut opened.observed.clone(), &[]);
    let digest = Digest::of(Kind::Pki.as_str(), &spec)
        .map_err(|error| Failure::world("the PKI document has no digest").because(error))?;
    let nodes = opened.model.nodes.keys().map(AsRef::as_ref);
    let routers = opened.model.routers.iter().map(|router| router.name.as_str());
    let machines: BTreeSet<&str> = nodes.chain(routers).collect();
    proof::shown(stream, &digest, &machines)
}

/// Does what was decided: in the store, or with a dry run only in what is known of it.
fn carry_out(
    decision: Decision,
    opened: &mut Opened,
    now: time::OffsetDateTime,
    dry_run: bool,
) -> Result<(), Failure> {
    let Opened { store, wants, observed, .. } = opened;
    if decision.act == Act::Begin {
        wants.add_generation(decision.name, Generation::Next);
        wants.name_next(decision.name, observed);
    }
    if !dry_run {
        store.tidy()?;
        let made = make::make(store, wants, &plan::made(decision), observed, now)?;
        store.commit(&Change { made, moves: plan::moves(decision), retired: plan::retired(decision) })?;
    }
    match decision.act {
        Act::Switch => {
            wants.remove(&plan::generation(decision.name, Generation::Next));
            wants.add_generation(decision.name, Generation::Old);
        }
        Act::End | Act::Abort => plan::retired(decision).iter().for_each(|name| wants.remove(name)),
        Act::Begin => {}
    }
    Ok(())
}

fn changes(decision: Decision) -> Changes {
    Changes {
        made: plan::made(decision).steps.into_iter().map(|step| step.name).collect(),
        moved: plan::moves(decision).into_iter().map(|(from, to)| [from, to]).collect(),
        archived: plan::retired(decision),
    }
}

fn refuse(
    name: Rotating,
    wants: &Wants,
    objections: Vec<Objection>,
    dry_run: bool,
    form: Format,
) -> Result<Answer, Failure> {
    let was = plan::stage(name, wants);
    if form != Format::Json {
        return Ok(Answer { text: text::refused(name, was, &objections), exit: Exit::No });
    }
    let refused = objections.into_iter().map(|one| Refused { what: one.what, hint: one.hint }).collect();
    let said = Said {
        rotation: name,
        was,
        stage: was,
        changed: false,
        dry_run,
        refused,
        store: Changes::default(),
        todo: vec![],
    };
    Ok(Answer { text: crate::json(&said)?, exit: Exit::No })
}

/// Every rotation that there can be.
fn overview(opened: &Opened, found: &Plan, form: Format) -> Result<Answer, Failure> {
    let rows: Vec<Row> = Rotating::ALL
        .into_iter()
        .filter(|name| opened.wants.has(&name.subject()))
        .map(|rotation| {
            let pair = opened.observed.pairs.get(&rotation.subject());
            let certificate = pair.and_then(|pair| pair.certificate.there());
            let stage = plan::stage(rotation, &opened.wants);
            let Opened { model, wants, observed, .. } = opened;
            let said = Situation { model, wants, observed, plan: found, proof: &Proof::Said };
            let objection = plan::decide(&said, rotation, false).err().and_then(|all| all.into_iter().next());
            Row {
                rotation,
                stage,
                not_after: certificate.map(|ca| crate::cert::rfc3339(ca.not_after)),
                next: text::next(rotation, stage),
                refused: objection.map(|objection| objection.what),
            }
        })
        .collect();
    let text = if form == Format::Json {
        crate::json(&Overview { rotations: rows })?
    } else {
        text::overview(rows.iter().map(|row| {
            let next =
                row.refused.as_ref().map_or_else(|| row.next.to_owned(), |why| format!("refused: {why}"));
            (row.rotation, row.stage, row.not_after.as_deref(), next)
        }))
    };
    Ok(Answer { text, exit: Exit::Done })
}
