//! What an inventory means: references resolved, numbers derived, everything that cannot work refused.
//!
//! Pure. [`load`] takes the document as it was written and gives either a [`Model`], in which every reference holds,
//! or all problems at once. All collections are sorted by name (routers by id), so that the order in which a person
//! wrote sites and nodes changes nothing that follows from the model.

mod address;
mod bgp;
mod calico;
mod document;
mod identity;
mod lines;
mod machines;
mod model;
mod names;
mod needs;
mod node_names;
mod nodes;
mod outside;
mod pki;
mod ports;
mod ranges;
pub mod reload;
mod report;
mod resolve;
mod routers;
mod settings;
mod topology;
mod tunnel_check;
mod tunnels;
mod vars;
mod versions;

use kmh_doc::decode::{self, Decoded};
use kmh_doc::inventory::Inventory;
use kmh_doc::{Problems, Tree};

pub use identity::ike_identity;
pub use model::{Model, Node, Router, Setting, Site, Tunnel, TunnelEnd};
pub use needs::Need;
pub use nodes::may_label;
pub use resolve::CONTROL_PLANE_TAINT;
pub use routers::is_pfsense_interface;

use report::Report;

/// Reads an inventory: `document` is the whole document (`kind` and `spec`) as it was written.
///
/// Gives the model and its warnings, or all problems, warnings included, sorted by place.
pub fn load(document: &Tree, needs: &[Need]) -> Result<(Model, Problems), Problems> {
    let (spec, mut problems) = document::open(document);
    let Some(spec) = spec else { return Err(problems.sorted()) };
    let Decoded { value, problems: found, kept } = decode::lenient::<Inventory>(spec, "spec");
    problems.extend(found);
    // What could be read is checked even when something could not, so that one run says everything.
    let Some(inventory) = value else { return Err(problems.sorted()) };
    let mut report = Report::new(document, &kept, problems);
    names::check(&inventory, &mut report);
    ranges::check(&inventory, &mut report);
    machines::check(&inventory, &mut report);
    outside::check(&inventory, &mut report);
    node_names::check(&inventory, &mut report);
    routers::check(&inventory, &mut report);
    lines::check(&inventory, &mut report);
    bgp::check(&inventory, needs, &mut report);
    calico::check(&inventory, &mut report);
    pki::check(&inventory, &mut report);
    nodes::check(&inventory, needs, &mut report);
    tunnel_check::check(&inventory, &mut report);
    ports::check(&inventory, &mut report);
    versions::check(&inventory, &mut report);
    settings::check(&inventory, &mut report);
    vars::check(&inventory, &mut report);
    needs::check(&inventory, needs, &mut report);
    match report.finish() {
        (problems, true) => Err(problems),
        (warnings, false) => Ok((resolve::model(&inventory), warnings)),
    }
}
