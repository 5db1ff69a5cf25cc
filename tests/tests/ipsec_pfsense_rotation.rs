//! The CA of the tunnels is rotated while real charons of two stood-in pfSense and a Linux router, in namespaces, keep each
//! other's word: at every stage, and while only some of the routers have what the stage asks for, each believes each.
//!
//! What pfSense makes of its settings is kmh-lab's word. What is shown is IKE, which certificates are for. Kernels without
//! ESP cannot do the rest, and charon keeps the IKE SA then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod charons;

use std::time::Duration;

use charons::files::SETTINGS;
use charons::{ROUTERS, Routers};
use kmh_tests::netns::until;
use kmh_tests::sandbox::Ran;

/// Who has a tunnel with whom, by the number of its place, and the tunnel's own number.
const PAIRS: [(usize, usize, u32); 3] = [(0, 1, 1), (0, 2, 2), (1, 2, 3)];

impl Routers {
    /// What a router calls a tunnel.
    fn name(&self, place: usize, (one, other, number): (usize, usize, u32)) -> String {
        if self.sandbox.has(&format!("out/{}/{SETTINGS}", ROUTERS[place].0)) {
            format!("con{number}")
        } else {
            format!("{}--{}", ROUTERS[one].0, ROUTERS[other].0)
        }
    }

    /// One end calls the other from nothing; whether the two believed each other.
    fn calls(&self, from: usize, pair: (usize, usize, u32)) -> Ran {
        for end in [pair.0, pair.1] {
            // There may be none.
            self.ask(end, &format!("--terminate --ike {} --force --timeout 5", self.name(end, pair)));
        }
        self.ask(from, &format!("--initiate --ike {} --timeout 20", self.name(from, pair)))
    }

    /// Whether an end knows where the other is.
    fn can_call(&self, from: usize, pair: (usize, usize, u32)) -> bool {
        let name = self.name(from, pair);
        let conns = self.ask(from, "--list-conns").stdout;
        let own = conns.split(&format!("{name}: ")).nth(1).expect("its connection");
        !own.lines().take(4).any(|line| line.trim() == "remote: %any")
    }

    /// Whoever calls anew is believed, and believes who answers; `turn` says who calls where both can.
    #[track_caller]
    fn everybody_meets(&self, turn: usize, at: &str) {
        for pair in PAIRS {
            let ends = [pair.0, pair.1];
            let [one, other] = [ends[turn % 2], ends[(turn + 1) % 2]];
            let from = if self.can_call(one, pair) { one } else { other };
            // Both may call at once, and one of the calls is given up then.
            until(Duration::from_secs(60), &format!("{at}, {from} of {pair:?}"), || {
                let ran = self.calls(from, pair);
                if ran.code == 0 {
                    Ok(())
                } else {
                    Err(format!("{ran:?}\n{}", self.log(pair.0 + pair.1 - from)))
                }
            });
        }
    }

    /// A router with what lies in that folder meets nobody; where it can call, whoever it calls refuses it.
    #[track_caller]
    fn is_refused(&self, place: usize, from: &str) {
        self.take(place, from);
        for pair in PAIRS.into_iter().filter(|pair| [pair.0, pair.1].contains(&place)) {
            let other = pair.0 + pair.1 - place;
            let caller = if self.can_call(place, pair) { place } else { other };
            let ran = self.calls(caller, pair);
            assert!(ran.code != 0 && ran.stdout.contains("AUTH"), "{pair:?}: {ran:?}\n{}", self.log(other));
        }
        self.take(place, "out");
    }
}

#[test]
fn tunnels_with_a_pfsense_meet_at_every_stage_whoever_has_it_first() {
    // As after a restart: what a charon had before would be believed still.
    let routers = Routers::start("pfsense", "--load-all --clear --noprompt");
    routers.everybody_meets(0, "before");
    routers.everybody_meets(1, "before");
    let stages = [("trust", ""), ("issue", "--deployed"), ("after", "--deployed")];
    // Twice: the pfSense first, then the Linux router, whose CA has a number by then.
    for (round, order) in [[0, 1, 2], [2, 0, 1]].into_iter().enumerate() {
        routers.sandbox.sh("rm -rf before && cp -a out before").exits(0);
        for (stage, deployed) in stages {
            let call = format!("kmh-pki rotate ipsec {deployed} --store pki -i cluster.yaml");
            routers.sandbox.sh(&call).exits(0);
            routers.documents();
            for (turn, place) in order.into_iter().enumerate() {
                routers.deploy(place);
                let last = ROUTERS[place].0;
                let at = format!("round {round}, {stage}, {} of 3 have it, {last} the last", turn + 1);
                routers.everybody_meets(turn, &at);
            }
            let settings = routers.sandbox.read(&format!("out/fw-attic/{SETTINGS}"));
            assert_eq!(settings.matches("\"kmhipsecca\"").count() > 3, stage == "after", "{settings}");
        }
        // The old CA is worth nothing.
        for place in [0, 2] {
            routers.is_refused(place, "before");
        }
        routers.everybody_meets(round, "again");
    }
}
