//! The digest of a document: SHA-256 over the canonical form (RFC 8785) of `kind` and `spec`.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::canonical::{self, Defect};

/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Of a document with that kind and spec.
    pub fn of<T: Serialize>(kind: &str, spec: &T) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(spec)?;
        Self::of_json(kind, &text).map_err(serde::ser::Error::custom)
    }

    /// Of a document with that kind and a spec as JSON text: the same whatever its white space, its order of keys and
    /// its spelling of numbers and text. Refused where readers of JSON could disagree about what it says.
    pub fn of_json(kind: &str, spec: &str) -> Result<Self, Defect> {
        let mut head = br#"{"kind":"#.to_vec();
        canonical::string(kind, &mut head);
        head.extend_from_slice(br#","spec":"#);
        let mut hash = Sha256::new_with_prefix(&head);
        if !canonical::write_pieces(spec, &mut |piece| hash.update(piece)) {
            // No object, or one with a defect, which the whole says as a reader meets it.
            let mut text = head;
            canonical::write(spec, &mut text)?;
            hash = Sha256::new_with_prefix(&text);
        }
        let hash = hash.chain_update(b"}").finalize();
        Ok(Self(hash.iter().fold(String::from("sha256:"), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        })))
    }

    /// The digest that `text` writes out, when it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        let good = digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_count_and_meaning_does() {
        let digest = |spec: &str| Digest::of_json("kmh.pki/v1", spec).unwrap();
        let one = digest(r#"{"a":1,"b":["é",true]}"#);
        assert_eq!(digest("{ \"b\" : [\"\\u00E9\", true],\r\n \"a\": 1.0 }"), one);
        assert_eq!(Digest::of("kmh.pki/v1", &serde_json::json!({"b": ["é", true], "a": 1})).unwrap(), one);
        assert_ne!(digest(r#"{"a":1,"b":[true,"é"]}"#), one);
        assert_ne!(Digest::of_json("kmh.network/v1", r#"{"a":1,"b":["é",true]}"#).unwrap(), one);
        // Computed with Python: sha256 of {"kind":"kmh.pki/v1","spec":{"a":1,"b":["é",true]}}.
        assert_eq!(one.as_str(), "sha256:f4562d7640723194e489f2d2b4c4d5d26056b76ecd9129306762995a19bf10a8");
    }

    #[test]
    fn only_a_whole_digest_is_one() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(Digest::parse(&good).map(|d| d.to_string()), Some(good.clone()));
        for bad in [&good[7..], &good[..70], &good.to_uppercase(), "sha256:…", ""] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }
}
