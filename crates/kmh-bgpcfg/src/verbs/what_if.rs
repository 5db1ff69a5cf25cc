//! `what-if`: what still reaches what when something is down, what moved where, and how long it took.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use kmh_cli::table::Table as Page;
use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_doc::network::{NetworkSpec, Tunnel};
use kmh_route::what_if::{Before, Impact, Traffic, Trail, What, implies, singles};
use kmh_route::{Down, Network};
use serde::Serialize;

use crate::text::{COLUMNS, wrap};

use super::{Conditions, assumption, conditions, json, network, open, whole};

/// More scenarios than this take too long to wait for.
const SCENARIOS: usize = 50_000;
/// A matrix of more sites than this does not fit a terminal.
const MATRIX: usize = 24;
/// Room for who is apart from whom, in a line of many.
const APART: usize = 30;

/// Options of `what-if`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WhatIf {
    #[command(flatten)]
    conditions: Conditions,
    /// Every single site, router, uplink, tunnel and node in turn, beside what --down names
    #[arg(long, conflicts_with = "all_pairs")]
    all_single: bool,
    /// Every two of them
    #[arg(long)]
    all_pairs: bool,
    /// With --all-single and --all-pairs: only things of these kinds
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    of: Vec<Kind>,
}

/// What can be down.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Site,
    Router,
    Uplink,
    Tunnel,
    Node,
}

/// What is printed in JSON.
#[derive(Serialize)]
struct Said {
    /// Whether the blocks were made up.
    assumed: bool,
    scenarios: Vec<Impact>,
}

/// The answer.
pub(crate) fn run(
    args: &WhatIf,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let all = args.all_single || args.all_pairs;
    if args.conditions.down.is_empty() && !all {
        return Err(Failure::wrong("nothing is down in this question")
            .hint("name it with `--down tunnel/NAME`, or try everything with `--all-single`"));
    }
    if !args.of.is_empty() && !all {
        return Err(Failure::wrong("`--of` chooses among what `--all-single` and `--all-pairs` try")
            .hint("add one of them"));
    }
    whole(context)?;
    let asked = network(stream, context)?;
    let opened = open(&asked)?;
    let (ground, named) = conditions(stream, context, &opened, &args.conditions, &[])?;
    // What is named is down in every scenario of a series; alone it is the scenario.
    let (base, scenarios) = if all {
        let is_new = |one: &Down| args.includes(one) && !implies(&opened, &named, one);
        let single: Vec<_> = singles(&opened, &ground).into_iter().filter(|(one, _)| is_new(one)).collect();
        let scenarios = if args.all_pairs { pairs(&opened, &single)? } else { single };
        (named, scenarios)
    } else {
        (Down::default(), vec![(named, Vec::new())])
    };
    let before = Before::new(kmh_route::predict(&opened, &ground, &base), &ground);
    let count = scenarios.len();
    let mut impacts = Vec::with_capacity(count);
    for (number, (scenario, like)) in scenarios.into_iter().enumerate() {
        context.progress(&format!("scenario {} of {count}", number + 1));
        let mut impact = before.when(&scenario);
        impact.like = like;
        impacts.push(impact);
    }
    let text = if format == Format::Json {
        json(&Said { assumed: ground.assumed, scenarios: impacts })?
    } else {
        let mut out = match impacts.as_slice() {
            [one] if !all => single_page(one, &sites(&asked.spec), hub(&asked.spec)),
            many => series(many),
        };
        out += assumption(&ground);
        out
    };
    Ok(Answer { text, exit: Exit::Done })
}

impl WhatIf {
    fn includes(&self, down: &Down) -> bool {
        let has = |kind: Kind| match kind {
            Kind::Site => !down.sites.is_empty(),
            Kind::Router => !down.routers.is_empty(),
            Kind::Uplink => !down.uplinks.is_empty(),
            Kind::Tunnel => !down.tunnels.is_empty(),
            Kind::Node => !down.nodes.is_empty(),
        };
        self.of.is_empty() || self.of.iter().any(|kind| has(*kind))
    }
}

/// Every two of the single ones, but not a site and its own router: that is the site alone.
fn pairs(network: &Network<'_>, single: &[(Down, Vec<String>)]) -> Result<Vec<(Down, Vec<String>)>, Failure> {
    let count = single.len() * single.len().saturating_sub(1) / 2;
    if count > SCENARIOS {
        return Err(Failure::wrong(format!("these are {count} scenarios, more than {SCENARIOS}"))
            .hint("choose kinds with `--of site,router`"));
    }
    let mut pairs = Vec::with_capacity(count);
    for (n, (a, _)) in single.iter().enumerate() {
        for (b, _) in single.iter().skip(n + 1) {
            if implies(network, a, b) || implies(network, b, a) {
                continue;
            }
            pairs.push((a.clone().and(b), Vec::new()));
        }
    }
    Ok(pairs)
}

