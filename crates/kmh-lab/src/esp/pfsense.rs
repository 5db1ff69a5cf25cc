//! pfSense's tunnels on Linux: from its settings to what its own code tells strongSwan.
//!
//! pfSense runs strongSwan too; its `ipsec.inc` writes `swanctl.conf` from `config.xml`, by rules of its own that this
//! module follows. One thing differs: FreeBSD's `if_ipsec` takes packets by a reqid and a policy of the interface
//! (`policies = no`), Linux has XFRM interfaces and an `if_id` for that. They have the names that `if_ipsec` has there, so
//! that the same `frr.conf` finds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_cli::Failure;
use zeroize::Zeroizing;

use super::authorities;
use super::settings::{Algorithm, Phase1, Phase2, Settings, check};

/// What a stand-in needs.
pub struct StandIn {
    /// `swanctl.conf`; it holds pre-shared keys.
    pub conf: Zeroizing<String>,
    /// Certificates and keys, below swanctl's folder.
    pub files: Vec<File>,
    /// The interfaces of the tunnels.
    pub interfaces: Vec<Interface>,
    /// Children that pfSense begins anew whenever they are down (`keepalive`). The others get one chance: a call that is
    /// refused or not answered is not repeated, because pfSense leaves `keyingtries` at strongSwan's 1.
    pub kept: Vec<String>,
}

/// A file below swanctl's folder.
pub struct File {
    /// Its path there.
    pub path: String,
    /// Its mode.
    pub mode: u32,
    /// What is in it.
    pub content: Zeroizing<Vec<u8>>,
}

/// An XFRM interface in the place of an `if_ipsec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, and with its number the `if_id`.
    pub name: String,
    /// See `name`.
    pub if_id: u32,
    /// The line beneath.
    pub line: String,
    /// Its MTU, where the settings have one.
    pub mtu: Option<u32>,
    /// Own address and prefix length, one a family.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Arguments of ip(8), call by call.
    pub fn calls(&self) -> Vec<Vec<String>> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let if_id = self.if_id.to_string();
        let mut out =
            vec![words(&["link", "add", &self.name, "type", "xfrm", "dev", &self.line, "if_id", &if_id])];
        if let Some(mtu) = self.mtu {
            out.push(words(&["link", "set", &self.name, "mtu", &mtu.to_string()]));
        }
        for (address, length) in &self.addresses {
            out.push(words(&["address", "replace", &format!("{address}/{length}"), "dev", &self.name]));
        }
        out.push(words(&["link", "set", &self.name, "up"]));
        out
    }
}

/// Groups by their numbers (IANA, "Transform Type 4") and strongSwan's names for them.
const GROUPS: [(&str, &str); 6] = [
    ("14", "modp2048"),
    ("15", "modp3072"),
    ("16", "modp4096"),
    ("19", "ecp256"),
    ("20", "ecp384"),
    ("31", "x25519"),
];

