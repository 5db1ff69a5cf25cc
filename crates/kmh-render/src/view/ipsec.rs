//! Views of strongSwan: one connection a tunnel.

use std::borrow::Cow;

use kmh_doc::inventory::Nat;
use kmh_doc::network::TunnelEnd;
use kmh_doc::pki::Class;
use kmh_model::Model;
use serde::Serialize;

use crate::fault::Fault;
use crate::safe;
use crate::shared::RouterTarget;
use crate::view::View;

/// What both ends speak, in strongSwan's words. pfSense's settings say the same in theirs.
pub(crate) const IKE: &str = "aes256gcm16-prfsha384-ecp384";
/// The same for ESP, with a fresh key exchange at each rekeying.
pub(crate) const ESP: &str = "aes256gcm16-ecp384";

#[derive(Serialize)]
struct Swanctl<'a> {
    ike: &'static str,
    esp: &'static str,
    certificate: &'a str,
    authority: &'a str,
    connections: Vec<Connection<'a>>,
}

#[derive(Serialize)]
struct Connection<'a> {
    name: &'a str,
    index: u32,
    remote: Cow<'a, str>,
    local_id: &'a str,
    remote_id: &'a str,
    encap: bool,
    initiates: bool,
}

/// `kmh.conf` of swanctl.
pub(crate) fn swanctl(t: &RouterTarget<'_>) -> Result<View, Fault> {
    let pki = &t.shared.pki;
    let router = t.router.name.as_str();
    let connections = t.tunnels.iter().map(|end| {
        Ok(Connection {
            name: safe::name(&end.tunnel.name)?,
            index: end.tunnel.index,
            remote: match (&end.there.remote_address, end.here.initiates) {
                // It may also call from an address that its name does not give yet: `%any`, told apart by identity.
                (Some(address), true) => Cow::Owned(format!("{},%any", safe::word(address)?)),
                _ => Cow::Borrowed("%any"),
            },
            local_id: safe::word(&end.here.identity)?,
            remote_id: safe::word(&end.there.identity)?,
            encap: is_translated(t.shared.model, end.here) || is_translated(t.shared.model, end.there),
            initiates: end.here.initiates,
        })
    });
    Ok(View::of(Swanctl {
        ike: IKE,
        esp: ESP,
        connections: connections.collect::<Result<_, Fault>>()?,
        certificate: pki.pair(Class::IpsecRouter, router)?.certificate,
        authority: pki.authority(Class::IpsecCa, router)?,
    }))
}

/// Whether the line of a tunnel's end is behind address translation: ESP then goes inside UDP (RFC 3948).
pub(crate) fn is_translated(model: &Model, end: &TunnelEnd) -> bool {
    let router = model.router(&end.router);
    let line = router.and_then(|router| router.uplinks.iter().find(|line| line.name.as_str() == end.uplink));
    line.is_some_and(|line| line.nat != Nat::None)
}
