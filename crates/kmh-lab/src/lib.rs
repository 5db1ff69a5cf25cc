//! `kmh-lab`: the bundle rehearsed on one Linux machine, with the real daemons.
//!
//! A stream gives a plan ([`plan`], pure): namespaces, links, machines with their files. The doer brings it about, or the
//! difference to what is up. Everything lies in network namespaces of the lab's own, to which nothing of this machine's
//! network is joined, and in one folder ([`state`]); so the name of a lab is enough to take it away.

mod args;
pub mod doctor;
pub mod esp;
pub mod machine;
pub mod plan;
pub mod state;
pub mod vm;

use clap::CommandFactory as _;
use kmh_cli::{Env, Exit, Failure, Format};

pub use args::Carrier;
use args::{Cli, Verb};

/// The program's name.
pub(crate) const TOOL: &str = "kmh-lab";
const TEXT_OR_JSON: &[Format] = &[Format::Text, Format::Json];

/// Runs the program.
pub fn run(env: &mut Env) -> Exit {
    let cli: Cli = match kmh_cli::parse(env) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    if let Some(exit) = vm::forward::run(env, &cli) {
        return exit;
    }
    let common = &cli.common;
    kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |_, form| match &cli.verb {
        Verb::Doctor => doctor::answer(form),
        Verb::VmInit => Err(vm::guest::init()),
        Verb::VmAgent => Err(vm::agent::serve()),
        verb => Err(not_built(verb)),
    })
}

fn not_built(verb: &Verb) -> Failure {
    let name = format!("{verb:?}").split(['(', ' ']).next().unwrap_or_default().to_lowercase();
    Failure::wrong(format!("{name} is not built yet"))
}

/// The command line, for the man page and completions.
pub fn command() -> clap::Command {
    Cli::command()
}
