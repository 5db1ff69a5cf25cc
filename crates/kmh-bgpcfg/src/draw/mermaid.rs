//! Mermaid, for pages in Markdown: a flowchart of the documented subset that every renderer of the last years reads.
//!
//! Pages refuse a flowchart with more than 500 links (`maxEdges`, which the diagram itself may not raise). Of a large
//! network nodes therefore have no lines, their place says where they belong; and tunnels are links to one node in the
//! middle, except those that are down or on the path.

use std::fmt::Write as _;

use super::card::dead_mark;
use super::escape::mermaid as quote;
use super::scene::{Machine, Peering, Scene, asns, count, kind};

/// Links that a page draws.
const LINKS: usize = 500;
/// How many of them sessions may take.
const SESSIONS: usize = 200;
/// Links of a path, which are drawn whatever else is: a few.
const ALWAYS: usize = 20;

/// The flowchart being written: links have numbers, by which their style is given.
#[derive(Default)]
struct Chart {
    out: String,
    links: usize,
    dead: Vec<usize>,
    path: Vec<usize>,
}

impl Chart {
    fn link(&mut self, from: &str, arrow: &str, label: Option<&str>, to: &str, dead: bool, on_path: bool) {
        let label = label.map_or_else(String::new, |label| format!("|{}|", quote(label)));
        let _ = writeln!(self.out, "  {from} {arrow}{label} {to}");
        if dead {
            self.dead.push(self.links);
        } else if on_path {
            self.path.push(self.links);
        }
        self.links += 1;
    }

    fn styled(&mut self, links: &[usize], style: &str) {
        if !links.is_empty() {
            let numbers: Vec<String> = links.iter().map(ToString::to_string).collect();
            let _ = writeln!(self.out, "  linkStyle {} {style}", numbers.join(","));
        }
    }
}

/// The whole flowchart.
pub(super) fn mermaid(scene: &Scene<'_>) -> String {
    let mut chart = Chart { out: "flowchart TB\n".to_owned(), ..Chart::default() };
    let mut told = vec![scene.title.clone(), scene.summary.join(" · ")];
    told.extend(scene.path.iter().chain(&scene.down).cloned());
    for line in told {
        // A comment ends with its line; one that begins with a brace would be a directive.
        let _ = writeln!(chart.out, "  %% {}", line.replace(['\n', '\r', '{', '}'], " "));
    }
    let mut classes: Vec<(String, &str)> = Vec::new();
    for (number, site) in scene.sites.iter().enumerate() {
        let mut label = vec![dead_mark(site.down, site.name), asns(&site.asns)];
        label.extend(site.networks.iter().map(|net| format!("nodes {net}")));
        label.extend(site.pods.iter().map(|net| format!("pods {net}")));
        let _ = writeln!(chart.out, "  subgraph s{number}[{}]", quote(&label.join("\n")));
        for &i in &site.routers {
            let router = &scene.routers[i];
            let label = format!("{}\n{}", dead_mark(router.down, &router.plan.name), kind(router.plan));
            let _ = writeln!(chart.out, "    r{i}[{}]", quote(&label));
            classes.extend(class(format!("r{i}"), router.down, router.on_path));
        }
        for &i in &site.shown {
            let node = &scene.nodes[i];
            let mut label = dead_mark(node.down, &node.plan.name);
            if scene.node_asns {
                let _ = write!(label, "\nAS {}", node.plan.asn);
            }
            let _ = writeln!(chart.out, "    n{i}({})", quote(&label));
            classes.extend(class(format!("n{i}"), node.down, node.on_path));
        }
        let hidden = site.nodes.len() - site.shown.len();
        if hidden > 0 {
            let what = if site.shown.is_empty() { count(hidden, "node") } else { format!("{hidden} more") };
            let _ = writeln!(chart.out, "    m{number}({})", quote(&what));
        }
        chart.out.push_str("  end\n");
        classes.extend(class(format!("s{number}"), site.down, false));
    }
    let drawn: Vec<(&Peering<'_>, String)> = scene
        .sessions
        .iter()
        .filter_map(|peering| match peering.peer {
            Machine::Router(i) => Some((peering, format!("r{i}"))),
            Machine::Node(i) => scene.shows(i).then(|| (peering, format!("n{i}"))),
        })
        .collect();
    // Those with nodes that are not shown, one by router.
    let groups: Vec<(usize, usize)> = scene
        .sites
        .iter()
        .enumerate()
        .filter(|(_, site)| site.nodes.len() > site.shown.len())
        .flat_map(|(number, site)| site.routers.iter().map(move |router| (*router, number)))
        .collect();
    let sessions = drawn.len() + groups.len() <= SESSIONS;
    let taken = if sessions { drawn.len() + groups.len() } else { 0 };
    let many = scene.tunnels.len() + taken + ALWAYS > LINKS;
    if many {
        let _ = writeln!(chart.out, "  tunnels{{{{{}}}}}", quote(&count(scene.tunnels.len(), "tunnel")));
        let mut joined: Vec<usize> = scene.tunnels.iter().flat_map(|link| link.ends).collect();
        joined.sort_unstable();
        joined.dedup();
        for router in joined {
            chart.link(&format!("r{router}"), "---", None, "tunnels", false, false);
        }
    }
    for (i, link) in scene.tunnels.iter().enumerate() {
        let on_path = scene.on_path(i);
        if many && !on_path && (!link.down || chart.links + taken + ALWAYS > LINKS) {
            continue;
        }
        let arrow = if link.plan.rank > 0 || link.down { "-.-" } else { "---" };
        let label = if link.down { "× down".to_owned() } else { format!("MTU {}", link.plan.mtu) };
        let [a, b] = link.ends.map(|router| format!("r{router}"));
        chart.link(&a, arrow, Some(&label), &b, link.down, on_path);
    }
    for (router, number) in groups.iter().filter(|_| sessions) {
        chart.link(&format!("r{router}"), "---", None, &format!("m{number}"), false, false);
    }
    for (peering, peer) in drawn {
        let on_path = scene.along(peering);
        if sessions || on_path {
            let arrow = if matches!(peering.peer, Machine::Router(_)) { "-.-" } else { "---" };
            chart.link(&format!("r{}", peering.router), arrow, None, &peer, peering.down, on_path);
        }
    }
    for step in scene.bare_steps() {
        let [from, to] = [step.from, step.to].map(|machine| match machine {
            Machine::Router(i) => format!("r{i}"),
            Machine::Node(i) => format!("n{i}"),
        });
        chart.link(&from, "---", None, &to, false, true);
    }
    let (dead, path) = (std::mem::take(&mut chart.dead), std::mem::take(&mut chart.path));
    chart.styled(&dead, "stroke:#c2410c,stroke-dasharray:3 3");
    chart.styled(&path, "stroke:#b58900,stroke-width:5px");
    for (name, style) in
        [("dead", "stroke:#c2410c,stroke-dasharray:4 3"), ("way", "stroke:#b58900,stroke-width:4px")]
    {
        let own: Vec<&str> =
            classes.iter().filter(|(_, class)| *class == name).map(|(id, _)| id.as_str()).collect();
        if !own.is_empty() {
            let _ = writeln!(chart.out, "  classDef {name} {style}\n  class {} {name}", own.join(","));
        }
    }
    chart.out
}

fn class(id: String, down: bool, on_path: bool) -> Option<(String, &'static str)> {
    match (down, on_path) {
        (true, _) => Some((id, "dead")),
        (false, true) => Some((id, "way")),
        (false, false) => None,
    }
}
