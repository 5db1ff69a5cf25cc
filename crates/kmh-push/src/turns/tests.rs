//! Who has a turn when, and who is asked first.

use super::*;
use crate::testing;

/// A machine whose units can be asked whether they serve.
fn machine(name: &str, units: &[&str]) -> Wanted {
    let mut machine = testing::machine(name, vec![], units);
    machine.units.iter_mut().for_each(|unit| unit.ready = vec!["true".to_owned()]);
    machine
}

fn turn(pending: bool) -> Turn {
    Turn { units: vec!["etcd.service".into()], pending }
}

fn word(job: Option<Job<'_>>) -> String {
    match job {
        Some(Job::Ask(machine)) => format!("ask {}", machine.name),
        Some(Job::Serves(machine, units)) => {
            let units: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
            format!("does {} serve: {}", machine.name, units.join(" "))
        }
        Some(Job::Turn(machine)) => format!("turn {}", machine.name),
        Some(Job::Leave(machine, trouble)) => format!("leave {}: {}", machine.name, trouble.message),
        None => "none".into(),
    }
}

fn everybody_serves(turns: &Turns<'_>, machines: &[&Wanted]) {
    for machine in machines {
        assert_eq!(word(turns.next()), format!("does {} serve: etcd.service", machine.name));
    }
    for machine in machines {
        turns.answered(machine, Down::new());
    }
}

#[test]
fn a_majority_is_left() {
    // One or two members: there is no other way than to stop one.
    for (all, down, may) in [
        (1, 0, true),
        (2, 0, true),
        (2, 1, false),
        (3, 0, true),
        (3, 1, false),
        (4, 0, true),
        (4, 1, false),
        (5, 1, true),
        (5, 2, false),
        (7, 2, true),
        (7, 3, false),
    ] {
        assert_eq!(may_stop(all, down), may, "{down} of {all}");
    }
}

#[test]
fn turns_come_one_after_another_when_all_have_been_asked() {
    let machines = ["w-1", "m-1", "m-2", "m-3"]
        .map(|name| machine(name, if name.starts_with('m') { &["etcd.service"] } else { &[] }));
    let members = members(&machines);
    assert_eq!(members["etcd.service"], 3);
    let wave: Vec<&Wanted> = machines.iter().collect();
    let turns = Turns::new(&wave, &members);
    for name in ["m-1", "m-2", "m-3"] {
        assert_eq!(word(turns.next()), format!("ask {name}"));
    }
    turns.waits(wave[3], turn(true));
    turns.waits(wave[1], turn(false));
    assert_eq!(word(turns.next()), "ask w-1");
    turns.waits(wave[2], turn(false));
    everybody_serves(&turns, &wave[1..]);
    // What was left undone comes first.
    assert_eq!(word(turns.next()), "turn m-3");
    turns.had(wave[3], false, &[]);
    assert_eq!(word(turns.next()), "turn m-1");
    turns.done(wave[0], &[]);
    turns.had(wave[1], true, &["etcd.service".into()]);
    assert_eq!(word(turns.next()), "leave m-2: not touched: `m-1`, whose turn came before, failed");
    assert_eq!(word(turns.next()), "none");
}

#[test]
fn who_does_not_serve_counts() {
    let machines = ["a", "b", "c"].map(|name| machine(name, &["etcd.service"]));
    let members = members(&machines);
    let wave: Vec<&Wanted> = machines.iter().collect();
    let turns = Turns::new(&wave, &members);
    for _ in 0..3 {
        turns.next();
    }
    turns.done(wave[1], &["etcd.service".into()]);
    turns.waits(wave[0], turn(false));
    turns.done(wave[2], &[]);
    everybody_serves(&turns, &[wave[0], wave[2]]);
    assert_eq!(
        word(turns.next()),
        "leave a: not touched: `etcd.service` is needed on most of 3 machines, and does not serve on `b`"
    );
    assert_eq!(word(turns.next()), "none");
}
#[test]
fn who_runs_and_does_not_serve_comes_first_and_nobody_before_it_serves() {
    let machines = ["a", "b", "c"].map(|name| machine(name, &["etcd.service", "kube-apiserver.service"]));
    let members = members(&machines);
    let wave: Vec<&Wanted> = machines.iter().collect();
    let hung = || Down::from([("etcd.service".to_owned(), Some("no leader".to_owned()))]);
    let begin = |waiting: &[usize]| {
        let turns = Turns::new(&wave, &members);
        for (place, machine) in wave.iter().enumerate() {
            turns.next();
            if waiting.contains(&place) {
                turns.waits(machine, turn(false));
            } else {
                turns.done(machine, &[]);
            }
        }
        // Only what somebody waits to restart is asked about.
        for name in ["a", "b", "c"] {
            assert_eq!(word(turns.next()), format!("does {name} serve: etcd.service"));
        }
        for (place, down) in [Down::new(), Down::new(), hung()].into_iter().enumerate() {
            turns.answered(wave[place], down);
        }
        turns
    };
    let turns = begin(&[0, 1, 2]);
    assert_eq!(word(turns.next()), "turn c");
    turns.had(wave[2], false, &[]);
    assert_eq!(word(turns.next()), "turn a");
    turns.had(wave[0], false, &[]);
    assert_eq!(word(turns.next()), "turn b");

    let turns = begin(&[0, 1]);
    for name in ["a", "b"] {
        let why = "`etcd.service` is needed on most of 3 machines, and does not serve on `c` (no leader)";
        assert_eq!(word(turns.next()), format!("leave {name}: not touched: {why}"));
    }
    assert_eq!(word(turns.next()), "none");
}

