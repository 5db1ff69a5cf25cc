//! The routers' `bird.conf` against the network document: what BIRD is told means what the plan says.
//!
//! Names are not compared but followed: a session leads to its two filters, a filter to its prefix sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kmh_doc::Cidr;
use kmh_doc::network::{PathRule, PeerKind, PrefixRule, RouteMap, RouteRule, RouterPlan, Session};

use crate::bundle::RENDER;
use crate::findings::Findings;
use crate::parse::bird::{Statement, read, words};

/// Part of `network.bgp-files`: the router's `bird.conf` has every session, filter and unreachable route of the plan, and no other.
pub(super) fn bird(subject: &str, plan: &RouterPlan, text: &str, out: &mut Findings<'_>) {
    let Some(statements) = read(text) else {
        out.critical(subject, "it is not well formed", RENDER);
        return;
    };
    let conf = BirdConf::of(&statements);
    tables(subject, plan, &conf, out);
    sessions(subject, plan, &conf, out);
}

/// What a `bird.conf` says.
#[derive(Default)]
struct BirdConf<'a> {
    /// Statements without a block.
    plain: BTreeSet<String>,
    /// Prefix sets: the words of each element.
    sets: BTreeMap<&'a str, BTreeSet<String>>,
    /// Filters: what each says, in order.
    filters: BTreeMap<&'a str, Vec<String>>,
    /// Protocols: kind, and what each says.
    protocols: Vec<(&'a str, &'a [Statement<'a>])>,
}

impl<'a> BirdConf<'a> {
    fn of(statements: &'a [Statement<'a>]) -> Self {
        let mut conf = Self::default();
        for statement in statements {
            match (statement.words.as_slice(), statement.block.as_deref()) {
                (["protocol", kind, ..], Some(block)) => conf.protocols.push((kind, block)),
                (["filter", name], Some(block)) => {
                    let lines = block.iter().map(Statement::whole).collect();
                    conf.filters.insert(Statement::name(name), lines);
                }
                (["define", name, "=", "[", elements @ .., "]"], None) => {
                    let elements = elements.split(|word| *word == ",").map(|words| words.join(" "));
                    conf.sets.insert(Statement::name(name), elements.collect());
                }
                _ => {
                    conf.plain.insert(statement.whole());
                }
            }
        }
        conf
    }

    fn of_kind<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'a [Statement<'a>]> + 's {
        self.protocols.iter().filter(move |(is, _)| *is == kind).map(|(_, block)| *block)
    }
}

/// A family's channel.
fn channel(v6: bool) -> &'static str {
    if v6 { "ipv6" } else { "ipv4" }
}

/// All statements of a block, those in its blocks as `outer: inner`.
fn lines(block: &[Statement<'_>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for statement in block {
        match &statement.block {
            None => {
                found.insert(statement.text());
            }
            Some(inside) => {
                let outer = statement.text();
                found.extend(
                    inside.iter().map(|inner| format!("{outer}: {}", inner.whole().trim_end_matches(';'))),
                );
            }
        }
    }
    found
}

/// The router id, its own segments, unreachable routes, and what the kernel gets.
fn tables(subject: &str, plan: &RouterPlan, conf: &BirdConf<'_>, out: &mut Findings<'_>) {
    let router_id = format!("router id {};", plan.router_id);
    if !conf.plain.contains(&router_id) {
        out.critical(subject, format!("it lacks `{router_id}`"), RENDER);
    }
    let (mut direct, mut fixed, mut kernel) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    conf.of_kind("direct").for_each(|block| direct.extend(lines(block)));
    conf.of_kind("static").for_each(|block| fixed.extend(lines(block)));
    conf.of_kind("kernel").for_each(|block| kernel.extend(lines(block)));
    for v6 in [false, true] {
        let (channel, of) = (channel(v6), |net: &&Cidr| net.is_v6() == v6);
        let own: Vec<String> = plan.originate.iter().filter(of).map(ToString::to_string).collect();
        if !own.is_empty() {
            let must = words(&format!("import where net ~ [ {} ]", own.join(", ")));
            if !direct.contains(&format!("{channel}: {must}")) {
                out.critical(subject, format!("it does not announce {}", own.join(", ")), RENDER);
            }
        }
        if plan.unreachable.iter().any(|net| net.is_v6() == v6)
            && !fixed.contains(&format!("{channel}: preference 1"))
        {
            let message =
                format!("its {channel} unreachable routes are not the last choice: they lack `preference 1`");
            out.critical(subject, message, RENDER);
        }
        let must = format!("{channel}: export where source = RTS_BGP || source = RTS_STATIC");
        let used = plan.originate.iter().chain(&plan.unreachable).any(|net| net.is_v6() == v6);
        if used && !kernel.contains(&must) {
            out.critical(subject, format!("its {channel} routes do not all go to the kernel"), RENDER);
        }
    }
    let must: BTreeSet<String> =
        plan.unreachable.iter().map(|net| format!("route {net} unreachable")).collect();
    let is: BTreeSet<String> = fixed.into_iter().filter(|line| line.starts_with("route ")).collect();
    for line in must.difference(&is) {
        out.critical(subject, format!("it lacks `{line}`"), RENDER);
    }
    for line in is.difference(&must) {
        out.critical(subject, format!("it says `{line}`, and the plan does not"), RENDER);
    }
}

