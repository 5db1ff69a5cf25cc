//! Complete machines among a lab's others: files by `tar`, units by systemd.

use std::collections::BTreeSet;

use kmh_cli::{Failure, file};
use kmh_store::content::assemble;
use zeroize::Zeroizing;

use super::archive::{File, UNPACK, pack};
use super::{Use, Wish, chosen, start};
use crate::args::Carrier;
use crate::machine::{Place, ended, inside, output, said, shown};
use crate::plan::{LabPlan, MachinePlan};
use crate::run::Crew;
use crate::services::{Act, CLUSTER, SSHD};
use crate::state::{Kind, LabName, Machine, Role, State};

/// Marks the machines that are complete: those named, by their own name or a router's, and those that are it already. All
/// their units are systemd's; its sshd runs anyway. The cluster's manifests wait for a push.
pub(crate) fn complete(planned: &mut LabPlan, named: &[String], state: &State) -> Result<(), Failure> {
    let machine = |name: &String| planned.routers.get(name).map_or(name, |inner| &inner.machine).clone();
    let mut wanted: Vec<String> = named.iter().map(machine).collect();
    let kept = state.machines.iter().filter(|(_, one)| one.kind == Kind::Full).map(|(name, _)| name);
    wanted.extend(kept.filter(|name| planned.machines.contains_key(*name)).cloned());
    let of_bundle = planned.machines.iter().filter(|(_, one)| one.role != Role::Operator);
    let all: BTreeSet<&str> = of_bundle.map(|(name, _)| name.as_str()).collect();
    let full: BTreeSet<String> = chosen(&wanted, &all)?.into_iter().map(str::to_owned).collect();
    for (_, machine) in planned.machines.iter_mut().filter(|(name, _)| full.contains(*name)) {
        machine.full = true;
        machine.services.retain(|unit| unit != SSHD);
        let (cluster, own) = machine.idle.drain(..).partition(|unit| unit == CLUSTER);
        machine.idle = cluster;
        machine.services.extend::<Vec<String>>(own);
    }
    Ok(())
}

/// Boots one.
pub(crate) fn machine(
    crew: &Crew<'_>,
    name: &str,
    planned: &MachinePlan,
    say: &mut dyn FnMut(&str),
) -> Result<Machine, Failure> {
    let folder = crew.lab.folder();
    let text =
        |path: &str| file::read(&folder.join(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let host_key = Zeroizing::new(file::read(&folder.join("sshd/host"))?);
    let wish = Wish {
        name,
        of: if planned.role == Role::Node { Use::Node } else { Use::Router },
        arch: planned.arch,
        ssh: &planned.ssh,
        host_key: (&host_key, &text("sshd/host.pub")?),
        admin: &text("ssh/id.pub")?,
        resolv: &crate::resolver::conf(crew.planned),
        files: vec![],
        units: &[],
        artifacts: &planned.artifacts,
        tunnels: crew.state.tunnels.unwrap_or(Carrier::Plain),
    };
    let booted = start(crew.lab, &crew.cache, wish, say)?;
    Ok(Machine {
        role: planned.role,
        kind: Kind::Full,
        site: planned.site.clone(),
        arch: planned.arch,
        pid: booted.pid,
        started: booted.started,
        files: BTreeSet::new(),
        services: Vec::new(),
        ssh: planned.ssh.clone(),
    })
}

/// Sends the files that are not there so; their paths.
pub(crate) fn send(
    crew: &Crew<'_>,
    name: &str,
    planned: &MachinePlan,
    machine: &Machine,
) -> Result<BTreeSet<String>, Failure> {
    let at = |failure: Failure| failure.at(format!("machine {name}"));
    let place = Place::of_machine(name, machine)?;
    let mut files = Vec::with_capacity(planned.files.len());
    for file in &planned.files {
        let content = assemble(file, crew.secrets)
            .ok_or_else(|| Failure::world(format!("`{}` of `{name}` cannot be put together", file.path)))?;
        let bytes = content.bytes;
        files.push(File { path: file.path.clone(), mode: file.mode, owner: file.owner.clone(), bytes });
    }
    let archive = pack(&files)?;
    let mut compare =
        inside(crew.lab, &place, UNPACK.map(|word| if word == "--extract" { "--compare" } else { word }));
    let ran = ended(&mut compare, &archive)?;
    let told = format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let mut changed = different(&told, &files);
    let gone: Vec<&String> =
        machine.files.iter().filter(|path| !files.iter().any(|file| file.path == **path)).collect();
    if !changed.is_empty() {
        files.retain(|file| changed.contains(&file.path));
        output(inside(crew.lab, &place, UNPACK), &pack(&files)?).map_err(at)?;
    }
    if !gone.is_empty() {
        let words = ["rm", "-f", "--"].into_iter().chain(gone.iter().map(|path| path.as_str()));
        output(inside(crew.lab, &place, words), b"").map_err(at)?;
        changed.extend(gone.into_iter().cloned());
    }
    Ok(changed)
}

/// Paths of files that are missing or different, out of what `tar --compare` says: `etc/x: Mode differs`, or
/// `tar: etc/x: Warning: Cannot stat: No such file or directory`. The time of a file is nobody's business.
fn different(told: &str, files: &[File]) -> BTreeSet<String> {
    let named = told.lines().filter(|line| !line.ends_with("Mod time differs")).filter_map(|line| {
        let line = line.strip_prefix("tar: ").unwrap_or(line);
        line.split_once(": ").map(|(path, _)| format!("/{path}"))
    });
    let named: BTreeSet<String> = named.collect();
    files.iter().map(|file| &file.path).filter(|path| named.contains(*path)).cloned().collect()
}

/// Starts, reloads and stops units.
pub(crate) fn act(lab: &LabName, name: &str, place: &Place, acts: &[(String, Act)]) -> Result<(), Failure> {
    if acts.is_empty() {
        return Ok(());
    }
    let mut script = String::from("systemctl daemon-reload\n");
    for (unit, act) in acts {
        let line = match act {
            // A unit without an installation section starts by another's wish; one of the distribution's that has run
            // already, such as systemd-sysctl, has not seen the files.
            Act::Start => format!("systemctl -q enable {unit} 2>/dev/null || :; systemctl restart {unit}"),
            Act::Restart => format!("systemctl restart {unit}"),
            Act::Reload => format!("systemctl reload-or-restart {unit}"),
            Act::Stop => format!("systemctl -q disable --now {unit}"),
        };
        script.push_str(&line);
        script.push_str(" || bad=\"${bad-} ");
        script.push_str(unit);
        script.push_str("\"\n");
    }
    script.push_str("[ -z \"${bad-}\" ] || { echo \"failed:$bad\" >&2; exit 1; }\n");
    let mut shell = inside(lab, place, ["/bin/sh", "-s"]);
    let ran = ended(&mut shell, script.as_bytes())?;
    if ran.status.success() {
        return Ok(());
    }
    Err(said(&shown(&shell), &ran)
        .at(format!("machine {name}"))
        .hint(format!("kmh-lab exec {name} -- journalctl -e")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tar_says_is_understood() {
        let files = ["/etc/a", "/etc/b", "/etc/c", "/etc/d"].map(|path| File::plain(path, 0o644, ""));
        let told = "etc/a: Mod time differs\netc/b: Mod time differs\netc/b: Mode differs\n\
                    tar: etc/c: Warning: Cannot stat: No such file or directory\nother: Contents differ\n";
        assert_eq!(different(told, &files), BTreeSet::from(["/etc/b".to_owned(), "/etc/c".to_owned()]));
    }
}
