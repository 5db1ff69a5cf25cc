//! Whether the document says of a certificate what the certificate itself says.

use std::net::IpAddr;

use kmh_cert::Facts;
use kmh_cert::facts::rfc3339;
use kmh_cert::rules::Topic;
use kmh_doc::pki::Certificate;

use super::REISSUE;
use super::usages::broken_rules;
use crate::documents::Pki;
use crate::findings::Findings;

/// `pki.planned`: only a dry run may go on with certificates that are not issued yet.
pub(crate) fn planned(pki: &Pki<'_>, out: &mut Findings<'_>) {
    out.look();
    if pki.spec.planned {
        out.unknown(
            "kmh.pki/v1",
            "the certificates are only planned (`--dry-run`): there is nothing to verify yet",
            "run `kmh-pki ensure` without `--dry-run`, then check again",
        );
    }
}

/// `pki.readable`: every entry holds one X.509 v3 certificate.
pub(crate) fn readable(pki: &Pki<'_>, out: &mut Findings<'_>) {
    if pki.spec.planned {
        return;
    }
    for read in &pki.read {
        if !out.look_at_any(read.entry.machine.as_deref()) {
            continue;
        }
        let subject = &read.entry.name;
        match &read.facts {
            Err(why) => out.critical(subject, why, REISSUE),
            Ok(facts) => {
                for complaint in broken_rules(read.entry, facts, Topic::Form) {
                    out.critical(subject, complaint, REISSUE);
                }
            }
        }
    }
}

/// `pki.document`: the fields of each entry are those of its certificate.
pub(crate) fn fields(pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        if !out.look_at_any(entry.machine.as_deref()) {
            continue;
        }
        for (field, document, certificate) in differences(entry, facts) {
            out.critical(
                &entry.name,
                format!("the document says `{field}: {document}`, the certificate itself `{certificate}`"),
                "the document was edited, or is of another run: make it again with `kmh-pki ensure`",
            );
        }
    }
}

fn differences(entry: &Certificate, facts: &Facts) -> Vec<(&'static str, String, String)> {
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts.join(", ")
    };
    let joined = |addresses: &[IpAddr]| {
        let mut addresses = addresses.to_vec();
        addresses.sort();
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut usages = entry.usages.clone();
    usages.sort();
    [
        ("common_name", entry.common_name.clone(), facts.common_names.join(", ")),
        ("organizations", sorted(&entry.organizations), sorted(&facts.organizations)),
        ("dns_names", sorted(&entry.dns_names), sorted(&facts.dns_names)),
        ("addresses", joined(&entry.addresses), joined(&facts.addresses)),
        ("usages", format!("{usages:?}"), format!("{:?}", facts.usages)),
        ("algorithm", entry.algorithm.clone(), facts.algorithm.clone()),
        ("not_before", entry.not_before.clone(), rfc3339(facts.not_before)),
        ("not_after", entry.not_after.clone(), rfc3339(facts.not_after)),
        ("serial", entry.serial.trim_start_matches('0').to_owned(), facts.serial_hex()),
        ("fingerprint", entry.fingerprint.clone(), facts.fingerprint()),
    ]
    .into_iter()
    .filter(|(_, document, certificate)| document != certificate)
    .collect()
}
