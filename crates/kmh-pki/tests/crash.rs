//! A run that is killed at any moment: the next one goes on, and no CA is ever another one.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;

use common::{Place, SMALL, article};

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many files have been begun.
    Begun(usize),
    /// So many files have got their names.
    Named(usize),
}

/// Ten moments while the files are written, ten while they get their names.
fn moments(files: usize) -> impl Iterator<Item = Moment> {
    let part = move |number: usize| files * number / 10;
    (0..10).map(move |n| Moment::Begun(part(n))).chain((0..10).map(move |n| Moment::Named(part(n) + 1)))
}

/// Starts a run, kills it at that moment, and says whether it was still running.
fn kill_at(place: &Place, inventory: &str, moment: Moment) -> bool {
    std::fs::write(place.path().join("cluster.yaml"), inventory).unwrap();
    let mut command = place.command(&["--store", "store", "--init", "-i", "cluster.yaml"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let running = loop {
        if child.try_wait().unwrap().is_some() {
            break false;
        }
        let reached = match moment {
            Moment::Begun(count) => place.count(|_| true) >= count,
            Moment::Named(count) => place.count(|name| !name.ends_with(".kmh-new")) >= count,
        };
        if reached {
            break true;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

fn is_key(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|ending| ending == "key")
}

fn no_remains(place: &Place) {
    for name in place.files().keys() {
        assert!(!name.contains("kmh-new") && name != "pending.json", "{name} was left");
    }
}

#[test]
fn a_first_run_that_is_killed_is_finished_by_the_next() {
    let inventory = article();
    let mut killed = 0;
    // 56 certificates with their keys, five keys, the identity.
    for moment in moments(118) {
        let place = Place::on_disk();
        killed += usize::from(kill_at(&place, &inventory, moment));
        let before = place.authorities();
        place.pki(&["--store", "store", "--init"], &inventory).exits(0);
        let after = place.authorities();
        for (name, bytes) in before.iter().filter(|(name, _)| is_key(name)) {
            assert_eq!(&after[name], bytes, "{name} was replaced");
        }
        assert_eq!(after.len(), 8);
        no_remains(&place);
        let document = place.pki(&["--store", "store"], &inventory).exits(0).stdout;
        assert_eq!(place.pki(&["--store", "store"], &inventory).exits(0).stdout, document);
    }
    assert!(killed >= 12, "only {killed} of 20 runs were killed");
}

#[test]
fn a_later_run_that_is_killed_is_finished_by_the_next_and_keeps_the_cas() {
    // The domain of services is in the certificate of every API server; a whole site gets another network.
    let inventory = article();
    let moved =
        inventory.replace("domain: cluster.local", "domain: cluster.test").replace("10.20.0.", "10.21.0.");
    let place = Place::on_disk();
    place.pki(&["--store", "store", "--init"], &inventory).exits(0);
    let authorities = place.authorities();
    let mut killed = 0;
    let turns = [&moved, &inventory].into_iter().cycle();
    for (next, unfinished) in turns.zip(0..20_usize) {
        // Of the three API servers' certificates and keys and the journal, so many are begun or not yet named.
        let moment = if unfinished < 10 {
            Moment::Begun(115 + unfinished % 8)
        } else {
            Moment::Named(115 + unfinished % 2)
        };
        killed += usize::from(kill_at(&place, next, moment));
        place.pki(&["--store", "store"], next).exits(0);
        assert_eq!(place.authorities(), authorities);
        no_remains(&place);
    }
    assert!(killed >= 12, "only {killed} of 20 runs were killed");
}

/// The files of a store between two renames, in the order in which they are made: keys, then certificates.
fn renames(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let of = |ending: &'static str| files.keys().filter(move |name| name.ends_with(ending)).cloned();
    of(".key").chain(of(".crt")).collect()
}

fn journal(names: &[String]) -> String {
    let mut names: Vec<_> = names.iter().map(|name| &name[..name.len() - 4]).collect();
    names.sort_unstable();
    names.dedup();
    serde_json::json!({ "names": names }).to_string()
}

fn put(place: &Place, name: &str, bytes: &[u8]) {
    let path = place.store().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn after_each_rename_of_a_first_run_the_next_goes_on_with_the_same_ca_keys() {
    let whole = Place::with_store(SMALL);
    let files = whole.files();
    let order = renames(&files);
    for done in 0..=order.len() {
        let place = Place::new();
        put(&place, "store.json", &files["store.json"]);
        put(&place, "pending.json", journal(&order).as_bytes());
        for name in &order[..done] {
            put(&place, name, &files[name]);
        }
        place.pki(&["--store", "store"], SMALL).exits(0);
        for name in order[..done].iter().filter(|name| name.starts_with("ca/")) {
            assert_eq!(place.files()[name], files[name], "{name} was replaced after {done} renames");
        }
        no_remains(&place);
    }
}

#[test]
fn after_each_rename_of_a_reissue_the_next_goes_on() {
    let place = Place::with_store(SMALL);
    let old = place.files();
    let moved = SMALL.replace("10.10.0.11", "10.10.0.12");
    place.pki(&["--store", "store"], &moved).exits(0);
    let new = place.files();
    let changed: BTreeMap<_, _> = new
        .iter()
        .filter(|(name, bytes)| old[*name] != **bytes)
        .map(|(name, bytes)| (name.clone(), bytes.clone()))
        .collect();
    let order = renames(&changed);
    assert_eq!(order.len(), 12, "{order:?}");
    for done in 0..=order.len() {
        let place = Place::new();
        for (name, bytes) in &old {
            put(&place, name, bytes);
        }
        for name in &order[..done] {
            put(&place, name, &new[name]);
        }
        // Without the journal the same state is somebody's mistake, and refused.
        if done > 0 && done < order.len() {
            place.pki(&["--store", "store"], &moved).exits(3).says("does not belong to it");
        }
        put(&place, "pending.json", journal(&order).as_bytes());
        place.pki(&["--store", "store"], &moved).exits(0);
        assert_eq!(
            place.authorities(),
            old.iter()
                .filter(|(name, _)| name.starts_with("ca/"))
                .map(|(a, b)| (a.clone(), b.clone()))
                .collect()
        );
        no_remains(&place);
    }
}
