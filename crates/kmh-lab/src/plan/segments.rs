//! The content of files as text in which a secret is a mark, so that a plan may look into files and write new ones
//! without knowing any secret.

use kmh_doc::bundle::{Encoding, Segment};

/// Begin and end of a mark: private-use characters, which no configuration language knows.
const MARK: [char; 2] = ['\u{e000}', '\u{e001}'];

/// A secret in a text.
pub fn mark(reference: &str) -> String {
    format!("{}{reference}{}", MARK[0], MARK[1])
}

/// The reference in a text that is a mark and nothing else.
pub fn marked(text: &str) -> Option<&str> {
    text.strip_prefix(MARK[0])?.strip_suffix(MARK[1])
}

/// A file's content as text. Its encodings are forgotten: what is read here is written elsewhere, as it is.
pub fn flatten(content: &[Segment]) -> String {
    content
        .iter()
        .map(|segment| match segment {
            // A mark in a file's own text is none.
            Segment::Text { text } => text.replace(MARK, ""),
            Segment::Secret { secret, .. } => mark(secret),
        })
        .collect()
}

/// The content of a file from a text with marks.
pub fn content(text: &str) -> Vec<Segment> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK[0]) {
        let Some((reference, behind)) = after.split_once(MARK[1]) else { break };
        if !before.is_empty() {
            found.push(Segment::Text { text: before.to_owned() });
        }
        found.push(Segment::Secret { secret: reference.to_owned(), encoding: Encoding::Raw });
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Segment::Text { text: rest.to_owned() });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_survive_the_way_through_text() {
        let before = vec![
            Segment::Text { text: "a \u{e000}keys/x\u{e001} b ".into() },
            Segment::Secret { secret: "keys/bgp/attic.key".into(), encoding: Encoding::Base64 },
            Segment::Text { text: "\n".into() },
        ];
        let text = flatten(&before);
        assert_eq!(
            content(&text),
            [
                Segment::Text { text: "a keys/x b ".into() },
                Segment::Secret { secret: "keys/bgp/attic.key".into(), encoding: Encoding::Raw },
                Segment::Text { text: "\n".into() },
            ],
            "a mark that a file's own text has is none"
        );
        assert_eq!(marked(&mark("keys/a.key")), Some("keys/a.key"));
    }
}
