//! Exports: the names of the layouts, what is left out, whole or nothing, and what the real tar and openssl say of them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{Place, SMALL};
use kmh_cli::Env;
use serde_json::Value;

/// Files of a folder with their modes, folders with a slash.
fn tree(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let end = if meta.is_dir() { "/" } else { "" };
            found.insert(name + end, meta.permissions().mode() & 0o7777);
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn export(place: &Place, args: &[&str]) -> common::Ran {
    place.pki(&[&["export", "--store", "store"], args].concat(), SMALL)
}

const KUBEADM: &[&str] = &["--layout", "kubeadm", "--to", "out"];

#[test]
fn help_shows_examples_that_work() {
    let place = Place::with_store(SMALL);
    std::fs::rename(place.store(), place.path().join("pki")).unwrap();
    std::fs::write(place.path().join("cluster.yaml"), SMALL).unwrap();
    let help = place.pki(&["export", "--help"], "").exits(0).stdout;
    let wide = |line: &&str| line.starts_with("    kmh-") && line.chars().count() >= 80;
    assert_eq!(help.lines().find(wide), None);
    let joined = help.replace("\\\n", " ");
    let examples: Vec<_> =
        joined.lines().map(str::trim).filter(|line| line.starts_with("kmh-pki ")).collect();
    assert_eq!(examples.len(), 3, "{help}");
    for line in examples {
        let line = line.replacen("kmh-pki", "set -o pipefail; $PKI", 1).replace("gpg --symmetric", "cat");
        place.sh(&line, "").exits(0);
    }
    assert!(place.path().join("out/cp-1/etc/kubernetes/pki/ca.crt").exists());
    assert!(place.path().join("flat/cp-1/ca.crt").exists() && !place.path().join("flat/w-1").exists());
    assert!(std::fs::metadata(place.path().join("pki.tar.gpg")).unwrap().len() > 10_000);
}

#[test]
fn what_a_ca_elsewhere_must_sign_first_is_told_with_the_way() {
    let place = Place::with_store(SMALL);
    let remove = |name: &str| std::fs::remove_file(place.store().join(name)).unwrap();
    let ensure = "\n  hint: have it made first: `kmh-pki ensure`\n";
    let away =
        "\n  hint: the key of `ca/cluster` is elsewhere: `kmh-pki ensure --requests FILE` asks for it, ";
    remove("ca/cluster.key");
    for end in ["crt", "key"] {
        remove(&format!("nodes/w-1/kube-proxy.{end}"));
    }
    let ran = export(&place, KUBEADM).exits(2).says("does not hold `nodes/w-1/kube-proxy`").says(away);
    assert!(!ran.stderr.contains(ensure), "{}", ran.stderr);
    for end in ["crt", "key"] {
        remove(&format!("nodes/cp-1/etcd-peer.{end}"));
    }
    export(&place, KUBEADM).exits(2).says("`nodes/cp-1/etcd-peer` and 1 more").says(away).says(ensure);
}

#[test]
fn a_backup_has_no_file_that_was_cut() {
    let place = Place::with_store(SMALL);
    let tar: &[&str] = &["--layout", "tar", "--to", "a.tar"];
    place.sh("mkdir -m 700 store/archive && head -c 1048576 /dev/zero >store/archive/a.00.csr", "").exits(0);
    export(&place, tar).exits(0);
    assert_eq!(place.sh("tar -xOf a.tar archive/a.00.csr | wc -c", "").exits(0).stdout, "1048576\n");
    place.sh("echo >>store/archive/a.00.csr", "").exits(0);
    export(&place, tar)
        .exits(3)
        .says("cannot read `store/archive/a.00.csr`\n  caused by: it has 1048577 octets, and no more than 1048576 are read\n")
        .says("hint: no file of a store is so large: take it out");
}

#[test]
fn kubeadm_gets_its_own_names_and_no_key_of_a_ca() {
    let place = Place::with_store(SMALL);
    export(&place, KUBEADM).exits(0);
    let out = place.path().join("out");
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::read_to_string(out.join(".gitignore")).unwrap(), "*\n");
    let found = tree(&out);
    // kubeadm 1.36 on a control-plane node with stacked etcd, less the keys of its CAs and the super admin.
    let kubeadm = [
        "admin.conf",
        "controller-manager.conf",
        "kubelet.conf",
        "pki/apiserver-etcd-client.crt",
        "pki/apiserver-etcd-client.key",
        "pki/apiserver-kubelet-client.crt",
        "pki/apiserver-kubelet-client.key",
        "pki/apiserver.crt",
        "pki/apiserver.key",
        "pki/ca.crt",
        "pki/etcd/ca.crt",
        "pki/etcd/healthcheck-client.crt",
        "pki/etcd/healthcheck-client.key",
        "pki/etcd/peer.crt",
        "pki/etcd/peer.key",
        "pki/etcd/server.crt",
        "pki/etcd/server.key",
        "pki/front-proxy-ca.crt",
        "pki/front-proxy-client.crt",
        "pki/front-proxy-client.key",
        "pki/sa.key",
        "pki/sa.pub",
        "scheduler.conf",
    ];
    // What kubeadm has no file for lies where kmh deploys it.
    let ours = [
        "encryption.yaml",
        "pki/controller-manager-serving.crt",
        "pki/controller-manager-serving.key",
        "pki/kube-proxy.crt",
        "pki/kube-proxy.key",
        "pki/scheduler-serving.crt",
        "pki/scheduler-serving.key",
    ];
    let mut wanted: Vec<_> = kubeadm.into_iter().chain(ours).collect();
    wanted.sort_unstable();
    let of = |node: &str| -> Vec<&str> {
        let below = format!("{node}/etc/kubernetes/");
        let files = found.keys().filter(|path| !path.ends_with('/'));
        files.filter_map(|path| path.strip_prefix(&below)).collect()
    };
    assert_eq!(of("cp-1"), wanted);
    assert_eq!(of("w-1"), ["kubelet.conf", "pki/ca.crt", "pki/kube-proxy.crt", "pki/kube-proxy.key"]);
    assert!(found.contains_key("w-2/var/lib/kubelet/pki/kubelet.key"));
    assert!(found.contains_key("gw/etc/swanctl/private/gw.key"));
    for (path, mode) in &found {
        let secret = [".key", ".conf", ".yaml"].iter().any(|end| path.ends_with(end));
        let right = if path.ends_with('/') {
            0o700
        } else if secret {
            0o600
        } else {
            0o644
        };
        assert_eq!(*mode, right, "{path}");
    }

    // With the keys of the CAs: on the control plane, and the tunnels' on their routers; no worker has one.
    let ran = export(&place, &[KUBEADM, &["--with-ca-keys", "-o", "json"]].concat()).exits(0);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((told["changed"].clone(), told["layout"].clone()), (true.into(), "kubeadm".into()));
    let with = tree(&out);
    let more: Vec<_> = with.keys().filter(|path| !found.contains_key(*path)).map(String::as_str).collect();
    assert_eq!(
        more,
        [
            "cp-1/etc/kubernetes/pki/ca.key",
            "cp-1/etc/kubernetes/pki/etcd/ca.key",
            "cp-1/etc/kubernetes/pki/front-proxy-ca.key",
            "cp-1/etc/kubernetes/super-admin.conf",
            "gw/etc/swanctl/x509ca/kmh-ipsec-ca.key",
        ]
    );
    // The same files, byte for byte and key for key.
    let read = |path: &str| std::fs::read(place.path().join(path)).unwrap();
    assert_eq!(read("out/cp-1/etc/kubernetes/pki/etcd/ca.key"), read("store/ca/etcd.key"));
    assert_eq!(read("out/cp-1/etc/kubernetes/pki/apiserver.crt"), read("store/nodes/cp-1/apiserver.crt"));
    let verify = "openssl verify -x509_strict -CAfile out/cp-1/etc/kubernetes/pki/ca.crt \
                  out/cp-1/etc/kubernetes/pki/apiserver.crt out/w-1/var/lib/kubelet/pki/kubelet.crt && \
                  openssl pkey -in out/cp-1/etc/kubernetes/pki/sa.key -pubout | cmp - out/cp-1/etc/kubernetes/pki/sa.pub";
    place.sh(verify, "").exits(0);
}

