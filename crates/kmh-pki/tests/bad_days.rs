//! Bad days that are not the store's fault: a full disk, a disk that nobody may write, a clock that is a year off, two runs
//! at once, keys that git gave to everybody. Each has its message and leaves the store as it was. Files that are lost,
//! damaged or another cluster's stand in `store.rs`, identities in `sealed.rs`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use common::{Place, Ran, SMALL};
use kmh_cli::{Env, Exit};
use time::{Duration, OffsetDateTime};

const ARGS: &[&str] = &["--store", "store"];

/// The inventory with a node that has moved: one certificate is to be made again.
fn moved() -> String {
    SMALL.replace("10.10.0.22", "10.10.0.33")
}

/// Mode and bytes of everything in the place; times of folders change with every attempt to write.
fn content(place: &Place) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    place.snapshot().into_iter().map(|(path, (mode, _, bytes))| (path, (mode, bytes))).collect()
}

/// A store and both inventories, and a shell line in a mount namespace of its own.
fn with_mounts(line: &str) -> (Place, Ran) {
    let place = Place::with_store(SMALL);
    std::fs::write(place.path().join("same.yaml"), SMALL).unwrap();
    std::fs::write(place.path().join("moved.yaml"), moved()).unwrap();
    std::fs::write(place.path().join("line"), format!("set -e; pki() {{ $PKI -o text \"$@\"; }}; {line}"))
        .unwrap();
    let map = if rustix::process::geteuid().is_root() { "" } else { "--map-root-user" };
    let ran = place.sh(&format!("unshare --mount {map} bash line"), "");
    (place, ran)
}

#[test]
fn a_full_disk_leaves_every_byte_and_the_next_run_goes_on() {
    for (what, limit) in [("blocks", "size=1m"), ("files", "size=1m,nr_inodes=100")] {
        let fill = match what {
            "blocks" => "dd if=/dev/zero of=mnt/fill bs=4k 2>&1 | grep -q 'No space left'",
            _ => {
                "mkdir mnt/fill; for i in $(seq 100); do : 2>/dev/null >mnt/fill/$i || break; done; ! : 2>/dev/null >mnt/fill/x"
            }
        };
        let line = format!(
            "mkdir mnt; mount -t tmpfs -o {limit} none mnt; cp -a store mnt/store; {fill}; \
             code=0; pki --store mnt/store -i moved.yaml || code=$?; test $code = 3; \
             diff -r store mnt/store; diff <(cd store; find . -printf '%p %m\\n' | sort) <(cd mnt/store; find . -printf '%p %m\\n' | sort); \
             pki --store mnt/store -i same.yaml | grep -q 'nothing to do'; \
             rm -r mnt/fill; pki --store mnt/store -i moved.yaml"
        );
        let (_, ran) = with_mounts(&line);
        let ran = ran.exits(0).says("error: cannot write `mnt/store/").says("no space left on device");
        assert!(ran.stdout.contains("made 1 certificate of 27"), "{what}: {}", ran.stdout);
    }
}

#[test]
fn a_read_only_disk_serves_until_something_must_be_written() {
    let read_only = "mount --bind store store; mount -o remount,ro,bind store; ";
    let (place, ran) =
        with_mounts(&format!("{read_only} pki --store store -i same.yaml; pki --store store -i moved.yaml"));
    let ran = ran
        .exits(3)
        .says("error: cannot write `store/nodes/w-2/kubelet-serving")
        .says("read-only file system");
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
    assert_eq!(ran.stderr.matches("error:").count(), 1, "{}", ran.stderr);
    let before = content(&place);
    // What a killed run left there waits, and is read as if it were finished.
    let (place, ran) = with_mounts(&format!(
        "cp -a store other; pki --store other -i moved.yaml >/dev/null; \
         for f in key crt; do cp other/nodes/w-2/kubelet-serving.$f store/nodes/w-2/.kubelet-serving.$f.kmh-new; done; \
         echo '{{\"names\":[\"nodes/w-2/kubelet-serving\"],\"files\":[[\"nodes/w-2/kubelet-serving.key\"],[\"nodes/w-2/kubelet-serving.crt\"]]}}' >store/pending.json; \
         {read_only} pki --store store -i moved.yaml | grep 'nothing to do'; pki --store store -i same.yaml >/dev/null"
    ));
    let ran = ran.exits(3).says("read-only file system");
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
    assert!(place.store().join("pending.json").exists() && before.len() > 60);
    place.pki(ARGS, &moved()).exits(0);
    assert!(!place.store().join("pending.json").exists());
}

