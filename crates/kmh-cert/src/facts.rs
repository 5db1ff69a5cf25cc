//! What one certificate says, read from its PEM. Nothing here trusts the document or the store around it.

use std::collections::BTreeSet;
use std::fmt;

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
pub struct Facts {
    /// Its DER form.
    pub der: Vec<u8>,
    /// 3 for X.509 v3.
    pub version: u32,
    /// Subject, DER.
    pub subject: Vec<u8>,
    /// Issuer, DER.
    pub issuer: Vec<u8>,
    /// The common names of the subject.
    pub common_names: Vec<String>,
    /// The organizations of the subject, in their order.
    pub organizations: Vec<String>,
    /// How many fields the subject has.
    pub subject_fields: usize,
    /// DNS names, sorted.
    pub dns_names: Vec<String>,
    /// Addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// How many alternative names are neither a DNS name nor an address.
    pub other_names: usize,
    /// The extension of alternative names: whether it is there, and then whether it is critical.
    pub alternative_names: Option<bool>,
    /// Extended key usages, sorted.
    pub usages: Vec<Usage>,
    /// Whether it has others than client and server.
    pub other_usages: bool,
    /// Key usage: whether critical, and its bits.
    pub key_usage: Option<(bool, u16)>,
    /// Basic constraints: whether critical, whether a CA, path length.
    pub constraints: Option<(bool, bool, Option<u32>)>,
    /// Subject key identifier.
    pub subject_key_id: Option<Vec<u8>>,
    /// Authority key identifier.
    pub authority_key_id: Option<Vec<u8>>,
    /// Start.
    pub not_before: OffsetDateTime,
    /// End.
    pub not_after: OffsetDateTime,
    /// Whether start and end are of the form that RFC 5280, 4.1.2.5 prescribes for their year.
    pub dates_in_form: bool,
    /// The algorithm that it is signed with, as the signature says: an OID.
    pub signature: String,
    /// Whether the signed part names the same one.
    pub signature_is_declared: bool,
    /// Serial number as encoded.
    pub serial: Vec<u8>,
    /// The public key, DER.
    pub public_key: Vec<u8>,
    /// Its algorithm in the words of the documents.
    pub algorithm: String,
    /// Extensions that are marked critical and that no checker of names and uses understands.
    pub unknown_critical: Vec<String>,
    /// Whether it limits the names of what it signs (RFC 5280, 4.2.1.10).
    pub name_constraints: bool,
}

/// The bits of a key usage (RFC 5280, 4.2.1.3) as `x509_parser` numbers them.
pub const DIGITAL_SIGNATURE: u16 = 1;
/// `keyEncipherment`.
pub const KEY_ENCIPHERMENT: u16 = 1 << 2;
/// `keyCertSign`.
pub const KEY_CERT_SIGN: u16 = 1 << 5;
/// `cRLSign`.
pub const CRL_SIGN: u16 = 1 << 6;

/// Why a certificate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// There is nothing.
    Empty,
    /// It is no whole PEM text.
    Pem(String),
    /// It is a PEM text of something else.
    Label(String),
    /// So many PEM blocks stand in it.
    Several(usize),
    /// Something follows the certificate.
    Tail,
    /// It is no X.509 certificate.
    Der(String),
    /// An extension stands in it twice.
    Twice(String),
    /// An extension cannot be read.
    Extension(String, String),
    /// An address has a length that no family has.
    Address(usize),
    /// A date is none.
    Date,
}

