//! Stores that are broken in every way that `verify` knows, and what openssl says of the same certificates.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{Place, Ran, SMALL};
use kmh_cli::Env;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// What the cases share: openssl's way to a certificate for a key of the store. `EXT` and `SUBJ` start as they should be.
const TOOLS: &str = r#"
set -e
GOOD='basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid'
GOODCA='basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid'
SUBJ=/O=system:node-proxier/CN=system:kube-proxy
CA=ca/cluster
L=nodes/w-1/kube-proxy
serial() { echo 0x4$(openssl rand -hex 19 | cut -c2-); }
# leaf EXTENSIONS OPTIONS: the leaf $L made again, for the key that it has
leaf() {
  e=$1; shift
  printf '%s\n' "$e" > ../ext
  case " $* " in *-set_serial*) s=;; *) s="-set_serial $(serial)";; esac
  openssl req -new -key $L.key -subj "$SUBJ" 2>/dev/null |
    openssl x509 -req -CA $CA.crt -CAkey $CA.key $s -days 300 -extfile ../ext "$@" -out $L.crt 2>/dev/null
}
# ca NAME EXTENSIONS OPTIONS: the certificate of a CA made again, for the key that it has
ca() {
  n=$1; e=$2; shift 2
  printf '[req]\ndistinguished_name=dn\n[dn]\n[x]\n%s\n' "$e" > ../cnf
  openssl req -new -x509 -config ../cnf -extensions x -key $n.key -subj "$CASUBJ" -set_serial $(serial) -days 3000 "$@" -out $n.crt 2>/dev/null
}
CASUBJ=/CN=kmh-ipsec-ca
with() { printf '%s\n' "$GOOD" | sed "$1"; }
withca() { printf '%s\n' "$GOODCA" | sed "$1"; }
# patch FILE FROM TO: octets of the DER form, hexadecimal, the last place
patch() {
  python3 - "$@" <<'PY'
import base64, sys
path, old, new = sys.argv[1], *map(bytes.fromhex, sys.argv[2:])
der = base64.b64decode("".join(l for l in open(path).read().split("\n") if l and l[0] != "-"))
at = der.rindex(old)
der = der[:at] + new + der[at + len(old):]
open(path, "w").write("-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der).decode() + "-----END CERTIFICATE-----\n")
PY
}
"#;

/// What openssl says of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Openssl {
    /// `-x509_strict` takes it, though it should not be so.
    Takes,
    /// It does not.
    Refuses,
    /// It is not asked: the certificate is fine, or is none.
    NotAsked,
}
use Openssl::{NotAsked, Refuses, Takes};

