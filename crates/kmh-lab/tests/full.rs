//! Complete machines: a Debian with systemd for a router, and one of another architecture for a node, both deployed to by
//! kmh-push from the admin's place. The roots are kept in cargo's folder, so a second run is a matter of seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kmh_doc::bundle::{BundleSpec, Machine};
use kmh_doc::inventory::Arch;
use kmh_lab::Carrier;
use kmh_lab::full::boot::{Booted, failed_units};
use kmh_lab::full::{self, Cache, Recipe, Use, Wish, binfmt};
use kmh_lab::machine::{Place, inside, output};
use kmh_lab::state::LabName;
use kmh_tests::sandbox::{Ran, Sandbox, article, is_root};
use serde_json::{Value, json};

/// The kernel's list of emulators is one for all worlds, and the last lab of each takes its entry away.
static EMULATOR: Mutex<()> = Mutex::new(());

fn cache() -> Cache {
    Cache::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("roots")).unwrap()
}

fn run(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args);
    output(command, b"").unwrap_or_else(|failure| panic!("{}", failure.render("test", false)))
}

/// A segment of machines, with the admin on it; gone when it is dropped.
struct Lab {
    name: LabName,
    world: Sandbox,
    /// First processes of its machines.
    pids: Vec<u32>,
}

impl Lab {
    fn new(letter: char) -> Self {
        assert!(is_root(), "this test needs root: run it as root or with sudo");
        let name = LabName::try_from(format!("{letter}{}", std::process::id())).unwrap();
        std::fs::create_dir_all(name.folder()).unwrap();
        let lab = Self { name, world: Sandbox::new(), pids: vec![] };
        run("ip", &["netns", "add", &lab.name.space("switch")]);
        run("ip", &["-n", &lab.name.space("switch"), "link", "add", "segment", "type", "bridge"]);
        run("ip", &["-n", &lab.name.space("switch"), "link", "set", "segment", "up"]);
        lab.space("operator", "10.0.0.1/8");
        let world = &lab.world;
        world.sh("ssh-keygen -q -t ed25519 -N '' -C admin -f id && ssh-keygen -q -t ed25519 -N '' -C host -f host").exits(0);
        lab
    }

