//! Reading a certificate: what it says of itself, and whether it is as the table of certificates wants it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kmh_doc::pki::Usage;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::secret::hex;
use crate::want::Wanted;

/// A certificate that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As it is written, PEM, with one line feed at its end.
    pub pem: String,
    /// DER.
    pub der: Vec<u8>,
    /// Common name.
    pub common_name: String,
    /// Organizations, in their order.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns_names: BTreeSet<String>,
    /// IP addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Client and server usage.
    pub usages: BTreeSet<Usage>,
    /// Key algorithm.
    pub algorithm: String,
    /// Start.
    pub not_before: OffsetDateTime,
    /// End.
    pub not_after: OffsetDateTime,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// `SubjectPublicKeyInfo` in DER.
    pub public: Vec<u8>,
    /// Subject key identifier (RFC 5280, 4.2.1.2).
    pub key_id: Option<Vec<u8>>,
    /// Authority key identifier (RFC 5280, 4.2.1.1).
    pub issuer_key_id: Option<Vec<u8>>,
    /// Whether it may sign certificates.
    pub is_ca: bool,
    /// Where it leaves the strict profile of RFC 5280, in words.
    pub deviations: Vec<&'static str>,
}

impl Certificate {
    /// From a PEM file.
    pub fn from_pem(file: &[u8]) -> Result<Self, &'static str> {
        if file.iter().all(u8::is_ascii_whitespace) {
            return Err("it is empty");
        }
        let (rest, pem) =
            x509_parser::pem::parse_x509_pem(file).map_err(|_| "it is no whole PEM file of a certificate")?;
        if pem.label != "CERTIFICATE" {
            return Err("it is no PEM file of a certificate");
        }
        if !rest.iter().all(u8::is_ascii_whitespace) {
            return Err("it holds more than one certificate");
        }
        Self::from_der(&pem.contents)
    }

    /// From DER.
    pub fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        let (rest, read) = X509Certificate::from_der(der).map_err(|_| "it holds no X.509 certificate")?;
        if !rest.is_empty() {
            return Err("something follows the certificate");
        }
        let text =
            |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(ToOwned::to_owned);
        let mut found = Self {
            pem: pem_of(der),
            der: der.to_vec(),
            common_name: read.subject().iter_common_name().find_map(text).unwrap_or_default(),
            organizations: read.subject().iter_organization().filter_map(text).collect(),
            dns_names: BTreeSet::new(),
            addresses: BTreeSet::new(),
            usages: BTreeSet::new(),
            algorithm: algorithm(read.public_key()),
            not_before: read.validity().not_before.to_datetime(),
            not_after: read.validity().not_after.to_datetime(),
            serial: hex(read.raw_serial()),
            public: read.public_key().raw.to_vec(),
            key_id: None,
            issuer_key_id: None,
            is_ca: false,
            deviations: Vec::new(),
        };
        found.read_extensions(&read)?;
        Ok(found)
    }

    fn read_extensions(&mut self, read: &X509Certificate<'_>) -> Result<(), &'static str> {
        let (mut basic, mut usage, mut extended) = (None, None, false);
        let mut odd_names = false;
        let subject_fields = self.organizations.len() + usize::from(!self.common_name.is_empty());
        for extension in read.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(value) => {
                    self.is_ca = value.ca;
                    basic = Some((extension.critical, value.path_len_constraint));
                }
                ParsedExtension::KeyUsage(value) => usage = Some((extension.critical, *value)),
                ParsedExtension::ExtendedKeyUsage(value) => {
                    extended = value.any
                        || value.code_signing
                        || value.email_protection
                        || value.time_stamping
                        || value.ocsp_signing
                        || !value.other.is_empty();
                    self.usages.extend(value.client_auth.then_some(Usage::Client));
                    self.usages.extend(value.server_auth.then_some(Usage::Server));
                }
                ParsedExtension::SubjectAlternativeName(value) => {
                    for name in &value.general_names {
                        match name {
                            GeneralName::DNSName(name) => drop(self.dns_names.insert((*name).to_owned())),
                            GeneralName::IPAddress(octets) => match address(octets) {
                                Some(address) => drop(self.addresses.insert(address)),
                                None => odd_names = true,
                            },
                            _ => odd_names = true,
                        }
                    }
                }
                ParsedExtension::SubjectKeyIdentifier(value) => self.key_id = Some(value.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(value) => {
                    self.issuer_key_id = value.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::ParseError { .. } => return Err("one of its extensions is malformed"),
                _ => {}
            }
        }
        let critical = matches!(basic, Some((true, _)));
        let (sign, encipher) =
            usage.map_or((false, false), |(_, u)| (u.key_cert_sign(), u.key_encipherment()));
        let serial = read.raw_serial();
        let checks = [
            (read.version() != x509_parser::x509::X509Version::V3, "it is not of version 3"),
            (!critical, "its basic constraints are absent or not critical"),
            (!matches!(usage, Some((true, _))), "its key usage is absent or not critical"),
            (self.is_ca != sign, "its key usage does not fit its basic constraints"),
            (
                !self.is_ca && encipher && !self.algorithm.starts_with("rsa"),
                "it claims key encipherment, which a key for signatures cannot do",
            ),
            (self.key_id.is_none(), "it has no subject key identifier"),
            (self.issuer_key_id.is_none(), "it has no authority key identifier"),
            (
                serial.len() > 20 || serial.first().is_none_or(|byte| byte & 0x80 != 0),
                "its serial number is not positive, or longer than 20 octets",
            ),
            (extended, "it has usages that nobody asked for"),
            (odd_names, "it has names that are neither DNS names nor addresses"),
            (
                !self.is_ca && read.subject().iter_attributes().count() != subject_fields,
                "its subject has fields that nobody asked for",
            ),
        ];
        self.deviations = checks.iter().filter(|(deviates, _)| *deviates).map(|(_, words)| *words).collect();
        Ok(())
    }

    /// Whether that CA signed it: by name and identifier, and by signature.
    pub fn is_signed_by(&self, authority: &Self) -> bool {
        // What the identifiers say costs nothing to know.
        if self.issuer_key_id.is_some() && self.issuer_key_id != authority.key_id {
            return false;
        }
        let Ok((_, own)) = X509Certificate::from_der(&self.der) else { return false };
        let Ok((_, other)) = X509Certificate::from_der(&authority.der) else { return false };
        own.issuer().as_raw() == other.subject().as_raw()
            && own.verify_signature(Some(other.public_key())).is_ok()
    }

    /// SHA-256 of the DER form.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// Its names: DNS names, then addresses.
    pub fn names(&self) -> BTreeSet<String> {
        names(&self.dns_names, &self.addresses)
    }
}