/// openssl with the certificate and key that a kubeconfig embeds, as a client of openssl with the API server's.
const EMBEDDED: &str = r#"
set -e
field() { sed -n "s/^ *$1: //p" $2 | base64 -d; }
field client-certificate-data $1 >c.crt; field client-key-data $1 >c.key; field certificate-authority-data $1 >ca.crt
openssl verify -x509_strict -purpose sslclient -CAfile ca.crt c.crt
test "$(openssl x509 -in c.crt -noout -pubkey)" = "$(openssl pkey -in c.key -pubout)"
openssl x509 -in c.crt -noout -subject
grep -o 'server: .*' $1
"#;

#[test]
fn kubeconfigs_embed_what_the_store_holds() {
    let place = Place::with_store(SMALL);
    export(&place, KUBEADM).exits(0);
    for (file, subject, server) in [
        (
            "cp-1/etc/kubernetes/admin.conf",
            "O = kubeadm:cluster-admins, CN = kubernetes-admin",
            "k8s.example.net:6443",
        ),
        ("cp-1/etc/kubernetes/scheduler.conf", "CN = system:kube-scheduler", "10.10.0.11:6443"),
        ("w-1/etc/kubernetes/kubelet.conf", "O = system:nodes, CN = system:node:w-1", "k8s.example.net:6443"),
    ] {
        std::fs::write(place.path().join("check.sh"), EMBEDDED).unwrap();
        let ran = place.sh(&format!("bash check.sh out/{file}"), "").exits(0);
        assert!(ran.stdout.contains(subject), "{}", ran.stdout);
        assert!(ran.stdout.contains(&format!("https://{server}")), "{}", ran.stdout);
    }
}

