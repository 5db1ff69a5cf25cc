//! `kmh.network/v1`: who peers with whom, what may pass, which tunnels there are, Calico's resources, findings.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inventory::{BgpDaemon, Cipher, RouterKind};
use crate::newtypes::{Asn, Cidr};

/// The network, sorted by name throughout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Every router's part.
    pub routers: Vec<RouterPlan>,
    /// Every node's part.
    pub nodes: Vec<NodePlan>,
    /// Every tunnel, by index.
    pub tunnels: Vec<Tunnel>,
    /// Calico's resources, in the order in which they are applied.
    pub calico: Vec<Value>,
    /// The pods' MTU that follows from the tunnels.
    pub pod_mtu: u16,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// One router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterPlan {
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// What it is.
    pub kind: RouterKind,
    /// The program that speaks BGP: pfSense's is FRR.
    pub daemon: BgpDaemon,
    /// Its AS number.
    pub asn: Asn,
    /// BGP identifier.
    pub router_id: Ipv4Addr,
    /// Whether equally good routes are used side by side. Only FRR does: routes with the same AS path.
    pub multipath: bool,
    /// Its addresses on the node segment, with the segment's prefix length: `10.10.0.1/24`.
    pub addresses: Vec<String>,
    /// Networks that it originates.
    pub originate: Vec<Cidr>,
    /// Ranges that it must never send by the default route: unreachable, distance 254, never announced.
    pub unreachable: Vec<Cidr>,
    /// Its BGP sessions.
    pub sessions: Vec<Session>,
    /// Ranges from which nodes may call, instead of a neighbour for each node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<Listen>,
    /// Its prefix lists.
    pub prefix_lists: Vec<PrefixList>,
    /// Its route maps.
    pub route_maps: Vec<RouteMap>,
    /// AS-path filters: name and the regular expression that is permitted.
    pub as_paths: Vec<AsPathList>,
    /// What its packet filter must let through.
    pub firewall: Vec<FirewallRule>,
    /// What leaves by its lines with their address instead of its own, one rule a family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masquerade: Vec<Masquerade>,
}

/// Source address translation towards the Internet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Masquerade {
    /// From where.
    pub from: Vec<Cidr>,
    /// But not to there.
    pub except: Vec<Cidr>,
}

/// A range from which nodes may call. All have the settings of the sessions in it, which are marked `dynamic`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The node segment.
    pub range: Cidr,
    /// The AS number that a caller must have; none when each has its own (layout D).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_asn: Option<Asn>,
    /// What every caller gets: the settings of a session in the range, `peer` and `peer_address` aside.
    pub like: Session,
}

/// A BGP session, seen from a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// With a node or with a router.
    pub with: PeerKind,
    /// The peer's name.
    pub peer: String,
    /// Whether the peer calls out of a range in [`RouterPlan::listen`], without a neighbour of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dynamic: bool,
    /// The tunnel that it runs over, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// Our address.
    pub local_address: IpAddr,
    /// The peer's address.
    pub peer_address: IpAddr,
    /// The peer's AS number.
    pub peer_asn: Asn,
    /// Replace the peer's AS in paths sent to it, so that it accepts its own site's routes.
    pub as_override: bool,
    /// Send it next hops as they were learned. Over IPv6 FRR would otherwise add its own link-local address to the
    /// next hop of another node on the segment, and BIRD would take that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_next_hop: bool,
    /// Put this router's address in place of next hops learned from other ASes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub next_hop_self: bool,
    /// Hand iBGP routes on to and from this peer (RFC 4456).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub route_reflector_client: bool,
    /// TCP-MD5 (RFC 2385): name of the key in `kmh.pki/v1`, such as `keys/bgp/attic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Keepalive interval in seconds (RFC 4271, 4.4).
    pub keepalive: u16,
    /// Hold time in seconds (RFC 4271, 4.2).
    pub hold: u16,
    /// BFD (RFC 5880): transmit interval in milliseconds times 3; none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd_ms: Option<u16>,
    /// Seconds for which the peer's routes are kept when its program goes away without a word (RFC 4724); 0 when they
    /// are dropped at once.
    pub restart: u16,
    /// How long traffic is lost when the peer goes away, by the settings above.
    pub outage: Outage,
    /// Route map for what is received.
    pub import: String,
    /// Route map for what is sent.
    pub export: String,
    /// More prefixes than this end the session.
    pub maximum_prefix: u32,
}

