//! What is said of the files that were read.

use serde::Serialize;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    /// Something is not as it should be.
    Warning,
    /// Something that a person may want to know.
    Note,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How much it matters.
    pub(super) level: Level,
    /// The file, as the caller can open it; empty when it is about none.
    pub(super) file: String,
    /// The subject of its certificate, where there is one.
    pub(super) subject: String,
    /// The name that it would have in the store, where it would have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// What is to be said.
    #[serde(rename = "finding")]
    pub(super) text: String,
    /// How to go on.
    pub(super) hint: String,
    /// Whether it is said on stderr too, whatever the answer's form: what is not known now does harm at the next push.
    #[serde(skip)]
    pub(super) loud: bool,
}

impl Finding {
    /// About a file.
    pub(super) fn new(level: Level, file: &str, text: impl Into<String>, hint: &str) -> Self {
        Self {
            level,
            file: file.to_owned(),
            subject: String::new(),
            name: None,
            text: text.into(),
            hint: hint.to_owned(),
            loud: false,
        }
    }

    /// With the subject of its certificate and its name in the store.
    pub(super) fn of(self, subject: String, name: &str) -> Self {
        Self { subject, name: Some(name.to_owned()), ..self }
    }
}
