//! What the bundle asks for, checked: paths that cannot leave a root, octal modes, names that mean nothing to a shell.
//!
//! Everything that is wrong is found before any machine is touched, and said at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kmh_cli::failure::Note;
use kmh_doc::bundle::{Artifact, BundleSpec, File, Machine, MachineKind, OnChange, Segment, Unit};
use kmh_doc::inventory::{Arch, Role, Ssh};

/// Beginning of the names of temporary files; no file of a bundle may have it.
pub const TEMPORARY: &str = ".kmh-push.";

/// A machine and what it should hold.
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: MachineKind,
    /// Its site.
    pub site: Option<String>,
    /// A node's roles, as the inventory names them.
    pub roles: Vec<&'static str>,
    /// What its programs are built for; none where the bundle does not say, as of routers.
    pub arch: Option<Arch>,
    /// Address for SSH when `ssh.host` says none.
    pub address: Option<String>,
    /// How to log in.
    pub ssh: Ssh,
    /// Its files.
    pub files: Vec<WantedFile>,
    /// Its units, in the order in which they are started.
    pub units: Vec<Unit>,
    /// Programs that are listed for it.
    pub artifacts: Vec<Artifact>,
}

/// A file that a machine should hold.
#[derive(Clone, Debug)]
pub struct WantedFile {
    /// Absolute and normalised.
    pub path: String,
    /// `user:group`.
    pub owner: String,
    /// Its permissions.
    pub mode: u32,
    /// Its content, in order.
    pub content: Vec<Segment>,
    /// Units to act on when it changes.
    pub on_change: Vec<OnChange>,
}

impl WantedFile {
    /// Whether any part of it is a secret.
    pub fn is_secret(&self) -> bool {
        self.content.iter().any(|segment| matches!(segment, Segment::Secret { .. }))
    }

    /// The references to secrets in it.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.content.iter().filter_map(|segment| match segment {
            Segment::Secret { secret, .. } => Some(secret.as_str()),
            Segment::Text { .. } => None,
        })
    }
}

impl Wanted {
    /// Address for SSH.
    pub fn host(&self) -> Option<&str> {
        self.ssh.host.as_ref().map(kmh_doc::HostName::as_str).or(self.address.as_deref())
    }

    /// The folders of its files and programs, sorted, each once.
    pub fn folders(&self) -> BTreeSet<&str> {
        let programs = self.artifacts.iter().map(|artifact| artifact.path.as_str());
        self.files.iter().map(|file| file.path.as_str()).chain(programs).map(folder).collect()
    }
}

