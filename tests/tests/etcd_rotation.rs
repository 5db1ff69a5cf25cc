//! The CA of a real etcd of three members is rotated while it serves: member by member, as `kmh-pki rotate` says, with
//! clients that write all the while. No write is lost, and in the end the old CA is worth nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use kmh_tests::etcd::{Cluster, MEMBERS};
use kmh_tests::netns::until;
use serde_json::Value;

/// Where an API server writes from: one beside each of two members.
const WRITERS: [&str; 2] = ["attic-1", "vps-1"];

/// What an API server does, once a turn: it reads its pair at each handshake, and the CAs of etcd when it starts. A write
/// that was not acknowledged is written again; what was stands in `acks`, with the time.
fn writer(cluster: &Cluster, name: &str) -> String {
    let root = cluster.sandbox.path();
    let endpoints: Vec<_> = MEMBERS.iter().map(|(_, address, _)| format!("https://{address}:2379")).collect();
    format!(
        "export ETCDCTL_API=3; n=1; while :; do \
         if etcdctl --dial-timeout=2s --command-timeout=3s --endpoints {endpoints} --cacert {root}/{name}.ca \
         --cert {pki}/apiserver-etcd-client.crt --key {pki}/apiserver-etcd-client.key \
         put /registry/{name}/$n $n >/dev/null 2>>{root}/{name}.errors; \
         then echo \"$n $(date +%s)\" >>{root}/{name}.acks; n=$((n+1)); fi; sleep 0.2; done",
        endpoints = endpoints.join(","),
        root = root.display(),
        pki = root.join("out").join(name).join("etc/kubernetes/pki").display(),
    )
}

/// An API server starts: it reads which CAs of etcd it trusts.
fn start_api_server(cluster: &Cluster, name: &str) {
    let ca = cluster.sandbox.read(&format!("out/{name}/etc/kubernetes/pki/etcd/ca.crt"));
    cluster.sandbox.write(&format!("{name}.new"), &ca);
    cluster.sandbox.sh(&format!("mv {name}.new {name}.ca")).exits(0);
}

