//! The canonical form of JSON (RFC 8785, JCS), written straight from JSON text.
//!
//! From the text and not from a parsed value, because a parsed value has forgotten what must be refused: a key that stands
//! in an object twice, an integer that a reader with doubles would round (RFC 7493, I-JSON). And because documents may
//! have hundreds of megabytes: almost every string is copied as it stands.

use std::borrow::Cow;
use std::cmp::Ordering;

use memchr::memchr2;

mod pieces;

pub(crate) use pieces::write_pieces;

/// The largest integer up to which a reader with doubles keeps every one (RFC 8785, 3.2.2.3 and appendix D).
const MAX_INTEGER: u64 = 1 << 53;
/// Deeper than any document of ours; the walk is recursive.
const MAX_DEPTH: usize = 128;

/// Why a text has no canonical form, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flaw}")]
pub struct Defect {
    /// What is wrong.
    pub flaw: Flaw,
    /// The octet of the text at which it stands.
    pub offset: usize,
    /// The path of the value, such as `[3].name`; below the text's root.
    pub path: String,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A key that its object has twice.
    #[error("the key `{0}` is written twice")]
    DuplicateKey(String),
    /// A number that a reader with double precision does not keep.
    #[error("the number `{0}` is too large to be read exactly")]
    BigNumber(String),
    /// Half of a UTF-16 surrogate pair.
    #[error("a string holds half of a surrogate pair")]
    LoneSurrogate,
    /// Values nested too deeply.
    #[error("values lie more than {MAX_DEPTH} deep in one another")]
    TooDeep,
    /// No JSON.
    #[error("this is no valid JSON")]
    Syntax,
}

impl Flaw {
    /// How to put it right.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BigNumber(_) => Some("write it as a string"),
            Self::DuplicateKey(_) => Some("remove one of them"),
            _ => None,
        }
    }
}

/// Appends the canonical form of one JSON value.
pub fn write(json: &str, out: &mut Vec<u8>) -> Result<(), Defect> {
    write_below(json, 0, out)
}

/// The same of a value that lies so deep in others.
fn write_below(json: &str, depth: usize, out: &mut Vec<u8>) -> Result<(), Defect> {
    let mut walk = Walk { text: json, at: 0, out, depth, scratch: Vec::new() };
    walk.space();
    walk.value().map_err(|(flaw, offset, path)| Defect {
        flaw,
        offset,
        path: path.into_iter().rev().collect::<String>().trim_start_matches('.').to_owned(),
    })?;
    walk.space();
    if walk.at == json.len() {
        Ok(())
    } else {
        Err(Defect { flaw: Flaw::Syntax, offset: walk.at, path: String::new() })
    }
}

/// Flaw, place, and the steps of the path from the inside out.
type Fault = (Flaw, usize, Vec<String>);

/// A member of an object that was written out already.
struct Member<'a> {
    key: Cow<'a, str>,
    /// Where the key stands in the input.
    at: usize,
    /// Where its text, `"key":value`, lies in the output.
    start: usize,
    end: usize,
}

struct Walk<'t, 'o> {
    text: &'t str,
    at: usize,
    out: &'o mut Vec<u8>,
    depth: usize,
    /// Room for sorting, kept from one object to the next.
    scratch: Vec<u8>,
}