/// A run at that time.
fn at(place: &Place, now: OffsetDateTime, args: &[&str], inventory: &str) -> (Exit, String, String) {
    let store = place.store();
    let all = [&["kmh-pki", "--store", store.to_str().unwrap()], args].concat();
    let (mut env, captured) = Env::fake(all, inventory);
    env.now = now;
    let exit = kmh_pki::run(&mut env);
    (exit, captured.stdout_text(), captured.stderr_text())
}

#[test]
fn a_clock_that_is_a_year_off_makes_nothing_until_somebody_says_that_it_is_right() {
    let place = Place::new();
    let today = time::macros::datetime!(2027-06-01 12:00 UTC);
    assert_eq!(at(&place, today, &["--init"], SMALL).0, Exit::Done);
    let before = place.snapshot();
    let ahead = today + Duration::days(366);
    for args in [&[][..], &["--dry-run"], &["--init"]] {
        let (exit, stdout, stderr) = at(&place, ahead, args, SMALL);
        assert_eq!((exit, stdout.as_str()), (Exit::World, ""));
        assert!(
            stderr.contains("error: all 23 certificates of the store have ended, the last on "),
            "{stderr}"
        );
        assert!(
            stderr.contains("caused by: the clock of this machine says ") && stderr.contains("`--expired`"),
            "{stderr}"
        );
    }
    // Behind: it says so, keeps what is there, and signs nothing.
    let behind = today - Duration::days(330);
    let says = "and CA `ca/cluster` begins on ";
    let (exit, _, stderr) = at(&place, behind, &[], SMALL);
    assert!(exit == Exit::Done && stderr.contains(says), "{stderr}");
    let (exit, stdout, stderr) = at(&place, behind, &[], &moved());
    assert_eq!((exit, stdout.as_str()), (Exit::World, ""));
    assert!(
        stderr.contains("`ca/cluster` cannot sign `nodes/w-2/kubelet-serving`: it begins on "),
        "{stderr}"
    );
    assert!(place.snapshot() == before);
    // A single one that has not ended is enough: nobody looked for a while.
    place.sh("rm store/nodes/w-1/kube-proxy.*", "").exits(0);
    let (exit, _, stderr) = at(&place, today + Duration::days(300), &["--limit", "w-1"], SMALL);
    assert_eq!(exit, Exit::Done, "{stderr}");
    let (exit, stdout, stderr) = at(&place, ahead, &["-o", "text"], SMALL);
    assert!(exit == Exit::Done && stdout.contains("made 19 certificates of 27"), "{stdout}{stderr}");
    let (exit, stdout, stderr) = at(&place, ahead + Duration::days(400), &["--expired", "-o", "text"], SMALL);
    assert!(exit == Exit::Done && stdout.contains("made 23 certificates of 27"), "{stdout}{stderr}");
}

