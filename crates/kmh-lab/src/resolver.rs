//! Names: one resolver on the Internet, which every machine asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use kmh_cli::{Failure, file};

use crate::machine::{clean, started};
use crate::plan::{INTERNET, LabPlan, OUTSIDE};
use crate::state::LabName;

/// What it knows, in the lab's folder.
const HOSTS: &str = "hosts";

/// A machine's `resolv.conf`.
pub(crate) fn conf(planned: &LabPlan) -> String {
    let v6 = planned.wires.lines.values().all(|line| line.public.iter().all(IpAddr::is_ipv6));
    let address = if v6 && !planned.wires.lines.is_empty() { OUTSIDE[1] } else { OUTSIDE[0] };
    format!("# Written by kmh-lab.\nnameserver {address}\noptions timeout:2 attempts:2\n")
}

/// Tells it other addresses in the place of old ones.
pub(crate) fn moved(lab: &LabName, moved: &BTreeMap<IpAddr, IpAddr>) -> Result<(), Failure> {
    let bytes = file::read_if_there(&lab.folder().join(HOSTS))?.unwrap_or_default();
    let mut hosts: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        if let Some((address, name)) = line.split_once(' ')
            && let Ok(address) = address.parse()
        {
            let now = moved.get(&address).copied().unwrap_or(address);
            hosts.entry(name.to_owned()).or_default().insert(now);
        }
    }
    run(lab, &hosts)
}

/// Writes what it knows, and sees to it that it runs and knows it.
pub(crate) fn run(lab: &LabName, hosts: &BTreeMap<String, BTreeSet<IpAddr>>) -> Result<(), Failure> {
    let mut text = String::new();
    for (name, addresses) in hosts {
        for address in addresses {
            let _ = writeln!(text, "{address} {name}");
        }
    }
    let folder = lab.folder();
    let changed = file::write(&folder.join(HOSTS), text.as_bytes(), 0o644)?;
    let pid_file = folder.join("resolver.pid");
    let pid =
        file::read_if_there(&pid_file)?.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
    if let Some(pid) = pid.filter(|pid| is_resolver(*pid, lab)) {
        if changed && let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
        }
        return Ok(());
    }
    let mut command = Command::new("setsid");
    clean(&mut command, lab);
    command.arg("nsenter").arg(format!("--net=/run/netns/{}", lab.space(INTERNET))).arg("--");
    command.args(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    command.args([
        "--user=root",
        "--group=root",
        "--bind-interfaces",
        "--interface=lo",
        "--except-interface=none",
    ]);
    command.args(["--local-ttl=1", "--log-facility=-"]);
    command.arg(format!("--addn-hosts={}", folder.join(HOSTS).display()));
    command.arg("--pid-file");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| {
        Failure::world("cannot start the resolver")
            .because(file::plain(&error))
            .hint("apt-get install dnsmasq-base")
    })?;
    file::write(&pid_file, child.id().to_string().as_bytes(), 0o600).map(|_| ())
}

fn is_resolver(pid: u32, lab: &LabName) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let hosts = lab.folder().join(HOSTS).display().to_string();
    started(pid).is_some() && String::from_utf8_lossy(&line).contains(&hosts)
}
