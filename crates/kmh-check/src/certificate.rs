//! What one certificate says, read from its PEM. Nothing here trusts the document around it.

use std::net::IpAddr;

use kmh_doc::pki::Usage;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo};

/// The facts of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Its DER form.
    pub(crate) der: Vec<u8>,
    /// 3 for X.509 v3.
    pub(crate) version: u32,
    /// Subject, DER.
    pub(crate) subject: Vec<u8>,
    /// Issuer, DER.
    pub(crate) issuer: Vec<u8>,
    /// The common names of the subject.
    pub(crate) common_names: Vec<String>,
    /// The organizations of the subject, sorted.
    pub(crate) organizations: Vec<String>,
    /// DNS names, sorted.
    pub(crate) dns_names: Vec<String>,
    /// Addresses, sorted.
    pub(crate) addresses: Vec<IpAddr>,
    /// How many alternative names are neither a DNS name nor an address.
    pub(crate) other_names: usize,
    /// Whether there is an extension of alternative names.
    pub(crate) has_alternative_names: bool,
    /// Extended key usages, sorted.
    pub(crate) usages: Vec<Usage>,
    /// Whether it has others than client and server.
    pub(crate) other_usages: bool,
    /// Key usage: whether critical, and its bits.
    pub(crate) key_usage: Option<(bool, u16)>,
    /// Basic constraints: whether critical, whether a CA, path length.
    pub(crate) constraints: Option<(bool, bool, Option<u32>)>,
    /// Subject key identifier.
    pub(crate) subject_key_id: Option<Vec<u8>>,
    /// Authority key identifier.
    pub(crate) authority_key_id: Option<Vec<u8>>,
    /// Start.
    pub(crate) not_before: OffsetDateTime,
    /// End.
    pub(crate) not_after: OffsetDateTime,
    /// Serial number as encoded.
    pub(crate) serial: Vec<u8>,
    /// The public key, DER.
    pub(crate) public_key: Vec<u8>,
    /// Its algorithm in the words of the documents.
    pub(crate) algorithm: String,
    /// Extensions that are marked critical and that no checker of names and uses understands.
    pub(crate) unknown_critical: Vec<String>,
}

/// The bits of a key usage (RFC 5280, 4.2.1.3) as `x509_parser` numbers them.
pub(crate) const DIGITAL_SIGNATURE: u16 = 1;
/// `keyEncipherment`.
pub(crate) const KEY_ENCIPHERMENT: u16 = 1 << 2;
/// `keyCertSign`.
pub(crate) const KEY_CERT_SIGN: u16 = 1 << 5;
/// `cRLSign`.
pub(crate) const CRL_SIGN: u16 = 1 << 6;

