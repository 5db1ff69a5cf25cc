//! IKE identities of routers: names that never resolve and never leave the tunnels' configuration.
//!
//! Each line has one of its own. Two routers with several lines have several tunnels between them, and both ends know
//! a connection by its two identities only: a responder picks the configuration by them, and `INITIAL_CONTACT` (RFC 7296,
//! 2.4) ends every other one between the same two.

use std::collections::BTreeSet;

use crate::model::Router;
use crate::tunnels;

/// The IKE identity of a router's line.
pub fn ike_identity(router: &str, line: u8, cluster: &str) -> String {
    let line = if line == 1 { String::new() } else { format!("line{line}.") };
    format!("{line}{router}.{cluster}.ipsec.internal")
}

impl Router {
    /// Its IKE identities: the first line's, whether it has lines or not, and those of its other lines.
    pub fn ike_identities(&self, cluster: &str) -> BTreeSet<String> {
        let lines = self.uplinks.iter().enumerate().map(|(place, line)| tunnels::number(line, place));
        std::iter::once(1).chain(lines).map(|line| ike_identity(self.name.as_str(), line, cluster)).collect()
    }
}
