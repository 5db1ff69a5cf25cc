//! What the answers share: the inventory's wants, the store opened only to look, and the public half of everything in
//! it. No key is opened here, and nothing is written.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use kmh_cli::{Context, Failure, Stream, file};
use kmh_doc::pki::Generation;
use kmh_model::{Model, Need};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::access::At;
use crate::cert::date;
use crate::store::Store;
use crate::want::{self, Wanted, Wants};

/// What an inventory must have for its PKI: the name by which the API server is called, and somebody to serve it.
pub const NEEDS: &[Need] = &[Need::Api, Need::Roles];

/// No clock that was ever set shows an earlier time: this program is younger.
const EARLIEST: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// What an answer is about.
pub struct Ground {
    /// The inventory's meaning.
    pub model: Model,
    /// What it wants.
    pub wants: Wants,
    /// The machines that `--limit` chooses.
    pub chosen: BTreeSet<String>,
    /// The store.
    pub store: Store,
}

/// Reads the inventory: what it means, and what it wants.
pub fn inventory(stream: &Stream, context: &mut Context<'_>) -> Result<(Model, Wants), Failure> {
    let (document, source) = stream.inventory()?;
    let (model, warnings) =
        kmh_model::load(&document, NEEDS).map_err(|problems| Failure::problems(&source, &problems))?;
    context.warn_all(&source, &warnings);
    let wants = want::wants(&model);
    Ok((model, wants))
}

/// Reads the inventory and opens the store that must be there, to look only or, with `write`, to add to it.
pub fn ground(stream: &Stream, context: &mut Context<'_>, at: &At, write: bool) -> Result<Ground, Failure> {
    let (model, wants) = inventory(stream, context)?;
    let chosen = crate::ensure::chosen(&model, context)?;
    at.named()?;
    refuse_unset_clock(context.env.now)?;
    let store = at.open_there(model.name.as_str(), !write, context)?;
    Ok(Ground { model, wants, chosen, store })
}

/// The subject of another generation than the current one, and which it is.
pub fn other_generation(name: &str) -> Option<(&str, Generation)> {
    let generation = Generation::of(name);
    let subject = name.strip_suffix(generation.ending())?;
    Some((subject, generation)).filter(|_| generation != Generation::Current)
}

/// How to go on without a root.
pub const ROOT_STAYS: &str =
    "nothing replaces a root: with `pki: {root: false}`, `kmh-pki rotate` makes CAs that sign themselves";

/// How to have something signed whose CA the store holds without its key.
pub fn away(ca: &str) -> String {
    format!(
        "the key of `{ca}` is elsewhere: `kmh-pki ensure --requests FILE` asks for it, `kmh-pki sign --requests` signs it \
         there, `kmh-pki import --signed` takes it in"
    )
}

/// Refuses a clock that was never set.
pub fn refuse_unset_clock(now: OffsetDateTime) -> Result<(), Failure> {
    if now >= EARLIEST {
        return Ok(());
    }
    let told = date(now);
    Err(Failure::world(format!("the clock of this machine says {told}"))
        .hint("set it: no certificate can be judged by it, and what it made would have ended long ago"))
}

/// Whether a question that is limited to machines is about a certificate: it is for one, or goes there.
pub fn asked(wanted: Option<&Wanted>, limit: Option<&BTreeSet<String>>) -> bool {
    let Some(limit) = limit else { return true };
    wanted.is_some_and(|wanted| match &wanted.machine {
        Some(machine) => limit.contains(machine),
        None => wanted.deploy.iter().any(|place| limit.contains(&place.machine)),
    })
}

/// The names in a folder, sorted, UTF-8 or not; none when it is no folder.
pub fn names(path: &Path) -> Result<Vec<OsString>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::world(format!("cannot list `{}`", path.display())).because(file::plain(&error))
    };
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort();
    Ok(names)
}