/// How long traffic is lost, from and to in milliseconds, until a router notices that a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// The peer, or the way to it, falls silent: BFD, or the hold time.
    pub silent_ms: [u32; 2],
    /// The peer's program dies, and its machine says so: nothing, or the restart time.
    pub closed_ms: [u32; 2],
}

/// What a session's peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeerKind {
    /// A node of the router's own site.
    Node,
    /// A router of another site.
    Router,
    /// The other router of the same site.
    Sibling,
}

/// A prefix list of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrefixList {
    /// Its name: letters, digits, `-`.
    pub name: String,
    /// Whether it is of IPv6.
    pub v6: bool,
    /// What it permits; all else is denied.
    pub permit: Vec<PrefixRule>,
}

/// One permitted range of prefixes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrefixRule {
    /// The covering prefix.
    pub prefix: Cidr,
    /// Shortest length, when longer than the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ge: Option<u8>,
    /// Longest length, when longer than the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub le: Option<u8>,
}

/// A route map: what no rule permits is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteMap {
    /// Its name.
    pub name: String,
    /// Its rules, in order, numbered 10, 20, … when rendered.
    pub rules: Vec<RouteRule>,
}

/// One rule of a route map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// Permit, or deny.
    pub permit: bool,
    /// Only what this prefix list permits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_list: Option<String>,
    /// Only what this AS-path list permits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_path: Option<String>,
    /// What is changed on a permitted route.
    #[serde(default, skip_serializing_if = "RouteSet::is_nothing")]
    pub set: RouteSet,
    /// What it is for.
    pub description: String,
}

/// What a rule changes on a route that it permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSet {
    /// `LOCAL_PREF` (RFC 4271, 5.1.5): the higher wins, before the length of the AS path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// `MULTI_EXIT_DISC` (RFC 4271, 5.1.4): of routes from the same neighbouring AS the lower wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
}

impl RouteSet {
    /// Whether it changes nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// An AS-path list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AsPathList {
    /// Its name.
    pub name: String,
    /// What it permits.
    pub permit: PathRule,
}

/// Which AS paths are permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathRule {
    /// Nothing but this AS, once or more: `^N(_N)*$`.
    Only(Asn),
    /// The empty path of a route that began inside the own AS: `^$`.
    Empty,
    /// Exactly one AS, whichever: `^[0-9]+$`.
    Single,
}

/// As FRR writes it: a regular expression (POSIX, with `_` for what parts AS numbers).
impl std::fmt::Display for PathRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Only(asn) => write!(f, "^({asn})(_{asn})*$"),
            Self::Empty => f.write_str("^$"),
            Self::Single => f.write_str("^[0-9]+$"),
        }
    }
}

/// Something that a router's packet filter must let through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirewallRule {
    /// Where it enters.
    pub zone: Zone,
    /// `tcp`, `udp`, `esp`, `icmp` or `any`.
    pub protocol: String,
    /// From where; empty for anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Cidr>,
    /// To where; empty for the router itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Cidr>,
    /// But not to there: parts of `to` that stay closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Cidr>,
    /// Whether it lets packets through one by one, without keeping connections: between addresses of the cluster a
    /// connection may change its router at any time. Answers pass by the rule of the zone in which they enter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stateless: bool,
    /// Destination ports; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// What it is for.
    pub description: String,
}

