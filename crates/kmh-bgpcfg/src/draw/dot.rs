//! DOT, for Graphviz: sites are clusters, and their place is Graphviz' business. Of its programs `dot` and `fdp` draw
//! clusters; `dot` wants a direction, which a mesh has not, and gives up on a large one.

use std::fmt::Write as _;

use kmh_doc::network::PeerKind;

use super::card::dead_mark;
use super::escape::dot as quote;
use super::scene::{Machine, Scene, asns, count, kind};

/// The attributes of what is down, of what the path takes, and of standby tunnels. Each has a style beside the colour.
const DEAD: &str = "color=\"#c2410c\", fontcolor=\"#a83200\", style=dashed";
const PATH: &str = "color=\"#b58900\", penwidth=4";

/// More tunnels than this are for `fdp`, and have no text.
const FEW: usize = 12;
/// More tunnels than this are thin and translucent.
const MANY: usize = 150;

/// The whole file.
pub(super) fn dot(scene: &Scene<'_>) -> String {
    let mut out = String::from("graph kmh {\n");
    let mut title = vec![scene.title.clone(), scene.summary.join(" · ")];
    title.extend(scene.path.iter().chain(&scene.down).cloned());
    let tunnels = scene.tunnels.len();
    let engine = if tunnels > FEW { ", layout=fdp, splines=line" } else { "" };
    let title = quote(&title.join("\n"));
    let _ = writeln!(out, "  graph [label={title}, labelloc=t, fontname=\"sans-serif\"{engine}];");
    out.push_str("  node [fontname=\"sans-serif\", fontsize=11];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for site in &scene.sites {
        let mut label = vec![dead_mark(site.down, site.name), asns(&site.asns)];
        label.extend(site.networks.iter().map(|net| format!("nodes {net}")));
        label.extend(site.pods.iter().map(|net| format!("pods {net}")));
        // Only a subgraph whose name begins so is drawn as a box.
        let _ = writeln!(out, "  subgraph {} {{", quote(&format!("cluster_{}", site.name)));
        let state = if site.down { DEAD } else { "style=rounded, color=\"#8c959f\"" };
        let _ = writeln!(out, "    graph [label={}, labeljust=l, {state}];", quote(&label.join("\n")));
        for &i in &site.routers {
            let router = &scene.routers[i];
            let label = format!("{}\n{}", dead_mark(router.down, &router.plan.name), kind(router.plan));
            let state = look(router.down, router.on_path, "color=\"#0072b2\"");
            let _ = writeln!(
                out,
                "    {} [shape=box, label={}, {state}];",
                id(scene, Machine::Router(i)),
                quote(&label)
            );
        }
        for &i in &site.shown {
            let node = &scene.nodes[i];
            let mut label = dead_mark(node.down, &node.plan.name);
            if scene.node_asns {
                let _ = write!(label, "\nAS {}", node.plan.asn);
            }
            let state = look(node.down, node.on_path, "color=\"#8c959f\"");
            let _ = writeln!(
                out,
                "    {} [shape=ellipse, label={}, {state}];",
                id(scene, Machine::Node(i)),
                quote(&label)
            );
        }
        let hidden = site.nodes.len() - site.shown.len();
        if hidden > 0 {
            let what = if site.shown.is_empty() { count(hidden, "node") } else { format!("{hidden} more") };
            let many = quote(&format!("nodes of {}", site.name));
            let _ = writeln!(out, "    {many} [shape=ellipse, peripheries=2, label={}];", quote(&what));
            for &i in &site.routers {
                let _ = writeln!(out, "    {} -- {many} [color=\"#8c959f\"];", id(scene, Machine::Router(i)));
            }
        }
        out.push_str("  }\n");
    }
    for peering in &scene.sessions {
        let drawn = match peering.peer {
            Machine::Router(_) => true,
            Machine::Node(i) => scene.shows(i),
        };
        if drawn {
            let plain = match peering.session.with {
                PeerKind::Sibling => "color=\"#0072b2\", style=dotted, constraint=false",
                _ => "color=\"#8c959f\"",
            };
            let state = look(peering.down, scene.along(peering), plain);
            let (a, b) = (id(scene, Machine::Router(peering.router)), id(scene, peering.peer));
            let _ = writeln!(out, "  {a} -- {b} [{state}];");
        }
    }
    for (i, link) in scene.tunnels.iter().enumerate() {
        let [a, b] = link.ends.map(|router| id(scene, Machine::Router(router)));
        let plain = match (link.plan.rank > 0, tunnels > MANY) {
            (false, false) => "color=\"#0072b2\", penwidth=2",
            (false, true) => "color=\"#0072b260\"",
            (true, false) => "color=\"#0072b2\", style=dashed",
            (true, true) => "color=\"#0072b240\", style=dashed",
        };
        let text = if link.down { "×".to_owned() } else { format!("MTU {}", link.plan.mtu) };
        let label =
            if link.down || tunnels <= FEW { format!(" label={},", quote(&text)) } else { String::new() };
        let tip = quote(&format!("{}, MTU {}", link.plan.name, link.plan.mtu));
        let look = look(link.down, scene.on_path(i), plain);
        let _ = writeln!(out, "  {a} -- {b} [tooltip={tip},{label} {look}];");
    }
    for step in scene.bare_steps() {
        let _ = writeln!(out, "  {} -- {} [{PATH}];", id(scene, step.from), id(scene, step.to));
    }
    out.push_str("}\n");
    out
}

/// Routers and nodes may share a name.
fn id(scene: &Scene<'_>, machine: Machine) -> String {
    let name = scene.name(machine);
    match machine {
        Machine::Router(_) => quote(&format!("router {name}")),
        Machine::Node(_) => quote(&format!("node {name}")),
    }
}

fn look(down: bool, on_path: bool, plain: &str) -> &str {
    match (down, on_path) {
        (true, _) => DEAD,
        (false, true) => PATH,
        (false, false) => plain,
    }
}
