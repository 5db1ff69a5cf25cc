//! What is made again, and for what reason; the clock is a parameter, so years pass in a moment.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::process::Command;

use common::clock::{START, at, document, made, reasons};
use common::{Place, SMALL, certificate, texts};
use kmh_cli::Exit;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

#[test]
fn dates_are_backdated_bounded_and_inside_the_ca() {
    let place = made(START, SMALL);
    let document = document(&place, START, SMALL);
    let ca = certificate(&document, "ca/cluster");
    assert_eq!(
        (ca["not_before"].as_str(), ca["not_after"].as_str()),
        (Some("2026-11-22T11:00:00Z"), Some("2036-11-19T12:00:00Z"))
    );
    let leaf = certificate(&document, "nodes/w-1/kube-proxy");
    assert_eq!(
        (leaf["not_before"].as_str(), leaf["not_after"].as_str()),
        (Some("2026-11-22T11:00:00Z"), Some("2027-11-22T12:00:00Z"))
    );
}

#[test]
fn a_changed_address_reissues_exactly_the_certificates_that_hold_it() {
    let place = made(START, SMALL);
    let before = place.files();
    let moved = SMALL.replace("'fd00:10::11'", "'fd00:10::99'");
    let why = "names differ: + fd00:10::99, - fd00:10::11";
    let names = [
        "apiserver",
        "controller-manager-serving",
        "etcd-peer",
        "etcd-server",
        "kubelet-serving",
        "scheduler-serving",
    ];
    let wanted: Vec<_> = names.map(|name| (format!("nodes/cp-1/{name}"), why.to_owned())).into();
    assert_eq!(reasons(&place, START, &moved), wanted);
    let after = place.files();
    for (name, bytes) in &before {
        let stem = name.rsplit_once('.').unwrap().0;
        let reissued = wanted.iter().any(|(name, _)| name == stem);
        // With a new certificate comes a new key; all else keeps its bytes.
        assert_eq!(after[name] != *bytes, reissued, "{name}");
    }
    assert_eq!(reasons(&place, START, &moved), []);
    // The name by which people call the API is in one certificate only, the domain of services too.
    let renamed = moved.replace("k8s.example.net", "api.example.net");
    assert_eq!(
        reasons(&place, START, &renamed),
        [("nodes/cp-1/apiserver".into(), "names differ: + api.example.net, - k8s.example.net".into())]
    );
    // A second address is named without the first.
    let second = SMALL
        .replace("k8s.example.net", "api.example.net")
        .replace("'fd00:10::11'", "'fd00:10::99'")
        .replace("10.201.0.0/16", "10.203.0.0/16");
    assert_eq!(
        reasons(&place, START, &second),
        [("nodes/cp-1/apiserver".into(), "names differ: + 10.203.0.1, - 10.201.0.1".into())]
    );
}

#[test]
fn certificates_are_made_again_when_a_third_of_their_life_is_left() {
    let place = made(START, SMALL);
    assert_eq!(reasons(&place, START + Duration::days(243), SMALL), []);
    let found = reasons(&place, START + Duration::days(244), SMALL);
    assert_eq!(found.len(), 23, "all leaves");
    assert_eq!(found[0], ("cluster/break-glass-admin".into(), "expires in 121 days, on 2027-11-22".into()));
    assert_eq!(reasons(&place, START + Duration::days(244), SMALL), []);
    // Nobody looked for two years.
    let found = reasons(&place, START + Duration::days(900), SMALL);
    assert_eq!((found.len(), found[0].1.as_str()), (23, "expired on 2028-07-23"));
}

