//! `why FROM TO`: the way of one packet and of its answer, hop by hop, with the rule and the decision at each.

use std::fmt::Write as _;
use std::net::IpAddr;

use clap::Args;
use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_doc::network::NetworkSpec;
use kmh_route::forward::{End, Hop, Way, way};
use kmh_route::table::{Route, Verdict};
use kmh_route::{Ground, Machine, Network, Origin, Prediction};
use serde::Serialize;

use super::predict::lost;
use super::{Conditions, assumption, conditions, json, network, open, whole};
use crate::text::wrap;

/// Options of `why`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Why {
    /// Who sends: a node, a router, or an address (of a node, a router, a pod, on a LAN)
    from: String,
    /// To where: a node, a router, or any address (of a pod, a service, the Internet)
    to: String,
    #[command(flatten)]
    conditions: Conditions,
}

/// One end of the question.
#[derive(Clone, Copy, Debug)]
struct Place {
    machine: Option<Machine>,
    address: IpAddr,
}

/// What is printed in JSON.
#[derive(Serialize)]
struct Said {
    from: IpAddr,
    to: IpAddr,
    arrives: bool,
    /// Whether the answer crosses the same routers, backwards; none when there is no answer.
    symmetric: Option<bool>,
    there: Leg,
    /// The way of the answer; none when nobody in the cluster answers.
    back: Option<Leg>,
}

#[derive(Serialize)]
struct Leg {
    hops: Vec<Step>,
    end: &'static str,
    at: String,
}

#[derive(Serialize)]
struct Step {
    machine: String,
    /// The longest prefix that fits; none without a route.
    prefix: Option<String>,
    /// Why it is there: `bgp`, `default`, `connected` …
    origin: Option<&'static str>,
    next_hop: Option<IpAddr>,
    tunnel: Option<String>,
    /// Gates that are as good.
    equal: usize,
    /// The rule that let the route in.
    accepted_by: Option<String>,
    as_path: Vec<u32>,
    /// The best of the other paths, and the step at which it lost.
    second: Option<Second>,
    /// What the packet filter lets the packet through by.
    passes: Option<String>,
}

#[derive(Serialize)]
struct Second {
    from: String,
    lost_at: kmh_route::table::Step,
}

/// The answer.
pub(crate) fn run(
    args: &Why,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    whole(context)?;
    let asked = network(stream, context)?;
    let opened = open(&asked)?;
    let ends = [args.from.as_str(), &args.to];
    let (ground, down) = conditions(stream, context, &opened, &args.conditions, &ends)?;
    let prediction = kmh_route::predict(&opened, &ground, &down);
    let (start, from, to) = self::ends(&prediction, &ground, &args.from, &args.to)?;
    let there = way(&prediction, start, Some(from), to);
    // The answer: sent by whoever has the address.
    let back = match there.end {
        End::Delivered(machine) => Some(way(&prediction, machine, None, from)),
        _ => None,
    };
    let symmetric = back.as_ref().map(|back| {
        let mut backwards: Vec<usize> = back.routers().collect();
        backwards.reverse();
        there.routers().eq(backwards)
    });
    let said = Said {
        from,
        to,
        arrives: there.end.arrives() && back.as_ref().is_none_or(|back| back.end.arrives()),
        symmetric,
        there: leg(&prediction, &there),
        back: back.as_ref().map(|back| leg(&prediction, back)),
    };
    let exit = if said.arrives { Exit::Done } else { Exit::No };
    let text = if format == Format::Json { json(&said)? } else { page(&said, &ground) };
    Ok(Answer { text, exit })
}

/// Who sends, from which address, to which.
pub(crate) fn ends(
    prediction: &Prediction<'_>,
    ground: &Ground,
    from: &str,
    to: &str,
) -> Result<(Machine, IpAddr, IpAddr), Failure> {
    // The sender's first address says the family where names leave it open; the receiver is who its name says, and a
    // router's own address depends on where it sends.
    let network = prediction.network();
    let first = || addresses(network.spec, network.machine(from)?).first().copied();
    let receiver = place(to, prediction, ground, from.parse().ok().or_else(first), false);
    let sender = place(from, prediction, ground, receiver.as_ref().ok().map(|there| there.address), true);
    let (sender, receiver) = match (sender, receiver) {
        (Ok(sender), Ok(receiver)) => (sender, receiver),
        (sender, receiver) => {
            let failures = [sender.err(), receiver.err()].into_iter().flatten();
            return Err(Failure::all(failures).unwrap_or_else(|| Failure::wrong("nothing to answer")));
        }
    };
    let Some(start) = sender.machine else {
        return Err(Failure::wrong(format!("no machine of the network sends from `{from}`")).hint(
            "name a node, a router, or an address: of a node, of a pod, on a LAN that may reach something",
        ));
    };
    if sender.address.is_ipv4() != receiver.address.is_ipv4() {
        return Err(Failure::wrong(format!(
            "`{}` and `{}` are of different families",
            sender.address, receiver.address
        ))
        .hint("ask between two addresses of one family"));
    }
    if !prediction.is_alive(start) {
        let name = prediction.network().name(start);
        return Err(Failure::wrong(format!("`{name}` is down in this scenario, and sends nothing"))
            .hint("ask from another machine, or leave it out of `--down`"));
    }
    Ok((start, sender.address, receiver.address))
}

