//! `make bench`, the store: what kmh-pki costs, against the least that the same keys and signatures can cost, and against
//! a shell that calls openssl.
//!
//! A bare loop makes the keys and signatures of a thousand nodes with the library and the threads that kmh-pki has, and
//! nothing else: no names, no certificates, no files. Then the files of the program's own store are written once more,
//! plainly, on the same threads: no unfinished names, no modes, no journal; and the disk is synced once. Time and peak
//! memory of the program are those that GNU time gives.
//!
//! To make six thousand files takes the kernel longer than the keys take the processor, so the bound of one and a half
//! times is shown twice: against the keys, the signatures and the sync alone, which nobody can hold who writes a file for
//! each key, and against those with the files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement, not a tool"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rayon::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey as _};
use serde_json::Value;

/// Nodes of the large cluster, and of the one that memory is compared with.
const NODES: usize = 1000;
const FEW: usize = 100;
/// Certificates that openssl makes.
const SHELL: usize = 40;
/// Octets of what a certificate's signature is over, about.
const SIGNED: usize = 450;
/// How often a measurement is taken; the least counts.
const ROUNDS: usize = 5;

/// What a run of the program cost.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    kilobytes: f64,
}

fn main() {
    let dir = tempfile::Builder::new().prefix("kmh-bench-").tempdir().expect("a temporary folder");
    let dir = dir.path();
    std::fs::write(dir.join("few.yaml"), inventory(FEW)).unwrap();
    std::fs::write(dir.join("many.yaml"), inventory(NODES)).unwrap();

    let few = first(dir, "few.yaml");
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        // In turns, so that what else the machine does meets all of them.
        let bare = bare();
        let many = first(dir, "many.yaml");
        rounds.push((bare, many, plain(dir, &dir.join(format!("plain-{round}")))));
    }
    let again = (0..ROUNDS).map(|_| run(dir, "many.yaml")).reduce(least).unwrap();
    let (certificates, size) = made(dir);
    let bare = rounds.iter().map(|round| round.0).fold(f64::MAX, f64::min);
    let files = rounds.iter().map(|round| round.2.0).fold(f64::MAX, f64::min);
    let sync = rounds.iter().map(|round| round.2.1).fold(f64::MAX, f64::min);
    let many = rounds.iter().map(|round| round.1).reduce(least).unwrap();
    let (shell, same) = (shell(dir), many.seconds / certificates as f64);

    println!("the store of {NODES} nodes: {certificates} certificates, {:.1} MB\n", size as f64 / 1e6);
    let line = |what: &str, seconds: f64| println!("{what:<56} {seconds:>8.3} s");
    line("bare loop: the same keys and signatures", bare);
    line("the same files, written plainly", files);
    line("one sync of the disk", sync);
    line("kmh-pki, from nothing", many.seconds);
    line("kmh-pki, again", again.seconds);
    line("openssl req and openssl x509, a certificate", shell);
    line("kmh-pki, a certificate", same);
    println!("\nits bounds\n");
    let bound = |what: &str, found: f64, holds: bool, limit: &str| {
        println!("{what:<56} {found:>8.2}   {limit:<14} {}", if holds { "held" } else { "MISSED" });
    };
    let times = many.seconds / (bare + sync);
    bound("from nothing : keys, signatures, one sync", times, times <= 1.5, "at most 1.5");
    let times = many.seconds / (bare + files + sync);
    bound("from nothing : the same and the files", times, times <= 1.5, "at most 1.5");
    let tenth = again.seconds / many.seconds;
    bound("again : from nothing", tenth, tenth <= 0.1, "at most 0.1");
    let faster = shell / same;
    bound("openssl : kmh-pki, a certificate", faster, faster >= 50.0, "at least 50");
    let more = (many.kilobytes - few.kilobytes) / (NODES - FEW) as f64;
    bound("memory for a node more, KiB", more, more < 20.0, "less than 20");
}

/// A cluster of that many nodes, three of which carry the control plane and etcd.
fn inventory(nodes: usize) -> String {
    let mut out = String::from(
        "kind: kmh.inventory/v1\nspec:\n  cluster: {name: bench, pod_cidrs: 10.128.0.0/9, service_cidrs: 172.16.0.0/16, \
         api: {host: k8s.example.net}}\n  sites:\n    - name: here\n      network: 10.1.0.0/20\n      \
         pod_cidrs: 10.128.0.0/10\n      routers: [{name: gw, id: 1, kind: linux, asn: 65001, address: 10.1.0.1}]\n  nodes:\n",
    );
    for node in 0..nodes {
        let (roles, host) = (if node < 3 { "control-plane, etcd, worker" } else { "worker" }, node + 10);
        let (high, low) = (host / 256, host % 256);
        let _ = writeln!(
            out,
            "    - {{name: n{node:04}, site: here, address: 10.1.{high}.{low}, roles: [{roles}]}}"
        );
    }
    out
}

