//! IKE identities of routers: names that never resolve and never leave the tunnels' configuration.
//!
//! Each line has one of its own. Two routers with several lines have several tunnels between them, and both ends know
//! a connection by its two identities only: a responder picks the configuration by them, and `INITIAL_CONTACT` (RFC 7296,
//! 2.4) ends every other one between the same two.

use std::collections::BTreeSet;

use kmh_doc::inventory::{RouterKind, TunnelAuth};

use crate::model::{Model, Router, Tunnel};
use crate::tunnels;

/// The IKE identity of a router's line, which is in its certificate.
pub fn ike_identity(router: &str, line: u8, cluster: &str) -> String {
    match line {
        1 => format!("{router}.{cluster}.ipsec.internal"),
        line => format!("line{line}.{router}.{cluster}.ipsec.internal"),
    }
}

impl Router {
    /// Its IKE identities: the first line's, whether it has lines or not, and those of its other lines.
    pub fn ike_identities(&self, cluster: &str) -> BTreeSet<String> {
        let lines = self.uplinks.iter().enumerate().map(|(place, line)| tunnels::number(line, place));
        std::iter::once(1).chain(lines).map(|line| ike_identity(self.name.as_str(), line, cluster)).collect()
    }
}

impl Tunnel {
    /// Whether the BGP session through it is signed too, although IPsec has authenticated it already. On FreeBSD one signed
    /// neighbour on the node segment makes bgpd's socket refuse every unsigned call (`syncache_add` in its kernel): of two
    /// pfSense routers neither could call the other.
    pub fn signs_bgp(&self, model: &Model) -> bool {
        let is_pfsense = |router: &Router| router.kind == RouterKind::Pfsense;
        model.bgp.passwords
            && self.ends.iter().all(|end| model.router(end.router.as_str()).is_some_and(is_pfsense))
    }

    /// The IKE identity of its end, the first or the second.
    ///
    /// Of two lines to one line of a peer, pfSense looks for the pre-shared key by the peer's identity alone: so with
    /// keys, which no certificate binds to a name, the identity also tells the line at the other end.
    pub fn ike_identity(&self, model: &Model, end: usize) -> String {
        let (router, cluster) = (self.ends[end].router.as_str(), model.name.as_str());
        let (own, other) = (self.lines[end], self.lines[1 - end]);
        match model.tunnel_auth {
            TunnelAuth::Psk if other != 1 => format!("line{own}-{other}.{router}.{cluster}.ipsec.internal"),
            TunnelAuth::Psk | TunnelAuth::Certificates => ike_identity(router, own, cluster),
        }
    }
}