impl Unreadable {
    /// The kind of damage, without a word of the content.
    pub fn short(&self) -> &'static str {
        match self {
            Self::Empty => "it is empty",
            Self::Pem(_) => "it is no whole PEM file of a certificate",
            Self::Label(_) => "it is no PEM file of a certificate",
            Self::Several(_) => "it holds more than one certificate",
            Self::Tail => "something follows the certificate",
            Self::Der(_) | Self::Date => "it holds no X.509 certificate",
            Self::Twice(_) => "one of its extensions stands in it twice",
            Self::Extension(..) | Self::Address(_) => "one of its extensions is malformed",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("its PEM text holds 0 blocks instead of one"),
            Self::Pem(why) => write!(f, "its PEM text cannot be read: {why}"),
            Self::Label(label) => write!(f, "its PEM text is a `{label}`, not a certificate"),
            Self::Several(blocks) => write!(f, "its PEM text holds {blocks} blocks instead of one"),
            Self::Tail => f.write_str("something follows the certificate"),
            Self::Der(why) => write!(f, "it cannot be read as X.509: {why}"),
            Self::Twice(oid) => write!(f, "the extension {oid} stands in it twice"),
            Self::Extension(oid, why) => write!(f, "its extension {oid} cannot be read: {why}"),
            Self::Address(octets) => write!(f, "an address of {octets} octets stands in it"),
            Self::Date => f.write_str("a date of it cannot be read"),
        }
    }
}

impl Facts {
    /// Reads the one certificate of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Unreadable> {
        const BEGIN: &[u8] = b"-----BEGIN ";
        if pem.iter().all(u8::is_ascii_whitespace) {
            return Err(Unreadable::Empty);
        }
        let blocks = pem.windows(BEGIN.len()).filter(|window| *window == BEGIN).count();
        if blocks > 1 {
            return Err(Unreadable::Several(blocks));
        }
        let (rest, block) = parse_x509_pem(pem).map_err(|error| Unreadable::Pem(error.to_string()))?;
        if block.label != "CERTIFICATE" {
            return Err(Unreadable::Label(block.label));
        }
        if !rest.iter().all(u8::is_ascii_whitespace) {
            return Err(Unreadable::Tail);
        }
        Self::from_der(block.contents)
    }

    /// Reads a certificate's DER form.
    pub fn from_der(der: Vec<u8>) -> Result<Self, Unreadable> {
        let (rest, certificate) =
            X509Certificate::from_der(&der).map_err(|error| Unreadable::Der(error.to_string()))?;
        if !rest.is_empty() {
            return Err(Unreadable::Tail);
        }
        let validity = certificate.validity();
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
            subject_fields: certificate.subject().iter_attributes().count(),
            alternative_names: None,
            usages: Vec::new(),
            other_usages: false,
            key_usage: None,
            constraints: None,
            subject_key_id: None,
            authority_key_id: None,
            not_before: moment(validity.not_before)?,
            not_after: moment(validity.not_after)?,
            dates_in_form: [validity.not_before, validity.not_after].into_iter().all(in_form),
            signature: certificate.signature_algorithm.algorithm.to_id_string(),
            signature_is_declared: certificate.signature_algorithm == certificate.tbs_certificate.signature,
            serial: certificate.tbs_certificate.raw_serial().to_vec(),
            public_key: certificate.public_key().raw.to_vec(),
            algorithm: algorithm(certificate.public_key()),
            unknown_critical: Vec::new(),
            name_constraints: false,
        };
        let mut seen = BTreeSet::new();
        for extension in certificate.extensions() {
            if !seen.insert(extension.oid.to_id_string()) {
                // RFC 5280, 4.2: no extension stands twice.
                return Err(Unreadable::Twice(extension.oid.to_id_string()));
            }
            facts.extension(extension)?;
        }
        facts.dns_names.sort();
        facts.addresses.sort();
        facts.usages.sort();
        facts.der = der;
        Ok(facts)
    }

    fn extension(&mut self, extension: &X509Extension<'_>) -> Result<(), Unreadable> {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.alternative_names = Some(extension.critical);
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                        GeneralName::IPAddress(octets) => {
                            self.addresses.push(address(octets).ok_or(Unreadable::Address(octets.len()))?);
                        }
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
                return Err(Unreadable::Extension(extension.oid.to_id_string(), error.to_string()));
            }
            // RFC 5280, 4.2.1.10: always critical, and every checker of chains knows them.
            ParsedExtension::NameConstraints(_) => self.name_constraints = true,
            _ if extension.critical => self.unknown_critical.push(extension.oid.to_id_string()),
            _ => {}
        }
        Ok(())
    }

    /// Whether `issuer`'s key made its signature.
    pub fn is_signed_by(&self, issuer: &Self) -> Result<(), String> {
        is_signed(&self.der, &issuer.der)
    }

    /// SHA-256 of the DER form, lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// The serial number, lower-case hexadecimal without leading zeros.
    pub fn serial_hex(&self) -> String {
        let text = hex(&self.serial);
        let short = text.trim_start_matches('0');
        if short.is_empty() { "0".to_owned() } else { short.to_owned() }
    }

    /// Whether its key can sign and nothing else: an elliptic curve's.
    pub fn only_signs(&self) -> bool {
        !self.algorithm.starts_with("rsa-")
    }

    /// Whether it may sign certificates.
    pub fn is_ca(&self) -> bool {
        matches!(self.constraints, Some((_, true, _)))
    }
}

