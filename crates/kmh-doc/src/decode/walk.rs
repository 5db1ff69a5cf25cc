//! A tree against its shapes: every problem, and what is left without them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json};

use super::shape::{Fields, Id, Required, Shape, Shapes};
use crate::formats;
use crate::problem::{Code, Problem, Problems, quoted};
use crate::tree::{self, Place, Tree, Value};

/// More words than this are not listed in a hint.
const LISTED: usize = 12;

/// What is left of `tree`, every problem, and which items of shortened lists were kept.
pub(super) fn walk(shapes: &Shapes, tree: &Tree, root: &str) -> (Option<Json>, Problems, super::Kept) {
    let mut walker = Walker { shapes, problems: Problems::new(), kept: BTreeMap::new() };
    let json = walker.value(0, tree, &Path::Root(root));
    (json, walker.problems, super::Kept(walker.kept))
}

/// Where the walker is; written out only for problems.
enum Path<'a> {
    Root(&'a str),
    Key(&'a Path<'a>, &'a str),
    /// Position in the input, and among the items that were kept.
    Item(&'a Path<'a>, usize, usize),
}

impl Path<'_> {
    fn written(&self) -> String {
        self.write(&|written, _| written)
    }

    fn kept(&self) -> String {
        self.write(&|_, kept| kept)
    }

    fn write(&self, choose: &dyn Fn(usize, usize) -> usize) -> String {
        match self {
            Self::Root(root) => (*root).to_owned(),
            Self::Key(parent, key) => {
                let path = parent.write(choose);
                let plain =
                    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
                if !plain {
                    return format!("{path}[{}]", serde_json::to_string(key).unwrap_or_default());
                }
                if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") }
            }
            Self::Item(parent, written, kept) => {
                format!("{}[{}]", parent.write(choose), choose(*written, *kept))
            }
        }
    }
}

struct Walker<'a> {
    shapes: &'a Shapes,
    problems: Problems,
    kept: BTreeMap<String, Vec<usize>>,
}

