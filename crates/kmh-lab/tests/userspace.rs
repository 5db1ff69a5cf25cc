//! Tunnels by strongSwan's own ESP, on a kernel that may have none: two pfSense, stood in for, and a router in a namespace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stderr,
    reason = "tests, which say what they measured"
)]

mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;
use support::{World, command};

const UP: &str = "up -i stream.json --store pki --tunnels userspace";
/// All that may be on a line: IKE and ESP in UDP, neighbours, questions for names.
const OUTER: &str = "udp port 500 or udp port 4500 or arp or icmp6 or port 53";

/// Machines that keep the tunnels.
const ROUTERS: [&str; 3] = ["fw-attic", "fw-flat", "vps-host"];

/// Ends a tunnel, and calls.
const ANEW: &str = "swanctl --terminate --ike $child --timeout 5 --uri $at; \
                    swanctl --initiate --child $child --timeout 10 --uri $at || :";

struct Lab {
    world: World,
    up: Value,
}

impl Lab {
    fn up(inventory: Option<&str>) -> Self {
        let world = World::new(inventory);
        let ran = world.lab(&format!("{UP} -o json")).exits(0);
        let ran = ran.says("strongSwan's own ESP in UDP").says("packets of at most 1400 octets");
        let up = serde_json::from_str(&ran.stdout).unwrap();
        Self { world, up }
    }

    /// What pods do not reach, of the two that the prediction has something to say of.
    fn missed(&self) -> Result<(), String> {
        let ran = self.world.lab("ping pod-attic-1 pod-flat-1 pod-vps-1 -o text");
        if ran.code == 0 { Ok(()) } else { Err(format!("{ran:?}")) }
    }

    /// What a charon says of tunnels of a router: of those that this end begins, or of all.
    fn charons(&self, machine: &str, begins: bool, what: &str) -> String {
        let which = if begins { "start_action = .*start" } else { "" };
        let line = format!(
            "for file in /etc/swanctl/kmh-lab-*.conf; do grep -q '{which}' $file || continue; number=${{file##*-}}; \
             at=unix:///run/kmh-lab-esp/${{number%.conf}}.vici; \
             child=$(sed -n '/children {{/{{n;s/[ {{]//g;p;q}}' $file); {what}; done 2>&1"
        );
        self.world.inside(machine, &line)
    }

    /// Tunnels that carry ESP, all three, each with what names its IKE SA: a new one has another name.
    fn sas(&self) -> Result<BTreeSet<(String, String)>, String> {
        let said =
            ROUTERS.map(|router| self.charons(router, false, "swanctl --list-sas --child $child --uri $at"));
        let mut found = BTreeSet::new();
        for text in &said {
            let mut ike = "";
            for line in text.lines() {
                match line.split_once(": #") {
                    Some((_, rest)) if line.starts_with(' ') && rest.contains("INSTALLED") => {
                        let child = line.trim().split(':').next().unwrap_or_default();
                        found.insert((child.to_owned(), ike.to_owned()));
                    }
                    // Both cookies; an asterisk stands behind that of this end.
                    Some((name, rest)) if !line.starts_with(' ') => {
                        ike = rest.split("IKEv2, ").nth(1).unwrap_or(name);
                    }
                    _ => {}
                }
            }
        }
        if tunnels(&found) == 3 { Ok(found) } else { Err(said.concat()) }
    }

    /// Every tunnel is ended and begun anew, one after another, so that another one is a way meanwhile.
    fn begin_anew(&self, at: &str) {
        let all = self.sas().unwrap();
        for router in ROUTERS {
            World::until(&format!("{at}: all carry"), 60, || self.sas().map(drop));
            let before = self.sas().unwrap();
            let said = self.charons(router, true, ANEW);
            let ended = said.matches("terminate completed successfully").count();
            World::until(&format!("{at}: tunnels of {router}"), 60, || {
                let new = self.sas()?.difference(&before).count();
                if new >= ended { Ok(()) } else { Err(format!("{new} of {ended}: {said}")) }
            });
        }
        World::until(at, 60, || self.missed());
        let new = self.sas().unwrap().difference(&all).cloned().collect();
        assert_eq!(tunnels(&new), 3, "{at}: {new:?}");
    }

