//! Calico's selectors of labels: `zone == 'attic' && !has(gpu)`.

use std::collections::BTreeMap;
use std::fmt;

use crate::formats::plain;

/// Labels, by key.
pub type Labels<'l> = BTreeMap<&'l str, &'l str>;

/// A selector that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Expression);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    All,
    /// Of namespaces: nothing that has labels of its own.
    Global,
    Has(String),
    Compare(String, Operator, Vec<String>),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
    Contains,
    StartsWith,
    EndsWith,
}

impl Selector {
    /// Reads a selector. An empty one selects everything.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Self(Expression::All));
        }
        let mut parser = Parser { rest: &tokens, depth: 0 };
        let expression = parser.or()?;
        match parser.rest.first() {
            None => Ok(Self(expression)),
            Some(token) => Err(format!("the selector does not go on with `{token}`")),
        }
    }

    /// One that selects nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(Expression::Not(Box::new(Expression::All)))
    }

    /// Whether it selects something with these labels.
    pub fn selects(&self, labels: &Labels<'_>) -> bool {
        self.0.selects(labels)
    }

    /// A label that everything selected must have, when it asks for one: what an index can answer.
    pub fn required(&self) -> Option<(&str, &str)> {
        self.0.required()
    }

    /// Whether it speaks of what has no namespace, which only network policies may.
    pub fn is_global(&self) -> bool {
        self.0.has_global()
    }
}

impl Expression {
    fn selects(&self, labels: &Labels<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Global => false,
            Self::Has(key) => labels.contains_key(key.as_str()),
            Self::Compare(key, operator, values) => operator.holds(labels.get(key.as_str()).copied(), values),
            Self::Not(inner) => !inner.selects(labels),
            Self::And(all) => all.iter().all(|one| one.selects(labels)),
            Self::Or(any) => any.iter().any(|one| one.selects(labels)),
        }
    }

    fn required(&self) -> Option<(&str, &str)> {
        match self {
            Self::Compare(key, Operator::Equal, values) => Some((key, values.first()?)),
            Self::And(all) => all.iter().find_map(Self::required),
            _ => None,
        }
    }

    fn has_global(&self) -> bool {
        match self {
            Self::Global => true,
            Self::Not(inner) => inner.has_global(),
            Self::And(inner) | Self::Or(inner) => inner.iter().any(Self::has_global),
            Self::All | Self::Has(_) | Self::Compare(..) => false,
        }
    }
}

impl Operator {
    /// As Calico has it: what does not have the label is unequal to every value, and in no set.
    fn holds(self, label: Option<&str>, values: &[String]) -> bool {
        let is = |test: &dyn Fn(&str, &str) -> bool| {
            label.is_some_and(|label| values.iter().any(|value| test(label, value)))
        };
        match self {
            Self::Equal | Self::In => is(&|label, value| label == value),
            Self::NotEqual | Self::NotIn => !is(&|label, value| label == value),
            Self::Contains => is(&|label, value| label.contains(value)),
            Self::StartsWith => is(&|label, value| label.starts_with(value)),
            Self::EndsWith => is(&|label, value| label.ends_with(value)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Value(String),
    Sign(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) => f.write_str(&plain(text)),
            Self::Value(text) => write!(f, "'{}'", plain(text)),
            Self::Sign(text) => f.write_str(text),
        }
    }
}

const SIGNS: [&str; 10] = ["==", "!=", "&&", "||", "!", "(", ")", "{", "}", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first == '\'' || first == '"' {
            let (value, behind) =
                rest[1..].split_once(first).ok_or_else(|| "a quote in the selector has no end".to_owned())?;
            found.push(Token::Value(value.to_owned()));
            rest = behind;
        } else {
            let inner = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
            let length = rest.len() - rest.trim_start_matches(inner).len();
            if length == 0 {
                return Err(format!("the selector has a `{}`", first.escape_debug()));
            }
            found.push(Token::Word(rest[..length].to_owned()));
            rest = &rest[length..];
        }
        rest = rest.trim_start();
    }
    Ok(found)
}

/// Deeper than this nobody nests; documents may be hostile.
const DEEPEST: usize = 50;

struct Parser<'t> {
    rest: &'t [Token],
    depth: usize,
}

