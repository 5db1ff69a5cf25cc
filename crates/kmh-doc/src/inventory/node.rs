//! The machines that run Kubernetes, and how to log in to one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Settings, settings_schema};
use crate::newtypes::{Asn, FilePath, HostKey, HostName, Label, LabelKey, LabelValue, UserName};
use crate::one_or_many::OneOrMany;

/// A machine that runs Kubernetes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name: kubelet's node name, certificate name, host name.
    pub name: Label,
    /// Where it stands.
    pub site: Label,
    /// Its addresses on the node segment, at most one a family.
    pub address: OneOrMany<IpAddr>,
    /// Further names and addresses by which others reach it: of a VPN, of its own DNS. They stand in its serving
    /// certificates.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub names: OneOrMany<HostName>,
    /// Its AS number, in layout D only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<Asn>,
    /// Its architecture.
    #[serde(default)]
    pub arch: Arch,
    /// What it does; worker when nothing is said.
    #[serde(default = "default_roles")]
    pub roles: Vec<Role>,
    /// How to log in; by its first address when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Kubernetes labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Kubernetes taints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Deviations for this node.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[schemars(schema_with = "settings_schema")]
    pub settings: Settings,
}

fn default_roles() -> Vec<Role> {
    vec![Role::Worker]
}

/// A processor architecture, by Kubernetes' names; the kernel's are understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// `x86_64`.
    #[default]
    #[serde(alias = "x86_64")]
    Amd64,
    /// `aarch64`.
    #[serde(alias = "aarch64")]
    Arm64,
}

impl JsonSchema for Arch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Arch".into()
    }
    // By hand, because the derived one leaves out the aliases.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A processor architecture, by Kubernetes' names; the kernel's are understood.",
            "type": "string",
            "enum": ["amd64", "arm64", "x86_64", "aarch64"],
        })
    }
}

impl Arch {
    /// Kubernetes' name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// What a kernel means by the name that `uname -m` prints: Linux and FreeBSD have their own.
    pub fn of_kernel(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::Amd64),
            "aarch64" | "arm64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// API server, controller manager, scheduler.
    ControlPlane,
    /// A member of etcd.
    Etcd,
    /// Runs anybody's pods.
    Worker,
}

/// A Kubernetes taint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Its key.
    pub key: LabelKey,
    /// Its value, may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<LabelValue>,
    /// What it does.
    pub effect: TaintEffect,
}

/// What a taint does; Kubernetes' own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// Better no new pods.
    PreferNoSchedule,
    /// No pods at all.
    NoExecute,
}

/// How to log in to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// Name or address; the machine's first address when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Port, 22 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// User, root when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// How that user becomes root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#become: Option<Become>,
    /// The host's public keys as known-hosts files have them (`ssh-ed25519 AAAA…`); with these, no other is accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<HostKey>,
    /// Private key file of the admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<FilePath>,
}

/// How a user becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Become {
    /// By sudo, without a password.
    Sudo,
    /// By doas, without a password.
    Doas,
}

/// The derived schema would admit any key.
fn labels_schema(generator: &mut SchemaGenerator) -> Schema {
    let value = generator.subschema_for::<LabelValue>();
    json_schema!({"type": "object", "propertyNames": {"format": "kmh-label-key"}, "additionalProperties": value})
}
