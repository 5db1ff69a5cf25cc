//! What text may stand where: one row a format, used by the newtypes and by the decoder alike.
//!
//! No format admits a control character, a quote, a backslash, a dollar sign or white space that could end a word
//! in a shell, in `frr.conf`, in nftables or in YAML.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::problem::{Code, quoted};

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The defect.
    pub code: Code,
    /// What is wrong, lower case.
    pub message: String,
    /// How to put it right.
    pub hint: Option<String>,
}

/// One format.
struct Format {
    /// As the schema names it.
    name: &'static str,
    /// What such a text is, for messages.
    noun: &'static str,
    /// The defect when it is something else.
    code: Code,
    /// Most octets.
    max: usize,
    /// Whether the text is one.
    accepts: fn(&str) -> bool,
    /// What to write instead.
    hint: fn(&str) -> String,
}

const FORMATS: &[Format] = &[
    Format {
        name: "kmh-label",
        noun: "RFC 1123 label",
        code: Code::BadLabel,
        max: 63,
        accepts: is_label,
        hint: |text| suggest(&as_label(text), is_label, "use a to z, 0 to 9 and `-`, neither first nor last"),
    },
    Format {
        name: "kmh-host",
        noun: "host name or address",
        code: Code::BadHost,
        max: 253,
        accepts: is_host,
        hint: |text| {
            suggest(
                &text.trim_end_matches('.').to_lowercase().replace('_', "-"),
                is_host,
                "write a name such as `vpn.example.net`, or an address",
            )
        },
    },
    Format {
        name: "kmh-interface",
        noun: "interface name",
        code: Code::BadText,
        max: 15,
        accepts: |text| starts_and_holds(text, |b| b.is_ascii_alphanumeric(), b"._-"),
        hint: |_| "write a name such as `eth0`, `igb1.20` or `wan`".to_owned(),
    },
    Format {
        name: "kmh-user",
        noun: "login name",
        code: Code::BadText,
        max: 32,
        accepts: |text| starts_and_holds(text, |b| b.is_ascii_alphabetic() || b == b'_', b"._-"),
        hint: |_| "use letters, digits, `.`, `_` and `-`, a letter first".to_owned(),
    },
    Format {
        name: "kmh-path",
        noun: "file path",
        code: Code::BadText,
        max: 1024,
        accepts: |text| {
            starts_and_holds(text, |b| b.is_ascii_alphanumeric() || b"/~._".contains(&b), b"/~._+@=,:-")
        },
        hint: |_| "use letters, digits and `/~._+@=,:-`".to_owned(),
    },
    Format {
        name: "kmh-host-key",
        noun: "public host key",
        code: Code::BadText,
        max: 4096,
        accepts: is_host_key,
        hint: |_| {
            "write the algorithm and the key as `ssh-keyscan` prints them, such as `ssh-ed25519 AAAA…`, without a comment".to_owned()
        },
    },
    Format {
        name: "kmh-label-key",
        noun: "key of a Kubernetes label",
        code: Code::BadText,
        max: 253 + 1 + 63,
        accepts: is_label_key,
        hint: |_| "write a name such as `disk`, or with a prefix `example.net/disk`".to_owned(),
    },
    Format {
        name: "kmh-label-value",
        noun: "value of a Kubernetes label",
        code: Code::BadText,
        max: 63,
        accepts: |text| text.is_empty() || is_qualified(text),
        hint: |_| "use letters, digits, `-`, `_` and `.`, a letter or digit first and last".to_owned(),
    },
    Format {
        name: "kmh-rate",
        noun: "rate",
        code: Code::BadText,
        max: 16,
        accepts: is_rate,
        hint: |_| "write a whole number and kbit, mbit or gbit, such as `40mbit`".to_owned(),
    },
    Format {
        name: "kmh-version",
        noun: "version",
        code: Code::BadVersion,
        max: 17,
        accepts: is_version,
        hint: version_hint,
    },
    Format {
        name: "ip",
        noun: "address",
        code: Code::BadAddress,
        max: 45,
        accepts: |text| text.parse::<IpAddr>().is_ok_and(is_plain),
        hint: address_hint,
    },
    Format {
        name: "ipv4",
        noun: "IPv4 address",
        code: Code::BadAddress,
        max: 15,
        accepts: |text| text.parse::<std::net::Ipv4Addr>().is_ok(),
        hint: address_hint,
    },
    Format {
        name: "ipv6",
        noun: "IPv6 address",
        code: Code::BadAddress,
        max: 45,
        accepts: |text| text.parse::<std::net::Ipv6Addr>().is_ok(),
        hint: address_hint,
    },
];