/// What a name or an address means. `other` is the other end, whose family is taken; a router that sends has its address
/// in the tunnel that it sends through.
fn place(
    text: &str,
    prediction: &Prediction<'_>,
    ground: &Ground,
    other: Option<IpAddr>,
    sends: bool,
) -> Result<Place, Failure> {
    let network = prediction.network();
    let machine = match meant(text, network)? {
        Meant::Machine(machine) => machine,
        Meant::Address(address) => {
            return Ok(Place { machine: sender(address, network, ground), address });
        }
    };
    let mut addresses = addresses(network.spec, machine);
    if let (Machine::Router(_), Some(other), true) = (machine, other, sends) {
        let found = prediction.lookup(machine, other);
        let tunnel = found.and_then(|found| found.gates.first()?.tunnel.clone());
        let ends = network
            .spec
            .tunnels
            .iter()
            .filter(|one| Some(&one.name) == tunnel.as_ref())
            .flat_map(|one| &one.ends);
        let own: Vec<IpAddr> =
            ends.filter(|end| end.router == text).flat_map(|end| end.addresses.clone()).collect();
        addresses.splice(0..0, own);
    }
    let fits = |ip: &&IpAddr| other.is_none_or(|other| other.is_ipv4() == ip.is_ipv4());
    let address = addresses.iter().find(fits).or(addresses.first()).copied();
    let address = address.ok_or_else(|| Failure::wrong(format!("`{text}` has no address")))?;
    Ok(Place { machine: Some(machine), address })
}

/// What a text names.
pub(crate) enum Meant {
    Machine(Machine),
    Address(IpAddr),
}

/// Whether a text names a machine, or an address that packets can be sent to.
pub(crate) fn meant(text: &str, network: &Network<'_>) -> Result<Meant, Failure> {
    match text.parse::<IpAddr>() {
        Ok(address) if is_nobodys(address) => {
            let what = format!("`{address}` is the address of no machine that others reach");
            Err(Failure::wrong(what).hint("ask about an address of one machine, pod or service"))
        }
        Ok(address) => Ok(Meant::Address(address)),
        Err(_) => network.machine(text).map(Meant::Machine).ok_or_else(|| {
            Failure::wrong(format!("there is no node, router or address `{text}`"))
                .hint("names are those of the inventory; a pod is named by its address")
        }),
    }
}

