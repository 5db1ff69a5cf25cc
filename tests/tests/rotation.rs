//! Rotations through the real pipe: at every stage the checks say yes, and what is deployed trusts what it must.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;

use kmh_tests::sandbox::{Ran, Sandbox};
use serde_json::{Value, json};

const PIPE: &str = "kmh-pki --store pki <cluster.yaml | kmh-bgpcfg | kmh-render >stream.json";

/// A cluster whose routers are all Linux: pfSense trusts one CA at a time, and cannot be rotated with certificates.
fn cluster() -> Sandbox {
    let sandbox = Sandbox::new();
    let text = sandbox.read("cluster.yaml").replace("kind: pfsense", "kind: linux");
    sandbox.write("cluster.yaml", &text);
    sandbox.sh("kmh-pki --init --store pki <cluster.yaml >/dev/null").exits(0);
    sandbox
}

/// Makes, checks and deploys what the store gives now.
#[track_caller]
fn deployed(sandbox: &Sandbox, at: &str) {
    sandbox.sh(PIPE).exits(0);
    let report = sandbox.sh("kmh-check --only -o json -i stream.json");
    let spec = &report.documents()["kmh.check/v1"]["spec"];
    let wrong: Vec<_> = spec["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["state"] == "critical" || one["state"] == "unknown")
        .collect();
    assert!(spec["ok"] == true && wrong.is_empty(), "{at}: {wrong:#?}");
    for id in [
        "pki.generations",
        "pki.chain",
        "pki.trust",
        "bundle.credentials",
        "bundle.certificates",
        "bundle.encryption-keys",
    ] {
        let of = |one: &&Value| one["id"] == id;
        let state = &spec["results"].as_array().unwrap().iter().find(of).unwrap()["state"];
        assert_eq!(state, "ok", "{at}: {id}");
    }
    sandbox.sh("kmh-push -i stream.json --store pki --to dir:out >/dev/null").exits(0);
}

#[track_caller]
fn on(sandbox: &Sandbox, name: &str) {
    // Nothing can be deployed of what has not begun.
    let there = sandbox.sh(&format!("ls pki/*/{name}.next.* pki/*/{name}.old.*")).stdout;
    let deployed = if there.is_empty() { "" } else { "--deployed" };
    sandbox.sh(&format!("kmh-pki rotate {name} {deployed} --store pki -i cluster.yaml")).exits(0);
}

/// Files of the store that hold certificates of that CA, as `old` or `new` keeps them.
fn keep(sandbox: &Sandbox, folder: &str, authority: &str) -> Vec<String> {
    let document = sandbox.sh("kmh-pki --only --store pki -i cluster.yaml").exits(0).documents();
    let all = document["kmh.pki/v1"]["spec"]["certificates"].as_array().unwrap().clone();
    let leaves = all.iter().filter(|one| one["issuer"] == authority);
    leaves
        .map(|one| {
            let file = format!("{folder}-{}.crt", one["name"].as_str().unwrap().replace('/', "-"));
            sandbox.write(&file, one["pem"].as_str().unwrap());
            file
        })
        .collect()
}

/// How many of these the real openssl takes, strictly, with that file of CAs.
fn verified(sandbox: &Sandbox, bundle: &str, files: &[String]) -> usize {
    let ran = sandbox
        .sh(&format!("openssl verify -x509_strict -check_ss_sig -CAfile {bundle} {}", files.join(" ")));
    ran.stdout.lines().filter(|line| line.ends_with(": OK")).count()
}

/// Every place to which the CA goes, below `out`: one file, or where a file holds one certificate, both together.
fn places(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let found = |pattern: &str| -> Vec<String> {
        let ran = sandbox.sh(&format!("find out -path '*{pattern}' | sort"));
        ran.stdout.lines().map(ToOwned::to_owned).collect()
    };
    match name {
        "cluster" => found("/etc/kubernetes/pki/ca.crt"),
        "etcd" => found("/etc/kubernetes/pki/etcd/ca.crt"),
        "front-proxy" => found("/etc/kubernetes/pki/front-proxy-ca.crt"),
        _ => {
            // What the connections name, for strongSwan takes no other for them.
            let confs = found("/etc/swanctl/conf.d/kmh.conf");
            confs
                .iter()
                .map(|conf| {
                    let root = conf.strip_suffix("/etc/swanctl/conf.d/kmh.conf").unwrap();
                    let text = sandbox.read(conf);
                    let line = text.lines().find_map(|line| line.trim().strip_prefix("cacerts = ")).unwrap();
                    let pems = line.split(", ").map(|path| sandbox.read(&format!("{root}{path}")));
                    let pems: Vec<String> = pems.collect();
                    assert!(pems.iter().all(|pem| pem.matches("BEGIN CERTIFICATE").count() == 1), "{line}");
                    let file = format!("{}-cas.crt", root.replace('/', "-"));
                    sandbox.write(&file, &pems.concat());
                    file
                })
                .collect()
        }
    }
}

#[test]
fn everybody_trusts_everybody_until_the_old_ca_goes() {
    for (name, number) in [("cluster", 4), ("etcd", 3), ("front-proxy", 3), ("ipsec", 3)] {
        let sandbox = cluster();
        let authority = format!("ca/{name}");
        deployed(&sandbox, "before");
        let old = keep(&sandbox, "old", &authority);
        let stage = |at: &str| {
            deployed(&sandbox, &format!("{name} {at}"));
            let places = places(&sandbox, name);
            assert_eq!(places.len(), number, "{places:?}");
            places
        };
        assert!(old.len() >= number - 1, "{old:?}");
        on(&sandbox, name);
        let trusted: BTreeMap<String, String> = stage("trust")
            .into_iter()
            .map(|place| {
                assert_eq!(verified(&sandbox, &place, &old), old.len(), "{place}");
                let text = sandbox.read(&place);
                (place, text)
            })
            .collect();
        on(&sandbox, name);
        // Half of the machines have the files of one stage, half those of the other.
        sandbox.sh(PIPE).exits(0);
        let new = keep(&sandbox, "new", &authority);
        assert_eq!(new.len(), old.len());
        for place in trusted.keys() {
            assert_eq!(
                verified(&sandbox, place, &[&old[..], &new[..]].concat()),
                old.len() + new.len(),
                "{place}"
            );
        }
        for place in stage("issue") {
            assert_eq!(
                verified(&sandbox, &place, &[&old[..], &new[..]].concat()),
                old.len() + new.len(),
                "{place}"
            );
            // Whoever was told of the next CA need not be told again.
            if name != "ipsec" {
                assert_eq!(sandbox.read(&place), trusted[&place], "{place}");
            }
        }
        on(&sandbox, name);
        for place in stage("after") {
            assert_eq!(verified(&sandbox, &place, &new), new.len(), "{place}");
            assert_eq!(verified(&sandbox, &place, &old), 0, "{place}");
        }
    }
}

#[test]
fn tokens_of_both_keys_are_good_until_the_old_key_goes() {
    let sandbox = cluster();
    let pki = "out/attic-1/etc/kubernetes/pki";
    // What a service-account token is signed with: ES256 over its first two parts (RFC 7515).
    sandbox.write(
        "token",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6ZGVmYXVsdDpkZWZhdWx0In0",
    );
    let sign = |name: &str| {
        sandbox.sh(&format!("openssl dgst -sha256 -sign {pki}/sa.key -out {name} token")).exits(0);
    };
    let good = |name: &str| -> usize {
        let keys = sandbox.read(&format!("{pki}/sa.pub"));
        let keys = keys.split_inclusive("-----END PUBLIC KEY-----\n");
        keys.filter(|key| {
            sandbox.write("key.pub", key);
            let ran = sandbox.sh(&format!("openssl dgst -sha256 -verify key.pub -signature {name} token"));
            ran.stdout.contains("Verified OK")
        })
        .count()
    };
    deployed(&sandbox, "before");
    sign("old");
    on(&sandbox, "service-account");
    deployed(&sandbox, "service-account trust");
    sign("still-old");
    let both = sandbox.read(&format!("{pki}/sa.pub"));
    assert_eq!((good("old"), good("still-old"), both.matches("BEGIN PUBLIC KEY").count()), (1, 1, 2));
    on(&sandbox, "service-account");
    deployed(&sandbox, "service-account sign");
    sign("new");
    assert_eq!((good("old"), good("new")), (1, 1));
    // Who verifies was told at the first stage; who signs, now.
    assert_eq!(sandbox.read(&format!("{pki}/sa.pub")), both);
    on(&sandbox, "service-account");
    deployed(&sandbox, "service-account after");
    assert_eq!((good("old"), good("new")), (0, 1));
}

#[test]
fn an_encryption_key_keeps_its_name_and_its_place_is_the_stages() {
    let sandbox = cluster();
    let keys = || -> Vec<(String, String)> {
        let text = sandbox.read("out/attic-1/etc/kubernetes/encryption.yaml");
        let word = |prefix: &str| -> Vec<String> {
            let lines =
                text.lines().filter_map(|line| line.trim().strip_prefix(prefix).map(ToOwned::to_owned));
            lines.collect()
        };
        word("- name: ").into_iter().zip(word("secret: ")).collect()
    };
    deployed(&sandbox, "before");
    let [old] = &keys()[..] else { panic!("{:?}", keys()) };
    on(&sandbox, "encryption");
    deployed(&sandbox, "encryption add");
    let [first, new] = &keys()[..] else { panic!("{:?}", keys()) };
    assert_eq!(first, old);
    assert!(new.0 != old.0 && new.1 != old.1 && new.0.starts_with("\"key-"));
    on(&sandbox, "encryption");
    deployed(&sandbox, "encryption promote");
    assert_eq!(keys(), [new.clone(), old.clone()]);
    on(&sandbox, "encryption");
    deployed(&sandbox, "encryption after");
    assert_eq!(keys(), std::slice::from_ref(new));
}

#[test]
fn a_pfsense_is_rotated_and_each_stage_says_what_no_push_does() {
    let sandbox = Sandbox::new();
    sandbox.sh("kmh-pki --init --store pki <cluster.yaml >/dev/null").exits(0);
    deployed(&sandbox, "before");
    let routers = "fw-attic, fw-flat";
    let stages = [
        (
            "trust",
            "",
            "a second CA, which `caref` of the first leads to, and phases 1 without `caref`, so that the peers of both",
        ),
        ("issue", "--deployed", "the CAs and the router's new certificate; phases 1 have no `caref` still"),
        ("after", "--deployed", "one CA, and phases 1 with its `caref`"),
    ];
    for (at, given, what) in stages {
        let call = format!("kmh-pki rotate ipsec {given} --store pki -i cluster.yaml -o text");
        let text = sandbox.sh(&call).exits(0).stdout;
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let todo =
            format!("no push does this: bring the settings document into pfSense's configuration ({what}");
        assert!(line.contains(&todo) && line.matches(routers).count() == 2, "{at}: {text}");
        // A report would not do.
        let next = line.contains("$ kmh-pki rotate ipsec --deployed --store pki -i cluster.yaml");
        assert_eq!(next, at != "after", "{at}: {text}");
        deployed(&sandbox, &format!("ipsec {at}, pfSense"));
    }
    // With shared keys nobody looks at certificates.
    let text = sandbox.read("cluster.yaml").replace("shape: mesh}", "shape: mesh, auth: psk}");
    sandbox.write("cluster.yaml", &text);
    deployed(&sandbox, "shared keys");
    let text = sandbox.sh("kmh-pki rotate ipsec --store pki -i cluster.yaml -o text").exits(0).stdout;
    assert!(!text.contains("no push does this") && text.contains("kmh-check"), "{text}");
    deployed(&sandbox, "ipsec trust, shared keys");
}

/// The answer to `rotate etcd`, with that stream.
fn asked(sandbox: &Sandbox, stream: &str) -> Ran {
    sandbox.write("asked.json", stream);
    sandbox.sh("kmh-pki rotate etcd --dry-run --store pki -o json -i asked.json")
}

/// The stream with one document changed.
fn with(stream: &str, kind: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut documents: Vec<Value> =
        serde_json::Deserializer::from_str(stream).into_iter().map(Result::unwrap).collect();
    change(documents.iter_mut().find(|one| one["kind"] == kind).unwrap());
    documents.iter().fold(String::new(), |all, one| all + &one.to_string() + "\n")
}

#[test]
fn only_a_push_to_every_machine_shows_that_a_stage_is_deployed() {
    let sandbox = cluster();
    on(&sandbox, "etcd");
    let pushed = format!("{PIPE}; kmh-push -i stream.json --store pki --to dir:out | kmh-check");
    let folders = sandbox.sh(&pushed).exits(0).stdout;
    let why = |stream: &str, part: &str| {
        let ran = asked(&sandbox, stream).exits(1);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
        let what = answer["refused"][0]["what"].as_str().unwrap();
        assert!(what.contains("is not known to be deployed") && what.contains(part), "{what}");
    };
    // What kmh-push says of the machines themselves; here it had folders.
    let push = |stream: &str, change: &dyn Fn(&mut Value)| {
        with(stream, "kmh.push/v1", |one| {
            one["spec"]["live"] = true.into();
            for machine in one["spec"]["machines"].as_array_mut().unwrap() {
                for unit in machine["units"].as_array_mut().into_iter().flatten() {
                    unit["ok"] = true.into();
                }
            }
            change(one);
        })
    };
    let live = push(&folders, &|_| {});
    asked(&sandbox, &live).exits(0);

    why(&sandbox.read("stream.json"), "no report of a push");
    why(&sandbox.sh("kmh-check -i stream.json").exits(0).stdout, "a check shows that files are right");
    why(&folders, "into folders");
    why(&push(&folders, &|one| one["spec"]["dry_run"] = true.into()), "dry run");
    why(
        &push(&folders, &|one| {
            one["spec"]["machines"].as_array_mut().unwrap().retain(|one| one["name"] != "attic-1");
        }),
        "left out `",
    );
    why(&push(&folders, &|one| one["spec"]["machines"][0]["outcome"] = "failed".into()), "did not do all on");
    why(
        &push(&folders, &|one| {
            one["spec"]["machines"][0]["units"] =
                json!([{"name": "etcd.service", "action": "restart", "ok": false}]);
        }),
        "did not do all on",
    );
    why(
        &push(&folders, &|one| one["from"]["kmh.bundle/v1"] = format!("sha256:{}", "0".repeat(64)).into()),
        "another bundle",
    );
    why(
        &with(&live, "kmh.check/v1", |one| one["spec"]["ok"] = false.into()),
        "the check in the stream says no",
    );
    // Of the stage before: the store has gone on since.
    sandbox.sh("kmh-pki rotate front-proxy --store pki -i cluster.yaml").exits(0);
    why(&live, "other certificates than the store has now");
}
