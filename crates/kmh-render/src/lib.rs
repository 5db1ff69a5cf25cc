//! `kmh-render`: every file of every node and router, from the inventory, the PKI and the network.
//!
//! [`bundle::bundle`] is the program: a pure function to `kmh.bundle/v1`. What there is to render stands in one table,
//! `files::FILES`; what a template sees is a struct made for it, in `view`. Secrets are references throughout.

pub mod bundle;
mod engine;
pub mod fault;
mod files;
mod pki;
mod safe;
mod settings;
mod shared;
mod text;
mod versions;
mod view;
mod yaml;

use clap::{CommandFactory, Parser, Subcommand};
use kmh_cli::{Common, Context, Env, Exit, Failure, Outcome, Stream};
use kmh_doc::Kind;
use kmh_doc::bundle::BundleSpec;
use kmh_doc::network::NetworkSpec;
use kmh_doc::pki::PkiSpec;
use kmh_model::Need;

const TOOL: &str = "kmh-render";

/// Every file of every node and router
///
/// Reads the inventory, the PKI and the network from the stream, and adds every file that the machines need as
/// `kmh.bundle/v1`: with path, owner and mode, the units to tell when it changes, and the programs to install. Secrets
/// are references into the store, never values. It looks at nothing but the stream and changes nothing.
#[derive(Parser, Debug)]
#[command(name = TOOL, version, after_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    common: Common,
}

/// What to do.
#[derive(Subcommand, Clone, Copy, Debug, Default)]
enum Verb {
    /// Render every file (the default)
    #[default]
    Bundle,
}

// At most 79 columns: a wrapped command cannot be pasted.
const EXAMPLES: &str = "\
EXAMPLES
  In the pipe, or of two saved documents:
    kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json
    kmh-render -i pki.json -i network.json -o json --write stream.json

  How many files each machine has:
    kmh-render -i stream.json -o text

  One file of one machine:
    kmh-render -i stream.json -o json --only --limit gw-vps |
      jq -r '.spec.machines[].files[] |
        select(.path==\"/etc/frr/k8s/frr.conf\").content[].text'

  What to download for a node:
    kmh-render -i stream.json -o json --only --limit pi-1 |
      jq -r '.spec.machines[].artifacts[] | \"\\(.url) \\(.path)\"'
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
    match cli.verb.unwrap_or_default() {
        Verb::Bundle => kmh_cli::filter(env, TOOL, &cli.common, run_bundle),
    }
}

fn run_bundle(stream: &Stream, context: &mut Context<'_>) -> Result<Outcome<BundleSpec>, Failure> {
    let (tree, source) = stream.inventory()?;
    let (model, warnings) =
        kmh_model::load(&tree, &Need::ALL).map_err(|problems| Failure::problems(&source, &problems))?;
    context.warn_all(&source, &warnings);
    let pki = stream.need::<PkiSpec>()?.spec;
    let network = stream.need::<NetworkSpec>()?.spec;
    let machines = bundle::machines(&model);
    context.check_limit(machines.iter().cloned())?;
    let chosen = machines.iter().filter(|(name, site, roles)| context.chosen(name, *site, roles));
    let only = chosen.map(|(name, ..)| (*name).to_owned()).collect();
    let spec = bundle::bundle(&model, &pki, &network, Some(&only)).map_err(fault::failure)?;
    let files: usize = spec.machines.iter().map(|machine| machine.files.len()).sum();
    Ok(Outcome {
        from: vec![Kind::Inventory, Kind::Pki, Kind::Network],
        changed: false,
        exit: Exit::Done,
        message: format!("{} machines, {files} files", spec.machines.len()),
        text: text::page(&spec),
        diff: Vec::new(),
        steps: None,
        spec: spec.into(),
    })
}