#[test]
fn the_hard_way_gets_its_flat_names() {
    let place = Place::with_store(SMALL);
    export(&place, &["--layout", "hard-way", "--to", "flat", "--limit", "cp-1,w-1"]).exits(0);
    let found = tree(&place.path().join("flat"));
    for name in [
        "cp-1/ca.crt",
        "cp-1/kube-apiserver.crt",
        "cp-1/kube-apiserver.key",
        "cp-1/kube-controller-manager.key",
        "cp-1/kube-scheduler.crt",
        "cp-1/etcd-server.key",
        "cp-1/admin.key",
        "cp-1/service-account.key",
        "cp-1/encryption-config.yaml",
        "w-1/w-1.key",
        "w-1/kube-proxy.crt",
    ] {
        assert!(found.contains_key(name), "{name}: {found:#?}");
    }
    assert!(!found.contains_key("cp-1/ca.key") && !found.contains_key("w-2/"), "{found:#?}");
}

#[test]
fn the_same_again_changes_nothing_and_what_is_not_ours_stays() {
    let place = Place::with_store(SMALL);
    export(&place, KUBEADM).exits(0);
    let before = place.snapshot();
    let ran = export(&place, &[KUBEADM, &["-o", "text"]].concat()).exits(0);
    assert!(ran.stdout.starts_with("nothing to do: `out` holds the same "), "{}", ran.stdout);
    assert_eq!(place.snapshot(), before);
    // A mode that somebody opened is put right.
    let key = place.path().join("out/cp-1/etc/kubernetes/pki/sa.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    export(&place, KUBEADM).exits(0);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);

    // A file that somebody put there, another store's export, a folder with other things, a link.
    std::fs::write(place.path().join("out/cp-1/notes"), "mine").unwrap();
    let before = place.snapshot();
    export(&place, KUBEADM).exits(2).says("it holds `cp-1/notes`");
    std::fs::create_dir(place.path().join("etc")).unwrap();
    std::fs::write(place.path().join("etc/passwd"), "").unwrap();
    export(&place, &["--layout", "kubeadm", "--to", "etc"]).exits(2).says("is no export of its own");
    // What holds a whole disk is not walked through for that.
    export(&place, &["--layout", "kubeadm", "--to", "/proc"]).exits(2).says("is no export of its own");
    for to in [".", "/", "out/.."] {
        let says = format!("`{to}` is no name for a new folder");
        export(&place, &["--layout", "kubeadm", "--to", to]).exits(2).says(&says);
    }
    std::os::unix::fs::symlink("out", place.path().join("link")).unwrap();
    export(&place, &["--layout", "kubeadm", "--to", "link"]).exits(2).says("is a symbolic link");
    place.pki(&["--store", "other", "--init"], SMALL).exits(0);
    std::fs::remove_file(place.path().join("out/cp-1/notes")).unwrap();
    let mut other = vec!["export", "--store", "other"];
    other.extend(KUBEADM);
    place.pki(&other, SMALL).exits(2).says("is an export of another store");
    let after = place.snapshot();
    for (path, was) in &before {
        let files = path.starts_with(place.path().join("out")) && !path.ends_with("notes") && path.is_file();
        assert!(!files || after.get(path) == Some(was), "{}", path.display());
    }
}

#[test]
fn it_is_whole_or_nothing() {
    let place = Place::with_store(SMALL);
    // What a killed run left goes.
    let left = place.path().join(".out.kmh-new/cp-1");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("sa.key"), "old").unwrap();
    std::fs::create_dir(place.path().join("out")).unwrap();
    export(&place, KUBEADM).exits(0);
    assert!(!place.path().join(".out.kmh-new").exists());
    assert!(place.path().join("out/cp-1/etc/kubernetes/pki/sa.key").exists());
    // A store that lacks something, and one that is damaged.
    let before = place.snapshot();
    let grown = SMALL.to_owned() + "    - {name: w-3, site: here, address: [10.10.0.23, 'fd00:10::23']}\n";
    let args = ["export", "--store", "store", "--layout", "kubeadm", "--to", "new"];
    let ran = place.pki(&args, &grown).exits(2);
    ran.says("does not hold `nodes/w-3/kube-proxy` and 2 more").says("kmh-pki ensure");
    export(&place, &["--layout", "kubeadm", "--to", "no/new"]).exits(2).says("there is no directory `no`");
    std::fs::remove_file(place.store().join("nodes/w-1/kube-proxy.key")).unwrap();
    place.pki(&args, SMALL).exits(3).says("certificate `nodes/w-1/kube-proxy` has no key");
    assert!(!place.path().join("new").exists() && !place.path().join("no").exists());
    assert_eq!(place.snapshot().len(), before.len() - 1);
    // A dry run says what it would write.
    let place = Place::with_store(SMALL);
    let ran = export(&place, &[KUBEADM, &["--dry-run", "-o", "text"]].concat()).exits(0);
    assert!(ran.stdout.contains("0600  cp-1/etc/kubernetes/pki/sa.key\n"), "{}", ran.stdout);
    assert!(!place.path().join("out").exists());
}

