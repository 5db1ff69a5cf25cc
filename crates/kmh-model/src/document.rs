//! The document around an inventory: its kind and its spec.

use kmh_doc::tree::Value;
use kmh_doc::{Code, Kind, Problem, Problems, Tree, decode};

/// Keys of a document.
const KEYS: &[&str] = &["kind", "from", "spec"];

/// The spec, and what is wrong around it.
pub(crate) fn open(document: &Tree) -> (Option<&Tree>, Problems) {
    let mut problems = Problems::new();
    let Value::Map(entries) = &document.value else {
        problems.push(
            Problem::error(Code::WrongType, "", "a document is a mapping with `kind` and `spec`")
                .at(document.place)
                .hint(format!("begin with `kind: {}`", Kind::Inventory)),
        );
        return (None, problems);
    };
    let strangers: Vec<&str> =
        entries.iter().map(|(key, _)| key.text.as_str()).filter(|key| !KEYS.contains(key)).collect();
    let bare = document.get("spec").is_none() && strangers.contains(&"cluster");
    for (n, (key, _)) in entries.iter().enumerate() {
        if let Some((first, _)) = entries.iter().take(n).find(|(earlier, _)| earlier.text == key.text) {
            problems.push(
                Problem::error(
                    Code::DuplicateKey,
                    key.text.clone(),
                    format!("the key `{}` stands here a second time", key.text),
                )
                .because(format!(
                    "it stands in line {}, column {} already",
                    first.place.line, first.place.column
                ))
                .hint("keep one of them")
                .at(key.place),
            );
        } else if !KEYS.contains(&key.text.as_str()) && !bare {
            let problem = Problem::error(
                Code::UnknownKey,
                key.text.clone(),
                format!("unknown key {}", kmh_doc::problem::quoted(&key.text)),
            )
            .at(key.place);
            problems.push(match decode::nearest(&key.text, KEYS) {
                Some(hint) => problem.hint(hint),
                None => {
                    problem.hint("it may be `kind` or `spec`; an inventory's own keys stand beneath `spec`")
                }
            });
        }
    }
    match document.get("kind").map(|kind| (&kind.value, kind.place)) {
        None => problems.push(
            Problem::error(Code::MissingKey, "", "`kind` is missing")
                .at(document.place)
                .hint(format!("begin with `kind: {}`", Kind::Inventory)),
        ),
        Some((Value::Text(kind), _)) if kind == Kind::Inventory.as_str() => {}
        Some((_, place)) => problems.push(
            Problem::error(Code::UnknownWord, "kind", "this is no inventory")
                .at(place)
                .hint(format!("write `kind: {}`", Kind::Inventory)),
        ),
    }
    let spec = document.get("spec");
    if spec.is_none() {
        let problem = Problem::error(Code::MissingKey, "", "`spec` is missing").at(document.place);
        problems.push(if bare { problem.hint("put everything else beneath `spec:`") } else { problem });
    }
    (spec, problems)
}
