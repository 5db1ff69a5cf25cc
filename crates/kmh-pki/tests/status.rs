//! What ends when, who uses it, and what the exit code says of it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{Place, Ran, SMALL, article};
use kmh_cli::{Env, Exit};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// The program that many days from now, and an hour: a test that takes a second must not come to another day.
fn later(place: &Place, days: i64, args: &[&str], inventory: &str) -> Ran {
    let store = place.store().display().to_string();
    let all = [&["kmh-pki", "status", "--store", &store], args].concat();
    let (mut env, captured) = Env::fake(all, inventory);
    env.now = OffsetDateTime::now_utc() + Duration::days(days) + Duration::HOUR;
    let exit = kmh_pki::run(&mut env);
    Ran { code: exit as i32, stdout: captured.stdout_text(), stderr: captured.stderr_text() }
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

fn row<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rows = report["certificates"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no row {name}: {report:#}"))
}

fn due(report: &Value) -> Vec<&str> {
    let rows = report["certificates"].as_array().unwrap().iter();
    rows.filter(|row| row["due"] == true).map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn everything_that_can_end_is_there_with_its_users() {
    let place = Place::with_store(SMALL);
    let report = json(&later(&place, 0, &[], SMALL).exits(0));
    let document = place.document(SMALL);
    let wanted = document["spec"]["certificates"].as_array().unwrap();
    assert_eq!(report["certificates"].as_array().unwrap().len(), wanted.len());
    for one in wanted {
        let row = row(&report, one["name"].as_str().unwrap());
        for field in ["not_before", "not_after", "serial", "fingerprint", "class"] {
            assert_eq!(row[field], one[field], "{field} of {}", one["name"]);
        }
        assert_eq!(
            (&row["state"], &row["due"], &row["purpose"]),
            (&"ok".into(), &false.into(), &"wanted".into())
        );
    }
    assert_eq!(report["store"], document["spec"]["store"]);
    assert_eq!((&report["ok"], &report["due"]), (&true.into(), &0.into()));
    // Sorted by their end: leaves before CAs.
    let ends: Vec<&str> = report["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["not_after"].as_str().unwrap())
        .collect();
    assert!(ends.is_sorted(), "{ends:?}");
    let kubelet = row(&report, "nodes/w-1/kubelet-client");
    assert_eq!(kubelet["component"], "kubelet");
    assert_eq!(kubelet["days_left"], 364);
    assert_eq!(
        kubelet["used_by"],
        serde_json::json!([{"machine": "w-1", "path": "/var/lib/kubelet/pki/kubelet-client.crt",
            "kubeconfigs": ["/etc/kubernetes/kubelet.conf"]}])
    );
    // Every kubeconfig of a machine trusts by the cluster's CA.
    let ca = row(&report, "ca/cluster")["used_by"].as_array().unwrap().clone();
    let of = |machine: &str| ca.iter().find(|one| one["machine"] == machine).unwrap()["kubeconfigs"].clone();
    let on = |names: &[&str]| {
        Value::from(names.iter().map(|n| format!("/etc/kubernetes/{n}.conf")).collect::<Vec<_>>())
    };
    assert_eq!(of("cp-1"), on(&["admin", "controller-manager", "kube-proxy", "kubelet", "scheduler"]));
    assert_eq!(of("w-2"), on(&["kube-proxy", "kubelet"]));
}

#[test]
fn due_is_what_ensure_would_make_again_and_a_ca_that_is_too_short() {
    let place = Place::with_store(SMALL);
    assert_eq!(due(&json(&later(&place, 240, &[], SMALL).exits(0))), [""; 0]);
    // Two thirds of a year are over.
    let report = json(&later(&place, 245, &[], SMALL).exits(1));
    assert_eq!(due(&report).len(), 23);
    assert!(due(&report).iter().all(|name| !name.starts_with("ca/")));
    assert_eq!(report["due"], 23);
    assert_eq!(row(&report, "nodes/cp-1/apiserver")["state"], "due");
    // The inventory may set another threshold.
    let late = format!("{SMALL}  pki: {{renew_days: 30}}\n");
    later(&place, 330, &[], &late).exits(0);
    assert_eq!(due(&json(&later(&place, 340, &[], &late).exits(1))).len(), 23);
    // Nine years and one day: what the CAs sign now ends with them.
    let report = json(&later(&place, 9 * 365 + 1, &[], SMALL).exits(1));
    assert_eq!(due(&report).iter().filter(|name| name.starts_with("ca/")).count(), 4);
    assert_eq!(row(&report, "nodes/cp-1/apiserver")["state"], "expired");
    assert_eq!(row(&report, "nodes/cp-1/apiserver")["days_left"], -2922);
    // A clock that is behind: nothing has begun.
    let report = json(&later(&place, -30, &[], SMALL).exits(1));
    assert_eq!(row(&report, "ca/etcd")["state"], "future");
    later(&place, -9000, &[], SMALL).exits(3).says("the clock of this machine says");
}

#[test]
fn a_root_is_due_when_certificates_end_with_it_and_no_rotation_is_named() {
    let rooted = format!("{SMALL}  pki: {{root: true}}\n");
    let place = Place::with_store(&rooted);
    let root = |days: i64| {
        let report = json(&later(&place, days, &[], &rooted));
        let row = row(&report, "ca/root");
        (row["state"].clone(), row["due"].clone())
    };
    // By the lives of what it signs it would be due from its eleventh year on.
    for years in [0, 10, 11, 18] {
        assert_eq!(root(years * 365 + 30), ("ok".into(), false.into()), "{years}");
    }
    assert_eq!(root(19 * 365 + 1), ("due".into(), true.into()));
    let ran = later(&place, 19 * 365 + 1, &["-o", "text"], &rooted).exits(1);
    let stays =
        "nothing replaces a root: with `pki: {root: false}`, `kmh-pki rotate` makes CAs that sign themselves";
    assert!(
        told(&ran).contains(&format!("; {stays}; a CA is renewed by `kmh-pki rotate cluster`, ")),
        "{}",
        told(&ran)
    );
}

#[test]
fn within_asks_for_another_time() {
    let place = Place::with_store(SMALL);
    later(&place, 245, &["--within", "30d"], SMALL).exits(0);
    later(&place, 340, &["--within", "3w"], SMALL).exits(0);
    let report = json(&later(&place, 340, &["--within", "4w"], SMALL).exits(1));
    assert_eq!(due(&report).len(), 23);
    later(&place, 364, &["--within", "12h"], SMALL).exits(0);
    let all = json(&later(&place, 0, &["--within", "600w"], SMALL).exits(1));
    assert_eq!(due(&all).len(), 27);
    later(&place, 0, &["--within", "a month"], SMALL).exits(2).says("`a month` is no time such as");
}

/// The last line for people.
fn told(ran: &Ran) -> &str {
    ran.stdout.lines().last().unwrap()
}

#[test]
fn what_is_said_of_ensure_is_what_ensure_would_do() {
    let place = Place::with_store(SMALL);
    let text = |days: i64, args: &[&str], inventory: &str| {
        later(&place, days, &[&["-o", "text"], args].concat(), inventory).exits(1)
    };
    // A third of a year is 121 days and 16 hours and a bit: a leaf is made again from day 243 on.
    let from = (OffsetDateTime::now_utc() + Duration::days(243) + Duration::hours(7)).date().to_string();
    let ran = text(0, &["--within", "400d"], SMALL);
    assert_eq!(
        told(&ran),
        format!("23 certificates are due, of 27; `kmh-pki ensure` makes them again, from {from} on")
    );
    let ran = text(0, &["--within", "600w"], SMALL);
    assert_eq!(
        told(&ran),
        format!(
            "27 certificates are due, of 27; `kmh-pki ensure` makes 23 of them again, from {from} on; a CA is \
             renewed by `kmh-pki rotate cluster`, `kmh-pki rotate etcd`, `kmh-pki rotate front-proxy`, `kmh-pki rotate ipsec`"
        )
    );
    let ran = text(245, &["--within", "400d"], SMALL);
    assert_eq!(told(&ran), "23 certificates are due, of 27; `kmh-pki ensure` makes them again");
    // With a threshold of the inventory, too.
    let late = format!("{SMALL}  pki: {{renew_days: 30}}\n");
    let from = (OffsetDateTime::now_utc() + Duration::days(335)).date().to_string();
    let ran = text(245, &["--within", "400d"], &late);
    assert!(told(&ran).ends_with(&format!("makes them again, from {from} on")), "{}", ran.stdout);
    // A clock that is behind is nothing that a program mends.
    assert_eq!(told(&text(-30, &[], SMALL)), "27 certificates are due, of 27");
    // With a damaged one, `ensure` makes nothing at all.
    std::fs::write(place.store().join("nodes/w-1/kubelet-client.crt"), "-----BEGIN CERTIFICATE-----\nMIIB")
        .unwrap();
    std::fs::remove_file(place.store().join("nodes/w-1/kube-proxy.crt")).unwrap();
    let ran = text(0, &[], SMALL);
    assert_eq!(
        told(&ran),
        "1 certificate is missing, 1 certificate is damaged, of 25; `kmh-pki verify` says what to do"
    );
}

#[test]
fn what_ends_with_its_ca_waits_for_another_ca() {
    let short = format!("{SMALL}  pki: {{days: 365, ca_days: 365}}\n");
    let place = Place::with_store(&short);
    let ran = later(&place, 300, &["-o", "text"], &short).exits(1);
    let cas =
        ["cluster", "etcd", "front-proxy", "ipsec"].map(|ca| format!("`kmh-pki rotate {ca}`")).join(", ");
    assert_eq!(told(&ran), format!("27 certificates are due, of 27; a CA is renewed by {cas}"));
    // As `ensure` has it.
    let store = place.store().display().to_string();
    let (mut env, captured) = Env::fake(["kmh-pki", "--store", &store, "-o", "text"], short.as_str());
    env.now = OffsetDateTime::now_utc() + Duration::days(300);
    assert_eq!(kmh_pki::run(&mut env), Exit::Done);
    assert!(captured.stdout_text().ends_with("nothing to do: 27 certificates and 3 keys\n"));
}

#[test]
fn who_has_no_key_of_a_ca_is_told_of_requests() {
    let place = Place::with_store(SMALL);
    std::fs::rename(place.store().join("ca/cluster.key"), place.path().join("cluster.key")).unwrap();
    let asks = "the key of `ca/cluster` is elsewhere: `kmh-pki ensure --requests FILE` asks for it, \
        `kmh-pki sign --requests` signs it there, `kmh-pki import --signed` takes it in";
    let ran = later(&place, 245, &["-o", "text"], SMALL).exits(1);
    assert_eq!(
        told(&ran),
        format!("23 certificates are due, of 27; `kmh-pki ensure` makes 6 of them again; {asks}")
    );
    for end in ["crt", "key"] {
        std::fs::remove_file(place.store().join(format!("nodes/w-1/kube-proxy.{end}"))).unwrap();
    }
    let ran = later(&place, 0, &["-o", "text"], SMALL).exits(1);
    assert_eq!(told(&ran), format!("1 certificate is missing, of 26; {asks}"));
    std::fs::rename(place.path().join("cluster.key"), place.store().join("ca/cluster.key")).unwrap();
    let ran = later(&place, 0, &["-o", "text"], SMALL).exits(1);
    assert_eq!(told(&ran), "1 certificate is missing, of 26; `kmh-pki ensure` makes it again");
    // The CA itself is missed by what it signed.
    std::fs::remove_file(place.store().join("ca/cluster.crt")).unwrap();
    let ran = later(&place, 0, &["-o", "text"], SMALL).exits(1);
    assert_eq!(
        told(&ran),
        "2 certificates are missing, of 25; a CA is missing that signed the others: restore it from a backup"
    );
}

#[test]
fn a_kubeconfig_whose_ca_is_gone_is_due_until_there_is_another() {
    let place = Place::with_store(SMALL);
    let kubeconfig = |to: &str| {
        place.pki(&["kubeconfig", "--user", "anna", "--to", to, "--store", "store"], SMALL).exits(0);
    };
    kubeconfig("one.conf");
    place.pki(&["rotate", "cluster", "--store", "store"], SMALL).exits(0);
    place.pki(&["rotate", "cluster", "--deployed", "--store", "store"], SMALL).exits(0);
    place.pki(&["--store", "store"], SMALL).exits(0);
    // Both CAs are trusted.
    let person = |report: &Value| {
        let rows = report["certificates"].as_array().unwrap();
        let row = rows.iter().find(|row| row["purpose"] == "person" && row["state"] != "ok");
        row.map(|row| (row["state"].clone(), row["due"].clone()))
    };
    assert_eq!(person(&json(&later(&place, 0, &[], SMALL).exits(0))), None);
    place.pki(&["rotate", "cluster", "--deployed", "--store", "store"], SMALL).exits(0);
    let report = json(&later(&place, 0, &[], SMALL).exits(1));
    assert_eq!(person(&report), Some(("gone".into(), true.into())));
    assert_eq!((&report["ok"], &report["due"]), (&false.into(), &1.into()));
    let ran = later(&place, 0, &["-o", "text"], SMALL).exits(1);
    let row = ran.stdout.lines().find(|line| line.starts_with("users/anna.")).unwrap();
    assert!(row.contains("6 its CA is gone") && row.ends_with("anna"), "{}", ran.stdout);
    assert_eq!(
        told(&ran),
        "1 certificate is due, of 28; `kmh-pki kubeconfig` lets in again whose CA is gone"
    );
    // She has another by now, and the old one is only shown.
    kubeconfig("two.conf");
    let report = json(&later(&place, 0, &[], SMALL).exits(0));
    assert_eq!(person(&report), Some(("gone".into(), false.into())));
    // Once it has ended, it is like any other that has.
    let report = json(&later(&place, 8, &[], SMALL).exits(0));
    assert_eq!(person(&report), Some(("expired".into(), false.into())));
}

#[test]
fn another_generation_stands_where_a_push_puts_it() {
    let place = Place::with_store(SMALL);
    place.pki(&["rotate", "ipsec", "--store", "store"], SMALL).exits(0);
    let report = json(&later(&place, 0, &[], SMALL).exits(0));
    let path = |name: &str| row(&report, name)["used_by"][0]["path"].clone();
    assert_eq!(path("ca/ipsec"), "/etc/swanctl/x509ca/kmh-ipsec-ca.crt");
    assert_eq!(path("ca/ipsec.next"), "/etc/swanctl/x509ca/kmh-ipsec-ca-2.crt");
    assert_eq!(row(&report, "ca/ipsec.next")["purpose"], "generation");
}

#[test]
fn the_table_fits_a_terminal_and_groups_machines() {
    let place = Place::with_store(&article());
    let ran = later(&place, 0, &["-o", "text"], &article()).exits(0);
    let text = &ran.stdout;
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 100).collect();
    assert_eq!(wide, [""; 0]);
    assert!(text.lines().count() < 45, "{text}");
    let line = |name: &str| {
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    assert!(
        line("nodes/*/kubelet-client ").ends_with("364   kubelet on attic-1, flat-1, pi-1, vps-1"),
        "{text}"
    );
    assert!(text.contains("  in /etc/kubernetes/kubelet.conf\n"), "{text}");
    assert!(line("nodes/*/controller-manager ").ends_with("kube-controller-manager on 3 machines"), "{text}");
    assert!(line("cluster/break-glass-admin").ends_with("admins in an emergency"), "{text}");
    assert!(text.contains("nothing is due: the first of 56 certificates ends on "), "{text}");
    // What was made again on one machine stands alone.
    let moved = article().replace("10.20.0.21", "10.20.0.22");
    place.pki(&["--store", "store"], &moved).exits(0);
    let ran = later(&place, 244, &["-o", "text"], &moved).exits(1);
    assert!(
        ran.stdout.contains("52 certificates are due, of 56; `kmh-pki ensure` makes them again"),
        "{}",
        ran.stdout
    );
}

#[test]
fn limit_asks_about_machines() {
    let place = Place::with_store(SMALL);
    let report = json(&later(&place, 0, &["--limit", "w-1"], SMALL).exits(0));
    let names: Vec<_> =
        report["certificates"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["nodes/w-1/kube-proxy", "nodes/w-1/kubelet-client", "nodes/w-1/kubelet-serving", "ca/cluster"]
    );
    later(&place, 0, &["--limit", "w-9"], SMALL).exits(2).says("w-9");
}

#[test]
fn what_is_missing_damaged_or_left_over_is_said() {
    let place = Place::with_store(SMALL);
    let without = SMALL.replace("    - {name: w-2, site: here, address: [10.10.0.22, 'fd00:10::22']}\n", "");
    // Nobody needs what a machine leaves behind, so it is never due.
    let report = json(&later(&place, 400, &["--limit", "cp-1"], &without));
    assert!(report["certificates"].as_array().unwrap().iter().all(|row| row["purpose"] == "wanted"));
    let report = json(&later(&place, 300, &[], &without).exits(1));
    let left = row(&report, "nodes/w-2/kube-proxy");
    assert_eq!(
        (&left["purpose"], &left["due"], &left["component"]),
        (&"leftover".into(), &false.into(), &"nobody".into())
    );
    // Of a half that is gone, the key is not asked for.
    std::fs::remove_file(place.store().join("nodes/w-1/kube-proxy.crt")).unwrap();
    std::fs::write(place.store().join("nodes/w-1/kubelet-client.crt"), "-----BEGIN CERTIFICATE-----\nMIIB")
        .unwrap();
    let ran = later(&place, 0, &["-o", "text"], SMALL).exits(1);
    assert!(
        ran.stdout.contains("1 certificate is missing, 1 certificate is damaged, of 25"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("MISSING\nnodes/w-1/kube-proxy\n"), "{}", ran.stdout);
    let report = json(&later(&place, 0, &[], SMALL).exits(1));
    assert_eq!(report["missing"], serde_json::json!(["nodes/w-1/kube-proxy"]));
    assert_eq!(report["damaged"][0]["name"], "nodes/w-1/kubelet-client");
}

#[test]
fn it_reads_no_key_and_writes_nothing() {
    let place = Place::with_store(SMALL);
    // Keys that would be refused at once: nobody looks.
    for key in ["ca/cluster.key", "nodes/w-1/kube-proxy.key", "keys/encryption.key"] {
        std::fs::write(place.store().join(key), "no key at all").unwrap();
    }
    let before = place.snapshot();
    later(&place, 0, &[], SMALL).exits(0);
    place.pki(&["status", "--store", "store", "-o", "text"], SMALL).exits(0);
    assert_eq!(place.snapshot(), before);
    // A store that nobody may write, the keys unreadable even to the kernel's answer for this user.
    let mut folders = vec![place.store()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
            }
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    }
    let read_only = place.snapshot();
    later(&place, 0, &[], SMALL).exits(0);
    assert_eq!(place.snapshot(), read_only);
}

#[test]
fn a_store_must_be_there_and_init_makes_none() {
    let place = Place::new();
    let ran = place.pki(&["status", "--store", "store", "--init"], SMALL).exits(2);
    ran.says("store `store` does not exist")
        .says("hint: check the path; `kmh-pki ensure --init` makes a new store");
    assert!(!place.store().exists());
    place.pki(&["status"], SMALL).exits(2).says("no store is named");
    assert_eq!(Exit::No as i32, 1);
}

#[test]
fn a_write_that_was_cut_off_counts_from_its_journal_on() {
    let place = Place::with_store(SMALL);
    let store = place.store();
    let rename = |from: &str, to: &str| std::fs::rename(store.join(from), store.join(to)).unwrap();
    rename("nodes/w-1/kube-proxy.crt", "nodes/w-1/.kube-proxy.crt.kmh-new");
    rename("cluster/break-glass-admin.crt", "cluster/.break-glass-admin.crt.kmh-new");
    // Of the first another one stands there still, and a CA is to go.
    std::fs::copy(store.join("nodes/w-2/kube-proxy.crt"), store.join("nodes/w-1/kube-proxy.crt")).unwrap();
    std::fs::copy(store.join("ca/etcd.crt"), store.join("ca/etcd.old.crt")).unwrap();
    let journal = serde_json::json!({
        "names": ["cluster/break-glass-admin", "nodes/w-1/kube-proxy"],
        "files": [["cluster/break-glass-admin.crt", "nodes/w-1/kube-proxy.crt"]],
        "gone": [{"file": "ca/etcd.old.crt", "kept": "ca/etcd.crt"}],
    });
    std::fs::write(store.join("pending.json"), journal.to_string()).unwrap();
    let before = place.snapshot();
    let told = place.pki(&["status", "--store", "store"], SMALL).exits(0);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let rows = report["certificates"].as_array().unwrap();
    assert_eq!(rows.len(), 27);
    let serial = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        row["serial"].as_str().unwrap().to_owned()
    };
    assert_ne!(serial("nodes/w-1/kube-proxy"), serial("nodes/w-2/kube-proxy"));
    let told = place.pki(&["verify", "--store", "store"], SMALL).exits(0);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let ids = report["findings"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap());
    assert_eq!(
        ids.collect::<Vec<_>>(),
        ["file.unfinished", "file.unfinished", "store.pending", "store.pending"]
    );
    assert_eq!(place.snapshot(), before);
    // The next run finishes it.
    place.pki(&["--store", "store"], SMALL).exits(0);
    let told = place.pki(&["status", "--store", "store"], SMALL).exits(0);
    let after: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(after["certificates"], Value::from(rows.clone()));
}
