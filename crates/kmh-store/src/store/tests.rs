#![allow(clippy::disallowed_methods, reason = "tests")]

use std::process::Command;

use super::*;

/// A folder with an identity `NAME`, made by the program itself, and its recipient.
fn identity(dir: &Path, name: &str) -> kmh_age::Recipients {
    let line = format!("age-keygen -o {name} 2>/dev/null && age-keygen -y {name}");
    let ran = Command::new("sh").args(["-c", &line]).current_dir(dir).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    kmh_age::Recipients::parse([std::str::from_utf8(&ran.stdout).unwrap().trim()]).unwrap()
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// What is read of `a/x.key` and `keys/y.key`, and what is said.
fn reads(dir: &Path, identity: Option<&str>) -> (Vec<Option<String>>, String) {
    let (mut notes, references) = (Vec::new(), ["a/x.key", "keys/y.key"]);
    let file = identity.map(|name| dir.join(name));
    let found = read(dir, "1", &references.into(), file, &mut notes);
    let texts = references.map(|one| found.get(one).map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    (texts.into(), format!("{notes:?}"))
}

fn some(texts: [&str; 2]) -> Vec<Option<String>> {
    texts.map(|text| Some(text.to_owned())).into()
}

#[test]
fn encrypted_secrets_are_read_with_the_identity_and_plain_ones_without() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let to = identity(dir, "id");
    identity(dir, "other");
    write(dir, "store.json", b"{\"format\":2,\"id\":\"1\"}");
    write(dir, "a/x.key.age", &to.seal(b"ecks").unwrap());
    // Was plain, and is encrypted now: the plain one, which a killed run left, is the older.
    write(dir, "a/x.key", b"older");
    write(dir, "keys/y.key.age", &to.seal(b"why").unwrap());
    assert_eq!(reads(dir, Some("id")), (some(["ecks", "why"]), "[]".to_owned()));
    for (identity, says) in [
        (None, vec!["x.key.age` is encrypted, and no identity was named", "--store-identity"]),
        (Some("other"), vec!["no identity in `", "a/x.key.age`"]),
    ] {
        let (found, said) = reads(dir, identity);
        // Said once, not for each secret.
        assert!(found == [None, None] && said.matches("message:").count() == 1, "{said}");
        assert!(says.iter().all(|text| said.contains(text)), "{said}");
    }
    write(dir, "keys/y.key.age", b"age-encryption.org/v1\n");
    let (found, said) = reads(dir, Some("id"));
    assert!(
        found == [Some("ecks".to_owned()), None] && said.contains("keys/y.key.age` is damaged"),
        "{said}"
    );
    std::fs::remove_file(dir.join("keys/y.key.age")).unwrap();
    let (_, said) = reads(dir, Some("id"));
    assert!(said.contains("secret `keys/y.key` is not in store"), "{said}");
    write(dir, "keys/y.key", b"plain");
    assert_eq!(reads(dir, Some("id")), (some(["ecks", "plain"]), "[]".to_owned()));
}

#[test]
fn what_a_killed_run_left_to_be_renamed_is_read_as_if_it_had_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "store.json", b"{\"format\":1,\"id\":\"1\"}");
    for (name, bytes) in [("a/x.key", "old"), ("a/.x.key.kmh-new", "new"), ("keys/.y.key.kmh-new", "first")] {
        write(dir, name, bytes.as_bytes());
    }
    // Before there is a journal they are nothing.
    let (found, said) = reads(dir, None);
    assert!(
        found == [Some("old".to_owned()), None] && said.contains("`keys/y.key` is not in store"),
        "{said}"
    );
    write(dir, "pending.json", b"{\"names\":[],\"files\":[[\"a/x.key\",\"keys/y.key\"],[]]}");
    assert_eq!(reads(dir, None), (some(["new", "first"]), "[]".to_owned()));
}

#[test]
fn a_journal_is_read_however_long_it_is_and_refused_when_it_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "store.json", b"{\"format\":1,\"id\":\"1\"}");
    for (name, bytes) in [("a/x.key", "old"), ("a/.x.key.kmh-new", "new"), ("keys/y.key", "why")] {
        write(dir, name, bytes.as_bytes());
    }
    // That of a thousand nodes is longer than any secret.
    let mut files: Vec<String> =
        (0..40_000).map(|n| format!("\"nodes/node-{n:05}/kubelet-client.key\"")).collect();
    files.push("\"a/x.key\"".to_owned());
    let journal = format!("{{\"names\":[],\"files\":[[{}],[]]}}", files.join(","));
    assert!(journal.len() > LIMIT);
    write(dir, "pending.json", journal.as_bytes());
    assert_eq!(reads(dir, None), (some(["new", "why"]), "[]".to_owned()));
    for damaged in [&journal.as_bytes()[..100], b""] {
        write(dir, "pending.json", damaged);
        let (found, said) = reads(dir, None);
        assert!(found == [None, None] && said.contains("`pending.json` of store `"), "{said}");
        assert!(said.contains("let `kmh-pki ensure` finish it"), "{said}");
    }
}

#[test]
fn what_is_too_large_is_refused_and_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "store.json", b"{\"format\":1,\"id\":\"1\"}");
    let (most, more) = ("k".repeat(LIMIT), "k".repeat(LIMIT + 1));
    write(dir, "a/x.key", most.as_bytes());
    write(dir, "keys/y.key", b"why");
    assert_eq!(reads(dir, None), (some([&most, "why"]), "[]".to_owned()));
    let large = "it has 1048577 octets, and no more than 1048576 are read";
    write(dir, "a/x.key", more.as_bytes());
    let (found, said) = reads(dir, None);
    assert!(found == [None, Some("why".to_owned())] && said.contains(large), "{said}");
    assert!(said.contains("secret `a/x.key` is not in store"), "{said}");
    // Nothing older is taken in its place: no plain key, and none that a run was about to replace.
    write(dir, "a/x.key", b"older");
    write(dir, "a/x.key.age", more.as_bytes());
    let (found, said) = reads(dir, None);
    assert!(found == [None, Some("why".to_owned())] && said.contains(large), "{said}");
    std::fs::remove_file(dir.join("a/x.key.age")).unwrap();
    write(dir, "a/.x.key.kmh-new", more.as_bytes());
    write(dir, "pending.json", b"{\"names\":[],\"files\":[[\"a/x.key\"],[]]}");
    let (found, said) = reads(dir, None);
    assert!(found == [None, Some("why".to_owned())] && said.contains(large), "{said}");
    write(dir, "store.json", format!("{{\"format\":1,\"id\":\"1\"}}{}", " ".repeat(LIMIT)).as_bytes());
    let (_, said) = reads(dir, None);
    assert!(
        said.contains("is no store") && said.contains("store.json: it has 1048597 octets, and"),
        "{said}"
    );
}
