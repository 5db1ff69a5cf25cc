//! Sites whose loss parts the others: the hub, or the middle of a chain.

use std::collections::BTreeMap;

use kmh_doc::network::Finding;

use crate::ground::Index;

pub(crate) fn find(index: &Index<'_>, all: &mut Vec<Finding>) {
    let names: Vec<&str> = index.model.sites.keys().map(kmh_doc::Label::as_str).collect();
    let number: BTreeMap<&str, usize> = names.iter().enumerate().map(|(n, name)| (*name, n)).collect();
    let site = |end: &kmh_model::TunnelEnd| {
        number.get(index.router(end.router.as_str()).ok()?.site.as_str()).copied()
    };
    let mut beside = vec![Vec::new(); names.len()];
    for tunnel in &index.model.tunnels {
        let (Some(a), Some(b)) = (site(&tunnel.ends[0]), site(&tunnel.ends[1])) else { continue };
        if a != b {
            beside[a].push(b);
            beside[b].push(a);
        }
    }
    for (name, cuts) in names.iter().zip(articulations(&beside)) {
        if cuts {
            all.push(Finding::note(
                "single-transit-site",
                name,
                "other sites reach each other through it only; without it they are apart".to_owned(),
                "`tunnels: {shape: mesh}` joins them directly, where they can be reached",
            ));
        }
    }
}

/// A place on the way of the search.
struct Step {
    here: usize,
    /// How many of its neighbours have been looked at.
    looked: usize,
    /// Neighbours that were first reached from here.
    children: usize,
}

/// Which of the places part a graph when they are taken away (Hopcroft and Tarjan 1973), in time of its edges.
fn articulations(beside: &[Vec<usize>]) -> Vec<bool> {
    let mut cuts = vec![false; beside.len()];
    // When a place was found, from 1 on, and the earliest place to which a way leads back from behind it.
    let (mut found, mut back, mut time) = (vec![0_usize; beside.len()], vec![0_usize; beside.len()], 0);
    for root in 0..beside.len() {
        if found[root] != 0 {
            continue;
        }
        time += 1;
        (found[root], back[root]) = (time, time);
        let mut way = vec![Step { here: root, looked: 0, children: 0 }];
        while let Some(step) = way.last_mut() {
            let here = step.here;
            if let Some(next) = beside[here].get(step.looked).copied() {
                step.looked += 1;
                if found[next] != 0 {
                    // Also when it is the one before: two tunnels between the same sites are still one neighbour.
                    back[here] = back[here].min(found[next]);
                    continue;
                }
                step.children += 1;
                time += 1;
                (found[next], back[next]) = (time, time);
                way.push(Step { here: next, looked: 0, children: 0 });
                continue;
            }
            let children = step.children;
            way.pop();
            match way.last() {
                // The root has no way back and is judged by its children, whatever they said.
                None => cuts[here] = children > 1,
                Some(before) => {
                    let before = before.here;
                    back[before] = back[before].min(back[here]);
                    if back[here] >= found[before] {
                        cuts[before] = true;
                    }
                }
            }
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::articulations;

    /// By trying: a place parts the others when fewer of them reach each other without it.
    fn tried(beside: &[Vec<usize>]) -> Vec<bool> {
        let reach = |start: usize, without: Option<usize>| {
            let (mut seen, mut open) = (vec![false; beside.len()], vec![start]);
            seen[start] = true;
            let mut many = 1;
            while let Some(here) = open.pop() {
                for next in &beside[here] {
                    if Some(*next) != without && !seen[*next] {
                        seen[*next] = true;
                        many += 1;
                        open.push(*next);
                    }
                }
            }
            many
        };
        (0..beside.len())
            .map(|place| {
                beside[place].first().is_some_and(|near| reach(*near, Some(place)) + 1 < reach(*near, None))
            })
            .collect()
    }

    #[test]
    fn as_many_cuts_as_by_trying() {
        // Every graph of five places, each edge once or, in every third, twice.
        let pairs: Vec<(usize, usize)> = (0..5).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
        let mut cut = 0;
        for graph in 0..1_u32 << pairs.len() {
            let mut beside = vec![Vec::new(); 5];
            for (bit, (a, b)) in pairs.iter().enumerate().filter(|(bit, _)| graph >> bit & 1 == 1) {
                for _ in 0..=usize::from(bit % 3 == 0) {
                    beside[*a].push(*b);
                    beside[*b].push(*a);
                }
            }
            assert_eq!(articulations(&beside), tried(&beside), "{beside:?}");
            cut += articulations(&beside).iter().filter(|cuts| **cuts).count();
        }
        assert!(cut > 100, "{cut}");
    }

    #[test]
    fn a_long_chain() {
        let many = 4095;
        let beside: Vec<Vec<usize>> = (0..many)
            .map(|n: usize| n.checked_sub(1).into_iter().chain((n + 1 < many).then_some(n + 1)).collect())
            .collect();
        assert_eq!(articulations(&beside).iter().filter(|cuts| **cuts).count(), many - 2);
    }
}
