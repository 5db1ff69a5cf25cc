//! Man pages, completions, JSON Schemas and pictures: written by this test when `KMH_UPDATE` is set (`make gen`), compared with
//! the committed files otherwise. And the pages written by hand: well-formed, and complete.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use kmh_doc::{Kind, schema};
use kmh_tests::sandbox::{Sandbox, TOOLS, root, walk};

/// Folders in which every file is generated, or written by hand and named here.
const FOLDERS: [&str; 3] = ["man", "completions", "crates/kmh-doc/schemas"];
const BY_HAND: [&str; 2] = ["man/kmh.7", "man/kmh-inventory.5"];

/// Pictures of the article's cluster, and the options of `kmh-bgpcfg draw` that make them.
const PICTURES: [(&str, &str); 2] = [
    ("docs/article.svg", ""),
    ("docs/article-cut.svg", "--down tunnel/fw-attic--gw-vps --path attic-1 vps-1"),
];

/// The date that manual pages carry, since they must have one: of the last change that a reader would notice.
const DATE: &str = "2026-11-23";

/// Where each shell looks, and under which name.
const SHELLS: [(Shell, &str, &str, &str); 3] =
    [(Shell::Bash, "bash", "", ".bash"), (Shell::Zsh, "zsh", "_", ""), (Shell::Fish, "fish", "", ".fish")];

fn commands() -> [clap::Command; 6] {
    [
        kmh_pki::command(),
        kmh_bgpcfg::command(),
        kmh_render::command(),
        kmh_push::command(),
        kmh_check::command(),
        kmh_lab::command(),
    ]
}

fn updating() -> bool {
    std::env::var_os("KMH_UPDATE").is_some()
}

/// Every generated file: its path below the workspace and what it must hold.
fn wanted() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for command in commands() {
        let name = command.get_name().to_owned();
        files.insert(format!("man/{name}.1").into(), page(&command));
        for (shell, folder, before, after) in SHELLS {
            let mut script = vec![];
            clap_complete::generate(shell, &mut command.clone(), &name, &mut script);
            if shell == Shell::Bash {
                // Two spellings of one label, when a program's name has a hyphen: after a verb nothing would be
                // completed (clap-rs/clap issue 6421).
                let (wrong, right) = (name.replace('-', "__subcmd__"), name.replace('-', "__"));
                script = String::from_utf8(script).unwrap().replace(&wrong, &right).into_bytes();
            }
            files.insert(format!("completions/{folder}/{before}{name}{after}").into(), script);
        }
    }
    for kind in Kind::ALL {
        if let Some(text) = schema::generate(kind) {
            files
                .insert(Path::new("crates/kmh-doc/schemas").join(schema::file_name(kind)), text.into_bytes());
        }
    }
    // The pictures in the documentation, as a user gets them.
    for (name, options) in PICTURES {
        let ran = Sandbox::new().sh(&format!("kmh-bgpcfg draw -i cluster.yaml {options}"));
        assert_eq!(ran.code, 0, "{ran:?}");
        files.insert(name.into(), ran.stdout.into_bytes());
    }
    files
}

