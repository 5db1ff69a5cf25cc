//! `kmh-lab`: the bundle rehearsed on one Linux machine, with the real daemons.
//!
//! A stream gives a plan ([`plan`], pure): namespaces, links, machines with their files. The doer brings it about, or the
//! difference to what is up. Everything lies in network namespaces of the lab's own, to which nothing of this machine's
//! network is joined, and in one folder ([`state`]); so the name of a lab is enough to take it away.

mod answer;
mod args;
mod build;
mod capture;
pub mod doctor;
mod down;
pub mod esp;
mod exec;
pub mod full;
mod init;
pub mod machine;
mod measure;
pub mod memory;
pub mod plan;
mod probe;
mod receive;
mod report;
mod resolver;
mod rest;
mod run;
mod services;
mod shape;
mod ssh;
pub mod state;
mod system;
mod systemctl;
mod trace;
mod up;
mod verbs;
pub mod vm;
mod weather;

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
    let (common, lab) = (&cli.common, cli.lab.as_deref());
    match &cli.verb {
        // They speak with the program that started them alone.
        Verb::Init(init) => hidden(env, common, |env| init::run(init, env)),
        Verb::Receive => hidden(env, common, receive::run),
        Verb::Answer(answer) => hidden(env, common, |env| answer::run(answer, env)),
        Verb::Systemctl(systemctl) => kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |context, _| {
            systemctl::run(systemctl, context)
        }),
        Verb::StandIn => hidden(env, common, |_| esp::apply::run()),
        Verb::VmInit => hidden(env, common, |_| Err(vm::guest::init())),
        Verb::VmAgent => hidden(env, common, |_| Err(vm::agent::serve())),
        Verb::Doctor => {
            kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |_, format| doctor::answer(format))
        }
        Verb::Up(up) => kmh_cli::answer(env, TOOL, common, TEXT_OR_JSON, |stream, context, format| {
            up::run(up, lab, stream, context, format)
        }),
        Verb::Probe(probe) => probe::connect::run(env, probe.source, probe.target),
        verb => kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |context, format| {
            system::need_root()?;
            match verb {
                Verb::Exec(exec) => exec::run(exec, lab),
                Verb::Down(down) => down::run(down, lab, format),
                other => verbs::run(other, lab, context, format).unwrap_or_else(|| Err(not_built(other))),
            }
        }),
    }
}

fn hidden(
    env: &mut Env,
    common: &kmh_cli::Common,
    work: impl FnOnce(&mut Env) -> Result<(), Failure>,
) -> Exit {
    kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |context, _| {
        work(context.env).map(|()| kmh_cli::Answer { text: String::new(), exit: Exit::Done })
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
