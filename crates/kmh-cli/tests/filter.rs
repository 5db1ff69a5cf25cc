//! Writing: the stream, the other forms, files; warnings, exit codes, and what a failed run leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use common::{INVENTORY, NOTE, OWN_CHECK, Ran, check, derive, outcome, own, pki, report, run_in};
use kmh_cli::{Diff, Env, Exit, Failure, Outcome};
use kmh_doc::check::CheckSpec;
use kmh_doc::pki::PkiSpec;
use kmh_doc::{Code, Kind, Problem, Problems};
use serde_json::{Value, json};

/// A pki filter that warns.
fn warned(args: &[&str]) -> Ran {
    run_in(
        args,
        INVENTORY,
        |_| {},
        |_, context| {
            context.warn("this is odd");
            Ok(outcome(pki("own"), vec![Kind::Inventory]))
        },
    )
}

fn failing(args: &[&str]) -> Ran {
    run_in::<PkiSpec>(
        args,
        INVENTORY,
        |_| {},
        |_, _| Err(Failure::world("the disk is full").because("no space")),
    )
}

#[test]
fn the_own_document_stands_last_on_one_line() {
    let ran = derive(&[], format!("{}\n{INVENTORY}\n{NOTE}", own(INVENTORY))).exits(Exit::Done);
    let ran = ran.prints(&[INVENTORY, NOTE, &own(INVENTORY)]);
    assert_eq!(ran.err, "");
    // An observation was computed from nothing.
    check(&[], NOTE).exits(Exit::Done).prints(&[NOTE, OWN_CHECK]);
}

#[test]
fn only_the_own_document_with_only() {
    derive(&["--only"], format!("{NOTE}\n{INVENTORY}")).exits(Exit::Done).prints(&[&own(INVENTORY)]);
}

#[test]
fn a_terminal_gets_text_and_a_pipe_the_stream() {
    let terminal = |env: &mut Env| env.stdout_is_terminal = true;
    let run = |args: &[&str]| run_in(args, INVENTORY, terminal, |_, _| Ok(report(true)));
    run(&[]).exits(Exit::Done).prints(&["a table"]);
    run(&["-o", "json"]).exits(Exit::Done).prints(&[INVENTORY, OWN_CHECK]);
    derive(&["-o", "text"], INVENTORY).exits(Exit::Done).prints(&["a table"]);
    // A file is no terminal.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    run(&["--write", path.to_str().unwrap()]).exits(Exit::Done).prints(&[]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{INVENTORY}\n{OWN_CHECK}\n"));
}

#[test]
fn text_cannot_steer_the_terminal() {
    let ran = run_in(
        &["-o", "text"],
        INVENTORY,
        |_| {},
        |_, _| Ok(Outcome { text: "name\u{1b}[2J\n".into(), ..outcome(pki("x"), vec![]) }),
    );
    ran.prints(&["name\\u{1b}[2J"]);
}

#[test]
fn ansible_gets_one_object() {
    let diff =
        Diff { before: "a".into(), after: "b".into(), before_header: "x".into(), after_header: "y".into() };
    let made = || Outcome { diff: vec![diff.clone()], ..outcome(pki("own"), vec![Kind::Inventory]) };
    let ran = run_in(&["-o", "ansible"], INVENTORY, |_| {}, |_, _| Ok(made())).exits(Exit::Done);
    assert_eq!(ran.err, "");
    let own: Value = serde_json::from_str(&own(INVENTORY)).unwrap();
    let header = json!({"before": "a", "after": "b", "before_header": "x", "after_header": "y"});
    assert_eq!(
        serde_json::from_str::<Value>(&ran.out).unwrap(),
        json!({"changed": true, "failed": false, "msg": "made it", "diff": [header], "documents": [own]})
    );
}

