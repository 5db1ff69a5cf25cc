//! Imports of what is broken, cut, hostile, or not there: each has its message, the source and the store stay as they
//! were, and no key is in any output.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use common::{Place, Ran, SMALL};
use serde_json::Value;

const KUBEADM: &str = include_str!("recipes/kubeadm.sh");

/// A place with a sound folder `k` of kubeadm for cp-1.
fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.path().join("recipe.sh"), KUBEADM).unwrap();
    let variables = "KIND=ec USE=digitalSignature NODE=cp-1 ADDRESS=10.10.0.11 SANS=IP:fd00:10::11";
    place.sh(&format!("mkdir k && cd k && {variables} bash ../recipe.sh"), "").exits(0);
    place
}

fn import(place: &Place, args: &[&str]) -> Ran {
    place.pki(&[&["import", "--store", "store", "--init", "-o", "json"], args].concat(), SMALL)
}

/// Level and text of the findings of a file, and whether something of that name was imported.
#[track_caller]
fn told(place: &Place, file: &str, name: &str) -> (Vec<String>, bool) {
    let ran = import(place, &["--from", "k", "--dry-run"]).exits(0);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let file = format!("k/{file}");
    let all = told["findings"].as_array().unwrap().iter().filter(|one| one["file"] == file.as_str());
    let texts =
        all.map(|one| format!("{}: {}", one["level"].as_str().unwrap(), one["finding"].as_str().unwrap()));
    (texts.collect(), told["imported"].as_array().unwrap().iter().any(|one| one["name"] == name))
}

#[test]
fn each_defect_of_a_file_is_found_and_the_rest_is_taken() {
    let place = place();
    let pki = "etc/kubernetes/pki";
    let sh = |line: &str| drop(place.sh(&format!("cd k/{pki} && {line}"), "").exits(0));
    let is = |file: &str, name: &str, finding: &str, imported: bool| {
        let (found, taken) = told(&place, file, name);
        assert!(found.iter().any(|one| one == finding), "{file}: {found:#?}");
        assert_eq!(taken, imported, "{file}: {found:#?}");
    };
    let client = format!("{pki}/front-proxy-client.crt");
    let of = "nodes/cp-1/front-proxy-client";
    sh("cp front-proxy-client.key kept.k");
    assert_eq!(told(&place, &client, of), (vec![], true));
    sh("cp etcd/server.key front-proxy-client.key");
    is(&client, of, "warning: the key beside it does not belong to it", false);
    sh("rm front-proxy-client.key");
    is(&client, of, "warning: its key is not among the files", false);
    sh("openssl pkey -in kept.k -aes128 -passout pass:abcd -out front-proxy-client.key");
    is(&client, of, "warning: its key is under a password", false);
    sh("head -c 100 kept.k >front-proxy-client.key");
    is(&client, of, "warning: the end of a block is missing", false);
    sh("cp kept.k front-proxy-client.key; mv front-proxy-client.crt kept.c");
    let key = format!("{pki}/front-proxy-client.key");
    is(&key, of, "warning: it is a key whose certificate is not among the files", false);
    sh("head -c 300 kept.c >front-proxy-client.crt");
    is(&client, of, "warning: the end of a block is missing", false);
    sh("sed 's/^MII/MIJ/' kept.c >front-proxy-client.crt");
    is(&client, of, "warning: it holds no X.509 certificate", false);
    sh("cat kept.k >front-proxy-client.crt");
    is(&client, of, "warning: it holds no certificate", false);
    sh(": >front-proxy-client.crt");
    is(&client, of, "warning: it is empty", false);
    sh("cat kept.c ca.crt >front-proxy-client.crt");
    is(&client, of, "warning: it holds 2 certificates, and the first is taken", true);
    sh(
        "openssl x509 -req -in <(openssl req -new -key kept.k -subj /CN=front-proxy-client) -CA front-proxy-ca.crt \
        -CAkey front-proxy-ca.key -set_serial 7 -days 1 -out front-proxy-client.crt 2>&-",
    );
    is(&client, of, "warning: it is not X.509 v3", false);
    sh("cp kept.c front-proxy-client.crt; head -c 2000000 /dev/zero >big.crt; ln -s /etc/passwd away.crt; \
        ln -s /elsewhere/apiserver.crt other.crt");
    is(&format!("{pki}/big.crt"), of, "note: it is larger than a mebibyte, and was not read", true);
    is(&format!("{pki}/away.crt"), of, "note: it is a symbolic link that leads out of its folder", true);
    is(&format!("{pki}/other.crt"), of, "note: it is a symbolic link that leads out of its folder", true);
    sh("cp apiserver.crt stray.crt");
    is(&format!("{pki}/stray.crt"), of, "note: nothing that the inventory asks for has this name", true);
    sh("openssl pkey -in etcd/ca.key -pubout -out sa.pub");
    is(
        &format!("{pki}/sa.pub"),
        "keys/service-account",
        "warning: it is not the public half of `etc/kubernetes/pki/sa.key`",
        true,
    );
    // A kubeconfig that is none, one whose data is none.
    let admin = "etc/kubernetes/admin.conf";
    sh("cp ../admin.conf kept.a; printf 'a: [\\n' >../admin.conf");
    is(admin, "nodes/cp-1/admin", "warning: it is no YAML: line 2", false);
    sh("sed 's/\\(client-key-data: .\\)./\\1*/' kept.a >../admin.conf");
    is(admin, "nodes/cp-1/admin", "warning: its `client-key-data` is no base64", false);
    // CAs: one without its key, with another's, one that ended.
    let ca = format!("{pki}/etcd/ca.crt");
    sh("mv etcd/ca.key kept.e");
    is(&ca, "ca/etcd", "note: its key is not among the files", true);
    sh("cp ca.key etcd/ca.key");
    is(&ca, "ca/etcd", "warning: the key beside it does not belong to it", true);
    sh("cp kept.e etcd/ca.key; cp etcd/ca.crt kept.ec; \
        openssl x509 -in kept.ec -signkey kept.e -days -1 -out etcd/ca.crt 2>&- || \
        openssl x509 -in kept.ec -signkey kept.e -not_after 20200101000000Z -out etcd/ca.crt");
    let (found, taken) = told(&place, &ca, "ca/etcd");
    assert!(taken && found.iter().any(|one| one.starts_with("warning: expired on ")), "{found:#?}");
}

