//! `kmh-pki`: the PKI of the cluster and of the tunnels.
//!
//! Reads the inventory, looks at the store, decides what is missing, wrong or about to end ([`plan`], pure), makes it
//! ([`make`]), writes it in one crash-safe step ([`store`]), and says in `kmh.pki/v1` what there is and where it goes:
//! certificates as PEM, keys as references. Key material never leaves the store.

pub mod access;
pub mod ask;
pub mod cert;
pub mod csr;
pub mod document;
mod ensure;
pub mod import_signed;
pub mod issue;
pub mod make;
pub mod observed;
pub mod plan;
pub mod reason;
pub mod requests;
pub mod secret;
pub mod sign;
pub mod store;
pub mod table;
pub mod want;

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use kmh_cli::{Common, Env, Exit, Format};

pub(crate) const TOOL: &str = "kmh-pki";

/// The PKI of the cluster and of the tunnels, in a crash-safe store
///
/// Reads the inventory and makes every certificate and key that it asks for and the store does not hold: three CAs and
/// their certificates for Kubernetes and etcd, a CA and a certificate for each router's tunnels, the key pair of
/// service accounts, the encryption key, passwords of BGP sessions, pre-shared keys of tunnels. What is right stays as it is; what is made again is named with the reason.
/// Adds `kmh.pki/v1` to the stream: certificates, and references to their keys. No key ever leaves the store.
#[derive(Parser, Debug)]
#[command(name = TOOL, version, after_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    // By hand and not by clap: the environment of a run is `Env`.
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        help = "The store: a directory, never assumed [env: KMH_STORE]"
    )]
    store: Option<PathBuf>,
    /// Make the store when it is missing or empty; harmless when it is there
    #[arg(long, global = true)]
    init: bool,
    #[command(flatten)]
    access: access::Access,
    #[command(flatten)]
    common: Common,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
enum Verb {
    /// Make what is missing, wrong or about to end (the default)
    Ensure(ensure::Args),
    /// Take in what a CA elsewhere signed
    Import(ImportArgs),
    /// Sign the request of a machine whose key stays on it
    #[command(after_long_help = sign::EXAMPLES)]
    Sign(sign::Args),
}

/// Options of `kmh-pki import`.
#[derive(clap::Args, Clone, Debug)]
struct ImportArgs {
    /// What `kmh-pki sign --requests` wrote, or certificates in PEM from a CA that is not kmh-pki's
    #[arg(long, value_name = "FILE")]
    signed: PathBuf,
}

const EXAMPLES: &str = "\
EXAMPLES
  The first time: make the store, and show what is in it:
    kmh-pki --init --store pki -i cluster.yaml -o text

  What would be made, and why:
    kmh-pki --store pki --dry-run -i cluster.yaml -o text

  At the head of the pipe:
    kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render |
      kmh-push --store pki --to dir:out

  Which certificates end first:
    kmh-pki --store pki --only -i cluster.yaml -o json |
      jq -r '.spec.certificates[] | .not_after + \" \" + .name' | sort
";

/// The command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The program.
pub fn run(env: &mut Env) -> Exit {
    let cli: Cli = match kmh_cli::parse(env) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match cli.verb.unwrap_or_else(|| Verb::Ensure(ensure::Args::default())) {
        Verb::Ensure(args) => {
            let store = env.store(cli.store);
            kmh_cli::filter(env, TOOL, &cli.common, |stream, context| {
                ensure::run(stream, context, store, cli.init, &args, &cli.access)
            })
        }
        Verb::Import(args) => {
            let store = env.store(cli.store);
            let forms = &[Format::Text, Format::Json];
            kmh_cli::answer(env, TOOL, &cli.common, forms, |stream, context, form| {
                import_signed::run(stream, context, form, &args.signed, (store, &cli.access))
            })
        }
        Verb::Sign(args) => {
            let store = env.store(cli.store);
            sign::run(env, &cli.common, &args, &cli.access, store)
        }
    }
}
