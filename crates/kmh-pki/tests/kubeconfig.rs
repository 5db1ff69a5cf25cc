//! Kubeconfigs for people: what is in them, who takes them, and what is left of them in the store.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Place, Ran, SMALL};
use kmh_cli::Env;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

const STORE: [&str; 3] = ["kubeconfig", "--store", "store"];

fn kubeconfig(place: &Place, args: &[&str]) -> Ran {
    place.pki(&[&STORE, args].concat(), SMALL)
}

/// The file as Python reads it: kubectl's view hides what matters.
fn yaml(place: &Place, file: &str) -> Value {
    let line = format!(
        "/usr/bin/env python3 -c 'import json, yaml; print(json.dumps(yaml.safe_load(open(\"{file}\"))))'"
    );
    serde_json::from_str(&place.sh(&line, "").exits(0).stdout).unwrap()
}

/// Writes the three parts of a kubeconfig beside it: ca.crt, user.crt, user.key.
fn take_apart(place: &Place, file: &str) -> Value {
    let config = yaml(place, file);
    let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    for (name, part) in [
        ("ca.crt", &cluster["certificate-authority-data"]),
        ("user.crt", &user["client-certificate-data"]),
        ("user.key", &user["client-key-data"]),
    ] {
        std::fs::write(place.path().join(name), STANDARD.decode(part.as_str().unwrap()).unwrap()).unwrap();
    }
    config
}

fn openssl(place: &Place, line: &str) -> String {
    let ran = place.sh(&format!("openssl {line}"), "");
    assert_eq!(ran.code, 0, "openssl {line}:\n{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// An API server's TLS: it asks for a client certificate of the cluster's CA, and answers with a page.
struct Server(Child, String);

impl Server {
    fn start(place: &Place) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-Verify", "1", "-verify_return_error"])
            .args([
                "-cert",
                "nodes/cp-1/apiserver.crt",
                "-key",
                "nodes/cp-1/apiserver.key",
                "-CAfile",
                "ca/cluster.crt",
            ])
            .current_dir(place.store())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accept = lines.find_map(|line| Some(line.ok()?.strip_prefix("ACCEPT ")?.to_owned())).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, accept)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn count(place: &Place, ending: &str) -> usize {
    place.files().keys().filter(|name| name.starts_with("users/") && name.ends_with(ending)).count()
}

#[test]
fn a_person_gets_a_week_in_a_file_of_their_own() {
    let place = Place::with_store(SMALL);
    let keys = place.files();
    let ran = kubeconfig(
        &place,
        &[
            "--user",
            "anna@example.net",
            "--group",
            "dev",
            "--group",
            "ops/night",
            "--group",
            "dev",
            "--to",
            "anna.conf",
            "-o",
            "text",
        ],
    )
    .exits(0);
    assert!(ran.stdout.starts_with("wrote anna.conf: anna@example.net in groups dev, ops/night, at https://k8s.example.net:6443, until "), "{}", ran.stdout);
    let meta = std::fs::metadata(place.path().join("anna.conf")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o600);

    let config = take_apart(&place, "anna.conf");
    assert_eq!((&config["apiVersion"], &config["kind"]), (&"v1".into(), &"Config".into()));
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://k8s.example.net:6443");
    assert_eq!(config["current-context"], "anna@example.net@small");
    assert_eq!(
        config["contexts"][0]["context"],
        serde_json::json!({"cluster": "small", "user": "anna@example.net"})
    );
    let shown = place.sh("kubectl --kubeconfig anna.conf config view -o json", "").exits(0);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["clusters"][0]["name"], "small");
    assert_eq!(shown["users"][0]["name"], "anna@example.net");

    // The certificate is the CA's, strictly, for a client and nothing else; both groups are in it.
    let verify = "verify -x509_strict -check_ss_sig -CAfile ca.crt";
    openssl(&place, &format!("{verify} -purpose sslclient user.crt"));
    assert_ne!(place.sh(&format!("openssl {verify} -purpose sslserver user.crt"), "").code, 0);
    let subject = openssl(&place, "x509 -in user.crt -noout -subject -nameopt sep_multiline,utf8");
    let fields: Vec<&str> = subject.lines().skip(1).map(str::trim).collect();
    assert_eq!(fields, ["O=dev", "O=ops/night", "CN=anna@example.net"]);
    assert_eq!(
        openssl(&place, "x509 -in user.crt -noout -pubkey"),
        openssl(&place, "pkey -in user.key -pubout")
    );
    openssl(&place, &format!("x509 -in user.crt -noout -checkend {}", 7 * 86400 - 60));
    assert_ne!(
        place.sh(&format!("openssl x509 -in user.crt -noout -checkend {}", 7 * 86400 + 60), "").code,
        0
    );
    assert_eq!(std::fs::read(place.path().join("ca.crt")).unwrap(), keys["ca/cluster.crt"]);

    // The store has the certificate, and no key more than before.
    let after = place.files();
    let new: BTreeMap<_, _> = after.iter().filter(|(name, _)| !keys.contains_key(*name)).collect();
    let names: Vec<&&String> = new.keys().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(
        names[0].starts_with("users/anna@example.net.") && names[0].strip_suffix(".crt").is_some(),
        "{names:?}"
    );
    assert_eq!(*new[names[0]], std::fs::read(place.path().join("user.crt")).unwrap());
}

#[test]
fn it_opens_the_api_server_to_gos_client_and_to_openssls_strict_one() {
    let place = Place::with_store(SMALL);
    kubeconfig(&place, &["--user", "anna", "--group", "dev", "--group", "ops", "--to", "anna.conf"]).exits(0);
    take_apart(&place, "anna.conf");
    let server = Server::start(&place);
    let get = |file: &str| {
        place.sh(&format!("kubectl --kubeconfig {file} --server https://{} get --raw /", server.1), "")
    };
    let page = get("anna.conf").exits(0).stdout;
    // How spaces stand in it differs between releases of openssl.
    assert!(page.replace(" = ", "=").contains("O=dev, O=ops, CN=anna"), "{page}");
    let strict = format!(
        "echo | openssl s_client -connect {} -servername k8s.example.net -verify_hostname k8s.example.net -x509_strict \
         -verify_return_error -CAfile ca.crt -cert user.crt -key user.key -tls1_3",
        server.1
    );
    let ran = place.sh(&strict, "").exits(0);
    assert!(ran.stdout.contains("Verify return code: 0 (ok)"), "{}", ran.stdout);
    // A kubeconfig of another cluster opens nothing, on either side.
    let other = Place::with_store(SMALL);
    kubeconfig(&other, &["--user", "anna", "--to", "anna.conf"]).exits(0);
    std::fs::copy(other.path().join("anna.conf"), place.path().join("other.conf")).unwrap();
    let refused = get("other.conf");
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("certificate signed by unknown authority"), "{}", refused.stderr);
}