/// What strongSwan is told for a router's settings document. `addresses` are those of its interfaces at the moment:
/// pfSense writes the file anew when one changes.
pub fn stand_in(settings: &[u8], addresses: &BTreeMap<String, Vec<IpAddr>>) -> Result<StandIn, Failure> {
    let settings: Settings = serde_json::from_slice(settings).map_err(|error| {
        // Its text may quote a value, and values are secrets here.
        Failure::wrong("the settings document is none of kmh's").at(format!(
            "line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    let mut text = String::from("connections {\n");
    let mut secrets = Zeroizing::new(String::new());
    let mut files = Vec::new();
    let mut authorities = BTreeMap::new();
    let mut interfaces = Vec::new();
    let mut kept = Vec::new();
    let mut failures = Vec::new();
    for first in &settings.ipsec.phase1 {
        let seconds: Vec<&Phase2> =
            settings.ipsec.phase2.iter().filter(|second| second.ikeid == first.ikeid).collect();
        let done = check(first, &seconds)
            .and_then(|()| connection(&mut text, &settings, first, &seconds, addresses))
            .and_then(|()| secret(&settings, first, &mut secrets, &mut files))
            .and_then(|()| trusted(&settings, first, &mut authorities));
        match done {
            Ok(()) => {
                interfaces.extend(interface(&settings, first, &seconds));
                kept.extend(seconds.iter().find(|second| second.keepalive == "enabled").map(|_| name(first)));
            }
            Err(failure) => failures.push(failure.at(first.descr.clone())),
        }
    }
    text += "}\n";
    files.extend(authorities::files(authorities));
    if let Some(failure) = Failure::all(failures) {
        return Err(failure);
    }
    let mut conf = Zeroizing::new(String::with_capacity(text.len() + secrets.len() + 16));
    conf.push_str(&text);
    if !secrets.is_empty() {
        conf.push_str("secrets {\n");
        conf.push_str(&secrets);
        conf.push_str("}\n");
    }
    Ok(StandIn { conf, files, interfaces, kept })
}

/// What pfSense calls a connection, and its child.
fn name(first: &Phase1) -> String {
    format!("con{}", first.ikeid)
}

fn group(number: &str) -> Result<&'static str, Failure> {
    let found = GROUPS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    found.ok_or_else(|| Failure::wrong(format!("the stand-in of pfSense knows no group {number}")))
}

/// A proposal: cipher and length, hash, group. With a cipher that authenticates itself the hash names the PRF, and is
/// left out for ESP.
fn proposal(cipher: &Algorithm, hash: Option<&str>, group_number: &str) -> Result<String, Failure> {
    let length = cipher.keylen.as_deref().unwrap_or_default();
    let hash = hash.map(|hash| format!("-{}", hash.trim_start_matches("hmac_"))).unwrap_or_default();
    Ok(format!("{}{length}{hash}-{}", cipher.name, group(group_number)?))
}

/// An identity or a name in a configuration, where a quote or a line's end would be another statement.
fn word(text: &str) -> Result<&str, Failure> {
    let fine = |c: char| c.is_ascii_alphanumeric() || ".-_:%/@,".contains(c);
    if !text.is_empty() && text.chars().all(fine) {
        Ok(text)
    } else {
        Err(Failure::wrong(format!("`{text}` cannot stand in swanctl.conf")))
    }
}

fn yes(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

/// Seconds until an SA is made anew: 90 % of its life.
fn rekey(lifetime: u32) -> u32 {
    lifetime / 10 * 9 + lifetime % 10 * 9 / 10
}

fn connection(
    text: &mut String,
    settings: &Settings,
    first: &Phase1,
    seconds: &[&Phase2],
    addresses: &BTreeMap<String, Vec<IpAddr>>,
) -> Result<(), Failure> {
    let proposals = first
        .encryption
        .item
        .iter()
        .map(|item| proposal(&item.encryption_algorithm, Some(&item.hash_algorithm), &item.dhgroup))
        .collect::<Result<Vec<_>, _>>()?;
    let local: Vec<String> = addresses
        .get(&first.interface)
        .into_iter()
        .flatten()
        .filter(|address| match first.protocol.as_str() {
            "inet" => address.is_ipv4(),
            "inet6" => address.is_ipv6(),
            _ => true,
        })
        .map(ToString::to_string)
        .collect();
    let rekeyed = rekey(first.lifetime);
    let over = first.lifetime - rekeyed;
    let id = first.ikeid;
    let mut lines = vec![
        "fragmentation = yes".to_owned(),
        "unique = replace".to_owned(),
        "version = 2".to_owned(),
        format!("proposals = {}", proposals.join(",")),
        format!("dpd_delay = {}s", first.dpd_delay),
        format!("dpd_timeout = {}s", first.dpd_delay * (first.dpd_maxfail + 1)),
        format!("rekey_time = {rekeyed}s"),
        "reauth_time = 0s".to_owned(),
        format!("over_time = {over}s"),
        format!("rand_time = {over}s"),
        format!("encap = {}", yes(first.nat_traversal == "force")),
        format!("mobike = {}", yes(first.mobike == "on")),
        format!("remote_addrs = {}", word(&first.remote_gateway)?),
    ];
    if !local.is_empty() {
        lines.push(format!("local_addrs = {}", local.join(",")));
    }
    let (mut here, mut there) = (vec![], vec![]);
    if first.method == "cert" {
        lines.push("send_cert = always".to_owned());
        here = vec!["auth = pubkey".to_owned(), format!("certs = cert-{id}.crt")];
        there.push("auth = pubkey".to_owned());
        // Without it, strongSwan takes whatever any CA signed that it has.
        if let Some(refid) = authority(first) {
            let name = authorities::file_name(authorities::find(settings, refid)?)?;
            there.push(format!("cacerts = {name}"));
        }
    } else {
        here.push("auth = psk".to_owned());
        there.push("auth = psk".to_owned());
    }
    here.push(format!("id = fqdn:{}", word(&first.own)?));
    there.push(format!("id = fqdn:{}", word(&first.peer)?));
    let child = child(first, seconds)?;
    // The comment's text may hold anything but a line's end.
    let descr: String = first.descr.chars().filter(|c| !c.is_control()).collect();
    let name = name(first);
    let _ = writeln!(text, "    # {descr}\n    {name} {{");
    for line in lines {
        let _ = writeln!(text, "        {line}");
    }
    for (name, lines) in [("local", here), ("remote", there)] {
        let _ = writeln!(text, "        {name} {{\n            {}\n        }}", lines.join("\n            "));
    }
    let _ = writeln!(
        text,
        "        children {{\n            {name} {{\n                {}\n            }}\n        }}\n    }}",
        child.join("\n                ")
    );
    Ok(())
}

/// One child for all second phases: version 2 of IKE without what pfSense calls split connections.
fn child(first: &Phase1, seconds: &[&Phase2]) -> Result<Vec<String>, Failure> {
    // Of several the last one's times count; kmh gives all the same.
    let (Some(head), Some(last)) = (seconds.first(), seconds.last()) else { return Ok(vec![]) };
    let mut proposals = Vec::new();
    for cipher in seconds.iter().flat_map(|second| &second.ciphers) {
        let hashes: Vec<Option<&str>> = match head.hashes.as_slice() {
            hashes if !hashes.is_empty() && !cipher.name.contains("gcm") => {
                hashes.iter().map(|hash| Some(hash.as_str())).collect()
            }
            _ => vec![None],
        };
        for hash in hashes {
            let one = proposal(cipher, hash, &head.pfsgroup)?;
            if !proposals.contains(&one) {
                proposals.push(one);
            }
        }
    }
    let mut local: Vec<String> = seconds
        .iter()
        .map(|second| format!("{}/{}", second.localid.address, second.localid.netbits))
        .collect();
    let mut remote: Vec<String> = seconds.iter().map(|second| second.remoteid.address.to_string()).collect();
    // What is routed into the interface goes through.
    for selectors in [&mut local, &mut remote] {
        selectors.extend(["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
    }
    // A routed tunnel has no traps.
    let start = match first.startaction.as_str() {
        "" | "trap" => "start",
        action => action,
    };
    // A peer that is silent is treated as one that closed.
    let silent = match first.closeaction.as_str() {
        "none" => "clear",
        _ => "restart",
    };
    let rekeyed = rekey(last.lifetime);
    let mut lines = vec![
        format!("local_ts = {}", local.join(",")),
        format!("remote_ts = {}", remote.join(",")),
        format!("if_id_in = {}", head.reqid),
        format!("if_id_out = {}", head.reqid),
        format!("esp_proposals = {}", proposals.join(",")),
        format!("life_time = {}s", last.lifetime),
        format!("rekey_time = {rekeyed}s"),
        format!("rand_time = {}s", last.lifetime - rekeyed),
        format!("start_action = {start}"),
        format!("dpd_action = {silent}"),
    ];
    if !first.closeaction.is_empty() {
        lines.push(format!("close_action = {}", first.closeaction));
    }
    Ok(lines)
}

/// The one CA that a first phase believes; none: it names none.
fn authority(first: &Phase1) -> Option<&str> {
    first.caref.as_deref().filter(|refid| !refid.is_empty())
}

/// The CAs that strongSwan gets for a tunnel: those of the router's own certificate, and those of the first phase's. The
/// others of the certificate manager stay there.
fn trusted(
    settings: &Settings,
    first: &Phase1,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Failure> {
    if first.method != "cert" {
        return Ok(());
    }
    let wanted = first.certref.as_deref().unwrap_or_default();
    let own = settings.cert.iter().find(|certificate| certificate.refid == wanted);
    let own = own.and_then(|certificate| certificate.caref.as_deref()).filter(|refid| !refid.is_empty());
    for refid in own.into_iter().chain(authority(first)) {
        authorities::add_chain(settings, refid, files)?;
    }
    Ok(())
}

/// A tunnel's key: of its own, or the router's, which pfSense writes once for each tunnel.
fn secret(
    settings: &Settings,
    first: &Phase1,
    secrets: &mut Zeroizing<String>,
    files: &mut Vec<File>,
) -> Result<(), Failure> {
    let id = first.ikeid;
    if let Some(key) = &first.pre_shared_key {
        let key = Zeroizing::new(STANDARD.encode(key.trim()));
        let peer = word(&first.peer)?;
        // With room for all of it: text that grows leaves copies behind.
        let mut one = Zeroizing::new(String::with_capacity(key.len() + peer.len() + 128));
        let _ = writeln!(
            one,
            "    ike-{id} {{\n        id-0 = %any\n        id-1 = fqdn:{peer}\n        secret = 0s{}\n    }}",
            key.as_str()
        );
        let mut all = Zeroizing::new(String::with_capacity(secrets.len() + one.len()));
        all.push_str(secrets);
        all.push_str(&one);
        *secrets = all;
        return Ok(());
    }
    let wanted = first.certref.as_deref().unwrap_or_default();
    let certificate = settings
        .cert
        .iter()
        .find(|certificate| certificate.refid == wanted)
        .ok_or_else(|| Failure::wrong(format!("the settings have no certificate `{wanted}`")))?;
    for (path, mode, text) in [
        (format!("x509/cert-{id}.crt"), 0o644, &certificate.crt),
        (format!("private/cert-{id}.key"), 0o600, &*certificate.prv),
    ] {
        let content = STANDARD
            .decode(text)
            .map(Zeroizing::new)
            .map_err(|_| Failure::wrong(format!("the certificate or key `{wanted}` is no base64")))?;
        files.push(File { path, mode, content });
    }
    Ok(())
}

/// The interface of a tunnel: its number is the reqid of the first second phase, others give it further addresses.
fn interface(settings: &Settings, first: &Phase1, seconds: &[&Phase2]) -> Option<Interface> {
    let if_id = seconds.first()?.reqid;
    let name = format!("ipsec{if_id}");
    let mtu = settings.tunnels.iter().find(|tunnel| tunnel.interface == name).map(|tunnel| tunnel.mtu);
    let addresses = seconds.iter().map(|second| (second.localid.address, second.localid.netbits)).collect();
    Some(Interface { name, if_id, line: first.interface.clone(), mtu, addresses })
}

#[cfg(test)]
#[path = "pfsense_tests.rs"]
mod tests;
