//! What pfSense's settings become.

use kmh_cli::Exit;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n";

/// CAs that end in 2126: `CN=a-ca`, another of that name, and `CN=a-ca 2`.
const ONE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUaah+BQL+7ScpraUqRgY2LvIGIhwwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEYS1jYTAgFw0yNjExMjgyMjIzNTRaGA8yMTI2MTEwNDIyMjM1
NFowDzENMAsGA1UEAwwEYS1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJjL
JvYuOCpjk1l6jVNA81Ks1hQnpYdXQi9hva8UbXmj13ppTe+Tr+3A62VRxi090MHe
DBviVOYNg87UUvSRBl2jUzBRMB0GA1UdDgQWBBS2s9iwiIy7B5MlVaDEjIPA3Yu2
ajAfBgNVHSMEGDAWgBS2s9iwiIy7B5MlVaDEjIPA3Yu2ajAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCICkLFEtYhLZZuicsDLDHQUfEd0u0Fq2c2O2L
0O7uNTgkAiEA6ld6KjIlZFTBDMHEtNUCnoN13neNL0vbOq/w0IyG/+4=
-----END CERTIFICATE-----
";
const TWIN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUeExFw8NtTMq0ZQcbdoCEgOGZuKwwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEYS1jYTAgFw0yNjExMjgyMjIzNTVaGA8yMTI2MTEwNDIyMjM1
NVowDzENMAsGA1UEAwwEYS1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCJ0
/WfnIU7vfMZJ1TApGTV8xv49JaWTNpMCoRK+6Jfv4GIFShSLg8iDxLdU1gJPpBHt
9FiPCVKjxqTgtmeZvZ6jUzBRMB0GA1UdDgQWBBSUWd3CHnsNB2n09iYREXHe8yXp
zDAfBgNVHSMEGDAWgBSUWd3CHnsNB2n09iYREXHe8yXpzDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIE1HF+0gxj/8gblkoxSTxc4Xsb4UYClEa3VE
sjjpouRTAiABd2KBIh+z6ApFUT4N80dMBBTqXOePJ78u0FmtkxCEoQ==
-----END CERTIFICATE-----
";
const TWO: &str = "\
-----BEGIN CERTIFICATE-----
MIIBejCCAR+gAwIBAgIUfEAjOWFIHrg5Yomcobuz+b1kpIIwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGYS1jYSAyMCAXDTI2MTEyODIyMjM1NloYDzIxMjYxMTA0MjIy
MzU2WjARMQ8wDQYDVQQDDAZhLWNhIDIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQ+BMHY0H1xIjxYwCMHbcqUwK4dhIfOMoiEUxQRoeb36RMFLzbnnR7jvRd9BZbz
lqvaQfcXorsRgui117VEQXZzo1MwUTAdBgNVHQ4EFgQUrEG14uX3YK65nKeDFOTm
VKyTLPQwHwYDVR0jBBgwFoAUrEG14uX3YK65nKeDFOTmVKyTLPQwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAnTr7OOir5qh/X8nRl2BnSxkrIMbN
uZl6wcEJbinC+FgCIQCVm5KQsv0WuH73ySSDuiicBeI7+H9seOKmuoC+tVXyZw==
-----END CERTIFICATE-----
";

