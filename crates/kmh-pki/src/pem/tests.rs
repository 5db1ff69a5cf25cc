#![allow(clippy::disallowed_methods, reason = "tests")]

use std::process::Command;

use super::*;

fn openssl(args: &str) -> Vec<u8> {
    let output = Command::new("openssl").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn only_key(file: &[u8]) -> Result<(Secret, Form), &'static str> {
    let mut keys: Vec<_> = blocks(file).unwrap().iter().filter_map(private_key).collect();
    assert_eq!(keys.len(), 1);
    keys.remove(0)
}

#[test]
fn keys_of_every_form_become_pkcs_8_and_stay_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key").display().to_string();
    let makers = [
        ("genrsa -traditional 2048", Form::Pkcs1),
        ("genrsa 2048", Form::Pkcs8),
        ("ecparam -name prime256v1 -genkey", Form::Sec1),
        ("ecparam -name secp384r1 -genkey -noout", Form::Sec1),
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384", Form::Pkcs8),
        ("genpkey -algorithm ed25519", Form::Pkcs8),
    ];
    for (maker, wanted) in makers {
        let file = openssl(maker);
        std::fs::write(&path, &file).unwrap();
        let (secret, form) = only_key(&file).map_err(|why| format!("{maker}: {why}")).unwrap();
        assert_eq!(form, wanted, "{maker}");
        let public = secret.key_pair().map_err(|why| format!("{maker}: {why}")).unwrap().public_pem();
        // What the library writes of RSA keys has other line ends than openssl's; the octets are compared.
        let letters =
            |text: &[u8]| text.iter().filter(|c| !c.is_ascii_whitespace()).copied().collect::<Vec<_>>();
        assert_eq!(
            letters(public.as_bytes()),
            letters(&openssl(&format!("pkey -pubout -in {path}"))),
            "{maker}"
        );
        std::fs::write(&path, secret.octets()).unwrap();
        assert!(
            String::from_utf8_lossy(&openssl(&format!("pkey -check -noout -in {path}")))
                .contains("Key is valid")
        );
    }
}

#[test]
fn what_cannot_be_used_is_named_and_not_repeated() {
    let why = |file: &[u8]| blocks(file).err().unwrap();
    assert_eq!(why(b""), "it is empty");
    assert_eq!(why(b"hello"), "it is no PEM file");
    assert_eq!(why(&[0xff]), "it is no PEM file");
    assert_eq!(why(b"-----BEGIN X"), "the beginning of a block is broken");
    assert_eq!(why(b"-----BEGIN CERTIFICATE-----\nMIIB\n"), "the end of a block is missing");
    assert_eq!(
        why(b"-----BEGIN CERTIFICATE-----\nM*IB\n-----END CERTIFICATE-----\n"),
        "its base64 is broken"
    );
    let many = "-----BEGIN A-----\n-----END A-----\n".repeat(MOST + 1);
    assert_eq!(why(many.as_bytes()), "it holds too many blocks");

    let locked = "its key is under a password";
    for maker in [
        "genrsa -aes128 -passout pass:abcd -traditional 2048",
        "genpkey -algorithm ed25519 -aes128 -pass pass:abcd",
    ] {
        assert_eq!(only_key(&openssl(maker)).err(), Some(locked), "{maker}");
    }
    let odd = "it holds no private key that kmh can use (ECDSA on P-256 or P-384, RSA, Ed25519)";
    for maker in
        ["ecparam -name secp521r1 -genkey", "ecparam -name secp256k1 -genkey", "genrsa -traditional 1024"]
    {
        assert_eq!(only_key(&openssl(maker)).err(), Some(odd), "{maker}");
    }
}

#[test]
fn a_cut_or_changed_key_never_panics() {
    for maker in ["ecparam -name prime256v1 -genkey -noout", "genrsa -traditional 2048"] {
        let file = openssl(maker);
        let whole = blocks(&file).unwrap().remove(0);
        for at in 0..whole.der.len() {
            let mut changed = whole.der.clone();
            changed[at] ^= 0x81;
            for der in [Zeroizing::new(whole.der[..at].to_vec()), changed] {
                // Whatever it says of it.
                let _ = private_key(&Block { label: whole.label, der });
            }
        }
    }
}
