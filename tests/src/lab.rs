//! A cluster's network on one machine, from documents alone: `kmh-lab` with plain links for tunnels, the real FRR and BIRD
//! with the rendered files, the rendered packet filters, and BIRD on the nodes with what Calico would tell it.

pub mod documents;
pub mod ground;
pub mod leak;
pub mod readers;
pub mod tables;
pub mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kmh_doc::inventory::{BgpDaemon, RouterKind};
use kmh_doc::network::{RouterPlan, Session};
use kmh_lab::machine::{Place, inside};
use kmh_lab::state::{LabName, State};

use crate::ask;
use crate::sandbox::{Ran, is_root};
use documents::Documents;
use ground::{Ground, Pod};
use tables::{Seen, differences};
use weather::Failure;

/// Protocols of BIRD that hold what a machine has itself: a router's segments, a node's blocks and services.
const OWN: [&str; 3] = ["segments", "static_ipv4", "static_ipv6"];

/// Longer than this nothing stays as it is that still changes: the hold time is 9 seconds, FRR calls again after 10, BIRD
/// after errors in a row after 30.
const QUIET: Duration = Duration::from_secs(45);
/// What changes for so long never rests.
const RESTLESS: Duration = Duration::from_secs(180);

/// The namespace of a node's pods.
pub fn pod_space(node: &str) -> String {
    format!("pod-{node}")
}

/// `-4` or `-6`, as `ip` wants it.
pub fn family(address: IpAddr) -> &'static str {
    if address.is_ipv6() { "-6" } else { "-4" }
}

/// A network, built and running; gone when the test is, also after a panic.
pub struct Lab {
    /// Where it comes from.
    pub documents: Documents,
    /// What the nodes have.
    pub ground: Ground,
    /// What is broken now.
    pub down: BTreeSet<Failure>,
    name: LabName,
    state: State,
    link_locals: BTreeMap<IpAddr, IpAddr>,
    started: Vec<Child>,
}

impl Lab {
    /// Builds and starts what an inventory says.
    pub fn up(inventory: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(is_root(), "this test makes network namespaces: run it as root (`make test` says so)");
        let name = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let documents = Documents::of(inventory);
        let ground = Ground::of(&documents.network);
        let mut lab = Self {
            documents,
            ground,
            down: BTreeSet::new(),
            name: LabName::try_from(name).expect("a name of a lab"),
            state: State::default(),
            link_locals: BTreeMap::new(),
            started: Vec::new(),
        };
        lab.documents.give_blocks(&lab.ground);
        let line = format!("up --no-wait --store pki --tunnels plain{}", lab.ground.service_options());
        lab.tool(&format!("cat bundle.json blocks.json | kmh-lab --lab {} {line}", lab.name));
        lab.state = State::read(&lab.name).expect("the lab's state").expect("a lab");
        let mut found = BTreeMap::new();
        for space in lab.machines() {
            readers::link_locals(&lab, &space, &mut found);
        }
        lab.link_locals = found;
        lab.filters();
        lab
    }

    /// Every Linux router filters packets: without, a lab would prove less than it seems to.
    fn filters(&self) {
        let routers = self.documents.network.routers.iter();
        for router in routers.filter(|router| router.kind == RouterKind::Linux) {
            let tables = self.sh(&router.name, "nft list tables").exits(0).stdout;
            let has = tables.lines().any(|table| table == "table inet kmh");
            assert!(has, "no packet filter for {}: {tables}", router.name);
        }
    }

    /// A line with the tools, which must succeed.
    fn tool(&self, line: &str) {
        let ran = self.documents.sandbox.sh(line);
        assert_eq!(ran.code, 0, "{line}\n{}{}", ran.stdout, ran.stderr);
    }

    /// `kmh-lab` on this lab.
    pub fn lab(&self, line: &str) {
        self.tool(&format!("kmh-lab --lab {} {line}", self.name));
    }

    /// A line in `sh` as the admin types it at the operator's place, with the lab's keys and this folder's documents.
    pub fn operator(&self, line: &str) -> Ran {
        let quoted = line.replace('\'', "'\\''");
        self.documents.sandbox.sh(&format!("kmh-lab --lab {} exec operator -- sh -c '{quoted}'", self.name))
    }

