//! View of pfSense's settings: the parts of its `config.xml` that are kmh's, under its own names for them.
//!
//! pfSense has no files to write: certificates, tunnels, FRR and rules are elements of one configuration, which a program
//! on the box changes and applies. This document is that program's input. Everything of kmh's is known by its `descr`,
//! which begins with `kmh:`; numbers that others may have taken (`ikeid`) are the program's to map.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_doc::bundle::Encoding;
use kmh_doc::pki::{Certificate, Class, Generation};
use kmh_model::is_pfsense_interface;
use serde::Serialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::safe;
use crate::shared::{End, RouterTarget};
use crate::view::ipsec::{Suite, may_move, suite};
use crate::view::{Slots, View, pfrules};

/// Names under which pfSense's configuration refers to kmh's certificates.
const CA_REF: &str = "kmhipsecca";
const CERT_REF: &str = "kmhipsecrouter";

#[derive(Serialize)]
struct Settings {
    settings: Value,
}

/// `settings.json`; `frr` is the text of the router's `frr.conf`.
pub(crate) fn settings(t: &RouterTarget<'_>, frr: &str) -> Result<View, Fault> {
    let router = t.router.name.as_str();
    let mut slots = Slots::default();
    let mut phase1 = Vec::new();
    let mut phase2 = Vec::new();
    for line in t.router.uplinks.iter().filter(|line| line.interface.is_none()) {
        if !is_pfsense_interface(line.name.as_str()) {
            return Err(Fault::new(format!(
                "router `{router}` does not say the interface of its line `{}`",
                line.name
            ))
            .hint("add `interface: wan`, or the `optN` that pfSense gave it"));
        }
    }
    for end in t.tunnels {
        phase1.push(first_phase(t, end, &mut slots)?);
        phase2.extend(second_phase(end)?);
    }
    let (ca, cert) = certificates(t, &mut slots)?;
    let segment = t.router.interface.as_ref().ok_or_else(|| {
        Fault::new(format!("router `{router}` does not say its interface on the node segment"))
            .hint("add `interface: opt1`")
    })?;
    let mut filter = pfrules::filter(t, segment.as_str())?;
    let outbound = filter.outbound(t)?;
    let signatures = signatures(t, &mut slots)?;
    let mut settings = json!({
        "format": "kmh.pfsense-settings/1",
        "router": router,
        // pf clamps TCP to this less 40 octets for IPv4, less 60 for IPv6: for tunnels' traffic of the node segment.
        "interfaces": {segment.as_str(): {"mss": t.shared.network.pod_mtu.to_string()}},
        "ca": ca,
        "cert": cert,
        "ipsec": {"filtermode": "enc", "phase1": phase1, "phase2": phase2},
        "aliases": {"alias": filter.aliases},
        "filter": {"rule": filter.rules},
        "installedpackages": {
            "frr": {"config": [{"enable": "on", "routerid": t.plan.router_id}]},
            // With the raw text the package reads nothing else of these, but the daemons to start.
            "frrbgp": {"config": [{"enable": "on", "asnum": t.plan.asn.to_string()}]},
            "frrbfd": {"config": [{"enable": "on"}]},
            "frrglobalraw": {"config": [{"frr": STANDARD.encode(frr), "row": signatures}]},
        },
        "tunnels": t.tunnels.iter().map(|end| json!({
            "name": end.tunnel.name,
            "if": end.here.interface,
            "mtu": end.tunnel.mtu,
        })).collect::<Vec<_>>(),
    });
    // Only where it is needed: somebody's own mode stays otherwise.
    if !outbound.is_empty() {
        settings["nat"] = json!({"outbound": {"mode": "hybrid", "rule": outbound}});
    }
    Ok(View::with(Settings { settings }, slots))
}

