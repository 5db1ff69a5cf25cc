//! Brings wires about, or the difference to those that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use kmh_cli::Failure;

use crate::machine::{Place, ended, output, said, shown};
use crate::plan::wires::{End, Interface, Link, Wires};
use crate::state::{LabName, MARK};
use crate::system;

/// The namespace or machine that a namespace inside a machine belongs to.
pub(crate) fn base(space: &str) -> &str {
    space.split_once('/').map_or(space, |(base, _)| base)
}

/// Interfaces that can only be set once machines run: those in namespaces that machines make, their other ends, and what
/// is plugged into a bridge of a machine's own.
fn late(wires: &Wires) -> BTreeSet<&End> {
    let links = wires.links.iter().filter(|link| is_inner(link)).flat_map(|link| &link.ends);
    let foreign = |end: &End, interface: &Interface| {
        interface.master.as_ref().is_some_and(|master| !wires.bridges.contains(&End::new(&end.space, master)))
    };
    let others = wires.interfaces.iter().filter(|(end, one)| end.space.contains('/') || foreign(end, one));
    links.chain(others.map(|(end, _)| end)).collect()
}

/// Whether a link has an end in a namespace that a machine makes.
fn is_inner(link: &Link) -> bool {
    link.ends.iter().any(|end| end.space.contains('/'))
}

impl Wires {
    /// Forgets everything that touches a namespace or machine, and those inside it.
    pub(crate) fn forget(&mut self, gone: &str) {
        let here = |space: &str| base(space) == gone;
        let cut: BTreeSet<End> = self
            .links
            .iter()
            .filter(|link| link.ends.iter().any(|end| here(&end.space)))
            .flat_map(|link| link.ends.clone())
            .collect();
        self.spaces.retain(|space| !here(space));
        self.bridges.retain(|end| !here(&end.space));
        self.links.retain(|link| !link.ends.iter().any(|end| here(&end.space)));
        self.interfaces.retain(|end, _| !here(&end.space) && !cut.contains(end));
        self.routes.retain(|space, _| !here(space));
        // They go with the interface that they lead to.
        for end in &cut {
            if let Some(routes) = self.routes.get_mut(&end.space) {
                routes.retain(|route| !leads_to(route, &end.interface));
            }
        }
        self.settings.retain(|space, _| !here(space));
        self.rules.retain(|space, _| !here(space));
        self.lines.retain(|_, line| !here(&line.near.space) && !cut.contains(&line.near));
    }

    /// What is only between those that stay.
    pub(crate) fn keep(&mut self, stays: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.spaces.iter().filter(|space| !stays(space)).cloned().collect();
        for space in gone {
            self.forget(&space);
        }
    }
}

/// Whether a route leads out of an interface.
fn leads_to(route: &str, interface: &str) -> bool {
    let words: Vec<&str> = route.split(' ').collect();
    words.windows(2).any(|two| two == ["dev", interface])
}

/// Finds namespaces: by name, and inside machines by path.
pub(crate) struct Places<'a> {
    pub(crate) lab: &'a LabName,
    /// First processes of machines.
    pub(crate) pids: BTreeMap<String, u32>,
}

impl Places<'_> {
    /// As `ip -n` and `ip link … netns` take it.
    fn netns(&self, space: &str) -> Result<String, Failure> {
        let Some((machine, netns)) = space.split_once('/') else { return Ok(self.lab.space(space)) };
        let pid = self.pids.get(machine);
        let pid = pid.ok_or_else(|| Failure::world(format!("machine `{machine}` does not run")))?;
        Ok(format!("/proc/{pid}/root/run/netns/{netns}"))
    }

    fn ip(&self, space: &str, lines: &[String]) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let done = if space.contains('/') {
            // `ip -n` takes names only.
            self.run(space, &["ip", "-batch", "-"], &(lines.join("\n") + "\n"))
        } else {
            system::ip(self.lab, Some(&self.netns(space)?), lines)
        };
        done.map_err(|failure| failure.at(format!("namespace {space}")))
    }

    /// A command in a namespace, with this machine's files.
    pub(crate) fn run(&self, space: &str, args: &[&str], input: &str) -> Result<(), Failure> {
        let mut command = Command::new("nsenter");
        let at = self.netns(space)?;
        let at = if at.contains('/') { at } else { format!("/run/netns/{at}") };
        command.env(MARK, self.lab.mark()).arg(format!("--net={at}")).arg("--").args(args);
        output(command, input.as_bytes()).map(|_| ())
    }
}

