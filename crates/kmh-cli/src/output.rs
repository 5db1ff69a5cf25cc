//! What goes to standard output: whole or not at all.

use std::io::{ErrorKind, Write as _};

use serde_json::json;

use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file::plain;

/// Writes all pieces and gives the exit code that the work earned: a reader that left is no error.
///
/// Nothing is written before everything is computed, so standard output is whole or empty unless the disk fills up.
pub(crate) fn whole(env: &mut Env, tool: &str, pieces: &[&[u8]], exit: Exit) -> Exit {
    let written =
        pieces.iter().try_for_each(|piece| env.stdout.write_all(piece)).and_then(|()| env.stdout.flush());
    match written {
        Ok(()) => exit,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit,
        Err(error) => {
            let failure = Failure::world("cannot write to stdout").because(plain(&error));
            let _ = env.stderr.write_all(failure.render(tool, false).as_bytes());
            exit.max(Exit::World)
        }
    }
}

/// The object that `-o ansible` prints for a run that failed before it had a result.
pub(crate) fn ansible_failure(message: &str) -> String {
    let object = json!({"changed": false, "failed": true, "msg": message, "diff": [], "documents": []});
    format!("{object}\n")
}
