//! What may come in from the Internet: the tunnels, and nothing else.

use ipnet::IpNet;
use kmh_doc::inventory::Nat;
use kmh_doc::network::{FirewallRule, Zone};
use kmh_model::Router;

use super::rule;
use crate::ground::Index;
use crate::ranges::cidrs;
use crate::tunnels::{is_translated, line_of};

/// IKE (RFC 7296), and its form behind NAT, which carries ESP too (RFC 3948).
const IKE: [u16; 2] = [500, 4500];

/// From whom a protocol is awaited.
#[derive(Default)]
struct Peers {
    fixed: Vec<IpNet>,
    /// Somebody's address is not known, or changes.
    anyone: bool,
}

impl Peers {
    fn add(&mut self, fixed: Option<IpNet>) {
        self.fixed.extend(fixed);
        self.anyone |= fixed.is_none();
    }

    /// A rule for them; none when there are none.
    fn rule(self, rule: FirewallRule) -> Option<FirewallRule> {
        let from = if self.anyone { Vec::new() } else { cidrs(self.fixed) };
        (self.anyone || !from.is_empty()).then_some(FirewallRule { from, ..rule })
    }
}

/// From the peers when all of them have fixed addresses, else from anywhere.
pub(super) fn rules(index: &Index<'_>, router: &Router, rules: &mut Vec<FirewallRule>) {
    let (mut ike, mut esp) = (Peers::default(), Peers::default());
    for own in index.tunnels_of(router.name.as_str()) {
        let (here, there) = (&own.tunnel.ends[own.end], &own.tunnel.ends[1 - own.end]);
        let there = index.router(there.router.as_str()).and_then(|peer| line_of(peer, there));
        let (Ok(here), Ok(there)) = (line_of(router, here), there) else { continue };
        if here.nat == Nat::Carrier {
            continue; // nothing comes in unasked
        }
        let address = there.address.as_ref().and_then(kmh_doc::HostName::ip);
        let fixed = address.filter(|_| !there.dynamic && there.nat == Nat::None).map(IpNet::from);
        ike.add(fixed);
        if !is_translated(here, there) {
            esp.add(fixed);
        }
    }
    let wan = |protocol: &str, description: &str| rule(&Zone::Wan, protocol, description);
    rules.extend(ike.rule(FirewallRule { ports: IKE.to_vec(), ..wan("udp", "IKE, and ESP inside UDP") }));
    rules.extend(esp.rule(wan("esp", "tunnels without NAT between")));
}