/// Settings with one tunnel, as kmh-render writes them.
fn settings() -> Value {
    let algorithm = json!({"name": "aes256gcm", "keylen": "128"});
    let second = |address: &str, bits: u8, peer: &str| {
        json!({
            "descr": "kmh:a--b", "ikeid": 2, "uniqid": "kmh2v4", "mode": "vti", "reqid": 2,
            "localid": {"type": "network", "address": address, "netbits": bits},
            "remoteid": {"type": "address", "address": peer},
            "protocol": "esp", "encryption-algorithm-option": [algorithm], "pfsgroup": "20",
            "lifetime": "3600", "keepalive": "disabled",
        })
    };
    json!({
        "format": "kmh.pfsense-settings/1",
        "ca": [{"refid": "kmhipsecca", "descr": "kmh: tunnels", "crt": STANDARD.encode(ONE)}],
        "cert": [{
            "refid": "kmhipsecrouter", "caref": "kmhipsecca",
            "crt": STANDARD.encode("certificate"), "prv": STANDARD.encode(KEY),
        }],
        "ipsec": {
            "phase1": [{
                "descr": "kmh:a--b", "ikeid": 2, "iketype": "ikev2", "interface": "wan", "protocol": "inet",
                "remote-gateway": "203.0.113.7",
                "myid_type": "fqdn", "myid_data": "a.x.ipsec.internal",
                "peerid_type": "fqdn", "peerid_data": "b.x.ipsec.internal",
                "encryption": {"item": [{
                    "encryption-algorithm": algorithm, "hash-algorithm": "sha384", "dhgroup": "20",
                }]},
                "lifetime": "28800", "nat_traversal": "force", "mobike": "on",
                "startaction": "start", "closeaction": "start", "dpd_delay": "10", "dpd_maxfail": "5",
                "authentication_method": "cert", "certref": "kmhipsecrouter", "caref": "kmhipsecca",
            }],
            "phase2": [second("10.255.0.9", 30, "10.255.0.10"), second("fd00::1", 64, "fd00::2")],
        },
        "tunnels": [{"name": "a--b", "if": "ipsec2", "mtu": 1438}],
    })
}

fn made(settings: &Value) -> StandIn {
    let addresses = ["203.0.113.9", "2001:db8::9"].map(|address| address.parse().unwrap());
    stand_in(&serde_json::to_vec(settings).unwrap(), &[("wan".to_owned(), addresses.to_vec())].into())
        .unwrap_or_else(|failure| panic!("{}", failure.render("t", false)))
}

fn refused(settings: &Value) -> Failure {
    stand_in(&serde_json::to_vec(settings).unwrap(), &BTreeMap::new()).err().expect("refused")
}

#[test]
fn a_tunnel_with_certificates_as_pfsense_writes_it() {
    let made = made(&settings());
    assert_eq!(
        made.conf.as_str(),
        "connections {
    # kmh:a--b
    con2 {
        fragmentation = yes
        unique = replace
        version = 2
        proposals = aes256gcm128-sha384-ecp384
        dpd_delay = 10s
        dpd_timeout = 60s
        rekey_time = 25920s
        reauth_time = 0s
        over_time = 2880s
        rand_time = 2880s
        encap = yes
        mobike = yes
        remote_addrs = 203.0.113.7
        local_addrs = 203.0.113.9
        send_cert = always
        local {
            auth = pubkey
            certs = cert-2.crt
            id = fqdn:a.x.ipsec.internal
        }
        remote {
            auth = pubkey
            cacerts = 12c3d17d.0
            id = fqdn:b.x.ipsec.internal
        }
        children {
            con2 {
                local_ts = 10.255.0.9/30,fd00::1/64,0.0.0.0/0,::/0
                remote_ts = 10.255.0.10,fd00::2,0.0.0.0/0,::/0
                if_id_in = 2
                if_id_out = 2
                esp_proposals = aes256gcm128-ecp384
                life_time = 3600s
                rekey_time = 3240s
                rand_time = 360s
                start_action = start
                dpd_action = restart
                close_action = start
            }
        }
    }
}
"
    );
    let files: Vec<(&str, u32, &[u8])> =
        made.files.iter().map(|file| (file.path.as_str(), file.mode, file.content.as_slice())).collect();
    assert_eq!(
        files,
        [
            ("x509/cert-2.crt", 0o644, b"certificate".as_slice()),
            ("private/cert-2.key", 0o600, KEY.as_bytes()),
            ("x509ca/12c3d17d.0", 0o644, ONE.as_bytes()),
        ]
    );
    assert_eq!(
        made.interfaces.iter().flat_map(Interface::calls).map(|call| call.join(" ")).collect::<Vec<_>>(),
        [
            "link add ipsec2 type xfrm dev wan if_id 2",
            "link set ipsec2 mtu 1438",
            "address replace 10.255.0.9/30 dev ipsec2",
            "address replace fd00::1/64 dev ipsec2",
            "link set ipsec2 up",
        ]
    );
}

