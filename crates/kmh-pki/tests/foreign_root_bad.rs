//! What a root elsewhere must not sign or be asked for, and that no kill loses a key that waits for it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::process::{Command, Stdio};

use common::requests::{ask, import, openssl, read, sign, write};
use common::roots::*;
use common::{Place, SMALL};
use serde_json::{Value, json};

#[test]
fn a_wrong_answer_is_refused_and_says_why() {
    let inventory = rooted();
    let place = company("critical,CA:TRUE");
    place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory).exits(0);
    let set = read(&place, "ask.json");
    let csr = &requests(&set)[0]["csr"];
    let before = place.files();
    let refused = |pem: &str, says: &[&str]| {
        std::fs::write(place.path().join("signed.json"), pem).unwrap();
        let ran = import(&place, &inventory).exits(2);
        assert_eq!(place.files(), before, "something was touched");
        let said: Vec<&str> =
            ran.stderr.lines().filter_map(|line| line.strip_prefix("kmh-pki: error: ")).collect();
        assert_eq!(said, says, "{pem}");
    };
    let good = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replace(from, to)
    };
    let of = |extensions: &str| signs(&place, csr, 3650, extensions);
    // A leaf.
    let leaf = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
        extendedKeyUsage=clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    refused(
        &of(leaf),
        &[
            "it has extended key usages, which bind whatever it signs",
            "it is no CA, but its class is one",
            "its key usage does not permit signing certificates",
        ],
    );
    refused(&of(&good("CA:TRUE,pathlen:0", "CA:FALSE")), &["it is no CA, but its class is one"]);
    refused(&of(&good(",pathlen:0", "")), &["it has no path length, and that of a CA below a root is 0"]);
    refused(
        &of(&good("pathlen:0", "pathlen:1")),
        &["its path length is 1, and that of a CA below a root is 0"],
    );
    refused(&of(&good("critical,CA", "CA")), &["its basic constraints are not marked critical"]);
    refused(
        &of(&good("keyCertSign,cRLSign", "cRLSign")),
        &["its key usage does not permit signing certificates"],
    );
    refused(
        &of(&good("keyUsage=critical,keyCertSign,cRLSign\n", "")),
        &["it has no key usage, so strict programs do not take it for a CA"],
    );
    refused(
        &of(&format!("{GOOD}extendedKeyUsage=serverAuth,clientAuth\n")),
        &["it has extended key usages, which bind whatever it signs"],
    );
    refused(
        &of(&format!("{GOOD}extendedKeyUsage=codeSigning\n")),
        &["it has extended key usages, which bind whatever it signs"],
    );
    refused(&of(&format!("{GOOD}subjectAltName=DNS:kubernetes\n")), &["names differ: - kubernetes"]);
    refused(
        &of(&format!("{GOOD}subjectAltName=email:pki@example.net\n")),
        &["it has alternative names that nobody asked for"],
    );
    refused(
        &of(&format!("{GOOD}nameConstraints=critical,permitted;DNS:example.net\n")),
        &["it has name constraints, which bind whatever it signs"],
    );
    refused(
        &of(&good("authorityKeyIdentifier=keyid", "authorityKeyIdentifier=none")),
        &["it has no authority key identifier"],
    );
    // The subject: the root's own name for what is below it, and more than was asked for.
    let called = |subject: &str, serial: &str| {
        std::fs::write(place.path().join("ext.cnf"), GOOD).unwrap();
        let line = format!(
            "openssl x509 -req -in one.csr -days 365 -extfile ext.cnf -CA company.crt -CAkey company.key \
             -set_serial {serial} -subj '{subject}' -out renamed.pem"
        );
        std::fs::write(place.path().join("one.csr"), csr.as_str().unwrap()).unwrap();
        place.sh(&line, "").exits(0);
        std::fs::read_to_string(place.path().join("renamed.pem")).unwrap()
    };
    let long = "0x4142434445464748494a";
    refused(
        &called("/C=DE/DC=net/DC=example/O=Example AG/OU=IT/OU=PKI/CN=Example Root 1", long),
        &["subject differs: `O=Example AG, CN=Example Root 1` should be `CN=kubernetes`"],
    );
    refused(&called("/OU=IT/CN=kubernetes", long), &["its subject has fields that nobody asked for"]);
    refused(&called("/CN=kubernetes", "7"), &["its serial number is short: it was counted and not drawn"]);
    // Other signers: nobody, another root, another one that is called as ours.
    std::fs::write(place.path().join("key.pem"), &before["requests/ca/cluster.key"]).unwrap();
    let itself =
        signs_with(&place, csr, &good("authorityKeyIdentifier=keyid\n", ""), &["-key", "key.pem"], 365);
    refused(&itself, &["signed by another CA than ca/root", "it has no authority key identifier"]);
    let make = |name: &str, subject: &str| {
        let line = format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout {name}.key -out {name}.crt \
             -days 7300 -subj '{subject}' -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        );
        place.sh(&line, "").exits(0);
        signs_with(&place, csr, GOOD, &["-CA", &format!("{name}.crt"), "-CAkey", &format!("{name}.key")], 365)
    };
    refused(&make("other", "/CN=Example Root 2"), &["signed by another CA than ca/root"]);
    refused(
        &make("twin", "/C=DE/DC=net/DC=example/O=Example AG/OU=IT/OU=PKI/CN=Example Root 1"),
        &["signed by another CA than ca/root"],
    );
    // Dates.
    let dated = |from: &str, to: &str| {
        let line = format!(
            "rm -rf ca && mkdir ca && touch ca/index && openssl rand -hex 16 >ca/serial
             printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=ca/index\\nserial=ca/serial\\nnew_certs_dir=ca\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >ca/cnf
             openssl ca -batch -config ca/cnf -cert company.crt -keyfile company.key -in one.csr -extfile ext.cnf \
               -startdate {from} -enddate {to} -notext -out dated.pem"
        );
        std::fs::write(place.path().join("ext.cnf"), GOOD).unwrap();
        std::fs::write(place.path().join("one.csr"), csr.as_str().unwrap()).unwrap();
        place.sh(&line, "").exits(0);
        std::fs::read_to_string(place.path().join("dated.pem")).unwrap()
    };
    refused(&dated("20200101000000Z", "20210101000000Z"), &["expired on 2021-01-01"]);
    refused(&dated("20380101000000Z", "20400101000000Z"), &["begins on 2038-01-01, which is still to come"]);
    let ends = openssl(&place, &["x509", "-in", "company.crt", "-noout", "-enddate", "-dateopt", "iso_8601"])
        .exits(0);
    let ends = ends.stdout.trim().trim_start_matches("notAfter=")[..10].to_owned();
    refused(
        &dated("20260101000000Z", "20990101000000Z"),
        &[&format!("it ends after its CA, which ends on {ends}")],
    );
    // The right certificate under another name, and one of a key that nobody waits for.
    let named = |name: &str| {
        let pem = of(GOOD);
        json!({"kmh_signed": 1, "cluster": "small", "store": set["store"],
            "certificates": [{"name": name, "pem": pem}]})
        .to_string()
    };
    refused(
        &named("ca/etcd"),
        &[
            "it is for another key than the one that waits",
            "subject differs: `CN=kubernetes` should be `CN=etcd-ca`",
        ],
    );
    refused(&named("ca/root"), &["`ca/root` signs itself: none from elsewhere takes its place"]);
    refused(&named("ca/ipsec"), &["`ca/ipsec` signs itself: none from elsewhere takes its place"]);
    refused(
        &named("ca/etcd.next"),
        &["no request of this store waits for it", "subject differs: `CN=kubernetes` should be `CN=etcd-ca`"],
    );
    refused(&named("ca/etcd.old"), &["the inventory has no such certificate"]);
    common::requests::fresh(&place, "evil", "/CN=kubernetes", &[]);
    let evil = std::fs::read_to_string(place.path().join("evil.csr")).unwrap();
    refused(
        &signs(&place, &evil.into(), 365, GOOD),
        &["no request of this store waits for a certificate of that key"],
    );
    // One that ends soon is told of; and with it in, another of the same key has no place.
    std::fs::write(place.path().join("signed.json"), signs(&place, csr, 30, GOOD)).unwrap();
    let ran = import(&place, &inventory).exits(0);
    assert!(ran.stderr.contains("warning: `ca/cluster` is imported and ends on 20"), "{}", ran.stderr);
    assert!(ran.stderr.contains(": what it signs ends with it"), "{}", ran.stderr);
    std::fs::write(place.path().join("signed.json"), named("ca/cluster")).unwrap();
    import(&place, &inventory)
        .exits(2)
        .says("the store holds another `ca/cluster`, which only a rotation replaces");
}

