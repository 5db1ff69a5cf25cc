//! Doubt about the clock, from what the store says. Pure.

use kmh_cli::Failure;
use time::OffsetDateTime;

use crate::cert::date;
use crate::observed::Observed;
use crate::table::Life;
use crate::want::Wants;

/// Refuses when every certificate that a CA of the store signed has ended, which is what a store looks like to a clock that
/// is a year ahead. What would be made then would begin in a year, and no machine would take it today; a person who knows
/// that nobody looked for so long says so.
///
/// A clock that is behind needs no such question: a CA that has not begun signs nothing.
pub fn doubt(wants: &Wants, observed: &Observed, now: OffsetDateTime) -> Option<Failure> {
    let leaves = wants.certificates.values().filter(|wanted| wanted.life != Life::Authority);
    let ends: Vec<_> = leaves
        .filter_map(|wanted| Some(observed.pairs.get(&wanted.name)?.certificate.there()?.not_after))
        .collect();
    let last = *ends.iter().max()?;
    (now >= last).then(|| {
        Failure::world(format!(
            "all {} certificates of the store have ended, the last on {}",
            ends.len(),
            date(last)
        ))
        .because(format!("the clock of this machine says {}", date(now)))
        .hint("if it is ahead, set it; if it is right, `--expired` makes them again")
    })
}
