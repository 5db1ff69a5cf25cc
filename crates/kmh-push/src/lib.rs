//! `kmh-push`: the bundle onto nodes, routers and into folders.
//!
//! What is wanted (`kmh_store::wanted`) and what is seen on a target (`target`, `dir`, `ssh`) give a plan (`plan`,
//! pure), which `deploy` carries out for one machine and `apply` for all. Secrets come from the store at that moment,
//! and are put into files that exist only in memory until they are written.

mod apply;
mod arch;
mod args;
mod body;
mod deploy;
mod diff;
mod dir;
mod generation;
mod plan;
mod programs;
mod report;
mod ssh;
mod target;
#[cfg(test)]
mod testing;
mod turns;

use clap::CommandFactory as _;
use kmh_cli::args::Format;
use kmh_cli::{Env, Exit};

/// Runs the program.
pub fn run(env: &mut Env) -> Exit {
    let cli: args::Cli = match kmh_cli::parse(env) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match cli.verb.unwrap_or(args::Verb::Apply) {
        args::Verb::Fetch => {
            kmh_cli::answer(env, "kmh-push", &cli.common, &[Format::Text], |stream, ctx, _| {
                apply::fetch(&cli.apply, stream, ctx)
            })
        }
        args::Verb::Apply => {
            kmh_cli::filter(env, "kmh-push", &cli.common, |stream, ctx| apply::apply(&cli.apply, stream, ctx))
        }
    }
}

/// The command line, for the man page and completions.
pub fn command() -> clap::Command {
    args::Cli::command()
}
