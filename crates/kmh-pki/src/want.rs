//! What must exist: the table of certificates applied to a cluster. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kmh_doc::inventory::{Algorithm, RouterKind, TunnelAuth};
use kmh_doc::pki::{Class, Deploy, Generation, KeyClass, Rotating, Rotation, Usage};
use kmh_model::{Model, Node, Router, ike_identity};
use time::Duration;

use crate::cert::Certificate;
use crate::numbered;
use crate::observed::Observed;
use crate::sorted::Sorted;
use crate::table::{self, CommonName, Each, KEYS, KeyRow, Life, Names, On, Per, Place, Row, TABLE};

/// A certificate that must exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, also its path in the store without ending.
    pub name: String,
    /// Its class.
    pub class: Class,
    /// The machine that it is for.
    pub machine: Option<String>,
    /// Name of the CA that signs it.
    pub issuer: Option<String>,
    /// Common name.
    pub common_name: String,
    /// Organizations.
    pub organizations: Vec<String>,
    /// DNS names, sorted.
    pub dns_names: Sorted<String>,
    /// IP addresses, sorted.
    pub addresses: Sorted<IpAddr>,
    /// Usages, sorted.
    pub usages: &'static [Usage],
    /// The algorithm of its key.
    pub algorithm: Algorithm,
    /// Whether it is a CA's or a leaf's life.
    pub life: Life,
    /// How long it lives.
    pub lasts: Duration,
    /// How much of its life is left when it is made again; a third when none.
    pub renew: Option<Duration>,
    /// Where it goes, sorted.
    pub deploy: Vec<Deploy>,
}

impl Wanted {
    /// Whether a certificate has its subject, and no field more. A CA that is called otherwise is not kmh-pki's.
    pub fn is_subject_of(&self, is: &Certificate) -> bool {
        self.is_called(&is.common_name)
            && is.organizations == self.organizations
            && is.attributes == 1 + self.organizations.len()
    }

    /// Whether that is its common name; the generations of a numbered CA have one each.
    pub fn is_called(&self, name: &str) -> bool {
        let is_numbered = |base| numbered::number(base, name).is_some();
        name == self.common_name || table::numbered(self.class).is_some_and(is_numbered)
    }
}

/// A key without certificate that must exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedKey {
    /// Its name, also its path in the store without ending.
    pub name: String,
    /// Its class.
    pub class: KeyClass,
    /// What it is.
    pub algorithm: &'static str,
    /// Where it goes, sorted.
    pub deploy: Vec<Deploy>,
}

/// Everything that must exist for a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Certificates by name.
    pub certificates: BTreeMap<String, Box<Wanted>>,
    /// Keys without certificate, by name.
    pub keys: BTreeMap<String, WantedKey>,
    /// How long a leaf lives.
    pub leaf: Duration,
}

impl Wants {
    /// Adds the generations that the store holds beside the current ones: they are wanted until their rotation ends.
    pub fn add_generations(&mut self, observed: &Observed) {
        for one in Rotating::ALL {
            for generation in [Generation::Next, Generation::Old] {
                let name = one.subject() + generation.ending();
                if observed.pairs.contains_key(&name) || observed.keys.contains_key(&name) {
                    self.add_generation(one, generation);
                }
            }
            self.name_next(one, observed);
        }
    }

    /// Gives the next generation of a numbered CA its name: one more than that of the current one.
    pub fn name_next(&mut self, one: Rotating, observed: &Observed) {
        let pair = observed.pairs.get(&one.subject());
        let current = pair.and_then(|pair| pair.certificate.there());
        let next = self.certificates.get_mut(&(one.subject() + Generation::Next.ending()));
        if let (Some(current), Some(next)) = (current, next)
            && let Some(base) = table::numbered(next.class)
        {
            next.common_name = numbered::following(base, &current.common_name);
        }
    }

    /// Adds a generation of what can be rotated, where that is wanted itself; its name.
    pub fn add_generation(&mut self, one: Rotating, generation: Generation) -> Option<String> {
        let subject = one.subject();
        let name = format!("{subject}{}", generation.ending());
        if let Some(current) = self.certificates.get(&subject) {
            let deploy = current.deploy.iter().cloned().map(table::beside).collect();
            let other = Wanted { name: name.clone(), deploy, ..Wanted::clone(current) };
            self.certificates.insert(name.clone(), Box::new(other));
            return Some(name);
        }
        let current = self.keys.get(&subject)?;
        // Tokens are verified with every generation's public half; what does not sign stays in the store.
        let deploy = current.deploy.iter().cloned().map(|place| Deploy { key: None, ..place }).collect();
        let other = WantedKey { name: name.clone(), deploy, ..current.clone() };
        self.keys.insert(name.clone(), other);
        Some(name)
    }