/// Cuts what leads to a namespace or machine that is about to go: the kernel takes its time to clear a namespace, and the
/// far ends of its links stay so long.
pub(crate) fn unlink(places: &Places<'_>, wires: &Wires, gone: &str) {
    for link in &wires.links {
        let [here, there]: [bool; 2] = link.ends.each_ref().map(|end| base(&end.space) == gone);
        let far = match (here, there) {
            (true, false) => &link.ends[1],
            (false, true) => &link.ends[0],
            _ => continue,
        };
        // It may have gone with a namespace inside a machine.
        let _ = places.ip(&far.space, &[format!("link del {}", far.interface)]);
    }
}

/// Takes away what is not wanted any more.
pub(crate) fn remove(places: &Places<'_>, old: &mut Wires, new: &Wires) -> Result<(), Failure> {
    let gone: Vec<String> = old.spaces.difference(&new.spaces).cloned().collect();
    for space in &gone {
        unlink(places, old, space);
    }
    let names: BTreeSet<String> = gone.iter().map(|space| places.lab.space(space)).collect();
    system::clear_once(places.lab, &names, false)?;
    for space in &gone {
        old.forget(space);
    }
    let links: Vec<_> = old.links.difference(&new.links).cloned().collect();
    for link in links {
        let [end, other] = &link.ends;
        // With one end the other goes; it may be gone with a namespace inside a machine.
        let _ = places.ip(&end.space, &[format!("link del {}", end.interface)]);
        old.interfaces.remove(end);
        old.interfaces.remove(other);
        old.links.remove(&link);
    }
    for bridge in old.bridges.difference(&new.bridges).cloned().collect::<Vec<_>>() {
        places.ip(&bridge.space, &[format!("link del {}", bridge.interface)])?;
        old.bridges.remove(&bridge);
    }
    Ok(())
}

/// Makes what is missing, as far as it is early or late; `old` becomes what is there.
pub(crate) fn add(places: &Places<'_>, old: &mut Wires, new: &Wires, late: bool) -> Result<(), Failure> {
    if !late {
        spaces(places, old, new)?;
        bridges(places, old, new)?;
    }
    links(places, old, new, late)?;
    let mut touched: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let late_ones = self::late(new);
    for (end, wanted) in new.interfaces.iter().filter(|(end, _)| late_ones.contains(end) == late) {
        let before = old.interfaces.get(end);
        if before != Some(wanted) {
            touched.entry(&end.space).or_default().extend(interface(end, before, wanted));
            old.interfaces.insert(end.clone(), wanted.clone());
        }
    }
    for (space, lines) in &touched {
        places.ip(space, lines)?;
    }
    let nothing = Vec::new();
    for (space, wanted) in new.settings.iter().filter(|(space, _)| !late && !space.contains('/')) {
        let had = old.settings.get(space).unwrap_or(&nothing);
        let own: Vec<&str> = wanted
            .iter()
            .filter(|line| {
                of_interface(line) && (touched.contains_key(space.as_str()) || !had.contains(line))
            })
            .map(String::as_str)
            .collect();
        sysctl(places, space, &own)?;
        old.settings.insert(space.clone(), wanted.clone());
    }
    for (space, wanted) in new.routes.iter().filter(|(space, _)| space.contains('/') == late) {
        let had = old.routes.get(space).unwrap_or(&nothing);
        if had == wanted && !touched.contains_key(space.as_str()) {
            continue;
        }
        for line in had.iter().filter(|line| !wanted.contains(line)) {
            // It went with its interface, when that went.
            let _ = places.ip(space, &[format!("route del {line}")]);
        }
        // Replacing tells routes of one target apart by their metric.
        let lines: Vec<String> = wanted.iter().map(|line| format!("route replace {line}")).collect();
        places.ip(space, &lines)?;
        old.routes.insert(space.clone(), wanted.clone());
    }
    for (space, wanted) in new.rules.iter().filter(|(space, _)| space.contains('/') == late) {
        if old.rules.get(space) != Some(wanted) {
            places.run(space, &["nft", "-f", "-"], wanted)?;
            old.rules.insert(space.clone(), wanted.clone());
        }
    }
    if !late {
        crate::shape::lines(places, old, new)?;
        old.lines.clone_from(&new.lines);
    }
    Ok(())
}

