//! The prediction equals reality: clusters of every kind in `kmh-lab`, with the real FRR and BIRD and the
//! rendered packet filters; every table is compared with what was predicted, and again with each single failure.
//!
//! `KMH_TRUTH=six,random-7` runs only those clusters, `KMH_SEEDS=51-100` other random ones, `KMH_LABS=2` so many side
//! by side.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stderr,
    reason = "tests, which say how long something took"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kmh_doc::network::Session;
use kmh_lab::plan::OUTSIDE;
use kmh_tests::lab::ground::Pod;
use kmh_tests::lab::weather::Failure;
use kmh_tests::lab::{Lab, family, pod_space};
use kmh_tests::netns::until;
use kmh_tests::topologies::{Dice, Kind, Topology, named, random, site};
use serde_json::Value;

/// Labs side by side: they wait for timers most of the time.
const LABS: usize = 7;

/// Runs jobs side by side and gives all complaints.
fn side_by_side<T: Send>(jobs: Vec<T>, work: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let wanted = std::env::var("KMH_LABS").ok().and_then(|text| text.parse().ok()).unwrap_or(LABS);
    let (queue, complaints) = (Mutex::new(jobs.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..wanted {
            scope.spawn(|| {
                loop {
                    let Some(job) = queue.lock().unwrap().next() else { return };
                    let found = catch_unwind(AssertUnwindSafe(|| work(&job))).unwrap_or_else(|panic| {
                        let text = panic.downcast_ref::<String>().cloned();
                        vec![
                            text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                                .unwrap_or_default(),
                        ]
                    });
                    complaints.lock().unwrap().extend(found);
                }
            });
        }
    });
    complaints.into_inner().unwrap()
}

/// Builds a cluster, compares, and again with each failure by itself.
fn holds(name: &str, inventory: &str, failures: impl Fn(&Lab) -> Vec<Failure>, again: bool) -> Vec<String> {
    let start = Instant::now();
    let mut lab = Lab::up(inventory);
    let mut complaints = Vec::new();
    let mut check = |lab: &Lab, what: &str| match lab.agrees() {
        Ok(took) => eprintln!("{name}: {what}: as predicted after {took:.1?}"),
        Err(text) => {
            let complaint = format!("{name}: {what}: NOT as predicted\n{text}");
            eprintln!("{complaint}");
            complaints.push(complaint);
        }
    };
    check(&lab, "all is well");
    let failures = failures(&lab);
    for (number, failure) in failures.iter().enumerate() {
        lab.strike(failure);
        check(&lab, &failure.to_string());
        lab.mend(failure);
        // A machine that came back and another that goes at once would be two failures: sessions break in other ways.
        let machine = matches!(failure, Failure::Router(_) | Failure::Node(_));
        if machine && (number + 1 < failures.len() || again) {
            check(&lab, &format!("after {failure}"));
        }
    }
    eprintln!("{name}: done after {:.0?}", start.elapsed());
    complaints
}

/// Every tunnel, every router, every line of routers with several, and the last node.
fn every_single(lab: &Lab) -> Vec<Failure> {
    let network = &lab.documents.network;
    let routers = network.routers.iter().map(|router| Failure::Router(router.name.clone()));
    let nodes = network.nodes.last().map(|node| Failure::Node(node.name.clone()));
    let tunnels = lab.tunnels().into_iter().map(Failure::Tunnel);
    tunnels.chain(lines(lab)).chain(routers).chain(nodes).collect()
}

/// The lines of routers with several.
fn lines(lab: &Lab) -> Vec<Failure> {
    let routers = lab.documents.inventory.sites.iter().flat_map(|site| &site.routers);
    let several = routers.filter(|router| router.uplinks.len() > 1);
    let names =
        several.flat_map(|router| router.uplinks.iter().map(|line| format!("{}/{}", router.name, line.name)));
    names.map(Failure::Uplink).collect()
}

fn wanted(name: &str) -> bool {
    std::env::var("KMH_TRUTH").map_or(true, |only| only.split(',').any(|one| one == name))
}

