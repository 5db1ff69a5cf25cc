//! `import`: a PKI that kubeadm or a guide made becomes a store. What is sound is kept as it is, what is not is told,
//! and the next `ensure` makes it.

pub mod config;
mod finding;
mod gather;
mod judge;
mod report;
mod rotation;
mod source;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kmh_cli::{Answer, Common, Context, Env, Exit, Failure, Format, Stream};
use kmh_model::Model;
use time::OffsetDateTime;

use self::finding::{Finding, Level};
use self::gather::Gathered;
use self::judge::{ENCRYPTION, Judged, SERVICE_ACCOUNT};
use self::source::Source;
use crate::access::At;
use crate::layout::Layout;
use crate::observed::{Bare, Half, Observed, Pair};
use crate::secret::Secret;
use crate::store::{Change, Made, Public, Store};
use crate::want::Wants;
use crate::{TEXT_OR_JSON, TOOL, import_signed, look, outside};

/// The arguments of `import`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The folder to read, or NODE=DIR for one machine's; may be repeated
    #[arg(long, value_name = "DIR", required_unless_present = "signed")]
    from: Vec<String>,
    /// Whose names the files have; found by itself when it is left out
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Layout>,
    /// What `kmh-pki sign --requests` wrote, or certificates in PEM from a CA that is not kmh-pki's; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "layout"])]
    signed: Option<PathBuf>,
}

pub(crate) const EXAMPLES: &str = "\
EXAMPLES
  What of a kubeadm cluster would be taken, and what is not sound:
    kmh-pki import --from /etc/kubernetes --dry-run --init --store pki \\
      -i cluster.yaml -o text

  Three machines of a control plane, fetched before:
    kmh-pki import --from cp-1=a --from cp-2=b --from cp-3=c --init \\
      --store pki -i cluster.yaml

  The folder in which a cluster was made the hard way:
    kmh-pki import --from ~ --layout hard-way --init --store pki \\
      -i cluster.yaml
";

/// Octets of an encryption key that is made.
const ENCRYPTION_KEY: usize = 32;

/// Runs it.
pub(crate) fn run(env: &mut Env, common: &Common, args: &Args, at: &At) -> Exit {
    if let Err(failure) = outside::refuse_stdin("--signed", args.signed.as_deref(), env, common) {
        return kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |_, _| Err(failure));
    }
    kmh_cli::answer(env, TOOL, common, TEXT_OR_JSON, |stream, context, format| match &args.signed {
        Some(file) => import_signed::run(stream, context, format, file, at),
        None => import(args, stream, context, format, at),
    })
}

fn import(
    args: &Args,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
    at: &At,
) -> Result<Answer, Failure> {
    let (model, wants) = look::inventory(stream, context)?;
    let path = at.named()?;
    let (now, dry_run) = (context.env.now, context.common.dry_run);
    look::refuse_unset_clock(now)?;
    if !context.common.limit.is_empty() {
        return Err(Failure::wrong("`import` takes a whole PKI, and knows no `--limit`")
            .hint("name the folders that it shall read with `--from`"));
    }
    let sources = args.from.iter().map(|from| read(from, &model)).collect::<Result<Vec<_>, _>>()?;
    let (layout, gathered, judged) = examine(&sources, args.layout, &model, &wants, now)?;
    refuse_useless(&gathered, &judged)?;
    let strict = context.common.strict;
    // Of a rotation the answer alone does not speak loud enough: nobody reads JSON.
    let told = |one: &&Finding| one.loud || (strict && one.level == Level::Warning);
    for one in judged.findings.iter().filter(told) {
        context.warn(&format!("{}: {}", one.file, one.text));
    }
    context.refuse_if_strict()?;

    let recipients = at.access.recipients()?;
    let store = at.open(model.name.as_str(), dry_run, recipients.as_ref(), context)?;
    let there = match &store {
        Some(store) => store.observe(&wants)?,
        None => Observed::default(),
    };
    let made = made(gathered, &judged, &there, store.as_ref())?;
    let rows = report::rows(&made);
    let made: BTreeMap<String, Made> = made.into_iter().map(|(name, one)| (name, one.made)).collect();
    let changed = !made.is_empty();
    if let Some(store) = &store
        && changed
        && !dry_run
    {
        store.tidy()?;
        store.commit(&Change::from(made))?;
    }
    let told = report::Told {
        store: store.as_ref().map(Store::id).unwrap_or_default(),
        layout: layout.name(),
        dry_run,
        imported: rows,
        findings: judged.findings,
        next: judged.next,
    };
    let text = if format == Format::Json { told.json()? } else { told.text(path) };
    Ok(Answer { text, exit: Exit::Done })
}

/// Looks through folders that were read. Pure.
fn examine(
    sources: &[Source],
    layout: Option<Layout>,
    model: &Model,
    wants: &Wants,
    now: OffsetDateTime,
) -> Result<(Layout, Gathered, Judged), Failure> {
    let layout = layout.map_or_else(|| view::detect(sources), Ok)?;
    let views = view::views(sources, layout, model)?;
    let mut gathered = gather::gather(&views, layout, wants)?;
    let judged = judge::judge(wants, &mut gathered, now);
    Ok((layout, gathered, judged))
}

/// What an import would take of files in memory, by name, and how many findings it would tell.
pub fn of_files(
    files: BTreeMap<String, Vec<u8>>,
    model: &Model,
    now: OffsetDateTime,
) -> Result<(BTreeMap<String, Box<Pair>>, usize), Failure> {
    let files = files.into_iter().map(|(path, bytes)| (path, bytes.into())).collect();
    let source = Source { machine: None, path: PathBuf::new(), files, skipped: Vec::new() };
    let (_, _, judged) = examine(&[source], None, model, &crate::want::wants(model), now)?;
    Ok((judged.observed.pairs, judged.findings.len()))
}

