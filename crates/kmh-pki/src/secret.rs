//! Key material in memory: zeroed when dropped, and no `Debug`, no `Display`, no serialization.
//!
//! What stays out of reach: registers and stack frames of the cryptographic library (AWS-LC zeroes what it frees), and
//! pages that the kernel swapped out. They live as long as the process, which is short.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use kmh_cert::facts::hex;
use kmh_doc::inventory::Algorithm;
use rcgen::{KeyPair, PublicKeyData, RsaKeySize, SigningKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Octets of a private key or a random key.
pub struct Secret(Zeroizing<Vec<u8>>);

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";
/// Letters and digits.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// What stands in front of the 32 octets of an Ed25519 key in PKCS #8 (RFC 8410, section 7), without the public half:
/// OpenSSL before 3.5 does not read the form that has it (RFC 5958, version 2).
const ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Octets in a line of PEM (RFC 7468, section 2: 64 characters).
const LINE: usize = 48;

/// Forms of private keys that a store does not have, and openssl converts.
const LOCKED: &str = "it is under a password";
const SEC1: &str = "it has the form SEC 1 (`EC PRIVATE KEY`), and a store has PKCS #8";
const PKCS1: &str = "it has the form PKCS #1 (`RSA PRIVATE KEY`), and a store has PKCS #8";
const ODD: &str = "its form is not PKCS #8";

/// How to make of a key file what a store has, where it is only another form of a key. To be run in the store.
pub fn conversion(why: &str, file: &str) -> Option<String> {
    [LOCKED, SEC1, PKCS1, ODD].contains(&why).then(|| {
        // Not in one step: openssl opens what it writes before it has read.
        format!(
            "in the store: `openssl pkcs8 -topk8 -nocrypt -in {file} -out {file}.tmp && mv {file}.tmp {file}`"
        )
    })
}

impl Secret {
    /// Takes ownership of octets that were read.
    pub fn new(octets: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self(octets.into())
    }

    /// Takes ownership of octets that were decrypted.
    pub fn of(octets: Zeroizing<Vec<u8>>) -> Self {
        Self(octets)
    }

    /// Of that many random octets.
    pub fn random(length: usize) -> Result<Self, String> {
        let mut octets = Zeroizing::new(vec![0; length]);
        random(&mut octets)?;
        Ok(Self(octets))
    }

    /// Of that many random letters and digits: text that every configuration language takes without quotes. A letter
    /// comes first, for a key of IKE that begins with `0s` or `0x` means the octets that it encodes (swanctl.conf(5)).
    pub fn text(length: usize) -> Result<Self, String> {
        let mut text = Zeroizing::new(vec![0; length]);
        let mut draw = Zeroizing::new([0_u8; 64]);
        let mut at = 0;
        while at < length {
            random(&mut draw[..])?;
            // Six bits choose one of 64; those beyond the alphabet are drawn again, so that none is more likely.
            for octet in draw.iter() {
                if let (Some(letter), Some(place)) =
                    (ALPHABET.get(usize::from(octet & 0x3f)), text.get_mut(at))
                    && (at > 0 || letter.is_ascii_alphabetic())
                {
                    *place = *letter;
                    at += 1;
                }
            }
        }
        Ok(Self(text))
    }

    /// Whether it is letters and digits, a letter first, so many of them.
    pub fn is_text(&self, lengths: RangeInclusive<usize>) -> bool {
        lengths.contains(&self.0.len())
            && self.0.first().is_some_and(u8::is_ascii_alphabetic)
            && self.0.iter().all(u8::is_ascii_alphanumeric)
    }

    /// A private key as a PKCS #8 PEM file (RFC 7468, section 10).
    pub fn pem_of(key: &KeyPair) -> Self {
        let der = key.serialized_der();
        // The exact size at once: a growing vector would leave copies behind.
        let lines = der.len().div_ceil(LINE);
        let size = BEGIN.len() + der.len().div_ceil(3) * 4 + lines + END.len();
        let mut out = Zeroizing::new(vec![0; size]);
        let mut at = 0;
        let mut put = |bytes: &[u8], at: &mut usize| {
            out[*at..*at + bytes.len()].copy_from_slice(bytes);
            *at += bytes.len();
        };
        put(BEGIN.as_bytes(), &mut at);
        for chunk in der.chunks(LINE) {
            let mut line = Zeroizing::new([0_u8; 65]);
            let length = STANDARD.encode_slice(chunk, &mut line[..64]).unwrap_or(0);
            line[length] = b'\n';
            put(&line[..=length], &mut at);
        }
        put(END.as_bytes(), &mut at);
        Self(out)
    }

    /// What an encryption key is called: it follows from the key, so that it needs no place of its own, and says
    /// nothing of 256 random bits. With words before the key, it is a digest of nothing else.
    pub fn id(&self) -> String {
        let digest = Sha256::new().chain_update(b"kmh encryption key\0").chain_update(&*self.0).finalize();
        format!("key-{}", &hex(&digest)[..8])
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// The key pair of a PKCS #8 PEM file, or what is wrong with it, without a word of its content.
    pub fn key_pair(&self) -> Result<Key, &'static str> {
        let text = std::str::from_utf8(&self.0).map_err(|_| "it is no PEM file")?.trim();
        if text.is_empty() {
            return Err("it is empty");
        }
        let Some(rest) = text.strip_prefix(BEGIN.trim_end()) else {
            let has = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
            return Err(if has("ENCRYPTED PRIVATE KEY") || text.contains("\nProc-Type:") {
                LOCKED
            } else if has("EC PRIVATE KEY") {
                SEC1
            } else if has("RSA PRIVATE KEY") {
                PKCS1
            } else if text.starts_with("-----BEGIN ") && text.contains(" PRIVATE KEY-----") {
                ODD
            } else {
                "it is no PEM file of a private key"
            });
        };
        let Some(body) = rest.strip_suffix(END.trim_end()) else { return Err("its end is missing") };
        let mut packed = Zeroizing::new(Vec::with_capacity(body.len()));
        packed.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        // Room for the whole text, so that nothing is copied on the way.
        let mut der = Zeroizing::new(vec![0; packed.len()]);
        let length = STANDARD.decode_slice(&packed[..], &mut der[..]).map_err(|_| "its base64 is broken")?;
        KeyPair::try_from(&der[..length])
            .map(|pair| Key(Zeroizing::new(pair)))
            .map_err(|_| "it holds no private key that kmh can use (ECDSA on P-256 or P-384, RSA, Ed25519)")
    }
}

/// A key pair whose encoded form is zeroed when it is dropped.
pub struct Key(Zeroizing<KeyPair>);

impl Key {
    /// A new one.
    pub fn generate(algorithm: Algorithm) -> Result<Self, String> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let pair = match algorithm {
            Algorithm::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Algorithm::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Algorithm::Rsa2048 => rsa(RsaKeySize::_2048),
            Algorithm::Rsa3072 => rsa(RsaKeySize::_3072),
            Algorithm::Rsa4096 => rsa(RsaKeySize::_4096),
            Algorithm::Ed25519 => {
                let mut der = Zeroizing::new([0_u8; ED25519.len() + 32]);
                let (head, seed) = der.split_at_mut(ED25519.len());
                head.copy_from_slice(&ED25519);
                random(seed)?;
                KeyPair::try_from(&der[..])
            }
        };
        pair.map(|pair| Self(Zeroizing::new(pair))).map_err(|error| error.to_string())
    }

    /// The pair.
    pub fn pair(&self) -> &KeyPair {
        &self.0
    }

    /// The public half as `SubjectPublicKeyInfo` in DER.
    pub fn public(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// The public half as PEM.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        PublicKeyData::algorithm(&*self.0)
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// Fills a buffer from the kernel's generator.
pub fn random(buffer: &mut [u8]) -> Result<(), String> {
    let mut filled = 0;
    while filled < buffer.len() {
        let count = rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| error.to_string())?;
        filled += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_equals_what_the_library_writes() {
        for algorithm in Algorithm::ALL {
            let key = Key::generate(algorithm).unwrap();
            let file = Secret::pem_of(key.pair());
            assert_eq!(
                std::str::from_utf8(file.octets()).unwrap(),
                key.pair().serialize_pem(),
                "{algorithm}"
            );
            assert_eq!(file.key_pair().map_err(ToOwned::to_owned).unwrap().public(), key.public());
            assert_eq!(crate::cert::algorithm_of(&key.public()), algorithm.as_str());
        }
    }

    #[test]
    fn text_is_letters_and_digits_and_all_of_them_are_drawn() {
        let text = Secret::text(4000).unwrap();
        assert!(text.is_text(4000..=4000) && !text.is_text(22..=80));
        let mut seen = std::collections::BTreeMap::new();
        for octet in text.octets() {
            *seen.entry(*octet).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), ALPHABET.len());
        // Each about 65 times; a letter that two numbers chose would come twice as often.
        assert!(seen.values().all(|times| *times < 110), "{seen:?}");
        for _ in 0..200 {
            assert!(Secret::text(22).unwrap().octets()[0].is_ascii_alphabetic());
        }
        for bad in
            ["password with spaces and more", "line\nbreak-line-break-x", "short", "0s345678901234567890123"]
        {
            assert!(!Secret::new(bad.as_bytes().to_vec()).is_text(22..=80), "{bad}");
        }
    }

    #[test]
    fn a_broken_file_says_what_is_wrong_and_nothing_of_itself() {
        let key = Key::generate(Algorithm::EcdsaP256).unwrap();
        let file = Secret::pem_of(key.pair()).octets().to_vec();
        let text = String::from_utf8(file.clone()).unwrap();
        let why = |bytes: &[u8]| Secret::new(bytes.to_vec()).key_pair().map(|_| ()).unwrap_err();
        assert_eq!(why(b""), "it is empty");
        assert_eq!(why(&file[..150]), "its end is missing");
        assert_eq!(why(text.replace("PRIVATE", "EC PRIVATE").as_bytes()), SEC1);
        assert_eq!(why(text.replace("PRIVATE", "RSA PRIVATE").as_bytes()), PKCS1);
        assert_eq!(why(text.replace("PRIVATE", "ENCRYPTED PRIVATE").as_bytes()), LOCKED);
        assert_eq!(why(text.replace("PRIVATE", "DSA PRIVATE").as_bytes()), ODD);
        assert_eq!(why(text.replacen("MI", "M*", 1).as_bytes()), "its base64 is broken");
        assert!(why(text.replacen("MIG", "MIH", 1).as_bytes()).starts_with("it holds no private key"));
        assert_eq!(why(&[0xff, 0xfe]), "it is no PEM file");
    }
}