    /// Adds the next generation of every CA: what may be asked for, or come in, whoever asks and signs.
    pub fn add_next_authorities(&mut self) {
        for one in Rotating::ALL.into_iter().filter(|one| one.authority().is_some()) {
            self.add_generation(one, Generation::Next);
        }
    }

    /// Takes a generation away.
    pub fn remove(&mut self, name: &str) {
        self.certificates.remove(name);
        self.keys.remove(name);
    }

    /// Whether that is wanted.
    pub fn has(&self, name: &str) -> bool {
        self.certificates.contains_key(name) || self.keys.contains_key(name)
    }

    /// The rotations that are under way, by name.
    pub fn rotations(&self) -> Vec<Rotation> {
        let stage = |one: Rotating| {
            let [first, second] = one.stages();
            let has = |generation: Generation| self.has(&(one.subject() + generation.ending()));
            // With both, which only somebody's own hand can make, `kmh-check` says so.
            match (has(Generation::Next), has(Generation::Old)) {
                (_, true) => Some(second),
                (true, false) => Some(first),
                (false, false) => None,
            }
        };
        let under_way = Rotating::ALL.into_iter().map(|name| (name, stage(name)));
        under_way.filter_map(|(name, stage)| Some(Rotation { name, stage: stage? })).collect()
    }
}

/// The machine that a certificate is for.
#[derive(Clone, Copy)]
enum Machine<'a> {
    None,
    Node(&'a Node),
    Router(&'a Router),
}

impl Machine<'_> {
    fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Node(node) => Some(node.name.as_str()),
            Self::Router(router) => Some(router.name.as_str()),
        }
    }

    fn dns_names(&self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Node(node) => node.dns_names().map(ToOwned::to_owned).collect(),
            Self::Router(router) => vec![router.name.to_string()],
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::None => Vec::new(),
            Self::Node(node) => node.all_addresses().collect(),
            Self::Router(router) => router.addresses.clone(),
        }
    }
}

/// Name of the certificate of a class, for a machine or for the cluster.
pub fn name(row: &Row, machine: Option<&str>) -> String {
    match (row.life, row.per, machine) {
        (Life::Authority, ..) => format!("ca/{}", row.stem),
        (_, Per::Router, Some(machine)) => format!("routers/{machine}/{}", row.stem),
        (_, _, Some(machine)) => format!("nodes/{machine}/{}", row.stem),
        (_, _, None) => format!("cluster/{}", row.stem),
    }
}

/// Everything that must exist. That each common name fits (64 characters: RFC 5280, appendix A.1) is the model's word.
pub fn wants(model: &Model) -> Wants {
    let mut certificates = Vec::new();
    for row in TABLE {
        // Without routers there is nothing that the CA of the tunnels would sign.
        if row.class == Class::IpsecCa && model.routers.is_empty() {
            continue;
        }
        if row.class == Class::RootCa && !model.pki.root {
            continue;
        }
        for machine in machines(model, row.per) {
            let wanted = wanted(model, row, machine);
            certificates.push((wanted.name.clone(), Box::new(wanted)));
        }
    }
    let keys = KEYS.iter().flat_map(|row| wanted_keys(model, row));
    Wants {
        certificates: certificates.into_iter().collect(),
        keys: keys.map(|wanted| (wanted.name.clone(), wanted)).collect(),
        leaf: Life::Leaf.duration(&model.pki),
    }
}

fn machines(model: &Model, per: Per) -> Vec<Machine<'_>> {
    match per {
        Per::Cluster => vec![Machine::None],
        Per::Node => model.nodes.values().map(Machine::Node).collect(),
        Per::Role(role) => model.nodes_with(role).map(Machine::Node).collect(),
        Per::Router => model.routers.iter().map(Machine::Router).collect(),
    }
}

