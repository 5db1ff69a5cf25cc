//! Whether certificates are valid now, for how long, and not longer than their CA.
//!
//! Messages name days, never "in 12 days": a second run on the same day gives the same document.

use kmh_cert::chain::outlives;
use kmh_cert::facts::{day, rfc3339};
use kmh_doc::pki::Generation;
use time::{Duration, OffsetDateTime};

use super::expect;
use crate::documents::Pki;
use crate::findings::Findings;

/// A leaf is reported when less than a month of its life is left, or a third where that is less.
const LEAF: Duration = Duration::days(30);
/// A CA is reported half a year ahead: certificates must not outlive it, so they get shorter and shorter.
const CA: Duration = Duration::days(180);
/// Machines without a clock of their own start in the past (a Raspberry Pi): certificates are dated back this much.
const BACKDATED: Duration = Duration::minutes(5);

/// `pki.dates`: valid now, and not beyond the CA.
pub(crate) fn dates(pki: &Pki<'_>, now: OffsetDateTime, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        if !out.look_at_any(entry.machine.as_deref()) {
            continue;
        }
        let subject = &entry.name;
        if facts.not_after <= facts.not_before {
            out.critical(subject, "it ends before it begins", "run `kmh-pki ensure` again");
        } else if now > facts.not_after && entry.generation() == Generation::Old {
            let hint = "end its rotation with `kmh-pki rotate`: nothing that it signed is taken any more";
            out.warning(subject, format!("it expired at {}", rfc3339(facts.not_after)), hint);
        } else if now > facts.not_after {
            let hint = "run `kmh-pki ensure`, then make the bundle and push it again";
            out.critical(subject, format!("it expired at {}", rfc3339(facts.not_after)), hint);
        } else if now < facts.not_before {
            let hint = "set this machine's clock, or issue it again";
            out.critical(subject, format!("it is not valid before {}", rfc3339(facts.not_before)), hint);
        } else if now < facts.not_before + BACKDATED {
            let hint = "date it back by five minutes: machines whose clock is behind refuse it";
            out.warning(subject, format!("it is valid only since {}", rfc3339(facts.not_before)), hint);
        }
        let issuer = entry.issuer.as_deref().and_then(|name| pki.named(name));
        if let Some(complaint) = issuer.and_then(|(ca, issuer)| outlives(facts, issuer, &ca.name)) {
            let hint = "issue it again with a shorter life, or renew the CA first";
            out.critical(subject, complaint.message, hint);
        }
    }
}

/// `pki.expiry`: what ends soon.
pub(crate) fn expiry(pki: &Pki<'_>, now: OffsetDateTime, out: &mut Findings<'_>) {
    for (entry, facts) in pki.certificates() {
        if !out.look_at_any(entry.machine.as_deref()) || now > facts.not_after {
            continue;
        }
        if entry.generation() == Generation::Old {
            continue; // it is on its way out
        }
        let life = facts.not_after - facts.not_before;
        let ahead = if expect::row(entry.class).is_ca() { CA } else { LEAF }.min(life / 3);
        if facts.not_after - now < ahead {
            out.warning(
                &entry.name,
                format!("it ends on {}", day(facts.not_after)),
                "run `kmh-pki ensure`, then make the bundle and push it again",
            );
        }
    }
}
