//! A small cluster that is right in every respect, and what becomes of it when one thing is changed.
//!
//! The documents are made here by hand, so that these tests need no other tool; `tests/tests/check.rs` of the
//! workspace changes the documents of the real pipe.

mod bundle;
mod cases;
mod issue;
mod network;
mod network_cases;

use std::collections::BTreeMap;

use kmh_doc::bundle::BundleSpec;
use kmh_doc::check::{CheckSpec, State};
use kmh_doc::network::NetworkSpec;
use kmh_doc::pki::PkiSpec;
use kmh_doc::push::{MachineReport, Outcome, PushSpec};
use kmh_model::Model;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::bundle::view::Bundle;
use crate::documents::{Documents, Inventory, Pki};
use crate::report::report;
use crate::table::TABLE;

/// Two sites, a Linux router and a pfSense, a control plane and a Raspberry Pi.
const INVENTORY: &str = "\
kind: kmh.inventory/v1
spec:
  cluster:
    name: lab
    versions: {kubernetes: 1.36.2, etcd: 3.6.8, containerd: 2.1.4, calico: 3.31.2}
    pod_cidrs: 10.200.0.0/16
    service_cidrs: 10.201.0.0/16
    load_balancer_cidrs: 10.202.0.0/24
    api: {host: k8s.example.net}
  tunnels: {network: 10.255.0.0/22}
  sites:
    - name: a
      network: 10.10.0.0/24
      pod_cidrs: 10.200.0.0/18
      routers:
        - {name: ra, id: 1, kind: linux, asn: 65010, address: 10.10.0.1, uplinks: [{name: eth0, address: 203.0.113.7}]}
    - name: b
      network: 10.20.0.0/24
      pod_cidrs: 10.200.64.0/18
      routers:
        - {name: rb, id: 3, kind: pfsense, asn: 65020, address: 10.20.0.1, interface: opt1, uplinks: [{name: wan, address: 198.51.100.7}]}
  nodes:
    - {name: cp, site: a, address: 10.10.0.11, arch: amd64, roles: [control-plane, etcd, worker]}
    - {name: pi, site: b, address: 10.20.0.21, arch: arm64, roles: [worker], names: [pi.vpn.example.net, 100.64.0.5]}
";

/// The moment of every test.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

/// All documents of the small cluster.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) inventory: String,
    pub(crate) pki: PkiSpec,
    pub(crate) network: NetworkSpec,
    pub(crate) bundle: BundleSpec,
    pub(crate) push: PushSpec,
    pub(crate) now: OffsetDateTime,
    /// Keys of the CAs by name, PEM.
    pub(crate) authorities: BTreeMap<String, String>,
}

