//! `predict`: the tables of every router and node.

use clap::Args;
use kmh_cli::table::Table as Page;
use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_doc::network::{Finding, FindingLevel, NetworkSpec};
use kmh_route::table::{Installed, Path, Route, Step, Table, Verdict};
use serde::Serialize;
use std::fmt::Write as _;

use crate::text::wrap;

use super::{Conditions, assumption, conditions, json, network, open};

/// More tables than this are not shown without being asked for.
const TABLES: usize = 12;
/// More routes than this of a table are not shown without `-v`.
const ROUTES: usize = 60;

/// Options of `predict`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Predict {
    #[command(flatten)]
    conditions: Conditions,
}

/// What is printed in JSON.
#[derive(Serialize)]
struct Said<'a> {
    /// Whether the blocks were made up.
    assumed: bool,
    tables: Vec<Table>,
    findings: &'a [Finding],
}

/// The answer.
pub(crate) fn run(
    args: &Predict,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let asked = network(stream, context)?;
    let opened = open(&asked)?;
    let spec = &asked.spec;
    let (ground, down) = conditions(stream, context, &opened, &args.conditions, &[])?;
    let machines = machines(spec);
    context.check_limit(machines.iter().map(|(name, site)| (*name, Some(*site), vec![])))?;
    let prediction = kmh_route::predict(&opened, &ground, &down);
    let findings = kmh_route::findings(&opened, &ground, &prediction);
    let chosen = machines.iter().filter(|(name, site)| context.chosen(name, Some(site), &[]));
    let worst = if context.common.strict { FindingLevel::Warning } else { FindingLevel::Error };
    let is_no = findings.iter().any(|finding| finding.level >= worst);
    let text = if format == Format::Json {
        let tables = chosen.filter_map(|(name, _)| prediction.table(name)).collect();
        json(&Said { assumed: ground.assumed, tables, findings: &findings })?
    } else {
        let limited = !context.common.limit.is_empty();
        // Without a choice the routers are shown: they decide, and a node knows little more than its default route.
        let shown: Vec<&str> = chosen
            .map(|(name, _)| *name)
            .take(if limited { usize::MAX } else { spec.routers.len() })
            .collect();
        let mut out = page(&prediction, &shown, limited, context.common.verbose > 0);
        out += &of_findings(&findings);
        out += assumption(&ground);
        out
    };
    Ok(Answer { text, exit: if is_no { Exit::No } else { Exit::Done } })
}

/// Routers, then nodes, with their sites.
fn machines(spec: &NetworkSpec) -> Vec<(&str, &str)> {
    let routers = spec.routers.iter().map(|router| (router.name.as_str(), router.site.as_str()));
    routers.chain(spec.nodes.iter().map(|node| (node.name.as_str(), node.site.as_str()))).collect()
}

fn page(prediction: &kmh_route::Prediction<'_>, shown: &[&str], all: bool, verbose: bool) -> String {
    let mut out = String::new();
    if !all && shown.len() > TABLES {
        let spec = prediction.network().spec;
        return format!(
            "{} routers and {} nodes, more than fit a page: one machine's table with --limit NAME\n",
            spec.routers.len(),
            spec.nodes.len()
        );
    }
    for table in shown.iter().filter_map(|name| prediction.table(name)) {
        let _ = writeln!(out, "{}", table.machine);
        let mut page = Page::new(["PREFIX", "FROM", "AS PATH", "NEXT HOP", "WHY"]);
        let shown = if verbose || all { usize::MAX } else { ROUTES };
        for route in table.routes.iter().take(shown) {
            rows(&mut page, route, verbose || all);
        }
        out += &page.to_string();
        if table.routes.len() > shown {
            let _ = writeln!(out, "and {} more: --limit {}", table.routes.len() - shown, table.machine);
        }
        out.push('\n');
    }
    out
}

fn rows(page: &mut Page, route: &Route, verbose: bool) {
    for (number, path) in route.paths.iter().enumerate() {
        let used = matches!(path.verdict, Verdict::Best | Verdict::Equal);
        if !used && !verbose {
            continue;
        }
        let prefix = if number == 0 { route.prefix.to_string() } else { String::new() };
        let as_path: Vec<String> = path.as_path.iter().map(ToString::to_string).collect();
        let via = match (&route.installed, used) {
            (Some(Installed::Via(_)), true) => path.next_hop.map_or("-".to_owned(), |ip| ip.to_string()),
            (Some(Installed::Own), true) => "own".to_owned(),
            _ => "-".to_owned(),
        };
        page.row([&prefix, path.from.as_deref().unwrap_or("itself"), &as_path.join(" "), &via, &why(path)]);
    }
}

/// Why a path is where it is, in few words.
pub(crate) fn why(path: &Path) -> String {
    let rule = path.rule.as_deref().unwrap_or_default();
    match path.verdict {
        Verdict::Best => rule.to_owned(),
        Verdict::Equal => format!("ECMP; {rule}"),
        Verdict::Lost(step) => format!("second: {}", lost(path.from.is_none(), step)),
        // In few words: it is the longest of all, beside the longest paths.
        Verdict::Refused if rule.starts_with("loop") => "refused: AS loop".to_owned(),
        Verdict::Refused => format!("refused: {rule}"),
    }
}

/// Why a path lost. Only that to a pod with a borrowed address is a machine's own and loses: BIRD reads it from the
/// kernel, and prefers what BGP says.
pub(crate) fn lost(is_own: bool, step: Step) -> &'static str {
    if is_own { "of the kernel, and BIRD prefers BGP's" } else { step_words(step) }
}

/// What a step of the decision compares, as the loser meets it.
fn step_words(step: Step) -> &'static str {
    match step {
        Step::Own => "its own route wins",
        Step::LocalPref => "lower LOCAL_PREF",
        Step::AsPath => "longer AS path",
        Step::Origin => "worse origin",
        Step::Med => "higher MED",
        Step::External => "iBGP, and there is eBGP",
        Step::Metric => "farther next hop",
        Step::RouterId => "higher router id",
        Step::ClusterList => "longer cluster list",
        Step::PeerAddress => "higher peer address",
    }
}

/// Findings for people.
pub(crate) fn of_findings(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let level = match finding.level {
            FindingLevel::Note => "note",
            FindingLevel::Warning => "warning",
            FindingLevel::Error => "error",
        };
        wrap(&mut out, &format!("{level}: {}: {}", finding.subject, finding.message), "");
        if let Some(hint) = &finding.hint {
            wrap(&mut out, &format!("hint: {hint}"), "  ");
        }
    }
    out
}
