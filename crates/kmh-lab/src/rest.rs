//! Waits until a lab rests: every session that can be up is up, and every kernel has the routes that were predicted, and
//! no other of the routing daemons'.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use kmh_cli::{Context, Exit, Failure};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::machine::{Place, inside, output};
use crate::plan::rest::Speaker;
use crate::state::{LabName, State};

/// How long nothing may become better. Sessions that once failed are tried again after seconds, and routes of nodes that
/// went are kept for half a minute (RFC 4724).
const PATIENCE: Duration = Duration::from_secs(90);
/// How long it may take at all: a guest in software on a busy machine takes minutes.
const MOST: Duration = Duration::from_secs(600);
/// How often everything that is missing is asked for.
const PACE: Duration = Duration::from_millis(250);
/// So many are asked side by side.
const SIDE_BY_SIDE: usize = 16;
/// So many of what is missing are told.
const TOLD: usize = 12;
/// Between what the kernel says and what the daemon says.
const MARK: &str = "===";

/// Waits, and says what is missing when the time is over.
pub(crate) fn wait(
    lab: &LabName,
    state: &State,
    expected: &BTreeMap<String, Speaker>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let begin = now();
    let (mut least, mut since) = (usize::MAX, begin);
    // Who is as predicted is asked once more in the end: others may have changed it since.
    let mut names: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
    loop {
        let missing = missing(lab, state, expected, &names);
        if missing.is_empty() && names.len() == expected.len() {
            return Ok(());
        }
        let count: usize = missing.values().map(Vec::len).sum();
        context.progress(&format!("waiting for {count} sessions and routes"));
        let time = now();
        if count < least {
            (least, since) = (count, time);
        }
        let spent = time.saturating_sub(begin);
        if time.saturating_sub(since) >= PATIENCE || spent >= MOST {
            return Err(restless(lab, missing, spent));
        }
        names = if missing.is_empty() {
            expected.keys().map(String::as_str).collect()
        } else {
            std::thread::sleep(PACE);
            missing.keys().copied().collect()
        };
    }
}

fn restless(lab: &LabName, missing: BTreeMap<&str, Vec<String>>, spent: Duration) -> Failure {
    let all: Vec<String> = missing.into_values().flatten().collect();
    let mut failure = Failure::new(
        Exit::No,
        format!("lab `{lab}` is up, and does not come to rest within {} s", spent.as_secs()),
    );
    for line in all.iter().take(TOLD) {
        failure = failure.because(line);
    }
    if all.len() > TOLD {
        failure = failure.because(format!("and {} more", all.len() - TOLD));
    }
    failure.hint("look with `kmh-lab exec MACHINE -- vtysh -c 'show bgp summary'`; the lab is left as it is")
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

/// What each of those still lacks, or has too much; those that lack nothing are left out.
fn missing<'e>(
    lab: &LabName,
    state: &State,
    expected: &'e BTreeMap<String, Speaker>,
    names: &BTreeSet<&str>,
) -> BTreeMap<&'e str, Vec<String>> {
    let asked: Vec<(&str, &Speaker)> = expected
        .iter()
        .filter(|(name, _)| names.contains(name.as_str()))
        .map(|(name, speaker)| (name.as_str(), speaker))
        .collect();
    let mut seen = BTreeMap::new();
    for group in asked.chunks(SIDE_BY_SIDE) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = group
                .iter()
                .map(|(name, speaker)| (*name, scope.spawn(|| Seen::of(lab, state, speaker))))
                .collect();
            for (name, thread) in threads {
                let answer = thread.join().unwrap_or_else(|_| Err("the question broke off".to_owned()));
                seen.insert(name, answer);
            }
        });
    }
    let mut found = BTreeMap::new();
    for (name, speaker) in asked {
        let lines = match seen.get(name) {
            Some(Ok(seen)) => seen.lacks(speaker),
            Some(Err(why)) => vec![why.clone()],
            None => Vec::new(),
        };
        if !lines.is_empty() {
            found.insert(name, lines.into_iter().map(|line| format!("{name}: {line}")).collect());
        }
    }
    found
}

/// What a router or node says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Peers whose session is up.
    peers: BTreeSet<IpAddr>,
    /// Routes of a routing daemon's in the kernel, and their next hops.
    routes: BTreeMap<IpNet, Vec<IpAddr>>,
}

impl Seen {
    fn of(lab: &LabName, state: &State, speaker: &Speaker) -> Result<Self, String> {
        let why = |failure: Failure| failure.summary();
        let machine = state.machines.get(&speaker.machine);
        let machine = machine.ok_or_else(|| format!("machine `{}` is not there", speaker.machine))?;
        let mut place = Place::of_machine(&speaker.machine, machine).map_err(why)?;
        if let Some(netns) = &speaker.netns {
            place = place.in_netns(netns);
        }
        let line = format!(
            "ip -j -4 route show; echo; ip -j -6 route show; echo; echo {MARK}; {} 2>/dev/null || :",
            speaker.ask
        );
        let text = output(inside(lab, &place, ["sh", "-c", &line]), &[]).map_err(why)?;
        Ok(Self::read(&text))
    }

