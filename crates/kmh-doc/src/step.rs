//! What a tool does, or with a dry run would do, and why: for programs that read its result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it is done to.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// Why, at least one.
    pub reasons: Vec<Why>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A certificate is issued where there was none.
    Issue,
    /// A certificate is issued in place of one that is there.
    Reissue,
    /// A key without a certificate is made.
    Make,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// Stable word, such as `missing` or `names-differ`.
    pub code: String,
    /// For people.
    pub message: String,
}
