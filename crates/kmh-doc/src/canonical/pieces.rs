//! The canonical form of a large object, a piece at a time: each value of it, and of its arrays each element, so that the
//! form of a document with a hundred thousand entries is never held as a whole.

use std::borrow::Cow;
use std::cmp::Ordering;

use memchr::memchr2;

use super::{said, utf16, write_below};

/// Hands the canonical form of an object to `eat`, piece by piece. False: it is no object, or has none, and what was
/// eaten is worth nothing; why, [`super::write`] says.
pub(crate) fn write_pieces(json: &str, eat: &mut dyn FnMut(&[u8])) -> bool {
    pieces(json, eat).is_some()
}

fn pieces(json: &str, eat: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut members = members(json.trim_matches(SPACE))?;
    members.sort_by(|(one, ..), (next, ..)| utf16(one, next));
    if members.windows(2).any(|pair| utf16(&pair[0].0, &pair[1].0) == Ordering::Equal) {
        return None;
    }
    let mut buffer = Vec::new();
    let mut piece = |text: &str, depth: usize, eat: &mut dyn FnMut(&[u8])| {
        buffer.clear();
        write_below(text, depth, &mut buffer).ok()?;
        eat(&buffer);
        Some(())
    };
    let mut before: &[u8] = b"{";
    for (_, key, value) in members {
        eat(before);
        before = b",";
        piece(key, 1, eat)?;
        eat(b":");
        if !value.starts_with('[') {
            piece(value, 1, eat)?;
            continue;
        }
        let mut before: &[u8] = b"[";
        for element in inside(value, '[', ']')? {
            eat(before);
            before = b",";
            piece(element, 2, eat)?;
        }
        eat(if before == b"[" { b"[]" } else { b"]" });
    }
    eat(if before == b"{" { b"{}" } else { b"}" });
    Some(())
}

const SPACE: [char; 4] = [' ', '\n', '\r', '\t'];

/// The members of an object: what each key says, and key and value as they are written.
fn members(object: &str) -> Option<Vec<(Cow<'_, str>, &str, &str)>> {
    let member = |text| {
        let end = string_end(text, 0)?;
        let (key, rest) = text.split_at_checked(end)?;
        let value = rest.trim_start_matches(SPACE).strip_prefix(':')?.trim_matches(SPACE);
        Some((said(key).ok()?, key, value))
    };
    inside(object, '{', '}')?.into_iter().map(member).collect()
}

/// What stands between the commas of an object or array, its outermost ones. What is inside is not judged.
fn inside(text: &str, open: char, close: char) -> Option<Vec<&str>> {
    let inner = text.strip_prefix(open)?.strip_suffix(close)?;
    let mut parts = Vec::new();
    if inner.trim_matches(SPACE).is_empty() {
        return Some(parts);
    }
    let mut start = 0;
    while let Some(end) = part(inner, start) {
        parts.push(inner.get(start..end)?.trim_matches(SPACE));
        if end == inner.len() {
            return Some(parts);
        }
        start = end + 1;
    }
    None
}

/// The place of the next comma that stands in no bracket, or the end. None: brackets do not fit.
fn part(text: &str, start: usize) -> Option<usize> {
    let octets = text.as_bytes();
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match octets.get(at) {
            None => return (depth == 0).then_some(at),
            Some(b'"') => at = string_end(text, at)?,
            Some(b'{' | b'[') => (at, depth) = (at + 1, depth + 1),
            Some(b'}' | b']') => (at, depth) = (at + 1, depth.checked_sub(1)?),
            Some(b',') if depth == 0 => return Some(at),
            Some(_) => at += 1,
        }
    }
}

/// The place behind the string that begins at `start`.
fn string_end(text: &str, start: usize) -> Option<usize> {
    let octets = text.as_bytes();
    if octets.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        let step = memchr2(b'"', b'\\', octets.get(at..)?)?;
        at += step;
        if octets.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(json: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        write_pieces(json, &mut |piece| out.extend_from_slice(piece)).then_some(out)
    }

    fn whole(json: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        super::super::write(json, &mut out).ok().map(|()| out)
    }

    #[test]
    fn the_pieces_of_an_object_are_its_canonical_form() {
        for json in [
            "{}",
            " { } ",
            r#"{"b":[],"a":{}}"#,
            " { \"b\" : [ 1.0 , [2,3] , {\"d\":4,\"c\":\"x,]}\\\"\"} ] ,\n \"a\" : null, \"\\u0041\":true } ",
            "{\"\u{20ac}\":1,\"\r\":2,\"\u{fb33}\":3,\"1\":4,\"\u{1f600}\":5,\"\u{80}\":6,\"\u{f6}\":7}",
            r#"{"a":[[],[[]],""],"c":"[","b":-0.0}"#,
        ] {
            assert!(whole(json).is_some(), "{json}");
            assert_eq!(in_pieces(json), whole(json), "{json}");
        }
    }

    #[test]
    fn what_has_no_canonical_form_has_none_in_pieces() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(in_pieces(&nested(127)).is_some() && whole(&nested(127)).is_some());
        for json in [
            &nested(128),
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[,1]}"#,
            r#"{"a":[1}"#,
            r#"{"a":[1]]}"#,
            r#"{"a":[{]}"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{"a":}"#,
            r"{a:1}",
            r#"{"a":1} x"#,
            r#"{"a":1}}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"x"#,
            r#"{"a":"x\"#,
        ] {
            assert_eq!(whole(json), None, "{json}");
            assert_eq!(in_pieces(json), None, "{json}");
        }
    }
}
