//! `kmh-lab`: the bundle rehearsed on one Linux machine, with the real daemons.
//!
//! A stream gives a plan ([`plan`], pure): namespaces, links, machines with their files. The doer brings it about, or the
//! difference to what is up. Everything lies in network namespaces of the lab's own, to which nothing of this machine's
//! network is joined, and in one folder ([`state`]); so the name of a lab is enough to take it away.

mod answer;
mod args;
mod build;
mod capture;
mod conntrack;
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
pub mod vm;
mod weather;

use clap::CommandFactory as _;
use kmh_cli::{Answer, Context, Env, Exit, Failure, Format};

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
        Verb::Forget => hidden(env, common, |_| conntrack::run()),
        Verb::Split => hidden(env, common, |_| esp::split::run()),
        Verb::VmInit => hidden(env, common, |_| Err(vm::guest::init())),
        Verb::VmAgent => hidden(env, common, |_| Err(vm::agent::serve())),
        Verb::Doctor => {
            kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |_, format| doctor::answer(format))
        }
        Verb::Up(up) => kmh_cli::answer(env, TOOL, common, TEXT_OR_JSON, |stream, context, format| {
            up::run(up, lab, stream, context, format)
        }),
        Verb::Probe(probe) => probe::connect::run(env, probe.source, probe.target, probe.datagram),
        Verb::Exec(exec) => on_a_lab(env, common, |_, _| exec::run(exec, lab)),
        Verb::Down(down) => on_a_lab(env, common, |_, format| down::run(down, lab, format)),
        Verb::Ping(ping) => {
            on_a_lab(env, common, |context, format| probe::ping::run(ping, lab, context, format))
        }
        Verb::Trace(trace) => {
            on_a_lab(env, common, |context, format| trace::run(trace, lab, context, format))
        }
        Verb::Capture(capture) => {
            on_a_lab(env, common, |context, format| capture::run(capture, lab, context, format))
        }
        Verb::Cut(cut) => on_a_lab(env, common, |context, format| weather::cut(cut, lab, context, format)),
        Verb::Heal(heal) => {
            on_a_lab(env, common, |context, format| weather::heal(heal, lab, context, format))
        }
        Verb::Slow(slow) => {
            on_a_lab(env, common, |context, format| weather::slow(slow, lab, context, format))
        }
        Verb::Redial(redial) => {
            on_a_lab(env, common, |context, format| weather::redial::run(redial, lab, context, format))
        }
        Verb::Kill(kill) => {
            on_a_lab(env, common, |context, format| weather::kill(kill, lab, context, format))
        }
        Verb::Measure(measure) => {
            on_a_lab(env, common, |context, format| measure::run(measure, lab, context, format))
        }
    }
}

/// What is asked of a lab that is up.
fn on_a_lab(
    env: &mut Env,
    common: &kmh_cli::Common,
    work: impl FnOnce(&mut Context<'_>, Format) -> Result<Answer, Failure>,
) -> Exit {
    kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |context, format| {
        system::need_root()?;
        work(context, format)
    })
}

fn hidden(
    env: &mut Env,
    common: &kmh_cli::Common,
    work: impl FnOnce(&mut Env) -> Result<(), Failure>,
) -> Exit {
    kmh_cli::answer_alone(env, TOOL, common, TEXT_OR_JSON, |context, _| {
        work(context.env).map(|()| Answer { text: String::new(), exit: Exit::Done })
    })
}

/// The command line, for the man page and completions.
pub fn command() -> clap::Command {
    Cli::command()
}