#[test]
fn what_was_handed_out_is_listed_until_it_ends_and_is_never_due() {
    let place = Place::with_store(SMALL);
    kubeconfig(&place, &["--user", "anna", "--group", "dev", "--to", "anna.conf"]).exits(0);
    kubeconfig(&place, &["--user", "bert", "--days", "30", "--to", "bert.conf"]).exits(0);
    let ask = |days: i64, verb: &str, args: &[&str]| {
        let store = place.store().display().to_string();
        let (mut env, captured) =
            Env::fake([&["kmh-pki", verb, "--store", &store][..], args].concat(), SMALL);
        env.now = OffsetDateTime::now_utc() + Duration::days(days);
        let exit = kmh_pki::run(&mut env);
        Ran { code: exit as i32, stdout: captured.stdout_text(), stderr: captured.stderr_text() }
    };
    let people = |ran: &Ran| -> Vec<(String, String)> {
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let rows = report["certificates"].as_array().unwrap().iter();
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        rows.filter(|row| row["purpose"] == "person")
            .map(|row| (text(row, "component"), text(row, "state")))
            .collect()
    };
    let row = |who: &str, state: &str| (who.to_owned(), state.to_owned());
    assert_eq!(people(&ask(0, "status", &[]).exits(0)), [row("anna (dev)", "ok"), row("bert", "ok")]);
    assert_eq!(people(&ask(8, "status", &[]).exits(0)), [row("anna (dev)", "expired"), row("bert", "ok")]);
    // `--within` names what ends, and of people it is meant to.
    assert_eq!(people(&ask(0, "status", &["--within", "10d"]).exits(0))[0], row("anna (dev)", "due"));
    let text = ask(8, "status", &["-o", "text"]).exits(0).stdout;
    assert!(!text.contains("anna"), "{text}");
    assert!(text.contains("; 1 certificate of people has ended\n"), "{text}");
    // Nor is it a leftover of a machine, to `ensure`; and the auditor judges it as every other.
    let ensure = place.pki(&["--store", "store", "-o", "text"], SMALL).exits(0).stdout;
    assert!(ensure.ends_with("nothing to do: 27 certificates and 3 keys\n"), "{ensure}");
    let verify = ask(1, "verify", &["--strict", "-o", "text"]).exits(0).stdout;
    assert!(verify.starts_with("all is well: 29 certificates"), "{verify}");
    assert_eq!(ask(8, "verify", &["--strict"]).exits(0).code, 0);
}