#[test]
fn the_root_signs_no_other_ca_than_one_that_the_inventory_puts_below_it() {
    let inventory = rooted();
    let place = offline();
    rotate(&place, "cluster", &["--requests", "ask.json"]).exits(0);
    let set = read(&place, "ask.json");
    let refused = |change: &dyn Fn(&mut Value), says: &[&str]| {
        let mut changed = set.clone();
        change(&mut changed["requests"][0]);
        write(&place, "ask.json", &changed);
        let ran = sign(&place, &inventory).exits(2);
        assert!(!place.path().join("signed.json").exists());
        let said: Vec<&str> =
            ran.stderr.lines().filter_map(|line| line.strip_prefix("kmh-pki: error: ")).collect();
        assert_eq!(said, says);
    };
    let asks = |subject: &str, extensions: &[&str]| {
        common::requests::fresh(&place, "other", subject, extensions);
        Value::from(std::fs::read_to_string(place.path().join("other.csr")).unwrap())
    };
    let csr = |subject: &str, extensions: &[&str], says: &[&str]| {
        let csr = asks(subject, extensions);
        refused(&|one| one["csr"] = csr.clone(), says);
    };
    csr("/CN=kubernetes", &[], &["it does not ask to become a CA"]);
    csr("/CN=kubernetes", &["basicConstraints=CA:FALSE"], &["it does not ask to become a CA"]);
    csr(
        "/CN=kubernetes",
        &["basicConstraints=critical,CA:TRUE", USAGE],
        &["it asks for no path length, and that of a CA below a root is 0"],
    );
    csr(
        "/CN=kubernetes",
        &["basicConstraints=critical,CA:TRUE,pathlen:1", USAGE],
        &["it asks for the path length 1, and that of a CA below a root is 0"],
    );
    csr(
        "/CN=kubernetes",
        &[CA, "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"],
        &["it asks for other key usages than keyCertSign and cRLSign"],
    );
    csr(
        "/CN=kubernetes",
        &[CA, USAGE, "extendedKeyUsage=clientAuth", "subjectAltName=DNS:kubernetes"],
        &[
            "it asks for `kubernetes`, and `ca/cluster.next` has no names at all",
            "it asks for the usage client, and that of `ca/cluster.next` is none",
        ],
    );
    csr(
        "/CN=kmh-root-ca",
        &[CA, USAGE],
        &["its subject is `CN=kmh-root-ca`, and that of `ca/cluster.next` is `CN=kubernetes`"],
    );
    for name in ["ca/root", "ca/ipsec", "ca/ipsec.next", "ca/cluster.old", "ca/other"] {
        refused(&|one| one["name"] = name.into(), &["the inventory has no such certificate"]);
    }
    refused(
        &|one| one["issuer"] = "ca/cluster".into(),
        &["it is asked of `ca/cluster`, and `ca/root` signs it"],
    );
    // A leaf that wants to be more.
    let csr = asks("/O=system:nodes/CN=system:node:w-1", &[CA, USAGE]);
    refused(
        &|one| {
            let name = "nodes/w-1/kubelet-client";
            *one = json!({"name": name, "issuer": "ca/cluster", "reason": "", "csr": csr});
        },
        &["it asks to become a CA", "it asks for key usages other than digitalSignature and keyEncipherment"],
    );
    // The right request, and another root than the one that is asked.
    write(&place, "ask.json", &set);
    let other = Place::with_store(&inventory);
    for ending in ["crt", "key"] {
        let root = format!("ca/root.{ending}");
        std::fs::copy(other.store().join(&root), place.path().join("offline").join(&root)).unwrap();
    }
    sign(&place, &inventory).exits(2).says("`ca/root` of this store is not the one that is asked");
}

