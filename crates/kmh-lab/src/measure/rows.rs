//! What was lost beside what was said: rows, a verdict for each, the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kmh_cli::table::Table as Page;
use kmh_route::what_if::{Traffic, What};
use serde::Serialize;

use super::pairs::Predicted;
use crate::probe::stream::PACE_MS;

/// Two questions: the last one that was answered and the first one that is again lie anywhere between them.
const GRAIN_MS: u64 = 2 * PACE_MS;
/// A gateway that moves is there at once in a lab, but whoever has its old place in mind asks again first.
const GATEWAY_MS: u64 = 1000;

/// What was measured of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Measured {
    /// For how long it was lost while something was broken.
    pub lost_ms: u64,
    /// Whether it was lost still when that was mended.
    pub still: bool,
    /// For how long it was lost after that.
    pub healing_ms: u64,
    /// Whether it came back at all.
    pub came_back: bool,
    /// Whether it was there before.
    pub was_there: bool,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// Which traffic.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// What was said: `as before`, `lost`, or `moved` with the milliseconds.
    pub predicted: &'static str,
    /// From and to in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_ms: Option<[u32; 2]>,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
    /// Whether that is what was said.
    pub as_predicted: bool,
}

impl Row {
    /// From what was said and what was measured. Who breaks something in order may be heard sooner than silence is.
    pub(crate) fn new(traffic: Traffic, predicted: &Predicted, measured: Measured, clean: bool) -> Self {
        let (word, range) = match predicted {
            Predicted::AsBefore => ("as before", None),
            Predicted::Lost => ("lost", None),
            Predicted::Moved { outage_ms, .. } => ("moved", Some(*outage_ms)),
        };
        Self {
            traffic,
            predicted: word,
            predicted_ms: range,
            measured,
            as_predicted: holds(predicted, measured, clean),
        }
    }
}

fn holds(predicted: &Predicted, measured: Measured, clean: bool) -> bool {
    let Measured { lost_ms, still, came_back, was_there, .. } = measured;
    was_there
        && came_back
        && match predicted {
            Predicted::AsBefore => !still && lost_ms <= GRAIN_MS,
            Predicted::Lost => still,
            Predicted::Moved { outage_ms: [from, to], part, gateway } => {
                let (from, to) = (u64::from(*from), u64::from(*to));
                let most = to + GRAIN_MS + if *gateway { GATEWAY_MS } else { 0 };
                let spared = *part && lost_ms <= GRAIN_MS;
                !still && lost_ms <= most && (clean || spared || lost_ms + GRAIN_MS >= from)
            }
        }
}

/// Milliseconds as seconds, to a tenth.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}

/// From and to in milliseconds.
type Range = Option<(u64, u64)>;

fn widen(range: &mut Range, ms: u64) {
    let (from, to) = range.unwrap_or((ms, ms));
    *range = Some((from.min(ms), to.max(ms)));
}

fn range(range: Range) -> String {
    let (from, to) = range.unwrap_or_default();
    let (from, to) = (seconds(from), seconds(to));
    if from == to { format!("{from} s") } else { format!("{from} to {to} s") }
}

/// What a line of the page is about, and what was measured of all of it.
#[derive(Default)]
struct Line {
    kinds: BTreeSet<String>,
    lost: Range,
    healing: Range,
    never: bool,
}

fn kind(what: &What) -> &str {
    match what {
        What::Pods => "pods",
        What::Nodes => "nodes",
        What::Service(name) => name,
    }
}

