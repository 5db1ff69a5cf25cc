//! What a text must look like, by Calico's and Kubernetes' own rules.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::selector;

/// A form of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Whatever.
    Any,
    /// `10.0.0.0/8`, without host bits.
    Cidr,
    /// An address.
    Address,
    /// An address, with a port or without: `10.0.0.1`, `10.0.0.1:179`, `[fd00::1]:179`.
    Peer,
    /// A duration in Go's words: `30s`, `1m30s`.
    Duration,
    /// A selector of labels.
    Selector,
    /// A name of a resource (RFC 1123: lower-case letters, digits, `-` and `.`).
    Name,
    /// `aa:nn` of 16 bits each, or `aa:nn:mm` of 32.
    Community,
    /// An interface, `*` for any characters; the kernel has 15.
    Interface,
    /// A level of BIRD's log, in any case.
    Severity,
}

impl Format {
    /// Why the text is not of this form.
    pub(crate) fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Any => Ok(()),
            Self::Cidr => cidr(text).map(|_| ()),
            Self::Address => {
                text.parse::<IpAddr>().map(|_| ()).map_err(|_| format!("`{}` is no address", plain(text)))
            }
            Self::Peer => peer(text)
                .map(|_| ())
                .ok_or_else(|| format!("`{}` is no address, with a port or without", plain(text))),
            Self::Duration => duration_ms(text)
                .map(|_| ())
                .ok_or_else(|| format!("`{}` is no duration, such as `30s`", plain(text))),
            Self::Selector => selector::Selector::parse(text).map(|_| ()),
            Self::Name => is_name(text).then_some(()).ok_or_else(|| {
                format!("`{}` is no name: lower-case letters, digits, `-` and `.`", plain(text))
            }),
            Self::Community => is_community(text)
                .then_some(())
                .ok_or_else(|| format!("`{}` is no community, such as `65010:80`", plain(text))),
            Self::Interface => (!text.is_empty() && text.len() <= 15 && !text.contains(['/', ' ', '"']))
                .then_some(())
                .ok_or_else(|| format!("`{}` is no interface of at most 15 characters", plain(text))),
            Self::Severity => {
                const LEVELS: [&str; 6] = ["trace", "debug", "info", "warning", "error", "fatal"];
                LEVELS.contains(&text.to_ascii_lowercase().as_str()).then_some(()).ok_or_else(|| {
                    format!("`{}` is none of Trace, Debug, Info, Warning, Error, Fatal", plain(text))
                })
            }
        }
    }
}

/// Text of a document, fit for a message.
pub(crate) fn plain(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// A network without host bits.
pub(crate) fn cidr(text: &str) -> Result<IpNet, String> {
    let net: IpNet =
        text.parse().map_err(|_| format!("`{}` is no network, such as `10.0.0.0/8`", plain(text)))?;
    if net.addr() == net.network() {
        Ok(net)
    } else {
        Err(format!("`{net}` has bits behind its length: it is in {}", net.trunc()))
    }
}

/// A peer's address.
pub(crate) fn peer(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().filter(|one| one.port() > 0).map(|one| one.ip());
    text.parse().ok().or_else(with_port)
}

/// Milliseconds of a duration in Go's words.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        sum = sum.checked_add(number.checked_mul(*factor)?)?;
    }
    (!text.is_empty()).then_some(sum)
}

fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn is_community(text: &str) -> bool {
    let is = |part: &str, most: u64| {
        part.chars().all(|c| c.is_ascii_digit()) && part.parse::<u64>().is_ok_and(|number| number <= most)
    };
    match text.split(':').collect::<Vec<_>>()[..] {
        [a, b] => [a, b].iter().all(|part| is(part, u64::from(u16::MAX))),
        [a, b, c] => [a, b, c].iter().all(|part| is(part, u64::from(u32::MAX))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_and_are_not_of_their_form() {
        #[rustfmt::skip]
        let table: &[(Format, &[&str], &[&str])] = &[
            (Format::Cidr, &["10.0.0.0/8", "fd00::/8", "10.0.0.1/32"], &["10.0.0.1/8", "10.0.0.0", "fd00::1/64", "x"]),
            (Format::Address, &["10.0.0.1", "fd00::1"], &["10.0.0.1/8", "host", "10.0.0"]),
            (Format::Peer, &["10.0.0.1", "10.0.0.1:179", "fd00::1", "[fd00::1]:179"], &["10.0.0.1:0", "10.0.0.1:70000", "[fd00::1]", "host:179", ""]),
            (Format::Duration, &["0s", "30s", "1m30s", "2h", "250ms"], &["30", "s", "", "30 s", "-1s", "1d"]),
            (Format::Name, &["default", "pods.attic.v4", "a-b"], &["Default", "a_b", "", "-a", "a..b", "a/b"]),
            (Format::Community, &["65010:80", "0:0", "4200000000:1:2"], &["65536:1", "65010", "1:2:3:4", "a:b", "4294967296:1:1"]),
            (Format::Interface, &["eth0", "cali*"], &["", "interface-of-16c", "a/b"]),
            (Format::Severity, &["Info", "fatal"], &["loud", ""]),
        ];
        for (format, good, bad) in table {
            for text in *good {
                assert_eq!(format.check(text), Ok(()), "{format:?} {text}");
            }
            for text in *bad {
                assert!(format.check(text).is_err(), "{format:?} {text}");
            }
        }
        assert_eq!((duration_ms("1m30s"), duration_ms("0s")), (Some(90_000), Some(0)));
    }
}
