use super::*;
use crate::testing;
use kmh_store::wanted::WantedFile;

const SUM: Sum = [7; 32];

fn file(path: &str, changes: &[(&str, UnitAction)]) -> WantedFile {
    testing::file(path, "", changes)
}

fn machine(files: Vec<WantedFile>, units: &[&str]) -> Wanted {
    testing::machine("n", files, units)
}

fn found(sum: Sum, mode: u32, owner: &str) -> Found {
    Found::File { sum, mode, owner: Some(owner.into()) }
}

fn seen(files: &[(&str, Found)], enabled: &[&str]) -> Seen {
    Seen {
        files: files.iter().map(|(path, found)| ((*path).to_owned(), found.clone())).collect(),
        units: enabled.iter().map(|unit| ((*unit).to_owned(), "enabled".to_owned())).collect(),
        root: true,
        systemd: true,
        ..Seen::default()
    }
}

const REAL: Rules = Rules { owners: Owners::Needed, units: true };

#[test]
fn every_reason_to_write() {
    let machine = machine(vec![file("/x", &[])], &[]);
    let reason = |state: Found, rules: Rules| {
        plan(&machine, &[Some(SUM)], &seen(&[("/x", state)], &[]), rules)
            .map(|plan| plan.writes.first().map(|write| write.1))
    };
    assert_eq!(reason(found(SUM, 0o644, "root:root"), REAL), Ok(None));
    assert_eq!(reason(Found::Missing, REAL), Ok(Some(FileReason::Missing)));
    assert_eq!(reason(Found::Link, REAL), Ok(Some(FileReason::Content)));
    assert_eq!(reason(found([0; 32], 0o644, "root:root"), REAL), Ok(Some(FileReason::Content)));
    assert_eq!(reason(found(SUM, 0o600, "root:root"), REAL), Ok(Some(FileReason::Mode)));
    assert_eq!(reason(found(SUM, 0o644, "etcd:etcd"), REAL), Ok(Some(FileReason::Mode)));
    let folder = Rules { owners: Owners::Left, units: false };
    assert_eq!(reason(found(SUM, 0o644, "me:me"), folder), Ok(None));
    assert_eq!(reason(Found::Folder, REAL), Err("`/x` is a folder".into()));
    assert_eq!(reason(Found::Other, REAL), Err("`/x` is neither a file nor a link".into()));
}

#[test]
fn what_cannot_be_known_yet_would_be_written() {
    let machine = machine(vec![file("/x", &[])], &[]);
    let seen = seen(&[("/x", found(SUM, 0o644, "root:root"))], &[]);
    let writes = plan(&machine, &[None], &seen, REAL).unwrap().writes;
    assert_eq!(writes, [(0, FileReason::Content)]);
}

#[test]
fn an_ordinary_login_cannot_give_files_away() {
    let machine = machine(vec![file("/x", &[])], &[]);
    let mut seen = seen(&[("/x", found(SUM, 0o644, "me:me"))], &[]);
    seen.root = false;
    assert!(plan(&machine, &[Some(SUM)], &seen, REAL).unwrap_err().contains("not root"));
    let below = Rules { owners: Owners::Possible, units: false };
    let made = plan(&machine, &[Some(SUM)], &seen, below).unwrap();
    assert_eq!((made.owners, made.writes.len()), (false, 0));
}

fn actions(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{:?} {}", step.action, step.unit)).collect()
}

#[test]
fn units_follow_in_the_order_of_the_bundle() {
    use UnitAction::{Reload, Restart};
    let machine = machine(
        vec![
            file("/etc/a", &[("a.service", Restart), ("systemd-sysctl.service", Restart)]),
            file("/etc/b", &[("b.service", Reload), ("a.service", Reload)]),
            file("/etc/systemd/system/c.service", &[("c.service", Restart)]),
            file("/etc/same", &[("same.service", Restart)]),
        ],
        &["c.service", "b.service", "a.service", "same.service"],
    );
    let mut files: Vec<(&str, Found)> =
        machine.files.iter().map(|file| (file.path.as_str(), Found::Missing)).collect();
    files[3].1 = found(SUM, 0o644, "root:root");
    let made =
        plan(&machine, &[Some(SUM); 4], &seen(&files, &["a.service", "b.service", "same.service"]), REAL)
            .unwrap();
    assert_eq!(
        actions(&made),
        [
            "DaemonReload systemd",
            "Enable c.service",
            "Restart systemd-sysctl.service",
            "Restart c.service",
            "Reload b.service",
            "Restart a.service",
        ]
    );
}

#[test]
fn what_a_cut_off_push_left_is_done() {
    let machine = machine(vec![file("/x", &[])], &["a.service"]);
    let mut seen = seen(&[("/x", found(SUM, 0o644, "root:root"))], &["a.service"]);
    seen.pending = vec![Step { unit: "a.service".into(), action: UnitStep::Restart }];
    let made = plan(&machine, &[Some(SUM)], &seen, REAL).unwrap();
    assert_eq!((made.writes.len(), actions(&made)), (0, vec!["Restart a.service".to_owned()]));
}

#[test]
fn without_systemd_nothing_is_begun() {
    let machine = machine(vec![file("/x", &[("a.service", UnitAction::Restart)])], &[]);
    let mut seen = seen(&[("/x", Found::Missing)], &[]);
    seen.systemd = false;
    assert!(plan(&machine, &[Some(SUM)], &seen, REAL).unwrap_err().contains("systemd does not run"));
}

#[test]
fn what_runs_and_is_restarted_needs_a_turn_where_the_cluster_needs_most_of_it() {
    let change = [("etcd.service", UnitAction::Restart), ("kubelet.service", UnitAction::Restart)];
    let mut machine = machine(vec![file("/x", &change)], &["etcd.service", "kubelet.service"]);
    machine.units[0].ready = vec!["etcdctl".into()];
    let planned = |running: &[&str], state: Found, rules: Rules, pending: bool| {
        let mut seen = seen(&[("/x", state)], &["etcd.service", "kubelet.service"]);
        seen.running = running.iter().map(|unit| (*unit).to_owned()).collect();
        if pending {
            seen.pending.push(Step { unit: "etcd.service".into(), action: UnitStep::Restart });
        }
        let plan = plan(&machine, &[Some(SUM)], &seen, rules).unwrap();
        (plan.turn, plan.down)
    };
    let right = || found(SUM, 0o644, "root:root");
    let turn = |pending| Some(Turn { units: vec!["etcd.service".into()], pending });
    let both = ["etcd.service", "kubelet.service"];
    assert_eq!(planned(&both, Found::Missing, REAL, false), (turn(false), vec![]));
    assert_eq!(planned(&both, right(), REAL, true), (turn(true), vec![]));
    assert_eq!(planned(&both, right(), REAL, false), (None, vec![]));
    // What is only started takes nothing away; what stays down is known.
    assert_eq!(planned(&[], Found::Missing, REAL, false), (None, vec![]));
    assert_eq!(planned(&[], right(), REAL, false), (None, vec!["etcd.service".to_owned()]));
    let folder = Rules { owners: Owners::Left, units: false };
    assert_eq!(planned(&both, Found::Missing, folder, false), (None, vec![]));
}
