//! What the command line says of the keys of a store: to whom they are encrypted, and who opens them.

use std::path::PathBuf;

use kmh_age::{Keyring, Recipients};
use kmh_cli::{Env, Failure};

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
    /// Mend the modes of keys that others may read
    #[arg(long, global = true)]
    pub repair: bool,
}

impl Access {
    /// What opens the store.
    pub fn keyring(&self, env: &Env) -> Keyring {
        Keyring::new(env.identity(self.identity.clone()))
    }

    /// The recipients that were named; none: the store keeps its own.
    pub fn recipients(&self) -> Result<Option<Recipients>, Failure> {
        if self.recipient.is_empty() && self.recipients.is_none() {
            return Ok(None);
        }
        let mut texts = self.recipient.clone();
        if let Some(path) = &self.recipients {
            texts.extend(Recipients::texts_of(path)?);
        }
        Recipients::parse(texts.iter().map(String::as_str)).map(Some)
    }
}
