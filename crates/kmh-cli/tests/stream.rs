//! Reading: what a stream of documents may look like, and what is refused, with its place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{INVENTORY, NOTE, OWN_CHECK, check, derive, digest, made, own, pki, report, run_in};
use kmh_cli::{Exit, Failure, Source};
use kmh_doc::pki::PkiSpec;
use kmh_doc::{Digest, Kind};

const YAML: &str = "# the inventory\nkind: kmh.inventory/v1\nspec:\n  a: 1\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn documents_come_in_any_order_and_keep_their_bytes() {
    let network = made(Kind::Network, &[INVENTORY], r#"{ "z":1 , "a":[ ] }"#);
    for order in [[&network, NOTE, INVENTORY], [INVENTORY, &network, NOTE], [NOTE, INVENTORY, &network]] {
        let ran = derive(&[], order.join("\n")).exits(Exit::Done);
        ran.prints(&[order[0], order[1], order[2], &own(INVENTORY)]);
    }
    // However they are separated.
    for between in ["", " ", "\r\n", "\n\n\t\n", "\n\u{feff}"] {
        derive(&[], [INVENTORY, &network].join(between)).prints(&[INVENTORY, &network, &own(INVENTORY)]);
    }
    derive(&[], format!("\u{feff}  \n{INVENTORY}\n")).prints(&[INVENTORY, &own(INVENTORY)]);
}

#[test]
fn a_pretty_printed_or_reordered_document_is_the_same_document() {
    let pretty = "{\r\n  \"spec\": {\r\n    \"a\": 1.0\r\n  },\r\n  \"kind\": \"kmh.inventory/v1\"\r\n}";
    let ran = derive(&[], format!("{pretty}\n{}\n", own(INVENTORY))).exits(Exit::Done);
    assert_eq!(ran.out, format!("{pretty}\n{}\n", own(INVENTORY)));
}

#[test]
fn yaml_is_read_and_passed_on_as_one_line() {
    for text in [
        YAML.to_owned(),
        YAML.replace('\n', "\r\n"),
        format!("\u{feff}---\n{YAML}...\n"),
        YAML.trim_end().into(),
    ] {
        derive(&[], text).exits(Exit::Done).prints(&[INVENTORY, &own(INVENTORY)]);
    }
}

#[test]
fn one_input_does_not_mix_json_and_yaml() {
    let hint = "-i cluster.yaml -i -";
    derive(&[], format!("{YAML}{INVENTORY}\n")).refused(&[
        "stdin begins as YAML and goes on as JSON",
        "at stdin:5",
        hint,
    ]);
    derive(&[], format!("{INVENTORY}\n{YAML}")).refused(&[
        "after document 1",
        "at stdin:2",
        "# the inventory",
        hint,
    ]);
    let dir = folder(&[("cluster.yaml", YAML)]);
    let yaml = dir.path().join("cluster.yaml");
    derive(&["-i", yaml.to_str().unwrap(), "-i", "-"], NOTE).exits(Exit::Done).prints(&[
        INVENTORY,
        NOTE,
        &own(INVENTORY),
    ]);
}

#[test]
fn a_second_yaml_document_is_an_input_of_its_own() {
    derive(&[], format!("{YAML}---\n{YAML}")).refused(&[
        "a second YAML document begins here",
        "stdin:5",
        "name both files",
    ]);
    derive(&[], "---\nkind: kmh.inventory/v1\nspec: {a: 1}\n---\n{\"kind\":\"x\"}\n")
        .refused(&["stdin:5", "-i cluster.yaml -i -"]);
}