#[test]
fn a_ca_that_would_be_replaced_is_told_of_loudly() {
    let place = place();
    place.sh("truncate -s 100 k/etc/kubernetes/pki/etcd/ca.crt", "").exits(0);
    let ran = import(&place, &["--from", "k", "--dry-run"]).exits(0);
    ran.says(
        "warning: k/etc/kubernetes/pki/etcd/ca.crt: CA `ca/etcd` cannot be taken: the next `ensure` makes another one",
    );
    // Where nothing of it is there, it is none of that cluster's.
    place.sh("rm k/etc/kubernetes/pki/etcd/ca.*", "").exits(0);
    let ran = import(&place, &["--from", "k", "--dry-run"]).exits(0);
    assert!(!ran.stderr.contains("cannot be taken"), "{}", ran.stderr);
}

#[test]
fn a_user_who_may_not_read_or_write_is_told_so_and_nothing_is_left() {
    // As an ordinary user: root may do anything.
    let place = Place::on_disk();
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_kmh-pki"), place.path().join("kmh-pki")).unwrap();
    let root = rustix::process::geteuid().is_root();
    let user = if root { "setpriv --reuid 65534 --regid 65534 --clear-groups" } else { "" };
    let own = if root { "chown -R 65534:65534 store k && chmod 755 . kmh-pki" } else { "chmod 500 ." };
    let line = format!(
        "./kmh-pki --store store --init -i cluster.yaml -o text && \
         ./kmh-pki export --layout kubeadm --to k --store store -i cluster.yaml && \
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.csr \
           -subj /O=system:nodes/CN=system:node:w-1 && chmod 644 a.csr && {own} && chmod 0 k/cp-1/etc/kubernetes/pki/sa.key"
    );
    place.sh(&line, "").exits(0);
    let before = place.files();
    let run = |args: &str| place.sh(&format!("{user} ./kmh-pki {args} -i cluster.yaml"), "").exits(3);
    run("import --from k --init --store new")
        .says("cannot read `k/cp-1/etc/kubernetes/pki/sa.key`\n  caused by: permission denied\n  hint: keys are root's");
    for (args, file) in [
        ("sign --csr a.csr --to a.crt", "a.crt"),
        ("ensure --requests ask.json", "ask.json"),
        ("export --layout tar --to a.tar", "a.tar"),
        ("kubeconfig --user anna --to anna.conf", "anna.conf"),
    ] {
        run(&format!("{args} --store store"))
            .says(&format!("cannot write `{file}`\n  caused by: permission denied"));
        assert_eq!(place.files(), before, "{args}");
    }
    place.sh("chmod 700 .", "").exits(0);
}