/// The finding, what it is about, a way to provoke it in the store's folder, and what openssl says.
type Case = (&'static str, &'static str, &'static str, Openssl);

const LEAF: &str = "nodes/w-1/kube-proxy";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("rule.version", LEAF, "openssl req -new -key $L.key -subj $SUBJ | openssl x509 -req -CA $CA.crt -CAkey $CA.key -set_serial $(serial) -days 300 -out $L.crt", Takes),
    ("rule.version", "ca/ipsec", "openssl req -new -key ca/ipsec.key -subj $CASUBJ | openssl x509 -req -signkey ca/ipsec.key -days 300 -out ca/ipsec.crt", Refuses),
    ("rule.unknown-critical", LEAF, r#"leaf "$GOOD
1.2.3.4=critical,ASN1:NULL""#, Refuses),
    ("rule.signature-declared", LEAF, "leaf \"$GOOD\"; patch $L.crt 2a8648ce3d040302 2a8648ce3d040303", Refuses),
    ("rule.issuer-empty", "ca/ipsec", "CASUBJ=/ ; ca ca/ipsec \"$GOODCA\"", Refuses),
    ("rule.subject-empty", "ca/ipsec", "CASUBJ=/ ; ca ca/ipsec \"$GOODCA\"", Refuses),
    ("rule.dates-form", LEAF, "leaf \"$GOOD\" -days 10000; patch $L.crt 32303534 32303434", Refuses),
    ("rule.serial-positive", LEAF, "leaf \"$GOOD\" -set_serial 0", Takes),
    ("rule.serial-positive", LEAF, "leaf \"$GOOD\" -set_serial -77777777777777777777", Takes),
    ("rule.serial-length", LEAF, "leaf \"$GOOD\" -set_serial 0x41$(openssl rand -hex 20)", Takes),
    ("rule.serial-random", LEAF, "leaf \"$GOOD\" -set_serial 5", Takes),
    ("rule.subject-fields", LEAF, "SUBJ=/C=DE$SUBJ; leaf \"$GOOD\"", Takes),
    ("rule.names-empty", LEAF, r#"leaf "$GOOD
2.5.29.17=DER:30:00""#, Refuses),
    ("rule.names-critical", LEAF, r#"leaf "$GOOD
subjectAltName=critical,DNS:x""#, Takes),
    ("rule.names-other", LEAF, r#"leaf "$GOOD
subjectAltName=email:a@example.net""#, Takes),
    ("rule.usages-other", LEAF, "leaf \"$(with s/clientAuth/clientAuth,codeSigning/)\"", Takes),
    ("rule.ca-flag", "ca/ipsec", "ca ca/ipsec \"$(withca 's/CA:TRUE,pathlen:0/CA:FALSE/')\"", Refuses),
    ("rule.ca-flag-critical", "ca/ipsec", "ca ca/ipsec \"$(withca s/critical,CA/CA/)\"", Refuses),
    ("rule.path-length", "ca/ipsec", "ca ca/ipsec \"$(withca s/,pathlen:0//)\"", Takes),
    ("rule.path-length-of-no-ca", LEAF, "leaf \"$(with s/CA:FALSE/CA:FALSE,pathlen:0/)\"", Refuses),
    ("rule.ca-key-usage", "ca/ipsec", "ca ca/ipsec \"$(withca /keyUsage/d)\"", Refuses),
    ("rule.ca-cert-sign", "ca/ipsec", "ca ca/ipsec \"$(withca s/keyCertSign,//)\"", Refuses),
    ("rule.ca-key-usage-critical", "ca/ipsec", "ca ca/ipsec \"$(withca s/critical,key/key/)\"", Takes),
    ("rule.ca-key-usage-more", "ca/ipsec", "ca ca/ipsec \"$(withca s/cRLSign/cRLSign,keyEncipherment/)\"", Takes),
    ("rule.ca-subject-key-id", "ca/ipsec", "ca ca/ipsec \"$(withca 's/=hash/=none/; /authorityKey/d')\"", Refuses),
    ("rule.leaf-ca", LEAF, "leaf \"$(with 's/CA:FALSE/CA:TRUE/; s/digitalSignature/keyCertSign/')\"", Refuses),
    ("rule.leaf-constraints", LEAF, "leaf \"$(with /basicConstraints/d)\"", Takes),
    ("rule.leaf-constraints", LEAF, "leaf \"$(with s/critical,CA/CA/)\"", Takes),
    ("rule.leaf-key-usage", LEAF, "leaf \"$(with /keyUsage/d)\"", Takes),
    ("rule.leaf-key-usage-critical", LEAF, "leaf \"$(with s/critical,digital/digital/)\"", Takes),
    ("rule.leaf-signature", LEAF, "leaf \"$(with s/digitalSignature/nonRepudiation/)\"", Refuses),
    ("rule.leaf-cert-sign", LEAF, "leaf \"$(with s/digitalSignature/digitalSignature,keyCertSign/)\"", Refuses),
    ("rule.leaf-key-usage-more", LEAF, "leaf \"$(with s/digitalSignature/digitalSignature,keyEncipherment/)\"", Takes),
    ("rule.leaf-subject-key-id", LEAF, "leaf \"$(with s/=hash/=none/)\"", Takes),
    ("rule.key-algorithm", LEAF, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out $L.key; leaf \"$GOOD\"", Takes),
    // As long as P-256, and no program of Kubernetes takes it.
    ("rule.key-algorithm", LEAF, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out $L.key; leaf \"$GOOD\"", Takes),
    ("rule.key-algorithm", LEAF, "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out $L.key; leaf \"$GOOD\"", Takes),
    ("rule.signature-algorithm", LEAF, "leaf \"$GOOD\" -sha1", Takes),

    ("chain.issuer-name", LEAF, "cp ca/cluster.key ../x.key; CASUBJ=/CN=x; ca ../x \"$GOODCA\"; CA=../x; leaf \"$GOOD\"", Refuses),
    ("chain.authority-key-id", LEAF, "leaf \"$(with s/=keyid/=none/)\"", Refuses),
    ("chain.authority-key-id", LEAF, "leaf \"$(with s/authorityKeyIdentifier=keyid/2.5.29.35=DER:30:04:80:02:01:02/)\"", Refuses),
    ("chain.issuer-key-id", "routers/gw/ipsec", "ca ca/ipsec \"$(withca 's/=hash/=none/; /authorityKey/d')\"", Refuses),
    ("chain.signature", LEAF, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ../x.key; CASUBJ=/CN=kubernetes; ca ../x \"$GOODCA\"; CA=../x; leaf \"$GOOD\"", Refuses),
    ("chain.path-too-long", LEAF, "leaf \"$(with 's/CA:FALSE/CA:TRUE/; s/digitalSignature/keyCertSign/')\"", Refuses),
    ("chain.anchor", "ca/cluster", "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ../x.key; CASUBJ=/CN=above; ca ../x \"$GOODCA\"; CA=../x L=ca/cluster SUBJ=/CN=kubernetes; leaf \"$GOODCA\"", NotAsked),
    ("chain.name-constraints", "routers/gw/ipsec", r#"ca ca/ipsec "$GOODCA
nameConstraints=critical,permitted;DNS:example.net""#, Refuses),
    ("chain.limits", "ca/ipsec", r#"ca ca/ipsec "$GOODCA
nameConstraints=critical,excluded;otherName:1.2.3.4;UTF8:x""#, Takes),
    ("chain.outlives-ca", LEAF, "leaf \"$GOOD\" -days 9999", Takes),
    ("chain.no-ca", "routers/gw/ipsec", "rm ca/ipsec.crt", NotAsked),
    ("chain.retired", "nodes/cp-1/etcd-peer", "for e in crt key; do cp ca/etcd.$e ca/etcd.old.$e; done; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca/etcd.key; CASUBJ=/CN=etcd-ca; ca ca/etcd \"$GOODCA\"", NotAsked),
    ("chain.early", "nodes/cp-1/etcd-peer", "for e in crt key; do cp ca/etcd.$e ca/etcd.next.$e; done; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca/etcd.key; CASUBJ=/CN=etcd-ca; ca ca/etcd \"$GOODCA\"", NotAsked),

    ("chain.gone", "users/anna.0a", "mkdir -m 700 users; for k in ../x users/anna.0a; do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $k.key; done; CASUBJ=/CN=kubernetes; ca ../x \"$GOODCA\"; CA=../x L=users/anna.0a SUBJ=/CN=anna; leaf \"$GOOD\"; rm users/anna.0a.key", NotAsked),

    ("among.serial", LEAF, "one=$(serial); leaf \"$GOOD\" -set_serial $one; L=nodes/cp-1/kube-proxy; leaf \"$GOOD\" -set_serial $one", NotAsked),
    ("among.key", "nodes/w-2/kube-proxy", "cp $L.key nodes/w-2/kube-proxy.key; L=nodes/w-2/kube-proxy; leaf \"$GOOD\"", NotAsked),
    ("among.key", "keys/service-account", "cp $L.key keys/service-account.key", NotAsked),
    ("among.subject", "ca/ipsec", "CASUBJ=/CN=kubernetes; ca ca/ipsec \"$GOODCA\"", NotAsked),

    ("key.alone", LEAF, "rm $L.crt", NotAsked),
    ("key.damaged", LEAF, "head -c 100 $L.key >x; cat x >$L.key; rm x", NotAsked),
    ("key.damaged", "keys/encryption", "echo short >keys/encryption.key", NotAsked),
    ("key.missing", LEAF, "rm $L.key", NotAsked),
    ("key.other", LEAF, "cat nodes/w-2/kube-proxy.key >$L.key", NotAsked),
    ("key.other", "ca/etcd", "cat ca/ipsec.key >ca/etcd.key", NotAsked),
    ("certificate.damaged", LEAF, "cat $L.crt nodes/w-2/kube-proxy.crt >x; cat x >$L.crt; rm x", NotAsked),
    ("certificate.damaged", LEAF, "head -c 200 $L.crt >x; cat x >$L.crt; rm x", NotAsked),

    ("wanted.missing", LEAF, "rm $L.crt $L.key", NotAsked),
    ("wanted.missing", "keys/encryption", "rm keys/encryption.key", NotAsked),
    ("wanted.nothing", "nodes/gone/kube-proxy", "cp -a nodes/w-1 nodes/gone", NotAsked),
    ("wanted.names", "nodes/w-1/kubelet-serving", "L=nodes/w-1/kubelet-serving SUBJ=/O=system:nodes/CN=system:node:w-1; leaf \"$(with 's/clientAuth/serverAuth/; $a subjectAltName=DNS:w-1,IP:10.10.0.99')\"", NotAsked),
    ("wanted.subject", LEAF, "SUBJ=/O=system:masters/CN=system:kube-proxy; leaf \"$GOOD\"", NotAsked),
    ("wanted.algorithm", LEAF, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out $L.key; leaf \"$GOOD\"", NotAsked),
    ("wanted.usages", LEAF, "leaf \"$(with s/clientAuth/clientAuth,serverAuth/)\"", NotAsked),
    ("store.pending", LEAF, "echo '{\"names\":[\"'$L'\"]}' >pending.json; chmod 644 pending.json", NotAsked),

    ("file.foreign", "ca/cluster.srl", "touch ca/cluster.srl", NotAsked),
    ("file.foreign", "notes.txt", "touch notes.txt", NotAsked),
    ("file.kind", "nodes/w-1/kube-proxy.crt", "mv $L.crt ../x.crt; ln -s ../../../x.crt $L.crt", NotAsked),
    ("file.mode", "ca/cluster.key", "chmod 640 ca/cluster.key", NotAsked),
    ("file.mode", "ca/cluster.crt", "chmod 666 ca/cluster.crt", NotAsked),
    ("file.mode", "nodes/w-1", "chmod 777 nodes/w-1", NotAsked),
    ("file.mode", "the store", "chmod 755 .", NotAsked),
    ("file.unfinished", "ca/.etcd.key.kmh-new", "touch ca/.etcd.key.kmh-new", NotAsked),
];

/// What no openssl makes, and what other tests hold.
const ELSEWHERE: [&str; 7] = [
    "chain.no-root",
    "key.plain",
    "rule.common-name-length",
    "rule.dates-order",
    "dates.expired",
    "dates.future",
    "file.owner",
];

fn verify(place: &Place, days: i64, args: &[&str]) -> Ran {
    let store = place.store().display().to_string();
    let all = [&["kmh-pki", "verify", "--store", &store], args].concat();
    let (mut env, captured) = Env::fake(all, SMALL);
    env.now = OffsetDateTime::now_utc() + Duration::days(days);
    let exit = kmh_pki::run(&mut env);
    Ran { code: exit as i32, stdout: captured.stdout_text(), stderr: captured.stderr_text() }
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr))
}

/// Findings as `id subject`.
fn found(report: &Value) -> BTreeSet<(String, String)> {
    let text = |note: &Value, field: &str| note[field].as_str().unwrap().to_owned();
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|note| (text(note, "id"), text(note, "subject"))).collect()
}

/// A copy of a store, in which somebody typed that.
fn broken(good: &Place, line: &str) -> Place {
    let place = Place::new();
    let from = good.store().display().to_string();
    let script = format!("cp -a {from} store && cd store && {{ {TOOLS}\n{line}\n}}");
    let ran = place.sh(&script, "");
    assert_eq!(ran.code, 0, "{line}:\n{}\n{}", ran.stdout, ran.stderr);
    place
}

/// What openssl says of a certificate or, of a CA, of a good one that it signs.
fn openssl(place: &Place, subject: &str) -> (bool, String) {
    let (ca, leaf) = match subject {
        "ca/ipsec" | "routers/gw/ipsec" => ("ca/ipsec.crt", "routers/gw/ipsec.crt"),
        _ => ("ca/cluster.crt", "nodes/w-1/kube-proxy.crt"),
    };
    if subject == "ca/ipsec" {
        // A CA without an identifier of its key signs with none.
        let sign =
            "cd store; CA=ca/ipsec L=routers/gw/ipsec; leaf \"$GOOD\" || leaf \"$(with s/=keyid/=none/)\"";
        assert_eq!(place.sh(&format!("{TOOLS}\n{sign}"), "").code, 0, "{subject}");
    }
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslclient", "-CAfile", ca, leaf])
        .current_dir(place.store())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_new_store_is_well_and_openssls_own_certificates_are_too() {
    let good = Place::with_store(SMALL);
    let ran = verify(&good, 0, &["--strict"]).exits(0);
    let all = report(&ran);
    assert_eq!(all["findings"], serde_json::json!([]));
    assert_eq!((&all["ok"], &all["certificates"], &all["keys"]), (&true.into(), &27.into(), &3.into()));
    assert_eq!(all["files"], 27 * 2 + 3 + 1);
    let text = verify(&good, 0, &["-o", "text"]).exits(0).stdout;
    assert_eq!(text, "all is well: 27 certificates, 3 keys, 58 files\n");
    // The tools of the cases make what is right, so what is found is the case's own.
    let place = broken(&good, "leaf \"$GOOD\"");
    assert_eq!(found(&report(&verify(&place, 0, &["--strict"]).exits(0))), BTreeSet::new());
}

#[test]
fn every_finding_is_provoked_and_openssl_is_asked_of_every_certificate() {
    let good = Place::with_store(SMALL);
    let mut provoked = BTreeSet::new();
    let mut wrong = Vec::new();
    for (id, subject, line, says) in CASES {
        let place = broken(&good, line);
        let ran = verify(&place, 0, &[]);
        let report = report(&ran);
        let found = found(&report);
        if !found.contains(&((*id).to_owned(), (*subject).to_owned())) {
            wrong.push(format!("{id} {subject} is not found: {line}\n{found:#?}"));
        }
        let critical = report["critical"].as_u64().unwrap() > 0;
        assert_eq!(ran.code, i32::from(critical), "{id}: {report:#}");
        // With --strict, warnings say no, too.
        verify(&place, 0, &["--strict"]).exits(1);
        if *says != NotAsked {
            let (takes, said) = openssl(&place, subject);
            if takes != (*says == Takes) {
                wrong.push(format!(
                    "{id}: openssl {}: {line}\n{said}",
                    if takes { "takes it" } else { "refuses it" }
                ));
            }
            // What openssl refuses is never a mere warning here.
            if !takes && !critical {
                wrong.push(format!("{id} is only a warning"));
            }
        }
        provoked.insert((*id).to_owned());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rules = kmh_cert::rules::RULES.iter().map(|rule| format!("rule.{}", rule.id));
    let chain = kmh_cert::chain::COMPLAINTS.iter().map(|id| format!("chain.{id}"));
    let all: BTreeSet<String> =
        rules.chain(chain).chain(kmh_pki::verify::IDS.map(ToOwned::to_owned)).collect();
    provoked.extend(ELSEWHERE.map(ToOwned::to_owned));
    assert_eq!(provoked, all);
}

#[test]
fn name_constraints_bind_what_is_below_and_ensure_warns_of_them() {
    let rooted = format!("{SMALL}  pki: {{root: true}}\n");
    let [plain, below] = [SMALL, rooted.as_str()].map(Place::with_store);
    let rotate = |ca: &str| format!("`kmh-pki rotate {ca}` makes a new CA; `ensure` never replaces one");
    // A CA as it is, but for its limits.
    let limited = |ca: &str, subject: &str, length: u8, limits: &str| {
        format!(
            "id=$(openssl x509 -in ca/{ca}.crt -noout -ext subjectKeyIdentifier | tail -1 | tr -d ' :')
             CASUBJ=/CN={subject}; ca ca/{ca} \"$(withca \"s/=hash/=$id/; s/pathlen:0/pathlen:{length}/\")
nameConstraints=critical,{limits}\" -days 7200"
        )
    };
    let ipsec = |limits: &str| limited("ipsec", "kmh-ipsec-ca", 0, limits);
    let root = limited("root", "kmh-root-ca", 1, "excluded;IP:10.10.0.11/255.255.255.255");
    let named = "the name constraints of `ca/ipsec` do not permit gw.small.ipsec.internal";
    let excluded = "the name constraints of `ca/root` do not permit 10.10.0.11";
    let stays =
        "nothing replaces a root: with `pki: {root: false}`, `kmh-pki rotate` makes CAs that sign themselves";
    for (good, inventory, line, subject, message, hint, warned) in [
        (
            &plain,
            SMALL,
            ipsec("permitted;DNS:example.net"),
            "routers/gw/ipsec",
            named,
            rotate("ipsec"),
            "the name constraints of CA `ca/ipsec` do not permit gw.small.ipsec.internal of `routers/gw/ipsec`: programs \
             refuse what it signs for them; `kmh-pki rotate ipsec` makes one without\n",
        ),
        (
            &below,
            &rooted,
            root,
            "nodes/cp-1/etcd-peer",
            excluded,
            stays.to_owned(),
            "the name constraints of CA `ca/root` do not permit 10.10.0.11 of `nodes/cp-1/apiserver`, nor names of 5 more: \
             programs refuse what it signs for them\n",
        ),
    ] {
        let place = broken(good, &line);
        let ran = place.pki(&["verify", "--store", "store"], inventory).exits(1);
        let report = report(&ran);
        let all = report["findings"].as_array().unwrap();
        let of: Vec<_> = all.iter().filter(|one| one["subject"] == subject).collect();
        let is = ["id", "state", "message", "hint"].map(|field| of[0][field].as_str().unwrap());
        assert_eq!((of.len(), is), (1, ["chain.name-constraints", "critical", message, &hint]));
        // Each program that asks for a chain refuses it; so nothing is made of it without a word.
        let (ca, root) = if good.path() == below.path() { ("etcd", "root") } else { ("ipsec", "ipsec") };
        let asked = format!(
            "openssl verify -x509_strict -CAfile store/ca/{root}.crt -untrusted store/ca/{ca}.crt store/{subject}.crt"
        );
        let asked = place.sh(&asked, "").exits(2);
        assert!(asked.stderr.contains("subtree violation"), "{}", asked.stderr);
        place.pki(&["--store", "store"], inventory).exits(0).says(&format!("warning: {warned}"));
    }
    // What it permits is nobody's concern.
    for limits in ["permitted;DNS:small.ipsec.internal", "permitted;IP:10.0.0.0/255.0.0.0"] {
        let place = broken(&plain, &ipsec(limits));
        assert_eq!(report(&verify(&place, 0, &["--strict"]).exits(0))["findings"], serde_json::json!([]));
        assert_eq!(place.pki(&["--store", "store"], SMALL).exits(0).stderr, "");
    }
    // Nor what only a mail address could break.
    let place = broken(&plain, &ipsec("permitted;email:example.net"));
    assert_eq!(report(&verify(&place, 0, &["--strict"]).exits(0))["findings"], serde_json::json!([]));
    let other = "permitted;otherName:1.2.3.4;UTF8:x";
    let place = broken(&plain, &ipsec(other));
    let all = report(&verify(&place, 0, &[]).exits(0));
    assert_eq!(found(&all), [("chain.limits".to_owned(), "ca/ipsec".to_owned())].into());
    let warned = "CA `ca/ipsec` has name constraints of a kind that is not judged: ask `openssl verify` of what it signed";
    place.pki(&["--store", "store"], SMALL).exits(0).says(warned);
    // Go refuses all that such a CA signs, and all but the tunnels are Go's.
    let place = broken(&plain, &limited("cluster", "kubernetes", 0, other));
    let all = report(&verify(&place, 1, &[]).exits(1));
    let limits: Vec<_> =
        all["findings"].as_array().unwrap().iter().filter(|one| one["id"] == "chain.limits").collect();
    assert_eq!(
        (limits.len(), &limits[0]["state"], &limits[0]["subject"]),
        (1, &"critical".into(), &"ca/cluster".into())
    );
    let warned = "CA `ca/cluster` has critical name constraints of a kind that Go does not know: Kubernetes and etcd refuse what it signs; `kmh-pki rotate cluster` makes one without";
    place.pki(&["--store", "store"], SMALL).exits(0).says(warned);
}

#[test]
fn the_guides_recipes_are_refused_as_openssl_refuses_them() {
    let good = Place::with_store(SMALL);
    // No extensions at all: X.509 v1, from `openssl x509 -req` without a file of them.
    let first = broken(
        &good,
        "openssl req -new -key ca/cluster.key -subj /CN=KUBERNETES-CA/O=Kubernetes 2>/dev/null |
           openssl x509 -req -signkey ca/cluster.key -days 1000 -out ca/cluster.crt 2>/dev/null
         openssl req -new -key $L.key -subj /CN=system:kube-proxy/O=system:node-proxier 2>/dev/null |
           openssl x509 -req -CA ca/cluster.crt -CAkey ca/cluster.key -CAcreateserial -days 1000 -out $L.crt 2>/dev/null",
    );
    // A configuration whose CA is not marked critical, and clients that may be servers.
    let second = broken(
        &good,
        r#"CASUBJ="/C=US/ST=Washington/L=Seattle/CN=CA"
         ca ca/cluster "$(withca 's/critical,//; s/,pathlen:0//; /authorityKey/d')"
         leaf "$(printf '%s\n' 'basicConstraints=CA:FALSE' 'keyUsage=critical,digitalSignature,keyEncipherment' \
           'extendedKeyUsage=clientAuth,serverAuth' 'subjectAltName=DNS:kube-proxy,IP:127.0.0.1' \
           'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid')""#,
    );
    let cases: [(&Place, &[(&str, &str)]); 2] = [
        (
            &first,
            &[
                ("rule.version", "ca/cluster"),
                ("rule.ca-flag", "ca/cluster"),
                ("rule.ca-key-usage", "ca/cluster"),
                ("rule.version", LEAF),
                ("wanted.usages", LEAF),
                ("file.foreign", "ca/cluster.srl"),
            ],
        ),
        (
            &second,
            &[
                ("rule.ca-flag-critical", "ca/cluster"),
                ("rule.path-length", "ca/cluster"),
                ("rule.leaf-key-usage-more", LEAF),
                ("wanted.usages", LEAF),
                ("wanted.names", LEAF),
            ],
        ),
    ];
    for (place, wanted) in cases {
        let found = found(&report(&verify(place, 0, &[]).exits(1)));
        for (id, subject) in wanted {
            assert!(found.contains(&((*id).to_owned(), (*subject).to_owned())), "{id} {subject}: {found:#?}");
        }
        // Everybody else's certificate is of a CA that is gone.
        assert!(found.contains(&("chain.issuer-name".into(), "nodes/w-2/kubelet-client".into())));
        let (takes, said) = openssl(place, LEAF);
        assert!(!takes, "{said}");
    }
}

#[test]
fn dates_are_judged_by_the_clock() {
    let place = Place::with_store(SMALL);
    let expired = found(&report(&verify(&place, 366, &[]).exits(1)));
    assert_eq!(expired.len(), 23);
    assert!(expired.iter().all(|(id, subject)| id == "dates.expired" && !subject.starts_with("ca/")));
    let future = found(&report(&verify(&place, -1, &[]).exits(1)));
    assert_eq!(future.len(), 27);
    assert!(future.iter().all(|(id, _)| id == "dates.future"));
}

#[test]
fn the_table_says_once_what_is_true_of_many_and_limit_asks_about_machines() {
    let place = Place::with_store(SMALL);
    let text = verify(&place, 366, &["-o", "text"]).exits(1).stdout;
    assert!(text.starts_with("STATE     CHECK          OF"), "{text}");
    assert!(
        text.contains(
            "critical  dates.expired  cluster/break-glass-admin … routers/gw/ipsec (23)  it expired at"
        ),
        "{text}"
    );
    assert!(text.contains("hint: `kmh-pki ensure` makes it again\n"), "{text}");
    assert!(text.ends_with("23 critical in 27 certificates, 3 keys, 58 files\n"), "{text}");
    let limited = found(&report(&verify(&place, 366, &["--limit", "w-1"]).exits(1)));
    let subjects: Vec<&str> = limited.iter().map(|(_, subject)| subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["kube-proxy", "kubelet-client", "kubelet-serving"].map(|stem| format!("nodes/w-1/{stem}"))
    );
}

#[test]
fn a_hint_names_what_works() {
    let good = Place::with_store(SMALL);
    let again = "`kmh-pki ensure` makes it again";
    let asks = "the key of `ca/cluster` is elsewhere: `kmh-pki ensure --requests FILE` asks for it, \
        `kmh-pki sign --requests` signs it there, `kmh-pki import --signed` takes it in";
    let lost = "restore it from a backup: with a new CA in its place no machine would trust another";
    let tokens = "restore it from a backup: without it every service-account token is void";
    for (line, days, subject, hint) in [
        ("true", 366, LEAF, again),
        ("rm ca/cluster.key", 366, LEAF, asks),
        ("rm ca/cluster.key", 366, "routers/gw/ipsec", again),
        ("rm ca/cluster.key $L.crt $L.key", 0, LEAF, asks),
        ("rm $L.crt $L.key", 0, LEAF, "`kmh-pki ensure` makes it"),
        ("rm ca/etcd.crt ca/etcd.key", 0, "ca/etcd", lost),
        ("rm keys/service-account.key", 0, "keys/service-account", tokens),
        ("true", 3651, "ca/etcd", "`kmh-pki rotate etcd` makes a new CA; `ensure` never replaces one"),
        (
            "true",
            3651,
            LEAF,
            "its CA has ended: `kmh-pki rotate cluster` makes a new CA; `ensure` never replaces one",
        ),
        ("true", -1, "ca/etcd", "is the clock of this machine right?"),
    ] {
        let place = broken(&good, line);
        let report = report(&verify(&place, days, &[]).exits(1));
        let mut of = report["findings"].as_array().unwrap().iter().filter(|one| one["subject"] == subject);
        let first = of.next().unwrap_or_else(|| panic!("{line}: {report:#}"));
        assert_eq!(first["hint"], hint, "{line} {subject}");
    }
    // What asked already waits for its answer.
    let place = broken(&good, "rm ca/cluster.key $L.crt $L.key");
    place.pki(&["ensure", "--requests", "ask.json", "--store", "store"], SMALL).exits(0);
    let report = report(&verify(&place, 0, &[]).exits(1));
    let hint = "its request waits for the key of `ca/cluster`: `kmh-pki import --signed FILE` takes in what was signed";
    assert_eq!(report["findings"][0]["hint"], hint, "{report:#}");
}

#[test]
fn a_plain_key_in_a_store_of_encrypted_ones_is_found() {
    let place = Place::new();
    place.sh("age-keygen -o id 2>/dev/null && age-keygen -y id >to", "").exits(0);
    place.pki(&["--init", "--recipients", "to", "--store", "store"], SMALL).exits(0);
    assert_eq!(found(&report(&verify(&place, 0, &["--strict"]).exits(0))), BTreeSet::new());
    let line = "mkdir -p -m 700 store/archive && openssl genpkey -quiet -algorithm ED25519 -out store/archive/ca.00.key \
        && chmod 600 store/archive/ca.00.key";
    place.sh(line, "").exits(0);
    let all = report(&verify(&place, 0, &[]).exits(1));
    assert_eq!(found(&all), [("key.plain".to_owned(), "archive/ca.00.key".to_owned())].into());
    assert_eq!(all["findings"][0]["message"], "it is not encrypted, and the keys of this store are");
    // The hint is right.
    place.pki(&["--store", "store", "--identity", "id"], SMALL).exits(0);
    verify(&place, 0, &["--strict"]).exits(0);
}

#[test]
fn a_name_that_is_no_utf_8_is_told_of_and_harms_nobody() {
    let good = Place::with_store(SMALL);
    let line = r"mkdir -m 700 $'nodes/w\xff'; touch $'ca/\xe4 b.crt' $'ca/.x\xff.kmh-new' $'\xff.kmh-new' $'nodes/w\xff/ü\xff.key'";
    let place = broken(&good, line);
    let snapshot = || {
        let all = place.snapshot().into_iter();
        all.filter(|(path, _)| path.starts_with(place.store())).collect::<Vec<_>>()
    };
    let before = snapshot();
    let all = report(&verify(&place, 0, &[]).exits(0));
    let paths = [
        r"\xff.kmh-new",
        r"ca/.x\xff.kmh-new",
        r"ca/\xe4 b.crt",
        r"nodes/w\xff",
        r"nodes/w\xff/\xc3\xbc\xff.key",
    ];
    assert_eq!(found(&all), paths.map(|path| ("file.foreign".to_owned(), path.to_owned())).into());
    for one in all["findings"].as_array().unwrap() {
        assert_eq!(one["message"], "it is none of a store's files: its name is no UTF-8, and shown escaped");
        assert_eq!(one["hint"], "take it out of the store");
    }
    // Nobody else takes it for a certificate, or for what a killed run left.
    for (args, says) in [
        (&["ensure"][..], "nothing to do: 27 certificates and 3 keys\n"),
        (&["status"], "nothing is due"),
        (&["export", "--layout", "tar", "--to", "a.tar", "--with-ca-keys"], "wrote 58 files"),
        (&["rotate"], "a next CA is made"),
    ] {
        let ran = place.pki(&[args, &["--store", "store", "-o", "text"]].concat(), SMALL).exits(0);
        assert!(ran.stdout.contains(says), "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stderr, "", "{args:?}");
    }
    assert_eq!(snapshot(), before);
    let made = place.pki(&["--store", "store", "-o", "text"], &SMALL.replace("10.10.0.22", "10.10.0.33"));
    assert!(made.exits(0).stdout.contains("made 1 certificate"), "a change is written, too");
}

#[test]
fn it_writes_nothing_and_shows_no_key() {
    let good = Place::with_store(SMALL);
    let place = broken(
        &good,
        "cat nodes/w-2/kube-proxy.key >$L.key; chmod 644 ca/etcd.key; head -c 150 ca/ipsec.key >keys/encryption.key",
    );
    let before = place.snapshot();
    for args in [&["-o", "json"][..], &["-o", "text", "-vv"]] {
        let ran = verify(&place, 0, args).exits(1);
        let said = ran.stdout + &ran.stderr;
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
    assert_eq!(place.snapshot(), before);
}
