//! Who must trust whom, written down by hand and not read from the table that issues: the tests compare the two.
//!
//! A handshake decides by CA, use, name and date. Beyond the pairs of the graph it lets in whoever has a client's
//! certificate of the CA that is asked for, a kubelet at another kubelet; what they may do there is authorization's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kmh_doc::pki::{Class, PkiSpec};

use crate::common::Place;

/// Three members of etcd, two workers, two routers: every pair has two ends on two machines.
pub(crate) const HOUSE: &str = "\
kind: kmh.inventory/v1
spec:
  cluster:
    name: house
    pod_cidrs: [10.200.0.0/16, 'fd00:200::/48']
    service_cidrs: [10.201.0.0/16, 'fd00:201::/112']
    api: {host: k8s.example.net}
  sites:
    - name: here
      network: [10.10.0.0/24, 'fd00:10::/64']
      gateway: [10.10.0.254, 'fd00:10::fe']
      pod_cidrs: [10.200.0.0/18, 'fd00:200::/56']
      routers:
        - {name: gw, id: 1, kind: linux, asn: 65010, address: [10.10.0.1, 'fd00:10::1']}
        - {name: gw-2, id: 2, kind: linux, asn: 65010, address: [10.10.0.2, 'fd00:10::2']}
  nodes:
    - {name: cp-1, site: here, address: [10.10.0.11, 'fd00:10::11'], roles: [control-plane, etcd], names: [cp-1.vpn.example.net, 100.64.0.11, '2001:db8::11']}
    - {name: cp-2, site: here, address: [10.10.0.12, 'fd00:10::12'], roles: [control-plane, etcd]}
    - {name: cp-3, site: here, address: [10.10.0.13, 'fd00:10::13'], roles: [control-plane, etcd]}
    - {name: w-1, site: here, address: [10.10.0.21, 'fd00:10::21']}
    - {name: w-2, site: here, address: [10.10.0.22, 'fd00:10::22']}
";

/// The CAs, each with its class and the name of its rotation.
pub(crate) const CAS: [(&str, Class); 4] = [
    ("cluster", Class::ClusterCa),
    ("etcd", Class::EtcdCa),
    ("front-proxy", Class::FrontProxyCa),
    ("ipsec", Class::IpsecCa),
];

/// A kind of leaf.
pub(crate) struct Leaf {
    pub(crate) stem: &'static str,
    pub(crate) ca: &'static str,
    serves: bool,
    dials: bool,
}

const fn leaf(stem: &'static str, ca: &'static str, serves: bool, dials: bool) -> Leaf {
    Leaf { stem, ca, serves, dials }
}

pub(crate) const LEAVES: [Leaf; 17] = [
    leaf("apiserver", "cluster", true, false),
    leaf("apiserver-kubelet-client", "cluster", false, true),
    leaf("apiserver-etcd-client", "etcd", false, true),
    leaf("front-proxy-client", "front-proxy", false, true),
    leaf("controller-manager", "cluster", false, true),
    leaf("controller-manager-serving", "cluster", true, false),
    leaf("scheduler", "cluster", false, true),
    leaf("scheduler-serving", "cluster", true, false),
    leaf("admin", "cluster", false, true),
    leaf("break-glass-admin", "cluster", false, true),
    leaf("etcd-server", "etcd", true, true),
    leaf("etcd-peer", "etcd", true, true),
    leaf("etcd-healthcheck-client", "etcd", false, true),
    leaf("kubelet-client", "cluster", false, true),
    leaf("kubelet-serving", "cluster", true, false),
    leaf("kube-proxy", "cluster", false, true),
    leaf("ipsec", "ipsec", true, true),
];

impl Leaf {
    fn of(stem: &str) -> &'static Self {
        LEAVES.iter().find(|leaf| leaf.stem == stem).unwrap()
    }

    /// Its file in the store, without ending: what is dialed is on the first machine, who dials on the second.
    fn file(&self, serving: bool) -> String {
        let at = |first: &str, second: &str| if serving { first.to_owned() } else { second.to_owned() };
        match self.stem {
            "break-glass-admin" => "cluster/break-glass-admin".to_owned(),
            "ipsec" => format!("routers/{}/ipsec", at("gw", "gw-2")),
            "kubelet-client" | "kubelet-serving" | "kube-proxy" => {
                format!("nodes/{}/{}", at("w-1", "w-2"), self.stem)
            }
            stem => format!("nodes/{}/{stem}", at("cp-1", "cp-2")),
        }
    }

    /// Whether it answers by that name. What serves on one machine has that machine's addresses in common.
    fn holds(&self, name: &str) -> bool {
        match name {
            "kubernetes" => self.stem == "apiserver",
            "10.10.0.21" => self.stem == "kubelet-serving",
            "gw.house.ipsec.internal" => self.stem == "ipsec",
            _ => !["kubelet-serving", "ipsec"].contains(&self.stem),
        }
    }
}

