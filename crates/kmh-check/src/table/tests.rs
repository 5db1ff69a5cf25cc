//! The table and its manual.

use std::fmt::Write as _;

use kmh_doc::Kind;

use super::*;

/// `docs/checks.md` is this table; `KMH_UPDATE=1` writes it anew.
#[test]
#[allow(clippy::disallowed_methods, reason = "it writes the file that is checked in")]
fn the_manual_lists_every_check() {
    const BEGIN: &str =
        "<!-- from here to the end mark: written by `KMH_UPDATE=1 cargo test -p kmh-check` -->\n";
    const END: &str = "<!-- end mark -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/checks.md");
    let text = std::fs::read_to_string(path).expect("docs/checks.md");
    let (head, rest) = text.split_once(BEGIN).expect("the begin mark");
    let (_, tail) = rest.split_once(END).expect("the end mark");
    let mut rows = String::from("\n| check | is ok when | needs | when it says no |\n|---|---|---|---|\n");
    for check in TABLE {
        let needs: Vec<&str> =
            check.needs().iter().map(|k| k.as_str().split(['.', '/']).nth(1).unwrap()).collect();
        let _ =
            writeln!(rows, "| `{}` | {} | {} | {} |", check.id, check.proves, needs.join(", "), check.advice);
    }
    let mut provided = String::from("\n| path | who brings it |\n|---|---|\n");
    for (path, why) in references::PROVIDED {
        let _ = writeln!(provided, "| `{path}` | {why} |");
    }
    let wanted = format!(
        "{head}{BEGIN}{rows}\n## What the system provides\n{}{provided}\n{END}{tail}",
        references::ABOUT
    );
    if std::env::var_os("KMH_UPDATE").is_some() && text != wanted {
        std::fs::write(path, &wanted).expect("docs/checks.md");
        return;
    }
    assert!(text == wanted, "docs/checks.md is not this table: KMH_UPDATE=1 cargo test -p kmh-check");
}

#[test]
fn ids_are_sorted_single_and_say_their_group() {
    let ids: Vec<&str> = TABLE.iter().map(|c| c.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for check in TABLE {
        let group = check.id.split('.').next().unwrap();
        let named = |k: &Kind| k.as_str() == format!("kmh.{group}/v1");
        assert!(check.needs().iter().any(named), "{}", check.id);
    }
}
