//! One route out of a machine's table.

use ipnet::IpNet;

use crate::predict::Prediction;
use crate::table::Route;

impl Prediction<'_> {
    /// All that a machine knows about a prefix; none when it never heard of it.
    pub fn route(&self, machine: &str, prefix: IpNet) -> Option<Route> {
        self.table(machine)?.routes.into_iter().find(|route| route.prefix.net() == prefix)
    }
}