fn sites(spec: &NetworkSpec) -> BTreeSet<&str> {
    spec.nodes.iter().map(|node| node.site.as_str()).collect()
}

/// The site at which every tunnel ends, where several others are joined by it alone.
fn hub(spec: &NetworkSpec) -> Option<&str> {
    let site_of = |name: &str| Some(spec.routers.iter().find(|router| router.name == name)?.site.as_str());
    let ends = |tunnel: &Tunnel| -> BTreeSet<&str> {
        tunnel.ends.iter().filter_map(|end| site_of(&end.router)).collect()
    };
    let mut common = ends(spec.tunnels.first()?);
    for tunnel in &spec.tunnels {
        let ends = ends(tunnel);
        common.retain(|site| ends.contains(site));
    }
    // Of two sites neither is the other's hub.
    common.into_iter().next().filter(|_| sites(spec).len() > 2)
}

/// Seconds, from and to.
fn seconds([from, to]: [u32; 2]) -> String {
    let one = |ms: u32| {
        if ms.is_multiple_of(1000) {
            (ms / 1000).to_string()
        } else {
            format!("{:.1}", f64::from(ms) / 1000.0)
        }
    };
    if from == to { format!("{} s", one(from)) } else { format!("{} to {} s", one(from), one(to)) }
}

fn between(traffic: &Traffic) -> String {
    format!("{} to {}", traffic.from, traffic.to)
}

fn kind(what: &What) -> String {
    match what {
        What::Pods => "pods".to_owned(),
        What::Nodes => "nodes".to_owned(),
        What::Service(name) => name.clone(),
    }
}

/// One line a scenario.
fn series(impacts: &[Impact]) -> String {
    let mut page = Page::new(["DOWN", "LOST", "MOVED", "OUTAGE", "APART"]);
    let harmless = |impact: &&Impact| impact.lost.is_empty() && impact.moved.is_empty();
    let idle = impacts.iter().filter(harmless).count();
    for impact in impacts.iter().filter(|impact| !harmless(impact)) {
        let mut name = impact.down.join(" ");
        if !impact.like.is_empty() {
            let _ = write!(name, " (and {} like it)", impact.like.len());
        }
        let pairs = |list: &mut dyn Iterator<Item = String>| list.collect::<BTreeSet<_>>();
        let lost = pairs(&mut impact.lost.iter().map(between));
        let moved = pairs(&mut impact.moved.iter().map(|moved| between(&moved.traffic)));
        page.row([
            &name,
            &count(&lost),
            &count(&moved),
            &impact.outage_ms.map_or_else(|| "-".to_owned(), seconds),
            &apart(&impact.partitions),
        ]);
    }
    let idle = match idle {
        0 => String::new(),
        idle => format!("{idle} scenarios change nothing for the others.\n"),
    };
    format!("{page}\n{idle}LOST and MOVED count pairs of sites. One scenario in full: --down WHAT\n")
}

/// A way for people: its routers; its tunnels where the routers are the same as before.
fn shorter(way: &Trail, other: &Trail) -> String {
    if way.routers == other.routers && !way.tunnels.is_empty() {
        way.tunnels.join(", ")
    } else {
        way.routers.join(" > ")
    }
}

/// Who is apart from whom, in few words: all names, else only those of the smaller parts.
fn apart(parts: &[Vec<String>]) -> String {
    let all: Vec<String> = parts.iter().map(|part| part.join(" ")).collect();
    let all = all.join(" | ");
    if all.chars().count() <= APART {
        return all;
    }
    let largest = parts.iter().enumerate().max_by_key(|(_, part)| part.len());
    let Some((place, rest)) = largest else { return String::new() };
    let others = parts.iter().enumerate().filter(|(other, _)| *other != place);
    let named: Vec<String> =
        others.map(|(_, part)| part.join(" ")).chain([format!("the other {}", rest.len())]).collect();
    let named = named.join(" | ");
    if named.chars().count() <= APART { named } else { format!("{} parts", parts.len()) }
}

fn count(set: &BTreeSet<String>) -> String {
    if set.is_empty() { "-".to_owned() } else { set.len().to_string() }
}

/// What became of the traffic between two sites.
#[derive(Clone, Copy)]
enum State {
    AsBefore,
    Moved,
    Lost,
    Down,
}

impl State {
    /// In words, and as a mark where there is no room for words.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::AsBefore => ("as before", "."),
            Self::Moved => ("moved", "M"),
            Self::Lost => ("lost", "L"),
            Self::Down => ("down", "-"),
        }
    }
}

fn fits(page: &str) -> bool {
    page.lines().all(|line| line.chars().count() <= COLUMNS)
}

