//! The walls of the house: who may depend on whom, what stays in one crate, that every dependency is accounted for,
//! and that every file can be held in the head.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use kmh_tests::sandbox::{root, walk};

/// Our crates, and which of ours each may use.
const EDGES: [(&str, &[&str]); 15] = [
    ("kmh-doc", &[]),
    ("kmh-calico", &[]),
    ("kmh-model", &["kmh-doc"]),
    ("kmh-cli", &["kmh-doc"]),
    ("kmh-route", &["kmh-doc", "kmh-calico"]),
    ("kmh-cert", &["kmh-doc"]),
    ("kmh-age", &["kmh-cli"]),
    ("kmh-pki", &["kmh-doc", "kmh-model", "kmh-cli", "kmh-age", "kmh-store", "kmh-cert"]),
    ("kmh-bgpcfg", &NETWORK),
    ("kmh-render", &SHARED),
    ("kmh-store", &["kmh-doc", "kmh-cli", "kmh-age"]),
    ("kmh-push", &["kmh-doc", "kmh-model", "kmh-cli", "kmh-store"]),
    ("kmh-check", &["kmh-doc", "kmh-model", "kmh-cli", "kmh-route", "kmh-calico", "kmh-cert"]),
    ("kmh-lab", &["kmh-doc", "kmh-model", "kmh-cli", "kmh-route", "kmh-calico", "kmh-store", "kmh-cert"]),
    (
        "kmh-tests",
        &[
            "kmh-doc",
            "kmh-calico",
            "kmh-model",
            "kmh-cli",
            "kmh-route",
            "kmh-pki",
            "kmh-bgpcfg",
            "kmh-render",
            "kmh-push",
            "kmh-check",
            "kmh-store",
            "kmh-cert",
            "kmh-lab",
        ],
    ),
];

/// What a tool may use of ours: no tool uses another tool.
const SHARED: [&str; 3] = ["kmh-doc", "kmh-model", "kmh-cli"];

/// And what one may that makes networks or judges them: how routes travel, and what Calico takes.
const NETWORK: [&str; 5] = ["kmh-doc", "kmh-model", "kmh-cli", "kmh-route", "kmh-calico"];

/// Foreign crates that only these of ours may use, and why.
const ONLY: [(&str, &[&str], &str); 7] = [
    ("age", &["kmh-age"], "one place encrypts and decrypts"),
    ("rcgen", &["kmh-pki"], "one place issues certificates"),
    ("ssh2", &["kmh-push"], "a C library; nothing else may need it to be built"),
    ("libssh2-sys", &["kmh-push"], "the same"),
    ("minijinja", &["kmh-render"], "one place renders"),
    (
        "clap",
        &["kmh-cli", "kmh-pki", "kmh-bgpcfg", "kmh-render", "kmh-push", "kmh-check", "kmh-lab"],
        "words and meaning know no command line",
    ),
    ("tempfile", &["kmh-cli", "kmh-tests"], "files are written in one place"),
];

/// No file is longer. There are no exceptions.
const LINES: usize = 600;

fn metadata() -> Metadata {
    MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata")
}

/// What each of our crates names as a dependency, tests' own needs left out unless asked for.
fn direct(metadata: &Metadata, with_dev: bool) -> BTreeMap<String, BTreeSet<String>> {
    let of = |package: &cargo_metadata::Package| {
        let wanted =
            package.dependencies.iter().filter(|d| with_dev || d.kind != DependencyKind::Development);
        wanted.map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), of(package))).collect()
}

#[test]
fn our_crates_depend_on_each_other_as_drawn() {
    let metadata = metadata();
    let found = direct(&metadata, false);
    let permitted: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    assert_eq!(
        found.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        permitted.keys().copied().collect::<BTreeSet<_>>(),
        "the workspace's crates and the table of permitted edges"
    );
    let mut wrong = vec![];
    for (name, dependencies) in &found {
        for other in dependencies.iter().filter(|other| permitted.contains_key(other.as_str())) {
            if !permitted[name.as_str()].contains(&other.as_str()) {
                wrong.push(format!("{name} -> {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that the architecture does not have: {wrong:?}");
}

#[test]
fn what_belongs_to_one_crate_stays_there() {
    let metadata = metadata();
    let mut wrong = vec![];
    for (name, dependencies) in direct(&metadata, false) {
        for (foreign, owners, why) in ONLY {
            if dependencies.contains(foreign) && !owners.contains(&name.as_str()) {
                wrong.push(format!("{name} -> {foreign} ({why})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn versions_and_lints_stand_in_one_place() {
    let mut wrong = vec![];
    for package in metadata().packages {
        let text = std::fs::read_to_string(package.manifest_path.as_std_path()).unwrap();
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{}: lints of its own", package.name));
        }
        let mut inside = false;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
            } else if inside && !line.contains("workspace = true") {
                wrong.push(format!("{}: {line}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "only the workspace's Cargo.toml sets versions and lints: {wrong:#?}");
}

#[test]
fn every_direct_dependency_is_accounted_for() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let used: BTreeSet<String> = direct(&metadata, true)
        .into_values()
        .flatten()
        .filter(|name| !ours.contains(name.as_str()))
        .collect();
    let text = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let described: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
        .collect();
    let missing: Vec<_> = used.difference(&described).collect();
    let stale: Vec<_> = described.difference(&used).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/dependencies.md lacks {missing:?} and still has {stale:?}"
    );
}

#[test]
fn every_file_can_be_held_in_the_head() {
    let mut long = vec![];
    for folder in ["crates", "tests"] {
        walk(&root().join(folder), &mut |path| {
            if path.extension().is_some_and(|ending| ending == "rs") {
                let lines = std::fs::read_to_string(path).unwrap().lines().count();
                if lines > LINES {
                    long.push(format!("{}: {lines}", path.strip_prefix(root()).unwrap().display()));
                }
            }
        });
    }
    assert!(long.is_empty(), "longer than {LINES} lines: {long:#?}");
}

#[test]
fn main_is_a_stub() {
    for (name, _) in EDGES {
        let main = root().join("crates").join(name).join("src/main.rs");
        if let Ok(text) = std::fs::read_to_string(&main) {
            assert!(text.lines().count() <= 10, "{} is no stub", main.display());
            assert!(text.contains("kmh_cli::main("), "{} does not run in an environment", main.display());
        }
    }
}

/// The versions of each package of a lock file.
fn locked(path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for block in text.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.unwrap().trim_end_matches('"').to_owned()
        };
        found.entry(value("name")).or_default().insert(value("version"));
    }
    found
}

#[test]
fn fuzz_targets_are_built_of_what_the_workspace_is_built_of() {
    // Its own, and libFuzzer's.
    const OWN: [&str; 3] = ["arbitrary", "kmh-fuzz", "libfuzzer-sys"];
    let (ours, fuzz) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let other = |(name, versions): (&String, &BTreeSet<String>)| {
        let known = ours.get(name).is_some_and(|all| versions.is_subset(all));
        (!known && !OWN.contains(&name.as_str())).then(|| format!("{name} {versions:?}"))
    };
    let others: Vec<String> = fuzz.iter().filter_map(other).collect();
    assert!(
        others.is_empty(),
        "not in Cargo.lock: {others:?}; copy it over fuzz/Cargo.lock, and let cargo take out what is not needed"
    );
    for entry in std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap() {
        let path = entry.unwrap().path();
        let target = path.file_stem().unwrap().to_string_lossy().into_owned();
        let seeds = std::fs::read_dir(root().join("fuzz/seeds").join(&target)).unwrap().count();
        assert!(seeds > 1, "fuzz target `{target}` begins with nothing");
    }
}
