//! What the tests of kmh-pki share: a folder, an inventory, and the program itself.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; each uses a part"
)]

pub mod clock;
pub mod requests;
pub mod roots;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;

/// One site, three nodes in two families, one router: every class of certificate, few of each.
pub const SMALL: &str = "\
kind: kmh.inventory/v1
spec:
  cluster:
    name: small
    pod_cidrs: [10.200.0.0/16, 'fd00:200::/48']
    service_cidrs: [10.201.0.0/16, 'fd00:201::/112']
    api: {host: k8s.example.net}
  sites:
    - name: here
      network: [10.10.0.0/24, 'fd00:10::/64']
      pod_cidrs: [10.200.0.0/18, 'fd00:200::/56']
      routers: [{name: gw, id: 1, kind: linux, asn: 65010, address: [10.10.0.1, 'fd00:10::1']}]
  nodes:
    - {name: cp-1, site: here, address: [10.10.0.11, 'fd00:10::11'], roles: [control-plane, etcd]}
    - {name: w-1, site: here, address: [10.10.0.21, 'fd00:10::21']}
    - {name: w-2, site: here, address: [10.10.0.22, 'fd00:10::22']}
";

/// The article's inventory.
pub fn article() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/article/cluster.yaml");
    std::fs::read_to_string(path).unwrap()
}

/// A folder of its own.
pub struct Place {
    dir: tempfile::TempDir,
}

/// What a program said.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    /// In memory where the machine has such a place: the program syncs, and these tests start it hundreds of times.
    pub fn new() -> Self {
        tempfile::tempdir_in("/dev/shm").map_or_else(|_| Self::on_disk(), |dir| Self { dir })
    }

    /// Where programs may be started from.
    pub fn on_disk() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// A place with a store for that inventory.
    pub fn with_store(inventory: &str) -> Self {
        let place = Self::new();
        place.pki(&["--store", "store", "--init"], inventory).exits(0);
        place
    }

    /// kmh-pki with these arguments and that inventory.
    pub fn pki(&self, args: &[&str], inventory: &str) -> Ran {
        Ran::of(self.command(args), inventory)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmh-pki"));
        command.args(args).current_dir(self.path()).env_remove("KMH_STORE").env_remove("KMH_IDENTITY");
        command
    }

    /// A shell command in the place, with `$PKI` for the program.
    pub fn sh(&self, line: &str, stdin: &str) -> Ran {
        let mut command = Command::new("bash");
        command.arg("-c").arg(line).current_dir(self.path()).env("PKI", env!("CARGO_BIN_EXE_kmh-pki"));
        Ran::of(command, stdin)
    }

    /// The document of a run that must not fail.
    #[track_caller]
    pub fn document(&self, inventory: &str) -> Value {
        let ran = self.pki(&["--store", "store", "--only"], inventory).exits(0);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Every file and folder of the store, with mode, time and bytes.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, (u32, SystemTime, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let bytes = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
                found.insert(
                    path.clone(),
                    (meta.permissions().mode() & 0o7777, meta.modified().unwrap(), bytes),
                );
                if meta.is_dir() {
                    folders.push(path);
                }
            }
        }
        found
    }

    /// The store's files by their path in it, the archive left out.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.everything().into_iter().filter(|(path, _)| !path.starts_with("archive/")).collect()
    }

    /// The store's files by their path in it.
    pub fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.store())
    }

    /// How many files of the store have such a name, the archive left out. Files may come and go while it counts.
    pub fn count(&self, which: impl Fn(&str) -> bool) -> usize {
        let mut folders = vec![self.store()];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && entry.file_name() != "archive" => folders.push(entry.path()),
                    Ok(kind) if kind.is_dir() => {}
                    Ok(_) => count += usize::from(which(&entry.file_name().to_string_lossy())),
                    Err(_) => {}
                }
            }
        }
        count
    }

    /// Keys and certificates of the CAs.
    pub fn authorities(&self) -> BTreeMap<String, Vec<u8>> {
        self.files().into_iter().filter(|(path, _)| path.starts_with("ca/")).collect()
    }
}

/// The files below a folder by their path in it.
pub fn files(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let name = path.strip_prefix(store).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The system calls of a trace, each with how often the program has called it by then.
pub fn calls(trace: &str) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    let call = |line: &str| Some(line.split_once('(')?.0.split_whitespace().last()?.to_owned());
    let counted = trace.lines().filter_map(call).map(|call| {
        let count = counts.entry(call.clone()).or_insert(0);
        *count += 1;
        (call, *count)
    });
    counted.collect()
}

impl Ran {
    pub fn of(mut command: Command, stdin: &str) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let text = stdin.to_owned();
        let feeder = std::thread::spawn(move || {
            // A program that refuses its arguments does not read.
            let _ = pipe.write_all(text.as_bytes());
        });
        let output: Output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}:\n{}", self.stderr);
        self
    }
}

/// A certificate of a document.
#[track_caller]
pub fn certificate<'a>(document: &'a Value, name: &str) -> &'a Value {
    let all = document["spec"]["certificates"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no certificate {name}"))
}

/// The texts of a list, empty when there is none.
pub fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .map(|all| all.iter().map(|one| one.as_str().unwrap().to_owned()).collect())
        .unwrap_or_default()
}
