//! `kmh-pki`: the PKI of the cluster and of the tunnels.
//!
//! Reads the inventory, looks at the store, decides what is missing, wrong or about to end ([`plan`], pure), makes it
//! ([`make`]), writes it in one crash-safe step ([`store`]), and says in `kmh.pki/v1` what there is and where it goes:
//! certificates as PEM, keys as references. Key material never leaves the store.

pub mod access;
pub mod ask;
pub mod cert;
pub mod clock;
pub mod csr;
pub mod document;
mod ensure;
pub mod export;
pub mod import;
pub mod import_signed;
pub mod issue;
pub mod kubeconfig;
pub mod layout;
pub mod look;
pub mod make;
mod many;
pub mod memo;
pub mod numbered;
pub mod observed;
mod outside;
pub mod pem;
pub mod plan;
pub mod reason;
pub mod requests;
pub mod rotate;
pub mod secret;
pub mod sign;
mod sorted;
pub mod status;
pub mod store;
pub mod table;
pub mod verify;
pub mod want;

use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};
use kmh_cli::{Common, Env, Exit, Failure, Format};
use serde::Serialize;

use crate::access::{Access, At};

pub(crate) const TOOL: &str = "kmh-pki";

/// The forms of an answer.
const TEXT_OR_JSON: &[Format] = &[Format::Text, Format::Json];

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
    // Those of the verb that need not be named.
    #[command(flatten)]
    ensure: ensure::Args,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    common: Common,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
enum Verb {
    /// Make what is missing, wrong or about to end (the default)
    Ensure(ensure::Args),
    /// What ends when, and who uses it; exit code 1 when something is due
    #[command(after_long_help = status::EXAMPLES)]
    Status(status::Args),
    /// The whole store against the inventory and RFC 5280; exit code 1 when something is wrong
    #[command(after_long_help = verify::EXAMPLES)]
    Verify,
    /// Replace a CA or a key in stages, one at each call; say what has to follow
    #[command(after_long_help = rotate::EXAMPLES)]
    Rotate(rotate::Args),
    /// A kubeconfig for a person, or for an emergency
    #[command(after_long_help = kubeconfig::EXAMPLES)]
    Kubeconfig(kubeconfig::Args),
    /// Sign the request of a machine whose key stays on it
    #[command(after_long_help = sign::EXAMPLES)]
    Sign(sign::Args),
    /// Make a store of a PKI that kubeadm or a guide made, or take in what a CA elsewhere signed
    #[command(after_long_help = import::EXAMPLES)]
    Import(import::Args),
    /// Write the PKI as kubeadm or the guides lay it out, or the store as a tar; keys are among it
    #[command(after_long_help = export::EXAMPLES)]
    Export(export::Args),
}

impl Verb {
    /// The file or folder that it is asked to write.
    fn output(&self) -> Option<&Path> {
        match self {
            Self::Ensure(args) => args.requests.as_deref(),
            Self::Sign(args) => args.to.as_deref(),
            Self::Kubeconfig(args) => Some(&args.to),
            Self::Export(args) => Some(&args.to),
            Self::Rotate(args) => args.requests.as_deref(),
            Self::Status(_) | Self::Verify | Self::Import(_) => None,
        }
    }

    /// Whether what it prints, where no form was asked for, is its own account of what it found or did, which the exit
    /// code sums up: no document, certificate, kubeconfig or tar, and not what has to follow a stage of a rotation.
    fn only_tells(&self) -> bool {
        let to_file = |to: &Path| to.as_os_str() != "-";
        match self {
            Self::Ensure(_) | Self::Rotate(_) => false,
            Self::Status(_) | Self::Verify | Self::Import(_) => true,
            Self::Sign(args) => args.to.as_deref().is_some_and(to_file),
            Self::Kubeconfig(args) => to_file(&args.to),
            Self::Export(args) => to_file(&args.to),
        }
    }
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

  What ends within a month:
    kmh-pki status --within 30d --store pki -i cluster.yaml -o text

FILES
  ~/.cache/kmh/pki-ID, or the same below $XDG_CACHE_HOME:
    what the last run answered for a large store, given again where nothing
    changed since; it holds no secret, and may be removed at any time
";

/// An answer for programs.
fn json(answer: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(answer).map_err(|error| Failure::world("cannot write the answer").because(error))
}

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
    let verb = match (cli.verb, cli.ensure.first()) {
        (None, _) => Verb::Ensure(cli.ensure),
        (Some(verb), None) => verb,
        (Some(Verb::Ensure(args)), Some(_)) if args.first().is_none() => Verb::Ensure(cli.ensure),
        // Several verbs have such an option, each its own.
        (Some(_), Some(option)) => {
            let failure = Failure::wrong(format!("`{option}` stands before the verb"))
                .hint("write it after the verb: before it, or without one, it is `ensure`'s");
            return kmh_cli::answer_alone(env, TOOL, &cli.common, TEXT_OR_JSON, |_, _| Err(failure));
        }
    };
    let at = At::new(env.store(cli.store), cli.init, cli.access)
        .writing(verb.output().into_iter().chain(cli.common.write.as_deref()));
    let at = &at;
    if cli.common.quiet && cli.common.output.is_none() && cli.common.write.is_none() && verb.only_tells() {
        env.stdout = Box::new(std::io::sink());
    }
    match verb {
        Verb::Ensure(args) => {
            kmh_cli::filter(env, TOOL, &cli.common, |stream, context| ensure::run(stream, context, at, &args))
        }
        Verb::Status(args) => {
            kmh_cli::answer(env, TOOL, &cli.common, TEXT_OR_JSON, |stream, context, format| {
                status::run(&args, stream, context, format, at)
            })
        }
        Verb::Verify => kmh_cli::answer(env, TOOL, &cli.common, TEXT_OR_JSON, |stream, context, format| {
            verify::run(stream, context, format, at)
        }),
        Verb::Kubeconfig(args) => {
            kmh_cli::answer(env, TOOL, &cli.common, args.forms(), |stream, context, format| {
                kubeconfig::run(&args, stream, context, format, at)
            })
        }
        Verb::Sign(args) => sign::run(env, &cli.common, &args, at),
        Verb::Import(args) => import::run(env, &cli.common, &args, at),
        Verb::Export(args) => export::run(env, &cli.common, &args, at),
        Verb::Rotate(args) => {
            kmh_cli::answer(env, TOOL, &cli.common, TEXT_OR_JSON, |stream, context, form| {
                rotate::run(&args, at, stream, context, form)
            })
        }
    }
}
