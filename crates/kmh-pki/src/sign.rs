//! `kmh-pki sign`: a certificate for a key that stays on its machine.

mod set;

use std::path::{Path, PathBuf};

use kmh_cli::{Answer, Common, Context, Env, Exit, Failure, Format, Stream, file};
use serde::Serialize;
use time::OffsetDateTime;

use crate::access::At;
use crate::cert::{Certificate, date, rfc3339};
use crate::csr::{LIMIT, Request, subject};
use crate::issue::Authority;
use crate::observed::{Half, Observed};
use crate::store::{ARCHIVE, Change, Made, Public, Store};
use crate::table::Life;
use crate::want::{Wanted, Wants};
use crate::{TEXT_OR_JSON, TOOL, look, make, outside, plan};

/// Options of `kmh-pki sign`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The request of a machine, PKCS #10 in PEM or DER; `-` is stdin
    #[arg(long, value_name = "FILE", required_unless_present = "requests", conflicts_with = "requests")]
    csr: Option<PathBuf>,
    /// Which certificate of the table it becomes; found by subject and names when left out
    #[arg(long = "as", value_name = "NAME", conflicts_with = "requests")]
    name: Option<String>,
    /// Sign all that `ensure --requests` wrote, with the keys of the store that `--store` names; `-` is stdin
    #[arg(long, value_name = "FILE", requires = "to")]
    requests: Option<PathBuf>,
    /// Write the certificate, or the signed set, to FILE, `-` to stdout; without it, `-o text` prints the certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Replace FILE whatever it is; what this store wrote for the same is replaced without it
    #[arg(long, requires = "to")]
    force: bool,
}

impl Args {
    /// The file that is to be written.
    fn file(&self) -> Option<&Path> {
        self.to.as_deref().filter(|to| !outside::is_stream(to))
    }
}

/// What the verb's help ends with.
pub const EXAMPLES: &str = "\
EXAMPLES
  On the node: a key that never leaves it, and a request for it:
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \\
      -out kubelet-client.key
    openssl req -new -key kubelet-client.key -out kubelet-client.csr \\
      -subj /O=system:nodes/CN=system:node:w-1

  At the store: the certificate, if the inventory gives it to that node:
    kmh-pki sign --csr kubelet-client.csr --to kubelet-client.crt \\
      --store pki -i cluster.yaml

  Where several certificates have the same subject, say which:
    kmh-pki sign --csr peer.csr --as nodes/cp-1/etcd-peer --store pki \\
      -i cluster.yaml -o text

  When the keys of CAs are elsewhere: ask, sign there, import here:
    kmh-pki ensure --requests ask.json --store pki -i cluster.yaml -o text
    kmh-pki sign --requests ask.json --to signed.json --store usb/pki \\
      -i cluster.yaml
    kmh-pki import --signed signed.json --store pki -i cluster.yaml -o text
";

/// The verb.
pub fn run(env: &mut Env, common: &Common, args: &Args, at: &At) -> Exit {
    let named = [("--csr", &args.csr), ("--requests", &args.requests)];
    let stdin = named.map(|(option, path)| outside::refuse_stdin(option, path.as_deref(), env, common));
    if let Some(failure) = stdin.into_iter().find_map(Result::err) {
        return kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |_, _| Err(failure));
    }
    // What goes to stdout by `--to -` is that alone.
    let to_stdout = args.to.is_some() && args.file().is_none();
    let forms = if to_stdout { &[Format::Text] } else { TEXT_OR_JSON };
    kmh_cli::answer(env, TOOL, common, forms, |stream, context, form| match &args.requests {
        Some(requests) => set::run(stream, context, form, (requests, args.file(), args.force), at),
        None => one(stream, context, form, args, at),
    })
}

/// What was signed, as JSON.
#[derive(Serialize)]
struct Signed<'a> {
    name: &'a str,
    issuer: &'a str,
    /// Whether there was nothing to do, because the store holds a good certificate for this key.
    kept: bool,
    /// Names that the inventory gives and the request did not ask for.
    added: Vec<String>,
    not_before: String,
    not_after: String,
    /// Of a certificate that there is: none in a dry run.
    #[serde(flatten)]
    is: Option<Is<'a>>,
}

/// What only a certificate that there is has.
#[derive(Serialize)]
struct Is<'a> {
    serial: &'a str,
    fingerprint: String,
    pem: &'a str,
}

