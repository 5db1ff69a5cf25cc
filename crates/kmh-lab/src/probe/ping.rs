//! `ping`: who reaches whom, everybody and everybody else, beside what is predicted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use kmh_cli::table::Table as Page;
use kmh_cli::text::printable;
use kmh_cli::{Answer, Context, Exit, Failure, Format};
use serde::Serialize;

use super::ends::{Endpoint, endpoints, expected};
use super::{HEADERS, Question, Reply, ask};
use crate::args;
use crate::weather::{Lab, json, names};

/// A matrix of more sites than this does not fit a terminal.
const MATRIX: usize = 8;
/// More lines than this nobody reads.
const LISTED: usize = 40;
/// Of what is not predicted, a few are enough.
const FEW: usize = 8;

/// One answer, beside what is predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    from: String,
    from_site: String,
    to: String,
    to_site: String,
    source: IpAddr,
    target: IpAddr,
    /// 4 or 6.
    family: u8,
    reached: bool,
    /// Whether it is predicted to; none where nothing is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<bool>,
    /// What was said instead of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Row {
    /// Whether something is not reached that should be.
    fn is_wrong(&self) -> bool {
        !self.reached && self.predicted == Some(true)
    }
}

#[derive(Serialize)]
struct Said<'r> {
    /// Octets of each packet, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u16>,
    /// What is broken.
    broken: Vec<String>,
    /// Every pair.
    pairs: &'r [Row],
}

/// Everybody that is meant; wrong names are refused all at once.
fn chosen(all: Vec<Endpoint>, names: &[String]) -> Result<Vec<Endpoint>, Failure> {
    let known: Vec<&str> = all.iter().map(|end| end.name.as_str()).collect();
    let wrong = names.iter().filter(|name| !known.contains(&name.as_str())).map(|name| {
        let failure = Failure::wrong(format!("the lab has no machine or pod `{}`", printable(name)));
        let near = kmh_doc::decode::nearest(name, &known);
        failure.hint(near.unwrap_or_else(|| format!("it has {}", names::some_of(&known))))
    });
    if let Some(failure) = Failure::all(wrong) {
        return Err(failure);
    }
    Ok(all.into_iter().filter(|end| names.is_empty() || names.contains(&end.name)).collect())
}

/// Everybody and everybody else, by family.
fn pairs(ends: &[Endpoint]) -> Vec<(&Endpoint, IpAddr, &Endpoint, IpAddr)> {
    let mut found = Vec::new();
    for from in ends {
        for to in ends.iter().filter(|to| to.name != from.name) {
            for source in &from.addresses {
                let fits = |ip: &&IpAddr| ip.is_ipv6() == source.is_ipv6();
                found.extend(to.addresses.iter().filter(fits).map(|target| (from, *source, to, *target)));
            }
        }
    }
    found
}

/// The answer.
pub(crate) fn run(
    args: &args::Ping,
    lab: Option<&str>,
    context: &mut Context<'_>,
    format: Format,
) -> Result<Answer, Failure> {
    let least = HEADERS.into_iter().max().unwrap_or(0);
    if let Some(size) = args.size.filter(|size| *size < least) {
        return Err(Failure::wrong(format!("`--size {size}` is less than the headers"))
            .hint(format!("IPv6 and ICMP alone are {least} octets")));
    }
    let lab = Lab::open(lab)?;
    let ends = chosen(endpoints(&lab.memory, &lab.state), &args.machines)?;
    let broken = lab.broken();
    let network = lab.memory.open()?;
    let ground = lab.memory.ground();
    let prediction = kmh_route::predict(&network, &ground, &lab.down());
    let pairs = pairs(&ends);
    context.progress(&format!("{} pairs", pairs.len()));
    let questions: Vec<Question> = pairs
        .iter()
        .map(|(from, source, _, target)| Question {
            space: from.space.clone(),
            source: *source,
            target: *target,
            size: args.size,
        })
        .collect();
    let replies = ask(&lab.name, &lab.state, &questions)?;
    let rows: Vec<Row> = pairs
        .into_iter()
        .zip(replies)
        .map(|((from, source, to, target), reply)| {
            let said = expected(&prediction, (from, source), (to, target));
            let fits = |mtu: u16| args.size.is_none_or(|size| size <= mtu);
            Row {
                from: from.name.clone(),
                from_site: from.site.clone(),
                to: to.name.clone(),
                to_site: to.site.clone(),
                source,
                target,
                family: if target.is_ipv6() { 6 } else { 4 },
                reached: reply == Reply::Reached,
                predicted: said.map(|said| said.arrives && fits(said.mtu)),
                reason: match reply {
                    Reply::Refused(reason) => Some(reason),
                    Reply::Reached | Reply::Silence => None,
                },
            }
        })
        .collect();
    let exit = if rows.iter().any(Row::is_wrong) { Exit::No } else { Exit::Done };
    let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
    let text = if format == Format::Json {
        json(&Said { size: args.size, broken, pairs: &rows })?
    } else {
        page(&rows, args.size, &broken)
    };
    Ok(Answer { text, exit })
}

