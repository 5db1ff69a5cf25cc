//! The sequence of documents that a tool reads and passes on.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use kmh_doc::tree::{self, Value};
use kmh_doc::{Digest, Kind, Place, Problems, Spec, Tree, decode};

use crate::args::Common;
use crate::documents::{self, Document};
use crate::env::Env;
use crate::failure::{Failure, Note};
use crate::input::{self, Input};

/// Where a document came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File name, or `stdin`.
    pub name: String,
    /// Which document of that input, from 1.
    pub index: usize,
}

impl Source {
    /// A line of it, as errors name it.
    pub fn line(&self, line: impl fmt::Display) -> String {
        let document = if self.index > 1 { format!(", document {}", self.index) } else { String::new() };
        format!("{}:{line}{document}", self.name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.index > 1 { write!(f, ", document {}", self.index) } else { Ok(()) }
    }
}

/// A document that a tool uses, decoded and checked.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// Its spec.
    pub spec: T,
    /// Its digest.
    pub digest: Digest,
    /// Where it came from.
    pub source: Source,
}

/// The documents that were read, in order, most of them unparsed.
pub struct Stream {
    inputs: Vec<Input>,
    /// Every document once.
    documents: Vec<Document>,
    /// What there is to warn about: reports of another generation.
    pub(crate) warnings: Vec<Note>,
}

