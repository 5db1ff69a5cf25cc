//! A cluster's network on one machine, from documents alone: every router, node and pod a namespace, plain links for
//! tunnels, the real FRR and BIRD with the rendered files, the rendered packet filters, and BIRD on the nodes with what
//! Calico would tell it.

pub mod cables;
pub mod calico;
pub mod documents;
pub mod ground;
pub mod leak;
pub mod readers;
pub mod tables;
pub mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use kmh_doc::inventory::{BgpDaemon, Router, RouterKind};
use kmh_doc::network::{RouterPlan, Session, Tunnel};

use crate::netns::Netns;
use cables::pod_space;
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

/// A network, built and running.
pub struct Lab {
    /// The namespaces.
    pub net: Netns,
    /// Where it comes from.
    pub documents: Documents,
    /// What the nodes have.
    pub ground: Ground,
    /// What is broken now.
    pub down: BTreeSet<Failure>,
    /// Bridges of the sites.
    segments: BTreeMap<String, String>,
    link_locals: BTreeMap<IpAddr, IpAddr>,
    ports: usize,
    lines: usize,
}

impl Lab {
    /// Builds and starts what an inventory says.
    pub fn up(inventory: &str) -> Self {
        let documents = Documents::of(inventory);
        let ground = Ground::of(&documents.network);
        let mut lab = Self {
            net: Netns::new(),
            documents,
            ground,
            down: BTreeSet::new(),
            segments: BTreeMap::new(),
            link_locals: BTreeMap::new(),
            ports: 0,
            lines: 0,
        };
        cables::lay(&mut lab);
        lab.settle_gateways();
        for space in lab.machines() {
            readers::link_locals(&lab.net, &space, &mut lab.link_locals);
        }
        for router in lab.documents.network.routers.clone() {
            lab.start_router(&router);
        }
        for node in lab.documents.network.nodes.clone() {
            let conf = calico::conf(&lab.documents, &lab.ground, &node.name, "");
            lab.net.start_bird(&node.name, &conf);
        }
        lab
    }

    fn start_router(&mut self, router: &RouterPlan) {
        let file = |name: &str| self.documents.file(&router.name, name);
        if router.kind == RouterKind::Linux {
            let rules = file("kmh.nft").unwrap_or_else(|| panic!("no packet filter for {}", router.name));
            self.net.nft(&router.name, &rules);
        }
        match router.daemon {
            BgpDaemon::Frr => {
                let conf = self.documents.frr_conf(&router.name);
                let conf = conf.unwrap_or_else(|| panic!("no frr.conf for {}", router.name));
                self.net.start_frr(&router.name, &conf);
            }
            BgpDaemon::Bird => {
                let conf = file("bird.conf").unwrap_or_else(|| panic!("no bird.conf for {}", router.name));
                self.net.start_bird(&router.name, &conf);
            }
        }
    }

    /// A router as the inventory has it.
    pub fn router(&self, name: &str) -> &Router {
        let mut all = self.documents.inventory.sites.iter().flat_map(|site| &site.routers);
        all.find(|router| router.name.as_str() == name).unwrap_or_else(|| panic!("no router {name}"))
    }

    /// A router as the network has it.
    pub fn plan(&self, name: &str) -> &RouterPlan {
        let mut all = self.documents.network.routers.iter();
        all.find(|router| router.name == name).unwrap_or_else(|| panic!("no router {name}"))
    }

    /// A tunnel.
    pub fn tunnel(&self, name: &str) -> &Tunnel {
        let mut all = self.documents.network.tunnels.iter();
        all.find(|tunnel| tunnel.name == name).unwrap_or_else(|| panic!("no tunnel {name}"))
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
                BgpDaemon::Frr => readers::frr_sessions(&self.net, &router.name),
                BgpDaemon::Bird => readers::bird_sessions(&self.net, &router.name),
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
            BgpDaemon::Frr => readers::frr(&self.net, machine),
            BgpDaemon::Bird => {
                let borrowed = self.ground.borrowed.iter().filter(|(_, node)| node == machine);
                let borrowed: Vec<IpAddr> = borrowed.map(|(address, _)| *address).collect();
                readers::bird(&self.net, machine, &OWN, &borrowed)
            }
        };
        readers::kernel(&self.net, machine, &self.link_locals, &mut seen);
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
        let ran = self.net.sh(&pod_space(&from.node), &line);
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
