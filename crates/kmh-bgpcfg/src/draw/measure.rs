//! How wide a text will be, without a font: by classes of characters, as wide as in `DejaVu Sans`, which is wider than what
//! browsers usually take for `sans-serif`. A text never turns out wider than its place.

/// Width in pixels.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let ems: f64 = text.chars().map(ems).sum();
    ems * size * if bold { 1.1 } else { 1.0 }
}

fn ems(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' => 0.28,
        ' ' | '.' | ',' | ':' | ';' | '/' | '|' | 'I' | '·' => 0.34,
        '-' | '(' | ')' | '[' | ']' | 'f' | 't' | 'r' => 0.40,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.98,
        '→' => 0.85,
        'a'..='z' | '0'..='9' => 0.635,
        'A'..='Z' => 0.72,
        c if u32::from(c) < 0x2e80 => 0.8,
        _ => 1.1,
    }
}

/// The text, or as much of its beginning as fits, with an ellipsis.
pub(super) fn fit(text: &str, size: f64, bold: bool, room: f64) -> String {
    if width(text, size, bold) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&kept, size, bold) + width("…", size, bold) > room {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

/// Parts, joined by a separator and broken between parts into lines that fit. A part that does not is cut.
pub(super) fn wrap(parts: &[&str], separator: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if width(&format!("{line}{separator}{part}"), size, false) <= room => {
                line.push_str(separator);
                line.push_str(part);
            }
            _ => lines.push(fit(part, size, false, room)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fit("attic", 10.0, false, 100.0), "attic");
        let short = fit("a-very-long-name-of-a-site", 10.0, false, 60.0);
        assert!(short.ends_with('…') && width(&short, 10.0, false) <= 60.0, "{short}");
        assert_eq!(fit("abc", 10.0, false, 0.0), "…");
    }

    #[test]
    fn lines_break_between_parts() {
        assert_eq!(wrap(&["aaaa", "bbbb", "cccc"], " · ", 10.0, 70.0), ["aaaa · bbbb", "cccc"]);
    }
}
