//! Checks of the certificates themselves: `pki.*`.
//!
//! What they compare with is derived here from the inventory alone ([`expect`]), not from the tool that issued them.

pub(crate) mod chain;
pub(crate) mod complete;
pub(crate) mod dates;
pub(crate) mod document;
pub(crate) mod expect;
pub(crate) mod generations;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod usages;

use kmh_doc::pki::Class;

/// How to get a certificate issued again.
pub(crate) const REISSUE: &str =
    "run `kmh-pki ensure` again; it issues again what does not fit the inventory";

/// The name of a class as the documents write it.
pub(crate) fn class_name(class: Class) -> String {
    serde_json::to_value(class).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
