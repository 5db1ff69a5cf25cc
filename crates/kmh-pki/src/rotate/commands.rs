//! The commands that an answer prints. They can be copied: they name the store, what opens it and the inventory as this run
//! did, quoted for a shell, and work in the folder in which it ran.

use std::path::Path;

/// What stands for the file of an inventory that came in a pipe, where nobody can tell its name.
pub const INVENTORY: &str = "INVENTORY";

/// What this run was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    store: String,
    /// None: it came in a stream.
    inventory: Option<String>,
    identity: Option<String>,
    expired: bool,
}

impl Commands {
    /// Of the paths of a store, of an inventory in a file of its own, and of an identity; `expired` as on the command line.
    pub fn new(store: &Path, inventory: Option<&Path>, identity: Option<&Path>, expired: bool) -> Self {
        Self { store: word(store), inventory: inventory.map(word), identity: identity.map(word), expired }
    }

    /// Makes the documents anew, in `stream.json`.
    pub fn documents(&self) -> String {
        format!("kmh-pki{} | kmh-bgpcfg | kmh-render >stream.json", self.options(true))
    }

    /// Pushes them.
    pub fn push(&self) -> String {
        format!("kmh-push -i stream.json{} --to ssh", self.store())
    }

    /// The next stage, by a report of a push.
    pub fn shown(&self, name: &str) -> String {
        // The same inventory twice is one, and by its file the next answer knows how it is called.
        let and_stream = if self.inventory.is_some() { " -i -" } else { "" };
        let options = self.options(self.inventory.is_some());
        format!("{} | kmh-check | kmh-pki rotate {name}{options}{and_stream}", self.push())
    }

    /// The next stage, because somebody says so.
    pub fn said(&self, name: &str) -> String {
        format!("kmh-pki rotate {name} --deployed{}", self.options(true))
    }

    /// Signs what was asked for, in the store that holds the key.
    pub fn sign(&self, requests: &Path) -> String {
        let (requests, input) = (word(requests), self.input());
        format!("kmh-pki sign --requests {requests} --to signed.json --store STORE-WITH-THE-KEY -i {input}")
    }

    /// Takes in what was signed.
    pub fn import(&self) -> String {
        format!("kmh-pki import --signed signed.json{}", self.options(true))
    }

    fn input(&self) -> &str {
        self.inventory.as_deref().unwrap_or(INVENTORY)
    }

    /// What a reader must know of a command that reads the inventory; empty: nothing.
    pub fn note(&self) -> String {
        match self.inventory {
            Some(_) => String::new(),
            None => format!(
                ". {INVENTORY} stands for the file of the inventory, which this run read from a stream"
            ),
        }
    }

    /// Those that every command has: the store, and what opens it.
    fn store(&self) -> String {
        let identity =
            self.identity.as_ref().map_or_else(String::new, |file| format!(" --store-identity {file}"));
        format!(" --store {}{identity}", self.store)
    }

    /// Those of kmh-pki.
    fn options(&self, inventory: bool) -> String {
        let expired = if self.expired { " --expired" } else { "" };
        let input = if inventory { format!(" -i {}", self.input()) } else { String::new() };
        format!("{}{expired}{input}", self.store())
    }
}

/// A path as one word of a shell, which no program takes for an option.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_what_this_run_was_given() {
        let path = Path::new;
        let all = Commands::new(path("my pki"), Some(path("it's.yaml")), Some(path("-id")), true);
        assert_eq!(
            all.documents(),
            r"kmh-pki --store 'my pki' --store-identity ./-id --expired -i 'it'\''s.yaml' | kmh-bgpcfg | kmh-render >stream.json"
        );
        assert_eq!(
            all.shown("etcd"),
            r"kmh-push -i stream.json --store 'my pki' --store-identity ./-id --to ssh | kmh-check | kmh-pki rotate etcd --store 'my pki' --store-identity ./-id --expired -i 'it'\''s.yaml' -i -"
        );
        assert_eq!(all.note(), "");
        let piped = Commands::new(path("/srv/pki"), None, None, false);
        assert_eq!(
            piped.documents(),
            "kmh-pki --store /srv/pki -i INVENTORY | kmh-bgpcfg | kmh-render >stream.json"
        );
        assert_eq!(
            piped.shown("etcd"),
            "kmh-push -i stream.json --store /srv/pki --to ssh | kmh-check | kmh-pki rotate etcd --store /srv/pki"
        );
        assert_eq!(
            piped.said("encryption"),
            "kmh-pki rotate encryption --deployed --store /srv/pki -i INVENTORY"
        );
        assert!(piped.note().contains("read from a stream"), "{}", piped.note());
    }
}
