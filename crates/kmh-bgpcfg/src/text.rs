//! The plan for people: one page, 100 columns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kmh_cli::table::Table;
use kmh_cli::text::printable;
use kmh_doc::inventory::BgpDaemon;
use kmh_doc::network::{FindingLevel, NetworkSpec, Outage, PeerKind, RouterPlan, Session};

/// Widest line.
pub(crate) const COLUMNS: usize = 100;
/// What stands before each line of a table.
const INDENT: usize = 2;
/// More node sessions than this are only counted.
const SESSIONS_SHOWN: usize = 40;

/// The page: what the chosen machines have a part in, and the findings. With `all`, every session has its line, and a
/// second one with its settings.
pub(crate) fn page(spec: &NetworkSpec, all: bool, chosen: &dyn Fn(&str) -> bool) -> String {
    let mut out = String::new();
    wrap(&mut out, &layout(spec), "");
    section(&mut out, "ROUTERS", &routers(spec, chosen));
    let (sessions, left_out) = sessions(spec, all, chosen);
    section(&mut out, "SESSIONS", &sessions);
    if left_out > 0 {
        let _ = writeln!(out, "{left_out} more with nodes; -v shows them");
    }
    if all {
        section(&mut out, "SETTINGS", &settings(spec, chosen));
    }
    section(&mut out, "OUTAGES: how long traffic is lost when a peer", &outages(spec, chosen));
    if let Some(tunnels) = tunnels(spec, chosen) {
        section(&mut out, "TUNNELS", &tunnels);
    }
    let _ = writeln!(out, "\nMTU of pods: {}", spec.pod_mtu);
    if !spec.findings.is_empty() {
        out.push_str("\nFINDINGS\n");
        for finding in &spec.findings {
            let level = match finding.level {
                FindingLevel::Note => "note",
                FindingLevel::Warning => "warning",
                FindingLevel::Error => "error",
            };
            wrap(
                &mut out,
                &format!("{level}: {} ({}): {}", finding.subject, finding.id, finding.message),
                "  ",
            );
            if let Some(hint) = &finding.hint {
                wrap(&mut out, &format!("hint: {hint}"), "      ");
            }
        }
    }
    printable(&out)
}

fn section(out: &mut String, title: &str, table: &Table) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(title);
    out.push('\n');
    for line in table.to_string().lines() {
        out.push_str("  ");
        out.push_str(line);
        out.push('\n');
    }
}