/// DNS names and addresses as one set of texts.
pub fn names(dns: &BTreeSet<String>, addresses: &BTreeSet<IpAddr>) -> BTreeSet<String> {
    dns.iter().cloned().chain(addresses.iter().map(ToString::to_string)).collect()
}

impl Wanted {
    /// Its names: DNS names, then addresses.
    pub fn names(&self) -> BTreeSet<String> {
        names(&self.dns_names, &self.addresses)
    }
}

/// The date of a moment, UTC.
pub fn date(moment: OffsetDateTime) -> String {
    let moment = moment.to_offset(time::UtcOffset::UTC);
    format!("{:04}-{:02}-{:02}", moment.year(), u8::from(moment.month()), moment.day())
}

/// A moment as RFC 3339 in UTC.
pub fn rfc3339(moment: OffsetDateTime) -> String {
    moment.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_else(|_| date(moment))
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::with_capacity(body.len() + 96);
    out.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// The algorithm of a public key: `SubjectPublicKeyInfo` in DER.
pub fn algorithm_of(public: &[u8]) -> String {
    match SubjectPublicKeyInfo::from_der(public) {
        Ok((_, key)) => algorithm(&key),
        Err(_) => "unknown".to_owned(),
    }
}

fn algorithm(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::EC(point)) => format!("ecdsa-p{}", point.key_size()),
        Ok(PublicKey::RSA(key)) => format!("rsa-{}", key.key_size()),
        // RFC 8410: id-Ed25519.
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "ed25519".to_owned(),
        _ => "unknown".to_owned(),
    }
}