#[test]
fn a_tar_is_the_store_and_the_same_every_time() {
    let place = Place::with_store(SMALL);
    export(&place, &["--layout", "tar", "--to", "a.tar", "--with-ca-keys"]).exits(0);
    let mode = std::fs::metadata(place.path().join("a.tar")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let line = "sleep 1; umask 077; $PKI export --layout tar --to - --with-ca-keys --store store -i - >b.tar";
    place.sh(line, SMALL).exits(0);
    place.sh("cmp a.tar b.tar", "").exits(0);
    // The real tar: sorted, nobody's, the modes and the times of the certificates.
    let listed = place.sh("TZ=UTC tar --full-time -tvf a.tar", "").exits(0).stdout;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let folders: Vec<&str> = listed.lines().filter(|line| line.ends_with('/')).collect();
    assert!(names.is_sorted() && names.len() - folders.len() == 27 * 2 + 3 + 1, "{listed}");
    assert!(folders.len() == 10 && folders.iter().all(|line| line.starts_with("drwx------ 0/0")), "{listed}");
    let start = place
        .sh(
            "openssl x509 -in store/nodes/cp-1/apiserver.crt -noout -startdate | cut -d= -f2 | \
                          TZ=UTC date -f - '+%Y-%m-%d %H:%M:%S'",
            "",
        )
        .stdout;
    for (mode, name) in [("-rw-r--r-- 0/0", "apiserver.crt"), ("-rw------- 0/0", "apiserver.key")] {
        let line = listed.lines().find(|line| line.ends_with(&format!("cp-1/{name}"))).unwrap();
        assert!(line.starts_with(mode) && line.contains(start.trim()), "{line}\n{start}");
    }
    // Unpacked it is a store in which nothing is to be done.
    place.sh("mkdir -m 700 back && tar -xf a.tar -C back && diff -r store back", "").exits(0);
    let ran = place.pki(&["--store", "back", "-o", "text"], SMALL).exits(0);
    assert!(ran.stdout.ends_with("nothing to do: 27 certificates and 3 keys\n"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    // Its folders are for their owner alone, whatever the umask; the one into which it is unpacked is the caller's.
    let open = "umask 022; mkdir wide && tar -xf a.tar -C wide && find wide -type d ! -perm 700";
    assert_eq!(place.sh(open, "").exits(0).stdout, "wide\n");
    place
        .pki(&["--store", "wide"], SMALL)
        .exits(0)
        .says("warning: folder `wide` can be read by others: `chmod 700 wide`\n");

    // Without the keys of its CAs it is a store that cannot sign.
    let ran = export(&place, &["--layout", "tar", "--to", "a.tar", "-o", "text"]).exits(0);
    assert!(
        ran.stdout.ends_with("no key of a CA is in it: `--with-ca-keys` makes a whole backup\n"),
        "{}",
        ran.stdout
    );
    let listed = place.sh("tar -tf a.tar", "").exits(0).stdout;
    assert!(listed.contains("ca/cluster.crt\n") && !listed.contains("ca/cluster.key"), "{listed}");
    assert!(listed.contains("nodes/w-1/kube-proxy.key"), "{listed}");
    // What is not in the store is in no backup, and that is said.
    std::fs::rename(place.store().join("ca/etcd.key"), place.path().join("stick.key")).unwrap();
    let whole = ["--layout", "tar", "--to", "a.tar", "--with-ca-keys"];
    export(&place, &whole).exits(0).says("keys that are not in the store are not in it either: ca/etcd\n");
    // A part of it is no backup.
    let before = std::fs::read(place.path().join("a.tar")).unwrap();
    export(&place, &["--layout", "tar", "--to", "a.tar", "--limit", "w-1"])
        .exits(2)
        .says("a tar is the whole store, and takes no `--limit`");
    assert!(std::fs::read(place.path().join("a.tar")).unwrap() == before);
}

#[test]
fn a_tar_replaces_an_earlier_one_of_its_store_and_nothing_else() {
    let place = Place::with_store(SMALL);
    place.pki(&["--store", "other", "--init"], SMALL).exits(0);
    let tar = |store: &str, args: &[&str]| {
        let all = ["export", "--store", store, "--layout", "tar", "--to", "a.tar"];
        place.pki(&[&all, args].concat(), SMALL)
    };
    let read = || std::fs::read(place.path().join("a.tar")).unwrap();
    tar("other", &["--with-ca-keys"]).exits(0);
    // Another store's, a tar that somebody made of this store, a cut one, a text: in a dry run too.
    let cases = [
        "true",
        "tar -cf a.tar -C store store.json ca",
        "tar -cf a.tar --owner 0 --group 0 --format ustar -C store store.json",
        "$PKI export --store store --layout tar --to - -i - <inventory | head -c 20000 >a.tar",
        "echo text >a.tar",
    ];
    std::fs::write(place.path().join("inventory"), SMALL).unwrap();
    for made in cases {
        place.sh(made, "").exits(0);
        let before = read();
        for args in [&[][..], &["--dry-run"]] {
            tar("store", args)
                .exits(2)
                .says("`a.tar` is there already, and is no tar of this store")
                .says("hint: name another file; `--force` replaces this one");
        }
        assert!(read() == before, "{made}");
    }
    tar("store", &["--force"]).exits(0);
    let without = read();
    // Its own, an older one, and an empty file, such as mktemp makes.
    tar("store", &["--with-ca-keys"]).exits(0);
    assert!(read() != without);
    std::fs::write(place.path().join("a.tar"), "").unwrap();
    tar("store", &[]).exits(0);
    assert!(read() == without);
    // A folder is never replaced by force.
    export(&place, &[KUBEADM, &["--force"]].concat()).exits(2).says("`--force` replaces a file");
    export(&place, &["--layout", "tar", "--to", "gone/a.tar"]).exits(2).says("there is no directory `gone`");
}

#[test]
fn a_tar_goes_to_no_terminal_and_over_no_other_file() {
    let place = Place::with_store(SMALL);
    std::fs::write(place.path().join("mine"), "text").unwrap();
    export(&place, &["--layout", "tar", "--to", "mine"])
        .exits(2)
        .says("is there already, and is no tar of this store");
    assert_eq!(std::fs::read_to_string(place.path().join("mine")).unwrap(), "text");
    export(&place, &["--layout", "kubeadm", "--to", "-"]).exits(2).says("this layout is a folder");
    export(&place, &["--layout", "kubeadm"]).exits(2).says("--to");
    let store = place.store().display().to_string();
    let (mut env, captured) =
        Env::fake(["kmh-pki", "export", "--layout", "tar", "--to", "-", "--store", &store], SMALL);
    env.stdout_is_terminal = true;
    assert_eq!(kmh_pki::run(&mut env) as u8, 2);
    assert_eq!(captured.stdout_text(), "");
    assert!(
        captured.stderr_text().contains("keys are not written to a terminal"),
        "{}",
        captured.stderr_text()
    );
}

#[test]
fn what_is_trusted_while_something_is_rotated_is_exported_and_the_tar_has_every_folder() {
    let place = Place::with_store(SMALL);
    for name in ["cluster", "encryption", "ipsec", "service-account"] {
        place.pki(&["rotate", name, "--store", "store"], SMALL).exits(0);
    }
    let user = ["kubeconfig", "--store", "store", "--user", "anna", "--to", "anna.conf"];
    place.pki(&user, SMALL).exits(0);
    export(&place, &[KUBEADM, &["--with-ca-keys"]].concat()).exits(0);
    let out = |path: &str| std::fs::read_to_string(place.path().join("out").join(path)).unwrap();
    let store = |path: &str| std::fs::read_to_string(place.store().join(path)).unwrap();
    let both = store("ca/cluster.crt") + &store("ca/cluster.next.crt");
    // The key is that of the first: so a controller manager loads the pair.
    assert_eq!(out("cp-1/etc/kubernetes/pki/ca.crt"), both);
    assert_eq!(out("cp-1/etc/kubernetes/pki/ca.key"), store("ca/cluster.key"));
    assert_eq!(out("w-1/etc/kubernetes/pki/ca.crt"), both);
    assert_eq!(out("gw/etc/swanctl/x509ca/kmh-ipsec-ca-2.crt"), store("ca/ipsec.next.crt"));
    assert_eq!(out("cp-1/etc/kubernetes/pki/sa.pub").matches("BEGIN PUBLIC KEY").count(), 2);
    assert_eq!(out("cp-1/etc/kubernetes/pki/sa.key"), store("keys/service-account.key"));
    let secret = |name: &str| {
        let ran = place.sh(&format!("base64 -w0 store/keys/{name}.key"), "").exits(0);
        format!("secret: {}}}", ran.stdout)
    };
    let encryption = out("cp-1/etc/kubernetes/encryption.yaml");
    let at = |name: &str| encryption.find(&secret(name)).unwrap_or_else(|| panic!("no {name}: {encryption}"));
    assert!(at("encryption") < at("encryption.next"));
    let config = out("w-1/etc/kubernetes/kubelet.conf");
    let data =
        config.lines().find_map(|line| line.trim().strip_prefix("certificate-authority-data: ")).unwrap();
    let decoded = place.sh("base64 -d", data).exits(0).stdout;
    assert_eq!(decoded, both);

    export(&place, &["--layout", "tar", "--with-ca-keys", "--to", "all.tar"]).exits(0);
    let listed = place.sh("tar -tf all.tar", "").exits(0).stdout;
    let listed = listed.lines().filter(|path| !path.ends_with('/'));
    let listed: std::collections::BTreeSet<_> = listed.map(ToOwned::to_owned).collect();
    assert!(listed.iter().any(|path| path.starts_with("users/anna.")), "{listed:?}");
    assert_eq!(listed, place.everything().into_keys().collect());
}
