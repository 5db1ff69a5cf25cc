//! Whether the tunnels that the inventory asks for can exist: both ends meet, the numbers suffice.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::inventory::{Inventory, Router, RouterKind, Shape, Tunnels};
use kmh_doc::{Code, Label, Problem};

use crate::address;
use crate::report::Report;
use crate::topology::{self, Topology, ordered};
use crate::tunnels::{self, End, Obstacle};

/// Highest reqid that pfSense's form takes; the tunnel's number is its reqid.
const PFSENSE_REQID: u32 = 15999;
/// Highest router ids whose numbers pfSense takes: with one line each, and with four (pair numbers below a thousand).
const PFSENSE_IDS: [u16; 2] = [179, 45];
/// Not more than this many pairs are named; with one unreachable router there may be thousands.
const NAMED: usize = 20;

/// A router and where it is written.
struct Written<'a> {
    router: &'a Router,
    site: &'a Label,
    path: String,
}

/// A tunnel that is asked for.
struct Asked<'a> {
    low: &'a Written<'a>,
    high: &'a Written<'a>,
    lines: [u8; 2],
}

impl Asked<'_> {
    fn index(&self) -> u32 {
        tunnels::index(self.low.router.id, self.high.router.id, self.lines)
    }

    fn name(&self) -> String {
        tunnels::name(&self.low.router.name, &self.high.router.name, self.lines)
    }
}

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let Some(tunnels) = &inventory.tunnels else { return };
    shape(tunnels, report);
    let mut routers: Vec<Written<'_>> = Vec::new();
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            routers.push(Written { router, site: &site.name, path: format!("spec.sites[{s}].routers[{r}]") });
        }
    }
    routers.sort_by_key(|written| written.router.id);
    let topology = Topology::of(tunnels);
    if let Topology::List(pairs) = &topology {
        whole(&routers, pairs, report);
    }
    let (mut asked, mut apart): (Vec<Asked<'_>>, Vec<Apart<'_>>) = (Vec::new(), Vec::new());
    for (n, low) in routers.iter().enumerate() {
        for high in routers.iter().skip(n + 1).filter(|high| topology.joins(low.site, high.site)) {
            // Ids and lines that are there twice are refused elsewhere, and would only collide here.
            if low.router.id == high.router.id {
                continue;
            }
            match joints(low, high) {
                Ok(lines) => {
                    asked.extend(lines.into_iter().map(|lines| Asked { low, high, lines }));
                }
                Err(obstacle) => apart.push(Apart { low, high, obstacle }),
            }
        }
    }
    names(&asked, report);
    meetings(&routers, &asked, &apart, &topology, report);
    collisions(&asked, report);
    range(inventory, &asked, report);
    pfsense(&asked, report);
}

/// Statements about the shape that cannot all hold.
fn shape(tunnels: &Tunnels, report: &mut Report<'_>) {
    let contradiction = |path: &str, message: String, hint: &str| {
        Problem::error(Code::Contradiction, path, message).hint(hint)
    };
    let word = match tunnels.shape {
        Some(Shape::Mesh) => "mesh",
        Some(Shape::Hub) => "hub",
        Some(Shape::List) => "list",
        None => "",
    };
    match (tunnels.shape, &tunnels.hub) {
        (Some(Shape::Hub), None) => report.add(
            Problem::error(Code::MissingKey, "spec.tunnels", "`shape: hub` needs a `hub`")
                .hint("name the site that every tunnel has at one end"),
        ),
        (Some(Shape::List), Some(hub)) => report.add(contradiction(
            "spec.tunnels.hub",
            format!("`shape: list` and `hub: {hub}` cannot both hold"),
            "remove `hub`; a hub's pairs can stand in `pairs`",
        )),
        (None, Some(hub)) if !tunnels.pairs.is_empty() => report.add(contradiction(
            "spec.tunnels.pairs",
            format!("`pairs` and `hub: {hub}` cannot both hold"),
            "remove one of them",
        )),
        _ => {}
    }
    if tunnels.shape == Some(Shape::List) && tunnels.pairs.is_empty() {
        report.add(
            Problem::error(Code::MissingKey, "spec.tunnels", "`shape: list` needs `pairs`")
                .hint("name the sites that are joined, such as `pairs: [[attic, vps], [flat, vps]]`"),
        );
    }
    if matches!(tunnels.shape, Some(Shape::Mesh | Shape::Hub)) && !tunnels.pairs.is_empty() {
        report.add(contradiction(
            "spec.tunnels.pairs",
            format!("`pairs` and `shape: {word}` cannot both hold"),
            "remove `pairs`, or write `shape: list`",
        ));
    }
    let mut seen: BTreeMap<(&Label, &Label), String> = BTreeMap::new();
    for (n, [one, other]) in tunnels.pairs.iter().enumerate() {
        let path = format!("spec.tunnels.pairs[{n}]");
        if one == other {
            report.add(contradiction(
                &path,
                format!("`{one}` cannot be joined to itself"),
                "the routers of a site speak to each other over its node segment",
            ));
        } else if let Some(first) = seen.get(&ordered(one, other)) {
            let cause = format!("it stands at {} already", report.place(first));
            report.add(
                Problem::error(Code::DuplicateName, path, format!("`{one}` and `{other}` are joined twice"))
                    .because(cause)
                    .hint("remove one of them; each pair has a tunnel for every two lines that can meet"),
            );
        } else {
            seen.insert(ordered(one, other), path);
        }
    }
}