/// The page of a tool in section 1. Verbs and examples are laid out here: `clap_mangen` would refer to a page
/// of its own for each verb, and run the examples together.
fn page(command: &clap::Command) -> Vec<u8> {
    let mut out = vec![];
    let version = command.get_version().unwrap_or_default();
    let man = Man::new(command.clone()).source(format!("kmh {version}")).manual("kmh").date(DATE);
    man.render_title(&mut out).unwrap();
    man.render_name_section(&mut out).unwrap();
    // All options in one row would be no help; those of the tool itself are below.
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([
        bold(command.get_name()),
        roman(" ["),
        italic("VERB"),
        roman("] ["),
        italic("OPTION"),
        roman("]..."),
    ]);
    roff.to_writer(&mut out).unwrap();
    man.render_description_section(&mut out).unwrap();

    let mut roff = Roff::new();
    roff.control("SH", ["VERBS"]);
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        roff.control("TP", []);
        let mut heading = vec![bold(verb.get_name())];
        for argument in verb.get_positionals() {
            heading.extend([roman(" "), italic(argument.get_id().as_str().to_uppercase())]);
        }
        roff.text(heading);
        let about =
            verb.get_long_about().or_else(|| verb.get_about()).map(ToString::to_string).unwrap_or_default();
        roff.text([roman(about)]);
        for option in
            verb.get_arguments().filter(|option| option.get_long().is_some() && !option.is_hide_set())
        {
            let help = option
                .get_long_help()
                .or_else(|| option.get_help())
                .map(ToString::to_string)
                .unwrap_or_default();
            roff.control("RS", []);
            roff.control("TP", []);
            let mut heading = vec![bold(format!("--{}", option.get_long().unwrap()))];
            if let Some(values) = option.get_value_names().filter(|_| option.get_action().takes_values()) {
                heading.extend([
                    roman(" "),
                    italic(values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
                ]);
            }
            roff.text(heading);
            roff.text([roman(help)]);
            roff.control("RE", []);
        }
    }
    roff.to_writer(&mut out).unwrap();
    man.render_options_section(&mut out).unwrap();

    let mut roff = Roff::new();
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    assert!(after.starts_with("EXAMPLES\n"), "{}: --help has no EXAMPLES", command.get_name());
    let mut paragraph = false;
    for line in after.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim().is_empty() {
            paragraph = true;
            continue;
        }
        if std::mem::take(&mut paragraph) && indent > 0 {
            roff.control("PP", []);
        }
        match indent {
            0 => _ = roff.control("SH", [if line.starts_with("EXIT") { "EXIT STATUS" } else { line }]),
            // A sentence ends in a colon, and what to type is below it; a table has lines of its own.
            2 if line.ends_with(':') => _ = roff.text([roman(line.trim())]),
            2 => _ = roff.control("nf", []).text([roman(line.trim())]).control("fi", []),
            _ => {
                _ = roff
                    .control("RS", ["4"])
                    .control("nf", [])
                    .text([roman(&line[4..])])
                    .control("fi", [])
                    .control("RE", []);
            }
        }
    }
    if !after.contains("\nEXIT") {
        roff.control("SH", ["EXIT STATUS"]);
        roff.text([roman("0 done, or the answer is yes; 1 the answer is no; 2 the call or a document is wrong; 3 the world failed.")]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = TOOLS.iter().filter(|tool| **tool != command.get_name()).map(|tool| (*tool, "1"));
    let mut line = vec![];
    for (name, section) in others.chain([("kmh-inventory", "5"), ("kmh", "7")]) {
        line.extend([bold(name), roman(format!("({section})")), roman(", ")]);
    }
    line.pop();
    roff.text(line);
    roff.to_writer(&mut out).unwrap();
    out
}

#[test]
fn committed_files_are_what_the_programs_say() {
    let (wanted, update) = (wanted(), updating());
    let mut found = BTreeSet::new();
    for folder in FOLDERS {
        walk(&root().join(folder), &mut |path| {
            let path = path.strip_prefix(root()).unwrap();
            if root().join(path).is_file() && !BY_HAND.iter().any(|page| Path::new(page) == path) {
                found.insert(path.to_owned());
            }
        });
    }
    let mut wrong = vec![];
    for (path, bytes) in &wanted {
        let full = root().join(path);
        if std::fs::read(&full).is_ok_and(|committed| committed == *bytes) {
            continue;
        }
        wrong.push(format!("{} differs", path.display()));
        if update {
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(&full, bytes).unwrap();
        }
    }
    for path in found.iter().filter(|path| !wanted.contains_key(*path)) {
        wrong.push(format!("{} is generated by nothing", path.display()));
        if update {
            std::fs::remove_file(root().join(path)).unwrap();
        }
    }
    assert!(update || wrong.is_empty(), "run `make gen`: {wrong:#?}");
}

#[test]
fn bash_completes_options_with_and_without_the_verb() {
    if updating() {
        return; // the scripts are being written at this moment
    }
    for command in commands() {
        let name = command.get_name();
        let verb = command.get_subcommands().next().unwrap().get_name();
        for typed in [vec![name, "--li"], vec![name, verb, "--li"]] {
            let script = format!(
                "source {}/completions/bash/{name}.bash; COMP_WORDS=({}); COMP_CWORD={}; _{} {name} --li {}; echo \"${{COMPREPLY[*]}}\"",
                root().display(),
                typed.join(" "),
                typed.len() - 1,
                name.replace('-', "__"),
                typed[typed.len() - 2],
            );
            let ran = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), "--limit", "{typed:?}: {ran:?}");
        }
    }
}