#[test]
fn named_clusters_are_as_predicted() {
    let article = std::fs::read_to_string(kmh_tests::sandbox::article()).unwrap();
    let mut jobs = vec![("article".to_owned(), article)];
    jobs.extend(named().into_iter().map(|topology| (topology.name.clone(), topology.inventory())));
    jobs.retain(|(name, _)| wanted(name));
    let complaints = side_by_side(jobs, |(name, inventory)| holds(name, inventory, every_single, true));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Random clusters, each with one tunnel cut, and with something else down: a router, mostly, or a node, or a line.
#[test]
fn random_clusters_are_as_predicted() {
    let (first, last) = std::env::var("KMH_SEEDS").map_or((1, 50), |text| {
        let (first, last) = text.split_once('-').expect("KMH_SEEDS=51-100");
        (first.parse().expect("a seed"), last.parse().expect("a seed"))
    });
    let jobs: Vec<(u64, Topology)> = (first..=last).map(|seed| (seed, random(seed))).collect();
    let jobs: Vec<_> = jobs.into_iter().filter(|(_, topology)| wanted(&topology.name)).collect();
    let complaints = side_by_side(jobs, |(seed, topology)| {
        let failures = |lab: &Lab| {
            let mut dice = Dice(seed + 1000);
            let mut others: Vec<Failure> = every_single(lab);
            others.retain(|failure| !matches!(failure, Failure::Tunnel(_)));
            let tunnels = lab.tunnels();
            let tunnel = Failure::Tunnel(tunnels[dice.roll(tunnels.len())].clone());
            vec![tunnel, others.swap_remove(dice.roll(others.len()))]
        };
        holds(&topology.name, &topology.inventory(), failures, false)
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// From the first second on, with all tunnels, with none, with routers that die: pods of every site call the others all
/// the time, and nothing of the cluster's is ever seen on a line to the Internet.
#[test]
fn nothing_leaves_in_clear_text() {
    let jobs = ["two-routers", "two-routers-bird", "two-lines", "a-bird", "dual", "six-bird"];
    let jobs: Vec<Topology> =
        named().into_iter().filter(|topology| jobs.contains(&&*topology.name)).collect();
    let complaints = side_by_side(jobs, |topology| {
        let mut lab = Lab::up(&topology.inventory());
        lab.watch_the_internet();
        call_all_the_time(&mut lab);
        if let Err(complaint) = lab.agrees() {
            return vec![format!("{}: {complaint}", topology.name)];
        }
        for tunnel in lab.tunnels() {
            lab.strike(&Failure::Tunnel(tunnel));
        }
        if let Err(complaint) = lab.agrees() {
            return vec![format!("{}: without tunnels: {complaint}", topology.name)];
        }
        let mut complaints = Vec::new();
        let pods = lab.ground.pods.clone();
        for (from, to) in pods.iter().flat_map(|from| pods.iter().map(move |to| (from, to))) {
            if from.site != to.site
                && from.address.is_ipv6() == to.address.is_ipv6()
                && lab.ping(from, to).is_ok()
            {
                complaints
                    .push(format!("{}: {} reaches {} without a tunnel", topology.name, from.node, to.node));
            }
        }
        let router = lab.documents.network.routers[0].name.clone();
        lab.strike(&Failure::Router(router));
        std::thread::sleep(Duration::from_secs(12));
        let arrived = lab.arrived();
        if arrived.inner > 0 {
            complaints.push(format!(
                "{}: {} packets of the cluster's left in clear text",
                topology.name, arrived.inner
            ));
        }
        // What counts does count: with a route of its own and without its packet filter a router sends them out.
        let last = lab.documents.network.routers.last().expect("a router");
        let target = pods.iter().find(|pod| pod.site != last.site).expect("a pod elsewhere").address;
        let (family, outside) = (family(target), OUTSIDE[usize::from(target.is_ipv6())]);
        // `default via ADDRESS dev INTERFACE …`
        let line = format!(
            "nft flush ruleset; set -- $(ip {family} route show default); \
             ip {family} route add {target} via $3 dev $5 onlink metric 1; \
             ping -n -c 1 -W 1 {target}; ping -n -c 1 -W 1 {outside}"
        );
        lab.sh(&last.name, &line);
        let after = lab.arrived();
        if after.inner == 0 || after.outer == 0 {
            complaints.push(format!("{}: the proof proves nothing: {after:?}", topology.name));
        }
        complaints
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A pod of each site calls one of each other site, five times a second.
fn call_all_the_time(lab: &mut Lab) {
    let pods = lab.ground.pods.clone();
    for from in &pods {
        for to in pods.iter().filter(|to| to.site != from.site) {
            if from.address.is_ipv6() == to.address.is_ipv6() {
                let (source, target) = (from.address.to_string(), to.address.to_string());
                lab.start(&pod_space(&from.node), &["ping", "-n", "-q", "-i", "0.2", "-I", &source, &target]);
            }
        }
    }
}

/// What a person is told about an outage is what he gets: a silent tunnel, a silent node, a node's BIRD that dies. The
/// measured time lies within the said one, give or take a third: timers have jitter, and this machine has other work.
#[test]
fn outages_are_as_long_as_said() {
    let sites = vec![site(Kind::Frr, 2), site(Kind::Bird, 2), site(Kind::Frr, 1)];
    let mut lab = Lab::up(&Topology::new("outages", sites).inventory());
    lab.agrees().unwrap();
    // What is cut before BFD watches is only told by the hold time.
    until(Duration::from_secs(60), "BFD watches", || {
        let answer = lab.frr("r1a", "bfdd", "show bfd peers json");
        let peers: Vec<Value> = serde_json::from_str(&answer).expect("peers");
        let blind = peers.is_empty() || peers.iter().any(|peer| peer["status"] != "up");
        if blind { Err(answer) } else { Ok(()) }
    });
    let session = |lab: &Lab, router: &str, peer: &str| -> Session {
        lab.plan(router).sessions.iter().find(|session| session.peer == peer).expect("a session").clone()
    };
    let within = |what: &str, took: Duration, [from, to]: [u32; 2]| {
        let (least, most) = (u128::from(from) * 2 / 3, u128::from(to) * 4 / 3);
        eprintln!("{what}: {took:?}, said were {from} to {to} ms");
        assert!(
            (least..=most).contains(&took.as_millis()),
            "{what}: {took:?} are not within {from} to {to} ms"
        );
    };

    // From FRR to BIRD and back; the third site carries it on.
    let said = session(&lab, "r1a", "r2a").outage.silent_ms;
    let pods = lab.ground.pods.clone();
    let pod = |node: &str| pods.iter().find(|pod| pod.node == node).expect("a pod").clone();
    let lost = loss(&mut lab, &pod("n11"), &pod("n21"), Failure::Tunnel("r1a--r2a".into()));
    within("a silent tunnel", lost, said);
    lab.mend(&Failure::Tunnel("r1a--r2a".into()));

    for (router, silent, dead) in [("r1a", "n12", "n11"), ("r2a", "n22", "n21")] {
        let known = |lab: &Lab, node: &str| {
            let routes = lab.ip(router, &["route", "show", &pod(node).block.to_string()]);
            if routes.contains("via") { Err(routes) } else { Ok(()) }
        };
        let said = session(&lab, router, silent).outage;
        lab.strike(&Failure::Node(silent.to_owned()));
        let took = until(Duration::from_secs(20), "a silent node", || known(&lab, silent));
        within(&format!("{router}: a silent node"), took, said.silent_ms);
        lab.mend(&Failure::Node(silent.to_owned()));

        lab.kill(dead, "bird");
        let took = until(Duration::from_secs(60), "a dead BIRD", || known(&lab, dead));
        within(&format!("{router}: a dead BIRD"), took, said.closed_ms);
    }
}

/// For how long nothing comes back while something breaks.
fn loss(lab: &mut Lab, from: &Pod, to: &Pod, failure: Failure) -> Duration {
    // One each tenth of a second.
    let line = format!("ping -n -q -i 0.1 -c 100 -W 1 -I {} {}", from.address, to.address);
    let space = pod_space(&from.node);
    let text = std::thread::scope(|scope| {
        let ping = scope.spawn(|| lab.sh(&space, &line).stdout);
        std::thread::sleep(Duration::from_secs(2));
        lab.silence(&failure);
        ping.join().unwrap()
    });
    lab.down.insert(failure);
    let received = text.split(", ").find_map(|part| part.strip_suffix(" received")?.parse::<u64>().ok());
    Duration::from_millis(100 * (100 - received.unwrap_or_else(|| panic!("{text}"))))
}
