//! The octets of a file, put together from text and secrets, and the same for human eyes, without the secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_cli::Diff;
use kmh_doc::bundle::{Encoding, Segment};
use sha2::{Digest as _, Sha256};
use similar::TextDiff;
use zeroize::Zeroizing;

use crate::store::Secrets;
use crate::wanted::WantedFile;

/// SHA-256 of a file.
pub(crate) type Sum = [u8; 32];

/// A file's octets and their sum.
pub(crate) struct Content {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) sum: Sum,
}

/// The file's octets; none when a secret is not known, as in a dry run of a planned bundle.
pub(crate) fn assemble(file: &WantedFile, secrets: &Secrets) -> Option<Content> {
    let mut parts = Vec::with_capacity(file.content.len());
    for segment in &file.content {
        parts.push(match segment {
            Segment::Text { text } => (text.as_bytes(), Encoding::Raw),
            Segment::Secret { secret, encoding } => (secrets.get(secret)?, *encoding),
        });
    }
    // The buffer never grows: a grown one leaves secrets behind in freed memory.
    let size = parts.iter().map(|(part, encoding)| encoded_len(part, *encoding)).sum();
    let mut bytes = Zeroizing::new(vec![0; size]);
    let mut at = 0;
    for (part, encoding) in parts {
        let end = at + encoded_len(part, encoding);
        match encoding {
            Encoding::Raw => bytes[at..end].copy_from_slice(part),
            Encoding::Base64 => {
                STANDARD.encode_slice(part, &mut bytes[at..end]).ok()?;
            }
        }
        at = end;
    }
    let sum = Sha256::digest(bytes.as_slice()).into();
    Some(Content { bytes, sum })
}

fn encoded_len(part: &[u8], encoding: Encoding) -> usize {
    match encoding {
        Encoding::Raw => part.len(),
        Encoding::Base64 => part.len().div_ceil(3) * 4,
    }
}

/// A sum in hexadecimal.
pub(crate) fn hex(sum: &Sum) -> String {
    use std::fmt::Write as _;
    sum.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A sum from hexadecimal.
pub(crate) fn unhex(text: &str) -> Option<Sum> {
    let mut sum = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in sum.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(sum)
}

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

    #[test]
    fn sums_go_both_ways() {
        let content =
            assemble(&file(vec![Segment::Text { text: "abc".into() }]), &Secrets::default()).unwrap();
        // FIPS 180-4, the example of one block.
        assert_eq!(hex(&content.sum), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(unhex(&hex(&content.sum)), Some(content.sum));
        assert_eq!(unhex("xy"), None);
    }
}
