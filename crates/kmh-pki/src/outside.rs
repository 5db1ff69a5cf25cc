//! Files outside the store that a verb reads or writes by name.
//!
//! One rule for all that are written: what is there already may be replaced only if it is empty, an earlier output of the
//! same verb for the same store, or with `--force`. It is asked before anything is changed.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use kmh_cli::{Common, Context, Env, Failure, file};

/// The name that means stdin or stdout.
const STREAM: &str = "-";

/// Whether a name means stdin or stdout.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == STREAM
}

/// Refuses a file that cannot be written, or that holds what `ours` does not know for an earlier `what`, such as `tar of
/// this store`. Nothing is touched.
pub(crate) fn refuse_other(
    path: &Path,
    force: bool,
    what: &str,
    ours: impl FnOnce(&mut File) -> io::Result<bool>,
) -> Result<(), Failure> {
    file::probe_named(path)?;
    if force {
        return Ok(());
    }
    let failed = |error: &io::Error| {
        Failure::world(format!("cannot read `{}`, which is there already", path.display()))
            .because(file::plain(error))
            .hint("name another file; `--force` replaces this one")
    };
    let mut there = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| failed(&error))?,
    };
    let empty = there.metadata().map_err(|error| failed(&error))?.len() == 0;
    if empty || ours(&mut there).map_err(|error| failed(&error))? {
        return Ok(());
    }
    Err(Failure::wrong(format!("`{}` is there already, and is no {what}", path.display()))
        .hint("name another file; `--force` replaces this one"))
}

/// Refuses `-` for an option that reads a file where stdin is read for the inventory, or is a terminal.
pub(crate) fn refuse_stdin(
    option: &str,
    path: Option<&Path>,
    env: &Env,
    common: &Common,
) -> Result<(), Failure> {
    if !path.is_some_and(is_stream) {
        return Ok(());
    }
    if common.input.is_empty() || common.input.iter().any(|input| is_stream(input)) {
        return Err(Failure::wrong(format!("`{option} -` reads stdin, and so does the inventory"))
            .hint("name the inventory: `-i cluster.yaml`"));
    }
    if env.stdin_is_terminal {
        return Err(Failure::wrong(format!("`{option} -` reads stdin, and stdin is a terminal"))
            .hint("name a file, or pipe it in"));
    }
    Ok(())
}

/// Reads a file that the command line names, `-` for stdin: at most one octet more than any that is meant.
pub(crate) fn read(path: &Path, limit: usize, env: &mut Env) -> Result<Vec<u8>, Failure> {
    if !is_stream(path) {
        return file::read_up_to(path, limit);
    }
    file::up_to(&mut env.stdin, limit)
        .map_err(|error| Failure::world("cannot read stdin").because(file::plain(&error)))
}

/// What it is called in messages.
pub(crate) fn shown(path: &Path) -> String {
    if is_stream(path) { "stdin".to_owned() } else { path.display().to_string() }
}

/// Sends what holds keys to stdout, from where it is cleared: a text for people would be copied. A reader that left is no
/// error. Says that something was written.
pub(crate) fn send(context: &mut Context<'_>, bytes: &[u8]) -> Result<bool, Failure> {
    let out = &mut context.env.stdout;
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::world("cannot write to stdout").because(file::plain(&error)))
        }
        _ => Ok(true),
    }
}
