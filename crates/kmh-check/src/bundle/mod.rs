//! Checks of the rendered files, within each machine, across machines, and against the other documents: `bundle.*`.

pub(crate) mod components;
pub(crate) mod credentials;
pub(crate) mod encryption;
pub(crate) mod etcd;
pub(crate) mod files;
pub(crate) mod flags;
pub(crate) mod kubeconfigs;
pub(crate) mod machines;
pub(crate) mod ranges;
pub(crate) mod references;
pub(crate) mod secrets;
pub(crate) mod units;
pub(crate) mod view;

/// What to do about a bundle that does not fit together.
pub(crate) const RENDER: &str = "make the bundle again with `kmh-render bundle`, from documents of one run";
