//! Readers of the text that daemons take: systemd units, `frr.conf`, `bird.conf`, `haproxy.cfg`, `swanctl.conf`, YAML, paths.
//!
//! They read what kmh renders and what people add by hand, and borrow from it. None of them fails on text that it
//! does not know: what cannot be understood is left out, and the check that needed it says that it is missing.

pub(crate) mod bird;
pub(crate) mod frr;
pub(crate) mod lines;
pub(crate) mod paths;
pub(crate) mod swanctl;
pub(crate) mod unit;
pub(crate) mod yaml;
