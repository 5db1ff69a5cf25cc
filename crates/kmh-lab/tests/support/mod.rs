//! A world for labs: a network namespace and a `/run` of its own, so that whatever a lab did outside itself would show,
//! and no other lab of this machine is seen or touched.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kmh_doc::inventory::Arch;
use kmh_lab::full::{self, Cache, Recipe, Use};
use kmh_lab::state::LabName;
use kmh_tests::sandbox::{Ran, Sandbox, is_root};
use serde_json::Value;

/// Makes roots of complete machines where there is a network: in a world there is none. They are kept in the folder that it
/// gives, so a second run is a matter of seconds.
pub(crate) fn roots(wanted: &[(Arch, Use)]) -> PathBuf {
    assert!(is_root(), "this test makes complete machines: run it as root (`make test` says so)");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("roots");
    let cache = Cache::new(folder.clone()).unwrap();
    let lab = LabName::try_from(format!("c{}", std::process::id())).unwrap();
    for (arch, of) in wanted {
        let recipe = Recipe::new(&full::root::own_release().unwrap(), *arch, *of);
        let root = cache.root(&recipe, &lab, &mut |_| {});
        root.unwrap_or_else(|failure| panic!("{}", failure.render("test", false)));
    }
    folder
}

/// The command of a step, out of what a stage of a rotation says is to be done.
pub(crate) fn command(todo: &Value, kind: &str) -> String {
    let one = todo.as_array().expect("steps").iter().find(|one| one["kind"] == kind);
    one.and_then(|one| one["command"].as_str()).unwrap_or_default().to_owned()
}

/// How many worlds there were.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// What other labs of this machine mount comes and goes; here it is out of sight.
const HOLDER: &str = "for at in $(cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/(run|tmp)' | sort -r); do umount -l $at; done; \
                      mount -t tmpfs none /run && ip link set lo up && echo ready && exec sleep infinity";

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    holder: Child,
    pub(crate) lab: String,
}

impl World {
    /// A world with a stream of documents for that inventory in `stream.json`, and a lab's name that no other test has.
    pub(crate) fn new(inventory: Option<&str>) -> Self {
        assert!(is_root(), "this test makes network namespaces: run it as root (`make test` says so)");
        let sandbox = Sandbox::new();
        if let Some(inventory) = inventory {
            sandbox.write("cluster.yaml", inventory);
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "sh", "-c"])
            .arg(HOLDER)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let lab = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let world = Self { sandbox, holder, lab };
        world.render();
        world
    }

    /// Runs the pipe on `cluster.yaml` once more.
    pub(crate) fn render(&self) {
        let init = if self.sandbox.has("pki") { "" } else { "--init" };
        let line = format!("kmh-pki {init} --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json");
        self.sandbox.sh(&line).exits(0);
    }

    /// A line in `sh` in this world.
    pub(crate) fn sh(&self, line: &str) -> Ran {
        let quoted = line.replace('\'', "'\\''");
        let pid = self.holder.id();
        self.sandbox
            .sh(&format!("nsenter --target {pid} --mount --net --wd=\"$PWD\" -- /bin/sh -c '{quoted}'"))
    }

    /// `kmh-lab --lab NAME …` in this world.
    pub(crate) fn lab(&self, line: &str) -> Ran {
        self.sh(&format!("kmh-lab --lab {} {line}", self.lab))
    }

    /// `up`, and what it says as JSON.
    pub(crate) fn up(&self) -> Value {
        let ran = self.lab("up -i stream.json --store pki --tunnels plain -o json").exits(0);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// A command in a machine; it must succeed.
    pub(crate) fn inside(&self, machine: &str, command: &str) -> String {
        let quoted = command.replace('\'', "'\\''");
        self.lab(&format!("exec {machine} -- sh -c '{quoted}'")).exits(0).stdout
    }

    /// A line as the admin types it, at their machine in the lab.
    pub(crate) fn admin(&self, line: &str) -> Ran {
        let quoted = line.replace('\'', "'\\''");
        self.lab(&format!("exec operator -- sh -c '{quoted}'"))
    }

    /// Waits until every pod reaches every other one of its family.
    pub(crate) fn pods_reach_pods(&self, up: &Value) {
        let pods: Vec<(&str, &str)> = up["pods"]
            .as_array()
            .expect("pods")
            .iter()
            .map(|pod| (pod["node"].as_str().expect("a node"), pod["address"].as_str().expect("an address")))
            .collect();
        assert!(pods.len() > 1, "{up}");
        let mut script = String::new();
        for (node, from) in &pods {
            let others = pods.iter().filter(|(_, to)| to != from && to.contains(':') == from.contains(':'));
            let all: Vec<&str> = others.map(|(_, to)| *to).collect();
            let _ = writeln!(
                script,
                "kmh-lab --lab {} exec pod-{node} -- sh -c 'for to in {}; do ping -n -q -c 1 -W 1 -I {from} $to >/dev/null || \
                 {{ echo {from} $to; exit 1; }}; done' || exit 1",
                self.lab,
                all.join(" ")
            );
        }
        Self::until("pods reach pods", 90, || {
            let ran = self.sh(&script);
            if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
        });
    }

    pub(crate) fn until(what: &str, seconds: u64, mut ask: impl FnMut() -> Result<(), String>) {
        let start = Instant::now();
        while let Err(answer) = ask() {
            assert!(
                start.elapsed() < Duration::from_secs(seconds),
                "{what}: not within {seconds} s: {answer}"
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// All that a lab could leave behind in this world, and its processes wherever they are.
    pub(crate) fn traces(&self) -> String {
        let line = format!(
            "ip -d link; ip address; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule; nft list ruleset; \
             cat /proc/self/mountinfo | cut -d' ' -f4-; find /run | sort; \
             for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/environ 2>/dev/null | grep -q '^KMH_LAB={0}@' && tr '\\0' ' ' <$p/cmdline; \
             done; true",
            self.lab
        );
        self.sh(&line).exits(0).stdout
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.sh("kmh-lab down --all");
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
