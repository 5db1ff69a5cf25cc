//! Which file of a folder is which: the paths of a layout, whatever part of a machine the folder is.

use std::collections::{BTreeMap, BTreeSet};

use kmh_cli::Failure;
use kmh_doc::inventory::Role;
use kmh_model::Model;

use super::source::Source;
use crate::cert::Certificate;
use crate::layout::Layout;
use crate::pem::{self, Label};

/// A machine's files, or those that all machines share.
pub(super) struct View<'a> {
    /// The machine; none in the flat folder of the guides, which is for all.
    pub(super) machine: Option<String>,
    /// Where they were read.
    pub(super) source: &'a Source,
    /// Path in the layout, and in the source.
    pub(super) files: BTreeMap<String, &'a str>,
}

impl View<'_> {
    /// The content of a file, and its name for people.
    pub(super) fn file(&self, path: &str) -> Option<(&[u8], String)> {
        let own = self.files.get(path)?;
        let bytes = self.source.files.get(*own)?;
        Some((bytes, self.source.path.join(own).display().to_string()))
    }
}

/// What only one of the layouts has.
const MARKS: [(Layout, &[&str]); 2] = [
    (Layout::Kubeadm, &["apiserver.crt", "sa.key", "sa.pub", "etcd/ca.crt"]),
    (
        Layout::HardWay,
        &["kube-apiserver.crt", "kube-api-server.crt", "service-account.key", "service-accounts.key"],
    ),
];

/// The layout that folders have.
pub(super) fn detect(sources: &[Source]) -> Result<Layout, Failure> {
    let paths = || sources.iter().flat_map(|source| source.files.keys());
    let has = |mark: &str| paths().any(|path| path == mark || path.ends_with(&format!("/{mark}")));
    let found: Vec<Layout> = MARKS
        .iter()
        .filter(|(_, marks)| marks.iter().any(|mark| has(mark)))
        .map(|(layout, _)| *layout)
        .collect();
    match found[..] {
        [layout] => Ok(layout),
        [] => Err(Failure::wrong("no file of a PKI that kmh knows is in the folder")
            .hint("name the folder that holds `ca.crt`; `--layout` says which names are in it")),
        _ => Err(Failure::wrong("files of two layouts are in the folder")
            .hint("choose with `--layout kubeadm` or `--layout hard-way`")),
    }
}

/// Divides folders by machine.
pub(super) fn views<'a>(
    sources: &'a [Source],
    layout: Layout,
    model: &Model,
) -> Result<Vec<View<'a>>, Failure> {
    let known: BTreeSet<&str> = model
        .nodes
        .keys()
        .map(kmh_doc::Label::as_str)
        .chain(model.routers.iter().map(|router| router.name.as_str()))
        .collect();
    let mut views = Vec::new();
    let mut failures = Vec::new();
    for source in sources {
        let mut parts: BTreeMap<Option<&str>, Vec<(&str, &str)>> = BTreeMap::new();
        for path in source.files.keys() {
            let machine = match (&source.machine, path.split_once('/')) {
                (None, Some((first, rest))) if known.contains(first) => Some((first, rest)),
                _ => None,
            };
            match machine {
                Some((machine, rest)) => parts.entry(Some(machine)).or_default().push((rest, path)),
                None => parts.entry(None).or_default().push((path, path)),
            }
        }
        // Beside folders of machines lies nothing of another.
        let divided = parts.keys().any(Option::is_some);
        for (machine, files) in parts.into_iter().filter(|(machine, _)| machine.is_some() || !divided) {
            let machine = machine.map(ToOwned::to_owned).or_else(|| source.machine.clone());
            let mut view = View { machine, source, files: canonical(layout, files) };
            if view.machine.is_none() && layout == Layout::Kubeadm {
                match owner(&view, model) {
                    Ok(machine) => view.machine = Some(machine),
                    Err(failure) => failures.push(failure),
                }
            }
            views.push(view);
        }
    }
    failures.extend(twice(&views));
    Failure::all(failures).map_or(Ok(views), Err)
}

/// One machine in two folders: which of its files are meant nobody knows.
fn twice(views: &[View<'_>]) -> Option<Failure> {
    let mut seen: BTreeMap<&str, &Source> = BTreeMap::new();
    let failures = views.iter().filter_map(|view| {
        let machine = view.machine.as_deref()?;
        let first = seen.insert(machine, view.source)?;
        Some(
            Failure::wrong(format!("two folders are of machine `{machine}`"))
                .at(first.path.display().to_string())
                .at(view.source.path.display().to_string())
                .hint("name one folder for each machine: its root, or a copy of it, has all that is read"),
        )
    });
    Failure::all(failures)
}

/// Paths as the layout has them.
fn canonical<'a>(layout: Layout, files: Vec<(&'a str, &'a str)>) -> BTreeMap<String, &'a str> {
    if layout == Layout::HardWay {
        let mut flat = BTreeMap::new();
        let mut files = files;
        // Where a name comes twice, the one that lies higher is meant.
        files.sort_by_key(|(path, _)| std::cmp::Reverse(path.matches('/').count()));
        flat.extend(
            files.into_iter().map(|(path, own)| (path.rsplit('/').next().unwrap_or(path).to_owned(), own)),
        );
        return flat;
    }
    let begins =
        |beginnings: &[&str]| files.iter().any(|(path, _)| beginnings.iter().any(|b| path.starts_with(b)));
    let above = if begins(&["etc/", "usr/", "var/"]) {
        ""
    } else if begins(&["pki/"]) {
        "etc/kubernetes/"
    } else {
        "etc/kubernetes/pki/"
    };
    files.into_iter().map(|(path, own)| (format!("{above}{path}"), own)).collect()
}

/// The machine that a folder of kubeadm is of: the only one of the control plane, or what its certificates say.
fn owner(view: &View<'_>, model: &Model) -> Result<String, Failure> {
    let leaders: Vec<&str> = model.nodes_with(Role::ControlPlane).map(|node| node.name.as_str()).collect();
    if let [only] = leaders[..] {
        return Ok(only.to_owned());
    }
    let mut named = BTreeSet::new();
    for path in ["etc/kubernetes/pki/apiserver.crt", "etc/kubernetes/pki/etcd/server.crt"] {
        let Some((bytes, _)) = view.file(path) else { continue };
        let Some(read) =
            certificates(bytes).ok().and_then(|mut all| (!all.is_empty()).then(|| all.remove(0)))
        else {
            continue;
        };
        named.extend(
            leaders
                .iter()
                .filter(|name| read.common_name == **name || read.dns_names.iter().any(|own| own == **name)),
        );
    }
    let named: Vec<&&str> = named.into_iter().collect();
    match named[..] {
        [only] => Ok((*only).to_owned()),
        _ => Err(Failure::wrong(format!("which machine is folder `{}` of?", view.source.path.display()))
            .because(if named.is_empty() {
                "no certificate in it names a node of the inventory"
            } else {
                "its certificates name several nodes of the inventory"
            })
            .hint(format!(
                "say so: `--from NODE={}`; the nodes are {}",
                view.source.path.display(),
                leaders.join(", ")
            ))),
    }
}

/// The certificates of a PEM file.
pub(super) fn certificates(file: &[u8]) -> Result<Vec<Certificate>, &'static str> {
    let blocks = pem::blocks(file)?;
    let of = blocks.iter().filter(|block| block.label == Label::Certificate);
    of.map(|block| Certificate::from_der(&block.der)).collect()
}