/// What is dialed: the certificate that it shows, the CA that it asks clients for, the name by which it is dialed, and
/// who dials it.
pub(crate) struct Service {
    pub(crate) what: &'static str,
    pub(crate) shows: &'static str,
    pub(crate) asks: &'static str,
    name: &'static str,
    from: &'static [&'static str],
}

const fn service(
    what: &'static str,
    shows: &'static str,
    asks: &'static str,
    name: &'static str,
    from: &'static [&'static str],
) -> Service {
    Service { what, shows, asks, name, from }
}

pub(crate) const SERVICES: [Service; 8] = [
    service(
        "API server",
        "apiserver",
        "cluster",
        "kubernetes",
        &["kubelet-client", "kube-proxy", "controller-manager", "scheduler", "admin", "break-glass-admin"],
    ),
    // Who is let in by --requestheader-client-ca-file may say in a header who is asking: that is no client's right.
    service("API aggregation", "apiserver", "front-proxy", "kubernetes", &["front-proxy-client"]),
    service("kubelet", "kubelet-serving", "cluster", "10.10.0.21", &["apiserver-kubelet-client"]),
    service("controller manager", "controller-manager-serving", "cluster", "10.10.0.11", &["admin"]),
    service("scheduler", "scheduler-serving", "cluster", "fd00:10::11", &["admin"]),
    service(
        "etcd",
        "etcd-server",
        "etcd",
        "10.10.0.11",
        &["apiserver-etcd-client", "etcd-healthcheck-client", "etcd-server"],
    ),
    service("etcd peer", "etcd-peer", "etcd", "fd00:10::11", &["etcd-peer"]),
    // IKE, not TLS: what strongSwan asks of a chain is the same.
    service("tunnel", "ipsec", "ipsec", "gw.house.ipsec.internal", &["ipsec"]),
];

/// The stages of a rotation: which generation signed the leaves, and which are trusted.
pub(crate) const STAGES: [(&str, u8, &[u8]); 4] =
    [("before", 0, &[0]), ("trust", 0, &[0, 1]), ("issue", 1, &[0, 1]), ("after", 1, &[1])];

/// One end of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    /// Folder with the store of that stage.
    pub(crate) folder: PathBuf,
    /// Its certificate and key there, without ending; empty when it has none.
    pub(crate) file: String,
    /// The bundle there by which it judges the other end.
    pub(crate) trusts: &'static str,
}

/// A handshake, and how it must end: `fine`, or who refuses, and why. Where a certificate has two faults, either is
/// a reason.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) what: &'static str,
    pub(crate) server: End,
    pub(crate) client: End,
    pub(crate) name: String,
    pub(crate) wanted: Vec<String>,
    /// Whether the trust graph has this pair.
    pub(crate) link: bool,
}

impl Job {
    pub(crate) fn is_fine(&self) -> bool {
        self.wanted == ["fine"]
    }

    /// Whether both ends have what is in that folder.
    pub(crate) fn both_at(&self, folder: &Path) -> bool {
        self.server.folder == folder && self.client.folder == folder
    }
}

/// A rotation, stage by stage, as the program does it: a copy of the store for each, with the bundles that are deployed.
pub(crate) struct Rotation {
    pub(crate) place: Place,
    pub(crate) rotated: &'static str,
}

impl Rotation {
    pub(crate) fn of(rotated: &'static str) -> Self {
        Self::with(rotated, "")
    }

    /// The same with that block in the inventory.
    pub(crate) fn with(rotated: &'static str, block: &str) -> Self {
        let inventory = format!("{HOUSE}{block}");
        let rotation = Self { place: Place::with_store(&inventory), rotated };
        rotation.keep(0, &inventory);
        for stage in 1..STAGES.len() {
            let deployed = if stage == 1 { &[][..] } else { &["--deployed"] };
            let args = [&["rotate", rotated], deployed, &["--store", "store", "-o", "json"]].concat();
            rotation.place.pki(&args, &inventory).exits(0);
            rotation.place.pki(&["--store", "store"], &inventory).exits(0);
            rotation.keep(stage, &inventory);
        }
        rotation
    }

