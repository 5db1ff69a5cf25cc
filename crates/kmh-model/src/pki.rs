//! What certificates and keys are made of: choices that somebody would refuse, and lives that end before they begin.

use kmh_doc::inventory::{Algorithm, Inventory, KeyOf};
use kmh_doc::{Code, Problem};

use crate::report::Report;

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    algorithms(inventory, report);
    lives(inventory, report);
}

fn algorithms(inventory: &Inventory, report: &mut Report<'_>) {
    let pki = &inventory.pki;
    if pki.algorithm_of(KeyOf::SERVICE_ACCOUNT) == Algorithm::Ed25519 {
        let path = match pki.algorithms.get(&KeyOf::SERVICE_ACCOUNT) {
            Some(_) => "spec.pki.algorithms.service-account",
            None => "spec.pki.algorithm",
        };
        report.add(
            Problem::error(Code::Contradiction, path, "the service-account key cannot be of Ed25519")
                // `signerFromRSAPrivateKey`, `signerFromECDSAPrivateKey` in Kubernetes' pkg/serviceaccount/jwt.go.
                .because("the API server signs and verifies tokens by RS256, RS384, RS512, ES256, ES384 and ES512 only")
                .hint("write `algorithms: {service-account: ecdsa-p256}`"),
        );
    }
}

fn lives(inventory: &Inventory, report: &mut Report<'_>) {
    let pki = &inventory.pki;
    let written = |names: [&'static str; 2]| {
        let path = |name| format!("spec.pki.{name}");
        names.into_iter().map(path).find(|path| report.is_written(path)).unwrap_or_else(|| path(names[0]))
    };
    let mut problems = Vec::new();
    if pki.days > pki.ca_days {
        problems.push(
            Problem::error(
                Code::Contradiction,
                written(["days", "ca_days"]),
                format!("a certificate lives {} days, and the CA that signs it {}", pki.days, pki.ca_days),
            )
            .because("a certificate never outlives its CA")
            .hint("lower `days` or raise `ca_days`"),
        );
    }
    if let Some(renew) = pki.renew_days.filter(|renew| *renew >= pki.days) {
        problems.push(
            Problem::error(
                Code::Contradiction,
                "spec.pki.renew_days",
                format!(
                    "a certificate lives {} days, and is made again when fewer than {renew} are left",
                    pki.days
                ),
            )
            .because("every run would make every certificate again")
            .hint("lower `renew_days`, or remove it: then a third of the life counts"),
        );
    }
    for problem in problems {
        report.add(problem);
    }
}
