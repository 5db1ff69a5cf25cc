//! The change of a file for human eyes, without the secrets.

use kmh_cli::Diff;
use kmh_doc::bundle::Segment;
use kmh_store::wanted::WantedFile;
use similar::TextDiff;

/// The new text with every secret as its name.
pub(crate) fn masked(file: &WantedFile) -> String {
    let mut text: String = file
        .content
        .iter()
        .map(|segment| match segment {
            Segment::Text { text } => text.clone(),
            Segment::Secret { secret, .. } => format!("<secret {secret}>"),
        })
        .collect();
    if matches!(file.content.last(), Some(Segment::Secret { .. })) {
        text.push('\n');
    }
    text
}

/// What a machine has now, as far as it may be shown.
pub(crate) enum Before<'a> {
    /// Nothing.
    Missing,
    /// This; `guarded` when not everybody on the machine may read it.
    Text { bytes: &'a [u8], guarded: bool },
    /// Something that is not shown.
    Hidden,
}

/// The change of one file.
pub(crate) fn diff(machine: &str, file: &WantedFile, before: &Before<'_>) -> Diff {
    let after = masked(file);
    let before = match before {
        _ if file.is_secret() => String::new(),
        Before::Missing | Before::Hidden => String::new(),
        Before::Text { bytes, guarded } => {
            let text = kmh_cli::text::printable(&String::from_utf8_lossy(bytes));
            if *guarded { hide_unknown_lines(&text, &after) } else { text }
        }
    };
    let header = format!("{machine}:{}", file.path);
    Diff { before, after, before_header: header.clone(), after_header: header }
}

/// A file that only some may read could have held a secret, also when the new one has none: what is not in the new
/// one is not shown.
fn hide_unknown_lines(text: &str, after: &str) -> String {
    let known: std::collections::BTreeSet<&str> = after.lines().collect();
    text.lines()
        .flat_map(|line| [if known.contains(line) { line } else { "<a line that is not shown>" }, "\n"])
        .collect()
}

/// A change as people read it.
pub(crate) fn unified(diff: &Diff) -> String {
    TextDiff::from_lines(&diff.before, &diff.after)
        .unified_diff()
        .context_radius(3)
        .header(&diff.before_header, &diff.after_header)
        .to_string()
}

#[cfg(test)]
mod tests {
    use kmh_doc::bundle::Encoding;
    use kmh_store::content::assemble;
    use kmh_store::store::Secrets;

    use super::*;

    fn file(content: Vec<Segment>) -> WantedFile {
        WantedFile { path: "/x".into(), owner: "root:root".into(), mode: 0o600, content, on_change: vec![] }
    }

    #[test]
    fn a_secret_file_shows_neither_its_secret_nor_what_was_there() {
        let file = file(vec![
            Segment::Text { text: "key: ".into() },
            Segment::Secret { secret: "keys/encryption.key".into(), encoding: Encoding::Base64 },
        ]);
        let diff = diff("pi-1", &file, &Before::Text { bytes: b"key: OLD\n", guarded: false });
        assert_eq!((diff.before.as_str(), diff.after.as_str()), ("", "key: <secret keys/encryption.key>\n"));
        assert_eq!(assemble(&file, &Secrets::default()).map(|content| content.sum), None);
    }

    #[test]
    fn a_guarded_file_shows_only_lines_that_stay() {
        let file = file(vec![Segment::Text { text: "a\nb\n".into() }]);
        let diff = diff("pi-1", &file, &Before::Text { bytes: b"a\npassword x\n", guarded: true });
        assert_eq!(diff.before, "a\n<a line that is not shown>\n");
        assert!(unified(&diff).contains("-<a line that is not shown>\n+b\n"), "{}", unified(&diff));
    }
}
