//! The store: what is refused, that nothing is touched then, and that nothing is lost.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use common::{Place, SMALL, article, certificate};

const ARGS: &[&str] = &["--store", "store"];

/// Damages a store, and says what kmh-pki answers; the store must stay as it was.
#[track_caller]
fn refused(code: i32, damage: impl FnOnce(&Place), says: &[&str]) {
    let place = Place::with_store(SMALL);
    damage(&place);
    let before = place.snapshot();
    for args in [ARGS, &["--store", "store", "--init"], &["--store", "store", "--dry-run"]] {
        let ran = place.pki(args, SMALL).exits(code);
        assert_eq!(ran.stdout, "");
        for text in says {
            assert!(ran.stderr.contains(text), "stderr lacks {text:?}:\n{}", ran.stderr);
        }
        assert_eq!(place.snapshot(), before, "something was touched");
    }
}

fn remove(place: &Place, name: &str) {
    std::fs::remove_file(place.store().join(name)).unwrap();
}

fn copy(place: &Place, from: &str, to: &str) {
    std::fs::copy(place.store().join(from), place.store().join(to)).unwrap();
}

fn truncate(place: &Place, name: &str, length: usize) {
    let path = place.store().join(name);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..length]).unwrap();
}

#[test]
fn a_second_run_changes_no_byte_and_no_time() {
    for inventory in [SMALL.to_owned(), article()] {
        let place = Place::with_store(&inventory);
        let before = place.snapshot();
        let first = place.pki(ARGS, &inventory).exits(0).stdout;
        let second = place.pki(&["--store", "store", "--init"], &inventory).exits(0).stdout;
        assert_eq!(first, second);
        assert_eq!(place.snapshot(), before);
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "077", "777"] {
        let place = Place::new();
        place.sh(&format!("umask {umask}; $PKI --store store --init >/dev/null"), SMALL).exits(0);
        for (path, (mode, ..)) in place.snapshot() {
            let wanted = match path.extension().and_then(|ending| ending.to_str()) {
                Some("key") => 0o600,
                Some("crt" | "json") => 0o644,
                _ => 0o700,
            };
            assert_eq!(mode, wanted, "umask {umask}: {}: {mode:o}", path.display());
        }
    }
}

#[test]
fn a_mistyped_store_mints_nothing() {
    let place = Place::with_store(SMALL);
    let before = place.snapshot();
    place.pki(&["--store", "stroe"], SMALL).exits(2).says("store `stroe` does not exist").says("--init");
    std::fs::create_dir(place.path().join("empty")).unwrap();
    place.pki(&["--store", "empty"], SMALL).exits(2).says("directory `empty` is empty").says("--init");
    std::fs::remove_dir(place.path().join("empty")).unwrap();
    assert_eq!(place.snapshot(), before);
    std::fs::write(place.path().join("file"), "x").unwrap();
    place.pki(&["--store", "file", "--init"], SMALL).exits(2).says("store `file` is no directory");
}

#[test]
fn a_folder_with_something_else_in_it_is_no_store() {
    let place = Place::new();
    std::fs::create_dir(place.store()).unwrap();
    std::fs::write(place.store().join("thesis.tex"), "x").unwrap();
    for args in [ARGS, &["--store", "store", "--init"], &["--store", "store", "--init", "--dry-run"]] {
        place
            .pki(args, SMALL)
            .exits(2)
            .says("is no store: it has no store.json")
            .says("it holds `thesis.tex`");
    }
    assert_eq!(place.files().keys().collect::<Vec<_>>(), ["thesis.tex"]);
    // A fresh git repository is as good as empty.
    std::fs::remove_file(place.store().join("thesis.tex")).unwrap();
    std::fs::create_dir(place.store().join(".git")).unwrap();
    place.pki(&["--store", "store", "--init"], SMALL).exits(0);
    place.pki(ARGS, SMALL).exits(0);
}

#[test]
fn a_store_of_another_cluster_is_refused() {
    let place = Place::with_store(SMALL);
    let before = place.snapshot();
    let other = SMALL.replace("name: small", "name: other");
    place
        .pki(ARGS, &other)
        .exits(2)
        .says("belongs to cluster `small`, and the inventory is of cluster `other`");
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_store_without_or_with_a_broken_identity_is_refused() {
    refused(2, |place| remove(place, "store.json"), &["it has no store.json", "hint:"]);
    refused(3, |place| truncate(place, "store.json", 10), &["store.json` is damaged", "restore it"]);
    let newer = |place: &Place| {
        let path = place.store().join("store.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"format\":1", "\"format\":3,\"age\":true")).unwrap();
    };
    refused(2, newer, &["has format 3", "knows formats 1 and 2"]);
}

