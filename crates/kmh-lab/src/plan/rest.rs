//! What a lab looks like when its routers have nothing more to tell each other: sessions, and routes of kernels, as
//! kmh-route predicts them for what the lab has and what is cut in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{BgpDaemon, Inventory, Router, RouterKind};
use kmh_route::table::Installed;
use kmh_route::{Down, Ground, Machine, Network, predict};

use super::{LabPlan, machine_of};

/// What one router or node comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Its machine.
    pub machine: String,
    /// Its namespace there, when it has one.
    pub netns: Option<String>,
    /// How its daemon is asked for sessions, in a shell.
    pub ask: String,
    /// Sessions that can be up: the peer's address and name. A session is looked at on its router's side, the first.
    pub sessions: BTreeMap<IpAddr, String>,
    /// Next hops of each route that comes by BGP.
    pub routes: BTreeMap<IpNet, BTreeSet<IpAddr>>,
    /// Prefixes of which nothing is said: the routers never agree on them.
    pub restless: BTreeSet<IpNet>,
}

/// What is down by the lab's doing: machines that it does not have, and what is cut.
pub fn down(inventory: &Inventory, network: &Network<'_>, planned: &LabPlan, cut: &BTreeSet<String>) -> Down {
    let mut down = Down::default();
    // What cannot be predicted, such as a daemon that was killed, comes back by itself or is missed.
    for what in cut {
        let _ = down.add(what);
    }
    let routers = inventory.sites.iter().flat_map(|site| &site.routers);
    for router in routers.filter(|router| !planned.machines.contains_key(machine_of(router))) {
        down.routers.insert(router.name.to_string());
    }
    let nodes = network.spec.nodes.iter().map(|node| &node.name);
    down.nodes.extend(nodes.filter(|node| !planned.machines.contains_key(*node)).cloned());
    down
}

/// What every living router and node comes to.
pub fn expected(
    inventory: &Inventory,
    network: &Network<'_>,
    ground: &Ground,
    down: &Down,
) -> BTreeMap<String, Speaker> {
    let prediction = predict(network, ground, down);
    let restless: BTreeSet<IpNet> = prediction.restless().iter().map(|net| net.net()).collect();
    let mut found = BTreeMap::new();
    for machine in network.machines().filter(|machine| prediction.is_alive(*machine)) {
        let name = network.name(machine);
        let mut routers = inventory.sites.iter().flat_map(|site| &site.routers);
        let own = routers.find(|router| router.name.as_str() == name);
        let netns = own.and_then(|router| router.netns.as_ref()).map(ToString::to_string);
        let ask = own.map_or_else(|| BIRD.to_owned(), |router| asked(router, netns.as_deref()));
        let at = own.map_or(name, machine_of).to_owned();
        let mut routes = BTreeMap::new();
        for route in prediction.table(name).map(|table| table.routes).unwrap_or_default() {
            if let Some(Installed::Via(hops)) = route.installed {
                routes.insert(route.prefix.net(), hops.into_iter().collect());
            }
        }
        let restless = restless.clone();
        let sessions = sessions(network, machine, |place| prediction.session_down(place).is_none());
        found.insert(name.to_owned(), Speaker { machine: at, netns, ask, sessions, routes, restless });
    }
    found
}

const BIRD: &str = "birdc -r -s /run/bird/bird.ctl show protocols all";

/// How a router's daemon is asked.
fn asked(router: &Router, netns: Option<&str>) -> String {
    let bird = router.kind != RouterKind::Pfsense && router.bgp == Some(BgpDaemon::Bird);
    match (bird, netns) {
        (true, None) => BIRD.to_owned(),
        (true, Some(netns)) => format!("birdc -r -s /run/kmh-bird-{netns}/bird.ctl show protocols all"),
        (false, None) => "vtysh -c 'show bgp summary json'".to_owned(),
        (false, Some(netns)) => format!("vtysh -N {netns} -c 'show bgp summary json'"),
    }
}

fn sessions(
    network: &Network<'_>,
    machine: Machine,
    can_be_up: impl Fn(usize) -> bool,
) -> BTreeMap<IpAddr, String> {
    let all = network.sessions().iter().enumerate();
    let own = all.filter(|(place, session)| session.ends[0].machine == machine && can_be_up(*place));
    own.map(|(_, session)| (session.ends[1].address, network.name(session.ends[1].machine).to_owned()))
        .collect()
}
