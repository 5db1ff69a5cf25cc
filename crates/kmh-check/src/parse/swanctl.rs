//! `swanctl.conf` (swanctl.conf(5)): sections in braces, assignments, comments.

use nom::IResult;
use nom::Parser as _;
use nom::branch::alt;
use nom::bytes::complete::{is_not, take_while1};
use nom::character::complete::{char, line_ending, multispace1, not_line_ending};
use nom::combinator::{eof, map, recognize, value};
use nom::multi::{many0, many0_count};
use nom::sequence::{delimited, preceded, terminated};

/// A section: what it holds, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    /// Assignments.
    pub(crate) values: Vec<(&'a str, &'a str)>,
    /// Sections inside.
    pub(crate) sections: Vec<(&'a str, Section<'a>)>,
}

#[derive(Clone)]
enum Item<'a> {
    Value(&'a str, &'a str),
    Section(&'a str, Section<'a>),
    Include,
}

/// Deeper than any real configuration; the reader calls itself for each.
const DEEPEST: usize = 16;

impl<'a> Section<'a> {
    /// Reads a whole file; none when it is not well formed.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (_, section) = terminated(|t| items(t, 0), eof).parse(text).ok()?;
        Some(section)
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        self.values.iter().rev().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    /// The section of that name.
    pub(crate) fn section(&self, name: &str) -> Option<&Self> {
        self.sections.iter().find(|(n, _)| *n == name).map(|(_, section)| section)
    }

    /// The sections whose names begin so.
    pub(crate) fn starting<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = &'s Self> {
        self.sections.iter().filter(move |(n, _)| n.starts_with(prefix)).map(|(_, section)| section)
    }
}

fn blank(text: &str) -> IResult<&str, ()> {
    let comment = preceded(char('#'), not_line_ending);
    value((), many0_count(alt((multispace1, comment)))).parse(text)
}

fn name(text: &str) -> IResult<&str, &str> {
    take_while1(|c: char| !c.is_whitespace() && !"={}#".contains(c)).parse(text)
}

fn items(text: &str, depth: usize) -> IResult<&str, Section<'_>> {
    let (rest, found) = terminated(many0(preceded(blank, |t| item(t, depth))), blank).parse(text)?;
    let mut section = Section::default();
    for item in found {
        match item {
            Item::Value(key, value) => section.values.push((key, value)),
            Item::Section(name, inner) => section.sections.push((name, inner)),
            Item::Include => {}
        }
    }
    Ok((rest, section))
}

fn item(text: &str, depth: usize) -> IResult<&str, Item<'_>> {
    let include = value(Item::Include, (nom::bytes::complete::tag("include "), not_line_ending));
    let (rest, include) = nom::combinator::opt(include).parse(text)?;
    if let Some(include) = include {
        return Ok((rest, include));
    }
    let (rest, name) = terminated(name, blank).parse(text)?;
    if let Ok((rest, ())) = value((), char::<_, nom::error::Error<&str>>('=')).parse(rest) {
        let spaces = nom::character::complete::space0;
        let plain = map(recognize(nom::combinator::opt(is_not("#}\r\n"))), str::trim_end);
        let quoted = delimited(char('"'), recognize(nom::combinator::opt(is_not("\""))), char('"'));
        let end = alt((
            line_ending,
            eof,
            recognize(nom::combinator::peek(alt((char('}'), char('#'), char(' '), char('\t'))))),
        ));
        let (rest, text) = preceded(spaces, terminated(alt((quoted, plain)), end)).parse(rest)?;
        return Ok((rest, Item::Value(name, text)));
    }
    if depth >= DEEPEST {
        return Err(nom::Err::Failure(nom::error::Error::new(text, nom::error::ErrorKind::TooLarge)));
    }
    let inside = |t| items(t, depth + 1);
    map(delimited(char('{'), inside, char('}')), |section| Item::Section(name, section)).parse(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_values_and_comments() {
        let text = "# c\nconnections {\n  a--b { # d\n    version = 2\n    local { id = \"x y\" # why\n auth = pubkey }\n    remote {\n id=z\n}\n    \
                    children { a--b {\n if_id_in = 7\n local_ts = 0.0.0.0/0,::/0 } }\n  }\n}\ninclude conf.d/*.conf\nsecrets {\n}\n";
        let conf = Section::read(text).unwrap();
        let connection = conf.section("connections").unwrap().section("a--b").unwrap();
        assert_eq!(connection.value("version"), Some("2"));
        assert_eq!(connection.section("local").unwrap().values, [("id", "x y"), ("auth", "pubkey")]);
        assert_eq!(connection.section("remote").unwrap().value("id"), Some("z"));
        let child = connection.section("children").unwrap().section("a--b").unwrap();
        assert_eq!((child.value("if_id_in"), child.value("local_ts")), (Some("7"), Some("0.0.0.0/0,::/0")));
    }

    #[test]
    fn what_is_not_well_formed_is_no_configuration() {
        assert_eq!(Section::read("a { b = c\n"), None);
        assert_eq!(Section::read("a = b\n}\n"), None);
        assert_eq!(Section::read(&"a {".repeat(10_000)), None);
    }
}
