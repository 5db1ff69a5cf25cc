//! What a lab costs: time until everything that was predicted is there, memory, and how much of the time is kmh's own.
//!
//! `up --no-wait` ends when all machines run and all daemons are started: that is kmh's. A second `up` changes nothing and
//! waits until every session is up and every kernel has the routes that were predicted: what passes until then is the
//! protocols' (calling again after a refusal, advertisement intervals, BFD's slow start), and the daemons' own work. They
//! begin while kmh still works, so what is called its share is rather too large than too small.
//!
//! Memory is the share of every process of the lab (PSS of proc(5)); what the kernel has for namespaces and links is not in it.
//! Tunnels are plain links: those that encrypt cost what strongSwan costs.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kmh_tests::generate::inventory;
use kmh_tests::sandbox::{article, is_root, tool_dir};
use serde_json::Value;

/// Longer than this nobody waits for a lab.
const PATIENCE: Duration = Duration::from_secs(600);
/// Nodes of a site.
const NODES: usize = 2;

/// A lab that came to rest.
struct Measured {
    name: String,
    machines: usize,
    links: usize,
    tunnels: usize,
    /// `up --no-wait`.
    own: f64,
    /// From the beginning until it rests; none when it never did.
    rest: Option<f64>,
    /// An `up` that changes nothing, on a lab at rest.
    again: f64,
    /// Of all its processes.
    megabytes: f64,
    processes: usize,
    down: f64,
}

pub(crate) fn run(dir: &Path) {
    println!("\na lab: the network on this machine, with the real daemons; seconds\n");
    if !is_root() {
        println!("not measured: kmh-lab needs root (sudo -E make bench)");
        return;
    }
    let article = std::fs::read_to_string(article()).unwrap();
    let sizes = [
        ("the article's", article),
        ("3 sites", inventory(3 * NODES, 3)),
        ("10 sites", inventory(10 * NODES, 10)),
        ("30 sites", inventory(30 * NODES, 30)),
    ];
    println!(
        "{:<14} {:>8} {:>7} {:>6} {:>8} {:>8} {:>9} {:>8} {:>6} {:>6} {:>8}",
        "", "machines", "tunnels", "links", "kmh", "at rest", "kmh of it", "no change", "down", "procs", "MB"
    );
    let mut all = Vec::new();
    for (number, (name, text)) in sizes.iter().enumerate() {
        let one = measure(dir, name, number, text);
        let rest = one.rest.map_or_else(|| format!("> {}", PATIENCE.as_secs()), |rest| format!("{rest:.1}"));
        let share =
            one.rest.map_or_else(|| "-".to_owned(), |rest| format!("{:.0} %", one.own / rest * 100.0));
        println!(
            "{:<14} {:>8} {:>7} {:>6} {:>8.1} {rest:>8} {share:>9} {:>9.1} {:>6.1} {:>6} {:>8.0}",
            one.name,
            one.machines,
            one.tunnels,
            one.links,
            one.own,
            one.again,
            one.down,
            one.processes,
            one.megabytes,
        );
        all.push(one);
    }
    println!("\nits bounds\n");
    let bound = |what: &str, found: f64, most: f64, unit: &str| {
        let verdict = if found <= most { "held" } else { "MISSED" };
        println!("{what:<52} {found:>6.1}{unit:<3} at most {most:>3}{unit:<3} {verdict}");
    };
    let [article, three, ten, thirty] = &all[..] else { unreachable!("four sizes") };
    let share = |one: &Measured| one.rest.map_or(f64::INFINITY, |rest| one.own / rest * 100.0);
    bound("kmh's share, the article's cluster", share(article), 50.0, " %");
    bound("at rest, 30 sites", thirty.rest.unwrap_or(f64::INFINITY), PATIENCE.as_secs_f64(), " s");
    // Machines and links are what there is to make.
    let work = |one: &Measured| (one.machines + one.links) as f64;
    bound("kmh, per machine and link, 10 sites : 3", ten.own / work(ten) * work(three) / three.own, 2.0, "x");
    bound(
        "kmh, per machine and link, 30 sites : 10",
        thirty.own / work(thirty) * work(ten) / ten.own,
        2.0,
        "x",
    );
    bound("memory per machine, 30 sites : 10", per_machine(thirty) / per_machine(ten), 3.0, "x");
}

fn per_machine(one: &Measured) -> f64 {
    one.megabytes / one.machines as f64
}

fn sh(dir: &Path, line: &str) -> Output {
    let path = format!("{}:{}", tool_dir().display(), std::env::var("PATH").unwrap_or_default());
    Command::new("sh").args(["-c", line]).current_dir(dir).env("PATH", path).output().expect("sh")
}

fn must(dir: &Path, line: &str) -> Output {
    let ran = sh(dir, line);
    assert!(ran.status.success(), "{line}\n{}", String::from_utf8_lossy(&ran.stderr));
    ran
}

/// A lab that goes with this, also after a panic.
struct Lab<'a> {
    dir: &'a Path,
    name: String,
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        sh(self.dir, &format!("kmh-lab --lab {} down", self.name));
    }
}

fn measure(dir: &Path, name: &str, number: usize, inventory: &str) -> Measured {
    std::fs::write(dir.join("lab.yaml"), inventory).unwrap();
    let store = format!("lab-pki-{number}");
    must(
        dir,
        &format!("kmh-pki -q --init --store {store} <lab.yaml | kmh-bgpcfg -q | kmh-render -q >lab.json"),
    );
    let lab = Lab { dir, name: format!("b{}-{number}", std::process::id()) };
    let up = format!("kmh-lab -q --lab {} up -i lab.json --store {store} --tunnels plain -o json", lab.name);
    let begin = Instant::now();
    let ran = must(dir, &format!("{up} --no-wait"));
    let own = begin.elapsed().as_secs_f64();
    let mut rest = None;
    while rest.is_none() && begin.elapsed() < PATIENCE {
        // It gives up for itself after a while, and says what is missing.
        rest = sh(dir, &up).status.success().then(|| begin.elapsed().as_secs_f64());
    }
    let again = Instant::now();
    sh(dir, &up);
    let again = again.elapsed().as_secs_f64();
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let folder = Path::new("/run/kmh-lab").join(&lab.name);
    let state: Value = serde_json::from_slice(&std::fs::read(folder.join("lab.json")).unwrap()).unwrap();
    let memory: Value = serde_json::from_slice(&std::fs::read(folder.join("memory.json")).unwrap()).unwrap();
    let (processes, megabytes) = processes(&lab.name);
    let down = Instant::now();
    must(dir, &format!("kmh-lab -q --lab {} down", lab.name));
    Measured {
        name: name.to_owned(),
        machines: said["machines"].as_object().unwrap().len(),
        links: state["wires"]["links"].as_array().unwrap().len(),
        tunnels: memory["network"]["tunnels"].as_array().unwrap().len(),
        own,
        rest,
        again,
        megabytes,
        processes,
        down: down.elapsed().as_secs_f64(),
    }
}

/// How many processes a lab has, and their memory: each has its mark.
fn processes(lab: &str) -> (usize, f64) {
    let mark = format!("KMH_LAB={lab}@");
    let mut found = (0, 0.0);
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if !environ.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes())) {
            continue;
        }
        let rollup = std::fs::read_to_string(entry.path().join("smaps_rollup")).unwrap_or_default();
        let pss = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        found.0 += 1;
        found.1 += pss.unwrap_or_default() * 1024.0 / 1e6;
    }
    found
}