#[test]
fn manual_pages_are_well_formed() {
    if updating() {
        return; // the pages are being written at this moment
    }
    let mut pages = vec![];
    walk(&root().join("man"), &mut |path| pages.push(path.to_owned()));
    assert_eq!(pages.len(), TOOLS.len() + BY_HAND.len());
    for page in pages {
        // -W warning leaves out matters of taste, such as the length of source lines.
        let ran = Command::new("mandoc")
            .args(["-Tlint", "-W", "warning"])
            .arg(&page)
            .output()
            .expect("mandoc: run `make test`");
        let said = String::from_utf8_lossy(&ran.stdout);
        // clap_mangen breaks lines around possible values once too often, which does not show.
        let said: Vec<_> =
            said.lines().filter(|line| !line.contains("skipping paragraph macro: br")).collect();
        assert!(said.is_empty(), "{}: {said:#?}", page.display());
    }
}

#[test]
fn every_variable_and_every_file_of_the_user_is_in_the_manual() {
    let manual = std::fs::read_to_string(root().join("man/kmh.7")).unwrap();
    let mut read = BTreeSet::new();
    walk(&root().join("crates"), &mut |path| {
        if path.components().any(|part| part.as_os_str() == "src") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let names = ["var(\"", "var_os(\""].into_iter().flat_map(|call| text.split(call).skip(1));
            read.extend(names.filter_map(|rest| Some(rest.split_once("\")")?.0.to_owned())));
        }
    });
    assert!(read.contains("KMH_STORE") && read.contains("XDG_CACHE_HOME"), "{read:?}");
    let is_there = |name: &&String| manual.lines().any(|line| line == format!(".It Ev {name}"));
    let missing: Vec<_> = read.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "kmh(7) says nothing about {missing:?}");
    assert!(manual.contains("\n.It Pa ~/.cache/kmh/pki- Ns Ar ID\n"), "the answer of kmh-pki's last run");
    let help = kmh_pki::command().render_long_help().to_string();
    assert!(help.contains("\nFILES\n  ~/.cache/kmh/pki-ID"), "{help}");
}

#[test]
fn every_field_of_the_inventory_is_in_its_manual() {
    let manual = std::fs::read_to_string(root().join("man/kmh-inventory.5")).unwrap();
    let words: BTreeSet<&str> =
        manual.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).collect();
    let schema: serde_json::Value =
        serde_json::from_str(&schema::generate(Kind::Inventory).unwrap()).unwrap();
    let mut fields = BTreeSet::new();
    names(&schema["$defs"], &mut fields);
    assert!(fields.contains("pod_cidrs") && fields.contains("carrier"), "{fields:?}");
    // A field with dots and slashes in it is several words.
    let is_there = |field: &str| words.contains(field) || (field.contains('/') && manual.contains(field));
    let missing: Vec<_> = fields.iter().filter(|field| !is_there(field)).collect();
    assert!(missing.is_empty(), "kmh-inventory(5) says nothing about {missing:?}");
}

/// Every field and every word that a schema knows.
fn names(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("properties", serde_json::Value::Object(fields)) => found.extend(fields.keys().cloned()),
                    ("const", serde_json::Value::String(word)) => _ = found.insert(word.clone()),
                    ("enum", serde_json::Value::Array(words)) => {
                        found.extend(words.iter().filter_map(|word| word.as_str().map(str::to_owned)));
                    }
                    _ => {}
                }
                names(value, found);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}
