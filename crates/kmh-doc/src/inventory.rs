//! `kmh.inventory/v1`: what a person decided. Everything else is derived from it or a default.
//!
//! Types only. Each string type carries a `format` that [`crate::formats`] checks, so that the decoder finds all
//! problems in one run; what a combination of values means, and whether it can work, is `kmh-model`'s.

mod bgp;
mod calico;
mod node;
mod pki;

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::newtypes::{Asn, Cidr, HostName, Interface, Label, Rate, Version};
use crate::one_or_many::OneOrMany;

pub use bgp::{
    Bgp, BgpDaemon, Cipher, Layout, NodePeers, NodeTimers, RouterTimers, Shape, Timers, TunnelAuth, Tunnels,
};
pub use calico::{ApiGroup, Calico};
pub use node::{Arch, Become, Node, Role, Ssh, Taint, TaintEffect};
pub use pki::{Algorithm, BareKey, KeyOf, Pki};

/// The whole inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// What all sites share.
    pub cluster: Cluster,
    /// How AS numbers are laid out, and how sessions are kept.
    #[serde(default)]
    pub bgp: Bgp,
    /// What Calico is told beyond what follows from the ranges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub calico: Calico,
    /// What certificates and keys are made of, and how long they live.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pki: Pki,
    /// The tunnels between routers. Needed as soon as there are two routers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<Tunnels>,
    /// Where the admins sit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// The places with a node segment each.
    pub sites: Vec<Site>,
    /// The machines that run Kubernetes.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// Deliberate deviations from a component's defaults, by component, then by the component's own name for the
    /// field or flag.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[schemars(schema_with = "settings_schema")]
    pub settings: Settings,
    /// Free, for templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Value>,
}

/// Component name to its deviating settings.
pub type Settings = BTreeMap<Component, BTreeMap<String, Value>>;

/// The derived schema would admit any component.
fn settings_schema(_: &mut SchemaGenerator) -> Schema {
    let components: serde_json::Map<String, Value> = Component::ALL
        .iter()
        .map(|component| {
            (
                component.as_str().to_owned(),
                serde_json::json!({"type": "object", "additionalProperties": true}),
            )
        })
        .collect();
    json_schema!({"type": "object", "properties": components, "additionalProperties": false})
}

/// A component that takes `settings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Fields of `KubeletConfiguration`.
    Kubelet,
    /// Fields of `KubeProxyConfiguration`.
    KubeProxy,
    /// Flags of kube-apiserver, without the dashes in front.
    KubeApiserver,
    /// Flags of kube-controller-manager.
    KubeControllerManager,
    /// Flags of kube-scheduler.
    KubeScheduler,
    /// Flags of etcd.
    Etcd,
}

impl Component {
    /// Every component, in its order.
    pub const ALL: [Self; 6] = [
        Self::Kubelet,
        Self::KubeProxy,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Etcd,
    ];

    /// Its name in the inventory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube_proxy",
            Self::KubeApiserver => "kube_apiserver",
            Self::KubeControllerManager => "kube_controller_manager",
            Self::KubeScheduler => "kube_scheduler",
            Self::Etcd => "etcd",
        }
    }
}

/// What all sites share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The cluster's name, in certificates and kubeconfigs.
    pub name: Label,
    /// The DNS domain of services.
    #[serde(default = "default_domain")]
    pub domain: HostName,
    /// What runs in which version.
    #[serde(default)]
    pub versions: Versions,
    /// The pod range, at most one a family.
    pub pod_cidrs: OneOrMany<Cidr>,
    /// The service range, at most one a family. The first decides the cluster's primary family.
    pub service_cidrs: OneOrMany<Cidr>,
    /// Addresses of `LoadBalancer` services, announced by the nodes.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub load_balancer_cidrs: OneOrMany<Cidr>,
    /// How the API server is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// The AS number of every node in layout A (RFC 6996: private use).
    #[serde(default = "default_node_asn")]
    pub node_asn: Asn,
}

fn default_domain() -> HostName {
    HostName::from_static("cluster.local")
}

fn default_node_asn() -> Asn {
    Asn::new(64512)
}

