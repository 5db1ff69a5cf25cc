//! `trace`: the way of a packet and of its answer, hop by hop as the kernels route them, beside what is predicted.

pub(crate) mod walk;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use kmh_cli::text::printable;
use kmh_cli::{Answer, Context, Exit, Failure, Format};
use kmh_route::{Prediction, way};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::machine::{ended, output};
use crate::memory::{on_wires, space};
use crate::plan::INTERNET;
use crate::plan::wires::End;
use crate::probe::ends::{Endpoint, Kind, endpoints};
use crate::state::{LabName, State};
use crate::weather::plan::Weather;
use crate::weather::{Lab, json, names};
use walk::{Fate, Ground, Hop, Route, understood};

/// One machine on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Step {
    machine: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enters: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaves: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<String>,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Leg {
    from: IpAddr,
    to: IpAddr,
    hops: Vec<Step>,
    /// How it ends.
    end: &'static str,
    /// Whether the packet arrives.
    arrives: bool,
    /// Routers and nodes on the way as predicted; none where nothing is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<Vec<String>>,
    /// Whether the kernels do what is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_predicted: Option<bool>,
}

#[derive(Serialize)]
struct Said {
    broken: Vec<String>,
    there: Leg,
    /// The answer's way, when the packet arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    back: Option<Leg>,
}

#[derive(Deserialize)]
struct Interface {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
}

/// Who has which address now: gateways move, and link-local addresses nobody plans.
fn owners(lab: &LabName, state: &State) -> Result<BTreeMap<IpAddr, Vec<End>>, Failure> {
    let mut found: BTreeMap<IpAddr, Vec<End>> = BTreeMap::new();
    let inner = state.routers.values().map(|inner| format!("{}/{}", inner.machine, inner.netns));
    for space in state.wires.spaces.iter().cloned().chain(inner) {
        let text = output(on_wires(lab, state, &space, ["ip", "-j", "addr"])?, &[])?;
        let interfaces: Vec<Interface> = serde_json::from_str(&text)
            .map_err(|error| Failure::world("`ip -j addr` cannot be understood").because(error))?;
        for interface in interfaces.iter().filter(|interface| interface.ifname != "lo") {
            for address in interface.addr_info.iter().filter_map(|address| address.local) {
                found.entry(address).or_default().push(End::new(&space, &interface.ifname));
            }
        }
    }
    Ok(found)
}

/// Where a trace begins or ends.
struct Place<'e> {
    end: Option<&'e Endpoint>,
    address: IpAddr,
}

fn endpoint<'e>(ends: &'e [Endpoint], name: &str) -> Result<&'e Endpoint, Failure> {
    ends.iter().find(|end| end.name == name).ok_or_else(|| {
        let known: Vec<&str> = ends.iter().map(|end| end.name.as_str()).collect();
        let failure = Failure::wrong(format!("the lab has no machine or pod `{}`", printable(name)));
        let near = kmh_doc::decode::nearest(name, &known);
        failure.hint(near.unwrap_or_else(|| format!("it has {}", names::some_of(&known))))
    })
}

/// Both places, of one family.
fn places<'e>(ends: &'e [Endpoint], from: &str, to: &str) -> Result<(Place<'e>, Place<'e>), Failure> {
    let target: Result<IpAddr, _> = to.parse();
    let (sender, receiver) = match (endpoint(ends, from), target) {
        (sender, Ok(address)) => {
            let sender = sender?;
            (sender, (ends.iter().find(|end| end.addresses.contains(&address)), vec![address]))
        }
        (sender, Err(_)) => match (sender, endpoint(ends, to)) {
            (Ok(sender), Ok(receiver)) => (sender, (Some(receiver), receiver.addresses.clone())),
            (Err(a), Err(b)) => return Err(a.and(b)),
            (Err(one), _) | (_, Err(one)) => return Err(one),
        },
    };
    let (receiver, targets) = receiver;
    let pair = targets.iter().find_map(|target| {
        let source = sender.addresses.iter().find(|source| source.is_ipv6() == target.is_ipv6())?;
        Some((*source, *target))
    });
    let Some((source, target)) = pair else {
        return Err(Failure::wrong(format!("`{from}` and `{to}` have no address of the same family")));
    };
    Ok((Place { end: Some(sender), address: source }, Place { end: receiver, address: target }))
}

