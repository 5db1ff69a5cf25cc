//! Text from outside, made safe to show.

/// Text from hosts and documents with control characters escaped, so that it cannot steer a terminal; the characters
/// that reverse the direction of writing, too, so that it cannot show something else than it says.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = c.is_control() && c != '\n' && c != '\t';
        let reverses = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if steers || reverses { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_remains() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{7}c\u{9b}d\n\te"), "a\\u{1b}[2Jb\\r\\u{7}c\\u{9b}d\n\te");
        assert_eq!(printable("x\u{202e}y\u{2066}z"), "x\\u{202e}y\\u{2066}z");
        assert_eq!(printable("Häuser · é"), "Häuser · é");
    }
}
