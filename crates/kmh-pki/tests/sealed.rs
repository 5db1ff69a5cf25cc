//! A store whose keys are encrypted: what it holds, who opens it, what needs no identity, and the program `age` as the
//! judge of both directions.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use common::{Place, Ran, SMALL};

/// One node and no router: every kind of key, few of each.
const TINY: &str = "\
kind: kmh.inventory/v1
spec:
  cluster: {name: tiny, pod_cidrs: [10.200.0.0/16], service_cidrs: [10.201.0.0/16], api: {host: k8s.example.net}}
  sites: [{name: here, network: [10.10.0.0/24], pod_cidrs: [10.200.0.0/18]}]
  nodes: [{name: cp-1, site: here, address: [10.10.0.11], roles: [control-plane, etcd]}]
";

/// Makes an identity in the place, and says its recipient.
fn identity(place: &Place, name: &str) -> String {
    place
        .sh(&format!("age-keygen -o {name} 2>/dev/null && age-keygen -y {name}"), "")
        .exits(0)
        .stdout
        .trim()
        .to_owned()
}

/// A place with an encrypted store, and the recipient of the identity `id` that opens it.
fn sealed(inventory: &str) -> (Place, String) {
    let place = Place::new();
    let to = identity(&place, "id");
    place.pki(&["--store", "store", "--init", "--recipient", &to], inventory).exits(0);
    (place, to)
}

/// Every encrypted key, archive included, as `age` opens it, by its name.
fn opened(place: &Place, identity: &str) -> BTreeMap<String, Vec<u8>> {
    let files = place.everything();
    let names = files.keys().filter_map(|file| file.strip_suffix(".key.age"));
    names
        .map(|name| {
            let file = place.store().join(format!("{name}.key.age"));
            let ran = Command::new("age")
                .args(["-d", "-i"])
                .arg(place.path().join(identity))
                .arg(file)
                .output()
                .unwrap();
            assert!(ran.status.success(), "{name}: {ran:?}");
            (name.to_owned(), ran.stdout)
        })
        .collect()
}

/// The keys of a plain store by their names.
fn plain(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let files = place.everything().into_iter();
    files.filter_map(|(file, bytes)| Some((file.strip_suffix(".key")?.to_owned(), bytes))).collect()
}

fn message(ran: &Ran) -> &str {
    ran.stdout.lines().last().unwrap()
}

/// Says no with that code, and leaves every byte as it is.
#[track_caller]
fn refused(place: &Place, args: &[&str], inventory: &str, code: i32, says: &[&str]) {
    let before = place.snapshot();
    let ran = place.pki(&[&["--store", "store"], args].concat(), inventory).exits(code);
    for text in says {
        assert!(ran.stderr.contains(text), "stderr lacks {text:?}:\n{}", ran.stderr);
    }
    assert!(place.snapshot() == before, "{args:?} touched something");
}

#[test]
fn a_new_store_is_encrypted_and_needs_no_identity_until_something_is_made() {
    let (place, to) = sealed(SMALL);
    assert!(plain(&place).is_empty());
    let about = String::from_utf8(place.files()["store.json"].clone()).unwrap();
    assert!(about.starts_with("{\"format\":2,") && about.contains(&to), "{about}");
    // The program itself opens every key, and openssl finds that it is the one of its public half.
    let keys = opened(&place, "id");
    assert_eq!(keys.len(), 30);
    let id = place.path().join("id");
    for name in keys.keys().filter(|name| !matches!(name.as_str(), "keys/encryption" | "keys/bgp/here")) {
        let line = format!(
            "age -d -i {} store/{name}.key.age | openssl pkey -pubout | cmp - <(openssl pkey -pubin -in store/{name}.pub)",
            id.display()
        );
        place.sh(&line, "").exits(0);
    }
    assert_eq!(keys["keys/encryption"].len(), 32);
    // Beside it stands what it is called in etcd, and nothing else of it.
    let beside = String::from_utf8(place.files()["keys/encryption.pub"].clone()).unwrap();
    let lines: Vec<&str> = beside.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("key-") && lines[1].len() == 12, "{beside}");

    let before = place.snapshot();
    let document = place.document(SMALL);
    assert!(place.snapshot() == before);
    assert_eq!(document["spec"]["certificates"][0]["key"], "ca/cluster.key");
    let public =
        document["spec"]["keys"].as_array().unwrap().iter().filter(|key| key.get("public").is_some());
    assert_eq!(public.count(), 1);
    // With the identity it says the same.
    let ran = place.pki(&["--store", "store", "--only", "--identity", "id"], SMALL).exits(0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap(), document);
}

