//! Which units a new program is for: those that start it. The bundle does not say; its unit files do.

use kmh_doc::bundle::{OnChange, Segment, UnitAction};
use kmh_store::wanted::{Wanted, folder};

use crate::plan::UNIT_FOLDERS;

/// What is done to units when the file at `path`, which is none of the bundle's own, changes. A program's units are
/// restarted. A file among files of the bundle is acted on as all of them are: `kmh-cluster.service` applies a folder.
pub(crate) fn on_change(machine: &Wanted, path: &str, program: bool) -> Vec<OnChange> {
    let listed = |unit: &str| machine.units.iter().any(|known| known.name == unit);
    let mut found: Vec<OnChange> = if program {
        let starts = machine.files.iter().filter_map(|file| {
            let unit = unit_of(&file.path)?;
            (listed(unit) && file.content.iter().any(|segment| starts(segment, path)))
                .then(|| OnChange { unit: unit.to_owned(), action: UnitAction::Restart })
        });
        starts.collect()
    } else {
        let mut beside = machine.files.iter().filter(|file| folder(&file.path) == folder(path));
        let first = beside.next().map(|file| file.on_change.clone()).unwrap_or_default();
        beside.fold(first, |common, file| {
            common.into_iter().filter(|change| file.on_change.contains(change)).collect()
        })
    };
    found.sort();
    found.dedup();
    found
}

/// The unit that a file belongs to: `/etc/systemd/system/etcd.service`, or a file in `etcd.service.d/`.
fn unit_of(path: &str) -> Option<&str> {
    let name = UNIT_FOLDERS.iter().find_map(|folder| path.strip_prefix(folder))?;
    match name.split_once('/') {
        None => Some(name),
        Some((folder, _)) => folder.strip_suffix(".d"),
    }
}

/// Whether a unit file has a command that is that program; systemd.service(5) has the signs before its path.
fn starts(segment: &Segment, path: &str) -> bool {
    let Segment::Text { text } = segment else { return false };
    text.lines().any(|line| {
        let value = line.trim().strip_prefix("Exec").and_then(|rest| rest.split_once('='));
        let command = value.and_then(|(_, value)| value.split_whitespace().next());
        command.is_some_and(|command| command.trim_start_matches(['-', '@', ':', '+', '!', '|']) == path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn machine(files: &[(&str, &str, &[&str])], units: &[&str]) -> Wanted {
        let file = |(path, text, units): &(&str, &str, &[&str])| {
            let changes: Vec<_> = units.iter().map(|unit| (*unit, UnitAction::Restart)).collect();
            testing::file(path, text, &changes)
        };
        testing::machine("n1", files.iter().map(file).collect(), units)
    }

    fn units(machine: &Wanted, path: &str, program: bool) -> Vec<String> {
        on_change(machine, path, program).into_iter().map(|change| change.unit).collect()
    }

    #[test]
    fn the_units_of_a_program_are_those_that_start_it() {
        let etcd = "/usr/local/bin/etcd";
        let machine = machine(
            &[
                ("/etc/systemd/system/etcd.service", "[Service]\nExecStart=/usr/local/bin/etcd --x=y\n", &[]),
                (
                    "/etc/systemd/system/a.service.d/10.conf",
                    "[Service]\nExecStart=\nExecStart=-/usr/local/bin/etcd\n",
                    &[],
                ),
                ("/etc/systemd/system/b.service", "[Service]\nExecStart=/usr/local/bin/etcdctl\n", &[]),
                ("/etc/systemd/system/c.service", "[Service]\nExecStart=/bin/sh /usr/local/bin/etcd\n", &[]),
                ("/etc/systemd/system/unlisted.service", "[Service]\nExecStart=/usr/local/bin/etcd\n", &[]),
                ("/etc/etcd/etcd.conf", "ExecStart=/usr/local/bin/etcd\n", &[]),
            ],
            &["etcd.service", "a.service", "b.service", "c.service"],
        );
        assert_eq!(units(&machine, etcd, true), ["a.service", "etcd.service"]);
        assert_eq!(units(&machine, "/usr/local/sbin/runc", true), Vec::<String>::new());
    }

    #[test]
    fn a_manifest_is_acted_on_as_those_beside_it() {
        let machine = machine(
            &[
                ("/etc/k/00.yaml", "", &["kmh-cluster.service", "x.service"]),
                ("/etc/k/20.yaml", "", &["kmh-cluster.service"]),
                ("/etc/other", "", &["y.service"]),
            ],
            &[],
        );
        assert_eq!(units(&machine, "/etc/k/10.yaml", false), ["kmh-cluster.service"]);
        assert_eq!(units(&machine, "/usr/lib/z", false), Vec::<String>::new());
    }
}
