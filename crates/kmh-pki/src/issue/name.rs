//! Names that the library does not write, octet by octet: that of a CA from elsewhere, and subjects with several
//! organizations.
//!
//! A path is only built where the issuer of a certificate is the subject of its CA (RFC 5280, 6.1), and several programs
//! compare octets. The library writes names of its own kind: each attribute once, one in a set. A company's CA may be
//! called `DC=net, DC=example, OU=IT, OU=PKI`, so its name is put in as it stands, and signed once more.

use rcgen::{
    CertificateParams, DistinguishedName, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SigningKey as _,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::cert::Certificate;
use crate::secret::Key;

/// Tags of a sequence, a set, a bit string and a text.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIT_STRING: u8 = 0x03;
const UTF8: u8 = 0x0c;
/// The object identifiers 2.5.4.10 and 2.5.4.3.
const ORGANIZATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

/// The CA as the library knows it. A name that we would not give is put in afterwards.
pub(super) fn issuer(ca: &Certificate, key: Key) -> Result<Issuer<'static, Key>, String> {
    if ca.organizations.is_empty() && ca.attributes == 1 {
        return Issuer::from_ca_cert_der(&ca.der().into(), key).map_err(|error| error.to_string());
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // A CA of version 1 has none; the library then derives one from its key, and nobody compares it.
    if let Some(id) = ca.key_id.clone() {
        params.key_identifier_method = KeyIdMethod::PreSpecified(id);
    }
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(Issuer::new(params, key))
}

/// Organizations, then a common name, as a subject (RFC 5280, 4.1.2.4).
pub(super) fn subject(organizations: &[String], common_name: &str) -> Vec<u8> {
    let fields = organizations.iter().map(|one| (ORGANIZATION, one.as_str()));
    let fields = fields.chain([(COMMON_NAME, common_name)]);
    let sets: Vec<Vec<u8>> = fields
        .map(|(oid, text)| wrap(SET, &[&wrap(SEQUENCE, &[&oid, &wrap(UTF8, &[text.as_bytes()])])]))
        .collect();
    wrap(SEQUENCE, &sets.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The certificate with that name of its issuer and with that subject; signed again.
pub(super) fn put(der: &[u8], new_issuer: &[u8], subject: &[u8], key: &KeyPair) -> Result<Vec<u8>, String> {
    let odd = || "its CA has a name that cannot be written".to_owned();
    let (_, own) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let (issuer, holder) = (own.issuer().as_raw(), own.subject().as_raw());
    let tbs = own.tbs_certificate.as_ref();
    let (head, _) = element(tbs).ok_or_else(odd)?;
    // The parser's slices are parts of what it read.
    let place = |name: &[u8]| name.as_ptr().addr().checked_sub(tbs.as_ptr().addr());
    let (first, second) = (place(issuer).ok_or_else(odd)?, place(holder).ok_or_else(odd)?);
    let before = tbs.get(head..first).ok_or_else(odd)?;
    let between = tbs.get(first + issuer.len()..second).ok_or_else(odd)?;
    let after = tbs.get(second + holder.len()..).ok_or_else(odd)?;
    let tbs_new = wrap(SEQUENCE, &[before, new_issuer, between, subject, after]);

    // What follows the signed part: the algorithm, then the signature.
    let start = tbs.as_ptr().addr().checked_sub(der.as_ptr().addr()).ok_or_else(odd)?;
    let rest = der.get(start + tbs.len()..).ok_or_else(odd)?;
    let (_, length) = element(rest).ok_or_else(odd)?;
    let algorithm = rest.get(..length).ok_or_else(odd)?;
    let signature = key.sign(&tbs_new).map_err(|error| error.to_string())?;
    let signature = wrap(BIT_STRING, &[&[0], &signature]);
    Ok(wrap(SEQUENCE, &[&tbs_new, algorithm, &signature]))
}

/// Length of the first element's head, and of the whole element (X.690, 8.1.3).
fn element(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some((2, 2 + first));
    }
    let count = first & 0x7f;
    let octets = bytes.get(2..2 + count).filter(|octets| octets.len() <= 4)?;
    let length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
    Some((2 + count, 2 + count + length))
}

/// An element of these parts (X.690, 10.1: the shortest form of its length).
fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let octets = content.len().to_be_bytes();
    let short: Vec<u8> = octets.iter().copied().skip_while(|octet| *octet == 0).collect();
    let mut out = vec![tag];
    match (content.len(), u8::try_from(short.len())) {
        (length @ 0..0x80, _) => out.extend(u8::try_from(length)),
        (_, count) => {
            out.extend(count.map(|count| 0x80 | count));
            out.extend(short);
        }
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_their_shortest_form() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; length];
            let made = wrap(SEQUENCE, &[&content]);
            let head = made.len() - length;
            assert_eq!(element(&made), Some((head, made.len())), "{length}");
            assert_eq!(head, if length < 0x80 { 2 } else { 2 + length.ilog(256) as usize + 1 }, "{length}");
        }
        assert_eq!(element(&[0x30]), None);
        assert_eq!(element(&[0x30, 0x82, 0x01]), None);
        assert_eq!(element(&[0x30, 0x85, 1, 2, 3, 4, 5]), None);
    }
}
