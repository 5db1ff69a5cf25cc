//! `--schema KIND`.

use std::io::Write as _;

use kmh_doc::Kind;

use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Prints the committed schema of a kind, or says why there is none.
pub(crate) fn answer(env: &mut Env, tool: &str, name: &str) -> Exit {
    let failure = match Kind::from_name(name) {
        Some(kind) => match kmh_doc::schema::schema(kind) {
            Some(text) => return output::whole(env, tool, &[text.as_bytes()], Exit::Done),
            None => Failure::wrong(format!("`{name}` has no schema in this version"))
                .because(format!("no verb of {} writes it yet", kind.writer())),
        },
        None => Failure::wrong(format!("`{name}` is no kind of document that kmh knows")).hint(
            match Kind::nearest(name) {
                Some(kind) => format!("did you mean `{kind}`?"),
                None => format!("the kinds are {}", Kind::ALL.map(Kind::as_str).join(", ")),
            },
        ),
    };
    let _ = env.stderr.write_all(failure.render(tool, false).as_bytes());
    failure.exit
}
