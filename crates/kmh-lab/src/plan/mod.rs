//! The plan of a lab: a pure function of the inventory, the network and the bundle.
//!
//! [`wires`] says what there is to build, `lines` and `sites` decide it, [`calico`] and [`services`] say what nodes run in
//! place of calico-node and kube-proxy, `machines` which files and daemons each machine has, [`rest`] what is waited for.

pub mod calico;
pub mod dial;
mod lines;
mod machines;
mod pfsense;
pub mod rest;
pub mod segments;
pub mod services;
mod sites;
pub mod userspace;
pub mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_cli::failure::Note;
use kmh_doc::bundle::Artifact;
use kmh_doc::inventory::{Arch, Inventory, Router, Ssh};
use kmh_doc::network::{NetworkSpec, RouterPlan};
use kmh_route::Ground;
use kmh_route::services::Listed;
use kmh_store::wanted::{Wanted, WantedFile, note};
use sha2::{Digest as _, Sha256};

use crate::args::Carrier;
use crate::state::{Inner, Role};
use services::Service;
use wires::{End, Interface, Link, Wires};

/// Where every default route ends.
pub const INTERNET: &str = "internet";
/// The switches of segments.
pub const SWITCH: &str = "switch";
/// The admin's laptop.
pub const OPERATOR: &str = "operator";
/// Addresses of the Internet (RFC 5737, RFC 3849).
pub const OUTSIDE: [&str; 2] = ["192.0.2.1", "2001:db8:ffff::1"];

/// Settings of what a lab adds around the cluster's machines: it forwards, takes packets whatever their way back, tells
/// nobody a better way, and says what it could not deliver as often as it happens.
const FORWARDS: [&str; 8] = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.icmp.ratelimit=0",
];

/// Everything that a lab is.
#[derive(Clone, Debug, Default)]
pub struct LabPlan {
    /// Namespaces, links, addresses, routes.
    pub wires: Wires,
    /// Machines, by name.
    pub machines: BTreeMap<String, MachinePlan>,
    /// Namespace routers, by their own name.
    pub routers: BTreeMap<String, Inner>,
    /// Pods: node and address.
    pub pods: Vec<Pod>,
    /// Services that answer.
    pub services: Vec<Service>,
    /// What the resolver knows.
    pub hosts: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// A machine to build.
#[derive(Clone, Debug)]
pub struct MachinePlan {
    /// What it is in the cluster.
    pub role: Role,
    /// Its site.
    pub site: Option<String>,
    /// A node's roles, as the inventory names them.
    pub roles: Vec<&'static str>,
    /// A node's architecture.
    pub arch: Option<Arch>,
    /// How to log in.
    pub ssh: Ssh,
    /// Its files.
    pub files: Vec<WantedFile>,
    /// Daemons to start, in order, by the names of their units.
    pub services: Vec<String>,
    /// Units of the bundle that a light machine leaves out.
    pub idle: Vec<String>,
    /// Programs of the bundle.
    pub artifacts: Vec<Artifact>,
    /// Whether it is a complete system.
    pub full: bool,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Its node.
    pub node: String,
    /// Its address.
    pub address: IpAddr,
}

/// What a plan is made of.
pub struct Sources<'a> {
    /// What people decided.
    pub inventory: &'a Inventory,
    /// What follows for the network.
    pub network: &'a NetworkSpec,
    /// What is on each machine.
    pub bundle: Vec<Wanted>,
    /// Blocks, as observed or assumed.
    pub ground: Ground,
    /// How tunnels are carried.
    pub tunnels: Carrier,
    /// Services that somebody named.
    pub services: &'a [Listed],
    /// How often lines have dialled again.
    pub dials: BTreeMap<String, u16>,
}

/// The plan.
pub fn plan(sources: &Sources<'_>) -> Result<LabPlan, Vec<Note>> {
    let mut draft = Draft {
        inventory: sources.inventory,
        network: sources.network,
        ground: &sources.ground,
        tunnels: sources.tunnels,
        dials: &sources.dials,
        plan: LabPlan::default(),
        faults: Vec::new(),
    };
    draft.around();
    draft.lines();
    draft.segments();
    draft.nodes();
    draft.lans();
    draft.operator();
    draft.tunnels();
    draft.names();
    match services::all(sources.network, &draft.plan.pods, sources.services) {
        Ok(services) => draft.plan.services = services,
        Err(faults) => draft.faults.extend(faults),
    }
    draft.machines(&sources.bundle);
    if draft.faults.is_empty() { Ok(draft.plan) } else { Err(draft.faults) }
}

