//! The command line, and the way from the stream to the report.

use clap::{CommandFactory as _, Parser, Subcommand};
use kmh_cli::{Common, Context, Env, Exit, Failure, Outcome, Stream};
use kmh_doc::bundle::BundleSpec;
use kmh_doc::check::CheckSpec;
use kmh_doc::inventory::Role;
use kmh_doc::network::NetworkSpec;
use kmh_doc::pki::PkiSpec;
use kmh_doc::push::PushSpec;
use kmh_doc::{Kind, Problems};
use kmh_model::Model;

use crate::bundle::view::Bundle;
use crate::documents::{Documents, Inventory, Pki};
use crate::report;

const TOOL: &str = "kmh-check";

// At most 79 columns: a wrapped command cannot be pasted.
const AFTER: &str = "\
EXAMPLES
  Check everything that the pipe makes, before it is pushed:
    kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render |
      kmh-check -o text

  As a gate, because kmh-push refuses a stream whose check says no:
    kmh-check <stream.json | kmh-push --store pki --to ssh | kmh-check -o text

  One document alone; what needs others is skipped, and says so:
    kmh-bgpcfg <cluster.yaml | kmh-check -o text

  What was looked at, not only what is wrong:
    kmh-check -i stream.json -o text -v

  Warnings say no too, and the report goes to a file:
    kmh-check -i stream.json -o json --only --strict --write check.json

EXIT CODES
  0  the answer is yes
  1  the answer is no
  2  the call or a document is wrong
  3  the world failed: the disk, or who reads the answer
";

/// Is it right, on paper? Certificates, files and network against the inventory and each other
#[derive(Parser, Debug)]
#[command(name = "kmh-check", version, after_long_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand, Debug, Clone, Copy)]
enum Verb {
    /// Check the documents of the stream by themselves (the default)
    Static,
}

/// The command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program.
pub fn run(env: &mut Env) -> Exit {
    let cli = match kmh_cli::parse::<Cli>(env) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match cli.verb.unwrap_or(Verb::Static) {
        Verb::Static => kmh_cli::filter(env, TOOL, &cli.common, check),
    }
}

/// The documents that a check is computed from; a report of a push is not among them, for it differs from run to run.
const FROM: [Kind; 4] = [Kind::Inventory, Kind::Pki, Kind::Network, Kind::Bundle];

fn check(stream: &Stream, ctx: &mut Context<'_>) -> Result<Outcome<CheckSpec>, Failure> {
    if !FROM.iter().chain([&Kind::Push]).any(|kind| stream.has(*kind)) {
        return Err(Failure::wrong(
            "there is nothing to check: the stream has no document that a check is about",
        )
        .hint("give it an inventory, or what kmh-pki, kmh-bgpcfg, kmh-render or kmh-push made of one"));
    }
    let inventory = if stream.has(Kind::Inventory) { Some(load(stream)?) } else { None };
    let pki = stream.find::<PkiSpec>()?;
    let network = stream.find::<NetworkSpec>()?;
    let bundle = stream.find::<BundleSpec>()?;
    let push = stream.find::<PushSpec>()?;
    let documents = Documents {
        inventory: inventory.as_ref().map(|(model, warnings)| Inventory { model, warnings }),
        pki: pki.as_ref().map(|p| Pki::new(&p.spec)),
        network: network.as_ref().map(|n| &n.spec),
        bundle: bundle.as_ref().map(|b| Bundle::new(&b.spec)),
        push: push.as_ref().map(|p| &p.spec),
        now: ctx.env.now,
    };
    let machines = machines(&documents);
    let chosen = |name: &str| {
        ctx.common.limit.is_empty()
            || match machines.binary_search_by(|m| m.name.as_str().cmp(name)).ok().map(|at| &machines[at]) {
                Some(m) => ctx.chosen(&m.name, m.site.as_deref(), &m.roles),
                None => ctx.chosen(name, None, &[]),
            }
    };
    // A mistyped name would otherwise choose nothing, and nothing is always right.
    ctx.check_limit(machines.iter().map(|m| (m.name.as_str(), m.site.as_deref(), m.roles.clone())))?;
    let spec = report::report(&documents, ctx.common.strict, &chosen);
    Ok(Outcome {
        from: FROM.into_iter().filter(|kind| stream.has(*kind)).collect(),
        changed: false,
        exit: if spec.ok { Exit::Done } else { Exit::No },
        message: report::line(&spec),
        text: report::text(&spec, ctx.common.verbose > 0),
        diff: Vec::new(),
        steps: None,
        spec: spec.into(),
    })
}

fn load(stream: &Stream) -> Result<(Model, Problems), Failure> {
    let (tree, source) = stream.inventory()?;
    kmh_model::load(&tree, &[]).map_err(|problems| Failure::problems(&source, &problems))
}

/// A machine as `--limit` chooses it.
struct Known {
    name: String,
    site: Option<String>,
    roles: Vec<&'static str>,
}

/// Every machine that a document names.
fn machines(documents: &Documents<'_>) -> Vec<Known> {
    let words = |roles: &mut dyn Iterator<Item = Role>| {
        roles
            .map(|role| match role {
                Role::ControlPlane => "control-plane",
                Role::Etcd => "etcd",
                Role::Worker => "worker",
            })
            .collect()
    };
    let mut found: Vec<Known> = Vec::new();
    if let Some(Inventory { model, .. }) = &documents.inventory {
        found.extend(model.nodes.values().map(|n| Known {
            name: n.name.to_string(),
            site: Some(n.site.to_string()),
            roles: words(&mut n.roles.iter().copied()),
        }));
        found.extend(model.routers.iter().map(|r| Known {
            name: r.name.to_string(),
            site: Some(r.site.to_string()),
            roles: vec!["router"],
        }));
    }
    if let Some(bundle) = &documents.bundle {
        found.extend(bundle.spec.machines.iter().map(|m| Known {
            name: m.name.clone(),
            site: m.site.clone(),
            roles: words(&mut m.roles.iter().copied()),
        }));
    } else if let Some(network) = documents.network {
        let routers = network.routers.iter().map(|r| (&r.name, &r.site));
        let places = routers.chain(network.nodes.iter().map(|n| (&n.name, &n.site)));
        found.extend(places.map(|(name, site)| Known {
            name: name.clone(),
            site: Some(site.clone()),
            roles: Vec::new(),
        }));
    }
    found.extend(documents.push.into_iter().flat_map(|p| &p.machines).map(|m| Known {
        name: m.name.clone(),
        site: None,
        roles: Vec::new(),
    }));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|b, a| a.name == b.name);
    found
}
