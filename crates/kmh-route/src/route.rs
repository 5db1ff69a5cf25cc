//! One route out of a machine's table.

use std::net::IpAddr;
use std::sync::Arc;

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

    /// Whether every machine that lives in both has the same routes for an address as in another scenario of the same
    /// network, as far as routers decide them.
    pub fn routes_alike(&self, other: &Self, to: IpAddr) -> bool {
        Arc::ptr_eq(&self.classes, &other.classes)
            && self.classes.around(IpNet::from(to)).all(|number| {
                let class = self.classes.prefix(number).map_or(usize::MAX, |prefix| prefix.class as usize);
                match (self.settled.get(class), other.settled.get(class)) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    _ => false,
                }
            })
    }
}