fn one(
    stream: &Stream,
    context: &mut Context<'_>,
    form: Format,
    args: &Args,
    at: &At,
) -> Result<Answer, Failure> {
    let (model, wants) = look::inventory(stream, context)?;
    let path = args.csr.as_deref().unwrap_or(Path::new(""));
    let request = Request::from_file(&outside::read(path, LIMIT, context.env)?).map_err(|why| {
        Failure::wrong(format!("`{}` is no request that can be signed", outside::shown(path))).because(why)
    })?;
    let wanted = find(&request, args.name.as_deref(), &wants, path)?;
    let (now, dry_run) = (context.env.now, context.common.dry_run);
    look::refuse_unset_clock(now)?;
    context.refuse_if_strict()?;
    let store = at.open_there(model.name.as_str(), dry_run, context)?;
    let observed = store.observe(&wants)?;
    if let Some(to) = args.file() {
        let what = format!("certificate of `{}` that this store made", wanted.name);
        outside::refuse_other(to, args.force, &what, |there| is_earlier(there, wanted, &observed, &store))?;
    }
    refuse_pending(&observed, &[&wanted.name])?;
    refuse_known_key(&request, wanted, &observed)?;
    let (issuer, ca) = signer(wanted, &wants, &observed, now, context)?;

    let before = observed.pairs.get(&wanted.name);
    let kept = before.and_then(|pair| match (pair.away(), pair.certificate.there()) {
        (Some(old), Some(certificate))
            if old.public == request.public && old.public == certificate.public =>
        {
            Some(certificate).filter(|is| plan::standing(wanted, is, ca, now).is_empty())
        }
        _ => None,
    });
    let mut staged = None;
    let certificate = if let Some(certificate) = kept {
        if !dry_run {
            staged = args.file().map(|to| file::stage_named(to, certificate.pem.as_bytes())).transpose()?;
        }
        certificate.clone()
    } else {
        let authority = Authority::new(store.key(issuer)?, ca.clone());
        let certificate = make::sign(&authority, wanted, &request, now)?;
        if before.is_some_and(|pair| pair.key != Half::Absent) {
            let goes = if dry_run { "would go" } else { "goes" };
            context.say(&format!(
                "the key that the store held for `{}` {goes} to the archive: from now on its key is on its machine",
                wanted.name
            ));
        }
        if !dry_run {
            // What could fail has, before the store changes.
            staged = args.file().map(|to| file::stage_named(to, certificate.pem.as_bytes())).transpose()?;
            let made = Made { key: None, public: Public::away(certificate.clone(), request.clone()) };
            store.tidy()?;
            store.commit(&Change { made: [(wanted.name.clone(), made)].into(), ..Change::default() })?;
        }
        certificate
    };
    let added: Vec<String> = wanted.names().difference(&request.names()).cloned().collect();
    if !added.is_empty() && kept.is_none() {
        context.detail(&format!("the inventory gives it more names than it asks for: {}", added.join(", ")));
    }
    // What a dry run signed is known to nobody, and nobody gets it.
    let there = kept.is_some() || !dry_run;
    let text = match form {
        Format::Json => crate::json(&Signed {
            name: &wanted.name,
            issuer,
            kept: kept.is_some(),
            added,
            not_before: rfc3339(certificate.not_before),
            not_after: rfc3339(certificate.not_after),
            is: there.then(|| Is {
                serial: &certificate.serial,
                fingerprint: certificate.fingerprint(),
                pem: &certificate.pem,
            }),
        })?,
        _ if args.file().is_none() && (there || args.to.is_some()) => {
            if args.to.is_some() {
                context.say(&told(wanted, &certificate, kept.is_some(), dry_run));
            }
            if there { certificate.pem.clone() } else { String::new() }
        }
        _ => told(wanted, &certificate, kept.is_some(), dry_run),
    };
    if let Some(staged) = staged {
        staged.put()?;
    }
    Ok(Answer { text, exit: Exit::Done })
}

/// Whether a file is a certificate of that name that the store holds, or held: nothing of a store is ever deleted.
fn is_earlier(
    from: &mut std::fs::File,
    wanted: &Wanted,
    observed: &Observed,
    store: &Store,
) -> std::io::Result<bool> {
    let Ok(is) = Certificate::from_pem(&file::up_to(from, LIMIT)?) else { return Ok(false) };
    let current = observed.pairs.get(&wanted.name).and_then(|pair| pair.certificate.there());
    if current.is_some_and(|current| current.digest == is.digest) {
        return Ok(true);
    }
    let kept = store.root().join(format!("{ARCHIVE}/{}.{}.crt", wanted.name, is.serial));
    let kept = file::read_up_to(&kept, LIMIT).ok().and_then(|bytes| Certificate::from_pem(&bytes).ok());
    Ok(kept.is_some_and(|kept| kept.digest == is.digest))
}

fn told(wanted: &Wanted, certificate: &Certificate, kept: bool, dry_run: bool) -> String {
    let done = match (kept, dry_run) {
        (true, _) => "is signed for this key already",
        (false, true) => "would be signed",
        (false, false) => "is signed",
    };
    format!("`{}` {done}, until {}", wanted.name, date(certificate.not_after))
}