    /// A network namespace on the segment.
    fn space(&self, name: &str, address: &str) {
        let (space, switch) = (self.name.space(name), self.name.space("switch"));
        let port: String = format!("p-{name}").chars().take(15).collect();
        run("ip", &["netns", "add", &space]);
        run(
            "ip",
            &["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &space],
        );
        run("ip", &["-n", &switch, "link", "set", &port, "master", "segment", "up"]);
        run("ip", &["-n", &space, "address", "add", address, "dev", "eth0"]);
        run("ip", &["-n", &space, "link", "set", "eth0", "up"]);
    }

    /// The article's stream, with an inventory changed so; the bundle's machine of that name.
    fn bundle(&self, changes: &[(&str, &str)], machine: &str) -> Machine {
        let mut text = std::fs::read_to_string(article()).unwrap();
        for (old, new) in changes {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        self.world.write("cluster.yaml", &text);
        let init = if self.world.has("pki") { "" } else { "--init" };
        self.world
            .sh(&format!("kmh-pki {init} --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json"))
            .exits(0);
        let documents = kmh_tests::sandbox::documents(&self.world.read("stream.json"));
        let spec: BundleSpec = serde_json::from_value(documents["kmh.bundle/v1"]["spec"].clone()).unwrap();
        spec.machines.into_iter().find(|one| one.name == machine).unwrap()
    }

    /// Boots a machine that has nothing of the bundle but what stands in for its programs.
    fn boot(&mut self, name: &str, of: Use, machine: &Machine) -> (Booted, String) {
        let mut told = String::new();
        let (host, public) =
            (std::fs::read(self.world.path().join("host")).unwrap(), self.world.read("host.pub"));
        let admin = self.world.read("id.pub");
        let wish = Wish {
            name,
            of,
            arch: machine.arch,
            ssh: &machine.ssh,
            host_key: (&host, &public),
            admin: &admin,
            resolv: "nameserver 192.0.2.1\n",
            files: vec![],
            units: &[],
            artifacts: &machine.artifacts,
            tunnels: Carrier::Plain,
        };
        let booted = full::start(&self.name, &cache(), wish, &mut |line| {
            told.push_str(line);
            told.push('\n');
        })
        .unwrap_or_else(|failure| panic!("{told}{}", failure.render("test", false)));
        self.pids.push(booted.pid);
        (booted, told)
    }

    /// What a command says in a machine.
    fn ask(&self, pid: u32, words: &[&str]) -> String {
        let place = Place::Machine { pid, netns: None, shared: false };
        let ran = inside(&self.name, &place, words).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
    }

    /// kmh-push as the admin runs it.
    fn push(&self, address: &str, machine: &str, more: &str) -> Ran {
        let public = self.world.read("host.pub");
        self.world.write("known", &format!("{address} {public}"));
        self.world.sh(&format!(
            "ip netns exec {} kmh-push --to ssh --store pki --known-hosts known --identity id -i stream.json \
             --limit {machine} {more}",
            self.name.space("operator")
        ))
    }

    fn report(ran: &Ran, machine: &str) -> Value {
        let spec = &ran.documents()["kmh.push/v1"]["spec"];
        let all = spec["machines"].as_array().unwrap();
        all.iter().find(|one| one["name"] == machine).unwrap().clone()
    }

    fn folder(&self, machine: &str) -> PathBuf {
        self.name.folder().join("machines").join(machine)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let spaces = Command::new("ip").args(["netns", "list"]).output().unwrap().stdout;
        let spaces = String::from_utf8_lossy(&spaces).into_owned();
        let ours: Vec<&str> = spaces
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|space| space.starts_with(&format!("{}.", self.name)))
            .collect();
        let living = || -> Vec<String> {
            let of =
                |space: &&str| Command::new("ip").args(["netns", "pids", space]).output().unwrap().stdout;
            let all = ours.iter().map(of).map(|text| String::from_utf8_lossy(&text).into_owned());
            all.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
        };
        for _ in 0..100 {
            let pids = living();
            if pids.is_empty() {
                break;
            }
            let _ = Command::new("kill").arg("-KILL").args(&pids).stderr(Stdio::null()).status();
            std::thread::sleep(Duration::from_millis(50));
        }
        for space in &ours {
            let _ = Command::new("ip").args(["netns", "delete", space]).status();
        }
        let _ = std::fs::remove_dir_all(self.name.folder());
        let removed = full::remove(&self.name);
        if !std::thread::panicking() {
            removed.unwrap();
            assert!(living().is_empty());
        }
    }
}

/// What is left in this machine of a lab of that name.
fn traces(name: &LabName) -> Vec<String> {
    let mut found = vec![];
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(name.as_str())).map(str::to_owned));
    let groups = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-path", &format!("*kmh-lab/{name}.*")])
        .output();
    found.extend(String::from_utf8_lossy(&groups.unwrap().stdout).lines().map(str::to_owned));
    found.extend(name.folder().exists().then(|| name.folder().display().to_string()));
    found
}

/// Units of a machine with their state, as systemd names it.
fn enabled(lab: &Lab, pid: u32, machine: &Machine) -> BTreeMap<String, String> {
    let wanted = machine.units.iter().filter(|unit| unit.enable);
    wanted
        .map(|unit| {
            (unit.name.clone(), lab.ask(pid, &["systemctl", "is-enabled", &unit.name]).trim().to_owned())
        })
        .collect()
}

fn all_are(states: &BTreeMap<String, String>, state: &str) -> bool {
    !states.is_empty() && states.values().all(|one| one == state)
}

