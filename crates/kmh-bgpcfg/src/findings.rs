//! What a person should know about the network, as far as the inventory alone says it. Notes say what a choice means;
//! errors will not work. What follows from the predicted routes is found elsewhere.

mod calico;
mod choices;
mod cuts;
mod sites;
mod tunnels;

use std::collections::{BTreeMap, BTreeSet};

use kmh_doc::network::{Finding, FindingLevel, Tunnel};

use crate::PlanError;
use crate::ground::Index;

/// How many names a finding lists.
const NAMES_SHOWN: usize = 6;

/// All findings, the worst first, then by name and subject.
pub(crate) fn findings(
    index: &Index<'_>,
    tunnels: &[Tunnel],
    pod_mtu: u16,
) -> Result<Vec<Finding>, PlanError> {
    let mut all = Vec::new();
    sites::find(index, &mut all);
    tunnels::find(index, tunnels, pod_mtu, &mut all)?;
    cuts::find(index, &mut all);
    choices::find(index, &mut all);
    calico::find(index, &mut all);
    let mut all = gather(all);
    all.sort_by(|a, b| (b.level, &a.id, &a.subject).cmp(&(a.level, &b.id, &b.subject)));
    Ok(all)
}

/// One finding for all subjects of which the same is said: fifty sites with one line each are one thing to know.
fn gather(all: Vec<Finding>) -> Vec<Finding> {
    let mut alike: BTreeMap<(FindingLevel, String, String, Option<String>), BTreeSet<String>> =
        BTreeMap::new();
    for one in all {
        alike.entry((one.level, one.id, one.message, one.hint)).or_default().insert(one.subject);
    }
    let one = |((level, id, message, hint), subjects): ((_, String, String, _), BTreeSet<String>)| Finding {
        id,
        level,
        subject: list(&subjects),
        message,
        hint,
    };
    alike.into_iter().map(one).collect()
}

/// `a, b and c`; of many the first only.
fn list(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, first)) if names.len() <= NAMES_SHOWN => format!("{} and {last}", first.join(", ")),
        Some(_) => {
            let (shown, more) = names.split_at(NAMES_SHOWN);
            format!("{} and {} more", shown.join(", "), more.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn lists_of_names() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for (many, said) in [
            (0, ""),
            (1, "a"),
            (2, "a and b"),
            (3, "a, b and c"),
            (6, "a, b, c, d, e and f"),
            (8, "a, b, c, d, e, f and 2 more"),
        ] {
            assert_eq!(list(&names[..many].iter().map(|name| (*name).to_owned()).collect()), said);
        }
    }
}
