//! JSON Schemas of whole documents: generated from the types, committed in `schemas/`, embedded here.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::{Kind, Spec};

/// The committed schema of a kind; none for kinds that no tool writes yet.
pub fn schema(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Inventory => Some(include_str!("../schemas/kmh.inventory.v1.json")),
        Kind::Pki => Some(include_str!("../schemas/kmh.pki.v1.json")),
        Kind::Network => Some(include_str!("../schemas/kmh.network.v1.json")),
        Kind::Bundle => Some(include_str!("../schemas/kmh.bundle.v1.json")),
        Kind::Push => Some(include_str!("../schemas/kmh.push.v1.json")),
        Kind::Check => Some(include_str!("../schemas/kmh.check.v1.json")),
        Kind::Blocks => Some(include_str!("../schemas/kmh.blocks.v1.json")),
        Kind::Facts => None,
    }
}

/// The schema of a kind as the types have it now: what the committed one must be.
pub fn generate(kind: Kind) -> Option<String> {
    let value = match kind {
        Kind::Inventory => of::<crate::inventory::Inventory>("what a person decided"),
        Kind::Pki => of::<crate::pki::PkiSpec>("the state of every certificate and key"),
        Kind::Network => of::<crate::network::NetworkSpec>("sessions, filters, tunnels, Calico resources"),
        Kind::Bundle => of::<crate::bundle::BundleSpec>("every file of every machine and of the cluster"),
        Kind::Push => of::<crate::push::PushSpec>("what a push did"),
        Kind::Check => of::<crate::check::CheckSpec>("what a check found"),
        Kind::Blocks => of::<crate::blocks::BlocksSpec>("blocks of pod addresses and their nodes"),
        Kind::Facts => return None,
    };
    Some(format!("{value:#}\n"))
}

/// The name of the committed file of a kind, in `schemas/`.
pub fn file_name(kind: Kind) -> String {
    format!("{}.json", kind.as_str().replace('/', "."))
}

/// The document around a spec.
fn of<T: Spec + JsonSchema>(title: &str) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let spec: Schema = generator.subschema_for::<T>();
    let definitions = generator.take_definitions(true);
    let digest = json!({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{}: {title}", T::KIND),
        "type": "object",
        "properties": {
            "kind": {"description": "Name and version of the kind.", "const": T::KIND.as_str()},
            "from": {
                "description": "Digests of the documents that this one was computed from, by kind.",
                "type": "object",
                "propertyNames": {"enum": Kind::ALL.map(Kind::as_str)},
                "additionalProperties": digest,
            },
            "spec": spec,
        },
        "required": ["kind", "spec"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_schema_is_of_its_kind() {
        for kind in Kind::ALL {
            let Some(text) = schema(kind) else {
                assert_eq!(generate(kind), None, "{kind}");
                continue;
            };
            let schema: Value = serde_json::from_str(text).unwrap();
            assert_eq!(schema["properties"]["kind"]["const"], kind.as_str());
            assert_eq!(schema["additionalProperties"], false);
            assert!(text.ends_with("}\n"), "{kind}");
        }
    }
}
