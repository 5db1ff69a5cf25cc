//! Whether BFD watches what it should: it starts slowly (RFC 5880, 6.8.3), and what breaks before is only told by the hold
//! time, of which the predicted seconds know nothing.
#![allow(clippy::disallowed_methods, reason = "it waits")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use kmh_cli::{Context, Failure};
use kmh_doc::inventory::BgpDaemon;
use kmh_route::Prediction;
use serde_json::Value;

use crate::machine::{Place, inside, output};
use crate::weather::Lab;

/// Who has not seen its peer by then is measured as it is.
const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(300);

/// Peers of routers, by the router's name, with whom a session can be up.
pub(super) type Peers = BTreeMap<String, BTreeSet<IpAddr>>;

/// Those of a prediction.
pub(super) fn peers(prediction: &Prediction<'_>) -> Peers {
    let network = prediction.network();
    let mut found = Peers::new();
    for (place, session) in network.sessions().iter().enumerate() {
        if session.tunnel.is_some() && prediction.session_down(place).is_none() {
            for (own, peer) in [(0, 1), (1, 0)] {
                let [own, peer] = [own, peer].map(|end: usize| session.ends.get(end));
                if let (Some(own), Some(peer)) = (own, peer) {
                    found.entry(network.name(own.machine).to_owned()).or_default().insert(peer.address);
                }
            }
        }
    }
    found
}

/// Waits until each router that watches a peer has seen it. Who watches nobody is not waited for: a session without BFD
/// may be what somebody wants to measure.
pub(super) fn wait(lab: &Lab, peers: &Peers, context: &mut Context<'_>) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut names: BTreeSet<&String> = peers.keys().collect();
    loop {
        let mut blind = BTreeSet::new();
        for name in names {
            if peers.get(name).is_some_and(|peers| ask(lab, name).is_ok_and(|text| misses(&text, peers))) {
                blind.insert(name);
            }
        }
        if blind.is_empty() || begin.elapsed() >= PATIENCE {
            return Ok(());
        }
        let list: Vec<&str> = blind.iter().map(|name| name.as_str()).collect();
        context.progress(&format!("waiting until BFD watches: {}", list.join(", ")));
        names = blind;
        std::thread::sleep(PACE);
    }
}

/// What a router's daemon says of BFD.
fn ask(lab: &Lab, name: &str) -> Result<String, Failure> {
    let place = Place::named(&lab.name, &lab.state, name)?;
    let netns = lab.state.routers.get(name).map(|inner| inner.netns.as_str());
    let mut routers = lab.memory.network.routers.iter();
    let bird = routers.any(|router| router.name == name && router.daemon == BgpDaemon::Bird);
    let socket =
        netns.map_or("/run/bird/bird.ctl".to_owned(), |netns| format!("/run/kmh-bird-{netns}/bird.ctl"));
    let words: Vec<&str> = if bird {
        vec!["birdc", "-r", "-s", &socket, "show", "bfd", "sessions"]
    } else {
        let show = ["-c", "show bfd peers json"];
        std::iter::once("vtysh").chain(netns.iter().flat_map(|netns| ["-N", netns])).chain(show).collect()
    };
    output(inside(&lab.name, &place, words), b"")
}

/// Whether one of those peers is watched and not seen, in the words of FRR (`show bfd peers json`) or BIRD
/// (`show bfd sessions`: address, interface, state).
fn misses(text: &str, peers: &BTreeSet<IpAddr>) -> bool {
    let is_blind = |address: &str, state: &str| {
        address.parse().is_ok_and(|address| peers.contains(&address)) && !state.eq_ignore_ascii_case("up")
    };
    if let Ok(Value::Array(all)) = serde_json::from_str(text) {
        let word = |peer: &Value, key: &str| peer[key].as_str().unwrap_or_default().to_owned();
        return all.iter().any(|peer| is_blind(&word(peer, "peer"), &word(peer, "status")));
    }
    text.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [address, _, state, ..] if is_blind(address, state))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_watched_and_not_seen() {
        let peers =
            |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<IpAddr>>();
        let frr = |status: &str| {
            format!(
                r#"[{{"multihop":false,"peer":"10.255.0.6","local":"10.255.0.5","status":"{status}"}},
                    {{"peer":"10.255.0.10","status":"down"}}]"#
            )
        };
        let bird = |state: &str| {
            format!(
                "BIRD 2.0.12 ready.\nAccess restricted\nbfd1:\n\
                 IP address                Interface  State      Since         Interval  Timeout\n\
                 10.255.0.6                kmh1       {state}         12:00:01.000    1.000    3.000\n\
                 10.255.0.10               kmh2       Down       12:00:01.000    1.000    0.000\n"
            )
        };
        for (up, down) in [(frr("up"), frr("down")), (bird("Up"), bird("Init"))] {
            assert!(!misses(&up, &peers(&["10.255.0.6"])), "{up}");
            assert!(misses(&down, &peers(&["10.255.0.6"])), "{down}");
            assert!(misses(&up, &peers(&["10.255.0.6", "10.255.0.10"])), "the other one is cut off, or slow");
            assert!(!misses(&down, &peers(&["10.255.0.14"])), "nobody watches it");
        }
        assert!(!misses("[]", &peers(&["10.255.0.6"])) && !misses("", &peers(&["10.255.0.6"])));
    }
}
