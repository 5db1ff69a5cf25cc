//! The program as it is called.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::process::{Command, Output};

const ARTICLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/article/cluster.yaml");

fn call(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kmh-bgpcfg"))
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_inventory_passes_and_the_network_follows() {
    let output = call(&["-i", ARTICLE]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let kinds: Vec<String> = stdout(&output)
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(kinds, ["kmh.inventory/v1", "kmh.network/v1"]);
    assert_eq!(stdout(&call(&["plan", "-i", ARTICLE])), stdout(&output), "the verb is the default");
}

#[test]
fn the_page_for_people_fits_and_names_everything() {
    let page = stdout(&call(&["-i", ARTICLE, "-o", "text"]));
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
    for text in [
        "ROUTERS",
        "SESSIONS",
        "TUNNELS",
        "FINDINGS",
        "layout A: one AS for all nodes (64512)",
        "OUTAGES",
        "2 to 3 s",
        "fw-attic--fw-flat",
        "10.255.0.8/30",
        "vps-1",
        "MTU of pods: 1410",
    ] {
        assert!(page.contains(text), "{text} is missing:\n{page}");
    }
}

#[test]
fn long_names_do_not_break_the_page() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("long.yaml");
    let long = "x".repeat(35);
    let text = std::fs::read_to_string(ARTICLE)
        .unwrap()
        .replace("fw-attic", &format!("{long}-a"))
        .replace("gw-vps", &format!("{long}-b"));
    #[allow(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&dir, text).unwrap();
    let output = call(&["-i", dir.to_str().unwrap(), "-o", "text"]);
    let page = stdout(&output);
    assert!(page.contains("SESSIONS"), "{output:?}");
    let tables = page.split("FINDINGS").next().unwrap();
    assert!(tables.lines().all(|line| line.chars().count() <= 100), "{page}");
}

#[test]
fn a_router_without_as_number_is_refused_with_its_place() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-asn.yaml");
    #[allow(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&dir, std::fs::read_to_string(ARTICLE).unwrap().replace("asn: 65030", "ssh: {}")).unwrap();
    let output = call(&["-i", dir.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()), "{said}");
    assert!(said.contains("gw-vps") && said.contains("no-asn.yaml"), "{said}");
}

#[test]
fn a_limit_narrows_the_page_and_never_the_document() {
    let page = stdout(&call(&["-i", ARTICLE, "-o", "text", "--limit", "pi-1"]));
    let tables = page.split("MTU of pods").next().unwrap();
    assert!(tables.contains("fw-flat") && tables.contains("pi-1"), "{page}");
    assert!(!tables.contains("gw-vps") && !tables.contains("flat-1"), "{page}");
    assert_eq!(stdout(&call(&["-i", ARTICLE, "--limit", "pi-1"])), stdout(&call(&["-i", ARTICLE])));

    let output = call(&["-i", ARTICLE, "--limit", "pi-2"]);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`--limit pi-2` selects no machine") && said.contains("pi-1"), "{said}");
}

#[test]
fn help_ends_with_examples() {
    let help = stdout(&call(&["--help"]));
    let examples = help.split("EXAMPLES").nth(1).unwrap_or_default();
    assert!(examples.lines().all(|line| line.len() < 80), "wrapped commands cannot be pasted:\n{examples}");
    assert!(help.contains("EXAMPLES") && help.contains("kmh-bgpcfg -i cluster.yaml -o text"), "{help}");
}