    /// Packets of a kind on all lines while that is done.
    fn recorded(&self, name: &str, filters: &[&str], work: impl FnOnce()) -> Vec<Vec<String>> {
        let start = format!(
            "exec internet -- sh -c \"setsid tcpdump -n -i any --immediate-mode -U -w /run/{name} </dev/null >/run/{name}.log 2>&1 & \
             until grep -q listening /run/{name}.log; do sleep 0.1; done; echo \\$!\""
        );
        let pid = self.world.lab(&start).exits(0).stdout;
        work();
        self.world.sh(&format!("sleep 0.5; kill {}", pid.trim())).exits(0);
        let read = |filter: &&str| {
            let ran = self.world.sh(&format!("tcpdump -n -r /run/{name} \"{filter}\" 2>/dev/null")).exits(0);
            ran.stdout.lines().map(str::to_owned).collect()
        };
        filters.iter().map(read).collect()
    }
}

/// How many tunnels there are among them.
fn tunnels(sas: &BTreeSet<(String, String)>) -> usize {
    sas.iter().map(|(tunnel, _)| tunnel).collect::<BTreeSet<_>>().len()
}

#[test]
fn pods_reach_pods_and_only_esp_is_on_the_lines() {
    let lab = Lab::up(None);
    let world = &lab.world;
    world.pods_reach_pods(&lab.up);
    let not_outer = format!("not ({OUTER})");
    let seen = lab.recorded("whole", &["udp port 4500", &not_outer], || {
        world.pods_reach_pods(&lab.up);
    });
    assert!(seen[0].iter().filter(|line| line.contains("UDP-encap: ESP")).count() >= 20, "{:?}", seen[0]);
    assert_eq!(seen[1], Vec::<String>::new());
    // One charon for each tunnel, all of them on the ports of IKE for whoever is outside.
    let sockets = world.inside("fw-attic", "ss -Hlun | grep -c \"0.0.0.0:2000[0-9]\"");
    assert_eq!(sockets.trim(), "4", "two tunnels, two ports each");
    // A packet that fits, and one that the plugin would not read whole.
    let ping = |size: u16| {
        world.lab(&format!("ping pod-attic-1 pod-vps-1 --size {size} -o text")).stdout.contains("all")
    };
    assert_eq!((ping(1400), ping(1401)), (true, false));
    // The same bundle again changes nothing; the way is the lab's once it is up.
    let again = world.lab("up -i stream.json --store pki -o json").exits(0);
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap()["changed"], false, "{again:?}");
    world.lab("up -i stream.json --store pki --tunnels plain").exits(2).says("carried in another way");

    // With every charon dead nothing inner is on a line.
    for router in ["fw-attic", "fw-flat", "gw-vps"] {
        world.lab(&format!("kill {router}:charon-systemd")).exits(0);
    }
    let seen = lab.recorded("dead", &["net 10.0.0.0/8", "udp port 4500"], || {
        assert!(lab.missed().is_err(), "sites reach each other without tunnels");
    });
    assert_eq!(seen, [Vec::<String>::new(), Vec::new()]);
    world.lab("heal").exits(0);
    World::until("tunnels are back", 60, || lab.missed());
}