#[test]
fn files_replace_stdin_and_may_be_several() {
    let dir = folder(&[("a.json", INVENTORY), ("b.json", NOTE)]);
    let (a, b) = (dir.path().join("a.json"), dir.path().join("b.json"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    derive(&["-i", b, "--input", a], "garbage that nobody reads").prints(&[NOTE, INVENTORY, &own(INVENTORY)]);
    derive(&["-i", a, "-i", "-"], NOTE).prints(&[INVENTORY, NOTE, &own(INVENTORY)]);
    derive(&["-i", "-", "-i", a, "-i", "-"], NOTE).refused(&["stdin is named twice"]);
    derive(&["-i", "/nowhere/x.json"], "").refused(&["cannot read `/nowhere/x.json`", "no such file"]);
    derive(&["-i", "/nowhere/x", "-i", "/nowhere/y"], "").refused(&["/nowhere/x", "/nowhere/y", "2 errors"]);
    derive(&["-i", dir.path().to_str().unwrap()], "").refused(&["is a directory"]);
}

#[test]
fn a_terminal_is_not_waited_for() {
    let stuck = |env: &mut kmh_cli::Env| {
        env.stdin_is_terminal = true;
        env.stdin = Box::new(Unreadable);
    };
    run_in::<PkiSpec>(&[], "", stuck, |_, _| unreachable!())
        .refused(&["stdin is a terminal", "hint: name a file, `kmh-test -i cluster.yaml`"]);
    // An inventory alone is nothing that can be pushed.
    let (mut env, captured) = kmh_cli::Env::fake(["kmh-push"], "");
    stuck(&mut env);
    let common = kmh_cli::Common::default();
    kmh_cli::filter::<PkiSpec>(&mut env, "kmh-push", &common, |_, _| unreachable!());
    let said = captured.stderr_text();
    assert!(
        said.contains("`kmh-push -i stream.json`") && said.contains("| kmh-render | kmh-push`"),
        "{said}"
    );
    let dir = folder(&[("a.json", INVENTORY)]);
    let path = dir.path().join("a.json");
    let ran = run_in(&["-i", path.to_str().unwrap()], "", stuck, |_, _| Ok(report(true)));
    ran.exits(Exit::Done).prints(&[INVENTORY, OWN_CHECK]);
}

struct Unreadable;

impl std::io::Read for Unreadable {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::from_raw_os_error(5))
    }
}

#[test]
fn stdin_that_cannot_be_read_is_the_worlds_fault() {
    let ran = run_in::<PkiSpec>(&[], "", |env| env.stdin = Box::new(Unreadable), |_, _| unreachable!());
    assert_eq!(ran.out, "");
    ran.exits(Exit::World).says(&["cannot read stdin", "caused by: input/output error"]);
}

#[test]
fn an_empty_input_is_explained() {
    for text in ["", "\n \r\n", "\u{feff}", "# nothing\n", "---\n"] {
        derive(&[], text)
            .refused(&["error: stdin is empty", "hint: the command before it in the pipe failed"]);
    }
    let dir = folder(&[("a.json", "\n")]);
    let path = dir.path().join("a.json");
    derive(&["-i", path.to_str().unwrap()], INVENTORY)
        .refused(&["a.json is empty", "should have written it failed"]);
}

#[test]
fn what_is_no_document_is_refused_with_its_place() {
    let second = |text: &str| format!("{INVENTORY}\n{text}");
    let cases: [(String, &[&str]); 15] = [
        (
            second("{\"kind\":"),
            &["stdin ends in the middle of document 2", "at stdin:2, document 2", "was stopped"],
        ),
        (second("{\"kind\": \"x\n\n"), &["at stdin:2, document 2"]),
        (second("{\"kind\": nope}"), &["document 2 of stdin is no valid JSON", "at stdin:2, document 2"]),
        ("{kind: kmh.inventory/v1}".into(), &["no valid JSON", "put a line `---` on top"]),
        (second("killed"), &["after document 1", "at stdin:2", "`killed` stands where"]),
        (second(", {}"), &["without commas", "stdin:2"]),
        (format!("[{INVENTORY}]"), &["stdin is a JSON array", "jq -c '.[]'"]),
        ("\"text\"".into(), &["stdin holds no document"]),
        ("- a\n- b\n".into(), &["stdin holds no document"]),
        (second("{\"spec\":{}}"), &["a document without `kind`", "at stdin:2, document 2"]),
        (second("{\"kind\":1}"), &["the `kind` of a document is no text", "document 2"]),
        (second("{\"kind\":\"a\",\"kind\":\"b\"}"), &["`kind` is written twice", "document 2"]),
        (second("{\"kind\":\"kmh.pki/v1\"}"), &["`kmh.pki/v1` without `spec`"]),
        (second("{\"kind\":\"kmh.pki/v1\",\"spec\":[]}"), &["is no mapping"]),
        ("kind: a\nspec: {}\nkind: b\n".into(), &["`kind` is written twice", "stdin:3"]),
    ];
    for (text, wanted) in cases {
        check(&[], text).refused(wanted);
    }
    check(&[], b"{\"kind\":\n\"\xff\"}".to_vec()).refused(&["0xff is no UTF-8", "stdin:2"]);
    check(&[], b"\xff\xfek\0i\0".to_vec()).refused(&["UTF-16"]);
}