/// Whether a list leaves every site with routers in one piece: a site that nothing leads to has no API server.
fn whole<'a>(routers: &[Written<'a>], pairs: &BTreeSet<(&'a Label, &'a Label)>, report: &mut Report<'_>) {
    let sites: BTreeSet<&Label> = routers.iter().map(|written| written.site).collect();
    let parts = topology::parts(&sites, pairs);
    let Some((first, others)) = parts.split_first() else { return };
    for part in others {
        let said = |sites: &[&Label]| {
            let names: Vec<String> = sites.iter().take(NAMED).map(|site| format!("`{site}`")).collect();
            names.join(", ")
        };
        let mut pairs = first.iter().flat_map(|one| part.iter().map(move |other| (*one, *other)));
        let problem = Problem::error(
            Code::Partitioned,
            "spec.tunnels.pairs",
            format!("nothing joins {} to {}", said(part), said(first)),
        )
        .because("nodes and pods would not reach those of the other sites");
        report.add(match pairs.find(|(one, other)| can_meet(routers, one, other)) {
            Some((one, other)) => problem.hint(format!("add a pair such as `[{one}, {other}]`")),
            None => problem.hint("give a router of one of them a public address, and add the pair"),
        });
    }
}

/// Whether every router of one site can meet every router of another.
fn can_meet(routers: &[Written<'_>], one: &Label, other: &Label) -> bool {
    let of = |site: &Label| -> Vec<&Written<'_>> { routers.iter().filter(|r| r.site == site).collect() };
    let others = of(other);
    of(one).iter().all(|one| others.iter().all(|other| meet(one, other)))
}

/// Whether two routers can meet.
fn meet(one: &Written<'_>, other: &Written<'_>) -> bool {
    let (low, high) = if one.router.id < other.router.id { (one, other) } else { (other, one) };
    joints(low, high).is_ok()
}

/// `a` with `b--c` and `a--b` with `c` make one name.
fn names(asked: &[Asked<'_>], report: &mut Report<'_>) {
    let mut seen: BTreeMap<String, &Asked<'_>> = BTreeMap::new();
    for tunnel in asked {
        let name = tunnel.name();
        let (low, high) = (&tunnel.low.router.name, &tunnel.high.router.name);
        let Some(other) = seen.get(&name) else {
            seen.insert(name, tunnel);
            continue;
        };
        let (a, b) = (&other.low.router.name, &other.high.router.name);
        // Routers of one name are refused elsewhere.
        if (a, b) != (low, high) {
            report.add(
                Problem::error(
                    Code::DuplicateName,
                    format!("{}.name", tunnel.high.path),
                    format!("two tunnels have the name `{name}`"),
                )
                .because(format!("`{a}` with `{b}`, and `{low}` with `{high}`"))
                .hint("rename one of the routers; `--` stands between the two names of a tunnel"),
            );
        }
    }
}

/// Two routers that cannot meet.
struct Apart<'a> {
    low: &'a Written<'a>,
    high: &'a Written<'a>,
    obstacle: Option<Obstacle>,
}

fn joints(low: &Written<'_>, high: &Written<'_>) -> Result<BTreeSet<[u8; 2]>, Option<Obstacle>> {
    let [a, b] =
        [low, high].map(|written| End { kind: written.router.kind, uplinks: &written.router.uplinks });
    Ok(tunnels::joints(&a, &b)?.into_iter().map(|joint| joint.lines).collect())
}

/// A site of which every router of another one can meet one.
fn possible_hub<'a>(routers: &[Written<'a>]) -> Option<&'a Label> {
    let sites: BTreeSet<&Label> = routers.iter().map(|written| written.site).collect();
    sites.into_iter().find(|site| {
        let hubs: Vec<&Written<'_>> = routers.iter().filter(|one| one.site == *site).collect();
        routers
            .iter()
            .filter(|other| other.site != *site)
            .all(|other| hubs.iter().any(|one| meet(one, other)))
    })
}

