//! Mermaid.
use super::scene::Scene;
pub(super) fn mermaid(_scene: &Scene<'_>) -> String { String::new() }