#[test]
fn halves_that_are_lost_are_never_made_again_by_themselves() {
    refused(
        3,
        |place| remove(place, "ca/cluster.crt"),
        &["CA `ca/cluster` has a key and no certificate", "at store/ca/cluster.crt"],
    );
    refused(
        3,
        |place| remove(place, "keys/encryption.key"),
        &["key `keys/encryption` is missing", "nobody can read the secrets in etcd"],
    );
    refused(
        3,
        |place| remove(place, "keys/service-account.key"),
        &["key `keys/service-account` is missing", "token is void"],
    );
    refused(
        3,
        |place| remove(place, "nodes/w-1/kube-proxy.key"),
        &["certificate `nodes/w-1/kube-proxy` has no key", "or remove"],
    );
    refused(
        3,
        |place| remove(place, "nodes/w-1/kube-proxy.crt"),
        &["key `nodes/w-1/kube-proxy` has no certificate"],
    );
    let both = |place: &Place| {
        remove(place, "ca/etcd.crt");
        remove(place, "ca/etcd.key");
    };
    // etcd server, peer, health check, and the API server as a client.
    refused(3, both, &["CA `ca/etcd` is missing, and the store holds 4 certificates that it signed"]);
}

#[test]
fn damaged_files_are_named_all_at_once() {
    let damage = |place: &Place| {
        truncate(place, "ca/etcd.key", 100);
        truncate(place, "nodes/w-1/kube-proxy.crt", 300);
        truncate(place, "nodes/w-1/kubelet-client.key", 0);
        truncate(place, "keys/encryption.key", 31);
        truncate(place, "keys/service-account.key", 60);
        copy(place, "nodes/w-1/kubelet-serving.key", "nodes/w-2/kubelet-serving.key");
    };
    let says = [
        "the key of CA `ca/etcd` is damaged: its end is missing",
        "certificate `nodes/w-1/kube-proxy` is damaged: it is no whole PEM file",
        "the key of certificate `nodes/w-1/kubelet-client` is damaged: it is empty",
        "key `keys/encryption` is damaged: it is not 32 octets long",
        "key `keys/service-account` is damaged",
        "the key of certificate `nodes/w-2/kubelet-serving` does not belong to it",
        "6 errors",
    ];
    refused(3, damage, &says);
}

#[test]
fn a_ca_that_is_not_itself_is_refused() {
    refused(
        3,
        |place| copy(place, "ca/etcd.key", "ca/cluster.key"),
        &["the key of CA `ca/cluster` does not belong to its certificate"],
    );
    let leaf = |place: &Place| {
        copy(place, "nodes/w-1/kube-proxy.crt", "ca/cluster.crt");
        copy(place, "nodes/w-1/kube-proxy.key", "ca/cluster.key");
    };
    refused(3, leaf, &["`ca/cluster` is no certificate of a CA"]);
}

#[test]
fn a_ca_key_may_be_away_until_it_is_needed() {
    let place = Place::with_store(SMALL);
    let before = place.document(SMALL);
    let key = place.store().join("ca/cluster.key");
    std::fs::rename(&key, place.path().join("usb-stick")).unwrap();
    let after = place.document(SMALL);
    assert!(certificate(&after, "ca/cluster").get("key").is_none());
    assert_eq!(certificate(&after, "nodes/w-1/kube-proxy"), certificate(&before, "nodes/w-1/kube-proxy"));
    let snapshot = place.snapshot();
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    place
        .pki(ARGS, &moved)
        .exits(3)
        .says("`ca/cluster` cannot sign `nodes/w-2/kubelet-serving`: the store does not hold its key")
        .says("names differ: + 10.10.0.33, - 10.10.0.22");
    assert_eq!(place.snapshot(), snapshot);
    std::fs::rename(place.path().join("usb-stick"), &key).unwrap();
    place.pki(ARGS, &moved).exits(0);
}