#[test]
fn a_second_run_waits_for_the_first_and_says_so() {
    let place = Place::with_store(SMALL);
    std::fs::write(place.path().join("moved.yaml"), moved()).unwrap();
    let before = place.snapshot();
    let line = "flock store sleep 1 & sleep 0.3; $PKI --store store -o text -i moved.yaml; wait";
    let ran = place.sh(line, "").exits(0).says("another run works in store `store`: waiting for it");
    assert!(ran.stdout.contains("made 1 certificate of 27"), "{}", ran.stdout);
    // Two that only look do not wait for each other, one that writes does for them.
    let line = "flock -s store sleep 1 & sleep 0.3; $PKI --store store --dry-run -o text -i moved.yaml; wait";
    assert_eq!(place.sh(line, "").exits(0).stderr, "");
    assert!(before != place.snapshot());
    // Eight at once, which want different things: whoever is last is right, and nothing is half of one and half of another.
    let authorities = place.authorities();
    std::fs::write(place.path().join("same.yaml"), SMALL).unwrap();
    let line = "for i in 1 2 3 4; do for j in same moved; do $PKI --store store -q -i $j.yaml >/dev/null || echo $? >>failed & done; done; wait; test ! -e failed";
    place.sh(line, "").exits(0);
    let runs = [SMALL, &moved()]
        .map(|inventory| place.pki(&["--store", "store", "--dry-run", "-o", "text"], inventory).exits(0));
    let idle = runs.iter().filter(|ran| ran.stdout.contains("nothing to do")).count();
    assert_eq!(idle, 1);
    assert!(place.authorities() == authorities);
}

#[test]
fn keys_that_others_may_read_are_mended_on_demand_and_not_before() {
    let place = Place::with_store(SMALL);
    let keys = ["ca/cluster.key", "keys/encryption.key"].map(|key| place.store().join(key));
    for key in &keys {
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let before = place.snapshot();
    for args in [ARGS, &["--store", "store", "--dry-run"], &["--store", "store", "--repair", "--dry-run"]] {
        let ran = place.pki(&[args, &["-o", "text"]].concat(), SMALL).exits(0);
        let warned = ran.stderr.contains("warning: key `store/ca/cluster.key` can be read by others");
        assert_eq!(warned, !args.contains(&"--repair"), "{}", ran.stderr);
        let would = ran.stdout.contains("would mend the mode of 2 keys; nothing to do");
        assert_eq!(would, args.contains(&"--repair"), "{}", ran.stdout);
        assert!(place.snapshot() == before);
    }
    let ran = place.pki(&["--store", "store", "--repair", "-o", "ansible"], SMALL).exits(0);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&told["changed"], told["diff"].as_array().unwrap().len()), (&true.into(), 2));
    assert!(told["msg"].as_str().unwrap().starts_with("mended the mode of 2 keys; nothing to do"), "{told}");
    let mut wanted = before;
    for key in &keys {
        wanted.get_mut(key).unwrap().0 = 0o600;
    }
    assert!(place.snapshot() == wanted);
    let ran = place.pki(&["--store", "store", "--repair", "--strict", "-o", "text"], SMALL).exits(0);
    assert!(ran.stdout.contains("nothing to do") && !ran.stdout.contains("mend"), "{}", ran.stdout);
}

