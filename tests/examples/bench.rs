//! `make bench`: what kmh costs, as ratios measured in one run on one machine.
//!
//! First a stream of 200 MB through a tool that uses none of it, against `cat` and `jq -c .`; then the whole pipe for
//! 10, 100 and 1,000 nodes on five sites: time and peak memory of each tool, and how they grow. Time and memory are
//! those that GNU time gives for each process. Last the network alone at Kubernetes' own limit: 5,000 nodes on 50 sites,
//! every router with every other, two families. And, as root, labs of 3, 10 and 30 sites with the real daemons (`bench/lab.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement, not a tool"
)]

#[path = "bench/lab.rs"]
mod lab;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use kmh_tests::generate::{dual_stack, inventory};
use kmh_tests::sandbox::tool_dir;
use serde_json::{Value, json};

const MEGABYTE: f64 = 1e6;

/// What a process cost.
#[derive(Clone, Copy)]
struct Cost {
    /// By the clock.
    seconds: f64,
    /// Of a processor, in user and kernel mode: what other work on the machine changes least.
    busy: f64,
    megabytes: f64,
}

/// What is measured, in a folder of its own.
type Part = fn(&Path);

fn main() {
    let dir = tempfile::Builder::new().prefix("kmh-bench-").tempdir().expect("a temporary folder");
    // Parts by name, all when none is named.
    let parts: [(&str, Part); 4] =
        [("stream", stream), ("pipe", pipe), ("network", network), ("lab", lab::run)];
    let named: Vec<String> = std::env::args().skip(1).collect();
    for (name, part) in parts {
        if named.is_empty() || named.iter().any(|one| one == name) {
            part(dir.path());
        }
    }
}

/// Runs a command line with a file as standard input and a file as standard output, that many times; the quickest counts.
fn cost(dir: &Path, times: usize, command: &[&str], input: &str, output: &str) -> Cost {
    let path = format!("{}:{}", tool_dir().display(), std::env::var("PATH").unwrap_or_default());
    let run = |_| {
        let status = Command::new("/usr/bin/time")
            .args(["--quiet", "--format=%e %U %S %M", "--output=cost", "--"])
            .args(command)
            .current_dir(dir)
            .env("PATH", &path)
            .stdin(File::open(dir.join(input)).unwrap())
            .stdout(File::create(dir.join(output)).unwrap())
            .status()
            .expect("GNU time: apt-get install time");
        assert!(status.success(), "{command:?} failed");
        let text = std::fs::read_to_string(dir.join("cost")).unwrap();
        let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [seconds, user, system, kilobytes] = numbers[..] else { panic!("GNU time said {text}") };
        // GNU time counts hundredths.
        let (seconds, busy) = (seconds.max(0.01), (user + system).max(0.01));
        Cost { seconds, busy, megabytes: kilobytes * 1024.0 / MEGABYTE }
    };
    let least =
        |a: Cost, b: Cost| Cost { busy: a.busy.min(b.busy), ..if b.seconds < a.seconds { b } else { a } };
    (0..times).map(run).reduce(least).unwrap()
}

