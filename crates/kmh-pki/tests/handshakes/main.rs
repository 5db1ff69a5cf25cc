//! The trust graph by real handshakes, both ends with certificates: every pair that must trust each other does, every
//! pair that must not does not, at every stage of every rotation.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod graph;
mod judges;

use std::collections::BTreeSet;

use common::Place;
use common::clock::{START, at, made};
use graph::{End, HOUSE, Job, LEAVES, Rotation, SERVICES, STAGES, bundles, thin};
use kmh_cli::Exit;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

/// What came out otherwise than it must.
fn wrong<'a>(jobs: &'a [Job], verdicts: &'a [String]) -> Vec<(&'a Job, &'a String)> {
    assert_eq!(jobs.len(), verdicts.len());
    jobs.iter().zip(verdicts).filter(|(job, verdict)| !job.wanted.contains(verdict)).collect()
}

#[track_caller]
fn right(jobs: &[Job], verdicts: &[String]) {
    let wrong = wrong(jobs, verdicts);
    assert!(wrong.is_empty(), "{} of {}, the first: {:#?}", wrong.len(), jobs.len(), wrong[0]);
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn rustls(jobs: &[Job]) -> Vec<String> {
    let now = now();
    jobs.iter().map(|job| judges::rustls(job, now)).collect()
}

#[test]
fn the_graph_has_every_leaf_and_no_stage_leaves_anybody_out() {
    let rotation = Rotation::of("cluster");
    let document = rotation.place.document(HOUSE);
    let all = document["spec"]["certificates"].as_array().unwrap().iter();
    let stems: BTreeSet<&str> = all
        .filter(|one| one.get("issuer").is_some())
        .map(|one| one["name"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(stems, LEAVES.iter().map(|leaf| leaf.stem).collect());
    // What the other tests take for right: a machine at one stage and one at the next are always on speaking terms.
    for server in 0..STAGES.len() {
        for client in 0..STAGES.len() {
            let links: Vec<Job> = rotation.jobs(server, client).into_iter().filter(|job| job.link).collect();
            assert_eq!(links.len(), 15);
            assert_eq!(links.iter().all(Job::is_fine), server.abs_diff(client) < 2, "{server}, {client}");
        }
    }
}

/// The whole matrix by rustls and by Python at its strictest, each kind of pair by openssl.
#[track_caller]
fn all_agree(rotated: &'static str) {
    let rotation = Rotation::of(rotated);
    let jobs = rotation.matrix();
    right(&jobs, &rustls(&jobs));
    right(&jobs, &judges::python(&jobs));
    // Whom this rotation does not touch is looked at once.
    let touched = |job: &Job| [job.server.trusts, job.client.trusts].contains(&rotated);
    let few: Vec<Job> = thin(jobs)
        .into_iter()
        .filter(|job| touched(job) && job.link || rotated == "cluster" && job.both_at(&rotation.folder(0)))
        .collect();
    let verdicts: Vec<String> = few.iter().map(|job| judges::openssl(&rotation.place, job)).collect();
    right(&few, &verdicts);
}

#[test]
fn every_pair_while_the_clusters_ca_is_rotated() {
    all_agree("cluster");
}

#[test]
fn every_pair_while_etcds_ca_is_rotated() {
    all_agree("etcd");
}

#[test]
fn every_pair_while_the_front_proxys_ca_is_rotated() {
    all_agree("front-proxy");
}

#[test]
fn every_pair_while_the_tunnels_ca_is_rotated() {
    all_agree("ipsec");
}

#[test]
fn the_matrix_sees_a_bundle_without_the_new_ca() {
    let rotation = Rotation::of("etcd");
    std::fs::copy(rotation.folder(0).join("etcd.bundle"), rotation.folder(1).join("etcd.bundle")).unwrap();
    let jobs = rotation.matrix();
    for verdicts in [rustls(&jobs), judges::python(&jobs)] {
        let mut wrong = wrong(&jobs, &verdicts);
        wrong.retain(|(job, _)| job.is_fine());
        // Four pairs, each with either end not told of the CA that signs at the next stage.
        assert_eq!(wrong.len(), 8, "{wrong:#?}");
        assert!(wrong.iter().all(|(_, verdict)| verdict.ends_with(": issuer")), "{wrong:#?}");
    }
}

/// The pairs of the graph.
fn links(place: Place) -> (Rotation, Vec<Job>) {
    let rotation = Rotation { place, rotated: "" };
    let jobs = rotation.jobs(0, 0).into_iter().filter(|job| job.link).collect();
    (rotation, jobs)
}

/// A copy of the store as it is, whatever the time.
fn keep(place: &Place, folder: &str) {
    let line = format!(
        "cp -r store {folder}; cd {folder}/ca; for ca in *.crt; do cp $ca ../${{ca%.crt}}.bundle; done"
    );
    place.sh(&line, "").exits(0);
}

#[test]
fn what_has_ended_or_not_begun_is_refused_by_both_ends() {
    let daily = format!("{HOUSE}  pki: {{days: 1}}\n");
    let now = now();
    // Made again when a third of a day is left, and set back by an hour.
    let moments = [("ended", now - Duration::days(2)), ("good", now), ("early", now + Duration::hours(17))];
    let place = made(moments[0].1, &daily);
    for (name, moment) in moments {
        let (exit, _, stderr) = at(&place, moment, &["--expired"], &daily);
        assert_eq!(exit, Exit::Done, "{stderr}");
        keep(&place, name);
    }
    let (rotation, links) = links(place);
    let folder = |name: &str| rotation.place.path().join(name);
    let mut jobs = Vec::new();
    for (server, client, wanted) in [
        ("good", "good", "fine"),
        ("ended", "good", "client: ended"),
        ("good", "ended", "server: ended"),
        ("early", "good", "client: early"),
        ("good", "early", "server: early"),
    ] {
        jobs.extend(links.iter().cloned().map(|mut job| {
            (job.server.folder, job.client.folder) = (folder(server), folder(client));
            job.wanted = vec![wanted.to_owned()];
            job
        }));
    }
    right(&jobs, &rustls(&jobs));
    right(&jobs, &judges::python(&jobs));
    let few: Vec<Job> = jobs.into_iter().filter(|job| job.what == "etcd peer").collect();
    let verdicts: Vec<String> = few.iter().map(|job| judges::openssl(&rotation.place, job)).collect();
    right(&few, &verdicts);
}

#[test]
fn to_the_second_a_leaf_is_good_until_its_end() {
    let place = made(START, HOUSE);
    let (rotation, links) = links(place);
    keep(&rotation.place, STAGES[0].0);
    let (begin, end) = (datetime!(2026-11-22 11:00 UTC), datetime!(2027-11-22 12:00 UTC));
    let second = Duration::seconds(1);
    for (moment, wanted) in
        [(begin - second, "client: early"), (begin, "fine"), (end, "fine"), (end + second, "client: ended")]
    {
        for job in &links {
            assert_eq!(judges::rustls(job, moment), wanted, "{moment}: {job:#?}");
        }
    }
}

#[test]
fn who_shows_no_certificate_is_refused_everywhere() {
    let (rotation, mut jobs) = links(Place::with_store(HOUSE));
    keep(&rotation.place, STAGES[0].0);
    for job in &mut jobs {
        job.client.file.clear();
        job.wanted = vec!["server: none".to_owned()];
    }
    right(&jobs, &rustls(&jobs));
    right(&jobs, &judges::python(&jobs));
    let jobs = thin(jobs);
    assert_eq!(jobs.len(), SERVICES.len());
    let verdicts: Vec<String> = jobs.iter().map(|job| judges::openssl(&rotation.place, job)).collect();
    right(&jobs, &verdicts);
}

#[test]
fn keys_of_every_kind_shake_hands_while_the_cas_change_theirs() {
    let mixed = "  pki: {algorithms: {cluster-ca: rsa-2048, etcd-ca: ed25519, front-proxy-ca: ecdsa-p384, \
                 apiserver: rsa-3072, etcd-server: rsa-2048, etcd-peer: ed25519, front-proxy-client: ed25519, \
                 kubelet-client: ecdsa-p384, admin: rsa-2048}}\n";
    for rotated in ["cluster", "etcd"] {
        let rotation = Rotation::with(rotated, mixed);
        let jobs = thin(rotation.matrix());
        right(&jobs, &rustls(&jobs));
        right(&jobs, &judges::python(&jobs));
    }
}

#[test]
fn below_a_root_rustls_trusts_each_ca_and_nothing_beside_it() {
    // Python and openssl want the flag for it; `anchors.rs` has who takes an intermediate for an anchor.
    for name in ["cluster", "etcd"] {
        let rotation = Rotation::with(name, "  pki: {root: true}\n");
        let jobs = thin(rotation.matrix());
        right(&jobs, &rustls(&jobs));
    }
}

/// Machines of the inventory, and every name and address by which it says that they are reached.
const MACHINES: [(&str, &[&str]); 5] = [
    ("cp-1", &["cp-1", "10.10.0.11", "fd00:10::11", "cp-1.vpn.example.net", "100.64.0.11", "2001:db8::11"]),
    ("cp-2", &["cp-2", "10.10.0.12", "fd00:10::12"]),
    ("cp-3", &["cp-3", "10.10.0.13", "fd00:10::13"]),
    ("w-1", &["w-1", "10.10.0.21", "fd00:10::21"]),
    ("w-2", &["w-2", "10.10.0.22", "fd00:10::22"]),
];
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const API: [&str; 7] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "k8s.example.net",
    "10.201.0.1",
    "fd00:201::1",
];

#[test]
fn a_server_answers_by_each_of_its_names_and_by_nobody_elses() {
    let place = Place::with_store(HOUSE);
    let folder = place.path().join("store");
    bundles(&place, HOUSE, &folder);
    let all: Vec<&str> =
        MACHINES.iter().flat_map(|one| one.1).chain(&LOOPBACK).chain(&API).copied().collect();
    let mut jobs = Vec::new();
    for (machine, own) in MACHINES {
        for (stem, ca, loopback, api) in [
            ("apiserver", "cluster", true, true),
            ("controller-manager-serving", "cluster", true, false),
            ("scheduler-serving", "cluster", true, false),
            ("etcd-server", "etcd", true, false),
            ("etcd-peer", "etcd", true, false),
            ("kubelet-serving", "cluster", false, false),
        ] {
            if stem != "kubelet-serving" && machine.starts_with("w-") {
                continue;
            }
            for name in &all {
                let good =
                    own.contains(name) || loopback && LOOPBACK.contains(name) || api && API.contains(name);
                let dialer = if ca == "etcd" { "apiserver-etcd-client" } else { "admin" };
                let end = |file: String| End { folder: folder.clone(), file, trusts: ca };
                jobs.push(Job {
                    what: stem,
                    server: end(format!("nodes/{machine}/{stem}")),
                    client: end(format!("nodes/cp-3/{dialer}")),
                    name: (*name).to_owned(),
                    wanted: vec![if good { "fine" } else { "client: name" }.to_owned()],
                    link: good,
                });
            }
        }
    }
    assert_eq!(jobs.len(), 20 * all.len());
    right(&jobs, &rustls(&jobs));
    right(&jobs, &judges::python(&jobs));
    let few: Vec<Job> = jobs.into_iter().filter(|job| job.server.file == "nodes/cp-1/apiserver").collect();
    let verdicts: Vec<String> = few.iter().map(|job| judges::openssl(&place, job)).collect();
    right(&few, &verdicts);
}