/// Everybody has been looked at: these need a turn, of these etcd does not run, and the others are done.
fn looked_at<'a>(
    wave: &[&'a Wanted],
    members: &'a BTreeMap<String, usize>,
    waiting: &[(&str, Turn)],
    down: &[&str],
) -> Turns<'a> {
    let turns = Turns::new(wave, members);
    for machine in wave {
        turns.next();
        match waiting.iter().find(|(name, _)| *name == machine.name) {
            Some((_, turn)) => turns.waits(machine, turn.clone()),
            None if down.contains(&machine.name.as_str()) => {
                turns.done(machine, &["etcd.service".into()]);
            }
            None => turns.done(machine, &[]),
        }
    }
    turns
}

/// That machine is asked next about those units, and answers that these of them do not serve.
fn answers(turns: &Turns<'_>, machine: &Wanted, asked: &str, silent: &[&str]) {
    assert_eq!(word(turns.next()), format!("does {} serve: {asked}", machine.name));
    turns.answered(machine, silent.iter().map(|unit| ((*unit).to_owned(), None)).collect());
}

#[test]
fn who_did_not_serve_is_asked_again_after_a_turn() {
    let machines = ["a", "b", "c"].map(|name| machine(name, &["etcd.service"]));
    let count = members(&machines);
    let wave: Vec<&Wanted> = machines.iter().collect();
    for back in [true, false] {
        // `a` hangs, so that `c` is without a majority.
        let turns = looked_at(&wave, &count, &[("a", turn(false)), ("c", turn(false))], &["b"]);
        answers(&turns, wave[0], "etcd.service", &["etcd.service"]);
        answers(&turns, wave[2], "etcd.service", &["etcd.service"]);
        assert_eq!(word(turns.next()), "turn a");
        turns.had(wave[0], false, &[]);
        answers(&turns, wave[2], "etcd.service", if back { &[] } else { &["etcd.service"] });
        let why = "not touched: `etcd.service` is needed on most of 3 machines, and does not serve on `b`";
        let then = if back { format!("leave c: {why}") } else { "turn c".to_owned() };
        assert_eq!(word(turns.next()), then);
    }

    // What is restarted of `c` is not all that did not serve there.
    let machines = ["a", "b", "c"].map(|name| machine(name, &["etcd.service", "kube-apiserver.service"]));
    let count = members(&machines);
    let wave: Vec<&Wanted> = machines.iter().collect();
    let both = Turn { units: vec!["etcd.service".into(), "kube-apiserver.service".into()], pending: false };
    let waiting = [("a", both.clone()), ("b", both), ("c", turn(true))];
    for back in [true, false] {
        let turns = looked_at(&wave, &count, &waiting, &[]);
        let all = "etcd.service kube-apiserver.service";
        answers(&turns, wave[0], all, &[]);
        answers(&turns, wave[1], all, &[]);
        answers(&turns, wave[2], all, &["etcd.service", "kube-apiserver.service"]);
        assert_eq!(word(turns.next()), "turn c");
        turns.had(wave[2], false, &[]);
        let unit = "kube-apiserver.service";
        answers(&turns, wave[2], unit, if back { &[] } else { &["kube-apiserver.service"] });
        let why = format!("not touched: `{unit}` is needed on most of 3 machines, and does not serve on `c`");
        let then = if back { "turn a".to_owned() } else { format!("leave a: {why}") };
        assert_eq!(word(turns.next()), then);
    }
}

