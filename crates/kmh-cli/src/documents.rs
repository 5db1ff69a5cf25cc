//! An input taken apart into documents, of which nothing is parsed but `kind` and `from`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use kmh_doc::members::Members;
use kmh_doc::{Digest, Kind};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::input::{Input, TWO_INPUTS};
use crate::stream::Source;

/// One document of an input.
pub(crate) struct Document {
    /// Its kind; none when it is foreign.
    pub(crate) kind: Option<Kind>,
    /// Which input it is from.
    pub(crate) input: usize,
    /// Where it came from.
    pub(crate) source: Source,
    /// Where it lies in the input's text.
    pub(crate) range: Range<usize>,
    /// Where its spec lies in the input's text; empty when it is foreign.
    pub(crate) spec: Range<usize>,
    /// What it was computed from.
    pub(crate) from: Vec<(Kind, Digest)>,
    /// Its digest, once somebody asked for it.
    pub(crate) digest: OnceLock<Result<Digest, Failure>>,
}

/// A string that is borrowed where it can be.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of a document, unparsed.
type Parts<'a> = Members<Text<'a>, &'a RawValue>;

/// Takes an input apart. All that is wrong with its documents at once, unless it is no JSON at all.
pub(crate) fn split(number: usize, input: &mut Input) -> Result<Vec<Document>, Failure> {
    let text = input.text.as_str();
    let mut documents = Vec::new();
    let mut failures = Vec::new();
    let mut end = 0;
    let mut index = 0;
    while let Some(start) = text.get(end..).and_then(|rest| rest.find(|c: char| !is_space(c))) {
        let start = end + start;
        let rest = text.get(start..).unwrap_or_default();
        index += 1;
        if !rest.starts_with('{') {
            return Err(goes_on(&input.name, text, start, index));
        }
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Parts<'_>>();
        let members = match stream.next() {
            Some(Ok(Members(members))) => members,
            Some(Err(error)) => return Err(broken(&input.name, text, start, index, &error)),
            None => break,
        };
        end = start + stream.byte_offset();
        let source = Source { name: input.name.clone(), index };
        match document(number, text, source, start..end, &members) {
            Ok(document) => documents.push(document),
            Err(failure) => {
                let at = if input.yaml.is_some() {
                    input.name.clone()
                } else {
                    place(&input.name, text, start, index)
                };
                failures.push(failure.at(at));
            }
        }
    }
    input.count = index;
    Failure::all(failures).map_or(Ok(documents), Err)
}

/// What may stand between documents; a byte order mark too, for `cat` of files that begin with one.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{feff}'
}

