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
        None => Failure::wrong(format!("`{name}` is no kind of document that kmh knows")).hint(others(name)),
    };
    let _ = env.stderr.write_all(failure.render(tool, false).as_bytes());
    failure.exit
}

/// Whether a kind has a schema in this version.
fn has_one(kind: Kind) -> bool {
    kmh_doc::schema::schema(kind).is_some()
}

/// The kind that may be meant, or else all that have a schema.
fn others(name: &str) -> String {
    if let Some(kind) = Kind::nearest(name).filter(|kind| has_one(*kind)) {
        return format!("did you mean `{kind}`?");
    }
    let kinds = Kind::ALL.into_iter().filter(|kind| has_one(*kind)).map(Kind::as_str);
    format!("the kinds are {}", kinds.collect::<Vec<_>>().join(", "))
}
