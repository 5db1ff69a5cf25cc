//! What the answers share: the inventory's wants, the store opened only to look, and the public half of everything in
//! it. No key is opened here, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kmh_cli::{Context, Failure, Stream, file};
use kmh_model::{Model, Need};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::access::At;
use crate::cert::{Certificate, date};
use crate::store::{GENERATIONS, Store};
use crate::want::{self, Wanted, Wants};

/// Folders that hold certificates, and how deep: below some lies one folder for each machine.
const FOLDERS: [(&str, bool); 5] =
    [("ca", false), ("cluster", false), ("nodes", true), ("routers", true), (USERS, false)];

/// The folder of the certificates that people were given.
pub const USERS: &str = "users";

/// No certificate is longer.
const LIMIT: u64 = 1 << 20;

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

/// Reads the inventory and opens the store that must be there, to look only or, with `write`, to add to it.
pub fn ground(stream: &Stream, context: &mut Context<'_>, at: &At, write: bool) -> Result<Ground, Failure> {
    let (document, source) = stream.inventory()?;
    let (model, warnings) =
        kmh_model::load(&document, NEEDS).map_err(|problems| Failure::problems(&source, &problems))?;
    context.warn_all(&source, &warnings);
    let chosen = crate::ensure::chosen(&model, context)?;
    let wants = want::wants(&model);
    at.named()?;
    refuse_unset_clock(context.env.now)?;
    let store = at.open_there(model.name.as_str(), !write, context)?;
    Ok(Ground { model, wants, chosen, store })
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

/// Every file of a certificate in the store by its name, wanted or not: its octets, or why they are not read.
pub fn certificates(root: &Path) -> Result<BTreeMap<String, Result<Vec<u8>, &'static str>>, Failure> {
    let mut found = BTreeMap::new();
    for (folder, deep) in FOLDERS {
        for name in names(&root.join(folder))? {
            if !deep {
                read(root, &format!("{folder}/{name}"), &mut found)?;
                continue;
            }
            let inner = format!("{folder}/{name}");
            for name in names(&root.join(&inner))? {
                read(root, &format!("{inner}/{name}"), &mut found)?;
            }
        }
    }
    Ok(found)
}

fn read(
    root: &Path,
    file: &str,
    found: &mut BTreeMap<String, Result<Vec<u8>, &'static str>>,
) -> Result<(), Failure> {
    let Some(name) = file.strip_suffix(".crt") else { return Ok(()) };
    let path = root.join(file);
    let octets = match path.metadata() {
        Ok(meta) if meta.is_file() && meta.len() <= LIMIT => Ok(file::read(&path)?),
        Ok(meta) if meta.is_file() => Err("it is larger than a mebibyte"),
        Ok(_) => Err("it is no file"),
        // A symbolic link that leads nowhere.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("it leads nowhere"),
        Err(error) => {
            let message = format!("cannot read `{}`", path.display());
            return Err(Failure::world(message).because(file::plain(&error)));
        }
    };
    found.insert(name.to_owned(), octets);
    Ok(())
}

/// A name's own part and its generation: `ca/cluster.next` is another generation of `ca/cluster`.
pub fn generation(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(_, generation)| GENERATIONS.contains(generation))
}

/// The file of a CA: every generation of it that is trusted, PEM, the oldest first. So its bytes stay as they are when the
/// next one begins to sign.
pub fn bundle(root: &Path, ca: &str) -> Result<String, Failure> {
    let mut bundle = String::new();
    for ending in [".old", "", ".next"] {
        let path = root.join(format!("{ca}{ending}.crt"));
        let Some(octets) = file::read_if_there(&path)? else { continue };
        let read = Certificate::from_pem(&octets).map_err(|why| {
            Failure::world(format!("`{}` is damaged", path.display()))
                .because(why)
                .hint("restore it from a backup")
        })?;
        bundle.push_str(&read.pem);
    }
    Ok(bundle)
}

/// The names in a folder, sorted; none when it is no folder.
pub fn names(path: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::world(format!("cannot list `{}`", path.display())).because(file::plain(&error))
    };
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