/// Versions of the components. A tool asks for those that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Kubernetes, such as 1.36.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Version>,
    /// etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<Version>,
    /// containerd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containerd: Option<Version>,
    /// Calico.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calico: Option<Version>,
}

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The name by which people reach it.
    pub host: HostName,
    /// Port of each API server.
    #[serde(default = "default_api_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Port of the haproxy on every node's loopback.
    #[serde(default = "default_local_port")]
    #[schemars(range(min = 1))]
    pub local_port: u16,
}

fn default_api_port() -> u16 {
    6443
}

fn default_local_port() -> u16 {
    7443
}

/// Where the admins sit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// The site whose router is pushed last.
    pub site: Label,
}

/// A place with a node segment and routers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The site's name; also the zone label of its nodes.
    pub name: Label,
    /// The node segment, at most one a family.
    pub network: OneOrMany<Cidr>,
    /// The site's pod pools, inside the cluster's pod range, at most one a family.
    pub pod_cidrs: OneOrMany<Cidr>,
    /// Name servers of the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<IpAddr>,
    /// Other segments behind the same router.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lans: Vec<Lan>,
    /// The routers, at least one.
    #[serde(default)]
    pub routers: Vec<Router>,
    /// The nodes' gateway, needed with two routers (CARP, VRRP); with one it is that router's address.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub gateway: OneOrMany<IpAddr>,
    /// Deviations for the nodes of this site.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[schemars(schema_with = "settings_schema")]
    pub settings: Settings,
}

/// A segment that is no node segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lan {
    /// Its name.
    pub name: Label,
    /// Its network, at most one a family. Segments of two sites may have the same, where neither reaches anything.
    pub network: OneOrMany<Cidr>,
    /// What it may reach through the router; nothing when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<Reach>,
}

/// What a LAN may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Service and load-balancer addresses.
    Services,
    /// Pod addresses.
    Pods,
    /// Node addresses.
    Nodes,
}

/// A router: the nodes' gateway, an end of tunnels, a BGP speaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// Its name.
    pub name: Label,
    /// Chosen once, never reused: tunnel numbers come from it.
    #[schemars(range(min = 1, max = 4095))]
    pub id: u16,
    /// What it is.
    pub kind: RouterKind,
    /// Its AS number; the routers of a site share one, no two sites do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<Asn>,
    /// Its addresses on the node segment, at most one a family.
    pub address: OneOrMany<IpAddr>,
    /// Its interface on the node segment; pfSense's own name for it, such as `opt1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
    /// How to log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Its lines to the Internet.
    #[serde(default)]
    pub uplinks: Vec<Uplink>,
    /// The machine that carries a namespace router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Label>,
    /// The network namespace that it lives in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<Label>,
    /// The BGP program of a Linux router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp: Option<BgpDaemon>,
}

/// What a router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouterKind {
    /// A pfSense firewall with its FRR package.
    Pfsense,
    /// Linux, in a network namespace or not.
    Linux,
}

/// A router's line to the Internet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Its name; also the interface when none is given.
    pub name: Label,
    /// The interface; pfSense's own name for it, such as `wan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
    /// Its number on this router, 1 to 4: with it tunnels keep their numbers when lines are put in another order. Its
    /// place in the list when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub id: Option<u8>,
    /// The name or address by which others reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<HostName>,
    /// The router's own address on this line, where it is not `address`: behind NAT. A Linux router with several lines
    /// needs it to send each tunnel's packets by their own line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_address: Option<IpAddr>,
    /// Whether the address changes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dynamic: bool,
    /// Whether and how the router is behind address translation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nat: Nat,
    /// The line's MTU in octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1280, max = 9216))]
    pub mtu: Option<u16>,
    /// Round trip to the Internet in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2000))]
    pub rtt_ms: Option<u16>,
    /// The slower direction's rate, such as 40mbit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// Address translation in front of an uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Nat {
    /// None: the router has the public address.
    #[default]
    None,
    /// Behind NAT with UDP 500 and 4500 forwarded.
    Forwarded,
    /// Behind carrier NAT: it can only initiate.
    Carrier,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl crate::Spec for Inventory {
    const KIND: crate::Kind = crate::Kind::Inventory;
}