#[test]
fn what_cannot_be_asked_for_says_why() {
    let inventory = rooted();
    // A root that permits no CA below it.
    let place = company("critical,CA:TRUE,pathlen:0");
    let ran =
        place.pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory).exits(3);
    for name in BELOW {
        let what = format!("`ca/root` cannot sign `{name}`: its path length is 0, so no CA may be below it");
        assert!(ran.stderr.contains(&what), "{}", ran.stderr);
    }
    assert!(!place.path().join("ask.json").exists());

    // One that did not sign itself: it is told, and the auditor says no.
    let place = company("critical,CA:TRUE");
    let line = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout below.key -subj /CN=Example -out below.csr
        printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >below.cnf
        openssl x509 -req -in below.csr -CA company.crt -CAkey company.key -days 999 -extfile below.cnf -out store/ca/root.crt";
    place.sh(line, "").exits(0);
    place
        .pki(&["ensure", "--store", "store", "--init", "--requests", "ask.json"], &inventory)
        .exits(0)
        .says("warning: `ca/root` did not sign itself, and haproxy takes nothing else for an anchor");
    let ran = place.pki(&["verify", "--store", "store", "-o", "text"], &inventory).exits(1);
    assert!(ran.stdout.contains("chain.issuer-name"), "{}", ran.stdout);

    let place = Place::with_store(&inventory);
    let no = |place: &Place, name: &str, says: &str| {
        let before = place.snapshot();
        let ran = rotate(place, name, &["--requests", "ask.json"]).exits(1);
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
        assert_eq!(place.snapshot(), before);
    };
    no(&place, "etcd", "the store holds the key of `ca/root`, so nobody need be asked");
    no(&place, "ipsec", "no other CA signs `ca/ipsec`, so nobody is asked");
    no(&place, "encryption", "no other CA signs `keys/encryption`, so nobody is asked");
    rotate(&place, "etcd", &["--requests", "store/ask.json"])
        .exits(2)
        .says("`store/ask.json` would be written into store `store`");
    // What signed itself before there was a root is followed by one that the root signs.
    let place = Place::with_store(SMALL);
    no(&place, "etcd", "`ca/root` cannot sign `ca/etcd.next`: it is not made yet");
    place.pki(STORE, &inventory).exits(0);
    std::fs::remove_file(place.store().join("ca/root.key")).unwrap();
    rotate(&place, "etcd", &["--requests", "ask.json"]).exits(0);
    // Without a root nothing waits for it any more.
    let set = ask(&place, SMALL);
    assert_eq!(names(&set), [""; 0]);
    assert!(place.files().keys().all(|path| !path.starts_with("requests/")));
}