#[test]
fn what_ends_soon_or_has_ended_is_made_anew() {
    let place = place();
    let leaf = "openssl x509 -req -in <(openssl req -new -key sa.key -subj /CN=front-proxy-client) -CA front-proxy-ca.crt \
                -CAkey front-proxy-ca.key -set_serial 7 -out front-proxy-client.crt -extfile <(printf \
                'basicConstraints=critical,CA:FALSE\\nkeyUsage=critical,digitalSignature\\nextendedKeyUsage=clientAuth\\nauthorityKeyIdentifier=keyid\\n')";
    place
        .sh(&format!("cd k/etc/kubernetes/pki && cp sa.key front-proxy-client.key && {leaf} -days 0 2>&- && sleep 1"), "")
        .exits(0);
    let (found, taken) =
        told(&place, "etc/kubernetes/pki/front-proxy-client.crt", "nodes/cp-1/front-proxy-client");
    assert!(!taken && found.iter().any(|one| one.starts_with("warning: expired on ")), "{found:#?}");
}

#[test]
fn what_cannot_be_a_store_is_refused_and_nothing_is_left() {
    let place = place();
    let none = |ran: Ran| {
        assert!(!place.store().exists());
        ran
    };
    none(import(&place, &["--from", "nowhere"])).exits(2).says("cannot read `nowhere`");
    none(import(&place, &["--from", "k/etc/kubernetes/manifests"]))
        .exits(2)
        .says("no file of a PKI that kmh knows");
    // A store, a file, a machine that is none, one that has no folder, and one that has two.
    place.pki(&["--store", "made", "--init"], SMALL).exits(0);
    none(import(&place, &["--from", "made"]))
        .exits(2)
        .says("`made` is a store of kmh-pki already")
        .says("hint: use it as it is, `--store made`; `export --layout tar` copies it");
    none(import(&place, &["--from", "cp-1=made"])).exits(2).says("is a store of kmh-pki already");
    none(import(&place, &["--from", "k/etc/kubernetes/admin.conf"]))
        .exits(2)
        .says("is a file, and an import reads folders");
    none(import(&place, &["--from", "cp-9=k"]))
        .exits(2)
        .says("the inventory has no machine `cp-9`\n  at --from cp-9=k\n")
        .says("hint: the machines are cp-1, w-1, w-2, gw");
    none(import(&place, &["--from", ""])).exits(2).says("`--from ` names no folder");
    none(import(&place, &["--from", "-"])).exits(2).says("`--from -` names no folder");
    none(import(&place, &["--from", "cp-1="])).exits(2).says("no folder is named for `cp-1`");
    place.sh("cp -r k l && ln -s k a=b", "").exits(0);
    for second in ["cp-1=l", "cp-1=k", "l"] {
        let folder = second.trim_start_matches("cp-1=");
        none(import(&place, &["--from", "cp-1=k", "--from", second]))
            .exits(2)
            .says(&format!("two folders are of machine `cp-1`\n  at k\n  at {folder}\n"));
    }
    import(&place, &["--from", "a=b", "--dry-run"]).exits(0);
    none(import(&place, &["--from", "k", "--limit", "cp-1"])).exits(2).says("knows no `--limit`");
    none(import(&place, &[])).exits(2).says("--from");
    none(place.pki(&["import", "--store", "store", "--from", "k"], SMALL))
        .exits(2)
        .says("store `store` does not exist");
    place.sh("cp k/etc/kubernetes/pki/sa.key k/etc/kubernetes/pki/service-account.key", "").exits(0);
    none(import(&place, &["--from", "k"])).exits(2).says("files of two layouts are in the folder");
    place.sh("cd k/etc/kubernetes/pki && rm service-account.key && mv sa.key ../sa.kept", "").exits(0);
    none(import(&place, &["--from", "k"]))
        .exits(2)
        .says("the key of service accounts is not among the files");
    place.sh("cd k/etc/kubernetes/pki && openssl genpkey -algorithm x25519 -out sa.key", "").exits(0);
    none(import(&place, &["--from", "k"])).exits(2).says("the key of service accounts cannot be used");
    place
        .sh(
            "cd k/etc/kubernetes/pki && mv ../sa.kept sa.key && mv ca.crt kept && cp apiserver.crt ca.crt",
            "",
        )
        .exits(0);
    none(import(&place, &["--from", "k"]))
        .exits(2)
        .says("no CA of a cluster is among the files that could be taken")
        .says("`ca/cluster` is no certificate of a CA");
    place.sh("cd k/etc/kubernetes/pki && mv kept ca.crt", "").exits(0);
    // Strictly, what is not sound is an error, and it is said before anything is made.
    let ran = none(import(&place, &["--from", "k", "--strict"])).exits(1);
    ran.says("warning: k/etc/kubernetes/pki/apiserver.crt: names differ");
    // A store of another cluster, and one in which something is already.
    place.pki(&["--store", "store", "--init"], &SMALL.replace("name: small", "name: other")).exits(0);
    let before = place.snapshot();
    import(&place, &["--from", "k"]).exits(2).says("belongs to cluster `other`");
    assert_eq!(place.snapshot(), before);
}