/// The CAs of the tunnels and this router's certificate; neither where every tunnel has a pre-shared key.
fn certificates(t: &RouterTarget<'_>, slots: &mut Slots) -> Result<(Value, Value), Fault> {
    if !t.tunnels.is_empty() && t.tunnels.iter().all(|end| end.tunnel.psk.is_some()) {
        return Ok((json!([]), json!([])));
    }
    let pki = &t.shared.pki;
    let router = t.router.name.as_str();
    let certificate = pki.certificate(Class::IpsecRouter, router)?;
    let current = pki.certificate(Class::IpsecCa, router)?;
    let key = certificate.key.as_deref().ok_or_else(|| {
        Fault::new(format!(
            "the key of `{}` is on its machine, and pfSense keeps keys in its configuration",
            certificate.name
        ))
        .hint("remove its .crt and .csr from the store: the next `kmh-pki ensure` makes a pair there")
    })?;
    // The one that signed the router's certificate.
    let signer = certificate.issuer.as_deref().unwrap_or(&current.name);
    let mut trusted = pki.spec.trusted(Class::IpsecCa);
    // Without a tunnel there is no peer to believe.
    if t.tunnels.is_empty() {
        trusted.retain(|one| one.name == signer);
    }
    if let [one, other, ..] = trusted[..]
        && one.common_name == other.common_name
    {
        // Its files of CAs are called by their subjects.
        return Err(Fault::new(format!(
            "pfSense router `{router}` cannot hold two CAs of one name: `{}` and `{}` are both called `{}`",
            one.name, other.name, one.common_name
        ))
        .hint("take the rotation back with `kmh-pki rotate ipsec --abort` and begin it again; where it has gone too far, set `tunnels: {auth: psk}` until it is at its end"));
    }
    trusted.sort_by_key(|one| one.name != signer);
    let authorities = trusted.iter().enumerate().map(|(number, one)| {
        let (refid, descr) = reference(one);
        let mut fields = json!({"refid": refid, "descr": descr, "crt": STANDARD.encode(&one.pem)});
        // None of them signed another, but strongSwan gets those only to which this leads from the router's certificate.
        if let Some(other) = trusted.get(number + 1) {
            fields["caref"] = json!(reference(other).0);
        }
        fields
    });
    Ok((
        authorities.collect(),
        json!([{
            "refid": CERT_REF,
            "descr": "kmh: this router",
            "caref": trusted.first().map_or(CA_REF, |one| reference(one).0),
            "crt": STANDARD.encode(&certificate.pem),
            "prv": slots.put(key, Encoding::Base64),
        }]),
    ))
}

/// Under which name a generation of the CA is referred to, and what people read.
fn reference(authority: &Certificate) -> (&'static str, &'static str) {
    match authority.generation() {
        Generation::Current => (CA_REF, "kmh: tunnels"),
        Generation::Next => ("kmhipsecnextca", "kmh: tunnels, next"),
        Generation::Old => ("kmhipsecoldca", "kmh: tunnels, old"),
    }
}

/// Keys of signed sessions, one row for a session: FRR only switches signatures on, FreeBSD's kernel has the keys.
/// In both directions, because what comes in is verified too (tcp(4)).
fn signatures(t: &RouterTarget<'_>, slots: &mut Slots) -> Result<Vec<Value>, Fault> {
    if let Some(listen) = t.plan.listen.iter().find(|listen| listen.like.password.is_some()) {
        // Linux has an option for a prefix (TCP_MD5SIG_EXT), FreeBSD has none, and FRR then leaves the range unsigned.
        return Err(Fault::new(format!(
            "pfSense router `{}` cannot sign sessions with whoever calls from {}",
            t.router.name, listen.range
        ))
        .hint("set `bgp.node_peers: each`, or `bgp.passwords: false`"));
    }
    let signed = t.plan.sessions.iter().filter_map(|session| Some((session, session.password.as_deref()?)));
    signed
        .map(|(session, password)| {
            Ok(json!({
                "tcpsigsrc": session.local_address,
                "tcpsigdst": session.peer_address,
                "tcpsigpw": slots.put(t.shared.pki.secret(password)?, Encoding::Raw),
                "tcpsigbidir": "on",
            }))
        })
        .collect()
}

