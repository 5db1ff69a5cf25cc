//! `kmh-bgpcfg`: peerings, filters, tunnels and Calico's resources from the inventory.
//!
//! [`plan`] is a pure function from the meaning of an inventory to `kmh.network/v1`. The other verbs ask `kmh-route`
//! what follows from that document.

mod calico;
mod draw;
mod findings;
mod firewall;
mod ground;
mod plan;
mod policy;
mod ranges;
mod sessions;
mod text;
mod tunnels;
mod verbs;

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser, Subcommand};
use kmh_cli::{Common, Context, Env, Exit, Failure, Format, Outcome, Stream};
use kmh_doc::Kind;
use kmh_doc::inventory::Role;
use kmh_doc::network::{FindingLevel, NetworkSpec};
use kmh_model::{Model, Need};

pub use plan::{PlanError, plan};

const TOOL: &str = "kmh-bgpcfg";

/// Peerings, filters, tunnels and Calico's resources from the inventory, and the routes that follow
///
/// `plan` reads the inventory, decides who speaks BGP with whom, what each router lets in and out, which tunnels there are
/// and what Calico must be told, and adds it to the stream as `kmh.network/v1`. It looks at nothing but the inventory
/// and changes nothing. The document is always of the whole network; `--limit` narrows what is shown.
///
/// The other verbs answer questions about that network: they take it from the stream, or plan it from the inventory,
/// and pass nothing on. What nodes announce comes from a `kmh.blocks/v1` document in the stream, or is assumed.
#[derive(Parser, Debug)]
#[command(name = TOOL, version, after_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    common: Common,
}

/// What to do.
#[derive(Subcommand, Clone, Debug, Default)]
enum Verb {
    /// Compute the network (the default)
    #[default]
    Plan,
    /// The tables of every router and node, and what is wrong with them
    Predict(verbs::predict::Predict),
    /// What still reaches what when something is down, what moved where, and how long it took
    WhatIf(verbs::what_if::WhatIf),
    /// The way of one packet and of its answer, hop by hop, with the rule and the decision at each
    Why(verbs::why::Why),
    /// The topology as a picture: -o svg (the default), dot, mermaid
    Draw(verbs::draw::Draw),
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

  What a router will know; what follows when a tunnel is down:
    kmh-bgpcfg predict -i cluster.yaml --limit fw-attic
    kmh-bgpcfg what-if -i cluster.yaml --down tunnel/fw-attic--gw-vps
    kmh-bgpcfg what-if -i cluster.yaml --all-single

  Why a packet goes where it goes; a picture of the network:
    kmh-bgpcfg why attic-1 pi-1 -i cluster.yaml
    kmh-bgpcfg draw -i cluster.yaml >network.svg

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
    let common = &cli.common;
    match cli.verb.unwrap_or_default() {
        Verb::Plan => kmh_cli::filter(env, TOOL, common, run_plan),
        Verb::Predict(args) => {
            kmh_cli::answer(env, TOOL, common, TEXT_OR_JSON, |s, c, f| verbs::predict::run(&args, s, c, f))
        }
        Verb::WhatIf(args) => {
            kmh_cli::answer(env, TOOL, common, TEXT_OR_JSON, |s, c, f| verbs::what_if::run(&args, s, c, f))
        }
        Verb::Why(args) => {
            kmh_cli::answer(env, TOOL, common, TEXT_OR_JSON, |s, c, f| verbs::why::run(&args, s, c, f))
        }
        Verb::Draw(args) => {
            kmh_cli::answer(env, TOOL, common, PICTURES, |s, c, f| verbs::draw::run(&args, s, c, f))
        }
    }
}

const TEXT_OR_JSON: &[Format] = &[Format::Text, Format::Json];
const PICTURES: &[Format] = &[Format::Svg, Format::Dot, Format::Mermaid];

/// The model of the inventory in the stream, and the network that follows from it.
pub(crate) fn planned(stream: &Stream, context: &mut Context<'_>) -> Result<(Model, NetworkSpec), Failure> {
    let (tree, source) = stream.inventory()?;
    let (model, warnings) = kmh_model::load(&tree, &[Need::Asn, Need::Tunnels])
        .map_err(|problems| Failure::problems(&source, &problems))?;
    context.warn_all(&source, &warnings);
    let spec = plan(&model).map_err(|error| Failure::wrong(error.to_string()))?;
    Ok((model, spec))
}

fn run_plan(stream: &Stream, context: &mut Context<'_>) -> Result<Outcome<NetworkSpec>, Failure> {
    let (model, spec) = planned(stream, context)?;
    let machines = machines(&model);
    context.check_limit(machines.iter().cloned())?;
    let chosen: BTreeSet<&str> = machines
        .iter()
        .filter(|(name, site, roles)| context.chosen(name, *site, roles))
        .map(|(name, ..)| *name)
        .collect();
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
        steps: None,
        spec: spec.into(),
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
