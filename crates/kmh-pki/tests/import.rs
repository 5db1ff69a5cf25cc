//! What others made becomes a store: folders made with the real openssl the way of kubeadm and of two guides. What is
//! sound stays byte for byte, what is not is told, and `ensure` makes it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Place, Ran, SMALL, texts};
use serde_json::Value;

const KUBEADM: &str = include_str!("recipes/kubeadm.sh");
const MM: &str = include_str!("recipes/mm.sh");
const KH: &str = include_str!("recipes/kh.sh");

/// kubeadm's keys are RSA, and so shall the new ones be.
fn rsa() -> String {
    SMALL.to_owned() + "  pki: {algorithm: rsa-2048}\n"
}

/// A place with a folder that a recipe made.
fn made(recipe: &str, folder: &str, variables: &str) -> Place {
    let place = Place::new();
    make(&place, recipe, folder, variables);
    place
}

fn make(place: &Place, recipe: &str, folder: &str, variables: &str) {
    std::fs::write(place.path().join("recipe.sh"), recipe).unwrap();
    let line = format!("mkdir -p {folder} && cd {folder} && {variables} bash ../recipe.sh");
    place.sh(&line, "").exits(0);
}

const CP1: &str = "NODE=cp-1 ADDRESS=10.10.0.11 SANS=IP:fd00:10::11";

fn import(place: &Place, args: &[&str], inventory: &str) -> Ran {
    let form = if args.contains(&"-o") { &[][..] } else { &["-o", "json"][..] };
    place.pki(&[&["import", "--store", "store", "--init"], form, args].concat(), inventory)
}

#[track_caller]
fn told(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}\n{}", ran.stdout, ran.stderr))
}

