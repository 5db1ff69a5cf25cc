//! The frame of every filter verb: read the stream, run, write the stream or the chosen form.

use kmh_doc::step::Step;
use kmh_doc::{Digest, Kind, Spec};
use serde::Serialize;

use crate::args::{Common, Format};
use crate::context::Context;
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stream::Stream;
use crate::text::printable;
use crate::{file, output, schema};

/// The own document's spec, on its way out.
pub enum Body<T> {
    /// Still to be written.
    Value(T),
    /// Written already.
    Written(Written),
}

impl<T> From<T> for Body<T> {
    fn from(spec: T) -> Self {
        Self::Value(spec)
    }
}

/// A spec as JSON text, and the digest of its document.
pub struct Written {
    /// The text.
    pub text: String,
    /// The digest.
    pub digest: Digest,
}

impl Written {
    /// Of a spec. What it was made of goes as soon as it is text: of a large cluster, no more than the text and pieces of
    /// its canonical form are held at once.
    pub fn of<T: Spec>(spec: T) -> Result<Self, Failure> {
        let text = serde_json::to_string(&spec).map_err(unwritable::<T>)?;
        drop(spec);
        let digest = Digest::of_json(T::KIND.as_str(), &text).map_err(|defect| {
            unwritable::<T>(serde::de::Error::custom(format!("at spec.{}: {defect}", defect.path)))
        })?;
        Ok(Self { text, digest })
    }
}

fn unwritable<T: Spec>(error: serde_json::Error) -> Failure {
    Failure::wrong(format!("cannot write the `{}` document", T::KIND)).because(error)
}

/// What a filter verb made.
pub struct Outcome<T> {
    /// The own document's spec.
    pub spec: Body<T>,
    /// The kinds it was computed from; their digests are taken from the stream. Empty for reports.
    pub from: Vec<Kind>,
    /// Whether something in the world (store, machines) was changed, or with `--dry-run` would be.
    pub changed: bool,
    /// Exit code: `Done`, or `No` / `World` with a document that says so.
    pub exit: Exit,
    /// One line: what happened.
    pub message: String,
    /// What `-o text` prints.
    pub text: String,
    /// What changed, for `-o ansible` and `-v`. Secrets masked.
    pub diff: Vec<Diff>,
    /// What was done and why, for `-o ansible`; none of a tool that decides nothing.
    pub steps: Option<Vec<Step>>,
}

/// A change, in the shape that Ansible prints.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Diff {
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
    /// Name of the old.
    pub before_header: String,
    /// Name of the new.
    pub after_header: String,
}

