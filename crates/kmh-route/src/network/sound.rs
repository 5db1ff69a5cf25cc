//! What no network can be, whatever follows from it: machines that peer with themselves or with nobody, AS numbers that
//! nobody may have, tunnels from a router to itself.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Asn;
use kmh_doc::network::{NetworkSpec, RouterPlan, Session};

use super::Machine;
use crate::fault::Fault;

/// Collects what is wrong with routers and tunnels; the nodes' side is read with Calico's resources.
pub(super) fn sound(spec: &NetworkSpec, machines: &HashMap<&str, Machine>, faults: &mut Vec<Fault>) {
    for (r, router) in spec.routers.iter().enumerate() {
        let place = format!("routers[{r}]");
        reserved(router.asn, &format!("{place}.asn"), faults);
        for (s, session) in router.sessions.iter().enumerate() {
            let place = format!("{place}.sessions[{s}]");
            reserved(session.peer_asn, &format!("{place}.peer_asn"), faults);
            peer(router, session, &place, machines, faults);
        }
        for (l, listen) in router.listen.iter().enumerate() {
            if let Some(asn) = listen.peer_asn {
                reserved(asn, &format!("{place}.listen[{l}].peer_asn"), faults);
            }
        }
    }
    let mut names = BTreeSet::new();
    for (t, tunnel) in spec.tunnels.iter().enumerate() {
        if !names.insert(&tunnel.name) {
            let message = format!("two tunnels have the name `{}`", tunnel.name);
            faults
                .push(Fault::new(format!("tunnels[{t}].name"), message).hint("rename one, or leave it out"));
        }
        let [a, b] = &tunnel.ends;
        if a.router == b.router {
            let message = format!("both ends of `{}` are at `{}`", tunnel.name, a.router);
            faults.push(
                Fault::new(format!("tunnels[{t}].ends"), message)
                    .hint("a tunnel joins two different routers"),
            );
        }
    }
}

/// An AS number that nobody may have (RFC 7607, RFC 7300 and others).
pub(super) fn reserved(asn: Asn, place: &str, faults: &mut Vec<Fault>) {
    if let Some(why) = asn.reserved() {
        faults.push(Fault::new(place, format!("the AS number {asn} is {why}")).hint(Asn::PRIVATE));
    }
}

fn peer(
    router: &RouterPlan,
    session: &Session,
    place: &str,
    machines: &HashMap<&str, Machine>,
    faults: &mut Vec<Fault>,
) {
    let own = |text: &String| text.parse::<IpNet>().ok().map(|net| net.addr());
    let is_own =
        |ip: IpAddr| ip == session.local_address || router.addresses.iter().any(|at| own(at) == Some(ip));
    if session.peer == router.name || is_own(session.peer_address) {
        let (field, what) = if session.peer == router.name {
            ("peer", String::new())
        } else {
            ("peer_address", format!(": {} is its own address", session.peer_address))
        };
        faults.push(
            Fault::new(format!("{place}.{field}"), format!("`{}` is its own peer{what}", router.name))
                .hint("name the machine at the other end, and its address"),
        );
    } else if !machines.contains_key(session.peer.as_str()) {
        faults.push(
            Fault::new(format!("{place}.peer"), format!("there is no router or node `{}`", session.peer))
                .hint("a peer is one of the document's `routers` and `nodes`"),
        );
    }
}
