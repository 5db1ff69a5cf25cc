//! Clusters of every kind that there is, as inventories in YAML: small ones with a name, and random ones from a seed.

use std::fmt::Write as _;

/// What a router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Linux with FRR.
    Frr,
    /// Linux with BIRD.
    Bird,
    /// A namespace on Linux, with FRR.
    Namespace,
    /// pfSense.
    Pfsense,
}

/// A router: what it is, and how many lines it has.
pub type Router = (Kind, usize);

/// A site: its routers, how many nodes it has, what its LAN may reach when there is one.
#[derive(Clone, Debug)]
pub struct Site {
    /// The routers, one or two.
    pub routers: Vec<Router>,
    /// How many nodes.
    pub nodes: usize,
    /// What its LAN may reach.
    pub lan: Option<&'static str>,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Its name.
    pub name: String,
    /// `A`, `B` or `D`.
    pub layout: &'static str,
    /// Whether nodes send to each other directly.
    pub direct: bool,
    /// Which families it has.
    pub v4: bool,
    /// Which families it has.
    pub v6: bool,
    /// Whether nodes call, or each is known.
    pub listen: bool,
    /// Whether sessions on the node segment are signed.
    pub passwords: bool,
    /// Calico's version.
    pub calico: &'static str,
    /// More settings of the tunnels: `, shape: hub, hub: s1`.
    pub tunnels: &'static str,
    /// Its sites: `s1`, `s2`, …
    pub sites: Vec<Site>,
}

/// A site with one router of one line.
pub fn site(kind: Kind, nodes: usize) -> Site {
    Site { routers: vec![(kind, 1)], nodes, lan: None }
}

impl Topology {
    /// Layout A with direct routes, IPv4 only, a mesh.
    pub fn new(name: &str, sites: Vec<Site>) -> Self {
        Self {
            name: name.to_owned(),
            layout: "A",
            direct: true,
            v4: true,
            v6: false,
            listen: false,
            passwords: true,
            calico: "3.31.2",
            tunnels: "",
            sites,
        }
    }

    /// One value, or a list of one for each family.
    fn both(&self, v4: &str, v6: &str) -> String {
        let list = [(self.v4, v4), (self.v6, v6)];
        let list: Vec<String> =
            list.into_iter().filter(|(has, _)| *has).map(|(_, text)| format!("\"{text}\"")).collect();
        format!("[{}]", list.join(", "))
    }