#[test]
fn what_is_signed_needs_the_right_identity_and_without_it_nothing_is_touched() {
    let (place, _) = sealed(SMALL);
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    identity(&place, "other");
    place.sh("cp id open && chmod 644 open; : >empty; chmod 600 empty", "").exits(0);
    refused(
        &place,
        &[],
        &moved,
        2,
        &["`store/ca/cluster.key.age` is encrypted, and no identity was named", "--identity"],
    );
    refused(
        &place,
        &["--identity", "other"],
        &moved,
        2,
        &["no identity in `other` opens `store/ca/cluster.key.age`"],
    );
    refused(
        &place,
        &["--identity", "open"],
        &moved,
        2,
        &["identity `open` can be read by others", "chmod 600 open"],
    );
    refused(
        &place,
        &["--identity", "empty"],
        &moved,
        2,
        &["`empty` is no file of identities", "it holds none"],
    );
    refused(&place, &["--identity", "gone"], &moved, 2, &["cannot read identity `gone`", "no such file"]);
    let ran = place.pki(&["--store", "store", "--identity", "id", "-o", "text"], &moved).exits(0);
    assert!(message(&ran).starts_with("made 1 certificate of"), "{}", ran.stdout);
    let mut command = place.command(&["--store", "store", "-o", "text"]);
    command.env("KMH_IDENTITY", "id");
    assert!(message(&Ran::of(command, SMALL).exits(0)).starts_with("made 1 certificate of"));
    // What was replaced is in the archive, encrypted like the rest.
    let archived: Vec<_> =
        place.everything().into_keys().filter(|file| file.starts_with("archive/")).collect();
    assert_eq!(archived.len(), 6, "{archived:?}");
    assert!(plain(&place).is_empty());
    opened(&place, "id");
}

#[test]
fn a_plain_store_is_encrypted_on_demand_and_to_others_with_the_reason() {
    let place = Place::with_store(SMALL);
    // Something in the archive, too.
    place.pki(&["--store", "store"], &SMALL.replace("10.10.0.22", "10.10.0.33")).exits(0);
    place.pki(&["--store", "store"], SMALL).exits(0);
    let (before, document, files) = (plain(&place), place.document(SMALL), place.everything());
    let [one, two] = ["id", "id2"].map(|name| identity(&place, name));
    let args = ["--store", "store", "--recipient", &one, "-o", "text"];
    let ran = place.pki(&[&args[..], &["--dry-run"]].concat(), SMALL).exits(0);
    let said = format!("would encrypt {} keys to 1 recipient (not encrypted); nothing to do", before.len());
    assert!(message(&ran).starts_with(&said), "{}", message(&ran));
    assert!(place.everything() == files);
    let ran = place.pki(&args, SMALL).exits(0);
    assert!(
        message(&ran).starts_with("encrypted 32 keys to 1 recipient (not encrypted); "),
        "{}",
        message(&ran)
    );
    assert!(plain(&place).is_empty() && opened(&place, "id") == before);
    assert_eq!(place.document(SMALL), document);
    assert!(message(&place.pki(&args, SMALL).exits(0)).starts_with("nothing to do"));

    std::fs::write(place.path().join("list"), format!("# who may\n{two}\n\n{one}\n")).unwrap();
    let args = ["--recipients", "list", "-o", "ansible"];
    refused(&place, &args, SMALL, 2, &["is encrypted, and no identity was named"]);
    let ran = place.pki(&[&["--store", "store", "--identity", "id"], &args[..]].concat(), SMALL).exits(0);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["changed"], true);
    let said = format!("encrypted 32 keys to 2 recipients (recipients differ: + {two}); nothing to do");
    assert!(told["msg"].as_str().unwrap().starts_with(&said), "{}", told["msg"]);
    for name in ["id", "id2"] {
        assert!(opened(&place, name) == before, "{name}");
    }
    // And one who left opens nothing any more, the archive included.
    let args = ["--store", "store", "--identity", "id2", "--recipient", &two, "-o", "text"];
    let ran = place.pki(&args, SMALL).exits(0);
    assert!(message(&ran).contains(&format!("(recipients differ: - {one})")), "{}", message(&ran));
    assert!(opened(&place, "id2") == before);
    for file in place.everything().into_keys().filter(|file| file.ends_with("key.age")) {
        assert_ne!(place.sh(&format!("age -d -i id store/{file}"), "").code, 0, "{file}");
    }
}