fn wanted(model: &Model, row: &Row, machine: Machine<'_>) -> Wanted {
    let own = machine.name().unwrap_or_default();
    let (dns_names, addresses) = names(model, row.names, machine);
    let root = (model.pki.root && table::BELOW_ROOT.contains(&row.class)).then_some(Class::RootCa);
    let lives = if row.class == Class::RootCa { table::ROOT_LIVES } else { 1 };
    Wanted {
        name: name(row, machine.name()),
        class: row.class,
        machine: machine.name().map(ToOwned::to_owned),
        issuer: row.issuer.or(root).map(|class| name(table::row(class), None)),
        common_name: match row.common_name {
            CommonName::Fixed(text) => text.to_owned(),
            CommonName::Node => own.to_owned(),
            CommonName::SystemNode => format!("system:node:{own}"),
            CommonName::Router => ike_identity(own, 1, model.name.as_str()),
        },
        organizations: row.organizations.iter().map(ToString::to_string).collect(),
        dns_names,
        addresses,
        usages: row.usages,
        algorithm: model.pki.algorithm_of(row.class.into()),
        life: row.life,
        lasts: row.life.duration(&model.pki) * lives,
        renew: model.pki.renew_days.map(|days| Duration::days(i64::from(days))),
        deploy: deploy(model, row.places, machine),
    }
}

fn wanted_keys(model: &Model, row: &KeyRow) -> Vec<WantedKey> {
    let each: Vec<String> = match row.each {
        Each::Cluster => vec![String::new()],
        Each::Site if model.bgp.passwords => model.sites.keys().map(ToString::to_string).collect(),
        Each::Tunnel if model.tunnel_auth == TunnelAuth::Psk => {
            model.tunnels.iter().map(kmh_model::Tunnel::name).collect()
        }
        Each::SignedTunnel => {
            let signed = model.tunnels.iter().filter(|tunnel| tunnel.signs_bgp(model));
            signed.map(kmh_model::Tunnel::name).collect()
        }
        Each::Site | Each::Tunnel => Vec::new(),
    };
    let deploy = deploy(model, row.places, Machine::None);
    each.into_iter()
        .map(|each| WantedKey {
            name: row.name.replace("{}", &each),
            class: row.class,
            algorithm: row.material.algorithm(&model.pki),
            deploy: deploy.clone(),
        })
        .collect()
}

fn names(model: &Model, rule: Names, machine: Machine<'_>) -> (Sorted<String>, Sorted<IpAddr>) {
    const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut dns: Vec<String> = Vec::new();
    let mut addresses: Vec<IpAddr> = Vec::new();
    match rule {
        Names::None => {}
        Names::Router => {
            if let Machine::Router(router) = machine {
                dns.extend(router.ike_identities(model.name.as_str()));
            }
        }
        Names::Machine | Names::MachineAndLoopback | Names::Apiserver => {
            dns.extend(machine.dns_names());
            addresses.extend(machine.addresses());
        }
    }
    if matches!(rule, Names::MachineAndLoopback | Names::Apiserver) {
        dns.push("localhost".to_owned());
        addresses.extend(LOOPBACK);
    }
    if rule == Names::Apiserver {
        dns.extend(["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(ToOwned::to_owned));
        dns.push(format!("kubernetes.default.svc.{}", model.domain));
        addresses.extend(model.api_service_addresses());
        if let Some(api) = &model.api {
            match api.host.ip() {
                Some(address) => addresses.push(address),
                None => dns.push(api.host.to_string()),
            }
        }
    }
    (dns.into_iter().collect(), addresses.into_iter().collect())
}

fn deploy(model: &Model, places: &[Place], own: Machine<'_>) -> Vec<Deploy> {
    let mut found = BTreeSet::new();
    for place in places {
        for machine in targets(model, place.on, own) {
            let path = |template: &str| template.replace("{}", machine);
            found.insert(Deploy {
                machine: machine.to_owned(),
                certificate: Some(path(place.certificate)),
                key: place.key.map(path),
            });
        }
    }
    found.into_iter().collect()
}

fn targets<'a>(model: &'a Model, on: On, own: Machine<'a>) -> Vec<&'a str> {
    let routers = |kind: RouterKind| {
        model
            .routers
            .iter()
            .filter(|router| router.kind == kind)
            .map(|router| router.name.as_str())
            .filter(|name| matches!(own, Machine::None) || own.name() == Some(name))
            .collect()
    };
    match on {
        On::Own => match own {
            Machine::None => vec![],
            Machine::Node(node) => vec![node.name.as_str()],
            Machine::Router(router) => vec![router.name.as_str()],
        },
        On::Nodes => model.nodes.keys().map(kmh_doc::Label::as_str).collect(),
        On::Role(role) => model.nodes_with(role).map(|node| node.name.as_str()).collect(),
        On::LinuxRouters => routers(RouterKind::Linux),
        On::Pfsenses => routers(RouterKind::Pfsense),
    }
}