impl<'t> Walk<'t, '_> {
    fn fail<T>(&self, flaw: Flaw) -> Result<T, Fault> {
        Err((flaw, self.at, Vec::new()))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Passes `byte` and the space behind it.
    fn pass(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
            self.space();
        }
        found
    }

    fn value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let Some(word) = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word))
                else {
                    return self.fail(Flaw::Syntax);
                };
                self.out.extend_from_slice(word.as_bytes());
                self.at += word.len();
                Ok(())
            }
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return self.fail(Flaw::TooDeep);
        }
        self.depth += 1;
        let done = inner(self);
        self.depth -= 1;
        done
    }

    fn array(&mut self) -> Result<(), Fault> {
        self.pass(b'[');
        self.out.push(b'[');
        if !self.pass(b']') {
            for index in 0_usize.. {
                self.value().map_err(|(flaw, at, mut path)| {
                    path.push(format!("[{index}]"));
                    (flaw, at, path)
                })?;
                self.space();
                if self.pass(b',') {
                    self.out.push(b',');
                } else if self.peek() == Some(b']') {
                    self.at += 1;
                    break;
                } else {
                    return self.fail(Flaw::Syntax);
                }
            }
        }
        // `pass` above skipped the space behind an empty array's end; nothing depends on it.
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self) -> Result<(), Fault> {
        self.pass(b'{');
        self.out.push(b'{');
        let begin = self.out.len();
        let mut members: Vec<Member<'t>> = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let (start, at) = (self.out.len(), self.at);
                if self.peek() != Some(b'"') {
                    return self.fail(Flaw::Syntax);
                }
                let key = said(self.string()?).map_err(|flaw| (flaw, at, Vec::new()))?;
                self.space();
                if !self.pass(b':') {
                    return self.fail(Flaw::Syntax);
                }
                self.out.push(b':');
                self.value().map_err(|(flaw, at, mut path)| {
                    path.push(format!(".{key}"));
                    (flaw, at, path)
                })?;
                members.push(Member { key, at, start, end: self.out.len() });
                self.space();
                if self.pass(b',') {
                    self.out.push(b',');
                } else if self.peek() == Some(b'}') {
                    self.at += 1;
                    break;
                } else {
                    return self.fail(Flaw::Syntax);
                }
            }
        }
        self.sort(begin, &mut members)?;
        self.out.push(b'}');
        Ok(())
    }

    /// Puts the members, which were written in the order of the text, into the order of their keys.
    fn sort(&mut self, begin: usize, members: &mut [Member<'t>]) -> Result<(), Fault> {
        if members.is_sorted_by(|one, next| utf16(&one.key, &next.key) == Ordering::Less) {
            return Ok(());
        }
        members.sort_by(|one, next| utf16(&one.key, &next.key));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err((Flaw::DuplicateKey(pair[1].key.clone().into_owned()), pair[1].at, Vec::new()));
        }
        self.scratch.clear();
        // The longest member moves inside the output; only the others are copied away. The outermost objects of a
        // document hold nearly all of it in one member, and must not cost its size in memory again.
        let Some(longest) = members.iter().max_by_key(|member| member.end - member.start) else {
            return Ok(());
        };
        let (start, end) = (longest.start, longest.end);
        let mut ahead = None;
        for member in members.iter() {
            if !self.scratch.is_empty() || ahead.is_some_and(|ahead: usize| ahead == 0) {
                self.scratch.push(b',');
            }
            if member.start == start {
                ahead = Some(self.scratch.len());
            } else {
                self.scratch.extend_from_slice(self.out.get(member.start..member.end).unwrap_or_default());
            }
        }
        let ahead = ahead.unwrap_or_default();
        let moved = begin + ahead;
        self.out.copy_within(start..end, moved);
        self.out.truncate(moved + (end - start));
        if let (Some(room), Some(text)) = (self.out.get_mut(begin..moved), self.scratch.get(..ahead)) {
            room.copy_from_slice(text);
        }
        self.out.extend_from_slice(self.scratch.get(ahead..).unwrap_or_default());
        Ok(())
    }

    /// Writes a string, and gives it as it stands in the input, quotes included.
    fn string(&mut self) -> Result<&'t str, Fault> {
        let (start, mut canonical) = (self.at, true);
        let mut end = start + 1;
        loop {
            let rest = self.text.as_bytes().get(end..).unwrap_or_default();
            let Some(step) = memchr2(b'"', b'\\', rest) else { return self.fail(Flaw::Syntax) };
            end += step;
            if rest.get(step) == Some(&b'"') {
                break;
            }
            // The canonical form has these escapes itself (RFC 8785, 3.2.2.2).
            canonical &= matches!(rest.get(step + 1), Some(b'"' | b'\\' | b'n' | b't' | b'r' | b'b' | b'f'));
            end += 2;
        }
        let Some(quoted) = self.text.get(start..=end) else { return self.fail(Flaw::Syntax) };
        if canonical {
            self.out.extend_from_slice(quoted.as_bytes());
        } else {
            string(&said(quoted).map_err(|flaw| (flaw, start, Vec::new()))?, self.out);
        }
        self.at = end + 1;
        Ok(quoted)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length =
            rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let text = rest.get(..length).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        if whole && !leading_zero && digits != "0" {
            if digits.parse::<u64>().is_ok_and(|number| number <= MAX_INTEGER) {
                self.out.extend_from_slice(text.as_bytes());
                self.at += length;
                return Ok(());
            }
            return self.fail(Flaw::BigNumber(text.chars().take(40).collect()));
        }
        match serde_json::from_str::<f64>(text) {
            Ok(number) => {
                // ECMAScript's notation (RFC 8785, 3.2.2.3) is the library's work.
                let Ok(canonical) = serde_json_canonicalizer::to_vec(&number) else {
                    return self.fail(Flaw::Syntax);
                };
                self.out.extend_from_slice(&canonical);
                self.at += length;
                Ok(())
            }
            Err(error) if error.to_string().starts_with("number out of range") => {
                self.fail(Flaw::BigNumber(text.chars().take(40).collect()))
            }
            Err(_) => self.fail(Flaw::Syntax),
        }
    }
}

/// What a string says; `quoted` is its JSON.
fn said(quoted: &str) -> Result<Cow<'_, str>, Flaw> {
    match quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Ok(inner.into()),
        _ => serde_json::from_str(quoted)
            .map(Cow::Owned)
            .map_err(|_| if quoted.contains("\\u") { Flaw::LoneSurrogate } else { Flaw::Syntax }),
    }
}

/// RFC 8785, 3.2.3: keys are ordered by their UTF-16 code units, which for characters beyond U+FFFF is not the order
/// of UTF-8.
fn utf16(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        one.cmp(other)
    } else {
        one.encode_utf16().cmp(other.encode_utf16())
    }
}

/// Appends a string in its canonical spelling (RFC 8785, 3.2.2.2).
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(br#"\""#),
            '\\' => out.extend_from_slice(br"\\"),
            '\u{8}' => out.extend_from_slice(br"\b"),
            '\t' => out.extend_from_slice(br"\t"),
            '\n' => out.extend_from_slice(br"\n"),
            '\u{c}' => out.extend_from_slice(br"\f"),
            '\r' => out.extend_from_slice(br"\r"),
            '\0'..='\u{1f}' => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
