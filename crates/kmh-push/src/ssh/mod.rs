//! SSH targets: the same few things as for a folder, each as one remote command.

mod exec;
mod feed;
mod known_hosts;
mod session;

use std::collections::BTreeMap;
use std::time::Duration;

use kmh_doc::bundle::{MachineKind, Unit};
use kmh_doc::push::UnitStep;

pub(crate) use known_hosts::KnownHosts;
pub(crate) use session::Setup;

use crate::body::Body;
use crate::plan::{Found, Owners, Rules, Seen, Step};
use crate::target::{Acted, SHOWN, Set, Target, Trouble, Written, nonce};
use crate::turns::Down;
use feed::{Feed, Piece};
use kmh_store::content::{hex, unhex};
use kmh_store::wanted::{Wanted, WantedFile, octal};
use session::{Address, Login};

/// How long a machine may say nothing while it looks and writes.
const IDLE: Duration = Duration::from_secs(60);
/// The same while it adds up programs: half a gigabyte, from the card of a Raspberry Pi.
const READING: Duration = Duration::from_secs(180);
/// The same while units start: systemd's own limit is 90 s each.
const STARTING: Duration = Duration::from_secs(300);
/// So many seconds a unit that was not restarted may say that it does not serve, before it is believed: a member that loses
/// its leader finds another sooner.
const HANGS: u16 = 10;
/// So many octets a slow card writes and adds up in a second, while nothing is said.
const SLOW: u64 = 2 << 20;

/// A machine behind SSH.
pub(crate) struct SshTarget<'a> {
    setup: &'a Setup,
    machine: &'a Wanted,
    /// Put before every path; empty for the real root.
    root: String,
    /// How many seconds a unit may take until it serves.
    patience: u16,
    login: Option<Login>,
}

impl<'a> SshTarget<'a> {
    /// Not connected yet.
    pub(crate) fn new(setup: &'a Setup, machine: &'a Wanted, root: String, patience: u16) -> Self {
        Self { setup, machine, root, patience, login: None }
    }

    fn log_in(&self) -> Result<Login, Trouble> {
        let ssh = &self.machine.ssh;
        let address = Address {
            host: self.machine.host().ok_or_else(|| Trouble::failed("it has no address"))?,
            port: ssh.port.unwrap_or(22),
            user: ssh.user.as_ref().map_or("root", AsRef::as_ref),
            pins: ssh.host_keys.iter().map(AsRef::as_ref).collect(),
            identity: ssh.identity.as_ref().map(AsRef::as_ref),
        };
        session::login(self.setup, &address)
    }

    fn run(&mut self, request: &str, idle: Duration) -> exec::Output {
        self.send(&[Piece::Bytes(request.as_bytes())], idle, &|_, _| {})
    }

    fn send(&mut self, request: &[Piece<'_>], idle: Duration, tell: &dyn Fn(u64, u64)) -> exec::Output {
        let trouble = |trouble| exec::Output { lines: vec![], trouble: Some(trouble) };
        let nonce = match nonce() {
            Ok(nonce) => nonce,
            Err(error) => return trouble(error),
        };
        if self.login.is_none() {
            match self.log_in() {
                Ok(login) => self.login = Some(login),
                Err(error) => return trouble(error),
            }
        }
        let Some(login) = &self.login else { return trouble(Trouble::failed("no login")) };
        let head = exec::head(&nonce);
        let mut pieces = vec![Piece::Bytes(head.as_bytes())];
        pieces.extend(request);
        let mut feed = Feed::new(&pieces);
        let output = exec::run(login, self.machine.ssh.r#become, &nonce, &mut feed, idle, tell);
        if output.trouble.is_some() {
            // After a failure nothing is known of the connection's state.
            self.login = None;
        }
        output
    }

    /// Where steps are remembered until they are done; one file a machine of the bundle, for `cluster` shares a host.
    fn pending(&self) -> Option<String> {
        self.rules().units.then(|| format!("/var/lib/kmh/push/{}.pending", self.machine.name))
    }

    fn request<'b>(&self, folders: impl IntoIterator<Item = &'b str>) -> String {
        let mut request = format!("root {}\nmachine {}\n", self.root, self.machine.name);
        for folder in folders {
            line(&mut request, &["folder", folder]);
        }
        if let Some(pending) = self.pending() {
            line(&mut request, &["pending", &pending]);
        }
        request
    }
}

fn line(request: &mut String, words: &[&str]) {
    request.push_str(&words.join(" "));
    request.push('\n');
}

fn verb(action: UnitStep) -> &'static str {
    match action {
        UnitStep::DaemonReload => "daemon-reload",
        UnitStep::Enable => "enable",
        UnitStep::Reload => "reload",
        UnitStep::Restart => "restart",
    }
}