/// What a YAML inventory means.
pub(crate) fn model(text: &str) -> (Model, kmh_doc::Problems) {
    let tree = kmh_doc::tree::parse_yaml(text).expect("a YAML document");
    kmh_model::load(&tree, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

impl Fixture {
    /// Everything right.
    pub(crate) fn good() -> Self {
        static GOOD: std::sync::OnceLock<Fixture> = std::sync::OnceLock::new();
        GOOD.get_or_init(|| {
            let (model, _) = model(INVENTORY);
            let (pki, authorities) = issue::pki(&model);
            let bundle = bundle::bundle(&model, &pki);
            let machines = bundle.machines.iter().map(|m| MachineReport {
                name: m.name.clone(),
                outcome: Outcome::Changed,
                in_turn: false,
                error: None,
                written: Vec::new(),
                unchanged: 0,
                units: Vec::new(),
                arch: m.arch,
            });
            Self {
                inventory: INVENTORY.to_owned(),
                network: network::network(&model),
                push: PushSpec {
                    changed: true,
                    failed: false,
                    refused: None,
                    dry_run: false,
                    live: true,
                    machines: machines.collect(),
                },
                pki,
                bundle,
                now: NOW,
                authorities,
            }
        })
        .clone()
    }

    /// The report on it.
    pub(crate) fn check(&self) -> CheckSpec {
        self.check_with(false, &|_| true)
    }

    pub(crate) fn check_with(&self, strict: bool, chosen: &dyn Fn(&str) -> bool) -> CheckSpec {
        let (model, warnings) = model(&self.inventory);
        let documents = Documents {
            inventory: Some(Inventory { model: &model, warnings: &warnings }),
            pki: Some(Pki::new(&self.pki)),
            network: Some(&self.network),
            bundle: Some(Bundle::new(&self.bundle)),
            push: Some(&self.push),
            now: self.now,
        };
        report(&documents, strict, chosen)
    }
}

#[test]
fn what_is_right_is_said_to_be_right() {
    let spec = Fixture::good().check();
    let wrong: Vec<_> =
        spec.results.iter().filter(|r| r.state != State::Ok && r.id != "inventory.warnings").collect();
    assert_eq!(wrong, [] as [&kmh_doc::check::CheckResult; 0]);
    assert!(spec.ok);
    assert_eq!(spec.results.len(), TABLE.len());
    assert_eq!(spec.summary.ok, TABLE.len());
}

#[test]
fn every_stage_of_a_rotation_is_right() {
    for stage in [kmh_doc::pki::Stage::Trust, kmh_doc::pki::Stage::Issue] {
        let spec = Fixture::rotated(stage).check();
        let wrong: Vec<_> =
            spec.results.iter().filter(|r| r.state != State::Ok && r.id != "inventory.warnings").collect();
        assert_eq!(wrong, [] as [&kmh_doc::check::CheckResult; 0], "{stage:?}");
        assert!(spec.ok);
    }
}

#[test]
fn what_is_right_is_right_of_each_machine_alone() {
    let fixture = Fixture::good();
    for machine in &fixture.bundle.machines {
        let spec = fixture.check_with(true, &|name| name == machine.name);
        let wrong: Vec<_> =
            spec.results.iter().filter(|r| !matches!(r.state, State::Ok | State::Skipped)).collect();
        assert!(spec.ok, "--limit {}: {wrong:#?}", machine.name);
        // Rendered alone, and asked about alone.
        let mut fixture = fixture.clone();
        fixture.bundle.machines = vec![machine.clone()];
        let spec = fixture.check_with(true, &|name| name == machine.name);
        let wrong: Vec<_> =
            spec.results.iter().filter(|r| !matches!(r.state, State::Ok | State::Skipped)).collect();
        assert!(spec.ok, "{} alone: {wrong:#?}", machine.name);
    }
}

#[test]
fn a_site_may_have_no_nodes_yet() {
    let mut fixture = Fixture::good();
    let pi = INVENTORY.lines().find(|line| line.contains("name: pi")).expect("the Raspberry Pi");
    fixture.inventory = INVENTORY.replace(pi, "");
    fixture.network.nodes.pop();
    fixture.network.routers[1].sessions.remove(0);
    let spec = fixture.check();
    let of = |id: &str| spec.results.iter().filter(|r| r.id == id).map(|r| r.state).collect::<Vec<_>>();
    for id in ["network.calico", "network.pools", "network.policy", "network.machines", "network.sessions"] {
        assert_eq!(of(id), [State::Ok], "{id}");
    }
}

#[test]
fn every_check_can_say_no_and_names_the_subject() {
    let mut untried: Vec<&str> = TABLE.iter().map(|check| check.id).collect();
    let mut failures = Vec::new();
    for case in cases::CASES.iter().chain(network_cases::CASES) {
        let mut fixture = Fixture::good();
        (case.change)(&mut fixture);
        let spec = fixture.check();
        let found = spec.results.iter().find(|r| {
            r.id == case.id
                && r.state == case.state
                && r.subject == case.subject
                && r.message.contains(case.message)
        });
        if found.is_none() {
            let own: Vec<_> = spec.results.iter().filter(|r| r.id == case.id).collect();
            failures.push(format!("{} {} `{}`: {own:#?}", case.id, case.subject, case.message));
        }
        if case.state != State::Warning && spec.ok {
            failures.push(format!("{} {}: the answer is still yes", case.id, case.subject));
        }
        if let Some(found) = found
            && found.hint.as_ref().is_none_or(String::is_empty)
        {
            failures.push(format!("{} {}: it does not say what to do", case.id, case.subject));
        }
        untried.retain(|id| *id != case.id);
    }
    assert_eq!(failures, [] as [String; 0], "\n{}", failures.join("\n"));
    assert_eq!(untried, [] as [&str; 0], "these checks have no test that shows them saying no");
}

#[test]
fn warnings_say_no_only_when_asked_to() {
    let mut fixture = Fixture::good();
    fixture.push.dry_run = true;
    assert!(fixture.check().ok);
    assert!(!fixture.check_with(true, &|_| true).ok);
}

#[test]
fn who_is_not_asked_about_is_not_reported() {
    let mut fixture = Fixture::good();
    fixture.push.machines[1].outcome = Outcome::Unreachable;
    let name = fixture.push.machines[1].name.clone();
    assert!(!fixture.check().ok);
    assert!(fixture.check_with(false, &|machine| machine != name).ok);
}

#[test]
fn a_report_holds_no_time_but_dates_of_certificates() {
    let mut fixture = Fixture::good();
    let first = fixture.check();
    fixture.now += time::Duration::hours(5);
    assert_eq!(fixture.check(), first);
}

#[test]
fn what_is_only_planned_is_unknown_and_not_wrong() {
    let mut fixture = Fixture::good();
    fixture.pki.planned = true;
    fixture.bundle.planned = true;
    for entry in &mut fixture.pki.certificates {
        entry.pem.clear();
        entry.fingerprint.clear();
    }
    fixture.pki.keys[1].public = None;
    let files = fixture.bundle.machines.iter_mut().flat_map(|m| &mut m.files);
    for file in files.filter(|f| ["crt", "pub"].contains(&crate::bundle::view::ending(&f.path))) {
        file.content = vec![kmh_doc::bundle::Segment::Text { text: String::new() }];
    }
    let spec = fixture.check();
    let wrong: Vec<_> = spec.results.iter().filter(|r| r.state == State::Critical).collect();
    assert_eq!(wrong, [] as [&kmh_doc::check::CheckResult; 0]);
    let unknown: Vec<_> =
        spec.results.iter().filter(|r| r.state == State::Unknown).map(|r| r.id.as_str()).collect();
    assert_eq!(unknown, ["bundle.planned", "pki.planned"]);
    assert!(!spec.ok);
}

#[test]
fn nothing_hostile_makes_a_check_panic() {
    let odd = [
        "",
        "/",
        "//",
        "\u{1b}[2J",
        "a=b=c",
        "[::1",
        "https://",
        "-----BEGIN CERTIFICATE-----",
        "é/ü",
        "{",
        "---",
        "\\",
        "\"",
        "%",
    ];
    for text in odd {
        let mut fixture = Fixture::good();
        fixture.network.tunnels.iter_mut().for_each(|t| {
            text.clone_into(&mut t.name);
            t.index = u32::MAX;
            text.clone_into(&mut t.ends[0].interface);
        });
        fixture.network.calico.push(serde_json::json!({"kind": "IPPool", "spec": text}));
        fixture.pki.certificates.iter_mut().for_each(|c| text.clone_into(&mut c.pem));
        for machine in &mut fixture.bundle.machines {
            for file in &mut machine.files {
                file.content = vec![kmh_doc::bundle::Segment::Text { text: text.to_owned() }];
                text.clone_into(&mut file.mode);
            }
        }
        let spec = fixture.check();
        assert!(!spec.ok);
        assert!(spec.results.iter().all(|r| !r.message.contains('\u{1b}') && !r.subject.contains('\u{1b}')));
    }
}