/// What a session's block may say beside what the plan decides.
const INCIDENTAL: &[&str] =
    &["description ", "dynamic name ", "connect delay time ", "connect retry time ", "error wait time "];

fn sessions(subject: &str, plan: &RouterPlan, conf: &BirdConf<'_>, out: &mut Findings<'_>) {
    let mut peers: BTreeMap<String, &[Statement<'_>]> = BTreeMap::new();
    for block in conf.of_kind("bgp") {
        let neighbor = block.iter().find(|statement| statement.words.first() == Some(&"neighbor"));
        let id = neighbor.map(|statement| match statement.words.as_slice() {
            ["neighbor", "range", id, ..] | ["neighbor", id, ..] => (*id).to_owned(),
            _ => String::new(),
        });
        peers.insert(id.unwrap_or_default(), block);
    }
    let ranges = plan.listen.iter().map(|listen| {
        let remote = listen.peer_asn.map_or_else(|| "external".to_owned(), |asn| format!("as {asn}"));
        (listen.range.to_string(), format!("neighbor range {} {remote}", listen.range), &listen.like)
    });
    let called = plan.sessions.iter().filter(|session| !session.dynamic).map(|session| {
        let (address, asn) = (session.peer_address, session.peer_asn);
        (address.to_string(), format!("neighbor {address} as {asn}"), session)
    });
    let mut used = BTreeSet::new();
    for (id, neighbor, session) in ranges.chain(called) {
        let Some(block) = peers.remove(&id) else {
            out.critical(subject, format!("it has no neighbour {id} (`{}`)", session.peer), RENDER);
            continue;
        };
        let mut is = lines(block);
        is.retain(|line| !INCIDENTAL.iter().any(|word| line.starts_with(word)));
        for (way, map) in [("import", &session.import), ("export", &session.export)] {
            let begin = format!("{}: {way} filter ", channel(session.peer_address.is_ipv6()));
            let line = is.iter().find(|line| line.starts_with(&begin)).cloned();
            let name = line.as_deref().map(|line| Statement::name(&line[begin.len()..]));
            let filter = name.and_then(|name| conf.filters.get_key_value(name));
            let map = plan.route_maps.iter().find(|one| one.name == *map);
            match (filter, map) {
                // RFC 8212: without a policy an eBGP session exchanges nothing, and BIRD takes in everything.
                (None, _) => out.critical(subject, format!("its neighbour {id} has no {way} filter"), RENDER),
                (_, None) => {} // the plan itself is wrong: `network.filters` says so
                (Some((name, is)), Some(map)) => {
                    used.insert(*name);
                    if *is != filter_of(plan, map, session, way == "export") {
                        let message =
                            format!("its filter `{name}` has other rules than the plan's `{}`", map.name);
                        out.critical(subject, message, RENDER);
                    }
                }
            }
            if let Some(line) = line {
                is.remove(&line);
            }
        }
        let must = session_lines(plan, session, neighbor);
        let is: BTreeSet<String> = is
            .into_iter()
            .map(|line| if line.starts_with("password ") { "password".to_owned() } else { line })
            .collect();
        for line in must.difference(&is) {
            out.critical(subject, format!("its neighbour {id} lacks `{line}`"), RENDER);
        }
        for line in is.difference(&must) {
            out.critical(subject, format!("its neighbour {id} says `{line}`, and the plan does not"), RENDER);
        }
    }
    for id in peers.keys() {
        out.critical(subject, format!("its neighbour {id} is not in the plan"), RENDER);
    }
    for name in conf.filters.keys().filter(|name| !used.contains(*name)) {
        out.warning(subject, format!("the filter `{name}` is defined but not used"), RENDER);
    }
    for list in &plan.prefix_lists {
        let must: BTreeSet<String> = list.permit.iter().map(pattern).collect();
        if conf.sets.get(list.name.as_str()) != Some(&must) {
            let message = format!("its prefix set `{}` is not the plan's prefix list", list.name);
            out.critical(subject, message, RENDER);
        }
    }
}

/// What decides about a session and its routes, filters aside.
fn session_lines(plan: &RouterPlan, session: &Session, neighbor: String) -> BTreeSet<String> {
    let mut lines = BTreeSet::from([
        format!("local {} as {}", session.local_address, plan.asn),
        neighbor,
        "direct".to_owned(),
        format!("hold time {}", session.hold),
        format!("keepalive time {}", session.keepalive),
        format!("graceful restart {}", if session.restart > 0 { "aware" } else { "off" }),
        // The order of lines must not depend on what was learned between them.
        "deterministic med on".to_owned(),
    ]);
    let flags = [
        (session.password.is_some(), "password"),
        (session.route_reflector_client, "rr client"),
        (session.keep_next_hop, "rs client"),
    ];
    lines.extend(flags.iter().filter(|(is, _)| *is).map(|(_, words)| (*words).to_owned()));
    if let Some(ms) = session.bfd_ms {
        lines.extend([format!("bfd: interval {ms} ms"), "bfd: multiplier 3".to_owned()]);
    }
    let channel = channel(session.peer_address.is_ipv6());
    let limit = format!("import limit {} action disable", session.maximum_prefix);
    let mut inside = vec!["import keep filtered on", &limit, "gateway direct"];
    if session.with == PeerKind::Node {
        // Without it a node says nothing of a borrowed address that came back to it.
        inside.push("add paths rx");
    }
    if session.next_hop_self {
        inside.push("next hop self ebgp");
    }
    lines.extend(inside.iter().map(|words| format!("{channel}: {words}")));
    lines
}

/// A route map in BIRD's words: the first rule that fits decides, and what fits none is refused.
fn filter_of(plan: &RouterPlan, map: &RouteMap, session: &Session, export: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if export {
        lines.push("if source = RTS_STATIC then reject;".to_owned());
    }
    let replaced = (export && session.as_override).then_some(session.peer_asn);
    lines.extend(map.rules.iter().map(|rule| {
        let mut actions = String::new();
        if let Some(value) = rule.set.local_pref {
            let _ = write!(actions, " bgp_local_pref = {value};");
        }
        if let Some(value) = rule.set.med {
            let _ = write!(actions, " bgp_med = {value};");
        }
        if let Some(asn) = replaced {
            let _ = write!(
                actions,
                " if bgp_path ~ [ = * {asn} * = ] then {{ bgp_path.delete ( {asn} ); bgp_path.prepend ( {} ); }}",
                plan.asn
            );
        }
        let action = match (rule.permit, actions.as_str()) {
            (false, _) => "reject;".to_owned(),
            (true, "") => "accept;".to_owned(),
            (true, actions) => format!("{{{actions} accept; }}"),
        };
        format!("{}{action}", condition(plan, rule))
    }));
    lines.push("reject;".to_owned());
    lines
}

fn condition(plan: &RouterPlan, rule: &RouteRule) -> String {
    let list = rule.prefix_list.as_ref().map(|name| format!("net ~ '{name}'"));
    let path = rule.as_path.as_ref().map(|name| {
        let permit = plan.as_paths.iter().find(|list| list.name == *name).map(|list| list.permit);
        match permit {
            Some(PathRule::Only(asn)) => format!("bgp_path ~ [ = {asn}+ = ]"),
            Some(PathRule::Empty) => "bgp_path.len = 0".to_owned(),
            Some(PathRule::Single) => "bgp_path ~ [ = ? = ]".to_owned(),
            None => "false".to_owned(),
        }
    });
    let all: Vec<String> = list.into_iter().chain(path).collect();
    if all.is_empty() { String::new() } else { format!("if {} then ", all.join(" && ")) }
}

/// A prefix with FRR's `ge` and `le` as BIRD writes it.
fn pattern(rule: &PrefixRule) -> String {
    let net = rule.prefix.net();
    if rule.ge.is_none() && rule.le.is_none() {
        return rule.prefix.to_string();
    }
    let (from, to) = (rule.ge.unwrap_or(net.prefix_len()), rule.le.unwrap_or(net.max_prefix_len()));
    format!("{}{{{from},{to}}}", rule.prefix)
}

#[cfg(test)]
mod tests {
    use kmh_doc::bundle::Segment;
    use kmh_doc::check::State;
    use kmh_doc::inventory::BgpDaemon;
    use kmh_doc::network::{Listen, RouteSet};

    use crate::testing::Fixture;

    /// What the plan of the router `ra` is to BIRD, written by hand.
    const GOOD: &str = "\
log syslog all; router id 10.10.0.1;
protocol device { }
protocol bfd { accept direct; }
protocol direct segments { ipv4 { import where net ~ [ 10.10.0.0/24 ]; }; }
protocol static guard {
  ipv4 { preference 1; };
  route 10.200.0.0/16 unreachable; route 10.201.0.0/16 unreachable; route 10.202.0.0/24 unreachable;
  route 10.255.0.0/22 unreachable; route 10.20.0.0/24 unreachable;
}
protocol kernel k4 { learn off; ipv4 { import none; export where source = RTS_BGP || source = RTS_STATIC; }; }
define 'pods' = [ 10.200.0.0/18{26,32} ];
define 'remote' = [ 10.20.0.0/24, 10.200.64.0/18{26,32} ];
define 'segments' = [ 10.10.0.0/24 ];
define 'services' = [ 10.201.0.0/16, 10.201.0.0/16{32,32}, 10.202.0.0/24, 10.202.0.0/24{32,32} ];
filter 'a' {
  if net ~ 'pods' && bgp_path ~ [= 64512+ =] then accept; # blocks
  if net ~ 'services' && bgp_path ~ [= 64512+ =] then accept;
  reject;
}
filter 'b' {
  if source = RTS_STATIC then reject;
  if net ~ 'pods' then { if bgp_path ~ [= * 64512 * =] then { bgp_path.delete(64512); bgp_path.prepend(65010); } accept; }
  reject;
}
filter 'c' {
  if net ~ 'remote' then { bgp_med = 0; accept; }
  if net ~ 'services' then { bgp_med = 0; accept; }
  reject;
}
filter 'd' {
  if source = RTS_STATIC then reject;
  if net ~ 'segments' then accept; if net ~ 'pods' then accept; if net ~ 'services' then accept;
  if net ~ 'remote' then accept;
  reject;
}
protocol bgp node {
  local 10.10.0.1 as 65010; neighbor 10.10.0.11 as 64512; direct; password \"SECRET\"; connect retry time 10;
  hold time 9; keepalive time 3; graceful restart aware; deterministic med on;
  ipv4 { import keep filtered on; import filter 'a'; export filter 'b'; import limit 1000 action disable; gateway direct; add paths rx; };
}
protocol bgp router {
  local 10.255.0.9 as 65010; neighbor 10.255.0.10 as 65020; direct;
  hold time 9; keepalive time 3; graceful restart off; deterministic med on; bfd { interval 1000 ms; multiplier 3; };
  ipv4 { import keep filtered on; import filter 'c'; export filter 'd'; import limit 1000 action disable; gateway direct; };
}
";

    fn fixture(text: &str) -> Fixture {
        let mut fixture = Fixture::good();
        fixture.network.routers[0].daemon = BgpDaemon::Bird;
        let machine = fixture.bundle.machines.iter_mut().find(|machine| machine.name == "ra").unwrap();
        let file = machine.files.iter_mut().find(|file| file.path == "/etc/frr/frr.conf").unwrap();
        file.path = "/etc/bird/bird.conf".to_owned();
        file.content = vec![Segment::Text { text: text.to_owned() }];
        fixture
    }

    fn said(fixture: &Fixture) -> Vec<String> {
        let results = fixture.check().results.into_iter().filter(|r| r.id == "network.bgp-files");
        results.filter(|r| r.state != State::Ok).map(|r| r.message).collect()
    }

    #[test]
    fn what_bird_is_told_is_compared_with_the_plan() {
        assert_eq!(said(&fixture(GOOD)), [] as [&str; 0]);
        for (from, to, message) in [
            ("router id 10.10.0.1", "router id 10.10.0.9", "lacks `router id 10.10.0.1;`"),
            ("[ 10.10.0.0/24 ]; };", "[ 10.99.0.0/24 ]; };", "does not announce 10.10.0.0/24"),
            ("preference 1;", "preference 200;", "not the last choice"),
            (" route 10.255.0.0/22 unreachable;", "", "lacks `route 10.255.0.0/22 unreachable`"),
            (
                "route 10.255",
                "route 0.0.0.0/0 unreachable; route 10.255",
                "says `route 0.0.0.0/0 unreachable`",
            ),
            (" || source = RTS_STATIC", "", "do not all go to the kernel"),
            ("18{26,32} ];\ndefine 'remote'", "18{18,32} ];\ndefine 'remote'", "prefix set `pods` is not"),
            (
                "'pods' && bgp_path ~ [= 64512+ =]",
                "'pods'",
                "filter `a` has other rules than the plan's `nodes-in`",
            ),
            ("bgp_path.delete(64512);", "", "filter `b` has other rules"),
            ("bgp_med = 0", "bgp_med = 10", "filter `c` has other rules"),
            (
                "  if source = RTS_STATIC then reject;\n  if net ~ 'segments'",
                "  if net ~ 'segments'",
                "filter `d` has other rules",
            ),
            (
                "  reject;\n}\nprotocol bgp node",
                "  accept;\n}\nprotocol bgp node",
                "filter `d` has other rules",
            ),
            ("import filter 'c'", "import all", "10.255.0.10 has no import filter"),
            (
                "neighbor 10.10.0.11 as 64512",
                "neighbor 10.10.0.11 as 1",
                "lacks `neighbor 10.10.0.11 as 64512`",
            ),
            ("neighbor 10.10.0.11 as", "neighbor 10.10.0.12 as", "no neighbour 10.10.0.11"),
            ("neighbor 10.10.0.11 as", "neighbor 10.10.0.12 as", "10.10.0.12 is not in the plan"),
            ("password \"SECRET\";", "", "lacks `password`"),
            ("graceful restart aware", "graceful restart off", "lacks `graceful restart aware`"),
            ("interval 1000 ms", "interval 300 ms", "lacks `bfd: interval 1000 ms`"),
            (
                "gateway direct; add paths rx; };",
                "gateway direct; add paths rx; next hop self; };",
                "says `ipv4: next hop self`",
            ),
            (
                "import limit 1000 action disable",
                "import limit 9000 action warn",
                "lacks `ipv4: import limit 1000 action disable`",
            ),
            ("protocol bgp node {", "protocol bgp node ", "not well formed"),
            ("filter 'd' {", "filter 'x' { accept; }\nfilter 'd' {", "filter `x` is defined but not used"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let said = said(&fixture(&GOOD.replacen(from, to, 1)));
            assert!(said.iter().any(|one| one.contains(message)), "{from}: {said:#?}");
        }
    }

    #[test]
    fn ranges_and_preferences() {
        let text = GOOD
            .replace(
                "neighbor 10.10.0.11 as 64512",
                "neighbor range 10.10.0.0/24 external; dynamic name \"n_\"",
            )
            .replace("64512+ =] then accept; # blocks", "64512+ =] then { bgp_local_pref = 100; accept; }");
        let mut fixture = fixture(&text);
        let plan = &mut fixture.network.routers[0];
        plan.sessions[0].dynamic = true;
        let like = plan.sessions[0].clone();
        plan.listen.push(Listen { range: "10.10.0.0/24".parse().unwrap(), peer_asn: None, like });
        assert!(said(&fixture)[0].contains("filter `a` has other rules"), "{:?}", said(&fixture));
        fixture.network.routers[0].route_maps[0].rules[0].set = RouteSet { local_pref: Some(100), med: None };
        assert_eq!(said(&fixture), [] as [&str; 0]);
    }
}
