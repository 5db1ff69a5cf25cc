//! Keys without a certificate: what is lost with them decides whether another may be made.

use std::collections::BTreeMap;

use kmh_doc::pki::{Generation, KeyClass};

use super::{Authority, Make, Plan, RESTORE, Refusal, Step, other_algorithm};
use crate::observed::{Half, Observed};
use crate::reason::Reason;
use crate::want::WantedKey;

pub(super) fn judge(
    wanted: &WantedKey,
    observed: &Observed,
    states: &BTreeMap<&str, Authority<'_>>,
    plan: &mut Plan,
) {
    let name = &wanted.name;
    let pending = observed.pending.contains(name);
    // What was signed or encrypted with a key is lost with it. A password is only compared with itself: a new one goes
    // to both ends with the next push, so a site or a tunnel gets one whenever there is none.
    let loss = match wanted.class {
        KeyClass::Encryption => Some("without it nobody can read the secrets in etcd"),
        KeyClass::ServiceAccount => Some("without it every service-account token is void"),
        KeyClass::BgpPassword | KeyClass::TunnelPsk => None,
    };
    let what = match observed.keys.get(name) {
        Some(Half::There(bare)) => {
            let current = Generation::of(name) == Generation::Current;
            if let Some(is) = bare.algorithm().filter(|is| is != wanted.algorithm && current) {
                plan.warnings.push(other_algorithm("key", name, &is, wanted.algorithm));
            }
            return;
        }
        Some(Half::Damaged(why)) => format!("key `{name}` is damaged: {why}"),
        // These keys are made by the first run. Where a CA is in use, this one was there: CAs from elsewhere in a new
        // store have signed nothing yet.
        Some(Half::Absent) | None
            if loss.is_some()
                && !pending
                && states.values().any(|state| !matches!(state, Authority::Planned))
                && is_in_use(observed, states) =>
        {
            format!("key `{name}` is missing")
        }
        Some(Half::Absent) | None => {
            let reason = if pending { Reason::Interrupted } else { Reason::Missing };
            plan.steps.push(Step { name: name.clone(), make: Make::Key, reasons: vec![reason] });
            return;
        }
    };
    let hint = match loss {
        Some(loss) => format!("{RESTORE}: {loss}"),
        None => format!("{RESTORE}, or remove `{name}.key` to have a new one made"),
    };
    plan.refusals.push(Refusal { name: format!("{name}.key"), what, hint });
}

/// Whether the store holds more than CAs, or all CAs and a key of one: a new store lacks those that are not from
/// elsewhere, and one that has lost everything else does not.
fn is_in_use(observed: &Observed, states: &BTreeMap<&str, Authority<'_>>) -> bool {
    observed.pairs.keys().chain(&observed.leftover).any(|name| !name.starts_with("ca/"))
        || observed.keys.values().any(|key| *key != Half::Absent)
        || (observed.pairs.values().any(|pair| pair.key != Half::Absent)
            && !states.values().any(|state| matches!(state, Authority::Planned)))
}
