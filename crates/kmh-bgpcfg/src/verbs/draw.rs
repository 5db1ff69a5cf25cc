//! `draw`: the topology as a picture, with what is down and the way of a packet.

use clap::Args;
use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_route::forward::way;

use super::{Conditions, conditions, network, open, whole, why};
use crate::draw::{self, Nodes, Options};

/// Options of `draw`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Draw {
    /// Which nodes have a box of their own
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    nodes: Nodes,
    /// The way of a packet, as `why` takes it: two machines or addresses
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    path: Option<Vec<String>>,
    #[command(flatten)]
    conditions: Conditions,
}

/// The answer.
pub(crate) fn run(
    args: &Draw,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    whole(context)?;
    let asked = network(stream, context)?;
    let opened = open(&asked)?;
    let ends: Vec<&str> = args.path.iter().flatten().map(String::as_str).collect();
    let (ground, down) = conditions(stream, context, &opened, &args.conditions, &ends)?;
    let path = match args.path.as_deref() {
        Some([from, to]) => {
            let prediction = kmh_route::predict(&opened, &ground, &down);
            let (start, from, to) = why::ends(&prediction, &ground, from, to)?;
            let way = way(&prediction, start, Some(from), to);
            Some(way.hops.iter().map(|hop| opened.name(hop.machine).to_owned()).collect())
        }
        _ => None,
    };
    let title = stream.inventory().ok().and_then(|(tree, _)| {
        let name = tree.get("spec")?.get("cluster")?.get("name")?.to_json();
        name.as_str().map(str::to_owned)
    });
    let options = Options {
        format: match format {
            Format::Dot => draw::Format::Dot,
            Format::Mermaid => draw::Format::Mermaid,
            _ => draw::Format::Svg,
        },
        nodes: args.nodes,
        title: title.as_deref(),
        path,
        down: Some(&down),
    };
    Ok(Answer { text: draw::draw(&asked.spec, &options), exit: Exit::Done })
}