#[test]
fn ansible_is_told_of_failures_too() {
    let object = |ran: &Ran| serde_json::from_str::<Value>(&ran.out).unwrap();
    let failed =
        |msg: &str| json!({"changed": false, "failed": true, "msg": msg, "diff": [], "documents": []});
    let ran = failing(&["-o", "ansible"]).exits(Exit::World);
    assert_eq!(object(&ran), failed("the disk is full: no space"));
    assert_eq!(object(&derive(&["-oansible"], "").exits(Exit::Wrong)), failed("stdin is empty"));
    let ran = derive(&["--nonsense", "--output=ansible"], "").exits(Exit::Wrong);
    assert_eq!(object(&ran)["msg"], "unexpected argument '--nonsense' found");
    let ran = run_in(&["-o", "ansible"], INVENTORY, |_| {}, |_, _| Ok(report(false))).exits(Exit::No);
    assert_eq!(
        (&object(&ran)["failed"], &object(&ran)["documents"][0]["kind"]),
        (&true.into(), &"kmh.check/v1".into())
    );
}

#[test]
fn check_is_a_synonym_of_dry_run() {
    for (args, wanted) in [(&["--check"][..], true), (&["--dry-run"], true), (&[], false)] {
        let ran = run_in(
            args,
            INVENTORY,
            |_| {},
            |_, context| {
                assert_eq!(context.common.dry_run, wanted);
                Ok(report(true))
            },
        );
        ran.exits(Exit::Done);
    }
}

#[test]
fn a_file_is_written_as_stdout_would_have_been() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pki.json");
    let write = ["--write", path.to_str().unwrap()];
    let ran = derive(&write, INVENTORY).exits(Exit::Done).prints(&[]);
    assert_eq!(ran.err, "");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{INVENTORY}\n{}\n", own(INVENTORY)));

    // The same bytes again leave the file alone, time stamp and inode.
    let before = std::fs::metadata(&path).unwrap();
    derive(&write, INVENTORY).exits(Exit::Done);
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));

    // Other bytes replace it and keep its mode.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    derive(&["--write", path.to_str().unwrap(), "--only"], INVENTORY).exits(Exit::Done);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), own(INVENTORY) + "\n");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_failed_run_keeps_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    std::fs::write(&path, "old").unwrap();
    let write = ["--write", path.to_str().unwrap()];
    failing(&write).exits(Exit::World);
    derive(&write, "").exits(Exit::Wrong);
    warned(&["--strict", write[0], write[1]]).exits(Exit::No);
    // Also when the answer is no: to make, a new file would mean that all is well.
    let ran = run_in(&write, INVENTORY, |_| {}, |_, _| Ok(report(false))).exits(Exit::No);
    // Once, and as a text: nothing failed that would have a prefix.
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "a table\n"));
    let quiet = run_in(&["-q", write[0], write[1]], INVENTORY, |_| {}, |_, _| Ok(report(false)));
    assert_eq!((quiet.exit, quiet.err.as_str()), (Exit::No, ""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/x.json");
    for (path, wanted) in [
        (missing.to_str().unwrap(), "there is no directory"),
        (dir.path().to_str().unwrap(), "it is a directory"),
        ("/dev/null", "no regular file"),
        ("", "a value is required"),
    ] {
        let ran = run_in::<PkiSpec>(&["--write", path], INVENTORY, |_| {}, |_, _| unreachable!());
        ran.refused(&[wanted]);
    }
}

#[test]
fn a_link_is_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
    std::fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink("real.json", &link).unwrap();
    derive(&["--only", "--write", link.to_str().unwrap()], INVENTORY).exits(Exit::Done);
    assert_eq!(std::fs::read_to_string(&real).unwrap(), own(INVENTORY) + "\n");
    assert!(link.is_symlink());
}

