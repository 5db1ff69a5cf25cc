//! The answers: what follows from the network, before anyone touches a router.
//!
//! All of them rest on the same things: the network (from the stream, else planned from the inventory), what the nodes
//! announce (from `kmh.blocks/v1`, else a stated assumption), and what is down.

pub(crate) mod draw;
pub(crate) mod predict;
pub(crate) mod what_if;
pub(crate) mod why;

use std::path::PathBuf;

use clap::Args;
use kmh_cli::{Context, Failure, Stream};
use kmh_doc::blocks::BlocksSpec;
use kmh_doc::network::NetworkSpec;
use kmh_route::{Down, Fault, Ground, Network};

use crate::services;

/// What an answer looks at, and under which conditions.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Conditions {
    /// What is down: tunnel/NAME, uplink/ROUTER/LINE, router/NAME, site/NAME, node/NAME; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) down: Vec<String>,
    /// A service with `externalTrafficPolicy: Local`: its address, and the nodes with a ready pod of it
    #[arg(long, value_name = "ADDRESS=NODE,NODE")]
    pub(crate) service: Vec<String>,
    /// Services, as `kubectl get services,endpointslices -A -o json` prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) services: Option<PathBuf>,
}

/// The network document: the one in the stream, else planned from the inventory.
pub(crate) fn network(stream: &Stream, context: &mut Context<'_>) -> Result<NetworkSpec, Failure> {
    if let Some(loaded) = stream.find::<NetworkSpec>()? {
        context.detail(&format!("the network is the one from {}", loaded.source));
        return Ok(loaded.spec);
    }
    crate::planned(stream, context).map(|(_, spec)| spec)
}

/// A network that can be asked, refused with everything that is wrong with it.
pub(crate) fn open(spec: &NetworkSpec) -> Result<Network<'_>, Failure> {
    Network::new(spec).map_err(|faults| refused(&faults))
}

/// What the nodes announce, and what is down: all mistakes at once.
pub(crate) fn conditions(
    stream: &Stream,
    context: &mut Context<'_>,
    network: &Network<'_>,
    asked: &Conditions,
) -> Result<(Ground, Down), Failure> {
    match (ground(stream, context, network, asked), down(network, asked)) {
        (Ok(ground), Ok(down)) => Ok((ground, down)),
        (ground, down) => {
            let failures = [ground.err(), down.err()].into_iter().flatten();
            Err(Failure::all(failures).unwrap_or_else(|| Failure::wrong("this cannot be answered")))
        }
    }
}

fn ground(
    stream: &Stream,
    context: &mut Context<'_>,
    network: &Network<'_>,
    conditions: &Conditions,
) -> Result<Ground, Failure> {
    let mut ground = if let Some(loaded) = stream.find::<BlocksSpec>()? {
        Ground::from_blocks(&loaded.spec, network).map_err(|faults| {
            let source = &loaded.source;
            let placed = faults
                .into_iter()
                .map(|fault| Fault { place: format!("spec.{} ({source})", fault.place), ..fault });
            refused(&placed.collect::<Vec<_>>())
        })?
    } else {
        context.detail("no `kmh.blocks/v1` document: each node is taken to have one block of each pool");
        Ground::assume(network)
    };
    let mut given = Vec::new();
    let mut failures = Vec::new();
    for text in &conditions.service {
        match services::by_hand(text) {
            Ok(service) => given.push(service),
            Err(failure) => failures.push(failure),
        }
    }
    if let Some(path) = &conditions.services {
        let bytes = kmh_cli::file::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        match services::from_kubectl(&text, &kmh_route::findings::service_ranges(network.spec)) {
            Ok(more) => given.extend(more),
            Err(failure) => failures.push(failure.at(path.display().to_string())),
        }
    }
    if let Err(faults) = ground.add_services(given, network) {
        failures.push(refused(&faults));
    }
    Failure::all(failures).map_or(Ok(ground), Err)
}

fn down(network: &Network<'_>, conditions: &Conditions) -> Result<Down, Failure> {
    let named = conditions.down.iter().map(String::as_str);
    Down::parse(named, network.spec).map_err(|faults| refused(&faults))
}

/// Faults of a document or a question, as the tool says them.
pub(crate) fn refused(faults: &[Fault]) -> Failure {
    let failures = faults.iter().map(|fault| {
        let mut failure = Failure::wrong(fault.message.clone());
        if !fault.place.is_empty() {
            failure = failure.at(fault.place.clone());
        }
        match &fault.hint {
            Some(hint) => failure.hint(hint.clone()),
            None => failure,
        }
    });
    Failure::all(failures).unwrap_or_else(|| Failure::wrong("this cannot be answered"))
}

/// What an answer for people says last when the blocks of the nodes were made up.
pub(crate) fn assumption(ground: &Ground) -> &'static str {
    if ground.assumed {
        "\nBlocks are assumed: one a node and pool. With a `kmh.blocks/v1` document in the stream they are the cluster's.\n"
    } else {
        ""
    }
}

/// JSON for tools, on one line.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::wrong("cannot write the answer").because(error))
}