/// The format of AS numbers. A value of it is a number, so only what is written otherwise is looked at here.
pub(crate) const ASN: &str = "kmh-asn";
/// Which AS numbers to take.
pub(crate) const PRIVATE_ASNS: &str =
    "private AS numbers are 64512 to 65534 and 4200000000 to 4294967294 (RFC 6996)";

/// The plain number of an AS number in another spelling: asdot (RFC 5396), in which 65000.1 is 65000 times 65536 and 1,
/// with or without `AS` in front.
pub(crate) fn plain_asn(text: &str) -> Option<u32> {
    let bare = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
    let number = |part: &str| -> Option<u32> {
        part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let half = |part: &str| number(part).filter(|half| *half <= 0xFFFF);
    match (bare.unwrap_or(text).split_once('.'), bare) {
        (Some((high, low)), _) => Some(half(high)? << 16 | half(low)?),
        (None, Some(bare)) => number(bare),
        (None, None) => None,
    }
}

/// Checks `text` against the format of that name; one that is unknown here admits everything.
pub fn check(format: &str, text: &str) -> Result<(), Refusal> {
    if format == "kmh-cidr" {
        return parse_cidr(text).map(|_| ());
    }
    let Some(format) = FORMATS.iter().find(|row| row.name == format) else { return Ok(()) };
    safe(text)?;
    if text.len() > format.max {
        return Err(Refusal {
            code: format.code,
            message: format!("{} is no {}", quoted(text), format.noun),
            hint: Some(format!("it has {} characters, and may have {}", text.len(), format.max)),
        });
    }
    if (format.accepts)(text) {
        return Ok(());
    }
    Err(Refusal {
        code: format.code,
        message: format!("{} is no {}", quoted(text), format.noun),
        hint: Some((format.hint)(text)),
    })
}

/// Parses a network without host bits.
pub fn parse_cidr(text: &str) -> Result<IpNet, Refusal> {
    safe(text)?;
    let bad = |hint: String| Refusal {
        code: Code::BadNetwork,
        message: format!("{} is no network", quoted(text)),
        hint: Some(hint),
    };
    let Some((address, prefix)) = text.split_once('/') else {
        return Err(bad(match text.parse() {
            Ok(IpAddr::V4(_)) => format!("append the prefix length, such as `{text}/24`"),
            Ok(IpAddr::V6(_)) => format!("append the prefix length, such as `{text}/64`"),
            Err(_) => "write it as address and prefix length, such as `10.10.0.0/24`".to_owned(),
        }));
    };
    let Some(address) = address.parse().ok().filter(|address| is_plain(*address)) else {
        return Err(bad(address_hint(address)));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let net = prefix
        .parse()
        .ok()
        .filter(|_| prefix.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|prefix| IpNet::new(address, prefix).ok())
        .ok_or_else(|| bad(format!("the prefix length is a number from 0 to {most}")))?;
    if net.trunc() == net {
        return Ok(net);
    }
    Err(Refusal {
        code: Code::HostBits,
        message: format!("`{net}` has bits set beyond its prefix"),
        hint: Some(format!("the network is `{}`", net.trunc())),
    })
}

/// Refuses what could end a word or a line in a shell or in any configuration language that kmh writes.
fn safe(text: &str) -> Result<(), Refusal> {
    let Some(bad) = text.chars().find(|c| c.is_control() || "'\"`\\$;|&<>\u{2028}\u{2029}".contains(*c))
    else {
        return Ok(());
    };
    let what = if bad.is_control() {
        format!("the control character U+{:04X}", u32::from(bad))
    } else {
        format!("the character U+{:04X} ({bad})", u32::from(bad))
    };
    Err(Refusal {
        code: Code::UnsafeText,
        message: format!("{} could break out of a shell or a configuration file", quoted(text)),
        hint: Some(format!("leave {what} out")),
    })
}

/// IPv4 inside IPv6 (RFC 4291, 2.5.5) names the same machine by a second spelling: no two checks would agree on it.
fn is_plain(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_none(),
    }
}

fn address_hint(text: &str) -> String {
    let ends_well = |text: &str| text.parse::<IpAddr>().is_ok_and(is_plain);
    if let Ok(IpAddr::V6(v6)) = text.parse()
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return format!("write it as IPv4: `{v4}`");
    }
    match text.split_once(['/', '%']) {
        Some((address, _)) if ends_well(address) => format!("write the address alone: `{address}`"),
        _ => "write an IPv4 or IPv6 address, such as `10.10.0.1`, without leading zeros".to_owned(),
    }
}

