//! View of pfSense's settings: the parts of its `config.xml` that are kmh's, under its own names for them.
//!
//! pfSense has no files to write: certificates, tunnels, FRR and rules are elements of one configuration, which a program
//! on the box changes and applies. This document is that program's input. Everything of kmh's is known by its `descr`,
//! which begins with `kmh:`; numbers that others may have taken (`ikeid`) are the program's to map.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmh_doc::bundle::Encoding;
use kmh_doc::pki::Class;
use serde::Serialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::safe;
use crate::shared::{End, RouterTarget};
use crate::view::ipsec::is_translated;
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
    let pki = &t.shared.pki;
    let router = t.router.name.as_str();
    let certificate = pki.certificate(Class::IpsecRouter, router)?;
    let authority = pki.certificate(Class::IpsecCa, router)?;
    let key = certificate.key.as_deref().ok_or_else(|| {
        Fault::new(format!("the store does not hold the key of `{}`, which pfSense needs", certificate.name))
    })?;
    let mut slots = Slots::default();
    let mut phase1 = Vec::new();
    let mut phase2 = Vec::new();
    for end in t.tunnels {
        phase1.push(first_phase(t, end)?);
        phase2.extend(second_phase(end)?);
    }
    let segment = t.router.interface.as_ref().ok_or_else(|| {
        Fault::new(format!("router `{router}` does not say its interface on the node segment"))
            .hint("add `interface: opt1`")
    })?;
    let filter = pfrules::filter(t, segment.as_str())?;
    let settings = json!({
        "format": "kmh.pfsense-settings/1",
        "router": router,
        // pf clamps TCP to this less 40 octets for IPv4, less 60 for IPv6: for tunnels' traffic of the node segment.
        "interfaces": {segment.as_str(): {"mss": t.shared.network.pod_mtu.to_string()}},
        "ca": [{"refid": CA_REF, "descr": "kmh: tunnels", "crt": STANDARD.encode(&authority.pem)}],
        "cert": [{
            "refid": CERT_REF,
            "descr": "kmh: this router",
            "caref": CA_REF,
            "crt": STANDARD.encode(&certificate.pem),
            "prv": slots.put(key, Encoding::Base64),
        }],
        "ipsec": {"filtermode": "enc", "phase1": phase1, "phase2": phase2},
        "aliases": {"alias": filter.aliases},
        "filter": {"rule": filter.rules},
        "installedpackages": {
            "frr": {"config": [{"enable": "on", "routerid": t.plan.router_id}]},
            // With the raw text the package reads nothing else of these, but the daemons to start.
            "frrbgp": {"config": [{"enable": "on", "asnum": t.plan.asn.to_string()}]},
            "frrbfd": {"config": [{"enable": "on"}]},
            "frrglobalraw": {"config": [{"frr": STANDARD.encode(frr)}]},
        },
        "tunnels": t.tunnels.iter().map(|end| json!({
            "name": end.tunnel.name,
            "if": end.here.interface,
            "mtu": end.tunnel.mtu,
        })).collect::<Vec<_>>(),
    });
    Ok(View::with(Settings { settings }, slots))
}

fn first_phase(t: &RouterTarget<'_>, end: &End<'_>) -> Result<Value, Fault> {
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
    let translated = is_translated(t.shared.model, end.here) || is_translated(t.shared.model, end.there);
    let start = if end.here.initiates { "start" } else { "none" };
    Ok(json!({
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
        "authentication_method": "cert",
        "certref": CERT_REF,
        "caref": CA_REF,
        // aes256gcm16-prfsha384-ecp384; with an AEAD cipher the hash is the PRF.
        "encryption": {"item": [{
            "encryption-algorithm": {"name": "aes256gcm", "keylen": "128"},
            "hash-algorithm": "sha384",
            "dhgroup": "20",
        }]},
        "lifetime": "28800",
        "nat_traversal": if translated { "force" } else { "on" },
        "mobike": "on",
        "startaction": start,
        "closeaction": start,
        "dpd_delay": "10",
        "dpd_maxfail": "5",
    }))
}

/// One a family; both share the reqid, and with it the interface.
fn second_phase(end: &End<'_>) -> Result<Vec<Value>, Fault> {
    let name = safe::name(&end.tunnel.name)?;
    let families = end.here.addresses.iter().zip(&end.there.addresses).zip(&end.tunnel.networks);
    Ok(families
        .map(|((here, there), net)| {
            json!({
                "descr": format!("kmh:{name}"),
                "ikeid": end.tunnel.index,
                "uniqid": format!("kmh{}{}", end.tunnel.index, if here.is_ipv6() { "v6" } else { "v4" }),
                "mode": "vti",
                "reqid": end.tunnel.index,
                "localid": {"type": "network", "address": here, "netbits": net.net().prefix_len()},
                "remoteid": {"type": "address", "address": there},
                "protocol": "esp",
                "encryption-algorithm-option": [{"name": "aes256gcm", "keylen": "128"}],
                "pfsgroup": "20",
                "lifetime": "3600",
                "keepalive": "disabled",
            })
        })
        .collect())
}
