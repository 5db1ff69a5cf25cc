//! The README is true: every console session in it is run, in order, in one folder, and must print what it says.
//! `KMH_UPDATE=1` writes what the commands print now into it, to be read before it is committed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use kmh_tests::console::{Block, blocks, settled, with_outputs};
use kmh_tests::sandbox::{Sandbox, root};

#[test]
fn every_session_prints_what_it_says() {
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let sandbox = Sandbox::new();
    let folder = sandbox.path().to_str().unwrap();
    let (mut outputs, mut wrong) = (vec![], vec![]);
    for block in blocks(&text) {
        let steps = match block {
            Block::File(name, text) => {
                sandbox.write(&name, &text);
                continue;
            }
            Block::Session(steps) => steps,
        };
        for step in steps {
            // Both streams in one, as a terminal shows them; bash, because people type in it.
            let printed = sandbox.bash(&format!("{{ {}\n}} 2>&1", step.command)).stdout;
            if settled(&printed, folder) != settled(&step.output, folder) {
                wrong.push(format!(
                    "README.md:{}: $ {}\nprints\n{printed}\nnot\n{}",
                    step.line, step.command, step.output
                ));
            }
            outputs.push(printed.replace(folder, "."));
        }
    }
    assert!(outputs.len() > 10, "the README has lost its examples");
    if std::env::var_os("KMH_UPDATE").is_some() {
        std::fs::write(&path, with_outputs(&text, &outputs)).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