/// A killed run's journal must not be overwritten by that of another: what it left would pass for damage.
pub(crate) fn refuse_pending(observed: &Observed, own: &[&str]) -> Result<(), Failure> {
    if observed.pending.iter().all(|name| own.contains(&name.as_str())) {
        return Ok(());
    }
    Err(Failure::world("a run was interrupted while it wrote the store")
        .hint("let `kmh-pki ensure` finish it first"))
}

/// The CA that signs it, by name, if it can now.
pub(crate) fn signer<'a>(
    wanted: &'a Wanted,
    wants: &Wants,
    observed: &'a Observed,
    now: OffsetDateTime,
    context: &mut Context<'_>,
) -> Result<(&'a str, &'a Certificate), Failure> {
    let name = wanted.issuer.as_deref().unwrap_or_default();
    let (found, warnings) = plan::signer(name, wants, observed, now);
    for warning in warnings {
        context.warn(&warning);
    }
    match found {
        Ok(certificate) => Ok((name, certificate)),
        Err((why, hint)) => {
            Err(Failure::world(format!("`{name}` cannot sign `{}`", wanted.name)).because(why).hint(hint))
        }
    }
}

/// A key has one certificate: what one program may do, another one that shares its key may do too.
fn refuse_known_key(request: &Request, wanted: &Wanted, observed: &Observed) -> Result<(), Failure> {
    let other = observed.pairs.iter().find(|(name, pair)| {
        **name != wanted.name
            && pair.certificate.there().is_some_and(|certificate| certificate.public == request.public)
    });
    other.map_or(Ok(()), |(name, _)| {
        Err(Failure::wrong(format!("the key of the request is that of `{name}`"))
            .hint("make a new key for each certificate"))
    })
}

/// The certificate of the table that a request asks for: the one that is named, or the only one that it is right for.
fn find<'a>(
    request: &Request,
    name: Option<&str>,
    wants: &'a Wants,
    path: &Path,
) -> Result<&'a Wanted, Failure> {
    let refused = |wanted: &Wanted, problems: Vec<String>| {
        let place = format!("{}, for {}", outside::shown(path), wanted.name);
        let all = problems.into_iter().map(|problem| Failure::wrong(problem).at(place.clone()));
        Failure::all(all).map_or(Ok(()), Err)
    };
    if let Some(name) = name {
        let wanted = wants.certificates.get(name).ok_or_else(|| {
            Failure::wrong(format!("the inventory has no certificate `{name}`")).hint(close(name, wants))
        })?;
        if wanted.life == Life::Authority {
            return Err(Failure::wrong(format!("`{name}` is a CA: no request of a machine becomes one")));
        }
        return refused(wanted, request.against(wanted)).map(|()| &**wanted);
    }
    let leaves = wants.certificates.values().map(Box::as_ref).filter(|wanted| wanted.life != Life::Authority);
    let mut judged: Vec<(Vec<String>, &Wanted)> = leaves
        .filter(|wanted| request.is_of(wanted))
        .map(|wanted| (request.against(wanted), wanted))
        .collect();
    // The best first: of the two of a kubelet, the one that has names when the request asks for some.
    judged.sort_by_key(|(problems, wanted)| {
        (problems.len(), wanted.names().is_empty() != request.names().is_empty())
    });
    let right: Vec<&str> = judged
        .iter()
        .take_while(|(problems, _)| problems.is_empty())
        .map(|(_, wanted)| wanted.name.as_str())
        .collect();
    match (judged.into_iter().next(), right.len()) {
        (None, _) => Err(Failure::wrong(format!(
            "the inventory has no certificate with the subject `{}`",
            subject(&request.common_name, &request.organizations)
        ))
        .at(outside::shown(path))
        .hint("docs/pki.md has the table; a node's name must be that of the inventory")),
        (Some((problems, wanted)), 0) => refused(wanted, problems).map(|()| wanted),
        (Some((_, wanted)), 1) => Ok(wanted),
        (Some(_), _) => Err(Failure::wrong(format!("the request is right for {}", right.join(", ")))
            .at(outside::shown(path))
            .hint("say with `--as NAME` which it is")),
    }
}

/// What was probably meant.
fn close(name: &str, wants: &Wants) -> String {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let same: Vec<&str> = wants
        .certificates
        .keys()
        .map(String::as_str)
        .filter(|one| one.rsplit('/').next() == Some(stem))
        .take(5)
        .collect();
    if same.is_empty() {
        "names look like `nodes/NODE/kubelet-client`; docs/pki.md has the table".to_owned()
    } else {
        format!("it has {}", same.join(", "))
    }
}