impl Walker<'_> {
    fn refuse(
        &mut self,
        code: Code,
        path: &Path<'_>,
        place: Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Option<Json> {
        let problem = Problem::error(code, path.written(), message).at(place);
        self.problems.push(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
        None
    }

    /// What is left of the value; nothing when it is wrong as a whole.
    fn value(&mut self, id: Id, tree: &Tree, path: &Path<'_>) -> Option<Json> {
        match (self.shapes.get(id), &tree.value) {
            (Shape::Any, _) => Some(self.free(tree, path)),
            (Shape::OneOf(choices), _) => self.one_of(choices, tree, path),
            (Shape::Null, Value::Null) => Some(Json::Null),
            (Shape::Bool, Value::Bool(value)) => Some(Json::Bool(*value)),
            (Shape::Integer { min, max, format }, Value::Number(text)) if tree::integer(text).is_some() => {
                let number = tree::integer(text)?;
                if (*min..=*max).contains(&number) {
                    return Some(tree.to_json());
                }
                self.refuse(
                    Code::OutOfRange,
                    path,
                    tree.place,
                    format!("`{text}` is not between {min} and {max}"),
                    format.map(|_| formats::PRIVATE_ASNS.to_owned()),
                )
            }
            (Shape::Integer { format: Some(formats::ASN), .. }, Value::Number(text) | Value::Text(text))
                if formats::plain_asn(text).is_some() =>
            {
                let plain = formats::plain_asn(text)?;
                let message = format!("{} is no AS number as a plain number", quoted(text));
                let hint = format!("write {plain}; dots and letters mean something else to every program");
                self.refuse(Code::BadAsn, path, tree.place, message, Some(hint))
            }
            (Shape::Number, Value::Number(_)) => Some(tree.to_json()),
            (Shape::Text { format }, Value::Text(text)) => match format
                .as_ref()
                .map_or(Ok(()), |format| formats::check(format, text))
            {
                Ok(()) => Some(Json::String(text.clone())),
                Err(refusal) => self.refuse(refusal.code, path, tree.place, refusal.message, refusal.hint),
            },
            (Shape::Text { format: Some(format) }, Value::Number(text)) if format == "kmh-version" => {
                let whole = match text.matches('.').count() {
                    0 => format!("{text}.0.0"),
                    _ => format!("{text}.0"),
                };
                let hint = format!("quote it, with the patch version: \"{whole}\"");
                self.problems.push(
                    Problem::error(
                        Code::UnquotedVersion,
                        path.written(),
                        format!("the version `{text}` is written as a number"),
                    )
                    .because("as a number 1.30 is the same as 1.3")
                    .hint(hint)
                    .at(tree.place),
                );
                None
            }
            (Shape::Word(words), Value::Text(text)) => {
                if words.contains(text) {
                    return Some(Json::String(text.clone()));
                }
                let message = format!("{} is none of the words that may stand here", quoted(text));
                self.refuse(
                    Code::UnknownWord,
                    path,
                    tree.place,
                    message,
                    best(text, words, 0.8).or_else(|| listed("write", words)),
                )
            }
            (Shape::List(_, Some(count)), Value::List(items)) if items.len() != *count => {
                let message = format!("expected a list of {count}, found one of {}", items.len());
                self.refuse(Code::WrongType, path, tree.place, message, None)
            }
            (Shape::List(item, count), Value::List(items)) => {
                let list = self.list(*item, items, path);
                // With one of them gone, the others do not say what was meant.
                let whole = count.is_none_or(|count| list.as_array().is_some_and(|list| list.len() == count));
                whole.then_some(list)
            }
            (Shape::Map(fields), Value::Map(entries)) => self.map(fields, entries, tree.place, path),
            (shape, found) => self.wrong_type(shape, found, tree.place, path),
        }
    }

    fn wrong_type(&mut self, shape: &Shape, found: &Value, place: Place, path: &Path<'_>) -> Option<Json> {
        let hint = match (shape, found) {
            (Shape::Text { .. } | Shape::Word(_), Value::Number(_) | Value::Bool(_)) => {
                Some("quote it if it is meant as text".to_owned())
            }
            (Shape::Integer { .. } | Shape::Number, Value::Text(text)) if tree::looks_like_number(text) => {
                Some("remove the quotes".to_owned())
            }
            (Shape::Bool, Value::Text(_)) => {
                Some("write `true` or `false`; `yes`, `no`, `on` and `off` are text".to_owned())
            }
            (Shape::List(..), Value::Map(_)) => Some("write `- ` in front of each item".to_owned()),
            (Shape::List(..), Value::Text(_) | Value::Number(_)) => {
                Some("write it in brackets: `[…]`".to_owned())
            }
            (Shape::Map(_), Value::Null) => Some("remove the key, or write `{}`".to_owned()),
            (Shape::List(..), Value::Null) => Some("remove the key, or write `[]`".to_owned()),
            _ => None,
        };
        self.refuse(
            Code::WrongType,
            path,
            place,
            format!("expected {}, found {}", expected(shape), describe(found)),
            hint,
        )
    }

    fn list(&mut self, item: Id, items: &[Tree], path: &Path<'_>) -> Json {
        let (mut values, mut positions) = (Vec::with_capacity(items.len()), Vec::new());
        for (index, tree) in items.iter().enumerate() {
            if let Some(value) = self.value(item, tree, &Path::Item(path, index, values.len())) {
                values.push(value);
                positions.push(index);
            }
        }
        if values.len() < items.len() {
            self.kept.insert(path.kept(), positions);
        }
        Json::Array(values)
    }

    fn map(
        &mut self,
        fields: &Fields,
        entries: &[(tree::Key, Tree)],
        place: Place,
        path: &Path<'_>,
    ) -> Option<Json> {
        let mut object = Map::new();
        let mut seen: HashMap<&str, Place> = HashMap::with_capacity(entries.len());
        let mut whole = true;
        for (key, value) in entries {
            let here = Path::Key(path, &key.text);
            if self.is_repeated(&mut seen, key, &here) {
                continue;
            }
            let (id, need) = match (fields.known.get(&key.text), fields.others) {
                (Some((id, need)), _) => (*id, *need),
                (None, Some(id)) => {
                    if let Some(Err(refusal)) =
                        fields.keys.as_ref().map(|format| formats::check(format, &key.text))
                    {
                        self.refuse(refusal.code, &here, key.place, refusal.message, refusal.hint);
                        continue;
                    }
                    (id, Required::No)
                }
                (None, None) => {
                    let names: Vec<&String> = fields.known.keys().collect();
                    let hint = nearest(&key.text, &names).or_else(|| listed("it may be", &names));
                    self.refuse(
                        Code::UnknownKey,
                        &here,
                        key.place,
                        format!("unknown key {}", quoted(&key.text)),
                        hint,
                    );
                    continue;
                }
            };
            match self.value(id, value, &here) {
                Some(value) => {
                    object.insert(key.text.clone(), value);
                }
                None if need == Required::Yes => whole = false,
                None => {}
            }
        }
        for (name, (_, need)) in &fields.known {
            if *need == Required::Yes && !seen.contains_key(name.as_str()) {
                whole = false;
                self.refuse(Code::MissingKey, path, place, format!("`{name}` is missing"), None);
            }
        }
        whole.then_some(Json::Object(object))
    }

    fn is_repeated<'t>(
        &mut self,
        seen: &mut HashMap<&'t str, Place>,
        key: &'t tree::Key,
        path: &Path<'_>,
    ) -> bool {
        let Some(first) = seen.get(key.text.as_str()) else {
            seen.insert(&key.text, key.place);
            return false;
        };
        self.problems.push(
            Problem::error(
                Code::DuplicateKey,
                path.written(),
                format!("the key {} stands here a second time", quoted(&key.text)),
            )
            .because(format!("it stands in line {}, column {} already", first.line, first.column))
            .hint("keep one of them")
            .at(key.place),
        );
        true
    }

    /// A value of any shape: only repeated keys are wrong.
    fn free(&mut self, tree: &Tree, path: &Path<'_>) -> Json {
        match &tree.value {
            Value::List(items) => Json::Array(
                items.iter().enumerate().map(|(i, item)| self.free(item, &Path::Item(path, i, i))).collect(),
            ),
            Value::Map(entries) => {
                let mut object = Map::new();
                let mut seen = HashMap::with_capacity(entries.len());
                for (key, value) in entries {
                    let here = Path::Key(path, &key.text);
                    if !self.is_repeated(&mut seen, key, &here) {
                        object.insert(key.text.clone(), self.free(value, &here));
                    }
                }
                Json::Object(object)
            }
            _ => tree.to_json(),
        }
    }

    /// The first choice that fits; when none does, the problems of the one that was most likely meant.
    fn one_of(&mut self, choices: &[Id], tree: &Tree, path: &Path<'_>) -> Option<Json> {
        let mut meant: Option<(usize, Id)> = None;
        for id in choices {
            let likeness = self.likeness(*id, tree);
            if likeness == 0 {
                continue;
            }
            let mut trial = Walker { shapes: self.shapes, problems: Problems::new(), kept: BTreeMap::new() };
            if let Some(json) = trial.value(*id, tree, path)
                && !trial.problems.has_errors()
            {
                self.kept.append(&mut trial.kept);
                return Some(json);
            }
            if meant.is_none_or(|(best, _)| likeness > best) {
                meant = Some((likeness, *id));
            }
        }
        match meant {
            Some((_, id)) => self.value(id, tree, path),
            // A number where text or nothing may stand: say what text is expected.
            None => match choices.iter().find(|id| !matches!(self.shapes.get(**id), Shape::Null)) {
                Some(id)
                    if choices.len() == 2
                        && choices.iter().any(|id| matches!(self.shapes.get(*id), Shape::Null)) =>
                {
                    self.value(*id, tree, path)
                }
                Some(id) if !matches!(tree.value, Value::Null) => self.value(*id, tree, path),
                _ => {
                    let words: Vec<&str> = choices.iter().map(|id| expected(self.shapes.get(*id))).collect();
                    let message = format!("expected {}, found {}", words.join(" or "), describe(&tree.value));
                    self.refuse(Code::WrongType, path, tree.place, message, None)
                }
            },
        }
    }

    /// How much the value looks like that shape; 0 when it is of another type altogether.
    fn likeness(&self, id: Id, tree: &Tree) -> usize {
        match (self.shapes.get(id), &tree.value) {
            (Shape::OneOf(choices), _) => {
                choices.iter().map(|id| self.likeness(*id, tree)).max().unwrap_or(0)
            }
            (Shape::Map(fields), Value::Map(entries)) => {
                1 + entries.iter().filter(|(key, _)| fields.known.contains_key(&key.text)).count()
            }
            (Shape::Any, _)
            | (Shape::Null, Value::Null)
            | (Shape::Bool, Value::Bool(_))
            | (Shape::Integer { .. } | Shape::Number, Value::Number(_))
            | (Shape::Text { .. } | Shape::Word(_), Value::Text(_))
            | (Shape::List(..), Value::List(_)) => 1,
            _ => 0,
        }
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any | Shape::OneOf(_) => "a value",
        Shape::Null => "nothing",
        Shape::Bool => "true or false",
        Shape::Integer { .. } => "a whole number",
        Shape::Number => "a number",
        Shape::Text { .. } | Shape::Word(_) => "text",
        Shape::List(..) => "a list",
        Shape::Map(_) => "a mapping",
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(text) => format!("the number {}", quoted(text)),
        Value::Text(text) => format!("the text {}", quoted(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// `did you mean …?`, when a word is near enough to be what was meant.
pub(crate) fn nearest(word: &str, words: &[impl AsRef<str>]) -> Option<String> {
    best(word, words, 0.65)
}

fn best(word: &str, words: &[impl AsRef<str>], least: f64) -> Option<String> {
    // Optimal string alignment: a letter too many, too few, another one, or two swapped.
    let lower = word.to_lowercase();
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let likeness = |known: &str| {
        let longest = lower.chars().count().max(known.chars().count()).max(1);
        1.0 - count(strsim::osa_distance(&lower, &known.to_lowercase())) / count(longest)
    };
    let (likeness, known) = words
        .iter()
        .map(|known| (likeness(known.as_ref()), known.as_ref()))
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)))?;
    (likeness >= least).then(|| format!("did you mean `{known}`?"))
}

fn listed(verb: &str, words: &[impl AsRef<str>]) -> Option<String> {
    let (last, others) = words.split_last()?;
    if words.len() > LISTED {
        return None;
    }
    let others: Vec<String> = others.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    let last = format!("`{}`", last.as_ref());
    Some(if others.is_empty() {
        format!("{verb} {last}")
    } else {
        format!("{verb} {} or {last}", others.join(", "))
    })
}
