//! The plan of a lab: a pure function of the inventory, the network and the bundle.

pub mod wires;
