//! `redial`: a line gets another address, as providers do it to domestic ones once a day, and its name follows.

use std::fmt::Write as _;
use std::net::IpAddr;

use kmh_cli::{Answer, Context, Exit, Failure, Format};
use serde::Serialize;

use super::names::{How, wanted};
use super::{Lab, daemons, json, restore};
use crate::args::{self, Carrier};
use crate::build::{Places, add};
use crate::memory::across;
use crate::plan::dial;
use crate::services::{Act, IPSEC};
use crate::{conntrack, resolver};

/// What was done, for people and programs.
#[derive(Serialize)]
struct Said<'a> {
    /// The line.
    line: &'a str,
    /// By what others reached it.
    before: Vec<IpAddr>,
    /// By what they reach it now.
    now: Vec<IpAddr>,
    /// The name that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// `redial`.
pub(crate) fn run(
    args: &args::Redial,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let mut lab = Lab::hold(lab)?;
    let lines: Vec<String> = lab.known().into_iter().filter(|name| name.starts_with("uplink/")).collect();
    wanted(std::slice::from_ref(&args.what), &How::Silent, &lines)?;
    let name = args.what.trim_start_matches("uplink/");
    let Some((then, moved)) = dial::again(&lab.state.wires, name) else {
        return Err(Failure::wrong(format!("line `{name}` keeps its address"))
            .because("in the inventory it has one, and is not `dynamic`"));
    };
    let before = public(&lab, name);
    // As with `up`: whoever is killed here leaves a lab that the next `up` makes anew.
    lab.state.half = true;
    lab.state.write(&lab.name)?;
    let pids = lab.state.machines.iter().map(|(name, machine)| (name.clone(), machine.pid)).collect();
    let places = Places { lab: &lab.name, pids };
    add(&places, &mut lab.state.wires, &then, false)?;
    if let Some(space) = translator(&lab, name) {
        conntrack::forget(&lab.name, &lab.state, &space)?;
    }
    lab.state.half = false;
    lab.state.write(&lab.name)?;
    resolver::moved(&lab.name, &moved)?;
    // A line that is cut or slow is so with every address.
    restore(&lab.name, &lab.state, &lab.memory)?;
    told(&lab, name, context)?;
    let line = lab.state.wires.lines.get(name);
    let said = Said {
        line: &args.what,
        before,
        now: public(&lab, name),
        name: line.and_then(|line| line.name.as_deref()),
    };
    if lab.state.tunnels == Some(Carrier::Plain) {
        context.say("tunnels are plain links here, and do not notice; those that encrypt do (`--vm`)");
    }
    let text = if format == Format::Json { json(&said)? } else { shown(&said) };
    Ok(Answer { text, exit: Exit::Done })
}

/// The box that translates the addresses of a line, when there is one.
fn translator(lab: &Lab, name: &str) -> Option<String> {
    let line = lab.state.wires.lines.get(name)?;
    let outer = across(&lab.state, &line.far)?;
    (outer.space != line.near.space).then(|| outer.space.clone())
}

fn public(lab: &Lab, name: &str) -> Vec<IpAddr> {
    lab.state.wires.lines.get(name).map(|line| line.public.clone()).unwrap_or_default()
}

/// pfSense notices that its own line has another address, and writes strongSwan's configuration anew (`rc.newwanip`). Others
/// ask for the name when they call, as strongSwan does.
fn told(lab: &Lab, name: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let Some(line) = lab.state.wires.lines.get(name) else { return Ok(()) };
    let machine = &line.near.space;
    let own = lab.state.machines.get(machine);
    if own.is_some_and(|own| own.services.iter().any(|unit| unit == IPSEC)) {
        context.detail(&format!("{machine} is told its new address"));
        daemons::tell(&lab.name, &lab.state, machine, IPSEC, Act::Reload)?;
    }
    Ok(())
}

fn shown(said: &Said<'_>) -> String {
    let list = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!("{}: {} became {}\n", said.line, list(&said.before), list(&said.now));
    if let Some(name) = said.name {
        let _ = writeln!(text, "{name} says so");
    }
    text
}