fn suggest(better: &str, accepts: fn(&str) -> bool, otherwise: &str) -> String {
    if accepts(better) { format!("{otherwise}, such as `{better}`") } else { otherwise.to_owned() }
}

fn as_label(text: &str) -> String {
    let lower = text.to_lowercase();
    let label: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    label.trim_matches('-').to_owned()
}

fn is_label(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 63
        && text.bytes().all(|b| fits(b) || b == b'-')
        && text.bytes().next().is_some_and(fits)
        && text.bytes().last().is_some_and(fits)
}

/// A name whose last label is all digits is somebody's mistyped address (RFC 3696, 2).
fn is_host(text: &str) -> bool {
    match text.parse::<IpAddr>() {
        Ok(address) => is_plain(address),
        Err(_) => {
            is_dns_name(text)
                && !text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
        }
    }
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn starts_and_holds(text: &str, first: fn(u8) -> bool, further: &[u8]) -> bool {
    text.bytes().next().is_some_and(first)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || further.contains(&b))
}

fn is_qualified(text: &str) -> bool {
    text.len() <= 63
        && starts_and_holds(text, |b| b.is_ascii_alphanumeric(), b"-_.")
        && text.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_qualified(name),
        None => is_qualified(text),
    }
}

fn is_host_key(text: &str) -> bool {
    const ALGORITHMS: &[&str] =
        &["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];
    text.split_once(' ').is_some_and(|(algorithm, key)| {
        let digits = key.trim_end_matches('=');
        ALGORITHMS.contains(&algorithm)
            && key.len() >= 32
            && key.len() % 4 == 0
            && key.len() - digits.len() <= 2
            && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    })
}

fn is_rate(text: &str) -> bool {
    ["kbit", "mbit", "gbit"].iter().find_map(|unit| text.strip_suffix(unit)).is_some_and(|number| {
        (1..=9).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
            && !number.starts_with('0')
    })
}

fn is_version(text: &str) -> bool {
    let is_number = |part: &str| {
        part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
            && part.parse::<u16>().is_ok()
    };
    text.split('.').count() == 3 && text.split('.').all(is_number)
}

fn version_hint(text: &str) -> String {
    let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
    if is_version(bare) {
        format!("write `{bare}`")
    } else if is_version(&format!("{bare}.0")) {
        format!("name the patch version too, such as `{bare}.0`")
    } else {
        "write MAJOR.MINOR.PATCH, such as `1.36.2`".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_takes_its_own_and_nothing_else() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("kmh-label", &["a", "attic-1", "1a"], &["", "-a", "a-", "A", "a.b", "a_b", "ä"]),
            (
                "kmh-host",
                &["k8s.example.net", "10.0.0.1", "fd00::1", "x"],
                &["", "10.0.0.256", "a..b", "a.", "::ffff:10.0.0.1", "fe80::1%eth0", "-a.b", "a b"],
            ),
            (
                "kmh-interface",
                &["eth0", "igb1.20", "opt2", "wan"],
                &["", ".", "..", "-x", "eth0/1", "a-very-long-name", "eth 0"],
            ),
            ("kmh-user", &["root", "_kmh", "pi"], &["", "-oProxyCommand", "a b", "1a"]),
            ("kmh-path", &["~/.ssh/id_ed25519", "/etc/a", "keys/a"], &["", "-i", "a b", "a*"]),
            (
                "kmh-host-key",
                &["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEtvSrgSqPKRVkbBvG1yIXzy0bDaUVuBR0o6X8SLbmKa"],
                &[
                    "",
                    "ssh-ed25519 AAAA",
                    "x AAAAC3NzaC1lZDI1NTE5AAAAIEtvSrgSqPKRVkbB",
                    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEtvSrgSqPKRVkbB me@host",
                ],
            ),
            (
                "kmh-label-key",
                &["disk", "example.net/disk", "a_b.C"],
                &["", "/a", "a/", "a/b/c", "A.B/c", "-a"],
            ),
            ("kmh-label-value", &["", "ssd", "a_b.C"], &["-a", "a/b", "a b"]),
            ("kmh-rate", &["40mbit", "1gbit"], &["", "40", "0mbit", "4.5mbit", "40 mbit", "40MB"]),
            (
                "kmh-version",
                &["1.36.2", "0.0.0"],
                &["", "1.36", "v1.36.2", "1.36.02", "1.36.2-rc1", "1.36.70000", "1..2", "+1.0.0"],
            ),
            (
                "ip",
                &["10.0.0.1", "fd00::1"],
                &["", "10.0.0.01", "10.0.0.1/24", "::ffff:10.0.0.1", "localhost"],
            ),
            (
                "kmh-cidr",
                &["10.0.0.0/24", "fd00::/48", "0.0.0.0/0"],
                &[
                    "",
                    "10.0.0.0",
                    "10.0.0.0/33",
                    "10.0.0.1/24",
                    "10.0.0.0/+8",
                    "::ffff:10.0.0.0/104",
                    "/",
                    "10.0.0.0/24/24",
                ],
            ),
        ];
        for (format, good, bad) in rows {
            for text in *good {
                assert_eq!(check(format, text), Ok(()), "{format}");
            }
            for text in *bad {
                assert!(check(format, text).is_err(), "{format} took `{text}`");
            }
            for text in ["a\nb", "a'b", "a\"b", "a`b", "a\\b", "a$b", "a;b", "a|b", "a\u{0}b", "a\u{2028}b"] {
                assert_eq!(check(format, text).unwrap_err().code, Code::UnsafeText, "{format} took {text:?}");
            }
        }
        assert_eq!(rows.len() + 2, FORMATS.len() + 1, "a format without a row here");
    }

    #[test]
    fn spellings_of_as_numbers() {
        let rows = [
            ("65000.1", Some(4_259_840_001)),
            // YAML would read a fraction and lose the zero.
            ("65000.10", Some(4_259_840_010)),
            ("0.65010", Some(65_010)),
            ("AS65010", Some(65_010)),
            ("as1.1", Some(65_537)),
            ("65535.65535", Some(u32::MAX)),
            ("65536.1", None),
            ("1.65536", None),
            ("1.2.3", None),
            ("1e3", None),
            ("+1.1", None),
            (".5", None),
            ("AS", None),
            ("65010", None),
        ];
        for (text, plain) in rows {
            assert_eq!(plain_asn(text), plain, "{text}");
        }
    }

    #[test]
    fn hints_name_what_to_write() {
        let hint = |format: &str, text: &str| check(format, text).unwrap_err().hint.unwrap();
        assert_eq!(hint("kmh-cidr", "10.10.0.5/24"), "the network is `10.10.0.0/24`");
        assert_eq!(hint("kmh-version", "1.36"), "name the patch version too, such as `1.36.0`");
        assert_eq!(
            hint("kmh-label", "Attic_1"),
            "use a to z, 0 to 9 and `-`, neither first nor last, such as `attic-1`"
        );
        assert_eq!(hint("ip", "::ffff:10.0.0.1"), "write it as IPv4: `10.0.0.1`");
        assert_eq!(hint("ip", "10.0.0.1/24"), "write the address alone: `10.0.0.1`");
    }
}
