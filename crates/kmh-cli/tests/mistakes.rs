//! What a tired person types: each mistake is refused, or harmless, and says how to go on.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{INVENTORY, derive};
use kmh_cli::{Env, Exit};

/// As people write it: with comments that no program would bring back.
const YAML: &str = "# chosen with care\nkind: kmh.inventory/v1\nspec: {cluster: {name: attic}}\n";

#[test]
fn what_a_person_wrote_is_not_replaced_by_what_was_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.yaml");
    std::fs::write(&path, YAML).unwrap();
    let file = path.to_str().unwrap();
    for (args, stdin) in [
        (vec!["-i", file, "--write", file], ""),
        (vec!["--write", file], YAML),
        (vec!["--only", "-i", file, "-i", "-", "--write", file], INVENTORY),
    ] {
        derive(&args, stdin)
            .refused(&["`--write` would replace the YAML that was read", "name another file"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), YAML, "{args:?}");
    }
    // A stream may be brought up to date in its place.
    let path = dir.path().join("stream.json");
    std::fs::write(&path, format!("{INVENTORY}\n")).unwrap();
    let file = path.to_str().unwrap();
    derive(&["-i", file, "--write", file], "").exits(Exit::Done);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[test]
fn a_dash_is_no_file_to_write() {
    derive(&["--write", "-"], INVENTORY).refused(&["`--write -` names no file", "leave it out"]);
    assert!(!std::path::Path::new("-").exists());
}

#[test]
fn a_file_without_its_option_is_recognized() {
    derive(&["cluster.yaml"], INVENTORY)
        .refused(&["unexpected argument 'cluster.yaml'", "`-i cluster.yaml`"]);
    derive(&["./cluster"], INVENTORY).refused(&["`-i ./cluster`"]);
    let ran = derive(&["ensrue"], INVENTORY).refused(&["unexpected argument 'ensrue'"]);
    assert!(!ran.err.contains("-i"), "{}", ran.err);
}

#[test]
fn every_mistake_of_a_command_line_is_told_at_once() {
    let refused = |args: &[&str], messages: &[&str]| {
        let ran = derive(args, INVENTORY).refused(messages);
        let told = ran.err.lines().filter(|line| line.starts_with("kmh-test: error: ")).count();
        assert_eq!(told, messages.len(), "{args:?}:\n{}", ran.err);
        let count = format!("kmh-test: {told} errors\n");
        assert_eq!(ran.err.ends_with(&count), told > 1, "{args:?}:\n{}", ran.err);
        assert_eq!(ran.err.matches("For more information").count(), 1, "{}", ran.err);
        assert!(ran.err.matches("Usage:").count() <= 1, "{}", ran.err);
    };
    let unknown = |what: &str| format!("error: unexpected argument '{what}' found");
    let (foo, bar) = (unknown("--foo"), unknown("--bar"));
    refused(&["--foo"], &[&foo]);
    refused(&["--foo", "--bar"], &[&foo, &bar]);
    refused(&["--foo=1", "--only", "--bar"], &[&foo, &bar]);
    // What follows an unknown option is its value.
    refused(&["--foo", "1", "--bar"], &[&foo, &bar]);
    refused(&["one.yaml", "--bar"], &[&unknown("one.yaml"), &bar]);
    let write = "error: a value is required for '--write <FILE>' but none was supplied";
    let output = "error: invalid value 'xml' for '--output <FORMAT>'";
    let color = "error: invalid value 'pink' for '--color <WHEN>'";
    refused(&["--foo", "--write"], &[&foo, write]);
    refused(&["--write", "--foo"], &[write, &foo]);
    refused(&["--write=", "--foo"], &[write, &foo]);
    for form in [&["-o", "xml"][..], &["-oxml"], &["--output", "xml"], &["--output=xml"]] {
        refused(&[form, &["--color", "pink", "--foo"]].concat(), &[output, color, &foo]);
    }
    refused(&["--foo", "-o"], &[&foo, "error: a value is required for '--output <FORMAT>'"]);
    // A program is told all of it, on one line.
    let ran = derive(&["--foo", "--bar", "-o", "ansible"], INVENTORY).exits(Exit::Wrong);
    let result: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(result["msg"], "unexpected argument '--foo' found; unexpected argument '--bar' found");
    // Help that is asked for beside a mistake stays a mistake, and one alone is help.
    refused(&["--foo", "--help"], &[&foo]);
    derive(&["--help"], INVENTORY).exits(Exit::Done);
}

/// A device that never ends, and says how much was read of it.
struct Endless(&'static [u8], std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (head, rest) = self.0.split_at(self.0.len().min(buffer.len()));
        buffer[..head.len()].copy_from_slice(head);
        buffer[head.len()..].fill(b' ');
        self.0 = rest;
        let all = self.1.fetch_add(buffer.len(), std::sync::atomic::Ordering::Relaxed);
        assert!(all < 100 << 20, "it is read without end");
        Ok(buffer.len())
    }
}

#[test]
fn a_device_is_not_read_without_end() {
    for head in ["\0\0", "kind: x", "", "\u{feff}\n["] {
        let change =
            |env: &mut Env| env.stdin = Box::new(Endless(head.as_bytes(), std::sync::Arc::default()));
        common::run_in::<kmh_doc::pki::PkiSpec>(&[], "", change, |_, _| unreachable!())
            .refused(&["stdin has more than 33554432 octets", "begins with `{`"]);
    }
    let zero =
        common::run_in::<kmh_doc::pki::PkiSpec>(&["-i", "/dev/zero"], "", |_| {}, |_, _| unreachable!());
    zero.refused(&["/dev/zero has more than 33554432 octets"]);
}

#[test]
fn the_store_is_named_by_the_command_line_or_else_by_the_environment_of_the_run() {
    let (mut env, _) = Env::fake(["kmh-test"], "");
    assert_eq!(env.store(None), None);
    env.vars.insert("KMH_STORE".into(), "".into());
    assert_eq!(env.store(None), None);
    env.vars.insert("KMH_STORE".into(), "pki".into());
    assert_eq!(env.store(None), Some("pki".into()));
    assert_eq!(env.store(Some("other".into())), Some("other".into()));
}
