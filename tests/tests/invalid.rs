//! Every kind of defect has a fixture in `invalid/`, which shows it through the same path that every tool takes, with
//! the text that users see. `KMH_UPDATE=1` writes the texts anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use kmh_cli::{Common, Env, Failure, Source, Stream};
use kmh_doc::{Code, Problems, Tree, tree};
use kmh_model::Need;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// What a tool says to an input.
fn said(name: &str, bytes: &[u8]) -> String {
    let (mut env, _) = Env::fake(["kmh"], bytes.to_vec());
    let arguments = Arguments::parse_from(["kmh"]);
    let rename = |source: Source| Source { name: name.to_owned(), ..source };
    let read = Stream::read(&mut env, &arguments.common, "kmh", None).and_then(|stream| stream.inventory());
    let failure = match read {
        Err(failure) => failure,
        Ok((tree, source)) => match kmh_model::load(&tree, &Need::ALL) {
            Ok((_, problems)) | Err(problems) => Failure::problems(&rename(source), &problems),
        },
    };
    failure
        .render("kmh", false)
        .replace("(stdin", &format!("({name}"))
        .replace("at stdin", &format!("at {name}"))
}

/// The problems of an input.
fn problems(bytes: &[u8]) -> Problems {
    let read = |bytes| -> Result<Tree, Problems> {
        let text = tree::from_bytes(bytes)?;
        if text.starts_with('{') { tree::parse_json(text) } else { tree::parse_yaml(text) }
    };
    match read(bytes).map(|tree| kmh_model::load(&tree, &Need::ALL)) {
        Ok(Ok((_, problems)) | Err(problems)) | Err(problems) => problems,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("invalid")
}

fn fixture(code: Code) -> (String, Vec<u8>) {
    let name = format!("{code}.yaml");
    let bytes = fs::read(folder().join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    (name, bytes)
}

#[test]
fn every_code_has_a_fixture_that_shows_it() {
    for code in Code::ALL {
        let (name, bytes) = fixture(*code);
        let found: BTreeSet<Code> = problems(&bytes).iter().map(|problem| problem.code).collect();
        assert!(found.contains(code), "{name} shows {found:?}");
    }
}

#[test]
fn nothing_lies_in_the_folder_that_no_code_asks_for() {
    let expected: BTreeSet<String> =
        Code::ALL.iter().flat_map(|code| [format!("{code}.yaml"), format!("{code}.stderr")]).collect();
    let there: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, expected);
}

#[test]
fn users_see_what_is_written_beside() {
    let update = std::env::var_os("KMH_UPDATE").is_some();
    for code in Code::ALL {
        let (name, bytes) = fixture(*code);
        let text = said(&name, &bytes);
        let path = folder().join(format!("{code}.stderr"));
        if update {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(
            text,
            fs::read_to_string(&path).unwrap_or_default(),
            "{name}; KMH_UPDATE=1 writes it anew"
        );
    }
}

/// Messages have one shape: lower case, no final stop, and a place with a line.
#[test]
fn every_message_has_its_shape() {
    for code in Code::ALL {
        for problem in &problems(&fixture(*code).1) {
            let texts = [Some(&problem.message), problem.cause.as_ref(), problem.hint.as_ref()];
            for text in texts.into_iter().flatten() {
                let first = text.chars().next().unwrap();
                let name = ["API", "AS_TRANS", "Calico", "IPv", "Kubernetes", "SITE", "BIRD"]
                    .iter()
                    .any(|name| text.starts_with(name));
                assert!(!first.is_uppercase() || name, "{code}: {text}");
                assert!(!text.ends_with('.') && !text.contains('\n'), "{code}: {text}");
            }
            assert!(problem.place.is_some(), "{code}: {problem:?}");
        }
    }
}

#[test]
fn the_whole_of_a_document_is_said_in_one_run() {
    let text = "kind: kmh.inventory/v1\nspec:\n  cluster: {name: a, pod_cidrs: 10.0.0.0/16, service_cidrs: 10.0.3.0/24}\n  sites:\n\
                \x20 - {name: S, network: 10.1.0.0/24, pod_cidrs: 10.0.0.0/18}\n  - {name: t, network: 10.0.0.0/8, pod_cidrs: 10.2.0.0/18}\n  nodez: []\n";
    let found: Vec<Code> = problems(text.as_bytes()).iter().map(|problem| problem.code).collect();
    // What cannot be read, and what is wrong with the rest.
    assert_eq!(
        found,
        [Code::Overlap, Code::BadLabel, Code::Overlap, Code::Overlap, Code::OutsidePods, Code::UnknownKey]
    );
}

#[test]
fn a_line_of_ten_megabytes_is_refused() {
    let mut text = b"kind: kmh.inventory/v1\nspec: {vars: {a: ".to_vec();
    text.extend(std::iter::repeat_n(b'a', 10 << 20));
    text.extend(b"}}\n");
    let found: Vec<(Code, u32)> =
        problems(&text).iter().map(|problem| (problem.code, problem.place.unwrap().line)).collect();
    assert_eq!(found, [(Code::TooLarge, 2)]);
    assert!(said("x", &text).len() < 400);
    // In JSON a whole document is one line; there a text has its limit.
    let (_, bytes) = fixture(Code::EvenEtcd);
    let mut json = tree::parse_yaml(tree::from_bytes(&bytes).unwrap()).unwrap().to_json();
    json["spec"]["vars"]["a"] = "a".repeat(10 << 20).into();
    let codes: Vec<Code> = problems(json.to_string().as_bytes()).iter().map(|problem| problem.code).collect();
    assert!(codes.contains(&Code::TooLarge), "{codes:?}");
}

#[test]
fn json_is_told_its_places_too() {
    let (_, bytes) = fixture(Code::OutsideNetwork);
    let json = tree::parse_yaml(tree::from_bytes(&bytes).unwrap()).unwrap().to_json();
    let pretty = serde_json::to_string_pretty(&json).unwrap();
    for problem in &problems(pretty.as_bytes()) {
        let line = problem.place.unwrap().line as usize;
        let address = problem.message.split('`').nth(1).unwrap();
        assert!(pretty.lines().nth(line - 1).unwrap().contains(address), "line {line}: {problem:?}");
    }
}