#[test]
fn what_a_ca_signs_in_its_last_year_ends_with_it_and_is_not_made_again_at_every_run() {
    let place = made(START, SMALL);
    let late = START + Duration::days(3650 - 100);
    assert_eq!(reasons(&place, late, SMALL).len(), 23);
    let document = document(&place, late, SMALL);
    for one in document["spec"]["certificates"].as_array().unwrap() {
        assert_eq!(one["not_after"], "2036-11-19T12:00:00Z", "{}", one["name"]);
    }
    // Days later, less than a third is left, and a new one would not live longer.
    let (exit, _, stderr) = at(&place, late + Duration::days(90), &["-o", "text"], SMALL);
    assert_eq!(exit, Exit::Done);
    assert!(
        stderr.contains("warning: CA `ca/cluster` expires on 2036-11-19: what it signs now ends with it"),
        "{stderr}"
    );
    assert_eq!(reasons(&place, late + Duration::days(90), SMALL), []);
    // After its end nothing can be signed, and the store stays as it is.
    let before = place.snapshot();
    let (exit, stdout, stderr) = at(&place, late + Duration::days(101), &[], SMALL);
    assert_eq!((exit, stdout.is_empty()), (Exit::World, true));
    assert!(
        stderr.contains("`ca/cluster` cannot sign `nodes/w-1/kube-proxy`: it expired on 2036-11-19"),
        "{stderr}"
    );
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_clock_before_the_ca_signs_nothing() {
    let place = made(START, SMALL);
    let early = START - Duration::days(300);
    let (exit, _, stderr) = at(&place, early, &[], SMALL);
    assert_eq!(exit, Exit::Done);
    assert!(
        stderr
            .contains("the clock of this machine says 2026-01-26, and CA `ca/cluster` begins on 2026-11-22"),
        "{stderr}"
    );
    let moved = SMALL.replace("10.10.0.22", "10.10.0.33");
    assert_eq!(at(&place, early, &[], &moved).0, Exit::World);
}

#[test]
fn what_a_clock_in_the_future_made_is_made_again() {
    let place = made(START, SMALL);
    let ahead = START + Duration::days(300);
    assert!(!reasons(&place, ahead, SMALL).is_empty());
    let now = START + Duration::days(10);
    let found = reasons(&place, now, SMALL);
    assert_eq!(found.len(), 23, "{found:?}");
    for (name, why) in found {
        assert_eq!(why, "begins on 2027-09-18, which is still to come", "{name}");
    }
    assert_eq!(reasons(&place, now, SMALL), []);
    // Two machines' clocks may differ by less than the start is backdated.
    assert_eq!(reasons(&place, now - Duration::minutes(50), SMALL), []);
}

#[test]
fn a_clock_that_was_never_set_makes_nothing() {
    let place = Place::new();
    let (exit, stdout, stderr) = at(&place, OffsetDateTime::UNIX_EPOCH, &["--init"], SMALL);
    assert_eq!((exit, stdout.is_empty()), (Exit::World, true));
    assert!(stderr.contains("error: the clock of this machine says 1970-01-01"), "{stderr}");
    assert!(!place.store().exists());
}

#[test]
fn another_ca_subject_and_usage_are_reasons() {
    let place = made(START, SMALL);
    let other = made(START, SMALL);
    let copy = |from: &Place, name: &str, to: &str| {
        for ending in ["crt", "key"] {
            std::fs::copy(
                from.store().join(format!("{name}.{ending}")),
                place.store().join(format!("{to}.{ending}")),
            )
            .unwrap();
        }
    };
    copy(&place, "nodes/w-1/kube-proxy", "nodes/w-2/kubelet-client");
    copy(&place, "nodes/cp-1/apiserver-etcd-client", "nodes/cp-1/etcd-healthcheck-client");
    copy(&place, "nodes/w-1/kubelet-client", "nodes/w-1/kubelet-serving");
    copy(&other, "nodes/w-1/kubelet-client", "nodes/w-1/kubelet-client");
    let found = reasons(&place, START, SMALL);
    let wanted = [
        (
            "nodes/cp-1/etcd-healthcheck-client",
            "subject differs: `CN=kube-apiserver-etcd-client` should be `CN=kube-etcd-healthcheck-client`",
        ),
        ("nodes/w-1/kubelet-client", "signed by another CA than ca/cluster"),
        (
            "nodes/w-1/kubelet-serving",
            "names differ: + 10.10.0.21, + fd00:10::21, + w-1; usage differs: client should be server",
        ),
        (
            "nodes/w-2/kubelet-client",
            "subject differs: `O=system:node-proxier, CN=system:kube-proxy` should be `O=system:nodes, CN=system:node:w-2`",
        ),
    ];
    assert_eq!(found, wanted.map(|(name, why)| (name.to_owned(), why.to_owned())));
}

#[test]
fn a_certificate_that_strict_programs_refuse_is_made_again() {
    // As many guides make them: no extensions at all, or usages that an ECDSA key cannot have.
    let place = made(START, SMALL);
    let lax = "openssl req -new -key nodes/w-1/kube-proxy.key -subj /O=system:node-proxier/CN=system:kube-proxy |
        openssl x509 -req -CA ca/cluster.crt -CAkey ca/cluster.key -set_serial 5 -days 300 -out nodes/w-1/kube-proxy.crt";
    let output = Command::new("sh").args(["-c", lax]).current_dir(place.store()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = reasons(&place, START + Duration::days(10), SMALL);
    assert_eq!(found.len(), 1, "{found:?}");
    for words in [
        "usage differs: none should be client",
        "it is not of version 3",
        "it has no authority key identifier",
    ] {
        assert!(found[0].1.contains(words), "{}", found[0].1);
    }
}

#[test]
fn dates_from_2050_are_written_as_generalized_time() {
    // RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
    let now = datetime!(2049-06-01 00:00 UTC);
    let place = made(now, SMALL);
    let shown = Command::new("openssl")
        .args(["asn1parse", "-in", "nodes/w-1/kube-proxy.crt"])
        .current_dir(place.store())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let times: Vec<_> = shown
        .lines()
        .filter(|line| line.contains("TIME"))
        .map(|line| line.rsplit("prim: ").next().unwrap())
        .collect();
    assert_eq!(times, ["UTCTIME           :490531230000Z", "GENERALIZEDTIME   :20500601000000Z"]);
    let moment = (now + Duration::days(1)).unix_timestamp().to_string();
    let verified = Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-attime",
            &moment,
            "-CAfile",
            "ca/cluster.crt",
            "nodes/w-1/kube-proxy.crt",
        ])
        .current_dir(place.store())
        .status()
        .unwrap();
    assert!(verified.success());
    assert_eq!(reasons(&place, now, SMALL), []);
}