fn first_phase(t: &RouterTarget<'_>, end: &End<'_>, slots: &mut Slots) -> Result<Value, Fault> {
    let name = safe::name(&end.tunnel.name)?;
    let remote = end.there.remote_address.as_deref().ok_or_else(|| {
        Fault::new(format!(
            "pfSense router `{}` cannot wait for `{}` to call: a routed tunnel needs the other end's address",
            end.here.router, end.there.router
        ))
        .hint("give the other end's uplink an `address`, or join the two by a hub")
    })?;
    let remote = safe::word(remote)?;
    let protocol = match remote.parse() {
        Ok(std::net::IpAddr::V4(_)) => "inet",
        Ok(std::net::IpAddr::V6(_)) => "inet6",
        Err(_) => "both",
    };
    let start = if end.here.initiates { "start" } else { "none" };
    let Suite { name: cipher, length, hash, group, .. } = suite(end.tunnel.cipher);
    let mut fields = json!({
        "descr": format!("kmh:{name}"),
        "ikeid": end.tunnel.index,
        "iketype": "ikev2",
        "interface": safe::interface(&end.here.uplink_interface)?,
        "protocol": protocol,
        "remote-gateway": remote,
        "myid_type": "fqdn",
        "myid_data": safe::word(&end.here.identity)?,
        "peerid_type": "fqdn",
        "peerid_data": safe::word(&end.there.identity)?,
        // With an AEAD cipher the hash is the PRF.
        "encryption": {"item": [{
            "encryption-algorithm": algorithm(cipher, length),
            "hash-algorithm": hash,
            "dhgroup": group,
        }]},
        "lifetime": "28800",
        "nat_traversal": if end.tunnel.nat_t { "force" } else { "on" },
        "mobike": if may_move(t, end) { "on" } else { "off" },
        "startaction": start,
        "closeaction": start,
        "dpd_delay": "10",
        "dpd_maxfail": "5",
    });
    if let Some(key) = end.tunnel.psk.as_deref() {
        fields["authentication_method"] = json!("pre_shared_key");
        fields["pre-shared-key"] = json!(slots.put(t.shared.pki.secret(key)?, Encoding::Raw));
    } else {
        fields["authentication_method"] = json!("cert");
        fields["certref"] = json!(CERT_REF);
        // One CA is all that it can name. Without any, strongSwan believes whomever one signed that it has.
        if t.shared.pki.spec.trusted(Class::IpsecCa).len() == 1 {
            fields["caref"] = json!(CA_REF);
        }
    }
    // From another line to the same address: pfSense takes that only with this, and then leaves the way there to the
    // rules that send each line's own packets by its own gateway.
    let remotes = t.tunnels.iter().filter_map(|other| other.there.remote_address.as_deref());
    if remotes.filter(|other| *other == remote).count() > 1 {
        fields["gw_duplicates"] = json!("");
    }
    Ok(fields)
}

/// A cipher; without a length where pfSense has none to choose.
fn algorithm(cipher: &str, length: Option<&str>) -> Value {
    match length {
        Some(length) => json!({"name": cipher, "keylen": length}),
        None => json!({"name": cipher}),
    }
}

/// One a family; both share the reqid, and with it the interface.
fn second_phase(end: &End<'_>) -> Result<Vec<Value>, Fault> {
    let name = safe::name(&end.tunnel.name)?;
    let Suite { name: cipher, length, hmac, group, .. } = suite(end.tunnel.cipher);
    let families = end.here.addresses.iter().zip(&end.there.addresses).zip(&end.tunnel.networks);
    Ok(families
        .map(|((here, there), net)| {
            let mut fields = json!({
                "descr": format!("kmh:{name}"),
                "ikeid": end.tunnel.index,
                "uniqid": format!("kmh{}{}", end.tunnel.index, if here.is_ipv6() { "v6" } else { "v4" }),
                "mode": "vti",
                "reqid": end.tunnel.index,
                "localid": {"type": "network", "address": here, "netbits": net.net().prefix_len()},
                "remoteid": {"type": "address", "address": there},
                "protocol": "esp",
                "encryption-algorithm-option": [algorithm(cipher, length)],
                "pfsgroup": group,
                "lifetime": "3600",
                // A first call that is refused or not answered is not repeated: pfSense has no `keyingtries`. This looks
                // after the tunnel every few minutes, and begins it anew.
                "keepalive": if end.here.initiates { "enabled" } else { "disabled" },
            });
            if let Some(hmac) = hmac {
                fields["hash-algorithm-option"] = json!([hmac]);
            }
            fields
        })
        .collect())
}
