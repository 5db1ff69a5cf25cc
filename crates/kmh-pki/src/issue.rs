//! Issuing: the one place that makes keys and signs certificates.
//!
//! The profile is RFC 5280 without its liberties: version 3, critical basic constraints and key usage, identifiers of
//! both keys, a path length of zero on CAs, no key encipherment, exact usages, random serial numbers.

mod name;

use kmh_doc::pki::{Class, Usage};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use time::{Duration, OffsetDateTime};

use crate::cert::Certificate;
use crate::csr::Request;
use crate::secret::{Key, random};
use crate::table::Life;
use crate::want::Wanted;

/// How far the start lies before the time of issue.
///
/// A machine without a battery-backed clock (a Raspberry Pi) starts with the time that it saved last, and the
/// `fake-hwclock` of Debian saves once an hour: until it has the network's time, it lives up to an hour in the past.
pub const BACKDATE: Duration = Duration::hours(1);

/// A CA that can sign.
pub struct Authority {
    /// As the library knows it, read once, for a CA signs thousands; or why it cannot be read.
    issuer: Result<Issuer<'static, Key>, String>,
    certificate: Certificate,
}

impl Authority {
    /// From its two halves, which belong together.
    pub fn new(key: Key, certificate: Certificate) -> Self {
        Self { issuer: name::issuer(&certificate, key), certificate }
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Issues a certificate for a key.
    pub fn issue(
        &self,
        wanted: &Wanted,
        key: &impl PublicKeyData,
        now: OffsetDateTime,
    ) -> Result<Certificate, String> {
        let (not_before, not_after) = validity(wanted.lasts, now, Some(&self.certificate));
        let mut params = params(wanted, not_before, not_after)?;
        params.is_ca = IsCa::ExplicitNoCa;
        // ECDSA and Ed25519 keys sign and nothing else (RFC 8813, section 3; RFC 9295, section 3). RSA keys could
        // encipher, for a key exchange that TLS 1.3 has no more and TLS 1.2 should not have (RFC 9325, section 4.1).
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self.sign(wanted, &params, key)
    }

    /// Makes the certificate of a CA below this one.
    pub fn below(
        &self,
        wanted: &Wanted,
        key: &impl PublicKeyData,
        now: OffsetDateTime,
    ) -> Result<Certificate, String> {
        let params = authority_params(wanted, validity(wanted.lasts, now, Some(&self.certificate)))?;
        self.sign(wanted, &params, key)
    }

    fn sign(
        &self,
        wanted: &Wanted,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, String> {
        let issuer = self.issuer.as_ref().map_err(Clone::clone)?;
        let issued = params.signed_by(key, issuer).map_err(|error| error.to_string())?;
        // Of several organizations the library would write the last one.
        let subject = (wanted.organizations.len() > 1)
            .then(|| name::subject(&wanted.organizations, &wanted.common_name));
        let made = read(issued.der())?;
        if subject.is_none() && made.issuer == self.certificate.subject {
            return Ok(made);
        }
        let subject = subject.as_deref().unwrap_or(&made.subject);
        let pair = issuer.key().pair();
        read(&name::put(issued.der(), &self.certificate.subject, subject, pair)?)
    }
}

fn read(der: &[u8]) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(ToOwned::to_owned)
}

/// The public key that `SubjectPublicKeyInfo` in DER holds.
pub fn public_key(der: &[u8]) -> Result<SubjectPublicKeyInfo, String> {
    SubjectPublicKeyInfo::from_der(der).map_err(|error| error.to_string())
}

/// Makes the request for a certificate: all that is known of it.
pub fn request(wanted: &Wanted, key: &Key) -> Result<Request, String> {
    let mut params = params(wanted, OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH)?;
    // Both are the signer's (RFC 2986 has no place for them).
    params.serial_number = None;
    params.use_authority_key_identifier_extension = false;
    if wanted.life == Life::Authority {
        constrain(&mut params, wanted);
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    let request = params.serialize_request(key.pair()).map_err(|error| error.to_string())?;
    Request::from_der(request.der()).map_err(ToOwned::to_owned)
}

/// Makes the certificate of a CA, signed with its own key.
pub fn authority(wanted: &Wanted, key: &Key, now: OffsetDateTime) -> Result<Certificate, String> {
    let params = authority_params(wanted, validity(wanted.lasts, now, None))?;
    let issued = params.self_signed(key.pair()).map_err(|error| error.to_string())?;
    read(issued.der())
}

fn authority_params(
    wanted: &Wanted,
    (not_before, not_after): (OffsetDateTime, OffsetDateTime),
) -> Result<CertificateParams, String> {
    let mut params = params(wanted, not_before, not_after)?;
    constrain(&mut params, wanted);
    Ok(params)
}

/// What a CA may do.
fn constrain(params: &mut CertificateParams, wanted: &Wanted) {
    // No CA below it, and below a root one (RFC 5280, 4.2.1.9).
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(u8::from(wanted.class == Class::RootCa)));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
}

/// Start and end of what is issued now; inside the CA's own time.
pub fn validity(
    lasts: Duration,
    now: OffsetDateTime,
    authority: Option<&Certificate>,
) -> (OffsetDateTime, OffsetDateTime) {
    let now = now.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).unwrap_or(now);
    let (start, end) = (now - BACKDATE, now + lasts);
    match authority {
        Some(ca) => (start.max(ca.not_before), end.min(ca.not_after)),
        None => (start, end),
    }
}

fn params(
    wanted: &Wanted,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::default();
    params.not_before = not_before;
    params.not_after = not_after;
    params.serial_number = Some(serial()?);
    params.use_authority_key_identifier_extension = true;
    let mut subject = DistinguishedName::new();
    for organization in &wanted.organizations {
        subject.push(DnType::OrganizationName, organization.as_str());
    }
    subject.push(DnType::CommonName, wanted.common_name.as_str());
    params.distinguished_name = subject;
    for name in wanted.dns_names.iter() {
        let name = name.as_str().try_into().map_err(|_| format!("`{name}` is no DNS name"))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(wanted.addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.extended_key_usages = wanted
        .usages
        .iter()
        .map(|usage| match usage {
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        })
        .collect();
    Ok(params)
}

/// 20 octets, positive, of which 158 bits are random (RFC 5280, 4.1.2.2).
fn serial() -> Result<SerialNumber, String> {
    let mut octets = [0; 20];
    random(&mut octets)?;
    octets[0] = octets[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&octets))
}