#[test]
fn keys_of_cas_that_wait_are_encrypted_where_all_are() {
    let inventory = rooted();
    let place = Place::new();
    let to = place.sh("age-keygen -o id 2>/dev/null && age-keygen -y id", "").exits(0).stdout;
    place.pki(&["--store", "store", "--init", "--recipient", to.trim()], &inventory).exits(0);
    place.sh("cp -a store offline && rm store/ca/root.key.age store/ca/root.pub", "").exits(0);
    // Neither to ask nor to take in needs the identity.
    rotate(&place, "cluster", &["--requests", "ask.json"]).exits(0);
    let files = place.files();
    let set = read(&place, "ask.json");
    rotate(&place, "cluster", &["--requests", "ask.json"]).exits(0);
    assert_eq!((read(&place, "ask.json"), place.files()), (set, files.clone()));
    let waiting = "requests/ca/cluster.next";
    assert!(
        files.contains_key(&format!("{waiting}.key.age")) && !files.contains_key(&format!("{waiting}.key"))
    );
    let sign =
        ["sign", "--requests", "ask.json", "--to", "signed.json", "--store", "offline", "--identity", "id"];
    place.pki(&sign, &inventory).exits(0);
    import(&place, &inventory).exits(0);
    let after = place.files();
    assert_eq!(after["ca/cluster.next.key.age"], files[&format!("{waiting}.key.age")]);
    assert!(after.keys().all(|path| !path.starts_with("requests/")));
    let plain = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("PRIVATE KEY");
    assert!(!place.everything().values().any(plain));
    rotate(&place, "cluster", &["--deployed"]).exits(0);
    place.pki(&["--store", "store", "--identity", "id"], &inventory).exits(0);
    strictly(&place, "ca/cluster", "nodes/cp-1/apiserver").exits(0);
    assert_eq!(findings(&place, &inventory), [""; 0]);
}