fn imported(told: &Value) -> Vec<String> {
    told["imported"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// Findings of a file, as level and text.
fn findings(told: &Value, file: &str) -> Vec<String> {
    let all = told["findings"].as_array().unwrap().iter().filter(|one| one["file"] == file);
    all.map(|one| format!("{}: {}", one["level"].as_str().unwrap(), one["finding"].as_str().unwrap()))
        .collect()
}

/// Runs `ensure` twice: what was imported stays byte for byte, and the second run has nothing to do.
#[track_caller]
fn ensure_keeps(place: &Place, inventory: &str, told: &Value) {
    let before = place.files();
    let ran = place.pki(&["--store", "store", "-o", "text"], inventory).exits(0);
    let after = place.files();
    for (path, bytes) in &before {
        assert!(after.get(path) == Some(bytes), "{path} changed:\n{}", ran.stdout);
    }
    let made: BTreeSet<String> = after
        .keys()
        .filter(|path| !before.contains_key(*path))
        .filter_map(|path| path.rsplit_once('.'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let passwords = |name: &String| !name.starts_with("archive/");
    assert_eq!(made.into_iter().filter(passwords).collect::<Vec<_>>(), texts(&told["next"]));
    let again = place.pki(&["--store", "store", "-o", "text"], inventory).exits(0);
    assert!(again.stdout.contains("\nnothing to do: "), "{}", again.stdout);
    assert_eq!(place.files(), after);
}

#[test]
fn a_folder_of_kubeadm_becomes_a_store_and_what_is_sound_stays() {
    let place = made(KUBEADM, "cp-1", CP1);
    let source = place.snapshot();
    let inventory = rsa();
    let dry = told(&import(&place, &["--from", "cp-1", "--dry-run"], &inventory).exits(0));
    assert!(!place.store().exists());
    // An inventory that says nothing of algorithms asks for ECDSA.
    let other = import(&place, &["--from", "cp-1", "--dry-run", "-o", "text"], SMALL).exits(0).stdout;
    assert!(
        other.contains(
            "  key algorithm changed by settings: rsa-2048 should be ecdsa-p256\n    \
             hint: to keep it, say `pki: {algorithm: rsa-2048}` in the inventory\n"
        ),
        "{other}"
    );
    let told = told(&import(&place, &["--from", "cp-1"], &inventory).exits(0));
    assert_eq!((told["layout"].clone(), told["dry_run"].clone()), ("kubeadm".into(), false.into()));
    assert_eq!((&dry["imported"], &dry["findings"]), (&told["imported"], &told["findings"]));
    assert_eq!(
        imported(&told),
        [
            "ca/cluster",
            "ca/etcd",
            "ca/front-proxy",
            "cluster/break-glass-admin",
            "keys/encryption",
            "keys/service-account",
            "nodes/cp-1/admin",
            "nodes/cp-1/apiserver-etcd-client",
            "nodes/cp-1/apiserver-kubelet-client",
            "nodes/cp-1/controller-manager",
            "nodes/cp-1/etcd-healthcheck-client",
            "nodes/cp-1/etcd-server",
            "nodes/cp-1/front-proxy-client",
            "nodes/cp-1/kubelet-client",
            "nodes/cp-1/scheduler",
        ]
    );
    let pki = "cp-1/etc/kubernetes/pki";
    assert_eq!(
        findings(&told, &format!("{pki}/apiserver.crt")),
        ["warning: names differ: + 127.0.0.1, + ::1, + fd00:10::11, + fd00:201::1, + localhost"]
    );
    assert_eq!(findings(&told, &format!("{pki}/etcd/peer.crt")), ["warning: names differ: + fd00:10::11"]);
    assert_eq!(
        findings(&told, &format!("{pki}/ca.crt")),
        ["note: its key has the form PKCS #1, and 13 more"]
    );
    let kubelet = findings(&told, "cp-1/var/lib/kubelet/pki/kubelet.crt");
    assert!(kubelet.contains(&"warning: signed by another CA than ca/cluster".to_owned()), "{kubelet:?}");
    let none = findings(&told, "");
    assert_eq!(none, ["note: no encryption configuration is among the files: a new key is made"]);
    // The same bytes, the same keys.
    let files = place.files();
    let original = |path: &str| std::fs::read(place.path().join(pki).join(path)).unwrap();
    for (ours, theirs) in [("ca/etcd", "etcd/ca"), ("nodes/cp-1/etcd-server", "etcd/server")] {
        assert_eq!(files[&format!("{ours}.crt")], original(&format!("{theirs}.crt")));
        let public = |path: String| place.sh(&format!("openssl pkey -pubout -in {path}"), "").exits(0).stdout;
        assert_eq!(public(format!("store/{ours}.key")), public(format!("{pki}/{theirs}.key")));
    }
    ensure_keeps(&place, &inventory, &told);
    // A leaf of the imported CA passes, an imported leaf and a new one trust each other's CA.
    let verify = format!(
        "openssl verify -CAfile {pki}/ca.crt store/nodes/cp-1/apiserver.crt store/nodes/w-1/kubelet-serving.crt"
    );
    place.sh(&verify, "").exits(0);
    // The folder is as it was.
    let after = place.snapshot();
    assert!(source.iter().all(|(path, was)| path.is_dir() || after.get(path) == Some(was)));
    // The same again has nothing to do, and another PKI is refused.
    let again = import(&place, &["--from", "cp-1"], &inventory).exits(0);
    assert_eq!(imported(&self::told(&again)), [""; 0]);
    make(&place, KUBEADM, "other", CP1);
    import(&place, &["--from", "other"], &inventory)
        .exits(2)
        .says("the store holds `ca/cluster` already, and it is not the one of the files")
        .says("the store holds `keys/service-account` already");
}

#[test]
fn ecdsa_keys_of_kubeadm_claim_too_much_and_its_cas_stay() {
    let place = made(KUBEADM, "k", &format!("KIND=ec {CP1}"));
    let told = told(&import(&place, &["--from", "k/etc/kubernetes"], SMALL).exits(0));
    assert_eq!(
        imported(&told),
        ["ca/cluster", "ca/etcd", "ca/front-proxy", "keys/encryption", "keys/service-account"]
    );
    assert_eq!(
        findings(&told, "k/etc/kubernetes/admin.conf"),
        ["warning: its key usage permits more than its key can be used for"]
    );
    assert_eq!(
        findings(&told, "k/etc/kubernetes/pki/ca.crt"),
        ["note: its key has the form SEC 1, and 3 more"]
    );
    ensure_keeps(&place, SMALL, &told);
    // The folder of the PKI alone, too.
    let told =
        self::told(&place.pki(
            &["import", "--store", "two", "--init", "--from", "k/etc/kubernetes/pki", "-o", "json"],
            SMALL,
        ));
    assert_eq!(imported(&told).len(), 5);
}

#[test]
fn several_machines_of_a_control_plane_are_told_apart() {
    let inventory = SMALL.replace("w-1, site: here", "cp-2, roles: [control-plane, etcd], site: here");
    let kind = "KIND=ec USE=digitalSignature";
    let place = made(KUBEADM, "a", &format!("{kind} {CP1}"));
    let cp2 = "NODE=cp-2 ADDRESS=10.10.0.21 SANS=IP:fd00:10::21";
    make(&place, KUBEADM, "b", &format!("SHARED=../a {kind} {cp2}"));
    for from in [["--from", "a", "--from", "b"], ["--from", "cp-2=b", "--from", "cp-1=a"]] {
        let told = told(&import(&place, &[&from[..], &["--dry-run"]].concat(), &inventory).exits(0));
        let names = imported(&told);
        for name in ["nodes/cp-1/etcd-server", "nodes/cp-2/etcd-server", "nodes/cp-2/kubelet-client"] {
            assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
        }
    }
    // Both in one folder, one below the name of each machine.
    place.sh("mkdir all && mv a all/cp-1 && mv b all/cp-2", "").exits(0);
    let told = told(&import(&place, &["--from", "all"], &inventory).exits(0));
    assert_eq!(imported(&told).len(), 24);
    ensure_keeps(&place, &inventory, &told);

    // Whose it is is said, or asked for; two PKIs are no cluster.
    make(&place, KUBEADM, "c", &format!("{kind} NODE=elsewhere ADDRESS=10.10.0.99"));
    let ran = import(&place, &["--from", "c"], &inventory).exits(2);
    ran.says("which machine is folder `c` of?").says("`--from NODE=c`; the nodes are cp-1, cp-2");
    let ran = import(&place, &["--from", "cp-2=all/cp-2", "--from", "cp-1=c"], &inventory).exits(2);
    ran.says("two different CAs are among the files, and each would be `ca/etcd`")
        .says("two different keys of service accounts");
}

#[test]
fn the_first_guide_gives_a_ca_of_version_1_and_its_keys() {
    let place = made(MM, "home", "");
    let inventory = rsa();
    let told = told(&import(&place, &["--from", "home"], &inventory).exits(0));
    assert_eq!(told["layout"], "hard-way");
    assert_eq!(imported(&told), ["ca/cluster", "keys/encryption", "keys/service-account"]);
    let ca = findings(&told, "home/ca.crt");
    assert!(ca.contains(&"warning: it is not X.509 v3".to_owned()), "{ca:?}");
    let admin = findings(&told, "home/admin.crt");
    assert!(admin.contains(&"warning: it is not X.509 v3".to_owned()), "{admin:?}");
    let shared = findings(&told, "home/kube-proxy.crt");
    assert_eq!(shared, ["warning: 3 machines would share its key"]);
    let etcd = findings(&told, "home/etcd-server.crt");
    assert_eq!(etcd, ["warning: its CA `ca/etcd` is not among the files"]);
    let secrets = findings(&told, "home/encryption-config.yaml");
    let [told_of_secrets] = &secrets[..] else { panic!("{secrets:?}") };
    let begin = "warning: Secrets are encrypted by `aescbc` with key `key1`; kmh's configuration reads `secretbox` with key `key-";
    assert!(told_of_secrets.starts_with(begin) && told_of_secrets.ends_with("` alone"), "{secrets:?}");
    place
        .sh("sed -n 's/ *secret: //p' home/encryption-config.yaml | base64 -d | cmp - store/keys/encryption.key", "")
        .exits(0);
    ensure_keeps(&place, &inventory, &told);
    let ran = place.pki(&["--store", "store"], &inventory).exits(0);
    ran.says("warning: CA `ca/cluster` is not as strict programs want it: it is not X.509 v3");
    place.sh("openssl verify -CAfile home/ca.crt store/nodes/cp-1/apiserver.crt store/nodes/w-1/kube-proxy.crt", "").exits(0);
}

#[test]
fn the_second_guide_gives_a_lax_ca_and_its_keys() {
    let place = made(KH, "home", "");
    let inventory = rsa();
    let ran = place
        .pki(&["import", "--store", "store", "--init", "-o", "text", "--from", "home"], &inventory)
        .exits(0);
    let warnings = ran.stdout.split("NOT SOUND").nth(1).unwrap();
    for part in [
        "home/ca.crt",
        "home/ca.crt  CN=CA\n",
        "its basic constraints are not marked critical",
        "    hint: strict programs refuse it; a rotation replaces it\n",
        "home/kube-api-server.crt",
        "  usage differs: client and server should be server\n",
    ] {
        assert!(warnings.contains(part), "{part}:\n{}", ran.stdout);
    }
    let end = "imported 1 certificate and 2 keys into store `store`; the next `ensure` makes ";
    assert!(ran.stdout.lines().last().unwrap().starts_with(end), "{}", ran.stdout);
    assert!(place.files().contains_key("ca/cluster.key"));
    place.pki(&["--store", "store"], &inventory).exits(0);
    place.sh("openssl verify -CAfile home/ca.crt store/nodes/cp-1/apiserver.crt store/nodes/w-1/kube-proxy.crt", "").exits(0);
    let again = place.pki(&["--store", "store", "-o", "text"], &inventory).exits(0);
    assert!(again.stdout.contains("\nnothing to do: "), "{}", again.stdout);
}

#[test]
fn an_export_comes_back_as_the_store_that_it_was() {
    // What no file of a machine holds as such, passwords of BGP, is not in these layouts.
    let inventory = SMALL.replace("  sites:", "  bgp: {passwords: false}\n  sites:");
    let place = Place::with_store(&inventory);
    let first = place.files();
    std::fs::rename(place.store(), place.path().join("first")).unwrap();
    for layout in ["kubeadm", "hard-way"] {
        let export = ["export", "--store", "first", "--layout", layout, "--with-ca-keys", "--to", layout];
        place.pki(&export, &inventory).exits(0);
        let _ = std::fs::remove_dir_all(place.store());
        let told = told(&import(&place, &["--from", layout], &inventory).exits(0));
        assert_eq!(told["layout"], layout);
        assert_eq!(
            (&told["findings"], &told["next"]),
            (&Value::from([0; 0].to_vec()), &Value::from([0; 0].to_vec())),
            "{told:#}"
        );
        let ran = place.pki(&["--store", "store", "-o", "text"], &inventory).exits(0);
        assert!(ran.stdout.contains("\nnothing to do: 27 certificates and 2 keys"), "{}", ran.stdout);
        // But for its identity it is the same store, byte for byte.
        let without = |files: &BTreeMap<String, Vec<u8>>| {
            files.clone().into_iter().filter(|(path, _)| path != "store.json").collect::<BTreeMap<_, _>>()
        };
        let (now, was) = (without(&place.files()), without(&first));
        assert_eq!(now.keys().collect::<Vec<_>>(), was.keys().collect::<Vec<_>>());
        assert!(now == was, "{layout}");
    }
}

#[test]
fn an_export_in_the_middle_of_a_rotation_says_loudly_what_it_leaves() {
    let place = Place::with_store(SMALL);
    for name in ["cluster", "service-account"] {
        place.pki(&["rotate", name, "--store", "store"], SMALL).exits(0);
    }
    std::fs::rename(place.store(), place.path().join("first")).unwrap();
    let export = ["export", "--store", "first", "--layout", "kubeadm", "--with-ca-keys", "--to", "out"];
    place.pki(&export, SMALL).exits(0);
    let strict = import(&place, &["--from", "out", "--strict"], SMALL);
    assert_eq!(strict.code, 1);
    assert!(!place.store().exists());
    let ran = import(&place, &["--from", "out"], SMALL).exits(0);
    // Of the same CA in four folders once.
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
    let (ca, sa) = ("out/cp-1/etc/kubernetes/pki/ca.crt", "out/cp-1/etc/kubernetes/pki/sa.pub");
    let told = told(&ran);
    let of = |file: &str| findings(&told, file).concat();
    for (file, says) in [
        (ca, "it holds 2 generations of one CA: a rotation goes on. Only one is taken (serial "),
        (ca, "after the next push no machine trusts the other"),
        (sa, "it holds 2 keys: a rotation goes on. Only that of `etc/kubernetes/pki/sa.key` is taken"),
    ] {
        assert!(of(file).contains(says), "{told:#}");
        assert!(
            ran.stderr.contains(&format!("kmh-pki: warning: {file}: ")) && ran.stderr.contains(says),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn generations_of_the_tunnels_ca_are_no_chain() {
    let place = Place::with_store(SMALL);
    place.pki(&["rotate", "ipsec", "--store", "store"], SMALL).exits(0);
    std::fs::rename(place.store(), place.path().join("first")).unwrap();
    let export = ["export", "--store", "first", "--layout", "hard-way", "--with-ca-keys", "--to", "out"];
    place.pki(&export, SMALL).exits(0);
    let ran = import(&place, &["--from", "out"], SMALL).exits(0);
    assert!(
        ran.stderr.contains("it holds 2 generations of one CA: a rotation goes on. Only one is"),
        "{}",
        ran.stderr
    );
    // And what has a number is taken as kmh-pki's own.
    std::fs::rename(place.store(), place.path().join("gone")).unwrap();
    for deployed in [&[][..], &["--deployed"]] {
        place.pki(&[&["rotate", "ipsec", "--store", "first"], deployed].concat(), SMALL);
    }
    place.pki(&["--store", "first"], SMALL).exits(0);
    place.pki(&["rotate", "ipsec", "--deployed", "--store", "first"], SMALL).exits(0);
    let export = ["export", "--store", "first", "--layout", "hard-way", "--with-ca-keys", "--to", "out"];
    place.pki(&export, SMALL).exits(0);
    let told = told(&import(&place, &["--from", "out"], SMALL).exits(0));
    assert!(imported(&told).contains(&"ca/ipsec".to_owned()), "{told:#}");
    ensure_keeps(&place, SMALL, &told);
}

/// Gives the CA of a folder of kubeadm a new key, as Kubernetes' manual has it: a file that holds both, and the new key.
const ROTATED: &str = r"set -e
cd cp-1/etc/kubernetes/pki
printf '[req]\ndistinguished_name=d\n[d]\n[x]\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' >../ca.cnf
cp ca.crt ../old.crt
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -new -x509 -config ../ca.cnf -extensions x -key ca.key -subj /CN=kubernetes -days 3650 -out ../new.crt
cat ../$ORDER.crt >ca.crt
[ $ORDER = new ] && cat ../old.crt >>ca.crt || cat ../new.crt >>ca.crt
openssl req -new -key apiserver-kubelet-client.key -subj /CN=kube-apiserver-kubelet-client |
  openssl x509 -req -CA ../new.crt -CAkey ca.key -set_serial 0x4$(openssl rand -hex 18) -days 365 -out apiserver-kubelet-client.crt -extfile \
    <(printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nauthorityKeyIdentifier=keyid\n') 2>&-
";

/// A CA of kubeadm's is renewed with the key that it had, and what it was before stands beside it still.
const RENEWED: &str = r"set -e
cd cp-1/etc/kubernetes/pki
printf '[req]\ndistinguished_name=d\n[d]\n[x]\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' >../ca.cnf
cp ca.crt ../old.crt
openssl req -new -x509 -config ../ca.cnf -extensions x -key ca.key -subj /CN=kubernetes -days 7000 -out ../new.crt
cat ../$ORDER.crt >ca.crt
[ $ORDER = new ] && cat ../old.crt >>ca.crt || cat ../new.crt >>ca.crt
";

#[test]
fn a_ca_that_was_renewed_with_its_key_is_no_rotation() {
    for order in ["new", "old"] {
        let place = made(KUBEADM, "cp-1", &format!("KIND=ec USE=digitalSignature {CP1}"));
        place.sh(&format!("ORDER={order}; {RENEWED}"), "").exits(0);
        // A worker may have what it was before alone.
        let worker =
            "mkdir -p w-1/etc/kubernetes/pki && cp cp-1/etc/kubernetes/old.crt w-1/etc/kubernetes/pki/ca.crt";
        place.sh(worker, "").exits(0);
        let ran = import(&place, &["--from", "cp-1=cp-1", "--from", "w-1=w-1"], SMALL).exits(0);
        assert_eq!(ran.stderr, "");
        let told = told(&ran);
        let names = imported(&told);
        let taken = names.iter().filter(|name| name.starts_with("ca/"));
        assert!(taken.eq(["ca/cluster", "ca/etcd", "ca/front-proxy"]), "{names:?}");
        let which = if order == "new" { "first" } else { "one that its key belongs to" };
        let ca = &findings(&told, "cp-1/etc/kubernetes/pki/ca.crt")[0];
        assert_eq!(*ca, format!("warning: it holds 2 certificates, and the {which} is taken"));
        // The one that ends last, and what the key signed before is good.
        let new = std::fs::read(place.path().join("cp-1/etc/kubernetes/new.crt")).unwrap();
        assert_eq!(place.files()["ca/cluster.crt"], new);
        ensure_keeps(&place, SMALL, &told);
        place.pki(&["verify", "--store", "store"], SMALL).exits(0);
    }
}

#[test]
fn a_rotation_of_kubeadm_goes_on_with_the_ca_before_the_current_one() {
    for order in ["new", "old"] {
        let place = made(KUBEADM, "cp-1", &format!("KIND=ec USE=digitalSignature {CP1}"));
        place.sh(&format!("ORDER={order}; {ROTATED}"), "").exits(0);
        // A worker has no key, and they may stand there in another order.
        let worker = "mkdir -p w-1/etc/kubernetes/pki && cat cp-1/etc/kubernetes/{old,new}.crt >w-1/etc/kubernetes/pki/ca.crt";
        place.sh(worker, "").exits(0);
        let ran = import(&place, &["--from", "cp-1=cp-1", "--from", "w-1=w-1"], SMALL).exits(0);
        assert_eq!(ran.stderr, "");
        let told = told(&ran);
        let names = imported(&told);
        let mut taken = names.iter().filter(|name| name.starts_with("ca/"));
        assert!(
            taken.by_ref().eq(["ca/cluster", "ca/cluster.old", "ca/etcd", "ca/front-proxy"]),
            "{names:?}"
        );
        assert!(names.contains(&"nodes/cp-1/apiserver-kubelet-client".to_owned()), "{names:?}");
        let ca = findings(&told, "cp-1/etc/kubernetes/pki/ca.crt").concat();
        for says in [
            "note: it holds 2 generations of one CA: a rotation goes on. That of its key is taken (serial ",
            "and as `ca/cluster.old`, which is still trusted, one that signed what is here (serial ",
        ] {
            assert!(ca.contains(says), "{ca}");
        }
        let retired = findings(&told, "cp-1/etc/kubernetes/admin.conf");
        assert_eq!(retired, ["warning: issued by a retired CA"]);
        // As if the rotation had been kmh-pki's: both are trusted, the new one signs, and the next step is the last.
        let files = place.files();
        let pem = |file: &str| std::fs::read(place.path().join("cp-1/etc/kubernetes").join(file)).unwrap();
        assert_eq!(
            (&files["ca/cluster.crt"], &files["ca/cluster.old.crt"]),
            (&pem("new.crt"), &pem("old.crt"))
        );
        ensure_keeps(&place, SMALL, &told);
        let document = place.document(SMALL);
        assert_eq!(document["spec"]["rotations"], serde_json::json!([{"name": "cluster", "stage": "issue"}]));
        place.pki(&["verify", "--store", "store"], SMALL).exits(0);
        let line = "for leaf in store/nodes/*/*client.crt; do openssl verify -CAfile store/ca/cluster.crt $leaf; done 2>&1 | grep -c ': OK'";
        assert_eq!(place.sh(line, "").stdout, "4\n");
        place.pki(&["rotate", "cluster", "--deployed", "--store", "store"], SMALL).exits(0);
        assert_eq!(place.document(SMALL)["spec"].get("rotations"), None);
        place.pki(&["verify", "--store", "store"], SMALL).exits(0);
        let _ = std::fs::remove_dir_all(place.store());
        // Without its key nobody knows which of the two signs.
        place.sh("rm cp-1/etc/kubernetes/pki/ca.key", "").exits(0);
        let ran = import(&place, &["--from", "cp-1"], SMALL).exits(0);
        ran.says(
            "pki/ca.crt: it holds 2 generations of one CA: a rotation goes on. Only one is taken (serial ",
        );
        assert!(!place.store().join("ca/cluster.old.crt").exists());
    }
}
