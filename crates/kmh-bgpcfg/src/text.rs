//! The plan for people: one page, 80 columns.

use std::fmt::Write as _;

use kmh_cli::table::Table;
use kmh_cli::text::printable;
use kmh_doc::network::{FindingLevel, NetworkSpec, PeerKind, RouterPlan, Session};

/// Widest line.
const COLUMNS: usize = 80;
/// More node sessions than this are only counted.
const SESSIONS_SHOWN: usize = 40;

/// The page: what the chosen machines have a part in, and the findings. With `all`, every session has its line.
pub(crate) fn page(spec: &NetworkSpec, all: bool, chosen: &dyn Fn(&str) -> bool) -> String {
    let mut out = String::new();
    section(&mut out, "ROUTERS", &routers(spec, chosen));
    let (sessions, left_out) = sessions(spec, all, chosen);
    section(&mut out, "SESSIONS", &sessions);
    if left_out > 0 {
        let _ = writeln!(out, "{left_out} more with nodes; -v shows them");
    }
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

fn wrap(out: &mut String, text: &str, indent: &str) {
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

/// Routers that are chosen, or have a session with a machine that is.
fn routers(spec: &NetworkSpec, chosen: &dyn Fn(&str) -> bool) -> Table {
    let mut table = Table::new(["ROUTER", "SITE", "AS", "ADDRESS", "SESSIONS", "ORIGINATES"]);
    let concerned =
        |router: &&RouterPlan| chosen(&router.name) || router.sessions.iter().any(|s| chosen(&s.peer));
    for router in spec.routers.iter().filter(concerned) {
        let originates: Vec<String> = router.originate.iter().map(ToString::to_string).collect();
        table.row([
            &cell(&router.name, 14),
            &cell(&router.site, 10),
            &router.asn.to_string(),
            &cell(&router.addresses.join(" "), 15),
            &router.sessions.len().to_string(),
            &cell(&originates.join(" "), 29),
        ]);
    }
    table
}

fn sessions(spec: &NetworkSpec, all: bool, chosen: &dyn Fn(&str) -> bool) -> (Table, usize) {
    let mut table = Table::new(["ROUTER", "PEER", "WITH", "FROM", "TO", "PEER AS", "HOLD", "BFD"]);
    let (mut nodes, mut left_out) = (0, 0);
    let all_sessions =
        spec.routers.iter().flat_map(|router| router.sessions.iter().map(move |session| (router, session)));
    for (router, session) in all_sessions.filter(|(r, s)| chosen(&r.name) || chosen(&s.peer)) {
        if session.with == PeerKind::Node {
            nodes += 1;
            if nodes > SESSIONS_SHOWN && !all {
                left_out += 1;
                continue;
            }
        }
        table.row([
            &cell(&router.name, 14),
            &cell(&session.peer, 14),
            with(session),
            &cell(&session.local_address.to_string(), 16),
            &cell(&session.peer_address.to_string(), 16),
            &session.peer_asn.to_string(),
            &format!("{} s", session.hold),
            &session.bfd_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms}x3")),
        ]);
    }
    (table, left_out)
}

fn with(session: &Session) -> &'static str {
    match session.with {
        PeerKind::Node => "node",
        PeerKind::Router => "router",
        PeerKind::Sibling => "sibling",
    }
}

fn tunnels(spec: &NetworkSpec, chosen: &dyn Fn(&str) -> bool) -> Option<Table> {
    let mut table = Table::new(["NO", "TUNNEL", "NETWORK", "MTU", "INTERFACES", "INITIATES"]);
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
            &cell(&tunnel.name, 18),
            &cell(&networks.join(" "), 15),
            &tunnel.mtu.to_string(),
            &cell(&format!("{} {}", low.interface, high.interface), 15),
            &cell(initiates, 10),
        ]);
    }
    Some(table)
}