/// The CAs of a stand-in, by the names of their files.
fn authorities(made: &StandIn) -> Vec<(&str, &str)> {
    let names = made.files.iter().filter_map(|file| Some((file.path.strip_prefix("x509ca/")?, file)));
    names.map(|(name, file)| (name, std::str::from_utf8(&file.content).unwrap())).collect()
}

const ONE_FILE: &str = "12c3d17d.0";
const TWO_FILE: &str = "501de7c0.0";

#[test]
fn what_a_chain_of_carefs_leads_to_is_written_and_nothing_else() {
    let ca = |refid: &str, pem: &str, caref: &str| json!({"refid": refid, "crt": STANDARD.encode(pem), "caref": caref});
    let mut settings = settings();
    // That of the router's certificate is there; another one is in the certificate manager only.
    settings["ca"] = json!([ca("kmhipsecca", ONE, ""), ca("other", TWO, "")]);
    settings["ipsec"]["phase1"][0].as_object_mut().unwrap().remove("caref");
    let made = self::made(&settings);
    assert_eq!(authorities(&made), [(ONE_FILE, ONE)]);
    // And without one in the first phase, strongSwan is told of none.
    assert!(!made.conf.contains("cacerts"), "{}", *made.conf);
    settings["ipsec"]["phase1"][0]["caref"] = json!("");
    assert!(!self::made(&settings).conf.contains("cacerts"));
    // One leads to another, whoever signed it.
    settings["ca"] = json!([ca("other", TWO, ""), ca("kmhipsecca", ONE, "other")]);
    assert_eq!(authorities(&self::made(&settings)), [(ONE_FILE, ONE), (TWO_FILE, TWO)]);
    // That of the first phase comes to those of the certificate.
    settings["ca"] = json!([ca("kmhipsecca", ONE, ""), ca("other", TWO, "")]);
    settings["ipsec"]["phase1"][0]["caref"] = json!("other");
    let made = self::made(&settings);
    assert_eq!(authorities(&made), [(ONE_FILE, ONE), (TWO_FILE, TWO)]);
    assert!(made.conf.contains(&format!("cacerts = {TWO_FILE}\n")), "{}", *made.conf);
}

#[test]
fn of_two_cas_with_one_subject_the_last_one_is_left() {
    let mut settings = settings();
    let ca = |refid: &str, pem: &str| json!({"refid": refid, "crt": STANDARD.encode(pem)});
    settings["ca"] = json!([ca("kmhipsecca", ONE), ca("twin", TWIN)]);
    settings["ca"][0]["caref"] = json!("twin");
    assert_eq!(authorities(&made(&settings)), [(ONE_FILE, TWIN)]);
}

#[test]
fn a_chain_that_cannot_be_followed_is_refused() {
    let with = |change: fn(&mut Value)| {
        let mut settings = settings();
        change(&mut settings);
        refused(&settings).notes[0].message.clone()
    };
    let lost = with(|settings| settings["ca"][0]["caref"] = json!("gone"));
    assert_eq!(lost, "the settings have no CA `gone`");
    let round = with(|settings| settings["ca"][0]["caref"] = json!("kmhipsecca"));
    assert_eq!(round, "`caref` of the CA `kmhipsecca` leads back to it");
    let none = with(|settings| settings["ca"][0]["crt"] = json!(STANDARD.encode("authority")));
    assert_eq!(none, "the CA `kmhipsecca` is no certificate");
}

