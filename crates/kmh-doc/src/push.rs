//! `kmh.push/v1`: what a push did, machine by machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inventory::Arch;

/// The report of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushSpec {
    /// Whether anything was changed, or with `dry_run` would be.
    pub changed: bool,
    /// Whether any machine failed, or the push was refused.
    pub failed: bool,
    /// Why nothing was tried: a check in the stream said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether nothing was to be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Whether it went to the machines themselves, where units are acted on, and not into folders.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// Every machine, sorted by name.
    pub machines: Vec<MachineReport>,
}

/// What happened on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineReport {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it has, or would have, its turn after others, because something is restarted that the cluster needs most of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_turn: bool,
    /// Its architecture, as it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// Why it failed, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Files that were, or would be, written.
    pub written: Vec<FileReport>,
    /// How many files were right already.
    pub unchanged: usize,
    /// Units that were acted on, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitReport>,
}

/// What became of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything was right already.
    Unchanged,
    /// Something was changed.
    Changed,
    /// Something would be changed.
    WouldChange,
    /// It failed; what is said to be written was written.
    Failed,
    /// It could not be reached.
    Unreachable,
    /// Nothing was done on it, because its turn did not come.
    Untouched,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileReport {
    /// Its path on the machine.
    pub path: String,
    /// Why.
    pub reason: FileReason,
}

/// Why a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileReason {
    /// It was not there.
    Missing,
    /// Its content differed.
    Content,
    /// Its mode or owner differed.
    Mode,
}

/// A unit that was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitReport {
    /// Its name.
    pub name: String,
    /// What was done.
    pub action: UnitStep,
    /// Whether it worked; none when it was only planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
}

/// What is done to a unit, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnitStep {
    /// systemd reads all unit files again; the unit is `systemd`.
    DaemonReload,
    /// It starts at boot.
    Enable,
    /// It reads its files again, or is started.
    Reload,
    /// It is stopped and started.
    Restart,
}

impl crate::Spec for PushSpec {
    const KIND: crate::Kind = crate::Kind::Push;
}