#[test]
fn tunnels_of_a_redialled_line_heal_by_themselves_and_a_cut_one_moves_traffic_as_predicted() {
    let lab = Lab::up(None);
    let world = &lab.world;
    World::until("pods reach pods", 60, || lab.missed());
    let (line, old, new) = ("fw-attic/dsl", "198.18.0.18", "100.64.0.18");
    let begin = Instant::now();
    let ran = world.lab(&format!("redial uplink/{line} -o text")).exits(0);
    assert!(!ran.stderr.contains("do not notice"), "{ran:?}");
    // Both peers see it there. Whoever is left at the old address says goodbye to nobody for minutes: no tunnel any more.
    World::until("both of its tunnels carry again", 90, || {
        let line = "for at in /run/kmh-lab-esp/*.vici; do swanctl --list-sas --uri unix://$at; done";
        let sas = ["fw-flat", "vps-host"].map(|router| world.inside(router, line)).concat();
        if sas.matches(&format!("@ {new}[4500]")).count() >= 2 { lab.missed() } else { Err(sas) }
    });
    eprintln!("{line}: {:?} after the redial", begin.elapsed());
    let not_outer = format!("not ({OUTER})");
    let here = format!("udp port 4500 and host {new}");
    let gone = format!("src host {old} or (dst host {old} and udp[8:4] != 0)");
    let seen = lab.recorded("again", &[&here, &gone, &not_outer], || lab.missed().unwrap());
    assert!(seen[0].iter().any(|line| line.contains("UDP-encap: ESP")), "{line}: {:?}", seen[0]);
    assert_eq!((&seen[1], &seen[2]), (&Vec::new(), &Vec::new()), "{line}");
    World::until("all tunnels carry", 60, || lab.missed());
    let ran = world.lab("measure tunnel/fw-attic--gw-vps -o json").exits(0);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    eprintln!("{said}");
    assert_eq!(said["as_predicted"], true, "{said}");
    let streams = said["streams"].as_array().unwrap();
    let moved = streams.iter().filter(|row| row["predicted"] == "moved");
    assert!(moved.clone().count() > 0 && moved.clone().all(|row| row["lost_ms"] != 0), "{said}");
    world.lab("cut tunnel/fw-attic--fw-flat --clean").exits(0);
    World::until("the other way is used", 60, || lab.missed());
    world.lab("heal").exits(0);
    World::until("all tunnels carry again", 60, || lab.missed());
}

/// A ping from site to site that goes on until it is ended.
struct Ping<'a> {
    lab: &'a Lab,
    from: &'static str,
    to: &'static str,
}

impl<'a> Ping<'a> {
    fn start(lab: &'a Lab, from: &'static str, to: &'static str) -> Self {
        let pods = lab.up["pods"].as_array().unwrap();
        let address = pods.iter().find(|pod| to == format!("pod-{}", pod["node"].as_str().unwrap())).unwrap();
        let address = address["address"].as_str().unwrap();
        let line = format!(
            "exec {from} -- sh -c 'echo $$ >/run/ping-{to}; exec ping -n -i 0.2 -W 1 {address}' >ping-{from}-{to} 2>&1 &"
        );
        lab.world.lab(&line).exits(0);
        Self { lab, from, to }
    }

    /// How many were sent, and the most that were lost one after another.
    fn end(&self) -> (usize, usize) {
        let (from, to) = (self.from, self.to);
        self.lab.world.inside(from, &format!("kill -INT $(cat /run/ping-{to})"));
        let file = format!("ping-{from}-{to}");
        World::until("statistics", 20, || {
            let text = self.lab.world.sandbox.read(&file);
            if text.contains(" packets transmitted") { Ok(()) } else { Err(text) }
        });
        let text = self.lab.world.sandbox.read(&file);
        let word = |line: &str| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse::<usize>().ok();
        let mut came: Vec<usize> =
            text.lines().filter(|line| line.contains(" ttl=")).filter_map(word).collect();
        let sent = text.lines().find(|line| line.contains(" packets transmitted")).unwrap();
        let sent: usize = sent.split(' ').next().unwrap().parse().unwrap();
        came.push(0);
        came.push(sent + 1);
        came.sort_unstable();
        (sent, came.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(1)).max().unwrap())
    }
}