#[test]
fn folders_that_others_may_look_into_are_told_of_and_mended_on_demand() {
    let place = Place::with_store(SMALL);
    // Something in the archive, too.
    place.sh("rm store/nodes/w-1/kube-proxy.{crt,key}", "").exits(0);
    place.pki(ARGS, SMALL).exits(0);
    place.pki(&["rotate", "encryption", "--store", "store"], SMALL).exits(0);
    place.pki(&["rotate", "encryption", "--abort", "--store", "store"], SMALL).exits(0);
    let open = |line: &str| place.sh(line, "").exits(0).stdout;
    let wide = "find store -type d ! -perm 700";
    assert_eq!(open(wide), "");
    open("chmod 755 store store/nodes/w-2");
    let ran = place.pki(ARGS, SMALL).exits(0);
    assert_eq!(
        ran.stderr,
        "kmh-pki: warning: folder `store` can be read by others: `chmod 700 store`\n\
         kmh-pki: warning: folder `store/nodes/w-2` can be read by others: `chmod 700 store/nodes/w-2`\n"
    );
    // As after a clone: one warning, whose command works, and `--repair`.
    open("find store -type d -exec chmod 755 {} +");
    let count = open(wide).lines().count();
    let ran = place.pki(ARGS, SMALL).exits(0);
    assert_eq!(
        ran.stderr,
        format!(
            "kmh-pki: warning: {count} folders in store `store` can be read by others: \
             `find store -type d -exec chmod 700 {{}} +`\n"
        )
    );
    let before = place.snapshot();
    let repair = ["--store", "store", "--repair", "-o", "text"];
    let ran = place.pki(&[&repair[..], &["--dry-run"]].concat(), SMALL).exits(0);
    assert!(ran.stdout.contains(&format!("would mend the mode of {count} folders; ")), "{}", ran.stdout);
    assert!(place.snapshot() == before);
    open("chmod 644 store/ca/etcd.key");
    let ran = place.pki(&repair, SMALL).exits(0);
    assert!(
        ran.stdout.contains(&format!("mended the mode of 1 key and {count} folders; nothing to do")),
        "{}",
        ran.stdout
    );
    assert_eq!(open(wide), "");
    let ran = place.pki(&["--store", "store", "--strict", "-o", "text"], SMALL).exits(0);
    assert_eq!(ran.stderr, "");
}

/// What a run writes besides the store goes elsewhere: an output must not replace a key.
#[test]
fn nothing_is_written_into_a_store_but_by_itself() {
    let place = Place::with_store(SMALL);
    let before = place.files();
    place.sh("ln -s store/ca link; openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /O=system:nodes/CN=system:node:w-1 -out csr 2>&-", "").exits(0);
    for args in [
        &["ensure", "--write", "store/ca/cluster.key"][..],
        &["ensure", "--write", "store/store.json"],
        &["ensure", "--requests", "store/store.json"],
        &["status", "--write", "link/etcd.key"],
        &["sign", "--csr", "csr", "--to", "store/../store/ca/cluster.key"],
        &["kubeconfig", "--user", "anna", "--force", "--to", "store/ca/cluster.key"],
        &["export", "--layout", "kubeadm", "--to", "store/out"],
        &["export", "--layout", "tar", "--to", "store/nodes/w-1/out.tar"],
    ] {
        let ran = place.pki(&[args, &["--store", "store"]].concat(), SMALL);
        let ran = ran.exits(2).says("would be written into store `store`");
        assert_eq!(ran.stdout, "", "{args:?}");
        assert_eq!(place.files(), before, "{args:?}");
    }
    place.pki(&["status", "--store", "store", "--write", "status.txt"], SMALL).exits(0);
}

/// What is printed and what is written are two files.
#[test]
fn one_file_is_not_written_twice() {
    let place = Place::with_store(SMALL);
    place.sh("ln -s . here; openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /O=system:nodes/CN=system:node:w-1 -out csr 2>&-", "").exits(0);
    let before = place.snapshot();
    for args in [
        &["export", "--layout", "tar", "--to", "x"][..],
        &["sign", "--csr", "csr", "--to", "here/x"],
        &["ensure", "--requests", "./x"],
        &["kubeconfig", "--user", "anna", "--to", "here/here/x"],
    ] {
        let args = [args, &["--store", "store", "--write", "x"]].concat();
        place.pki(&args, SMALL).exits(2).says("`x` would be written twice");
        assert!(place.snapshot() == before, "{args:?}");
    }
    std::fs::write(place.path().join("x"), "text").unwrap();
    let pipe = ["export", "--layout", "tar", "--to", "-", "--store", "store", "--write", "x"];
    let ran = place.pki(&pipe, SMALL).exits(2).says("`--to -` prints the tar alone");
    assert_eq!((ran.stdout.as_str(), std::fs::read(place.path().join("x")).unwrap()), ("", b"text".to_vec()));
}