/// The folder that an absolute path is in.
pub fn folder(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

/// Takes the bundle apart; adds to `notes` what is wrong with it.
pub fn machines(bundle: BundleSpec, notes: &mut Vec<Note>) -> Vec<Wanted> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (index, machine) in bundle.machines.into_iter().enumerate() {
        let at = format!("spec.machines[{index}]");
        if let Some(why) = bad_name(&machine.name) {
            notes.push(note(format!("machine `{}` {why}", machine.name), &at, None));
        }
        if !names.insert(machine.name.clone()) {
            notes.push(note(format!("machine `{}` is there twice", machine.name), &at, None));
        }
        all.push(one(machine, &at, notes));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn one(machine: Machine, at: &str, notes: &mut Vec<Note>) -> Wanted {
    let name = machine.name;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut files = Vec::with_capacity(machine.files.len());
    for (index, file) in machine.files.into_iter().enumerate() {
        let at = format!("{at}.files[{index}]");
        if seen.insert(file.path.clone(), index).is_some() {
            notes.push(note(format!("`{name}` has `{}` twice", file.path), &at, None));
        }
        files.push(one_file(&name, file, &at, notes));
    }
    for (index, artifact) in machine.artifacts.iter().enumerate() {
        let at = format!("{at}.artifacts[{index}]");
        let path = kmh_cli::text::printable(&artifact.path);
        if let Some(why) = bad_path(&artifact.path) {
            notes.push(note(format!("path `{path}` of a program of `{name}` {why}"), &at, None));
        }
        if seen.insert(artifact.path.clone(), index).is_some() {
            notes.push(note(format!("`{name}` has `{path}` twice, once as a program"), &at, None));
        }
    }
    for path in seen.keys() {
        let mut above = folder(path);
        while above != "/" {
            if let Some(index) = seen.get(above) {
                let message = format!("`{name}` has `{above}` both as a file and as the folder of `{path}`");
                notes.push(note(message, &format!("{at}.files[{index}]"), None));
            }
            above = folder(above);
        }
    }
    for (index, unit) in machine.units.iter().enumerate() {
        let at = format!("{at}.units[{index}]");
        unit_name(&name, &unit.name, &at, notes);
        if !unit.ready.iter().all(|word| is_plain(word)) {
            let unit = kmh_cli::text::printable(&unit.name);
            let what =
                format!("the command that asks whether `{unit}` on `{name}` serves is not of plain words");
            notes.push(note(what, &at, Some("words are of letters, digits and ._@:,=%/[]-")));
        }
    }
    for (index, artifact) in machine.artifacts.iter().enumerate() {
        if let Some(arch) = machine.arch.filter(|arch| *arch != artifact.arch) {
            let (program, built, arch) =
                (kmh_cli::text::printable(&artifact.name), artifact.arch.as_str(), arch.as_str());
            notes.push(note(
                format!("program `{program}` of `{name}` is built for {built}, the machine is {arch}"),
                &format!("{at}.artifacts[{index}]"),
                Some("render the bundle again: kmh-render takes the architecture from the inventory"),
            ));
        }
    }
    Wanted {
        kind: machine.kind,
        site: machine.site,
        roles: machine.roles.into_iter().map(role).collect(),
        arch: machine.arch,
        address: machine.address,
        ssh: machine.ssh,
        files,
        units: machine.units,
        artifacts: machine.artifacts,
        name,
    }
}

fn one_file(machine: &str, file: File, at: &str, notes: &mut Vec<Note>) -> WantedFile {
    let what = format!("`{}` on `{machine}`", kmh_cli::text::printable(&file.path));
    if let Some(why) = bad_path(&file.path) {
        let hint = "paths are absolute and normalised, of letters, digits and ._@:+,=%~-";
        notes.push(note(format!("path {what} {why}"), at, Some(hint)));
    }
    let mode = octal(&file.mode).unwrap_or_else(|| {
        notes.push(note(
            format!("mode `{}` of {what} is no octal number of four digits", file.mode),
            at,
            None,
        ));
        0
    });
    let secret = file.content.iter().any(|segment| matches!(segment, Segment::Secret { .. }));
    if secret && mode & 0o007 != 0 {
        let message = format!("mode `{}` of {what} lets everybody at the secret in it", file.mode);
        notes.push(note(message, at, Some("give it `0600` or `0640`")));
    }
    if !good_owner(&file.owner) {
        notes.push(note(
            format!("owner `{}` of {what} is not of the form `user:group`", file.owner),
            at,
            None,
        ));
    }
    for change in &file.on_change {
        unit_name(machine, &change.unit, at, notes);
    }
    for segment in &file.content {
        if let Segment::Secret { secret, .. } = segment
            && let Some(why) = bad_reference(secret)
        {
            notes.push(note(format!("reference `{secret}` in {what} {why}"), at, None));
        }
    }
    WantedFile { path: file.path, owner: file.owner, mode, content: file.content, on_change: file.on_change }
}

fn unit_name(machine: &str, unit: &str, at: &str, notes: &mut Vec<Note>) {
    let good = |c: char| c.is_ascii_alphanumeric() || ":_.@-".contains(c);
    if unit.is_empty() || unit.starts_with(['-', '.']) || !unit.chars().all(good) {
        let unit = kmh_cli::text::printable(unit);
        notes.push(note(format!("`{unit}` on `{machine}` is no name of a unit"), at, None));
    }
}

/// Whether a word means nothing to a shell that expands no patterns.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._@:,=%/[]-".contains(c))
}

/// Why a text is no name of a machine: it becomes a folder.
fn bad_name(name: &str) -> Option<&'static str> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let right = !name.is_empty()
        && name.len() <= 63
        && name.chars().all(good)
        && !name.starts_with('-')
        && !name.ends_with('-');
    (!right).then_some("is no RFC 1123 label")
}

