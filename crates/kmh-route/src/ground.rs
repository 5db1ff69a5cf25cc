//! What the nodes announce beyond what the network document says: blocks, borrowed addresses, services.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

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
