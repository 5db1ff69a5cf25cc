//! What the command line says of a store: to whom its keys are encrypted, who opens them, and what a person has looked at.

use std::path::{Path, PathBuf};

use kmh_age::{Keyring, Recipients};
use kmh_cli::{Context, Env, Failure};

use crate::store::{Opening, Store};

/// Options of every verb that reads or writes keys.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Access {
    // By hand and not by clap: the environment of a run is `Env`.
    #[arg(
        long,
        alias = "store-identity",
        value_name = "FILE",
        global = true,
        help = "Opens an encrypted store: an age identity [env: KMH_IDENTITY]"
    )]
    identity: Option<PathBuf>,
    /// Encrypt the keys of the store to this age recipient; may be repeated; names all there are to be
    #[arg(long, value_name = "AGE1", global = true)]
    recipient: Vec<String>,
    /// The same, from a file: one recipient a line
    #[arg(long, value_name = "FILE", global = true)]
    recipients: Option<PathBuf>,
    /// Mend the modes of keys that others may read, and of folders that others may look into
    #[arg(long, global = true)]
    pub repair: bool,
    /// Make certificates again although every one of them has ended: the clock is right
    #[arg(long, global = true)]
    pub expired: bool,
}

impl Access {
    /// What opens the store.
    pub fn keyring(&self, env: &Env) -> Keyring {
        Keyring::new(self.identity(env))
    }

    /// The file of what opens the store, when one is named.
    pub fn identity(&self, env: &Env) -> Option<PathBuf> {
        env.identity(self.identity.clone())
    }

    /// Whether recipients are named.
    pub fn names_recipients(&self) -> bool {
        !self.recipient.is_empty() || self.recipients.is_some()
    }

    /// The recipients that were named; none: the store keeps its own.
    pub fn recipients(&self) -> Result<Option<Recipients>, Failure> {
        if !self.names_recipients() {
            return Ok(None);
        }
        let mut texts = self.recipient.clone();
        if let Some(path) = &self.recipients {
            texts.extend(Recipients::texts_of(path)?);
        }
        Recipients::parse(texts.iter().map(String::as_str)).map(Some)
    }
}

/// The store that the command line names, and how it is opened.
#[derive(Clone, Debug)]
pub struct At {
    path: Option<PathBuf>,
    /// Whether a missing or empty one may be made.
    pub init: bool,
    /// Its keys.
    pub access: Access,
    /// Files that the run is asked to write, none of which may lie in it.
    outputs: Vec<PathBuf>,
}

impl At {
    /// Of a command line: the path, or none where neither `--store` nor `KMH_STORE` names one.
    pub fn new(path: Option<PathBuf>, init: bool, access: Access) -> Self {
        Self { path, init, access, outputs: Vec::new() }
    }

    /// With files that the run is asked to write.
    #[must_use]
    pub fn writing<'a>(mut self, outputs: impl IntoIterator<Item = &'a Path>) -> Self {
        self.outputs.extend(outputs.into_iter().map(Path::to_owned));
        self
    }

    /// The store's path, which is never assumed. What else the run writes must lie elsewhere: nothing in a store has a
    /// second copy but by the store's own doing. Nor may two outputs be one file.
    pub fn named(&self) -> Result<&Path, Failure> {
        let path = self.path.as_deref().ok_or_else(|| {
            Failure::wrong("no store is named")
                .hint("name it with `--store DIR` or KMH_STORE; `--init` makes a new one")
        })?;
        if let [first, second, ..] = &self.outputs[..]
            && first.as_os_str() != "-"
            && real(first) == real(second)
        {
            return Err(Failure::wrong(format!("`{}` would be written twice", second.display()))
                .because("`--write` takes what is printed, and this verb's own output has the same name")
                .hint("name another file with `--write`"));
        }
        match self.outputs.iter().find(|output| is_inside(output, path)) {
            Some(output) => Err(Failure::wrong(format!(
                "`{}` would be written into store `{}`",
                output.display(),
                path.display()
            ))
            .hint("name a place outside: only what the inventory asks for goes into a store")),
            None => Ok(path),
        }
    }

    /// Opens it; none: a dry run that would make it.
    pub fn open(
        &self,
        cluster: &str,
        dry_run: bool,
        recipients: Option<&Recipients>,
        context: &mut Context<'_>,
    ) -> Result<Option<Store>, Failure> {
        let how = Opening { cluster, init: self.init, dry_run };
        let store = Store::open_for(self.named()?, how, recipients, &mut |message| context.say(message))?;
        Ok(store.map(|store| store.unlock(self.access.keyring(context.env))))
    }

    /// Opens it where it must be there already.
    pub fn open_there(
        &self,
        cluster: &str,
        dry_run: bool,
        context: &mut Context<'_>,
    ) -> Result<Store, Failure> {
        if self.access.recipients()?.is_some() {
            // Swallowed, it would let an export look encrypted that is not.
            return Err(Failure::wrong("this verb encrypts nothing: `--recipient` and `--recipients` say how a store is kept")
                .hint("`kmh-pki ensure --recipient …` encrypts the keys of the store; encrypt what leaves it by `age -r`"));
        }
        let there = Self { init: false, ..self.clone() };
        let missing = || {
            Failure::wrong(format!(
                "store `{}` does not exist",
                self.named().map_or_else(|_| String::new(), |path| path.display().to_string())
            ))
        };
        there.open(cluster, dry_run, None, context)?.ok_or_else(missing)
    }
}

/// Where a path leads, which need not exist.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = whole.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match known {
        // What does not exist has no links in it.
        Some((above, real)) => match whole.strip_prefix(above) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => whole,
    }
}

/// Whether a path, which need not exist, leads into a folder.
fn is_inside(path: &Path, folder: &Path) -> bool {
    path.as_os_str() != "-" && real(path).starts_with(real(folder))
}