/// Why a text is no path of a file; shells, `stat` and `sha256sum` give those that pass back unchanged.
pub fn bad_path(path: &str) -> Option<&'static str> {
    let Some(rest) = path.strip_prefix('/') else { return Some("is not absolute") };
    if path.len() > 1000 {
        return Some("is longer than 1000 octets");
    }
    if !rest.chars().all(|c| c.is_ascii_alphanumeric() || "/._@:+,=%~-".contains(c)) {
        return Some("holds a character that paths may not hold");
    }
    rest.split('/').find_map(|part| match part {
        "" | "." | ".." => Some("is not normalised"),
        part if part.len() > 200 => Some("has a part longer than 200 octets"),
        part if part.starts_with(TEMPORARY) => Some("has a name that kmh-push keeps for itself"),
        _ => None,
    })
}

/// What no machine ever gets, whatever a bundle says: who holds one of these owns the cluster.
const STAYS_HOME: [&str; 2] = ["ca/", "cluster/break-glass-admin."];

/// Why a text is no reference to a secret of the store that a machine may have: it must not lead out of the store.
fn bad_reference(reference: &str) -> Option<&'static str> {
    match bad_path(&format!("/{reference}")) {
        Some("is not normalised") => Some("is not normalised, or leads out of the store"),
        Some(why) => Some(why),
        None if STAYS_HOME.iter().any(|home| reference.starts_with(home)) => {
            Some("never leaves the store: no machine needs it")
        }
        None if Path::new(reference).extension().is_none_or(|ending| ending != "key") => Some("names no key"),
        None => None,
    }
}

fn good_owner(owner: &str) -> bool {
    let name = |name: &str| {
        let mut chars = name.chars();
        name.len() <= 32
            && chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
    };
    owner.split_once(':').is_some_and(|(user, group)| name(user) && name(group))
}

/// Four octal digits.
pub fn octal(mode: &str) -> Option<u32> {
    let right = mode.len() == 4 && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    right.then(|| u32::from_str_radix(mode, 8).ok()).flatten()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => "control-plane",
        Role::Etcd => "etcd",
        Role::Worker => "worker",
    }
}

/// One problem.
pub fn note(message: String, at: &str, hint: Option<&str>) -> Note {
    Note {
        warning: false,
        message,
        at: if at.is_empty() { Vec::new() } else { vec![at.to_owned()] },
        causes: Vec::new(),
        hints: hint.map(str::to_owned).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_lead_elsewhere_are_refused() {
        for (path, why) in [
            ("etc/x", "absolute"),
            ("/", "normalised"),
            ("/etc/../x", "normalised"),
            ("/etc//x", "normalised"),
            ("/etc/./x", "normalised"),
            ("/etc/x/", "normalised"),
            ("/etc/a b", "character"),
            ("/etc/a\nb", "character"),
            ("/etc/$(id)", "character"),
            ("/etc/*", "character"),
            ("/etc/.kmh-push.1", "keeps for itself"),
        ] {
            let said = bad_path(path);
            assert!(said.is_some_and(|said| said.contains(why)), "{path}: {said:?}");
        }
        assert_eq!(bad_path("/etc/systemd/system/kubelet.service.d/10-kmh.conf"), None);
    }

    #[test]
    fn references_stay_in_the_store() {
        assert_eq!(bad_reference("nodes/pi-1/kubelet-client.key"), None);
        for (reference, why) in [
            ("ca/cluster.key", "never leaves"),
            ("cluster/break-glass-admin.key", "never leaves"),
            ("store.json", "names no key"),
            ("nodes/pi-1/kubelet-client.crt", "names no key"),
        ] {
            let said = bad_reference(reference);
            assert!(said.is_some_and(|said| said.contains(why)), "{reference}: {said:?}");
        }
        for reference in ["/etc/shadow", "../x", "a/../../x", ""] {
            let said = bad_reference(reference);
            assert!(
                said.is_some_and(|said| said.contains("leads out of the store")),
                "{reference}: {said:?}"
            );
        }
    }

    #[test]
    fn modes_and_owners() {
        assert_eq!(octal("0640"), Some(0o640));
        for mode in ["640", "0x1f", "0888", "+644", "00644", ""] {
            assert_eq!(octal(mode), None, "{mode}");
        }
        assert!(good_owner("root:root") && good_owner("_frr:frr-vty"));
        for owner in ["root", "root:", ":root", "0:0", "root:root:root", "-R:root", "a b:c"] {
            assert!(!good_owner(owner), "{owner}");
        }
    }

    #[test]
    fn folders() {
        assert_eq!((folder("/a"), folder("/a/b"), folder("/a/b/c")), ("/", "/a", "/a/b"));
    }
}
