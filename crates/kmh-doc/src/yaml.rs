//! YAML 1.2 to a [`Tree`]: one document, core schema, only what JSON can hold.
//!
//! `no`, `on` and `12:30` are text, as YAML 1.2 has it. Aliases are expanded within a budget. Refused: a second
//! document, merge keys (YAML 1.1), tags beyond the core schema, keys that are no scalars.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::problem::{Code, Problem, Problems};
use crate::tree::{self, Key, Place, Tree, Value};

/// Octets of a whole YAML input; an inventory of ten thousand nodes has three million.
pub const MAX_BYTES: usize = 32 << 20;
/// Octets of one line.
const MAX_LINE: usize = 1 << 20;
/// Values, keys not counted.
const MAX_NODES: usize = 1_000_000;
/// What aliases may add: one for each value, one for each octet of text.
const MAX_EXPANSION: usize = 1_000_000;

/// Reads one YAML document.
pub(crate) fn parse(text: &str) -> Result<Tree, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    measure(text).map_err(tree::one)?;
    let reader =
        Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0, expanded: 0 };
    reader.document().map_err(tree::one)
}

/// What must hold before the scanner sees the text: it ends its work silently at a NUL.
fn measure(text: &str) -> Result<(), Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::error(
            Code::TooLarge,
            "",
            format!("the input has {} octets, more than the {MAX_BYTES} that are read", text.len()),
        )
        .at(Place::START));
    }
    for (number, line) in (1..).zip(text.split('\n')) {
        let place = |column| Place { line: number, column };
        if line.len() > MAX_LINE {
            return Err(Problem::error(
                Code::TooLarge,
                "",
                format!("a line has {} octets, more than the {MAX_LINE} that are read", line.len()),
            )
            .at(place(1)));
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some((column, c)) =
            (1..).zip(line.chars()).find(|(_, c)| *c != '\t' && (c.is_control() || *c == '\u{feff}'))
        {
            return Err(Problem::error(
                Code::Syntax,
                "",
                format!("the control character U+{:04X} cannot stand in YAML", u32::from(c)),
            )
            .at(place(column))
            .hint("remove it, or write it escaped in double quotes"));
        }
    }
    Ok(())
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Anchored values and what a copy of each costs.
    anchors: BTreeMap<usize, (Tree, usize)>,
    nodes: usize,
    expanded: usize,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Tree, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Problem::error(Code::Syntax, "", "a second YAML document begins here")
                        .at(place(span.start))
                        .hint("write one document in one file, and name both files"));
                }
                Event::DocumentStart(_) => {
                    let (event, span) = self.next()?;
                    root = Some(self.value(event, span, 0)?.0);
                }
                _ => {}
            }
        }
        root.ok_or_else(|| {
            Problem::error(Code::Syntax, "", "the input holds no YAML document").at(Place::START)
        })
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(syntax(&error)),
            None => Err(Problem::error(Code::Syntax, "", "the input ends too early")),
        }
    }

    /// The value that begins with `event`, and what a copy of it costs.
    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<(Tree, usize), Problem> {
        let place = place(span.start);
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::error(
                Code::TooLarge,
                "",
                format!("the input holds more than {MAX_NODES} values"),
            )
            .at(place));
        }
        if depth > tree::MAX_DEPTH {
            return Err(tree::too_deep(place));
        }
        let (value, cost, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let cost = 1 + text.len();
                (scalar(&text, style, tag.as_deref(), place)?, cost, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                accept_tag(tag.as_deref(), "seq", place)?;
                let (mut items, mut cost) = (Vec::new(), 1);
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    let (item, more) = self.value(event, span, depth + 1)?;
                    items.push(item);
                    cost += more;
                }
                (Value::List(items), cost, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                accept_tag(tag.as_deref(), "map", place)?;
                let (mut entries, mut cost) = (Vec::new(), 1);
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::MappingEnd {
                        break;
                    }
                    let key = self.key(event, span)?;
                    cost += key.text.len();
                    let (event, span) = self.next()?;
                    let (value, more) = self.value(event, span, depth + 1)?;
                    entries.push((key, value));
                    cost += more;
                }
                (Value::Map(entries), cost, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, place),
            _ => return Err(Problem::error(Code::Syntax, "", "a value is missing here").at(place)),
        };
        let tree = Tree { value, place };
        if anchor != 0 {
            self.anchors.insert(anchor, (tree.clone(), cost));
        }
        Ok((tree, cost))
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(Tree, usize), Problem> {
        let Some((tree, cost)) = self.anchors.get(&anchor) else {
            return Err(Problem::error(Code::Syntax, "", "an alias stands inside of what it names").at(place));
        };
        self.expanded += cost;
        if self.expanded > MAX_EXPANSION {
            return Err(Problem::error(Code::TooLarge, "", "aliases make the input grow beyond all measure")
                .at(place)
                .because(format!(
                    "copies of anchored values would hold more than {MAX_EXPANSION} values and octets"
                ))
                .hint("write the values out"));
        }
        Ok((Tree { value: tree.value.clone(), place }, *cost))
    }

    fn key(&mut self, event: Event<'a>, span: Span) -> Result<Key, Problem> {
        let place = place(span.start);
        let text = match event {
            Event::Scalar(text, style, anchor, tag) => {
                accept_tag(tag.as_deref(), "str", place)?;
                if text == "<<" && style == ScalarStyle::Plain {
                    return Err(Problem::error(
                        Code::Syntax,
                        "",
                        "the merge key `<<` is no part of YAML 1.2",
                    )
                    .at(place)
                    .hint("write the keys out"));
                }
                let text = text.into_owned();
                if anchor != 0 {
                    let cost = 1 + text.len();
                    self.anchors.insert(anchor, (Tree { value: Value::Text(text.clone()), place }, cost));
                }
                text
            }
            Event::Alias(anchor) => match self.alias(anchor, place)?.0.value {
                Value::Text(text) => text,
                _ => return Err(bad_key(place)),
            },
            _ => return Err(bad_key(place)),
        };
        Ok(Key { text, place })
    }
}

