//! A document as written: values with the line and column that each came from, and every key, also a repeated one.
//!
//! serde's own types forget all three, and with them the chance to report every problem at its place.

use crate::problem::{Code, Problem, Problems};
pub use crate::yaml::MAX_BYTES as MAX_YAML;
use crate::{json, yaml};

/// How deep values may lie in one another.
pub(crate) const MAX_DEPTH: usize = 64;
/// Integers beyond this are not the same number to every reader of JSON (RFC 8259, 6).
const MAX_INTEGER: u64 = 1 << 53;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Goes on past one octet of UTF-8.
    pub(crate) fn pass(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else if byte & 0xC0 != 0x80 {
            self.column = self.column.saturating_add(1);
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The value.
    pub value: Value,
    /// Where it begins.
    pub place: Place,
}

/// A value of a [`Tree`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Tree>),
    /// A mapping in its written order; a key may stand in it twice.
    Map(Vec<(Key, Tree)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// Reads one JSON value.
pub fn parse_json(text: &str) -> Result<Tree, Problems> {
    json::parse(text)
}

/// Reads one YAML 1.2 document.
pub fn parse_yaml(text: &str) -> Result<Tree, Problems> {
    yaml::parse(text)
}

/// The bytes as text; refused at the first that is no UTF-8.
pub fn from_bytes(bytes: &[u8]) -> Result<&str, Problems> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, bad) = bytes.split_at(error.valid_up_to());
        let mut place = Place::START;
        for byte in good {
            place.pass(*byte);
        }
        let byte = bad.first().copied().unwrap_or_default();
        let problem =
            Problem::error(Code::Encoding, "", format!("the octet 0x{byte:02x} is no UTF-8")).at(place);
        one(match bytes {
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => problem.hint("this looks like UTF-16; save it as UTF-8"),
            _ => problem.hint("save the file as UTF-8"),
        })
    })
}

/// A single problem.
pub(crate) fn one(problem: Problem) -> Problems {
    let mut problems = Problems::new();
    problems.push(problem);
    problems
}

pub(crate) fn too_deep(place: Place) -> Problem {
    Problem::error(Code::TooLarge, "", format!("values lie more than {MAX_DEPTH} deep in one another"))
        .at(place)
}

/// Whether plain text is a number to YAML 1.2's core schema (JSON's numbers are among them).
pub(crate) fn looks_like_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_is_good = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_is_good = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_is_good && exponent_is_good
}

/// The number as a whole one, when it is written as one.
pub(crate) fn integer(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0o") {
        return i128::from_str_radix(digits, 8).ok();
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i128::from_str_radix(digits, 16).ok();
    }
    text.parse().ok()
}

fn is_written_whole(text: &str) -> bool {
    text.starts_with("0x") || text.starts_with("0o") || !text.contains(['.', 'e', 'E'])
}

/// A number, unless JSON's readers could disagree about it.
pub(crate) fn checked_number(text: &str, place: Place) -> Result<Value, Problem> {
    let exact = if is_written_whole(text) {
        integer(text).is_some_and(|number| number.unsigned_abs() <= u128::from(MAX_INTEGER))
    } else {
        text.parse::<f64>().is_ok_and(f64::is_finite)
    };
    if exact {
        return Ok(Value::Number(text.to_owned()));
    }
    let short: String = text.chars().take(40).collect();
    Err(Problem::error(Code::OutOfRange, "", format!("the number `{short}` is too large to be read exactly"))
        .at(place)
        .hint("quote it if it is text"))
}

impl Tree {
    /// The same value in serde's form: the last of a repeated key, no places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => match integer(text) {
                Some(whole) => i64::try_from(whole).map_or(Json::Null, Json::from),
                None => text
                    .parse::<f64>()
                    .ok()
                    .and_then(serde_json::Number::from_f64)
                    .map_or(Json::Null, Json::Number),
            },
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.text.clone(), value.to_json())).collect())
            }
        }
    }

    /// The value under `key`, the first when there are several.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value at a path such as `spec.sites[1].name`; the nearest existing ancestor when it is absent.
    pub fn nearest(&self, path: &str) -> &Self {
        let mut here = self;
        for step in path.split(['.', '[']) {
            let next = match (step.strip_suffix(']'), &here.value) {
                (Some(index), Value::List(items)) => index.parse::<usize>().ok().and_then(|i| items.get(i)),
                (None, Value::Map(_)) => here.get(step),
                _ => None,
            };
            match next {
                Some(next) => here = next,
                None => return here,
            }
        }
        here
    }
}