#[test]
fn the_order_of_sites_and_nodes_changes_nothing() {
    let place = made(START, SMALL);
    let mut lines: Vec<&str> = SMALL.lines().collect();
    let end = lines.len();
    lines.swap(end - 1, end - 3);
    let turned = lines.join("\n");
    assert_ne!(turned.trim(), SMALL.trim());
    assert_eq!(reasons(&place, START, &turned), []);
    assert_eq!(document(&place, START, &turned)["spec"], document(&place, START, SMALL)["spec"]);
}

/// With that block.
fn with(pki: &str) -> String {
    SMALL.replacen("spec:\n", &format!("spec:\n  pki: {pki}\n"), 1)
}

#[test]
fn lives_and_threshold_are_those_of_the_inventory() {
    let short = with("{days: 90, ca_days: 400, renew_days: 10}");
    let place = made(START, &short);
    let ends = |name: &str| {
        certificate(&document(&place, START, &short), name)["not_after"].as_str().unwrap().to_owned()
    };
    assert_eq!(ends("ca/etcd"), "2027-12-27T12:00:00Z");
    assert_eq!(ends("nodes/w-1/kube-proxy"), "2027-02-20T12:00:00Z");
    // A third of the life would be thirty days.
    assert_eq!(reasons(&place, START + Duration::days(80), &short), []);
    let later = START + Duration::days(80) + Duration::hours(1);
    let found = reasons(&place, later, &short);
    assert_eq!((found.len(), found[0].1.as_str()), (23, "expires in 9 days, on 2027-02-20"));
    assert_eq!(reasons(&place, later, &short), []);
    // What lives already keeps its end; the threshold holds at once.
    let long = with("{days: 300, ca_days: 400, renew_days: 10}");
    assert_eq!(reasons(&place, later, &long), []);
    assert_eq!(reasons(&place, later, &with("{days: 90, ca_days: 400, renew_days: 89}")), []);
    let eager = with("{days: 120, ca_days: 400, renew_days: 91}");
    assert_eq!(reasons(&place, later, &eager).len(), 23);
    assert_eq!(reasons(&place, later, &eager), []);
}

#[test]
fn a_certificate_of_a_day_is_made_again_before_it_ends() {
    let daily = with("{days: 1}");
    let place = made(START, &daily);
    assert_eq!(reasons(&place, START + Duration::hours(15), &daily), []);
    let found = reasons(&place, START + Duration::hours(16), &daily);
    assert_eq!((found.len(), found[0].1.as_str()), (23, "expires in 0 days, on 2026-11-23"));
}

#[test]
fn every_name_and_address_of_a_node_is_in_what_it_serves_with() {
    let place = made(START, SMALL);
    let known = SMALL.replace(
        "roles: [control-plane, etcd]}",
        "roles: [control-plane, etcd], names: [cp-1.vpn.example.net, 100.64.0.11, '2001:db8::11']}",
    );
    let why = "names differ: + 100.64.0.11, + 2001:db8::11, + cp-1.vpn.example.net";
    let names = [
        "apiserver",
        "controller-manager-serving",
        "etcd-peer",
        "etcd-server",
        "kubelet-serving",
        "scheduler-serving",
    ];
    let wanted = names.map(|name| (format!("nodes/cp-1/{name}"), why.to_owned()));
    assert_eq!(reasons(&place, START, &known), wanted);
    assert_eq!(reasons(&place, START, &known), []);
    let document = document(&place, START, &known);
    for name in names {
        let one = certificate(&document, &format!("nodes/cp-1/{name}"));
        assert!(texts(&one["dns_names"]).contains(&"cp-1.vpn.example.net".to_owned()), "{one}");
        for address in ["10.10.0.11", "fd00:10::11", "100.64.0.11", "2001:db8::11"] {
            assert!(texts(&one["addresses"]).contains(&address.to_owned()), "{one}");
        }
    }
    // One more address of a worker is in one certificate.
    let more =
        known.replace("10.10.0.21, 'fd00:10::21']}", "10.10.0.21, 'fd00:10::21'], names: 100.64.0.21}");
    assert_eq!(
        reasons(&place, START, &more),
        [("nodes/w-1/kubelet-serving".to_owned(), "names differ: + 100.64.0.21".to_owned())]
    );
}
