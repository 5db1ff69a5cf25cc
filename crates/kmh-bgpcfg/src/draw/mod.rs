//! The network as a picture: sites, routers, tunnels, nodes and sessions, as SVG, as DOT (Graphviz) or as Mermaid.
//!
//! Pure: a network document in, text out, the same bytes every time. `scene` is what is to be seen, without
//! places; `layout`, `card` and `curve` give it places, `svg` paints it; `dot` and `mermaid` leave the places to
//! others.

mod canvas;
mod card;
mod curve;
mod dot;
mod escape;
mod geometry;
mod labels;
mod layout;
mod measure;
mod mermaid;
mod scene;
mod style;
mod svg;
#[cfg(test)]
mod tests;

use clap::ValueEnum;
use kmh_doc::network::NetworkSpec;
use kmh_route::down::Down;

use scene::Scene;

/// Nodes of a site that are drawn one by one when nothing is said; of larger sites the number is shown.
const NODES_A_SITE: usize = 12;

/// What to draw, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options<'a> {
    /// The picture's language.
    pub format: Format,
    /// Which nodes are drawn one by one.
    pub nodes: Nodes,
    /// The cluster's name, for the title.
    pub title: Option<&'a str>,
    /// Names of the machines that a packet visits, in order.
    pub path: Option<Vec<String>>,
    /// What is down.
    pub down: Option<&'a Down>,
}

/// The language of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// A picture for browsers and documents
    #[default]
    Svg,
    /// For Graphviz
    Dot,
    /// For pages written in Markdown
    Mermaid,
}

/// Which nodes are drawn one by one.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// All of a site with up to 12 nodes, in clusters of up to 24 sites
    #[default]
    Auto,
    /// Every one
    Each,
    /// None but those that are down or on the path
    Count,
}

/// The picture.
pub(crate) fn draw(spec: &NetworkSpec, options: &Options<'_>) -> String {
    let scene = Scene::new(spec, options);
    match options.format {
        Format::Svg => svg::svg(&scene),
        Format::Dot => dot::dot(&scene),
        Format::Mermaid => mermaid::mermaid(&scene),
    }
}
