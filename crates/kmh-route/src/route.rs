//! One route out of a machine's table.

use ipnet::IpNet;

use crate::predict::Prediction;
use crate::table::Route;

impl Prediction<'_> {
    /// All that a machine knows about a prefix; none when it never heard of it.
    pub fn route(&self, machine: &str, prefix: IpNet) -> Option<Route> {
        let number = self.classes.around(prefix).next()?;
        let is_it = self.classes.prefix(number).is_some_and(|known| known.net == prefix.trunc());
        self.route_of(self.network.machine(machine)?, number).filter(|_| is_it)
    }
}