/// A cell of at most `width` characters; what is longer ends in an ellipsis.
fn cell(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

pub(crate) fn wrap(out: &mut String, text: &str, indent: &str) {
    let mut line = indent.to_owned();
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}  ");
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// Who is in which AS, and what else holds for all sessions.
fn layout(spec: &NetworkSpec) -> String {
    let of_node = |session: &&Session| session.with == PeerKind::Node;
    let sessions =
        || spec.routers.iter().flat_map(|r| r.sessions.iter().filter(of_node).map(move |s| (r, s)));
    let nodes: BTreeSet<u32> = spec.nodes.iter().map(|node| node.asn.get()).collect();
    let asns = if sessions().any(|(router, session)| router.asn == session.peer_asn) {
        "layout B: nodes are in the AS of their site's routers, iBGP inside a site and eBGP between"
            .to_owned()
    } else if spec.nodes.iter().any(|node| node.annotations.iter().any(|(key, _)| key.ends_with("/ASNumber")))
    {
        format!("layout D: an AS for each node ({}), eBGP everywhere", nodes.len())
    } else {
        let asn = nodes.first().map_or_else(String::new, |asn| format!(" ({asn})"));
        format!("layout A: one AS for all nodes{asn}, one for each site's routers, eBGP everywhere")
    };
    let direct = sessions().any(|(router, session)| {
        let map = router.route_maps.iter().find(|map| map.name == session.export);
        map.is_some_and(|map| map.rules.iter().any(|rule| rule.permit))
    });
    let said = [
        Some(asns),
        Some(
            if direct { "direct routes inside a site" } else { "no routes between nodes of a site" }
                .to_owned(),
        ),
        sessions()
            .any(|(_, session)| session.password.is_some())
            .then(|| "passwords on node segments".to_owned()),
        sessions().any(|(_, session)| session.dynamic).then(|| "nodes call from their segment".to_owned()),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Routers that are chosen, or have a session with a machine that is.
fn routers(spec: &NetworkSpec, chosen: &dyn Fn(&str) -> bool) -> Table {
    let mut table = Table::new(["ROUTER", "SITE", "AS", "BGP", "ADDRESS", "PEERS", "ORIGINATES"]);
    let concerned =
        |router: &&RouterPlan| chosen(&router.name) || router.sessions.iter().any(|s| chosen(&s.peer));
    for router in spec.routers.iter().filter(concerned) {
        let originates: Vec<String> = router.originate.iter().map(ToString::to_string).collect();
        let daemon = match router.daemon {
            BgpDaemon::Frr => "FRR",
            BgpDaemon::Bird => "BIRD",
        };
        table.row([
            &cell(&router.name, 13),
            &cell(&router.site, 10),
            &router.asn.to_string(),
            daemon,
            &cell(&router.addresses.join(" "), 16),
            &router.sessions.len().to_string(),
            &cell(&originates.join(" "), 28),
        ]);
    }
    table
}

/// Sessions that a chosen machine has a part in.
fn concerned<'a>(
    spec: &'a NetworkSpec,
    chosen: &'a dyn Fn(&str) -> bool,
) -> impl Iterator<Item = (&'a RouterPlan, &'a Session)> {
    let all = spec.routers.iter().flat_map(|router| router.sessions.iter().map(move |s| (router, s)));
    all.filter(|(router, session)| chosen(&router.name) || chosen(&session.peer))
}

fn sessions(spec: &NetworkSpec, all: bool, chosen: &dyn Fn(&str) -> bool) -> (Table, usize) {
    let (mut nodes, mut left_out) = (0, 0);
    let shown: Vec<(&RouterPlan, &Session)> = concerned(spec, chosen)
        .filter(|(_, session)| {
            nodes += usize::from(session.with == PeerKind::Node);
            let is_left_out = session.with == PeerKind::Node && nodes > SESSIONS_SHOWN && !all;
            left_out += usize::from(is_left_out);
            !is_left_out
        })
        .collect();
    let row = |(router, session): &(&RouterPlan, &Session), width: usize| {
        [
            cell(&router.name, 14),
            cell(&session.peer, 14),
            with(session.with).to_owned(),
            cell(&session.local_address.to_string(), width),
            cell(&session.peer_address.to_string(), width),
            session.peer_asn.to_string(),
            session.bfd_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms}x3")),
        ]
    };
    let table = |width: usize| {
        let mut table = Table::new(["ROUTER", "PEER", "WITH", "FROM", "TO", "PEER AS", "BFD"]);
        for one in &shown {
            table.row(row(one, width).each_ref().map(String::as_str));
        }
        table
    };
    // IPv6 addresses in full where there is room for them.
    let fits = |table: &Table| table.to_string().lines().all(|line| line.chars().count() + INDENT <= COLUMNS);
    let found = [39, 26, 20].into_iter().map(table).find(fits);
    (found.unwrap_or_else(|| table(16)), left_out)
}

/// What the sessions' table has no room for.
fn settings(spec: &NetworkSpec, chosen: &dyn Fn(&str) -> bool) -> Table {
    let mut table = Table::new(["ROUTER", "PEER", "KEEP/HOLD", "RESTART", "IMPORT", "EXPORT", "MOST"]);
    for (router, session) in concerned(spec, chosen) {
        table.row([
            &cell(&router.name, 14),
            &cell(&session.peer, 14),
            &format!("{}/{} s", session.keepalive, session.hold),
            &format!("{} s", session.restart),
            &cell(&session.import, 17),
            &cell(&session.export, 15),
            &session.maximum_prefix.to_string(),
        ]);
    }
    table
}

/// How long traffic is lost when a peer goes away, once for all kinds of peers that are alike.
fn outages(spec: &NetworkSpec, chosen: &dyn Fn(&str) -> bool) -> Table {
    let mut alike: BTreeMap<([u32; 2], [u32; 2]), BTreeSet<PeerKind>> = BTreeMap::new();
    for (_, session) in concerned(spec, chosen) {
        let Outage { silent_ms, closed_ms } = session.outage;
        alike.entry((silent_ms, closed_ms)).or_default().insert(session.with);
    }
    let mut rows: Vec<_> = alike.into_iter().map(|(times, kinds)| (kinds, times)).collect();
    rows.sort();
    let mut table = Table::new(["PEER", "FALLS SILENT", "ITS BGP ENDS"]);
    for (kinds, (silent, closed)) in rows {
        let kinds: Vec<&str> = kinds.into_iter().map(with).collect();
        table.row([&kinds.join(", "), &span(silent), &span(closed)]);
    }
    table
}

/// `6 to 9 s`, `0.6 to 0.9 s`, `0 s`.
fn span([from, to]: [u32; 2]) -> String {
    let seconds = |ms: u32| match ms % 1000 {
        0 => (ms / 1000).to_string(),
        rest => format!("{}.{rest:03}", ms / 1000).trim_end_matches('0').to_owned(),
    };
    if from == to { format!("{} s", seconds(to)) } else { format!("{} to {} s", seconds(from), seconds(to)) }
}

fn with(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Node => "node",
        PeerKind::Router => "router",
        PeerKind::Sibling => "sibling",
    }
}

fn tunnels(spec: &NetworkSpec, chosen: &dyn Fn(&str) -> bool) -> Option<Table> {
    let mut table = Table::new(["NO", "TUNNEL", "RANK", "NETWORK", "MTU", "INTERFACES", "INITIATES"]);
    let mut concerned =
        spec.tunnels.iter().filter(|tunnel| tunnel.ends.iter().any(|end| chosen(&end.router))).peekable();
    concerned.peek()?;
    for tunnel in concerned {
        let networks: Vec<String> = tunnel.networks.iter().map(ToString::to_string).collect();
        let [low, high] = &tunnel.ends;
        let initiates = match (low.initiates, high.initiates) {
            (true, true) => "both",
            (true, false) => &low.router,
            (false, true) => &high.router,
            (false, false) => "-",
        };
        table.row([
            &tunnel.index.to_string(),
            &cell(&tunnel.name, 24),
            &tunnel.rank.to_string(),
            &cell(&networks.join(" "), 18),
            &tunnel.mtu.to_string(),
            &cell(&format!("{} {}", low.interface, high.interface), 19),
            &cell(initiates, 10),
        ]);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn times() {
        let table = [
            ([6000, 9000], "6 to 9 s"),
            ([600, 900], "0.6 to 0.9 s"),
            ([2, 1003], "0.002 to 1.003 s"),
            ([0, 0], "0 s"),
        ];
        for (ms, said) in table {
            assert_eq!(span(ms), said);
        }
    }
}
