//! Network namespaces with real daemons in them, gone when the test is: also after a panic, and only what it made itself.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::sandbox::{Ran, is_root};

/// Settings of every namespace: it forwards, takes packets whatever their way back, and uses IPv6 addresses at once.
const SYSCTLS: &[&str] = &[
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.icmp.ratelimit=0",
];

/// A set of namespaces.
pub struct Netns {
    prefix: String,
    dir: TempDir,
    spaces: Vec<String>,
    daemons: Vec<(String, Child)>,
}

impl Netns {
    /// An empty set. Stops with a plain message where namespaces cannot be made.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(is_root(), "this test makes network namespaces: run it as root (`make test` says so)");
        let dir = tempfile::Builder::new().prefix("kmh-netns-").tempdir().expect("a temporary folder");
        let prefix = format!("kmh{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { prefix, dir, spaces: Vec::new(), daemons: Vec::new() }
    }

    /// The system's name of a namespace.
    fn full(&self, space: &str) -> String {
        format!("{}-{space}", self.prefix)
    }

    /// A new namespace.
    pub fn add(&mut self, space: &str) {
        run(Command::new("ip").args(["netns", "add", &self.full(space)]));
        self.spaces.push(space.to_owned());
        self.sh(space, &format!("sysctl -q -w {} && ip link set lo up", SYSCTLS.join(" "))).exits(0);
    }

    /// A link between two namespaces, up at both ends.
    pub fn link(&self, (a, a_interface): (&str, &str), (b, b_interface): (&str, &str)) {
        run(Command::new("ip")
            .args(["link", "add", a_interface, "netns", &self.full(a), "type", "veth"])
            .args(["peer", "name", b_interface, "netns", &self.full(b)]));
        self.ip(a, &["link", "set", a_interface, "up"]);
        self.ip(b, &["link", "set", b_interface, "up"]);
    }

    /// `ip` inside a namespace; it must succeed.
    pub fn ip(&self, space: &str, args: &[&str]) -> String {
        run(Command::new("ip").args(["-n", &self.full(space)]).args(args))
    }

    /// A line in `sh` inside a namespace.
    pub fn sh(&self, space: &str, line: &str) -> Ran {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.full(space), "/bin/sh", "-c", line])
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        let output = command.output().expect("ip netns exec");
        Ran {
            code: output.status.code().unwrap_or(128),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a program that stays in the foreground; its output goes into the log `NAME-SPACE`.
    pub fn start(&mut self, space: &str, name: &str, program: &str, args: &[&str]) {
        let log = self.dir.path().join(format!("{name}-{space}"));
        let file = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(space), program]).args(args);
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a log")).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        self.daemons.push((format!("{space}/{name}"), child));
    }

    /// Kills a daemon without a word to it.
    pub fn kill(&mut self, space: &str, name: &str) {
        let wanted = format!("{space}/{name}");
        let position = self.daemons.iter().position(|(name, _)| *name == wanted).expect("a running daemon");
        let (_, mut child) = self.daemons.remove(position);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// The end of a log.
    pub fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(200)..].join("\n")
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        for (_, child) in &mut self.daemons {
            let _ = child.kill();
            let _ = child.wait();
        }
        for space in &self.spaces {
            let _ = Command::new("ip").args(["netns", "del", &self.full(space)]).output();
        }
    }
}

/// Waits until a question is answered with yes, and says how long it took; after `limit` the test stops with the last
/// answer.
#[track_caller]
pub fn until(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<(), String>) -> Duration {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(()) => return start.elapsed(),
            Err(answer) if start.elapsed() > limit => {
                panic!("{what}: not within {limit:?}; last answer:\n{answer}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
