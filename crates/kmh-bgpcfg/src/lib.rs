//! `kmh-bgpcfg`: peerings, filters, tunnels and Calico's resources from the inventory.
//!
//! [`plan`] is the program: a pure function from the meaning of an inventory to `kmh.network/v1`. [`run`] reads the
//! stream, calls it, and writes the document.

mod calico;
mod findings;
mod firewall;
mod ground;
mod plan;
mod policy;
mod ranges;
mod sessions;
mod text;
mod tunnels;

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser, Subcommand};
use kmh_cli::{Common, Context, Env, Exit, Failure, Outcome, Stream};
use kmh_doc::Kind;
use kmh_doc::inventory::Role;
use kmh_doc::network::{FindingLevel, NetworkSpec};
use kmh_model::{Model, Need};

pub use plan::{PlanError, plan};

const TOOL: &str = "kmh-bgpcfg";

/// Peerings, filters, tunnels and Calico's resources from the inventory
///
/// Reads the inventory, decides who speaks BGP with whom, what each router lets in and out, which tunnels there are
/// and what Calico must be told, and adds it to the stream as `kmh.network/v1`. It looks at nothing but the inventory
/// and changes nothing. The document is always of the whole network; `--limit` narrows what `-o text` shows.
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
    /// Compute the network (the default)
    #[default]
    Plan,
}

// At most 79 columns: a wrapped command cannot be pasted.
const EXAMPLES: &str = "\
EXAMPLES
  The network of an inventory, for people; or what one machine has a part in:
    kmh-bgpcfg -i cluster.yaml -o text
    kmh-bgpcfg -i cluster.yaml -o text --limit pi-1

  In the middle of the pipe:
    kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render |
      kmh-push --store pki --to dir:out

  Calico's resources, for kubectl:
    kmh-bgpcfg --only -i cluster.yaml -o json | jq '.spec.calico[]' |
      kubectl apply --server-side -f -

  One router's sessions:
    kmh-bgpcfg --only -i cluster.yaml -o json |
      jq '.spec.routers[] | select(.name==\"gw-vps\").sessions'
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
        Verb::Plan => kmh_cli::filter(env, TOOL, &cli.common, run_plan),
    }
}

fn run_plan(stream: &Stream, context: &mut Context<'_>) -> Result<Outcome<NetworkSpec>, Failure> {
    let (tree, source) = stream.inventory()?;
    let (model, warnings) = kmh_model::load(&tree, &[Need::Asn, Need::Tunnels])
        .map_err(|problems| Failure::problems(&source, &problems))?;
    context.warn_all(&source, &warnings);
    let machines = machines(&model);
    context.check_limit(machines.iter().cloned())?;
    let chosen: BTreeSet<&str> = machines
        .iter()
        .filter(|(name, site, roles)| context.chosen(name, *site, roles))
        .map(|(name, ..)| *name)
        .collect();
    let spec = plan(&model).map_err(|error| Failure::wrong(error.to_string()))?;
    for finding in spec.findings.iter().filter(|finding| finding.level > FindingLevel::Note) {
        context.warn(&format!("{}: {}", finding.subject, finding.message));
    }
    Ok(Outcome {
        from: vec![Kind::Inventory],
        changed: false,
        exit: Exit::Done,
        message: summary(&spec),
        text: text::page(&spec, context.common.verbose > 0, &|name| chosen.contains(name)),
        diff: Vec::new(),
        spec,
    })
}

/// The machines of a network: name, site and roles, as `--limit` chooses by them.
fn machines(model: &Model) -> Vec<(&str, Option<&str>, Vec<&'static str>)> {
    let nodes = model.nodes.values().map(|node| {
        let roles = node.roles.iter().map(|role| match role {
            Role::ControlPlane => "control-plane",
            Role::Etcd => "etcd",
            Role::Worker => "worker",
        });
        (node.name.as_str(), Some(node.site.as_str()), roles.collect())
    });
    let routers =
        model.routers.iter().map(|router| (router.name.as_str(), Some(router.site.as_str()), vec![]));
    nodes.chain(routers).collect()
}

fn summary(spec: &NetworkSpec) -> String {
    let sessions: usize = spec.routers.iter().map(|router| router.sessions.len()).sum();
    format!("{sessions} sessions, {} tunnels, {} findings", spec.tunnels.len(), spec.findings.len())
}