#[test]
fn whoever_waits_does_not_begin_and_forgets_a_silent_peer() {
    let mut settings = settings();
    settings["ipsec"]["phase1"][0]["startaction"] = json!("none");
    settings["ipsec"]["phase1"][0]["closeaction"] = json!("none");
    settings["ipsec"]["phase1"][0]["nat_traversal"] = json!("on");
    let conf = made(&settings).conf;
    for line in ["start_action = none", "dpd_action = clear", "close_action = none", "encap = no"] {
        assert!(conf.contains(line), "{line}:\n{}", *conf);
    }
}

#[test]
fn only_what_is_kept_alive_is_begun_again() {
    let mut settings = settings();
    assert!(made(&settings).kept.is_empty());
    settings["ipsec"]["phase2"][1]["keepalive"] = json!("enabled");
    assert_eq!(made(&settings).kept, ["con2"]);
}

#[test]
fn a_pre_shared_key_stands_among_the_secrets_only() {
    let mut settings = settings();
    let first = &mut settings["ipsec"]["phase1"][0];
    first["authentication_method"] = json!("pre_shared_key");
    first["pre-shared-key"] = json!("hello \"}");
    settings["ca"] = json!([]);
    settings["cert"] = json!([]);
    let made = made(&settings);
    let (connections, secrets) = made.conf.split_once("secrets {\n").unwrap();
    assert_eq!(
        secrets,
        "    ike-2 {\n        id-0 = %any\n        id-1 = fqdn:b.x.ipsec.internal\n        \
         secret = 0saGVsbG8gIn0=\n    }\n}\n"
    );
    assert_eq!(connections.matches("auth = psk").count(), 2);
    assert!(made.files.is_empty() && !connections.contains("certs"), "{connections}");
}

#[test]
fn other_ciphers_in_pfsenses_words() {
    // IKE's proposal and ESP's.
    let cases = [
        (
            json!({"name": "chacha20poly1305"}),
            "sha256",
            None,
            "31",
            "chacha20poly1305-sha256-x25519",
            "chacha20poly1305-x25519",
        ),
        (
            json!({"name": "aes", "keylen": "256"}),
            "sha256",
            Some("hmac_sha256"),
            "14",
            "aes256-sha256-modp2048",
            "aes256-sha256-modp2048",
        ),
    ];
    for (algorithm, hash, hmac, group, ike, esp) in cases {
        let mut settings = settings();
        settings["ipsec"]["phase1"][0]["encryption"]["item"][0] =
            json!({"encryption-algorithm": algorithm, "hash-algorithm": hash, "dhgroup": group});
        for second in settings["ipsec"]["phase2"].as_array_mut().unwrap() {
            second["encryption-algorithm-option"] = json!([algorithm]);
            second["pfsgroup"] = json!(group);
            if let Some(hmac) = hmac {
                second["hash-algorithm-option"] = json!([hmac]);
            }
        }
        let conf = made(&settings).conf;
        assert!(conf.contains(&format!("    proposals = {ike}\n")), "{}", *conf);
        assert!(conf.contains(&format!("esp_proposals = {esp}\n")), "{}", *conf);
    }
}

#[test]
fn what_kmh_does_not_write_is_refused_all_at_once_and_without_its_secrets() {
    let mut settings = settings();
    settings["ipsec"]["phase1"][0]["iketype"] = json!("ikev1");
    settings["ipsec"]["phase2"][0]["mode"] = json!("tunnel");
    let failure = refused(&settings);
    assert_eq!(failure.exit, Exit::Wrong);
    let messages: Vec<&str> = failure.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "the stand-in of pfSense knows no iketype `ikev1`",
            "the stand-in of pfSense knows no mode `tunnel`"
        ]
    );
    let mut settings = self::settings();
    settings["cert"][0]["prv"] = json!([KEY]);
    assert!(!refused(&settings).render("t", false).contains("PRIVATE"));
    let mut settings = self::settings();
    settings["ipsec"]["phase1"][0]["remote-gateway"] = json!("x\n} secrets {");
    assert!(refused(&settings).notes[0].message.ends_with("cannot stand in swanctl.conf"));
}
