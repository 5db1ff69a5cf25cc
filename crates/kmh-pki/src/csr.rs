//! Requests for certificates (PKCS #10, RFC 2986): what they ask for, and whether the inventory gives it.
//!
//! A request proves that somebody holds a key, and says who that is. It decides nothing: what is signed is what the
//! table of certificates says, and a request that asks for anything else is refused.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kmh_cert::facts::{CRL_SIGN, DIGITAL_SIGNATURE, KEY_CERT_SIGN, KEY_ENCIPHERMENT};
use kmh_doc::pki::{Class, Usage};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use crate::cert;
use crate::reason;
use crate::table::Life;
use crate::want::Wanted;

/// No request is larger: one with an RSA key of 4096 bits and a hundred names has 5 KiB.
pub const LIMIT: usize = 64 << 10;

/// What the PEM form is called. OpenSSL of old and Windows write the second.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// A request that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// PEM, with one line feed at its end.
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
    /// Client and server usage; none when it leaves them to whoever signs.
    pub usages: Option<BTreeSet<Usage>>,
    /// Key algorithm.
    pub algorithm: String,
    /// `SubjectPublicKeyInfo` in DER.
    pub public: Vec<u8>,
    /// The path length that it asks for; none when it asks to be no CA.
    pub authority: Option<Option<u32>>,
    /// The bits of the key usage that it asks for; none when it leaves them to whoever signs.
    pub key_usage: Option<u16>,
    /// What no certificate of the table has and the request asks for, or what is wrong with its signature.
    pub defects: Vec<String>,
}