fn page(rows: &[Row], size: Option<u16>, broken: &[String]) -> String {
    let mut out = String::new();
    if !broken.is_empty() {
        let _ = writeln!(out, "broken: {}\n", broken.join(", "));
    }
    let families: BTreeSet<u8> = rows.iter().map(|row| row.family).collect();
    for family in families {
        let of_family: Vec<&Row> = rows.iter().filter(|row| row.family == family).collect();
        if !out.is_empty() && !out.ends_with("\n\n") {
            out.push('\n');
        }
        let octets = size.map_or(String::new(), |size| format!(", {size} octets, not to be taken apart"));
        let _ = write!(out, "IPv{family}{octets}\n{}", matrix(&of_family));
    }
    let list = |out: &mut String, heading: &str, most: usize, some: &dyn Fn(&&Row) -> bool| {
        let found: Vec<&Row> = rows.iter().filter(some).collect();
        if found.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{heading}:");
        for row in found.iter().take(most) {
            let reason = row.reason.as_deref().unwrap_or("no answer");
            let _ = writeln!(out, "  {} to {} ({}): {reason}", row.from, row.to, row.target);
        }
        if found.len() > most {
            let _ = writeln!(out, "  … and {} more", found.len() - most);
        }
    };
    list(&mut out, "not reached, against the prediction", LISTED, &|row| row.is_wrong());
    list(&mut out, "not reached, and nothing is predicted of it", FEW, &|row| {
        !row.reached && row.predicted.is_none()
    });
    let reached = rows.iter().filter(|row| row.reached).count();
    let as_predicted = rows.iter().filter(|row| !row.reached && row.predicted == Some(false)).count();
    let against = rows.iter().filter(|row| row.reached && row.predicted == Some(false)).count();
    let _ = write!(out, "\n{reached} of {} pairs reached", rows.len());
    if as_predicted > 0 {
        let _ = write!(out, ", {as_predicted} not, as predicted");
    }
    if against > 0 {
        let _ = write!(out, ", {against} against the prediction");
    }
    out.push('\n');
    out
}

/// By sites: how many pairs reach each other; `!` where one should and does not.
fn matrix(rows: &[&Row]) -> String {
    let mut cells: BTreeMap<(&str, &str), (usize, usize, bool)> = BTreeMap::new();
    for row in rows {
        let cell = cells.entry((&row.from_site, &row.to_site)).or_default();
        cell.0 += usize::from(row.reached);
        cell.1 += 1;
        cell.2 |= row.is_wrong();
    }
    let sites: BTreeSet<&str> = cells.keys().flat_map(|(from, to)| [*from, *to]).collect();
    let text = |cell: Option<&(usize, usize, bool)>| match cell {
        None => "-".to_owned(),
        Some((reached, all, is_wrong)) => {
            let mark = if *is_wrong { " !" } else { "" };
            match *reached {
                0 => format!("none{mark}"),
                n if n == *all => "all".to_owned(),
                n => format!("{n} of {all}{mark}"),
            }
        }
    };
    let mut page = Page::default();
    if sites.len() <= MATRIX {
        page.rows
            .push(std::iter::once("FROM / TO").chain(sites.iter().copied()).map(str::to_owned).collect());
        for from in &sites {
            let row = sites.iter().map(|to| text(cells.get(&(*from, *to))));
            page.rows.push(std::iter::once((*from).to_owned()).chain(row).collect());
        }
    } else {
        let complete = cells.values().filter(|(reached, all, _)| reached == all).count();
        page.rows.push(["FROM", "TO", "REACHED"].map(str::to_owned).into());
        for ((from, to), cell) in cells.iter().filter(|(_, (reached, all, _))| reached != all) {
            page.rows.push(vec![(*from).to_owned(), (*to).to_owned(), text(Some(cell))]);
        }
        return format!("{page}all, between {complete} other pairs of sites\n");
    }
    page.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from: (&str, &str), to: (&str, &str), reached: bool, predicted: Option<bool>) -> Row {
        Row {
            from: from.0.to_owned(),
            from_site: from.1.to_owned(),
            to: to.0.to_owned(),
            to_site: to.1.to_owned(),
            source: "10.0.0.1".parse().unwrap(),
            target: "10.0.0.2".parse().unwrap(),
            family: 4,
            reached,
            predicted,
            reason: (!reached && predicted.is_none()).then(|| "10.0.0.9: no".to_owned()),
        }
    }

    #[test]
    fn a_page_shows_what_should_be_reached_and_is_not() {
        let (a, b, c) = (("a1", "attic"), ("a2", "attic"), ("f1", "flat"));
        let rows = [
            row(a, b, true, Some(true)),
            row(a, c, true, Some(true)),
            row(b, c, false, Some(true)),
            row(c, a, false, Some(false)),
            row(c, b, false, None),
        ];
        let text = page(&rows, Some(1400), &["tunnel/x".to_owned()]);
        let expected = "broken: tunnel/x\n\n\
            IPv4, 1400 octets, not to be taken apart\n\
            FROM / TO  attic  flat\n\
            attic      all    1 of 2 !\n\
            flat       none   -\n\
            \nnot reached, against the prediction:\n  a2 to f1 (10.0.0.2): no answer\n\
            \nnot reached, and nothing is predicted of it:\n  f1 to a2 (10.0.0.2): 10.0.0.9: no\n\
            \n2 of 5 pairs reached, 1 not, as predicted\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn many_sites_are_listed_only_where_something_is_amiss() {
        let sites: Vec<String> = (0..9).map(|n| format!("s{n}")).collect();
        let rows: Vec<Row> =
            sites.iter().map(|to| row(("a", "s0"), (to, to), to != "s3", Some(true))).collect();
        let text = page(&rows, None, &[]);
        assert!(
            text.starts_with("IPv4\nFROM  TO  REACHED\ns0    s3  none !\nall, between 8 other"),
            "{text}"
        );
    }
}