/// From each site to each: in words, or in marks under the sites' numbers where words do not fit a terminal.
fn matrix(sites: &BTreeSet<&str>, cell: &dyn Fn(&str, &str) -> State) -> String {
    let mut wide = Page::default();
    let heading = std::iter::once("FROM / TO").chain(sites.iter().copied());
    wide.rows.push(heading.map(str::to_owned).collect());
    let mut narrow = Page::default();
    let numbers = (1..=sites.len()).map(|number| number.to_string());
    narrow.rows.push([String::new(), "FROM / TO".to_owned()].into_iter().chain(numbers).collect());
    for (number, from) in (1..).zip(sites) {
        let cells: Vec<_> = sites.iter().map(|to| cell(from, to).words()).collect();
        let words = cells.iter().map(|(words, _)| (*words).to_owned());
        wide.rows.push(std::iter::once((*from).to_owned()).chain(words).collect());
        let marks = cells.iter().map(|(_, mark)| (*mark).to_owned());
        narrow.rows.push([format!("{number}"), (*from).to_owned()].into_iter().chain(marks).collect());
    }
    let wide = wide.to_string();
    if fits(&wide) {
        format!("{wide}\n")
    } else {
        format!("{narrow}. as before, M moved, L lost, - down\n\n")
    }
}

/// A scenario in full: the matrix of sites, then what moved.
fn single_page(impact: &Impact, sites: &BTreeSet<&str>, hub: Option<&str>) -> String {
    let mut out = format!("down: {}\n\n", impact.down.join(", "));
    let lost: BTreeSet<(&str, &str)> = impact
        .lost
        .iter()
        .filter(|traffic| !matches!(traffic.what, What::Service(_)))
        .map(|traffic| (traffic.from.as_str(), traffic.to.as_str()))
        .collect();
    let moved: BTreeSet<(&str, &str)> =
        impact.moved.iter().map(|one| (one.traffic.from.as_str(), one.traffic.to.as_str())).collect();
    let is_down = |site: &str| impact.down.iter().any(|name| name.strip_prefix("site/") == Some(site));
    if let Some(hub) = hub.filter(|hub| is_down(hub)) {
        let _ = write!(
            out,
            "`{hub}` is the hub, where every tunnel ends: without it no two sites are joined\n\n"
        );
    }
    if sites.len() <= MATRIX {
        let cell = |from: &str, to: &str| match (lost.contains(&(from, to)), moved.contains(&(from, to))) {
            _ if is_down(from) || is_down(to) => State::Down,
            (true, _) => State::Lost,
            (false, true) => State::Moved,
            (false, false) => State::AsBefore,
        };
        out += &matrix(sites, &cell);
    }
    if !impact.lost.is_empty() {
        let mut by_pair: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for traffic in &impact.lost {
            by_pair.entry(between(traffic)).or_default().insert(kind(&traffic.what));
        }
        out += "lost, as long as this is down:\n";
        for (pair, kinds) in by_pair {
            let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
            wrap(&mut out, &format!("{pair}: {kinds}"), "  ");
        }
    }
    if !impact.moved.is_empty() {
        let mut page = Page::new(["MOVED", "WHAT", "BEFORE", "NOW", "LOST FOR"]);
        // Pods and nodes of both families mostly go alike: one line for all that do.
        let mut alike: BTreeMap<(String, String, String, String), BTreeSet<String>> = BTreeMap::new();
        for one in &impact.moved {
            let (before, after) = (shorter(&one.before, &one.after), shorter(&one.after, &one.before));
            let part = if one.part { ", a part" } else { "" };
            let lost = match (one.outage_ms, one.before.routers.first() != one.after.routers.first()) {
                ([0, 0], true) => "gateway's move".to_owned(),
                (range, true) => format!("{}{part} + gateway's move", seconds(range)),
                (range, false) => seconds(range) + part,
            };
            let kinds = alike.entry((between(&one.traffic), before, after, lost)).or_default();
            kinds.insert(kind(&one.traffic.what));
        }
        let mut stacked = String::new();
        for ((pair, before, after, lost), kinds) in alike {
            let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
            wrap(&mut stacked, &format!("moved, {pair}: {kinds}"), "");
            for (what, how) in [("before", &before), ("now", &after), ("lost for", &lost)] {
                wrap(&mut stacked, &format!("{what}: {how}"), "  ");
            }
            page.row([&pair, &kinds, &before, &after, &lost]);
        }
        // Of long names a table is wider than a terminal.
        let table = page.to_string();
        out += if fits(&table) { &table } else { &stacked };
    }
    if impact.lost.is_empty() && impact.moved.is_empty() {
        out += "nothing else changes\n";
    }
    if !impact.partitions.is_empty() {
        let groups: Vec<String> = impact.partitions.iter().map(|group| group.join(", ")).collect();
        wrap(&mut out, &format!("apart: {}", groups.join(" | ")), "");
    }
    out
}