/// The mean cost of a command that takes less than GNU time can tell: it runs a hundred times in a row.
fn mean_cost(dir: &Path, command: &[&str], input: &str, output: &str) -> Cost {
    const ROUNDS: f64 = 100.0;
    let script = format!(r#"for i in $(seq {ROUNDS}); do "$@" <{input} >{output} || exit; done"#);
    let row = [&["sh", "-c", &script, "sh"], command].concat();
    let all = cost(dir, 3, &row, input, "row");
    Cost { seconds: all.seconds / ROUNDS, busy: all.busy / ROUNDS, ..all }
}

/// A document as large as wanted, of lines such as bundles have.
fn document(kind: &str, megabytes: usize) -> Value {
    let text = "net.ipv4.conf.all.rp_filter = 0\n# \"quoted\", as configuration often is\n".repeat(12);
    let file = json!({"path": "/etc/kubernetes/some.conf", "owner": "root:root", "mode": "0644", "content": [{"text": text}]});
    let files = megabytes * 1_000_000 / file.to_string().len();
    json!({"kind": kind, "from": {}, "spec": {"store": "none", "files": vec![file; files]}})
}

/// 200 MB past a tool that needs none of it.
fn stream(dir: &Path) {
    let mut file = File::create(dir.join("stream.json")).unwrap();
    let network = Command::new(tool_dir().join("kmh-bgpcfg"))
        .stdin(write(dir, "small.yaml", &inventory(3, 3)))
        .output()
        .unwrap();
    assert!(network.status.success(), "kmh-bgpcfg failed");
    file.write_all(&network.stdout).unwrap();
    for _ in 0..20 {
        // Foreign documents, all the same but for their kinds: none is left out as a repetition.
        let index = file.metadata().unwrap().len();
        writeln!(file, "{}", document(&format!("example.net/v{index}"), 10)).unwrap();
    }
    let size = file.metadata().unwrap().len() as f64 / MEGABYTE;
    let rows = [
        ("cat", cost(dir, 3, &["cat"], "stream.json", "copy.json")),
        ("kmh-bgpcfg", cost(dir, 3, &["kmh-bgpcfg"], "stream.json", "copy.json")),
        ("jq -c .", cost(dir, 3, &["jq", "-c", "."], "stream.json", "copy.json")),
    ];
    println!(
        "a stream of {size:.0} MB, of which the tool needs {:.3} MB\n",
        network.stdout.len() as f64 / MEGABYTE
    );
    println!("{:<12} {:>9} {:>9} {:>12} {:>10}", "", "seconds", "MB/s", "peak MB", "jq takes");
    for (name, cost) in rows {
        println!(
            "{name:<12} {:>9.2} {:>9.0} {:>12.0} {:>9.1}x",
            cost.seconds,
            size / cost.seconds,
            cost.megabytes,
            rows[2].1.seconds / cost.seconds
        );
    }
    println!();
}

/// The whole pipe in three sizes.
fn pipe(dir: &Path) {
    const SIZES: [usize; 3] = [10, 100, 1000];
    // What it is called, how often it runs, which of the streams it reads and writes, and the command.
    const STEPS: [(&str, usize, usize, usize, &[&str]); 7] = [
        ("kmh-pki, first", 1, 0, 1, &["kmh-pki", "--init", "--store", "STORE"]),
        ("kmh-pki", 3, 0, 1, &["kmh-pki", "--store", "STORE"]),
        ("kmh-bgpcfg", 3, 1, 2, &["kmh-bgpcfg"]),
        ("kmh-render", 3, 2, 3, &["kmh-render"]),
        ("kmh-push, first", 1, 3, 4, &["kmh-push", "--store", "STORE", "--to", "dir:OUT"]),
        ("kmh-push", 3, 3, 4, &["kmh-push", "--store", "STORE", "--to", "dir:OUT"]),
        ("kmh-check", 3, 4, 5, &["kmh-check", "-o", "json"]),
    ];
    println!("the whole pipe, five sites; seconds (peak MB)\n");
    let mut table: Vec<Vec<Cost>> = vec![vec![]; STEPS.len()];
    let mut sizes = vec![];
    for nodes in SIZES {
        let _ = write(dir, "0.json", &inventory(nodes, 5));
        let (store, out) = (format!("pki-{nodes}"), format!("out-{nodes}"));
        for (costs, (_, times, from, to, command)) in table.iter_mut().zip(STEPS) {
            let command: Vec<String> =
                command.iter().map(|word| word.replace("STORE", &store).replace("OUT", &out)).collect();
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            costs.push(cost(dir, times, &command, &format!("{from}.json"), &format!("{to}.json")));
        }
        sizes.push(std::fs::metadata(dir.join("5.json")).unwrap().len() as f64 / MEGABYTE);
    }
    println!(
        "{:<16} {:>14} {:>14} {:>14}   a node more, 1,000 : 100",
        "", "10 nodes", "100 nodes", "1,000 nodes"
    );
    let line = |name: &str, costs: &[Cost]| {
        let cells: Vec<String> =
            costs.iter().map(|c| format!("{:.2} ({:.0})", c.seconds, c.megabytes)).collect();
        // 1.0 is linear: what the next node costs in the large cluster against the small one.
        let slope = |a: Cost, b: Cost, nodes: usize| (b.seconds - a.seconds) / nodes as f64;
        let (early, late) = (slope(costs[0], costs[1], 90), slope(costs[1], costs[2], 900));
        let growth = if early > 0.0002 {
            format!("{:.1}x", late / early)
        } else {
            format!("{:.2} ms a node", late * 1e3)
        };
        println!("{name:<16} {:>14} {:>14} {:>14}   {growth}", cells[0], cells[1], cells[2]);
    };
    for ((name, ..), costs) in STEPS.iter().zip(&table) {
        line(name, costs);
    }
    // A pipe as it runs every day, nothing made for the first time.
    let daily = |size: usize| {
        STEPS.iter().zip(&table).filter(|(step, _)| step.1 > 1).map(move |(_, costs)| costs[size])
    };
    let sum = |size: usize| Cost {
        seconds: daily(size).map(|cost| cost.seconds).sum(),
        busy: daily(size).map(|cost| cost.busy).sum(),
        megabytes: daily(size).map(|cost| cost.megabytes).fold(0.0, f64::max),
    };
    line("daily pipe", &[sum(0), sum(1), sum(2)]);
    println!("{:<16} {:>11.1} MB {:>11.1} MB {:>11.1} MB", "the stream", sizes[0], sizes[1], sizes[2]);
}

/// The network computed and predicted: the article's cluster, then a tenth of Kubernetes' limit, then all of it.
fn network(dir: &Path) {
    const STEPS: [(&str, usize, usize, &[&str]); 4] = [
        ("plan", 0, 1, &["kmh-bgpcfg", "-q", "--only", "plan"]),
        ("predict", 1, 2, &["kmh-bgpcfg", "-q", "predict", "-o", "text"]),
        ("plan and predict", 0, 3, &["kmh-bgpcfg", "-q", "predict", "-o", "text"]),
        ("all single failures", 1, 4, &["kmh-bgpcfg", "-q", "what-if", "--all-single", "-o", "json"]),
    ];
    println!("\nthe network: two families, 50 sites; seconds by the clock / of a processor (peak MB)\n");
    let article = std::fs::read_to_string(kmh_tests::sandbox::article()).unwrap();
    let sizes =
        [("article", article), ("500 nodes", dual_stack(500, 50)), ("5,000 nodes", dual_stack(5000, 50))];
    let mut table: Vec<Vec<Cost>> = vec![vec![]; STEPS.len()];
    for (size, (_, inventory)) in sizes.iter().enumerate() {
        let _ = write(dir, "0.json", inventory);
        for (costs, (_, from, to, command)) in table.iter_mut().zip(STEPS) {
            let (from, to) = (format!("{from}.json"), format!("{to}.json"));
            costs.push(match size {
                0 => mean_cost(dir, command, &from, &to),
                _ => cost(dir, 3, command, &from, &to),
            });
        }
    }
    let [a, b, c] = sizes.map(|(name, _)| name);
    println!("{:<20} {a:>20} {b:>20} {c:>20}", "");
    for ((name, ..), costs) in STEPS.iter().zip(&table) {
        let cells: Vec<String> =
            costs.iter().map(|c| format!("{:.3} / {:.3} ({:.0})", c.seconds, c.busy, c.megabytes)).collect();
        println!("{name:<20} {:>20} {:>20} {:>20}", cells[0], cells[1], cells[2]);
    }
    println!("\nits bounds, in seconds of a processor\n");
    let bound = |what: &str, found: f64, most: f64, unit: &str| {
        let verdict = if found <= most { "held" } else { "MISSED" };
        println!("{what:<44} {found:>6.1}{unit:<3} at most {most:>3}{unit:<3} {verdict}");
    };
    for ((name, ..), costs) in STEPS.iter().zip(&table).take(3) {
        bound(&format!("{name}, 5,000 nodes : 500, time"), costs[2].busy / costs[1].busy, 12.0, "x");
        bound(
            &format!("{name}, 5,000 nodes : 500, memory"),
            costs[2].megabytes / costs[1].megabytes,
            12.0,
            "x",
        );
    }
    let [_, predict, both, singles] = &table[..] else { unreachable!("four steps") };
    bound("plan and predict, the article's cluster", both[0].busy * 1e3, 10.0, " ms");
    bound("plan and predict, 5,000 nodes", both[2].busy, 2.0, " s");
    bound("all single failures : predict, 5,000 nodes", singles[2].busy / predict[2].busy, 20.0, "x");
}

/// Writes a file and opens it for reading.
fn write(dir: &Path, name: &str, text: &str) -> File {
    std::fs::write(dir.join(name), text).unwrap();
    File::open(dir.join(name)).unwrap()
}