fn step(text: &str) -> Option<Step> {
    let (word, unit) = text.split_once(' ')?;
    let action = [UnitStep::DaemonReload, UnitStep::Enable, UnitStep::Reload, UnitStep::Restart]
        .into_iter()
        .find(|action| verb(*action) == word)?;
    Some(Step { unit: unit.to_owned(), action })
}

fn todo(request: &mut String, steps: &[Step]) {
    for step in steps {
        line(request, &["todo", verb(step.action), &step.unit]);
    }
}

fn questions(request: &mut String, units: &[&Unit]) {
    for unit in units {
        let ready = unit.ready.iter().map(String::as_str);
        line(request, &["serves", &unit.name].into_iter().chain(ready).collect::<Vec<_>>());
    }
}

/// Reads which units do not serve.
fn silent(lines: &[String]) -> Down {
    let words = |text: &str| kmh_cli::text::printable(text.trim()).chars().take(200).collect::<String>();
    let down = lines.iter().filter_map(|line| line.strip_prefix("silent "));
    down.map(|line| {
        let (unit, said) = line.split_once(' ').unwrap_or((line, ""));
        (unit.to_owned(), Some(words(said)).filter(|said| !said.is_empty()))
    })
    .collect()
}

/// Reads the lines that say what stands at each path.
fn files(lines: &[String]) -> BTreeMap<String, Found> {
    let mut sums = BTreeMap::new();
    let mut found = BTreeMap::new();
    for line in lines {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("missing"), Some(path), None, _) => drop(found.insert(path.to_owned(), Found::Missing)),
            (Some("folder"), Some(path), None, _) => drop(found.insert(path.to_owned(), Found::Folder)),
            (Some("link"), Some(path), None, _) => drop(found.insert(path.to_owned(), Found::Link)),
            (Some("other"), Some(path), None, _) => drop(found.insert(path.to_owned(), Found::Other)),
            (Some("sum"), Some(sum), Some(path), None) => drop(sums.insert(path.to_owned(), unhex(sum))),
            // The mode with its type in front: 100644.
            (Some("mode"), Some(mode), Some(owner), Some(path)) if mode.len() >= 4 => {
                if let Some(mode) = octal(&mode[mode.len() - 4..]) {
                    // A file that cannot be read has no sum: whatever it holds, it is replaced.
                    let sum = sums.get(path).copied().flatten().unwrap_or([0; 32]);
                    found.insert(path.to_owned(), Found::File { sum, mode, owner: Some(owner.to_owned()) });
                }
            }
            _ => {}
        }
    }
    found
}

