//! `status`: what ends when, who uses it, and whether something is due.
//!
//! Everything that can expire is looked at: what the inventory wants, CAs and their other generations, what is left of
//! machines that are gone, and the certificates that people carry in their kubeconfigs. Of keys nothing is read.

mod remedy;
mod text;
pub mod uses;

use std::collections::{BTreeMap, BTreeSet};

use kmh_cli::{Answer, Context, Exit, Failure, Format, Stream};
use kmh_doc::pki::{Class, Deploy, Generation};
use kmh_model::Model;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::access::At;
use crate::cert::{Certificate, rfc3339};
use crate::look::{self, asked};
use crate::observed::Half;
use crate::store::USERS;
use crate::table::{Life, beside};
use crate::want::{Wanted, Wants};
use remedy::{Ground, Remedy};
use uses::{KUBECONFIGS, component};

/// The CA of people.
const PEOPLE: &str = "ca/cluster";

/// Options of `status`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Due is what ends within this time, such as `12h`, `30d`, `2w`; without it, what `ensure` would make again, and a
    /// CA or root that ends before a certificate made now would
    #[arg(long, value_name = "TIME", value_parser = span)]
    within: Option<Duration>,
}

/// Examples of `status`.
pub const EXAMPLES: &str = "\
EXAMPLES
  What ends when:
    kmh-pki status --store pki -i cluster.yaml -o text

  For a monitor; exit code 1 when something ends within a month:
    kmh-pki status --within 30d --store pki -i cluster.yaml -o text

  Which certificates a kubeconfig points to:
    kmh-pki status --store pki -i cluster.yaml -o json |
      jq -r '.certificates[] | .name as $name | .used_by[] |
        .machine + \" \" + .kubeconfigs[] + \" \" + $name'
";

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is valid for long enough.
    Ok,
    /// It is valid, and somebody should act.
    Due,
    /// It has ended.
    Expired,
    /// It has not begun.
    Future,
    /// A person's: no CA of the store signed it, so that it lets nobody in any more.
    Gone,
}

/// Why a certificate is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The inventory wants it.
    Wanted,
    /// Another generation of a CA that it wants.
    Generation,
    /// A person carries it in a kubeconfig.
    Person,
    /// Nothing wants it any more.
    Leftover,
}

/// A machine that uses a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// The machine.
    pub machine: String,
    /// Where the certificate lies on it.
    pub path: String,
    /// The kubeconfigs on it that point there.
    pub kubeconfigs: Vec<&'static str>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name in the store.
    pub name: String,
    /// Its class; none for a person's, and for what nothing wants.
    pub class: Option<Class>,
    /// Why it is there.
    pub purpose: Purpose,
    /// The machine that it is for.
    pub machine: Option<String>,
    /// The component that it is for, or the person and its groups.
    pub component: String,
    /// The machines that use it.
    pub used_by: Vec<Use>,
    /// Its start.
    pub not_before: String,
    /// Its end.
    pub not_after: String,
    /// Whole days until then; negative when it has ended.
    pub days_left: i64,
    /// How it stands.
    pub state: State,
    /// Whether that makes the answer no.
    pub due: bool,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER form.
    pub fingerprint: String,
    #[serde(skip)]
    end: OffsetDateTime,
    /// What makes it anew, of what is due.
    #[serde(skip)]
    remedy: Option<Remedy>,
}

/// A certificate that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub why: &'static str,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Identity of the store.
    pub store: String,
    /// The moment that it is true for.
    pub at: String,
    /// Whether the answer is yes: nothing due, nothing missing, nothing damaged.
    pub ok: bool,
    /// How many are due.
    pub due: usize,
    /// By their end.
    pub certificates: Vec<Row>,
    /// What the inventory wants and the store does not hold.
    pub missing: Vec<String>,
    /// What cannot be read.
    pub damaged: Vec<Damaged>,
    /// What brings back what is missing.
    #[serde(skip)]
    remedies: Vec<Remedy>,
}