/// Addresses that routers send nowhere (RFC 6890), or to many (RFC 5771, RFC 4291).
fn is_nobodys(address: IpAddr) -> bool {
    let alone = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    alone || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

/// Addresses of a machine on its segment.
fn addresses(spec: &NetworkSpec, machine: Machine) -> Vec<IpAddr> {
    let texts = match machine {
        Machine::Router(n) => spec.routers.get(n).map(|router| &router.addresses),
        Machine::Node(n) => spec.nodes.get(n).map(|node| &node.addresses),
    };
    let bare = |text: &String| text.split_once('/')?.0.parse().ok();
    texts.into_iter().flatten().filter_map(bare).collect()
}

/// The machine behind which an address is: its own, its pod's, on a segment of its router.
fn sender(address: IpAddr, network: &Network<'_>, ground: &Ground) -> Option<Machine> {
    let borrowed = ground.borrowed.iter().find(|(ip, _)| *ip == address).map(|(_, node)| node);
    let block = || ground.blocks.iter().find(|(net, _)| net.contains(&address)).map(|(_, node)| node);
    let lan = || {
        let behind = |router: &kmh_doc::network::RouterPlan| {
            router.originate.iter().any(|net| net.net().contains(&address))
        };
        network.spec.routers.iter().find(|router| behind(router)).map(|router| &router.name)
    };
    let name = || borrowed.or_else(block).or_else(lan);
    network.owner(address).or_else(|| network.machine(name()?))
}

fn leg(prediction: &Prediction<'_>, way: &Way) -> Leg {
    let network = prediction.network();
    let name = |machine| network.name(machine).to_owned();
    let (end, at) = match way.end {
        End::Delivered(at) => ("delivered", at),
        End::Lan(at) => ("delivered to a LAN", at),
        End::Internet(at) => ("sent to the Internet", at),
        End::Unreachable(at) => ("answered: unreachable", at),
        End::Blackhole(at) => ("dropped by a blackhole route", at),
        End::NoRoute(at) => ("no route", at),
        End::Filtered(at) => ("dropped by the packet filter", at),
        End::NextIsDown(at) => ("handed to nobody (the next machine is down, or there is none)", at),
        End::Loop(at) => ("in a loop", at),
    };
    Leg { hops: way.hops.iter().map(|hop| step(prediction, hop)).collect(), end, at: name(at) }
}

fn step(prediction: &Prediction<'_>, hop: &Hop) -> Step {
    let name = prediction.network().name(hop.machine);
    let found = hop.found.as_ref();
    let is_bgp = found.is_some_and(|found| found.origin == Origin::Bgp);
    let route: Option<Route> =
        found.filter(|_| is_bgp).and_then(|found| prediction.route(name, found.prefix));
    let best = route.as_ref().and_then(|route| route.paths.iter().find(|path| path.verdict == Verdict::Best));
    let second = route.as_ref().and_then(|route| {
        route.paths.iter().find_map(|path| match path.verdict {
            Verdict::Lost(lost_at) => {
                Some(Second { from: path.from.clone().unwrap_or_else(|| name.to_owned()), lost_at })
            }
            _ => None,
        })
    });
    Step {
        machine: name.to_owned(),
        prefix: found.map(|found| found.prefix.to_string()),
        origin: found.map(|found| origin(found.origin)),
        next_hop: hop.gate.as_ref().map(|gate| gate.next_hop),
        tunnel: hop.gate.as_ref().and_then(|gate| gate.tunnel.clone()),
        equal: found.map_or(0, |found| found.gates.len().saturating_sub(1)),
        accepted_by: best.and_then(|path| path.rule.clone()),
        as_path: best.map(|path| path.as_path.clone()).unwrap_or_default(),
        second,
        passes: hop.rule.clone(),
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Own => "own",
        Origin::Pod => "pod",
        Origin::Service => "service",
        Origin::Connected => "connected",
        Origin::Lan => "lan",
        Origin::Bgp => "bgp",
        Origin::Unreachable => "unreachable",
        Origin::Blackhole => "blackhole",
        Origin::Default => "default",
    }
}

fn page(said: &Said, ground: &Ground) -> String {
    let mut out = format!("{} to {}\n", said.from, said.to);
    out += &leg_page(&said.there);
    if let Some(back) = &said.back {
        let _ = writeln!(out, "\nand back, {} to {}", said.to, said.from);
        out += &leg_page(back);
    }
    if said.symmetric == Some(false) {
        out += "\nThe answer crosses other routers: each sees half of the connection.\n";
    }
    out += assumption(ground);
    out
}

fn leg_page(leg: &Leg) -> String {
    let mut out = String::new();
    for (number, step) in leg.hops.iter().enumerate() {
        let _ = writeln!(out, "{:>3} {}", number + 1, step.machine);
        if let (Some(prefix), Some(origin)) = (&step.prefix, step.origin) {
            let via = step.next_hop.map_or(String::new(), |ip| format!(" via {ip}"));
            let tunnel = step.tunnel.as_ref().map_or(String::new(), |name| format!(" through {name}"));
            let equal =
                if step.equal > 0 { format!(", or {} more (ECMP)", step.equal) } else { String::new() };
            let _ = writeln!(out, "      {prefix} ({origin}){via}{tunnel}{equal}");
        }
        if !step.as_path.is_empty() {
            let path: Vec<String> = step.as_path.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "      AS path {}", path.join(" "));
        }
        if let Some(rule) = &step.accepted_by {
            let _ = writeln!(out, "      accepted by {rule}");
        }
        if let Some(second) = &step.second {
            let _ = writeln!(
                out,
                "      before {}: {}",
                second.from,
                lost(second.from == step.machine, second.lost_at)
            );
        }
        if let Some(rule) = &step.passes {
            wrap(&mut out, &format!("packet filter: {rule}"), "      ");
        }
    }
    let _ = writeln!(out, "    {} at {}", leg.end, leg.at);
    out
}
