//! The verbs on a lab that is up.

use kmh_cli::{Answer, Context, Failure, Format};

use crate::args::Verb;
use crate::{capture, measure, probe, trace, weather};

/// Runs the verb; none when it is none of these.
pub(crate) fn run(
    verb: &Verb,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Option<Result<Answer, Failure>> {
    Some(match verb {
        Verb::Ping(args) => probe::ping::run(args, lab, context, format),
        Verb::Trace(args) => trace::run(args, lab, context, format),
        Verb::Capture(args) => capture::run(args, lab, context, format),
        Verb::Cut(args) => weather::cut(args, lab, context, format),
        Verb::Heal(args) => weather::heal(args, lab, context, format),
        Verb::Slow(args) => weather::slow(args, lab, context, format),
        Verb::Kill(args) => weather::kill(args, lab, context, format),
        Verb::Measure(args) => measure::run(args, lab, context, format),
        _ => return None,
    })
}