/// Reads one folder; what stands before `=` is a machine only where the inventory has it.
fn read(from: &str, model: &Model) -> Result<Source, Failure> {
    let known =
        |name: &str| model.nodes.keys().any(|node| node.as_str() == name) || model.router(name).is_some();
    match from.split_once('=') {
        None if from.is_empty() || from == "-" => {
            Err(Failure::wrong(format!("`--from {from}` names no folder"))
                .hint("name the folder that holds `ca.crt`, such as /etc/kubernetes"))
        }
        Some((name, "")) if known(name) => Err(Failure::wrong(format!("no folder is named for `{name}`"))
            .hint(format!("write `--from {name}=DIR`"))),
        Some((name, path)) if known(name) => source::read(Some(name.to_owned()), Path::new(path)),
        // A folder may have such a name itself.
        Some((name, _)) if !name.contains('/') && !Path::new(from).exists() => {
            let nodes = model.nodes.keys().map(kmh_doc::Label::as_str);
            let routers = model.routers.iter().map(|router| router.name.as_str());
            let machines: Vec<&str> = nodes.chain(routers).collect();
            Err(Failure::wrong(format!("the inventory has no machine `{}`", name.escape_debug()))
                .at(format!("--from {from}"))
                .hint(format!("the machines are {}", machines.join(", "))))
        }
        _ => source::read(None, Path::new(from)),
    }
}

/// What cannot become the store of a cluster that runs.
fn refuse_useless(gathered: &Gathered, judged: &Judged) -> Result<(), Failure> {
    let because = |failure: Failure, name: &str| {
        let whys = judged.findings.iter().filter(|one| one.name.as_deref() == Some(name));
        whys.fold(failure, |failure, one| failure.because(format!("{}: {}", one.file, one.text)))
    };
    let authority = "ca/cluster";
    let no_authority = (!gathered.pairs.contains_key(authority)).then(|| {
        let failure = Failure::wrong("no CA of a cluster is among the files that could be taken");
        because(failure, authority).hint("name the folder that holds `ca.crt`, such as /etc/kubernetes")
    });
    let no_key = gathered.service_account.is_none().then(|| {
        Failure::wrong("the key of service accounts is not among the files")
            .because("without it every service-account token is void")
            .hint("it is `sa.key`, or `service-account.key`, on the machines of the control plane")
    });
    Failure::all(no_authority.into_iter().chain(no_key)).map_or(Ok(()), Err)
}

/// Something that is imported.
struct Import {
    made: Made,
    file: String,
}

/// What goes into the store: all that was found sound and is not there already. What is there and differs stays, and
/// refuses all.
fn made(
    gathered: Gathered,
    judged: &Judged,
    there: &Observed,
    store: Option<&Store>,
) -> Result<BTreeMap<String, Import>, Failure> {
    let mut imports = BTreeMap::new();
    let mut failures = Vec::new();
    let mut differs = |name: &str| {
        failures.push(
            Failure::wrong(format!("the store holds `{name}` already, and it is not the one of the files"))
                .hint("an import replaces nothing: name a new store"),
        );
    };
    for (name, one) in gathered.pairs {
        let pair = judged.observed.pairs.get(&name).cloned().unwrap_or_default();
        let (certificate, file) = (one.certificate, one.file);
        match there.pairs.get(&name) {
            None => {
                let public =
                    Public::Certificate(Box::new(Pair { certificate: Half::There(certificate), ..*pair }));
                let key = one.key.ok().map(|key| key.secret);
                imports.insert(name, Import { made: Made { key, public }, file });
            }
            Some(old)
                if old.certificate == pair.certificate
                    && (pair.key == Half::Absent || old.key == pair.key) => {}
            Some(_) => differs(&name),
        }
    }
    let held = |name: &str| there.keys.get(name).filter(|half| **half != Half::Absent);
    if let Some(one) = gathered.service_account {
        let public = Bare { public: Some(one.key.public_pem), ..Bare::default() };
        match held(SERVICE_ACCOUNT) {
            None => {
                let made = Made { key: Some(one.key.secret), public: Public::Bare(public) };
                imports.insert(SERVICE_ACCOUNT.to_owned(), Import { made, file: one.file });
            }
            Some(Half::There(old)) if *old == public => {}
            Some(_) => differs(SERVICE_ACCOUNT),
        }
    }
    let bare = |key: Secret| {
        let public = Bare { id: Some(key.id()), ..Bare::default() };
        Made { key: Some(key), public: Public::Bare(public) }
    };
    match (gathered.encryption, held(ENCRYPTION), store) {
        (Some(one), Some(_), Some(store)) => {
            if store.secret_of(ENCRYPTION)?.octets() != one.found.key.octets() {
                differs(ENCRYPTION);
            }
        }
        (None, Some(_), _) => {}
        (Some(one), ..) => {
            imports.insert(ENCRYPTION.to_owned(), Import { made: bare(one.found.key), file: one.file });
        }
        (None, None, _) => {
            let fail = |why| Failure::world(format!("cannot make `{ENCRYPTION}`")).because(why);
            let key = Secret::random(ENCRYPTION_KEY).map_err(fail)?;
            imports.insert(ENCRYPTION.to_owned(), Import { made: bare(key), file: String::new() });
        }
    }
    Failure::all(failures).map_or(Ok(imports), Err)
}
