//! JSON to a [`Tree`]: `serde_json` does the lexing, and where each piece lies in the text gives its place.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::members::Members;
use crate::problem::{Code, Problem, Problems};
use crate::tree::{self, Key, Place, Tree, Value};

/// Reads one JSON value.
pub(crate) fn parse(text: &str) -> Result<Tree, Problems> {
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| tree::one(syntax(&error, Place::START)))?;
    let mut reader = Reader { text, offset: 0, place: Place::START };
    reader.value(raw, 0).map_err(tree::one)
}

/// Walks forward through the text, so that counting lines costs one pass in all.
struct Reader<'a> {
    text: &'a str,
    offset: usize,
    place: Place,
}

impl<'a> Reader<'a> {
    fn value(&mut self, raw: &'a RawValue, depth: usize) -> Result<Tree, Problem> {
        let place = self.place_of(raw);
        if depth > tree::MAX_DEPTH {
            return Err(tree::too_deep(place));
        }
        let text = raw.get();
        let value = match text.as_bytes().first() {
            Some(b'{') => {
                let Members::<&RawValue, &RawValue>(members) = read(text, place)?;
                let mut entries = Vec::with_capacity(members.len());
                for (key, value) in members {
                    let place = self.place_of(key);
                    let key = Key { text: read(key.get(), place)?, place };
                    entries.push((key, self.value(value, depth + 1)?));
                }
                Value::Map(entries)
            }
            Some(b'[') => {
                let items: Vec<&'a RawValue> = read(text, place)?;
                Value::List(
                    items.into_iter().map(|item| self.value(item, depth + 1)).collect::<Result<_, _>>()?,
                )
            }
            Some(b'"') => Value::Text(read(text, place)?),
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'n') => Value::Null,
            _ => tree::checked_number(text, place)?,
        };
        Ok(Tree { value, place })
    }

    /// Where a piece of the text begins. Pieces are asked for in the order of the text.
    fn place_of(&mut self, raw: &RawValue) -> Place {
        let offset = (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        for byte in self.text.as_bytes().get(self.offset..offset).unwrap_or_default() {
            self.place.pass(*byte);
        }
        self.offset = self.offset.max(offset);
        self.place
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str, place: Place) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| syntax(&error, place))
}

fn syntax(error: &serde_json::Error, start: Place) -> Problem {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let (line, column) =
        (u32::try_from(error.line()).unwrap_or(u32::MAX), u32::try_from(error.column()).unwrap_or(u32::MAX));
    let place = if line <= 1 {
        Place { line: start.line, column: start.column.saturating_add(column.saturating_sub(1)) }
    } else {
        Place { line: start.line.saturating_add(line - 1), column: column.max(1) }
    };
    Problem::error(Code::Syntax, "", "this is no valid JSON").because(what).at(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> (Code, Option<Place>) {
        let problems = parse(text).unwrap_err();
        let problem = problems.iter().next().unwrap();
        (problem.code, problem.place)
    }

    #[test]
    fn places_and_repeated_keys_are_kept() {
        let tree = parse("{\n  \"ä\": [1, \"x\"],\n  \"ä\": {\"b\": null}, \"c\": -2.5e3\n}").unwrap();
        let Value::Map(entries) = &tree.value else { panic!("{tree:?}") };
        let keys: Vec<_> =
            entries.iter().map(|(key, value)| (key.text.as_str(), key.place, value.place)).collect();
        let at = |line, column| Place { line, column };
        assert_eq!(keys, [("ä", at(2, 3), at(2, 8)), ("ä", at(3, 3), at(3, 8)), ("c", at(3, 21), at(3, 26))]);
        assert_eq!(tree.to_json().to_string(), "{\"c\":-2500.0,\"ä\":{\"b\":null}}");
    }

    #[test]
    fn what_is_no_json_is_refused_at_its_place() {
        assert_eq!(code("{\n \"a\": nul }"), (Code::Syntax, Some(Place { line: 2, column: 10 })));
        assert_eq!(code("{\"a\": \"\\ud800\"}").0, Code::Syntax);
        assert_eq!(code("[01]").0, Code::Syntax);
        assert_eq!(code(&"[".repeat(100_000)).0, Code::Syntax);
        assert_eq!(code(&("[".repeat(1000) + &"]".repeat(1000))).0, Code::TooLarge);
        assert_eq!(code("[1e999]").0, Code::OutOfRange);
        assert_eq!(code("[9007199254740993]").0, Code::OutOfRange);
    }
}