/// The page for people.
pub(crate) fn page(rows: &[Row], not_measured: &[Traffic], what: &str, clean: bool) -> String {
    let how = if clean { "cleanly" } else { "silently" };
    let mut out = format!("{what}, {how}\n\n");
    let is_quiet = |row: &&Row| {
        row.as_predicted
            && row.predicted == "as before"
            && row.measured.lost_ms == 0
            && row.measured.healing_ms <= GRAIN_MS
    };
    let quiet = rows.iter().filter(is_quiet).count();
    // Pods and nodes of both families mostly share their fate: one line for all of whom the same was said and found.
    let mut alike: BTreeMap<[String; 4], Line> = BTreeMap::new();
    let families: BTreeSet<u8> = rows.iter().map(|row| row.traffic.family).collect();
    for row in rows.iter().filter(|row| !is_quiet(row)) {
        let Traffic { from, to, what, family } = &row.traffic;
        let pair = match what {
            What::Service(_) => format!("{from} to services"),
            _ => format!("{from} to {to}"),
        };
        let predicted = match row.predicted_ms {
            Some([from, to]) => range(Some((from.into(), to.into()))),
            None if row.predicted == "lost" => "lost".to_owned(),
            None => "nothing".to_owned(),
        };
        let word = match row.measured {
            Measured { was_there: false, .. } => "dead before",
            Measured { still: true, .. } => "lost",
            Measured { .. } => "",
        };
        let verdict = if row.as_predicted { "yes" } else { "NO" };
        let mut name = kind(what).to_owned();
        if families.len() > 1 && !matches!(what, What::Service(_)) {
            let _ = write!(name, " v{family}");
        }
        let line = alike.entry([pair, predicted, word.to_owned(), verdict.to_owned()]).or_default();
        line.kinds.insert(name);
        widen(&mut line.lost, row.measured.lost_ms);
        if row.measured.came_back {
            widen(&mut line.healing, row.measured.healing_ms);
        } else {
            line.never = true;
        }
    }
    if !alike.is_empty() {
        let mut page =
            Page::new(["TRAFFIC", "WHAT", "PREDICTED", "MEASURED", "HEALED AFTER", "AS PREDICTED"]);
        for ([pair, predicted, word, verdict], line) in &alike {
            let kinds = line.kinds.iter().cloned().collect::<Vec<_>>().join(", ");
            let measured = if word.is_empty() { range(line.lost) } else { word.clone() };
            let healed = if line.never { "never".to_owned() } else { range(line.healing) };
            page.row([pair, &kinds, predicted, &measured, &healed, verdict]);
        }
        let _ = writeln!(out, "{page}");
    }
    if quiet > 0 {
        let _ = writeln!(out, "{quiet} of {} streams lost nothing, as predicted", rows.len());
    }
    let rest: BTreeSet<String> = not_measured
        .iter()
        .map(|one| match one.what {
            What::Service(_) => format!("{} to {}", one.from, kind(&one.what)),
            _ => format!("{} to {} ({})", one.from, one.to, kind(&one.what)),
        })
        .collect();
    if !rest.is_empty() {
        let rest = rest.into_iter().collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "not measured, as nothing there answers: {rest}");
    }
    let wrong = rows.iter().filter(|row| !row.as_predicted).count();
    if wrong > 0 {
        let _ = writeln!(out, "{wrong} of {} streams were not as predicted", rows.len());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(lost_ms: u64, still: bool) -> Measured {
        Measured { lost_ms, still, healing_ms: 0, came_back: true, was_there: true }
    }

    #[test]
    fn a_verdict_is_yes_inside_the_said_seconds_and_nowhere_else() {
        let moved = |part, gateway| Predicted::Moved { outage_ms: [600, 1400], part, gateway };
        let plain = moved(false, false);
        for (predicted, lost_ms, still, clean, expected) in [
            (&Predicted::AsBefore, 0, false, false, true),
            (&Predicted::AsBefore, 200, false, false, true),
            (&Predicted::AsBefore, 300, false, false, false),
            (&Predicted::AsBefore, 9000, true, false, false),
            (&Predicted::Lost, 9000, true, false, true),
            (&Predicted::Lost, 9000, false, false, false),
            (&plain, 300, false, false, false),
            (&plain, 400, false, false, true),
            (&plain, 1600, false, false, true),
            (&plain, 1700, false, false, false),
            (&plain, 1000, true, false, false),
            (&plain, 0, false, true, true),
            (&moved(true, false), 0, false, false, true),
            (&moved(true, false), 300, false, false, false),
            (&moved(false, true), 2600, false, false, true),
            (&moved(false, true), 2700, false, false, false),
        ] {
            assert_eq!(
                holds(predicted, measured(lost_ms, still), clean),
                expected,
                "{predicted:?} {lost_ms} {still} {clean}"
            );
        }
        let never = Measured { came_back: false, ..measured(0, false) };
        let dead = Measured { was_there: false, ..measured(0, false) };
        assert!(!holds(&Predicted::AsBefore, never, false) && !holds(&Predicted::AsBefore, dead, false));
    }

    #[test]
    fn the_page_has_a_line_for_all_that_share_their_fate() {
        let row = |from: &str, to: &str, what, predicted: &Predicted, measured| {
            let traffic = Traffic { from: from.to_owned(), to: to.to_owned(), what, family: 4 };
            Row::new(traffic, predicted, measured, false)
        };
        let moved = Predicted::Moved { outage_ms: [600, 1400], part: false, gateway: false };
        let rows = [
            row("attic", "vps", What::Pods, &moved, measured(900, false)),
            row("attic", "vps", What::Nodes, &moved, measured(850, false)),
            row("vps", "attic", What::Nodes, &moved, measured(3000, false)),
            row("attic", "", What::Service("10.202.0.80".to_owned()), &Predicted::Lost, measured(7000, true)),
            row("attic", "flat", What::Pods, &Predicted::AsBefore, measured(0, false)),
        ];
        let expected = "tunnel/a--b, silently\n\n\
            TRAFFIC            WHAT         PREDICTED     MEASURED      HEALED AFTER  AS PREDICTED\n\
            attic to services  10.202.0.80  lost          lost          0.0 s         yes\n\
            attic to vps       nodes, pods  0.6 to 1.4 s  0.8 to 0.9 s  0.0 s         yes\n\
            vps to attic       nodes        0.6 to 1.4 s  3.0 s         0.0 s         NO\n\n\
            1 of 5 streams lost nothing, as predicted\n\
            1 of 5 streams were not as predicted\n";
        assert_eq!(page(&rows, &[], "tunnel/a--b", false), expected);
    }
}