fn spaces(places: &Places<'_>, old: &mut Wires, new: &Wires) -> Result<(), Failure> {
    let fresh: Vec<String> = new.spaces.difference(&old.spaces).cloned().collect();
    let lines: Vec<String> =
        fresh.iter().map(|space| format!("netns add {}", places.lab.space(space))).collect();
    system::ip(places.lab, None, &lines)?;
    for space in fresh {
        let settings = new.settings.get(&space).map(Vec::as_slice).unwrap_or_default();
        let all: Vec<&str> = settings.iter().map(String::as_str).filter(|line| !of_interface(line)).collect();
        sysctl(places, &space, &all)?;
        places.ip(&space, &["link set lo up".to_owned()])?;
        old.spaces.insert(space);
    }
    Ok(())
}

/// Whether a setting is of one interface, and so waits for it.
fn of_interface(line: &str) -> bool {
    let mut parts = line.split('.').skip(2);
    matches!(parts.next(), Some("conf" | "neigh")) && !matches!(parts.next(), Some("all" | "default"))
}

fn sysctl(places: &Places<'_>, space: &str, settings: &[&str]) -> Result<(), Failure> {
    if settings.is_empty() {
        return Ok(());
    }
    let args: Vec<&str> = ["sysctl", "-q", "-w"].iter().chain(settings).copied().collect();
    places.run(space, &args, "")
}

fn bridges(places: &Places<'_>, old: &mut Wires, new: &Wires) -> Result<(), Failure> {
    let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for bridge in new.bridges.difference(&old.bridges) {
        let name = &bridge.interface;
        // Nobody watches for loops, and nobody waits until a port is believed.
        let add = format!("link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        lines.entry(&bridge.space).or_default().extend([add, format!("link set {name} up")]);
    }
    for (space, lines) in lines {
        places.ip(space, &lines)?;
    }
    old.bridges.clone_from(&new.bridges);
    Ok(())
}

fn links(places: &Places<'_>, old: &mut Wires, new: &Wires, late: bool) -> Result<(), Failure> {
    let fresh = new.links.difference(&old.links).filter(|link| is_inner(link) == late);
    let fresh: Vec<Link> = fresh.cloned().collect();
    let mut lines = Vec::new();
    for link in &fresh {
        let [a, b] = &link.ends;
        lines.push(format!(
            "link add {} netns {} type veth peer name {} netns {}",
            a.interface,
            places.netns(&a.space)?,
            b.interface,
            places.netns(&b.space)?
        ));
    }
    system::ip(places.lab, None, &lines)?;
    old.links.extend(fresh);
    Ok(())
}

/// What makes an interface as it is wanted.
fn interface(end: &End, before: Option<&Interface>, wanted: &Interface) -> Vec<String> {
    let name = &end.interface;
    let mut lines = Vec::new();
    if before.and_then(|before| before.mtu) != wanted.mtu {
        lines.push(format!("link set {name} mtu {}", wanted.mtu.unwrap_or(1500)));
    }
    if let Some(master) = &wanted.master {
        lines.push(format!("link set {name} master {master}"));
    }
    let nothing = BTreeSet::new();
    let had = before.map_or(&nothing, |before| &before.addresses);
    for address in had.difference(&wanted.addresses) {
        lines.push(format!("addr del {address} dev {name}"));
    }
    if name != "lo" {
        lines.push(format!("link set {name} up"));
    }
    for address in wanted.addresses.difference(had) {
        // Nobody else on the segment has it: it is of use at once.
        let nodad = if address.contains(':') { " nodad" } else { "" };
        lines.push(format!("addr add {address} dev {name}{nodad}"));
    }
    lines
}

/// A script in a machine, by its own shell.
pub(crate) fn script(lab: &LabName, place: &Place, text: &str) -> Result<(), Failure> {
    let mut command = crate::machine::inside(lab, place, ["/bin/sh", "-s"]);
    let ran = ended(&mut command, text.as_bytes())?;
    if ran.status.success() { Ok(()) } else { Err(said(&shown(&command), &ran)) }
}
