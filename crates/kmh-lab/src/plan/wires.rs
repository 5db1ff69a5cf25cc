//! Namespaces, links, addresses and routes: what is compared when a lab that is up gets another bundle.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::dial::Dial;

/// Everything that is neither a process nor a file. Names of namespaces are without the lab's name; `HOST/NETNS` is one
/// inside a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wires {
    /// Namespaces that the lab makes.
    pub spaces: BTreeSet<String>,
    /// Bridges: namespace and name.
    pub bridges: BTreeSet<End>,
    /// Links.
    pub links: BTreeSet<Link>,
    /// What interfaces are set to.
    pub interfaces: BTreeMap<End, Interface>,
    /// Routes, by namespace, in the order in which they are made; as `ip route` takes them.
    pub routes: BTreeMap<String, Vec<String>>,
    /// Settings of the kernel, by namespace; as `sysctl -w` takes them.
    pub settings: BTreeMap<String, Vec<String>>,
    /// Packet filters and address translation that stand for something outside the cluster, by namespace.
    pub rules: BTreeMap<String, String>,
    /// What lines are like.
    pub lines: BTreeMap<String, Line>,
}

/// An end of a link: a namespace and the interface in it; written `SPACE:INTERFACE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct End {
    /// The namespace.
    pub space: String,
    /// The interface.
    pub interface: String,
}

impl End {
    /// The interface of that name in that namespace.
    pub fn new(space: &str, interface: &str) -> Self {
        Self { space: space.to_owned(), interface: interface.to_owned() }
    }
}

impl From<End> for String {
    fn from(end: End) -> Self {
        format!("{}:{}", end.space, end.interface)
    }
}

impl TryFrom<String> for End {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (space, interface) = text.split_once(':').ok_or_else(|| format!("`{text}` is no interface"))?;
        Ok(Self::new(space, interface))
    }
}

/// A link between two namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Both ends.
    pub ends: [End; 2],
}

/// What an interface is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Interface {
    /// Octets of a packet.
    pub mtu: Option<u16>,
    /// Its addresses, with the length.
    pub addresses: BTreeSet<String>,
    /// The bridge that it is a port of.
    pub master: Option<String>,
}

/// A router's line to the Internet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The router's interface.
    pub near: End,
    /// The interface on the Internet's side, of the router or of the box that translates addresses.
    pub far: End,
    /// Addresses by which others reach it.
    pub public: Vec<std::net::IpAddr>,
    /// Its name, when others reach it by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Round trip in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<u16>,
    /// Bits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Which addresses of its provider it has, when it can dial again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dial: Option<Dial>,
}