#[test]
fn a_tool_that_fails_writes_nothing_or_a_report_that_says_so() {
    failing(&[])
        .exits(Exit::World)
        .says(&["kmh-test: error: the disk is full\n  caused by: no space\n"])
        .prints(&[]);
    let ran =
        run_in(&[], INVENTORY, |_| {}, |_, _| Ok(report(false))).exits(Exit::No).says(&["kmh-test: made it"]);
    assert!(ran.out.contains(r#""spec":{"ok":false"#), "{}", ran.out);
}

#[test]
fn warnings_say_no_with_strict() {
    warned(&[])
        .exits(Exit::Done)
        .says(&["kmh-test: warning: this is odd\n"])
        .prints(&[INVENTORY, &own(INVENTORY)]);
    // What follows in the pipe must not find a document that this run calls wrong.
    warned(&["--strict"])
        .exits(Exit::No)
        .says(&["warning: this is odd", "error: a warning with --strict"])
        .prints(&[]);
    let quiet = warned(&["-q"]).exits(Exit::Done);
    assert_eq!(quiet.err, "");
    warned(&["-q", "--strict"]).exits(Exit::No).says(&["this is odd"]);
    // A report says itself what it found.
    let ran = run_in(
        &["--strict"],
        NOTE,
        |_| {},
        |_, context| {
            context.warn("this is odd");
            Ok(report(true))
        },
    );
    ran.exits(Exit::No).prints(&[NOTE, OWN_CHECK]);
}

#[test]
fn a_tool_that_changes_the_world_can_ask_before_it_does() {
    let ran = run_in::<PkiSpec>(
        &["--strict"],
        NOTE,
        |_| {},
        |_, context| {
            let mut problems = Problems::new();
            problems.push(Problem::warning(Code::EvenEtcd, "spec.nodes", "even"));
            context.warn_all(&kmh_cli::Source { name: "c.yaml".into(), index: 1 }, &problems);
            context.refuse_if_strict()?;
            unreachable!()
        },
    );
    ran.exits(Exit::No).says(&["warning: even", "at spec.nodes (c.yaml)"]).prints(&[]);
}

#[test]
fn all_problems_are_counted() {
    let ran = run_in::<PkiSpec>(&[], NOTE, |_| {}, |_, _| Err(Failure::wrong("a").and(Failure::wrong("b"))));
    assert_eq!(ran.err, "kmh-test: error: a\nkmh-test: error: b\nkmh-test: 2 errors\n");
}

#[test]
fn verbose_says_more_and_quiet_less() {
    let run = |args: &[&str]| {
        run_in(
            args,
            INVENTORY,
            |_| {},
            |_, context| {
                context.say("said");
                context.detail("detailed");
                Ok(report(true))
            },
        )
        .err
    };
    assert_eq!(run(&[]), "kmh-test: said\n");
    assert_eq!(run(&["-v"]), "kmh-test: said\nkmh-test: detailed\nkmh-test: made it\n");
    assert_eq!(run(&["-q"]), "");
}

#[test]
fn colour_is_asked_for_or_the_terminals() {
    let run = |args: &[&str], change: fn(&mut Env)| {
        run_in::<PkiSpec>(args, "", change, |_, _| unreachable!()).err.contains("\u{1b}[")
    };
    let terminal = |env: &mut Env| env.stderr_is_terminal = true;
    let refused = |env: &mut Env| {
        env.stderr_is_terminal = true;
        env.vars.insert("NO_COLOR".into(), "1".into());
    };
    assert!(!run(&[], |_| {}));
    assert!(run(&["--color", "always"], |_| {}));
    assert!(run(&[], terminal));
    assert!(!run(&["--color=never"], terminal));
    assert!(!run(&[], refused));
    assert!(run(&["--color=always"], refused));
}

/// A standard output that fails.
struct Closed(ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(Error::from(self.0))
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
    let run = |kind: ErrorKind, outcome: Outcome<CheckSpec>| {
        run_in(&["-q"], NOTE, |env| env.stdout = Box::new(Closed(kind)), |_, _| Ok(outcome))
    };
    assert_eq!(run(ErrorKind::BrokenPipe, report(true)).exits(Exit::Done).err, "");
    assert_eq!(run(ErrorKind::BrokenPipe, report(false)).exits(Exit::No).err, "");
    run(ErrorKind::StorageFull, report(true))
        .exits(Exit::World)
        .says(&["error: cannot write to stdout", "caused by:"]);
    let help = |env: &mut Env| env.stdout = Box::new(Closed(ErrorKind::BrokenPipe));
    assert_eq!(run_in::<PkiSpec>(&["--help"], "", help, |_, _| unreachable!()).exits(Exit::Done).err, "");
}

#[test]
fn help_and_version_go_to_stdout_and_mistakes_to_stderr() {
    let run = |args: &[&str]| run_in::<PkiSpec>(args, "", |_| {}, |_, _| unreachable!());
    assert!(run(&["--help"]).exits(Exit::Done).out.contains("Usage: kmh-test"));
    assert!(run(&["--version"]).exits(Exit::Done).out.starts_with("kmh-test 0."));
    run(&["--inptu", "x"]).refused(&["kmh-test: error: unexpected argument '--inptu'", "--input"]);
    run(&["-o", "xml"]).refused(&["kmh-test: error: invalid value 'xml'"]);
}

#[test]
fn schemas_are_printed_and_stdin_is_not_read() {
    let run = |args: &[&str]| {
        let terminal = |env: &mut Env| env.stdin_is_terminal = true;
        run_in::<PkiSpec>(args, "", terminal, |_, _| unreachable!())
    };
    for args in [&["--schema", "kmh.bundle/v1"][..], &["--schema=kmh.bundle/v1", "--nonsense"]] {
        let ran = run(args).exits(Exit::Done);
        assert_eq!(Some(ran.out.as_str()), kmh_doc::schema::schema(Kind::Bundle));
    }
    run(&["--schema", "kmh.facts/v1"]).refused(&["`kmh.facts/v1` has no schema in this version"]);
    run(&["--schema", "kmh.bundel/v1"]).refused(&["did you mean `kmh.bundle/v1`?"]);
    run(&["--schema", "x"]).refused(&["the kinds are kmh.inventory/v1, "]);
    let ran = run(&["--schema", "foo"]).exits(Exit::Wrong);
    assert!(ran.err.contains("kmh.check/v1") && ran.err.contains("blocks") && !ran.err.contains("facts"));
    run(&["--schema"]).refused(&["a value is required"]);
}

#[test]
fn machines_are_chosen_by_name_site_and_role() {
    let chosen = |limit: &[&str]| {
        let mut found = Vec::new();
        let ran = run_in(
            limit,
            NOTE,
            |_| {},
            |_, context| {
                let machines = [
                    ("a-1", Some("attic"), vec!["etcd", "worker"]),
                    ("b-1", Some("flat"), vec!["worker"]),
                    ("cluster", None, vec![]),
                ];
                context.check_limit(machines.clone())?;
                found = machines
                    .iter()
                    .filter(|(name, site, roles)| context.chosen(name, *site, roles))
                    .map(|m| m.0)
                    .collect();
                Ok(report(true))
            },
        );
        (found.join(" "), ran)
    };
    for (limit, wanted) in [
        (&[][..], "a-1 b-1 cluster"),
        (&["--limit", "b-1"], "b-1"),
        (&["--limit", "site=attic,cluster"], "a-1 cluster"),
        (&["--limit", "role=worker"], "a-1 b-1"),
        (&["--limit", "role=etcd", "--limit", "site=flat"], "a-1 b-1"),
    ] {
        assert_eq!(chosen(limit).0, wanted, "{limit:?}");
    }
    chosen(&["--limit", "a-2,b-1"]).1.refused(&["`--limit a-2` selects no machine", "a-1, b-1, cluster"]);
    chosen(&["--limit", "rle=etcd"]).1.refused(&["`--limit rle=etcd` selects nothing", "role=NAME"]);
}

#[test]
fn progress_is_for_terminals_and_for_long_runs() {
    let run = |terminal: bool, pause: u64| {
        run_in(
            &[],
            NOTE,
            |env| env.stderr_is_terminal = terminal,
            |_, context| {
                std::thread::sleep(std::time::Duration::from_millis(pause));
                context.progress("3 of 5 machines");
                context.progress("4 of 5 machines");
                Ok(report(true))
            },
        )
        .err
    };
    assert_eq!(run(true, 0), "");
    assert_eq!(run(false, 1100), "");
    assert_eq!(run(true, 1100), "kmh-test: 3 of 5 machines\r\u{1b}[K");
}
