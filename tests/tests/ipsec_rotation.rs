//! The CA of the tunnels is rotated while real charons of three Linux routers, in namespaces, keep each other's word: at every
//! stage, and while only some of the routers have what the stage asks for, each believes each.
//!
//! What is shown is IKE, which certificates are for. Kernels without ESP cannot do the rest, and charon keeps the IKE SA
//! then. crates/kmh-lab/tests/userspace.rs has packets flow through the same stages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod charons;

use std::time::Duration;

use charons::{ROUTERS, Routers};
use kmh_tests::netns::until;
use kmh_tests::sandbox::Ran;

/// Who has a tunnel with whom, by the number of its place.
const PAIRS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

impl Routers {
    /// The end that calls does so from nothing; whether the two believed each other.
    fn calls(&self, one: usize, other: usize) -> Ran {
        let name = format!("{}--{}", ROUTERS[one].0, ROUTERS[other].0);
        for end in [one, other] {
            // There may be none.
            self.ask(end, &format!("--terminate --ike {name} --force --timeout 5"));
        }
        let conf = self.sandbox.read(&format!("{}/etc/swanctl/conf.d/kmh.conf", ROUTERS[one].0));
        let own = conf.split(&format!("    {name} {{\n")).nth(1).expect("its connection");
        let is_called = own.lines().take(6).any(|line| line.trim() == "remote_addrs = %any");
        let from = if is_called { other } else { one };
        self.ask(from, &format!("--initiate --ike {name} --timeout 20"))
    }

    /// Every two of them are connected by themselves, and whoever calls anew is believed.
    #[track_caller]
    fn everybody_meets(&self, at: &str) {
        until(Duration::from_secs(60), at, || {
            let lists = [0, 1, 2].map(|place| self.ask(place, "--list-sas").stdout);
            let met = |(one, other): &(usize, usize)| {
                let name = format!("{}--{}: ", ROUTERS[*one].0, ROUTERS[*other].0);
                let up = |list: &String| {
                    list.lines().any(|line| line.starts_with(&name) && line.contains("ESTABLISHED"))
                };
                up(&lists[*one]) && up(&lists[*other])
            };
            if PAIRS.iter().all(met) { Ok(()) } else { Err(lists.concat()) }
        });
        // Each of the two shows itself to the other, whoever calls.
        for (one, other) in PAIRS {
            let ran = self.calls(one, other);
            assert_eq!(
                ran.code,
                0,
                "{at}, {} and {}: {ran:?}\n{}",
                ROUTERS[one].0,
                ROUTERS[other].0,
                self.log(other)
            );
        }
    }
}

#[test]
fn tunnels_meet_at_every_stage_whoever_has_it_first() {
    let routers = Routers::start("linux", "--load-all --noprompt");
    routers.everybody_meets("before");
    routers.sandbox.sh("cp -a out before").exits(0);
    let certificate = |folder: &str, router: &str| {
        let found = routers.sandbox.sh(&format!("cat {folder}/{router}/etc/swanctl/x509/*.crt")).exits(0);
        found.stdout
    };
    // In another order each time: nobody has to be first.
    for (stage, deployed, order) in
        [("trust", "", [0, 1, 2]), ("issue", "--deployed", [2, 0, 1]), ("after", "--deployed", [1, 2, 0])]
    {
        let call = format!("kmh-pki rotate ipsec {deployed} --store pki -i cluster.yaml");
        routers.sandbox.sh(&call).exits(0);
        routers.documents();
        for (number, place) in order.into_iter().enumerate() {
            let router = ROUTERS[place].0;
            let before = certificate("out", router);
            routers.deploy(place);
            // Only the second stage gives routers other certificates.
            assert_eq!(certificate("out", router) != before, stage == "issue", "{stage} {router}");
            routers.everybody_meets(&format!("{stage}, {} of 3 have it, {router} the last", number + 1));
        }
    }
    // The old CA is worth nothing: who comes with a certificate of it, and who trusts it alone, meets nobody.
    routers.take(0, "before");
    for (one, other) in [(0, 1), (0, 2)] {
        let ran = routers.calls(one, other);
        assert!(ran.code != 0 && ran.stdout.contains("AUTH"), "{ran:?}");
    }
    routers.take(0, "out");
    routers.everybody_meets("again");
}
