//! Runs in this process, at any time.

use kmh_cli::{Env, Exit};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::datetime;

use super::Place;

/// When the stores of the tests are made.
pub const START: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

/// A run in this process at that time: exit code, stdout, stderr.
pub fn at(place: &Place, now: OffsetDateTime, args: &[&str], inventory: &str) -> (Exit, String, String) {
    let store = place.store();
    let args = [&["kmh-pki", "--store", store.to_str().unwrap()], args].concat();
    let (mut env, captured) = Env::fake(args, inventory);
    env.now = now;
    let exit = kmh_pki::run(&mut env);
    let text = |bytes: &std::sync::Mutex<Vec<u8>>| String::from_utf8(bytes.lock().unwrap().clone()).unwrap();
    (exit, text(&captured.stdout), text(&captured.stderr))
}

/// A store that was made at that time.
pub fn made(now: OffsetDateTime, inventory: &str) -> Place {
    let place = Place::new();
    let (exit, _, stderr) = at(&place, now, &["--init"], inventory);
    assert_eq!(exit, Exit::Done, "{stderr}");
    place
}

/// What was made, with the reason: name and why.
pub fn reasons(place: &Place, now: OffsetDateTime, inventory: &str) -> Vec<(String, String)> {
    let (exit, stdout, stderr) = at(place, now, &["-o", "ansible"], inventory);
    assert_eq!(exit, Exit::Done, "{stderr}");
    let result: Value = serde_json::from_str(&stdout).unwrap();
    let diff = result["diff"].as_array().unwrap();
    assert_eq!(result["changed"], !diff.is_empty());
    diff.iter()
        .map(|one| {
            let after = one["after"].as_str().unwrap();
            let why = after.lines().find_map(|line| line.strip_prefix("why: ")).unwrap();
            (one["after_header"].as_str().unwrap().to_owned(), why.to_owned())
        })
        .collect()
}

pub fn document(place: &Place, now: OffsetDateTime, inventory: &str) -> Value {
    let (_, stdout, _) = at(place, now, &["--only"], inventory);
    serde_json::from_str(&stdout).unwrap()
}
