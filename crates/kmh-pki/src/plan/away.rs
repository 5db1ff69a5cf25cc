//! Certificates whose keys are on their machines: the store holds NAME.crt and the request NAME.csr, and no NAME.key.

use time::OffsetDateTime;

use super::{Authority, Make, Plan, Reason, Refusal, Step, reasons, step};
use crate::cert::Certificate;
use crate::observed::{Half, Pair};
use crate::want::Wanted;

/// Whether its key is on its machine. While a request takes the place of a key that the store held, a kill leaves that
/// key behind.
pub(super) fn is(pair: &Pair, pending: bool) -> bool {
    pair.request != Half::Absent && (pair.key == Half::Absent || pending)
}

/// What has to be done to it.
///
/// A new key cannot be made here, but the same request can be signed again: with the names that the inventory has by now,
/// because a request proves no more than that somebody holds the key.
pub(super) fn judge(
    wanted: &Wanted,
    pair: &Pair,
    authority: &Authority<'_>,
    pending: bool,
    now: OffsetDateTime,
    plan: &mut Plan,
) -> Option<Step> {
    let name = &wanted.name;
    let mut refuse = |ending: &str, what: String| {
        plan.refusals.push(Refusal {
            name: format!("{name}.{ending}"),
            what,
            hint: format!(
                "sign a request of the machine with `kmh-pki sign --csr FILE --as {name}`, or remove `{name}.crt` and `{name}.csr` to have a pair made here"
            ),
        });
        None
    };
    let request = match &pair.request {
        Half::Absent => return None,
        Half::Damaged(why) => return refuse("csr", format!("the request of `{name}` is damaged: {why}")),
        Half::There(request) => request,
    };
    if !request.is_of(wanted) || !request.defects_as(wanted.life).is_empty() {
        return refuse("csr", format!("the request of `{name}` is none for it"));
    }
    let reasons = match &pair.certificate {
        _ if pending => vec![Reason::Interrupted],
        Half::Absent => vec![Reason::Missing],
        Half::Damaged(why) => return refuse("crt", format!("certificate `{name}` is damaged: {why}")),
        Half::There(certificate) if certificate.public != request.public => {
            return refuse("csr", format!("the request of `{name}` is of another key than its certificate"));
        }
        Half::There(certificate) => {
            let mut reasons = reasons(wanted, certificate, authority, now);
            // Another key is not to be had here.
            reasons.retain(|reason| !matches!(reason, Reason::Algorithm { .. }));
            reasons
        }
    };
    let algorithm = wanted.algorithm;
    if request.algorithm != algorithm.as_str() {
        plan.warnings.push(format!(
            "the key of `{name}` is {}, and the inventory wants {algorithm}: it is on its machine, so make a new one there and sign its request",
            request.algorithm
        ));
    }
    (!reasons.is_empty()).then(|| Step { reasons, ..step(wanted, Make::Again, Reason::Missing) })
}

/// Why a certificate cannot stay as it is, signed by that CA; empty when it can.
pub fn standing(wanted: &Wanted, is: &Certificate, ca: &Certificate, now: OffsetDateTime) -> Vec<Reason> {
    reasons(wanted, is, &Authority::Can(ca), now)
}