    /// The inventory.
    pub fn inventory(&self) -> String {
        let mut out = format!(
            "kind: kmh.inventory/v1\nspec:\n  cluster:\n    name: lab\n    \
             versions: {{kubernetes: 1.36.2, etcd: 3.6.8, containerd: 2.1.4, calico: {}}}\n    \
             pod_cidrs: {}\n    service_cidrs: {}\n    load_balancer_cidrs: {}\n    api: {{host: k8s.example.net}}\n  \
             bgp: {{layout: {}, direct_routes: {}, node_peers: {}, passwords: {}}}\n  tunnels: {{network: {}{}}}\n  sites:\n",
            self.calico,
            self.both("10.200.0.0/16", "fd00:200::/48"),
            self.both("10.201.0.0/16", "fd00:201::/112"),
            self.both("10.202.0.0/24", "fd00:202::/112"),
            self.layout,
            self.direct,
            if self.listen { "listen" } else { "each" },
            self.passwords,
            self.both("10.252.0.0/14", "fd00:255::/48"),
            self.tunnels,
        );
        let mut id = 0;
        for (place, site) in self.sites.iter().enumerate() {
            let s = place + 1;
            let _ = write!(
                out,
                "    - name: s{s}\n      network: {}\n      pod_cidrs: {}\n",
                self.both(&format!("10.{s}.0.0/24"), &format!("fd00:0:0:{s}::/64")),
                self.both(&format!("10.200.{}.0/18", 64 * place), &format!("fd00:200:0:{s}00::/56")),
            );
            if let Some(reach) = site.lan {
                let network = self.both(&format!("192.168.{s}.0/24"), &format!("fd00:0:1:{s}::/64"));
                let _ = writeln!(out, "      lans: [{{name: home, network: {network}, reach: [{reach}]}}]");
            }
            let first = if site.routers.len() > 1 {
                let gateway = self.both(&format!("10.{s}.0.1"), &format!("fd00:0:0:{s}::1"));
                let _ = writeln!(out, "      gateway: {gateway}");
                2
            } else {
                1
            };
            out.push_str("      routers:\n");
            for (n, (kind, lines)) in site.routers.iter().enumerate() {
                id += 1;
                let host = first + n;
                let address = self.both(&format!("10.{s}.0.{host}"), &format!("fd00:0:0:{s}::{host}"));
                let name = format!("r{s}{}", ["a", "b"][n]);
                let what = match kind {
                    Kind::Frr => "kind: linux, bgp: frr, interface: eth1".to_owned(),
                    Kind::Bird => "kind: linux, bgp: bird, interface: eth1".to_owned(),
                    Kind::Namespace => format!("kind: linux, bgp: frr, host: host-{name}, netns: k8s"),
                    Kind::Pfsense => "kind: pfsense, interface: opt1".to_owned(),
                };
                let _ = write!(
                    out,
                    "        - {{name: {name}, id: {id}, {what}, asn: {}, address: {address}, uplinks: [",
                    65000 + s
                );
                for line in 1..=*lines {
                    let (outer, separator) = (16 * id + line, if line > 1 { ", " } else { "" });
                    let interface = match (kind, line) {
                        (Kind::Pfsense, 1) => "wan".to_owned(),
                        (Kind::Pfsense, _) => format!("opt{line}"),
                        _ => format!("wan{line}"),
                    };
                    let _ = write!(
                        out,
                        "{separator}{{name: l{line}, interface: {interface}, address: 198.51.100.{outer}, mtu: {}}}",
                        if line > 1 { 1492 } else { 1500 }
                    );
                }
                out.push_str("]}\n");
            }
        }
        out.push_str("  nodes:\n");
        let mut number = 0;
        for (place, site) in self.sites.iter().enumerate() {
            let s = place + 1;
            for n in 1..=site.nodes {
                number += 1;
                let host = 10 + n;
                let roles = if number == 1 { "control-plane, etcd, worker" } else { "worker" };
                let asn =
                    if self.layout == "D" { format!(", asn: {}", 64600 + number) } else { String::new() };
                let address = self.both(&format!("10.{s}.0.{host}"), &format!("fd00:0:0:{s}::{host}"));
                let _ = writeln!(
                    out,
                    "    - {{name: n{s}{n}, site: s{s}, address: {address}{asn}, roles: [{roles}]}}"
                );
            }
        }
        out
    }
}

