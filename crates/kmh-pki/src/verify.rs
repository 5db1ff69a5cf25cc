//! `verify`: the whole store against the inventory and RFC 5280, as a foreign auditor would.
//!
//! Nothing here believes `ensure`: every certificate is read again and judged by its bytes, every key is compared with its
//! certificate, every file by what the file system says of it. Nothing is written.

mod certificates;
pub mod files;
mod hints;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use kmh_cert::Facts;
use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use rayon::prelude::*;
use serde::Serialize;

use crate::access::At;
use crate::cert::rfc3339;
use crate::look::{self, Ground};

/// Examples of `verify`.
pub const EXAMPLES: &str = "\
EXAMPLES
  Is everything as it should be?
    kmh-pki verify --store pki -i cluster.yaml -o text

  What is critical, one line each:
    kmh-pki verify --store pki -i cluster.yaml -o json |
      jq -r '.findings[] | select(.state == \"critical\") | .subject + \": \" + .message'

  A backup, before it is needed; warnings say no, too:
    kmh-pki verify --strict --store backup/pki -i cluster.yaml -o text
";

/// The names of all findings besides `rule.…` (`kmh_cert::rules::RULES`) and `chain.…` (`kmh_cert::chain::COMPLAINTS`).
pub const IDS: [&str; 30] = [
    "among.key",
    "among.serial",
    "among.subject",
    "certificate.damaged",
    "chain.anchor",
    "chain.early",
    "chain.gone",
    "chain.limits",
    "chain.no-ca",
    "chain.no-root",
    "chain.retired",
    "dates.expired",
    "dates.future",
    "file.foreign",
    "file.kind",
    "file.mode",
    "file.owner",
    "file.unfinished",
    "key.alone",
    "key.damaged",
    "key.missing",
    "key.other",
    "key.plain",
    "store.pending",
    "wanted.algorithm",
    "wanted.missing",
    "wanted.names",
    "wanted.nothing",
    "wanted.subject",
    "wanted.usages",
];

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It makes the answer no.
    Critical,
    /// It does with `--strict`.
    Warning,
    /// It is told, and nobody's error: a CA that is not kmh-pki's is as its maker wanted it.
    Notice,
}

impl State {
    /// The word in tables and documents.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Stable name of what was looked at.
    pub id: String,
    /// The certificate, key or file.
    pub subject: String,
    /// How much it matters.
    pub state: State,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Note {
    fn new(
        id: impl Into<String>,
        subject: impl Into<String>,
        state: State,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { id: id.into(), subject: subject.into(), state, message: message.into(), hint: hint.into() }
    }
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Identity of the store.
    pub store: String,
    /// The moment that it is true for.
    pub at: String,
    /// Whether the answer is yes.
    pub ok: bool,
    /// Certificates that were looked at.
    pub certificates: usize,
    /// Keys without certificate that were looked at.
    pub keys: usize,
    /// Files that were looked at.
    pub files: usize,
    /// Findings that make the answer no.
    pub critical: usize,
    /// Findings that do so with `--strict`.
    pub warnings: usize,
    /// Findings that never do.
    pub notices: usize,
    /// What is wrong, the worst first.
    pub findings: Vec<Note>,
}

/// The verb.
pub fn run(stream: &Stream, context: &mut Context<'_>, format: Format, at: &At) -> Result<Answer, Failure> {
    let ground = look::ground(stream, context, at, false)?;
    let report = report(&ground, context)?;
    let text = match format {
        Format::Json => crate::json(&report)?,
        _ => text::text(&report),
    };
    Ok(Answer { text, exit: if report.ok { Exit::Done } else { Exit::No } })
}

fn report(ground: &Ground, context: &Context<'_>) -> Result<Report, Failure> {
    let Ground { wants, store, .. } = ground;
    let seen = files::walk(store.root())?;
    let observed = store.observe(wants)?;
    let found: BTreeMap<String, Result<Facts, String>> = store
        .certificates()?
        .into_par_iter()
        .map(|(name, octets)| {
            let read = |octets: Vec<u8>| Facts::from_pem(&octets).map_err(|why| why.to_string());
            (name, octets.map_err(ToOwned::to_owned).and_then(read))
        })
        .collect();
    let paths: BTreeSet<&str> = seen.iter().map(|one| one.path.as_str()).collect();
    let subject = certificates::Subject {
        wants,
        observed: &observed,
        found: &found,
        paths: &paths,
        now: context.env.now,
    };
    let mut findings = certificates::judge(&subject);
    findings.extend(files::judge(&seen));
    if !store.recipients().is_empty() {
        findings.extend(files::plain(&seen));
    }
    if !context.common.limit.is_empty() {
        findings.retain(|note| {
            let name = [".crt", ".key"].iter().find_map(|end| note.subject.strip_suffix(end));
            let wanted = wants.certificates.get(name.unwrap_or(&note.subject));
            look::asked(wanted.map(Box::as_ref), Some(&ground.chosen))
        });
    }
    findings.sort_by(|a, b| {
        (a.state, &a.id, &a.message, &a.subject).cmp(&(b.state, &b.id, &b.message, &b.subject))
    });
    let count = |state: State| findings.iter().filter(|note| note.state == state).count();
    let (critical, warnings, notices) = (count(State::Critical), count(State::Warning), count(State::Notice));
    Ok(Report {
        store: store.id().to_owned(),
        at: rfc3339(context.env.now),
        ok: critical == 0 && !(context.common.strict && warnings > 0),
        certificates: found.len(),
        keys: observed.keys.len(),
        files: seen.iter().filter(|one| one.kind != files::Kind::Folder).count(),
        critical,
        warnings,
        notices,
        findings,
    })
}
