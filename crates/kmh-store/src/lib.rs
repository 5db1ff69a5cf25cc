//! A bundle checked, and the secrets that belong into its files: what every tool needs that puts files on machines.
//!
//! [`wanted`] checks what a bundle asks for, [`store`] reads secrets by reference at the moment of use, [`content`] puts
//! both together in memory that is cleared, and [`folder`] reaches files without following links.

pub mod content;
pub mod folder;
pub mod store;
pub mod wanted;
