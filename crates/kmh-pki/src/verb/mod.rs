//! The verbs besides `ensure`: one file each, with its options and its run.

pub mod sign;