#[test]
fn a_run_that_makes_and_encrypts_does_both_or_neither() {
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    let place = Place::with_store(SMALL);
    let to = identity(&place, "id");
    // From a plain store: what is signed is signed before its CA's key is encrypted.
    let ran = place.pki(&["--store", "store", "--recipient", &to, "-o", "text"], &moved).exits(0);
    let said = "encrypted 30 keys to 1 recipient (not encrypted); made 1 certificate of";
    assert!(message(&ran).starts_with(said), "{}", message(&ran));
    assert!(plain(&place).is_empty());
    // What needs an identity and has none leaves the recipients as they are, too.
    let other = identity(&place, "other");
    refused(&place, &["--recipient", &other], SMALL, 2, &["is encrypted, and no identity was named"]);
    place.pki(&["--store", "store", "--identity", "id", "--recipient", &other], SMALL).exits(0);
    assert_eq!(opened(&place, "other").len(), 32);
}

#[test]
fn recipients_that_are_none_are_refused_before_a_store_is_made() {
    let place = Place::new();
    identity(&place, "id");
    let secret = place.sh("grep AGE-SECRET id", "").exits(0).stdout.trim().to_owned();
    for (text, says) in
        [("age1x", "`age1x` is no recipient"), (secret.as_str(), "an identity was named as a recipient")]
    {
        let ran = place.pki(&["--store", "store", "--init", "--recipient", text], SMALL).exits(2).says(says);
        assert!(!ran.stderr.contains(&secret));
    }
    std::fs::write(place.path().join("none"), "# nobody\n").unwrap();
    place
        .pki(&["--store", "store", "--init", "--recipients", "none"], SMALL)
        .exits(2)
        .says("there is no recipient");
    assert!(!place.store().exists());
}

#[test]
fn a_key_that_age_encrypted_by_hand_is_looked_at_with_the_identity() {
    let (place, to) = sealed(SMALL);
    let line =
        format!("cd store/ca && age -d -i ../../id etcd.key.age | age -r {to} -o x && mv x etcd.key.age");
    place.sh(&line, "").exits(0);
    refused(
        &place,
        &[],
        SMALL,
        3,
        &["the key of CA `ca/etcd` is damaged: its public half is missing, or of another file"],
    );
    place.pki(&["--store", "store", "--identity", "id"], SMALL).exits(0);
    // It is another's key: that shows.
    place
        .sh(
            &format!(
                "cd store/ca && age -d -i ../../id ipsec.key.age | age -r {to} -o x && mv x etcd.key.age"
            ),
            "",
        )
        .exits(0);
    refused(
        &place,
        &["--identity", "id"],
        SMALL,
        3,
        &["the key of CA `ca/etcd` does not belong to its certificate"],
    );
}

#[test]
fn damaged_keys_show_without_an_identity() {
    let (place, _) = sealed(SMALL);
    let cut = |name: &str, length: usize| {
        let path = place.store().join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - length]).unwrap();
    };
    cut("ca/etcd.key.age", 1);
    cut("keys/encryption.key.age", 1);
    cut("keys/service-account.key.age", 300);
    std::fs::write(place.store().join("nodes/w-1/kube-proxy.key.age"), "").unwrap();
    place.sh("cd store/nodes/w-1 && cp kubelet-client.key.age kubelet-serving.key.age && cp kubelet-client.pub kubelet-serving.pub", "").exits(0);
    refused(
        &place,
        &[],
        SMALL,
        3,
        &[
            "the key of CA `ca/etcd` is damaged: its public half is missing, or of another file",
            "key `keys/encryption` is damaged: it is not 32 octets long",
            "key `keys/service-account` is damaged: its end is missing",
            "the key of certificate `nodes/w-1/kube-proxy` is damaged: it is empty",
            "the key of certificate `nodes/w-1/kubelet-serving` does not belong to it",
            "5 errors",
        ],
    );
    refused(
        &place,
        &["--identity", "id"],
        SMALL,
        3,
        &["the key of CA `ca/etcd` is damaged: it was changed after"],
    );
}

