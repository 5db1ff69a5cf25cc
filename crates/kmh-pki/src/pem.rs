//! PEM files that others wrote (RFC 7468, and what openssl and Go write beside it): all their blocks, and private keys
//! in each of the three forms that are about.
//!
//! The bytes are anybody's: nothing panics, nothing grows beyond the file, and no error repeats a word of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// No file that is read has more blocks.
const MOST: usize = 256;

/// What a block says that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A certificate.
    Certificate,
    /// A private key, PKCS #8 (RFC 5958).
    Pkcs8,
    /// A private RSA key, PKCS #1 (RFC 8017): what kubeadm writes.
    Pkcs1,
    /// A private ECDSA key, SEC 1 (RFC 5915): what kubeadm and `openssl ecparam` write.
    Sec1,
    /// A private key under a password.
    Locked,
    /// A public key.
    Public,
    /// Something else: parameters of a curve, a request.
    Other,
}

/// One block.
pub struct Block {
    /// What it says that it holds.
    pub label: Label,
    /// Its octets.
    pub der: Zeroizing<Vec<u8>>,
}

/// The form in which a private key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The store's own.
    Pkcs8,
    /// RSA alone.
    Pkcs1,
    /// ECDSA alone.
    Sec1,
}

impl Form {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pkcs8 => "PKCS #8",
            Self::Pkcs1 => "PKCS #1",
            Self::Sec1 => "SEC 1",
        }
    }
}

/// All blocks of a file; what stands between them is ignored, as `openssl x509 -text` writes it there.
pub fn blocks(file: &[u8]) -> Result<Vec<Block>, &'static str> {
    let text = std::str::from_utf8(file).map_err(|_| "it is no PEM file")?;
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, body) = after.split_once("-----").ok_or("the beginning of a block is broken")?;
        let end = format!("-----END {}-----", label.get(..label.len().min(64)).unwrap_or_default());
        let (body, tail) = body.split_once(&end).ok_or("the end of a block is missing")?;
        if found.len() == MOST {
            return Err("it holds too many blocks");
        }
        found.push(block(label, body)?);
        rest = tail;
    }
    if found.is_empty() {
        return Err(if text.trim().is_empty() { "it is empty" } else { "it is no PEM file" });
    }
    Ok(found)
}

fn block(label: &str, body: &str) -> Result<Block, &'static str> {
    let label = match label {
        "CERTIFICATE" | "X509 CERTIFICATE" => Label::Certificate,
        // RFC 1421, 4.6.1.1: how openssl marks the older forms when they are under a password.
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" if body.contains("Proc-Type:") => Label::Locked,
        "ENCRYPTED PRIVATE KEY" => Label::Locked,
        "PRIVATE KEY" => Label::Pkcs8,
        "RSA PRIVATE KEY" => Label::Pkcs1,
        "EC PRIVATE KEY" => Label::Sec1,
        "PUBLIC KEY" => Label::Public,
        _ => Label::Other,
    };
    if matches!(label, Label::Locked | Label::Other) {
        return Ok(Block { label, der: Zeroizing::new(Vec::new()) });
    }
    let der = decode(body.as_bytes()).ok_or("its base64 is broken")?;
    Ok(Block { label, der })
}

/// Base64 with any white space between its letters.
pub fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // The exact size at once: a growing vector would leave copies behind.
    let mut packed = Zeroizing::new(Vec::with_capacity(text.len()));
    packed.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let mut out = Zeroizing::new(vec![0; packed.len()]);
    let length = STANDARD.decode_slice(&packed[..], &mut out[..]).ok()?;
    out.truncate(length);
    Some(out)
}

/// The private key of a block as the store keeps it, and the form that it had. None: the block holds no private key.
pub fn private_key(block: &Block) -> Option<Result<(Secret, Form), &'static str>> {
    const ODD: &str = "it holds no private key that kmh can use (ECDSA on P-256 or P-384, RSA, Ed25519)";
    let form = match block.label {
        Label::Pkcs8 => Form::Pkcs8,
        Label::Pkcs1 => Form::Pkcs1,
        Label::Sec1 => Form::Sec1,
        Label::Locked => return Some(Err("its key is under a password")),
        Label::Certificate | Label::Public | Label::Other => return None,
    };
    let wrapped = match form {
        Form::Pkcs8 => Some(block.der.clone()),
        Form::Pkcs1 => Some(from_pkcs1(&block.der)),
        Form::Sec1 => from_sec1(&block.der),
    };
    let pair = wrapped.and_then(|der| KeyPair::try_from(&der[..]).ok()).map(Zeroizing::new);
    Some(pair.map(|pair| (Secret::pem_of(&pair), form)).ok_or(ODD))
}

/// `rsaEncryption` and its NULL (RFC 8017, A.1).
const RSA: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// `id-ecPublicKey` (RFC 5480, 2.1.1).
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// `secp256r1`, `secp384r1` (RFC 5480, 2.1.1.1), with the octets of their private keys.
const CURVES: [(usize, &[u8]); 2] = [
    (32, &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
    (48, &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]),
];

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// `[0]` and `[1]` of `ECPrivateKey`: the curve, the public key.
const CURVE: u8 = 0xa0;
const PUBLIC: u8 = 0xa1;
/// The version of PKCS #8 keys.
const VERSION: &[u8] = &[INTEGER, 1, 0];

fn from_pkcs1(key: &[u8]) -> Zeroizing<Vec<u8>> {
    tlv(SEQUENCE, &[VERSION, RSA, &tlv(OCTETS, &[key])])
}

/// RFC 5915: `SEQUENCE { 1, OCTET STRING, [0] curve OPTIONAL, [1] public key OPTIONAL }`. In PKCS #8 the curve stands
/// outside. Without its public key the library does not take it, and every program writes it.
fn from_sec1(key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (sequence, rest) = expect(SEQUENCE, key)?;
    let (version, after) = expect(INTEGER, sequence)?;
    let (scalar, mut after) = expect(OCTETS, after)?;
    if !rest.is_empty() || version != [1] {
        return None;
    }
    let mut curve = CURVES.iter().find(|(length, _)| *length == scalar.len())?.1;
    if let Some((named, tail)) = expect(CURVE, after) {
        (curve, after) = (CURVES.iter().find(|(_, known)| *known == named)?.1, tail);
    }
    let (public, _) = expect(PUBLIC, after)?;
    let inner = tlv(SEQUENCE, &[&[INTEGER, 1, 1], &tlv(OCTETS, &[scalar]), &tlv(PUBLIC, &[public])]);
    Some(tlv(SEQUENCE, &[VERSION, &tlv(SEQUENCE, &[EC, curve]), &tlv(OCTETS, &[&inner])]))
}

/// One DER value of that tag: its content, and what follows it.
fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = input.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x82 => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x0f))?;
            (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// One DER value: tag, length, parts.
fn tlv(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let octets = length.to_be_bytes();
    let octets = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    let mut out = Zeroizing::new(Vec::with_capacity(length + octets.len() + 2));
    out.push(tag);
    if length < 0x80 {
        out.extend(octets.last().or(Some(&0)));
    } else {
        out.extend(u8::try_from(octets.len()).map(|count| 0x80 | count));
        out.extend(octets);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests;