impl Parser<'_> {
    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.rest.first(), Some(Token::Sign(one)) if *one == sign);
        if is {
            self.rest = &self.rest[1..];
        }
        is
    }

    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first.clone())
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("the selector lacks a `{sign}`")) }
    }

    fn or(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("the selector is nested too deeply".to_owned());
        }
        let mut any = vec![self.and()?];
        while self.sign("||") {
            any.push(self.and()?);
        }
        self.depth -= 1;
        Ok(if any.len() == 1 { any.remove(0) } else { Expression::Or(any) })
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.one()?];
        while self.sign("&&") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn one(&mut self) -> Result<Expression, String> {
        let mut negated = false;
        while self.sign("!") {
            negated = !negated;
        }
        let inner = if self.sign("(") {
            let inner = self.or()?;
            self.expect(")")?;
            inner
        } else {
            self.test()?
        };
        Ok(if negated { Expression::Not(Box::new(inner)) } else { inner })
    }

    fn test(&mut self) -> Result<Expression, String> {
        let Some(Token::Word(word)) = self.next() else {
            return Err("the selector lacks a label".to_owned());
        };
        if self.sign("(") {
            let made = match word.as_str() {
                "all" => Expression::All,
                "global" => Expression::Global,
                "has" => match self.next() {
                    Some(Token::Word(key)) => Expression::Has(key),
                    _ => return Err("`has()` lacks a label".to_owned()),
                },
                other => return Err(format!("the selector has no `{}()`", plain(other))),
            };
            self.expect(")")?;
            return Ok(made);
        }
        if self.sign("==") {
            return Ok(Expression::Compare(word, Operator::Equal, vec![self.value()?]));
        }
        if self.sign("!=") {
            return Ok(Expression::Compare(word, Operator::NotEqual, vec![self.value()?]));
        }
        let words: Vec<&str> = self
            .rest
            .iter()
            .take(2)
            .map_while(|token| match token {
                Token::Word(word) => Some(word.as_str()),
                _ => None,
            })
            .collect();
        let (operator, length) = match words[..] {
            ["in", ..] => (Operator::In, 1),
            ["not", "in"] => (Operator::NotIn, 2),
            ["contains", ..] => (Operator::Contains, 1),
            ["starts", "with"] => (Operator::StartsWith, 2),
            ["ends", "with"] => (Operator::EndsWith, 2),
            _ => return Err(format!("the selector does not say what `{}` must be", plain(&word))),
        };
        self.rest = &self.rest[length..];
        let values = if matches!(operator, Operator::In | Operator::NotIn) {
            self.values()?
        } else {
            vec![self.value()?]
        };
        Ok(Expression::Compare(word, operator, values))
    }

    fn value(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Value(value)) => Ok(value),
            _ => Err("the selector lacks a value in quotes".to_owned()),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        self.expect("{")?;
        let mut values = Vec::new();
        while !self.sign("}") {
            if !values.is_empty() {
                self.expect(",")?;
            }
            values.push(self.value()?);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "topology.kubernetes.io/zone";

    fn selects(text: &str) -> bool {
        let labels = Labels::from([(ZONE, "attic"), ("gpu", "")]);
        Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).selects(&labels)
    }

    #[test]
    fn what_is_selected() {
        for (text, wanted) in [
            ("", true),
            ("all()", true),
            ("!all()", false),
            ("topology.kubernetes.io/zone == 'attic'", true),
            ("topology.kubernetes.io/zone==\"flat\"", false),
            ("topology.kubernetes.io/zone != 'flat'", true),
            ("missing != 'flat'", true),
            ("missing == 'flat'", false),
            ("has(gpu) && !has(disk)", true),
            ("topology.kubernetes.io/zone in {'flat', 'attic'}", true),
            ("topology.kubernetes.io/zone not in { 'attic' }", false),
            ("topology.kubernetes.io/zone in {}", false),
            (
                "topology.kubernetes.io/zone starts with 'att' && topology.kubernetes.io/zone ends with 'ic'",
                true,
            ),
            ("topology.kubernetes.io/zone contains 'lat'", false),
            ("(has(disk) || has(gpu)) && all()", true),
            ("has(disk) && has(gpu) || all()", true),
            ("global()", false),
        ] {
            assert_eq!(selects(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_an_index_answers() {
        let required = |text: &str| {
            let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            selector.required().map(|(key, value)| format!("{key}={value}"))
        };
        assert_eq!(required("has(a) && zone == 'x'"), Some("zone=x".to_owned()));
        assert_eq!(required("zone == 'x' || zone == 'y'"), None);
        assert_eq!(required("!(zone == 'x')"), None);
    }

    #[test]
    fn what_is_no_selector() {
        for (text, why) in [
            ("zone = 'a'", "the selector has a `=`"),
            ("zone == a", "lacks a value in quotes"),
            ("zone == 'a", "has no end"),
            ("zone", "does not say what `zone` must be"),
            ("zone == 'a' 'b'", "does not go on with `'b'`"),
            ("some()", "has no `some()`"),
            ("(all()", "lacks a `)`"),
            ("has()", "lacks a label"),
            ("zone in {'a' 'b'}", "lacks a `,`"),
            ("&& all()", "lacks a label"),
        ] {
            let error = Selector::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Selector::parse(&"(".repeat(100_000)).is_err());
    }
}