/// Where a packet enters a router.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    /// From the Internet.
    Wan,
    /// From the node segment.
    Nodes,
    /// Out of a tunnel.
    Tunnel,
    /// From another segment, by name.
    Lan(String),
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// Its AS number.
    pub asn: Asn,
    /// Its addresses with the segment's prefix length.
    pub addresses: Vec<String>,
    /// Its gateways, one a family.
    pub gateways: Vec<IpAddr>,
    /// Routers that it peers with: name and address.
    pub peers: Vec<NodePeer>,
    /// Kubernetes labels that the network needs, key and value, sorted.
    pub labels: Vec<(String, String)>,
    /// Kubernetes annotations that Calico reads, key and value, sorted.
    pub annotations: Vec<(String, String)>,
}

/// A router that a node peers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePeer {
    /// The router.
    pub router: String,
    /// Its address.
    pub address: IpAddr,
    /// Its AS number.
    pub asn: Asn,
}

/// A tunnel between two lines of two routers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// Its name: both routers' names, the one with the lower id first, joined by `--`; of other lines than both first
    /// ones, their numbers behind that.
    pub name: String,
    /// Number of the pair of router ids i<j: (j-1)(j-2)/2+i; of other lines than both first ones, thousands above that.
    /// It is also reqid and `if_id`.
    pub index: u32,
    /// 0 for the preferred tunnel between two sites, higher for standby; the same seen from both ends.
    #[serde(default)]
    pub rank: u8,
    /// How packets are encrypted.
    #[serde(default)]
    pub cipher: Cipher,
    /// Whether ESP travels inside UDP (RFC 3948).
    #[serde(default)]
    pub nat_t: bool,
    /// The pre-shared key: its name in `kmh.pki/v1`; certificates when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psk: Option<String>,
    /// The point-to-point networks, one a family: the /30 and the /64 of its number.
    pub networks: Vec<Cidr>,
    /// Both ends, the one with the lower id first.
    pub ends: [TunnelEnd; 2],
    /// Octets of an inner packet that fit.
    pub mtu: u16,
    /// Octets of a TCP segment that fit, over IPv4 and over IPv6.
    pub mss: [u16; 2],
}

/// One end of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunnelEnd {
    /// The router.
    pub router: String,
    /// Its line.
    pub uplink: String,
    /// The line's interface.
    pub uplink_interface: String,
    /// The address from which this end sends, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_address: Option<IpAddr>,
    /// Where the other end finds it, name or address; none when it can only initiate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address: Option<String>,
    /// Interface of the tunnel on this router.
    pub interface: String,
    /// Inner addresses, one a family, in the order of `networks`.
    pub addresses: Vec<IpAddr>,
    /// IKE identity, equal to a DNS name in its certificate.
    pub identity: String,
    /// Whether it initiates.
    pub initiates: bool,
}

/// Something that a person should know about the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Stable name, kebab case.
    pub id: String,
    /// How bad.
    pub level: FindingLevel,
    /// What it is about: a router, a node, a tunnel.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// A finding with its remedy.
    pub fn new(level: FindingLevel, id: &str, subject: &str, message: String, hint: &str) -> Self {
        Self { id: id.to_owned(), level, subject: subject.to_owned(), message, hint: Some(hint.to_owned()) }
    }

    /// Good to know.
    pub fn note(id: &str, subject: &str, message: String, hint: &str) -> Self {
        Self::new(FindingLevel::Note, id, subject, message, hint)
    }

    /// May surprise.
    pub fn warning(id: &str, subject: &str, message: String, hint: &str) -> Self {
        Self::new(FindingLevel::Warning, id, subject, message, hint)
    }

    /// Will not work.
    pub fn error(id: &str, subject: &str, message: String, hint: &str) -> Self {
        Self::new(FindingLevel::Error, id, subject, message, hint)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FindingLevel {
    /// Good to know.
    Note,
    /// May surprise.
    Warning,
    /// Will not work.
    Error,
}

impl crate::Spec for NetworkSpec {
    const KIND: crate::Kind = crate::Kind::Network;
}