/// What was acknowledged: number and second.
fn acks(cluster: &Cluster, name: &str) -> Vec<(u64, u64)> {
    let file = format!("{name}.acks");
    let text = if cluster.sandbox.has(&file) { cluster.sandbox.read(&file) } else { String::new() };
    let line = |line: &str| {
        let (number, second) = line.split_once(' ')?;
        Some((number.parse().ok()?, second.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Waits until both writers have written so many times more.
fn written(cluster: &Cluster, more: usize) {
    let before: Vec<usize> = WRITERS.iter().map(|name| acks(cluster, name).len()).collect();
    until(Duration::from_secs(60), "writes", || {
        let now: Vec<usize> = WRITERS.iter().map(|name| acks(cluster, name).len()).collect();
        if before.iter().zip(&now).all(|(before, now)| *now >= before + more) {
            return Ok(());
        }
        let errors = WRITERS.map(|name| cluster.sandbox.sh(&format!("tail -3 {name}.errors")).stdout);
        Err(format!("{before:?} -> {now:?}: {errors:?}"))
    });
}

/// No member refused another or a client because of a certificate.
fn nobody_was_refused(cluster: &Cluster) {
    for (name, _, _) in MEMBERS {
        let log = cluster.net.log(&format!("etcd-{name}"));
        for line in log.lines() {
            for bad in ["x509", "bad certificate", "incompatible key usage", "unknown authority"] {
                assert!(!line.contains(bad), "{name}: {line}");
            }
        }
    }
}

/// Does what the tool says, in its order; gives the units that were restarted, machine by machine.
fn follow(cluster: &mut Cluster, todo: &[Value]) -> Vec<(String, String)> {
    let mut restarted = Vec::new();
    for one in todo {
        let kind = one["kind"].as_str().unwrap();
        assert!(["document", "push", "deploy-one", "deploy", "next"].contains(&kind), "{one}");
        if kind == "next" {
            break;
        }
        // The machines are folders here; what the push would tell their units is told by hand.
        if let Some(command) = one["command"].as_str() {
            let command = command.replace("--to ssh", "--to dir:out >/dev/null");
            cluster.sandbox.sh(&command).exits(0);
        }
        for machine in one["machines"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap()) {
            assert!(kind == "deploy-one" || one.get("units").is_none(), "{one}");
            for told in one["units"].as_array().into_iter().flatten() {
                let unit = told["unit"].as_str().unwrap();
                assert_eq!(told["action"], "restart");
                match unit {
                    "etcd.service" => {
                        nobody_was_refused(cluster);
                        cluster.net.kill(machine, "etcd");
                        cluster.run(machine);
                    }
                    "kube-apiserver.service" => start_api_server(cluster, machine),
                    other => panic!("{other}: {one}"),
                }
                restarted.push((machine.to_owned(), unit.to_owned()));
            }
            // What a push waits for before the next has its turn.
            if one.get("units").is_some() {
                cluster.healthy();
                written(cluster, 2);
            }
        }
    }
    restarted
}

#[test]
fn no_write_is_lost_while_the_ca_is_rotated() {
    let mut cluster = Cluster::start();
    cluster.healthy();
    for name in WRITERS {
        start_api_server(&cluster, name);
        let script = writer(&cluster, name);
        cluster.net.start(name, "writer", "/bin/bash", &["-c", &script]);
    }
    written(&cluster, 5);
    cluster.sandbox.sh("cp -r out before").exits(0);

    let all: Vec<(String, String)> = MEMBERS
        .iter()
        .flat_map(|(name, _, _)| {
            ["etcd.service", "kube-apiserver.service"].map(|unit| ((*name).to_owned(), unit.to_owned()))
        })
        .collect();
    let mut stages = Vec::new();
    for (deployed, wanted) in [("", &all[..]), ("--deployed", &[]), ("--deployed", &all[..])] {
        let call = format!("kmh-pki rotate etcd {deployed} --store pki -i cluster.yaml -o json");
        let ran = cluster.sandbox.sh(&call).exits(0);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
        stages.push(answer["stage"].clone());
        let restarted = follow(&mut cluster, answer["todo"].as_array().unwrap());
        // Where a stage changes what is trusted, every member restarts, one after the other; pairs are read by themselves.
        assert_eq!(restarted, wanted, "{}", answer["stage"]);
        cluster.healthy();
        nobody_was_refused(&cluster);
        written(&cluster, 5);
    }
    assert_eq!(stages, [Value::from("trust"), Value::from("issue"), Value::Null]);

    let mut acknowledged: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for name in WRITERS {
        cluster.net.kill(name, "writer");
        acknowledged.insert(name, acks(&cluster, name));
    }
    for (name, acks) in &acknowledged {
        // Every write that was acknowledged is there, on each member by itself.
        for member in MEMBERS {
            let pki = cluster.sandbox.path().join("out").join(member.0).join("etc/kubernetes/pki");
            let ran = cluster.net.sh(
                member.0,
                &format!(
                    "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert {0}/etcd/ca.crt \
                     --cert {0}/etcd/healthcheck-client.crt --key {0}/etcd/healthcheck-client.key \
                     get --prefix /registry/{name}/",
                    pki.display()
                ),
            );
            let lines: Vec<String> = ran.exits(0).stdout.lines().map(ToOwned::to_owned).collect();
            let held: BTreeMap<&str, &str> = lines
                .chunks(2)
                .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str())))
                .collect();
            for (number, _) in acks {
                let value = held.get(format!("/registry/{name}/{number}").as_str());
                assert_eq!(value, Some(&number.to_string().as_str()), "{name} on {}", member.0);
            }
        }
        // It served: never did a writer wait for longer than an election and a few attempts.
        let longest = acks.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap();
        assert!(longest <= 30, "{name} waited for {longest} s");
        assert!(acks.len() >= 20, "{name} wrote {} times", acks.len());
    }

    // The old CA is worth nothing: its clients are refused, and who trusts it alone refuses the members.
    let ask = |root: &str, ca: &str| {
        let path = cluster.sandbox.path();
        let pki = path.join(root).join("attic-1/etc/kubernetes/pki");
        cluster.net.sh(
            "attic-1",
            &format!(
                "ETCDCTL_API=3 etcdctl --dial-timeout=2s --command-timeout=3s --endpoints https://10.10.0.11:2379 \
                 --cacert {}/attic-1/etc/kubernetes/pki/etcd/ca.crt --cert {1}/apiserver-etcd-client.crt \
                 --key {1}/apiserver-etcd-client.key get /registry/attic-1/1 --print-value-only",
                path.join(ca).display(),
                pki.display()
            ),
        )
    };
    assert_eq!(ask("out", "out").exits(0).stdout.trim(), "1");
    for (root, ca) in [("before", "out"), ("out", "before")] {
        let ran = ask(root, ca);
        assert!(ran.code != 0 && ran.stdout.trim().is_empty(), "{root} {ca}: {ran:?}");
    }
}
