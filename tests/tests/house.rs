//! The house as a user enters it: `make help`, the demo, the example Makefile, `make install` and its undoing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

use kmh_tests::sandbox::{Sandbox, TOOLS, root, walk};

/// A sandbox with the examples in it, as in the repository.
fn with_examples() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .sh(&format!("cp -r {}/examples examples && rm -rf examples/article/build", root().display()))
        .exits(0);
    sandbox
}

/// Every file below a folder, relative to it.
fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(dir, &mut |path| {
        if path.is_file() {
            found.insert(path.strip_prefix(dir).unwrap().display().to_string());
        }
    });
    found
}

#[test]
fn help_is_first_and_names_every_target() {
    let sandbox = Sandbox::new();
    let make = format!("make -s -C {}", root().display());
    let help = sandbox.sh(&make).exits(0).stdout;
    assert_eq!(help, sandbox.sh(&format!("{make} help")).exits(0).stdout, "help is not the first target");
    for target in "demo test bench lint fmt gen doc install uninstall clean help".split(' ') {
        assert!(
            help.lines().any(|line| line.starts_with(&format!("make {target} "))),
            "{target} is not in\n{help}"
        );
    }
}

#[test]
fn the_demo_shows_what_a_person_wants_to_know_and_runs_twice() {
    let sandbox = with_examples();
    let first = sandbox.sh("examples/article/demo").exits(0);
    for word in ["attic-1", "pi-1", "fw-flat", "gw-vps", "65030", "Where to look next"] {
        assert!(first.stdout.contains(word), "the demo does not show {word}:\n{}", first.stdout);
    }
    // What it says to look at is there.
    let next = first.stdout.split("Where to look next").nth(1).unwrap();
    for place in next
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.starts_with("out/") || word.starts_with("pki/"))
    {
        assert!(sandbox.has(place), "{place} is not there");
    }
    let (pki, out) = (sandbox.snapshot("pki"), sandbox.snapshot("out/attic-1"));
    let second = sandbox.sh("examples/article/demo").exits(0);
    assert_eq!(sandbox.snapshot("pki"), pki, "a second demo touched the store");
    assert_eq!(sandbox.snapshot("out/attic-1"), out, "a second demo touched the target");
    assert!(!second.stdout.contains("--init"));
}