#[test]
fn a_file_is_written_whole_and_replaces_none() {
    let place = Place::with_store(SMALL);
    let anna = ["--user", "anna", "--to"];
    std::fs::write(place.path().join("mine"), "a letter").unwrap();
    std::fs::create_dir(place.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("mine", place.path().join("link")).unwrap();
    for (to, says) in [
        ("mine", "`mine` is there already"),
        ("folder", "`folder` is there already"),
        ("link", "`link` is there already"),
        ("gone/anna.conf", "there is no directory `gone`"),
        ("", "a value is required for '--to <FILE>'"),
    ] {
        kubeconfig(&place, &[&anna[..], &[to]].concat()).exits(2).says(says);
    }
    // Nothing was issued for what could not be written.
    assert_eq!(count(&place, ".crt"), 0);
    let told = kubeconfig(&place, &[&anna[..], &["folder"]].concat()).stderr;
    assert!(told.ends_with("hint: name another file\n"), "{told}");
    kubeconfig(&place, &[&anna[..], &["link", "--force"]].concat()).exits(2).says("symbolic link");
    kubeconfig(&place, &[&anna[..], &["folder", "--force"]].concat()).exits(2).says("it is a directory");
    assert_eq!(count(&place, ".crt"), 0);
    assert_eq!(std::fs::read(place.path().join("mine")).unwrap(), b"a letter");
    kubeconfig(&place, &[&anna[..], &["mine", "--force"]].concat()).exits(0);
    assert_eq!(std::fs::metadata(place.path().join("mine")).unwrap().permissions().mode() & 0o777, 0o600);
    take_apart(&place, "mine");
    // A dry run says what it would do.
    let before = place.snapshot();
    let dry = kubeconfig(&place, &["--user", "anna", "--to", "dry.conf", "--dry-run", "-o", "text"]).exits(0);
    assert_eq!(dry.stdout, "would make a kubeconfig: anna in no group, at https://k8s.example.net:6443\n");
    assert_eq!(place.snapshot(), before);
}

#[test]
fn stdout_is_asked_for_by_name_and_is_no_terminal() {
    let place = Place::with_store(SMALL);
    kubeconfig(&place, &["--user", "anna"]).exits(2).says("--to <FILE>");
    let ran = kubeconfig(&place, &["--user", "anna", "--to", "-"]).exits(0);
    std::fs::write(place.path().join("anna.conf"), &ran.stdout).unwrap();
    take_apart(&place, "anna.conf");
    openssl(&place, "verify -CAfile ca.crt user.crt");
    kubeconfig(&place, &["--user", "anna", "--to", "-", "-o", "json"]).exits(2).says("does not print `json`");
    kubeconfig(&place, &["--user", "anna", "--to", "-", "--write", "x"])
        .exits(2)
        .says("a readable file of a key");
    assert!(!place.path().join("x").exists());
    let store = place.store().display().to_string();
    let (mut env, captured) =
        Env::fake(["kmh-pki", "kubeconfig", "--store", &store, "--user", "anna", "--to", "-"], SMALL);
    (env.now, env.stdout_is_terminal) = (OffsetDateTime::now_utc(), true);
    assert_eq!(kmh_pki::run(&mut env) as i32, 2);
    assert!(
        captured.stderr_text().contains("a key is not shown on a terminal"),
        "{}",
        captured.stderr_text()
    );
    assert_eq!(captured.stdout_text(), "");
    assert_eq!(count(&place, ".crt"), 1);
}

#[test]
fn names_that_are_somebody_elses_are_refused_all_at_once() {
    let place = Place::with_store(SMALL);
    for (args, says) in [
        (&["--user", "system:admin"][..], "user `system:admin` is reserved"),
        (&["--user", "System:admin"], "user `System:admin` is reserved"),
        (&["--user", "kube-apiserver-kubelet-client"], "is a component of the cluster"),
        (&["--user", "kubernetes-super-admin"], "is a component of the cluster"),
        (&["--user", "a b"], "user `a b` cannot be written"),
        (&["--user", "../../etc/x"], "user `../../etc/x` cannot be written"),
        (&["--user", ""], "user `` cannot be written"),
        (&["--user", "anna", "--group", "system:masters"], "`--break-glass` makes a kubeconfig of it"),
        (&["--user", "anna", "--group", "system:nodes"], "group `system:nodes` is reserved"),
        (&["--user", "anna", "--group", "kubeadm:cluster-admins"], "`--admin` puts the user into it"),
        (&["--user", "anna", "--group", "x\ny"], "group `x\\ny` cannot be written"),
        (&["--user", "anna", "--days", "366"], "366 is not in 1..=365"),
        (&["--user", "anna", "--days", "0"], "0 is not in 1..=365"),
        (&["--user", "anna", "--break-glass"], "cannot be used with"),
        (&["--user", "anna", "--limit", "w-1"], "takes no `--limit`"),
    ] {
        kubeconfig(&place, &[args, &["--to", "x.conf"]].concat()).exits(2).says(says);
    }
    let long = "a".repeat(65);
    let both = kubeconfig(&place, &["--user", &long, "--group", "system:x", "--to", "x.conf"]).exits(2);
    both.says("at most 64 letters").says("2 errors");
    assert!(!place.path().join("x.conf").exists());
    assert_eq!(count(&place, ".crt"), 0);
}

#[test]
fn an_admin_is_one_whom_rbac_can_stop() {
    let place = Place::with_store(SMALL);
    let subject = |file: &str| {
        take_apart(&place, file);
        openssl(&place, "x509 -in user.crt -noout -subject -nameopt RFC2253").trim().to_owned()
    };
    kubeconfig(&place, &["--admin", "--to", "admin.conf"]).exits(0);
    assert_eq!(subject("admin.conf"), "subject=CN=kubernetes-admin,O=kubeadm:cluster-admins");
    kubeconfig(&place, &["--admin", "--user", "anna", "--group", "dev", "--to", "anna.conf"]).exits(0);
    assert_eq!(subject("anna.conf"), "subject=CN=anna,O=dev,O=kubeadm:cluster-admins");
}

#[test]
fn breaking_the_glass_hands_out_the_stores_own_admin_even_from_a_disk_that_is_read_only() {
    let place = Place::with_store(SMALL);
    let ran = kubeconfig(&place, &["--break-glass", "--to", "glass.conf", "-o", "json"]).exits(0);
    ran.says("warning: this kubeconfig is of `system:masters`: it passes every authorization");
    take_apart(&place, "glass.conf");
    let own = place.files()["cluster/break-glass-admin.crt"].clone();
    assert_eq!(std::fs::read(place.path().join("user.crt")).unwrap(), own);
    assert_eq!(
        openssl(&place, "x509 -in user.crt -noout -pubkey"),
        openssl(&place, "pkey -in user.key -pubout")
    );
    assert_eq!(count(&place, ".crt"), 1);
    // Handed out twice is recorded once; and the record is no twin to the auditor.
    kubeconfig(&place, &["--break-glass", "--to", "again.conf"]).exits(0);
    assert_eq!(count(&place, ".crt"), 1);
    place.pki(&["verify", "--strict", "--store", "store"], SMALL).exits(0);
    kubeconfig(&place, &["--break-glass", "--strict", "--to", "strict.conf"])
        .exits(1)
        .says("a warning with --strict");
    assert!(!place.path().join("strict.conf").exists());

    let place = Place::with_store(SMALL);
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    let on_read_only = |args: &str| {
        place.sh(
            &format!(
                "unshare -rm sh -c 'mount --bind store store && mount -o remount,ro,bind store &&
                 $PKI kubeconfig --store store -i cluster.yaml {args}'"
            ),
            "",
        )
    };
    let ran = on_read_only("--break-glass --to glass.conf").exits(0);
    ran.says("so it does not know that this was handed out");
    take_apart(&place, "glass.conf");
    on_read_only("--user anna --to anna.conf").exits(3).says("read-only file system");
    assert!(!place.path().join("anna.conf").exists());
}

#[test]
fn while_a_ca_is_rotated_all_that_are_trusted_are_in_the_file() {
    let place = Place::with_store(SMALL);
    let other = |name: &str| {
        let place = Place::with_store(SMALL);
        let bytes = place.files()["ca/cluster.crt"].clone();
        (name.to_owned(), bytes)
    };
    let (old, next) = (other("old"), other("next"));
    for (name, bytes) in [&old, &next] {
        std::fs::write(place.store().join(format!("ca/cluster.{name}.crt")), bytes).unwrap();
    }
    kubeconfig(&place, &["--user", "anna", "--to", "anna.conf"]).exits(0);
    take_apart(&place, "anna.conf");
    let bundle = std::fs::read(place.path().join("ca.crt")).unwrap();
    assert_eq!(bundle, [old.1, place.files()["ca/cluster.crt"].clone(), next.1].concat());
}

#[test]
fn without_the_cas_key_nobody_new_comes_in_and_the_glass_still_breaks() {
    let place = Place::with_store(SMALL);
    std::fs::remove_file(place.store().join("ca/cluster.key")).unwrap();
    kubeconfig(&place, &["--user", "anna", "--to", "anna.conf"])
        .exits(3)
        .says("the store does not hold the key of CA `ca/cluster`");
    kubeconfig(&place, &["--break-glass", "--to", "glass.conf"]).exits(0);
    let place = Place::with_store(SMALL);
    std::fs::copy(place.store().join("ca/etcd.key"), place.store().join("ca/cluster.key")).unwrap();
    kubeconfig(&place, &["--user", "anna", "--to", "anna.conf"])
        .exits(3)
        .says("the key of `ca/cluster` does not belong to it");
    assert_eq!(count(&place, ".crt"), 0);
}

#[test]
fn the_key_is_in_the_file_and_nowhere_else() {
    let place = Place::with_store(SMALL);
    let ran = kubeconfig(&place, &["--user", "anna", "--to", "anna.conf", "-o", "json", "-vv"]).exits(0);
    take_apart(&place, "anna.conf");
    let key = std::fs::read_to_string(place.path().join("user.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["user"], &report["file"]), (&"anna".into(), &"anna.conf".into()));
    assert!(report["record"].as_str().unwrap().ends_with(report["serial"].as_str().unwrap()));
    for said in [&ran.stdout, &ran.stderr] {
        assert!(!said.contains(line) && !said.contains(&STANDARD.encode(&key)[..60]));
    }
    for (name, bytes) in place.files() {
        assert!(!String::from_utf8_lossy(&bytes).contains(line), "{name}");
    }
}

#[test]
fn the_examples_of_the_help_work_as_they_stand() {
    let place = Place::on_disk();
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_kmh-pki")).parent().unwrap().display().to_string();
    // age stands for any program that keeps secrets.
    let around = format!("PATH={bin}:$PATH; set -e -o pipefail; age() {{ cat >/dev/null; }}\n");
    let sh = |line: &str| place.sh(&(around.clone() + line), "");
    sh("kmh-pki --init --store pki -i cluster.yaml && mkdir backup && cp -a pki backup/").exits(0);
    let mut ran = 0;
    for examples in [kmh_pki::status::EXAMPLES, kmh_pki::verify::EXAMPLES, kmh_pki::kubeconfig::EXAMPLES] {
        for example in examples.split("\n\n") {
            let line = example.lines().filter(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n");
            let said = sh(&line);
            assert_eq!(said.code, 0, "{line}\n{}{}", said.stdout, said.stderr);
            if line.contains("$name") {
                assert!(
                    said.stdout.contains("w-1 /etc/kubernetes/kubelet.conf nodes/w-1/kubelet-client\n"),
                    "{}",
                    said.stdout
                );
            }
            if line.contains(r#""person""#) {
                assert!(said.stdout.contains("anna (dev) 20"), "{}", said.stdout);
            }
            ran += 1;
        }
    }
    assert_eq!(ran, 11);
}

#[test]
fn what_a_killed_run_left_among_peoples_certificates_is_finished_or_removed() {
    let place = Place::with_store(SMALL);
    let to = ["kubeconfig", "--store", "store", "--user", "anna", "--to", "anna.conf"];
    place.pki(&to, SMALL).exits(0);
    let certificate = place.everything().into_keys().find(|path| path.starts_with("users/")).unwrap();
    let unfinished = certificate.replace("users/", "users/.") + ".kmh-new";
    let store = place.store();
    std::fs::rename(store.join(&certificate), store.join(unfinished)).unwrap();
    std::fs::write(store.join("users/.bob.0a.crt.kmh-new"), "half").unwrap();
    let name = certificate.trim_end_matches(".crt");
    let journal = serde_json::json!({"names": [name], "files": [[certificate]]});
    std::fs::write(store.join("pending.json"), journal.to_string()).unwrap();
    let told = place.pki(&["verify", "--store", "store"], SMALL).exits(0).stdout;
    assert!(!told.contains("wanted.nothing"), "{told}");
    let told = place.pki(&["status", "--store", "store"], SMALL).exits(0).stdout;
    assert!(told.contains(name), "{told}");
    place.pki(&["--store", "store"], SMALL).exits(0);
    let found: Vec<_> = place.everything().into_keys().filter(|path| path.starts_with("users/")).collect();
    assert_eq!(found, [certificate]);
}