/// Runs a filter verb from the parsed command line to the exit code.
pub fn filter<T: Spec>(
    env: &mut Env,
    tool: &'static str,
    common: &Common,
    run: impl FnOnce(&Stream, &mut Context<'_>) -> Result<Outcome<T>, Failure>,
) -> Exit {
    if let Some(kind) = &common.schema {
        return schema::answer(env, tool, kind);
    }
    let format = format(env, common);
    let mut context = Context::new(env, common, tool);
    if !matches!(format, Format::Json | Format::Text | Format::Ansible) {
        let failure = Failure::wrong(format!("this verb does not print `{}`", format.name()))
            .hint("it prints json, text, ansible");
        context.fail(&failure);
        return failure.exit;
    }
    match attempt(&mut context, format, run) {
        Ok(exit) => exit,
        Err(failure) => {
            context.fail(&failure);
            if format == Format::Ansible && common.write.is_none() {
                let line = output::ansible_failure(&failure.summary());
                output::whole(context.env, tool, &[line.as_bytes()], failure.exit)
            } else {
                failure.exit
            }
        }
    }
}

/// The form of the result: a terminal gets text, all else the stream. A file is no terminal.
pub(crate) fn format(env: &Env, common: &Common) -> Format {
    let to_terminal = env.stdout_is_terminal && common.write.is_none();
    common.output.unwrap_or(if to_terminal { Format::Text } else { Format::Json })
}

fn attempt<T: Spec>(
    context: &mut Context<'_>,
    format: Format,
    run: impl FnOnce(&Stream, &mut Context<'_>) -> Result<Outcome<T>, Failure>,
) -> Result<Exit, Failure> {
    let common = context.common;
    context.check_selectors()?;
    if let Some(path) = &common.write {
        if path.as_os_str() == "-" {
            return Err(Failure::wrong("`--write -` names no file")
                .hint("leave it out to write to stdout; a file of that name is `./-`"));
        }
        // Before the long work, not after it.
        file::named(path)?;
    }
    let stream = Stream::read(context.env, common, context.tool, Some(T::KIND))?;
    context.warn_notes(&stream.warnings);
    if T::KIND != Kind::Check {
        // A report that says no is what a check is for; every other tool would act on what it was told to distrust.
        context.refuse_if_strict()?;
    }
    let Outcome { spec, from, changed, exit, message, text, diff, steps } = run(&stream, context)?;
    let own = match spec {
        Body::Value(spec) => Written::of(spec)?,
        Body::Written(written) => written,
    };
    let head = head::<T>(&stream, &from)?;
    let outcome = Outcome { spec: Body::Value(()), from, changed, exit, message, text, diff, steps };
    context.warn_notes(&stream.outdated_by(T::KIND, &own.digest));
    context.quiet_progress();

    let mut exit = outcome.exit;
    if let Err(failure) = context.refuse_if_strict() {
        // Nothing relies on pipefail: what follows must not find a document that this run calls wrong. A report is
        // no such document, it says itself what it found.
        if !T::KIND.is_report() {
            return Err(failure);
        }
        context.fail(&failure);
        exit = exit.max(failure.exit);
    }
    let formatted = match format {
        Format::Json => String::new(),
        Format::Text => {
            let mut text = printable(&outcome.text);
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text
        }
        _ => ansible(&outcome, exit, &format!("{head}{}}}", own.text))?,
    };
    let mut pieces = match format {
        Format::Json if common.only => Vec::new(),
        Format::Json => stream.passed(T::KIND)?,
        _ => vec![formatted.as_bytes()],
    };
    if format == Format::Json {
        pieces.extend([head.as_bytes(), own.text.as_bytes(), b"}\n"]);
    }
    for diff in &outcome.diff {
        context.detail(&format!("{} -> {}\n{}", diff.before_header, diff.after_header, diff.after));
    }
    // A result that is printed says itself why it is no.
    let silent = format == Format::Json || formatted.is_empty();
    // Nor does a file that is not written; then the whole text is said below, and this line is its last.
    let unwritten = exit != Exit::Done && common.write.is_some() && !outcome.text.is_empty();
    if unwritten {
        context.show(&outcome.text);
    } else if exit != Exit::Done && silent {
        context.say(&outcome.message);
    } else {
        context.detail(&outcome.message);
    }
    match &common.write {
        None => Ok(output::whole(context.env, context.tool, &pieces, exit)),
        // The old file stays when the answer is no: to make, a new one would mean that all is well.
        Some(_) if exit != Exit::Done => Ok(exit),
        Some(path) => file::write_named(path, &pieces.concat()).map(|_| exit),
    }
}

/// The own document as far as its spec, which ends it but for a brace.
fn head<T: Spec>(stream: &Stream, from: &[Kind]) -> Result<String, Failure> {
    let mut digests = std::collections::BTreeMap::new();
    for kind in from {
        if let Some(digest) = stream.digest(*kind)? {
            digests.insert(kind.as_str(), digest.to_string());
        }
    }
    let digests = serde_json::to_string(&digests).map_err(unwritable::<T>)?;
    Ok(format!("{{\"kind\":\"{}\",\"from\":{digests},\"spec\":", T::KIND))
}

/// The result of a module, as Ansible knows it, and the own document.
fn ansible<T>(outcome: &Outcome<T>, exit: Exit, document: &str) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Result<'a> {
        changed: bool,
        failed: bool,
        msg: &'a str,
        diff: &'a [Diff],
        #[serde(skip_serializing_if = "Option::is_none")]
        steps: Option<&'a [Step]>,
        documents: [&'a serde_json::value::RawValue; 1],
    }
    let wrong = |error: serde_json::Error| Failure::wrong("cannot write the result").because(error);
    let result = Result {
        changed: outcome.changed,
        failed: exit != Exit::Done,
        msg: &outcome.message,
        diff: &outcome.diff,
        steps: outcome.steps.as_deref(),
        documents: [serde_json::from_str(document).map_err(wrong)?],
    };
    serde_json::to_string(&result).map(|text| text + "\n").map_err(wrong)
}
