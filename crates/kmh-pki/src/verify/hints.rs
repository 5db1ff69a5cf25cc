//! What a finding says of how to put it right: what works, in the store that is there. Pure.

use kmh_cert::Facts;
use kmh_doc::pki::{Generation, KeyClass};

use super::certificates::Subject;
use crate::look;
use crate::observed::Half;
use crate::table::Life;
use crate::want::Wanted;

/// Of a person's certificate.
pub(super) const PERSON: &str = "make a new kubeconfig: `kmh-pki kubeconfig`";
/// Of what is damaged.
pub(super) const RESTORE: &str = "restore it from a backup";
/// Of a CA that is not kmh-pki's.
pub(super) const FOREIGN: &str = "nothing need be done: it is as its maker wanted it, and programs take it";
/// Of a CA that has not begun.
pub(super) const CLOCK: &str = "is the clock of this machine right?";

/// How a CA is replaced.
pub(super) fn rotate(name: &str) -> String {
    let generation = Generation::of(name);
    let name = name.strip_suffix(generation.ending()).unwrap_or(name);
    match name.rsplit('/').next().unwrap_or(name) {
        "root" => look::ROOT_STAYS.to_owned(),
        short => format!("`kmh-pki rotate {short}` makes a new CA; `ensure` never replaces one"),
    }
}

/// How a leaf is made again.
pub(super) fn again(wanted: &Wanted, all: &Subject<'_>) -> String {
    make(wanted, all, "`kmh-pki ensure` makes it again")
}

fn make(wanted: &Wanted, all: &Subject<'_>, plain: &str) -> String {
    let Some(ca) = &wanted.issuer else { return plain.to_owned() };
    let pair = all.observed.pairs.get(ca);
    let certificate = pair.and_then(|pair| pair.certificate.there());
    let away = pair.is_some_and(|pair| pair.key == Half::Absent);
    match certificate {
        Some(is) if is.not_after <= all.now => format!("its CA has ended: {}", rotate(ca)),
        Some(_) if away && all.observed.waiting.contains_key(&wanted.name) => {
            format!(
                "its request waits for the key of `{ca}`: `kmh-pki import --signed FILE` takes in what was signed"
            )
        }
        Some(_) if away => look::away(ca),
        _ => plain.to_owned(),
    }
}

/// How something that is missing comes back.
pub(super) fn missing(name: &str, all: &Subject<'_>) -> String {
    const MAKE: &str = "`kmh-pki ensure` makes it";
    let lost = |what: &str| format!("{RESTORE}: {what}");
    if let Some(wanted) = all.wants.certificates.get(name) {
        let below = |leaf: &str, facts: &Result<Facts, String>| {
            // What signed itself does so until it is rotated.
            let itself = facts.as_ref().is_ok_and(|facts| facts.issuer == facts.subject);
            let ca = all.wants.certificates.get(leaf).and_then(|leaf| leaf.issuer.as_deref());
            ca == Some(name) && !itself
        };
        if wanted.life == Life::Authority && all.found.iter().any(|(leaf, facts)| below(leaf, facts)) {
            return lost("with a new CA in its place no machine would trust another");
        }
        return make(wanted, all, MAKE);
    }
    // A store that holds more than CAs had these keys: what they signed or encrypted is lost with them.
    let used = all.found.keys().any(|name| !name.starts_with("ca/"));
    match all.wants.keys.get(name).map(|key| key.class) {
        Some(KeyClass::Encryption) if used => lost("without it nobody can read the secrets in etcd"),
        Some(KeyClass::ServiceAccount) if used => lost("without it every service-account token is void"),
        _ => MAKE.to_owned(),
    }
}