/// The verb.
pub fn run(
    args: &Args,
    stream: &Stream,
    context: &mut Context<'_>,
    format: Format,
    at: &At,
) -> Result<Answer, Failure> {
    let ground = look::ground(stream, context, at, false)?;
    let found = ground.store.certificates()?.into_iter().map(|(name, octets)| {
        (
            name,
            octets.and_then(|octets| Certificate::from_pem(&octets)).map_or_else(Half::Damaged, Half::There),
        )
    });
    let found = found.collect();
    let root = ground.store.root();
    let has_key =
        |name: &&String| ["key", "key.age"].iter().any(|end| root.join(format!("{name}.{end}")).exists());
    let cas =
        ground.wants.certificates.values().filter(|one| one.life == Life::Authority).map(|one| &one.name);
    let keys = cas.filter(has_key).cloned().collect();
    let limit = (!context.common.limit.is_empty()).then_some(&ground.chosen);
    let question =
        Question { now: context.env.now, leaf: ground.wants.leaf, within: args.within, limit, keys: &keys };
    let mut report = report(&ground.model, &ground.wants, &found, &question);
    ground.store.id().clone_into(&mut report.store);
    let text = match format {
        Format::Json => crate::json(&report)?,
        _ => text::text(&report),
    };
    Ok(Answer { text, exit: if report.ok { Exit::Done } else { Exit::No } })
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The time.
    pub now: OffsetDateTime,
    /// How long what a CA signs now is to live.
    pub leaf: Duration,
    /// Due is what ends within this time.
    pub within: Option<Duration>,
    /// The machines that are asked about; none: all, and what belongs to no machine.
    pub limit: Option<&'a BTreeSet<String>>,
    /// The CAs whose keys are in the store.
    pub keys: &'a BTreeSet<String>,
}

/// The answer, but for the store's identity. Pure.
pub fn report(
    model: &Model,
    wants: &Wants,
    found: &BTreeMap<String, Half<Certificate>>,
    question: &Question<'_>,
) -> Report {
    let mut certificates = Vec::new();
    let mut damaged = Vec::new();
    for (name, half) in found {
        let (purpose, wanted) = purpose(name, wants);
        if !asked(wanted, question.limit) {
            continue;
        }
        match half {
            Half::There(certificate) => {
                certificates.push(row(name, certificate, purpose, wanted, model, question));
            }
            Half::Damaged(why) => damaged.push(Damaged { name: name.clone(), why }),
            Half::Absent => {}
        }
    }
    let absent = |wanted: &&Wanted| !found.contains_key(&wanted.name) && asked(Some(wanted), question.limit);
    let missing: Vec<String> =
        wants.certificates.values().map(Box::as_ref).filter(absent).map(|w| w.name.clone()).collect();
    let ground = Ground { wants, found, question };
    for row in certificates.iter_mut().filter(|row| row.due) {
        row.remedy = ground.again(&row.name);
    }
    let remedies = missing.iter().map(|name| ground.missing(name)).collect();
    judge_people(&mut certificates, found);
    certificates.sort_by(|a, b| (a.end, &a.name).cmp(&(b.end, &b.name)));
    let due = certificates.iter().filter(|row| row.due).count();
    Report {
        store: String::new(),
        at: rfc3339(question.now),
        ok: due == 0 && missing.is_empty() && damaged.is_empty(),
        due,
        certificates,
        missing,
        damaged,
        remedies,
    }
}

/// Finds what people carry and what lets nobody in any more, because its CA was rotated away. It is due until they have
/// another, or until it would have ended.
fn judge_people(rows: &mut [Row], found: &BTreeMap<String, Half<Certificate>>) {
    let certificate = |name: &str| found.get(name).and_then(Half::there);
    // Without the current one nobody can say; that it is missing or damaged is told.
    if certificate(PEOPLE).is_none() {
        return;
    }
    let trusted: Vec<&Certificate> = [Generation::Current, Generation::Next, Generation::Old]
        .iter()
        .filter_map(|one| certificate(&(PEOPLE.to_owned() + one.ending())))
        .collect();
    let valid =
        |row: &&mut Row| row.purpose == Purpose::Person && matches!(row.state, State::Ok | State::Due);
    for row in rows.iter_mut().filter(valid) {
        if certificate(&row.name).is_some_and(|one| !trusted.iter().any(|ca| one.is_signed_by(ca))) {
            row.state = State::Gone;
        }
    }
    let people = rows.iter().filter(|row| row.purpose == Purpose::Person);
    let inside: BTreeSet<String> = people
        .filter(|row| matches!(row.state, State::Ok | State::Due))
        .map(|row| row.component.clone())
        .collect();
    for row in rows.iter_mut().filter(|row| row.state == State::Gone) {
        row.due = !inside.contains(&row.component);
    }
}

/// Why a certificate of that name is there, and the want behind it.
fn purpose<'a>(name: &str, wants: &'a Wants) -> (Purpose, Option<&'a Wanted>) {
    if let Some(wanted) = wants.certificates.get(name) {
        return (Purpose::Wanted, Some(wanted));
    }
    // The generations of a CA: `ca/X.next` will sign, `ca/X.old` did.
    let base = look::other_generation(name);
    match base.and_then(|(base, _)| wants.certificates.get(base)).filter(|one| one.life == Life::Authority) {
        Some(wanted) => (Purpose::Generation, Some(wanted)),
        None if name.split('/').next() == Some(USERS) => (Purpose::Person, None),
        None => (Purpose::Leftover, None),
    }
}

