//! Text made harmless for each language.

use std::fmt::Write as _;

/// For XML: text and attributes in double quotes. Characters that XML 1.0 (2.2) does not allow at all are replaced.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A quoted string of DOT that means just this text: in labels a backslash would begin an escape sequence
/// (Graphviz, "escString"), and a line feed is one.
pub(super) fn dot(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // Graphviz reads HTML entities in every label.
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A quoted label of Mermaid. It knows HTML's entities with `#` in place of `&`, and reads what is in quotes as HTML or
/// Markdown otherwise: whatever has a meaning in either is written as its number.
pub(super) fn mermaid(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br/>"),
            '"' | '#' | '<' | '>' | '&' | '`' | '*' | '_' | ';' | '\\' | '{' | '}' | '[' | ']' | '|'
            | '%' | '$' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_string_or_begins_markup() {
        let nasty = "a\"b<c>&'\\n`x`#;\u{1}\nz";
        assert_eq!(xml(nasty), "a&quot;b&lt;c&gt;&amp;&#39;\\n`x`#;\u{fffd}\nz");
        assert_eq!(dot(nasty), "\"a\\\"b<c>&amp;'\\\\n`x`#;\u{fffd}\\nz\"");
        assert_eq!(mermaid(nasty), "\"a#34;b#60;c#62;#38;'#92;n#96;x#96;#35;#59;\u{fffd}<br/>z\"");
    }
}
