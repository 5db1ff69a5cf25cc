//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use kmh_cli::Common;

const EXAMPLES: &str = "\
EXAMPLES
  Everything into a folder, to look at:
    kmh-pki --init --store pki <cluster.yaml | kmh-bgpcfg | kmh-render |
      kmh-push --store pki --to dir:out

  What would change on the machines, as a diff:
    kmh-push -i stream.json --store pki --to ssh --dry-run -o text

  Two nodes only, then all:
    kmh-push -i stream.json --store pki --to ssh --limit attic-1,pi-1
    kmh-push -i stream.json --store pki --to ssh

  With programs; `fetch` lists the addresses of those that the folder lacks:
    kmh-push fetch -i stream.json --artifacts programs | wget -x -P programs -i -
    kmh-push -i stream.json --store pki --to ssh --artifacts programs

  Into a folder of the machines, to compare; units are not touched:
    kmh-push -i stream.json --store pki --to ssh --root /root/preview/{machine}

EXIT CODES
  0  done
  1  refused: a check in the stream says no
  2  the call, a document or the store is wrong; nothing was touched
  3  a machine failed or could not be reached; the report says which";

/// Put the bundle's files on the machines
///
/// Reads a bundle, and secrets from the store, at this moment only. What is there already is left alone. Files are
/// replaced one by one in one step each, after all of a machine's files have arrived whole.
#[derive(Parser, Clone, Debug)]
#[command(name = "kmh-push", version, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) apply: Apply,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Subcommand, Clone, Copy, Debug)]
pub(crate) enum Verb {
    /// Make the machines hold what the bundle says (the default)
    Apply,
    /// List the addresses of programs that `--artifacts` lacks, one a line, or of all; nothing is downloaded
    Fetch,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Apply {
    /// Where to: `dir:PATH` (one folder a machine below PATH) or `ssh` (the machines themselves)
    #[arg(long, value_name = "TARGET", global = true)]
    pub(crate) to: Option<To>,
    // By hand and not by clap: the environment of a run is `Env`.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        help = "The store that secrets are read from; needed when the bundle refers to any [env: KMH_STORE]"
    )]
    pub(crate) store: Option<PathBuf>,
    /// Install the bundle's programs too, from this folder: downloads as upstream names them, archives unopened, or
    /// `ARCH/NAME`
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) artifacts: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help = "Opens an encrypted store: an age identity [env: KMH_IDENTITY]"
    )]
    pub(crate) store_identity: Option<PathBuf>,
    /// With `--to ssh`: put this folder before every path, `{machine}` in it being the machine's name; units are then
    /// not touched
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) root: Option<String>,
    /// With `--to ssh`: the file of trusted host keys [default: `~/.ssh/known_hosts`]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) known_hosts: Option<PathBuf>,
    /// With `--to ssh`: private key file to log in with, before what the inventory says
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) identity: Option<PathBuf>,
    /// With `--to ssh`: so many seconds a restarted etcd or API server may take until it serves, before it has failed
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub(crate) patience: u16,
    /// How many machines are worked on at a time
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=512), global = true)]
    pub(crate) jobs: u16,
}

/// Where files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Dir(PathBuf),
    Ssh,
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Dir(path.into())),
            None if text == "ssh" => Ok(Self::Ssh),
            _ => Err("it is `dir:PATH` or `ssh`".to_owned()),
        }
    }
}