/// A plan in the making.
struct Draft<'a> {
    inventory: &'a Inventory,
    network: &'a NetworkSpec,
    ground: &'a Ground,
    tunnels: Carrier,
    dials: &'a BTreeMap<String, u16>,
    plan: LabPlan,
    faults: Vec<Note>,
}

impl<'a> Draft<'a> {
    fn fault(&mut self, message: String, hint: &str) {
        self.faults.push(note(message, "", Some(hint)));
    }

    /// Routers as both documents have them.
    fn routers(&self) -> Vec<(&'a Router, &'a RouterPlan)> {
        let all = self.inventory.sites.iter().flat_map(|site| &site.routers);
        all.filter_map(|own| {
            Some((own, self.network.routers.iter().find(|plan| plan.name == own.name.as_str())?))
        })
        .collect()
    }

    /// A namespace that the lab makes and that is no machine.
    fn bare(&mut self, name: &str) {
        self.plan.wires.spaces.insert(name.to_owned());
        self.set(name, FORWARDS);
    }

    fn set<S: Into<String>>(&mut self, space: &str, settings: impl IntoIterator<Item = S>) {
        self.plan
            .wires
            .settings
            .entry(space.to_owned())
            .or_default()
            .extend(settings.into_iter().map(Into::into));
    }

    fn link(&mut self, a: &End, b: &End) {
        let mut ends = [a.clone(), b.clone()];
        ends.sort();
        self.plan.wires.links.insert(Link { ends });
        for end in [a, b] {
            self.at(end);
        }
    }

    fn at(&mut self, end: &End) -> &mut Interface {
        self.plan.wires.interfaces.entry(end.clone()).or_default()
    }

    fn address(&mut self, end: &End, address: impl std::fmt::Display) {
        self.at(end).addresses.insert(address.to_string());
    }

    fn route(&mut self, space: &str, route: String) {
        self.plan.wires.routes.entry(space.to_owned()).or_default().push(route);
    }

    fn default_route(&mut self, space: &str, via: IpAddr) {
        self.route(space, format!("default via {via}"));
    }

    /// The Internet, and the switches.
    fn around(&mut self) {
        for space in [INTERNET, SWITCH] {
            self.bare(space);
        }
        for address in OUTSIDE {
            self.address(&End::new(INTERNET, "lo"), IpNet::from(parsed(address)));
        }
    }

    /// Links that stand for tunnels, where nothing encrypts.
    fn tunnels(&mut self) {
        match self.tunnels {
            Carrier::Plain => {}
            Carrier::Userspace => return self.userspace(),
            Carrier::Esp => return,
        }
        for tunnel in &self.network.tunnels {
            let spaces = tunnel.ends.each_ref().map(|end| {
                self.routers()
                    .iter()
                    .find(|(own, _)| own.name.as_str() == end.router)
                    .map(|(own, _)| traffic_space(own))
            });
            let [Some(a), Some(b)] = spaces else { continue };
            let ends = [End::new(&a, &tunnel.ends[0].interface), End::new(&b, &tunnel.ends[1].interface)];
            self.link(&ends[0], &ends[1]);
            for (at, end) in ends.iter().zip(&tunnel.ends) {
                self.at(at).mtu = Some(tunnel.mtu);
                for (address, network) in end.addresses.iter().zip(&tunnel.networks) {
                    self.address(at, format!("{address}/{}", network.net().prefix_len()));
                }
            }
        }
    }
}

/// The machine that a router is, or that carries it.
fn machine_of(router: &Router) -> &str {
    match (&router.netns, &router.host) {
        (Some(_), Some(host)) => host.as_str(),
        _ => router.name.as_str(),
    }
}

/// The namespace in which a router routes: its machine's, or one inside that.
fn traffic_space(router: &Router) -> String {
    match &router.netns {
        Some(netns) => format!("{}/{netns}", machine_of(router)),
        None => router.name.to_string(),
    }
}

/// A short name for an interface that stays the same when other things come and go.
fn tag(letter: char, of: &str) -> String {
    use std::fmt::Write as _;
    let sum = Sha256::digest(of.as_bytes());
    sum.iter().take(5).fold(letter.to_string(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The address that lies so far behind another.
fn after(address: IpAddr, offset: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).wrapping_add(offset).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).wrapping_add(u128::from(offset)).into()),
    }
}

/// The address that lies so far before the end of a network.
fn before_end(net: IpNet, offset: u32) -> IpAddr {
    match net.broadcast() {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).wrapping_sub(offset).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).wrapping_sub(u128::from(offset)).into()),
    }
}

/// A literal of this program.
fn parsed(text: &str) -> IpAddr {
    text.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}
