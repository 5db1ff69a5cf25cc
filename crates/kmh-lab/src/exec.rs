//! `exec`: a command in a machine. This process becomes the command, so that signals, terminal and exit code are its own.

use std::os::unix::process::CommandExt as _;

use kmh_cli::{Answer, Failure, file::plain};

use crate::args::Exec;
use crate::machine::{Place, inside};
use crate::state::chosen;

pub(crate) fn run(exec: &Exec, named: Option<&str>) -> Result<Answer, Failure> {
    let (lab, state) = chosen(named)?;
    let place = Place::named(&lab, &state, &exec.machine)?;
    let error = inside(&lab, &place, &exec.command).exec();
    Err(Failure::world("cannot run nsenter").because(plain(&error)).hint("apt-get install util-linux"))
}
