//! Inputs: standard input or files, each JSON or YAML.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use kmh_doc::Tree;
use kmh_doc::tree::{self, MAX_YAML, Value};

use crate::args::Common;
use crate::env::Env;
use crate::failure::{Failure, Note};
use crate::file;
use crate::stream::Source;

/// How to name a YAML inventory beside a stream.
pub(crate) const TWO_INPUTS: &str = "name two inputs: `-i cluster.yaml -i -`";

/// What standard input is called.
pub(crate) const STDIN: &str = "stdin";

/// One input, as JSON.
pub(crate) struct Input {
    /// File name, or `stdin`.
    pub(crate) name: String,
    /// Its JSON: as it was read, or what its YAML says, on one line.
    pub(crate) text: String,
    /// Its YAML, with the places.
    pub(crate) yaml: Option<Arc<Tree>>,
    /// How many documents it holds.
    pub(crate) count: usize,
}

/// Reads every input that the command line names.
pub(crate) fn read_all(env: &mut Env, common: &Common, tool: &str) -> Result<Vec<Input>, Failure> {
    let write = common.write.as_deref();
    if common.input.is_empty() {
        if env.stdin_is_terminal {
            return Err(Failure::wrong("stdin is a terminal, and no input was named").hint(example(tool)));
        }
        return Ok(vec![input(STDIN, stdin(env)?, write)?]);
    }
    let mut inputs = Vec::new();
    let mut failures = Vec::new();
    let mut stdin_was_read = false;
    for path in &common.input {
        let bytes = if path.as_os_str() != "-" {
            file::read_by(path, |file| octets(file))
        } else if stdin_was_read {
            Err(Failure::wrong("stdin is named twice").hint("name `-i -` once"))
        } else {
            stdin_was_read = true;
            stdin(env)
        };
        let name = if path == Path::new("-") { STDIN.to_owned() } else { path.display().to_string() };
        match bytes.and_then(|bytes| input(&name, bytes, write)) {
            Ok(input) => inputs.push(input),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures).map_or(Ok(inputs), Err)
}

/// What to type instead, and it works: not every tool can begin with an inventory.
fn example(tool: &str) -> String {
    let before = match tool {
        "kmh-render" => "kmh-pki <cluster.yaml | kmh-bgpcfg",
        "kmh-push" | "kmh-check" | "kmh-lab" => "kmh-pki <cluster.yaml | kmh-bgpcfg | kmh-render",
        _ => {
            return format!(
                "name a file, `{tool} -i cluster.yaml`, or pipe documents in, `{tool} <cluster.yaml`"
            );
        }
    };
    format!(
        "name a file with what the tools before it wrote, `{tool} -i stream.json`, or pipe it in, `{before} | {tool}`"
    )
}

fn stdin(env: &mut Env) -> Result<Vec<u8>, Failure> {
    octets(&mut env.stdin).map_err(|error| Failure::world("cannot read stdin").because(file::plain(&error)))
}

/// Everything, or of what cannot be JSON one octet more than YAML may have: a device named by mistake never ends.
fn octets(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut *from).take(MAX_YAML as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_YAML && is_json(&bytes) {
        from.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Whether an input is JSON: it begins with `{`.
fn is_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Bytes as an input: text, and JSON.
fn input(name: &str, bytes: Vec<u8>, write: Option<&Path>) -> Result<Input, Failure> {
    let source = Source { name: name.to_owned(), index: 1 };
    if is_json(&bytes) {
        return text(&source, bytes).map(|text| Input { name: source.name, text, yaml: None, count: 0 });
    }
    if bytes.len() > MAX_YAML {
        return Err(Failure::wrong(format!(
            "{name} has more than {MAX_YAML} octets, which no YAML may have"
        ))
        .hint("an input that begins with `{` is JSON, and may be of any size"));
    }
    // A program's JSON in its place would have none of its comments. Known by its content, it is also known on stdin.
    let written = write.filter(|path| file::holds(path, &bytes));
    let text = text(&source, bytes)?;
    match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(empty(name)),
        Some(b'[') if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() => {
            return Err(Failure::wrong(format!("{name} is a JSON array, not a sequence of documents"))
                .hint("take it apart with `jq -c '.[]'`"));
        }
        Some(_) => {}
    }
    let input = yaml(&source, &text)?;
    match written {
        None => Ok(input),
        Some(path) => Err(Failure::wrong("`--write` would replace the YAML that was read")
            .at(path.display().to_string())
            .because("a program's JSON would stand in the place of what a person wrote")
            .hint("name another file")),
    }
}

/// The text of an input, without a byte order mark.
fn text(source: &Source, bytes: Vec<u8>) -> Result<String, Failure> {
    let mut text = String::from_utf8(bytes).map_err(|error| match tree::from_bytes(error.as_bytes()) {
        Err(problems) => Failure::problems(source, &problems),
        Ok(_) => Failure::wrong("the input is no UTF-8").at(&source.name),
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn empty(name: &str) -> Failure {
    let failure = Failure::wrong(format!("{name} is empty"));
    if name == STDIN {
        failure.hint(
            "the command before it in the pipe failed, or nothing was piped in; name a file with `-i FILE`",
        )
    } else {
        failure.hint("the command that should have written it failed, or another file is meant")
    }
}

fn yaml(source: &Source, text: &str) -> Result<Input, Failure> {
    let mut lines = text.lines().map(str::trim);
    if lines.all(|line| line.is_empty() || line.starts_with('#') || matches!(line, "---" | "...")) {
        return Err(empty(&source.name).because("it holds comments at most"));
    }
    let tree = tree::parse_yaml(text).map_err(|problems| {
        let json = (1..).zip(text.lines()).find(|(_, line)| line.starts_with('{'));
        match json {
            Some((line, _)) => Failure::wrong(format!("{} begins as YAML and goes on as JSON", source.name))
                .at(source.line(line))
                .hint(TWO_INPUTS),
            None => Failure::problems(source, &problems),
        }
    })?;
    let Value::Map(entries) = &tree.value else {
        return Err(Failure::wrong(format!("{} holds no document", source.name))
            .because("a document is a mapping with the keys `kind` and `spec`")
            .hint("kmh-inventory(5) describes the inventory"));
    };
    for (index, (key, _)) in entries.iter().enumerate() {
        if entries.iter().take(index).any(|(other, _)| other.text == key.text) {
            return Err(Failure::wrong(format!("the key `{}` is written twice", key.text))
                .at(source.line(key.place.line))
                .hint("remove one of them"));
        }
    }
    let text = tree.to_json().to_string();
    Ok(Input { name: source.name.clone(), text, yaml: Some(Arc::new(tree)), count: 0 })
}

/// Keys that a mapping of YAML has twice: the text that is passed on has only the last of them.
pub(crate) fn repeated_keys(source: &Source, tree: &Tree) -> Option<Failure> {
    fn walk(tree: &Tree, path: &str, found: &mut Vec<(String, String, u32)>) {
        match &tree.value {
            Value::Map(entries) => {
                let mut seen = std::collections::BTreeSet::new();
                for (key, value) in entries {
                    if !seen.insert(key.text.as_str()) {
                        found.push((path.to_owned(), key.text.clone(), key.place.line));
                    }
                    let below =
                        if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                    walk(value, &below, found);
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{path}[{index}]"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(tree, "", &mut found);
    Failure::all(found.into_iter().map(|(path, key, line)| {
        let place = source.line(line);
        Failure::wrong(format!("the key `{key}` is written twice"))
            .at(if path.is_empty() { place } else { format!("{path} ({place})") })
            .hint("remove one of them")
    }))
}

/// A warning.
pub(crate) fn warning(failure: Failure) -> Vec<Note> {
    failure.notes.into_iter().map(|note| Note { warning: true, ..note }).collect()
}