/// Starts kmh-pki under strace with these options.
fn traced(place: &Place, args: &[&str], options: &[&str]) -> std::process::Output {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=rename,renameat,renameat2,unlink,unlinkat,link,linkat"]);
    command.args(options).arg(env!("CARGO_BIN_EXE_kmh-pki")).args(args).args(["-i", "cluster.yaml"]);
    command.args(STORE).current_dir(place.path()).env_remove("KMH_STORE").env_remove("KMH_IDENTITY");
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_kill_before_any_step_loses_no_key_that_waits() {
    let inventory = rooted();
    let place = offline();
    std::fs::write(place.path().join("cluster.yaml"), &inventory).unwrap();
    place.sh("cp -a store first", "").exits(0);
    let asking = ["rotate", "cluster", "--requests", "ask.json"];
    let waiting = |place: &Place| place.files().get("requests/ca/cluster.next.key").cloned();
    // Each step of a run, from the same store: what follows a kill before it.
    let each = |from: &str, args: &[&str], after: &dyn Fn(&str)| {
        let again = || drop(place.sh(&format!("rm -rf store && cp -a {from} store"), "").exits(0));
        again();
        let ran = traced(&place, args, &["-o", "trace"]);
        assert!(ran.status.success(), "{ran:?}");
        let calls = common::calls(&std::fs::read_to_string(place.path().join("trace")).unwrap());
        assert!(calls.len() >= 4, "{calls:?}");
        for (call, count) in calls {
            again();
            let inject = format!("inject={call}:signal=SIGKILL:when={count}");
            traced(&place, args, &["-o", "/dev/null", "-e", &inject]);
            after(&format!("{call} {count}"));
        }
    };
    each("first", &asking, &|when| {
        let there = waiting(&place);
        place.pki(&[&asking[..], STORE].concat(), &inventory).exits(0);
        let key = waiting(&place).unwrap();
        assert!(there.is_none_or(|there| there == key), "{when}");
        let set = read(&place, "ask.json");
        let csr = String::from_utf8(place.files()["requests/ca/cluster.next.csr"].clone()).unwrap();
        assert_eq!(requests(&set)[0]["csr"], csr, "{when}");
    });
    place.sh("rm -rf asked && cp -a store asked", "").exits(0);
    sign(&place, &inventory).exits(0);
    let key = waiting(&place).unwrap();
    each("asked", &["import", "--signed", "signed.json"], &|when| {
        import(&place, &inventory).exits(0);
        let files = place.files();
        assert_eq!(files["ca/cluster.next.key"], key, "{when}");
        assert!(files.keys().all(|path| !path.starts_with("requests/") && path != "pending.json"), "{when}");
        assert_eq!(stage(&place), json!([{"name": "cluster", "stage": "trust"}]), "{when}");
    });
    each("asked", &["rotate", "cluster", "--abort"], &|when| {
        place.pki(STORE, &inventory).exits(0);
        let kept = place.everything().into_iter().any(|(path, bytes)| {
            bytes == key && (path.starts_with("archive/") || path.starts_with("requests/"))
        });
        assert!(kept, "{when}");
    });
}
