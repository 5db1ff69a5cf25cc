//! pfSense's settings document, as far as it is about tunnels: what is read of it, and what of it is refused.

use std::net::IpAddr;

use kmh_cli::Failure;
use serde::Deserialize;
use zeroize::Zeroizing;

/// What is read of the settings; the rest is none of the tunnels'.
#[derive(Deserialize)]
pub(super) struct Settings {
    pub(super) ca: Vec<Authority>,
    pub(super) cert: Vec<Certificate>,
    pub(super) ipsec: Ipsec,
    pub(super) tunnels: Vec<Tunnel>,
}

#[derive(Deserialize)]
pub(super) struct Authority {
    pub(super) refid: String,
    /// Another CA, of which pfSense makes a chain.
    pub(super) caref: Option<String>,
    pub(super) crt: String,
}

#[derive(Deserialize)]
pub(super) struct Certificate {
    pub(super) refid: String,
    /// The CA that signed it.
    pub(super) caref: Option<String>,
    pub(super) crt: String,
    pub(super) prv: Zeroizing<String>,
}

#[derive(Deserialize)]
pub(super) struct Ipsec {
    pub(super) phase1: Vec<Phase1>,
    pub(super) phase2: Vec<Phase2>,
}

#[derive(Deserialize)]
pub(super) struct Tunnel {
    #[serde(rename = "if")]
    pub(super) interface: String,
    pub(super) mtu: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Phase1 {
    pub(super) descr: String,
    pub(super) ikeid: u32,
    pub(super) iketype: String,
    pub(super) interface: String,
    pub(super) protocol: String,
    pub(super) remote_gateway: String,
    #[serde(rename = "myid_type")]
    pub(super) own_type: String,
    #[serde(rename = "myid_data")]
    pub(super) own: String,
    #[serde(rename = "peerid_type")]
    pub(super) peer_type: String,
    #[serde(rename = "peerid_data")]
    pub(super) peer: String,
    pub(super) encryption: Encryption,
    #[serde(with = "number")]
    pub(super) lifetime: u32,
    #[serde(rename = "nat_traversal")]
    pub(super) nat_traversal: String,
    pub(super) mobike: String,
    pub(super) startaction: String,
    pub(super) closeaction: String,
    #[serde(rename = "dpd_delay", with = "number")]
    pub(super) dpd_delay: u32,
    #[serde(rename = "dpd_maxfail", with = "number")]
    pub(super) dpd_maxfail: u32,
    #[serde(rename = "authentication_method")]
    pub(super) method: String,
    pub(super) pre_shared_key: Option<Zeroizing<String>>,
    pub(super) certref: Option<String>,
    pub(super) caref: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Encryption {
    pub(super) item: Vec<Proposal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Proposal {
    pub(super) encryption_algorithm: Algorithm,
    pub(super) hash_algorithm: String,
    pub(super) dhgroup: String,
}

#[derive(Deserialize)]
pub(super) struct Algorithm {
    pub(super) name: String,
    pub(super) keylen: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Phase2 {
    pub(super) ikeid: u32,
    pub(super) mode: String,
    pub(super) reqid: u32,
    pub(super) localid: Local,
    pub(super) remoteid: Remote,
    pub(super) protocol: String,
    #[serde(rename = "encryption-algorithm-option")]
    pub(super) ciphers: Vec<Algorithm>,
    #[serde(rename = "hash-algorithm-option", default)]
    pub(super) hashes: Vec<String>,
    pub(super) pfsgroup: String,
    #[serde(default)]
    pub(super) keepalive: String,
    #[serde(with = "number")]
    pub(super) lifetime: u32,
}

#[derive(Deserialize)]
pub(super) struct Local {
    pub(super) address: IpAddr,
    pub(super) netbits: u8,
}

#[derive(Deserialize)]
pub(super) struct Remote {
    pub(super) address: IpAddr,
}

/// `config.xml` knows no numbers: they are text.
mod number {
    use serde::{Deserialize as _, Deserializer, de::Error as _};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Refuses what kmh does not write, instead of guessing what pfSense would make of it.
pub(super) fn check(first: &Phase1, seconds: &[&Phase2]) -> Result<(), Failure> {
    let mut odd = vec![
        ("iketype", first.iketype.as_str(), ["ikev2"].as_slice()),
        ("myid_type", &first.own_type, &["fqdn"]),
        ("peerid_type", &first.peer_type, &["fqdn"]),
        ("startaction", &first.startaction, &["start", "none", "trap", ""]),
        ("closeaction", &first.closeaction, &["start", "none", "trap", ""]),
        ("protocol", &first.protocol, &["inet", "inet6", "both"]),
    ];
    for second in seconds {
        odd.push(("mode", &second.mode, &["vti"]));
        odd.push(("protocol", &second.protocol, &["esp"]));
    }
    odd.retain(|(_, value, known)| !known.contains(value));
    let failures = odd.iter().map(|(field, value, known)| {
        Failure::wrong(format!("the stand-in of pfSense knows no {field} `{value}`"))
            .hint(format!("it knows {}", known.join(", ")))
    });
    match Failure::all(failures) {
        Some(failure) => Err(failure),
        None if seconds.is_empty() => Err(Failure::wrong("a first phase without a second one")),
        None => Ok(()),
    }
}
