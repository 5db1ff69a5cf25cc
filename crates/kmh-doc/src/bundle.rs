//! `kmh.bundle/v1`: every file of every machine, and of the cluster as a target of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inventory::{Arch, Role, RouterKind, Ssh};

/// Everything that is deployed. Machines are sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleSpec {
    /// Identity of the store that secret references point into.
    pub store: String,
    /// Whether it was rendered from planned certificates; such a bundle is accepted by a dry run only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
    /// Nodes, routers, and the target named `cluster`.
    pub machines: Vec<Machine>,
}

/// A target of the push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name; `cluster` for the manifests.
    pub name: String,
    /// What it is.
    pub kind: MachineKind,
    /// Its site; none for the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// A node's roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// A node's architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// Address for SSH when `ssh.host` says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How to log in.
    #[serde(default)]
    pub ssh: Ssh,
    /// Its files, sorted by path.
    pub files: Vec<File>,
    /// Its units, in the order in which they are started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Unit>,
    /// Programs to install, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MachineKind {
    /// A Kubernetes node.
    Node,
    /// A Linux router.
    LinuxRouter,
    /// A pfSense firewall.
    Pfsense,
    /// The cluster: manifests, applied through one control-plane node.
    Cluster,
}

impl From<RouterKind> for MachineKind {
    fn from(kind: RouterKind) -> Self {
        match kind {
            RouterKind::Pfsense => Self::Pfsense,
            RouterKind::Linux => Self::LinuxRouter,
        }
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute and normalised.
    pub path: String,
    /// Owner and group: `root:root`.
    pub owner: String,
    /// Mode in octal, four digits: `0600`.
    pub mode: String,
    /// Its content, in order.
    pub content: Vec<Segment>,
    /// What it was made from: the template's or the certificate's name.
    pub origin: String,
    /// Units to act on when it changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_change: Vec<OnChange>,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, untagged)]
pub enum Segment {
    /// Text as it is.
    Text {
        /// The text.
        text: String,
    },
    /// A secret of the store.
    Secret {
        /// Its reference.
        secret: String,
        /// How it is written into the file.
        #[serde(default)]
        encoding: Encoding,
    },
}

/// How a secret is written into a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As the store has it.
    #[default]
    Raw,
    /// In base64 with padding, on one line.
    Base64,
}

/// What happens to a unit when a file of its own changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnChange {
    /// The unit.
    pub unit: String,
    /// Restart or reload.
    pub action: UnitAction,
}

/// What is done to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnitAction {
    /// Ask it to read its files again.
    Reload,
    /// Stop and start it.
    Restart,
}

/// A systemd unit, or a service of pfSense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its name with the suffix: `etcd.service`.
    pub name: String,
    /// Whether it starts at boot.
    pub enable: bool,
    /// A command that succeeds once it serves, word by word; empty: nobody has to wait for it. Where it is set, the cluster
    /// needs most of the machines that have this unit: those on which it runs and is to be restarted go one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<String>,
}

/// A program to install.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its name: `kubelet`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The architecture it is for.
    pub arch: Arch,
    /// Where upstream publishes it.
    pub url: String,
    /// Where it is installed.
    pub path: String,
}

impl crate::Spec for BundleSpec {
    const KIND: crate::Kind = crate::Kind::Bundle;
}