#[test]
fn a_plain_key_that_was_put_into_an_encrypted_store_is_encrypted() {
    let (place, _) = sealed(SMALL);
    place.sh("cd store/ca && age -d -i ../../id etcd.key.age >etcd.key && rm etcd.key.age etcd.pub && chmod 600 etcd.key", "").exits(0);
    let key = std::fs::read(place.store().join("ca/etcd.key")).unwrap();
    let ran = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0);
    assert!(
        message(&ran).starts_with("encrypted 1 key to 1 recipient (not encrypted); nothing to do"),
        "{}",
        ran.stdout
    );
    assert!(plain(&place).is_empty());
    assert_eq!(opened(&place, "id")["ca/etcd"], key);
}

/// A terminal that types an answer to whatever asks; says what the program said, and its code.
const TERMINAL: &str = r#"
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said, answers = b"", [answer.encode() for answer in sys.argv[1].split(",")]
while True:
    try:
        got = os.read(fd, 4096)
    except OSError:
        break
    if not got:
        break
    said += got
    if answers and b"assphrase" in got:
        os.write(fd, answers.pop(0) + b"\n")
os.write(1, said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_locked_identity_asks_for_its_passphrase_on_the_terminal_and_only_when_it_is_needed() {
    let (place, _) = sealed(TINY);
    let moved = TINY.replace("10.10.0.11", "10.10.0.12");
    std::fs::write(place.path().join("terminal.py"), TERMINAL).unwrap();
    for (name, inventory) in [("tiny.yaml", TINY), ("moved.yaml", &moved)] {
        std::fs::write(place.path().join(name), inventory).unwrap();
    }
    // The program locks it; others may read it then.
    place.sh("python3 terminal.py 'over the hills,over the hills' age -p -a -o locked id && chmod 644 locked && rm id", "").exits(0);
    let pki = |typed: &str, file: &str| {
        let line =
            format!("python3 terminal.py '{typed}' $PKI --store store --identity locked -i {file} -o text");
        place.sh(&line, "")
    };
    // Nothing to do: nobody is asked.
    let ran = pki("", "tiny.yaml").exits(0);
    assert!(ran.stdout.contains("nothing to do") && !ran.stdout.contains("assphrase"), "{}", ran.stdout);
    let before = place.snapshot();
    let ran = pki("under the hills", "moved.yaml").exits(2);
    assert!(ran.stdout.contains("identity `locked` cannot be unlocked"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("the passphrase is wrong") && !ran.stdout.contains("hills"),
        "{}",
        ran.stdout
    );
    let ran = pki("over\u{3}", "moved.yaml").exits(2);
    assert!(ran.stdout.contains("it was broken off"), "{}", ran.stdout);
    let line = "setsid -w $PKI --store store --identity locked -i moved.yaml";
    place.sh(line, "").exits(2).says("there is no terminal to ask on");
    assert!(place.snapshot() == before);
    // A letter too many is taken back; asked once, however many keys are opened.
    let ran = pki("over the hillss\u{7f}", "moved.yaml").exits(0);
    assert!(ran.stdout.contains("passphrase of identity `locked`: "), "{}", ran.stdout);
    assert!(ran.stdout.matches("assphrase").count() == 1 && !ran.stdout.contains("hills"), "{}", ran.stdout);
}

#[test]
fn nothing_that_was_decrypted_is_ever_written() {
    let place = Place::new();
    let to = identity(&place, "id");
    let moved = TINY.replace("10.10.0.11", "10.10.0.12");
    let writes = |args: &str, inventory: &str| {
        let line = format!(
            "strace -f -qq -xx -s 1000000 -e trace=write,writev,pwrite64,pwritev,sendto,sendmsg -o trace $PKI --store store {args} >/dev/null; cat trace; rm trace"
        );
        place.sh(&line, inventory).exits(0).stdout
    };
    let said = [writes(&format!("--init --recipient {to}"), TINY), writes("--identity id", &moved)].concat();
    let hex = |bytes: &[u8]| {
        let digits = kmh_pki::secret::hex(bytes);
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.flat_map(|pair| ["\\x", pair]).collect::<String>()
    };
    for (name, key) in opened(&place, "id") {
        let secret = match std::str::from_utf8(&key) {
            // The second line of a P-256 key holds half of the scalar, the first one the rest.
            Ok(text) if text.starts_with("-----") => &key[40..90],
            _ => &key[..],
        };
        assert!(!said.contains(&hex(secret)), "{name} was written in the open");
        let sealed = std::fs::read(place.store().join(format!("{name}.key.age"))).unwrap();
        assert!(said.contains(&hex(&sealed)), "{name}: the search finds what is there");
    }
}

#[test]
fn encrypting_that_is_killed_before_any_step_loses_no_key() {
    let place = Place::with_store(TINY);
    let to = identity(&place, "id");
    let (files, keys) = (place.files(), plain(&place));
    let steps = "/^(fchmod|rename|unlink|syncfs|fsync)";
    let run = |inject: &str| {
        for folder in ["ca", "cluster", "keys", "nodes", "archive", "pending.json"] {
            place.sh(&format!("rm -rf store/{folder}"), "").exits(0);
        }
        for (name, bytes) in &files {
            let path = place.store().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let line = format!(
            "strace -f -qq -e 'trace={steps}' {inject} -o trace $PKI --store store --recipient {to} >/dev/null"
        );
        place.sh(&line, TINY).code
    };
    assert_eq!(run(""), 0);
    let calls = common::calls(&std::fs::read_to_string(place.path().join("trace")).unwrap());
    assert!(calls.len() > 50, "{calls:?}");
    let (mut before, mut after) = (0, 0);
    // Of many alike some.
    let alike =
        |(call, number): &(String, usize)| call.ends_with("sync") || call.ends_with("fs") || number % 3 == 1;
    for (call, number) in calls.into_iter().filter(alike) {
        let when = format!("before {call} {number}");
        assert_eq!(run(&format!("-e inject={call}:signal=SIGKILL:when={number}")), 137, "{when}");
        // Whatever the next run is asked, it says what there is and keeps every key.
        place.pki(&["--store", "store"], TINY).exits(0);
        let now = [plain(&place), opened(&place, "id")];
        let (whole, none) = if now[1].is_empty() { (&now[0], &now[1]) } else { (&now[1], &now[0]) };
        assert!(*whole == keys && none.is_empty(), "{when}: {:?} {:?}", whole.keys(), none.keys());
        *(if now[0].is_empty() { &mut after } else { &mut before }) += 1;
        let names = place.everything().into_keys();
        let left: Vec<_> = names.filter(|file| file.contains("kmh-new") || file == "pending.json").collect();
        assert!(left.is_empty(), "{when}: {left:?}");
    }
    assert!(before > 3 && after > 10, "{before} {after}");
}

/// An option that a verb swallows would let what it writes look encrypted.
#[test]
fn who_encrypts_nothing_takes_no_recipient() {
    let (place, to) = sealed(TINY);
    for args in [
        &["export", "--layout", "tar", "--with-ca-keys", "--to", "out.tar"][..],
        &["kubeconfig", "--user", "anna", "--to", "anna.conf"],
        &["status"],
        &["verify"],
    ] {
        let ran =
            place.pki(&[args, &["--store", "store", "--identity", "id", "--recipient", &to]].concat(), TINY);
        assert_eq!(ran.exits(2).says("this verb encrypts nothing").stdout, "", "{args:?}");
    }
    let ran = place.pki(&["rotate", "--store", "store", "--identity", "id", "--recipient", &to], TINY);
    assert_eq!(ran.exits(2).says("takes neither `--recipient` nor `--recipients`").stdout, "");
    assert!(!place.path().join("out.tar").exists() && !place.path().join("anna.conf").exists());
}