/// Routers that cannot meet, and that no hub joins.
fn meetings(
    routers: &[Written<'_>],
    asked: &[Asked<'_>],
    apart: &[Apart<'_>],
    topology: &Topology<'_>,
    report: &mut Report<'_>,
) {
    // Ids of routers at the fallback hub, or with a tunnel to it.
    let fallback = topology.fallback();
    let at_hub = |written: &Written<'_>| Some(written.site) == fallback;
    let reach: BTreeSet<u16> = asked
        .iter()
        .filter(|tunnel| at_hub(tunnel.low) || at_hub(tunnel.high))
        .flat_map(|tunnel| [tunnel.low.router.id, tunnel.high.router.id])
        .chain(routers.iter().filter(|one| at_hub(one)).map(|one| one.router.id))
        .collect();
    let mut better = None;
    let refused = apart.iter().filter(|apart| {
        // A router without a line is asked for one elsewhere.
        apart.obstacle.is_some()
            && ![apart.low, apart.high].iter().all(|written| reach.contains(&written.router.id))
    });
    for Apart { low, high, obstacle } in refused.take(NAMED) {
        let Some(obstacle) = obstacle else { continue };
        let why = match obstacle {
            Obstacle::BothHidden => "both ends are behind carrier NAT or have no address".to_owned(),
            Obstacle::UnknownToPfsense => "pfSense takes a routed tunnel only from an address or name that it knows, and the other end has none".to_owned(),
            Obstacle::Families => "one end has an IPv4 address, the other an IPv6 address".to_owned(),
        };
        let hub = match topology {
            Topology::Mesh { fallback: None } => *better.get_or_insert_with(|| possible_hub(routers)),
            _ => None,
        };
        let hint = match hub {
            Some(site) => format!(
                "give one end a public address, or let `{site}` carry what cannot meet: `tunnels: {{shape: mesh, hub: {site}}}`"
            ),
            None => "give one end a public address".to_owned(),
        };
        report.add(
            Problem::error(
                Code::UnreachableTunnel,
                format!("{}.uplinks[0]", high.path),
                format!("router `{}` cannot accept a tunnel from `{}`", high.router.name, low.router.name),
            )
            .because(why)
            .hint(hint),
        );
    }
}

/// Numbers that two tunnels would share. Those of further lines stand a thousand apart, so pair numbers from a thousand on
/// may meet them.
fn collisions(asked: &[Asked<'_>], report: &mut Report<'_>) {
    let mut owners: BTreeMap<u32, &Asked<'_>> = BTreeMap::new();
    let mut named = 0;
    for tunnel in asked {
        let index = tunnel.index();
        let Some(other) = owners.get(&index) else {
            owners.insert(index, tunnel);
            continue;
        };
        // Two lines of one number are refused elsewhere.
        if (other.low.router.id, other.high.router.id) == (tunnel.low.router.id, tunnel.high.router.id) {
            continue;
        }
        named += 1;
        if named > NAMED {
            break;
        }
        let later = if tunnel.high.router.id >= other.high.router.id { tunnel } else { other };
        report.add(
            Problem::error(
                Code::TunnelNumber,
                format!("{}.id", later.high.path),
                format!("the tunnels `{}` and `{}` would both have the number {index}", other.name(), tunnel.name()),
            )
            .because("a pair of routers has the numbers of its further lines a thousand apart, and only 999 pairs fit between them")
            .hint(format!(
                "give the routers ids up to {} where some have several lines",
                PFSENSE_IDS[1]
            )),
        );
    }
}

/// Whether the tunnel range has a network for the highest number.
fn range(inventory: &Inventory, asked: &[Asked<'_>], report: &mut Report<'_>) {
    let Some(last) = asked.iter().max_by_key(|tunnel| tunnel.index()) else { return };
    let highest = last.index();
    let ranges = inventory.tunnels.iter().flat_map(|tunnels| tunnels.network.iter()).enumerate();
    for (i, cidr) in ranges {
        let net: IpNet = cidr.net();
        let prefix = tunnels::prefix(&net);
        if address::nth_subnet(net, prefix, highest).is_some() {
            continue;
        }
        let bits = u32::BITS - highest.leading_zeros();
        let path = report.item("spec.tunnels.network", i);
        let cause = match last.lines {
            [1, 1] => format!(
                "the tunnel between `{}` and `{}` has number {highest}, and takes the /{prefix} of that number",
                last.low.router.name, last.high.router.name
            ),
            _ => format!(
                "the tunnel `{}` has number {highest}, and takes the /{prefix} of that number",
                last.name()
            ),
        };
        report.add(
            Problem::error(Code::TunnelRange, path, format!("the tunnel range `{net}` is too small"))
                .because(cause)
                .hint(format!("give it a /{} or a larger one", u32::from(prefix).saturating_sub(bits))),
        );
    }
}

/// Whether pfSense takes the numbers of its tunnels.
fn pfsense(asked: &[Asked<'_>], report: &mut Report<'_>) {
    let too_high = asked.iter().find(|tunnel| {
        [tunnel.low, tunnel.high].iter().any(|end| end.router.kind == RouterKind::Pfsense)
            && tunnel.index() > PFSENSE_REQID
    });
    let Some(tunnel) = too_high else { return };
    let Asked { low, high, lines } = tunnel;
    let most = PFSENSE_IDS[usize::from(*lines != [1, 1])];
    report.add(
        Problem::error(
            Code::OutOfRange,
            format!("{}.id", high.path),
            format!(
                "the id {} of `{}` is too high for a tunnel with pfSense",
                high.router.id, high.router.name
            ),
        )
        .because(format!(
            "pfSense takes tunnel numbers up to {PFSENSE_REQID}, and the one with `{}` is {}",
            low.router.name,
            tunnel.index()
        ))
        .hint(format!("use ids up to {most}")),
    );
}
