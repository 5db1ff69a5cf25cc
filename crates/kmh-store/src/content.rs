//! The octets of a file, put together from text and secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_doc::bundle::{Encoding, Segment};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::store::Secrets;
use crate::wanted::WantedFile;

/// SHA-256 of a file.
pub type Sum = [u8; 32];

/// A file's octets and their sum.
pub struct Content {
    /// The octets.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Their sum.
    pub sum: Sum,
}

/// The file's octets; none when a secret is not known, as in a dry run of a planned bundle.
pub fn assemble(file: &WantedFile, secrets: &Secrets) -> Option<Content> {
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
pub fn hex(sum: &Sum) -> String {
    use std::fmt::Write as _;
    sum.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A sum from hexadecimal.
pub fn unhex(text: &str) -> Option<Sum> {
    let mut sum = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in sum.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: Vec<Segment>) -> WantedFile {
        WantedFile { path: "/x".into(), owner: "root:root".into(), mode: 0o600, content, on_change: vec![] }
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