fn least(a: Cost, b: Cost) -> Cost {
    Cost { seconds: a.seconds.min(b.seconds), kilobytes: a.kilobytes.min(b.kilobytes) }
}

/// The program beside this one: `target/release/examples/bench_pki` and `target/release/kmh-pki`.
fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.ancestors().nth(2).unwrap().join("kmh-pki");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

/// A run from nothing. The store of the last one stays under another name: ext4 without a journal is slow to make files
/// where some were just removed, because it does not use their inodes again at once.
fn first(dir: &Path, inventory: &str) -> Cost {
    let store = dir.join("store");
    if store.exists() {
        let free = (0..=ROUNDS).map(|number| dir.join(format!("store-{number}"))).find(|path| !path.exists());
        std::fs::rename(&store, free.unwrap()).unwrap();
    }
    // What others wrote is not for the run to sync.
    assert!(Command::new("sync").status().unwrap().success());
    run(dir, inventory)
}

fn run(dir: &Path, inventory: &str) -> Cost {
    let begin = Instant::now();
    let status = Command::new("/usr/bin/time")
        .args(["--quiet", "--format=%M", "--output=cost", "--"])
        .arg(program())
        .args(["-q", "--init", "--store", "store", "-i", inventory])
        .current_dir(dir)
        .stdout(File::create(dir.join("document.json")).unwrap())
        .status()
        .expect("GNU time: apt-get install time");
    let seconds = begin.elapsed().as_secs_f64();
    assert!(status.success(), "kmh-pki failed");
    let kilobytes = std::fs::read_to_string(dir.join("cost")).unwrap().trim().parse().unwrap();
    Cost { seconds, kilobytes }
}

/// How many certificates there are, and the octets of the store's files.
fn made(dir: &Path) -> (usize, usize) {
    let text = std::fs::read_to_string(dir.join("document.json")).unwrap();
    let documents = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own = documents.into_iter().find(|document| document["kind"] == "kmh.pki/v1").unwrap();
    let size = files(&dir.join("store")).iter().map(|(_, octets)| octets.len()).sum();
    (own["spec"]["certificates"].as_array().unwrap().len(), size)
}

/// The files below a folder, with what they hold.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Writes the files of the store again to another folder, as simply as can be, and syncs: seconds of each.
fn plain(dir: &Path, to: &Path) -> (f64, f64) {
    let mut files = files(&dir.join("store"));
    files.sort_unstable();
    assert!(Command::new("sync").status().unwrap().success());
    let begin = Instant::now();
    let mut folders: Vec<PathBuf> = files.iter().map(|(path, _)| to.join(path.parent().unwrap())).collect();
    folders.dedup();
    folders.par_iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    files.par_iter().for_each(|(path, octets)| std::fs::write(to.join(path), octets).unwrap());
    let files_seconds = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    rustix::fs::syncfs(File::open(to).unwrap()).unwrap();
    (files_seconds, begin.elapsed().as_secs_f64())
}

/// The keys and signatures of the large cluster and nothing else: seconds.
fn bare() -> f64 {
    // Of each node three pairs, of each of three control planes twelve more, four CAs, a router and the break-glass admin.
    let number = NODES * 3 + 3 * 12 + 6;
    let authority = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let begin = Instant::now();
    let total: usize = (0..number)
        .into_par_iter()
        .map(|index| {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let mut signed = [0_u8; SIGNED];
            signed[..8].copy_from_slice(&index.to_be_bytes());
            authority.sign(&signed).unwrap().len() + key.serialized_der().len()
        })
        .sum();
    let seconds = begin.elapsed().as_secs_f64();
    assert!(total > number * 100);
    seconds
}

/// A certificate as guides make it, forty times: key and request, then the signature. Seconds for one.
fn shell(dir: &Path) -> f64 {
    const NEW: &str = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let folder = dir.join("shell");
    std::fs::create_dir_all(&folder).unwrap();
    let sh = |script: &str| {
        let status = Command::new("sh")
            .args(["-ec", script])
            .current_dir(&folder)
            .stderr(Stdio::null())
            .status()
            .expect("a shell");
        assert!(status.success(), "{script}");
    };
    sh(&format!("{NEW} -x509 -keyout ca.key -out ca.crt -subj /CN=ca -days 3650"));
    let begin = Instant::now();
    sh(&format!(
        "for i in $(seq {SHELL}); do
           {NEW} -keyout n$i.key -out n$i.csr -subj /O=system:nodes/CN=system:node:n$i
           openssl x509 -req -in n$i.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out n$i.crt
         done"
    ));
    begin.elapsed().as_secs_f64() / SHELL as f64
}
