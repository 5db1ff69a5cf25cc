//! Addresses that a provider gives: those of a line that has none of its own, and others when it dials again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::wires::Wires;

/// Where the addresses of lines come from.
#[derive(Clone, Copy)]
pub(super) enum Pool {
    /// The provider's.
    Outside,
    /// Those behind a box that translates.
    Behind,
}

/// Which of the provider's addresses a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dial {
    /// The line's number.
    pub number: u16,
    /// How often it has dialled again.
    pub count: u16,
}

impl Dial {
    /// The `host`th address of the line in a family. One that dialled again has those of RFC 6598, 64 times others.
    pub(super) fn address(self, pool: Pool, v6: bool, host: u8) -> IpAddr {
        let (first, second, third) = match (pool, self.count) {
            (Pool::Behind, _) => (198, 19, 2),
            (Pool::Outside, 0) => (198, 18, 1),
            (Pool::Outside, count) => {
                let low = u8::try_from((count - 1) % 64).unwrap_or_default();
                (100, 64 | low, 0x1000 | count & 0xfff)
            }
        };
        if v6 {
            return IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, third, self.number, 0, 0, 0, u16::from(host)));
        }
        let [high, low] = self.number.wrapping_mul(4).to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(first, second, high, low | host))
    }

    /// The same line after it has dialled once more, and what becomes of its addresses: of the provider's end, and of its own.
    fn again(self) -> (Self, BTreeMap<IpAddr, IpAddr>) {
        let then = Self { count: self.count.wrapping_add(1).max(1), ..self };
        let moved = [(false, 1), (false, 2), (true, 1), (true, 2)]
            .map(|(v6, host)| (self.address(Pool::Outside, v6, host), then.address(Pool::Outside, v6, host)));
        (then, moved.into())
    }
}

/// How often lines have dialled again, of those that have.
pub fn counts(wires: &Wires) -> BTreeMap<String, u16> {
    let lines = wires.lines.iter().filter_map(|(name, line)| Some((name.clone(), line.dial?.count)));
    lines.filter(|(_, count)| *count > 0).collect()
}

/// The same wires with a line that has dialled again, and what its addresses have become; none of a line that keeps them.
pub fn again(wires: &Wires, name: &str) -> Option<(Wires, BTreeMap<IpAddr, IpAddr>)> {
    let (dial, moved) = wires.lines.get(name)?.dial?.again();
    let mut then = wires.clone();
    let line = then.lines.get_mut(name)?;
    line.dial = Some(dial);
    for address in &mut line.public {
        *address = moved.get(address).copied().unwrap_or(*address);
    }
    for interface in then.interfaces.values_mut() {
        interface.addresses = interface.addresses.iter().map(|own| word(own, &moved)).collect();
    }
    for text in then.routes.values_mut().flatten().chain(then.rules.values_mut()) {
        *text = text.split(' ').map(|one| word(one, &moved)).collect::<Vec<_>>().join(" ");
    }
    Some((then, moved))
}

/// A word with the new address in the place of an old one, alone or with its length.
fn word(text: &str, moved: &BTreeMap<IpAddr, IpAddr>) -> String {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, rest)| (address, Some(rest)));
    match (address.parse().ok().and_then(|old: IpAddr| moved.get(&old)), length) {
        (Some(new), Some(length)) => format!("{new}/{length}"),
        (Some(new), None) => new.to_string(),
        (None, _) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_other_addresses_every_time() {
        let mut dial = Dial { number: 8, count: 0 };
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push([false, true].map(|v6| dial.address(Pool::Outside, v6, 2).to_string()));
            dial = dial.again().0;
        }
        let expected = [
            ["198.18.0.34", "2001:db8:1:8::2"],
            ["100.64.0.34", "2001:db8:1001:8::2"],
            ["100.65.0.34", "2001:db8:1002:8::2"],
            ["100.66.0.34", "2001:db8:1003:8::2"],
        ];
        assert_eq!(seen, expected);
        // After the largest number it is not the first address again.
        assert_eq!(Dial { number: 8, count: u16::MAX }.again().0.count, 1);
    }
}