#[test]
fn a_router_with_systemd_is_deployed_to_as_a_real_one() {
    let mut lab = Lab::new('r');
    let name = lab.name.clone();
    let host = ("host: vps-host ", "host: vps-host\n          ssh: {host: 10.30.0.2} ");
    let machine = lab.bundle(&[host], "gw-vps");
    lab.space("vps-host", "10.30.0.2/8");
    let (booted, _) = lab.boot("vps-host", Use::Router, &machine);
    assert_eq!(booted.failed, Vec::<String>::new());
    assert_eq!(lab.ask(booted.pid, &["systemctl", "is-system-running"]).trim(), "running");
    assert_eq!(lab.ask(booted.pid, &["hostname"]).trim(), "vps-host");
    // Of the distribution's daemons none has started before the bundle says so.
    let running = lab.ask(booted.pid, &["ps", "-e", "-o", "comm="]);
    assert!(running.contains("sshd"), "{running}");
    for daemon in ["bgpd", "zebra", "charon", "bird"] {
        assert!(!running.contains(daemon), "{running}");
    }

    // The second machine shares everything that it does not change.
    lab.space("second", "10.30.0.3/8");
    let (second, told) = lab.boot("second", Use::Router, &machine);
    assert_eq!((second.failed, told.contains("makes a root")), (vec![], false));
    let size = run("du", &["-sm", &lab.folder("second").join("upper").display().to_string()]);
    let megabytes: u32 = size.split('\t').next().unwrap().parse().unwrap();
    assert!(megabytes < 40, "{size}");
    assert_ne!(
        lab.ask(booted.pid, &["cat", "/etc/machine-id"]),
        lab.ask(second.pid, &["cat", "/etc/machine-id"])
    );
    lab.ask(second.pid, &["touch", "/etc/mine"]);
    assert!(lab.ask(booted.pid, &["ls", "/etc/mine"]).contains("No such file"));

    // What belongs to this machine cannot be set from inside.
    let before = std::fs::read_to_string("/proc/sys/kernel/panic").unwrap();
    let said = lab.ask(booted.pid, &["sysctl", "-w", "kernel.panic=77"]);
    assert!(said.contains("kernel.panic"), "{said}");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/panic").unwrap(), before);

    assert!(!enabled(&lab, booted.pid, &machine).values().any(|state| state == "enabled"));
    let ran = lab.push("10.30.0.2", "gw-vps", "").exits(0);
    let report = Lab::report(&ran, "gw-vps");
    assert_eq!(
        (&report["outcome"], report["written"].as_array().unwrap().len()),
        (&json!("changed"), machine.files.len())
    );
    let states = enabled(&lab, booted.pid, &machine);
    assert!(all_are(&states, "enabled"), "{states:?}");
    assert_eq!(failed_units(&lab.name, booted.pid).unwrap(), Vec::<String>::new());
    // They run from the rendered files: the router lives in its own namespace, with its segment.
    let shown =
        lab.ask(booted.pid, &["ip", "netns", "exec", "k8s", "vtysh", "-N", "k8s", "-c", "show bgp summary"]);
    assert!(shown.contains("local AS number 65030"), "{shown}");
    assert!(lab.ask(booted.pid, &["ip", "-n", "k8s", "address"]).contains("10.30.0.1/24"));
    assert!(lab.ask(booted.pid, &["nft", "list", "tables"]).contains("kmh_router_3"));
    // Idempotent.
    assert_eq!(Lab::report(&lab.push("10.30.0.2", "gw-vps", "").exits(0), "gw-vps")["outcome"], "unchanged");

    drop(lab);
    assert_eq!(traces(&name), Vec::<String>::new());
}

