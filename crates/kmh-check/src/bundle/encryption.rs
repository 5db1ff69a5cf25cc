//! The encryption configuration against the keys of the PKI document.

use kmh_doc::bundle::Segment;
use kmh_doc::inventory::Role;
use kmh_doc::pki::KeyClass;
use serde_json::Value;

use super::RENDER;
use super::files::place;
use super::view::Bundle;
use crate::documents::Pki;
use crate::findings::Findings;

/// `bundle.encryption-keys`: every key once, the one in use first, each under the name that it has for life. What is
/// in etcd begins with the name of the key that it needs.
pub(crate) fn keys(pki: &Pki<'_>, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let keys = pki.spec.keys_of(KeyClass::Encryption);
    let wanted: Vec<&str> = keys.iter().map(|key| key.secret.as_str()).collect();
    for view in bundle.with(Role::ControlPlane) {
        let Some(path) = view.setting("kube-apiserver", "encryption-provider-config") else { continue };
        let Some(body) = view.files.get(path.as_str()).filter(|_| out.look_at(view.name())) else { continue };
        let subject = place(view.name(), &path);
        let is: Vec<&str> = body
            .file
            .content
            .iter()
            .filter_map(|segment| match segment {
                Segment::Secret { secret, .. } => Some(secret.as_str()),
                Segment::Text { .. } => None,
            })
            .collect();
        if is != wanted {
            let message =
                format!("its keys are {}; they must be {}, in this order", list(&is), list(&wanted));
            out.critical(&subject, message, RENDER);
        }
        let names = view.yaml(&path).map(|config| names(&config)).unwrap_or_default();
        for (key, name) in keys.iter().zip(&names) {
            if key.id.is_none() && !pki.spec.planned {
                let message = format!("the PKI document does not say what `{}` is called", key.secret);
                out.critical(&subject, message, "make the document again with `kmh-pki ensure`");
            }
            if let Some(id) = key.id.as_deref().filter(|id| id != name) {
                let message = format!("it calls `{}` `{name}`; it must be `{id}`", key.secret);
                out.critical(&subject, message, RENDER);
            }
        }
    }
}

/// The names of all keys, in their order.
fn names(config: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let providers = list(&config["resources"]).into_iter().flat_map(|one| list(&one["providers"]));
    let with_keys = providers.filter_map(|one| one.as_object()?.values().next().cloned());
    with_keys
        .flat_map(|one| list(&one["keys"]))
        .map(|key| key["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn list(items: &[&str]) -> String {
    if items.is_empty() { "none".to_owned() } else { format!("`{}`", items.join("`, `")) }
}