#[test]
fn the_example_makefile_makes_again_only_what_changed() {
    let sandbox = with_examples();
    let make = "make -C examples/article --no-print-directory";
    // The tools that a run of make calls.
    let called = |line: &str| -> Vec<String> {
        let ran = sandbox.sh(line).exits(0);
        ran.stdout
            .lines()
            .filter_map(|l| l.split_whitespace().next())
            .filter(|w| w.starts_with("kmh-"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        called(make).iter().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["kmh-pki", "kmh-bgpcfg", "kmh-render", "kmh-check"])
    );
    assert_eq!(called(make), [] as [&str; 0], "nothing changed");

    // A comment: looked at by those who read the inventory, and no further.
    sandbox.sh("sleep 1; echo '# a comment' >>examples/article/cluster.yaml").exits(0);
    let mut names = called(make);
    names.sort();
    assert_eq!(names, ["kmh-bgpcfg", "kmh-pki"]);
    assert_eq!(called(make), [] as [&str; 0], "nothing changed since");

    // A setting: rendered and checked anew.
    sandbox.sh("sleep 1; sed -i 's/maxPods: 60/maxPods: 61/' examples/article/cluster.yaml").exits(0);
    assert!(called(make).contains(&"kmh-check".to_owned()));
    assert_eq!(called(make), [] as [&str; 0]);

    // A mistake: make stops, what was good stays, and the next run tries again.
    let before = sandbox.read("examples/article/build/network.json");
    sandbox.sh("sleep 1; cp examples/article/cluster.yaml good; sed -i 's/asn: 65010/ans: 65010/' examples/article/cluster.yaml").exits(0);
    sandbox.sh(make).exits(2).says("ans");
    assert_eq!(sandbox.read("examples/article/build/network.json"), before);
    sandbox.sh(make).exits(2);
    sandbox.sh("sleep 1; cp good examples/article/cluster.yaml").exits(0);
    sandbox.sh(make).exits(0);

    // The store is not made again: not by a path that is wrong, not when it was lost.
    let touched = "touch examples/article/cluster.yaml";
    sandbox.sh(&format!("{touched}; {make} STORE=build/pki.json")).exits(2);
    sandbox
        .sh(&format!("{touched}; {make} STORE=build/pkii"))
        .exits(2)
        .says("store `build/pkii` does not exist");
    sandbox
        .sh(&format!("rm -r examples/article/build/pki; {touched}; {make}"))
        .exits(2)
        .says("store `build/pki` does not exist");
}

#[test]
fn install_puts_everything_in_place_and_uninstall_takes_it_away() {
    let sandbox = Sandbox::new();
    // Stands in for `make build`: what is installed is not the point here, and a release build takes minutes.
    sandbox
        .sh(&format!(
            "mkdir -p target/release; for t in {}; do echo '#!/bin/sh' >target/release/$t; done",
            TOOLS.join(" ")
        ))
        .exits(0);
    sandbox.sh("touch -d '+1 hour' target/release/.kmh-built").exits(0);
    let make =
        format!("make -s -C {} CARGO_TARGET_DIR=$PWD/target DESTDIR=$PWD/root PREFIX=/usr", root().display());
    sandbox.sh(&format!("{make} install")).exits(0);

    let usr = sandbox.path().join("root/usr");
    let found = files(&usr);
    for tool in TOOLS {
        for place in [
            format!("bin/{tool}"),
            format!("share/man/man1/{tool}.1"),
            format!("share/bash-completion/completions/{tool}"),
            format!("share/zsh/site-functions/_{tool}"),
            format!("share/fish/vendor_completions.d/{tool}.fish"),
        ] {
            assert!(found.contains(&place), "{place} is not installed");
        }
        sandbox.sh(&format!("test -x root/usr/bin/{tool}")).exits(0);
    }
    for place in [
        "man/man7/kmh.7",
        "man/man5/kmh-inventory.5",
        "doc/kmh/examples/article/cluster.yaml",
        "doc/kmh/README.md",
    ] {
        assert!(found.contains(&format!("share/{place}")), "{place} is not installed");
    }

    // Somebody else's files stay.
    sandbox.write("root/usr/bin/other", "");
    sandbox.write("root/usr/share/doc/kmh/notes", "");
    sandbox.sh(&format!("{make} uninstall")).exits(0);
    assert_eq!(files(&usr), BTreeSet::from(["bin/other".to_owned(), "share/doc/kmh/notes".to_owned()]));
}

#[test]
fn a_missing_package_is_named_with_the_command_that_installs_it() {
    let sandbox = Sandbox::new();
    sandbox.sh(&format!("mkdir ci bin && cp {}/.ci/packages ci/", root().display())).exits(0);
    sandbox.write("ci/packages.txt", "build no-such-package\nbuild bash bash\ntest other-package\n");
    // Neither root nor sudo, whoever runs this test.
    sandbox.sh("printf '#!/bin/sh\\necho 1000\\n' >bin/id; printf '#!/bin/sh\\nexit 1\\n' >bin/sudo; chmod +x bin/*").exits(0);
    let ran = sandbox.sh("PATH=$PWD/bin:$PATH ci/packages build").exits(1);
    let ran = ran.says("sudo apt-get install --no-install-recommends no-such-package\n");
    assert!(!ran.stderr.contains("other-package"), "{}", ran.stderr);
    // Nothing missing: nothing said, nothing asked for.
    sandbox.write("ci/packages.txt", "build bash bash\n");
    let ran = sandbox.sh("PATH=$PWD/bin:$PATH ci/packages build").exits(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}
