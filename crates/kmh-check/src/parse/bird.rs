//! `bird.conf` (BIRD 2): statements of words, with blocks in braces; what its filters say is kept word by word.

use nom::IResult;
use nom::Parser as _;
use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_until, take_while, take_while1};
use nom::character::complete::{char, digit1, multispace1, not_line_ending, one_of};
use nom::combinator::{eof, opt, recognize, value};
use nom::multi::{many0, many0_count};
use nom::sequence::{delimited, preceded, terminated};

/// A statement: words up to `;`, or words and a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// Its words, quoted ones with their quotes.
    pub(crate) words: Vec<&'a str>,
    /// What stands in its braces.
    pub(crate) block: Option<Vec<Statement<'a>>>,
}

/// Deeper than any real configuration; the reader calls itself for each.
const DEEPEST: usize = 16;

/// Reads a whole file; none when it is not well formed.
pub(crate) fn read(text: &str) -> Option<Vec<Statement<'_>>> {
    terminated(|t| statements(t, 0), (blank, eof)).parse(text).ok().map(|(_, found)| found)
}

impl Statement<'_> {
    /// The words with single blanks.
    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }

    /// Everything in it, with single blanks.
    pub(crate) fn whole(&self) -> String {
        let mut text = self.text();
        match &self.block {
            Some(inside) => {
                text += " {";
                for statement in inside {
                    text += " ";
                    text += &statement.whole();
                }
                text += " }";
            }
            None => text += ";",
        }
        text
    }

    /// The name in quotes or without.
    pub(crate) fn name(word: &str) -> &str {
        word.trim_matches(['\'', '"'])
    }
}

fn blank(text: &str) -> IResult<&str, ()> {
    let line = preceded(char('#'), not_line_ending);
    let several = delimited(tag("/*"), take_until("*/"), tag("*/"));
    value((), many0_count(alt((multispace1, line, several)))).parse(text)
}

fn statements(text: &str, depth: usize) -> IResult<&str, Vec<Statement<'_>>> {
    // A `;` behind a block says nothing more.
    let nothing = |t| value((), many0_count(preceded(blank, char(';')))).parse(t);
    many0(delimited(nothing, preceded(blank, move |t| statement(t, depth)), nothing)).parse(text)
}

fn statement(text: &str, depth: usize) -> IResult<&str, Statement<'_>> {
    let (rest, words) = many0(preceded(blank, word)).parse(text)?;
    let (rest, ()) = blank(rest)?;
    let (rest, end) = if words.is_empty() { char('{').parse(rest)? } else { one_of(";{").parse(rest)? };
    if end == ';' {
        return Ok((rest, Statement { words, block: None }));
    }
    if depth >= DEEPEST {
        return Err(nom::Err::Failure(nom::error::Error::new(text, nom::error::ErrorKind::TooLarge)));
    }
    let (rest, inside) = statements(rest, depth + 1)?;
    let (rest, _) = preceded(blank, char('}')).parse(rest)?;
    Ok((rest, Statement { words, block: Some(inside) }))
}

/// A quoted text, an operator, a bracket, or a word: a name, a number, an address, a prefix with its lengths.
fn word(text: &str) -> IResult<&str, &str> {
    let quoted = |quote: char| {
        let inside = if quote == '"' { "\"\n" } else { "'\n" };
        recognize((char(quote), opt(is_not(inside)), char(quote)))
    };
    let lengths = (char('{'), digit1, char(','), digit1, char('}'));
    let plain = (take_while1(|c: char| c.is_alphanumeric() || "_.:/+-*?".contains(c)), opt(lengths));
    let operator = take_while1(|c: char| "=~&|!<>".contains(c));
    let bracket = recognize(one_of("[](),"));
    alt((quoted('"'), quoted('\''), recognize(plain), operator, bracket)).parse(text)
}

/// The words of a condition or an action, as [`read`] gives them, for comparison.
pub(crate) fn words(text: &str) -> String {
    let read = many0(preceded(take_while(char::is_whitespace), word)).parse(text);
    read.map_or_else(|_| text.to_owned(), |(_, words)| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_blocks_and_comments() {
        let conf = read(
            "# c\nrouter id 10.0.0.1; /* a; { */\ndefine 'own-pods' = [ 10.0.0.0/8{26,32}, fd00::/8 ];\n\
             filter 'in' {\n  if net ~ 'own-pods' && bgp_path ~ [= 64512+ =] then { bgp_med = 0; accept; }\n  reject;\n}\n\
             protocol bgp x { password \"a;b{\"; ipv4 { import filter 'in'; }; bfd { interval 1000 ms; }; }\n",
        )
        .unwrap();
        assert_eq!(conf.len(), 4);
        assert_eq!(conf[0].words, ["router", "id", "10.0.0.1"]);
        assert_eq!(conf[1].text(), "define 'own-pods' = [ 10.0.0.0/8{26,32} , fd00::/8 ]");
        let filter = conf[2].block.as_ref().unwrap();
        assert_eq!(
            filter[0].whole(),
            "if net ~ 'own-pods' && bgp_path ~ [ = 64512+ = ] then { bgp_med = 0; accept; }"
        );
        assert_eq!(filter[1].whole(), "reject;");
        let session: Vec<String> = conf[3].block.as_ref().unwrap().iter().map(Statement::whole).collect();
        assert_eq!(
            session,
            ["password \"a;b{\";", "ipv4 { import filter 'in'; }", "bfd { interval 1000 ms; }"]
        );
        assert_eq!(words("net  ~ [10.0.0.0/8]"), "net ~ [ 10.0.0.0/8 ]");
    }

    #[test]
    fn what_is_not_well_formed_is_no_configuration() {
        for bad in ["a { b;", "a b", "a; }", "a \"b;", &"a {".repeat(10_000)] {
            assert_eq!(read(bad), None, "{}", &bad[..5.min(bad.len())]);
        }
    }
}
