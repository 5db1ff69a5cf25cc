//! Requests as machines make them: by openssl.

use std::process::Command;

use serde_json::Value;

use super::{Place, Ran};

/// openssl in the place.
pub fn openssl(place: &Place, args: &[&str]) -> Ran {
    let mut command = Command::new("openssl");
    command.args(args).current_dir(place.path());
    Ran::of(command, "")
}

/// A key of that kind in FILE.key.
pub fn key(place: &Place, kind: &str, file: &str) {
    let out = format!("{file}.key");
    let kind: &[&str] = match kind {
        "rsa-1024" => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        "rsa-2048" => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ecdsa-p256" => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "ecdsa-p384" => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "ecdsa-p521" => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        "ed25519" => &["-algorithm", "ED25519"],
        other => panic!("{other}"),
    };
    openssl(place, &[&["genpkey", "-out", &out], kind].concat()).exits(0);
}

/// A request in FILE.csr for the key in FILE.key, with these extensions (`subjectAltName=DNS:w-1`).
pub fn request(place: &Place, file: &str, subject: &str, extensions: &[&str]) {
    let (key, out) = (format!("{file}.key"), format!("{file}.csr"));
    let mut args = vec!["req", "-new", "-utf8", "-key", &key, "-subj", subject, "-out", &out];
    for extension in extensions {
        args.extend(["-addext", extension]);
    }
    openssl(place, &args).exits(0);
}

/// A key of the default kind and its request.
pub fn fresh(place: &Place, file: &str, subject: &str, extensions: &[&str]) {
    key(place, "ecdsa-p256", file);
    request(place, file, subject, extensions);
}

/// Has `ensure` ask for what only a CA elsewhere can sign.
pub fn ask(place: &Place, inventory: &str) -> Value {
    place.pki(&["ensure", "--store", "store", "--requests", "ask.json", "-o", "text"], inventory).exits(0);
    read(place, "ask.json")
}

/// A JSON file of the place.
pub fn read(place: &Place, file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(place.path().join(file)).unwrap()).unwrap()
}

/// Writes a JSON file of the place.
pub fn write(place: &Place, file: &str, value: &Value) {
    std::fs::write(place.path().join(file), value.to_string()).unwrap();
}

/// Has the store `offline` sign what was asked for.
pub fn sign(place: &Place, inventory: &str) -> Ran {
    let args = ["sign", "--requests", "ask.json", "--to", "signed.json", "--store", "offline", "-o", "text"];
    place.pki(&args, inventory)
}

/// Takes in what was signed.
pub fn import(place: &Place, inventory: &str) -> Ran {
    place.pki(&["import", "--signed", "signed.json", "--store", "store", "-o", "text"], inventory)
}