fn bad_key(place: Place) -> Problem {
    Problem::error(Code::Syntax, "", "a key must be text")
        .at(place)
        .hint("a list or a mapping cannot be a key; quote it if it is text")
}

fn place(mark: Marker) -> Place {
    Place {
        line: u32::try_from(mark.line()).unwrap_or(u32::MAX),
        column: u32::try_from(mark.col() + 1).unwrap_or(u32::MAX),
    }
}

fn syntax(error: &ScanError) -> Problem {
    let problem = Problem::error(Code::Syntax, "", "this is no valid YAML")
        .because(error.info().to_lowercase())
        .at(place(*error.marker()));
    if error.info().contains("tab") { problem.hint("indent with spaces") } else { problem }
}

fn accept_tag(tag: Option<&Tag>, wanted: &str, place: Place) -> Result<(), Problem> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == wanted => Ok(()),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(()),
        Some(tag) => Err(bad_tag(tag, place)),
    }
}

fn bad_tag(tag: &Tag, place: Place) -> Problem {
    let written = if tag.is_yaml_core_schema() {
        format!("!!{}", tag.suffix)
    } else {
        format!("{}{}", tag.handle, tag.suffix)
    };
    Problem::error(Code::Syntax, "", format!("the tag `{written}` has no meaning here"))
        .at(place)
        .hint("remove it")
}

/// A scalar by the core schema (YAML 1.2.2, 10.3.2).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<Value, Problem> {
    let plain = || -> Result<Value, Problem> {
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ if is_endless(text) => {
                return Err(Problem::error(
                    Code::OutOfRange,
                    "",
                    format!("`{text}` is no number that JSON can hold"),
                )
                .at(place)
                .hint("quote it if it is text"));
            }
            _ if tree::looks_like_number(text) => tree::checked_number(text, place)?,
            _ => Value::Text(text.to_owned()),
        })
    };
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain() } else { Ok(Value::Text(text.to_owned())) };
    };
    if tag.is_yaml_core_schema() {
        let value = plain()?;
        match (tag.suffix.as_str(), &value) {
            ("str", _) => return Ok(Value::Text(text.to_owned())),
            ("int" | "float", Value::Number(_)) | ("bool", Value::Bool(_)) | ("null", Value::Null) => {
                return Ok(value);
            }
            _ => {}
        }
    } else if tag.handle.is_empty() && tag.suffix == "!" {
        return Ok(Value::Text(text.to_owned()));
    }
    Err(bad_tag(tag, place))
}