    fn read(text: &str) -> Self {
        let (kernel, daemon) = text.split_once(MARK).unwrap_or((text, ""));
        let mut seen = Self::default();
        let values = serde_json::Deserializer::from_str(kernel).into_iter::<Value>();
        for value in values.map_while(Result::ok) {
            let Value::Array(mut routes) = value else { continue };
            routes.sort_by_key(|route| route["metric"].as_u64().unwrap_or_default());
            let mut best = BTreeSet::new();
            for route in &routes {
                let dst = route["dst"].as_str().unwrap_or_default();
                let ours = matches!(route["protocol"].as_str(), Some("bgp" | "bird"));
                if !best.insert(dst) || !ours {
                    continue;
                }
                let single = || dst.parse::<IpAddr>().map(IpNet::from);
                let Ok(net) = dst.parse().or_else(|_| single()) else { continue };
                let itself = std::slice::from_ref(route);
                let hops: Vec<IpAddr> = route["nexthops"]
                    .as_array()
                    .map_or(itself, Vec::as_slice)
                    .iter()
                    .filter_map(|hop| hop["gateway"].as_str().or(hop["via"]["host"].as_str())?.parse().ok())
                    .collect();
                if !hops.is_empty() {
                    seen.routes.insert(net, hops);
                }
            }
        }
        seen.peers = match serde_json::from_str(daemon) {
            Ok(summary) => of_frr(&summary),
            Err(_) => of_bird(daemon),
        };
        seen
    }

    /// What is not as predicted, a line each.
    fn lacks(&self, speaker: &Speaker) -> Vec<String> {
        let mut lines = Vec::new();
        for (peer, name) in &speaker.sessions {
            if !self.peers.contains(peer) {
                lines.push(format!("no session with {name} ({peer})"));
            }
        }
        let quiet = |net: &IpNet| speaker.restless.contains(net);
        for (net, hops) in speaker.routes.iter().filter(|(net, _)| !quiet(net)) {
            match self.routes.get(net) {
                None => lines.push(format!("no route to {net}")),
                Some(seen) if !same(hops, seen) => {
                    lines.push(format!("the route to {net} is by {}, not by {}", spaced(seen), spaced(hops)));
                }
                Some(_) => {}
            }
        }
        for net in self.routes.keys().filter(|net| !speaker.routes.contains_key(net) && !quiet(net)) {
            lines.push(format!("still a route to {net}"));
        }
        lines
    }
}

/// Whether those are the next hops. A link-local one stands for the global address beside it, and is only counted.
fn same(wanted: &BTreeSet<IpAddr>, seen: &[IpAddr]) -> bool {
    let local = |hop: &IpAddr| matches!(hop, IpAddr::V6(v6) if v6.is_unicast_link_local());
    wanted.len() == seen.len() && seen.iter().all(|hop| local(hop) || wanted.contains(hop))
}

fn spaced<'a>(hops: impl IntoIterator<Item = &'a IpAddr>) -> String {
    hops.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Peers that are established, as FRR's `show bgp summary json` says.
fn of_frr(summary: &Value) -> BTreeSet<IpAddr> {
    let families = ["ipv4Unicast", "ipv6Unicast"].into_iter();
    let peers = families.filter_map(|family| summary[family]["peers"].as_object()).flatten();
    let up = peers.filter(|(_, peer)| peer["state"] == "Established");
    up.filter_map(|(address, _)| address.parse().ok()).collect()
}

/// Peers that are established, as BIRD's `show protocols all` says.
fn of_bird(text: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let mut up = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') && words.get(1) == Some(&"BGP") {
            up = words.last() == Some(&"Established");
        } else if let (true, ["Neighbor", "address:", address]) = (up, words.as_slice())
            && let Ok(address) = address.split('%').next().unwrap_or_default().parse()
        {
            found.insert(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker() -> Speaker {
        Speaker {
            machine: "gw".to_owned(),
            netns: None,
            ask: String::new(),
            sessions: BTreeMap::from([("10.0.0.11".parse().unwrap(), "n1".to_owned())]),
            routes: BTreeMap::from([
                ("10.2.0.0/26".parse().unwrap(), BTreeSet::from(["10.0.0.11".parse().unwrap()])),
                ("fd00::5/128".parse().unwrap(), BTreeSet::from(["fd00:1::1".parse().unwrap()])),
            ]),
            restless: BTreeSet::from(["10.3.0.0/26".parse().unwrap()]),
        }
    }

    const KERNEL: &str = r#"[{"dst":"default","gateway":"192.0.2.1"},
        {"dst":"10.2.0.0/26","gateway":"10.0.0.11","protocol":"bgp","metric":20},
        {"dst":"10.3.0.0/26","gateway":"10.0.0.12","protocol":"bgp"}]
        [{"dst":"fd00::5","gateway":"fe80::1","protocol":"bird"}]"#;

    #[test]
    fn what_is_as_predicted_is_not_missed() {
        let frr = r#"{"ipv4Unicast":{"peers":{"10.0.0.11":{"state":"Established"}}}}"#;
        let bird = "r1  BGP  ---  up  12:00  Established\n  BGP state: x\n    Neighbor address: 10.0.0.11\n";
        for daemon in [frr, bird] {
            let seen = Seen::read(&format!("{KERNEL}\n{MARK}\n{daemon}"));
            assert_eq!(seen.lacks(&speaker()), Vec::<String>::new(), "{seen:?}");
        }
    }

    #[test]
    fn every_difference_is_told() {
        let kernel = KERNEL.replace("10.0.0.11", "10.0.0.13").replace("fd00::5", "fd00::6");
        let bird = "r1  BGP  ---  start  12:00  Connect\n    Neighbor address: 10.0.0.11\n";
        let seen = Seen::read(&format!("{kernel}\n{MARK}\n{bird}"));
        assert_eq!(
            seen.lacks(&speaker()),
            [
                "no session with n1 (10.0.0.11)",
                "the route to 10.2.0.0/26 is by 10.0.0.13, not by 10.0.0.11",
                "no route to fd00::5/128",
                "still a route to fd00::6/128",
            ]
        );
    }
}
