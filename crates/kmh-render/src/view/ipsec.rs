//! Views of strongSwan: one connection a tunnel.

use std::borrow::Cow;
use std::net::IpAddr;

use kmh_doc::bundle::Encoding;
use kmh_doc::inventory::Cipher;
use kmh_doc::pki::Class;
use serde::Serialize;

use crate::fault::Fault;
use crate::safe;
use crate::shared::{End, RouterTarget};
use crate::view::{Slots, View};

/// What both ends of a tunnel speak, in strongSwan's and in pfSense's words.
pub(crate) struct Suite {
    /// Proposal for IKE (strongSwan).
    pub(crate) ike: &'static str,
    /// Proposal for ESP, with a fresh key exchange at each rekeying (strongSwan).
    pub(crate) esp: &'static str,
    /// The cipher (pfSense).
    pub(crate) name: &'static str,
    /// What pfSense calls `keylen`: the tag's length of a counter mode, none where there is nothing to choose.
    pub(crate) length: Option<&'static str>,
    /// The hash of IKE, which is the PRF with a cipher that authenticates itself (pfSense).
    pub(crate) hash: &'static str,
    /// The hash of ESP; none with a cipher that authenticates itself (pfSense).
    pub(crate) hmac: Option<&'static str>,
    /// The number of the Diffie-Hellman group, of IKE and ESP (pfSense).
    pub(crate) group: &'static str,
}

/// The suite of a cipher. Groups: 20 is P-384, 19 is P-256 (RFC 5903), 31 is Curve25519 (RFC 8031), 14 has 2048 bits
/// (RFC 3526).
pub(crate) fn suite(cipher: Cipher) -> Suite {
    match cipher {
        Cipher::Aes256gcm => Suite {
            ike: "aes256gcm16-prfsha384-ecp384",
            esp: "aes256gcm16-ecp384",
            name: "aes256gcm",
            length: Some("128"),
            hash: "sha384",
            hmac: None,
            group: "20",
        },
        Cipher::Aes128gcm => Suite {
            ike: "aes128gcm16-prfsha256-ecp256",
            esp: "aes128gcm16-ecp256",
            name: "aes128gcm",
            length: Some("128"),
            hash: "sha256",
            hmac: None,
            group: "19",
        },
        Cipher::Chacha20poly1305 => Suite {
            ike: "chacha20poly1305-prfsha256-x25519",
            esp: "chacha20poly1305-x25519",
            name: "chacha20poly1305",
            length: None,
            hash: "sha256",
            hmac: None,
            group: "31",
        },
        Cipher::Aes256cbc => Suite {
            ike: "aes256-sha256-modp2048",
            esp: "aes256-sha256-modp2048",
            name: "aes",
            length: Some("256"),
            hash: "sha256",
            hmac: Some("hmac_sha256"),
            group: "14",
        },
    }
}

#[derive(Serialize)]
struct Swanctl<'a> {
    certificate: &'a str,
    /// The CAs whose certificates the other ends may have.
    authorities: String,
    connections: Vec<Connection<'a>>,
    /// Whether any of them has a pre-shared key.
    secrets: bool,
}

#[derive(Serialize)]
struct Connection<'a> {
    name: &'a str,
    index: u32,
    ike: &'static str,
    esp: &'static str,
    local: Option<IpAddr>,
    remote: Cow<'a, str>,
    local_id: &'a str,
    remote_id: &'a str,
    mobike: bool,
    encap: bool,
    initiates: bool,
    /// The mark of its pre-shared key; none with certificates.
    psk: Option<String>,
}

/// `kmh.conf` of swanctl.
pub(crate) fn swanctl(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let pki = &t.shared.pki;
    let router = t.router.name.as_str();
    let mut slots = Slots::default();
    let mut connections = Vec::with_capacity(t.tunnels.len());
    for end in t.tunnels {
        let Suite { ike, esp, .. } = suite(end.tunnel.cipher);
        // As octets: strongSwan decodes text that begins with `0s` or `0x`.
        let psk = end.tunnel.psk.as_deref().map(|name| Ok(slots.put(pki.secret(name)?, Encoding::Base64)));
        connections.push(Connection {
            name: safe::name(&end.tunnel.name)?,
            index: end.tunnel.index,
            ike,
            esp,
            local: end.here.local_address,
            remote: match (&end.there.remote_address, end.here.initiates) {
                // It may also call from an address that its name does not give yet: `%any`, told apart by identity.
                (Some(address), true) => Cow::Owned(format!("{},%any", safe::word(address)?)),
                _ => Cow::Borrowed("%any"),
            },
            local_id: safe::word(&end.here.identity)?,
            remote_id: safe::word(&end.there.identity)?,
            mobike: may_move(t, end),
            encap: end.tunnel.nat_t,
            initiates: end.here.initiates,
            psk: psk.transpose()?,
        });
    }
    let view = Swanctl {
        secrets: connections.iter().any(|connection| connection.psk.is_some()),
        connections,
        certificate: pki.pair(Class::IpsecRouter, router)?.certificate,
        authorities: pki.authorities(Class::IpsecCa, router)?.join(", "),
    };
    Ok(View::with(view, slots))
}

/// Whether a tunnel may move to another address of a router's (RFC 4555). Of several tunnels between two routers each
/// keeps to its lines: which one is used is BGP's to say, and all of them on one line would be no reserve.
pub(crate) fn may_move(t: &RouterTarget<'_>, end: &End<'_>) -> bool {
    t.tunnels.iter().filter(|other| other.there.router == end.there.router).count() == 1
}
