//! The program as users call it. What it finds is tested in the library, and on the real pipe in the workspace's tests.
#![allow(clippy::expect_used, reason = "tests")]

use std::io::Write as _;
use std::process::{Command, Stdio};

const ARTICLE: &str = include_str!("../../../examples/article/cluster.yaml");

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str], stdin: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kmh-check"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // A call that is refused does not read; a pipe that is closed then is no failure of the test.
    let _ = child.stdin.take().expect("its stdin").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("its output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn push(outcome: &str, failed: bool) -> String {
    format!(
        r#"{{"kind":"kmh.push/v1","spec":{{"changed":true,"failed":{failed},"machines":[{{"name":"n1","outcome":"{outcome}","error":"no\u001b[31m route","written":[],"unchanged":0}}]}}}}"#
    )
}

#[test]
fn an_inventory_alone_is_checked_and_what_is_missing_is_said() {
    for args in [&["-o", "text"][..], &["static", "-o", "text"]] {
        let ran = run(args, ARTICLE);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("no kmh.pki/v1 in the stream"), "{}", ran.stdout);
        assert!(
            ran.stdout.lines().last().is_some_and(|line| line.starts_with("yes: 1 ok, ")),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn nothing_to_check_is_refused_not_praised() {
    let ran = run(&[], r#"{"kind":"example.com/note","spec":{}}"#);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(
        ran.stderr.contains("there is nothing to check") && ran.stderr.contains("hint:"),
        "{}",
        ran.stderr
    );
    let ran = run(&["--limit", "nobody"], ARTICLE);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.contains("selects no machine"), "{}", ran.stderr);
}

#[test]
fn a_no_is_a_document_and_exit_code_1() {
    let ran = run(&["-o", "json"], &push("unreachable", true));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let documents: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&documents[0]["kind"], &documents[1]["kind"]),
        (&"kmh.push/v1".into(), &"kmh.check/v1".into())
    );
    let spec = &documents[1]["spec"];
    assert_eq!((&spec["ok"], &spec["summary"]["critical"]), (&false.into(), &1.into()));
    let from = documents[1]["from"].as_object().map(serde_json::Map::len);
    assert!(
        from.is_none_or(|kinds| kinds == 0),
        "a report of a push is nothing that the answer is computed from"
    );
    let found = spec["results"]
        .as_array()
        .and_then(|r| r.iter().find(|r| r["state"] == "critical"))
        .expect("a result");
    assert_eq!((&found["id"], &found["subject"]), (&"push.outcome".into(), &"n1".into()));

    // The worst comes first, what came from a host cannot steer the terminal, and the line comes last.
    let ran = run(&["-o", "text"], &push("failed", true));
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.starts_with("CRITICAL push.outcome: n1\n  the push failed: no\\u{1b}[31m route\n  hint: "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.lines().last().is_some_and(|line| line.starts_with("no: 1 critical, ")),
        "{}",
        ran.stdout
    );
}

#[test]
fn warnings_say_no_with_strict() {
    let dry = push("would-change", false).replace(r#""failed""#, r#""dry_run":true,"failed""#);
    assert_eq!(run(&[], &dry).code, Some(0));
    assert_eq!(run(&["--strict"], &dry).code, Some(1));
}

#[test]
fn help_shows_examples() {
    let ran = run(&["--help"], "");
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("EXAMPLES"), "{}", ran.stdout);
}