/// Reads what was seen on a machine; `units` are those that were asked for, in order.
fn seen(lines: &[String], units: &[&str]) -> Seen {
    let mut seen = Seen { files: files(lines), ..Seen::default() };
    // systemctl answers in the order of its arguments; its own name for a unit may be another (an alias).
    let mut units = units.iter();
    let mut unit = None;
    for line in lines {
        match line.split_once(' ') {
            Some(("uid", uid)) => seen.root = uid == "0",
            Some(("systemd", _)) => seen.systemd = true,
            Some(("processor", name)) => seen.processor = Some(name.to_owned()),
            Some(("leftovers", number)) => seen.leftovers = number.parse().unwrap_or(0),
            Some(("pending", text)) => seen.pending.extend(step(text)),
            Some(("unit", text)) => match text.split_once('=') {
                Some(("Id", _)) => unit = units.next(),
                Some(("UnitFileState", state)) => {
                    if let Some(unit) = unit {
                        seen.units.insert((*unit).to_owned(), state.to_owned());
                    }
                }
                Some(("ActiveState", "active" | "reloading")) => {
                    seen.running.extend(unit.map(|unit| (*unit).to_owned()));
                }
                _ => {}
            },
            _ => {}
        }
    }
    seen
}

impl Target for SshTarget<'_> {
    fn rules(&self) -> Rules {
        let real = self.root.is_empty();
        Rules {
            owners: if real { Owners::Needed } else { Owners::Possible },
            units: real && self.machine.kind != MachineKind::Pfsense,
        }
    }

    fn observe(&mut self, machine: &Wanted) -> Result<Seen, Trouble> {
        let mut request = self.request(machine.folders());
        let wanted = machine.units.iter().filter(|unit| unit.enable && self.rules().units);
        let units: Vec<&str> = wanted.map(|unit| unit.name.as_str()).collect();
        for unit in &units {
            line(&mut request, &["unit", unit]);
        }
        for file in &machine.files {
            line(&mut request, &["path", &file.path]);
        }
        request.push_str("go observe\n");
        let output = self.run(&request, if machine.artifacts.is_empty() { IDLE } else { READING });
        match output.trouble {
            Some(trouble) => Err(trouble),
            None => Ok(seen(&output.lines, &units)),
        }
    }

    fn fetch(&mut self, paths: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, Trouble> {
        let mut request = self.request(paths.iter().map(|path| kmh_store::wanted::folder(path)));
        for path in paths {
            line(&mut request, &["path", path]);
        }
        line(&mut request, &["limit", &SHOWN.to_string()]);
        request.push_str("go fetch\n");
        let output = self.run(&request, IDLE);
        if let Some(trouble) = output.trouble {
            return Err(trouble);
        }
        let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut path = String::new();
        for line in &output.lines {
            match line.split_once(' ') {
                Some(("content", name)) => {
                    name.clone_into(&mut path);
                    found.insert(path.clone(), Vec::new());
                }
                Some((kind @ ("line" | "tail"), text)) => {
                    let bytes = found.entry(path.clone()).or_default();
                    bytes.extend_from_slice(text.as_bytes());
                    if kind == "line" {
                        bytes.push(b'\n');
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn write(&mut self, set: &Set<'_>) -> Written {
        let mut head = self.request(set.folders.iter().copied());
        todo(&mut head, set.steps);
        for item in &set.items {
            line(&mut head, &["path", &item.file.path]);
        }
        head.push_str("go write\n");
        let frame = |file: &WantedFile, size: u64, sum: &str| {
            let owner = if set.owners { file.owner.as_str() } else { "-" };
            format!("file {} {:04o} {owner} {size} {sum}\n", file.path, file.mode)
        };
        let frames: Vec<String> =
            set.items.iter().map(|item| frame(item.file, item.body.size(), &hex(&item.body.sum()))).collect();
        let mut request = vec![Piece::Bytes(head.as_bytes())];
        for (frame, item) in frames.iter().zip(&set.items) {
            request.push(Piece::Bytes(frame.as_bytes()));
            request.push(match item.body {
                Body::Content(content) => Piece::Bytes(&content.bytes),
                Body::Program(program) => Piece::Program(program),
            });
        }
        request.push(Piece::Bytes(b"commit\n"));
        let size: u64 = set.items.iter().map(|item| item.body.size()).sum();
        let output = self.send(&request, IDLE + Duration::from_secs(size / SLOW), set.tell);
        let paths =
            output.lines.iter().filter_map(|line| line.strip_prefix("written ")).map(str::to_owned).collect();
        Written { paths, after: files(&output.lines), trouble: output.trouble }
    }

    fn act(&mut self, steps: &[Step], serving: &[&Unit]) -> Acted {
        let mut request = self.request([]);
        todo(&mut request, steps);
        line(&mut request, &["patience", &self.patience.to_string()]);
        questions(&mut request, serving);
        request.push_str("go act\n");
        let output = self.run(&request, STARTING);
        let results = output
            .lines
            .iter()
            .filter_map(|line| match line.split_once(' ') {
                Some(("good", _)) => Some(true),
                Some(("bad", _)) => Some(false),
                _ => None,
            })
            .collect();
        Acted { results, trouble: output.trouble }
    }

    fn silent(&mut self, units: &[&Unit]) -> Result<Down, Trouble> {
        let mut request = self.request([]);
        line(&mut request, &["patience", &self.patience.min(HANGS).to_string()]);
        questions(&mut request, units);
        request.push_str("go ask\n");
        let output = self.run(&request, IDLE);
        match output.trouble {
            Some(trouble) => Err(trouble),
            None => Ok(silent(&output.lines)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_says_is_read() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let lines = [
            "system Linux",
            "uid 0",
            "processor aarch64",
            "systemd yes",
            "leftovers 2",
            "pending restart etcd.service",
            "pending nonsense etcd.service",
            "unit Id=etcd.service",
            "unit ActiveState=active",
            "unit UnitFileState=enabled",
            "unit ",
            "unit Id=new.service",
            "unit ActiveState=activating",
            "unit UnitFileState=",
            "missing /a",
            "link /b",
            &format!("sum {sum} /c"),
            "mode 100640 root:etcd /c",
            "mode 100000 root:root /d",
        ]
        .map(str::to_owned);
        let seen = seen(&lines, &["alias-of-etcd.service", "new.service"]);
        assert!(seen.root && seen.systemd);
        assert_eq!((seen.leftovers, seen.pending.len()), (2, 1));
        assert_eq!(seen.processor.as_deref(), Some("aarch64"));
        assert_eq!(seen.units["alias-of-etcd.service"], "enabled");
        assert_eq!(seen.units["new.service"], "");
        assert_eq!(seen.running.iter().collect::<Vec<_>>(), ["alias-of-etcd.service"]);
        assert_eq!(seen.files["/a"], Found::Missing);
        assert_eq!(seen.files["/b"], Found::Link);
        let owner = Some("root:etcd".to_owned());
        assert_eq!(seen.files["/c"], Found::File { sum: unhex(sum).unwrap(), mode: 0o640, owner });
        assert_eq!(
            seen.files["/d"],
            Found::File { sum: [0; 32], mode: 0, owner: Some("root:root".to_owned()) }
        );
    }

    #[test]
    fn who_does_not_serve_is_read_with_what_it_said() {
        let lines = ["waits a.service", "silent a.service Error: \x1b[2J no leader ", "silent b.service "]
            .map(str::to_owned);
        let down = silent(&lines);
        assert_eq!(down.keys().collect::<Vec<_>>(), ["a.service", "b.service"]);
        let said = down["a.service"].as_deref().unwrap();
        assert!(
            said.starts_with("Error: ") && said.ends_with(" no leader") && !said.contains('\x1b'),
            "{said}"
        );
        assert_eq!(down["b.service"], None);
    }

    #[test]
    fn steps_go_both_ways() {
        let mut request = String::new();
        todo(&mut request, &[Step { unit: "etcd.service".into(), action: UnitStep::Restart }]);
        assert_eq!(request, "todo restart etcd.service\n");
        assert_eq!(
            step("reload a.service"),
            Some(Step { unit: "a.service".into(), action: UnitStep::Reload })
        );
        assert_eq!(step("stop a.service"), None);
    }
}
