//! IPsec of routers that are no Linux: what stands in for it in a lab.

pub mod apply;
mod authorities;
pub mod pfsense;
mod settings;
pub mod split;
