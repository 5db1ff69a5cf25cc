//! How long something stays broken: until it has shown all that was said of it. Pure: told the time and who answers.

use std::time::Duration;

use kmh_doc::network::NetworkSpec;

use super::QUIET;
use super::pairs::Predicted;

/// How much longer than predicted something is broken: what comes back later is late, and not lost.
const MORE: Duration = Duration::from_secs(6);
/// Until the news of a session's end has reached everybody.
const SPREAD: Duration = Duration::from_secs(1);
/// So many times as long as it takes at least, when something is not as said.
const MOST: u32 = 3;

/// A stream as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It answers.
    Answers,
    /// It does not.
    Silent,
    /// It never has: nothing can be learned from it, whatever was said.
    Dead,
}

/// The longest that anybody believes a neighbour who has fallen silent.
pub(super) fn longest_hold(network: &NetworkSpec) -> Duration {
    let holds = network.routers.iter().flat_map(|router| &router.sessions).map(|session| session.hold);
    Duration::from_secs(holds.max().unwrap_or(0).into())
}

/// Decides.
pub(super) struct Patience<'s> {
    said: &'s [Predicted],
    /// So long something is broken at least. What is lost, or against the prediction is, may be so only when a hold time
    /// ends: until then whoever heard the routes believes them.
    pub(super) least: Duration,
    /// Since when everything is as said.
    since: Option<Duration>,
}

impl<'s> Patience<'s> {
    /// For streams of which that was said, in a network in which nobody is believed for longer.
    pub(super) fn new(said: &'s [Predicted], hold: Duration) -> Self {
        let longest = said.iter().map(Predicted::longest).max().unwrap_or(0);
        let least = (Duration::from_millis(longest.into()) + MORE).max(hold + SPREAD);
        Self { said, least, since: None }
    }

    /// Whether it is time to mend, so long after it broke.
    pub(super) fn is_over(&mut self, elapsed: Duration, life: impl Fn(usize) -> Life) -> bool {
        let as_said = self.said.iter().enumerate().all(|(number, said)| match (said, life(number)) {
            (_, Life::Dead) => true,
            (Predicted::Lost, life) => life == Life::Silent,
            (Predicted::AsBefore | Predicted::Moved { .. }, life) => life == Life::Answers,
        });
        self.since = as_said.then(|| self.since.unwrap_or(elapsed));
        let is_shown = self.since.is_some_and(|since| elapsed.saturating_sub(since) >= QUIET);
        elapsed >= self.least && (is_shown || elapsed >= self.least * MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(9);

    fn moved(to: u32, part: bool) -> Predicted {
        Predicted::Moved { outage_ms: [0, to], part, gateway: false }
    }

    /// After how many milliseconds it is mended, asked ten times a second.
    fn mended(said: &[Predicted], hold: Duration, life: impl Fn(usize, u64) -> Life) -> u64 {
        let mut patience = Patience::new(said, hold);
        let mut times = (0..10_000).map(|tenths| tenths * 100);
        let over = times.find(|ms| patience.is_over(Duration::from_millis(*ms), |number| life(number, *ms)));
        over.expect("an end")
    }

    fn answers(_: usize, _: u64) -> Life {
        Life::Answers
    }

    /// Silent from then on.
    fn dies(then: u64) -> impl Fn(usize, u64) -> Life {
        move |_, ms| if ms < then { Life::Answers } else { Life::Silent }
    }

    /// Silent until then.
    fn returns(then: u64) -> impl Fn(usize, u64) -> Life {
        move |_, ms| if ms < then { Life::Silent } else { Life::Answers }
    }

    #[test]
    fn what_is_lost_is_waited_for_as_long_as_a_hold_time_lasts() {
        let lost = [Predicted::Lost];
        // At once; and between two nodes of one site that go on by the routes of a router that is dead.
        assert_eq!(mended(&lost, HOLD, dies(100)), 10_000);
        assert_eq!(mended(&lost, HOLD, dies(9000)), 11_000);
        assert_eq!(mended(&lost, HOLD, dies(13_000)), 15_000);
        assert_eq!(mended(&lost, Duration::from_secs(180), dies(180_000)), 182_000);
        // A prediction that is wrong ends too.
        assert_eq!(mended(&lost, HOLD, answers), 30_000);
        // What is said to stay may be lost as late, against the prediction.
        assert_eq!(mended(&[Predicted::AsBefore], HOLD, answers), 10_000);
        assert_eq!(mended(&[Predicted::AsBefore], HOLD, dies(9000)), 30_000);
    }

    #[test]
    fn what_moves_has_time_to_come_back_late() {
        assert_eq!(mended(&[moved(9500, false)], HOLD, returns(8000)), 15_500);
        assert_eq!(mended(&[moved(9500, false)], HOLD, returns(15_000)), 17_000);
        assert_eq!(mended(&[moved(3500, false)], Duration::ZERO, returns(200_000)), 28_500);
        // Of equal routes the other one may have it.
        assert_eq!(mended(&[moved(9500, true)], HOLD, answers), 15_500);
    }

    #[test]
    fn a_moment_is_no_state_and_who_never_answered_is_not_waited_for() {
        let blinks = |_, ms| if ms == 9000 || ms == 10_900 { Life::Answers } else { Life::Silent };
        assert_eq!(mended(&[Predicted::Lost], HOLD, blinks), 13_000);
        for said in [Predicted::Lost, Predicted::AsBefore, moved(1000, false)] {
            assert_eq!(mended(&[said], HOLD, |_, _| Life::Dead), 10_000);
        }
        let one_dead = |number, ms| if number == 0 { Life::Dead } else { dies(9000)(number, ms) };
        assert_eq!(mended(&[Predicted::AsBefore, Predicted::Lost], HOLD, one_dead), 11_000);
        assert_eq!(mended(&[], Duration::ZERO, answers), 6000);
    }
}