fn row(
    name: &str,
    certificate: &Certificate,
    purpose: Purpose,
    wanted: Option<&Wanted>,
    model: &Model,
    question: &Question<'_>,
) -> Row {
    let now = question.now;
    let left = certificate.not_after - now;
    let ahead = match (question.within, wanted) {
        (Some(within), _) => within,
        (None, Some(wanted)) => threshold(wanted, certificate, question.leaf),
        (None, None) => Duration::ZERO,
    };
    let state = match () {
        () if !left.is_positive() => State::Expired,
        () if now < certificate.not_before => State::Future,
        () if left < ahead => State::Due,
        () => State::Ok,
    };
    let component = match purpose {
        Purpose::Wanted | Purpose::Generation => wanted.map_or("", |one| component(one.class)).to_owned(),
        Purpose::Person if certificate.organizations.is_empty() => certificate.common_name.clone(),
        Purpose::Person => {
            format!("{} ({})", certificate.common_name, certificate.organizations.join(", "))
        }
        Purpose::Leftover => "nobody".to_owned(),
    };
    Row {
        name: name.to_owned(),
        class: wanted.map(|one| one.class),
        purpose,
        machine: wanted.and_then(|one| one.machine.clone()),
        component,
        used_by: wanted.map(|one| used_by(one, purpose, model)).unwrap_or_default(),
        not_before: rfc3339(certificate.not_before),
        not_after: rfc3339(certificate.not_after),
        // Rounded down: a certificate that ended an hour ago has -1 days.
        days_left: left.whole_seconds().div_euclid(24 * 3600),
        state,
        // Nobody renews what a person was given for a week, what nothing wants, or a CA that signs no more.
        due: state != State::Ok && purpose == Purpose::Wanted,
        remedy: None,
        serial: certificate.serial.clone(),
        fingerprint: certificate.fingerprint(),
        end: certificate.not_after,
    }
}

/// How long before its end a certificate is due. A leaf is when `ensure` would make it again. A CA is when a leaf made now
/// would not live its whole life for it: a third of ten years would cry for three of them. So is a root, though what it
/// signs is to live longer: a CA that ends with it is told of by itself.
fn threshold(wanted: &Wanted, certificate: &Certificate, leaf: Duration) -> Duration {
    let third: Duration = (certificate.not_after - certificate.not_before) / 3;
    match wanted.life {
        Life::Authority => third.min(leaf),
        Life::Leaf => wanted.renew.unwrap_or(third),
    }
}

fn used_by(wanted: &Wanted, purpose: Purpose, model: &Model) -> Vec<Use> {
    let role = |machine: &str, role| model.nodes.get(machine).is_some_and(|node| node.roles.contains(&role));
    let kubeconfigs = |machine: &str| {
        let there = KUBECONFIGS.iter().filter(|one| one.points_to(wanted.class));
        let there = there.filter(|one| one.role.is_none_or(|wanted| role(machine, wanted)));
        there.map(|one| one.path).collect()
    };
    // Where a file holds one certificate, another generation has a file of its own.
    let place = |place: Deploy| if purpose == Purpose::Generation { beside(place) } else { place };
    let places = wanted.deploy.iter().cloned().map(place);
    places
        .filter_map(|Deploy { machine, certificate, .. }| {
            Some(Use { kubeconfigs: kubeconfigs(&machine), machine, path: certificate? })
        })
        .collect()
}

/// A time such as `12h`, `30d`, `2w`.
fn span(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, i64); 5] =
        [('s', 1), ('m', 60), ('h', 3600), ('d', 24 * 3600), ('w', 7 * 24 * 3600)];
    let wrong = || format!("`{text}` is no time such as `12h`, `30d`, `2w`");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let (_, seconds) = UNITS.into_iter().find(|(letter, _)| *letter == unit).ok_or_else(wrong)?;
    let number = &text[..text.len() - unit.len_utf8()];
    // Digits only: `parse` would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    // A number of 32 bits: a sum of such times with a date cannot overflow.
    let number: u32 = number.parse().map_err(|_| wrong())?;
    i64::from(number).checked_mul(seconds).map(Duration::seconds).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_nothing_else() {
        assert_eq!(span("12h"), Ok(Duration::hours(12)));
        assert_eq!(span("30d"), Ok(Duration::days(30)));
        assert_eq!(span("2w"), Ok(Duration::days(14)));
        assert_eq!(span("0s"), Ok(Duration::ZERO));
        for bad in ["", "30", "d", "-3d", "+3d", "3 d", "3y", "1.5d", "99999999999d", "3é"] {
            let why = span(bad).unwrap_err();
            assert_eq!(why, format!("`{bad}` is no time such as `12h`, `30d`, `2w`"));
        }
    }
}
