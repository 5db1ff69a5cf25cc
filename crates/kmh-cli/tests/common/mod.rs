//! A small filter over real kinds, run in process.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses its part")]

use clap::Parser;
use kmh_cli::{Captured, Common, Context, Env, Exit, Failure, Outcome, Stream, filter, parse};
use kmh_doc::check::{CheckSpec, Summary};
use kmh_doc::pki::PkiSpec;
use kmh_doc::{Digest, Kind, Spec};

#[derive(Parser)]
#[command(name = "kmh-test", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
}

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn exits(self, exit: Exit) -> Self {
        assert_eq!(self.exit, exit, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Every text is in standard error.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "stderr lacks {text:?}:\n{}", self.err);
        }
        self
    }

    /// Standard output is exactly these lines.
    #[track_caller]
    pub fn prints(self, lines: &[&str]) -> Self {
        assert_eq!(self.out.lines().collect::<Vec<_>>(), lines, "stderr:\n{}", self.err);
        self
    }

    /// Refused: exit 2, nothing on standard output.
    #[track_caller]
    pub fn refused(self, texts: &[&str]) -> Self {
        assert_eq!(self.out, "");
        self.exits(Exit::Wrong).says(texts)
    }
}

/// Runs a filter in a fake environment that `change` may alter first.
pub fn run_in<T: Spec>(
    args: &[&str],
    stdin: impl Into<Vec<u8>>,
    change: impl FnOnce(&mut Env),
    run: impl FnOnce(&Stream, &mut Context<'_>) -> Result<Outcome<T>, Failure>,
) -> Ran {
    let (mut env, captured): (Env, Captured) = Env::fake(["kmh-test"].iter().chain(args), stdin);
    change(&mut env);
    let exit = match parse::<Cli>(&mut env) {
        Ok(cli) => filter(&mut env, "kmh-test", &cli.common, run),
        Err(exit) => exit,
    };
    Ran { exit, out: captured.stdout_text(), err: captured.stderr_text() }
}

/// The outcome of a filter that did its work.
pub fn outcome<T>(spec: T, from: Vec<Kind>) -> Outcome<T> {
    Outcome {
        spec: spec.into(),
        from,
        changed: true,
        exit: Exit::Done,
        message: "made it".into(),
        text: "a table".into(),
        diff: vec![],
        steps: None,
    }
}

pub fn pki(store: &str) -> PkiSpec {
    PkiSpec {
        store: store.into(),
        planned: false,
        certificates: vec![],
        keys: vec![],
        rotations: vec![],
        steps: vec![],
    }
}

pub fn report(ok: bool) -> Outcome<CheckSpec> {
    let spec = CheckSpec { ok, summary: Summary::default(), results: vec![] };
    Outcome { exit: if ok { Exit::Done } else { Exit::No }, changed: false, ..outcome(spec, vec![]) }
}

/// A filter that makes a pki document from an inventory.
pub fn derive(args: &[&str], stdin: impl Into<Vec<u8>>) -> Ran {
    run_in(
        args,
        stdin,
        |_| {},
        |stream, _| {
            stream.inventory()?;
            Ok(outcome(pki("own"), vec![Kind::Inventory]))
        },
    )
}

/// A filter that reports on whatever is there.
pub fn check(args: &[&str], stdin: impl Into<Vec<u8>>) -> Ran {
    run_in(args, stdin, |_| {}, |_, _| Ok(report(true)))
}

pub const INVENTORY: &str = r#"{"kind":"kmh.inventory/v1","spec":{"a":1}}"#;
pub const NOTE: &str = r#"{ "spec": {"b":1.50, "a": "\u00e9"},  "kind":"example.com/note", "more": [1e2] }"#;
pub const OWN_CHECK: &str = r#"{"kind":"kmh.check/v1","from":{},"spec":{"ok":true,"summary":{"ok":0,"warning":0,"critical":0,"unknown":0,"skipped":0},"results":[]}}"#;

/// The digest of a document.
pub fn digest(document: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(document).unwrap();
    Digest::of(value["kind"].as_str().unwrap(), &value["spec"]).unwrap().to_string()
}

/// A document of that kind, made from others.
pub fn made(kind: Kind, from: &[&str], spec: &str) -> String {
    let from: Vec<String> = from
        .iter()
        .map(|document| {
            let value: serde_json::Value = serde_json::from_str(document).unwrap();
            format!("{}:\"{}\"", value["kind"], digest(document))
        })
        .collect();
    format!("{{\"kind\":\"{kind}\",\"from\":{{{}}},\"spec\":{spec}}}", from.join(","))
}

/// The document that `derive` makes from an inventory.
pub fn own(inventory: &str) -> String {
    made(Kind::Pki, &[inventory], r#"{"store":"own","certificates":[],"keys":[]}"#)
}
