//! To whom secrets are encrypted.

use std::collections::BTreeMap;
use std::path::Path;

use kmh_cli::{Failure, file};

/// Recipients, sorted, each once, and at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipients(BTreeMap<String, age::x25519::Recipient>);

impl Recipients {
    /// From their texts, `age1…`. All that is wrong with them is told at once.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Failure> {
        let mut found = BTreeMap::new();
        let mut wrong = Vec::new();
        for text in texts {
            match text.parse::<age::x25519::Recipient>() {
                Ok(recipient) => drop(found.insert(recipient.to_string(), recipient)),
                Err(_) => wrong.push(refuse(text)),
            }
        }
        if found.is_empty() && wrong.is_empty() {
            wrong.push(
                Failure::wrong("there is no recipient").hint("name one: `age-keygen -o FILE` prints its own"),
            );
        }
        Failure::all(wrong).map_or(Ok(Self(found)), Err)
    }

    /// The texts in a file of recipients: one a line, `#` begins a comment.
    pub fn texts_of(path: &Path) -> Result<Vec<String>, Failure> {
        let bytes = file::read(path)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::wrong(format!("`{}` is no file of recipients", path.display()))
                .because("it is no text")
                .hint("one recipient a line, `age1…`")
        })?;
        let lines = text.lines().map(str::trim);
        Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
    }

    /// Their texts.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &age::x25519::Recipient> {
        self.0.values()
    }
}

fn refuse(text: &str) -> Failure {
    let upper = text.to_ascii_uppercase();
    // Half of the mistake is that it stands in the shell's history now; it is not repeated.
    if upper.starts_with("AGE-SECRET-KEY-") {
        return Failure::wrong("an identity was named as a recipient")
            .because("it is a secret, and whoever reads it reads the store")
            .hint("name its recipient, `age-keygen -y FILE`, and make a new identity");
    }
    let shown = kmh_cli::text::printable(text);
    let failure = Failure::wrong(format!("`{shown}` is no recipient"));
    if text.starts_with("ssh-") {
        return failure
            .because("it is an SSH key")
            .hint("make an identity for the store: `age-keygen -o FILE`");
    }
    failure.hint("a recipient is `age1` and 58 letters and digits, as `age-keygen` prints it")
}