/// Programs of the node's architecture come from the operator's folder and run; one of this machine's never gets there.
/// They are the node's own `true` and `uname`, under the names of those that it should have.
fn programs_are_sent(lab: &Lab, pid: u32, machine: &Machine, kernel: &str) {
    let theirs = |path: &str| std::fs::read(format!("/proc/{pid}/root/{path}")).unwrap();
    let (yes, name) = (theirs("usr/bin/true"), theirs("usr/bin/uname"));
    let put = |place: &str, bytes: &[u8]| {
        let path = lab.world.path().join("programs").join(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let lacking = lab.world.sh("kmh-push fetch -i stream.json --artifacts programs --limit pi-1").exits(0);
    let addresses: Vec<&str> = lacking.stdout.lines().collect();
    assert!(addresses.len() > 3, "{addresses:?}");
    for address in addresses {
        let place = address.strip_prefix("https://").unwrap();
        if place.ends_with(".tar.gz") {
            put("../pack/bin/containerd", &yes);
            put("../pack/bin/containerd-shim-runc-v2", &name);
            put(place, b"");
            lab.world.sh(&format!("tar -C pack -czf programs/{place} bin")).exits(0);
        } else {
            put(place, if place.contains("runc") { &name } else { &yes });
        }
    }
    // They end at once, which is all that these units may ask of them.
    let units = ["kubelet.service", "kube-proxy.service", "containerd.service"];
    for unit in units {
        let text = "[Service]\nType=oneshot\nRemainAfterExit=yes\nRestart=no\n";
        let folder = format!("/proc/{pid}/root/etc/systemd/system/{unit}.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(format!("{folder}/90-test.conf"), text).unwrap();
    }
    lab.ask(pid, &["systemctl", "daemon-reload"]);

    // One for this machine's processor among them: nothing of the others arrives either.
    let arch = machine.arch.unwrap().as_str();
    let own = binfmt::native().unwrap().as_str();
    let sums = || lab.ask(pid, &["sh", "-c", "cd /usr/local; sha256sum bin/kube* bin/containerd* sbin/runc"]);
    let before = sums();
    let proxy = machine.artifacts.iter().find(|one| one.name == "kube-proxy").unwrap();
    let place = proxy.url.strip_prefix("https://").unwrap();
    put(place, &std::fs::read("/usr/bin/true").unwrap());
    let refused = lab.push("10.20.0.21", "pi-1", "--artifacts programs").exits(2);
    refused.says(&format!("`programs/{place}` is a program for {own}, and must be a program for {arch}"));
    assert_eq!(sums(), before);

    put(place, &yes);
    let report = Lab::report(&lab.push("10.20.0.21", "pi-1", "--artifacts programs").exits(0), "pi-1");
    let written = report["written"].as_array().unwrap();
    let paths: BTreeSet<&str> = written.iter().map(|file| file["path"].as_str().unwrap()).collect();
    let all: BTreeSet<&str> = machine.artifacts.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, all, "{report}");
    let restarted: BTreeSet<&str> =
        report["units"].as_array().unwrap().iter().map(|unit| unit["name"].as_str().unwrap()).collect();
    assert_eq!(restarted, BTreeSet::from(units), "{report}");
    for program in ["sbin/runc", "bin/containerd-shim-runc-v2"] {
        assert_eq!(lab.ask(pid, &[&format!("/usr/local/{program}"), "-m"]).trim(), kernel);
    }
    for unit in units {
        let state = lab.ask(pid, &["systemctl", "show", "--property=SubState", "--value", unit]);
        assert_eq!(state.trim(), "exited", "{unit}");
    }
    let again = lab.push("10.20.0.21", "pi-1", "--artifacts programs").exits(0);
    assert_eq!(Lab::report(&again, "pi-1")["outcome"], "unchanged");
}

#[test]
fn a_node_of_another_architecture_runs_and_refuses_programs_of_this_one() {
    let _alone = EMULATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let foreign = if binfmt::native() == Some(Arch::Arm64) { Arch::Amd64 } else { Arch::Arm64 };
    let (kernel, arch) = if foreign == Arch::Arm64 { ("aarch64", "arm64") } else { ("x86_64", "amd64") };
    let other = binfmt::native().unwrap().as_str();
    let mut lab = Lab::new('n');
    let name = lab.name.clone();
    let said = format!("10.20.0.21, arch: {arch}");
    let machine = lab.bundle(&[("10.20.0.21, arch: arm64", &said)], "pi-1");
    lab.space("pi-1", "10.20.0.21/8");
    let (booted, told) = lab.boot("pi-1", Use::Node, &machine);
    assert_eq!(booted.failed, Vec::<String>::new(), "{told}");
    assert!(told.contains("pi-1: ") && told.contains("kubelet") && told.contains("only stand in"), "{told}");
    assert_eq!(lab.ask(booted.pid, &["uname", "-m"]).trim(), kernel);
    assert_eq!(lab.ask(booted.pid, &["dpkg", "--print-architecture"]).trim(), arch);

    // A bundle for this machine's processor: nothing of it arrives.
    lab.bundle(&[("10.20.0.21, arch: arm64", &format!("10.20.0.21, arch: {other}"))], "pi-1");
    let report = Lab::report(&lab.push("10.20.0.21", "pi-1", "").exits(3), "pi-1");
    assert_eq!(
        (&report["arch"], &report["outcome"], &report["written"]),
        (&json!(arch), &json!("failed"), &json!([]))
    );
    let why = format!("are for {other}, and the machine at 10.20.0.21 is {arch}: its kernel says `{kernel}`");
    assert!(report["error"].as_str().unwrap().contains(&why), "{report}");
    assert!(lab.ask(booted.pid, &["ls", "/etc/kubernetes"]).contains("No such file"));

    // The right one does, by an ordinary login and sudo.
    let machine = lab.bundle(&[("10.20.0.21, arch: arm64", &said)], "pi-1");
    let report = Lab::report(&lab.push("10.20.0.21", "pi-1", "").exits(0), "pi-1");
    assert_eq!((&report["arch"], &report["outcome"]), (&json!(arch), &json!("changed")));
    assert_eq!(report["written"].as_array().unwrap().len(), machine.files.len());
    let states = enabled(&lab, booted.pid, &machine);
    assert!(all_are(&states, "enabled"), "{states:?}");
    assert_eq!(failed_units(&lab.name, booted.pid).unwrap(), Vec::<String>::new());
    assert_eq!(lab.ask(booted.pid, &["systemctl", "is-active", "kubelet.service"]).trim(), "active");
    programs_are_sent(&lab, booted.pid, &machine, kernel);

    drop(lab);
    assert_eq!(traces(&name), Vec::<String>::new());
}

/// Everything that breaks on light machines breaks on complete ones, and is mended by their own systemd.
fn what_breaks_is_mended(world: &support::World) {
    let as_predicted = |when: &str| {
        support::World::until(&format!("{when}: everybody reaches whom he should"), 90, || {
            let ran = world.lab("ping -o text");
            if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
        });
    };
    let all = [("vps-host", "frr@k8s"), ("pi-1", "kmh-lab-bird"), ("fw-attic", "frr")];
    // Each as it is now; they stay enabled all the time.
    let units = || {
        all.map(|(machine, unit)| {
            let line = format!("systemctl is-active {unit}; systemctl is-enabled {unit}; true");
            let said = world.inside(machine, &line);
            said.strip_suffix("\nenabled\n").unwrap_or_else(|| panic!("{machine}: {said}")).to_owned()
        })
    };
    let state = |machine: &str, daemon: &str| {
        world.inside(machine, &format!("ps -o stat= -C {daemon} | head -1")).trim().to_owned()
    };

    // FRR's own watchdog may have started its daemon by now; nobody starts a node's BIRD.
    for daemon in ["gw-vps:bgpd", "fw-attic:zebra", "pi-1:bird"] {
        world.lab(&format!("kill {daemon}")).exits(0);
    }
    support::World::until("systemd knows", 30, || {
        if units()[1] == "failed" { Ok(()) } else { Err(format!("{:?}", units())) }
    });
    world.lab("kill pi-1:bird").exits(1).says("does not run on `pi-1`");
    world.lab("heal").exits(0);
    assert_eq!(units(), ["active"; 3]);
    as_predicted("killed and started");

    world.lab("cut daemon/gw-vps:bgpd daemon/pi-1:bird").exits(0);
    assert!(
        state("vps-host", "bgpd").starts_with('T') && state("pi-1", "bird").starts_with('T'),
        "they hang"
    );
    world.lab("heal").exits(0);
    for (machine, daemon) in [("vps-host", "bgpd"), ("pi-1", "bird")] {
        let state = state(machine, daemon);
        assert!(!state.is_empty() && !state.starts_with('T'), "{machine}: {state}");
    }

    world.lab("cut router/gw-vps node/pi-1 router/fw-attic --clean").exits(0);
    assert_eq!(units(), ["inactive"; 3]);
    as_predicted("cut in order");
    world.lab("heal").exits(0);
    assert_eq!(units(), ["active"; 3]);
    as_predicted("mended");

    world.lab("cut node/pi-1 tunnel/fw-flat--gw-vps uplink/fw-attic/dsl").exits(0);
    as_predicted("cut silently");
    let redialled = world.lab("redial uplink/fw-attic/dsl -o json").exits(0);
    assert!(redialled.stdout.contains("100.64.0.18"), "{redialled:?}");
    world.lab("heal").exits(0);
    as_predicted("mended, with another address");
    let line = world
        .inside("fw-attic", "ip -o -4 address show dev wan; ip route get 192.0.2.1; ping -c 1 192.0.2.1");
    assert!(line.contains("inet 100.64.0.18/30") && line.contains("src 100.64.0.18"), "{line}");
    assert!(!line.contains("198.18."), "{line}");
}

#[test]
fn complete_machines_and_light_ones_make_one_network() {
    let _alone = EMULATOR.lock().unwrap_or_else(PoisonError::into_inner);
    binfmt::provide(Arch::Arm64, &mut |_| {}).unwrap();
    let roots = support::roots(&[(binfmt::native().unwrap(), Use::Router), (Arch::Arm64, Use::Node)]);
    let world = support::World::new(None);
    let before = world.traces();
    let line = format!(
        "up -i stream.json --store pki -o json --full gw-vps --full pi-1 --full fw-attic --cache {}",
        roots.display()
    );
    let ran = world.lab(&line).exits(0);
    let up: Value = serde_json::from_str(&ran.stdout).unwrap();
    world.pods_reach_pods(&up);
    let running =
        world.inside("vps-host", "systemctl is-system-running; systemctl is-enabled frr@k8s kmh-nftables");
    assert_eq!(running, "running\nenabled\nenabled\n");
    // By emulation, but for the daemon whose signatures and the tool whose netlink it does not carry.
    let running =
        world.inside("pi-1", "uname -m; systemctl is-system-running; birdc show protocols; nft list tables");
    assert!(running.starts_with("aarch64\nrunning\n"), "{running}");
    assert!(running.contains("Established") && running.contains("kmh_lab_services"), "{running}");
    // Who sees no lab of his own leaves the emulator to those that he does not see.
    binfmt::give_back().unwrap();
    assert_eq!(world.inside("pi-1", "uname -m"), "aarch64\n");
    // The same again changes nothing, and it stays what it is without being named.
    let again = world.lab("up -i stream.json --store pki -o text").exits(0);
    assert!(again.stdout.contains("nothing changed"), "{again:?}");
    assert_eq!(world.inside("vps-host", "cat /proc/1/comm"), "systemd\n");

    // The admin's kmh-push finds what `up` put there, and mends what somebody broke.
    let ssh = format!("/run/kmh-lab/{}/ssh", world.lab);
    let push = || {
        let ran = world.lab(&format!(
            "exec operator -- sh -c \"cd {} && kmh-push --to ssh --store pki --known-hosts {ssh}/known_hosts \
             --identity {ssh}/id -i stream.json --limit gw-vps\"",
            world.sandbox.path().display()
        ));
        Lab::report(&ran.exits(0), "gw-vps")
    };
    assert_eq!(push()["outcome"], "unchanged");
    world.inside("vps-host", "systemctl -q disable frr@k8s; rm /etc/nftables.d/kmh.nft");
    let report = push();
    assert_eq!(
        (&report["outcome"], &report["written"][0]["path"]),
        (&json!("changed"), &json!("/etc/nftables.d/kmh.nft"))
    );
    assert_eq!(world.inside("vps-host", "systemctl is-enabled frr@k8s"), "enabled\n");

    what_breaks_is_mended(&world);

    world.lab("up -i stream.json --store pki --full nobody").exits(2).says("no router or node `nobody`");

    world.lab("down").exits(0);
    assert_eq!(world.traces(), before);
    binfmt::give_back().unwrap();
    let groups =
        Command::new("find").args(["/sys/fs/cgroup", "-path", &format!("*kmh-lab/{}.*", world.lab)]).output();
    assert_eq!(String::from_utf8_lossy(&groups.unwrap().stdout), "");
    // Killed while it boots.
    for tenths in ["0.9", "1.6", "2.4"] {
        world.sh(&format!("timeout -s KILL {tenths} kmh-lab --lab {} {line} -q", world.lab));
        let _ = world.lab("down");
        assert_eq!(world.traces(), before, "{tenths}");
    }
}

/// Set for the process that is killed: where it makes a root.
const CHILD: &str = "KMH_TEST_FULL_CACHE";

#[test]
fn a_root_whose_making_was_killed_is_never_used() {
    let lab = LabName::try_from(format!("k{}", std::process::id())).unwrap();
    let recipe = Recipe::new(&full::root::own_release().unwrap(), binfmt::native().unwrap(), Use::Node);
    if let Some(folder) = std::env::var_os(CHILD) {
        let _ = Cache::new(folder.into()).unwrap().root(&recipe, &lab, &mut |_| {});
        return;
    }
    assert!(is_root(), "this test needs root: run it as root or with sudo");
    let world = Sandbox::new();
    let folder = world.path().join("roots");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_root_whose_making_was_killed_is_never_used"])
        .env(CHILD, &folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let making = folder.join(format!(".{}.making", recipe.name()));
    let begin = Instant::now();
    // Well into it: packages are there already.
    while !making.join("var/cache/apt/archives").is_dir() && begin.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(making.join("var/cache/apt/archives").is_dir());
    std::thread::sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    // The kernel ends what ran in the namespaces, in its own time.
    support::World::until("the end of what it started", 60, || {
        let using = |entry: std::fs::DirEntry| std::fs::read_link(entry.path().join("root")).ok();
        let roots: BTreeSet<PathBuf> =
            std::fs::read_dir("/proc").unwrap().flatten().filter_map(using).collect();
        let processes = run("ps", &["-eo", "args"]);
        let lives = roots.iter().any(|root| root.starts_with(&folder))
            || processes.contains(&making.display().to_string());
        if lives { Err(format!("{roots:?}\n{processes}")) } else { Ok(()) }
    });
    assert!(!folder.join(recipe.name()).exists());
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains("roots/."));
    std::io::stdout().flush().unwrap();
}
