//! What a certificate may be used for: no more and no less than its class needs (RFC 5280, 4.2.1.3, 4.2.1.9, 4.2.1.12).

use kmh_cert::rules::{Topic, Weight, broken};
use kmh_cert::{Facts, Role};
use kmh_doc::pki::{Certificate, Usage};

use super::{REISSUE, expect};
use crate::documents::Pki;
use crate::findings::Findings;

/// `pki.usages`: extended key usage, exactly.
pub(crate) fn usages(pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        if !out.look_at_any(entry.machine.as_deref()) {
            continue;
        }
        let mut must = expect::row(entry.class).usages.to_vec();
        must.sort();
        if facts.usages != must {
            let message = format!("it may be used as {}, it must be {}", words(&facts.usages), words(&must));
            out.critical(&entry.name, message, REISSUE);
        }
        for complaint in broken_rules(entry, facts, Topic::Usages) {
            out.critical(&entry.name, complaint, REISSUE);
        }
    }
}

fn words(usages: &[Usage]) -> &'static str {
    match usages {
        [] => "neither client nor server",
        [Usage::Client] => "client",
        [Usage::Server] => "server",
        _ => "client and server",
    }
}

/// `pki.constraints`: who may sign, and what a key may do.
pub(crate) fn constraints(pki: &Pki<'_>, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        if !out.look_at_any(entry.machine.as_deref()) {
            continue;
        }
        for complaint in broken_rules(entry, facts, Topic::Constraints) {
            out.critical(&entry.name, complaint, REISSUE);
        }
    }
}

/// What a certificate must be, and is not, in one respect: RFC 5280 without what it only recommends, since a PKI of
/// another tool may leave that out.
pub(crate) fn broken_rules(entry: &Certificate, facts: &Facts, topic: Topic) -> Vec<String> {
    let role = if expect::row(entry.class).is_ca() { Role::Authority } else { Role::Leaf };
    let of_topic = broken(facts, role).filter(|one| one.rule.topic == topic);
    of_topic.filter(|one| one.rule.weight == Weight::Must).map(|one| one.message).collect()
}
