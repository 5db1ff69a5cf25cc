//! How routers and nodes speak BGP, and the tunnels between routers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use crate::newtypes::{Cidr, Label};
use crate::one_or_many::OneOrMany;

/// How AS numbers are laid out, and how sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bgp {
    /// The layout.
    #[serde(default)]
    pub layout: Layout,
    /// Whether nodes of a site learn each other's blocks and send to each other directly. Without, every packet between
    /// them goes through the router and back.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub direct_routes: bool,
    /// Whether routers know each node by its address, or whoever calls from the node segment.
    #[serde(default, skip_serializing_if = "is_default")]
    pub node_peers: NodePeers,
    /// Whether sessions on the node segment carry TCP-MD5 signatures (RFC 2385), so that a masqueraded pod cannot peer.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub passwords: bool,
    /// How soon a silent peer is given up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timers: Timers,
}

impl Default for Bgp {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            direct_routes: true,
            node_peers: NodePeers::default(),
            passwords: true,
            timers: Timers::default(),
        }
    }
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// An AS layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Layout {
    /// One AS for all nodes, one for each site's routers, eBGP everywhere.
    #[default]
    A,
    /// One AS for each site, shared by its routers and nodes: iBGP inside, eBGP between.
    B,
    /// An AS for each node (`nodes[].asn`), one for each site's routers, eBGP everywhere.
    D,
}

/// How a router knows its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodePeers {
    /// A neighbour for each node.
    #[default]
    Each,
    /// Whoever calls from the node segment with the right AS number (and password).
    Listen,
}

/// How soon a silent peer is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timers {
    /// Between a router and the nodes of its site.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nodes: NodeTimers,
    /// Between routers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub routers: RouterTimers,
}

/// Timers of sessions with nodes. Calico's BIRD knows no BFD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeTimers {
    /// Seconds between keepalives.
    #[schemars(range(min = 1, max = 21845))]
    pub keepalive: u16,
    /// Seconds until a silent node is given up (RFC 4271, 4.2: at least 3).
    #[schemars(range(min = 3, max = 65535))]
    pub hold: u16,
    /// Seconds for which the routes of a node are kept after its BIRD went away (RFC 4724); 0 switches graceful restart off.
    #[schemars(range(min = 0, max = 4095))]
    pub restart: u16,
}

impl Default for NodeTimers {
    fn default() -> Self {
        // 1 and 3 are reported to be unstable with Calico's BIRD; 30 outlasts a restart of calico-node.
        Self { keepalive: 3, hold: 9, restart: 30 }
    }
}

/// Timers of sessions between routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouterTimers {
    /// Seconds between keepalives.
    #[schemars(range(min = 1, max = 21845))]
    pub keepalive: u16,
    /// Seconds until a silent router is given up.
    #[schemars(range(min = 3, max = 65535))]
    pub hold: u16,
    /// BFD (RFC 5880): milliseconds between packets, three lost ones end the session; 0 switches it off.
    #[schemars(range(min = 0, max = 60000))]
    pub bfd_ms: u16,
}

impl Default for RouterTimers {
    fn default() -> Self {
        Self { keepalive: 3, hold: 9, bfd_ms: 1000 }
    }
}

/// The tunnels between routers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tunnels {
    /// Where the point-to-point networks come from, at most one a family.
    pub network: OneOrMany<Cidr>,
    /// Which routers are joined; every one with every other when nothing is said and there is neither hub nor list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Alone, or with `shape: hub`: every tunnel has this site at one end. With `shape: mesh`: routers that cannot meet
    /// reach each other through this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<Label>,
    /// With this, the pairs of sites that are joined, and no others: `[[attic, vps], [flat, vps]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<[Label; 2]>,
    /// How the ends prove who they are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub auth: TunnelAuth,
    /// How packets are encrypted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cipher: Cipher,
}

/// Which routers are joined by tunnels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Every router with every router of another site.
    #[default]
    Mesh,
    /// Every router with the routers of the site named by `hub`.
    Hub,
    /// The routers of the sites in `pairs`.
    List,
}

/// How the ends of a tunnel prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TunnelAuth {
    /// By certificates of the cluster's IPsec CA.
    #[default]
    Certificates,
    /// By a pre-shared key for each tunnel, from the store.
    Psk,
}

/// How a tunnel's packets are encrypted: what strongSwan and pfSense both have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cipher {
    /// AES-256-GCM with a tag of 16 octets (RFC 4106), ECDH over P-384.
    #[default]
    Aes256gcm,
    /// AES-128-GCM, ECDH over P-256.
    Aes128gcm,
    /// ChaCha20-Poly1305 (RFC 7634), for processors without AES instructions, such as a Raspberry Pi 4.
    Chacha20poly1305,
    /// AES-256-CBC with HMAC-SHA-256-128 (RFC 4868) and a group of 2048 bits: what every peer has.
    Aes256cbc,
}

/// The BGP program of a Linux router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BgpDaemon {
    /// FRRouting.
    Frr,
    /// BIRD 2.
    Bird,
}
