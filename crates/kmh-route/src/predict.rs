//! The prediction: the routes of one scenario.

use std::net::IpAddr;

use kmh_doc::Cidr;

use crate::down::Down;
use crate::ground::Ground;
use crate::lookup::Found;
use crate::network::{Machine, Network, Why};
use crate::table::Table;

/// The routes of one scenario. Tables are expanded when asked for.
#[derive(Debug)]
pub struct Prediction<'n> {
    network: &'n Network<'n>,
    down: Down,
}

/// Computes the routes.
pub fn predict<'n>(network: &'n Network<'n>, ground: &'n Ground, down: &Down) -> Prediction<'n> {
    let _ = ground;
    Prediction { network, down: down.clone() }
}

impl<'n> Prediction<'n> {
    /// The network.
    pub fn network(&self) -> &'n Network<'n> {
        self.network
    }

    /// The scenario.
    pub fn down(&self) -> &Down {
        &self.down
    }

    /// The same network and ground in another scenario: what did not change is not computed again.
    #[must_use]
    pub fn with(&self, down: &Down) -> Self {
        Self { network: self.network, down: down.clone() }
    }

    /// Whether a machine runs.
    pub fn is_alive(&self, machine: Machine) -> bool {
        let _ = machine;
        true
    }

    /// Whether a tunnel, by its place in the document, is up.
    pub fn is_tunnel_up(&self, tunnel: usize) -> bool {
        let _ = tunnel;
        true
    }

    /// Why a session, by its place in [`Network::sessions`], is down; none when it is up.
    pub fn session_down(&self, session: usize) -> Option<&Why> {
        let _ = session;
        None
    }

    /// Prefixes for which the routers never come to rest.
    pub fn restless(&self) -> &[Cidr] {
        &[]
    }

    /// A machine's table; none when there is no such machine. Empty when it is down.
    pub fn table(&self, machine: &str) -> Option<Table> {
        self.network.machine(machine)?;
        Some(Table { machine: machine.to_owned(), routes: Vec::new() })
    }

    /// All tables: routers, then nodes, as in the document.
    pub fn tables(&self) -> Vec<Table> {
        Vec::new()
    }

    /// What a machine does with a packet for an address; none when it is down or has not even a default route.
    pub fn lookup(&self, machine: Machine, to: IpAddr) -> Option<Found> {
        let _ = (machine, to);
        None
    }
}