#[test]
fn packets_flow_through_every_stage_of_a_rotation_of_the_tunnels_ca() {
    let text = std::fs::read_to_string(kmh_tests::sandbox::article()).unwrap();
    // With certificates a pfSense cannot have two CAs.
    let lab = Lab::up(Some(&text.replace("kind: pfsense", "kind: linux")));
    let world = &lab.world;
    World::until("pods reach pods", 60, || lab.missed());
    a_refused_call(&lab);
    world.sh("cp -a pki before && cp stream.json before.json").exits(0);
    let ways = [("pod-attic-1", "pod-vps-1"), ("pod-vps-1", "pod-flat-1"), ("pod-flat-1", "pod-attic-1")];
    let seen = lab.recorded("rotation", &["udp port 4500", "net 10.0.0.0/8"], || {
        let pings = ways.map(|(from, to)| Ping::start(&lab, from, to));
        let mut next = "kmh-pki rotate ipsec --store pki -i cluster.yaml".to_owned();
        // Who has it first is another one each time.
        for first in ["gw-vps", "fw-attic", "fw-flat"] {
            let ran = world.admin(&format!("{next} -o json")).exits(0);
            let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
            let (stage, todo) = (&answer["stage"], &answer["todo"]);
            let deploy = todo.as_array().unwrap().iter().find(|one| one["kind"] == "deploy").unwrap();
            assert_eq!(deploy["say"], "in any order", "{todo}");
            world.admin(&command(todo, "document")).exits(0);
            let push = command(todo, "push");
            for more in [format!("--limit {first}"), String::new()] {
                let ran = world.admin(&format!("{push} {more} -o text")).exits(0);
                assert!(ran.stdout.contains("reload strongswan.service"), "{ran:?}");
                // Some of the routers have it; then all.
                World::until(&format!("{stage} {more}: all carry"), 60, || {
                    lab.sas().and_then(|_| lab.missed())
                });
            }
            lab.begin_anew(&format!("{stage}"));
            next = command(todo, "next");
        }
        assert_eq!(next, "");
        for ping in &pings {
            let (sent, lost) = ping.end();
            eprintln!("{} to {}: {lost} of {sent} lost in a row", ping.from, ping.to);
            assert!(
                sent > 50 && lost <= 50,
                "{} to {}: {lost} of {sent}, one each 0.2 s",
                ping.from,
                ping.to
            );
        }
    });
    assert!(seen[0].iter().filter(|line| line.contains("UDP-encap: ESP")).count() >= 300);
    assert_eq!(seen[1], Vec::<String>::new());

    // Who comes with a certificate of the old CA, and trusts it alone, carries nothing any more.
    world.admin("kmh-push -i before.json --store before --to ssh --limit fw-attic -o text").exits(0);
    let said = lab.charons("fw-attic", true, ANEW);
    assert!(said.contains("AUTH_FAILED") && !said.contains("initiate completed successfully"), "{said}");
    assert!(lab.missed().is_err());
    world.admin("kmh-push -i stream.json --store pki --to ssh --limit fw-attic -o text").exits(0);
    lab.begin_anew("again");
}

/// Who is called before it knows its tunnels refuses, and does not call itself: a router that starts.
fn a_refused_call(lab: &Lab) {
    let begun = lab.sas().unwrap();
    let forget = "printf 'connections {\\n}\\n' >/run/none; swanctl --load-conns --file /run/none --uri $at; \
                  swanctl --terminate --ike $child --force --timeout 5 --uri $at || :";
    lab.charons("vps-host", false, forget);
    World::until("everybody was refused", 20, || {
        let left = ["fw-attic", "fw-flat"]
            .map(|router| lab.charons(router, true, "swanctl --list-sas --ike $child --uri $at"));
        if left.concat().contains("gw-vps: #") { Err(left.concat()) } else { Ok(()) }
    });
    lab.charons("vps-host", false, "swanctl --load-conns --file $file --uri $at");
    World::until("they called again", 60, || lab.sas().and_then(|_| lab.missed()));
    assert!(!lab.sas().unwrap().is_subset(&begun));
}