/// The line of an octet, from 1.
pub(crate) fn line(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn place(name: &str, text: &str, offset: usize, index: usize) -> String {
    format!("{name}:{}, document {index}", line(text, offset))
}

/// What follows a document is none.
fn goes_on(name: &str, text: &str, offset: usize, index: usize) -> Failure {
    let rest = text.get(offset..).unwrap_or_default();
    let shown: String = rest.lines().next().unwrap_or_default().chars().take(40).collect();
    let before = index - 1;
    let failure = match rest.as_bytes().first() {
        Some(b',' | b']' | b'}' | b'[' | b':' | b'"') => Failure::wrong(format!(
            "after document {before}, {name} goes on with something that is no document"
        ))
        .because(format!("`{shown}` stands where `{{` was expected"))
        .hint("documents follow one another without commas or brackets; `jq -c '.[]'` takes an array apart"),
        _ => Failure::wrong(format!(
            "{name} begins as JSON and goes on as something else after document {before}"
        ))
        .because(format!("`{shown}` stands where `{{` was expected"))
        .hint(format!("if that is YAML, {TWO_INPUTS}")),
    };
    failure.at(format!("{name}:{}", line(text, offset)))
}

/// A document that is no JSON.
fn broken(name: &str, text: &str, start: usize, index: usize, error: &serde_json::Error) -> Failure {
    let message = error.to_string();
    let cause = message.split(" at line ").next().unwrap_or_default();
    let at = format!("{name}:{}, document {index}", line(text, start) + error.line().saturating_sub(1));
    if error.is_eof() {
        return Failure::wrong(format!("{name} ends in the middle of document {index}"))
            .at(at)
            .hint("the command that wrote it was stopped, or its disk is full; run it again");
    }
    let failure =
        Failure::wrong(format!("document {index} of {name} is no valid JSON")).at(at).because(cause);
    if index == 1 {
        failure.hint("an input that begins with `{` is read as JSON; for YAML, put a line `---` on top")
    } else {
        failure
    }
}

/// What is wrong with a document, its place aside.
fn document(
    input: usize,
    text: &str,
    source: Source,
    range: Range<usize>,
    members: &[(Text<'_>, &RawValue)],
) -> Result<Document, Failure> {
    let all = |name: &str| {
        members.iter().filter(move |(key, _)| key.0 == name).map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let twice =
        |name: &str| Failure::wrong(format!("the key `{name}` is written twice")).hint("remove one of them");
    let name: String = match all("kind").as_slice() {
        [] => {
            return Err(Failure::wrong("a document without `kind`")
                .hint("`kind` names what it is, such as `kmh.inventory/v1`"));
        }
        [kind] => serde_json::from_str(kind.get())
            .map_err(|_| Failure::wrong("the `kind` of a document is no text"))?,
        _ => return Err(twice("kind")),
    };
    let foreign = !name.starts_with("kmh.");
    let mut document =
        Document { kind: None, input, source, range, spec: 0..0, from: Vec::new(), digest: OnceLock::new() };
    if foreign {
        return Ok(document);
    }
    let Some(kind) = Kind::from_name(&name) else {
        let failure = Failure::wrong(format!("`{name}` is no kind of document that kmh knows"));
        return Err(match Kind::nearest(&name) {
            Some(kind) => failure.hint(format!("did you mean `{kind}`?")),
            None => failure.hint("kinds that do not begin with `kmh.` pass through untouched"),
        });
    };
    let mut failures = Vec::new();
    for (Text(key), _) in members {
        if !matches!(key.as_ref(), "kind" | "from" | "spec") {
            failures.push(
                Failure::wrong(format!("a document of the kind `{kind}` has no key `{key}`"))
                    .hint("its keys are `kind`, `from` and `spec`"),
            );
        }
    }
    match all("spec").as_slice() {
        [] => failures.push(Failure::wrong(format!("a document of the kind `{kind}` without `spec`"))),
        [spec] if spec.get().starts_with('{') => {
            let start = (spec.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            document.spec = start..start + spec.get().len();
        }
        [_] => failures
            .push(Failure::wrong(format!("the `spec` of a document of the kind `{kind}` is no mapping"))),
        _ => failures.push(twice("spec")),
    }
    match all("from").as_slice() {
        [] => {}
        [from] => match origin(kind, from) {
            Ok(from) => document.from = from,
            Err(failure) => failures.push(failure),
        },
        _ => failures.push(twice("from")),
    }
    document.kind = Some(kind);
    Failure::all(failures).map_or(Ok(document), Err)
}

/// What a document was computed from: digests by kind.
fn origin(kind: Kind, from: &RawValue) -> Result<Vec<(Kind, Digest)>, Failure> {
    let Ok(Members(members)) = serde_json::from_str::<Parts<'_>>(from.get()) else {
        return Err(Failure::wrong(format!("the `from` of a document of the kind `{kind}` is no mapping")));
    };
    let mut found: Vec<(Kind, Digest)> = Vec::new();
    for (Text(name), digest) in members {
        let Some(origin) = Kind::from_name(&name) else {
            return Err(Failure::wrong(format!(
                "`from` names `{name}`, which is no kind of document that kmh knows"
            )));
        };
        let text: Option<String> = serde_json::from_str(digest.get()).ok();
        let Some(digest) = text.as_deref().and_then(Digest::parse) else {
            return Err(Failure::wrong(format!("`from` names no digest of `{name}`"))
                .hint("a digest is `sha256:` and 64 hexadecimal digits"));
        };
        if found.iter().any(|(other, _)| *other == origin) {
            return Err(Failure::wrong(format!("`from` names `{name}` twice")));
        }
        found.push((origin, digest));
    }
    Ok(found)
}
