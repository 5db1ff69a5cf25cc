//! Calico's label selectors, as far as its documentation goes: `==`, `!=`, `in`, `not in`, `contains`, `starts with`,
//! `ends with`, `has()`, `all()`, `!`, `&&`, `||`, parentheses.

use std::collections::BTreeMap;

/// Labels of a node.
pub(crate) type Labels<'a> = BTreeMap<&'a str, &'a str>;

/// A parsed selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    All,
    Has(String),
    Compare(String, Compare, String),
    In(String, Vec<String>),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Is,
    Contains,
    Starts,
    Ends,
}

impl Selector {
    /// Parses a selector; an empty one selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::All);
        }
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0 };
        let selector = parser.any()?;
        if parser.at == tokens.len() { Ok(selector) } else { Err(parser.unexpected()) }
    }

    /// Whether it selects something with these labels.
    pub(crate) fn selects(&self, labels: &Labels) -> bool {
        let value = |key: &str| labels.get(key).copied();
        match self {
            Self::All => true,
            Self::Has(key) => value(key).is_some(),
            Self::Compare(key, how, text) => value(key).is_some_and(|value| match how {
                Compare::Is => value == text,
                Compare::Contains => value.contains(text.as_str()),
                Compare::Starts => value.starts_with(text.as_str()),
                Compare::Ends => value.ends_with(text.as_str()),
            }),
            Self::In(key, list) => value(key).is_some_and(|value| list.iter().any(|text| text == value)),
            Self::Not(inner) => !inner.selects(labels),
            Self::And(all) => all.iter().all(|one| one.selects(labels)),
            Self::Or(all) => all.iter().any(|one| one.selects(labels)),
        }
    }

    /// A label that everything selected must have, when it asks for one: what an index can answer.
    pub(crate) fn required(&self) -> Option<(&str, &str)> {
        match self {
            Self::Compare(key, Compare::Is, value) => Some((key, value)),
            Self::And(all) => all.iter().find_map(Self::required),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    const SIGNS: [&str; 9] = ["&&", "||", "==", "!=", "!", "(", ")", "{", "}"];
    let mut rest = text.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let used = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            sign.len()
        } else if first == ',' {
            tokens.push(Token::Sign(","));
            1
        } else if first == '\'' || first == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let end = inner.find(first).ok_or_else(|| format!("{first} is not closed"))?;
            tokens.push(Token::Text(inner.get(..end).unwrap_or_default().to_owned()));
            end + 2
        } else {
            let word = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("`{first}` is unexpected"));
            }
            tokens.push(Token::Word(rest.get(..end).unwrap_or_default().to_owned()));
            end
        };
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            None => "it ends too early".to_owned(),
            Some(Token::Word(text) | Token::Text(text)) => format!("`{text}` is unexpected"),
            Some(Token::Sign(sign)) => format!("`{sign}` is unexpected"),
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(one)) if *one == sign);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(one)) if one == word);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self) -> Result<String, String> {
        let Some(Token::Word(word)) = self.peek() else { return Err(self.unexpected()) };
        let word = word.clone();
        self.at += 1;
        Ok(word)
    }

    fn text(&mut self) -> Result<String, String> {
        let Some(Token::Text(text)) = self.peek() else { return Err(self.unexpected()) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    fn any(&mut self) -> Result<Selector, String> {
        let mut all = vec![self.all()?];
        while self.sign("||") {
            all.push(self.all()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Selector::Or(all) })
    }

    fn all(&mut self) -> Result<Selector, String> {
        let mut all = vec![self.one()?];
        while self.sign("&&") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Selector::And(all) })
    }

    fn one(&mut self) -> Result<Selector, String> {
        if self.sign("!") {
            return Ok(Selector::Not(Box::new(self.one()?)));
        }
        if self.sign("(") {
            let inner = self.any()?;
            self.need(")")?;
            return Ok(inner);
        }
        let word = self.word()?;
        if self.sign("(") {
            let selector = match word.as_str() {
                "all" => Selector::All,
                "global" => Selector::Not(Box::new(Selector::All)),
                "has" => Selector::Has(self.word()?),
                _ => return Err(format!("`{word}()` is unknown")),
            };
            self.need(")")?;
            return Ok(selector);
        }
        let compare = |how, text| Selector::Compare(word.clone(), how, text);
        if self.sign("==") {
            Ok(compare(Compare::Is, self.text()?))
        } else if self.sign("!=") {
            Ok(Selector::Not(Box::new(compare(Compare::Is, self.text()?))))
        } else if self.keyword("contains") {
            Ok(compare(Compare::Contains, self.text()?))
        } else if self.keyword("starts") && self.keyword("with") {
            Ok(compare(Compare::Starts, self.text()?))
        } else if self.keyword("ends") && self.keyword("with") {
            Ok(compare(Compare::Ends, self.text()?))
        } else if self.keyword("in") {
            Ok(Selector::In(word.clone(), self.list()?))
        } else if self.keyword("not") && self.keyword("in") {
            Ok(Selector::Not(Box::new(Selector::In(word.clone(), self.list()?))))
        } else {
            Err(self.unexpected())
        }
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        self.need("{")?;
        let mut list = Vec::new();
        while !self.sign("}") {
            list.push(self.text()?);
            if !self.sign(",") && !matches!(self.peek(), Some(Token::Sign("}"))) {
                return Err(self.unexpected());
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(text: &str) -> bool {
        let labels = Labels::from([("zone", "attic"), ("kubernetes.io/arch", "arm64")]);
        Selector::parse(text).expect(text).selects(&labels)
    }

    #[test]
    fn what_is_selected() {
        for yes in [
            "",
            "all()",
            "zone == 'attic'",
            "zone==\"attic\"",
            "zone != 'flat'",
            "rack != 'x'",
            "has(zone)",
            "!has(rack)",
            "zone in {'flat', 'attic'}",
            "zone not in {'flat'}",
            "zone contains 'tti' && kubernetes.io/arch starts with 'arm'",
            "zone == 'flat' || zone ends with 'ic'",
            "!(zone == 'flat' && has(zone))",
        ] {
            assert!(selects(yes), "{yes}");
        }
        for no in ["!all()", "global()", "zone == 'flat'", "has(rack)", "rack in {'x'}", "zone == 'attic' && has(rack)"] {
            assert!(!selects(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_selector() {
        for (text, why) in [
            ("zone = 'attic'", "`=` is unexpected"),
            ("zone == 'attic", "' is not closed"),
            ("zone == attic", "`attic` is unexpected"),
            ("zone ==", "it ends too early"),
            ("(zone == 'attic'", "it ends too early"),
            ("all() all()", "`all` is unexpected"),
            ("zone in {'a' 'b'}", "`b` is unexpected"),
            ("some()", "`some()` is unknown"),
        ] {
            assert_eq!(Selector::parse(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_an_index_answers() {
        let required = |text: &str| {
            Selector::parse(text).expect(text).required().map(|(key, value)| format!("{key}={value}"))
        };
        assert_eq!(required("has(a) && zone == 'x'"), Some("zone=x".to_owned()));
        assert_eq!(required("zone == 'x' || zone == 'y'"), None);
    }
}
