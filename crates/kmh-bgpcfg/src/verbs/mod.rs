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
use kmh_route::ground::Service;
use kmh_route::services::{self, Unread};
use kmh_route::{Down, Fault, Ground, Network};

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

/// A network document, and where it was read.
pub(crate) struct Asked {
    /// The document.
    pub(crate) spec: NetworkSpec,
    source: String,
}

/// The network document: the one in the stream, else planned from the inventory.
pub(crate) fn network(stream: &Stream, context: &mut Context<'_>) -> Result<Asked, Failure> {
    if let Some(loaded) = stream.find::<NetworkSpec>()? {
        context.detail(&format!("the network is the one from {}", loaded.source));
        return Ok(Asked { spec: loaded.spec, source: loaded.source.to_string() });
    }
    crate::planned(stream, context).map(|(_, spec)| Asked { spec, source: "as planned".to_owned() })
}

/// A network that can be asked, refused with everything that is wrong with it.
pub(crate) fn open(asked: &Asked) -> Result<Network<'_>, Failure> {
    Network::new(&asked.spec).map_err(|faults| refused(&placed(faults, &asked.source)))
}

/// `--limit` chooses tables. Taken without a word by the other questions, it would seem to narrow their answers.
pub(crate) fn whole(context: &Context<'_>) -> Result<(), Failure> {
    if context.common.limit.is_empty() {
        return Ok(());
    }
    Err(Failure::wrong("this verb answers for the whole network, and takes no `--limit`")
        .hint("leave it out; `predict --limit NAME` shows the table of one machine"))
}

/// What the nodes announce, and what is down: all mistakes at once. `ends` are names of machines and addresses.
pub(crate) fn conditions(
    stream: &Stream,
    context: &mut Context<'_>,
    network: &Network<'_>,
    asked: &Conditions,
    ends: &[&str],
) -> Result<(Ground, Down), Failure> {
    let mut failures = Vec::new();
    let mut ground = blocks(stream, context, network).unwrap_or_else(|failure| {
        failures.push(failure);
        Ground::default()
    });
    services(network, asked, &mut ground, &mut failures);
    let down = down(network, asked).unwrap_or_else(|failure| {
        failures.push(failure);
        Down::default()
    });
    failures.extend(ends.iter().filter_map(|text| why::meant(text, network).err()));
    Failure::all(failures).map_or(Ok((ground, down)), Err)
}

fn blocks(stream: &Stream, context: &mut Context<'_>, network: &Network<'_>) -> Result<Ground, Failure> {
    let Some(loaded) = stream.find::<BlocksSpec>()? else {
        context.detail("no `kmh.blocks/v1` document: each node is taken to have one block of each pool");
        return Ok(Ground::assume(network));
    };
    Ground::from_blocks(&loaded.spec, network)
        .map_err(|faults| refused(&placed(faults, &loaded.source.to_string())))
}

/// Faults of a document, with the file that it was read from.
fn placed(faults: Vec<Fault>, source: &str) -> Vec<Fault> {
    let placed = |fault: Fault| Fault { place: format!("spec.{} ({source})", fault.place), ..fault };
    faults.into_iter().map(placed).collect()
}

/// Adds the services that are named, each under the name by which it was.
fn services(network: &Network<'_>, asked: &Conditions, ground: &mut Ground, failures: &mut Vec<Failure>) {
    let mut given: Vec<(Service, String)> = Vec::new();
    for text in &asked.service {
        match services::by_hand(text) {
            Ok(service) => given.push((service, format!("--service {text}"))),
            Err(unread) => failures.push(unreadable(unread)),
        }
    }
    if let Some(path) = &asked.services {
        let ranges = kmh_route::findings::service_ranges(network.spec);
        let read = kmh_cli::file::read(path).and_then(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            services::from_kubectl(&text, &ranges)
                .map_err(|unread| unreadable(unread).at(path.display().to_string()))
        });
        match read {
            Ok(more) => given.extend(more.into_iter().filter(|one| one.local).map(|one| {
                let service = one.service;
                let place = format!("{} ({})", service.name, path.display());
                (service, place)
            })),
            Err(failure) => failures.push(failure),
        }
    }
    for (service, place) in given {
        if let Err(faults) = ground.add_services(vec![service], network) {
            let faults = faults.into_iter().map(|fault| Fault { place: place.clone(), ..fault });
            failures.push(refused(&faults.collect::<Vec<_>>()));
        }
    }
}

fn unreadable(unread: Unread) -> Failure {
    Failure::wrong(unread.message).because(unread.cause).hint(unread.hint)
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
        "\nBlocks are assumed: one a node and pool. A `kmh.blocks/v1` document in the stream has the real ones.\n"
    } else {
        ""
    }
}

/// JSON for tools, on one line.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::wrong("cannot write the answer").because(error))
}