fn is_endless(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> serde_json::Value {
        parse(text).unwrap_or_else(|problems| panic!("{text:?}: {problems:?}")).to_json()
    }

    fn refused(text: &str) -> (Code, u32, u32, String) {
        let problems = match parse(text) {
            Ok(tree) => panic!("{text:?} was read as {tree:?}"),
            Err(problems) => problems,
        };
        let problem = problems.iter().next().unwrap().clone();
        let place = problem.place.unwrap();
        (problem.code, place.line, place.column, problem.message)
    }

    #[test]
    fn the_core_schema_and_no_more() {
        let rows = [
            ("no", json!("no")),
            ("on", json!("on")),
            ("12:30", json!("12:30")),
            ("1_000", json!("1_000")),
            ("2026-01-01", json!("2026-01-01")),
            ("1.36.2", json!("1.36.2")),
            ("=", json!("=")),
            ("True", json!(true)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("010", json!(10)),
            ("+5", json!(5)),
            ("1.30", json!(1.3)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("0o9", json!("0o9")),
            ("'1'", json!("1")),
            ("\"null\"", json!("null")),
            ("!!str 1.30", json!("1.30")),
            ("! 1.30", json!("1.30")),
            ("!!int 7", json!(7)),
            ("|\n   two\n   lines\n", json!("two\nlines\n")),
        ];
        for (text, value) in rows {
            assert_eq!(read(&format!("a: {text}")), json!({"a": value}), "{text}");
        }
        assert_eq!(read("\u{feff}a: 1\r\nb: 2\r\n"), json!({"a": 1, "b": 2}));
        assert_eq!(read("---\n1: a\nno: b\n...\n"), json!({"1": "a", "no": "b"}));
    }

    #[test]
    fn anchors_are_copied_and_lead_to_their_place() {
        let tree = parse("a: &x\n  b: [1, 2]\nc: *x\n").unwrap();
        assert_eq!(tree.to_json(), json!({"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}));
        assert_eq!(tree.get("c").unwrap().place, Place { line: 3, column: 4 });
        assert_eq!(tree.nearest("c.b[1]").place, Place { line: 2, column: 10 });
    }

    #[test]
    fn what_is_not_taken_is_refused_at_its_place() {
        let rows = [
            ("a: 1\n---\nb: 2\n", Code::Syntax, 2, 1, "a second YAML document begins here"),
            ("a:\n  <<: {b: 1}\n", Code::Syntax, 2, 3, "the merge key `<<` is no part of YAML 1.2"),
            ("a: !vault 1\n", Code::Syntax, 1, 4, "the tag `!vault` has no meaning here"),
            ("a: !!binary AAAA\n", Code::Syntax, 1, 4, "the tag `!!binary` has no meaning here"),
            ("a: !!int x\n", Code::Syntax, 1, 4, "the tag `!!int` has no meaning here"),
            ("? [a, b]\n: 1\n", Code::Syntax, 1, 3, "a key must be text"),
            ("a: .inf\n", Code::OutOfRange, 1, 4, "`.inf` is no number that JSON can hold"),
            (
                "a: 18446744073709551616\n",
                Code::OutOfRange,
                1,
                4,
                "the number `18446744073709551616` is too large to be read exactly",
            ),
            ("a: x\u{0}y\n", Code::Syntax, 1, 5, "the control character U+0000 cannot stand in YAML"),
            ("a: 1\nb: \u{1b}[1m\n", Code::Syntax, 2, 4, "the control character U+001B cannot stand in YAML"),
            ("", Code::Syntax, 1, 1, "the input holds no YAML document"),
            ("# only a comment\n", Code::Syntax, 1, 1, "the input holds no YAML document"),
            ("a: &x [*x]\n", Code::Syntax, 1, 8, "an alias stands inside of what it names"),
            ("a:\n\t- b\n", Code::Syntax, 2, 2, "this is no valid YAML"),
            ("a: *nobody\n", Code::Syntax, 1, 4, "this is no valid YAML"),
        ];
        for (text, code, line, column, message) in rows {
            assert_eq!(refused(text), (code, line, column, message.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn nothing_grows_beyond_measure() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(refused(&deep(100)).0, Code::TooLarge);
        assert!(matches!(refused(&deep(100_000)).0, Code::TooLarge | Code::Syntax));
        assert_eq!(refused(&format!("a: {}", "x".repeat(MAX_LINE))).0, Code::TooLarge);
        assert_eq!(refused(&"- 1\n".repeat(MAX_NODES + 1)).0, Code::TooLarge);
        assert_eq!(refused(&"#\n".repeat(MAX_BYTES)).0, Code::TooLarge);
        let text = "y".repeat(100_000);
        assert_eq!(refused(&format!("a: &a {text}\nb: [{}]", ["*a"; 20].join(", "))).0, Code::TooLarge);
    }
}