#[test]
fn a_removed_pair_is_made_again_and_machines_that_left_are_counted() {
    let place = Place::with_store(SMALL);
    remove(&place, "nodes/w-1/kube-proxy.crt");
    remove(&place, "nodes/w-1/kube-proxy.key");
    let ran = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0);
    assert!(ran.stdout.contains("made 1 certificate of 27"), "{}", ran.stdout);
    // The node leaves: nothing is deleted, and nothing of it is in the document.
    let without = SMALL.lines().filter(|line| !line.contains("w-2")).collect::<Vec<_>>().join("\n");
    let before = place.snapshot();
    let ran = place.pki(&["--store", "store", "-o", "text"], &without).exits(0);
    assert!(
        ran.stdout.contains("3 certificates of machines that left the inventory stay in the store"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("w-2"), "{}", ran.stdout);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_readable_key_is_warned_about() {
    let place = Place::with_store(SMALL);
    let key = place.store().join("nodes/w-1/kube-proxy.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    place
        .pki(ARGS, SMALL)
        .exits(0)
        .says("warning: key `store/nodes/w-1/kube-proxy.key` can be read by others");
    assert_eq!(place.pki(&["--store", "store", "--strict"], SMALL).exits(1).stdout, "");
}

#[test]
fn a_store_that_git_has_opened_wide_is_warned_about_once() {
    let place = Place::with_store(SMALL);
    place.sh("find store -name '*.key' -exec chmod 644 {} +", "").exits(0);
    let ran = place.pki(ARGS, SMALL).exits(0);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    let ran = ran.says("warning: 30 keys in store `store` can be read by others: `find store -name");
    let line = ran.stderr.split('`').nth(3).unwrap().to_owned();
    place.sh(&line, "").exits(0);
    assert_eq!(place.pki(ARGS, SMALL).exits(0).stderr, "");
}

#[test]
fn new_files_belong_to_whom_the_store_belongs() {
    // Only root can give files away; for an ordinary user this says that the files are theirs.
    let place = Place::new();
    std::fs::create_dir(place.store()).unwrap();
    let owner =
        if rustix::process::geteuid().is_root() { 65534 } else { rustix::process::geteuid().as_raw() };
    std::os::unix::fs::chown(place.store(), Some(owner), None).unwrap();
    place.pki(&["--store", "store", "--init"], SMALL).exits(0);
    let foreign: Vec<_> =
        place.snapshot().into_keys().filter(|path| std::fs::metadata(path).unwrap().uid() != owner).collect();
    assert_eq!(foreign, Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_link_that_leads_nowhere_is_no_store() {
    let place = Place::new();
    std::os::unix::fs::symlink("away", place.store()).unwrap();
    for args in [&["--store", "store"][..], &["--store", "store", "--init"]] {
        place.pki(args, SMALL).exits(2).says("store `store` is a symbolic link that leads nowhere");
    }
    assert!(!place.path().join("away").exists());
}

#[test]
fn a_damaged_journal_may_go() {
    let place = Place::with_store(SMALL);
    std::fs::write(place.store().join("pending.json"), "{").unwrap();
    place.pki(ARGS, SMALL).exits(3).says("`store/pending.json` is damaged").says("hint: remove it");
    std::fs::remove_file(place.store().join("pending.json")).unwrap();
    place.pki(ARGS, SMALL).exits(0);
}

#[test]
fn a_read_only_store_serves_until_something_must_be_written() {
    // As an ordinary user: root may write anything.
    let place = Place::on_disk();
    place.pki(&["--store", "store", "--init"], SMALL).exits(0);
    let inventory = place.path().join("cluster.yaml");
    std::fs::write(&inventory, SMALL).unwrap();
    std::fs::write(place.path().join("moved.yaml"), SMALL.replace("10.10.0.22", "10.10.0.33")).unwrap();
    let binary = place.path().join("kmh-pki");
    std::fs::copy(env!("CARGO_BIN_EXE_kmh-pki"), &binary).unwrap();
    let root = rustix::process::geteuid().is_root();
    let user = if root { "setpriv --reuid 65534 --regid 65534 --clear-groups" } else { "" };
    let owner = if root { "chown -R 65534:65534 store; chmod 755 . kmh-pki" } else { "true" };
    place.sh(&format!("{owner}; find store -type d -exec chmod 500 {{}} +"), "").exits(0);
    let before = place.snapshot();
    let line = |file: &str| format!("{user} ./kmh-pki --store store -i {file} -o text");
    let ran = place.sh(&line("cluster.yaml"), "").exits(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
    place
        .sh(&line("moved.yaml"), "")
        .exits(3)
        .says("cannot write `store/nodes/w-2/kubelet-serving")
        .says("permission denied");
    assert_eq!(place.snapshot(), before);
    place.sh("find store -type d -exec chmod 700 {} +", "").exits(0);
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    // No file may grow: every write fails with EFBIG, as a full disk's would with ENOSPC.
    let limited = "trap '' XFSZ; ulimit -f 0; $PKI --store store --init 2>&1 >/dev/null | cat >&2; exit ${PIPESTATUS[0]}";
    let place = Place::with_store(SMALL);
    let names = |place: &Place| {
        place.snapshot().into_iter().map(|(path, (mode, _, bytes))| (path, mode, bytes)).collect::<Vec<_>>()
    };
    let before = names(&place);
    let grown = SMALL.replace(
        "    - {name: w-2",
        "    - {name: w-3, site: here, address: [10.10.0.23, 'fd00:10::23']}\n    - {name: w-2",
    );
    place
        .sh(limited, &grown)
        .exits(3)
        .says("cannot write `store/nodes/w-3/kube-proxy")
        .says("file too large");
    assert_eq!(names(&place), before);
    let fresh = Place::new();
    fresh.sh(limited, SMALL).exits(3).says("cannot write `store/store.json`");
    assert_eq!(fresh.files().len(), 0);
    // And the next run finds its way.
    fresh.pki(&["--store", "store", "--init"], SMALL).exits(0);
}

#[test]
fn two_first_runs_at_once_agree_on_one_store() {
    let place = Place::new();
    let ran = place.sh(
        "cat >cluster.yaml; for i in 1 2 3 4; do $PKI --store store --init -i cluster.yaml >$i.json & done; wait; \
         cmp 1.json 2.json && cmp 2.json 3.json && cmp 3.json 4.json",
        SMALL,
    );
    ran.exits(0);
}