impl Request {
    /// From a file: PEM or DER.
    pub fn from_file(file: &[u8]) -> Result<Self, &'static str> {
        if file.len() > LIMIT {
            return Err("it is larger than any request");
        }
        if file.iter().all(u8::is_ascii_whitespace) {
            return Err("it is empty");
        }
        // A SEQUENCE: no text begins with that octet and goes on with a length above 127.
        if file.starts_with(&[0x30]) && file.get(1).is_some_and(|octet| octet & 0x80 != 0) {
            return Self::from_der(file);
        }
        if file.trim_ascii_start().starts_with(b"{") {
            return Err("it is JSON; a request set is signed by `kmh-pki sign --requests`");
        }
        let (rest, pem) =
            x509_parser::pem::parse_x509_pem(file).map_err(|_| "it is no whole PEM file of a request")?;
        if pem.label.contains("PRIVATE KEY") {
            return Err("it is a private key, which must not leave its machine");
        }
        if !LABELS.contains(&pem.label.as_str()) {
            return Err("it is no PEM file of a request");
        }
        if !rest.iter().all(u8::is_ascii_whitespace) {
            return Err("something follows the request");
        }
        Self::from_der(&pem.contents)
    }

    /// From DER.
    pub fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        let (rest, read) =
            X509CertificationRequest::from_der(der).map_err(|_| "it holds no PKCS #10 request")?;
        if !rest.is_empty() {
            return Err("something follows the request");
        }
        let info = &read.certification_request_info;
        let text =
            |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(ToOwned::to_owned);
        let mut found = Self {
            pem: cert::pem_of(LABELS[0], der),
            der: der.to_vec(),
            common_name: info.subject.iter_common_name().find_map(text).unwrap_or_default(),
            organizations: info.subject.iter_organization().filter_map(text).collect(),
            dns_names: BTreeSet::new(),
            addresses: BTreeSet::new(),
            usages: None,
            algorithm: cert::algorithm(&info.subject_pki),
            public: info.subject_pki.raw.to_vec(),
            authority: None,
            key_usage: None,
            defects: Vec::new(),
        };
        match read.verify_signature() {
            Ok(()) => {}
            Err(X509Error::SignatureUnsupportedAlgorithm) => {
                found.defects.push("its signature is of a kind that cannot be verified".to_owned());
            }
            Err(_) => found.defects.push(
                "its signature is not that of its own key: whoever made it may not hold the key".to_owned(),
            ),
        }
        let fields = found.organizations.len() + usize::from(!found.common_name.is_empty());
        if info.subject.iter_attributes().count() != fields {
            found.defects.push("its subject has fields besides O and CN, or one that is no text".to_owned());
        }
        found.read_attributes(&read)?;
        Ok(found)
    }

    fn read_attributes(&mut self, read: &X509CertificationRequest<'_>) -> Result<(), &'static str> {
        let mut asked = false;
        for attribute in read.certification_request_info.iter_attributes() {
            // Of the others none says anything about the certificate (RFC 2985, 5.4).
            let ParsedCriAttribute::ExtensionRequest(request) = attribute.parsed_attribute() else {
                continue;
            };
            if asked {
                return Err("it asks for extensions twice");
            }
            asked = true;
            let mut seen = BTreeSet::new();
            for extension in &request.extensions {
                if !seen.insert(extension.oid.to_id_string()) {
                    return Err("it asks for one extension twice");
                }
                self.read_extension(&extension.oid.to_id_string(), extension.parsed_extension())?;
            }
        }
        Ok(())
    }

    fn read_extension(&mut self, oid: &str, extension: &ParsedExtension<'_>) -> Result<(), &'static str> {
        let mut defect = |words: &str| self.defects.push(words.to_owned());
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(name) => drop(self.dns_names.insert((*name).to_owned())),
                        GeneralName::IPAddress(octets) => match cert::address(octets) {
                            Some(address) => drop(self.addresses.insert(address)),
                            None => defect("it asks for an address that is neither of IPv4 nor of IPv6"),
                        },
                        _ => defect("it asks for a name that is neither a DNS name nor an address"),
                    }
                }
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let known = [(usage.client_auth, Usage::Client), (usage.server_auth, Usage::Server)];
                self.usages =
                    Some(known.into_iter().filter_map(|(has, usage)| has.then_some(usage)).collect());
                if usage.any
                    || usage.code_signing
                    || usage.email_protection
                    || usage.time_stamping
                    || usage.ocsp_signing
                    || !usage.other.is_empty()
                {
                    defect("it asks for usages other than client and server");
                }
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = Some(usage.flags),
            ParsedExtension::BasicConstraints(basic) => {
                self.authority = basic.ca.then_some(basic.path_len_constraint);
            }
            // The identifier is computed from the key, whatever it says.
            ParsedExtension::SubjectKeyIdentifier(_) => {}
            ParsedExtension::ParseError { .. } => return Err("one of its extensions is malformed"),
            _ => self.defects.push(format!("it asks for the extension {oid}, which no certificate here has")),
        }
        Ok(())
    }

    /// Its names: DNS names, then addresses.
    pub fn names(&self) -> BTreeSet<String> {
        cert::names(&self.dns_names, &self.addresses)
    }

    /// Whether its subject is that one.
    pub fn is_of(&self, wanted: &Wanted) -> bool {
        self.common_name == wanted.common_name && self.organizations == wanted.organizations
    }

    /// What it asks for and no certificate of that kind has, and what one has and it does not ask for.
    pub fn defects_as(&self, life: Life) -> Vec<String> {
        let mut found = self.defects.clone();
        match (life, self.authority) {
            (Life::Leaf, None) | (Life::Authority, Some(Some(0))) => {}
            (Life::Leaf, Some(_)) => found.push("it asks to become a CA".to_owned()),
            (Life::Authority, None) => found.push("it does not ask to become a CA".to_owned()),
            (Life::Authority, Some(None)) => {
                found.push("it asks for no path length, and that of a CA below a root is 0".to_owned());
            }
            (Life::Authority, Some(Some(length))) => {
                found.push(format!(
                    "it asks for the path length {length}, and that of a CA below a root is 0"
                ));
            }
        }
        match (life, self.key_usage) {
            // Which Kubernetes' signers allow. The second is not given: TLS 1.3 and ECDHE only sign.
            (Life::Leaf, Some(bits)) if bits & !(DIGITAL_SIGNATURE | KEY_ENCIPHERMENT) != 0 => found
                .push("it asks for key usages other than digitalSignature and keyEncipherment".to_owned()),
            (Life::Authority, Some(bits)) if bits != KEY_CERT_SIGN | CRL_SIGN => {
                found.push("it asks for other key usages than keyCertSign and cRLSign".to_owned());
            }
            _ => {}
        }
        found
    }

    /// Everything that speaks against signing it as that certificate.
    pub fn against(&self, wanted: &Wanted) -> Vec<String> {
        let mut found = self.defects_as(wanted.life);
        let name = &wanted.name;
        if !self.is_of(wanted) {
            found.push(format!(
                "its subject is `{}`, and that of `{name}` is `{}`",
                subject(&self.common_name, &self.organizations),
                subject(&wanted.common_name, &wanted.organizations)
            ));
        }
        let given = wanted.names();
        let foreign: Vec<String> =
            self.names().difference(&given).map(|one| format!("`{}`", one.escape_debug())).collect();
        if !foreign.is_empty() {
            found.push(if given.is_empty() {
                format!("it asks for {}, and `{name}` has no names at all", foreign.join(", "))
            } else {
                format!("it asks for {}, which the inventory does not give `{name}`", foreign.join(", "))
            });
        }
        // What Kubernetes' own signer wants of kubernetes.io/kubelet-serving.
        if wanted.class == Class::KubeletServing && self.names().is_empty() {
            found.push("it asks for no name: one for a kubelet that serves needs at least one".to_owned());
        }
        let usages: BTreeSet<Usage> = wanted.usages.iter().copied().collect();
        if let Some(asked) = self.usages.as_ref().filter(|asked| **asked != usages) {
            found.push(format!(
                "it asks for the usage {}, and that of `{name}` is {}",
                reason::usages(asked),
                reason::usages(&usages)
            ));
        }
        let algorithm = wanted.algorithm.as_str();
        if self.algorithm != algorithm {
            found.push(format!(
                "its key is {}, and the inventory wants {algorithm} for `{name}`",
                self.algorithm
            ));
        }
        found
    }
}

/// A subject in one line.
pub fn subject(name: &str, organizations: &[String]) -> String {
    let parts = organizations.iter().map(|o| format!("O={}", o.escape_debug()));
    parts.chain([format!("CN={}", name.escape_debug())]).collect::<Vec<_>>().join(", ")
}