/// The named ones, those that take longest first. The article's own is an example of the house and not among them.
pub fn named() -> Vec<Topology> {
    use Kind::{Bird, Frr, Namespace, Pfsense};
    let three = |kind: Kind| vec![site(kind, 2), site(kind, 1), site(kind, 1)];
    let pair = |a: Router, b: Router, nodes: usize| Site { routers: vec![a, b], nodes, lan: None };
    vec![
        Topology::new(
            "two-lines-bird",
            vec![
                Site { routers: vec![(Bird, 2)], nodes: 1, lan: None },
                Site { routers: vec![(Frr, 2)], nodes: 1, lan: None },
            ],
        ),
        Topology::new("two-routers-bird", vec![pair((Bird, 1), (Frr, 1), 2), pair((Bird, 1), (Bird, 1), 1)]),
        Topology { v6: true, ..Topology::new("dual", vec![site(Frr, 2), site(Bird, 2), site(Pfsense, 1)]) },
        Topology::new("a-mixed", vec![site(Bird, 2), site(Pfsense, 2), site(Namespace, 1)]),
        Topology::new(
            "a-frr",
            vec![Site { lan: Some("services, pods"), ..site(Frr, 3) }, site(Frr, 2), site(Frr, 1)],
        ),
        Topology { direct: false, ..Topology::new("a-hairpin", three(Frr)) },
        Topology { layout: "B", ..Topology::new("b-frr", three(Frr)) },
        Topology { layout: "B", calico: "3.32.0", ..Topology::new("b-local-pref", three(Frr)) },
        Topology { layout: "B", calico: "3.32.0", direct: false, ..Topology::new("b-hairpin", three(Frr)) },
        Topology { layout: "D", ..Topology::new("d-frr", three(Frr)) },
        Topology { layout: "D", direct: false, ..Topology::new("d-hairpin", three(Frr)) },
        Topology::new("a-bird", three(Bird)),
        Topology { layout: "B", calico: "3.32.0", ..Topology::new("b-bird", three(Bird)) },
        Topology { layout: "D", ..Topology::new("d-bird", three(Bird)) },
        Topology { listen: true, ..Topology::new("a-listen", vec![site(Frr, 2), site(Bird, 2)]) },
        Topology::new("two-routers", vec![pair((Frr, 1), (Frr, 1), 2), site(Frr, 2), site(Frr, 1)]),
        Topology {
            layout: "B",
            ..Topology::new("b-two-routers", vec![pair((Frr, 1), (Frr, 1), 2), site(Frr, 1)])
        },
        Topology::new(
            "two-lines",
            vec![Site { routers: vec![(Frr, 2)], nodes: 2, lan: None }, site(Frr, 2), site(Frr, 1)],
        ),
        Topology { v4: false, v6: true, ..Topology::new("six", three(Frr)) },
        Topology { v4: false, v6: true, ..Topology::new("six-bird", vec![site(Bird, 2), site(Frr, 1)]) },
        Topology { tunnels: ", shape: hub, hub: s1", ..Topology::new("hub", three(Frr)) },
    ]
}

/// `SplitMix64` (Steele, Lea and Flood): the same numbers from the same seed, everywhere.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("a small number")
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())]
    }
}

/// A random one: two to four sites with one or two routers and one to three nodes each.
pub fn random(seed: u64) -> Topology {
    let mut dice = Dice(seed);
    let count = 2 + dice.roll(3);
    // Both daemons, or one of them.
    let kinds: &[Kind] = dice.pick(&[
        &[Kind::Frr][..],
        &[Kind::Bird][..],
        &[Kind::Frr, Kind::Bird][..],
        &[Kind::Frr, Kind::Bird, Kind::Namespace, Kind::Pfsense][..],
    ]);
    let sites: Vec<Site> = (0..count)
        .map(|_| {
            let routers = 1 + usize::from(dice.roll(3) == 0);
            let router = |dice: &mut Dice| {
                let kind = dice.pick(kinds);
                // A namespace has one way out.
                let lines = 1 + usize::from(kind != Kind::Namespace && dice.roll(4) == 0);
                (kind, lines)
            };
            Site {
                routers: (0..routers).map(|_| router(&mut dice)).collect(),
                nodes: 1 + dice.roll(3),
                lan: dice.pick(&[None, None, Some("services"), Some("pods, nodes")]),
            }
        })
        .collect();
    let (v4, v6) = dice.pick(&[(true, false), (true, false), (false, true), (true, true)]);
    let chain =
        [", pairs: [[s1, s2]]", ", pairs: [[s1, s2], [s2, s3]]", ", pairs: [[s1, s2], [s2, s3], [s3, s4]]"];
    let (layout, listen) = (dice.pick(&["A", "A", "B", "D"]), dice.roll(5) == 0);
    // The kernel of FreeBSD knows keys of peers, not of networks.
    let unsigned =
        listen && sites.iter().flat_map(|site| &site.routers).any(|(kind, _)| *kind == Kind::Pfsense);
    Topology {
        layout,
        direct: dice.roll(4) > 0,
        v4,
        v6,
        listen,
        passwords: dice.roll(5) > 0 && !unsigned,
        calico: dice.pick(&["3.31.2", "3.32.0"]),
        tunnels: dice.pick(&["", "", ", shape: hub, hub: s1", chain[count - 2]]),
        ..Topology::new(&format!("random-{seed}"), sites)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_cluster() {
        assert_eq!(random(7).inventory(), random(7).inventory());
        assert_ne!(random(7).inventory(), random(8).inventory());
    }
}
