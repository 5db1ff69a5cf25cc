//! Lines to the Internet: addresses, the boxes that translate them, default routes.
//!
//! A line has the number of its router and its own, so that its addresses stay when others come and go: a /30 of
//! 198.18.0.0/16 (RFC 2544) outside, one of 198.19.0.0/16 behind a box, and /64s of `2001:db8:1::/48` and `2001:db8:2::/48`.
//! What dials again gets others ([`super::dial`]).

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{Nat, Router, Uplink};

use super::dial::{Dial, Pool};
use super::wires::{End, Line};
use super::{Draft, INTERNET, machine_of, tag};

/// One end of a line and the next one.
struct Hop<'e> {
    near: &'e End,
    far: &'e End,
    /// The near end's address.
    at: IpAddr,
    /// Whether somebody chose it, and it lies in none of the pools.
    literal: bool,
    /// Where the far end's comes from.
    pool: Pool,
}

/// The length of a line's networks.
fn length(v6: bool) -> u8 {
    if v6 { 64 } else { 30 }
}

/// The number of a line: at most 4 a router.
fn number(router: &Router, uplink: &Uplink, place: usize) -> u16 {
    let own = uplink.id.map_or(u16::try_from(place).unwrap_or(0), |id| u16::from(id) - 1);
    router.id.wrapping_mul(4) | (own & 3)
}

impl Draft<'_> {
    pub(super) fn lines(&mut self) {
        for (router, _) in self.routers() {
            for (place, uplink) in router.uplinks.iter().enumerate() {
                self.line(router, uplink, place);
            }
        }
    }

    /// The families of lines: those of the segments, and of the line's own address.
    fn families(&self, literal: Option<IpAddr>) -> Vec<bool> {
        let nets = self.inventory.sites.iter().flat_map(|site| &site.network);
        let has = |v6: bool| {
            nets.clone().any(|net| net.net().addr().is_ipv6() == v6)
                || literal.is_some_and(|own| own.is_ipv6() == v6)
        };
        [false, true].into_iter().filter(|v6| has(*v6)).collect()
    }

    fn line(&mut self, router: &Router, uplink: &Uplink, place: usize) {
        let machine = machine_of(router).to_owned();
        let interface = uplink.interface.as_ref().map_or(uplink.name.as_str(), |name| name.as_str());
        let near = End::new(&machine, interface);
        let key = format!("{}/{}", router.name, uplink.name);
        let shared = self.plan.wires.lines.values().find(|line| line.near == near).cloned();
        let literal = uplink.address.as_ref().and_then(kmh_doc::HostName::ip);
        // An address that nobody chose is the provider's.
        let dials = uplink.dynamic || uplink.address.is_none();
        let count = self.dials.get(&key).copied().filter(|_| dials).unwrap_or_default();
        let dial = Dial { number: number(router, uplink, place), count };
        let boxed = uplink.nat != Nat::None;
        // Two lines by one interface are one wire with several addresses.
        let far =
            shared.as_ref().map_or_else(|| End::new(INTERNET, &tag('w', &key)), |line| line.far.clone());
        let outer = if boxed && shared.is_none() {
            let space = format!("nat-{}-{}", router.name, uplink.name);
            self.bare(&space);
            let (inside, outside) = (End::new(&space, "in"), End::new(&space, "out"));
            self.link(&near, &inside);
            self.link(&outside, &far);
            outside
        } else {
            if shared.is_none() {
                self.link(&near, &far);
            }
            near.clone()
        };
        if let Some(mtu) = uplink.mtu {
            let ends = [&near, &far, &outer];
            for end in ends {
                self.at(end).mtu = Some(mtu);
            }
            if boxed {
                self.at(&End::new(&outer.space, "in")).mtu = Some(mtu);
            }
        }
        let mut public = Vec::new();
        for v6 in self.families(literal) {
            let own = literal.filter(|own| own.is_ipv6() == v6);
            let at = own.unwrap_or_else(|| dial.address(Pool::Outside, v6, 2));
            let first = shared.is_none();
            let hop = Hop { near: &outer, far: &far, at, literal: own.is_some(), pool: Pool::Outside };
            self.attach(&hop, v6, dial, first.then_some(place));
            if boxed && first {
                self.behind(uplink, [&near, &outer, &far], at, (v6, dial), place);
            }
            // What translates IPv4 leaves IPv6 alone, and others do not reach it by the name.
            if !(boxed && v6) || own.is_some() {
                public.push(at);
            }
        }
        let name = uplink.address.as_ref().filter(|_| literal.is_none()).map(ToString::to_string);
        if let Some(name) = &name
            && uplink.nat != Nat::Carrier
        {
            self.plan.hosts.entry(name.clone()).or_default().extend(&public);
        }
        let line = Line {
            near,
            far,
            public,
            name,
            rtt_ms: uplink.rtt_ms,
            rate: uplink.rate.as_ref().map(ToString::to_string),
            dial: dials.then_some(dial),
        };
        self.plan.wires.lines.insert(key, line);
    }

    /// Gives the near end its address, and a default route over the far one.
    fn attach(&mut self, hop: &Hop<'_>, v6: bool, dial: Dial, place: Option<usize>) {
        let Hop { near, far, at, literal, pool } = *hop;
        let gateway = dial.address(pool, v6, 1);
        self.address(far, format!("{gateway}/{}", length(v6)));
        if literal {
            self.address(near, IpNet::from(at));
            self.route(&far.space, format!("{at} dev {}", far.interface));
        } else {
            self.address(near, format!("{at}/{}", length(v6)));
        }
        let metric = match place {
            None => return,
            Some(0) => String::new(),
            Some(place) => format!(" metric {}", 100 + place),
        };
        // The gateway of a literal address lies in no network of the router's.
        self.route(&near.space, format!("default via {gateway} dev {} onlink{metric}", near.interface));
    }

    /// What is behind a box that translates addresses, and the box's rules.
    fn behind(
        &mut self,
        uplink: &Uplink,
        [near, outer, far]: [&End; 3],
        public: IpAddr,
        (v6, dial): (bool, Dial),
        place: usize,
    ) {
        let inside = End::new(&outer.space, "in");
        let own = uplink.local_address.filter(|own| own.is_ipv6() == v6);
        let at = own.unwrap_or_else(|| dial.address(Pool::Behind, v6, 2));
        let hop = Hop { near, far: &inside, at, literal: own.is_some(), pool: Pool::Behind };
        self.attach(&hop, v6, dial, Some(place));
        if v6 {
            let net = IpNet::from(at);
            self.route(&far.space, format!("{net} via {public} dev {}", far.interface));
            return;
        }
        let forward = if uplink.nat == Nat::Forwarded {
            format!("        iifname \"out\" udp dport {{ 500, 4500 }} dnat to {at}\n")
        } else {
            String::new()
        };
        let rules = format!(
            "table ip kmh_lab\ndelete table ip kmh_lab\ntable ip kmh_lab {{\n    chain in {{\n        type nat hook prerouting \
             priority dstnat;\n{forward}    }}\n    chain out {{\n        type nat hook postrouting priority srcnat;\n        \
             oifname \"out\" masquerade\n    }}\n    chain closed {{\n        type filter hook forward priority filter; \
             policy accept;\n        ct status dnat accept\n        iifname \"out\" ct state new drop\n    }}\n}}\n"
        );
        self.plan.wires.rules.insert(outer.space.clone(), rules);
    }
}