/// The answer.
pub(crate) fn run(
    args: &args::Trace,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let lab = Lab::open(lab)?;
    let ends = endpoints(&lab.memory, &lab.state);
    let (from, to) = places(&ends, &args.from, &args.to)?;
    let broken = lab.broken();
    let network = lab.memory.open()?;
    let routes = lab.memory.ground();
    let prediction = kmh_route::predict(&network, &routes, &lab.down());
    context.progress("asking who has which address");
    let ground = Ground {
        state: &lab.state,
        memory: &lab.memory,
        owners: owners(&lab.name, &lab.state)?,
        filters: Weather::of(&lab.memory, &lab.state, &broken).filters,
    };
    let there = leg(&lab, &ground, &prediction, &from, &to)?;
    // The answer to a Service comes from a pod: another way for each.
    let back = match to.end {
        Some(_) if there.arrives => Some(leg(&lab, &ground, &prediction, &to, &from)?),
        _ => None,
    };
    let legs = || std::iter::once(&there).chain(&back);
    let is_wrong = legs().any(|leg| leg.as_predicted == Some(false));
    let is_lost = legs().any(|leg| !leg.arrives);
    let exit = if is_wrong || is_lost { Exit::No } else { Exit::Done };
    let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
    let said = Said { broken, there, back };
    let text = if format == Format::Json { json(&said)? } else { page(&said, &args.from, &args.to) };
    Ok(Answer { text, exit })
}

fn leg(
    lab: &Lab,
    ground: &Ground<'_>,
    prediction: &Prediction<'_>,
    from: &Place<'_>,
    to: &Place<'_>,
) -> Result<Leg, Failure> {
    let (source, target) = (from.address, to.address);
    let Some(sender) = from.end else { return Err(Failure::wrong("nobody sends")) };
    let (hops, fate) = ground.walk(&sender.space, target, |space, enters| {
        let (target, source) = (target.to_string(), source.to_string());
        let mut words = vec!["ip", "-j", "route", "get", &target, "from", &source];
        words.extend(enters.iter().flat_map(|interface| ["iif", interface]));
        let ran = ended(&mut on_wires(&lab.name, &lab.state, space, words)?, &[])?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok::<_, Failure>(understood(ran.status.success(), &text(&ran.stdout), &text(&ran.stderr)))
    })?;
    let steps: Vec<Step> = hops.iter().map(|hop| step(lab, hop)).collect();
    // What a segment may reach is a matter of ports, and of the laptop the network document knows nothing.
    let is_known = |end: &Endpoint| !matches!(end.kind, Kind::Lan | Kind::Operator);
    let is_asked = is_known(sender) && to.end.is_none_or(is_known);
    let predicted = is_asked.then(|| predicted(prediction, sender, source, target)).flatten();
    let known: Vec<&str> = steps
        .iter()
        .map(|step| step.machine.as_str())
        .filter(|name| prediction.network().machine(name).is_some())
        .collect();
    let (arrives, end) = (matches!(fate, Fate::Delivered | Fate::Service), words(&fate));
    // What the Internet does with a packet is not predicted.
    let is_out = steps.last().is_some_and(|step| step.machine == INTERNET);
    let fate = |says: bool| says == (arrives || is_out);
    let as_predicted = predicted.as_ref().map(|(machines, says)| *machines == known && fate(*says));
    Ok(Leg {
        from: source,
        to: target,
        hops: steps,
        end,
        arrives,
        predicted: predicted.map(|(machines, _)| machines),
        as_predicted,
    })
}

fn words(fate: &Fate) -> &'static str {
    match fate {
        Fate::Delivered => "delivered",
        Fate::Service => "delivered to the Service, which chooses a pod",
        Fate::NoRoute => "no route",
        Fate::Nobody => "handed to nobody: no one there has that address",
        Fate::Cut => "vanishes: this is cut",
        Fate::Loop => "in a loop",
    }
}

/// Routers and nodes on the predicted way, and whether it arrives.
fn predicted(
    prediction: &Prediction<'_>,
    sender: &Endpoint,
    source: IpAddr,
    target: IpAddr,
) -> Option<(Vec<String>, bool)> {
    let network = prediction.network();
    let start = network.machine(sender.machine.as_deref()?)?;
    let way = way(prediction, start, Some(source), target);
    let names = way.hops.iter().map(|hop| network.name(hop.machine).to_owned()).collect();
    Some((names, way.end.arrives()))
}

