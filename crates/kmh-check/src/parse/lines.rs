//! Text in lines of words, as `frr.conf` and `haproxy.cfg` have it.

use nom::IResult;
use nom::Parser as _;
use nom::branch::alt;
use nom::bytes::complete::{is_not, take_while1};
use nom::character::complete::{char, space0};
use nom::combinator::{opt, recognize};
use nom::multi::many0;
use nom::sequence::{delimited, preceded, terminated};

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// Whether it is indented.
    pub(crate) indented: bool,
    /// Its words; a quoted one without its quotes.
    pub(crate) words: Vec<&'a str>,
}

/// The lines of a text; `comments` begin one that says nothing, alone or behind a blank.
pub(crate) fn lines<'a>(text: &'a str, comments: &[char]) -> Vec<Line<'a>> {
    let read = |(index, line): (usize, &'a str)| {
        let (_, mut found) = words(line).unwrap_or((line, Vec::new()));
        if let Some(end) = found.iter().position(|w| w.starts_with(comments)) {
            found.truncate(end);
        }
        let indented = line.starts_with([' ', '\t']);
        (!found.is_empty()).then_some(Line { number: index + 1, indented, words: found })
    };
    text.lines().enumerate().filter_map(read).collect()
}

fn words(line: &str) -> IResult<&str, Vec<&str>> {
    terminated(many0(preceded(space0, word)), space0).parse(line)
}

fn word(line: &str) -> IResult<&str, &str> {
    alt((quoted, take_while1(|c: char| !c.is_whitespace()))).parse(line)
}

fn quoted(line: &str) -> IResult<&str, &str> {
    let inside = || recognize(opt(is_not("\"")));
    delimited(char('"'), inside(), char('"')).parse(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_comments() {
        let found = lines("! no\nrouter bgp 65010\n  x \"a b\" c ! not this\n\n \t\n", &['!', '#']);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].number, found[0].words.as_slice()), (2, &["router", "bgp", "65010"][..]));
        assert!(found[1].indented);
        assert_eq!(found[1].words, ["x", "a b", "c"]);
    }
}
