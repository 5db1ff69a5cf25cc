//! `systemctl` in a light machine, where systemd is not: kmh-push and people act on units by it.
//!
//! Units that a light machine runs are started, reloaded and stopped by the lab's own table; those of the bundle that it
//! leaves out are taken as they come, and said to be left out; others are refused as systemd refuses them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use kmh_cli::{Answer, Context, Exit, Failure, file};

use crate::args::Systemctl;
use crate::init::OWN;
use crate::machine::output;
use crate::plan::MachinePlan;
use crate::services::{self, Act};

/// Beside the program: the machine's units, a line each, with what becomes of them.
pub(crate) const UNITS: &str = "units";
const RUNS: &str = "runs";
const IDLE: &str = "idle";

/// What stands in for the program; sudo and sshd look there first.
pub(crate) const PATH: &str = "/usr/local/sbin/systemctl";

/// The list of a machine's units.
pub(crate) fn units(planned: &MachinePlan) -> String {
    let mut text = String::new();
    let (run, idle) = (planned.services.iter(), planned.idle.iter());
    for (unit, word) in run.map(|unit| (unit, RUNS)).chain(idle.map(|unit| (unit, IDLE))) {
        let _ = writeln!(text, "{unit} {word}");
    }
    text
}

/// The stand-in's text.
pub(crate) fn stand_in() -> String {
    format!("#!/bin/sh\nexec /{OWN}/kmh-lab systemctl -- \"$@\"\n")
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    verb: String,
    properties: Vec<String>,
    units: Vec<String>,
}

fn asked(words: &[String]) -> Asked {
    let mut asked = Asked { verb: String::new(), properties: Vec::new(), units: Vec::new() };
    for word in words {
        if let Some(names) = word.strip_prefix("--property=").or_else(|| word.strip_prefix("-p")) {
            asked.properties.extend(names.split(',').map(str::to_owned));
        } else if word.starts_with('-') {
            // How it is said and asked, of which there is nothing here.
        } else if asked.verb.is_empty() {
            asked.verb.clone_from(word);
        } else if word.contains('.') {
            asked.units.push(word.clone());
        } else {
            asked.units.push(format!("{word}.service"));
        }
    }
    asked
}

/// What a verb does to a unit; none of it is told apart where systemd would, for a unit that does not run.
fn act(verb: &str) -> Option<Act> {
    let all = [
        ("start", Act::Start),
        ("stop", Act::Stop),
        ("restart", Act::Restart),
        ("try-restart", Act::Restart),
        ("reload", Act::Reload),
        ("reload-or-restart", Act::Reload),
    ];
    all.into_iter().find(|(name, _)| *name == verb).map(|(_, act)| act)
}

/// Does what is asked.
pub(crate) fn run(systemctl: &Systemctl, context: &mut Context<'_>) -> Result<Answer, Failure> {
    let asked = asked(&systemctl.words);
    let list = file::read_if_there(&Path::new("/").join(OWN).join(UNITS))?;
    let list = String::from_utf8(list.unwrap_or_default()).unwrap_or_default();
    let known: BTreeMap<&str, &str> = list.lines().filter_map(|line| line.split_once(' ')).collect();
    let text = match asked.verb.as_str() {
        "daemon-reload" => String::new(),
        "show" => shown(&asked, &known),
        "enable" => {
            each(&asked, &known, context, |_| Ok(()))?;
            String::new()
        }
        verb => {
            let act = act(verb).ok_or_else(|| {
                Failure::wrong(format!("a light machine has no systemd, and `systemctl {verb}` not"))
                    .hint("it starts, stops, restarts, reloads, enables and shows the units of its bundle")
            })?;
            each(&asked, &known, context, |unit| done(unit, act))?;
            String::new()
        }
    };
    Ok(Answer { text, exit: Exit::Done })
}

/// Every unit in turn; those that the machine leaves out are only named.
fn each(
    asked: &Asked,
    known: &BTreeMap<&str, &str>,
    context: &mut Context<'_>,
    work: impl Fn(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for unit in &asked.units {
        match known.get(unit.as_str()) {
            Some(&IDLE) => context.say(&format!("{unit} does not run on a light machine")),
            // Of the distribution, as systemd-sysctl is: in no bundle's list.
            None if !services::is_known(unit, false) => {
                return Err(Failure::wrong(format!("unit {unit} not found"))
                    .hint("a light machine knows the units of its bundle alone"));
            }
            _ => work(unit)?,
        }
    }
    Ok(())
}

fn done(unit: &str, act: Act) -> Result<(), Failure> {
    let Some(script) = services::script(unit, act) else { return Ok(()) };
    output(Command::new("sh"), script.as_bytes()).map(|_| ()).map_err(|failure| failure.at(unit))
}

fn shown(asked: &Asked, known: &BTreeMap<&str, &str>) -> String {
    let blocks = asked.units.iter().map(|unit| {
        let state = if known.contains_key(unit.as_str()) { "enabled" } else { "" };
        let active = if known.get(unit.as_str()) == Some(&RUNS) { "active" } else { "inactive" };
        let all = [("Id", unit.as_str()), ("UnitFileState", state), ("ActiveState", active)];
        let wanted = all
            .iter()
            .filter(|(name, _)| asked.properties.is_empty() || asked.properties.iter().any(|p| p == name));
        wanted.fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}={value}");
            text
        })
    });
    blocks.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_kmh_push_asks_is_understood() {
        let one = asked(&words("--no-ask-password reload-or-restart -- frr.service"));
        assert_eq!((act(&one.verb), one.units), (Some(Act::Reload), vec!["frr.service".to_owned()]));
        let show =
            asked(&words("show --property=Id --property=UnitFileState -- frr kubelet.service x.service"));
        let known = BTreeMap::from([("frr.service", RUNS), ("kubelet.service", IDLE)]);
        assert_eq!(
            shown(&show, &known),
            "Id=frr.service\nUnitFileState=enabled\n\nId=kubelet.service\nUnitFileState=enabled\n\nId=x.service\n\
             UnitFileState=\n"
        );
        assert_eq!(act("mask"), None);
    }
}