/// The PEM blocks of a text, each with its lines as they are: a file of a CA holds one for each that is trusted.
pub fn blocks(text: &str) -> Vec<&str> {
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

/// Whether the key of one certificate made the signature of another; both DER.
pub fn is_signed(certificate: &[u8], issuer: &[u8]) -> Result<(), String> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let (_, signer) = X509Certificate::from_der(issuer).map_err(|error| error.to_string())?;
    certificate.verify_signature(Some(signer.public_key())).map_err(|error| error.to_string())
}

/// A moment as the documents write it: RFC 3339 in UTC.
pub fn rfc3339(moment: OffsetDateTime) -> String {
    moment.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

/// The day of a moment.
pub fn day(moment: OffsetDateTime) -> String {
    moment.to_offset(time::UtcOffset::UTC).date().to_string()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn texts<'a, 'b: 'a>(attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'b>>) -> Vec<String> {
    attributes.map(|a| a.as_str().map_or_else(|_| "(unreadable)".to_owned(), str::to_owned)).collect()
}

fn moment(time: ASN1Time) -> Result<OffsetDateTime, Unreadable> {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).map_err(|_| Unreadable::Date)
}

/// `UTCTime` through 2049, `GeneralizedTime` after.
fn in_form(time: ASN1Time) -> bool {
    time.is_generalizedtime() == (time.to_datetime().year() >= 2050)
}

/// The address of a name in a certificate; none when it has a length that no family has.
pub fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// A public key from its PEM text: `SubjectPublicKeyInfo` in DER.
pub fn public_key(pem: &str) -> Result<Vec<u8>, String> {
    let (_, block) =
        parse_x509_pem(pem.as_bytes()).map_err(|e| format!("its public half cannot be read: {e}"))?;
    if block.label != "PUBLIC KEY" {
        return Err(format!("its public half is a `{}`", block.label));
    }
    match SubjectPublicKeyInfo::from_der(&block.contents) {
        Ok(([], _)) => Ok(block.contents),
        Ok(_) => Err("something follows its public half".to_owned()),
        Err(e) => Err(format!("its public half cannot be read: {e}")),
    }
}

/// The algorithm of a public key, `SubjectPublicKeyInfo` in DER, in the words of the documents.
pub fn algorithm_of(public: &[u8]) -> String {
    SubjectPublicKeyInfo::from_der(public).map_or_else(|_| "unknown".to_owned(), |(_, key)| algorithm(&key))
}

/// The algorithm of a public key in the words of the documents.
pub fn algorithm(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        // Points of other curves are as long: the curve is what the parameters name (RFC 5480, 2.1.1.1).
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            match curve.map(|oid| oid.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => "ecdsa-p256".to_owned(),
                Some("1.3.132.0.34") => "ecdsa-p384".to_owned(),
                Some("1.3.132.0.35") => "ecdsa-p521".to_owned(),
                Some(other) => format!("ecdsa on curve {other}"),
                None => "ecdsa on no named curve".to_owned(),
            }
        }
        Ok(PublicKey::RSA(rsa)) => format!("rsa-{}", rsa.key_size()),
        // RFC 8410: id-Ed25519.
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "ed25519".to_owned(),
        _ => format!("oid {}", key.algorithm.algorithm.to_id_string()),
    }
}
