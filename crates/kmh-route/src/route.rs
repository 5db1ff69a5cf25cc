//! One route out of a machine's table.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::network::Machine;
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
    pub(crate) fn routes_alike(&self, other: &Self, to: IpAddr) -> bool {
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

impl Prediction<'_> {
    /// Whether a machine that lives in both sends packets for an address the same way as in another scenario of the same
    /// network, as far as it can be told without asking its neighbours; when in doubt it does not.
    pub(crate) fn hop_alike(&self, other: &Self, machine: Machine, to: IpAddr) -> bool {
        let router = |router: usize| {
            self.classes.around(IpNet::from(to)).all(|number| {
                let Some(class) = self.classes.prefix(number).map(|prefix| prefix.class as usize) else {
                    return false;
                };
                let (Some(now), Some(then)) = (self.settled.get(class), other.settled.get(class)) else {
                    return false;
                };
                Arc::ptr_eq(now, then)
                    || (now.best(router) == then.best(router) && self.is_lonely(router, class))
            })
        };
        match machine {
            Machine::Router(number) => router(number),
            // A node knows what its site's routers tell it.
            Machine::Node(_) => {
                let site = self.network.site(machine);
                let of_site = self.network.at_site.get(site).into_iter().flatten();
                of_site.copied().all(|one| match one {
                    Machine::Router(number) => router(number),
                    Machine::Node(_) => true,
                })
            }
        }
    }

    /// Whether no two neighbours of a router could be used side by side for a class: then its best route is all it has.
    fn is_lonely(&self, router: usize, class: usize) -> bool {
        let multipath =
            self.network.speaker(Machine::Router(router)).is_some_and(|speaker| speaker.multipath);
        let Some((class, settled)) = self.classes.list.get(class).zip(self.settled.get(class)) else {
            return false;
        };
        let graph = &self.graphs[usize::from(class.v6)];
        let asns = graph.into(router).iter().filter_map(|number| graph.edges.get(*number as usize));
        let mut asns: Vec<u32> = asns.map(|edge| edge.source.asn).collect();
        asns.sort_unstable();
        !multipath || (asns.windows(2).all(|pair| pair[0] != pair[1]) && settled.injected(router).len() < 2)
    }
}