/// A hop under the name that people know.
fn step(lab: &Lab, hop: &Hop) -> Step {
    let routers = lab.memory.network.routers.iter();
    let named = routers.clone().find(|router| space(&lab.state, &router.name) == hop.space);
    let machine = named.map_or(hop.space.as_str(), |router| router.name.as_str());
    let (leaves, next_hop, says) = match &hop.route {
        Route::Local => (None, None, None),
        Route::Out { interface, gateway } => (Some(interface.clone()), *gateway, None),
        Route::None(says) => (None, None, Some(says.clone())),
    };
    let is_ours = |tunnel: &&kmh_doc::network::Tunnel| {
        tunnel.ends.iter().any(|end| end.router == machine && Some(&end.interface) == leaves.as_ref())
    };
    let tunnel = lab.memory.network.tunnels.iter().find(is_ours).map(|tunnel| tunnel.name.clone());
    Step { machine: machine.to_owned(), enters: hop.enters.clone(), leaves, next_hop, tunnel, says }
}

fn page(said: &Said, from: &str, to: &str) -> String {
    let mut out = String::new();
    if !said.broken.is_empty() {
        let _ = writeln!(out, "broken: {}\n", said.broken.join(", "));
    }
    out += &leg_page(&said.there, from, to);
    if let Some(back) = &said.back {
        let _ = write!(out, "\nand back\n{}", leg_page(back, to, from));
    }
    out
}

fn leg_page(leg: &Leg, from: &str, to: &str) -> String {
    let with = |name: &str, address: IpAddr| {
        if name.parse() == Ok(address) { name.to_owned() } else { format!("{name} ({address})") }
    };
    let mut out = format!("{} to {}\n", with(from, leg.from), with(to, leg.to));
    for (number, step) in leg.hops.iter().enumerate() {
        let _ = write!(out, "{:>3} {}", number + 1, step.machine);
        if let Some(enters) = &step.enters {
            let _ = write!(out, ", in by {enters}");
        }
        if let Some(leaves) = &step.leaves {
            let _ = write!(out, ", out by {leaves}");
        }
        if let Some(next) = step.next_hop {
            let _ = write!(out, " via {next}");
        }
        if let Some(tunnel) = &step.tunnel {
            let _ = write!(out, " through {tunnel}");
        }
        if let Some(says) = &step.says {
            let _ = write!(out, ": {says}");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "    {}", leg.end);
    match (leg.as_predicted, &leg.predicted) {
        (Some(true), _) => out += "    as predicted\n",
        (Some(false), Some(machines)) => {
            let _ = writeln!(out, "    predicted: {}", machines.join(" > "));
        }
        _ => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_both_ways_and_where_the_kernels_do_otherwise() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let step = |machine: &str, enters: Option<&str>, leaves: Option<&str>| Step {
            machine: machine.to_owned(),
            enters: enters.map(str::to_owned),
            leaves: leaves.map(str::to_owned),
            next_hop: leaves.map(|_| ip("10.10.0.1")),
            tunnel: leaves.filter(|name| name.starts_with("ipsec")).map(|_| "a--b".to_owned()),
            says: None,
        };
        let there = Leg {
            from: ip("10.10.0.11"),
            to: ip("10.20.0.21"),
            hops: vec![
                step("attic-1", None, Some("eth0")),
                step("fw-attic", Some("opt2"), Some("ipsec1")),
                step("pi-1", Some("eth0"), None),
            ],
            end: "delivered",
            arrives: true,
            predicted: Some(vec![]),
            as_predicted: Some(true),
        };
        let back = Leg {
            from: there.to,
            to: there.from,
            hops: vec![Step { says: Some("network is unreachable".to_owned()), ..step("pi-1", None, None) }],
            end: "no route",
            arrives: false,
            predicted: Some(["pi-1", "fw-flat"].map(str::to_owned).into()),
            as_predicted: Some(false),
        };
        let said = Said { broken: vec!["tunnel/x".to_owned()], there, back: Some(back) };
        let expected = "broken: tunnel/x\n\n\
            attic-1 (10.10.0.11) to 10.20.0.21\n  \
              1 attic-1, out by eth0 via 10.10.0.1\n  \
              2 fw-attic, in by opt2, out by ipsec1 via 10.10.0.1 through a--b\n  \
              3 pi-1, in by eth0\n    \
                delivered\n    as predicted\n\
            \nand back\n\
            10.20.0.21 to attic-1 (10.10.0.11)\n  \
              1 pi-1: network is unreachable\n    \
                no route\n    predicted: pi-1 > fw-flat\n";
        assert_eq!(page(&said, "attic-1", "10.20.0.21"), expected);
    }
}
