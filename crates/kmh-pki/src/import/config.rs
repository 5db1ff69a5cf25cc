//! YAML files that hold what is imported: kubeconfig files with embedded certificates, and the API server's encryption
//! configuration.
//!
//! The bytes are anybody's. An error names a line and repeats nothing of it: it may be a key.

use kmh_doc::tree::{self, Tree, Value};
use zeroize::{Zeroize as _, Zeroizing};

use crate::pem;
use crate::secret::Secret;

/// What a kubeconfig file embeds.
pub struct Embedded {
    /// The certificate, as a PEM file.
    pub certificate: Zeroizing<Vec<u8>>,
    /// Its key, as a PEM file.
    pub key: Option<Zeroizing<Vec<u8>>>,
}

/// The key that an encryption configuration writes with.
pub struct Encryption {
    /// The provider.
    pub provider: String,
    /// The name of the key, which stands before everything that was encrypted with it.
    pub name: String,
    /// The key.
    pub key: Secret,
    /// Whether there are others that only read.
    pub others: bool,
}

/// A tree whose texts are cleared when it is dropped. The reader's own buffers are out of reach.
struct Cleared(Tree);

impl Drop for Cleared {
    fn drop(&mut self) {
        clear(&mut self.0);
    }
}

fn clear(tree: &mut Tree) {
    match &mut tree.value {
        Value::Text(text) => text.zeroize(),
        Value::List(items) => items.iter_mut().for_each(clear),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| clear(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn read(file: &[u8]) -> Result<Cleared, String> {
    let text = std::str::from_utf8(file).map_err(|_| "it is no text".to_owned())?;
    tree::parse_yaml(text).map(Cleared).map_err(|problems| {
        let line = problems.iter().find_map(|problem| problem.place).map(|place| place.line);
        line.map_or_else(|| "it is no YAML".to_owned(), |line| format!("it is no YAML: line {line}"))
    })
}

fn text<'a>(tree: &'a Tree, key: &str) -> Option<&'a str> {
    match &tree.get(key)?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn list<'a>(tree: &'a Tree, key: &str) -> &'a [Tree] {
    match tree.get(key).map(|found| &found.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

/// What a kubeconfig file embeds for the user of its current context; none when it embeds nothing.
pub fn embedded(file: &[u8]) -> Result<Option<Embedded>, String> {
    let read = read(file)?;
    let root = &read.0;
    let current = text(root, "current-context");
    let context = list(root, "contexts").iter().find(|one| current.is_some() && text(one, "name") == current);
    let name = context.and_then(|one| text(one.get("context")?, "user"));
    let users = list(root, "users");
    let user = users.iter().find(|one| name.is_some() && text(one, "name") == name).or(match users {
        [only] => Some(only),
        _ => None,
    });
    let Some(user) = user.and_then(|one| one.get("user")) else { return Ok(None) };
    let decoded = |key: &str| match text(user, key) {
        None => Ok(None),
        Some(data) => {
            pem::decode(data.as_bytes()).map(Some).ok_or_else(|| format!("its `{key}` is no base64"))
        }
    };
    let Some(certificate) = decoded("client-certificate-data")? else { return Ok(None) };
    Ok(Some(Embedded { certificate, key: decoded("client-key-data")? }))
}

/// The key that an encryption configuration writes with; none when the file is another or encrypts nothing.
pub fn encryption(file: &[u8]) -> Result<Option<Encryption>, String> {
    let read = read(file)?;
    let root = &read.0;
    // The guides have an older name of the kind, which the API server still takes.
    if !matches!(text(root, "kind"), Some("EncryptionConfiguration" | "EncryptionConfig")) {
        return Ok(None);
    }
    let providers: Vec<(&str, &Tree)> = list(root, "resources")
        .iter()
        .flat_map(|resource| list(resource, "providers"))
        .filter_map(|provider| match &provider.value {
            Value::Map(entries) => entries.first().map(|(key, value)| (key.text.as_str(), value)),
            _ => None,
        })
        .filter(|(name, _)| *name != "identity")
        .collect();
    let Some((provider, value)) = providers.first() else { return Ok(None) };
    let keys = list(value, "keys");
    let Some(first) = keys.first() else {
        return Err(format!("its provider `{}` has no key in the file", short(provider)));
    };
    let key = text(first, "secret").and_then(|data| pem::decode(data.as_bytes()));
    let key = key.ok_or("its key is no base64")?;
    if key.len() != 32 {
        return Err("its key is not 32 octets long, as kmh's keys are".to_owned());
    }
    Ok(Some(Encryption {
        provider: short(provider),
        name: short(text(first, "name").unwrap_or_default()),
        key: Secret::new(key),
        others: keys.len() > 1 || providers.len() > 1,
    }))
}

/// A name for people: no longer than one is.
fn short(name: &str) -> String {
    name.chars().take(63).collect()
}

#[cfg(test)]
mod tests;