    /// A command that runs in a machine, a router, or another namespace of the lab.
    fn command<'a>(&self, space: &str, words: impl IntoIterator<Item = &'a str>) -> Command {
        let place = Place::named(&self.name, &self.state, space);
        let place = place.unwrap_or_else(|failure| panic!("{}", failure.render("kmh-lab", false)));
        let mut command = inside(&self.name, &place, words);
        command.stdin(Stdio::null()).env("LC_ALL", "C");
        command
    }

    /// A line in `sh` there.
    pub fn sh(&self, space: &str, line: &str) -> Ran {
        let output = self.command(space, ["/bin/sh", "-c", line]).output().expect("nsenter");
        Ran {
            code: output.status.code().unwrap_or(128),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `ip` there; it must succeed.
    pub fn ip(&self, space: &str, args: &[&str]) -> String {
        let output = self.command(space, ["ip"].iter().chain(args).copied()).output().expect("nsenter");
        assert!(output.status.success(), "{space}: ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a program there that stays in the foreground until the lab goes.
    pub fn start(&mut self, space: &str, words: &[&str]) {
        let mut command = self.command(space, words.iter().copied());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nsenter");
        self.started.push(child);
    }

    /// A file of a router's machine or a node, as this machine sees it.
    fn path(&self, name: &str, path: &str) -> PathBuf {
        let machine = self.state.routers.get(name).map_or(name, |inner| inner.machine.as_str());
        let pid = self.state.machines.get(machine).unwrap_or_else(|| panic!("no machine {machine}")).pid;
        PathBuf::from(format!("/proc/{pid}/root/{path}"))
    }

    /// Asks one daemon of FRR.
    pub fn frr(&self, router: &str, daemon: &str, command: &str) -> String {
        let netns = self.state.routers.get(router).map(|inner| format!("{}/", inner.netns));
        let socket = self.path(router, &format!("run/frr/{}{daemon}.vty", netns.unwrap_or_default()));
        ask::frr(&socket, command)
            .unwrap_or_else(|error| panic!("{daemon} in {router}, `{command}`: {error}"))
    }

    /// Asks BIRD.
    pub fn birdc(&self, machine: &str, command: &str) -> String {
        let socket = self.path(machine, "run/bird/bird.ctl");
        ask::bird(&socket, command).unwrap_or_else(|error| panic!("BIRD in {machine}, `{command}`: {error}"))
    }

    /// Asks FRR as `vtysh` does, or tells it something.
    pub fn vtysh(&self, router: &str, commands: &[&str]) -> String {
        let commands: String = commands.iter().flat_map(|command| [" -c '", command, "'"]).collect();
        self.sh(router, &format!("vtysh{commands}")).exits(0).stdout
    }

    /// Kills a daemon without a word to it.
    pub fn kill(&self, machine: &str, daemon: &str) {
        self.lab(&format!("kill {machine}:{daemon}"));
    }

    /// Loads nftables rules.
    pub fn nft(&self, space: &str, rules: &str) {
        self.sh(space, &format!("nft -f - <<'END'\n{rules}\nEND")).exits(0);
    }

    /// Namespaces beside the machines: the Internet, boxes that translate addresses, pods.
    pub fn spaces(&self) -> impl Iterator<Item = &str> {
        self.state.wires.spaces.iter().map(String::as_str)
    }

    /// A router as the network has it.
    pub fn plan(&self, name: &str) -> &RouterPlan {
        let mut all = self.documents.network.routers.iter();
        all.find(|router| router.name == name).unwrap_or_else(|| panic!("no router {name}"))
    }

    /// Names of all tunnels.
    pub fn tunnels(&self) -> Vec<String> {
        self.documents.network.tunnels.iter().map(|tunnel| tunnel.name.clone()).collect()
    }

    /// Routers, then nodes.
    pub fn machines(&self) -> Vec<String> {
        let routers = self.documents.network.routers.iter().map(|router| router.name.clone());
        routers.chain(self.documents.network.nodes.iter().map(|node| node.name.clone())).collect()
    }

    /// Whether a router or node is cut off.
    pub fn is_down(&self, machine: &str) -> bool {
        self.down.contains(&Failure::Router(machine.to_owned()))
            || self.down.contains(&Failure::Node(machine.to_owned()))
    }

    /// Whether a session can be up.
    fn is_possible(&self, session: &Session) -> bool {
        let cut = |name: &String| self.cut_tunnels().contains(name);
        !self.is_down(&session.peer) && !session.tunnel.as_ref().is_some_and(cut)
    }

    /// Sessions that are up and must not be, or the other way round.
    fn odd_sessions(&self) -> Vec<String> {
        let mut odd = Vec::new();
        for router in self.documents.network.routers.iter().filter(|router| !self.is_down(&router.name)) {
            let established = match router.daemon {
                BgpDaemon::Frr => readers::frr_sessions(self, &router.name),
                BgpDaemon::Bird => readers::bird_sessions(self, &router.name),
            };
            for session in &router.sessions {
                let (should, is) = (self.is_possible(session), established.contains(&session.peer_address));
                if should != is {
                    let word = if is { "up" } else { "down" };
                    odd.push(format!(
                        "{}: session with {} ({}) is {word}",
                        router.name, session.peer, session.peer_address
                    ));
                }
            }
        }
        odd
    }

    /// What speaks BGP on a machine.
    fn daemon(&self, machine: &str) -> BgpDaemon {
        let mut routers = self.documents.network.routers.iter();
        routers.find(|router| router.name == machine).map_or(BgpDaemon::Bird, |router| router.daemon)
    }

    /// What a machine's daemon and kernel have.
    fn seen(&self, machine: &str) -> Seen {
        let daemon = self.daemon(machine);
        let mut seen = match daemon {
            BgpDaemon::Frr => readers::frr(self, machine),
            BgpDaemon::Bird => {
                let borrowed = self.ground.borrowed.iter().filter(|(_, node)| node == machine);
                let borrowed: Vec<IpAddr> = borrowed.map(|(address, _)| *address).collect();
                readers::bird(self, machine, &OWN, &borrowed)
            }
        };
        readers::kernel(self, machine, &self.link_locals, &mut seen);
        seen.as_shown_by(daemon).without_history()
    }

    /// Waits until all is as predicted and stays so. When it settles otherwise, says in what it differs.
    pub fn agrees(&self) -> Result<Duration, String> {
        let down: Vec<String> = self.down.iter().map(ToString::to_string).collect();
        let predicted = self.documents.predict(&self.ground, &down);
        let predicted: BTreeMap<String, Seen> = self
            .machines()
            .into_iter()
            .filter(|machine| !self.is_down(machine))
            .map(|machine| {
                let table = predicted.get(&machine).map(Seen::predicted).unwrap_or_default();
                (machine.clone(), table.as_shown_by(self.daemon(&machine)).without_history())
            })
            .collect();
        let compare = || {
            let mut lines = self.odd_sessions();
            if !lines.is_empty() {
                return lines;
            }
            for (machine, ours) in &predicted {
                lines.extend(differences(machine, ours, &self.seen(machine)));
            }
            lines
        };
        let start = Instant::now();
        let (mut before, mut since) = (None, Instant::now());
        loop {
            let now = compare();
            if before.as_ref() != Some(&now) {
                (before, since) = (Some(now), Instant::now());
            } else if before.as_ref().is_some_and(Vec::is_empty) {
                return Ok(start.elapsed());
            } else if since.elapsed() > QUIET {
                return Err(before.unwrap_or_default().join("\n"));
            }
            if start.elapsed() > RESTLESS {
                return Err(format!(
                    "still changing after {RESTLESS:?}:\n{}",
                    before.unwrap_or_default().join("\n")
                ));
            }
            std::thread::sleep(Duration::from_millis(700));
        }
    }

    /// Pings a pod from another one, once.
    pub fn ping(&self, from: &Pod, to: &Pod) -> Result<(), String> {
        let line = format!("ping -n -c 1 -W 1 -I {} {}", from.address, to.address);
        let ran = self.sh(&pod_space(&from.node), &line);
        if ran.code == 0 {
            Ok(())
        } else {
            Err(format!("{} to {} ({}):\n{}{}", from.node, to.node, to.address, ran.stdout, ran.stderr))
        }
    }

    /// Whether every pod reaches every other of its family.
    pub fn all_reach_all(&self) -> Result<(), String> {
        for from in &self.ground.pods {
            let others = self.ground.pods.iter().filter(|to| to.node != from.node);
            for to in others.filter(|to| to.address.is_ipv6() == from.address.is_ipv6()) {
                self.ping(from, to)?;
            }
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.started {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.documents.sandbox.sh(&format!("kmh-lab --lab {} down", self.name));
    }
}
