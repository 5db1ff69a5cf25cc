//! `export`: the PKI in the folders that other tools know, or the store itself as one tar file.
//!
//! An export is a further place where keys lie, so it is asked for by name, is for its owner alone, and keeps itself
//! out of git. It is written whole beside its place and then put there in one step.

mod entries;
mod folder;
mod tar;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use kmh_cli::{Answer, Common, Context, Env, Exit, Failure, Format, Stream, file};

use crate::access::At;
use crate::layout::Layout;
use crate::look::{self, Ground};
use crate::observed::Observed;
use crate::secret::Secret;
use crate::table::Life;
use crate::want::Wants;
use crate::{TEXT_OR_JSON, TOOL, outside, plan};

/// A file of an export.
pub struct Entry {
    /// Its path in the export, without a slash at its beginning.
    pub path: String,
    /// Its mode.
    pub mode: u32,
    /// What it holds; cleared when it is dropped, for most hold a key.
    pub content: Secret,
    /// Its time, in seconds since 1970: the start of the certificate that it belongs to, or zero.
    pub time: u64,
}

/// The arguments of `export`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// kubeadm and hard-way: one folder for each machine; tar: the store itself
    #[arg(long, value_name = "LAYOUT")]
    layout: Form,
    /// The folder or tar file to make; `-` writes a tar to a pipe
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: PathBuf,
    /// With the keys of the CAs and the break-glass admin, which no machine needs
    #[arg(long)]
    with_ca_keys: bool,
    /// Replace FILE whatever it is; an earlier tar of the same store is replaced without it
    #[arg(long)]
    force: bool,
}

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Below NODE/etc/kubernetes, as kubeadm 1.36 has it
    Kubeadm,
    /// NODE/, with the flat names of the guides that set a cluster up the hard way
    HardWay,
    /// The store itself in one file
    Tar,
}

pub(crate) const EXAMPLES: &str = "\
EXAMPLES
  For kubeadm, or to look at: a folder for each machine:
    kmh-pki export --layout kubeadm --to out --store pki -i cluster.yaml

  The control plane's, with the names of the guides:
    kmh-pki export --layout hard-way --to flat --limit role=control-plane \\
      --store pki -i cluster.yaml

  A backup of the store, with the keys of its CAs:
    kmh-pki export --layout tar --with-ca-keys --to - --store pki \\
      -i cluster.yaml | gpg --symmetric >pki.tar.gpg
";

/// Runs it.
pub(crate) fn run(env: &mut Env, common: &Common, args: &Args, at: &At) -> Exit {
    kmh_cli::answer(env, TOOL, common, TEXT_OR_JSON, |stream, context, format| {
        export(args, stream, context, format, at)
    })
}

fn export(
    args: &Args,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
    at: &At,
) -> Result<Answer, Failure> {
    let pipe = outside::is_stream(&args.to);
    if pipe {
        refuse_pipe(args, context)?;
    }
    refuse_mixed(args, context)?;
    // Looking only: nothing is made, not even a store.
    let Ground { model, mut wants, chosen, store } = look::ground(stream, context, at, false)?;
    let (path, now) = (store.root().to_owned(), context.env.now);
    let observed = store.observe(&wants)?;
    wants.add_generations(&observed);
    let chosen = |machine: &str| chosen.contains(machine);
    let plan = plan::plan(&wants, &observed, now, &chosen);
    refuse_unfinished(context, &path, &plan, &wants, &observed)?;
    if args.layout == Form::Tar && !pipe {
        outside::refuse_other(&args.to, args.force, "tar of this store", |file| {
            tar::is_of(file, store.id())
        })?;
    }
    context.refuse_if_strict()?;

    let mut entries = match args.layout {
        Form::Kubeadm | Form::HardWay => {
            let layout = if args.layout == Form::Kubeadm { Layout::Kubeadm } else { Layout::HardWay };
            let ground = entries::Ground { model: &model, wants: &wants, observed: &observed, store: &store };
            entries::of(&ground, layout, &chosen, args.with_ca_keys)?
        }
        Form::Tar => tar::entries(store.root(), args.with_ca_keys)?,
    };
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let changed = match (args.layout, context.common.dry_run) {
        (_, true) => true,
        (Form::Tar, false) => {
            let bytes = tar::write(&entries)?;
            if pipe { outside::send(context, &bytes)? } else { file::write(&args.to, &bytes, 0o600)? }
        }
        (_, false) => folder::write(&args.to, store.id(), &entries)?,
    };
    let lacks =
        if args.layout == Form::Tar { lacks(&wants, &entries, args.with_ca_keys) } else { String::new() };
    if pipe {
        // The tar is the answer.
        context.say(&lacks);
        return Ok(Answer { text: String::new(), exit: Exit::Done });
    }
    let mut text = told(args, context, format, &entries, changed)?;
    match format {
        Format::Json => context.say(&lacks),
        _ if lacks.is_empty() => {}
        _ => text = format!("{text}\n{lacks}"),
    }
    Ok(Answer { text, exit: Exit::Done })
}

