//! The prediction equals reality: clusters of every kind in network namespaces, with the real FRR and BIRD and the
//! rendered packet filters; every table is compared with what was predicted, and again with each single failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests, which say how long something took"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kmh_tests::lab::Lab;
use kmh_tests::lab::weather::Failure;
use kmh_tests::topologies::{Dice, Topology, named, random};

/// BIRD's connect delay, FRR's retry after ten seconds, many labs on few processors.
const START: Duration = Duration::from_secs(45);
/// The hold time of nine seconds, and what follows.
const CHANGE: Duration = Duration::from_secs(30);
/// Labs side by side: they wait for timers most of the time.
const LABS: usize = 4;

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
                        vec![text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()]
                    });
                    complaints.lock().unwrap().extend(found);
                }
            });
        }
    });
    complaints.into_inner().unwrap()
}

/// Builds a cluster, compares, and again with each failure by itself.
fn holds(name: &str, inventory: &str, failures: impl Fn(&Lab) -> Vec<Failure>) -> Vec<String> {
    let start = Instant::now();
    let mut lab = Lab::up(inventory);
    let mut complaints = Vec::new();
    let mut check = |lab: &Lab, what: &str, limit: Duration| {
        let answer = check_once(lab, limit);
        match answer {
            Ok(took) => eprintln!("{name}: {what}: as predicted after {took:.1?}"),
            Err(text) => {
                let complaint = format!("{name}: {what}: NOT as predicted\n{text}");
                eprintln!("{complaint}");
                complaints.push(complaint);
            }
        }
    };
    check(&lab, "all is well", START);
    for failure in failures(&lab) {
        lab.strike(&failure);
        check(&lab, &failure.to_string(), CHANGE);
        lab.mend(&failure);
    }
    eprintln!("{name}: done after {:.0?}", start.elapsed());
    complaints
}

fn check_once(lab: &Lab, limit: Duration) -> Result<Duration, String> {
    if std::env::var_os("KMH_UNPREDICTED").is_some() {
        let took = lab.settle(limit)?;
        if lab.down.is_empty() {
            lab.all_reach_all()?;
        }
        return Ok(took);
    }
    lab.agrees(limit)
}

/// Every tunnel, every router.
fn every_single(lab: &Lab) -> Vec<Failure> {
    let routers = lab.documents.network.routers.iter().map(|router| Failure::Router(router.name.clone()));
    lab.tunnels().into_iter().map(Failure::Tunnel).chain(routers).collect()
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
    let complaints = side_by_side(jobs, |(name, inventory)| holds(name, inventory, every_single));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Random clusters, each with one tunnel or line cut and one router down.
#[test]
fn random_clusters_are_as_predicted() {
    let jobs: Vec<(u64, Topology)> = (1..=50).map(|seed| (seed, random(seed))).collect();
    let jobs: Vec<_> = jobs.into_iter().filter(|(_, topology)| wanted(&topology.name)).collect();
    let complaints = side_by_side(jobs, |(seed, topology)| {
        holds(&topology.name, &topology.inventory(), |lab| {
            let mut dice = Dice(seed + 1000);
            let (tunnels, routers) = (lab.tunnels(), &lab.documents.network.routers);
            let tunnel = tunnels[dice.roll(tunnels.len())].clone();
            let router = routers[dice.roll(routers.len())].name.clone();
            vec![Failure::Tunnel(tunnel), Failure::Router(router)]
        })
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
