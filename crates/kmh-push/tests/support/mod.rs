//! A folder of its own with a store, bundles and kmh-push.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

pub(crate) use kmh_tests::sandbox::{chmod, is_root};
pub(crate) use kmh_tests::sshd;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Stands for a private key: long enough to be found, and nowhere else.
pub(crate) const CANARY: &str = "kmh-canary-5d1f0c2e9b7a48e3a6c4";
/// Identity of the store.
pub(crate) const STORE: &str = "store-1";

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}:\n{}", self.stderr);
        self
    }

    /// The report.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        let mut found = self.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        found.rfind(|value| value["kind"] == "kmh.push/v1").expect("a report")["spec"].clone()
    }

    /// The part of the report for a machine.
    #[track_caller]
    pub(crate) fn machine(&self, name: &str) -> Value {
        let report = self.report();
        let machines = report["machines"].as_array().expect("machines");
        machines
            .iter()
            .find(|machine| machine["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no {name}: {report}"))
    }

    /// How many files were written on a machine.
    #[track_caller]
    pub(crate) fn written(&self, name: &str) -> usize {
        self.machine(name)["written"].as_array().map_or(0, Vec::len)
    }
}

/// A folder of its own.
pub(crate) struct World {
    dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kmh-push-").tempdir().unwrap();
        // An sshd of another user must get to its part.
        chmod(dir.path(), 0o711);
        let world = Self { dir };
        world.store("store", STORE);
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A store with two secrets.
    pub(crate) fn store(&self, name: &str, id: &str) {
        let dir = self.at(name);
        std::fs::create_dir_all(dir.join("nodes/n1")).unwrap();
        chmod(&dir, 0o700);
        for (file, text) in [
            ("store.json", json!({"id": id, "kind": "kmh.store/v1"}).to_string()),
            ("nodes/n1/kubelet.key", format!("{CANARY}\n")),
            ("nodes/n1/other.key", format!("second-{CANARY}")),
        ] {
            std::fs::write(dir.join(file), text).unwrap();
            chmod(&dir.join(file), 0o600);
        }
    }

    /// kmh-push, ready to run in the folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmh-push"));
        command.args(args).current_dir(self.path()).env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it with that on standard input.
    pub(crate) fn start(mut command: Command, stdin: &str) -> Child {
        let mut child = command.spawn().unwrap();
        // A program that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child
    }

    /// Runs it.
    pub(crate) fn push(&self, args: &[&str], stdin: &str) -> Ran {
        Self::run(self.command(args), stdin)
    }

    pub(crate) fn run(command: Command, stdin: &str) -> Ran {
        let output = Self::start(command, stdin).wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// A file of text.
pub(crate) fn text(path: &str, mode: &str, text: &str) -> Value {
    json!({"path": path, "owner": "root:root", "mode": mode, "origin": "test", "content": [{"text": text}]})
}

/// A file with a secret between two lines of text.
pub(crate) fn secret(path: &str, reference: &str) -> Value {
    json!({"path": path, "owner": "root:root", "mode": "0600", "origin": "test",
           "content": [{"text": "# key\n"}, {"secret": reference}, {"text": "# end\n"}]})
}

/// A node with files.
pub(crate) fn node(name: &str, files: &[Value]) -> Value {
    json!({"name": name, "kind": "node", "site": "here", "roles": ["worker"], "arch": std::env::consts::ARCH,
           "address": "192.0.2.1", "ssh": {}, "files": files})
}

/// A bundle of machines.
pub(crate) fn bundle(machines: &[Value]) -> String {
    let spec = json!({"store": STORE, "machines": machines});
    format!("{}\n", json!({"kind": "kmh.bundle/v1", "spec": spec}))
}

/// Every file below a folder, with its mode and content.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    fn walk(top: &Path, dir: &Path, found: &mut BTreeMap<String, (u32, Vec<u8>)>) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                walk(top, &path, found);
            } else {
                let name = path.strip_prefix(top).unwrap().display().to_string();
                // The other side may still be at work: what is renamed or removed meanwhile was never there.
                let Ok(meta) = path.symlink_metadata() else { continue };
                let Ok(bytes) = std::fs::read(&path) else { continue };
                found.insert(name, (meta.permissions().mode() & 0o7777, bytes));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

/// No temporary file is left below a folder.
#[track_caller]
pub(crate) fn no_leftovers(dir: &Path) {
    let left: Vec<String> = tree(dir).into_keys().filter(|name| name.contains(".kmh-push.")).collect();
    assert_eq!(left, Vec::<String>::new());
}

impl AsRef<Path> for World {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

/// What an sshd is in a bundle.
pub(crate) trait Machine {
    /// The node of that name.
    fn node(&self, name: &str, files: &[Value]) -> Value;
}

impl Machine for sshd::Sshd {
    fn node(&self, name: &str, files: &[Value]) -> Value {
        let mut node = node(name, files);
        node["ssh"] = self.ssh();
        node
    }
}

/// `e_machine` of the architectures that kmh knows, by their name in the inventory.
const MACHINES: [(&str, u8); 2] = [("amd64", 62), ("arm64", 183)];

/// The architecture of this machine, and one that it is not.
pub(crate) fn architectures() -> (&'static str, &'static str) {
    if std::env::consts::ARCH == "aarch64" { ("arm64", "amd64") } else { ("amd64", "arm64") }
}

/// A real program, marked as one for that architecture.
pub(crate) fn program(arch: &str) -> Vec<u8> {
    let mut bytes = std::fs::read("/bin/true").unwrap();
    bytes[18] = MACHINES.iter().find(|(name, _)| *name == arch).unwrap().1;
    bytes
}

/// A program of a bundle.
pub(crate) fn artifact(path: &str, arch: &str, url: &str) -> Value {
    let name = path.rsplit('/').next().unwrap();
    json!({"name": name, "version": "1.2", "arch": arch, "url": url, "path": path})
}
