//! Values that cannot hold nonsense. What each may hold is the row of its name in [`crate::formats`].

use std::borrow::Cow;
use std::fmt;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::formats;

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = formats::Refusal;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                formats::check($format, &text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = formats::Refusal;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format})
            }
        }
    };
}

text_newtype!(
    /// An RFC 1123 label of at most 63 characters: names of sites, routers, nodes.
    Label, "kmh-label");
text_newtype!(
    /// A host name (RFC 1123) or an IP address.
    HostName, "kmh-host");
text_newtype!(
    /// A network interface of Linux or FreeBSD, or pfSense's name for one: at most 15 characters.
    Interface, "kmh-interface");
text_newtype!(
    /// A login name.
    UserName, "kmh-user");
text_newtype!(
    /// A path of the admin's machine.
    FilePath, "kmh-path");
text_newtype!(
    /// A public host key as known-hosts files have it: algorithm and base64.
    HostKey, "kmh-host-key");
text_newtype!(
    /// The key of a Kubernetes label: an optional DNS prefix, a slash, a name.
    LabelKey, "kmh-label-key");
text_newtype!(
    /// The value of a Kubernetes label: at most 63 characters.
    LabelValue, "kmh-label-value");
text_newtype!(
    /// A transfer rate such as `40mbit`.
    Rate, "kmh-rate");
text_newtype!(
    /// MAJOR.MINOR.PATCH.
    Version, "kmh-version");

impl HostName {
    /// From a literal of this program, which is known to be right.
    pub(crate) fn from_static(text: &'static str) -> Self {
        debug_assert!(formats::check("kmh-host", text).is_ok());
        Self(text.to_owned())
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        self.0.parse().ok()
    }
}

impl Version {
    /// Major and minor number.
    pub fn major_minor(&self) -> (u16, u16) {
        let mut numbers = self.0.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// A network in CIDR notation without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(IpNet);

impl Cidr {
    /// From a network that this program computed; its host bits are cut off.
    pub fn new(net: IpNet) -> Self {
        Self(net.trunc())
    }

    /// The network.
    pub fn net(self) -> IpNet {
        self.0
    }

    /// Whether it is of IPv6.
    pub fn is_v6(self) -> bool {
        matches!(self.0, IpNet::V6(_))
    }
}

impl TryFrom<String> for Cidr {
    type Error = formats::Refusal;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        formats::parse_cidr(&text).map(Self)
    }
}

impl std::str::FromStr for Cidr {
    type Err = formats::Refusal;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        formats::parse_cidr(text).map(Self)
    }
}

impl From<Cidr> for String {
    fn from(value: Cidr) -> Self {
        value.0.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "kmh-cidr"})
    }
}

/// An AS number (RFC 6793), as a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asn(u32);

/// Reserved AS numbers: from, to, what for.
const RESERVED_ASNS: &[(u32, u32, &str)] = &[
    (0, 0, "reserved (RFC 7607)"),
    (23456, 23456, "AS_TRANS (RFC 6793)"),
    (64496, 64511, "for documentation (RFC 5398)"),
    (65535, 65535, "reserved (RFC 7300)"),
    (65536, 65551, "for documentation (RFC 5398)"),
    (65552, 131_071, "reserved by IANA"),
    (u32::MAX, u32::MAX, "reserved (RFC 7300)"),
];

impl Asn {
    /// What to write in place of a number that cannot be one.
    pub const PRIVATE: &'static str =
        "private ones are 64512 to 65534 and 4200000000 to 4294967294 (RFC 6996)";

    /// What the number is reserved for, when it is, and who says so.
    pub fn reserved(self) -> Option<&'static str> {
        let range = RESERVED_ASNS.iter().find(|(from, to, _)| (*from..=*to).contains(&self.0));
        range.map(|(_, _, why)| *why)
    }

    /// That number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Asn {
    fn schema_name() -> Cow<'static, str> {
        "Asn".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": formats::ASN, "minimum": 1, "maximum": 4_294_967_294_u32})
    }
}