    pub(crate) fn folder(&self, stage: usize) -> PathBuf {
        self.place.path().join(STAGES[stage].0)
    }

    fn keep(&self, stage: usize, inventory: &str) {
        let folder = self.folder(stage);
        self.place.sh(&format!("cp -r store {}", folder.display()), "").exits(0);
        bundles(&self.place, inventory, &folder);
    }

    /// All pairs with the server at one stage and the client at another.
    pub(crate) fn jobs(&self, server: usize, client: usize) -> Vec<Job> {
        let all = SERVICES.iter().flat_map(|service| {
            let right = Leaf::of(service.shows);
            let first = Leaf::of(service.from[0]);
            // Everybody knocks, and everybody poses.
            let knocks = LEAVES.iter().map(move |dialer| (right, dialer));
            let poses = LEAVES.iter().filter(|leaf| leaf.stem != right.stem).map(move |leaf| (leaf, first));
            knocks.chain(poses).map(move |(shown, dialer)| (service, shown, dialer))
        });
        all.map(|(service, shown, dialer)| self.job(service, (shown, server), (dialer, client))).collect()
    }

    fn job(&self, service: &'static Service, shown: (&Leaf, usize), dialer: (&Leaf, usize)) -> Job {
        let trusts = Leaf::of(service.shows).ca;
        let end = |(leaf, stage): (&Leaf, usize), serving, trusts| End {
            folder: self.folder(stage),
            file: leaf.file(serving),
            trusts,
        };
        let refused = |who: &str, serving: bool, (leaf, stage): (&Leaf, usize), ca: &str, judge: usize| {
            let mut why = Vec::new();
            if !(if serving { leaf.serves } else { leaf.dials }) {
                why.push(format!("{who}: purpose"));
            }
            let trusted = leaf.ca != self.rotated || STAGES[judge].2.contains(&STAGES[stage].1);
            if leaf.ca != ca || !trusted {
                why.push(format!("{who}: issuer"));
            }
            if why.is_empty() && serving && !leaf.holds(service.name) {
                why.push(format!("{who}: name"));
            }
            why
        };
        let mut wanted = refused("client", true, shown, trusts, dialer.1);
        if wanted.is_empty() {
            wanted = refused("server", false, dialer, service.asks, shown.1);
        }
        if wanted.is_empty() {
            wanted = vec!["fine".to_owned()];
        }
        Job {
            what: service.what,
            server: end(shown, true, service.asks),
            client: end(dialer, false, trusts),
            name: service.name.to_owned(),
            wanted,
            link: shown.0.stem == service.shows && service.from.contains(&dialer.0.stem),
        }
    }

    /// The whole matrix at each stage, and while machines go from one to another, every pair of the graph with its ends
    /// at any two.
    pub(crate) fn matrix(&self) -> Vec<Job> {
        let stages = 0..STAGES.len();
        let ends = stages.clone().flat_map(|server| stages.clone().map(move |client| (server, client)));
        ends.flat_map(|(server, client)| {
            let jobs = self.jobs(server, client);
            jobs.into_iter().filter(move |job| server == client || job.link)
        })
        .collect()
    }
}

/// Writes the bundle of each CA as it is deployed.
pub(crate) fn bundles(place: &Place, inventory: &str, folder: &Path) {
    let spec: PkiSpec = serde_json::from_value(place.document(inventory)["spec"].clone()).unwrap();
    for (name, class) in CAS {
        std::fs::write(folder.join(format!("{name}.bundle")), spec.bundle(class)).unwrap();
    }
}

/// One handshake of each kind: service, outcome, stages. Pairs of the graph are all kept.
pub(crate) fn thin(jobs: Vec<Job>) -> Vec<Job> {
    let mut seen = BTreeSet::new();
    let kind = |job: &Job| {
        let dialer = job.link.then(|| job.client.file.clone());
        let folders = (job.server.folder.clone(), job.client.folder.clone());
        (job.what, job.wanted.clone(), dialer, folders)
    };
    jobs.into_iter().filter(|job| seen.insert(kind(job))).collect()
}