#[test]
fn no_key_is_in_any_output() {
    let place = place();
    let mut said = String::new();
    for args in [&["--dry-run"][..], &["-o", "text", "-vv"], &[]] {
        let ran = place
            .pki(&[&["import", "--store", "store", "--init", "--from", "k"], args].concat(), SMALL)
            .exits(0);
        said.extend([ran.stdout, ran.stderr]);
    }
    // Errors about files that are keys where none is expected.
    for line in [
        "cp ca.key ca.crt",
        "base64 ca.key >../admin.conf",
        "cp ca.key sa.pub",
        "cat ca.key >../encryption.yaml; echo 'kind: EncryptionConfig' >>../encryption.yaml",
    ] {
        place.sh(&format!("cd k/etc/kubernetes/pki && {line}"), "").exits(0);
        let ran =
            place.pki(&["import", "--store", "two", "--init", "--dry-run", "--from", "k", "-vv"], SMALL);
        said.extend([ran.stdout, ran.stderr]);
    }
    assert!(said.len() > 10_000);
    let keys = place.sh("cat $(find k store -name '*.key') | grep -av -- -----; cat k/etc/kubernetes/*.conf | sed -n 's/ *client-key-data: //p'", "").exits(0);
    let keys: Vec<&str> = keys.stdout.lines().filter(|line| line.len() > 40).collect();
    assert!(keys.len() > 50, "{}", keys.len());
    for key in keys {
        assert!(!said.contains(&key[..40]), "{key}");
    }
}

#[test]
fn help_shows_examples_that_work() {
    let place = place();
    let help = place.pki(&["import", "--help"], "").exits(0).stdout;
    let wide = |line: &&str| line.starts_with("    kmh-") && line.chars().count() >= 80;
    assert_eq!(help.lines().find(wide), None);
    let joined = help.replace("\\\n", " ");
    let examples: Vec<_> =
        joined.lines().map(str::trim).filter(|line| line.starts_with("kmh-pki ")).collect();
    assert_eq!(examples.len(), 3, "{help}");
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    place.sh("ln -s k a; mkdir b c home; cp k/etc/kubernetes/pki/ca.* k/etc/kubernetes/pki/sa.* home; mv home/sa.key home/service-account.key", "").exits(0);
    for line in examples {
        let line = line
            .replacen("kmh-pki", "$PKI", 1)
            .replace("/etc/kubernetes", "k/etc/kubernetes")
            .replace('~', "home");
        let line = line.replace("cp-2", "w-1").replace("cp-3", "w-2");
        place.sh(&format!("{line} && rm -rf pki"), "").exits(0);
    }
}