#[test]
fn every_bad_document_is_named_in_one_run() {
    let bad = "{\"kind\":\"kmh.pki/v1\",\"spec\":{},\"speck\":1,\"form\":2}\n{\"spec\":1}\n";
    check(&[], bad).refused(&[
        "no key `speck`",
        "no key `form`",
        "document 1",
        "without `kind`",
        "document 2",
        "3 errors",
    ]);
}

#[test]
fn only_known_kinds_begin_with_kmh() {
    check(&[], r#"{"kind":"kmh.netwrok/v1","spec":{}}"#)
        .refused(&["`kmh.netwrok/v1`", "did you mean `kmh.network/v1`?"]);
    check(&[], r#"{"kind":"kmh.inventory/v2","spec":{}}"#)
        .refused(&["`kmh.inventory/v2`", "`kmh.inventory/v1`"]);
    check(&[], r#"{"kind":"kmh.zzz","spec":{}}"#).refused(&["`kmh.zzz`", "hint:"]);
}

#[test]
fn foreign_documents_are_left_alone() {
    let other =
        r#"{"kind":"ConfigMap","kind2":[],"data":{"a":1,"a":2,"n":12345678901234567890123,"s":"\ud800"}}"#;
    let text = [NOTE, other, NOTE, INVENTORY].join("\n");
    derive(&[], text).exits(Exit::Done).prints(&[NOTE, other, NOTE, INVENTORY, &own(INVENTORY)]);
}

#[test]
fn the_same_document_twice_is_written_once() {
    let spaced = "{ \"spec\": {\"a\": 1}, \"kind\": \"kmh.inventory/v1\" }";
    derive(&[], [INVENTORY, INVENTORY, spaced].join("\n"))
        .exits(Exit::Done)
        .prints(&[INVENTORY, &own(INVENTORY)]);
    let dir = folder(&[("cluster.yaml", YAML)]);
    let yaml = dir.path().join("cluster.yaml");
    derive(&["-i", "-", "-i", yaml.to_str().unwrap()], spaced)
        .exits(Exit::Done)
        .prints(&[spaced, &own(INVENTORY)]);
}

#[test]
fn two_different_documents_of_a_kind_are_refused_with_both_places() {
    let other = r#"{"kind":"kmh.inventory/v1","spec":{"a":2}}"#;
    derive(&[], [INVENTORY, NOTE, other].join("\n")).refused(&[
        "two different `kmh.inventory/v1` documents",
        "at stdin:1, document 1",
        "at stdin:3, document 3",
        "hint:",
    ]);
    let dir = folder(&[("cluster.yaml", YAML), ("old.json", other)]);
    let (yaml, json) = (dir.path().join("cluster.yaml"), dir.path().join("old.json"));
    derive(&["-i", yaml.to_str().unwrap(), "-i", json.to_str().unwrap()], "").refused(&[
        "two different",
        "cluster.yaml\n",
        "old.json\n",
    ]);
    // The same content computed from something else is another document.
    let (one, two) = (made(Kind::Network, &[INVENTORY], "{}"), made(Kind::Network, &[other], "{}"));
    check(&[], [one, two].join("\n")).refused(&["two different `kmh.network/v1` documents"]);
}

#[test]
fn mixed_generations_are_refused_with_both_places() {
    let other = r#"{"kind":"kmh.inventory/v1","spec":{"a":2}}"#;
    let network = made(Kind::Network, &[other], "{}");
    derive(&[], [INVENTORY, &network].join("\n")).refused(&[
        "the `kmh.network/v1` document was made from another `kmh.inventory/v1`",
        "at stdin:2, document 2",
        "at stdin:1, document 1",
        "hint: make it with `kmh-bgpcfg plan`, from this `kmh.inventory/v1`",
    ]);
    // Without the other document there is nothing to hold it against.
    check(&[], network.as_str()).exits(Exit::Done);
}

#[test]
fn the_document_to_be_replaced_may_be_of_any_generation() {
    let other = r#"{"kind":"kmh.inventory/v1","spec":{"a":2}}"#;
    let old = made(Kind::Pki, &[other], r#"{"store":"old","certificates":[],"keys":[]}"#);
    derive(&[], [&old, INVENTORY, NOTE].join("\n")).exits(Exit::Done).prints(&[
        INVENTORY,
        NOTE,
        &own(INVENTORY),
    ]);
    // Also when others were made from what will stand in its place: that is how a stream is put right again.
    let network = made(Kind::Network, &[&own(INVENTORY)], "{}");
    let ran = derive(&[], [&old, INVENTORY, &network].map(ToString::to_string).join("\n")).exits(Exit::Done);
    assert_eq!(ran.err, "");
    ran.prints(&[INVENTORY, &network, &own(INVENTORY)]);
}

#[test]
fn what_was_made_from_the_replaced_document_is_warned_about() {
    let old = made(Kind::Pki, &[INVENTORY], r#"{"store":"old","certificates":[],"keys":[]}"#);
    let bundle = made(Kind::Bundle, &[INVENTORY, &old], r#"{"store":"old","machines":[]}"#);
    let text = [INVENTORY, &old, &bundle].join("\n");
    let ran = derive(&[], text.as_str()).exits(Exit::Done);
    let ran = ran.says(&[
        "warning: the `kmh.bundle/v1` document was made from another `kmh.pki/v1`",
        "kmh-render bundle",
    ]);
    ran.prints(&[INVENTORY, &bundle, &own(INVENTORY)]);
    let strict = derive(&["--strict"], text).exits(Exit::No);
    assert_eq!(strict.out, "");
    // The same one again changes nothing.
    let bundle = made(Kind::Bundle, &[INVENTORY, &own(INVENTORY)], r#"{"store":"old","machines":[]}"#);
    let ran = derive(&["--strict"], [INVENTORY, &own(INVENTORY), &bundle].join("\n")).exits(Exit::Done);
    assert_eq!(ran.err, "");
}

#[test]
fn an_old_report_is_only_warned_about_by_those_who_act_on_it() {
    let bundle = made(Kind::Bundle, &[], r#"{"store":"x","machines":[]}"#);
    let old = made(
        Kind::Push,
        &[&made(Kind::Bundle, &[], "{}")],
        r#"{"changed":false,"failed":false,"machines":[]}"#,
    );
    let text = [&bundle, &old].map(String::as_str).join("\n");
    let ran = check(&[], text.as_str()).exits(Exit::Done);
    ran.says(&["warning: the `kmh.push/v1` document was made from another `kmh.bundle/v1`"])
        .prints(&[&bundle, &old, OWN_CHECK]);
    let ran = derive(&[], [INVENTORY, &text].join("\n")).exits(Exit::Done);
    assert_eq!(ran.err, "");
}

#[test]
fn a_bad_origin_is_refused() {
    let with = |from: &str| format!("{{\"kind\":\"kmh.network/v1\",\"from\":{from},\"spec\":{{}}}}");
    let good = digest(INVENTORY);
    for (from, wanted) in [
        ("[]", "is no mapping"),
        ("null", "is no mapping"),
        (r#"{"kmh.inventory/v1":"sha256:12"}"#, "no digest of `kmh.inventory/v1`"),
        (r#"{"kmh.inventory/v1":5}"#, "no digest of `kmh.inventory/v1`"),
        (r#"{"kmh.inventroy/v1":"sha256:12"}"#, "`kmh.inventroy/v1`, which is no kind"),
        (
            &format!(r#"{{"kmh.inventory/v1":"{good}","kmh.inventory/v1":"{good}"}}"#),
            "`kmh.inventory/v1` twice",
        ),
    ] {
        check(&[], with(from)).refused(&[wanted, "document 1"]);
    }
}

#[test]
fn a_missing_kind_comes_with_the_command_that_makes_it() {
    derive(&[], NOTE)
        .refused(&["there is no `kmh.inventory/v1` document in stdin", "hint: write it by hand"]);
    run_in::<PkiSpec>(&[], NOTE, |_| {}, |stream, _| stream.need::<PkiSpec>().map(|_| unreachable!()))
        .refused(&["no `kmh.pki/v1` document in stdin", "kmh-pki ensure"]);
    run_in::<PkiSpec>(
        &[],
        NOTE,
        |_| {},
        |stream, _| stream.require(&[Kind::Pki, Kind::Network]).map(|()| unreachable!()),
    )
    .refused(&["kmh-pki ensure", "kmh-bgpcfg plan", "2 errors"]);
}

/// Loads the pki document of a stream.
fn load(text: &str) -> Result<kmh_cli::Loaded<PkiSpec>, String> {
    let mut found = None;
    let ran = run_in(
        &[],
        text,
        |_| {},
        |stream, _| {
            found = Some(stream.need::<PkiSpec>()?);
            Ok(report(true))
        },
    );
    found.ok_or(ran.err)
}

#[test]
fn a_used_document_is_decoded_and_checked_in_full() {
    let good = made(Kind::Pki, &[], r#"{"store":"s","certificates":[],"keys":[]}"#);
    let loaded = load(&[NOTE, &good].join("\n")).unwrap();
    assert_eq!(loaded.spec, pki("s"));
    assert_eq!(loaded.digest, Digest::of("kmh.pki/v1", &pki("s")).unwrap());
    assert_eq!(loaded.source, Source { name: "stdin".into(), index: 2 });

    let bad = "{\"kind\":\"kmh.pki/v1\",\n \"spec\":{\"store\":\"s\",\n \"certificates\":[{\"nam\":1}],\n \"keys\":[],\"extra\":1}}";
    let error = load(&[NOTE, bad].join("\n")).unwrap_err();
    for text in ["`extra`", "`nam`", "spec.certificates[0]", "(stdin:4, document 2)", "(stdin:5, document 2)"]
    {
        assert!(error.contains(text), "no {text}: {error}");
    }
}

#[test]
fn a_used_document_says_one_thing_only() {
    let document = |spec: &str| format!("{{\"kind\":\"kmh.pki/v1\",\n\"spec\":\n{spec}}}");
    let error = load(&document(r#"{"store":"s","certificates":[],"keys":[],"store":"t"}"#)).unwrap_err();
    assert!(error.contains("`store` is written twice") && error.contains("spec (stdin:3)"), "{error}");
    let error =
        load(&document("{\"store\":\"s\",\"certificates\":[],\n\"keys\":[9007199254740993]}")).unwrap_err();
    for text in ["`9007199254740993` is too large", "spec.keys[0] (stdin:4)", "hint: write it as a string"] {
        assert!(error.contains(text), "no {text}: {error}");
    }
}

#[test]
fn a_document_that_nobody_uses_is_not_looked_into() {
    let odd = r#"{"kind":"kmh.network/v1","spec":{"unknown":1,"unknown":2,"n":9007199254740993}}"#;
    check(&[], odd).exits(Exit::Done).prints(&[odd, OWN_CHECK]);
}

#[test]
fn yaml_with_a_repeated_key_is_never_passed_on() {
    // The line of JSON could hold one of them only.
    let text = "kind: kmh.inventory/v1\nspec:\n  a: 1\n  b:\n  - {c: 1, c: 2}\n  a: 2\n";
    check(&[], text).refused(&[
        "`a` is written twice",
        "spec (stdin:6)",
        "`c` is written twice",
        "spec.b[0] (stdin:5)",
    ]);
    derive(&[], text).refused(&["`a` is written twice"]);
}

#[test]
fn the_inventory_keeps_its_places() {
    let places = |args: &[&str], text: &str| {
        let mut found = None;
        run_in(
            args,
            text,
            |_| {},
            |stream, _| {
                let (tree, source) = stream.inventory()?;
                found = Some((tree.nearest("spec.a").place, source));
                Ok(report(true))
            },
        )
        .exits(Exit::Done);
        let (place, source) = found.unwrap();
        (place.line, place.column, source.index)
    };
    assert_eq!(places(&[], YAML), (4, 6, 1));
    assert_eq!(places(&[], INVENTORY), (1, 40, 1));
    assert_eq!(places(&[], &format!("{NOTE}\n {INVENTORY}")), (2, 41, 2));
    assert_eq!(
        places(&[], &format!("{NOTE}\n{{\"kind\":\"kmh.inventory/v1\",\n\"spec\":{{\n \"a\":1}}}}")),
        (4, 6, 2)
    );
}

#[test]
fn sources_are_named_as_people_look_for_them() {
    let source = |index| Source { name: "x.json".into(), index };
    assert_eq!(source(1).to_string(), "x.json");
    assert_eq!(source(3).to_string(), "x.json, document 3");
    assert_eq!(source(1).line(33), "x.json:33");
    assert_eq!(source(2).line(33), "x.json:33, document 2");
    assert_eq!(Failure::wrong("a").at("b").because("c").summary(), "a, at b: c");
}
