//! Console sessions in a document for people: what is typed after `$ `, and what is printed below it.

/// A fenced block that starts with ```` ```console ````, or one that names a file: ```` ```yaml shed.yaml ````.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// What was typed, and what it printed.
    Session(Vec<Step>),
    /// A file of the reader's: its name and text.
    File(String, String),
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line of the document where it stands, from 1.
    pub line: usize,
    /// What was typed; continued on lines that begin with `> `, as a shell shows it.
    pub command: String,
    /// What was printed, with the newline of each line.
    pub output: String,
}

/// The blocks of a document, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = vec![];
    let (mut inside, mut typing) = (false, false);
    for (index, line) in text.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            let started = match info.split_once(' ') {
                _ if inside => None,
                Some((_, name)) => Some(Block::File(name.to_owned(), String::new())),
                None if info == "console" => Some(Block::Session(vec![])),
                None => None,
            };
            inside = started.is_some();
            found.extend(started);
            continue;
        }
        match found.last_mut().filter(|_| inside) {
            None => {}
            Some(Block::File(_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
            Some(Block::Session(steps)) => {
                match (line.strip_prefix("$ "), line.strip_prefix("> ").filter(|_| typing)) {
                    (Some(command), _) => {
                        steps.push(Step {
                            line: index + 1,
                            command: command.to_owned(),
                            output: String::new(),
                        });
                        typing = true;
                    }
                    (None, continued) => {
                        let step = steps
                            .last_mut()
                            .unwrap_or_else(|| panic!("line {}: output before a command", index + 1));
                        typing = continued.is_some();
                        if let Some(command) = continued {
                            step.command.push('\n');
                            step.command.push_str(command);
                        } else {
                            step.output.push_str(line);
                            step.output.push('\n');
                        }
                    }
                }
            }
        }
    }
    found
}

/// The document with other outputs below its commands, in order.
pub fn with_outputs(text: &str, outputs: &[String]) -> String {
    let mut outputs = outputs.iter();
    let (mut out, mut session, mut typing) = (String::new(), false, false);
    for line in text.lines() {
        let fence = line.starts_with("```");
        let typed = session && (line.starts_with("$ ") || typing && line.starts_with("> "));
        if typing && (!typed || line.starts_with("$ ")) {
            out.push_str(outputs.next().expect("an output for each command"));
        }
        typing = typed;
        if !session || fence || typed {
            out.push_str(line);
            out.push('\n');
        }
        if fence {
            session = !session && line == "```console";
        }
    }
    out
}

/// The text with everything that differs from run to run made the same: dates, digests, temporary folders.
pub fn settled(text: &str, folder: &str) -> String {
    let text = text.replace(folder, "DIR");
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | ':') {
            word.push(c);
            continue;
        }
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let date = word.len() >= 10
            && word.is_char_boundary(10)
            && word.as_bytes()[4] == b'-'
            && word.as_bytes()[7] == b'-'
            && digits >= 8;
        let digest = word.trim_start_matches("sha256:").len() >= 16
            && word.trim_start_matches("sha256:").bytes().all(|b| b.is_ascii_hexdigit());
        out.push_str(if date {
            "DATE"
        } else if digest {
            "DIGEST"
        } else {
            &word
        });
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "before\n\n```console\n$ one \\\n>   more\nout\n> put\n$ two\n```\n\n```sh\n$ not run\n```\n\n```yaml a.yaml\nx: 1\n```\n";

    #[test]
    fn a_session_is_what_was_typed_and_what_it_printed() {
        let one = Step { line: 4, command: "one \\\n  more".to_owned(), output: "out\n> put\n".to_owned() };
        let two = Step { line: 8, command: "two".to_owned(), output: String::new() };
        assert_eq!(
            blocks(TEXT),
            [Block::Session(vec![one, two]), Block::File("a.yaml".to_owned(), "x: 1\n".to_owned())]
        );
    }

    #[test]
    fn outputs_are_replaced_and_nothing_else() {
        assert_eq!(with_outputs(TEXT, &["out\n> put\n".to_owned(), String::new()]), TEXT);
        let other = with_outputs(TEXT, &["new\n".to_owned(), "x\n".to_owned()]);
        assert_eq!(other, TEXT.replace("out\n> put\n", "new\n").replace("$ two\n", "$ two\nx\n"));
    }

    #[test]
    fn what_differs_from_run_to_run_is_made_the_same() {
        let text = "until 2027-11-23T10:00:00Z, sha256:0123456789abcdef0123 in /tmp/x/pki, AS 65010";
        assert_eq!(settled(text, "/tmp/x"), "until DATE, DIGEST in DIR/pki, AS 65010");
    }
}
