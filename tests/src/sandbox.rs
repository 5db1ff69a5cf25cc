//! A folder of its own with the tools on its PATH: where a test types what a user would type.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The tools, as the workspace names them.
pub const TOOLS: [&str; 6] = ["kmh-pki", "kmh-bgpcfg", "kmh-render", "kmh-push", "kmh-check", "kmh-lab"];

/// What a command line gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; 128 and the number for a signal, as shells count.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A temporary folder with the article's inventory in it.
pub struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    /// A new one.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kmh-test-").tempdir().expect("a temporary folder");
        std::fs::copy(article(), dir.path().join("cluster.yaml")).expect("the article's inventory");
        Self { dir }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a line in `sh`, without `pipefail`, as a user or a cron job would; standard input is empty.
    pub fn sh(&self, line: &str) -> Ran {
        self.shell("/bin/sh", line)
    }

    /// Runs a line in `bash`.
    pub fn bash(&self, line: &str) -> Ran {
        self.shell("/bin/bash", line)
    }

    fn shell(&self, shell: impl AsRef<OsStr>, line: &str) -> Ran {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(shell)
            .args(["-c", line])
            .current_dir(self.path())
            .env("PATH", format!("{}:{path}", tool_dir().display()))
            .env_remove("KMH_STORE")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0);
        Ran {
            code: output.status.code().unwrap_or(128 + signal),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Reads a file of the folder.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Whether something of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.path().join(name).symlink_metadata().is_ok()
    }

    /// Every file below a folder: its mode, its time of change and its bytes. Equal snapshots: nothing was touched.
    pub fn snapshot(&self, below: &str) -> BTreeMap<PathBuf, (u32, std::time::SystemTime, Vec<u8>)> {
        let mut found = BTreeMap::new();
        walk(&self.path().join(below), &mut |path| {
            let meta = path.symlink_metadata().expect("a file that was just listed");
            let bytes =
                if meta.is_file() { std::fs::read(path).expect("a readable file") } else { Vec::new() };
            let time = meta.modified().expect("a file system with times");
            found.insert(path.to_owned(), (meta.permissions().mode(), time, bytes));
        });
        found
    }
}

impl AsRef<Path> for Sandbox {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Ran {
    /// Itself, when the exit code is that; all that was said otherwise.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Itself, when standard error holds that text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}:\n{}", self.stderr);
        self
    }

    /// The documents on standard output, by kind.
    #[track_caller]
    pub fn documents(&self) -> BTreeMap<String, serde_json::Value> {
        documents(&self.stdout)
    }
}

/// The documents of a stream, by kind.
#[track_caller]
pub fn documents(stream: &str) -> BTreeMap<String, serde_json::Value> {
    serde_json::Deserializer::from_str(stream)
        .into_iter::<serde_json::Value>()
        .map(|document| {
            let document = document.expect("a JSON document");
            (document["kind"].as_str().expect("a kind").to_owned(), document)
        })
        .collect()
}

/// The article's inventory.
pub fn article() -> PathBuf {
    root().join("examples/article/cluster.yaml")
}

/// The top of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Where cargo put the tools: beside the folder of the running test.
pub fn tool_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a running test");
    let dir = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").to_owned();
    for tool in TOOLS {
        assert!(dir.join(tool).exists(), "{tool} is not built: run `make test` (cargo test --workspace)");
    }
    dir
}

/// Calls `visit` for everything below a folder.
pub fn walk(dir: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("a folder that can be listed").path();
        visit(&path);
        if path.is_dir() && !path.is_symlink() {
            walk(&path, visit);
        }
    }
}

/// Whether this process may make namespaces, mounts and other users' files.
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    uids.split_whitespace().nth(1) == Some("0")
}

/// Sets a file's mode.
pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