#[test]
fn a_failure_ends_the_turns_and_the_next_push_begins_with_who_does_not_serve() {
    let machines = ["a", "b", "c"].map(|name| machine(name, &["etcd.service"]));
    let members = members(&machines);
    let wave: Vec<&Wanted> = machines.iter().collect();
    // `c` hangs; `a` is without a majority, and cannot serve alone. What failed there would fail here too, if it is the
    // question that is wrong.
    for silent in [&["etcd.service"][..], &[]] {
        let turns = looked_at(&wave, &members, &[("a", turn(false)), ("c", turn(false))], &["b"]);
        answers(&turns, wave[0], "etcd.service", &["etcd.service"]);
        answers(&turns, wave[2], "etcd.service", &["etcd.service"]);
        assert_eq!(word(turns.next()), "turn a");
        turns.had(wave[0], true, &["etcd.service".into()]);
        answers(&turns, wave[2], "etcd.service", silent);
        let Some(Job::Leave(_, trouble)) = turns.next() else { panic!("it has a turn") };
        assert_eq!(trouble.message, "not touched: `a`, whose turn came before, failed");
        assert_eq!(
            trouble.hint.as_deref(),
            Some(
                "put `a` right, and push again: what is done there is left alone; `--limit c` pushes to this one all the same"
            )
        );
    }

    // The next push: it is the only one left to be asked, and not alone.
    let turns = looked_at(&wave, &members, &[("c", turn(false))], &["a", "b"]);
    answers(&turns, wave[2], "etcd.service", &["etcd.service"]);
    assert_eq!(word(turns.next()), "turn c");
}

#[test]
fn who_may_not_have_a_turn_yet_lets_others_pass() {
    let machines = ["a", "b", "c", "d", "e"].map(|name| machine(name, &["etcd.service"]));
    let wave: Vec<&Wanted> = machines.iter().collect();
    let three = members(&machines[..3]);
    let turns = looked_at(&wave[..3], &three, &[("a", turn(true)), ("c", turn(false))], &[]);
    for (machine, silent) in wave.iter().zip([&[][..], &[], &["etcd.service"]]) {
        answers(&turns, machine, "etcd.service", silent);
    }
    assert_eq!(word(turns.next()), "turn c");
    turns.had(wave[2], false, &[]);
    assert_eq!(word(turns.next()), "turn a");

    let five = members(&machines);
    let waiting = [("a", turn(true)), ("d", turn(false)), ("e", turn(false))];
    let turns = looked_at(&wave, &five, &waiting, &[]);
    for (machine, silent) in wave.iter().zip([&[][..], &[], &[], &["etcd.service"], &["etcd.service"]]) {
        answers(&turns, machine, "etcd.service", silent);
    }
    assert_eq!(word(turns.next()), "turn d");
    turns.had(wave[3], false, &[]);
    answers(&turns, wave[4], "etcd.service", &["etcd.service"]);
    // By now `a` may, too.
    assert_eq!(word(turns.next()), "turn e");
    turns.had(wave[4], false, &[]);
    assert_eq!(word(turns.next()), "turn a");

    // Of `a` only a part does not serve, and the other part is needed as long as `c` hangs.
    let names = ["etcd.service", "kube-apiserver.service"];
    let machines = ["a", "b", "c"].map(|name| machine(name, &names));
    let members = members(&machines);
    let wave: Vec<&Wanted> = machines.iter().collect();
    let both = || Turn { units: names.map(str::to_owned).to_vec(), pending: false };
    let turns = looked_at(&wave, &members, &[("a", both()), ("c", both())], &[]);
    for (machine, silent) in wave.iter().zip([&names[1..], &[], &names]) {
        answers(&turns, machine, &names.join(" "), silent);
    }
    assert_eq!(word(turns.next()), "turn c");
    turns.had(wave[2], false, &[]);
    answers(&turns, wave[0], names[1], &names[1..]);
    assert_eq!(word(turns.next()), "turn a");
}

#[test]
fn who_is_alone_is_not_asked() {
    let machines = ["a", "b"].map(|name| machine(name, &["etcd.service"]));
    let members = members(&machines);
    let turns = Turns::new(&[&machines[0]], &members);
    turns.next();
    turns.waits(&machines[0], turn(false));
    assert_eq!(word(turns.next()), "turn a");
}