/// What a tar lacks that a backup should have: nobody finds out on the day when it is needed.
fn lacks(wants: &Wants, entries: &[Entry], with_ca_keys: bool) -> String {
    let there = |name: &str| {
        let file = format!("{name}.key");
        entries.iter().any(|one| one.path.strip_prefix(&file).is_some_and(|rest| matches!(rest, "" | ".age")))
    };
    let authorities = wants.certificates.values().filter(|wanted| wanted.life == Life::Authority);
    let away: Vec<&str> =
        authorities.map(|wanted| wanted.name.as_str()).filter(|name| !there(name)).collect();
    match (away.is_empty(), with_ca_keys) {
        (true, _) => String::new(),
        (false, false) => "no key of a CA is in it: `--with-ca-keys` makes a whole backup".to_owned(),
        (false, true) => {
            format!("keys that are not in the store are not in it either: {}", away.join(", "))
        }
    }
}

/// A tar may go down a pipe, never to a terminal; folders cannot.
fn refuse_pipe(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    if args.layout != Form::Tar {
        return Err(Failure::wrong("`--to -` is for a tar; this layout is a folder")
            .hint("name a folder, or choose `--layout tar`"));
    }
    if context.common.write.is_some() {
        return Err(Failure::wrong("`--write` takes what is printed, and `--to -` prints the tar alone")
            .hint("name the file with `--to`"));
    }
    if context.env.stdout_is_terminal {
        return Err(Failure::wrong("keys are not written to a terminal")
            .hint("name a file with `--to FILE`, or send the tar to another program"));
    }
    Ok(())
}

/// What does not go together: a tar is the whole store or no backup, and a folder is never replaced by force.
fn refuse_mixed(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    if args.layout == Form::Tar && !context.common.limit.is_empty() {
        return Err(Failure::wrong("a tar is the whole store, and takes no `--limit`")
            .because("a backup that lacks machines would look like any other")
            .hint("leave `--limit` out; the other layouts make a folder for each machine"));
    }
    if args.force && (args.layout != Form::Tar || outside::is_stream(&args.to)) {
        return Err(Failure::wrong("`--force` replaces a file, and none is named")
            .hint("name an empty or a new folder, or remove the old one"));
    }
    Ok(())
}

/// What the store lacks cannot be exported, and what is damaged must not be.
fn refuse_unfinished(
    context: &mut Context<'_>,
    path: &Path,
    plan: &plan::Plan,
    wants: &Wants,
    observed: &Observed,
) -> Result<(), Failure> {
    let refusals = plan.refusals.iter().map(|refusal| {
        Failure::world(&refusal.what).at(path.join(&refusal.name).display().to_string()).hint(&refusal.hint)
    });
    Failure::all(refusals).map_or(Ok(()), Err)?;
    let there = |name: &str| {
        if wants.certificates.contains_key(name) {
            observed.pairs.get(name).is_some_and(|pair| pair.certificate.there().is_some())
        } else {
            observed.keys.get(name).is_some_and(|half| half.there().is_some())
        }
    };
    let (old, missing): (Vec<_>, Vec<_>) =
        plan.steps.iter().chain(&plan.asked).partition(|step| there(&step.name));
    if let Some(first) = missing.first() {
        let more = match missing.len() - 1 {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let failure = Failure::wrong(format!(
            "store `{}` does not hold `{}`{more} that the inventory asks for",
            path.display(),
            first.name
        ));
        let asked = missing.iter().filter(|step| plan.asked.contains(step));
        let cas: BTreeSet<&str> =
            asked.filter_map(|step| wants.certificates.get(&step.name)?.issuer.as_deref()).collect();
        let here = missing.iter().any(|step| plan.steps.contains(step));
        let ensure = here.then(|| "have it made first: `kmh-pki ensure`".to_owned());
        let hints = ensure.into_iter().chain(cas.into_iter().map(look::away));
        return Err(hints.fold(failure, Failure::hint));
    }
    if let Some(first) = old.first() {
        let what = match old.len() {
            1 => format!("`{}` is", first.name),
            count => format!("{count} certificates are"),
        };
        context.warn(&format!(
            "{what} exported as the store has them, and the next `ensure` makes them again: {}",
            first.why()
        ));
    }
    Ok(())
}

fn told(
    args: &Args,
    context: &Context<'_>,
    format: Format,
    entries: &[Entry],
    changed: bool,
) -> Result<String, Failure> {
    let dry_run = context.common.dry_run;
    if format == Format::Json {
        let files: Vec<_> = entries
            .iter()
            .map(|one| serde_json::json!({"path": one.path, "mode": format!("{:04o}", one.mode)}))
            .collect();
        let layout = args.layout.to_possible_value().map(|value| value.get_name().to_owned());
        let told = serde_json::json!({
            "to": args.to, "layout": layout, "dry_run": dry_run, "changed": changed, "files": files,
        });
        return crate::json(&told);
    }
    let count = match entries.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let place = args.to.display();
    if dry_run {
        let names = entries.iter().map(|one| format!("{:04o}  {}\n", one.mode, one.path));
        return Ok(names.collect::<String>() + &format!("would write {count} to `{place}`"));
    }
    Ok(if changed {
        format!("wrote {count} to `{place}`: keys are among them")
    } else {
        format!("nothing to do: `{place}` holds the same {count}")
    })
}