impl Stream {
    /// Reads all inputs and holds the documents against each other. `own` is the kind that the caller writes: a document
    /// of it will be replaced, so it matters no more what it was computed from.
    pub fn read(env: &mut Env, common: &Common, tool: &str, own: Option<Kind>) -> Result<Self, Failure> {
        let mut inputs = input::read_all(env, common, tool)?;
        let mut documents = Vec::new();
        let mut failures = Vec::new();
        for (number, input) in inputs.iter_mut().enumerate() {
            match documents::split(number, input) {
                Ok(found) => documents.extend(found),
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(failure) = Failure::all(failures) {
            return Err(failure);
        }
        let mut stream = Self { inputs, documents: Vec::new(), warnings: Vec::new() };
        stream.keep_each_once(documents)?;
        stream.match_origins(own)?;
        Ok(stream)
    }

    /// Whether a document of that kind is there.
    pub fn has(&self, kind: Kind) -> bool {
        self.get(kind).is_some()
    }

    /// The document of that kind; refused when it is missing, with the command that makes it.
    pub fn need<T: Spec>(&self) -> Result<Loaded<T>, Failure> {
        self.find()?.ok_or_else(|| self.missing(T::KIND))
    }

    /// The document of that kind, when there is one.
    pub fn find<T: Spec>(&self) -> Result<Option<Loaded<T>>, Failure> {
        let Some(document) = self.get(T::KIND) else { return Ok(None) };
        // The digest is also the check for what serde does not see: keys that a map has twice, numbers that are rounded.
        let digest = self.digest_of(document)?;
        let spec = match serde_json::from_str(self.text(document, &document.spec)) {
            Ok(spec) => spec,
            Err(error) => return Err(self.explain::<T>(document, &error)),
        };
        Ok(Some(Loaded { spec, digest, source: document.source.clone() }))
    }

    /// The inventory as it was written, for `kmh_model::load`; refused when it is missing.
    pub fn inventory(&self) -> Result<(Arc<Tree>, Source), Failure> {
        let document = self.get(Kind::Inventory).ok_or_else(|| self.missing(Kind::Inventory))?;
        Ok((self.tree(document)?, document.source.clone()))
    }

    /// The file that holds the inventory and nothing else; none when it came over standard input, or among other documents.
    pub fn inventory_file(&self) -> Option<&Path> {
        let document = self.get(Kind::Inventory)?;
        let alone = self.inputs.get(document.input)?.count == 1;
        (alone && document.source.name != input::STDIN).then(|| Path::new(&document.source.name))
    }

    /// Refuses a stream that lacks any of these, all at once.
    pub fn require(&self, kinds: &[Kind]) -> Result<(), Failure> {
        let missing = kinds.iter().filter(|kind| !self.has(**kind)).map(|kind| self.missing(*kind));
        Failure::all(missing).map_or(Ok(()), Err)
    }

    /// The digest of the document of that kind, when there is one.
    pub fn digest(&self, kind: Kind) -> Result<Option<Digest>, Failure> {
        self.get(kind).map(|document| self.digest_of(document)).transpose()
    }

    /// What the document of that kind says that it was computed from.
    pub fn origins(&self, kind: Kind) -> &[(Kind, Digest)] {
        self.get(kind).map_or(&[], |document| &document.from)
    }

    fn get(&self, kind: Kind) -> Option<&Document> {
        self.documents.iter().find(|document| document.kind == Some(kind))
    }

    fn missing(&self, kind: Kind) -> Failure {
        let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        Failure::wrong(format!("there is no `{kind}` document in {}", names.join(", "))).hint(kind.how())
    }

    fn text(&self, document: &Document, range: &Range<usize>) -> &str {
        self.inputs.get(document.input).and_then(|input| input.text.get(range.clone())).unwrap_or_default()
    }

    /// The document as it was written, with its places in the whole input.
    fn tree(&self, document: &Document) -> Result<Arc<Tree>, Failure> {
        let Some(input) = self.inputs.get(document.input) else { return Err(self.missing(Kind::Inventory)) };
        if let Some(yaml) = &input.yaml {
            return Ok(Arc::clone(yaml));
        }
        let before = input.text.get(..document.range.start).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let start = Place {
            line: u32::try_from(documents::line(&input.text, document.range.start)).unwrap_or(u32::MAX),
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
        };
        match tree::parse_json(self.text(document, &document.range)) {
            Ok(mut tree) => {
                shift(&mut tree, start);
                Ok(Arc::new(tree))
            }
            Err(problems) => {
                let mut shifted = Problems::new();
                for problem in &problems {
                    let mut problem = problem.clone();
                    problem.place = problem.place.map(|place| moved(place, start));
                    shifted.push(problem);
                }
                Err(Failure::problems(&document.source, &shifted))
            }
        }
    }

    /// Everything that is wrong with a spec that serde refused at its first defect.
    fn explain<T: Spec>(&self, document: &Document, error: &serde_json::Error) -> Failure {
        let spec = match self.tree(document) {
            Ok(tree) => tree,
            Err(failure) => return failure,
        };
        match spec.get("spec").map(|spec| decode::decode::<T>(spec, "spec")) {
            Some(Err(problems)) => Failure::problems(&document.source, &problems),
            _ => Failure::wrong(format!("this is no `{}` document", T::KIND))
                .at(self.place(document))
                .because(error.to_string()),
        }
    }

    /// Where a document is: the name of its input, its line, and its number where the input has several.
    fn place(&self, document: &Document) -> String {
        let Some(input) = self.inputs.get(document.input) else { return document.source.to_string() };
        let mut place = input.name.clone();
        if input.yaml.is_none() && input.count > 1 {
            let line = documents::line(&input.text, document.range.start);
            place = format!("{place}:{line}, document {}", document.source.index);
        }
        place
    }

    fn digest_of(&self, document: &Document) -> Result<Digest, Failure> {
        document.digest.get_or_init(|| self.compute_digest(document)).clone()
    }

    fn compute_digest(&self, document: &Document) -> Result<Digest, Failure> {
        let Some((input, kind)) = self.inputs.get(document.input).zip(document.kind) else {
            return Err(Failure::wrong("a foreign document has no digest"));
        };
        if let Some(failure) =
            input.yaml.as_ref().and_then(|tree| input::repeated_keys(&document.source, tree))
        {
            return Err(failure);
        }
        Digest::of_json(kind.as_str(), self.text(document, &document.spec)).map_err(|defect| {
            let path = match defect.path.as_str() {
                "" => "spec".to_owned(),
                path if path.starts_with('[') => format!("spec{path}"),
                path => format!("spec.{path}"),
            };
            let place = if input.yaml.is_some() {
                document.source.to_string()
            } else {
                document.source.line(documents::line(&input.text, document.spec.start + defect.offset))
            };
            let failure = Failure::wrong(defect.to_string()).at(format!("{path} ({place})"));
            match defect.flaw.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })
    }

    /// Drops documents that are there already; refuses two different ones of a kind.
    fn keep_each_once(&mut self, documents: Vec<Document>) -> Result<(), Failure> {
        let mut failures = Vec::new();
        for document in documents {
            let first = document.kind.and_then(|kind| self.get(kind));
            match first {
                None => self.documents.push(document),
                Some(first) => match self.is_same(first, &document) {
                    Ok(true) => {}
                    Ok(false) => failures.push(
                        Failure::wrong(format!(
                            "two different `{}` documents",
                            document.kind.map_or("", Kind::as_str)
                        ))
                        .at(self.place(first))
                        .at(self.place(&document))
                        .hint("leave one of them out"),
                    ),
                    Err(failure) => failures.push(failure),
                },
            }
        }
        Failure::all(failures).map_or(Ok(()), Err)
    }

    /// Whether two documents of a kind say the same: what they hold and what they were computed from.
    fn is_same(&self, one: &Document, other: &Document) -> Result<bool, Failure> {
        if self.text(one, &one.range) == self.text(other, &other.range) {
            return Ok(true);
        }
        let sorted = |document: &Document| {
            let mut from = document.from.clone();
            from.sort();
            from
        };
        Ok(sorted(one) == sorted(other) && self.digest_of(one)? == self.digest_of(other)?)
    }

    /// Refuses documents that were computed from others than those in the stream; of reports, only says so.
    ///
    /// Reports are held against the stream by the tools alone that act on them: the others would have to read a whole
    /// bundle for the sake of a warning about documents that they do not use.
    fn match_origins(&mut self, own: Option<Kind>) -> Result<(), Failure> {
        let reads_reports = own.is_some_and(Kind::is_report);
        let mut failures = Vec::new();
        let mut warnings = Vec::new();
        for document in &self.documents {
            let Some(kind) = document.kind.filter(|kind| Some(*kind) != own) else { continue };
            if kind.is_report() && !reads_reports {
                continue;
            }
            for (origin, digest) in &document.from {
                let Some(other) = self.get(*origin).filter(|_| Some(*origin) != own) else { continue };
                match self.digest_of(other) {
                    Ok(actual) if actual == *digest => {}
                    Ok(_) => {
                        let failure =
                            Failure::wrong(format!("the `{kind}` document was made from another `{origin}`"))
                                .at(self.place(document))
                                .at(self.place(other));
                        if kind.is_report() {
                            warnings.extend(input::warning(failure.hint("it reports on an earlier state")));
                        } else {
                            failures.push(failure.hint(format!("{}, from this `{origin}`", kind.how())));
                        }
                    }
                    Err(failure) if !failures.contains(&failure) => failures.push(failure),
                    Err(_) => {}
                }
            }
        }
        self.warnings = warnings;
        Failure::all(failures).map_or(Ok(()), Err)
    }

    /// What to warn about when the own document has this digest: documents that were made from an earlier one.
    pub(crate) fn outdated_by(&self, own: Kind, digest: &Digest) -> Vec<Note> {
        let mut notes = Vec::new();
        for document in &self.documents {
            let Some(kind) = document.kind.filter(|kind| *kind != own) else { continue };
            if document.from.iter().any(|(origin, old)| *origin == own && old != digest) {
                let failure = Failure::wrong(format!("the `{kind}` document was made from another `{own}`"))
                    .at(self.place(document));
                notes.extend(input::warning(if kind.is_report() {
                    failure.hint("it reports on an earlier state")
                } else {
                    failure.hint(kind.how())
                }));
            }
        }
        notes
    }

    /// What is passed on: every document but that of the own kind, each with its line end, bytes kept. Neighbours are one piece.
    pub(crate) fn passed(&self, own: Kind) -> Result<Vec<&[u8]>, Failure> {
        let mut pieces: Vec<(usize, Range<usize>)> = Vec::new();
        for document in self.documents.iter().filter(|document| document.kind != Some(own)) {
            let Some(input) = self.inputs.get(document.input) else { continue };
            if let Some(failure) =
                input.yaml.as_ref().and_then(|tree| input::repeated_keys(&document.source, tree))
            {
                return Err(failure);
            }
            match pieces.last_mut() {
                Some((last, range))
                    if *last == document.input
                        && input.text.get(range.end..document.range.start) == Some("\n") =>
                {
                    range.end = document.range.end;
                }
                _ => pieces.push((document.input, document.range.clone())),
            }
        }
        let text = |(input, range): (usize, Range<usize>)| {
            let text = self.inputs.get(input).and_then(|input| input.text.get(range)).unwrap_or_default();
            [text.as_bytes(), b"\n"]
        };
        Ok(pieces.into_iter().flat_map(text).collect())
    }
}

/// A place in a document that begins at `start`.
fn moved(place: Place, start: Place) -> Place {
    Place {
        line: place.line.saturating_add(start.line - 1),
        column: if place.line == 1 { place.column.saturating_add(start.column - 1) } else { place.column },
    }
}

fn shift(tree: &mut Tree, start: Place) {
    tree.place = moved(tree.place, start);
    match &mut tree.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, start)),
        Value::Map(entries) => {
            for (key, value) in entries {
                key.place = moved(key.place, start);
                shift(value, start);
            }
        }
        _ => {}
    }
}