impl Facts {
    /// Reads the one certificate of a PEM text.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let blocks = pem.matches("-----BEGIN ").count();
        if blocks != 1 {
            return Err(format!("its PEM text holds {blocks} blocks instead of one"));
        }
        let (rest, block) =
            parse_x509_pem(pem.as_bytes()).map_err(|e| format!("its PEM text cannot be read: {e}"))?;
        if block.label != "CERTIFICATE" {
            return Err(format!("its PEM text is a `{}`, not a certificate", block.label));
        }
        if !rest.iter().all(u8::is_ascii_whitespace) {
            return Err("something follows the certificate in its PEM text".to_owned());
        }
        Self::from_der(block.contents)
    }

    /// Reads a certificate's DER form.
    pub(crate) fn from_der(der: Vec<u8>) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(&der).map_err(|e| format!("it cannot be read as X.509: {e}"))?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate".to_owned());
        }
        let mut facts = Self {
            der: Vec::new(),
            version: certificate.version().0 + 1,
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            common_names: texts(certificate.subject().iter_common_name()),
            organizations: texts(certificate.subject().iter_organization()),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            other_names: 0,
            has_alternative_names: false,
            usages: Vec::new(),
            other_usages: false,
            key_usage: None,
            constraints: None,
            subject_key_id: None,
            authority_key_id: None,
            not_before: moment(certificate.validity().not_before)?,
            not_after: moment(certificate.validity().not_after)?,
            serial: certificate.tbs_certificate.raw_serial().to_vec(),
            public_key: certificate.public_key().raw.to_vec(),
            algorithm: algorithm(certificate.public_key()),
            unknown_critical: Vec::new(),
        };
        facts.organizations.sort();
        let mut seen = std::collections::BTreeSet::new();
        for extension in certificate.extensions() {
            if !seen.insert(extension.oid.to_id_string()) {
                // RFC 5280, 4.2: no extension stands twice.
                return Err(format!("the extension {} stands in it twice", extension.oid.to_id_string()));
            }
            facts.extension(extension)?;
        }
        facts.dns_names.sort();
        facts.addresses.sort();
        facts.usages.sort();
        facts.der = der;
        Ok(facts)
    }

    fn extension(&mut self, extension: &X509Extension<'_>) -> Result<(), String> {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.has_alternative_names = true;
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                        GeneralName::IPAddress(octets) => self.addresses.push(address(octets)?),
                        _ => self.other_names += 1,
                    }
                }
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                if usage.client_auth {
                    self.usages.push(Usage::Client);
                }
                if usage.server_auth {
                    self.usages.push(Usage::Server);
                }
                self.other_usages = usage.any
                    || usage.code_signing
                    || usage.email_protection
                    || usage.time_stamping
                    || usage.ocsp_signing
                    || !usage.other.is_empty();
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = Some((extension.critical, usage.flags)),
            ParsedExtension::BasicConstraints(basic) => {
                self.constraints = Some((extension.critical, basic.ca, basic.path_len_constraint));
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::ParseError { error } => {
                return Err(format!(
                    "its extension {} cannot be read: {error}",
                    extension.oid.to_id_string()
                ));
            }
            _ if extension.critical => self.unknown_critical.push(extension.oid.to_id_string()),
            _ => {}
        }
        Ok(())
    }

    /// Whether `issuer`'s key made its signature.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> Result<(), String> {
        let (_, certificate) = X509Certificate::from_der(&self.der).map_err(|e| e.to_string())?;
        let (_, signer) = X509Certificate::from_der(&issuer.der).map_err(|e| e.to_string())?;
        certificate.verify_signature(Some(signer.public_key())).map_err(|e| e.to_string())
    }

    /// SHA-256 of the DER form, lower-case hexadecimal.
    pub(crate) fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// The serial number, lower-case hexadecimal without leading zeros.
    pub(crate) fn serial_hex(&self) -> String {
        let text = hex(&self.serial);
        let short = text.trim_start_matches('0');
        if short.is_empty() { "0".to_owned() } else { short.to_owned() }
    }

    /// Whether its key is of an elliptic curve.
    pub(crate) fn is_elliptic(&self) -> bool {
        self.algorithm.starts_with("ecdsa-") || self.algorithm == "ed25519"
    }

    /// Whether it may sign certificates.
    pub(crate) fn is_ca(&self) -> bool {
        matches!(self.constraints, Some((_, true, _)))
    }
}

/// The PEM blocks of a text, each with its lines as they are: a file of a CA holds one for each that is trusted.
pub(crate) fn blocks(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find("-----END ").and_then(|at| Some(at + rest.get(at..)?.find('\n')?));
        let (block, tail) = rest.split_at(end.unwrap_or(rest.len()));
        found.push(block.trim());
        rest = tail.trim();
    }
    found
}

/// A moment as the documents write it: RFC 3339 in UTC.
pub(crate) fn rfc3339(moment: OffsetDateTime) -> String {
    moment.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

/// The day of a moment.
pub(crate) fn day(moment: OffsetDateTime) -> String {
    moment.to_offset(time::UtcOffset::UTC).date().to_string()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn texts<'a, 'b: 'a>(attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'b>>) -> Vec<String> {
    attributes.map(|a| a.as_str().map_or_else(|_| "(unreadable)".to_owned(), str::to_owned)).collect()
}

fn moment(time: ASN1Time) -> Result<OffsetDateTime, String> {
    OffsetDateTime::from_unix_timestamp(time.timestamp())
        .map_err(|e| format!("a date of it cannot be read: {e}"))
}

fn address(octets: &[u8]) -> Result<IpAddr, String> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).map(IpAddr::from).map_err(|e| e.to_string()),
        16 => <[u8; 16]>::try_from(octets).map(IpAddr::from).map_err(|e| e.to_string()),
        n => Err(format!("an address of {n} octets stands in it")),
    }
}

fn algorithm(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::EC(point)) => format!("ecdsa-p{}", point.key_size()),
        Ok(PublicKey::RSA(rsa)) => format!("rsa-{}", rsa.key_size()),
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "ed25519".to_owned(),
        _ => format!("oid {}", key.algorithm.algorithm.to_id_string()),
    }
}
