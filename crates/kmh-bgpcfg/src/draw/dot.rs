//! DOT.
use super::scene::Scene;
pub(super) fn dot(_scene: &Scene<'_>) -> String { String::new() }
