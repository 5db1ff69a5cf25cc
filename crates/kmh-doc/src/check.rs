//! `kmh.check/v1`: what a check found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The report of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// Whether the answer is yes.
    pub ok: bool,
    /// How many results of each state.
    pub summary: Summary,
    /// Every check that ran, sorted by id, then subject.
    pub results: Vec<CheckResult>,
}

/// How many results of each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Right.
    pub ok: usize,
    /// Works, but look at it.
    pub warning: usize,
    /// Wrong.
    pub critical: usize,
    /// Could not be found out.
    pub unknown: usize,
    /// Not checked, with the reason in its message.
    pub skipped: usize,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// Stable name of the check, such as `pki.chain`.
    pub id: String,
    /// What was checked: a certificate, a machine, a file.
    pub subject: String,
    /// The answer.
    pub state: State,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The answer of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Right.
    Ok,
    /// Works, but look at it.
    Warning,
    /// Wrong.
    Critical,
    /// Could not be found out: never taken for right.
    Unknown,
    /// Not checked.
    Skipped,
}

impl crate::Spec for CheckSpec {
    const KIND: crate::Kind = crate::Kind::Check;
}
