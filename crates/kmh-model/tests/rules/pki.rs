//! Algorithms and lives of certificates.

use super::{check, model, words};
use kmh_doc::inventory::{Algorithm, KeyOf};

const SPEC: &str = "spec:\n";

#[track_caller]
fn with(pki: &str, expected: &[&str]) {
    check(&[(SPEC, &format!("spec:\n  pki: {pki}\n"))], expected);
}

#[test]
fn service_account_tokens_are_not_signed_by_ed25519() {
    with("{algorithm: ed25519}", &["contradiction spec.pki.algorithm"]);
    with("{algorithms: {service-account: ed25519}}", &["contradiction spec.pki.algorithms.service-account"]);
    with("{algorithm: ed25519, algorithms: {service-account: ecdsa-p384}}", &[]);
    with("{algorithms: {service-account: rsa-2048}}", &[]);
    assert_eq!(
        words(&[(SPEC, "spec:\n  pki: {algorithm: ed25519}\n")]),
        "the service-account key cannot be of Ed25519 / the API server signs and verifies tokens by RS256, RS384, RS512, \
         ES256, ES384 and ES512 only / write `algorithms: {service-account: ecdsa-p256}`"
    );
}

#[test]
fn a_certificate_lives_longer_than_its_threshold_and_not_longer_than_its_ca() {
    with("{days: 90, ca_days: 90, renew_days: 89}", &[]);
    with("{days: 91, ca_days: 90}", &["contradiction spec.pki.days"]);
    // The default of one against the other.
    with("{ca_days: 364}", &["contradiction spec.pki.ca_days"]);
    with("{days: 3651}", &["contradiction spec.pki.days"]);
    with("{days: 30, renew_days: 30}", &["contradiction spec.pki.renew_days"]);
    with("{renew_days: 365}", &["contradiction spec.pki.renew_days"]);
    with("{days: 0}", &["out-of-range spec.pki.days"]);
}

#[test]
fn the_model_has_them() {
    let model =
        model(&[(SPEC, "spec:\n  pki: {algorithms: {service-account: rsa-3072}, days: 90, root: true}\n")]);
    assert_eq!(model.pki.algorithm_of(KeyOf::SERVICE_ACCOUNT), Algorithm::Rsa3072);
    assert_eq!((model.pki.days, model.pki.root), (90, true));
}
