//! What certificates and keys are made of, and how long they live.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::is_default;
use crate::pki::Class;

/// Days of a leaf when nothing is said: kubeadm's year.
const DAYS: u32 = 365;
/// Days of a CA when nothing is said: kubeadm's ten years.
const CA_DAYS: u32 = 3650;

/// Choices about certificates and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pki {
    /// The algorithm of all keys that `algorithms` does not name.
    #[serde(skip_serializing_if = "is_default")]
    pub algorithm: Algorithm,
    /// Algorithms by class of certificate, and of the key that signs service-account tokens.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "algorithms_schema")]
    pub algorithms: BTreeMap<KeyOf, Algorithm>,
    /// Days that a certificate lives, at most.
    #[serde(skip_serializing_if = "is_days")]
    #[schemars(range(min = 1, max = 36500))]
    pub days: u32,
    /// Days that a CA lives.
    #[serde(skip_serializing_if = "is_ca_days")]
    #[schemars(range(min = 1, max = 36500))]
    pub ca_days: u32,
    /// A certificate is made again when fewer days than these are left; a third of its life when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub renew_days: Option<u32>,
    /// Whether one root signs the CAs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub root: bool,
}

impl Default for Pki {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            algorithms: BTreeMap::new(),
            days: DAYS,
            ca_days: CA_DAYS,
            renew_days: None,
            root: false,
        }
    }
}

impl Pki {
    /// The algorithm of one kind of key.
    pub fn algorithm_of(&self, key: KeyOf) -> Algorithm {
        self.algorithms.get(&key).copied().unwrap_or(self.algorithm)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_days(days: &u32) -> bool {
    *days == DAYS
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_ca_days(days: &u32) -> bool {
    *days == CA_DAYS
}

/// What an algorithm can be chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum KeyOf {
    /// Certificates of a class.
    Class(Class),
    /// A key without a certificate.
    Bare(BareKey),
}

impl KeyOf {
    /// The key that signs service-account tokens.
    pub const SERVICE_ACCOUNT: Self = Self::Bare(BareKey::ServiceAccount);
}

impl From<Class> for KeyOf {
    fn from(class: Class) -> Self {
        Self::Class(class)
    }
}

/// A key without a certificate whose algorithm can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BareKey {
    /// Signs service-account tokens.
    ServiceAccount,
}

/// The derived schema would admit any key: the names of classes are those of `kmh.pki/v1`.
fn algorithms_schema(generator: &mut SchemaGenerator) -> Schema {
    let algorithm = serde_json::Value::from(generator.subschema_for::<Algorithm>());
    let mut properties = serde_json::Map::new();
    for schema in [schemars::schema_for!(Class), schemars::schema_for!(BareKey)] {
        for list in ["oneOf", "enum"] {
            for one in schema.get(list).and_then(serde_json::Value::as_array).into_iter().flatten() {
                if let Some(name) = one.get("const").unwrap_or(one).as_str() {
                    properties.insert(name.to_owned(), algorithm.clone());
                }
            }
        }
    }
    json_schema!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// A key algorithm; `kmh.pki/v1` uses the same words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Algorithm {
    /// ECDSA on P-256.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// RSA, 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA, 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA, 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// Ed25519.
    #[serde(rename = "ed25519")]
    Ed25519,
}

impl Algorithm {
    /// Every algorithm, in its order.
    pub const ALL: [Self; 6] =
        [Self::EcdsaP256, Self::EcdsaP384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::Ed25519];

    /// The algorithm of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// Its name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Inventory;
    use crate::{decode, tree};

    fn spec(pki: &str) -> Result<Pki, Vec<String>> {
        let text = format!(
            "cluster: {{name: a, pod_cidrs: 10.0.0.0/16, service_cidrs: 10.1.0.0/16}}\nsites: []\npki: {pki}\n"
        );
        match decode::decode::<Inventory>(&tree::parse_yaml(&text).unwrap(), "spec") {
            Ok(inventory) => Ok(inventory.pki),
            Err(problems) => Err(problems
                .sorted()
                .iter()
                .map(|p| {
                    let place = p.place.unwrap();
                    let hint = p.hint.as_deref().unwrap_or("-");
                    format!("{}:{} {} {}: {hint}", place.line, place.column, p.code, p.path)
                })
                .collect()),
        }
    }

    #[test]
    fn algorithms_by_class_survive_and_the_rest_has_defaults() {
        assert_eq!(spec("{}").unwrap(), Pki::default());
        let read =
            spec("{algorithm: rsa-2048, algorithms: {cluster-ca: ecdsa-p384, service-account: rsa-4096}, renew_days: 30}")
                .unwrap();
        assert_eq!(read.algorithm_of(Class::ClusterCa.into()), Algorithm::EcdsaP384);
        assert_eq!(read.algorithm_of(Class::EtcdCa.into()), Algorithm::Rsa2048);
        assert_eq!(read.algorithm_of(KeyOf::SERVICE_ACCOUNT), Algorithm::Rsa4096);
        assert_eq!((read.days, read.ca_days, read.renew_days, read.root), (365, 3650, Some(30), false));
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(
            written,
            r#"{"algorithm":"rsa-2048","algorithms":{"cluster-ca":"ecdsa-p384","service-account":"rsa-4096"},"renew_days":30}"#
        );
        assert_eq!(serde_json::from_str::<Pki>(&written).unwrap(), read);
    }

    #[test]
    fn unknown_words_are_found_with_their_place_and_what_was_meant() {
        assert_eq!(
            spec("{algorithm: ecdsa-p265, algorithms: {cluster_ca: rsa-2048, ipsec-router: rsa-1024, encryption: ed25519}, days: 0, renew: 3}")
                .unwrap_err(),
            [
                "3:18 unknown-word spec.pki.algorithm: did you mean `ecdsa-p256`?",
                "3:43 unknown-key spec.pki.algorithms.cluster_ca: did you mean `cluster-ca`?",
                "3:79 unknown-word spec.pki.algorithms.ipsec-router: write `ecdsa-p256`, `ecdsa-p384`, `rsa-2048`, `rsa-3072`, `rsa-4096` or `ed25519`",
                "3:89 unknown-key spec.pki.algorithms.encryption: -",
                "3:117 out-of-range spec.pki.days: -",
                "3:120 unknown-key spec.pki.renew: it may be `algorithm`, `algorithms`, `ca_days`, `days`, `renew_days` or `root`",
            ]
        );
    }

    #[test]
    fn every_algorithm_has_the_name_that_serde_knows() {
        for one in Algorithm::ALL {
            assert_eq!(serde_json::to_value(one).unwrap(), one.as_str());
        }
    }
}
